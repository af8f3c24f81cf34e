//! Explains failures: from the facts of a failure to a sentence and a remedy.
//!
//! The proxy and `check` share these sentences. Pure. The facts hold no secret: the caller has removed them from foreign text.
//! Deliberately not here: collecting the facts (`http`, `remote`) and deciding about retries (the bridge).
//!
#![doc = include_str!("README.md")]

mod access;
mod body;
mod cloudflare;

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use time::OffsetDateTime;
use url::Url;

pub use access::{SignIn, Token, sign_in};
pub use body::{BodyDescription, older_transport, undecodable, undecodable_body, unreadable};

use crate::bridge::{ErrorKind, ErrorReport, Processing};
use crate::http::TransportError;
use crate::http::body::EXPANSION_LIMIT;
use crate::http::www_authenticate::{DpopError, challenges, dpop_error};
use crate::redact;
use crate::tls;

/// The longest excerpt of foreign text in a sentence, in characters.
const EXCERPT: usize = 200;
/// The longest excerpt beside the sentence, in characters.
const BODY_EXCERPT: usize = 1024;

/// The remedy for a proxy that cannot be reached.
const CHECK_PROXY: &str = "check --proxy, HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, and that the proxy is running; name hosts that need no proxy in NO_PROXY";

/// A failure below HTTP, on the way to `url`.
pub fn transport(url: &Url, error: &TransportError) -> ErrorReport {
    let place = place(url);
    let (cause, sentence, advice) = match error {
        TransportError::Dns => (
            ErrorKind::Dns,
            format!("the host name {} could not be resolved", url.host_str().unwrap_or_default()),
            "check the host name in the URL, and that this computer is online",
        ),
        TransportError::ConnectionRefused => (
            ErrorKind::Connect,
            format!("nothing accepts connections at {place} (connection refused)"),
            "check host and port of the URL, and that the server is running",
        ),
        TransportError::ConnectTimeout => (
            ErrorKind::Connect,
            format!("the connection to {place} timed out"),
            "check the network, VPN and firewall, or allow more time with --connect-timeout",
        ),
        TransportError::Connect(reason) => (
            ErrorKind::Connect,
            format!("the connection to {place} failed: {reason}"),
            "check host and port of the URL, and the network",
        ),
        TransportError::ProxyDns(proxy) => (
            ErrorKind::ProxyConnect,
            format!("the host name of the proxy {proxy} could not be resolved"),
            CHECK_PROXY,
        ),
        TransportError::ProxyConnect(proxy) => {
            (ErrorKind::ProxyConnect, format!("the proxy {proxy} cannot be reached"), CHECK_PROXY)
        }
        TransportError::ProxyTimeout(proxy) => (
            ErrorKind::ProxyConnect,
            format!("the connection to {place} through the proxy {proxy} timed out"),
            "check the proxy and the network, or allow more time with --connect-timeout",
        ),
        TransportError::Socks(reason) => (
            ErrorKind::Proxy,
            format!("the SOCKS proxy did not connect to {place}: {reason}"),
            "check the host name and port of the URL; if the proxy requires credentials, write them into its URL: socks5h://user:password@host:port",
        ),
        TransportError::Proxy { wants_credentials: true } => (
            ErrorKind::Proxy,
            format!("the proxy for {place} requires credentials (407)"),
            "write them into the proxy's URL: http://user:password@host:port, in --proxy or HTTPS_PROXY",
        ),
        TransportError::Proxy { wants_credentials: false } => (
            ErrorKind::Proxy,
            format!("the proxy refused to connect to {place}"),
            "allow the host in the proxy, or name it in NO_PROXY if it can be reached directly",
        ),
        TransportError::Tls(failure) => return tls(url, failure),
        TransportError::Connection(reason) => (
            ErrorKind::Connection,
            format!("the connection to {place} broke before the answer: {reason}"),
            "look into the server's log; the request may have run",
        ),
    };
    ErrorReport::new(cause, sentence, advice)
}

/// A handshake that failed.
fn tls(url: &Url, failure: &tls::Failure) -> ErrorReport {
    let place = place(url);
    let (sentence, advice) = match failure {
        tls::Failure::UnknownAuthority { fingerprint, is_self_signed } => {
            return unknown_authority(&place, fingerprint, *is_self_signed);
        }
        tls::Failure::NotPinned(fingerprint) => {
            let sentence = format!(
                "the certificate of {place} is not the one that --pin names: its SHA-256 fingerprint is {fingerprint}"
            );
            let advice = "ask the server's administrator whether the certificate was renewed; only if so, put the new fingerprint into --pin";
            return ErrorReport::new(ErrorKind::Tls, sentence, advice);
        }
        tls::Failure::WrongHost => (
            format!("the certificate of {place} is for another host"),
            "write the host name that the certificate is for into the URL",
        ),
        tls::Failure::Expired { since } => (
            format!(
                "the certificate of {place} has expired{}",
                since.and_then(date).map(|date| format!(" on {date}")).unwrap_or_default()
            ),
            "ask the server's administrator to renew the certificate; if it has not expired, correct this computer's clock",
        ),
        tls::Failure::NotYetValid => (
            format!("the certificate of {place} is not valid yet"),
            "check this computer's clock; if it is right, ask the server's administrator to correct the certificate",
        ),
        tls::Failure::Certificate(reason) => (
            format!("the certificate of {place} was not accepted: {reason}"),
            "ask the server's administrator to check the certificate",
        ),
        tls::Failure::ClientCertificate => (
            format!("{place} requires a client certificate that it accepts"),
            "name the certificate and its key with --client-cert PATH and --client-key PATH",
        ),
        tls::Failure::Version => {
            (format!("{place} supports neither TLS 1.2 nor TLS 1.3"), "enable TLS 1.2 or 1.3 on the server")
        }
        tls::Failure::HungUp => (
            format!("{place} closed the connection during the TLS handshake"),
            "check that the URL's port speaks TLS",
        ),
        tls::Failure::Other(reason) => (
            format!("the TLS handshake with {place} failed: {reason}"),
            "check that the URL's port speaks TLS",
        ),
    };
    ErrorReport::new(ErrorKind::Tls, sentence, advice)
}

/// A certificate whose issuer is not trusted.
fn unknown_authority(place: &str, fingerprint: &tls::Fingerprint, is_self_signed: bool) -> ErrorReport {
    let (issuer, file) = match is_self_signed {
        true => {
            ("by itself (it is self-signed), which is", "name the file with this certificate: --ca-cert PATH")
        }
        false => (
            "by",
            "where a company inspects traffic or the server has an authority of its own, name its certificate: --ca-cert PATH",
        ),
    };
    let sentence = format!(
        "the certificate of {place} was issued {issuer} an authority that this computer does not know; its SHA-256 fingerprint is {fingerprint}"
    );
    let advice = format!(
        "check the URL; {file}; or, if the server's administrator confirms the fingerprint, accept this one certificate: --pin {fingerprint}"
    );
    ErrorReport::new(ErrorKind::Tls, sentence, advice)
}

/// The day of a moment in seconds since 1970, as year-month-day; none after the year 9999.
fn date(seconds: u64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()?;
    Some(moment.date().to_string())
}

/// The facts of a refusal.
#[derive(Clone, Copy, Debug)]
pub struct RefusalFacts<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The target of a redirect, made absolute.
    pub location: Option<&'a Url>,
    /// The beginning of the body, without secrets.
    pub body: &'a str,
    /// The service token that was sent.
    pub token: Option<Token<'a>>,
    /// Whether another credential of Access was sent.
    pub sends_access_token: bool,
    /// The command with which the user signs in, where that is possible.
    pub login: Option<&'a str>,
}

impl<'a> RefusalFacts<'a> {
    /// A refusal of which only status and headers are known.
    pub fn of(status: u16, headers: &'a HeaderMap) -> RefusalFacts<'a> {
        RefusalFacts {
            status,
            headers,
            location: None,
            body: "",
            token: None,
            sends_access_token: false,
            login: None,
        }
    }

    /// A header's value.
    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn sign_in_advice(&self) -> String {
        match self.login {
            Some(login) => format!("sign in: {login}; or set the --header that the server requires"),
            None => "set the --header that the server requires, or sign in: add --auth oauth".to_owned(),
        }
    }

    fn media_type(&self) -> Option<&'a str> {
        self.headers.get(CONTENT_TYPE)?.to_str().ok()
    }
}

/// A status that is no success, or a page in place of an answer, from `url`.
pub fn refused(url: &Url, facts: &RefusalFacts<'_>) -> ErrorReport {
    intercepted(url, facts).unwrap_or_else(|| with_references(plainly_refused(url, facts), facts))
}

/// The explanation of an answer that Cloudflare Access or Cloudflare's edge gave in the server's place, from `url`; none where it
/// is, or may be, the server's own.
pub fn intercepted(url: &Url, facts: &RefusalFacts<'_>) -> Option<ErrorReport> {
    let report = access::explain(url, facts).or_else(|| cloudflare::explain(url, facts))?;
    Some(with_references(report, facts))
}

/// Returns whether a refusal, explained by `report`, is or may be one of Cloudflare Access. In strict mode Access refuses in a
/// form that is not documented, so each 401 and 403 may be, except one that Cloudflare explains otherwise and one that names
/// the server's own metadata to sign in by.
pub fn may_be_access(report: &ErrorReport, facts: &RefusalFacts<'_>) -> bool {
    let is_unexplained = matches!(report.cause, ErrorKind::Status | ErrorKind::OriginRefused);
    report.cause.is_of_access()
        || is_unexplained && matches!(facts.status, 401 | 403) && !names_metadata(facts)
}

/// Returns whether a challenge names metadata of the server by which a user can sign in.
fn names_metadata(facts: &RefusalFacts<'_>) -> bool {
    challenges(facts.headers).iter().any(|challenge| challenge.parameter("resource_metadata").is_some())
}

/// A 2xx with a web page instead of JSON: the sign-in page of Access, or something that is no MCP server.
pub fn page(url: &Url, facts: &RefusalFacts<'_>) -> ErrorReport {
    let report = access::explain(url, facts).unwrap_or_else(|| {
        let media_type = facts.media_type().unwrap_or_default();
        let problem = match facts.body.trim_start().starts_with('<') {
            true => format!("with a web page ({media_type}) instead of JSON"),
            false => format!("with the unknown content type {media_type}"),
        };
        unusable(url, facts.status, &problem)
    });
    with_references(report, facts)
}

/// Adds the references by which an administrator finds the request.
fn with_references(report: ErrorReport, facts: &RefusalFacts<'_>) -> ErrorReport {
    let reference = |name: &str| {
        let is_harmless = |value: &&str| {
            (1..=80).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        };
        facts.header(name).filter(is_harmless).map(str::to_owned)
    };
    ErrorReport {
        // A page may name it where the header was lost on the way.
        ray: reference("cf-ray").or(report.ray),
        correlation_id: reference("x-correlation-id"),
        request_id: reference("x-request-id"),
        ..report
    }
}

fn plainly_refused(url: &Url, facts: &RefusalFacts<'_>) -> ErrorReport {
    let status = facts.status;
    let place = place(url);
    if let Some(target) = facts.location
        && (300..400).contains(&status)
    {
        let only_the_scheme_differs =
            url.scheme() == "http" && target.scheme() == "https" && url.host_str() == target.host_str();
        let address = address_to_write(url, target);
        if only_the_scheme_differs {
            let sentence = format!("{place} answered {status} and requires https");
            let advice = format!("write https:// into the URL: {address}");
            return ErrorReport::new(ErrorKind::Redirect, sentence, advice).with_status(status);
        }
        let target = origin_and_path(target);
        let sentence = format!(
            "{place} answered {status} and redirects to {target}; credentials are not sent to another address"
        );
        let advice = format!("if that is the right server, write its address into the URL: {address}");
        return ErrorReport::new(ErrorKind::Redirect, sentence, advice).with_status(status);
    }
    let said = match said(facts) {
        Some(text) => format!(": {text}"),
        None => String::new(),
    };
    let body = facts.body.trim();
    let body = (!body.is_empty()).then(|| body.chars().take(BODY_EXCERPT).collect());
    if let Some(error) = dpop_error(facts.headers).filter(|_| status == 401) {
        return ErrorReport { body, ..proof_rejected(&place, error, facts).with_status(status) };
    }
    if matches!(status, 401 | 403) && (facts.token.is_some() || facts.sends_access_token) {
        let (sentence, advice) = refused_by_the_server(&place, &said, facts);
        return ErrorReport {
            body,
            ..ErrorReport::new(ErrorKind::OriginRefused, sentence, advice).with_status(status)
        };
    }
    let sentence = format!("{place} answered {status} {}{said}", reason(status)).trim_end().to_owned();
    let advice = match status {
        401 if names_metadata(facts) => &*facts.sign_in_advice(),
        401 => "set the --header that the server requires, or check the value of the one that is set",
        403 => "check that the credentials are allowed to do this",
        404 | 405 => "check the path of the URL (often /mcp)",
        407 => "write the credentials into the proxy's URL: http://user:password@host:port",
        400 if facts.body.contains("Request Header Or Cookie Too Large") => "shorten the headers",
        413 => "send less at once, or raise the limit of the server or of the proxy before it",
        414 => "shorten the URL",
        429 => "wait a while, or raise the server's limit",
        431 => "shorten the headers",
        500..=599 => "look into the server's log, or try again later",
        _ => "look into the server's log",
    };
    ErrorReport { body, ..ErrorReport::new(ErrorKind::Status, sentence, advice).with_status(status) }
}

/// A server that rejects the proof of the key that a token is bound to.
fn proof_rejected(place: &str, error: DpopError, facts: &RefusalFacts<'_>) -> ErrorReport {
    let (sentence, advice) = match error {
        DpopError::UseNonce => (
            match facts.header("dpop-nonce") {
                Some(_) => format!("{place} does not accept the DPoP nonce that it named (use_dpop_nonce)"),
                None => format!("{place} requires a DPoP nonce, but names none (use_dpop_nonce)"),
            },
            "try again; if it stays like this, look into the server's log, or sign in without DPoP: --dpop never",
        ),
        DpopError::InvalidProof => (
            format!("{place} does not accept the DPoP proof (invalid_dpop_proof)"),
            "check this computer's clock, and that the URL is the one by which the server knows itself; or sign in without DPoP: --dpop never",
        ),
    };
    ErrorReport::new(ErrorKind::DpopProof, sentence, advice)
}

/// Sentence and remedy for a refusal by the server although a credential of Access was sent.
fn refused_by_the_server(place: &str, said: &str, facts: &RefusalFacts<'_>) -> (String, String) {
    let status = facts.status;
    if cloudflare::is_from_cloudflare(facts) && said.is_empty() && facts.header("www-authenticate").is_none()
    {
        // How Access refuses in strict mode is not documented; this might be it.
        let advice = "look into the server's log; if the request is not there, Access refused it: check the token, and that a \
                      Service Auth policy includes it";
        let sentence = format!(
            "the request to {place} was refused without a reason ({status}), by the server itself or by Cloudflare Access in strict mode"
        );
        return (sentence, advice.to_owned());
    }
    let sentence = format!(
        "the server behind {place} itself refused the request ({status}), not Cloudflare Access{said}"
    );
    let advice = match facts.token {
        _ if status == 401 && names_metadata(facts) => facts.sign_in_advice(),
        _ if !cloudflare::is_from_cloudflare(facts) => {
            "check the host name (the answer has no cf-ray, so it did not pass Cloudflare), or set the --header that the \
             server requires"
                .to_owned()
        }
        Some(token) => format!(
            "have the server accept this application's AUD tag and team, and a service token, which carries no e-mail \
             address but its id ({}); or set a --header that the server requires",
            token.id
        ),
        None => "have the server accept this application's AUD tag and team, and this user; or set a --header that the \
                 server requires"
            .to_owned(),
    };
    (sentence, advice)
}

/// Returns whether a refusal says that the message was not processed, so that it may be sent again whatever it is: too
/// many of them (429, also Cloudflare's 1015), a server that is away for a while and says for how long (503 with a time,
/// but not Cloudflare's 1102, which stops a program in the middle), a tunnel without a connector (530 with 1033), what
/// Cloudflare keeps from the server for a while and says for how long (1004, 1005, 1038, 1200).
pub fn is_unprocessed(facts: &RefusalFacts<'_>, asks_to_wait: bool) -> bool {
    match (facts.status, cloudflare::code(facts)) {
        (429, _) | (530, Some(1033)) => true,
        (_, Some(1004 | 1005 | 1038 | 1200)) => asks_to_wait,
        (503, code) => asks_to_wait && code != Some(1102),
        _ => false,
    }
}

/// Returns what a refusal proves about its message: from its status and cause, and from what [`is_unprocessed`] says.
pub fn processing(status: u16, cause: ErrorKind, is_unprocessed: bool) -> Processing {
    // From something in front of the server that may soon be well again.
    let is_passing = matches!(status, 502..=504 | 520..=530);
    // A certificate, a name or a check for browsers has to be mended; none of these lets a message through to the server.
    let is_lasting = matches!(status, 525 | 526)
        || matches!(cause, ErrorKind::Challenge | ErrorKind::OriginDns | ErrorKind::Firewall);
    match (is_unprocessed, is_lasting, is_passing) {
        (true, _, _) => Processing::NotProcessed,
        (false, true, true) => Processing::Outage,
        (false, false, true) => Processing::Unknown,
        (false, _, false) => Processing::Final,
    }
}

/// An answer that MCP does not allow here.
pub fn unusable(url: &Url, status: u16, problem: &str) -> ErrorReport {
    let sentence = format!("{} answered {status}, but {problem}", place(url));
    let advice = "check that the URL is the server's MCP endpoint (often /mcp)";
    ErrorReport::new(ErrorKind::Answer, sentence, advice).with_status(status)
}

/// An answer that exceeded a time limit of the user.
pub fn timed_out(url: &Url, option: &str, limit: Duration) -> ErrorReport {
    let what = match option {
        HEADERS_TIMEOUT => "did not begin to answer within",
        _ => "sent nothing during an answer for",
    };
    let sentence = format!("{} {what} {} s ({option})", place(url), limit.as_secs_f64());
    ErrorReport::new(ErrorKind::Timeout, sentence, format!("increase {option}, or leave it out"))
}

/// A host without an address of the family that an option restricts connections to.
pub fn no_address(url: &Url, option: &str) -> ErrorReport {
    let host = url.host_str().unwrap_or_default();
    ErrorReport::new(
        ErrorKind::Connect,
        format!("the host name {host} has no address for {option}"),
        format!("leave {option} out"),
    )
}

/// A server that did not answer a request within a limit of ours.
pub fn unanswered(url: &Url, limit: Duration) -> ErrorReport {
    let sentence = format!("{} did not answer within {} s", place(url), limit.as_secs());
    ErrorReport::new(ErrorKind::NoAnswer, sentence, "look into the server's log")
}

/// The option that bounds how long an answer takes to begin.
pub const HEADERS_TIMEOUT: &str = "--headers-timeout";
/// The option that bounds the silence in an answer.
pub const BODY_TIMEOUT: &str = "--body-timeout";

/// A message beyond the limit.
pub fn too_large(url: &Url, status: u16, limit: usize) -> ErrorReport {
    let limit = limit / 1024 / 1024;
    let sentence =
        format!("the answer of {} is longer than {limit} MiB, the limit of mcp-tether", place(url));
    ErrorReport::new(ErrorKind::TooLarge, sentence, "request less data at once").with_status(status)
}

/// A compressed body that holds far more than was sent.
pub fn expanded(url: &Url, status: u16) -> ErrorReport {
    let sentence = format!(
        "the compressed answer of {} is more than {EXPANSION_LIMIT} times as large as what was sent",
        place(url)
    );
    ErrorReport::new(ErrorKind::TooLarge, sentence, "report this to the server's author").with_status(status)
}

/// A redirect loop.
pub fn redirect_loop(url: &Url, status: u16) -> ErrorReport {
    let sentence = format!("{} redirects without end", place(url));
    let advice = "write the server's final address into the URL";
    ErrorReport::new(ErrorKind::Redirect, sentence, advice).with_status(status)
}

/// A body in one line: the title of a page, or the beginning of a text.
fn said(facts: &RefusalFacts<'_>) -> Option<String> {
    let body = facts.body.trim();
    let is_page =
        facts.media_type().is_some_and(|media_type| media_type.contains("html")) || body.starts_with('<');
    let text = match is_page {
        true => {
            let title = title(body).map(|title| format!(" titled \"{}\"", one_line(title)));
            format!("a web page{}", title.unwrap_or_default())
        }
        false => one_line(body),
    };
    (!text.is_empty()).then_some(text)
}

/// The title of a page.
fn title(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<title>")?;
    Some(rest.split_once("</title>")?.0)
}

fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text
        .split(|letter: char| letter.is_whitespace() || redact::is_unprintable(letter))
        .filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.chars().count() > EXCERPT {
            return line.chars().take(EXCERPT).chain(['…']).collect();
        }
    }
    line
}

/// Host, and port where it is not the usual one: enough to know which server, and no secret of a query.
pub fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn origin_and_path(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The address to use in place of `url`, as a redirect to `target` names it: with https where that was used, because a server
/// behind a proxy that ends TLS does not know of it; without a name, a password and a query.
fn address_to_write(url: &Url, target: &Url) -> String {
    let mut address = target.clone();
    if url.scheme() == "https" && target.scheme() == "http" {
        // It cannot fail between these two.
        let _ = address.set_scheme("https");
    }
    let query = if url.query().is_some() { ", with the query that it has" } else { "" };
    format!("{}{query}", origin_and_path(&address))
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn sentence(facts: &RefusalFacts<'_>) -> String {
        refused(&url("https://mcp.example.com/mcp?key=marked"), facts).sentence
    }

    #[test]
    fn processing_follows_status_and_cause() {
        for (status, cause, is_unprocessed, expected) in [
            (429, ErrorKind::RateLimit, true, Processing::NotProcessed),
            (530, ErrorKind::Tunnel, true, Processing::NotProcessed),
            (502, ErrorKind::Status, false, Processing::Unknown),
            (524, ErrorKind::OriginTimeout, false, Processing::Unknown),
            (526, ErrorKind::Origin, false, Processing::Outage),
            (530, ErrorKind::OriginDns, false, Processing::Outage),
            (403, ErrorKind::Challenge, false, Processing::Final),
            (500, ErrorKind::Status, false, Processing::Final),
            (404, ErrorKind::Status, false, Processing::Final),
        ] {
            assert_eq!(processing(status, cause, is_unprocessed), expected, "{status} {cause:?}");
        }
    }

    #[test]
    fn recognizes_refusals_of_unprocessed_requests() {
        for (status, body, asks_to_wait, expected) in [
            (429, "", false, true),
            (429, "error code: 1015", true, true),
            (503, "", true, true),
            (503, "", false, false),
            (503, "error code: 1102", true, false),
            (530, "error code: 1033", false, true),
            (530, r#"{"cloudflare_error":true,"error_code":1033}"#, true, true),
            (530, "error code: 1016", false, false),
            (530, "error code: 1200", true, true),
            (530, "error code: 1200", false, false),
            (403, "error code: 1005", true, true),
            (502, "", true, false),
            (500, "", true, false),
        ] {
            let headers = HeaderMap::new();
            let facts = RefusalFacts { body, ..RefusalFacts::of(status, &headers) };
            assert_eq!(is_unprocessed(&facts, asks_to_wait), expected, "{status} {body}");
        }
    }

    #[test]
    fn describes_refusal_in_one_line() {
        let page = "<html><head><title>Not\n Found</title></head><body>…";
        let long = "word ".repeat(100);
        for (status, media_type, body, expected) in [
            (
                404,
                Some("text/html"),
                page,
                "mcp.example.com answered 404 Not Found: a web page titled \"Not Found\"",
            ),
            (
                500,
                Some("text/plain"),
                " out of\r\n cheese ",
                "mcp.example.com answered 500 Internal Server Error: out of cheese",
            ),
            (503, None, "", "mcp.example.com answered 503 Service Unavailable"),
            (599, None, "", "mcp.example.com answered 599"),
        ] {
            let headers: HeaderMap =
                media_type.into_iter().map(|value| (CONTENT_TYPE, value.parse().expect("a value"))).collect();
            let facts = RefusalFacts { body, ..RefusalFacts::of(status, &headers) };
            assert_eq!(sentence(&facts), expected);
        }
        let headers = HeaderMap::new();
        let facts = RefusalFacts { body: &long, ..RefusalFacts::of(500, &headers) };
        assert!(sentence(&facts).chars().count() < 300);
    }

    #[test]
    fn dates_follow_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_795_219_200, "2026-11-21"),
        ] {
            assert_eq!(date(seconds).as_deref(), Some(expected));
        }
        assert_eq!(date(u64::MAX), None);
    }

    #[test]
    fn redirect_names_target_without_query() {
        let target = url("https://other.example.com:8443/login?token=marked");
        let headers = HeaderMap::new();
        let facts = RefusalFacts { location: Some(&target), ..RefusalFacts::of(302, &headers) };
        let sentence = sentence(&facts);
        assert!(sentence.contains("https://other.example.com:8443/login;"), "{sentence}");
        assert!(!sentence.contains("marked"), "{sentence}");
    }

    #[test]
    fn names_server_behind_access_as_refusing() {
        let token = Token { id: "0a1b.access", secret: "…", oddity: None, header: None };
        let headers = HeaderMap::new();
        for (status, token, expected) in [
            (401, Some(token), "the server behind mcp.example.com itself refused the request (401)"),
            (403, Some(token), "not Cloudflare Access: no e-mail"),
            (403, None, "mcp.example.com answered 403 Forbidden: no e-mail"),
            (500, Some(token), "mcp.example.com answered 500"),
        ] {
            let facts = RefusalFacts { body: "no e-mail", token, ..RefusalFacts::of(status, &headers) };
            assert!(sentence(&facts).contains(expected), "{}", sentence(&facts));
        }
    }

    #[test]
    fn explains_unclear_refusal_behind_access() {
        let token = Some(Token { id: "0a1b.access", secret: "…", oddity: None, header: None });
        for (status, through, body, token, person, sentence, advice) in [
            (403, true, "no e-mail", token, false, "itself refused", "AUD tag"),
            (401, true, "no", None, true, "itself refused", "this user"),
            (401, false, "no", token, false, "itself refused", "no cf-ray"),
            (401, true, "", token, false, "without a reason (401)", "Access refused it"),
            (403, true, " ", token, false, "without a reason (403)", "Service Auth"),
        ] {
            let headers: HeaderMap = through
                .then(|| (http::HeaderName::from_static("cf-ray"), "8f00".parse().expect("a value")))
                .into_iter()
                .collect();
            let facts = RefusalFacts {
                body,
                token,
                sends_access_token: person,
                ..RefusalFacts::of(status, &headers)
            };
            let report = refused(&url("https://mcp.example.com/mcp"), &facts);
            assert_eq!(report.cause, ErrorKind::OriginRefused, "{report}");
            assert!(
                report.sentence.contains(sentence) && report.sentence.contains("mcp.example.com"),
                "{report}"
            );
            assert!(report.advice.as_ref().is_some_and(|told| told.contains(advice)), "{:?}", report.advice);
        }
    }

    #[test]
    fn report_keeps_harmless_references() {
        let header = |name: &'static str, value: &str| {
            (http::HeaderName::from_static(name), value.parse().expect("a value"))
        };
        let headers: HeaderMap = [
            header("cf-ray", "8f00000000000000-FRA"),
            header("x-correlation-id", "a-1_2.3:4"),
            header("x-request-id", "has spaces"),
        ]
        .into_iter()
        .collect();
        let report = refused(&url("https://mcp.example.com/mcp"), &RefusalFacts::of(500, &headers));
        assert_eq!(report.ray.as_deref(), Some("8f00000000000000-FRA"));
        assert_eq!(report.correlation_id.as_deref(), Some("a-1_2.3:4"));
        assert_eq!(report.request_id, None);
    }

    #[test]
    fn redirect_to_https_has_its_own_sentence() {
        let target = url("https://mcp.example.com/mcp");
        let headers = HeaderMap::new();
        let facts = RefusalFacts { location: Some(&target), ..RefusalFacts::of(301, &headers) };
        let report = refused(&url("http://mcp.example.com/mcp"), &facts);
        assert_eq!(report.sentence, "mcp.example.com answered 301 and requires https");
        assert_eq!(
            report.advice.as_deref(),
            Some("write https:// into the URL: https://mcp.example.com/mcp")
        );
    }

    #[test]
    fn redirect_advice_gives_address_to_write_with_https_kept() {
        for (from, to, expected) in [
            ("https://h.test/mcp", "http://h.test/mcp/", ": https://h.test/mcp/"),
            ("https://h.test:8443/mcp", "http://h.test:8443/mcp/", ": https://h.test:8443/mcp/"),
            ("https://h.test/mcp", "https://www.h.test/mcp?token=marked", ": https://www.h.test/mcp"),
            ("http://h.test/mcp", "http://other.test/mcp", ": http://other.test/mcp"),
            ("https://h.test/mcp?key=1", "http://h.test/mcp/?key=1", "/mcp/, with the query that it has"),
        ] {
            let target = url(to);
            let headers = HeaderMap::new();
            let facts = RefusalFacts { location: Some(&target), ..RefusalFacts::of(307, &headers) };
            let advice = refused(&url(from), &facts).advice.expect("one");
            assert!(advice.ends_with(expected) && !advice.contains("marked"), "{from} {to}: {advice}");
        }
    }
}
