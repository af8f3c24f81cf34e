//! The exchanges that have not ended, and what each is for.
//!
//! Deliberately not here: opening and closing them, which the driver does.

use std::collections::BTreeMap;
use std::time::Instant;

use super::ledger::Ticket;
use super::limits::Limits;
use crate::bridge::event::ExchangeId;

/// An exchange that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) purpose: Purpose,
    /// The session that its headers name; see `session`.
    pub(super) epoch: Option<u64>,
}

/// The purpose of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To have a request answered.
    Answer(Ticket),
    /// To get a message through that has no answer.
    Delivery(Ticket),
    /// To cancel a request whose exchange is then closed.
    Cancellation(Ticket, ExchangeId),
    /// To hear the rest of a stream that broke before the answer.
    Resumption(Ticket),
    /// To hear what the server has to say by itself.
    Listening,
    /// To open a session in the client's place.
    Renewal,
    /// To tell a new session what the one before knew.
    Restoration,
    /// To see whether the server is there.
    Ping,
    /// To look up the tool of a call whose headers the server did not accept.
    Learning(Ticket),
    /// To end the session.
    SessionEnd,
    /// Nothing any more: the request was answered.
    Answered,
    /// The same where a server has nothing to say behind its answer: in the modern era.
    Over,
    /// Nothing any more: the request was cancelled, and nothing about it goes to the client.
    Cancelled,
}

impl Purpose {
    /// The message of the client that an exchange is for.
    pub(super) fn ticket(self) -> Option<Ticket> {
        match self {
            Purpose::Answer(ticket)
            | Purpose::Delivery(ticket)
            | Purpose::Cancellation(ticket, _)
            | Purpose::Resumption(ticket)
            | Purpose::Learning(ticket) => Some(ticket),
            Purpose::Listening
            | Purpose::Renewal
            | Purpose::Restoration
            | Purpose::Ping
            | Purpose::SessionEnd
            | Purpose::Answered
            | Purpose::Over
            | Purpose::Cancelled => None,
        }
    }
}

/// The exchanges that have not ended.
#[derive(Debug)]
pub(super) struct Exchanges {
    open: BTreeMap<ExchangeId, Exchange>,
    next: u64,
    /// How many may be under way.
    limits: Limits,
}

impl Default for Exchanges {
    fn default() -> Exchanges {
        Exchanges { open: BTreeMap::new(), next: 1, limits: Limits::default() }
    }
}

impl Exchanges {
    /// An exchange begins, whose headers name the session of this epoch.
    pub(super) fn begin(&mut self, purpose: Purpose, epoch: Option<u64>) -> ExchangeId {
        let exchange = ExchangeId(self.next);
        self.next += 1;
        self.open.insert(exchange, Exchange { purpose, epoch });
        exchange
    }

    /// The number of the next exchange.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// An exchange that has not ended.
    pub(super) fn get(&self, exchange: ExchangeId) -> Option<Exchange> {
        self.open.get(&exchange).copied()
    }

    /// Gives an exchange that has not ended another purpose.
    pub(super) fn set_purpose(&mut self, exchange: ExchangeId, purpose: Purpose) {
        if let Some(exchange) = self.open.get_mut(&exchange) {
            exchange.purpose = purpose;
        }
    }

    /// An exchange ended, or is closed. Returns what it was, if it had not ended before.
    pub(super) fn end(&mut self, exchange: ExchangeId) -> Option<Exchange> {
        self.limits.clear_deadline(exchange);
        self.open.remove(&exchange)
    }

    /// All that have not ended, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ExchangeId, Exchange)> {
        self.open.iter().map(|(exchange, it)| (*exchange, *it))
    }

    /// An exchange that has not ended is given up at this time.
    pub(super) fn set_deadline(&mut self, exchange: ExchangeId, deadline: Instant) {
        if self.open.contains_key(&exchange) {
            self.limits.set_deadline(exchange, deadline);
        }
    }

    /// An exchange may take as long as it does.
    pub(super) fn clear_deadline(&mut self, exchange: ExchangeId) {
        self.limits.clear_deadline(exchange);
    }

    /// When the first exchange is given up.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.limits.next_deadline()
    }

    /// The exchanges that are given up now.
    pub(super) fn late(&self, now: Instant) -> Vec<ExchangeId> {
        self.limits.late(now)
    }

    /// The connection carries many exchanges at once (HTTP/2).
    pub(super) fn set_multiplexed(&mut self) {
        self.limits.set_multiplexed();
    }

    /// Returns whether one more request may go, beside so many.
    pub(super) fn allows_request(&self, under_way: usize) -> bool {
        self.limits.allows_request(under_way)
    }

    /// Returns whether one more message without an answer may go.
    pub(super) fn allows_delivery(&self) -> bool {
        self.limits.allows_delivery()
    }

    /// Returns whether one has this purpose.
    pub(super) fn has(&self, purpose: Purpose) -> bool {
        self.open.values().any(|exchange| exchange.purpose == purpose)
    }
}
