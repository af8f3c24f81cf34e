//! Passes the messages of a response on to the driver, and recognizes the one that the exchange waits for.
//!
//! Deliberately not here: reading them (`response_body`, `sse_stream`).

use super::initialize_progress::InitializeStage;
use super::streamable::HttpExchange;
use crate::bridge::{Ask, Event};
use crate::jsonrpc::{Fault, Kind, Line, Message};

impl HttpExchange<'_> {
    /// Passes messages on. Returns whether the answer to the request was among them.
    pub(super) async fn deliver(&self, line: Line) -> bool {
        match line {
            Line::One(message) => self.deliver_one(message).await,
            Line::Batch(elements) => Box::pin(self.deliver_batch(elements)).await,
            Line::Invalid(_) => false,
        }
    }

    async fn deliver_batch(&self, elements: Vec<Result<Message, Fault>>) -> bool {
        let mut is_answered = false;
        for message in elements.into_iter().flatten() {
            is_answered |= self.deliver_one(message).await;
        }
        is_answered
    }

    fn deliver_one(&self, message: Message) -> impl Future<Output = bool> {
        let is_answered = self.is_answered_by(&message);
        if is_answered {
            self.note_stage(InitializeStage::Answered);
        }
        let reported = self.events.report(Event::Server(self.id, message));
        async move {
            reported.await;
            is_answered
        }
    }

    /// Returns whether a message is the answer to the request of this exchange, as far as the ids tell.
    pub(super) fn is_answered_by(&self, message: &Message) -> bool {
        let Ask::Post(asked) = &self.outgoing.ask else { return false };
        match (asked.kind(), message.kind()) {
            (Kind::Request { id, .. }, Kind::Response { id: answered, .. }) => {
                answered.as_ref().is_none_or(|answered| answered.is_same_value(id))
            }
            _ => false,
        }
    }
}
