//! The steps below MCP: the name, the connection, the certificate, and whether Access stands before the server.
//!
//! No credential goes along: what is asked for here is for everybody. Deliberately not here: the conversation itself.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use url::Url;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{PATIENCE, clock, shown};
use crate::bridge::Why;
use crate::check::finding::Findings;
use crate::http::{Http, TransportError, transport_error};
use crate::{diagnosis, json};

/// Asks Access whether an application of it covers the URL (cloudflared does the same).
const ASKS_FOR_METADATA: &str = "cf-access-metadata-request";
const METADATA: &str = "cf-access-metadata";
/// Where Access says how one may sign in.
const PROTECTED_RESOURCE: &str = "/.well-known/cloudflare-access-protected-resource";
/// A certificate that holds for less is worth a warning, in days.
const SOON: i64 = 14;

/// The addresses of the host.
pub(super) async fn resolve(url: &Url, findings: &mut Findings<impl Write>) -> Result<Vec<SocketAddr>, Why> {
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
    let took = shown(clock().saturating_duration_since(begun));
    findings.well("name", &format!("{host} is {} ({took})", shown_addresses.join(", ")));
    Ok(addresses)
}

/// Connects to one address after the other, until one accepts.
pub(super) async fn connect(
    url: &Url,
    addresses: &[SocketAddr],
    timeout: Duration,
    findings: &mut Findings<impl Write>,
) -> Result<(), Why> {
    findings.begin("connection");
    let mut last = TransportError::ConnectTimeout;
    for address in addresses {
        let begun = clock();
        match tokio::time::timeout(timeout, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let took = shown(clock().saturating_duration_since(begun));
                findings.well("connection", &format!("{address} ({took})"));
                return Ok(());
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                last = TransportError::ConnectionRefused;
            }
            Ok(Err(error)) => last = TransportError::Connect(error.to_string()),
            Err(_) => last = TransportError::ConnectTimeout,
        }
        findings.warned("connection", &format!("{address} does not answer"));
    }
    Err(diagnosis::transport(url, &last))
}

/// The certificate, and what Access says of itself to everybody.
pub(super) async fn edge(url: &Url, http: &Http, findings: &mut Findings<impl Write>) -> Result<(), Why> {
    let step = if url.scheme() == "https" { "tls" } else { "http" };
    findings.begin(step);
    let begun = clock();
    let head =
        http.client().head(url.clone()).header(ASKS_FOR_METADATA, "true").timeout(PATIENCE).send().await;
    let head = head.map_err(|error| diagnosis::transport(url, &transport_error(&error)))?;
    let took = shown(clock().saturating_duration_since(begun));
    let version = format!("{:?}", head.version());
    match head.extensions().get::<reqwest::tls::TlsInfo>().and_then(reqwest::tls::TlsInfo::peer_certificate) {
        Some(certificate) => certified(certificate, &version, &took, findings),
        None => findings.well(step, &format!("{version} ({took})")),
    }
    findings.begin("access");
    let metadata = head.headers().get(METADATA).and_then(|value| value.to_str().ok());
    let resource = protected_resource(url, http).await;
    match (metadata.and_then(application), resource) {
        (None, None) => findings.noted("access", "no application of Cloudflare Access answers for this URL"),
        (Some(application), None) => findings.well("access", &application),
        (application, Some(sign_in)) => {
            let application = application.unwrap_or_else(|| "an application".to_owned());
            findings.well("access", &format!("{application}, {sign_in}"));
        }
    }
    Ok(())
}

fn certified(certificate: &[u8], version: &str, took: &str, findings: &mut Findings<impl Write>) {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return findings.well("tls", &format!("{version} ({took})"));
    };
    let left = certificate.validity().time_to_expiration().map_or(0, |left| left.whole_days());
    let issuer = certificate.issuer().iter_organization().next().and_then(|name| name.as_str().ok());
    let issuer = issuer.map(|issuer| format!(" by {issuer}")).unwrap_or_default();
    let text = format!("certificate{issuer} holds for {left} more days, {version} ({took})");
    match left < SOON {
        true => findings.warned("tls", &text),
        false => findings.well("tls", &text),
    }
}

/// The application that covers the URL, as Access names it. Shown as a hint: it is not verified.
fn application(token: &str) -> Option<String> {
    let payload = token.split('.').nth(1)?.trim_end_matches('=');
    let payload = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let member = |name| json::member(&payload, name).and_then(json::string);
    let (tag, team) = (member("aud")?, member("auth_domain").unwrap_or_default());
    let tag: String = tag.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    let team: String = team.chars().filter(|letter| letter.is_ascii_graphic()).take(100).collect();
    Some(format!("application {tag}… of team {team}"))
}

/// How Access lets people sign in to what is behind the URL.
async fn protected_resource(url: &Url, http: &Http) -> Option<String> {
    let mut address = url.clone();
    address.set_path(&format!("{PROTECTED_RESOURCE}{}", url.path()));
    address.set_query(None);
    let answer = http.client().get(address).timeout(PATIENCE).send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let text = answer.text().await.ok().filter(|text| text.len() < 64 * 1024)?;
    if json::member(&text, "protected") != Some("true") {
        return None;
    }
    let methods = json::member(&text, "authentication_methods").map(json::elements).unwrap_or_default();
    let has_oauth = methods
        .iter()
        .any(|method| json::member(method, "name").and_then(json::string).as_deref() == Some("oauth"));
    Some(format!("Managed OAuth is {}", if has_oauth { "on" } else { "off" }))
}

fn place(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    (host, url.port_or_known_default().unwrap_or(443))
}
