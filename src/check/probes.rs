//! The steps below MCP: the name, the connection, the certificate, and whether Access protects the server.
//!
//! These requests carry no credential. Deliberately not here: the conversation itself.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use http::header::ACCEPT;
use url::Url;

use super::{clock, format_duration};
use crate::bridge::ErrorReport;
use crate::check::findings::Findings;
use crate::diagnosis::{self, RefusalFacts};
use crate::http::body::Body;
use crate::http::redirect;
use crate::http::www_authenticate::{Challenge, challenges};
use crate::http::{Family, Http, Proxy, TransportError};
use crate::json;
use crate::jwt;
use crate::mcp;
use crate::redact;
use crate::tls::Described;

/// Asks Access whether an application of it covers the URL (cloudflared does the same).
const ASKS_FOR_METADATA: &str = "cf-access-metadata-request";
const METADATA: &str = "cf-access-metadata";
/// The document in which Access describes how to sign in.
const PROTECTED_RESOURCE: &str = "/.well-known/cloudflare-access-protected-resource";
/// The longest wait for an answer that only adds details.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for an address if there are others.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest document, in bytes.
const LIMIT: usize = 64 * 1024;
/// A certificate that is valid for fewer days causes a warning.
const SOON: i64 = 14;
const DAY: i64 = 86_400;

/// Cloudflare Access before the server, as a request without credentials shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edge {
    /// Whether an application of Access covers the URL.
    pub(super) is_protected: bool,
    /// Whether Access refused a request without credentials; none if that is unknown.
    pub(super) refuses_strangers: Option<bool>,
}

/// Connects to the proxy.
pub(super) async fn proxy(
    url: &Url,
    proxy: &Proxy,
    timeout: Duration,
    findings: &mut Findings<impl Write>,
) -> Result<(), ErrorReport> {
    findings.begin("proxy");
    let begun = clock();
    let host = proxy.host.trim_start_matches('[').trim_end_matches(']');
    let Ok(found) = tokio::net::lookup_host((host, proxy.port)).await else {
        return Err(diagnosis::transport(url, &TransportError::ProxyDns(proxy.clone())));
    };
    let mut last = TransportError::ProxyConnect(proxy.clone());
    for address in found {
        match tokio::time::timeout(timeout, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let took = format_duration(clock().saturating_duration_since(begun));
                let does = if proxy.resolves_names() { "resolves the name and connects" } else { "connects" };
                findings.ok("proxy", &format!("through {proxy} ({took}), which {does}"));
                return Ok(());
            }
            Ok(Err(_)) => last = TransportError::ProxyConnect(proxy.clone()),
            Err(_) => last = TransportError::ProxyTimeout(proxy.clone()),
        }
    }
    Err(diagnosis::transport(url, &last))
}

/// Resolves the host name to the addresses that the options allow.
pub(super) async fn resolve(
    url: &Url,
    family: Family,
    findings: &mut Findings<impl Write>,
) -> Result<Vec<SocketAddr>, ErrorReport> {
    findings.begin("name");
    let (host, port) = place(url);
    let begun = clock();
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let addresses: Vec<SocketAddr> = found.map(Iterator::collect).unwrap_or_default();
    if addresses.is_empty() {
        return Err(diagnosis::transport(url, &TransportError::Dns));
    }
    let mut shown_addresses: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    shown_addresses.dedup();
    let took = format_duration(clock().saturating_duration_since(begun));
    findings.ok("name", &format!("{host} is {} ({took})", shown_addresses.join(", ")));
    let (wanted, option): (fn(&SocketAddr) -> bool, _) = match family {
        Family::Any => (|_| true, ""),
        Family::V4 => (SocketAddr::is_ipv4, "--ipv4"),
        Family::V6 => (SocketAddr::is_ipv6, "--ipv6"),
    };
    let addresses: Vec<SocketAddr> = addresses.into_iter().filter(wanted).collect();
    match addresses.is_empty() {
        true => Err(diagnosis::no_address(url, option)),
        false => Ok(addresses),
    }
}

/// Connects to one address after another until one accepts.
pub(super) async fn connect(
    url: &Url,
    addresses: &[SocketAddr],
    timeout: Duration,
    findings: &mut Findings<impl Write>,
) -> Result<(), ErrorReport> {
    findings.begin("connection");
    let mut last = TransportError::ConnectTimeout;
    for (index, address) in addresses.iter().enumerate() {
        let is_last = index + 1 == addresses.len();
        let timeout = if is_last { timeout } else { timeout.min(ADDRESS_TIMEOUT) };
        let begun = clock();
        match tokio::time::timeout(timeout, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let took = format_duration(clock().saturating_duration_since(begun));
                findings.ok("connection", &format!("{address} ({took})"));
                return Ok(());
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                last = TransportError::ConnectionRefused;
            }
            Ok(Err(error)) => last = TransportError::Connect(error.to_string()),
            Err(_) => last = TransportError::ConnectTimeout,
        }
        if !is_last {
            findings.warn("connection", &format!("{address} accepts no connection"));
        }
    }
    Err(diagnosis::transport(url, &last))
}

/// Checks the certificate, and whether Access protects the URL.
pub(super) async fn edge(
    url: &Url,
    http: &Http,
    timeout: Duration,
    findings: &mut Findings<impl Write>,
) -> Result<Edge, ErrorReport> {
    let step = if url.scheme() == "https" { "tls" } else { "http" };
    findings.begin(step);
    let begun = clock();
    let client = http.client();
    let head = client.request(Method::HEAD, url.clone()).header(ASKS_FOR_METADATA, "true");
    // The same header as in the conversation, because Access answers a browser in another way.
    let head = head.header(ACCEPT, mcp::header::JSON_OR_EVENT_STREAM).timeout(timeout + STEP_TIMEOUT);
    let head = match client.send(head).await.map_err(|error| http.transport_error(url, &error)) {
        Ok(head) => Some(head),
        // A server may not support HEAD.
        Err(TransportError::Connection(_)) => None,
        Err(error) => {
            if let [own, ..] = &http.certificates()[..] {
                findings.note(step, &format!("the server showed a certificate{}", whose(own)));
            }
            return Err(diagnosis::transport(url, &error));
        }
    };
    let took = format_duration(clock().saturating_duration_since(begun));
    let version =
        head.as_ref().map_or_else(|| "no answer to HEAD".to_owned(), |head| format!("{:?}", head.version()));
    match &http.certificates()[..] {
        [] => findings.ok(step, &format!("{version} ({took})")),
        chain => report_certificate(chain, &version, &took, findings),
    }
    findings.begin("access");
    match head {
        Some(head) => Ok(report_access(url, &head, http, findings).await),
        None => {
            findings.note("access", "the server gave no answer by which to recognize Cloudflare Access");
            Ok(Edge::default())
        }
    }
}

/// Reports whether an application of Access covers the URL, by the answer to a request without credentials.
async fn report_access(
    url: &Url,
    head: &reqwest::Response,
    http: &Http,
    findings: &mut Findings<impl Write>,
) -> Edge {
    let header = |name: &str| head.headers().get(name).and_then(|value| value.to_str().ok());
    let status = head.status().as_u16();
    let location = redirect::target(url, head.headers());
    let facts = RefusalFacts { location: location.as_ref(), ..RefusalFacts::of(status, head.headers()) };
    let refused = !head.status().is_success() && diagnosis::refused(url, &facts).cause.is_of_access();
    let application = header(METADATA).and_then(application);
    let document = challenges(head.headers()).iter().find_map(|challenge| named_document(url, challenge));
    let has_oauth = managed_oauth(url, document, http).await;
    let is_protected = refused || application.is_some() || has_oauth.is_some();
    if !is_protected {
        findings.note("access", "no application of Cloudflare Access protects this URL");
        return Edge { is_protected, refuses_strangers: None };
    }
    let named = application.as_ref().map_or_else(|| "an application".to_owned(), NamedApplication::shown);
    let sign_in = match has_oauth {
        Some(true) => "Managed OAuth is on",
        Some(false) => "Managed OAuth is off",
        None => "Managed OAuth is not stated",
    };
    findings.ok("access", &format!("{named}, {sign_in}"));
    if let Some(NamedApplication { tag, team }) = application {
        findings.detail("application", tag);
        findings.detail("team", team);
    }
    if let Some(has_oauth) = has_oauth {
        findings.detail("managed_oauth", has_oauth);
    }
    Edge { is_protected, refuses_strangers: Some(refused) }
}

/// Reports the certificate, with a warning if it or one above it expires soon.
fn report_certificate(chain: &[Described], version: &str, took: &str, findings: &mut Findings<impl Write>) {
    let own = chain.first().cloned().unwrap_or_default();
    // A certificate is valid no longer than those above it.
    let ends = chain.iter().filter_map(|certificate| certificate.expires).min();
    let left = ends.map(|ends| i64::try_from(ends).unwrap_or(i64::MAX).saturating_sub(now()) / DAY);
    let holds = left.map(|left| format!(", valid for {left} more days")).unwrap_or_default();
    let length = chain.len();
    let text = format!("certificate{}, chain of {length}{holds}, {version} ({took})", whose(&own));
    match left.is_some_and(|left| left < SOON) {
        true => findings.warn("tls", &text),
        false => findings.ok("tls", &text),
    }
    if let Some(left) = left {
        findings.detail("days_left", left);
    }
    let names = chain.iter().map(|certificate| certificate.subject.clone());
    let names: Vec<String> = names.chain(chain.last().map(|last| last.issuer.clone())).collect();
    findings.detail("chain", names.join(" < "));
    findings.detail("issuer", own.issuer);
}

/// The subject and issuer of a certificate, as the end of a sentence.
fn whose(certificate: &Described) -> String {
    let part = |word: &str, name: &str| match name.is_empty() {
        true => String::new(),
        false => format!(" {word} {name}"),
    };
    format!("{}{}", part("of", &certificate.subject), part("issued by", &certificate.issuer))
}

/// The application that covers the URL, as an unverified token of Access names it.
struct NamedApplication {
    tag: String,
    team: String,
}

impl NamedApplication {
    fn shown(&self) -> String {
        // Enough of the tag to distinguish applications in the dashboard.
        format!("application {}… of team {}", self.tag.get(..12).unwrap_or(&self.tag), self.team)
    }
}

fn application(token: &str) -> Option<NamedApplication> {
    let payload = jwt::payload(token)?;
    // Redacted before it is shortened: half of a secret would not be recognized.
    let member =
        |name| json::member(&payload, name).and_then(json::string).map(|text| redact::foreign(&text));
    let (tag, team) = (member("aud")?, member("auth_domain").unwrap_or_default());
    Some(NamedApplication {
        tag: tag.chars().filter(char::is_ascii_hexdigit).take(128).collect(),
        team: team.chars().filter(char::is_ascii_graphic).take(100).collect(),
    })
}

/// The document that a challenge names, if it is Access's on this origin.
fn named_document(url: &Url, challenge: &Challenge) -> Option<Url> {
    let mut named = url.join(challenge.parameter("resource_metadata")?).ok()?;
    // Fails only for a URL without a host, which is not requested.
    let _ = (named.set_username(""), named.set_password(None));
    (named.origin() == url.origin() && named.path().starts_with(PROTECTED_RESOURCE)).then_some(named)
}

/// Returns whether Managed OAuth is on; none if Access does not state it.
async fn managed_oauth(url: &Url, document: Option<Url>, http: &Http) -> Option<bool> {
    let address = document.unwrap_or_else(|| {
        let mut address = url.clone();
        address.set_path(&format!("{PROTECTED_RESOURCE}{}", url.path()));
        address.set_query(None);
        address
    });
    let read = async {
        let client = http.client();
        let request = client.request(Method::GET, address).timeout(STEP_TIMEOUT);
        let answer = client.send(request).await.ok()?;
        let is_success = answer.status().is_success();
        let (mut answer, mut body) = (Body::new(answer), Vec::new());
        while is_success && let Some(chunk) = answer.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > LIMIT {
                return None;
            }
        }
        String::from_utf8(body).ok()
    };
    let text = read.await?;
    if json::member(&text, "protected") != Some("true") {
        return None;
    }
    let methods = json::member(&text, "authentication_methods").map(json::elements).unwrap_or_default();
    let named =
        |method: &str| json::member(method, "name").and_then(json::string).or_else(|| json::string(method));
    Some(methods.into_iter().any(|method| named(method).as_deref() == Some("oauth")))
}

fn place(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    (host, url.port_or_known_default().unwrap_or(443))
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "certificates and tokens end by the wall clock")]
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
