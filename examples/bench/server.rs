//! The loopback server, in a process of its own so that its work is nobody's: an MCP server in as few steps as HTTP/1.1
//! allows.
//!
//! `/json` answers with JSON, `/sse` with one event, of one `data` line or of many. It looks for the few members it needs instead of parsing, sends
//! prepared texts, and throws large requests away as they come, so that it is never what is measured. Deliberately not
//! here: correctness beyond what the bench asks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::messages::{Large, SESSION, SMALL, text};
use crate::program::Outcome;

/// How much of either end of a request is kept: its id is in one of them.
const KEPT: usize = 1024;
/// How much is read at once.
const READ_SIZE: usize = 256 * 1024;

/// The server's process, as the bench has it.
pub(crate) struct Server {
    process: Child,
    introduction: Value,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Outcome<Server> {
        let failed = |error: &dyn std::fmt::Display| format!("the server: {error}");
        let mut command = Command::new(crate::itself()?);
        command.arg(crate::AS_SERVER).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| failed(&error))?;
        let stdout = process.stdout.take().expect("it is piped");
        let mut server = Server { process, introduction: Value::Null };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|error| failed(&error))?;
        server.introduction = serde_json::from_str(&line).map_err(|error| failed(&error))?;
        Ok(server)
    }

    /// The authority that vouches for it, in PEM form.
    pub(crate) fn authority(&self) -> &str {
        self.introduction["authority"].as_str().unwrap_or_default()
    }

    /// Where it answers over this scheme in this kind.
    pub(crate) fn url(&self, scheme: &str, kind: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/{kind}", self.introduction[scheme])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Serves until stdin ends. Tells the two ports and the authority on stdout.
pub(crate) fn serve() -> ExitCode {
    std::thread::spawn(|| {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(listen()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn listen() -> std::io::Result<()> {
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let secure = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let authority = Authority::new();
    let pem = authority.pem().to_owned();
    let acceptor = TlsAcceptor::from(Arc::new(authority.server_config()));
    let texts = Texts::default();
    let introduction = serde_json::json!({
        "http": plain.local_addr()?.port(), "https": secure.local_addr()?.port(), "authority": pem,
    });
    writeln!(std::io::stdout(), "{introduction}")?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = plain.accept() => {
                let (stream, texts) = (quick(accepted?.0)?, texts.clone());
                connections.spawn(async move { drop(converse(stream, &texts).await) });
            }
            accepted = secure.accept() => {
                let (stream, texts, acceptor) = (quick(accepted?.0)?, texts.clone(), acceptor.clone());
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        drop(converse(stream, &texts).await);
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn quick(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The large result that was asked for last: the next request asks for the same.
#[derive(Clone, Default)]
struct Texts(Arc<Mutex<(String, Bytes)>>);

impl Texts {
    /// The result for this order; nothing if there is no such.
    fn result(&self, order: &str) -> Bytes {
        let mut kept = self.0.lock().expect("no panic");
        if kept.0 != order {
            let result = Large::ordered(order).map(|large| large.result("\ndata: "));
            *kept = (order.to_owned(), result.unwrap_or_default().into());
        }
        kept.1.clone()
    }
}

/// What a request asks for.
struct Request {
    method: String,
    path: String,
    /// The ends of the body.
    body: BytesMut,
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, texts: &Texts) -> std::io::Result<()> {
    let mut buffer = BytesMut::with_capacity(READ_SIZE);
    while let Some(request) = read(&mut stream, &mut buffer).await? {
        answer(&mut stream, &request, texts).await?;
    }
    Ok(())
}

/// Reads one request; none at the end.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> std::io::Result<Option<Request>> {
    let end = loop {
        if let Some(at) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        if more(stream, buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut words = head.split(' ').map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        body: BytesMut::new(),
    };
    buffer.advance(end);
    let mut missing = length.unwrap_or(0);
    while missing > 0 {
        if buffer.is_empty() && more(stream, buffer).await? == 0 {
            return Ok(None);
        }
        let part = buffer.split_to(buffer.len().min(missing));
        missing -= part.len();
        request.keep(&part);
    }
    Ok(Some(request))
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> std::io::Result<usize> {
    buffer.reserve(READ_SIZE);
    stream.read_buf(buffer).await
}

impl Request {
    /// Keeps the ends of a body that comes in parts.
    fn keep(&mut self, part: &[u8]) {
        let first = part.len().min(KEPT.saturating_sub(self.body.len()));
        self.body.extend_from_slice(&part[..first]);
        let rest = &part[first..];
        self.body.extend_from_slice(&rest[rest.len().saturating_sub(KEPT)..]);
        if self.body.len() > 2 * KEPT {
            let end = self.body.split_off(self.body.len() - KEPT);
            self.body.truncate(KEPT);
            self.body.extend_from_slice(&end);
        }
    }

    fn holds(&self, part: &str) -> bool {
        memchr::memmem::find(&self.body, part.as_bytes()).is_some()
    }

    /// What stands behind a name, up to the end of the value.
    fn value(&self, name: &str) -> Option<&str> {
        let at = memchr::memmem::find(&self.body, name.as_bytes())? + name.len();
        let value = &self.body[at..];
        let end = value.iter().position(|byte| b",}".contains(byte))?;
        std::str::from_utf8(&value[..end]).ok()
    }
}

async fn answer(
    stream: &mut (impl AsyncWrite + Unpin),
    request: &Request,
    texts: &Texts,
) -> std::io::Result<()> {
    let id = request.value(r#""id":"#).filter(|_| request.method == "POST");
    let Some(id) = id else {
        let status = match (request.path.as_str(), request.method.as_str()) {
            ("/json" | "/sse", "POST") => "202 Accepted",
            ("/json" | "/sse", "DELETE") => "200 OK",
            ("/json" | "/sse", _) => "405 Method Not Allowed",
            _ => "404 Not Found",
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        return stream.flush().await;
    };
    let (before, said, after) = if request.holds(r#""method":"initialize""#) {
        let revision = request.value(r#""protocolVersion":"#).unwrap_or(r#""2025-11-25""#);
        let result = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":{revision},"capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"bench","version":"1"}}}}}}"#
        );
        (result, Bytes::new(), "")
    } else if let Some(order) = request.value(r#""large":"#) {
        (format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#), texts.result(order), "}")
    } else {
        let wanted = request.value(r#""wanted":"#).and_then(|wanted| wanted.parse().ok()).unwrap_or(0);
        let wanted = usize::min(wanted, SMALL);
        let before = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":""#);
        (before, Bytes::from(text(wanted)), r#""}]}}"#)
    };
    let length = before.len() + said.len() + after.len();
    let mut bytes = Vec::with_capacity(512 + length.min(READ_SIZE));
    let (lead, trail) = match request.path.as_str() {
        "/json" => {
            write!(
                bytes,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: {SESSION}\r\n"
            )?;
            write!(bytes, "content-length: {length}\r\n\r\n")?;
            ("", "")
        }
        _ => {
            write!(
                bytes,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nmcp-session-id: {SESSION}\r\n"
            )?;
            let lead = "event: message\ndata: ";
            write!(bytes, "transfer-encoding: chunked\r\n\r\n{:x}\r\n", lead.len() + length + 2)?;
            (lead, "\n\n\r\n0\r\n\r\n")
        }
    };
    bytes.extend_from_slice(lead.as_bytes());
    bytes.extend_from_slice(before.as_bytes());
    if said.len() <= READ_SIZE {
        bytes.extend_from_slice(&said);
    } else {
        stream.write_all(&bytes).await?;
        stream.write_all(&said).await?;
        bytes.clear();
    }
    bytes.extend_from_slice(after.as_bytes());
    bytes.extend_from_slice(trail.as_bytes());
    stream.write_all(&bytes).await?;
    stream.flush().await
}
