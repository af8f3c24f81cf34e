//! From the text of a body or event to its messages, without holding up the event loop.
//!
//! What both transports do with what a server says.

use bytes::Bytes;

use crate::jsonrpc::{Fault, Line, PARSE_ERROR};

/// Up to this size a message is parsed in the event loop, in bytes: a few milliseconds.
const PARSED_IN_PLACE: usize = 1024 * 1024;

/// Parses a message, beside the event loop where that takes long.
pub(super) async fn parse_line(text: Bytes) -> Line {
    if text.len() <= PARSED_IN_PLACE {
        return Line::parse_tolerantly(text);
    }
    let parsed = tokio::task::spawn_blocking(|| Line::parse_tolerantly(text)).await;
    parsed.unwrap_or_else(|error| Line::Invalid(Fault::invalid(format!("it could not be parsed: {error}"))))
}

/// Returns whether an unreadable event was the answer. Any other may be a health check of the server, and is passed over.
pub(super) fn is_broken_answer(data: &[u8], fault: &Fault) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(data, part).is_some();
    let is_broken =
        fault.code == PARSE_ERROR && data.starts_with(b"{") && (holds(b"\"result\"") || holds(b"\"error\""));
    is_broken || fault.is_too_many()
}
