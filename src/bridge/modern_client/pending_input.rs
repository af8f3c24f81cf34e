//! Pending input: requests of a legacy server for a client that answers no requests. The client's own call is answered with
//! the server's questions, and waits at the server until the client calls again with its responses.
//!
//! A call goes to the server once. Questions in its exchange are collected for a moment. Then the client gets
//! `input_required` with all of them and a token. Its next request with that token brings the responses, which go to the
//! server, and resumes the call (2026-07-28, basic/patterns/mrtr). A question that belongs to no call is assigned to the
//! latest call that may carry it, or waits a few seconds, unassigned, for the next call, which is sent after the
//! response. Deliberately not here: what a question says, and which client may be asked it (`questions`).

mod retry;
mod unassigned;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::logs::Level;
use super::questions::{self, QuestionKind};
use super::{Asked, ModernClient, answers, error, requests};
use crate::bridge::layer::Output;
use crate::bridge::relay::error_code;
use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::{INTERNAL_ERROR, Id, Kind, METHOD_NOT_FOUND, Message};
use crate::mcp::message::{self, from_own_text};
use crate::mcp::{code, method};

/// How long questions that come together are collected.
const COLLECTING: Duration = Duration::from_millis(10);
/// How long a call waits at the server for its client to come back.
const PENDING: Duration = Duration::from_secs(15 * 60);
/// How many do: each holds an exchange.
const PENDING_AT_ONCE: usize = 64;
/// How long an unassigned question waits for a call.
const UNASSIGNED: Duration = Duration::from_secs(5);
/// How large the questions that are kept may be together, in bytes of memory. Beyond that they are refused.
const QUESTIONS_TOGETHER: usize = 32 * 1024 * 1024;
/// The same for what is kept of the calls whose clients have been asked, beside the questions. Beyond that the ones that
/// wait longest are given up.
const PENDING_TOGETHER: usize = 64 * 1024 * 1024;

/// A request of the client at the server.
#[derive(Debug)]
pub(super) struct Call {
    /// The client's latest request for it.
    pub(super) client: Id,
    /// What the server has.
    pub(super) upstream: Message,
    /// What the client says it can do.
    capabilities: String,
    pub(super) level: Option<Level>,
    /// The progress token that the server knows, and the one that the client does, as JSON texts.
    pub(super) token: Option<String>,
    pub(super) client_token: Option<String>,
    state: CallState,
    questions: Vec<CollectedQuestion>,
    /// How many questions it has had.
    asked: u32,
}

/// Where a call is.
#[derive(Debug)]
enum CallState {
    /// At the server; the client waits.
    Waiting,
    /// The same; the server has asked something, and what else it asks by then goes to the client together.
    Collecting { until: Instant },
    /// The client has the questions.
    InputRequired { token: String, until: Instant, resumed: Resumed },
}

/// How a call is resumed by the client's next request for it.
#[derive(Debug)]
enum Resumed {
    /// The server still waits for the responses.
    Waits,
    /// The server has answered meanwhile.
    Answered(Message),
    /// The call goes to the server, for the first time or again.
    Sent,
}

/// A question of the server.
#[derive(Debug)]
pub(super) struct CollectedQuestion {
    /// Its id; none if it came as an error, which needs no answer.
    id: Option<Id>,
    asks: QuestionKind,
    /// What the client is to reply under.
    key: String,
    /// `{"method":…,"params":…}`.
    text: String,
    /// Whether it came in the exchange of the call that carries it.
    is_own: bool,
}

impl CollectedQuestion {
    /// What it costs to keep it, in bytes of memory.
    fn cost(&self) -> usize {
        self.text.len()
            + self.id.as_ref().map_or(0, Id::size)
            + size_of::<CollectedQuestion>()
            + self.key.len()
    }
}

impl Call {
    /// What it costs to keep it, beside its questions, in bytes of memory.
    fn cost(&self) -> usize {
        let answer = match &self.state {
            CallState::InputRequired { resumed: Resumed::Answered(answer), .. } => answer.cost(),
            CallState::InputRequired { resumed: Resumed::Waits | Resumed::Sent, .. }
            | CallState::Waiting
            | CallState::Collecting { .. } => 0,
        };
        self.upstream.cost() + self.capabilities.len() + answer
    }

    /// A request of the client that is about to be sent.
    pub(super) fn new(client: &Id, request: &Message) -> Call {
        let token = progress_token(request);
        Call {
            client: client.detached(),
            upstream: request.clone(),
            capabilities: requests::capabilities(request).unwrap_or("{}").to_owned(),
            level: requests::level(request),
            client_token: token.clone(),
            token,
            state: CallState::Waiting,
            questions: Vec::new(),
            asked: 0,
        }
    }

    fn method(&self) -> &str {
        self.upstream.method().unwrap_or_default()
    }

    fn is_input_required(&self) -> bool {
        matches!(self.state, CallState::InputRequired { .. })
    }

    /// The client's request, if it has no answer yet.
    pub(super) fn client_that_waits(&self) -> Option<Id> {
        (!self.is_input_required()).then(|| self.client.clone())
    }

    /// Returns whether this question may go to the client by way of this call.
    fn may_carry(&self, asks: QuestionKind) -> bool {
        let goes_on = match &self.state {
            CallState::Waiting
            | CallState::Collecting { .. }
            | CallState::InputRequired { resumed: Resumed::Waits, .. } => true,
            CallState::InputRequired { resumed: Resumed::Answered(_) | Resumed::Sent, .. } => false,
        };
        goes_on && may_ask(self.method()) && asks.is_declared(&self.capabilities)
    }

    /// The result that asks the client.
    fn asking(&self, token: &str) -> Message {
        let mut requests = String::new();
        for question in &self.questions {
            let comma = if requests.is_empty() { "" } else { "," };
            let _ = write!(requests, "{comma}\"{}\":{}", question.key, question.text);
        }
        from_own_text(format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{"resultType":"input_required","inputRequests":{{{requests}}},"requestState":"{token}"}}}}"#,
            self.client
        ))
    }

    fn add(&mut self, mut question: CollectedQuestion) {
        self.asked += 1;
        question.key = format!("{}-{}", question.asks.word(), self.asked);
        self.questions.push(question);
    }
}

/// Returns whether a result of this method may ask the client (2026-07-28, basic/patterns/mrtr).
pub(super) fn may_ask(method: &str) -> bool {
    matches!(method, method::TOOLS_CALL | method::PROMPTS_GET | method::RESOURCES_READ)
}

/// Returns whether a request goes on with a call that has asked its client.
pub(super) fn is_retry(request: &Message) -> bool {
    request.member("requestState").is_some() || request.member("inputResponses").is_some()
}

fn progress_token(request: &Message) -> Option<String> {
    json::member(request.member("_meta")?, "progressToken").map(str::to_owned)
}

/// What a call is for: the name of the tool or prompt, or the resource.
fn subject(request: &Message) -> Option<String> {
    let name = if request.method() == Some(method::RESOURCES_READ) { "uri" } else { "name" };
    json::string(request.member(name)?)
}

impl ModernClient {
    /// The calls whose clients wait for the server.
    pub(super) fn calls_under_way(&self) -> impl Iterator<Item = (u64, &Call)> {
        self.all_calls().filter(|(_, call)| !call.is_input_required())
    }

    fn all_calls(&self) -> impl Iterator<Item = (u64, &Call)> {
        self.asked.iter().filter_map(|(number, asked)| match asked {
            Asked::Call(call) => Some((*number, &**call)),
            Asked::Session | Asked::Level | Asked::ClientSubscription(_) | Asked::Unsubscription(_) => None,
        })
    }

    fn call_mut(&mut self, number: u64) -> Option<&mut Call> {
        match self.asked.get_mut(&number)? {
            Asked::Call(call) => Some(call),
            Asked::Session | Asked::Level | Asked::ClientSubscription(_) | Asked::Unsubscription(_) => None,
        }
    }

    fn take_call(&mut self, number: u64) -> Option<Box<Call>> {
        match self.asked.remove(&number)? {
            Asked::Call(call) => Some(call),
            other => {
                self.asked.insert(number, other);
                None
            }
        }
    }

    /// Returns whether the client has been asked something for the sake of this request, and has not come back.
    pub(super) fn is_input_required(&self, number: Option<u64>) -> bool {
        matches!(number.and_then(|number| self.asked.get(&number)), Some(Asked::Call(call)) if call.is_input_required())
    }

    /// The server asks something.
    pub(super) fn question(&mut self, message: &Message, within: Option<u64>, now: Instant) {
        let Kind::Request { id, method } = message.kind() else { return };
        let id = id.detached();
        let Some(asks) = QuestionKind::of(message) else {
            return match method.as_str() {
                method::PING => self.reply(&id, "result", "{}"),
                method => {
                    let sentence = format!("the client knows no {method}");
                    self.reply_error(&id, METHOD_NOT_FOUND, &sentence);
                }
            };
        };
        // A stream that is taken up again may bring it once more.
        if self.all_questions().any(|question| question.id.as_ref() == Some(&id)) {
            return self.drop_message(message, "it was asked already");
        }
        let own = within.and_then(|number| self.call_mut(number)).is_some_and(|call| may_ask(call.method()));
        // One at least as large as the message is added.
        let kept = self.all_questions().map(CollectedQuestion::cost).sum::<usize>();
        if kept.saturating_add(message.cost()) > QUESTIONS_TOGETHER {
            let sentence = "too much of what was asked waits for the client's answer";
            return self.reply_error(&id, INTERNAL_ERROR, sentence);
        }
        let question = CollectedQuestion {
            id: Some(id),
            asks,
            key: String::new(),
            text: asks.embedded(message),
            is_own: own,
        };
        match within.filter(|_| own) {
            Some(number) if self.call_mut(number).is_some_and(|call| call.may_carry(asks)) => {
                self.give(number, question, now);
            }
            Some(_) => self.refuse(question),
            None => self.assign(question, now + UNASSIGNED, now),
        }
    }

    fn all_questions(&self) -> impl Iterator<Item = &CollectedQuestion> {
        let unassigned = self.unassigned.iter().map(|(question, _)| question);
        self.all_calls().flat_map(|(_, call)| &call.questions).chain(unassigned)
    }

    fn give(&mut self, number: u64, question: CollectedQuestion, now: Instant) {
        let Some(call) = self.call_mut(number) else { return self.refuse(question) };
        call.add(question);
        if matches!(call.state, CallState::Waiting) {
            call.state = CallState::Collecting { until: now + COLLECTING };
        }
    }

    /// Answers a question with an error.
    fn refuse(&mut self, question: CollectedQuestion) {
        if let Some(id) = question.id {
            let sentence = match question.asks.is_declared(&self.declared) {
                true => "the client can only be asked this while a call of its own is under way that says so",
                false => "the client has not said that it can be asked this",
            };
            self.reply_error(&id, METHOD_NOT_FOUND, sentence);
        }
    }

    /// The server takes a question back.
    pub(super) fn withdraw(&mut self, id: &Id) {
        self.unassigned.retain(|(question, _)| question.id.as_ref() != Some(id));
        for asked in self.asked.values_mut() {
            if let Asked::Call(call) = asked {
                call.questions.retain(|question| question.id.as_ref() != Some(id));
                if call.questions.is_empty() && matches!(call.state, CallState::Collecting { .. }) {
                    call.state = CallState::Waiting;
                }
            }
        }
    }

    /// The server has answered a call.
    pub(super) fn call_answered(&mut self, number: u64, mut call: Box<Call>, answer: Message, now: Instant) {
        self.reassign(std::mem::take(&mut call.questions), now);
        if let CallState::InputRequired { resumed, .. } = &mut call.state {
            *resumed = Resumed::Answered(answer);
            self.asked.insert(number, Asked::Call(call));
            // It may be the one that is given up.
            return self.make_room(0, 0);
        }
        self.finish(number, call, answer, now);
    }

    /// Reassigns the questions of a call that is over. Questions of its own exchange get an error.
    fn reassign(&mut self, questions: Vec<CollectedQuestion>, now: Instant) {
        for question in questions {
            match (&question.id, question.is_own) {
                (Some(_), false) => self.assign(question, now + UNASSIGNED, now),
                (Some(id), true) => {
                    self.reply_error(&id.clone(), INTERNAL_ERROR, "the request it belongs to is over");
                }
                (None, _) => {}
            }
        }
    }

    /// Gives the client the answer, unless that wants the client to look at pages first.
    fn finish(&mut self, number: u64, mut call: Box<Call>, answer: Message, now: Instant) {
        if error_code(&answer) == Some(code::URL_ELICITATION_REQUIRED) && may_ask(call.method()) {
            let pages = questions::pages(&answer);
            if !pages.is_empty() && QuestionKind::Page.is_declared(&call.capabilities) {
                for text in pages {
                    call.add(CollectedQuestion {
                        id: None,
                        asks: QuestionKind::Page,
                        key: String::new(),
                        text,
                        is_own: true,
                    });
                }
                self.asked.insert(number, Asked::Call(call));
                return self.request_input(number, Resumed::Sent, now);
            }
            if !pages.is_empty() {
                let sentence =
                    "the server wants the client to open pages, and the client has not said that it can";
                let data = r#","requiredCapabilities":{"elicitation":{"url":{}}}"#;
                let answer = error(&call.client, code::MISSING_CAPABILITY, sentence, "capability", data);
                return self.deliver_answer(number, &call.client, answer);
            }
        }
        let answer = answers::finished(call.method(), &call.client, answer, call.asked > 0);
        self.deliver_answer(number, &call.client, answer);
    }

    fn deliver_answer(&mut self, number: u64, client: &Id, answer: Message) {
        self.forget(client, number);
        self.deliver(answer);
    }

    /// The client's id stands for this call no longer.
    fn forget(&mut self, client: &Id, number: u64) {
        if self.calls.get(client) == Some(&number) {
            self.calls.remove(client);
        }
    }

    /// Answers the client by the questions that there are.
    fn request_input(&mut self, number: u64, resumed: Resumed, now: Instant) {
        let cost = self.call_mut(number).map_or(0, |call| call.cost());
        self.make_room(1, cost);
        let token = self.token();
        if let Some(call) = self.call_mut(number) {
            let asking = call.asking(&token);
            call.state = CallState::InputRequired { token, until: now + PENDING, resumed };
            self.deliver(asking);
        }
    }

    /// Expires the calls that have waited longest for their clients, until `more` calls of this cost have room.
    fn make_room(&mut self, more: usize, cost: usize) {
        let pending = self.all_calls().filter_map(|(number, call)| match &call.state {
            CallState::InputRequired { until, .. } => Some((*until, number, call.cost())),
            CallState::Waiting | CallState::Collecting { .. } => None,
        });
        let mut pending: Vec<_> = pending.collect();
        pending.sort_unstable();
        let (mut count, mut total) = (pending.len() + more, cost);
        total = pending.iter().fold(total, |total, (_, _, cost)| total.saturating_add(*cost));
        for (_, oldest, cost) in pending {
            if count <= PENDING_AT_ONCE && total <= PENDING_TOGETHER {
                return;
            }
            (count, total) = (count - 1, total.saturating_sub(cost));
            self.expire(oldest);
        }
    }

    /// The client calls a call off.
    pub(super) fn cancel(&mut self, number: u64, cancellation: &Message, now: Instant) {
        let Some(mut call) = self.take_call(number) else { return };
        let is_over = matches!(
            call.state,
            CallState::InputRequired { resumed: Resumed::Answered(_) | Resumed::Sent, .. }
        );
        let cancelled = cancellation.member("requestId");
        if let Some(cancelled) = cancelled.filter(|_| !is_over) {
            let cancellation = splice::replace(cancellation, cancelled, self.ids.id(number).as_json());
            self.send_notification(&cancellation);
        }
        // The server's own need no answer any more.
        call.questions.retain(|question| !question.is_own);
        self.reassign(std::mem::take(&mut call.questions), now);
    }

    /// When a call or a question waits no longer.
    pub(super) fn next_of_calls(&self) -> Option<(Instant, &'static str)> {
        let calls = self.all_calls().filter_map(|(_, call)| match &call.state {
            CallState::Waiting => None,
            CallState::Collecting { until } => Some((*until, "the client is asked")),
            CallState::InputRequired { until, .. } => Some((*until, "the client has not come back")),
        });
        let unassigned = self.unassigned.iter().map(|(_, until)| (*until, "a question is refused"));
        calls.chain(unassigned).min()
    }

    /// QuestionKind the client what has been collected, and gives up what has waited long enough.
    pub(super) fn ask_or_expire(&mut self, now: Instant) {
        let due = self.all_calls().filter_map(|(number, call)| match &call.state {
            CallState::Collecting { until } if *until <= now => Some((number, true)),
            CallState::InputRequired { until, .. } if *until <= now => Some((number, false)),
            CallState::Waiting | CallState::Collecting { .. } | CallState::InputRequired { .. } => None,
        });
        for (number, is_collected) in due.collect::<Vec<_>>() {
            match is_collected {
                true => self.request_input(number, Resumed::Waits, now),
                false => self.expire(number),
            }
        }
        let (late, waiting) =
            std::mem::take(&mut self.unassigned).into_iter().partition(|(_, until)| *until <= now);
        self.unassigned = waiting;
        let late: Vec<(CollectedQuestion, Instant)> = late;
        for (question, _) in late {
            self.refuse(question);
        }
    }

    /// Gives up a call whose client has not called again.
    fn expire(&mut self, number: u64) {
        let Some(mut call) = self.take_call(number) else { return };
        self.forget(&call.client, number);
        for question in std::mem::take(&mut call.questions) {
            if let Some(id) = &question.id {
                self.reply_error(&id.clone(), INTERNAL_ERROR, "the client has not answered in time");
            }
        }
        if let CallState::InputRequired { resumed: Resumed::Waits, .. } = &call.state {
            let id = self.ids.id(number);
            self.send(message::cancelled(&id, Some("the client has not come back")));
        }
    }

    fn reply(&mut self, question: &Id, member: &str, text: &str) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{question},"{member}":{text}}}"#);
        self.send(from_own_text(text));
    }

    fn reply_error(&mut self, question: &Id, code: i64, sentence: &str) {
        self.outputs.push_back(Output::Refusal(error(question, code, sentence, "client", "")));
    }
}

#[cfg(test)]
mod tests {
    use super::unassigned::UNASSIGNED_AT_ONCE;
    use super::*;
    use crate::bridge::layer::{Layer, ServerMessage};

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"roots":{}}}"#;

    /// A translator with a session, and what it does.
    struct Under {
        client: ModernClient,
        now: Instant,
    }

    impl Under {
        fn new() -> Under {
            #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
            let now = Instant::now();
            let mut under = Under { client: ModernClient::begin(7), now };
            under.call(0);
            let answer =
                r#"{"id":"mcp-tether/m1","result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
            under.server(answer, None);
            under
        }

        fn call(&mut self, id: u64) {
            let call = from_own_text(format!(
                r#"{{"id":{id},"method":"tools/call","params":{{"name":"t",{META}}}}}"#
            ));
            self.client.handle_client(call, self.now);
        }

        fn server(&mut self, text: &str, within: Option<u64>) {
            let within = within.map(|number| self.client.ids.id(number));
            self.client
                .handle_server(ServerMessage { message: from_own_text(text.to_owned()), within }, self.now);
        }

        fn done(&mut self) -> (Vec<String>, Vec<String>) {
            let (mut told, mut sent) = (Vec::new(), Vec::new());
            let text = |message: Message| String::from_utf8(message.text().to_vec()).expect("UTF-8");
            while let Some(output) = self.client.poll_output() {
                match output {
                    Output::ToClient { message, .. } => told.push(text(message)),
                    Output::ToServer(message) | Output::Refusal(message) => sent.push(text(message)),
                    _ => {}
                }
            }
            (told, sent)
        }
    }

    #[test]
    fn pending_calls_beyond_the_limit_expire_oldest_first() {
        let mut under = Under::new();
        let calls = PENDING_AT_ONCE as u64 + 3;
        for id in 1..=calls {
            under.call(id);
            // The first call had the second of our ids.
            under.server(&format!(r#"{{"id":"q{id}","method":"roots/list"}}"#), Some(id + 2));
            under.now += COLLECTING;
            under.client.handle_timeout(under.now);
        }
        let (told, sent) = under.done();
        assert_eq!(told.iter().filter(|told| told.contains("input_required")).count() as u64, calls);
        let given_up: Vec<&String> =
            sent.iter().filter(|sent| sent.contains("notifications/cancelled")).collect();
        assert_eq!(given_up.len(), 3, "{given_up:?}");
        assert!(given_up[0].contains("\"mcp-tether/m3\""), "the oldest goes first: {}", given_up[0]);
        assert!(sent.iter().any(|sent| sent.contains(r#""id":"q1","error""#)));
    }

    #[test]
    fn unassigned_requests_beyond_the_limit_are_refused() {
        let mut under = Under::new();
        under.server(r#"{"id":"mcp-tether/m2","result":{}}"#, None);
        under.done();
        for id in 0..UNASSIGNED_AT_ONCE + 2 {
            under.server(&format!(r#"{{"id":{id},"method":"roots/list"}}"#), None);
        }
        assert_eq!(under.done().1.len(), 2);
        under.now += UNASSIGNED;
        under.client.handle_timeout(under.now);
        assert_eq!(under.done().1.len(), UNASSIGNED_AT_ONCE);
        assert!(under.client.poll_timeout().is_none());
    }

    #[test]
    fn tokens_are_long_and_unique() {
        let mut tokens = std::collections::BTreeSet::new();
        for secret in [0, 1, u128::MAX, 1 << 64] {
            let mut client = ModernClient::begin(secret);
            tokens.extend((0..100).map(|_| client.token()));
        }
        assert_eq!(tokens.len(), 400);
        assert!(tokens.iter().all(|token| token.len() == 32));
    }
}
