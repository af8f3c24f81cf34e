//! The authorization code grant (RFC 6749, section 4.1): the page, the redirect, the tokens.
//!
//! The sign-in under way is stored, so that another process can resume it.

use std::time::Duration;

use tracing::{info, warn};

use crate::auth::dpop::DpopKey;
use crate::oauth::authorization_request::{
    AuthorizationOptions, AuthorizationRequest, AuthorizationResponse,
};
use crate::oauth::browser;
use crate::oauth::client::OAuthClient;
use crate::oauth::clock::seconds;
use crate::oauth::clock::wall_clock;
use crate::oauth::flows::callback::{Callback, CallbackPage};
use crate::oauth::flows::registration::{ClientIdentity, port_of};
use crate::oauth::flows::token;
use crate::oauth::flows::token::GrantFailure;
use crate::oauth::flows::user_flow::{ResumedSignIn, SignInTarget, UserSignIn, keep, resumable};
use crate::oauth::http::OAuthHttp;
use crate::oauth::http::error_response;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::progress::{SignInProgress, defect};
use crate::oauth::sign_in_error::FailureKind;
use crate::oauth::sign_in_error::{SignInError, UserAction, foreign, place};
use crate::oauth::state::SignInState;
use crate::oauth::store::{FlowLock, PendingSignIn, Prompt, Tokens};
use crate::redact;

/// The time that the user has to sign in.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a page that was opened is not opened again, in seconds.
const STILL_OPEN: u64 = 60;

/// Resumes the sign-in that another process began.
pub(super) async fn resume(
    sign_in: &mut UserSignIn<'_>,
    wanted: Option<&str>,
) -> Result<ResumedSignIn, SignInError> {
    let Some((pending, page)) = resumable_page(sign_in.state, wanted, sign_in.lock).await else {
        return Ok(ResumedSignIn::Nothing);
    };
    info!("a sign-in that another process began is resumed");
    match finish(sign_in, pending, &page).await {
        Ok(tokens) => Ok(ResumedSignIn::Done(tokens)),
        Err(GrantFailure::Other(error)) => Err(error),
        Err(error @ (GrantFailure::InvalidGrant(_) | GrantFailure::UnknownClient(_))) => {
            Ok(ResumedSignIn::Failed(error))
        }
    }
}

/// Sends the user to a page as this client, and makes tokens of what the redirect brings.
///
/// # Errors
/// When there is no page. The inner result is that of asking for tokens.
pub(super) async fn attempt(
    sign_in: &mut UserSignIn<'_>,
    target: &SignInTarget,
    identity: ClientIdentity,
    now: u64,
) -> Result<Result<Tokens, GrantFailure>, SignInError> {
    let (state, settings) = (sign_in.state, &sign_in.state.settings);
    let authorization = &target.authorization;
    let ClientIdentity { client, listener: Some((callback, redirect)), .. } = identity else {
        return Err(defect());
    };
    let request = AuthorizationRequest::new(
        authorization,
        &AuthorizationOptions {
            client: &client.client_id,
            resource: settings.names_resource.then_some(target.resource.as_str()),
            scope: target.scope.as_deref(),
            redirect: &redirect,
            dpop_jkt: target.dpop_key.as_ref().map(DpopKey::thumbprint),
            parameters: &settings.parameters,
        },
    );
    let Some(request) = request else {
        let sentence = format!("{} names no page to sign in at", foreign(&authorization.issuer));
        return Err(SignInError::failed(sentence, "have its metadata looked at"));
    };
    redact::register_token(&request.verifier);
    let pending = PendingSignIn {
        at: now,
        prompt: Prompt::Page(request.clone()),
        authorization: authorization.clone(),
        resource: target.resource.clone(),
        client,
        dpop_key: target.dpop_key.clone(),
    };
    sign_in.note(&pending).await;
    let elsewhere = show(state, &request, authorization);
    Ok(finish(sign_in, pending, &SignInPage { request, callback, elsewhere }).await)
}

/// A page that the user was sent to, and the way back.
struct SignInPage {
    request: AuthorizationRequest,
    callback: Callback,
    /// The command by which a browser of another computer can be used, where none could be opened here.
    elsewhere: Option<String>,
}

/// The sign-in that a process which is gone has begun, with the listener that its page leads back to.
async fn resumable_page(
    state: &SignInState,
    wanted: Option<&str>,
    lock: &FlowLock,
) -> Option<(PendingSignIn, SignInPage)> {
    let pending = resumable(state, wanted, lock).await?;
    let Prompt::Page(request) = pending.prompt.clone() else { return None };
    let age = seconds(wall_clock()).checked_sub(pending.at)?;
    if age >= PATIENCE.as_secs() {
        drop_registration(state, &pending).await;
        return None;
    }
    if !redirects_to_this_host(state, &request) {
        return None;
    }
    let port = port_of(&request.redirect)?;
    let callback = Callback::bind(&state.settings, Some(port)).await.ok()?;
    let elsewhere = if age >= STILL_OPEN {
        show(state, &request, &pending.authorization)
    } else {
        let login = &state.login;
        warn!(
            "sign in at {} (the page may be open already; if it shows an error, get another one: {login})",
            request.url
        );
        None
    };
    Some((pending, SignInPage { request, callback, elsewhere }))
}

/// Drops the registration after a sign-in that was not finished: the authorization server may have expired it, which only its
/// page could say. The next attempt registers a new client.
async fn drop_registration(state: &SignInState, pending: &PendingSignIn) {
    let is_other = |client: &OAuthClient| client.client_id != pending.client.client_id;
    // Where that cannot be noted, the next one is as good as this one.
    let _ = state.change(|stored| stored.registrations.retain(is_other)).await;
}

/// Returns whether the redirect URI is the one that the options name now.
fn redirects_to_this_host(state: &SignInState, request: &AuthorizationRequest) -> bool {
    let settings = &state.settings;
    let Ok(back) = url::Url::parse(&request.redirect) else { return false };
    back.path() == settings.callback_path
        && settings.port.is_none_or(|port| back.port() == Some(port))
        && settings.host.as_deref().is_none_or(|host| back.host_str() == Some(host))
}

/// Has the page opened, or says where it is. Returns the command by which a browser of another computer can be used, where none
/// could be opened here.
fn show(
    state: &SignInState,
    request: &AuthorizationRequest,
    authorization: &AuthorizationServer,
) -> Option<String> {
    let (settings, url) = (&state.settings, &request.url);
    if settings.pasted.is_some() {
        warn!("sign in at {url}");
        warn!(
            "in a browser on any computer; then paste the address that it ends at here. It begins with {}, and need not load",
            request.redirect
        );
        return None;
    }
    if browser::open(url, &settings.url, &settings.browser) {
        warn!(
            "sign in at {url} (a browser should have opened; if the page shows an error, get another one: {})",
            state.login
        );
        return None;
    }
    warn!("sign in at {url} (if the page shows an error, get another one: {})", state.login);
    let command = elsewhere(state, authorization);
    warn!("no browser could be opened here; with one on another computer: {command}");
    Some(command)
}

/// The command to sign in by where no browser can come back to this computer: with a code, where the authorization server gives
/// any.
fn elsewhere(state: &SignInState, authorization: &AuthorizationServer) -> String {
    let option = match authorization.device_authorization_endpoint {
        Some(_) => "--device-code",
        None => "--paste",
    };
    state.settings.identity.command_with("login", Some(option))
}

/// Waits for what comes back with the user: at the listener, with the page that waits for what becomes of it, or pasted. None where
/// nothing can be pasted any more.
async fn returned(
    state: &SignInState,
    page_visit: &SignInPage,
    authorization: &AuthorizationServer,
) -> Option<(AuthorizationResponse, Option<CallbackPage>)> {
    let at_listener = page_visit.callback.answer(&page_visit.request, authorization);
    let Some(pasted) = &state.settings.pasted else {
        let (returned, page) = at_listener.await;
        return Some((returned, Some(page)));
    };
    tokio::select! {
        (returned, page) = at_listener => Some((returned, Some(page))),
        returned = pasted.answer(&page_visit.request, authorization) => returned.map(|returned| (returned, None)),
    }
}

/// Waits for the redirect, and exchanges its code for tokens.
async fn finish(
    sign_in: &mut UserSignIn<'_>,
    pending: PendingSignIn,
    page_visit: &SignInPage,
) -> Result<Tokens, GrantFailure> {
    let (state, progress) = (sign_in.state, sign_in.progress);
    let at = place(&state.settings.url);
    let action = UserAction { elsewhere: page_visit.elsewhere.clone(), ..pending.prompt.action() };
    let _ = progress.send(SignInProgress::Waiting(action));
    let answer = tokio::time::timeout(PATIENCE, returned(state, page_visit, &pending.authorization)).await;
    // A process that resumed it would wait for a response that has come.
    SignInState::note(sign_in.lock, None).await;
    let Ok(answer) = answer else {
        drop_registration(state, &pending).await;
        let sentence =
            format!("the sign-in at {at} was not completed within {} minutes", PATIENCE.as_secs() / 60);
        let advice = format!(
            "try again, and sign in on the page that opens; if a browser cannot come back to this computer: {}",
            elsewhere(state, &pending.authorization)
        );
        let failure = SignInError::failed(sentence, advice);
        return Err(GrantFailure::Other(failure.of_kind(FailureKind::TimedOut)));
    };
    let Some((returned, page)) = answer else {
        let sentence =
            format!("the sign-in at {at} was not completed: the input ended before an address was pasted");
        let advice = "try again, and paste the address that the browser ends at; the input has to stay open until then";
        return Err(GrantFailure::Other(SignInError::failed(sentence, advice)));
    };
    let _ = progress.send(SignInProgress::Preparing);
    let obtained = match returned {
        AuthorizationResponse::Code(code) => {
            exchange(state, &sign_in.http, &pending, &page_visit.request, &code).await
        }
        AuthorizationResponse::Refused(error, description) => {
            Err(authorization_refused(&pending.authorization, &at, &error, description.as_deref()))
        }
        AuthorizationResponse::WrongIssuer(issuer) => {
            let named = issuer.map_or_else(|| "nobody".to_owned(), |issuer| foreign(&issuer));
            let sentence = format!(
                "the answer to the sign-in for {at} names {named} as its issuer, not {}",
                foreign(&pending.authorization.issuer)
            );
            let advice =
                "do not continue; tell the server's administrator, because sign-ins may have been mixed up";
            Err(GrantFailure::Other(SignInError::failed(sentence, advice)))
        }
    };
    if let Some(page) = page {
        announce_result(page, &at, &obtained, state.settings.success_url.as_ref().map(url::Url::as_str))
            .await;
    }
    obtained
}

/// The error for an error response of the authorization endpoint (RFC 6749, section 4.1.2.1).
fn authorization_refused(
    authorization: &AuthorizationServer,
    at: &str,
    error: &str,
    description: Option<&str>,
) -> GrantFailure {
    let words = description.map(|text| format!(" ({})", foreign(text))).unwrap_or_default();
    let sentence =
        format!("{} did not sign you in for {at}: {}{words}", foreign(&authorization.issuer), foreign(error));
    let advice = match () {
        () if error_response::is_about_resource(error, description) => token::LEAVE_OUT_RESOURCE,
        () if error_response::is_about_redirect(error, description) => {
            "have this computer's address registered for the client there, or spell it is registered: \
             --host localhost"
        }
        () => "try again; if it stays like this, ask the server's administrator",
    };
    let failure = SignInError::failed(sentence, advice).of_kind(FailureKind::Denied);
    match error {
        "invalid_client" | "unauthorized_client" => GrantFailure::UnknownClient(failure),
        _ => GrantFailure::Other(failure),
    }
}

async fn announce_result(
    page: CallbackPage,
    at: &str,
    obtained: &Result<Tokens, GrantFailure>,
    elsewhere: Option<&str>,
) {
    match obtained {
        Ok(_) => page.succeed(at, elsewhere).await,
        Err(
            GrantFailure::UnknownClient(failure)
            | GrantFailure::InvalidGrant(failure)
            | GrantFailure::Other(failure),
        ) => {
            page.fail(&failure.to_string(), failure.advice()).await;
        }
    }
}

/// Exchanges a code for tokens, and stores them.
async fn exchange(
    state: &SignInState,
    http: &OAuthHttp<'_>,
    pending: &PendingSignIn,
    request: &AuthorizationRequest,
    code: &str,
) -> Result<Tokens, GrantFailure> {
    redact::register_token(code);
    let mut grant = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &request.redirect),
        ("code_verifier", &request.verifier),
    ];
    if state.settings.names_resource {
        grant.push(("resource", &pending.resource));
    }
    state.bind(&pending.authorization).await.map_err(GrantFailure::Other)?;
    let _asking = state.asking.read().await;
    let (authorization, client) = (&pending.authorization, &pending.client);
    let binding = state.key_binding(pending.dpop_key.as_ref());
    let tokens =
        token::request_tokens(http, authorization, client, &grant, wall_clock(), binding.as_ref()).await?;
    Ok(keep(state, pending, tokens).await)
}
