//! The relay as a [`Layer`] of the bridge: the events of exchanges are its server's side.
//!
//! Contract: one call that takes something in, then [`Layer::poll_output`] until `None`, then wait for the next event or
//! [`Layer::poll_timeout`].

use std::time::Instant;

use super::{Phase, REPLIES, Relay, SESSION_END_PATIENCE, error_object};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Event, ExchangeId, ExitReason};
use crate::bridge::layer::{Layer, Output};
use crate::bridge::{Circumstances, Era};
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::OwnId;

impl Layer for Relay {
    type FromServer = Event;

    /// Takes in a message from the layers above. A request that comes after the relay has begun to leave is answered with an
    /// error, unless it is one of ours.
    fn handle_client(&mut self, message: Message, now: Instant) {
        match message.kind() {
            Kind::Request { id, .. } if self.is_leaving() && !OwnId::is_of_upper_layer(id) => {
                self.outputs.push_back(Output::to_client(stopped(id)));
            }
            Kind::Request { .. } | Kind::Notification { .. } | Kind::Response { .. } => {
                self.send_message(message, now)
            }
        }
    }

    fn handle_server(&mut self, event: Event, now: Instant) {
        self.handle_event(event, now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.next_due()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_due(now);
    }

    /// Begins to leave, if the client has closed its side.
    fn close(&mut self, now: Instant) {
        if let Phase::Draining { .. } = self.phase {
            self.leave(ExitReason::ClientClosed, now + SESSION_END_PATIENCE);
        }
    }

    fn is_idle(&self) -> bool {
        self.has_nothing_to_drain()
    }

    fn waiting_cost(&self) -> usize {
        self.ledger.waiting_cost()
    }
}

impl Relay {
    /// Answers a request of the server with an error in the client's place, unless too many answers wait already. What the
    /// client itself answers is never dropped for that.
    pub(in crate::bridge) fn send_refusal(&mut self, refusal: Message, now: Instant) {
        if self.ledger.replies_cost() > REPLIES {
            return self.dropped(&refusal, "too many answers wait for the server already");
        }
        self.send_message(refusal, now);
    }

    /// Sends a message in the client's place. It is dropped once the relay has begun to leave.
    pub(super) fn send_message(&mut self, message: Message, now: Instant) {
        if !self.is_leaving() {
            self.enter(message, now);
            self.proceed(now);
        }
    }

    /// Ends the session, which is not needed. Messages are sent without one.
    pub(in crate::bridge) fn end_session(&mut self) {
        self.end_unneeded_session();
    }

    /// See [`crate::bridge::Bridge::circumstances`].
    pub(in crate::bridge) fn circumstances(&self, exchange: ExchangeId) -> Option<Circumstances> {
        let exchange = self.exchanges.get(exchange)?;
        let entry = exchange.purpose.ticket().and_then(|ticket| self.ledger.get(ticket));
        Some(Circumstances {
            era: match entry.map(|entry| entry.era) {
                Some(Era::Modern) => "modern",
                Some(Era::Legacy) | None => "legacy",
            },
            epoch: exchange.epoch,
            attempt: entry.map_or(1, |entry| entry.attempts.made),
        })
    }

    /// The requests that have no answer yet, in order.
    pub(in crate::bridge) fn unanswered(&self) -> impl Iterator<Item = &Id> {
        self.ledger.iter().filter_map(|(_, entry)| entry.request_id())
    }

    /// Returns whether nothing new is begun any more.
    pub(super) fn is_leaving(&self) -> bool {
        match self.phase {
            Phase::Running | Phase::Draining { .. } => false,
            Phase::Leaving { .. } | Phase::Gone => true,
        }
    }
}

/// Returns the answer to a request that is not sent any more.
pub(in crate::bridge) fn stopped(id: &Id) -> Message {
    let report =
        ErrorReport::new(ErrorKind::Stopped, "stopped before the request was sent", "start again to send it");
    Message::error(Some(id), &error_object(&report))
}
