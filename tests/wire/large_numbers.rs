//! Numbers and dates of a server and of the command line, however large they are: none ends an exchange or the process.

use std::process::Command;

use crate::support::proxy::{Ended, Proxy};
use crate::support::server::{Reply, Request, Server};
use crate::support::{INITIALIZE, INITIALIZED};

/// What a header that asks to wait may say.
const WAITS: [&str; 18] = [
    "18446744073709551615",
    "18446744073709551614",
    "18446744073709551616",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-1",
    "0",
    "1000000001",
    "1.5",
    "1e300",
    "NaN",
    "",
    "soon",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Fri, 31 Dec 99999 23:59:59 GMT",
    "Sun, 06 Nov 0000 08:49:37 GMT",
    "Sat, 31 Dec 9999 23:59:60 GMT",
];

/// The headers that ask to wait.
const NAMES: [&str; 2] = ["x-ratelimit-reset", "retry-after"];

fn refuse(reply: &mut Reply, name: &str, value: &str) {
    reply.answer(429, &[("content-type", "text/plain"), (name, value)], "slow down");
}

fn ends_without_defect(proxy: Proxy) {
    let Ended { code, stderr: told, .. } = proxy.finish();
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("defect"), "{told}");
}

fn legacy(request: &Request, reply: &mut Reply) {
    match request.title() {
        "initialize" => reply.result(
            request,
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#,
        ),
        "notifications/initialized" => reply.status(202),
        "GET" | "DELETE" => reply.status(405),
        "server/discover" => reply.status(400),
        _ => reply.result(request, r#"{"tools":[]}"#),
    }
}

#[test]
fn absurd_waits_are_errors_with_their_status() {
    let server = Server::start(|request, reply| {
        let named =
            request.title().split_once('/').and_then(|(name, at)| Some((name, at.parse::<usize>().ok()?)));
        match named {
            Some((name, at)) => refuse(reply, name, WAITS[at]),
            None => reply.result(request, "{}"),
        }
    });
    let mut proxy = Proxy::start(&["--no-cache", &server.url]);
    for (start, name) in [(0, NAMES[0]), (100, NAMES[1])] {
        for at in 0..WAITS.len() {
            proxy.send(&format!(r#"{{"jsonrpc":"2.0","id":{},"method":"{name}/{at}"}}"#, start + at));
            proxy.send(r#"{"jsonrpc":"2.0","id":"ping","method":"ping"}"#);
        }
    }
    for _ in 0..2 * 2 * WAITS.len() {
        let line = proxy.line();
        let is_ping = line == r#"{"jsonrpc":"2.0","id":"ping","result":{}}"#;
        assert!(is_ping || line.contains("429") && !line.contains("defect"), "{line}");
    }
    assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).contains("\"result\""));
    ends_without_defect(proxy);
}

#[test]
fn absurd_wait_refuses_initialize_with_its_status() {
    std::thread::scope(|scope| {
        for name in NAMES {
            for value in ["18446744073709551615", "18446744073709551614", "-1", "1.5", "1e300", "", "soon"] {
                scope.spawn(move || {
                    let server = Server::start(move |_, reply| refuse(reply, name, value));
                    let mut proxy = Proxy::start(&["--no-cache", &server.url]);
                    let line = proxy.ask(INITIALIZE);
                    assert!(line.contains("429") && !line.contains("defect"), "{name}: {value}: {line}");
                    ends_without_defect(proxy);
                });
            }
        }
    });
}

#[test]
fn check_fails_step_with_status_of_absurd_waits() {
    for name in NAMES {
        for value in ["18446744073709551615", "18446744073709551614", "-1", "1e300", ""] {
            let server = Server::start(move |request, reply| match request.title() {
                "tools/list" => refuse(reply, name, value),
                _ => legacy(request, reply),
            });
            let checked = Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
                .args(["check", &server.url])
                .env_clear()
                .output()
                .expect("it starts");
            let told = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
            assert_eq!(checked.status.code(), Some(1), "{name}: {value}: {told}");
            assert!(told.contains("429") && !told.contains("defect"), "{name}: {value}: {told}");
        }
    }
}

#[test]
fn streams_and_cookies_with_absurd_numbers_are_answered() {
    let server = Server::legacy(|request, reply| {
        let value = request.member("params").unwrap_or_default().to_owned();
        let value = value.trim_matches('"');
        match request.title() {
            "stream" => {
                reply.open_stream();
                reply.raw(format!(
                    "retry: {value}

"
                ));
                reply.event(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, request.id()));
                reply.close();
            }
            "cookie" => {
                let age = format!("a=b; Max-Age={value}");
                let end = format!("c=d; Expires={value}");
                let headers =
                    [("content-type", "application/json"), ("set-cookie", &age), ("set-cookie", &end)];
                let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, request.id());
                reply.answer(200, &headers, &body);
            }
            _ => reply.result(request, "{}"),
        }
    });
    let mut proxy = Proxy::start(&["--no-cache", &server.url]);
    proxy.ask(INITIALIZE);
    proxy.send(INITIALIZED);
    for value in WAITS {
        for method in ["stream", "cookie", "ping"] {
            let line =
                proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":"{value}"}}"#));
            assert_eq!(line, r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, "{method} {value}");
        }
    }
    ends_without_defect(proxy);
}

#[test]
fn absurd_numbers_of_options_are_refused_or_work() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let numbers = [
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "-1",
        "1e300",
        "NaN",
        "inf",
        "",
    ];
    for option in
        ["--ping-interval", "--connect-timeout", "--headers-timeout", "--body-timeout", "--auth-timeout"]
    {
        for number in numbers {
            let mut proxy = Proxy::start(&["--no-cache", &server.url, &format!("{option}={number}")]);
            proxy.send(r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#);
            let Ended { code, lines, stderr: told } = proxy.finish();
            assert!(!told.contains("defect"), "{option} {number}: {told}");
            match code {
                Some(0) => assert!(
                    lines.iter().any(|line| line.contains("\"result\"")),
                    "{option} {number}: {lines:?}"
                ),
                code => assert_eq!(code, Some(2), "{option} {number}: {told}"),
            }
        }
    }
    for port in numbers {
        let Ended { code, stderr: told, .. } = Proxy::start(&["--no-cache", &server.url, port]).finish();
        assert!(code.is_some_and(|code| code != 101) && !told.contains("defect"), "port {port}: {told}");
    }
}
