//! Answers of every form: how they reach the client.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::proxy::Proxy;
use crate::support::server::{Reply, Request, Server};

/// What the client gets for one request that is answered so.
fn asked(handler: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Vec<String> {
    let server = Server::start(handler);
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    proxy.send(r#"{"jsonrpc":"2.0","id":7,"method":"ask"}"#);
    let ended = proxy.finish();
    assert_eq!(ended.code, Some(0));
    ended.lines
}

#[test]
fn body_passes_unchanged_except_line_ends() {
    let body = "{\r\n  \"result\": {\"n\": 12345678901234567890123, \"f\": 1E400, \"s\": \"\\u00e9\\n\\/\", \"a\": 1.0, \"a\": -0},\n  \"x-new\": [ ],\n  \"id\": 7\n}\n";
    let expected = "{    \"result\": {\"n\": 12345678901234567890123, \"f\": 1E400, \"s\": \"\\u00e9\\n\\/\", \"a\": 1.0, \"a\": -0},   \"x-new\": [ ],   \"id\": 7 }";
    for media_type in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.mcp+json"] {
        let lines = asked(move |_, reply| reply.answer(200, &[("content-type", media_type)], body));
        assert_eq!(lines, [expected], "{media_type}");
    }
    let lines = asked(move |_, reply| reply.answer(200, &[], &format!("\u{feff}{body}")));
    assert_eq!(lines, [expected], "without a type, with a byte order mark");
}

#[test]
fn only_message_events_pass_in_order() {
    let server = Server::start(|_, reply| {
        reply.open_stream();
        reply.raw(": comment\nid: 1\nretry: 5\ndata:\n\n");
        reply.raw("event: ping\ndata: {\"method\":\"not-for-the-client\"}\n\ndata: ping\n\ndata: {}\n\n");
        reply.raw("data: {\"method\":\"notifications/a\",\r\ndata: \"params\":{}}\r\n\r\n");
        reply.raw("event: message\ndata: [{\"method\":\"notifications/b\"},{\"id\":\"s\",\"method\":\"roots/list\"}]\n\n");
        reply.raw("data: {\"id\":7,\"result\":{}}\n\n");
    });
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    proxy.send(r#"{"jsonrpc":"2.0","id":7,"method":"ask"}"#);
    for expected in [
        r#"{"method":"notifications/a", "params":{}}"#,
        r#"{"method":"notifications/b"}"#,
        r#"{"id":"s","method":"roots/list"}"#,
        r#"{"id":7,"result":{}}"#,
    ] {
        assert_eq!(proxy.line(), expected);
    }
    assert!(proxy.finish().lines.is_empty());
}

#[test]
fn stream_cut_anywhere_gives_one_answer() {
    let stream = "data: {\"method\":\"n\"}\n\ndata: {\"id\":7,\"result\":{}}\n\n";
    // Whole is the answer with its last brace, whatever becomes of the line ends behind it.
    let whole = stream.trim_end().len();
    let (sender, cuts) = channel::<usize>();
    let cuts = Mutex::new(cuts);
    let server = Server::start(move |_, reply| {
        let cut = cuts.lock().expect("no panic").recv().expect("a cut");
        // A chunked body that ends early: the connection breaks in the middle of the answer.
        reply.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        if cut > 0 {
            reply.raw(format!("{cut:x}\r\n{}\r\n", &stream[..cut]));
        }
        reply.close();
    });
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    for cut in 0..=stream.len() {
        sender.send(cut).expect("listening");
        let mut line = proxy.ask(r#"{"jsonrpc":"2.0","id":7,"method":"ask"}"#);
        if line == r#"{"method":"n"}"# {
            line = proxy.line();
        }
        match cut >= whole {
            true => assert_eq!(line, r#"{"id":7,"result":{}}"#, "cut at {cut}"),
            false => assert!(line.contains(r#""cause":"connection","status":200"#), "cut at {cut}: {line}"),
        }
    }
    assert!(proxy.finish().lines.is_empty(), "nothing was answered twice");
}

#[test]
fn open_stream_after_answer_delays_nothing() {
    let server = Server::start(|request, reply| {
        reply.open_stream();
        reply.event(&format!(r#"{{"id":{},"result":{{}}}}"#, request.id()));
        reply.hang();
    });
    let mut proxy = Proxy::start(&[&server.url]);
    for id in 0..300 {
        assert!(proxy.ask(&format!(r#"{{"id":{id},"method":"a"}}"#)).contains("\"result\""), "{id}");
    }
    assert_eq!(proxy.finish().code, Some(0));
}

#[test]
fn unusable_response_is_an_error_with_status() {
    type Handler = fn(&Request, &mut Reply);
    let cases: [(&str, Handler, &[&str]); 12] = [
        (
            "an empty body",
            |_, reply| reply.answer(200, &[("content-type", "application/json")], ""),
            &["answered 200", "the body is empty", "\"status\":200"],
        ),
        (
            "broken JSON",
            |_, reply| reply.json("{\"id\":7,\"result\":"),
            &["the JSON ends early", "\"status\":200"],
        ),
        ("no JSON-RPC", |_, reply| reply.json("{\"ok\":true}"), &["no method, result or error"]),
        (
            "another answer",
            |_, reply| reply.json("{\"id\":8,\"result\":{}}"),
            &["without answering the request"],
        ),
        (
            "a web page",
            |_, reply| reply.answer(200, &[("content-type", "text/html")], "<html>"),
            &["a web page", "text/html", "\"status\":200"],
        ),
        (
            "another type",
            |_, reply| reply.answer(200, &[("content-type", "text/plain")], "hi"),
            &["unknown content type text/plain"],
        ),
        ("202", |_, reply| reply.status(202), &["accepted the request but sent no answer", "\"status\":202"]),
        ("204", |_, reply| reply.status(204), &["accepted the request but sent no answer", "\"status\":204"]),
        ("an empty stream", |_, reply| reply.open_stream(), &["without answering the request"]),
        (
            "a broken event",
            |_, reply| {
                reply.open_stream();
                reply.raw("data: {\"id\":7,\"result\":{\n\n");
                reply.hang();
            },
            &["its answer is not a JSON-RPC message"],
        ),
        ("no answer at all", |_, reply| reply.close(), &["broke before the answer"]),
        (
            "half a head",
            |_, reply| {
                reply.raw("HTTP/1.1 200 OK\r\ncontent-ty");
                reply.close();
            },
            &["broke before the answer"],
        ),
    ];
    for (name, handler, expected) in cases {
        let lines = asked(handler);
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        assert!(
            lines[0].starts_with(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-31"#),
            "{name}: {}",
            lines[0]
        );
        for part in expected {
            assert!(lines[0].contains(part), "{name}: {part} is missing in {}", lines[0]);
        }
    }
    let lines = asked(|_, reply| {
        reply.raw(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":7,",
        );
        reply.close();
    });
    assert!(lines[0].contains("\"cause\":\"connection\""), "{lines:?}");
}

#[test]
fn drops_bodies_after_notification() {
    let server = Server::start(|request, reply| match request.title() {
        "n200" => reply.json("{\"id\":1,\"result\":{}}"),
        "n202" => reply.answer(202, &[("content-type", "application/json")], "{}"),
        "n204" => reply.status(204),
        _ => reply.result(request, "{}"),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    for method in ["n200", "n202", "n204"] {
        proxy.send(&format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#));
    }
    assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":1,"method":"last"}"#).contains("\"id\":1"));
    let ended = proxy.finish();
    assert_eq!((ended.lines.len(), ended.stderr.as_str()), (0, ""));
}

#[test]
fn compressed_responses_pass_event_by_event() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let server = Server::start(move |request, reply| {
        assert_eq!(request.header("accept-encoding"), Some("gzip"));
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let body = format!(r#"{{"id":{},"result":{{}}}}"#, request.id());
        if request.title() == "json" {
            packed.write_all(body.as_bytes()).expect("in memory");
            let packed = packed.finish().expect("in memory");
            reply.raw(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len()));
            return reply.raw(packed);
        }
        reply.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n");
        for number in 0..3 {
            write!(packed, "data: {{\"method\":\"n\",\"params\":{{\"number\":{number}}}}}\n\n")
                .expect("in memory");
            packed.flush().expect("in memory");
            reply.raw(std::mem::take(packed.get_mut()));
            released.lock().expect("no panic").recv().expect("released");
        }
        write!(packed, "data: {body}\n\n").expect("in memory");
        reply.raw(packed.finish().expect("in memory"));
        reply.close();
    });
    let mut proxy = Proxy::start(&[&server.url]);
    assert_eq!(proxy.ask(r#"{"id":1,"method":"json"}"#), r#"{"id":1,"result":{}}"#);
    proxy.send(r#"{"id":2,"method":"stream"}"#);
    for number in 0..3 {
        assert_eq!(proxy.line(), format!(r#"{{"method":"n","params":{{"number":{number}}}}}"#));
        release.send(()).expect("it waits");
    }
    assert_eq!(proxy.line(), r#"{"id":2,"result":{}}"#);
    assert_eq!(proxy.finish().stderr, "");
}

#[test]
fn streamable_http_answers_requests_in_batch_beyond_limit() {
    let requests = |at: &str| {
        let all: Vec<String> =
            (0..1_001).map(|id| format!(r#"{{"id":"{at}{id}","method":"roots/list"}}"#)).collect();
        format!("[{}]", all.join(","))
    };
    let (sender, heard) = channel();
    let server = Server::start(move |request, reply| match request.title() {
        "in-stream" => {
            reply.open_stream();
            reply.event(&requests("s"));
        }
        "in-body" => reply.answer(200, &[], &requests("b")),
        _ => {
            reply.status(202);
            drop(sender.send(request.id().to_owned()));
        }
    });
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    for (method, at) in [("in-stream", 's'), ("in-body", 'b')] {
        let error = proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}"}}"#));
        assert!(error.contains("the limit of mcp-tether is 1000"), "{error}");
        let mut answered: Vec<String> = (0..1_000).map(|_| heard.recv().expect("an answer")).collect();
        let mut expected: Vec<String> = (0..1_000).map(|id| format!("\"{at}{id}\"")).collect();
        answered.sort();
        expected.sort();
        assert_eq!(answered, expected, "{method}");
    }
    assert!(proxy.finish().lines.is_empty());
}
