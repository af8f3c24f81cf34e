//! What `-h` and `--help` show, and the completions for shells.
//!
//! `-h` fits a screen: the options that most people need, a line each. `--help` tells everything, with examples. The
//! completions are written when the options change (`tests/mcp_remote`, `UPDATE=1`) and carried along as text: what makes them
//! would be larger than they are. Deliberately not here: the options themselves (`cli`).

use clap::{Arg, Command};

/// What stands in `-h`, and how. Everything else is in `--help` alone.
const SHORT: &[(&str, &str)] = &[
    ("positional", "The remote server: https://mcp.example.com/mcp; a port behind it is for signing in"),
    ("headers", "A header, \"Name: value\"; ${VAR} is filled in. Repeatable"),
    ("header_files", "A file with one \"Name: value\" a line. Repeatable"),
    ("no_access", "Do not send the service token of CF_ACCESS_CLIENT_ID and _SECRET"),
    ("auth", "Sign in with a browser: auto, oauth (in any case) or none [default: auto]"),
    ("ignore_tools", "Leave out the tools whose name fits; * is anything. Repeatable"),
    ("allow_tools", "Leave out all tools but those whose name fits. Repeatable"),
    ("read_only", "Leave out all tools but those that say readOnlyHint: true"),
    ("allow_http", "Accept an http:// URL that is not on this machine"),
    ("proxy", "The proxy to use, in place of those of the environment"),
    ("transport", "http-first, sse-first, http-only or sse-only"),
    ("protocol", "The server's era: auto, legacy or modern [default: auto]"),
    ("verbose", "Tell on stderr what passes: -v, -vv, -vvv"),
    ("silent", "Tell nothing on stderr"),
];

/// Gives each option its text in `-h`, or leaves it out there.
pub(super) fn with_short_help(command: Command) -> Command {
    let shortened = |argument: Arg| {
        let short = SHORT.iter().find(|(id, _)| *id == argument.get_id().as_str());
        match short {
            // Its values and its default are in the line.
            Some((_, short)) => {
                let long = argument.get_help().cloned().unwrap_or_default();
                let hides = argument.get_action().takes_values();
                let argument = argument.long_help(long).help(*short);
                if hides { argument.hide_possible_values(true).hide_default_value(true) } else { argument }
            }
            None => argument.hide_short_help(true),
        }
    };
    command.mut_args(shortened)
}

/// The shells that there are completions for, and these.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", include_str!("../../examples/completions/mcp-tether.bash")),
    ("fish", include_str!("../../examples/completions/mcp-tether.fish")),
    ("powershell", include_str!("../../examples/completions/_mcp-tether.ps1")),
    ("zsh", include_str!("../../examples/completions/_mcp-tether")),
];

/// The completions for a shell.
pub(super) fn completions(shell: &str) -> Option<&'static str> {
    COMPLETIONS.iter().find(|(name, _)| *name == shell).map(|(_, text)| *text)
}
