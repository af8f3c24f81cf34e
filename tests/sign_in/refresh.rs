//! Tokens that run out, and what becomes of those that are on their way when nobody waits for them any more.

use super::concurrent_processes::MODERN;
use super::support::authority::{Authority, Set, value, visit};
use super::support::proxy::Proxy;
use super::{Home, call, page};

/// Signs in, and leaves the proxy running.
pub(crate) fn signed_in(home: &Home, authority: &Authority) -> Proxy {
    let mut proxy = home.start(authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy
}

#[test]
fn token_is_refreshed_before_rejection() {
    // Half of its life is over at once.
    let (home, authority) = (Home::new(), Authority::start(Set { expires_in: 1, ..Set::default() }));
    let mut proxy = signed_in(&home, &authority);
    authority.change(|set| set.expires_in = 3600);
    let mut id = 2;
    while authority.count("/token") < 2 {
        assert!(proxy.ask(&call(id)).contains("\"result\""));
        id += 1;
    }
    let refresh = authority.last("/token").body;
    assert_eq!(value(&refresh, "grant_type").as_deref(), Some("refresh_token"));
    assert_eq!(value(&refresh, "refresh_token").as_deref(), Some("marked-refresh-1"));
    assert_eq!(value(&refresh, "resource").as_deref(), Some(authority.server.url.as_str()));
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-2"));
    assert!(home.kept().contains("marked-refresh-2") && !home.kept().contains("marked-refresh-1"));
    proxy.finish();
    assert_eq!(authority.count("/authorize"), 1);
}

#[test]
fn token_with_absurd_lifetime_is_used() {
    const GRANTED: [&str; 10] = [
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":18446744073709551615}"#,
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":18446744073709551616}"#,
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":9223372036854775807}"#,
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":-1}"#,
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":-1e300}"#,
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":1e300}"#,
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":1e18}"#,
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":"1e400"}"#,
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":"NaN"}"#,
        r#"{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":""}"#,
    ];
    for granted in GRANTED {
        let (home, authority) =
            (Home::new(), Authority::start(Set { granted: Some(granted), ..Set::default() }));
        let first = signed_in(&home, &authority).finish();
        let mut second = home.start(&authority, &[]);
        assert!(second.ask(&call(2)).contains("\"result\""), "{granted}");
        let second = second.finish();
        assert_eq!((first.code, second.code), (Some(0), Some(0)), "{granted}");
        assert!(!first.stderr.contains("defect") && !second.stderr.contains("defect"), "{granted}");
    }
}

#[test]
fn rejected_token_is_refreshed_once_for_all_requests() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = signed_in(&home, &authority);
    authority.forget(false);
    for id in 2..22 {
        proxy.send(&call(id));
    }
    for _ in 2..22 {
        assert!(proxy.line().contains("\"result\""));
    }
    assert_eq!(authority.count("/token"), 2);
    assert!(!proxy.finish().stderr.contains("marked"));
}

#[test]
fn only_final_refresh_rejection_leads_to_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = signed_in(&home, &authority);
    authority.forget(false);
    authority.change(|set| set.refresh = Some((503, "busy")));
    let line = proxy.ask(&call(2));
    assert!(line.contains("answered 503 instead of a token"), "{line}");
    assert!(home.kept().contains("marked-refresh-1"), "what may still hold is kept");
    authority.change(|set| set.refresh = None);
    assert!(proxy.ask(&call(3)).contains("\"result\""));
    authority.forget(true);
    proxy.send(&call(4));
    visit(&page(&proxy, 2));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn ended_grant_is_reported_with_possible_cause() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = signed_in(&home, &authority);
    authority.forget(true);
    for id in 2..12 {
        proxy.send(&call(id));
    }
    visit(&page(&proxy, 2));
    for _ in 2..12 {
        assert!(proxy.line().contains("\"result\""));
    }
    let told = proxy.finish().stderr;
    assert!(told.contains("has come to its end") && told.contains("you may have lost access"), "{told}");
    assert_eq!(authority.count("/token"), 3, "a code, one exchange in vain, a code");
}

#[test]
fn rejected_new_token_leads_to_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = signed_in(&home, &authority);
    authority.forget(false);
    authority.change(|set| set.accepts = false);
    proxy.send(&call(2));
    let address = page(&proxy, 2);
    assert_eq!(authority.count("/token"), 2, "one exchange, and no more of them");
    authority.change(|set| set.accepts = true);
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn pending_token_is_stored_when_request_is_cancelled() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = signed_in(&home, &authority);
    authority.forget(false);
    authority.change(|set| set.held = Some("/token, done"));
    // Of 2026-07-28, where a cancellation ends the exchange at once.
    proxy.send(MODERN);
    authority.server.wait_for(|request| request.body.contains("grant_type=refresh_token"));
    proxy.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    // The answer to what comes behind it says that it was heard.
    assert!(proxy.ask("x").contains("-32700"));
    authority.change(|set| set.held = None);
    assert!(proxy.ask(&call(3)).contains("\"result\""));
    assert_eq!(authority.count("/token"), 2, "what was on its way is what is used");
    assert!(home.kept().contains("marked-refresh-2"));
    proxy.finish();
    assert_eq!(authority.count("/authorize"), 1);
}

#[test]
fn pending_token_is_stored_when_program_stops() {
    for grant in ["authorization_code", "refresh_token"] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = home.start(&authority, &[]);
        proxy.send(&call(1));
        let address = page(&proxy, 1);
        if grant == "refresh_token" {
            visit(&address);
            assert!(proxy.line().contains("\"result\""));
            authority.forget(false);
        }
        authority.change(|set| set.held = Some("/token, done"));
        let visitor = (grant != "refresh_token").then(|| std::thread::spawn(move || visit(&address)));
        proxy.send(&call(2));
        authority.server.wait_for(|request| request.body.contains(&format!("grant_type={grant}")));
        let kill = std::process::Command::new("kill").arg("-TERM").arg(proxy.id().to_string()).status();
        assert!(kill.expect("there is a kill").success());
        // It has stopped talking, and waits only for this.
        let last = proxy.line();
        assert!(last.contains("\"error\""), "{last}");
        authority.change(|set| set.held = None);
        proxy.wait();
        visitor.map(|visitor| visitor.join().expect("a page"));
        let mut proxy = home.start(&authority, &[]);
        assert!(proxy.ask(&call(3)).contains("\"result\""), "{grant}");
        let told = proxy.finish().stderr;
        assert!(!told.contains("sign in at"), "{grant}: {told}");
    }
}
