//! The keys that the specification reserves in `_meta`, and the extensions that are known by name.

/// The member of params and results that holds all these keys.
pub const META: &str = "_meta";
/// How every reserved key begins. The slash may be written with an escape, so it is not part of it.
pub const PREFIX: &str = "io.modelcontextprotocol";

/// The revision that a modern request speaks (2026-07-28, basic, reserved keys).
pub const REVISION: &str = "io.modelcontextprotocol/protocolVersion";
/// Which client asks.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// What the client can do.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The lowest level of log lines that the request wants.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// The keys by which a modern request stands alone.
pub const OF_REQUESTS: [&str; 4] = [REVISION, CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL];
/// Which server answers.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// The request that opened the subscription to which a message belongs.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// The extension for tasks.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

#[cfg(test)]
mod tests {
    use rmcp::model;
    use serde_json::Value;

    use super::*;

    #[test]
    #[expect(deprecated, reason = "what is deprecated is spoken still")]
    fn keys_agree_with_rmcp() {
        let mut request = model::RequestMetaObject::new();
        request.set_protocol_version(model::ProtocolVersion::V_2026_07_28);
        request.set_client_info(model::Implementation::default());
        request.set_client_capabilities(model::ClientCapabilities::default());
        request.set_log_level(model::LoggingLevel::Info);
        let Value::Object(members) = serde_json::to_value(&request).expect("JSON") else {
            panic!("no object")
        };
        let theirs: Vec<&str> = members.keys().map(String::as_str).collect();
        let mut ours = OF_REQUESTS;
        ours.sort_unstable();
        assert_eq!(theirs, ours);
        assert_eq!(model::TASKS_EXTENSION_ID, TASKS_EXTENSION);
        for key in [REVISION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL, SERVER_INFO, SUBSCRIPTION_ID] {
            assert!(key.starts_with(PREFIX), "{key}");
        }
    }
}
