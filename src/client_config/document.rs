//! A client's configuration file: JSON with comments and trailing commas (VS Code, Zed), or TOML (Codex).
//!
//! [`read`] returns its values with their lines. [`Document`] edits single entries and keeps everything else byte for byte:
//! comments, order, indentation, line endings and byte order mark. Deliberately not here: what the members mean.

mod lists;

use std::collections::HashMap;
use std::fmt;

use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use jsonc_parser::{CollectOptions, ParseOptions, ast, errors::ParseError, parse_to_ast};
use toml_edit::{DocumentMut, Item, TableLike};

use self::lists::is_same;
use super::one_line;
use super::value::{Table, Value};

/// How deep tables may lie in each other.
const DEPTH: usize = 64;

/// Extensions of JSON beyond RFC 8259: comments, and a comma after the last element.
const JSON: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON with comments and trailing commas.
    Json,
    /// TOML 1.1.
    Toml,
}

/// A file that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The fault, without text of the file.
    pub what: String,
}

/// A file that cannot be edited.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file cannot be read.
    #[error("line {}, column {}: {}", .0.line, .0.column, .0.what)]
    Syntax(SyntaxError),
    /// The parser does not give the text back as it was, for example because line endings are mixed.
    #[error("its line endings are mixed or its form is unusual")]
    NotKept,
    /// The whole file is something else than a table.
    #[error("it does not hold a table")]
    NoTable,
    /// A member on the way to the entry holds something else than a table.
    #[error("its member {0} is not a table")]
    NotTable(String),
    /// A member is there twice, so that it is unclear which one counts.
    #[error("its member {0} is there twice")]
    Duplicate(String),
    /// A value that this format cannot hold, such as null in TOML.
    #[error("a value of the entry cannot be written in this format")]
    Value,
}

/// Reads a whole file.
///
/// # Errors
/// [`SyntaxError`] for a text that is not of this format, whose root is not a table, or that is nested too deep.
pub fn read(text: &str, format: Format) -> Result<Table, SyntaxError> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    match format {
        Format::Json => read_json(text),
        Format::Toml => read_toml(text),
    }
}

/// The byte order mark, which some editors write.
const BOM: char = '\u{feff}';

fn read_json(text: &str) -> Result<Table, SyntaxError> {
    let options = CollectOptions::default();
    let parsed = parse_to_ast(text, &options, &JSON).map_err(|error| json_error(&error))?;
    let error = |what: &str| SyntaxError { line: 1, column: 1, what: what.to_owned() };
    let Some(root) = parsed.value else { return Err(error("it is empty")) };
    match json_value(root, &Lines::of(text), 0) {
        Some(Value::Table(table)) => Ok(table),
        Some(_) => Err(error("it is not a JSON object")),
        None => Err(error(&format!("it is nested more than {DEPTH} deep"))),
    }
}

fn json_error(parse_error: &ParseError) -> SyntaxError {
    use jsonc_parser::errors::ParseErrorKind;
    let what = match parse_error.kind() {
        // This one quotes the file.
        ParseErrorKind::String(_) => "a string is not valid JSON".to_owned(),
        kind => format!("it is not valid JSON ({})", kind.to_string().to_lowercase()),
    };
    SyntaxError { line: parse_error.line_display(), column: parse_error.column_display(), what }
}

/// None where it is nested too deep.
fn json_value(value: ast::Value<'_>, lines: &Lines<'_>, depth: usize) -> Option<Value> {
    if depth > DEPTH {
        return None;
    }
    Some(match value {
        ast::Value::StringLit(text) => Value::Text(text.value.into_owned()),
        ast::Value::NumberLit(number) => Value::Literal(number.value.to_owned()),
        ast::Value::BooleanLit(boolean) => Value::Literal(boolean.value.to_string()),
        ast::Value::NullKeyword(_) => Value::Literal("null".to_owned()),
        ast::Value::Array(array) => {
            let items = array.elements.into_iter().map(|item| json_value(item, lines, depth + 1));
            Value::Array(items.collect::<Option<_>>()?)
        }
        ast::Value::Object(object) => {
            let mut table = Table { line: lines.at(object.range.start), members: Vec::new() };
            let mut places = HashMap::new();
            for property in object.properties {
                let name = property.name.into_string();
                let value = json_value(property.value, lines, depth + 1)?;
                // Of two with one name the last counts, for the clients too; the other is not to be seen.
                match places.get(&name).and_then(|place: &usize| table.members.get_mut(*place)) {
                    Some((_, old)) => *old = value,
                    None => {
                        places.insert(name.clone(), table.members.len());
                        table.members.push((name, value));
                    }
                }
            }
            Value::Table(table)
        }
    })
}

fn read_toml(text: &str) -> Result<Table, SyntaxError> {
    let document = toml_edit::Document::parse(text).map_err(|error| toml_error(text, &error))?;
    Ok(toml_table(document.as_table(), 0, &Lines::of(text)))
}

fn toml_error(text: &str, error: &toml_edit::TomlError) -> SyntaxError {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    SyntaxError { line: Lines::of(text).at(at), column, what: error.message().trim_end().to_owned() }
}

/// `start` is where its key is: a table can be written in several places.
fn toml_table(table: &dyn TableLike, start: usize, lines: &Lines<'_>) -> Table {
    let mut members = Vec::new();
    for (name, item) in table.iter() {
        let key = table.key(name).and_then(toml_edit::Key::span).map_or(start, |span| span.start);
        members.push((key, name, item));
    }
    members.sort_by_key(|(key, _, _)| *key);
    let members = members.into_iter().map(|(key, name, item)| (name.to_owned(), toml_item(item, key, lines)));
    Table { line: lines.at(start), members: members.collect() }
}

fn toml_item(item: &Item, key: usize, lines: &Lines<'_>) -> Value {
    match item {
        Item::Value(value) => toml_value(value, key, lines),
        Item::Table(table) => Value::Table(toml_table(table, key, lines)),
        Item::ArrayOfTables(tables) => {
            Value::Array(tables.iter().map(|table| Value::Table(toml_table(table, key, lines))).collect())
        }
        Item::None => Value::Literal(String::new()),
    }
}

fn toml_value(value: &toml_edit::Value, key: usize, lines: &Lines<'_>) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Array(items) => {
            Value::Array(items.iter().map(|item| toml_value(item, key, lines)).collect())
        }
        toml_edit::Value::InlineTable(table) => Value::Table(toml_table(table, key, lines)),
        toml_edit::Value::Integer(_)
        | toml_edit::Value::Float(_)
        | toml_edit::Value::Boolean(_)
        | toml_edit::Value::Datetime(_) => {
            let written = value.span().and_then(|span| lines.text.get(span));
            Value::Literal(written.map_or_else(|| value.to_string().trim().to_owned(), str::to_owned))
        }
    }
}

/// A file whose entries can be read, set and removed. Its text is that of [`fmt::Display`].
#[derive(Debug)]
pub struct Document {
    has_bom: bool,
    /// Every line of a TOML file ends with `\r\n`. The parser of JSON keeps them by itself.
    has_crlf: bool,
    /// The last line of a TOML file has no end.
    is_open: bool,
    tree: Tree,
}

#[derive(Debug)]
enum Tree {
    Json(CstRootNode),
    Toml(Box<DocumentMut>),
}

impl Document {
    /// Parses a whole file.
    ///
    /// # Errors
    /// [`EditError::Syntax`] as [`read`]; [`EditError::NotKept`] for a text that would change without being edited.
    pub fn parse(text: &str, format: Format) -> Result<Document, EditError> {
        read(text, format).map_err(EditError::Syntax)?;
        let (has_bom, plain) = match text.strip_prefix(BOM) {
            Some(plain) => (true, plain),
            None => (false, text),
        };
        let has_crlf = format == Format::Toml && plain.contains("\r\n");
        let is_open = format == Format::Toml && !plain.is_empty() && !plain.ends_with('\n');
        let tree = match format {
            Format::Json => {
                let root = CstRootNode::parse(plain, &JSON);
                Tree::Json(root.map_err(|error| EditError::Syntax(json_error(&error)))?)
            }
            Format::Toml => {
                let unix = plain.replace("\r\n", "\n") + if is_open { "\n" } else { "" };
                let parsed = unix.parse::<DocumentMut>();
                Tree::Toml(Box::new(parsed.map_err(|error| EditError::Syntax(toml_error(&unix, &error)))?))
            }
        };
        let document = Document { has_bom, has_crlf, is_open, tree };
        if document.to_string() == text { Ok(document) } else { Err(EditError::NotKept) }
    }

    /// Returns the table at a path of member names; none where there is none.
    pub fn entry(&self, path: &[&str]) -> Option<Table> {
        let format = match self.tree {
            Tree::Json(_) => Format::Json,
            Tree::Toml(_) => Format::Toml,
        };
        let mut table = read(&self.to_string(), format).ok()?;
        for name in path {
            table = table.get(name).and_then(Value::table)?.clone();
        }
        Some(table)
    }

    /// Writes an entry at a path. Members that stay as they are keep their text, comments included; tables on the way that are
    /// missing are made. A JSON object in one line stays in one line.
    ///
    /// # Errors
    /// [`EditError`]; the document is unchanged then.
    pub fn set_entry(&mut self, path: &[&str], entry: &Table) -> Result<(), EditError> {
        let old = self.entry(path);
        match &mut self.tree {
            Tree::Json(root) => set_json_entry(root, path, old.as_ref(), entry),
            Tree::Toml(document) => set_toml_entry(document, path, old.as_ref(), entry),
        }
    }

    /// Removes the member at a path with its comments on the same line. Returns whether it was there.
    ///
    /// # Errors
    /// [`EditError::Duplicate`]; the document is unchanged then.
    pub fn remove_entry(&mut self, path: &[&str]) -> Result<bool, EditError> {
        let Some((name, above)) = path.split_last() else { return Ok(false) };
        Ok(match &mut self.tree {
            Tree::Json(root) => {
                let mut object = root.object_value();
                for name in above {
                    let Some(found) = object else { break };
                    object = unique(&found, name)?.and_then(|property| property.object_value());
                }
                let property = object.map(|object| unique(&object, name)).transpose()?.flatten();
                let is_there = property.is_some();
                if let Some(property) = property {
                    property.remove();
                }
                is_there
            }
            Tree::Toml(document) => {
                let mut table: Option<&mut dyn TableLike> = Some(document.as_table_mut());
                for name in above {
                    table = table.and_then(|table| table.get_mut(name)?.as_table_like_mut());
                }
                table.is_some_and(|table| table.remove(name).is_some())
            }
        })
    }
}

/// Sets an entry of a JSON document.
fn set_json_entry(
    root: &mut CstRootNode,
    path: &[&str],
    old: Option<&Table>,
    entry: &Table,
) -> Result<(), EditError> {
    // Nodes are shared: everything that can fail comes before the first change.
    let input = json_input(&Value::Table(entry.clone()))?;
    let mut object = root.object_value().ok_or(EditError::NoTable)?;
    let (mut rest, mut is_there) = (path, true);
    while let [name, below @ ..] = rest {
        match unique(&object, name)? {
            Some(property) => {
                let next = property.object_value();
                object = next.ok_or_else(|| EditError::NotTable((*name).to_owned()))?;
                rest = below;
            }
            None => {
                is_there = false;
                break;
            }
        }
    }
    if is_there {
        lists::unique_below(&object, entry)?;
    }
    if let Some(text) = one_line::set_entry(&root.to_string(), path, entry, &JSON) {
        let parsed = CstRootNode::parse(&text, &JSON);
        *root = parsed.map_err(|error| EditError::Syntax(json_error(&error)))?;
        return Ok(());
    }
    match (is_there, rest) {
        (false, [name, below @ ..]) => {
            let input = below
                .iter()
                .rev()
                .fold(input, |inner, name| CstInputValue::Object(vec![((*name).to_owned(), inner)]));
            object.append(name, input);
        }
        _ => update_json(&object, old, entry)?,
    }
    Ok(())
}

/// Sets an entry of a TOML document. The document changes as a whole or not at all.
fn set_toml_entry(
    document: &mut DocumentMut,
    path: &[&str],
    old: Option<&Table>,
    entry: &Table,
) -> Result<(), EditError> {
    let mut changed = document.clone();
    let Some((name, above)) = path.split_last() else { return Err(EditError::Value) };
    let mut table: &mut dyn TableLike = changed.as_table_mut();
    for name in above {
        if table.get(name).is_none() {
            let mut missing = toml_edit::Table::new();
            missing.set_implicit(true);
            table.insert(name, Item::Table(missing));
        }
        let below = table.get_mut(name).and_then(Item::as_table_like_mut);
        table = below.ok_or_else(|| EditError::NotTable((*name).to_owned()))?;
    }
    match table.get_mut(name) {
        Some(item) => {
            let table = item.as_table_like_mut();
            let table = table.ok_or_else(|| EditError::NotTable((*name).to_owned()))?;
            update_toml(table, old, entry)?;
        }
        None => drop(table.insert(name, toml_table_item(entry)?)),
    }
    *document = changed;
    Ok(())
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_bom {
            write!(f, "{BOM}")?;
        }
        match &self.tree {
            Tree::Json(root) => write!(f, "{root}"),
            Tree::Toml(document) => {
                let text = document.to_string();
                let text = text.strip_suffix('\n').filter(|_| self.is_open).unwrap_or(&text);
                match self.has_crlf {
                    true => f.write_str(&text.replace('\n', "\r\n")),
                    false => f.write_str(text),
                }
            }
        }
    }
}

/// The property of a name; none where there is none.
fn unique(object: &CstObject, name: &str) -> Result<Option<jsonc_parser::cst::CstObjectProp>, EditError> {
    let is_named =
        |property: &jsonc_parser::cst::CstObjectProp| property.decoded_name().as_deref() == Some(name);
    let mut found = object.properties().into_iter().filter(is_named);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(EditError::Duplicate(name.to_owned())),
        (first, _) => Ok(first),
    }
}

/// Makes an object hold what a table holds. Members that hold it already keep their text.
fn update_json(object: &CstObject, old: Option<&Table>, new: &Table) -> Result<(), EditError> {
    let (old, wanted) = (old.map(Table::by_name).unwrap_or_default(), new.by_name());
    let mut written = HashMap::new();
    for property in object.properties() {
        if let Some(name) = property.decoded_name()
            && let Some((name, _)) = wanted.get_key_value(name.as_str())
            && written.insert(*name, property).is_some()
        {
            return Err(EditError::Duplicate((*name).to_owned()));
        }
    }
    for property in object.properties() {
        if property.decoded_name().is_none_or(|name| !wanted.contains_key(name.as_str())) {
            property.remove();
        }
    }
    for (name, value) in &new.members {
        let before = old.get(name.as_str()).copied();
        if before.is_some_and(|before| is_same(before, value)) {
            continue;
        }
        let Some(property) = written.get(name.as_str()) else {
            object.append(name, json_input(value)?);
            continue;
        };
        match (property.object_value(), before.and_then(Value::table), value) {
            (Some(below), Some(before), Value::Table(table)) => update_json(&below, Some(before), table)?,
            _ if lists::update_json(property, before, value)? => {}
            _ => property.clone().set_value(json_input(value)?),
        }
    }
    Ok(())
}

fn json_input(value: &Value) -> Result<CstInputValue, EditError> {
    Ok(match value {
        Value::Text(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(json_input).collect::<Result<_, _>>()?),
        Value::Table(table) => {
            let member = |(name, value): &(String, Value)| Ok((name.clone(), json_input(value)?));
            CstInputValue::Object(table.members.iter().map(member).collect::<Result<_, EditError>>()?)
        }
        Value::Literal(written) => match written.as_str() {
            "true" => CstInputValue::Bool(true),
            "false" => CstInputValue::Bool(false),
            "null" => CstInputValue::Null,
            number if serde_json::from_str::<serde_json::Number>(number).is_ok() => {
                CstInputValue::Number(number.to_owned())
            }
            _ => return Err(EditError::Value),
        },
    })
}

/// The same for TOML.
fn update_toml(table: &mut dyn TableLike, old: Option<&Table>, new: &Table) -> Result<(), EditError> {
    let (old, wanted) = (old.map(Table::by_name).unwrap_or_default(), new.by_name());
    let names: Vec<String> = table.iter().map(|(name, _)| name.to_owned()).collect();
    for name in names.iter().filter(|name| !wanted.contains_key(name.as_str())) {
        table.remove(name);
    }
    for (name, value) in &new.members {
        let before = old.get(name.as_str()).copied();
        if before.is_some_and(|before| is_same(before, value)) {
            continue;
        }
        match (table.get_mut(name), value) {
            (Some(item), Value::Table(below)) if item.is_table_like() => {
                if let Some(table) = item.as_table_like_mut() {
                    update_toml(table, before.and_then(Value::table), below)?;
                }
            }
            (Some(Item::Value(written)), _) => {
                if let toml_edit::Value::Array(list) = written
                    && lists::update_toml(list, before, value)?
                {
                    continue;
                }
                let mut value = toml_input(value)?;
                *value.decor_mut() = written.decor().clone();
                *written = value;
            }
            (_, Value::Table(below)) => drop(table.insert(name, toml_table_item(below)?)),
            _ => drop(table.insert(name, Item::Value(toml_input(value)?))),
        }
    }
    Ok(())
}

fn toml_table_item(table: &Table) -> Result<Item, EditError> {
    let mut item = toml_edit::Table::new();
    for (name, value) in &table.members {
        let value = match value {
            Value::Table(below) => toml_table_item(below)?,
            value => Item::Value(toml_input(value)?),
        };
        item.insert(name, value);
    }
    Ok(Item::Table(item))
}

fn toml_input(value: &Value) -> Result<toml_edit::Value, EditError> {
    Ok(match value {
        Value::Text(text) => toml_edit::Value::from(text.as_str()),
        Value::Array(items) => {
            let mut array = toml_edit::Array::new();
            for item in items {
                array.push(toml_input(item)?);
            }
            toml_edit::Value::Array(array)
        }
        Value::Table(table) => {
            let mut inline = toml_edit::InlineTable::new();
            for (name, value) in &table.members {
                inline.insert(name, toml_input(value)?);
            }
            toml_edit::Value::InlineTable(inline)
        }
        Value::Literal(written) => written.parse().map_err(|_| EditError::Value)?,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_comments_and_trailing_commas_and_keeps_lines() {
        let text = "\u{feff}// a\n{\n  /* b\n \" */ \"mcpServers\": { // c\r\n    \"a\": {\"command\": \"x // y\", \"args\": [\"1\", \"/*\",],},\n  },\n}\n";
        let table = read(text, Format::Json).expect("JSON");
        let servers = table.get("mcpServers").and_then(Value::table).expect("servers");
        let entry = servers.get("a").and_then(Value::table).expect("a");
        assert_eq!((table.line, servers.line, entry.line), (2, 4, 5));
        assert_eq!(entry.get("command").and_then(Value::text), Some("x // y"));
        assert_eq!(entry.get("args").and_then(Value::texts), Some(vec!["1".to_owned(), "/*".to_owned()]));
    }

    #[test]
    fn invalid_file_is_refused_with_line_and_column() {
        for (text, line, column) in [
            ("{\n  \"a\": 1\n  \"b\": 2\n}", 2, 9),
            ("{\"a\": \"marked", 1, 7),
            ("{}\n/* x", 2, 1),
            ("{,}", 1, 2),
            ("", 1, 1),
            ("[1]", 1, 1),
            ("{\"a\": [1,,]}", 1, 10),
        ] {
            let fault = read(text, Format::Json).expect_err(text);
            assert_eq!((fault.line, fault.column), (line, column), "{text:?}: {}", fault.what);
            assert!(!fault.what.contains("marked"));
        }
        for (text, line) in [("a = 1\nb = \"marked", 2), ("[a]\n[a]\n", 2), ("x", 1)] {
            let fault = read(text, Format::Toml).expect_err(text);
            assert_eq!(fault.line, line, "{text:?}: {}", fault.what);
            assert!(!fault.what.contains("marked"), "{}", fault.what);
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        assert!(read(&deep, Format::Json).expect_err("too deep").what.contains("deep"));
    }

    #[test]
    fn toml_keeps_its_order_and_values() {
        let text = "[mcp_servers.\"a b\"]\ncommand = 'C:\\x'\nargs = [\"é\\u007f\", \"\"\"two\nlines\"\"\"]\nstartup_timeout_sec = 20\n\
                    when = 2026-01-02\n[mcp_servers.\"a b\".env]\nZ = \"1\"\nA = \"$x %y%\"\n";
        let table = read(text, Format::Toml).expect("TOML");
        let servers = table.get("mcp_servers").and_then(Value::table).expect("servers");
        let entry = servers.get("a b").and_then(Value::table).expect("an entry");
        assert_eq!(entry.line, 1);
        let names: Vec<&str> = entry.members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["command", "args", "startup_timeout_sec", "when", "env"]);
        let written = entry.to_toml(&["mcp_servers", "a b"]);
        let again = read(&written, Format::Toml).unwrap_or_else(|fault| panic!("{fault:?} in\n{written}"));
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
    fn last_of_two_members_with_one_name_counts() {
        let table =
            read(r#"{"a": 1, "b": {"x": 1, "x": 2}, "a": 3, "\u0061": "4"}"#, Format::Json).expect("JSON");
        assert_eq!(table.to_json(), "{\n  \"a\": \"4\",\n  \"b\": {\n    \"x\": 2\n  }\n}");
    }

    #[test]
    fn reads_file_of_many_tables_in_linear_time() {
        let text = format!("{{\"a\":[\n{}{{}}]}}", "{\"b\":{}},\n".repeat(100_000));
        let table = read(&text, Format::Json).expect("JSON");
        let Some(Value::Array(items)) = table.get("a") else { panic!("a list") };
        assert_eq!(items.last().and_then(Value::table).map(|last| last.line), Some(100_002));
    }

    #[test]
    fn compares_and_edits_tables_of_many_members_in_linear_time() {
        let members = |last: &str| -> String {
            (0..32_000).map(|number| format!("\"K{number}\": \"{number}\",\n")).collect::<String>() + last
        };
        let text = format!(
            "{{\"other\": {{\n{}}},\n\"t\": {{\"a\": {{\n{}}}}}}}",
            members("\"z\": 1"),
            members("\"z\": 2")
        );
        let mut document = Document::parse(&text, Format::Json).expect("a file");
        let before = Document::parse(&text, Format::Json).expect("a file");
        let mut entry = document.entry(&["t", "a"]).expect("an entry");
        entry.set("z", Value::Literal("3".to_owned()));
        document.set_entry(&["t", "a"], &entry).expect("a table");
        assert!(before.is_same_except(&document, &[vec!["t", "a"]]));
        assert!(!before.is_same_except(&document, &[]));
        assert_eq!(document.to_string(), text.replace("\"z\": 2", "\"z\": 3"));
    }

    #[test]
    fn list_on_several_lines_keeps_lines_and_comments_of_items_that_stay() {
        let with = |items: &[&str]| {
            let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
            Table::of([("command", Value::Text("x".to_owned())), ("args", Value::from_iter(&items))])
        };
        let json = |lines: &str| {
            format!(
                "{{\n  \"s\": {{\n    \"a\": {{\n      \"command\": \"x\",\n      \"args\": [{lines}]\n    }}\n  }}\n}}\n"
            )
        };
        let toml = |lines: &str| format!("[s.a]\ncommand = \"x\"\nargs = [{lines}]\n");
        let old = "\n        \"-y\", # yes\n        \"npx\", # old\n        # the server\n        \"url\", # prod\n        \"-v\" # more\n      ";
        let comments = |text: &str| text.replace('#', "//");
        for (items, new) in [
            (
                &["url", "-v"][..],
                "\n        # the server\n        \"url\", # prod\n        \"-v\" # more\n      ",
            ),
            (
                &["new", "url", "-v"],
                "\n        \"new\",\n        # the server\n        \"url\", # prod\n        \"-v\" # more\n      ",
            ),
            (
                &["-y", "npx", "new", "url", "-v"],
                "\n        \"-y\", # yes\n        \"npx\", # old\n        \"new\",\n        # the server\n        \"url\", # prod\n        \"-v\" # more\n      ",
            ),
        ] {
            edited(&json(&comments(old)), Format::Json, &json(&comments(new)), |document| {
                document.set_entry(&["s", "a"], &with(items)).expect("a table");
            });
            edited(&toml(old), Format::Toml, &toml(new), |document| {
                document.set_entry(&["s", "a"], &with(items)).expect("a table");
            });
        }
    }

    const JSONC: &str = "{\n    // all servers\n    \"mcpServers\": {\n      \"a\": { \"command\": \"npx\", /* why */ \"args\": [\"x\",], },\n\n      // the second\n      \"b\": {\n        \"command\": \"npx\", // old\n        \"env\": {\"K\": \"v\"}, // kept\n        \"disabled\": false,\n      },\n    },\n\t\"theme\" : 'X',\n}\n";

    fn jsonc() -> String {
        JSONC.replace("'X'", "\"x\"")
    }

    fn entry(command: &str) -> Table {
        Table::of([
            ("command", Value::Text(command.to_owned())),
            ("env", Value::Table(Table::of([("K", Value::Text("v".to_owned()))]))),
            ("disabled", Value::Literal("false".to_owned())),
        ])
    }

    /// Edits a text in each of its forms: both line endings, with and without a byte order mark.
    fn edited(text: &str, format: Format, expected: &str, edit: impl Fn(&mut Document)) {
        for line_end in ["\n", "\r\n"] {
            for bom in ["", "\u{feff}"] {
                let form = |text: &str| format!("{bom}{}", text.replace('\n', line_end));
                let mut document = Document::parse(&form(text), format).expect("a file");
                edit(&mut document);
                assert_eq!(document.to_string(), form(expected));
            }
        }
    }

    #[test]
    fn json_entry_changes_only_where_it_differs() {
        let expected = jsonc().replace("\"npx\", // old", "\"mcp-tether\", // old");
        edited(&jsonc(), Format::Json, &expected, |document| {
            let path = ["mcpServers", "b"];
            assert_eq!(
                document.entry(&path).expect("b").get("command"),
                Some(&Value::Text("npx".to_owned()))
            );
            document.set_entry(&path, &entry("mcp-tether")).expect("a table");
            let again = Value::Table(document.entry(&path).expect("b"));
            assert!(is_same(&again, &Value::Table(entry("mcp-tether"))));
        });
    }

    #[test]
    fn json_entry_is_added_after_others_in_their_style() {
        let new = "      },\n      \"c d\": {\n        \"command\": \"x\",\n      },\n    },\n\t";
        let expected = jsonc().replace("      },\n    },\n\t", new);
        edited(&jsonc(), Format::Json, &expected, |document| {
            let entry = Table::of([("command", Value::Text("x".to_owned()))]);
            document.set_entry(&["mcpServers", "c d"], &entry).expect("a table");
        });
    }

    #[test]
    fn removed_json_entry_leaves_the_rest_alone() {
        let whole = jsonc();
        let (start, end) =
            (whole.find("      \"a\"").expect("a"), whole.find("\n      // the second").expect("b"));
        let expected = format!("{}{}", &whole[..start], &whole[end..]);
        edited(&whole, Format::Json, &expected, |document| {
            assert_eq!(document.remove_entry(&["mcpServers", "a"]), Ok(true));
            assert_eq!(document.remove_entry(&["mcpServers", "a"]), Ok(false));
            assert_eq!(document.remove_entry(&["servers", "a"]), Ok(false));
        });
    }

    #[test]
    fn missing_json_tables_are_made() {
        for (text, expected) in [
            ("{}\n", "{\n  \"mcpServers\": {\n    \"a\": {}\n  }\n}\n"),
            (
                "{\n\t\"x\": 1 // one\n}\n",
                "{\n\t\"x\": 1, // one\n\t\"mcpServers\": {\n\t\t\"a\": {}\n\t}\n}\n",
            ),
        ] {
            edited(text, Format::Json, expected, |document| {
                document.set_entry(&["mcpServers", "a"], &Table::default()).expect("a table");
            });
        }
    }

    #[test]
    fn unsafe_edit_is_refused_and_changes_nothing() {
        for (text, format, expected) in [
            ("{\"mcpServers\": []}", Format::Json, EditError::NotTable("mcpServers".to_owned())),
            (
                "{\"mcpServers\": {}, \"mcpServers\": {}}",
                Format::Json,
                EditError::Duplicate("mcpServers".to_owned()),
            ),
            ("mcpServers = 1\n", Format::Toml, EditError::NotTable("mcpServers".to_owned())),
        ] {
            let mut document = Document::parse(text, format).expect("a file");
            assert_eq!(document.set_entry(&["mcpServers", "a"], &entry("x")), Err(expected));
            assert_eq!(document.to_string(), text);
        }
        let twice = "{\"mcpServers\": {\"a\": {\"env\": {\"K\": 1, \"K\": 2}}, \"b\": 1, \"b\": 2}}";
        let mut document = Document::parse(twice, Format::Json).expect("a file");
        let duplicate = |name: &str| EditError::Duplicate(name.to_owned());
        assert_eq!(document.set_entry(&["mcpServers", "a"], &entry("x")), Err(duplicate("K")));
        assert_eq!(document.remove_entry(&["mcpServers", "b"]), Err(duplicate("b")));
        assert_eq!(document.to_string(), twice);
        let mixed = "a = 1\r\nb = 2\n";
        assert_eq!(Document::parse(mixed, Format::Toml).err(), Some(EditError::NotKept));
        assert!(matches!(Document::parse("{", Format::Json), Err(EditError::Syntax(_))));
        let null = Table::of([("a", Value::Literal("null".to_owned()))]);
        let mut document = Document::parse("", Format::Toml).expect("a file");
        assert_eq!(document.set_entry(&["t", "a"], &null), Err(EditError::Value));
        assert_eq!(document.to_string(), "");
    }

    const TOML: &str = "# mine\nmodel = \"x\"   # the model\n\n[mcp_servers.a]\ncommand = 'npx' # old\nenv = { K = \"v\" }\ndisabled = false\n\n  # the second\n[mcp_servers.\"b c\"]\ncommand = \"npx\"\n[mcp_servers.\"b c\".env]\nK = \"v\"\n\n[other]\nx = [1,\n  2,]\n";

    #[test]
    fn toml_entry_changes_only_where_it_differs() {
        let expected = TOML.replace("'npx' # old", "\"mcp-tether\" # old");
        edited(TOML, Format::Toml, &expected, |document| {
            document.set_entry(&["mcp_servers", "a"], &entry("mcp-tether")).expect("a table");
        });
    }

    #[test]
    fn toml_entry_is_added_and_removed_again() {
        let path = ["mcp_servers", "new"];
        for text in [TOML, "", "# alone\n", "[mcp_servers]\n"] {
            edited(text, Format::Toml, text, |document| {
                document.set_entry(&path, &entry("x")).expect("a table");
                let added = document.to_string().replace("\r\n", "\n");
                let expected = "[mcp_servers.new]\ncommand = \"x\"\ndisabled = false\n\n[mcp_servers.new.env]\nK = \"v\"\n";
                assert!(added.contains(expected), "{added}");
                let line =
                    |line: &str| added.lines().any(|other| other.trim_start_matches('\u{feff}') == line);
                assert!(text.lines().all(line), "{added}");
                assert_eq!(document.remove_entry(&path), Ok(true));
                let left = document.entry(&["mcp_servers"]);
                if left.is_some_and(|left| left.members.is_empty()) && !text.contains("mcp_servers") {
                    document.remove_entry(&["mcp_servers"]).expect("it is there once");
                }
            });
        }
    }

    #[test]
    fn removed_toml_entry_leaves_the_rest_alone() {
        let (start, end) =
            (TOML.find("\n  # the second").expect("b"), TOML.find("\n[other]").expect("other"));
        let expected = format!("{}{}", &TOML[..start], &TOML[end..]);
        edited(TOML, Format::Toml, &expected, |document| {
            assert_eq!(document.remove_entry(&["mcp_servers", "b c"]), Ok(true));
            assert_eq!(document.remove_entry(&["mcp_servers", "b c"]), Ok(false));
        });
    }
}
