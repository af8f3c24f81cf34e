//! Signing in where no browser can come back to this computer: the address is pasted, the listener is in a container, or a code
//! takes its place.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::support::PATIENCE;
use super::support::authority::{Authority, Set, value, visit};
use super::support::proxy::{Proxy, Stdin};
use super::{Home, call, page};

/// Where a page leads, without going there.
fn ends_at(page: &str) -> String {
    let url: url::Url = page.parse().expect("a URL");
    let answer = get(url.socket_addrs(|| None).expect("an address")[0].to_string(), url.authority(), page);
    let line = answer.lines().find(|line| line.starts_with("location: ")).expect("a redirect");
    line.trim_start_matches("location: ").to_owned()
}

/// Asks whoever listens at an address, by the host name `host`.
fn get(address: String, host: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let target = target.split_once("//").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let head =
        format!("GET {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n", target.expect("a path"));
    stream.write_all(head.as_bytes()).expect("sent");
    stream.set_read_timeout(Some(PATIENCE)).expect("bounded");
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    // The head, with what comes along: whether the connection stays open is of no interest.
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend_from_slice(&part[..count]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn login(home: &Home, authority: &Authority, more: &[&str]) -> Proxy {
    let arguments = [&["login", authority.server.url.as_str()], more].concat();
    Proxy::start_with(Stdin::Pipes, &arguments, &home.environment(&[("BROWSER", "false")]))
}

#[test]
fn pasted_address_signs_in_without_a_way_back() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = login(&home, &authority, &["--paste"]);
    let address = ends_at(&page(&proxy, 1));
    proxy.send("");
    proxy.send("not an address");
    proxy.tells("not the address that the sign-in under way ends at");
    // Another sign-in's: nothing is consumed by it.
    proxy.send(&address.replace("state=", "state=other"));
    proxy.told_after("not the address that", 2);
    assert_eq!(authority.count("/token"), 0);
    assert!(proxy.told_so_far("a browser should have opened").is_none());
    proxy.send(&format!("  '{address}' "));
    assert_eq!(proxy.wait_unread(), Some(0));
    assert_eq!(authority.count("/token"), 1);
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    proxy.finish();
}

#[test]
fn pasted_address_of_another_issuer_is_refused() {
    for (more, expected) in [
        ("&iss=https://evil.example", "as its issuer"),
        ("&error=access_denied&error_description=no", "access_denied (no)"),
    ] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = login(&home, &authority, &["--paste"]);
        let address = ends_at(&page(&proxy, 1));
        proxy.send(&format!("{address}{more}"));
        let ended = proxy.wait();
        assert!(ended.code == Some(1) && ended.stderr.contains(expected), "{}", ended.stderr);
        assert_eq!(authority.count("/token"), 0);
    }
}

#[test]
fn login_ends_when_nothing_can_be_pasted() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = login(&home, &authority, &["--paste"]);
    page(&proxy, 1);
    proxy.close();
    let ended = proxy.wait();
    assert!(ended.code == Some(1) && ended.stderr.contains("the input ended"), "{}", ended.stderr);
}

#[test]
fn browser_that_can_come_back_needs_no_paste() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let proxy = login(&home, &authority, &["--paste"]);
    assert!(visit(&page(&proxy, 1)).contains("You are signed in"));
    assert_eq!(proxy.wait_unread(), Some(0));
}

#[test]
fn paste_outside_of_login_is_an_error() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &["--paste"]);
    let line = proxy.ask(&call(1));
    assert!(line.contains("--paste is an option of mcp-tether login"), "{line}");
    assert_eq!(proxy.finish().code, Some(2));
    for other in [&["--device-code"][..], &["--client-credentials"]] {
        let ended = login(&home, &authority, &[&["--paste"], other].concat()).wait();
        assert!(ended.code == Some(2) && ended.stderr.contains("cannot be used with"), "{}", ended.stderr);
    }
}

#[test]
fn named_listener_address_leaves_the_redirect_a_loopback_name() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let proxy = login(&home, &authority, &["--callback-bind", "0.0.0.0"]);
    let page = page(&proxy, 1);
    proxy.tells("which other computers may reach");
    let redirect = value(&page, "redirect_uri").expect("a way back");
    let back: url::Url = redirect.parse().expect("a URL");
    assert_eq!(back.host_str(), Some("127.0.0.1"));
    let port = back.port().expect("a port");
    let address = ends_at(&page);
    // A name that leads here from elsewhere is told nothing.
    assert_eq!(get(format!("127.0.0.1:{port}"), "evil.example", &address), "");
    // What comes in by another address than that of the name, as in a container.
    let other = if cfg!(target_os = "linux") { "127.0.0.2" } else { "127.0.0.1" };
    let answer = get(format!("{other}:{port}"), &format!("localhost:{port}"), &address);
    assert!(answer.contains("You are signed in"), "{answer}");
    assert_eq!(proxy.wait_unread(), Some(0));
}

#[test]
fn loopback_listener_warns_of_nothing() {
    for more in [&[][..], &["--callback-bind", "127.0.0.1"]] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let proxy = login(&home, &authority, more);
        visit(&page(&proxy, 1));
        assert!(proxy.told_so_far("other computers").is_none());
        assert_eq!(proxy.wait_unread(), Some(0));
    }
}

#[test]
fn unusable_listener_address_is_named() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    for (address, code, part) in
        [("nowhere", 2, "write an address"), ("203.0.113.7", 1, "--callback-bind is an address")]
    {
        let ended = login(&home, &authority, &["--callback-bind", address]).wait();
        assert!(ended.code == Some(code) && ended.stderr.contains(part), "{}", ended.stderr);
    }
}

#[test]
fn where_no_browser_opens_another_way_is_offered() {
    for (is_device, option) in [(false, "--paste"), (true, "--device-code")] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        if is_device {
            authority
                .change(|set| set.metadata.push_str(r#","device_authorization_endpoint":"BASE/device""#));
        }
        let mut proxy = home.start(&authority, &["--auth-timeout", "1"]);
        let line = proxy.ask(&call(1));
        let command = format!("mcp-tether login {} {option}", authority.server.url);
        assert!(line.contains(&command) && line.contains("\"cause\":\"sign_in\""), "{line}");
        assert!(proxy.finish().stderr.contains(&command));
    }
}
