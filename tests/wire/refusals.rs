//! Statuses that are no success, and redirects.

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;

const STATUSES: [u16; 14] = [400, 401, 403, 404, 405, 406, 413, 415, 429, 431, 500, 502, 503, 504];

#[test]
fn every_refusal_is_one_error_with_its_status() {
    let server = Server::start(|request, reply| {
        // After a bare 401 it is looked for a way to sign in.
        let Some(status) = request.member("params") else { return reply.status(404) };
        let form = request.title();
        let own = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"own","data":[1.0]},"id":null}"#;
        let (media_type, body) = match form {
            "html" => ("text/html", "<html><title>Oh no</title>…"),
            "text" => ("text/plain", "out of\ncheese"),
            "empty" => ("text/plain", ""),
            "json" => ("application/json", "{\"detail\":\"no\"}"),
            "oauth" => ("application/json", "{\"error\":\"invalid_token\"}"),
            "named" => ("application/json", "{\"error\":\"invalid_token\",\"id\":1}"),
            _ => ("application/json", own),
        };
        // Too long a wait for anything to be sent again.
        let headers = [("content-type", media_type), ("retry-after", "60")];
        let headers = if status == "429" { &headers[..] } else { &headers[..1] };
        reply.answer(status.parse().expect("a status"), headers, body);
    });
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    for status in STATUSES {
        for (body, expected) in [
            ("html", "Oh no"),
            ("text", "out of cheese"),
            ("empty", ""),
            ("json", "detail"),
            ("oauth", "invalid_token"),
            ("named", "invalid_token"),
        ] {
            let line =
                proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{body}","params":{status}}}"#));
            assert!(
                line.starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-31006"#),
                "{status} {body}: {line}"
            );
            assert!(
                line.contains(&format!("answered {status} ")) && line.contains(expected),
                "{status} {body}: {line}"
            );
            assert!(
                line.contains(&format!("\"status\":{status}")) && line.contains("\"advice\""),
                "{status} {body}: {line}"
            );
        }
        let line = proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":"x","method":"own","params":{status}}}"#));
        let expected = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"own","data":[1.0]},"id":"x"}"#;
        assert_eq!(line, expected, "{status}: the server's own error passes but for the id");
    }
    assert!(proxy.finish().lines.is_empty());
}

#[test]
fn refusal_with_endless_body_is_reported() {
    let server = Server::start(|_, reply| {
        reply.raw("HTTP/1.1 503 X\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\nwarming up\n");
        reply.hang();
    });
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    let line = proxy.ask(r#"{"id":1,"method":"a"}"#);
    assert!(line.contains("answered 503") && line.contains("warming up"), "{line}");
    proxy.finish();
}

const SECRETS: [(&str, &str); 2] =
    [("CF_ACCESS_CLIENT_ID", "0123.access"), ("CF_ACCESS_CLIENT_SECRET", "cfast_markedsecret")];

#[test]
fn follows_only_same_origin_redirects_that_keep_the_message() {
    let server = Server::start(|request, reply| {
        if request.path == "/elsewhere" {
            return reply.result(request, r#""there""#);
        }
        reply.answer(request.title().parse().expect("a status"), &[("location", "/elsewhere")], "");
    });
    let mut proxy = Proxy::start_with(Stdin::Pipes, &["--silent", &server.url], &SECRETS);
    // Another method, by definition.
    let status = 303;
    let line = proxy.ask(&format!(r#"{{"id":1,"method":"{status}"}}"#));
    assert!(
        line.contains(&format!(
            "answered {status} and redirects to {}",
            server.url.replace("/mcp", "/elsewhere")
        )),
        "{line}"
    );
    assert!(line.contains("\"cause\":\"redirect\""), "{line}");
    for status in [301, 302, 307, 308] {
        let message = format!(r#"{{"id":1,"method":"{status}"}}"#);
        assert!(proxy.ask(&message).contains(r#""result":"there""#), "{status}");
        let followed = server.requests().pop().expect("a request");
        assert_eq!((followed.path.as_str(), followed.method.as_str()), ("/elsewhere", "POST"));
        assert_eq!(followed.body, message);
        assert_eq!(followed.header("cf-access-client-secret"), Some("cfast_markedsecret"));
    }
    proxy.finish();
}

#[test]
fn no_request_reaches_other_origin() {
    let other = Server::start(|_, reply| reply.status(200));
    let target = format!("{}/stolen?token=markedquery", other.url);
    let server = Server::start(move |request, reply| {
        reply.answer(request.title().parse().expect("a status"), &[("location", &target)], "");
    });
    let mut proxy = Proxy::start_with(Stdin::Pipes, &["--silent", &server.url], &SECRETS);
    for status in [301, 302, 303, 307, 308] {
        let line = proxy.ask(&format!(r#"{{"id":1,"method":"{status}"}}"#));
        assert!(line.contains(&format!("redirects to {}/stolen;", other.url)), "{status}: {line}");
        assert!(!line.contains("markedquery"), "{line}");
    }
    proxy.finish();
    assert!(other.requests().is_empty(), "{:?}", other.requests());
}

#[test]
fn redirects_without_end_are_given_up() {
    let server = Server::start(|_, reply| reply.answer(307, &[("location", "/mcp")], ""));
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    let line = proxy.ask(r#"{"id":1,"method":"a"}"#);
    assert!(line.contains("redirects without end") && line.contains("\"status\":307"), "{line}");
    proxy.finish();
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn names_failures_below_http() {
    let plain = Server::start(|_, reply| reply.status(200));
    let tls_to_plain = format!("https://{}/mcp", plain.address);
    // A port that is bound, and on which nothing listens.
    let bound = tokio::net::TcpSocket::new_v4().expect("a socket");
    bound.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let closed = format!("http://{}/mcp", bound.local_addr().expect("an address"));
    for (url, expected) in [
        (closed.as_str(), "\"cause\":\"connect\""),
        (tls_to_plain.as_str(), "\"cause\":\"tls\""),
        ("https://nonexistent.invalid/mcp", "\"cause\":\"dns\""),
    ] {
        let mut proxy = Proxy::start(&["--silent", url]);
        let line = proxy.ask(r#"{"id":1,"method":"a"}"#);
        assert!(line.contains(expected) && line.contains("\"advice\""), "{url}: {line}");
        assert_eq!(proxy.finish().code, Some(0));
    }
}
