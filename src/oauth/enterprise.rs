//! Enterprise-managed authorization: the user signs in once at the company's identity provider, which then vouches for the user
//! at the authorization server of each MCP server.
//!
//! The sign-in at the identity provider is an [`OAuth`] of its own, stored once for all servers. Deliberately not here: the two
//! requests by which its ID token becomes a server's token (`flows/identity_assertion`).

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{debug, info};

use crate::auth::Credentials;
use crate::http::Http;
use crate::jwt;
use crate::oauth::bearer::{Bearer, TokenOrigin};
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::clock::{seconds, wall_clock};
use crate::oauth::discovery::{self, Query};
use crate::oauth::flows::identity_assertion::{self, AssertionTarget};
use crate::oauth::flows::token::GrantFailure;
use crate::oauth::http::OAuthHttp;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::progress::{SignInProgress, defect};
use crate::oauth::settings::SignInSettings;
use crate::oauth::sign_in::OAuth;
use crate::oauth::sign_in_error::{FailureKind, SignInError, foreign};
use crate::oauth::state::SignInState;
use crate::oauth::workload_identity::TokenSource;
use crate::secret::Secret;

/// The scope of a sign-in that brings an ID token.
const OPENID: &str = "openid";
/// How long an ID token has to hold for the exchange, in seconds.
const MARGIN: u64 = 10;

/// An ID token of the identity provider.
struct UserIdentity {
    id_token: Secret,
    /// The access token that came with it, which tells one sign-in from the next.
    access_token: String,
    /// Whether there is no other at the moment: the user has just signed in, or another program gives it.
    is_new: bool,
    /// The metadata of the identity provider.
    provider: AuthorizationServer,
}

/// The sign-in at the identity provider of these settings.
pub(super) fn provider(settings: &SignInSettings, http: &Arc<Http>) -> Option<Arc<OAuth>> {
    let provider = settings.enterprise.as_deref()?;
    let provider =
        SignInSettings { asks: settings.asks, pasted: settings.pasted.clone(), ..provider.clone() };
    // The server's sign-in fails with it, and logs the error.
    let oauth = OAuth::new(provider, Arc::clone(http)).without_failure_log();
    // Without one the user signs in again: nothing else is ever sent.
    oauth.state.held().lacks_id_token = true;
    Some(Arc::new(oauth))
}

/// Obtains another token of the server than the one that was rejected, with the scopes that are wanted. The user signs in at
/// the identity provider if there is no other way.
pub(super) async fn sign_in(
    state: &SignInState,
    provider: &OAuth,
    challenge: &SignInChallenge,
    credentials: &Arc<Credentials>,
    (rejected, wanted): (Option<&str>, Option<&str>),
    progress: &watch::Sender<SignInProgress>,
) -> Result<(), SignInError> {
    if let Some((tokens, origin)) = state.brought(rejected).await {
        debug!("another process has brought a token");
        state.adopt(tokens, origin);
        return Ok(());
    }
    let target = identity_assertion::target(state, credentials, challenge, wanted).await?;
    let mut refused: Option<String> = None;
    let assertion = loop {
        let identity = provider.identity(credentials, refused.as_deref(), Some(progress)).await?;
        let Some(identity) = identity else { return Err(defect()) };
        match exchanged(provider, credentials, &target, &identity).await {
            Ok(assertion) => break assertion,
            // The sign-in there has ended: once more with another.
            Err(GrantFailure::InvalidGrant(reason)) if !identity.is_new => {
                info!("the identity provider does not accept its ID token any more: {reason}");
                refused = Some(identity.access_token);
            }
            Err(error) => return Err(error.into_error().of_kind(FailureKind::Token)),
        }
    };
    let tokens = identity_assertion::redeem(state, credentials, target, &assertion).await?;
    state.adopt(tokens, TokenOrigin::SignedIn);
    Ok(())
}

/// Obtains another token of the server without the user, or takes the one that another process has obtained. Returns false if
/// the user has to sign in.
pub(super) async fn renew(
    state: &SignInState,
    provider: &OAuth,
    used: &Arc<Bearer>,
    credentials: &Arc<Credentials>,
    challenge: Option<&SignInChallenge>,
) -> Result<bool, SignInError> {
    let _one = state.renewing.lock().await;
    match state.bearer() {
        Some(bearer) if !Arc::ptr_eq(&bearer, used) => return Ok(true),
        Some(_) => {}
        None => return Ok(false),
    }
    if let Some((tokens, _)) = state.brought(Some(&used.tokens.access_token)).await {
        debug!("another process has brought a token");
        state.adopt(tokens, TokenOrigin::Over);
        return Ok(true);
    }
    let Some(identity) = provider.identity(credentials, None, None).await? else { return Ok(false) };
    let unchallenged = SignInChallenge::default();
    let target =
        identity_assertion::target(state, credentials, challenge.unwrap_or(&unchallenged), None).await?;
    let assertion = match exchanged(provider, credentials, &target, &identity).await {
        Ok(assertion) => assertion,
        Err(GrantFailure::InvalidGrant(reason)) => {
            info!("the identity provider does not accept its ID token any more: {reason}");
            return Ok(false);
        }
        Err(error) => return Err(error.into_error()),
    };
    let tokens = identity_assertion::redeem(state, credentials, target, &assertion).await?;
    state.adopt(tokens, TokenOrigin::Renewed);
    Ok(true)
}

async fn exchanged(
    provider: &OAuth,
    credentials: &Credentials,
    target: &AssertionTarget,
    identity: &UserIdentity,
) -> Result<Secret, GrantFailure> {
    let id_token = identity.id_token.reveal();
    identity_assertion::exchange(&provider.state, &identity.provider, credentials, target, id_token).await
}

impl OAuth {
    /// An ID token of this identity provider, other than that of a sign-in that was refused. With `progress` the user signs in
    /// if there is no other way; without it there may be none.
    ///
    /// # Errors
    /// When the sign-in fails, or brings an ID token that is not this client's.
    async fn identity(
        &self,
        credentials: &Arc<Credentials>,
        refused: Option<&str>,
        progress: Option<&watch::Sender<SignInProgress>>,
    ) -> Result<Option<UserIdentity>, SignInError> {
        let state = &self.state;
        if let Some(source) = &state.settings.id_token {
            return self.given(source, credentials).await.map(Some);
        }
        let usable = |bearer: &Arc<Bearer>| refused != Some(bearer.tokens.access_token.as_str());
        let mut bearer = state.bearer().filter(usable);
        if bearer.as_ref().and_then(|bearer| id_token(bearer)).is_none() {
            let known = bearer.as_ref().map(|bearer| bearer.tokens.access_token.clone());
            if let Some((tokens, _)) = state.brought(refused.or(known.as_deref())).await {
                debug!("another process has signed in at the identity provider");
                state.adopt(tokens, TokenOrigin::Over);
                bearer = state.bearer();
            }
        }
        if let Some(expired) = bearer.as_ref().filter(|bearer| id_token(bearer).is_none()) {
            // The task of the server's sign-in continues when a request gives up, and this with it.
            state.refresh_token_once(expired, credentials, None).await?;
            bearer = state.bearer().filter(usable);
        }
        if let Some(identity) = self.checked(bearer.as_ref(), false).await? {
            return Ok(Some(identity));
        }
        let Some(progress) = progress else { return Ok(None) };
        let known = bearer.as_ref().map(|bearer| bearer.tokens.access_token.clone());
        let flow = self.join_flow(
            &SignInChallenge::default(),
            credentials,
            refused.or(known.as_deref()),
            Some(OPENID.to_owned()),
        )?;
        follow(flow, progress).await?;
        let identity = self.checked(state.bearer().as_ref(), true).await?;
        identity.map(Some).ok_or_else(|| {
            let provider = foreign(state.settings.url.as_str());
            SignInError::failed(
                format!("the identity provider {provider} gave no ID token that still holds"),
                "have the client there allowed the scope openid, or check this computer's clock",
            )
        })
    }

    /// The ID token that another program of the company gives.
    async fn given(
        &self,
        source: &TokenSource,
        credentials: &Arc<Credentials>,
    ) -> Result<UserIdentity, SignInError> {
        let (state, settings) = (&self.state, &self.state.settings);
        let http = OAuthHttp { http: &state.http, server: &settings.url, credentials };
        let known = state.held().found.clone();
        let found = match known {
            Some(found) => found,
            None => {
                let query = Query::new(settings, None);
                Box::pin(discovery::discover(&http, &query, &SignInChallenge::default())).await?
            }
        };
        let provider = found.authorization.clone();
        state.held().found = Some(found);
        let client = settings.client.as_ref().map_or("", |client| client.client_id.as_str());
        let (token, claims) = source.token(&http, client).await?;
        match mistaken(&claims, &provider, client) {
            Some(problem) => Err(SignInError::failed(
                format!("the ID token of --enterprise-id-token is {problem}"),
                "have it issued by the identity provider of --enterprise-idp, for the client of --enterprise-client-info",
            )),
            None => Ok(UserIdentity {
                id_token: Secret::new(token),
                access_token: String::new(),
                is_new: true,
                provider,
            }),
        }
    }

    /// The ID token of a sign-in, if it still holds and is meant for this client.
    async fn checked(
        &self,
        bearer: Option<&Arc<Bearer>>,
        is_new: bool,
    ) -> Result<Option<UserIdentity>, SignInError> {
        let Some((bearer, token)) = bearer.and_then(|bearer| Some((bearer, id_token(bearer)?))) else {
            return Ok(None);
        };
        let stored = self.state.stored().await?;
        let (Some(provider), Some(client)) = (stored.authorization, &self.state.settings.client) else {
            return Ok(None);
        };
        let claims = jwt::payload(token).unwrap_or_default();
        match mistaken(&claims, &provider, &client.client_id) {
            None => {
                let (id_token, access_token) = (Secret::new(token), bearer.tokens.access_token.clone());
                Ok(Some(UserIdentity { id_token, access_token, is_new, provider }))
            }
            // Another sign-in may bring the right one.
            Some(_) if !is_new => Ok(None),
            Some(problem) => Err(SignInError::failed(
                format!(
                    "the identity provider {} gave an ID token that is {problem}",
                    foreign(&provider.issuer)
                ),
                "do not continue; tell the identity provider's administrator, because sign-ins may have been mixed up",
            )),
        }
    }
}

/// What an ID token is that this identity provider has not issued to this client (OpenID Connect Core, section 3.1.3.7).
fn mistaken(claims: &str, provider: &AuthorizationServer, client: &str) -> Option<String> {
    let issuer = jwt::names(claims, "iss").concat();
    match () {
        () if !provider.is_named(&issuer) => Some(format!("of another issuer, {}", foreign(&issuer))),
        () if !jwt::names(claims, "aud").iter().any(|audience| audience == client) => {
            Some("for another client".to_owned())
        }
        () => None,
    }
}

/// The ID token of a sign-in that still holds.
fn id_token(bearer: &Bearer) -> Option<&str> {
    let soon = seconds(wall_clock()).saturating_add(MARGIN);
    let holds = bearer.expires.is_none_or(|expires| expires > soon);
    bearer.tokens.id_token.as_deref().filter(|_| holds)
}

/// Waits for the end of a sign-in at the identity provider, and reports meanwhile what that waits for.
async fn follow(
    mut flow: watch::Receiver<SignInProgress>,
    progress: &watch::Sender<SignInProgress>,
) -> Result<(), SignInError> {
    loop {
        let step = flow.borrow_and_update().clone();
        match step {
            SignInProgress::Done(result) => {
                let _ = progress.send(SignInProgress::Preparing);
                return result;
            }
            step => {
                let _ = progress.send(step);
            }
        }
        if flow.changed().await.is_err() {
            return Err(defect());
        }
    }
}
