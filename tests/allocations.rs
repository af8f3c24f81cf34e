//! What one call may allocate, in number and size, on its way through bridge and driver, and what a start may allocate for
//! the command line: a guard for the speed that no busy machine disturbs.
//!
//! In memory: a remote that has its answers ready, a client that hands over and takes bytes. The bounds leave room for
//! other versions of the libraries; one copy of a payload, or a few more allocations in each call, they do not let pass.

use std::ffi::OsString;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use allocation_counter::AllocationInfo;
use bytes::Bytes;
use mcp_tether::bridge::{Config, Event, ExchangeId, ExchangeOutcome, Opening, Outgoing, SessionHeader};
use mcp_tether::cli;
use mcp_tether::jsonrpc::{Line, Message, MessageBuffer};
use mcp_tether::proxy;
use mcp_tether::remote::sse::Parser;
use mcp_tether::remote::{EventSender, Remote};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const MEGABYTE: usize = 1024 * 1024;
/// How many calls are measured, so that what happens once in a while counts as little as it should.
const CALLS: usize = 64;

/// Answers each request with the same text: all ask under the same id.
struct Ready(Bytes);

impl Remote for Ready {
    fn start(
        &self,
        exchange: ExchangeId,
        _: Outgoing,
        events: EventSender,
    ) -> impl Future<Output = ()> + Send + 'static {
        let text = self.0.clone();
        async move {
            let opening = Opening { status: 200, session: SessionHeader::Absent, multiplexed: false };
            let Line::One(answer) = Line::parse(text) else { panic!("a message") };
            events.send(Event::Sent(exchange)).await;
            events.send(Event::Opened(exchange, opening)).await;
            events.send(Event::Server(exchange, answer)).await;
            events.send(Event::Ended(exchange, ExchangeOutcome::Complete)).await;
        }
    }
}

/// The client's writing side: what it hands over is read from where it is.
struct Input {
    texts: mpsc::UnboundedReceiver<Bytes>,
    current: Bytes,
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.current.is_empty() {
            let Some(text) = ready!(self.texts.poll_recv(context)) else { return Poll::Ready(Ok(())) };
            self.current = text;
        }
        let size = self.current.len().min(buffer.remaining());
        buffer.put_slice(&self.current.split_to(size));
        Poll::Ready(Ok(()))
    }
}

/// The client's reading side: it counts what comes and tells how long each line was, and in how many parts it came.
struct Output {
    lines: mpsc::UnboundedSender<(usize, usize)>,
    length: usize,
    parts: usize,
}

impl AsyncWrite for Output {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.length += bytes.len();
        self.parts += 1;
        if bytes.last() == Some(&b'\n') {
            let line = (std::mem::take(&mut self.length), std::mem::take(&mut self.parts));
            self.lines.send(line).expect("it is read");
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What one call allocates whose request and answer hold so many bytes, after some that are not counted.
fn allocated(said: usize, answered: usize) -> AllocationInfo {
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"say","arguments":{{"text":"{}"}}}}}}"#,
        "x".repeat(said)
    );
    let request = Bytes::from(request + "\n");
    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"text":"{}"}}}}"#, "x".repeat(answered));
    let answer = Bytes::from(answer);
    assert!(Message::parse(answer.clone()).is_ok());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("an event loop");
    let (texts, input) = mpsc::unbounded_channel();
    let (lines, mut answers) = mpsc::unbounded_channel();
    let input = Input { texts: input, current: Bytes::new() };
    let output = Output { lines, length: 0, parts: 0 };
    let mut proxy = JoinSet::new();
    proxy.spawn_on(
        proxy::run(input, output, std::future::pending(), Ready(answer.clone()), Config::default()),
        runtime.handle(),
    );
    let mut calls = || {
        for _ in 0..CALLS {
            texts.send(request.clone()).expect("the proxy runs");
            let (length, parts) = runtime.block_on(answers.recv()).expect("an answer");
            assert_eq!(length, answer.len() + 1);
            // A large one is written from where it is, and its line break behind it.
            assert!(parts <= 2, "{parts} writes");
        }
    };
    calls();
    // Counted is what this thread allocates: there is no other.
    let all = allocation_counter::measure(calls);
    AllocationInfo {
        count_total: all.count_total / CALLS as u64,
        bytes_total: all.bytes_total / CALLS as u64,
        ..all
    }
}

#[test]
fn a_small_call_takes_few_allocations() {
    let one = allocated(1000, 1000);
    assert!(one.count_total <= 12, "{one:?}");
    assert!(one.bytes_total <= 6 * 1024, "{one:?}");
}

#[test]
fn a_large_answer_is_never_copied() {
    let one = allocated(1000, MEGABYTE);
    assert!(one.bytes_total <= MEGABYTE as u64 / 16, "{one:?}");
}

#[test]
fn a_large_request_is_gathered_and_never_copied() {
    let one = allocated(MEGABYTE, 1000);
    // The line's buffer doubles until it holds all of it: twice the size in the end, and as much on the way there.
    assert!(one.bytes_total <= 9 * MEGABYTE as u64 / 2, "{one:?}");
}

#[test]
fn a_larger_request_allocates_no_more() {
    let one = allocated(10 * MEGABYTE, 1000);
    // Up to a megabyte the buffer doubles. A larger line has pages of its own, which do not come from the allocator.
    let bound = if cfg!(all(unix, target_pointer_width = "64")) { 3 } else { 45 };
    assert!(one.bytes_total <= bound * MEGABYTE as u64, "{one:?}");
}

#[test]
fn text_that_arrives_in_parts_is_scanned_where_it_lies() {
    let part = format!(r#"{{"text":"{}"}},"#, r#"line\n\"é\""#.repeat(2000));
    let one = allocation_counter::measure(|| {
        let mut buffer = MessageBuffer::default();
        buffer.push(br#"{"jsonrpc":"2.0","id":1,"result":["#);
        for _ in 0..20 * MEGABYTE / part.len() {
            buffer.push(part.as_bytes());
            buffer.scan();
        }
        buffer.push(b"{}]}");
        let (text, line) = buffer.finish();
        assert!(matches!(line, Some(Line::One(message)) if message.text() == &text));
    });
    let bound = if cfg!(all(unix, target_pointer_width = "64")) { 3 } else { 64 };
    assert!(one.bytes_total <= bound * MEGABYTE as u64, "{one:?}");
}

#[test]
fn event_of_many_lines_allocates_nothing_for_each() {
    let line = format!("data: {{\"text\":\"{}\"}},\n", "x".repeat(1000));
    let stream = format!("data: [\n{}data: {{}}]\n\n", line.repeat(4 * MEGABYTE / line.len()));
    let one = allocation_counter::measure(|| {
        let (mut parser, mut events) = (Parser::default(), 0);
        for part in stream.as_bytes().chunks(64 * 1024) {
            parser.push(part, |_| events += 1).expect("small");
        }
        assert_eq!(events, 1);
    });
    // Beside the buffer: the lines that lie in two parts, of which the name is kept.
    assert!(one.count_total <= 200, "{one:?}");
}

#[test]
fn nothing_stays_behind() {
    let one = allocated(1000, 1000);
    assert!(one.bytes_current.unsigned_abs() <= 4096, "{one:?}");
}

/// The command line that a client has in its entry.
const ENTRY: [&str; 4] = ["mcp-tether", "https://mcp.example.com/mcp", "--header", "X-API-Key: ${KEY}"];

#[test]
fn reading_the_command_line_takes_few_allocations() {
    let parse = || drop(cli::parse(ENTRY.map(OsString::from)).expect("options"));
    // What is made once in a process is not counted.
    parse();
    let one = allocation_counter::measure(parse);
    // An option takes ten, and 2 KB. With the texts of the help it would be 300 KB.
    assert!(one.count_total <= 1000, "{one:?}");
    assert!(one.bytes_total <= 224 * 1024, "{one:?}");
}
