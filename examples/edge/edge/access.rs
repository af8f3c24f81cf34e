//! Access itself: who may pass, and what is changed about a request that does.
//!
//! [`decide`] is pure, row by row the table of Access decisions for a self-hosted application; around it is the
//! little that touches HTTP. How a refusal looks is in `answers`.
//!
//! Deliberately not here: Managed OAuth, the pair in one header, cookies of an earlier answer (they admit nobody).
//! They would be fields of [`Access`] and arms of [`decide`].

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use serde_json::json;

use super::answers;
use super::team::Team;
use super::token::ServiceToken;

const CLIENT_ID: HeaderName = HeaderName::from_static("cf-access-client-id");
const CLIENT_SECRET: HeaderName = HeaderName::from_static("cf-access-client-secret");
/// The header in which the origin finds who was let through.
pub(super) const ASSERTION: HeaderName = HeaderName::from_static("cf-access-jwt-assertion");

/// How the Access application is set up.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// How the account treats service tokens.
    pub(crate) mode: Mode,
    /// The application's policies; an application without any admits nobody.
    pub(crate) policies: Vec<Policy>,
}

/// The account's setting for service tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// A token that is not accepted counts as none: the answer is the way to sign in.
    Legacy,
    /// A token that is not accepted is refused with 401, an accepted one without a policy with 403.
    Strict,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "legacy" => Ok(Self::Legacy),
            "strict" => Ok(Self::Strict),
            _ => Err("the mode is `legacy` or `strict`".to_owned()),
        }
    }
}

/// One policy of the application.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Policy {
    /// Action Allow: people may sign in, which is no help to a program.
    Allow,
    /// Action Service Auth, including the edge's token.
    ServiceAuth,
    /// Action Service Auth, including other tokens only.
    ServiceAuthOther,
    /// Action Bypass: everything reaches the origin as it is, without an assertion.
    Bypass,
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "allow" => Ok(Self::Allow),
            "service-auth" => Ok(Self::ServiceAuth),
            "service-auth-other" => Ok(Self::ServiceAuthOther),
            "bypass" => Ok(Self::Bypass),
            _ => Err("a policy is `allow`, `service-auth`, `service-auth-other` or `bypass`".to_owned()),
        }
    }
}

/// An Access application with everything it needs to decide and to answer.
pub(super) struct Application {
    /// Its settings.
    pub(super) access: Access,
    /// The one token that exists.
    pub(super) token: ServiceToken,
    /// Its tag, the audience of its assertions.
    pub(super) audience: String,
    /// The team it belongs to.
    pub(super) team: Team,
}

impl Application {
    /// Puts the application in front of an origin.
    pub(super) fn protect(self, origin: Router) -> Router {
        origin.layer(from_fn_with_state(Arc::new(self), pass_or_refuse))
    }

    /// The assertion an origin gets for the service token: no person in it, and the name is the client id.
    fn assertion(&self) -> String {
        let now = jsonwebtoken::get_current_timestamp();
        self.team.sign(&json!({
            "type": "app", "aud": [self.audience], "iss": self.team.url(), "iat": now, "exp": now + 3600,
            "common_name": self.token.id, "sub": "",
        }))
    }
}

async fn pass_or_refuse(
    State(application): State<Arc<Application>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(answer) = answers::protected_resource(&application, &request) {
        return answers::stamp(answer);
    }
    let metadata = answers::metadata(&application, &request);
    let mut response = match decide(&application.access, presented(request.headers(), &application.token)) {
        Verdict::Bypass => next.run(request).await,
        Verdict::Admit => {
            let assertion = application.assertion();
            let headers = request.headers_mut();
            headers.remove(CLIENT_ID);
            headers.remove(CLIENT_SECRET);
            headers.insert(ASSERTION, visible(&assertion));
            let mut response = next.run(request).await;
            match application.access.mode {
                Mode::Legacy => {
                    let cookie = format!("CF_Authorization={assertion}; Path=/; Secure; HttpOnly");
                    response.headers_mut().append(SET_COOKIE, visible(&cookie));
                }
                Mode::Strict => {}
            }
            response
        }
        Verdict::SignIn { token_known } => answers::sign_in(&application, &request, token_known),
        Verdict::Forbidden => answers::forbidden(&application, request.headers()),
        Verdict::Unauthorized => answers::unauthorized(&application, request.headers()),
    };
    if let Some(metadata) = metadata {
        response.headers_mut().insert("cf-access-metadata", visible(&metadata));
    }
    answers::stamp(response)
}

/// The value of a header whose text is ours.
pub(super) fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("this text is made of visible ASCII")
}

/// What a request brought along.
#[derive(Clone, Copy)]
enum Presented {
    Nothing,
    /// Half a pair, several pairs, or a pair that is not the token.
    Wrong,
    Right,
}

fn presented(headers: &HeaderMap, token: &ServiceToken) -> Presented {
    let ids: Vec<_> = headers.get_all(CLIENT_ID).iter().collect();
    let secrets: Vec<_> = headers.get_all(CLIENT_SECRET).iter().collect();
    match (ids.as_slice(), secrets.as_slice()) {
        ([], []) => Presented::Nothing,
        ([id], [secret]) if **id == *token.id && **secret == *token.secret => Presented::Right,
        _ => Presented::Wrong,
    }
}

/// What is done with a request.
#[derive(Clone, Copy)]
enum Verdict {
    /// On to the origin as it came.
    Bypass,
    /// On to the origin with an assertion in the place of the pair.
    Admit,
    /// A redirect to the team's sign-in page, which tells whether the token is one Access knows.
    SignIn { token_known: bool },
    /// 403.
    Forbidden,
    /// 401.
    Unauthorized,
}

fn decide(access: &Access, presented: Presented) -> Verdict {
    let has = |policy| access.policies.contains(&policy);
    let turned_away = |token_known| {
        // Without an Allow policy there is nobody who could sign in.
        if has(Policy::Allow) { Verdict::SignIn { token_known } } else { Verdict::Forbidden }
    };
    if has(Policy::Bypass) {
        return Verdict::Bypass;
    }
    match (presented, access.mode) {
        (Presented::Right, Mode::Legacy | Mode::Strict) if has(Policy::ServiceAuth) => Verdict::Admit,
        (Presented::Right, Mode::Legacy) => turned_away(true),
        (Presented::Right, Mode::Strict) => Verdict::Forbidden,
        (Presented::Wrong, Mode::Legacy) => turned_away(false),
        (Presented::Wrong, Mode::Strict) => Verdict::Unauthorized,
        // No token, so the strict treatment of tokens changes nothing.
        (Presented::Nothing, Mode::Legacy | Mode::Strict) => turned_away(false),
    }
}
