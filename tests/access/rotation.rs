//! Rotation as it is practised: a second secret, both accepted for a while, then the first no longer.

use crate::edge::{Config, Edge};
use crate::secrets;
use crate::support::proxy::{Proxy, Stdin};
use crate::support::{INITIALIZE, INITIALIZED};

fn call(id: usize) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"t"}}}}}}"#
    )
}

/// Calls so many times at once, all of which are answered.
fn all_are_answered(proxy: &mut Proxy, when: &str) {
    for id in 10..30 {
        proxy.send(&call(id));
    }
    let mut ids: Vec<String> = (10..30)
        .map(|_| {
            let line = proxy.line();
            assert!(line.contains("\"result\""), "{when}: {line}");
            mcp_tether::json::member(&line, "id").expect("an id").to_owned()
        })
        .collect();
    ids.sort();
    assert_eq!(ids, (10..30).map(|id| id.to_string()).collect::<Vec<_>>(), "{when}");
}

#[test]
fn file_written_during_grace_period_suffices() {
    let edge = Edge::start(Config::default()).expect("a free port");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token.env");
    let write = |secret: &str| {
        let id = &edge.token().id;
        let text = format!("CF_ACCESS_CLIENT_ID={id}\nCF_ACCESS_CLIENT_SECRET={secret}\n");
        std::fs::write(&path, text).expect("written");
    };
    write(&edge.token().secret);
    let mut proxy = Proxy::start(&["-vvv", &edge.mcp_url(), "--env-file", path.to_str().expect("UTF-8")]);
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    proxy.send(INITIALIZED);
    all_are_answered(&mut proxy, "before");
    let rotated = edge.rotate();
    all_are_answered(&mut proxy, "during the grace");
    write(&rotated.secret);
    edge.end_grace();
    all_are_answered(&mut proxy, "behind it");
    let ended = proxy.finish();
    let told = secrets::found(&ended.stderr, &[edge.token().secret.clone(), rotated.secret]);
    assert!(told.is_empty() && ended.code == Some(0), "{told:?} {}", ended.stderr);
}

#[test]
fn next_token_in_environment_takes_over() {
    let edge = Edge::start(Config::default()).expect("a free port");
    let rotated = edge.rotate();
    let token = edge.token();
    let environment = [
        ("CF_ACCESS_CLIENT_ID", token.id.as_str()),
        ("CF_ACCESS_CLIENT_SECRET", &token.secret),
        ("CF_ACCESS_CLIENT_ID_NEXT", &rotated.id),
        ("CF_ACCESS_CLIENT_SECRET_NEXT", &rotated.secret),
    ];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &["-vvv", &edge.mcp_url()], &environment);
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    proxy.send(INITIALIZED);
    all_are_answered(&mut proxy, "during the grace");
    edge.end_grace();
    all_are_answered(&mut proxy, "behind it");
    let before = edge.requests().len();
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!(edge.requests().len() - before, 1, "the switch is kept");
    let ended = proxy.finish();
    let told = secrets::found(&ended.stderr, &[token.secret.clone(), rotated.secret]);
    assert!(told.is_empty() && ended.code == Some(0), "{told:?} {}", ended.stderr);
}

#[test]
fn two_rejected_tokens_are_tried_once_and_explained() {
    let edge = Edge::start(Config::default()).expect("a free port");
    let rotated = edge.rotate();
    edge.change(|settings| settings.tokens.clear());
    let token = edge.token();
    let environment = [
        ("CF_ACCESS_CLIENT_ID", token.id.as_str()),
        ("CF_ACCESS_CLIENT_SECRET", &token.secret),
        ("CF_ACCESS_CLIENT_ID_NEXT", &rotated.id),
        ("CF_ACCESS_CLIENT_SECRET_NEXT", &rotated.secret),
    ];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&edge.mcp_url()], &environment);
    let answer = proxy.ask(INITIALIZE);
    assert!(answer.contains("\"cause\":\"access_token\""), "{answer}");
    assert_eq!(edge.requests().len(), 2);
    proxy.ask(INITIALIZE);
    assert_eq!(edge.requests().len(), 3, "no circle");
    assert_eq!(proxy.finish().code, Some(0));
}
