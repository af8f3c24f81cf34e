//! Refusals of calls, in which a server repeats all that it was sent.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::decoder::{ENCODINGS, assert_hides, encode};
use super::support::proxy::{Proxy, Stdin};
use super::support::server::{Reply, Request, Server};
use super::{OBEYED, assert_does_nothing, files};

const KEY: &str = "mk+Header/Key=9876543210";
const PAIR_SECRET: &str = "cfast_PairSecret0123456789abcdefghijklmnopqrstuvwxyzABCDEF";
const PASSWORD: &str = "basic-Pass/word:77";
const SESSION_COOKIE: &str = "cookieValue+0123456789";
const TOKEN: &str = "tokenParameter/4711";
const QUERY: &str = "query-Key/0815+4711";
const SET_COOKIE: &str = "setCookie0123456789abcd";
const SESSION: &str = "session-0123456789abcdef";
const SECRETS: [&str; 8] = [KEY, PAIR_SECRET, PASSWORD, SESSION_COOKIE, TOKEN, QUERY, SET_COOKIE, SESSION];

/// Answers a call with all secrets, written as its method says, in the form that its params name.
fn echo(request: &Request, reply: &mut Reply) {
    let encoding = ENCODINGS[request.title().parse::<usize>().expect("a number")];
    let form = request.member("params").expect("a form").trim_matches('"');
    let said: Vec<String> = SECRETS.iter().map(|secret| encode(secret, encoding)).collect();
    let said = format!("{OBEYED} {} ", said.join(" , "));
    let json = |text: &str| serde_json::to_string(text).expect("JSON");
    match form {
        "text" => reply.answer(401, &[("content-type", "text/plain")], &said),
        "json" => {
            let body = format!(r#"{{"detail":{},"n":[{}]}}"#, json(&said), json(&said));
            reply.answer(500, &[("content-type", "application/json")], &body);
        }
        "page" => {
            let page = format!("<html><title>{said}</title><body>{said}</body></html>");
            reply.answer(502, &[("content-type", "text/html")], &page);
        }
        "head" => {
            let one = encode(KEY, encoding).replace(' ', "");
            let location = format!("http://127.0.0.1:9/{one}/x?{one}");
            let headers = [
                ("location", location.as_str()),
                ("x-request-id", &one),
                ("cf-ray", &one),
                ("cf-access-error", &one),
                ("x-other", &one),
            ];
            reply.answer(302, &headers, "");
        }
        "unknown" => {
            reply.answer(200, &[("content-type", &format!("text/x; {}", encode(KEY, encoding)))], &said)
        }
        other => panic!("{other}"),
    }
}

fn server() -> Server {
    Server::start(|request, reply| match request.title() {
        "initialize" => {
            let result = r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#;
            let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id());
            let cookie = format!("lb={SET_COOKIE}; Path=/");
            let headers =
                [("content-type", "application/json"), ("mcp-session-id", SESSION), ("set-cookie", &cookie)];
            reply.answer(200, &headers, &body);
        }
        "notifications/initialized" => reply.status(202),
        "GET" | "DELETE" => reply.status(405),
        _ => echo(request, reply),
    })
}

/// Asks for every encoding in every form, and looks through all that is written.
fn converse(more: &[&str], environment: &[(&str, &str)], home: &std::path::Path) {
    let server = server();
    let folder = home.to_str().expect("UTF-8");
    let url = format!("{}?key={}&n=12", server.url, encode(QUERY, "percent"));
    let environment = [environment, &[("HOME", folder), ("XDG_CONFIG_HOME", folder)]].concat();
    let arguments = [&[url.as_str(), "--auth", "none"], more].concat();
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &environment);
    proxy.ask(super::support::INITIALIZE);
    proxy.send(super::support::INITIALIZED);
    for (number, encoding) in ENCODINGS.iter().enumerate() {
        for form in ["text", "json", "page", "head", "unknown"] {
            let line =
                proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{number}","params":"{form}"}}"#));
            assert!(line.contains("\"error\""), "{line}");
            assert_hides(&line, &SECRETS, &format!("the answer to {encoding} in {form}"));
            let error: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_does_nothing(&error["error"].to_string().replace("\\n", ""), form);
            let message = error["error"]["message"].as_str().expect("a message");
            assert_does_nothing(message, form);
        }
    }
    let ended = proxy.finish();
    assert_hides(&ended.stderr, &SECRETS, "stderr");
    assert!(ended.stderr.contains("[secret]"), "{}", ended.stderr);
    assert_does_nothing(&ended.stderr, "stderr");
    for (path, text) in files(home) {
        assert_hides(&text, &SECRETS, &path);
        assert_does_nothing(&text, &path);
    }
}

#[test]
fn refusal_shows_no_secret_by_default() {
    let home = tempfile::tempdir().expect("a folder");
    let key = format!("X-API-Key: {KEY}");
    let basic = format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("admin:{PASSWORD}")));
    let cookie = format!("Cookie: theme=dark; session={SESSION_COOKIE}; x=y");
    let token = format!("X-Token: Token token=\"{TOKEN}\", client=\"abc\"");
    let headers = ["--header", &key, "--header", &basic, "--header", &token];
    let pair = [("CF_ACCESS_CLIENT_ID", "0123.access"), ("CF_ACCESS_CLIENT_SECRET", PAIR_SECRET)];
    let with_cookie = [&headers[..], &["--header", &cookie]].concat();
    converse(&with_cookie, &pair, home.path());
}

#[test]
fn refusal_shows_no_secret_in_logs_and_recordings() {
    let home = tempfile::tempdir().expect("a folder");
    let (log, record) = (home.path().join("log"), home.path().join("record"));
    let (log, record) = (log.display().to_string(), record.display().to_string());
    let key = format!("X-API-Key: {KEY}");
    let basic = format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("admin:{PASSWORD}")));
    let cookie = format!("Cookie: theme=dark; session={SESSION_COOKIE}; x=y");
    let token = format!("X-Token: Token token=\"{TOKEN}\", client=\"abc\"");
    let arguments = [
        "-vvv",
        "--log-file",
        &log,
        "--record",
        &record,
        "--header",
        &key,
        "--header",
        &basic,
        "--header",
        &token,
        "--header",
        &cookie,
    ];
    let pair = [("CF_ACCESS_CLIENT_ID", "0123.access"), ("CF_ACCESS_CLIENT_SECRET", PAIR_SECRET)];
    converse(&arguments, &pair, home.path());
}

#[test]
fn configured_secret_outlives_many_cookies_in_logs() {
    let home = tempfile::tempdir().expect("a folder");
    let (log, record) = (home.path().join("log"), home.path().join("record"));
    let (log, record) = (log.display().to_string(), record.display().to_string());
    let server = Server::start(|request, reply| match request.title() {
        "DELETE" => reply.status(405),
        "last" => reply.result(request, &serde_json::to_string(&format!("got {QUERY}")).expect("JSON")),
        _ => {
            let cookie = format!("lb=rotating-{}-0123456789abcdef", request.id());
            let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":"jsonrpc method"}}"#, request.id());
            let headers = [
                ("content-type", "application/json"),
                ("set-cookie", cookie.as_str()),
                ("set-cookie", "a=jsonrpc"),
                ("set-cookie", "b=method"),
            ];
            reply.answer(200, &headers, &body);
        }
    });
    let url = format!("{}?key={QUERY}", server.url);
    let mut proxy = Proxy::start(&[&url, "-vvv", "--log-file", &log, "--record", &record]);
    for id in 1..=1200 {
        proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
    }
    let line = proxy.ask(r#"{"jsonrpc":"2.0","id":"l","method":"last"}"#);
    assert!(line.contains(QUERY), "a message stays what it was: {line}");
    let ended = proxy.finish();
    for (path, text) in [("stderr".to_owned(), ended.stderr)].into_iter().chain(files(home.path())) {
        assert!(!text.contains(QUERY), "{path}");
        assert!(text.contains("got [secret]"), "{path} has the answer");
        assert!(text.contains("jsonrpc method"), "{path} has the words");
    }
}
