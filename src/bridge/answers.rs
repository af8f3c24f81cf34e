//! From the exchanges to the client: heads, messages, and which request an answer belongs to.
//!
//! Messages pass as they came; a response loses its way only where its id did. Deliberately not here: exchanges that end
//! without an answer (`endings`).

use std::time::Instant;

use super::ledger::{Place, Ticket};
use super::revision::Era;
use super::*;

impl Bridge {
    pub(super) fn sent(&mut self, exchange: ExchangeId, now: Instant) {
        let Some(&Purpose::Answer(ticket)) = self.exchanges.get(&exchange) else { return };
        self.ledger.put(ticket, Place::Sent { exchange, written: true });
        if let Some(cancellation) = self.ledger.cancellation_of(ticket) {
            self.release_cancellation(cancellation, now);
        }
    }

    pub(super) fn opened(&mut self, exchange: ExchangeId, opening: Opening, now: Instant) {
        // An answer proves that the request got there, should nobody have said so.
        self.sent(exchange, now);
        if opening.multiplexed {
            self.requests_at_once = REQUESTS_AT_ONCE_MULTIPLEXED;
        }
        if let Some(gate) = &mut self.gate
            && gate.exchange == exchange
        {
            match &mut gate.until {
                Until::Answer { head } => *head = true,
                Until::Head { .. } => self.gate = None,
            }
        }
        if let Some(&Purpose::Delivery(ticket)) = self.exchanges.get(&exchange) {
            // The head says that the server has it; what follows may be a stream that stays open.
            self.deadlines.remove(&exchange);
            self.initialized(ticket);
            self.ledger.settle(ticket);
            self.exchanges.insert(exchange, Purpose::Answered);
        }
        if !self.session.is_opening(exchange) {
            return;
        }
        match (opening.session, self.exchanges.get(&exchange)) {
            (SessionHeader::Absent, _) => {}
            (SessionHeader::Id(id), _) => self.session.name(id),
            (SessionHeader::Unusable, Some(&Purpose::Answer(ticket))) => {
                let why = Why::new(
                    Failure::Answer,
                    "the server sent a session id with characters outside visible ASCII",
                    "report this to the server's author: MCP allows 0x21 to 0x7E only",
                );
                let why = why.with_status(opening.status);
                self.fail(ticket, why);
                self.close(exchange);
            }
            (SessionHeader::Unusable, _) => {}
        }
    }

    pub(super) fn server(&mut self, exchange: ExchangeId, message: Message) {
        let Some(&purpose) = self.exchanges.get(&exchange) else { return };
        match (message.kind(), purpose) {
            (_, Purpose::Cancelled) => self.dropped(&message, "its request was cancelled"),
            (_, Purpose::Farewell) => self.dropped(&message, "the session is over"),
            (Kind::Response { .. }, Purpose::Learning(ticket)) => self.looked_up(exchange, ticket, &message),
            (_, Purpose::Learning(_)) => self.dropped(&message, "the proxy asked this, not the client"),
            (Kind::Response { id, .. }, _) => {
                let id = id.clone();
                self.response(exchange, purpose, id.as_ref(), message);
            }
            (_, Purpose::Answer(ticket)) if self.is_modern(ticket) => self.modern_server(ticket, message),
            (Kind::Request { id, .. }, Purpose::Answer(ticket)) => {
                self.asked.insert(id.clone(), ticket);
                self.actions.push_back(Action::Deliver(message));
            }
            (Kind::Request { .. } | Kind::Notification { .. }, _) => {
                self.actions.push_back(Action::Deliver(message));
            }
        }
    }

    /// Finds the request that a response answers: the one with its id, else the one whose exchange brought it, where
    /// the id was lost on the way (null, or decoded and encoded again).
    fn response(&mut self, exchange: ExchangeId, purpose: Purpose, id: Option<&Id>, message: Message) {
        let own = match purpose {
            Purpose::Answer(ticket) => {
                self.ledger.get(ticket).and_then(|entry| Some((ticket, entry.request_id()?)))
            }
            Purpose::Delivery(_)
            | Purpose::Cancellation(..)
            | Purpose::Listening
            | Purpose::Learning(_)
            | Purpose::Farewell
            | Purpose::Answered
            | Purpose::Cancelled => None,
        };
        if let Some((ticket, own_id)) = own
            && id == Some(own_id)
        {
            return self.answer(exchange, ticket, message);
        }
        if let Some(ticket) = id.and_then(|id| self.ledger.request(id))
            && let Some(&Place::Sent { exchange, .. }) = self.ledger.get(ticket).map(|entry| &entry.place)
        {
            self.answer(exchange, ticket, message);
            // Nothing more is to come where the answer did not.
            return self.close(exchange);
        }
        if let Some((ticket, own_id)) = own
            && id.is_none_or(|id| id.is_same_value(own_id))
        {
            let message = message.with_id(own_id);
            return self.answer(exchange, ticket, message);
        }
        self.dropped(&message, "no request with this id is unanswered");
    }

    fn is_modern(&self, ticket: Ticket) -> bool {
        self.ledger.get(ticket).is_some_and(|entry| entry.era == Era::Modern)
    }

    /// Gives a request its one answer.
    fn answer(&mut self, exchange: ExchangeId, ticket: Ticket, message: Message) {
        self.exchanges.insert(exchange, Purpose::Answered);
        let message = match self.is_modern(ticket) {
            false => message,
            true => match self.modern_answer(ticket, message) {
                Some(message) => message,
                None => return,
            },
        };
        if let Some(why) = self.eras_apart(ticket, Some(&message), None) {
            self.fail(ticket, why);
            return self.after_exchange(exchange);
        }
        if self.session.is_opening(exchange) {
            self.handshake(&message);
        }
        match self.settle(ticket) {
            Settled::Wanted(_) => self.actions.push_back(Action::Deliver(message)),
            Settled::Cancelled(_) => self.dropped(&message, "its request was cancelled"),
            Settled::Unknown => {}
        }
        if self.gate.as_ref().is_some_and(|gate| gate.exchange == exchange) {
            self.gate = None;
        }
    }

    fn handshake(&mut self, answer: &Message) {
        if matches!(answer.kind(), Kind::Response { error: true, .. }) {
            return self.session.abandon();
        }
        let revision = answer.member("protocolVersion").and_then(json::string);
        let listening = self.session.listening();
        let replaced = self.session.establish(revision.clone());
        if let Some(listening) = listening {
            self.close(listening);
        }
        // A client that starts over leaves a session behind that nobody else will end.
        if let Some(facts) = replaced {
            self.open(Purpose::Farewell, Outgoing { ask: Ask::EndSession, facts });
        }
        let session = self.session.id();
        let revision = revision.unwrap_or_else(|| "no revision".to_owned());
        self.actions.push_back(Action::Notice(Notice::Settled { revision, session }));
    }
}
