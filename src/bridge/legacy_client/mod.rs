//! A legacy client on a modern server (cell LM of the compatibility matrix).
//!
//! Towards the client this is a server of the era that opens with `initialize`; towards the relay it is a modern client.
//! Every request goes out with what the handshake said of the client in its `_meta`; what has no counterpart in the other
//! era is answered here. Requests keep the client's id on the way, so that most answers pass as they came.
//! Deliberately not here: sending again, order, headers (the relay).

mod inputs;
mod opening;
mod shapes;
mod subscriptions;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use inputs::Inputs;
use opening::{ClientProfile, ServerProfile};
use subscriptions::MergedSubscription;

use super::error_report::ErrorKind;
use super::layer::{Layer, Output, ServerMessage};
use super::own_ids::OwnIds;
use super::relay::{LastWord, SOURCE, error_code};
use super::splice;
use crate::json;
use crate::jsonrpc::{self, ErrorData, ErrorObject, Id, Kind, Message};
use crate::mcp::meta::{LOG_LEVEL, SUBSCRIPTION_ID};
use crate::mcp::{message, method};

/// The translator.
#[derive(Debug)]
pub(super) struct LegacyClient {
    phase: TranslationPhase,
    client: ClientProfile,
    server: ServerProfile,
    /// What is known of each request of the client that the server works on, by the id the client gave it.
    requests: HashMap<Id, Request>,
    /// The client's id of each request that goes by another towards the server.
    renamed: HashMap<Id, Id>,
    /// The ids towards the server of what was answered here, because there is nothing to translate to any more.
    abandoned: HashSet<Id>,
    inputs: Inputs,
    subscriptions: MergedSubscription,
    /// The log level that the client wants, as JSON text.
    level: Option<String>,
    /// Tools whose results are wrapped, because their schema is.
    wrapped: HashSet<String>,
    ids: OwnIds,
    outputs: VecDeque<Output>,
}

/// How far the handshake is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum TranslationPhase {
    /// The server is asked what it can do.
    Opening {
        initialize: Message,
        /// What the client is answered if the server does not say.
        last_word: Option<LastWord>,
        /// Whether the server has not shown in this process that it is modern.
        assumed: bool,
        discover: Id,
        /// Whether a server that is of two minds about the revision was asked again.
        asked_twice: bool,
        /// What the client has said meanwhile.
        held: VecDeque<Message>,
        held_cost: usize,
        /// How many of these it said before it started over.
        earlier: usize,
    },
    Open,
    /// There is nothing to translate to.
    Over,
}

/// A request that the server works on.
#[derive(Debug)]
struct Request {
    /// As it was sent at first.
    sent: Message,
    /// The id it has towards the server now.
    upstream: Id,
    /// How often the server has wanted more input.
    rounds: u32,
}

impl LegacyClient {
    /// A translator for a client that opened with this. Should there be nothing to translate to, `last_word` is its answer.
    /// `assumed` says that the server has not shown its era yet. `ids` are those of the translators before it, because the
    /// client may still answer what one of them asked.
    pub(super) fn begin(
        initialize: Message,
        last_word: Option<LastWord>,
        assumed: bool,
        ids: OwnIds,
    ) -> LegacyClient {
        let mut translator = LegacyClient {
            phase: TranslationPhase::Over,
            client: ClientProfile::default(),
            server: ServerProfile::default(),
            requests: HashMap::new(),
            renamed: HashMap::new(),
            abandoned: HashSet::new(),
            inputs: Inputs::default(),
            subscriptions: MergedSubscription::default(),
            level: None,
            wrapped: HashSet::new(),
            ids,
            outputs: VecDeque::new(),
        };
        translator.start(initialize, last_word, assumed);
        translator
    }

    /// Translates a message of the client.
    fn pass_on(&mut self, message: Message, now: Instant) {
        match message.kind() {
            Kind::Request { id, method } => {
                let id = id.detached();
                match method.as_str() {
                    method::PING => self.answer(&id, "{}"),
                    method::SET_LEVEL => self.set_level(&id, &message),
                    method::RESOURCES_SUBSCRIBE => self.subscribe(&id, &message),
                    method::RESOURCES_UNSUBSCRIBE => self.unsubscribe(&id, &message),
                    // The tasks of that era are not offered, and are not those of the other (SEP-2663).
                    method::TASKS_GET | method::TASKS_RESULT | method::TASKS_LIST | method::TASKS_CANCEL => {
                        self.unknown_method(&id)
                    }
                    _ => self.ask(id, &message),
                }
            }
            Kind::Notification { method } => match method.as_str() {
                method::INITIALIZED => self.listen(now),
                // Roots are requested each time; the server does not wait for progress on an input.
                method::ROOTS_CHANGED | method::PROGRESS => {}
                _ => {
                    if let Some(message) = splice::put_in_meta(&message, &self.meta()) {
                        self.send(message);
                    }
                }
            },
            Kind::Response { .. } => {}
        }
    }

    /// Sends a request on, with what every request of the other era says of its client.
    fn ask(&mut self, id: Id, message: &Message) {
        let Some(sent) = splice::put_in_meta(message, &self.meta()) else {
            let text = "the params of a request must be an object";
            return self.refuse(&id, jsonrpc::INVALID_PARAMS, text, "params");
        };
        self.requests.insert(id.clone(), Request { sent: sent.clone(), upstream: id, rounds: 0 });
        self.send(sent);
    }

    /// The members of `_meta` that every request has, as JSON text.
    fn meta(&self) -> String {
        let level = self.level.as_ref().map(|level| format!(r#","{LOG_LEVEL}":{level}"#));
        format!("{}{}", self.client.meta, level.unwrap_or_default())
    }

    fn set_level(&mut self, id: &Id, message: &Message) {
        match message.member("level").filter(|_| self.server.can("logging")) {
            Some(level) => {
                self.level = Some(level.to_owned());
                self.answer(id, "{}");
            }
            None if self.server.can("logging") => {
                self.refuse(id, jsonrpc::INVALID_PARAMS, "the log level is missing", "params");
            }
            None => self.unknown_method(id),
        }
    }

    /// The client takes a request back.
    fn cancelled(&mut self, id: &Id) {
        if self.is_opened_by(id)
            && let TranslationPhase::Opening { discover, held, .. } =
                std::mem::replace(&mut self.phase, TranslationPhase::Over)
        {
            self.send(message::cancelled(&discover, None));
            return self.stop_translating(held.into());
        }
        if let TranslationPhase::Opening { held, held_cost, earlier, .. } = &mut self.phase {
            let is_it =
                |message: &Message| matches!(message.kind(), Kind::Request { id: own, .. } if own == id);
            if let Some(at) = held.iter().position(is_it)
                && let Some(taken) = held.remove(at)
            {
                *held_cost -= taken.cost();
                *earlier -= usize::from(at < *earlier);
            }
        }
        self.forget_subscriber(id);
        let Some(request) = self.requests.remove(id) else { return };
        self.renamed.remove(&request.upstream);
        if !self.withdraw_inputs(id, "the request it belongs to was cancelled") {
            self.send(message::cancelled(&request.upstream, None));
        }
    }

    /// Returns whether this is the handshake that has no answer yet. No client should take it back.
    fn is_opened_by(&self, id: &Id) -> bool {
        let TranslationPhase::Opening { initialize, .. } = &self.phase else { return false };
        matches!(initialize.kind(), Kind::Request { id: own, .. } if own == id)
    }

    /// Returns whether a request of the client that has no answer yet is here.
    pub(super) fn serves(&self, id: &Id) -> bool {
        let is_held =
            |message: &Message| matches!(message.kind(), Kind::Request { id: own, .. } if own == id);
        self.is_opened_by(id)
            || self.requests.contains_key(id)
            || self.subscriptions.serves(id)
            || matches!(&self.phase, TranslationPhase::Opening { held, .. } if held.iter().any(is_held))
    }

    /// Returns whether a message of the server is this translator's affair. `within` is the request in whose exchange the
    /// server said it.
    pub(super) fn takes(&self, message: &Message, within: Option<&Id>) -> bool {
        match (message.kind(), within) {
            (Kind::Response { id: Some(id), .. }, _) => self.is_ours(id),
            (Kind::Response { id: None, .. }, _) => false,
            (_, Some(within)) => self.is_ours(within),
            (_, None) => self.subscriptions.is_of(message),
        }
    }

    fn is_ours(&self, upstream: &Id) -> bool {
        let is_discover =
            matches!(&self.phase, TranslationPhase::Opening { discover, .. } if discover == upstream);
        is_discover
            || self.requests.contains_key(upstream)
            || self.renamed.contains_key(upstream)
            || self.abandoned.contains(upstream)
            || self.subscriptions.is_listen(upstream)
    }

    /// The server's answer to a request of the client, unless it wants to know something first.
    fn answered(&mut self, upstream: &Id, answer: Message, now: Instant) {
        let id = self.renamed.remove(upstream).unwrap_or_else(|| upstream.clone());
        let Some(request) = self.requests.remove(&id) else { return };
        if error_code(&answer).is_none() {
            match result_type(&answer).as_deref() {
                None | Some("complete") => {}
                Some("input_required") => return self.input_required(id, request, &answer, now),
                Some(other) => {
                    let text = format!(
                        "the server answered with a result of the type {other:?}, which the client cannot take"
                    );
                    return self.refuse(&id, ErrorKind::Answer.code(), &text, "answer");
                }
            }
        }
        let answer = self.shape(&request.sent, answer);
        let answer = if *upstream == id { answer } else { answer.with_id(&id) };
        self.deliver(answer);
    }

    /// Returns the ids for the next translator.
    pub(super) fn into_ids(self) -> OwnIds {
        self.ids
    }

    fn deliver(&mut self, message: Message) {
        self.outputs.push_back(Output::to_client(message));
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(Output::ToServer(message));
    }

    /// Answers a request of the client here.
    fn answer(&mut self, id: &Id, result: &str) {
        self.deliver(message::result(id, result));
    }

    /// Answers a request of the client with an error of ours.
    fn refuse(&mut self, id: &Id, code: i64, text: &str, cause: &'static str) {
        let error =
            ErrorObject { code, message: format!("{}: {text}", SOURCE), data: ErrorData::of(SOURCE, cause) };
        self.deliver(Message::error(Some(id), &error));
    }

    fn unknown_method(&mut self, id: &Id) {
        self.refuse(id, jsonrpc::METHOD_NOT_FOUND, "the server does not offer this method", "method");
    }
}

impl Layer for LegacyClient {
    type FromServer = ServerMessage;

    /// Takes in a message of the client: legacy, or a response or cancellation of a request that is here.
    fn handle_client(&mut self, message: Message, now: Instant) {
        match message.kind() {
            // Servers of the other era ask nothing but what is asked here.
            Kind::Response { .. } => return self.apply_response(&message),
            Kind::Notification { method } if method.as_str() == method::CANCELLED => {
                if let Some(id) = message.request_id_param() {
                    self.cancelled(&id);
                }
                return;
            }
            Kind::Request { .. } if message.method() == Some(method::INITIALIZE) => {
                // What the server was when the client began need not be what it is now.
                return self.start(message, None, true);
            }
            Kind::Request { .. } | Kind::Notification { .. } => {}
        }
        match &mut self.phase {
            TranslationPhase::Opening { held, held_cost, .. } => {
                *held_cost += message.cost();
                held.push_back(message);
            }
            TranslationPhase::Open => self.pass_on(message, now),
            TranslationPhase::Over => self.send(message),
        }
    }

    /// Takes in a message of the server that [`LegacyClient::takes`].
    fn handle_server(&mut self, ServerMessage { message, .. }: ServerMessage, now: Instant) {
        match message.kind() {
            Kind::Response { id: Some(id), .. } => {
                let id = id.clone();
                if matches!(&self.phase, TranslationPhase::Opening { discover, .. } if *discover == id) {
                    self.discovered(&message, now);
                } else if self.subscriptions.is_listen(&id) {
                    self.listen_ended(&id, &message);
                } else {
                    self.answered(&id, message, now);
                }
            }
            Kind::Notification { method } => match method.as_str() {
                method::ACKNOWLEDGED => self.acknowledged(&message),
                _ if self.subscriptions.is_unwanted(&message) => {}
                _ => self.deliver(splice::take_out_of_meta(&message, &[SUBSCRIPTION_ID])),
            },
            Kind::Request { .. } | Kind::Response { id: None, .. } => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.inputs.next().map(|due| (due, "a request is asked again with its state"))
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.resend_due(now);
    }

    fn close(&mut self, _: Instant) {
        let report = "stopped before the server answered";
        if let TranslationPhase::Opening { initialize, held, .. } =
            std::mem::replace(&mut self.phase, TranslationPhase::Over)
        {
            for message in std::iter::once(initialize).chain(held) {
                if let Kind::Request { id, .. } = message.kind() {
                    self.refuse(id, ErrorKind::Stopped.code(), report, ErrorKind::Stopped.word());
                }
            }
        }
        let mut waiting: Vec<Id> = self.requests.drain().map(|(id, _)| id).collect();
        waiting.extend(self.subscriptions.take_subscribers());
        waiting.sort_by_key(ToString::to_string);
        for id in waiting {
            self.refuse(&id, ErrorKind::Stopped.code(), report, ErrorKind::Stopped.word());
        }
    }

    fn is_idle(&self) -> bool {
        !matches!(self.phase, TranslationPhase::Opening { .. }) && self.inputs.next().is_none()
    }

    fn waiting_cost(&self) -> usize {
        match &self.phase {
            TranslationPhase::Opening { held_cost, .. } => *held_cost,
            TranslationPhase::Open | TranslationPhase::Over => 0,
        }
    }
}

/// Which kind of result an answer has. The quick look spares large results a slow one.
fn result_type(answer: &Message) -> Option<String> {
    memchr::memmem::find(answer.text(), b"resultType")?;
    answer.member("resultType").and_then(json::string)
}
