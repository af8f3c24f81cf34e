//! What servers repeat: no secret shows in any encoding in an error, a log, a recording, a page or a file, and nothing that
//! another program wrote does anything to a terminal. The real binary, before servers that echo everything.
//!
//! Not on Windows, where a test cannot say where configuration is kept.
#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod check;
mod decoder;
mod refusals;
mod sign_in;

use std::path::Path;

/// The files below a folder, each with its text.
pub(crate) fn files(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(&path).expect("readable")).into_owned();
            files.push((path.display().to_string(), text));
        }
    }
    files
}

/// What does something to a terminal, a line, or the order of letters.
pub(crate) const OBEYED: &str = "\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{200b}\u{61c}";

/// Fails if a text holds any of it.
pub(crate) fn assert_does_nothing(text: &str, what: &str) {
    let does = |letter: &char| {
        letter.is_control() && *letter != '\n'
            || ['\u{202e}', '\u{2066}', '\u{2028}', '\u{200b}', '\u{61c}'].contains(letter)
    };
    let found: Vec<char> = text.chars().filter(does).collect();
    assert!(found.is_empty(), "{what} holds {found:?}: {text}");
}
