//! The command line: subcommands and their options, by clap. `mcp-tether URL`, without a subcommand, means `mcp-tether run URL`.
//!
//! Deliberately not here: what the options mean (`config`), and what is done (`start`).

mod argv;
mod clients;
mod help;
mod options;
mod switch;
mod usage;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueHint};

pub use argv::repaired;
pub use clients::Client;
use clients::ClientParser;
pub use options::Options;
pub use switch::{
    AddArgs, InstallArgs, MigrateArgs, RemoveArgs, SecretPlace, SwitchCommand, add_takes_value,
};
pub use usage::{UsageError, usage_error};
pub use values::{AccessMode, AuthMode, DpopMode, Protocol, Shell, TokenStorePlace, TransportOption};

/// What the program does with its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `run`: connects a client with the server.
    #[default]
    Run,
    /// `check`: diagnoses the connection step by step.
    Check {
        /// Prints the findings as JSON.
        json: bool,
    },
    /// `login`, `logout` or `tokens`: manages the sign-in.
    Auth(AuthCommand),
}

/// The commands that manage a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthCommand {
    /// Signs in.
    Login {
        /// Reads the redirect URI from stdin.
        paste: bool,
    },
    /// Signs out.
    Logout {
        /// Signs out of all sign-ins at the server, or at every server.
        all: bool,
        /// Whether the user need not be asked.
        is_agreed: bool,
    },
    /// Prints what is stored.
    Tokens,
}

#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    options: Options,

    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct LoginArgs {
    #[command(flatten)]
    options: Options,

    /// Paste the address that the browser ends at
    ///
    /// Sign in with a browser on another computer, then paste the address that it ends at. The page at that address need not
    /// load
    #[arg(long, conflicts_with_all = ["device_code", "client_credentials"])]
    paste: bool,
}

#[derive(Args)]
struct LogoutArgs {
    #[command(flatten)]
    options: Options,

    /// Sign out of all profiles of the server; without a URL, of every server
    #[arg(long, conflicts_with = "profile")]
    all: bool,

    /// Do not ask
    #[arg(long, requires = "all")]
    yes: bool,
}

/// The arguments of `config`.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Client to print the entry for
    ///
    /// Client to print the entry for. With --from: the client that the file belongs to, if its name does not say
    #[arg(long, value_name = "CLIENT", value_parser = ClientParser, hide_possible_values = true)]
    pub client: Option<Client>,

    /// Configuration file whose mcp-remote entries to replace
    ///
    /// Configuration file of a client: JSON with or without comments, or TOML. Prints each entry that starts mcp-remote, and
    /// its replacement
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,

    /// Environment variable that the server gets. Repeatable
    ///
    /// Environment variable that the server gets, in addition to those that the options name and to the service token of
    /// Cloudflare Access if it is set here. Repeatable
    #[arg(
        short = 'e',
        long = "env",
        value_name = "NAME",
        value_parser = values::variable,
        value_hint = ValueHint::Other
    )]
    pub variables: Vec<String>,

    /// Print the JSON entry only (Claude Code)
    ///
    /// Print the entry for .mcp.json only, without the command (Claude Code)
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    options: Options,

    /// Everything behind `config`, as it was written: the entry repeats the proxy's options in their order and spelling.
    #[arg(skip)]
    pub written: Vec<String>,
}

#[derive(Args)]
struct CompletionsArgs {
    /// Shell to print completions for
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// What the arguments ask for.
#[derive(Debug)]
pub enum Invocation {
    /// Use these options as their [`Mode`] says.
    Options(Box<Options>),
    /// Print this text (help, version, completions) to stdout.
    Print(String),
    /// Print this version to stdout, with the channel that the program came through.
    Version(String),
    /// Print the entry of a client's configuration.
    Config(Box<ConfigArgs>),
    /// Change a client's configuration, or install the program.
    Switch(Box<SwitchCommand>),
}

/// The name of each subcommand, and whether a client starts it.
const SUBCOMMANDS: [(&str, bool); 12] = [
    ("run", true),
    ("check", false),
    ("login", false),
    ("logout", false),
    ("tokens", false),
    ("config", false),
    ("add", false),
    ("remove", false),
    ("migrate", false),
    ("install", false),
    ("access", false),
    ("completions", false),
];

fn is_subcommand(word: &str) -> bool {
    SUBCOMMANDS.iter().any(|(name, _)| *name == word)
}

/// Returns whether arguments name a subcommand that no client starts. An error then goes to stderr alone.
pub fn is_interactive(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).any(|word| SUBCOMMANDS.iter().any(|(name, starts)| !starts && word == name))
}

/// Reads the arguments, of which the first is the program's name.
///
/// # Errors
/// [`UsageError`] for an unknown option, a missing or an impossible value.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let mut arguments = argv::subcommand_first(repaired(arguments.into_iter().collect()));
    if matches!(arguments.as_slice(), [_, word] if word == "config") {
        arguments.push("--help".into());
    }
    let written: Vec<OsString> = arguments.iter().skip(2).cloned().collect();
    let parsed = parser().try_get_matches_from(&arguments);
    let parsed = match parsed {
        Err(error) if error.kind() == ErrorKind::DisplayHelp => command().try_get_matches_from(arguments),
        parsed => parsed,
    };
    match parsed.and_then(|matches| read(matches, written)) {
        Ok(Invocation::Options(options)) => checked(options),
        Ok(other) => Ok(other),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            Ok(Invocation::Print(error.render().to_string()))
        }
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            Ok(Invocation::Version(error.render().to_string()))
        }
        Err(error) => Err(usage_error(&error)),
    }
}

fn read(mut matches: ArgMatches, written: Vec<OsString>) -> Result<Invocation, clap::Error> {
    // Values are taken out of the matches: a copy of them would cost a start more than reading them.
    let (name, mut matches) = match matches.remove_subcommand() {
        Some((name, matches)) => (name, matches),
        None => (String::new(), matches),
    };
    let matches = &mut matches;
    let (mut options, mode) = match name.as_str() {
        "check" => {
            let CheckArgs { options, json } = CheckArgs::from_arg_matches_mut(matches)?;
            (options, Mode::Check { json })
        }
        "login" => {
            let LoginArgs { options, paste } = LoginArgs::from_arg_matches_mut(matches)?;
            (options, Mode::Auth(AuthCommand::Login { paste }))
        }
        "logout" => {
            let LogoutArgs { options, all, yes } = LogoutArgs::from_arg_matches_mut(matches)?;
            (options, Mode::Auth(AuthCommand::Logout { all, is_agreed: yes }))
        }
        "tokens" => (Options::from_arg_matches_mut(matches)?, Mode::Auth(AuthCommand::Tokens)),
        "config" => {
            let mut config = ConfigArgs::from_arg_matches_mut(matches)?;
            let written = written.into_iter().map(OsString::into_string).collect::<Result<_, _>>();
            config.written = written.map_err(|_| clap::Error::new(ErrorKind::InvalidUtf8))?;
            return Ok(Invocation::Config(Box::new(config)));
        }
        "completions" => {
            let CompletionsArgs { shell } = CompletionsArgs::from_arg_matches_mut(matches)?;
            return Ok(Invocation::Print(help::completions(shell).to_owned()));
        }
        name => match switch::read(name, matches, written)? {
            Some(command) => return Ok(Invocation::Switch(Box::new(command))),
            None => (Options::from_arg_matches_mut(matches)?, Mode::Run),
        },
    };
    options.mode = mode;
    options.no_access |= options.access == AccessMode::Never;
    Ok(Invocation::Options(Box::new(options)))
}

/// Refuses options that cannot go together and that clap cannot know of.
fn checked(options: Box<Options>) -> Result<Invocation, UsageError> {
    if let Some(word) = options.positional.iter().skip(1).find(|word| is_subcommand(word)) {
        return Err(UsageError {
            sentence: format!("the subcommand {word} stands after the URL"),
            advice: format!("write it first: mcp-tether {word} URL"),
        });
    }
    // A URL or a file has other letters.
    let is_plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let first = options.positional.first().filter(|word| options.mode == Mode::Run && is_plain(word));
    if first.is_some_and(|word| ["update", "upgrade"].contains(&word.as_str())) {
        return Err(UsageError {
            sentence: "mcp-tether does not update itself".to_owned(),
            advice: "run mcp-tether --version: it names the command that updates this copy".to_owned(),
        });
    }
    if let Some(nearest) = first.and_then(|word| usage::nearest_subcommand(word)) {
        return Err(UsageError {
            sentence: "the first argument is neither the server's URL nor a subcommand".to_owned(),
            advice: format!("did you mean mcp-tether {nearest}?"),
        });
    }
    if matches!(options.mode, Mode::Check { .. }) && options.record.is_some() {
        return Err(UsageError {
            sentence: "--record cannot be used with check".to_owned(),
            advice: "leave one of them out".to_owned(),
        });
    }
    Ok(Invocation::Options(options))
}

/// The whole command line, with its help.
pub fn command() -> Command {
    let run = |command| help::described(Options::augment_args(command), "run");
    help::described(tree(run), "")
}

/// The command line without the help of `run`, which takes longer to write than the arguments take to read.
fn parser() -> Command {
    tree(Options::augment_args)
}

/// The command line without the help of the whole. `run` adds the options of that subcommand. Subcommands get their options when
/// they are used, so that a start does not pay for them.
fn tree(run: fn(Command) -> Command) -> Command {
    let root = Command::new("mcp-tether").version(env!("CARGO_PKG_VERSION")).propagate_version(true);
    let root = root.args_override_self(true).args_conflicts_with_subcommands(true).max_term_width(120);
    let subcommand = |name| Command::new(name).about(help::about(name)).display_name("mcp-tether");
    let root = Options::augment_args(root).subcommands([
        subcommand("run").defer(run),
        subcommand("check").defer(|command| help::described(CheckArgs::augment_args(command), "check")),
        subcommand("login").defer(|command| help::described(LoginArgs::augment_args(command), "login")),
        subcommand("logout").defer(|command| help::described(LogoutArgs::augment_args(command), "logout")),
        subcommand("tokens").defer(|command| help::described(Options::augment_args(command), "tokens")),
        subcommand("config").defer(|command| help::described(ConfigArgs::augment_args(command), "config")),
        // `access` reads its own arguments; this is for help and completions.
        subcommand("access").arg(Arg::new("arguments").num_args(..).hide(true)),
    ]);
    root.subcommands(switch::commands()).subcommand(
        CompletionsArgs::augment_args(Command::new("completions"))
            .about("Print completions for a shell")
            .display_name("mcp-tether"),
    )
}

/// Returns whether an option of the proxy takes a value, `--header` or `-v`. None for other options.
pub fn takes_value(option: &str) -> Option<bool> {
    takes_value_in(&Options::augment_args(Command::new("")), option)
}

/// The same for the options of `config` that are not the proxy's.
pub fn config_takes_value(option: &str) -> Option<bool> {
    match takes_value(option) {
        Some(_) => None,
        None => takes_value_in(&ConfigArgs::augment_args(Command::new("")), option),
    }
}

fn takes_value_in(command: &Command, option: &str) -> Option<bool> {
    let found = command.get_arguments().find(|argument| match option.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => argument.get_short().is_some_and(|short| option == format!("-{short}")),
    });
    found.map(|argument| argument.get_action().takes_values())
}

#[cfg(test)]
mod tests;
