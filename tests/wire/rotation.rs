//! Credentials that change while the proxy runs: read again when they are refused, and a next token that takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::{Request, Server};
#[cfg(unix)]
use crate::tls::secure;

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
fn file_is_read_again_when_its_credentials_are_rejected() {
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
    assert!(ended.stderr.contains("have been replaced from their source"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("marked"), "{}", ended.stderr);
}

#[test]
fn next_token_takes_over_and_stays() {
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
fn two_rejected_tokens_are_tried_once_and_explained() {
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
    assert!(line.contains("rejected the Access token") && !line.contains("marked"), "{line}");
    std::fs::write(&token, "marked-fresh\n").expect("written");
    // A source that brought nothing new is left alone for a moment, after which the next refusal asks it again.
    let answer = loop {
        let line = ask(&mut proxy, 2);
        if line.contains("\"result\"") {
            break line;
        }
        assert!(line.contains("rejected the Access token"), "{line}");
    };
    assert!(answer.contains(r#""result":"k-1""#), "{answer}");
    proxy.finish();
}

#[test]
fn sends_token_in_single_header() {
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
fn empty_source_is_named_at_start() {
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
        line.contains("CF_ACCESS_CLIENT_ID_NEXT is set, but CF_ACCESS_CLIENT_SECRET_NEXT is not"),
        "{line}"
    );
}

#[test]
#[cfg(unix)]
fn readable_secret_file_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("headers");
    std::fs::write(&path, "X-Key: marked\n").expect("written");
    let variables = folder.path().join("variables");
    std::fs::write(&variables, "KEY=marked\n").expect("written");
    for (option, path) in [("--header-file", &path), ("--env-file", &variables)] {
        for (mode, warned) in [(0o600, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
            let mut proxy = Proxy::start(&[&server.url, option, path.to_str().expect("UTF-8")]);
            ask(&mut proxy, 1);
            let told = proxy.finish().stderr;
            assert_eq!(
                told.contains("others on this computer can read it"),
                warned,
                "{option} {mode:o}: {told}"
            );
            assert_eq!(told.contains("chmod 600"), warned, "the remedy");
        }
    }
    let tls = secure(false, |_| ());
    let (certificate, key) = (tls.file("client.pem"), tls.file("client.key"));
    for (mode, warned) in [(0o600, false), (0o644, true)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).expect("ours");
        let mut proxy = Proxy::start(&[&server.url, "--client-cert", &certificate, "--client-key", &key]);
        ask(&mut proxy, 1);
        let told = proxy.finish().stderr;
        assert_eq!(told.contains("client.key holds secrets"), warned, "{mode:o}: {told}");
    }
}

/// The variables of a file with a pair and the one that is to take over.
fn pair_and_next(first: &str, next: &str) -> String {
    format!(
        "CF_ACCESS_CLIENT_ID={ID}\nCF_ACCESS_CLIENT_SECRET={first}\nCF_ACCESS_CLIENT_ID_NEXT={ID}\nCF_ACCESS_CLIENT_SECRET_NEXT={next}\n"
    )
}

#[test]
fn concurrent_requests_survive_switch_to_next_token() {
    let (server, time) = guarded(["marked-one", "marked-two"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token.env");
    std::fs::write(&path, pair_and_next("marked-one", "marked-two")).expect("written");
    let mut proxy = Proxy::start(&[&server.url, "-v", "--env-file", path.to_str().expect("UTF-8")]);
    assert!(ask(&mut proxy, 1).contains("\"result\""));
    time.store(1, Ordering::Relaxed);
    for id in 2..60 {
        proxy.send(&format!(r#"{{"id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#));
    }
    for _ in 2..60 {
        let line = proxy.line();
        assert!(line.contains("\"result\""), "none is lost: {line}");
    }
    assert!(ask(&mut proxy, 60).contains("\"result\""));
    let requests = server.requests();
    assert_eq!(requests.last().and_then(secret), Some("marked-two"));
    // Each that was refused was repeated, and only those.
    let refused = requests[1..].iter().filter(|request| secret(request) == Some("marked-one")).count();
    assert_eq!(requests.len(), 60 + refused);
    let ended = proxy.finish();
    let switches = ended.stderr.matches("the next one takes its place").count();
    assert_eq!((switches, ended.stderr.contains("marked")), (1, false), "{}", ended.stderr);
}

#[test]
fn two_invalid_tokens_in_file_end_without_loop() {
    let (server, _) = guarded(["neither", "neither"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token.env");
    std::fs::write(&path, pair_and_next("marked-one", "marked-two")).expect("written");
    let mut proxy = Proxy::start(&[&server.url, "--env-file", path.to_str().expect("UTF-8")]);
    for id in 0..40 {
        proxy.send(&format!(r#"{{"id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#));
    }
    for _ in 0..40 {
        let line = proxy.line();
        assert!(line.contains("\"cause\":\"access_forbidden\"") && !line.contains("marked"), "{line}");
    }
    assert!(server.requests().len() <= 3 * 40, "{}", server.requests().len());
    // And when one of them lives again, nothing has to be restarted.
    std::fs::write(&path, pair_and_next("neither", "marked-two")).expect("written");
    loop {
        let line = ask(&mut proxy, 99);
        if line.contains("\"result\"") {
            break;
        }
        assert!(line.contains("\"cause\":\"access_forbidden\""), "{line}");
    }
    assert_eq!(proxy.finish().code, Some(0));
}

#[test]
fn servers_own_refusal_does_not_switch_service_token() {
    let server = Server::start(|_, reply| reply.answer(401, &[("content-type", "text/plain")], "no"));
    let environment = [
        ("CF_ACCESS_CLIENT_ID", ID),
        ("CF_ACCESS_CLIENT_SECRET", "marked-one"),
        ("CF_ACCESS_CLIENT_ID_NEXT", ID),
        ("CF_ACCESS_CLIENT_SECRET_NEXT", "marked-two"),
    ];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&server.url], &environment);
    assert!(ask(&mut proxy, 1).contains("\"cause\":\"origin_refused\""));
    assert_eq!(server.requests().iter().map(secret).collect::<Vec<_>>(), [Some("marked-one")]);
    proxy.finish();
}

#[test]
fn next_token_without_first_is_a_warning() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let environment = [("CF_ACCESS_CLIENT_ID_NEXT", ID), ("CF_ACCESS_CLIENT_SECRET_NEXT", "marked-two")];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&server.url], &environment);
    assert!(ask(&mut proxy, 1).contains("\"result\""));
    let told = proxy.finish().stderr;
    assert!(
        told.contains("CF_ACCESS_CLIENT_ID_NEXT and CF_ACCESS_CLIENT_SECRET_NEXT are not used"),
        "{told}"
    );
}

#[test]
fn header_file_is_read_again_on_server_refusal() {
    let server = Server::start(|request, reply| match request.header("x-api-key") {
        Some("marked-new") => reply.result(request, "{}"),
        _ => reply.status(401),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("headers");
    std::fs::write(&path, "X-API-Key: marked-old\n").expect("written");
    let mut proxy = Proxy::start(&[&server.url, "--header-file", path.to_str().expect("UTF-8")]);
    assert!(ask(&mut proxy, 1).contains("\"status\":401"));
    std::fs::write(&path, "X-API-Key: marked-new\n").expect("written");
    while !ask(&mut proxy, 2).contains("\"result\"") {}
    proxy.finish();
}

/// A JSON Web Token that runs out so many seconds from now.
fn token(name: &str, seconds: i64) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    #[expect(clippy::disallowed_methods, reason = "tokens end by the wall clock")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("later").as_secs();
    let end = i64::try_from(now).expect("a time") + seconds;
    format!("e30.{}.{name}", BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{end}}}"#)))
}

#[test]
#[cfg(unix)]
fn command_is_run_again_before_token_expires() {
    for form in ["command", "header", "file", "env"] {
        let server = Server::start(|request, reply| reply.result(request, "{}"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("value");
        let write = |token: &str| {
            let text = match form {
                "file" => format!("Authorization: Bearer {token}\n"),
                "env" => format!("TOKEN={token}\n"),
                "header" => format!("Bearer {token}\n"),
                _ => token.to_owned(),
            };
            std::fs::write(&path, text).expect("written");
        };
        // What is not near its end is not asked for again, whatever the file holds by then.
        for (seconds, expected) in [(3_600, "marked-one"), (2, "marked-two")] {
            write(&token("marked-one", seconds));
            let file = path.to_str().expect("UTF-8");
            let (command, from) = (format!("cat '{file}'"), format!("Authorization: cat '{file}'"));
            let arguments = match form {
                "command" => vec!["--access-token-command", &command],
                "header" => vec!["--header-from", &from],
                "file" => vec!["--header-file", file],
                _ => vec!["--env-file", file, "--header", "Authorization: Bearer ${TOKEN}"],
            };
            let mut proxy = Proxy::start(&[&[server.url.as_str(), "-v"], &arguments[..]].concat());
            // The first answer tells that it has read the value of its start.
            proxy.ask(r#"{"id":0,"method":"first"}"#);
            write(&token("marked-two", 3_600));
            let reached = |title: &str| {
                let last = server.requests().into_iter().rfind(|request| request.title() == title);
                let last = last.expect("a request");
                let value = last.header("cf-access-token").or_else(|| last.header("authorization"));
                value.expect("a value").to_owned()
            };
            loop {
                ask(&mut proxy, 1);
                if reached("tools/call").ends_with(expected) {
                    break;
                }
                // A source is left alone for a moment after it was asked.
                assert_eq!(expected, "marked-two", "{form}");
            }
            let told = proxy.finish().stderr;
            assert_eq!(told.contains("about to expire"), expected == "marked-two", "{form}: {told}");
            assert!(!told.contains("marked"), "{form}: {told}");
        }
    }
}

#[test]
#[cfg(unix)]
fn command_without_output_is_reported_and_loses_nothing() {
    let server = Server::start(|_, reply| reply.answer(403, &[("cf-access-aud", "0123456789abcdef")], ""));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "marked-stale\n").expect("written");
    let runs = folder.path().join("runs");
    let command = format!("sh -c 'echo x >> {}; cat {}'", runs.display(), path.display());
    let mut proxy = Proxy::start(&[&server.url, "--access-token-command", &command]);
    assert!(ask(&mut proxy, 1).contains("\"cause\":\"access_token\""));
    // As cloudflared does it: nothing on stdout, and exit code 0.
    std::fs::write(&path, "").expect("written");
    let count = || std::fs::read_to_string(&runs).expect("it ran").lines().count();
    let before = count();
    while count() < before + 2 {
        assert!(ask(&mut proxy, 2).contains("\"cause\":\"access_token\""));
    }
    let ended = proxy.finish();
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("the command of --access-token-command printed nothing"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("marked"), "{}", ended.stderr);
}

#[test]
#[cfg(unix)]
fn command_is_run_once_for_all_rejected_requests() {
    let server = Server::start(|request, reply| match request.header("cf-access-token") {
        Some("marked-2") => reply.result(request, "{}"),
        _ if request.title() == "first" => reply.result(request, "{}"),
        _ => reply.answer(401, &[("www-authenticate", "Cloudflare-Access")], ""),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let runs = folder.path().join("runs");
    // It prints how often it was run.
    let command = format!("sh -c 'echo x >> {0}; set -- $(wc -l < {0}); echo marked-$1'", runs.display());
    let mut proxy = Proxy::start(&[&server.url, "-v", "--access-token-command", &command]);
    proxy.ask(r#"{"id":0,"method":"first"}"#);
    for id in 1..40 {
        proxy.send(&format!(r#"{{"id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#));
    }
    for _ in 1..40 {
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{line}");
    }
    assert_eq!(std::fs::read_to_string(&runs).expect("it ran").lines().count(), 2);
    assert!(!proxy.finish().stderr.contains("marked"));
}

#[test]
fn access_credentials_come_from_every_source() {
    let server = Server::start(|request, reply| {
        let value = |name| request.header(name).unwrap_or("-").to_owned();
        let seen = format!(
            "{} {} {}",
            value("cf-access-token"),
            value("authorization"),
            value("cf-access-client-id")
        );
        reply.result(request, &format!("{seen:?}"));
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let headers = file("headers", "Cf-Access-Token: marked-linked\n");
    let bearer = file("bearer", "authorization: Bearer ${T}\n");
    let variables = file("variables", "T='marked-linked'\n");
    let linked = "marked-linked - -";
    let saas = "- Bearer marked-linked -";
    let mut cases = vec![
        (vec!["--header", "Cf-Access-Token: ${T}"], vec![("T", "marked-linked")], linked),
        (vec!["--header-file", headers.as_str()], vec![], linked),
        (vec!["--env-file", &variables, "--header", "Cf-Access-Token:${T}"], vec![], linked),
        (vec!["--header", "Authorization: Bearer ${T}"], vec![("T", "marked-linked")], saas),
        (vec!["--header-file", &bearer, "--env-file", &variables], vec![], saas),
    ];
    if cfg!(unix) {
        cases.push((vec!["--access-token-command", "printf marked-linked"], vec![], linked));
        cases.push((vec!["--header-from", "Cf-Access-Token: printf marked-linked"], vec![], linked));
        cases.push((vec!["--header-from", "Authorization: printf 'Bearer marked-linked'"], vec![], saas));
    }
    for (arguments, environment, expected) in cases {
        let arguments = [&[server.url.as_str(), "-vvv"], &arguments[..]].concat();
        let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &environment);
        let line = ask(&mut proxy, 1);
        assert!(line.contains(expected), "{arguments:?}: {line}");
        let told = proxy.finish().stderr;
        assert!(!told.contains("marked-linked"), "{arguments:?}: {told}");
    }
}

#[test]
fn single_header_token_rotates_like_the_pair() {
    let server = Server::start(|request, reply| {
        assert!(
            request.header("cf-access-client-id").is_none()
                && request.header("cf-access-client-secret").is_none()
        );
        match request.header("x-token") {
            Some(value) if value.contains(r#""cf-access-client-secret":"marked-two""#) => {
                reply.result(request, value)
            }
            _ => reply.answer(403, &[("cf-access-aud", "0123456789abcdef")], ""),
        }
    });
    let pair = [("CF_ACCESS_CLIENT_ID", ID), ("CF_ACCESS_CLIENT_SECRET", "marked-one")];
    let next = [("CF_ACCESS_CLIENT_ID_NEXT", ID), ("CF_ACCESS_CLIENT_SECRET_NEXT", "marked-two")];
    let written =
        format!(r#"X-Token: {{"CF-Access-Client-Id": "{ID}", "CF-Access-Client-Secret": "marked-two"}}"#);
    let wrong =
        format!(r#"X-Token: {{"cf-access-client-id": "{ID}", "cf-access-client-secret": "marked-three"}}"#);
    let both = [pair, next].concat();
    for (arguments, environment, expected) in [
        (["--access-header", "X-Token"], &both[..], r#""result""#),
        (["--header", &written], &pair, r#""result""#),
        (["--header", &wrong], &both, r#""result""#),
        (["--header", &wrong], &pair, "refused the service token 0123456789abcdef"),
        (["--access-header", "X-Token"], &pair, "refused the service token 0123456789abcdef"),
    ] {
        let mut proxy =
            Proxy::start_with(Stdin::Pipes, &[&server.url, arguments[0], arguments[1]], environment);
        let line = ask(&mut proxy, 1);
        assert!(line.contains(expected) && !line.contains("marked-three"), "{arguments:?}: {line}");
        assert!(!proxy.finish().stderr.contains("marked"));
    }
}

#[test]
fn unusable_single_header_is_an_error() {
    let pair = [("CF_ACCESS_CLIENT_ID", ID), ("CF_ACCESS_CLIENT_SECRET", "marked-one")];
    for (arguments, environment, expected) in [
        (vec!["--access-header", "X-Token"], &[][..], "there is no service token"),
        (vec!["--access-header", "X-Token", "--no-access"], &pair, "there is no service token"),
        (
            vec!["--access-header", "Content-Type"],
            &pair,
            "not the name of a header that a token can travel in",
        ),
        (
            vec!["--access-header", "Authorization", "--header", "Authorization: Bearer marked"],
            &pair,
            "the header authorization is to carry the service token, but has another value as well",
        ),
        (
            vec!["--header", r#"X: {"cf-access-client-id":"marked.access"}"#],
            &[],
            "one of its halves is missing",
        ),
        (
            vec!["--header", r#"X: "cf-access-client-id" marked"#],
            &[],
            "it is not a JSON object of two strings",
        ),
    ] {
        let arguments = [&["https://mcp.example.test/mcp"], &arguments[..]].concat();
        let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, environment);
        let line = ask(&mut proxy, 1);
        assert!(line.contains(expected) && !line.contains("marked"), "{arguments:?}: {line}");
        assert_eq!(proxy.finish().code, Some(2));
    }
}

#[test]
fn invalid_file_line_is_named_and_dollar_kept() {
    let server = Server::start(|request, reply| {
        let key = format!("{:?}", request.header("x-key").unwrap_or_default());
        reply.result(request, &key);
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token.env");
    let file = path.to_str().expect("UTF-8");
    let arguments = [server.url.as_str(), "--env-file", file, "--header", "X-Key: ${KEY}"];
    std::fs::write(&path, "# ours\nKEY=pa$$wo$rd\n").expect("written");
    let mut proxy = Proxy::start(&arguments);
    assert!(ask(&mut proxy, 1).contains("pa$$wo$rd"));
    proxy.finish();
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &[("KEY", "environment")]);
    assert!(ask(&mut proxy, 1).contains("environment"), "the environment counts before the file");
    proxy.finish();
    std::fs::write(&path, "# ours\nKEY=a\nX-Key: marked\n").expect("written");
    let mut proxy = Proxy::start(&arguments);
    let line = ask(&mut proxy, 1);
    assert!(line.contains("line 3 is not NAME=value") && !line.contains("marked"), "{line}");
    proxy.finish();
}
