//! Bound tokens (DPoP) of sign-ins that begin elsewhere: of a workload, and at a company's identity provider.

use super::dpop::{one_key, set, usual};
use super::support::authority::{Authority, Set, visit};
use super::support::dpop::DpopRules;
use super::support::proxy::Proxy;
use super::{Home, call, enterprise, page, workload_identity};

const LATER: &str = "4102444800";

fn start_workload(home: &Home, authority: &Authority) -> Proxy {
    let issuer = format!("http://{}", authority.server.address);
    let token = workload_identity::token(&issuer, LATER, "1");
    home.start_at(&authority.server.url, &["--workload-identity", "gitlab"], &[("MCP_ID_TOKEN", &token)])
}

#[test]
fn token_of_workload_is_bound() {
    let (home, authority) = (Home::new(), Authority::start(set(usual())));
    let mut proxy = start_workload(&home, &authority);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!(authority.last("/mcp").header("authorization"), Some("DPoP marked-access-1"));
    one_key(&authority.proofs());
    proxy.finish();
    assert_eq!(authority.faults(), [""; 0]);
}

#[test]
fn workload_remembers_that_server_knows_bearer_only() {
    let rules = DpopRules { knows_bearer_only: true, ..usual() };
    let bearer_only = Set { challenge: Set::default().challenge, ..set(rules) };
    let (home, authority) = (Home::new(), Authority::start(bearer_only));
    let mut proxy = start_workload(&home, &authority);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-2"));
    assert_eq!((authority.count("/token"), authority.proofs().len()), (2, 1));
    authority.forget(true);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    assert_eq!((authority.count("/token"), authority.proofs().len()), (3, 1));
    let stderr = proxy.finish().stderr;
    assert!(!stderr.contains("WARN"), "{stderr}");
}

#[test]
fn company_sign_in_binds_tokens_of_server_alone() {
    let (home, authority) = (Home::new(), Authority::start(set(usual())));
    let provider = enterprise::honest();
    let mut proxy = enterprise::start(&home, &authority, &provider, &["--dpop", "always"]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(line.contains("\"result\""), "{line}");
    assert_eq!(authority.last("/mcp").header("authorization"), Some("DPoP marked-access-1"));
    one_key(&authority.proofs());
    assert!(provider.server.requests().iter().all(|request| request.header("dpop").is_none()));
    proxy.finish();
    assert_eq!(authority.faults(), [""; 0]);
}
