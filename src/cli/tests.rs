//! Arguments that are refused, and what stands where in the help.

use super::*;

fn refused(arguments: &[&str]) -> (String, String) {
    match parse(["mcp-tether"].iter().chain(arguments).map(OsString::from)) {
        Err(error) => (error.sentence, error.advice),
        Ok(_) => panic!("{arguments:?} was understood"),
    }
}

#[test]
fn unknown_option_suggests_nearest_one() {
    assert_eq!(
        refused(&["--headers", "X: y", "https://h"]),
        ("there is no option --headers".to_owned(), "did you mean --header?".to_owned())
    );
}

#[test]
fn misplaced_option_or_subcommand_suggests_its_place() {
    for (arguments, sentence, advice) in [
        (
            &["https://h", "--json"][..],
            "--json is an option of mcp-tether check",
            "run mcp-tether check --json",
        ),
        (&["check", "https://h", "--paste"], "--paste is an option of mcp-tether login", "leave it out"),
        (&["https://h", "-e", "A"], "-e is an option of mcp-tether config", "leave it out"),
        (&["https://h", "check"], "the subcommand check stands after the URL", "mcp-tether check URL"),
        (&["-v", "https://h", "login"], "the subcommand login stands after the URL", "mcp-tether login URL"),
        (
            &["login", "https://h", "--paste", "--device-code"],
            "--paste cannot be used with --device-code",
            "",
        ),
        (&["update"], "mcp-tether does not update itself", "mcp-tether --version"),
        (&["chekc", "https://h"], "the first argument is neither", "did you mean mcp-tether check?"),
        (&["https://h", "--auth", "oath"], "the value of --auth is not valid", "did you mean oauth?"),
        (&["completions", "marked"], "the value of <SHELL> is not valid", "bash, fish"),
        (
            &["https://h", "--auth", "marked"],
            "the value of --auth is not valid",
            "write one of auto, oauth, none",
        ),
    ] {
        let (told, advised) = refused(arguments);
        assert!(told.starts_with(sentence) && advised.contains(advice), "{arguments:?}: {told}; {advised}");
    }
}

#[test]
fn each_subcommand_sets_its_mode() {
    for (line, mode) in [
        ("https://h", Mode::Run),
        ("run https://h", Mode::Run),
        ("--silent https://h", Mode::Run),
        ("check https://h --json", Mode::Check { json: true }),
        ("-v check https://h", Mode::Check { json: false }),
        ("login --paste https://h 9696", Mode::Auth(AuthCommand::Login { paste: true })),
        (
            "--profile login logout https://h",
            Mode::Auth(AuthCommand::Logout { all: false, is_agreed: false }),
        ),
        ("logout --all --yes https://h", Mode::Auth(AuthCommand::Logout { all: true, is_agreed: true })),
        ("tokens https://h --read-only", Mode::Auth(AuthCommand::Tokens)),
    ] {
        let arguments = std::iter::once("mcp-tether").chain(line.split(' ')).map(OsString::from);
        match parse(arguments) {
            Ok(Invocation::Options(options)) => {
                assert_eq!(options.mode, mode, "{line}");
                assert_eq!(options.positional[0], "https://h", "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn usage_errors_repeat_no_value() {
    for (arguments, expected) in [
        (&["--headr=X: marked", "https://h"][..], "there is no option --headr"),
        (&["--header X-API-Key: marked", "https://h"], "there is no option --header"),
        (&["--X-API-Key: marked", "https://h"], "there is no option --X-API-Key"),
        (&["--silent=marked", "https://h"], "the option --silent takes no value, or fewer values"),
        (&["--connect-timeout", "marked", "https://h"], "the value of --connect-timeout is not valid"),
        (&["--connect-timeout", "-1", "https://h"], "the value of --connect-timeout is not valid"),
        (&["https://h", "--header-file"], "the option --header-file requires a value"),
        (&["--client-cert", "marked", "https://h"], "--client-key is missing"),
        (&["-v", "--silent", "https://h"], "--verbose... cannot be used with --silent"),
    ] {
        let (sentence, advice) = refused(arguments);
        assert_eq!(sentence, expected, "{arguments:?}");
        assert!(!advice.contains("marked"));
    }
}

#[test]
fn help_has_all_headings() {
    let arguments = ["mcp-tether", "--help"].map(OsString::from);
    let Ok(Invocation::Print(help)) = parse(arguments) else { panic!("no help") };
    for part in
        ["Credentials:", "Connection:", "Diagnostics:", "--header-file", "claude mcp add", "Exit codes"]
    {
        assert!(help.contains(part), "{part} is missing in\n{help}");
    }
}
