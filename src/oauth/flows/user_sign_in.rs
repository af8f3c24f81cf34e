//! What the two flows that ask the user have in common: resume what another process began, or discover the authorization
//! server, resolve the client, ask, and once more with a new registration where the authorization server has expired it.
//!
//! Deliberately not here: what the user is asked for (`authorization_code`, `device_code`).

use tokio::sync::watch;
use tracing::info;

use crate::auth::Credentials;
use crate::oauth::authorization_request::scope;
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::client::OAuthClient;
use crate::oauth::clock::{seconds, wall_clock};
use crate::oauth::discovery::{self, Query};
use crate::oauth::flows::registration::ClientIdentity;
use crate::oauth::flows::token::GrantFailure;
use crate::oauth::flows::user_flow::{ResumedSignIn, SignInTarget, UserSignIn};
use crate::oauth::flows::{authorization_code, device_code, registration};
use crate::oauth::http::OAuthHttp;
use crate::oauth::issuer;
use crate::oauth::progress::SignInProgress;
use crate::oauth::sign_in_error::{FailureKind, SignInError};
use crate::oauth::state::SignInState;
use crate::oauth::store::{FlowLock, StoredSignIn, Tokens};

/// What the user is asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::oauth) enum UserGrant {
    /// To sign in on a page that redirects to this computer.
    Page,
    /// To enter a code on any computer.
    Device,
}

/// Signs the user in, with the scopes that are wanted beyond those requested before.
pub(in crate::oauth) async fn sign_in(
    state: &SignInState,
    grant: UserGrant,
    challenge: &SignInChallenge,
    credentials: &Credentials,
    wanted: Option<&str>,
    lock: &mut FlowLock,
    progress: &watch::Sender<SignInProgress>,
) -> Result<Tokens, SignInError> {
    let settings = &state.settings;
    let http = OAuthHttp { http: &state.http, server: &settings.url, credentials };
    let mut sign_in = UserSignIn { state, http, lock, progress };
    let resumed = match grant {
        UserGrant::Page => authorization_code::resume(&mut sign_in, wanted).await?,
        UserGrant::Device => device_code::resume(&mut sign_in, wanted).await,
    };
    match resumed {
        ResumedSignIn::Done(tokens) => return Ok(tokens),
        // It may only be old.
        ResumedSignIn::Failed(error) => {
            info!("that sign-in failed, a new one begins: {}", error.into_error())
        }
        ResumedSignIn::Nothing => {}
    }
    let mut stored = state.stored().await?;
    let before = issuer::preferred(settings, &stored);
    let found = discovery::discover(&sign_in.http, &Query::new(settings, before), challenge).await?;
    issuer::accept(settings, &stored, &found.authorization)?;
    let target = SignInTarget {
        dpop_key: state.new_dpop_key(&found, &stored),
        scope: scope(settings.scope.as_deref(), wanted, found.scopes.as_deref(), &found.authorization),
        resource: settings.resource.clone().or(found.resource).unwrap_or_default(),
        authorization: found.authorization,
    };
    let mut is_second = false;
    loop {
        let now = seconds(wall_clock());
        let identity = resolve_client(grant, &sign_in, &target, &stored, now).await;
        let identity = identity.map_err(|error| error.of_kind(FailureKind::Registration))?;
        let (client, is_ours) = (identity.client.clone(), identity.is_ours);
        if is_ours && !stored.registrations.contains(&client) {
            state.change(|stored| store_registration(stored, &client)).await?;
        }
        let attempt = match grant {
            UserGrant::Page => authorization_code::attempt(&mut sign_in, &target, identity, now).await?,
            UserGrant::Device => device_code::attempt(&mut sign_in, &target, identity, now).await?,
        };
        match attempt {
            Ok(tokens) => return Ok(tokens),
            // The authorization server has expired the registration: once more with a new one.
            Err(GrantFailure::UnknownClient(_)) if is_ours && !is_second => {
                is_second = true;
                stored = state.change(|stored| stored.registrations.retain(|other| *other != client)).await?;
            }
            Err(error) => return Err(error.into_error().of_kind(FailureKind::Token)),
        }
    }
}

/// Stores a registration: one for each issuer with a redirect URI, and one without.
fn store_registration(stored: &mut StoredSignIn, client: &OAuthClient) {
    stored.registrations.retain(|other| {
        other.issuer != client.issuer || other.redirect_uris.is_empty() != client.redirect_uris.is_empty()
    });
    stored.registrations.push(client.clone());
}

async fn resolve_client(
    grant: UserGrant,
    sign_in: &UserSignIn<'_>,
    target: &SignInTarget,
    stored: &StoredSignIn,
    now: u64,
) -> Result<ClientIdentity, SignInError> {
    let (settings, scope) = (&sign_in.state.settings, target.scope.as_deref());
    let (http, authorization) = (&sign_in.http, &target.authorization);
    match grant {
        UserGrant::Page => {
            registration::resolve_client(http, settings, authorization, stored, scope, now).await
        }
        UserGrant::Device => {
            registration::resolve_device_client(http, settings, authorization, stored, scope, now).await
        }
    }
}
