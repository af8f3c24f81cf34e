//! One authorization request, and its response at the redirect URI (RFC 6749, section 4.1). Pure but for random numbers.
//!
//! A response counts if it carries the request's own state and comes from the issuer of the request (RFC 9207). Nothing is
//! consumed before that is checked.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::oauth::documents;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::pkce;

/// A sign-in that was begun, with all it takes to finish it, also in another process.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// The page.
    pub url: String,
    /// The `state` of the request: random, and different for each.
    pub state: String,
    /// What proves that the code is ours.
    pub verifier: String,
    /// The redirect URI.
    pub redirect: String,
    /// What tokens are to allow.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// The parameters of an authorization request.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationOptions<'a> {
    /// Who we are there.
    pub client: &'a str,
    /// What the server is called there, unless it is not to be named.
    pub resource: Option<&'a str>,
    /// What tokens are to allow.
    pub scope: Option<&'a str>,
    /// The redirect URI.
    pub redirect: &'a str,
    /// The hash of the key that the code is bound to (RFC 9449, 10).
    pub dpop_jkt: Option<&'a str>,
    /// What else is to stand in the address.
    pub parameters: &'a [(String, String)],
}

/// Without its state, its verifier, and the address that holds the state.
impl std::fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationRequest").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl AuthorizationRequest {
    /// Begins one. None where the endpoint is no URL.
    pub fn new(
        authorization: &AuthorizationServer,
        wanted: &AuthorizationOptions<'_>,
    ) -> Option<AuthorizationRequest> {
        let (state, verifier) = (pkce::random(), pkce::verifier());
        let mut url = Url::parse(&authorization.authorization_endpoint).ok()?;
        url.set_fragment(None);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code");
            query.append_pair("client_id", wanted.client);
            query.append_pair("redirect_uri", wanted.redirect);
            query.append_pair("state", &state);
            query.append_pair("code_challenge", &pkce::code_challenge(&verifier));
            query.append_pair("code_challenge_method", "S256");
            for (name, value) in
                [("scope", wanted.scope), ("resource", wanted.resource), ("dpop_jkt", wanted.dpop_jkt)]
            {
                if let Some(value) = value
                    && !wanted.parameters.iter().any(|(other, _)| other == name)
                {
                    query.append_pair(name, value);
                }
            }
            for (name, value) in wanted.parameters {
                query.append_pair(name, value);
            }
        }
        Some(AuthorizationRequest {
            url: url.into(),
            state,
            verifier,
            redirect: wanted.redirect.to_owned(),
            scope: wanted.scope.map(str::to_owned),
        })
    }
}

/// The scope to request: the user's, else the challenge's, else all that the server offers; and `offline_access` if that is
/// offered (2026-07-28).
pub fn scope(
    written: Option<&str>,
    wanted: Option<&str>,
    offered: Option<&[String]>,
    authorization: &AuthorizationServer,
) -> Option<String> {
    if let Some(written) = written {
        return Some(written.to_owned()).filter(|scope| !scope.is_empty());
    }
    let offered = offered.map(|offered| offered.join(" ")).filter(|scope| !scope.is_empty());
    let mut scope = wanted.map(str::to_owned).or(offered)?;
    const STAYING: &str = "offline_access";
    if authorization.offers(STAYING) && !scope.split(' ').any(|word| word == STAYING) {
        scope = format!("{scope} {STAYING}");
    }
    Some(scope)
}

/// Both scopes, each word once.
pub fn union(one: Option<&str>, other: Option<&str>) -> Option<String> {
    let mut words: Vec<&str> = Vec::new();
    for word in [one, other].into_iter().flatten().flat_map(str::split_whitespace) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// The response at the redirect URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationResponse {
    /// A code, which becomes a token.
    Code(String),
    /// A refusal: its code, and what it says.
    Refused(String, Option<String>),
    /// A response of another issuer than the one of the request.
    WrongIssuer(Option<String>),
}

/// Reads what came back. None where it is not the answer to this request: then nothing has happened.
pub fn returned(
    request: &AuthorizationRequest,
    authorization: &AuthorizationServer,
    query: &str,
) -> Option<AuthorizationResponse> {
    let value = |name: &str| {
        let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        let first = values.next()?.1.into_owned();
        // What comes twice means nothing.
        values.next().is_none().then_some(first)
    };
    let state = value("state")?;
    let is_same = state.len() == request.state.len()
        && state.bytes().zip(request.state.bytes()).fold(0, |all, (one, other)| all | (one ^ other)) == 0;
    if !is_same {
        return None;
    }
    let issuer = value("iss");
    let is_announced = authorization.authorization_response_iss_parameter_supported == Some(true);
    let is_right = match &issuer {
        Some(issuer) => authorization.is_named(issuer),
        None => !is_announced && !query.split('&').any(|pair| pair.starts_with("iss=")),
    };
    if !is_right {
        return Some(AuthorizationResponse::WrongIssuer(issuer));
    }
    if let Some(error) = value("error") {
        return Some(AuthorizationResponse::Refused(error, value("error_description")));
    }
    value("code").filter(|code| !code.is_empty()).map(AuthorizationResponse::Code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(announces: Option<bool>) -> AuthorizationServer {
        AuthorizationServer {
            issuer: "https://as.example".to_owned(),
            authorization_endpoint: "https://as.example/go?tenant=1#part".to_owned(),
            authorization_response_iss_parameter_supported: announces,
            ..AuthorizationServer::default()
        }
    }

    fn request() -> AuthorizationRequest {
        let wanted = AuthorizationOptions {
            client: "a client",
            resource: Some("https://h/mcp"),
            scope: Some("a b"),
            redirect: "http://127.0.0.1:1/oauth/callback",
            dpop_jkt: Some("a-hash"),
            parameters: &[("audience".to_owned(), "x&y".to_owned())],
        };
        AuthorizationRequest::new(&authorization(None), &wanted).expect("a request")
    }

    #[test]
    fn authorization_url_keeps_its_query() {
        let request = request();
        let url = Url::parse(&request.url).expect("a URL");
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let bearer_challenge = pkce::code_challenge(&request.verifier);
        let expected = [
            ("tenant", "1"),
            ("response_type", "code"),
            ("client_id", "a client"),
            ("redirect_uri", "http://127.0.0.1:1/oauth/callback"),
            ("state", &request.state),
            ("code_challenge", &bearer_challenge),
            ("code_challenge_method", "S256"),
            ("scope", "a b"),
            ("resource", "https://h/mcp"),
            ("dpop_jkt", "a-hash"),
            ("audience", "x&y"),
        ];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(url.fragment().is_none() && !request.url.contains(&request.verifier));
    }

    #[test]
    fn response_needs_state_and_issuer_of_request() {
        let request = request();
        let right = "iss=https%3A%2F%2Fas.example";
        let code = || Some(AuthorizationResponse::Code("c".to_owned()));
        let wrong = |issuer: &str| Some(AuthorizationResponse::WrongIssuer(Some(issuer.to_owned())));
        for (announces, rest, expected) in [
            (None, "code=c".to_owned(), code()),
            (Some(false), "code=c".to_owned(), code()),
            (None, format!("code=c&{right}"), code()),
            (Some(true), format!("code=c&{right}"), code()),
            (Some(true), "code=c".to_owned(), Some(AuthorizationResponse::WrongIssuer(None))),
            (Some(true), "error=access_denied".to_owned(), Some(AuthorizationResponse::WrongIssuer(None))),
            (Some(true), "code=c&iss=https://as.example/".to_owned(), code()),
            (None, "code=c&iss=https://as.example//".to_owned(), wrong("https://as.example//")),
            (None, "code=c&iss=https://as.example.evil".to_owned(), wrong("https://as.example.evil")),
            (None, "code=c&iss=https://AS.example".to_owned(), wrong("https://AS.example")),
            (None, "error=x&iss=https://evil.example".to_owned(), wrong("https://evil.example")),
            (None, format!("code=c&{right}&{right}"), Some(AuthorizationResponse::WrongIssuer(None))),
            (
                None,
                "error=access_denied&error_description=no+thanks&code=c".to_owned(),
                Some(AuthorizationResponse::Refused(
                    "access_denied".to_owned(),
                    Some("no thanks".to_owned()),
                )),
            ),
            (None, "code=".to_owned(), None),
            (None, "code=c&code=d".to_owned(), None),
            (None, String::new(), None),
        ] {
            let query = format!("state={}&{rest}", request.state);
            assert_eq!(returned(&request, &authorization(announces), &query), expected, "{rest}");
            for state in ["", "state=&", "state=other&", &format!("state={0}&state={0}&", request.state)] {
                let query = format!("{state}{rest}");
                assert_eq!(returned(&request, &authorization(announces), &query), None, "{query}");
            }
        }
    }

    #[test]
    fn scope_is_wanted_or_offered_one_with_offline_access() {
        let offers = |scopes: &[&str]| AuthorizationServer {
            scopes_supported: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
            ..AuthorizationServer::default()
        };
        let (plain, staying) = (AuthorizationServer::default(), offers(&["a", "offline_access"]));
        let offered = ["r".to_owned(), "w".to_owned()];
        for (written, wanted, offered, authorization, expected) in [
            (None, None, None, &plain, None),
            (None, None, None, &staying, None),
            (None, None, Some(&offered[..]), &plain, Some("r w")),
            (None, Some("x"), Some(&offered[..]), &plain, Some("x")),
            (None, Some("x"), None, &staying, Some("x offline_access")),
            (None, Some("offline_access x"), None, &staying, Some("offline_access x")),
            (None, None, Some(&[][..]), &plain, None),
            (Some("mine"), Some("x"), Some(&offered[..]), &staying, Some("mine")),
            (Some(""), Some("x"), None, &staying, None),
        ] {
            assert_eq!(scope(written, wanted, offered, authorization).as_deref(), expected);
        }
        assert_eq!(union(Some("a b"), Some("b c")).as_deref(), Some("a b c"));
        assert_eq!(union(None, Some("c")).as_deref(), Some("c"));
        assert_eq!(union(None, None), None);
    }
}
