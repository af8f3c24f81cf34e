//! A loopback stand-in for Cloudflare's API for Access, wired to the example edge: what is created here opens or closes the
//! edge's server.
//!
//! One account with one zone, the edge's host. It answers what `mcp-tether access` asks, in the API's words, and fails where
//! a test wants it to. The parts: [`state`] holds the objects, [`answers`] changes them, [`faults`] spoils an answer.
//!
//! Deliberately not here: everything of the API that Access does not need, and times that pass by themselves.

mod answers;
mod faults;
mod state;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;

use crate::edge::{Edge, Servers};

pub(crate) use faults::{Fault, Spoiled};
pub(crate) use state::{Call, State, now};

/// A running API; dropping it closes its listener.
pub(crate) struct Cloudflare {
    url: String,
    world: World,
    _servers: Servers,
}

/// The objects and the edge that they open and close.
#[derive(Clone)]
struct World {
    state: Arc<Mutex<State>>,
    edge: Arc<Edge>,
}

impl Cloudflare {
    /// Starts the API of an account without an application: from here on the edge's server is open.
    pub(crate) fn start(edge: &Arc<Edge>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://{}/client/v4", listener.local_addr()?);
        let team = edge.team_url().unwrap_or_default().trim_start_matches("http://").to_owned();
        let state = Arc::new(Mutex::new(State::new(&team, edge.audience())));
        let world = World { state, edge: Arc::clone(edge) };
        let router = Router::new().fallback(answer).with_state(world.clone());
        let servers = Servers::start(vec![(listener, router)])?;
        world.open_or_close();
        Ok(Self { url, world, _servers: servers })
    }

    /// Its address, for `MCP_TETHER_CLOUDFLARE_API`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The token that may do everything that is needed.
    pub(crate) fn token(&self) -> String {
        self.state().api_token.clone()
    }

    /// The objects, to look at.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.world.lock()
    }

    /// Changes the objects, and the edge with them.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.world.lock());
        self.world.open_or_close();
        changed
    }

    /// Every call so far, secrets aside.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Every call so far that may change something, as `METHOD path`.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.calls().iter().filter(|call| call.method != "GET").map(Call::line).collect()
    }
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics in between")
    }

    /// Has the edge know what there is.
    fn open_or_close(&self) {
        let known = self.lock().known_to_edge();
        self.edge.change(|settings| {
            if known.is_protected && !settings.is_protected {
                settings.knows_after = known.knows_after;
            }
            settings.is_protected = known.is_protected;
            settings.access.policies = known.policies;
            settings.tokens = known.tokens;
            settings.managed_oauth = known.managed_oauth;
        });
    }
}

/// Answers one call: a fault before it has an effect, the effect, a fault behind it.
async fn answer(
    Shared(world): Shared<World>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().trim_start_matches("/client/v4").to_owned();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let (answer, spoiled) = {
        let mut state = world.lock();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        state.calls.push(Call {
            method: method.to_string(),
            path: path.clone(),
            query: uri.query().unwrap_or_default().to_owned(),
            body: serde_json::Value::clone(&body),
            authorization: header("authorization"),
            user_agent: header("user-agent"),
        });
        let spoiled = state.spoiled(method.as_str(), &path);
        match spoiled {
            Some(Spoiled::Before(status, error)) => (answers::refusal(status, error), None),
            Some(Spoiled::Wait(seconds)) => {
                (answers::Answer { retry_after: Some(seconds), ..answers::refusal(429, None) }, None)
            }
            Some(Spoiled::Redirect) => (
                answers::Answer { location: Some("http://127.0.0.1:9/"), ..answers::refusal(302, None) },
                None,
            ),
            Some(Spoiled::After(_) | Spoiled::Cut | Spoiled::Hang) | None => {
                let header = header("authorization");
                (answers::answer(&mut state, &method, &path, uri.query(), &body, header.as_deref()), spoiled)
            }
        }
    };
    world.open_or_close();
    let answer = match spoiled {
        Some(Spoiled::Hang) => return std::future::pending().await,
        Some(Spoiled::Cut) => return cut(),
        Some(Spoiled::After(status)) => answers::refusal(status, None),
        Some(Spoiled::Before(..) | Spoiled::Wait(_) | Spoiled::Redirect) | None => answer,
    };
    answer.into_response()
}

/// An answer whose body breaks off.
fn cut() -> Response {
    let broken = futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(io::Error::other("cut"))]);
    let response = Response::builder().status(StatusCode::OK).body(Body::from_stream(broken));
    response.expect("a response of constants")
}
