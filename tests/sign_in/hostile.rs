//! Authorization servers that lie, and documents that lead astray: each is refused with words that say so, and nobody is
//! sent anywhere.

use super::support::authority::{Authority, Set, visit};
use super::support::server::Server;
use super::{Home, call, page};

#[test]
fn documents_that_lead_astray_are_refused_before_anybody_is_sent_anywhere() {
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
        (Set { metadata: metadata("issuer", "\"BASE/\""), ..Set::default() }, "names the issuer"),
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
            "names nobody who does that",
        ),
        (
            Set { challenge: "Bearer resource_metadata=\"file:///etc/passwd\"".to_owned(), ..Set::default() },
            "names an address for its metadata that is not https",
        ),
        (Set { metadata: String::new(), ..Set::default() }, "does not describe itself"),
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
        ("code=CODE&state=STATE&iss=BASE%2F", false),
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
fn a_person_who_says_no_is_not_asked_again_at_once_and_foreign_words_are_only_words() {
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
fn a_token_that_the_server_does_not_accept_is_told_and_nobody_goes_round_in_circles() {
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
fn a_key_that_is_missing_is_no_reason_to_sign_in() {
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
