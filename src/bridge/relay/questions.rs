//! Requests of the server that wait for the client's answer: which, for whose sake, and how much is kept of them.
//!
//! Nothing is kept of a question but its id and the token for its progress, each in a buffer of its own: the message went
//! to the client. Deliberately not here: what becomes of a question that there is no room for (`answers`).

use std::collections::HashMap;

use super::Question;
use crate::jsonrpc::Id;

/// How many are kept track of.
const AT_ONCE: usize = 10_000;
/// How large their ids and tokens may be together, in bytes.
const TOGETHER: usize = 1024 * 1024;

/// The questions that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: HashMap<Id, Question>,
    size: usize,
}

impl Questions {
    /// Keeps track of a question, where there is room. Returns whether there was.
    pub(super) fn insert(&mut self, id: &Id, question: Question) -> bool {
        self.remove(id);
        let size = size(id, &question);
        let has_room = self.waiting.len() < AT_ONCE && self.size.saturating_add(size) <= TOGETHER;
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

    /// Takes out all that fit.
    pub(super) fn take(&mut self, fits: impl Fn(&Question) -> bool) -> HashMap<Id, Question> {
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

    fn question(progress: usize) -> Question {
        Question { asking: None, epoch: 1, progress: Some("p".repeat(progress)) }
    }

    #[test]
    fn number_and_size_of_questions_are_bounded() {
        let mut questions = Questions::default();
        let kept =
            (0..2 * AT_ONCE as u64).filter(|number| questions.insert(&Id::ours('x', *number), question(9)));
        assert_eq!(kept.count(), AT_ONCE);
        assert_eq!(questions.take(|_| true).len(), AT_ONCE);
        let large = TOGETHER / 4;
        let kept = (0..100).filter(|number| questions.insert(&Id::ours('x', *number), question(large)));
        assert_eq!(kept.count(), 3);
        assert!(questions.remove(&Id::ours('x', 0)).is_some());
        assert!(questions.insert(&Id::ours('x', 7), question(large)), "there is room again");
        assert!(questions.insert(&Id::ours('x', 7), question(large)), "the same again takes no more");
        assert_eq!(questions.iter().count(), 3);
    }
}
