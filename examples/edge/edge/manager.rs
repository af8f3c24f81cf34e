//! A plain-JSON MCP server in the manner of a token manager: one JSON answer to each POST, no sessions, no streams.
//!
//! Apart from `tools` because it is written by hand, as such servers are: a key of its own beside Access's token, a rate
//! limit that says in `X-RateLimit-Reset` when it is over (and sends no Retry-After), and an `X-Correlation-ID` on every
//! answer, refusals included. Deliberately not here: revisions later than 2025-06-18, and anything the server would say
//! unasked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::access::visible;
use super::origin::Caller;
use super::settings::Switches;
use super::token;

const CORRELATION: &str = "x-correlation-id";
const REVISION: &str = "2025-06-18";

/// What the server holds.
struct Manager {
    key: String,
    switches: Switches,
    issued: AtomicU32,
}

/// The server, for those who have its key.
pub(super) fn router(key: &str, switches: &Switches) -> Router {
    let manager = Manager { key: key.to_owned(), switches: switches.clone(), issued: AtomicU32::new(0) };
    Router::new().route("/mcp", post(answer)).with_state(Arc::new(manager)).layer(from_fn(correlate))
}

/// Puts an id on every answer by which the server's log has the request: the caller's own, or a new one.
async fn correlate(request: Request, next: Next) -> Response {
    let id = request.headers().get(CORRELATION).cloned();
    let id = id.unwrap_or_else(|| visible(&format!("tm-{}", token::hex(12))));
    let mut response = next.run(request).await;
    response.headers_mut().insert(CORRELATION, id);
    response
}

async fn answer(
    State(manager): State<Arc<Manager>>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    Json(message): Json<Value>,
) -> Response {
    if headers.get("x-api-key").map(HeaderValue::as_bytes) != Some(manager.key.as_bytes()) {
        let problem = json!({ "error": "unauthorized", "detail": "X-API-Key is missing or unknown" });
        return (StatusCode::UNAUTHORIZED, Json(problem)).into_response();
    }
    let limit = match manager.count() {
        Ok(limit) => limit,
        Err(limit) => {
            let problem = json!({ "error": "rate_limited", "detail": "too many requests" });
            return (StatusCode::TOO_MANY_REQUESTS, limit, Json(problem)).into_response();
        }
    };
    let Some(id) = message.get("id") else { return (StatusCode::ACCEPTED, limit).into_response() };
    let caller = caller.map(|Extension(caller)| caller);
    let answer = match manager.result(&message, caller.as_ref()) {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err((code, sentence)) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": sentence } })
        }
    };
    (limit, Json(answer)).into_response()
}

impl Manager {
    /// Counts a request. Tells what is left of the limit, as headers; they are the error where nothing is.
    fn count(&self) -> Result<HeaderMap, HeaderMap> {
        let now = jsonwebtoken::get_current_timestamp();
        let mut settings = self.switches.lock();
        // A pause that is over is the end of the limit: it is there to be met once.
        if settings.limit.and_then(|limit| limit.until).is_some_and(|until| now >= until) {
            settings.limit = None;
        }
        let headers = |remaining: u32, reset: u64| {
            let mut headers = HeaderMap::new();
            headers.insert("x-ratelimit-remaining", visible(&remaining.to_string()));
            headers.insert("x-ratelimit-reset", visible(&reset.to_string()));
            headers
        };
        let Some(limit) = &mut settings.limit else { return Ok(headers(1000, now + 60)) };
        match limit.remaining.checked_sub(1) {
            Some(fewer) => {
                limit.remaining = fewer;
                Ok(headers(fewer, now + limit.seconds))
            }
            None => Err(headers(0, *limit.until.get_or_insert(now + limit.seconds))),
        }
    }

    fn result(&self, message: &Value, caller: Option<&Caller>) -> Result<Value, (i32, String)> {
        let schema = json!({ "type": "object", "properties": {} });
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => Ok(json!({
                "protocolVersion": REVISION, "capabilities": { "tools": {} },
                "serverInfo": { "name": "token manager", "version": env!("CARGO_PKG_VERSION") },
            })),
            "ping" => Ok(json!({})),
            "tools/list" => Ok(json!({ "tools": [
                { "name": "whoami", "description": "Says whom Access let through", "inputSchema": schema,
                  "annotations": { "readOnlyHint": true } },
                { "name": "issue", "description": "Issues a token", "inputSchema": schema },
            ] })),
            "tools/call" => {
                let text = match message["params"]["name"].as_str().unwrap_or_default() {
                    "whoami" => caller.map_or("nobody in particular", Caller::name).to_owned(),
                    "issue" => format!("token {}", self.issued.fetch_add(1, Ordering::Relaxed) + 1),
                    other => return Err((-32602, format!("no tool {other}"))),
                };
                Ok(json!({ "content": [{ "type": "text", "text": text }] }))
            }
            other => Err((-32601, format!("no method {other}"))),
        }
    }
}
