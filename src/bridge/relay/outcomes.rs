//! How things end: an exchange, a request without an answer, the process.
//!
//! Every request gets its one answer here, if the server gave none and trying again is no use. Deliberately not here:
//! sending again (`repeating`, `recovery`, `listening`).

use std::time::Instant;

use super::era_mismatch::Evidence;
use super::ledger::Ticket;
use super::renegotiation::Refused;
use super::retry::{Decision, Remark};
use super::{Exchange, Output, Phase, Purpose, Relay, SESSION_END_PATIENCE_STOPPED, Settled, ledger};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{
    Action, Ask, ExchangeId, ExchangeOutcome, ExitReason, Notice, Outgoing, Refusal, StopReason, Written,
};
use crate::jsonrpc::{ErrorData, ErrorObject, Id, Kind, Message};
use crate::mcp::{SOURCE, method};

impl Relay {
    pub(super) fn ended(&mut self, exchange: ExchangeId, outcome: ExchangeOutcome, now: Instant) {
        let Some(Exchange { purpose, epoch }) = self.exchanges.end(exchange) else { return };
        if !matches!(outcome, ExchangeOutcome::Lost { .. }) {
            self.streams.listening.answers_beside(exchange);
        }
        let outcome = match carried(purpose) {
            Some(ticket) if self.move_to_next_session(ticket, epoch, &outcome, now) => {
                return self.close_cancelled(purpose);
            }
            Some(ticket) => self.explained(ticket, epoch, outcome),
            None => outcome,
        };
        match purpose {
            Purpose::Answer(ticket)
                if self.answer_comes_on_session_stream(ticket, (exchange, epoch), &outcome, now) => {}
            Purpose::Answer(ticket) if self.resubscribe(ticket, &outcome, now) => {}
            Purpose::Answer(ticket) => {
                let outcome = self.outcome_without_stream(ticket, outcome);
                self.ended_unanswered(ticket, outcome, now);
            }
            Purpose::Resumption(ticket) => self.ended_resumption(ticket, outcome, now),
            Purpose::Learning(ticket) => self.give_up_learning(ticket),
            Purpose::Delivery(ticket) => self.ended_delivery(ticket, &outcome, now),
            Purpose::Cancellation(ticket, _) => {
                self.ended_delivery(ticket, &outcome, now);
                self.close_cancelled(purpose);
            }
            Purpose::Listening => self.ended_listening(exchange, epoch, outcome, now),
            Purpose::Renewal => self.ended_renewal(outcome, now),
            Purpose::Restoration => self.ended_restoration(exchange, epoch, &outcome, now),
            Purpose::Ping => self.ended_ping(exchange, epoch, &outcome, now),
            Purpose::SessionEnd => self.ended_session_end(),
            Purpose::Cancelled => self.ended_cancelled(epoch, &outcome, now),
            Purpose::Answered => self.ended_session_stream(exchange, outcome, now),
            Purpose::Over => {}
        }
        self.after_exchange(exchange);
    }

    /// The exchange of a request goes with its cancellation.
    fn close_cancelled(&mut self, purpose: Purpose) {
        if let Purpose::Cancellation(_, cancelled) = purpose {
            self.close(cancelled);
        }
    }

    fn ended_session_end(&mut self) {
        let is_last = !self.exchanges.has(Purpose::SessionEnd);
        if let (Phase::Leaving { reason, .. }, true) = (&self.phase, is_last) {
            self.exit(*reason);
        }
    }

    fn ended_cancelled(&mut self, epoch: Option<u64>, outcome: &ExchangeOutcome, now: Instant) {
        if let (ExchangeOutcome::Refused(refusal), Some(lost)) = (outcome, epoch)
            && self.is_session_loss(epoch, refusal)
        {
            self.lose_session(lost, now);
        }
    }

    /// A request's exchange ended without its answer: it is sent again, or answered with what is known.
    pub(super) fn ended_unanswered(&mut self, ticket: Ticket, outcome: ExchangeOutcome, now: Instant) {
        let Some(outcome) = self.find_other_opening(ticket, outcome, now) else { return };
        if self.resume_later(ticket, &outcome, now) {
            return;
        }
        let remark = match self.decide_message(ticket, &outcome, now) {
            Some(Decision::Retry { at, since }) => return self.retry_at(ticket, at, since, &outcome),
            Some(Decision::Fail(remark)) => remark,
            Some(_) | None => Remark::Nothing,
        };
        match outcome {
            // The server's own error, whatever the status: it goes to the client as it is.
            ExchangeOutcome::Refused(Refusal { answer: Some(answer), .. }) => {
                self.deliver_refusal(ticket, answer, now);
            }
            outcome => self.fail(ticket, remark.add_to(unanswered(&outcome))),
        }
    }

    /// A message by which the client opens may be sent in another revision, by the other transport, or not at all because
    /// the server speaks another era. Returns the outcome where none of that is done.
    fn find_other_opening(
        &mut self,
        ticket: Ticket,
        outcome: ExchangeOutcome,
        now: Instant,
    ) -> Option<ExchangeOutcome> {
        if let ExchangeOutcome::Refused(refusal) = &outcome
            && self.renegotiate(ticket, Refused::Status(refusal), now)
        {
            return None;
        }
        if let ExchangeOutcome::Lost { report, .. } = &outcome
            && report.cause == ErrorKind::Transport
            && self.is_modern(ticket)
        {
            let answer = Message::error(None, &error_object(report));
            self.report_era_mismatch(ticket, Evidence::Legacy, answer, Some(report.clone()));
            return None;
        }
        let outcome = match self.evidence_in(ticket, &outcome) {
            Some(Evidence::Modern | Evidence::Legacy) => outcome,
            Some(Evidence::Nothing) | None => self.fall_back(ticket, outcome, now)?,
        };
        if let ExchangeOutcome::Refused(refusal) = &outcome
            && let Some(evidence) = self.evidence_in(ticket, &outcome)
        {
            let (answer, report) = match &refusal.answer {
                Some(answer) => (answer.clone(), None),
                None => (Message::error(None, &error_object(&refusal.report)), Some(refusal.report.clone())),
            };
            self.report_era_mismatch(ticket, evidence, answer, report);
            return None;
        }
        Some(outcome)
    }

    /// The evidence of a refusal about the server's era.
    fn evidence_in(&self, ticket: Ticket, outcome: &ExchangeOutcome) -> Option<Evidence> {
        match outcome {
            ExchangeOutcome::Refused(refusal) => {
                self.evidence(ticket, refusal.answer.as_ref(), Some(refusal))
            }
            ExchangeOutcome::Complete
            | ExchangeOutcome::Accepted(_)
            | ExchangeOutcome::Cut(_)
            | ExchangeOutcome::Lost { .. } => None,
        }
    }

    /// Answers a request with the server's own error.
    fn deliver_refusal(&mut self, ticket: Ticket, answer: Message, now: Instant) {
        let answer = match self.is_modern(ticket) {
            true => self.modern_answer(ticket, answer, now),
            false => Some(answer),
        };
        let Some(answer) = answer else { return };
        let Settled::Wanted(entry) = self.settle(ticket) else { return };
        let Some(id) = entry.request_id() else { return };
        self.deliver_as(id, answer);
    }

    /// Passes an answer on under the id that the client wrote.
    pub(super) fn deliver_as(&mut self, id: &Id, answer: Message) {
        let intact = matches!(answer.kind(), Kind::Response { id: Some(theirs), .. } if theirs == id);
        let answer = if intact { answer } else { answer.with_id(id) };
        self.act(Action::Deliver(answer));
    }

    fn ended_delivery(&mut self, ticket: Ticket, outcome: &ExchangeOutcome, now: Instant) {
        if matches!(outcome, ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_)) {
            self.prove_session(ticket);
            self.initialized(ticket, now);
        } else if let Some(Decision::Retry { at, since }) = self.decide_message(ticket, outcome, now) {
            return self.retry_at(ticket, at, since, outcome);
        }
        let Some(entry) = self.remove(ticket) else { return };
        let report = match outcome {
            ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) => return,
            ExchangeOutcome::Cut(report) | ExchangeOutcome::Lost { report, .. } => report.clone(),
            ExchangeOutcome::Refused(refusal) => refusal.report.clone(),
        };
        let title = entry.message.title().into_owned();
        self.act(Action::Notice(Notice::Undelivered { title, report }));
    }

    /// The server has accepted a message. After `notifications/initialized` the stream for its own messages is opened;
    /// nothing waits for that.
    pub(super) fn initialized(&mut self, ticket: Ticket, now: Instant) {
        let method = self.ledger.get(ticket).and_then(|entry| entry.message.method());
        if method == Some(method::INITIALIZED) {
            self.listen(now);
        }
    }

    /// Gives up what the server has not acknowledged in time.
    pub(super) fn give_up_deliveries(&mut self, now: Instant) {
        for exchange in self.exchanges.late(now) {
            self.act(Action::Close(exchange));
            let report = ErrorReport::new(
                ErrorKind::NoAnswer,
                "the server did not acknowledge the message in time",
                "look into the server's log",
            );
            self.ended(exchange, ExchangeOutcome::Lost { written: Written::Maybe, report }, now);
        }
    }

    /// An exchange has ended in any way: nothing waits for it any more.
    pub(super) fn after_exchange(&mut self, exchange: ExchangeId) {
        if self.sessions.is_opening(exchange) {
            self.sessions.abandon();
        }
        self.end_superfluous();
    }

    /// Removes a message. No other message waits for it any more.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Box<ledger::LedgerEntry>> {
        self.sessions.stop_waiting_for(ticket);
        self.ledger.remove(ticket)
    }

    /// Removes a message and the cancellation that waits for it, which has nothing to cancel then.
    pub(super) fn settle(&mut self, ticket: Ticket) -> Settled {
        self.questions.retain(|question| question.asking != Some(ticket));
        let cancellation =
            self.ledger.cancellation_of(ticket).and_then(|cancellation| self.remove(cancellation));
        match (self.remove(ticket), cancellation) {
            (Some(entry), None) => Settled::Wanted(entry),
            (Some(entry), Some(_)) => Settled::Cancelled(entry),
            (None, _) => Settled::Unknown,
        }
    }

    /// Answers a request with an error of ours.
    pub(super) fn fail(&mut self, ticket: Ticket, report: ErrorReport) {
        let entry = match self.settle(ticket) {
            Settled::Wanted(entry) => {
                if let Some(id) = entry.request_id() {
                    self.act(Action::Deliver(Message::error(Some(id), &error_object(&report))));
                }
                entry
            }
            Settled::Cancelled(entry) => entry,
            Settled::Unknown => return,
        };
        let title = entry.message.title().into_owned();
        self.act(Action::Notice(Notice::Failed { title, report }));
    }

    pub(super) fn dropped(&mut self, message: &Message, because: &'static str) {
        let title = message.title().into_owned();
        self.act(Action::Notice(Notice::Dropped { title, because }));
    }

    pub(super) fn has_nothing_to_drain(&self) -> bool {
        self.ledger.iter().all(|(ticket, entry)| {
            let waits_for_the_client =
                self.questions.iter().any(|(_, question)| question.asking == Some(ticket));
            entry.request_id().is_some() && (waits_for_the_client || entry.is_subscription())
        })
    }

    pub(super) fn stop(&mut self, cause: StopReason, now: Instant) {
        let limit = now + SESSION_END_PATIENCE_STOPPED;
        match &mut self.phase {
            Phase::Running | Phase::Draining { .. } => self.leave(ExitReason::Stopped(cause), limit),
            Phase::Leaving { deadline, .. } => *deadline = limit.min(*deadline),
            Phase::Gone => {}
        }
    }

    /// Answers the requests that are left, closes every exchange, and ends the session if there is one.
    pub(super) fn leave(&mut self, reason: ExitReason, deadline: Instant) {
        self.outputs.push_back(Output::Leaving);
        let facts = self.sessions.facts_of_handshake();
        let left: Vec<Ticket> = self.ledger.iter().map(|(ticket, _)| ticket).collect();
        for ticket in left {
            if self.end_subscription(ticket) {
                continue;
            }
            let report = ErrorReport::new(
                ErrorKind::Stopped,
                "stopped before the server answered",
                "check what the request did before you repeat it: it may have run",
            );
            self.fail(ticket, report);
        }
        let others = self.exchanges.iter().filter(|(_, exchange)| exchange.purpose != Purpose::SessionEnd);
        for exchange in others.map(|(exchange, _)| exchange).collect::<Vec<_>>() {
            self.close(exchange);
        }
        self.sessions.fail_renewal();
        self.end_all_superfluous();
        // The facts name no lost session, which needs no end.
        if facts.session.is_some() {
            self.open(Purpose::SessionEnd, Outgoing { ask: Ask::EndSession, facts });
        }
        if !self.exchanges.has(Purpose::SessionEnd) {
            return self.exit(reason);
        }
        self.phase = Phase::Leaving { deadline, reason };
    }

    pub(super) fn exit(&mut self, reason: ExitReason) {
        self.phase = Phase::Gone;
        self.act(Action::Exit(reason));
    }
}

/// The error for a request whose exchange ended with this outcome.
fn unanswered(outcome: &ExchangeOutcome) -> ErrorReport {
    match outcome {
        ExchangeOutcome::Refused(Refusal { report, .. })
        | ExchangeOutcome::Cut(report)
        | ExchangeOutcome::Lost { report, .. } => report.clone(),
        ExchangeOutcome::Complete => ErrorReport::new(
            ErrorKind::NoAnswer,
            "the server ended its answer without answering the request",
            "look into the server's log",
        ),
        ExchangeOutcome::Accepted(status) => ErrorReport::new(
            ErrorKind::NoAnswer,
            "the server accepted the request but sent no answer",
            "check that the URL is the server's streamable HTTP endpoint",
        )
        .with_status(*status),
    }
}

/// The message that an exchange was to bring to the server.
fn carried(purpose: Purpose) -> Option<Ticket> {
    match purpose {
        Purpose::Answer(ticket) | Purpose::Delivery(ticket) | Purpose::Cancellation(ticket, _) => {
            Some(ticket)
        }
        Purpose::Resumption(_)
        | Purpose::Listening
        | Purpose::Renewal
        | Purpose::Restoration
        | Purpose::Ping
        | Purpose::Learning(_)
        | Purpose::SessionEnd
        | Purpose::Answered
        | Purpose::Over
        | Purpose::Cancelled => None,
    }
}

pub(in crate::bridge) fn error_object(report: &ErrorReport) -> ErrorObject {
    ErrorObject {
        code: report.cause.code(),
        message: format!("{SOURCE}: {}", report.sentence),
        data: ErrorData {
            source: SOURCE,
            cause: report.cause.word(),
            status: report.status,
            advice: report.advice.clone(),
            body: report.body.clone(),
            ray: report.ray.clone(),
            correlation_id: report.correlation_id.clone(),
            request_id: report.request_id.clone(),
        },
    }
}
