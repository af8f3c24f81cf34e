//! Two documents: what a server says of itself (RFC 9728) and what an authorization server does (RFC 8414, OpenID Connect
//! Discovery): where they are, and what has to be in them before anything in them is believed. Pure.
//!
//! Deliberately not here: fetching them (`discovery`).

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::auth::dpop;
use crate::http::is_loopback;
use crate::oauth::documents;
use crate::oauth::local_network::may_be_plain;

/// What Microsoft Entra publishes in its issuer in place of the tenant, where the metadata is that of many tenants.
const TENANT: &str = "{tenantid}";

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ProtectedResource {
    /// Its name, byte for byte as it was published.
    #[serde(default, deserialize_with = "documents::lenient")]
    pub resource: Option<String>,
    /// The issuers of its authorization servers.
    #[serde(default, deserialize_with = "documents::lenient_texts_or_empty")]
    pub authorization_servers: Vec<String>,
    /// What tokens can allow.
    #[serde(default, deserialize_with = "documents::lenient_texts")]
    pub scopes_supported: Option<Vec<String>>,
    /// The algorithms of proofs that it accepts (RFC 9449, 5.1 and 12.4).
    #[serde(default, deserialize_with = "documents::lenient_texts")]
    pub dpop_signing_alg_values_supported: Option<Vec<String>>,
    /// Whether it accepts bound tokens alone.
    #[serde(default, deserialize_with = "documents::lenient")]
    pub dpop_bound_access_tokens_required: Option<bool>,
}

impl ProtectedResource {
    /// Returns whether it accepts tokens that are bound to a key of ours.
    pub(super) fn names_dpop(&self) -> bool {
        self.dpop_bound_access_tokens_required == Some(true)
            || is_our_algorithm(self.dpop_signing_alg_values_supported.as_deref())
    }
}

/// Returns whether the algorithm of our proofs is among these.
fn is_our_algorithm(algorithms: Option<&[String]>) -> bool {
    algorithms.is_some_and(|algorithms| algorithms.iter().any(|algorithm| algorithm == dpop::ALGORITHM))
}

/// What an authorization server says of itself, as far as it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationServer {
    /// Its name, as the server names it.
    pub issuer: String,
    /// The same as the metadata publishes it, where that is spelled differently: by one trailing slash, or with a template in
    /// place of the tenant.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub published_issuer: Option<String>,
    /// Whether nothing describes it, so that its addresses are those of 2025-03-26. It is not kept.
    #[serde(skip)]
    pub is_assumed: bool,
    /// The authorization endpoint; empty if there is none.
    #[serde(default, deserialize_with = "documents::lenient_or_default")]
    pub authorization_endpoint: String,
    /// The device authorization endpoint (RFC 8628).
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub device_authorization_endpoint: Option<String>,
    /// Where codes become tokens.
    pub token_endpoint: String,
    /// Where programs introduce themselves.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// Where tokens are given back.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// What tokens can allow.
    #[serde(default, deserialize_with = "documents::lenient_texts", skip_serializing_if = "Option::is_none")]
    pub scopes_supported: Option<Vec<String>>,
    /// The PKCE methods (RFC 7636).
    #[serde(default, deserialize_with = "documents::lenient_texts", skip_serializing_if = "Option::is_none")]
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// How programs prove themselves.
    #[serde(default, deserialize_with = "documents::lenient_texts", skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether a program may be named by the address of its description.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub client_id_metadata_document_supported: Option<bool>,
    /// Whether the answer of a sign-in says whose it is (RFC 9207).
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub authorization_response_iss_parameter_supported: Option<bool>,
    /// The algorithms of proofs that it accepts (RFC 9449, 5.1).
    #[serde(default, deserialize_with = "documents::lenient_texts", skip_serializing_if = "Option::is_none")]
    pub dpop_signing_alg_values_supported: Option<Vec<String>>,
}

impl AuthorizationServer {
    /// Reads what an authorization server publishes, or the user wrote in its place.
    pub fn published(text: &str) -> Option<AuthorizationServer> {
        // How its issuer is spelled elsewhere is no affair of the document.
        let found: AuthorizationServer = documents::read(text)?;
        Some(AuthorizationServer { published_issuer: None, ..found })
    }

    /// The same by the name that the server has for it.
    pub(super) fn under_name(self, issuer: &str) -> AuthorizationServer {
        let published_issuer = Some(self.issuer).filter(|published| published != issuer);
        AuthorizationServer { issuer: issuer.to_owned(), published_issuer, ..self }
    }

    /// Returns whether `issuer` is its name: one trailing slash makes no difference, and a template stands for any tenant.
    pub(super) fn is_named(&self, issuer: &str) -> bool {
        [Some(&self.issuer), self.published_issuer.as_ref()]
            .into_iter()
            .flatten()
            .any(|name| is_same_issuer(name, issuer) || fits_template(name, issuer))
    }

    /// The name by which it wants to be addressed in what a client signs (RFC 7523, section 3).
    pub(super) fn audience(&self) -> &str {
        let published = self.published_issuer.as_deref().filter(|published| !published.contains(TENANT));
        published.unwrap_or(&self.issuer)
    }

    /// An authorization server that describes itself nowhere, at the addresses that 2025-03-26 gives it.
    pub fn undescribed(origin: &Url) -> AuthorizationServer {
        let at = |path: &str| origin.join(path).map(String::from).unwrap_or_default();
        AuthorizationServer {
            issuer: origin_of(origin),
            is_assumed: true,
            authorization_endpoint: at("/authorize"),
            token_endpoint: at("/token"),
            registration_endpoint: Some(at("/register")),
            ..AuthorizationServer::default()
        }
    }

    /// Returns whether it binds tokens to a key of ours.
    pub(super) fn offers_dpop(&self) -> bool {
        is_our_algorithm(self.dpop_signing_alg_values_supported.as_deref())
    }

    /// Returns whether a scope is offered.
    pub fn offers(&self, scope: &str) -> bool {
        self.scopes_supported.iter().flatten().any(|offered| offered == scope)
    }
}

/// Returns whether two names are of one issuer: mcp-remote does not always keep the slash at the end.
pub(super) fn is_same_issuer(one: &str, other: &str) -> bool {
    one.strip_suffix('/').unwrap_or(one) == other.strip_suffix('/').unwrap_or(other)
}

/// Where a server may describe itself, when it does not say where.
pub fn of_resource(server: &Url) -> Vec<Url> {
    well_known(server, "oauth-protected-resource", true)
}

/// Where an authorization server may describe itself. Never at the root where its name has a path.
pub fn of_authorization(issuer: &Url) -> Vec<Url> {
    let mut places = well_known(issuer, "oauth-authorization-server", false);
    places.extend(well_known(issuer, "openid-configuration", false));
    let path = issuer.path().trim_end_matches('/');
    if !path.is_empty() {
        places.extend(issuer.join(&format!("{path}/.well-known/openid-configuration")));
    }
    places
}

/// The well-known place for something with a path, and the one without.
fn well_known(of: &Url, name: &str, root_too: bool) -> Vec<Url> {
    let path = of.path().trim_end_matches('/');
    let mut paths = vec![format!("/.well-known/{name}{path}")];
    if root_too && !path.is_empty() {
        paths.push(format!("/.well-known/{name}"));
    }
    paths.iter().filter_map(|path| of.join(path).ok()).collect()
}

/// Returns whether a document about `resource` is about `server`: the same origin, and a path that begins with its. A server
/// behind a proxy that ends TLS may write the wrong one of `http` and `https`.
pub fn is_about(resource: &str, server: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let path = resource.path().trim_end_matches('/');
    let rest = server.path().strip_prefix(path);
    let is_same_place = resource.origin() == server.origin() || differs_in_scheme(&resource, server);
    is_same_place && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns whether two addresses are of the same host and port, one by `http`, the other by `https`.
fn differs_in_scheme(one: &Url, other: &Url) -> bool {
    let is_pair = matches!((one.scheme(), other.scheme()), ("http", "https") | ("https", "http"));
    is_pair && one.host() == other.host() && one.port() == other.port()
}

/// The name by which a token is asked for where the server publishes none: without fragment, without the query, which may
/// hold a key, and without the slash of an empty path.
pub fn canonical(server: &Url) -> String {
    let mut server = server.clone();
    server.set_fragment(None);
    server.set_query(None);
    if server.path() == "/" { origin_of(&server) } else { server.into() }
}

fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Returns whether metadata that publishes an issuer is that of the one that was asked for: the same, but for one trailing
/// slash or a template in place of the tenant. Access's has been seen without the scheme.
pub fn names_issuer(published: &str, issuer: &str) -> bool {
    let is_of_access = |host: &str| host.ends_with(".cloudflareaccess.com") && !host.contains('/');
    is_same_issuer(published, issuer)
        || fits_template(published, issuer)
        || issuer.strip_prefix("https://").is_some_and(|host| host == published && is_of_access(host))
}

/// Returns whether an issuer is what a template stands for: `{tenantid}` is one whole segment of the path, and everything else
/// is the same.
fn fits_template(template: &str, issuer: &str) -> bool {
    let Some((before, after)) = template.split_once(TENANT) else { return false };
    let after = after.strip_suffix('/').unwrap_or(after);
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let is_segment = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
    let has_host = Url::parse(before).is_ok_and(|url| url.host_str().is_some_and(|host| !host.is_empty()));
    let tenant = issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    is_segment
        && has_host
        && !after.contains(['{', '}'])
        && tenant.is_some_and(|tenant| {
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !matches!(tenant, "" | "." | "..") && tenant.bytes().all(is_word)
        })
}

/// Returns whether what is secret stays at the issuer's own origin, by metadata that was found elsewhere: codes, tokens and
/// what proves a client go nowhere else. The page may be the server's as well.
pub fn keeps_to_issuer(found: &AuthorizationServer, server: &Url) -> bool {
    let Ok(issuer) = Url::parse(&found.issuer) else { return false };
    let is_at = |text: &str, place: &Url| Url::parse(text).is_ok_and(|url| url.origin() == place.origin());
    let page = &found.authorization_endpoint;
    let further =
        [&found.device_authorization_endpoint, &found.registration_endpoint, &found.revocation_endpoint];
    (page.is_empty() || is_at(page, &issuer) || is_at(page, server))
        && is_at(&found.token_endpoint, &issuer)
        && further.into_iter().flatten().all(|text| is_at(text, &issuer))
}

/// Returns whether an option can name an issuer: a URL of https, or of http on this computer (anywhere where `allow_http` says
/// so), without a user name, a query and a fragment.
pub fn is_issuer(text: &str, allow_http: bool) -> bool {
    Url::parse(text).is_ok_and(|url| {
        (url.scheme() == "https" || url.scheme() == "http" && (allow_http || is_loopback(&url)))
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// Returns whether metadata of an authorization server that were found at a server, and not at the issuer that they name, can
/// be used: the issuer is the server, or every endpoint is at the issuer's own origin. Otherwise a server could have a code of
/// another authorization server sent to itself, although the issuer of the response is right.
pub fn is_of_one_piece(found: &AuthorizationServer, origin: &Url) -> bool {
    let Ok(issuer) = Url::parse(&found.issuer) else { return false };
    // Empty if there is none.
    let page = Some(&found.authorization_endpoint).filter(|page| !page.is_empty());
    let endpoints = [Some(&found.token_endpoint), page, found.device_authorization_endpoint.as_ref()];
    let is_there = |text: &String| Url::parse(text).is_ok_and(|url| url.origin() == issuer.origin());
    found.issuer == origin_of(origin)
        || endpoints.into_iter().flatten().chain(&found.registration_endpoint).all(is_there)
}

/// Why an address is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsafeUrl {
    /// It is no address.
    #[error("is no URL")]
    NoUrl,
    /// It is neither https nor http on this machine.
    #[error("is not https")]
    Scheme,
    /// A server elsewhere points into this machine or its link.
    #[error("points from a public server into this computer's own network")]
    Inward,
    /// It has a user in it.
    #[error("has a user name in it")]
    User,
}

/// An address that came from `server` or from whom it named, if it may be used: https, or http from this machine to this
/// machine, or within the local network from a server that is reached so; and never from elsewhere into this machine.
///
/// # Errors
/// Why not.
pub fn trusted(text: &str, server: &Url) -> Result<Url, UnsafeUrl> {
    let url = Url::parse(text).map_err(|_| UnsafeUrl::NoUrl)?;
    let inside = is_loopback(server);
    match url.scheme() {
        "https" => {}
        "http" if inside && is_loopback(&url) => {}
        "http" if is_loopback(&url) => return Err(UnsafeUrl::Inward),
        "http" if may_be_plain(&url, server) => {}
        _ => return Err(UnsafeUrl::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UnsafeUrl::User);
    }
    let is_inward = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => is_inward(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_inward(IpAddr::V6(address)),
        None => return Err(UnsafeUrl::NoUrl),
    };
    if is_inward && !inside { Err(UnsafeUrl::Inward) } else { Ok(url) }
}

/// Returns whether an address is this machine's or link-local, where cloud providers keep credentials; also where it is
/// written into one of IPv6 that is translated on the way (RFC 4291, 6052, 3056).
pub fn is_inward(address: IpAddr) -> bool {
    match address {
        // The whole of 0.0.0.0/8 is "this network".
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local() || address.octets()[0] == 0,
        IpAddr::V6(address) => {
            let parts = address.segments();
            let four = |high: u16, low: u16| {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                is_inward(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
            };
            match parts {
                // The unspecified one, loopback, and what was once compatible.
                [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0xffff, high, low] => four(high, low),
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => four(high, low),
                [first, ..] => first & 0xffc0 == 0xfe80,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn texts(urls: &[Url]) -> Vec<&str> {
        urls.iter().map(Url::as_str).collect()
    }

    #[test]
    fn documents_are_at_well_known_addresses_only() {
        assert_eq!(
            texts(&of_resource(&url("https://h/a/mcp?x"))),
            [
                "https://h/.well-known/oauth-protected-resource/a/mcp",
                "https://h/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(
            texts(&of_resource(&url("https://h/"))),
            ["https://h/.well-known/oauth-protected-resource"]
        );
        assert_eq!(
            texts(&of_authorization(&url("https://h/tenant/"))),
            [
                "https://h/.well-known/oauth-authorization-server/tenant",
                "https://h/.well-known/openid-configuration/tenant",
                "https://h/tenant/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            texts(&of_authorization(&url("https://h"))),
            [
                "https://h/.well-known/oauth-authorization-server",
                "https://h/.well-known/openid-configuration"
            ]
        );
    }

    #[test]
    fn document_is_about_its_server_or_its_path() {
        for (resource, expected) in [
            ("https://h/a/mcp", true),
            ("https://h/a", true),
            ("https://h/", true),
            ("https://h", true),
            ("https://h:443/a/", true),
            ("https://H/a/mcp", true),
            ("https://h/a/mc", false),
            ("https://h/a/mcp/x", false),
            ("https://h/b", false),
            ("http://h/a/mcp", true),
            ("http://h:80/a/mcp", true),
            ("http://h:8080/a/mcp", false),
            ("http://other/a/mcp", false),
            ("ftp://h/a/mcp", false),
            ("https://other/a/mcp", false),
            ("h/a/mcp", false),
        ] {
            assert_eq!(is_about(resource, &url("https://h/a/mcp?key=1")), expected, "{resource}");
        }
        assert_eq!(canonical(&url("HTTPS://H:443/#x")), "https://h");
        assert_eq!(canonical(&url("https://h/mcp/?a=b#x")), "https://h/mcp/");
    }

    #[test]
    fn issuer_with_one_slash_more_is_the_same() {
        for (published, issuer, expected) in [
            ("https://as/", "https://as/", true),
            ("https://as", "https://as/", true),
            ("https://as/", "https://as", true),
            ("https://as/a/", "https://as/a", true),
            ("https://as//", "https://as", false),
            ("https://AS", "https://as", false),
            ("http://as", "https://as", false),
            ("https://as.evil", "https://as", false),
            ("https://as/a", "https://as", false),
            ("as", "https://as", false),
            ("t.cloudflareaccess.com", "https://t.cloudflareaccess.com", true),
        ] {
            assert_eq!(names_issuer(published, issuer), expected, "{published} {issuer}");
        }
    }

    #[test]
    fn template_stands_for_one_whole_segment_of_path() {
        for (published, issuer, expected) in [
            ("https://as/{tenantid}/v2.0", "https://as/organizations/v2.0", true),
            ("https://as/{tenantid}/v2.0", "https://as/8b1d-4f/v2.0/", true),
            ("https://as/{tenantid}", "https://as/common", true),
            ("https://as/{tenantid}/", "https://as/common", true),
            ("https://as/{tenantid}/v2.0", "https://as/a/b/v2.0", false),
            ("https://as/{tenantid}/v2.0", "https://as//v2.0", false),
            ("https://as/{tenantid}/v2.0", "https://as/../v2.0", false),
            ("https://as/{tenantid}/v2.0", "https://as/a?/v2.0", false),
            ("https://as/{tenantid}/v2.0", "https://other/organizations/v2.0", false),
            ("https://as/{tenantid}/v2.0", "http://as/organizations/v2.0", false),
            ("https://as/{tenantid}/v2.0", "https://as/organizations/v1.0", false),
            ("https://as/x{tenantid}/v2.0", "https://as/xa/v2.0", false),
            ("https://as/{tenantid}/{tenantid}", "https://as/a/a", false),
            ("https://{tenantid}/v2.0", "https://as/v2.0", false),
            ("https://{tenantid}.as/v2.0", "https://evil.as/v2.0", false),
            ("https://as/{tenant}/v2.0", "https://as/organizations/v2.0", false),
        ] {
            assert_eq!(names_issuer(published, issuer), expected, "{published} {issuer}");
        }
        let found = AuthorizationServer {
            issuer: "https://as/{tenantid}".to_owned(),
            ..AuthorizationServer::default()
        };
        assert_eq!(found.under_name("https://as/common").audience(), "https://as/common");
    }

    #[test]
    fn server_cannot_mix_two_authorization_servers() {
        let of = |issuer: &str, authorize: &str, token: &str| AuthorizationServer {
            issuer: issuer.to_owned(),
            authorization_endpoint: format!("{authorize}/authorize"),
            token_endpoint: format!("{token}/token"),
            registration_endpoint: Some(format!("{token}/register")),
            ..AuthorizationServer::default()
        };
        let (here, good) = ("https://mcp.example", "https://good.example");
        for (issuer, authorize, token, expected) in [
            (here, here, here, true),
            ("https://mcp.example/", here, here, true),
            (here, good, good, true),
            (good, good, good, true),
            ("https://good.example/tenant", good, good, true),
            (good, good, here, false),
            (good, here, here, false),
            ("https://mcp.example/", good, here, false),
            ("nonsense", here, here, false),
        ] {
            let found = of(issuer, authorize, token);
            assert_eq!(is_of_one_piece(&found, &url(here)), expected, "{issuer} {authorize} {token}");
        }
    }

    #[test]
    fn refuses_foreign_addresses_of_this_machine() {
        for (text, from_outside, from_here) in [
            ("https://as.example/x", Ok(()), Ok(())),
            ("http://as.example/x", Err(UnsafeUrl::Scheme), Err(UnsafeUrl::Scheme)),
            ("file:///etc/passwd", Err(UnsafeUrl::Scheme), Err(UnsafeUrl::Scheme)),
            ("javascript:alert(1)", Err(UnsafeUrl::Scheme), Err(UnsafeUrl::Scheme)),
            ("nonsense", Err(UnsafeUrl::NoUrl), Err(UnsafeUrl::NoUrl)),
            ("https://u:p@as.example/", Err(UnsafeUrl::User), Err(UnsafeUrl::User)),
            ("http://127.0.0.1:1/x", Err(UnsafeUrl::Inward), Ok(())),
            ("http://localhost:1/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://localhost./x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://127.1/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://[::1]/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://[::ffff:127.0.0.1]/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://169.254.169.254/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://[fe80::1]/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://0.0.0.0/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://0.1.2.3/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://2130706433/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://0x7f000001/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://0177.0.0.1/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://127.0.0.1./x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://LOCALHOST/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://%6cocalhost/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://a.localhost/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://[::]/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://[::127.0.0.1]/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://[::ffff:a9fe:a9fe]/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://[64:ff9b::7f00:1]/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://[2002:7f00:1::1]/x", Err(UnsafeUrl::Inward), Ok(())),
            ("https://[2606:4700::1]/x", Ok(()), Ok(())),
            ("https://10.0.0.1/x", Ok(()), Ok(())),
        ] {
            assert_eq!(trusted(text, &url("https://mcp.example/")).map(drop), from_outside, "{text}");
            assert_eq!(trusted(text, &url("http://localhost:9/")).map(drop), from_here, "{text}");
        }
    }
}
