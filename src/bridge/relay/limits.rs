//! How much is under way at once, and until when what needs no answer may be.
//!
//! Deliberately not here: what waits meanwhile (`ledger`).

use std::collections::BTreeMap;
use std::time::Instant;

use crate::bridge::event::ExchangeId;

/// Request exchanges under way at once over HTTP/1.1, where each holds a connection.
const REQUESTS_AT_ONCE: usize = 128;
/// The same over HTTP/2, where servers should allow 100 streams (RFC 9113, section 6.5.2) and the rest is needed for
/// what must always get through: responses, notifications, cancellations.
const REQUESTS_AT_ONCE_MULTIPLEXED: usize = 90;
/// Messages without an answer under way at once.
const DELIVERIES_AT_ONCE: usize = 16;
/// The slots for requests, and the deadlines of everything that has no answer to wait for.
#[derive(Debug)]
pub(super) struct Limits {
    requests_at_once: usize,
    deadlines: BTreeMap<ExchangeId, Instant>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { requests_at_once: REQUESTS_AT_ONCE, deadlines: BTreeMap::new() }
    }
}

impl Limits {
    /// The connection carries many exchanges at once (HTTP/2).
    pub(super) fn set_multiplexed(&mut self) {
        self.requests_at_once = REQUESTS_AT_ONCE_MULTIPLEXED;
    }

    /// Returns whether one more request may go, beside so many.
    pub(super) fn allows_request(&self, under_way: usize) -> bool {
        under_way < self.requests_at_once
    }

    /// Returns whether one more message without an answer may go.
    pub(super) fn allows_delivery(&self) -> bool {
        self.deadlines.len() < DELIVERIES_AT_ONCE
    }

    /// An exchange is given up at this time.
    pub(super) fn set_deadline(&mut self, exchange: ExchangeId, deadline: Instant) {
        self.deadlines.insert(exchange, deadline);
    }

    /// An exchange may take as long as it does, or has ended.
    pub(super) fn clear_deadline(&mut self, exchange: ExchangeId) {
        self.deadlines.remove(&exchange);
    }

    /// When the first exchange is given up.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.values().min().copied()
    }

    /// The exchanges that are given up now.
    pub(super) fn late(&self, now: Instant) -> Vec<ExchangeId> {
        let late = self.deadlines.iter().filter(|(_, deadline)| **deadline <= now);
        late.map(|(exchange, _)| *exchange).collect()
    }
}
