//! From the facts of a request to its HTTP headers: pure.
//!
//! Deliberately not here: credentials (`auth`), which are added afterwards and cannot replace these.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName};

use crate::bridge::{Ask, Facts};
use crate::mcp::header;

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static(header::SESSION_ID);
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static(header::PROTOCOL_VERSION);

/// The headers that the specification asks for (2025-11-25, basic/transports, sending and listening).
pub(super) fn headers(ask: &Ask, facts: &Facts) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    match ask {
        Ask::Post(_) => {
            headers.insert(ACCEPT, HeaderValue::from_static(header::JSON_OR_EVENT_STREAM));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(header::JSON));
        }
        Ask::Listen { after } => {
            headers.insert(ACCEPT, HeaderValue::from_static(header::EVENT_STREAM));
            // Servers may name an event as they like; one that no header can carry is not repeated.
            if let Some(Ok(after)) = after.as_ref().map(|after| HeaderValue::from_bytes(after.as_bytes())) {
                headers.insert(HeaderName::from_static(header::LAST_EVENT_ID), after);
            }
        }
        Ask::EndSession => {}
    }
    if let Some(session) = &facts.session
        && let Ok(mut value) = HeaderValue::from_str(session.reveal())
    {
        value.set_sensitive(true);
        headers.insert(SESSION_ID, value);
    }
    // A server may name a revision that no header can carry; then there is nothing to repeat.
    if let Some(revision) = &facts.revision
        && let Ok(value) = HeaderValue::from_str(revision)
    {
        headers.insert(PROTOCOL_VERSION, value);
    }
    if let Some(mirror) = &facts.mirror {
        // A method that no header can carry has no encoding; the bridge does not let it come here.
        if let Ok(method) = HeaderValue::from_str(&mirror.method) {
            headers.insert(HeaderName::from_static(header::METHOD), method);
        }
        if let Some(name) = &mirror.name {
            headers.insert(HeaderName::from_static(header::NAME), encoded(name));
        }
        for (name, value) in &mirror.parameters {
            if let Ok(name) = format!("{}{name}", header::PARAM_PREFIX).parse::<HeaderName>() {
                headers.insert(name, encoded(value));
            }
        }
    }
    headers
}

/// A value as it is where a header can carry it, else in Base64 (2026-07-28, streamable HTTP, value encoding).
#[expect(clippy::expect_used, reason = "only printable ASCII is left")]
fn encoded(value: &str) -> HeaderValue {
    const START: &str = header::BASE64_START;
    const TAIL: &str = header::BASE64_END;
    let is_printable = value.bytes().all(|byte| (0x20..=0x7E).contains(&byte));
    let loses_its_ends = value.starts_with(' ') || value.ends_with(' ');
    let looks_encoded = value.starts_with(START) && value.ends_with(TAIL);
    let is_plain = is_printable && !loses_its_ends && !looks_encoded;
    let text = match is_plain {
        true => value.to_owned(),
        false => format!("{START}{}{TAIL}", BASE64_STANDARD.encode(value)),
    };
    HeaderValue::from_str(&text).expect("only printable ASCII is left")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::{Mirror, SessionId};
    use crate::jsonrpc::Message;

    #[test]
    fn each_ask_has_its_headers() {
        let facts = Facts {
            session: SessionId::new("s-1"),
            revision: Some("2025-06-18".to_owned()),
            ..Facts::default()
        };
        let message = Message::parse("{\"method\":\"x\"}".into()).expect("a message");
        let text = |ask: &Ask, facts: &Facts| {
            let headers = headers(ask, facts);
            let lines =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")));
            lines.collect::<Vec<_>>()
        };
        let post = Ask::Post(message);
        assert_eq!(
            text(&post, &Facts::default()),
            ["accept: application/json, text/event-stream", "content-type: application/json"]
        );
        assert_eq!(text(&post, &facts)[2..], ["mcp-session-id: s-1", "mcp-protocol-version: 2025-06-18"]);
        let listen = |after: Option<&str>| Ask::Listen { after: after.map(str::to_owned) };
        let (fresh, behind, odd_id) = (listen(None), listen(Some("e 1")), listen(Some("a\rb")));
        assert_eq!(text(&fresh, &facts)[..2], ["accept: text/event-stream", "mcp-session-id: s-1"]);
        assert_eq!(text(&behind, &facts)[1], "last-event-id: e 1");
        assert_eq!(text(&odd_id, &facts)[1], "mcp-session-id: s-1");
        assert_eq!(text(&Ask::EndSession, &facts).len(), 2);
        let odd = Facts { revision: Some("new\nline".to_owned()), ..Facts::default() };
        assert_eq!(text(&Ask::EndSession, &odd), [""; 0]);
    }

    #[test]
    fn encodes_only_values_that_headers_cannot_carry() {
        for (value, expected) in [
            ("get_weather", "get_weather"),
            ("two words", "two words"),
            ("", ""),
            (" lead", "=?base64?IGxlYWQ=?="),
            ("trail ", "=?base64?dHJhaWwg?="),
            ("tab\tinside", "=?base64?dGFiCWluc2lkZQ==?="),
            ("line\r\nX-Evil: 1", "=?base64?bGluZQ0KWC1FdmlsOiAx?="),
            ("é", "=?base64?w6k=?="),
            ("日本", "=?base64?5pel5pys?="),
            ("=?base64?SGk=?=", "=?base64?PT9iYXNlNjQ/U0drPT89?="),
        ] {
            assert_eq!(encoded(value).to_str().expect("ASCII"), expected, "{value:?}");
        }
    }

    #[test]
    fn a_modern_message_is_mirrored() {
        let mirror = Mirror {
            method: "tools/call".to_owned(),
            name: Some("café".to_owned()),
            parameters: vec![("Region".to_owned(), "eu".to_owned()), ("Empty".to_owned(), String::new())],
        };
        let facts =
            Facts { revision: Some("2026-07-28".to_owned()), mirror: Some(mirror), ..Facts::default() };
        let message = Message::parse("{\"method\":\"x\"}".into()).expect("a message");
        let headers = headers(&Ask::Post(message), &facts);
        let value = |name: &str| headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        assert_eq!(value("mcp-protocol-version").as_deref(), Some("2026-07-28"));
        assert_eq!(value("mcp-method").as_deref(), Some("tools/call"));
        assert_eq!(value("mcp-name").as_deref(), Some("=?base64?Y2Fmw6k=?="));
        assert_eq!(value("mcp-param-region").as_deref(), Some("eu"));
        assert_eq!(value("mcp-param-empty").as_deref(), Some(""));
        assert!(!headers.contains_key("mcp-session-id"));
    }
}
