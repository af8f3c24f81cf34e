//! The messages that a check sends: requests of both eras.
//!
//! Deliberately not here: when they are sent (`conversation`).

use crate::bridge::{Facts, Mirror};
use crate::jsonrpc::{Id, Message};
use crate::mcp::{MODERN_REVISION, SOURCE, message};

pub(super) fn client_info() -> String {
    message::implementation(&format!("{SOURCE} check"), env!("CARGO_PKG_VERSION"))
}

pub(super) fn request(method: &str, params: &str) -> Message {
    // A check has one request under way at a time.
    message::request(&Id::from_number(1), method, params)
}

pub(super) fn modern(method: &str, cursor: Option<&str>) -> Message {
    let cursor = cursor.map(|cursor| format!(r#","cursor":{cursor}"#)).unwrap_or_default();
    let meta = message::modern_meta("{}", Some(&client_info()));
    request(method, &format!(r#"{{"_meta":{{{meta}}}{cursor}}}"#))
}

pub(super) fn modern_facts(method: &str) -> Facts {
    let mirror = Mirror { method: method.to_owned(), name: None, parameters: Vec::new() };
    Facts { revision: Some(MODERN_REVISION.to_owned()), mirror: Some(mirror), ..Facts::default() }
}
