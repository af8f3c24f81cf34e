//! The state of the streams that carry a session, from one to the next.
//!
//! Deliberately not here: opening them.

use std::time::{Duration, Instant};

use crate::bridge::relay::retry::Subject;

/// A stream that lasted this long was no failure.
const LASTING: Duration = Duration::from_secs(5);

/// The life of the streams, from one to the next.
#[derive(Debug, Default)]
pub(in crate::bridge::relay) struct SseSession {
    /// Since when there is one.
    since: Option<Instant>,
    /// The number of streams in a row that ended soon and without a message.
    attempts: u32,
    /// When the next one is opened, even if no message waits for it.
    until: Option<Instant>,
}

impl SseSession {
    /// When the next one is opened.
    pub(in crate::bridge::relay) fn next(&self) -> Option<Instant> {
        self.until
    }

    /// Returns whether the next one is not to be opened at once.
    pub(in crate::bridge::relay) fn is_backing_off(&self) -> bool {
        self.until.is_some()
    }

    /// Returns whether the next one is to be opened now.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }

    /// Returns whether the last one lasted for a while.
    pub(super) fn has_lasted(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= LASTING)
    }

    /// The next one is being opened.
    pub(in crate::bridge::relay) fn connecting(&mut self) {
        self.until = None;
    }

    /// A session is open.
    pub(in crate::bridge::relay) fn begin(&mut self, now: Instant) {
        *self = SseSession { since: Some(now), attempts: self.attempts, until: None };
    }

    /// Notes a message after the handshake.
    pub(in crate::bridge::relay) fn note_message(&mut self) {
        self.attempts = 0;
    }

    /// The facts for the decision after a stream ended or could not be opened.
    pub(super) fn subject(&self, lasted: bool) -> Subject<'static> {
        Subject::SessionStream { attempts: self.attempts, lasted }
    }

    /// The next one is opened at this time.
    pub(super) fn back_off(&mut self, until: Instant) {
        self.until = Some(until);
        self.attempts = self.attempts.saturating_add(1);
    }
}
