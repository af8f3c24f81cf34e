//! Who waits for whom, and cancellation.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::support::{INITIALIZE, INITIALIZED};

#[test]
fn handshake_written_at_once_is_sent_in_steps() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let server = Server::start(move |request, reply| match request.title() {
        "initialize" | "notifications/initialized" => {
            released.lock().expect("no panic").recv().expect("released");
            match request.title() {
                "initialize" => reply.result(request, r#"{"protocolVersion":"2025-06-18"}"#),
                _ => reply.status(202),
            }
        }
        "GET" => reply.status(405),
        _ => reply.result(request, "{}"),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    for line in
        [INITIALIZE, INITIALIZED, r#"{"id":2,"method":"tools/list"}"#, r#"{"id":3,"method":"prompts/list"}"#]
    {
        proxy.send(line);
    }
    server.wait_for(|request| request.title() == "initialize");
    assert_eq!(server.titles(), ["initialize"]);
    release.send(()).expect("it waits");
    assert!(proxy.line().contains("protocolVersion"));
    server.wait_for(|request| request.title() == "notifications/initialized");
    assert_eq!(server.titles(), ["initialize", "notifications/initialized"]);
    release.send(()).expect("it waits");
    let mut lines = [proxy.line(), proxy.line()];
    lines.sort();
    assert!(lines[0].contains("\"id\":2") && lines[1].contains("\"id\":3"), "{lines:?}");
    proxy.finish();
}

#[test]
fn slow_call_blocks_no_other() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let server = Server::start(move |request, reply| {
        if request.title() == "slow" {
            released.lock().expect("no panic").recv().expect("released");
        }
        reply.result(request, "{}");
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.send(r#"{"id":"slow","method":"slow"}"#);
    server.wait_for(|request| request.title() == "slow");
    for id in 0..50 {
        assert!(proxy.ask(&format!(r#"{{"id":{id},"method":"fast"}}"#)).contains(&format!("\"id\":{id},")));
    }
    release.send(()).expect("it waits");
    assert!(proxy.line().contains("\"id\":\"slow\""));
    proxy.finish();
}

#[test]
fn cancelled_call_gets_no_answer_and_reaches_server() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let server = Server::start(move |request, reply| match request.title() {
        "slow" => {
            reply.open_stream();
            reply.event(r#"{"method":"notifications/progress","params":{"progress":1}}"#);
            released.lock().expect("no panic").recv().expect("released");
            reply.event(&format!(r#"{{"id":{},"result":"late"}}"#, request.id()));
        }
        "notifications/cancelled" => reply.status(202),
        _ => reply.result(request, "{}"),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    assert!(proxy.ask(r#"{"id":5,"method":"slow"}"#).contains("progress"));
    let cancellation =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5,"reason":"x"}}"#;
    proxy.send(cancellation);
    server.wait_for(|request| request.body == cancellation);
    release.send(()).expect("it waits");
    assert!(proxy.ask(r#"{"id":6,"method":"other"}"#).contains("\"id\":6"));
    assert!(proxy.finish().lines.is_empty(), "the late answer went nowhere");
}

#[test]
fn cancellation_written_with_its_request_reaches_server() {
    let server = Server::start(|request, reply| match request.title() {
        "slow" => reply.hang(),
        _ => reply.status(202),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    for id in 0..20 {
        // In one write, so that both are read before either is sent.
        let request = format!(r#"{{"id":{id},"method":"slow"}}"#);
        let cancellation = format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
        proxy.write(format!("{request}\n{cancellation}\n").as_bytes());
        server.wait_for(|arrived| arrived.body == request);
        server.wait_for(|arrived| arrived.body == cancellation);
    }
    assert!(proxy.finish().lines.is_empty());
    assert_eq!(server.requests().len(), 40);
}
