//! The stream of an HTTP+SSE session: its events, and the address for messages that it names.
//!
//! Apart from `http_sse` because this is what the server says, and that is what is done with it.

use std::collections::VecDeque;

use bytes::Bytes;
use url::Url;

use super::exchange_outcome::{cut, lost};
use super::parsing::ends_like_json;
use super::response_body::{ENDPOINT, NonMessages, SILENCE};
use super::sse::{self, Parser};
use crate::bridge::{ErrorKind, ErrorReport, ExchangeOutcome};
use crate::diagnosis;
use crate::http::body::Body;
use crate::http::within;
use crate::jsonrpc::{Kind, MESSAGE_LIMIT, Message};
use crate::redact;

/// A segment of a path that is longer, and has a digit in it, may be the session's id.
const LONGEST_SEGMENT: usize = 15;
/// The longest address for messages, in bytes: servers take no longer one, and each request carries it.
const LONGEST_ADDRESS: usize = 8 * 1024;

/// A stream that has begun.
pub(super) struct SseStream {
    response: Body,
    /// Where it came from, behind the redirects.
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) multiplexed: bool,
    parser: Parser,
    /// What was read but not asked for yet.
    events: VecDeque<sse::SseEvent>,
    /// How much of the event that has not ended was looked at, in bytes.
    examined: usize,
    pub(super) non_messages: NonMessages,
    is_too_large: bool,
}

impl SseStream {
    /// The stream in a body of which nothing was read.
    pub(super) fn new(response: Body, url: Url, status: u16, multiplexed: bool) -> SseStream {
        SseStream {
            response,
            url,
            status,
            multiplexed,
            parser: Parser::default(),
            events: VecDeque::new(),
            examined: 0,
            non_messages: NonMessages::default(),
            is_too_large: false,
        }
    }

    /// Parses a part of the body.
    pub(super) fn take(&mut self, part: &[u8]) {
        self.examined = 0;
        let events = &mut self.events;
        self.is_too_large = self.parser.push(part, |event| events.push_back(event)).is_err();
    }

    /// Returns whether the event that has not ended may be taken as it is, if nothing more of it comes.
    fn may_end(&self) -> bool {
        self.parser.pending().is_some_and(|event| {
            let is_whole = event.event == ENDPOINT || event.is_message() && ends_like_json(&event.data);
            is_whole && event.data.len() > self.examined
        })
    }

    /// The unfinished event, if it names an address or is a whole message. While the stream is open it must be a response, which
    /// a request waits for.
    fn take_unended(&mut self, is_open: bool) -> Option<sse::SseEvent> {
        let event = self.parser.pending()?;
        self.examined = event.data.len();
        let is_wanted = event.event == ENDPOINT
            || event.is_message()
                && match Message::parse(Bytes::copy_from_slice(&event.data)) {
                    Ok(message) => !is_open || matches!(message.kind(), Kind::Response { .. }),
                    Err(_) => false,
                };
        is_wanted.then(|| self.parser.finish())?
    }

    /// The next event; none at the end. Nothing is lost if this is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<sse::SseEvent>, ExchangeOutcome> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.is_too_large {
                return Err(lost(diagnosis::too_large(&self.url, self.status, MESSAGE_LIMIT)));
            }
            let limit = self.may_end().then_some(SILENCE);
            match within(limit, self.response.chunk()).await {
                Some(Ok(Some(chunk))) => self.take(&chunk),
                // The end is reported again after the event that it finished.
                Some(Ok(None)) => return Ok(self.take_unended(false)),
                Some(Err(error)) => match self.take_unended(true) {
                    Some(event) => return Ok(Some(event)),
                    None => return Err(cut(&self.url, self.status, &error)),
                },
                None => {
                    if let Some(event) = self.take_unended(true) {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }
}

/// The address for messages, as an event names it: relative to where the stream came from, and of its origin.
pub(super) fn address_in(event: &sse::SseEvent, url: &Url) -> Result<Url, Box<ErrorReport>> {
    let place = diagnosis::place(url);
    let advice = "look at how the server makes the address in its `endpoint` event";
    let unusable = |problem: &str| {
        Box::new(ErrorReport::new(ErrorKind::Endpoint, format!("{place} named {problem}"), advice))
    };
    let text = std::str::from_utf8(&event.data).map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Err(unusable("no address for messages"));
    }
    if text.len() > LONGEST_ADDRESS {
        let limit = LONGEST_ADDRESS / 1024;
        return Err(unusable(&format!("an address for messages that is longer than {limit} KiB")));
    }
    let mut address = url.join(text).map_err(|_| unusable("an address for messages that is none"))?;
    if address.origin() != url.origin() {
        let (theirs, ours) = (address.origin().ascii_serialization(), url.origin().ascii_serialization());
        let sentence = format!(
            "the stream of {ours} wants messages sent to {theirs}, which is another origin: credentials are not sent there"
        );
        let advice = "have the server name a relative address, or the one it is reached by (behind a proxy: X-Forwarded-Proto and -Host)";
        return Err(Box::new(ErrorReport::new(ErrorKind::Endpoint, sentence, advice)));
    }
    // It holds the session id, which is enough to act in the session.
    address.query_pairs().for_each(|(_, value)| redact::register_session(&value));
    address.set_fragment(None);
    // Only the credentials identify us. Neither call can fail for a URL with a host.
    let _ = (address.set_username(""), address.set_password(None));
    Ok(address)
}

/// A refusal by the address that the stream named, with that address: behind a gateway it often lacks a prefix.
pub(super) fn with_address(outcome: ExchangeOutcome, url: &Url) -> ExchangeOutcome {
    let ExchangeOutcome::Refused(mut refusal) = outcome else { return outcome };
    if refusal.report.cause != ErrorKind::Status {
        return ExchangeOutcome::Refused(refusal);
    }
    let segments = url.path().split('/').map(|segment| {
        let is_an_id = segment.len() > LONGEST_SEGMENT && segment.bytes().any(|byte| byte.is_ascii_digit());
        if is_an_id { "[session]" } else { segment }
    });
    let path = segments.collect::<Vec<_>>().join("/");
    let report = &mut refusal.report;
    report.sentence = format!("{} (the address for messages that its stream named: {path})", report.sentence);
    if matches!(refusal.status, 404 | 405) {
        let advice = "if a gateway serves the server below a path of its own, set that path as the server's base path \
                      (root path), so that its `endpoint` event names it";
        report.advice = Some(advice.to_owned());
    }
    ExchangeOutcome::Refused(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(data: &str) -> Result<String, String> {
        let event = sse::SseEvent {
            event: ENDPOINT.to_owned(),
            data: data.as_bytes().into(),
            ..sse::SseEvent::default()
        };
        let url = Url::parse("https://mcp.example.com/deep/sse?key=1").expect("a URL");
        address_in(&event, &url).map(String::from).map_err(|report| report.sentence)
    }

    #[test]
    fn an_address_is_relative_to_its_stream() {
        for (data, expected) in [
            ("/messages?s=1", "https://mcp.example.com/messages?s=1"),
            ("messages", "https://mcp.example.com/deep/messages"),
            ("?s=1", "https://mcp.example.com/deep/sse?s=1"),
            (" ./a/../b ", "https://mcp.example.com/deep/b"),
            ("//mcp.example.com/m", "https://mcp.example.com/m"),
            ("https://mcp.example.com:443/m#part", "https://mcp.example.com/m"),
            ("https://name:word@mcp.example.com/m", "https://mcp.example.com/m"),
            ("HTTPS://MCP.Example.COM/m", "https://mcp.example.com/m"),
        ] {
            assert_eq!(address(data).as_deref(), Ok(expected), "{data}");
        }
    }

    #[test]
    fn an_address_of_another_origin_is_none() {
        for data in [
            "http://mcp.example.com/m",
            "https://mcp.example.com:8443/m",
            "https://example.com/m",
            "https://mcp.example.com.evil.test/m",
            "https://mcp.example.com@evil.test/m",
            "//evil.test/m",
            "\\\\evil.test/m",
            "data:text/plain,x",
            "javascript:1",
        ] {
            let sentence = address(data).expect_err(data);
            assert!(sentence.contains("another origin"), "{data}: {sentence}");
        }
        for (data, expected) in [
            ("", "no address"),
            (" \t", "no address"),
            ("https://", "that is none"),
            ("http://[", "that is none"),
        ] {
            assert!(address(data).expect_err(data).contains(expected), "{data}");
        }
        let long = address(&format!("/m?session={}", "a1".repeat(LONGEST_ADDRESS / 2)));
        assert!(long.expect_err("too long").contains("longer than 8 KiB"));
        let kept = format!("/m?session={}", "b2".repeat(1000));
        assert!(address(&kept).is_ok());
        let text = format!("{} {}", "a1".repeat(LONGEST_ADDRESS / 2), "b2".repeat(1000));
        assert!(redact::redact(&text).ends_with("a1 [secret]"), "what is not used is not registered");
        let event = sse::SseEvent { data: b"/m\xff".as_slice().into(), ..sse::SseEvent::default() };
        let url = Url::parse("https://mcp.example.com/sse").expect("a URL");
        assert!(address_in(&event, &url).is_err(), "no UTF-8");
    }
}
