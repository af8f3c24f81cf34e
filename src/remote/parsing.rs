//! From the text of a body or event to its messages, without holding up the event loop.
//!
//! What both transports do with what a server says.

use bytes::Bytes;

use crate::jsonrpc::{Fault, Line, MessageBuffer, PARSE_ERROR};

/// How much of the end of a text shows whether it may be whole, in bytes.
const TAIL: usize = 1024;

/// Up to this size a message is parsed in the event loop, in bytes: a few milliseconds.
const PARSED_IN_PLACE: usize = 1024 * 1024;

/// The text of a message that has arrived as a whole, and what it holds. A text that the scanner does not accept is parsed
/// beside the event loop where that takes long.
pub(super) async fn parse_line(buffer: MessageBuffer) -> (Bytes, Line) {
    let (text, line) = buffer.finish();
    let line = match line {
        Some(line) => line,
        None if text.len() <= PARSED_IN_PLACE => Line::parse_tolerantly(text.clone()),
        None => {
            let copy = text.clone();
            let parsed = tokio::task::spawn_blocking(|| Line::parse_tolerantly(copy)).await;
            let failed = |error| Line::Invalid(Fault::invalid(format!("it could not be parsed: {error}")));
            parsed.unwrap_or_else(failed)
        }
    };
    (text, line)
}

/// Returns whether an unreadable event was the answer. Any other may be a health check of the server, and is passed over.
pub(super) fn is_broken_answer(data: &[u8], fault: &Fault) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(data, part).is_some();
    let is_broken =
        fault.code == PARSE_ERROR && data.starts_with(b"{") && (holds(b"\"result\"") || holds(b"\"error\""));
    is_broken || fault.is_too_many()
}

/// Returns whether a text may be whole: a cheap test before the real one. It is asked at each part of a text, so that only the
/// end is looked at, however much white space stands there.
pub(super) fn ends_like_json(text: &[u8]) -> bool {
    let end = text.get(text.len().saturating_sub(TAIL)..).unwrap_or_default();
    matches!(end.trim_ascii_end().last(), Some(b'}' | b']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_a_text_is_looked_at_alone() {
        for (behind, expected) in [(0, true), (TAIL - 1, true), (TAIL, false), (TAIL * 10, false)] {
            let text = [b"{}".as_slice(), &vec![b' '; behind]].concat();
            assert_eq!(ends_like_json(&text), expected, "{behind}");
        }
        assert!(!ends_like_json(b"") && !ends_like_json(b"{"));
    }
}
