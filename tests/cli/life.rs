//! How the process lives and ends.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;
use crate::support::{INITIALIZE, INITIALIZED};

#[test]
fn end_of_input_lets_open_call_finish() {
    for stdin in Stdin::ALL {
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let server = Server::legacy(move |request, reply| {
            released.lock().expect("no panic").recv().expect("released");
            reply.result(request, "{}");
        });
        let mut proxy = Proxy::start_with(*stdin, &[&server.url], &[]);
        proxy.ask(INITIALIZE);
        proxy.send(r#"{"jsonrpc":"2.0","id":2,"method":"slow"}"#);
        server.wait_for(|request| request.title() == "slow");
        proxy.close();
        release.send(()).expect("it waits");
        let ended = proxy.wait();
        assert_eq!(ended.code, Some(0), "{stdin:?}");
        assert_eq!(ended.lines, [r#"{"jsonrpc":"2.0","id":2,"result":{}}"#]);
        let farewell = server.wait_for(|request| request.method == "DELETE");
        assert_eq!(farewell.header("mcp-session-id"), Some("session-1"));
        assert_eq!(farewell.header("mcp-protocol-version"), Some("2025-06-18"));
    }
}

#[test]
fn end_of_input_limits_wait_for_open_call() {
    let server = Server::legacy(|_, reply| reply.hang());
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.ask(INITIALIZE);
    proxy.send(r#"{"jsonrpc":"2.0","id":2,"method":"endless"}"#);
    let ended = proxy.finish();
    assert_eq!(ended.code, Some(0));
    assert!(ended.lines[0].contains("stopped before the server answered"), "{ended:?}");
    server.wait_for(|request| request.method == "DELETE");
}

#[cfg(unix)]
#[test]
fn signal_answers_open_requests_and_ends_session() {
    for signal in ["INT", "TERM", "HUP"] {
        let server = Server::legacy(|_, reply| reply.hang());
        let mut proxy = Proxy::start(&[&server.url]);
        proxy.ask(INITIALIZE);
        proxy.send(r#"{"jsonrpc":"2.0","id":2,"method":"endless"}"#);
        server.wait_for(|request| request.title() == "endless");
        let kill =
            std::process::Command::new("kill").arg(format!("-{signal}")).arg(proxy.id().to_string()).status();
        assert!(kill.expect("kill is there").success());
        let ended = proxy.wait();
        assert_eq!(ended.code, Some(0), "{signal}: {ended:?}");
        assert!(ended.lines[0].contains("stopped before the server answered"), "{signal}: {ended:?}");
        server.wait_for(|request| request.method == "DELETE");
    }
}

#[test]
fn process_ends_when_client_stops_reading() {
    for stdin in Stdin::ALL {
        let server = Server::start(|request, reply| {
            reply.open_stream();
            // More than any pipe holds, so that the proxy notices whatever its writing thread may buffer.
            for _ in 0..10_000 {
                reply.event(&format!(r#"{{"method":"n","params":"{}"}}"#, "x".repeat(1_000)));
            }
            reply.event(&format!(r#"{{"id":{},"result":{{}}}}"#, request.id()));
            reply.hang();
        });
        let mut proxy = Proxy::start_with(*stdin, &[&server.url], &[]);
        proxy.deaf();
        proxy.send(r#"{"id":1,"method":"flood"}"#);
        // Its input stays open: nothing but the closed output ends it.
        assert_eq!(proxy.wait().code, Some(0), "{stdin:?}");
    }
}

#[test]
fn unreachable_server_is_retried_at_start() {
    let ready = AtomicBool::new(false);
    let server = Server::start(move |request, reply| match ready.swap(true, Ordering::Relaxed) {
        false => reply.answer(503, &[("content-type", "text/plain")], "warming up"),
        true => reply.result(request, r#"{"protocolVersion":"2025-06-18"}"#),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    let answer = proxy.ask(INITIALIZE);
    assert!(answer.contains("\"result\""), "the client sees nothing but the delay: {answer}");
    assert_eq!(proxy.finish().code, Some(0));
}

#[test]
fn failed_initialize_is_answered_and_next_one_retries() {
    let ready = AtomicBool::new(false);
    let server = Server::start(move |request, reply| match ready.swap(true, Ordering::Relaxed) {
        false => reply.answer(500, &[("content-type", "text/plain")], "no database"),
        true => reply.result(request, r#"{"protocolVersion":"2025-06-18"}"#),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    let refused = proxy.ask(INITIALIZE);
    assert!(refused.contains("answered 500") && refused.contains("no database"), "{refused}");
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    assert_eq!(proxy.finish().code, Some(0));
}

#[test]
fn unread_stderr_blocks_nothing() {
    let server =
        Server::start(|_, reply| reply.answer(500, &[("content-type", "text/plain")], &"x".repeat(300)));
    let mut proxy = Proxy::start_unheard(&["-vvv", &server.url]);
    for id in 0..2_000 {
        assert!(proxy.ask(&format!(r#"{{"id":{id},"method":"a"}}"#)).contains("answered 500"), "{id}");
    }
    assert_eq!(proxy.finish().code, Some(0));
}

#[test]
fn large_answers_after_the_last_word_arrive_whole() {
    let server =
        Server::start(|request, reply| reply.result(request, &format!("\"{}\"", "x".repeat(1_000_000))));
    for stdin in Stdin::ALL {
        let mut proxy = Proxy::start_with(*stdin, &[&server.url], &[]);
        for id in 0..20 {
            proxy.send(&format!(r#"{{"id":{id},"method":"a"}}"#));
        }
        let ended = proxy.finish();
        assert_eq!((ended.code, ended.lines.len()), (Some(0), 20), "{stdin:?}");
        assert!(ended.lines.iter().all(|line| line.len() > 1_000_000 && line.ends_with('}')), "{stdin:?}");
    }
}

#[test]
fn null_stdin_ends_process() {
    for stdin in Stdin::ALL {
        let ended = Proxy::start_with(*stdin, &["http://127.0.0.1:9/mcp"], &[]).finish();
        assert_eq!((ended.code, ended.lines.len(), ended.stderr.as_str()), (Some(0), 0, ""), "{stdin:?}");
    }
    let null = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
        .arg("http://127.0.0.1:9/mcp")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it starts");
    assert_eq!(null.status.code(), Some(0));
}

#[test]
fn session_without_calls_is_ended() {
    let server = Server::legacy(|_, reply| reply.status(500));
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.ask(INITIALIZE);
    proxy.send(INITIALIZED);
    server.wait_for(|request| request.method == "GET");
    assert_eq!(proxy.finish().code, Some(0));
    assert_eq!(server.titles(), ["initialize", "notifications/initialized", "GET", "DELETE"]);
}
