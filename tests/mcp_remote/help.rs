//! What the command line says about itself: help, completions and the man page.

use std::path::{Path, PathBuf};
use std::process;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};
use clap_complete::aot::{Shell, generate};
use clap_mangen::Man;
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
fn short_help_fits_a_screen() {
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
fn long_help_has_groups_and_examples() {
    let help = shown("--help");
    let headings = ["Credentials:", "Sign-in:", "Connection:", "Tools:", "Diagnostics:", "Examples:"];
    let places: Vec<usize> =
        headings.iter().map(|heading| help.find(&format!("\n{heading}\n")).expect(heading)).collect();
    assert!(places.is_sorted(), "{places:?}");
    for line in help.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

/// The subcommands.
const SUBCOMMANDS: [&str; 11] = [
    "run",
    "check",
    "login",
    "logout",
    "tokens",
    "config",
    "add",
    "remove",
    "migrate",
    "install",
    "completions",
];

#[test]
fn each_subcommand_has_short_complete_help() {
    for name in SUBCOMMANDS {
        let short = shown(&format!("{name} -h"));
        assert!(short.contains(&format!("mcp-tether {name}")) || name == "run", "{short}");
        assert!(short.contains("Usage: ") && !short.contains("as they were typed"), "{short}");
        // `config` ends with the list of clients.
        assert!(name == "config" || short.lines().count() <= 40, "{name}: {} lines", short.lines().count());
        let long = shown(&format!("help {name}"));
        assert_eq!(long, shown(&format!("{name} --help")));
        for line in short.lines().chain(long.lines()) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
    let about = |help: &str| help.lines().next().map(str::to_owned);
    let root = shown("--help");
    for name in SUBCOMMANDS {
        let about = about(&shown(&format!("{name} -h"))).expect("a line");
        assert!(root.contains(&format!("  {name:11}  {about}")), "{name}: {about}");
    }
}

/// A command as the completions show it: all options without a subcommand, behind one those of its `-h`, and none behind `run`.
///
/// The binary carries the completions along; every option behind every subcommand would make it 0.1 MB larger.
fn for_shells(command: &Command) -> Command {
    let is_root = command.get_name() == "mcp-tether";
    let is_shown = |arg: &&Arg| {
        let is_own = arg.get_id() != "help" && arg.get_id() != "version";
        is_own
            && command.get_name() != "run"
            && (is_root || !arg.is_hide_set() && !arg.is_hide_short_help_set())
    };
    let name: &'static str = command.get_name().to_owned().leak();
    let args = command.get_arguments().filter(is_shown).map(alone);
    let mut shown =
        Command::new(name).version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true).args(args);
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    shown.subcommands(command.get_subcommands().filter(|sub| sub.get_name() != "help").map(for_shells))
}

/// An argument without its relations to others, which may be missing where it is shown.
fn alone(arg: &Arg) -> Arg {
    let name: &'static str = arg.get_id().as_str().to_owned().leak();
    let mut copy = Arg::new(name).action(arg.get_action().clone()).value_hint(arg.get_value_hint());
    copy = copy.long(arg.get_long().map(|long| &*long.to_owned().leak())).short(arg.get_short());
    if let Some(names) = arg.get_value_names() {
        copy = copy.value_names(names.to_vec());
    }
    if let Some(help) = arg.get_help() {
        copy = copy.help(help.clone());
    }
    if let Some(help) = arg.get_long_help() {
        copy = copy.long_help(help.clone());
    }
    let values = arg.get_possible_values();
    if arg.get_action().takes_values() && !values.is_empty() {
        copy = copy.value_parser(PossibleValuesParser::new(values));
    }
    if arg.get_default_values().len() == 1 {
        copy = copy.default_values(arg.get_default_values().to_vec());
    }
    let count = arg.get_num_args().filter(|_| arg.is_positional() && arg.get_id() == "positional");
    if let Some(count) = count { copy.num_args(count) } else { copy }
}

fn built() -> Command {
    let mut command = mcp_tether::cli::command();
    command.build();
    command
}

/// Compares a generated file with the one in the repository; `UPDATE=1` writes it.
fn assert_current(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, text).expect("written");
        return;
    }
    let kept = std::fs::read_to_string(path).expect("a file");
    assert!(
        kept == text,
        "{} is not of these options: UPDATE=1 cargo test --test mcp_remote",
        path.display()
    );
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/completions")
}

#[test]
fn completions_are_generated_from_command() {
    for (shell, name, file) in [
        (Shell::Bash, "bash", "mcp-tether.bash"),
        (Shell::Fish, "fish", "mcp-tether.fish"),
        (Shell::PowerShell, "powershell", "_mcp-tether.ps1"),
        (Shell::Zsh, "zsh", "_mcp-tether"),
    ] {
        let mut text = Vec::new();
        generate(shell, &mut for_shells(&built()), "mcp-tether", &mut text);
        // The generator for bash has two spellings of a name with a hyphen, so that no subcommand would be found.
        let text = String::from_utf8(text).expect("UTF-8").replace("mcp__subcmd__tether", "mcp__tether");
        assert_current(&folder().join(file), &text);
        if std::env::var_os("UPDATE").is_none() {
            assert_eq!(shown(&format!("completions {name}")), text);
        }
        // The generator for PowerShell writes no values.
        let clients = Client::ALL.map(Client::name).into_iter().filter(|_| shell != Shell::PowerShell);
        for word in clients.chain(SUBCOMMANDS).chain(["from"]) {
            assert!(text.contains(word), "{name}: {word}");
        }
    }
}

/// The man page: the options of the command, then those that only a subcommand has.
fn man_page() -> String {
    let command = built();
    let mut page = Vec::new();
    let man = Man::new(for_shells(&command)).manual("mcp-tether");
    man.render_title(&mut page).expect("written");
    man.render_name_section(&mut page).expect("written");
    let text = |page: Vec<u8>| String::from_utf8(page).expect("UTF-8");
    let mut text = text(page);
    text.push_str(".SH SYNOPSIS\n");
    for line in ["mcp-tether [OPTIONS] URL [PORT]", "mcp-tether COMMAND [OPTIONS] URL"] {
        text.push_str(&format!("{}\n.br\n", escaped(line)));
    }
    text.push_str(".SH COMMANDS\n");
    let own = ["completions", "config", "check", "login"];
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", subcommand.get_name(), escaped(&about)));
    }
    text.push_str(&options(&command, |_| true));
    for (flags, help) in
        [("-h\\fR, \\fB--help", "Print help"), ("-V\\fR, \\fB--version", "Print the version")]
    {
        text.push_str(&format!(".TP\n\\fB{}\\fR\n{help}\n", flags.replace('-', "\\-")));
    }
    for subcommand in command.get_subcommands().filter(|subcommand| own.contains(&subcommand.get_name())) {
        let is_own = |arg: &Arg| !command.get_arguments().any(|other| other.get_id() == arg.get_id());
        let title = format!("OPTIONS OF {}", subcommand.get_name().to_uppercase());
        text.push_str(&options(subcommand, is_own).replacen(".SH OPTIONS", &format!(".SH \"{title}\""), 1));
    }
    let end = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    text.push_str(".SH NOTES\n.nf\n");
    for line in end.lines() {
        text.push_str(&escaped(line));
        text.push('\n');
    }
    text.push_str(".fi\n");
    text
}

fn options(command: &Command, is_shown: impl Fn(&Arg) -> bool) -> String {
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set() && is_shown(arg));
    let args = args.filter(|arg| arg.get_id() != "help" && arg.get_id() != "version").map(alone);
    let mut page = Vec::new();
    let name: &'static str = command.get_name().to_owned().leak();
    let named = Command::new(name).disable_help_flag(true).disable_version_flag(true).args(args);
    Man::new(named).render_options_section(&mut page).expect("written");
    String::from_utf8(page).expect("UTF-8")
}

/// A line of text for roff.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[test]
fn man_page_names_every_option_and_subcommand() {
    let page = man_page();
    assert_current(&folder().join("mcp-tether.1"), &page);
    for subcommand in SUBCOMMANDS {
        assert!(page.contains(&format!("\\fB{subcommand}\\fR")), "{subcommand}");
    }
    let command = built();
    for option in command.get_arguments().filter_map(Arg::get_long) {
        assert!(page.contains(&format!("\\fB\\-\\-{}\\fR", option.replace('-', "\\-"))), "--{option}");
    }
    for option in ["paste", "json", "client", "from", "env"] {
        assert!(page.contains(&format!("\\fB\\-\\-{option}\\fR")), "--{option}");
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
fn bash_completes_subcommands_clients_and_options() {
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
