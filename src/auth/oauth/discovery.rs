//! Finding out who signs people in for a server (2026-07-28, basic, authorization): from its refusal to the metadata of
//! the authorization server, one document after the other.
//!
//! Deliberately not here: where documents may be and what has to be in them (`metadata`).

use url::Url;

use super::metadata::{self, Authorization, Resource};
use super::object::Object;
use super::trouble::{Trouble, foreign, place};
use super::wire::{Answer, Wire};
use super::{Grant, Invitation};
use crate::redact;

/// Who signs people in, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The authorization server.
    pub(super) authorization: Authorization,
    /// What the server is called there, where that is known.
    pub(super) resource: Option<String>,
    /// What tokens can allow, as the server says.
    pub(super) scopes: Option<Vec<String>>,
}

/// Finds out who signs people in. Of several the one that did so before is kept.
pub(super) async fn discover(
    wire: &Wire<'_>,
    server: &Url,
    grant: &Grant,
    invitation: &Invitation,
    before: Option<&str>,
) -> Result<Found, Trouble> {
    let Some(document) = resource(wire, server, invitation).await? else {
        return Ok(Found {
            authorization: undescribed(wire, server, grant).await?,
            resource: Some(metadata::canonical(server)),
            scopes: None,
        });
    };
    let issuers = &document.authorization_servers;
    let issuer = issuers.iter().find(|issuer| before == Some(issuer.as_str())).or_else(|| issuers.first());
    let Some(issuer) = issuer else {
        return Err(match invitation.challenge {
            // Access describes other ways of signing in at the same place.
            None => Trouble::NotOffered,
            Some(_) => Trouble::failed(
                format!("{} wants a sign-in, but names nobody who does that", place(server)),
                "have the server's protected-resource metadata looked at (authorization_servers is missing)",
            ),
        });
    };
    let authorization = authorization(wire, server, grant, issuer).await?;
    let resource = document.resource.unwrap_or_else(|| metadata::canonical(server));
    let scopes = document.scopes_supported;
    let scopes =
        scopes.map(|scopes| scopes.into_iter().filter(|word| !redact::repeats_secret(word)).collect());
    Ok(Found { authorization, resource: Some(resource), scopes })
}

/// The issuers that a server names now; none where it does not say.
pub(super) async fn issuers(wire: &Wire<'_>, server: &Url, invitation: &Invitation) -> Option<Vec<String>> {
    let document = resource(wire, server, invitation).await.ok()??;
    Some(document.authorization_servers)
}

/// What the server says of itself; none where it says nothing.
async fn resource(
    wire: &Wire<'_>,
    server: &Url,
    invitation: &Invitation,
) -> Result<Option<Resource>, Trouble> {
    let named = invitation.challenge.as_ref().and_then(|challenge| challenge.resource_metadata.as_deref());
    let named = match (&invitation.document, named) {
        (Some(document), _) => Some(document.clone()),
        (None, Some(text)) => {
            let absolute = server.join(text).map(String::from).unwrap_or_else(|_| text.to_owned());
            Some(metadata::trusted(&absolute, server).map_err(|reason| {
                let sentence = format!(
                    "{} names an address for its metadata that {reason}: {}",
                    place(server),
                    foreign(text)
                );
                Trouble::failed(sentence, "do not sign in there; tell whoever runs the server")
            })?)
        }
        (None, None) => None,
    };
    let mut failed = None;
    for at in named.into_iter().chain(metadata::of_resource(server)) {
        let answer = match wire.document(&at).await {
            Ok(answer) => answer,
            Err(trouble) => {
                failed.get_or_insert(trouble);
                continue;
            }
        };
        let Some(document) = read(&answer).and_then(Resource::read) else { continue };
        return match &document.resource {
            Some(resource) if !metadata::is_about(resource, server) => Err(Trouble::failed(
                format!(
                    "the metadata at {} is about another server ({}), not about {}",
                    place(&at),
                    foreign(resource),
                    place(server)
                ),
                "check the URL; if it is right, do not sign in there and tell whoever runs the server",
            )),
            _ => Ok(Some(document)),
        };
    }
    // One that could not be reached may be there all the same.
    failed.map_or(Ok(None), Err)
}

/// An authorization server that the server named.
async fn authorization(
    wire: &Wire<'_>,
    server: &Url,
    grant: &Grant,
    issuer: &str,
) -> Result<Authorization, Trouble> {
    let refused = |reason: &dyn std::fmt::Display| {
        let sentence = format!(
            "{} names an authorization server whose address {reason}: {}",
            place(server),
            foreign(issuer)
        );
        Trouble::failed(sentence, "do not sign in there; tell whoever runs the server")
    };
    let url = metadata::trusted(issuer, server).map_err(|reason| refused(&reason))?;
    let mut failed = None;
    for at in metadata::of_authorization(&url) {
        let answer = match wire.document(&at).await {
            Ok(answer) => answer,
            Err(trouble) => {
                failed.get_or_insert(trouble);
                continue;
            }
        };
        if (300..400).contains(&answer.status) {
            let sentence = format!("{} answered {} instead of its metadata", place(&at), answer.status());
            let advice = "have the authorization server describe itself where it is";
            failed.get_or_insert(Trouble::failed(sentence, advice));
        }
        let Some(found) = read(&answer).and_then(Authorization::read) else { continue };
        if !metadata::names_issuer(&found.issuer, issuer) {
            let sentence = format!(
                "the metadata at {} names the issuer {}, not {}",
                place(&at),
                foreign(&found.issuer),
                foreign(issuer)
            );
            let advice = "have the server name its authorization server exactly as that names itself";
            return Err(Trouble::failed(sentence, advice));
        }
        let found = Authorization { issuer: issuer.to_owned(), ..found };
        return usable(found, server, grant, true);
    }
    Err(failed.unwrap_or_else(|| {
        let sentence = format!("the authorization server {} does not describe itself", foreign(issuer));
        Trouble::failed(sentence, "have its metadata (/.well-known/oauth-authorization-server) looked at")
    }))
}

/// The authorization server of a server that names none: itself, as in 2025-03-26.
async fn undescribed(wire: &Wire<'_>, server: &Url, grant: &Grant) -> Result<Authorization, Trouble> {
    let mut origin = server.clone();
    origin.set_path("/");
    origin.set_query(None);
    origin.set_fragment(None);
    for at in metadata::of_authorization(&origin) {
        let answer = wire.document(&at).await?;
        if let Some(found) = read(&answer).and_then(Authorization::read) {
            if !metadata::is_of_one_piece(&found, &origin) {
                let sentence = format!(
                    "{} describes the authorization server {} with addresses that are not of it",
                    place(&at),
                    foreign(&found.issuer)
                );
                let advice = "do not sign in there; have the server name its authorization server in its own metadata \
                              (/.well-known/oauth-protected-resource)";
                return Err(Trouble::failed(sentence, advice));
            }
            return usable(found, server, grant, false);
        }
    }
    Ok(Authorization::undescribed(&origin))
}

/// What has to hold before anybody is sent to an authorization server.
fn usable(
    found: Authorization,
    server: &Url,
    grant: &Grant,
    must_prove: bool,
) -> Result<Authorization, Trouble> {
    let is_page = *grant == Grant::Page;
    let endpoints = [
        ("authorization_endpoint", Some(&found.authorization_endpoint).filter(|_| is_page)),
        ("device_authorization_endpoint", found.device_authorization_endpoint.as_ref()),
        ("token_endpoint", Some(&found.token_endpoint)),
        ("registration_endpoint", found.registration_endpoint.as_ref()),
        ("revocation_endpoint", found.revocation_endpoint.as_ref()),
    ];
    for (name, endpoint) in endpoints {
        let Some(endpoint) = endpoint else { continue };
        metadata::trusted(endpoint, server).map_err(|reason| {
            let sentence =
                format!("the {name} of {} {reason}: {}", foreign(&found.issuer), foreign(endpoint));
            Trouble::failed(sentence, "do not sign in there; tell whoever runs the authorization server")
        })?;
    }
    let lists = [
        &found.scopes_supported,
        &found.code_challenge_methods_supported,
        &found.token_endpoint_auth_methods_supported,
    ];
    let texts = lists.into_iter().flatten().flatten().map(String::as_str);
    let texts = texts.chain(endpoints.into_iter().filter_map(|(_, endpoint)| endpoint.map(String::as_str)));
    // It is kept in a file, and its addresses are shown.
    if texts.chain([found.issuer.as_str()]).any(redact::repeats_secret) {
        let sentence = format!("the metadata of {} repeats a secret", foreign(&found.issuer));
        return Err(Trouble::failed(
            sentence,
            "do not sign in there; tell whoever runs the authorization server",
        ));
    }
    let methods = found.code_challenge_methods_supported.as_deref();
    // A code is bound to whoever asked for it; the other grants have none.
    if is_page && methods.map_or(must_prove, |methods| !methods.iter().any(|method| method == "S256")) {
        let sentence =
            format!("the authorization server {} does not offer PKCE with S256", foreign(&found.issuer));
        return Err(Trouble::failed(
            sentence,
            "have it switched on there (code_challenge_methods_supported)",
        ));
    }
    Ok(found)
}

fn read(answer: &Answer) -> Option<Object<'_>> {
    answer.is_ok().then(|| Object::parse(&answer.body)).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::challenge::Challenge;
    use super::*;
    use crate::auth::Credentials;
    use crate::http::{Family, Http, Settings};
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
    async fn a_server_elsewhere_leads_nobody_into_this_machine_wherever_it_writes_the_address() {
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
        let wire = Wire { http: &http, server: &server, credentials: &credentials };
        let told = |trouble: Trouble| {
            let text = trouble.to_string();
            assert!(text.contains("points from a public server into this computer's own network"), "{text}");
            assert!(trouble.advice().contains("do not sign in there"));
        };
        for address in INWARD {
            let challenge = Challenge { resource_metadata: Some(address.to_owned()), ..Challenge::default() };
            let invitation = Invitation { challenge: Some(challenge), document: None };
            told(discover(&wire, &server, &Grant::Page, &invitation, None).await.expect_err("inward"));
            told(authorization(&wire, &server, &Grant::Page, address).await.expect_err("inward"));
            let right = || Authorization {
                issuer: "https://as.example.com".to_owned(),
                authorization_endpoint: "https://as.example.com/authorize".to_owned(),
                token_endpoint: "https://as.example.com/token".to_owned(),
                code_challenge_methods_supported: Some(vec!["S256".to_owned()]),
                ..Authorization::default()
            };
            assert!(usable(right(), &server, &Grant::Page, true).is_ok());
            for place in 0..4 {
                let (mut found, text) = (right(), address.to_owned());
                match place {
                    0 => found.authorization_endpoint = text,
                    1 => found.token_endpoint = text,
                    2 => found.registration_endpoint = Some(text),
                    _ => found.revocation_endpoint = Some(text),
                }
                told(usable(found, &server, &Grant::Page, true).expect_err("inward"));
            }
        }
    }
}
