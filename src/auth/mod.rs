//! Credentials: the schemes, and how they decorate a request.
//!
//! They stay outside the bridge, so that its events can be recorded. A new scheme is a file here and a variant of [`Scheme`].
//! [`credential_provider`] replaces rejected credentials, `oauth` signs the user in, and [`access_proof`] decides whether a host
//! gets the service token of the environment. The values come from `config`.
//!
#![doc = include_str!("README.md")]

pub mod access_hosts;
pub mod access_metadata;
pub mod access_proof;
pub mod cf_access;
pub mod credential_provider;
pub mod dpop;
mod headers;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use url::{Origin, Url};

use cf_access::ServiceToken;
use dpop::DpopToken;
pub use headers::WrittenHeaders;

/// One way of proving who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Headers that the user wrote.
    Written(WrittenHeaders),
    /// A service token of Cloudflare Access.
    CfAccess(ServiceToken),
    /// The access token of a sign-in, as the value of its header.
    Bearer(HeaderValue),
    /// The same, if it is bound to a key.
    Dpop(DpopToken),
}

/// Everything that is attached to requests, and the one origin it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    origin: Origin,
    schemes: Vec<Scheme>,
}

impl Credentials {
    /// Credentials for the origin of `url`.
    pub fn new(url: &Url, schemes: Vec<Scheme>) -> Credentials {
        Credentials { origin: url.origin(), schemes }
    }

    /// Adds the headers to one request to `url`, if that is their origin; elsewhere nothing is added. A proof is made for this
    /// request, and good for no other.
    pub fn decorate(&self, method: &Method, url: &Url, headers: &mut HeaderMap) {
        if !self.is_for(url) {
            return;
        }
        for scheme in &self.schemes {
            match scheme {
                Scheme::Written(written) => written.add_to(headers),
                Scheme::CfAccess(token) => token.add_to(headers),
                Scheme::Bearer(value) => {
                    headers.insert(AUTHORIZATION, value.clone());
                }
                Scheme::Dpop(token) => token.add_to(method, url, headers),
            }
        }
    }

    /// Takes note of a response from `url`: it may bring a nonce for the next proofs. Returns whether the request was refused for
    /// its proof alone, and may be accepted with another one.
    pub fn note_response(&self, url: &Url, status: StatusCode, headers: &HeaderMap) -> bool {
        self.schemes.iter().any(|scheme| match scheme {
            Scheme::Dpop(token) => self.is_for(url) && token.note_response(status, headers),
            Scheme::Written(_) | Scheme::CfAccess(_) | Scheme::Bearer(_) => false,
        })
    }

    /// Returns whether the origin of `url` is theirs. Compared in parts: an origin of a URL is two allocations, in each call.
    fn is_for(&self, url: &Url) -> bool {
        match &self.origin {
            Origin::Tuple(scheme, host, port) => {
                url.scheme() == scheme
                    && url.host().is_some_and(|other| other == *host)
                    && url.port_or_known_default() == Some(*port)
            }
            Origin::Opaque(_) => false,
        }
    }

    /// The same, and one more.
    #[must_use]
    pub(crate) fn with(&self, scheme: Scheme) -> Credentials {
        let mut credentials = self.clone();
        credentials.schemes.push(scheme);
        credentials
    }

    /// The same without the service token.
    #[must_use]
    pub(crate) fn without_service_token(&self) -> Credentials {
        let is_other = |scheme: &&Scheme| !matches!(scheme, Scheme::CfAccess(_));
        let schemes = self.schemes.iter().filter(is_other).cloned().collect();
        Credentials { origin: self.origin.clone(), schemes }
    }

    /// Returns whether a header that the user wrote is a credential, judged by its name.
    pub fn prove_by_header(&self) -> bool {
        self.schemes.iter().any(|scheme| match scheme {
            Scheme::Written(written) => written.prove(),
            Scheme::CfAccess(_) | Scheme::Bearer(_) | Scheme::Dpop(_) => false,
        })
    }

    /// Returns whether there are no credentials.
    pub fn is_empty(&self) -> bool {
        self.schemes.is_empty()
    }

    /// The service token, if there is one.
    pub fn service_token(&self) -> Option<&ServiceToken> {
        self.schemes.iter().find_map(|scheme| match scheme {
            Scheme::CfAccess(token) => Some(token),
            Scheme::Written(_) | Scheme::Bearer(_) | Scheme::Dpop(_) => None,
        })
    }

    /// Returns whether another credential of Cloudflare Access is sent: the token of a user or of an application.
    pub fn sends_access_token(&self) -> bool {
        self.schemes.iter().any(|scheme| match scheme {
            Scheme::Written(written) => written.has(&cf_access::TOKEN),
            Scheme::CfAccess(_) | Scheme::Bearer(_) | Scheme::Dpop(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact;
    use crate::secret::Secret;

    fn credentials() -> Credentials {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let mut written = WrittenHeaders::default();
        written
            .set("authorization".parse().expect("a name"), &Secret::new("Bearer marked-token"))
            .expect("a value");
        let token =
            ServiceToken::new(&Secret::new("id.access"), &Secret::new("marked-secret")).expect("values");
        Credentials::new(&url, vec![Scheme::Written(written), Scheme::CfAccess(token)])
    }

    #[test]
    fn credentials_go_to_their_origin_alone() {
        let names = |url: &str| {
            let mut headers = HeaderMap::new();
            credentials().decorate(&Method::POST, &Url::parse(url).expect("a URL"), &mut headers);
            headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        let all = ["authorization", "cf-access-client-id", "cf-access-client-secret"];
        assert_eq!(names("https://mcp.example.com/other?x"), all);
        assert_eq!(names("https://mcp.example.com:443/mcp"), all);
        for elsewhere in
            ["http://mcp.example.com/mcp", "https://mcp.example.com:8443/mcp", "https://example.com/mcp"]
        {
            assert_eq!(names(elsewhere), [""; 0], "{elsewhere}");
        }
    }

    #[test]
    fn credentials_are_redacted_and_never_print() {
        let credentials = credentials();
        assert_eq!(
            redact::redact("got Bearer marked-token (marked-token) and marked-secret"),
            "got [secret] ([secret]) and [secret]"
        );
        let mut headers = HeaderMap::new();
        credentials.decorate(
            &Method::POST,
            &Url::parse("https://mcp.example.com").expect("a URL"),
            &mut headers,
        );
        for printed in [format!("{credentials:?}"), format!("{headers:?}")] {
            assert!(!printed.contains("marked"), "{printed}");
        }
    }
}
