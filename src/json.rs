//! A look into a JSON text without taking it apart: one member, the elements, a string.
//!
//! What is found is a part of the text as it was written.

mod scanner;
mod strings;

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use scanner::{ObjectScanner, ScannedObject};

/// Replaces raw line ends by spaces. They cannot stand inside a JSON string, so the message keeps its meaning.
/// Other bytes are left alone.
pub fn replace_line_breaks(text: &mut [u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let Some((end, behind)) = rest.get_mut(at..).and_then(<[u8]>::split_first_mut) else { return };
        *end = b' ';
        rest = behind;
    }
}

/// One member of a JSON object, as its text. The last of several with the same name, as most decoders have it.
pub fn member<'text>(object: &'text str, name: &str) -> Option<&'text str> {
    struct MemberVisitor<'name>(&'name str);
    impl<'de> Visitor<'de> for MemberVisitor<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(matches) = map.next_key_seed(NameMatcher(self.0))? {
                match matches {
                    true => found = Some(map.next_value()?),
                    false => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            Ok(found)
        }
    }
    struct NameMatcher<'name>(&'name str);
    impl<'de> serde::de::DeserializeSeed<'de> for NameMatcher<'_> {
        type Value = bool;
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
            deserializer.deserialize_str(self)
        }
    }
    impl Visitor<'_> for NameMatcher<'_> {
        type Value = bool;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a key")
        }
        fn visit_str<E>(self, key: &str) -> Result<bool, E> {
            Ok(key == self.0)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(object);
    deserializer.deserialize_map(MemberVisitor(name)).ok().flatten().map(RawValue::get)
}

/// The members of a JSON object, each with its name decoded and its text, in order; none where it is no object. Nothing is
/// gathered: an object of a million members costs no memory. The text has to be JSON; if not, it ends where it is not.
pub fn members(object: &str) -> Members<'_> {
    Members(Parts { rest: object, opening: '{', closing: '}' })
}

/// See [`members`].
#[derive(Clone, Debug)]
pub struct Members<'text>(Parts<'text>);

impl<'text> Iterator for Members<'text> {
    type Item = (String, &'text str);

    fn next(&mut self) -> Option<(String, &'text str)> {
        self.0.begin()?;
        let name: &RawValue = self.0.value()?;
        // A name with half a surrogate pair is no string of ours, and must not hide what stands behind it.
        let name = string(name.get()).unwrap_or_else(|| name.get().to_owned());
        self.0.rest = self.0.rest.trim_ascii_start().strip_prefix(':')?;
        let value: &RawValue = self.0.value()?;
        Some((name, value.get()))
    }
}

impl Default for Members<'_> {
    fn default() -> Self {
        members("")
    }
}

/// Puts an object together from names and JSON texts.
pub fn object(members: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quoted(name.as_ref()));
        text.push(':');
        text.push_str(value.as_ref());
    }
    text.push('}');
    text
}

/// Puts an array together from JSON texts.
pub fn array(elements: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::from("[");
    for element in elements {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(element.as_ref());
    }
    text.push(']');
    text
}

/// The JSON text of a string.
#[expect(clippy::expect_used, reason = "a string always serializes")]
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serializes")
}

/// The JSON text of a list of strings.
pub fn quoted_all<'text>(texts: impl IntoIterator<Item = &'text String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(","))
}

/// The members of a JSON object that a user typed; none if it is not JSON.
pub fn typed_members(object: &str) -> Vec<(String, &str)> {
    match serde_json::from_str::<IgnoredAny>(object) {
        Ok(_) => members(object).collect(),
        Err(_) => Vec::new(),
    }
}

/// The elements of a JSON array, as their texts; none where it is no array. Nothing is gathered. The text has to be JSON.
pub fn elements(array: &str) -> Elements<'_> {
    Elements(Parts { rest: array, opening: '[', closing: ']' })
}

/// See [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'text>(Parts<'text>);

impl<'text> Iterator for Elements<'text> {
    type Item = &'text str;

    fn next(&mut self) -> Option<&'text str> {
        self.0.begin()?;
        let element: &RawValue = self.0.value()?;
        Some(element.get())
    }
}

impl Default for Elements<'_> {
    fn default() -> Self {
        elements("")
    }
}

/// An array or object that is read part by part.
#[derive(Clone, Debug)]
struct Parts<'text> {
    rest: &'text str,
    /// What stands before the next part: the opening bracket, then commas.
    opening: char,
    closing: char,
}

impl<'text> Parts<'text> {
    /// Goes to the next part, if there is one.
    fn begin(&mut self) -> Option<()> {
        let rest = self.rest.trim_ascii_start().strip_prefix(self.opening)?.trim_ascii_start();
        self.rest = rest;
        self.opening = ',';
        (!rest.starts_with(self.closing)).then_some(())
    }

    /// Reads a value, and goes behind it.
    fn value<T: Deserialize<'text>>(&mut self) -> Option<T> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter();
        let value = values.next()?.ok()?;
        self.rest = self.rest.get(values.byte_offset()..)?;
        Some(value)
    }
}

/// The string that a JSON text holds, if it is one.
pub fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_members_and_takes_last_of_a_name() {
        assert_eq!(member(r#"{"a":{"b":1},"b": 2 ,"b":"x"}"#, "b"), Some("\"x\""));
        assert_eq!(member(r#"{"\u0062":1}"#, "b"), Some("1"));
        assert_eq!(member("[1]", "b"), None);
    }

    #[test]
    fn elements_and_strings_are_what_they_are() {
        let all = |array| elements(array).collect::<Vec<_>>();
        assert_eq!(all(r#"[ 1.0, "a,b" ,{"c":[]}]"#), ["1.0", "\"a,b\"", "{\"c\":[]}"]);
        assert_eq!(all(" [\n1\t,null , true,[[]],-2e3 ] "), ["1", "null", "true", "[[]]", "-2e3"]);
        for none in ["{}", "[]", "[ ]", "", "5", "\"[1]\""] {
            assert_eq!(all(none), [""; 0], "{none}");
        }
        assert_eq!((string("\"\\u0041\""), string("5")), (Some("A".to_owned()), None));
    }

    #[test]
    fn members_are_read_in_order_with_their_names_decoded() {
        let all = |object| members(object).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(all(r#"{"\ud800":1,"a":2}"#), [r#""\ud800"=1"#, "a=2"]);
        assert_eq!(all(r#" { "a" : 1 ,"\u0062":"x:}", "a":{"c":2}} "#), ["a=1", "b=\"x:}\"", "a={\"c\":2}"]);
        for none in ["[]", "{}", "{ }", "", "\"{}\""] {
            assert_eq!(all(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn typed_text_that_is_no_json_has_no_members() {
        assert_eq!(typed_members(r#"{"a":1,"b":2}"#).len(), 2);
        assert_eq!(typed_members(r#"{"a":1,"b":2"#).len(), 0);
    }

    #[test]
    fn line_ends_become_spaces() {
        let mut text = b"{\r\n \"a\": \"\xc3\xa9\\n\"\n}".to_vec();
        replace_line_breaks(&mut text);
        assert_eq!(text, b"{   \"a\": \"\xc3\xa9\\n\" }");
    }
}
