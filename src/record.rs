//! Records the conversation as a transcript in the form of `tests/transcripts`: the events and the actions of the bridge.
//! A recording can be attached to a bug report and replayed.
//!
//! The bridge knows no credential; what a server echoed of one is masked, and each session has a name of its own in place
//! of its id. Time goes by in whole milliseconds, also for the bridge, so that it does the same in a replay.
//! `tests/README.md` lists the forms of the lines. Deliberately not here: where the file comes from (`files`).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::warn;

use crate::bridge::{
    Action, Config, Cursor, Era, ErrorKind, ErrorReport, Event, ExchangeOutcome, Known, Notice, Opening,
    Processing, Refusal, SessionHeader, SessionId, StopReason, TransportOrder, Written,
};
use crate::json;
use crate::jsonrpc::{Fault, Id, Line, Message};
use crate::redact;

/// How large a recording gets, in bytes.
pub const LIMIT: usize = 64 * 1024 * 1024;
/// A shorter session id is not looked for in the middle of texts, where it would be found in innocent words.
const SHORTEST: usize = 6;
/// How many sessions have names of their own; each text is looked through for the id of each.
const SESSIONS: usize = 128;
/// The name of a session whose own name was dropped because it was not used for long.
const OTHER: &str = "other-session";

/// Writes down what happens.
#[derive(Debug)]
pub struct Recorder {
    /// None once it is full, or the system took no more.
    file: Option<File>,
    room: usize,
    /// The last event, and the actions after it so far.
    turn: String,
    begun: Instant,
    /// How many milliseconds have gone by since then.
    at: u64,
    /// The last message of the server, and where it stands in the turn without its secrets: passed on as it is, it need not be
    /// looked through again.
    arrived: Option<(Bytes, Range<usize>)>,
    /// The latest sessions, each with the number that says what it is called; the one that was used last is at the end.
    sessions: VecDeque<(usize, SessionId)>,
    /// How many there were so far.
    named: usize,
}

impl Recorder {
    /// Begins to record into a file the life of a bridge that was made of `config`.
    pub fn new(file: File, config: &Config, now: Instant) -> Recorder {
        let mut recorder = Recorder {
            file: Some(file),
            room: LIMIT,
            turn: String::new(),
            begun: now,
            at: 0,
            arrived: None,
            sessions: VecDeque::new(),
            named: 0,
        };
        let version = env!("CARGO_PKG_VERSION");
        recorder.line(format_args!("# Recorded by mcp-tether {version}; secrets are masked."));
        recorder.line(format_args!("> seed {}", config.seed));
        if let Some(ping) = config.ping {
            recorder.line(format_args!("> ping-every {}", ping.as_secs()));
        }
        let word = |era| match era {
            Era::Legacy => "legacy",
            Era::Modern => "modern",
        };
        if let Some(era) = config.era {
            recorder.line(format_args!("> server-is {}", word(era)));
        }
        if config.known != Known::default() {
            let era = config.known.era.map_or("unknown", word);
            let names = json::quoted_all(&config.known.falls_back);
            recorder.line(format_args!("> remembered {era} {names}"));
        }
        if config.transport != TransportOrder::default() {
            recorder.line(format_args!("> transport {}", config.transport));
        }
        let tools = &config.tools;
        for (word, patterns) in [("allow-tool", &tools.allow), ("ignore-tool", &tools.ignore)] {
            for pattern in patterns {
                recorder.line(format_args!("> {word} {pattern}"));
            }
        }
        if tools.read_only {
            recorder.line(format_args!("> read-only"));
        }
        if config.no_listening {
            recorder.line(format_args!("> no-listen"));
        }
        recorder.finish_turn();
        recorder
    }

    /// Advances the time of the bridge to the next whole millisecond, and returns it with whether it has changed. If it has,
    /// due work precedes the event.
    pub fn advance_clock(&mut self, now: Instant) -> (Instant, bool) {
        let before = self.at;
        let is_later = self.milliseconds(now) > before;
        let now = if is_later { self.wake(now) } else { self.begun + Duration::from_millis(before) };
        (now, is_later)
    }

    /// The same when it is time for the bridge to do what is due.
    pub fn wake(&mut self, now: Instant) -> Instant {
        let later = self.milliseconds(now).max(self.at);
        self.line(format_args!("> wait {}", later - self.at));
        self.at = later;
        self.begun + Duration::from_millis(later)
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.begun);
        elapsed.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX)
    }

    /// Records an event.
    pub fn record_event(&mut self, event: &Event) {
        if self.file.is_none() {
            return;
        }
        if size(event) > self.room {
            return self.close("it would be too large");
        }
        let text = self.event(event);
        match is_unchanged_in_kind(event, &text) {
            true => {
                self.line(format_args!("> {text}"));
                if let Event::Server(exchange, message) = event {
                    let end = self.turn.trim_end_matches('\n').len();
                    let start = (end - text.len()) + format!("server {exchange} ").len();
                    self.arrived = Some((message.text().clone(), start..end));
                }
            }
            false => {
                self.line(format_args!("# Something that cannot be told without a secret is left out here."))
            }
        }
    }

    /// Records an action of the bridge.
    pub fn record_action(&mut self, action: &Action) {
        if self.file.is_none() {
            return;
        }
        let shown = self.arrived.as_ref().filter(|(arrived, _)| match action {
            Action::Deliver(message) => {
                (arrived.as_ptr(), arrived.len()) == (message.text().as_ptr(), message.text().len())
            }
            _ => false,
        });
        if let Some(text) = shown.and_then(|(_, range)| self.turn.get(range.clone())) {
            let line = format!("reply {text}");
            return self.line(format_args!("{line}"));
        }
        let text = match action {
            Action::Deliver(message) => format!("reply {}", in_one_line(message)),
            Action::Open(exchange, outgoing) => {
                let mut outgoing = outgoing.clone();
                outgoing.facts.session = outgoing.facts.session.map(|session| self.renamed(&session));
                Action::Open(*exchange, outgoing).to_string()
            }
            Action::Notice(Notice::Settled { revision, session: Some(session) }) => {
                let (revision, session) = (revision.clone(), Some(self.renamed(session)));
                Action::Notice(Notice::Settled { revision, session }).to_string()
            }
            Action::Close(_) | Action::Notice(_) | Action::Remember(_) | Action::Exit(_) => {
                action.to_string()
            }
        };
        let text = self.masked(&text).replace(['\n', '\r'], " ");
        self.line(format_args!("{text}"));
    }

    /// Hands the lines of one turn to the system, all or none.
    pub fn finish_turn(&mut self) {
        if self.turn.len() > self.room {
            return self.close("it would be too large");
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(self.turn.as_bytes())
        {
            warn!("the conversation is no longer recorded: {error}");
            self.file = None;
        }
        self.room -= self.turn.len();
        self.turn.clear();
        self.arrived = None;
    }

    fn close(&mut self, because: &str) {
        if let Some(mut file) = self.file.take() {
            warn!("the conversation is no longer recorded: {because}");
            // The recording can be replayed with or without the last turn.
            let _ = writeln!(file, "# The rest is not recorded: {because}.");
        }
        self.turn = String::new();
        self.arrived = None;
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        if self.file.is_some() {
            let _ = writeln!(self.turn, "{line}");
        }
    }

    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::Client(Line::One(message)) => format!("client {}", self.message(message)),
            Event::Client(Line::Batch(elements)) => {
                let elements: Vec<String> = elements
                    .iter()
                    .map(|element| match element {
                        Ok(message) => self.message(message),
                        Err(fault) => format!(r#"{{"unreadable":{}}}"#, fault_in_json(fault)),
                    })
                    .collect();
                format!("batch [{}]", elements.join(","))
            }
            Event::Client(Line::Invalid(fault)) => format!("unreadable {}", fault_in_json(fault)),
            Event::ClientClosed => "client-closed".to_owned(),
            Event::Stop(StopReason::Signal) => "stop signal".to_owned(),
            Event::Stop(StopReason::OutputClosed) => "stop output".to_owned(),
            Event::Sent(exchange) => format!("sent {exchange}"),
            Event::Opened(exchange, opening) => format!("opened {exchange} {}", self.opening(opening)),
            Event::Server(exchange, message) => format!("server {exchange} {}", self.message(message)),
            Event::ServerInvalid(exchange, fault) => {
                format!("server-invalid {exchange} {}", self.masked(&fault_in_json(fault)))
            }
            Event::Cursor(exchange, cursor) => format!("cursor {exchange}{}", self.cursor(cursor)),
            Event::Ended(exchange, outcome) => match outcome {
                ExchangeOutcome::Complete => format!("complete {exchange}"),
                ExchangeOutcome::Accepted(202) => format!("accepted {exchange}"),
                ExchangeOutcome::Accepted(status) => format!("accepted {exchange} {status}"),
                ExchangeOutcome::Cut(report) => format!("cut {exchange}{}", self.report(report, None)),
                ExchangeOutcome::Lost { written: Written::No, report } => {
                    format!("unsent {exchange}{}", self.report(report, None))
                }
                ExchangeOutcome::Lost { written: Written::Maybe, report } => {
                    format!("lost {exchange}{}", self.report(report, None))
                }
                ExchangeOutcome::Refused(refusal) => format!("refused {exchange} {}", self.refusal(refusal)),
            },
        }
    }

    fn opening(&mut self, opening: &Opening) -> String {
        let mut text = opening.status.to_string();
        match &opening.session {
            SessionHeader::Absent => {}
            SessionHeader::Id(session) => {
                let renamed = self.named(session);
                let _ = write!(text, " session={}", renamed.reveal());
            }
            SessionHeader::Unusable => text.push_str(" session!"),
        }
        if opening.multiplexed {
            text.push_str(" h2");
        }
        text
    }

    fn cursor(&self, cursor: &Cursor) -> String {
        let last = cursor.last.as_ref().map(|last| format!(" last={}", self.quoted(last)));
        let retry = cursor.retry.map(|retry| format!(" retry={}", retry.as_millis()));
        [last, retry].into_iter().flatten().collect()
    }

    fn refusal(&self, refusal: &Refusal) -> String {
        let mut text = refusal.status.to_string();
        if refusal.processing == Processing::NotProcessed {
            text.push_str(" unprocessed");
        }
        if let Some(wait) = refusal.retry_after {
            let _ = write!(text, " wait={}.{:09}", wait.as_secs(), wait.subsec_nanos());
        }
        text.push_str(&self.report(&refusal.report, Some(refusal.status)));
        if let Some(answer) = &refusal.answer {
            let _ = write!(text, " {}", self.message(answer));
        }
        text
    }

    /// A failure in words. The status is left out where it is the one that is expected.
    fn report(&self, report: &ErrorReport, expected: Option<u16>) -> String {
        let cause: ErrorKind = report.cause;
        let mut text = format!(" cause={}", cause.word());
        if report.status != expected {
            let status = report.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            let _ = write!(text, " status={status}");
        }
        for (name, value) in [
            ("why", Some(&report.sentence)),
            ("advice", report.advice.as_ref()),
            ("body", report.body.as_ref()),
            ("ray", report.ray.as_ref()),
            ("correlation-id", report.correlation_id.as_ref()),
            ("request-id", report.request_id.as_ref()),
        ] {
            if let Some(value) = value {
                let _ = write!(text, " {name}={}", self.quoted(value));
            }
        }
        text
    }

    fn message(&self, message: &Message) -> String {
        self.masked(&in_one_line(message)).into_owned()
    }

    fn quoted(&self, text: &str) -> String {
        json::quoted(&self.masked(text))
    }

    /// A session that the server named, under the name that it has in the recording from now on.
    fn named(&mut self, session: &SessionId) -> SessionId {
        if !self.sessions.iter().any(|(_, known)| known == session) {
            self.sessions.push_back((self.named, session.clone()));
            self.named += 1;
        }
        if self.sessions.len() > SESSIONS {
            self.sessions.pop_front();
        }
        self.renamed(session)
    }

    /// The session under the name that it has in the recording.
    fn renamed(&mut self, session: &SessionId) -> SessionId {
        let place = self.sessions.iter().position(|(_, known)| known == session);
        let Some(known) = place.and_then(|place| self.sessions.remove(place)) else {
            return session_id(OTHER);
        };
        let name = name(known.0);
        self.sessions.push_back(known);
        name
    }

    fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::from(text);
        for (number, session) in &self.sessions {
            let id = session.reveal();
            // The words of a report that a transcript needs.
            let shown = session.to_string();
            if id.len() >= SHORTEST && !redact::is_word(id) && text.contains(id) {
                text = text.replace(id, name(*number).reveal()).into();
            }
            if shown.chars().count() > 2 && text.contains(&shown) {
                text = text.replace(&shown, &name(*number).to_string()).into();
            }
        }
        match redact::redact(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(scrubbed) => scrubbed.into(),
        }
    }
}

/// The name of a session: `a-session`, `b-session`, …
fn name(number: usize) -> SessionId {
    let letter = u32::try_from(number).ok().and_then(|number| char::from_digit(number.checked_add(10)?, 36));
    session_id(&letter.map_or_else(|| format!("{number}-session"), |letter| format!("{letter}-session")))
}

#[expect(clippy::expect_used, reason = "letters, digits and a hyphen are visible ASCII")]
fn session_id(name: &str) -> SessionId {
    SessionId::new(name).expect("visible ASCII")
}

/// A message in one line: a line break, which can only be outside of strings, becomes a space.
fn in_one_line(message: &Message) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(message.text());
    match text.contains(['\n', '\r']) {
        true => text.replace(['\n', '\r'], " ").into(),
        false => text,
    }
}

fn fault_in_json(fault: &Fault) -> String {
    let reason = json::quoted(&fault.reason);
    let id = fault.id.as_ref().map_or("null", |id| id.as_json());
    let requests = match fault.requests.is_empty() {
        true => String::new(),
        false => format!(r#","requests":{:?}"#, fault.requests),
    };
    format!(r#"{{"code":{},"id":{id},"reason":{reason}{requests}}}"#, fault.code)
}

/// About how large the words for an event are.
fn size(event: &Event) -> usize {
    match event {
        Event::Client(Line::One(message)) | Event::Server(_, message) => message.text().len(),
        Event::Client(Line::Batch(elements)) => {
            elements.iter().flatten().map(|message| message.text().len()).sum()
        }
        Event::ServerInvalid(_, fault) => fault.requests.iter().map(Id::size).sum(),
        Event::Client(Line::Invalid(_))
        | Event::ClientClosed
        | Event::Stop(_)
        | Event::Sent(_)
        | Event::Opened(..)
        | Event::Cursor(..)
        | Event::Ended(..) => 0,
    }
}

/// Returns whether a message is still one once its secrets are masked: one may stand where no text may.
fn is_unchanged_in_kind(event: &Event, text: &str) -> bool {
    let is_message = |text: &str| Message::parse(text.to_owned().into()).is_ok();
    match event {
        Event::Client(Line::One(_)) => text.strip_prefix("client ").is_some_and(is_message),
        Event::Server(..) => text.splitn(3, ' ').nth(2).is_some_and(is_message),
        Event::ServerInvalid(..) => {
            let fault = text.splitn(3, ' ').nth(2);
            fault.is_some_and(|fault| serde_json::from_str::<serde::de::IgnoredAny>(fault).is_ok())
        }
        Event::Client(Line::Batch(_) | Line::Invalid(_))
        | Event::ClientClosed
        | Event::Stop(_)
        | Event::Sent(_)
        | Event::Opened(..)
        | Event::Cursor(..)
        | Event::Ended(..) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bridge::{Ask, ExchangeId, Facts, Outgoing};

    fn recorder(path: &Path) -> (Recorder, Instant) {
        #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
        let now = Instant::now();
        (Recorder::new(File::create(path).expect("a file"), &Config::default(), now), now)
    }

    fn client(text: &str) -> Event {
        Event::Client(Line::parse(text.to_owned().into()))
    }

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).expect("a recording").lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn recording_ends_at_limit_after_whole_turn() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (mut recorder, _) = recorder(file.path());
        recorder.room = 100;
        let small = r#"{"method":"small"}"#;
        for text in [small, &format!(r#"{{"method":"{}"}}"#, "x".repeat(60)), small] {
            recorder.record_event(&client(text));
            recorder.record_action(&Action::Close(ExchangeId(1)));
            recorder.finish_turn();
        }
        let expected = [
            "> client {\"method\":\"small\"}",
            "close #1",
            "# The rest is not recorded: it would be too large.",
        ];
        assert_eq!(lines(file.path()), expected);
    }

    #[test]
    fn recorded_time_is_monotonic_in_milliseconds() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (mut recorder, begun) = recorder(file.path());
        let after = |microseconds| begun + Duration::from_micros(microseconds);
        assert_eq!(recorder.advance_clock(after(0)), (begun, false));
        assert_eq!(recorder.advance_clock(after(1)), (after(1000), true));
        assert_eq!(recorder.advance_clock(after(900)), (after(1000), false));
        assert_eq!(recorder.wake(after(950)), after(1000));
        assert_eq!(recorder.wake(after(2001)), after(3000));
        recorder.finish_turn();
        assert_eq!(lines(file.path()), ["> wait 1", "> wait 0", "> wait 2"]);
    }

    #[test]
    fn session_id_like_protocol_word_renames_nothing() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (mut recorder, _) = recorder(file.path());
        let session = SessionHeader::Id(SessionId::new("jsonrpc").expect("visible"));
        let opening = Opening { status: 200, session, multiplexed: false };
        recorder.record_event(&Event::Opened(ExchangeId(1), opening));
        recorder.record_event(&client(r#"{"jsonrpc":"2.0","method":"x"}"#));
        recorder.finish_turn();
        assert!(lines(file.path()).iter().any(|line| line.contains(r#"{"jsonrpc":"2.0","method":"x"}"#)));
    }

    #[test]
    fn session_id_is_renamed_everywhere() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (mut recorder, _) = recorder(file.path());
        let session = |id: &str| SessionId::new(id).expect("visible");
        let opened = |id: &str| {
            let session = SessionHeader::Id(session(id));
            Event::Opened(ExchangeId(1), Opening { status: 200, session, multiplexed: true })
        };
        recorder.record_event(&opened("marked-0123456789"));
        recorder.record_event(&opened("x"));
        recorder.record_event(&opened("marked-0123456789"));
        recorder.record_event(&client(r#"{"method":"x","params":"marked-0123456789"}"#));
        let facts = Facts { session: Some(session("x")), ..Facts::default() };
        recorder.record_action(&Action::Open(ExchangeId(2), Outgoing { ask: Ask::EndSession, facts }));
        recorder.finish_turn();
        let expected = [
            "> opened #1 200 session=a-session h2",
            "> opened #1 200 session=b-session h2",
            "> opened #1 200 session=a-session h2",
            r#"> client {"method":"x","params":"a-session"}"#,
            "open #2 end session session=b…",
        ];
        assert_eq!(lines(file.path()), expected);
    }

    #[test]
    fn sessions_beyond_limit_share_one_name() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (mut recorder, _) = recorder(file.path());
        let session = |number: usize| SessionId::new(&format!("marked-{number:08}")).expect("visible");
        recorder.named(&session(0));
        for number in 1..3 * SESSIONS {
            assert_eq!(recorder.named(&session(number)), name(number));
            assert_eq!(recorder.renamed(&session(0)), name(0), "it is in use");
        }
        assert_eq!(recorder.sessions.len(), SESSIONS);
        assert_eq!(recorder.renamed(&session(1)), session_id(OTHER));
        assert_eq!(recorder.masked("marked-00000383 marked-00000000"), "383-session a-session");
        assert_eq!(recorder.named(&session(1)), name(3 * SESSIONS), "it is new again");
    }
}
