//! Two entries for one URL: each has the sign-in of its own, and nobody gets another's.

use std::process::Command;

use super::mcp_remote_import::{LATER, keep};
use super::support::authority::{Authority, Set, visit};
use super::support::proxy::Proxy;
use super::{Home, call, page};

const ALICE: &[&str] = &["--header", "X-Account: alice"];
const BOB: &[&str] = &["--header", "X-Account: bob"];

/// Signs in with these options, and tells which token was sent.
fn sign_in(home: &Home, authority: &Authority, arguments: &[&str]) -> String {
    let mut proxy = home.start(authority, arguments);
    proxy.send(&call(1));
    assert!(visit(&page(&proxy, 1)).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    sent(authority)
}

/// The token of the last request.
fn sent(authority: &Authority) -> String {
    authority.last("/mcp").header("authorization").unwrap_or_default().to_owned()
}

/// Starts with these options, and tells which token was sent; no page may open.
fn start_again(home: &Home, authority: &Authority, arguments: &[&str]) -> String {
    let mut proxy = home.start(authority, arguments);
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"result\""), "{arguments:?}: {line}");
    assert!(!proxy.finish().stderr.contains("sign in at"), "{arguments:?}");
    sent(authority)
}

fn run(home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    let output = program.args(arguments).env_clear().envs(home.environment(&[])).output().expect("it starts");
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), told.concat())
}

#[test]
fn entries_with_different_options_share_no_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let client = |id: &str| format!(r#"{{"client_id":"{id}"}}"#);
    let (one, two) = (client("one"), client("two"));
    let file = home.path().join("headers");
    std::fs::write(&file, "X-Account: carol\n").expect("written");
    let file = file.display().to_string();
    let entries: &[&[&str]] = &[
        &[],
        ALICE,
        BOB,
        &["--header-file", &file],
        &["--header", "X-Account: ${HOME}"],
        &["--header", "X-Account: ${XDG_CONFIG_HOME}"],
        &["--profile", "work"],
        &["--profile", "home"],
        &["--profile", "home", "--header", "X-Account: alice"],
        &["--authorize-param", "login_hint=alice"],
        &["--static-oauth-client-info", &one],
        &["--static-oauth-client-info", &two],
    ];
    let tokens: Vec<String> = entries.iter().map(|entry| sign_in(&home, &authority, entry)).collect();
    for (entry, token) in entries.iter().zip(&tokens) {
        assert_eq!(start_again(&home, &authority, entry), *token, "{entry:?}");
        assert_eq!(tokens.iter().filter(|other| *other == token).count(), 1, "{entry:?}");
    }
    // The name's case and the way in which it is typed make no other identity.
    for same in [
        &["--header=x-account:alice"][..],
        &["--header", "X-Account: bob", "--header", "X-ACCOUNT:  alice "],
        &["--header", "X-Account:alice", "--header", "Accept: */*"],
    ] {
        assert_eq!(start_again(&home, &authority, same), tokens[1], "{same:?}");
    }
    let kept = home.kept();
    assert!(!kept.contains("alice") && !kept.contains("carol"), "what is typed is only hashed");
    assert_eq!(kept.matches(r#""profile":"#).count(), 3, "but for the name of a profile");
}

#[test]
fn entries_with_one_identity_at_once_open_one_page() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxies: Vec<Proxy> = (0..4).map(|_| home.start(&authority, ALICE)).collect();
    for proxy in &mut proxies {
        proxy.send(&call(1));
    }
    let address = loop {
        if let Some(address) = proxies.iter().find_map(|proxy| proxy.told_so_far("sign in at ")) {
            break address;
        }
        std::thread::yield_now();
    };
    visit(&address);
    for mut proxy in proxies {
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
    }
    assert_eq!(authority.count("/authorize"), 1);
}

#[test]
fn mcp_remote_import_reaches_only_its_entry() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let base = format!("http://{}", authority.server.address);
    let url = authority.server.url.clone();
    authority.knows("marked-of-alice", "marked-refresh-of-alice");
    authority.knows("marked-of-bob", "marked-refresh-of-bob");
    for name in ["alice", "bob"] {
        let headers = format!(r#"{{"X-Account":"{name}"}}"#);
        for (path, text) in keep(&home.path().join(".mcp-auth"), &[&url, &headers], &base, LATER) {
            let text = text.replace("-before", &format!("-of-{name}"));
            std::fs::write(path, text).expect("written");
        }
    }
    assert_eq!(start_again(&home, &authority, ALICE), "Bearer marked-of-alice");
    assert_eq!(start_again(&home, &authority, BOB), "Bearer marked-of-bob");
    authority.forget(false);
    authority.knows("marked-of-bob", "marked-refresh-2-of-bob");
    let renewed = start_again(&home, &authority, ALICE);
    assert!(renewed.starts_with("Bearer marked-access-"), "{renewed}");
    assert_eq!(start_again(&home, &authority, BOB), "Bearer marked-of-bob");
    assert_eq!(start_again(&home, &authority, ALICE), renewed);
}

#[test]
fn logout_of_one_entry_leaves_the_other_signed_in() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let url = authority.server.url.clone();
    let alice = sign_in(&home, &authority, ALICE);
    sign_in(&home, &authority, BOB);
    assert_eq!(run(&home, &["logout", &url, "--header", "X-Account: bob"]).0, Some(0));
    assert_eq!(start_again(&home, &authority, ALICE), alice);
    let (code, told) = run(&home, &["tokens", &url, "--header", "X-Account: bob"]);
    assert_eq!(code, Some(1), "{told}");
    // What is printed names the same sign-in again.
    let login = format!("mcp-tether login {url} --header 'X-Account: bob'");
    assert!(told.contains("no sign-in is stored") && told.contains(&login), "{told}");
}

#[test]
fn printed_login_holds_no_secret_and_names_profile() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let url = authority.server.url.clone();
    let secret = ["--auth", "oauth", "--header", "X-Api-Key: marked-secret"];
    let (code, told) = run(&home, &[&["tokens", &url], &secret[..]].concat());
    assert_eq!(code, Some(1));
    assert!(told.contains("--profile NAME") && !told.contains("marked"), "{told}");
    // The name that was advised leads to the same sign-in, with the header and without it.
    let named = [&secret[..], &["--profile", "work"]].concat();
    let token = sign_in(&home, &authority, &named);
    let (code, told) = run(&home, &["tokens", &url, "--profile", "work"]);
    assert!(code == Some(0) && told.contains("profile:  work"), "{told}");
    assert_eq!(start_again(&home, &authority, &["--profile", "work"]), token);
    for name in ["", "a b", "../x", "-x", "ü", &"x".repeat(65)] {
        let (code, told) = run(&home, &["tokens", &url, &format!("--profile={name}")]);
        assert!(code == Some(2) && told.contains("--profile"), "{told}");
    }
    // `check` says how to sign in.
    let (_, told) = run(&home, &["check", &url, "--header", "X-Account: ${HOME}"]);
    assert!(told.contains(&format!("mcp-tether login {url} --header 'X-Account: ${{HOME}}'")), "{told}");
}
