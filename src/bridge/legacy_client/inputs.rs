//! What the server wants to know before it answers: `input_required` becomes ordinary requests to the client, and their
//! answers travel with the request that is sent again (2026-07-28, basic/patterns/mrtr).
//!
//! A round ends when all its questions are answered. The state that the server keeps with us goes back byte for byte.
//! Deliberately not here: what a question looks like to an older client (`shapes`).

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::opening::ClientProfile;
use super::{LegacyClient, Request, shapes};
use crate::bridge::error_report::ErrorKind;
use crate::bridge::event::Notice;
use crate::bridge::layer::Output;
use crate::bridge::relay::SOURCE;
use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::message::{self, from_own_text};
use crate::mcp::method;

/// How many rounds a request may take.
const ROUNDS: u32 = 10;
/// How many inputs a server may want at once: each becomes a request to the client.
const INPUTS: usize = 100;
/// How long to wait before a request that only brought a state is sent again; doubled each round.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest such wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The requests that wait for the client.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    rounds: BTreeMap<u64, Round>,
    /// Which round each question belongs to, and which one it is there.
    asked: HashMap<Id, (u64, usize)>,
    next: u64,
}

/// One round of a request.
#[derive(Debug)]
struct Round {
    /// The request's id at the client.
    id: Id,
    /// What the server keeps with us, as JSON text.
    state: Option<String>,
    questions: Vec<InputRequest>,
    /// When the request is sent again although nothing was asked.
    due: Option<Instant>,
}

/// One thing that the server wants to know.
#[derive(Debug)]
struct InputRequest {
    key: String,
    method: String,
    /// The JSON text of the client's result.
    answer: Option<String>,
}

impl Inputs {
    /// When a request is sent again without an answer.
    pub(super) fn next(&self) -> Option<Instant> {
        self.rounds.values().filter_map(|round| round.due).min()
    }
}

/// There is no form for a client that refuses to answer. A person who does not want to is one who dismisses; who knows no
/// roots has none; without a model's answer the request cannot go on.
fn instead_of_answer(method: &str) -> Option<&'static str> {
    match method {
        method::ELICITATION_CREATE => Some(r#"{"action":"cancel"}"#),
        method::ROOTS_LIST => Some(r#"{"roots":[]}"#),
        _ => None,
    }
}

/// What is wrong with what the server wants to know.
fn objection(
    method: &str,
    params: Option<&str>,
    request: &Request,
    client: &ClientProfile,
) -> Option<String> {
    let member = |name: &str| params.and_then(|params| json::member(params, name));
    let is_url = member("mode").and_then(json::string).as_deref() == Some("url");
    let has_tools = member("tools").or_else(|| member("toolChoice")).is_some();
    let may_ask = match method {
        method::ELICITATION_CREATE if is_url => client.opens_urls(),
        method::ELICITATION_CREATE => client.fills_forms(),
        method::SAMPLING_CREATE if has_tools => client.samples_with_tools(),
        method::SAMPLING_CREATE => client.can("sampling"),
        method::ROOTS_LIST => client.can("roots"),
        _ => false,
    };
    let title = request.sent.method().unwrap_or_default();
    match (may_ask, title) {
        (_, method)
            if !matches!(method, method::TOOLS_CALL | method::PROMPTS_GET | method::RESOURCES_READ) =>
        {
            Some(format!("the server wants to know something before it answers {method}, which it may not"))
        }
        (false, _) => Some(format!("the server asks for {method}, which the client did not offer")),
        (true, _) => None,
    }
}

impl LegacyClient {
    /// The server wants to know something before it answers.
    pub(super) fn input_required(&mut self, id: Id, mut request: Request, answer: &Message, now: Instant) {
        let wanted = answer.member("inputRequests").map(json::members).unwrap_or_default();
        if wanted.clone().nth(INPUTS).is_some() {
            let text = format!("the server wants more than {INPUTS} inputs at once");
            return self.fail(&id, &request, &text);
        }
        let wanted: Vec<(String, &str)> = wanted.collect();
        let state = answer.member("requestState").filter(|state| *state != "null").map(str::to_owned);
        request.rounds += 1;
        if wanted.is_empty() && state.is_none() {
            return self.fail(&id, &request, "the server wants more input, but does not say which");
        }
        if request.rounds > ROUNDS {
            let text = format!("the server wanted more input {ROUNDS} times");
            return self.fail(&id, &request, &text);
        }
        let questions = match self.questions(&request, &wanted) {
            Ok(questions) => questions,
            Err(objection) => return self.fail(&id, &request, &objection),
        };
        let pause = PAUSE * 2u32.saturating_pow(request.rounds - 1);
        let due = questions.is_empty().then(|| now + pause.min(LONGEST_PAUSE));
        let number = self.inputs.next;
        self.inputs.next += 1;
        for (place, ((_, input), question)) in wanted.iter().zip(&questions).enumerate() {
            let asked = self.ask_client(&question.method, json::member(input, "params"));
            self.inputs.asked.insert(asked, (number, place));
        }
        self.inputs.rounds.insert(number, Round { id: id.clone(), state, questions, due });
        self.requests.insert(id, request);
    }

    /// Returns the questions of a round, or why one of them cannot be asked.
    fn questions(&self, request: &Request, wanted: &[(String, &str)]) -> Result<Vec<InputRequest>, String> {
        let question = |(key, input): &(String, &str)| {
            let method = json::member(input, "method").and_then(json::string).unwrap_or_default();
            match objection(&method, json::member(input, "params"), request, &self.client) {
                Some(objection) => Err(objection),
                None => Ok(InputRequest { key: key.clone(), method, answer: None }),
            }
        };
        wanted.iter().map(question).collect()
    }

    /// Asks the client a question of the server. Returns the id of the request.
    fn ask_client(&mut self, method: &str, params: Option<&str>) -> Id {
        let id = self.ids.next();
        let params = params.map(|params| shapes::question(method, params, &id, &self.client));
        let params = params.map(|params| format!(r#","params":{params}"#)).unwrap_or_default();
        let method = json::quoted(method);
        self.deliver(from_own_text(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method}{params}}}"#)));
        id
    }

    /// The client answers a question.
    pub(super) fn apply_response(&mut self, response: &Message) {
        let Kind::Response { id: Some(id), error } = response.kind() else { return };
        let Some((number, place)) = self.inputs.asked.remove(id) else {
            let because = "it answers nothing that was asked";
            let notice = Notice::Dropped { title: response.title().into_owned(), because };
            return self.outputs.push_back(Output::notice(notice));
        };
        let Some(round) = self.inputs.rounds.get_mut(&number) else { return };
        let Some(question) = round.questions.get_mut(place) else { return };
        let answer = match error {
            false => Some(response.body().unwrap_or("{}")),
            true => instead_of_answer(&question.method),
        };
        match answer {
            Some(answer) => {
                question.answer = Some(answer.to_owned());
                if round.questions.iter().all(|question| question.answer.is_some()) {
                    self.resend(number);
                }
            }
            None => {
                let id = round.id.clone();
                let said = response.member("message").and_then(json::string).unwrap_or_default();
                self.withdraw_inputs(&id, "another question of the same request was refused");
                if let Some(request) = self.requests.remove(&id) {
                    let text = format!("the client refused what the server wanted to know: {said}");
                    self.fail(&id, &request, &text);
                }
            }
        }
    }

    /// The request goes out once more, with the answers of this round and the server's state.
    fn resend(&mut self, number: u64) {
        let Some(round) = self.inputs.rounds.remove(&number) else { return };
        let upstream = self.ids.next();
        let Some(request) = self.requests.get_mut(&round.id) else { return };
        let mut members = Vec::new();
        if !round.questions.is_empty() {
            let answers = round.questions.iter();
            let answers = answers.filter_map(|question| Some((&*question.key, question.answer.as_deref()?)));
            members.push(format!(r#""inputResponses":{}"#, json::object(answers)));
        }
        members.extend(round.state.map(|state| format!(r#""requestState":{state}"#)));
        let again = splice::put_in(&request.sent.with_id(&upstream), &members.join(","));
        let Some(again) = again else {
            // It has params, for the era wants them.
            let Some(request) = self.requests.remove(&round.id) else { return };
            return self.fail(&round.id, &request, "the request has no params that input can be added to");
        };
        request.upstream = upstream.clone();
        self.renamed.insert(upstream, round.id);
        self.send(again);
    }

    /// Sends again what only waits for time to pass.
    pub(super) fn resend_due(&mut self, now: Instant) {
        let due = self.inputs.rounds.iter().filter(|(_, round)| round.due.is_some_and(|due| due <= now));
        for number in due.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.resend(number);
        }
    }

    /// The client need not answer any more what was asked for the sake of a request. Returns whether the request waited for
    /// that, and not for the server.
    pub(super) fn withdraw_inputs(&mut self, id: &Id, reason: &str) -> bool {
        let number = self.inputs.rounds.iter().find(|(_, round)| round.id == *id).map(|(number, _)| *number);
        let Some(number) = number else { return false };
        self.inputs.rounds.remove(&number);
        let of_round = self.inputs.asked.iter().filter(|(_, (round, _))| *round == number);
        let mut questions: Vec<Id> = of_round.map(|(question, _)| question.clone()).collect();
        questions.sort_by_key(ToString::to_string);
        for question in questions {
            self.inputs.asked.remove(&question);
            self.deliver(message::cancelled(&question, Some(reason)));
        }
        true
    }

    /// A request that cannot go on: a call says so in its result, where the model reads it.
    fn fail(&mut self, id: &Id, request: &Request, text: &str) {
        match request.sent.method() {
            Some(method::TOOLS_CALL) => {
                let text = json::quoted(&format!("{}: {text}", SOURCE));
                self.answer(
                    id,
                    &format!(r#"{{"content":[{{"type":"text","text":{text}}}],"isError":true}}"#),
                );
            }
            _ => self.refuse(id, ErrorKind::Answer.code(), text, ErrorKind::Answer.word()),
        }
    }
}
