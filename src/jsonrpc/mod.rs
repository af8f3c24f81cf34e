//! The JSON-RPC envelope over raw text: [`Message`], [`Id`], [`ErrorObject`].
//!
//! A message is the bytes it arrived in plus the few ranges the bridge looks at (id, method, and the text of params,
//! result or error). Nothing is decoded that is not asked for and nothing is ever encoded again, so numbers, key order,
//! duplicate keys and unknown members leave as they came. There is deliberately no document tree here, and no MCP:
//! what a method means is the bridge's affair.

mod buffer;
mod envelope;
mod error;
mod id;
mod leading_zeros;
mod line;
mod storage;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use envelope::{Envelope, EnvelopeScanner, Key, NAMES};

pub use buffer::{MessageBuffer, MessageScanner};
pub use error::{
    ErrorData, ErrorObject, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR,
};
pub use id::Id;

pub use line::{BATCH_LIMIT, Line};

use crate::json;

/// The largest message carried in either direction, in bytes.
pub const MESSAGE_LIMIT: usize = 256 * 1024 * 1024;
/// What a message costs beside its text while it waits to be sent, in bytes: its envelope, its place in the ledger and in the
/// maps by which it is found (about 1 KiB), and the error with its line in the log that it gets should the process end,
/// which takes time rather than memory.
const MESSAGE_OVERHEAD: usize = 4 * 1024;
/// What is said of a larger one.
const TOO_MANY: &str = "the limit of mcp-tether is 1000";
/// How much of the beginning and of the end of a text that is not UTF-8 is searched for an id, in bytes.
const ID_SEARCH_LENGTH: usize = 64 * 1024;
/// How much of a name is shown in logs, in characters.
const LONGEST_NAME: usize = 200;

/// What a message is, in JSON-RPC's terms.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Asks for an answer.
    Request {
        /// The id its answer carries.
        id: Id,
        /// The method, unescaped.
        method: Text,
    },
    /// Asks for nothing.
    Notification {
        /// The method, unescaped.
        method: Text,
    },
    /// Answers a request.
    Response {
        /// The id of the request; none when it was absent or null (an error that could not be matched).
        id: Option<Id>,
        /// Whether it carries an error instead of a result.
        error: bool,
    },
}

/// A short string that shares the message's buffer where it can.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Bytes);

impl Text {
    /// The string.
    #[expect(clippy::expect_used, reason = "a text is made from checked UTF-8")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a text is made from checked UTF-8")
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// One JSON-RPC message: its text as it came, and where the envelope's parts stand in it. Cloning is cheap.
#[derive(Clone)]
pub struct Message {
    text: Bytes,
    kind: Kind,
    /// Where the value of `id` stands, when there is one (also null).
    id: Option<Range<usize>>,
    /// Where params, result or error stand: whichever the kind has.
    body: Option<Range<usize>>,
}

impl fmt::Debug for Message {
    /// Names the message without its contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.title(), self.text.len())
    }
}

impl Message {
    /// Reads the envelope of one message.
    ///
    /// # Errors
    /// A [`Fault`] when the text is not UTF-8, not JSON, or JSON but not a JSON-RPC message.
    pub fn parse(text: Bytes) -> Result<Message, Fault> {
        let mut scanner = EnvelopeScanner::new(NAMES);
        scanner.push(&text);
        match scanner.finish(&text) {
            Some(scanned) if scanned.place == (0..text.len()) => {
                Envelope::from(scanned.members).into_message(&text)
            }
            Some(_) | None => Message::parse_slowly(&text),
        }
    }

    /// The same for a text that the scanner does not accept.
    fn parse_slowly(text: &Bytes) -> Result<Message, Fault> {
        let checked = check_utf8(text)?;
        Envelope::parse(checked).map_err(|error| Fault::from_json(checked, &error))?.into_message(text)
    }

    /// The text as it came.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// What it costs while it waits to be sent, in bytes of memory.
    pub fn cost(&self) -> usize {
        self.text.len().saturating_add(MESSAGE_OVERHEAD)
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        match &self.kind {
            Kind::Request { method, .. } | Kind::Notification { method } => Some(method.as_str()),
            Kind::Response { .. } => None,
        }
    }

    /// A name for logs: the method, or what it answers, each of it cut off where it is very long; never its contents.
    pub fn title(&self) -> Cow<'_, str> {
        match &self.kind {
            Kind::Request { id, method } => {
                format!("request {} {}", short(id.as_json()), short(method.as_str())).into()
            }
            Kind::Notification { method } => short(method.as_str()),
            Kind::Response { id: Some(id), error: false } => format!("result {}", short(id.as_json())).into(),
            Kind::Response { id: Some(id), error: true } => format!("error {}", short(id.as_json())).into(),
            Kind::Response { id: None, .. } => "error without an id".into(),
        }
    }

    /// The JSON text of params, result or error.
    pub fn body(&self) -> Option<&str> {
        let range = self.body.clone()?;
        simdutf8::basic::from_utf8(self.text.get(range)?).ok()
    }

    /// One member of params, result or error, as JSON text.
    pub fn member(&self, name: &str) -> Option<&str> {
        json::member(self.body()?, name)
    }

    /// The requestId of a cancellation (params.requestId), where it has a usable one.
    pub fn request_id_param(&self) -> Option<Id> {
        let token = self.member("requestId")?;
        matches!(token.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9'))
            .then(|| Id(self.text.slice_ref(token.as_bytes())))
    }

    /// The same message with other text in a place of it. Panics if that is no message any more.
    #[expect(clippy::expect_used, reason = "a part of a message is replaced by its like")]
    pub fn spliced(&self, place: Range<usize>, text: &str) -> Message {
        let (before, behind) = (self.text.get(..place.start), self.text.get(place.end..));
        let text = [before.unwrap_or_default(), text.as_bytes(), behind.unwrap_or_default()].concat();
        Message::parse(text.into()).expect("a part of a message was replaced by its like")
    }

    /// Where a part of this message, as [`Message::body`] and [`Message::member`] give it, stands in its text.
    pub fn place_of(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        start..start + part.len()
    }

    /// The same request or response under another id.
    pub fn with_id(&self, id: &Id) -> Message {
        let token = id.as_json();
        match &self.id {
            Some(place) => self.spliced(place.clone(), token),
            None => {
                // A message is an object.
                let brace = memchr::memchr(b'{', &self.text).map_or(0, |brace| brace + 1);
                self.spliced(brace..brace, &format!("\"id\":{token},"))
            }
        }
    }

    /// An error response. Without an id it says `"id":null`, which JSON-RPC asks for where the id is unknown.
    #[expect(clippy::expect_used, reason = "it is made from an id, strings and numbers")]
    pub fn error(id: Option<&Id>, error: &ErrorObject) -> Message {
        let id = id.map_or("null", Id::as_json);
        let error = serde_json::to_string(error).expect("strings and numbers always serialize");
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
        Message::parse(text.into()).expect("made from an id and a serialized object")
    }
}

/// Why a text is not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Fault {
    /// The JSON-RPC code that says so.
    pub code: i64,
    /// What is wrong and where, without quoting the contents.
    pub reason: String,
    /// The id of the request, where it could be made out.
    pub id: Option<Id>,
    /// The ids of the requests in a batch that is refused as a whole: each is answered with the same error.
    pub requests: Vec<Id>,
}

impl Fault {
    /// JSON, but not a JSON-RPC message.
    pub fn invalid(reason: impl Into<String>) -> Fault {
        Fault { code: INVALID_REQUEST, reason: reason.into(), id: None, requests: Vec::new() }
    }

    /// A batch beyond [`BATCH_LIMIT`], of which the first elements were kept; `count` says how many there are.
    fn too_many(elements: &[&RawValue], count: &str) -> Fault {
        let requests = elements.iter().filter_map(|raw| {
            let mut envelope = PartialEnvelope::default();
            serde_json::Deserializer::from_str(raw.get()).deserialize_map(&mut envelope).ok()?;
            envelope.request_id()
        });
        let reason = format!("the batch has {count} messages; {TOO_MANY}");
        Fault { requests: requests.collect(), ..Fault::invalid(reason) }
    }

    /// Returns whether it is a batch beyond [`BATCH_LIMIT`].
    pub fn is_too_many(&self) -> bool {
        self.reason.ends_with(TOO_MANY)
    }

    /// A line beyond [`MESSAGE_LIMIT`], of which the first and the last part were kept.
    pub fn too_long(head: &[u8], tail: &[u8]) -> Fault {
        let limit = MESSAGE_LIMIT / 1024 / 1024;
        Fault {
            code: INVALID_REQUEST,
            reason: format!("the message is longer than {limit} MiB, the limit of mcp-tether"),
            id: recover_id(head, tail),
            requests: Vec::new(),
        }
    }

    fn from_json(text: &str, error: &serde_json::Error) -> Fault {
        // A data error means well-formed JSON of the wrong type; anything else is not JSON.
        if error.is_data() && serde_json::from_str::<IgnoredAny>(text).is_ok() {
            return Fault::invalid("the JSON is not a JSON-RPC object");
        }
        let place = format!("line {} column {}", error.line(), error.column());
        let reason = match text.is_empty() {
            true => "the text is empty".to_owned(),
            false if error.is_eof() => format!("the JSON ends early, at {place}"),
            false => format!("the text is not JSON, at {place}"),
        };
        Fault { code: PARSE_ERROR, reason, id: None, requests: Vec::new() }
    }
}

/// A name for a log. A very long one is cut before the word that does not fit, because half of a secret would not be
/// recognized and redacted.
fn short(name: &str) -> Cow<'_, str> {
    let Some((end, _)) = name.char_indices().nth(LONGEST_NAME) else { return printable(name) };
    let fits = name.get(..end).unwrap_or_default();
    let words = fits.rfind(['/', ' ', '"']).and_then(|last| fits.get(..=last)).unwrap_or_default();
    format!("{}…", printable(words)).into()
}

/// A name that cannot break out of its line in a log.
fn printable(name: &str) -> Cow<'_, str> {
    match name.chars().any(char::is_control) {
        true => name.escape_debug().to_string().into(),
        false => name.into(),
    }
}

fn check_utf8(text: &[u8]) -> Result<&str, Fault> {
    simdutf8::compat::from_utf8(text).map_err(|error| Fault {
        code: PARSE_ERROR,
        reason: format!("byte {} of the message is not UTF-8", error.valid_up_to() + 1),
        id: recover_id(
            text.get(..ID_SEARCH_LENGTH).unwrap_or(text),
            text.get(text.len().saturating_sub(ID_SEARCH_LENGTH)..).unwrap_or_default(),
        ),
        requests: Vec::new(),
    })
}

/// Finds the id of a request that cannot be read as a whole: before or after its params. Nothing is found unless the
/// beginning shows a method, for an answer to something that was no request would hit another one.
fn recover_id(head: &[u8], tail: &[u8]) -> Option<Id> {
    let mut envelope = PartialEnvelope::default();
    let head = String::from_utf8_lossy(head);
    let is_whole = (&mut serde_json::Deserializer::from_str(&head)).deserialize_map(&mut envelope).is_ok();
    if envelope.id.is_none() && !is_whole {
        envelope.id = id_at_the_end(&String::from_utf8_lossy(tail));
    }
    envelope.request_id()
}

/// The id that stands behind the params, as the TypeScript SDK writes it.
fn id_at_the_end(tail: &str) -> Option<String> {
    let at = tail.rfind("\"id\"")?;
    let members = format!("{{{}", tail.get(at..)?);
    let mut envelope = PartialEnvelope::default();
    let mut deserializer = serde_json::Deserializer::from_str(&members);
    deserializer.deserialize_map(&mut envelope).ok()?;
    // What follows would mean that the object with the id stands inside the params.
    deserializer.end().ok()?;
    envelope.id
}

/// What was read of an envelope before it broke off.
#[derive(Default)]
struct PartialEnvelope {
    id: Option<String>,
    method: bool,
}

impl PartialEnvelope {
    /// The id, where it is that of a request.
    fn request_id(self) -> Option<Id> {
        let token = self.id.filter(|_| self.method)?;
        matches!(token.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9')).then(|| Id(token.into()))
    }
}

impl<'de> Visitor<'de> for &mut PartialEnvelope {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key()? {
            match key {
                Key::Id => self.id = Some(map.next_value::<&RawValue>()?.get().to_owned()),
                Key::Method => {
                    map.next_value::<IgnoredAny>()?;
                    self.method = true;
                }
                Key::Params | Key::Result | Key::Error | Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Message, Fault> {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn id(token: &str) -> Id {
        Id(Bytes::copy_from_slice(token.as_bytes()))
    }

    #[test]
    fn kinds_are_told_apart_and_ids_keep_their_token() {
        for (text, title) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request 1 ping"),
            (r#"{"method":"ping","id":18446744073709551615000}"#, "request 18446744073709551615000 ping"),
            (r#"{"id":1.50,"method":"ping"}"#, "request 1.50 ping"),
            (r#"{"id":"1","method":"ping","params":{"id":2,"method":"x"}}"#, "request \"1\" ping"),
            (r#"{"id":"","method":"p\u0069ng"}"#, "request \"\" ping"),
            (r#"{"method":"notifications/initialized"}"#, "notifications/initialized"),
            (r#"{"id":7,"result":{"deep":[[[1e400]]]}}"#, "result 7"),
            (r#"{"id":7,"error":{"code":1}}"#, "error 7"),
            (r#"{"id":null,"error":{"code":1}}"#, "error without an id"),
            (r#"{"error":{"code":1}}"#, "error without an id"),
            (r#"{"id":1,"id":2,"method":"a","method":"b","x":1,"x":2}"#, "request 2 b"),
        ] {
            assert_eq!(
                parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}")).title(),
                title,
                "{text}"
            );
        }
    }

    #[test]
    fn title_of_a_long_name_is_short() {
        let long = "x".repeat(100_000);
        for (text, title) in [
            (format!(r#"{{"id":"{long}","method":"a/{long}"}}"#), "request \"… a/…"),
            (format!(r#"{{"id":"{long}","result":{{}}}}"#), "result \"…"),
            (format!(r#"{{"id":"{long}","error":{{"code":1,"message":""}}}}"#), "error \"…"),
            (format!(r#"{{"method":"é {long}"}}"#), "é …"),
            (format!(r#"{{"method":"{}"}}"#, "é".repeat(200)), &"é".repeat(200)),
        ] {
            assert_eq!(parse(&text).unwrap_or_else(|fault| panic!("{fault}")).title(), title);
        }
        assert!(
            parse(&format!(r#"{{"method":"{}"}}"#, "\\u001b ".repeat(999)))
                .is_ok_and(|message| message.title().len() < 999)
        );
    }

    #[test]
    fn what_is_no_message_is_named() {
        for (text, code, reason) in [
            ("", PARSE_ERROR, "the text is empty"),
            ("hello", PARSE_ERROR, "the text is not JSON, at line 1 column 1"),
            (r#"{"id":1,"method":"#, PARSE_ERROR, "the JSON ends early, at line 1 column 17"),
            (r#"{"id":1,"method":"x"} tail"#, PARSE_ERROR, "the text is not JSON, at line 1 column 23"),
            ("5", INVALID_REQUEST, "the JSON is not a JSON-RPC object"),
            ("{}", INVALID_REQUEST, "the message has no method, result or error"),
            (r#"{"error":"invalid_token"}"#, INVALID_REQUEST, "the error is no object"),
            (r#"{"id":null,"error":7}"#, INVALID_REQUEST, "the error is no object"),
            (r#"{"id":null,"method":"x"}"#, INVALID_REQUEST, "the id of a request must not be null"),
            (r#"{"id":{},"method":"x"}"#, INVALID_REQUEST, "the id is neither a string nor a number"),
            (r#"{"id":1,"method":5}"#, INVALID_REQUEST, "the method is not a string"),
        ] {
            let fault = parse(text).expect_err(text);
            assert_eq!((fault.code, fault.reason.as_str()), (code, reason), "{text}");
        }
    }

    #[test]
    fn unreadable_request_keeps_visible_id() {
        let ids = |head: &str, tail: &str| {
            Fault::too_long(head.as_bytes(), tail.as_bytes()).id.map(|id| id.to_string())
        };
        assert_eq!(ids(r#"{"id":"a","method":"x","params":{"t":"aaa"#, "").as_deref(), Some("\"a\""));
        assert_eq!(
            ids(r#"{"method":"x","params":"#, r#"aaa"},"jsonrpc":"2.0","id":12}"#).as_deref(),
            Some("12")
        );
        assert_eq!(
            ids(r#"{"method":"x","params":"#, r#"aaa"},"id":12,"jsonrpc":"2.0"}"#).as_deref(),
            Some("12")
        );
        assert_eq!(ids(r#"{"id":3,"result":"#, r#"aaa"}"#), None, "a response is not answered");
        assert_eq!(ids(r#"{"method":"x","params":"#, r#"{\"id\":12}"}}"#), None);
        assert_eq!(ids(r#"{"method":"x","params":"#, r#"{"a":1,"id":12}}"#), None, "inside the params");
        let whole = r#"{"method":"n","params":{"x":1,"id":5}}"#;
        assert_eq!(ids(whole, whole), None, "a notification has no id");

        let fault = Message::parse(Bytes::from_static(b"{\"id\":4,\"method\":\"x\",\"params\":\"\xff\"}"))
            .expect_err("not UTF-8");
        assert_eq!(fault.reason, "byte 32 of the message is not UTF-8");
        assert_eq!(fault.id.map(|id| id.to_string()).as_deref(), Some("4"));
    }

    #[test]
    fn a_batch_is_taken_apart_element_by_element() {
        let Line::Batch(elements) = Line::parse(Bytes::from_static(b" [{\"id\":1,\"method\":\"a\"}, 5 ]\r"))
        else {
            panic!("not a batch");
        };
        assert_eq!(elements[0].as_ref().expect("a request").text().as_ref(), br#"{"id":1,"method":"a"}"#);
        assert_eq!(elements[1].as_ref().expect_err("a number").code, INVALID_REQUEST);
        assert!(matches!(Line::parse(Bytes::from_static(b"[]")), Line::Invalid(_)));
        assert!(matches!(
            Line::parse(Bytes::from_static(b"[1")),
            Line::Invalid(Fault { code: PARSE_ERROR, .. })
        ));
    }

    #[test]
    fn batch_element_does_not_keep_others_in_memory() {
        let text =
            format!(r#"[{{"id":1,"method":"a"}},{{"method":"b","params":"{}"}}]"#, "x".repeat(100_000));
        let text = Bytes::from(text);
        let (start, end) = (text.as_ptr() as usize, text.as_ptr() as usize + text.len());
        let Line::Batch(elements) = Line::parse(text.clone()) else { panic!("not a batch") };
        for element in elements {
            let place = element.expect("a message").text().as_ptr() as usize;
            assert!(place < start || place > end, "it is a part of the batch");
        }
    }

    #[test]
    fn batch_beyond_the_limit_is_refused_with_its_count() {
        let many = |element: &str, count: usize| format!("[{}]", vec![element; count].join(","));
        let within = Line::parse(many("0", BATCH_LIMIT).into());
        assert!(matches!(&within, Line::Batch(elements) if elements.len() == BATCH_LIMIT), "{within:?}");
        let requests =
            r#"{"id":1,"method":"a"},{"id":"b","method":"a","params":[{}]},{"id":3,"result":{}},7,"#;
        let beyond = many("[[],{}]", BATCH_LIMIT).replacen('[', &format!("[{requests}"), 1);
        // What stands behind the limit is only counted, be it JSON or not.
        for (text, count) in
            [(beyond.clone(), "has 1004 messages"), (beyond + " broken", "has at least 1004 messages")]
        {
            let Line::Invalid(fault) = Line::parse(text.into()) else { panic!("not refused") };
            let ids: Vec<String> = fault.requests.iter().map(ToString::to_string).collect();
            assert_eq!(ids, ["1", "\"b\""]);
            assert!(fault.is_too_many() && fault.reason.contains(count), "{fault}");
            assert_eq!((fault.code, fault.id), (INVALID_REQUEST, None));
        }
    }

    #[test]
    fn message_excludes_white_space_and_byte_order_mark() {
        let Line::One(message) = Line::parse(Bytes::from_static(b"\xEF\xBB\xBF {\"method\":\"a\"} \r"))
        else {
            panic!("not a message");
        };
        assert_eq!(message.text().as_ref(), br#"{"method":"a"}"#);
    }

    #[test]
    fn restores_id_in_place_or_in_front() {
        let with = |text: &str| {
            let message = parse(text).expect("a response").with_id(&id("\"q\""));
            String::from_utf8(message.text().to_vec()).expect("UTF-8")
        };
        assert_eq!(with(r#"{ "id" : null , "error":{}}"#), r#"{ "id" : "q" , "error":{}}"#);
        assert_eq!(with(r#"{"jsonrpc":"2.0","error":{}}"#), r#"{"id":"q","jsonrpc":"2.0","error":{}}"#);
    }

    #[test]
    fn ids_that_were_decoded_on_the_way_are_recognised() {
        assert!(id("1.0").is_same_value(&id("1")));
        assert!(id("9007199254740993").is_same_value(&id("9007199254740992")));
        assert!(id(r#""\u0041""#).is_same_value(&id("\"A\"")));
        for text in ["\"1\"", "\"01\"", "\" 1\"", "\"1.0\"", "\"1e0\""] {
            assert!(id("1").is_same_value(&id(text)) && id(text).is_same_value(&id("1")), "{text}");
        }
        for text in ["\"\"", "\"1a\"", "\"2\"", "\"inf\"", "\"0x1\"", "\"1 1\""] {
            assert!(!id("1").is_same_value(&id(text)), "{text}");
        }
        assert!(!id("\"1\"").is_same_value(&id("\"01\"")));
        assert!(!id("1").is_same_value(&id("2")));
        let escaped = format!("\"{}\"", r"\u0041".repeat(100));
        assert!(id(&escaped).is_same_value(&id(&format!("\"{}\"", "A".repeat(100)))));
        assert!(!id(&escaped).is_same_value(&id(&format!("\"{}\"", "A".repeat(99)))));
    }

    #[test]
    fn ids_of_lengths_that_cannot_match_are_not_decoded() {
        let long = id(&format!("\"{}\"", "x".repeat(8 << 20)));
        let number = id(&"1".repeat(8 << 20));
        let own: Vec<Id> = (0..1_000).map(|own| id(&own.to_string())).chain([id("\"a\"")]).collect();
        assert!(!own.iter().any(|own| own.is_same_value(&long) || own.is_same_value(&number)));
        assert!(number.is_same_value(&number.clone()), "the text is the same");
        assert!(!id("1").is_same_value(&id(&format!("1.{}", "0".repeat(500)))), "too long a number");
        assert!(id("1").is_same_value(&id(&format!("1.{}", "0".repeat(300)))));
    }

    #[test]
    fn the_request_of_a_cancellation_is_found() {
        let cancelled =
            parse(r#"{"method":"notifications/cancelled","params":{"requestId":1e2}}"#).expect("ok");
        assert_eq!(cancelled.request_id_param(), Some(id("1e2")));
    }
}
