//! The text of one message while it arrives.
//!
//! Each part is scanned while it is in the processor's cache. Once the last one is there, the message is known without another look
//! at a text that may be large.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use super::Line;
use super::envelope::{Envelope, EnvelopeScanner, NAMES};
use super::storage::TextStorage;
use crate::json::replace_line_breaks;

/// Scans the text of one message as it grows.
#[derive(Clone)]
pub struct MessageScanner(EnvelopeScanner);

impl Default for MessageScanner {
    fn default() -> Self {
        MessageScanner(EnvelopeScanner::new(NAMES))
    }
}

impl MessageScanner {
    /// Scans what has been added to the text since the last call. `text` is the whole text so far.
    pub fn push(&mut self, text: &[u8]) {
        self.0.push(text);
    }

    /// What the whole text holds, if it is one JSON object. If not, [`Line::parse`] finds out what it is.
    pub fn finish(self, text: &Bytes) -> Option<Line> {
        let scanned = self.0.finish(text)?;
        let start = scanned.place.start;
        let message = text.slice(scanned.place);
        let members = scanned.members.map(|place| place.map(|place| place.start - start..place.end - start));
        Some(Envelope::from(members).into_message(&message).map_or_else(Line::Invalid, Line::One))
    }
}

/// Collects the text of one message, and scans it on the way. A handle of one word, because exchanges hold several, and are moved.
#[derive(Clone, Default)]
pub struct MessageBuffer(Option<Box<BufferContents>>);

#[derive(Clone, Default)]
struct BufferContents {
    text: TextStorage,
    scanner: MessageScanner,
}

impl MessageBuffer {
    fn contents(&mut self) -> &mut BufferContents {
        self.0.get_or_insert_default()
    }

    /// Makes room for a text of this length, in bytes.
    pub fn reserve(&mut self, length: usize) {
        self.contents().text.reserve(length);
    }

    /// How much memory the text holds, in bytes.
    pub fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |contents| contents.text.capacity())
    }

    /// Adds a part to the text.
    pub fn push(&mut self, part: &[u8]) {
        self.contents().text.extend(part);
    }

    /// Adds a part to the text, with spaces in place of line breaks.
    pub fn push_without_line_breaks(&mut self, part: &[u8]) {
        let from = self.len();
        let text = &mut self.contents().text;
        text.extend(part);
        replace_line_breaks(text.tail_mut(from));
    }

    /// Scans what has been added. To be called once for as much as arrives at once.
    pub fn scan(&mut self) {
        if let Some(contents) = &mut self.0 {
            contents.scanner.push(contents.text.as_slice());
        }
    }

    /// The whole text, and what it holds, as [`MessageScanner::finish`] knows it.
    pub fn finish(mut self) -> (Bytes, Option<Line>) {
        self.scan();
        let BufferContents { text, scanner } = *self.0.unwrap_or_default();
        let text = text.freeze();
        let line = scanner.finish(&text);
        (text, line)
    }
}

impl From<&[u8]> for MessageBuffer {
    fn from(text: &[u8]) -> MessageBuffer {
        let mut buffer = MessageBuffer::default();
        buffer.push(text);
        buffer
    }
}

impl Deref for MessageBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |contents| contents.text.as_slice())
    }
}

impl AsRef<[u8]> for MessageBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for MessageBuffer {
    fn eq(&self, other: &MessageBuffer) -> bool {
        **self == **other
    }
}

impl Eq for MessageBuffer {}

impl fmt::Debug for MessageBuffer {
    /// Names the text without its contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text holds that arrives in parts of this size.
    fn collect(text: &[u8], size: usize) -> Option<Line> {
        let mut buffer = MessageBuffer::default();
        for part in text.chunks(size) {
            buffer.push_without_line_breaks(part);
            buffer.scan();
        }
        buffer.finish().1
    }

    #[test]
    fn message_is_same_wherever_parts_end() {
        let text = "\u{feff}\r\n{\"jsonrpc\":\"2.0\",\n\"id\" : \"é\\n\", \"result\":{\"a\":[1,{}]}} \n";
        for size in 1..=text.len() {
            let Some(Line::One(message)) = collect(text.as_bytes(), size) else { panic!("parts of {size}") };
            assert_eq!(message.title(), "result \"é\\n\"", "parts of {size}");
            assert_eq!(message.body(), Some("{\"a\":[1,{}]}"), "parts of {size}");
            assert!(message.text().starts_with(b"{\"jsonrpc\":\"2.0\", \"id\""), "parts of {size}");
            assert!(message.text().ends_with(b"}}"), "parts of {size}");
        }
    }

    #[test]
    fn object_that_is_no_message_is_invalid() {
        assert!(matches!(collect(b"{\"a\":1}", 3), Some(Line::Invalid(_))));
        for text in [
            "",
            "[]",
            "[{\"id\":1,\"method\":\"x\"}]",
            "{\"id\":1,\"method\":\"x\"",
            "{\"id\":01,\"result\":1}",
        ] {
            assert!(collect(text.as_bytes(), 3).is_none(), "{text}");
        }
    }
}
