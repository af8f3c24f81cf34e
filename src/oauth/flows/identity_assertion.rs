//! The identity assertion grant (draft-ietf-oauth-identity-assertion-authz-grant): the company's identity provider exchanges
//! its ID token for an assertion that is meant for one authorization server (ID-JAG; RFC 8693), and that authorization server
//! gives a token of the MCP server for it (RFC 7523, section 2.1).
//!
//! Deliberately not here: where the ID token comes from, and when another is needed (`enterprise`).

use std::time::SystemTime;

use tracing::info;

use crate::auth::Credentials;
use crate::auth::dpop::DpopKey;
use crate::jwt;
use crate::oauth::authorization_request::scope;
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::client::OAuthClient;
use crate::oauth::clock::wall_clock;
use crate::oauth::discovery::DiscoveredServer;
use crate::oauth::flows::client_credentials::{self, authorization_server};
use crate::oauth::flows::registration;
use crate::oauth::flows::token::{self, GrantFailure, JWT_BEARER_GRANT, TokenRequestError};
use crate::oauth::http::OAuthHttp;
use crate::oauth::http::error_response::ErrorResponse;
use crate::oauth::issuer;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::object::Object;
use crate::oauth::sign_in_error::{FailureKind, SignInError, foreign, place};
use crate::oauth::state::SignInState;
use crate::oauth::store::Tokens;
use crate::redact;
use crate::secret::Secret;

/// The grant of a token exchange (RFC 8693, section 2.1).
const TOKEN_EXCHANGE_GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The type of an ID token there (RFC 8693, section 3).
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// The type of the assertion, and the `typ` of its header.
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const ID_JAG_HEADER: &str = "oauth-id-jag+jwt";

/// What an assertion is for: the authorization server of the MCP server, and who we are there.
pub(in crate::oauth) struct AssertionTarget {
    found: DiscoveredServer,
    client: OAuthClient,
    scope: Option<String>,
    resource: Option<String>,
    /// The key that the server's tokens are bound to.
    dpop_key: Option<DpopKey>,
}

/// Discovers what an assertion is needed for.
///
/// # Errors
/// When the authorization server cannot be found or is not accepted, or no client is named there.
pub(in crate::oauth) async fn target(
    state: &SignInState,
    credentials: &Credentials,
    challenge: &SignInChallenge,
    wanted: Option<&str>,
) -> Result<AssertionTarget, SignInError> {
    let settings = &state.settings;
    let http = OAuthHttp { http: &state.http, server: &settings.url, credentials };
    let stored = state.stored().await?;
    let found = authorization_server(&http, settings, &stored, challenge).await?;
    issuer::accept(settings, &stored, &found.authorization)?;
    let Some(client) = registration::named(settings, &found.authorization) else {
        let issuer = foreign(&found.authorization.issuer);
        return Err(SignInError::failed(
            format!(
                "no client is named for the authorization server {issuer}, which takes no client metadata document"
            ),
            "register a client there, and name it with --static-oauth-client-info",
        ));
    };
    let requested = stored.tokens.as_ref().and_then(|tokens| tokens.requested.as_deref());
    // There is no staying signed in there: the identity provider decides that.
    let nothing = AuthorizationServer::default();
    let scope = scope(settings.scope.as_deref(), wanted.or(requested), found.scopes.as_deref(), &nothing);
    let resource = settings.resource.clone().or_else(|| found.resource.clone());
    let resource = resource.filter(|_| settings.names_resource);
    let dpop_key = state.new_dpop_key(&found, &stored);
    Ok(AssertionTarget { found, client, scope, resource, dpop_key })
}

/// Exchanges an ID token at the identity provider, whose metadata this is, for an assertion.
///
/// # Errors
/// `InvalidGrant` where the identity provider does not accept the ID token any more.
pub(in crate::oauth) async fn exchange(
    provider: &SignInState,
    authorization: &AuthorizationServer,
    credentials: &Credentials,
    target: &AssertionTarget,
    id_token: &str,
) -> Result<Secret, GrantFailure> {
    let settings = &provider.settings;
    let client = settings.client.clone().unwrap_or_default();
    let http = OAuthHttp { http: &provider.http, server: &settings.url, credentials };
    let mut grant = vec![
        ("grant_type", TOKEN_EXCHANGE_GRANT),
        ("requested_token_type", ID_JAG),
        ("audience", target.found.authorization.audience()),
        ("subject_token", id_token),
        ("subject_token_type", ID_TOKEN),
    ];
    grant.extend(target.resource.as_deref().map(|name| ("resource", name)));
    grant.extend(target.scope.as_deref().map(|scope| ("scope", scope)));
    let answer = token::send_grant(&http, authorization, &client, &grant, wall_clock(), None).await;
    let assertion = answer.map_err(|error| match error {
        TokenRequestError::Failed(failure) => GrantFailure::Other(failure),
        TokenRequestError::Refused(refusal) => not_exchanged(authorization, &refusal),
    })?;
    let assertion = assertion.access_token;
    redact::register_token(&assertion);
    assertion.rsplit('.').next().into_iter().for_each(redact::register_token);
    check(&assertion, authorization, target, wall_clock()).map_err(|problem| {
        let sentence = format!("the identity provider {} gave {problem}", foreign(&authorization.issuer));
        let advice = "do not continue; tell the identity provider's administrator, because sign-ins may have been mixed up";
        GrantFailure::Other(SignInError::failed(sentence, advice))
    })?;
    Ok(Secret::new(assertion))
}

/// What follows from a refusal of the identity provider.
fn not_exchanged(authorization: &AuthorizationServer, refusal: &ErrorResponse) -> GrantFailure {
    let failure = token::refused(authorization, refusal);
    match failure {
        GrantFailure::UnknownClient(error) => GrantFailure::Other(
            error.advising("check the client of --enterprise-client-info, and what it may do there"),
        ),
        GrantFailure::Other(error) if refusal.error == "invalid_token" => GrantFailure::InvalidGrant(error),
        GrantFailure::Other(error) if refusal.is_final() => GrantFailure::Other(error.advising(
            "ask the identity provider's administrator to allow this client and this server for you",
        )),
        other => other,
    }
}

/// Checks an assertion before it is sent: its kind, who made it, for whom, and for what.
fn check(
    assertion: &str,
    provider: &AuthorizationServer,
    target: &AssertionTarget,
    now: SystemTime,
) -> Result<(), String> {
    let (header, claims) = (jwt::header(assertion), jwt::payload(assertion));
    let header = header.as_deref().and_then(Object::parse);
    let (Some(header), Some(text)) = (header, claims.as_deref()) else {
        return Err("an assertion that is no JSON Web Token".to_owned());
    };
    let Some(claims) = Object::parse(text) else {
        return Err("an assertion that is no JSON Web Token".to_owned());
    };
    if !header.text("typ").is_some_and(|kind| kind.eq_ignore_ascii_case(ID_JAG_HEADER)) {
        return Err(format!("a token that is no {ID_JAG_HEADER}"));
    }
    let issuer = claims.text("iss").unwrap_or_default();
    if !provider.is_named(&issuer) {
        return Err(format!("an assertion of another issuer, {}", foreign(&issuer)));
    }
    let audiences = jwt::names(text, "aud");
    let authorization = &target.found.authorization;
    // Another that it is for as well could use it there.
    if audiences.is_empty() || !audiences.iter().all(|audience| authorization.is_named(audience)) {
        let audiences = foreign(&audiences.join(", "));
        return Err(format!("an assertion for {audiences}, not for {}", foreign(&authorization.issuer)));
    }
    if let Some(id) = claims.text("client_id").filter(|id| *id != target.client.client_id) {
        return Err(format!("an assertion for another client, {}", foreign(&id)));
    }
    let resources = jwt::names(text, "resource");
    if let Some(wanted) = &target.resource
        && !resources.is_empty()
        && !resources.contains(wanted)
    {
        let resources = foreign(&resources.join(", "));
        return Err(format!("an assertion for {resources}, not for {}", foreign(wanted)));
    }
    match jwt::expiry(assertion).is_some_and(|end| end <= now) {
        true => Err("an assertion that has expired".to_owned()),
        false => Ok(()),
    }
}

/// Asks the MCP server's authorization server for a token, and stores it.
///
/// # Errors
/// When it gives none.
pub(in crate::oauth) async fn redeem(
    state: &SignInState,
    credentials: &Credentials,
    target: AssertionTarget,
    assertion: &Secret,
) -> Result<Tokens, SignInError> {
    let AssertionTarget { found, client, scope, resource, dpop_key } = target;
    let settings = &state.settings;
    let http = OAuthHttp { http: &state.http, server: &settings.url, credentials };
    let mut grant = vec![("grant_type", JWT_BEARER_GRANT), ("assertion", assertion.reveal())];
    grant.extend(resource.as_deref().map(|name| ("resource", name)));
    grant.extend(scope.as_deref().map(|scope| ("scope", scope)));
    state.bind(&found.authorization).await?;
    let _asking = state.asking.read().await;
    let binding = state.key_binding(dpop_key.as_ref());
    let authorization = &found.authorization;
    let tokens =
        token::request_tokens(&http, authorization, &client, &grant, wall_clock(), binding.as_ref()).await;
    let tokens = tokens.map_err(|refused| {
        let is_about_grant = matches!(refused, GrantFailure::InvalidGrant(_));
        let error = refused.into_error().of_kind(FailureKind::Token);
        match is_about_grant {
            true => error.advising(
                "have the authorization server trust the identity provider, for this client and user",
            ),
            false => error,
        }
    })?;
    // The identity provider decides anew each time.
    let tokens = Tokens { refresh_token: None, requested: scope, ..tokens };
    tokens.register_secrets();
    info!("{} gave a token for {}", foreign(&found.authorization.issuer), place(&settings.url));
    client_credentials::store(state, found.authorization, &client, resource, &tokens).await;
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn assertion_is_for_one_authorization_server_client_and_resource() {
        let named = |issuer: &str| AuthorizationServer {
            issuer: issuer.to_owned(),
            token_endpoint: format!("{issuer}/token"),
            ..AuthorizationServer::default()
        };
        let found = DiscoveredServer {
            authorization: named("https://as"),
            resource: None,
            scopes: None,
            offers_dpop: false,
        };
        let client = OAuthClient { client_id: "c".to_owned(), ..OAuthClient::default() };
        let resource = Some("https://h/mcp".to_owned());
        let target = AssertionTarget { found, client, scope: None, resource, dpop_key: None };
        let jag = r#"{"alg":"ES256","typ":"oauth-id-jag+jwt"}"#;
        for (header, claims, expected) in [
            (jag, r#"{"iss":"https://idp","aud":"https://as"}"#, ""),
            (
                jag,
                r#"{"iss":"https://idp/","aud":"https://as/","client_id":"c","resource":"https://h/mcp","exp":101}"#,
                "",
            ),
            (
                jag,
                r#"{"iss":"https://idp","aud":["https://as"],"resource":["https://x","https://h/mcp"]}"#,
                "",
            ),
            (r#"{"typ":"JWT"}"#, r#"{"iss":"https://idp","aud":"https://as"}"#, "is no oauth-id-jag+jwt"),
            ("{}", r#"{"iss":"https://idp","aud":"https://as"}"#, "is no oauth-id-jag+jwt"),
            ("[]", r#"{"iss":"https://idp","aud":"https://as"}"#, "is no JSON Web Token"),
            (jag, "[]", "is no JSON Web Token"),
            (jag, r#"{"aud":"https://as"}"#, "of another issuer"),
            (jag, r#"{"iss":"https://evil","aud":"https://as"}"#, "of another issuer, https://evil"),
            (jag, r#"{"iss":"https://idp"}"#, "not for https://as"),
            (jag, r#"{"iss":"https://idp","aud":"https://evil"}"#, "for https://evil, not for https://as"),
            (jag, r#"{"iss":"https://idp","aud":["https://as","https://evil"]}"#, "not for https://as"),
            (jag, r#"{"iss":"https://idp","aud":"https://as/token"}"#, "not for https://as"),
            (jag, r#"{"iss":"https://idp","aud":"https://as","client_id":"d"}"#, "for another client, d"),
            (
                jag,
                r#"{"iss":"https://idp","aud":"https://as","resource":"https://x"}"#,
                "for https://x, not for https://h/mcp",
            ),
            (jag, r#"{"iss":"https://idp","aud":"https://as","exp":100}"#, "has expired"),
        ] {
            let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
            let assertion = format!("{}.{}.x", part(header), part(claims));
            let now = UNIX_EPOCH + Duration::from_secs(100);
            let told = check(&assertion, &named("https://idp"), &target, now).err().unwrap_or_default();
            assert_eq!(told.is_empty(), expected.is_empty(), "{claims}: {told}");
            assert!(told.contains(expected), "{claims}: {told}");
        }
        assert!(check("opaque", &named("https://idp"), &target, UNIX_EPOCH).is_err());
    }
}
