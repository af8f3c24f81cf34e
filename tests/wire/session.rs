//! Headers, the session, and the stream for what the server has to say by itself.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::proxy::Proxy;
use crate::support::server::{Request, Script, Server};
use crate::support::{INITIALIZE, INITIALIZED};

fn facts(request: &Request) -> [Option<&str>; 4] {
    ["accept", "content-type", "mcp-session-id", "mcp-protocol-version"].map(|name| request.header(name))
}

#[test]
fn every_request_has_the_headers_of_its_kind() {
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.ask(INITIALIZE);
    assert_eq!(server.requests().len(), 1, "one exchange before the first answer");
    proxy.send(INITIALIZED);
    server.wait_for(|request| request.method == "GET");
    proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    proxy.finish();
    let requests = server.requests();
    let (post, json) = (Some("application/json, text/event-stream"), Some("application/json"));
    let (session, revision) = (Some("session-1"), Some("2025-06-18"));
    for (title, expected) in [
        ("initialize", [post, json, None, None]),
        ("notifications/initialized", [post, json, session, revision]),
        ("tools/list", [post, json, session, revision]),
        ("GET", [Some("text/event-stream"), None, session, revision]),
    ] {
        let request = requests.iter().find(|request| request.title() == title).expect(title);
        assert_eq!(facts(request), expected, "{title}");
    }
    let farewell = requests.last().expect("a request");
    assert_eq!((farewell.method.as_str(), farewell.header("mcp-session-id")), ("DELETE", session));
    assert_eq!(farewell.header("mcp-protocol-version"), revision);
    for request in &requests {
        assert_eq!(request.header("origin"), None);
        assert_eq!(request.header("user-agent"), Some(concat!("mcp-tether/", env!("CARGO_PKG_VERSION"))));
        assert_eq!(request.header("transfer-encoding"), None, "the length is known");
        assert_eq!(request.path, "/mcp");
    }
    assert_eq!(requests[0].body, INITIALIZE, "byte for byte");
}

#[test]
fn server_without_sessions_gets_no_session_id() {
    for name in [None, Some("")] {
        let server = Server::start(move |request, reply| match request.title() {
            "GET" => reply.status(405),
            title if title.starts_with("notifications/") => reply.status(202),
            _ => {
                let body =
                    format!(r#"{{"id":{},"result":{{"protocolVersion":"2025-03-26"}}}}"#, request.id());
                let session = name.map(|name| ("mcp-session-id", name));
                let headers: Vec<_> =
                    session.into_iter().chain([("content-type", "application/json")]).collect();
                reply.answer(200, &headers, &body);
            }
        });
        let mut proxy = Proxy::start(&[&server.url]);
        assert!(proxy.ask(INITIALIZE).contains("\"result\""));
        proxy.send(INITIALIZED);
        server.wait_for(|request| request.method == "GET");
        assert_eq!(proxy.finish().stderr, "");
        assert!(server.requests().iter().all(|request| request.header("mcp-session-id").is_none()));
        assert!(!server.titles().contains(&"DELETE".to_owned()));
    }
}

#[test]
fn rejects_session_id_outside_visible_ascii() {
    let ids: [&[u8]; 5] = [b"a b", b"a\tb", b"s-\xc3\xa9", b"\xff", "s-日本".as_bytes()];
    for id in ids {
        let server = Script::default()
            .expect("initialize", move |_, reply| {
                reply.raw("HTTP/1.1 200 OK\r\ncontent-length: 20\r\nmcp-session-id: ");
                reply.raw(id);
                reply.raw("\r\n\r\n{\"id\":1,\"result\":{}}");
            })
            .serve();
        let mut proxy = Proxy::start(&["--silent", &server.url]);
        let line = proxy.ask(INITIALIZE);
        assert!(line.contains("session id with characters outside visible ASCII"), "{id:?}: {line}");
        assert!(proxy.finish().lines.is_empty());
    }
}

#[test]
fn refused_or_silent_listening_stream_disturbs_nothing() {
    for status in [400, 404, 405, 500, 0] {
        let server = Server::start(move |request, reply| match request.title() {
            "GET" if status == 0 => reply.hang(),
            "GET" => reply.status(status),
            "notifications/initialized" => reply.status(202),
            _ => reply.result(request, r#"{"protocolVersion":"2025-06-18"}"#),
        });
        let mut proxy = Proxy::start(&[&server.url]);
        proxy.ask(INITIALIZE);
        proxy.send(INITIALIZED);
        server.wait_for(|request| request.method == "GET");
        for id in 2..5 {
            assert!(proxy.ask(&format!(r#"{{"id":{id},"method":"a"}}"#)).contains("\"result\""), "{status}");
        }
        let ended = proxy.finish();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{status}");
    }
}

#[test]
fn server_requests_reach_client_and_are_answered() {
    let (say, words) = channel::<String>();
    let words = Mutex::new(words);
    let server = Server::start(move |request, reply| match request.title() {
        "GET" => {
            reply.open_stream();
            for word in words.lock().expect("no panic").iter() {
                reply.event(&word);
            }
        }
        "initialize" => reply.result(request, r#"{"protocolVersion":"2025-06-18"}"#),
        _ => reply.status(202),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.ask(INITIALIZE);
    proxy.send(INITIALIZED);
    for (word, answer) in [
        (r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#, None),
        (
            r#"{"jsonrpc":"2.0","id":"s-1","method":"roots/list"}"#,
            Some(r#"{"jsonrpc":"2.0","id":"s-1","result":{"roots":[]}}"#),
        ),
        (
            r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#,
            Some(r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"no"}}"#),
        ),
    ] {
        say.send(word.to_owned()).expect("listening");
        assert_eq!(proxy.line(), word);
        if let Some(answer) = answer {
            proxy.send(answer);
            assert_eq!(server.wait_for(|request| request.body == answer).method, "POST");
        }
    }
    drop(say);
    assert_eq!(proxy.finish().code, Some(0));
}
