//! `config --from FILE`: each entry that starts mcp-remote, beside the one that takes its place.
//!
//! Deliberately not here: how a start of mcp-remote is recognised (`launch`).

use std::io::ErrorKind;
use std::path::Path;

use super::clients::{Client, Passing};
use super::form::{self, Entry, placeholder};
use super::launch::{self, Launch};
use super::secrets::{self, Gathered, Purpose, Variable};
use super::tree::{self, Node, Table};
use super::words::{self, Word};
use super::{Here, Part, shown, understood, unknown_client, usage};
use crate::cli::{self, UsageError};
use crate::config::{self, Environment};
use crate::files;

/// The members that servers stand in.
const KEYS: [&str; 4] = ["mcpServers", "servers", "context_servers", "mcp_servers"];

/// How deep they may lie: Claude Code has them below the path of a project.
const DEPTH: usize = 4;

/// How large a file may be, in bytes.
pub(super) const LIMIT: u64 = 64 * 1024 * 1024;

/// Reads the file and compares.
pub(super) fn all(
    path: &Path,
    client: Option<Client>,
    environment: &Environment,
    here: &Here,
) -> Result<Vec<Part>, UsageError> {
    let path = config::home_expanded(path);
    let cannot = |what: String, advice: &str| usage(format!("the file {} {what}", shown(&path)), advice);
    let bytes = files::read(&path, LIMIT).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => {
            let what = format!("is larger than {} MiB", LIMIT / 1024 / 1024);
            cannot(what, "check that it is the configuration of a client")
        }
        _ => {
            let advice = "check the path of --from, and that this user may read the file";
            cannot(format!("cannot be read: {error}"), advice)
        }
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        cannot(format!("is not UTF-8 at its byte {at}"), "save it as UTF-8: the client reads nothing else")
    })?;
    let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
        || client == Some(Client::Codex);
    let read = if is_toml { tree::from_toml(&text) } else { tree::from_json(&text) };
    let file = read.map_err(|fault| {
        let place = format!("{}, line {}, column {}", shown(&path), fault.line, fault.column);
        let kind = if is_toml { "TOML" } else { "JSON" };
        usage(
            format!("{place}: {}", fault.what),
            format!("mend the {kind} there; the client cannot read it either"),
        )
    })?;
    let mut found = Vec::new();
    collect(&file, 0, &mut found);
    let (mut report, mut count) = (String::new(), 0);
    for (key, name, entry) in &found {
        let (command, arguments) = started(entry);
        match launch::recognise(&command, &arguments) {
            Launch::Nothing => {}
            Launch::Other(why) => {
                report.push_str(&format!("== {}, line {}: {why}\n\n", heading(name), entry.line));
            }
            remote @ Launch::Remote { .. } => {
                let client = client.or_else(|| Client::of_file(&shown(&path), key));
                let client = client.ok_or_else(|| {
                    unknown_client("it cannot be seen from the name of the file whose it is")
                })?;
                report.push_str(&beside(client, name, entry, remote, environment, here));
                count += 1;
            }
        }
    }
    let file = shown(&path);
    report.push_str(&match (count, found.len()) {
        (0, 0) => format!("{file} has no servers\n"),
        (0, servers) => format!(
            "{file}: none of its {servers} servers is started by mcp-remote in a way that can be replaced\n"
        ),
        (count, _) => format!("{count} to replace in {file}; nothing was written\n"),
    });
    Ok(vec![Part::Printed(report)])
}

/// Every server of a file: the member that it stands in, its name, itself.
fn collect<'file>(
    table: &'file Table,
    depth: usize,
    found: &mut Vec<(&'file str, &'file str, &'file Table)>,
) {
    for (key, node) in &table.members {
        let Some(below) = node.table() else { continue };
        if KEYS.contains(&key.as_str()) {
            let servers = below.members.iter().filter_map(|(name, node)| Some((name, node.table()?)));
            found.extend(servers.map(|(name, server)| (key.as_str(), name.as_str(), server)));
        } else if depth < DEPTH {
            collect(below, depth + 1, found);
        }
    }
}

/// What an entry starts. Zed had command and arguments in a table of their own.
fn started(entry: &Table) -> (String, Vec<String>) {
    let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default().to_owned();
    let word = |node: &Node| match node {
        Node::Text(text) | Node::Other(text) => text.clone(),
        Node::List(_) | Node::Table(_) => String::new(),
    };
    let texts = |node: Option<&Node>| match node {
        Some(Node::List(items)) => items.iter().map(word).collect(),
        Some(Node::Text(_) | Node::Table(_) | Node::Other(_)) | None => Vec::new(),
    };
    match entry.get("command") {
        Some(Node::Table(command)) => (text(command.get("path")), texts(command.get("args"))),
        command => (text(command), texts(entry.get("args"))),
    }
}

/// One entry and its replacement.
fn beside(
    client: Client,
    name: &str,
    entry: &Table,
    launch: Launch,
    environment: &Environment,
    here: &Here,
) -> String {
    let Launch::Remote { launcher, arguments, variables, mut remarks } = launch else { return String::new() };
    let mut new = entry.clone();
    if let Some(Node::Table(command)) = entry.get("command") {
        if let Some(variables) = command.get("env") {
            new.set("env", variables.clone());
        }
        new.set("command", Node::Text(String::new()));
    }
    let mut others = Vec::new();
    mask_others(&mut new, client, &mut others);
    for name in others {
        remarks.push(format!("the value of {name} is not printed: keep it as it stands in the file"));
    }
    let mut own = new.get("env").and_then(Node::table).cloned().unwrap_or_default();
    for (name, value) in variables {
        own.set(&name, Node::Text(value));
    }
    let mut now = new.clone();
    let mut masked = own.clone();
    for (name, value) in &mut masked.members {
        // What is no text refers to nothing.
        let text = value.text().unwrap_or_default();
        if secrets::is_secret(name, text) && !secrets::refers(text, client) {
            *value = Node::Text("[masked]".to_owned());
        }
    }
    now.set("command", Node::Text(launcher.first().cloned().unwrap_or_default()));
    let shown_arguments: Vec<String> =
        mask_launcher(&launcher).skip(1).chain(mask(&arguments, client)).collect();
    now.set("args", Node::from_iter(&shown_arguments));
    if !masked.members.is_empty() {
        now.set("env", Node::Table(masked));
    }

    let given: Vec<String> = own.members.iter().map(|(name, _)| name.clone()).collect();
    let mut given_or_named = given.clone();
    given_or_named.extend(new.get("env_vars").and_then(Node::texts).unwrap_or_default());
    let words = launch::translated(arguments, &mut remarks);
    let purpose = Purpose { client, server: name, environment, given: &given_or_named };
    let Gathered { arguments, mut variables, mut hidden, remarks: more } = secrets::gather(words, &purpose);
    remarks.extend(more);
    // What stood there in the open is passed on from the environment, where the client can.
    let mut kept = Vec::new();
    for (name, value) in own.members {
        let text = value.text().unwrap_or_default();
        remarks.extend(launch::about(&name));
        if !secrets::is_secret(&name, text) || secrets::refers(text, client) || value.text() == Some("") {
            kept.push((name, value));
            continue;
        }
        match client.passing(&name, true) {
            Passing::Reference(_) | Passing::Named => {
                hidden.push((format!("the value of {name} in \"env\""), name.clone()));
                variables.push(Variable { name, text: None, is_needed: true });
            }
            Passing::ByHand | Passing::Inherited => {
                remarks.push(format!(
                    "the value of {name} is not printed: keep \"env\" as it stands in the file, or put the value in the place of {}",
                    placeholder(&name)
                ));
                let text = Node::Text(placeholder(&name));
                kept.push((name, text));
            }
        }
    }
    match kept.is_empty() {
        true => new.remove("env"),
        false => new.set("env", Node::Table(Table { line: 0, members: kept })),
    }
    if let Err(error) = understood(&arguments).and_then(|options| {
        let filled = options.positional.iter().any(|text| secrets::refers(text, client));
        let url = config::server_url(&options);
        // The client may fill in what the proxy does not.
        match (url, filled && client.reference("X", false).is_some()) {
            (Ok(_), _) | (Err(_), true) => Ok(()),
            (Err(error), false) => Err(usage(error.to_string(), error.advice())),
        }
    }) {
        remarks.push(format!("mcp-tether will not start with this: {}; {}", error.sentence, error.advice));
    }
    let (command, about_command) = here.command(client);
    remarks.extend(about_command);
    let entry_line = entry.line;
    let entry = Entry { name: name.to_owned(), command, arguments, variables };
    entry.fill(client, &mut new);
    remarks.splice(..0, super::about_variables(client, &entry, &hidden));
    let remarks: String = remarks.iter().map(|remark| format!("- {remark}\n")).collect();
    format!(
        "== {}, line {entry_line}\n\n{}\nis replaced by\n\n{}\n{remarks}{}",
        heading(name),
        form::document(client, name, &now, Vec::new()),
        form::document(client, name, &new, entry.inputs(client)),
        if remarks.is_empty() { "" } else { "\n" },
    )
}

/// A name that stays in its line.
fn heading(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// The beginning of a command line as it may be shown.
fn mask_launcher(launcher: &[String]) -> impl Iterator<Item = String> {
    let befores = std::iter::once("").chain(launcher.iter().map(String::as_str));
    launcher.iter().zip(befores).map(|(word, before)| match word.split_once('=') {
        Some((name, value)) if secrets::is_secret(name, value) => format!("{name}=[masked]"),
        _ if word.contains("://") && word.contains('@') => "[masked]".to_owned(),
        _ if before.starts_with("--") && secrets::is_secret_name(before) => "[masked]".to_owned(),
        _ => word.clone(),
    })
}

/// Arguments of mcp-remote as they may be shown.
fn mask(arguments: &[String], client: Client) -> Vec<String> {
    let hidden = || "[masked]".to_owned();
    let mut masked = Vec::new();
    for word in words::read(arguments.to_vec(), |_| None) {
        let word = match word {
            Word::Bare(text) => {
                // A value that was cut off at a space is neither an address nor a port.
                let is_other = secrets::refers(&text, client) || text.parse::<u16>().is_ok();
                // What stands behind a # is not sent.
                let text = text.split('#').next().unwrap_or_default().to_owned();
                Word::Bare(match text.split_once('?') {
                    _ if text.contains("://") && text.contains('@') => hidden(),
                    Some((start, query)) if text.contains("://") => {
                        format!("{start}?{}", mask_query(query, client))
                    }
                    _ if is_other || text.contains("://") => text,
                    _ => hidden(),
                })
            }
            Word::Option { name, value: Some(value), is_joined } => {
                let refers = secrets::refers(&value, client);
                let value = match (name.as_str(), value.split_once(':')) {
                    // What it means, nobody knows.
                    _ if cli::takes_value(&name).is_none() => hidden(),
                    ("--static-oauth-client-info", _) => {
                        match secrets::may_show_registration(&value, client) {
                            true => value,
                            false => hidden(),
                        }
                    }
                    ("--header", _) if refers => value,
                    ("--header", Some((header, text))) if secrets::is_secret(header, text.trim()) => {
                        format!("{header}: [masked]")
                    }
                    ("--header", None) => hidden(),
                    (_, Some(_)) if value.contains('@') && value.contains("://") => hidden(),
                    _ => value,
                };
                Word::Option { name, value: Some(value), is_joined }
            }
            other => other,
        };
        word.write(&mut masked);
    }
    masked
}

/// The query of an address as it may be shown: what is filled in, alone.
fn mask_query(query: &str, client: Client) -> String {
    if !secrets::refers(query, client) {
        return "[masked]".to_owned();
    }
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((_, value)) if secrets::refers(value, client) => part.to_owned(),
        Some((name, _)) => format!("{name}=[masked]"),
        None => "[masked]".to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}

/// Hides what else looks like a secret in an entry; tells where something did.
fn mask_others(table: &mut Table, client: Client, found: &mut Vec<String>) {
    for (name, node) in &mut table.members {
        match node {
            Node::Table(below) if name != "env" => mask_others(below, client, found),
            Node::Text(text)
                if !["command", "cwd", "type"].contains(&name.as_str())
                    && secrets::is_secret(name, text)
                    && !secrets::refers(text, client) =>
            {
                *text = "[masked]".to_owned();
                found.push(name.clone());
            }
            // Arguments are masked one by one, and the names of variables are none.
            Node::List(items) if !["args", "env_vars"].contains(&name.as_str()) => {
                let before = found.len();
                mask_items(name, items, client, found);
                found.truncate(found.len().min(before + 1));
            }
            Node::Text(_) | Node::Table(_) | Node::List(_) | Node::Other(_) => {}
        }
    }
}

/// The same for the items of a list of this name.
fn mask_items(name: &str, items: &mut [Node], client: Client, found: &mut Vec<String>) {
    for item in items {
        match item {
            Node::Table(below) => mask_others(below, client, found),
            Node::List(below) => mask_items(name, below, client, found),
            Node::Text(text) => {
                // As in a header, or in a variable of Docker.
                let (own, value) = text.split_once([':', '=']).unwrap_or((name, text));
                if secrets::is_secret(own, value.trim()) && !secrets::refers(value, client) {
                    *text = "[masked]".to_owned();
                    found.push(name.to_owned());
                }
            }
            Node::Other(_) => {}
        }
    }
}
