//! Tokens that run out, processes that share a sign-in, and processes that are killed in the middle of one.

use super::support::authority::{Authority, Set, value, visit};
use super::support::proxy::Proxy;
use super::{Home, call, page};

/// Signs in, and leaves the proxy running.
fn signed_in(home: &Home, authority: &Authority) -> Proxy {
    let mut proxy = home.start(authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy
}

#[test]
fn a_token_near_its_end_is_exchanged_before_anybody_refuses_it() {
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
fn a_token_that_is_refused_is_exchanged_once_for_however_many_requests() {
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
fn an_exchange_that_is_refused_for_good_leads_to_a_new_sign_in_and_one_that_fails_does_not() {
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
fn processes_at_once_share_one_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxies: Vec<Proxy> = (0..20).map(|_| home.start(&authority, &[])).collect();
    // The first has its page up before the others ask.
    proxies[0].send(&call(1));
    let address = page(&proxies[0], 1);
    for proxy in &mut proxies[1..] {
        proxy.send(&call(1));
    }
    authority.server.wait_for(|request| request.path == "/mcp");
    visit(&address);
    for mut proxy in proxies {
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
    }
    assert_eq!((authority.count("/register"), authority.count("/token")), (1, 1));
}

#[test]
fn processes_at_once_exchange_a_token_once() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let first = signed_in(&home, &authority);
    let mut proxies: Vec<Proxy> = (0..8).map(|_| home.start(&authority, &[])).collect();
    for proxy in &mut proxies {
        assert!(proxy.ask(&call(1)).contains("\"result\""));
    }
    authority.forget(false);
    for proxy in &mut proxies {
        proxy.send(&call(2));
    }
    for mut proxy in proxies {
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
    }
    first.finish();
    assert_eq!(authority.count("/token"), 2, "one code, one exchange");
}

#[test]
fn a_process_that_is_killed_leaves_its_page_to_the_next_one() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    proxy.kill();
    let mut proxy = home.start(&authority, &["-v"]);
    proxy.send(&call(1));
    proxy.tells("is gone on with");
    assert!(visit(&address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!((authority.count("/register"), authority.count("/token")), (1, 1));
}

#[test]
fn another_process_takes_over_while_it_waits() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut first = home.start(&authority, &[]);
    first.send(&call(1));
    let address = page(&first, 1);
    let mut second = home.start(&authority, &["--auth-timeout", "1", "-v"]);
    let line = second.ask(&call(1));
    assert!(line.contains(&address), "it knows the other's page: {line}");
    second.send(&call(2));
    first.kill();
    second.tells("is gone on with");
    assert!(visit(&address).contains("You are signed in"));
    loop {
        let line = second.line();
        if line.contains("\"result\"") {
            break;
        }
        assert!(line.contains(&address), "{line}");
        second.send(&call(3));
    }
    second.finish();
}

#[test]
fn killed_at_any_moment_the_next_start_works() {
    for path in ["/.well-known/oauth-protected-resource/mcp", "/register", "/token"] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = home.start(&authority, &[]);
        proxy.send(&call(1));
        if path == "/token" {
            visit(&page(&proxy, 1));
        }
        authority.server.wait_for(|request| request.path == path);
        proxy.kill();
        let mut proxy = home.start(&authority, &["-v"]);
        proxy.send(&call(1));
        if path != "/token" {
            visit(&page(&proxy, 1));
        } else if !home.kept().contains("marked-access") {
            // The code was given away in vain; the page is the next one's, and brings another.
            proxy.tells("is gone on with");
            visit(&format!("http://{}{}", authority.server.address, authority.last("/authorize").path));
        }
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{path}: {line}");
        proxy.finish();
    }
}
