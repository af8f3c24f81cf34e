//! A token for the client itself (RFC 6749, section 4.4): no person is asked, and none waits.
//!
//! There is nothing that it is exchanged for later: when it runs out, another one is asked for in the same way. Deliberately
//! not here: how the client proves itself (`token`).

use tracing::info;

use crate::auth::Credentials;
use crate::http::is_loopback;
use crate::oauth::authorization_request::scope;
use crate::oauth::challenge::Invitation;
use crate::oauth::client::Client;
use crate::oauth::clock::wall_clock;
use crate::oauth::discovery;
use crate::oauth::discovery::{Found, Query};
use crate::oauth::failure::FailureKind;
use crate::oauth::flows::token;
use crate::oauth::http::Wire;
use crate::oauth::issuer;
use crate::oauth::metadata::Authorization;
use crate::oauth::settings::Grant;
use crate::oauth::sign_in_error::{Trouble, foreign, place};
use crate::oauth::state::Inner;
use crate::oauth::store::Tokens;

/// Comes by a token, with a scope that it needs beyond what was asked for before.
pub(in crate::oauth) async fn sign_in(
    inner: &Inner,
    invitation: &Invitation,
    credentials: &Credentials,
    wanted: Option<&str>,
) -> Result<Tokens, Trouble> {
    let settings = &inner.settings;
    // An address of this computer is not one that somebody else has named.
    let server = match &settings.grant {
        Grant::Client(Some(endpoint)) if is_loopback(endpoint) => endpoint,
        Grant::Client(_) | Grant::Page | Grant::Device => &settings.url,
    };
    let wire = Wire { http: &inner.http, server, credentials };
    let kept = inner.kept().await?;
    let before = kept.authorization.clone();
    let found = match (&settings.grant, before) {
        (Grant::Client(Some(endpoint)), _) => {
            let at = endpoint.to_string();
            let authorization =
                Authorization { issuer: at.clone(), token_endpoint: at, ..Authorization::default() };
            Found { authorization, resource: None, scopes: None }
        }
        // Ahead of the end of a token nobody has refused anything: what was found still holds.
        (_, Some(authorization))
            if *invitation == Invitation::default() && issuer::is_wanted(settings, Some(&authorization)) =>
        {
            Found { authorization, resource: kept.resource.clone(), scopes: None }
        }
        _ => {
            let before = issuer::preferred(settings, &kept);
            discovery::discover(&wire, &Query::new(settings, before), invitation).await?
        }
    };
    issuer::accept(settings, &kept, &found.authorization)?;
    let Some(client) = &settings.client else {
        return Err(Trouble::failed(
            "no client is named that could ask for a token",
            "name it with --static-oauth-client-info",
        ));
    };
    let requested = kept.tokens.as_ref().and_then(|tokens| tokens.requested.as_deref());
    // There is no staying signed in: what is offered for that is not asked for.
    let nothing = Authorization::default();
    let scope = scope(settings.scope.as_deref(), wanted.or(requested), found.scopes.as_deref(), &nothing);
    let resource = settings.resource.clone().or(found.resource);
    let mut grant = vec![("grant_type", "client_credentials")];
    grant.extend(scope.as_deref().map(|scope| ("scope", scope)));
    grant.extend(resource.as_deref().filter(|_| settings.names_resource).map(|name| ("resource", name)));
    inner.bind(&found.authorization).await?;
    let _asking = inner.asking.read().await;
    let tokens = token::ask(&wire, &found.authorization, client, &grant, wall_clock()).await;
    let tokens = tokens.map_err(|refused| refused.trouble().of_kind(FailureKind::Token))?;
    // It is not meant to be exchanged, also where one is given.
    let tokens = Tokens { refresh_token: None, requested: scope, ..tokens };
    tokens.learn();
    let client = Client { issuer: found.authorization.issuer.clone(), ..inner.storable(client) };
    let issuer = foreign(&found.authorization.issuer);
    inner
        .record(|kept| {
            kept.resource = resource;
            kept.authorization = Some(found.authorization);
            kept.client = Some(client);
            kept.tokens = Some(tokens.clone());
            (kept.omits_resource, kept.refused_at) = (false, None);
        })
        .await;
    info!("{issuer} gave a token for {}", place(&settings.url));
    Ok(tokens)
}
