//! Entries of clients that have other names for the parts of one, turned into the usual shape and back.
//!
//! Everywhere else an entry is a table with `command`, `args`, `env` and `env_vars`. Deliberately not here: what stands in
//! them (`entry`).

use super::clients::Client;
use super::value::{Table, Value};
use crate::json;

/// How long Goose waits for an answer, in seconds: its own default, which an entry has to name.
const GOOSE_TIMEOUT: &str = "300";

/// An entry of a file in the usual shape. opencode has the command as one list, and calls the variables `environment`.
pub(super) fn to_common(entry: &Table) -> Table {
    let Some(Value::Array(command)) = entry.get("command") else { return entry.clone() };
    let mut words = command.iter().cloned();
    let mut usual = Table { line: entry.line, members: Vec::new() };
    usual.set("command", words.next().unwrap_or_else(|| Value::Text(String::new())));
    usual.set("args", Value::Array(words.collect()));
    for (name, node) in &entry.members {
        match name.as_str() {
            "command" | "type" | "enabled" => {}
            "environment" => usual.set("env", node.clone()),
            _ => usual.set(name, node.clone()),
        }
    }
    if let Some(Value::Literal(enabled)) = entry.get("enabled")
        && enabled != "true"
    {
        usual.set("enabled", Value::Literal(enabled.clone()));
    }
    usual
}

/// The document of a client whose shape is another one; none for those that have the usual one.
pub(super) fn render_document(client: Client, name: &str, table: &Table) -> Option<String> {
    match client {
        Client::OpenCode => {
            let servers = Table::of([(name, Value::Table(of_opencode(table)))]);
            Some(Table::of([(client.key(), Value::Table(servers))]).to_json() + "\n")
        }
        Client::Goose => Some(goose_yaml(client.key(), name, &of_goose(name, table))),
        Client::ClaudeCode
        | Client::ClaudeDesktop
        | Client::Cursor
        | Client::VsCode
        | Client::Windsurf
        | Client::Codex
        | Client::Gemini
        | Client::Zed
        | Client::LmStudio
        | Client::Cline
        | Client::Copilot => None,
    }
}

/// An entry in the common form, as a file of this client holds it.
pub(super) fn of_client(client: Client, table: &Table) -> Table {
    if client == Client::OpenCode { of_opencode(table) } else { table.clone() }
}

/// opencode refuses members that it does not know.
fn of_opencode(table: &Table) -> Table {
    let mut command: Vec<Value> = table.get("command").cloned().into_iter().collect();
    if let Some(Value::Array(arguments)) = table.get("args") {
        command.extend(arguments.iter().cloned());
    }
    let mut entry = Table::of([
        ("type", Value::Text("local".to_owned())),
        ("command", Value::Array(command)),
        ("enabled", Value::Literal("true".to_owned())),
    ]);
    for (name, node) in &table.members {
        match name.as_str() {
            "command" | "args" | "type" | "env_vars" => {}
            "env" => entry.set("environment", node.clone()),
            _ => entry.set(name, node.clone()),
        }
    }
    entry
}

fn of_goose(name: &str, table: &Table) -> Table {
    let mut entry = Table::of([
        ("name", Value::Text(name.to_owned())),
        ("type", Value::Text("stdio".to_owned())),
        ("enabled", Value::Literal("true".to_owned())),
        ("timeout", Value::Literal(GOOSE_TIMEOUT.to_owned())),
    ]);
    for (name, node) in &table.members {
        match name.as_str() {
            "command" => entry.set("cmd", node.clone()),
            "env" => entry.set("envs", node.clone()),
            "env_vars" => entry.set("env_keys", node.clone()),
            "type" => {}
            _ => entry.set(name, node.clone()),
        }
    }
    entry
}

/// YAML with a member a line. A value of JSON in one line is one of YAML (YAML 1.2, 1.3).
fn goose_yaml(key: &str, name: &str, entry: &Table) -> String {
    let mut text = format!("{key}:\n  {}:\n", json::quoted(name));
    for (member, node) in &entry.members {
        text.push_str(&format!("    {}: {}\n", yaml_key(member), in_one_line(node)));
    }
    text
}

fn yaml_key(key: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    match !key.is_empty() && key.chars().all(is_plain) {
        true => key.to_owned(),
        false => json::quoted(key),
    }
}

fn in_one_line(node: &Value) -> String {
    match node {
        Value::Text(text) => json::quoted(text),
        Value::Literal(written) => written.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(in_one_line).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) => {
            let members = table.members.iter();
            let members: Vec<String> = members
                .map(|(name, node)| format!("{}: {}", json::quoted(name), in_one_line(node)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}
