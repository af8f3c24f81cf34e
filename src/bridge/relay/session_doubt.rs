//! Refusals that may be about the session or about something else: when one of them leads to a new session, and what
//! becomes of a session when giving it up did not help.
//!
//! A status alone (404, 401) says little. It leads to one new session; if that refuses the same message likewise, the
//! session was not the cause, and for a while no other refusal of that kind costs a handshake. A session in which no
//! message of the client was taken yet may be one that the server's other processes do not know yet: then the message is
//! sent once more in the same session after a pause. Deliberately not here: what a refusal says (`session_loss`), and the handshake
//! (`recovery`).

mod state;

use std::time::Instant;

pub(super) use state::Doubts;

use super::ledger::Ticket;
use super::session_loss::SessionLoss;
use super::{Exchange, Purpose, Relay, session_loss};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{
    Action, Ask, ExchangeId, ExchangeOutcome, Facts, Notice, Outgoing, Processing, Refusal,
};
use crate::bridge::revision::Era;
use crate::jsonrpc::{Kind, Message};

/// The remedy for a server that loses its sessions.
const AFFINITY: &str = "let all requests of a session reach the same server process: session affinity by the \
                        Mcp-Session-Id header, a session store that the replicas share, or a single replica; or run the \
                        server in its stateless mode";

impl Relay {
    /// Returns whether a refusal of the credentials may be about the session of a message: then a new session comes before
    /// a user is asked to sign in.
    pub(super) fn is_session_in_doubt(&self, ticket: Ticket, facts: &Facts, now: Instant) -> bool {
        let is_first = self.ledger.get(ticket).is_some_and(|entry| entry.attempts.sessions_lost == 0);
        facts.session.is_some()
            && is_first
            && self.health.doubts.may_mean_loss(SessionLoss::Unauthorized, None, now)
            && self.sessions.memory().start().is_some()
            && !self.is_leaving()
    }

    /// Judges whether a refusal of a message shows that its session is lost.
    pub(super) fn judge_loss(
        &self,
        ticket: Ticket,
        epoch: u64,
        refusal: &Refusal,
        now: Instant,
    ) -> Option<SessionLoss> {
        let session = self.sessions.id_of(epoch);
        let loss = session_loss::session_loss(refusal, session)?;
        let is_named = session.is_some() || self.sessions.epoch() != epoch;
        if loss == SessionLoss::Unauthorized && (!is_named || self.sessions.uses_streams()) {
            return None;
        }
        let method = self.ledger.get(ticket)?.message.method();
        self.health.doubts.may_mean_loss(loss, method, now).then_some(loss)
    }

    /// Returns whether a message may be sent once more in the session of this epoch, because none was taken in it yet.
    pub(super) fn settles(&self, ticket: Ticket, epoch: u64) -> bool {
        let is_new = !self.sessions.is_over(epoch)
            && !self.sessions.is_proven(epoch)
            && self.sessions.id_of(epoch).is_some();
        let is_taken_back = self.ledger.cancellation_of(ticket).is_some();
        let Some(entry) = self.ledger.get(ticket) else { return false };
        is_new && !is_taken_back && entry.era == Era::Legacy && entry.attempts.settled != Some(epoch)
    }

    /// Has a message sent once more, at this time, in the session of this epoch.
    pub(super) fn retry_in_new_session(
        &mut self,
        ticket: Ticket,
        (at, epoch): (Instant, u64),
        refusal: &Refusal,
    ) {
        let Some(entry) = self.ledger.get(ticket) else { return };
        let title = entry.message.title().into_owned();
        self.ledger.retry_in_new_session_at(ticket, at, epoch);
        self.act(Action::Notice(Notice::Resending { title, report: refusal.report.clone() }));
    }

    /// The server has taken a message of the client in its session.
    pub(super) fn prove_session(&mut self, ticket: Ticket) {
        if let Some(epoch) = self.ledger.get(ticket).and_then(|entry| entry.attempts.epoch) {
            self.sessions.prove(epoch);
        }
    }

    /// Notes why a session is given up, before it is.
    pub(super) fn note_given_up(&mut self, epoch: u64, loss: SessionLoss) {
        if self.sessions.is_over(epoch) {
            return;
        }
        let facts = self.sessions.facts();
        self.health.doubts.give_up(epoch, facts, loss);
    }

    /// Returns whether the session was given up because the credentials were refused.
    pub(super) fn was_over_credentials(&self) -> bool {
        self.health.doubts.is_over_credentials()
    }

    /// A new session refused a message like the one before, by a status alone: the renewal did not help.
    pub(super) fn renewal_did_not_help(&mut self, ticket: Ticket, now: Instant) {
        let method = self.ledger.get(ticket).and_then(|entry| entry.message.method()).map(str::to_owned);
        self.health.doubts.renewal_did_not_help(method, now);
        self.end_superfluous();
    }

    /// A message has its answer, after other sessions have refused it.
    pub(super) fn answered_at_last(&mut self) {
        self.health.doubts.was_lost();
        self.end_superfluous();
    }

    /// Ends the sessions that are not needed and in which no exchange is open.
    pub(super) fn end_superfluous(&mut self) {
        if !self.is_leaving() {
            let is_used = |epoch| self.exchanges.iter().any(|(_, exchange)| exchange.epoch == Some(epoch));
            let ended = self.health.doubts.take_superfluous(is_used);
            self.end_sessions(ended);
        }
    }

    /// Ends all of them: the process ends.
    pub(super) fn end_all_superfluous(&mut self) {
        self.health.doubts.was_lost();
        let ended = self.health.doubts.take_superfluous(|_| false);
        self.end_sessions(ended);
    }

    fn end_sessions(&mut self, sessions: Vec<Facts>) {
        for facts in sessions {
            self.open(Purpose::SessionEnd, Outgoing { ask: Ask::EndSession, facts });
        }
    }

    /// The outcome of a message that its session has refused, with words about the session.
    pub(super) fn explained(
        &self,
        ticket: Ticket,
        epoch: Option<u64>,
        outcome: ExchangeOutcome,
    ) -> ExchangeOutcome {
        let sessions_lost = self.ledger.get(ticket).map_or(0, |entry| entry.attempts.sessions_lost);
        match (epoch, outcome) {
            (Some(epoch), ExchangeOutcome::Refused(refusal)) => {
                match session_loss::session_loss(&refusal, self.sessions.id_of(epoch)) {
                    Some(SessionLoss::Said) if sessions_lost > 0 => {
                        let report = lost_each_time(&refusal.report);
                        ExchangeOutcome::Refused(Refusal {
                            answer: None,
                            processing: match refusal.processing {
                                Processing::NotProcessed => Processing::Final,
                                processing => processing,
                            },
                            report,
                            ..refusal
                        })
                    }
                    // The path is right: it has opened a session.
                    Some(SessionLoss::Presumed) => {
                        let advice = format!(
                            "check whether the server supports this method; if it refuses others like this, {AFFINITY}"
                        );
                        let report = ErrorReport { advice: Some(advice), ..refusal.report.clone() };
                        ExchangeOutcome::Refused(Refusal { report, ..refusal })
                    }
                    Some(SessionLoss::Said | SessionLoss::Unauthorized) | None => {
                        ExchangeOutcome::Refused(refusal)
                    }
                }
            }
            (_, outcome) => outcome,
        }
    }

    /// An error about the session that came with a success: its request waits for the next session. Returns whether that,
    /// or the error in its place, ends it here.
    pub(super) fn move_answer_to_next_session(
        &mut self,
        exchange: ExchangeId,
        ticket: Ticket,
        answer: &Message,
        now: Instant,
    ) -> bool {
        if !matches!(answer.kind(), Kind::Response { error: true, .. }) || self.sessions.uses_streams() {
            return false;
        }
        let Some(Exchange { epoch: Some(epoch), .. }) = self.exchanges.get(exchange) else {
            return false;
        };
        if !session_loss::is_loss_in_answer(answer, self.sessions.id_of(epoch)) {
            return false;
        }
        let refusal = refusal_in(answer);
        let lost = lost_each_time(&refusal.report);
        if !self.move_to_next_session(ticket, Some(epoch), &ExchangeOutcome::Refused(refusal), now) {
            if self.ledger.get(ticket).is_none_or(|entry| entry.attempts.sessions_lost == 0) {
                return false;
            }
            self.fail(ticket, lost);
        }
        self.close(exchange);
        true
    }
}

/// The refusal that an error about the session is, although it came with a success.
fn refusal_in(answer: &Message) -> Refusal {
    let words = session_loss::message_of(answer).unwrap_or_default();
    let report = ErrorReport::new(
        ErrorKind::Status,
        format!("the server answered: {words}"),
        "look into the server's log",
    );
    Refusal {
        status: 200,
        answer: Some(answer.clone()),
        retry_after: None,
        processing: Processing::Final,
        report,
    }
}

/// The words for sessions that are lost as soon as they are opened.
pub(super) fn lost_each_time(report: &ErrorReport) -> ErrorReport {
    let sentence = format!("the server does not know the sessions that it opens: {}", report.sentence);
    ErrorReport { sentence, advice: Some(AFFINITY.to_owned()), ..report.clone() }
}
