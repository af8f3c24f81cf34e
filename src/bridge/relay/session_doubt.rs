//! Refusals that may be about the session or about something else: when one of them leads to a new session, and what
//! becomes of a session that was given up in vain.
//!
//! A status alone (404, 401) says little. It leads to one new session; if that refuses the same message likewise, the
//! session was not the cause, and for a while no other refusal of that kind costs a handshake. A session in which no
//! message of the client was taken yet may be one that the server's other processes do not know yet: then the message is
//! sent once more in the same session after a pause. Deliberately not here: what a refusal says (`session_loss`), and the handshake
//! (`recovery`).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::ledger::Ticket;
use super::session_loss::SessionLoss;
use super::{Exchange, Purpose, Relay, session_loss};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{
    Action, Ask, ExchangeId, ExchangeOutcome, Facts, Notice, Outgoing, Processing, Refusal,
};
use crate::bridge::revision::Era;
use crate::jsonrpc::{Kind, Message};

/// How long a renewal in vain keeps other statuses from leading to one.
const VAIN: Duration = Duration::from_secs(60);
/// How many methods are remembered. Clients use about twenty.
const METHODS: usize = 64;
/// What to do where the server loses its sessions.
const AFFINITY: &str = "let all requests of a session reach the same server process: session affinity by the \
                        Mcp-Session-Id header, a session store that the replicas share, or a single replica; or run the \
                        server in its stateless mode";

/// What was learned about refusals that do not say that they are about the session.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// When a renewal that a status alone had led to turned out to be in vain.
    vain: Option<Instant>,
    /// The methods over whose requests that happened.
    refused: BTreeSet<String>,
    /// The methods of which the server has answered a request.
    answered: BTreeSet<String>,
    /// Sessions that were given up over a status alone: the server may still know them.
    given_up: Vec<GivenUp>,
    /// Those that it knows, or may. They are ended once nothing is under way in them.
    superfluous: Vec<GivenUp>,
    /// Whether the last session was given up because the credentials were refused.
    over_credentials: bool,
}

/// A session that was given up.
#[derive(Debug)]
struct GivenUp {
    epoch: u64,
    facts: Facts,
    loss: SessionLoss,
}

impl Doubts {
    /// Returns whether a refusal like this of a message with this method may be about the session.
    fn may_mean_loss(&self, loss: SessionLoss, method: Option<&str>, now: Instant) -> bool {
        let is_recent = self.vain.is_some_and(|at| now.saturating_duration_since(at) < VAIN);
        match loss {
            SessionLoss::Said => true,
            SessionLoss::Unauthorized => !is_recent,
            SessionLoss::Presumed => {
                let is_known = |method| self.answered.contains(method) && !self.refused.contains(method);
                !is_recent || method.is_some_and(is_known)
            }
        }
    }

    /// Notes that the server has answered a request with this method.
    pub(super) fn answered(&mut self, method: &str) {
        if self.answered.len() < METHODS && !self.answered.contains(method) {
            self.answered.insert(method.to_owned());
        }
    }

    /// A message that was refused in another session has its answer in this one: the other one was lost, unless new
    /// credentials came with this one.
    fn was_lost(&mut self) {
        let given_up = std::mem::take(&mut self.given_up).into_iter();
        self.superfluous.extend(given_up.filter(|session| session.loss == SessionLoss::Unauthorized));
    }
}

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

    /// How a refusal of a message speaks against its session, as far as it is to be believed.
    pub(super) fn believed_loss(
        &self,
        ticket: Ticket,
        epoch: u64,
        refusal: &Refusal,
        now: Instant,
    ) -> Option<SessionLoss> {
        let session = self.sessions.id_of(epoch);
        let loss = session_loss::session_loss(refusal, session)?;
        let is_named = session.is_some() || self.sessions.epoch() != epoch;
        if loss == SessionLoss::Unauthorized && (!is_named || self.sessions.transport.uses_streams()) {
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
        self.health.doubts.over_credentials = loss == SessionLoss::Unauthorized;
        let facts = self.sessions.facts();
        if loss != SessionLoss::Said && facts.session.is_some() {
            self.health.doubts.given_up.push(GivenUp { epoch, facts, loss });
        }
    }

    /// Returns whether the session was given up because the credentials were refused.
    pub(super) fn was_over_credentials(&self) -> bool {
        self.health.doubts.over_credentials
    }

    /// A new session refuses a message as the one before did, by a status alone: that session was given up in vain.
    pub(super) fn renewed_in_vain(&mut self, ticket: Ticket, now: Instant) {
        let method = self.ledger.get(ticket).and_then(|entry| entry.message.method()).map(str::to_owned);
        let doubts = &mut self.health.doubts;
        doubts.vain = Some(now);
        if doubts.refused.len() < METHODS {
            doubts.refused.extend(method);
        }
        doubts.superfluous.append(&mut doubts.given_up);
        self.end_superfluous();
    }

    /// A message has its answer, after other sessions have refused it.
    pub(super) fn answered_at_last(&mut self) {
        self.health.doubts.was_lost();
        self.end_superfluous();
    }

    /// Ends the sessions that nobody needs and in which nothing is under way.
    pub(super) fn end_superfluous(&mut self) {
        if self.health.doubts.superfluous.is_empty() || self.is_leaving() {
            return;
        }
        let is_used = |epoch: u64| self.exchanges.iter().any(|(_, exchange)| exchange.epoch == Some(epoch));
        let (kept, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.health.doubts.superfluous)
            .into_iter()
            .partition(|session| is_used(session.epoch));
        self.health.doubts.superfluous = kept;
        for GivenUp { facts, .. } in ended {
            self.open(Purpose::SessionEnd, Outgoing { ask: Ask::EndSession, facts });
        }
    }

    /// Ends all of them: the process ends.
    pub(super) fn end_all_superfluous(&mut self) {
        self.health.doubts.was_lost();
        let left = std::mem::take(&mut self.health.doubts.superfluous);
        for GivenUp { facts, .. } in left {
            self.open(Purpose::SessionEnd, Outgoing { ask: Ask::EndSession, facts });
        }
    }

    /// The ending of a message that its session has refused, in words about that.
    pub(super) fn explained(
        &self,
        ticket: Ticket,
        epoch: Option<u64>,
        outcome: ExchangeOutcome,
    ) -> ExchangeOutcome {
        let outlived = self.ledger.get(ticket).map_or(0, |entry| entry.attempts.sessions_lost);
        match (epoch, outcome) {
            (Some(epoch), ExchangeOutcome::Refused(refusal)) => {
                match session_loss::session_loss(&refusal, self.sessions.id_of(epoch)) {
                    Some(SessionLoss::Said) if outlived > 0 => {
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
                            "look whether the server knows this method; if it refuses others like this, {AFFINITY}"
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
    /// or the error that is told in its place, is its end here.
    pub(super) fn move_answer_to_next_session(
        &mut self,
        exchange: ExchangeId,
        ticket: Ticket,
        answer: &Message,
        now: Instant,
    ) -> bool {
        if !matches!(answer.kind(), Kind::Response { error: true, .. })
            || self.sessions.transport.uses_streams()
        {
            return false;
        }
        let Some(Exchange { epoch: Some(epoch), .. }) = self.exchanges.get(exchange) else {
            return false;
        };
        if !session_loss::is_said_in_answer(answer, self.sessions.id_of(epoch)) {
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
