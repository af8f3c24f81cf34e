//! The state of the pings, which changes here alone.
//!
//! Deliberately not here: sending them.

use std::time::{Duration, Instant};

use crate::bridge::event::ExchangeId;
use crate::jsonrpc::Id;
use crate::mcp::OwnId;

/// The pings of a session.
#[derive(Debug)]
pub(in crate::bridge::relay) struct Pings {
    /// How often the server is pinged; none where that is not wanted.
    interval: Option<Duration>,
    next: Option<Instant>,
    under_way: Option<ExchangeId>,
    lost: u32,
}

impl Pings {
    /// No session is open yet.
    pub(in crate::bridge::relay) fn new(interval: Option<Duration>) -> Pings {
        Pings { interval, next: None, under_way: None, lost: 0 }
    }

    /// A session begins.
    pub(in crate::bridge::relay) fn begin(&mut self, now: Instant) {
        *self = Pings { next: self.interval.map(|interval| now + interval), ..Pings::new(self.interval) };
    }

    /// The time has come. Returns whether a ping may be sent; nothing where it is not time yet.
    pub(super) fn take_due(&mut self, is_running: bool, now: Instant) -> Option<bool> {
        let interval = self.interval?;
        self.next.filter(|next| *next <= now)?;
        self.next = is_running.then(|| now + interval);
        Some(is_running)
    }

    /// A ping was answered.
    pub(super) fn answered(&mut self, exchange: ExchangeId) {
        if self.under_way == Some(exchange) {
            self.under_way = None;
            self.lost = 0;
        }
    }

    /// The session has ended: the outcome of its ping says nothing about the next session. Returns the ping that is under way.
    pub(super) fn forget(&mut self) -> Option<ExchangeId> {
        self.lost = 0;
        self.under_way.take()
    }

    /// The result of a ping.
    pub(super) fn count(&mut self, is_lost: bool) {
        self.lost = if is_lost { self.lost + 1 } else { 0 };
    }

    /// A ping is sent in this exchange.
    pub(super) fn send(&mut self, exchange: ExchangeId) {
        self.under_way = Some(exchange);
    }

    /// Returns whether a ping is the one that is under way.
    pub(super) fn is_under_way(&self, exchange: ExchangeId) -> bool {
        self.under_way == Some(exchange)
    }

    /// Nothing more is expected of the ping that is under way. Returns it.
    pub(super) fn end(&mut self) -> Option<ExchangeId> {
        self.under_way.take()
    }

    /// The ping under way that a response with this id answers.
    pub(super) fn answered_by(&self, id: Option<&Id>) -> Option<ExchangeId> {
        self.under_way.filter(|ping| id == Some(&OwnId::Relay.id(ping.0)))
    }

    /// How many in a row were lost.
    pub(super) fn lost(&self) -> u32 {
        self.lost
    }

    /// When the next one is due.
    pub(in crate::bridge::relay) fn next(&self) -> Option<Instant> {
        self.next
    }
}
