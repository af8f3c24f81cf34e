//! `--record`: what the real binary writes down, the bridge does again, line by line.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::proxy::Proxy;
use crate::support::server::{Reply, Request, Server};
use crate::support::{INITIALIZE, INITIALIZED};
use crate::transcript::replay;

/// Plays a conversation through the binary, and tells what was recorded.
fn recorded(server: &Server, options: &[&str], play: impl FnOnce(&mut Proxy)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let record = folder.path().join("record");
    let mut arguments = vec![server.url.as_str(), "--record", record.to_str().expect("UTF-8")];
    arguments.extend(options);
    let mut proxy = Proxy::start(&arguments);
    play(&mut proxy);
    assert_eq!(proxy.finish().code, Some(0));
    std::fs::read_to_string(&record).expect("a recording")
}

/// Fails where the bridge does something else than was recorded.
fn assert_replays(recorded: &str) {
    let replayed = replay(recorded).unwrap_or_else(|error| panic!("{error}\n{recorded}"));
    for (number, (line, again)) in recorded.lines().zip(replayed.lines()).enumerate() {
        assert_eq!(line, again, "line {} of\n{recorded}", number + 1);
    }
    assert_eq!(recorded, replayed);
}

fn assert_holds(recorded: &str, parts: &[&str]) {
    for part in parts {
        assert!(recorded.contains(part), "{part} is missing in\n{recorded}");
    }
}

const TOOLS: &str = r#"{"tools":[{"name":"slow"}]}"#;

/// A server with sessions, of which the first is forgotten once a tool was listed, called and cancelled.
fn forgetful(sessions: &AtomicUsize, request: &Request, reply: &mut Reply) {
    let is_forgotten = request.header("mcp-session-id") == Some("marked-session-number-0")
        && request.member("params").is_some_and(|params| params.contains("forgotten"));
    match request.title() {
        "initialize" => {
            let session = format!("marked-session-number-{}", sessions.fetch_add(1, Ordering::Relaxed));
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"2025-06-18","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"s","version":"1"}}}}}}"#,
                request.id()
            );
            reply.answer(200, &[("content-type", "application/json"), ("mcp-session-id", &session)], &body);
        }
        "GET" => reply.status(405),
        "DELETE" => reply.status(204),
        _ if is_forgotten => {
            reply.answer(
                404,
                &[("x-request-id", "r-1"), ("content-type", "text/plain")],
                "no session \"marked-session-number-0\"",
            );
        }
        "tools/list" => reply.result(request, TOOLS),
        "hang" => reply.hang(),
        "tools/call" => {
            reply.open_stream();
            reply.raw("id: e 1\nretry: 7\n");
            reply.event(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#);
            reply.event(&format!(
                "{{\"jsonrpc\":\"2.0\",\ndata: \"id\":{},\"result\":{{\"content\":[]}}}}",
                request.id()
            ));
        }
        _ => reply.status(202),
    }
}

#[test]
fn recorded_conversation_replays_identically() {
    let sessions = AtomicUsize::new(0);
    let server = Server::start(move |request, reply| forgetful(&sessions, request, reply));
    let recorded = recorded(&server, &["--ping-interval", "3600"], |proxy| {
        proxy.ask(INITIALIZE);
        proxy.send(INITIALIZED);
        assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#).contains("slow"));
        proxy.send(r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"slow"}}"#);
        assert!(proxy.line().contains("progress"));
        assert!(proxy.line().contains(r#""id":3,"result""#));
        proxy.send(r#"{"jsonrpc":"2.0","id":4,"method":"hang"}"#);
        server.wait_for(|request| request.title() == "hang");
        proxy.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4}}"#);
        server.wait_for(|request| request.title() == "notifications/cancelled");
        let line =
            proxy.ask(r#"{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{"cursor":"forgotten"}}"#);
        assert!(line.contains("slow"), "{line}");
        // What cannot be read, alone and among others.
        assert!(proxy.ask("nonsense").contains("-32700"));
        proxy.send(r#"[{"jsonrpc":"2.0","id":6,"method":"tools/list"},17]"#);
        let answers = [proxy.line(), proxy.line()];
        assert!(answers.iter().any(|line| line.contains("-32600")), "{answers:?}");
    });
    assert_holds(
        &recorded,
        &[
            "> ping-every 3600",
            "> opened #1 200 session=a-session",
            "open #3 listen session=a… revision=2025-06-18",
            "> cursor #",
            "close #",
            "> refused #",
            r#"body="no session \"a…\"" request-id="r-1""#,
            "notice the server no longer knows the session; a new one is opened",
            "session=b-session",
            "> unreadable {\"code\":-32700,",
            "> batch [",
            "> client-closed",
            "end session session=b…",
            "exit ClientClosed",
        ],
    );
    assert!(!recorded.contains("marked"), "{recorded}");
    assert_replays(&recorded);
}

#[test]
fn rules_about_tools_are_replayed() {
    let server = Server::legacy(|request, reply| {
        reply.result(
            request,
            r#"{"tools":[{"name":"slow","annotations":{"readOnlyHint":true}},{"name":"bad one"}]}"#,
        );
    });
    let options = ["--read-only", "--ignore-tool", "bad *", "--allow-tool", "*", "--ignore-tool", "x"];
    let recorded = recorded(&server, &options, |proxy| {
        proxy.ask(INITIALIZE);
        proxy.send(INITIALIZED);
        for name in ["slow", "bad one", "nowhere"] {
            proxy.ask(&format!(
                r#"{{"jsonrpc":"2.0","id":"{name}","method":"tools/call","params":{{"name":"{name}"}}}}"#
            ));
        }
    });
    assert_replays(&recorded);
    assert_holds(
        &recorded,
        &[
            "> read-only\n",
            "> ignore-tool bad *\n> ignore-tool x\n",
            "request \"mcp-tether/f1\" tools/list",
            "--ignore-tool bad * leaves it out",
            "the server does not list it",
        ],
    );
}

#[test]
fn recorded_timers_replay_identically() {
    // Refused twice and asked again after pauses that chance has a part in; then a stream that breaks and is taken up.
    let asked = AtomicUsize::new(0);
    let server = Server::legacy(move |request, reply| {
        match (request.title(), asked.fetch_add(1, Ordering::Relaxed)) {
            ("busy", 0 | 1) => reply.answer(503, &[("retry-after", "0")], ""),
            ("busy", _) => reply.result(request, "{}"),
            _ => {
                let status = if request.title() == "limited" { 429 } else { 500 };
                reply.answer(
                    status,
                    &[("retry-after", "100"), ("cf-ray", "8f3-FRA")],
                    "{\"a\": \"why=\\\"x\\\"\"}",
                );
            }
        }
    });
    let recorded = recorded(&server, &[], |proxy| {
        proxy.ask(INITIALIZE);
        proxy.send(INITIALIZED);
        assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"busy"}"#).contains("result"));
        assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":3,"method":"limited"}"#).contains("100"));
        assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":4,"method":"broken"}"#).contains("answered 500"));
    });
    assert_holds(
        &recorded,
        &["> wait ", "busy is sent again", "wait=100.000000000", "ray=\"8f3-FRA\"", "> seed "],
    );
    assert_replays(&recorded);
}

#[test]
fn recorded_unreachable_server_replays_identically() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/mcp", gone.local_addr().expect("an address"));
    drop(gone);
    let folder = tempfile::tempdir().expect("a folder");
    let record = folder.path().join("record");
    let mut proxy = Proxy::start(&[&url, "--record", record.to_str().expect("UTF-8")]);
    let line = proxy.ask(r#"{"jsonrpc":"2.0","id":"one","method":"server/discover","params":{}}"#);
    assert!(line.contains("error"), "{line}");
    proxy.finish();
    let text = std::fs::read_to_string(&record).expect("a recording");
    assert_holds(&text, &["> unsent #1 cause=connect why="]);
    assert_replays(&text);
}

#[cfg(unix)]
#[test]
fn recorded_resumption_and_signal_replay_identically() {
    // The first GET offers no stream; what a stream named is taken up behind it, after as long as the server asked for.
    let server = Server::start(|request, reply| match (request.title(), request.header("last-event-id")) {
        ("GET", Some(_)) => {
            reply.open_stream();
            reply.event(r#"{"jsonrpc":"2.0","id":2,"result":{"resumed":true}}"#);
        }
        ("cut", _) => {
            reply.open_stream();
            reply.raw("id: e \"1\"\nretry: 150\ndata:\n\n");
        }
        ("hang", _) => reply.hang(),
        ("initialize", _) => reply.result(request, r#"{"protocolVersion":"2025-06-18"}"#),
        (title, _) if title.starts_with("notifications/") => reply.status(202),
        _ => reply.status(405),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let record = folder.path().join("record");
    let mut proxy = Proxy::start(&[&server.url, "--record", record.to_str().expect("UTF-8")]);
    proxy.ask(INITIALIZE);
    proxy.send(INITIALIZED);
    assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"cut"}"#).contains("resumed"));
    proxy.send(r#"{"jsonrpc":"2.0","id":3,"method":"hang"}"#);
    server.wait_for(|request| request.title() == "hang");
    let kill = std::process::Command::new("kill").arg("-TERM").arg(proxy.id().to_string()).status();
    assert!(kill.expect("kill is there").success());
    assert!(proxy.line().contains("error"));
    assert_eq!(proxy.wait().code, Some(0));
    let text = std::fs::read_to_string(&record).expect("a recording");
    let cursor = r#" last="e \"1\"" retry=150"#;
    assert_holds(&text, &[cursor, "> stop signal", "exit Stopped(Signal)", r#"listen after="e \"1\"""#]);
    assert_replays(&text);
}
