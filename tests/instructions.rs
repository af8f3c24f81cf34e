//! How many instructions the program executes for each byte of a large message and for each call: a guard for the speed that no busy
//! machine disturbs.
//!
//! Callgrind counts them, so that valgrind has to be there, and the build has to be optimized: `cargo test --release --test
//! instructions`. Otherwise the tests say so and check nothing. The bounds leave room for other versions of the libraries; a
//! second pass over a message they do not let pass.
#![expect(
    clippy::print_stderr,
    reason = "a test that checks nothing says why, and the others what they count"
)]

#[path = "../examples/bench/payloads.rs"]
mod payloads;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use payloads::Payload;

/// The size of a large message, in bytes.
const SIZE: usize = 2_000_000;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const SESSION: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"test","version":"1"}}"#;
const SMALL: &str = r#"{"content":[]}"#;

/// How an answer is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Json,
    Event,
    Lines,
}

/// Returns whether instructions can be counted here. If not, it says why.
fn can_count() -> bool {
    if cfg!(debug_assertions) {
        eprintln!(
            "skipped: instructions are counted in an optimized build, `cargo test --release --test instructions`"
        );
        return false;
    }
    let version = Command::new("valgrind").arg("--version").output();
    let is_there = version.is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("skipped: instructions are counted by valgrind, which is not installed");
    }
    is_there
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
fn instructions(url: &str, calls: usize, value: &str) -> f64 {
    let mut program = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_mcp-tether"), url])
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("valgrind starts");
    let mut input = program.stdin.take().expect("it is piped");
    let mut output = BufReader::new(program.stdout.take().expect("it is piped"));
    let mut exchange = |line: &str| {
        writeln!(input, "{line}").expect("it reads");
        let mut answer = Vec::new();
        output.read_until(b'\n', &mut answer).expect("it writes");
        assert!(
            memchr::memmem::find(&answer, b"\"result\"").is_some(),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    };
    exchange(INITIALIZE);
    for id in 1..=calls {
        let initialized = if id == 1 { format!("{INITIALIZED}\n") } else { String::new() };
        exchange(&format!(
            r#"{initialized}{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"say","arguments":{{"value":{value}}}}}}}"#
        ));
    }
    drop(input);
    let told = program.wait_with_output().expect("it ends").stderr;
    let told = String::from_utf8_lossy(&told);
    let count = told.split("Collected : ").nth(1).and_then(|rest| rest.split_whitespace().next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("callgrind counted nothing: {told}"))
}

/// Checks the instructions for each byte of a result, and of a request, that holds this payload.
fn check(payload: Payload, bounds: [(Way, f64); 3], request_bound: f64) {
    if !can_count() {
        return;
    }
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
        let floor = instructions(&serve(SMALL.to_owned(), way), 1, "0");
        let large = instructions(&serve(format!("{{\"content\":{value}}}"), way), 1, "0");
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
        instructions(&url, 1, &value) - instructions(&url, 1, "0"),
        value.len(),
        request_bound,
    );
    assert!(wrong.is_empty(), "{}: {wrong:?}", payload.name());
}

#[test]
fn base64_takes_few_instructions_a_byte() {
    check(Payload::Base64, [(Way::Json, 3.0), (Way::Event, 3.0), (Way::Lines, 3.5)], 3.5);
}

#[test]
fn log_lines_take_few_instructions_a_byte() {
    check(Payload::Log, [(Way::Json, 4.0), (Way::Event, 4.0), (Way::Lines, 4.5)], 4.0);
}

#[test]
fn prose_takes_few_instructions_a_byte() {
    check(Payload::Prose, [(Way::Json, 4.0), (Way::Event, 4.0), (Way::Lines, 4.5)], 4.0);
}

#[test]
fn structure_takes_bounded_instructions_a_byte() {
    // Two bytes to a token: `src/speed.md` says where they go.
    check(Payload::Structure, [(Way::Json, 12.5), (Way::Event, 12.5), (Way::Lines, 17.5)], 12.5);
}

#[test]
fn call_takes_bounded_instructions() {
    if !can_count() {
        return;
    }
    let url = serve(SMALL.to_owned(), Way::Json);
    let each = (instructions(&url, 300, "0") - instructions(&url, 100, "0")) / 200.0;
    eprintln!("a small call: {each:.0} instructions");
    assert!(each <= 165_000.0, "{each:.0}");
}
