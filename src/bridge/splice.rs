//! Changes to the text of a message that cross from one era to the other: members put in, taken out, replaced.
//!
//! Everything that is not changed keeps its text: numbers, escapes, the order of members. Deliberately not here: which
//! members, and why.

use crate::json;
use crate::jsonrpc::{Kind, Message};

/// Puts members (`"name":value,…`) first into params, result or error; none where there is something else than an object.
pub(super) fn put_in(message: &Message, members: &str) -> Option<Message> {
    match message.body() {
        None => {
            let brace = message.text().iter().rposition(|byte| *byte == b'}')?;
            let name = match message.kind() {
                Kind::Request { .. } | Kind::Notification { .. } => "params",
                Kind::Response { .. } => "result",
            };
            Some(message.spliced(brace..brace, &format!(r#","{name}":{{{members}}}"#)))
        }
        Some("null") => {
            let place = message.place_of(message.body()?);
            Some(message.spliced(place, &format!("{{{members}}}")))
        }
        Some(body) => put_first(message, body, members),
    }
}

/// Puts members first into an object that is a part of the message.
fn put_first(message: &Message, object: &str, members: &str) -> Option<Message> {
    let inside = object.strip_prefix('{')?;
    let at = message.place_of(inside).start;
    let is_empty = inside.trim_start().starts_with('}');
    let comma = if is_empty || members.is_empty() { "" } else { "," };
    Some(message.spliced(at..at, &format!("{members}{comma}")))
}

/// Puts members first into `_meta` of params or result, which is made where it is missing.
pub(super) fn put_in_meta(message: &Message, members: &str) -> Option<Message> {
    match message.member("_meta") {
        None => put_in(message, &format!(r#""_meta":{{{members}}}"#)),
        Some(meta) if meta.starts_with('{') => put_first(message, meta, members),
        Some(meta) => Some(message.spliced(message.place_of(meta), &format!("{{{members}}}"))),
    }
}

/// Takes members out of params, result or error.
pub(super) fn take_out(message: &Message, names: &[&str]) -> Message {
    match message.body() {
        Some(body) => message.spliced(message.place_of(body), &without(body, names)),
        None => message.clone(),
    }
}

/// Takes members out of `_meta` of params or result, and `_meta` itself where nothing else is in it.
pub(super) fn take_out_of_meta(message: &Message, names: &[&str]) -> Message {
    let Some(meta) = message.member("_meta") else { return message.clone() };
    match without(meta, names).as_str() {
        "{}" => take_out(message, &["_meta"]),
        left => message.spliced(message.place_of(meta), left),
    }
}

/// Replaces the text of a part of the message.
pub(super) fn replace(message: &Message, part: &str, text: &str) -> Message {
    message.spliced(message.place_of(part), text)
}

/// An object without some of its members; the very same text where it has none of them.
pub(super) fn without(object: &str, names: &[&str]) -> String {
    let mut members = json::members(object);
    match members.any(|(name, _)| names.contains(&name.as_str())) {
        false => object.to_owned(),
        true => json::object(json::members(object).filter(|(name, _)| !names.contains(&name.as_str()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(text.to_owned().into()).expect("a message")
    }

    fn text(message: &Message) -> &str {
        std::str::from_utf8(message.text()).expect("UTF-8")
    }

    #[test]
    fn meta_members_are_inserted_into_any_params() {
        for (before, after) in [
            (r#"{"id":1,"method":"m"}"#, r#"{"id":1,"method":"m","params":{"_meta":{"k":1}}}"#),
            (r#"{"params":{ },"id":1,"method":"m"}"#, r#"{"params":{"_meta":{"k":1} },"id":1,"method":"m"}"#),
            (
                r#"{"id":1,"method":"m","params":null }"#,
                r#"{"id":1,"method":"m","params":{"_meta":{"k":1}} }"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{"a":1.0}}"#,
                r#"{"id":1,"method":"m","params":{"_meta":{"k":1},"a":1.0}}"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{"a":1, "_meta":{"t":1e400}}}"#,
                r#"{"id":1,"method":"m","params":{"a":1, "_meta":{"k":1,"t":1e400}}}"#,
            ),
            (
                r#"{"id":1,"method":"m","params":{"_meta":null}}"#,
                r#"{"id":1,"method":"m","params":{"_meta":{"k":1}}}"#,
            ),
        ] {
            let put = put_in_meta(&message(before), r#""k":1"#).unwrap_or_else(|| panic!("{before}"));
            assert_eq!(text(&put), after);
        }
        assert!(put_in_meta(&message(r#"{"id":1,"method":"m","params":[1]}"#), r#""k":1"#).is_none());
    }

    #[test]
    fn removed_members_leave_the_rest_unchanged() {
        let before = message(r#"{"id":1,"result":{"a":1.0,"_meta":{"k":1,"t":1e400},"b": "\u0041"}}"#);
        assert_eq!(
            text(&take_out_of_meta(&before, &["k"])),
            r#"{"id":1,"result":{"a":1.0,"_meta":{"t":1e400},"b": "\u0041"}}"#
        );
        assert_eq!(
            text(&take_out_of_meta(&before, &["k", "t"])),
            r#"{"id":1,"result":{"a":1.0,"b":"\u0041"}}"#
        );
        assert_eq!(text(&take_out(&before, &["x"])), text(&before));
    }
}
