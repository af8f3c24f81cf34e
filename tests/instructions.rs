//! How many instructions the program executes for each byte of a large message and for each call: a guard for the speed that no busy
//! machine disturbs.
//!
//! Callgrind counts them, so that valgrind has to be there, and the program has to be optimized: `cargo test --release --test
//! instructions`, or with a program that is built already (`.ci/run`): `PROGRAM=target/release/mcp-tether cargo test --test
//! instructions`. Otherwise those tests say so and check nothing. The bounds leave room for other versions of the libraries; a
//! second pass over a message they do not let pass.
#![expect(
    clippy::print_stderr,
    reason = "a test that checks nothing says why, and the others what they count"
)]

#[path = "../examples/bench/payloads.rs"]
mod payloads;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use mcp_tether::jsonrpc::{Line, MessageBuffer};
use mcp_tether::remote::sse::Parser;
use payloads::Payload;

/// The size of a large message, in bytes.
const SIZE: usize = 2_000_000;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const SESSION: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"test","version":"1"}}"#;
const SMALL: &str = r#"{"content":[]}"#;

/// How many calls are under way at once where many are.
const AT_ONCE: usize = 64;

/// How an answer is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Json,
    Event,
    Lines,
}

/// The optimized program whose instructions are counted. If they cannot be counted here, it says why.
fn program() -> Option<OsString> {
    let given = std::env::var_os("PROGRAM");
    if given.is_none() && cfg!(debug_assertions) {
        eprintln!(
            "skipped: instructions are counted in an optimized build, `cargo test --release --test instructions`"
        );
        return None;
    }
    let version = Command::new("valgrind").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: instructions are counted by valgrind, which is not installed");
        return None;
    }
    Some(given.unwrap_or_else(|| env!("CARGO_BIN_EXE_mcp-tether").into()))
}

/// A server that answers each call with this result, and where it listens.
fn serve(result: String, way: Way) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let result = Arc::new(result);
    // The thread ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, result) = (stream.expect("a connection"), Arc::clone(&result));
            std::thread::spawn(move || answer_all(&stream, &result, way));
        }
    });
    url
}

/// Answers the requests of a connection until it ends.
fn answer_all(mut stream: &TcpStream, result: &str, way: Way) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut is_post, mut length) = (false, 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            is_post |= line.starts_with("POST");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        let Some(id) = body.split_once("\"id\":").map(|(_, rest)| &rest[..rest.find(',').unwrap_or(0)])
        else {
            let status = if is_post { "202 Accepted" } else { "405 Method Not Allowed" };
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").ok()?;
            continue;
        };
        let result = if id == "0" { SESSION } else { result };
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        let (media_type, text) = match way {
            Way::Json => ("application/json", answer),
            Way::Event | Way::Lines => ("text/event-stream", format!("event: message\ndata: {answer}\n\n")),
        };
        let length = text.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{text}"
        )
        .ok()?;
    }
}

/// How many instructions the program executes for some calls, each with this value, one after the other.
fn instructions(program: &OsString, url: &str, calls: usize, value: &str) -> f64 {
    instructions_at_once(program, url, calls, 1, value)
}

/// The same for calls of which so many are under way at once.
fn instructions_at_once(program: &OsString, url: &str, calls: usize, at_once: usize, value: &str) -> f64 {
    let mut program = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg(url)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("valgrind starts");
    let mut input = program.stdin.take().expect("it is piped");
    let mut output = BufReader::new(program.stdout.take().expect("it is piped"));
    let mut write = |line: &str| writeln!(input, "{line}").expect("it reads");
    let mut read = || {
        let mut answer = Vec::new();
        output.read_until(b'\n', &mut answer).expect("it writes");
        assert!(
            memchr::memmem::find(&answer, b"\"result\"").is_some(),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    };
    write(INITIALIZE);
    read();
    for id in 1..=calls {
        let initialized = if id == 1 { format!("{INITIALIZED}\n") } else { String::new() };
        write(&format!(
            r#"{initialized}{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"say","arguments":{{"value":{value}}}}}}}"#
        ));
        if id >= at_once {
            read();
        }
    }
    (1..at_once.min(calls + 1)).for_each(|_| read());
    drop(input);
    let told = program.wait_with_output().expect("it ends").stderr;
    let told = String::from_utf8_lossy(&told);
    let count = told.split("Collected : ").nth(1).and_then(|rest| rest.split_whitespace().next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("callgrind counted nothing: {told}"))
}

/// Checks the instructions for each byte of a result, and of a request, that holds this payload.
fn check(payload: Payload, bounds: [(Way, f64); 3], request_bound: f64) {
    let Some(program) = program() else { return };
    let mut wrong = Vec::new();
    let mut compare = |what: &str, count: f64, size: usize, bound: f64| {
        let each = count / size as f64;
        eprintln!("{}, {what}: {each:.2} instructions a byte, at most {bound}", payload.name());
        if each > bound {
            wrong.push(format!("{what}: {each:.2} > {bound}"));
        }
    };
    for (way, bound) in bounds {
        let line_break = (way == Way::Lines).then_some("\ndata: ");
        let value = payload.value(SIZE, line_break);
        let size = value.len();
        let floor = instructions(&program, &serve(SMALL.to_owned(), way), 1, "0");
        let large = instructions(&program, &serve(format!("{{\"content\":{value}}}"), way), 1, "0");
        let what = match way {
            Way::Json => "JSON",
            Way::Event => "one event",
            Way::Lines => "event of many lines",
        };
        compare(what, large - floor, size, bound);
    }
    let value = payload.value(SIZE, None);
    let url = serve(SMALL.to_owned(), Way::Json);
    compare(
        "request",
        instructions(&program, &url, 1, &value) - instructions(&program, &url, 1, "0"),
        value.len(),
        request_bound,
    );
    assert!(wrong.is_empty(), "{}: {wrong:?}", payload.name());
}

/// What a text holds that arrives in parts of this size, if the scanner knows it with the last byte.
fn scan(text: &[u8], size: usize) -> Option<Line> {
    let mut buffer = MessageBuffer::default();
    for part in text.chunks(size) {
        buffer.push_without_line_breaks(part);
        buffer.scan();
    }
    buffer.finish().1
}

#[test]
fn scanner_accepts_payloads_of_every_kind() {
    // What it does not accept is parsed by serde_json, in passes of its own.
    for payload in [Payload::Base64, Payload::Log, Payload::Prose, Payload::Structure] {
        for (line_break, size) in [(None, 64 * 1024), (Some("\n"), 16 * 1024 - 1)] {
            let value = payload.value(SIZE, line_break);
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":{value}}}}}"#);
            let scanned = scan(message.as_bytes(), size);
            assert!(matches!(scanned, Some(Line::One(_))), "{}, {line_break:?}: {scanned:?}", payload.name());
        }
        let value = payload.value(SIZE, Some("\ndata: "));
        let stream = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"content\":{value}}}}}\n\n");
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for part in stream.as_bytes().chunks(64 * 1024) {
            parser.push(part, |event| events.push(event)).expect("small");
        }
        let scanned = events.pop().and_then(|event| event.data.finish().1);
        assert!(matches!(scanned, Some(Line::One(_))), "{}, events: {scanned:?}", payload.name());
    }
    assert!(scan(b"[1]", 1).is_none(), "something else is not accepted");
}

#[test]
fn base64_takes_few_instructions_a_byte() {
    check(Payload::Base64, [(Way::Json, 3.0), (Way::Event, 3.0), (Way::Lines, 3.0)], 3.5);
}

#[test]
fn log_lines_take_few_instructions_a_byte() {
    check(Payload::Log, [(Way::Json, 4.0), (Way::Event, 4.0), (Way::Lines, 4.0)], 4.0);
}

#[test]
fn prose_takes_few_instructions_a_byte() {
    check(Payload::Prose, [(Way::Json, 4.0), (Way::Event, 4.0), (Way::Lines, 4.0)], 4.0);
}

#[test]
fn structure_takes_bounded_instructions_a_byte() {
    // Two bytes to a token: `src/speed.md` says where they go.
    check(Payload::Structure, [(Way::Json, 12.0), (Way::Event, 12.0), (Way::Lines, 14.0)], 12.0);
}

#[test]
fn call_takes_bounded_instructions() {
    let Some(program) = program() else { return };
    let url = serve(SMALL.to_owned(), Way::Json);
    let each = (instructions(&program, &url, 300, "0") - instructions(&program, &url, 100, "0")) / 200.0;
    eprintln!("a small call: {each:.0} instructions");
    assert!(each <= 122_000.0, "{each:.0}");
}

#[test]
fn call_among_many_takes_no_more_instructions() {
    let Some(program) = program() else { return };
    let url = serve(SMALL.to_owned(), Way::Json);
    let count = |calls| instructions_at_once(&program, &url, calls, AT_ONCE, "0");
    let each = (count(16 * AT_ONCE) - count(4 * AT_ONCE)) / (12 * AT_ONCE) as f64;
    eprintln!("a small call, {AT_ONCE} at once: {each:.0} instructions");
    assert!(each <= 117_000.0, "{each:.0}");
}
