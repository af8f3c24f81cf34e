//! A token for the client itself, by its secret, its key, or the token of its platform (RFC 6749, section 4.4; RFC 7523): no
//! person is asked, and none waits.
//!
//! There is nothing that it is exchanged for later: when it runs out, another one is asked for in the same way. Deliberately
//! not here: how the client proves itself (`token`).

use tracing::info;

use crate::auth::Credentials;
use crate::http::is_loopback;
use crate::oauth::authorization_request::scope;
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::client::OAuthClient;
use crate::oauth::clock::wall_clock;
use crate::oauth::discovery;
use crate::oauth::discovery::{DiscoveredServer, Query};
use crate::oauth::flows::token::{self, GrantFailure, JWT_BEARER_GRANT};
use crate::oauth::http::OAuthHttp;
use crate::oauth::issuer;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::settings::{Grant, SignInSettings};
use crate::oauth::sign_in_error::FailureKind;
use crate::oauth::sign_in_error::{SignInError, foreign, place};
use crate::oauth::state::SignInState;
use crate::oauth::store::{StoredSignIn, Tokens};
use crate::secret::Secret;

/// The advice where the authorization server does not accept the platform's token.
const NOT_TRUSTED: &str = "have the authorization server trust the platform: the issuer, the subject and the audience of its token \
                           have to be configured there";

/// Requests a token, with the scopes that are wanted beyond those requested before.
pub(in crate::oauth) async fn sign_in(
    state: &SignInState,
    challenge: &SignInChallenge,
    credentials: &Credentials,
    wanted: Option<&str>,
) -> Result<Tokens, SignInError> {
    let settings = &state.settings;
    // The user has named the endpoint: an address of this computer is allowed.
    let server = settings.grant.endpoint().filter(|endpoint| is_loopback(endpoint)).unwrap_or(&settings.url);
    let http = OAuthHttp { http: &state.http, server, credentials };
    let stored = known(state).await?;
    let found = authorization_server(&http, settings, &stored, challenge).await?;
    issuer::accept(settings, &stored, &found.authorization)?;
    let (client, assertion) = proof(state, &http, &found.authorization).await?;
    let requested = stored.tokens.as_ref().and_then(|tokens| tokens.requested.as_deref());
    // There is no staying signed in: what is offered for that is not asked for.
    let nothing = AuthorizationServer::default();
    let scope = scope(settings.scope.as_deref(), wanted.or(requested), found.scopes.as_deref(), &nothing);
    let binding = state.key_binding(state.new_dpop_key(&found, &stored).as_ref());
    let resource = settings.resource.clone().or_else(|| found.resource.clone());
    let mut grant = match &assertion {
        Some(assertion) => vec![("grant_type", JWT_BEARER_GRANT), ("assertion", assertion.reveal())],
        None => vec![("grant_type", "client_credentials")],
    };
    grant.extend(scope.as_deref().map(|scope| ("scope", scope)));
    grant.extend(resource.as_deref().filter(|_| settings.names_resource).map(|name| ("resource", name)));
    state.bind(&found.authorization).await?;
    let _asking = state.asking.read().await;
    let authorization = &found.authorization;
    let tokens =
        token::request_tokens(&http, authorization, &client, &grant, wall_clock(), binding.as_ref()).await;
    let tokens = tokens.map_err(|refused| failed(settings, refused))?;
    // It is not meant to be exchanged, also where one is given.
    let tokens = Tokens { refresh_token: None, requested: scope, ..tokens };
    tokens.register_secrets();
    info!("{} gave a token for {}", foreign(&found.authorization.issuer), place(&settings.url));
    if !settings.stores_tokens() {
        state.held().found = Some(found);
        return Ok(tokens);
    }
    store(state, found.authorization, &client, resource, &tokens).await;
    Ok(tokens)
}

/// Stores the tokens of a grant that asks no user, with the server and the client that they belong to.
pub(in crate::oauth) async fn store(
    state: &SignInState,
    authorization: AuthorizationServer,
    client: &OAuthClient,
    resource: Option<String>,
    tokens: &Tokens,
) {
    let client = OAuthClient { issuer: authorization.issuer.clone(), ..state.storable(client) };
    state
        .record(|stored| {
            stored.resource = resource;
            stored.authorization = Some(authorization);
            stored.client = Some(client);
            stored.tokens = Some(tokens.clone());
            (stored.omits_resource, stored.refused_at) = (false, None);
        })
        .await;
}

/// What is known of an earlier token: what is stored, or what this process remembers where nothing is.
async fn known(state: &SignInState) -> Result<StoredSignIn, SignInError> {
    if state.settings.stores_tokens() {
        return state.stored().await;
    }
    let held = state.held();
    let found = held.found.clone();
    Ok(StoredSignIn {
        resource: found.as_ref().and_then(|found| found.resource.clone()),
        authorization: found.map(|found| found.authorization),
        refuses_dpop: held.refuses_dpop,
        tokens: held.bearer.as_ref().map(|bearer| bearer.tokens.clone()),
        ..StoredSignIn::default()
    })
}

/// The client that asks, and the assertion that is its grant, if the platform's token is that.
async fn proof(
    state: &SignInState,
    http: &OAuthHttp<'_>,
    authorization: &AuthorizationServer,
) -> Result<(OAuthClient, Option<Secret>), SignInError> {
    let settings = &state.settings;
    let token = match &settings.workload {
        Some(workload) => {
            let is_settled = issuer::is_settled(settings, authorization);
            Some(Secret::new(workload.token(http, authorization, is_settled).await?))
        }
        None => None,
    };
    match (&settings.grant, &settings.client) {
        // A workload need not be a client there.
        (Grant::Workload(_), client) => Ok((client.clone().unwrap_or_default(), token)),
        (_, Some(client)) => Ok((OAuthClient { assertion: token, ..client.clone() }, None)),
        (_, None) => Err(SignInError::failed(
            "no client is named that could ask for a token",
            "name it with --static-oauth-client-info",
        )),
    }
}

/// The error for a refusal of the token endpoint.
fn failed(settings: &SignInSettings, refused: GrantFailure) -> SignInError {
    let is_of_platform = settings.workload.is_some()
        && matches!(refused, GrantFailure::InvalidGrant(_) | GrantFailure::UnknownClient(_));
    let error = refused.into_error().of_kind(FailureKind::Token);
    if is_of_platform { error.advising(NOT_TRUSTED) } else { error }
}

/// The authorization server that gives the token: the endpoint of the settings, the stored one, or a discovered one.
pub(in crate::oauth) async fn authorization_server(
    http: &OAuthHttp<'_>,
    settings: &SignInSettings,
    stored: &StoredSignIn,
    challenge: &SignInChallenge,
) -> Result<DiscoveredServer, SignInError> {
    match (settings.grant.endpoint(), &stored.authorization) {
        (Some(endpoint), _) => {
            let at = endpoint.to_string();
            let authorization = AuthorizationServer {
                issuer: at.clone(),
                token_endpoint: at,
                ..AuthorizationServer::default()
            };
            Ok(DiscoveredServer { authorization, resource: None, scopes: None, offers_dpop: false })
        }
        // Without a challenge, which is before a token expires, the stored one still holds.
        (None, Some(authorization))
            if *challenge == SignInChallenge::default()
                && issuer::is_wanted(settings, Some(authorization)) =>
        {
            let (authorization, resource) = (authorization.clone(), stored.resource.clone());
            let offers_dpop = stored.tokens.as_ref().is_some_and(|tokens| tokens.is_dpop_bound);
            Ok(DiscoveredServer { authorization, resource, scopes: None, offers_dpop })
        }
        (None, _) => {
            let before = issuer::preferred(settings, stored);
            discovery::discover(http, &Query::new(settings, before), challenge).await
        }
    }
}
