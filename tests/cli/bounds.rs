//! What is bounded however much comes: requests at once, large messages, a server that floods while nobody reads.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::PATIENCE;
use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;

const MIB: usize = 1024 * 1024;

/// Fails if the process ever had this much memory, in MiB, where the system tells.
fn stays_below(proxy: &Proxy, limit: usize) {
    if let Some(peak) = proxy.peak() {
        assert!(peak < limit, "{peak} MiB");
    }
}

#[test]
fn ten_thousand_requests_at_once_are_answered_once_each() {
    const REQUESTS: usize = 10_000;
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let mut proxy = Proxy::start(&[&server.url]);
    let all: String = (0..REQUESTS).map(|id| format!("{{\"id\":{id},\"method\":\"a\"}}\n")).collect();
    proxy.write(all.as_bytes());
    let answers: HashSet<String> = (0..REQUESTS).map(|_| proxy.line()).collect();
    assert_eq!(answers.len(), REQUESTS, "each another");
    assert!(answers.iter().all(|line| line.contains("\"result\"")));
    assert_eq!(server.requests().len(), REQUESTS);
    stays_below(&proxy, 100);
    assert!(proxy.finish().lines.is_empty());
}

#[test]
fn flood_waits_for_slow_client_and_keeps_order() {
    const EVENTS: usize = 30_000;
    const SIZE: usize = 10_000;
    let (tell, written) = channel();
    let tell = Mutex::new(tell);
    let server = Server::start(move |request, reply| {
        reply.open_stream();
        let padding = "x".repeat(SIZE);
        for number in 0..EVENTS {
            reply.event(&format!(r#"{{"method":"n","params":{{"number":{number},"padding":"{padding}"}}}}"#));
            tell.lock().expect("no panic").send(number).expect("the test goes on");
        }
        reply.event(&format!(r#"{{"id":{},"result":{{}}}}"#, request.id()));
    });
    let mut proxy = Proxy::start_unread(Stdin::Pipes, &[&server.url]);
    proxy.send(r#"{"id":1,"method":"flood"}"#);
    let mut last = written.recv_timeout(PATIENCE).expect("the flood begins");
    // A server that writes nothing for this long is being held back.
    while let Ok(number) = written.recv_timeout(Duration::from_millis(500)) {
        last = number;
    }
    assert!(last < EVENTS / 2, "{last} events of {SIZE} bytes wait somewhere");
    proxy.listen();
    for number in 0..EVENTS {
        let line = proxy.line();
        assert!(line.contains(&format!("\"number\":{number},")), "{number}: {}", &line[..60]);
    }
    assert_eq!(proxy.line(), r#"{"id":1,"result":{}}"#);
    stays_below(&proxy, 100);
    assert!(proxy.finish().lines.is_empty());
}

#[test]
fn large_messages_pass_and_are_held_once() {
    const SIZE: usize = 50;
    let part = "x".repeat(MIB);
    let params = part.clone();
    let server = Server::start(move |request, reply| {
        let (begin, end) = (format!(r#"{{"id":{},"result":""#, request.id()), r#""}"#);
        let length = begin.len() + SIZE * MIB + end.len();
        match request.id() {
            "1" => return reply.json(r#"{"id":1,"result":{}}"#),
            "2" => reply.raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")),
            _ => {
                reply.open_stream();
                reply.raw("data: ");
            }
        }
        reply.raw(begin);
        (0..SIZE).for_each(|_| reply.raw(&part));
        reply.raw(end);
        if request.id() == "3" {
            reply.raw("\n\n");
        }
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.write(br#"{"id":1,"method":"a","params":""#);
    (0..SIZE).for_each(|_| proxy.write(params.as_bytes()));
    proxy.write(b"\"}\n");
    assert_eq!(proxy.line(), r#"{"id":1,"result":{}}"#);
    assert_eq!(server.requests()[0].body.len(), 33 + SIZE * MIB);
    for id in [2, 3] {
        let line = proxy.ask(&format!(r#"{{"id":{id},"method":"a"}}"#));
        assert_eq!(line.len(), 20 + SIZE * MIB, "{id}");
    }
    stays_below(&proxy, SIZE * 2);
    assert!(proxy.finish().lines.is_empty());
}
