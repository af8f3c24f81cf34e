//! Reads the body of a response: one message or a stream of events, whatever its headers call it. Servers name both wrongly, leave
//! out the end of either, and announce wrong lengths. Only whole JSON-RPC messages are delivered.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap};
use tokio::time::Instant;
use tracing::{debug, warn};
use url::Url;

use super::exchange_outcome::{broken, cut, lost};
use super::parsing::{ends_like_json, is_broken_answer, parse_line};
use super::response_head::charset;
use super::sse::{self, Parser, SseEvent};
use super::streamable::{HttpExchange, LINGER, silence_report};
use crate::bridge::{Ask, Cursor, ErrorReport, Event, ExchangeOutcome, Opening};
use crate::diagnosis::{self, BodyDescription};
use crate::http::body::{Body, BodyError, is_encoded, unknown_encoding};
use crate::http::{within, yield_to_connection};
use crate::jsonrpc::{Fault, Line, MESSAGE_LIMIT, MessageBuffer};

/// How long a server must be silent before an answer that is whole is taken although its end has not come.
pub(super) const SILENCE: Duration = Duration::from_secs(1);
/// How much white space may stand before what shows the form of a body, in bytes.
const BLANK_LIMIT: usize = 64 * 1024;
/// The event by which HTTP+SSE names the address for messages (2024-11-05, basic/transports).
pub(super) const ENDPOINT: &str = "endpoint";
/// A byte order mark.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a body holds, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    /// JSON: an object or an array.
    Json,
    /// Server-sent events.
    Events,
    /// Neither.
    Other,
}

/// Returns the form of a body that begins like this; none if that does not show yet.
pub(super) fn detect_form(beginning: &[u8]) -> Option<BodyForm> {
    const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];
    if !beginning.is_empty() && beginning.len() < MARK.len() && MARK.starts_with(beginning) {
        return None;
    }
    let text = beginning.strip_prefix(MARK).unwrap_or(beginning).trim_ascii_start();
    match text {
        [] => (beginning.len() > BLANK_LIMIT).then_some(BodyForm::Other),
        [b'{' | b'[', ..] => Some(BodyForm::Json),
        [b':', ..] => Some(BodyForm::Events),
        text => {
            let end = text.iter().position(|byte| matches!(byte, b':' | b'\r' | b'\n'));
            match end {
                Some(end) => {
                    let is_field = text.get(..end).is_some_and(|name| FIELDS.contains(&name));
                    Some(if is_field { BodyForm::Events } else { BodyForm::Other })
                }
                None if FIELDS.iter().any(|name| name.starts_with(text)) => None,
                None => Some(BodyForm::Other),
            }
        }
    }
}

/// A body that is being read, and what its head says of it.
pub(super) struct ResponseBody {
    body: Body,
    /// What was read to see what it is, and is still to be used.
    beginning: Bytes,
    patience: Option<Duration>,
    /// When something last came.
    since: Instant,
    /// Whether it was told that nothing has come for a while.
    is_quiet: bool,
    announced: Option<usize>,
    pub(super) description: BodyDescription,
}

/// What came next of a body.
enum BodyEvent {
    Part(Bytes),
    End,
    Broken(BodyError),
    /// Nothing for as long as the user allows.
    Silent,
    /// Nothing for [`SETTLED`].
    Quiet,
}

impl ResponseBody {
    /// The body of `response`, of which nothing was read. `patience` is how long it may be silent.
    pub(super) fn new(response: reqwest::Response, patience: Option<Duration>) -> ResponseBody {
        let headers = response.headers();
        let description = BodyDescription {
            status: response.status().as_u16(),
            encoding: unknown_encoding(headers),
            charset: charset(headers),
            length: announced(headers),
        };
        ResponseBody {
            announced: description.length,
            description,
            body: Body::new(response),
            beginning: Bytes::new(),
            patience,
            since: Instant::now(),
            is_quiet: false,
        }
    }

    /// Reads until the form of the body shows, if it ever does. What was read comes again.
    ///
    /// # Errors
    /// [`BodyEvent::Broken`] and [`BodyEvent::Silent`].
    async fn form(&mut self) -> Result<BodyForm, BodyEvent> {
        loop {
            if let Some(form) = detect_form(&self.beginning) {
                return Ok(form);
            }
            let beginning = std::mem::take(&mut self.beginning);
            match self.next(false).await {
                BodyEvent::Part(part) if beginning.is_empty() => self.beginning = part,
                BodyEvent::Part(part) => self.beginning = [beginning.as_ref(), part.as_ref()].concat().into(),
                BodyEvent::End | BodyEvent::Quiet => {
                    self.beginning = beginning;
                    return Ok(BodyForm::Other);
                }
                ended @ (BodyEvent::Broken(_) | BodyEvent::Silent) => {
                    self.beginning = beginning;
                    return Err(ended);
                }
            }
        }
    }

    /// What comes next. With `settles` it is also told, once, that nothing has come for a while.
    async fn next(&mut self, reports_silence: bool) -> BodyEvent {
        if !self.beginning.is_empty() {
            return BodyEvent::Part(std::mem::take(&mut self.beginning));
        }
        let reports_silence =
            reports_silence && !self.is_quiet && self.patience.is_none_or(|patience| patience > SILENCE);
        let limit = if reports_silence { Some(SILENCE) } else { self.patience };
        let limit = limit.map(|limit| limit.saturating_sub(self.since.elapsed()));
        match within(limit, self.body.chunk()).await {
            None if reports_silence => {
                self.is_quiet = true;
                BodyEvent::Quiet
            }
            None => BodyEvent::Silent,
            Some(Ok(Some(part))) => {
                self.is_quiet = false;
                self.since = Instant::now();
                BodyEvent::Part(part)
            }
            Some(Ok(None)) => BodyEvent::End,
            Some(Err(error)) => BodyEvent::Broken(error),
        }
    }

    /// Gives the body back, with what was read of it.
    pub(super) fn into_body(self) -> (Body, Bytes) {
        (self.body, self.beginning)
    }
}

/// How long a body says it is, where that is its own length.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok().filter(|_| !is_encoded(headers))
}

impl HttpExchange<'_> {
    /// Reads a body that is called one message or a batch.
    pub(super) async fn read_json(
        &self,
        url: &Url,
        reading: &mut ResponseBody,
    ) -> Result<ExchangeOutcome, ExchangeOutcome> {
        match reading.form().await {
            Ok(BodyForm::Events) => Box::pin(self.read_events(url, reading, None)).await,
            Ok(BodyForm::Json | BodyForm::Other) => self.json(url, reading).await,
            Err(ended) => Err(ended_early(url, reading, ended)),
        }
    }

    /// Reads a body of the media type `text/event-stream`. `unopened` is the head that was not reported yet, because the stream may
    /// turn out to be that of the older transport.
    pub(super) async fn read_stream(
        &self,
        url: &Url,
        mut reading: ResponseBody,
        unopened: Option<Opening>,
    ) -> Result<ExchangeOutcome, ExchangeOutcome> {
        if !matches!(self.outgoing.ask, Ask::Post(_)) || !self.awaits_answer() {
            return self.read_events(url, &mut reading, unopened).await;
        }
        let form = reading.form().await;
        if !matches!(form, Ok(BodyForm::Events))
            && let Some(opening) = unopened.clone()
        {
            self.report_opening(opening).await;
        }
        match form {
            Ok(BodyForm::Events) => self.read_events(url, &mut reading, unopened).await,
            Ok(BodyForm::Json) => self.json(url, &mut reading).await,
            Ok(BodyForm::Other) => {
                if let Some(report) =
                    diagnosis::undecodable_body(url, &reading.description, &reading.beginning)
                {
                    return Err(lost(report));
                }
                self.read_events(url, &mut reading, None).await
            }
            Err(BodyEvent::Silent) => {
                Err(self.silence_outcome(silence_report(url, reading.description.status, reading.patience)))
            }
            Err(BodyEvent::Broken(error)) => Err(cut(url, reading.description.status, &error)),
            Err(BodyEvent::Part(_) | BodyEvent::End | BodyEvent::Quiet) => Ok(ExchangeOutcome::Complete),
        }
    }

    /// Reads a body whose media type says nothing. None if it is neither JSON nor events; then the reading can go on.
    pub(super) async fn read_untyped(
        &self,
        url: &Url,
        reading: &mut ResponseBody,
    ) -> Result<Option<BodyForm>, ExchangeOutcome> {
        match reading.form().await {
            Ok(BodyForm::Other) => Ok(None),
            Ok(form) => Ok(Some(form)),
            Err(ended) => Err(ended_early(url, reading, ended)),
        }
    }

    /// Reads one message or a batch.
    pub(super) async fn json(
        &self,
        url: &Url,
        reading: &mut ResponseBody,
    ) -> Result<ExchangeOutcome, ExchangeOutcome> {
        let status = reading.description.status;
        let mut body = MessageBuffer::default();
        body.reserve(reading.announced.unwrap_or(0));
        loop {
            let reports_silence = self.awaits_answer() && ends_like_json(&body);
            match reading.next(reports_silence).await {
                BodyEvent::Part(part) if body.len().saturating_add(part.len()) > MESSAGE_LIMIT => {
                    return Err(lost(diagnosis::too_large(url, status, MESSAGE_LIMIT)));
                }
                BodyEvent::Part(part) => {
                    body.push_without_line_breaks(&part);
                    body.scan();
                    if reading.body.is_known_to_be_over() {
                        break;
                    }
                }
                BodyEvent::End => break,
                BodyEvent::Silent => return Err(lost(silence_report(url, status, reading.patience))),
                BodyEvent::Quiet => {
                    if let Some(line) = self.whole_answer(&body).await {
                        warn!(
                            "the answer is whole, but the server has not ended it{}",
                            lengths(reading, &body)
                        );
                        self.deliver(line).await;
                        return Ok(ExchangeOutcome::Complete);
                    }
                }
                BodyEvent::Broken(error) => {
                    if matches!(error, BodyError::Transport(_))
                        && let Some(line) = self.whole_answer(&body).await
                    {
                        warn!(
                            "the connection broke behind an answer that is whole{}",
                            lengths(reading, &body)
                        );
                        self.deliver(line).await;
                        return Ok(ExchangeOutcome::Complete);
                    }
                    let mut report = broken(url, status, &error);
                    if matches!(error, BodyError::Transport(_)) {
                        report.sentence.push_str(&lengths(reading, &body));
                    }
                    return Err(lost(report));
                }
            }
        }
        self.deliver_json(url, &reading.description, body).await
    }

    /// Passes on the messages of a body that has ended.
    async fn deliver_json(
        &self,
        url: &Url,
        description: &BodyDescription,
        body: MessageBuffer,
    ) -> Result<ExchangeOutcome, ExchangeOutcome> {
        let status = description.status;
        if body.trim_ascii().is_empty() {
            return Err(lost(diagnosis::unusable(url, status, "the body is empty")));
        }
        let (body, line) = parse_line(body).await;
        if let Line::Invalid(fault) = &line {
            self.session_error(url, status, &body).map_or(Ok(()), Err)?;
            Box::pin(self.events.send_invalid(self.id, fault)).await;
            return Err(lost(diagnosis::unreadable(url, description, &body, &fault.to_string())));
        }
        drop(body);
        self.deliver(line).await;
        Ok(ExchangeOutcome::Complete)
    }

    /// The messages of a text, if the text is whole and they answer the request.
    async fn whole_answer(&self, text: &MessageBuffer) -> Option<Line> {
        if !ends_like_json(text) {
            return None;
        }
        let (_, line) = parse_line(text.clone()).await;
        let is_answer = match &line {
            Line::One(message) => self.is_answered_by(message),
            Line::Batch(elements) => elements.iter().flatten().any(|message| self.is_answered_by(message)),
            Line::Invalid(_) => false,
        };
        is_answer.then_some(line)
    }

    /// Reads events to the end of the stream, or until shortly after the answer.
    pub(super) async fn read_events(
        &self,
        url: &Url,
        reading: &mut ResponseBody,
        mut unopened: Option<Opening>,
    ) -> Result<ExchangeOutcome, ExchangeOutcome> {
        let status = reading.description.status;
        let mut non_messages = NonMessages::default();
        let mut parser = Parser::default();
        let mut linger: Option<Instant> = None;
        loop {
            let pending = parser.pending();
            let reports_silence = pending.is_some_and(|event| match event.event.as_str() {
                ENDPOINT => unopened.is_some(),
                _ => event.is_message() && self.awaits_answer() && ends_like_json(&event.data),
            });
            let next = match linger {
                None => reading.next(reports_silence).await,
                Some(end) => match tokio::time::timeout_at(end, reading.next(false)).await {
                    Ok(BodyEvent::Broken(_)) | Err(_) => return Ok(ExchangeOutcome::Complete),
                    Ok(next) => next,
                },
            };
            let mut events = Vec::new();
            let parsed = match &next {
                BodyEvent::Part(part) => parser.push(part, |event| events.push(event)),
                _ => Ok(()),
            };
            let outcome = match next {
                BodyEvent::Part(_) => None,
                BodyEvent::Silent => {
                    Some(Err(self.silence_outcome(silence_report(url, status, reading.patience))))
                }
                next => {
                    self.stream_paused(url, status, next, &mut parser, unopened.is_some(), &mut events).await
                }
            };
            for event in events {
                if let Some(opening) = unopened.take() {
                    if event.event == ENDPOINT {
                        return Err(lost(diagnosis::older_transport(url, status)));
                    }
                    self.report_opening(opening).await;
                }
                if self.handle_event(url, status, event, &mut non_messages).await? {
                    linger = Some(Instant::now() + LINGER);
                    yield_to_connection().await;
                }
            }
            if parsed.is_err() {
                return Err(lost(diagnosis::too_large(url, status, MESSAGE_LIMIT)));
            }
            if let Some(outcome) = outcome {
                if let Some(opening) = unopened {
                    self.report_opening(opening).await;
                }
                return outcome;
            }
        }
    }

    /// Handles a stream that has ended, broken or brought nothing for a moment: adds the events that count all the same, and
    /// returns the outcome if that is the end of the exchange.
    async fn stream_paused(
        &self,
        url: &Url,
        status: u16,
        paused: BodyEvent,
        parser: &mut Parser,
        may_be_older: bool,
        events: &mut Vec<SseEvent>,
    ) -> Option<Result<ExchangeOutcome, ExchangeOutcome>> {
        match paused {
            BodyEvent::End => {
                events.extend(self.last_event(parser).await);
                Some(Ok(ExchangeOutcome::Complete))
            }
            BodyEvent::Quiet | BodyEvent::Broken(BodyError::Transport(_))
                if self.has_answer(parser).await =>
            {
                events.extend(parser.finish());
                Some(Ok(ExchangeOutcome::Complete))
            }
            BodyEvent::Broken(error) => Some(Err(cut(url, status, &error))),
            BodyEvent::Quiet => {
                events.extend(parser.finish().filter(|event| event.event == ENDPOINT && may_be_older));
                None
            }
            BodyEvent::Part(_) | BodyEvent::Silent => None,
        }
    }

    /// Passes on what an event holds. Returns whether that is the answer to the request.
    async fn handle_event(
        &self,
        url: &Url,
        status: u16,
        mut event: sse::SseEvent,
        non_messages: &mut NonMessages,
    ) -> Result<bool, ExchangeOutcome> {
        let cursor = self.cursor(&mut event);
        let mut is_answer = false;
        if event.is_message() {
            match parse_line(event.data).await {
                (data, Line::Invalid(fault)) => {
                    self.session_error(url, status, &data).map_or(Ok(()), Err)?;
                    non_messages.log(&fault);
                    Box::pin(self.events.send_invalid(self.id, &fault)).await;
                    if self.awaits_answer() && is_broken_answer(&data, &fault) {
                        let problem = format!("its answer is not a JSON-RPC message: {fault}");
                        return Err(lost(diagnosis::unusable(url, status, &problem)));
                    }
                }
                (_, line) => is_answer = self.deliver(line).await,
            }
        } else if event.event == "error" {
            self.session_error(url, status, &event.data).map_or(Ok(()), Err)?;
        }
        // Only now: what has not been passed on must come again.
        self.advance(cursor).await;
        Ok(is_answer)
    }

    /// The event that the end of the stream has ended, if it holds a whole message or names an address.
    async fn last_event(&self, parser: &mut Parser) -> Option<sse::SseEvent> {
        let event = parser.finish()?;
        if event.event == ENDPOINT {
            return Some(event);
        }
        let is_whole = event.is_message()
            && ends_like_json(&event.data)
            && !matches!(parse_line(event.data.clone()).await, (_, Line::Invalid(_)));
        is_whole.then_some(event)
    }

    /// Returns whether the event that has begun holds the whole answer to the request of this exchange.
    async fn has_answer(&self, parser: &Parser) -> bool {
        match parser.pending() {
            Some(event) if event.is_message() => self.whole_answer(&event.data).await.is_some(),
            Some(_) | None => false,
        }
    }

    /// The outcome of a stream that was silent for too long: a stream with a pending request is given up, any other may be
    /// opened again.
    fn silence_outcome(&self, report: ErrorReport) -> ExchangeOutcome {
        match &self.outgoing.ask {
            Ask::Post(_) | Ask::EndSession | Ask::Listen { after: Some(_) } => lost(report),
            Ask::Listen { after: None } => ExchangeOutcome::Cut(report),
        }
    }

    /// What an event says of its place in the stream. The modern era takes no stream up again.
    fn cursor(&self, event: &mut sse::SseEvent) -> Option<Cursor> {
        let cursor = Cursor { last: event.id.take(), retry: event.retry };
        let says_something = cursor != Cursor::default();
        (says_something && self.outgoing.facts.mirror.is_none()).then_some(cursor)
    }

    async fn advance(&self, cursor: Option<Cursor>) {
        if let Some(cursor) = cursor {
            self.events.report(Event::Cursor(self.id, cursor)).await;
        }
    }
}

/// Events of one stream that are no messages. Servers send them as heartbeats, so that only the first is worth a warning.
#[derive(Debug, Default)]
pub(super) struct NonMessages {
    is_reported: bool,
}

impl NonMessages {
    /// Logs one of them.
    pub(super) fn log(&mut self, fault: &Fault) {
        match std::mem::replace(&mut self.is_reported, true) {
            false => warn!(
                %fault,
                "the server sent an event that is no message; others on this stream are not reported"
            ),
            true => debug!(%fault, "the server sent an event that is no message"),
        }
    }
}

/// How a body that ended before its form showed ends its exchange.
fn ended_early(url: &Url, reading: &ResponseBody, ended: BodyEvent) -> ExchangeOutcome {
    let status = reading.description.status;
    match ended {
        BodyEvent::Broken(error) => {
            let mut report = broken(url, status, &error);
            if matches!(error, BodyError::Transport(_)) {
                report.sentence.push_str(&lengths(reading, &reading.beginning));
            }
            lost(report)
        }
        BodyEvent::Silent | BodyEvent::Quiet | BodyEvent::Part(_) | BodyEvent::End => {
            lost(silence_report(url, status, reading.patience))
        }
    }
}

/// Names a length that a body has announced and does not have.
fn lengths(reading: &ResponseBody, body: &[u8]) -> String {
    match reading.announced {
        Some(announced) if announced > body.len() => {
            format!("; its Content-Length says {announced} bytes, and {} came", body.len())
        }
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_show_what_a_body_holds() {
        for (beginning, expected) in [
            (&b"{\"id\":1"[..], Some(BodyForm::Json)),
            (b"\xEF\xBB\xBF \r\n[", Some(BodyForm::Json)),
            (b"data: {", Some(BodyForm::Events)),
            (b"\n\nevent: message\n", Some(BodyForm::Events)),
            (b"id\n", Some(BodyForm::Events)),
            (b"retry:1", Some(BodyForm::Events)),
            (b": hello", Some(BodyForm::Events)),
            (b"<html>", Some(BodyForm::Other)),
            (b"database: down", Some(BodyForm::Other)),
            (b"data is missing", Some(BodyForm::Other)),
            (b"hi", Some(BodyForm::Other)),
            (b"\xff\xfe{\0", Some(BodyForm::Other)),
            (b"7", Some(BodyForm::Other)),
            (b"", None),
            (b"\xEF\xBB", None),
            (b"\xEF\xBB\xBF", None),
            (b" \n", None),
            (b"dat", None),
            (b"data", None),
        ] {
            assert_eq!(detect_form(beginning), expected, "{beginning:?}");
        }
        assert_eq!(detect_form(&vec![b' '; BLANK_LIMIT + 1]), Some(BodyForm::Other));
    }
}
