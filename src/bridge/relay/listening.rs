//! The stream for the server's own messages, and the streams of answers that broke: both are opened again by GET
//! (2025-11-25, basic/transports, resumability).
//!
//! Deliberately not here: when that is done (`retry`), and subscriptions of the modern era (`modern`).
#![doc = include_str!("streams.md")]

mod state;

use std::time::{Duration, Instant};

pub(super) use state::Listening;

use super::ledger::{MessageState, Ticket};
use super::retry::{self, Decision, Subject};
use super::{Phase, Purpose, Relay};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Action, Ask, ExchangeId, ExchangeOutcome, Notice, Outgoing, Refusal};
use crate::bridge::revision::Era;

/// How long a request waits for the head of its answer before the stream gives way to it.
const WAY_PATIENCE: Duration = Duration::from_secs(2);

impl Relay {
    /// Opens the stream for what the server has to say by itself, once in a session.
    pub(super) fn listen(&mut self, now: Instant) {
        if self.phase == Phase::Running
            && self.sessions.can_listen()
            && self.sessions.stream().is_none()
            && self.streams.listening.may_open()
        {
            let after = self.streams.listening.after().map(str::to_owned);
            let facts = self.sessions.facts();
            let exchange = self.open(Purpose::Listening, Outgoing { ask: Ask::Listen { after }, facts });
            self.streams.listening.open(exchange, now);
        }
    }

    /// When the stream gives way, unless a request is answered before: a server that serves one connection at a time
    /// answers none as long as the stream is open.
    pub(super) fn give_way_at(&self) -> Option<Instant> {
        let suspected = self.streams.listening.suspected()?;
        let waiting = self.ledger.iter().filter(|(_, entry)| {
            let is_sent = matches!(entry.state, MessageState::Sent { .. });
            is_sent && entry.era == Era::Legacy && entry.request_id().is_some() && !entry.attempts.opened
        });
        let since =
            waiting.filter_map(|(_, entry)| entry.attempts.since).map(|since| since.max(suspected)).min();
        since.map(|since| since + WAY_PATIENCE)
    }

    /// Closes the stream where it may be what a request waits for.
    pub(super) fn give_way(&mut self, now: Instant) {
        if self.give_way_at().is_some_and(|at| at <= now)
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

    /// The session has changed: its stream is closed, and its position is dropped.
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
        let listening = self.streams.listening.facts(lasted, epoch.is_some());
        let decision = retry::decide(&outcome, Subject::Listening(listening), now, &mut self.jitter);
        if let (Decision::Renew, Some(epoch)) = (decision, epoch) {
            let attempts = self.streams.listening.attempts();
            self.lose_session(epoch, now);
            return self.streams.listening.keep_attempts(attempts);
        }
        if lasted {
            self.streams.listening.note_message();
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

    /// Plans to resume a stream that was to bring an answer, if it named an event. Returns whether it is resumed.
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

    /// Resumes the stream of an answer, in the session that it belongs to.
    pub(super) fn resume(&mut self, ticket: Ticket, now: Instant) {
        let Some(entry) = self.ledger.get(ticket) else { return };
        let after = entry.stream.last().map(str::to_owned);
        if entry.attempts.epoch.is_some_and(|epoch| self.sessions.is_over(epoch)) {
            self.ledger.forget_stream(ticket);
            let report = ErrorReport::new(
                ErrorKind::NoAnswer,
                "the stream with the answer broke, and the server no longer knows the session",
                "look into the server's log",
            );
            return self.ended_unanswered(ticket, ExchangeOutcome::Cut(report), now);
        }
        let facts = self.sessions.facts();
        let exchange = self.open(Purpose::Resumption(ticket), Outgoing { ask: Ask::Listen { after }, facts });
        self.ledger.set_written(ticket, exchange);
    }

    /// A resumed stream ended without the answer.
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
            format!("the stream with the answer broke and could not be resumed: {}", report.sentence);
        self.ended_unanswered(ticket, ExchangeOutcome::Cut(ErrorReport { sentence, ..report }), now);
    }
}
