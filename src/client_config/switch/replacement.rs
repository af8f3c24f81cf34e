//! What takes the place of one entry with another proxy, as it is written into the file.
//!
//! Unlike what `config --from` prints, it keeps every value that works now. Deliberately not here: how such an entry is recognized
//! (`launch_command`), and asking (`migrate`).

use std::path::{Path, PathBuf};

use super::env_file;
use crate::cli::{self, SecretPlace};
use crate::client_config::args::{self, Arg};
use crate::client_config::entry::Entry;
use crate::client_config::launch_command::{self, LaunchCommand, program};
use crate::client_config::migration::Server;
use crate::client_config::other_proxies;
use crate::client_config::secrets::{EntryContext, Variable, rewrite_args};
use crate::client_config::sensitive::{is_secret, refers};
use crate::client_config::value::{Table, Value};
use crate::client_config::{Client, dialect, parse_options};
use crate::config::{self, Environment};
use crate::secret::Secret;

/// The options whose value may move into a variable, because mcp-tether fills it in.
const FILLED_IN: [&str; 2] = ["--header", "--static-oauth-client-info"];

/// The new entry of a server.
pub(super) struct Replacement {
    /// As it stands in the file of its client.
    pub(super) table: Table,
    /// The questions that the client is to ask.
    pub(super) inputs: Vec<Value>,
    /// What changes in meaning, and what is lost.
    pub(super) remarks: Vec<String>,
    /// The file that takes the secrets, and what it holds.
    pub(super) env_file: Option<(PathBuf, Vec<(String, Secret)>)>,
    /// Nothing is left out, and mcp-tether starts with it.
    pub(super) is_certain: bool,
    /// The arguments and variables to try it with.
    pub(super) trial: (Vec<String>, Vec<(String, String)>),
    /// How many secrets stand in the entry in clear text.
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
    let is_other = launcher.iter().any(|word| {
        let name = program(word);
        name.starts_with("supergateway") || name.starts_with("mcp-proxy")
    });
    // The arguments of the others are translated already.
    let is_whole = !is_other || !remarks.iter().any(|remark| other_proxies::is_loss(remark));
    let mut table = dialect::to_common(server.entry);
    if let Some(Value::Table(command)) = table.get("command").cloned() {
        if let Some(variables) = command.get("env") {
            table.set("env", variables.clone());
        }
        table.remove("args");
    }
    let mut own = table.get("env").and_then(Value::table).cloned().unwrap_or_default();
    variables.into_iter().for_each(|(name, value)| own.set(&name, Value::Text(value)));
    let arguments = other_proxies::with_token(&launcher, &own, arguments);
    for (name, _) in &own.members {
        remarks.extend(launch_command::about(name));
    }
    let given = read_repaired(&arguments).len();
    let words = launch_command::translated(arguments, &mut remarks);
    let is_whole = is_whole && words.len() == given;
    let text = |node: &Value| node.text().map(str::to_owned);
    let trial_variables = own
        .members
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        .filter(|(_, value)| !value.contains("${") && !value.contains("{env:"));
    let mut trial = (Vec::new(), trial_variables.collect::<Vec<_>>());
    words.iter().for_each(|word| word.write(&mut trial.0));

    let Moved { arguments, secrets, asked, count } =
        move_secrets(server.name, words, &mut own, client, place);
    let mut arguments = arguments;
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
    let starts = parse_options(&arguments).and_then(|options| {
        let is_filled = options.positional.iter().any(|text| refers("", text, client));
        match config::server_url(&options) {
            Err(error) if !(is_filled && client.reference("X", false).is_some()) => {
                Err(crate::client_config::usage(error.to_string(), error.advice()))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    });
    if let Err(error) = &starts {
        remarks.push(format!("mcp-tether will not start with this: {}; {}", error.sentence, error.advice));
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

fn read_repaired(arguments: &[String]) -> Vec<Arg> {
    let repaired = cli::repaired(arguments.iter().map(Into::into).collect());
    args::read(repaired.into_iter().map(|word| word.to_string_lossy().into_owned()).collect(), |_| None)
}

/// An entry whose secrets are where they are to be.
struct Moved {
    arguments: Vec<String>,
    /// What a file is to hold.
    secrets: Vec<(String, Secret)>,
    /// What the client asks for.
    asked: Vec<Variable>,
    /// How many there were.
    count: usize,
}

fn move_secrets(name: &str, words: Vec<Arg>, own: &mut Table, client: Client, place: SecretPlace) -> Moved {
    let nothing_set = Environment::default();
    let mut moved = Moved { arguments: Vec::new(), secrets: Vec::new(), asked: Vec::new(), count: 0 };
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
