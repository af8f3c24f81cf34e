//! What arrived: a list of requests that can be read at any time and waited on.
//!
//! Apart because the edge and the team host keep the same list. Deliberately not here: bodies; they belong to the MCP
//! server, and what it understood of them shows in its answers.

use std::fmt;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio::sync::watch;

/// One request and the status it was answered with.
#[derive(Clone)]
pub(crate) struct Seen {
    /// The HTTP method.
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) path: String,
    /// The headers in their order, names in lowercase.
    pub(crate) headers: Vec<(String, String)>,
    /// The status of the answer, 499 where the client left before there was one.
    pub(crate) status: u16,
}

impl fmt::Display for Seen {
    /// One line for a person: what was asked, the answer, and the headers that matter, secrets masked.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.status, self.method, self.path)?;
        for (name, value) in &self.headers {
            match name.as_str() {
                "cf-access-client-id" if value.ends_with(".access") => write!(formatter, "  {name}={value}")?,
                "cf-access-client-id"
                | "cf-access-client-secret"
                | "cf-access-token"
                | "cf-access-jwt-assertion"
                | "x-api-key"
                | "authorization"
                | "cookie" => write!(formatter, "  {name}={}", masked(value))?,
                shown if shown.starts_with("mcp-") => write!(formatter, "  {name}={value}")?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Seen {
    /// The same line, so that a failing assertion prints no secret either.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Leaves of a secret what tells two of them apart: the known prefix, the end and the length.
fn masked(value: &str) -> String {
    let count = value.chars().count();
    let prefix = if value.starts_with("cfast_") { "cfast_" } else { "" };
    let end: String = if count < 20 { String::new() } else { value.chars().skip(count - 4).collect() };
    format!("{prefix}…{end} ({count} chars)")
}

/// The growing list.
#[derive(Clone, Default)]
pub(super) struct Log(watch::Sender<Vec<Seen>>);

impl Log {
    /// A view that can be read and waited on.
    pub(super) fn watch(&self) -> watch::Receiver<Vec<Seen>> {
        self.0.subscribe()
    }

    /// Puts this list in front of everything the router answers.
    pub(super) fn watching(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), note))
    }
}

async fn note(State(log): State<Log>, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let seen = Seen { method: request.method().to_string(), path, headers, status: 499 };
    let mut entry = Entry { log, seen };
    let response = next.run(request).await;
    entry.seen.status = response.status().as_u16();
    response
}

/// Writes itself down when dropped, which is also what happens when the client leaves early.
struct Entry {
    log: Log,
    seen: Seen,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.log.0.send_modify(|list| list.push(self.seen.clone()));
    }
}
