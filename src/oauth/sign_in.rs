//! One sign-in for all requests that need a token. In all processes together the user signs in once, and one process
//! refreshes the tokens.
//!
//! The flow is linear code (`flows`) in a task that belongs to [`OAuth`], so that it continues when a request gives up
//! waiting. `remote` decides which refusals lead to a sign-in, with `diagnosis`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::auth::Credentials;
use crate::http::Http;
use crate::oauth::bearer::{Bearer, TokenOrigin};
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::clock::{monotonic_clock, seconds, wall_clock};
use crate::oauth::dpop::DpopServers;
use crate::oauth::enterprise;
use crate::oauth::flows::user_sign_in::{self, UserGrant};
use crate::oauth::flows::{client_credentials, token};
use crate::oauth::http::Boxed;
use crate::oauth::progress::{SignInProgress, defect, done};
use crate::oauth::settings::{Grant, Interaction, SignInSettings};
use crate::oauth::shutdown::SignInShutdown;
use crate::oauth::sign_in_error::{SignInError, place};
use crate::oauth::state::{AT_ONCE, PAUSE, SignInState};
use crate::oauth::store::lock::LockError;
use crate::oauth::store::{FailedSignIn, FlowLock, Store, Tokens, off_loop};

/// The interval at which a token of another process is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// Signs in at one server, and stores the tokens.
pub struct OAuth {
    pub(super) state: Arc<SignInState>,
    pub(super) flows: Arc<Mutex<JoinSet<()>>>,
    /// The sign-in at the company's identity provider, where that vouches for the user.
    pub(super) provider: Option<Arc<OAuth>>,
    /// Whether a failed sign-in is logged here, and not reported by the caller.
    logs_failures: bool,
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OAuth").finish_non_exhaustive()
    }
}

impl OAuth {
    /// Signs in as `settings` say, over `http`. What is kept is read at once, before anything waits for it.
    pub fn new(settings: SignInSettings, http: Arc<Http>) -> OAuth {
        let store = Store::of(settings.folder.clone(), &settings.url, settings.identity.distinction())
            .with_mcp_remote_import(settings.mcp_remote_import.clone())
            .with_token_store(settings.token_store.clone(), settings.identity.profile());
        let provider = enterprise::provider(&settings, &http);
        OAuth { provider, ..OAuth::with_store(settings, http, store) }
    }

    /// The same for the sign-in of `store`, without the identity provider.
    pub(super) fn with_store(settings: SignInSettings, http: Arc<Http>, store: Store) -> OAuth {
        let state = Arc::new(SignInState {
            login: settings.identity.command("login"),
            settings,
            http,
            store,
            held: Mutex::default(),
            dpop: DpopServers::default(),
            renewing: tokio::sync::Mutex::new(()),
            asking: tokio::sync::RwLock::new(()),
            loaded: tokio::sync::OnceCell::new(),
        });
        state.begin();
        OAuth { state, flows: Arc::default(), provider: None, logs_failures: true }
    }

    /// The same for a caller that reports a failed sign-in itself, so that it is not logged as well.
    pub fn without_failure_log(self) -> OAuth {
        OAuth { logs_failures: false, ..self }
    }

    /// What the program waits for before it ends.
    pub fn shutdown(&self) -> SignInShutdown {
        let provider = self.provider.as_deref().map(OAuth::shutdown);
        SignInShutdown::new(&self.state, &self.flows, provider)
    }

    /// The settings of the sign-in.
    pub fn settings(&self) -> &SignInSettings {
        &self.state.settings
    }

    /// The command with which the user signs in by hand, with the options that say whose sign-in it is.
    pub fn login(&self) -> &str {
        &self.state.login
    }

    /// Adds the token to what else proves who asks. One that is about to run out is exchanged first; meanwhile other
    /// requests use it.
    pub async fn join(&self, credentials: &Arc<Credentials>) -> (Arc<Credentials>, Option<Arc<Bearer>>) {
        self.state.load().await;
        self.state.save_if_due().await;
        let Some(bearer) = self.state.bearer() else { return (Arc::clone(credentials), None) };
        let now = seconds(wall_clock());
        if bearer.renewal().is_some_and(|renewal| renewal <= now) && !self.state.is_paused() {
            let still_holds = bearer.expires.is_some_and(|expires| expires > now);
            if !self.state.settings.grant.asks_user() {
                self.ask_again(&bearer, credentials, still_holds).await;
            } else if !still_holds || self.state.renewing.try_lock().is_ok() {
                match self.renew(&bearer, credentials, None).await {
                    Ok(true) => {}
                    // The token may still be accepted; the server decides.
                    Ok(false) => self.state.held().pause = Some(monotonic_clock() + PAUSE),
                    Err(failure) => {
                        warn!("the token could not be renewed ahead of its end: {failure}");
                        self.state.held().pause = Some(monotonic_clock() + PAUSE);
                    }
                }
            }
        }
        let Some(bearer) = self.state.bearer() else { return (Arc::clone(credentials), None) };
        let mut held = self.state.held();
        let joined = match &held.joined {
            Some((of, with, joined)) if Arc::ptr_eq(of, credentials) && Arc::ptr_eq(with, &bearer) => {
                Arc::clone(joined)
            }
            _ => {
                let joined = Arc::new(credentials.with(bearer.scheme.clone()));
                held.joined = Some((Arc::clone(credentials), Arc::clone(&bearer), Arc::clone(&joined)));
                joined
            }
        };
        (joined, Some(bearer))
    }

    /// Requests another token by the client credentials grant. While the old one is valid, no request waits for it.
    async fn ask_again(&self, bearer: &Arc<Bearer>, credentials: &Arc<Credentials>, still_holds: bool) {
        let old = Some(bearer.tokens.access_token.as_str());
        let flow = self.join_flow(&SignInChallenge::default(), credentials, old, None);
        let Ok(flow) = flow else { return };
        if !still_holds {
            // Why it failed was said, and the refusal that follows says it to the client.
            let _ = done(flow).await;
        }
    }

    /// Obtains a token that may be accepted where `refused` was not, or where none was sent. Waits for the user for `patience`;
    /// the sign-in continues after that.
    ///
    /// # Errors
    /// Why there is no token (yet).
    pub async fn answer(
        &self,
        challenge: &SignInChallenge,
        credentials: &Arc<Credentials>,
        refused: Option<&Arc<Bearer>>,
        asking: Interaction,
        patience: Duration,
    ) -> Result<(), SignInError> {
        let state = &self.state;
        let obtained = self.obtain(challenge, credentials, refused, asking);
        let waited = tokio::time::timeout(patience, obtained).await;
        waited.unwrap_or_else(|_| {
            let flow = state.held().flow.clone();
            let step = flow.map(|flow| flow.borrow().clone());
            let place = place(&state.settings.url);
            Err(match step {
                Some(SignInProgress::Waiting(action)) => {
                    let advice = action.advice();
                    let advice =
                        format!("{advice}. If the page shows an error, get another one: {}", state.login);
                    SignInError::Waiting { place, action, advice }
                }
                Some(SignInProgress::Elsewhere(holder)) => SignInError::Slow { place, holder: Some(holder) },
                Some(SignInProgress::Preparing | SignInProgress::Done(_)) | None => {
                    SignInError::Slow { place, holder: state.held().waits_for.clone() }
                }
            })
        })
    }

    async fn obtain(
        &self,
        challenge: &SignInChallenge,
        credentials: &Arc<Credentials>,
        refused: Option<&Arc<Bearer>>,
        asking: Interaction,
    ) -> Result<(), SignInError> {
        let state = &self.state;
        let used = refused.map(|bearer| bearer.tokens.access_token.as_str());
        let is_another = |bearer: &Arc<Bearer>| used != Some(bearer.tokens.access_token.as_str());
        if state.bearer().as_ref().is_some_and(is_another) {
            return Ok(());
        }
        let bearer_challenge = challenge.bearer_challenge.as_ref();
        let more =
            bearer_challenge.filter(|bearer_challenge| bearer_challenge.wants_more() && refused.is_some());
        let mut wanted = bearer_challenge
            .and_then(|bearer_challenge| bearer_challenge.scope.as_deref().map(token::without_secrets));
        match (more, refused) {
            (Some(_), Some(bearer)) => {
                let missing = match wanted.filter(|scope| !scope.trim().is_empty()) {
                    Some(scope) => Some(scope),
                    None => state.offered_scopes(challenge, credentials).await,
                };
                wanted = Some(state.step_up(bearer, missing.as_deref())?);
            }
            (None, Some(bearer)) => match bearer.origin() {
                TokenOrigin::SignedIn if asking == Interaction::Nobody => {
                    return Err(SignInError::NotOffered);
                }
                TokenOrigin::SignedIn if bearer.is_dpop_bound() && state.knows_bearer_only(challenge) => {
                    state.note_bearer_only().await?;
                }
                TokenOrigin::SignedIn => return Err(state.new_token_rejected(bearer)),
                TokenOrigin::Renewed => {}
                TokenOrigin::Over => {
                    if let Some(failure) = state.held().failed_within(state.pause()) {
                        return Err(failure);
                    }
                    if state.settings.grant.asks_user()
                        && self.renew(bearer, credentials, Some(challenge)).await?
                    {
                        return Ok(());
                    }
                }
            },
            (_, None) => {}
        }
        let may_ask = state.settings.asks && asking == Interaction::User;
        if !may_ask && state.settings.grant.asks_user() {
            return Err(SignInError::NotOffered);
        }
        done(self.join_flow(challenge, credentials, used, wanted)?).await
    }

    /// The sign-in that is under way, or a new one.
    pub(super) fn join_flow(
        &self,
        challenge: &SignInChallenge,
        credentials: &Arc<Credentials>,
        refused: Option<&str>,
        wanted: Option<String>,
    ) -> Result<watch::Receiver<SignInProgress>, SignInError> {
        let mut held = self.state.held();
        if let Some(flow) = &held.flow
            && !matches!(&*flow.borrow(), SignInProgress::Done(_))
            && flow.has_changed().is_ok()
        {
            return Ok(flow.clone());
        }
        if let Some(failure) = held.failed_within(self.state.pause()) {
            return Err(failure);
        }
        let (sender, flow) = watch::channel(SignInProgress::Preparing);
        held.flow = Some(flow.clone());
        drop(held);
        let (state, challenge, credentials) =
            (Arc::clone(&self.state), challenge.clone(), Arc::clone(credentials));
        let (refused, provider) = (refused.map(str::to_owned), self.provider.clone());
        let logs_failures = self.logs_failures;
        self.spawn(Box::pin(async move {
            let (refused, wanted) = (refused.as_deref(), wanted.as_deref());
            let signed_in = match &provider {
                Some(provider) => {
                    let tokens = (refused, wanted);
                    let sign_in =
                        enterprise::sign_in(&state, provider, &challenge, &credentials, tokens, &sender);
                    Box::pin(sign_in).await
                }
                None => state.sign_in(&challenge, &credentials, refused, wanted, &sender).await,
            };
            if let Err(failure) = &signed_in {
                match failure {
                    SignInError::NotOffered => debug!("{failure}"),
                    _ if !logs_failures => debug!("the sign-in failed"),
                    _ => warn!(advice = failure.advice(), "{failure}"),
                }
                let failed = Some((monotonic_clock(), failure.clone()));
                {
                    let mut held = state.held();
                    (held.failed, held.missing_scopes) = (failed, None);
                }
                state.restore_rejected().await;
            }
            let _ = sender.send(SignInProgress::Done(signed_in));
        }));
        Ok(flow)
    }

    /// Refreshes a token, or takes the one that another process has obtained. Returns false if the user has to sign in. A refresh
    /// continues when the caller gives up: the old refresh token may be invalid already.
    async fn renew(
        &self,
        used: &Arc<Bearer>,
        credentials: &Arc<Credentials>,
        challenge: Option<&SignInChallenge>,
    ) -> Result<bool, SignInError> {
        let (state, used, credentials) = (Arc::clone(&self.state), Arc::clone(used), Arc::clone(credentials));
        let challenge = challenge.cloned();
        let (sender, renewed) = oneshot::channel();
        let provider = self.provider.clone();
        self.spawn(Box::pin(async move {
            let challenge = challenge.as_ref();
            let _ = sender.send(match &provider {
                Some(provider) => {
                    Box::pin(enterprise::renew(&state, provider, &used, &credentials, challenge)).await
                }
                None => state.refresh_token_once(&used, &credentials, challenge).await,
            });
        }));
        renewed.await.unwrap_or_else(|_| Err(defect()))
    }

    /// Starts a task that continues when its callers give up.
    fn spawn(&self, task: Boxed<'static, ()>) {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        while flows.try_join_next().is_some() {}
        flows.spawn(task);
    }
}

impl SignInState {
    /// The error for a token that the server rejected although it was obtained a moment ago.
    fn new_token_rejected(&self, bearer: &Bearer) -> SignInError {
        let place = place(&self.settings.url);
        let how = match self.settings.grant.asks_user() {
            true => "that one has just signed in for",
            false => "that was given for it a moment ago",
        };
        let sentence = format!("{place} does not accept the token {how}");
        let advice = match bearer.is_dpop_bound() {
            true => "look into the server's log; if it accepts no token that is bound to a key: --dpop never",
            false => "look into the server's log; perhaps it expects a token for another resource",
        };
        let failure = SignInError::failed(sentence, advice);
        self.held().failed = Some((monotonic_clock(), failure.clone()));
        // Later it is a token like any other.
        bearer.accepted();
        failure
    }

    /// Signs the user in, here or in another process.
    async fn sign_in(
        &self,
        challenge: &SignInChallenge,
        credentials: &Credentials,
        refused: Option<&str>,
        wanted: Option<&str>,
        progress: &watch::Sender<SignInProgress>,
    ) -> Result<(), SignInError> {
        let began = seconds(wall_clock());
        let Some(mut flow) = self.lock_flow(refused, progress).await? else { return Ok(()) };
        let place = place(&self.settings.url);
        // A sign-in that has just failed in another process is not repeated by each process that waited for it.
        let now = seconds(wall_clock());
        let is_news = |failed: &FailedSignIn| failed.at <= now && began <= failed.at.saturating_add(AT_ONCE);
        let lock = flow.shared();
        if let Some(failed) = off_loop(move || lock.failed()).await.filter(is_news) {
            return Err(failed.kind.elsewhere(&place, &self.login));
        }
        let ask_user = async |grant, flow: &mut FlowLock| {
            user_sign_in::sign_in(self, grant, challenge, credentials, wanted, flow, progress).await
        };
        let signed_in = match self.settings.grant {
            Grant::Page => ask_user(UserGrant::Page, &mut flow).await,
            Grant::Device => ask_user(UserGrant::Device, &mut flow).await,
            // An identity provider takes its place (`enterprise`).
            Grant::Enterprise => Err(defect()),
            Grant::Client(_) | Grant::Workload(_) => {
                Box::pin(client_credentials::sign_in(self, challenge, credentials, wanted)).await
            }
        };
        if let Err(failure) = &signed_in
            && let Some(kind) = failure.kind()
        {
            let failed = FailedSignIn { at: seconds(wall_clock()), kind };
            let lock = flow.shared();
            off_loop(move || lock.note_failed(&failed)).await;
        }
        let tokens = signed_in?;
        self.adopt(tokens, TokenOrigin::SignedIn);
        Ok(())
    }

    /// Waits for the lock of the sign-in, and reports what the process that holds it waits for. None where that process has
    /// brought a token.
    async fn lock_flow(
        &self,
        refused: Option<&str>,
        progress: &watch::Sender<SignInProgress>,
    ) -> Result<Option<FlowLock>, SignInError> {
        let (mut shown, mut seen) = (None, None);
        loop {
            let store = self.store.clone();
            let (flow, revision) = off_loop(move || (store.try_flow(), store.revision())).await;
            // To read what rests outside of files takes its time, and is worth it when something was written or the process
            // that would have written is gone.
            let is_news =
                self.store.token_store().is_file() || flow.is_ok() || seen != Some(revision.clone());
            seen = Some(revision);
            if is_news && let Some((tokens, origin)) = self.brought(refused).await {
                debug!("another process has brought a token");
                self.adopt(tokens, origin);
                return Ok(None);
            }
            let held = match flow {
                Ok(flow) => return Ok(Some(flow)),
                Err(held @ LockError::Held { .. }) => held,
                Err(unusable) => {
                    let place = place(&self.settings.url);
                    return Err(unusable.to_error(&format!("signing in at {place} is not possible")));
                }
            };
            let store = self.store.clone();
            if let Some(pending) = off_loop(move || store.pending()).await {
                let action = pending.prompt.action();
                if shown.as_ref() != Some(&action) {
                    let code = action.code.as_deref().map(|code| format!(" with the code {code}"));
                    let code = code.unwrap_or_default();
                    warn!("another process waits for you to sign in: {}{code}", action.url);
                    shown = Some(action.clone());
                }
                let _ = progress.send(SignInProgress::Waiting(action));
            } else if shown.is_none() {
                let _ = progress.send(SignInProgress::Elsewhere(held.to_string()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A token in our own file that is not the rejected one and may be accepted: it has not expired, or can be refreshed.
    pub(super) async fn brought(&self, refused: Option<&str>) -> Option<(Tokens, TokenOrigin)> {
        let store = self.store.clone();
        let stored = off_loop(move || store.own()).await?;
        let rejected = self.held().rejected.clone();
        let refused = [refused, rejected.as_deref()];
        let tokens = self.wanted_tokens(&stored)?;
        if refused.contains(&Some(tokens.access_token.as_str())) {
            return None;
        }
        let bearer = Bearer::new(tokens.clone(), &self.settings, TokenOrigin::Over, &self.dpop.resource)?;
        let has_run_out = bearer.expires.is_some_and(|expires| expires <= seconds(wall_clock()));
        match (has_run_out, tokens.refresh_token.is_some()) {
            (false, _) => Some((tokens, TokenOrigin::SignedIn)),
            (true, true) => Some((tokens, TokenOrigin::Over)),
            (true, false) => None,
        }
    }
}
