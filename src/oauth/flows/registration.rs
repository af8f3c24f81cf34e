//! The client at an authorization server: named by the user, by the URL of a client ID metadata document, or registered
//! (RFC 7591) once for each server and issuer.

use http::header::HeaderMap;
use url::Url;

use crate::bridge::ErrorKind;
use crate::json;
use crate::oauth::client::OAuthClient;
use crate::oauth::documents;
use crate::oauth::flows::callback::Callback;
use crate::oauth::flows::token;
use crate::oauth::http::error_response::{ErrorResponse, is_final};
use crate::oauth::http::{OAuthHttp, OAuthResponse};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::settings::SignInSettings;
use crate::oauth::sign_in_error::{SignInError, foreign, place};
use crate::oauth::store::StoredSignIn;
use crate::redact;

/// What the grant is called.
pub(in crate::oauth) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The client, and the listener behind its redirect URI.
pub(in crate::oauth) struct ClientIdentity {
    pub(in crate::oauth) client: OAuthClient,
    /// The listener, and the redirect URI that leads to it; none where no redirect is used.
    pub(in crate::oauth) listener: Option<(Callback, String)>,
    /// Whether this program registered it, and can register again.
    pub(in crate::oauth) is_ours: bool,
}

/// Returns the client of the options or a stored registration, or registers one.
pub(in crate::oauth) async fn resolve_client(
    http: &OAuthHttp<'_>,
    settings: &SignInSettings,
    authorization: &AuthorizationServer,
    stored: &StoredSignIn,
    scope: Option<&str>,
    now: u64,
) -> Result<ClientIdentity, SignInError> {
    if let Some(client) = named(settings, authorization) {
        let callback = bind(settings, settings.port).await?;
        // The spelling of mcp-remote, which its users have registered.
        let redirect = redirect(settings, settings.host.as_deref().unwrap_or("localhost"), &callback);
        return Ok(ClientIdentity { client, listener: Some((callback, redirect)), is_ours: false });
    }
    for client in stored.registrations.iter().filter(|client| holds(client, authorization, now)) {
        let Some(stored) = client.redirect_uris.first() else { continue };
        let Some(port) = port_of(stored).filter(|port| settings.port.is_none_or(|wanted| wanted == *port))
        else {
            continue;
        };
        // Another program uses the port: a client with another port is registered.
        let Ok(callback) = Callback::bind(settings, Some(port)).await else { continue };
        let hosts = hosts(settings);
        if hosts.iter().any(|host| redirect(settings, host, &callback) == *stored) {
            let redirect = stored.clone();
            return Ok(ClientIdentity {
                client: client.clone(),
                listener: Some((callback, redirect)),
                is_ours: true,
            });
        }
    }
    let callback = bind(settings, settings.port).await?;
    let hosts = hosts(settings);
    for (index, host) in hosts.iter().enumerate() {
        let redirect = redirect(settings, host, &callback);
        match register(http, settings, authorization, Some(&redirect), scope).await {
            Ok(client) => {
                return Ok(ClientIdentity { client, listener: Some((callback, redirect)), is_ours: true });
            }
            // Access allows the two spellings of this machine separately, and firewalls take one of them for an attack.
            Err((true, _)) if index + 1 < hosts.len() => {}
            Err((_, failure)) => return Err(failure),
        }
    }
    Err(SignInError::NotOffered)
}

/// The same for the device grant, which has no redirect URI.
pub(in crate::oauth) async fn resolve_device_client(
    http: &OAuthHttp<'_>,
    settings: &SignInSettings,
    authorization: &AuthorizationServer,
    stored: &StoredSignIn,
    scope: Option<&str>,
    now: u64,
) -> Result<ClientIdentity, SignInError> {
    let identity = |client, is_ours| ClientIdentity { client, listener: None, is_ours };
    if let Some(client) = named(settings, authorization) {
        return Ok(identity(client, false));
    }
    let mut registered = stored.registrations.iter().filter(|client| client.redirect_uris.is_empty());
    if let Some(client) = registered.find(|client| holds(client, authorization, now)) {
        return Ok(identity(client.clone(), true));
    }
    let client = register(http, settings, authorization, None, scope).await;
    client.map(|client| identity(client, true)).map_err(|(_, failure)| failure)
}

/// The client that the user has named.
pub(in crate::oauth) fn named(
    settings: &SignInSettings,
    authorization: &AuthorizationServer,
) -> Option<OAuthClient> {
    let issuer = authorization.issuer.clone();
    match (&settings.client, &settings.client_metadata_url) {
        (Some(client), _) => Some(OAuthClient { issuer, ..client.clone() }),
        (None, Some(url)) if authorization.client_id_metadata_document_supported == Some(true) => {
            Some(OAuthClient { issuer, client_id: url.to_string(), ..OAuthClient::default() })
        }
        (None, _) => None,
    }
}

/// Returns whether a registration is this issuer's and has not expired.
fn holds(client: &OAuthClient, authorization: &AuthorizationServer, now: u64) -> bool {
    let expires = client.client_secret_expires_at;
    client.issuer == authorization.issuer && (client.client_secret.is_none() || expires == 0 || expires > now)
}

fn hosts(settings: &SignInSettings) -> Vec<&str> {
    settings.host.as_deref().map_or(vec!["127.0.0.1", "localhost"], |host| vec![host])
}

fn redirect(settings: &SignInSettings, host: &str, callback: &Callback) -> String {
    format!("http://{host}:{}{}", callback.port(), settings.callback_path)
}

/// The port of a redirect URI.
pub(in crate::oauth) fn port_of(redirect: &str) -> Option<u16> {
    Url::parse(redirect).ok()?.port()
}

async fn bind(settings: &SignInSettings, port: Option<u16>) -> Result<Callback, SignInError> {
    Callback::bind(settings, port).await.map_err(|error| {
        let which = port.map_or_else(|| "a port".to_owned(), |port| format!("port {port}"));
        let advice = match settings.callback_bind {
            Some(_) => "see whether --callback-bind is an address of this computer, and the port behind the URL is free",
            None => "leave the port behind the URL out, or write another one that the authorization server knows",
        };
        let sentence = format!("{which} of this computer, to come back to after signing in, cannot be used: {error}");
        SignInError::failed(sentence, advice)
    })
}

/// Registers a client. The error says whether it may be about the redirect URI.
async fn register(
    http: &OAuthHttp<'_>,
    settings: &SignInSettings,
    authorization: &AuthorizationServer,
    redirect: Option<&str>,
    scope: Option<&str>,
) -> Result<OAuthClient, (bool, SignInError)> {
    let fixed = |failure| (false, failure);
    let endpoint = authorization.registration_endpoint.as_deref().and_then(|text| Url::parse(text).ok());
    let Some(endpoint) = endpoint else {
        let sentence = format!(
            "the authorization server {} does not let programs register",
            foreign(&authorization.issuer)
        );
        let advice = "register a client there yourself and name it with --static-oauth-client-info, or its \
                      description with --client-metadata-url";
        return Err(fixed(SignInError::failed(sentence, advice)));
    };
    let metadata = client_metadata(settings, authorization, redirect, scope);
    let answer = http.post(&endpoint, "application/json", metadata, HeaderMap::new()).await;
    // A firewall may block the IP address of this computer in the body, and accept its name.
    let is_firewall = |failure: &SignInError| match failure {
        SignInError::Intercepted(report) => report.cause == ErrorKind::Firewall,
        _ => false,
    };
    let answer = answer.map_err(|failure| (is_firewall(&failure), failure))?;
    if let Some(client) = registered_client(&answer) {
        let client = OAuthClient {
            issuer: authorization.issuer.clone(),
            redirect_uris: redirect.map(str::to_owned).into_iter().collect(),
            ..client
        };
        client.register_secrets();
        return Ok(client);
    }
    let refusal = ErrorResponse::read(&answer);
    if authorization.is_assumed && refusal.as_ref().is_none_or(|refusal| refusal.error.is_empty()) {
        // The registration endpoint was a guess.
        return Err(fixed(SignInError::NotOffered));
    }
    // The refusal may be about the redirect URI, whatever it says; these statuses say that it is not.
    let may_be_redirect = is_final(answer.status) && !matches!(answer.status, 401 | 404 | 405 | 410);
    let sentence = match &refusal {
        Some(refusal) if !refusal.error.is_empty() => {
            format!("{} did not register this program: {}", place(&endpoint), refusal.words())
        }
        refusal => {
            let words = refusal.as_ref().map(|refusal| format!(": {}", refusal.words())).unwrap_or_default();
            let place = place(&endpoint);
            format!("{place} answered {} instead of a registration{words}", answer.status())
        }
    };
    let advice = advice(settings, answer.status, refusal.as_ref());
    Err((may_be_redirect, SignInError::failed(sentence, advice)))
}

/// The client of a successful registration. One whose id repeats a secret is not used: the id is stored and shown.
fn registered_client(answer: &OAuthResponse) -> Option<OAuthClient> {
    let client = documents::read::<OAuthClient>(&answer.body).filter(|_| answer.is_ok())?;
    let method = client.token_endpoint_auth_method.as_deref();
    let repeats_secret =
        redact::repeats_secret(&client.client_id) || method.is_some_and(redact::repeats_secret);
    (!repeats_secret).then_some(client)
}

/// The metadata that are registered (RFC 7591, section 2), as JSON. Members that the user has written replace ours.
fn client_metadata(
    settings: &SignInSettings,
    authorization: &AuthorizationServer,
    redirect: Option<&str>,
    scope: Option<&str>,
) -> String {
    let method = json::quoted(method(authorization));
    let redirects = redirect.map(|uri| format!("[{}]", json::quoted(uri)));
    let scope = scope.map(json::quoted);
    let device = format!("[{},\"refresh_token\"]", json::quoted(DEVICE_GRANT));
    let mut members = vec![("client_name", "\"mcp-tether\"")];
    match &redirects {
        Some(redirects) => members.extend([
            ("redirect_uris", redirects.as_str()),
            ("grant_types", r#"["authorization_code","refresh_token"]"#),
            ("response_types", r#"["code"]"#),
        ]),
        None => members.extend([("grant_types", device.as_str()), ("response_types", "[]")]),
    }
    members.extend([("token_endpoint_auth_method", method.as_str()), ("application_type", "\"native\"")]);
    members.extend(scope.as_deref().map(|scope| ("scope", scope)));
    let written = settings.registration.as_deref().map(json::typed_members).unwrap_or_default();
    members.retain(|(name, _)| !written.iter().any(|(other, _)| other == name));
    members.extend(written.iter().map(|(name, value)| (name.as_str(), *value)));
    json::object(members)
}

/// What to do where a registration was refused.
fn advice(settings: &SignInSettings, status: u16, refusal: Option<&ErrorResponse>) -> String {
    const BY_HAND: &str = "register a client there yourself and name it with --static-oauth-client-info '{\"client_id\":\"…\"}'";
    let is_about_redirect = refusal.is_some_and(|refusal| {
        let is_bare = refusal.error == "invalid_client_metadata" && refusal.error_description.is_none();
        is_bare || refusal.is_about_redirect()
    });
    let other_host = match settings.host.as_deref() {
        Some(host) if host != "localhost" => "spell this computer otherwise: --host localhost; or ",
        Some(_) | None => "",
    };
    if is_about_redirect {
        return format!(
            "{other_host}have this computer's addresses allowed there; with Cloudflare Access: the application's advanced \
             settings, Managed OAuth, allow localhost or loopback clients; or {BY_HAND}"
        );
    }
    if !is_final(status) {
        return "try again later, or have the authorization server's log looked at".to_owned();
    }
    if refusal.is_some_and(ErrorResponse::is_about_resource) {
        return format!("{}; or {BY_HAND}", token::LEAVE_OUT_RESOURCE);
    }
    format!(
        "{other_host}{BY_HAND}; where only programs of a known name are registered, write one into \
         --static-oauth-client-metadata '{{\"client_name\":\"…\"}}'"
    )
}

/// How we would prove ourselves: not at all, where that is allowed, for a program on many computers has no secret.
fn method(authorization: &AuthorizationServer) -> &'static str {
    let Some(offered) = &authorization.token_endpoint_auth_methods_supported else { return "none" };
    let offers = |name: &&str| offered.iter().any(|offered| offered == name);
    ["none", "client_secret_post", "client_secret_basic"]
        .iter()
        .find(|name| offers(name))
        .copied()
        .unwrap_or("none")
}
