//! Signing in over http in the local network, which takes `--allow-http`. Names are those of a network that the test does not have:
//! a proxy stands for it.

use std::process::Command;

use super::support::authority::{Authority, Set, visit};
use super::support::proxy::{Proxy, Stdin};
use super::{Home, call, page};

const SERVER: &str = "http://mcp.lan/mcp";

/// A server at `mcp.lan` that names the authorization server `issuer`; both answer whoever uses them as a proxy.
fn network(issuer: &str) -> Authority {
    let authority = Authority::start(Set::default());
    authority.change(|set| {
        set.resource = format!(r#""resource":"{SERVER}","authorization_servers":["{issuer}"]"#);
        set.metadata = set.metadata.replace("BASE", issuer);
    });
    authority
}

/// The page as the test reaches it, which has no such names.
fn reachable(page: &str, issuer: &str, authority: &Authority) -> String {
    page.replace(issuer, &format!("http://{}", authority.server.address))
}

#[test]
fn local_http_server_signs_in_when_allowed() {
    for issuer in ["http://as.lan", "http://mcp.lan", "http://10.1.2.3:8080"] {
        let (home, authority) = (Home::new(), network(issuer));
        let proxy_url = format!("http://{}", authority.server.address);
        let with_proxy = [("HTTP_PROXY", proxy_url.as_str())];
        let mut proxy = home.start_at(SERVER, &["--allow-http"], &with_proxy);
        proxy.send(&call(1));
        assert!(visit(&reachable(&page(&proxy, 1), issuer, &authority)).contains("You are signed in"));
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
        // What was signed in for is there at the next start, and `login` works as well.
        let mut proxy = home.start_at(SERVER, &["--allow-http"], &with_proxy);
        assert!(proxy.ask(&call(1)).contains("\"result\""));
        proxy.finish();
        let arguments = ["login", SERVER, "--allow-http"];
        let login = Proxy::start_with(Stdin::Pipes, &arguments, &home.environment(&with_proxy));
        visit(&reachable(&page(&login, 1), issuer, &authority));
        assert_eq!(login.wait_unread(), Some(0));
    }
}

#[test]
fn command_to_sign_in_repeats_that_http_is_allowed() {
    let (home, authority) = (Home::new(), network("http://as.lan"));
    let proxy_url = format!("http://{}", authority.server.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.args(["tokens", SERVER, "--allow-http"]).env_clear();
    let told = command.envs(home.environment(&[("HTTP_PROXY", &proxy_url)])).output().expect("it starts");
    let text = String::from_utf8_lossy(&told.stderr);
    assert!(text.contains("mcp-tether login http://mcp.lan/mcp --allow-http"), "{text}");
}

#[test]
fn sign_in_sends_nothing_to_public_http_hosts() {
    for (issuer, expected) in [
        ("http://as.example.com", "not known to be of the local network"),
        ("http://8.8.8.8", "is not https"),
        ("http://lan.example.com", "not known to be of the local network"),
        ("http://127.0.0.1:1", "this computer's own network"),
    ] {
        let (home, authority) = (Home::new(), network(issuer));
        let proxy_url = format!("http://{}", authority.server.address);
        let mut proxy = home.start_at(SERVER, &["--allow-http"], &[("HTTP_PROXY", &proxy_url)]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains("\"cause\":\"sign_in\""), "{issuer}: {line}");
        assert!(!proxy.finish().stderr.contains("sign in at"));
        let is_there = |path: &str| path.starts_with(issuer);
        assert!(!authority.server.requests().iter().any(|request| is_there(&request.path)), "{issuer}");
    }
}

#[test]
fn public_http_server_leads_to_no_sign_in() {
    for (url, challenge) in [("http://mcp.example.com/mcp", true), ("http://mcp.example.com/mcp", false)] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        if !challenge {
            authority.change(|set| set.challenge = String::new());
        }
        let proxy_url = format!("http://{}", authority.server.address);
        let mut proxy = home.start_at(url, &["--allow-http"], &[("HTTP_PROXY", &proxy_url)]);
        let line = proxy.ask(&call(1));
        assert!(line.contains("401"), "{line}");
        assert_eq!(line.contains("not known to be of the local network"), challenge, "{line}");
        proxy.finish();
        let requests = authority.server.requests();
        assert!(requests.iter().all(|request| request.path.ends_with("/mcp")), "{requests:?}");
    }
}
