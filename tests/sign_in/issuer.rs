//! Another authorization server than before: what proves a client is sent there only where an option accepts it.

use super::support::authority::{Authority, Set, visit};
use super::support::proxy::Proxy;
use super::{Home, call, page};

const CLIENT: &str = r#"{"client_id":"a","client_secret":"marked-secret"}"#;

/// A server that names this authorization server.
fn name(authority: &Authority, other: &Authority) {
    let base = format!("http://{}", other.server.address);
    authority
        .change(|set| set.resource = format!(r#""resource":"BASE/mcp","authorization_servers":["{base}"]"#));
}

/// Two authorization servers, the first of which is its server's own, whose tokens are all accepted there.
fn authorities() -> (Authority, Authority, String) {
    let (one, other) = (Authority::start(Set::default()), Authority::start(Set::default()));
    for count in 1..4 {
        one.knows(&format!("marked-access-{count}"), "marked");
    }
    let base = format!("http://{}", other.server.address);
    (one, other, base)
}

fn is_refused(line: &str, told: &str, one: &Authority, base: &str) {
    let before = format!("http://{}", one.server.address);
    for part in ["another authorization server", base, &before, "--oauth-issuer"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!told.contains("sign in at") && !told.contains("marked"), "{told}");
}

#[test]
fn client_credentials_go_to_no_other_issuer_unless_named() {
    let (home, (one, other, base)) = (Home::new(), authorities());
    let start = |more: &[&str]| {
        let arguments = ["--client-credentials", "--static-oauth-client-info", CLIENT];
        home.start(&one, &[&arguments[..], more].concat())
    };
    let works = |mut proxy: Proxy| {
        let line = proxy.ask(&call(1));
        assert!(line.contains("\"result\""), "{line}");
        proxy.finish();
    };
    works(start(&[]));
    name(&one, &other);
    one.forget(true);
    let mut proxy = start(&[]);
    let line = proxy.ask(&call(1));
    is_refused(&line, &proxy.finish().stderr, &one, &base);
    assert!(line.contains("--token-endpoint"), "{line}");
    // Neither does signing out and in by hand take it there.
    for command in ["logout", "login"] {
        let arguments =
            [command, &one.server.url, "--client-credentials", "--static-oauth-client-info", CLIENT];
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
            .args(arguments)
            .env_clear()
            .envs(home.environment(&[]))
            .output()
            .expect("it starts");
        let told = String::from_utf8_lossy(&program.stderr).into_owned();
        assert_eq!(told.contains("another authorization server"), command == "login", "{told}");
    }
    assert!(other.server.requests().iter().all(|request| !request.path.starts_with("/token")));
    // The user may accept it, by either option, and it stays accepted.
    one.knows("marked-access-1", "marked");
    works(start(&["--oauth-issuer", &format!("{base}/")]));
    assert_eq!(other.count("/token"), 1);
    works(start(&[]));
    one.forget(true);
    one.knows("marked-access-2", "marked");
    works(start(&["--token-endpoint", &format!("{base}/token")]));
    assert_eq!(other.count("/token"), 2);
}

#[test]
fn named_issuer_is_looked_for_behind_a_bare_refusal() {
    let (home, (one, other, base)) = (Home::new(), authorities());
    let arguments = ["--client-credentials", "--static-oauth-client-info", CLIENT];
    let mut proxy = home.start(&one, &arguments);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    proxy.finish();
    name(&one, &other);
    one.change(|set| set.challenge = String::new());
    one.forget(true);
    one.knows("marked-access-1", "marked");
    let mut proxy = home.start(&one, &[&arguments[..], &["--oauth-issuer", &base]].concat());
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"result\""), "{line}");
    assert_eq!(other.count("/token"), 1);
    proxy.finish();
}

#[test]
fn page_of_another_issuer_stays_closed_for_static_client() {
    for arguments in [
        &["--static-oauth-client-info", CLIENT][..],
        &["--static-oauth-client-info", CLIENT, "--device-code"],
    ] {
        let (home, (one, other, base)) = (Home::new(), authorities());
        for authority in [&one, &other] {
            authority
                .change(|set| set.metadata.push_str(r#","device_authorization_endpoint":"BASE/device""#));
        }
        let mut proxy = home.start(&one, arguments);
        proxy.send(&call(1));
        if arguments.len() == 2 {
            visit(&page(&proxy, 1));
        }
        assert!(proxy.line().contains("\"result\""), "{arguments:?}");
        proxy.finish();
        name(&one, &other);
        one.forget(true);
        let mut proxy = home.start(&one, arguments);
        let line = proxy.ask(&call(1));
        is_refused(&line, &proxy.finish().stderr, &one, &base);
        assert_eq!((other.count("/token"), other.count("/device"), other.count("/authorize")), (0, 0, 0));
    }
}

#[test]
fn named_issuer_is_the_only_one_signed_in_at() {
    let (home, (one, other, base)) = (Home::new(), authorities());
    let mut proxy = home.start(&one, &["--oauth-issuer", &base]);
    let line = proxy.ask(&call(1));
    assert!(line.contains(&format!("--oauth-issuer names {base}")), "{line}");
    assert!(!proxy.finish().stderr.contains("sign in at"));
    assert_eq!((one.count("/register"), one.count("/token")), (0, 0));
    // Of several it is the one that counts.
    let own = format!("http://{}", one.server.address);
    one.change(|set| {
        set.resource = format!(r#""resource":"BASE/mcp","authorization_servers":["{own}","{base}"]"#)
    });
    let mut proxy = home.start(&one, &["--oauth-issuer", &base]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    assert!(address.starts_with(&base), "{address}");
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!(other.count("/token"), 1);
    // Tokens of another are not used.
    let mut proxy = home.start(&one, &["--oauth-issuer", &own, "--auth-timeout", "1"]);
    assert!(proxy.ask(&call(1)).contains("requires a sign-in"));
    proxy.finish();
    for issuer in
        ["http://as.example", "as.example", "https://u:marked@as.example", "https://as.example/?marked"]
    {
        let mut proxy = home.start(&one, &["--oauth-issuer", issuer]);
        let line = proxy.ask(&call(1));
        assert!(line.contains("--oauth-issuer is not an https URL") && !line.contains("marked"), "{line}");
        proxy.finish();
    }
}
