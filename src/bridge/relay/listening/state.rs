//! The state of the stream for the server's own messages.
//!
//! Deliberately not here: opening it.

use std::time::{Duration, Instant};

use crate::bridge::event::{Cursor, ExchangeId};
use crate::bridge::relay::retry::{Decision, FIRST_ATTEMPTS, ListeningFacts};
use crate::bridge::relay::stream_position::StreamPosition;

/// A stream that lasted this long was no failure.
const LASTING: Duration = Duration::from_secs(5);
/// How often it gives way to a request in the life of a process; then it is no longer opened.
const GIVES_WAY: u32 = 2;

/// The stream for what the server has to say by itself.
#[derive(Debug, Default)]
pub(in crate::bridge::relay) struct Listening {
    /// Whether it is never opened, because the user does not want it.
    is_off: bool,
    /// How often it has given way to a request.
    gave_way: u32,
    state: ListeningState,
    stream: StreamPosition,
    /// Whether it was there once, in this session.
    was_there: bool,
    /// Since when it may be what keeps the server from answering; none once it was seen not to.
    suspected: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ListeningState {
    /// Not asked for, or not offered.
    #[default]
    Off,
    /// Open, or being opened.
    On { exchange: ExchangeId, since: Option<Instant> },
    /// To be opened again.
    BackingOff { until: Instant },
    /// Closed until the requests under way are answered.
    GivingWay,
}

impl Listening {
    /// It is not open yet; `is_off`: and never will be.
    pub(in crate::bridge::relay) fn new(is_off: bool) -> Listening {
        Listening { is_off, ..Listening::default() }
    }

    /// Returns whether it may be opened.
    pub(super) fn may_open(&self) -> bool {
        !self.is_off && self.gave_way < GIVES_WAY && self.state == ListeningState::Off
    }

    /// It is being opened in this exchange.
    pub(super) fn open(&mut self, exchange: ExchangeId, now: Instant) {
        self.state = ListeningState::On { exchange, since: None };
        self.suspected = Some(now);
    }

    /// The exchange in which it is open.
    pub(super) fn exchange(&self) -> Option<ExchangeId> {
        match self.state {
            ListeningState::On { exchange, .. } => Some(exchange),
            ListeningState::Off | ListeningState::BackingOff { .. } | ListeningState::GivingWay => None,
        }
    }

    /// It is closed until the requests under way are answered. Returns the exchange in which it was open.
    pub(super) fn give_way(&mut self) -> Option<ExchangeId> {
        let exchange = self.exchange()?;
        self.gave_way += 1;
        self.state = ListeningState::GivingWay;
        self.suspected = None;
        Some(exchange)
    }

    /// It may be opened again, if it has given way or its time has come. Returns whether it may.
    pub(super) fn wake(&mut self, is_idle: bool, now: Option<Instant>) -> bool {
        let is_due = match self.state {
            ListeningState::GivingWay => is_idle,
            ListeningState::BackingOff { until } => now.is_some_and(|now| until <= now),
            ListeningState::Off | ListeningState::On { .. } => false,
        };
        if is_due {
            self.state = ListeningState::Off;
        }
        is_due
    }

    /// The session is another. Returns the exchange in which it was open.
    pub(super) fn reset(&mut self) -> Option<ExchangeId> {
        let exchange = self.exchange();
        *self = Listening { gave_way: self.gave_way, ..Listening::new(self.is_off) };
        exchange
    }

    /// It ended in this exchange. Returns whether it had been open for a while; none where it was another exchange.
    pub(super) fn end(&mut self, exchange: ExchangeId, now: Instant) -> Option<bool> {
        let ListeningState::On { since, .. } = self.state else { return None };
        if self.exchange() != Some(exchange) {
            return None;
        }
        self.state = ListeningState::Off;
        Some(since.is_some_and(|since| now.saturating_duration_since(since) >= LASTING))
    }

    /// When it is to be opened again.
    pub(in crate::bridge::relay) fn next(&self) -> Option<Instant> {
        match self.state {
            ListeningState::BackingOff { until } => Some(until),
            ListeningState::Off | ListeningState::On { .. } | ListeningState::GivingWay => None,
        }
    }

    /// The server answers in an exchange. If that began after the stream, the stream does not hold up the rest.
    pub(in crate::bridge::relay) fn answers_beside(&mut self, exchange: ExchangeId) {
        if matches!(self.state, ListeningState::On { exchange: own, .. } if own < exchange) {
            self.suspected = None;
        }
    }

    /// The head of its answer came.
    pub(in crate::bridge::relay) fn opened(&mut self, exchange: ExchangeId, now: Instant) {
        if let ListeningState::On { exchange: own, since } = &mut self.state
            && *own == exchange
        {
            *since = Some(now);
            self.was_there = true;
        }
    }

    /// Notes a message: the stream is worth opening again.
    pub(in crate::bridge::relay) fn note_message(&mut self) {
        self.stream.set_attempts(0);
        self.suspected = None;
    }

    /// The event behind which it is opened, where one is known.
    pub(super) fn after(&self) -> Option<&str> {
        self.stream.last()
    }

    /// Since when it may be what keeps the server from answering, if it is open.
    pub(super) fn suspected(&self) -> Option<Instant> {
        self.suspected.filter(|_| self.exchange().is_some())
    }

    /// The facts for the decision after its end.
    pub(super) fn facts(&self, lasted: bool, names_session: bool) -> ListeningFacts<'_> {
        let was_there = self.was_there;
        ListeningFacts { position: &self.stream, was_there, lasted, names_session }
    }

    /// How many attempts in a row to open it have failed, for [`Listening::keep_attempts`].
    pub(super) fn attempts(&self) -> u32 {
        self.stream.attempts()
    }

    /// The session is another because of the stream: a server that forgets each session over its stream is not asked
    /// without a pause either.
    pub(super) fn keep_attempts(&mut self, attempts: u32) {
        self.stream.set_attempts(attempts.min(FIRST_ATTEMPTS - 1));
    }

    /// The stream is opened again, if that was decided.
    pub(super) fn open_again(&mut self, decision: Decision) {
        match decision {
            Decision::Restart { at } => {
                self.stream.forget_last();
                self.stream.count_attempt();
                self.state = ListeningState::BackingOff { until: at };
            }
            Decision::Retry { at, .. } => {
                self.stream.count_attempt();
                self.state = ListeningState::BackingOff { until: at };
            }
            Decision::Deliver | Decision::Renew | Decision::OtherTransport | Decision::Fail(_) => {}
        }
    }

    /// The stream can be resumed from here.
    pub(in crate::bridge::relay) fn advance(&mut self, cursor: Cursor) {
        self.stream.advance(cursor);
    }
}
