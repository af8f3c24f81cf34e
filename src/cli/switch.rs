//! The subcommands that write: `add`, `remove`, `migrate` and `install`.
//!
//! Deliberately not here: what they do (`client_config::switch`).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum, ValueHint};

use super::clients::{Client, ClientParser};
use super::options::Options;
use super::{help, values};

/// A subcommand that writes.
#[derive(Debug)]
pub enum SwitchCommand {
    /// Adds an entry to a client's configuration.
    Add(Box<AddArgs>),
    /// Removes an entry.
    Remove(RemoveArgs),
    /// Replaces entries of other proxies.
    Migrate(MigrateArgs),
    /// Copies the program to the user's folder for programs.
    Install(InstallArgs),
}

/// The arguments of `add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Client to add the entry to
    #[arg(long, value_name = "CLIENT", value_parser = ClientParser, hide_possible_values = true)]
    pub client: Option<Client>,

    /// Configuration file to change
    ///
    /// Configuration file to change, such as that of a project, instead of the client's own for this user
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Environment variable that the server gets. Repeatable
    #[arg(
        short = 'e',
        long = "env",
        value_name = "NAME",
        value_parser = values::variable,
        value_hint = ValueHint::Other
    )]
    pub variables: Vec<String>,

    /// Replace an entry of the same name
    #[arg(long)]
    pub replace: bool,

    /// Write without asking
    #[arg(long)]
    pub yes: bool,

    #[command(flatten)]
    options: Options,

    /// Everything behind `add`, as it was written.
    #[arg(skip)]
    pub written: Vec<String>,
}

/// The arguments of `remove`.
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// Name of the server in the client
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Client to remove the entry from
    #[arg(long, value_name = "CLIENT", value_parser = ClientParser, hide_possible_values = true)]
    pub client: Option<Client>,

    /// Configuration file to change
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Write without asking
    #[arg(long)]
    pub yes: bool,
}

/// Where `migrate` puts the secrets that stand in an entry in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SecretPlace {
    /// They stay where they are.
    Keep,
    /// Into a file that its owner alone can read.
    EnvFile,
    /// The client asks for them and stores them (VS Code).
    Input,
}

/// The arguments of `migrate`.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// Configuration file to migrate, instead of those of all clients
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,

    /// Client that the file of --from belongs to
    #[arg(long, value_name = "CLIENT", value_parser = ClientParser, hide_possible_values = true, requires = "from")]
    pub client: Option<Client>,

    /// Try each replacement with `check` first
    #[arg(long)]
    pub check: bool,

    /// Put back the entries that an earlier `migrate` replaced
    #[arg(long, conflicts_with_all = ["check", "secrets"])]
    pub undo: bool,

    /// Where secrets in clear text go
    ///
    /// Where secrets in clear text go: they stay in the entry (keep), move into a file that you alone can read (env-file), or the
    /// client asks for them (input, VS Code alone). Without this option you are asked, and --yes means keep
    #[arg(long, value_name = "PLACE", value_enum)]
    pub secrets: Option<SecretPlace>,

    /// Replace every entry whose replacement is certain, without asking
    #[arg(long)]
    pub yes: bool,
}

/// The arguments of `install`.
#[derive(Args, Debug)]
pub struct InstallArgs {
    /// Replace a program that is there without asking
    #[arg(long)]
    pub yes: bool,
}

/// The subcommands, each with its arguments once it is used.
pub(super) fn commands() -> [Command; 4] {
    let command = |name| Command::new(name).about(help::about(name)).display_name("mcp-tether");
    [
        command("add").defer(|command| help::described(AddArgs::augment_args(command), "add")),
        command("remove").defer(|command| help::described(RemoveArgs::augment_args(command), "remove")),
        command("migrate").defer(|command| help::described(MigrateArgs::augment_args(command), "migrate")),
        command("install").defer(|command| help::described(InstallArgs::augment_args(command), "install")),
    ]
}

/// Reads the arguments of one of these subcommands; none for another one.
pub(super) fn read(
    name: &str,
    matches: &mut ArgMatches,
    written: Vec<OsString>,
) -> Result<Option<SwitchCommand>, clap::Error> {
    Ok(Some(match name {
        "add" => {
            let mut add = AddArgs::from_arg_matches_mut(matches)?;
            let written = written.into_iter().map(OsString::into_string).collect::<Result<_, _>>();
            add.written = written.map_err(|_| clap::Error::new(ErrorKind::InvalidUtf8))?;
            SwitchCommand::Add(Box::new(add))
        }
        "remove" => SwitchCommand::Remove(RemoveArgs::from_arg_matches_mut(matches)?),
        "migrate" => SwitchCommand::Migrate(MigrateArgs::from_arg_matches_mut(matches)?),
        "install" => SwitchCommand::Install(InstallArgs::from_arg_matches_mut(matches)?),
        _ => return Ok(None),
    }))
}

/// Returns whether an option of `add` that is not the proxy's takes a value. None for other options.
pub fn add_takes_value(option: &str) -> Option<bool> {
    match super::takes_value(option) {
        Some(_) => None,
        None => super::takes_value_in(&AddArgs::augment_args(Command::new("")), option),
    }
}
