//! What is printed for people: help and completions.

use std::path::Path;
use std::process::Command;

use clap_complete::aot::{Shell, generate};

/// What the binary prints for these arguments.
pub(crate) fn shown(arguments: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    let output = command.args(arguments.split(' ')).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{arguments}");
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_short_help_fits_a_screen() {
    let help = shown("-h");
    assert!(help.lines().count() <= 40, "{} lines\n{help}", help.lines().count());
    for line in help.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    for part in ["--header", "--ignore-tool", "--silent", "mcp-tether --help", "check", "login"] {
        assert!(help.contains(part), "{part} is missing in\n{help}");
    }
}

#[test]
fn the_help_has_groups_and_examples() {
    let help = shown("--help");
    let headings = ["Credentials:", "Sign-in:", "Connection:", "Tools:", "Diagnostics:", "Examples:"];
    let places: Vec<usize> =
        headings.iter().map(|heading| help.find(&format!("\n{heading}\n")).expect(heading)).collect();
    assert!(places.is_sorted(), "{places:?}");
    for line in help.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

/// The completions that the binary carries along are those of its options; `UPDATE=1` writes them anew.
#[test]
fn completions_are_those_of_the_options() {
    for (shell, name, file) in [
        (Shell::Bash, "bash", "mcp-tether.bash"),
        (Shell::Fish, "fish", "mcp-tether.fish"),
        (Shell::PowerShell, "powershell", "_mcp-tether.ps1"),
        (Shell::Zsh, "zsh", "_mcp-tether"),
    ] {
        let mut text = Vec::new();
        generate(shell, &mut mcp_tether::cli::command(), "mcp-tether", &mut text);
        let text = String::from_utf8(text).expect("UTF-8");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/completions").join(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).expect("written");
            continue;
        }
        let kept = std::fs::read_to_string(&path).expect("a file");
        assert!(
            kept == text,
            "{} is not of these options: UPDATE=1 cargo test --test mcp_remote",
            path.display()
        );
        assert_eq!(shown(&format!("completions {name}")), text);
    }
}
