//! What the sign-in options change in the authorization request.

use super::support::authority::{Authority, Set, value, visit};
use super::support::proxy::{Proxy, Stdin};
use super::{CALL, Form};

/// One thing that the page is told.
fn told(form: &Form, name: &str) -> Option<String> {
    let (_authority, proxy, page) = form.page(|_| {}, &[]);
    proxy.kill();
    value(&page, name)
}

fn way_back(form: &Form) -> url::Url {
    told(form, "redirect_uri").expect("a way back").parse().expect("a URL")
}

pub(super) fn host(form: &Form) {
    assert_eq!(way_back(form).host_str(), Some("127.0.0.1"));
}

pub(super) fn callback_path(form: &Form) {
    assert_eq!(way_back(form).path(), "/custom/callback");
}

pub(super) fn resource(form: &Form) {
    assert_eq!(told(form, "resource").as_deref(), Some("https://tenant1.example.net/"));
}

pub(super) fn no_resource(form: &Form) {
    assert_eq!(told(form, "resource"), None);
}

pub(super) fn parameter(form: &Form) {
    let (_authority, proxy, page) = form.page(|_| {}, &["--authorize-param", "prompt=consent"]);
    proxy.kill();
    assert_eq!(value(&page, "access_type").as_deref(), Some("offline"));
    assert_eq!(value(&page, "prompt").as_deref(), Some("consent"));
}

pub(super) fn scope(form: &Form) {
    assert_eq!(told(form, "scope").as_deref(), Some("space separated"));
}

pub(super) fn client(form: &Form) {
    let (authority, mut proxy, page) = form.page(|_| {}, &[]);
    assert_eq!(value(&page, "client_id").as_deref(), Some("by-hand"));
    visit(&page);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!(authority.count("/register"), 0);
    use base64::Engine;
    let proof = base64::prelude::BASE64_STANDARD.encode("by-hand:marked-secret");
    assert_eq!(authority.last("/token").header("authorization"), Some(&*format!("Basic {proof}")));
}

pub(super) fn described(form: &Form) {
    let supported = r#","client_id_metadata_document_supported":true"#;
    let (authority, proxy, page) = form.page(|set| set.metadata.push_str(supported), &[]);
    proxy.kill();
    let described = "https://client.example.com/.well-known/oauth-client-metadata";
    assert_eq!(value(&page, "client_id").as_deref(), Some(described));
    assert_eq!(authority.count("/register"), 0);
}

pub(super) fn success(form: &Form) {
    let (_authority, mut proxy, page) = form.page(|_| {}, &[]);
    assert_eq!(visit(&page), r#"nobody at ("127.0.0.1", 1)"#);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

/// Without a sign-in, the answer to the request is the address of the page, in time.
pub(super) fn impatience(form: &Form) {
    let (_authority, mut proxy, page) = form.page(|_| {}, &[]);
    let line = proxy.line();
    assert!(line.contains("\"cause\":\"sign_in\"") && line.contains(&page[..30]), "{line}");
    proxy.kill();
}

const MACHINE: [&str; 2] = ["--static-oauth-client-info", r#"{"client_id":"m","client_secret":"${SECRET}"}"#];

/// No user is asked.
pub(super) fn machine(form: &Form) {
    let authority = Authority::start(Set::default());
    let mut proxy = form.start(&authority.server.url, &MACHINE, &[("SECRET", "marked-secret")]);
    assert!(proxy.ask(CALL).contains("\"result\""));
    proxy.finish();
    let grant = value(&authority.last("/token").body, "grant_type");
    assert_eq!(grant.as_deref(), Some("client_credentials"));
}

/// Nothing but it is asked, and here it does not answer.
pub(super) fn token_endpoint(form: &Form) {
    let authority = Authority::start(Set::default());
    let more = [&MACHINE[..], &["--client-credentials"]].concat();
    let mut proxy = form.start(&authority.server.url, &more, &[("SECRET", "marked-secret")]);
    let line = proxy.ask(CALL);
    assert!(line.contains("127.0.0.1:1/oauth/token, where one signs in, cannot be reached"), "{line}");
    proxy.finish();
    assert_eq!(authority.server.requests().len(), 1);
}

/// The page is for any computer, and the code is told.
pub(super) fn device(form: &Form) {
    let endpoint = r#","device_authorization_endpoint":"BASE/device""#;
    let (authority, mut proxy, page) = form.page(|set| set.metadata.push_str(endpoint), &[]);
    assert!(page.ends_with("/activate"), "{page}");
    proxy.tells("with the code AB-CD");
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!(authority.count("/authorize"), 0);
}

pub(super) fn id_token(form: &Form) {
    let (authority, mut proxy, page) = form.page(|set| set.id_token = Some("an-id-token".to_owned()), &[]);
    visit(&page);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer an-id-token"));
}

#[test]
fn port_after_url_is_port_of_redirect_uri() {
    // One that is free now; the system does not give it to anybody else soon.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let port = free.port().to_string();
    for arguments in [&[][..], &["--host", "localhost"]] {
        let form = &Form::all("--silent", None)[0];
        let authority = Authority::start(Set::default());
        let home = form.home();
        let url = &*authority.server.url;
        let arguments = [arguments, &[url, &port], &["--allow-http"]].concat();
        let environment = [("HOME", home), ("XDG_CONFIG_HOME", home)];
        let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &environment);
        proxy.send(CALL);
        let page = proxy.told_after("sign in at ", 1);
        proxy.kill();
        let back: url::Url = value(&page, "redirect_uri").expect("a way back").parse().expect("a URL");
        assert_eq!(back.port(), Some(free.port()));
    }
}
