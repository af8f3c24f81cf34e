//! The origin: the HTTP side of the MCP server, with or without the check that real origins behind Access make.
//!
//! Apart from `access` because it trusts nothing of it: it fetches the team's certificates over HTTP and believes an
//! assertion only when the signature, the audience and the issuer are right. Deliberately not here: the tools.

use std::io;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::access::{ASSERTION, visible};
use super::answers::host;
use super::authorization::Authorization;
use super::manager;
use super::settings::{Believes, Switches};
use super::tools::Tools;
use super::trouble;

/// The form of the MCP server's answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    /// Event streams, in sessions where the revision has them.
    Stream,
    /// Plain JSON where one message is the whole answer; rmcp offers that only without sessions.
    Json,
    /// Another server, written by hand in the manner of a token manager: plain JSON, and a key of its own.
    Plain,
}

impl FromStr for Answers {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "stream" => Ok(Self::Stream),
            "json" => Ok(Self::Json),
            "plain" => Ok(Self::Plain),
            _ => Err("answers are `stream`, `json` or `plain`".to_owned()),
        }
    }
}

/// Whom Access let through.
#[derive(Clone)]
pub(super) enum Caller {
    /// A service token, by its client id.
    Token(String),
    /// A person, by the e-mail address.
    Person(String),
}

impl Caller {
    /// What to call it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Token(name) | Self::Person(name) => name,
        }
    }
}

/// The MCP server for everybody; `key` is that of the plain one.
pub(super) fn open(answers: Answers, key: &str, switches: &Switches) -> Router {
    let config = match answers {
        Answers::Plain => return manager::router(key, switches),
        Answers::Stream => StreamableHttpServerConfig::default(),
        Answers::Json => {
            StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true)
        }
    };
    let tools = Tools::default();
    let service = StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    Router::new().route_service("/mcp", service)
}

/// The same server where it signs people in by itself, if it is set up so: for those who have a token of its own.
pub(super) fn signing_in(server: Router, authorization: &Authorization, switches: &Switches) -> Router {
    let door = Door { authorization: authorization.clone(), switches: switches.clone() };
    server.layer(from_fn_with_state(Arc::new(door), check_token)).merge(authorization.router())
}

/// Where a server's own tokens are looked at.
struct Door {
    authorization: Authorization,
    switches: Switches,
}

async fn check_token(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let settings = door.switches.now();
    let address = format!("http://{}", host(request.headers()));
    let person = {
        let url = format!("{address}{}", request.uri().path());
        door.authorization.proven_person(request.method().as_str(), &url, request.headers())
    };
    if !settings.signs_in || person.is_some() {
        return next.run(request).await;
    }
    let document = format!("{address}{DOCUMENT}");
    let scheme = if door.authorization.binds() { "DPoP algs=\"ES256\"," } else { "Bearer" };
    let challenge = format!("{scheme} realm=\"OAuth\", resource_metadata=\"{document}\"");
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, visible(&challenge))], "no token").into_response()
}

/// Where a server that signs people in describes itself.
const DOCUMENT: &str = "/.well-known/oauth-protected-resource/mcp";

/// What it says there, if it is set up so.
pub(super) fn described(application: &str, switches: &Switches) -> Router {
    let (application, switches) = (application.to_owned(), switches.clone());
    let answer = async move || match switches.now() {
        settings if settings.signs_in => {
            let resource = settings.resource(&application);
            Json(json!({ "resource": resource, "authorization_servers": [application] })).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    };
    Router::new().route(DOCUMENT, get(answer))
}

/// The same server for those whom Access let through.
pub(super) fn guarded(server: Router, team_url: &str, audience: &str, switches: &Switches) -> Router {
    let guard = Guard {
        team_url: team_url.to_owned(),
        audience: audience.to_owned(),
        certificates: OnceCell::new(),
        switches: switches.clone(),
    };
    server.layer(from_fn_with_state(Arc::new(guard), check_assertion))
}

struct Guard {
    team_url: String,
    audience: String,
    certificates: OnceCell<JwkSet>,
    switches: Switches,
}

/// What an assertion says of the caller: a service token has a name, a person an address.
#[derive(Deserialize)]
struct Claims {
    common_name: Option<String>,
    email: Option<String>,
}

impl Claims {
    fn caller(self) -> Option<Caller> {
        self.email.map(Caller::Person).or_else(|| self.common_name.map(Caller::Token))
    }
}

async fn check_assertion(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut request = match trouble::answer(&guard.switches, true, request).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let believes = guard.switches.lock().believes;
    let audience = match believes {
        Believes::Anybody => return next.run(request).await,
        Believes::Assertion | Believes::People => guard.audience.as_str(),
        Believes::OtherApplication => "of another application",
    };
    let Some(assertion) = request.headers().get(ASSERTION) else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized: missing Cf-Access-Jwt-Assertion").into_response();
    };
    let Ok(certificates) = guard.certificates.get_or_try_init(|| fetch_certificates(&guard.team_url)).await
    else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "Cannot fetch the team's certificates").into_response();
    };
    let claims = assertion.to_str().ok().and_then(|token| guard.verify(token, audience, certificates));
    match claims.and_then(Claims::caller) {
        None => (StatusCode::FORBIDDEN, "Invalid token").into_response(),
        Some(Caller::Token(_)) if believes == Believes::People => {
            (StatusCode::FORBIDDEN, "Forbidden: no email in the assertion").into_response()
        }
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    }
}

impl Guard {
    fn verify(&self, assertion: &str, audience: &str, certificates: &JwkSet) -> Option<Claims> {
        let key_id = jsonwebtoken::decode_header(assertion).ok()?.kid?;
        let key = DecodingKey::from_jwk(certificates.find(&key_id)?).ok()?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[&self.team_url]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        Some(jsonwebtoken::decode(assertion, &key, &validation).ok()?.claims)
    }
}

/// One GET by hand: over loopback and HTTP/1.0 the answer is everything until the connection closes.
async fn fetch_certificates(team_url: &str) -> io::Result<JwkSet> {
    let address = team_url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await?;
    let question = format!("GET /cdn-cgi/access/certs HTTP/1.0\r\nhost: {address}\r\n\r\n");
    connection.write_all(question.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let (_head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    Ok(serde_json::from_str(body)?)
}
