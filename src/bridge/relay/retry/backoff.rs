//! How long to wait before the next attempt: growing, bounded, and never the same for two.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Random numbers from a seed, so that no two processes come back to a server at once.
#[derive(Debug)]
pub(in crate::bridge::relay) struct Jitter {
    seed: u64,
    drawn: u64,
}

impl Jitter {
    /// The jitter that this seed decides.
    pub(in crate::bridge::relay) fn new(seed: u64) -> Jitter {
        Jitter { seed, drawn: 0 }
    }

    /// A number that is different each time.
    pub(in crate::bridge::relay) fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        self.seed.wrapping_add(self.drawn)
    }
}

/// The delay before a message is sent again, after `failures` (from 0) more than the first: a quarter of a second, one,
/// four, less up to a half by the jitter that `seed` decides.
pub(super) fn resending(failures: u32, seed: u64) -> Duration {
    jittered(FIRST.saturating_mul(1 << (2 * failures.min(5))), seed)
}

/// The delay before attempt number `attempt` (from 0): twice as long each time, up to half a minute, less up to a half
/// by the jitter that `seed` decides.
pub(super) fn delay(attempt: u32, seed: u64) -> Duration {
    jittered(FIRST.saturating_mul(1 << attempt.min(10)).min(LONGEST), seed)
}

fn jittered(full: Duration, seed: u64) -> Duration {
    // A multiplicative hash spreads neighbouring seeds; its upper bits are the good ones.
    let spread = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    full - full.mul_f64(spread as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_differ() {
        for attempt in 0..40 {
            let full = Duration::from_millis(250 << attempt.min(10)).min(LONGEST);
            for seed in 0..100 {
                let delay = delay(attempt, seed);
                assert!(delay > full / 2 && delay <= full, "attempt {attempt}, seed {seed}: {delay:?}");
            }
        }
        assert_ne!(delay(3, 1), delay(3, 2));
    }
}
