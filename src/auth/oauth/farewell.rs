//! The end of the program while tokens are on their way: those that they replace may hold no more.
//!
//! Deliberately not here: when the program ends (`start`).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::Inner;

/// How long the end waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the end of the program waits for.
pub struct Farewell {
    inner: Arc<Inner>,
    /// Without an owner they would end.
    _flows: Arc<Mutex<JoinSet<()>>>,
}

impl Farewell {
    pub(super) fn new(inner: &Arc<Inner>, flows: &Arc<Mutex<JoinSet<()>>>) -> Farewell {
        Farewell { inner: Arc::clone(inner), _flows: Arc::clone(flows) }
    }

    /// Waits until tokens that are on their way are kept, if there are any, for two seconds.
    pub async fn say(self) {
        let _ = tokio::time::timeout(PATIENCE, self.inner.asking.write()).await;
    }
}
