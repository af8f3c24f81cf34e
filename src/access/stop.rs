//! Ctrl-C: heard between two steps while something is being changed, and at once otherwise.

use std::cell::Cell;

use tokio::sync::Notify;

/// Whether the user wants the command to stop.
#[derive(Debug, Default)]
pub(super) struct Stop {
    requested: Cell<bool>,
    changing: Cell<bool>,
    ignored: Cell<bool>,
    heard: Notify,
}

impl Stop {
    /// Runs a command until it has ended, or until a signal stops it. While it changes something, the first signal lets it
    /// roll back, and the second ends it. None when it was ended.
    pub(super) async fn run<T, S: Future<Output = ()>>(
        &self,
        work: impl Future<Output = T>,
        signal: impl Fn() -> S,
        tell: impl Fn(&str),
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            done = &mut work => return Some(done),
            () = signal() => {}
        }
        if !self.changing.get() {
            return None;
        }
        self.requested.set(true);
        self.heard.notify_waiters();
        tell("stopping after the current step; press Ctrl-C again to leave everything as it is");
        tokio::select! {
            done = &mut work => Some(done),
            () = signal() => None,
        }
    }

    /// Marks the part of a command that changes something.
    pub(super) fn set_changing(&self, changing: bool) {
        self.changing.set(changing);
    }

    /// Returns whether a signal came.
    pub(super) fn is_requested(&self) -> bool {
        self.requested.get()
    }

    /// Has waits go on in spite of a signal: a rollback is to be finished.
    pub(super) fn ignore(&self) {
        self.ignored.set(true);
    }

    /// Waits for a signal.
    pub(super) async fn requested(&self) {
        if self.ignored.get() {
            return std::future::pending().await;
        }
        let heard = self.heard.notified();
        if !self.requested.get() {
            heard.await;
        }
    }
}
