//! A loopback stand-in for Cloudflare Access in front of an MCP server, for the demo, the tests and the curious.
//!
//! This file is what others use: [`Config`] says what to build, [`Edge`] is the running thing, [`Settings`] is what can
//! be changed while it runs. The parts are apart because in the real world they are different parties: [`access`]
//! decides, [`trouble`] is the rest of Cloudflare, [`team`] is the sign-in host that must never see a secret, [`origin`]
//! is the MCP server that believes only a signed assertion, [`manager`] another one with a key of its own,
//! [`authorization`] signs people in, for Access or for the server.
//!
//! Deliberately not here: identity providers (whoever comes is let in), and any promise to be exact where Cloudflare documents nothing.

mod access;
mod answers;
mod authorization;
mod dpop;
mod manager;
mod origin;
mod seen;
mod settings;
mod team;
pub(crate) mod token;
mod tools;
mod trouble;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

pub(crate) use access::{Access, Mode, Policy};
pub(crate) use origin::Answers;
pub(crate) use seen::Seen;
pub(crate) use settings::{Believes, Form, Limit, Settings};
pub(crate) use token::ServiceToken;
pub(crate) use trouble::Trouble;

use authorization::{Authorization, Of};
use seen::Log;
use serde_json::json;
use settings::Switches;
use team::Team;

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The Access application in front of the server; without one the server stands alone and asks for nothing.
    pub(crate) access: Option<Access>,
    /// The form of the server's answers.
    pub(crate) answers: Answers,
    /// The port of the server's address, 0 for a free one.
    pub(crate) port: u16,
}

impl Default for Config {
    /// Access in legacy mode, where a person may sign in and the token is let through; a free port.
    fn default() -> Self {
        let policies = vec![Policy::Allow, Policy::ServiceAuth];
        Self { access: Some(Access { mode: Mode::Legacy, policies }), answers: Answers::Stream, port: 0 }
    }
}

/// A running edge; dropping it closes every listener and connection before the drop returns.
pub(crate) struct Edge {
    address: SocketAddr,
    token: ServiceToken,
    key: String,
    audience: String,
    switches: Switches,
    log: Log,
    team: Option<Team>,
    /// Who signs people in: Access, where there is Access, and the server.
    authorizations: Vec<Authorization>,
    _servers: Servers,
}

impl Edge {
    /// Starts to listen on the loopback interface; fails when the port is taken.
    pub(crate) fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port))?;
        let address = listener.local_addr()?;
        let token = ServiceToken::random();
        // Letters that JSON, HTML and URLs write otherwise.
        let key = format!("tm_{}/+=&{}", token::hex(12), token::hex(12));
        let audience = token::hex(64);
        let log = Log::default();
        let mut sites = Vec::new();
        let access = config.access.clone().unwrap_or(Access { mode: Mode::Legacy, policies: Vec::new() });
        let switches = Switches::new(Settings::new(access, &token));
        let application = format!("http://{address}");
        let own = Authorization::new(Of::Server, &application, &application, &switches);
        let server = origin::open(config.answers, &key, &switches);
        let server =
            origin::signing_in(server, &own, &switches).merge(origin::described(&application, &switches));
        let mut authorizations = vec![own];
        let (router, team) = match config.access {
            None => (server, None),
            Some(_) => {
                let team_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let team = Team::new(team_listener.local_addr()?);
                let managed = Authorization::new(Of::Access, team.url(), &application, &switches);
                authorizations.push(managed.clone());
                sites.push((team_listener, team.router(&managed)));
                let origin = origin::guarded(server, team.url(), &audience, &switches);
                let (switches, audience) = (switches.clone(), audience.clone());
                let team_of_it = team.clone();
                let application =
                    access::Application { switches, audience, team: team_of_it, authorization: managed };
                (application.protect(origin), Some(team))
            }
        };
        sites.push((listener, log.watching(router)));
        let servers = Servers::start(sites)?;
        Ok(Self { address, token, key, audience, switches, log, team, authorizations, _servers: servers })
    }

    /// Turns switches while the edge runs.
    pub(crate) fn change(&self, turn: impl FnOnce(&mut Settings)) {
        turn(&mut self.switches.lock());
    }

    /// The settings as they are.
    pub(crate) fn settings(&self) -> Settings {
        self.switches.now()
    }

    /// Rotates the service token: the same id with another secret, while the old one goes on being accepted until
    /// [`Edge::end_grace`].
    pub(crate) fn rotate(&self) -> ServiceToken {
        let rotated = self.token.rotated();
        self.change(|settings| settings.tokens.push(rotated.clone()));
        rotated
    }

    /// Ends the time in which an old secret is accepted beside the latest.
    pub(crate) fn end_grace(&self) {
        self.change(|settings| drop(settings.tokens.drain(..settings.tokens.len().saturating_sub(1))));
    }

    /// Signs a person in for so many seconds: what `cloudflared access token` prints. None where there is no Access.
    pub(crate) fn sign_in(&self, email: &str, seconds: i64) -> Option<String> {
        let team = self.team.as_ref()?;
        let now = i64::try_from(jsonwebtoken::get_current_timestamp()).ok()?;
        Some(team.sign(&json!({
            "type": "app", "aud": [self.audience], "iss": team.url(), "iat": now, "exp": now + seconds,
            "email": email,
        })))
    }

    /// Every token that somebody signed in for runs out; what it is exchanged with holds.
    pub(crate) fn expire_people(&self) {
        self.authorizations.iter().for_each(Authorization::expire);
    }

    /// Everybody who has signed in has to do so again.
    pub(crate) fn end_grants(&self) {
        self.authorizations.iter().for_each(Authorization::end);
    }

    /// The key that the plain server wants in `X-API-Key`.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The AUD tag of the application.
    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    /// The address of the MCP endpoint.
    pub(crate) fn mcp_url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The address of the sign-in host, none where there is no Access.
    pub(crate) fn team_url(&self) -> Option<&str> {
        self.team.as_ref().map(Team::url)
    }

    /// The service token, as it was at the start.
    pub(crate) fn token(&self) -> &ServiceToken {
        &self.token
    }

    /// Every request answered so far, as it arrived here.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.watch().borrow().clone()
    }

    /// The same as it grows, to wait on: each entry is there before the client can read the answer.
    pub(crate) fn watch(&self) -> watch::Receiver<Vec<Seen>> {
        self.log.watch()
    }

    /// Every request that reached the sign-in host, the origin's own look at the certificates included.
    pub(crate) fn team_requests(&self) -> Vec<Seen> {
        self.team.as_ref().map_or_else(Vec::new, |team| team.log().watch().borrow().clone())
    }
}

impl fmt::Debug for Edge {
    /// What an assertion wants to show; secrets inside are masked.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Edge")
            .field("mcp_url", &self.mcp_url())
            .field("team_url", &self.team_url())
            .field("token", &self.token().id)
            .field("requests", &self.requests())
            .field("team_requests", &self.team_requests())
            .finish()
    }
}

/// All listeners on one thread with its own runtime: axum and rmcp spawn tasks that only the end of a runtime ends,
/// and a test that blocks or pauses its clock must not stop the other side.
pub(crate) struct Servers {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Servers {
    /// Starts to serve each router at its listener.
    pub(crate) fn start(sites: Vec<(TcpListener, Router)>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut listening = Vec::new();
        for (listener, router) in sites {
            let _context = runtime.enter();
            listener.set_nonblocking(true)?;
            listening.push((tokio::net::TcpListener::from_std(listener)?, router));
        }
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("edge".to_owned())
            .spawn(move || serve(&runtime, listening, stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

fn serve(
    runtime: &Runtime,
    listening: Vec<(tokio::net::TcpListener, Router)>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        let mut servers = JoinSet::new();
        for (listener, router) in listening {
            // Without this, Nagle holds back the second piece of every stream until the first is acknowledged.
            let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
            servers.spawn(axum::serve(listener, router).into_future());
        }
        // Either way, a word or a dropped sender, it is the end.
        let _ = stopped.await;
    });
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed already.
            let _ = thread.join();
        }
    }
}
