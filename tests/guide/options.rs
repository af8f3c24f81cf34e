//! Every option of the program stands in exactly one option table of the guide, and every option that a page names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::commands::program_words;
use crate::page::{guide, readme};

/// The commands of the program; the empty one is the proxy.
pub(crate) const COMMANDS: [&str; 12] = [
    "",
    "check",
    "login",
    "logout",
    "tokens",
    "config",
    "add",
    "remove",
    "migrate",
    "install",
    "access",
    "completions",
];

/// The commands of `access`, each with options of its own.
const ACCESS_COMMANDS: [&str; 6] = ["setup", "status", "rotate", "renew", "revoke", "link"];

/// What the program prints for these arguments.
pub(crate) fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mcp-tether")).args(arguments).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The names of the options that a help lists, short and long: each begins a line that is indented by at most six spaces.
fn listed(help: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in help.lines() {
        let text = line.trim_start();
        if line.len() - text.len() > 6 || !text.starts_with('-') {
            continue;
        }
        let words = text.split([' ', ',', '=', '.']).filter(|word| !word.is_empty());
        let options = words.take_while(|word| word.starts_with('-'));
        // Two hyphens alone end the options, in an example.
        names.extend(options.filter(|word| *word != "--").map(str::to_owned));
    }
    names
}

/// Every option of every command, those that a help hides included: the completions have them.
pub(crate) fn options() -> BTreeSet<String> {
    let helps = COMMANDS.iter().map(|command| match *command {
        "" => printed(&["--help"]),
        command => printed(&[command, "--help"]),
    });
    let of_access = ACCESS_COMMANDS.iter().map(|command| printed(&["access", command, "--help"]));
    let mut names: BTreeSet<String> = helps.chain(of_access).flat_map(|help| listed(&help)).collect();
    let completions = printed(&["completions", "bash"]);
    let lists = completions.lines().filter_map(|line| line.trim().strip_prefix("opts=\""));
    names.extend(
        lists
            .flat_map(|list| list.trim_end_matches('"').split(' '))
            // Two hyphens alone end the options.
            .filter(|word| word.starts_with('-') && *word != "--")
            .map(str::to_owned),
    );
    assert!(names.len() > 60 && names.contains("--header") && names.contains("--from"), "{names:?}");
    names
}

/// The name of an option without its value: `--header` of `--header 'X: v'` and of `--header=X`.
pub(crate) fn name_of(text: &str) -> &str {
    text.split([' ', '=']).next().unwrap_or_default()
}

#[test]
fn every_option_is_in_exactly_one_table() {
    let options = options();
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for page in guide() {
        for row in page.rows_of("Option") {
            let cell = row.first().cloned().unwrap_or_default();
            let named = crate::page::spans_of(&cell);
            let named: Vec<&str> =
                named.iter().map(|span| name_of(span)).filter(|name| name.starts_with("--")).collect();
            assert!(!named.is_empty(), "{}: a row without an option: {cell}", page.name());
            for name in named {
                places.entry(name.to_owned()).or_default().push(page.name());
            }
        }
    }
    for option in options.iter().filter(|option| option.starts_with("--")) {
        let found = places.get(option).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(found.len(), 1, "{option} has to be in one option table, and is in {found:?}");
    }
    for (option, found) in places {
        assert!(options.contains(&option), "{found:?} describes {option}, which does not exist");
    }
}

#[test]
fn every_option_that_a_page_names_exists() {
    let options = options();
    let mut count = 0;
    for page in guide().into_iter().chain([readme()]) {
        for span in page.spans() {
            let named = match span.starts_with('-') {
                true => vec![name_of(&span).to_owned()],
                false => program_words(&span).unwrap_or_default(),
            };
            for name in named.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
                assert!(options.contains(name_of(name)), "{}: {name} does not exist (`{span}`)", page.name());
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count} options were found");
}
