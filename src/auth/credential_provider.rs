//! Credentials that change while the process lives: read again when they are refused, or when they run out; and a second
//! service token that takes over from the first.
//!
//! However many exchanges are refused at once, one of them asks the source again and the others take what it found. A
//! value that was refused is not tried twice. Deliberately not here: where values come from (`config`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};
use url::Url;

use super::Credentials;
use super::access_proof::{AccessProof, NotSent};
use super::cf_access::{PairRule, ServiceToken};

/// How long before a token runs out it is asked for again.
const MARGIN: Duration = Duration::from_secs(60);
/// How long credentials that were refused are not tried again in another's place.
const QUARANTINE: Duration = Duration::from_secs(60);
/// How long a source that brought nothing new is left alone: as many times as long as it took to ask it…
const PAUSE_FACTOR: u32 = 10;
/// …but no less, for a file that is read in no time, …
const LEAST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const MOST_PAUSE: Duration = Duration::from_secs(30);

/// What a source has. What of it may be sent, [`CredentialProvider::current`] says: a service token that needs a proof is among it.
#[derive(Clone, Debug)]
pub struct FoundCredentials {
    /// The credentials to use.
    pub credentials: Credentials,
    /// Those to use when they are refused.
    pub next: Option<Credentials>,
    /// When they run out, where they say so.
    pub expires: Option<SystemTime>,
    /// What was found where, each a sentence without secrets.
    pub described: Vec<String>,
    /// The value of `CF_ACCESS_HOSTS`, where it keeps a service token of the environment from this server.
    pub unlisted: Option<String>,
}

impl FoundCredentials {
    /// Returns whether a service token among them is sent only where that is proved.
    pub fn needs_proof(&self) -> bool {
        let all = [Some(&self.credentials), self.next.as_ref()].into_iter().flatten();
        all.filter_map(Credentials::service_token).any(|token| token.rule() == PairRule::Proof)
    }

    /// Both, the one with the service token of `current` first: the switch from one token to the other is kept.
    fn in_order(&self, current: &Credentials) -> Vec<&Credentials> {
        let both = [Some(&self.credentials), self.next.as_ref()].into_iter().flatten();
        let (mut ordered, others): (Vec<_>, Vec<_>) =
            both.partition(|credentials| credentials.service_token() == current.service_token());
        ordered.extend(others);
        ordered
    }
}

/// Who refused credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectedBy {
    /// Cloudflare Access.
    Access,
    /// The server itself (401). That says nothing of the service token, which Access let through.
    Server,
}

/// Where credentials are read again. It may block.
pub type CredentialSource = Arc<dyn Fn() -> Result<FoundCredentials, String> + Send + Sync>;

/// The credentials in use, and how to come by others.
pub struct CredentialProvider {
    held: Mutex<ProviderState>,
    source: Option<CredentialSource>,
    /// One at a time asks.
    asking: tokio::sync::Mutex<()>,
    /// Which service tokens that need a proof may be sent. Without it none may.
    proof: Option<Arc<AccessProof>>,
}

struct ProviderState {
    found: FoundCredentials,
    /// The credentials in use, with the service token whether it may be sent or not.
    chosen: Credentials,
    /// What is sent of them.
    current: CredentialSnapshot,
    /// From when on the source is asked although nothing was refused.
    renewal: Option<SystemTime>,
    /// Until when the source is left alone.
    pause: Option<Instant>,
    /// What was refused, and when.
    refused: Vec<(Credentials, Instant)>,
}

/// Credentials, and which ones of this process they are.
#[derive(Clone, Debug)]
pub struct CredentialSnapshot {
    /// What is attached to requests.
    pub credentials: Arc<Credentials>,
    /// The service token that is not among them, because the server was not proved to belong to its team.
    pub withheld: Option<Arc<ServiceToken>>,
    version: u64,
}

impl CredentialSnapshot {
    /// What may be sent of `chosen`.
    fn new(chosen: &Credentials, version: u64, proof: Option<&AccessProof>) -> CredentialSnapshot {
        let withheld = withheld(chosen, proof);
        CredentialSnapshot { credentials: Arc::new(sent(chosen, proof)), withheld, version }
    }
}

/// The service token among credentials that must not be sent.
fn withheld(chosen: &Credentials, proof: Option<&AccessProof>) -> Option<Arc<ServiceToken>> {
    let is_withheld = |token: &&ServiceToken| match proof {
        Some(proof) => !proof.allows(token),
        None => token.rule() == PairRule::Proof,
    };
    chosen.service_token().filter(is_withheld).cloned().map(Arc::new)
}

/// What may be sent of credentials.
fn sent(chosen: &Credentials, proof: Option<&AccessProof>) -> Credentials {
    match withheld(chosen, proof) {
        Some(_) => chosen.without_service_token(),
        None => chosen.clone(),
    }
}

impl std::fmt::Debug for CredentialProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialProvider").finish_non_exhaustive()
    }
}

impl CredentialProvider {
    /// Credentials that were found, and where others may be found later.
    pub fn new(found: FoundCredentials, source: Option<CredentialSource>) -> CredentialProvider {
        let chosen = found.credentials.clone();
        let current = CredentialSnapshot::new(&chosen, 0, None);
        // A moment that cannot be told is one long ago.
        let renewal =
            found.expires.map(|expires| expires.checked_sub(MARGIN).unwrap_or(SystemTime::UNIX_EPOCH));
        let held =
            Mutex::new(ProviderState { found, chosen, current, renewal, pause: None, refused: Vec::new() });
        CredentialProvider { held, source, asking: tokio::sync::Mutex::new(()), proof: None }
    }

    /// The same, where service tokens that need a proof are sent as `proof` allows.
    #[must_use]
    pub fn with_proof(mut self, proof: Option<Arc<AccessProof>>) -> CredentialProvider {
        self.proof = proof;
        self.held().apply(self.proof.as_deref());
        self
    }

    /// Credentials that never change.
    pub fn fixed(credentials: Credentials) -> CredentialProvider {
        let found = FoundCredentials {
            credentials,
            next: None,
            expires: None,
            described: Vec::new(),
            unlisted: None,
        };
        CredentialProvider::new(found, None)
    }

    /// Proves that the service token that was withheld from a refused request may be sent to `url`, and returns the
    /// credentials with it.
    ///
    /// # Errors
    /// Why it must not be sent.
    pub async fn prove(
        &self,
        refused: &CredentialSnapshot,
        url: &Url,
    ) -> Result<CredentialSnapshot, NotSent> {
        let (Some(proof), Some(token)) = (&self.proof, &refused.withheld) else {
            return Err(NotSent::NotAsked);
        };
        proof.prove(token, url).await.map_err(NotSent::NotProved)?;
        self.held().apply(Some(proof));
        Ok(self.current().await)
    }

    /// Notes that Access has accepted the service token among these credentials after a proof.
    pub async fn token_accepted(&self, used: &CredentialSnapshot) {
        if let Some((proof, token)) = self.proof.as_ref().zip(used.credentials.service_token()) {
            proof.accepted(token).await;
            // Another process may have seen the token belong to another team.
            self.held().apply(Some(proof));
        }
    }

    /// Returns whether a host was proved, and Access has not accepted the token there yet.
    pub fn has_news_of_token(&self) -> bool {
        self.proof.as_ref().is_some_and(|proof| proof.has_pending())
    }

    /// Why the service token that is set was not sent with these credentials; none where none is set, or it was.
    pub fn not_sent(&self, used: &CredentialSnapshot) -> Option<NotSent> {
        if let Some(token) = &used.withheld {
            let failure = self.proof.as_ref().and_then(|proof| proof.failure(token));
            return Some(failure.map_or(NotSent::NotAsked, NotSent::NotProved));
        }
        self.held().found.unlisted.clone().map(NotSent::Unlisted)
    }

    /// Returns what to attach to the next request. What is about to expire is read again first; meanwhile other requests
    /// use what is still valid.
    pub async fn current(&self) -> CredentialSnapshot {
        let (current, runs_out, still_holds) = {
            let held = self.held();
            let runs_out = held.renewal.is_some_and(|renewal| renewal <= wall_clock());
            let still_holds = runs_out && held.found.expires.is_some_and(|expires| expires > wall_clock());
            (held.current.clone(), runs_out, still_holds)
        };
        if !runs_out || self.source.is_none() {
            return current;
        }
        // Rare, and large.
        Box::pin(self.renewed(current, still_holds)).await
    }

    /// Reads credentials again that run out. `still_holds` says whether the present ones can be used meanwhile.
    async fn renewed(&self, current: CredentialSnapshot, still_holds: bool) -> CredentialSnapshot {
        let proof = self.proof.as_deref();
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) if still_holds => return current,
            Err(_) => self.asking.lock().await,
        };
        if self.held().current.version == current.version && self.ask().await {
            let mut held = self.held();
            let renewed = held.found.in_order(&held.chosen).first().copied().cloned();
            let renewed = renewed.filter(|renewed| !held.was_refused(&sent(renewed, proof)));
            if let Some(renewed) = renewed.filter(|renewed| *renewed != held.chosen) {
                info!("the credentials were about to expire and have been replaced from their source");
                held.replace(renewed, proof);
            }
        }
        self.held().current.clone()
    }

    /// Returns other credentials than those that were rejected, if there are any.
    pub async fn another(&self, refused: &CredentialSnapshot, by: RejectedBy) -> Option<CredentialSnapshot> {
        let _asking = self.asking.lock().await;
        let current = self.held().current.clone();
        if current.version != refused.version {
            return Some(current);
        }
        let proof = self.proof.as_deref();
        self.held().refuse(&refused.credentials);
        self.ask().await;
        let mut held = self.held();
        let mut choice = held.found.in_order(&held.chosen);
        if by == RejectedBy::Server {
            choice.truncate(1);
        }
        let another =
            choice.into_iter().find(|credentials| !held.was_refused(&sent(credentials, proof))).cloned();
        let Some(another) = another else {
            // Neither is accepted: the first one is what the next request begins with, as if nothing had happened.
            if by == RejectedBy::Access && held.found.credentials != held.chosen {
                let first = held.found.credentials.clone();
                held.replace(first, proof);
            }
            return None;
        };
        match another.service_token() {
            Some(token) if held.found.next.as_ref() == Some(&another) => {
                info!(token = token.id(), "the service token was refused; the next one takes its place");
            }
            _ => info!("the credentials were rejected and have been replaced from their source"),
        }
        held.replace(another, proof);
        // What is new may be refused as well, and then be asked for again.
        held.pause = None;
        Some(held.current.clone())
    }

    /// Asks the source, unless it was asked a moment ago. Returns whether it was asked and has answered.
    async fn ask(&self) -> bool {
        let Some(source) = self.source.clone() else { return false };
        let begun = monotonic_clock();
        if self.held().pause.is_some_and(|pause| begun < pause) {
            return false;
        }
        // Files and commands take their time, and the conversation goes on meanwhile.
        let answer = tokio::task::spawn_blocking(move || source()).await;
        let now = monotonic_clock();
        let took = now.saturating_duration_since(begun);
        let mut held = self.held();
        let pause = took.saturating_mul(PAUSE_FACTOR).clamp(LEAST_PAUSE, MOST_PAUSE);
        held.pause = Some(now + pause);
        match answer {
            Ok(Ok(found)) => {
                held.renewal = found.expires.map(|expires| renewal(expires, wall_clock()));
                held.found = found;
                true
            }
            Ok(Err(reason)) => {
                warn!("the credentials could not be read again: {reason}");
                false
            }
            Err(_) => false,
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, ProviderState> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProviderState {
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

    fn replace(&mut self, credentials: Credentials, proof: Option<&AccessProof>) {
        self.current.version += 1;
        self.chosen = credentials;
        self.apply(proof);
    }

    /// Sends what may be sent now.
    fn apply(&mut self, proof: Option<&AccessProof>) {
        self.current = CredentialSnapshot::new(&self.chosen, self.current.version, proof);
    }
}

/// When a token that was just brought is asked for again: a minute before it runs out, or half-way to its end where it
/// holds for a shorter time, so that a source that has no better one is not asked before every request.
fn renewal(expires: SystemTime, now: SystemTime) -> SystemTime {
    let left = expires.duration_since(now).unwrap_or_default();
    let wait = left.saturating_sub(MARGIN).max(left / 2);
    // It is no later than the end itself.
    now.checked_add(wait).unwrap_or(expires)
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

    fn found(credentials: &str, next: Option<&str>) -> FoundCredentials {
        FoundCredentials {
            credentials: token(credentials),
            next: next.map(token),
            expires: None,
            described: Vec::new(),
            unlisted: None,
        }
    }

    /// A source that has these one after the other, and the last one for ever.
    fn source(answers: Vec<Result<FoundCredentials, String>>) -> (CredentialSource, Arc<Mutex<usize>>) {
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
    async fn rejected_credentials_are_read_again_once_for_all_requests() {
        let (source, asked) = source(vec![Ok(found("new", None))]);
        let provider = CredentialProvider::new(found("old", None), Some(source));
        let refused = provider.current().await;
        assert_eq!(*refused.credentials, token("old"));
        for _ in 0..10 {
            let another = provider.another(&refused, RejectedBy::Access).await.expect("another");
            assert_eq!(*another.credentials, token("new"));
        }
        assert_eq!(*asked.lock().expect("no panic"), 1);
    }

    #[tokio::test]
    async fn service_token_that_needs_proof_is_withheld_without_one() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let token = ServiceToken::new(&Secret::new("1.access"), &Secret::new("marked")).expect("a token");
        for (rule, is_sent) in [
            (PairRule::Written, true),
            (PairRule::Listed, true),
            (PairRule::Loopback, true),
            (PairRule::Always, true),
            (PairRule::Proof, false),
        ] {
            let credentials = Credentials::new(&url, vec![Scheme::CfAccess(token.clone().by(rule))]);
            let (source, _) =
                source(vec![Ok(FoundCredentials { credentials: credentials.clone(), ..found("x", None) })]);
            let provider =
                CredentialProvider::new(FoundCredentials { credentials, ..found("x", None) }, Some(source));
            let used = provider.current().await;
            assert_eq!(used.credentials.service_token().is_some(), is_sent, "{rule:?}");
            assert_eq!(used.withheld.is_some(), !is_sent, "{rule:?}");
            assert_eq!(provider.not_sent(&used), (!is_sent).then_some(NotSent::NotAsked), "{rule:?}");
            let mut headers = http::HeaderMap::new();
            used.credentials.decorate(&http::Method::POST, &url, &mut headers);
            assert_eq!(headers.len(), if is_sent { 2 } else { 0 }, "{rule:?}");
            assert!(provider.prove(&used, &url).await.is_err(), "{rule:?}");
            // What is read again is no way around it.
            assert!(provider.another(&used, RejectedBy::Access).await.is_none(), "{rule:?}");
        }
    }

    #[tokio::test]
    async fn unchanged_source_is_not_retried_and_rarely_read() {
        let (source, asked) = source(vec![Ok(found("old", None)), Err("away".to_owned())]);
        let provider = CredentialProvider::new(found("old", None), Some(source));
        let refused = provider.current().await;
        for _ in 0..10 {
            assert!(provider.another(&refused, RejectedBy::Access).await.is_none());
        }
        assert_eq!(*asked.lock().expect("no panic"), 1);
    }

    #[tokio::test]
    async fn next_token_takes_over_once() {
        let provider = CredentialProvider::new(found("old", Some("next")), None);
        let first = provider.current().await;
        let second = provider.another(&first, RejectedBy::Access).await.expect("the next one");
        assert_eq!(*second.credentials, token("next"));
        assert_eq!(*provider.current().await.credentials, token("next"), "it is kept");
        assert!(provider.another(&second, RejectedBy::Access).await.is_none());
        let same = CredentialProvider::new(found("old", Some("old")), None);
        assert!(
            same.another(&same.current().await, RejectedBy::Access).await.is_none(),
            "the same is not another"
        );
    }

    #[tokio::test]
    async fn a_source_with_two_dead_tokens_is_no_circle() {
        let (source, _) = source(vec![Ok(found("old", Some("next")))]);
        let provider = CredentialProvider::new(found("old", Some("next")), Some(source));
        let first = provider.current().await;
        let second = provider.another(&first, RejectedBy::Access).await.expect("the next one");
        assert_eq!(*second.credentials, token("next"));
        assert!(provider.another(&second, RejectedBy::Access).await.is_none());
        assert!(provider.another(&provider.current().await, RejectedBy::Access).await.is_none());
    }

    #[tokio::test]
    async fn token_is_renewed_before_it_expires() {
        let (source, asked) = source(vec![Ok(found("new", None))]);
        let soon = FoundCredentials { expires: Some(wall_clock() + MARGIN / 2), ..found("old", None) };
        let provider = CredentialProvider::new(soon, Some(source));
        assert_eq!(*provider.current().await.credentials, token("new"));
        provider.current().await;
        assert_eq!(*asked.lock().expect("no panic"), 1);
    }

    #[tokio::test]
    async fn invalid_next_token_leaves_first_in_place() {
        let provider = CredentialProvider::new(found("old", Some("next")), None);
        let first = provider.current().await;
        let second = provider.another(&first, RejectedBy::Access).await.expect("the next one");
        assert!(provider.another(&second, RejectedBy::Access).await.is_none());
        assert_eq!(*provider.current().await.credentials, token("old"), "a passing refusal is survived");
    }

    #[tokio::test]
    async fn servers_own_refusal_does_not_reject_service_token() {
        let provider = CredentialProvider::new(found("old", Some("next")), None);
        let first = provider.current().await;
        assert!(provider.another(&first, RejectedBy::Server).await.is_none());
        assert_eq!(*provider.current().await.credentials, token("old"));
        let (source, _) = source(vec![Ok(found("new", Some("next")))]);
        let provider = CredentialProvider::new(found("old", Some("next")), Some(source));
        let second = provider.another(&provider.current().await, RejectedBy::Server).await.expect("another");
        assert_eq!(*second.credentials, token("new"), "what is new is tried");
        let provider = CredentialProvider::new(found("old", Some("next")), None);
        let next =
            provider.another(&provider.current().await, RejectedBy::Access).await.expect("the next one");
        assert!(provider.another(&next, RejectedBy::Server).await.is_none());
        assert_eq!(*provider.current().await.credentials, token("next"), "and the switch is kept");
    }

    #[tokio::test]
    async fn a_renewal_keeps_the_token_that_took_over() {
        let soon =
            || FoundCredentials { expires: Some(wall_clock() + MARGIN / 2), ..found("old", Some("next")) };
        let (source, asked) = source(vec![Ok(soon())]);
        let provider = CredentialProvider::new(soon(), Some(source));
        let first = provider.current().await;
        assert_eq!(*first.credentials, token("old"));
        provider.another(&first, RejectedBy::Access).await.expect("the next one");
        let before = *asked.lock().expect("no panic");
        provider.held().renewal = Some(SystemTime::UNIX_EPOCH);
        assert_eq!(*provider.current().await.credentials, token("next"));
        assert_eq!(*asked.lock().expect("no panic"), before + 1);
    }

    #[test]
    fn token_is_renewed_a_minute_before_expiry_or_halfway() {
        let now = wall_clock();
        for (left, expected) in [(3_600, 3_540), (120, 60), (60, 30), (2, 1), (0, 0)] {
            let (left, expected) = (Duration::from_secs(left), Duration::from_secs(expected));
            assert_eq!(renewal(now + left, now), now + expected, "{left:?}");
        }
        assert_eq!(renewal(now - MARGIN, now), now);
    }

    #[tokio::test]
    async fn a_renewal_that_brings_nothing_new_switches_no_token() {
        let soon =
            || FoundCredentials { expires: Some(wall_clock() + MARGIN / 2), ..found("old", Some("next")) };
        let (source, _) = source(vec![Ok(soon())]);
        let provider = CredentialProvider::new(soon(), Some(source));
        let first = provider.current().await;
        assert!(provider.another(&first, RejectedBy::Server).await.is_none());
        provider.held().renewal = Some(SystemTime::UNIX_EPOCH);
        provider.held().pause = None;
        assert_eq!(*provider.current().await.credentials, token("old"));
    }

    #[tokio::test]
    async fn valid_token_is_used_while_source_is_slow() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let source: CredentialSource = Arc::new(move || {
            let _ = wait.lock().expect("no panic").recv();
            Ok(found("new", None))
        });
        let soon = FoundCredentials { expires: Some(wall_clock() + MARGIN / 2), ..found("old", None) };
        let provider = Arc::new(CredentialProvider::new(soon, Some(source)));
        let mut asking = tokio::task::JoinSet::new();
        let asks = Arc::clone(&provider);
        asking.spawn(async move { asks.current().await });
        tokio::task::yield_now().await;
        assert_eq!(*provider.current().await.credentials, token("old"), "no request waits for it");
        release.send(()).expect("waiting");
        let renewed = asking.join_next().await.expect("a task").expect("no panic");
        assert_eq!(*renewed.credentials, token("new"));
    }
}
