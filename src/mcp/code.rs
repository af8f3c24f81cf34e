//! Error codes: those of JSON-RPC, those of MCP, and those that servers are seen to use.

pub use crate::jsonrpc::{INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR};

/// The headers of a request do not say what its body says (2026-07-28, basic, error codes).
pub const HEADER_MISMATCH: i64 = -32020;
/// The request needs something that its client cannot do (2026-07-28, basic, error codes).
pub const MISSING_CAPABILITY: i64 = -32021;
/// The revision of the request is not spoken (2026-07-28, basic, error codes).
pub const UNSUPPORTED_REVISION: i64 = -32022;
/// There is no such resource (up to 2025-11-25, server, resources, error handling).
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// The user has to open a URL first (2025-11-25, client, elicitation).
pub const URL_ELICITATION_REQUIRED: i64 = -32042;

/// What implementations answer where the specification names no code: for anything.
pub const SERVER_ERROR: i64 = -32000;
/// What implementations answer for a session that they do not know.
pub const SESSION_NOT_FOUND: i64 = -32001;
/// The same from others.
pub const SESSION_EXPIRED: i64 = -32005;

#[cfg(test)]
mod tests {
    use rmcp::model::ErrorCode;

    use super::*;

    #[test]
    fn codes_agree_with_rmcp() {
        for (ours, theirs) in [
            (PARSE_ERROR, ErrorCode::PARSE_ERROR),
            (INVALID_REQUEST, ErrorCode::INVALID_REQUEST),
            (METHOD_NOT_FOUND, ErrorCode::METHOD_NOT_FOUND),
            (INVALID_PARAMS, ErrorCode::INVALID_PARAMS),
            (INTERNAL_ERROR, ErrorCode::INTERNAL_ERROR),
            (RESOURCE_NOT_FOUND, ErrorCode::RESOURCE_NOT_FOUND),
            (HEADER_MISMATCH, ErrorCode::HEADER_MISMATCH),
            (MISSING_CAPABILITY, ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY),
            (UNSUPPORTED_REVISION, ErrorCode::UNSUPPORTED_PROTOCOL_VERSION),
        ] {
            assert_eq!(ours, i64::from(theirs.0));
        }
    }
}
