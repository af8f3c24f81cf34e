//! Descriptors that do not wait, that are too few, and files that cannot grow.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::support::server::Server;

/// Runs the binary within a limit of the shell's `ulimit`, with this input.
fn limited(limit: &str, arguments: &[&str], input: &str) -> Output {
    let script = format!("ulimit {limit}; exec \"$0\" \"$@\"");
    let mut child = Command::new("/bin/sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_mcp-tether")])
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // One that ends at once may not read it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it was started")
}

#[test]
fn too_few_descriptors_still_give_an_answer() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    for count in 4..=20 {
        let asked = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
        let output = limited(&format!("-n {count}"), &[&server.url, "--no-cache"], asked);
        let (told, answered) =
            (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        // Where the program itself cannot be loaded there is nothing to be done.
        if output.status.code() == Some(127) {
            assert!(count < 6, "{count}: {told}");
            continue;
        }
        assert!([Some(0), Some(1)].contains(&output.status.code()), "{count}: {:?} {told}", output.status);
        assert!(answered.lines().count() == 1 && answered.contains("\"id\""), "{count}: {answered} {told}");
        assert!(!told.contains("defect"), "{count}: {told}");
    }
}

#[test]
fn log_beyond_the_limit_of_file_size_ends_alone() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let folder = tempfile::tempdir().expect("a folder");
    let (log, record) = (folder.path().join("log"), folder.path().join("record"));
    let (log, record) = (log.to_str().expect("UTF-8"), record.to_str().expect("UTF-8"));
    let lines: String =
        (0..200).map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n")).collect();
    let arguments = [&server.url, "--no-cache", "--log-file", log, "--record", record];
    let output = limited("-f 4", &arguments, &lines);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{:?} {told}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("\"result\"").count(), 200, "{told}");
    assert!(std::fs::metadata(log).expect("a log").len() <= 4096);
    assert_eq!(told.matches("the log file takes no more").count(), 1, "{told}");
    assert_eq!(told.matches("the conversation is no longer recorded").count(), 1, "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn client_that_does_not_wait_loses_nothing() {
    const REQUESTS: usize = 1_000;
    for threads in ["threads", ""] {
        let server =
            Server::start(|request, reply| reply.result(request, &format!("\"{}\"", "x".repeat(500))));
        let (from, mut input) = std::io::pipe().expect("a pipe");
        let (output, to) = std::io::pipe().expect("a pipe");
        let not_to_wait = |flags| flags | OFlags::NONBLOCK;
        fcntl_setfl(&from, not_to_wait(fcntl_getfl(&from).expect("flags"))).expect("it can be set");
        fcntl_setfl(&to, not_to_wait(fcntl_getfl(&to).expect("flags"))).expect("it can be set");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
        command.args([server.url.as_str(), "--no-cache"]).env_clear().env("MCP_TETHER_STDIO", threads);
        let mut child = command.stdin(from).stdout(to).spawn().expect("it starts");
        // It holds the child's ends as well.
        drop(command);
        let write = std::thread::spawn(move || {
            for id in 0..REQUESTS {
                writeln!(input, r#"{{"jsonrpc":"2.0","id":{id},"method":"m{id}"}}"#).expect("it reads");
            }
            input
        });
        // The answers to these do not fit the pipe.
        server.wait_for(|request| request.title() == "m200");
        let mut seen = 0;
        let mut lines = BufReader::new(output).lines();
        while seen < REQUESTS {
            let line = lines.next().expect("all are answered").expect("UTF-8");
            assert!(line.contains("\"result\"") && line.ends_with('}'), "{threads}: {line}");
            seen += 1;
        }
        drop(write.join().expect("it was read"));
        assert_eq!(child.wait().expect("it was started").code(), Some(0), "{threads}");
    }
}
