//! Signing in wherever a refusal can come: over either transport, between the eras, on the stream that nobody waits for, in
//! the middle of a session, and for want of a scope.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use super::support::authority::{Authority, Set, value, visit};
use super::support::proxy::Proxy;
use super::support::server::{Reply, Request};
use super::support::{INITIALIZE, INITIALIZED};
use super::{Home, call, page};

const JSON: (&str, &str) = ("content-type", "application/json");
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}"#;

/// A request of a modern client.
fn modern(id: u32, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{META}}}}}"#)
}

fn modern_call(id: u32) -> String {
    modern(id, "tools/call", r#""name":"t","arguments":{},"#)
}

/// A server of 2026-07-28 alone.
fn modern_server(request: &Request, reply: &mut Reply) {
    let error = |reply: &mut Reply, code: i32, data: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":{code},"message":"no","data":{data}}}}}"#,
            request.id()
        );
        reply.answer(400, &[JSON], &body);
    };
    match request.title() {
        "server/discover" => {
            let found =
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#;
            reply.result(request, found);
        }
        "initialize" => error(reply, -32022, r#"{"supported":["2026-07-28"],"requested":"2025-11-25"}"#),
        "tools/call" => reply.result(request, r#"{"resultType":"complete","content":[]}"#),
        "GET" | "DELETE" => reply.status(405),
        _ => reply.status(202),
    }
}

/// A server of 2025-11-25 alone, with a session and without a stream.
fn legacy_server(request: &Request, reply: &mut Reply) {
    match request.title() {
        "initialize" => {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"s","version":"1"}}}}}}"#,
                request.id()
            );
            reply.answer(200, &[JSON, ("mcp-session-id", "session-1")], &body);
        }
        "GET" => reply.status(405),
        "DELETE" => reply.status(204),
        "tools/call" => reply.result(request, r#"{"content":[]}"#),
        title if title.starts_with("notifications/") => reply.status(202),
        _ => {
            let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request"}}"#;
            reply.answer(400, &[JSON], error);
        }
    }
}

/// A server of 2024-11-05, whose answers come on one stream.
pub(super) fn old_server() -> impl Fn(&Request, &mut Reply) + Send + Sync {
    let streams = Arc::<Mutex<Vec<Sender<String>>>>::default();
    move |request, reply| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/mcp") => {
            let (sender, answers) = channel();
            streams.lock().expect("no panic").push(sender);
            reply.open_stream();
            reply.raw("event: endpoint\ndata: /messages?session=1\n\n");
            for answer in answers {
                reply.event(&answer);
            }
        }
        ("POST", "/messages?session=1") => {
            reply.status(202);
            let result = match request.title() {
                "initialize" => {
                    r#"{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#
                }
                title if title.starts_with("notifications/") => return,
                _ => r#"{"content":[]}"#,
            };
            let streams = streams.lock().expect("no panic");
            let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id());
            streams.last().expect("a stream").send(answer).expect("it is open");
        }
        _ => reply.status(405),
    }
}

/// A conversation that begins with a sign-in, and has a first call behind it.
fn begun(home: &Home, authority: &Authority, arguments: &[&str]) -> Proxy {
    let mut proxy = home.start(authority, arguments);
    proxy.send(INITIALIZE);
    assert!(visit(&page(&proxy, 1)).contains("You are signed in"));
    let line = proxy.line();
    assert!(line.contains("\"protocolVersion\""), "{line}");
    proxy.send(INITIALIZED);
    let line = proxy.ask(&call(2));
    assert!(line.contains("\"content\""), "{line}");
    proxy
}

/// How often something was registered, shown and exchanged.
fn counts(authority: &Authority) -> (usize, usize, usize) {
    (authority.count("/register"), authority.count("/authorize"), authority.count("/token"))
}

#[test]
fn http_sse_stream_signs_in_and_messages_refresh() {
    for transport in ["sse-only", "http-first", "sse-first"] {
        let (home, authority) = (Home::new(), Authority::before(Set::default(), old_server()));
        let mut proxy = begun(&home, &authority, &["--transport", transport]);
        assert_eq!(counts(&authority), (1, 1, 1), "{transport}");
        // In mid-session: the stream goes on, and the message is sent again.
        authority.forget(false);
        let line = proxy.ask(&call(3));
        assert!(line.contains("\"content\""), "{transport}: {line}");
        assert_eq!(counts(&authority), (1, 1, 2), "{transport}");
        assert_eq!(authority.last("/messages").header("authorization"), Some("Bearer marked-access-2"));
        let told = proxy.finish().stderr;
        assert!(!told.contains("marked"), "{transport}: {told}");
    }
}

#[test]
fn eras_that_do_not_meet_sign_in_once() {
    // A legacy client on a modern server.
    let (home, authority) = (Home::new(), Authority::before(Set::default(), modern_server));
    let mut proxy = begun(&home, &authority, &[]);
    authority.forget(false);
    assert!(proxy.ask(&call(3)).contains("\"content\""));
    proxy.finish();
    assert_eq!(counts(&authority), (1, 1, 2));

    // A modern client on a legacy server, which asks at first what the server is, or does not.
    for first in [modern(1, "server/discover", ""), modern_call(1)] {
        let (home, authority) = (Home::new(), Authority::before(Set::default(), legacy_server));
        let mut proxy = home.start(&authority, &[]);
        proxy.send(&first);
        visit(&page(&proxy, 1));
        let line = proxy.line();
        assert!(line.contains("\"resultType\":\"complete\""), "{line}");
        authority.forget(false);
        let line = proxy.ask(&modern_call(2));
        assert!(line.contains("\"content\""), "{line}");
        proxy.finish();
        assert_eq!(counts(&authority), (1, 1, 2));
    }
}

#[test]
fn probe_and_concurrent_request_share_sign_in() {
    let (home, authority) = (Home::new(), Authority::before(Set::default(), legacy_server));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&modern(1, "server/discover", ""));
    let address = page(&proxy, 1);
    // After two seconds without an answer the other era is tried as well.
    authority.server.wait_for(|request| request.title() == "initialize");
    assert!(visit(&address).contains("You are signed in"));
    let line = proxy.line();
    assert!(line.contains("\"resultType\":\"complete\""), "{line}");
    assert!(proxy.ask(&modern_call(2)).contains("\"content\""));
    let told = proxy.finish().stderr;
    assert_eq!((counts(&authority), told.matches("sign in at ").count()), ((1, 1, 1), 1));
}

#[test]
fn probe_left_hanging_after_sign_in_is_hedged() {
    let hanging = |request: &Request, reply: &mut Reply| match request.title() {
        "server/discover" => reply.hang(),
        _ => legacy_server(request, reply),
    };
    let (home, authority) = (Home::new(), Authority::before(Set::default(), hanging));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&modern(1, "server/discover", ""));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(line.contains("\"resultType\":\"complete\""), "{line}");
    assert!(proxy.ask(&modern_call(2)).contains("\"content\""));
    proxy.finish();
    assert_eq!(counts(&authority), (1, 1, 1));
}

#[test]
fn listening_stream_reopens_with_new_token() {
    let streaming = |request: &Request, reply: &mut Reply| match request.title() {
        // What the first token allows does not reach here.
        "GET" if request.header("authorization") == Some("Bearer marked-access-1") => {
            reply.answer(401, &[("www-authenticate", r#"Bearer error="invalid_token""#)], "");
        }
        "GET" => {
            reply.open_stream();
            reply.event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
            reply.hang();
        }
        _ => legacy_server(request, reply),
    };
    let (home, authority) = (Home::new(), Authority::before(Set::default(), streaming));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(INITIALIZE);
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"protocolVersion\""));
    proxy.send(INITIALIZED);
    assert!(proxy.line().contains("notifications/tools/list_changed"));
    assert!(proxy.ask(&call(2)).contains("\"content\""));
    proxy.finish();
    assert_eq!(counts(&authority), (1, 1, 2));
    let streams = authority.server.requests();
    assert_eq!(
        streams.iter().filter(|request| request.title() == "GET" && request.path == "/mcp").count(),
        2
    );
}

#[test]
fn a_session_outlives_its_token() {
    let (home, authority) = (Home::new(), Authority::before(Set::default(), legacy_server));
    let mut proxy = begun(&home, &authority, &[]);
    for id in 3..8 {
        authority.forget(false);
        assert!(proxy.ask(&call(id)).contains("\"content\""));
        assert_eq!(authority.last("/mcp").header("mcp-session-id"), Some("session-1"));
    }
    // And the grant: a person, once an `initialize` has shown that it is not the session that is refused.
    authority.forget(true);
    proxy.send(&call(9));
    visit(&page(&proxy, 2));
    assert!(proxy.line().contains("\"content\""));
    assert_eq!(authority.last("/mcp").header("mcp-session-id"), Some("session-1"));
    proxy.finish();
    let opened = authority.server.titles().into_iter().filter(|title| title == "initialize").count();
    assert_eq!(opened, 4, "before each page one that was refused, and behind it one that was not");
}

#[test]
fn call_with_missing_scope_succeeds_after_sign_in() {
    for (arguments, era) in
        [(&[][..], "legacy"), (&["--transport", "sse-only"], "old"), (&["--protocol", "modern"], "modern")]
    {
        let set = Set { wants: Some("write"), ..Set::default() };
        let home = Home::new();
        let authority = match era {
            "legacy" => Authority::before(set, legacy_server),
            "modern" => Authority::before(set, modern_server),
            _ => Authority::before(set, old_server()),
        };
        authority.change(|set| set.challenge.push_str(", scope=\"read\""));
        let mut proxy = home.start(&authority, arguments);
        proxy.send(INITIALIZE);
        visit(&page(&proxy, 1));
        assert!(proxy.line().contains("\"protocolVersion\""), "{era}");
        proxy.send(INITIALIZED);
        proxy.send(&call(2));
        let second = page(&proxy, 2);
        assert_eq!(value(&second, "scope").as_deref(), Some("read write"), "{era}");
        visit(&second);
        let line = proxy.line();
        assert!(line.contains("\"content\""), "{era}: {line}");
        // A token that lacks what was asked for brings nobody back to the page: the refusal is told.
        authority.change(|set| set.wants = Some("write more"));
        proxy.send(&call(3));
        visit(&page(&proxy, 3));
        let line = proxy.line();
        assert!(line.contains("\"error\"") && line.contains("403"), "{era}: {line}");
        let line = proxy.ask(&call(4));
        assert!(line.contains("\"error\"") && line.contains("403"), "{era}: {line}");
        let told = proxy.finish().stderr;
        assert_eq!(told.matches("sign in at ").count(), 3, "{era}: {told}");
    }
}
