//! From the exchanges to the client: heads, messages, and which request an answer belongs to.
//!
//! Messages pass as they came; a response loses its way only where its id did. Deliberately not here: exchanges that end
//! without an answer (`outcomes`).

use std::time::Instant;

use super::ledger::{LedgerEntry, MessageState, Ticket};
use super::modern::error_code;
use super::renegotiation::Refused;
use super::{Output, Purpose, Question, REPLIES, Relay, Settled};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Action, Ask, Cursor, ExchangeId, Notice, Opening, Outgoing, SessionHeader};
use crate::bridge::revision::Era;
use crate::json;
use crate::jsonrpc::{ErrorData, ErrorObject, Fault, Id, Kind, Message};
use crate::mcp::{SOURCE, code, meta, method};

impl Relay {
    pub(super) fn sent(&mut self, exchange: ExchangeId, now: Instant) {
        let Some(Purpose::Answer(ticket)) = self.purpose_of(exchange) else { return };
        self.ledger.set_written(ticket, exchange);
        if let Some(cancellation) = self.ledger.cancellation_of(ticket) {
            self.release_cancellation(cancellation, now);
        }
    }

    fn purpose_of(&self, exchange: ExchangeId) -> Option<Purpose> {
        self.exchanges.get(exchange).map(|exchange| exchange.purpose)
    }

    pub(super) fn opened(&mut self, exchange: ExchangeId, opening: Opening, now: Instant) {
        // An answer proves that the request arrived, whether or not that was reported.
        self.sent(exchange, now);
        if opening.multiplexed {
            self.exchanges.set_multiplexed();
        }
        match self.purpose_of(exchange) {
            Some(Purpose::Answer(ticket)) => {
                self.ledger.set_opened(ticket);
                self.sessions.head_came(ticket);
            }
            Some(Purpose::Delivery(ticket)) => self.delivered(exchange, ticket, now),
            Some(Purpose::Listening) => self.streams.listening.opened(exchange, now),
            Some(Purpose::Renewal) => self.sessions.renewal_head_came(),
            Some(Purpose::Restoration) => self.first_message_sent(exchange, now),
            Some(
                Purpose::Cancellation(..)
                | Purpose::Resumption(_)
                | Purpose::Ping
                | Purpose::Learning(_)
                | Purpose::SessionEnd
                | Purpose::Answered
                | Purpose::Over
                | Purpose::Cancelled,
            )
            | None => {}
        }
        self.streams.listening.answers_beside(exchange);
        if self.sessions.is_opening(exchange) {
            self.settled_on_transport();
            self.name_session(exchange, opening);
        }
    }

    /// The head of an answer shows that the server has a message. A stream that stays open may follow.
    fn delivered(&mut self, exchange: ExchangeId, ticket: Ticket, now: Instant) {
        self.exchanges.clear_deadline(exchange);
        self.prove_session(ticket);
        self.initialized(ticket, now);
        // In the modern era nothing follows, and above all no question.
        let purpose = if self.is_modern(ticket) { Purpose::Over } else { Purpose::Answered };
        self.remove(ticket);
        self.exchanges.set_purpose(exchange, purpose);
    }

    /// The head of the answer to `initialize` may name the session.
    fn name_session(&mut self, exchange: ExchangeId, opening: Opening) {
        match opening.session {
            SessionHeader::Absent => {}
            SessionHeader::Id(id) => self.sessions.name(id),
            SessionHeader::Unusable => {
                let report = ErrorReport::new(
                    ErrorKind::Answer,
                    "the server sent a session id with characters outside visible ASCII, or of more than 8 KiB",
                    "report this to the server's author: MCP allows 0x21 to 0x7E only",
                );
                let report = report.with_status(opening.status);
                match self.purpose_of(exchange) {
                    Some(Purpose::Answer(ticket)) => self.fail(ticket, report),
                    Some(Purpose::Renewal) => self.fail_renewal(&report),
                    _ => return,
                }
                self.close(exchange);
            }
        }
    }

    /// Notes how far a stream has come.
    pub(super) fn advance(&mut self, exchange: ExchangeId, cursor: Cursor) {
        match self.purpose_of(exchange) {
            Some(Purpose::Answer(ticket) | Purpose::Resumption(ticket)) if !self.is_modern(ticket) => {
                self.ledger.advance_stream(ticket, cursor);
            }
            Some(Purpose::Listening) => self.streams.listening.advance(cursor),
            Some(_) | None => {}
        }
    }

    pub(super) fn server(&mut self, exchange: ExchangeId, message: Message, now: Instant) {
        let Some(purpose) = self.purpose_of(exchange) else { return };
        match (message.kind(), purpose) {
            (_, Purpose::Cancelled) => self.dropped(&message, "its request was cancelled"),
            (_, Purpose::SessionEnd) => self.dropped(&message, "the session is over"),
            (Kind::Response { .. }, Purpose::Learning(ticket)) => {
                self.looked_up(exchange, ticket, &message, now);
            }
            (_, Purpose::Learning(_)) => self.dropped(&message, "the proxy asked this, not the client"),
            (Kind::Response { id, .. }, Purpose::Renewal) if self.is_for_the_renewal(id.as_ref()) => {
                self.renewed(exchange, &message, now);
            }
            (Kind::Response { id, .. }, Purpose::Ping) if !self.is_asked_by_client(id.as_ref()) => {
                self.ping_answered(exchange);
            }
            // The answer is ours; what it says changes nothing.
            (Kind::Response { id, .. }, Purpose::Restoration) if !self.is_asked_by_client(id.as_ref()) => {}
            (Kind::Response { id, .. }, _) => {
                let id = id.clone();
                match self.pong(exchange, id.as_ref()).filter(|_| purpose == Purpose::Answered) {
                    Some(ping) => self.ping_answered(ping),
                    None => self.response(exchange, purpose, id.as_ref(), message, now),
                }
            }
            (_, Purpose::Over) => self.dropped(&message, "its request was answered"),
            (_, Purpose::Answer(ticket)) if self.is_modern(ticket) => {
                self.modern_server(exchange, ticket, message, now);
            }
            (_, Purpose::Answered) if !self.sessions.is_established() => {
                self.dropped(&message, "there is no session that it could belong to");
            }
            (Kind::Request { .. }, _) if self.is_of_lost_session(exchange) => {
                self.dropped(&message, "the session it belongs to has ended");
            }
            (Kind::Request { .. }, _) => self.server_request(exchange, purpose, message, now),
            (Kind::Notification { .. }, _) => self.server_notification(purpose, message),
        }
    }

    /// The server asks the client something.
    fn server_request(&mut self, exchange: ExchangeId, purpose: Purpose, message: Message, now: Instant) {
        let Kind::Request { id, .. } = message.kind() else { return };
        let id = id.clone();
        let asking = match purpose {
            Purpose::Answer(ticket) | Purpose::Resumption(ticket) => Some(ticket),
            _ => None,
        };
        self.note_message(purpose);
        match self.track_question(exchange, &id, asking, &message) {
            true => self.pass_on(purpose, message),
            false => self.refuse_question(&id, now),
        }
    }

    /// The server tells the client something.
    fn server_notification(&mut self, purpose: Purpose, message: Message) {
        if message.method() == Some(method::CANCELLED)
            && let Some(id) = message.request_id_param()
        {
            self.questions.remove(&id);
        }
        self.note_message(purpose);
        self.pass_on(purpose, message);
    }

    /// Passes on a message of the server that is not an answer, with the request of its exchange.
    pub(super) fn pass_on(&mut self, purpose: Purpose, message: Message) {
        let within = match purpose {
            Purpose::Answer(ticket) | Purpose::Resumption(ticket) => {
                self.ledger.get(ticket).and_then(|entry| entry.request_id()).cloned()
            }
            _ => None,
        };
        self.outputs.push_back(Output::ToClient { message, within });
    }

    /// Returns whether the session of an exchange has ended, although the exchange itself may be open.
    pub(super) fn is_of_lost_session(&self, exchange: ExchangeId) -> bool {
        let epoch = self.exchanges.get(exchange).and_then(|exchange| exchange.epoch);
        epoch.is_some_and(|epoch| self.sessions.is_over(epoch))
    }

    /// Notes a message on a stream: the stream is worth resuming.
    fn note_message(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Answered => self.streams.sse_session.note_message(),
            Purpose::Listening => self.streams.listening.note_message(),
            Purpose::Resumption(ticket) => self.ledger.reset_stream_attempts(ticket),
            _ => {}
        }
    }

    /// The server asks the client something. Returns whether there is room to keep track of it.
    fn track_question(
        &mut self,
        exchange: ExchangeId,
        id: &Id,
        asking: Option<Ticket>,
        question: &Message,
    ) -> bool {
        let meta = question.member(meta::META);
        let progress = meta.and_then(|meta| json::member(meta, "progressToken")).map(str::to_owned);
        let epoch = self.sessions.epoch() + u64::from(self.sessions.is_opening(exchange));
        self.questions.insert(id, Question { asking, epoch, progress })
    }

    /// Answers the server in the client's place.
    fn refuse_question(&mut self, id: &Id, now: Instant) {
        let error = ErrorObject {
            code: code::INTERNAL_ERROR,
            message: format!("{SOURCE}: too many requests of the server wait for the client's answer"),
            data: ErrorData::of(SOURCE, "too_many"),
        };
        self.send_refusal(Message::error(Some(id), &error), now);
    }

    /// Answers the requests of a batch that is too long in the client's place. Those whose exchange or session is over need
    /// none, and a modern server asks nothing.
    pub(super) fn refuse_batch(&mut self, exchange: ExchangeId, fault: &Fault, now: Instant) {
        let Some(purpose) = self.purpose_of(exchange) else { return };
        let needs_answers = match purpose {
            Purpose::Cancelled | Purpose::SessionEnd | Purpose::Learning(_) | Purpose::Over => false,
            Purpose::Answer(ticket) => !self.is_modern(ticket),
            Purpose::Answered => self.sessions.is_established(),
            _ => true,
        };
        if !needs_answers || self.is_leaving() || self.is_of_lost_session(exchange) {
            return;
        }
        let error = ErrorObject {
            code: fault.code,
            message: format!("{SOURCE}: {}", fault.reason),
            data: ErrorData::of(SOURCE, "too_many"),
        };
        // A batch gets all its answers or none, unless its ids are large.
        let has_room = self.ledger.replies_cost() <= REPLIES;
        let mut room = if has_room { REPLIES } else { 0 };
        for id in &fault.requests {
            let refusal = Message::error(Some(id), &error);
            let Some(left) = room.checked_sub(id.size()) else {
                room = 0;
                self.dropped(&refusal, "too many answers wait for the server already");
                continue;
            };
            room = left;
            self.questions.forget_orphan(id);
            self.send_message(refusal, now);
        }
    }

    /// Returns whether a response answers a request of the client, which may come on any stream.
    fn is_asked_by_client(&self, id: Option<&Id>) -> bool {
        id.is_some_and(|id| self.ledger.request(id).is_some())
    }

    /// Finds the request that a response answers: the one with its id. If the id was lost on the way (null, or decoded and
    /// encoded again), it is the request whose exchange brought the response.
    fn response(
        &mut self,
        exchange: ExchangeId,
        purpose: Purpose,
        id: Option<&Id>,
        message: Message,
        now: Instant,
    ) {
        let own = match purpose {
            Purpose::Answer(ticket) | Purpose::Resumption(ticket) => {
                self.ledger.get(ticket).and_then(|entry| Some((ticket, entry.request_id()?)))
            }
            _ => None,
        };
        if let Some((ticket, own_id)) = own
            && id == Some(own_id)
        {
            return self.answer_in(exchange, purpose, ticket, message, now);
        }
        if let Some(ticket) = id.and_then(|id| self.ledger.request(id))
            && let Some(entry) = self.ledger.get(ticket)
            && let Some(answered) = exchange_of_answer(entry)
        {
            return self.answer_elsewhere(exchange, answered, ticket, message, now);
        }
        if let Some((ticket, own_id)) = own
            && id.is_none_or(|id| id.is_same_value(own_id))
        {
            let message = message.with_id(own_id);
            return self.answer_in(exchange, purpose, ticket, message, now);
        }
        if self.sessions.stream() == Some(exchange)
            && let Some((posted, ticket, own_id)) = id.and_then(|id| self.only_request_like(id))
        {
            self.streams.sse_session.note_message();
            self.answer(Some(posted), ticket, message.with_id(&own_id), now);
            return self.await_acknowledgement(posted, now);
        }
        self.dropped(&message, "no request with this id is unanswered");
    }

    /// Answers a request by a response that came in another exchange than its own, which is `sent`.
    fn answer_elsewhere(
        &mut self,
        exchange: ExchangeId,
        sent: Option<ExchangeId>,
        ticket: Ticket,
        message: Message,
        now: Instant,
    ) {
        // An answer here says nothing about the session that the own exchange is to name or to carry.
        if self.sessions.is_opened_by(ticket) {
            return self.dropped(&message, "a session is opened only by an answer in its own exchange");
        }
        let on_stream = self.sessions.stream() == Some(exchange);
        if let (Some(_), true) = (sent, on_stream) {
            self.streams.sse_session.note_message();
        }
        self.answer(sent, ticket, message, now);
        match sent {
            Some(posted) if on_stream => self.await_acknowledgement(posted, now),
            // The own exchange of the request brings nothing more.
            Some(sent) => self.close(sent),
            None => {}
        }
    }

    /// The request that a response with a changed id answers, on the stream of a session, if only one can be meant.
    fn only_request_like(&self, id: &Id) -> Option<(ExchangeId, Ticket, Id)> {
        let mut alike = self.ledger.iter().filter_map(|(ticket, entry)| match entry.state {
            MessageState::Sent { exchange, .. }
                if entry.era == Era::Legacy && !self.sessions.is_opened_by(ticket) =>
            {
                let own = entry.request_id().filter(|own| own.is_same_value(id))?;
                Some((exchange, ticket, own.clone()))
            }
            _ => None,
        });
        let found = alike.next()?;
        alike.next().is_none().then_some(found)
    }

    fn answer_in(
        &mut self,
        exchange: ExchangeId,
        purpose: Purpose,
        ticket: Ticket,
        message: Message,
        now: Instant,
    ) {
        self.answer(Some(exchange), ticket, message, now);
        // A resumed stream has no other end.
        if matches!(purpose, Purpose::Resumption(_)) {
            self.close(exchange);
        }
    }

    pub(super) fn is_modern(&self, ticket: Ticket) -> bool {
        self.ledger.get(ticket).is_some_and(|entry| entry.era == Era::Modern)
    }

    /// Gives a request its one answer, which came in `exchange` if that is still there.
    pub(super) fn answer(
        &mut self,
        exchange: Option<ExchangeId>,
        ticket: Ticket,
        message: Message,
        now: Instant,
    ) {
        let is_modern = self.is_modern(ticket);
        if let Some(exchange) = exchange.filter(|_| !is_modern)
            && self.move_answer_to_next_session(exchange, ticket, &message, now)
        {
            return;
        }
        if let Some(exchange) = exchange.filter(|exchange| self.sessions.is_opening(*exchange))
            && self.renegotiate(ticket, Refused::Answered(exchange, &message), now)
        {
            return;
        }
        if let Some(exchange) = exchange {
            self.exchanges.set_purpose(exchange, if is_modern { Purpose::Over } else { Purpose::Answered });
        }
        let message = match is_modern {
            false => message,
            true => match self.modern_answer(ticket, message, now) {
                Some(message) => message,
                None => return,
            },
        };
        if let Some(evidence) = self.evidence(ticket, Some(&message), None) {
            if exchange.is_some_and(|exchange| self.sessions.is_opening(exchange)) {
                self.abandon_handshake();
            }
            self.report_era_mismatch(ticket, evidence, message, None);
            return exchange.into_iter().for_each(|exchange| self.after_exchange(exchange));
        }
        if exchange.is_some_and(|exchange| self.sessions.is_opening(exchange)) {
            self.handshake(ticket, &message, now);
        }
        self.deliver_answer(ticket, message);
    }

    /// Delivers the answer to the client, and remembers what it says about the server.
    fn deliver_answer(&mut self, ticket: Ticket, message: Message) {
        match self.settle(ticket) {
            Settled::Wanted(entry) => {
                if let Some(epoch) = entry.attempts.epoch {
                    self.sessions.prove(epoch);
                }
                if entry.attempts.sessions_lost > 0 {
                    self.answered_at_last();
                }
                if error_code(&message).is_none() {
                    self.learn_from_answer(&entry.message, &message);
                }
                self.act(Action::Deliver(message));
            }
            Settled::Cancelled(_) => self.dropped(&message, "its request was cancelled"),
            Settled::Unknown => {}
        }
    }

    /// Stores the facts that a successful request shows about server and session.
    fn learn_from_answer(&mut self, request: &Message, answer: &Message) {
        match request.method() {
            Some(method::TOOLS_LIST) => self.tools.learn_hints(answer),
            Some(_) => self.sessions.remember(request),
            None => {}
        }
        if let Some(method) = request.method() {
            self.health.doubts.answered(method);
        }
    }

    fn handshake(&mut self, ticket: Ticket, answer: &Message, now: Instant) {
        if error_code(answer).is_some() {
            return self.abandon_handshake();
        }
        self.stop_listening();
        self.drop_session_stream(None, now);
        let initialize = self.ledger.get(ticket).map(|entry| entry.message.clone());
        let replaced = self.sessions.establish(answer, initialize);
        self.health.pings.begin(now);
        self.streams.sse_session.begin(now);
        // A client that starts over does not end its previous session.
        if let Some(facts) = replaced {
            self.open(Purpose::SessionEnd, Outgoing { ask: Ask::EndSession, facts });
        }
        let session = self.sessions.id();
        let revision = self.sessions.revision().unwrap_or("no revision").to_owned();
        self.act(Action::Notice(Notice::Settled { revision, session }));
    }
}

/// The exchange in which a request was sent, for an answer that is found by its id. `Some(None)`: it was sent, and waits to
/// be sent again or resumed. `None`: it was never sent.
fn exchange_of_answer(entry: &LedgerEntry) -> Option<Option<ExchangeId>> {
    match entry.state {
        MessageState::Sent { exchange, .. } => Some(Some(exchange)),
        MessageState::BackingOff { .. } | MessageState::ForSlot { .. } | MessageState::AtGate => {
            (entry.attempts.made > 0).then_some(None)
        }
        MessageState::Behind(_) | MessageState::Learning { .. } => None,
    }
}
