//! Log lines about traffic: one for each message, exchange, head and body.
//!
//! Info has a line per message of either side and one per exchange, when it is over; debug adds what the server sends, and
//! the headers of both sides; trace adds bodies. Every value that may be a secret is masked: of the headers of ours, those
//! that are not known to be harmless; of the server's, those whose name says so. What is known as a secret is taken out of
//! everything. Deliberately not here: where the lines go (`log`).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use tracing::{Level, Span, debug, enabled, info, info_span, trace};
use url::Url;

use crate::bridge::{
    Ask, Circumstances, ErrorReport, Event, ExchangeId, ExchangeOutcome, Outgoing, SessionId,
};
use crate::cookies::cookie;
use crate::jsonrpc::{Kind, Line, Message};
use crate::log::INDENT;
use crate::mcp;
use crate::redact::{self, is_sensitive_header};

/// How much of a body is shown, in bytes.
const BODY_LIMIT: usize = 2048;
/// How much of a header's value is shown, in bytes.
const VALUE_LIMIT: usize = 200;
/// The width of the column that says what a message is.
const NAME_WIDTH: usize = 30;
/// How much of an ID is shown, in characters.
const ID_WIDTH: usize = 12;
/// Headers of ours that hold no secret.
const HARMLESS: [&str; 6] = [
    "accept",
    "content-type",
    mcp::header::PROTOCOL_VERSION,
    mcp::header::METHOD,
    mcp::header::NAME,
    mcp::header::LAST_EVENT_ID,
];
/// Tells of what passes between client, bridge and exchanges.
#[derive(Debug)]
pub struct Traffic {
    witness: Witness,
    open: HashMap<ExchangeId, OpenExchange>,
    /// The span of the session that the last exchange belonged to, and its epoch.
    session: (u64, Span),
    /// The last message of the server: passed on as it is, it need not be shown again.
    arrived: Option<Bytes>,
}

/// An exchange under way.
#[derive(Debug)]
struct OpenExchange {
    method: &'static str,
    name: String,
    id: String,
    since: Instant,
    sent: usize,
    received: usize,
    circumstances: Option<Circumstances>,
}

impl Traffic {
    /// One that tells what `witness` has seen, too.
    pub fn new(witness: Witness) -> Traffic {
        Traffic { witness, open: HashMap::new(), session: (0, Span::none()), arrived: None }
    }

    /// Logs an event.
    pub fn log_event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Client(Line::One(message)) => from_client(message),
            Event::Client(Line::Batch(elements)) => elements.iter().flatten().for_each(from_client),
            Event::Server(exchange, message) => {
                if let Some(open) = self.open.get_mut(exchange) {
                    open.received += message.text().len();
                }
                debug!("{}", line("server ->", message, Some(*exchange)));
                body(message.text());
                self.arrived = Some(message.text().clone());
            }
            Event::Ended(exchange, outcome) => self.ended(*exchange, outcome, now),
            Event::ClientClosed | Event::Stop(_) | Event::Cursor(..) | Event::ServerInvalid(..) => {
                debug!("{INDENT}{event}");
            }
            // Of these a notice and the heads tell more.
            Event::Client(Line::Invalid(_)) | Event::Sent(_) | Event::Opened(..) => {}
        }
    }

    /// Takes note of an exchange that begins, and returns the span that its task runs in: each line about the exchange
    /// has the fields of this span.
    pub fn opened(
        &mut self,
        exchange: ExchangeId,
        outgoing: &Outgoing,
        circumstances: Option<Circumstances>,
        now: Instant,
    ) -> Span {
        let (method, (name, id), sent) = match &outgoing.ask {
            Ask::Post(message) => ("POST", named(message), message.text().len()),
            Ask::Listen { .. } => ("GET", ("listen".to_owned(), String::new()), 0),
            Ask::EndSession => ("DELETE", ("end session".to_owned(), String::new()), 0),
        };
        let span = self.span(exchange, &name, &id, circumstances);
        let open = OpenExchange { method, name, id, since: now, sent, received: 0, circumstances };
        self.open.insert(exchange, open);
        span
    }

    /// The span of an exchange, within that of its session. It is enabled from Info on.
    fn span(
        &mut self,
        exchange: ExchangeId,
        name: &str,
        id: &str,
        circumstances: Option<Circumstances>,
    ) -> Span {
        let session = match circumstances.and_then(|circumstances| circumstances.epoch) {
            Some(epoch) => {
                if self.session.0 != epoch {
                    self.session = (epoch, info_span!(parent: None, "session", session = epoch));
                }
                self.session.1.id()
            }
            None => None,
        };
        let (name, id) = (shortened(name, NAME_WIDTH), shortened(id, ID_WIDTH));
        info_span!(
            parent: session,
            "exchange",
            %exchange,
            request = %name,
            id = (!id.is_empty()).then(|| tracing::field::display(id)),
            attempt = circumstances.map(|circumstances| circumstances.attempt),
        )
    }

    /// Tells of an exchange that is given up.
    pub fn closed(&mut self, exchange: ExchangeId, now: Instant) {
        self.log_end(exchange, "closed", None, now);
    }

    /// Logs the exchanges that are still open when the process ends.
    pub fn log_open_exchanges(&mut self, now: Instant) {
        let mut left: Vec<ExchangeId> = self.open.keys().copied().collect();
        left.sort_unstable();
        for exchange in left {
            self.log_end(exchange, "left", None, now);
        }
    }

    /// Tells of a message to the client.
    pub fn delivered(&mut self, message: &Message) {
        info!("{}", line("-> client", message, None));
        if self.arrived.as_ref().is_none_or(|arrived| arrived.as_ptr() != message.text().as_ptr()) {
            body(message.text());
        }
    }

    fn ended(&mut self, exchange: ExchangeId, outcome: &ExchangeOutcome, now: Instant) {
        let (word, report) = match outcome {
            ExchangeOutcome::Complete => ("complete", None),
            ExchangeOutcome::Accepted(_) => ("accepted", None),
            ExchangeOutcome::Cut(report) => ("cut", Some(report)),
            ExchangeOutcome::Refused(refusal) => ("refused", Some(&refusal.report)),
            ExchangeOutcome::Lost { report, .. } => ("lost", Some(report)),
        };
        self.log_end(exchange, word, report, now);
        match outcome {
            ExchangeOutcome::Refused(refusal) if refusal.answer.is_some() => {
                refusal.answer.iter().for_each(|answer| body(answer.text()));
            }
            ExchangeOutcome::Complete
            | ExchangeOutcome::Accepted(_)
            | ExchangeOutcome::Cut(_)
            | ExchangeOutcome::Refused(_)
            | ExchangeOutcome::Lost { .. } => {
                if let Some(text) = report.and_then(|report| report.body.as_ref()) {
                    body(text.as_bytes());
                }
            }
        }
    }

    fn log_end(&mut self, exchange: ExchangeId, word: &str, report: Option<&ErrorReport>, now: Instant) {
        let head = self.witness.taken(exchange);
        let Some(open) = self.open.remove(&exchange) else { return };
        if !enabled!(Level::INFO) {
            return;
        }
        let status = head.status.or(report.and_then(|report| report.status));
        let received = open.received.max(head.length.unwrap_or_default());
        let mut text = columns("exchange", &open.name, &open.id, &exchange.to_string(), received);
        let status = status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let milliseconds = now.saturating_duration_since(open.since).as_millis();
        // A string takes everything.
        let mut more = |part: std::fmt::Arguments<'_>| {
            let _ = text.write_fmt(part);
        };
        more(format_args!("  {:<6} {status:<3} {milliseconds:>6} ms  {word:<8}", open.method));
        if open.sent > 0 {
            more(format_args!("  sent {}", size(open.sent)));
        }
        if let Some(Circumstances { era, epoch, attempt }) = open.circumstances {
            more(format_args!("  {era}"));
            if let Some(epoch) = epoch {
                more(format_args!("  session {epoch}"));
            }
            more(format_args!("  attempt {attempt}"));
        }
        if head.count > 1 {
            more(format_args!("  asked {} times", head.count));
        }
        for (name, value) in
            [("ray", head.ray), ("correlation-id", head.correlation_id), ("request-id", head.request_id)]
        {
            if let Some(value) = value {
                more(format_args!("  {name} {value}"));
            }
        }
        if let Some(report) = report {
            more(format_args!("  {}", report.cause.word()));
        }
        info!("{text}");
    }
}

fn from_client(message: &Message) {
    info!("{}", line("client ->", message, None));
    body(message.text());
}

/// A message in columns: whence or whither, what, the id, the exchange, the size.
fn line(direction: &str, message: &Message, exchange: Option<ExchangeId>) -> String {
    let (name, id) = named(message);
    let exchange = exchange.map(|exchange| exchange.to_string()).unwrap_or_default();
    columns(direction, &name, &id, &exchange, message.text().len())
}

fn columns(direction: &str, name: &str, id: &str, exchange: &str, bytes: usize) -> String {
    let (name, id) = (shortened(name, NAME_WIDTH), shortened(id, ID_WIDTH));
    format!("{direction:<9} {name:<NAME_WIDTH$} {id:>5} {exchange:>5} {:>8}", size(bytes))
}

/// The kind of a message, and its id.
fn named(message: &Message) -> (String, String) {
    match message.kind() {
        Kind::Request { id, method } => (shown(method.as_str()), shown(id.as_json())),
        Kind::Notification { method } => (shown(method.as_str()), String::new()),
        Kind::Response { id, error } => {
            let name = if *error { "error" } else { "result" };
            (name.to_owned(), id.as_ref().map(|id| shown(id.as_json())).unwrap_or_default())
        }
    }
}

/// The beginning of a foreign word. Only then may it be shortened: half a secret would not be recognised.
fn shown(text: &str) -> String {
    redact::excerpt(text, VALUE_LIMIT).0
}

/// The beginning of a body, under the line that it belongs to.
fn body(text: &[u8]) {
    if !enabled!(Level::TRACE) {
        return;
    }
    let (shown, is_cut) = redact::excerpt(&String::from_utf8_lossy(text), BODY_LIMIT);
    match is_cut {
        true => trace!("{INDENT}{shown} … ({} in all)", size(text.len())),
        false => trace!("{INDENT}{shown}"),
    }
}

fn shortened(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a digit behind the point is all that is shown")]
fn size(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// The facts of the heads of answers that the line of the exchange repeats.
#[derive(Debug, Default)]
struct Head {
    status: Option<u16>,
    /// How many there were: redirects, other credentials.
    count: u32,
    /// How large the body is to be, where the server says so.
    length: Option<usize>,
    ray: Option<String>,
    correlation_id: Option<String>,
    request_id: Option<String>,
}

/// Sees the heads of both sides of every exchange, and tells of them.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    heads: Arc<Mutex<HashMap<ExchangeId, Head>>>,
}

impl Witness {
    /// One, where something is told of exchanges.
    pub fn wanted() -> Option<Witness> {
        enabled!(Level::INFO).then(Witness::default)
    }

    /// Sees a request. `has_cookies` says whether cookies are added to it.
    pub fn asked(&self, method: &http::Method, url: &Url, headers: &HeaderMap, has_cookies: bool) {
        if !enabled!(Level::DEBUG) {
            return;
        }
        let mut text = format!("-> server {method} {}", without_query(url));
        for (name, value) in headers {
            let shown = match name {
                name if HARMLESS.contains(&name.as_str()) => plain(value),
                name if *name == mcp::header::SESSION_ID => session(value),
                _ => masked(value),
            };
            header(&mut text, name, &shown);
        }
        if has_cookies {
            header(&mut text, &http::header::COOKIE, "[masked]");
        }
        debug!("{text}");
    }

    /// Sees the head of an answer.
    pub fn answered(
        &self,
        exchange: ExchangeId,
        version: http::Version,
        status: u16,
        url: &Url,
        headers: &HeaderMap,
    ) {
        let value = |name: &str| headers.get(name).map(plain);
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let head = heads.entry(exchange).or_default();
        *head = Head {
            status: Some(status),
            count: head.count + 1,
            length: value("content-length").and_then(|length| length.parse().ok()),
            ray: value("cf-ray"),
            correlation_id: value("x-correlation-id"),
            request_id: value("x-request-id"),
        };
        drop(heads);
        if !enabled!(Level::DEBUG) {
            return;
        }
        let mut text = format!("server -> {version:?} {status}");
        for (name, value) in headers {
            let shown = match name {
                name if *name == mcp::header::SESSION_ID => session(value),
                name if *name == SET_COOKIE => format!("{}=[masked]", redact::foreign(&cookie(value).0)),
                name if *name == LOCATION => match value.to_str().ok().and_then(|text| url.join(text).ok()) {
                    Some(target) => shortened(&redact::foreign(&without_query(&target)), VALUE_LIMIT),
                    None => masked(value),
                },
                name if is_sensitive_header(name.as_str()) => masked(value),
                _ => plain(value),
            };
            header(&mut text, name, &shown);
        }
        debug!("{text}");
    }

    fn taken(&self, exchange: ExchangeId) -> Head {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).remove(&exchange).unwrap_or_default()
    }
}

fn header(text: &mut String, name: &HeaderName, value: &str) {
    let _ = write!(text, "\n{INDENT}{name}: {value}");
}

/// A URL without what may be a key.
fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_fragment(None);
    if url.query().is_some() {
        shown.set_query(Some("…"));
    }
    let shown = shown.to_string();
    shown.replace("?%E2%80%A6", "?…")
}

fn plain(value: &HeaderValue) -> String {
    let (shown, is_cut) = redact::excerpt(&String::from_utf8_lossy(value.as_bytes()), VALUE_LIMIT);
    shown + if is_cut { "…" } else { "" }
}

fn masked(value: &HeaderValue) -> String {
    format!("[masked, {} characters]", value.len())
}

fn session(value: &HeaderValue) -> String {
    match value.to_str().ok().and_then(SessionId::new) {
        Some(session) => session.to_string(),
        None => masked(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stay_where_they_are() {
        let message = |text: &str| Message::parse(text.to_owned().into()).expect("a message");
        let call = message(r#"{"id":7,"method":"tools/call","params":{}}"#);
        let long = message(&format!(r#"{{"method":"notifications/{}"}}"#, "x".repeat(2000)));
        assert_eq!(
            line("client ->", &call, None),
            "client -> tools/call                         7           42 B"
        );
        assert_eq!(
            line("server ->", &long, Some(ExchangeId(12))),
            "server -> notifications/xxxxxxxxxxxxxxx…         #12   2.0 kB"
        );
        assert_eq!(size(12_345_678), "12.3 MB");
    }

    #[test]
    fn url_is_logged_without_query() {
        let shown = |url: &str| without_query(&url.parse().expect("a URL"));
        assert_eq!(shown("https://h.example/mcp?key=marked#marked"), "https://h.example/mcp?…");
        assert_eq!(shown("https://h.example/mcp"), "https://h.example/mcp");
    }
}
