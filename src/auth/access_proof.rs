//! Whether the service token of the environment belongs to a host: remembered from before, or proved now.
//!
//! The proof asks the host for the metadata of its Access application (`HEAD` with `cf-access-metadata-request`, as
//! cloudflared does), and the team that the metadata names for its certificates. Neither request carries a credential. Of
//! many exchanges that are refused at once one asks and the others wait; a proof that failed is not tried again for a minute.
//! Deliberately not here: what a valid token looks like (`access_metadata`), the file (`access_hosts`), and which refusals
//! lead here (`remote`).

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::Method;
use http::header::ACCEPT;
use tracing::{info, warn};
use url::Url;

use super::access_hosts::{HostsFile, ProvedHost, ProvedHosts, Remembered};
use super::access_metadata::{Metadata, MetadataError, Team};
use super::cf_access::{PairRule, ServiceToken};
use crate::http::{Http, TransportError, transport_error};
use crate::mcp::header;

/// The request header that asks for the metadata, and the response header that holds them.
const METADATA_REQUEST: &str = "cf-access-metadata-request";
const METADATA: &str = "cf-access-metadata";
/// Where a team publishes the keys that it signs with.
const CERTIFICATES: &str = "/cdn-cgi/access/certs";
/// How long each of the two requests may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest set of certificates, in bytes.
const LONGEST: usize = 256 * 1024;
/// How long a failed proof is not tried again.
const PAUSE: Duration = Duration::from_secs(60);
/// Of how many client ids failures are kept.
const MOST_FAILURES: usize = 8;

/// Why a host was not proved to belong to the team of a service token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotProved {
    /// The client id does not look like one, so that it may be a secret and is not written down.
    ClientId,
    /// The host did not answer the question, for this reason.
    Unreachable(&'static str),
    /// The host says nothing about an Access application.
    NoApplication,
    /// The application belongs to another team than the service token.
    OtherTeam {
        /// The team that the host names.
        team: Team,
        /// The team that the service token belongs to.
        own: Team,
    },
    /// The certificates of the team could not be fetched.
    Certificates {
        /// The team that the host names.
        team: Team,
        /// What came instead of them.
        problem: String,
    },
    /// What the host says of its application does not hold.
    Metadata {
        /// The team that the host names, if it names one.
        team: Option<Team>,
        /// Why not.
        problem: MetadataError,
    },
}

impl fmt::Display for NotProved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotProved::ClientId => f.write_str("its client id does not end in .access"),
            NotProved::Unreachable(reason) => {
                write!(f, "the host did not say whether Cloudflare Access protects it: {reason}")
            }
            NotProved::NoApplication => {
                f.write_str("the host does not prove that an application of Cloudflare Access protects it")
            }
            NotProved::OtherTeam { team, own } => {
                write!(f, "the host names the team {team}, but the service token belongs to the team {own}")
            }
            NotProved::Certificates { team, problem } => write!(
                f,
                "the host names the team {team}, whose certificates could not be fetched ({problem})"
            ),
            NotProved::Metadata { team: Some(team), problem } => {
                write!(f, "the host names the team {team}, but does not prove it: {problem}")
            }
            NotProved::Metadata { team: None, problem } => {
                write!(f, "what the host says of its Access application proves nothing: {problem}")
            }
        }
    }
}

/// Why a service token that is set was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// `CF_ACCESS_HOSTS`, of this value, does not name the host.
    Unlisted(String),
    /// The host is not remembered for it, and was not proved to belong to its team.
    NotProved(NotProved),
    /// The host is not remembered for it, and the refusal is not of a form that Access uses.
    NotAsked,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotSent::Unlisted(_) => f.write_str("CF_ACCESS_HOSTS does not name this host"),
            NotSent::NotProved(reason) => reason.fmt(f),
            NotSent::NotAsked => f.write_str("this is not a refusal by Cloudflare Access"),
        }
    }
}

impl NotSent {
    /// What to do if the service token is meant for the server at `url` all the same.
    pub fn advice(&self, url: &Url) -> String {
        let host = hosts_value(url);
        let condition = "if the service token is meant for this host, set CF_ACCESS_HOSTS=";
        match self {
            NotSent::Unlisted(hosts) => {
                let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
                let hosts: Vec<&str> = hosts.chain([host.as_str()]).collect();
                format!("{condition}{}, or unset it and pass --access always", hosts.join(","))
            }
            NotSent::NotProved(_) | NotSent::NotAsked => {
                format!("{condition}{host} beside it, or pass --access always")
            }
        }
    }
}

/// The value of `CF_ACCESS_HOSTS` that names the host of `url` and no other.
pub fn hosts_value(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Where service tokens may be sent that need a proof, for the origin of one server.
pub struct AccessProof {
    url: Url,
    http: Arc<Http>,
    file: HostsFile,
    state: Mutex<ProofState>,
    /// One at a time asks.
    asking: tokio::sync::Mutex<()>,
}

struct ProofState {
    /// What the file held when it was last read, and what was proved since.
    known: ProvedHosts,
    /// What was proved and is not in the file yet.
    pending: Vec<ProvedHost>,
    failed: Vec<(String, Instant, NotProved)>,
}

impl fmt::Debug for AccessProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessProof").finish_non_exhaustive()
    }
}

impl AccessProof {
    /// For the server at `url`, with what is remembered in the configuration folder `folder`; none where no service token
    /// needs a proof.
    pub fn of(
        url: &Url,
        http: &Arc<Http>,
        folder: Option<PathBuf>,
        is_needed: bool,
    ) -> Option<Arc<AccessProof>> {
        is_needed.then(|| Arc::new(AccessProof::new(url, Arc::clone(http), HostsFile::of(folder))))
    }

    /// For the server at `url`, with what `file` remembers.
    fn new(url: &Url, http: Arc<Http>, file: HostsFile) -> AccessProof {
        let state = Mutex::new(ProofState { known: file.read(), pending: Vec::new(), failed: Vec::new() });
        AccessProof { url: url.clone(), http, file, state, asking: tokio::sync::Mutex::new(()) }
    }

    /// Returns whether a service token may be sent to the server now.
    pub fn allows(&self, token: &ServiceToken) -> bool {
        token.rule() != PairRule::Proof || token.client_id().is_some_and(|id| self.team(id).is_some())
    }

    /// The team whose application protects the server, where that is proved for this client id.
    pub fn team(&self, client_id: &str) -> Option<Team> {
        self.state().known.proved(&self.url, client_id).cloned()
    }

    /// Why the last proof for this service token failed, as long as it is not tried again.
    pub fn failure(&self, token: &ServiceToken) -> Option<NotProved> {
        let Some(id) = token.client_id() else { return Some(NotProved::ClientId) };
        let now = monotonic_clock();
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < PAUSE;
        let state = self.state();
        let failed = state.failed.iter().find(|(of, at, _)| of == id && is_recent(at));
        failed.map(|(_, _, reason)| reason.clone())
    }

    /// Proves that an Access application of the token's team protects `url`, which is of the server's origin. What was
    /// proved before, here or by another process, is not proved again.
    ///
    /// # Errors
    /// Why the token must not be sent there.
    pub async fn prove(&self, token: &ServiceToken, url: &Url) -> Result<(), NotProved> {
        let id = token.client_id().ok_or(NotProved::ClientId)?;
        let _asking = self.asking.lock().await;
        if self.allows(token) {
            return Ok(());
        }
        if let Some(reason) = self.failure(token) {
            return Err(reason);
        }
        let proved = self.ask(id, url).await;
        if let Err(reason) = &proved {
            info!("the service token {id} is not sent to {}: {reason}", url.host_str().unwrap_or_default());
            let mut state = self.state();
            state.failed.retain(|(of, _, _)| of != id);
            state.failed.push((id.to_owned(), monotonic_clock(), reason.clone()));
            let surplus = state.failed.len().saturating_sub(MOST_FAILURES);
            state.failed.drain(..surplus);
        }
        proved
    }

    async fn ask(&self, id: &str, url: &Url) -> Result<(), NotProved> {
        // Another process may have proved it meanwhile.
        let file = self.file.clone();
        if let Ok(known) = tokio::task::spawn_blocking(move || file.read()).await {
            self.state().known.merge(known);
        }
        if self.team(id).is_some() {
            return Ok(());
        }
        let token = self.metadata(url).await?;
        let metadata =
            Metadata::parse(&token).map_err(|problem| NotProved::Metadata { team: None, problem })?;
        let team = metadata.team.clone();
        let own = self.state().known.team(id).cloned();
        if let Some(own) = own.clone().filter(|own| *own != team) {
            return Err(NotProved::OtherTeam { team, own });
        }
        let certificates = self.certificates(&team).await?;
        let host = url.host_str().unwrap_or_default();
        metadata
            .verify(&certificates, host, now())
            .map_err(|problem| NotProved::Metadata { team: Some(team.clone()), problem })?;
        let proved = ProvedHost::new(&self.url, id, &team).ok_or(NotProved::ClientId)?;
        let which = if own.is_none() { "; it is the first team that was seen for it" } else { "" };
        info!(
            "an Access application of the team {team} protects {host}: the service token {id} is sent there{which}"
        );
        let mut state = self.state();
        state.known.add(proved.clone());
        state.pending.push(proved);
        Ok(())
    }

    /// Returns whether something was proved that is not remembered yet.
    pub fn has_pending(&self) -> bool {
        !self.state().pending.is_empty()
    }

    /// Remembers what was proved for a service token, now that Access has accepted it there: a team that does not know the
    /// token is not taken for its team in later processes.
    pub async fn accepted(&self, token: &ServiceToken) {
        let proved: Vec<ProvedHost> =
            self.state().pending.extract_if(.., |host| Some(host.client_id()) == token.client_id()).collect();
        for host in proved {
            let (file, saved) = (self.file.clone(), host.clone());
            match tokio::task::spawn_blocking(move || file.remember(saved)).await {
                Ok(Remembered::OtherTeam(own)) => {
                    warn!("{}", NotProved::OtherTeam { team: host.team.clone(), own });
                    self.state().known.remove(&host);
                }
                Ok(Remembered::NotSaved(reason)) => {
                    warn!("that the service token belongs to this host is not remembered: {reason}");
                }
                Ok(Remembered::Saved) | Err(_) => {}
            }
        }
    }

    /// What the host says of its application.
    async fn metadata(&self, url: &Url) -> Result<String, NotProved> {
        let client = self.http.client();
        let request = client.request(Method::HEAD, url.clone()).header(METADATA_REQUEST, "true");
        // As MCP asks: Access answers browsers otherwise.
        let request = request.header(ACCEPT, header::JSON_OR_EVENT_STREAM).timeout(TIMEOUT);
        let answer = client.send(request).await.map_err(|error| NotProved::Unreachable(reason(&error)))?;
        let mut values = answer.headers().get_all(METADATA).iter();
        let value = values.next().and_then(|value| value.to_str().ok()).ok_or(NotProved::NoApplication)?;
        match values.next() {
            None => Ok(value.to_owned()),
            Some(_) => Err(NotProved::Metadata { team: None, problem: MetadataError::Form }),
        }
    }

    /// The keys that a team publishes. No credential is sent, and no redirect is followed.
    async fn certificates(&self, team: &Team) -> Result<String, NotProved> {
        let failed =
            |problem: &str| NotProved::Certificates { team: team.clone(), problem: problem.to_owned() };
        let url = format!("https://{team}{CERTIFICATES}");
        let url = Url::parse(&url).map_err(|_| failed("their address is not a URL"))?;
        let client = self.http.client_for(&url, None).map_err(|_| failed("no HTTP client can be made"))?;
        let fetched = async {
            let request = client.request(Method::GET, url).header(ACCEPT, "application/json");
            let mut answer = client.send(request).await.map_err(|error| failed(reason(&error)))?;
            if answer.status() != http::StatusCode::OK {
                return Err(failed(&format!("{} was answered", answer.status().as_u16())));
            }
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(|error| failed(reason(&error)))? {
                if body.len().saturating_add(chunk.len()) > LONGEST {
                    return Err(failed("they are too long"));
                }
                body.extend_from_slice(&chunk);
            }
            String::from_utf8(body).map_err(|_| failed("they are not text"))
        };
        tokio::time::timeout(TIMEOUT, fetched).await.unwrap_or_else(|_| Err(failed("no answer came in time")))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, ProofState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Why a request brought no answer.
fn reason(error: &reqwest::Error) -> &'static str {
    match transport_error(error) {
        TransportError::Dns => "its name could not be resolved",
        TransportError::ConnectionRefused => "nothing accepts connections there",
        TransportError::ConnectTimeout => "no connection could be made in time",
        TransportError::Proxy { .. } | TransportError::Socks(_) => "the proxy on the way refused",
        TransportError::ProxyDns(_) | TransportError::ProxyConnect(_) | TransportError::ProxyTimeout(_) => {
            "the proxy on the way cannot be reached"
        }
        TransportError::Tls(_) => "no secure connection could be made",
        TransportError::Connect(_) => "no connection could be made",
        TransportError::Connection(_) => "the connection broke before the answer",
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a token is issued at a moment of the wall clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[expect(clippy::disallowed_methods, reason = "how long ago a proof failed")]
fn monotonic_clock() -> Instant {
    Instant::now()
}
