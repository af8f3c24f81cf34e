//! Errors of the command line, without the values that were typed.
//!
//! Deliberately not here: the command line itself (`cli`).

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command};

use super::{CheckArgs, ConfigArgs, LoginArgs, LogoutArgs};

/// Arguments that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct UsageError {
    /// What is wrong.
    pub sentence: String,
    /// What to do about it.
    pub advice: String,
}

/// Returns the error for what clap found. Its own text is not used: it quotes what was typed, which may be a secret.
pub fn usage_error(error: &clap::Error) -> UsageError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(named(text)),
        Some(ContextValue::Strings(texts)) => texts.first().map(|text| named(text)),
        _ => None,
    };
    let option = context(ContextKind::InvalidArg).unwrap_or_else(|| "an argument".to_owned());
    let see_help = "see mcp-tether --help".to_owned();
    let (sentence, advice) = match error.kind() {
        ErrorKind::UnknownArgument => match (owner(&option), context(ContextKind::SuggestedArg)) {
            (Some(owner), _) => (
                format!("{option} is an option of mcp-tether {owner}"),
                format!("leave it out, or run mcp-tether {owner} {option}"),
            ),
            (None, Some(nearest)) => {
                (format!("there is no option {option}"), format!("did you mean {nearest}?"))
            }
            (None, None) => (format!("there is no option {option}"), see_help),
        },
        ErrorKind::InvalidValue if error.get(ContextKind::InvalidValue).is_some_and(is_empty) => {
            let advice = valid_values(error).map_or(see_help, |values| format!("write one of {values}"));
            (format!("the option {option} requires a value"), advice)
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let advice = match (option.as_str(), valid_values(error)) {
                (_, Some(values)) => match context(ContextKind::SuggestedValue) {
                    Some(nearest) => format!("write one of {values}; did you mean {nearest}?"),
                    None => format!("write one of {values}"),
                },
                ("--callback-bind", _) => "write an address of this computer, such as 0.0.0.0".to_owned(),
                ("--token-store", _) => "write file, keychain, or command: and a command".to_owned(),
                ("--profile", _) => "write a short plain name, such as work".to_owned(),
                ("--env", _) => {
                    "write the name alone: its value is looked up when the server starts".to_owned()
                }
                _ if option.ends_with("-timeout") || option.ends_with("-interval") => {
                    "write a number of seconds, such as 30".to_owned()
                }
                _ => see_help,
            };
            (format!("the value of {option} is not valid"), advice)
        }
        ErrorKind::TooManyValues | ErrorKind::WrongNumberOfValues => {
            (format!("the option {option} takes no value, or fewer values"), see_help)
        }
        ErrorKind::ArgumentConflict => {
            let other = context(ContextKind::PriorArg).unwrap_or_else(|| "another option".to_owned());
            (format!("{option} cannot be used with {other}"), "leave one of them out".to_owned())
        }
        ErrorKind::MissingRequiredArgument if option.starts_with("--client-") => {
            (format!("{option} is missing"), "use --client-cert and --client-key together".to_owned())
        }
        ErrorKind::MissingRequiredArgument => (format!("{option} is missing"), see_help),
        ErrorKind::InvalidUtf8 => ("an argument is not Unicode".to_owned(), see_help),
        kind => (kind.as_str().unwrap_or("the arguments cannot be read").to_owned(), see_help),
    };
    UsageError { sentence, advice }
}

/// Returns the subcommand that has an option which the proxy does not have.
fn owner(option: &str) -> Option<String> {
    if super::takes_value(option).is_some() {
        return None;
    }
    // The whole command line takes too long to build for an error that a client waits for.
    type WithOptions = fn(Command) -> Command;
    let owners: [(&str, WithOptions); 4] = [
        ("check", CheckArgs::augment_args),
        ("login", LoginArgs::augment_args),
        ("logout", LogoutArgs::augment_args),
        ("config", ConfigArgs::augment_args),
    ];
    let has_option = |command: &Command| {
        command.get_arguments().any(|argument| match option.strip_prefix("--") {
            Some(long) => argument.get_long() == Some(long),
            None => argument.get_short().is_some_and(|short| option == format!("-{short}")),
        })
    };
    let found = owners.into_iter().find(|(name, options)| has_option(&options(Command::new(name))));
    found.map(|(name, _)| name.to_owned())
}

/// The valid values of the option that an error is about, where it has a list of them.
fn valid_values(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::ValidValue)? {
        ContextValue::Strings(values) if !values.is_empty() => Some(values.join(", ")),
        _ => None,
    }
}

/// Returns the subcommand that a misspelt word resembles most, none where it resembles none.
pub(super) fn nearest_subcommand(word: &str) -> Option<&'static str> {
    const LEAST: f64 = 0.8;
    let rated = super::SUBCOMMANDS.iter().map(|(name, _)| (strsim::jaro(word, name), *name));
    let nearest = rated.filter(|(likeness, _)| *likeness > LEAST).max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map(|(_, name)| name)
}

fn is_empty(value: &ContextValue) -> bool {
    matches!(value, ContextValue::String(text) if text.is_empty())
}

/// The name of an option, without what may have been typed along with it.
fn named(text: &str) -> String {
    text.split(['=', ':', ' ', '\t']).next().unwrap_or_default().to_owned()
}
