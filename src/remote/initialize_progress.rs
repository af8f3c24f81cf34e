//! What an `initialize` that takes long waits for: one line in the log, because the user sees a client that does nothing.

use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tracing::warn;
use url::Url;

use crate::diagnosis::place;

/// How long an `initialize` may take before a warning.
const SLOW: Duration = Duration::from_secs(5);

/// What an `initialize` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InitializeStage {
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

const STAGES: [InitializeStage; 7] = [
    InitializeStage::Credentials,
    InitializeStage::Connection,
    InitializeStage::Head,
    InitializeStage::Stream,
    InitializeStage::Answer,
    InitializeStage::SignIn,
    InitializeStage::Answered,
];

impl InitializeStage {
    /// A description of the stage for the log; none once `initialize` is answered.
    fn description(self, url: &Url) -> Option<String> {
        let place = place(url);
        Some(match self {
            InitializeStage::Credentials => "the credentials, from a file or a command".to_owned(),
            InitializeStage::Connection => format!("a connection to {place}"),
            InitializeStage::Head => format!("{place} to begin its answer; the request was sent"),
            InitializeStage::Stream => {
                format!("{place} to open its event stream and name the address for messages (HTTP+SSE)")
            }
            InitializeStage::Answer => format!("{place} to send the answer itself; it has begun to answer"),
            InitializeStage::SignIn => "the sign-in".to_owned(),
            InitializeStage::Answered => return None,
        })
    }
}

/// How far the latest `initialize` has come.
#[derive(Debug, Default)]
pub(super) struct InitializeProgress(AtomicU8);

impl InitializeProgress {
    /// Notes what it waits for from now on.
    pub(super) fn set(&self, stage: InitializeStage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    fn stage(&self) -> InitializeStage {
        STAGES.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(InitializeStage::Answered)
    }

    /// Awaits the exchange of an `initialize`, and warns once if its answer takes long.
    pub(super) async fn watch<T>(&self, url: &Url, exchange: impl Future<Output = T>) -> T {
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            done = &mut exchange => done,
            () = tokio::time::sleep(SLOW) => {
                if let Some(awaited) = self.stage().description(url) {
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
        let progress = InitializeProgress::default();
        for stage in STAGES {
            progress.set(stage);
            assert_eq!(progress.stage(), stage);
        }
    }
}
