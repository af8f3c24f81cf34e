//! Ends under harder conditions: measured, by every kind of stdin, with a server that does not help.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;
use crate::support::{INITIALIZE, INITIALIZED};

/// A flood, then its answer.
fn flooding(events: usize) -> Server {
    Server::start(move |request, reply| {
        if request.title() != "flood" {
            return reply.result(request, "{}");
        }
        reply.open_stream();
        let padding = "x".repeat(500);
        for number in 0..events {
            reply.event(&format!(r#"{{"method":"n","params":{{"number":{number},"x":"{padding}"}}}}"#));
        }
        reply.event(&format!(r#"{{"id":{},"result":{{}}}}"#, request.id()));
    })
}

#[test]
fn late_reader_gets_everything_in_order() {
    const EVENTS: usize = 20_000;
    for stdin in Stdin::ALL {
        let server = flooding(EVENTS);
        let mut proxy = Proxy::start_unread(*stdin, &[&server.url]);
        proxy.send(r#"{"id":1,"method":"flood"}"#);
        proxy.send(r#"{"id":2,"method":"other"}"#);
        server.wait_for(|request| request.title() == "other");
        proxy.listen();
        let (mut number, mut answers) = (0, 0);
        while answers < 2 {
            let line = proxy.line();
            match line.starts_with("{\"method\":\"n\"") {
                true => {
                    assert!(line.contains(&format!("\"number\":{number},")), "{stdin:?}: {number}: {line}");
                    number += 1;
                }
                false => answers += 1,
            }
        }
        assert_eq!(number, EVENTS, "{stdin:?}");
        let ended = proxy.finish();
        assert_eq!((ended.code, ended.lines.len(), ended.stderr.as_str()), (Some(0), 0, ""), "{stdin:?}");
    }
}

#[cfg(unix)]
#[test]
fn signal_ends_process_at_once_without_server() {
    for stdin in Stdin::ALL {
        for signal in ["INT", "TERM", "HUP"] {
            // Neither the call nor the end of the session is ever answered.
            let server = Server::start(|request, reply| match request.title() {
                "initialize" => reply.answer(
                    200,
                    &[("content-type", "application/json"), ("mcp-session-id", "s-1")],
                    r#"{"id":1,"result":{"protocolVersion":"2025-06-18"}}"#,
                ),
                "notifications/initialized" => reply.status(202),
                _ => reply.hang(),
            });
            let mut proxy = Proxy::start_with(*stdin, &[&server.url], &[]);
            proxy.ask(INITIALIZE);
            proxy.send(INITIALIZED);
            proxy.send(r#"{"jsonrpc":"2.0","id":2,"method":"endless"}"#);
            server.wait_for(|request| request.title() == "endless");
            let kill = Command::new("kill").arg(format!("-{signal}")).arg(proxy.id().to_string()).status();
            assert!(kill.expect("kill is there").success());
            let ended = within(2, || proxy.wait());
            assert_eq!((ended.code, ended.lines.len()), (Some(0), 1), "{stdin:?} {signal}: {ended:?}");
            assert!(ended.lines[0].contains(r#""id":2,"error":{"code":-31011"#), "{ended:?}");
            let farewell = server.wait_for(|request| request.method == "DELETE");
            assert_eq!(farewell.header("mcp-session-id"), Some("s-1"));
        }
    }
}

#[cfg(unix)]
#[test]
fn signal_ends_process_with_unread_stdout() {
    for stdin in Stdin::ALL {
        let server = flooding(20_000);
        let mut proxy = Proxy::start_unread(*stdin, &[&server.url]);
        proxy.send(r#"{"id":1,"method":"flood"}"#);
        proxy.send(r#"{"id":2,"method":"other"}"#);
        server.wait_for(|request| request.title() == "other");
        let kill = Command::new("kill").arg("-TERM").arg(proxy.id().to_string()).status();
        assert!(kill.expect("kill is there").success());
        // Nobody reads to the end: what was written may end in half a line.
        assert_eq!(within(2, || proxy.wait_unread()), Some(0), "{stdin:?}");
    }
}

#[test]
fn process_ends_when_client_is_gone() {
    let server = flooding(20_000);
    let mut proxy = Proxy::start_unread(Stdin::Pipes, &[&server.url]);
    proxy.send(r#"{"id":1,"method":"flood"}"#);
    server.wait_for(|request| request.title() == "flood");
    proxy.close();
    assert_eq!(within(12, || proxy.wait_unread()), Some(0));
}

#[test]
fn closed_stderr_blocks_nothing() {
    for (arguments, code) in [(&["-vvv", "URL"][..], 0), (&["--no-such-option", "URL"], 2)] {
        let server = Server::start(|_, reply| reply.answer(500, &[("content-type", "text/plain")], "no"));
        let arguments = arguments.iter().map(|text| if *text == "URL" { server.url.as_str() } else { text });
        let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        drop(child.stderr.take());
        let mut input = child.stdin.take().expect("piped");
        for id in 0..50 {
            writeln!(input, r#"{{"id":{id},"method":"a"}}"#).expect("it reads");
        }
        drop(input);
        let output = child.wait_with_output().expect("it was started");
        assert_eq!(output.status.code(), Some(code), "{:?}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 50);
    }
}

#[test]
fn unanswered_session_end_does_not_keep_process() {
    let server = Server::start(|request, reply| match request.title() {
        "DELETE" => reply.hang(),
        _ => reply.answer(
            200,
            &[("content-type", "application/json"), ("mcp-session-id", "s-1")],
            r#"{"id":1,"result":{"protocolVersion":"2025-06-18"}}"#,
        ),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.ask(INITIALIZE);
    let ended = within(4, || proxy.finish());
    assert_eq!((ended.code, ended.lines.len(), ended.stderr.as_str()), (Some(0), 0, ""));
    server.wait_for(|request| request.method == "DELETE");
}

#[test]
fn conversation_from_file_to_file_is_answered_in_full() {
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("in"), folder.path().join("out"));
    let list = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    // The last line without its end.
    std::fs::write(&from, format!("{INITIALIZE}\r\n{INITIALIZED}\n\n{list}")).expect("written");
    let status = Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
        .arg(&server.url)
        .stdin(File::open(&from).expect("it is there"))
        .stdout(File::create(&to).expect("a file"))
        .stderr(Stdio::inherit())
        .status()
        .expect("it starts");
    assert_eq!(status.code(), Some(0));
    let lines = std::fs::read_to_string(&to).expect("UTF-8");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[1], r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
    // Whether the stream is still asked for depends on when the end of the file was seen.
    let titles: Vec<String> = server.titles().into_iter().filter(|title| title != "GET").collect();
    assert_eq!(titles, ["initialize", "notifications/initialized", "tools/list", "DELETE"]);
}

/// Fails if something takes this many seconds.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the time of another process is measured")]
fn within<T>(seconds: u64, act: impl FnOnce() -> T) -> T {
    let begin = std::time::Instant::now();
    let result = act();
    let took = begin.elapsed();
    assert!(took.as_secs() < seconds, "took {took:?}");
    result
}
