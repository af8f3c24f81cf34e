//! What an exchange reports, event by event: the transport by itself, without bridge and client.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use mcp_tether::auth::Credentials;
use mcp_tether::auth::credential_provider::CredentialProvider;
use mcp_tether::bridge::{Ask, Event, ExchangeId, ExchangeOutcome, Facts, Outgoing, Written};
use mcp_tether::http::{Family, Http, Patience, Settings};
use mcp_tether::jsonrpc::Message;
use mcp_tether::oauth::RequestCredentials;
use mcp_tether::remote::streamable::Streamable;
use mcp_tether::remote::{EventSender, Remote};
use mcp_tether::tls::Trust;
use url::Url;

use crate::support::PATIENCE;
use crate::support::server::{Reply, Request, Server};

/// The transport to a server.
fn streamable(url: &str) -> Streamable {
    let url = Url::parse(url).expect("a URL");
    let settings = Settings {
        connect_timeout: Some(Duration::from_secs(5)),
        patience: Patience::default(),
        trust: Trust::default(),
        proxy: None,
        family: Family::Any,
        cookies: true,
        inspect: false,
    };
    let http = Http::new(&url, settings).expect("a client");
    let provider = CredentialProvider::fixed(Credentials::new(&url, Vec::new()));
    Streamable::new(url.clone(), http, RequestCredentials::new(provider, None))
}

/// The events of one exchange, each as a line, and its ending.
pub(crate) async fn events(url: &str, ask: Ask) -> (Vec<String>, ExchangeOutcome) {
    events_of(&streamable(url), ask).await
}

async fn events_of(remote: &Streamable, ask: Ask) -> (Vec<String>, ExchangeOutcome) {
    let (sender, mut receiver) = EventSender::channel(16);
    let exchange = remote.start(ExchangeId(1), Outgoing { ask, facts: Facts::default() }, sender);
    let listen = async {
        let mut lines = Vec::new();
        while let Some(event) = receiver.recv().await {
            if let Event::Ended(_, outcome) = event {
                return (lines, outcome);
            }
            lines.push(event.to_string());
        }
        panic!("it never ended: {lines:?}");
    };
    let both = async { tokio::join!(exchange, listen).1 };
    tokio::time::timeout(PATIENCE, both).await.expect("an end in time")
}

pub(crate) fn post(text: &str) -> Ask {
    Ask::Post(Message::parse(text.to_owned().into()).expect("a message"))
}

fn server(handler: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Server {
    Server::start(handler)
}

/// The server closes the connection, and the next request begins before the event loop has looked at its sockets again.
#[tokio::test]
async fn closed_idle_connection_is_noticed_before_the_next_request() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let (close, closing) = channel::<()>();
    let (closed, is_closed) = channel::<()>();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut received = Vec::new();
            while !received.ends_with(b"}") {
                let mut part = [0; 4096];
                let size = stream.read(&mut part).expect("it is open");
                assert!(size > 0, "a whole request");
                received.extend_from_slice(&part[..size]);
            }
            let body = r#"{"id":1,"result":{}}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).expect("it is open");
            if closing.recv().is_err() {
                return;
            }
            drop(stream);
            // What was sent before a new handshake on the same interface has arrived by its end.
            let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
            TcpStream::connect(other.local_addr().expect("an address")).expect("it listens");
            closed.send(()).expect("the test waits");
        }
    });
    let remote = streamable(&url);
    // On a busy machine the system may deliver the end of a connection late; without the check every second request is lost.
    let mut lost = 0;
    for _ in 0..50 {
        let (_, outcome) = events_of(&remote, post(r#"{"id":1,"method":"tools/call"}"#)).await;
        match outcome {
            ExchangeOutcome::Complete => {
                close.send(()).expect("the server waits");
                // The thread of the event loop stands still meanwhile.
                is_closed.recv_timeout(PATIENCE).expect("closed");
            }
            _ => lost += 1,
        }
    }
    assert!(lost <= 10, "{lost} of 50 requests were lost");
}

#[tokio::test]
async fn answer_is_bound_to_its_request() {
    let server = server(|request, reply| reply.result(request, "{}"));
    let (lines, outcome) = events(&server.url, post(r#"{"id":1,"method":"a"}"#)).await;
    assert_eq!(lines, ["sent #1", "opened #1 200", "server #1 result 1"]);
    assert_eq!(outcome, ExchangeOutcome::Complete);
}

#[tokio::test]
async fn notification_is_accepted() {
    let server = server(|_, reply| reply.status(202));
    let (lines, outcome) = events(&server.url, post(r#"{"method":"a"}"#)).await;
    assert_eq!(lines, ["sent #1", "opened #1 202"]);
    assert_eq!(outcome, ExchangeOutcome::Accepted(202));
}

#[tokio::test]
async fn failed_connection_sent_nothing() {
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let (lines, outcome) = events(&format!("http://{closed}/"), post(r#"{"id":1,"method":"a"}"#)).await;
    assert_eq!(lines, [""; 0]);
    assert!(matches!(outcome, ExchangeOutcome::Lost { written: Written::No, .. }), "{outcome}");
}

#[tokio::test]
async fn broken_connection_may_have_sent_everything() {
    let server = server(|_, reply| reply.close());
    let (lines, outcome) = events(&server.url, post(r#"{"id":1,"method":"a"}"#)).await;
    assert_eq!(lines, ["sent #1"]);
    assert!(matches!(outcome, ExchangeOutcome::Lost { written: Written::Maybe, .. }), "{outcome}");
}

#[tokio::test]
async fn ended_stream_is_complete_and_broken_one_cut() {
    let ends = server(|_, reply| {
        reply.open_stream();
        reply.event(r#"{"method":"n"}"#);
    });
    let (lines, outcome) = events(&ends.url, Ask::Listen { after: None }).await;
    assert_eq!((lines.len(), outcome), (2, ExchangeOutcome::Complete));
    let breaks = server(|_, reply| {
        reply.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        reply.close();
    });
    let (_, outcome) = events(&breaks.url, Ask::Listen { after: None }).await;
    assert!(matches!(outcome, ExchangeOutcome::Cut(_)), "{outcome}");
}

#[tokio::test]
async fn page_is_not_a_stream() {
    for body in
        ["", r#"{"status":"ok"}"#, r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"POST"},"id":null}"#]
    {
        let server = server(move |_, reply| reply.answer(200, &[("content-type", "application/json")], body));
        let (lines, outcome) = events(&server.url, Ask::Listen { after: None }).await;
        assert!(lines.iter().all(|line| !line.starts_with("opened")), "{body}: {lines:?}");
        assert!(matches!(outcome, ExchangeOutcome::Lost { .. }), "{body}: {outcome}");
    }
}

#[tokio::test]
async fn stream_waits_for_its_own_answer_only() {
    let server = server(|_, reply| {
        reply.open_stream();
        reply.event(r#"{"id":"another","result":{}}"#);
        reply.event(r#"{"id":1,"result":{}}"#);
        reply.hang();
    });
    let (lines, outcome) = events(&server.url, post(r#"{"id":1,"method":"a"}"#)).await;
    assert_eq!(lines[2..], ["server #1 result \"another\"", "server #1 result 1"]);
    assert_eq!(outcome, ExchangeOutcome::Complete, "the stream stayed open, the exchange did not");
}
