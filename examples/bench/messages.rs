//! What is said: the same lines to every contender, and the same texts back.
//!
//! Texts look like what tools return: lines of prose, JSON-escaped. One tool, which is told how much to say. Deliberately
//! not here: HTTP (`server`, `direct`) and pipes (`program`).

use crate::payloads::Payload;

/// The session that the server names and everybody repeats.
pub(crate) const SESSION: &str = "7e57ab1e-0000-4000-8000-000000000001";
/// The revision that is spoken.
pub(crate) const REVISION: &str = "2025-11-25";
/// The first line of a client.
pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
/// The second.
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
/// The size of a small message, in bytes.
pub(crate) const SMALL: usize = 1000;
/// A line of a text as it stands inside a JSON string: 80 bytes, and its end is no half of an escape at any multiple.
const LINE: &str = "A tool answers with text: paths, tables, \\\"quoted words\\\" and 12345678 digits.\\n";

/// A text of this size, as it stands inside a JSON string.
pub(crate) fn text(size: usize) -> String {
    let mut text = LINE.repeat(size / LINE.len());
    text.extend(std::iter::repeat_n('.', size - text.len()));
    text
}

/// What large messages hold.
pub(crate) const PAYLOADS: [Payload; 4] = [Payload::Base64, Payload::Log, Payload::Prose, Payload::Structure];
/// The head of a large answer, before its id.
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":"#;

/// What a call asks for, or brings along, that is large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Large {
    pub(crate) payload: Payload,
    /// In bytes.
    pub(crate) size: usize,
    /// Whether it has many lines.
    pub(crate) has_lines: bool,
}

impl Large {
    /// The order for the server: one word after the other.
    fn order(self) -> String {
        format!("{}/{}/{}", self.payload.name(), self.size, self.has_lines)
    }

    /// Reads an order.
    pub(crate) fn ordered(order: &str) -> Option<Large> {
        let mut words = order.trim_matches('"').split('/');
        let name = words.next()?;
        let payload = PAYLOADS.into_iter().find(|payload| payload.name() == name)?;
        Some(Large { payload, size: words.next()?.parse().ok()?, has_lines: words.next()? == "true" })
    }

    /// The result that the server sends, with this text for each line break.
    pub(crate) fn result(self, line_break: &str) -> String {
        let name = match self.payload {
            Payload::Structure => r#""content":[],"structuredContent""#,
            _ => r#""content""#,
        };
        let value = self.payload.value(self.size, self.has_lines.then_some(line_break));
        format!("{{{name}:{value}}}")
    }

    /// The line of a call that asks for it.
    pub(crate) fn call(self, id: usize) -> String {
        let order = self.order();
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"say","arguments":{{"large":"{order}"}}}}}}"#
        )
    }

    /// The answer to it: line breaks have become spaces.
    pub(crate) fn answer(self, id: usize) -> String {
        format!("{ANSWER}{id},\"result\":{}}}", self.result(" "))
    }

    /// The line of a call that brings it along, and asks for little.
    pub(crate) fn request(self, id: usize) -> String {
        let value = self.payload.value(self.size, None);
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"say","arguments":{{"wanted":1,"value":{value}}}}}}}"#
        )
    }

    /// The answer to that.
    pub(crate) fn small_answer(id: usize) -> String {
        format!(r#"{ANSWER}{id},"result":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#, text(1))
    }
}

/// The parts of a call around its id: `said` bytes go to the tool, which is to answer with `wanted` bytes.
pub(crate) struct Call {
    tail: String,
}

impl Call {
    /// A call of the tool.
    pub(crate) fn new(said: usize, wanted: usize) -> Call {
        let text = text(said);
        let tail = format!(
            r#","method":"tools/call","params":{{"name":"say","arguments":{{"wanted":{wanted},"text":"{text}"}}}}}}"#
        );
        Call { tail }
    }

    /// The line of the call with this id, without its end.
    pub(crate) fn line(&self, id: usize) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id}{}"#, self.tail)
    }
}
