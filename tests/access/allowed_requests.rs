//! What passes: what is healed by itself, what reaches the server, and what is the server's own.

use serde_json::Value;

use crate::edge::{Access, Answers, Config, Edge, Mode, Policy, Seen, Trouble};
use crate::support::proxy::{Proxy, Stdin};
use crate::support::{INITIALIZE, INITIALIZED};

const WHOAMI: &str =
    r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami","arguments":{}}}"#;

fn start(access: Access) -> Edge {
    Edge::start(Config { access: Some(access), answers: Answers::Json, port: 0 }).expect("a free port")
}

fn both() -> Access {
    Access { mode: Mode::Legacy, policies: vec![Policy::Allow, Policy::ServiceAuth] }
}

/// Starts with the edge's token and shakes hands.
fn connect(edge: &Edge, arguments: &[&str]) -> Proxy {
    let token = edge.token();
    let pair = [("CF_ACCESS_CLIENT_ID", token.id.as_str()), ("CF_ACCESS_CLIENT_SECRET", &token.secret)];
    connect_with(edge, arguments, &pair)
}

fn connect_with(edge: &Edge, arguments: &[&str], environment: &[(&str, &str)]) -> Proxy {
    let url = edge.mcp_url();
    let arguments: Vec<&str> = arguments.iter().copied().chain([url.as_str()]).collect();
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, environment);
    let answer = proxy.ask(INITIALIZE);
    assert!(answer.contains("\"result\""), "{answer}");
    proxy.send(INITIALIZED);
    proxy
}

fn text(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).expect("JSON");
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn calls(edge: &Edge) -> Vec<Seen> {
    edge.requests().into_iter().filter(|seen| seen.method == "POST").collect()
}

#[test]
fn distinguishes_service_tokens_from_users_in_each_mode() {
    for mode in [Mode::Legacy, Mode::Strict] {
        for (policies, allowed_origin) in [
            (vec![Policy::ServiceAuth], None),
            // CORS for web pages is nothing to a program, which names no origin.
            (vec![Policy::Allow, Policy::ServiceAuth], Some("https://app.example.com".to_owned())),
        ] {
            let edge = start(Access { mode, policies });
            edge.change(|settings| settings.allowed_origin = allowed_origin);
            let mut proxy = connect(&edge, &[]);
            assert_eq!(text(&proxy.ask(WHOAMI)), edge.token().id);
            assert_eq!(proxy.finish().code, Some(0));
        }
    }
    let edge = start(Access { mode: Mode::Strict, policies: vec![Policy::Allow] });
    let person = edge.sign_in("ada@example.com", 3600).expect("there is Access");
    let mut proxy = connect_with(&edge, &["--header", &format!("Cf-Access-Token: {person}")], &[]);
    assert_eq!(text(&proxy.ask(WHOAMI)), "ada@example.com");
    proxy.finish();
}

#[test]
fn single_header_token_replaces_header_pair() {
    for mode in [Mode::Legacy, Mode::Strict] {
        let edge = start(Access { mode, policies: vec![Policy::ServiceAuth] });
        edge.change(|settings| settings.token_header = Some("authorization".to_owned()));
        let mut proxy = connect(&edge, &["--access-header", "Authorization"]);
        assert_eq!(text(&proxy.ask(WHOAMI)), edge.token().id);
        // Written out, it takes the place of the pair as well.
        let token = edge.token();
        let written = format!(
            r#"Authorization: {{"cf-access-client-id":"{}","cf-access-client-secret":"{}"}}"#,
            token.id, token.secret
        );
        let mut other = connect(&edge, &["--header", &written]);
        assert_eq!(text(&other.ask(WHOAMI)), edge.token().id);
        proxy.finish();
        other.finish();
    }
}

#[test]
fn retries_request_that_cloudflare_did_not_forward() {
    for (code, wait, lasts) in [(1015, Some(0), 2), (1033, Some(1), 1), (1027, None, 1), (1200, Some(0), 2)] {
        let edge = start(both());
        let mut proxy = connect(&edge, &[]);
        proxy.ask(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
        let before = calls(&edge).len();
        edge.change(|settings| {
            settings.trouble = Some(Trouble::Code(code));
            settings.retry_after = wait;
            settings.trouble_lasts = Some(lasts);
        });
        assert_eq!(text(&proxy.ask(WHOAMI)), edge.token().id, "{code}");
        assert_eq!(calls(&edge).len() - before, lasts as usize + 1, "{code}");
        let ended = proxy.finish();
        assert_eq!((ended.code, ended.lines.len()), (Some(0), 0));
    }
}

#[test]
fn servers_own_error_passes_unchanged() {
    let edge = start(both());
    let mut proxy = connect(&edge, &[]);
    edge.change(|settings| settings.trouble = Some(Trouble::EmptyPortal));
    let answer = proxy.ask(WHOAMI);
    let expected = "No allowed servers available, check your Zero Trust Policies";
    assert!(answer.contains(expected) && !answer.contains("mcp-tether"), "{answer}");
    proxy.finish();
}

#[test]
fn names_wrong_path_as_cause() {
    let edge = start(both());
    let token = edge.token();
    let pair = [("CF_ACCESS_CLIENT_ID", token.id.as_str()), ("CF_ACCESS_CLIENT_SECRET", &token.secret)];
    let url = edge.mcp_url().replace("/mcp", "/api");
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&url], &pair);
    let answer = proxy.ask(INITIALIZE);
    for part in ["answered 404", "check the path of the URL"] {
        assert!(answer.contains(part), "{answer}");
        proxy.tells(part);
    }
    proxy.finish();
}

#[test]
fn server_without_cloudflare_is_named_as_such() {
    let config = Config { access: None, answers: Answers::Plain, port: 0 };
    let edge = Edge::start(config).expect("a free port");
    let token = edge.token();
    let pair = [("CF_ACCESS_CLIENT_ID", token.id.as_str()), ("CF_ACCESS_CLIENT_SECRET", &token.secret)];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&edge.mcp_url()], &pair);
    let answer = proxy.ask(INITIALIZE);
    assert!(answer.contains("\"cause\":\"origin_refused\"") && answer.contains("no cf-ray"), "{answer}");
    proxy.finish();
}
