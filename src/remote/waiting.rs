//! What an `initialize` that takes long waits for: one line in the log, because the user sees a client that does nothing.
//!
//! Deliberately not here: giving up (the limits of time are the user's).

use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tracing::warn;
use url::Url;

use crate::diagnosis::place;

/// How long an `initialize` may take before that is told.
const SLOW: Duration = Duration::from_secs(5);

/// What an `initialize` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The credentials, from files and commands.
    Credentials,
    /// A connection that takes the request.
    Connection,
    /// The head of the answer.
    Head,
    /// The stream of HTTP+SSE, and the address that it names.
    Stream,
    /// The message that answers.
    Answer,
    /// A sign-in.
    SignIn,
    /// Nothing: it was answered.
    Answered,
}

const STAGES: [Stage; 7] = [
    Stage::Credentials,
    Stage::Connection,
    Stage::Head,
    Stage::Stream,
    Stage::Answer,
    Stage::SignIn,
    Stage::Answered,
];

impl Stage {
    /// What is waited for, in words. None if nothing is.
    fn told(self, url: &Url) -> Option<String> {
        let place = place(url);
        Some(match self {
            Stage::Credentials => "the credentials, from a file or a command".to_owned(),
            Stage::Connection => format!("a connection to {place}"),
            Stage::Head => format!("{place} to begin its answer; the request was sent"),
            Stage::Stream => {
                format!("{place} to open its event stream and name the address for messages (HTTP+SSE)")
            }
            Stage::Answer => format!("{place} to send the answer itself; it has begun to answer"),
            Stage::SignIn => "the sign-in".to_owned(),
            Stage::Answered => return None,
        })
    }
}

/// How far the latest `initialize` has come.
#[derive(Debug, Default)]
pub(super) struct Waiting(AtomicU8);

impl Waiting {
    /// Notes what it waits for from now on.
    pub(super) fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    fn stage(&self) -> Stage {
        STAGES.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Stage::Answered)
    }

    /// Awaits the exchange of an `initialize`, and tells once if its answer takes long.
    pub(super) async fn watch<T>(&self, url: &Url, exchange: impl Future<Output = T>) -> T {
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            done = &mut exchange => done,
            () = tokio::time::sleep(SLOW) => {
                if let Some(awaited) = self.stage().told(url) {
                    warn!("`initialize` has had no answer for {} s: waiting for {awaited}", SLOW.as_secs());
                }
                exchange.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_come_back_as_they_were_noted() {
        let waiting = Waiting::default();
        for stage in STAGES {
            waiting.set(stage);
            assert_eq!(waiting.stage(), stage);
        }
    }
}
