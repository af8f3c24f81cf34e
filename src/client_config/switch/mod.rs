//! `add`, `remove`, `migrate` and `install`: the commands that write.
//!
//! Each shows what it would do, asks, and writes whole files with a backup beside them. Deliberately not here: what an entry looks
//! like (`entry`), how a file is edited (`document`), and the terminal (`start`).

mod add;
mod config_file;
mod difference;
mod env_file;
mod install;
mod locations;
mod migrate;
mod replacement;

use std::path::{Path, PathBuf};

use super::{Client, shown, usage};
use crate::channel::{self, Channel};
use crate::cli::{SwitchCommand, UsageError};
use crate::config::{self, Environment};
use locations::{Creation, Location};

/// The terminal, and the program `check`, which is started on it.
pub trait Console {
    /// Prints a text for the user.
    fn say(&mut self, text: &str);
    /// Returns whether there is a user who can be asked.
    fn can_ask(&self) -> bool;
    /// Asks a question that is answered by yes or no.
    fn ask(&mut self, question: &str) -> bool;
    /// Runs `check` with these arguments, in this environment and these further variables. Returns whether all is well.
    fn check(&mut self, arguments: &[String], variables: &[(String, String)]) -> bool;
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchOutcome {
    /// The command did everything.
    Done,
    /// The user said no, or an entry was not changed.
    Left,
}

/// Runs one of the commands.
///
/// # Errors
/// [`UsageError`] for every refusal. No file has changed then, unless an earlier line reports it.
pub fn run(
    command: SwitchCommand,
    environment: &Environment,
    console: &mut dyn Console,
) -> Result<SwitchOutcome, UsageError> {
    let mut session = SwitchSession { environment, console, system: std::env::consts::OS };
    match command {
        SwitchCommand::Add(arguments) if arguments.client == Some(Client::Goose) => {
            add::print_for_goose(*arguments, &mut session)
        }
        SwitchCommand::Add(arguments) => add::add(*arguments, &mut session),
        SwitchCommand::Remove(arguments) => add::remove(&arguments, &mut session),
        SwitchCommand::Migrate(arguments) if arguments.undo => migrate::undo(&arguments, &mut session),
        SwitchCommand::Migrate(arguments) => migrate::migrate(&arguments, &mut session),
        SwitchCommand::Install(arguments) => install::run(arguments.yes, &mut session),
    }
}

/// The state that every command shares.
struct SwitchSession<'a> {
    environment: &'a Environment,
    console: &'a mut dyn Console,
    /// The operating system, as `std::env::consts::OS` has it.
    system: &'static str,
}

impl SwitchSession<'_> {
    fn say(&mut self, text: &str) {
        self.console.say(text);
    }

    /// Reports an error about one file or entry, after which the command continues.
    fn say_error(&mut self, heading: &str, error: &UsageError) {
        self.say(&format!("{heading}: {error}\n  try: {}\n\n", error.advice));
    }

    /// Asks, unless the answer is on the command line.
    fn confirm(&mut self, is_agreed: bool, question: &str) -> Result<bool, UsageError> {
        match (is_agreed, self.console.can_ask()) {
            (true, _) => Ok(true),
            (false, true) => Ok(self.console.ask(question)),
            (false, false) => Err(usage(
                "there is no terminal to ask on, and nothing was changed",
                "run the same command with --yes to write without a question",
            )),
        }
    }

    /// The program as an entry names it, by a lasting path. Offers to install a temporary copy first.
    fn lasting_program(&mut self, is_agreed: bool) -> Result<String, UsageError> {
        let unknown = || usage("the path of this program is unknown", "start it by its full path");
        let running = channel::running().ok_or_else(unknown)?;
        let channel = Channel::of_process();
        if channel.is_temporary() {
            self.say(&format!(
                "This copy of mcp-tether was {}, and may be gone when the client starts it. It has to be installed first.\n",
                channel.name()
            ));
            return match install::install(is_agreed, self)? {
                Some(program) => Ok(shown(&program)),
                None => Err(usage(
                    "the entry would name a program that may be removed",
                    "run mcp-tether install first",
                )),
            };
        }
        // The path of a pnpm package has the version in it; the link on the PATH stays.
        let name = format!("mcp-tether{}", std::env::consts::EXE_SUFFIX);
        let path = self.environment.get("PATH").unwrap_or_default();
        let mut found = std::env::split_paths(path).map(|folder| folder.join(&name));
        let program = match shown(&running).contains(".pnpm") {
            true => found.find(|place| place.is_absolute() && place.is_file()).unwrap_or(running),
            false => running,
        };
        Ok(shown(&program))
    }

    /// The file that a command for one client changes.
    fn location(&self, client: Client, file: Option<&Path>) -> Result<Location, UsageError> {
        if client == Client::Goose {
            return Err(usage(
                "the configuration of Goose is YAML, which mcp-tether does not change",
                "print the entry: mcp-tether config NAME URL --client goose",
            ));
        }
        if let Some(file) = file {
            return Ok(Location { client, path: config::home_expanded(file), creation: Creation::Named });
        }
        let mut all = locations::of_client(client, self.environment, self.system);
        let at = all.iter().position(|location| location.path.exists()).unwrap_or_default();
        match all.is_empty() {
            true => Err(usage(
                "the home folder is not known",
                "set HOME to your home folder, or name the file with --file",
            )),
            false => Ok(all.swap_remove(at)),
        }
    }

    /// The folder of files with the secrets of entries.
    fn env_folder(&self) -> Option<PathBuf> {
        env_file::folder(self.environment, self.system)
    }
}

/// Remarks as they are printed.
fn listed(remarks: &[String]) -> String {
    remarks.iter().map(|remark| format!("- {remark}\n")).collect()
}

/// The error for a missing `--client`.
fn needs_client() -> UsageError {
    super::unknown_client("--client is missing: it names the client whose configuration is changed")
}
