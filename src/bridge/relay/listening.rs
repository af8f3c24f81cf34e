//! The stream for the server's own messages, and the streams of answers that broke: both are opened again by GET
//! (2025-11-25, basic/transports, resumability).
//!
//! Deliberately not here: when that is done (`retry`), and subscriptions of the modern era (`modern`).
#![doc = include_str!("streams.md")]

use std::time::{Duration, Instant};

use super::ledger::{Place, Ticket};
use super::retry::{self, Decision, FIRST_ATTEMPTS, ListeningFacts, Subject};
use super::stream_position::StreamPosition;
use super::{Phase, Purpose, Relay};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Action, Ask, Cursor, ExchangeId, ExchangeOutcome, Notice, Outgoing, Refusal};
use crate::bridge::revision::Era;

/// A stream that lasted this long was no failure.
const LASTING: Duration = Duration::from_secs(5);
/// How long a request waits for the head of its answer before the stream gives way to it.
const WAY_PATIENCE: Duration = Duration::from_secs(2);
/// How often it does in the life of a process; then it is no longer opened.
const GIVES_WAY: u32 = 2;
/// The stream for what the server has to say by itself.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// Whether it is never opened, because the user does not want it.
    is_off: bool,
    /// How often it has given way to a request.
    gave_way: u32,
    place: Standing,
    stream: StreamPosition,
    /// Whether it was there once, in this session.
    was_there: bool,
    /// Since when it may be what keeps the server from answering; none once it was seen not to.
    suspected: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
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
    pub(super) fn new(is_off: bool) -> Listening {
        Listening { is_off, ..Listening::default() }
    }

    /// Returns whether it may be opened.
    fn may_open(&self) -> bool {
        !self.is_off && self.gave_way < GIVES_WAY && self.place == Standing::Off
    }

    /// It is being opened in this exchange.
    fn open(&mut self, exchange: ExchangeId, now: Instant) {
        self.place = Standing::On { exchange, since: None };
        self.suspected = Some(now);
    }

    /// The exchange in which it is open.
    fn exchange(&self) -> Option<ExchangeId> {
        match self.place {
            Standing::On { exchange, .. } => Some(exchange),
            Standing::Off | Standing::BackingOff { .. } | Standing::GivingWay => None,
        }
    }

    /// It is closed until the requests under way are answered. Returns the exchange in which it was open.
    fn give_way(&mut self) -> Option<ExchangeId> {
        let exchange = self.exchange()?;
        self.gave_way += 1;
        self.place = Standing::GivingWay;
        self.suspected = None;
        Some(exchange)
    }

    /// It may be opened again, if it has given way or its time has come. Returns whether it may.
    fn wake(&mut self, is_idle: bool, now: Option<Instant>) -> bool {
        let is_due = match self.place {
            Standing::GivingWay => is_idle,
            Standing::BackingOff { until } => now.is_some_and(|now| until <= now),
            Standing::Off | Standing::On { .. } => false,
        };
        if is_due {
            self.place = Standing::Off;
        }
        is_due
    }

    /// The session is another. Returns the exchange in which it was open.
    fn reset(&mut self) -> Option<ExchangeId> {
        let exchange = self.exchange();
        *self = Listening { gave_way: self.gave_way, ..Listening::new(self.is_off) };
        exchange
    }

    /// It ended in this exchange. Returns whether it had been open for a while; none where it was another exchange.
    fn end(&mut self, exchange: ExchangeId, now: Instant) -> Option<bool> {
        let Standing::On { since, .. } = self.place else { return None };
        if self.exchange() != Some(exchange) {
            return None;
        }
        self.place = Standing::Off;
        Some(since.is_some_and(|since| now.saturating_duration_since(since) >= LASTING))
    }

    /// When it is to be opened again.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.place {
            Standing::BackingOff { until } => Some(until),
            Standing::Off | Standing::On { .. } | Standing::GivingWay => None,
        }
    }

    /// The server answers in an exchange. If that began after the stream, the stream does not hold up the rest.
    pub(super) fn answers_beside(&mut self, exchange: ExchangeId) {
        if matches!(self.place, Standing::On { exchange: own, .. } if own < exchange) {
            self.suspected = None;
        }
    }

    /// The head of its answer came.
    pub(super) fn opened(&mut self, exchange: ExchangeId, now: Instant) {
        if let Standing::On { exchange: own, since } = &mut self.place
            && *own == exchange
        {
            *since = Some(now);
            self.was_there = true;
        }
    }

    /// The server has said something: the stream is worth opening again.
    pub(super) fn heard(&mut self) {
        self.stream.set_attempts(0);
        self.suspected = None;
    }

    /// The stream is opened again, if that was decided.
    fn open_again(&mut self, decision: Decision) {
        match decision {
            Decision::Restart { at } => {
                self.stream.forget_last();
                self.stream.count_attempt();
                self.place = Standing::BackingOff { until: at };
            }
            Decision::Retry { at, .. } => {
                self.stream.count_attempt();
                self.place = Standing::BackingOff { until: at };
            }
            Decision::Deliver | Decision::Renew | Decision::OtherTransport | Decision::Fail(_) => {}
        }
    }

    /// The stream can be taken up again from here.
    pub(super) fn advance(&mut self, cursor: Cursor) {
        self.stream.advance(cursor);
    }
}

impl Relay {
    /// Opens the stream for what the server has to say by itself, once in a session.
    pub(super) fn listen(&mut self, now: Instant) {
        if self.phase == Phase::Running
            && self.sessions.can_listen()
            && self.sessions.stream().is_none()
            && self.streams.listening.may_open()
        {
            let after = self.streams.listening.stream.last().map(str::to_owned);
            let facts = self.sessions.facts();
            let exchange = self.open(Purpose::Listening, Outgoing { ask: Ask::Listen { after }, facts });
            self.streams.listening.open(exchange, now);
        }
    }

    /// When the stream gives way, unless a request is answered before: a server that serves one connection at a time
    /// answers none as long as the stream is open.
    pub(super) fn gives_way_at(&self) -> Option<Instant> {
        let suspected = self.streams.listening.suspected?;
        self.streams.listening.exchange()?;
        let waiting = self.ledger.iter().filter(|(_, entry)| {
            let is_sent = matches!(entry.place, Place::Sent { .. });
            is_sent && entry.era == Era::Legacy && entry.request_id().is_some() && !entry.attempts.opened
        });
        let since =
            waiting.filter_map(|(_, entry)| entry.attempts.since).map(|since| since.max(suspected)).min();
        since.map(|since| since + WAY_PATIENCE)
    }

    /// Closes the stream where it may be what a request waits for.
    pub(super) fn give_way(&mut self, now: Instant) {
        if self.gives_way_at().is_some_and(|at| at <= now)
            && let Some(exchange) = self.streams.listening.give_way()
        {
            self.close(exchange);
            let reason = "it gives way to a request that the server has not begun to answer".to_owned();
            self.act(Action::Notice(Notice::NotListening(reason)));
        }
    }

    /// Opens the stream again that has given way, once nothing waits for an answer.
    pub(super) fn listen_after_giving_way(&mut self, now: Instant) {
        if self.streams.listening.wake(self.ledger.requests_sent() == 0, None) {
            self.listen(now);
        }
    }

    /// Opens it again when its time has come.
    pub(super) fn listen_again(&mut self, now: Instant) {
        if self.streams.listening.wake(false, Some(now)) {
            self.listen(now);
        }
    }

    /// The session is another: its stream is closed and forgotten.
    pub(super) fn stop_listening(&mut self) {
        if let Some(exchange) = self.streams.listening.reset() {
            self.close(exchange);
        }
    }

    /// The stream ended.
    pub(super) fn ended_listening(
        &mut self,
        exchange: ExchangeId,
        epoch: Option<u64>,
        outcome: ExchangeOutcome,
        now: Instant,
    ) {
        let Some(lasted) = self.streams.listening.end(exchange, now) else { return };
        let listening = ListeningFacts {
            position: &self.streams.listening.stream,
            was_there: self.streams.listening.was_there,
            lasted,
            names_session: epoch.is_some(),
        };
        let decision = retry::decide(&outcome, Subject::Listening(listening), now, &mut self.jitter);
        if let (Decision::Renew, Some(epoch)) = (decision, epoch) {
            // A server that forgets each session over its stream is not hammered either.
            let attempts = self.streams.listening.stream.attempts().min(FIRST_ATTEMPTS - 1);
            self.lose_session(epoch, now);
            return self.streams.listening.stream.set_attempts(attempts);
        }
        if lasted {
            self.streams.listening.heard();
        }
        self.streams.listening.open_again(decision);
        let notice = match outcome {
            ExchangeOutcome::Refused(Refusal { status: 405, .. }) => "the server offers none".to_owned(),
            ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) => "the server closed it".to_owned(),
            ExchangeOutcome::Cut(_) | ExchangeOutcome::Refused(_) | ExchangeOutcome::Lost { .. } => {
                outcome.to_string()
            }
        };
        self.act(Action::Notice(Notice::NotListening(notice)));
    }

    /// Lets a stream that was to bring an answer be taken up again, where it said from where. Returns whether it will be.
    pub(super) fn resume_later(&mut self, ticket: Ticket, outcome: &ExchangeOutcome, now: Instant) -> bool {
        let is_wanted = !self.is_leaving() && self.ledger.cancellation_of(ticket).is_none();
        let Some(entry) = self.ledger.get(ticket) else { return false };
        let subject = Subject::AnswerStream { position: &entry.stream, is_wanted };
        let Decision::Retry { at: until, .. } = retry::decide(outcome, subject, now, &mut self.jitter) else {
            return false;
        };
        let title = entry.message.title().into_owned();
        self.ledger.resume_at(ticket, until);
        self.act(Action::Notice(Notice::Resuming { title }));
        true
    }

    /// Takes the stream of an answer up again, in the session that it belongs to.
    pub(super) fn resume(&mut self, ticket: Ticket, now: Instant) {
        let Some(entry) = self.ledger.get(ticket) else { return };
        let after = entry.stream.last().map(str::to_owned);
        if entry.attempts.epoch.is_some_and(|epoch| self.sessions.is_over(epoch)) {
            self.ledger.forget_stream(ticket);
            let report = ErrorReport::new(
                ErrorKind::NoAnswer,
                "the stream with the answer broke, and the server has forgotten the session",
                "look into the server's log",
            );
            return self.ended_unanswered(ticket, ExchangeOutcome::Cut(report), now);
        }
        let facts = self.sessions.facts();
        let exchange = self.open(Purpose::Resumption(ticket), Outgoing { ask: Ask::Listen { after }, facts });
        self.ledger.set_written(ticket, exchange);
    }

    /// A stream that was taken up again ended without the answer.
    pub(super) fn ended_resumption(&mut self, ticket: Ticket, outcome: ExchangeOutcome, now: Instant) {
        if self.resume_later(ticket, &outcome, now) {
            return;
        }
        // Whatever the server makes of the GET, the request itself may have run.
        self.ledger.forget_stream(ticket);
        let report = match outcome {
            ExchangeOutcome::Cut(report) | ExchangeOutcome::Lost { report, .. } => report,
            ExchangeOutcome::Refused(refusal) => refusal.report,
            ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) => ErrorReport::new(
                ErrorKind::NoAnswer,
                "the server ended its answer without answering the request",
                "look into the server's log",
            ),
        };
        let sentence =
            format!("the stream with the answer broke and could not be taken up again: {}", report.sentence);
        self.ended_unanswered(ticket, ExchangeOutcome::Cut(ErrorReport { sentence, ..report }), now);
    }
}
