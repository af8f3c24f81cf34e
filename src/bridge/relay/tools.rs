//! Facts from `tools/list`: the parameters of each tool that are also sent as headers, and the tools that may be called twice.
//!
//! `x-mcp-header` in a tool's input schema asks for it (2026-07-28, basic/transports/streamable-http, custom headers); a
//! tool whose annotations are invalid must not be offered to the client. Deliberately not here: how a value is encoded
//! (`remote::headers`) and when the list is asked for.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::json;
use crate::jsonrpc::Message;
use crate::mcp::method;

const ANNOTATION: &str = "x-mcp-header";
/// The most tools with stored facts, in each map, and the most tools of a page that are read.
pub(crate) const TOOLS_KNOWN: usize = 10_000;
/// The longest name of a tool about which something is kept, in bytes.
pub(crate) const LONGEST_NAME: usize = 1024;
/// The largest schema that is searched for annotations, in bytes. Taken apart it is thirty times as large.
const LARGEST_SCHEMA: usize = 1024 * 1024;
/// The most invalid tools of a page that are reported.
const INVALID_TOOLS_REPORTED: usize = 20;

/// The annotated parameters of every tool that has any.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// Whether the server has shown that it speaks the modern era.
    server_is_modern: bool,
    annotated: HashMap<String, Vec<Annotation>>,
    /// Those that say of themselves that doing it twice is as good as once.
    repeatable: HashSet<String>,
}

/// One parameter that travels as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Annotation {
    /// The part of the header name after `Mcp-Param-`.
    header: String,
    /// The names of the properties that lead to it.
    path: Vec<String>,
}

/// A tool that must not be offered, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) tool: String,
    pub(super) reason: String,
}

impl Tools {
    /// The server has shown that it speaks the modern era.
    pub(super) fn set_server_modern(&mut self) {
        self.server_is_modern = true;
    }

    /// Returns whether the server has shown that it speaks the modern era.
    pub(super) fn is_server_modern(&self) -> bool {
        self.server_is_modern
    }

    /// Learns from one page of `tools/list`. Returns the page without the tools that are invalid, if there are any.
    pub(super) fn learn(&mut self, page: &Message) -> Option<(Message, Vec<Invalid>)> {
        if self.annotated.is_empty() && memchr::memmem::find(page.text(), ANNOTATION.as_bytes()).is_none() {
            return None;
        }
        let array = page.member("tools")?;
        if !array.starts_with('[') {
            return None;
        }
        let mut invalid = Vec::new();
        let mut tools = json::elements(array);
        let kept = json::array(tools.by_ref().take(TOOLS_KNOWN).filter(|tool| match self.learn_tool(tool) {
            Ok(()) => true,
            Err(reason) => {
                if invalid.len() < INVALID_TOOLS_REPORTED {
                    invalid.push(reason);
                }
                false
            }
        }));
        // The rest is not looked at, and must not be offered.
        let is_cut = tools.next().is_some();
        (is_cut || !invalid.is_empty()).then(|| (page.spliced(page.place_of(array), &kept), invalid))
    }

    /// Learns from one page of `tools/list` which tools may be called twice: those whose annotations say that they only
    /// read, or that doing it again changes nothing (2025-03-26 and later, server/tools, annotations).
    pub(super) fn learn_hints(&mut self, page: &Message) {
        if self.repeatable.is_empty() && memchr::memmem::find(page.text(), b"Hint\"").is_none() {
            return;
        }
        let tools = page.member("tools").map(json::elements).unwrap_or_default();
        for tool in tools.take(TOOLS_KNOWN) {
            let Some(name) = json::member(tool, "name").and_then(json::string) else { continue };
            let annotations = json::member(tool, "annotations");
            let says = |hint| annotations.and_then(|hints| json::member(hints, hint)) == Some("true");
            match says("readOnlyHint") || says("idempotentHint") {
                true if self.repeatable.len() < TOOLS_KNOWN && name.len() <= LONGEST_NAME => {
                    self.repeatable.insert(name);
                }
                true => {}
                false => drop(self.repeatable.remove(&name)),
            }
        }
    }

    /// Returns whether a message is a call of a tool that may be called twice.
    pub(super) fn is_repeatable(&self, call: &Message) -> bool {
        !self.repeatable.is_empty()
            && call.method() == Some(method::TOOLS_CALL)
            && call.member("name").and_then(json::string).is_some_and(|name| self.repeatable.contains(&name))
    }

    fn learn_tool(&mut self, tool: &str) -> Result<(), Invalid> {
        let Some(name) = json::member(tool, "name").and_then(json::string) else { return Ok(()) };
        self.annotated.remove(&name);
        if memchr::memmem::find(tool.as_bytes(), ANNOTATION.as_bytes()).is_none() {
            return Ok(());
        }
        let schema = json::member(tool, "inputSchema");
        if schema.is_some_and(|schema| schema.len() > LARGEST_SCHEMA) {
            let reason = format!("its schema is larger than {} KiB", LARGEST_SCHEMA / 1024);
            return Err(Invalid { tool: name, reason });
        }
        let schema = schema.and_then(|schema| serde_json::from_str(schema).ok());
        let Some(schema): Option<Value> = schema else { return Ok(()) };
        let mut annotations = Vec::new();
        match collect(&schema, &mut Vec::new(), true, &mut annotations) {
            Err(reason) => Err(Invalid { tool: name, reason }),
            Ok(()) => {
                let has_room = self.annotated.len() < TOOLS_KNOWN && name.len() <= LONGEST_NAME;
                if !annotations.is_empty() && has_room {
                    self.annotated.insert(name, annotations);
                }
                Ok(())
            }
        }
    }

    /// The parameters of a call that travel as headers, each with its value as text. A null or absent value has none.
    pub(super) fn headers(&self, call: &Message) -> Vec<(String, String)> {
        if self.annotated.is_empty() {
            return Vec::new();
        }
        let annotations =
            call.member("name").and_then(json::string).and_then(|name| self.annotated.get(&name));
        let (Some(annotations), Some(arguments)) = (annotations, call.member("arguments")) else {
            return Vec::new();
        };
        let value = |annotation: &Annotation| {
            let steps = annotation.path.iter();
            let found = steps.into_iter().try_fold(arguments, |object, name| json::member(object, name))?;
            Some((annotation.header.clone(), text(found)?))
        };
        annotations.iter().filter_map(value).collect()
    }
}

/// Collects the annotations of a schema. Only a pure chain of `properties` from the root leads to a value for certain.
fn collect(
    schema: &Value,
    path: &mut Vec<String>,
    reachable: bool,
    found: &mut Vec<Annotation>,
) -> Result<(), String> {
    let Value::Object(members) = schema else { return Ok(()) };
    if let Some(annotation) = members.get(ANNOTATION) {
        let header = header_of(annotation, members, path, reachable)?;
        if found.iter().any(|other| other.header.eq_ignore_ascii_case(header)) {
            return Err(format!("{ANNOTATION} {header} occurs twice"));
        }
        found.push(Annotation { header: header.to_owned(), path: path.clone() });
    }
    for (key, value) in members {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    collect_below(name, property, path, reachable, found)?;
                }
            }
            // Data, not schemas.
            ("default" | "const" | "enum" | "examples", _) => {}
            // A map of schemas by names of the author's choice.
            ("$defs" | "definitions" | "patternProperties" | "dependentSchemas", Value::Object(schemas)) => {
                for (name, schema) in schemas {
                    collect_below(name, schema, path, false, found)?;
                }
            }
            (_, Value::Array(schemas)) => {
                for schema in schemas {
                    collect_below(key, schema, path, false, found)?;
                }
            }
            (_, value) => collect_below(key, value, path, false, found)?,
        }
    }
    Ok(())
}

/// Collects the annotations of a schema that stands under this name.
fn collect_below(
    name: &str,
    schema: &Value,
    path: &mut Vec<String>,
    reachable: bool,
    found: &mut Vec<Annotation>,
) -> Result<(), String> {
    path.push(name.to_owned());
    collect(schema, path, reachable, found)?;
    path.pop();
    Ok(())
}

/// The header that an annotation names, if it is allowed: the value must be primitive, and on a path that always exists.
fn header_of<'a>(
    annotation: &'a Value,
    members: &Map<String, Value>,
    path: &[String],
    reachable: bool,
) -> Result<&'a str, String> {
    let place = if path.is_empty() { "the root of the schema".to_owned() } else { path.join(".") };
    let Value::String(header) = annotation else {
        return Err(format!("{ANNOTATION} of {place} is not a string"));
    };
    if !reachable || path.is_empty() {
        return Err(format!("{ANNOTATION} of {place} does not lie on a chain of properties"));
    }
    if header.is_empty() || !header.bytes().all(is_token_byte) {
        return Err(format!("{ANNOTATION} of {place} is not a header name"));
    }
    if !is_primitive(members.get("type")) {
        return Err(format!("{place} is neither a string nor an integer nor a boolean"));
    }
    Ok(header)
}

/// `string`, `integer` or `boolean`, possibly with `null` beside it.
fn is_primitive(kind: Option<&Value>) -> bool {
    let primitive = |kind: &Value| matches!(kind.as_str(), Some("string" | "integer" | "boolean"));
    match kind {
        Some(Value::Array(kinds)) => {
            let (null, others): (Vec<_>, Vec<_>) =
                kinds.iter().partition(|kind| kind.as_str() == Some("null"));
            matches!((null.as_slice(), others.as_slice()), ([_], [other]) if primitive(other))
        }
        Some(kind) => primitive(kind),
        None => false,
    }
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A value as a header has it: a string as it is, an integer in decimal, a boolean by name.
fn text(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => json::string(json),
        b't' | b'f' => Some(json.to_owned()),
        b'-' | b'0'..=b'9' => Some(integer(json).unwrap_or_else(|| json.to_owned())),
        _ => None,
    }
}

/// `42.0` and `4.2e1` are the integer 42.
fn integer(json: &str) -> Option<String> {
    if json.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        return Some(json.to_owned());
    }
    let number: f64 = json.parse().ok()?;
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then(|| format!("{number:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(text.to_owned().into()).expect("a message")
    }

    fn page(schemas: &[&str]) -> Message {
        let tools: Vec<String> = schemas
            .iter()
            .enumerate()
            .map(|(index, schema)| format!(r#"{{"name":"t{index}", "inputSchema":{schema}}}"#))
            .collect();
        message(&format!(r#"{{"id":1,"result":{{"tools":[{}],"nextCursor":"c"}}}}"#, tools.join(" , ")))
    }

    /// By name: their order means nothing.
    fn headers(tools: &Tools, arguments: &str) -> Vec<(String, String)> {
        let mut headers = tools.headers(&message(&format!(
            r#"{{"id":1,"method":"tools/call","params":{{"name":"t0","arguments":{arguments}}}}}"#
        )));
        headers.sort();
        headers
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn annotated_values_are_found_on_their_path() {
        let mut tools = Tools::default();
        let schema = r#"{"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "deep":{"type":"object","properties":{"n":{"type":["integer","null"],"x-mcp-header":"N"}}},
            "flag":{"type":"boolean","x-mcp-header":"Flag"},
            "x-mcp-header":{"type":"string","default":{"x-mcp-header":5}}}}"#;
        assert!(tools.learn(&page(&[schema])).is_none());
        let arguments = r#"{"region":"eu é","deep":{"n":42.0},"flag":false,"x-mcp-header":"a"}"#;
        assert_eq!(headers(&tools, arguments), pairs(&[("Flag", "false"), ("N", "42"), ("Region", "eu é")]));
        assert_eq!(headers(&tools, r#"{"region":null,"deep":{}}"#), []);
        assert_eq!(
            headers(&tools, r#"{"region":"","deep":{"n":-7}}"#),
            pairs(&[("N", "-7"), ("Region", "")])
        );

        assert!(tools.learn(&page(&[r#"{"type":"object"}"#])).is_none());
        assert_eq!(headers(&tools, arguments), [], "the newest schema counts");
    }

    #[test]
    fn leaves_out_tools_with_invalid_annotations_only() {
        let bad = |property: &str| format!(r#"{{"type":"object","properties":{{"p":{property}}}}}"#);
        let schemas: Vec<String> = [
            r#"{"type":"string","x-mcp-header":""}"#,
            r#"{"type":"string","x-mcp-header":"a b"}"#,
            r#"{"type":"string","x-mcp-header":5}"#,
            r#"{"type":"number","x-mcp-header":"P"}"#,
            r#"{"type":"object","x-mcp-header":"P"}"#,
            r#"{"type":["string","integer"],"x-mcp-header":"P"}"#,
            r#"{"type":"array","items":{"type":"string","x-mcp-header":"P"}}"#,
            r#"{"oneOf":[{"properties":{"q":{"type":"string","x-mcp-header":"P"}}}]}"#,
            r#"{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"P"},"b":{"type":"string","x-mcp-header":"p"}}}"#,
        ]
        .into_iter()
        .map(bad)
        .chain([r##"{"$defs":{"d":{"type":"string","x-mcp-header":"P"}},"properties":{"p":{"$ref":"#/$defs/d"}}}"##.to_owned()])
        .collect();
        for schema in &schemas {
            let (left, invalid) =
                Tools::default().learn(&page(&[schema, "{}"])).unwrap_or_else(|| panic!("{schema}"));
            assert_eq!(invalid.len(), 1, "{schema}");
            assert_eq!(
                std::str::from_utf8(left.text()).expect("UTF-8"),
                r#"{"id":1,"result":{"tools":[{"name":"t1", "inputSchema":{}}],"nextCursor":"c"}}"#
            );
        }
    }
}
