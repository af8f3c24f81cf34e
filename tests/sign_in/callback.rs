//! Whoever else comes to the page that a person is to come back to: pages of this machine's browser, other programs, and
//! those who only hold a connection. None of them changes anything, and none keeps the person out.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::support::authority::{Authority, Set, value, visit};
use super::support::proxy::Proxy;
use super::{Home, call, page};

/// A sign-in that waits for a person: the page, and where its listener is.
fn waiting() -> (Home, Authority, Proxy, String, url::Url) {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    let back = value(address.split_once('?').expect("a query").1, "redirect_uri").expect("a way back");
    (home, authority, proxy, address, back.parse().expect("a URL"))
}

fn connect(back: &url::Url) -> TcpStream {
    TcpStream::connect(("127.0.0.1", back.port().expect("a port"))).expect("it listens")
}

/// What is answered to these bytes.
fn answered(back: &url::Url, bytes: &str) -> String {
    let mut stream = connect(back);
    // It may have heard enough before all is written.
    let _ = stream.write_all(bytes.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut shown = Vec::new();
    let _ = stream.read_to_end(&mut shown);
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn nothing_but_the_answer_itself_does_anything() {
    let (_home, authority, mut proxy, address, back) = waiting();
    let state = value(address.split_once('?').expect("a query").1, "state").expect("a state");
    let right = format!("/oauth/callback?code=CODE&state={state}");
    let port = back.port().expect("a port");
    let long = "x".repeat(64 * 1024);
    for request in [
        // Of another method, another path, another form.
        format!("POST {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 0\r\n\r\n"),
        format!("HEAD {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"),
        format!("OPTIONS {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\norigin: https://evil.example\r\n\r\n"),
        format!("GET /x{right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"),
        format!("GET http://evil.example{right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"),
        format!("GET {right}&x={long} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"),
        "GET\r\n\r\n".to_owned(),
        "\u{0}\r\n\r\n".to_owned(),
        String::new(),
        // A name of somebody else's that was made to lead here.
        format!("GET {right} HTTP/1.1\r\nhost: evil.example:{port}\r\n\r\n"),
        format!("GET {right} HTTP/1.1\r\nhost: 127.0.0.1.evil.example\r\n\r\n"),
        format!("GET {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nHost: evil.example\r\n\r\n"),
        format!("GET {right} HTTP/1.1\r\nhost: user@127.0.0.1@evil.example\r\n\r\n"),
    ] {
        let shown = answered(&back, &request);
        assert!(shown.is_empty() || shown.starts_with("HTTP/1.1 40"), "{request:.200}: {shown}");
        assert!(!shown.contains(&state) && !shown.contains("evil"), "{shown}");
    }
    assert_eq!(authority.count("/token"), 0);
    assert!(visit(&address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    // Nobody listens any more.
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    proxy.finish();
}

#[test]
fn idle_connections_do_not_block_the_redirect() {
    let (_home, _authority, mut proxy, address, back) = waiting();
    let mut held: Vec<TcpStream> = (0..100).map(|_| connect(&back)).collect();
    for stream in &mut held {
        // A part of a head, and no more.
        let _ = stream.write_all(b"GET /oauth/callback?code=x HTTP/1.1\r\nx: ");
    }
    assert!(visit(&address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    drop(held);
}

#[test]
fn concurrent_wrong_states_all_get_error_page() {
    let (_home, authority, mut proxy, address, back) = waiting();
    std::thread::scope(|scope| {
        let guess = |from: usize| {
            for number in from..from + 25 {
                let shown = visit(&format!("{back}?code=CODE&state={number}&error=access_denied"));
                assert!(shown.is_empty() || shown.starts_with("HTTP/1.1 400"), "{shown}");
            }
        };
        let guessing: Vec<_> = (0..8).map(|at| scope.spawn(move || guess(at * 25))).collect();
        guessing.into_iter().for_each(|guess| guess.join().expect("told"));
    });
    assert_eq!(authority.count("/token"), 0);
    assert!(visit(&address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}
