//! What a server echoes: no part of a credential goes on to the client, however the echo is written or cut off.

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;

const SECRET: &str = "cfast_markedSECRETmarkedSECRET9876";
const PAIR: [(&str, &str); 2] = [("CF_ACCESS_CLIENT_ID", "0123.access"), ("CF_ACCESS_CLIENT_SECRET", SECRET)];

/// Fails with every piece of `secret`, of eight characters or more, that stands in `text`.
fn assert_untold(secret: &str, text: &str, case: &str) {
    let letters: Vec<char> = secret.chars().collect();
    for piece in letters.windows(8).map(|piece| piece.iter().collect::<String>()) {
        assert!(!text.contains(&piece), "{case}: {piece} shows in {text}");
    }
}

#[test]
fn secret_in_refusal_is_redacted_at_excerpt_end() {
    let server = Server::start(|request, reply| {
        let before: usize = request.member("params").expect("params").parse().expect("a number");
        let sent = request.header("cf-access-client-secret").expect("it is attached");
        // Far away, what stands before it is trimmed.
        let filler = if before > 2_000 { " " } else { "y" };
        let body = format!("{}{sent}{}", filler.repeat(before), "z".repeat(2_000));
        reply.answer(500, &[("content-type", "text/plain")], &body);
    });
    let mut proxy = Proxy::start_with(Stdin::Pipes, &["--silent", &server.url], &PAIR);
    // The sentence quotes 200 characters and the data 1024; a read ends at 64 KiB.
    for edge in [200, 1024, 64 * 1024] {
        for before in edge - SECRET.len() - 1..=edge + 1 {
            let line = proxy.ask(&format!(r#"{{"id":1,"method":"a","params":{before}}}"#));
            assert!(line.contains("answered 500"), "{line}");
            assert_untold(SECRET, &line, &format!("behind {before} characters"));
        }
    }
    proxy.finish();
}

#[test]
fn secret_in_page_title_is_redacted_at_excerpt_end() {
    let server = Server::start(|request, reply| {
        let before: usize = request.member("params").expect("params").parse().expect("a number");
        let sent = request.header("cf-access-client-secret").expect("it is attached");
        let page = format!("<html><title>{} {sent}</title>", "y".repeat(before));
        reply.answer(502, &[("content-type", "text/html")], &page);
    });
    let mut proxy = Proxy::start_with(Stdin::Pipes, &["--silent", &server.url], &PAIR);
    for before in 200 - SECRET.len() - 2..=200 {
        let line = proxy.ask(&format!(r#"{{"id":1,"method":"a","params":{before}}}"#));
        assert_untold(SECRET, &line, &format!("behind {before} characters"));
    }
    proxy.finish();
}

#[test]
fn escaped_secret_is_recognized_in_surrounding_text() {
    // Written by a person, a key may hold what JSON, HTML and URLs escape.
    const KEY: &str = "markedKEY&\"<+/=\\>KEYmarked";
    let server = Server::start(|request, reply| {
        let sent = request.header("x-api-key").expect("it is attached");
        let in_json = serde_json::to_string(sent).expect("a string");
        let in_html =
            sent.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let in_url: String = url::form_urlencoded::byte_serialize(sent.as_bytes()).collect();
        match request.title() {
            "json" => reply.answer(
                500,
                &[("content-type", "application/json")],
                &format!(r#"{{"detail":{in_json}}}"#),
            ),
            "html" => {
                reply.answer(500, &[("content-type", "text/html")], &format!("<title>{in_html}</title>"))
            }
            "path" => reply.answer(302, &[("location", &format!("http://127.0.0.1:9/{in_url}/x"))], ""),
            "text" => reply.answer(500, &[("content-type", "text/plain")], sent),
            title => panic!("{title}"),
        }
    });
    let header = format!("X-API-Key: {KEY}");
    let mut told = Vec::new();
    for method in ["text", "json", "html", "path"] {
        let mut proxy = Proxy::start(&["--silent", &server.url, "--header", &header]);
        told.push((method, proxy.ask(&format!(r#"{{"id":1,"method":"{method}"}}"#))));
        proxy.finish();
    }
    let shown: Vec<_> =
        told.iter().filter(|(_, line)| line.contains("KEYmarked") || line.contains("markedKEY")).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}
