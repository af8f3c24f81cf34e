//! A sign-in on any computer, with a code (RFC 8628): for where there is no browser, and no way back to here.
//!
//! The person is told where to go and what to give there; meanwhile one process asks whether they have, as often as it may.
//! What is under way is noted, so that another process can go on asking. Deliberately not here: what becomes of the tokens
//! (`flow`).

use std::time::Duration;

use http::header::HeaderMap;
use tokio::sync::watch;
use tracing::{debug, info, warn};
use url::Url;

use crate::oauth::client::OAuthClient;
use crate::oauth::clock::seconds;
use crate::oauth::clock::wall_clock;
use crate::oauth::device_authorization::{DeviceAuthorization, INTERVALS};
use crate::oauth::flows::registration::{ClientIdentity, DEVICE_GRANT};
use crate::oauth::flows::token;
use crate::oauth::flows::token::{GrantFailure, TokenRequestError, prepared};
use crate::oauth::flows::user_flow::{ResumedSignIn, SignInTarget, UserSignIn, keep, resumable};
use crate::oauth::http::error_response::{ErrorResponse, members};
use crate::oauth::http::{FORM, OAuthHttp};
use crate::oauth::metadata;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::progress::SignInProgress;
use crate::oauth::sign_in_error::FailureKind;
use crate::oauth::sign_in_error::{SignInError, foreign, place};
use crate::oauth::state::SignInState;
use crate::oauth::store::{PendingSignIn, Prompt, Tokens};
use crate::redact;

/// How much less often after each complaint.
const SLOWER: Duration = Duration::from_secs(5);
/// Resumes the sign-in that another process began.
pub(super) async fn resume(sign_in: &mut UserSignIn<'_>, wanted: Option<&str>) -> ResumedSignIn {
    let Some(pending) = resumable(sign_in.state, wanted, sign_in.lock).await else {
        return ResumedSignIn::Nothing;
    };
    let Prompt::Device(device) = pending.prompt.clone() else { return ResumedSignIn::Nothing };
    if device.until <= seconds(wall_clock()) {
        return ResumedSignIn::Nothing;
    }
    info!("a sign-in that another process began is resumed");
    tell(&device);
    let finished = finish(sign_in.state, &sign_in.http, &pending, device, sign_in.progress).await;
    SignInState::note(sign_in.lock, None).await;
    finished.map_or_else(ResumedSignIn::Failed, ResumedSignIn::Done)
}

/// Gives the user a code as this client, and asks for tokens until it was entered.
///
/// # Errors
/// When another process has the lock. The inner result is that of asking for tokens.
pub(super) async fn attempt(
    sign_in: &mut UserSignIn<'_>,
    target: &SignInTarget,
    identity: ClientIdentity,
    now: u64,
) -> Result<Result<Tokens, GrantFailure>, SignInError> {
    let (state, client) = (sign_in.state, identity.client);
    let SignInTarget { authorization, resource, scope, dpop_key } = target;
    let named = Some(resource.as_str()).filter(|_| state.settings.names_resource);
    state.bind(authorization).await?;
    let device = match begin(&sign_in.http, authorization, &client, scope.as_deref(), named).await {
        Ok(device) => device,
        Err(error) => return Ok(Err(error)),
    };
    let prompt = Prompt::Device(device.clone());
    let (authorization, resource, dpop_key) = (authorization.clone(), resource.clone(), dpop_key.clone());
    let pending = PendingSignIn { at: now, prompt, authorization, resource, client, dpop_key };
    sign_in.note(&pending).await;
    tell(&device);
    let finished = finish(state, &sign_in.http, &pending, device, sign_in.progress).await;
    SignInState::note(sign_in.lock, None).await;
    Ok(finished)
}

/// Asks for a code.
async fn begin(
    http: &OAuthHttp<'_>,
    authorization: &AuthorizationServer,
    client: &OAuthClient,
    scope: Option<&str>,
    resource: Option<&str>,
) -> Result<DeviceAuthorization, GrantFailure> {
    let endpoint = authorization.device_authorization_endpoint.as_deref();
    let Some(endpoint) = endpoint.and_then(|text| Url::parse(text).ok()) else {
        let sentence = format!("the authorization server {} gives no codes", foreign(&authorization.issuer));
        let advice =
            "leave --device-code out: without a browser here, the page's address is written to stderr";
        return Err(GrantFailure::Other(SignInError::failed(sentence, advice)));
    };
    let mut form = Vec::new();
    form.extend(scope.map(|scope| ("scope", scope)));
    form.extend(resource.map(|resource| ("resource", resource)));
    let (headers, body): (HeaderMap, String) = prepared(authorization, client, &form, wall_clock());
    let answer = http.post(&endpoint, FORM, body, headers).await.map_err(GrantFailure::Other)?;
    let failed = |sentence: String| {
        GrantFailure::Other(SignInError::failed(sentence, "have the authorization server's log looked at"))
    };
    if !answer.is_ok() {
        return Err(match ErrorResponse::read(&answer).filter(|refusal| !refusal.error.is_empty()) {
            Some(refusal) => token::refused(authorization, &refusal),
            None => failed(format!("{} answered {} instead of a code", place(&endpoint), answer.status())),
        });
    }
    let members = members(&answer).unwrap_or_default();
    let device = DeviceAuthorization::given(&members, scope, seconds(wall_clock())).ok_or_else(|| {
        match ErrorResponse::read(&answer) {
            Some(refusal) => token::refused(authorization, &refusal),
            None => failed(format!("{} answered without a usable code", place(&endpoint))),
        }
    })?;
    if redact::repeats_secret(&device.page) {
        return Err(failed(format!("{} names a page whose address repeats a secret", place(&endpoint))));
    }
    redact::register_token(&device.device_code);
    let page = metadata::trusted(&device.page, http.server).map_err(|reason| {
        let sentence = format!("{} names a page that {reason}: {}", place(&endpoint), foreign(&device.page));
        let advice = "do not sign in there; tell the authorization server's administrator";
        GrantFailure::Other(SignInError::failed(sentence, advice))
    })?;
    Ok(DeviceAuthorization { page: page.into(), ..device })
}

fn tell(device: &DeviceAuthorization) {
    warn!("sign in at {} with the code {}", device.page, device.user_code);
}

/// Polls the token endpoint until the user has entered the code, or the code has expired.
async fn finish(
    state: &SignInState,
    http: &OAuthHttp<'_>,
    pending: &PendingSignIn,
    device: DeviceAuthorization,
    progress: &watch::Sender<SignInProgress>,
) -> Result<Tokens, GrantFailure> {
    let at = place(&state.settings.url);
    let _ = progress.send(SignInProgress::Waiting(device.action()));
    let mut grant = vec![("grant_type", DEVICE_GRANT), ("device_code", device.device_code.as_str())];
    if state.settings.names_resource {
        grant.push(("resource", &pending.resource));
    }
    let binding = state.key_binding(pending.dpop_key.as_ref());
    let mut interval = Duration::from_millis(device.interval);
    loop {
        if seconds(wall_clock()) >= device.until {
            return Err(run_out(&at));
        }
        tokio::time::sleep(interval).await;
        let _asking = state.asking.read().await;
        let (authorization, client) = (&pending.authorization, &pending.client);
        let prompt =
            token::send_grant(http, authorization, client, &grant, wall_clock(), binding.as_ref()).await;
        let refusal = match prompt {
            Ok(tokens) => {
                let _ = progress.send(SignInProgress::Preparing);
                return Ok(keep(state, pending, tokens).await);
            }
            Err(TokenRequestError::Refused(refusal)) if !refusal.error.is_empty() => refusal,
            Err(TokenRequestError::Failed(failure)) if failure.is_lasting() => {
                return Err(GrantFailure::Other(failure));
            }
            Err(no) => {
                let failure = no.into_error(&pending.authorization);
                // It may pass; the code still holds (RFC 8628, section 3.5).
                debug!("it cannot be asked whether somebody has signed in: {failure}");
                interval = interval.saturating_mul(2).min(INTERVALS[1]);
                continue;
            }
        };
        match next(&refusal, interval) {
            Some(later) => interval = later,
            None if refusal.error == "expired_token" => return Err(run_out(&at)),
            None if refusal.error == "access_denied" => {
                let sentence = format!(
                    "{} was told not to sign you in for {at}",
                    foreign(&pending.authorization.issuer)
                );
                let advice = "try again, and agree on the page";
                let failure = SignInError::failed(sentence, advice).of_kind(FailureKind::Denied);
                return Err(GrantFailure::Other(failure));
            }
            None => return Err(token::refused(&pending.authorization, &refusal)),
        }
    }
}

/// After how long it is asked again; not at all where the refusal is final.
fn next(refusal: &ErrorResponse, interval: Duration) -> Option<Duration> {
    match refusal.error.as_str() {
        "authorization_pending" => Some(interval),
        "slow_down" => Some(interval.saturating_add(SLOWER).min(INTERVALS[1])),
        _ => None,
    }
}

fn run_out(at: &str) -> GrantFailure {
    let sentence = format!("the sign-in at {at} was not completed before the code expired");
    let failure = SignInError::failed(sentence, "try again: there will be another code");
    GrantFailure::Other(failure.of_kind(FailureKind::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_as_often_as_it_may() {
        let second = Duration::from_secs(1);
        for (error, expected) in [
            ("authorization_pending", Some(second)),
            ("slow_down", Some(second * 6)),
            ("access_denied", None),
            ("expired_token", None),
            ("invalid_grant", None),
        ] {
            let refusal = ErrorResponse { status: 400, error: error.to_owned(), error_description: None };
            assert_eq!(next(&refusal, second), expected, "{error}");
        }
        let slow = ErrorResponse { status: 400, error: "slow_down".to_owned(), error_description: None };
        assert_eq!(next(&slow, INTERVALS[1]), Some(INTERVALS[1]));
    }
}
