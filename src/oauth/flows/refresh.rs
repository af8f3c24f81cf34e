//! Tokens are exchanged for others by one process, and the others take what it got.
//!
//! Deliberately not here: when an exchange is due (`super`).

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::auth::Credentials;
use crate::jwt;
use crate::oauth::bearer::Bearer;
use crate::oauth::bearer::TokenOrigin;
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::clock::monotonic_clock;
use crate::oauth::clock::seconds;
use crate::oauth::clock::wall_clock;
use crate::oauth::discovery;
use crate::oauth::discovery::Query;
use crate::oauth::flows::registration;
use crate::oauth::flows::token;
use crate::oauth::flows::token::GrantError;
use crate::oauth::http::OAuthHttp;
use crate::oauth::issuer;
use crate::oauth::sign_in_error::SignInError;
use crate::oauth::sign_in_error::place;
use crate::oauth::state::AT_ONCE;
use crate::oauth::state::SignInState;
use crate::oauth::store::{StoredSignIn, Tokens};

/// How long after a client was not known it is asked once more.
const CLIENT_PAUSE: Duration = Duration::from_millis(500);

impl SignInState {
    /// Exchanges a token for another, one process after the other, or takes the one that another process has brought.
    ///
    /// # Errors
    /// When nobody can tell.
    pub(in crate::oauth) async fn refresh_token_once(
        &self,
        used: &Arc<Bearer>,
        credentials: &Credentials,
        challenge: Option<&SignInChallenge>,
    ) -> Result<bool, SignInError> {
        let (began, began_at) = (monotonic_clock(), seconds(wall_clock()));
        let _one = self.renewing.lock().await;
        // Those who waited behind one that was locked out have waited long enough.
        if let Some((at, failure)) = &self.held().locked_out
            && *at >= began
        {
            return Err(failure.clone());
        }
        match self.bearer() {
            Some(bearer) if !Arc::ptr_eq(&bearer, used) => return Ok(true),
            Some(_) => {}
            // Somebody else has just heard that it cannot be exchanged.
            None => return Ok(false),
        }
        let place = place(&self.settings.url);
        let locked = self.lock(&format!("the token for {place} is not renewed")).await;
        let _lock = locked.inspect_err(|failure| {
            self.held().locked_out = Some((monotonic_clock(), failure.clone()));
        })?;
        let (mut stored, before) = self.current().await?;
        if stored.tokens.as_ref().is_some_and(|tokens| tokens.access_token != used.tokens.access_token) {
            let Some(tokens) = self.wanted_tokens(&stored) else { return Ok(false) };
            debug!("another process has brought a token");
            self.adopt(tokens, TokenOrigin::Over);
            return Ok(true);
        }
        let Some(tokens) = stored.tokens.clone() else {
            // Another process has heard that they cannot be exchanged, or the person has signed out.
            self.held().bearer = None;
            return Ok(false);
        };
        let is_news = |at: u64| at <= seconds(wall_clock()) && began_at <= at.saturating_add(AT_ONCE);
        if stored.refused_at.is_some_and(is_news) {
            // Another process has just asked in vain.
            self.reject(used);
            return Ok(false);
        }
        let http = OAuthHttp { http: &self.http, server: &self.settings.url, credentials };
        let nothing = SignInChallenge::default();
        if !self.complete(&http, &mut stored, challenge.unwrap_or(&nothing)).await? {
            return Ok(false);
        }
        let (Some(refresh), Some(authorization), Some(client)) =
            (&tokens.refresh_token, &stored.authorization, &stored.client)
        else {
            return Ok(false);
        };
        if let Some(challenge) = challenge.filter(|challenge| challenge.bearer_challenge.is_some())
            && !issuer::is_settled(&self.settings, authorization)
        {
            let issuers = discovery::issuers(&http, &self.settings.url, challenge).await;
            let is_ours = |issuer: &String| authorization.is_named(issuer);
            if issuers.is_some_and(|issuers| !issuers.is_empty() && !issuers.iter().any(is_ours)) {
                info!("the server names another authorization server than the one that was signed in at");
                return Ok(false);
            }
        }
        let client = match &self.settings.client {
            Some(written) if written.client_id == client.client_id => written,
            Some(_) => return Ok(false),
            None => client,
        };
        issuer::accept(&self.settings, &stored, authorization)?;
        let _asking = self.asking.read().await;
        let mut names_resource = self.settings.names_resource && !stored.omits_resource;
        let mut is_second = false;
        let refusal = loop {
            let mut grant = vec![("grant_type", "refresh_token"), ("refresh_token", refresh)];
            grant
                .extend(stored.resource.as_deref().filter(|_| names_resource).map(|name| ("resource", name)));
            grant.extend(tokens.scope.as_deref().map(|scope| ("scope", scope)));
            match token::send_grant(&http, authorization, client, &grant, wall_clock()).await {
                Ok(new) => {
                    let new = Tokens {
                        refresh_token: new.refresh_token.clone().or_else(|| tokens.refresh_token.clone()),
                        scope: new.scope.clone().or_else(|| tokens.scope.clone()),
                        id_token: new.id_token.clone().or_else(|| still_good(&tokens)),
                        requested: tokens.requested.clone(),
                        ..new
                    };
                    new.register_secrets();
                    stored.omits_resource = self.settings.names_resource && !names_resource;
                    (stored.tokens, stored.refused_at) = (Some(new.clone()), None);
                    self.keep(&stored, before).await;
                    self.adopt(new, TokenOrigin::Renewed);
                    debug!("the token was exchanged for another");
                    return Ok(true);
                }
                Err(GrantError::Otherwise(failure)) => return Err(failure),
                // The tokens were given for it, and stay bound to it.
                Err(GrantError::Said(refusal)) if names_resource && refusal.is_about_resource() => {
                    info!("the token is exchanged without the name of the server: {}", refusal.words());
                    names_resource = false;
                }
                // Some lose sight of a client for a moment, and nothing was spent.
                Err(GrantError::Said(refusal)) if refusal.is_about_client() && !is_second => {
                    info!("the client was not known when the token was exchanged: {}", refusal.words());
                    is_second = true;
                    tokio::time::sleep(CLIENT_PAUSE).await;
                }
                Err(GrantError::Said(refusal)) if refusal.is_final() => break refusal,
                Err(GrantError::Said(refusal)) => {
                    return Err(token::refused(authorization, &refusal).into_error());
                }
            }
        };
        let failure = token::refused(authorization, &refusal).into_error();
        let holds_still = used.expires.is_some_and(|expires| expires > seconds(wall_clock()));
        if challenge.is_none() && holds_still {
            warn!(advice = failure.advice(), "the sign-in at {place} cannot be renewed: {failure}");
            return Ok(false);
        }
        warn!(advice = failure.advice(), "the sign-in at {place} has come to its end: {failure}");
        if refusal.is_about_client() {
            let issuer = authorization.issuer.clone();
            stored.registrations.retain(|client| client.issuer != issuer);
        }
        // What could not be exchanged stays in the file until a sign-in has brought something better.
        stored.refused_at = Some(seconds(wall_clock()));
        self.keep(&stored, before).await;
        self.reject(used);
        Ok(false)
    }

    /// Uses tokens no more whose exchange was refused.
    fn reject(&self, used: &Bearer) {
        let mut held = self.held();
        (held.bearer, held.rejected) = (None, Some(used.tokens.access_token.clone()));
    }

    /// Uses them again where the sign-in that was to take their place has failed: the refusal may have been a mistake.
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

    /// Finds out where the tokens that mcp-remote has kept are exchanged for others. Tells whether that is where they came
    /// from; of other tokens it is known.
    ///
    /// # Errors
    /// When nobody can tell.
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
        // One that the person names is not among what was kept.
        stored.client = named.map(|client| self.storable(&client)).or_else(|| stored.client.take());
        stored.resource = self.settings.resource.clone().or(found.resource);
        stored.authorization = Some(found.authorization);
        Ok(true)
    }
}

/// The ID token, which need not come with an exchange (OpenID Connect Core, section 12.2), as long as it holds.
fn still_good(tokens: &Tokens) -> Option<String> {
    let holds = |token: &&String| jwt::expiry(token).is_none_or(|end| end > wall_clock());
    tokens.id_token.as_ref().filter(holds).cloned()
}
