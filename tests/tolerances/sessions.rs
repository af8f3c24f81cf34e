//! Sessions that servers forget, in whatever words; servers that answer little at once, or refuse what they should negotiate.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::support::authority::{Authority, Set, visit};
use super::support::proxy::{Proxy, Stdin};
use super::support::server::{Reply, Request, Server};
use super::support::{INITIALIZE, INITIALIZED};

/// What a server knows of its sessions.
#[derive(Default)]
struct State {
    opened: usize,
    alive: Vec<String>,
    /// How often the tool ran.
    runs: usize,
    ended: Vec<String>,
}

impl State {
    fn open(&mut self) -> String {
        self.opened += 1;
        let id = format!("marked-session-{}", self.opened);
        self.alive.push(id.clone());
        id
    }

    fn knows(&self, request: &Request) -> bool {
        request.header("mcp-session-id").is_some_and(|id| self.alive.iter().any(|alive| alive == id))
    }
}

type Shared = Arc<Mutex<State>>;

/// How a server answers: status, type of the content, body, in which `OWN` stands for the id of the request.
type Answer = (u16, &'static str, &'static str);

fn give(request: &Request, reply: &mut Reply, (status, media_type, body): Answer) {
    let body = body.replace("OWN", request.id());
    match media_type {
        "" => reply.answer(status, &[], &body),
        media_type => reply.answer(status, &[("content-type", media_type)], &body),
    }
}

fn open(request: &Request, reply: &mut Reply, state: &Shared) {
    let id = state.lock().expect("no panic").open();
    let result = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"2025-06-18","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"s","version":"1"}}}}}}"#,
        request.id()
    );
    reply.answer(200, &[("content-type", "application/json"), ("mcp-session-id", &id)], &result);
}

/// Answers in a session that is known; `call` answers `tools/call` once the tool has run, and everything else that is no
/// part of the handshake.
fn converse(
    request: &Request,
    reply: &mut Reply,
    state: &Shared,
    lost: Answer,
    call: impl Fn(&Request, &mut Reply),
) {
    match request.title() {
        "initialize" => open(request, reply, state),
        "DELETE" => {
            let ended = request.header("mcp-session-id").unwrap_or_default().to_owned();
            state.lock().expect("no panic").ended.push(ended);
            reply.status(204);
        }
        _ if !state.lock().expect("no panic").knows(request) => give(request, reply, lost),
        "GET" => reply.status(405),
        "notifications/initialized" => reply.status(202),
        "tools/call" => {
            state.lock().expect("no panic").runs += 1;
            call(request, reply);
        }
        _ => call(request, reply),
    }
}

fn call(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#)
}

/// Starts the proxy and opens the session.
fn begun(url: &str, arguments: &[&str]) -> Proxy {
    let mut proxy = Proxy::start(&[&[url], arguments].concat());
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    proxy.send(INITIALIZED);
    proxy
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const STREAM: &str = "text/event-stream";

/// What a server answers whoever names a session that it has forgotten; beside it, what a server answers whose tool has
/// just run, and which is about something else.
const LOST: &[(Answer, Answer)] = &[
    (
        (404, JSON, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#),
        (404, JSON, r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32603,"message":"Seat not found"}}"#),
    ),
    ((400, TEXT, "Bad Request: No valid session ID provided"), (400, TEXT, "the trading session is closed")),
    (
        (400, JSON, r#"{"statusCode":400,"error":"Bad Request","message":"Session not found"}"#),
        (400, JSON, r#"{"statusCode":400,"error":"Bad Request","message":"Session is sold out"}"#),
    ),
    ((401, TEXT, "Unauthorized: Session not found"), (403, TEXT, "Forbidden: trading session not found")),
    (
        (403, JSON, r#"{"error":"Session not found"}"#),
        (403, JSON, r#"{"error":"Session not found in the calendar"}"#),
    ),
    ((410, "", ""), (410, TEXT, "the document is gone")),
    (
        (422, TEXT, "Unexpected message, expected an initialized session"),
        (422, JSON, r#"{"detail":"trading session closed"}"#),
    ),
    (
        (500, JSON, r#"{"error":"Session has expired"}"#),
        (500, JSON, r#"{"error":"Your shopping session has expired"}"#),
    ),
    (
        (503, JSON, r#"{"error":"MCP session is unknown on this API instance; re-initialize"}"#),
        (503, JSON, r#"{"error":"game session is unknown on this API instance; re-initialize"}"#),
    ),
    (
        (200, JSON, r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32001,"message":"Session not found"}}"#),
        (200, JSON, r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32001,"message":"Request timed out"}}"#),
    ),
    (
        (
            200,
            JSON,
            r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32002,"message":"Server not initialized"}}"#,
        ),
        (200, JSON, r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32002,"message":"Resource not found"}}"#),
    ),
    (
        (
            200,
            JSON,
            r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32005,"message":"Session not found or expired. Please re-initialize the connection."}}"#,
        ),
        (200, JSON, r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32000,"message":"Session not found"}}"#),
    ),
    (
        (200, JSON, r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32600,"message":"Session not found"}}"#),
        (
            200,
            JSON,
            r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32600,"message":"trading session closed"}}"#,
        ),
    ),
    (
        (
            200,
            STREAM,
            "data: {\"jsonrpc\":\"2.0\",\"id\":OWN,\"error\":{\"code\":-32603,\"message\":\"Invalid session ID\"}}\n\n",
        ),
        (
            200,
            STREAM,
            "data: {\"jsonrpc\":\"2.0\",\"id\":OWN,\"error\":{\"code\":-32603,\"message\":\"Invalid session name\"}}\n\n",
        ),
    ),
    (
        (200, STREAM, "data: {\"error\":\"Session not found\"}\n\n"),
        (200, STREAM, "data: {\"error\":\"the trading session is closed\"}\n\n"),
    ),
    (
        (200, STREAM, "event: error\ndata: {\"error\":\"Session not found\"}\n\n"),
        (200, STREAM, "event: error\ndata: {\"error\":\"Seat not found\"}\n\n"),
    ),
    (
        (200, JSON, r#"{"error":"Session not found"}"#),
        (
            200,
            JSON,
            r#"{"jsonrpc":"2.0","id":OWN,"result":{"content":[{"type":"text","text":"Session not found"}],"isError":true}}"#,
        ),
    ),
];

#[test]
fn renews_lost_sessions_in_every_form() {
    for (lost, near_miss) in LOST.iter().copied() {
        let state = Shared::default();
        let shared = Arc::clone(&state);
        let server = Server::start(move |request, reply| {
            converse(request, reply, &shared, lost, |request, reply| reply.result(request, "{}"));
        });
        let mut proxy = begun(&server.url, &[]);
        assert!(proxy.ask(&call(2)).contains("\"result\""), "{lost:?}");
        state.lock().expect("no panic").alive.clear();
        for id in [3, 4] {
            let line = proxy.ask(&call(id));
            assert!(line.contains("\"result\""), "{lost:?} {line}");
        }
        let ended = proxy.finish();
        assert!(!ended.stderr.contains("sign in at"), "{lost:?} {}", ended.stderr);
        let seen = state.lock().expect("no panic");
        assert_eq!((seen.opened, seen.runs), (2, 3), "{lost:?}");
        drop(seen);

        let state = Shared::default();
        let shared = Arc::clone(&state);
        let server = Server::start(move |request, reply| {
            converse(request, reply, &shared, lost, |request, reply| give(request, reply, near_miss));
        });
        let mut proxy = begun(&server.url, &[]);
        let line = proxy.ask(&call(2));
        assert!(line.contains("\"error\"") || near_miss.2.contains("\"result\""), "{near_miss:?} {line}");
        proxy.finish();
        let seen = state.lock().expect("no panic");
        assert_eq!((seen.opened, seen.runs), (1, 1), "{near_miss:?} {line}");
    }
}

#[test]
fn unknown_methods_cost_one_handshake_together() {
    for unknown in [(404, JSON, r#"{"detail":"Not Found"}"#), (404, "", "")] {
        let state = Shared::default();
        let shared = Arc::clone(&state);
        let server = Server::start(move |request, reply| {
            converse(request, reply, &shared, unknown, |request, reply| match request.title() {
                "tools/call" => reply.result(request, "{}"),
                _ => give(request, reply, unknown),
            });
        });
        let mut proxy = begun(&server.url, &[]);
        for (id, method) in [(2, "resources/list"), (3, "prompts/list"), (4, "resources/templates/list")] {
            let line = proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#));
            assert!(line.contains("\"error\"") && !line.contains("check the path"), "{line}");
        }
        assert!(proxy.ask(&call(5)).contains("\"result\""));
        // What the server forgets after that is found all the same.
        state.lock().expect("no panic").alive.clear();
        assert!(proxy.ask(&call(6)).contains("\"result\""));
        proxy.finish();
        let seen = state.lock().expect("no panic");
        assert_eq!((seen.opened, seen.runs), (3, 2), "{unknown:?}");
        assert!(seen.ended.contains(&"marked-session-1".to_owned()), "{:?}", seen.ended);
        assert!(seen.ended.contains(&"marked-session-3".to_owned()), "{:?}", seen.ended);
    }
}

#[test]
fn session_known_late_is_retried_after_delay() {
    let state = Shared::default();
    let shared = Arc::clone(&state);
    let refused = Mutex::new(0);
    let server = Server::start(move |request, reply| {
        let is_handshake = matches!(request.title(), "initialize" | "DELETE" | "GET");
        let mut refused = refused.lock().expect("no panic");
        if !is_handshake && *refused < 1 {
            *refused += 1;
            return give(request, reply, (404, JSON, r#"{"error":"Session not found"}"#));
        }
        converse(request, reply, &shared, (404, "", ""), |request, reply| reply.result(request, "{}"));
    });
    let mut proxy = begun(&server.url, &[]);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    proxy.finish();
    let seen = state.lock().expect("no panic");
    assert_eq!((seen.opened, seen.runs), (1, 1));
}

#[test]
fn sessions_lost_at_once_are_reported_with_remedy() {
    let server = Server::start(move |request, reply| match request.title() {
        "initialize" => open(request, reply, &Shared::default()),
        "notifications/initialized" => reply.status(202),
        "GET" => reply.status(405),
        "DELETE" => reply.status(204),
        _ => give(request, reply, (404, JSON, r#"{"error":"Session not found"}"#)),
    });
    let mut proxy = begun(&server.url, &[]);
    let line = proxy.ask(&call(2));
    for word in ["affinity", "replica", "stateless"] {
        assert!(line.contains(word), "{line}");
    }
    assert!(!line.contains("check the path"), "{line}");
    proxy.finish();
}

/// A server with a sign-in that answers whoever names a session that it does not know as if the token were bad.
fn signed_in(set: Set, runs: &Shared) -> (Authority, tempfile::TempDir, Proxy) {
    let shared = Arc::clone(runs);
    let authority = Authority::before(set, move |request, reply| {
        let known =
            matches!(request.title(), "initialize") || shared.lock().expect("no panic").knows(request);
        match known {
            true => {
                converse(request, reply, &shared, (404, "", ""), |request, reply| reply.result(request, "{}"))
            }
            false => reply.answer(
                401,
                &[("content-type", JSON), ("www-authenticate", "Bearer error=\"invalid_token\"")],
                r#"{"error":"invalid_token"}"#,
            ),
        }
    });
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().to_str().expect("UTF-8").to_owned();
    let environment = [("HOME", path.as_str()), ("XDG_CONFIG_HOME", path.as_str())];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&authority.server.url], &environment);
    proxy.send(INITIALIZE);
    visit(&proxy.told_after("sign in at ", 1));
    assert!(proxy.line().contains("\"result\""));
    proxy.send(INITIALIZED);
    (authority, home, proxy)
}

#[test]
fn token_rejected_with_lost_session_opens_no_page() {
    const NO_REFRESH: &str = r#"{"access_token":"ACCESS","token_type":"Bearer","expires_in":3600}"#;
    for granted in [None, Some(NO_REFRESH)] {
        let state = Shared::default();
        let (authority, _home, mut proxy) = signed_in(Set { granted, ..Set::default() }, &state);
        assert!(proxy.ask(&call(2)).contains("\"result\""));
        state.lock().expect("no panic").alive.clear();
        assert!(proxy.ask(&call(3)).contains("\"result\""), "{granted:?}");
        assert_eq!(authority.count("/authorize"), 1, "{granted:?}");
        assert!(authority.count("/token") <= 2, "{granted:?}");
        {
            let seen = state.lock().expect("no panic");
            assert_eq!((seen.opened, seen.runs), (2, 2), "{granted:?}");
        }
        // The near miss: a token that is refused for itself leads to a page.
        authority.forget(true);
        proxy.send(&call(4));
        visit(&proxy.told_after("sign in at ", 2));
        assert!(proxy.line().contains("\"result\""), "{granted:?}");
        assert_eq!(authority.count("/authorize"), 2, "{granted:?}");
        proxy.finish();
    }
}

#[test]
fn refused_revision_is_negotiated_once() {
    let text = "Bad Request: Unsupported protocol version (supported versions: 2025-06-18, 2025-03-26)";
    let list = r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32602,"message":"Invalid protocol version","data":{"supported":["2025-06-18"]}}}"#;
    let none =
        r#"{"jsonrpc":"2.0","id":OWN,"error":{"code":-32602,"message":"Unsupported protocol version"}}"#;
    for (refusal, opens) in [((400, TEXT, text), true), ((400, JSON, list), true), ((400, JSON, none), false)]
    {
        let state = Shared::default();
        let shared = Arc::clone(&state);
        let server = Server::start(move |request, reply| {
            let header = request.header("mcp-protocol-version");
            let is_refused = match request.title() {
                "initialize" => !request.body.contains("\"2025-06-18\""),
                _ => header.is_some_and(|revision| revision != "2025-06-18"),
            };
            match is_refused {
                true => give(request, reply, refusal),
                false => converse(request, reply, &shared, (404, "", ""), |request, reply| {
                    reply.result(request, "{}");
                }),
            }
        });
        let mut proxy = Proxy::start(&[&server.url]);
        let line = proxy.ask(INITIALIZE);
        assert_eq!(line.contains(r#""protocolVersion":"2025-06-18""#), opens, "{line}");
        if opens {
            proxy.send(INITIALIZED);
            assert!(proxy.ask(&call(2)).contains("\"result\""));
        }
        proxy.finish();
        let attempts = server.titles().iter().filter(|title| *title == "initialize").count();
        assert_eq!(attempts, 1 + usize::from(opens), "{refusal:?}");
    }
}

#[test]
fn answer_without_revisions_makes_no_modern_server() {
    let well = Arc::new(Mutex::new(false));
    let (is_well, state) = (Arc::clone(&well), Shared::default());
    let server = Server::start(move |request, reply| match *is_well.lock().expect("no panic") {
        true => {
            converse(request, reply, &state, (404, "", ""), |request, reply| reply.result(request, "{}"));
        }
        false if request.title() == "initialize" => give(request, reply, (400, TEXT, "nope")),
        false => give(request, reply, (200, JSON, r#"{"result": {"ok": 1}}"#)),
    });
    let cache = tempfile::tempdir().expect("a folder");
    let environment = [("XDG_CACHE_HOME", cache.path().to_str().expect("UTF-8"))];
    let start = || Proxy::start_with(Stdin::Pipes, &[&server.url], &environment);
    let mut proxy = start();
    let line = proxy.ask(INITIALIZE);
    assert!(line.contains("\"error\"") && line.contains("400"), "{line}");
    proxy.finish();
    *well.lock().expect("no panic") = true;
    let mut proxy = start();
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    proxy.finish();
}

/// A server that serves one connection at a time. Its stream lasts until the other side is gone, or `lasts`.
fn one_worker(lasts: Duration) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { break };
            let mut input = BufReader::new(stream.try_clone().expect("a second handle"));
            let (mut head, mut length) = (String::new(), 0);
            while let Ok(1..) = input.read_line(&mut head) {
                if head.ends_with("\r\n\r\n") {
                    break;
                }
            }
            for line in head.lines() {
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().expect("a number");
                }
            }
            let mut body = vec![0; length];
            input.read_exact(&mut body).expect("a body");
            let body = String::from_utf8(body).expect("UTF-8");
            let method = mcp_tether::json::member(&body, "method").unwrap_or("\"-\"").to_owned();
            log.lock()
                .expect("no panic")
                .push(format!("{} {method}", head.split(' ').next().unwrap_or_default()));
            let answer = |result: &str| {
                let id = mcp_tether::json::member(&body, "id").unwrap_or("null");
                let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: one\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
                    text.len()
                )
            };
            let whole = match (head.starts_with("GET"), method.as_str()) {
                (true, _) => {
                    let _ = stream.write_all(
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
                    );
                    // Until the other side is gone, as a server notices when it writes.
                    let _ = stream.set_read_timeout(Some(lasts));
                    let _ = stream.read(&mut [0]);
                    continue;
                }
                (_, "\"initialize\"") => answer(r#"{"protocolVersion":"2025-06-18","capabilities":{}}"#),
                (_, "\"tools/call\"") => answer("{}"),
                _ => "HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(whole.as_bytes());
        }
    });
    (url, seen)
}

#[test]
fn stream_gives_way_on_server_with_one_worker() {
    let (url, seen) = one_worker(Duration::from_secs(60));
    let mut proxy = begun(&url, &[]);
    for id in 2..6 {
        assert!(proxy.ask(&call(id)).contains("\"result\""), "{:?}", seen.lock().expect("no panic"));
    }
    proxy.finish();
    let seen = seen.lock().expect("no panic");
    let streams = seen.iter().filter(|request| request.starts_with("GET")).count();
    assert_eq!(streams, 2, "{seen:?}");
}

#[test]
fn no_listen_opens_no_stream() {
    let (url, seen) = one_worker(Duration::from_secs(60));
    let mut proxy = begun(&url, &["--no-listen"]);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    proxy.finish();
    let seen = seen.lock().expect("no panic");
    assert!(!seen.iter().any(|request| request.starts_with("GET")), "{seen:?}");
}
