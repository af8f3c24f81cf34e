//! Authorization servers that lie, and documents that lead astray: each is refused with words that say so, and nobody is
//! sent anywhere.

use super::support::authority::{Authority, Set, value, visit};
use super::support::server::Server;
use super::{Home, call, page};

#[test]
fn refuses_misleading_documents_before_page_opens() {
    let metadata = |name: &str, value: &str| {
        let right = Set::default().metadata;
        let begin = right.find(&format!("\"{name}\":")).expect("a member");
        let end = right[begin..].find("\",").map_or(right.len(), |at| begin + at + 1);
        format!("{}\"{name}\":{value}{}", &right[..begin], &right[end..])
    };
    let large = format!("\"x\":\"{}\"", "x".repeat(300 * 1024));
    for (set, expected) in [
        (
            Set { metadata: metadata("issuer", "\"https://evil.example\""), ..Set::default() },
            "names the issuer https://evil.example",
        ),
        (Set { metadata: metadata("issuer", "\"BASE//\""), ..Set::default() }, "names the issuer"),
        (Set { metadata: metadata("issuer", "\"BASE.evil\""), ..Set::default() }, "names the issuer"),
        (Set { metadata: metadata("issuer", "\"BASE/{tenantid}\""), ..Set::default() }, "names the issuer"),
        (
            Set { metadata: metadata("authorization_endpoint", "\"file:///etc/passwd\""), ..Set::default() },
            "the authorization_endpoint of",
        ),
        (
            Set { metadata: metadata("authorization_endpoint", "\"javascript:alert(1)\""), ..Set::default() },
            "is not https",
        ),
        (
            Set {
                metadata: metadata("authorization_endpoint", "\"http://evil.example/x\""),
                ..Set::default()
            },
            "is not https",
        ),
        (
            Set { metadata: metadata("token_endpoint", "\"http://evil.example/x\""), ..Set::default() },
            "the token_endpoint of",
        ),
        (
            Set { metadata: metadata("code_challenge_methods_supported", "[\"plain\"]"), ..Set::default() },
            "does not offer PKCE with S256",
        ),
        (Set { metadata: large.clone(), ..Set::default() }, "more than 256 KiB"),
        (Set { resource: large, ..Set::default() }, "more than 256 KiB"),
        (
            Set {
                resource: r#""resource":"BASE/other","authorization_servers":["BASE"]"#.to_owned(),
                ..Set::default()
            },
            "is about another server",
        ),
        (
            Set {
                resource: r#""resource":"BASE/mcp","authorization_servers":["ftp://x"]"#.to_owned(),
                ..Set::default()
            },
            "whose address is not https",
        ),
        (
            Set {
                resource: r#""resource":"BASE/mcp","authorization_servers":[]"#.to_owned(),
                ..Set::default()
            },
            "names no authorization server",
        ),
        // An address that cannot be used is told where nothing is found elsewhere.
        (
            Set {
                challenge: "Bearer resource_metadata=\"file:///etc/passwd\"".to_owned(),
                resource: "\"x\":[".to_owned(),
                metadata: "\"x\":[".to_owned(),
                ..Set::default()
            },
            "names an address for its metadata that is not https",
        ),
        (Set { metadata: String::new(), ..Set::default() }, "does not describe itself"),
        // A server that says nothing of itself, and describes somebody else's authorization server at its own addresses.
        (
            Set {
                challenge: "Bearer".to_owned(),
                resource: "\"x\":[".to_owned(),
                metadata: metadata("issuer", "\"https://good.example\""),
                ..Set::default()
            },
            "describes the authorization server https://good.example with addresses that are not of it",
        ),
        (Set { registration: Some((403, "no")), ..Set::default() }, "answered 403 instead of a registration"),
    ] {
        let shown = format!("{set:?}").chars().take(300).collect::<String>();
        let (home, authority) = (Home::new(), Authority::start(set));
        let mut proxy = home.start(&authority, &[]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains("\"cause\":\"sign_in\""), "{shown}: {line}");
        // It is not begun again for each request.
        let before = authority.server.requests().len();
        assert!(proxy.ask(&call(2)).contains(expected));
        assert_eq!(authority.server.requests().len(), before + 1, "{shown}");
        let told = proxy.finish().stderr;
        assert!(!told.contains("sign in at"), "{told}");
        assert_eq!(authority.count("/token"), 0);
    }
}

#[test]
fn an_answer_of_another_issuer_is_consumed_by_nobody() {
    for (back, announced) in [
        ("code=CODE&state=STATE&iss=https%3A%2F%2Fevil.example", false),
        ("code=CODE&state=STATE&iss=BASE%2F%2F", false),
        ("code=CODE&state=STATE&iss=BASE.evil", false),
        ("code=CODE&state=STATE", true),
        (
            "error=access_denied&error_description=marked-words&state=STATE&iss=https%3A%2F%2Fevil.example",
            false,
        ),
    ] {
        let set = Set { back: back.to_owned(), ..Set::default() };
        let (home, authority) = (Home::new(), Authority::start(set));
        if announced {
            authority.change(|set| {
                set.metadata.push_str(r#","authorization_response_iss_parameter_supported":true"#)
            });
        }
        let mut proxy = home.start(&authority, &[]);
        proxy.send(&call(1));
        let shown = visit(&page(&proxy, 1));
        let line = proxy.line();
        for text in [&shown, &line] {
            assert!(
                text.contains("as its issuer, not http://127.0.0.1") && !text.contains("marked-words"),
                "{text}"
            );
        }
        assert_eq!(authority.count("/token"), 0);
        proxy.finish();
    }
}

#[test]
fn denied_sign_in_is_not_repeated_at_once() {
    let back = "error=access_denied&error_description=%3Cscript%3Eno&state=STATE";
    let (home, authority) = (Home::new(), Authority::start(Set { back: back.to_owned(), ..Set::default() }));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let shown = visit(&page(&proxy, 1));
    assert!(shown.contains("access_denied") && shown.contains("&lt;script&gt;no"), "{shown}");
    assert!(proxy.line().contains("did not sign you in"));
    assert!(proxy.ask(&call(2)).contains("did not sign you in"));
    assert_eq!(authority.count("/register"), 1);
    proxy.finish();
}

#[test]
fn new_token_that_is_rejected_ends_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(Set { accepts: false, ..Set::default() }));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(line.contains("does not accept the token that one has just signed in for"), "{line}");
    assert_eq!((authority.count("/token"), authority.count("/mcp")), (1, 2));
    let told = proxy.finish().stderr;
    assert_eq!(told.matches("sign in at ").count(), 1, "{told}");
}

#[test]
fn missing_api_key_leads_to_no_sign_in() {
    let server = Server::start(|request, reply| match request.path.as_str() {
        "/mcp" => reply.answer(401, &[("content-type", "text/plain")], "a key, please"),
        _ => reply.status(404),
    });
    let home = Home::new();
    let mut proxy = home.start_at(&server.url, &[], &[]);
    assert!(proxy.ask(&call(1)).contains("answered 401 Unauthorized: a key, please"));
    let asked = server.requests().len();
    assert!(proxy.ask(&call(2)).contains("answered 401 Unauthorized: a key, please"));
    assert_eq!(server.requests().len(), asked + 1, "it was looked for once");
    assert!(!proxy.finish().stderr.contains("sign in at"));
}

const METADATA: &str = "/.well-known/oauth-authorization-server";
const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";

/// A whole answer, byte for byte.
fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Four mebibytes of one letter, by gzip: a literal, and then "the same 258 times" again and again (RFC 1951).
fn bomb() -> Vec<u8> {
    // Gzip's head; then one block, the last, with the codes that need no table; the letter x.
    let mut bits: Vec<bool> = vec![true, true, false];
    let mut push = |code: u16, length: u32| bits.extend((0..length).rev().map(|at| code >> at & 1 == 1));
    push(0xa8, 8);
    for _ in 0..4 * 1024 * 1024 / 258 {
        push(0b1100_0101, 8);
        push(0, 5);
    }
    push(0, 7);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for chunk in bits.chunks(8) {
        bytes.push(chunk.iter().enumerate().map(|(at, bit)| u8::from(*bit) << at).sum());
    }
    bytes
}

#[test]
fn refuses_misleading_or_unusable_responses() {
    let other = Server::start(|_, reply| reply.status(404));
    let elsewhere = format!("http://{}/x?marked", other.address);
    let to = |status, target: &str| answer(status, &format!("location: {target}\r\n"), b"");
    let deep = format!("{{\"issuer\":{}", "[".repeat(100_000));
    let gzip = "content-encoding: gzip\r\n";
    for (at, raw, expected) in [
        (METADATA, to(302, "file:///etc/passwd"), "a redirect to file:, which is not followed"),
        (METADATA, to(302, "javascript:alert(1)"), "a redirect to javascript:, which"),
        (METADATA, to(307, &elsewhere), "a redirect to http://127.0.0.1, which"),
        (METADATA, to(301, "http://169.254.169.254/x"), "a redirect to http://169.254.169.254, which"),
        (METADATA, to(302, METADATA), "redirects without end"),
        (METADATA, answer(200, "", b"<html>"), "does not describe itself"),
        (METADATA, answer(200, "", deep.as_bytes()), "does not describe itself"),
        (METADATA, answer(200, "", b"\xff\xfe{}"), "does not describe itself"),
        (METADATA, answer(200, gzip, &bomb()), "more than 256 KiB"),
        (METADATA, answer(200, gzip, b"not gzip"), "cannot be reached"),
        (METADATA, b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\n{".to_vec(), "cannot be reached"),
        (METADATA, b"nonsense\r\n\r\n".to_vec(), "cannot be reached"),
        (METADATA, Vec::new(), "cannot be reached"),
        (RESOURCE, to(302, RESOURCE), "redirects without end"),
        (RESOURCE, answer(200, gzip, &bomb()), "more than 256 KiB"),
        ("/register", to(307, &elsewhere), "a redirect to http://127.0.0.1, which is not followed"),
        ("/register", to(302, "file:///etc/passwd"), "a redirect to file:, which"),
        ("/register", answer(201, "", b"{\"client_secret\":\"s\"}"), "instead of a registration"),
        ("/register", answer(201, gzip, &bomb()), "more than 256 KiB"),
    ] {
        let shown = format!("{at} {}", String::from_utf8_lossy(&raw[..raw.len().min(120)]));
        let set = Set { raw: Some((at, raw)), ..Set::default() };
        let (home, authority) = (Home::new(), Authority::start(set));
        let mut proxy = home.start(&authority, &["-vvv"]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains("\"cause\":\"sign_in\""), "{shown}: {line}");
        assert!(!line.contains("marked") && line.contains("advice"), "{line}");
        assert!(!proxy.finish().stderr.contains("sign in at"), "{shown}");
    }
    assert_eq!(other.requests().len(), 0);
}

#[test]
fn refuses_unusable_tokens_and_stores_nothing() {
    let other = Server::start(|_, reply| reply.status(404));
    let redirect = format!("location: http://{}/x\r\n", other.address);
    let json = |body: &str| answer(200, "content-type: application/json\r\n", body.as_bytes());
    for (raw, expected) in [
        (json(r#"{"access_token":"marked-1","token_type":"DPoP"}"#), "with a token of type DPoP, not Bearer"),
        (
            json(r#"{"access_token":"marked-1","token_type":"mac\r\nX-Evil: 1"}"#),
            "a token of type mac  X-Evil",
        ),
        (json(r#"{"access_token":"marked-1\r\nX-Evil: 1","token_type":"Bearer"}"#), "without a usable token"),
        (json(r#"{"access_token":"marked-1\u0000","token_type":"Bearer"}"#), "without a usable token"),
        (json(r#"{"access_token":{"x":1},"token_type":"Bearer"}"#), "without a usable token"),
        (json("[]"), "without a usable token"),
        (answer(200, "", b"<html>marked</html>"), "without a usable token"),
        (answer(307, &redirect, b""), "a redirect to http://127.0.0.1, which is not followed"),
        (answer(302, "location: javascript:alert(1)\r\n", b""), "a redirect to javascript:, which"),
        (answer(500, "", b"marked"), "answered 500 instead of a token"),
        (answer(200, "content-encoding: gzip\r\n", &bomb()), "more than 256 KiB"),
        (json(r#"{"error":"invalid_grant"}"#), "gave no token: invalid_grant"),
        (
            answer(400, "", br#"{"error":"invalid_grant","error_description":"\u001b[2Jno"}"#),
            "invalid_grant ( [2Jno)",
        ),
        (Vec::new(), "cannot be reached"),
    ] {
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(150)]).into_owned();
        let set = Set { raw: Some(("/token", raw)), ..Set::default() };
        let (home, authority) = (Home::new(), Authority::start(set));
        let mut proxy = home.start(&authority, &["-vvv"]);
        proxy.send(&call(1));
        let told = visit(&page(&proxy, 1));
        let line = proxy.line();
        assert!(line.contains(expected) && line.contains("\"cause\":\"sign_in\""), "{shown}: {line}");
        assert!(told.contains("Not signed in") && !told.contains("marked"), "{shown}: {told}");
        assert!(!line.contains("marked") && !home.kept().contains("\"tokens\""), "{shown}: {line}");
        let told = proxy.finish().stderr;
        assert!(!told.contains("marked") && !told.contains('\u{1b}'), "{shown}: {told}");
        assert_eq!(authority.count("/mcp"), 1, "{shown}");
    }
    assert_eq!(other.requests().len(), 0);
}

#[test]
fn refuses_code_of_another_sign_in() {
    let home = Home::new();
    let (one, two) = (Authority::start(Set::default()), Authority::start(Set::default()));
    let (mut first, mut second) = (home.start(&one, &[]), home.start(&two, &[]));
    first.send(&call(1));
    second.send(&call(1));
    let (at_first, at_second) = (page(&first, 1), page(&second, 1));
    let state = |address: &str| value(address, "state").expect("a state");
    let back = value(at_second.split_once('?').expect("a query").1, "redirect_uri").expect("a way back");
    let shown = visit(&format!("{back}?code=CODE&state={}", state(&at_first)));
    assert!(shown.contains("not the answer to the sign-in that is under way"), "{shown}");
    // Named twice, it is no state either.
    let shown = visit(&format!("{back}?code=CODE&state={}&state={}", state(&at_second), state(&at_first)));
    assert!(shown.contains("not the answer"), "{shown}");
    assert_eq!(two.count("/token"), 0);
    for (address, proxy) in [(&at_second, &mut second), (&at_first, &mut first)] {
        assert!(visit(address).contains("You are signed in"));
        assert!(proxy.line().contains("\"result\""));
    }
    first.finish();
    second.finish();
}

#[test]
fn logs_hold_no_secret_at_any_level() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    authority.change(|set| set.back = "code=marked-code&state=STATE".to_owned());
    let registered = r#"{"client_id":"a-client","client_secret":"marked-client-secret"}"#;
    authority.change(|set| set.registration = Some((201, registered)));
    let (log, record) = (home.path().join("log"), home.path().join("record"));
    let arguments =
        ["-vvvv", "--log-file", log.to_str().expect("UTF-8"), "--record", record.to_str().expect("UTF-8")];
    let mut proxy = home.start(&authority, &arguments);
    proxy.send(&call(1));
    let mut shown = visit(&page(&proxy, 1));
    shown.push_str(&proxy.line());
    authority.forget(false);
    shown.push_str(&proxy.ask(&call(2)));
    // A server that says again what it was told.
    authority.forget(false);
    let echo = r#"{"error":"server_error","error_description":"marked-refresh-2 of marked-client-secret"}"#;
    authority.change(|set| set.refresh = Some((503, echo)));
    shown.push_str(&proxy.ask(&call(3)));
    authority.forget(true);
    authority.change(|set| set.refresh = None);
    proxy.send(&call(4));
    page(&proxy, 2);
    let tokens = authority.server.requests().into_iter().filter(|request| request.path == "/token");
    let verifiers: Vec<String> = tokens.filter_map(|request| value(&request.body, "code_verifier")).collect();
    shown.push_str(&proxy.finish().stderr);
    for path in [&log, &record] {
        shown.push_str(&std::fs::read_to_string(path).expect("written"));
    }
    assert!(!shown.contains("marked"), "{}", &shown[shown.find("marked").unwrap_or(0).saturating_sub(300)..]);
    assert!(verifiers.len() == 1 && !shown.contains(&verifiers[0]));
}

#[test]
fn slow_authorization_server_delays_no_client() {
    for path in [RESOURCE, METADATA, "/register"] {
        let set = Set { held: Some(path), ..Set::default() };
        let (home, authority) = (Home::new(), Authority::start(set));
        let mut proxy = home.start(&authority, &["--auth-timeout", "1"]);
        let line = proxy.ask(&call(1));
        assert!(line.contains("takes longer than a client waits; it continues"), "{path}: {line}");
        proxy.send(&call(2));
        authority.change(|set| set.held = None);
        assert!(visit(&page(&proxy, 1)).contains("You are signed in"), "{path}");
        assert!(proxy.line().contains("\"result\""), "{path}");
        proxy.finish();
        assert_eq!((authority.count(path), authority.count("/token")), (1, 1), "{path}");
    }
}

#[test]
fn a_document_may_have_moved_within_its_origin() {
    let moved = answer(307, "location: /elsewhere/x\r\n", b"");
    let set = Set { raw: Some((RESOURCE, moved)), ..Set::default() };
    let (home, authority) = (Home::new(), Authority::start(set));
    authority.change(|set| set.challenge = set.challenge.replace("BASE/.well", "/.well"));
    let mut proxy = home.start(&authority, &[]);
    // What is not there either is looked for where it has to be, and then at the root.
    proxy.send(&call(1));
    assert!(visit(&page(&proxy, 1)).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    let asked: Vec<String> = authority.server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(asked[1..3], [RESOURCE.to_owned(), "/elsewhere/x".to_owned()], "{asked:?}");
}
