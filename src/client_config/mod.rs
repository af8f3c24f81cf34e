//! The entries of MCP clients: `config` prints one, `add`, `remove` and `migrate` change files, `install` copies the program.
//!
//! `config` writes no file, starts no program and opens no connection. The entry goes to stdout, the remarks to stderr. No secret is printed: for one that was typed or that a file holds, the entry refers to a variable.
//! Deliberately not here: what the options mean (`config`), and how anything is printed (`start`).

mod args;
mod clients;
mod dialect;
pub mod document;
mod entry;
mod launch_command;
mod migration;
mod one_line;
mod other_proxies;
mod secret_commands;
mod secrets;
mod sensitive;
pub mod switch;
pub mod value;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use clients::Client;

use crate::channel::{Channel, Nearby};
use crate::cli::{self, ConfigArgs, Invocation, Mode, Options, UsageError};
use crate::config::{self, Environment};
use crate::secret::Secret;
use args::Arg;
use clients::Passing;
use entry::Entry;
use secrets::{EntryContext, RewrittenArgs, Variable};

/// A part of the output.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Remarks, for stderr.
    Stderr(String),
    /// The text to paste, for stdout.
    Stdout(String),
}

/// The disadvantage of an entry with npx.
const ABOUT_NPX: &str = "the entry runs through npx, which prints and logs its arguments: put secrets into \"env\", or run \
                         mcp-tether install and print the entry with that program, which starts 100 times faster";

/// The paths of this program, for entries that name it.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The operating system, as `std::env::consts::OS` has it.
    pub system: &'static str,
    /// The program as it is found by its name, if it is.
    pub found: Option<PathBuf>,
    /// The program that runs.
    pub running: Option<PathBuf>,
}

impl Installation {
    /// Finds the program on the `PATH`, and the one that runs.
    pub fn of(environment: &Environment) -> Installation {
        let name = format!("mcp-tether{}", std::env::consts::EXE_SUFFIX);
        let path = environment.get("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(path).map(|folder| folder.join(&name));
        Installation {
            system: std::env::consts::OS,
            found: places.find(|place| place.is_absolute() && place.is_file()),
            running: std::env::current_exe().ok(),
        }
    }

    /// Returns whether npx started this program, so that there is no other path to it.
    fn runs_through_npx(&self) -> bool {
        let running = self.running.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        Channel::of(&running, "", Nearby::default()) == Channel::Npx
    }

    /// The command of an entry of this client, and a remark about it.
    fn command(&self, client: Client) -> (String, Option<String>) {
        if self.runs_through_npx() {
            return ("npx".to_owned(), Some(ABOUT_NPX.to_owned()));
        }
        let written = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let whole = written(&self.found).or_else(|| written(&self.running));
        // The system starts it, not a shell, with a short PATH.
        let has_no_path = client == Client::ClaudeDesktop && self.system == "macos";
        match (whole, &self.found) {
            (Some(whole), _) if has_no_path => (whole, None),
            (Some(whole), None) => {
                let remark = "mcp-tether is not on your PATH, so the entry names its full path".to_owned();
                (whole, Some(remark))
            }
            (Some(_) | None, _) => ("mcp-tether".to_owned(), None),
        }
    }
}

/// Runs `config`.
///
/// # Errors
/// [`UsageError`] for what cannot be an entry, and for a file that cannot be read. No secret is quoted.
pub fn run(
    arguments: ConfigArgs,
    environment: &Environment,
    installation: &Installation,
) -> Result<Vec<Part>, UsageError> {
    let proxy_arguments = proxy_arguments(arguments.written.clone(), cli::config_takes_value);
    match &arguments.from {
        Some(from) if proxy_arguments.is_empty() => {
            migration::all(from, arguments.client, environment, installation)
        }
        Some(_) => Err(usage(
            "--from takes no name, no URL and no option of the proxy: they stand in the file",
            "leave them out, or leave --from out",
        )),
        None => entry(arguments, proxy_arguments, environment, installation),
    }
}

/// The name, the URL and the options of the proxy, without those of `config` itself.
fn proxy_arguments(written: Vec<String>, own_takes_value: fn(&str) -> Option<bool>) -> Vec<Arg> {
    let is_own = |arg: &Arg| match arg {
        Arg::Option { name, .. } => {
            // The value of the short one may be joined to it.
            own_takes_value(name).is_some() || name.starts_with("-e")
        }
        Arg::Positional(_) => false,
    };
    let mut args = args::read(written, own_takes_value);
    args.retain(|arg| !is_own(arg));
    args
}

fn usage(sentence: impl Into<String>, advice: impl Into<String>) -> UsageError {
    UsageError { sentence: sentence.into(), advice: advice.into() }
}

/// The names of all clients.
fn names() -> String {
    Client::ALL.map(Client::name).join(", ")
}

fn unknown_client(sentence: &str) -> UsageError {
    usage(sentence, format!("add --client with one of {}", names()))
}

/// Reads arguments as the proxy would when it is started with them.
fn parse_options(arguments: &[String]) -> Result<Box<Options>, UsageError> {
    let whole = std::iter::once("mcp-tether").chain(arguments.iter().map(String::as_str));
    match cli::parse(whole.map(OsString::from)) {
        Ok(Invocation::Options(options)) => Ok(options),
        Ok(Invocation::Print(_) | Invocation::Version(_) | Invocation::Config(_) | Invocation::Switch(_)) => {
            Err(usage(
                "the options print a text instead of starting the proxy",
                "leave --version and --help out",
            ))
        }
        Err(error) => Err(error),
    }
}

/// The entry of a server, printed.
fn entry(
    arguments: ConfigArgs,
    proxy_arguments: Vec<Arg>,
    environment: &Environment,
    installation: &Installation,
) -> Result<Vec<Part>, UsageError> {
    let Some(client) = arguments.client else {
        return Err(unknown_client("--client is missing: each client has its own form"));
    };
    let prepared =
        prepare(client, "config", arguments.variables, proxy_arguments, environment, installation)?;
    let PreparedEntry { entry, hidden, mut remarks, .. } = prepared;
    remarks.splice(..0, about_variables(client, &entry, &hidden));
    if client == Client::ClaudeCode && installation.system == "windows" && !arguments.json {
        remarks.push(
            "the command is for PowerShell; in another shell, or if it contains a \", use the JSON"
                .to_owned(),
        );
    }
    let document = entry::render_document(client, &entry.name, &entry.table(client), entry.inputs(client));
    let printed = match client == Client::ClaudeCode && !arguments.json {
        true => format!("{}\n\n{document}", entry.command_line(installation.system == "windows")),
        false => document,
    };
    let places = client.places().join("\n  ");
    let remarks: String = remarks.iter().map(|remark| format!("- {remark}\n")).collect();
    let mut parts = vec![Part::Stderr(format!("{}:\n  {places}\n", client.title())), Part::Stdout(printed)];
    if !remarks.is_empty() {
        parts.push(Part::Stderr(format!("\n{}", remarks.trim_end())));
    }
    Ok(parts)
}

/// An entry, with its secrets and remarks.
struct PreparedEntry {
    entry: Entry,
    /// The place of each secret, and the variable that takes its place.
    hidden: Vec<(String, String)>,
    /// The secrets that were typed: the variable that takes the place of each, and its value.
    typed: Vec<(String, Secret)>,
    remarks: Vec<String>,
}

/// Makes an entry of arguments.
fn prepare(
    client: Client,
    subcommand: &str,
    variables: Vec<String>,
    proxy_arguments: Vec<Arg>,
    environment: &Environment,
    installation: &Installation,
) -> Result<PreparedEntry, UsageError> {
    let mut rest = proxy_arguments;
    let name = take_name(&mut rest, client, subcommand)?;
    let mut typed = Vec::new();
    rest.iter().for_each(|word| word.write(&mut typed));
    let options = parse_options(&typed)?;
    let url = check_options(&options)?;
    let context = EntryContext { client, server: &name, environment, given: &[] };
    let mut rewritten = secrets::rewrite_args(rest, &context);
    let access = match options.no_access {
        true => Vec::new(),
        false => config::access_variables(&url, environment),
    };
    let named: Vec<String> = access.iter().map(|name| (*name).to_owned()).chain(variables).collect();
    // CF_ACCESS_HOSTS of the entry names the host of its URL.
    if config::is_access_pair_among(&named) && !options.no_access {
        let (name, hosts) = (config::ACCESS_HOSTS.to_owned(), config::access_hosts_value(&url));
        rewritten.variables.push(Variable { name, text: Some(hosts), is_needed: true });
    }
    pass_on(named, client, environment, &mut rewritten.variables);
    let (command, about_command) = installation.command(client);
    let RewrittenArgs { arguments: mut entry_arguments, variables, hidden, typed, mut remarks } = rewritten;
    remarks.extend(about_command);
    remarks.extend(client.doubts_name(&name).map(str::to_owned));
    if installation.runs_through_npx() {
        entry_arguments.splice(..0, ["-y", "mcp-tether"].map(str::to_owned));
    }
    let entry = Entry { name, command, arguments: entry_arguments, variables };
    if access.is_empty() && !options.no_access && entry.variables.is_empty() {
        remarks.push(
            "for a server behind Cloudflare Access, set CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET first, or add \
             --env CF_ACCESS_CLIENT_ID --env CF_ACCESS_CLIENT_SECRET"
                .to_owned(),
        );
    }
    remarks.extend(about_surroundings(client, environment, &options));
    Ok(PreparedEntry { entry, hidden, typed, remarks })
}

/// Takes the name of the server from the arguments.
fn take_name(arguments: &mut Vec<Arg>, client: Client, subcommand: &str) -> Result<String, UsageError> {
    let first = arguments.iter().position(|word| matches!(word, Arg::Positional(_)));
    let name = match first.map(|at| arguments.remove(at)) {
        Some(Arg::Positional(name)) if !name.contains("://") && !name.trim().is_empty() => name,
        Some(_) | None => {
            return Err(usage(
                "the name of the server is missing",
                format!(
                    "write it before the URL: mcp-tether {subcommand} my-server https://mcp.example.com/mcp --client …"
                ),
            ));
        }
    };
    match client.refuses_name(&name) {
        Some(why) => {
            Err(usage(format!("{} {why}", client.title()), "choose another NAME, such as my-server"))
        }
        None => Ok(name),
    }
}

/// Checks the options of an entry. Returns the URL of the server.
fn check_options(options: &Options) -> Result<url::Url, UsageError> {
    if options.mode != Mode::Run {
        return Err(usage(
            "an entry cannot start check, login, logout or tokens",
            "write NAME and URL alone",
        ));
    }
    let url = config::server_url(options).map_err(|error| usage(error.to_string(), error.advice()))?;
    for header in &options.headers {
        let is_name = |name: &str| name.trim().parse::<http::HeaderName>().is_ok();
        if !header.split_once(':').is_some_and(|(name, _)| is_name(name)) {
            let error = config::Error::HeaderForm { place: "a --header".to_owned() };
            return Err(usage(error.to_string(), error.advice()));
        }
    }
    Ok(url)
}

/// Adds the named variables to those that the entry passes on.
fn pass_on(named: Vec<String>, client: Client, environment: &Environment, variables: &mut Vec<Variable>) {
    for variable in named {
        if !variables.iter().any(|known| known.name == variable) {
            // A client that passes nothing on needs the value, which is written down only if it is no secret.
            let is_literal = [Client::ClaudeDesktop, Client::LmStudio].contains(&client)
                && !sensitive::is_secret_name(&variable);
            let text = environment.get(&variable).filter(|_| is_literal).map(str::to_owned);
            variables.push(Variable { name: variable, text, is_needed: true });
        }
    }
}

/// Returns the remarks that tell the user how to set the variables of an entry.
fn about_variables(client: Client, entry: &Entry, hidden: &[(String, String)]) -> Vec<String> {
    let title = client.title();
    let mut remarks: Vec<String> = hidden
        .iter()
        .map(|(what, variable)| {
            format!("{what} is a secret and is not printed: put it into the variable {variable}, which the entry names")
        })
        .collect();
    let (mut set, mut asked, mut by_hand, mut inherited) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for variable in entry.variables.iter().filter(|variable| variable.text.is_none() && variable.is_needed) {
        let name = variable.name.as_str();
        match client.passing(name, sensitive::is_secret_name(name)) {
            Passing::Reference(text) if text.contains("${input:") => asked.push(name),
            Passing::Reference(_) | Passing::Named => set.push(name),
            Passing::Inherited => inherited.push(name),
            Passing::Literal => by_hand.push(name),
        }
    }
    // Variables inside a longer text.
    let texts = entry.variables.iter().filter_map(|variable| variable.text.as_deref());
    let within =
        texts.flat_map(|text| text.split("${env:").skip(1)).filter_map(|part| part.split('}').next());
    set.splice(..0, within);
    let list = |names: &[&str]| names.join(", ");
    if !set.is_empty() {
        remarks.push(format!("set {} in the environment of {title}", list(&set)));
    }
    if !asked.is_empty() {
        remarks.push(format!(
            "{title} asks for {} when it starts the server, and stores the answers",
            list(&asked)
        ));
    }
    if !inherited.is_empty() {
        remarks.push(format!(
            "{title} passes its environment on: set {} there, or write the values into \"env\"",
            list(&inherited)
        ));
    }
    if !by_hand.is_empty() {
        let placeholders: Vec<String> = by_hand.iter().map(|name| entry::placeholder(name)).collect();
        remarks.push(format!(
            "{title} passes no variable on: put the value of {} in the place of {}. The file then holds a secret",
            list(&by_hand),
            placeholders.join(", ")
        ));
    }
    let fills_arguments = [Client::ClaudeCode, Client::Gemini].contains(&client);
    if fills_arguments && entry.arguments.iter().any(|argument| argument.contains("${")) {
        remarks.push(format!(
            "{title} expands variables in arguments, so the value appears in the list of processes: \
             to avoid that, write the line into a file and name it with --header-file PATH"
        ));
    }
    remarks
}

/// Remarks about variables of the shell that the client may not pass on.
fn about_surroundings(client: Client, environment: &Environment, options: &Options) -> Vec<String> {
    if client.passes_everything() {
        return Vec::new();
    }
    let is_set = |name: &&str| environment.get(name).is_some_and(|value| !value.is_empty());
    let mut remarks = Vec::new();
    let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    if let Some(name) = proxies.iter().find(|name| is_set(name)).filter(|_| options.proxy.is_none()) {
        remarks.push(format!("{name} is set in your shell, and {} may not pass it on: add --proxy URL or --env {name} if the server needs it", client.title()));
    }
    let authorities = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    if let Some(name) = authorities.iter().find(|name| is_set(name)) {
        remarks.push(format!("{name} is set in your shell, and {} may not pass it on: add --ca-cert PATH or --env {name} if the server needs it", client.title()));
    }
    remarks
}

/// A path as it is displayed.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
