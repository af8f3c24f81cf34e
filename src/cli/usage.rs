//! Arguments that cannot be understood, in words of our own.
//!
//! Deliberately not here: what is understood (`cli`).

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Arguments that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct UsageError {
    /// What is wrong.
    pub sentence: String,
    /// What to do about it.
    pub advice: String,
}

/// Says what clap found, in words of our own: clap's quote what was typed, which may be a secret.
pub fn usage_error(error: &clap::Error) -> UsageError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(named(text)),
        Some(ContextValue::Strings(texts)) => texts.first().map(|text| named(text)),
        _ => None,
    };
    let option = context(ContextKind::InvalidArg).unwrap_or_else(|| "an argument".to_owned());
    let see_help = "see mcp-tether --help".to_owned();
    let (sentence, advice) = match error.kind() {
        ErrorKind::UnknownArgument => {
            let nearest =
                context(ContextKind::SuggestedArg).map(|nearest| format!("did you mean {nearest}?"));
            (format!("there is no option {option}"), nearest.unwrap_or(see_help))
        }
        ErrorKind::InvalidValue if error.get(ContextKind::InvalidValue).is_some_and(is_empty) => {
            (format!("the option {option} wants a value"), see_help)
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let advice = match option.as_str() {
                "--callback-bind" => "write an address of this computer, such as 0.0.0.0".to_owned(),
                "--profile" => "write a short plain name, such as work".to_owned(),
                _ if option.ends_with("-timeout") || option.ends_with("-interval") => {
                    "write a number of seconds, such as 30".to_owned()
                }
                _ => see_help,
            };
            (format!("the value of {option} is not one that it takes"), advice)
        }
        ErrorKind::TooManyValues | ErrorKind::WrongNumberOfValues => {
            (format!("the option {option} takes no value, or not that many"), see_help)
        }
        ErrorKind::ArgumentConflict => {
            let other = context(ContextKind::PriorArg).unwrap_or_else(|| "another option".to_owned());
            (format!("{option} cannot be used with {other}"), "leave one of them out".to_owned())
        }
        ErrorKind::MissingRequiredArgument => {
            (format!("{option} is missing"), "--client-cert and --client-key go together".to_owned())
        }
        ErrorKind::InvalidUtf8 => ("an argument is not Unicode".to_owned(), see_help),
        kind => (kind.as_str().unwrap_or("the arguments cannot be understood").to_owned(), see_help),
    };
    UsageError { sentence, advice }
}

fn is_empty(value: &ContextValue) -> bool {
    matches!(value, ContextValue::String(text) if text.is_empty())
}

/// The name of an option, without what may have been typed along with it.
fn named(text: &str) -> String {
    text.split(['=', ':', ' ', '\t']).next().unwrap_or_default().to_owned()
}
