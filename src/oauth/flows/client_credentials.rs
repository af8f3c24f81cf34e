//! A token for the client itself (RFC 6749, section 4.4): no person is asked, and none waits.
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
use crate::oauth::flows::token;
use crate::oauth::http::OAuthHttp;
use crate::oauth::issuer;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::settings::{Grant, SignInSettings};
use crate::oauth::sign_in_error::FailureKind;
use crate::oauth::sign_in_error::{SignInError, foreign, place};
use crate::oauth::state::SignInState;
use crate::oauth::store::{StoredSignIn, Tokens};

/// Requests a token, with the scopes that are wanted beyond those requested before.
pub(in crate::oauth) async fn sign_in(
    state: &SignInState,
    challenge: &SignInChallenge,
    credentials: &Credentials,
    wanted: Option<&str>,
) -> Result<Tokens, SignInError> {
    let settings = &state.settings;
    // The user has named the endpoint: an address of this computer is allowed.
    let server = match &settings.grant {
        Grant::Client(Some(endpoint)) if is_loopback(endpoint) => endpoint,
        Grant::Client(_) | Grant::Page | Grant::Device => &settings.url,
    };
    let http = OAuthHttp { http: &state.http, server, credentials };
    let stored = state.stored().await?;
    let found = authorization_server(&http, settings, &stored, challenge).await?;
    issuer::accept(settings, &stored, &found.authorization)?;
    let Some(client) = &settings.client else {
        return Err(SignInError::failed(
            "no client is named that could ask for a token",
            "name it with --static-oauth-client-info",
        ));
    };
    let requested = stored.tokens.as_ref().and_then(|tokens| tokens.requested.as_deref());
    // There is no staying signed in: what is offered for that is not asked for.
    let nothing = AuthorizationServer::default();
    let scope = scope(settings.scope.as_deref(), wanted.or(requested), found.scopes.as_deref(), &nothing);
    let binding = state.key_binding(state.new_dpop_key(&found, &stored).as_ref());
    let resource = settings.resource.clone().or(found.resource);
    let mut grant = vec![("grant_type", "client_credentials")];
    grant.extend(scope.as_deref().map(|scope| ("scope", scope)));
    grant.extend(resource.as_deref().filter(|_| settings.names_resource).map(|name| ("resource", name)));
    state.bind(&found.authorization).await?;
    let _asking = state.asking.read().await;
    let authorization = &found.authorization;
    let tokens =
        token::request_tokens(&http, authorization, client, &grant, wall_clock(), binding.as_ref()).await;
    let tokens = tokens.map_err(|refused| refused.into_error().of_kind(FailureKind::Token))?;
    // It is not meant to be exchanged, also where one is given.
    let tokens = Tokens { refresh_token: None, requested: scope, ..tokens };
    tokens.register_secrets();
    let client = OAuthClient { issuer: found.authorization.issuer.clone(), ..state.storable(client) };
    let issuer = foreign(&found.authorization.issuer);
    state
        .record(|stored| {
            stored.resource = resource;
            stored.authorization = Some(found.authorization);
            stored.client = Some(client);
            stored.tokens = Some(tokens.clone());
            (stored.omits_resource, stored.refused_at) = (false, None);
        })
        .await;
    info!("{issuer} gave a token for {}", place(&settings.url));
    Ok(tokens)
}

/// The authorization server that gives the token: the endpoint of the settings, the stored one, or a discovered one.
async fn authorization_server(
    http: &OAuthHttp<'_>,
    settings: &SignInSettings,
    stored: &StoredSignIn,
    challenge: &SignInChallenge,
) -> Result<DiscoveredServer, SignInError> {
    match (&settings.grant, &stored.authorization) {
        (Grant::Client(Some(endpoint)), _) => {
            let at = endpoint.to_string();
            let authorization = AuthorizationServer {
                issuer: at.clone(),
                token_endpoint: at,
                ..AuthorizationServer::default()
            };
            Ok(DiscoveredServer { authorization, resource: None, scopes: None, offers_dpop: false })
        }
        // Without a challenge, which is before a token expires, the stored one still holds.
        (_, Some(authorization))
            if *challenge == SignInChallenge::default()
                && issuer::is_wanted(settings, Some(authorization)) =>
        {
            let (authorization, resource) = (authorization.clone(), stored.resource.clone());
            let offers_dpop = stored.tokens.as_ref().is_some_and(|tokens| tokens.is_dpop_bound);
            Ok(DiscoveredServer { authorization, resource, scopes: None, offers_dpop })
        }
        _ => {
            let before = issuer::preferred(settings, stored);
            discovery::discover(http, &Query::new(settings, before), challenge).await
        }
    }
}
