//! The end of the program while tokens are requested: it waits, because the tokens that they replace may be invalid already.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::warn;

use crate::oauth::saving::Saved;
use crate::oauth::state::SignInState;

/// How often a lock that another process holds is tried meanwhile.
const RETRY: Duration = Duration::from_millis(50);

/// What the end of the program waits for.
pub struct SignInShutdown {
    state: Arc<SignInState>,
    /// Without an owner they would end.
    _flows: Arc<Mutex<JoinSet<()>>>,
    /// The same of the sign-in at the company's identity provider.
    provider: Option<Box<SignInShutdown>>,
}

impl SignInShutdown {
    pub(super) fn new(
        state: &Arc<SignInState>,
        flows: &Arc<Mutex<JoinSet<()>>>,
        provider: Option<SignInShutdown>,
    ) -> SignInShutdown {
        SignInShutdown {
            state: Arc::clone(state),
            _flows: Arc::clone(flows),
            provider: provider.map(Box::new),
        }
    }

    /// Waits until tokens that are on their way are kept, if there are any, for as long as the token store may take, and saves
    /// what could not be saved before.
    pub async fn finish(self) {
        if let Some(provider) = self.provider {
            Box::pin(provider.finish()).await;
        }
        let state = &self.state;
        let _ = tokio::time::timeout(state.store.token_store().end_patience(), async {
            drop(state.asking.write().await);
            while state.save().await == Saved::Later {
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
        if state.is_unsaved() {
            warn!("the sign-in could not be saved: the next start may have to ask for another");
        }
    }
}
