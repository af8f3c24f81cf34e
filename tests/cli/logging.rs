//! What is told and written down about a conversation: levels, columns, log files, recordings – and never a secret.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::support::proxy::{Ended, Proxy, Stdin};
use crate::support::server::{Reply, Request, Server};
use crate::support::{INITIALIZE, INITIALIZED};
use crate::transcript::replay;

const ID: &str = "0123456789abcdef0123456789abcdef.access";
const SECRET: &str = "cfast_markedsecret0123456789";
const SESSION: &str = "markedsession-0123456789";
/// What nothing may show, in any of its forms.
const MARKED: [&str; 7] =
    ["markedsecret", "markedkey", "markedquery", "markedsession", "markedcookie", "marked%2Fkey", "KEY%2F"];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("UTF-8").to_owned()
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A conversation with a server that has nothing special.
fn conversation(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let server = Server::legacy(|request, reply| reply.result(request, r#"{"tools":[]}"#));
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|argument| if *argument == "URL" { server.url.as_str() } else { argument })
        .collect();
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, environment);
    proxy.ask(INITIALIZE);
    proxy.send(INITIALIZED);
    proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"cursor":"none"}}"#);
    proxy.finish()
}

/// Tells which of these the text holds.
fn holds(text: &str, parts: [&str; 5]) -> [bool; 5] {
    parts.map(|part| text.contains(part))
}

#[test]
fn each_log_level_adds_details() {
    // A message, an exchange, a header of ours, one of the server's, a body.
    let parts = [
        "client -> tools/list",
        "exchange  tools/list",
        "accept: ",
        "content-length: ",
        r#""cursor":"none""#,
    ];
    for (arguments, expected) in [
        (&["URL"][..], [false; 5]),
        (&["URL", "--silent"], [false; 5]),
        (&["URL", "-v"], [true, true, false, false, false]),
        (&["URL", "-vv"], [true, true, true, true, false]),
        (&["URL", "-vvv"], [true; 5]),
    ] {
        let told = conversation(arguments, &[]).stderr;
        assert_eq!(holds(&told, parts), expected, "{arguments:?}: {told}");
        assert!(!told.contains("session-1"), "{told}");
    }
}

#[test]
fn logs_exchange_with_status_times_and_sizes() {
    let asked = AtomicUsize::new(0);
    let server = Server::legacy(move |request, reply| {
        if asked.fetch_add(1, Ordering::Relaxed) == 0 {
            return reply.answer(503, &[("retry-after", "0"), ("x-request-id", "r-1")], "");
        }
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, request.id());
        let headers = [
            ("content-type", "application/json"),
            ("cf-ray", "8f3a12b4c5d6e7f8-FRA"),
            ("x-correlation-id", "c-17"),
        ];
        reply.answer(200, &headers, &body);
    });
    let mut proxy = Proxy::start(&["-v", &server.url]);
    proxy.ask(INITIALIZE);
    proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    let told = proxy.finish().stderr;
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("exchange  tools/list")).collect();
    let words = |line: &str| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    // The time it took is the only thing that differs from run to run.
    let without_time = |line: &str| {
        let line = words(line);
        let (before, after) = line.split_once(" ms ").expect("a time");
        format!("{} {after}", before.rsplit_once(' ').expect("a number").0)
    };
    let lines: Vec<String> = lines.into_iter().map(without_time).collect();
    assert_eq!(
        lines,
        [
            "INFO exchange tools/list 2 #2 0 B POST 503 refused sent 46 B legacy session 1 attempt 1 request-id r-1 status",
            "INFO exchange tools/list 2 #3 36 B POST 200 complete sent 46 B legacy session 1 attempt 2 \
             ray 8f3a12b4c5d6e7f8-FRA correlation-id c-17",
        ],
        "{told}"
    );
}

#[test]
fn lines_within_an_exchange_name_session_and_exchange() {
    let asked = AtomicUsize::new(0);
    let server = Server::legacy(move |request, reply| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => reply.answer(503, &[("retry-after", "0")], ""),
        1 => {
            reply.open_stream();
            reply.event(r#"{"heartbeat":1}"#);
            reply.event(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, request.id()));
        }
        _ => reply.result(request, "{}"),
    });
    let folder = folder();
    let log = path(&folder, "log");
    let mut proxy = Proxy::start(&[&server.url, "--log-file", &log]);
    proxy.ask(INITIALIZE);
    proxy.ask(r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#);
    proxy.ask(r#"{"jsonrpc":"2.0","id":3,"method":"tools/call"}"#);
    let (told, logged) = (proxy.finish().stderr, text(&log));
    let after = |start: &str| -> Vec<String> {
        let lines = logged.lines().filter_map(|line| line.split_once(start));
        lines.map(|(_, rest)| rest.replace(&server.url, "URL")).collect()
    };
    // Before there is a session, in it, and in a second attempt.
    assert_eq!(
        after("DEBUG -> server POST "),
        [
            "URL exchange=#1 request=initialize id=1 attempt=1",
            r#"URL session=1 exchange=#2 request=tools/list id="a" attempt=1"#,
            r#"URL session=1 exchange=#3 request=tools/list id="a" attempt=2"#,
            "URL session=1 exchange=#4 request=tools/call id=3 attempt=1",
        ],
        "{logged}"
    );
    assert_eq!(
        after("DEBUG server -> ").first().map(String::as_str),
        Some("HTTP/1.1 200 exchange=#1 request=initialize id=1 attempt=1")
    );
    let warning = "the server sent an event that is no message; others on this stream are not reported";
    let [warned] = &after(&format!("WARN {warning} "))[..] else { panic!("{logged}") };
    assert!(warned.ends_with(r#" session=1 exchange=#3 request=tools/list id="a" attempt=2"#), "{warned}");
    // Levels are those of an output: stderr shows no exchange here, so that a number would say nothing.
    assert!(told.contains(warning) && !told.contains("exchange="), "{told}");
}

/// Echoes everything it got, in every kind of answer, and gives away a session and a cookie.
fn echoing(request: &Request, reply: &mut Reply) {
    let key = request.header("authorization").unwrap_or_default();
    let in_url: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
    let echo = request.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
    let echo = format!("{echo}{in_url}\n{}\n", request.path);
    let json = serde_json::to_string(&echo).expect("a string");
    let result = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"echo":{json}}}}}"#, request.id());
    let one_line = echo.replace('\n', " ");
    match request.title() {
        "initialize" => reply.answer(
            200,
            &[
                ("content-type", "application/json"),
                ("mcp-session-id", SESSION),
                ("set-cookie", "lb=markedcookie-0123456789; Path=/"),
                ("x-access-token", "markedkey-of-the-servers-own"),
                ("x-echo", &one_line),
                ("cf-ray", &one_line),
            ],
            &format!(
                r#"{{"id":{},"result":{{"protocolVersion":"2025-06-18","echo":{json}}}}}"#,
                request.id()
            ),
        ),
        "result" => reply.json(&result),
        "events" => {
            reply.open_stream();
            reply.event(&result);
        }
        "text" => {
            reply.answer(500, &[("content-type", "text/plain"), ("x-correlation-id", &one_line)], &echo)
        }
        "page" => reply.answer(403, &[("content-type", "text/html")], &format!("<title>{echo}</title>")),
        "type" => reply.answer(200, &[("content-type", "text/plain")], &echo),
        "redirect" => reply.answer(302, &[("location", "http://127.0.0.1:9/?t=markedquery-0123456789")], ""),
        "DELETE" | "GET" => reply.status(405),
        _ => reply.close(),
    }
}

#[test]
fn logs_and_recordings_hold_no_secret() {
    let server = Server::start(echoing);
    let folder = folder();
    let (log, record) = (path(&folder, "log"), path(&folder, "record"));
    let url = format!("{}?key=markedquery-0123456789", server.url);
    let environment = [
        ("CF_ACCESS_CLIENT_ID", ID),
        ("CF_ACCESS_CLIENT_SECRET", SECRET),
        ("KEY", "markedkey/KEY/0123456789"),
    ];
    let arguments =
        ["-vvv", &url, "--header", "Authorization: Bearer ${KEY}", "--log-file", &log, "--record", &record];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &environment);
    proxy.ask(INITIALIZE);
    for method in ["result", "events", "text", "page", "type", "redirect", "cut"] {
        proxy.ask(&format!(r#"{{"id":"{method}","method":"{method}"}}"#));
    }
    let (told, logged, recorded) = (proxy.finish().stderr, text(&log), text(&record));
    for (what, written) in [("stderr", &told), ("the log file", &logged), ("the recording", &recorded)] {
        assert!(written.contains("[secret]") && written.contains("redirect"), "{what}: {written}");
        for marker in MARKED {
            let lines: Vec<&str> = written.lines().filter(|line| line.contains(marker)).collect();
            assert!(lines.is_empty(), "{marker} shows in {what}: {lines:#?}");
        }
    }
    for header in
        ["cf-access-client-secret: [masked, 28 characters]", "authorization: [masked", "cookie: [masked]"]
    {
        assert!(told.contains(header), "{header} is missing in {told}");
    }
    assert!(told.contains("set-cookie: lb=[masked]") && told.contains("mcp-session-id: mark…"), "{told}");
    assert!(told.contains("location: http://127.0.0.1:9/?…"), "{told}");
    assert_eq!(replay(&recorded).expect("a transcript"), recorded);
}

#[test]
fn logs_body_in_one_bounded_line() {
    let server = Server::legacy(|request, reply| {
        let long = "x".repeat(100_000);
        reply.result(request, &format!("{{\n\"text\": \"{long}\u{7f}\"\n}}"));
    });
    let mut proxy = Proxy::start(&["-vvv", &server.url]);
    proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"a"}"#);
    let told = proxy.finish().stderr;
    assert!(told.len() < 20_000 && told.contains("… (100.0 kB in all)"), "{}", told.len());
    assert!(!told.contains('\u{7f}'));
}

#[test]
fn log_file_is_complete_while_stderr_is_quiet() {
    let folder = folder();
    let log = path(&folder, "log");
    for (round, arguments) in
        [&["URL", "--log-file", &log][..], &["URL", "--log-file", &log, "--silent"]].into_iter().enumerate()
    {
        let told = conversation(arguments, &[]).stderr;
        assert_eq!(told, "");
        let logged = text(&log);
        // Both processes write the same file, one behind the other.
        assert_eq!(logged.matches("exchange  tools/list").count(), round + 1, "{logged}");
        assert!(logged.contains("accept: application/json") && !logged.contains(r#""cursor""#), "{logged}");
    }
    let detailed = path(&folder, "detailed");
    conversation(&["URL", "--log-file", &detailed, "-vvv", "--silent"][..3], &[]);
    assert!(!text(&detailed).contains(r#""cursor""#));
    conversation(&["URL", "--log-file", &detailed, "-vvv"], &[]);
    assert!(text(&detailed).contains(r#""cursor":"none""#));
}

#[test]
fn processes_share_log_file_and_rotate_it() {
    let folder = folder();
    let log = path(&folder, "log");
    std::fs::write(&log, vec![b'x'; 10 * 1024 * 1024 - 500]).expect("written");
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let mut proxies: Vec<Proxy> =
        (0..3).map(|_| Proxy::start(&[&server.url, "--silent", "--log-file", &log])).collect();
    for proxy in &mut proxies {
        proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"a"}"#);
    }
    for proxy in proxies {
        assert_eq!(proxy.finish().code, Some(0));
    }
    let aside = text(path(&folder, "log.1"));
    assert!(aside.len() >= 10 * 1024 * 1024 && aside.len() < 10 * 1024 * 1024 + 4096, "{}", aside.len());
    let told = format!("{aside}{}", text(&log));
    assert_eq!(told.matches("exchange  a ").count(), 3);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
}

#[cfg(unix)]
#[test]
fn files_are_readable_by_owner_only_from_creation() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let (log, record) = (path(&folder, "log"), path(&folder, "record"));
    let base = path(&folder, "base");
    conversation(&["URL", "--log-file", &log, "--record", &record], &[]);
    conversation(&["URL", "--debug", "--silent"], &[("MCP_REMOTE_CONFIG_DIR", &base)]);
    let logs = folder.path().join("base/mcp-tether");
    let debug = std::fs::read_dir(&logs).expect("a folder").next().expect("a file").expect("a file").path();
    let name = debug.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.starts_with("127.0.0.1_") && name.ends_with("_debug.log"), "{name}");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    for file in [Path::new(&log), Path::new(&record), &debug] {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    assert_eq!(mode(&logs), 0o700);
    // What others can read already is told, and left as it is.
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let told = conversation(&["URL", "--log-file", &log], &[]).stderr;
    assert!(told.contains("other users can read the log file"), "{told}");
}

#[test]
fn debug_logs_to_both_and_silent_to_file_only() {
    let folder = folder();
    let base = path(&folder, "base");
    for (arguments, is_told) in [(&["URL", "--debug"][..], true), (&["URL", "--debug", "--silent"], false)] {
        let ended = conversation(arguments, &[("MCP_REMOTE_CONFIG_DIR", &base)]);
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.stderr.contains("accept: application/json"), is_told, "{}", ended.stderr);
        assert!(is_told || ended.stderr.is_empty());
    }
    let logs = std::fs::read_dir(folder.path().join("base/mcp-tether")).expect("a folder");
    let logged: String = logs.map(|file| text(file.expect("a file").path())).collect();
    assert_eq!(logged.matches("exchange  tools/list").count(), 2);
    // Nobody chose the place, so that it cannot keep the program from running.
    std::fs::write(path(&folder, "in-the-way"), "").expect("written");
    let ended = conversation(&["URL", "--debug"], &[("MCP_REMOTE_CONFIG_DIR", &path(&folder, "in-the-way"))]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("there is no log file"), "{}", ended.stderr);
}

#[test]
fn unwritable_file_is_an_error_at_start() {
    let folder = folder();
    let nowhere = path(&folder, "none/file");
    let is_folder = folder.path().to_str().expect("UTF-8");
    for (option, file) in [
        ("--log-file", nowhere.as_str()),
        ("--record", &nowhere),
        ("--log-file", is_folder),
        ("--record", is_folder),
    ] {
        let mut proxy = Proxy::start(&["http://127.0.0.1:9/mcp", option, file]);
        let line = proxy.ask(INITIALIZE);
        assert!(line.contains("-31000") && line.contains(&format!("cannot be written ({option})")), "{line}");
        let ended = proxy.finish();
        assert_eq!(ended.code, Some(2));
        assert!(ended.stderr.contains("  try: name a file"), "{}", ended.stderr);
    }
    let one = path(&folder, "one");
    let mut proxy = Proxy::start(&["http://127.0.0.1:9/mcp", "--log-file", &one, "--record", &one]);
    assert!(proxy.ask(INITIALIZE).contains("the log is written to this file"));
    assert_eq!(proxy.finish().code, Some(2));
    // A check has no client that could be answered: it ends at once, and says so to whoever started it.
    let ended = Proxy::start(&["check", "http://127.0.0.1:9/mcp", "--record", &nowhere]).wait();
    assert!(ended.stderr.contains("--record cannot be used with check"), "{}", ended.stderr);
    assert_eq!((ended.code, ended.lines.len()), (Some(2), 0));
}

#[test]
fn log_file_continues_when_stderr_is_unread() {
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let folder = folder();
    let log = path(&folder, "log");
    let mut proxy = Proxy::start_unheard(&["-vvv", &server.url, "--log-file", &log]);
    let filler = "x".repeat(1000);
    for id in 0..200 {
        proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a","params":"{filler}"}}"#));
    }
    assert_eq!(proxy.finish().code, Some(0));
    let logged = text(&log);
    assert_eq!(logged.matches("exchange  a ").count(), 200);
    assert!(!logged.contains("lines were lost"));
}

#[test]
fn check_is_recorded_in_log_file() {
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let folder = folder();
    let log = path(&folder, "log");
    let header = format!("X-API-Key: {SECRET}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
        .args(["check", &server.url, "--header", &header, "--log-file", &log])
        .env_clear()
        .output()
        .expect("it starts");
    let logged = text(&log);
    assert!(logged.contains("x-api-key: [masked, 28 characters]"), "{logged}\n{output:?}");
    assert!(!logged.contains("markedsecret"), "{logged}");
}

#[cfg(unix)]
#[test]
fn logs_open_requests_at_end() {
    let server = Server::legacy(|_, reply| reply.hang());
    let mut proxy = Proxy::start(&["-v", &server.url]);
    proxy.ask(INITIALIZE);
    proxy.send(r#"{"jsonrpc":"2.0","id":2,"method":"hangs"}"#);
    proxy.send(r#"{"jsonrpc":"2.0","id":3,"method":"is-cancelled"}"#);
    server.wait_for(|request| request.title() == "hangs");
    server.wait_for(|request| request.title() == "is-cancelled");
    proxy.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#);
    server.wait_for(|request| request.title() == "notifications/cancelled");
    let kill = std::process::Command::new("kill").arg("-TERM").arg(proxy.id().to_string()).status();
    assert!(kill.expect("kill is there").success());
    let told = proxy.wait().stderr;
    for method in ["hangs", "is-cancelled", "notifications/cancelled"] {
        let lines = told.lines().filter(|line| line.contains(&format!("exchange  {method} "))).count();
        assert_eq!(lines, 1, "{method}: {told}");
    }
}
