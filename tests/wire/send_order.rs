//! The order in which requests arrive. The server runs on one thread and so handles them in the order in which the system
//! hands them over, whichever connection they come by.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use tokio::sync::{oneshot, watch};

use crate::support::proxy::Proxy;
use crate::support::{INITIALIZE, INITIALIZED};
use crate::tls::before;

/// How often messages are written together.
const ROUNDS: usize = 20;

/// A request, when its body had arrived.
#[derive(Clone, Debug)]
struct Arrival {
    /// How many heads came before its own.
    head: usize,
    /// The JSON-RPC method, or the HTTP method where there is no body.
    title: String,
    id: String,
    round: String,
}

/// A server that answers the calls of a round when all of them have arrived, so that over HTTP/1.1 each has a connection of
/// its own, and all of those are idle before the next round.
struct Arrivals {
    address: String,
    seen: watch::Receiver<Vec<Arrival>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    heads: Arc<AtomicUsize>,
    seen: Arc<watch::Sender<Vec<Arrival>>>,
}

impl Arrivals {
    fn start() -> Arrivals {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address").to_string();
        let (sender, seen) = watch::channel(Vec::new());
        let shared = Shared { heads: Arc::default(), seen: Arc::new(sender) };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let router = Router::new().fallback(answer).with_state(shared);
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = stopped => {}
                }
            });
        });
        Arrivals { address, seen, stop: Some(stop), thread: Some(thread) }
    }

    fn seen(&self) -> Vec<Arrival> {
        self.seen.borrow().clone()
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let head = shared.heads.fetch_add(1, Ordering::Relaxed);
    let method = request.method().clone();
    let is_framed =
        ["content-length", "transfer-encoding"].iter().any(|name| request.headers().contains_key(*name));
    let body = to_bytes(request.into_body(), usize::MAX).await.expect("a body");
    let body = std::str::from_utf8(&body).expect("UTF-8");
    let member = |name: &str| mcp_tether::json::member(body, name).unwrap_or_default().to_owned();
    let title = match (body.is_empty(), is_framed) {
        (true, false) => method.to_string(),
        (true, true) => format!("{method} with the headers of a body"),
        (false, _) => member("method").replace('"', ""),
    };
    let params = member("params");
    let of_round = |name: &str| mcp_tether::json::member(&params, name).unwrap_or_default().to_owned();
    let arrival = Arrival { head, title: title.clone(), id: member("id"), round: of_round("round") };
    shared.seen.send_modify(|seen| seen.push(arrival.clone()));
    if let Ok(size) = of_round("of").parse::<usize>() {
        let of_it = |seen: &Vec<Arrival>| seen.iter().filter(|other| other.round == arrival.round).count();
        let mut seen = shared.seen.subscribe();
        seen.wait_for(|seen| of_it(seen) >= size).await.expect("it lasts as long as the server");
    }
    let json = |result: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, arrival.id);
        Response::builder().header("content-type", "application/json").body(Body::from(body))
    };
    let response = match (method, title.as_str()) {
        (Method::GET, _) => {
            let silence = futures_util::stream::pending::<Result<Bytes, Infallible>>();
            Response::builder().header("content-type", "text/event-stream").body(Body::from_stream(silence))
        }
        (Method::DELETE, _) => Response::builder().status(204).body(Body::empty()),
        (_, "initialize") => {
            let result = r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#;
            json(result).map(|mut response| {
                response.headers_mut().insert("mcp-session-id", HeaderValue::from_static("one"));
                response
            })
        }
        (_, title) if title.starts_with("notifications/") => {
            Response::builder().status(202).body(Body::empty())
        }
        _ => json("{}"),
    };
    response.expect("a response")
}

/// Writes rounds of so many calls and tells in which order each round arrived.
fn rounds_arrive_in_order(proxy: &mut Proxy, server: &Arrivals, size: usize) {
    for round in 0..=ROUNDS {
        let id = |number: usize| format!("\"{size}-{round}-{number}\"");
        let lines: String = (0..size)
            .map(|number| {
                let params = format!(r#"{{"name":"t","round":"{size}-{round}","of":{size}}}"#);
                format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"tools/call\",\"params\":{params}}}\n",
                    id(number)
                )
            })
            .collect();
        proxy.write(lines.as_bytes());
        for _ in 0..size {
            assert!(proxy.line().contains("\"result\""));
        }
        let round = format!("\"{size}-{round}\"");
        let mut arrived = server.seen();
        arrived.retain(|arrival| arrival.round == round);
        let expected: Vec<String> = (0..size).map(id).collect();
        let bodies: Vec<&String> = arrived.iter().map(|arrival| &arrival.id).collect();
        assert_eq!(bodies, expected.iter().collect::<Vec<_>>(), "round {round}, {arrived:?}");
        assert!(arrived.is_sorted_by_key(|arrival| arrival.head), "round {round}, {arrived:?}");
    }
}

#[test]
fn messages_of_one_write_arrive_in_order() {
    let server = Arrivals::start();
    let mut proxy = Proxy::start(&[&format!("http://{}/mcp", server.address)]);
    for size in [2, 3, 8] {
        rounds_arrive_in_order(&mut proxy, &server, size);
    }
    proxy.finish();
}

#[test]
fn messages_of_one_write_arrive_in_order_over_http2() {
    let server = Arrivals::start();
    let edge = before(&server.address, "h2", false, |_| ());
    let mut proxy = Proxy::start(&["-vv", &edge.url, "--ca-cert", &edge.file("ca.pem")]);
    for size in [2, 3, 8] {
        rounds_arrive_in_order(&mut proxy, &server, size);
    }
    let told = proxy.finish().stderr;
    assert!(told.contains("HTTP/2.0") && !told.contains("HTTP/1.1"), "{told}");
}

/// Starts a conversation whose first call is written together with the end of its handshake, and tells in which order the
/// stream's request and the call arrived.
fn stream_comes_before_call(url: &str, options: &[&str]) {
    let arguments: Vec<&str> = std::iter::once(url).chain(options.iter().copied()).collect();
    let mut proxy = Proxy::start(&arguments);
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    let call = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t"}}"#;
    proxy.write(format!("{INITIALIZED}\n{call}\n").as_bytes());
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn listening_stream_is_requested_before_the_first_call() {
    for protocol in ["http/1.1", "h2"] {
        for _ in 0..ROUNDS {
            let server = Arrivals::start();
            match protocol {
                "h2" => {
                    let edge = before(&server.address, "h2", false, |_| ());
                    stream_comes_before_call(&edge.url, &["--ca-cert", &edge.file("ca.pem")]);
                }
                _ => stream_comes_before_call(&format!("http://{}/mcp", server.address), &[]),
            }
            let titles: Vec<String> = server.seen().into_iter().map(|arrival| arrival.title).collect();
            let expected = ["initialize", "notifications/initialized", "GET", "tools/call"];
            assert_eq!(titles[..4], expected, "{protocol}: {titles:?}");
            assert_eq!(titles.last().map(String::as_str), Some("DELETE"), "{protocol}: {titles:?}");
            assert!(
                !titles.iter().any(|title| title.contains("headers of a body")),
                "{protocol}: {titles:?}"
            );
        }
    }
}
