//! What the edge does before the server: whether it lets requests through, with the service token and without.
//!
//! What an answer means is decided by `diagnosis`, and the whole connection by `check`. Deliberately not here: the API.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::api;
use super::env_file::{HOSTS, PAIR, Pair};
use super::failure::AccessFailure;
use crate::auth::cf_access::PAIRS;
use crate::check::{self, CheckResult, Findings, Style};
use crate::cli::{self, Invocation};
use crate::config::{Config, Environment};
use crate::diagnosis::{self, RefusalFacts};
use crate::http::HttpClient;
use crate::jwt;
use crate::mcp::{OwnId, header, message, method};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the edge may take to know what the API was told.
const PROPAGATION: Duration = Duration::from_secs(30);
/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(500);

/// What a request without credentials meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Openness {
    /// The server answers it.
    Open,
    /// It is refused, by Access or by the server: 401 or 403 says no more.
    Refused,
    /// Access refuses it.
    Closed,
    /// No answer comes.
    Unreachable,
}

/// What was seen before anything is changed.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) openness: Openness,
    /// The team that Access names.
    pub(super) team: Option<String>,
    /// The AUD tag of the application that Access names.
    pub(super) aud: Option<String>,
    /// Whether the host shows a website at its root.
    pub(super) is_website: bool,
}

/// Looks at the edge without credentials.
pub(super) async fn look(url: &Url, environment: &Environment) -> Result<Look, AccessFailure> {
    let http = api::http(url, environment)?;
    let (openness, named) = ask(&http.client(), url).await;
    let mut named = named.unwrap_or_default();
    if openness == Openness::Unreachable {
        return Ok(Look { openness, team: None, aud: None, is_website: false });
    }
    let client = http.client();
    let request = client.request(Method::HEAD, url.clone()).header(METADATA_REQUEST, "true");
    if let Ok(Ok(response)) = tokio::time::timeout(PATIENCE, client.send(request)).await
        && let Some(metadata) = Named::of(response.headers())
    {
        named = metadata;
    }
    let mut root = url.clone();
    root.set_path("/");
    root.set_query(None);
    let request = client.request(Method::GET, root).header(ACCEPT, "text/html");
    let is_website = match tokio::time::timeout(PATIENCE, client.send(request)).await {
        Ok(Ok(response)) => {
            let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            response.status().is_success() && media_type.is_some_and(|value| value.starts_with("text/html"))
        }
        Ok(Err(_)) | Err(_) => false,
    };
    Ok(Look { openness, team: named.team, aud: named.aud, is_website })
}

/// The header that asks Access for a signed description of its application.
const METADATA_REQUEST: &str = "cf-access-metadata-request";

/// What Access says of its application. It is compared and shown, and decides over no credential.
#[derive(Clone, Debug, Default)]
struct Named {
    team: Option<String>,
    aud: Option<String>,
}

impl Named {
    /// Reads the signed description in an answer.
    fn of(headers: &http::HeaderMap) -> Option<Named> {
        let token = headers.get("cf-access-metadata")?.to_str().ok()?;
        let claims: Value = serde_json::from_str(&jwt::payload(token)?).ok()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Named { team: Some(text("auth_domain")?), aud: text("aud") })
    }
}

/// Sends a request without credentials. Names the team and the application, where Access does.
async fn ask(client: &HttpClient, url: &Url) -> (Openness, Option<Named>) {
    // It opens no session.
    let ping = message::own_request(OwnId::Relay, 1, method::PING, "{}");
    let request = client
        .request(Method::POST, url.clone())
        .header(ACCEPT, header::JSON_OR_EVENT_STREAM)
        .header(CONTENT_TYPE, "application/json")
        .header(METADATA_REQUEST, "true")
        .body(ping.text().clone());
    let Ok(Ok(response)) = tokio::time::timeout(PATIENCE, client.send(request)).await else {
        return (Openness::Unreachable, None);
    };
    let status = response.status().as_u16();
    let location = response.headers().get("location").and_then(|value| value.to_str().ok());
    let location = location.and_then(|location| url.join(location).ok());
    let is_team =
        |location: &&Url| location.host_str().is_some_and(|host| host.ends_with(".cloudflareaccess.com"));
    let redirected = location.as_ref().filter(is_team).map(|location| Named {
        team: location.host_str().map(str::to_owned),
        aud: location.query_pairs().find(|(name, _)| name == "kid").map(|(_, aud)| aud.into_owned()),
    });
    let named = Named::of(response.headers()).or(redirected);
    let facts = RefusalFacts { location: location.as_ref(), ..RefusalFacts::of(status, response.headers()) };
    if (200..300).contains(&status) {
        return (Openness::Open, None);
    }
    let report = diagnosis::refused(url, &facts);
    let openness = match (report.cause.is_of_access(), status) {
        (true, _) => Openness::Closed,
        (false, 401 | 403) => Openness::Refused,
        (false, _) => Openness::Open,
    };
    (openness, named)
}

/// What a check with the service token found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// All is well.
    Well,
    /// The server or the way to it has another problem than Access.
    Server(String),
    /// The server refuses it, or Access does in a form that does not say so.
    Unclear(String),
    /// Access does not let the token through, or no answer comes.
    Refused(String),
}

/// Runs `check` with a service token.
pub(super) async fn check(url: &Url, pair: &Pair, environment: &Environment) -> Checked {
    let failed = |reason: &str| Checked::Refused(reason.to_owned());
    let arguments = ["mcp-tether", "check", "--auth", "none", url.as_str()].map(Into::into);
    let Ok(Invocation::Options(options)) = cli::parse(arguments) else {
        return failed("the check cannot be started");
    };
    let host = url.host_str().unwrap_or_default();
    let others = PAIRS
        .as_flattened()
        .iter()
        .flat_map(|name| [((*name).to_owned(), None), (format!("{name}_NEXT"), None)]);
    let ours = [
        (PAIR[0].to_owned(), Some(pair.client_id.clone())),
        (PAIR[1].to_owned(), Some(pair.secret.reveal().to_owned())),
        (HOSTS.to_owned(), Some(host.to_owned())),
    ];
    let environment = environment.replaced(others.chain(ours));
    let config = match Config::resolve(&options, &environment) {
        Ok(config) => config,
        Err(error) => return Checked::Refused(error.to_string()),
    };
    let mut document = Vec::new();
    let mut findings = Findings::new(&mut document, Style::Json);
    let outcome = check::run(config, None, std::future::pending(), &mut findings).await;
    findings.finish(
        Some(url.as_str()),
        outcome == CheckResult::Passed,
        concat!("mcp-tether ", env!("CARGO_PKG_VERSION")),
    );
    if outcome == CheckResult::Passed {
        return Checked::Well;
    }
    let document: Value = serde_json::from_slice(&document).unwrap_or_default();
    let all = document.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
    let finding = all.iter().find(|finding| finding.get("state").is_some_and(|state| state == "failed"));
    let member = |name: &str| finding.and_then(|finding| finding.get(name)?.as_str()).unwrap_or_default();
    let (text, cause) = (member("text").to_owned(), member("cause"));
    let is_access = cause.starts_with("access_")
        || ["dns", "connect", "tls", "connection", "proxy", "redirect", "timeout", "no_answer"]
            .contains(&cause);
    let status = finding.and_then(|finding| finding.get("status")?.as_u64());
    match is_access {
        true => Checked::Refused(text),
        // In strict mode the form of a refusal is not documented.
        false if matches!(status, Some(401 | 403)) => Checked::Unclear(text),
        false => Checked::Server(text),
    }
}

/// Waits until the edge refuses requests without credentials and lets those with the service token through. `is_open` says
/// that a policy admits everyone.
pub(super) async fn verify(
    url: &Url,
    pair: Option<&Pair>,
    environment: &Environment,
    is_open: bool,
) -> Result<Checked, AccessFailure> {
    let begun = clock();
    loop {
        let checked = verify_once(url, pair, environment, is_open).await?;
        match checked {
            Checked::Refused(_) if begun.elapsed() < PROPAGATION => tokio::time::sleep(PAUSE).await,
            other => return Ok(other),
        }
    }
}

/// The same, without waiting.
pub(super) async fn verify_once(
    url: &Url,
    pair: Option<&Pair>,
    environment: &Environment,
    is_open: bool,
) -> Result<Checked, AccessFailure> {
    let http = api::http(url, environment)?;
    let (openness, _) = ask(&http.client(), url).await;
    let refused = |reason: &str| Ok(Checked::Refused(reason.to_owned()));
    match openness {
        Openness::Unreachable => return refused("the server cannot be reached"),
        Openness::Open if !is_open => return refused("a request without the service token is let through"),
        Openness::Open | Openness::Refused | Openness::Closed => {}
    }
    let Some(pair) = pair else { return Ok(Checked::Well) };
    Ok(match check(url, pair, environment).await {
        // Access is known to refuse in another form here, so this is the server.
        Checked::Unclear(reason) if openness == Openness::Closed => Checked::Server(reason),
        Checked::Unclear(reason) => Checked::Refused(reason),
        other => other,
    })
}

#[expect(clippy::disallowed_methods, reason = "how long the edge takes")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}
