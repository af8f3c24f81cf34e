//! The commands that write (`add`, `remove`, `migrate`, `install`) on the user's terminal.
//!
//! Deliberately not here: what they do (`client_config::switch`).

use std::io::{BufRead, BufReader, Read};
use std::process::ExitCode;

use super::console::{print, tell};
use crate::cli::SwitchCommand;
use crate::client_config::switch::{self, Console, SwitchOutcome};
use crate::config::Environment;
use crate::platform::Waiting;
use crate::startup_error::{StartupError, UNUSABLE};
use crate::stdio;

/// Runs a command that writes: `add`, `remove`, `migrate` or `install`.
#[inline(never)]
pub(super) fn run_switch(command: SwitchCommand, environment: &Environment) -> ExitCode {
    match switch::run(command, environment, &mut Terminal) {
        Ok(SwitchOutcome::Done) => ExitCode::SUCCESS,
        Ok(SwitchOutcome::Left) => ExitCode::FAILURE,
        Err(error) => {
            tell(&StartupError::from(&error).to_string());
            ExitCode::from(UNUSABLE)
        }
    }
}

/// The terminal of a command that asks.
pub(super) struct Terminal;

impl Console for Terminal {
    fn say(&mut self, text: &str) {
        print(text);
    }

    fn can_ask(&self) -> bool {
        stdio::is_terminal()
    }

    fn ask(&mut self, question: &str) -> bool {
        print(&format!("{question} [y/N] "));
        let mut answer = String::new();
        // An end of the input is a no.
        let read = BufReader::new(Waiting(std::io::stdin()).take(ANSWER)).read_line(&mut answer);
        read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
    }

    fn check(&mut self, arguments: &[String], variables: &[(String, String)]) -> bool {
        let Ok(program) = std::env::current_exe() else { return false };
        let mut command = std::process::Command::new(program);
        command.arg("check").args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

/// How long an answer may be, in bytes.
const ANSWER: u64 = 1024;
