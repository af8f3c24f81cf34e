//! Every command line and every entry of the pages is one that the program takes.
//!
//! The program itself reads each: once with `--help` behind it, which is reached only if everything before it can be read, and, where
//! no other program is needed, once more as a proxy without input whose server is an address of this computer.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::page::{Page, guide, readme};

/// The name of the program in a command line.
const PROGRAM: &str = "mcp-tether";
/// A server that nothing listens at.
const SERVER: &str = "http://127.0.0.1:1/mcp";

/// The words behind the program's name, where a command line starts it. Redirections, pipes and comments end it.
pub(crate) fn program_words(line: &str) -> Option<Vec<String>> {
    let words = split(line);
    let at = words.iter().position(|word| word == PROGRAM || word.ends_with("/mcp-tether"))?;
    // What a client's own command or an assignment has before the name does not matter; an installer's argument does.
    let starts = |word: &str| ["claude", "cargo", "npm", "npx"].contains(&word);
    if at > 0 && starts(words.first()?) && words.get(at - 1)? != "--" {
        return None;
    }
    let behind = words.into_iter().skip(at + 1);
    Some(behind.take_while(|word| !["<", ">", "|", "&&", ";", "#", "2>"].contains(&word.as_str())).collect())
}

/// The words of a line as a POSIX shell splits them; one whose quotes do not match is split at spaces.
fn split(line: &str) -> Vec<String> {
    shell_words::split(line).unwrap_or_else(|_| line.split(' ').map(str::to_owned).collect())
}

/// The command lines of the pages, and those of the entries in their blocks of JSON.
fn command_lines() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for page in guide().into_iter().chain([readme()]) {
        for words in lines_of(&page).into_iter().chain(entries_of(&page)) {
            found.push((page.name(), words));
        }
    }
    assert!(found.len() > 40, "{} command lines were found", found.len());
    found
}

fn lines_of(page: &Page) -> Vec<Vec<String>> {
    let shell = page.blocks().into_iter().filter(|block| ["sh", "yaml"].contains(&block.language.as_str()));
    let lines = shell.flat_map(|block| {
        let joined = block.content.replace("\\\n", " ");
        joined.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    lines.filter_map(|line| program_words(&line)).collect()
}

fn entries_of(page: &Page) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for block in page.blocks().into_iter().filter(|block| block.language == "json") {
        let value: serde_json::Value = serde_json::from_str(&block.content)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", page.name(), block.content));
        collect(&value, &mut found);
    }
    found
}

/// The arguments of each object whose command is the program.
fn collect(value: &serde_json::Value, found: &mut Vec<Vec<String>>) {
    if value["command"].as_str().is_some_and(|command| command.ends_with(PROGRAM)) {
        let arguments = value["args"].as_array().cloned().unwrap_or_default();
        found.push(arguments.iter().map(|argument| argument.as_str().expect("text").to_owned()).collect());
    }
    match value {
        serde_json::Value::Object(members) => members.values().for_each(|member| collect(member, found)),
        serde_json::Value::Array(elements) => elements.iter().for_each(|element| collect(element, found)),
        _ => {}
    }
}

/// Words with a real address, shell and file in place of the placeholders.
fn filled_in(words: &[String]) -> Vec<String> {
    let fill = |word: &String| match word.as_str() {
        "URL" => SERVER.to_owned(),
        "NAME" => "my-server".to_owned(),
        "CLIENT" => "cursor".to_owned(),
        "SHELL" => "bash".to_owned(),
        "PATH" | "FILE" => "file".to_owned(),
        _ => word.clone(),
    };
    words.iter().map(fill).collect()
}

fn run(words: &[String], home: &std::path::Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.args(words).env_clear().env("HOME", home).env("USERPROFILE", home);
    for name in ["MY_API_KEY", "API_TOKEN", "CLIENT_SECRET", "TOKEN", "KEY", "SECRET"] {
        command.env(name, "a-value-for-tests");
    }
    // A job of GitHub Actions.
    command.env("ACTIONS_ID_TOKEN_REQUEST_URL", "https://actions.example/token");
    command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "a-value-for-tests");
    command.env("CF_ACCESS_CLIENT_ID", "0123456789abcdef0123456789abcdef.access");
    command
        .env("CF_ACCESS_CLIENT_SECRET", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.and_then(std::process::Child::wait_with_output).expect("it starts")
}

#[test]
fn every_command_line_can_be_read() {
    let home = tempfile::tempdir().expect("a folder");
    for (page, words) in command_lines() {
        let mut words = filled_in(&words);
        words.push("--help".to_owned());
        let output = run(&words, home.path());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{page}: {PROGRAM} {words:?}\n{told}");
        assert!(!output.stdout.is_empty(), "{page}: {PROGRAM} {words:?} prints no help");
    }
}

#[test]
fn unknown_option_in_a_command_line_is_found() {
    let home = tempfile::tempdir().expect("a folder");
    let words = ["https://mcp.example.com/mcp", "--headr", "X: v", "--help"].map(str::to_owned);
    assert_eq!(run(&words, home.path()).status.code(), Some(2));
    let words = ["check", "--transport", "smoke-signals", SERVER, "--help"].map(str::to_owned);
    assert_eq!(run(&words, home.path()).status.code(), Some(2));
}

/// Whether a command line starts the proxy and needs no other program and no file but those that are made here.
fn can_run(words: &[String]) -> bool {
    let first = words.iter().find(|word| !word.starts_with('-')).map(String::as_str).unwrap_or_default();
    let is_command = crate::options::COMMANDS.contains(&first);
    let needs_more = [
        "--header-from",
        "--access-token-command",
        "--client-cert",
        "--ca-cert",
        "--paste",
        "--log-file",
        "--record",
    ];
    let needs_more = words.iter().any(|word| needs_more.contains(&crate::options::name_of(word)));
    let names_server = words.iter().any(|word| word.starts_with("http") || word == "URL");
    names_server
        && !is_command
        && !needs_more
        && !words.iter().any(|word| word == "--help" || word == "--version")
}

#[test]
fn every_proxy_command_line_can_be_started() {
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join(".config");
    std::fs::create_dir(&config).expect("a folder");
    std::fs::create_dir_all(config.join("mcp-tether/access")).expect("a folder");
    for name in ["mcp-token.env", "mcp-headers.txt", "mcp-tether/access/mcp.example.com.env"] {
        let mut file = std::fs::File::create(config.join(name)).expect("a file");
        let line = if name.ends_with(".env") { "MY_API_KEY=one" } else { "X-API-Key: one" };
        writeln!(file, "{line}").expect("written");
    }
    let mut count = 0;
    for (page, words) in command_lines().into_iter().filter(|(_, words)| can_run(words)) {
        let is_server = |word: &String| word.starts_with("https://mcp.") || word.starts_with("https://api.");
        let local = |word: &String| if is_server(word) { SERVER.to_owned() } else { word.clone() };
        let words: Vec<String> = filled_in(&words).iter().map(local).collect();
        let output = run(&words, home.path());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{page}: {PROGRAM} {words:?}\n{told}");
        assert!(output.stdout.is_empty(), "{page}: {words:?}");
        count += 1;
    }
    assert!(count > 10, "{count} command lines were started");
}
