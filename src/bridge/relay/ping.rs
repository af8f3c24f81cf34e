//! Signs of life, where the person asked for them: the server is pinged in our own name, and the answers are swallowed.
//!
//! Three in a row that stay out mean that the session is gone, and it is renewed. There are none in the modern era, which
//! has neither `ping` nor sessions. Deliberately not here: dead connections, which the HTTP client notices by itself.

use std::time::{Duration, Instant};

use super::retry::{self, Decision, Subject};
use super::{Phase, Purpose, Relay};
use crate::bridge::event::{Ask, ExchangeId, ExchangeOutcome, Outgoing};
use crate::jsonrpc::Id;
use crate::mcp::{OwnId, method};

/// The pings of a session.
#[derive(Debug)]
pub(super) struct Pings {
    /// How often the server is pinged; none where that is not wanted.
    interval: Option<Duration>,
    next: Option<Instant>,
    under_way: Option<ExchangeId>,
    lost: u32,
}

impl Pings {
    /// No session is open yet.
    pub(super) fn new(interval: Option<Duration>) -> Pings {
        Pings { interval, next: None, under_way: None, lost: 0 }
    }

    /// A session begins.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Pings { next: self.interval.map(|interval| now + interval), ..Pings::new(self.interval) };
    }

    /// The time has come. Returns whether a ping may be sent; nothing where it is not time yet.
    fn take_due(&mut self, is_running: bool, now: Instant) -> Option<bool> {
        let interval = self.interval?;
        self.next.filter(|next| *next <= now)?;
        self.next = is_running.then(|| now + interval);
        Some(is_running)
    }

    /// A ping was answered.
    fn answered(&mut self, exchange: ExchangeId) {
        if self.under_way == Some(exchange) {
            self.under_way = None;
            self.lost = 0;
        }
    }

    /// The session is no more: what becomes of its ping says nothing of the next one. Returns the ping that is under way.
    fn forget(&mut self) -> Option<ExchangeId> {
        self.lost = 0;
        self.under_way.take()
    }

    /// The result of a ping.
    fn count(&mut self, is_lost: bool) {
        self.lost = if is_lost { self.lost + 1 } else { 0 };
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}

impl Relay {
    /// Sends what is due. One that is still out by then is lost.
    pub(super) fn ping(&mut self, now: Instant) {
        let Some(is_running) = self.health.pings.take_due(self.phase == Phase::Running, now) else { return };
        if let Some(exchange) = self.health.pings.under_way.take() {
            self.close(exchange);
            self.judge_ping(&ExchangeOutcome::Complete, None, now);
        }
        if is_running && self.sessions.is_at_rest() {
            let request = self.own_request(method::PING, "{}");
            let outgoing = Outgoing { ask: Ask::Post(request), facts: self.sessions.facts() };
            self.health.pings.under_way = Some(self.open(Purpose::Ping, outgoing));
        }
    }

    /// The server has answered; whatever it said, it is there.
    pub(super) fn ponged(&mut self, exchange: ExchangeId) {
        self.health.pings.answered(exchange);
        self.exchanges.set_purpose(exchange, Purpose::Answered);
    }

    /// Returns whether a response on the stream of the session answers the ping that is out.
    pub(super) fn is_pong(&self, carrier: ExchangeId, id: Option<&Id>) -> bool {
        self.sessions.stream() == Some(carrier)
            && self.health.pings.under_way.is_some_and(|ping| id == Some(&OwnId::Relay.id(ping.0)))
    }

    /// That answer came.
    pub(super) fn ponged_on_carrier(&mut self) {
        if let Some(exchange) = self.health.pings.under_way {
            self.ponged(exchange);
        }
    }

    /// The session is no more: what becomes of its ping says nothing of the next one.
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
        if self.health.pings.under_way != Some(exchange) {
            return;
        }
        if matches!(outcome, ExchangeOutcome::Accepted(_)) && self.sessions.stream().is_some() {
            // Its answer comes on the stream of the session.
            return;
        }
        self.health.pings.under_way = None;
        let is_session_lost = matches!(
            outcome, ExchangeOutcome::Refused(refusal) if self.is_session_loss(epoch, refusal)
        );
        let lost = epoch.filter(|_| is_session_lost);
        self.judge_ping(outcome, lost, now);
    }

    /// Counts a ping as lost or answered. `lost`: the epoch of the session that it was refused for.
    fn judge_ping(&mut self, outcome: &ExchangeOutcome, lost: Option<u64>, now: Instant) {
        let subject = Subject::Ping { lost: self.health.pings.lost, is_session_lost: lost.is_some() };
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
