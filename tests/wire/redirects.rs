//! Redirects, hop by hop: what is followed whole, and that nothing, not even a connection, goes elsewhere.

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::{Script, Server};
use crate::support::{INITIALIZE, INITIALIZED};

const PAIR: [(&str, &str); 2] =
    [("CF_ACCESS_CLIENT_ID", "0123.access"), ("CF_ACCESS_CLIENT_SECRET", "cfast_markedsecret")];

#[test]
fn five_hops_within_the_origin_are_followed_with_everything() {
    let server = Server::start(|request, reply| {
        let hop: usize = request.path.trim_start_matches("/mcp").parse().unwrap_or(0);
        match hop {
            5 => reply.result(request, "{}"),
            _ => {
                let status = [307, 308][hop % 2];
                // As a path, as an address of its own, and with a body that is nobody's.
                let target = match hop {
                    0 => "/mcp1".to_owned(),
                    _ => format!("http://{}/mcp{}", request.header("host").expect("a host"), hop + 1),
                };
                reply.answer(status, &[("location", &target), ("content-type", "text/html")], "moved");
            }
        }
    });
    let mut proxy = Proxy::start_with(Stdin::Pipes, &["--silent", &server.url], &PAIR);
    let message = r#"{"id":1,"method":"a","params":{"n":1.0}}"#;
    for _ in 0..2 {
        assert!(proxy.ask(message).contains("\"result\""));
    }
    proxy.finish();
    let requests = server.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    let once = ["/mcp", "/mcp1", "/mcp2", "/mcp3", "/mcp4", "/mcp5"];
    assert_eq!(paths, [once, once].concat(), "every message begins at the URL that was given");
    for request in requests {
        assert_eq!((request.method.as_str(), request.body.as_str()), ("POST", message));
        assert_eq!(request.header("cf-access-client-secret"), Some("cfast_markedsecret"), "{}", request.path);
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
}

#[test]
fn cross_origin_redirects_are_never_followed() {
    let other = Script::default().serve();
    let elsewhere = format!("{}?token=markedquery", other.url);
    let to = |status: u16| {
        let elsewhere = elsewhere.clone();
        move |_: &_, reply: &mut crate::support::server::Reply| {
            reply.answer(status, &[("location", &elsewhere)], "");
        }
    };
    let server = Script::default()
        .expect("initialize", |request, reply| {
            let body = format!(r#"{{"id":{},"result":{{"protocolVersion":"2025-06-18"}}}}"#, request.id());
            reply.answer(200, &[("content-type", "application/json"), ("mcp-session-id", "s-1")], &body);
        })
        .expect("notifications/initialized", |_, reply| reply.status(202))
        .expect("GET", to(307))
        .expect("call", to(307))
        .expect("call", to(308))
        .expect("call", to(302))
        .expect("notifications/x", to(308))
        .expect("DELETE", to(307))
        .serve();
    let mut proxy = Proxy::start_with(Stdin::Pipes, &["-vvv", &server.url], &PAIR);
    proxy.ask(INITIALIZE);
    proxy.send(INITIALIZED);
    server.wait_for(|request| request.method == "GET");
    let mut told = String::new();
    for id in 2..5 {
        let line = proxy.ask(&format!(r#"{{"id":{id},"method":"call"}}"#));
        assert!(line.contains(&format!("redirects to {};", other.url)), "{line}");
        told.push_str(&line);
    }
    proxy.send(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
    server.wait_for(|request| request.title() == "notifications/x");
    let ended = proxy.finish();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{ended:?}");
    told.push_str(&ended.stderr);
    assert!(!told.contains("markedquery") && !told.contains("markedsecret"), "{told}");
    assert_eq!(other.connections(), 0, "not even a connection");
}

#[test]
fn same_origin_redirect_allows_no_later_cross_origin_one() {
    let other = Script::default().serve();
    let port = other.address.rsplit(':').next().expect("a port").to_owned();
    let targets = [
        other.url.clone(),
        format!("//{}/mcp", other.address),
        // The same machine by another name, and the same host with somebody's name before it.
        format!("http://localhost:{port}/mcp"),
        format!("http://user:markedpassword@{}/mcp", other.address),
        format!("https://{}/mcp", other.address),
    ];
    for target in targets {
        let shown = target.clone();
        let server = Script::default()
            .expect("a", |_, reply| reply.answer(307, &[("location", "/next")], ""))
            .expect("a", move |request, reply| {
                assert_eq!(request.path, "/next");
                reply.answer(308, &[("location", &target)], "");
            })
            .serve();
        let mut proxy = Proxy::start_with(Stdin::Pipes, &["--silent", &server.url], &PAIR);
        let line = proxy.ask(r#"{"id":1,"method":"a"}"#);
        assert!(line.contains("\"cause\":\"redirect\",\"status\":308"), "{shown}: {line}");
        assert!(!line.contains("marked"), "{shown}: {line}");
        proxy.finish();
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn dangling_redirect_is_one_error() {
    for target in
        [None, Some("http://"), Some("http://[::bad/"), Some("mailto:x@example.com"), Some("\u{fffd}")]
    {
        for status in [301, 307] {
            let server = Script::default()
                .expect("a", move |_, reply| {
                    let headers = target.map(|target| ("location", target));
                    reply.answer(status, headers.as_slice(), "");
                    reply.close();
                })
                .serve();
            let mut proxy = Proxy::start(&["--silent", &server.url]);
            let line = proxy.ask(r#"{"id":1,"method":"a"}"#);
            assert!(
                line.contains(r#""id":1,"error""#) && line.contains(&format!("\"status\":{status}")),
                "{target:?}: {line}"
            );
            assert!(proxy.finish().lines.is_empty(), "{target:?}");
        }
    }
}

#[test]
fn name_and_password_in_a_redirect_are_not_sent() {
    let server = Server::start(|request, reply| match request.path.as_str() {
        "/b" => reply.result(request, "{}"),
        _ => {
            let target = format!("http://eve:pw@{}/b", request.header("host").expect("a host"));
            reply.answer(307, &[("location", &target)], "");
        }
    });
    for (options, expected) in
        [(&[][..], None), (&["--header", "Authorization: Bearer own"], Some("Bearer own"))]
    {
        let arguments: Vec<&str> = options.iter().copied().chain([&*server.url]).collect();
        let mut proxy = Proxy::start(&arguments);
        assert!(proxy.ask(r#"{"id":1,"method":"a"}"#).contains("\"result\""));
        proxy.finish();
        let last = server.requests().pop().expect("a request");
        assert_eq!((last.path.as_str(), last.header("authorization")), ("/b", expected));
    }
}
