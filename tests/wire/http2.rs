//! HTTP/2 streams that the server says it has not processed (RFC 9113, sections 6.8 and 8.7): they are sent again, also for
//! calls with effects. The server is written by hand, because libraries do not refuse what they have read.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::proxy::Proxy;
use crate::support::{INITIALIZE, INITIALIZED};
use crate::tls;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// What becomes of the second `tools/call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its stream is refused.
    Refused,
    /// The server goes away and names a last stream before it.
    GoneBefore,
    /// Both.
    RefusedAndGone,
    /// Its stream is reset for another reason: it may have run.
    Cancelled,
    /// The server goes away and names it as the last stream, and closes the connection without an answer.
    GoneBehind,
}

/// The calls whose tool ran, and what became of the second that came.
struct Calls {
    fate: Fate,
    came: usize,
    ran: usize,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A head with 200 and JSON, or with another status that HPACK has in its static table.
fn head(status: u8, has_session: bool) -> Vec<u8> {
    let literal = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).expect("short");
        [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    let mut head = vec![0x80 | status];
    head.extend(literal("content-type", "application/json"));
    if has_session {
        head.extend(literal("mcp-session-id", "one"));
    }
    head
}

/// Index of `:status: 200`, `204` and `400` (RFC 7541, appendix A).
const OK: u8 = 8;
const NO_CONTENT: u8 = 9;
const BAD_REQUEST: u8 = 12;

fn serve(mut stream: TcpStream, calls: &Mutex<Calls>) -> Option<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).ok()?;
    let mut before = 0;
    let mut body = Vec::new();
    loop {
        let mut start = [0; 9];
        stream.read_exact(&mut start).ok()?;
        let length = u32::from_be_bytes([0, start[0], start[1], start[2]]);
        let (kind, flags) = (start[3], start[4]);
        let id = u32::from_be_bytes([start[5], start[6], start[7], start[8]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).ok()?;
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).ok()?,
            PING if flags & ACK == 0 => stream.write_all(&frame(PING, ACK, 0, &payload)).ok()?,
            // A GET or DELETE.
            HEADERS if flags & END_STREAM != 0 => {
                let refusal = frame(HEADERS, END_HEADERS | END_STREAM, id, &head(BAD_REQUEST, false));
                stream.write_all(&refusal).ok()?;
                before = id;
            }
            DATA => {
                body.extend(payload);
                if flags & END_STREAM == 0 {
                    continue;
                }
                let text = String::from_utf8(std::mem::take(&mut body)).expect("UTF-8");
                let method = mcp_tether::json::member(&text, "method").unwrap_or_default();
                let request = mcp_tether::json::member(&text, "id").unwrap_or("null");
                let result = match method {
                    "\"initialize\"" => r#"{"protocolVersion":"2025-06-18","capabilities":{}}"#,
                    "\"tools/call\"" => {
                        let mut calls = calls.lock().expect("no panic");
                        calls.came += 1;
                        let goaway = |last: u32| {
                            let payload = [last.to_be_bytes(), [0; 4]].concat();
                            frame(GOAWAY, 0, 0, &payload)
                        };
                        let reset = |reason: u32| frame(RST_STREAM, 0, id, &reason.to_be_bytes());
                        if calls.came == 2 {
                            let said = match calls.fate {
                                Fate::Refused => reset(REFUSED_STREAM),
                                Fate::GoneBefore => goaway(before),
                                Fate::RefusedAndGone => [reset(REFUSED_STREAM), goaway(before)].concat(),
                                Fate::Cancelled => reset(CANCEL),
                                Fate::GoneBehind => goaway(id),
                            };
                            stream.write_all(&said).ok()?;
                            match calls.fate {
                                Fate::Refused | Fate::Cancelled => continue,
                                Fate::GoneBefore | Fate::RefusedAndGone | Fate::GoneBehind => return Some(()),
                            }
                        }
                        calls.ran += 1;
                        "{}"
                    }
                    _ => {
                        let taken = frame(HEADERS, END_HEADERS | END_STREAM, id, &head(NO_CONTENT, false));
                        stream.write_all(&taken).ok()?;
                        before = id;
                        continue;
                    }
                };
                let answer = format!(r#"{{"jsonrpc":"2.0","id":{request},"result":{result}}}"#);
                stream.write_all(&frame(HEADERS, END_HEADERS, id, &head(OK, true))).ok()?;
                stream.write_all(&frame(DATA, END_STREAM, id, answer.as_bytes())).ok()?;
                before = id;
            }
            _ => {}
        }
    }
}

#[test]
fn unprocessed_streams_are_sent_again() {
    for (fate, is_repeated) in [
        (Fate::Refused, true),
        (Fate::GoneBefore, true),
        (Fate::RefusedAndGone, true),
        (Fate::Cancelled, false),
        (Fate::GoneBehind, false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let calls = Arc::new(Mutex::new(Calls { fate, came: 0, ran: 0 }));
        let shared = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let calls = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &calls));
            }
        });
        let server = tls::before(&address, "h2", false, |_| ());
        let mut proxy = Proxy::start(&[&server.url, "--ca-cert", &server.file("ca.pem")]);
        assert!(proxy.ask(INITIALIZE).contains("\"result\""), "{fate:?}");
        proxy.send(INITIALIZED);
        let call = |id: u32| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#)
        };
        assert!(proxy.ask(&call(2)).contains("\"result\""), "{fate:?}");
        let line = proxy.ask(&call(3));
        assert_eq!(line.contains("\"result\""), is_repeated, "{fate:?} {line}");
        proxy.finish();
        let calls = calls.lock().expect("no panic");
        let expected = if is_repeated { (3, 2) } else { (2, 1) };
        assert_eq!((calls.came, calls.ran), expected, "{fate:?}");
    }
}
