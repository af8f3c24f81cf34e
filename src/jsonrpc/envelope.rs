//! The members that make an object a JSON-RPC message.
//!
//! Apart from the message because they are found in two ways: by the scanner, while the text arrives, and by `serde_json`, in a text
//! that the scanner does not accept.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Fault, Id, Kind, Message, Text};
use crate::json::{self, ObjectScanner};

/// The names of the members, in the order of [`Envelope`].
pub(super) const NAMES: [&str; 5] = ["id", "method", "params", "result", "error"];

/// Finds an envelope while its text arrives.
pub(super) type EnvelopeScanner = ObjectScanner<'static, 5>;

/// The keys of an envelope that matter here.
pub(super) enum Key {
    Id,
    Method,
    Params,
    Result,
    Error,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "id" => Key::Id,
                    "method" => Key::Method,
                    "params" => Key::Params,
                    "result" => Key::Result,
                    "error" => Key::Error,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// The members of an envelope, each as its place in the text.
#[derive(Default)]
pub(super) struct Envelope {
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    params: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

impl From<[Option<Range<usize>>; 5]> for Envelope {
    fn from([id, method, params, result, error]: [Option<Range<usize>>; 5]) -> Envelope {
        Envelope { id, method, params, result, error }
    }
}

impl Envelope {
    /// Reads any text that `serde_json` takes for an object.
    pub(super) fn parse(text: &str) -> serde_json::Result<Envelope> {
        struct EnvelopeVisitor<'text>(&'text str);
        impl<'de> Visitor<'de> for EnvelopeVisitor<'_> {
            type Value = Envelope;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON-RPC object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
                let mut envelope = Envelope::default();
                let place = |raw: &RawValue| {
                    let start = raw.get().as_ptr() as usize - self.0.as_ptr() as usize;
                    start..start + raw.get().len()
                };
                // A key that occurs twice is no error: the last one counts, and all are forwarded.
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::Id => envelope.id = Some(place(map.next_value()?)),
                        Key::Method => envelope.method = Some(place(map.next_value()?)),
                        Key::Params => envelope.params = Some(place(map.next_value()?)),
                        Key::Result => envelope.result = Some(place(map.next_value()?)),
                        Key::Error => envelope.error = Some(place(map.next_value()?)),
                        Key::Other => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(envelope)
            }
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let envelope = deserializer.deserialize_map(EnvelopeVisitor(text))?;
        deserializer.end().map(|()| envelope)
    }

    /// The message that has this envelope.
    pub(super) fn into_message(self, text: &Bytes) -> Result<Message, Fault> {
        let id = match self.id.clone().map(|place| text.slice(place)) {
            None => None,
            Some(token) if token == "null" => None,
            Some(token) if matches!(token.first(), Some(b'"' | b'-' | b'0'..=b'9')) => Some(Id(token)),
            Some(_) => return Err(Fault::invalid("the id is neither a string nor a number")),
        };
        let is_error = self.result.is_none();
        let error = self.error.clone();
        let answer = self.result.or(self.error);
        let (kind, body) = match (self.method, id) {
            (Some(_), None) if self.id.is_some() => {
                return Err(Fault::invalid("the id of a request must not be null"));
            }
            (Some(method), id) => {
                let Some(method) = text_of(method, text) else {
                    return Err(Fault { id, ..Fault::invalid("the method is not a string") });
                };
                match id {
                    Some(id) => (Kind::Request { id, method }, self.params),
                    None => (Kind::Notification { method }, self.params),
                }
            }
            // Not JSON-RPC: gateways and OAuth (RFC 6750) write errors like this, without an id.
            (None, None) if is_error && is_no_object(error, text) => {
                return Err(Fault::invalid("the error is no object"));
            }
            (None, id) if answer.is_some() => (Kind::Response { id, error: is_error }, answer),
            // Its id is not repeated: it may be an answer that lost its result, not a request.
            (None, _) => return Err(Fault::invalid("the message has no method, result or error")),
        };
        Ok(Message { kind, id: self.id, body, text: text.clone() })
    }
}

/// Returns whether there is something else than an object.
fn is_no_object(place: Option<Range<usize>>, text: &Bytes) -> bool {
    place.and_then(|place| text.get(place)).is_some_and(|value| !value.starts_with(b"{"))
}

fn text_of(place: Range<usize>, text: &Bytes) -> Option<Text> {
    let token = text.get(place)?;
    let unquoted = token.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    match unquoted.contains(&b'\\') {
        false => Some(Text(text.slice_ref(unquoted))),
        true => Some(Text(json::string(std::str::from_utf8(token).ok()?)?.into())),
    }
}
