//! The state that the client has set in the session. A new session gets the same.
//!
//! Deliberately not here: sending anything, and the state of the session (`session`).

use std::collections::BTreeSet;

use crate::jsonrpc::Message;
use crate::mcp::method;

/// The state that the client has set in the session.
#[derive(Debug, Default)]
pub(in crate::bridge::relay) struct SessionMemory {
    initialize: Option<Message>,
    initialized: Option<Message>,
    /// The JSON text of the log level.
    level: Option<String>,
    /// The JSON texts of the URIs of the resources that the client has subscribed to.
    subscriptions: BTreeSet<String>,
}

impl SessionMemory {
    /// The client opens a session: what it said in the one before no longer counts.
    pub(in crate::bridge::relay) fn remember_start(&mut self, initialize: Message) {
        *self = SessionMemory { initialize: Some(initialize), ..SessionMemory::default() };
    }

    /// The client has said that it is ready.
    pub(in crate::bridge::relay) fn remember_ready(&mut self, initialized: Message) {
        self.initialized = Some(initialized);
    }

    /// The server has done what the client asked for: what of it must be asked for again in a new session.
    pub(in crate::bridge::relay) fn remember(&mut self, request: &Message) {
        match request.method() {
            Some(method::SET_LEVEL) => self.level = request.member("level").map(str::to_owned),
            Some(method::RESOURCES_SUBSCRIBE) => {
                self.subscriptions.extend(request.member("uri").map(str::to_owned));
            }
            Some(method::RESOURCES_UNSUBSCRIBE) => {
                if let Some(uri) = request.member("uri") {
                    self.subscriptions.remove(uri);
                }
            }
            _ => {}
        }
    }

    /// The message by which the client opened the session.
    pub(in crate::bridge::relay) fn start(&self) -> Option<&Message> {
        self.initialize.as_ref()
    }

    /// The message by which the client said that it is ready.
    pub(in crate::bridge::relay) fn ready(&self) -> Option<&Message> {
        self.initialized.as_ref()
    }

    /// The log level, as JSON text.
    pub(in crate::bridge::relay) fn level(&self) -> Option<&str> {
        self.level.as_deref()
    }

    /// The URIs of the resources that the client has subscribed to, as JSON texts.
    pub(in crate::bridge::relay) fn subscriptions(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.iter().map(String::as_str)
    }
}
