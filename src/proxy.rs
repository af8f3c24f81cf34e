//! The driver: one event loop that connects the client's lines, the exchanges and the bridge. It contains no MCP logic.
//!
//! It feeds events to the bridge and carries out its actions. All that has come is taken in before anything is written, so that
//! answers leave together. Exchanges are tasks that it owns: dropping one cancels it, and a defect in one ends that one alone.
//! Bounds: neither exchanges nor the client are heard while 8 MiB wait for the client, and the client is not heard while
//! 256 MiB wait to be sent. Deliberately not here: any decision.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{Instrument as _, Span, debug, info, warn};

use crate::bridge::{
    self, Action, Bridge, ErrorKind, ErrorReport, Event, ExchangeId, ExchangeOutcome, ExitReason, Known,
    Notice, Outgoing, SessionNews, StopReason, Written,
};
use crate::record::Recorder;
use crate::remote::{EventReceiver, EventSender, Remote};
use crate::stdio::{LineReader, Writer};
use crate::traffic::Traffic;

/// How much may wait for the client before the exchanges and the client's own messages, each of which may be answered by
/// more, have to wait as well, in bytes.
const OUTPUT_BOUND: usize = 8 * 1024 * 1024;
/// How much may wait to be sent before the client has to wait as well, in bytes of memory.
const INPUT_BOUND: usize = 256 * 1024 * 1024;
/// How many events may wait; each exchange holds at most one more.
const EVENTS_BOUND: usize = 64;
/// How many events, and how many lines, are taken in before the client gets what they brought and everything else its turn.
const TAKEN_AT_ONCE: usize = 64;
/// How long a client that closed its side may stand still before it has read the rest.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long it may take to read the rest after a signal.
const LAST_WORDS_STOPPED: Duration = Duration::from_millis(20);

/// Runs the proxy between a client and a remote until either the client leaves or `stop` resolves.
pub async fn run<R: Remote>(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    stop: impl Future<Output = ()>,
    remote: R,
    config: bridge::Config,
) -> ExitReason {
    let keeping = Keeping { recorder: None, remember: Box::new(|_| {}) };
    run_keeping(input, output, stop, remote, config, keeping).await
}

/// What is kept of a conversation.
pub struct Keeping {
    /// Who writes it down.
    pub recorder: Option<Recorder>,
    /// What to do with what is worth remembering of the server.
    pub remember: Box<dyn FnMut(&Known) + Send>,
}

/// The same, with something kept of it.
pub async fn run_keeping<R: Remote>(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    stop: impl Future<Output = ()>,
    remote: R,
    config: bridge::Config,
    keeping: Keeping,
) -> ExitReason {
    let mut lines = LineReader::new(input);
    let mut client_open = true;
    let mut stop = pin!(stop);
    let mut stopped = false;
    let mut alarm = Alarm::default();
    let mut driver = Driver::new(remote, Writer::new(output), config, keeping);
    loop {
        if let Some(reason) = driver.ended {
            if let Some(traffic) = &mut driver.traffic {
                traffic.log_open_exchanges(now());
            }
            driver.say_last_words(reason).await;
            return reason;
        }
        alarm.set(driver.bridge.poll_timeout());
        // In this order: what comes often does not hold up what is rare, because everything that has come is taken below.
        tokio::select! {
            biased;
            written = driver.writer.flush(), if driver.is_stalled() => driver.written(&written),
            () = &mut stop, if !stopped => {
                stopped = true;
                driver.feed(Event::Stop(StopReason::Signal));
            }
            what = poll_fn(|context| alarm.poll_ring(context)) => {
                debug!(what, "time is up");
                driver.wake();
            }
            line = lines.next(), if client_open && driver.takes_lines() => {
                client_open = line.is_some();
                driver.feed(line.map_or(Event::ClientClosed, Event::Client));
            }
            Some(event) = driver.events.recv(), if driver.takes_events() => driver.feed(event),
            Some(finished) = driver.exchanges.join_next(), if !driver.exchanges.is_empty() => {
                driver.finished(finished);
            }
        }
        driver.take_events();
        driver.take_lines(&mut lines);
        driver.take_finished();
        driver.write();
    }
}

/// What the loop holds between two events.
struct Driver<R, W> {
    bridge: Bridge,
    remote: R,
    writer: Writer<W>,
    /// Whether the client may still read.
    output_open: bool,
    /// Whether the writer waits for the client to read.
    stalled: bool,
    exchanges: JoinSet<()>,
    /// The task of each exchange that has not ended.
    handles: HashMap<ExchangeId, AbortHandle, NumberHash>,
    sender: EventSender,
    events: EventReceiver,
    /// Tells of each message, where somebody wants to know.
    traffic: Option<Traffic>,
    recorder: Option<Recorder>,
    remember: Box<dyn FnMut(&Known) + Send>,
    /// Why the bridge asked to end.
    ended: Option<ExitReason>,
}

impl<R: Remote, W: AsyncWrite + Unpin> Driver<R, W> {
    fn new(remote: R, writer: Writer<W>, config: bridge::Config, keeping: Keeping) -> Driver<R, W> {
        let (sender, events) = EventSender::channel(EVENTS_BOUND);
        let traffic = sender.witness().cloned().map(Traffic::new);
        Driver {
            bridge: Bridge::new(config),
            remote,
            writer,
            output_open: true,
            stalled: false,
            exchanges: JoinSet::new(),
            handles: HashMap::default(),
            sender,
            events,
            traffic,
            recorder: keeping.recorder,
            remember: keeping.remember,
            ended: None,
        }
    }

    /// Returns whether the client has yet to read before more can be written.
    fn is_stalled(&self) -> bool {
        self.output_open && self.stalled
    }

    /// Writes what waits for the client. Most often the client reads, and nothing has to be waited for.
    fn write(&mut self) {
        if self.output_open && !self.stalled && !self.writer.is_idle() {
            match self.writer.flush().now_or_never() {
                Some(written) => self.written(&written),
                None => self.stalled = true,
            }
        }
    }

    /// The client has taken what waited for it, or takes nothing any more.
    fn written(&mut self, written: &io::Result<()>) {
        self.stalled = false;
        if written.is_err() {
            self.output_open = false;
            self.feed(Event::Stop(StopReason::OutputClosed));
        }
    }

    /// Returns whether the exchanges are heard.
    fn takes_events(&self) -> bool {
        self.ended.is_none() && (!self.output_open || self.writer.pending() < OUTPUT_BOUND)
    }

    /// Returns whether the client is heard.
    fn takes_lines(&self) -> bool {
        self.takes_events() && self.bridge.waiting_cost() < INPUT_BOUND
    }

    /// Takes in events that have come.
    fn take_events(&mut self) {
        for _ in 0..TAKEN_AT_ONCE {
            if !self.takes_events() {
                return;
            }
            let Some(event) = self.events.try_recv() else { return };
            self.feed(event);
        }
    }

    /// Takes in lines that have been read.
    fn take_lines(&mut self, lines: &mut LineReader<impl AsyncRead + Unpin>) {
        for _ in 0..TAKEN_AT_ONCE {
            if !self.takes_lines() {
                return;
            }
            let Some(line) = lines.next_read() else { return };
            self.feed(Event::Client(line));
        }
    }

    /// Clears up behind the exchanges that are over.
    fn take_finished(&mut self) {
        while let Some(finished) = self.exchanges.try_join_next() {
            self.finished(finished);
        }
    }

    /// Hands an event to the bridge, and carries out what it asks for.
    fn feed(&mut self, event: Event) {
        if let Event::Ended(exchange, _) = &event {
            self.handles.remove(exchange);
        }
        let now = self.pass();
        if let Some(traffic) = &mut self.traffic {
            traffic.log_event(&event, now);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.record_event(&event);
        }
        self.bridge.handle(event, now);
        self.act();
    }

    /// Does what is due.
    fn wake(&mut self) {
        let now = match &mut self.recorder {
            Some(recorder) => recorder.wake(now()),
            None => now(),
        };
        self.bridge.handle_timeout(now);
        self.act();
    }

    /// The time as the bridge is to have it. In a recording time goes by in steps, at each of which what is due is done.
    fn pass(&mut self) -> std::time::Instant {
        let Some(recorder) = &mut self.recorder else { return now() };
        let (now, is_later) = recorder.advance_clock(now());
        if is_later {
            self.bridge.handle_timeout(now);
            self.act();
        }
        now
    }

    /// Carries out what the bridge asks for.
    fn act(&mut self) {
        while let Some(action) = self.bridge.poll_action() {
            if let Some(recorder) = &mut self.recorder {
                recorder.record_action(&action);
            }
            match action {
                Action::Open(exchange, outgoing) => self.open(exchange, outgoing),
                Action::Close(exchange) => {
                    if let Some(traffic) = &mut self.traffic {
                        traffic.closed(exchange, now());
                    }
                    if let Some(handle) = self.handles.remove(&exchange) {
                        handle.abort();
                    }
                }
                Action::Deliver(message) => {
                    if let Some(traffic) = &mut self.traffic {
                        traffic.delivered(&message);
                    }
                    self.writer.push(message.text());
                }
                Action::Notice(notice) => log(&notice),
                Action::Remember(known) => (self.remember)(&known),
                Action::Exit(reason) => self.ended = Some(reason),
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.finish_turn();
        }
    }

    fn open(&mut self, exchange: ExchangeId, outgoing: Outgoing) {
        let span = match &mut self.traffic {
            Some(traffic) => traffic.opened(exchange, &outgoing, self.bridge.circumstances(exchange), now()),
            None => Span::none(),
        };
        let started = self.remote.start(exchange, outgoing, self.sender.clone());
        let handle = self.exchanges.spawn(started.instrument(span));
        self.handles.insert(exchange, handle);
    }

    /// Reports the end of an exchange that ended in a defect, and has not said so itself.
    fn finished(&mut self, finished: Result<(), JoinError>) {
        let Err(failed) = finished else { return };
        let of_task = |(exchange, handle): (&ExchangeId, &AbortHandle)| {
            (handle.id() == failed.id()).then_some(*exchange)
        };
        let Some(exchange) = self.handles.iter().find_map(of_task) else { return };
        let report = ErrorReport::new(
            ErrorKind::Internal,
            "a defect of mcp-tether ended this exchange",
            "report it with the output on stderr",
        );
        self.feed(Event::Ended(exchange, ExchangeOutcome::Lost { written: Written::Maybe, report }));
    }

    /// Lets the client read what it was still told, as long as it reads at all. Whether it did: there is nobody left
    /// to tell.
    async fn say_last_words(&mut self, reason: ExitReason) {
        let (patience, may_go_on) = match reason {
            ExitReason::ClientClosed => (LAST_WORDS, true),
            ExitReason::Stopped(StopReason::Signal) => (LAST_WORDS_STOPPED, false),
            ExitReason::Stopped(StopReason::OutputClosed) => return,
        };
        if !self.output_open {
            return;
        }
        loop {
            let before = self.writer.pending();
            let in_time = tokio::time::timeout(patience, self.writer.flush()).await.is_ok();
            if in_time || !may_go_on || self.writer.pending() == before {
                return;
            }
        }
    }
}

/// Rings when the bridge has something to do. The timer of the runtime is set only where it has to ring earlier than it would, because
/// most of what will be due is done before.
#[derive(Default)]
struct Alarm {
    /// When something is due, and what it is (for the log).
    due: Option<(std::time::Instant, &'static str)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn set(&mut self, due: Option<(std::time::Instant, &'static str)>) {
        self.due = due;
        let Some((at, _)) = due else { return };
        let at = Instant::from_std(at);
        match &mut self.timer {
            Some(timer) if timer.deadline() <= at && !timer.is_elapsed() => {}
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }

    /// Resolves to what is due, once it is.
    fn poll_ring(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        let (Some((at, what)), Some(timer)) = (self.due, &mut self.timer) else { return Poll::Pending };
        let at = Instant::from_std(at);
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= at {
                return Poll::Ready(what);
            }
            timer.as_mut().reset(at);
        }
    }
}

/// Hashes the numbers of exchanges, which only the bridge chooses.
#[derive(Clone, Copy, Default)]
struct NumberHash;

/// See [`NumberHash`].
struct NumberHasher(u64);

impl BuildHasher for NumberHash {
    type Hasher = NumberHasher;

    fn build_hasher(&self) -> NumberHasher {
        NumberHasher(0)
    }
}

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    /// The table takes the upper bits and the lower ones: 2^64 divided by the golden ratio fills both.
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A number that no other process has: the keys of the standard library's hash maps are random.
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The time, by the clock that the driver sleeps by.
pub fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Writes a notice where the person looks for it.
fn log(notice: &Notice) {
    match notice {
        Notice::Settled { .. } | Notice::Bridged { .. } => info!("{notice}"),
        // That was said at the start.
        Notice::Failed { report, .. } if report.cause == ErrorKind::Configuration => debug!("{notice}"),
        Notice::Failed { report, .. } | Notice::Undelivered { report, .. } => match &report.advice {
            Some(advice) => warn!(advice, "{notice}"),
            None => warn!("{notice}"),
        },
        Notice::NotListening(_)
        | Notice::OtherTransport(_)
        | Notice::Dropped { .. }
        | Notice::Withheld { .. } => debug!("{notice}"),
        Notice::Unreadable(_) | Notice::LeftOut { .. } | Notice::Overtaken(_) => warn!("{notice}"),
        Notice::Older
        | Notice::StreamEnded(_)
        | Notice::Relistening
        | Notice::Resending { .. }
        | Notice::Resuming { .. }
        | Notice::SessionLost
        | Notice::SessionRenewed(SessionNews::Same) => info!("{notice}"),
        Notice::SessionRenewed(SessionNews::Changed) => warn!("{notice}; restart the client to have it know"),
        Notice::SessionNotRenewed(report) => match &report.advice {
            Some(advice) => warn!(advice, "{notice}"),
            None => warn!("{notice}"),
        },
    }
}
