//! `login`, `logout`, `tokens`, and what `check` does with a sign-in.

use super::support::authority::{Authority, Set, value, visit};
use super::support::proxy::{Proxy, Stdin};
use super::{Home, call, page};

use std::process::{Command, Output};

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.args(arguments).env_clear().envs(home.environment(&[])).output().expect("it starts")
}

#[test]
fn login_tokens_and_logout_work() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let url = authority.server.url.as_str();
    let told = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let nothing = run(&home, &["tokens", url]);
    assert!(
        nothing.status.code() == Some(1) && told(&nothing).contains("no sign-in is stored"),
        "{nothing:?}"
    );

    let arguments = ["login", url];
    let proxy = Proxy::start_with(Stdin::Pipes, &arguments, &home.environment(&[]));
    visit(&page(&proxy, 1));
    let (code, _) = (proxy.wait_unread(), ());
    assert_eq!(code, Some(0));

    let shown = run(&home, &["tokens", url]);
    let text = told(&shown);
    assert_eq!(shown.status.code(), Some(0));
    for part in ["issuer:   http://127.0.0.1", "is renewed automatically", "file:"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("marked"), "{text}");

    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    proxy.finish();

    let gone = run(&home, &["logout", url]);
    assert!(gone.status.code() == Some(0) && told(&gone).contains("signed out"), "{gone:?}");
    assert_eq!(value(&authority.last("/revoke").body, "token").as_deref(), Some("marked-refresh-1"));
    assert_eq!(home.kept(), "");
    assert_eq!(run(&home, &["logout", url]).status.code(), Some(1));

    let impossible = run(&home, &["login", url, "--auth", "none"]);
    assert!(impossible.status.code() == Some(2) && told(&impossible).contains("try:"), "{impossible:?}");
}

#[test]
fn a_login_that_comes_to_nothing_says_why() {
    let (home, authority) =
        (Home::new(), Authority::start(Set { registration: Some((403, "no")), ..Set::default() }));
    let output = run(&home, &["login", &authority.server.url]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), text.matches("instead of a registration").count()),
        (Some(1), 1),
        "{text}"
    );
}

#[test]
fn check_uses_what_is_held_and_asks_nobody() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let url = authority.server.url.as_str();
    let before = run(&home, &["check", url]);
    assert!(String::from_utf8_lossy(&before.stdout).contains("401"), "{before:?}");
    assert_eq!(authority.count("/register"), 0);
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    authority.forget(false);
    let after = run(&home, &["check", url]);
    let credentials = "no service token and no header; a stored sign-in is used, if there is one";
    assert!(String::from_utf8_lossy(&after.stdout).contains(credentials), "{after:?}");
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-2"));
    assert_eq!(authority.count("/authorize"), 1);
}

/// Replaces a part of what is kept.
fn change_kept(home: &Home, from: &str, to: &str) {
    let folder = std::fs::read_dir(home.path().join("mcp-tether/oauth")).expect("a folder").flatten();
    let is_json = |path: &std::path::PathBuf| path.extension().is_some_and(|found| found == "json");
    let path = { folder }.map(|entry| entry.path()).find(is_json).expect("kept");
    let text = std::fs::read_to_string(&path).expect("text");
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).expect("written");
}

#[test]
fn login_with_an_unusable_kept_token_signs_in_anew() {
    for (from, to) in [
        ("marked-access-1", "marked\\r\\nX-Evil: 1"),
        ("marked-access-1", ""),
        ("marked-access-1", "marked-other"),
    ] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        super::refresh::signed_in(&home, &authority).finish();
        change_kept(&home, from, to);
        let proxy =
            Proxy::start_with(Stdin::Pipes, &["login", &authority.server.url], &home.environment(&[]));
        assert!(visit(&page(&proxy, 1)).contains("You are signed in"), "{to}");
        assert_eq!(proxy.wait_unread(), Some(0), "{to}");
        let mut proxy = home.start(&authority, &[]);
        assert!(proxy.ask(&call(1)).contains("\"result\""), "{to}");
        assert!(!proxy.finish().stderr.contains("sign in at"), "{to}");
    }
}

#[test]
fn login_succeeds_only_with_accepted_token() {
    for (set, expected) in [
        (Set { accepts: false, ..Set::default() }, "does not accept the token"),
        (
            Set {
                granted: Some(r#"{"access_token":"ACCESS","token_type":"Bearer","expires_in":0.001}"#),
                ..Set::default()
            },
            "of no use",
        ),
    ] {
        let (home, authority) = (Home::new(), Authority::start(set));
        let proxy =
            Proxy::start_with(Stdin::Pipes, &["login", &authority.server.url], &home.environment(&[]));
        visit(&page(&proxy, 1));
        proxy.tells(expected);
        assert_eq!(proxy.wait_unread(), Some(1), "{expected}");
    }
}

#[test]
fn login_that_cannot_be_saved_is_none() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let folder = home.path().join("mcp-tether");
    std::fs::create_dir_all(&folder).expect("created");
    std::fs::write(folder.join("oauth"), "in the place of the folder").expect("written");
    let proxy = Proxy::start_with(Stdin::Pipes, &["login", &authority.server.url], &home.environment(&[]));
    visit(&page(&proxy, 1));
    proxy.tells("cannot be saved");
    assert_eq!(proxy.wait_unread(), Some(1));
    // A process that serves a client works alone.
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    authority.forget(false);
    assert!(proxy.ask(&call(2)).contains("\"result\""), "alone, it exchanges its token");
    proxy.finish();
}
