//! The client's messages, line by line, from bytes as they come.
//!
//! Apart from the descriptors because any reader will do.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

use crate::jsonrpc::{Fault, Line, MESSAGE_LIMIT, MessageBuffer};

/// How much is read from the client at once.
pub(super) const READ_SIZE: usize = 64 * 1024;
/// Up to this size a line that the scanner does not accept is parsed in the event loop, in bytes: a few milliseconds.
const PARSED_IN_PLACE: usize = 1024 * 1024;
/// How much of the end of a line beyond the limit is kept, to find the id of its request.
const TAIL_KEPT: usize = 1024;

/// The client's messages, line by line.
pub struct LineReader<R> {
    input: R,
    /// Where reads go, so that no read has to clear a large buffer.
    scratch: Box<[u8]>,
    /// The part of `scratch` that was read and belongs to no line yet.
    unread: Range<usize>,
    current: CurrentLine,
    /// A large line that the scanner did not accept, while it is parsed beside the event loop. Nothing behind it is read meanwhile.
    parsing: Option<JoinHandle<Line>>,
    ended: bool,
}

/// A line of which a part was read.
#[derive(Default)]
struct CurrentLine {
    text: MessageBuffer,
    /// Set once the line has grown beyond the limit. Only its two ends are kept.
    overlong: Option<Overlong>,
}

/// A line that is there as a whole.
enum Buffered {
    Line(Line),
    /// One that the scanner does not accept and that takes long to parse.
    Large(Bytes),
}

struct Overlong {
    head: Bytes,
    tail: BytesMut,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines from `input`.
    pub fn new(input: R) -> LineReader<R> {
        LineReader {
            input,
            scratch: vec![0; READ_SIZE].into(),
            unread: 0..0,
            current: CurrentLine::default(),
            parsing: None,
            ended: false,
        }
    }

    /// The next line that is not blank, or `None` at the end. A read error is the end as well.
    /// May be dropped and called again without losing anything.
    pub async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(parsing) = &mut self.parsing {
                let parsed = parsing.await;
                self.parsing = None;
                let failed =
                    |error| Line::Invalid(Fault::invalid(format!("it could not be parsed: {error}")));
                return Some(parsed.unwrap_or_else(failed));
            }
            match self.buffered() {
                Some(Buffered::Line(line)) => return Some(line),
                Some(Buffered::Large(text)) => {
                    self.parse_beside(text);
                    continue;
                }
                None if self.ended => return None,
                None => {}
            }
            match self.input.read(&mut self.scratch).await {
                Ok(read) if read > 0 => self.unread = 0..read,
                Ok(_) | Err(_) => self.ended = true,
            }
        }
    }

    /// The next line, if it was read already and does not take long to parse.
    pub fn next_read(&mut self) -> Option<Line> {
        if self.parsing.is_some() || self.unread.is_empty() {
            return None;
        }
        match self.buffered()? {
            Buffered::Line(line) => Some(line),
            Buffered::Large(text) => {
                self.parse_beside(text);
                None
            }
        }
    }

    fn parse_beside(&mut self, text: Bytes) {
        self.parsing = Some(tokio::task::spawn_blocking(|| Line::parse(text)));
    }

    /// The next line that has been read as a whole. The last line counts also without its end.
    fn buffered(&mut self) -> Option<Buffered> {
        while !self.unread.is_empty() {
            let unread = self.scratch.get(self.unread.clone()).unwrap_or_default();
            let end = memchr::memchr(b'\n', unread);
            let part = unread.get(..end.unwrap_or(unread.len())).unwrap_or_default();
            self.unread.start += part.len() + usize::from(end.is_some());
            self.current.push(part);
            if end.is_some() {
                match self.current.end() {
                    None => {}
                    line => return line,
                }
            }
        }
        self.ended.then(|| self.current.end())?
    }
}

impl CurrentLine {
    /// Adds a part of the line.
    fn push(&mut self, part: &[u8]) {
        if let Some(overlong) = &mut self.overlong {
            return overlong.keep_tail(part);
        }
        if self.text.len().saturating_add(part.len()) <= MESSAGE_LIMIT {
            self.text.push(part);
            return self.text.scan();
        }
        let text = std::mem::take(&mut self.text);
        let head = Bytes::copy_from_slice(text.get(..READ_SIZE).unwrap_or(&text));
        let mut overlong = Overlong { head, tail: BytesMut::new() };
        overlong.keep_tail(&text);
        overlong.keep_tail(part);
        self.overlong = Some(overlong);
    }

    /// Ends the line and begins another one. None if it is blank.
    fn end(&mut self) -> Option<Buffered> {
        let CurrentLine { text, overlong } = std::mem::take(self);
        if let Some(overlong) = overlong {
            let fault = Fault::too_long(&overlong.head, &overlong.tail);
            return Some(Buffered::Line(Line::Invalid(fault)));
        }
        match text.finish() {
            (_, Some(line)) => Some(Buffered::Line(line)),
            (text, None) if is_blank(&text) => None,
            (text, None) if text.len() <= PARSED_IN_PLACE => Some(Buffered::Line(Line::parse(text))),
            (text, None) => Some(Buffered::Large(text)),
        }
    }
}

/// White space, and the byte order mark that some programs write before it.
fn is_blank(line: &[u8]) -> bool {
    line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii().is_empty()
}

impl Overlong {
    fn keep_tail(&mut self, more: &[u8]) {
        self.tail.extend_from_slice(more.get(more.len().saturating_sub(TAIL_KEPT)..).unwrap_or_default());
        self.tail.advance(self.tail.len().saturating_sub(TAIL_KEPT));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn lines_are_found_wherever_the_reads_end() {
        let text = "\u{feff}{\"method\":\"a\"}\r\n\n  \r\n{\"method\":\"b\"}\n{\"method\":\"c\"}";
        for size in [1, 3, 64] {
            let (client, ours) = tokio::io::duplex(size);
            let write = async move {
                let mut client = client;
                client.write_all(text.as_bytes()).await.expect("read");
            };
            let read = async {
                let (mut lines, mut seen) = (LineReader::new(ours), Vec::new());
                while let Some(line) = lines.next().await {
                    let Line::One(message) = line else { panic!("{line:?}") };
                    seen.push(message.title().into_owned());
                }
                seen
            };
            let ((), seen) = tokio::join!(write, read);
            assert_eq!(seen, ["a", "b", "c"], "reads of {size}");
        }
    }

    #[tokio::test]
    async fn too_long_line_is_refused_by_id() {
        let (client, ours) = tokio::io::duplex(1024 * 1024);
        let write = async move {
            let mut client = client;
            client.write_all(b"{\"method\":\"big\",\"params\":\"").await.expect("read");
            let chunk = vec![b'a'; 1024 * 1024];
            for _ in 0..=MESSAGE_LIMIT / chunk.len() {
                client.write_all(&chunk).await.expect("read");
            }
            client
                .write_all(b"\",\"jsonrpc\":\"2.0\",\"id\":77}\n{\"method\":\"next\"}\n")
                .await
                .expect("read");
        };
        let read = async {
            let mut lines = LineReader::new(ours);
            let Some(Line::Invalid(fault)) = lines.next().await else { panic!("not refused") };
            assert_eq!(fault.id.as_ref().map(ToString::to_string).as_deref(), Some("77"));
            assert!(fault.reason.contains("256 MiB"), "{fault}");
            let Some(Line::One(next)) = lines.next().await else { panic!("deaf") };
            assert_eq!(next.method(), Some("next"));
        };
        tokio::join!(write, read);
    }

    #[tokio::test]
    async fn large_line_is_parsed_beside_loop_in_order() {
        let large = format!(r#"{{"method":"large","params":"{}"}}"#, "x".repeat(PARSED_IN_PLACE));
        let text = format!("{large}\n{{\"method\":\"b\"}}\n{large}");
        let mut lines = LineReader::new(text.as_bytes());
        let mut seen = Vec::new();
        loop {
            // As in the loop: it is dropped whenever something else happens.
            let next = std::pin::pin!(lines.next());
            let line =
                tokio::select! { biased; line = next => line, () = tokio::task::yield_now() => continue };
            let Some(line) = line else { break };
            let Line::One(message) = line else { panic!("{line:?}") };
            seen.push(message.title().into_owned());
        }
        assert_eq!(seen, ["large", "b", "large"]);
    }
}
