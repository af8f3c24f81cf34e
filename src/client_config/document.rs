//! The tree that a client's configuration is, whatever it is written in: members in their order, each table with its line.
//!
//! From JSON with comments and trailing commas (VS Code, Zed), and from TOML (Codex); to JSON and TOML as people write them.
//! Deliberately not here: what the members mean.

use std::collections::HashMap;

use toml::de::{DeTable, DeValue};

use crate::{json, redact};

/// How deep tables may lie in each other.
const DEPTH: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
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
pub(super) struct Table {
    /// The line that it begins in, counted from 1; 0 where it was not read.
    pub(super) line: usize,
    pub(super) members: Vec<(String, Value)>,
}

/// A text that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Counted from 1.
    pub(super) line: usize,
    /// Counted from 1, in characters.
    pub(super) column: usize,
    /// What is wrong, without quoting what stands there.
    pub(super) what: String,
}

impl Value {
    /// The string that it is, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Array(_) | Value::Table(_) | Value::Literal(_) => None,
        }
    }

    /// The table that it is, if it is one.
    pub(super) fn table(&self) -> Option<&Table> {
        match self {
            Value::Table(table) => Some(table),
            Value::Text(_) | Value::Array(_) | Value::Literal(_) => None,
        }
    }

    /// The strings of a list; none where it holds anything else.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
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
    pub(super) fn of<'name>(members: impl IntoIterator<Item = (&'name str, Value)>) -> Table {
        let members = members.into_iter().map(|(name, node)| (name.to_owned(), node)).collect();
        Table { line: 0, members }
    }

    /// A member by its name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.members.iter().rev().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// Puts a member into its place, or behind the others where there is none of this name yet.
    pub(super) fn set(&mut self, name: &str, node: Value) {
        match self.members.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = node,
            None => self.members.push((name.to_owned(), node)),
        }
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, name: &str) {
        self.members.retain(|(key, _)| key != name);
    }

    /// The table as JSON, indented; short lists stand in a line.
    pub(super) fn to_json(&self) -> String {
        let mut text = String::new();
        write_json(&Value::Table(self.clone()), 0, &mut text);
        text
    }

    /// The table as a table of TOML under this heading, with the tables in it.
    pub(super) fn to_toml(&self, heading: &[&str]) -> String {
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

/// Reads JSON, in which there may be comments and a comma behind the last element.
pub(super) fn from_json(text: &str) -> Result<Table, SyntaxError> {
    let plain = without_comments(text)?;
    let whole: &serde_json::value::RawValue = serde_json::from_str(&plain).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "it ends in the middle of a value",
            _ => "it is no JSON there (a comma, a quotation mark or a bracket is missing, or one too many)",
        };
        SyntaxError { line: error.line(), column: error.column(), what: what.to_owned() }
    })?;
    match json_node(whole.get(), &Lines::of(&plain), 0) {
        Some(Value::Table(table)) => Ok(table),
        Some(_) => Err(SyntaxError { line: 1, column: 1, what: "it is not a JSON object".to_owned() }),
        None => Err(SyntaxError { line: 1, column: 1, what: format!("it is nested more than {DEPTH} deep") }),
    }
}

/// Replaces comments and commas before a closing bracket by spaces, so that everything else stays where it is.
fn without_comments(text: &str) -> Result<String, SyntaxError> {
    let mut plain = text.as_bytes().to_vec();
    let bytes = text.as_bytes();
    let blank = |plain: &mut Vec<u8>, place: std::ops::Range<usize>| {
        let part = plain.get_mut(place).into_iter().flatten();
        part.filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    };
    if text.starts_with('\u{feff}') {
        blank(&mut plain, 0..'\u{feff}'.len_utf8());
    }
    // The last comma with something before it, and the last byte that means anything.
    let (mut at, mut comma, mut last) = (0, None, b'{');
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        at += match rest {
            [b'"', behind @ ..] => {
                (comma, last) = (None, b'"');
                string_length(behind) + 1
            }
            [b'/', b'/', ..] => {
                let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                blank(&mut plain, at..at + length);
                length
            }
            [b'/', b'*', behind @ ..] => {
                let Some(length) = memchr::memmem::find(behind, b"*/") else {
                    return Err(syntax_error(text, at, "a comment begins there and does not end"));
                };
                blank(&mut plain, at..at + length + 4);
                length + 4
            }
            [b',', ..] => {
                comma = (!matches!(last, b'{' | b'[' | b',')).then_some(at);
                last = b',';
                1
            }
            [byte, ..] if byte.is_ascii_whitespace() => 1,
            [byte, ..] => {
                if let (Some(comma), b'}' | b']') = (comma.take(), byte) {
                    blank(&mut plain, comma..comma + 1);
                }
                last = *byte;
                1
            }
            [] => break,
        };
    }
    // Whole characters were replaced, or none of their bytes.
    String::from_utf8(plain).map_err(|_| syntax_error(text, 0, "it is not UTF-8"))
}

/// How far a string goes behind its opening quotation mark, with the closing one.
fn string_length(text: &[u8]) -> usize {
    let (mut is_escaped, mut is_over) = (false, false);
    let within = text.iter().take_while(|byte| {
        let goes_on = !is_over;
        is_over = **byte == b'"' && !is_escaped;
        is_escaped = **byte == b'\\' && !is_escaped;
        goes_on
    });
    within.count()
}

/// None where it lies too deep.
fn json_node(part: &str, lines: &Lines<'_>, depth: usize) -> Option<Value> {
    if depth > DEPTH {
        return None;
    }
    Some(match part.as_bytes().first() {
        Some(b'"') => Value::Text(json::string(part).unwrap_or_default()),
        Some(b'[') => {
            let items = json::elements(part).map(|item| json_node(item, lines, depth + 1));
            Value::Array(items.collect::<Option<_>>()?)
        }
        Some(b'{') => {
            // Parts are borrowed from the whole.
            let start = (part.as_ptr() as usize).saturating_sub(lines.text.as_ptr() as usize);
            let mut table = Table { line: lines.at(start), members: Vec::new() };
            let mut places = HashMap::new();
            for (name, value) in json::members(part) {
                let node = json_node(value, lines, depth + 1)?;
                // Of two with one name the last counts, for the clients too; the other is not to be seen.
                match places.get(&name).and_then(|place: &usize| table.members.get_mut(*place)) {
                    Some((_, old)) => *old = node,
                    None => {
                        places.insert(name.clone(), table.members.len());
                        table.members.push((name, node));
                    }
                }
            }
            Value::Table(table)
        }
        Some(_) | None => Value::Literal(part.to_owned()),
    })
}

/// Reads TOML.
pub(super) fn from_toml(text: &str) -> Result<Table, SyntaxError> {
    let table = DeTable::parse(text);
    let table = table.map_err(|error| {
        syntax_error(text, error.span().map_or(0, |span| span.start), error.message().trim_end())
    })?;
    Ok(toml_table(table.get_ref(), table.span().start, &Lines::of(text)))
}

fn toml_table(table: &DeTable<'_>, start: usize, lines: &Lines<'_>) -> Table {
    let mut members: Vec<_> = table.iter().collect();
    members.sort_by_key(|(key, _)| key.span().start);
    let members = members.into_iter();
    let members = members.map(|(key, value)| {
        (key.get_ref().to_string(), toml_node(value.get_ref(), value.span(), key.span().start, lines))
    });
    Table { line: lines.at(start), members: members.collect() }
}

fn toml_node(value: &DeValue<'_>, span: std::ops::Range<usize>, key: usize, lines: &Lines<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Array(items) => {
            let items = items.iter();
            Value::Array(items.map(|item| toml_node(item.get_ref(), item.span(), key, lines)).collect())
        }
        DeValue::Table(table) => Value::Table(toml_table(table, key, lines)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            Value::Literal(lines.text.get(span).unwrap_or_default().to_owned())
        }
    }
}

/// A text, and where its lines end: a file may have as many tables as lines.
struct Lines<'text> {
    text: &'text str,
    ends: Vec<usize>,
}

impl Lines<'_> {
    fn of(text: &str) -> Lines<'_> {
        Lines { text, ends: memchr::memchr_iter(b'\n', text.as_bytes()).collect() }
    }

    /// The line that a place is in, counted from 1.
    fn at(&self, place: usize) -> usize {
        self.ends.partition_point(|end| *end < place) + 1
    }
}

fn syntax_error(text: &str, at: usize, what: &str) -> SyntaxError {
    let before = text.get(..at).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    SyntaxError { line: Lines::of(text).at(at), column, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_understood_and_lines_are_kept() {
        let text = "\u{feff}// a\n{\n  /* b\n \" */ \"mcpServers\": { // c\r\n    \"a\": {\"command\": \"x // y\", \"args\": [\"1\", \"/*\",],},\n  },\n}\n";
        let table = from_json(text).expect("JSON");
        let servers = table.get("mcpServers").and_then(Value::table).expect("servers");
        let entry = servers.get("a").and_then(Value::table).expect("a");
        assert_eq!((table.line, servers.line, entry.line), (2, 4, 5));
        assert_eq!(entry.get("command").and_then(Value::text), Some("x // y"));
        assert_eq!(entry.get("args").and_then(Value::texts), Some(vec!["1".to_owned(), "/*".to_owned()]));
    }

    #[test]
    fn strings_escape_characters_that_a_terminal_obeys() {
        let text = "a\u{202e}\u{7f}\u{9b}\u{e0001}é";
        assert_eq!(json_text(text), r#""a\u202e\u007f\u009b\udb40\udc01é""#);
        assert_eq!(json::string(&json_text(text)).as_deref(), Some(text));
        assert_eq!(toml_text(text), r#""a\u202e\u007f\u009b\U000e0001é""#);
        let table = from_toml(&format!("a = {}", toml_text(text))).expect("TOML");
        assert_eq!(table.get("a").and_then(Value::text), Some(text));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        for (text, line, column) in [
            ("{\n  \"a\": 1\n  \"b\": 2\n}", 3, 3),
            ("{\"a\": \"marked", 1, 13),
            ("{}\n/* x", 2, 1),
            ("{,}", 1, 2),
            ("", 1, 0),
            ("[1]", 1, 1),
            ("{\"a\": [1,,]}", 1, 10),
        ] {
            let fault = from_json(text).expect_err(text);
            assert_eq!((fault.line, fault.column), (line, column), "{text:?}: {}", fault.what);
            assert!(!fault.what.contains("marked"));
        }
        for (text, line) in [("a = 1\nb = \"marked", 2), ("[a]\n[a]\n", 2), ("x", 1)] {
            let fault = from_toml(text).expect_err(text);
            assert_eq!(fault.line, line, "{text:?}: {}", fault.what);
            assert!(!fault.what.contains("marked"), "{}", fault.what);
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        assert!(from_json(&deep).expect_err("too deep").what.contains("deep"));
    }

    #[test]
    fn toml_is_read_in_its_order_and_written_so_that_it_reads_the_same() {
        let text = "[mcp_servers.\"a b\"]\ncommand = 'C:\\x'\nargs = [\"é\\u007f\", \"\"\"two\nlines\"\"\"]\nstartup_timeout_sec = 20\n\
                    when = 2026-01-02\n[mcp_servers.\"a b\".env]\nZ = \"1\"\nA = \"$x %y%\"\n";
        let table = from_toml(text).expect("TOML");
        let servers = table.get("mcp_servers").and_then(Value::table).expect("servers");
        let entry = servers.get("a b").and_then(Value::table).expect("an entry");
        assert_eq!(entry.line, 1);
        let names: Vec<&str> = entry.members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["command", "args", "startup_timeout_sec", "when", "env"]);
        let written = entry.to_toml(&["mcp_servers", "a b"]);
        let again = from_toml(&written).unwrap_or_else(|fault| panic!("{fault:?} in\n{written}"));
        let again =
            again.get("mcp_servers").and_then(Value::table).and_then(|table| table.get("a b")).cloned();
        let again = again.as_ref().and_then(Value::table).expect("an entry");
        assert_eq!(
            again.get("env").and_then(Value::table).map(|env| &env.members),
            entry.get("env").and_then(Value::table).map(|env| &env.members)
        );
        assert_eq!(again.members[..4], entry.members[..4]);
    }

    #[test]
    fn of_two_members_with_one_name_the_last_is_left_in_the_place_of_the_first() {
        let table = from_json(r#"{"a": 1, "b": {"x": 1, "x": 2}, "a": 3, "\u0061": "4"}"#).expect("JSON");
        assert_eq!(table.to_json(), "{\n  \"a\": \"4\",\n  \"b\": {\n    \"x\": 2\n  }\n}");
    }

    #[test]
    fn a_file_of_many_tables_is_read_in_no_time() {
        let text = format!("{{\"a\":[\n{}{{}}]}}", "{\"b\":{}},\n".repeat(100_000));
        let table = from_json(&text).expect("JSON");
        let Some(Value::Array(items)) = table.get("a") else { panic!("a list") };
        assert_eq!(items.last().and_then(Value::table).map(|last| last.line), Some(100_002));
    }

    #[test]
    fn json_is_written_as_people_do() {
        let table = Table::of([
            ("args", Value::from_iter(&["a \"b\"".to_owned(), "C:\\x".to_owned()])),
            ("env", Value::Table(Table::default())),
            ("inputs", Value::Array(vec![Value::Table(Table::of([("id", Value::Text("x".to_owned()))]))])),
        ]);
        assert_eq!(
            table.to_json(),
            "{\n  \"args\": [\"a \\\"b\\\"\", \"C:\\\\x\"],\n  \"env\": {},\n  \"inputs\": [\n    {\n      \"id\": \"x\"\n    }\n  ]\n}"
        );
        let again = from_json(&table.to_json()).expect("JSON");
        assert_eq!(again.to_json(), table.to_json());
    }
}
