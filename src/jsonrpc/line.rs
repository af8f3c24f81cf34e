//! What one line, event or body holds: a message, a batch of them, or nothing usable.
//!
//! Apart from the message because a batch is bounded by what its elements cost.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::leading_zeros::without_leading_zeros;
use super::{Fault, Message, PARSE_ERROR, check_utf8};

/// The largest number of messages in one batch, in either direction. An array of two-byte elements would otherwise cost
/// a hundred times its size.
pub const BATCH_LIMIT: usize = 1_000;
/// How many elements of an array that is too long are counted: its error names the count, and counting takes time.
const COUNTED: usize = 2_000_000;

/// What one line, one event or one body holds.
#[derive(Debug)]
pub enum Line {
    /// One message.
    One(Message),
    /// A JSON array of messages (revision 2025-03-26), each element on its own.
    Batch(Vec<Result<Message, Fault>>),
    /// Nothing usable.
    Invalid(Fault),
}

impl Line {
    /// The same of a server, which may write the id of a message with leading zeros (`01`).
    pub fn parse_tolerantly(text: Bytes) -> Line {
        match Line::parse(text.clone()) {
            Line::Invalid(fault) if fault.code == PARSE_ERROR => match without_leading_zeros(&text) {
                Some(text) => Message::parse(trim(text)).map_or(Line::Invalid(fault), Line::One),
                None => Line::Invalid(fault),
            },
            line => line,
        }
    }

    /// Reads one line, event or body. White space around it and a byte order mark are not part of it.
    pub fn parse(text: Bytes) -> Line {
        let text = trim(text);
        if text.first() != Some(&b'[') {
            return Message::parse(text).map_or_else(Line::Invalid, Line::One);
        }
        Line::parse_batch(&text)
    }

    fn parse_batch(text: &Bytes) -> Line {
        let elements = check_utf8(text).and_then(|checked| {
            let mut elements = BatchElements::default();
            let mut deserializer = serde_json::Deserializer::from_str(checked);
            let read = deserializer.deserialize_seq(&mut elements).and_then(|()| deserializer.end());
            match read {
                Ok(()) if elements.further == 0 => Ok(elements.found),
                Ok(()) => Err(Fault::too_many(&elements.found, &elements.count().to_string())),
                // What stands behind them is no JSON, or was not looked at.
                Err(_) if elements.further > 0 => {
                    Err(Fault::too_many(&elements.found, &format!("at least {}", elements.count())))
                }
                Err(error) => Err(Fault::from_json(checked, &error)),
            }
        });
        match elements {
            Err(fault) => Line::Invalid(fault),
            Ok(elements) if elements.is_empty() => Line::Invalid(Fault::invalid("an empty batch")),
            // Each in a buffer of its own: one that waits would hold on to all of them.
            Ok(elements) => Line::Batch(
                elements
                    .iter()
                    .map(|raw| Message::parse(Bytes::copy_from_slice(raw.get().as_bytes())))
                    .collect(),
            ),
        }
    }
}

/// The elements of an array up to [`BATCH_LIMIT`], and the number of those behind it.
#[derive(Default)]
struct BatchElements<'text> {
    found: Vec<&'text RawValue>,
    further: usize,
}

impl BatchElements<'_> {
    fn count(&self) -> usize {
        self.found.len().saturating_add(self.further)
    }
}

impl<'de> Visitor<'de> for &mut BatchElements<'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while self.found.len() < BATCH_LIMIT {
            let Some(element) = sequence.next_element()? else { return Ok(()) };
            self.found.push(element);
        }
        while self.further < COUNTED && sequence.next_element::<IgnoredAny>()?.is_some() {
            self.further = self.further.saturating_add(1);
        }
        Ok(())
    }
}

fn trim(text: Bytes) -> Bytes {
    let trimmed = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text).trim_ascii();
    text.slice_ref(trimmed)
}
