//! From the client to the exchanges: who may go, who waits, and what a cancellation does.
//!
//! Messages start in the order in which the client wrote them. Everything waits at the gate for the answer of
//! `initialize` and for the heads of `notifications/initialized` and `logging/setLevel`; a cancellation waits until its
//! request was sent; nothing else waits for anything. Deliberately not here: what the server makes of it (`answers`).

use std::time::Instant;

use super::ledger::{MessageState, RetryKind, Ticket};
use super::session::Admission;
use super::{CANCELLATION_PATIENCE, DELIVERY_PATIENCE, GATE_PATIENCE, Purpose, Question, Relay};
use crate::bridge::event::{Action, Ask, ExchangeId, Notice, Outgoing};
use crate::bridge::revision;
use crate::bridge::revision::Era;
use crate::jsonrpc::{ErrorData, ErrorObject, Fault, Id, Kind, Line, Message};
use crate::mcp::{OwnId, SOURCE, code, message, method};

/// The advice for input that is not a JSON-RPC message.
const UNREADABLE_ADVICE: &str =
    "report this to the client's author: each line must be one JSON-RPC 2.0 message, or a batch of them";
/// The advice for a method that a header cannot carry.
const METHOD_ADVICE: &str =
    "report this to the client's author: the name of a method must consist of visible ASCII characters";

impl Relay {
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

    pub(super) fn enter(&mut self, message: Message, now: Instant) {
        if self.questions.take_orphaned(&message) {
            return self.dropped(&message, "it belongs to a session that has ended");
        }
        if let Kind::Response { id: Some(id), .. } = message.kind()
            && self.questions.remove(id).is_none()
            && OwnId::is_of_upper_layer(id)
        {
            return self.dropped(&message, "the request that it answers is no longer open");
        }
        // A cancellation concerns its request alone, and takes effect at once.
        let is_cancellation = is_cancellation(&message);
        let (era, _) = revision::classify(&message);
        let overtakes = match era {
            // A message that stands alone waits for no other.
            Era::Modern => self.is_held(),
            Era::Legacy => matches!(message.kind(), Kind::Response { .. }) && self.lets_responses_pass(),
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
        self.act(Action::Notice(Notice::Unreadable(fault.reason.clone())));
        let error = ErrorObject {
            code: fault.code,
            message: format!("{SOURCE}: {}", fault.reason),
            data: ErrorData {
                advice: Some(UNREADABLE_ADVICE.to_owned()),
                ..ErrorData::of(SOURCE, "unreadable")
            },
        };
        self.act(Action::Deliver(Message::error(fault.id.as_ref(), &error)));
        for id in &fault.requests {
            self.act(Action::Deliver(Message::error(Some(id), &error)));
        }
    }

    /// Refuses a method that a header cannot carry: the header repeats the method, and there is no encoding for it.
    fn refuse_method(&mut self, id: &Id) {
        let error = ErrorObject {
            code: code::METHOD_NOT_FOUND,
            message: format!("{SOURCE}: the method holds characters that the header Mcp-Method cannot carry"),
            data: ErrorData { advice: Some(METHOD_ADVICE.to_owned()), ..ErrorData::of(SOURCE, "method") },
        };
        self.act(Action::Deliver(Message::error(Some(id), &error)));
    }

    /// Returns whether everything of the legacy era has to wait.
    fn is_held(&self) -> bool {
        self.sessions.is_held()
    }

    /// Returns whether a handshake is under way in which the server may ask something.
    fn lets_responses_pass(&self) -> bool {
        self.sessions.lets_responses_pass()
    }

    /// Sends every message that may be sent.
    pub(super) fn proceed(&mut self, now: Instant) {
        while let Some(ticket) = self.ledger.first_at_gate()
            && self.has_room_for(ticket)
        {
            match self.sessions.admission(!self.needs_session(ticket)) {
                Admission::Now => self.release(ticket, now),
                Admission::AfterRenewal => self.renew(now),
                Admission::Later => break,
            }
        }
        while self.exchanges.allows_request(self.ledger.requests_sent())
            && let Some(ticket) = self.ledger.first_for_slot()
        {
            match self.ledger.get(ticket).map(|entry| &entry.state) {
                Some(MessageState::ForSlot { kind: RetryKind::Resume }) => self.resume(ticket, now),
                _ => drop(self.post(ticket, Purpose::Answer(ticket), now)),
            }
        }
        self.listen_after_giving_way(now);
        self.plan_reconnection(now);
    }

    /// Returns whether a message can only be sent in a session.
    fn needs_session(&self, ticket: Ticket) -> bool {
        self.ledger.get(ticket).is_some_and(|entry| {
            entry.era == Era::Legacy && entry.message.method() != Some(method::INITIALIZE)
        })
    }

    /// Returns whether a message may leave the gate. If there are too many notifications, they wait there,
    /// and the messages behind them too, to keep the order.
    fn has_room_for(&self, ticket: Ticket) -> bool {
        let is_request = self.ledger.get(ticket).is_some_and(|entry| entry.request_id().is_some());
        is_request || self.exchanges.allows_delivery()
    }

    /// Sends a message that no other has to precede any more.
    pub(super) fn release(&mut self, ticket: Ticket, now: Instant) {
        if let Some(report) = self.no_way_for(ticket) {
            return self.reject(ticket, report);
        }
        let Some(entry) = self.ledger.get(ticket) else { return };
        let is_request = entry.request_id().is_some();
        let (is_legacy, is_subscription) = (entry.era == Era::Legacy, entry.is_subscription());
        match (entry.message.method().filter(|_| is_legacy), is_request) {
            (Some(method::INITIALIZE), true) => {
                self.sessions.begin_handshake();
                let exchange = self.post(ticket, Purpose::Answer(ticket), now);
                self.sessions.open(ticket, exchange);
            }
            (Some(method::SET_LEVEL), true) => {
                let title = entry.message.title().into_owned();
                self.post(ticket, Purpose::Answer(ticket), now);
                self.sessions.hold_for(ticket, title, now + GATE_PATIENCE);
            }
            (Some(method::INITIALIZED), false) => {
                let (message, title) = (entry.message.clone(), entry.message.title().into_owned());
                self.sessions.remember_ready(message);
                self.deliver(ticket, now);
                self.sessions.hold_for(ticket, title, now + GATE_PATIENCE);
            }
            (_, true) if is_subscription || self.may_post_request() => {
                self.post(ticket, Purpose::Answer(ticket), now);
            }
            (_, true) => self.ledger.wait_for_slot(ticket, RetryKind::Post),
            (_, false) => self.deliver(ticket, now),
        }
    }

    /// Posts a message that has no answer.
    fn deliver(&mut self, ticket: Ticket, now: Instant) {
        let exchange = self.post(ticket, Purpose::Delivery(ticket), now);
        self.exchanges.set_deadline(exchange, now + DELIVERY_PATIENCE);
    }

    /// Returns whether a request may go at once: there is room, and no other has waited for it.
    pub(super) fn may_post_request(&self) -> bool {
        self.exchanges.allows_request(self.ledger.requests_sent()) && self.ledger.first_for_slot().is_none()
    }

    /// Sends a cancellation behind its request. The answer is not wanted any more.
    pub(super) fn release_cancellation(&mut self, ticket: Ticket, now: Instant) {
        let cancelled = self.ledger.get(ticket).and_then(|entry| entry.message.request_id_param());
        let request = cancelled.and_then(|id| self.ledger.request(&id));
        let Some((request, entry)) = request.and_then(|request| Some((request, self.ledger.get(request)?)))
        else {
            return self.drop_cancellation(ticket);
        };
        let exchange = entry.state.exchange();
        match &entry.state {
            // A modern server takes the end of the exchange for the cancellation, and nothing else.
            _ if entry.era == Era::Modern => self.cancel_locally(ticket, request, exchange),
            // Its session has ended. The new one does not know the request.
            MessageState::Sent { exchange: sent, .. } if self.is_of_lost_session(*sent) => {
                self.cancel_locally(ticket, request, exchange);
            }
            MessageState::Sent { written: true, exchange } => {
                let exchange = *exchange;
                self.cancel_sent(ticket, request, exchange, now);
            }
            MessageState::Sent { written: false, .. } if self.ledger.cancellation_of(request).is_none() => {
                self.ledger.wait_behind(ticket, request);
            }
            // The server has not received the request, or has ended its exchange: it needs no cancellation.
            MessageState::AtGate
            | MessageState::ForSlot { kind: RetryKind::Post }
            | MessageState::BackingOff { kind: RetryKind::Post, .. } => {
                self.cancel_locally(ticket, request, None)
            }
            MessageState::ForSlot { kind: RetryKind::Resume }
            | MessageState::BackingOff { kind: RetryKind::Resume, .. } => {
                self.cancel_resuming(ticket, request)
            }
            MessageState::Sent { .. } | MessageState::Behind(_) | MessageState::Learning { .. } => {
                self.drop_cancellation(ticket)
            }
        }
    }

    /// Cancels a request without telling the server.
    fn cancel_locally(&mut self, ticket: Ticket, request: Ticket, exchange: Option<ExchangeId>) {
        self.settle(request);
        self.remove(ticket);
        if let Some(exchange) = exchange {
            self.close(exchange);
        }
    }

    /// Cancels a request that the server has, and tells the server.
    fn cancel_sent(&mut self, ticket: Ticket, request: Ticket, exchange: ExchangeId, now: Instant) {
        let cancelling = self.post(ticket, Purpose::Cancellation(ticket, exchange), now);
        self.exchanges.set_deadline(cancelling, now + CANCELLATION_PATIENCE);
        self.withdraw_questions(request);
        self.settle(request);
        self.exchanges.set_purpose(exchange, Purpose::Cancelled);
        // The answer to a cancelled request is not waited for.
        self.after_exchange(exchange);
    }

    /// The server may be at work on a request, although the stream with the answer broke.
    fn cancel_resuming(&mut self, ticket: Ticket, request: Ticket) {
        let epoch = self.ledger.get(request).and_then(|entry| entry.attempts.epoch);
        self.withdraw_questions(request);
        self.settle(request);
        if epoch.is_some_and(|epoch| self.sessions.is_over(epoch)) {
            self.remove(ticket);
        }
    }

    fn drop_cancellation(&mut self, ticket: Ticket) {
        self.remove(ticket);
        let because = "the request it cancels is not under way";
        let title = method::CANCELLED.to_owned();
        self.act(Action::Notice(Notice::Dropped { title, because }));
    }

    /// Withdraws the questions that the server asked the client for the sake of a request.
    fn withdraw_questions(&mut self, request: Ticket) {
        self.withdraw(|question| question.asking == Some(request), "the request it belongs to was cancelled");
    }

    /// Tells the client that some of the server's questions need no answer any more.
    pub(super) fn withdraw(&mut self, which: impl Fn(&Question) -> bool, reason: &str) {
        let questions = self.questions.iter().filter(|(_, question)| which(question));
        let mut ids: Vec<Id> = questions.map(|(id, _)| id.clone()).collect();
        // They have no order of their own, and every run is to be the same.
        ids.sort_unstable_by(|one, two| one.as_json().cmp(two.as_json()));
        for id in ids {
            self.act(Action::Deliver(message::cancelled(&id, Some(reason))));
        }
    }

    /// Says something to the client in the server's place.
    pub(super) fn notify_client(&mut self, method: &str, params: &str) {
        self.act(Action::Deliver(message::notification(method, Some(params))));
    }

    #[expect(clippy::expect_used, reason = "every caller has the ticket from the ledger, in the same step")]
    pub(super) fn post(&mut self, ticket: Ticket, purpose: Purpose, now: Instant) -> ExchangeId {
        let entry = self.ledger.get(ticket).expect("a message is posted from the ledger");
        let message = entry.message.clone();
        let is_about_handshake = matches!(
            purpose, Purpose::Cancellation(_, cancelled) if self.sessions.is_opening(cancelled)
        );
        let mut facts = match (entry.era, message.method()) {
            (Era::Modern, _) => self.modern_facts(&message),
            (Era::Legacy, Some(method::INITIALIZE)) => self.sessions.facts_of_start(),
            (Era::Legacy, None) => self.sessions.facts_of_handshake(),
            (Era::Legacy, Some(_)) if is_about_handshake => self.sessions.facts_of_handshake(),
            (Era::Legacy, Some(_)) => self.sessions.facts(),
        };
        facts.session_in_doubt = self.is_session_in_doubt(ticket, &facts, now);
        let epoch = self.sessions.epoch_of(&facts);
        let exchange = self.open(purpose, Outgoing { ask: Ask::Post(message), facts });
        self.ledger.send(ticket, exchange, epoch, now);
        exchange
    }

    pub(super) fn open(&mut self, purpose: Purpose, outgoing: Outgoing) -> ExchangeId {
        let epoch = self.sessions.epoch_of(&outgoing.facts);
        let exchange = self.exchanges.begin(purpose, epoch);
        self.act(Action::Open(exchange, outgoing));
        exchange
    }

    pub(super) fn close(&mut self, exchange: ExchangeId) {
        if self.exchanges.end(exchange).is_some() {
            self.act(Action::Close(exchange));
            self.after_exchange(exchange);
        }
    }
}

fn is_cancellation(message: &Message) -> bool {
    matches!(message.kind(), Kind::Notification { method } if method.as_str() == method::CANCELLED)
}
