//! What the rest of the bridge sees of the relay: events and messages go in, outputs and times come out.
//!
//! Contract: one call that takes something in, then [`Relay::poll`] until `None`, then wait for the next event or
//! [`Relay::poll_timeout`].

use std::time::Instant;

use super::{EraMismatch, Phase, REPLIES, Relay};
use crate::bridge::event::{Action, Event, ExchangeId};
use crate::bridge::{Circumstances, Era};
use crate::jsonrpc::{Id, Message};

/// What comes out of the relay.
#[derive(Debug)]
pub(in crate::bridge) enum Output {
    /// Something to do.
    Do(Action),
    /// The server said something that is no answer, in the exchange of this request.
    Said { message: Message, within: Option<Id> },
    /// A request that the server cannot understand.
    Apart(Box<EraMismatch>),
}

impl Relay {
    /// Takes in what happened.
    pub(in crate::bridge) fn handle(&mut self, event: Event, now: Instant) {
        self.handle_event(event, now);
    }

    /// Does what is due. Harmless when nothing is.
    pub(in crate::bridge) fn handle_timeout(&mut self, now: Instant) {
        self.handle_due(now);
    }

    /// Takes in what the bridge says in the client's place. At the end of the process nobody hears it any more.
    pub(in crate::bridge) fn say(&mut self, message: Message, now: Instant) {
        if !self.is_leaving() {
            self.enter(message, now);
            self.proceed(now);
        }
    }

    /// Answers a request of the server with an error in the client's place, where not too many answers wait already. What
    /// the client itself answers is never dropped for that.
    pub(in crate::bridge) fn say_refusal(&mut self, refusal: Message, now: Instant) {
        if self.ledger.replies_cost() > REPLIES {
            return self.dropped(&refusal, "too many answers wait for the server already");
        }
        self.say(refusal, now);
    }

    /// Says whether the bridge has more to send once it has heard from the server. Returns whether that changes anything.
    pub(in crate::bridge) fn expect_more(&mut self, awaited: bool, now: Instant) -> bool {
        let changes = self.awaited != awaited;
        self.awaited = awaited;
        if changes {
            self.proceed(now);
        }
        changes
    }

    /// Ends the session, which is not needed, and goes on without one.
    pub(in crate::bridge) fn end_session(&mut self) {
        self.end_unneeded_session();
    }

    /// The request of the client for whose sake the server asks something.
    pub(in crate::bridge) fn asking(&self, question: &Id) -> Option<Id> {
        let entry = self.ledger.get(self.questions.get(question)?.asking?)?;
        entry.request_id().cloned()
    }

    /// The next thing that came out.
    pub(in crate::bridge) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns whether among what came out is something that only the bridge can deal with, since it last asked.
    pub(in crate::bridge) fn take_parted(&mut self) -> bool {
        std::mem::take(&mut self.parted)
    }

    /// The next moment anything is due, and what it is (for the log).
    pub(in crate::bridge) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.next_due()
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

    /// What the client's messages that wait to be sent cost, in bytes of memory.
    pub(in crate::bridge) fn waiting_cost(&self) -> usize {
        self.ledger.waiting_cost()
    }

    /// The request with this id that has no answer yet.
    pub(in crate::bridge) fn request(&self, id: &Id) -> Option<&Message> {
        let entry = self.ledger.get(self.ledger.request(id)?)?;
        Some(&entry.message)
    }

    /// The requests that have no answer yet, in order.
    pub(in crate::bridge) fn unanswered(&self) -> impl Iterator<Item = &Id> {
        self.ledger.iter().filter_map(|(_, entry)| entry.request_id())
    }

    /// Returns whether nothing new is begun any more.
    pub(in crate::bridge) fn is_leaving(&self) -> bool {
        match self.phase {
            Phase::Running | Phase::Draining { .. } => false,
            Phase::Leaving { .. } | Phase::Gone => true,
        }
    }
}
