//! What a server, or whatever stands in its place, may send without meaning it: one answer each, and life goes on.

use crate::support::proxy::Proxy;
use crate::support::server::{Reply, Request, Script, Server};
use crate::support::{INITIALIZE, INITIALIZED};

/// The answers to the names below.
fn odd(request: &Request, reply: &mut Reply) {
    const JSON: &str = "content-type: application/json\r\n";
    let result = format!(r#"{{"id":{},"result":{{}}}}"#, request.id());
    let length = result.len();
    match request.title() {
        "ping" => return reply.result(request, "{}"),
        "ssh" => reply.raw("SSH-2.0-OpenSSH_9.6\r\n"),
        "nothing but line ends" => reply.raw("\r\n\r\n\r\n"),
        "switching" => reply.raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        "no such status" => reply.raw("HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n"),
        "status beyond" => reply.raw("HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n"),
        "not modified" => reply.raw("HTTP/1.1 304 X\r\n\r\n"),
        "many headers" => {
            reply.raw("HTTP/1.1 200 OK\r\n");
            for number in 0..20_000 {
                reply.raw(format!("x-{number}: {}\r\n", "y".repeat(80)));
            }
            reply.raw(format!("{JSON}content-length: {length}\r\n\r\n{result}"));
        }
        "two lengths" => reply.raw(format!(
            "HTTP/1.1 200 OK\r\n{JSON}content-length: {length}\r\ncontent-length: 1\r\n\r\n{result}"
        )),
        "broken chunk" => {
            reply.raw(format!("HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\nxyz\r\n{result}\r\n"));
        }
        "broken chunk in a stream" => reply.raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\ndata: {result}\n\n"
        )),
        "no gzip" => reply.raw(format!(
            "HTTP/1.1 200 OK\r\n{JSON}content-encoding: gzip\r\ncontent-length: {length}\r\n\r\n{result}"
        )),
        "no gzip in a stream" => reply.raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\ndata: {result}\n\n"
        )),
        "no gzip in a refusal" => {
            reply.raw("HTTP/1.1 500 X\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\noops");
        }
        "a request" => reply.json(r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#),
        "an empty batch" => reply.json("[]"),
        "a scalar" => reply.json("7"),
        "bytes" => {
            reply.raw(format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 3\r\n\r\n"));
            reply.raw(b"\xff\xfe\x00");
        }
        title => panic!("{title}"),
    }
    reply.close();
}

#[test]
fn unreadable_response_is_one_error() {
    let server = Server::start(odd);
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    for name in [
        "ssh",
        "nothing but line ends",
        "switching",
        "no such status",
        "status beyond",
        "not modified",
        "many headers",
        "two lengths",
        "broken chunk",
        "broken chunk in a stream",
        "no gzip",
        "no gzip in a stream",
        "no gzip in a refusal",
        "a request",
        "an empty batch",
        "a scalar",
        "bytes",
    ] {
        let mut line = proxy.ask(&format!(r#"{{"id":"odd","method":"{name}"}}"#));
        if name == "a request" {
            assert!(line.contains("roots/list"), "{line}");
            line = proxy.line();
        }
        assert!(line.contains(r#""id":"odd","error":{"code":-31"#), "{name}: {line}");
        assert!(line.contains("\"advice\""), "{name}: {line}");
        let next = proxy.ask(r#"{"id":"next","method":"ping"}"#);
        assert!(next.contains(r#""id":"next","result""#), "after {name}: {next}");
    }
    let ended = proxy.finish();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{ended:?}");
}

#[test]
fn delivers_unusual_answers() {
    let server = Server::start(|request, reply| {
        let result = format!(r#"{{"id":{},"result":{{}}}}"#, request.id());
        let length = result.len();
        match request.title() {
            "hints first" => reply.raw(format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{result}"
            )),
            "old" => {
                reply.raw(format!("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{result}"));
                reply.close();
            }
            "without a reason" => {
                reply.raw(format!("HTTP/1.1 200\r\ncontent-length: {length}\r\n\r\n{result}"));
            }
            "created" => reply.raw(format!("HTTP/1.1 201 X\r\ncontent-length: {length}\r\n\r\n{result}")),
            "byte by byte" => {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: {result}\r\r"
                );
                for byte in answer.bytes() {
                    reply.raw([byte]);
                }
                reply.close();
            }
            "a batch" => reply.json(&format!(r#"[{{"method":"n"}},{result}]"#)),
            title => panic!("{title}"),
        }
    });
    let mut proxy = Proxy::start(&[&server.url]);
    for name in ["hints first", "old", "without a reason", "created", "byte by byte", "a batch"] {
        let mut line = proxy.ask(&format!(r#"{{"id":1,"method":"{name}"}}"#));
        if name == "a batch" {
            assert_eq!(line, r#"{"method":"n"}"#);
            line = proxy.line();
        }
        assert_eq!(line, r#"{"id":1,"result":{}}"#, "{name}");
    }
    let ended = proxy.finish();
    assert_eq!((ended.lines.len(), ended.stderr.as_str()), (0, ""));
}

#[test]
fn endless_notification_streams_block_nothing() {
    let server = Server::start(|request, reply| match request.title() {
        "ping" => reply.result(request, "{}"),
        _ => {
            reply.open_stream();
            reply.hang();
        }
    });
    let mut proxy = Proxy::start(&[&server.url]);
    for number in 0..40 {
        let text =
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{{"number":{number}}}}}"#);
        proxy.send(&text);
        server.wait_for(|request| request.body == text);
    }
    assert!(proxy.ask(r#"{"id":1,"method":"ping"}"#).contains("\"result\""));
    assert_eq!(proxy.finish().code, Some(0));
}

#[test]
fn calls_with_one_id_get_separate_answers() {
    let server = Server::start(|request, reply| {
        let title = request.title().to_owned();
        reply.result(request, &format!("\"{title}\""));
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.write(b"{\"id\":1,\"method\":\"a\"}\n{\"id\":1,\"method\":\"b\"}\n");
    let mut lines = [proxy.line(), proxy.line()];
    lines.sort();
    let expected = [r#"{"jsonrpc":"2.0","id":1,"result":"a"}"#, r#"{"jsonrpc":"2.0","id":1,"result":"b"}"#];
    assert_eq!(lines, expected);
    assert!(proxy.finish().lines.is_empty());
}

#[test]
fn failed_handshake_frees_its_slot() {
    let server = Script::default()
        // Sent once more without a word.
        .expect("initialize", |_, reply| reply.close())
        .expect("initialize", |_, reply| {
            reply.answer(200, &[("content-type", "text/html"), ("mcp-session-id", "page")], "<html>");
        })
        .expect("initialize", |_, reply| {
            let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"not you"}}"#;
            reply.answer(200, &[("content-type", "application/json"), ("mcp-session-id", "refused")], error);
        })
        .expect("initialize", |request, reply| {
            assert_eq!(request.header("mcp-session-id"), None);
            reply.result(request, r#"{"protocolVersion":"2025-06-18"}"#);
        })
        .expect("notifications/initialized", |request, reply| {
            assert_eq!(request.header("mcp-session-id"), None, "of a handshake that failed nothing is kept");
            reply.status(202);
        })
        .expect("GET", |_, reply| reply.status(405))
        .serve();
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    for expected in ["a web page", "not you", "protocolVersion"] {
        let line = proxy.ask(INITIALIZE);
        assert!(line.contains(expected), "{line}");
    }
    proxy.send(INITIALIZED);
    server.wait_for(|request| request.method == "GET");
    assert_eq!(proxy.finish().code, Some(0));
}
