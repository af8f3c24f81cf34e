//! `config --from FILE`: compares each entry that starts mcp-remote with its replacement.
//!
//! Deliberately not here: how a start of mcp-remote is recognized (`launch_command`).

use std::io::ErrorKind;
use std::path::Path;

use super::args::{self, Arg};
use super::clients::{Client, Passing};
use super::dialect;
use super::document::{self, Format};
use super::entry::{self, Entry, placeholder};
use super::launch_command::{self, LaunchCommand};
use super::other_proxies;
use super::secret_commands;
use super::secrets::{self, EntryContext, RewrittenArgs, Variable};
use super::sensitive::{self, MASKED, is_secret, is_secret_name, refers};
use super::value::{Table, Value};
use super::{Installation, Part, parse_options, shown, unknown_client, usage};
use crate::cli::{self, UsageError};
use crate::config::{self, Environment};
use crate::{files, json, redact};

/// The names of the tables that hold servers.
const KEYS: [&str; 4] = ["mcpServers", "servers", "context_servers", "mcp_servers"];

/// The greatest depth of such a table: Claude Code has one below the path of a project.
const DEPTH: usize = 4;

/// The largest file, in bytes.
pub(super) const LIMIT: u64 = 64 * 1024 * 1024;

/// Reads the file, and compares each entry that can be replaced with its replacement.
pub(super) fn all(
    path: &Path,
    client: Option<Client>,
    environment: &Environment,
    installation: &Installation,
) -> Result<Vec<Part>, UsageError> {
    let path = config::home_expanded(path);
    let file = read_file(&path, client)?;
    let found = servers(&file);
    let (mut report, mut count) = (String::new(), 0);
    for Server { key, name, entry, .. } in &found {
        let entry = &dialect::to_common(entry);
        let (command, arguments) = started(entry);
        match launch_command::recognize(&command, &arguments) {
            LaunchCommand::Unrelated => {}
            LaunchCommand::NotReplaceable(why) => {
                report.push_str(&format!("== {}, line {}: {why}\n\n", heading(name), entry.line));
            }
            remote @ LaunchCommand::Replaceable { .. } => {
                let client = client.or_else(|| Client::of_file(&shown(&path), key));
                let client = client.ok_or_else(|| {
                    unknown_client("the client cannot be recognized by the name of the file")
                })?;
                report.push_str(&compare(client, name, entry, remote, environment, installation));
                count += 1;
            }
        }
    }
    let file = shown(&path);
    report.push_str(&match (count, found.len()) {
        (0, 0) => format!("{file} has no servers\n"),
        (0, servers) => format!("{file}: none of its {servers} servers can be replaced\n"),
        (count, _) => format!("{count} to replace in {file}; nothing was written\n"),
    });
    // The file holds foreign text. In strings of JSON and TOML, control characters are escaped already.
    let printable =
        |letter: char| if letter != '\n' && redact::is_unprintable(letter) { ' ' } else { letter };
    Ok(vec![Part::Stdout(report.chars().map(printable).collect())])
}

/// Reads a configuration file of a client.
fn read_file(path: &Path, client: Option<Client>) -> Result<Table, UsageError> {
    let refused =
        |problem: String, advice: &str| usage(format!("the file {} {problem}", shown(path)), advice);
    let bytes = files::read(path, LIMIT).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => {
            let problem = format!("is larger than {} MiB", LIMIT / 1024 / 1024);
            refused(problem, "check that it is the configuration of a client")
        }
        _ => {
            let advice = "check the path of --from, and that this user may read the file";
            refused(format!("cannot be read: {error}"), advice)
        }
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let position = error.utf8_error().valid_up_to() + 1;
        refused(
            format!("is not UTF-8 at byte {position}"),
            "save it as UTF-8: the client reads no other encoding",
        )
    })?;
    let has_extension =
        |extension: &str| path.extension().is_some_and(|it| it.eq_ignore_ascii_case(extension));
    if has_extension("yaml") || has_extension("yml") {
        return Err(refused(
            "is YAML, which --from does not read".to_owned(),
            "print the new entry: mcp-tether config NAME URL --client goose",
        ));
    }
    let is_toml = has_extension("toml") || client == Some(Client::Codex);
    let format = if is_toml { Format::Toml } else { Format::Json };
    document::read(&text, format).map_err(|error| {
        let place = format!("{}, line {}, column {}", shown(path), error.line, error.column);
        let kind = if is_toml { "TOML" } else { "JSON" };
        usage(
            format!("{place}: {}", error.what),
            format!("correct the {kind} there; the client cannot read it either"),
        )
    })
}

/// A server of a file.
pub(super) struct Server<'file> {
    /// The names of the tables above it.
    pub(super) above: Vec<&'file str>,
    /// The last of these names.
    pub(super) key: &'file str,
    pub(super) name: &'file str,
    pub(super) entry: &'file Table,
}

/// Every server of a file.
pub(super) fn servers(file: &Table) -> Vec<Server<'_>> {
    let mut found = Vec::new();
    collect(file, &[], &mut found);
    found
}

fn collect<'file>(table: &'file Table, above: &[&'file str], found: &mut Vec<Server<'file>>) {
    for (key, node) in &table.members {
        let Some(below) = node.table() else { continue };
        let path: Vec<&str> = above.iter().copied().chain([key.as_str()]).collect();
        // VS Code's settings have `servers` below a member of the same name.
        let is_opencode =
            key == "mcp" && below.members.iter().any(|(_, node)| node.table().is_some_and(has_command_list));
        if KEYS.contains(&key.as_str()) || is_opencode {
            let servers = below.members.iter().filter_map(|(name, node)| Some((name, node.table()?)));
            found.extend(servers.map(|(name, entry)| Server { above: path.clone(), key, name, entry }));
        } else if above.len() < DEPTH {
            collect(below, &path, found);
        }
    }
}

fn has_command_list(entry: &Table) -> bool {
    matches!(entry.get("command"), Some(Value::Array(_)))
}

/// The command and the arguments of an entry. Zed had both in a table.
pub(super) fn started(entry: &Table) -> (String, Vec<String>) {
    let text = |node: Option<&Value>| node.and_then(Value::text).unwrap_or_default().to_owned();
    let word = |node: &Value| match node {
        Value::Text(text) | Value::Literal(text) => text.clone(),
        Value::Array(_) | Value::Table(_) => String::new(),
    };
    let texts = |node: Option<&Value>| match node {
        Some(Value::Array(items)) => items.iter().map(word).collect(),
        Some(Value::Text(_) | Value::Table(_) | Value::Literal(_)) | None => Vec::new(),
    };
    match entry.get("command") {
        Some(Value::Table(command)) => (text(command.get("path")), texts(command.get("args"))),
        command => (text(command), texts(entry.get("args"))),
    }
}

/// One entry and its replacement, as text.
fn compare(
    client: Client,
    name: &str,
    entry: &Table,
    launch: LaunchCommand,
    environment: &Environment,
    installation: &Installation,
) -> String {
    let LaunchCommand::Replaceable { launcher, arguments, variables, mut remarks } = launch else {
        return String::new();
    };
    let mut new = without_command_table(entry);
    let mut others = Vec::new();
    mask_others("", &mut new, client, &mut others);
    for name in others {
        remarks.push(format!("the value of {name} is not printed: keep it as it is in the file"));
    }
    let mut own = new.get("env").and_then(Value::table).cloned().unwrap_or_default();
    for (name, value) in variables {
        own.set(&name, Value::Text(value));
    }
    let arguments = other_proxies::with_token(&launcher, &own, arguments);
    let old = masked_entry(&new, &launcher, &arguments, &own, client);

    let mut given: Vec<String> = own.members.iter().map(|(name, _)| name.clone()).collect();
    given.extend(new.get("env_vars").and_then(Value::texts).unwrap_or_default());
    let words = launch_command::translated(arguments, &mut remarks);
    let context = EntryContext { client, server: name, environment, given: &given };
    let mut rewritten = secrets::rewrite_args(words, &context);
    remarks.append(&mut rewritten.remarks);
    let kept = kept_variables(own, client, &mut rewritten, &mut remarks);
    match kept.is_empty() {
        true => new.remove("env"),
        false => new.set("env", Value::Table(Table { line: 0, members: kept })),
    }
    if let Err(error) = check_starts(&rewritten.arguments, client) {
        remarks.push(format!("mcp-tether does not start with this: {}; {}", error.sentence, error.advice));
    }
    let (command, about_command) = installation.command(client);
    remarks.extend(about_command);
    let RewrittenArgs { arguments, variables, hidden, .. } = rewritten;
    let replacement = Entry { name: name.to_owned(), command, arguments, variables };
    replacement.fill(client, &mut new);
    remarks.splice(..0, super::about_variables(client, &replacement, &hidden));
    let remarks: String = remarks.iter().map(|remark| format!("- {remark}\n")).collect();
    format!(
        "== {}, line {}\n\n{}\nis replaced by\n\n{}\n{remarks}{}",
        heading(name),
        entry.line,
        entry::render_document(client, name, &old, Vec::new()),
        entry::render_document(client, name, &new, replacement.inputs(client)),
        if remarks.is_empty() { "" } else { "\n" },
    )
}

/// An entry whose command is a text, where Zed had a table.
fn without_command_table(entry: &Table) -> Table {
    let mut new = entry.clone();
    if let Some(Value::Table(command)) = entry.get("command") {
        if let Some(variables) = command.get("env") {
            new.set("env", variables.clone());
        }
        new.set("command", Value::Text(String::new()));
    }
    new
}

/// The entry of today with its secrets masked. `own` are its variables.
fn masked_entry(
    entry: &Table,
    launcher: &[String],
    arguments: &[String],
    own: &Table,
    client: Client,
) -> Table {
    let mut masked = own.clone();
    for (name, value) in &mut masked.members {
        *value = match &*value {
            Value::Text(text) => Value::Text(sensitive::mask(name, text, client)),
            // Only a text can hold a reference.
            _ if is_secret_name(name) => Value::Text(MASKED.to_owned()),
            _ => continue,
        };
    }
    let mut shown = entry.clone();
    shown.set("command", Value::Text(launcher.first().cloned().unwrap_or_default()));
    let arguments: Vec<String> =
        mask_launcher(launcher, client).skip(1).chain(mask(arguments, client)).collect();
    shown.set("args", Value::from_iter(&arguments));
    if !masked.members.is_empty() {
        shown.set("env", Value::Table(masked));
    }
    shown
}

/// The variables of the entry that stay as they are. A secret in clear text becomes a variable of the environment where the
/// client can pass one on.
fn kept_variables(
    own: Table,
    client: Client,
    rewritten: &mut RewrittenArgs,
    remarks: &mut Vec<String>,
) -> Vec<(String, Value)> {
    let mut kept = Vec::new();
    for (name, value) in own.members {
        let text = value.text().unwrap_or_default();
        remarks.extend(launch_command::about(&name));
        if !is_secret(&name, text) || refers(&name, text, client) || value.text() == Some("") {
            kept.push((name, value));
            continue;
        }
        match client.passing(&name, true) {
            Passing::Reference(_) | Passing::Named => {
                rewritten.hidden.push((format!("the value of {name} in \"env\""), name.clone()));
                rewritten.variables.push(Variable { name, text: None, is_needed: true });
            }
            Passing::Literal | Passing::Inherited => {
                remarks.push(format!(
                    "the value of {name} is not printed: keep \"env\" as it is in the file, or put the value in the place of {}",
                    placeholder(&name)
                ));
                let text = Value::Text(placeholder(&name));
                kept.push((name, text));
            }
        }
    }
    kept
}

/// Checks that mcp-tether starts with these arguments.
///
/// # Errors
/// The error with which it would not start.
pub(super) fn check_starts(arguments: &[String], client: Client) -> Result<(), UsageError> {
    let options = parse_options(arguments)?;
    let has_reference = options.positional.iter().any(|text| refers("", text, client));
    match config::server_url(&options) {
        Ok(_) => Ok(()),
        // The client expands references that the proxy does not.
        Err(_) if has_reference && client.reference("X", false).is_some() => Ok(()),
        Err(error) => Err(usage(error.to_string(), error.advice())),
    }
}

/// A name without line breaks and control characters.
fn heading(name: &str) -> String {
    name.replace(redact::is_unprintable, "?")
}

/// The beginning of a command line as it may be shown.
fn mask_launcher(launcher: &[String], client: Client) -> impl Iterator<Item = String> {
    let befores = std::iter::once("").chain(launcher.iter().map(String::as_str));
    launcher.iter().zip(befores).map(move |(word, before)| match word.split_once('=') {
        Some((name, value)) if !name.contains("://") => {
            format!("{name}={}", sensitive::mask(name, value, client))
        }
        _ if before.starts_with("--") && !before.contains('=') && is_secret_name(before) => MASKED.to_owned(),
        _ if word.contains("://") => sensitive::mask_urls(word, client),
        _ if word.contains('@') => sensitive::mask("", word, client),
        _ => word.clone(),
    })
}

/// Arguments of mcp-remote as they may be shown.
fn mask(arguments: &[String], client: Client) -> Vec<String> {
    let hidden = || MASKED.to_owned();
    let mut masked = Vec::new();
    // The number of positional words so far, and whether the word before may take a value.
    let (mut count, mut before) = (0_usize, false);
    for word in args::read(arguments.to_vec(), |_| None) {
        let was_before = std::mem::replace(&mut before, wants_secret(&word));
        let word = match word {
            Arg::Positional(text) => {
                count = count.saturating_add(1);
                // A value that was cut off at a space is neither an address nor a port.
                let is_port = count > 1 && !was_before && text.parse::<u16>().is_ok();
                Arg::Positional(match () {
                    () if text.contains("://") => sensitive::mask_urls(&text, client),
                    () if is_port || refers("", &text, client) => text,
                    () => hidden(),
                })
            }
            Arg::Option { name, value: Some(value), is_joined } => {
                let value = mask_value(&name, value, client);
                Arg::Option { name, value: Some(value), is_joined }
            }
            // The value of a short option may be joined to it.
            Arg::Option { name, value: None, is_joined } => {
                let is_short = !name.starts_with("--") && cli::takes_value(&name).is_none();
                let start = name.get(..2).filter(|_| is_short && name.len() > 2);
                let name = start.map_or_else(|| name.clone(), |start| format!("{start}{MASKED}"));
                Arg::Option { name, value: None, is_joined }
            }
        };
        word.write(&mut masked);
    }
    masked
}

/// The value of an option of mcp-remote as it may be shown.
fn mask_value(option: &str, value: String, client: Client) -> String {
    match (option, value.split_once([':', '='])) {
        // The meaning of an unknown option is unknown.
        _ if cli::takes_value(option).is_none() => MASKED.to_owned(),
        ("--static-oauth-client-info" | "--static-oauth-client-metadata" | "--enterprise-client-info", _) => {
            mask_json(value)
        }
        ("--header" | "--header-from", _) => mask_header(option, value, client),
        // Another program may have an option of this name.
        ("--pin", _) if !launch_command::is_fingerprint(&value) => MASKED.to_owned(),
        ("--token-store", Some(("command", text))) => {
            let hidden = secret_commands::without_secrets(text, MASKED, client);
            hidden.map_or_else(|| value.clone(), |hidden| format!("command:{hidden}"))
        }
        ("--access-token-command" | "--workload-identity" | "--enterprise-id-token", _) => {
            secret_commands::without_secrets(&value, MASKED, client).unwrap_or(value)
        }
        ("--authorize-param", Some((parameter, text))) if value.contains('=') => {
            format!("{parameter}={}", sensitive::mask(parameter, text, client))
        }
        ("--authorize-param", _) => MASKED.to_owned(),
        _ if value.contains("://") => sensitive::mask_urls(&value, client),
        ("--proxy", _) => sensitive::mask("", &value, client),
        _ => value,
    }
}

/// A header, or a command that prints one, as it may be shown.
fn mask_header(option: &str, value: String, client: Client) -> String {
    let Some((header, text)) = value.split_once(':') else { return MASKED.to_owned() };
    let shown = sensitive::mask(header.trim(), text.trim(), client);
    if shown != text.trim() {
        return format!("{header}: {shown}");
    }
    let command = match option {
        "--header-from" => secret_commands::without_secrets(text, MASKED, client),
        _ => None,
    };
    match command {
        Some(command) => format!("{header}: {command}"),
        None => value,
    }
}

/// Returns whether the word behind this one may be its value and a secret.
fn wants_secret(word: &Arg) -> bool {
    matches!(word, Arg::Option { name, value: None, .. } if is_secret_name(name) && cli::takes_value(name).is_none())
}

/// The description of an OAuth client as it may be shown: as it is, or not at all.
fn mask_json(value: String) -> String {
    if value.starts_with('@') || secrets::is_whole_reference(&value) {
        return value;
    }
    let mut is_secret = json::typed_members(&value).is_empty();
    let replaced = sensitive::replace_secrets(&value, &mut |_, _| {
        is_secret = true;
        String::new()
    });
    match is_secret || replaced.is_none() {
        true => MASKED.to_owned(),
        false => value,
    }
}

/// Hides whatever else looks like a secret in an entry, and adds the names to `found`. `above` is the name of the table, empty
/// for the entry itself: a value below the name of a secret is a secret.
fn mask_others(above: &str, table: &mut Table, client: Client, found: &mut Vec<String>) {
    for (name, node) in &mut table.members {
        // Variables and arguments of the entry itself are masked one by one.
        let is_own = |names: &[&str]| above.is_empty() && names.contains(&name.as_str());
        let judged_by = if is_secret_name(above) && !is_secret_name(name) { above } else { name.as_str() };
        match node {
            Value::Table(below) if !is_own(&["env"]) => mask_others(judged_by, below, client, found),
            Value::Text(text)
                if !["command", "cwd", "type"].contains(&name.as_str())
                    && sensitive::mask(judged_by, text, client) != *text =>
            {
                *text = sensitive::mask(judged_by, text, client);
                found.push(name.clone());
            }
            // A number. true, false and null hold nothing.
            Value::Literal(written)
                if is_secret_name(judged_by) && !["true", "false", "null"].contains(&written.as_str()) =>
            {
                *node = Value::Text(MASKED.to_owned());
                found.push(name.clone());
            }
            // The names of variables are no secrets.
            Value::Array(items) if !is_own(&["args", "env_vars"]) => {
                let before = found.len();
                mask_items(judged_by, items, client, found);
                found.truncate(found.len().min(before + 1));
            }
            Value::Text(_) | Value::Table(_) | Value::Array(_) | Value::Literal(_) => {}
        }
    }
}

/// The same for the items of a list of this name.
fn mask_items(name: &str, items: &mut [Value], client: Client, found: &mut Vec<String>) {
    for item in items {
        match item {
            Value::Table(below) => mask_others(name, below, client, found),
            Value::Array(below) => mask_items(name, below, client, found),
            Value::Text(text) => {
                // As in a header, or in a variable of Docker.
                let (own, value) = text.split_once([':', '=']).unwrap_or((name, text));
                let is_hidden = is_secret(own, value.trim()) && !refers(own, value, client);
                if is_hidden || sensitive::mask(name, text, client) != *text {
                    *text = MASKED.to_owned();
                    found.push(name.to_owned());
                }
            }
            Value::Literal(_) => {}
        }
    }
}
