//! The origin: the HTTP side of the MCP server, with or without the check that real origins behind Access make.
//!
//! Apart from `access` because it trusts nothing of it: it fetches the team's certificates over HTTP and believes an
//! assertion only when the signature, the audience and the issuer are right. Deliberately not here: the tools.

use std::io;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::access::ASSERTION;
use super::tools::{Caller, Tools};

/// The form of the MCP server's answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    /// Event streams, in sessions where the revision has them.
    Stream,
    /// Plain JSON where one message is the whole answer; rmcp offers that only without sessions.
    Json,
}

impl FromStr for Answers {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "stream" => Ok(Self::Stream),
            "json" => Ok(Self::Json),
            _ => Err("answers are `stream` or `json`".to_owned()),
        }
    }
}

/// The MCP server for everybody.
pub(super) fn open(answers: Answers) -> Router {
    let config = match answers {
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

/// The MCP server for those whom Access let through.
pub(super) fn guarded(answers: Answers, team_url: &str, audience: &str) -> Router {
    let guard =
        Guard { team_url: team_url.to_owned(), audience: audience.to_owned(), certificates: OnceCell::new() };
    open(answers).layer(from_fn_with_state(Arc::new(guard), check_assertion))
}

struct Guard {
    team_url: String,
    audience: String,
    certificates: OnceCell<JwkSet>,
}

#[derive(Deserialize)]
struct Claims {
    common_name: String,
}

async fn check_assertion(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let Some(assertion) = request.headers().get(ASSERTION) else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized: missing Cf-Access-Jwt-Assertion").into_response();
    };
    let Ok(certificates) = guard.certificates.get_or_try_init(|| fetch_certificates(&guard.team_url)).await
    else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "Cannot fetch the team's certificates").into_response();
    };
    let Some(claims) = assertion.to_str().ok().and_then(|assertion| guard.verify(assertion, certificates))
    else {
        return (StatusCode::FORBIDDEN, "Invalid token").into_response();
    };
    request.extensions_mut().insert(Caller(claims.common_name));
    next.run(request).await
}

impl Guard {
    fn verify(&self, assertion: &str, certificates: &JwkSet) -> Option<Claims> {
        let key_id = jsonwebtoken::decode_header(assertion).ok()?.kid?;
        let key = DecodingKey::from_jwk(certificates.find(&key_id)?).ok()?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[&self.audience]);
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
