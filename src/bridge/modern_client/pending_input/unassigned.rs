//! Unassigned questions: requests of the server that belong to no call, and the calls that they are assigned to.
//!
//! They have their own file because they outlive any call. Deliberately not here: what becomes of a call that carries one.

use std::time::Instant;

use super::{Asked, Call, CollectedQuestion, ModernClient, Resumed};

/// How many questions that belong to no call wait for one.
pub(super) const UNASSIGNED_AT_ONCE: usize = 100;

impl ModernClient {
    /// Assigns a question to a call that may carry it: the latest whose client waits, else the latest.
    pub(super) fn assign(&mut self, question: CollectedQuestion, until: Instant, now: Instant) {
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

    /// Asks the client the unassigned questions that a new call may carry, before the call goes to the server, which may need the
    /// responses for it. Returns the call if there are none.
    pub(in crate::bridge::modern_client) fn ask_first(
        &mut self,
        mut call: Call,
        now: Instant,
    ) -> Option<Call> {
        let unassigned = std::mem::take(&mut self.unassigned);
        let (carried, left) = unassigned.into_iter().partition(|(question, _)| call.may_carry(question.asks));
        self.unassigned = left;
        let carried: Vec<(CollectedQuestion, Instant)> = carried;
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

    /// Assigns the waiting questions that a call may carry, which was just sent.
    pub(in crate::bridge::modern_client) fn assign_waiting(&mut self, number: u64, now: Instant) {
        for (question, until) in std::mem::take(&mut self.unassigned) {
            match self.call_mut(number).is_some_and(|call| call.may_carry(question.asks)) {
                true => self.give(number, question, now),
                false => self.unassigned.push((question, until)),
            }
        }
    }
}
