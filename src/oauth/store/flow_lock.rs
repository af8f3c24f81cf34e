//! The lock of a sign-in under way, and what its file says to other processes.
//!
//! Deliberately not here: the form of that file (`flow_document`).

use crate::oauth::documents;
use crate::oauth::sign_in_error::FailureKind;
use crate::oauth::store::PendingSignIn;
use crate::oauth::store::flow_document::{FailedDocument, FlowDocument};
use crate::oauth::store::lock::Lock;

/// The lock of a sign-in under way, and what the file under it says.
#[derive(Debug)]
pub struct FlowLock(Lock);

impl FlowLock {
    pub(super) fn new(lock: Lock) -> FlowLock {
        FlowLock(lock)
    }

    #[cfg(test)]
    pub(super) fn lock(&self) -> &Lock {
        &self.0
    }

    /// The same lock, for a thread that reads or writes under it.
    pub fn shared(&self) -> FlowLock {
        FlowLock(self.0.shared())
    }

    /// What it says of a sign-in.
    pub fn pending(&self) -> Option<PendingSignIn> {
        PendingSignIn::read(&self.0.text()?)
    }

    /// What it says of one that failed.
    pub fn failed(&self) -> Option<FailedSignIn> {
        let text = self.0.text()?;
        let failed = documents::read::<FlowDocument>(&text)?.in_vain?;
        Some(FailedSignIn { at: failed.at, kind: FailureKind::of_word(&failed.kind) })
    }

    /// Stores a sign-in under way, or removes it. A process that cannot read it begins another.
    pub fn note(&self, pending: Option<&PendingSignIn>) {
        self.0.write(&pending.map(PendingSignIn::document).unwrap_or_default().write());
    }

    /// Says there that one failed, if others are to hear of it.
    pub fn note_failed(&self, failed: &FailedSignIn) {
        let Some(word) = failed.kind.word() else { return self.note(None) };
        let in_vain = FailedDocument { at: failed.at, kind: word.to_owned() };
        self.0.write(&FlowDocument::failed(in_vain).write());
    }
}

/// A sign-in that failed, for those who waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedSignIn {
    /// When, in seconds since 1970.
    pub at: u64,
    /// In which way.
    pub kind: FailureKind,
}
