//! The replacement of one entry with another proxy, as it is written into the file.
//!
//! Unlike what `config --from` prints, it keeps every value that works now. Deliberately not here: how such an entry is recognized
//! (`launch_command`), and asking (`migrate`).

use std::path::{Path, PathBuf};

use super::env_file;
use crate::cli::{self, SecretPlace};
use crate::client_config::args::{self, Arg};
use crate::client_config::entry::Entry;
use crate::client_config::launch_command::{self, LaunchCommand, program};
use crate::client_config::migration::{Server, check_starts};
use crate::client_config::other_proxies;
use crate::client_config::secrets::{EntryContext, Variable, rewrite_args};
use crate::client_config::sensitive::{is_secret, refers};
use crate::client_config::value::{Table, Value};
use crate::client_config::{Client, dialect};
use crate::config::Environment;
use crate::secret::Secret;

/// The options whose value may move into a variable, because mcp-tether fills it in.
const FILLED_IN: [&str; 3] = ["--header", "--static-oauth-client-info", "--enterprise-client-info"];

/// The new entry of a server.
pub(super) struct Replacement {
    /// In the form of the file of its client.
    pub(super) table: Table,
    /// The questions that the client is to ask.
    pub(super) inputs: Vec<Value>,
    /// Remarks about other meanings and losses.
    pub(super) remarks: Vec<String>,
    /// The file that takes the secrets, and what it holds.
    pub(super) env_file: Option<(PathBuf, Vec<(String, Secret)>)>,
    /// Nothing is left out, and mcp-tether starts with it.
    pub(super) is_certain: bool,
    /// The arguments and variables to try it with.
    pub(super) trial: (Vec<String>, Vec<(String, String)>),
    /// The number of secrets in clear text.
    pub(super) secret_count: usize,
}

/// Makes the new entry. `taken` are the files that earlier entries get. None where `launch` has no replacement.
pub(super) fn of(
    server: &Server<'_>,
    launch: LaunchCommand,
    client: Client,
    command: &str,
    place: SecretPlace,
    env_folder: Option<&Path>,
    taken: &[PathBuf],
) -> Option<Replacement> {
    let LaunchCommand::Replaceable { launcher, arguments, variables, mut remarks } = launch else {
        return None;
    };
    let place = match place {
        SecretPlace::Input if client != Client::VsCode => SecretPlace::Keep,
        SecretPlace::EnvFile if env_folder.is_none() => SecretPlace::Keep,
        place => place,
    };
    let mut table = without_command_table(server.entry);
    let mut own = table.get("env").and_then(Value::table).cloned().unwrap_or_default();
    variables.into_iter().for_each(|(name, value)| own.set(&name, Value::Text(value)));
    let arguments = other_proxies::with_token(&launcher, &own, arguments);
    for (name, _) in &own.members {
        remarks.extend(launch_command::about(name));
    }
    let (words, is_whole) = translated_words(&launcher, arguments, &mut remarks);
    let trial = trial_of(&words, &own);
    let MovedSecrets { mut arguments, secrets, asked, count } =
        move_secrets(server.name, words, &mut own, client, place);
    let env_file = match (env_folder, secrets.is_empty()) {
        (Some(folder), false) => {
            let path = env_file::free_path(folder, taken, server.name, client);
            arguments.extend(["--env-file".to_owned(), path.display().to_string()]);
            Some((path, secrets))
        }
        _ => None,
    };
    match own.members.is_empty() {
        true => table.remove("env"),
        false => table.set("env", Value::Table(own)),
    }
    let starts = check_starts(&arguments, client);
    if let Err(error) = &starts {
        remarks.push(format!("mcp-tether does not start with this: {}; {}", error.sentence, error.advice));
    }
    let entry =
        Entry { name: server.name.to_owned(), command: command.to_owned(), arguments, variables: asked };
    entry.fill(client, &mut table);
    Some(Replacement {
        table: dialect::of_client(client, &table),
        inputs: entry.inputs(client),
        remarks,
        env_file,
        is_certain: is_whole && starts.is_ok(),
        trial,
        secret_count: count,
    })
}

/// The arguments as mcp-tether takes them, and whether each one is kept.
fn translated_words(
    launcher: &[String],
    arguments: Vec<String>,
    remarks: &mut Vec<String>,
) -> (Vec<Arg>, bool) {
    let is_other = launcher.iter().any(|word| {
        let name = program(word);
        name.starts_with("supergateway") || name.starts_with("mcp-proxy")
    });
    // The arguments of other proxies are translated already.
    let is_whole = !is_other || !remarks.iter().any(|remark| other_proxies::is_loss(remark));
    let given = read_repaired(&arguments).len();
    let words = launch_command::translated(arguments, remarks);
    let is_whole = is_whole && words.len() == given;
    (words, is_whole)
}

/// The entry in its common form, whose command is a text, where Zed had a table.
fn without_command_table(entry: &Table) -> Table {
    let mut table = dialect::to_common(entry);
    if let Some(Value::Table(command)) = table.get("command").cloned() {
        if let Some(variables) = command.get("env") {
            table.set("env", variables.clone());
        }
        table.remove("args");
    }
    table
}

/// The arguments and variables for `check`. A reference that the client expands is left out.
fn trial_of(words: &[Arg], own: &Table) -> (Vec<String>, Vec<(String, String)>) {
    let variables = own
        .members
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.text()?.to_owned())))
        .filter(|(_, value)| !value.contains("${") && !value.contains("{env:"))
        .collect();
    let mut arguments = Vec::new();
    words.iter().for_each(|word| word.write(&mut arguments));
    (arguments, variables)
}

fn read_repaired(arguments: &[String]) -> Vec<Arg> {
    let repaired = cli::repaired(arguments.iter().map(Into::into).collect());
    args::read(repaired.into_iter().map(|word| word.to_string_lossy().into_owned()).collect(), |_| None)
}

/// The arguments of an entry after its secrets were moved.
struct MovedSecrets {
    arguments: Vec<String>,
    /// The secrets for a file.
    secrets: Vec<(String, Secret)>,
    /// The variables that the client asks for.
    asked: Vec<Variable>,
    /// How many there were.
    count: usize,
}

fn move_secrets(
    name: &str,
    words: Vec<Arg>,
    own: &mut Table,
    client: Client,
    place: SecretPlace,
) -> MovedSecrets {
    let nothing_set = Environment::default();
    let mut moved = MovedSecrets { arguments: Vec::new(), secrets: Vec::new(), asked: Vec::new(), count: 0 };
    let mut taken: Vec<String> = own.members.iter().map(|(name, _)| name.clone()).collect();
    let mut found: Vec<(String, Secret)> = Vec::new();
    for word in words {
        let is_filled_in = matches!(&word, Arg::Option { name, value: Some(value), .. }
            if FILLED_IN.contains(&name.as_str()) && !refers(header_name(value), header_value(value), client));
        if !is_filled_in {
            word.write(&mut moved.arguments);
            continue;
        }
        // Codex fills nothing in, so that the reference reaches mcp-tether.
        let context =
            EntryContext { client: Client::Codex, server: name, environment: &nothing_set, given: &taken };
        let rewritten = rewrite_args(vec![word.clone()], &context);
        if rewritten.typed.is_empty() || place == SecretPlace::Keep {
            moved.count = moved.count.saturating_add(rewritten.typed.len());
            word.write(&mut moved.arguments);
            continue;
        }
        taken.extend(rewritten.typed.iter().map(|(name, _)| name.clone()));
        found.extend(rewritten.typed);
        moved.arguments.extend(rewritten.arguments);
    }
    let is_clear = |(name, value): &(String, Value)| {
        value
            .text()
            .is_some_and(|text| !text.is_empty() && is_secret(name, text) && !refers(name, text, client))
    };
    for (name, value) in own.members.iter().filter(|member| is_clear(member)) {
        match place {
            SecretPlace::Keep => moved.count = moved.count.saturating_add(1),
            SecretPlace::EnvFile | SecretPlace::Input => {
                found.push((name.clone(), Secret::new(value.text().unwrap_or_default())));
            }
        }
    }
    moved.count = moved.count.saturating_add(found.len());
    for (name, _) in &found {
        own.remove(name);
    }
    match place {
        SecretPlace::Input => moved.asked.extend(found.into_iter().map(|(name, _)| Variable {
            name,
            text: None,
            is_needed: true,
        })),
        SecretPlace::EnvFile | SecretPlace::Keep => moved.secrets = found,
    }
    moved
}

fn header_name(header: &str) -> &str {
    header.split_once(':').map_or("", |(name, _)| name.trim())
}

fn header_value(header: &str) -> &str {
    header.split_once(':').map_or(header, |(_, value)| value.trim())
}
