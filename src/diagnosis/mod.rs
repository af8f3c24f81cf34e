//! From the facts of a failure to what it means and what to do: pure, one row per fact.
//!
//! Used by the proxy, so that the same failure is explained in the same words wherever it is met. No secret comes in
//! here: whoever collects the facts has taken them out of foreign text before. Deliberately not here: finding out
//! (`http`, `remote`) and deciding what to do about it (the bridge).

mod access;
mod body;
mod cloudflare;

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use url::Url;

pub use access::{SignIn, Token, sign_in};
pub use body::{BodyDescription, older_transport, undecodable, undecodable_body, unreadable};

use crate::bridge::{ErrorKind, ErrorReport, Processing};
use crate::http::TransportError;
use crate::http::body::EXPANSION_LIMIT;
use crate::http::www_authenticate::challenges;
use crate::redact;
use crate::tls;

/// How much of a foreign text stands in a sentence, in characters.
const EXCERPT: usize = 200;
/// How much of it stands beside the sentence.
const BODY_EXCERPT: usize = 1024;

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
            format!("no connection to {place} could be made in time"),
            "check the network, a VPN or firewall; --connect-timeout allows for longer",
        ),
        TransportError::Connect(reason) => (
            ErrorKind::Connect,
            format!("no connection to {place} could be made: {reason}"),
            "check host and port of the URL, and the network",
        ),
        TransportError::Socks(reason) => {
            let (sentence, advice) = match reason.as_str() {
                "failed to create underlying connection" => (
                    format!("the SOCKS proxy on the way to {place} accepts no connection"),
                    "check --proxy and ALL_PROXY, and that the proxy is running; NO_PROXY names hosts that need none",
                ),
                reason => (
                    format!("the SOCKS proxy on the way to {place} did not connect to it: {reason}"),
                    "check the host name and port of the URL; where the proxy wants credentials, write them into its URL: socks5h://user:password@host:port",
                ),
            };
            return ErrorReport::new(ErrorKind::Proxy, sentence, advice);
        }
        TransportError::Proxy { wants_credentials: true } => (
            ErrorKind::Proxy,
            format!("the proxy on the way to {place} wants credentials (407)"),
            "write them into the proxy's URL: http://user:password@host:port, in --proxy or HTTPS_PROXY",
        ),
        TransportError::Proxy { wants_credentials: false } => (
            ErrorKind::Proxy,
            format!("the proxy on the way to {place} refused to connect to it"),
            "have the host allowed there, or name it in NO_PROXY if it can be reached directly",
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
            let issuer = match is_self_signed {
                true => "by itself (it is self-signed), which is",
                false => "by",
            };
            let sentence = format!(
                "the certificate of {place} was issued {issuer} an authority that this computer does not know; its SHA-256 fingerprint is {fingerprint}"
            );
            let file = match is_self_signed {
                true => "name the file with this certificate: --ca-cert PATH",
                false => {
                    "where a company inspects traffic or the server has an authority of its own, name its certificate: --ca-cert PATH"
                }
            };
            let advice = format!(
                "check the URL; {file}; or, if the server's administrator confirms the fingerprint, accept this one certificate: --pin {fingerprint}"
            );
            return ErrorReport::new(ErrorKind::Tls, sentence, advice);
        }
        tls::Failure::NotPinned(fingerprint) => {
            let sentence = format!(
                "the certificate of {place} is not the one of --pin; its SHA-256 fingerprint is {fingerprint}"
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
                since.map(|since| format!(" on {}", date(since))).unwrap_or_default()
            ),
            "have the server's certificate renewed; if it is valid, set this computer's clock",
        ),
        tls::Failure::NotYetValid => (
            format!("the certificate of {place} is not valid yet"),
            "set this computer's clock; if it is right, the server's certificate is not",
        ),
        tls::Failure::Certificate(reason) => (
            format!("the certificate of {place} was not accepted: {reason}"),
            "have the server's certificate looked at",
        ),
        tls::Failure::ClientCertificate => (
            format!("{place} wants a client certificate that it accepts"),
            "name yours with --client-cert PATH and --client-key PATH",
        ),
        tls::Failure::Version => (
            format!("{place} has no version of TLS in common with this program (1.2 and 1.3)"),
            "have TLS 1.2 or 1.3 switched on there",
        ),
        tls::Failure::HungUp => (
            format!("{place} hung up in the middle of the TLS handshake"),
            "check that the URL's port speaks TLS",
        ),
        tls::Failure::Other(reason) => (
            format!("no secure connection to {place} could be made: {reason}"),
            "check that the URL's port speaks TLS",
        ),
    };
    ErrorReport::new(ErrorKind::Tls, sentence, advice)
}

/// The day of a moment in seconds since 1970, as year-month-day (the civil calendar of Howard Hinnant's
/// `civil_from_days`).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

/// What a refusal looked like.
#[derive(Clone, Copy, Debug)]
pub struct RefusalFacts<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Where it sends us, made absolute.
    pub location: Option<&'a Url>,
    /// The beginning of the body, without secrets.
    pub body: &'a str,
    /// The service token that went along.
    pub token: Option<Token<'a>>,
    /// Whether another credential of Access went along.
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

/// Adds what an administrator finds the request by.
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
            let sentence = format!("{place} answered {status} and wants https");
            let advice = format!("write https:// into the URL: {address}");
            return ErrorReport::new(ErrorKind::Redirect, sentence, advice).with_status(status);
        }
        let target = origin_and_path(target);
        let sentence = format!(
            "{place} answered {status} and points to {target}; credentials are not sent after a redirect"
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
    if matches!(status, 401 | 403) && (facts.token.is_some() || facts.sends_access_token) {
        let (sentence, advice) = refused_by_the_server(&place, &said, facts);
        return ErrorReport {
            body,
            ..ErrorReport::new(ErrorKind::OriginRefused, sentence, advice).with_status(status)
        };
    }
    let sentence = format!("{place} answered {status} {}{said}", reason(status)).trim_end().to_owned();
    let advice = match status {
        401 if names_metadata(facts) => match facts.login {
            Some(login) => &*format!("sign in: {login}; or give the server the --header that it wants"),
            None => "give the server the --header that it wants, or sign in: add --auth oauth",
        },
        401 => "check the credentials: this server does not accept those that were sent, or wants some",
        403 => "check that the credentials are allowed to do this",
        404 | 405 => "check the path of the URL (often /mcp)",
        407 => "write the credentials into the proxy's URL: http://user:password@host:port",
        400 if facts.body.contains("Request Header Or Cookie Too Large") => "shorten the headers",
        413 => "send less at once, or raise the limit of the server or of what stands before it",
        414 => "shorten the URL",
        429 => "wait a while, or raise the server's limit",
        431 => "shorten the headers",
        500..=599 => "look into the server's log, or try again later",
        _ => "look into the server's log",
    };
    ErrorReport { body, ..ErrorReport::new(ErrorKind::Status, sentence, advice).with_status(status) }
}

/// The words for a refusal by the server although a credential of Access went along.
fn refused_by_the_server(place: &str, said: &str, facts: &RefusalFacts<'_>) -> (String, String) {
    let status = facts.status;
    if cloudflare::is_from_cloudflare(facts) && said.is_empty() && facts.header("www-authenticate").is_none()
    {
        // How Access refuses in strict mode is not documented; this might be it.
        let advice = "look into the server's log; if the request is not there, Access refused it: see whether the token \
                      is accepted, and whether a Service Auth policy includes it";
        let sentence = format!(
            "the request to {place} was refused without a word ({status}), by the server itself or by Cloudflare Access in strict mode"
        );
        return (sentence, advice.to_owned());
    }
    let sentence = format!(
        "the server behind {place} itself refused the request ({status}), not Cloudflare Access{said}"
    );
    let advice = match facts.token {
        _ if !cloudflare::is_from_cloudflare(facts) => {
            "the answer has no cf-ray, so Cloudflare is not before this host: check the host name, or give the server the \
             --header that it wants"
                .to_owned()
        }
        Some(token) => format!(
            "a service token carries no e-mail address, only its id ({}): the server must accept that, for this \
             application's AUD tag and team; or it wants a --header of its own",
            token.id
        ),
        None => "the server must accept this application's AUD tag and team, and this person; or it wants a --header of \
                 its own"
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

/// A limit of the person's that an answer did not keep.
pub fn timed_out(url: &Url, option: &str, limit: Duration) -> ErrorReport {
    let what = match option {
        HEADERS_TIMEOUT => "did not begin to answer within",
        _ => "was silent in the middle of an answer for",
    };
    let sentence = format!("{} {what} {} s ({option})", place(url), limit.as_secs_f64());
    ErrorReport::new(
        ErrorKind::Timeout,
        sentence,
        format!("allow for longer with {option}, or take the option out"),
    )
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
    ErrorReport::new(ErrorKind::TooLarge, sentence, "ask the server for less at once").with_status(status)
}

/// A compressed body that holds far more than was sent.
pub fn expanded(url: &Url, status: u16) -> ErrorReport {
    let sentence = format!(
        "the compressed answer of {} is more than {EXPANSION_LIMIT} times as large as what was sent",
        place(url)
    );
    ErrorReport::new(ErrorKind::TooLarge, sentence, "report this to the server's author").with_status(status)
}

/// Redirects that lead round in a circle.
pub fn redirect_loop(url: &Url, status: u16) -> ErrorReport {
    let sentence = format!("{} redirects without end", place(url));
    let advice = "put the address where the server really is into the URL";
    ErrorReport::new(ErrorKind::Redirect, sentence, advice).with_status(status)
}

/// What a body says, in one line: the title of a page, or the beginning of a text.
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
    fn refusals_prove_what_status_and_cause_say() {
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
    fn what_was_not_processed_is_told_from_what_may_have_been() {
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
    fn a_refusal_is_named_in_one_line() {
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
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_795_219_200, "2026-11-21"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn a_redirect_names_its_target_without_the_query() {
        let target = url("https://other.example.com:8443/login?token=marked");
        let headers = HeaderMap::new();
        let facts = RefusalFacts { location: Some(&target), ..RefusalFacts::of(302, &headers) };
        let sentence = sentence(&facts);
        assert!(sentence.contains("https://other.example.com:8443/login;"), "{sentence}");
        assert!(!sentence.contains("marked"), "{sentence}");
    }

    #[test]
    fn a_server_that_refuses_behind_access_is_named_as_the_one() {
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
    fn who_refused_behind_access_is_told_as_far_as_it_can_be() {
        let token = Some(Token { id: "0a1b.access", secret: "…", oddity: None, header: None });
        for (status, through, body, token, person, sentence, advice) in [
            (403, true, "no e-mail", token, false, "itself refused", "AUD tag"),
            (401, true, "no", None, true, "itself refused", "this person"),
            (401, false, "no", token, false, "itself refused", "no cf-ray"),
            (401, true, "", token, false, "without a word (401)", "Access refused it"),
            (403, true, " ", token, false, "without a word (403)", "Service Auth"),
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
    fn what_an_administrator_looks_for_comes_along_if_it_is_harmless() {
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
    fn a_server_that_wants_https_is_told_from_one_that_points_elsewhere() {
        let target = url("https://mcp.example.com/mcp");
        let headers = HeaderMap::new();
        let facts = RefusalFacts { location: Some(&target), ..RefusalFacts::of(301, &headers) };
        let report = refused(&url("http://mcp.example.com/mcp"), &facts);
        assert_eq!(report.sentence, "mcp.example.com answered 301 and wants https");
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
