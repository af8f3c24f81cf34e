//! What a refusal asks for: the challenge for a token among those of `WWW-Authenticate` (RFC 6750, section 3; RFC 9449, section
//! 7.1; RFC 9728, section 5.1). Pure.
//!
//! Which program refused is decided in `diagnosis`.

use http::HeaderMap;
use url::Url;

use crate::auth::dpop;
use crate::http::www_authenticate::{Challenge, challenges};

/// The schemes by which a server accepts a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenSchemes {
    /// `Bearer`.
    pub bearer: bool,
    /// `DPoP`, with proofs of the algorithm that we use.
    pub dpop: bool,
}

/// A challenge for a token, by the scheme Bearer or DPoP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    /// The address of the server's metadata (RFC 9728), which names its authorization servers.
    pub resource_metadata: Option<String>,
    /// The scopes that a token needs, separated by spaces.
    pub scope: Option<String>,
    /// What is wrong with the token that was sent.
    pub error: Option<String>,
    /// The schemes of all such challenges.
    pub schemes: TokenSchemes,
}

impl BearerChallenge {
    /// Returns whether the token lacks a scope.
    pub fn wants_more(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }
}

/// A refusal that a sign-in can resolve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignInChallenge {
    /// The server's challenge.
    pub bearer_challenge: Option<BearerChallenge>,
    /// The document in which Cloudflare Access describes the sign-in.
    pub document: Option<Url>,
}

impl SignInChallenge {
    /// Returns whether the server accepts bound tokens, by its challenge.
    pub(super) fn names_dpop(&self) -> bool {
        self.bearer_challenge.as_ref().is_some_and(|challenge| challenge.schemes.dpop)
    }
}

/// Returns whether a DPoP challenge names the algorithm of our proofs, or none (RFC 9449, 7.1).
fn is_ours(challenge: &Challenge) -> bool {
    let algorithms = challenge.parameter("algs");
    algorithms.is_none_or(|algorithms| algorithms.split(' ').any(|algorithm| algorithm == dpop::ALGORITHM))
}

/// Returns the challenge for a token of an answer; of several, the first that names the server's metadata.
pub fn bearer(headers: &HeaderMap) -> Option<BearerChallenge> {
    let found = challenges(headers);
    let mut schemes = TokenSchemes::default();
    for challenge in &found {
        schemes.bearer |= challenge.is_scheme("Bearer");
        schemes.dpop |= challenge.is_scheme("DPoP") && is_ours(challenge);
    }
    let is_for_token = |challenge: &&Challenge| challenge.is_scheme("Bearer") || challenge.is_scheme("DPoP");
    let mut bearers = found.iter().filter(is_for_token);
    let names_metadata = |challenge: &&Challenge| challenge.parameter("resource_metadata").is_some();
    let challenge = bearers.clone().find(names_metadata).or_else(|| bearers.next())?;
    let text = |name: &str| challenge.parameter(name).map(str::to_owned);
    Some(BearerChallenge {
        resource_metadata: text("resource_metadata"),
        scope: text("scope"),
        error: text("error"),
        schemes,
    })
}

#[cfg(test)]
mod tests {
    use http::header::WWW_AUTHENTICATE;

    use super::*;

    #[test]
    fn finds_bearer_challenge_in_every_form() {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for (values, expected) in [
            (&["Bearer"][..], Some(("", "", ""))),
            (&["bearer realm=\"OAuth\", error=\"invalid_token\""], Some(("", "", "invalid_token"))),
            (
                &[r#"Bearer realm="a, b=c \"x\"", resource_metadata="https://h/.well-known/x", scope="a b""#],
                Some(("https://h/.well-known/x", "a b", "")),
            ),
            (
                &["Basic abc==, Bearer scope=read,resource_metadata=https://h/x"],
                Some(("https://h/x", "read", "")),
            ),
            (
                &["Basic realm=x", "BEARER Scope = \"s\" , error=insufficient_scope"],
                Some(("", "s", "insufficient_scope")),
            ),
            (
                &["Bearer scope=one", "Bearer resource_metadata=\"https://h/2\""],
                Some(("https://h/2", "", "")),
            ),
            (&["Bearer scope=\"\" , scope=later"], Some(("", "later", ""))),
            (&["Bearer scope=a, Digest scope=b, error=c"], Some(("", "a", ""))),
            (&["Bearer error=\"unfinished"], Some(("", "", "unfinished"))),
            (&["Cloudflare-Access resource_metadata=\"https://h/x\""], None),
            (&["Basic realm=\"Bearer scope=x\""], None),
            (&["\"Bearer\"", "=,=;"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WWW_AUTHENTICATE, value.parse().expect("a value"));
            }
            let expected = expected.map(|(metadata, scope, error)| BearerChallenge {
                resource_metadata: some(metadata),
                scope: some(scope),
                error: some(error),
                schemes: TokenSchemes { bearer: true, dpop: false },
            });
            assert_eq!(bearer(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn challenge_names_schemes_that_are_accepted() {
        for (value, bearer_is, dpop_is) in [
            ("Bearer", true, false),
            ("DPoP", false, true),
            (r#"dpop algs="ES256", resource_metadata="https://h/x""#, false, true),
            (r#"DPoP algs="RS256 ES256 PS256""#, false, true),
            (r#"DPoP algs="RS256""#, false, false),
            (r#"Bearer error="invalid_token", DPoP algs="ES256""#, true, true),
            (r#"DPoP algs="ES384", Bearer"#, true, false),
        ] {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value.parse().expect("a value"))]);
            let schemes = bearer(&headers).expect("a challenge").schemes;
            assert_eq!(schemes, TokenSchemes { bearer: bearer_is, dpop: dpop_is }, "{value}");
        }
        let both =
            r#"Bearer error="invalid_token", DPoP error="invalid_token", resource_metadata="https://h/x""#;
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, both.parse().expect("a value"))]);
        let found = bearer(&headers).expect("a challenge");
        assert_eq!(found.resource_metadata.as_deref(), Some("https://h/x"));
    }
}
