//! Replays a transcript against the bridge. `tests/README.md` lists the forms of its lines.

use std::time::{Duration, Instant};

use mcp_tether::bridge::{
    Action, Ask, Bridge, Config, Cursor, Era, ErrorKind, ErrorReport, Event, ExchangeId, ExchangeOutcome,
    Known, Opening, Outgoing, Pattern, Refusal, SessionHeader, SessionId, StopReason, TransportOrder,
    Written,
};
use mcp_tether::diagnosis;
use mcp_tether::json;
use mcp_tether::jsonrpc::{Fault, Kind, Line, Message};

/// The transcript with the bridge's side as it is.
pub(crate) fn replay(transcript: &str) -> Result<String, String> {
    #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
    let mut now = Instant::now();
    let mut config = Config::default();
    let mut bridge = Bridge::new(config.clone());
    let mut replayed = String::new();
    let mut in_full = false;
    for (number, line) in transcript.lines().enumerate() {
        let Some(happening) = line.strip_prefix("> ") else {
            if line.starts_with('#') || line.is_empty() {
                replayed.push_str(line);
                replayed.push('\n');
            }
            continue;
        };
        replayed.push_str(line);
        replayed.push('\n');
        let parse = |text: &str| text.parse().map_err(|_| bad(number, line));
        match happening.split_once(' ') {
            Some(("wait", milliseconds)) => {
                now += Duration::from_millis(parse(milliseconds)?);
                bridge.handle_timeout(now);
            }
            Some(("ping-every", seconds)) => {
                config.ping = Some(Duration::from_secs(parse(seconds)?));
                bridge = Bridge::new(config.clone());
            }
            None if happening == "in-full" => in_full = true,
            None if happening == "anew" => {
                config = Config::default();
                bridge = Bridge::new(config.clone());
            }
            Some(("server-is", word)) => {
                config.era = era(word);
                bridge = Bridge::new(config.clone());
            }
            Some(("remembered", what)) => {
                let (word, names) = what.split_once(' ').unwrap_or((what, "[]"));
                let falls_back = serde_json::from_str(names).map_err(|_| bad(number, line))?;
                config.known = Known { era: era(word), falls_back };
                bridge = Bridge::new(config.clone());
            }
            Some(("seed", seed)) => {
                config.seed = parse(seed)?;
                bridge = Bridge::new(config.clone());
            }
            Some(("transport", order)) => {
                config.transport = transport(order).ok_or_else(|| bad(number, line))?;
                bridge = Bridge::new(config.clone());
            }
            Some((word @ ("allow-tool" | "ignore-tool"), pattern)) => {
                let pattern = Pattern::new(pattern).ok_or_else(|| bad(number, line))?;
                match word {
                    "allow-tool" => config.tools.allow.push(pattern),
                    _ => config.tools.ignore.push(pattern),
                }
                bridge = Bridge::new(config.clone());
            }
            None if happening == "read-only" => {
                config.tools.read_only = true;
                bridge = Bridge::new(config.clone());
            }
            None if happening == "no-listen" => {
                config.no_listening = true;
                bridge = Bridge::new(config.clone());
            }
            _ => bridge.handle(event(happening).ok_or_else(|| bad(number, line))?, now),
        }
        while let Some(action) = bridge.poll_action() {
            let posted = match &action {
                Action::Open(_, Outgoing { ask: Ask::Post(message), .. }) if in_full => Some(message.clone()),
                _ => None,
            };
            replayed.push_str(&match action {
                Action::Deliver(message) => format!("reply {}", String::from_utf8_lossy(message.text())),
                other => other.to_string(),
            });
            replayed.push('\n');
            if let Some(message) = posted {
                replayed.push_str(&format!("  post {}\n", String::from_utf8_lossy(message.text())));
            }
        }
    }
    Ok(replayed)
}

fn era(word: &str) -> Option<Era> {
    match word {
        "legacy" => Some(Era::Legacy),
        "modern" => Some(Era::Modern),
        _ => None,
    }
}

fn bad(number: usize, line: &str) -> String {
    format!("line {} is no happening: {line}", number + 1)
}

fn transport(order: &str) -> Option<TransportOrder> {
    [TransportOrder::HttpFirst, TransportOrder::SseFirst, TransportOrder::HttpOnly, TransportOrder::SseOnly]
        .into_iter()
        .find(|transport| transport.to_string() == order)
}

fn event(text: &str) -> Option<Event> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "client" => return Some(Event::Client(Line::parse(rest.to_owned().into()))),
        "batch" => return batch(rest),
        "unreadable" => return Some(Event::Client(Line::Invalid(fault(rest)?))),
        "client-closed" => return Some(Event::ClientClosed),
        "stop" if rest == "signal" => return Some(Event::Stop(StopReason::Signal)),
        "stop" if rest == "output" => return Some(Event::Stop(StopReason::OutputClosed)),
        _ => {}
    }
    let (exchange, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let exchange = ExchangeId(exchange.strip_prefix('#')?.parse().ok()?);
    let message = |text: &str| Message::parse(text.to_owned().into()).ok();
    let outcome = match word {
        "sent" => return Some(Event::Sent(exchange)),
        "opened" => return Some(Event::Opened(exchange, opening(rest)?)),
        "server" => return Some(Event::Server(exchange, message(rest)?)),
        "server-invalid" => return Some(Event::ServerInvalid(exchange, fault(rest)?)),
        "complete" => ExchangeOutcome::Complete,
        "accepted" if rest.is_empty() => ExchangeOutcome::Accepted(202),
        "accepted" => ExchangeOutcome::Accepted(rest.parse().ok()?),
        "cut" => ExchangeOutcome::Cut(failure(ErrorKind::Connection, rest)?),
        "unsent" => {
            ExchangeOutcome::Lost { written: Written::No, report: failure(ErrorKind::Connect, rest)? }
        }
        "lost" => {
            ExchangeOutcome::Lost { written: Written::Maybe, report: failure(ErrorKind::Answer, rest)? }
        }
        "cursor" => return Some(Event::Cursor(exchange, cursor(rest)?)),
        "refused" => ExchangeOutcome::Refused(refusal(rest)?),
        _ => return None,
    };
    Some(Event::Ended(exchange, outcome))
}

/// A batch of which some elements were no messages; those say so themselves.
fn batch(text: &str) -> Option<Event> {
    let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).ok()?;
    let element = |raw: &&serde_json::value::RawValue| match json::member(raw.get(), "unreadable") {
        Some(text) => Some(Err(fault(text)?)),
        None => Some(Message::parse(raw.get().to_owned().into())),
    };
    Some(Event::Client(Line::Batch(elements.iter().map(element).collect::<Option<_>>()?)))
}

/// `{"code":…,"id":…,"reason":…}`: why something of the client is no message.
fn fault(text: &str) -> Option<Fault> {
    let code = json::member(text, "code")?.parse().ok()?;
    let reason = json::string(json::member(text, "reason")?)?;
    let id = |id: &str| match Message::parse(format!(r#"{{"id":{id},"method":"x"}}"#).into()).ok()?.kind() {
        Kind::Request { id, .. } => Some(id.clone()),
        Kind::Notification { .. } | Kind::Response { .. } => None,
    };
    let requests = json::member(text, "requests").map(json::elements).unwrap_or_default();
    let requests = requests.into_iter().map(id).collect::<Option<_>>()?;
    let id = match json::member(text, "id").filter(|id| *id != "null") {
        Some(own) => Some(id(own)?),
        None => None,
    };
    Some(Fault { code, reason, id, requests })
}

/// `404`, then any of `unprocessed` and `wait=SECONDS`, then what there is of the words, then a JSON-RPC answer or any
/// other text of the body.
fn refusal(text: &str) -> Option<Refusal> {
    let (status, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    let status = status.parse().ok()?;
    let (mut unprocessed, mut retry_after) = (false, None);
    loop {
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        match word.strip_prefix("wait=") {
            Some(seconds) => retry_after = Some(self::seconds(seconds)?),
            None if word == "unprocessed" => unprocessed = true,
            None => break,
        }
        rest = behind;
    }
    let sentence = format!("the server answered {status}");
    let (mut report, rest) = words(report(ErrorKind::Status, Some(status), &sentence), rest)?;
    let answer = Message::parse(rest.to_owned().into()).ok();
    if answer.is_none() && !rest.is_empty() {
        report.body = Some(rest.to_owned());
    }
    let processing = diagnosis::processing(status, report.cause, unprocessed);
    Some(Refusal { status, answer, retry_after, processing, report })
}

/// Seconds, whole or with a fraction.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    Some(Duration::new(whole.parse().ok()?, format!("{fraction:0<9}").parse().ok()?))
}

/// What there is of the words, then the sentence.
fn failure(cause: ErrorKind, text: &str) -> Option<ErrorReport> {
    let (mut report, sentence) = words(report(cause, None, ""), text)?;
    if !sentence.is_empty() {
        sentence.clone_into(&mut report.sentence);
    }
    Some(report)
}

/// Any of `cause=WORD`, `status=CODE` and, in quotes, `report`, `advice`, `body`, `ray`, `correlation-id` and `request-id`;
/// and what stands behind them.
fn words(mut report: ErrorReport, mut text: &str) -> Option<(ErrorReport, &str)> {
    while let Some((name, behind)) = text.split_once('=') {
        let field = match name {
            "cause" | "status" => {
                let (word, rest) = behind.split_once(' ').unwrap_or((behind, ""));
                text = rest;
                match (name, word) {
                    ("cause", word) => report.cause = serde_json::from_value(word.into()).ok()?,
                    (_, "none") => report.status = None,
                    (_, status) => report.status = Some(status.parse().ok()?),
                }
                continue;
            }
            "why" => None,
            "advice" => Some(&mut report.advice),
            "body" => Some(&mut report.body),
            "ray" => Some(&mut report.ray),
            "correlation-id" => Some(&mut report.correlation_id),
            "request-id" => Some(&mut report.request_id),
            _ => break,
        };
        let (value, rest) = quoted(behind)?;
        text = rest;
        match field {
            Some(field) => *field = Some(value),
            None => report.sentence = value,
        }
    }
    Some((report, text))
}

/// A JSON string, and what stands behind it and the space.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = values.next()?.ok()?;
    let rest = &text[values.byte_offset()..];
    Some((value, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// Any of `last=ID`, in quotes or not, and `retry=MILLISECONDS`.
fn cursor(mut text: &str) -> Option<Cursor> {
    let mut cursor = Cursor::default();
    while !text.is_empty() {
        let (name, behind) = text.split_once('=')?;
        let (value, rest) = match behind.starts_with('"') {
            true => quoted(behind)?,
            false => {
                let (word, rest) = behind.split_once(' ').unwrap_or((behind, ""));
                (word.to_owned(), rest)
            }
        };
        match name {
            "last" => cursor.last = Some(value),
            "retry" => cursor.retry = Some(Duration::from_millis(value.parse().ok()?)),
            _ => return None,
        }
        text = rest;
    }
    Some(cursor)
}

/// `200`, then any of `session=ID`, `session!` (an unusable one) and `h2`.
fn opening(text: &str) -> Option<Opening> {
    let mut words = text.split(' ');
    let status = words.next()?.parse().ok()?;
    let mut opening = Opening { status, session: SessionHeader::Absent, multiplexed: false };
    for word in words {
        match word.split_once('=') {
            Some(("session", id)) => opening.session = SessionHeader::Id(SessionId::new(id)?),
            None if word == "session!" => opening.session = SessionHeader::Unusable,
            None if word == "h2" => opening.multiplexed = true,
            _ => return None,
        }
    }
    Some(opening)
}

fn report(cause: ErrorKind, status: Option<u16>, sentence: &str) -> ErrorReport {
    ErrorReport { advice: None, status, ..ErrorReport::new(cause, sentence, "") }
}
