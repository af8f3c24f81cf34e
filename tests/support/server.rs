//! A loopback HTTP/1.1 server by hand: it sees every byte of a request and writes whatever a test wants.
//!
//! Dropped, it fails the test if a handler panicked, a message came without its length, or a [`Script`] was not followed
//! to the letter.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    /// A header's value; none when it is absent or sent more than once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// A member of the body that is a JSON-RPC message, as its text.
    pub(crate) fn member(&self, name: &str) -> Option<&str> {
        mcp_tether::json::member(&self.body, name)
    }

    /// The JSON-RPC method, or the HTTP method where there is no body.
    pub(crate) fn title(&self) -> &str {
        self.member("method").map_or(self.method.as_str(), |method| method.trim_matches('"'))
    }

    /// The id, as it was written.
    pub(crate) fn id(&self) -> &str {
        self.member("id").unwrap_or("null")
    }
}

/// Where an answer goes.
pub(crate) struct Reply {
    stream: TcpStream,
    keep: bool,
}

impl Reply {
    /// Any bytes. Whether the other side still reads is its own affair.
    pub(crate) fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// A whole answer.
    pub(crate) fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.raw(format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()));
    }

    /// A JSON body with 200.
    pub(crate) fn json(&mut self, body: &str) {
        self.answer(200, &[("content-type", "application/json")], body);
    }

    /// The result of a request.
    pub(crate) fn result(&mut self, request: &Request, result: &str) {
        self.json(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id()));
    }

    /// A status without a body.
    pub(crate) fn status(&mut self, status: u16) {
        self.answer(status, &[], "");
    }

    /// The head of an event stream, whose end is the end of the connection.
    pub(crate) fn open_stream(&mut self) {
        self.keep = false;
        self.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    }

    /// One event.
    pub(crate) fn event(&mut self, data: &str) {
        self.raw(format!("event: message\ndata: {data}\n\n"));
    }

    /// Ends the connection behind this answer.
    pub(crate) fn close(&mut self) {
        self.keep = false;
    }

    /// Breaks the connection behind this answer, instead of closing it.
    #[cfg(unix)]
    pub(crate) fn reset(&mut self) {
        self.keep = false;
        let at_once = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.stream, at_once).expect("a socket");
    }

    /// Waits until the other side is gone.
    pub(crate) fn hang(&mut self) {
        self.keep = false;
        let _ = self.stream.read(&mut [0]);
    }
}

/// What a server has seen so far.
#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    /// Where each connection came from, in order.
    peers: Vec<SocketAddr>,
    /// What must not happen and did.
    troubles: Vec<String>,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

/// A running server.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) address: String,
    shared: Shared,
    /// What is to come, by title, if there is a script.
    expected: Vec<&'static str>,
}

type Answer = Box<dyn FnOnce(&Request, &mut Reply) + Send>;

/// Exactly the requests that are to come, each with its answer.
#[derive(Default)]
pub(crate) struct Script {
    steps: Vec<(&'static str, Answer)>,
}

impl Script {
    /// One request more, by its title. Those of one title are answered in the order written here, others in any.
    pub(crate) fn expect(
        mut self,
        title: &'static str,
        answer: impl FnOnce(&Request, &mut Reply) + Send + 'static,
    ) -> Script {
        self.steps.push((title, Box::new(answer)));
        self
    }

    /// Starts a server that answers this and takes anything else for a failure of the test.
    pub(crate) fn serve(self) -> Server {
        let expected = self.steps.iter().map(|(title, _)| *title).collect();
        let steps = Mutex::new(self.steps);
        let mut server = Server::start(move |request, reply| {
            let answer = {
                let mut steps = steps.lock().expect("no panic");
                let found = steps.iter().position(|(title, _)| *title == request.title());
                found.map(|index| steps.remove(index).1)
            };
            match answer {
                Some(answer) => answer(request, reply),
                None => {
                    reply.status(500);
                    panic!("nobody expected {} {}", request.method, request.title());
                }
            }
        });
        server.expected = expected;
        server
    }
}

impl Server {
    /// Starts a server that answers every request with `handler`, each connection on a thread of its own.
    pub(crate) fn start(handler: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Shared::default();
        let handler = Arc::new(handler);
        let seen = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                note(&seen, |seen| seen.peers.push(peer));
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                std::thread::spawn(move || converse(stream, &*handler, &seen));
            }
        });
        Server { url: format!("http://{address}/mcp"), address, shared, expected: Vec::new() }
    }

    /// A server that opens a session, takes notifications, offers no stream, and answers everything else with `handler`.
    pub(crate) fn legacy(handler: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Server {
        Server::start(move |request, reply| match request.title() {
            "initialize" => {
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"2025-06-18","capabilities":{{}},"serverInfo":{{"name":"s","version":"1"}}}}}}"#,
                    request.id()
                );
                reply.answer(
                    200,
                    &[("content-type", "application/json"), ("mcp-session-id", "session-1")],
                    &body,
                );
            }
            "GET" => reply.status(405),
            "DELETE" => reply.status(204),
            title if title.starts_with("notifications/") && title != "notifications/cancelled" => {
                reply.status(202)
            }
            _ => handler(request, reply),
        })
    }

    /// Everything that arrived so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.0.lock().expect("no panic").requests.clone()
    }

    /// Waits for a request.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&Request) -> bool) -> Request {
        let (seen, arrived) = &*self.shared;
        let guard = seen.lock().expect("no panic");
        let missing = |seen: &mut Seen| !seen.requests.iter().any(&wanted);
        let (guard, _) = arrived.wait_timeout_while(guard, PATIENCE, missing).expect("no panic");
        let (found, titles) =
            (guard.requests.iter().find(|request| wanted(request)).cloned(), titles(&guard.requests));
        drop(guard);
        found.unwrap_or_else(|| panic!("the request never came; there were {titles:?}"))
    }

    /// How many connections were made to it so far. One of our own comes last in the line and tells that all before it
    /// were counted.
    pub(crate) fn connections(&self) -> usize {
        let ours = TcpStream::connect(&self.address).expect("it listens");
        let address = ours.local_addr().expect("an address");
        let (seen, arrived) = &*self.shared;
        let guard = seen.lock().expect("no panic");
        let missing = |seen: &mut Seen| !seen.peers.contains(&address);
        let (mut guard, _) = arrived.wait_timeout_while(guard, PATIENCE, missing).expect("no panic");
        guard.peers.retain(|peer| *peer != address);
        guard.peers.len()
    }

    /// What arrived, by title.
    pub(crate) fn titles(&self) -> Vec<String> {
        titles(&self.requests())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // By what arrived, for its handler may not have begun yet.
        let mut missing = std::mem::take(&mut self.expected);
        for title in self.titles() {
            if let Some(index) = missing.iter().position(|expected| **expected == title) {
                missing.swap_remove(index);
            }
        }
        assert!(missing.is_empty(), "never came: {missing:?}");
        let troubles = std::mem::take(&mut self.shared.0.lock().expect("no panic").troubles);
        assert!(troubles.is_empty(), "{troubles:?}");
    }
}

fn note(shared: &Shared, change: impl FnOnce(&mut Seen)) {
    let (seen, arrived) = &**shared;
    change(&mut seen.lock().expect("no panic"));
    arrived.notify_all();
}

fn titles(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|request| request.title().to_owned()).collect()
}

fn converse(stream: TcpStream, handler: &dyn Fn(&Request, &mut Reply), shared: &Shared) {
    let mut input = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut reply = Reply { stream, keep: true };
    while reply.keep
        && let Some(request) = read(&mut input)
    {
        if request.method == "POST" && request.header("content-length").is_none() {
            note(shared, |seen| seen.troubles.push(format!("no length of its own: {:?}", request.headers)));
        }
        note(shared, |seen| seen.requests.push(request.clone()));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| handler(&request, &mut reply))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            note(shared, |seen| {
                seen.troubles.push(format!("{}: {}", request.title(), text.unwrap_or_default()));
            });
            return;
        }
    }
}

fn read(input: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().expect("a number"))];
    input.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: String::from_utf8(body).expect("UTF-8") })
}
