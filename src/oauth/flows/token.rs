//! From a code, or from what keeps one signed in, to a token (RFC 6749, sections 4.1.3 and 6; RFC 8707).
//!
//! Deliberately not here: where tokens are kept (`store`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use url::Url;

use crate::oauth::client::OAuthClient;
use crate::oauth::dpop::KeyBinding;
use crate::oauth::http::error_response::{ErrorResponse, is_bearer, is_final, members};
use crate::oauth::http::{FORM, OAuthHttp};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::object::Object;
use crate::oauth::private_key::PrivateKey;
use crate::oauth::sign_in_error::{SignInError, foreign, place};
use crate::oauth::store::Tokens;
use crate::redact;
use crate::secret::Secret;

/// What a signed proof is called (RFC 7523, section 2.2).
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The JWT bearer grant (RFC 7523, section 2.1).
pub(in crate::oauth) const JWT_BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The advice where the authorization server does not know the server by its name.
pub(in crate::oauth) const LEAVE_OUT_RESOURCE: &str = "leave the name of the server out, which the authorization server does not know: --disable-resource-parameter";

/// Why a grant gave no tokens, by what can be done about it.
#[derive(Debug)]
pub(in crate::oauth) enum GrantFailure {
    /// The authorization server does not know the client, or has expired its registration.
    UnknownClient(SignInError),
    /// The code or the refresh token is not valid (`invalid_grant`).
    InvalidGrant(SignInError),
    /// Another refusal, or no answer of the token endpoint; either may pass.
    Other(SignInError),
}

impl GrantFailure {
    pub(in crate::oauth) fn into_error(self) -> SignInError {
        match self {
            GrantFailure::UnknownClient(failure)
            | GrantFailure::InvalidGrant(failure)
            | GrantFailure::Other(failure) => failure,
        }
    }
}

/// Why a request to the token endpoint brought no tokens.
pub(in crate::oauth) enum TokenRequestError {
    /// An error response of the endpoint.
    Refused(ErrorResponse),
    /// No answer, or one that is neither tokens nor an error response.
    Failed(SignInError),
}

impl TokenRequestError {
    /// The same in words.
    pub(in crate::oauth) fn into_error(self, authorization: &AuthorizationServer) -> SignInError {
        match self {
            TokenRequestError::Refused(refusal) => refused(authorization, &refusal).into_error(),
            TokenRequestError::Failed(failure) => failure,
        }
    }
}

/// Asks the token endpoint, with what the grant consists of.
pub(in crate::oauth) async fn request_tokens(
    http: &OAuthHttp<'_>,
    authorization: &AuthorizationServer,
    client: &OAuthClient,
    grant: &[(&str, &str)],
    now: SystemTime,
    binding: Option<&KeyBinding>,
) -> Result<Tokens, GrantFailure> {
    send_grant(http, authorization, client, grant, now, binding).await.map_err(|no| match no {
        TokenRequestError::Refused(refusal) => refused(authorization, &refusal),
        TokenRequestError::Failed(failure) => GrantFailure::Other(failure),
    })
}

/// The same, with the refusal as it came.
pub(in crate::oauth) async fn send_grant(
    http: &OAuthHttp<'_>,
    authorization: &AuthorizationServer,
    client: &OAuthClient,
    grant: &[(&str, &str)],
    now: SystemTime,
    binding: Option<&KeyBinding>,
) -> Result<Tokens, TokenRequestError> {
    let endpoint = Url::parse(&authorization.token_endpoint).map_err(|_| {
        let sentence = format!("{} names no usable token endpoint", foreign(&authorization.issuer));
        TokenRequestError::Failed(SignInError::failed(sentence, "have its metadata looked at"))
    })?;
    let send = async || {
        let (mut headers, body) = prepared(authorization, client, grant, now);
        binding.into_iter().for_each(|binding| binding.add_proof(&endpoint, &mut headers));
        let answer = http.post(&endpoint, FORM, body, headers).await.map_err(TokenRequestError::Failed)?;
        let may_repeat = binding.is_some_and(|binding| binding.note_answer(&answer));
        Ok((answer, may_repeat))
    };
    let (mut answer, may_repeat) = send().await?;
    // The endpoint has spent nothing. A second such answer is an error.
    if may_repeat {
        (answer, _) = send().await?;
    }
    let failed =
        |sentence: String, advice: &str| TokenRequestError::Failed(SignInError::failed(sentence, advice));
    if answer.is_ok() {
        let members = members(&answer).unwrap_or_default();
        match (granted(&members, now, binding.is_some()), binding) {
            (Some(tokens), None) => return Ok(tokens),
            (Some(tokens), Some(binding)) => {
                return binding.bind(tokens, &place(&endpoint)).map_err(TokenRequestError::Failed);
            }
            (None, _) => {}
        }
        if let Some(refusal) = ErrorResponse::read(&answer) {
            return Err(TokenRequestError::Refused(refusal));
        }
        let kind = Object::parse(&members).and_then(|granted| granted.text("token_type"));
        let without = kind.filter(|kind| !is_bearer(kind)).map_or_else(
            || "without a usable token".to_owned(),
            |kind| format!("with a token of type {}, not Bearer", foreign(&kind)),
        );
        let sentence = format!("{} answered {without}", place(&endpoint));
        return Err(failed(sentence, "have the authorization server's log looked at"));
    }
    let in_short = || ErrorResponse { status: answer.status, ..ErrorResponse::default() };
    match ErrorResponse::read(&answer).or_else(|| is_final(answer.status).then(in_short)) {
        Some(refusal) => Err(TokenRequestError::Refused(refusal)),
        None => {
            let sentence = format!("{} answered {} instead of a token", place(&endpoint), answer.status());
            Err(failed(sentence, "try again later, or have the authorization server's log looked at"))
        }
    }
}

/// What follows from a refusal of the token endpoint.
pub(in crate::oauth) fn refused(
    authorization: &AuthorizationServer,
    refusal: &ErrorResponse,
) -> GrantFailure {
    let endpoint = Url::parse(&authorization.token_endpoint).map(|url| place(&url)).unwrap_or_default();
    let sentence = match refusal.error.as_str() {
        "" => match refusal.error_description {
            Some(_) => {
                format!("{endpoint} answered {} instead of a token: {}", refusal.status, refusal.words())
            }
            None => format!("{endpoint} answered {} instead of a token", refusal.status),
        },
        _ => format!("{endpoint} gave no token: {}", refusal.words()),
    };
    let failure = |advice: &str| SignInError::failed(sentence.clone(), advice);
    match refusal.error.as_str() {
        _ if refusal.is_about_client() => GrantFailure::UnknownClient(failure(
            "check the client id and secret, or have the client registered again",
        )),
        "invalid_grant" => GrantFailure::InvalidGrant(failure(
            "sign in again; if that is refused as well, you may have lost access to this server",
        )),
        "use_dpop_nonce" => GrantFailure::Other(failure(
            "try again; if it stays like this, have the authorization server's log looked at, or leave DPoP out: --dpop never",
        )),
        "invalid_dpop_proof" => GrantFailure::Other(failure(
            "check this computer's clock; if it is right, have the authorization server's log looked at, or leave DPoP out: \
             --dpop never",
        )),
        "unsupported_grant_type" => {
            GrantFailure::Other(failure("have this way of signing in allowed for the client there"))
        }
        _ if refusal.is_about_resource() => GrantFailure::Other(failure(LEAVE_OUT_RESOURCE)),
        _ if refusal.is_about_redirect() => GrantFailure::Other(failure(
            "have this computer's address registered for the client there, or spell it is registered: --host localhost",
        )),
        "" if !refusal.is_final() => {
            GrantFailure::Other(failure("try again later, or have the authorization server's log looked at"))
        }
        _ => GrantFailure::Other(failure("have the authorization server's log looked at")),
    }
}

/// Headers and body of a request by a client, proven in the way that both sides know.
pub(in crate::oauth) fn prepared(
    authorization: &AuthorizationServer,
    client: &OAuthClient,
    grant: &[(&str, &str)],
    now: SystemTime,
) -> (HeaderMap, String) {
    let mut headers = HeaderMap::new();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(grant);
    match (method(authorization, client), &client.client_secret) {
        (Method::Assertion(assertion), _) => {
            form.append_pair("client_id", &client.client_id)
                .append_pair("client_assertion_type", ASSERTION)
                .append_pair("client_assertion", assertion.reveal());
        }
        (Method::Key(key), _) => {
            let assertion =
                key.assertion(&client.client_id, authorization.audience(), now).unwrap_or_default();
            redact::register_token(&assertion);
            // A server may name the signature alone.
            assertion.rsplit('.').next().into_iter().for_each(redact::register_token);
            form.append_pair("client_id", &client.client_id)
                .append_pair("client_assertion_type", ASSERTION)
                .append_pair("client_assertion", &assertion);
        }
        (Method::Basic, Some(secret)) => {
            let encoded =
                |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(&client.client_id), encoded(secret));
            redact::register_secret(&pair);
            if let Ok(mut value) = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair))) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        (Method::Post, Some(secret)) => {
            form.append_pair("client_id", &client.client_id).append_pair("client_secret", secret);
        }
        // A workload need not be a client (RFC 7523, section 3.1).
        (Method::Basic | Method::Post | Method::None, _) if client.client_id.is_empty() => {}
        (Method::Basic | Method::Post | Method::None, _) => {
            form.append_pair("client_id", &client.client_id);
        }
    }
    (headers, form.finish())
}

/// How a client proves itself.
enum Method<'a> {
    Basic,
    Post,
    Key(&'a PrivateKey),
    /// By a token that the platform signed.
    Assertion(&'a Secret),
    None,
}

/// What was registered counts; else what the authorization server offers, the usual one first.
fn method<'a>(authorization: &AuthorizationServer, client: &'a OAuthClient) -> Method<'a> {
    if let Some(assertion) = &client.assertion {
        return Method::Assertion(assertion);
    }
    let named = |name: &str| match (name, client.key.as_deref(), &client.client_secret) {
        ("client_secret_basic", _, Some(_)) => Some(Method::Basic),
        ("client_secret_post", _, Some(_)) => Some(Method::Post),
        ("private_key_jwt", Some(key), _) => Some(Method::Key(key)),
        ("none", ..) => Some(Method::None),
        _ => None,
    };
    if let Some(method) = client.token_endpoint_auth_method.as_deref().and_then(named) {
        return method;
    }
    let offered = authorization.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
    let offers = |name: &str| offered.iter().any(|offered| offered == name);
    match (client.key.as_deref(), &client.client_secret) {
        (Some(key), None) => Method::Key(key),
        (Some(key), Some(_)) if offers("private_key_jwt") => Method::Key(key),
        (_, Some(_)) if offers("client_secret_post") && !offers("client_secret_basic") => Method::Post,
        (_, Some(_)) => Method::Basic,
        (None, None) => Method::None,
    }
}

/// The tokens of an answer; bound ones only if the request proved a key.
fn granted(body: &str, now: SystemTime, proves_key: bool) -> Option<Tokens> {
    let granted = Object::parse(body)?;
    let access_token = granted.text("access_token")?;
    let token_type = granted.text("token_type");
    let is_dpop_bound =
        proves_key && token_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("DPoP"));
    let is_usable = is_dpop_bound || token_type.is_none_or(|kind| is_bearer(&kind));
    let is_sendable = HeaderValue::try_from(&access_token).is_ok() && !access_token.is_empty();
    let expires = granted
        .number("expires_in")
        // Some mean by it that it does not run out; who means the other thing says so by refusing it.
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|left| now.checked_add(left))
        .and_then(|end| end.duration_since(UNIX_EPOCH).ok())
        .map(|end| end.as_secs());
    (is_usable && is_sendable).then_some(Tokens {
        access_token,
        id_token: granted.text("id_token").filter(|token| HeaderValue::try_from(token).is_ok()),
        refresh_token: granted.text("refresh_token").filter(|token| !token.is_empty()),
        obtained: now.duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
        expires,
        scope: granted.text("scope").filter(|scope| !scope.is_empty()).map(|scope| without_secrets(&scope)),
        requested: None,
        dpop_key: None,
        is_dpop_bound,
    })
}

/// A scope without the words that repeat a secret: it is kept in a file and shown.
pub(in crate::oauth) fn without_secrets(scope: &str) -> String {
    scope.split(' ').filter(|word| !redact::repeats_secret(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tokens_in_every_form() {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        for (body, expected) in [
            (r#"{"access_token":"a","token_type":"bearer","expires_in":900}"#, Some((Some(1000), None))),
            (r#"{"access_token":"a","expires_in":"60","refresh_token":"r"}"#, Some((Some(160), Some("r")))),
            (r#"{"access_token":"a","expires_in":-1,"refresh_token":""}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":0}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":1e300}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":1e400}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":18446744073709551615}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":9223372036854775807}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":1.5}"#, Some((Some(101), None))),
            (r#"{"access_token":"a","expires_in":"soon"}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":""}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":"NaN"}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":-1e300}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":null}"#, Some((None, None))),
            (r#"{"access_token":"a","expires_in":[]}"#, Some((None, None))),
            (r#"{"access_token":"a"}"#, Some((None, None))),
            (r#"{"access_token":"a","token_type":"user"}"#, Some((None, None))),
            (r#"{"access_token":"a","token_type":"DPoP"}"#, None),
            (r#"{"access_token":"a\nb"}"#, None),
            (r#"{"access_token":""}"#, None),
            (r#"{"error":"x"}"#, None),
            ("<html>", None),
        ] {
            let found = granted(body, now, false);
            let found = found.as_ref().map(|tokens| (tokens.expires, tokens.refresh_token.as_deref()));
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn a_client_proves_itself_as_both_sides_know() {
        for (secret, registered, offered, basic, body) in [
            (None, None, &["client_secret_basic"][..], None, "g=1&client_id=i%3Ad"),
            (Some("s s"), None, &[], Some("i%3Ad:s+s"), "g=1"),
            (Some("s"), None, &["client_secret_post", "client_secret_basic"], Some("i%3Ad:s"), "g=1"),
            (Some("s"), None, &["client_secret_post"], None, "g=1&client_id=i%3Ad&client_secret=s"),
            (Some("s"), Some("client_secret_post"), &[], None, "g=1&client_id=i%3Ad&client_secret=s"),
            (Some("s"), Some("none"), &["client_secret_basic"], None, "g=1&client_id=i%3Ad"),
            (Some("s"), Some("private_key_jwt"), &[], Some("i%3Ad:s"), "g=1"),
        ] {
            let client = OAuthClient {
                client_id: "i:d".to_owned(),
                client_secret: secret.map(str::to_owned),
                token_endpoint_auth_method: registered.map(str::to_owned),
                ..OAuthClient::default()
            };
            let authorization = AuthorizationServer {
                token_endpoint_auth_methods_supported: Some(
                    offered.iter().map(|&name| name.to_owned()).collect(),
                ),
                ..AuthorizationServer::default()
            };
            let (headers, form) = prepared(&authorization, &client, &[("g", "1")], UNIX_EPOCH);
            let header = headers.get(AUTHORIZATION).map(|value| value.to_str().expect("ASCII").to_owned());
            assert_eq!(header, basic.map(|pair| format!("Basic {}", BASE64_STANDARD.encode(pair))));
            assert_eq!(form, body);
        }
    }
}
