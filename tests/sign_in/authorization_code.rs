//! The flow from the refusal to the answer, and what is sent on the way.

use super::support::authority::{Authority, Set, value, visit};
use super::support::proxy::{Proxy, Stdin};
use super::support::{INITIALIZE, INITIALIZED};
use super::{Home, call, page};

#[test]
fn user_signs_in_once_and_call_succeeds() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(INITIALIZE);
    let address = page(&proxy, 1);
    let shown = visit(&address);
    assert!(shown.starts_with("HTTP/1.1 200") && shown.contains("You are signed in at 127.0.0.1"), "{shown}");
    assert!(proxy.line().contains("\"result\""));
    proxy.send(INITIALIZED);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    let told = proxy.finish().stderr;
    assert!(!told.contains("marked"), "{told}");

    let server = &authority.server;
    let query = address.split_once('?').expect("a query").1;
    assert_eq!(value(query, "resource").as_deref(), Some(server.url.as_str()));
    assert_eq!(value(query, "code_challenge_method").as_deref(), Some("S256"));
    let redirect = value(query, "redirect_uri").expect("a way back");
    assert!(redirect.starts_with("http://127.0.0.1:") && redirect.ends_with("/oauth/callback"), "{redirect}");
    let registration = authority.last("/register").body;
    assert!(registration.contains(&redirect) && registration.contains(r#""application_type":"native""#));
    let token = authority.last("/token");
    for (name, expected) in [
        ("grant_type", "authorization_code"),
        ("client_id", "a-client"),
        ("redirect_uri", &redirect),
        ("resource", &server.url),
    ] {
        assert_eq!(value(&token.body, name).as_deref(), Some(expected));
    }
    assert_eq!(authority.count("/token"), 1);

    // The next start needs nobody and no discovery.
    let before = authority.server.requests().len();
    let mut proxy = home.start(&authority, &["-vvv"]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    let told = proxy.finish().stderr;
    assert!(!told.contains("marked"), "{told}");
    assert_eq!(authority.server.requests().len(), before + 1);
}

#[test]
fn impatient_client_gets_address_and_sign_in_continues() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &["--auth-timeout", "1"]);
    let line = proxy.ask(&call(1));
    let address = page(&proxy, 1);
    assert!(line.contains("\"cause\":\"sign_in\"") && line.contains("\"status\":401"), "{line}");
    assert!(line.contains(&address), "{line}");
    let second = proxy.ask(&call(2));
    assert!(second.contains(&address), "the same page, not another: {second}");
    proxy.send(&call(3));
    assert!(visit(&address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!(authority.count("/register"), 1);
}

#[test]
fn many_requests_at_once_are_one_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    for id in 0..20 {
        proxy.send(&call(id));
    }
    visit(&page(&proxy, 1));
    for _ in 0..20 {
        assert!(proxy.line().contains("\"result\""));
    }
    proxy.finish();
    assert_eq!(
        (authority.count("/register"), authority.count("/authorize"), authority.count("/token")),
        (1, 1, 1)
    );
}

#[test]
fn a_stray_visitor_changes_nothing() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    let back = value(address.split_once('?').expect("a query").1, "redirect_uri").expect("a way back");
    for stray in
        ["", "?error=access_denied", "?code=CODE", "?code=CODE&state=wrong", "?error=x&state=", "/else"]
    {
        let shown = visit(&format!("{back}{stray}"));
        assert!(shown.starts_with("HTTP/1.1 40"), "{stray}: {shown}");
    }
    assert!(visit(&address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn requests_missing_scope_once_with_others() {
    let (home, authority) = (Home::new(), Authority::start(Set { wants: Some("write"), ..Set::default() }));
    authority.change(|set| set.challenge.push_str(", scope=\"read\""));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(INITIALIZE);
    let first = page(&proxy, 1);
    assert_eq!(value(&first, "scope").as_deref(), Some("read"));
    visit(&first);
    assert!(proxy.line().contains("\"result\""));
    proxy.send(INITIALIZED);
    proxy.send(&call(2));
    let second = page(&proxy, 2);
    assert_eq!(value(&second, "scope").as_deref(), Some("read write"));
    visit(&second);
    assert!(proxy.line().contains("\"result\""));
    // What was asked for and not given is not asked for again: the refusal is the answer.
    authority.change(|set| set.wants = Some("write "));
    authority.forget(false);
    proxy.finish();
}

#[test]
fn uses_allowed_spelling_of_loopback_redirect() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let refused = r#"{"error":"invalid_client_metadata","error_description":"redirect_uri is not allowed by the account configuration"}"#;
    authority.change(|set| set.registration = Some((400, refused)));
    let mut proxy = home.start(&authority, &[]);
    let line = proxy.ask(&call(1));
    assert!(
        line.contains("did not register this program") && line.contains("allow localhost or loopback"),
        "{line}"
    );
    let asked: Vec<String> =
        authority.server.requests().into_iter().filter(|r| r.path == "/register").map(|r| r.body).collect();
    assert!(
        asked.len() == 2 && asked[0].contains("http://127.0.0.1:") && asked[1].contains("http://localhost:")
    );
    proxy.finish();
}

#[test]
fn server_without_metadata_is_its_own_authorization_server() {
    // As in 2025-03-26: no document about the server, and PKCE is not announced.
    let metadata = r#""issuer":"BASE","authorization_endpoint":"BASE/authorize","token_endpoint":"BASE/token","registration_endpoint":"BASE/register""#;
    let set = Set {
        challenge: "Bearer".to_owned(),
        metadata: metadata.to_owned(),
        resource: String::new(),
        ..Set::default()
    };
    let (home, authority) = (Home::new(), Authority::start(Set { resource: "\"x\":[".to_owned(), ..set }));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn registers_again_after_registration_expired() {
    // When the code is exchanged it says so.
    let refused = |body: &str| format!("HTTP/1.1 401 X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let unknown = refused(r#"{"error":"invalid_client"}"#).into_bytes();
    let set = Set { raw: Some(("/token", unknown.clone())), ..Set::default() };
    let (home, authority) = (Home::new(), Authority::start(set));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    assert!(visit(&page(&proxy, 1)).contains("Not signed in"));
    let second = page(&proxy, 2);
    authority.change(|set| set.raw = None);
    assert!(visit(&second).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    assert_eq!(authority.count("/register"), 2);
    // Likewise when a token is; and where that does not help either, it is told.
    authority.forget(false);
    authority.change(|set| set.raw = Some(("/token", unknown)));
    proxy.send(&call(2));
    visit(&page(&proxy, 3));
    visit(&page(&proxy, 4));
    let line = proxy.line();
    assert!(line.contains("gave no token: invalid_client"), "{line}");
    let told = proxy.finish().stderr;
    assert_eq!((authority.count("/register"), told.matches("sign in at ").count()), (4, 4), "{told}");
}

#[test]
fn unfinished_sign_in_is_followed_by_new_registration() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let first = page(&proxy, 1);
    proxy.kill();
    // Ten minutes and more go by; perhaps it knows us no more, and could only tell the person.
    let folder = std::fs::read_dir(home.path().join("mcp-tether/oauth")).expect("a folder").flatten();
    let flow =
        { folder }.find(|entry| entry.file_name().to_string_lossy().ends_with(".flow")).expect("noted");
    let noted = std::fs::read_to_string(flow.path()).expect("text");
    std::fs::write(flow.path(), noted.replacen("{\"at\":1", "{\"at\":", 1)).expect("written");
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let second = page(&proxy, 1);
    assert_ne!(first, second);
    assert!(visit(&second).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!(authority.count("/register"), 2);
    // By hand it is so at once.
    let arguments = ["login", &authority.server.url];
    let proxy = Proxy::start_with(Stdin::Pipes, &arguments, &home.environment(&[]));
    visit(&page(&proxy, 1));
    assert_eq!(proxy.wait_unread(), Some(0));
    assert_eq!(authority.count("/register"), 3);
}
