//! The same-era path: messages pass untouched, in order, and every request gets exactly one answer.
//!
//! Contract: one [`Relay::handle`] or [`Relay::handle_timeout`], then [`Relay::poll`] until `None`, then wait for the next
//! event or [`Relay::poll_timeout`]. Which era a message belongs to is read off the message itself, so that both can be
//! spoken in one process; where client and server do not share one, the relay says so and gives the messages back. The
//! order (who waits for whom) is the gate's, below. Deliberately not here: translating between the eras.

mod answers;
mod era_mismatch;
mod fallback;
mod ledger;
mod listening;
mod modern;
mod outcomes;
mod outgoing;
mod ping;
mod questions;
mod recovery;
mod renegotiation;
mod repeating;
mod retry;
mod session;
mod session_doubt;
mod session_loss;
mod sse_session;
mod stream_position;
mod surface;
mod tools;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Config;
use super::event::{Action, Ask, Event, ExchangeId, ExitReason, Notice, Outgoing, Refusal, SessionId};
pub(super) use era_mismatch::{EraMismatch, Evidence, LastWord, UNSUPPORTED_REVISION};
use fallback::Fallback;
pub use fallback::Transport;
use ledger::{Ledger, Ticket};
use listening::Listening;
pub(super) use modern::error_code;
pub(super) use outcomes::error_object;
use ping::Pings;
use questions::Questions;
use retry::Jitter;
use session::Sessions;
use session_doubt::Doubts;
use sse_session::SseSession;
pub(super) use surface::Output;
use tools::Tools;
pub(super) use tools::{LONGEST_NAME, TOOLS_KNOWN};

use crate::jsonrpc::Id;

/// Request exchanges under way at once over HTTP/1.1, where each holds a connection.
const REQUESTS_AT_ONCE: usize = 128;
/// The same over HTTP/2, where servers should allow 100 streams (RFC 9113, section 6.5.2) and the rest is needed for
/// what must always get through: responses, notifications, cancellations.
const REQUESTS_AT_ONCE_MULTIPLEXED: usize = 90;
/// Messages without an answer under way at once.
const DELIVERIES_AT_ONCE: usize = 16;
/// How long a message without an answer may take to be acknowledged before it is given up.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(30);
/// The same for a cancellation, which holds its request's exchange as well.
const CANCELLATION_PATIENCE: Duration = Duration::from_secs(5);
/// How long others wait until the server acknowledges `notifications/initialized` or `logging/setLevel`.
const GATE_PATIENCE: Duration = Duration::from_secs(5);
/// How long requests may still finish after the client closed its side.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of the session may take to tell, after the client closed its side.
const SESSION_END_PATIENCE: Duration = Duration::from_secs(1);
/// The same after a signal: Claude Code kills 400 ms after SIGTERM.
const SESSION_END_PATIENCE_STOPPED: Duration = Duration::from_millis(50);

/// How many bytes may wait to be sent in errors that answer the server in the client's place. A server that asks faster
/// than it hears has no answer to the rest.
const REPLIES: usize = 1024 * 1024;
/// How large the ids and tokens of forgotten questions may be together, in bytes.
const ORPHANED: usize = 1024 * 1024;

/// The state machine between the client and the exchanges with the server.
#[derive(Debug)]
pub(super) struct Relay {
    config: Config,
    ledger: Ledger,
    sessions: Sessions,
    doubts: Doubts,
    fallback: Fallback,
    sse_session: SseSession,
    listening: Listening,
    /// How often the listening stream has given way to a request.
    gave_way: u32,
    pings: Pings,
    /// What each exchange that has not ended is for.
    exchanges: BTreeMap<ExchangeId, Exchange>,
    /// When the exchanges of messages without an answer are given up.
    deadlines: BTreeMap<ExchangeId, Instant>,
    next_exchange: u64,
    requests_at_once: usize,
    /// Requests of the server that wait for the client.
    asked: Questions,
    /// Those of sessions that are no more, with their progress tokens: what the client answers goes nowhere.
    orphaned: HashMap<Id, Option<String>>,
    /// What the server's lists of tools said about headers.
    tools: Tools,
    /// Whether the server has shown that it speaks the modern era.
    server_is_modern: bool,
    jitter: Jitter,
    phase: Phase,
    outputs: VecDeque<Output>,
    /// Whether there is something among them that only the bridge can deal with.
    parted: bool,
    /// Whether the bridge has more to send once it has heard from the server.
    awaited: bool,
}

/// An exchange that has not ended.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    purpose: Purpose,
    /// The session that its headers name; see `session`.
    epoch: Option<u64>,
}

/// A request of the server.
#[derive(Debug)]
struct Question {
    /// The client's request in whose exchange it came.
    asking: Option<Ticket>,
    /// The session it belongs to; see `session`.
    epoch: u64,
    /// The JSON text of the token under which the client may report progress.
    progress: Option<String>,
}

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To have a request answered.
    Answer(Ticket),
    /// To get a message through that has no answer.
    Delivery(Ticket),
    /// To cancel a request whose exchange is then closed.
    Cancellation(Ticket, ExchangeId),
    /// To hear the rest of a stream that broke before the answer.
    Resumption(Ticket),
    /// To hear what the server has to say by itself.
    Listening,
    /// To open a session in the client's place.
    Renewal,
    /// To tell a new session what the one before knew.
    Restoration,
    /// To see whether the server is there.
    Ping,
    /// To look up the tool of a call whose headers the server did not accept.
    Learning(Ticket),
    /// To end the session.
    SessionEnd,
    /// Nothing any more: the request was answered.
    Answered,
    /// The same where a server has nothing to say behind its answer: in the modern era.
    Over,
    /// Nothing any more: the request was cancelled, and nothing about it goes to the client.
    Cancelled,
}

impl Purpose {
    /// The message of the client that an exchange is for.
    fn ticket(self) -> Option<Ticket> {
        match self {
            Purpose::Answer(ticket)
            | Purpose::Delivery(ticket)
            | Purpose::Cancellation(ticket, _)
            | Purpose::Resumption(ticket)
            | Purpose::Learning(ticket) => Some(ticket),
            Purpose::Listening
            | Purpose::Renewal
            | Purpose::Restoration
            | Purpose::Ping
            | Purpose::SessionEnd
            | Purpose::Answered
            | Purpose::Over
            | Purpose::Cancelled => None,
        }
    }
}

/// What was struck out of the ledger.
#[derive(Debug)]
enum Settled {
    /// A message whose outcome the client wants to know.
    Wanted(ledger::Entry),
    /// A request that the client has cancelled.
    Cancelled(ledger::Entry),
    /// Nothing: it was struck out before.
    Unknown,
}

/// Where in its life the process is.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The client closed its side; what can still finish may.
    Draining {
        deadline: Instant,
    },
    /// The server is being told which sessions end.
    Leaving {
        deadline: Instant,
        reason: ExitReason,
    },
    Gone,
}

impl Relay {
    /// A relay that has seen nothing yet.
    pub(super) fn new(config: Config) -> Relay {
        Relay {
            fallback: Fallback::new(config.transport),
            ledger: Ledger::default(),
            sessions: Sessions::default(),
            doubts: Doubts::default(),
            sse_session: SseSession::default(),
            listening: Listening::default(),
            gave_way: 0,
            pings: Pings::default(),
            exchanges: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            next_exchange: 1,
            requests_at_once: REQUESTS_AT_ONCE,
            asked: Questions::default(),
            orphaned: HashMap::new(),
            jitter: Jitter::new(config.seed),
            tools: Tools::default(),
            server_is_modern: false,
            phase: Phase::Running,
            config,
            outputs: VecDeque::new(),
            parted: false,
            awaited: false,
        }
    }

    /// Takes in what happened.
    fn handle_event(&mut self, event: Event, now: Instant) {
        match (event, &self.phase) {
            (_, Phase::Gone) => {}
            (Event::Client(line), Phase::Running) => self.client(line, now),
            (Event::Client(_), Phase::Draining { .. } | Phase::Leaving { .. }) => {}
            (Event::ClientClosed, Phase::Running) => {
                self.phase = Phase::Draining { deadline: now + DRAIN_PATIENCE };
            }
            (Event::ClientClosed, Phase::Draining { .. } | Phase::Leaving { .. }) => {}
            (Event::Stop(cause), _) => self.stop(cause, now),
            (Event::Sent(exchange), _) => self.sent(exchange, now),
            (Event::Opened(exchange, opening), _) => self.opened(exchange, opening, now),
            (Event::Server(exchange, message), _) => self.server(exchange, message, now),
            (Event::ServerInvalid(exchange, fault), _) => self.refuse_batch(exchange, &fault, now),
            (Event::Cursor(exchange, cursor), _) => self.advance(exchange, cursor),
            (Event::Ended(exchange, outcome), _) => self.ended(exchange, outcome, now),
        }
        self.proceed(now);
    }

    /// Does what is due. Harmless when nothing is.
    fn handle_due(&mut self, now: Instant) {
        if let Some(title) = self.sessions.stop_waiting(now) {
            self.act(Action::Notice(Notice::Overtaken(title)));
        }
        self.give_up_deliveries(now);
        self.renew_again(now);
        self.reconnect(now);
        self.wake(now);
        self.listen_again(now);
        self.give_way(now);
        self.ping(now);
        match self.phase {
            Phase::Draining { deadline } if deadline <= now => {
                self.leave(ExitReason::ClientClosed, now + SESSION_END_PATIENCE);
            }
            Phase::Leaving { deadline, reason, .. } if deadline <= now => self.exit(reason),
            Phase::Running | Phase::Draining { .. } | Phase::Leaving { .. } | Phase::Gone => {}
        }
        self.proceed(now);
    }

    /// Ends the session, which is not needed, and goes on without one.
    fn end_unneeded_session(&mut self) {
        let facts = self.sessions.facts();
        self.stop_listening();
        self.sessions.forget();
        // What the server has to say behind its answers, or to ours, is of that session too.
        for (exchange, purpose) in self.exchanges.iter().map(|(at, it)| (*at, it.purpose)).collect::<Vec<_>>()
        {
            match purpose {
                Purpose::Delivery(ticket) if !self.is_modern(ticket) => drop(self.remove(ticket)),
                Purpose::Answered => {}
                _ => continue,
            }
            self.close(exchange);
        }
        if facts.session.is_some() {
            self.open(Purpose::SessionEnd, Outgoing { ask: Ask::EndSession, facts });
        }
    }

    fn act(&mut self, action: Action) {
        self.outputs.push_back(Output::Do(action));
    }

    /// The next moment anything is due, and what it is (for the log).
    fn next_due(&self) -> Option<(Instant, &'static str)> {
        let gate = self.sessions.waits_until().map(|deadline| (deadline, "others stop waiting"));
        let phase = match self.phase {
            Phase::Draining { deadline } => Some((deadline, "requests may no longer finish")),
            Phase::Leaving { deadline, .. } => Some((deadline, "the session ends untold")),
            Phase::Running | Phase::Gone => None,
        };
        let delivery = self.deadlines.values().min().map(|deadline| (*deadline, "a delivery is given up"));
        let rest = self.ledger.next_to_wake().map(|until| (until, "a message is tried again"));
        let renewal = self.sessions.renewal_due().map(|until| (until, "the session is opened again"));
        let carrier =
            self.sse_session.next().map(|until| (until, "the stream of the session is opened again"));
        let listening = self.listening.next().map(|until| (until, "the stream is opened again"));
        let way = self.gives_way_at().map(|at| (at, "the stream gives way to a request"));
        let ping = self.pings.next().map(|until| (until, "the server is asked for a sign of life"));
        [gate, phase, delivery, rest, renewal, carrier, listening, way, ping].into_iter().flatten().min()
    }
}

/// Returns whether the words or codes of a refusal say that the server does not know the session that was named.
pub(super) fn says_session_is_lost(refusal: &Refusal, session: &SessionId) -> bool {
    session_loss::is_said(refusal, Some(session))
}

/// Marks what this program says to the client in its own name.
pub(super) const SOURCE: &str = "mcp-tether";
