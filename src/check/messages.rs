//! The messages that a check sends: requests of both eras.
//!
//! Deliberately not here: when they are sent (`conversation`).

use std::cell::Cell;

use crate::bridge::{Facts, Mirror};
use crate::jsonrpc::{Id, Message};
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
