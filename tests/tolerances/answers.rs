//! Answers in a form that no specification allows: delivered where they can be understood, and named where they cannot.

use std::io::Write as _;

use async_compression::tokio::write::{BrotliEncoder, ZstdEncoder};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use tokio::io::AsyncWriteExt as _;

use crate::support::proxy::Proxy;
use crate::support::server::{Reply, Request, Server};
use crate::support::{INITIALIZE, INITIALIZED};

/// What becomes of a call that is answered so.
enum Outcome {
    /// The client gets the result under its id.
    Delivered,
    /// The client gets an error with these words, and advice that does not blame the URL.
    Named(&'static [&'static str]),
    /// The client gets an error with these words.
    Refused(&'static [&'static str]),
}
use Outcome::{Delivered, Named, Refused};

/// How the server answers the call; it gets the text of a right answer.
type Answer = Box<dyn Fn(&Request, &mut Reply, &str) + Send + Sync>;

fn row(
    name: &'static str,
    answer: impl Fn(&Request, &mut Reply, &str) + Send + Sync + 'static,
    outcome: Outcome,
) -> (&'static str, Answer, Outcome) {
    (name, Box::new(answer), outcome)
}

/// A head with these lines, and a body to the end of the connection.
fn raw(reply: &mut Reply, head: &str, body: impl AsRef<[u8]>) {
    reply.raw(format!("HTTP/1.1 200 OK\r\n{head}connection: close\r\n\r\n"));
    reply.raw(body);
    reply.close();
}

const JSON: &str = "content-type: application/json\r\n";
const EVENTS: &str = "content-type: text/event-stream\r\n";

/// Asks once, with these options, of a server that answers as each row says.
fn check(rows: Vec<(&'static str, Answer, Outcome)>, id: &str) {
    for (name, answer, outcome) in rows {
        let server = Server::legacy(move |request, reply| {
            let right = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"text":"ä"}}}}"#, request.id());
            answer(request, reply, &right);
        });
        let mut proxy = Proxy::start(&["--silent", &server.url]);
        assert!(proxy.ask(INITIALIZE).contains("\"result\""), "{name}");
        proxy.send(INITIALIZED);
        let call = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"a"}}}}"#);
        let line = proxy.ask(&call);
        let calls = server.requests().iter().filter(|request| request.title() == "tools/call").count();
        assert_eq!(calls, 1, "{name}: {line}");
        assert!(
            line.contains(&format!("\"id\":{id},")) || line.contains(&format!("\"id\": {id},")),
            "{name}: {line}"
        );
        match outcome {
            Delivered => assert!(line.contains(r#""result":{"text":"ä"}"#), "{name}: {line}"),
            Named(parts) | Refused(parts) => {
                assert!(line.contains(r#""source":"mcp-tether""#), "{name}: {line}");
                for part in parts {
                    assert!(line.contains(part), "{name}: {part} is missing in {line}");
                }
            }
        }
        if let Named(_) = outcome {
            assert!(!line.contains("MCP endpoint"), "{name}: {line}");
        }
        let ended = proxy.finish();
        assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{name}: one answer");
    }
}

#[test]
fn equivalent_ids_match_the_call() {
    let under = |id: &'static str, outcome| {
        let answer = move |request: &Request, reply: &mut Reply, right: &str| {
            reply.json(&right.replace(&format!("\"id\":{}", request.id()), &format!("\"id\":{id}")));
        };
        row(id, answer, outcome)
    };
    let missing = &["without answering the request"];
    check(
        vec![
            under("\"5\"", Delivered),
            under("\"05\"", Delivered),
            under("\" 5 \"", Delivered),
            under("5.0", Delivered),
            under("05", Delivered),
            under("null", Delivered),
            under("6", Refused(missing)),
            under("\"50\"", Refused(missing)),
            under("\"5a\"", Refused(missing)),
            under("[5]", Refused(&["its body is not a JSON-RPC message"])),
            under("0x5", Refused(&["its body is not a JSON-RPC message"])),
        ],
        "5",
    );
    let number = |_: &Request, reply: &mut Reply, right: &str| {
        reply.json(&right.replace("\"7\"", "7"));
    };
    check(vec![row("a number for a string", number, Delivered)], "\"7\"");
}

#[test]
fn recognizes_answers_by_first_bytes() {
    let json_as = |media_type: &'static str| {
        row(
            media_type,
            move |_: &Request, reply: &mut Reply, right: &str| {
                reply.answer(200, &[("content-type", media_type)], right);
            },
            Delivered,
        )
    };
    let events_as = |media_type: &'static str| {
        row(
            media_type,
            move |_: &Request, reply: &mut Reply, right: &str| {
                let body = format!(": hello\n\nevent: message\ndata: {right}\n\n");
                reply.answer(200, &[("content-type", media_type)], &body);
            },
            Delivered,
        )
    };
    let said = |name, media_type: &'static str, body: &'static str, outcome| {
        let answer = move |_: &Request, reply: &mut Reply, _: &str| {
            reply.answer(200, &[("content-type", media_type)], body);
        };
        row(name, answer, outcome)
    };
    check(
        vec![
            json_as("text/plain; charset=utf-8"),
            json_as("application/octet-stream"),
            json_as("text/html; charset=UTF-8"),
            json_as("text/event-stream"),
            json_as("nonsense"),
            events_as("application/json"),
            events_as("text/plain"),
            events_as("application/octet-stream"),
            row(
                "no type",
                |_, reply, right| reply.answer(200, &[], &format!("data: {right}\n\n")),
                Delivered,
            ),
            said("text", "text/plain", "data is missing", Refused(&["unknown content type text/plain"])),
            said("a page", "text/plain", "<html><body>{}", Refused(&["a web page"])),
            said("other JSON", "text/plain", r#"{"ok":true}"#, Refused(&["is not a JSON-RPC message"])),
            said("two texts", "text/plain", "{} {}", Refused(&["is not a JSON-RPC message"])),
            said("no answer", "application/json", "data: {\"ok\":true}\n\n", Refused(&["without answering"])),
        ],
        "2",
    );
}

#[test]
fn events_without_their_end_are_taken_when_whole() {
    let stream = |name, write: fn(&mut Reply, &str), stays_open: bool, outcome| {
        let answer = move |_: &Request, reply: &mut Reply, right: &str| {
            reply.open_stream();
            write(reply, right);
            if stays_open {
                reply.hang();
            }
        };
        row(name, answer, outcome)
    };
    let chunked = |_: &Request, reply: &mut Reply, right: &str| {
        reply.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        let text = format!("data: {right}\n");
        reply.raw(format!("{:x}\r\n{text}\r\n", text.len()));
        reply.close();
    };
    check(
        vec![
            stream("closed", |reply, right| reply.raw(format!("data: {right}\n")), false, Delivered),
            stream(
                "closed in the line",
                |reply, right| reply.raw(format!("data: {right}")),
                false,
                Delivered,
            ),
            stream("open", |reply, right| reply.raw(format!("data: {right}\n")), true, Delivered),
            stream("open in the line", |reply, right| reply.raw(format!("data: {right}")), true, Delivered),
            stream("open JSON", |reply, right| reply.raw(right), true, Delivered),
            row("broken", chunked, Delivered),
            stream(
                "cut JSON",
                |reply, right| reply.raw(format!("data: {}", right.trim_end_matches('}'))),
                false,
                Refused(&["without answering the request"]),
            ),
            stream(
                "another event",
                |reply, right| reply.raw(format!("event: other\ndata: {right}\n")),
                false,
                Refused(&["without answering the request"]),
            ),
        ],
        "3",
    );
}

/// A text in a content encoding.
fn encoded(encoding: &str, text: &str) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let text = text.as_bytes();
    match encoding {
        "gzip" | "x-gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).expect("in memory");
            encoder.finish().expect("in memory")
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).expect("in memory");
            encoder.finish().expect("in memory")
        }
        "bare deflate" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).expect("in memory");
            encoder.finish().expect("in memory")
        }
        "br" => runtime.block_on(async {
            let mut encoder = BrotliEncoder::new(Vec::new());
            encoder.write_all(text).await.expect("in memory");
            encoder.shutdown().await.expect("in memory");
            encoder.into_inner()
        }),
        "zstd" => runtime.block_on(async {
            let mut encoder = ZstdEncoder::new(Vec::new());
            encoder.write_all(text).await.expect("in memory");
            encoder.shutdown().await.expect("in memory");
            encoder.into_inner()
        }),
        other => panic!("{other}"),
    }
}

#[test]
fn decodes_or_names_unrequested_encodings() {
    let mut rows = Vec::new();
    for encoding in ["gzip", "x-gzip", "deflate", "bare deflate", "br", "zstd"] {
        let head = format!("content-encoding: {}\r\n", encoding.trim_start_matches("bare "));
        let json = format!("{JSON}{head}");
        rows.push(row(
            encoding,
            move |_, reply, right| raw(reply, &json, encoded(encoding, right)),
            Delivered,
        ));
        let events = format!("{EVENTS}{head}");
        let stream = move |_: &Request, reply: &mut Reply, right: &str| {
            raw(reply, &events, encoded(encoding, &format!("data: {right}\n\n")));
        };
        rows.push(row(encoding, stream, Delivered));
    }
    let with = |name, head: &'static str, body: fn(&str) -> Vec<u8>, outcome| {
        row(name, move |_: &Request, reply: &mut Reply, right: &str| raw(reply, head, body(right)), outcome)
    };
    let utf16 = |right: &str| right.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let latin1 =
        |right: &str| right.chars().map(|letter| u8::try_from(u32::from(letter)).expect("small")).collect();
    const UNKNOWN: &str = "content-type: application/json\r\ncontent-encoding: compress\r\n";
    const UNKNOWN_EVENTS: &str = "content-type: text/event-stream\r\ncontent-encoding: compress\r\n";
    rows.extend([
        with("a charset for an encoding", "content-encoding: utf-8\r\n", |right| right.into(), Delivered),
        with(
            "unknown",
            UNKNOWN,
            |_| b"\x1f\x9d\x90\xff".to_vec(),
            Named(&["content encoding \\\"compress\\\""]),
        ),
        with("unknown events", UNKNOWN_EVENTS, |_| b"\x1f\x9d\x90\xff".to_vec(), Named(&["compress"])),
        with("two", "content-encoding: gzip, br\r\n", |_| b"\x1f\x8b\x08\xff".to_vec(), Named(&["gzip, br"])),
        with("not named", JSON, |right| encoded("gzip", right), Named(&["compressed (gzip)"])),
        with(
            "named wrongly",
            "content-encoding: br\r\n",
            |_| b"\xff\xff\xff".to_vec(),
            Named(&["\\\"br\\\""]),
        ),
        with("UTF-16", JSON, utf16, Named(&["character set UTF-16"])),
        with("UTF-16 events", EVENTS, utf16, Named(&["character set UTF-16"])),
        with(
            "Latin-1",
            "content-type: application/json; charset=ISO-8859-1\r\n",
            latin1,
            Named(&["is not UTF-8", "the character set iso-8859-1"]),
        ),
    ]);
    check(rows, "4");
}

#[test]
fn wrong_content_lengths_are_named_and_whole_answers_delivered() {
    let announced = |name, length: fn(usize) -> usize, stays_open: bool, outcome| {
        let answer = move |_: &Request, reply: &mut Reply, right: &str| {
            reply.raw(format!("HTTP/1.1 200 OK\r\n{JSON}content-length: {}\r\n\r\n", length(right.len())));
            reply.raw(right);
            if stays_open {
                reply.hang();
            }
            reply.close();
        };
        row(name, answer, outcome)
    };
    check(
        vec![
            announced("too long, closed", |length| length + 10, false, Delivered),
            announced("too long, open", |length| length + 10, true, Delivered),
            announced(
                "in letters",
                |length| length - 1,
                false,
                Named(&["bytes that its Content-Length announces"]),
            ),
            row(
                "cut",
                |_, reply, right| {
                    reply.raw(format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 100\r\n\r\n"));
                    reply.raw(right.trim_end_matches('}'));
                    reply.close();
                },
                Named(&["its Content-Length says 100 bytes"]),
            ),
        ],
        "6",
    );
}

#[test]
fn redirects_that_change_the_path_alone_are_followed() {
    let to = |name, status: u16, location: fn(&str) -> String, outcome| {
        let answer = move |request: &Request, reply: &mut Reply, right: &str| {
            if request.path == "/mcp" {
                let host = request.header("host").expect("a host");
                return reply.answer(status, &[("location", &location(host))], "");
            }
            assert_eq!(request.header("mcp-session-id"), Some("session-1"));
            reply.json(right);
        };
        (name, Box::new(answer) as Answer, outcome)
    };
    let rows = vec![
        to("slash", 301, |_| "/mcp/".to_owned(), Delivered),
        to("path", 302, |host| format!("http://{host}/v1/mcp"), Delivered),
        to("see other", 303, |_| "/mcp/".to_owned(), Refused(&["303"])),
        to("query", 302, |_| "/mcp/?next=1".to_owned(), Refused(&["into the URL: http://127.0.0.1"])),
        to("sign-in", 302, |_| "/login".to_owned(), Refused(&["redirects to http://127.0.0.1"])),
        to("Cloudflare", 307, |_| "/cdn-cgi/x".to_owned(), Refused(&["307"])),
        to("origin", 301, |_| "http://localhost:1/mcp/".to_owned(), Refused(&["localhost:1/mcp/"])),
        to(
            "https",
            302,
            |host| format!("https://{host}/mcp/"),
            Refused(&["into the URL: https://127.0.0.1"]),
        ),
    ];
    for (name, answer, outcome) in rows {
        let is_followed = matches!(outcome, Delivered);
        let server = Server::legacy(move |request, reply| {
            let right = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, request.id());
            answer(request, reply, &right);
        });
        let mut proxy = Proxy::start(&["--silent", &server.url]);
        proxy.ask(INITIALIZE);
        proxy.send(INITIALIZED);
        let line = proxy.ask(r#"{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"a"}}"#);
        let calls = server.requests().into_iter().filter(|request| request.title() == "tools/call");
        let calls: Vec<Request> = calls.collect();
        assert_eq!(calls.len(), if is_followed { 2 } else { 1 }, "{name}: {line}");
        let first = calls.first().expect("one").body.clone();
        assert!(calls.iter().all(|call| call.method == "POST" && call.body == first), "{name}");
        assert_eq!(line.contains(r#""id":8,"result""#), is_followed, "{name}: {line}");
        if let Refused(parts) | Named(parts) = outcome {
            parts.iter().for_each(|part| assert!(line.contains(part), "{name}: {part}: {line}"));
        }
    }
}

#[test]
fn non_message_heartbeats_warn_once_per_stream() {
    for event in ["", "event: ping\n", "event: message\n"] {
        let listening = Server::start(move |request, reply| match request.title() {
            "GET" => {
                reply.open_stream();
                for number in 0..40 {
                    reply.raw(format!("{event}data: {{\"type\":\"heartbeat\",\"n\":{number}}}\n\n"));
                }
                reply.raw("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/last\"}\n\n");
                reply.hang();
            }
            "DELETE" => reply.status(204),
            "notifications/initialized" => reply.status(202),
            "initialize" => reply.result(request, r#"{"protocolVersion":"2025-06-18","capabilities":{}}"#),
            _ => reply.result(request, "{}"),
        });
        let mut proxy = Proxy::start(&[&listening.url]);
        assert!(proxy.ask(INITIALIZE).contains("\"result\""));
        proxy.send(INITIALIZED);
        assert!(proxy.line().contains("notifications/last"));
        assert!(
            proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call"}"#).contains("\"id\":2,\"result\"")
        );
        let told = proxy.finish().stderr;
        let lines = told.lines().filter(|line| line.contains("no message")).count();
        assert_eq!(lines, usize::from(!event.contains("ping")), "{told}");
    }
}

#[test]
fn reports_initialize_unanswered_for_five_seconds() {
    let server = Server::start(|request, reply| match request.title() {
        "initialize" => reply.hang(),
        _ => reply.status(405),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.send(INITIALIZE);
    proxy.tells("waiting for 127.0.0.1");
    proxy.tells("to begin its answer");
    drop(proxy);
}
