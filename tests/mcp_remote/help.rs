//! What is printed for people: help and completions.

use std::path::Path;
use std::process;

use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::aot::{Shell, generate};
use mcp_tether::client_config::Client;

/// What the binary prints for these arguments.
pub(crate) fn shown(arguments: &str) -> String {
    let mut command = process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
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

/// What may stand in the place of the URL.
const WORDS: [&str; 5] = ["check", "config", "login", "logout", "tokens"];

/// What the generator leaves out: the words and the clients, and in PowerShell everything behind a word.
fn completed_by_hand(shell: Shell, text: &str) -> String {
    match shell {
        Shell::Fish => {
            let words = WORDS.join(" ");
            format!("{text}complete -c mcp-tether -n __fish_use_subcommand -f -a \"{words}\"\n")
        }
        Shell::PowerShell => {
            let clients = Client::ALL.map(Client::name).join("', '");
            let values = format!(
                "    $before = $commandElements[$commandElements.Count - 1 - [int]($wordToComplete -ne '')]\n    \
                     if (\"$before\" -eq '--client') {{\n        \
                         return @('{clients}').Where{{ $_ -like \"$wordToComplete*\" }}\n    \
                     }}\n    $completions = "
            );
            let result = |word: &str| {
                format!(
                    "            [CompletionResult]::new('{word}', '{word}', [CompletionResultType]::ParameterValue, '{word}')\n"
                )
            };
            let all = format!("'mcp-tether*' {{\n{}", WORDS.map(result).concat());
            let text = text.replacen("    $completions = ", &values, 1);
            text.replacen("switch ($command)", "switch -Wildcard ($command)", 1).replacen(
                "'mcp-tether' {\n",
                &all,
                1,
            )
        }
        _ => text.to_owned(),
    }
}

/// The options as shells are to know them: with the words that may stand in the place of the URL, and those of `config`.
fn completed() -> Command {
    let client = Arg::new("client").long("client").value_parser(Client::ALL.map(Client::name));
    let from = Arg::new("from").long("from").value_hint(ValueHint::FilePath);
    let variable = Arg::new("env").long("env").short('e').action(ArgAction::Append);
    mcp_tether::cli::command()
        .mut_arg("positional", |positional| positional.value_parser(WORDS))
        .arg(client.value_name("CLIENT").help("With config: whose entry"))
        .arg(
            from.value_name("FILE")
                .help("With config: a client's configuration, whose mcp-remote is to be replaced"),
        )
        .arg(
            variable
                .value_name("NAME")
                .help("With config: a variable that the server is to have. Repeatable"),
        )
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
        generate(shell, &mut completed(), "mcp-tether", &mut text);
        let text = completed_by_hand(shell, &String::from_utf8(text).expect("UTF-8"));
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
        for word in Client::ALL.map(Client::name).into_iter().chain(WORDS).chain(["from"]) {
            assert!(text.contains(word), "{name}: {word}");
        }
    }
}

/// What bash offers behind these words.
#[cfg(unix)]
fn offered(words: &[&str]) -> Option<Vec<String>> {
    let script = format!(
        "{}\n_mcp__tether mcp-tether \"$2\" \"$1\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        shown("completions bash")
    );
    let set = format!("COMP_WORDS=({}); COMP_CWORD={}; ", words.join(" "), words.len() - 1);
    let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
    let mut command = process::Command::new("bash");
    let output = command.args(["-c", &(set + &script), "bash", before, last]).output().ok()?;
    Some(String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect())
}

#[cfg(unix)]
#[test]
#[expect(clippy::print_stderr, reason = "a test that does not run says why")]
fn bash_offers_clients_and_what_stands_in_the_place_of_the_url() {
    let Some(clients) = offered(&["mcp-tether", "config", "x", "--client", "c"]) else {
        eprintln!("skipped: there is no bash");
        return;
    };
    let expected: Vec<&str> =
        Client::ALL.map(Client::name).into_iter().filter(|name| name.starts_with('c')).collect();
    assert_eq!(clients, expected);
    assert!(offered(&["mcp-tether", "con"]).is_some_and(|words| words.contains(&"config".to_owned())));
    let options = offered(&["mcp-tether", "config", "x", "--fr"]);
    assert_eq!(options, Some(vec!["--from".to_owned()]));
}
