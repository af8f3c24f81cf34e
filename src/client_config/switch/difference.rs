//! The difference between two texts of a configuration file, without the secrets in it.
//!
//! Deliberately not here: what a secret looks like (`sensitive`).

use similar::{ChangeTag, TextDiff};

use crate::client_config::Client;
use crate::client_config::document::{self, Format};
use crate::client_config::sensitive::{MASKED, is_secret, is_secret_name, mask, refers};
use crate::client_config::value::{Table, Value};
use crate::{json, redact};

/// Options of mcp-remote and mcp-tether that are named like a secret and hold none.
const OPEN_OPTIONS: [&str; 3] = ["--auth", "--auth-timeout", "--token-endpoint"];

/// How many characters of a line are shown before only a part of it is.
const LONG_LINE: usize = 400;
/// How many characters of a long line are shown on each side of its change.
const AROUND: usize = 80;

/// A unified difference with three lines around each change. Of long lines, such as a file in one line, it has the part that changes.
pub(super) fn unified(before: &str, after: &str, format: Format, client: Client) -> String {
    let texts = [before, after];
    let mut secrets = Vec::new();
    for table in texts.iter().filter_map(|text| document::read(text, format).ok()) {
        collect(&table, "", client, &mut secrets);
    }
    // The longest first: one may be part of another.
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    // The masked lines are displayed, and the real ones compared: a change of a secret stays visible.
    let difference = TextDiff::from_lines(before, after);
    let mut text = String::new();
    for hunk in difference.unified_diff().context_radius(3).iter_hunks() {
        text.push_str(&format!("{}\n", hunk.header()));
        let masked = |line: &str| {
            let line = line.trim_end_matches(['\n', '\r']).trim_start_matches('\u{feff}');
            masked_line(line, &secrets, client)
        };
        let mut lines: Vec<(ChangeTag, String)> =
            hunk.iter_changes().map(|change| (change.tag(), masked(change.value()))).collect();
        shorten(&mut lines);
        lines.iter().for_each(|(tag, line)| text.push_str(&format!("{tag}{line}\n")));
    }
    let printable =
        |letter: char| if letter != '\n' && redact::is_unprintable(letter) { ' ' } else { letter };
    text.chars().map(|letter| if letter == '\t' { '\t' } else { printable(letter) }).collect()
}

/// Cuts long lines: those that stay to their start, a removed one and the one that takes its place to what differs.
fn shorten(lines: &mut [(ChangeTag, String)]) {
    let of = |wanted: ChangeTag| {
        let all = lines.iter().enumerate().filter(move |(_, (tag, _))| *tag == wanted);
        all.map(|(at, (_, line))| (at, line.chars().collect::<Vec<char>>())).collect::<Vec<_>>()
    };
    let mut shown = Vec::new();
    for ((old_at, old), (new_at, new)) in of(ChangeTag::Delete).into_iter().zip(of(ChangeTag::Insert)) {
        if old.len().max(new.len()) <= LONG_LINE {
            continue;
        }
        let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let rest = old.len().min(new.len()).saturating_sub(start);
        let end =
            old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
        shown.extend([(old_at, part(&old, start, end)), (new_at, part(&new, start, end))]);
    }
    for (at, line) in of(ChangeTag::Equal).into_iter().filter(|(_, line)| line.len() > LONG_LINE) {
        shown.push((at, part(&line, 0, line.len())));
    }
    for (at, text) in shown {
        if let Some((_, line)) = lines.get_mut(at) {
            *line = text;
        }
    }
}

/// A line without most of its first `start` and last `end` characters.
fn part(line: &[char], start: usize, end: usize) -> String {
    let from = start.saturating_sub(AROUND);
    let to = line.len().saturating_sub(end).saturating_add(AROUND).min(line.len());
    let text: String = line.get(from..to).unwrap_or_default().iter().collect();
    let ellipsis = |is_cut: bool| if is_cut { "…" } else { "" };
    format!("{}{text}{}", ellipsis(from > 0), ellipsis(to < line.len()))
}

/// Returns whether a text of a configuration file holds a secret in clear text.
pub(super) fn holds_secrets(text: &str, format: Format, client: Client) -> bool {
    let mut secrets = Vec::new();
    if let Ok(table) = document::read(text, format) {
        collect(&table, "", client, &mut secrets);
    }
    !secrets.is_empty()
}

/// Collects every secret below a table.
fn collect(table: &Table, above: &str, client: Client, found: &mut Vec<String>) {
    for (name, value) in &table.members {
        let judged_by = match value {
            // A server may be named after the secrets that it manages.
            Value::Table(_) if above == client.key() => "",
            _ if is_secret_name(above) && !is_secret_name(name) => above,
            _ => name.as_str(),
        };
        collect_value(judged_by, value, client, found);
    }
}

fn collect_value(name: &str, value: &Value, client: Client, found: &mut Vec<String>) {
    match value {
        Value::Table(below) => collect(below, name, client, found),
        Value::Text(text) => found.extend(secret_of(name, text, client)),
        Value::Literal(written) => {
            let is_open = written.len() < 4 || ["true", "false", "null"].contains(&written.as_str());
            found.extend(Some(written.clone()).filter(|_| is_secret_name(name) && !is_open));
        }
        Value::Array(items) => {
            let mut before = "";
            for item in items {
                // The value of an option, as in `--api-key VALUE`.
                let is_secret_option = |word: &&str| {
                    word.starts_with('-') && is_secret_name(word) && !OPEN_OPTIONS.contains(word)
                };
                let option = Some(before).filter(is_secret_option);
                collect_value(option.unwrap_or(name), item, client, found);
                before = item.text().unwrap_or_default();
            }
        }
    }
}

/// The secret part of a text: all of it, or the value behind the name of a header or variable.
fn secret_of(name: &str, text: &str, client: Client) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let parts = text.split_once([':', '=']).filter(|(_, value)| !value.starts_with("//"));
    if let Some((own, value)) = parts
        && is_secret(own.trim(), value.trim())
        && !refers(own, value, client)
        && !value.trim().is_empty()
    {
        return Some(value.trim().to_owned());
    }
    (mask(name, text, client) != text).then(|| text.to_owned())
}

/// A line in which no text between quotes is, or holds, one of these secrets.
fn masked_line(line: &str, secrets: &[String], client: Client) -> String {
    let (mut text, mut rest, mut before) = (String::new(), line, String::new());
    while let Some(at) = rest.find(['"', '\'']) {
        let (start, quoted) = rest.split_at(at);
        let quote = if quoted.starts_with('"') { '"' } else { '\'' };
        let Some(end) = closing(quoted, quote) else { break };
        let (literal, behind) = quoted.split_at(end);
        let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
        let decoded = if quote == '"' { json::string(literal) } else { None };
        let decoded = decoded.unwrap_or_else(|| inner.to_owned());
        if start.contains('{') {
            // The name of a table says nothing about the names in it.
            before.clear();
        }
        text.push_str(start);
        let hidden = hidden_literal(&before, &decoded, secrets, client);
        text.push_str(&hidden.map_or_else(|| literal.to_owned(), |shown| format!("{quote}{shown}{quote}")));
        // Only the name of a member, or an option, describes the next text.
        let is_name = behind.trim_start().starts_with([':', '=']) || decoded.starts_with('-');
        before = if is_name && !OPEN_OPTIONS.contains(&decoded.as_str()) { decoded } else { String::new() };
        rest = behind;
    }
    text.push_str(rest);
    // Texts without quotes, or with quotes over several lines.
    for part in secrets.iter().flat_map(|secret| secret.lines()).filter(|part| part.len() > 5) {
        text = text.replace(part, MASKED);
    }
    text
}

/// The masked form of a text between quotes; none where the text may be shown.
fn hidden_literal(before: &str, text: &str, secrets: &[String], client: Client) -> Option<String> {
    if secrets.iter().any(|secret| secret == text) {
        return Some(MASKED.to_owned());
    }
    match secrets.iter().find(|secret| secret.len() > 3 && text.contains(secret.as_str())) {
        Some(secret) => Some(text.replace(secret.as_str(), MASKED)),
        // In a comment, for example.
        None => secret_of(before, text, client).map(|secret| text.replace(&secret, MASKED)),
    }
}

/// The position of the closing quote, counted from the beginning of the text.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            letter if letter == quote => return at.checked_add(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_has_no_secret_of_any_entry() {
        let before = r#"{
  "mcpServers": {
    // "OLD_TOKEN": "marked-in-comment-0123456789"
    "other": { "env": { "API_KEY": "marked1" }, "args": ["--header", "Authorization: Bearer marked2", "--api-key", "marked3"] },
    "url": { "args": ["https://user:marked4@h/mcp?api_key=marked5"] },
    "split": { "env": {
      "PASSWORD":
        "marked6" } }
  }
}
"#;
        let after =
            before.replace("\"marked6\" } }", "\"marked6\" } },\n    \"new\": { \"command\": \"x\" }");
        let change = unified(before, &after, Format::Json, Client::Cursor);
        assert!(change.contains("+    \"new\": { \"command\": \"x\" }"), "{change}");
        let open = r#"{ "args": ["--header", "X-API-Key: ${KEY}", "--auth-timeout", "60", "--env-file", "/home/me/x.env"] }"#;
        let text = unified("", open, Format::Json, Client::Cursor);
        assert!(text.contains(open), "{text}");
        let all = unified("", before, Format::Json, Client::Cursor);
        for text in [&change, &all] {
            assert!(!text.contains("marked1") && !text.contains("marked-"), "{text}");
            for number in 2..7 {
                assert!(!text.contains(&format!("marked{number}")), "{number}: {text}");
            }
        }
        let toml = "[mcp_servers.a]\nargs = ['--header', 'X-API-Key: marked7']\n[mcp_servers.a.env]\nTOKEN = \"\"\"\nmarked8\nmarked9\"\"\"\n";
        let text = unified("", toml, Format::Toml, Client::Codex);
        assert!(!text.contains("marked"), "{text}");
        assert!(text.contains("+[mcp_servers.a]"), "{text}");
    }

    #[test]
    fn long_lines_are_shown_around_their_change() {
        let filler = "\"x\": 1, ".repeat(100_000);
        let line = |entry: &str| format!("{{{filler}\"mcpServers\": {{{entry}}}, {filler}\"z\": \"ä\"}}");
        let change = unified(&line(""), &line("\"a\": {\"command\": \"é\"}"), Format::Json, Client::Cursor);
        assert!(change.contains("{\"a\": {\"command\": \"é\"}}, \"x\": 1"), "{change}");
        assert!(
            change.chars().count() < 500 && change.contains("-…") && change.contains("…\n+…"),
            "{change}"
        );
        let before = format!("{filler}\nold\n");
        let change = unified(&before, &before.replace("old", "new"), Format::Json, Client::Cursor);
        assert!(change.len() < 200 && change.contains("-old\n+new\n"), "{change}");
    }

    #[test]
    fn server_named_after_secrets_is_shown() {
        let entry = r#"{ "command": "npx", "args": ["mcp-remote"], "env": { "TOKEN": "marked" } }"#;
        let shown = entry.replace("marked", MASKED);
        for (key, client) in [("mcpServers", Client::Cursor), ("servers", Client::VsCode)] {
            let text = |entry: &str| format!("{{ \"{key}\": {{ \"secret-tokens\": {entry} }} }}");
            let change = unified("", &text(entry), Format::Json, client);
            assert!(change.contains(&text(&shown)), "{change}");
        }
    }

    #[test]
    fn references_are_shown_and_changed_secrets_stay_visible() {
        let before = "{\n  \"API_KEY\": \"${API_KEY}\",\n  \"TOKEN\": \"marked1\"\n}\n";
        let after = before.replace("marked1", "marked2");
        let text = unified(before, &after, Format::Json, Client::ClaudeCode);
        assert_eq!(
            text,
            "@@ -1,4 +1,4 @@\n {\n   \"API_KEY\": \"${API_KEY}\",\n-  \"TOKEN\": \"[masked]\"\n+  \"TOKEN\": \"[masked]\"\n }\n"
        );
        assert!(holds_secrets(before, Format::Json, Client::ClaudeCode));
        assert!(!holds_secrets("{\"name\": \"v\"}", Format::Json, Client::ClaudeCode));
    }
}
