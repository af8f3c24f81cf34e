//! Arguments before clap reads them: headers that a client cut at their spaces are joined, quotes that cmd.exe leaves in place
//! are removed, and a subcommand that stands after options comes first.
//!
//! Deliberately not here: what the arguments mean (`cli`).

use std::ffi::OsString;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::{is_subcommand, takes_value};

/// A scheme alone is the beginning of a value.
const SCHEMES: [&str; 3] = ["bearer", "basic", "token"];

/// The options whose value can be a command.
const COMMANDS: [&str; 3] = ["--access-token-command", "--workload-identity", "--enterprise-id-token"];

/// Puts headers that were cut together again and takes off quotes that belong to a shell.
pub fn repaired(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut repaired: Vec<OsString> = Vec::with_capacity(arguments.len());
    let mut rest = arguments.into_iter().peekable();
    while let Some(argument) = rest.next() {
        let follows = |option: &str| repaired.last().is_some_and(|last| last == option);
        let whole = match argument.to_str() {
            // What stands between quotes there is the command's own.
            Some(_) if COMMANDS.iter().any(|option| follows(option)) => argument,
            Some(text) if follows("--header") => header(text.to_owned(), &mut rest).into(),
            Some(text) => match text.strip_prefix("--header=") {
                Some(value) => format!("--header={}", header(value.to_owned(), &mut rest)).into(),
                None => unquoted_argument(text).into(),
            },
            None => argument,
        };
        repaired.push(whole);
    }
    repaired
}

/// Moves a subcommand that stands after options to the front: `-v check URL`.
pub(super) fn subcommand_first(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_option = |argument: &OsString| argument.as_encoded_bytes().starts_with(b"-");
    let named = arguments.iter().any(|argument| argument.to_str().is_some_and(is_subcommand));
    if !named || !arguments.get(1).is_some_and(is_option) {
        return arguments;
    }
    let mut at = 1;
    while let Some(argument) = arguments.get(at).filter(|argument| is_option(argument)) {
        if argument == "--" {
            return arguments;
        }
        let has_value = argument.to_str().and_then(takes_value) == Some(true);
        at += 1 + usize::from(has_value);
    }
    if arguments.get(at).and_then(|argument| argument.to_str()).is_some_and(is_subcommand) {
        let subcommand = arguments.remove(at);
        arguments.insert(1, subcommand);
    }
    arguments
}

/// A whole header, of which the next arguments may be parts.
fn header(mut text: String, rest: &mut Peekable<IntoIter<OsString>>) -> String {
    if let Some(quote) = open_quote(&text) {
        // Everything up to the quote that closes it, if one does.
        let parts: Option<Vec<String>> = closing(rest, quote);
        if let Some(parts) = parts {
            for part in parts {
                text.push(' ');
                text.push_str(&part);
                rest.next();
            }
        }
        return unquoted(&text).to_owned();
    }
    // A header that has a space in it was not cut at its spaces.
    let is_cut = |text: &str| text.contains(':') && !text.trim_end().contains([' ', '\t']);
    if !is_cut(&text) || unquoted(&text) != text.trim() {
        return unquoted(&text).to_owned();
    }
    let is_complete = text.split_once(':').is_some_and(|(_, value)| {
        !value.is_empty() && !SCHEMES.contains(&value.to_ascii_lowercase().as_str())
    });
    let is_part = |next: &OsString| {
        let is_port = |text: &str| is_complete && text.parse::<u16>().is_ok();
        next.to_str().is_some_and(|text| !is_option(text) && !is_url(text) && !is_port(text))
    };
    while let Some(part) = rest.next_if(is_part) {
        text.truncate(text.trim_end().len());
        text.push(' ');
        text.push_str(&part.to_string_lossy());
    }
    text
}

/// The quote that a text begins with and that it does not end with.
fn open_quote(text: &str) -> Option<char> {
    let quote = text.chars().next().filter(|letter| matches!(letter, '\'' | '"'))?;
    (text.len() == 1 || !text.ends_with(quote)).then_some(quote)
}

/// The next arguments up to the one that ends with this quote.
fn closing(rest: &Peekable<IntoIter<OsString>>, quote: char) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    for argument in rest.clone() {
        let part = argument.to_str()?.to_owned();
        let is_last = part.ends_with(quote);
        parts.push(part);
        if is_last {
            return Some(parts);
        }
    }
    None
}

/// An argument, or the value behind its `=`, without the quotes around it.
fn unquoted_argument(text: &str) -> String {
    match text.split_once('=') {
        Some((option, value)) if option.starts_with("--") => format!("{option}={}", unquoted_single(value)),
        Some(_) | None => unquoted_single(text).to_owned(),
    }
}

/// A text without the single quotes around it, unless there are others in it. cmd.exe takes off double ones itself.
fn unquoted_single(text: &str) -> &str {
    let inside = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    inside.filter(|inside| !inside.is_empty() && !inside.contains('\'')).unwrap_or(text)
}

/// A header without the quotes around the whole of it: no name begins with one.
fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inside = ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    inside.unwrap_or(text)
}

fn is_option(text: &str) -> bool {
    let name = text.split('=').next().unwrap_or_default();
    // A token may begin with a hyphen, and a misspelt option is to be named.
    text.starts_with("--") || text.starts_with('-') && (text.len() < 4 || takes_value(name).is_some())
}

fn is_url(text: &str) -> bool {
    let text = text.trim_start_matches(['\'', '"']).to_ascii_lowercase();
    text.starts_with("https://") || text.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Invocation, parse};

    #[test]
    fn headers_in_every_spelling_are_read_whole() {
        const URL: &str = "https://h/mcp";
        for (arguments, headers) in [
            (&["--header", "X: v", URL][..], &["X: v"][..]),
            (&["--header", "X:v", URL], &["X:v"]),
            (&["--header=X: v", URL], &["X: v"]),
            (&[URL, "--header", "X: v", "--header", "Y: w"], &["X: v", "Y: w"]),
            (&["--header", "X:", "v", URL], &["X: v"]),
            (&["--header=X:", "v", URL], &["X: v"]),
            (&[URL, "--header", "X:", "v"], &["X: v"]),
            (&["--header", "X:", URL], &["X:"]),
            (&["--header", "X:", "--verbose", URL], &["X:"]),
            (&["--header", "Authorization: Basic a:", URL], &["Authorization: Basic a:"]),
            (&["--header", "Authorization:", "Bearer", "abc", URL], &["Authorization: Bearer abc"]),
            (&[URL, "--header", "Authorization:", "Bearer", "abc"], &["Authorization: Bearer abc"]),
            (&["--header=Authorization:", "Bearer", "abc", URL], &["Authorization: Bearer abc"]),
            (&["--header", "Authorization:Bearer", "abc", URL], &["Authorization:Bearer abc"]),
            (&["--header", "Authorization:", "Bearer", "-abcd", URL], &["Authorization: Bearer -abcd"]),
            (&["--header", "Authorization:", "Bearer", "123", URL], &["Authorization: Bearer 123"]),
            (&["--header", "X:", "a", "b", "c", "d", URL], &["X: a b c d"]),
            (&["--header", "X:", "a", "b", "--header", "Y:", "c", "d", "-v", URL], &["X: a b", "Y: c d"]),
            (&["--header", "'Authorization: Bearer x'", URL], &["Authorization: Bearer x"]),
            (&["--header", "'Authorization:", "Bearer", "x'", URL], &["Authorization: Bearer x"]),
            (&["--header='X: v'", URL], &["X: v"]),
            (&["--header", "\"X: v\"", URL], &["X: v"]),
            (&["--header", "'X:v'", "'https://h/mcp'"], &["X:v"]),
            (&["--header", "X: 'v'", URL], &["X: 'v'"]),
        ] {
            let typed = parse(["mcp-tether"].iter().chain(arguments).map(OsString::from));
            let Ok(Invocation::Options(options)) = typed else { panic!("{arguments:?}: {typed:?}") };
            assert_eq!(options.headers, headers, "{arguments:?}");
            assert_eq!(options.positional, [URL], "{arguments:?}");
        }
    }

    #[test]
    fn moves_subcommand_before_options() {
        let moved = |line: &str| -> String {
            let arguments = subcommand_first(line.split(' ').map(OsString::from).collect());
            arguments
                .into_iter()
                .map(|argument| argument.into_string().expect("text"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (typed, expected) in [
            ("x -v check https://h", "x check -v https://h"),
            ("x --proxy http://p --silent login https://h", "x login --proxy http://p --silent https://h"),
            ("x --proxy=http://p tokens https://h", "x tokens --proxy=http://p https://h"),
            ("x --profile check https://h", "x --profile check https://h"),
            ("x https://h check", "x https://h check"),
            ("x check -v https://h", "x check -v https://h"),
            ("x -- check https://h", "x -- check https://h"),
            ("x -v https://h check", "x -v https://h check"),
        ] {
            assert_eq!(moved(typed), expected);
        }
    }

    #[test]
    fn ports_and_misspelt_options_stay_by_themselves() {
        let repaired = |arguments: &[&str]| -> Vec<String> {
            let repaired = repaired(arguments.iter().map(OsString::from).collect());
            repaired.into_iter().map(|argument| argument.into_string().expect("text")).collect()
        };
        for (arguments, expected) in [
            (&["https://h", "--header", "X:v", "9696"][..], &["https://h", "--header", "X:v", "9696"][..]),
            (&["--header", "X:", "--headr", "v"], &["--header", "X:", "--headr", "v"]),
            (&["--header", "X: v", "w"], &["--header", "X: v", "w"]),
            (&["--header", "'X: v", "w"], &["--header", "'X: v", "w"]),
            (&["--ignore-tool", "'delete*'"], &["--ignore-tool", "delete*"]),
            (&["--env-file='C:\\x y'"], &["--env-file=C:\\x y"]),
            (&["--resource", "''"], &["--resource", "''"]),
            (&["--access-token-command", "'/a b'"], &["--access-token-command", "'/a b'"]),
            (&["--header-from", "X: 'a b' 'c'"], &["--header-from", "X: 'a b' 'c'"]),
        ] {
            assert_eq!(repaired(arguments), expected, "{arguments:?}");
        }
    }
}
