//! Credentials that change while the proxy runs: read again when they are refused, and a next token that takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::{Request, Server};

const ID: &str = "0123456789abcdef0123456789abcdef.access";

/// A server behind something that refuses like Access does, unless a request brings the secret of its time.
fn guarded(secrets: [&'static str; 2]) -> (Server, Arc<AtomicUsize>) {
    let time = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&time);
    let server = Server::start(move |request, reply| {
        let wanted = secrets[now.load(Ordering::Relaxed)];
        match secret(request) == Some(wanted) {
            true => reply.result(request, "{}"),
            false => reply.answer(403, &[("cf-access-aud", "0123456789abcdef")], ""),
        }
    });
    (server, time)
}

fn secret(request: &Request) -> Option<&str> {
    request.header("cf-access-client-secret")
}

fn ask(proxy: &mut Proxy, id: u32) -> String {
    proxy.ask(&format!(r#"{{"id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#))
}

#[test]
fn a_file_is_read_again_when_what_it_held_is_refused() {
    let (server, time) = guarded(["marked-one", "marked-two"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token.env");
    let write = |secret: &str| {
        let text =
            format!("# the token\nCF_ACCESS_CLIENT_ID={ID}\nexport CF_ACCESS_CLIENT_SECRET=\"{secret}\"\n");
        std::fs::write(&path, text).expect("written");
    };
    write("marked-one");
    let mut proxy = Proxy::start(&[&server.url, "-vv", "--env-file", path.to_str().expect("UTF-8")]);
    assert!(ask(&mut proxy, 1).contains("\"result\""));
    write("marked-two");
    time.store(1, Ordering::Relaxed);
    // Many at once: none is lost, and the file is read for all of them.
    for id in 2..30 {
        proxy.send(&format!(r#"{{"id":{id},"method":"tools/call"}}"#));
    }
    for _ in 2..30 {
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{line}");
    }
    let sent: Vec<Request> = server.requests();
    assert!(sent.len() <= 1 + 2 * 28, "each at most twice: {}", sent.len());
    let ended = proxy.finish();
    assert!(ended.stderr.contains("others were found"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("marked"), "{}", ended.stderr);
}

#[test]
fn the_next_token_takes_over_and_stays() {
    let (server, time) = guarded(["marked-one", "marked-two"]);
    let environment = [
        ("CF_ACCESS_CLIENT_ID", ID),
        ("CF_ACCESS_CLIENT_SECRET", "marked-one"),
        ("CF_ACCESS_CLIENT_ID_NEXT", ID),
        ("CF_ACCESS_CLIENT_SECRET_NEXT", "marked-two"),
    ];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&server.url, "-v"], &environment);
    assert!(ask(&mut proxy, 1).contains("\"result\""));
    time.store(1, Ordering::Relaxed);
    for id in 2..5 {
        assert!(ask(&mut proxy, id).contains("\"result\""), "{id}");
    }
    let secrets: Vec<_> =
        server.requests().iter().map(|request| secret(request).map(str::to_owned)).collect();
    let expected = ["one", "one", "two", "two", "two"].map(|end| Some(format!("marked-{end}")));
    assert_eq!(secrets, expected, "one request is refused");
    assert!(proxy.finish().stderr.contains("the next one takes its place"));
}

#[test]
fn two_dead_tokens_are_tried_once_each_and_told() {
    let (server, _) = guarded(["neither", "neither"]);
    let environment = [
        ("CF_ACCESS_CLIENT_ID", ID),
        ("CF_ACCESS_CLIENT_SECRET", "marked-one"),
        ("CF_ACCESS_CLIENT_ID_NEXT", ID),
        ("CF_ACCESS_CLIENT_SECRET_NEXT", "marked-two"),
    ];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&server.url], &environment);
    let line = ask(&mut proxy, 1);
    assert!(line.contains("\"cause\":\"access_forbidden\"") && !line.contains("marked"), "{line}");
    assert_eq!(server.requests().len(), 2);
    ask(&mut proxy, 2);
    assert_eq!(server.requests().len(), 3, "no circle");
    assert_eq!(proxy.finish().code, Some(0));
}

#[test]
#[cfg(unix)]
fn commands_bring_headers_and_are_asked_again() {
    let server = Server::start(|request, reply| match request.header("cf-access-token") {
        Some("marked-fresh") => {
            let key = format!("{:?}", request.header("x-api-key").unwrap_or_default());
            reply.result(request, &key);
        }
        _ => reply.answer(401, &[("www-authenticate", "Cloudflare-Access")], ""),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "marked-stale\n").expect("written");
    let command = format!("cat '{}'", token.display());
    let mut proxy = Proxy::start(&[
        &server.url,
        "--header-from",
        "X-API-Key: echo k-1",
        "--access-token-command",
        &command,
    ]);
    let line = ask(&mut proxy, 1);
    assert!(line.contains("did not accept the Access token") && !line.contains("marked"), "{line}");
    std::fs::write(&token, "marked-fresh\n").expect("written");
    // A source that brought nothing new is left alone for a moment, after which the next refusal asks it again.
    let answer = loop {
        let line = ask(&mut proxy, 2);
        if line.contains("\"result\"") {
            break line;
        }
        assert!(line.contains("did not accept the Access token"), "{line}");
    };
    assert!(answer.contains(r#""result":"k-1""#), "{answer}");
    proxy.finish();
}

#[test]
fn a_token_can_travel_in_one_header() {
    let server = Server::start(|request, reply| {
        let seen = (request.header("authorization"), request.header("cf-access-client-id"));
        match seen {
            (Some(value), None) => reply.result(request, value),
            _ => reply.status(500),
        }
    });
    let environment = [("CF_ACCESS_CLIENT_ID", ID), ("CF_ACCESS_CLIENT_SECRET", "marked-one")];
    let arguments = [server.url.as_str(), "--access-header", "Authorization"];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &environment);
    let line = ask(&mut proxy, 1);
    let expected =
        format!(r#""result":{{"cf-access-client-id":"{ID}","cf-access-client-secret":"marked-one"}}"#);
    assert!(line.contains(&expected), "{line}");
    proxy.finish();
}

#[test]
fn a_source_that_has_nothing_is_named_at_the_start() {
    for (arguments, expected) in [
        (["--env-file", "/no/such/file"], "the file /no/such/file of --env-file cannot be used"),
        (
            ["--header-from", "X-Key: /no/such/program"],
            "the command of --header-from X-Key cannot be started",
        ),
        (["--header-from", "no colon"], "a --header-from is not of the form"),
        (["--access-token-command", "true"], "the command of --access-token-command printed nothing"),
        (["--access-header", "not a name"], "the value of --access-header is not the name of a header"),
    ] {
        let arguments = ["https://mcp.example.test/mcp", arguments[0], arguments[1]];
        let mut proxy = Proxy::start(&arguments);
        let line = ask(&mut proxy, 1);
        if cfg!(windows) && expected.contains("printed") {
            continue;
        }
        assert!(line.contains(expected) && line.contains("\"cause\":\"configuration\""), "{line}");
        assert_eq!(proxy.finish().code, Some(2));
    }
    let half =
        [("CF_ACCESS_CLIENT_ID", ID), ("CF_ACCESS_CLIENT_SECRET", "x"), ("CF_ACCESS_CLIENT_ID_NEXT", ID)];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &["https://mcp.example.test/mcp"], &half);
    let line = ask(&mut proxy, 1);
    assert!(
        line.contains("CF_ACCESS_CLIENT_ID_NEXT is there, but CF_ACCESS_CLIENT_SECRET_NEXT is not"),
        "{line}"
    );
}

#[test]
#[cfg(unix)]
fn a_file_with_secrets_that_others_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("headers");
    std::fs::write(&path, "X-Key: marked\n").expect("written");
    for (mode, warned) in [(0o600, false), (0o640, true), (0o604, true)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        let mut proxy = Proxy::start(&[&server.url, "--header-file", path.to_str().expect("UTF-8")]);
        ask(&mut proxy, 1);
        let ended = proxy.finish();
        assert_eq!(
            ended.stderr.contains("others on this computer can read it"),
            warned,
            "{mode:o}: {}",
            ended.stderr
        );
    }
}
