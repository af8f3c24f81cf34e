//! Signs of life, where the person asked for them: the server is pinged in our own name, and the answers are swallowed.
//!
//! Three in a row that stay out mean that the session is gone, and it is renewed. There are none in the modern era, which
//! has neither `ping` nor sessions. Deliberately not here: dead connections, which the HTTP client notices by itself.

use std::time::Instant;

use super::retry::{self, Decision, Subject};
use super::{Phase, Purpose, Relay, SOURCE};
use crate::bridge::event::{Ask, ExchangeId, ExchangeOutcome, Outgoing};
use crate::jsonrpc::Id;

/// The pings of a session.
#[derive(Debug, Default)]
pub(super) struct Pings {
    next: Option<Instant>,
    under_way: Option<ExchangeId>,
    lost: u32,
}

impl Pings {
    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}

impl Relay {
    /// A session begins: its pings, too, where they are wanted.
    pub(super) fn begin_pings(&mut self, now: Instant) {
        let next = self.config.ping.map(|interval| now + interval);
        self.pings = Pings { next, ..Pings::default() };
    }

    /// Sends what is due. One that is still out by then is lost.
    pub(super) fn ping(&mut self, now: Instant) {
        let Some(interval) = self.config.ping else { return };
        if self.pings.next.is_none_or(|next| next > now) {
            return;
        }
        self.pings.next = (self.phase == Phase::Running).then(|| now + interval);
        if let Some(exchange) = self.pings.under_way.take() {
            self.close(exchange);
            self.judge_ping(&ExchangeOutcome::Complete, None, now);
        }
        if self.pings.next.is_some() && self.sessions.is_at_rest() {
            let request = self.own_request("ping", "{}");
            let outgoing = Outgoing { ask: Ask::Post(request), facts: self.sessions.facts() };
            self.pings.under_way = Some(self.open(Purpose::Ping, outgoing));
        }
    }

    /// The server has answered; whatever it said, it is there.
    pub(super) fn ponged(&mut self, exchange: ExchangeId) {
        if self.pings.under_way == Some(exchange) {
            self.pings.under_way = None;
            self.pings.lost = 0;
        }
        self.purpose(exchange, Purpose::Answered);
    }

    /// Returns whether a response on the stream of the session answers the ping that is out.
    pub(super) fn is_pong(&self, carrier: ExchangeId, id: Option<&Id>) -> bool {
        self.sessions.stream() == Some(carrier)
            && self
                .pings
                .under_way
                .is_some_and(|ping| id.is_some_and(|id| id.as_json() == format!("\"{SOURCE}-{}\"", ping.0)))
    }

    /// That answer came.
    pub(super) fn ponged_on_carrier(&mut self) {
        if let Some(exchange) = self.pings.under_way {
            self.ponged(exchange);
        }
    }

    /// The session is no more: what becomes of its ping says nothing of the next one.
    pub(super) fn forget_pings(&mut self) {
        self.pings.lost = 0;
        if let Some(exchange) = self.pings.under_way.take() {
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
        if self.pings.under_way != Some(exchange) {
            return;
        }
        if matches!(outcome, ExchangeOutcome::Accepted(_)) && self.sessions.stream().is_some() {
            // Its answer comes on the stream of the session.
            return;
        }
        self.pings.under_way = None;
        let is_session_lost = matches!(
            outcome, ExchangeOutcome::Refused(refusal) if self.is_session_loss(epoch, refusal)
        );
        let lost = epoch.filter(|_| is_session_lost);
        self.judge_ping(outcome, lost, now);
    }

    /// Counts a ping as lost or answered. `lost`: the epoch of the session that it was refused for.
    fn judge_ping(&mut self, outcome: &ExchangeOutcome, lost: Option<u64>, now: Instant) {
        let subject = Subject::Ping { lost: self.pings.lost, is_session_lost: lost.is_some() };
        match retry::decide(outcome, subject, now, &mut self.jitter) {
            Decision::Deliver => self.pings.lost = 0,
            Decision::Renew => self.lose_session(lost.unwrap_or(self.sessions.epoch()), now),
            Decision::Fail(_)
            | Decision::Retry { .. }
            | Decision::Restart { .. }
            | Decision::OtherTransport => {
                self.pings.lost += 1;
            }
        }
    }
}
