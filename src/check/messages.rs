//! The messages of a check: requests of both eras, and what their answers say.
//!
//! Deliberately not here: when they are sent (`conversation`).

use std::cell::Cell;

use crate::bridge::{ErrorKind, ErrorReport, Facts, Mirror};
use crate::json;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::{MODERN_REVISION, SOURCE, message};

pub(super) fn client_info() -> String {
    message::implementation(&format!("{SOURCE} check"), env!("CARGO_PKG_VERSION"))
}

/// Makes the requests of one check. No two have the same id, as MCP demands within a session.
#[derive(Debug, Default)]
pub(super) struct Requests {
    made: Cell<u32>,
}

impl Requests {
    /// A request of the legacy era.
    pub(super) fn legacy(&self, method: &str, params: &str) -> Message {
        let number = self.made.get().saturating_add(1);
        self.made.set(number);
        message::request(&Id::from_number(number.into()), method, params)
    }

    /// A request of the modern era, for the page of a list behind `cursor`, where there is one.
    pub(super) fn modern(&self, method: &str, cursor: Option<&str>) -> Message {
        let cursor = cursor.map(|cursor| format!(r#","cursor":{cursor}"#)).unwrap_or_default();
        let meta = message::modern_meta("{}", Some(&client_info()));
        self.legacy(method, &format!(r#"{{"_meta":{{{meta}}}{cursor}}}"#))
    }
}

pub(super) fn modern_facts(method: &str) -> Facts {
    let mirror = Mirror { method: method.to_owned(), name: None, parameters: Vec::new() };
    Facts { revision: Some(MODERN_REVISION.to_owned()), mirror: Some(mirror), ..Facts::default() }
}

/// The server's own error.
pub(super) fn error_of(answer: &Message) -> Option<ErrorReport> {
    let Kind::Response { error: true, .. } = answer.kind() else { return None };
    let said = answer.member("message").and_then(json::string).unwrap_or_default();
    let code = answer.member("code").unwrap_or("no code");
    let advice = "this is the server's own error: look into its log";
    Some(ErrorReport::new(
        ErrorKind::Answer,
        format!("the server answered with an error: {said} ({code})"),
        advice,
    ))
}

pub(super) fn no_answer() -> ErrorReport {
    ErrorReport::new(
        ErrorKind::NoAnswer,
        "the server ended its answer without answering",
        "look into the server's log",
    )
}

pub(super) fn name_of(info: Option<&str>) -> String {
    let member = |name| info.and_then(|info| json::member(info, name)).and_then(json::string);
    let name = member("name").unwrap_or_else(|| "an unnamed server".to_owned());
    match member("version") {
        Some(version) => format!("{name} {version}"),
        None => name,
    }
}
