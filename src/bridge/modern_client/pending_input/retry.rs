//! The client's retry of a call with its responses: which call it resumes, and how.
//!
//! Deliberately not here: what becomes of a call whose client does not call again.

use std::time::Instant;

use super::{COLLECTING, Call, CallState, ModernClient, Resumed, progress_token, subject};
use crate::bridge::modern_client::questions::QuestionReply;
use crate::bridge::modern_client::{Asked, error, requests};
use crate::json;
use crate::jsonrpc::{INTERNAL_ERROR, INVALID_PARAMS, Kind, Message};

impl ModernClient {
    /// Takes in that the client calls again, with responses.
    pub(in crate::bridge::modern_client) fn retry(&mut self, request: Message, now: Instant) {
        let Kind::Request { id, .. } = request.kind() else { return };
        let id = id.detached();
        let number = match self.resumable(&request) {
            Ok(number) => number,
            Err(sentence) => {
                let refusal = error(&id, INVALID_PARAMS, sentence, "request_state", "");
                return self.deliver(refusal);
            }
        };
        let Some(mut call) = self.take_call(number) else { return };
        self.forget(&call.client, number);
        self.calls.insert(id.clone(), number);
        call.client = id;
        call.capabilities = requests::capabilities(&request).unwrap_or("{}").to_owned();
        call.level = requests::level(&request);
        call.client_token = progress_token(&request);
        let CallState::InputRequired { resumed, .. } = std::mem::replace(&mut call.state, CallState::Waiting)
        else {
            return;
        };
        self.want_level(call.level);
        let is_declined = self.apply_responses(&mut call, &request);
        self.resume(number, call, resumed, is_declined, now);
    }

    /// Returns the call that a request resumes, or why there is none.
    fn resumable(&self, request: &Message) -> Result<u64, &'static str> {
        let token = request.member("requestState").and_then(json::string);
        let mut pending = self.all_calls().filter(|(_, call)| {
            matches!(&call.state, CallState::InputRequired { token: own, .. } if Some(own) == token.as_ref())
        });
        let Some((number, call)) = pending.next() else {
            return Err("the input request expired; call again without requestState");
        };
        let is_same =
            call.upstream.method() == request.method() && subject(&call.upstream) == subject(request);
        is_same.then_some(number).ok_or("requestState belongs to another call; call again without it")
    }

    /// Resumes a call to which the client's responses have been applied.
    fn resume(
        &mut self,
        number: u64,
        mut call: Box<Call>,
        resumed: Resumed,
        is_declined: bool,
        now: Instant,
    ) {
        match resumed {
            Resumed::Answered(answer) => self.finish(number, call, answer, now),
            Resumed::Sent if is_declined => {
                let sentence = "the server wants a page to be opened first, which was declined";
                let answer = error(&call.client, INTERNAL_ERROR, sentence, "declined", "");
                self.deliver_answer(number, &call.client, answer);
            }
            Resumed::Sent if call.questions.is_empty() => {
                self.forget(&call.client, number);
                let request = call.upstream.clone();
                self.send_call(*call, &request, now);
            }
            Resumed::Sent => {
                self.asked.insert(number, Asked::Call(call));
                self.request_input(number, Resumed::Sent, now);
            }
            Resumed::Waits => {
                if !call.questions.is_empty() {
                    call.state = CallState::Collecting { until: now + COLLECTING };
                }
                self.asked.insert(number, Asked::Call(call));
            }
        }
    }

    /// Applies the responses of a request: the server gets the answers to its requests. Returns whether the client declined to
    /// open a page.
    fn apply_responses(&mut self, call: &mut Call, request: &Message) -> bool {
        let replies = json::typed_members(request.member("inputResponses").unwrap_or("{}"));
        let mut is_declined = false;
        let questions = std::mem::take(&mut call.questions);
        for question in questions {
            let reply = replies.iter().rfind(|(key, _)| *key == question.key).map(|(_, reply)| *reply);
            match (QuestionReply::of(reply), &question.id) {
                (QuestionReply::None, _) => call.questions.push(question),
                (QuestionReply::Given { text, .. }, Some(id)) => self.reply(&id.clone(), "result", text),
                (QuestionReply::Given { accepts, .. }, None) => is_declined |= !accepts,
            }
        }
        is_declined
    }
}
