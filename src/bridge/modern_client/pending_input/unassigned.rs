//! Questions of the server that belong to no call: which call carries them to the client.
//!
//! Apart from the calls because they outlive any of them. Deliberately not here: what becomes of a call that carries one.

use std::time::Instant;

use super::{Asked, Call, ModernClient, Question, Resumed};

/// How many questions that belong to no call wait for one.
pub(super) const UNASSIGNED_AT_ONCE: usize = 100;

impl ModernClient {
    /// Gives a question that belongs to no call to one that may carry it: the latest whose client waits, else the latest.
    pub(super) fn assign(&mut self, question: Question, until: Instant, now: Instant) {
        let may_carry = |(_, call): &(u64, &Call)| call.may_carry(question.asks);
        let waiting = self.calls_under_way().filter(may_carry).last();
        let found = waiting.or_else(|| self.all_calls().filter(may_carry).last());
        match found.map(|(number, _)| number) {
            Some(number) => self.give(number, question, now),
            None if question.asks.is_declared(&self.declared)
                && until > now
                && self.unassigned.len() < UNASSIGNED_AT_ONCE =>
            {
                self.unassigned.push((question, until));
            }
            None => self.refuse(question),
        }
    }

    /// What waits for a call goes to the client before the call goes to the server, which may want to know it for the call.
    /// Gives the call back if there is nothing.
    pub(in crate::bridge::modern_client) fn ask_first(
        &mut self,
        mut call: Call,
        now: Instant,
    ) -> Option<Call> {
        let unassigned = std::mem::take(&mut self.unassigned);
        let (carried, left) = unassigned.into_iter().partition(|(question, _)| call.may_carry(question.asks));
        self.unassigned = left;
        let carried: Vec<(Question, Instant)> = carried;
        if carried.is_empty() {
            return Some(call);
        }
        for (question, _) in carried {
            call.add(question);
        }
        let client = call.client.clone();
        self.ids.next();
        let number = self.ids.last();
        self.asked.insert(number, Asked::Call(Box::new(call)));
        self.calls.insert(client, number);
        self.request_input(number, Resumed::Sent, now);
        None
    }

    /// A call was sent: what has come to wait for one meanwhile may go by it.
    pub(in crate::bridge::modern_client) fn assign_waiting(&mut self, number: u64, now: Instant) {
        for (question, until) in std::mem::take(&mut self.unassigned) {
            match self.call_mut(number).is_some_and(|call| call.may_carry(question.asks)) {
                true => self.give(number, question, now),
                false => self.unassigned.push((question, until)),
            }
        }
    }
}
