//! The messages that a check sends: requests of both eras, under ids of its own.
//!
//! Deliberately not here: when they are sent (`server`).

use crate::bridge::{Facts, MODERN_REVISION, Mirror};
use crate::jsonrpc::Message;

pub(super) fn client_info() -> &'static str {
    concat!(r#"{"name":"mcp-tether check","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#)
}

#[expect(clippy::expect_used, reason = "the message is made from JSON texts")]
pub(super) fn request(method: &str, params: &str) -> Message {
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    Message::parse(text.into()).expect("made from JSON texts")
}

#[expect(clippy::expect_used, reason = "the message is made from JSON texts")]
pub(super) fn notification(method: &str) -> Message {
    Message::parse(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#).into()).expect("made here")
}

pub(super) fn modern(method: &str, cursor: Option<&str>) -> Message {
    let cursor = cursor.map(|cursor| format!(r#","cursor":{cursor}"#)).unwrap_or_default();
    let info = client_info();
    let meta = format!(
        r#"{{"io.modelcontextprotocol/protocolVersion":"{MODERN_REVISION}","io.modelcontextprotocol/clientInfo":{info},"io.modelcontextprotocol/clientCapabilities":{{}}}}"#
    );
    request(method, &format!(r#"{{"_meta":{meta}{cursor}}}"#))
}

pub(super) fn modern_facts(method: &str) -> Facts {
    let mirror = Mirror { method: method.to_owned(), name: None, parameters: Vec::new() };
    Facts { revision: Some(MODERN_REVISION.to_owned()), mirror: Some(mirror), ..Facts::default() }
}
