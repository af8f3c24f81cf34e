//! `mcp-tether add` and `remove`: one entry of one client.
//!
//! Deliberately not here: what the entry holds (`client_config`), and how its file is written (`config_file`).
//!
//! The file of Claude Code is edited like the others, and not by `claude mcp add-json`: the change can be shown first, a backup
//! is written beside it, and the command need not be installed.

use std::path::PathBuf;

use super::config_file::ConfigFile;
use super::{SwitchOutcome, SwitchSession, env_file, listed, needs_client};
use crate::cli::{self, AddArgs, RemoveArgs, UsageError};
use crate::client_config::clients::Passing;
use crate::client_config::document::Document;
use crate::client_config::entry::{Entry, quoted, render_document};
use crate::client_config::launch_command::program;
use crate::client_config::value::{Table, Value};
use crate::client_config::{
    Client, Installation, PreparedEntry, about_variables, dialect, migration, prepare, proxy_arguments,
    sensitive, shown, usage,
};
use crate::config::Environment;
use crate::secret::Secret;

/// Runs `add`.
pub(super) fn add(arguments: AddArgs, session: &mut SwitchSession<'_>) -> Result<SwitchOutcome, UsageError> {
    let client = arguments.client.ok_or_else(needs_client)?;
    let location = session.location(client, arguments.file.as_deref())?;
    let words = proxy_arguments(arguments.written, cli::add_takes_value);
    // Invalid arguments are refused before anything is installed.
    let placeholder = Installation { system: session.system, found: None, running: None };
    let checked = prepare(
        client,
        "add",
        arguments.variables.clone(),
        words.clone(),
        session.environment,
        &placeholder,
    )?;
    let file = ConfigFile::read_or_begin(&location)?;
    file.check_writable()?;
    let path = [client.key(), checked.entry.name.as_str()];
    let mut document = file.document()?;
    let old = document.entry(&path);
    if old.is_some() && !arguments.replace {
        return Err(usage(
            format!("{} has an entry {} already", shown(&file.path), checked.entry.name),
            "choose another NAME, or add --replace",
        ));
    }
    let command = session.lasting_program(arguments.yes)?;
    let PreparedEntry { mut entry, hidden, typed, remarks } = checked;
    entry.command = command;
    let (secrets, env_path) = move_to_file(client, &mut entry, &typed, session);
    let mut all_remarks = about_variables(client, &entry, &remaining(hidden, &secrets));
    all_remarks.extend(remarks);
    if let Some(path) = &env_path {
        all_remarks.push(format!(
            "the value of {} is written into {}, which only you can read",
            secrets.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
            shown(path)
        ));
    }
    let table = dialect::of_client(client, &entry.table(client));
    let before = file.document()?;
    let path = [client.key(), entry.name.as_str()];
    document.set_entry(&path, &table).map_err(|error| file.uneditable(&error))?;
    add_inputs(&mut document, &entry.inputs(client), &file)?;
    check_nothing_else_changed(&before, &document, &[path.to_vec()], &file)?;
    let text = document.to_string();
    if text == file.text {
        session.say(&format!("{} has this entry already; nothing was changed.\n", shown(&file.path)));
        return Ok(SwitchOutcome::Done);
    }
    session.say(&file.difference(&text));
    session.say(&format!("\n{}", listed(&all_remarks)));
    if !session.confirm(arguments.yes, &format!("Write this to {}?", shown(&file.path)))? {
        session.say("Nothing was changed.\n");
        return Ok(SwitchOutcome::Left);
    }
    if let Some(path) = &env_path {
        env_file::write(path, &secrets)?;
    }
    let written = file.write(&text, "add");
    if let (Err(_), Some(path)) = (&written, &env_path) {
        let _ = std::fs::remove_file(path);
    }
    let backup = written?;
    say_written(session, &file, backup);
    if let Some(old) = old.filter(is_own) {
        remove_env_file(&old, &text, session);
    }
    session.say(&format!("Test it: {}\n", check_command(&entry.arguments, session.system == "windows")));
    Ok(SwitchOutcome::Done)
}

/// Prints the entry for the configuration of Goose, which is YAML and is not edited.
///
/// # Errors
/// Always: nothing is added. The remedy says what to do with the entry.
pub(super) fn print_for_goose(
    arguments: AddArgs,
    session: &mut SwitchSession<'_>,
) -> Result<SwitchOutcome, UsageError> {
    let client = Client::Goose;
    let words = proxy_arguments(arguments.written, cli::add_takes_value);
    let installation = Installation::of(session.environment);
    let PreparedEntry { entry, hidden, remarks, .. } =
        prepare(client, "add", arguments.variables, words, session.environment, &installation)?;
    let document = render_document(client, &entry.name, &entry.table(client), Vec::new());
    let mut all_remarks = about_variables(client, &entry, &hidden);
    all_remarks.extend(remarks);
    let places = client.places().join("\n  ");
    session.say(&format!("{}:\n  {places}\n\n{document}\n{}", client.title(), listed(&all_remarks)));
    Err(usage(
        "the configuration of Goose is YAML, which mcp-tether does not change",
        "paste the entry into that file, without the line extensions: if the file has that line",
    ))
}

/// The command that tests an entry. The URL has no query, which may hold a secret.
fn check_command(arguments: &[String], is_windows: bool) -> String {
    let url = arguments.iter().position(|argument| argument.contains("://"));
    let words = arguments.iter().enumerate().map(|(at, word)| match url == Some(at) {
        true => quoted(word.split('?').next().unwrap_or_default(), is_windows),
        false => quoted(word, is_windows),
    });
    format!("mcp-tether check {}", words.collect::<Vec<_>>().join(" "))
}

/// The hidden secrets that no file holds.
fn remaining(hidden: Vec<(String, String)>, moved: &[(String, Secret)]) -> Vec<(String, String)> {
    hidden.into_iter().filter(|(_, variable)| !moved.iter().any(|(name, _)| name == variable)).collect()
}

/// Moves those variables of an entry into a file whose values are known and which the client does not pass on.
fn move_to_file(
    client: Client,
    entry: &mut Entry,
    typed: &[(String, Secret)],
    session: &SwitchSession<'_>,
) -> (Vec<(String, Secret)>, Option<PathBuf>) {
    let environment: &Environment = session.environment;
    let mut moved: Vec<(String, Secret)> = Vec::new();
    // A variable that the client expands outside headers stays with the client.
    let is_filled = |name: &str| {
        let texts = entry.variables.iter().filter_map(|variable| variable.text.as_deref());
        let urls = entry.arguments.iter().map(String::as_str).filter(|argument| argument.contains("://"));
        texts.chain(urls).any(|text| text.contains(name))
    };
    for variable in entry.variables.iter().filter(|variable| variable.text.is_none()) {
        let name = variable.name.as_str();
        let passing = client.passing(name, sensitive::is_secret_name(name));
        let asks = matches!(&passing, Passing::Reference(text) if text.contains("${input:"));
        let own = typed.iter().find(|(known, _)| known == name).map(|(_, secret)| secret.clone());
        let set = environment.get(name).filter(|value| !value.is_empty());
        let value = match (own, set) {
            (Some(own), None) => Some(own),
            (_, Some(set)) if passing == Passing::Literal => Some(Secret::new(set)),
            _ => None,
        };
        if let Some(value) = value.filter(|_| !asks && !is_filled(name)) {
            moved.push((name.to_owned(), value));
        }
    }
    let Some(folder) = session.env_folder().filter(|_| !moved.is_empty()) else { return (Vec::new(), None) };
    let path = env_file::free_path(&folder, &[], &entry.name, client);
    entry.variables.retain(|variable| !moved.iter().any(|(name, _)| *name == variable.name));
    entry.arguments.extend(["--env-file".to_owned(), shown(&path)]);
    (moved, Some(path))
}

/// Adds the questions of an entry that the file does not ask yet.
pub(super) fn add_inputs(
    document: &mut Document,
    inputs: &[Value],
    file: &ConfigFile,
) -> Result<(), UsageError> {
    for input in inputs {
        let whole = document.entry(&[]).unwrap_or_default();
        let asked = whole.get("inputs").map(|list| match list {
            Value::Array(items) => items.iter().map(id_of).collect(),
            Value::Text(_) | Value::Table(_) | Value::Literal(_) => Vec::new(),
        });
        if !asked.unwrap_or_default().contains(&id_of(input)) {
            document.append_item("inputs", input).map_err(|error| file.uneditable(&error))?;
        }
    }
    Ok(())
}

fn id_of(input: &Value) -> String {
    let id = input.table().and_then(|table| table.get("id")).and_then(Value::text);
    id.unwrap_or_default().to_owned()
}

/// Refuses a result that differs in more than these entries and the questions of VS Code.
pub(super) fn check_nothing_else_changed(
    before: &Document,
    after: &Document,
    paths: &[Vec<&str>],
    file: &ConfigFile,
) -> Result<(), UsageError> {
    let mut paths = paths.to_vec();
    paths.push(vec!["inputs"]);
    let again = Document::parse(&after.to_string(), file.format);
    match again.is_ok_and(|again| before.is_same_except(&again, &paths)) {
        true => Ok(()),
        false => Err(usage(
            format!(
                "the file {} has an unusual form, and the change would touch more than the entry",
                shown(&file.path)
            ),
            "print the entry with mcp-tether config, and paste it",
        )),
    }
}

pub(super) fn say_written(session: &mut SwitchSession<'_>, file: &ConfigFile, backup: Option<PathBuf>) {
    let title = file.client.title();
    let kept = backup.map(|backup| format!(" Backup: {}.", shown(&backup))).unwrap_or_default();
    session.say(&format!("{} is written.{kept} Restart {title} to use it.\n", shown(&file.path)));
}

/// Returns whether an entry of a file starts mcp-tether.
pub(super) fn is_own(entry: &Table) -> bool {
    let (command, arguments) = migration::started(&dialect::to_common(entry));
    let is_package = |word: &String| word == "mcp-tether" || word.starts_with("mcp-tether@");
    program(&command) == "mcp-tether" || arguments.iter().take(4).any(is_package)
}

/// Runs `remove`.
pub(super) fn remove(
    arguments: &RemoveArgs,
    session: &mut SwitchSession<'_>,
) -> Result<SwitchOutcome, UsageError> {
    let client = arguments.client.ok_or_else(needs_client)?;
    let location = session.location(client, arguments.file.as_deref())?;
    let none = |file: &PathBuf| {
        usage(
            format!("{} has no entry {}", shown(file), arguments.name),
            "check the name, and --file if the entry is in the file of a project",
        )
    };
    let file = ConfigFile::read(&location)?.ok_or_else(|| none(&location.path))?;
    file.check_writable()?;
    let (before, mut document) = (file.document()?, file.document()?);
    let path = [client.key(), arguments.name.as_str()];
    let entry = document.entry(&path).ok_or_else(|| none(&location.path))?;
    if !is_own(&entry) {
        return Err(usage(
            format!("the entry {} does not start mcp-tether, and is left alone", arguments.name),
            "remove it in the client",
        ));
    }
    document.remove_entry(&path).map_err(|error| file.uneditable(&error))?;
    remove_unused_inputs(&mut document, &arguments.name, &file)?;
    check_nothing_else_changed(&before, &document, &[path.to_vec()], &file)?;
    let text = document.to_string();
    session.say(&file.difference(&text));
    if !session.confirm(arguments.yes, &format!("Write this to {}?", shown(&file.path)))? {
        session.say("Nothing was changed.\n");
        return Ok(SwitchOutcome::Left);
    }
    let backup = file.write(&text, "remove")?;
    say_written(session, &file, backup);
    remove_env_file(&entry, &text, session);
    Ok(SwitchOutcome::Done)
}

/// Removes the questions that were asked for an entry alone.
pub(super) fn remove_unused_inputs(
    document: &mut Document,
    name: &str,
    file: &ConfigFile,
) -> Result<(), UsageError> {
    let (ending, rest) = (format!(" of {name}"), document.to_string());
    let is_unused = |input: &Value| {
        let description = input.table().and_then(|table| table.get("description")).and_then(Value::text);
        description.is_some_and(|text| text.ends_with(&ending))
            && !rest.contains(&format!("${{input:{}}}", id_of(input)))
    };
    document.remove_items("inputs", is_unused).map_err(|error| file.uneditable(&error))
}

/// Removes the file with the secrets of an entry that is gone, if nothing else names it.
pub(super) fn remove_env_file(entry: &Table, text: &str, session: &mut SwitchSession<'_>) {
    let (_, arguments) = migration::started(&dialect::to_common(entry));
    let path = session.env_folder().and_then(|folder| env_file::named(&arguments, &folder));
    let name =
        path.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    if let (Some(path), Some(name)) = (path, name)
        && !text.contains(&name)
        && std::fs::remove_file(&path).is_ok()
    {
        session.say(&format!("{} is removed; it held the secrets of the entry.\n", shown(&path)));
    }
}
