//! Discovers the authorization server of a server (2026-07-28, basic, authorization): from the challenge to the metadata of
//! the authorization server, one document after the other.
//!
//! `metadata` knows the addresses of the documents and checks what is in them.

use tracing::info;
use url::Url;

use crate::oauth::challenge::SignInChallenge;
use crate::oauth::documents;
use crate::oauth::http::{OAuthHttp, OAuthResponse};
use crate::oauth::metadata;
use crate::oauth::metadata::is_same_issuer;
use crate::oauth::metadata::{AuthorizationServer, ProtectedResource, UnsafeUrl};
use crate::oauth::settings::Grant;
use crate::oauth::settings::MetadataSource;
use crate::oauth::settings::SignInSettings;
use crate::oauth::sign_in_error::{SignInError, foreign, place};
use crate::redact;

/// The authorization server, and the resource it gives tokens for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiscoveredServer {
    /// The authorization server.
    pub(super) authorization: AuthorizationServer,
    /// What the server is called there, where that is known.
    pub(super) resource: Option<String>,
    /// What tokens can allow, as the server says.
    pub(super) scopes: Option<Vec<String>>,
    /// Whether both servers offer tokens that are bound to a key.
    pub(super) offers_dpop: bool,
}

/// For which server it is found out, and what the options say of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    server: &'a Url,
    grant: &'a Grant,
    /// The issuer that is chosen where a server names several.
    preferred: Option<&'a str>,
    /// The issuer that the user accepts, also where a server leads to it by another name.
    accepted: Option<&'a str>,
    /// The metadata that the user names.
    metadata: Option<&'a MetadataSource>,
}

impl<'a> Query<'a> {
    /// What the options ask for.
    pub(super) fn new(settings: &'a SignInSettings, preferred: Option<&'a str>) -> Query<'a> {
        Query {
            server: &settings.url,
            grant: &settings.grant,
            preferred,
            accepted: settings.issuer.as_deref(),
            metadata: settings.metadata.as_ref(),
        }
    }
}

/// The metadata of a server.
struct ResourceDescription {
    document: Option<ProtectedResource>,
    /// Why the address that it names for that could not be used, where nothing is found elsewhere.
    misled: Option<SignInError>,
}

/// Discovers the authorization server. If there are several, the one that was used before is kept.
pub(super) async fn discover(
    http: &OAuthHttp<'_>,
    query: &Query<'_>,
    challenge: &SignInChallenge,
) -> Result<DiscoveredServer, SignInError> {
    let server = query.server;
    if let Some(source) = query.metadata {
        let authorization = usable(named(http, query, source).await?, query)?;
        // It says at most what it is called, and what tokens can allow.
        let described = match source {
            MetadataSource::OfIssuer(_) => None,
            MetadataSource::At(_) | MetadataSource::Written(_) => {
                resource(http, server, challenge).await.ok()
            }
        };
        let document = described.and_then(|described| described.document).unwrap_or_default();
        return Ok(found(authorization, document, server, challenge));
    }
    let document = match resource(http, server, challenge).await? {
        ResourceDescription { document: Some(document), .. } => document,
        ResourceDescription { document: None, misled } => {
            let authorization = undescribed(http, query, misled).await?;
            return Ok(found(authorization, ProtectedResource::default(), server, challenge));
        }
    };
    let issuers = &document.authorization_servers;
    let is_preferred =
        |issuer: &&String| query.preferred.is_some_and(|preferred| is_same_issuer(preferred, issuer));
    let Some(issuer) = issuers.iter().find(is_preferred).or_else(|| issuers.first()) else {
        return Err(match challenge.bearer_challenge {
            // Access describes other ways of signing in at the same place.
            None => SignInError::NotOffered,
            Some(_) => SignInError::failed(
                format!("{} requires a sign-in, but names no authorization server", place(server)),
                "have the server's protected-resource metadata looked at (authorization_servers is missing)",
            ),
        });
    };
    let authorization = authorization(http, query, issuer).await?;
    Ok(found(authorization, document, server, challenge))
}

fn found(
    authorization: AuthorizationServer,
    document: ProtectedResource,
    server: &Url,
    challenge: &SignInChallenge,
) -> DiscoveredServer {
    let names_dpop = document.names_dpop() || challenge.names_dpop();
    let offers_dpop = names_dpop && authorization.offers_dpop();
    if document.dpop_bound_access_tokens_required == Some(true) && !offers_dpop {
        info!(
            "{} requires bound tokens, which {} does not offer (DPoP)",
            place(server),
            foreign(&authorization.issuer)
        );
    }
    let resource = document.resource.unwrap_or_else(|| metadata::canonical(server));
    let scopes = document.scopes_supported.map(without_secrets);
    DiscoveredServer { authorization, resource: Some(resource), scopes, offers_dpop }
}

fn without_secrets(scopes: Vec<String>) -> Vec<String> {
    scopes.into_iter().filter(|word| !redact::repeats_secret(word)).collect()
}

/// The scopes that a server offers, separated by spaces; none where it does not say.
pub(super) async fn scopes(
    http: &OAuthHttp<'_>,
    server: &Url,
    challenge: &SignInChallenge,
) -> Option<String> {
    let document = resource(http, server, challenge).await.ok()?.document?;
    let scopes = without_secrets(document.scopes_supported?).join(" ");
    Some(scopes).filter(|scopes| !scopes.is_empty())
}

/// The issuers that a server names now; none where it does not say.
pub(super) async fn issuers(
    http: &OAuthHttp<'_>,
    server: &Url,
    challenge: &SignInChallenge,
) -> Option<Vec<String>> {
    let document = resource(http, server, challenge).await.ok()?.document?;
    Some(document.authorization_servers)
}

/// The address of the metadata that a challenge names, if it may be used.
fn trusted_hint(text: &str, server: &Url) -> Result<Url, SignInError> {
    let absolute = server.join(text).map(String::from).unwrap_or_else(|_| text.to_owned());
    metadata::trusted(&absolute, server).map_err(|reason| {
        let sentence =
            format!("{} names an address for its metadata that {reason}: {}", place(server), foreign(text));
        info!("{sentence}; it is not used");
        SignInError::failed(sentence, "do not sign in there; tell the server's administrator")
    })
}

/// The error for metadata at `at` that describe `resource` in place of the server.
fn about_another_server(at: &Url, resource: &str, server: &Url) -> SignInError {
    let sentence = format!(
        "the metadata at {} is about another server ({}), not about {}",
        place(at),
        foreign(resource),
        place(server)
    );
    let advice = "check the URL; if it is right, do not sign in there and tell the server's administrator";
    SignInError::failed(sentence, advice)
}

/// The metadata of the server: from the address that its challenge names, else from the well-known ones.
async fn resource(
    http: &OAuthHttp<'_>,
    server: &Url,
    challenge: &SignInChallenge,
) -> Result<ResourceDescription, SignInError> {
    let hint = challenge
        .bearer_challenge
        .as_ref()
        .and_then(|bearer_challenge| bearer_challenge.resource_metadata.as_deref());
    let (mut misled, mut failed, mut other) = (None, None, None);
    let named = match (&challenge.document, hint) {
        (Some(document), _) => Some(document.clone()),
        (None, Some(text)) => trusted_hint(text, server).map_err(|failure| misled = Some(failure)).ok(),
        (None, None) => None,
    };
    for at in named.iter().cloned().chain(metadata::of_resource(server)) {
        let answer = match http.document(&at).await {
            Ok(answer) => answer,
            Err(failure) => {
                failed.get_or_insert(failure);
                continue;
            }
        };
        if named.as_ref() == Some(&at) && is_in_trouble(&answer) {
            failed.get_or_insert(in_trouble(&at, &answer));
        }
        let Some(document) = protected_resource(&answer) else { continue };
        match &document.resource {
            Some(resource) if !metadata::is_about(resource, server) => {
                other.get_or_insert_with(|| about_another_server(&at, resource, server));
            }
            _ => return Ok(ResourceDescription { document: Some(document), misled: None }),
        }
    }
    // One that could not be reached may be there all the same.
    match other.or(failed) {
        Some(failure) => Err(failure),
        None => Ok(ResourceDescription { document: None, misled }),
    }
}

/// The metadata that the user names.
async fn named(
    http: &OAuthHttp<'_>,
    query: &Query<'_>,
    source: &MetadataSource,
) -> Result<AuthorizationServer, SignInError> {
    let at = match source {
        MetadataSource::Written(written) => return Ok((**written).clone()),
        MetadataSource::OfIssuer(issuer) => return authorization(http, query, issuer).await,
        MetadataSource::At(at) => at,
    };
    // The user has named it: an address of this computer is allowed.
    let server = if crate::http::is_loopback(at) { at } else { http.server };
    let http = OAuthHttp { server, ..*http };
    let answer = http.document(at).await?;
    described(&answer).ok_or_else(|| {
        let what = match answer.is_ok() {
            true => "without the metadata of an authorization server (issuer and token_endpoint)".to_owned(),
            false => answer.status(),
        };
        let sentence = format!("{} answered {what}", place(at));
        SignInError::failed(sentence, "check --oauth-metadata, or name a file that holds the metadata: @FILE")
    })
}

/// An authorization server that the server named.
async fn authorization(
    http: &OAuthHttp<'_>,
    query: &Query<'_>,
    issuer: &str,
) -> Result<AuthorizationServer, SignInError> {
    let url =
        metadata::trusted(issuer, query.server).map_err(|reason| unsafe_issuer(query, issuer, reason))?;
    let (mut failed, mut other) = (None, None);
    for at in metadata::of_authorization(&url) {
        let answer = match http.document(&at).await {
            Ok(answer) => answer,
            Err(failure) => {
                failed.get_or_insert(failure);
                continue;
            }
        };
        if (300..400).contains(&answer.status) {
            let sentence = format!("{} answered {} instead of its metadata", place(&at), answer.status());
            let advice = "have the authorization server describe itself where it is";
            failed.get_or_insert(SignInError::failed(sentence, advice));
        } else if is_in_trouble(&answer) {
            failed.get_or_insert(in_trouble(&at, &answer));
        }
        let Some(found) = described(&answer) else { continue };
        if metadata::names_issuer(&found.issuer, issuer) {
            return usable(found.under_name(issuer), query);
        }
        if query.accepted.is_some_and(|accepted| is_same_issuer(accepted, &found.issuer)) {
            return accepted(http, query, found, &at).await;
        }
        let sentence = format!(
            "the metadata at {} names the issuer {}, not {}",
            place(&at),
            foreign(&found.issuer),
            foreign(issuer)
        );
        let advice = format!(
            "have the server name its authorization server as that names itself; if you trust it is, accept it with {}",
            accepting(&found, query, &at)
        );
        other.get_or_insert(SignInError::failed(sentence, advice));
    }
    Err(other.or(failed).unwrap_or_else(|| {
        let sentence = format!("the authorization server {} does not describe itself", foreign(issuer));
        if let Some(MetadataSource::OfIssuer(_)) = query.metadata {
            return SignInError::failed(sentence, "check --enterprise-idp: it is the issuer of the identity provider");
        }
        let advice = "have its metadata (/.well-known/oauth-authorization-server) looked at, or name it yourself: \
                      --oauth-metadata URL, or @FILE";
        SignInError::failed(sentence, advice)
    }))
}

fn unsafe_issuer(query: &Query<'_>, issuer: &str, reason: UnsafeUrl) -> SignInError {
    let sentence = format!(
        "{} names an authorization server whose address {reason}: {}",
        place(query.server),
        foreign(issuer)
    );
    let advice = match issuer.strip_prefix("http://") {
        Some(rest) if reason == UnsafeUrl::Scheme => {
            let encrypted = format!("https://{rest}");
            let known = Url::parse(&encrypted).ok().map(|url| metadata::of_authorization(&url));
            let at = known.and_then(|places| places.into_iter().next()).map(String::from).unwrap_or_default();
            format!(
                "have authorization_servers of the server's metadata say {}; until then, name the metadata there yourself: \
                 --oauth-metadata {}",
                foreign(&encrypted),
                shell_words::quote(&foreign(&at))
            )
        }
        _ => "do not sign in there; tell the server's administrator".to_owned(),
    };
    SignInError::failed(sentence, advice)
}

/// The authorization server of a server that names none: itself, as in 2025-03-26.
async fn undescribed(
    http: &OAuthHttp<'_>,
    query: &Query<'_>,
    misled: Option<SignInError>,
) -> Result<AuthorizationServer, SignInError> {
    let mut origin = query.server.clone();
    origin.set_path("/");
    origin.set_query(None);
    origin.set_fragment(None);
    for at in metadata::of_authorization(&origin) {
        let answer = http.document(&at).await?;
        if let Some(found) = described(&answer) {
            if metadata::is_of_one_piece(&found, &origin) {
                return usable(found, query);
            }
            if query.accepted.is_some_and(|accepted| is_same_issuer(accepted, &found.issuer)) {
                return accepted(http, query, found, &at).await;
            }
            let sentence = format!(
                "{} describes the authorization server {} with addresses that are not of it",
                place(&at),
                foreign(&found.issuer)
            );
            let advice = format!(
                "have the server name its authorization server in its own metadata \
                 (/.well-known/oauth-protected-resource); if you trust it is, accept it with {}",
                accepting(&found, query, &at)
            );
            return Err(SignInError::failed(sentence, advice));
        }
    }
    misled.map_or_else(|| Ok(AuthorizationServer::undescribed(&origin)), Err)
}

/// An authorization server that the user accepts by its issuer, described at `at`, which is not its own place. What is secret
/// goes to the issuer alone: by what was found where that keeps to it, else by what the issuer publishes itself.
async fn accepted(
    http: &OAuthHttp<'_>,
    query: &Query<'_>,
    found: AuthorizationServer,
    at: &Url,
) -> Result<AuthorizationServer, SignInError> {
    if metadata::keeps_to_issuer(&found, query.server) {
        return usable(found, query);
    }
    let own = metadata::trusted(&found.issuer, query.server).ok();
    for place in own.iter().flat_map(metadata::of_authorization) {
        if let Ok(answer) = http.document(&place).await
            && let Some(own) = described(&answer)
            && metadata::names_issuer(&own.issuer, &found.issuer)
        {
            return usable(own.under_name(&found.issuer), query);
        }
    }
    let sentence = format!(
        "the metadata at {} names the issuer {}, but its addresses are elsewhere",
        place(at),
        foreign(&found.issuer)
    );
    let advice = format!(
        "check whom they belong to; if you trust them, name that metadata itself: --oauth-metadata {}",
        shell_words::quote(&foreign(at.as_str()))
    );
    Err(SignInError::failed(sentence, advice))
}

/// The option by which the user accepts an authorization server as it was found at `at`.
fn accepting(found: &AuthorizationServer, query: &Query<'_>, at: &Url) -> String {
    if let Some(MetadataSource::OfIssuer(_)) = query.metadata {
        return format!("--enterprise-idp {}", shell_words::quote(&foreign(&found.issuer)));
    }
    match metadata::is_issuer(&found.issuer, false) && metadata::keeps_to_issuer(found, query.server) {
        true => format!("--oauth-issuer {}", shell_words::quote(&foreign(&found.issuer))),
        false => format!("--oauth-metadata {}", shell_words::quote(&foreign(at.as_str()))),
    }
}

/// Checks what has to hold before the user is sent to an authorization server.
fn usable(found: AuthorizationServer, query: &Query<'_>) -> Result<AuthorizationServer, SignInError> {
    let is_page = *query.grant == Grant::Page;
    let endpoints = [
        ("authorization_endpoint", Some(&found.authorization_endpoint).filter(|_| is_page)),
        ("device_authorization_endpoint", found.device_authorization_endpoint.as_ref()),
        ("token_endpoint", Some(&found.token_endpoint)),
        ("registration_endpoint", found.registration_endpoint.as_ref()),
        ("revocation_endpoint", found.revocation_endpoint.as_ref()),
    ];
    for (name, endpoint) in endpoints {
        let Some(endpoint) = endpoint else { continue };
        metadata::trusted(endpoint, query.server).map_err(|reason| {
            let sentence =
                format!("the {name} of {} {reason}: {}", foreign(&found.issuer), foreign(endpoint));
            SignInError::failed(
                sentence,
                "do not sign in there; tell the authorization server's administrator",
            )
        })?;
    }
    let lists = [
        &found.scopes_supported,
        &found.code_challenge_methods_supported,
        &found.token_endpoint_auth_methods_supported,
        &found.dpop_signing_alg_values_supported,
    ];
    let texts = lists.into_iter().flatten().flatten().map(String::as_str);
    let texts = texts.chain(endpoints.into_iter().filter_map(|(_, endpoint)| endpoint.map(String::as_str)));
    // It is kept in a file, and its addresses are shown.
    if texts
        .chain([found.issuer.as_str()])
        .chain(found.published_issuer.as_deref())
        .any(redact::repeats_secret)
    {
        let sentence = format!("the metadata of {} repeats a secret", foreign(&found.issuer));
        return Err(SignInError::failed(
            sentence,
            "do not sign in there; tell the authorization server's administrator",
        ));
    }
    let methods = found.code_challenge_methods_supported.as_deref();
    // PKCE is used even if it is not announced; the other grants have no code.
    if is_page && methods.is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
        let sentence =
            format!("the authorization server {} does not offer PKCE with S256", foreign(&found.issuer));
        return Err(SignInError::failed(
            sentence,
            "have it switched on there (code_challenge_methods_supported)",
        ));
    }
    Ok(found)
}

/// What a server says of itself, if an answer is that.
fn protected_resource(answer: &OAuthResponse) -> Option<ProtectedResource> {
    answer.is_ok().then(|| documents::read(&answer.body)).flatten()
}

/// The metadata of an authorization server, if an answer is that.
fn described(answer: &OAuthResponse) -> Option<AuthorizationServer> {
    answer.is_ok().then(|| AuthorizationServer::published(&answer.body)).flatten()
}

/// Returns whether a document may be there all the same: what was asked has failed, or had enough of questions.
fn is_in_trouble(answer: &OAuthResponse) -> bool {
    matches!(answer.status, 408 | 425 | 429 | 500..=599)
}

fn in_trouble(at: &Url, answer: &OAuthResponse) -> SignInError {
    let sentence = format!("{} answered {} instead of its metadata", place(at), answer.status());
    SignInError::failed(sentence, "try again later; if it stays like this, tell the server's administrator")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::Credentials;
    use crate::http::{Family, Http, Settings};
    use crate::oauth::challenge::BearerChallenge;
    use crate::tls::Trust;

    /// Addresses in this machine and on its link, as a server elsewhere may write them.
    const INWARD: [&str; 12] = [
        "http://127.0.0.1:1/x",
        "https://localhost:1/x",
        "https://x.localhost/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[64:ff9b::a9fe:a9fe]/x",
        "https://0.0.0.0/x",
        "https://0/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://169.254.169.254/x",
        "https://[fe80::1]/x",
    ];

    #[tokio::test]
    async fn remote_server_cannot_name_addresses_of_this_machine() {
        let server = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let settings = Settings {
            connect_timeout: Some(Duration::from_secs(1)),
            patience: crate::http::Patience::default(),
            trust: Trust::default(),
            proxy: None,
            family: Family::Any,
            cookies: false,
            inspect: false,
        };
        let http = Http::new(&server, settings).expect("a client");
        let credentials = Credentials::new(&server, Vec::new());
        let http = OAuthHttp { http: &http, server: &server, credentials: &credentials };
        let told = |failure: SignInError| {
            let text = failure.to_string();
            assert!(text.contains("points from a public server into this computer's own network"), "{text}");
            assert!(failure.advice().contains("do not sign in there"));
        };
        let grant = Grant::Page;
        let query = Query { server: &server, grant: &grant, preferred: None, accepted: None, metadata: None };
        for address in INWARD {
            // What a server hints at is left aside; it is told where nothing else is found.
            let bearer_challenge =
                BearerChallenge { resource_metadata: Some(address.to_owned()), ..BearerChallenge::default() };
            let challenge = SignInChallenge { bearer_challenge: Some(bearer_challenge), document: None };
            assert!(discover(&http, &query, &challenge).await.is_err());
            told(authorization(&http, &query, address).await.expect_err("inward"));
            let right = || AuthorizationServer {
                issuer: "https://as.example.com".to_owned(),
                authorization_endpoint: "https://as.example.com/authorize".to_owned(),
                token_endpoint: "https://as.example.com/token".to_owned(),
                ..AuthorizationServer::default()
            };
            assert!(usable(right(), &query).is_ok());
            for place in 0..4 {
                let (mut found, text) = (right(), address.to_owned());
                match place {
                    0 => found.authorization_endpoint = text,
                    1 => found.token_endpoint = text,
                    2 => found.registration_endpoint = Some(text),
                    _ => found.revocation_endpoint = Some(text),
                }
                told(usable(found, &query).expect_err("inward"));
            }
        }
    }
}
