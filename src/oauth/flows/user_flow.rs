//! What the flows that ask the user are given, and what they share: resumable sign-ins, and keeping the tokens.
//!
//! Deliberately not here: the order in which a sign-in goes (`user_sign_in`).

use tokio::sync::watch;
use tracing::info;

use crate::auth::dpop::DpopKey;
use crate::oauth::client::OAuthClient;
use crate::oauth::flows::token::GrantFailure;
use crate::oauth::http::OAuthHttp;
use crate::oauth::issuer;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::progress::SignInProgress;
use crate::oauth::sign_in_error::{foreign, place};
use crate::oauth::state::SignInState;
use crate::oauth::store::{FlowLock, PendingSignIn, StoredSignIn, Tokens, off_loop};

/// One sign-in, with all that both flows need.
pub(in crate::oauth) struct UserSignIn<'a> {
    pub(super) state: &'a SignInState,
    pub(super) http: OAuthHttp<'a>,
    pub(super) lock: &'a mut FlowLock,
    pub(super) progress: &'a watch::Sender<SignInProgress>,
}

/// The authorization server to ask, and what for.
pub(super) struct SignInTarget {
    pub(super) authorization: AuthorizationServer,
    pub(super) resource: String,
    pub(super) scope: Option<String>,
    /// The key that the tokens are to be bound to, if they are.
    pub(super) dpop_key: Option<DpopKey>,
}

/// What a sign-in that another process began came to.
pub(super) enum ResumedSignIn {
    /// Tokens.
    Done(Tokens),
    /// Nothing that stands in the way of a new one.
    Failed(GrantFailure),
    /// There is none.
    Nothing,
}

impl UserSignIn<'_> {
    /// Notes what is under way, for a process that resumes it: without secrets of the options, and without any that rest
    /// outside of files.
    pub(super) async fn note(&self, pending: &PendingSignIn) {
        let mut client = self.state.storable(&pending.client);
        client.client_secret = client.client_secret.filter(|_| self.state.store.token_store().is_file());
        SignInState::note(self.lock, Some(PendingSignIn { client, ..pending.clone() })).await;
    }
}

/// What a process that is gone has begun, if it is still what is wanted.
pub(super) async fn resumable(
    state: &SignInState,
    wanted: Option<&str>,
    lock: &FlowLock,
) -> Option<PendingSignIn> {
    let lock = lock.shared();
    let mut pending = off_loop(move || lock.pending()).await?;
    let covers =
        |word: &str| pending.prompt.scope().is_some_and(|scope| scope.split(' ').any(|other| other == word));
    if !wanted.is_none_or(|wanted| wanted.split(' ').all(covers)) {
        return None;
    }
    let stored = state.stored().await.ok()?;
    if !matches_settings(state, &stored, &pending)
        || !state.may_resume_binding(&stored, &pending)
        || issuer::accept(&state.settings, &stored, &pending.authorization).is_err()
    {
        return None;
    }
    let is_same = |client: &&OAuthClient| client.client_id == pending.client.client_id;
    if let Some(client) = &state.settings.client {
        pending.client.client_secret.clone_from(&client.client_secret);
        pending.client.key.clone_from(&client.key);
    } else if let Some(client) = stored.registrations.iter().find(is_same)
        && pending.client.client_secret.is_none()
    {
        pending.client.client_secret.clone_from(&client.client_secret);
    }
    Some(pending)
}

/// Returns whether a sign-in was begun with the client, resource and scope that the options name now.
fn matches_settings(state: &SignInState, stored: &StoredSignIn, pending: &PendingSignIn) -> bool {
    let settings = &state.settings;
    let id = &pending.client.client_id;
    let matches_settings = match (&settings.client, &settings.client_metadata_url) {
        (Some(client), _) => client.client_id == *id,
        (None, Some(url)) if url.as_str() == id => true,
        (None, _) => stored.registrations.iter().any(|client| client.client_id == *id),
    };
    matches_settings && settings.resource.as_deref().is_none_or(|resource| resource == pending.resource)
}

/// Stores the tokens of a sign-in.
pub(super) async fn keep(state: &SignInState, pending: &PendingSignIn, tokens: Tokens) -> Tokens {
    let tokens = Tokens { requested: pending.prompt.scope().map(str::to_owned), ..tokens };
    tokens.register_secrets();
    let client: OAuthClient = state.storable(&pending.client);
    state
        .record(|stored| {
            stored.resource = Some(pending.resource.clone());
            stored.authorization = Some(pending.authorization.clone());
            stored.client = Some(client);
            stored.tokens = Some(tokens.clone());
            (stored.omits_resource, stored.refused_at) = (false, None);
        })
        .await;
    info!("signed in at {} for {}", foreign(&pending.authorization.issuer), place(&state.settings.url));
    tokens
}
