//! From the facts of a request to its HTTP headers: pure.
//!
//! Deliberately not here: credentials (`auth`), which are added afterwards and cannot replace these.

use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName};

use crate::bridge::{Ask, Facts};

/// The header that names the session.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The headers that the specification asks for (2025-11-25, basic/transports, sending and listening).
pub(super) fn headers(ask: &Ask, facts: &Facts) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    match ask {
        Ask::Post(_) => {
            headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ask::Listen => drop(headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"))),
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
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::SessionId;
    use crate::jsonrpc::Message;

    #[test]
    fn each_ask_has_its_headers() {
        let facts = Facts { session: SessionId::new("s-1"), revision: Some("2025-06-18".to_owned()) };
        let message = Message::parse("{\"method\":\"x\"}".into()).expect("a message");
        let text = |ask, facts: &Facts| {
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
        assert_eq!(text(&Ask::Listen, &facts)[..2], ["accept: text/event-stream", "mcp-session-id: s-1"]);
        assert_eq!(text(&Ask::EndSession, &facts).len(), 2);
        let odd = Facts { session: None, revision: Some("new\nline".to_owned()) };
        assert_eq!(text(&Ask::EndSession, &odd), [""; 0]);
    }
}
