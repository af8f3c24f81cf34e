//! The same-era path: messages pass untouched, in order, and every request gets exactly one answer.
//!
//! Contract: one [`Relay::handle`] or [`Relay::handle_timeout`], then [`Relay::poll`] until `None`, then wait for the next
//! event or [`Relay::poll_timeout`]. Which era a message belongs to is read off the message itself, so that both can be
//! spoken in one process; where client and server do not share one, the relay says so and gives the messages back. The
//! order (who waits for whom) is the gate's, below. Deliberately not here: translating between the eras.
//!
#![doc = include_str!("order.md")]

mod answers;
mod era_mismatch;
mod exchanges;
mod fallback;
mod ledger;
mod limits;
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

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Config;
use super::event::{Action, Ask, Event, ExitReason, Notice, Outgoing, Refusal, SessionId};
use super::layer::Output;
pub(super) use era_mismatch::{EraMismatch, Evidence, LastWord};
use exchanges::{Exchange, Exchanges, Purpose};
pub use fallback::TransportOrder;
use ledger::Ledger;
use listening::Listening;
pub(super) use modern::error_code;
pub(super) use outcomes::error_object;
use ping::Pings;
use questions::{Question, Questions};
use retry::Jitter;
use session::Sessions;
use session_doubt::Doubts;
use sse_session::SseSession;
pub(super) use surface::stopped;
use tools::Tools;
pub(super) use tools::{LONGEST_NAME, TOOLS_KNOWN};

pub(super) use crate::mcp::SOURCE;

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
/// The state machine between the client and the exchanges with the server.
#[derive(Debug)]
pub(super) struct Relay {
    ledger: Ledger,
    sessions: Sessions,
    health: Health,
    streams: Streams,
    exchanges: Exchanges,
    questions: Questions,
    tools: Tools,
    jitter: Jitter,
    phase: Phase,
    outputs: VecDeque<Output>,
}

/// The health of the session, in two parts that change only their own state.
#[derive(Debug)]
struct Health {
    doubts: Doubts,
    pings: Pings,
}

/// The streams on which the server speaks by itself. Two parts of which each changes its own state alone.
#[derive(Debug)]
struct Streams {
    listening: Listening,
    sse_session: SseSession,
}

/// An entry that was removed from the ledger.
#[derive(Debug)]
enum Settled {
    /// A message whose outcome the client wants to know.
    Wanted(Box<ledger::LedgerEntry>),
    /// A request that the client has cancelled.
    Cancelled(Box<ledger::LedgerEntry>),
    /// Nothing: it was removed before.
    Unknown,
}

/// The phase of the process.
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
            ledger: Ledger::default(),
            sessions: Sessions::new(config.transport),
            health: Health { doubts: Doubts::default(), pings: Pings::new(config.ping) },
            streams: Streams {
                listening: Listening::new(config.no_listening),
                sse_session: SseSession::default(),
            },
            exchanges: Exchanges::default(),
            questions: Questions::default(),
            tools: Tools::default(),
            jitter: Jitter::new(config.seed),
            phase: Phase::Running,
            outputs: VecDeque::new(),
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

    /// Ends the session, which is not needed. Messages are sent without one.
    fn end_unneeded_session(&mut self) {
        let facts = self.sessions.facts();
        self.stop_listening();
        self.sessions.forget();
        // Messages of the server after its answers belong to that session too.
        for (exchange, purpose) in self.exchanges.iter().map(|(at, it)| (at, it.purpose)).collect::<Vec<_>>()
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
        self.outputs.push_back(match action {
            Action::Deliver(message) => Output::to_client(message),
            action => Output::Do(action),
        });
    }

    /// The next moment anything is due, and what it is (for the log).
    fn next_due(&self) -> Option<(Instant, &'static str)> {
        let gate = self.sessions.waits_until().map(|deadline| (deadline, "others stop waiting"));
        let phase = match self.phase {
            Phase::Draining { deadline } => Some((deadline, "requests may no longer finish")),
            Phase::Leaving { deadline, .. } => {
                Some((deadline, "the end of the session is no longer waited for"))
            }
            Phase::Running | Phase::Gone => None,
        };
        let delivery = self.exchanges.next_deadline().map(|deadline| (deadline, "a delivery is given up"));
        let rest = self.ledger.next_to_wake().map(|until| (until, "a message is tried again"));
        let renewal = self.sessions.renewal_due().map(|until| (until, "the session is opened again"));
        let session_stream =
            self.streams.sse_session.next().map(|until| (until, "the stream of the session is opened again"));
        let listening = self.streams.listening.next().map(|until| (until, "the stream is opened again"));
        let way = self.give_way_at().map(|at| (at, "the stream gives way to a request"));
        let ping = self.health.pings.next().map(|until| (until, "the server is pinged"));
        [gate, phase, delivery, rest, renewal, session_stream, listening, way, ping]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Returns whether the words or codes of a refusal say that the server does not know the session that was named.
pub(super) fn says_session_is_lost(refusal: &Refusal, session: &SessionId) -> bool {
    session_loss::is_loss_in_refusal(refusal, Some(session))
}
