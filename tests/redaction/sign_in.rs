//! Sign-ins at an authorization server on the server's own origin, which repeats all that it was sent.

use std::path::Path;
use std::sync::Mutex;

use super::decoder::{ENCODINGS, assert_hides, encode};
use super::support::authority::{value, visit};
use super::support::proxy::{Proxy, Stdin};
use super::support::server::{Reply, Request, Server};
use super::{OBEYED, assert_does_nothing, files};

const TENANT: &str = "tenant-Value/0123+456789";
const PAIR_SECRET: &str = "cfast_PairSecret0123456789abcdefghijklmnopqrstuvwxyzABCDEF";
const CODE: &str = "code-4711/0815-abcdef";
const REFRESH: &str = "refresh-0123456789abcdef";
const ACCESS: &str = "access-0123456789abcdef";
const CONFIGURED: [&str; 2] = [TENANT, PAIR_SECRET];

/// Where the authorization server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusing {
    Nothing,
    Registration,
    Code,
    Refresh,
}

/// An authorization server and the server before which it stands. `accepts` says how many calls a token is good for.
struct Authority {
    server: Server,
    verifiers: std::sync::Arc<Mutex<Vec<String>>>,
}

fn echo(request: &Request, encoding: &str) -> String {
    let sent = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let mut said = vec![sent("x-tenant"), sent("cf-access-client-secret")];
    said.extend(
        ["code", "code_verifier", "refresh_token"].iter().filter_map(|name| value(&request.body, name)),
    );
    let said: Vec<String> = said.iter().map(|secret| encode(secret, encoding)).collect();
    format!("{OBEYED}\r\nforged: {} ", said.join(" , "))
}

fn authority(refusing: Refusing, encoding: &'static str) -> Authority {
    let verifiers = std::sync::Arc::new(Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&verifiers);
    let calls = Mutex::new(0);
    let server = Server::start(move |request: &Request, reply: &mut Reply| {
        let base = format!("http://{}", request.header("host").expect("a host"));
        let json = [("content-type", "application/json")];
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let text = |text: &str| serde_json::to_string(text).expect("JSON");
        let refuse = |reply: &mut Reply, error: &str| {
            let said = text(&echo(request, encoding));
            reply.answer(400, &json, &format!(r#"{{"error":"{error}","error_description":{said}}}"#));
        };
        kept.lock().expect("no panic").extend(value(&request.body, "code_verifier"));
        match (path, value(&request.body, "grant_type").as_deref()) {
            ("/.well-known/oauth-protected-resource/mcp", _) => {
                let body = format!(r#"{{"resource":"{base}/mcp","authorization_servers":["{base}"]}}"#);
                reply.answer(200, &json, &body);
            }
            ("/.well-known/oauth-authorization-server", _) => {
                let body = format!(
                    r#"{{"issuer":"{base}","authorization_endpoint":"{base}/authorize","token_endpoint":"{base}/token","registration_endpoint":"{base}/register","code_challenge_methods_supported":["S256"]}}"#
                );
                reply.answer(200, &json, &body);
            }
            ("/register", _) if refusing == Refusing::Registration => {
                refuse(reply, "invalid_client_metadata")
            }
            ("/register", _) => reply.answer(201, &json, r#"{"client_id":"a-client"}"#),
            ("/authorize", _) => {
                let back = value(query, "redirect_uri").expect("a way back");
                let state = value(query, "state").expect("a state");
                reply.answer(302, &[("location", &format!("{back}?code={CODE}&state={state}"))], "");
            }
            ("/token", Some("refresh_token")) => refuse(reply, "invalid_grant"),
            ("/token", _) if refusing == Refusing::Code => refuse(reply, "invalid_request"),
            ("/token", _) => {
                let scope = text(&format!("read {}", echo(request, encoding)));
                let body = format!(
                    r#"{{"access_token":"{ACCESS}","refresh_token":"{REFRESH}","expires_in":3600,"scope":{scope}}}"#
                );
                reply.answer(200, &json, &body);
            }
            ("/mcp", _) => {
                let mut calls = calls.lock().expect("no panic");
                let is_known = request.header("authorization") == Some(&format!("Bearer {ACCESS}"));
                *calls += usize::from(is_known);
                match is_known && (refusing != Refusing::Refresh || *calls <= 1) {
                    true => reply.result(request, "{}"),
                    false => {
                        let document = format!(
                            r#"Bearer resource_metadata="{base}/.well-known/oauth-protected-resource/mcp""#
                        );
                        reply.answer(401, &[("www-authenticate", &document)], "");
                    }
                }
            }
            _ => reply.status(404),
        }
    });
    Authority { server, verifiers }
}

fn start(authority: &Authority, home: &Path, more: &[&str]) -> Proxy {
    let tenant = format!("X-Tenant: {TENANT}");
    let folder = home.to_str().expect("UTF-8");
    let arguments = [more, &[authority.server.url.as_str(), "--header", &tenant]].concat();
    let environment = [
        ("CF_ACCESS_CLIENT_ID", "0123.access"),
        ("CF_ACCESS_CLIENT_SECRET", PAIR_SECRET),
        ("HOME", folder),
        ("XDG_CONFIG_HOME", folder),
    ];
    Proxy::start_with(Stdin::Pipes, &arguments, &environment)
}

/// Looks through what was told and kept.
fn assert_untold(home: &Path, told: &[&str], secrets: &[&str], what: &str) {
    for told in told {
        assert_hides(told, secrets, what);
        assert_does_nothing(told, what);
        assert!(!told.lines().any(|line| line.starts_with("forged")), "{told}");
    }
    // Files may hold tokens and the verifier, but nothing else.
    for (path, text) in files(home) {
        assert_hides(&text, &[TENANT, PAIR_SECRET, CODE], &format!("{what}: {path}"));
    }
}

fn call(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#)
}

#[test]
fn refused_registration_shows_no_secret() {
    for (number, encoding) in ENCODINGS.iter().enumerate() {
        let (home, authority) =
            (tempfile::tempdir().expect("a folder"), authority(Refusing::Registration, encoding));
        let more: &[&str] = if number % 2 == 0 { &["-vvv"] } else { &[] };
        let mut proxy = start(&authority, home.path(), more);
        let line = proxy.ask(&call(1));
        assert!(line.contains("did not register this program"), "{line}");
        let ended = proxy.finish();
        assert_untold(home.path(), &[&line, &ended.stderr], &CONFIGURED, encoding);
    }
}

#[test]
fn other_process_shows_no_secret_of_the_first_one() {
    let (home, authority) =
        (tempfile::tempdir().expect("a folder"), authority(Refusing::Registration, "plain"));
    let mut proxy = start(&authority, home.path(), &[]);
    proxy.ask(&call(1));
    // What the first one left is what the second one reads.
    let folder = home.path().to_str().expect("UTF-8");
    let environment = [("HOME", folder), ("XDG_CONFIG_HOME", folder)];
    let mut other = Proxy::start_with(Stdin::Pipes, &[&authority.server.url], &environment);
    let line = other.ask(&call(1));
    let (first, second) = (proxy.finish(), other.finish());
    assert_untold(home.path(), &[&line, &first.stderr, &second.stderr], &CONFIGURED, "the second process");
}

#[test]
fn refused_code_shows_no_secret_on_page_and_elsewhere() {
    for encoding in ENCODINGS {
        let (home, authority) = (tempfile::tempdir().expect("a folder"), authority(Refusing::Code, encoding));
        let mut proxy = start(&authority, home.path(), &[]);
        proxy.send(&call(1));
        let page = visit(&proxy.told_after("sign in at ", 1));
        assert!(page.contains("Not signed in"), "{page}");
        let body = page.split_once("\r\n\r\n").expect("a body").1.to_owned();
        let line = proxy.line();
        let ended = proxy.finish();
        let verifier = authority.verifiers.lock().expect("no panic").first().cloned().expect("a verifier");
        let secrets = [TENANT, PAIR_SECRET, CODE, &verifier];
        assert_untold(home.path(), &[&line, &body, &ended.stderr], &secrets, encoding);
    }
}

#[test]
fn refused_refresh_shows_no_secret() {
    // At the end of each a person is waited for.
    for encoding in ENCODINGS.into_iter().step_by(5) {
        let (home, authority) =
            (tempfile::tempdir().expect("a folder"), authority(Refusing::Refresh, encoding));
        let mut proxy = start(&authority, home.path(), &[]);
        proxy.send(&call(1));
        visit(&proxy.told_after("sign in at ", 1));
        assert!(proxy.line().contains("\"result\""));
        proxy.send(&call(2));
        proxy.tells("has come to its end");
        proxy.told_after("sign in at ", 2);
        let ended = proxy.finish();
        assert_untold(home.path(), &[&ended.stderr], &[TENANT, PAIR_SECRET, CODE, REFRESH, ACCESS], encoding);
    }
}

#[test]
fn token_scope_shows_no_secret_and_forges_no_line() {
    let (home, authority) = (tempfile::tempdir().expect("a folder"), authority(Refusing::Nothing, "plain"));
    let mut proxy = start(&authority, home.path(), &[]);
    proxy.send(&call(1));
    visit(&proxy.told_after("sign in at ", 1));
    proxy.line();
    proxy.finish();
    let folder = home.path().to_str().expect("UTF-8");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
        .args(["tokens", &authority.server.url, "--header", &format!("X-Tenant: {TENANT}")])
        .env_clear()
        .envs([("HOME", folder), ("XDG_CONFIG_HOME", folder)])
        .envs([("CF_ACCESS_CLIENT_ID", "0123.access"), ("CF_ACCESS_CLIENT_SECRET", PAIR_SECRET)])
        .output()
        .expect("it starts");
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(told.contains("scope:    read"), "{told}");
    assert_eq!(told.lines().count(), 5, "{told}");
    assert_untold(home.path(), &[&told], &[TENANT, PAIR_SECRET, CODE, REFRESH, ACCESS], "tokens");
}

#[test]
fn refused_login_shows_no_secret() {
    let (home, authority) =
        (tempfile::tempdir().expect("a folder"), authority(Refusing::Registration, "json"));
    let folder = home.path().to_str().expect("UTF-8");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
        .args(["login", &authority.server.url, "--header", &format!("X-Tenant: {TENANT}")])
        .env_clear()
        .envs([("HOME", folder), ("XDG_CONFIG_HOME", folder)])
        .envs([("CF_ACCESS_CLIENT_ID", "0123.access"), ("CF_ACCESS_CLIENT_SECRET", PAIR_SECRET)])
        .output()
        .expect("it starts");
    let told = [output.stdout, output.stderr].map(|told| String::from_utf8(told).expect("UTF-8"));
    assert!(told[1].contains("did not register"), "{told:?}");
    assert_untold(home.path(), &[&told[0], &told[1]], &CONFIGURED, "login");
}
