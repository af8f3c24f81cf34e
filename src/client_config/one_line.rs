//! Edits of JSON objects in one line, which stay in one line.
//!
//! Deliberately not here: objects that are spread over lines (`document`).

use std::ops::Range;

use jsonc_parser::{CollectOptions, ParseOptions, ast, parse_to_ast};

use super::value::{Table, Value};
use crate::json;

/// Writes an entry at a path of a text, and returns the new text. None where the object to change is not in one line, or
/// where its members cannot be told from its comments: then the text is edited member by member.
pub(super) fn set_entry(text: &str, path: &[&str], entry: &Table, options: &ParseOptions) -> Option<String> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), options).ok()?;
    let Some(ast::Value::Object(mut object)) = parsed.value else { return None };
    let mut rest = path;
    while let [name, below @ ..] = rest {
        let at = object.properties.iter().position(|property| property.name.as_str() == *name);
        let Some(at) = at else { break };
        let ast::Value::Object(next) = object.properties.swap_remove(at).value else { return None };
        object = next;
        rest = below;
    }
    let written = text.get(object.range.start..object.range.end)?;
    if written.contains(['\n', '\r']) || written.contains("/*") {
        return None;
    }
    let style = LineStyle::of(written);
    let [name, below @ ..] = rest else {
        return Some(spliced(text, object.range.start..object.range.end, &style.table(entry)));
    };
    let value = below
        .iter()
        .rev()
        .fold(Value::Table(entry.clone()), |inner, name| Value::Table(Table::of([(*name, inner)])));
    let member = style.member(name, &value);
    let Some(last) = object.properties.last() else {
        // An empty object is spread over lines, unless the whole file is one line.
        let is_one_line = path.len() > rest.len() && !text.trim().contains('\n');
        let style = LineStyle::of(text);
        return is_one_line.then(|| {
            let (start, end) = style.braces();
            let object_text = format!("{start}{}{end}", style.member(name, &value));
            spliced(text, object.range.start..object.range.end, &object_text)
        });
    };
    let behind = text.get(last.range.end..object.range.end.checked_sub(1)?)?;
    let separator = match behind.trim() {
        "" => style.comma(),
        "," => style.comma().trim_start_matches(','),
        _ => return None,
    };
    let at = last.range.end.checked_add(behind.trim_end().len())?;
    let end = if behind.trim() == "," { "," } else { "" };
    Some(spliced(text, at..at, &format!("{separator}{member}{end}")))
}

fn spliced(text: &str, range: Range<usize>, new: &str) -> String {
    let (before, behind) = (text.get(..range.start), text.get(range.end..));
    format!("{}{new}{}", before.unwrap_or_default(), behind.unwrap_or_default())
}

/// The spaces of an object in one line.
#[derive(Clone, Copy)]
struct LineStyle {
    inside_braces: bool,
    behind_colon: bool,
    behind_comma: bool,
}

impl LineStyle {
    fn of(written: &str) -> LineStyle {
        let has_members = written.contains(':');
        LineStyle {
            inside_braces: written.trim_start().starts_with("{ "),
            behind_colon: !has_members || written.contains("\": "),
            behind_comma: !written.contains(',') && written.contains("\": ") || written.contains(", "),
        }
    }

    fn comma(self) -> &'static str {
        if self.behind_comma { ", " } else { "," }
    }

    fn braces(self) -> (&'static str, &'static str) {
        if self.inside_braces { ("{ ", " }") } else { ("{", "}") }
    }

    fn member(self, name: &str, value: &Value) -> String {
        let colon = if self.behind_colon { ": " } else { ":" };
        format!("{}{colon}{}", json::quoted(name), self.value(value))
    }

    fn table(self, table: &Table) -> String {
        if table.members.is_empty() {
            return "{}".to_owned();
        }
        let members: Vec<String> =
            table.members.iter().map(|(name, value)| self.member(name, value)).collect();
        let (start, end) = self.braces();
        format!("{start}{}{end}", members.join(self.comma()))
    }

    fn value(self, value: &Value) -> String {
        match value {
            Value::Text(text) => json::quoted(text),
            Value::Literal(written) => written.clone(),
            Value::Table(table) => self.table(table),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| self.value(item)).collect();
                format!("[{}]", items.join(self.comma()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_in_one_line_stays_in_one_line() {
        let entry = Table::of([
            ("command", Value::Text("x".to_owned())),
            ("args", Value::from_iter(&["a".to_owned(), "b".to_owned()])),
        ]);
        let set = |text: &str| set_entry(text, &["mcpServers", "n"], &entry, &ParseOptions::default());
        for (text, expected) in [
            (
                r#"{"mcpServers":{"a":{"command":"y"}}}"#,
                Some(r#"{"mcpServers":{"a":{"command":"y"},"n":{"command":"x","args":["a","b"]}}}"#),
            ),
            (
                r#"{"mcpServers": {"n": {"command": "npx", "args": []}}, "z": 1}"#,
                Some(r#"{"mcpServers": {"n": {"command": "x", "args": ["a", "b"]}}, "z": 1}"#),
            ),
            (
                r#"{ "mcpServers": {} }"#,
                Some(r#"{ "mcpServers": { "n": { "command": "x", "args": ["a", "b"] } } }"#),
            ),
            (r#"{"z":1}"#, Some(r#"{"z":1,"mcpServers":{"n":{"command":"x","args":["a","b"]}}}"#)),
            (
                "{\n  \"mcpServers\": { \"a\": {}, },\n}\n",
                Some(
                    "{\n  \"mcpServers\": { \"a\": {}, \"n\": { \"command\": \"x\", \"args\": [\"a\", \"b\"] }, },\n}\n",
                ),
            ),
            ("{}", None),
            ("{\n  \"mcpServers\": {}\n}\n", None),
            ("{\"mcpServers\": {\"a\": 1 /* , */}}", None),
            ("{\"mcpServers\": {\n}}", None),
        ] {
            assert_eq!(set(text).as_deref(), expected, "{text}");
        }
    }
}
