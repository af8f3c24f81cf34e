//! Pings, if the user asks for them: the relay pings the server itself and drops the answers.
//!
//! If three in a row have no answer, the session is taken for lost and is renewed. There are no pings in the modern era, which
//! has neither `ping` nor sessions. Deliberately not here: dead connections, which the HTTP client notices by itself.

mod state;

use std::time::Instant;

pub(super) use state::Pings;

use super::retry::{self, Decision, Subject};
use super::{Phase, Purpose, Relay};
use crate::bridge::event::{Ask, ExchangeId, ExchangeOutcome, Outgoing};
use crate::jsonrpc::Id;
use crate::mcp::method;

impl Relay {
    /// Sends what is due. One that is still out by then is lost.
    pub(super) fn ping(&mut self, now: Instant) {
        let Some(is_running) = self.health.pings.take_due(self.phase == Phase::Running, now) else { return };
        if let Some(exchange) = self.health.pings.end() {
            self.close(exchange);
            self.judge_ping(&ExchangeOutcome::Complete, None, now);
        }
        if is_running && self.sessions.can_send_now() {
            let request = self.own_request(method::PING, "{}");
            let outgoing = Outgoing { ask: Ask::Post(request), facts: self.sessions.facts() };
            let exchange = self.open(Purpose::Ping, outgoing);
            self.health.pings.send(exchange);
        }
    }

    /// The server has answered the ping. Any answer shows that it is there.
    pub(super) fn ping_answered(&mut self, exchange: ExchangeId) {
        self.health.pings.answered(exchange);
        self.exchanges.set_purpose(exchange, Purpose::Answered);
    }

    /// The ping that a response on the stream of the session answers.
    pub(super) fn pong(&self, stream: ExchangeId, id: Option<&Id>) -> Option<ExchangeId> {
        self.health.pings.answered_by(id).filter(|_| self.sessions.stream() == Some(stream))
    }

    /// The session has ended: the outcome of its ping says nothing about the next session.
    pub(super) fn forget_pings(&mut self) {
        if let Some(exchange) = self.health.pings.forget() {
            self.close(exchange);
        }
    }

    /// A ping ended without an answer.
    pub(super) fn ended_ping(
        &mut self,
        exchange: ExchangeId,
        epoch: Option<u64>,
        outcome: &ExchangeOutcome,
        now: Instant,
    ) {
        if !self.health.pings.is_under_way(exchange) {
            return;
        }
        if matches!(outcome, ExchangeOutcome::Accepted(_)) && self.sessions.stream().is_some() {
            // Its answer comes on the stream of the session.
            return;
        }
        self.health.pings.end();
        let is_session_lost = matches!(
            outcome, ExchangeOutcome::Refused(refusal) if self.is_session_loss(epoch, refusal)
        );
        let lost = epoch.filter(|_| is_session_lost);
        self.judge_ping(outcome, lost, now);
    }

    /// Counts a ping as lost or answered. `lost`: the epoch of the session that it was refused for.
    fn judge_ping(&mut self, outcome: &ExchangeOutcome, lost: Option<u64>, now: Instant) {
        let subject = Subject::Ping { lost: self.health.pings.lost(), is_session_lost: lost.is_some() };
        match retry::decide(outcome, subject, now, &mut self.jitter) {
            Decision::Deliver => self.health.pings.count(false),
            Decision::Renew => self.lose_session(lost.unwrap_or(self.sessions.epoch()), now),
            Decision::Fail(_)
            | Decision::Retry { .. }
            | Decision::Restart { .. }
            | Decision::OtherTransport => {
                self.health.pings.count(true);
            }
        }
    }
}
