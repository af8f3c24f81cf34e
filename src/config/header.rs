//! Written headers: from `Name: value` to a value that can be sent.

use std::cell::RefCell;
use std::path::Path;

use http::header::{self, HeaderName};

use super::Environment;
use super::command;
use super::error::{Error, Problem};
use super::expand::expand;
use super::placeholder;
use crate::files;
use crate::mcp;
use crate::redact;
use crate::secret::Secret;

/// A header that the user wrote.
pub(super) struct Header {
    pub(super) name: HeaderName,
    pub(super) value: Secret,
    /// The name as it was written.
    written: String,
    place: HeaderSource,
}

/// The source of a header.
#[derive(Clone)]
pub(super) enum HeaderSource {
    /// In a `--header`.
    Option,
    /// In a line of a file, counted from 1.
    File(String, usize),
    /// Printed by a command.
    Command,
}

impl HeaderSource {
    /// Names the header, or the place where its name should be.
    fn describe(&self, name: Option<&str>) -> String {
        match (self, name) {
            (HeaderSource::Option, Some(name)) => format!("the header {name}"),
            (HeaderSource::Option, None) => "a --header".to_owned(),
            (HeaderSource::Command, Some(name)) => format!("the header {name}, which a command prints,"),
            (HeaderSource::Command, None) => "a --header-from".to_owned(),
            (HeaderSource::File(path, line), Some(name)) => {
                format!("the header {name} ({path}, line {line})")
            }
            (HeaderSource::File(path, line), None) => format!("line {line} of {path}"),
        }
    }
}

impl Header {
    /// Returns whether this is the whole service token in one header, which never goes together with the pair
    /// (an application that reads tokens from one header, Access's `read_service_tokens_from_header`).
    pub(super) fn is_single_header_token(&self) -> bool {
        self.value.reveal().to_ascii_lowercase().contains("\"cf-access-client-id\"")
    }

    /// Returns whether the value may be another one when it is asked for again.
    pub(super) fn can_change(&self, variables_can: bool) -> bool {
        match self.place {
            HeaderSource::Option => variables_can,
            HeaderSource::File(..) | HeaderSource::Command => true,
        }
    }

    /// The value after a scheme such as `Bearer …`, or the whole value.
    pub(super) fn token(&self) -> &str {
        self.value.reveal().rsplit(' ').next().unwrap_or_default()
    }

    /// Names the header and where it stands.
    pub(super) fn what(&self) -> String {
        self.place.describe(Some(&self.written))
    }

    /// Names the header and says where it comes from, without its value.
    pub(super) fn described(&self) -> String {
        let place = match &self.place {
            HeaderSource::Option => "--header".to_owned(),
            HeaderSource::File(path, line) => format!("{path}, line {line}"),
            HeaderSource::Command => "a command".to_owned(),
        };
        let length = self.value.reveal().chars().count();
        format!("header {} ({length} characters) from {place}", self.written)
    }

    /// Says that the value cannot be sent.
    pub(super) fn refused(&self, problem: Problem) -> Error {
        Error::Value { what: self.what(), problem }
    }
}

/// Reads one header.
pub(super) fn parse(text: &str, place: HeaderSource, environment: &Environment) -> Result<Header, Error> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(Error::HeaderForm { place: place.describe(None) });
    };
    let written = name.trim();
    let Some(name) = header_name(written) else {
        return Err(Error::HeaderName { place: place.describe(None) });
    };
    let refused = |problem| Error::Value { what: place.describe(Some(written)), problem };
    let is_credential = is_credential(&name);
    if let HeaderSource::Option = place {
        check_as_typed(value, is_credential, environment).map_err(refused)?;
    }
    let unfilled = RefCell::new(None);
    let expanded = expand(value, |variable| {
        let supplied = environment.get(variable)?;
        if let Some(found) = placeholder::whole(supplied, is_credential) {
            let found = Problem::UnfilledVariable(environment.place(variable), found.to_owned());
            unfilled.borrow_mut().get_or_insert(found);
        }
        Some(supplied.to_owned())
    });
    let expanded = expanded.map_err(|error| refused(Problem::Expansion(error)))?;
    if let Some(problem) = unfilled.into_inner() {
        return Err(refused(problem));
    }
    let value = check(&expanded, is_credential).map_err(refused)?;
    Ok(Header { value: Secret::new(value), written: written.to_owned(), name, place })
}

/// Reads a name. One that begins with a quotation mark is allowed (RFC 9110, 5.6.2), but a shell has left that there.
fn header_name(written: &str) -> Option<HeaderName> {
    written.parse().ok().filter(|_| !written.starts_with(['\'', '"', '`']))
}

/// Finds what the client was to fill in and left as it was. What a variable supplies is none of the text.
fn check_as_typed(value: &str, is_credential: bool, environment: &Environment) -> Result<(), Problem> {
    // The text itself holds the default.
    let without_values = expand(value, |variable| {
        environment.get(variable).filter(|supplied| !supplied.is_empty()).map(|_| "filled".to_owned())
    });
    let typed = without_values.as_deref().unwrap_or(value);
    let found = placeholder::find(typed, is_credential);
    match (found, &without_values) {
        // An unset variable has an error of its own.
        (Some(found), Err(_)) if is_expanded(found) => Ok(()),
        (Some(found), _) => Err(Problem::unfilled(found)),
        (None, _) => Ok(()),
    }
}

/// Returns whether a text is a `${NAME}` or `${NAME:-default}`, which this program fills in itself.
fn is_expanded(text: &str) -> bool {
    !super::expand::variables(text).is_empty()
}

/// Runs the command of a `--header-from "Name: COMMAND"`.
pub(super) fn from_command(text: &str, is_first: bool) -> Result<Header, Error> {
    let place = HeaderSource::Command;
    let Some((name, command)) = text.split_once(':') else {
        return Err(Error::HeaderForm { place: place.describe(None) });
    };
    let written = name.trim();
    let Some(name) = header_name(written) else {
        return Err(Error::HeaderName { place: place.describe(None) });
    };
    printed(name, written, command, format!("--header-from {written}"), is_first)
}

/// The header whose value a command prints.
pub(super) fn printed(
    name: HeaderName,
    written: &str,
    command: &str,
    place: String,
    is_first: bool,
) -> Result<Header, Error> {
    let value = command::output(command, is_first).map_err(|reason| Error::Command { place, reason })?;
    let what = HeaderSource::Command.describe(Some(written));
    let value = check(&value, is_credential(&name)).map_err(|problem| Error::Value { what, problem })?;
    Ok(Header { value: Secret::new(value), written: written.to_owned(), name, place: HeaderSource::Command })
}

/// Reads a header file.
pub(super) fn read_file(path: &Path, environment: &Environment) -> Result<Vec<Header>, Error> {
    let text = files::read_text(path, files::SETTINGS_LIMIT)
        .map_err(|reason| Error::HeaderFile { path: quotable(path), reason })?;
    let lines = text.strip_prefix('\u{feff}').unwrap_or(&text).lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            parse(line, HeaderSource::File(path.display().to_string(), number), environment)
        })
        .collect()
}

/// A path as it may be told: a header that was written in its place may hold a secret.
fn quotable(path: &Path) -> String {
    let path = path.display().to_string();
    match path.contains(": ") {
        true => "(what was given looks like a header)".to_owned(),
        false => path,
    }
}

/// Headers that the protocol itself sets are left out: configurations copied from elsewhere often have them.
pub(super) fn leave_out_protocol_headers(headers: &mut Vec<Header>, warnings: &mut Vec<String>) {
    headers.retain(|header| {
        let is_ours = is_of_the_protocol(&header.name);
        if is_ours {
            warnings.push(format!("{} is left out: the protocol sets it", header.what()));
        }
        !is_ours
    });
}

/// Returns whether the protocol itself sets this header.
pub(super) fn is_of_the_protocol(name: &HeaderName) -> bool {
    [
        header::ACCEPT,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::HOST,
    ]
    .contains(name)
        || [mcp::header::SESSION_ID, mcp::header::PROTOCOL_VERSION, mcp::header::LAST_EVENT_ID]
            .contains(&name.as_str())
}

/// Trims a value and finds what cannot be right. `strict` is for credentials, which are not quoted by design.
pub(super) fn check(text: &str, strict: bool) -> Result<String, Problem> {
    let value = text.trim();
    let position = |wrong: fn(char) -> bool| Some(value.chars().position(wrong)? + 1);
    if value.is_empty() {
        return Err(Problem::Empty);
    }
    if let Some(found) = placeholder::whole(value, strict) {
        return Err(Problem::unfilled(found));
    }
    if let Some(at) = position(|letter| letter.is_control() && letter != '\t') {
        return Err(Problem::Control(at));
    }
    if let Some(at) = position(|letter| !letter.is_ascii()) {
        return Err(Problem::NotAscii(at));
    }
    match strict {
        true if value.starts_with(['"', '\'', '`']) => Err(Problem::Quoted),
        true if placeholder::is_scheme(value) => Err(Problem::Empty),
        true if has_pasted_name(value) => Err(Problem::NamePasted),
        true if is_placeholder(value) => Err(Problem::Placeholder),
        _ => Ok(value.to_owned()),
    }
}

fn is_credential(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("cf-access-") || redact::is_sensitive_header(name)
}

fn has_pasted_name(value: &str) -> bool {
    let Some((name, _)) = value.split_once(':') else { return false };
    let name = name.trim().to_ascii_lowercase();
    matches!(name.as_str(), "cf-access-client-id" | "cf-access-client-secret" | "authorization" | "x-api-key")
}

fn is_placeholder(value: &str) -> bool {
    // The value proper follows a scheme such as "Bearer".
    let value = placeholder::behind_scheme(value).to_ascii_lowercase();
    let begins = |start: &str| value.starts_with(start);
    let starts =
        ["your-", "your_", "changeme", "change-me", "change_me", "placeholder", "replace-", "replace_"];
    (value.starts_with('<') && value.ends_with('>'))
        || starts.into_iter().any(begins)
        || value.ends_with("...")
        || value.ends_with("-here")
        || value.ends_with("_here")
        || (value.len() >= 3 && value.chars().all(|letter| letter == 'x' || letter == '*'))
}
