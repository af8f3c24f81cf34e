//! A modern client and a legacy server: one session, opened in the client's place, carries what stands alone.
//!
//! Toward the server this is a legacy client, and the relay below serves it as any other: order, recovery, streams, sending
//! again. Ids upstream are ours, because a modern client may use an id again and a session must not.
//! A request goes out as it came but for its id and the keys of the other era (`requests`), its answer comes back with
//! what that era wants to see (`answers`); subscriptions are the session's notifications (`subscriptions`), and what the server
//! asks becomes an `input_required` result, until the client calls again with the response (`pending_input`). Deliberately not here:
//! whether the server is legacy (`detection`).

mod answers;
mod logs;
mod opening;
mod pending_input;
mod questions;
mod requests;
mod subscriptions;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use logs::Level;
use opening::Stage;
use pending_input::{Call, CollectedQuestion};
use subscriptions::ClientSubscriptions;

use super::backlog::Backlog;
use super::error_report::{ErrorKind, ErrorReport};
use super::event::Notice;
use super::layer::{Layer, Output, ServerMessage};
use super::own_ids::OwnIds;
use super::relay::{LastWord, error_object};
use crate::json;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::message::from_own_text;
use crate::mcp::{OwnId, SOURCE, message, method};

/// The translator.
#[derive(Debug)]
pub(super) struct ModernClient {
    stage: Stage,
    /// The capabilities that the session was told the client has.
    declared: String,
    /// Whether the client has opened a session of its own.
    has_own_session: bool,
    /// What tokens are made of that must not be guessed, and how many were made.
    secret: u128,
    tokens: u64,
    ids: OwnIds,
    /// What the server was asked under each of our ids, until it is over.
    asked: BTreeMap<u64, Asked>,
    /// The latest call of each of the client's ids.
    calls: HashMap<Id, u64>,
    /// What waits for the session, in the client's order.
    held: Backlog<Held>,
    subscriptions: ClientSubscriptions,
    /// Requests of the server that no call carries, and until when each waits for one.
    unassigned: Vec<(CollectedQuestion, Instant)>,
    /// The log level the server was told.
    level: Option<Level>,
    outputs: VecDeque<Output>,
}

/// What an id of ours stands for.
#[derive(Debug)]
enum Asked {
    /// `initialize`.
    Session,
    /// A request of the client.
    Call(Box<Call>),
    /// A log level; the answer changes nothing.
    Level,
    /// To hear of a resource, or no longer.
    ClientSubscription(String),
    Unsubscription(String),
}

/// A message of the client that waits for the session.
#[derive(Debug)]
struct Held {
    message: Message,
    /// What the server said to it, where it went there as it was.
    answer: Option<LastWord>,
}

impl std::borrow::Borrow<Message> for Held {
    fn borrow(&self) -> &Message {
        &self.message
    }
}

impl ModernClient {
    /// A translator for a server that is known to be legacy. The session is opened with what the first request says of
    /// the client. Of `secret` are made the tokens that must not be guessed.
    pub(super) fn begin(secret: u128) -> ModernClient {
        ModernClient {
            stage: Stage::Closed,
            declared: String::new(),
            has_own_session: false,
            secret,
            tokens: 0,
            ids: OwnIds::new(OwnId::ModernClient),
            asked: BTreeMap::new(),
            calls: HashMap::new(),
            held: Backlog::default(),
            subscriptions: ClientSubscriptions::default(),
            unassigned: Vec::new(),
            level: None,
            outputs: VecDeque::new(),
        }
    }

    /// A translator that finds out whether the server is legacy: `initialize` is sent beside the client's probe, which has no
    /// answer yet.
    pub(super) fn hedge(probe: &Message, secret: u128) -> ModernClient {
        let mut hedge = ModernClient::begin(secret);
        hedge.open(probe, opening::Need::Perhaps);
        hedge
    }

    /// A request that went to the server as it was, which has shown by `answer` that it is legacy.
    pub(super) fn refused(&mut self, request: Message, last_word: LastWord, now: Instant) {
        let Kind::Request { id, method } = request.kind() else { return };
        let is_done = matches!(last_word.answer.kind(), Kind::Response { error: false, .. });
        if is_done && method.as_str() != method::DISCOVER {
            // The server has done what it was asked, and must not do it twice.
            let done = answers::finished(method.as_str(), id, last_word.answer, false);
            self.deliver(done);
            return self.open(&request, opening::Need::Certain);
        }
        self.accept_request(request, Some(last_word), now);
    }

    /// Takes in a request: it is rejected, served, or waits for the session.
    fn accept_request(&mut self, request: Message, answer: Option<LastWord>, now: Instant) {
        if let Some(objection) = requests::objection(&request) {
            self.deliver(objection);
        } else if self.is_open() {
            self.serve(request, now);
        } else {
            self.open(&request, opening::Need::Certain);
            self.held.push(Held { message: request, answer });
        }
    }

    /// Takes in that the client cancels a request.
    fn handle_cancellation(&mut self, id: &Id, cancellation: &Message, now: Instant) {
        if self.held.remove(|held| is_request(held, id)).is_some() {
            // The server has never heard of it.
        } else if self.is_listening(id) {
            self.end_subscription(id);
        } else if let Some(call) = self.calls.remove(id) {
            self.cancel(call, cancellation, now);
        }
    }

    /// Returns whether a message of the server is this translator's affair. `within` is the request in whose exchange the
    /// server said it.
    pub(super) fn takes(&self, message: &Message, within: Option<&Id>) -> bool {
        match (message.kind(), within) {
            (Kind::Response { id, .. }, _) => id.as_ref().is_some_and(|id| self.is_own(id)),
            (_, Some(within)) => self.is_own(within),
            // A modern server asks nothing, and a modern client must not be asked.
            (Kind::Request { .. }, None) => !self.has_own_session,
            // What belongs to a subscription of a modern server passes, as long as it may be one.
            (Kind::Notification { .. }, None) => {
                !self.has_own_session && (self.is_open() || !subscriptions::is_of_subscription(message))
            }
        }
    }

    /// Returns whether a message is a request of this translator.
    pub(super) fn has_asked(&self, message: &Message) -> bool {
        matches!(message.kind(), Kind::Request { id, .. } if self.is_own(id))
    }

    fn answered(&mut self, number: u64, answer: Message, now: Instant) {
        let is_done = matches!(answer.kind(), Kind::Response { error: false, .. });
        match self.asked.remove(&number) {
            Some(Asked::Session) => self.session(answer, now),
            Some(Asked::Call(call)) => self.call_answered(number, call, answer, now),
            Some(Asked::ClientSubscription(uri)) => self.subscribed(&uri, is_done),
            Some(Asked::Unsubscription(uri)) => self.unsubscribed(&uri),
            Some(Asked::Level) | None => {}
        }
    }

    /// Takes in a notification of the server.
    fn handle_notification(&mut self, method: &str, message: Message, within: Option<u64>) {
        match method {
            method::CANCELLED => {
                if let Some(id) = message.request_id_param() {
                    self.withdraw(&id);
                }
            }
            method::LOG_MESSAGE => self.log(message, within),
            method::PROGRESS => self.progress(message, within),
            method::TOOLS_CHANGED
            | method::PROMPTS_CHANGED
            | method::RESOURCES_CHANGED
            | method::RESOURCES_UPDATED => self.changed(method, &message),
            // The client looks again by itself, and knows nothing of these tasks.
            method::ELICITATION_COMPLETE | method::TASKS_STATUS => {
                self.drop_message(&message, "the client's era has nothing like it");
            }
            _ if self.is_input_required(within) => {
                self.drop_message(&message, "its request waits for the client")
            }
            _ => self.deliver(message),
        }
    }

    /// Returns whether a request of the client that has no answer yet is here, or one that can still be called off.
    pub(super) fn serves(&self, id: &Id) -> bool {
        self.calls.contains_key(id)
            || self.is_listening(id)
            || self.held.iter().any(|held| is_request(held, id))
    }

    fn deliver(&mut self, message: Message) {
        self.outputs.push_back(Output::to_client(message));
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(Output::ToServer(message));
    }

    /// Sends a request in our name, under the next of our ids.
    fn ask(&mut self, asked: Asked, method: &str, params: &str) {
        let id = self.ids.next();
        self.asked.insert(self.ids.last(), asked);
        self.send(message::request(&id, method, params));
    }

    fn is_own(&self, id: &Id) -> bool {
        self.ids.number(id).is_some()
    }

    /// Returns a token that cannot be guessed.
    fn token(&mut self) -> String {
        self.tokens += 1;
        let step = self.tokens.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Two streams of splitmix64.
        let mix = |half: u64| {
            let mixed = half.wrapping_add(step);
            let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        };
        let (high, low) = ((self.secret >> 64) as u64, self.secret as u64);
        format!("{:016x}{:016x}", mix(high), mix(!low))
    }

    fn drop_message(&mut self, message: &Message, because: &'static str) {
        let title = message.title().into_owned();
        self.outputs.push_back(Output::notice(Notice::Dropped { title, because }));
    }
}

impl Layer for ModernClient {
    type FromServer = ServerMessage;

    /// Takes in a message of the client: modern, or a cancellation of a request that is here.
    fn handle_client(&mut self, message: Message, now: Instant) {
        match message.kind() {
            Kind::Request { .. } => self.accept_request(message, None, now),
            Kind::Notification { method } if method.as_str() == method::CANCELLED => {
                if let Some(id) = message.request_id_param() {
                    self.handle_cancellation(&id, &message, now);
                }
            }
            Kind::Notification { .. } if self.is_open() => self.send_notification(&message),
            Kind::Notification { .. } => {
                self.open(&message, opening::Need::Certain);
                self.held.push(Held { message, answer: None });
            }
            // A modern client is sent no requests.
            Kind::Response { .. } => self.drop_message(&message, "nothing like it was asked"),
        }
    }

    /// Takes in a message of the server that [`ModernClient::takes`].
    fn handle_server(&mut self, ServerMessage { message, within }: ServerMessage, now: Instant) {
        let within = within.and_then(|id| self.ids.number(&id));
        match message.kind() {
            Kind::Response { id, .. } => {
                if let Some(number) = id.as_ref().and_then(|id| self.ids.number(id)) {
                    self.answered(number, message, now);
                }
            }
            Kind::Request { .. } => self.question(&message, within, now),
            Kind::Notification { method } => {
                let method = method.as_str().to_owned();
                self.handle_notification(&method, message, within);
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        [self.next_of_calls(), self.subscriptions.next()].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.ask_or_expire(now);
        self.acknowledge_late(now);
    }

    fn close(&mut self, _: Instant) {
        let report = ErrorReport::new(
            ErrorKind::Stopped,
            "stopped before the server answered",
            "check what the request did before you repeat it: it may have run",
        );
        let error = error_object(&report);
        let held = self.held.take();
        let held = held.into_iter().filter_map(|held| match held.message.kind() {
            Kind::Request { id, .. } => Some(id.clone()),
            Kind::Notification { .. } | Kind::Response { .. } => None,
        });
        let asked = std::mem::take(&mut self.asked);
        let waiting = asked.into_values().filter_map(|asked| match asked {
            Asked::Call(call) => call.client_that_waits(),
            Asked::Session | Asked::Level | Asked::ClientSubscription(_) | Asked::Unsubscription(_) => None,
        });
        let answers = held.chain(waiting).map(|id| Output::to_client(Message::error(Some(&id), &error)));
        self.outputs.extend(answers);
        self.calls.clear();
        self.unassigned.clear();
        self.end_subscriptions();
    }

    fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    fn waiting_cost(&self) -> usize {
        self.held.cost()
    }
}

/// Returns whether a message is the request with this id.
fn is_request(message: &Message, id: &Id) -> bool {
    matches!(message.kind(), Kind::Request { id: own, .. } if own == id)
}

/// An error of ours; `data` are more members for what a program can act on, with a comma before them.
fn error(id: &Id, code: i64, sentence: &str, cause: &str, data: &str) -> Message {
    let sentence = json::quoted(&format!("{SOURCE}: {sentence}"));
    from_own_text(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{sentence},"data":{{"source":"{SOURCE}","cause":"{cause}"{data}}}}}}}"#
    ))
}
