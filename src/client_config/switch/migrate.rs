//! `mcp-tether migrate`: replaces the entries of other proxies in all files of this computer, and undoes it.
//!
//! Deliberately not here: how a new entry is made (`replacement`).

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::add::{
    add_inputs, check_nothing_else_changed, is_own, remove_env_file, remove_unused_inputs, say_written,
};
use super::config_file::ConfigFile;
use super::locations::{self, Creation, Location};
use super::replacement::{self, Replacement};
use super::{SwitchOutcome, SwitchSession, difference, env_file, listed};
use crate::channel;
use crate::cli::{MigrateArgs, SecretPlace, UsageError};
use crate::client_config::document::{Document, Format};
use crate::client_config::launch_command::{LaunchCommand, recognize};
use crate::client_config::migration::{Server, servers, started};
use crate::client_config::value::Table;
use crate::client_config::{Client, dialect, shown, unknown_client, usage};
use crate::secret::Secret;
use crate::{config, files, redact};

/// The largest file, in bytes.
const LIMIT: u64 = 64 * 1024 * 1024;

/// The numbers of entries.
#[derive(Default)]
struct EntryCounts {
    found: usize,
    replaced: usize,
    failed: usize,
}

/// Runs `migrate`.
pub(super) fn migrate(
    arguments: &MigrateArgs,
    session: &mut SwitchSession<'_>,
) -> Result<SwitchOutcome, UsageError> {
    let ConfigFiles { files, unreadable } = config_files(arguments, session)?;
    let can_write = arguments.yes || session.console.can_ask();
    let mut count = EntryCounts { failed: unreadable, ..EntryCounts::default() };
    let mut command = None;
    for file in &files {
        if let Err(error) = migrate_file(file, arguments, can_write, &mut command, &mut count, session) {
            // With --from there is no other file.
            if arguments.from.is_some() {
                return Err(error);
            }
            count.failed = count.failed.saturating_add(1);
            session.say_error("error", &error);
        }
    }
    let EntryCounts { found, replaced, failed } = count;
    if files.is_empty() && failed == 0 {
        session.say("No configuration file of a client was found.\n");
    } else if found == 0 {
        let read = files.iter().map(|file| format!("  {}\n", shown(&file.path))).collect::<String>();
        session.say(&format!("No entry to replace was found in {} files.\n{read}", files.len()));
    } else if !can_write {
        session.say(&format!("Entries that can be replaced: {found}\n"));
        return Err(usage(
            "there is no terminal to ask on, and nothing was changed",
            "run the same command with --yes to replace every entry that is certain",
        ));
    } else {
        let back = if replaced > 0 { " To undo: mcp-tether migrate --undo" } else { "" };
        session.say(&format!("Replaced: {replaced} of {found}.{back}\n"));
    }
    Ok(if replaced == found && failed == 0 { SwitchOutcome::Done } else { SwitchOutcome::Left })
}

/// The files to look at.
struct ConfigFiles {
    files: Vec<ConfigFile>,
    /// How many are there and cannot be read; each is reported.
    unreadable: usize,
}

/// The file that is named, or those of all clients that are there.
fn config_files(arguments: &MigrateArgs, session: &mut SwitchSession<'_>) -> Result<ConfigFiles, UsageError> {
    if let Some(from) = &arguments.from {
        let file = named_file(&config::home_expanded(from), arguments.client)?;
        return Ok(ConfigFiles { files: vec![file], unreadable: 0 });
    }
    let all = Client::ALL.into_iter();
    let own: Vec<Location> =
        all.flat_map(|client| locations::of_client(client, session.environment, session.system)).collect();
    if own.is_empty() {
        return Err(usage(
            "the home folder is not known",
            "set HOME to your home folder, or name a file with --from",
        ));
    }
    let (mut seen, mut found) = (HashSet::new(), ConfigFiles { files: Vec::new(), unreadable: 0 });
    for location in own.into_iter().chain(locations::of_project()) {
        // The home folder may be the project.
        match std::fs::canonicalize(&location.path) {
            Ok(target) if seen.contains(&target) => continue,
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
                continue;
            }
            Ok(target) => drop(seen.insert(target)),
            // Reading it says what is wrong.
            Err(_) => {}
        }
        if location.client == Client::Goose {
            about_goose(&location.path, session);
            continue;
        }
        match ConfigFile::read(&location) {
            Ok(file) => found.files.extend(file),
            Err(error) => {
                found.unreadable = found.unreadable.saturating_add(1);
                session.say_error("error", &error);
            }
        }
    }
    Ok(found)
}

/// Reports a file of Goose that holds another proxy: YAML is not edited.
fn about_goose(path: &Path, session: &mut SwitchSession<'_>) {
    let text = files::read_regular_text(path, LIMIT).unwrap_or_default();
    if ["mcp-remote", "supergateway", "mcp-proxy"].iter().any(|name| text.contains(name)) {
        session.say(&format!(
            "{} is YAML, which mcp-tether does not change: print the entry with mcp-tether config NAME URL --client goose\n\n",
            shown(path)
        ));
    }
}

fn named_file(path: &Path, client: Option<Client>) -> Result<ConfigFile, UsageError> {
    let has_ending = |endings: &[&str]| {
        path.extension()
            .is_some_and(|extension| endings.iter().any(|ending| extension.eq_ignore_ascii_case(ending)))
    };
    if has_ending(&["yaml", "yml"]) {
        return Err(usage(
            format!("the file {} is YAML, which mcp-tether does not change", shown(path)),
            "print the new entry: mcp-tether config NAME URL --client goose",
        ));
    }
    let known = client.or_else(|| has_ending(&["toml"]).then_some(Client::Codex));
    let location = |client| Location { client, path: path.to_owned(), creation: Creation::Never };
    let read = |client| {
        ConfigFile::read(&location(client))?.ok_or_else(|| {
            usage(format!("the file {} does not exist", shown(path)), "check the path of --from")
        })
    };
    if let Some(client) = known {
        return read(client);
    }
    let file = read(Client::ClaudeDesktop)?;
    let whole = file.document()?.entry(&[]).unwrap_or_default();
    let keys: Vec<&str> = servers(&whole).iter().map(|server| server.key).collect();
    match keys.first() {
        None => Ok(file),
        Some(key) => match Client::of_file(&shown(path), key) {
            Some(client) => read(client),
            None => Err(unknown_client("the client cannot be recognized by the name of the file")),
        },
    }
}

/// Recognizes the program that an entry starts.
fn launch_of(server: &Server<'_>) -> LaunchCommand {
    let (command, arguments) = started(&dialect::to_common(server.entry));
    recognize(&command, &arguments)
}

/// The changes of one file that were agreed to.
struct Edits<'file> {
    text: String,
    /// The paths of the replaced entries.
    paths: Vec<Vec<&'file str>>,
    /// The files for the secrets of these entries.
    env_files: Vec<(PathBuf, Vec<(String, Secret)>)>,
}

fn migrate_file(
    file: &ConfigFile,
    arguments: &MigrateArgs,
    can_write: bool,
    command: &mut Option<String>,
    count: &mut EntryCounts,
    session: &mut SwitchSession<'_>,
) -> Result<(), UsageError> {
    let original = file.document()?;
    let whole = original.entry(&[]).unwrap_or_default();
    let mut edits = Edits { text: file.text.clone(), paths: Vec::new(), env_files: Vec::new() };
    for server in &servers(&whole) {
        let name = server.name.replace(redact::is_unprintable, "?");
        let heading = format!("== {name} in {}, line {}", shown(&file.path), server.entry.line);
        if let LaunchCommand::NotReplaceable(why) = launch_of(server) {
            session.say(&format!("{heading}: {why}\n\n"));
        }
        if !matches!(launch_of(server), LaunchCommand::Replaceable { .. }) {
            continue;
        }
        count.found = count.found.saturating_add(1);
        if let Err(error) = file.check_writable().and_then(|()| check_name(server)) {
            session.say_error(&heading, &error);
            continue;
        }
        let program = match command {
            Some(program) => program.clone(),
            None if can_write => session.lasting_program(arguments.yes)?,
            None => channel::running().map_or_else(|| "mcp-tether".to_owned(), |path| shown(&path)),
        };
        *command = Some(program.clone());
        session.say(&format!("{heading}\n\n"));
        let taken: Vec<PathBuf> = edits.env_files.iter().map(|(path, _)| path.clone()).collect();
        let replacement = with_secrets_placed(server, file.client, &program, &taken, arguments, session);
        if let Some(replacement) = replacement {
            replace_entry(file, server, replacement, arguments, can_write, &mut edits, session);
        }
    }
    if edits.paths.is_empty() {
        return Ok(());
    }
    let after = Document::parse(&edits.text, file.format).map_err(|error| file.uneditable(&error))?;
    check_nothing_else_changed(&original, &after, &edits.paths, file)?;
    let backup = write_edits(file, &edits)?;
    count.replaced = count.replaced.saturating_add(edits.paths.len());
    say_written(session, file, backup);
    session.say("\n");
    Ok(())
}

/// Shows the change of one entry, and adds it to the edits if it is agreed to.
fn replace_entry<'file>(
    file: &ConfigFile,
    server: &Server<'file>,
    replacement: Replacement,
    arguments: &MigrateArgs,
    can_write: bool,
    edits: &mut Edits<'file>,
    session: &mut SwitchSession<'_>,
) {
    let path: Vec<&str> = server.above.iter().copied().chain([server.name]).collect();
    let text = match edited(&edits.text, &path, &replacement, file) {
        Ok(text) => text,
        Err(error) => {
            session.say_error("error", &error);
            return;
        }
    };
    let changes = difference::unified(&edits.text, &text, file.format, file.client);
    session.say(&format!("{changes}\n{}", listed(&replacement.remarks)));
    let name = server.name.replace(redact::is_unprintable, "?");
    if accepted(&name, &replacement, arguments, can_write, session) {
        edits.text = text;
        edits.paths.push(path);
        edits.env_files.extend(replacement.env_file);
    }
    session.say("\n");
}

/// Writes the files with secrets, and then the file of the client. Removes the former if the latter fails. Returns the backup.
fn write_edits(file: &ConfigFile, edits: &Edits<'_>) -> Result<Option<PathBuf>, UsageError> {
    let mut written = Vec::new();
    let result = edits.env_files.iter().try_for_each(|(path, secrets)| {
        env_file::write(path, secrets)?;
        written.push(path);
        Ok(())
    });
    let result = result.and_then(|()| file.write(&edits.text, "migrate"));
    if result.is_err() {
        written.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
    result
}

/// Checks that the entry has a name.
fn check_name(server: &Server<'_>) -> Result<(), UsageError> {
    match server.name.is_empty() {
        true => Err(usage("the entry has no name", "give it one in the client")),
        false => Ok(()),
    }
}

/// Makes the replacement. Asks where secrets in clear text go, unless an option says so.
fn with_secrets_placed(
    server: &Server<'_>,
    client: Client,
    command: &str,
    taken: &[PathBuf],
    arguments: &MigrateArgs,
    session: &mut SwitchSession<'_>,
) -> Option<Replacement> {
    let folder = session.env_folder();
    let make =
        |place| replacement::of(server, launch_of(server), client, command, place, folder.as_deref(), taken);
    if let Some(place) = arguments.secrets {
        return make(place);
    }
    let mut kept = make(SecretPlace::Keep)?;
    if kept.secret_count == 0 {
        return Some(kept);
    }
    if !arguments.yes && session.console.can_ask() {
        let moved = make(SecretPlace::EnvFile)?;
        if let Some((path, secrets)) = &moved.env_file {
            let question = format!(
                "The entry holds secrets in clear text ({}). Move them into {}, which only you can read?",
                secrets.len(),
                shown(path)
            );
            if session.console.ask(&question) {
                return Some(moved);
            }
        }
    }
    kept.remarks.push(format!(
        "the entry still holds secrets in clear text ({}); --secrets env-file moves them into a file that only you can read",
        kept.secret_count
    ));
    Some(kept)
}

/// The text of a file with the replacement.
fn edited(
    text: &str,
    path: &[&str],
    replacement: &Replacement,
    file: &ConfigFile,
) -> Result<String, UsageError> {
    let mut document = Document::parse(text, file.format).map_err(|error| file.uneditable(&error))?;
    document.set_entry(path, &replacement.table).map_err(|error| file.uneditable(&error))?;
    add_inputs(&mut document, &replacement.inputs, file)?;
    Ok(document.to_string())
}

/// Tests a replacement with `check` if `--check` is given, and asks the user.
fn accepted(
    name: &str,
    replacement: &Replacement,
    arguments: &MigrateArgs,
    can_write: bool,
    session: &mut SwitchSession<'_>,
) -> bool {
    let mut is_certain = replacement.is_certain;
    if arguments.check {
        let (words, variables) = &replacement.trial;
        let is_well = session.console.check(words, variables);
        session.say(if is_well { "check: every step worked\n" } else { "check: a step failed\n" });
        is_certain &= is_well;
    }
    match (can_write, arguments.yes) {
        (false, _) => false,
        (true, false) => session.console.ask(&format!("Replace {name}?")),
        (true, true) => {
            if !is_certain {
                session.say(
                    "Not replaced: the replacement is not certain. Run migrate without --yes to decide.\n",
                );
            }
            is_certain
        }
    }
}

/// Runs `migrate --undo`: puts back each entry that a backup has and that starts mcp-tether now. Everything else in the file stays
/// as it is today.
pub(super) fn undo(
    arguments: &MigrateArgs,
    session: &mut SwitchSession<'_>,
) -> Result<SwitchOutcome, UsageError> {
    let ConfigFiles { files, unreadable } = config_files(arguments, session)?;
    let (mut count, mut is_left) = (0_usize, unreadable > 0);
    for file in &files {
        match undo_file(file, arguments, session) {
            Ok(Some(restored)) => count = count.saturating_add(restored),
            Ok(None) => is_left = true,
            Err(error) if arguments.from.is_some() => return Err(error),
            Err(error) => {
                is_left = true;
                session.say_error("error", &error);
            }
        }
    }
    session.say(&match count {
        0 => "No entry was put back.\n".to_owned(),
        count => format!("Entries put back: {count}\n"),
    });
    Ok(if is_left { SwitchOutcome::Left } else { SwitchOutcome::Done })
}

/// The number of entries that were put back; none if the user said no.
fn undo_file(
    file: &ConfigFile,
    arguments: &MigrateArgs,
    session: &mut SwitchSession<'_>,
) -> Result<Option<usize>, UsageError> {
    let backups = file.backups("migrate");
    if backups.is_empty() {
        return Ok(Some(0));
    }
    file.check_writable()?;
    let (before, mut document) = (file.document()?, file.document()?);
    let mut restored: Vec<(Vec<String>, Table)> = Vec::new();
    let mut whole_text = None;
    for backup in &backups {
        let Some((text, old)) = parsed_backup(backup, file.format) else { continue };
        let whole = old.entry(&[]).unwrap_or_default();
        for server in servers(&whole) {
            let path: Vec<&str> = server.above.iter().copied().chain([server.name]).collect();
            let is_known = restored.iter().any(|(known, _)| *known == path);
            let is_replaced = matches!(launch_of(&server), LaunchCommand::Replaceable { .. });
            let Some(now) = document.entry(&path).filter(|now| is_replaced && !is_known && is_own(now))
            else {
                continue;
            };
            document.set_entry(&path, server.entry).map_err(|error| file.uneditable(&error))?;
            remove_unused_inputs(&mut document, server.name, file)?;
            restored.push((path.iter().map(|name| (*name).to_owned()).collect(), now));
        }
        if document.is_same_except(&old, &[]) {
            // To the byte, comments in the entries included.
            whole_text = Some(text);
        }
    }
    if restored.is_empty() {
        return Ok(Some(0));
    }
    let paths: Vec<Vec<&str>> =
        restored.iter().map(|(path, _)| path.iter().map(String::as_str).collect()).collect();
    check_nothing_else_changed(&before, &document, &paths, file)?;
    let text = whole_text.unwrap_or_else(|| document.to_string());
    session.say(&file.difference(&text));
    if !session.confirm(arguments.yes, &format!("Write this to {}?", shown(&file.path)))? {
        session.say("Nothing was changed.\n");
        return Ok(None);
    }
    let backup = file.write(&text, "undo")?;
    say_written(session, file, backup);
    for (_, entry) in &restored {
        remove_env_file(entry, &text, session);
    }
    backups.iter().for_each(|backup| drop(std::fs::remove_file(backup)));
    Ok(Some(restored.len()))
}

fn parsed_backup(path: &Path, format: Format) -> Option<(String, Document)> {
    let text = String::from_utf8(files::read_regular(path, LIMIT).ok()?).ok()?;
    let document = Document::parse(&text, format).ok()?;
    Some((text, document))
}
