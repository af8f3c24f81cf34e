//! The driver: one event loop that connects the client's lines, the exchanges and the bridge. It contains no MCP logic.
//!
//! It feeds events to the bridge and carries out its actions. Exchanges are tasks that it owns: dropping one cancels it,
//! and a defect in one ends that one alone. Bounds: neither exchanges nor the client are heard while 8 MiB wait for
//! the client, and the client is not heard while 256 MiB wait to be sent. Deliberately not here: any decision.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
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
    let mut output_open = true;
    let mut driver = Driver::new(remote, Writer::new(output), config, keeping);
    loop {
        driver.act();
        if let Some(reason) = driver.ended {
            if let Some(traffic) = &mut driver.traffic {
                traffic.log_open_exchanges(now());
            }
            driver.say_last_words(reason, output_open).await;
            return reason;
        }
        let due = driver.bridge.poll_timeout();
        let alarm = async {
            match due {
                Some((at, what)) => {
                    tokio::time::sleep_until(Instant::from_std(at)).await;
                    debug!(what, "time is up");
                }
                None => std::future::pending().await,
            }
        };
        let is_read = !output_open || driver.writer.pending() < OUTPUT_BOUND;
        tokio::select! {
            line = lines.next(), if client_open && is_read && driver.bridge.waiting_cost() < INPUT_BOUND => {
                client_open = line.is_some();
                driver.feed(line.map_or(Event::ClientClosed, Event::Client));
            }
            Some(event) = driver.events.recv(), if is_read => {
                driver.feed(event);
            }
            written = driver.writer.flush(), if output_open && !driver.writer.is_idle() => {
                if written.is_err() {
                    output_open = false;
                    driver.feed(Event::Stop(StopReason::OutputClosed));
                }
            }
            Some(finished) = driver.exchanges.join_next_with_id(), if !driver.exchanges.is_empty() => {
                driver.finished(finished);
            }
            () = alarm => driver.wake(),
            () = &mut stop, if !stopped => {
                stopped = true;
                driver.feed(Event::Stop(StopReason::Signal));
            }
        }
    }
}

/// What the loop holds between two events.
struct Driver<R, W> {
    bridge: Bridge,
    remote: R,
    writer: Writer<W>,
    exchanges: JoinSet<()>,
    /// The task of each exchange, and the exchange of each task.
    handles: HashMap<ExchangeId, AbortHandle>,
    tasks: HashMap<Id, ExchangeId>,
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
            exchanges: JoinSet::new(),
            handles: HashMap::new(),
            tasks: HashMap::new(),
            sender,
            events,
            traffic,
            recorder: keeping.recorder,
            remember: keeping.remember,
            ended: None,
        }
    }

    fn feed(&mut self, event: Event) {
        let now = self.pass();
        if let Some(traffic) = &mut self.traffic {
            traffic.log_event(&event, now);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.record_event(&event);
        }
        self.bridge.handle(event, now);
    }

    /// Does what is due.
    fn wake(&mut self) {
        let now = match &mut self.recorder {
            Some(recorder) => recorder.wake(now()),
            None => now(),
        };
        self.bridge.handle_timeout(now);
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
                    if let Some(handle) = self.handles.get(&exchange) {
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
        self.tasks.insert(handle.id(), exchange);
        self.handles.insert(exchange, handle);
    }

    /// Clears up behind an exchange. One that ended in a defect has not said so itself.
    fn finished(&mut self, finished: Result<(Id, ()), JoinError>) {
        let task = match &finished {
            Ok((task, ())) => *task,
            Err(failed) => failed.id(),
        };
        let Some(exchange) = self.tasks.remove(&task) else { return };
        self.handles.remove(&exchange);
        if finished.is_err_and(|failed| failed.is_panic()) {
            let report = ErrorReport::new(
                ErrorKind::Internal,
                "a defect of mcp-tether ended this exchange",
                "report it with the output on stderr",
            );
            self.feed(Event::Ended(exchange, ExchangeOutcome::Lost { written: Written::Maybe, report }));
        }
    }

    /// Lets the client read what it was still told, as long as it reads at all. Whether it did: there is nobody left
    /// to tell.
    async fn say_last_words(&mut self, reason: ExitReason, output_open: bool) {
        let (patience, may_go_on) = match reason {
            ExitReason::ClientClosed => (LAST_WORDS, true),
            ExitReason::Stopped(StopReason::Signal) => (LAST_WORDS_STOPPED, false),
            ExitReason::Stopped(StopReason::OutputClosed) => return,
        };
        if !output_open {
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
