//! `${VAR}` and `${VAR:-default}` in header values: pure text to text.
//!
//! Our own thirty lines, because the crates for it also expand a bare `$VAR` or `~`, which would surprise in a header.
//! Deliberately not here: where the variables come from.

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A variable without a default is not set, or empty.
    #[error("the environment variable {0} is not set")]
    Unset(String),
    /// A `${` that has no `}`.
    #[error("a \"${{\" is not closed by a \"}}\"")]
    Unclosed,
    /// The text between the braces is not the name of a variable.
    #[error("\"${{{0}}}\" is not the name of an environment variable")]
    NoName(String),
}

/// Expands every `${VAR}` and `${VAR:-default}` of `text`, once: what a variable holds is not expanded again.
///
/// A variable that is set but empty counts as unset, as with the shell's `:-`.
///
/// # Errors
/// See [`Error`]. The error quotes names, never values.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, Error> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((inside, behind)) = behind.split_once('}') else { return Err(Error::Unclosed) };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(Error::NoName(beginning(name)));
        }
        match lookup(name).filter(|value| !value.is_empty()).as_deref().or(default) {
            Some(value) => expanded.push_str(value),
            None => return Err(Error::Unset(name.to_owned())),
        }
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The variables that [`expand`] would look up, each with whether it has a default.
pub fn variables(text: &str) -> Vec<(String, bool)> {
    let parts = text.split("${").skip(1).filter_map(|part| Some(part.split_once('}')?.0));
    let named = parts.map(|inside| match inside.split_once(":-") {
        Some((name, _)) => (name.to_owned(), true),
        None => (inside.to_owned(), false),
    });
    named.filter(|(name, _)| is_name(name)).collect()
}

/// The part of an invalid name that may be shown: its beginning, as far as it could be a name. The rest may be a value.
fn beginning(name: &str) -> String {
    let is_other = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == '.');
    match name.split_once(is_other) {
        Some((beginning, _)) => format!("{beginning}…"),
        None => name.to_owned(),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_defaults_are_expanded_once() {
        let lookup = |name: &str| match name {
            "KEY" => Some("v1".to_owned()),
            "NESTED" => Some("${KEY}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("plain $KEY", Ok("plain $KEY")),
            ("Bearer ${KEY}", Ok("Bearer v1")),
            ("${KEY}${KEY}", Ok("v1v1")),
            ("${MISSING:-d}", Ok("d")),
            ("${EMPTY:-d}", Ok("d")),
            ("${MISSING:-}", Ok("")),
            ("${KEY:-d}", Ok("v1")),
            ("${NESTED}", Ok("${KEY}")),
            ("${MISSING}", Err(Error::Unset("MISSING".into()))),
            ("${EMPTY}", Err(Error::Unset("EMPTY".into()))),
            ("a ${KEY", Err(Error::Unclosed)),
            ("${user_config.key}", Err(Error::NoName("user_config.key".into()))),
            ("${env:KEY}", Err(Error::NoName("env…".into()))),
            ("${KEY:=value}", Err(Error::NoName("KEY…".into()))),
            ("${sec-ret}", Err(Error::NoName("sec…".into()))),
            ("${}", Err(Error::NoName(String::new()))),
        ] {
            assert_eq!(expand(text, lookup), expected.map(str::to_owned), "{text}");
        }
    }
}
