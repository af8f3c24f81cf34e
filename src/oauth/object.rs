//! JSON objects, read and written member by member: answers of endpoints, whose form varies, and texts that are hashed or
//! signed.
//!
//! Deliberately not here: documents of a fixed form (`documents`).

use serde_json::value::RawValue;

use crate::json;

/// An object, as its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'text>(&'text str);

impl<'text> Object<'text> {
    /// The object that a text is, if it is one.
    pub(super) fn parse(text: &'text str) -> Option<Object<'text>> {
        let value: &RawValue = serde_json::from_str(text).ok()?;
        value.get().starts_with('{').then(|| Object(value.get()))
    }

    /// Its text.
    pub(super) fn as_text(self) -> &'text str {
        self.0
    }

    /// A string. What is something else is not there.
    pub(super) fn text(self, name: &str) -> Option<String> {
        json::member(self.0, name).and_then(json::string)
    }

    /// A number, which some write as a string.
    pub(super) fn number(self, name: &str) -> Option<f64> {
        json::member(self.0, name)?.trim_matches('"').parse().ok()
    }

    /// Yes or no.
    pub(super) fn flag(self, name: &str) -> Option<bool> {
        json::member(self.0, name)?.parse().ok()
    }

    /// An object.
    pub(super) fn object(self, name: &str) -> Option<Object<'text>> {
        json::member(self.0, name).filter(|member| member.starts_with('{')).map(Object)
    }
}

/// An object that is being written. What is absent is left out.
#[derive(Debug, Default)]
pub(super) struct ObjectWriter(Vec<(&'static str, String)>);

impl ObjectWriter {
    /// A string.
    pub(super) fn text(self, name: &'static str, value: Option<&str>) -> ObjectWriter {
        self.raw(name, value.map(json::quoted))
    }

    /// A list of strings.
    pub(super) fn texts(self, name: &'static str, value: Option<&[String]>) -> ObjectWriter {
        self.raw(name, value.map(json::quoted_all))
    }

    /// A number.
    pub(super) fn count(self, name: &'static str, value: Option<u64>) -> ObjectWriter {
        self.raw(name, value.map(|value| value.to_string()))
    }

    /// Yes or no.
    pub(super) fn flag(self, name: &'static str, value: Option<bool>) -> ObjectWriter {
        self.raw(name, value.map(|value| value.to_string()))
    }

    /// Anything, as its text.
    pub(super) fn raw(mut self, name: &'static str, value: Option<String>) -> ObjectWriter {
        self.0.extend(value.map(|value| (name, value)));
        self
    }

    /// The object's text.
    pub(super) fn finish(self) -> String {
        json::object(self.0.iter().map(|(name, value)| (*name, value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_what_they_are_or_not_there() {
        let text = r#" {"t":"x","l":["a",1,"b"],"n":"1.5","c":7,"f":true,"o":{"t":"y"},"os":[{"t":"z"},5],"null":null} "#;
        let object = Object::parse(text).expect("an object");
        assert_eq!(
            (object.text("t").as_deref(), object.text("c"), object.text("null")),
            (Some("x"), None, None)
        );
        assert_eq!((object.number("n"), object.number("t")), (Some(1.5), None));
        assert_eq!((object.flag("f"), object.flag("c")), (Some(true), None));
        assert_eq!(object.object("o").and_then(|object| object.text("t")).as_deref(), Some("y"));
        for text in ["", "{", "[]", "5", "{} x", "<html>"] {
            assert!(Object::parse(text).is_none(), "{text}");
        }
        let written = ObjectWriter::default()
            .text("t", Some("\""))
            .text("u", None)
            .texts("l", Some(&["a".to_owned()]))
            .count("c", Some(1));
        assert_eq!(written.finish(), r#"{"t":"\"","l":["a"],"c":1}"#);
    }
}
