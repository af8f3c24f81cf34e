//! The names of HTTP headers and the media types of both transports, in lower case.

/// The session of a message (2025-03-26 to 2025-11-25, basic/transports, session management).
pub const SESSION_ID: &str = "mcp-session-id";
/// The revision of a message (from 2025-06-18, basic/transports, protocol version header).
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The event behind which a stream is resumed (basic/transports, resumability; HTML, server-sent events).
pub const LAST_EVENT_ID: &str = "last-event-id";
/// The method of a modern message (2026-07-28, streamable HTTP, standard headers).
pub const METHOD: &str = "mcp-method";
/// The tool, prompt, resource or task of a modern message.
pub const NAME: &str = "mcp-name";
/// How the header of a tool's parameter begins (2026-07-28, streamable HTTP, custom headers).
pub const PARAM_PREFIX: &str = "mcp-param-";

/// How a value begins that a header cannot carry as it is (2026-07-28, streamable HTTP, value encoding).
pub const BASE64_START: &str = "=?base64?";
/// How such a value ends.
pub const BASE64_END: &str = "?=";

/// The media type of a message.
pub const JSON: &str = "application/json";
/// The media type of a stream of messages.
pub const EVENT_STREAM: &str = "text/event-stream";
/// What a POST accepts.
pub const JSON_OR_EVENT_STREAM: &str = "application/json, text/event-stream";

#[cfg(test)]
mod tests {
    use rmcp::transport::common::http_header as theirs;

    use super::*;

    #[test]
    fn headers_agree_with_rmcp() {
        for (ours, theirs) in [
            (SESSION_ID, theirs::HEADER_SESSION_ID),
            (PROTOCOL_VERSION, theirs::HEADER_MCP_PROTOCOL_VERSION),
            (LAST_EVENT_ID, theirs::HEADER_LAST_EVENT_ID),
            (METHOD, theirs::HEADER_MCP_METHOD),
            (NAME, theirs::HEADER_MCP_NAME),
            (PARAM_PREFIX, theirs::HEADER_MCP_PARAM_PREFIX),
            (BASE64_START, theirs::BASE64_HEADER_PREFIX),
            (BASE64_END, theirs::BASE64_HEADER_SUFFIX),
            (JSON, theirs::JSON_MIME_TYPE),
            (EVENT_STREAM, theirs::EVENT_STREAM_MIME_TYPE),
        ] {
            assert_eq!(ours, theirs.to_ascii_lowercase());
            assert_eq!(
                ours,
                ours.to_ascii_lowercase(),
                "http::HeaderName::from_static takes lower case alone"
            );
        }
        assert_eq!(JSON_OR_EVENT_STREAM, format!("{JSON}, {EVENT_STREAM}"));
    }
}
