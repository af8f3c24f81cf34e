//! Servers of the older transport (HTTP+SSE, 2024-11-05) that answer in other ways than it says.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use crate::support::proxy::Proxy;
use crate::support::server::{Reply, Request, Server};
use crate::support::{INITIALIZE, INITIALIZED};

const CALL: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a"}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":3,"method":"tools/list"}"#;

/// The streams that are open, by their number.
type Streams = Arc<Mutex<Vec<Sender<String>>>>;

/// Opens a stream that names `/messages?sid=` and its number behind `before`, and then writes what it is told.
fn open(streams: &Streams, reply: &mut Reply, endpoint: &str) {
    let (sender, texts) = channel();
    let number = {
        let mut streams = streams.lock().expect("no panic");
        streams.push(sender);
        streams.len()
    };
    reply.raw(endpoint.replace("SID", &number.to_string()));
    for text in texts {
        reply.raw(text);
    }
}

/// Says something on the stream of a POST's address.
fn say(streams: &Streams, request: &Request, text: String) {
    let number: usize = request.path.rsplit('=').next().and_then(|sid| sid.parse().ok()).expect("a sid");
    let streams = streams.lock().expect("no panic");
    streams.get(number - 1).expect("it was named").send(text).expect("it is open");
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const NAMED: &str = "event: endpoint\ndata: /messages?sid=SID\n\n";

/// A server whose messages are answered on their stream in the form that `form` gives to a result.
fn server(
    opens: impl Fn(&Streams, &Request, &mut Reply) + Send + Sync + 'static,
    form: fn(id: &str) -> String,
) -> Server {
    let streams = Streams::default();
    Server::start(move |request, reply| match request.path.starts_with("/messages") {
        true => {
            reply.status(202);
            if request.id() != "null" {
                say(&streams, request, form(request.id()));
            }
        }
        false => opens(&streams, request, reply),
    })
}

fn result(id: &str) -> String {
    format!("event: message\ndata: {}\n\n", message(id))
}

fn message(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2024-11-05","capabilities":{{}},"serverInfo":{{"name":"old","version":"1"}}}}}}"#
    )
}

/// Speaks with a server that must work.
fn converse(name: &str, server: &Server, options: &[&str]) {
    let arguments: Vec<&str> = options.iter().copied().chain(["--silent", &server.url]).collect();
    let mut proxy = Proxy::start(&arguments);
    let line = proxy.ask(INITIALIZE);
    assert!(line.replace(' ', "").contains(r#""id":1,"#) && line.contains("\"old\""), "{name}: {line}");
    proxy.send(INITIALIZED);
    for (message, id) in [(CALL, "2"), (LIST, "3")] {
        let line = proxy.ask(message);
        assert!(line.replace(' ', "").contains(&format!("\"id\":{id},\"result\"")), "{name}: {line}");
    }
    let ended = proxy.finish();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{name}");
}

#[test]
fn post_answered_with_endpoint_event_is_http_sse() {
    let rows: [(&str, &str, bool); 4] = [
        ("stays open", NAMED, true),
        ("stays open without a blank line", "event: endpoint\ndata: /messages?sid=SID", true),
        ("ends", NAMED, false),
        ("ends without a blank line", "event: endpoint\ndata: /messages?sid=SID\n", false),
    ];
    for (name, endpoint, stays_open) in rows {
        let opens = move |streams: &Streams, request: &Request, reply: &mut Reply| match request.title() {
            "initialize" if !stays_open => {
                reply.raw(HEAD);
                reply.raw(endpoint.replace("SID", "99"));
                reply.close();
            }
            "GET" | "initialize" => {
                reply.raw(HEAD);
                open(streams, reply, endpoint);
            }
            _ => reply.status(405),
        };
        converse(name, &server(opens, result), &[]);
    }
    // A user who wants no other transport hears which one the server speaks.
    let opens = |streams: &Streams, _: &Request, reply: &mut Reply| {
        reply.raw(HEAD);
        open(streams, reply, NAMED);
    };
    let server = server(opens, result);
    let mut proxy = Proxy::start(&["--silent", "--transport", "http-only", &server.url]);
    let line = proxy.ask(INITIALIZE);
    assert!(line.contains("stream of HTTP+SSE") && line.contains("--transport"), "{line}");
    assert!(server.requests().iter().all(|request| request.method == "POST"));
}

/// A modern client hears of a legacy server, and not of a stream.
#[test]
fn modern_client_reaches_server_that_answers_posts_with_endpoint() {
    let opens = |streams: &Streams, request: &Request, reply: &mut Reply| match request.method.as_str() {
        "GET" | "POST" => {
            reply.raw(HEAD);
            open(streams, reply, NAMED);
        }
        _ => reply.status(405),
    };
    let server = server(opens, result);
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    let line = proxy.ask(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{{"_meta":{meta}}}}}"#
    ));
    assert!(line.contains("\"result\""), "{line}");
}

#[test]
fn answers_on_the_stream_are_understood_in_every_form() {
    fn opens(streams: &Streams, request: &Request, reply: &mut Reply) {
        match request.method.as_str() {
            "GET" => {
                reply.raw(HEAD);
                open(streams, reply, NAMED);
            }
            _ => reply.status(405),
        }
    }
    type Form = fn(&str) -> String;
    let forms: [(&str, Form); 5] = [
        ("string ids", |id| result(&format!("\"{id}\""))),
        ("leading zeros", |id| result(&format!("0{id}"))),
        ("floating point", |id| result(&format!("{id}.0"))),
        ("no blank line", |id| format!("data: {}\n", message(id))),
        ("no line end", |id| format!("data: {}", message(id))),
    ];
    for (name, form) in forms {
        converse(name, &server(opens, form), &[]);
    }
    let typed = |media_type: &'static str| {
        move |streams: &Streams, request: &Request, reply: &mut Reply| match request.method.as_str() {
            "GET" => {
                reply.raw(format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\nconnection: close\r\n\r\n"
                ));
                open(streams, reply, NAMED);
            }
            _ => reply.status(405),
        }
    };
    for media_type in ["text/plain", "application/json"] {
        converse(media_type, &server(typed(media_type), result), &[]);
    }
}

#[test]
fn response_that_fits_two_open_requests_answers_neither() {
    let streams = Streams::default();
    let server = Server::start(move |request, reply| match (request.method.as_str(), request.title()) {
        ("GET", _) => {
            reply.raw(HEAD);
            open(&streams, reply, NAMED);
        }
        (_, _) if request.path == "/mcp" => reply.status(405),
        (_, "initialize") => {
            reply.status(202);
            say(&streams, request, result(request.id()));
        }
        (_, "last") => {
            reply.status(202);
            say(&streams, request, result("\"7.00\""));
            say(&streams, request, result("\"last\""));
        }
        _ => reply.status(202),
    });
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    assert!(proxy.ask(INITIALIZE).contains("\"old\""));
    proxy.send(INITIALIZED);
    for id in ["7", "7.0"] {
        proxy.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#));
        server.wait_for(|request| request.id() == id);
    }
    let line = proxy.ask(r#"{"jsonrpc":"2.0","id":"last","method":"last"}"#);
    assert!(line.contains("\"id\":\"last\""), "{line}");
}

#[test]
fn reports_stream_without_endpoint() {
    type Answer = fn(&mut Reply);
    let rows: [(&str, Answer, &str); 3] = [
        (
            "silent",
            |reply| {
                reply.raw(HEAD);
                reply.raw(": hello\n\n");
                reply.hang();
            },
            "did not name the address for messages within 1 seconds",
        ),
        ("no head", |reply| reply.hang(), "did not begin the stream of HTTP+SSE within 1 seconds"),
        ("ends", |reply| reply.open_stream(), "ended the stream before it named the address"),
    ];
    for (name, answer, expected) in rows {
        let server = Server::start(move |request, reply| match request.method.as_str() {
            "GET" => answer(reply),
            _ => reply.status(405),
        });
        let mut proxy = Proxy::start(&["--silent", "--connect-timeout", "1", &server.url]);
        let line = proxy.ask(INITIALIZE);
        assert!(line.contains(expected) && line.contains("answered 405"), "{name}: {line}");
        assert!(!line.contains("check the path"), "{name}: {line}");
    }
}

#[test]
fn names_address_without_prefix_after_404() {
    for (address, shown) in [
        ("/messages?sid=SID", ": /messages)"),
        ("/sse/0123456789abcdef-marked/m?sid=SID", ": /sse/[session]/m)"),
    ] {
        let streams = Streams::default();
        let server = Server::start(move |request, reply| match request.method.as_str() {
            "GET" => {
                reply.raw(HEAD);
                open(&streams, reply, &NAMED.replace("/messages?sid=SID", address));
            }
            _ if request.path == "/mcp" => reply.status(405),
            _ => reply.answer(404, &[], "no such route"),
        });
        let mut proxy = Proxy::start(&["--silent", &server.url]);
        let line = proxy.ask(INITIALIZE);
        assert!(line.contains("answered 404") && line.contains(shown), "{line}");
        assert!(line.contains("gateway") && !line.contains("marked"), "{line}");
    }
}

#[test]
fn sse_session_lost_with_status_is_renewed() {
    for (status, body, is_renewed) in [
        (404, "Could not find session", true),
        (400, r#"{"error":"Invalid session ID"}"#, true),
        (400, "No transport found for sessionId", true),
        (503, r#"{"error":"Session not found"}"#, true),
        (400, "the trading session is closed", false),
        (400, "No transport found for the parcel", false),
        (503, "try again later", false),
    ] {
        let streams = Streams::default();
        let server = Server::start(move |request, reply| match request.method.as_str() {
            "GET" => {
                reply.raw(HEAD);
                open(&streams, reply, NAMED);
            }
            _ if request.path == "/mcp" => reply.status(405),
            _ if request.title() == "tools/call" && request.path.ends_with("=1") => {
                reply.answer(status, &[], body)
            }
            _ => {
                reply.status(202);
                if request.id() != "null" {
                    say(&streams, request, result(request.id()));
                }
            }
        });
        let mut proxy = Proxy::start(&["--silent", &server.url]);
        assert!(proxy.ask(INITIALIZE).contains("\"old\""));
        proxy.send(INITIALIZED);
        let line = proxy.ask(CALL);
        assert_eq!(line.contains("\"id\":2,\"result\""), is_renewed, "{status} {body}: {line}");
        let streams = server.requests().iter().filter(|request| request.method == "GET").count();
        assert_eq!(streams, if is_renewed { 2 } else { 1 }, "{status} {body}");
    }
}
