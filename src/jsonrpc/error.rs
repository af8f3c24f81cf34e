//! Errors that this program makes: JSON-RPC's codes, and what stands behind them.
//!
//! Deliberately not here: what went wrong (`bridge::ErrorKind`).

use serde::Serialize;

/// JSON-RPC's code for text that is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// JSON-RPC's code for JSON that is not a request.
pub const INVALID_REQUEST: i64 = -32600;
/// JSON-RPC's code for an unknown method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC's code for parameters that are none of the method's.
pub const INVALID_PARAMS: i64 = -32602;
/// JSON-RPC's code for whatever else went wrong on the answering side.
pub const INTERNAL_ERROR: i64 = -32603;

/// The `error` member of a response that this program makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorObject {
    /// One of the standard codes, or of `bridge::ErrorKind`.
    pub code: i64,
    /// One sentence.
    pub message: String,
    /// Details for programs and users.
    pub data: ErrorData,
}

/// The `data` of an error that this program makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    /// Who speaks: a server never says this.
    pub source: &'static str,
    /// A stable word for the cause.
    pub cause: &'static str,
    /// The HTTP status, where an answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What to do about it, imperative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The beginning of what the server said instead of JSON-RPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What Cloudflare's log has the request under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ray: Option<String>,
    /// What the server's log has it under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl ErrorData {
    /// The cause alone.
    pub fn of(source: &'static str, cause: &'static str) -> ErrorData {
        ErrorData {
            source,
            cause,
            status: None,
            advice: None,
            body: None,
            ray: None,
            correlation_id: None,
            request_id: None,
        }
    }
}
