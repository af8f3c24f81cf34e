//! A token that lacks a scope in the middle of a session: what is missing is requested once, and nothing is lost.

use std::sync::atomic::{AtomicBool, Ordering};

use super::support::authority::{Authority, Instead, Set, value, visit};
use super::support::proxy::Proxy;
use super::{Home, call, page};

/// A call of a tool, which the server may want a scope of this name for.
fn call_of(id: u32, tool: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
}

fn list(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#)
}

fn authority(wants: &'static str) -> Authority {
    let authority = Authority::start(Set { wants: Some(wants), ..Set::default() });
    authority.change(|set| set.challenge.push_str(", scope=\"read\""));
    authority
}

/// Signs in for what needs no more than the first scope.
fn signed_in(home: &Home, authority: &Authority, arguments: &[&str]) -> Proxy {
    let mut proxy = home.start(authority, arguments);
    proxy.send(&list(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy
}

/// The scope that a page asks for.
fn scope(address: &str) -> String {
    value(address, "scope").unwrap_or_default()
}

#[test]
fn calls_that_miss_different_scopes_share_next_page() {
    let (home, authority) = (Home::new(), authority("NAME"));
    let mut proxy = signed_in(&home, &authority, &["--auth-timeout", "1"]);
    let first = proxy.ask(&call_of(2, "files"));
    let address = page(&proxy, 2);
    assert!(first.contains("requires a sign-in"), "{first}");
    assert_eq!(scope(&address), "read files");
    // Others that lack something else wait for the same page.
    for (id, tool) in [(3, "mail"), (4, "calendar")] {
        let line = proxy.ask(&call_of(id, tool));
        assert!(line.contains("requires a sign-in") && line.contains("scope=read+files"), "{line}");
    }
    visit(&address);
    // The next page asks for what all of them lack.
    let mut line = proxy.ask(&call_of(5, "mail"));
    while !line.contains("scope=read+files+mail+calendar") {
        assert!(line.contains("scope=read+files&") || line.contains("scope=read+files\""), "{line}");
        line = proxy.ask(&call_of(5, "mail"));
    }
    let address = page(&proxy, 3);
    assert_eq!(scope(&address), "read files mail calendar");
    visit(&address);
    let mut id = 6;
    while !proxy.ask(&call_of(id, "calendar")).contains("\"result\"") {
        id += 1;
    }
    for tool in ["files", "mail", "calendar"] {
        assert!(proxy.ask(&call_of(id + 1, tool)).contains("\"result\""), "{tool}");
    }
    let told = proxy.finish().stderr;
    assert_eq!((told.matches("sign in at ").count(), authority.count("/authorize")), (3, 3), "{told}");
}

#[test]
fn scope_that_does_not_suffice_is_named_without_loop() {
    // The server wants a word that no scope has.
    let (home, authority) = (Home::new(), authority("files write"));
    let mut proxy = signed_in(&home, &authority, &[]);
    proxy.send(&call(2));
    let address = page(&proxy, 2);
    assert_eq!(scope(&address), "read files write");
    visit(&address);
    for line in [proxy.line(), proxy.ask(&call(3)), proxy.ask(&call(4))] {
        assert!(line.contains("requires the scope files write, which was requested"), "{line}");
        assert!(line.contains("mcp-tether login") && line.contains("403"), "{line}");
    }
    assert!(proxy.ask(&list(5)).contains("\"result\""), "the token is still of use for other requests");
    proxy.finish();
    assert_eq!((authority.count("/authorize"), authority.count("/token")), (2, 2));
}

#[test]
fn refusal_that_names_no_scope_leads_to_all_that_server_offers() {
    for (offered, expected) in
        [("", None), (r#","scopes_supported":["read","files","mail"]"#, Some("read files mail"))]
    {
        let (home, authority) = (Home::new(), authority("mail"));
        let mut proxy = signed_in(&home, &authority, &[]);
        let is_refused = AtomicBool::new(false);
        authority.change(|set| {
            set.resource.push_str(offered);
            set.instead = Instead::new(move |request, reply| {
                let refuses = request.title() == "tools/call" && !is_refused.swap(true, Ordering::Relaxed);
                if refuses {
                    let challenge = "Bearer error=\"insufficient_scope\", scope=\" \"";
                    reply.answer(403, &[("www-authenticate", challenge)], "");
                }
                refuses
            });
        });
        proxy.send(&call(2));
        if let Some(expected) = expected {
            let address = page(&proxy, 2);
            assert_eq!(scope(&address), expected);
            visit(&address);
        }
        let line = proxy.line();
        assert_eq!(line.contains("\"result\""), expected.is_some(), "{line}");
        proxy.finish();
        assert_eq!(authority.count("/authorize"), if expected.is_some() { 2 } else { 1 });
    }
}

#[test]
fn denied_step_up_keeps_token_for_other_requests() {
    let (home, authority) = (Home::new(), authority("write"));
    let mut proxy = signed_in(&home, &authority, &[]);
    authority.change(|set| set.back = "error=access_denied&state=STATE".to_owned());
    proxy.send(&call(2));
    assert!(visit(&page(&proxy, 2)).contains("access_denied"));
    assert!(proxy.line().contains("did not sign you in"));
    assert!(proxy.ask(&list(3)).contains("\"result\""));
    // Not asked again at once.
    assert!(proxy.ask(&call(4)).contains("did not sign you in"));
    assert!(proxy.ask(&list(5)).contains("\"result\""));
    let told = proxy.finish().stderr;
    assert_eq!((told.matches("sign in at ").count(), authority.count("/token")), (2, 1), "{told}");
    assert!(home.kept().contains("marked-refresh-1"));
}

#[test]
fn refresh_and_next_process_keep_all_scopes() {
    let (home, authority) = (Home::new(), authority("NAME"));
    let mut proxy = signed_in(&home, &authority, &[]);
    proxy.send(&call_of(2, "write"));
    visit(&page(&proxy, 2));
    assert!(proxy.line().contains("\"result\""));
    authority.forget(false);
    assert!(proxy.ask(&call_of(3, "write")).contains("\"result\""), "the refreshed token has both scopes");
    assert_eq!(value(&authority.last("/token").body, "grant_type").as_deref(), Some("refresh_token"));
    proxy.finish();
    assert!(home.kept().contains(r#""requested":"read write""#));
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call_of(4, "write")).contains("\"result\""));
    proxy.send(&call_of(5, "admin"));
    let address = page(&proxy, 1);
    assert_eq!(scope(&address), "read write admin");
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn another_process_uses_token_with_more_scopes() {
    let (home, authority) = (Home::new(), authority("NAME"));
    let mut first = signed_in(&home, &authority, &[]);
    let mut second = home.start(&authority, &[]);
    assert!(second.ask(&list(2)).contains("\"result\""));
    first.send(&call_of(3, "write"));
    visit(&page(&first, 2));
    assert!(first.line().contains("\"result\""));
    assert!(second.ask(&call_of(4, "write")).contains("\"result\""));
    assert!(!second.finish().stderr.contains("sign in at"));
    first.finish();
}

#[test]
fn granted_scopes_are_kept_although_none_was_requested() {
    let granted = r#"{"access_token":"ACCESS","refresh_token":"REFRESH","token_type":"Bearer","expires_in":3600,"scope":"profile read"}"#;
    let set = Set { wants: Some("write"), granted: Some(granted), ..Set::default() };
    let (home, authority) = (Home::new(), Authority::start(set));
    let mut proxy = signed_in(&home, &authority, &[]);
    assert_eq!(authority.count("/authorize"), 1);
    proxy.send(&call(2));
    let address = page(&proxy, 2);
    assert_eq!(scope(&address), "profile read write");
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn scope_of_options_is_not_extended() {
    let (home, authority) = (Home::new(), authority("write"));
    let mut proxy = signed_in(&home, &authority, &["--authorize-param", "scope=read"]);
    let line = proxy.ask(&call(2));
    for part in ["requires the scope write, which is not among", "--authorize-param", "403"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    proxy.finish();
    assert_eq!(authority.count("/authorize"), 1);
}

#[test]
fn refusal_that_names_no_scope_asks_nobody() {
    let (home, authority) = (Home::new(), authority(""));
    let mut proxy = signed_in(&home, &authority, &[]);
    let line = proxy.ask(&call(2));
    assert!(line.contains("\"error\"") && line.contains("403"), "{line}");
    proxy.finish();
    assert_eq!(authority.count("/authorize"), 1);
}

#[test]
fn client_credentials_request_missing_scope_once() {
    let client = r#"{"client_id":"c","client_secret":"marked-of-client"}"#;
    let options = ["--client-credentials", "--static-oauth-client-info", client];
    for (wants, is_granted) in [("write", true), ("write more", false)] {
        let (home, authority) = (Home::new(), authority(wants));
        let mut proxy = home.start(&authority, &options);
        assert!(proxy.ask(&list(1)).contains("\"result\""));
        let line = proxy.ask(&call(2));
        assert_eq!(line.contains("\"result\""), is_granted, "{line}");
        assert!(is_granted || line.contains("requires the scope write more"), "{line}");
        let last = value(&authority.last("/token").body, "scope");
        assert_eq!(last.as_deref(), Some(format!("read {wants}").as_str()));
        proxy.ask(&call(3));
        proxy.finish();
        assert_eq!(authority.count("/token"), 2, "{wants}");
    }
}
