//! Credentials that change while the process lives: read again when they are refused, or when they run out; and a second
//! service token that takes over from the first.
//!
//! However many exchanges are refused at once, one of them asks the source again and the others take what it found. A
//! value that was refused is not tried twice. Deliberately not here: where values come from (`config`).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::Credentials;

/// How long before a token runs out it is asked for again.
const MARGIN: Duration = Duration::from_secs(60);
/// How long credentials that were refused are not tried again in another's place.
const QUARANTINE: Duration = Duration::from_secs(60);
/// How long a source that brought nothing new is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// What a source has.
#[derive(Clone, Debug)]
pub struct Found {
    /// The credentials to use.
    pub credentials: Credentials,
    /// Those to use when they are refused.
    pub next: Option<Credentials>,
    /// When they run out, where they say so.
    pub expires: Option<SystemTime>,
    /// What was found where, each a sentence without secrets.
    pub described: Vec<String>,
}

/// Where credentials are read again. It may block.
pub type Source = Arc<dyn Fn() -> Result<Found, String> + Send + Sync>;

/// The credentials in use, and how to come by others.
pub struct Keeper {
    held: Mutex<Held>,
    source: Option<Source>,
    /// One at a time asks.
    asking: tokio::sync::Mutex<()>,
}

struct Held {
    found: Found,
    current: InUse,
    /// When the source was asked last.
    asked: Option<Instant>,
    /// What was refused, and when.
    refused: Vec<(Credentials, Instant)>,
}

/// Credentials, and which ones of this process they are.
#[derive(Clone, Debug)]
pub struct InUse {
    /// What is attached to requests.
    pub credentials: Arc<Credentials>,
    version: u64,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Credentials that were found, and where others may be found later.
    pub fn new(found: Found, source: Option<Source>) -> Keeper {
        let current = InUse { credentials: Arc::new(found.credentials.clone()), version: 0 };
        let held = Mutex::new(Held { found, current, asked: None, refused: Vec::new() });
        Keeper { held, source, asking: tokio::sync::Mutex::new(()) }
    }

    /// Credentials that never change.
    pub fn fixed(credentials: Credentials) -> Keeper {
        Keeper::new(Found { credentials, next: None, expires: None, described: Vec::new() }, None)
    }

    /// What to attach to the next request. What is about to run out is asked for again first.
    pub async fn current(&self) -> InUse {
        let (current, runs_out) = {
            let held = self.held();
            (held.current.clone(), held.found.expires.is_some_and(|expires| expires <= wall_clock() + MARGIN))
        };
        if !runs_out || self.source.is_none() {
            return current;
        }
        let _asking = self.asking.lock().await;
        if self.held().current.version == current.version {
            self.ask().await;
        }
        self.held().current.clone()
    }

    /// Other credentials than those that were refused, if there are any.
    pub async fn another(&self, refused: &InUse) -> Option<InUse> {
        let _asking = self.asking.lock().await;
        let current = self.held().current.clone();
        if current.version != refused.version {
            return Some(current);
        }
        self.held().refuse(&refused.credentials);
        if self.ask().await {
            info!("the credentials were refused; others were found where they come from");
            return Some(self.held().current.clone());
        }
        let mut held = self.held();
        let next = held.found.next.take().filter(|next| !held.was_refused(next))?;
        info!("the service token was refused; the next one takes its place");
        held.replace(next);
        Some(held.current.clone())
    }

    /// Asks the source, and uses what it has if that is another. Tells whether it is.
    async fn ask(&self) -> bool {
        let Some(source) = self.source.clone() else { return false };
        let now = monotonic_clock();
        {
            let mut held = self.held();
            if held.asked.is_some_and(|asked| now.saturating_duration_since(asked) < PAUSE) {
                return false;
            }
            held.asked = Some(now);
        }
        // Files and commands take their time, and the conversation goes on meanwhile.
        let found = match tokio::task::spawn_blocking(move || source()).await {
            Ok(Ok(found)) => found,
            Ok(Err(reason)) => {
                warn!("the credentials could not be read again: {reason}");
                return false;
            }
            Err(_) => return false,
        };
        let mut held = self.held();
        held.found.expires = found.expires;
        held.found.next = found.next;
        let is_another =
            found.credentials != *held.current.credentials && !held.was_refused(&found.credentials);
        if is_another {
            held.replace(found.credentials);
            // What is new may be refused as well, and then be asked for again.
            held.asked = None;
        }
        is_another
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().expect("nothing panics in between")
    }
}

impl Held {
    fn refuse(&mut self, credentials: &Credentials) {
        let now = monotonic_clock();
        self.refused
            .retain(|(other, at)| other != credentials && now.saturating_duration_since(*at) < QUARANTINE);
        self.refused.push((credentials.clone(), now));
    }

    fn was_refused(&self, credentials: &Credentials) -> bool {
        let now = monotonic_clock();
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < QUARANTINE;
        self.refused.iter().any(|(other, at)| other == credentials && is_recent(at))
    }

    fn replace(&mut self, credentials: Credentials) {
        let version = self.current.version + 1;
        self.current = InUse { credentials: Arc::new(credentials), version };
    }
}

#[expect(clippy::disallowed_methods, reason = "a token's end is a moment of the wall clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "how long ago a source was asked")]
fn monotonic_clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::auth::Scheme;
    use crate::auth::cf_access::ServiceToken;
    use crate::secret::Secret;

    fn token(secret: &str) -> Credentials {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let token = ServiceToken::new(&Secret::new("1.access"), &Secret::new(secret)).expect("a token");
        Credentials::new(&url, vec![Scheme::CfAccess(token)])
    }

    fn found(credentials: &str, next: Option<&str>) -> Found {
        Found { credentials: token(credentials), next: next.map(token), expires: None, described: Vec::new() }
    }

    /// A source that has these one after the other, and the last one for ever.
    fn source(answers: Vec<Result<Found, String>>) -> (Source, Arc<Mutex<usize>>) {
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let source = move || {
            let mut asked = count.lock().expect("no panic");
            let answer = answers[(*asked).min(answers.len() - 1)].clone();
            *asked += 1;
            answer
        };
        (Arc::new(source), asked)
    }

    #[tokio::test]
    async fn what_is_refused_is_read_again_once_however_many_were_refused() {
        let (source, asked) = source(vec![Ok(found("new", None))]);
        let keeper = Keeper::new(found("old", None), Some(source));
        let refused = keeper.current().await;
        assert_eq!(*refused.credentials, token("old"));
        for _ in 0..10 {
            let another = keeper.another(&refused).await.expect("another");
            assert_eq!(*another.credentials, token("new"));
        }
        assert_eq!(*asked.lock().expect("no panic"), 1);
    }

    #[tokio::test]
    async fn nothing_new_is_no_reason_to_try_again_and_a_source_is_not_hammered() {
        let (source, asked) = source(vec![Ok(found("old", None)), Err("away".to_owned())]);
        let keeper = Keeper::new(found("old", None), Some(source));
        let refused = keeper.current().await;
        for _ in 0..10 {
            assert!(keeper.another(&refused).await.is_none());
        }
        assert_eq!(*asked.lock().expect("no panic"), 1);
    }

    #[tokio::test]
    async fn the_next_token_takes_over_once_and_two_dead_ones_end_it() {
        let keeper = Keeper::new(found("old", Some("next")), None);
        let first = keeper.current().await;
        let second = keeper.another(&first).await.expect("the next one");
        assert_eq!(*second.credentials, token("next"));
        assert_eq!(*keeper.current().await.credentials, token("next"), "it is kept");
        assert!(keeper.another(&second).await.is_none());
        let same = Keeper::new(found("old", Some("old")), None);
        assert!(same.another(&same.current().await).await.is_none(), "the same is not another");
    }

    #[tokio::test]
    async fn a_source_with_two_dead_tokens_is_no_circle() {
        let (source, _) = source(vec![Ok(found("old", Some("next")))]);
        let keeper = Keeper::new(found("old", Some("next")), Some(source));
        let first = keeper.current().await;
        let second = keeper.another(&first).await.expect("the next one");
        assert_eq!(*second.credentials, token("next"));
        assert!(keeper.another(&second).await.is_none());
        assert!(keeper.another(&keeper.current().await).await.is_none());
    }

    #[tokio::test]
    async fn a_token_that_is_about_to_run_out_is_asked_for_before_it_does() {
        let (source, asked) = source(vec![Ok(found("new", None))]);
        let soon = Found { expires: Some(wall_clock() + MARGIN / 2), ..found("old", None) };
        let keeper = Keeper::new(soon, Some(source));
        assert_eq!(*keeper.current().await.credentials, token("new"));
        keeper.current().await;
        assert_eq!(*asked.lock().expect("no panic"), 1);
    }
}
