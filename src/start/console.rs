//! What a user's command prints: entries of `config`, the plan of `access`, help and errors.
//!
//! No client is connected here, so stdout belongs to the user.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::runtime;
use crate::cli::ConfigArgs;
use crate::client_config::{self, Installation, Part};
use crate::config::Environment;
use crate::platform::Waiting;
use crate::startup_error::{StartupError, UNUSABLE};
use crate::{access, redact, stdio};

/// Manages Cloudflare Access through Cloudflare's API.
#[inline(never)]
pub(super) fn manage_access(arguments: Vec<OsString>, environment: &Environment) -> ExitCode {
    let console = access::AccessConsole { print: &print, tell: &tell, is_terminal: stdio::is_terminal() };
    let work = |runtime: Runtime| {
        let code = runtime.block_on(access::run(arguments, environment, &console, stdio::stop_signal));
        runtime.shutdown_background();
        ExitCode::from(code)
    };
    let refused = |report: StartupError| {
        tell(&report.to_string());
        ExitCode::FAILURE
    };
    runtime().map_or_else(refused, work)
}

/// Prints the entry of a client's configuration: what is pasted on stdout, what is said about it on stderr.
#[inline(never)]
pub(super) fn print_entry(arguments: ConfigArgs, environment: &Environment) -> ExitCode {
    match client_config::run(arguments, environment, &Installation::of(environment)) {
        Ok(parts) => {
            let mut code = ExitCode::SUCCESS;
            for part in parts {
                match part {
                    Part::Stderr(text) => tell(&redact::foreign_lines(&text)),
                    Part::Stdout(text) => code = print(&text),
                }
            }
            code
        }
        Err(error) => {
            tell(&StartupError::from(&error).to_string());
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Writes to stderr for a user who waits. If stderr is closed, the text is dropped.
pub(super) fn tell(text: &str) {
    let _ = writeln!(Waiting(std::io::stderr()), "{text}");
}

/// Writes help or version to stdout, which is not a client's then.
pub(super) fn print(text: &str) -> ExitCode {
    let mut output = Waiting(std::io::stdout());
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // The reader closed the pipe because it has what it needs.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            tell(&format!("error: stdout cannot be written: {error}"));
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}
