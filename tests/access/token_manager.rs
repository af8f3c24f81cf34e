//! A server in the manner of a token manager, behind Access: its key, its limit, its correlation ids.

use serde_json::Value;

use crate::edge::{Access, Answers, Config, Edge, Limit, Mode, Policy};
use crate::secrets;
use crate::support::proxy::{Proxy, Stdin};
use crate::support::{INITIALIZE, INITIALIZED};

const ISSUE: &str =
    r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"issue","arguments":{}}}"#;

fn start() -> Edge {
    let access = Access { mode: Mode::Strict, policies: vec![Policy::ServiceAuth] };
    Edge::start(Config { access: Some(access), answers: Answers::Plain, port: 0 }).expect("a free port")
}

/// Starts with the token and this key.
fn proxy(edge: &Edge, key: &str) -> Proxy {
    let token = edge.token();
    let environment = [
        ("CF_ACCESS_CLIENT_ID", token.id.as_str()),
        ("CF_ACCESS_CLIENT_SECRET", &token.secret),
        ("MANAGER_KEY", key),
    ];
    let url = edge.mcp_url();
    Proxy::start_with(Stdin::Pipes, &["-vvv", &url, "--header", "X-API-Key: ${MANAGER_KEY}"], &environment)
}

/// Ends it, and looks for what should not have been told.
fn finish(edge: &Edge, proxy: Proxy) {
    let ended = proxy.finish();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{}", ended.stderr);
    let secrets = [edge.key().to_owned(), edge.token().secret.clone()];
    assert_eq!(secrets::found(&ended.stderr, &secrets), [""; 0], "{}", ended.stderr);
}

fn posts(edge: &Edge) -> usize {
    edge.requests().iter().filter(|seen| seen.method == "POST").count()
}

fn json(answer: &str) -> Value {
    serde_json::from_str(answer).expect("JSON")
}

#[test]
fn works_without_sessions_and_streams() {
    let edge = start();
    let mut proxy = proxy(&edge, edge.key());
    let answer = json(&proxy.ask(INITIALIZE));
    assert_eq!(answer["result"]["serverInfo"]["name"], "token manager", "{answer}");
    proxy.send(INITIALIZED);
    for number in 1..=3 {
        let answer = json(&proxy.ask(ISSUE));
        assert_eq!(answer["result"]["content"][0]["text"], format!("token {number}"), "{answer}");
    }
    let whoami = ISSUE.replace("issue", "whoami");
    assert_eq!(json(&proxy.ask(&whoami))["result"]["content"][0]["text"], edge.token().id.as_str());
    let unknown = proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"resources/list"}"#);
    assert!(unknown.contains("-32601") && !unknown.contains("mcp-tether"), "{unknown}");
    finish(&edge, proxy);
    let seen = edge.requests();
    assert!(seen.iter().all(|seen| seen.method != "DELETE"), "there is no session to end: {seen:?}");
}

#[test]
fn wrong_key_is_reported_as_servers_own_refusal() {
    let edge = start();
    let mut proxy = proxy(&edge, "marked-other-key/+=&");
    for _ in 0..2 {
        let before = posts(&edge);
        let answer = proxy.ask(INITIALIZE);
        let data = &json(&answer)["error"]["data"];
        assert_eq!((&data["cause"], &data["status"]), (&"origin_refused".into(), &401.into()), "{answer}");
        assert!(answer.contains("X-API-Key is missing or unknown"), "{answer}");
        assert!(data["advice"].as_str().is_some_and(|advice| advice.contains("--header")), "{answer}");
        let correlation = data
            .as_object()
            .expect("data")
            .values()
            .any(|value| value.as_str().is_some_and(|value| value.starts_with("tm-")));
        assert!(correlation && !answer.contains("marked"), "{answer}");
        assert_eq!(posts(&edge) - before, 1);
    }
    finish(&edge, proxy);
}

#[test]
fn waits_for_short_rate_limit_and_reports_long_one() {
    let edge = start();
    let mut proxy = proxy(&edge, edge.key());
    proxy.ask(INITIALIZE);
    proxy.send(INITIALIZED);
    assert!(proxy.ask(ISSUE).contains("token 1"));
    // The moment is in whole seconds: one away, or two.
    edge.change(|settings| settings.limit = Some(Limit::new(1, 2)));
    assert!(proxy.ask(ISSUE).contains("token 2"));
    let before = posts(&edge);
    let answer = proxy.ask(ISSUE);
    assert!(answer.contains("token 3"), "waited for, and issued once: {answer}");
    assert_eq!(posts(&edge) - before, 2);
    edge.change(|settings| settings.limit = Some(Limit::new(0, 600)));
    let before = posts(&edge);
    let answer = proxy.ask(ISSUE);
    let data = &json(&answer)["error"]["data"];
    assert_eq!((&data["cause"], &data["status"]), (&"status".into(), &429.into()), "{answer}");
    assert!(answer.contains("asks to wait") && answer.contains("wait a while"), "{answer}");
    assert_eq!(posts(&edge) - before, 1, "a pause of ten minutes is the client's to decide upon");
    edge.change(|settings| settings.limit = None);
    assert!(proxy.ask(ISSUE).contains("token 4"), "nothing was issued twice");
    finish(&edge, proxy);
}
