//! What one process knows of the sign-in at one server: the token in use, what failed last, what could not be saved.
//!
//! Deliberately not here: reading and changing the stored sign-in (`saving`), and obtaining tokens (`flows`).

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::auth::Credentials;
use crate::http::Http;
use crate::oauth::bearer::{Bearer, TokenOrigin};
use crate::oauth::client::OAuthClient;
use crate::oauth::clock::monotonic_clock;
use crate::oauth::discovery::DiscoveredServer;
use crate::oauth::dpop::DpopServers;
use crate::oauth::progress::SignInProgress;
use crate::oauth::saving::Unsaved;
use crate::oauth::settings::SignInSettings;
use crate::oauth::sign_in_error::SignInError;
use crate::oauth::store::{FlowLock, PendingSignIn, Store, StoredSignIn, Tokens, off_loop};

/// How long after a failure the user is not asked to sign in again.
pub(super) const PAUSE: Duration = Duration::from_secs(30);
/// The same for the client credentials grant, which asks no user.
const SHORT_PAUSE: Duration = Duration::from_secs(3);
/// How far apart processes start to sign in that mean the same, in seconds.
pub(super) const AT_ONCE: u64 = 3;

pub(super) struct SignInState {
    pub(super) settings: SignInSettings,
    /// The command with which the user signs in by hand.
    pub(super) login: String,
    pub(super) http: Arc<Http>,
    pub(super) store: Store,
    pub(super) held: Mutex<LiveState>,
    /// What the servers have said about proofs.
    pub(super) dpop: DpopServers,
    /// One at a time exchanges tokens.
    pub(super) renewing: tokio::sync::Mutex<()>,
    /// Read while tokens are on their way.
    pub(super) asking: tokio::sync::RwLock<()>,
    /// Set once the stored sign-in was read for the first time.
    pub(super) loaded: tokio::sync::OnceCell<()>,
}

#[derive(Default)]
pub(super) struct LiveState {
    pub(super) bearer: Option<Arc<Bearer>>,
    /// What this process knows alone, for it could not be saved.
    pub(super) unsaved: Option<Unsaved>,
    /// The lock under which tokens are changed just now.
    pub(super) lock: Weak<File>,
    /// The lock that is waited for, and who has it.
    pub(super) waits_for: Option<String>,
    /// The lock that could not be had, and when.
    pub(super) locked_out: Option<(Instant, SignInError)>,
    /// The credentials with the token added, and what they were made of.
    pub(super) joined: Option<(Arc<Credentials>, Arc<Bearer>, Arc<Credentials>)>,
    pub(super) flow: Option<watch::Receiver<SignInProgress>>,
    /// The authorization server that gave the last token, where nothing is stored.
    pub(super) found: Option<DiscoveredServer>,
    /// Whether the server accepts no token that is bound to a key, where nothing is stored.
    pub(super) refuses_dpop: bool,
    /// Whether it was said that there is no ID token.
    pub(super) lacks_id_token: bool,
    /// The scopes that calls were refused for want of, and that no token was requested with since.
    pub(super) missing_scopes: Option<String>,
    /// The access token whose exchange was refused: a new sign-in takes its place. It stays in the file until then.
    pub(super) rejected: Option<String>,
    /// What failed last.
    pub(super) failed: Option<(Instant, SignInError)>,
    /// Until when tokens are not exchanged ahead of their end, after that failed.
    pub(super) pause: Option<Instant>,
}

impl LiveState {
    /// What failed so lately that it would fail again.
    pub(super) fn failed_within(&self, pause: Duration) -> Option<SignInError> {
        let (at, failure) = self.failed.as_ref()?;
        (monotonic_clock().saturating_duration_since(*at) < pause).then(|| failure.clone())
    }
}

impl SignInState {
    pub(super) fn held(&self) -> std::sync::MutexGuard<'_, LiveState> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long after a failure it is not tried again.
    pub(super) fn pause(&self) -> Duration {
        if self.settings.grant.asks_user() { PAUSE } else { SHORT_PAUSE }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.held().pause.is_some_and(|pause| monotonic_clock() < pause)
    }

    /// Uses the token that is kept, if it rests in a file.
    pub(super) fn begin(&self) {
        if self.store.token_store().is_file() {
            self.use_stored(self.store.read());
        }
    }

    /// Uses the token that is kept elsewhere, which takes its time, before the first request. Tokens that are in a file still
    /// move where they are to rest.
    pub(super) async fn load(&self) {
        if self.store.token_store().is_file() {
            return;
        }
        let load = async || {
            let store = self.store.clone();
            let (read, is_to_move) = off_loop(move || (store.read(), store.is_to_move())).await;
            if is_to_move && let Err(failure) = self.change(|_| {}).await {
                warn!("the stored sign-in stays in a file: {failure}");
            }
            self.use_stored(read);
        };
        self.loaded.get_or_init(load).await;
    }

    fn use_stored(&self, read: std::io::Result<StoredSignIn>) {
        let stored = match read {
            Ok(stored) => stored,
            Err(error) => {
                warn!("the kept sign-in cannot be read: {error}");
                return;
            }
        };
        if stored.is_mcp_remote_import() {
            info!("a sign-in that mcp-remote has kept is used");
        }
        let mut held = self.held();
        let tokens = self.wanted_tokens(&stored);
        held.bearer =
            tokens.and_then(|tokens| self.bearer_for(tokens, TokenOrigin::Over, &mut held.lacks_id_token));
    }

    /// The token in use.
    pub(super) fn bearer(&self) -> Option<Arc<Bearer>> {
        self.held().bearer.clone()
    }

    /// Uses another token from now on.
    pub(super) fn adopt(&self, tokens: Tokens, origin: TokenOrigin) {
        self.scopes_requested(&tokens);
        let mut held = self.held();
        held.bearer = self.bearer_for(tokens, origin, &mut held.lacks_id_token);
        (held.failed, held.pause, held.rejected) = (None, None, None);
    }

    /// The header of a token. That it is not the one that was wanted is said once.
    pub(super) fn bearer_for(
        &self,
        tokens: Tokens,
        origin: TokenOrigin,
        is_said: &mut bool,
    ) -> Option<Arc<Bearer>> {
        if self.settings.uses_id_token && tokens.id_token.is_none() && !std::mem::replace(is_said, true) {
            warn!(
                "there is no ID token to send, the access token is sent instead: add the scope openid, with \
                 --static-oauth-client-metadata '{{\"scope\":\"openid …\"}}', and sign in again"
            );
        }
        Bearer::new(tokens, &self.settings, origin, &self.dpop.resource).map(Arc::new)
    }

    /// A client as it is stored: without a secret that the user wrote.
    pub(super) fn storable(&self, client: &OAuthClient) -> OAuthClient {
        match &self.settings.client {
            Some(_) => OAuthClient { client_secret: None, key: None, ..client.clone() },
            None => client.clone(),
        }
    }

    /// Notes what is under way, where another process can resume it.
    pub(super) async fn note(flow: &FlowLock, pending: Option<PendingSignIn>) {
        let flow = flow.shared();
        off_loop(move || flow.note(pending.as_ref())).await;
    }
}
