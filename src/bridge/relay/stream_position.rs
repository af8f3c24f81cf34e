//! How far a stream of events has come, and how to resume it (2025-11-25, basic/transports, resumability).
//!
//! Deliberately not here: when that is tried (`retry`).

use std::time::Duration;

use crate::bridge::event::Cursor;

/// The position in a stream of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamPosition {
    last: Option<String>,
    retry: Option<Duration>,
    attempts: u32,
}

impl StreamPosition {
    /// The id of the last event.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// How long the server wants us to wait before the stream is opened again.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// How often in a row the stream was opened again without anything coming.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Notes what an event said of its place.
    pub(super) fn advance(&mut self, cursor: Cursor) {
        if let Some(last) = cursor.last {
            self.last = Some(last).filter(|last| !last.is_empty());
        }
        self.retry = cursor.retry.or(self.retry);
    }

    /// The stream is to be opened again.
    pub(super) fn count_attempt(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
    }

    /// So many attempts were made, in another session.
    pub(super) fn set_attempts(&mut self, attempts: u32) {
        self.attempts = attempts;
    }

    /// The stream is opened from now on, and not behind its last event.
    pub(super) fn forget_last(&mut self) {
        self.last = None;
    }
}
