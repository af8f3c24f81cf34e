//! Access itself: who may pass, and what is changed about a request that does.
//!
//! [`decide`] is pure, row by row the table of Access decisions for a self-hosted application; around it is the
//! little that touches HTTP. How a refusal looks is in `answers`.
//!
//! Deliberately not here: cookies of an earlier answer (they admit nobody), and the sign-in that Managed OAuth leads to
//! (`authorization`).

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use serde_json::{Value, json};

use super::answers;
use super::authorization::Authorization;
use super::origin::Caller;
use super::settings::{Settings, Switches};
use super::team::Team;
use super::trouble;

const CLIENT_ID: HeaderName = HeaderName::from_static("cf-access-client-id");
const CLIENT_SECRET: HeaderName = HeaderName::from_static("cf-access-client-secret");
/// The header for the token of a person, as `cloudflared access token` prints it.
const ACCESS_TOKEN: HeaderName = HeaderName::from_static("cf-access-token");
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Its settings, and those of everything around it.
    pub(super) switches: Switches,
    /// Its tag, the audience of its assertions.
    pub(super) audience: String,
    /// The team it belongs to.
    pub(super) team: Team,
    /// Who signs people in for it, where that is Managed OAuth.
    pub(super) authorization: Authorization,
}

impl Application {
    /// Puts the application in front of an origin.
    pub(super) fn protect(self, origin: Router) -> Router {
        origin.layer(from_fn_with_state(Arc::new(self), pass_or_refuse))
    }

    /// The assertion an origin gets: a service token is named by its client id, a person by the e-mail address.
    fn assertion(&self, caller: &Caller) -> String {
        let now = jsonwebtoken::get_current_timestamp();
        let mut claims = json!({
            "type": "app", "aud": [self.audience], "iss": self.team.url(), "iat": now, "exp": now + 3600,
        });
        match caller {
            Caller::Token(id) => {
                claims["common_name"] = id.as_str().into();
                claims["sub"] = "".into();
            }
            Caller::Person(email) => claims["email"] = email.as_str().into(),
        }
        self.team.sign(&claims)
    }
}

async fn pass_or_refuse(
    State(application): State<Arc<Application>>,
    request: Request,
    next: Next,
) -> Response {
    let request = match trouble::answer(&application.switches, false, request).await {
        Ok(request) => request,
        Err(answer) => return answers::stamp(answer),
    };
    let settings = application.switches.now();
    if !settings.is_protected || is_still_unknown(&application.switches) {
        return answers::stamp(next.run(request).await);
    }
    if let Some(answer) = answers::protected_resource(&application, &settings, &request) {
        return answers::stamp(answer);
    }
    let metadata = answers::metadata(&application, &request);
    let presented = presented(request.headers(), &settings, &application);
    let verdict = match is_of_foreign_page(request.headers(), &settings) {
        true => Verdict::Forbidden,
        false => decide(&settings, presented, is_browser(request.headers())),
    };
    let mut response = match verdict {
        Verdict::Bypass => next.run(request).await,
        Verdict::Admit(caller) => admit(&application, &settings, &caller, request, next).await,
        Verdict::SignIn { token_known } => answers::sign_in(&application, &settings, &request, token_known),
        Verdict::Challenge => answers::challenge(&settings, &request),
        Verdict::Forbidden => answers::forbidden(&application, &settings, request.headers()),
        Verdict::Unauthorized => answers::unauthorized(&application, &settings, request.headers()),
    };
    if let Some(metadata) = metadata {
        response.headers_mut().insert("cf-access-metadata", visible(&metadata));
    }
    answers::stamp(response)
}

/// Returns whether the edge does not know of its application yet, and counts the request.
fn is_still_unknown(switches: &Switches) -> bool {
    let mut settings = switches.lock();
    let left = settings.knows_after;
    settings.knows_after = left.saturating_sub(1);
    left > 0
}

/// Lets a request through: an assertion takes the place of what proved who is asking.
async fn admit(
    application: &Application,
    settings: &Settings,
    caller: &Caller,
    mut request: Request,
    next: Next,
) -> Response {
    let assertion = application.assertion(caller);
    let headers = request.headers_mut();
    for name in [CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN] {
        headers.remove(name);
    }
    if let Some(name) = &settings.token_header {
        headers.remove(name.as_str());
    }
    if application.authorization.token(headers).is_some() {
        headers.remove(AUTHORIZATION);
    }
    headers.insert(ASSERTION, visible(&assertion));
    let mut response = next.run(request).await;
    match settings.access.mode {
        Mode::Legacy => {
            let cookie = format!("CF_Authorization={assertion}; Path=/; Secure; HttpOnly");
            response.headers_mut().append(SET_COOKIE, visible(&cookie));
        }
        Mode::Strict => {}
    }
    response
}

/// The value of a header whose text is ours.
pub(super) fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("this text is made of visible ASCII")
}

/// Tells whether a person would see the answer.
fn is_browser(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// Tells whether a web page asks that CORS does not allow.
fn is_of_foreign_page(headers: &HeaderMap, settings: &Settings) -> bool {
    match (headers.get(ORIGIN), &settings.allowed_origin) {
        (Some(origin), Some(allowed)) => origin.as_bytes() != allowed.as_bytes(),
        (Some(_) | None, _) => false,
    }
}

/// What a request brought along.
#[derive(Clone)]
enum Presented {
    Nothing,
    /// Half a pair, several pairs, or a pair that is no token.
    Wrong,
    /// A service token that is accepted.
    Right(String),
    /// The token of a person who has signed in.
    Person(String),
}

fn presented(headers: &HeaderMap, settings: &Settings, application: &Application) -> Presented {
    if let Some(token) = headers.get(ACCESS_TOKEN).and_then(|token| token.to_str().ok())
        && let Some(person) = application.team.person(token, &application.audience)
    {
        return Presented::Person(person);
    }
    if settings.managed_oauth
        && let Some(person) = application.authorization.person(headers)
    {
        return Presented::Person(person);
    }
    let values =
        |name: &HeaderName| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let (mut ids, mut secrets) = (values(&CLIENT_ID), values(&CLIENT_SECRET));
    let single = settings.token_header.as_ref().and_then(|name| headers.get(name.as_str()));
    // Anything else in that header is the origin's business.
    let single: Option<Value> = single.and_then(|value| serde_json::from_slice(value.as_bytes()).ok());
    if let Some(single) = &single {
        ids.extend(single["cf-access-client-id"].as_str().map(str::as_bytes));
        secrets.extend(single["cf-access-client-secret"].as_str().map(str::as_bytes));
    }
    match (ids.as_slice(), secrets.as_slice()) {
        ([], []) => Presented::Nothing,
        ([id], [secret]) => {
            let is_it = |token: &&super::ServiceToken| {
                *id == token.id.as_bytes() && *secret == token.secret.as_bytes()
            };
            let token = settings.tokens.iter().find(is_it);
            token.map_or(Presented::Wrong, |token| Presented::Right(token.id.clone()))
        }
        _ => Presented::Wrong,
    }
}

/// What is done with a request.
#[derive(Clone)]
enum Verdict {
    /// On to the origin as it came.
    Bypass,
    /// On to the origin with an assertion in the place of the credential.
    Admit(Caller),
    /// A redirect to the team's sign-in page, which tells whether the token is one Access knows.
    SignIn { token_known: bool },
    /// 401 with the way to sign a person in.
    Challenge,
    /// 403.
    Forbidden,
    /// 401.
    Unauthorized,
}

fn decide(settings: &Settings, presented: Presented, is_browser: bool) -> Verdict {
    let has = |policy| settings.access.policies.contains(&policy);
    let turned_away = |token_known| {
        match has(Policy::Allow) {
            true if settings.managed_oauth && !is_browser => Verdict::Challenge,
            true => Verdict::SignIn { token_known },
            // Without an Allow policy there is nobody who could sign in.
            false if settings.service_auth_401 => Verdict::Unauthorized,
            false => Verdict::Forbidden,
        }
    };
    if has(Policy::Bypass) {
        return Verdict::Bypass;
    }
    match (presented, settings.access.mode) {
        (Presented::Right(id), Mode::Legacy | Mode::Strict) if has(Policy::ServiceAuth) => {
            Verdict::Admit(Caller::Token(id))
        }
        (Presented::Person(email), Mode::Legacy | Mode::Strict) if has(Policy::Allow) => {
            Verdict::Admit(Caller::Person(email))
        }
        (Presented::Right(_), Mode::Legacy) => turned_away(true),
        (Presented::Right(_), Mode::Strict) => Verdict::Forbidden,
        (Presented::Wrong, Mode::Legacy) => turned_away(false),
        (Presented::Wrong, Mode::Strict) => Verdict::Unauthorized,
        // No token, so the strict treatment of tokens changes nothing.
        (Presented::Nothing | Presented::Person(_), Mode::Legacy | Mode::Strict) => turned_away(false),
    }
}
