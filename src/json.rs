//! A look into a JSON text without taking it apart: one member, the elements, a string.
//!
//! What is found is a part of the text as it was written. Deliberately not here: JSON-RPC, and writing JSON.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Replaces raw line ends by spaces. They cannot stand inside a JSON string, so the message keeps its meaning.
/// Other bytes are left alone.
pub fn flatten(text: &mut [u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let Some((end, behind)) = rest.get_mut(at..).and_then(<[u8]>::split_first_mut) else { return };
        *end = b' ';
        rest = behind;
    }
}

/// One member of a JSON object, as its text. The last of several with the same name, as most decoders have it.
pub fn member<'text>(object: &'text str, name: &str) -> Option<&'text str> {
    struct Seek<'name>(&'name str);
    impl<'de> Visitor<'de> for Seek<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(matches) = map.next_key_seed(Matches(self.0))? {
                match matches {
                    true => found = Some(map.next_value()?),
                    false => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            Ok(found)
        }
    }
    struct Matches<'name>(&'name str);
    impl<'de> serde::de::DeserializeSeed<'de> for Matches<'_> {
        type Value = bool;
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
            deserializer.deserialize_str(self)
        }
    }
    impl Visitor<'_> for Matches<'_> {
        type Value = bool;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a key")
        }
        fn visit_str<E>(self, key: &str) -> Result<bool, E> {
            Ok(key == self.0)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(object);
    deserializer.deserialize_map(Seek(name)).ok().flatten().map(RawValue::get)
}

/// The members of a JSON object, each with its name decoded and its text, in order; none where it is no object.
pub fn members(object: &str) -> Vec<(String, &str)> {
    struct All;
    impl<'de> Visitor<'de> for All {
        type Value = Vec<(String, &'de RawValue)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let members = deserializer.deserialize_map(All).unwrap_or_default();
    members.into_iter().map(|(name, value)| (name, value.get())).collect()
}

/// Puts an object together from names and JSON texts.
pub fn object<'text>(members: impl IntoIterator<Item = (&'text str, &'text str)>) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quoted(name));
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
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

/// The elements of a JSON array, as their texts; none where it is no array.
pub fn elements(array: &str) -> Vec<&str> {
    let elements: Vec<&RawValue> = serde_json::from_str(array).unwrap_or_default();
    elements.into_iter().map(RawValue::get).collect()
}

/// The string that a JSON text holds, if it is one.
pub fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_the_last_of_a_name_counts() {
        assert_eq!(member(r#"{"a":{"b":1},"b": 2 ,"b":"x"}"#, "b"), Some("\"x\""));
        assert_eq!(member(r#"{"\u0062":1}"#, "b"), Some("1"));
        assert_eq!(member("[1]", "b"), None);
    }

    #[test]
    fn elements_and_strings_are_what_they_are() {
        assert_eq!(elements(r#"[ 1.0, "a,b" ,{"c":[]}]"#), ["1.0", "\"a,b\"", "{\"c\":[]}"]);
        assert_eq!(elements("{}"), [""; 0]);
        assert_eq!((string("\"\\u0041\""), string("5")), (Some("A".to_owned()), None));
    }

    #[test]
    fn line_ends_become_spaces() {
        let mut text = b"{\r\n \"a\": \"\xc3\xa9\\n\"\n}".to_vec();
        flatten(&mut text);
        assert_eq!(text, b"{   \"a\": \"\xc3\xa9\\n\" }");
    }
}
