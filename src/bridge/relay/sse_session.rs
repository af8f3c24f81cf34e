//! The stream that carries a session of the older transport (HTTP+SSE, 2024-11-05): all that the server says comes on it,
//! and with its end the session is lost.
//!
//! It is the exchange of `initialize`, which lasts beyond its answer. Every other message is POSTed in an exchange of its
//! own that ends when the server has taken it; a request then waits, in the same place of the ledger, for its answer on
//! the stream. When that ends, each such request has an unknown outcome, and the session is renewed as any other.
//! Deliberately not here: which transport is used (`fallback`), what may be sent again (`retry`).

mod state;

use std::time::Instant;

pub(super) use state::SseSession;

use super::ledger::{MessageState, Ticket};
use super::retry::{self, Decision};
use super::{CANCELLATION_PATIENCE, Phase, Relay};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Action, ExchangeId, ExchangeOutcome, Notice, Written};
use crate::bridge::revision::Era;

impl Relay {
    /// Returns whether the end of a POST is only its acknowledgement, because the answer comes on the stream.
    pub(super) fn answer_comes_on_session_stream(
        &mut self,
        ticket: Ticket,
        (exchange, epoch): (ExchangeId, Option<u64>),
        outcome: &ExchangeOutcome,
        now: Instant,
    ) -> bool {
        let comes = matches!(outcome, ExchangeOutcome::Accepted(_))
            && self.sessions.stream().is_some()
            && epoch == Some(self.sessions.epoch());
        if comes {
            // The server has the request, whether or not that was reported. Messages that waited for that may be sent.
            self.ledger.set_written(ticket, exchange);
            self.sessions.stop_waiting_for(ticket);
            if let Some(cancellation) = self.ledger.cancellation_of(ticket) {
                self.release_cancellation(cancellation, now);
            }
        }
        comes
    }

    /// The answer came before the server has acknowledged the POST. It has a while to do so, for a connection that is
    /// not broken off can be used again.
    pub(super) fn await_acknowledgement(&mut self, posted: ExchangeId, now: Instant) {
        self.exchanges.set_deadline(posted, now + CANCELLATION_PATIENCE);
    }

    /// An exchange behind its answer ended. If it carried the session, that is lost.
    pub(super) fn ended_session_stream(
        &mut self,
        exchange: ExchangeId,
        outcome: ExchangeOutcome,
        now: Instant,
    ) {
        if self.sessions.stream() != Some(exchange) {
            return;
        }
        let outcome = match outcome {
            ExchangeOutcome::Cut(_) => outcome,
            // Whatever it says of `initialize`: what was taken since may have run.
            ExchangeOutcome::Lost { report, .. } => ExchangeOutcome::Lost { written: Written::Maybe, report },
            ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) | ExchangeOutcome::Refused(_) => {
                ExchangeOutcome::Cut(ErrorReport::new(
                    ErrorKind::NoAnswer,
                    "the server ended the stream on which it answers",
                    "look into the server's log",
                ))
            }
        };
        if let ExchangeOutcome::Cut(report) | ExchangeOutcome::Lost { report, .. } = &outcome {
            self.act(Action::Notice(Notice::StreamEnded(report.sentence.clone())));
        }
        let epoch = self.sessions.epoch();
        self.drop_session_stream(Some(outcome.clone()), now);
        let lasted = self.streams.sse_session.has_lasted(now);
        self.back_off(&outcome, lasted, now);
        self.lose_session(epoch, now);
    }

    /// The session on the stream is over, and with it every answer that was to come: those requests are sent again
    /// where that may be, or answered.
    pub(super) fn drop_session_stream(&mut self, outcome: Option<ExchangeOutcome>, now: Instant) {
        let Some(stream) = self.sessions.stream() else { return };
        let epoch = Some(self.sessions.epoch());
        self.close(stream);
        let outcome = outcome.unwrap_or_else(|| ExchangeOutcome::Cut(stream_ended()));
        let under_way: Vec<(Ticket, ExchangeId, bool)> = self
            .ledger
            .iter()
            .filter(|(_, entry)| entry.era == Era::Legacy && entry.attempts.epoch == epoch)
            .filter(|(_, entry)| entry.request_id().is_some())
            .filter_map(|(ticket, entry)| match entry.state {
                MessageState::Sent { exchange, written } => Some((ticket, exchange, written)),
                MessageState::AtGate
                | MessageState::ForSlot { .. }
                | MessageState::Behind(_)
                | MessageState::Learning { .. }
                | MessageState::BackingOff { .. } => None,
            })
            .collect();
        for (ticket, exchange, written) in under_way {
            match written {
                true => {
                    self.close(exchange);
                    self.ended_unanswered(ticket, outcome.clone(), now);
                }
                // Whether it still gets there is not known before its own exchange says so.
                false => self.exchanges.set_deadline(exchange, now + CANCELLATION_PATIENCE),
            }
        }
    }

    /// The outcome of a POST whose answer has no stream any more.
    pub(super) fn outcome_without_stream(&self, ticket: Ticket, outcome: ExchangeOutcome) -> ExchangeOutcome {
        let is_legacy = self.ledger.get(ticket).is_some_and(|entry| entry.era == Era::Legacy);
        match outcome {
            ExchangeOutcome::Accepted(_) if is_legacy && self.sessions.uses_streams() => {
                ExchangeOutcome::Cut(stream_ended())
            }
            outcome => outcome,
        }
    }

    /// The server refused the handshake in its answer: the stream that was to carry the session is closed.
    pub(super) fn abandon_handshake(&mut self) {
        match self.sessions.future_stream() {
            Some(exchange) => self.close(exchange),
            None => self.sessions.abandon(),
        }
    }

    /// A session that could not be renewed is tried again: the server may have messages of its own for the client.
    pub(super) fn plan_reconnection(&mut self, now: Instant) {
        if self.sessions.is_ended()
            && self.phase == Phase::Running
            && self.sessions.uses_streams()
            && !self.streams.sse_session.is_backing_off()
        {
            self.back_off(&ExchangeOutcome::Complete, false, now);
        }
    }

    /// Decides when the next stream is opened: as soon as the session is lost, or after a while.
    fn back_off(&mut self, outcome: &ExchangeOutcome, lasted: bool, now: Instant) {
        let subject = self.streams.sse_session.subject(lasted);
        match retry::decide(outcome, subject, now, &mut self.jitter) {
            Decision::Retry { at, .. } => self.streams.sse_session.back_off(at),
            Decision::Renew
            | Decision::Deliver
            | Decision::Restart { .. }
            | Decision::OtherTransport
            | Decision::Fail(_) => self.streams.sse_session.note_message(),
        }
    }

    /// Opens the next stream when its time has come.
    pub(super) fn reconnect(&mut self, now: Instant) {
        if self.streams.sse_session.take_due(now) && self.sessions.is_ended() && self.phase == Phase::Running
        {
            self.renew(now);
        }
    }
}

fn stream_ended() -> ErrorReport {
    ErrorReport::new(
        ErrorKind::NoAnswer,
        "the session ended before the server answered",
        "look into the server's log",
    )
}
