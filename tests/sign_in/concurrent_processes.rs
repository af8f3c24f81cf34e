//! Many processes at once, as many clients or one client that starts many have them: one registers, one page is shown, one
//! code is exchanged, one token renewed.

use super::refresh::signed_in;
use super::support::INITIALIZE;
use super::support::authority::{Authority, Set, visit};
use super::support::proxy::Proxy;
use super::{Home, call};

/// A call of a modern client, which stands alone.
pub(crate) const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}}}"#;

/// The page that one of them shows, whichever it is.
pub(crate) fn one_page(proxies: &[Proxy]) -> String {
    loop {
        if let Some(address) = proxies.iter().find_map(|proxy| proxy.told_so_far("sign in at ")) {
            return address;
        }
        std::thread::yield_now();
    }
}

#[test]
fn twenty_processes_share_one_first_sign_in() {
    // Legacy clients alone, and clients of both eras mixed.
    for modern in [0, 10] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let mut proxies: Vec<Proxy> = (0..20).map(|_| home.start(&authority, &[])).collect();
        for (index, proxy) in proxies.iter_mut().enumerate() {
            proxy.send(if index < modern { MODERN } else { INITIALIZE });
        }
        let address = one_page(&proxies);
        assert!(visit(&address).contains("You are signed in"));
        let mut pages = 0;
        for mut proxy in proxies {
            let line = proxy.line();
            assert!(line.contains("\"result\""), "{line}");
            pages += proxy.finish().stderr.matches("sign in at ").count();
        }
        assert_eq!(
            (authority.count("/register"), authority.count("/token"), pages),
            (1, 1, 1),
            "one registration, one code, one page"
        );
    }
}

#[test]
fn twenty_whose_token_has_run_out_exchange_it_once() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    signed_in(&home, &authority).finish();
    authority.forget(false);
    let mut proxies: Vec<Proxy> = (0..20).map(|_| home.start(&authority, &[])).collect();
    for proxy in &mut proxies {
        proxy.send(&call(1));
    }
    for mut proxy in proxies {
        assert!(proxy.line().contains("\"result\""));
        assert!(!proxy.finish().stderr.contains("sign in at"));
    }
    assert_eq!(authority.count("/token"), 2, "one code, one exchange");
}

#[test]
fn twenty_processes_share_rejected_refresh_and_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxies: Vec<Proxy> = vec![signed_in(&home, &authority)];
    proxies.extend((1..20).map(|_| home.start(&authority, &[])));
    for proxy in &mut proxies[1..] {
        assert!(proxy.ask(&call(1)).contains("\"result\""));
    }
    authority.forget(true);
    for proxy in &mut proxies {
        proxy.send(&call(2));
    }
    authority.server.wait_for(|request| request.body.contains("grant_type=refresh_token"));
    let before = format!("http://{}{}", authority.server.address, authority.last("/authorize").path);
    let address = loop {
        let shown = proxies.iter().filter_map(|proxy| proxy.told_last("sign in at "));
        if let Some(address) = { shown }.find(|address| *address != before) {
            break address;
        }
        std::thread::yield_now();
    };
    assert!(visit(&address).contains("You are signed in"));
    for mut proxy in proxies {
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{line}");
        proxy.finish();
    }
    assert_eq!((authority.count("/register"), authority.count("/authorize")), (1, 2));
    assert_eq!(authority.count("/token"), 3, "a code, one exchange in vain, a code");
}

#[test]
fn twenty_processes_share_one_denial() {
    let back = "error=access_denied&error_description=no+thanks&state=STATE";
    let (home, authority) = (Home::new(), Authority::start(Set { back: back.to_owned(), ..Set::default() }));
    let mut proxies: Vec<Proxy> = (0..20).map(|_| home.start(&authority, &[])).collect();
    for proxy in &mut proxies {
        proxy.send(&call(1));
    }
    let address = one_page(&proxies);
    assert!(visit(&address).contains("access_denied"));
    let (mut pages, mut repeated) = (0, 0);
    for mut proxy in proxies {
        let line = proxy.line();
        assert!(line.contains("did not sign you in"), "{line}");
        let told = proxy.finish().stderr;
        // What the server wrote is repeated by the process that it was written to.
        assert_eq!(line.contains("no thanks"), told.contains("no thanks"), "{line} {told}");
        repeated += usize::from(line.contains("no thanks"));
        pages += told.matches("sign in at ").count();
    }
    assert_eq!((pages, repeated, authority.count("/register")), (1, 1, 1));
    // Whoever comes later asks again.
    let folder = std::fs::read_dir(home.path().join("mcp-tether/oauth")).expect("a folder").flatten();
    let flow =
        { folder }.find(|entry| entry.file_name().to_string_lossy().ends_with(".flow")).expect("noted");
    let noted = std::fs::read_to_string(flow.path()).expect("text");
    assert!(noted.contains("\"kind\":\"denied\"") && !noted.contains("no thanks"), "{noted}");
    std::fs::write(flow.path(), noted.replace("{\"at\":1", "{\"at\":")).expect("written");
    authority.change(|set| set.back = "code=CODE&state=STATE".to_owned());
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    assert!(visit(&super::page(&proxy, 1)).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
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
fn secrets_that_one_process_is_told_reach_no_other() {
    let refusal = r#"{"error":"invalid_request","error_description":"no marked-tenant of marked-secret"}"#;
    let set = Set { registration: Some((400, refusal)), held: Some("/register"), ..Set::default() };
    let (home, authority) = (Home::new(), Authority::start(set));
    let (mut one, mut other) = (home.start(&authority, &[]), home.start(&authority, &["-v"]));
    one.send(&call(1));
    authority.server.wait_for(|request| request.path == "/register");
    other.send(&call(2));
    authority.server.wait_for(|request| request.path == "/mcp" && request.body.contains("\"id\":2"));
    authority.change(|set| set.held = None);
    assert!(one.line().contains("did not register this program"));
    let line = other.line();
    assert!(line.contains("did not register this program, as another process has found"), "{line}");
    one.finish();
    let told = other.finish().stderr;
    assert!(!line.contains("marked") && !told.contains("marked"), "{line} {told}");
    for entry in std::fs::read_dir(home.path().join("mcp-tether/oauth")).expect("a folder").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("text");
        assert!(!text.contains("marked"), "{}: {text}", entry.path().display());
    }
}
