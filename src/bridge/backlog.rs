//! Messages of the client that wait in a translator, in its order, and what they cost.
//!
//! The ledger has its own, because the translators and the filter lie above it. The cost is kept up to date, because the
//! driver asks for it between any two events. Deliberately not here: what the messages wait for.

use std::borrow::Borrow;
use std::collections::VecDeque;

use crate::jsonrpc::Message;

/// Messages that wait, each with what else is kept of it.
#[derive(Debug)]
pub(super) struct Backlog<T> {
    waiting: VecDeque<T>,
    cost: usize,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Backlog { waiting: VecDeque::new(), cost: 0 }
    }
}

impl<T: Borrow<Message>> Backlog<T> {
    /// Puts one at the end.
    pub(super) fn push(&mut self, message: T) {
        self.cost += message.borrow().cost();
        self.waiting.push_back(message);
    }

    /// Takes out the first one that fits.
    pub(super) fn remove(&mut self, fits: impl Fn(&Message) -> bool) -> Option<T> {
        let at = self.iter().position(fits)?;
        let removed = self.waiting.remove(at)?;
        self.cost -= removed.borrow().cost();
        Some(removed)
    }

    /// Takes all out that fit.
    pub(super) fn drop_all(&mut self, fits: impl Fn(&Message) -> bool) {
        self.waiting.retain(|waiting| !fits(waiting.borrow()));
        self.cost = self.iter().map(Message::cost).sum();
    }

    /// Takes out all of them, in order.
    pub(super) fn take(&mut self) -> VecDeque<T> {
        std::mem::take(self).waiting
    }

    /// The messages in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.waiting.iter().map(Borrow::borrow)
    }

    /// The same with what else is kept of them.
    pub(super) fn entries(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What they cost together, in bytes of memory.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_that_of_the_remaining_messages() {
        let message = |number: usize| {
            let text = format!(r#"{{"id":{number},"method":"{}"}}"#, "x".repeat(number));
            Message::parse(text.into()).expect("a message")
        };
        let mut backlog = Backlog::default();
        (1..=10).for_each(|number| backlog.push(message(number)));
        assert!(backlog.remove(|waiting| waiting.text() == message(3).text()).is_some());
        assert!(backlog.remove(|waiting| waiting.text() == message(3).text()).is_none());
        backlog.drop_all(|waiting| waiting.text().len() > message(5).text().len());
        let left: Vec<usize> = [1, 2, 4, 5].map(|number| message(number).cost()).into();
        assert_eq!((backlog.iter().count(), backlog.cost()), (4, left.iter().sum()));
        assert_eq!((backlog.take().len(), backlog.cost(), backlog.is_empty()), (4, 0, true));
    }
}
