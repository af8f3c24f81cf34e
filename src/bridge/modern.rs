//! The modern era, untouched (2026-07-28): every request stands alone, repeats itself in its headers, and ends with its
//! exchange.
//!
//! Nothing waits for a handshake and there is no session. What is left to do: mirror the body in headers, learn which
//! parameters travel so, close the exchange of what the client cancels, and open a subscription again that broke off.
//! Deliberately not here: bridging to the other era,
//! and sending again (`resending`).

use std::time::{Duration, Instant};

use super::backoff;
use super::ledger::{Place, Then, Ticket};
use super::revision::{self, Era};
use super::*;

/// The codes by which a server shows that it speaks the modern era (2026-07-28, basic, error codes).
const HEADER_MISMATCH: i64 = -32020;
const MISSING_CAPABILITY: i64 = -32021;
const UNSUPPORTED_REVISION: i64 = -32022;
/// How many pages of tools are asked for in our own name, and how long that may take, before a call is given up.
const LOOKUP_PAGES: u32 = 100;
const LOOKUP_PATIENCE: Duration = Duration::from_secs(30);
/// The key under which a notification names its subscription.
const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";

impl Bridge {
    /// What the headers of a modern message say.
    pub(super) fn modern_facts(&self, message: &Message) -> Facts {
        let (_, revision) = revision::classify(message);
        let method = message.method().unwrap_or_default();
        let name = match method {
            "tools/call" | "prompts/get" => message.member("name"),
            "resources/read" => message.member("uri"),
            "tasks/get" | "tasks/update" | "tasks/cancel" => message.member("taskId"),
            _ => None,
        };
        let parameters = match method {
            "tools/call" => self.tools.headers(message),
            _ => Vec::new(),
        };
        let name = name.and_then(json::string);
        let mirror = Mirror { method: method.to_owned(), name, parameters };
        Facts { session: None, revision, mirror: Some(mirror) }
    }

    /// What a modern server says besides the answer. It must not ask anything, and only tell what belongs to the request.
    pub(super) fn modern_server(
        &mut self,
        exchange: ExchangeId,
        ticket: Ticket,
        message: Message,
        now: Instant,
    ) {
        match message.kind() {
            Kind::Request { .. } => self.dropped(&message, "a server of this era asks nothing"),
            Kind::Notification { method }
                if method.as_str() == "notifications/subscriptions/acknowledged" =>
            {
                self.acknowledged(ticket, message);
            }
            Kind::Notification { method } if method.as_str() == "notifications/cancelled" => {
                self.ended_by_server(exchange, ticket, &message, now);
            }
            Kind::Notification { .. } | Kind::Response { .. } => {
                self.actions.push_back(Action::Deliver(message))
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
                let result = format!(r#"{{"resultType":"complete","_meta":{{"{SUBSCRIPTION_KEY}":{id}}}}}"#);
                let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
                let answer = Message::parse(text.into()).expect("made from JSON texts");
                self.answer(Some(exchange), ticket, answer, now);
                self.close(exchange);
            }
        }
    }

    /// The client hears of the first acknowledgement. A later one means that changes may have been missed: then it is
    /// told of each that it asked for.
    fn acknowledged(&mut self, ticket: Ticket, message: Message) {
        self.server_is_modern = true;
        let Some(entry) = self.ledger.get_mut(ticket) else { return };
        let first = !std::mem::replace(&mut entry.subscription.acknowledged, true);
        entry.subscription.attempts = 0;
        if first {
            return self.actions.push_back(Action::Deliver(message));
        }
        let Some(id) = entry.request_id().cloned() else { return };
        let Some(honoured) = message.member("notifications") else { return };
        let meta = format!(r#""_meta":{{"{SUBSCRIPTION_KEY}":{id}}}"#);
        for (filter, method) in [
            ("toolsListChanged", "notifications/tools/list_changed"),
            ("promptsListChanged", "notifications/prompts/list_changed"),
            ("resourcesListChanged", "notifications/resources/list_changed"),
        ] {
            if json::member(honoured, filter) == Some("true") {
                self.tell_client(method, &format!("{{{meta}}}"));
            }
        }
        let uris = json::member(honoured, "resourceSubscriptions").map(json::elements).unwrap_or_default();
        for uri in uris {
            self.tell_client("notifications/resources/updated", &format!(r#"{{{meta},"uri":{uri}}}"#));
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
        if code.is_none_or(|code| [HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_REVISION].contains(&code))
        {
            self.server_is_modern = true;
        }
        match (entry.message.method(), code) {
            (Some("tools/list"), None) => Some(self.learn(message)),
            (Some("tools/call"), Some(HEADER_MISMATCH)) if !entry.relearned => {
                let place =
                    Place::Learning { refusal: message, pages: LOOKUP_PAGES, until: now + LOOKUP_PATIENCE };
                self.ledger.put(ticket, place);
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
                    self.actions.push_back(Action::Notice(Notice::LeftOut { tool, reason }));
                }
                page
            }
        }
    }

    /// Asks for the tools in our own name, with what the call itself says of the client, because the headers that the
    /// server wants are in a list that was never asked for, or has changed.
    fn look_up_tools(&mut self, ticket: Ticket, cursor: Option<&str>) {
        let Some(entry) = self.ledger.get_mut(ticket) else { return };
        let Place::Learning { pages, until, .. } = &mut entry.place else { return };
        let until = *until;
        match pages.checked_sub(1) {
            Some(left) => *pages = left,
            None => return self.give_up_learning(ticket),
        }
        let Some(entry) = self.ledger.get(ticket) else { return };
        let meta = entry.message.member("_meta").unwrap_or("{}");
        let cursor = cursor.map(|cursor| format!(r#","cursor":{cursor}"#)).unwrap_or_default();
        let request = self.own_request("tools/list", &format!(r#"{{"_meta":{meta}{cursor}}}"#));
        let facts = self.modern_facts(&request);
        let exchange = self.open(Purpose::Learning(ticket), Outgoing { ask: Ask::Post(request), facts });
        self.deadlines.insert(exchange, until);
    }

    /// A page of the list that was asked for in our own name.
    pub(super) fn looked_up(&mut self, exchange: ExchangeId, ticket: Ticket, page: &Message, now: Instant) {
        self.purpose(exchange, Purpose::Answered);
        self.deadlines.remove(&exchange);
        let place = self.ledger.get(ticket).map(|entry| &entry.place);
        if !matches!(place, Some(Place::Learning { .. })) {
            return;
        }
        if error_code(page).is_some() {
            return self.give_up_learning(ticket);
        }
        drop(self.learn(page.clone()));
        let wanted = self.ledger.get(ticket).and_then(|entry| json::string(entry.message.member("name")?));
        let cursor = page.member("nextCursor").filter(|cursor| cursor.starts_with('"'));
        let names = page.member("tools").map(json::elements).unwrap_or_default();
        let found = names.iter().any(|tool| json::member(tool, "name").and_then(json::string) == wanted);
        match cursor {
            Some(cursor) if !found => self.look_up_tools(ticket, Some(cursor)),
            Some(_) | None => {
                if let Some(entry) = self.ledger.get_mut(ticket) {
                    entry.relearned = true;
                }
                self.post(ticket, Purpose::Answer(ticket), now);
            }
        }
    }

    /// The list could not be had: the server's refusal is the answer after all.
    pub(super) fn give_up_learning(&mut self, ticket: Ticket) {
        let Settled::Wanted(entry) = self.settle(ticket) else { return };
        let id = entry.request_id().cloned();
        if let (Place::Learning { refusal, .. }, Some(id)) = (entry.place, id) {
            self.deliver_as(&id, refusal);
        }
    }

    /// An exchange that ended without the answer, if it is one that is opened again: a subscription that was there
    /// before. Tells whether it was.
    pub(super) fn rest(&mut self, ticket: Ticket, ending: &Ending, now: Instant) -> bool {
        let seed = self.chance();
        let Some(entry) = self.ledger.get_mut(ticket) else { return false };
        let broke_off = match ending {
            Ending::Complete | Ending::Cut(_) | Ending::Lost { .. } => true,
            Ending::Accepted(_) | Ending::Refused(_) => false,
        };
        if !broke_off
            || !entry.is_subscription()
            || !entry.subscription.acknowledged
            || self.phase != Phase::Running
        {
            return false;
        }
        let delay = backoff::delay(entry.subscription.attempts, seed);
        entry.subscription.attempts += 1;
        self.ledger.put(ticket, Place::Resting { until: now + delay, then: Then::Post });
        self.actions.push_back(Action::Notice(Notice::Relistening));
        true
    }

    /// Says that the eras do not meet, where a refusal shows it. The answer to `server/discover` is left to the client,
    /// which falls back by it.
    pub(super) fn eras_apart(
        &self,
        ticket: Ticket,
        refusal: Option<&Message>,
        status: Option<u16>,
    ) -> Option<Why> {
        let entry = self.ledger.get(ticket)?;
        let code = refusal.and_then(error_code);
        match (entry.era, entry.message.method()?) {
            (Era::Legacy, "initialize") => {
                let about_meta = || {
                    refusal.is_some_and(|refusal| memchr::memmem::find(refusal.text(), b"_meta").is_some())
                };
                let shows_modern = match (code?, status) {
                    (HEADER_MISMATCH | MISSING_CAPABILITY, _) => true,
                    (UNSUPPORTED_REVISION, _) => !self.offers_legacy(refusal?),
                    (-32602, Some(400)) => about_meta(),
                    (-32601, Some(404)) => true,
                    _ => false,
                };
                shows_modern.then(|| mismatch(revision::LEGACY_NAME, revision::MODERN_NAME))
            }
            (Era::Modern, method) if method != "server/discover" && !self.server_is_modern => {
                let is_legacy_status = matches!(status, Some(400 | 404 | 405 | 422));
                let is_legacy_code = code.is_none_or(|code| matches!(code, -32000 | -32001 | -32600));
                (is_legacy_status && is_legacy_code)
                    .then(|| mismatch(revision::MODERN_NAME, revision::LEGACY_NAME))
            }
            (Era::Legacy | Era::Modern, _) => None,
        }
    }

    /// Tells whether an unsupported-revision error offers one that is negotiated by `initialize`.
    fn offers_legacy(&self, refusal: &Message) -> bool {
        let supported = refusal.member("data").and_then(|data| json::member(data, "supported"));
        let revisions = supported.map(json::elements).unwrap_or_default();
        revisions.into_iter().filter_map(json::string).any(|revision| revision::is_legacy(&revision))
    }
}

fn mismatch(client: &str, server: &str) -> Why {
    Why::new(
        Failure::Era,
        format!(
            "the client speaks the {client} era of MCP, but the server seems to know only the {server} one"
        ),
        "use a client and a server that have an era in common",
    )
}

/// The code of an error response.
pub(super) fn error_code(message: &Message) -> Option<i64> {
    match message.kind() {
        Kind::Response { error: true, .. } => {
            Some(message.member("code").and_then(|code| code.parse().ok()).unwrap_or(0))
        }
        Kind::Response { error: false, .. } | Kind::Request { .. } | Kind::Notification { .. } => None,
    }
}
