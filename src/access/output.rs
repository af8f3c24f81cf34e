//! What a command says: lines for users, or one JSON document for programs.
//!
//! Everything passes the redaction on its way out; a secret is printed by `--show-secret` alone.

use std::cell::RefCell;

use serde_json::{Map, Value};

use super::failure::{AccessFailure, Exit};
use crate::redact;

/// Where text goes: to stdout, and to stderr.
pub struct AccessConsole<'a> {
    /// Writes a text to stdout, as it is.
    pub print: &'a dyn Fn(&str) -> std::process::ExitCode,
    /// Writes a line to stderr.
    pub tell: &'a dyn Fn(&str),
    /// Whether a user is on stdin.
    pub is_terminal: bool,
}

impl std::fmt::Debug for AccessConsole<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessConsole").field("is_terminal", &self.is_terminal).finish_non_exhaustive()
    }
}

/// The output of one command.
pub(super) struct AccessOutput<'a> {
    pub(super) console: &'a AccessConsole<'a>,
    pub(super) is_json: bool,
    document: RefCell<Map<String, Value>>,
}

impl<'a> AccessOutput<'a> {
    pub(super) fn new(console: &'a AccessConsole<'a>, is_json: bool) -> AccessOutput<'a> {
        AccessOutput { console, is_json, document: RefCell::default() }
    }

    /// A line for users, on stdout.
    pub(super) fn line(&self, text: &str) {
        if !self.is_json {
            (self.console.print)(&format!("{}\n", redact::foreign_lines(text)));
        }
    }

    /// A line about what happens meanwhile, on stderr.
    pub(super) fn note(&self, text: &str) {
        (self.console.tell)(&redact::foreign_lines(text));
    }

    /// A text that holds a secret, because the user asked for it.
    pub(super) fn secret(&self, text: &str) {
        if !self.is_json {
            (self.console.print)(text);
        }
    }

    /// A member of the JSON document.
    pub(super) fn set(&self, name: &str, value: impl Into<Value>) {
        self.document.borrow_mut().insert(name.to_owned(), value.into());
    }

    /// Says how the command ended, and returns its exit code.
    pub(super) fn finish(&self, result: Result<bool, AccessFailure>) -> u8 {
        let code = match &result {
            Ok(true) => 0,
            Ok(false) => 1,
            Err(AccessFailure { exit: Exit::Failed, .. }) => 1,
            Err(AccessFailure { exit: Exit::Usage, .. }) => 2,
            Err(AccessFailure { exit: Exit::Stopped, .. }) => 130,
        };
        if let Err(failure) = &result {
            self.note(&failure.to_string());
            self.set("error", failure.as_json());
        }
        if self.is_json {
            self.set("ok", code == 0);
            let document = Value::Object(self.document.take());
            (self.console.print)(&format!("{document:#}\n"));
        }
        code
    }
}
