//! Builders of the messages that this program authors itself.
//!
//! Every argument that is called JSON is a JSON text and stands in the message as it is. Errors are built by
//! [`Message::error`].

use super::{MODERN_REVISION, OwnId, meta, method};
use crate::json;
use crate::jsonrpc::{Id, Message};

/// A message from a text of our own making. Panics if the text is no message.
#[expect(
    clippy::expect_used,
    reason = "ids, parts of messages and quoted strings are JSON, and so is what stands around them"
)]
pub fn from_own_text(text: String) -> Message {
    Message::parse(text.into()).expect("made from JSON texts")
}

/// A request; `params` are JSON.
pub fn request(id: &Id, method: &str, params: &str) -> Message {
    from_own_text(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#))
}

/// A request under an id of our own.
pub fn own_request(maker: OwnId, number: u64, method: &str, params: &str) -> Message {
    request(&maker.id(number), method, params)
}

/// A notification; `params` are JSON, and left out where there are none.
pub fn notification(method: &str, params: Option<&str>) -> Message {
    let params = params.map(|params| format!(r#","params":{params}"#)).unwrap_or_default();
    from_own_text(format!(r#"{{"jsonrpc":"2.0","method":"{method}"{params}}}"#))
}

/// A successful response; `result` is JSON.
pub fn result(id: &Id, result: &str) -> Message {
    from_own_text(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

/// The notification that takes a request back, with the reason where there is one (as text).
pub fn cancelled(request: &Id, reason: Option<&str>) -> Message {
    let reason = reason.map(|reason| format!(r#","reason":{}"#, json::quoted(reason))).unwrap_or_default();
    notification(method::CANCELLED, Some(&format!(r#"{{"requestId":{request}{reason}}}"#)))
}

/// The params of `initialize`; `capabilities` and `client` are JSON.
pub fn initialize_params(revision: &str, capabilities: &str, client: &str) -> String {
    format!(r#"{{"protocolVersion":"{revision}","capabilities":{capabilities},"clientInfo":{client}}}"#)
}

/// The members of `_meta` by which a request of the modern era stands alone; all is JSON.
pub fn modern_meta(capabilities: &str, client: Option<&str>) -> String {
    let (revision, can, info) = (meta::REVISION, meta::CLIENT_CAPABILITIES, meta::CLIENT_INFO);
    let client = client.map(|client| format!(r#","{info}":{client}"#)).unwrap_or_default();
    format!(r#""{revision}":"{MODERN_REVISION}","{can}":{capabilities}{client}"#)
}

/// Name and version of an implementation, as JSON.
pub fn implementation(name: &str, version: &str) -> String {
    format!(r#"{{"name":{},"version":{}}}"#, json::quoted(name), json::quoted(version))
}

#[cfg(test)]
mod tests {
    use rmcp::model;

    use super::*;
    use crate::mcp::LEGACY_REVISION;

    fn text(message: &Message) -> &str {
        std::str::from_utf8(message.text()).expect("UTF-8")
    }

    #[test]
    fn messages_are_built_without_anything_else() {
        let id = OwnId::Relay.id(1);
        assert_eq!(
            text(&request(&id, method::PING, "{}")),
            r#"{"jsonrpc":"2.0","id":"mcp-tether-1","method":"ping","params":{}}"#
        );
        assert_eq!(
            text(&notification(method::INITIALIZED, None)),
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
        );
        assert_eq!(text(&result(&id, "{}")), r#"{"jsonrpc":"2.0","id":"mcp-tether-1","result":{}}"#);
        assert_eq!(
            text(&cancelled(&id, Some("a \"b\""))),
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"mcp-tether-1","reason":"a \"b\""}}"#
        );
    }

    #[test]
    fn messages_are_understood_by_rmcp() {
        let client = implementation("a \"b\"", "1");
        let params = initialize_params(LEGACY_REVISION, "{}", &client);
        let meta = format!(r#"{{"_meta":{{{}}}}}"#, modern_meta("{}", Some(&client)));
        let id = OwnId::LegacyClient.id(1);
        for message in [
            request(&id, method::INITIALIZE, &params),
            request(&id, method::DISCOVER, &meta),
            request(&id, method::PING, "{}"),
        ] {
            let read: model::ClientJsonRpcMessage =
                serde_json::from_slice(message.text()).expect("a message");
            let model::JsonRpcMessage::Request(read) = read else { panic!("no request: {}", text(&message)) };
            let is_custom = matches!(read.request, model::ClientRequest::CustomRequest(_));
            assert!(!is_custom, "{}", text(&message));
        }
        for message in [notification(method::INITIALIZED, None), cancelled(&id, None)] {
            let read: model::ClientJsonRpcMessage =
                serde_json::from_slice(message.text()).expect("a message");
            assert!(matches!(read, model::JsonRpcMessage::Notification(_)), "{}", text(&message));
        }
    }
}
