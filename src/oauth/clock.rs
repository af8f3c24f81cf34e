//! The clocks of a sign-in: that of the wall, by which tokens end, and the one that only goes forward.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A moment in seconds since 1970.
pub(super) fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[expect(clippy::disallowed_methods, reason = "a token's end is a moment of the wall clock")]
pub(super) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "how long ago something failed")]
pub(super) fn monotonic_clock() -> Instant {
    Instant::now()
}
