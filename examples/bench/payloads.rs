//! Large payloads of four kinds, the same in the server and in the bench, so that answers can be compared byte by byte.
//!
//! Random, but the same in every run. Deliberately not here: the messages around them (`messages`).

use std::fmt::Write;

/// What a large message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A file in Base64: one string without escapes.
    Base64,
    /// Lines of logs: line breaks, tabs, quotes and backslashes, all escaped.
    Log,
    /// Prose in Cyrillic, Chinese and German.
    Prose,
    /// Objects and arrays with many short names and values.
    Structure,
}

impl Payload {
    /// Its name in tables and requests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Payload::Base64 => "base64",
            Payload::Log => "log lines",
            Payload::Prose => "prose",
            Payload::Structure => "structure",
        }
    }

    /// A JSON value of about this size in bytes. With `line_break` it has lines, which end with a comma and this text.
    pub(crate) fn value(self, size: usize, line_break: Option<&str>) -> String {
        let mut value =
            Value { text: String::with_capacity(size + 4096), random: Random(0x9E37_79B9_7F4A_7C15) };
        let item_size = if line_break.is_some() { LINE } else { size };
        let item_size = if self == Payload::Structure { 1 } else { item_size };
        value.text.push('[');
        // Line breaks do not count: they are written in several ways.
        let mut broken = 0;
        while value.text.len() - broken < size {
            if value.text.len() > 1 {
                value.text.push(',');
                value.text.push_str(line_break.unwrap_or_default());
                broken += line_break.map_or(0, str::len);
            }
            value.item(self, item_size);
        }
        value.text.push(']');
        value.text
    }
}

/// The length of a line of a payload that has lines, in bytes.
const LINE: usize = 1000;

const WORDS: [&str; 14] = [
    "request",
    "took",
    "upstream",
    "cache",
    "miss",
    "connection",
    "reset",
    "retry",
    "worker",
    "queue",
    "flushed",
    "table",
    "scan",
    "commit",
];
const RUSSIAN: [&str; 9] = ["съешь", "ещё", "этих", "мягких", "французских", "булок", "да", "выпей", "чаю"];
const CHINESE: [&str; 8] = [
    "的一是在不了",
    "有和人这中大",
    "为上个国我以",
    "要他时来用们",
    "生到作地于出",
    "就分对成会可",
    "主发年动同工",
    "也能下过子说",
];
const GERMAN: [&str; 9] =
    ["Die", "größten", "Möglichkeiten", "für", "Änderungen", "übertrafen", "alle", "Erwartungen", "außer"];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Xorshift64: fast, and predictable, which does no harm here.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % bound
    }
}

struct Value {
    text: String,
    random: Random,
}

impl Value {
    /// Adds an item of an array, of this size or a little more.
    fn item(&mut self, payload: Payload, size: usize) {
        if payload == Payload::Structure {
            return self.row();
        }
        let end = self.text.len() + size;
        self.text.push_str(r#"{"type":"text","text":""#);
        while self.text.len() < end {
            match payload {
                Payload::Base64 => (0..64).for_each(|_| self.base64_digit()),
                Payload::Log => self.log_line(),
                Payload::Prose | Payload::Structure => self.sentence(),
            }
        }
        self.text.push_str("\"}");
    }

    fn base64_digit(&mut self) {
        let digit = BASE64[self.random.below(64)];
        self.text.push(char::from(digit));
    }

    fn words(&mut self, words: &[&str], count: usize) {
        for at in 0..count {
            if at > 0 {
                self.text.push(' ');
            }
            self.text.push_str(words[self.random.below(words.len())]);
        }
    }

    fn log_line(&mut self) {
        let number = self.random.below(10_000);
        match self.random.below(4) {
            0 => {
                let _ = write!(
                    self.text,
                    r#"2026-05-11T12:{:02}:09.{number:04}Z INFO [worker-7] GET \"/api/items/{number}?q="#,
                    number % 60
                );
                self.words(&WORDS, 1);
                self.text.push_str(r#"\" 200 17ms\n"#);
            }
            1 => {
                self.text.push_str(r"2026-05-11 WARN\tC:\\srv\\logs\\");
                self.words(&WORDS, 9);
                self.text.push_str(r"\r\n");
            }
            2 => {
                self.text.push_str(r#"{\"level\":\"error\",\"message\":\""#);
                self.words(&WORDS, 8);
                let _ = write!(self.text, r#"\",\"code\":{number}}}\n"#);
            }
            _ => {
                self.text.push_str("    at ");
                self.words(&WORDS, 12);
                let _ = write!(self.text, r" (line {number})\n");
            }
        }
    }

    fn sentence(&mut self) {
        match self.random.below(3) {
            0 => self.words(&RUSSIAN, 12),
            1 => self.words(&CHINESE, 6),
            _ => self.words(&GERMAN, 14),
        }
        self.text.push_str(r".\n");
    }

    fn row(&mut self) {
        let (number, kind) = (self.random.below(100_000), self.random.below(WORDS.len()));
        let _ = write!(
            self.text,
            r#"{{"nr":{number},"on":{},"name":"{}","tags":["a","bc"],"at":{{"x":-{},"y":{}.5}},"next":null,"sub":[{{"k":{kind},"v":[[{}]]}}]}}"#,
            number % 2 == 0,
            WORDS[kind],
            number % 99,
            number % 10,
            number % 7,
        );
    }
}
