//! The modern era, untouched (2026-07-28): every request stands alone, repeats itself in its headers, and ends with its
//! exchange.
//!
//! Nothing waits for a handshake and there is no session. What is left to do: mirror the body in headers, learn which
//! parameters travel so, close the exchange of what the client cancels, and open a subscription again that broke off.
//! Deliberately not here: bridging to the other era, and sending again (`retry`).

use std::time::{Duration, Instant};

use super::era_mismatch::{self, discovers_modern};
use super::ledger::{MessageState, Ticket};
use super::retry::{self, Decision, Subject};
use super::tools::Invalid;
use super::{Phase, Purpose, Relay, Settled};
use crate::bridge::event::{Action, Ask, ExchangeId, ExchangeOutcome, Facts, Mirror, Notice, Outgoing};
use crate::bridge::revision;
use crate::json;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::{code, message, meta, method};

/// How many pages of tools are asked for in our own name, and how long that may take, before a call is given up.
const LOOKUP_PAGES: u32 = 100;
const LOOKUP_PATIENCE: Duration = Duration::from_secs(30);
/// The most resources that are reported as possibly changed after a broken subscription.
const RENEWED_URIS: usize = 1_000;

impl Relay {
    /// The facts for the headers of a modern message.
    pub(super) fn modern_facts(&self, message: &Message) -> Facts {
        let (_, revision) = revision::classify(message);
        let method = message.method().unwrap_or_default();
        let name = match method {
            method::TOOLS_CALL | method::PROMPTS_GET => message.member("name"),
            method::RESOURCES_READ => message.member("uri"),
            method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL => message.member("taskId"),
            _ => None,
        };
        let parameters = match method {
            method::TOOLS_CALL => self.tools.headers(message),
            _ => Vec::new(),
        };
        let name = name.and_then(json::string);
        let mirror = Mirror { method: method.to_owned(), name, parameters };
        Facts { revision, mirror: Some(mirror), ..Facts::default() }
    }

    /// Handles a message of a modern server that is not the answer. Only notifications of the request are allowed.
    pub(super) fn modern_server(
        &mut self,
        exchange: ExchangeId,
        ticket: Ticket,
        message: Message,
        now: Instant,
    ) {
        match message.kind() {
            Kind::Request { .. } => self.dropped(&message, "a server of this era asks nothing"),
            Kind::Notification { method } if method.as_str() == method::ACKNOWLEDGED => {
                self.acknowledged(ticket, message);
            }
            Kind::Notification { method } if method.as_str() == method::CANCELLED => {
                self.ended_by_server(exchange, ticket, &message, now);
            }
            Kind::Notification { .. } | Kind::Response { .. } => {
                self.pass_on(Purpose::Answer(ticket), message)
            }
        }
    }

    /// A server may end a subscription by a cancellation (2026-07-28, basic/patterns/cancellation), which is good for
    /// nothing else; the client gets the answer that it waits for.
    fn ended_by_server(&mut self, exchange: ExchangeId, ticket: Ticket, message: &Message, now: Instant) {
        let subscription = self.ledger.get(ticket).filter(|entry| entry.is_subscription());
        let id = subscription.and_then(|entry| entry.request_id()).cloned();
        match id.filter(|id| message.request_id_param().as_ref() == Some(id)) {
            None => self.dropped(message, "a server cancels nothing but subscriptions"),
            Some(id) => {
                let answer = end_of_subscription(&id);
                self.answer(Some(exchange), ticket, answer, now);
                self.close(exchange);
            }
        }
    }

    /// The process ends, and with it a subscription, by its result (2026-07-28, basic/patterns/subscriptions). Returns
    /// whether the message is one.
    pub(super) fn end_subscription(&mut self, ticket: Ticket) -> bool {
        let subscription = self.ledger.get(ticket).filter(|entry| entry.is_subscription());
        let acknowledged = subscription.filter(|entry| entry.subscription.acknowledged);
        let Some(id) = acknowledged.and_then(|entry| entry.request_id()).cloned() else { return false };
        if let Settled::Wanted(_) = self.settle(ticket) {
            self.act(Action::Deliver(end_of_subscription(&id)));
        }
        true
    }

    /// The client hears of the first acknowledgement. A later one means that changes may have been missed: then it is
    /// told of each that it asked for.
    fn acknowledged(&mut self, ticket: Ticket, message: Message) {
        self.tools.set_server_modern();
        if self.ledger.acknowledge_subscription(ticket) {
            return self.pass_on(Purpose::Answer(ticket), message);
        }
        let Some(id) = self.ledger.get(ticket).and_then(|entry| entry.request_id()).cloned() else { return };
        let Some(honoured) = message.member("notifications") else { return };
        let meta = format!(r#""_meta":{{"{}":{id}}}"#, meta::SUBSCRIPTION_ID);
        for (filter, method) in [
            ("toolsListChanged", method::TOOLS_CHANGED),
            ("promptsListChanged", method::PROMPTS_CHANGED),
            ("resourcesListChanged", method::RESOURCES_CHANGED),
        ] {
            if json::member(honoured, filter) == Some("true") {
                self.notify_client(method, &format!("{{{meta}}}"));
            }
        }
        let uris = json::member(honoured, "resourceSubscriptions").map(json::elements).unwrap_or_default();
        // Not all that a server may name: each becomes a message.
        for uri in uris.take(RENEWED_URIS) {
            self.notify_client(method::RESOURCES_UPDATED, &format!(r#"{{{meta},"uri":{uri}}}"#));
        }
    }

    /// A modern answer on its way to the client: what there is to learn from it, and whether it is the answer yet.
    /// None: the request is tried once more and not answered for now.
    pub(super) fn modern_answer(
        &mut self,
        ticket: Ticket,
        message: Message,
        now: Instant,
    ) -> Option<Message> {
        let entry = self.ledger.get(ticket)?;
        let code = error_code(&message);
        // A result without a type comes of a server of the other era that does without sessions.
        let is_modern = match code {
            Some(code) => era_mismatch::MODERN_CODES.contains(&code),
            None => message.member("resultType").is_some() || discovers_modern(&message),
        };
        if is_modern {
            self.tools.set_server_modern();
        }
        match (entry.message.method(), code) {
            (Some(method::TOOLS_LIST), None) => Some(self.learn(message)),
            (Some(method::TOOLS_CALL), Some(code::HEADER_MISMATCH)) if !entry.relearned => {
                self.ledger.wait_for_tool(ticket, message, LOOKUP_PAGES, now + LOOKUP_PATIENCE);
                self.look_up_tools(ticket, None);
                None
            }
            _ => Some(message),
        }
    }

    /// Learns from a page of tools, and leaves out what must not be offered.
    fn learn(&mut self, page: Message) -> Message {
        match self.tools.learn(&page) {
            None => page,
            Some((page, invalid)) => {
                for Invalid { tool, reason } in invalid {
                    self.act(Action::Notice(Notice::LeftOut { tool, reason }));
                }
                page
            }
        }
    }

    /// Asks for the tools in our own name, with what the call itself says of the client, because the headers that the
    /// server wants are in a list that was never asked for, or has changed.
    fn look_up_tools(&mut self, ticket: Ticket, cursor: Option<&str>) {
        let Some(until) = self.ledger.take_tool_page(ticket) else { return self.give_up_learning(ticket) };
        let Some(entry) = self.ledger.get(ticket) else { return };
        let meta = entry.message.member(meta::META).unwrap_or("{}");
        let cursor = cursor.map(|cursor| format!(r#","cursor":{cursor}"#)).unwrap_or_default();
        let request = self.own_request(method::TOOLS_LIST, &format!(r#"{{"_meta":{meta}{cursor}}}"#));
        let facts = self.modern_facts(&request);
        let exchange = self.open(Purpose::Learning(ticket), Outgoing { ask: Ask::Post(request), facts });
        self.exchanges.set_deadline(exchange, until);
    }

    /// A page of the list that was asked for in our own name.
    pub(super) fn looked_up(&mut self, exchange: ExchangeId, ticket: Ticket, page: &Message, now: Instant) {
        self.exchanges.set_purpose(exchange, Purpose::Answered);
        self.exchanges.clear_deadline(exchange);
        let state = self.ledger.get(ticket).map(|entry| &entry.state);
        if !matches!(state, Some(MessageState::Learning { .. })) {
            return;
        }
        if error_code(page).is_some() {
            return self.give_up_learning(ticket);
        }
        drop(self.learn(page.clone()));
        let wanted = self.ledger.get(ticket).and_then(|entry| json::string(entry.message.member("name")?));
        let cursor = page.member("nextCursor").filter(|cursor| cursor.starts_with('"'));
        let mut names = page.member("tools").map(json::elements).unwrap_or_default();
        let found = names.any(|tool| json::member(tool, "name").and_then(json::string) == wanted);
        match cursor {
            Some(cursor) if !found => self.look_up_tools(ticket, Some(cursor)),
            Some(_) | None => {
                self.ledger.set_relearned(ticket);
                self.post(ticket, Purpose::Answer(ticket), now);
            }
        }
    }

    /// The list is not available: the server's refusal is the answer after all.
    pub(super) fn give_up_learning(&mut self, ticket: Ticket) {
        let Settled::Wanted(entry) = self.settle(ticket) else { return };
        let id = entry.request_id().cloned();
        if let (MessageState::Learning { refusal, .. }, Some(id)) = (entry.state, id) {
            self.deliver_as(&id, refusal);
        }
    }

    /// Opens a subscription that was there before again, if it broke off. Returns whether it does.
    pub(super) fn resubscribe(&mut self, ticket: Ticket, outcome: &ExchangeOutcome, now: Instant) -> bool {
        let Some(entry) = self.ledger.get(ticket) else { return false };
        let is_open = entry.is_subscription() && entry.subscription.acknowledged;
        if !is_open || self.phase != Phase::Running {
            return false;
        }
        let subject = Subject::Subscription { attempts: entry.subscription.attempts };
        let Decision::Retry { at, .. } = retry::decide(outcome, subject, now, &mut self.jitter) else {
            return false;
        };
        self.ledger.resubscribe_at(ticket, at);
        self.act(Action::Notice(Notice::Relistening));
        true
    }
}

/// The answer to a subscription that ends without an error.
fn end_of_subscription(id: &Id) -> Message {
    let key = meta::SUBSCRIPTION_ID;
    message::result(id, &format!(r#"{{"resultType":"complete","_meta":{{"{key}":{id}}}}}"#))
}

/// The code of an error response.
pub(in crate::bridge) fn error_code(message: &Message) -> Option<i64> {
    match message.kind() {
        Kind::Response { error: true, .. } => {
            Some(message.member("code").and_then(|code| code.parse().ok()).unwrap_or(0))
        }
        Kind::Response { error: false, .. } | Kind::Request { .. } | Kind::Notification { .. } => None,
    }
}
