//! The refresh of tokens (RFC 6749, section 6): one process sends it, and the others take the tokens that it got.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::auth::Credentials;
use crate::jwt;
use crate::oauth::bearer::Bearer;
use crate::oauth::bearer::TokenOrigin;
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::client::OAuthClient;
use crate::oauth::clock::monotonic_clock;
use crate::oauth::clock::seconds;
use crate::oauth::clock::wall_clock;
use crate::oauth::discovery;
use crate::oauth::discovery::Query;
use crate::oauth::flows::registration;
use crate::oauth::flows::token;
use crate::oauth::flows::token::TokenRequestError;
use crate::oauth::http::OAuthHttp;
use crate::oauth::http::error_response::ErrorResponse;
use crate::oauth::issuer;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::sign_in_error::SignInError;
use crate::oauth::sign_in_error::place;
use crate::oauth::state::AT_ONCE;
use crate::oauth::state::SignInState;
use crate::oauth::store::{StoredSignIn, Tokens};

/// The pause before the request is repeated for a client that the server did not know.
const CLIENT_PAUSE: Duration = Duration::from_millis(500);

/// The answer of the token endpoint to a refresh.
enum Refresh {
    /// Other tokens.
    Granted {
        tokens: Tokens,
        /// Whether they were asked for without the name of the server (RFC 8707).
        omits_resource: bool,
    },
    /// A rejection that is final.
    Rejected(ErrorResponse),
}

impl SignInState {
    /// Refreshes tokens, one process after the other, or takes those that another process has obtained. Returns whether there
    /// are other tokens now.
    ///
    /// # Errors
    /// When the refresh was neither granted nor rejected.
    pub(in crate::oauth) async fn refresh_token_once(
        &self,
        used: &Arc<Bearer>,
        credentials: &Credentials,
        challenge: Option<&SignInChallenge>,
    ) -> Result<bool, SignInError> {
        let (began, began_at) = (monotonic_clock(), seconds(wall_clock()));
        let _one = self.renewing.lock().await;
        // A call that waited behind one that got no lock has waited long enough.
        if let Some((at, failure)) = &self.held().locked_out
            && *at >= began
        {
            return Err(failure.clone());
        }
        match self.bearer() {
            Some(bearer) if !Arc::ptr_eq(&bearer, used) => return Ok(true),
            Some(_) => {}
            // Another call was told that the tokens cannot be refreshed.
            None => return Ok(false),
        }
        let place = place(&self.settings.url);
        let locked = self.lock(&format!("the token for {place} is not renewed")).await;
        let _lock = locked.inspect_err(|failure| {
            self.held().locked_out = Some((monotonic_clock(), failure.clone()));
        })?;
        let (mut stored, before) = self.current().await?;
        if let Some(is_refreshed) = self.settled_by_another_process(&stored, used, began_at) {
            return Ok(is_refreshed);
        }
        let http = OAuthHttp { http: &self.http, server: &self.settings.url, credentials };
        if !self.complete(&http, &mut stored, challenge.unwrap_or(&SignInChallenge::default())).await? {
            return Ok(false);
        }
        let _asking;
        let refresh = match self.refresh_request(&http, &stored, challenge).await? {
            None => return Ok(false),
            Some((tokens, authorization, client)) => {
                _asking = self.asking.read().await;
                self.request_refresh(&http, &stored, tokens, authorization, client).await?
            }
        };
        match refresh {
            Refresh::Granted { tokens, omits_resource } => {
                tokens.register_secrets();
                stored.omits_resource = omits_resource;
                (stored.tokens, stored.refused_at) = (Some(tokens.clone()), None);
                self.keep(&stored, before).await;
                self.adopt(tokens, TokenOrigin::Renewed);
                debug!("the tokens were refreshed");
                Ok(true)
            }
            Refresh::Rejected(_) if self.has_arrived_late(used, began_at).await => Ok(true),
            Refresh::Rejected(rejection) => {
                self.end_sign_in(stored, before, &rejection, used, challenge.is_none()).await;
                Ok(false)
            }
        }
    }

    /// Uses tokens that were stored outside of files while the refresh of others failed: by the command of a process that was
    /// killed, whose lock is free already, or on another computer. Returns whether there are any.
    async fn has_arrived_late(&self, used: &Arc<Bearer>, began_at: u64) -> bool {
        if self.store.token_store().is_file() {
            return false;
        }
        let Ok(stored) = self.stored().await else { return false };
        self.settled_by_another_process(&stored, used, began_at) == Some(true)
    }

    /// What another process did with the tokens since `began_at`: whether it obtained others. None where it did nothing.
    fn settled_by_another_process(
        &self,
        stored: &StoredSignIn,
        used: &Arc<Bearer>,
        began_at: u64,
    ) -> Option<bool> {
        let Some(tokens) = &stored.tokens else {
            // Another process was told that they cannot be refreshed, or the user has signed out.
            self.held().bearer = None;
            return Some(false);
        };
        if tokens.access_token != used.tokens.access_token {
            let Some(tokens) = self.wanted_tokens(stored) else { return Some(false) };
            debug!("another process has brought a token");
            self.adopt(tokens, TokenOrigin::Over);
            return Some(true);
        }
        let is_news = |at: u64| at <= seconds(wall_clock()) && began_at <= at.saturating_add(AT_ONCE);
        if stored.refused_at.is_some_and(is_news) {
            self.reject(used);
            return Some(false);
        }
        None
    }

    /// The tokens to refresh, and the authorization server and client to do it with; none where a refresh is not possible or
    /// not allowed.
    async fn refresh_request<'a>(
        &'a self,
        http: &OAuthHttp<'_>,
        stored: &'a StoredSignIn,
        challenge: Option<&SignInChallenge>,
    ) -> Result<Option<(&'a Tokens, &'a AuthorizationServer, &'a OAuthClient)>, SignInError> {
        let (Some(tokens), Some(authorization), Some(client)) =
            (&stored.tokens, &stored.authorization, &stored.client)
        else {
            return Ok(None);
        };
        if tokens.refresh_token.is_none() || self.names_another_issuer(http, authorization, challenge).await {
            return Ok(None);
        }
        let client = match &self.settings.client {
            Some(written) if written.client_id == client.client_id => written,
            Some(_) => return Ok(None),
            None => client,
        };
        issuer::accept(&self.settings, stored, authorization)?;
        Ok(Some((tokens, authorization, client)))
    }

    /// Returns whether the server, by the metadata that its challenge names, uses other authorization servers now.
    async fn names_another_issuer(
        &self,
        http: &OAuthHttp<'_>,
        authorization: &AuthorizationServer,
        challenge: Option<&SignInChallenge>,
    ) -> bool {
        let challenge = challenge.filter(|challenge| challenge.bearer_challenge.is_some());
        let Some(challenge) = challenge.filter(|_| !issuer::is_settled(&self.settings, authorization)) else {
            return false;
        };
        let issuers = discovery::issuers(http, &self.settings.url, challenge).await.unwrap_or_default();
        let is_another = !issuers.is_empty() && !issuers.iter().any(|issuer| authorization.is_named(issuer));
        if is_another {
            info!("the server names another authorization server than the one that was signed in at");
        }
        is_another
    }

    /// Asks the token endpoint: once more without the name of the server where it does not know that, and once more where it
    /// does not know the client.
    async fn request_refresh(
        &self,
        http: &OAuthHttp<'_>,
        stored: &StoredSignIn,
        tokens: &Tokens,
        authorization: &AuthorizationServer,
        client: &OAuthClient,
    ) -> Result<Refresh, SignInError> {
        let mut names_resource = self.settings.names_resource && !stored.omits_resource;
        let mut is_second = false;
        let binding = self.key_binding(tokens.dpop_key.as_ref());
        loop {
            let mut grant = vec![("grant_type", "refresh_token")];
            grant.extend(tokens.refresh_token.as_deref().map(|token| ("refresh_token", token)));
            grant
                .extend(stored.resource.as_deref().filter(|_| names_resource).map(|name| ("resource", name)));
            grant.extend(tokens.scope.as_deref().map(|scope| ("scope", scope)));
            let binding = binding.as_ref();
            match token::send_grant(http, authorization, client, &grant, wall_clock(), binding).await {
                Ok(new) => {
                    let tokens = Tokens {
                        refresh_token: new.refresh_token.clone().or_else(|| tokens.refresh_token.clone()),
                        scope: new.scope.clone().or_else(|| tokens.scope.clone()),
                        id_token: new.id_token.clone().or_else(|| still_good(tokens)),
                        requested: tokens.requested.clone(),
                        ..new
                    };
                    let omits_resource = self.settings.names_resource && !names_resource;
                    return Ok(Refresh::Granted { tokens, omits_resource });
                }
                Err(TokenRequestError::Failed(failure)) => return Err(failure),
                // The tokens were given for it, and stay bound to it.
                Err(TokenRequestError::Refused(refusal)) if names_resource && refusal.is_about_resource() => {
                    info!("the token is exchanged without the name of the server: {}", refusal.words());
                    names_resource = false;
                }
                // Some servers lose a client for a moment, and nothing was spent.
                Err(TokenRequestError::Refused(refusal)) if refusal.is_about_client() && !is_second => {
                    info!("the client was not known when the token was exchanged: {}", refusal.words());
                    is_second = true;
                    tokio::time::sleep(CLIENT_PAUSE).await;
                }
                Err(TokenRequestError::Refused(refusal))
                    if refusal.is_final() && !refusal.is_about_proof() =>
                {
                    return Ok(Refresh::Rejected(refusal));
                }
                Err(TokenRequestError::Refused(refusal)) => {
                    return Err(token::refused(authorization, &refusal).into_error());
                }
            }
        }
    }

    /// Ends a sign-in whose refresh token was rejected; one that is refreshed ahead of time only once its access token has
    /// expired.
    async fn end_sign_in(
        &self,
        mut stored: StoredSignIn,
        before: Option<String>,
        rejection: &ErrorResponse,
        used: &Bearer,
        is_ahead_of_time: bool,
    ) {
        let place = place(&self.settings.url);
        let Some(authorization) = &stored.authorization else { return };
        let failure = token::refused(authorization, rejection).into_error();
        let holds_still = used.expires.is_some_and(|expires| expires > seconds(wall_clock()));
        if is_ahead_of_time && holds_still {
            warn!(advice = failure.advice(), "the sign-in at {place} cannot be renewed: {failure}");
            return;
        }
        warn!(advice = failure.advice(), "the sign-in at {place} has come to its end: {failure}");
        if rejection.is_about_client() {
            let issuer = authorization.issuer.clone();
            stored.registrations.retain(|client| client.issuer != issuer);
        }
        // The tokens stay in the file until another sign-in replaces them.
        stored.refused_at = Some(seconds(wall_clock()));
        self.keep(&stored, before).await;
        self.reject(used);
    }

    /// Stops using tokens whose refresh was rejected.
    fn reject(&self, used: &Bearer) {
        let mut held = self.held();
        (held.bearer, held.rejected) = (None, Some(used.tokens.access_token.clone()));
    }

    /// Uses rejected tokens again after a sign-in that failed, because the rejection may have been a mistake.
    pub(in crate::oauth) async fn restore_rejected(&self) {
        if self.held().rejected.is_none() {
            return;
        }
        let tokens = self.stored().await.ok().and_then(|stored| self.wanted_tokens(&stored));
        let mut held = self.held();
        held.rejected = None;
        if held.bearer.is_none() {
            held.bearer = tokens
                .and_then(|tokens| self.bearer_for(tokens, TokenOrigin::Over, &mut held.lacks_id_token));
        }
    }

    /// Discovers the token endpoint for tokens that were imported from mcp-remote. Returns whether it belongs to the issuer
    /// that gave them; for other tokens that is known.
    ///
    /// # Errors
    /// When the discovery fails.
    pub(in crate::oauth) async fn complete(
        &self,
        http: &OAuthHttp<'_>,
        stored: &mut StoredSignIn,
        challenge: &SignInChallenge,
    ) -> Result<bool, SignInError> {
        let issuer = match &stored.authorization {
            Some(authorization) if stored.is_mcp_remote_import() => authorization.issuer.clone(),
            Some(_) | None => return Ok(true),
        };
        let query = Query::new(&self.settings, Some(&issuer));
        let discovered = Box::pin(discovery::discover(http, &query, challenge)).await;
        let found = match discovered {
            Ok(found) if found.authorization.is_named(&issuer) => found,
            Ok(_) | Err(SignInError::NotOffered) => {
                info!(
                    "the server names another authorization server than the one that mcp-remote signed in at"
                );
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        };
        let named = registration::named(&self.settings, &found.authorization);
        for client in stored.client.iter_mut().chain(&mut stored.registrations) {
            client.issuer.clone_from(&found.authorization.issuer);
        }
        // A client that the user names is not among the stored ones.
        stored.client = named.map(|client| self.storable(&client)).or_else(|| stored.client.take());
        stored.resource = self.settings.resource.clone().or(found.resource);
        stored.authorization = Some(found.authorization);
        Ok(true)
    }
}

/// The ID token if it has not expired; a refresh need not bring another (OpenID Connect Core, section 12.2).
fn still_good(tokens: &Tokens) -> Option<String> {
    let holds = |token: &&String| jwt::expiry(token).is_none_or(|end| end > wall_clock());
    tokens.id_token.as_ref().filter(holds).cloned()
}
