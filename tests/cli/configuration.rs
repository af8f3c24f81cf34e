//! Options, credentials, and what is told when they cannot work.

use std::process::{Command, Stdio};

use crate::support::INITIALIZE;
use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::{Request, Server};

const ID: &str = "0123456789abcdef0123456789abcdef.access";
const SECRET: &str = "cfast_markedsecret0123456789";
const PAIR: [(&str, &str); 2] = [("CF_ACCESS_CLIENT_ID", ID), ("CF_ACCESS_CLIENT_SECRET", SECRET)];

/// Runs one request with these arguments (`URL` stands for the server's) and returns it as it arrived.
fn arrived(arguments: &[&str], environment: &[(&str, &str)]) -> Request {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|argument| if *argument == "URL" { server.url.as_str() } else { argument })
        .collect();
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, environment);
    let line = proxy.ask(r#"{"id":1,"method":"ping"}"#);
    assert!(line.contains("\"result\""), "{arguments:?}: {line}");
    assert_eq!(proxy.finish().code, Some(0));
    server.requests().remove(0)
}

#[test]
fn headers_arrive_however_they_are_written() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "# a comment\nX-A: ${VALUE}\n").expect("written");
    let path = file.path().to_str().expect("UTF-8").to_owned();
    for arguments in [
        &["--header", "X-A: v", "URL"][..],
        &["URL", "--header", "X-A:v"],
        &["--header=X-A: v", "URL"],
        &["--header", "X-A:", "v", "URL"],
        &["URL", "--header", "X-A: ${VALUE}"],
        &["URL", "--header", "X-A: ${MISSING:-v}"],
        &["--header-file", &path, "URL"],
        &["--silent", "URL", "--connect-timeout", "3", "--header", "X-A: v"],
    ] {
        assert_eq!(arrived(arguments, &[("VALUE", "v")]).header("x-a"), Some("v"), "{arguments:?}");
    }
}

#[test]
fn service_token_is_sent_exactly_once() {
    for arguments in [
        &["URL"][..],
        &[
            "--header",
            "CF-Access-Client-Id: ${CF_ACCESS_CLIENT_ID}",
            "--header",
            "CF-Access-Client-Secret: ${CF_ACCESS_CLIENT_SECRET}",
            "URL",
        ],
    ] {
        let request = arrived(arguments, &PAIR);
        assert_eq!(request.header("cf-access-client-id"), Some(ID), "{request:?}");
        assert_eq!(request.header("cf-access-client-secret"), Some(SECRET));
    }
    assert_eq!(arrived(&["--no-access", "URL"], &PAIR).header("cf-access-client-id"), None);
}

#[test]
fn service_token_goes_to_named_hosts_only() {
    for (hosts, is_sent) in
        [("127.0.0.1", true), ("example.com, 127.0.0.1", true), ("*.0.0.1", true), ("*.example.com", false)]
    {
        let environment = [PAIR[0], PAIR[1], ("CF_ACCESS_HOSTS", hosts)];
        let request = arrived(&["URL"], &environment);
        assert_eq!(request.header("cf-access-client-id").is_some(), is_sent, "{hosts}");
        assert_eq!(request.header("cf-access-client-secret").is_some(), is_sent, "{hosts}");
    }
}

#[test]
fn configuration_error_answers_every_request() {
    for (arguments, environment, expected) in [
        (&["https://h/mcp", "--header", "X-API-Key: ${MY_KEY}"][..], &[][..], "MY_KEY is not set"),
        (&["https://h/mcp"], &PAIR[..1], "CF_ACCESS_CLIENT_SECRET is not"),
        (&["http://example.com/mcp"], &[], "not encrypted"),
        (&["--headers", "X: y", "https://h/mcp"], &[], "--headers"),
        (&["https://h/mcp", "--connect-timeout", "soon"], &[], "value of --connect-timeout"),
        (&[], &[], "URL of the server is missing"),
    ] {
        for stdin in Stdin::ALL {
            let mut proxy = Proxy::start_with(*stdin, arguments, environment);
            let first = proxy.ask(INITIALIZE);
            proxy.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
            let second = proxy.ask(r#"{"jsonrpc":"2.0","id":"two","method":"tools/list"}"#);
            assert!(
                first.contains(r#""id":1,"error":{"code":-31000"#) && first.contains(expected),
                "{first}"
            );
            assert!(
                second.contains(r#""id":"two","error":{"code":-31000"#) && second.contains(expected),
                "{second}"
            );
            let ended = proxy.finish();
            assert_eq!(ended.code, Some(2), "{arguments:?}");
            assert!(
                ended.stderr.starts_with("error: ") && ended.stderr.contains("\n  try: "),
                "{}",
                ended.stderr
            );
            assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        }
    }
}

#[test]
fn help_and_version_are_printed() {
    for (option, expected) in
        [("--help", "Usage: mcp-tether"), ("-h", "--header"), ("--version", env!("CARGO_PKG_VERSION"))]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_mcp-tether")).arg(option).stdin(Stdio::null()).output();
        let output = output.expect("it starts");
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{option}");
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn no_failure_shows_a_secret() {
    let markers = ["markedsecret", "markedkey", "markedquery", "markedsession"];
    // The server echoes everything it got, in every kind of refusal.
    let server = Server::start(|request, reply| {
        let echo =
            request.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
        match request.title() {
            "initialize" => reply.answer(
                200,
                &[("content-type", "application/json"), ("mcp-session-id", "markedsession-0123456789")],
                &format!(r#"{{"id":{},"result":{{"protocolVersion":"2025-06-18"}}}}"#, request.id()),
            ),
            "text" => reply.answer(500, &[("content-type", "text/plain")], &echo),
            "page" => reply.answer(403, &[("content-type", "text/html")], &format!("<title>{echo}</title>")),
            "type" => reply.answer(200, &[("content-type", "text/plain")], &echo),
            "redirect" => reply.answer(302, &[("location", "http://127.0.0.1:9/?t=markedquery")], ""),
            _ => reply.close(),
        }
    });
    let url = format!("{}?key=markedquery", server.url);
    let environment = [PAIR[0], PAIR[1], ("KEY", "markedkey-0123456789")];
    let arguments = ["-vvv", url.as_str(), "--header", "Authorization: Bearer ${KEY}"];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &environment);
    let mut told = proxy.ask(INITIALIZE);
    for method in ["text", "page", "type", "redirect", "cut"] {
        let line = proxy.ask(&format!(r#"{{"id":2,"method":"{method}"}}"#));
        assert!(line.contains("\"error\""), "{line}");
        told.push_str(&line);
    }
    let ended = proxy.finish();
    told.push_str(&ended.stderr);
    assert!(ended.stderr.contains("TRACE"), "the log was on");
    assert!(server.requests()[1].header("authorization").is_some_and(|value| value.contains("markedkey")));
    for marker in markers {
        assert!(!told.contains(marker), "{marker} shows in:\n{told}");
    }
}

#[test]
fn usage_error_does_not_repeat_secret() {
    for arguments in [
        &["--header", "X-API-Key: key", "markedsecret", "https://h/mcp"][..],
        &["--header", "'X-API-Key: markedsecret", "https://h/mcp"],
        &["markedsecret"],
        &["--headr=X: markedsecret", "https://h/mcp"],
        &["--header", "markedsecret", "https://h/mcp"],
        &["https://user:markedsecret@h/mcp"],
        &["--header", "X-API-Key: \"markedsecret\"", "https://h/mcp"],
    ] {
        let mut proxy = Proxy::start(arguments);
        let line = proxy.ask(INITIALIZE);
        let ended = proxy.finish();
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(!format!("{line}{}", ended.stderr).contains("markedsecret"), "{line}\n{}", ended.stderr);
    }
}
