//! What goes wrong on the way and is put right: sessions that are forgotten, streams that break, servers that are away,
//! cookies by which a load balancer finds the way back.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::{Reply, Request, Server};
use crate::support::{INITIALIZE, INITIALIZED};

const RESULT: &str =
    r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#;

/// A server that forgets every session when it is told to, and counts what it does.
fn forgetful(refuse: impl Fn(&mut Reply) + Send + Sync + 'static) -> Server {
    let session = AtomicUsize::new(0);
    Server::start(move |request, reply| {
        let current = format!("session-{}", session.load(Ordering::Relaxed));
        match request.title() {
            "initialize" => {
                let next = format!("session-{}", session.fetch_add(1, Ordering::Relaxed) + 1);
                let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{RESULT}}}"#, request.id());
                reply.answer(200, &[("content-type", "application/json"), ("mcp-session-id", &next)], &body);
            }
            _ if request.header("mcp-session-id") != Some(&current) => refuse(reply),
            "GET" => reply.status(405),
            "DELETE" => reply.status(204),
            "notifications/initialized" => reply.status(202),
            "forget" => {
                session.fetch_add(1000, Ordering::Relaxed);
                reply.result(request, "{}");
            }
            _ => reply.result(request, "{}"),
        }
    })
}

/// Opens a conversation.
fn begin(proxy: &mut Proxy) {
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    proxy.send(INITIALIZED);
}

#[test]
fn unknown_session_is_renewed_and_calls_run_once() {
    let words = [
        (404, ""),
        (404, r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#),
        (
            400,
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#,
        ),
        (400, r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Server not initialized"},"id":""}"#),
        (401, "Unauthorized: Session not found"),
    ];
    for (status, body) in words {
        let server =
            forgetful(move |reply| reply.answer(status, &[("content-type", "application/json")], body));
        let mut proxy = Proxy::start(&[&server.url]);
        begin(&mut proxy);
        assert!(proxy.ask(r#"{"id":"f","method":"forget"}"#).contains("result"));
        for id in 0..50 {
            proxy.send(&format!(r#"{{"id":{id},"method":"tools/call","params":{{"name":"n{id}"}}}}"#));
        }
        let mut answered: Vec<String> = (0..50).map(|_| proxy.line()).collect();
        assert!(answered.iter().all(|line| line.contains("\"result\"")), "{status} {body}: {answered:?}");
        answered.sort();
        answered.dedup();
        assert_eq!(answered.len(), 50);
        let requests = server.requests();
        let started = requests.iter().filter(|request| request.title() == "initialize");
        let sessions: Vec<Option<&str>> = started.map(|request| request.header("mcp-session-id")).collect();
        assert_eq!(sessions, [None, None], "one handshake for all, without the old session");
        let current = "session-1002";
        let ran = |request: &&Request| {
            request.title() == "tools/call" && request.header("mcp-session-id") == Some(current)
        };
        assert_eq!(requests.iter().filter(ran).count(), 50, "each ran once");
        assert_eq!(proxy.finish().code, Some(0));
        assert_eq!(server.requests().pop().expect("a request").title(), "DELETE");
    }
}

#[test]
fn refusal_about_another_session_executes_the_call_once() {
    let answers = [
        (400, r#"{"error": "chat session 17 is archived; the message was stored"}"#),
        (422, "the training session is full, you are on the waiting list now"),
        (422, r#"{"detail":[{"loc":["body","session_name"],"msg":"field required"}]}"#),
        (410, "the session was recorded and is over"),
        (500, r#"{"jsonrpc":"2.0","id":"ID","error":{"code":-32603,"message":"session store is slow"}}"#),
    ];
    for (status, body) in answers {
        let server = Server::legacy(move |request, reply| match request.title() {
            "tools/call" => {
                let body = body.replace("\"ID\"", request.id());
                reply.answer(status, &[("content-type", "application/json")], &body);
            }
            _ => reply.result(request, "{}"),
        });
        let mut proxy = Proxy::start(&["--silent", &server.url]);
        begin(&mut proxy);
        let line = proxy.ask(r#"{"id":2,"method":"tools/call","params":{"name":"store"}}"#);
        assert!(line.contains("\"error\"") && line.contains("session"), "{status} {body}: {line}");
        proxy.finish();
        let titles = server.titles();
        let count = |title: &str| titles.iter().filter(|other| *other == title).count();
        assert_eq!((count("tools/call"), count("initialize")), (1, 1), "{status} {body}: {titles:?}");
    }
}

#[test]
fn broken_stream_is_resumed_after_its_last_event() {
    let answers: Mutex<HashMap<String, String>> = Mutex::default();
    let server = Server::start(move |request, reply| match request.title() {
        "initialize" => reply.result(request, RESULT),
        "notifications/initialized" => reply.status(202),
        "GET" => match request.header("last-event-id") {
            Some(event) => {
                let answer = answers.lock().expect("no panic").get(event).cloned();
                reply.open_stream();
                reply.raw(format!("id: {event}-2\ndata: {}\n\n", answer.expect("an event of ours")));
            }
            None => reply.status(405),
        },
        _ => {
            let answer = format!(r#"{{"id":{},"result":{{"late":true}}}}"#, request.id());
            answers.lock().expect("no panic").insert(format!("e{}", request.id()), answer);
            reply.open_stream();
            // As the specification has it: an event without data, to begin with.
            reply.raw(format!("id: e{}\nretry: 20\ndata: \n\n", request.id()));
            reply.raw("data: {\"method\":\"notifications/message\"}\n\ndata: {\"id\":");
            reply.close();
        }
    });
    let mut proxy = Proxy::start(&[&server.url]);
    begin(&mut proxy);
    for id in 1..=5 {
        proxy.send(&format!(r#"{{"id":{id},"method":"tools/call"}}"#));
    }
    let mut lines: Vec<String> = (0..10).map(|_| proxy.line()).collect();
    lines.sort();
    let expected = (1..=5).map(|id| format!(r#"{{"id":{id},"result":{{"late":true}}}}"#));
    let messages = std::iter::repeat_n(r#"{"method":"notifications/message"}"#.to_owned(), 5);
    assert_eq!(lines, expected.chain(messages).collect::<Vec<_>>());
    let calls = server.titles().iter().filter(|title| *title == "tools/call").count();
    assert_eq!(calls, 5, "nothing is asked again: {:?}", server.titles());
    assert!(proxy.finish().lines.is_empty());
}

#[test]
fn listening_stream_is_resumed_after_its_last_event() {
    let opened = AtomicUsize::new(0);
    let server = Server::start(move |request, reply| match request.title() {
        "initialize" => reply.result(request, RESULT),
        "GET" => {
            let times = opened.fetch_add(1, Ordering::Relaxed);
            reply.open_stream();
            reply.raw(format!("id: e{times}\ndata: {{\"method\":\"notifications/n{times}\"}}\n\n"));
        }
        _ => reply.status(202),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    begin(&mut proxy);
    for times in 0..4 {
        assert_eq!(proxy.line(), format!(r#"{{"method":"notifications/n{times}"}}"#));
    }
    let requests = server.requests();
    let asked = requests.iter().filter(|request| request.title() == "GET");
    let behind: Vec<_> = asked.map(|request| request.header("last-event-id")).take(4).collect();
    assert_eq!(behind, [None, Some("e0"), Some("e1"), Some("e2")]);
    proxy.finish();
}

#[test]
fn short_server_outage_is_not_noticed() {
    let attempts = AtomicUsize::new(0);
    let server = Server::start(move |request, reply| match attempts.fetch_add(1, Ordering::Relaxed) {
        0 => reply.answer(503, &[("retry-after", "0")], ""),
        1 => reply.answer(429, &[], "error code: 1015"),
        2 => reply.answer(503, &[("retry-after", "1")], ""),
        _ => reply.result(request, "{}"),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    assert!(proxy.ask(r#"{"id":1,"method":"tools/call"}"#).contains("\"result\""));
    assert_eq!(server.titles(), ["tools/call"; 4]);
    proxy.finish();
}

#[test]
fn long_retry_after_is_reported_at_once() {
    let server = Server::start(|request, reply| match request.title() {
        "busy" => reply.answer(429, &[("retry-after", "77")], ""),
        "tools/list" => reply.result(
            request,
            r#"{"tools":[{"name":"read","annotations":{"readOnlyHint":true}},{"name":"add"}]}"#,
        ),
        _ => reply.status(502),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    let line = proxy.ask(r#"{"id":1,"method":"busy"}"#);
    assert!(line.contains("answered 429") && line.contains("asks to wait 77 s"), "{line}");
    proxy.ask(r#"{"id":2,"method":"tools/list"}"#);
    let line = proxy.ask(r#"{"id":3,"method":"tools/call","params":{"name":"add"}}"#);
    assert!(line.contains("it may have run and was not repeated"), "{line}");
    let line = proxy.ask(r#"{"id":4,"method":"tools/call","params":{"name":"read"}}"#);
    assert!(line.contains("(4 attempts)"), "{line}");
    let calls = |name: &str| {
        server.requests().iter().filter(|request| request.body.contains(&format!("\"{name}\""))).count()
    };
    assert_eq!((calls("add"), calls("read")), (1, 4));
    proxy.finish();
}

#[test]
fn closed_idle_connection_costs_no_call() {
    let server = Server::start(|request, reply| {
        reply.result(request, "{}");
        // Without a word about it.
        reply.close();
    });
    let mut proxy = Proxy::start(&[&server.url]);
    for id in 0..200 {
        let line = proxy.ask(&format!(r#"{{"id":{id},"method":"tools/list"}}"#));
        assert!(line.contains("\"result\""), "{id}: {line}");
    }
    proxy.finish();
}

/// A server that sets a cookie at the handshake and answers with the cookies it got.
fn with_cookies() -> Server {
    Server::start(|request, reply| match request.title() {
        "initialize" => {
            let body = format!(r#"{{"id":{},"result":{RESULT}}}"#, request.id());
            let headers = [
                ("content-type", "application/json"),
                ("set-cookie", "lb=node-7; Path=/; HttpOnly"),
                ("set-cookie", "deep=1; Path=/elsewhere"),
                ("set-cookie", "CF_Authorization=jwt; Path=/"),
            ];
            reply.answer(200, &headers, &body);
        }
        "notifications/initialized" => reply.status(202),
        "GET" => reply.status(405),
        _ => reply.result(request, &format!("{:?}", request.header("cookie").unwrap_or_default())),
    })
}

#[test]
fn stores_load_balancer_cookies_but_not_those_of_access() {
    let cases: [(&[&str], &str); 3] =
        [(&[], "lb=node-7"), (&["--disable-cookies"], ""), (&["--header", "Cookie: own=1"], "own=1")];
    for (arguments, expected) in cases {
        let server = with_cookies();
        let arguments: Vec<&str> = [server.url.as_str()].iter().chain(arguments).copied().collect();
        let mut proxy = Proxy::start(&arguments);
        begin(&mut proxy);
        let line = proxy.ask(r#"{"id":2,"method":"a"}"#);
        assert_eq!(line, format!(r#"{{"jsonrpc":"2.0","id":2,"result":"{expected}"}}"#), "{arguments:?}");
        proxy.finish();
    }
}

#[test]
fn pings_are_sent_on_request_and_answers_dropped() {
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&server.url, "--ping-interval", "1"], &[]);
    begin(&mut proxy);
    let ping = server.wait_for(|request| request.title() == "ping");
    assert_eq!(ping.header("mcp-session-id"), Some("session-1"));
    assert!(proxy.finish().lines.is_empty(), "the client hears nothing of it");
}
