//! What options and other credentials do to a sign-in.

use std::os::unix::fs::PermissionsExt;

use super::support::authority::{Authority, Set, value, visit};
use super::{Home, call, page};

#[test]
fn whoever_has_written_a_header_that_proves_who_asks_is_not_asked_to_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    for arguments in [
        &["--header", "Authorization: Bearer marked"][..],
        &["--header", "X-API-Key: marked-key"],
        &["--header", "Cf-Access-Token: marked-token"],
        &["--auth", "none"],
    ] {
        let mut proxy = home.start(&authority, arguments);
        let line = proxy.ask(&call(1));
        assert!(line.contains("\"status\":401") && !line.contains("sign_in"), "{arguments:?}: {line}");
        assert!(!proxy.finish().stderr.contains("sign in at"));
    }
    assert_eq!(authority.count("/register"), 0);
}

#[test]
fn asked_for_it_goes_before_a_header_and_headers_stay_at_home() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let other = Authority::start(Set::default());
    let elsewhere = format!("http://{}", other.server.address);
    authority.change(|set| {
        set.resource = format!(r#""resource":"BASE/mcp","authorization_servers":["{elsewhere}"]"#)
    });
    let arguments = [
        "--auth",
        "oauth",
        "--header",
        "Authorization: Bearer marked",
        "--header",
        "X-Tenant: marked-tenant",
    ];
    let pair = [
        ("CF_ACCESS_CLIENT_ID", "0123456789abcdef0123456789abcdef.access"),
        ("CF_ACCESS_CLIENT_SECRET", "marked-secret"),
    ];
    let mut proxy = home.start_at(&authority.server.url, &arguments, &pair);
    proxy.send(&call(1));
    // Nobody there gives tokens that are accepted here; what travels is what is looked at.
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("does not accept the token"));
    proxy.finish();
    let last = authority.last("/mcp");
    assert_eq!(last.header("authorization"), Some("Bearer marked-access-1"));
    let document = authority.last("/.well-known/oauth-protected-resource/mcp");
    for request in [&last, &document] {
        assert_eq!(request.header("cf-access-client-secret"), Some("marked-secret"));
        assert_eq!(request.header("x-tenant"), Some("marked-tenant"));
    }
    for request in other.server.requests().iter().filter(|request| !request.path.starts_with("/authorize")) {
        assert!(!format!("{:?}", request.headers).contains("marked"), "{request:?}");
    }
}

#[test]
fn what_is_written_of_a_client_is_what_is_sent() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let client = r#"{"client_id":"by-hand","client_secret":"${SECRET}"}"#;
    let arguments = [
        "--static-oauth-client-info",
        client,
        "--static-oauth-client-metadata",
        r#"{"scope":"mine"}"#,
        "--resource",
        "https://named.example/",
        "--authorize-param",
        "audience=x",
        "--callback-path",
        "/back",
        "--auth-success-url",
        "https://example.com/done",
    ];
    let mut proxy = home.start_at(&authority.server.url, &arguments, &[("SECRET", "marked-secret")]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    for (name, expected) in [
        ("client_id", "by-hand"),
        ("scope", "mine"),
        ("resource", "https://named.example/"),
        ("audience", "x"),
    ] {
        assert_eq!(value(&address, name).as_deref(), Some(expected), "{address}");
    }
    let back = value(&address, "redirect_uri").expect("a way back");
    assert!(back.starts_with("http://localhost:") && back.ends_with("/back"), "{back}");
    let code = format!("{back}?code=CODE&state={}", value(&address, "state").expect("a state"));
    // The page itself is asked for as well, so that the authority knows the challenge; where it leads is not gone to.
    let server = std::net::TcpStream::connect(&authority.server.address).expect("it listens");
    let target = address.split_once(&authority.server.address).expect("its address").1;
    use std::io::{Read, Write};
    write!(&server, "GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", authority.server.address).expect("it reads");
    let _ = (&server).read(&mut [0; 64]).expect("an answer");
    let mut stream = std::net::TcpStream::connect((
        "127.0.0.1",
        code.parse::<url::Url>().expect("a URL").port().expect("a port"),
    ))
    .expect("it listens");
    let target = code.split_once("/back").expect("a path").1;
    write!(stream, "GET /back{target} HTTP/1.1\r\n\r\n").expect("it reads");
    let mut shown = String::new();
    stream.read_to_string(&mut shown).expect("a page");
    assert!(
        shown.starts_with("HTTP/1.1 303") && shown.contains("location: https://example.com/done"),
        "{shown}"
    );
    assert!(proxy.line().contains("\"result\""));
    let token = authority.last("/token");
    assert!(token.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert!(!home.kept().contains("marked-secret"), "what the person wrote is not kept");
    proxy.finish();
    assert_eq!(authority.count("/register"), 0);
    // A refresh proves itself with it as well.
    authority.forget(false);
    let mut proxy = home.start_at(&authority.server.url, &arguments, &[("SECRET", "marked-secret")]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!(authority.count("/token"), 2);
    proxy.finish();
}

#[test]
fn the_browser_is_started_without_a_shell() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    authority.change(|set| {
        set.metadata = set.metadata.replace("BASE/authorize", "BASE/authorize?x=$(touch%20marked)&y='`;");
    });
    let (script, opened) = (home.path().join("browser"), home.path().join("opened"));
    let text =
        format!("#!/bin/sh\nprintf '%s\\n' \"$#\" \"$1\" > {0}.new; mv {0}.new {0}\n", opened.display());
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("ours");
    let browser = script.to_str().expect("UTF-8");
    let mut proxy =
        home.start_at(&authority.server.url, &["-v"], &[("BROWSER", browser), ("PATH", "/usr/bin:/bin")]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    proxy.tells("a browser should have opened");
    while !opened.exists() {
        std::thread::yield_now();
    }
    assert_eq!(std::fs::read_to_string(&opened).expect("text"), format!("1\n{address}\n"));
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn values_that_cannot_be_are_errors_that_quote_nothing() {
    for arguments in [
        ["--static-oauth-client-info", "marked"],
        ["--static-oauth-client-info", "@/marked/nowhere"],
        ["--static-oauth-client-info", r#"{"client_id":"${MARKED_UNSET}"}"#],
        ["--static-oauth-client-metadata", "[]"],
        ["--client-metadata-url", "http://marked.example/x"],
        ["--auth-success-url", "http://marked.example/x"],
        ["--authorize-param", "state=marked"],
        ["--callback-path", "marked"],
        ["--host", "marked.example"],
    ] {
        let home = Home::new();
        let mut proxy = home.start_at("https://mcp.example.test/mcp", &arguments, &[]);
        let line = proxy.ask(&call(1));
        assert!(
            line.contains(&format!("the value of {}", arguments[0])) && !line.contains("marked"),
            "{line}"
        );
        assert_eq!(proxy.finish().code, Some(2));
    }
}

/// What Access answers where Managed OAuth is on, and the document that it names.
const ACCESS: &str = r#"Bearer realm="OAuth", error="invalid_token", resource_metadata="BASE/.well-known/cloudflare-access-protected-resource/mcp""#;

#[test]
fn cloudflare_access_signs_people_in_at_its_own_document_unless_a_service_token_goes_along() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    authority.change(|set| {
        set.challenge = ACCESS.to_owned();
        set.resource = r#""resource":"BASE/","protected":true,"authorization_servers":["BASE"],"authentication_methods":[{"name":"oauth"}]"#.to_owned();
        set.loopback_is_allowed = false;
    });
    let pair = [
        ("CF_ACCESS_CLIENT_ID", "0123456789abcdef0123456789abcdef.access"),
        ("CF_ACCESS_CLIENT_SECRET", "marked-secret"),
    ];
    let mut proxy = home.start_at(&authority.server.url, &[], &pair);
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"cause\":\"access_hidden\""), "{line}");
    proxy.finish();
    assert_eq!(authority.server.requests().len(), 1);

    for (arguments, environment) in [(&[][..], &[][..]), (&["--auth", "oauth"], &pair)] {
        let home = Home::new();
        let mut proxy = home.start_at(&authority.server.url, arguments, environment);
        proxy.send(&call(1));
        let address = page(&proxy, 1);
        let resource = authority.server.url.trim_end_matches("mcp").to_owned();
        assert_eq!(value(&address, "resource"), Some(resource), "byte for byte as it is published");
        let back = value(&address, "redirect_uri").expect("a way back");
        assert!(back.starts_with("http://localhost:"), "the spelling that is allowed: {back}");
        visit(&address);
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
    }
}
