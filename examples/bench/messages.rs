//! What is said: the same lines to every contender, and the same texts back.
//!
//! Texts look like what tools return: lines of prose, JSON-escaped. One tool, which is told how much to say. Deliberately
//! not here: HTTP (`server`, `direct`) and pipes (`program`).

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
/// The size of the largest text, in bytes.
pub(crate) const LARGEST: usize = 50_000_000;

/// A line of a text as it stands inside a JSON string: 80 bytes, and its end is no half of an escape at any multiple.
const LINE: &str = "A tool answers with text: paths, tables, \\\"quoted words\\\" and 12345678 digits.\\n";

/// A text of this size, as it stands inside a JSON string.
pub(crate) fn text(size: usize) -> String {
    let mut text = LINE.repeat(size / LINE.len());
    text.extend(std::iter::repeat_n('.', size - text.len()));
    text
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
