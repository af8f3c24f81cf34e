//! What the tests of the real binary share: a loopback server whose answers can be any bytes, and the binary as a client
//! runs it.

pub(crate) mod authority;
pub(crate) mod dpop;
pub(crate) mod proxy;
pub(crate) mod server;

use std::time::Duration;

/// Nothing in a test takes this long unless something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The line that opens every conversation.
pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
/// The line after its answer.
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
