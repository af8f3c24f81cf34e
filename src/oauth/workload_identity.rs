//! Workload identity federation: the token that the platform gives to a workload (a CI job, a pod) proves to an authorization
//! server who it is, in place of a secret (RFC 7523).
//!
//! The token is fetched anew for each use, kept nowhere, and sent only to the authorization server that its audience names. An
//! ID token that the company's own program holds is fetched in the same way.
//! Deliberately not here: what it is exchanged with (`flows/client_credentials`).

use std::path::PathBuf;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use url::Url;

use crate::files;
use crate::jwt;
use crate::oauth::clock::wall_clock;
use crate::oauth::http::OAuthHttp;
use crate::oauth::metadata::{AuthorizationServer, is_same_issuer};
use crate::oauth::object::Object;
use crate::oauth::sign_in_error::{FailureKind, SignInError, foreign, place};
use crate::oauth::store::off_loop;
use crate::redact;
use crate::secret::Secret;

/// How long a platform's token may be, in bytes. GitHub's has about 2 KiB.
const LIMIT: usize = 64 * 1024;

/// A command that prints the token; the error says why it did not.
pub type TokenCommand = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Where a token comes from that another program obtained.
#[derive(Clone)]
pub enum TokenSource {
    /// GitHub Actions: an address that gives a token for any audience to a caller with this bearer token.
    GitHub {
        /// `ACTIONS_ID_TOKEN_REQUEST_URL`.
        url: Url,
        /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
        bearer: Secret,
    },
    /// A file that the platform replaces before the token runs out, as Kubernetes does. It is read anew each time.
    File(PathBuf),
    /// An environment variable, by its name, with its value.
    Variable(String, Secret),
    /// A command, by the option that names it. It runs again each time.
    Command(&'static str, TokenCommand),
}

/// Without the secrets in it.
impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenSource").field(&self.subject()).finish()
    }
}

/// The workload identity of this process.
#[derive(Clone, Debug)]
pub struct WorkloadIdentity {
    /// Where its token comes from.
    pub source: TokenSource,
    /// The audience of the token, in place of the authorization server's issuer.
    pub audience: Option<String>,
}

impl WorkloadIdentity {
    /// Fetches a token that proves this workload to `authorization`. `is_settled` says that the user named that authorization
    /// server; without it, a token for another audience than its own is not sent there.
    ///
    /// # Errors
    /// When the platform gives no token, or one that must not be sent.
    pub(super) async fn token(
        &self,
        http: &OAuthHttp<'_>,
        authorization: &AuthorizationServer,
        is_settled: bool,
    ) -> Result<String, SignInError> {
        let audience = match &self.audience {
            Some(written) if !is_settled && !names(authorization, written) => {
                return Err(unsettled(written, authorization));
            }
            Some(written) => written.as_str(),
            None => authorization.audience(),
        };
        let (token, claims) = self.source.token(http, audience).await?;
        self.check_audience(&claims, authorization)?;
        Ok(token)
    }

    fn check_audience(&self, claims: &str, authorization: &AuthorizationServer) -> Result<(), SignInError> {
        let audiences = jwt::names(claims, "aud");
        let is_right = match &self.audience {
            Some(written) => audiences.contains(written),
            None => audiences.iter().any(|audience| names(authorization, audience)),
        };
        if is_right {
            return Ok(());
        }
        let wanted = self.audience.as_deref().unwrap_or_else(|| authorization.audience());
        let sentence = match audiences.is_empty() {
            true => format!("names no audience and is not sent to {}", foreign(&authorization.issuer)),
            false => format!(
                "is for the audience {} and is not sent to {}",
                foreign(&audiences.join(", ")),
                foreign(&authorization.issuer)
            ),
        };
        let advice = format!(
            "have the platform issue it for the audience {}; if the authorization server expects the other one, name both \
             with --workload-audience and --oauth-issuer",
            foreign(wanted)
        );
        Err(self.source.failed(sentence, advice))
    }
}

impl TokenSource {
    /// Fetches a token that holds, for this audience where the source can choose one. Returns it with its claims.
    ///
    /// # Errors
    /// When there is none, or it is of no use.
    pub(super) async fn token(
        &self,
        http: &OAuthHttp<'_>,
        audience: &str,
    ) -> Result<(String, String), SignInError> {
        let token = self.fetch(http, audience).await?;
        redact::register_token(&token);
        // A server may name the signature alone.
        token.rsplit('.').next().into_iter().for_each(redact::register_token);
        let claims = self.claims(&token)?;
        Ok((token, claims))
    }

    async fn fetch(&self, http: &OAuthHttp<'_>, audience: &str) -> Result<String, SignInError> {
        let text = match self {
            TokenSource::GitHub { url, bearer } => github(http, url, bearer, audience).await?,
            TokenSource::File(path) => {
                let path = path.clone();
                let read = off_loop(move || files::read_text(&path, LIMIT as u64)).await;
                read.map_err(|error| {
                    self.failed(
                        format!("cannot be read: {error}"),
                        "check the path, and that this user may read the file",
                    )
                })?
            }
            TokenSource::Variable(_, value) => value.reveal().to_owned(),
            TokenSource::Command(option, command) => {
                let command = Arc::clone(command);
                off_loop(move || command()).await.map_err(|reason| {
                    platform_error(
                        format!("the command of {option} {reason}"),
                        "run it in a terminal: it must print the token and nothing else",
                    )
                })?
            }
        };
        Ok(text.trim().to_owned())
    }

    /// The claims of a token that holds. Its signature is for the recipient to check.
    fn claims(&self, token: &str) -> Result<String, SignInError> {
        let claims = match token {
            "" => return Err(self.failed("is empty", "see whether the platform gives this job a token")),
            token if token.len() > LIMIT || token.split('.').count() != 3 => None,
            token => jwt::payload(token).filter(|claims| Object::parse(claims).is_some()),
        };
        let Some(claims) = claims else {
            return Err(self.failed(
                "is no JSON Web Token",
                "see what it holds: a JSON Web Token has three parts with dots between them",
            ));
        };
        match jwt::expiry(token).is_some_and(|end| end <= wall_clock()) {
            true => Err(self.failed("has expired", "obtain another, or check this computer's clock")),
            false => Ok(claims),
        }
    }

    /// The error of a token that is of no use.
    fn failed(&self, problem: impl AsRef<str>, advice: impl Into<String>) -> SignInError {
        platform_error(format!("{} {}", self.subject(), problem.as_ref()), advice)
    }

    /// What a sentence about the token begins with.
    fn subject(&self) -> String {
        match self {
            TokenSource::GitHub { .. } => "the token of GitHub Actions".to_owned(),
            TokenSource::File(path) => format!("the token in {}", foreign(&path.display().to_string())),
            TokenSource::Variable(name, _) => format!("the token in {name}"),
            TokenSource::Command(option, _) => format!("the token of the command of {option}"),
        }
    }
}

/// Returns whether an audience is this authorization server: its issuer, as most expect it, or its token endpoint, as some do
/// (RFC 7523, section 3). An endpoint elsewhere is not: it may be that of another authorization server.
fn names(authorization: &AuthorizationServer, audience: &str) -> bool {
    let origin = |text: &str| Url::parse(text).map(|url| url.origin()).ok();
    let is_own_endpoint = || {
        let endpoint = origin(&authorization.token_endpoint);
        audience == authorization.token_endpoint
            && endpoint.is_some()
            && endpoint == origin(&authorization.issuer)
    };
    [authorization.audience(), &authorization.issuer].iter().any(|name| is_same_issuer(name, audience))
        || is_own_endpoint()
}

fn unsettled(audience: &str, authorization: &AuthorizationServer) -> SignInError {
    let issuer = foreign(&authorization.issuer);
    platform_error(
        format!(
            "a token for the audience {} is not sent to {issuer}, which only the server names",
            foreign(audience)
        ),
        format!(
            "if that authorization server is right, name it: --oauth-issuer {}",
            shell_words::quote(&issuer)
        ),
    )
}

fn platform_error(sentence: String, advice: impl Into<String>) -> SignInError {
    SignInError::failed(sentence, advice).of_kind(FailureKind::Platform)
}

/// Asks GitHub Actions for a token of this audience. A redirect is not followed.
async fn github(
    http: &OAuthHttp<'_>,
    endpoint: &Url,
    bearer: &Secret,
    audience: &str,
) -> Result<String, SignInError> {
    let mut url = endpoint.clone();
    url.query_pairs_mut().append_pair("audience", audience);
    let mut headers = HeaderMap::new();
    if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", bearer.reveal())) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    // The environment names the address, and not the server.
    let http = OAuthHttp { server: endpoint, ..*http };
    let answer = http.get(&url, headers).await.map_err(|error| error.of_kind(FailureKind::Platform))?;
    let token = match answer.is_ok() {
        true => Object::parse(&answer.body).and_then(|answer| answer.text("value")),
        false => None,
    };
    token.filter(|token| !token.trim().is_empty()).ok_or_else(|| {
        let what = match answer.is_ok() {
            true => "without a token".to_owned(),
            false => format!("{} instead of a token", answer.status()),
        };
        platform_error(
            format!("GitHub Actions ({}) answered {what}", place(endpoint)),
            "see whether the job has the permission id-token: write, and GitHub's status",
        )
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.x", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn token_goes_to_authorization_server_of_its_audience_alone() {
        let authorization = AuthorizationServer {
            issuer: "https://as.example".to_owned(),
            token_endpoint: "https://as.example/token".to_owned(),
            ..AuthorizationServer::default()
        };
        for (audience, claims, expected) in [
            (None, r#"{"aud":"https://as.example"}"#, ""),
            (None, r#"{"aud":"https://as.example/"}"#, ""),
            (None, r#"{"aud":["https://other","https://as.example"]}"#, ""),
            (None, r#"{"aud":"https://as.example/token"}"#, ""),
            (None, r#"{"aud":"https://as.example/token/"}"#, "is for the audience https://as.example/token/"),
            (None, r#"{"aud":"https://as.example.evil"}"#, "is for the audience https://as.example.evil"),
            (None, r#"{"aud":["https://a","https://b"]}"#, "is for the audience https://a, https://b"),
            (None, "{}", "names no audience"),
            (Some("api://x"), r#"{"aud":"api://x"}"#, ""),
            (Some("api://x"), r#"{"aud":"https://as.example"}"#, "is for the audience https://as.example"),
        ] {
            let source = TokenSource::Variable("T".to_owned(), Secret::new(""));
            let identity = WorkloadIdentity { source, audience: audience.map(str::to_owned) };
            let checked = identity.check_audience(claims, &authorization);
            let told = checked.err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(told.is_empty(), expected.is_empty(), "{claims}: {told}");
            assert!(told.contains(expected), "{claims}: {told}");
        }
    }

    #[test]
    fn endpoint_of_another_authorization_server_is_no_audience() {
        for (issuer, expected) in [
            ("https://as.example", true),
            ("https://as.example/tenant", true),
            ("https://evil.example", false),
            ("https://as.example:444", false),
            ("", false),
        ] {
            let authorization = AuthorizationServer {
                issuer: issuer.to_owned(),
                token_endpoint: "https://as.example/token".to_owned(),
                ..AuthorizationServer::default()
            };
            assert_eq!(names(&authorization, "https://as.example/token"), expected, "{issuer}");
        }
    }

    #[test]
    fn text_that_is_no_token_is_not_sent() {
        let source = TokenSource::Command("--workload-identity", Arc::new(|| Ok(String::new())));
        let expired = token(r#"{"exp":1}"#);
        let list = token("[]");
        for text in ["", "opaque", "a.b", "a.b.c.d", "e30.!.x", &"x".repeat(LIMIT + 1), &expired, &list] {
            let error = source.claims(text).expect_err("no token").to_string();
            assert!(error.starts_with("the token of the command of --workload-identity "), "{error}");
            assert_eq!(error.contains("has expired"), text == expired, "{error}");
        }
        assert_eq!(source.claims(&token("{}")).ok().as_deref(), Some("{}"));
    }
}
