//! The driver in memory: `proxy::run` between a duplex pipe and a scripted remote, on a paused clock.
//!
//! Draining, timers, back-pressure and shutdown; nothing here opens a socket or waits for real time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mcp_tether::bridge::{
    Ask, Config, ErrorKind, ErrorReport, Event, ExchangeId, ExchangeOutcome, ExitReason, Opening, Outgoing,
    SessionHeader, SessionId, StopReason, Written,
};
use mcp_tether::jsonrpc::{Kind, Message};
use mcp_tether::proxy;
use mcp_tether::remote::{EventSender, Remote};
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf,
    WriteHalf,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

type Answer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A remote whose every exchange runs the same script; what was asked is told as well.
struct Scripted<F> {
    script: F,
    asked: mpsc::UnboundedSender<String>,
}

impl<F: Fn(ExchangeId, Outgoing, EventSender) -> Answer> Remote for Scripted<F> {
    fn start(
        &self,
        exchange: ExchangeId,
        outgoing: Outgoing,
        events: EventSender,
    ) -> impl Future<Output = ()> + Send + 'static {
        let _ = self.asked.send(outgoing.to_string());
        (self.script)(exchange, outgoing, events)
    }
}

/// A proxy that runs, and the client's ends of its pipes.
struct Session {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    asked: mpsc::UnboundedReceiver<String>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    proxy: JoinSet<ExitReason>,
}

impl Session {
    fn start(
        script: impl Fn(ExchangeId, Outgoing, EventSender) -> Answer + Send + Sync + 'static,
    ) -> Session {
        Session::with_buffer(64 * 1024, script)
    }

    fn with_buffer(
        size: usize,
        script: impl Fn(ExchangeId, Outgoing, EventSender) -> Answer + Send + Sync + 'static,
    ) -> Session {
        let (client, ours) = tokio::io::duplex(size);
        let (output, input) = tokio::io::split(client);
        let (read, write) = tokio::io::split(ours);
        let (asked_sender, asked) = mpsc::unbounded_channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let remote = Scripted { script, asked: asked_sender };
        let mut proxy = JoinSet::new();
        proxy.spawn(async move {
            let stopped = async {
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            proxy::run(read, write, stopped, remote, Config::default()).await
        });
        Session { input, output: BufReader::new(output).lines(), asked, stop: Some(stop), proxy }
    }

    async fn write(&mut self, line: &str) {
        self.input.write_all(line.as_bytes()).await.expect("read");
        self.input.write_all(b"\n").await.expect("read");
    }

    async fn line(&mut self) -> String {
        self.output.next_line().await.expect("readable").expect("a line")
    }

    async fn ended(&mut self) -> ExitReason {
        self.proxy.join_next().await.expect("it runs").expect("it does not panic")
    }
}

fn response(id: &str, text: &str) -> Message {
    Message::parse(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"text":"{text}"}}}}"#).into())
        .expect("a message")
}

fn id(outgoing: &Outgoing) -> Option<String> {
    let Ask::Post(message) = &outgoing.ask else { return None };
    match message.kind() {
        Kind::Request { id, .. } => Some(id.to_string()),
        Kind::Notification { .. } | Kind::Response { .. } => None,
    }
}

/// Answers everything after `delay`.
fn answering(
    delay: Duration,
) -> impl Fn(ExchangeId, Outgoing, EventSender) -> Answer + Send + Sync + 'static {
    move |exchange, outgoing, events| {
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            if let Some(id) = id(&outgoing) {
                events.send(Event::Server(exchange, response(&id, "x"))).await;
            }
            events.send(Event::Ended(exchange, ExchangeOutcome::Complete)).await;
        })
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_input_waits_for_timely_answers() {
    let mut session = Session::start(answering(Duration::from_secs(4)));
    session.write(r#"{"id":1,"method":"a"}"#).await;
    session.write(r#"{"id":2,"method":"b"}"#).await;
    session.input.shutdown().await.expect("closed");
    let mut answers = [session.line().await, session.line().await];
    answers.sort();
    assert!(answers[0].contains("\"id\":1") && answers[1].contains("\"id\":2"), "{answers:?}");
    assert_eq!(session.ended().await, ExitReason::ClientClosed);
}

#[tokio::test(start_paused = true)]
async fn end_of_input_waits_limited_time() {
    let mut session = Session::start(answering(Duration::from_secs(3_600)));
    let start = tokio::time::Instant::now();
    session.write(r#"{"id":1,"method":"a"}"#).await;
    session.input.shutdown().await.expect("closed");
    let answer = session.line().await;
    assert!(answer.contains("\"code\":-31011"), "{answer}");
    assert_eq!(session.ended().await, ExitReason::ClientClosed);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn signal_answers_open_requests_and_ends_session_at_once() {
    let mut session = Session::start(|exchange, outgoing, events| {
        Box::pin(async move {
            if outgoing.to_string() == "request 1 initialize" {
                let session = SessionHeader::Id(SessionId::new("a").expect("visible"));
                events
                    .send(Event::Opened(exchange, Opening { status: 200, session, multiplexed: false }))
                    .await;
                events.send(Event::Server(exchange, response("1", "x"))).await;
            }
            std::future::pending().await
        })
    });
    session.write(r#"{"id":1,"method":"initialize"}"#).await;
    session.line().await;
    session.write(r#"{"id":2,"method":"a"}"#).await;
    assert_eq!(session.asked.recv().await.as_deref(), Some("request 1 initialize"));
    assert_eq!(session.asked.recv().await.as_deref(), Some("request 2 a session=a…"));
    let start = tokio::time::Instant::now();
    session.stop.take().expect("not stopped yet").send(()).expect("listening");
    assert!(session.line().await.contains("stopped before the server answered"));
    assert_eq!(session.asked.recv().await.as_deref(), Some("end session session=a…"));
    assert_eq!(session.ended().await, ExitReason::Stopped(StopReason::Signal));
    assert!(start.elapsed() < Duration::from_millis(80), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn client_that_left_ends_proxy() {
    let Session { mut input, output, mut proxy, asked, stop } = Session::start(answering(Duration::ZERO));
    input.write_all(b"{\"id\":1,\"method\":\"a\"}\n").await.expect("read");
    // Both halves of the pipe are gone: writing to it fails.
    drop((input, output));
    let reason = proxy.join_next().await.expect("it runs").expect("it does not panic");
    assert!(
        matches!(reason, ExitReason::Stopped(StopReason::OutputClosed) | ExitReason::ClientClosed),
        "{reason:?}"
    );
    drop((asked, stop));
}

#[tokio::test(start_paused = true)]
async fn slow_call_blocks_none_of_two_hundred() {
    let mut session = Session::start(|exchange, outgoing, events| {
        Box::pin(async move {
            let id = id(&outgoing).expect("a request");
            if id == "0" {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            events.send(Event::Server(exchange, response(&id, "x"))).await;
            events.send(Event::Ended(exchange, ExchangeOutcome::Complete)).await;
        })
    });
    for id in 0..=200 {
        session.write(&format!(r#"{{"id":{id},"method":"a"}}"#)).await;
    }
    let mut seen = Vec::new();
    for _ in 0..=200 {
        let line = session.line().await;
        seen.push(
            line.split(['"', ':', ',', '{', '}']).find_map(|part| part.parse::<u32>().ok()).expect("an id"),
        );
    }
    assert_eq!(seen.last(), Some(&0), "the slow one is the last");
    seen.sort_unstable();
    assert_eq!(seen, (0..=200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_limit_wait_and_others_pass() {
    let (release, released) = tokio::sync::watch::channel(false);
    let mut session = Session::start(move |exchange, outgoing, events| {
        let mut released = released.clone();
        Box::pin(async move {
            if let Some(id) = id(&outgoing) {
                released.wait_for(|released| *released).await.expect("the test runs");
                events.send(Event::Server(exchange, response(&id, "x"))).await;
            }
            events.send(Event::Ended(exchange, ExchangeOutcome::Complete)).await;
        })
    });
    for id in 0..130 {
        session.write(&format!(r#"{{"id":{id},"method":"a"}}"#)).await;
    }
    session.write(r#"{"method":"notifications/n"}"#).await;
    for id in 0..128 {
        assert_eq!(session.asked.recv().await.expect("started"), format!("request {id} a"));
    }
    assert_eq!(session.asked.recv().await.as_deref(), Some("notifications/n"));
    release.send(true).expect("listening");
    assert_eq!(session.asked.recv().await.as_deref(), Some("request 128 a"));
    assert_eq!(session.asked.recv().await.as_deref(), Some("request 129 a"));
    for _ in 0..130 {
        session.line().await;
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_read_applies_backpressure() {
    const MESSAGES: usize = 3_000;
    let (sent, mut told) = mpsc::unbounded_channel();
    let text = "x".repeat(10_000);
    let expected = text.clone();
    let mut session = Session::with_buffer(1024, move |exchange, outgoing, events| {
        let (sent, text) = (sent.clone(), text.clone());
        Box::pin(async move {
            for number in 0..MESSAGES {
                let text = format!(r#"{{"method":"notifications/n","params":[{number},"{text}"]}}"#);
                events.send(Event::Server(exchange, Message::parse(text.into()).expect("a message"))).await;
                let _ = sent.send(number);
            }
            let id = id(&outgoing).expect("a request");
            events.send(Event::Server(exchange, response(&id, "x"))).await;
            events.send(Event::Ended(exchange, ExchangeOutcome::Complete)).await;
        })
    });
    session.write(r#"{"id":1,"method":"a"}"#).await;
    // On a paused clock, time only passes once nothing else can happen: the flood has come to a stop by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut taken = 0;
    while told.try_recv().is_ok() {
        taken += 1;
    }
    assert!((800..1_100).contains(&taken), "{taken} of {MESSAGES} messages were taken, which is not 8 MiB");
    for number in 0..MESSAGES {
        let line = session.line().await;
        assert!(
            line.starts_with(&format!(r#"{{"method":"notifications/n","params":[{number},"#)),
            "{number}"
        );
        assert!(line.contains(&expected));
    }
    assert!(session.line().await.contains("\"id\":1"));
}

#[tokio::test(start_paused = true)]
async fn panic_in_exchange_fails_its_request_only() {
    // What the runtime prints about the panic is not this test's business.
    std::panic::set_hook(Box::new(|_| ()));
    let mut session = Session::start(|exchange, outgoing, events| {
        Box::pin(async move {
            let id = id(&outgoing).expect("a request");
            assert_ne!(id, "1", "a defect");
            events.send(Event::Server(exchange, response(&id, "x"))).await;
            events.send(Event::Ended(exchange, ExchangeOutcome::Complete)).await;
        })
    });
    session.write(r#"{"id":1,"method":"a"}"#).await;
    assert!(session.line().await.contains("\"code\":-31099"));
    session.write(r#"{"id":2,"method":"a"}"#).await;
    assert!(session.line().await.contains("\"id\":2,\"result\""));
}

#[tokio::test(start_paused = true)]
async fn closing_exchange_ends_its_task() {
    let (dropped, mut told) = mpsc::unbounded_channel();
    let mut session = Session::start(move |exchange, outgoing, events| {
        let guard = Guard(dropped.clone());
        Box::pin(async move {
            match id(&outgoing) {
                Some(_) => {
                    events.send(Event::Sent(exchange)).await;
                    let _guard = guard;
                    std::future::pending().await
                }
                None => events.send(Event::Ended(exchange, ExchangeOutcome::Accepted(202))).await,
            }
        })
    });
    session.write(r#"{"id":1,"method":"a"}"#).await;
    assert_eq!(session.asked.recv().await.as_deref(), Some("request 1 a"));
    session.write(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#).await;
    assert_eq!(session.asked.recv().await.as_deref(), Some("notifications/cancelled"));
    // One guard goes with the cancellation's own exchange, the other with the one it closes.
    assert!(told.recv().await.is_some() && told.recv().await.is_some());
}

struct Guard(mpsc::UnboundedSender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test(start_paused = true)]
async fn failure_is_answered_with_reason() {
    let mut session = Session::start(|exchange, _, events| {
        Box::pin(async move {
            let report =
                ErrorReport::new(ErrorKind::Dns, "the host name h could not be resolved", "check it");
            events.send(Event::Ended(exchange, ExchangeOutcome::Lost { written: Written::No, report })).await;
        })
    });
    session.write(r#"{"id":"é","method":"a"}"#).await;
    assert_eq!(
        session.line().await,
        r#"{"jsonrpc":"2.0","id":"é","error":{"code":-31001,"message":"mcp-tether: the host name h could not be resolved (4 attempts)","data":{"source":"mcp-tether","cause":"dns","advice":"check it"}}}"#
    );
}

#[tokio::test(start_paused = true)]
async fn slow_reader_gets_all_after_closing_input() {
    const SIZE: usize = 100_000;
    let mut session = Session::with_buffer(1024, |exchange, outgoing, events| {
        Box::pin(async move {
            let id = id(&outgoing).expect("a request");
            events.send(Event::Server(exchange, response(&id, &"x".repeat(SIZE)))).await;
            events.send(Event::Ended(exchange, ExchangeOutcome::Complete)).await;
        })
    });
    session.write(r#"{"id":1,"method":"a"}"#).await;
    session.input.shutdown().await.expect("closed");
    let (mut all, mut some) = (Vec::new(), [0; 1024]);
    loop {
        tokio::time::sleep(Duration::from_millis(900)).await;
        match session.output.get_mut().read(&mut some).await.expect("readable") {
            0 => break,
            read => all.extend_from_slice(&some[..read]),
        }
    }
    assert!(all.len() > SIZE && all.ends_with(b"}\n"), "{} bytes", all.len());
    assert_eq!(session.ended().await, ExitReason::ClientClosed);
}

#[tokio::test(start_paused = true)]
async fn stalled_reader_after_closing_input_is_abandoned() {
    let mut session = Session::with_buffer(1024, |exchange, outgoing, events| {
        Box::pin(async move {
            let id = id(&outgoing).expect("a request");
            events.send(Event::Server(exchange, response(&id, &"x".repeat(10_000)))).await;
            events.send(Event::Ended(exchange, ExchangeOutcome::Complete)).await;
        })
    });
    session.write(r#"{"id":1,"method":"a"}"#).await;
    session.input.shutdown().await.expect("closed");
    assert_eq!(session.ended().await, ExitReason::ClientClosed);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_last_line() {
    let mut session = Session::start(answering(Duration::ZERO));
    session.write(r#"{"id":1,"method":"a"}"#).await;
    session.input.shutdown().await.expect("closed");
    assert_eq!(session.ended().await, ExitReason::ClientClosed);
    let mut rest = String::new();
    session.output.get_mut().read_to_string(&mut rest).await.expect("UTF-8");
    assert_eq!(rest.lines().count(), 1, "{rest}");
}

/// The client's reading side: it tells of each write.
struct Writes(mpsc::UnboundedSender<Vec<u8>>);

impl AsyncWrite for Writes {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.send(bytes.to_vec()).expect("the test reads");
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_together_leave_in_one_write() {
    const CALLS: usize = 20;
    let (sender, mut writes) = mpsc::unbounded_channel();
    let (asked, _asked) = mpsc::unbounded_channel();
    let remote = Scripted { script: answering(Duration::ZERO), asked };
    let lines: String = (0..CALLS).map(|id| format!("{{\"id\":{id},\"method\":\"a\"}}\n")).collect();
    let input = std::io::Cursor::new(lines);
    proxy::run(input, Writes(sender), std::future::pending(), remote, Config::default()).await;
    let written = writes.recv().await.expect("the answers");
    assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), CALLS);
    assert_eq!(writes.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn flood_of_events_does_not_hold_up_stop() {
    let mut session = Session::start(|exchange, _, events| {
        Box::pin(async move {
            loop {
                let text = r#"{"method":"notifications/n"}"#;
                events.send(Event::Server(exchange, Message::parse(text.into()).expect("a message"))).await;
            }
        })
    });
    session.write(r#"{"id":1,"method":"a"}"#).await;
    for _ in 0..1_000 {
        session.line().await;
    }
    session.stop.take().expect("not stopped yet").send(()).expect("listening");
    let mut rest = 0;
    while let Some(line) = session.output.next_line().await.expect("readable") {
        rest += 1;
        assert!(rest < 5_000, "{line}");
    }
    assert_eq!(session.ended().await, ExitReason::Stopped(StopReason::Signal));
}
