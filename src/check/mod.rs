//! `mcp-tether check URL`: diagnoses the connection to the server step by step, up to the first failure.
//!
//! The steps are those of a first call: credentials, name, connection, TLS, Access, handshake, lists. Every session that was
//! opened is ended, also after a failure or Ctrl-C. A failure has the same sentence as in the proxy (`diagnosis`).
//! Deliberately not here: how findings are printed (`findings`), the steps below MCP (`probes`), and the conversation
//! (`conversation`).

mod conversation;
mod findings;
mod messages;
mod probes;
mod sign_in_documents;
mod token_rule;

use std::cell::OnceCell;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use findings::{Findings, Style};

use crate::auth::access_proof::AccessProof;
use crate::bridge::{ErrorKind, ErrorReport};
use crate::config::Config;
use crate::http::{Family, Http};
use crate::startup_error::StartupError;
use conversation::Conversation;
use sign_in_documents::SignInDocuments;

/// How long a session that is about to be named is waited for when the check is stopped, so that it can be ended.
const SESSION_NAME_TIMEOUT: Duration = Duration::from_secs(1);

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// Every step worked; there may be warnings.
    Passed,
    /// A step failed.
    Failed,
    /// A signal stopped it.
    Stopped,
}

/// Diagnoses the connection to the server until `stop` resolves.
pub async fn run(
    config: Config,
    proxy_named: Option<url::Url>,
    stop: impl Future<Output = ()>,
    findings: &mut Findings<impl Write>,
) -> CheckResult {
    let server = OnceCell::new();
    let result = {
        let mut steps = pin!(steps(config, proxy_named, &server, findings));
        tokio::select! {
            biased;
            result = &mut steps => Some(result),
            () = stop => {
                if let Some(server) = server.get() {
                    let named = async {
                        tokio::select! {
                            _ = &mut steps => {}
                            () = server.is_named() => {}
                        }
                    };
                    let _ = tokio::time::timeout(SESSION_NAME_TIMEOUT, named).await;
                }
                None
            }
        }
    };
    if let Some(server) = server.get() {
        server.end_sessions(findings).await;
    }
    match result {
        Some(Ok(())) => CheckResult::Passed,
        Some(Err((step, report))) => {
            findings.fail(step, &report);
            CheckResult::Failed
        }
        None => {
            let report =
                ErrorReport::new(ErrorKind::Stopped, "the check was stopped before it ended", "run it again");
            findings.fail("stopped", &report);
            CheckResult::Stopped
        }
    }
}

/// A failure, and its step.
type StepFailure = (&'static str, ErrorReport);

async fn steps(
    config: Config,
    proxy_named: Option<url::Url>,
    server: &OnceCell<Conversation>,
    findings: &mut Findings<impl Write>,
) -> Result<(), StepFailure> {
    report_configuration(&config, findings);
    let Config { url, found, sign_in, connection, folder, .. } = config;
    let timeout = connection.connect_timeout.unwrap_or(crate::config::UNBOUNDED);
    connect(&url, proxy_named.as_ref(), timeout, connection.family, findings).await?;
    let http = Arc::new(
        Http::new(&url, connection).map_err(|error| ("setup", StartupError::setup(error).for_client()))?,
    );
    let edge = probes::edge(&url, &http, timeout, findings).await;
    let edge = edge.map_err(|report| (if url.scheme() == "https" { "tls" } else { "http" }, report))?;
    let proof = AccessProof::of(&url, &http, folder, found.needs_proof());
    let documents = sign_in.clone().map(|settings| {
        let (http, credentials, proof) = (Arc::clone(&http), found.credentials.clone(), proof.clone());
        SignInDocuments { settings, http, credentials, proof }
    });
    let looked = server
        .get_or_init(|| Conversation::new(&url, &http, found, sign_in, proof, edge))
        .run(findings)
        .await;
    match (&looked, documents) {
        (Err((_, report)), Some(documents)) if report.status == Some(401) && !report.cause.is_of_access() => {
            match documents.intercepted().await {
                Some(report) => Err(("sign-in", report)),
                None => looked,
            }
        }
        _ => looked,
    }
}

/// Reports the credentials, their sources and the rule of the service token.
fn report_configuration(config: &Config, findings: &mut Findings<impl Write>) {
    let Config { url, found, sign_in, warnings, remarks, .. } = config;
    warnings.iter().for_each(|warning| findings.warn("configuration", warning));
    remarks.iter().for_each(|remark| findings.note("configuration", remark));
    match found.described.as_slice() {
        [] if found.unlisted.is_some() => {
            findings.note(
                "credentials",
                "none for this host: the environment holds a service token, and no header is set",
            );
        }
        [] if sign_in.is_some() => findings
            .note("credentials", "no service token and no header; a stored sign-in is used, if there is one"),
        [] => {
            findings.note("credentials", "none: the environment holds no service token, and no header is set")
        }
        described => described.iter().for_each(|line| findings.ok("credentials", line)),
    }
    for credentials in [Some(&found.credentials), found.next.as_ref()].into_iter().flatten() {
        if let Some((token, oddity)) =
            credentials.service_token().and_then(|token| Some((token, token.oddity()?)))
        {
            findings.warn("credentials", &format!("the secret of {} {oddity}", token.id()));
        }
    }
    found.credentials.service_token().into_iter().for_each(|token| token_rule::report(token, findings));
    found.unlisted.iter().for_each(|hosts| token_rule::report_unlisted(hosts, url, findings));
    if let Some(expires) = found.expires {
        report_expiry(expires, findings);
    }
}

/// The steps below TLS: the proxy, or the addresses of the host and a connection.
async fn connect(
    url: &url::Url,
    proxy_named: Option<&url::Url>,
    timeout: Duration,
    family: Family,
    findings: &mut Findings<impl Write>,
) -> Result<(), StepFailure> {
    match crate::http::proxy_of(url, proxy_named) {
        Some(proxy) => {
            probes::proxy(url, &proxy, timeout, findings).await.map_err(|report| ("proxy", report))
        }
        None => {
            let addresses = probes::resolve(url, family, findings).await;
            let addresses = addresses.map_err(|report| ("name", report))?;
            let connected = probes::connect(url, &addresses, timeout, findings).await;
            connected.map_err(|report| ("connection", report))
        }
    }
}

/// Reports when the first token with a stated expiry expires.
fn report_expiry(expires: std::time::SystemTime, findings: &mut Findings<impl Write>) {
    let expires = expires.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let left = i64::try_from(expires).unwrap_or(i64::MAX).saturating_sub(probes::now());
    match left {
        ..=0 => {
            findings.warn("credentials", "a token has expired, by its own claim and this computer's clock")
        }
        left => findings.ok(
            "credentials",
            &format!("a token expires in {} minutes and is renewed before that", left / 60),
        ),
    }
    findings.detail("seconds_left", left);
}

/// A duration in milliseconds, with a fraction below ten.
fn format_duration(time: Duration) -> String {
    match time.as_millis() {
        0..10 => format!("{:.1} ms", time.as_secs_f64() * 1_000.0),
        milliseconds => format!("{milliseconds} ms"),
    }
}

#[expect(clippy::disallowed_methods, reason = "times are what a check measures")]
fn clock() -> Instant {
    Instant::now()
}
