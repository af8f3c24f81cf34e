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

use crate::auth::Credentials;
use crate::oauth::authorization_request::scope;
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::client::OAuthClient;
use crate::oauth::clock::seconds;
use crate::oauth::clock::wall_clock;
use crate::oauth::discovery;
use crate::oauth::discovery::Query;
use crate::oauth::failure::FailureKind;
use crate::oauth::flows::authorization_code::{keep, resumable};
use crate::oauth::flows::registration;
use crate::oauth::flows::token;
use crate::oauth::flows::token::{FORM, GrantError, TokenError, prepared};
use crate::oauth::http::OAuthHttp;
use crate::oauth::http::error_response::{ErrorResponse, members};
use crate::oauth::issuer;
use crate::oauth::metadata;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::object::{Object, Written};
use crate::oauth::progress::SignInProgress;
use crate::oauth::sign_in_error::{SignInError, UserAction, foreign, place};
use crate::oauth::state::SignInState;
use crate::oauth::store::{FlowLock, PendingSignIn, Prompt, StoredSignIn, Tokens};
use crate::redact;

/// What the grant is called.
pub(in crate::oauth) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How often it is asked, unless the authorization server says how often.
const INTERVAL: Duration = Duration::from_secs(5);
/// How much less often after each complaint.
const SLOWER: Duration = Duration::from_secs(5);
/// The most and the least often, whatever is said.
const INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(300)];
/// How long a code holds at most, in seconds.
const LIFE: f64 = 3600.0;

/// A code that a person was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAuthorization {
    /// What we ask with. It is secret.
    pub device_code: String,
    /// What the person gives.
    pub user_code: String,
    /// Where.
    pub page: String,
    /// How often we may ask, in milliseconds.
    pub interval: u64,
    /// Until when it holds, in seconds since 1970.
    pub until: u64,
    /// What tokens are to allow.
    pub scope: Option<String>,
}

impl DeviceAuthorization {
    /// Reads one that was kept.
    pub(in crate::oauth) fn read(object: Object<'_>) -> Option<DeviceAuthorization> {
        Some(DeviceAuthorization {
            device_code: object.text("device_code")?,
            user_code: object.text("user_code")?,
            page: object.text("page")?,
            interval: object.count("interval")?.min(milliseconds(INTERVALS[1])),
            until: object.count("until")?,
            scope: object.text("scope"),
        })
    }

    /// Writes it.
    pub(in crate::oauth) fn write(&self) -> String {
        Written::default()
            .text("device_code", Some(&self.device_code))
            .text("user_code", Some(&self.user_code))
            .text("page", Some(&self.page))
            .count("interval", Some(self.interval))
            .count("until", Some(self.until))
            .text("scope", self.scope.as_deref())
            .finish()
    }

    /// Where a person is to go, and the code to give there.
    pub(in crate::oauth) fn action(&self) -> UserAction {
        UserAction { url: self.page.clone(), code: Some(self.user_code.clone()), elsewhere: None }
    }

    /// Reads what an authorization server has given us.
    fn given(body: &str, scope: Option<&str>, now: u64) -> Option<DeviceAuthorization> {
        let given = Object::parse(body)?;
        let page = given.text("verification_uri").or_else(|| given.text("verification_url"))?;
        let interval = given.number("interval").and_then(|each| Duration::try_from_secs_f64(each).ok());
        let interval = interval.unwrap_or(INTERVAL).clamp(INTERVALS[0], INTERVALS[1]);
        let life = given.number("expires_in").filter(|life| *life > 0.0).unwrap_or(LIFE).min(LIFE);
        Some(DeviceAuthorization {
            device_code: given.text("device_code").filter(|code| !code.is_empty())?,
            user_code: given.text("user_code").map(|code| foreign(&code)).filter(|code| !code.is_empty())?,
            page: given.text("verification_uri_complete").filter(|page| !page.is_empty()).unwrap_or(page),
            interval: milliseconds(interval),
            until: now.saturating_add(life as u64),
            scope: scope.map(str::to_owned),
        })
    }
}

/// Signs a person in, with a scope that a token needs beyond what was asked for before.
pub(in crate::oauth) async fn sign_in(
    inner: &SignInState,
    challenge: &SignInChallenge,
    credentials: &Credentials,
    wanted: Option<&str>,
    lock: &mut FlowLock,
    progress: &watch::Sender<SignInProgress>,
) -> Result<Tokens, SignInError> {
    let settings = &inner.settings;
    let http = OAuthHttp { http: &inner.http, server: &settings.url, credentials };
    if let Some(pending) = resumable(inner, wanted, lock).await
        && let Prompt::Device(device) = pending.prompt.clone()
        && device.until > seconds(wall_clock())
    {
        info!("a sign-in that another process began is gone on with");
        tell(&device);
        let finished = finish(inner, &http, &pending, device, progress).await;
        SignInState::note(lock, None).await;
        match finished {
            Ok(tokens) => return Ok(tokens),
            // Perhaps only because it is old.
            Err(refused) => info!("that sign-in failed, a new one begins: {}", refused.into_error()),
        }
    }
    let mut stored = inner.stored().await?;
    let before = issuer::preferred(settings, &stored);
    let found = discovery::discover(&http, &Query::new(settings, before), challenge).await?;
    let authorization = found.authorization;
    issuer::accept(settings, &stored, &authorization)?;
    let scope = scope(settings.scope.as_deref(), wanted, found.scopes.as_deref(), &authorization);
    let resource = settings.resource.clone().or(found.resource).unwrap_or_default();
    let mut is_second = false;
    loop {
        let now = seconds(wall_clock());
        let (client, is_ours) = registration::resolve_device_client(
            &http,
            settings,
            &authorization,
            &stored,
            scope.as_deref(),
            now,
        )
        .await
        .map_err(|failure| failure.of_kind(FailureKind::Registration))?;
        if is_ours && !stored.registrations.contains(&client) {
            let remember = |stored: &mut StoredSignIn| {
                stored
                    .registrations
                    .retain(|other| other.issuer != client.issuer || !other.redirect_uris.is_empty());
                stored.registrations.push(client.clone());
            };
            inner.change(remember).await?;
        }
        let named = Some(resource.as_str()).filter(|_| settings.names_resource);
        inner.bind(&authorization).await?;
        let finished = match begin(&http, &authorization, &client, scope.as_deref(), named).await {
            Ok(device) => {
                let prompt = Prompt::Device(device.clone());
                let (authorization, resource) = (authorization.clone(), resource.clone());
                let pending =
                    PendingSignIn { at: now, prompt, authorization, resource, client: client.clone() };
                SignInState::note(
                    lock,
                    Some(PendingSignIn { client: inner.storable(&client), ..pending.clone() }),
                )
                .await;
                tell(&device);
                let finished = finish(inner, &http, &pending, device, progress).await;
                SignInState::note(lock, None).await;
                finished
            }
            Err(refused) => Err(refused),
        };
        match finished {
            Ok(tokens) => return Ok(tokens),
            // The authorization server has forgotten us: once more, with a new introduction.
            Err(TokenError::Client(_)) if is_ours && !is_second => {
                is_second = true;
                stored = inner.change(|stored| stored.registrations.retain(|other| *other != client)).await?;
            }
            Err(refused) => return Err(refused.into_error().of_kind(FailureKind::Token)),
        }
    }
}

/// Asks for a code.
async fn begin(
    http: &OAuthHttp<'_>,
    authorization: &AuthorizationServer,
    client: &OAuthClient,
    scope: Option<&str>,
    resource: Option<&str>,
) -> Result<DeviceAuthorization, TokenError> {
    let endpoint = authorization.device_authorization_endpoint.as_deref();
    let Some(endpoint) = endpoint.and_then(|text| Url::parse(text).ok()) else {
        let sentence = format!("the authorization server {} gives no codes", foreign(&authorization.issuer));
        let advice =
            "leave --device-code out: without a browser here, the page's address is written to stderr";
        return Err(TokenError::Otherwise(SignInError::failed(sentence, advice)));
    };
    let mut form = Vec::new();
    form.extend(scope.map(|scope| ("scope", scope)));
    form.extend(resource.map(|resource| ("resource", resource)));
    let (headers, body): (HeaderMap, String) = prepared(authorization, client, &form, wall_clock());
    let answer = http.post(&endpoint, FORM, body, headers).await.map_err(TokenError::Otherwise)?;
    let failed = |sentence: String| {
        TokenError::Otherwise(SignInError::failed(sentence, "have the authorization server's log looked at"))
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
        let advice = "do not sign in there; tell whoever runs the authorization server";
        TokenError::Otherwise(SignInError::failed(sentence, advice))
    })?;
    Ok(DeviceAuthorization { page: page.into(), ..device })
}

fn tell(device: &DeviceAuthorization) {
    warn!("sign in at {} with the code {}", device.page, device.user_code);
}

/// Asks until the person has given the code, or cannot any more.
async fn finish(
    inner: &SignInState,
    http: &OAuthHttp<'_>,
    pending: &PendingSignIn,
    device: DeviceAuthorization,
    progress: &watch::Sender<SignInProgress>,
) -> Result<Tokens, TokenError> {
    let at = place(&inner.settings.url);
    let _ = progress.send(SignInProgress::Waiting(device.action()));
    let mut grant = vec![("grant_type", GRANT), ("device_code", device.device_code.as_str())];
    if inner.settings.names_resource {
        grant.push(("resource", &pending.resource));
    }
    let mut interval = Duration::from_millis(device.interval);
    loop {
        if seconds(wall_clock()) >= device.until {
            return Err(run_out(&at));
        }
        tokio::time::sleep(interval).await;
        let _asking = inner.asking.read().await;
        let prompt =
            token::send_grant(http, &pending.authorization, &pending.client, &grant, wall_clock()).await;
        let refusal = match prompt {
            Ok(tokens) => {
                let _ = progress.send(SignInProgress::Preparing);
                return Ok(keep(inner, pending, tokens).await);
            }
            Err(GrantError::Said(refusal)) if !refusal.error.is_empty() => refusal,
            Err(GrantError::Otherwise(failure)) if failure.is_lasting() => {
                return Err(TokenError::Otherwise(failure));
            }
            Err(no) => {
                let failure = match no {
                    GrantError::Said(refusal) => {
                        token::refused(&pending.authorization, &refusal).into_error()
                    }
                    GrantError::Otherwise(failure) => failure,
                };
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
                return Err(TokenError::Otherwise(failure));
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

fn milliseconds(interval: Duration) -> u64 {
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)
}

fn run_out(at: &str) -> TokenError {
    let sentence = format!("nobody signed in at {at} before the code ran out");
    let failure = SignInError::failed(sentence, "try again: there will be another code");
    TokenError::Otherwise(failure.of_kind(FailureKind::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_in_every_form_in_which_it_comes() {
        let code = |more: &str| format!(r#"{{"device_code":"d","user_code":"AB-CD"{more}}}"#);
        let page = r#","verification_uri":"https://as.example/device""#;
        for (body, expected) in [
            (code(page), Some(("https://as.example/device", 5_000, 3_700))),
            (
                code(&format!(r#"{page},"interval":1,"expires_in":600"#)),
                Some(("https://as.example/device", 1_000, 700)),
            ),
            (
                code(&format!(r#"{page},"interval":"2","expires_in":"60""#)),
                Some(("https://as.example/device", 2_000, 160)),
            ),
            (
                code(&format!(r#"{page},"interval":0,"expires_in":0"#)),
                Some(("https://as.example/device", 100, 3_700)),
            ),
            (
                code(&format!(r#"{page},"interval":-1,"expires_in":1e300"#)),
                Some(("https://as.example/device", 5_000, 3_700)),
            ),
            (code(&format!(r#"{page},"interval":1e9"#)), Some(("https://as.example/device", 300_000, 3_700))),
            (
                code(&format!(r#"{page},"interval":1e300,"expires_in":18446744073709551615"#)),
                Some(("https://as.example/device", 5_000, 3_700)),
            ),
            (
                code(&format!(r#"{page},"interval":"NaN","expires_in":"-inf""#)),
                Some(("https://as.example/device", 5_000, 3_700)),
            ),
            (
                code(&format!(r#"{page},"interval":"","expires_in":0.4"#)),
                Some(("https://as.example/device", 5_000, 100)),
            ),
            (
                code(&format!(r#"{page},"verification_uri_complete":"https://as.example/c?AB""#)),
                Some(("https://as.example/c?AB", 5_000, 3_700)),
            ),
            (code(r#","verification_url":"https://g.example""#), Some(("https://g.example", 5_000, 3_700))),
            (code(""), None),
            (r#"{"user_code":"x","verification_uri":"https://h"}"#.to_owned(), None),
            ("<html>".to_owned(), None),
        ] {
            let found = DeviceAuthorization::given(&body, Some("s"), 100);
            let shown = found.as_ref().map(|device| (device.page.as_str(), device.interval, device.until));
            assert_eq!(shown, expected, "{body}");
            let again = found
                .as_ref()
                .and_then(|device| Object::parse(&device.write()).and_then(DeviceAuthorization::read));
            assert_eq!(again, found);
        }
    }

    #[test]
    fn stored_device_with_absurd_numbers_keeps_its_bounds() {
        let text = r#"{"device_code":"d","user_code":"u","page":"p","interval":18446744073709551615,"until":18446744073709551615}"#;
        let device = Object::parse(text).and_then(DeviceAuthorization::read).expect("a device");
        assert_eq!((device.interval, device.until), (300_000, u64::MAX));
        for number in ["-1", "1.5", "1e300", "18446744073709551616", "\"1\""] {
            let text = text.replacen("18446744073709551615", number, 1);
            assert!(Object::parse(&text).and_then(DeviceAuthorization::read).is_none(), "{number}");
        }
    }

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
