//! Errors at start: on stderr, to the client, and as exit code.
//!
//! Deliberately not here: failures while it runs (`diagnosis`).

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use crate::bridge::{ErrorKind, ErrorReport, ExitReason};
use crate::cli::UsageError;
use crate::config;

/// Why the program cannot start, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupError {
    sentence: String,
    advice: String,
}

impl From<&config::Error> for StartupError {
    fn from(error: &config::Error) -> StartupError {
        StartupError { sentence: error.to_string(), advice: error.advice() }
    }
}

impl From<&UsageError> for StartupError {
    fn from(error: &UsageError) -> StartupError {
        StartupError { sentence: error.sentence.clone(), advice: error.advice.clone() }
    }
}

impl StartupError {
    /// The client cannot be made.
    pub fn setup(reason: impl fmt::Display) -> StartupError {
        StartupError {
            sentence: format!("the HTTP client cannot be set up: {reason}"),
            advice: "report this, with the platform and the version (mcp-tether --version)".to_owned(),
        }
    }

    /// The operating system allows too few open files for an event loop.
    pub fn too_few_descriptors() -> StartupError {
        StartupError {
            sentence: "the system allows this process too few open files".to_owned(),
            advice: "raise the limit of open files where the client is started (ulimit -n 256)".to_owned(),
        }
    }

    /// A signal came before the configuration was resolved, or the client left.
    pub fn stopped() -> ErrorReport {
        let sentence = "stopped before the command for a secret ended";
        ErrorReport::new(
            ErrorKind::Stopped,
            sentence,
            "run the command of --header-from or --access-token-command in a terminal",
        )
    }

    /// The options leave nothing to sign in for.
    pub fn nowhere_to_sign_in() -> StartupError {
        StartupError {
            sentence: "sign-in is not possible with these options: a header already authenticates the client, --auth is none, or the \
                       URL is not encrypted"
                .to_owned(),
            advice: "remove that header, or add --auth oauth".to_owned(),
        }
    }

    /// A file that an option names cannot be written.
    pub fn unwritable(option: &str, path: &Path, reason: &std::io::Error) -> StartupError {
        // A header that was written in its place may hold a secret.
        let path = path.display().to_string();
        let path = if path.contains(": ") { "(what was given looks like a header)" } else { &path };
        StartupError {
            sentence: format!("{path} cannot be written ({option}): {reason}"),
            advice: format!("name a file in a writable folder, or leave {option} out"),
        }
    }

    /// The same for the client, whose every request is answered with it.
    pub fn for_client(&self) -> ErrorReport {
        ErrorReport::new(ErrorKind::Configuration, &*self.sentence, &*self.advice)
    }
}

impl fmt::Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  try: {}", self.sentence, self.advice)
    }
}

/// The exit code for a configuration that cannot work.
pub const UNUSABLE: u8 = 2;

/// The exit code of a check that was stopped by a signal, as shells have it for Ctrl-C.
pub const STOPPED: u8 = 130;

/// The exit code after a conversation.
pub fn exit_code(reason: ExitReason) -> ExitCode {
    match reason {
        ExitReason::ClientClosed | ExitReason::Stopped(_) => ExitCode::SUCCESS,
    }
}
