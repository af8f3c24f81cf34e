//! The older transport (HTTP+SSE, 2024-11-05), against a server by hand: addresses of every form, streams that break, end
//! or never begin, and which of the two transports is used.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use crate::support::proxy::Proxy;
use crate::support::server::{Reply, Request, Server};
use crate::support::{INITIALIZE, INITIALIZED};

const RESULT: &str =
    r#"{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"old","version":"1"}}"#;

/// What a stream does next.
enum Next {
    Say(String),
    Raw(Vec<u8>),
    End,
    #[cfg(unix)]
    Break,
}

/// The streams of a server, of which the last one is the session.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<Vec<Sender<Next>>>>);

impl Streams {
    fn now(&self, next: Next) {
        let streams = self.0.lock().expect("no panic");
        streams.last().expect("a stream").send(next).expect("it is open");
    }

    fn say(&self, message: impl Into<String>) {
        self.now(Next::Say(message.into()));
    }

    fn result(&self, request: &Request, result: &str) {
        self.say(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id()));
    }

    fn count(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    /// Opens one that names `address`, and does what it is told until it ends.
    fn open(&self, reply: &mut Reply, address: &str) {
        let (sender, next) = channel();
        reply.open_stream();
        reply.raw(format!(": hello\n\nevent: endpoint\ndata: {address}\n\n"));
        self.0.lock().expect("no panic").push(sender);
        for next in next {
            match next {
                Next::Say(message) => reply.event(&message),
                Next::Raw(bytes) => reply.raw(bytes),
                Next::End => return,
                #[cfg(unix)]
                Next::Break => return reply.reset(),
            }
        }
    }
}

/// A server that names `/messages?session=marked-session` and knows no POST elsewhere. It opens sessions by itself, and
/// leaves everything else to `handler`.
fn old(handler: impl Fn(&Request, &mut Reply, &Streams) + Send + Sync + 'static) -> (Server, Streams) {
    let streams = Streams::default();
    let theirs = streams.clone();
    let server =
        Server::start(move |request, reply| match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/mcp") => theirs.open(reply, "/messages?session=marked-session"),
            ("POST", "/messages?session=marked-session") => match request.title() {
                "initialize" => {
                    reply.status(202);
                    theirs.result(request, RESULT);
                }
                "notifications/initialized" => reply.status(202),
                _ => handler(request, reply, &theirs),
            },
            _ => reply.status(405),
        });
    (server, streams)
}

fn call(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"a"}}}}"#)
}

fn list(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#)
}

/// Starts a conversation.
fn begun(server: &Server, arguments: &[&str]) -> Proxy {
    let arguments: Vec<&str> = arguments.iter().copied().chain([server.url.as_str()]).collect();
    let mut proxy = Proxy::start(&arguments);
    assert!(proxy.ask(INITIALIZE).contains(RESULT));
    proxy.send(INITIALIZED);
    proxy
}

#[test]
fn messages_go_to_endpoint_of_stream_with_headers() {
    for (address, path) in [
        ("/messages?session=1", "/messages?session=1"),
        ("messages/1", "/deep/messages/1"),
        ("../m?a=b&c=%20d#part", "/m?a=b&c=%20d"),
        ("?session=1", "/deep/sse?session=1"),
        ("http://HOST/messages/?session=1", "/messages/?session=1"),
        ("//HOST/messages", "/messages"),
        ("http://name:word@HOST/messages", "/messages"),
    ] {
        let streams = Streams::default();
        let theirs = streams.clone();
        let server = Server::start(move |request, reply| {
            match (request.method.as_str(), request.path == "/deep/sse" || request.path == "/mcp") {
                // Relative to where the stream really came from.
                ("GET", _) if request.path == "/mcp" => {
                    reply.answer(307, &[("location", "/deep/sse"), ("set-cookie", "lb=a")], "");
                }
                ("GET", true) => {
                    theirs.open(reply, &address.replace("HOST", request.header("host").expect("a host")));
                }
                ("POST", true) => reply.answer(404, &[("content-type", "text/html")], "<p>Cannot POST"),
                ("POST", false) => {
                    reply.answer(202, &[("content-type", "text/html"), ("mcp-session-id", "x")], "Accepted");
                    match request.title() {
                        "initialize" => theirs.result(request, &RESULT.replace("2024-11-05", "2025-06-18")),
                        "tools/list" => theirs.result(request, "{}"),
                        _ => {}
                    }
                }
                (other, _) => panic!("{other} {}", request.path),
            }
        });
        let mut proxy = Proxy::start(&["--header", "X-Key: marked-key", &server.url]);
        assert!(proxy.ask(INITIALIZE).contains("\"old\""), "{address}");
        proxy.send(INITIALIZED);
        assert_eq!(proxy.ask(&list(2)), r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
        let ended = proxy.finish();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{address}");
        let requests = server.requests();
        let seen: Vec<_> =
            requests.iter().map(|request| (request.method.as_str(), request.path.as_str())).collect();
        let posted = ("POST", path);
        assert_eq!(
            seen,
            [("POST", "/mcp"), ("GET", "/mcp"), ("GET", "/deep/sse"), posted, posted, posted],
            "{address}: there is no DELETE, and no other stream"
        );
        for request in &requests {
            assert_eq!(request.header("x-key"), Some("marked-key"));
            assert_eq!(request.header("authorization"), None);
            assert_eq!(request.header("mcp-session-id"), None);
        }
        assert_eq!(requests[2].header("accept"), Some("text/event-stream"));
        assert_eq!(requests[3].header("content-type"), Some("application/json"));
        assert!(requests[2..].iter().all(|request| request.header("cookie") == Some("lb=a")), "{address}");
        let revisions: Vec<_> =
            requests.iter().map(|request| request.header("mcp-protocol-version")).collect();
        assert_eq!(revisions, [None, None, None, None, Some("2025-06-18"), Some("2025-06-18")]);
        assert_eq!(requests[3].body, INITIALIZE, "byte for byte");
    }
}

#[test]
fn old_revision_sends_no_version_header() {
    let (server, _) = old(|request, reply, streams| {
        reply.status(200);
        streams.result(request, "{}");
    });
    let mut proxy = begun(&server, &[]);
    proxy.ask(&list(2));
    assert!(server.requests().iter().all(|request| request.header("mcp-protocol-version").is_none()));
}

#[test]
fn rejects_endpoint_of_other_origin() {
    for (address, named) in [
        ("http://other.example.com/messages?session=marked", "http://other.example.com"),
        ("https://HOST/messages", "https://127.0.0.1:"),
        ("//127.0.0.1:1/messages", "http://127.0.0.1:1,"),
        ("file:///etc/passwd", "null,"),
    ] {
        for transport in ["http-first", "sse-only"] {
            let streams = Streams::default();
            let server = Server::start(move |request, reply| match request.method.as_str() {
                "GET" => {
                    streams.open(reply, &address.replace("HOST", request.header("host").expect("a host")));
                }
                _ => reply.status(405),
            });
            let mut proxy = Proxy::start(&["--silent", "--transport", transport, &server.url]);
            let line = proxy.ask(INITIALIZE);
            let ours = format!("the stream of http://{} wants messages sent to {named}", server.address);
            assert!(line.contains(&ours) && line.contains("another origin"), "{address}: {line}");
            assert!(line.contains(r#""cause":"endpoint""#) && !line.contains("marked"), "{line}");
            let posts = server.requests().iter().filter(|request| request.method == "POST").count();
            assert_eq!(posts, usize::from(transport == "http-first"));
        }
    }
}

#[test]
fn response_without_http_sse_stream_is_named() {
    type Answer = fn(&mut Reply);
    let answers: [(Answer, &str); 9] = [
        (|reply| reply.status(404), "answered 404"),
        (|reply| reply.json("{}"), "but with JSON instead of a stream"),
        (|reply| reply.status(204), "but without a stream"),
        (
            |reply| reply.answer(200, &[("content-type", "text/html")], "<p>hello"),
            "with a web page (text/html)",
        ),
        (
            |reply| {
                reply.open_stream();
                reply.event("{\"method\":\"notifications/message\"}");
                reply.hang();
            },
            "with a message before the address",
        ),
        (|reply| reply.open_stream(), "but ended the stream before it named the address"),
        (
            |reply| {
                reply.open_stream();
                reply.raw("event: endpoint\ndata: \n\n");
                reply.hang();
            },
            "named no address",
        ),
        (
            |reply| {
                reply.open_stream();
                reply.raw("event: endpoint\ndata: http://[\n\n");
                reply.hang();
            },
            "an address for messages that is none",
        ),
        (
            |reply| {
                reply.open_stream();
                reply.raw(": still here\n\nevent: ping\ndata: 1\n\n");
                reply.hang();
            },
            "did not name the address for messages within 1 seconds",
        ),
    ];
    for (answer, expected) in answers {
        let server = Server::start(move |request, reply| match request.method.as_str() {
            "GET" => answer(reply),
            _ => reply.status(400),
        });
        let arguments = ["--silent", "--connect-timeout", "1", "--transport"];
        let mut proxy = Proxy::start(&[&arguments[..], &["sse-only", &server.url]].concat());
        let line = proxy.ask(INITIALIZE);
        assert!(line.contains(expected), "{expected}: {line}");
        assert!(line.contains("\"advice\""), "{line}");
        assert_eq!(proxy.finish().code, Some(0));
        // What the POST was told counts more, save for an address that is wrong.
        if !expected.contains("named no address") && !expected.contains("that is none") {
            let mut proxy = Proxy::start(&[&arguments[..], &["http-first", &server.url]].concat());
            let line = proxy.ask(INITIALIZE);
            assert!(line.contains("answered 400"), "{expected}: {line}");
        }
    }
}

#[test]
fn transport_option_allows_only_one_transport() {
    let (server, _) = old(|_, _, _| {});
    let mut proxy = Proxy::start(&["--silent", "--transport", "http-only", &server.url]);
    assert!(proxy.ask(INITIALIZE).contains("answered 405"));
    // The transport is not looked for elsewhere; that it is one of a later era may still be.
    assert_eq!(server.titles(), ["initialize", "server/discover"]);
    drop(proxy);
    for transport in ["sse-first", "sse-only"] {
        let (server, _) = old(|_, _, _| {});
        begun(&server, &["--transport", transport]).finish();
        assert_eq!(server.titles(), ["GET", "initialize", "notifications/initialized"]);
    }
    // A server of today that is asked in the old way first.
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let mut proxy = Proxy::start(&["--transport", "sse-first", &server.url]);
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    assert_eq!(server.titles(), ["GET", "initialize"]);
}

#[test]
fn rejected_credentials_and_server_errors_keep_transport() {
    for status in [401, 403, 406, 415, 500, 501] {
        let server = Server::start(move |_, reply| reply.status(status));
        let mut proxy = Proxy::start(&["--silent", &server.url]);
        let line = proxy.ask(INITIALIZE);
        assert!(line.contains(&status.to_string()), "{line}");
        // Where to sign in may have been looked for, elsewhere.
        let asked = server.requests().into_iter().filter(|request| request.path == "/mcp");
        assert_eq!(
            asked.map(|request| request.title().to_owned()).collect::<Vec<_>>(),
            ["initialize"],
            "{status}"
        );
    }
}

#[test]
fn messages_pass_in_both_directions() {
    let (server, streams) = old(|request, reply, streams| {
        // The answer first, then the acknowledgement.
        match request.title() {
            "tools/list" => streams.result(request, "{\"tools\":[]}"),
            "tools/call" => {
                streams.say(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#);
                streams.say(r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create"}"#);
            }
            _ => {}
        }
        reply.answer(202, &[], "Accepted");
    });
    let mut proxy = begun(&server, &[]);
    for id in 2..30 {
        assert_eq!(proxy.ask(&list(id)), format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[]}}}}"#));
    }
    proxy.send(&call(30));
    assert!(proxy.line().contains("notifications/progress"));
    assert!(proxy.line().contains("elicitation/create"));
    let answer = r#"{"jsonrpc":"2.0","id":"q","result":{"action":"accept"}}"#;
    proxy.send(answer);
    assert_eq!(server.wait_for(|request| request.body == answer).method, "POST");
    streams.say(r#"{"jsonrpc":"2.0","id":30,"result":{}}"#);
    assert!(proxy.line().contains("\"id\":30"));
    proxy.send(&call(31));
    server.wait_for(|request| request.id() == "31");
    assert!(proxy.line().contains("notifications/progress"));
    assert!(proxy.line().contains("elicitation/create"));
    let cancellation = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":31}}"#;
    proxy.send(cancellation);
    server.wait_for(|request| request.body == cancellation);
    streams.say(r#"{"jsonrpc":"2.0","id":31,"result":{}}"#);
    streams.say(r#"{"jsonrpc":"2.0","method":"notifications/last"}"#);
    assert!(proxy.line().contains("notifications/last"), "nothing of what was cancelled");
    // One stream, and one connection more that was used again and again; two messages at once may have had two.
    assert!(server.connections() <= 4, "{}", server.connections());
    assert!(proxy.finish().lines.is_empty());
}

#[test]
fn lost_session_is_renewed_without_losing_calls() {
    let endings: &[fn() -> Next] = &[
        || Next::End,
        #[cfg(unix)]
        || Next::Break,
        || Next::Raw(b"data: {\"id\":9,\"result\":\n\n".to_vec()),
    ];
    for (number, outcome) in endings.iter().enumerate() {
        let is_unreadable = number + 1 == endings.len();
        let (server, streams) = old(|request, reply, streams| {
            reply.status(202);
            if streams.count() > 1 {
                streams.result(request, "{}");
            }
        });
        let mut proxy = begun(&server, &[]);
        proxy.send(&call(2));
        server.wait_for(|request| request.id() == "2");
        proxy.send(&list(3));
        server.wait_for(|request| request.id() == "3");
        // Both were acknowledged when another one is answered, for the server has one thread per connection.
        streams.now(outcome());
        let mut lines = [proxy.line(), proxy.line()];
        lines.sort_by_key(|line| !line.contains("\"id\":2"));
        assert!(lines[0].contains("it may have run and was not repeated"), "{lines:?}");
        match is_unreadable {
            false => assert!(lines[1].contains("\"id\":3,\"result\""), "{lines:?}"),
            // The answer may have been this one's.
            true => assert!(lines[1].contains("is not a JSON-RPC message"), "{lines:?}"),
        }
        assert!(proxy.ask(&call(4)).contains("\"result\""));
        let titles = server.titles();
        let times = |title: &str| titles.iter().filter(|other| *other == title).count();
        let lists = if is_unreadable { 1 } else { 2 };
        assert_eq!((times("GET"), times("initialize"), times("tools/call")), (2, 3, 2), "{titles:?}");
        assert_eq!((times("notifications/initialized"), times("tools/list")), (2, lists), "{titles:?}");
        assert!(proxy.finish().lines.is_empty());
    }
}

#[test]
fn refused_post_fails_only_its_message() {
    let (server, streams) = old(|request, reply, streams| match (request.id(), streams.count()) {
        ("2", _) => reply.answer(500, &[], "no session marked-session here"),
        ("3", _) => reply.answer(
            400,
            &[("content-type", "application/json")],
            r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32600,"message":"odd"}}"#,
        ),
        ("4", _) => reply.answer(401, &[], "who are you, marked-session?"),
        ("6", 1) => reply.answer(404, &[], "Could not find session"),
        (_, 1) => reply.status(202),
        _ => {
            reply.status(202);
            streams.result(request, "{}");
        }
    });
    let mut proxy = begun(&server, &["--silent"]);
    for (id, expected) in [(2, "answered 500"), (3, "\"odd\""), (4, "answered 401")] {
        let line = proxy.ask(&call(id));
        assert!(line.contains(&format!("\"id\":{id}")) && line.contains(expected), "{line}");
        assert!(!line.contains("marked"), "whoever has the id can act in the session: {line}");
    }
    assert_eq!(streams.count(), 1);
    proxy.send(&call(5));
    server.wait_for(|request| request.id() == "5");
    let mut lines = [proxy.ask(&call(6)), proxy.line()];
    lines.sort();
    assert!(lines[0].contains("\"id\":5") && lines[0].contains("it may have run"), "{lines:?}");
    assert!(lines[1].contains("\"id\":6,\"result\""), "certainly not processed, and sent again: {lines:?}");
    assert_eq!(streams.count(), 2);
}

#[test]
fn events_of_any_size_pass_and_at_any_pace() {
    let (server, streams) = old(|request, reply, streams| {
        reply.status(202);
        if request.id() == "2" {
            streams.result(request, &format!("\"{}\"", "x".repeat(20 * 1024 * 1024)));
        }
    });
    let mut proxy = begun(&server, &[]);
    assert_eq!(proxy.ask(&list(2)).len(), 20 * 1024 * 1024 + r#"{"jsonrpc":"2.0","id":2,"result":""}"#.len());
    proxy.send(&list(3));
    server.wait_for(|request| request.id() == "3");
    for byte in
        b"id: 7\r\nevent: message\r\ndata: {\"jsonrpc\":\"2.0\",\r\ndata:\"id\":3,\"result\":{}}\r\n\r\n"
    {
        streams.now(Next::Raw(vec![*byte]));
    }
    assert_eq!(proxy.ask(""), r#"{"jsonrpc":"2.0", "id":3,"result":{}}"#);
}

#[test]
fn leaving_client_waits_for_pending_requests() {
    let (server, streams) = old(|_, reply, _| reply.status(202));
    let mut proxy = begun(&server, &[]);
    proxy.send(&call(2));
    proxy.close();
    server.wait_for(|request| request.id() == "2");
    streams.say(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
    let ended = proxy.wait();
    assert_eq!(ended.lines, [r#"{"jsonrpc":"2.0","id":2,"result":{}}"#]);
    assert!(!server.titles().contains(&"DELETE".to_owned()));
}

#[test]
fn rejected_credentials_are_read_again_for_stream_and_posts() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("headers");
    let write =
        |path: &std::path::Path, key: &str| std::fs::write(path, format!("X-Key: {key}")).expect("written");
    write(&file, "first-key");
    let (streams, theirs) = (file.clone(), Streams::default());
    let server = Server::start(move |request, reply| {
        let key = request.header("x-key").expect("a key").to_owned();
        match (request.method.as_str(), request.title(), key.as_str()) {
            ("GET", _, "first-key") => {
                write(&streams, "second-key");
                reply.status(401);
            }
            ("GET", _, _) => theirs.open(reply, "/messages"),
            (_, "tools/list", "second-key") => {
                write(&streams, "third-key");
                reply.status(401);
            }
            ("POST", title, _) if request.path == "/messages" => {
                reply.status(202);
                match title {
                    "initialize" => theirs.result(request, RESULT),
                    "tools/list" => theirs.result(request, &format!("\"{}\"", &key[..5])),
                    _ => {}
                }
            }
            _ => reply.status(405),
        }
    });
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a file");
    }
    let file = file.display().to_string();
    let mut proxy = begun(&server, &["--silent", "--transport", "sse-only", "--header-file", &file]);
    assert!(proxy.ask(&list(2)).contains("\"third\""));
}

#[test]
fn no_log_shows_session_in_endpoint() {
    let (server, _) = old(|request, reply, streams| {
        reply.answer(202, &[("x-echo", "marked-session")], "marked-session");
        streams.result(request, "{}");
    });
    let mut proxy = begun(&server, &["-vvv"]);
    proxy.ask(&list(2));
    let ended = proxy.finish();
    assert!(ended.stderr.contains("the server speaks HTTP+SSE"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("marked-session"), "{}", ended.stderr);
}

#[test]
fn broken_streams_and_posts_leave_one_answer_each() {
    // An end takes along the answers that are still on their way on that stream, so not too many of them.
    const REQUESTS: u32 = 192;
    let ran = Arc::new(Mutex::new(Vec::<String>::new()));
    let (theirs, turn) = (Arc::clone(&ran), Mutex::new(0_u32));
    let streams = Streams::default();
    let last = streams.clone();
    let server = Server::start(move |request, reply| {
        match (request.method.as_str(), request.path.as_str(), request.title()) {
            ("GET", ..) => {
                let number = streams.count();
                return streams.open(reply, &format!("/messages?session=session-{number}"));
            }
            (_, "/mcp", _) => return reply.status(405),
            _ => {}
        }
        let mine: usize =
            request.path.rsplit('-').next().and_then(|number| number.parse().ok()).expect("one");
        let stream = streams.0.lock().expect("no panic")[mine].clone();
        let answer = |result: &str| {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id());
            drop(stream.send(Next::Say(text)));
        };
        match request.title() {
            "initialize" => {
                reply.status(202);
                return answer(RESULT);
            }
            title if title.starts_with("notifications/") => return reply.status(202),
            _ => {}
        }
        let turn = {
            let mut turn = turn.lock().expect("no panic");
            *turn += 1;
            *turn
        };
        // What is not processed says so; what is taken has run, whatever becomes of the answer.
        match turn % 26 {
            2 => return reply.answer(503, &[("retry-after", "0")], ""),
            6 => return reply.answer(404, &[], "no such session"),
            _ => theirs.lock().expect("no panic").push(request.id().to_owned()),
        }
        match turn % 26 {
            1 => {
                let _ = stream.send(Next::End);
                reply.status(202);
            }
            4 => reply.close(),
            8 => {
                reply.status(202);
                let _ = stream.send(Next::End);
            }
            9 => {
                answer("{}");
                reply.close();
            }
            11 => reply.status(500),
            _ => {
                reply.status(202);
                answer("{}");
            }
        }
    });
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    proxy.send(INITIALIZED);
    let mut answers = std::collections::BTreeMap::new();
    for batch in 0..REQUESTS / 8 {
        for id in (0..8).map(|number| 10 + batch * 8 + number) {
            proxy.send(&if id % 2 == 0 { call(id) } else { list(id) });
        }
        for _ in 0..8 {
            let line = proxy.line();
            let id = mcp_tether::json::member(&line, "id").expect("an id").to_owned();
            assert_eq!(answers.insert(id, line.contains("\"result\"")), None, "a second answer: {line}");
        }
    }
    assert_eq!(answers.len(), REQUESTS as usize);
    let ran = ran.lock().expect("no panic");
    let mut results = 0;
    for (id, is_result) in &answers {
        let times = ran.iter().filter(|other| *other == id).count();
        let is_call = id.parse::<u32>().expect("a number") % 2 == 0;
        assert!(!is_call || times <= 1, "call {id} ran {times} times");
        assert!(!is_result || times >= 1, "{id} has a result, but never ran");
        results += usize::from(*is_result);
    }
    assert!(results * 2 > answers.len(), "only {results} results: that proves little");
    assert!(last.count() > 5, "only {} streams: that proves little", last.count());
    assert!(proxy.finish().lines.is_empty());
}

#[test]
fn silent_stream_is_given_up_with_pending_request() {
    let (server, streams) = old(|request, reply, streams| {
        reply.status(202);
        if request.title() != "tools/call" {
            streams.result(request, "{}");
        }
    });
    let mut proxy = begun(&server, &["--body-timeout", "0.3"]);
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"id\":1,") && line.contains("--body-timeout"), "{line}");
    assert!(line.contains("\"cause\":\"timeout\"") && line.contains("may have run"), "{line}");
    // The stream is another one, and the conversation goes on.
    assert!(proxy.ask(&list(2)).contains("\"result\""));
    assert_eq!(proxy.finish().code, Some(0));
    assert_eq!(streams.count(), 2);
    let calls = server.titles().iter().filter(|title| *title == "tools/call").count();
    assert_eq!(calls, 1, "it was sent again");
}

#[test]
fn tool_filter_applies_to_http_sse_stream() {
    let (server, _) = old(|request, reply, streams| {
        reply.status(202);
        let tools = r#"{"tools":[{"name":"a","annotations":{"readOnlyHint":true}},{"name":"b"}]}"#;
        streams.result(request, if request.title() == "tools/list" { tools } else { "{}" });
    });
    let mut proxy = begun(&server, &["--read-only"]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert!(proxy.ask(&call(2).replace("\"a\"", "\"b\"")).contains("--read-only"));
    assert!(proxy.ask(&list(3)).contains(r#"[{"name":"a","annotations":{"readOnlyHint":true}}]"#));
    proxy.finish();
    let calls = server.titles().iter().filter(|title| *title == "tools/call").count();
    assert_eq!(calls, 1);
}
