//! Whole conversations: what the server asks while it is asked, where answers come from, and what goes astray.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::{Reply, Request, Script, Server};
use crate::support::{INITIALIZE, INITIALIZED, PATIENCE};

fn open_session(request: &Request, reply: &mut Reply) {
    let body = format!(r#"{{"id":{},"result":{{"protocolVersion":"2025-06-18"}}}}"#, request.id());
    reply.answer(200, &[("content-type", "application/json"), ("mcp-session-id", "s-1")], &body);
}

#[test]
fn server_request_within_call_is_answered() {
    for stdin in Stdin::ALL {
        let (tell, told) = channel::<String>();
        let (tell, told) = (Mutex::new(tell), Mutex::new(told));
        let server = Server::start(move |request, reply| match request.title() {
            "initialize" => open_session(request, reply),
            "tools/call" => {
                reply.open_stream();
                reply.event(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#);
                reply.event(r#"{"jsonrpc":"2.0","id":0,"method":"elicitation/create","params":{}}"#);
                let answer = told.lock().expect("no panic").recv_timeout(PATIENCE).expect("an answer");
                reply.event(&format!(r#"{{"id":{},"result":{answer}}}"#, request.id()));
            }
            "GET" => reply.status(405),
            "DELETE" => reply.status(204),
            _ => {
                if request.member("result").is_some() {
                    tell.lock().expect("no panic").send(request.body.clone()).expect("it waits");
                }
                reply.status(202);
            }
        });
        let mut proxy = Proxy::start_with(*stdin, &[&server.url], &[]);
        proxy.ask(INITIALIZE);
        proxy.send(INITIALIZED);
        assert!(proxy.ask(r#"{"id":"call","method":"tools/call"}"#).contains("progress"));
        assert!(proxy.line().contains("elicitation/create"));
        let answer = r#"{"jsonrpc":"2.0","id":0,"result":{"action":"accept"}}"#;
        assert_eq!(proxy.ask(answer), format!(r#"{{"id":"call","result":{answer}}}"#));
        let posted = server.wait_for(|request| request.body == answer);
        assert_eq!(posted.header("mcp-session-id"), Some("s-1"));
        assert_eq!(posted.header("mcp-protocol-version"), Some("2025-06-18"));
        let ended = proxy.finish();
        assert_eq!((ended.lines.len(), ended.stderr.as_str()), (0, ""), "{stdin:?}");
    }
}

#[test]
fn handshake_stream_may_hold_notification_and_request() {
    let (tell, told) = channel::<()>();
    let (tell, told) = (Mutex::new(tell), Mutex::new(told));
    let server = Server::start(move |request, reply| match request.title() {
        "initialize" => {
            reply.close();
            reply.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nMCP-SESSION-ID: s-1\r\nconnection: close\r\n\r\n");
            reply.event(r#"{"method":"notifications/message","params":{"data":"hello"}}"#);
            reply.event(r#"{"id":"p","method":"ping"}"#);
            told.lock().expect("no panic").recv_timeout(PATIENCE).expect("an answer");
            reply.event(&format!(r#"{{"id":{},"result":{{"protocolVersion":"2025-06-18"}}}}"#, request.id()));
        }
        "GET" => reply.status(405),
        "DELETE" => reply.status(405),
        _ => {
            if request.member("result").is_some() {
                assert_eq!(request.header("mcp-session-id"), Some("s-1"));
                assert_eq!(request.header("mcp-protocol-version"), None, "none is agreed on yet");
                tell.lock().expect("no panic").send(()).expect("it waits");
            }
            reply.status(202);
        }
    });
    let mut proxy = Proxy::start(&[&server.url]);
    assert!(proxy.ask(INITIALIZE).contains("hello"));
    assert_eq!(proxy.line(), r#"{"id":"p","method":"ping"}"#);
    assert_eq!(server.requests().len(), 1);
    assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":"p","result":{}}"#).contains("protocolVersion"));
    proxy.send(INITIALIZED);
    let listening = server.wait_for(|request| request.method == "GET");
    assert_eq!(listening.header("mcp-session-id"), Some("s-1"));
    assert_eq!(proxy.finish().stderr, "", "a DELETE that is refused concerns nobody");
}

#[test]
fn listening_stream_opens_once_after_handshake() {
    let (release, released) = channel::<()>();
    let server = Script::default()
        .expect("initialize", open_session)
        .expect("notifications/initialized", move |_, reply| {
            released.recv_timeout(PATIENCE).expect("released");
            reply.status(202);
        })
        .expect("GET", |_, reply| {
            reply.open_stream();
            reply.hang();
        })
        .expect("ping", |request, reply| reply.result(request, "{}"))
        .expect("DELETE", |_, reply| reply.status(204))
        .serve();
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.ask(INITIALIZE);
    proxy.send(INITIALIZED);
    server.wait_for(|request| request.title() == "notifications/initialized");
    assert_eq!(server.titles(), ["initialize", "notifications/initialized"]);
    release.send(()).expect("it waits");
    server.wait_for(|request| request.method == "GET");
    assert!(proxy.ask(r#"{"id":2,"method":"ping"}"#).contains("\"result\""));
    assert_eq!(proxy.finish().code, Some(0));
}

#[test]
fn answer_counts_once_on_any_stream() {
    let (listening, stream) = channel::<()>();
    let (listening, stream) = (Mutex::new(listening), Mutex::new(stream));
    let server = Server::start(move |request, reply| match request.title() {
        "initialize" => open_session(request, reply),
        "GET" => {
            reply.open_stream();
            stream.lock().expect("no panic").recv_timeout(PATIENCE).expect("a call");
            // The answer to a call whose own exchange stays silent.
            reply.event(r#"{"id":2,"result":"by the other stream"}"#);
            reply.hang();
        }
        "silent" => {
            reply.open_stream();
            listening.lock().expect("no panic").send(()).expect("it waits");
            reply.hang();
        }
        "twice" => {
            reply.open_stream();
            for text in ["first", "second"] {
                reply.event(&format!(r#"{{"id":{},"result":"{text}"}}"#, request.id()));
            }
        }
        "stranger" => {
            reply.open_stream();
            reply.event(r#"{"id":"nobody's","result":{}}"#);
            reply.event(&format!(r#"{{"id":{},"result":"own"}}"#, request.id()));
        }
        "notifications/initialized" => reply.status(202),
        "DELETE" => reply.status(204),
        _ => reply.result(request, r#""plain""#),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.ask(INITIALIZE);
    proxy.send(INITIALIZED);
    server.wait_for(|request| request.method == "GET");
    assert_eq!(proxy.ask(r#"{"id":2,"method":"silent"}"#), r#"{"id":2,"result":"by the other stream"}"#);
    assert_eq!(proxy.ask(r#"{"id":3,"method":"twice"}"#), r#"{"id":3,"result":"first"}"#);
    assert_eq!(proxy.ask(r#"{"id":4,"method":"stranger"}"#), r#"{"id":4,"result":"own"}"#);
    assert!(proxy.ask(r#"{"id":5,"method":"last"}"#).contains("plain"));
    let ended = proxy.finish();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{ended:?}");
}

#[test]
fn number_and_string_ids_are_distinct() {
    let (seven, both) = channel::<()>();
    let (seven, both) = (Mutex::new(seven), Mutex::new(both));
    let server = Server::start(move |request, reply| {
        match request.id() {
            "7" => both.lock().expect("no panic").recv_timeout(PATIENCE).expect("the other one came"),
            _ => seven.lock().expect("no panic").send(()).expect("it waits"),
        }
        let id = request.id().to_owned();
        reply.result(request, &format!("[{id}]"));
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.write(b"{\"id\":7,\"method\":\"a\"}\n{\"id\":\"7\",\"method\":\"a\"}\n");
    let mut lines = [proxy.line(), proxy.line()];
    lines.sort();
    let expected =
        [r#"{"jsonrpc":"2.0","id":"7","result":["7"]}"#, r#"{"jsonrpc":"2.0","id":7,"result":[7]}"#];
    assert_eq!(lines, expected);
    proxy.finish();
}

#[test]
fn refused_notification_writes_nothing_to_stdout() {
    for status in [400, 404, 500] {
        let server = Server::start(move |request, reply| match request.title() {
            "ping" => reply.result(request, "{}"),
            _ => reply.answer(
                status,
                &[("content-type", "application/json")],
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#,
            ),
        });
        let mut proxy = Proxy::start(&[&server.url]);
        for message in [
            r#"{"jsonrpc":"2.0","method":"notifications/x"}"#,
            r#"{"jsonrpc":"2.0","id":"s","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"t","error":{"code":1,"message":"m"}}"#,
        ] {
            proxy.send(message);
            server.wait_for(|request| request.body == message);
        }
        assert!(proxy.ask(r#"{"id":1,"method":"ping"}"#).contains("\"result\""));
        let ended = proxy.finish();
        assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{ended:?}");
        let told = ended.stderr.lines().filter(|line| line.contains(&format!("answered {status} "))).count();
        assert_eq!(told, 3, "{}", ended.stderr);
    }
}

#[test]
fn server_error_gets_only_id_of_its_request() {
    let ids = ["null", "\"another\"", "99", "", "{\"odd\":1}"];
    let server = Server::start(move |request, reply| {
        // After a bare 401 it is looked for a way to sign in.
        let Some(params) = request.member("params") else { return reply.status(404) };
        let mut numbers = params.split('.');
        let mut number = || numbers.next().expect("a number").parse::<usize>().expect("a number");
        let (status, index) = (number(), number() - 1);
        let id = match ids[index] {
            "" => String::new(),
            id => format!(r#""id" : {id}, "#),
        };
        let body = format!(
            "{{ {id}\"jsonrpc\":\"2.0\",\n\"error\":{{\"code\":-32001,\"message\":\"\\u00e9\",\"data\":[1e400,1.0]}}, \"x\":{{}}}}"
        );
        // Too long a wait for anything to be sent again.
        let headers = [("content-type", "Application/Json;charset=x"), ("retry-after", "60")];
        reply.answer(status.try_into().expect("a status"), &headers, &body);
    });
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    for status in [400, 401, 404, 429, 500, 503] {
        for index in 1..=4 {
            let line = proxy.ask(&format!(r#"{{"id":"mine","method":"a","params":{status}.{index}}}"#));
            let rest = r#""error":{"code":-32001,"message":"\u00e9","data":[1e400,1.0]}, "x":{}}"#;
            assert!(line.ends_with(rest), "{status} {index}: {line}");
            assert_eq!(mcp_tether::json::member(&line, "id"), Some("\"mine\""), "{status} {index}: {line}");
            assert_eq!(line.matches("\"id\"").count(), 1, "{line}");
        }
        // What no id can be is no answer, and still one error.
        let line = proxy.ask(&format!(r#"{{"id":"mine","method":"a","params":{status}.5}}"#));
        assert_eq!(mcp_tether::json::member(&line, "id"), Some("\"mine\""), "{line}");
        assert!(line.contains("\"error\""), "{line}");
    }
    assert!(proxy.finish().lines.is_empty());
}
