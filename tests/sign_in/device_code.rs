//! Signing in with a code, on any computer.

use super::support::authority::{Authority, Set, value};
use super::support::proxy::{Proxy, Stdin};
use super::{Home, call, page};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn authority(pending: &[&'static str]) -> Authority {
    let authority = Authority::start(Set { pending: pending.to_vec(), ..Set::default() });
    authority.change(|set| set.metadata.push_str(r#","device_authorization_endpoint":"BASE/device""#));
    authority
}

fn start(home: &Home, authority: &Authority, more: &[&str]) -> Proxy {
    home.start_at(&authority.server.url, &[&["--device-code"], more].concat(), &[("BROWSER", "false")])
}

#[test]
fn user_gets_page_and_code_and_call_succeeds() {
    let home = Home::new();
    let authority = authority(&["authorization_pending", "authorization_pending"]);
    let mut proxy = start(&home, &authority, &["-vvv"]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    let address = page(&proxy, 1);
    assert_eq!(address, format!("http://{}/activate", authority.server.address));
    proxy.tells("with the code AB-CD");
    let told = proxy.finish().stderr;
    assert!(!told.contains("marked") && !told.contains("a browser should have opened"), "{told}");
    let registration = authority.last("/register").body;
    assert!(registration.contains(GRANT) && !registration.contains("redirect_uris"), "{registration}");
    let asked = authority.last("/device").body;
    assert_eq!(value(&asked, "client_id").as_deref(), Some("a-client"));
    assert_eq!(value(&asked, "resource").as_deref(), Some(authority.server.url.as_str()));
    let token = authority.last("/token").body;
    assert_eq!(value(&token, "grant_type").as_deref(), Some(GRANT));
    assert_eq!(value(&token, "resource").as_deref(), Some(authority.server.url.as_str()));
    assert_eq!((authority.count("/token"), authority.count("/authorize")), (3, 0));
    assert!(!home.kept().contains("marked-device"));

    // From here on it is a sign-in like any other: it is kept, and renewed.
    authority.forget(false);
    let mut proxy = start(&home, &authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!(value(&authority.last("/token").body, "grant_type").as_deref(), Some("refresh_token"));
    // Even without the option.
    let mut plain = home.start(&authority, &[]);
    assert!(plain.ask(&call(1)).contains("\"result\""));
    plain.finish();
    // A second sign-in uses the registration of the first.
    authority.forget(true);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    assert_eq!((authority.count("/register"), authority.count("/device")), (1, 2));
    proxy.finish();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "that it waits is what is tested")]
fn it_asks_less_often_when_it_is_told_to() {
    let (home, authority) = (Home::new(), authority(&["slow_down"]));
    let begun = std::time::Instant::now();
    let mut proxy = start(&home, &authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert!(begun.elapsed().as_secs() >= 5);
    proxy.finish();
}

#[test]
fn impatient_client_gets_code_and_sign_in_continues() {
    let (home, authority) = (Home::new(), authority(&["authorization_pending"; 1000]));
    let mut proxy = start(&home, &authority, &["--auth-timeout", "1"]);
    let line = proxy.ask(&call(1));
    assert!(
        line.contains("\"cause\":\"sign_in\"") && line.contains("/activate in a browser on any computer"),
        "{line}"
    );
    assert!(line.contains("the code is AB-CD") && !line.contains("marked"), "{line}");
    // Somebody else waits for the same, and goes on with it when this process is gone.
    let mut second = start(&home, &authority, &["--auth-timeout", "1", "-v"]);
    assert!(second.ask(&call(1)).contains("the code is AB-CD"));
    assert_eq!(authority.count("/device"), 1);
    second.send(&call(2));
    proxy.kill();
    second.tells("is resumed");
    authority.change(|set| set.pending.clear());
    loop {
        let line = second.line();
        if line.contains("\"result\"") {
            break;
        }
        assert!(line.contains("the code is AB-CD"), "{line}");
        second.send(&call(3));
    }
    assert_eq!((authority.count("/device"), authority.count("/register")), (1, 1));
    second.finish();
}

#[test]
fn processes_at_once_show_one_code() {
    let (home, authority) = (Home::new(), authority(&["authorization_pending"; 5]));
    let mut proxies: Vec<Proxy> = (0..8).map(|_| start(&home, &authority, &[])).collect();
    for proxy in &mut proxies {
        proxy.send(&call(1));
    }
    for mut proxy in proxies {
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
    }
    assert_eq!(
        (authority.count("/device"), authority.count("/register"), authority.count("/token")),
        (1, 1, 6)
    );
}

#[test]
fn whoever_refuses_or_is_too_late_is_told_so() {
    for (pending, device, expected) in [
        (vec!["access_denied"], "", "was told not to sign you in"),
        (vec!["authorization_pending", "expired_token"], "", "before the code expired"),
        (vec!["authorization_pending"; 1000], r#","expires_in":1"#, "before the code expired"),
        (vec!["invalid_grant"], "", "gave no token: invalid_grant"),
        (vec![], r#","verification_uri":"file:///etc/passwd""#, "names a page that is not https"),
        (vec![], r#","verification_uri":"javascript:alert(1)""#, "names a page that is not https"),
        (vec![], r#","user_code":"""#, "without a usable code"),
    ] {
        let (home, authority) = (Home::new(), authority(&pending));
        authority.change(|set| set.device.push_str(device));
        let mut proxy = start(&home, &authority, &[]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains("\"cause\":\"sign_in\""), "{expected}: {line}");
        assert!(!line.contains("marked"), "{line}");
        // It is not begun again for each request.
        let before = authority.server.requests().len();
        assert!(proxy.ask(&call(2)).contains(expected));
        assert_eq!(authority.server.requests().len(), before + 1);
        proxy.finish();
    }
    // An authorization server without this grant.
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = start(&home, &authority, &["--static-oauth-client-info", r#"{"client_id":"a"}"#]);
    let line = proxy.ask(&call(1));
    assert!(line.contains("gives no codes") && line.contains("leave --device-code out"), "{line}");
    proxy.finish();
}

#[test]
fn a_person_signs_in_by_hand_with_a_code() {
    let (home, authority) = (Home::new(), authority(&["authorization_pending"]));
    let url = authority.server.url.as_str();
    let proxy = Proxy::start_with(Stdin::Pipes, &["login", url, "--device-code"], &home.environment(&[]));
    proxy.tells("with the code AB-CD");
    assert_eq!(proxy.wait_unread(), Some(0));
    assert!(home.kept().contains("marked-access-1"));
}
