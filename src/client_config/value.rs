//! Values of a configuration file, whatever it is written in: members in their order, each table with its line.
//!
//! They can be written as JSON and TOML. Deliberately not here: reading and editing a file (`document`).

use std::collections::HashMap;

use crate::{json, redact};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A list.
    Array(Vec<Value>),
    /// A table.
    Table(Table),
    /// A number, a date, `true`…: as it was written.
    Literal(String),
}

/// Named values in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The line that it begins in, counted from 1; 0 where it was not read.
    pub line: usize,
    /// Names with their values, in the order of the file.
    pub members: Vec<(String, Value)>,
}

impl Value {
    /// The string that it is, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Array(_) | Value::Table(_) | Value::Literal(_) => None,
        }
    }

    /// The table that it is, if it is one.
    pub fn table(&self) -> Option<&Table> {
        match self {
            Value::Table(table) => Some(table),
            Value::Text(_) | Value::Array(_) | Value::Literal(_) => None,
        }
    }

    /// The strings of a list; none where it holds anything else.
    pub fn texts(&self) -> Option<Vec<String>> {
        match self {
            Value::Array(items) => items.iter().map(|item| item.text().map(str::to_owned)).collect(),
            Value::Text(_) | Value::Table(_) | Value::Literal(_) => None,
        }
    }
}

impl<'text> FromIterator<&'text String> for Value {
    /// A list of strings.
    fn from_iter<I: IntoIterator<Item = &'text String>>(texts: I) -> Value {
        Value::Array(texts.into_iter().cloned().map(Value::Text).collect())
    }
}

impl Table {
    /// A table with these members.
    pub fn of<'name>(members: impl IntoIterator<Item = (&'name str, Value)>) -> Table {
        let members = members.into_iter().map(|(name, node)| (name.to_owned(), node)).collect();
        Table { line: 0, members }
    }

    /// A member by its name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.iter().rev().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// All members by their names, for as many lookups as there are members.
    pub fn by_name(&self) -> HashMap<&str, &Value> {
        self.members.iter().map(|(name, node)| (name.as_str(), node)).collect()
    }

    /// Puts a member into its place, or behind the others where there is none of this name yet.
    pub fn set(&mut self, name: &str, node: Value) {
        match self.members.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = node,
            None => self.members.push((name.to_owned(), node)),
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) {
        self.members.retain(|(key, _)| key != name);
    }

    /// The table as JSON, indented; a short list takes one line.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        write_json(&Value::Table(self.clone()), 0, &mut text);
        text
    }

    /// The table as a table of TOML under this heading, with the tables in it.
    pub fn to_toml(&self, heading: &[&str]) -> String {
        let path: Vec<String> = heading.iter().map(|key| toml_key(key)).collect();
        let mut text = format!("[{}]\n", path.join("."));
        for (key, node) in self.members.iter().filter(|(_, node)| node.table().is_none()) {
            text.push_str(&format!("{} = {}\n", toml_key(key), toml_value(node)));
        }
        for (key, table) in self.members.iter().filter_map(|(key, node)| Some((key, node.table()?))) {
            let below: Vec<&str> = heading.iter().copied().chain([key.as_str()]).collect();
            text.push_str(&format!("\n{}", table.to_toml(&below)));
        }
        text
    }
}

fn write_json(node: &Value, depth: usize, text: &mut String) {
    let indent = |depth: usize| format!("\n{}", "  ".repeat(depth));
    match node {
        Value::Text(value) => text.push_str(&json_text(value)),
        Value::Literal(written) => text.push_str(written),
        Value::Array(items) if items.iter().all(|item| item.table().is_none()) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                write_json(item, depth, text);
            }
            text.push(']');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                text.push_str(&indent(depth + 1));
                write_json(item, depth + 1, text);
            }
            text.push_str(&indent(depth));
            text.push(']');
        }
        Value::Table(table) if table.members.is_empty() => text.push_str("{}"),
        Value::Table(table) => {
            text.push('{');
            for (index, (key, value)) in table.members.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                text.push_str(&indent(depth + 1));
                text.push_str(&format!("{}: ", json_text(key)));
                write_json(value, depth + 1, text);
            }
            text.push_str(&indent(depth));
            text.push('}');
        }
    }
}

fn toml_key(key: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    match !key.is_empty() && key.chars().all(is_bare) {
        true => key.to_owned(),
        false => toml_text(key),
    }
}

/// A string of JSON in which every character that does something to a terminal is escaped.
fn json_text(text: &str) -> String {
    escaped(text, |letter| {
        letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    })
}

/// The same of TOML, which has the escapes of JSON below U+10000.
fn toml_text(text: &str) -> String {
    escaped(text, |letter| match u32::from(letter) {
        code @ 0..0x10000 => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    })
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut escaped = String::new();
    for letter in json::quoted(text).chars() {
        match redact::is_unprintable(letter) {
            true => escaped.push_str(&escape(letter)),
            false => escaped.push(letter),
        }
    }
    escaped
}

fn toml_value(node: &Value) -> String {
    match node {
        Value::Text(text) => toml_text(text),
        Value::Literal(written) => written.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let member = |(key, node): &(String, Value)| format!("{} = {}", toml_key(key), toml_value(node));
            let members: Vec<String> = table.members.iter().map(member).collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_characters_that_a_terminal_interprets() {
        let text = "a\u{202e}\u{7f}\u{9b}\u{e0001}é";
        assert_eq!(json_text(text), r#""a\u202e\u007f\u009b\udb40\udc01é""#);
        assert_eq!(json::string(&json_text(text)).as_deref(), Some(text));
        assert_eq!(toml_text(text), r#""a\u202e\u007f\u009b\U000e0001é""#);
    }

    #[test]
    fn writes_short_lists_in_one_line() {
        let table = Table::of([
            ("args", Value::from_iter(&["a \"b\"".to_owned(), "C:\\x".to_owned()])),
            ("env", Value::Table(Table::default())),
            ("inputs", Value::Array(vec![Value::Table(Table::of([("id", Value::Text("x".to_owned()))]))])),
        ]);
        assert_eq!(
            table.to_json(),
            "{\n  \"args\": [\"a \\\"b\\\"\", \"C:\\\\x\"],\n  \"env\": {},\n  \"inputs\": [\n    {\n      \"id\": \"x\"\n    }\n  ]\n}"
        );
    }
}
