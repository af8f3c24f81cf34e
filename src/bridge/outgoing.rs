//! From the client to the exchanges: who may go, who waits, and what a cancellation does.
//!
//! Messages start in the order in which the client wrote them. Everything waits at the gate for the answer of
//! `initialize` and for the heads of `notifications/initialized` and `logging/setLevel`; a cancellation waits until its
//! request was sent; nothing else waits for anything. Deliberately not here: what the server makes of it (`answers`).

use std::time::Instant;

use super::ledger::{Place, Ticket};
use super::revision::{self, Era};
use super::*;

impl Bridge {
    pub(super) fn client(&mut self, line: Line, now: Instant) {
        match line {
            Line::One(message) => self.enter(message, now),
            // Each message of a batch goes its own way and is answered by itself, in every revision: a receiver must
            // accept single answers, and a slow one then holds up no other.
            Line::Batch(elements) => {
                for element in elements {
                    match element {
                        Ok(message) => self.enter(message, now),
                        Err(fault) => self.unreadable(&fault),
                    }
                }
            }
            Line::Invalid(fault) => self.unreadable(&fault),
        }
    }

    fn enter(&mut self, message: Message, now: Instant) {
        if let Kind::Response { id: Some(id), .. } = message.kind() {
            self.asked.remove(id);
        }
        // A cancellation concerns its request alone, and what the client takes back it takes back at once.
        let is_cancellation = is_cancellation(&message);
        let (era, _) = revision::classify(&message);
        let overtakes = match (era, &self.gate) {
            (_, None) => false,
            // What stands alone waits for nobody.
            (Era::Modern, Some(_)) => true,
            (Era::Legacy, Some(gate)) => {
                matches!(message.kind(), Kind::Response { .. }) && gate.until == Until::Answer { head: true }
            }
        };
        let is_unsendable = era == Era::Modern
            && message.method().is_some_and(|method| !method.bytes().all(|byte| byte.is_ascii_graphic()));
        if let (true, Kind::Request { id, .. }) = (is_unsendable, message.kind()) {
            return self.refuse_method(&id.clone());
        }
        let ticket = self.ledger.enter(message, era);
        if is_cancellation {
            self.release_cancellation(ticket, now);
        } else if overtakes {
            self.release(ticket, now);
        }
    }

    fn unreadable(&mut self, fault: &Fault) {
        self.actions.push_back(Action::Notice(Notice::Unreadable(fault.reason.clone())));
        let error = ErrorObject {
            code: fault.code,
            message: format!("mcp-tether: {}", fault.reason),
            data: ErrorData { source: SOURCE, cause: "unreadable", status: None, advice: None, body: None },
        };
        self.actions.push_back(Action::Deliver(Message::error(fault.id.as_ref(), &error)));
    }

    /// A method travels in a header too, and there is no encoding for one that a header cannot carry.
    fn refuse_method(&mut self, id: &Id) {
        let error = ErrorObject {
            code: jsonrpc::METHOD_NOT_FOUND,
            message: format!("{SOURCE}: the method holds characters that its header cannot carry"),
            data: ErrorData { source: SOURCE, cause: "method", status: None, advice: None, body: None },
        };
        self.actions.push_back(Action::Deliver(Message::error(Some(id), &error)));
    }

    /// Lets go whatever may go, and leaves once nothing is left to wait for.
    pub(super) fn proceed(&mut self, now: Instant) {
        while self.gate.is_none()
            && let Some(ticket) = self.ledger.first_at_gate()
            && self.has_room_for(ticket)
        {
            self.release(ticket, now);
        }
        while self.ledger.requests_sent() < self.requests_at_once
            && let Some(ticket) = self.ledger.first_for_slot()
        {
            self.post(ticket, Purpose::Answer(ticket));
        }
        if matches!(self.phase, Phase::Draining { .. }) && self.nothing_can_finish() {
            self.leave(Reason::ClientClosed, now + FAREWELL_PATIENCE);
        }
    }

    /// Tells whether a message may leave the gate. A flood of notifications waits there, and what stands behind it, for
    /// order's sake.
    fn has_room_for(&self, ticket: Ticket) -> bool {
        let is_request = self.ledger.get(ticket).is_some_and(|entry| entry.request_id().is_some());
        is_request || self.deadlines.len() < DELIVERIES_AT_ONCE
    }

    /// Sends a message that no other has to precede any more.
    fn release(&mut self, ticket: Ticket, now: Instant) {
        let Some(entry) = self.ledger.get(ticket) else { return };
        let title = entry.message.title().into_owned();
        let is_request = entry.request_id().is_some();
        let (is_legacy, is_subscription) = (entry.era == Era::Legacy, entry.is_subscription());
        match (entry.message.method().filter(|_| is_legacy), is_request) {
            (Some("initialize"), true) => {
                let exchange = self.post(ticket, Purpose::Answer(ticket));
                self.session.begin(exchange);
                self.gate = Some(Gate { exchange, title, until: Until::Answer { head: false } });
            }
            (Some("logging/setLevel"), true) => {
                let exchange = self.post(ticket, Purpose::Answer(ticket));
                let until = Until::Head { deadline: now + GATE_PATIENCE };
                self.gate = Some(Gate { exchange, title, until });
            }
            (Some("notifications/initialized"), false) => {
                let exchange = self.deliver(ticket, now);
                let until = Until::Head { deadline: now + GATE_PATIENCE };
                self.gate = Some(Gate { exchange, title, until });
            }
            (_, true) if is_subscription || self.may_post_request() => {
                self.post(ticket, Purpose::Answer(ticket));
            }
            (_, true) => self.ledger.put(ticket, Place::ForSlot),
            (_, false) => drop(self.deliver(ticket, now)),
        }
    }

    /// Posts a message that has no answer.
    fn deliver(&mut self, ticket: Ticket, now: Instant) -> ExchangeId {
        let exchange = self.post(ticket, Purpose::Delivery(ticket));
        self.deadlines.insert(exchange, now + DELIVERY_PATIENCE);
        exchange
    }

    /// Tells whether a request may go at once: there is room, and no other has waited for it.
    fn may_post_request(&self) -> bool {
        self.ledger.requests_sent() < self.requests_at_once && self.ledger.first_for_slot().is_none()
    }

    /// A cancellation goes out behind its request, and ends the interest in it.
    pub(super) fn release_cancellation(&mut self, ticket: Ticket, now: Instant) {
        let cancelled = self.ledger.get(ticket).and_then(|entry| entry.message.request_id_param());
        let request = cancelled.and_then(|id| self.ledger.request(&id));
        let place = request.and_then(|request| Some((request, &self.ledger.get(request)?.place)));
        match place {
            // A modern server takes the end of the exchange for the cancellation, and nothing else.
            Some((request, place))
                if self.ledger.get(request).is_some_and(|entry| entry.era == Era::Modern) =>
            {
                let exchange = match place {
                    Place::Sent { exchange, .. } => Some(*exchange),
                    Place::AtGate
                    | Place::ForSlot
                    | Place::Behind(_)
                    | Place::Learning { .. }
                    | Place::Resting { .. } => None,
                };
                self.settle(request);
                self.ledger.settle(ticket);
                if let Some(exchange) = exchange {
                    self.close(exchange);
                }
            }
            Some((request, &Place::Sent { written: true, exchange })) => {
                let cancelling = self.post(ticket, Purpose::Cancellation(ticket, exchange));
                self.deadlines.insert(cancelling, now + CANCELLATION_PATIENCE);
                self.withdraw_questions(request);
                self.settle(request);
                self.exchanges.insert(exchange, Purpose::Cancelled);
                // Nobody waits for the answer of what was cancelled.
                self.after_exchange(exchange);
            }
            Some((request, Place::Sent { written: false, .. }))
                if self.ledger.cancellation_of(request).is_none() =>
            {
                self.ledger.put(ticket, Place::Behind(request));
            }
            // The server has never heard of the request and need not hear of either.
            Some((request, Place::AtGate | Place::ForSlot)) => {
                self.settle(request);
                self.ledger.settle(ticket);
            }
            Some((
                _,
                Place::Sent { .. } | Place::Behind(_) | Place::Learning { .. } | Place::Resting { .. },
            ))
            | None => {
                self.ledger.settle(ticket);
                let because = "the request it cancels is not under way";
                let title = "notifications/cancelled".to_owned();
                self.actions.push_back(Action::Notice(Notice::Dropped { title, because }));
            }
        }
    }

    /// What the server asked the client for the sake of a request goes with it.
    fn withdraw_questions(&mut self, request: Ticket) {
        for (id, _) in self.asked.iter().filter(|(_, asking)| **asking == request) {
            let text = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the request it belongs to was cancelled"}}}}"#
            );
            let message = Message::parse(text.into()).expect("made from an id");
            self.actions.push_back(Action::Deliver(message));
        }
    }

    pub(super) fn post(&mut self, ticket: Ticket, purpose: Purpose) -> ExchangeId {
        let entry = self.ledger.get(ticket).expect("a message is posted from the ledger");
        let message = entry.message.clone();
        let facts = match (entry.era, message.method()) {
            (Era::Modern, _) => self.modern_facts(&message),
            (Era::Legacy, Some("initialize")) => Facts::default(),
            (Era::Legacy, _) => self.session.facts(),
        };
        let exchange = self.open(purpose, Outgoing { ask: Ask::Post(message), facts });
        self.ledger.put(ticket, Place::Sent { exchange, written: false });
        exchange
    }

    pub(super) fn open(&mut self, purpose: Purpose, outgoing: Outgoing) -> ExchangeId {
        let exchange = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        self.exchanges.insert(exchange, purpose);
        self.actions.push_back(Action::Open(exchange, outgoing));
        exchange
    }

    pub(super) fn close(&mut self, exchange: ExchangeId) {
        if self.exchanges.remove(&exchange).is_some() {
            self.deadlines.remove(&exchange);
            self.actions.push_back(Action::Close(exchange));
            self.after_exchange(exchange);
        }
    }
}

fn is_cancellation(message: &Message) -> bool {
    matches!(message.kind(), Kind::Notification { method } if method.as_str() == "notifications/cancelled")
}
