//! Tokens of the client's own: nobody is asked, and nobody waits for a person.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use super::support::authority::{Authority, Set, value};
use super::support::proxy::{Proxy, Stdin};
use super::{Home, call};

const CLIENT: &str = r#"{"client_id":"a machine","client_secret":"${SECRET}"}"#;
const BY_SECRET: [&str; 3] = ["--client-credentials", "--static-oauth-client-info", CLIENT];
/// What has to be quoted in JSON, and in a form.
const SECRET: &str = "marked \"secret\\:&";

fn start(home: &Home, authority: &Authority, more: &[&str]) -> Proxy {
    let arguments = [&BY_SECRET, more].concat();
    home.start_at(&authority.server.url, &arguments, &[("SECRET", SECRET)])
}

#[test]
fn client_authenticates_by_secret_without_user() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    authority.change(|set| {
        // Nobody signs in there, so there is neither a page nor PKCE.
        set.metadata =
            r#""issuer":"BASE","token_endpoint":"BASE/token","scopes_supported":["read","offline_access"]"#
                .to_owned();
        set.challenge.push_str(", scope=\"read\"");
    });
    let mut proxy = start(&home, &authority, &["-vvv"]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    let token = authority.last("/token");
    for (name, expected) in
        [("grant_type", "client_credentials"), ("scope", "read"), ("resource", &authority.server.url)]
    {
        assert_eq!(value(&token.body, name).as_deref(), Some(expected));
    }
    assert_eq!(value(&token.body, "client_id"), None);
    let pair = "a+machine:marked+%22secret%5C%3A%26";
    let basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
    assert_eq!(token.header("authorization"), Some(basic.as_str()));
    let told = proxy.finish().stderr;
    assert!(!told.contains("marked") && !told.contains("sign in at"), "{told}");
    let kept = home.kept();
    assert!(kept.contains("marked-access-1"), "{kept}");
    assert!(!kept.contains("marked ") && !kept.contains("marked-refresh"), "{kept}");

    // The next start uses what is kept.
    let mut proxy = start(&home, &authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    proxy.finish();
    assert_eq!(authority.count("/token"), 1);
}

#[test]
fn the_secret_travels_as_the_client_is_registered() {
    for (more, metadata, offered) in [
        (r#","token_endpoint_auth_method":"client_secret_post""#, "{}", ""),
        ("", r#"{"token_endpoint_auth_method":"client_secret_post"}"#, ""),
        ("", "{}", r#","token_endpoint_auth_methods_supported":["client_secret_post"]"#),
    ] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        authority.change(|set| set.metadata.push_str(offered));
        let client = format!(r#"{{"client_id":"a","client_secret":"marked-secret"{more}}}"#);
        let arguments = ["--client-credentials", "--static-oauth-client-info", &client];
        let arguments = [&arguments[..], &["--static-oauth-client-metadata", metadata]].concat();
        let mut proxy = home.start(&authority, &arguments);
        assert!(proxy.ask(&call(1)).contains("\"result\""));
        let token = authority.last("/token");
        assert_eq!(value(&token.body, "client_secret").as_deref(), Some("marked-secret"));
        assert_eq!(token.header("authorization"), None);
        proxy.finish();
    }
}

#[test]
fn a_private_key_takes_the_place_of_the_secret() {
    let pem = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let base = format!("http://{}", authority.server.address);
    let file = home.path().join("key.pem");
    std::fs::write(&file, &pem).expect("written");
    let at_file = format!(r#"{{"client_id":"a","private_key":"@{}","kid":"k"}}"#, file.display());
    for (client, id) in [
        (at_file.as_str(), Some("k")),
        (r#"{"client_id":"a","private_key":"${KEY}","token_endpoint_auth_method":"private_key_jwt"}"#, None),
    ] {
        let home = Home::new();
        let arguments = ["--client-credentials", "--static-oauth-client-info", client, "-v"];
        let mut proxy = home.start_at(&authority.server.url, &arguments, &[("KEY", &pem)]);
        assert!(proxy.ask(&call(1)).contains("\"result\""));
        let body = authority.last("/token").body;
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!(value(&body, "client_assertion_type").as_deref(), Some(kind));
        assert_eq!(value(&body, "client_id").as_deref(), Some("a"));
        let assertion = value(&body, "client_assertion").expect("an assertion");
        let text = |index: usize| {
            let part = assertion.split('.').nth(index).expect("three parts");
            String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("UTF-8")
        };
        assert!(text(0).contains(r#""alg":"ES256""#) && text(0).contains("kid") == id.is_some());
        assert!(text(1).contains(&format!(r#""iss":"a","sub":"a","aud":"{base}","#)), "{}", text(1));
        let told = proxy.finish().stderr;
        assert_eq!(told.contains("others on this computer can read it"), id.is_some(), "{told}");
        assert!(!told.contains("PRIVATE") && !home.kept().contains("PRIVATE"), "{told}");
    }
}

#[test]
fn the_secret_may_stand_in_a_file_of_variables() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let file = home.path().join("variables");
    std::fs::write(&file, "SECRET=marked-from-a-file\n").expect("written");
    let arguments = [&BY_SECRET[..], &["--env-file", file.to_str().expect("UTF-8")]].concat();
    let mut proxy = home.start(&authority, &arguments);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    let basic = format!("Basic {}", BASE64_STANDARD.encode("a+machine:marked-from-a-file"));
    assert_eq!(authority.last("/token").header("authorization"), Some(basic.as_str()));
    assert!(!proxy.finish().stderr.contains("marked"));
}

#[test]
fn a_token_endpoint_that_is_named_spares_all_questions() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let endpoint = format!("http://{}/token", authority.server.address);
    let mut proxy = start(&home, &authority, &["--token-endpoint", &endpoint]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    proxy.finish();
    let paths: Vec<String> = authority.server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/mcp", "/token", "/mcp"]);
    // Nobody has said what the server is called.
    assert_eq!(value(&authority.last("/token").body, "resource"), None);
    let mut proxy = start(
        &Home::new(),
        &authority,
        &["--token-endpoint", &endpoint, "--resource", "https://named.example/"],
    );
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    proxy.finish();
    let named = value(&authority.last("/token").body, "resource");
    assert_eq!(named.as_deref(), Some("https://named.example/"));
}

#[test]
fn requests_another_token_before_expiry_and_when_rejected() {
    // Half of its life is over at once.
    let (home, authority) = (Home::new(), Authority::start(Set { expires_in: 1, ..Set::default() }));
    let mut proxy = start(&home, &authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    authority.change(|set| set.expires_in = 3600);
    let mut id = 2;
    while authority.count("/token") < 2 || !home.kept().contains("marked-access-2") {
        assert!(proxy.ask(&call(id)).contains("\"result\""));
        id += 1;
    }
    authority.forget(false);
    for id in 1000..1020 {
        proxy.send(&call(id));
    }
    for _ in 0..20 {
        assert!(proxy.line().contains("\"result\""));
    }
    assert_eq!(authority.count("/token"), 3);
    proxy.finish();
}

#[test]
fn concurrent_processes_share_token_of_one_client() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxies: Vec<Proxy> = (0..8).map(|_| start(&home, &authority, &[])).collect();
    for proxy in &mut proxies {
        proxy.send(&call(1));
    }
    for proxy in &mut proxies {
        assert!(proxy.line().contains("\"result\""));
    }
    assert_eq!(authority.count("/token"), 1);
    let client = r#"{"client_id":"another","client_secret":"marked-other"}"#;
    let arguments = ["--client-credentials", "--static-oauth-client-info", client];
    let mut other = home.start(&authority, &arguments);
    assert!(other.ask(&call(1)).contains("\"result\""));
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-2"));
    authority.forget(false);
    for proxy in &mut proxies {
        proxy.send(&call(2));
    }
    for mut proxy in proxies {
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
    }
    assert_eq!(authority.count("/token"), 3);
    other.finish();
}

#[test]
fn client_hears_refusal_of_authorization_server() {
    for (body, expected) in [
        (
            r#"{"error":"invalid_client","error_description":"unknown"}"#,
            "gave no token: invalid_client (unknown)",
        ),
        (
            r#"{"error":"invalid_request","error_description":"no marked \"secret\\:& here"}"#,
            "gave no token: invalid_request (no [secret] here)",
        ),
        (r#"{"error":"unsupported_grant_type"}"#, "allowed for the client there"),
        ("<html>", "answered 400 instead of a token"),
    ] {
        let (home, authority) =
            (Home::new(), Authority::start(Set { token: Some((400, body)), ..Set::default() }));
        let mut proxy = start(&home, &authority, &["-vvv"]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains("\"cause\":\"sign_in\""), "{line}");
        let told = proxy.finish().stderr;
        assert!(!told.contains("marked") && !told.contains("sign in at"), "{told}");
    }
    let (home, authority) = (Home::new(), Authority::start(Set { accepts: false, ..Set::default() }));
    let mut proxy = start(&home, &authority, &[]);
    let line = proxy.ask(&call(1));
    assert!(line.contains("does not accept the token that was given for it"), "{line}");
    assert!(proxy.ask(&call(2)).contains("does not accept the token"));
    assert_eq!(authority.count("/token"), 1);
    // Not for ever, for it costs nobody anything.
    authority.change(|set| set.accepts = true);
    authority.forget(false);
    let mut id = 3;
    while !proxy.ask(&call(id)).contains("\"result\"") {
        id += 1;
    }
    assert_eq!(authority.count("/token"), 2);
    proxy.finish();
}

#[test]
fn client_token_replaces_authorization_header() {
    let (home, authority) =
        (Home::new(), Authority::start(Set { challenge: String::new(), ..Set::default() }));
    let mut proxy = start(&home, &authority, &["--header", "X-API-Key: marked-key"]);
    // A refusal without a challenge says nothing, but the person did.
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"result\""), "{line}");
    proxy.finish();
    authority.forget(false);
    let url = authority.server.url.clone();
    for (command, expected) in
        [("login", "you are signed in"), ("tokens", "is renewed automatically"), ("check", "")]
    {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
        program.args([command, &url]).args(BY_SECRET).env_clear();
        let output = program.envs(home.environment(&[("SECRET", SECRET)])).output().expect("it starts");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains(expected) && !shown.contains("marked"), "{command}: {output:?}");
    }
    // `check` comes by one as well.
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-2"));
}

#[test]
fn conflicting_options_are_errors_with_remedy() {
    let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key").serialize_pem();
    let client = |more: &str| format!(r#"{{"client_id":"a"{more}}}"#);
    let secret = client(r#","client_secret":"marked-secret""#);
    let key = client(r#","private_key":"${MARKED_PEM}""#);
    let garbage = client(r#","private_key":"marked-pem""#);
    let nowhere = client(r#","private_key":"@/nowhere/key.pem""#);
    let jwt = client(r#","client_secret":"marked-secret","token_endpoint_auth_method":"private_key_jwt""#);
    let none = client(r#","client_secret":"marked-secret","token_endpoint_auth_method":"none""#);
    let unset = client(r#","client_secret":"${NOT_SET}""#);
    let info = "--static-oauth-client-info";
    let machine = "--client-credentials";
    for (arguments, expected, remedy) in [
        (vec![machine], "--client-credentials requires --static-oauth-client-info", "client_secret"),
        (
            vec![machine, info, r#"{"client_id":"a"}"#],
            "requires a client_secret or a private_key",
            "private_key",
        ),
        (
            vec![machine, info, &garbage],
            "private_key of --static-oauth-client-info holds no private key",
            "openssl",
        ),
        (vec![machine, info, &key], "is neither for ES256", "openssl"),
        (vec![machine, info, &nowhere], "/nowhere/key.pem", "check the path"),
        (vec![machine, info, &jwt], "requires a private_key, which is missing", "@key.pem"),
        (vec![machine, info, &none], "cannot be used with the token_endpoint_auth_method none", "leave"),
        (vec![machine, info, &unset], "NOT_SET is not set", "set it"),
        (
            vec!["--token-endpoint", "https://as.example/token"],
            "--token-endpoint requires --client-credentials",
            "add",
        ),
        (
            vec![machine, info, &secret, "--token-endpoint", "http://marked.example/x"],
            "--token-endpoint is not",
            "--help",
        ),
        (
            vec![machine, info, &secret, "--token-endpoint", "https://u:marked@h/x"],
            "--token-endpoint is not",
            "--help",
        ),
        (vec![machine, info, &secret, "--auth", "none"], "cannot be used with --auth none", "leave"),
        (
            vec![machine, info, &secret, "--allow-http"],
            "cannot be used with a URL that is not encrypted",
            "https://",
        ),
        (vec!["--device-code", "--auth", "none"], "cannot be used with --auth none", "leave"),
        (vec!["--device-code", machine, info, &secret], "cannot be used with", "leave"),
    ] {
        let home = Home::new();
        let is_plain = arguments.contains(&"--allow-http");
        let mut all =
            vec![if is_plain { "http://mcp.example.test/mcp" } else { "https://mcp.example.test/mcp" }];
        all.extend(arguments.iter().copied());
        let mut proxy = Proxy::start_with(Stdin::Pipes, &all, &home.environment(&[("MARKED_PEM", &pem)]));
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains(remedy), "{arguments:?}: {line}");
        let ended = proxy.finish();
        assert_eq!(ended.code, Some(2));
        for text in [&line, &ended.stderr] {
            assert!(!text.contains("marked") && !text.contains(pem.lines().nth(1).expect("a key")), "{text}");
        }
    }
}
