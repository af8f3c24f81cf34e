//! One connection of the server, as bytes: requests in, whatever is wanted out, and every way to end it.

use std::time::Duration;

use mcp_tether::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One request, as far as this server looks at it.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) verb: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The JSON-RPC method; empty where there is none.
    pub(crate) fn method(&self) -> &str {
        json::member(&self.body, "method").map_or("", |method| method.trim_matches('"'))
    }

    /// The id, as it was written.
    pub(crate) fn id(&self) -> Option<&str> {
        json::member(&self.body, "id")
    }

    /// The number by which a call is known in both logs.
    pub(crate) fn tag(&self) -> Option<u64> {
        let (_, behind) = self.body.split_once("\"tag\":")?;
        let digits = behind.split(|letter: char| !letter.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

/// A connection. Nothing that fails here matters: the other side sees the end, and that is what this is for.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Connection {
        // Pieces are to leave as they are written.
        let _ = stream.set_nodelay(true);
        Connection { stream, read: Vec::new() }
    }

    /// Waits for the first byte of a request, without reading it.
    pub(crate) async fn arrival(&mut self) -> Option<()> {
        if self.read.is_empty() {
            let mut first = [0];
            let count = self.stream.peek(&mut first).await.ok()?;
            return (count > 0).then_some(());
        }
        Some(())
    }

    /// The next request.
    pub(crate) async fn request(&mut self) -> Option<Request> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).ok()?;
        let mut lines = head.lines();
        let verb = lines.next()?.split(' ').next()?.to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let mut request = Request { verb, headers, body: String::new() };
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while self.read.len() < length {
            self.more().await?;
        }
        request.body = String::from_utf8(self.read.drain(..length).collect()).ok()?;
        Some(request)
    }

    async fn more(&mut self) -> Option<()> {
        let count = self.stream.read_buf(&mut self.read).await.ok()?;
        (count > 0).then_some(())
    }

    /// Any bytes.
    pub(crate) async fn write(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// A whole answer.
    pub(crate) async fn answer(&mut self, status: u16, headers: &str, body: &str) {
        self.write(&answer(status, headers, body)).await;
    }

    /// The same in small pieces, with breaks between them.
    pub(crate) async fn dribble(&mut self, text: &str) {
        let pieces = 5;
        for piece in text.as_bytes().chunks(text.len().div_ceil(pieces)) {
            let _ = self.stream.write_all(piece).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends it with a reset; what was not read or not yet sent is lost.
    pub(crate) fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }
}

/// A whole answer as text. `headers` are lines, each with its end.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// The head of a stream of events, which ends with its connection.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// The header line of a JSON body.
pub(crate) const JSON: &str = "content-type: application/json\r\n";
