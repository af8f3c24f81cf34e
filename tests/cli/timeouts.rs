//! `--headers-timeout` and `--body-timeout`: a request that runs out gets an error that names the option, and the process lives.

use crate::support::INITIALIZE;
use crate::support::proxy::Proxy;
use crate::support::server::{Reply, Request, Server};

/// Long for a machine, short for a test.
const LIMIT: &str = "0.3";

const CALL: &str = r#"{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"t"}}"#;

/// What becomes of a call that is answered so, and of what comes after it.
fn stalls(option: &str, how: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) {
    let server = Server::start(move |request, reply| match request.title() {
        "tools/call" => how(request, reply),
        "GET" => reply.status(405),
        title if title.starts_with("notifications/") => reply.status(202),
        _ => reply.result(request, r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#),
    });
    let mut proxy = Proxy::start(&[&server.url, option, LIMIT]);
    assert!(proxy.ask(INITIALIZE).contains("result"));
    let line = proxy.ask(CALL);
    assert!(line.contains(r#""id":"slow""#) && line.contains(r#""cause":"timeout""#), "{line}");
    assert!(line.contains(option) && line.contains("-31009") && line.contains("0.3 s"), "{line}");
    assert!(line.contains("it may have run and was not repeated"), "{line}");
    let line = proxy.ask(r#"{"jsonrpc":"2.0","id":"next","method":"ping"}"#);
    assert!(line.contains("result"), "{line}");
    assert_eq!(proxy.finish().code, Some(0));
    let calls = server.requests().iter().filter(|request| request.title() == "tools/call").count();
    assert_eq!(calls, 1, "it was sent again");
}

#[test]
fn response_that_does_not_begin_times_out() {
    stalls("--headers-timeout", |_, reply| reply.hang());
}

#[test]
fn response_that_stalls_times_out() {
    stalls("--body-timeout", |_, reply| {
        reply.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"id\"");
        reply.hang();
    });
}

#[test]
fn silent_stream_times_out() {
    stalls("--body-timeout", |_, reply| {
        reply.open_stream();
        reply.hang();
    });
}

#[test]
fn silent_resumable_stream_times_out() {
    stalls("--body-timeout", |_, reply| {
        reply.open_stream();
        reply.raw("id: 1\ndata:\n\n");
        reply.hang();
    });
}
