//! Requests of the server that wait for the client's answer: which, for whose sake, and how much is kept of them.
//!
//! Nothing is kept of a question but its id and the token for its progress, each in a buffer of its own: the message went
//! to the client. Deliberately not here: what becomes of a question that there is no room for (`answers`).

use std::collections::HashMap;

use super::ledger::Ticket;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::method;

/// How many are kept track of.
const AT_ONCE: usize = 10_000;
/// How large their ids and tokens may be together, in bytes.
const QUESTIONS_SIZE: usize = 1024 * 1024;

/// How large the ids and tokens of forgotten questions may be together, in bytes.
const ORPHANS_SIZE: usize = 1024 * 1024;

/// A request of the server.
#[derive(Debug)]
pub(super) struct Question {
    /// The client's request in whose exchange it came.
    pub(super) asking: Option<Ticket>,
    /// The session it belongs to; see `session`.
    pub(super) epoch: u64,
    /// The JSON text of the token under which the client may report progress.
    pub(super) progress: Option<String>,
}

/// The questions that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: HashMap<Id, Question>,
    size: usize,
    /// Those of sessions that have ended, with their progress tokens: what the client answers goes nowhere.
    orphaned: HashMap<Id, Option<String>>,
}

impl Questions {
    /// Keeps track of a question, where there is room. Returns whether there was.
    pub(super) fn insert(&mut self, id: &Id, question: Question) -> bool {
        self.orphaned.remove(id);
        self.remove(id);
        let size = size(id, &question);
        let has_room = self.waiting.len() < AT_ONCE && self.size.saturating_add(size) <= QUESTIONS_SIZE;
        if has_room {
            self.size += size;
            self.waiting.insert(id.detached(), question);
        }
        has_room
    }

    /// A question needs no answer any more.
    pub(super) fn remove(&mut self, id: &Id) -> Option<Question> {
        let question = self.waiting.remove(id)?;
        self.size -= size(id, &question);
        Some(question)
    }

    /// Keeps those that fit.
    pub(super) fn retain(&mut self, fits: impl Fn(&Question) -> bool) {
        let left = &mut self.size;
        self.waiting.retain(|id, question| {
            let stays = fits(question);
            *left -= if stays { 0 } else { size(id, question) };
            stays
        });
    }

    /// Forgets the questions of the session of this epoch and of those before: what the client still answers goes nowhere.
    pub(super) fn forget_session(&mut self, epoch: u64) {
        let over = self.take(|question| question.epoch <= epoch);
        let size = |(id, progress): (&Id, &Option<String>)| {
            id.size() + progress.as_ref().map_or(0, String::len) + size_of::<Id>()
        };
        // The ids are bounded too.
        if self.orphaned.iter().map(size).sum::<usize>() > ORPHANS_SIZE {
            self.orphaned.clear();
        }
        self.orphaned.extend(over.into_iter().map(|(id, question)| (id, question.progress)));
    }

    /// A question with this id is asked again: its answer no longer belongs to an ended session.
    pub(super) fn forget_orphan(&mut self, id: &Id) {
        self.orphaned.remove(id);
    }

    /// Returns whether what the client says belongs to a session that has ended. An answer does so once.
    pub(super) fn take_orphaned(&mut self, message: &Message) -> bool {
        match message.kind() {
            Kind::Response { id: Some(id), .. } => self.orphaned.remove(id).is_some(),
            Kind::Notification { method } if method.as_str() == method::PROGRESS => {
                let token = message.member("progressToken");
                token.is_some_and(|token| {
                    self.orphaned.values().any(|orphaned| orphaned.as_deref() == Some(token))
                })
            }
            Kind::Notification { .. } | Kind::Request { .. } | Kind::Response { id: None, .. } => false,
        }
    }

    /// Takes out all that fit.
    fn take(&mut self, fits: impl Fn(&Question) -> bool) -> HashMap<Id, Question> {
        let all = std::mem::take(&mut self.waiting).into_iter();
        let (taken, left) = all.partition(|(_, question)| fits(question));
        self.waiting = left;
        self.size = self.waiting.iter().map(|(id, question)| size(id, question)).sum();
        taken
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Id, &Question)> {
        self.waiting.iter()
    }
}

fn size(id: &Id, question: &Question) -> usize {
    id.size() + question.progress.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::OwnId;

    fn question(progress: usize) -> Question {
        Question { asking: None, epoch: 1, progress: Some("p".repeat(progress)) }
    }

    #[test]
    fn number_and_size_of_questions_are_bounded() {
        let mut questions = Questions::default();
        let kept = (0..2 * AT_ONCE as u64)
            .filter(|number| questions.insert(&OwnId::ModernClient.id(*number), question(9)));
        assert_eq!(kept.count(), AT_ONCE);
        assert_eq!(questions.take(|_| true).len(), AT_ONCE);
        let large = QUESTIONS_SIZE / 4;
        let kept =
            (0..100).filter(|number| questions.insert(&OwnId::ModernClient.id(*number), question(large)));
        assert_eq!(kept.count(), 3);
        assert!(questions.remove(&OwnId::ModernClient.id(0)).is_some());
        assert!(questions.insert(&OwnId::ModernClient.id(7), question(large)), "there is room again");
        assert!(
            questions.insert(&OwnId::ModernClient.id(7), question(large)),
            "the same again takes no more"
        );
        assert_eq!(questions.iter().count(), 3);
    }
}
