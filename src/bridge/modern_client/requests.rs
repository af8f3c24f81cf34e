//! From the modern client to the session: what is objected to, what is served here, and how the rest crosses.
//!
//! What crosses keeps its text but for the id and the keys by which a request of the modern era stands alone; a server that
//! knows both eras would take the session's headers for a mistake beside them (2026-07-28, streamable HTTP). Deliberately
//! not here: answers.

use std::time::Instant;

use super::logs::Level;
use super::pending_input::{self, Call};
use super::{Asked, ModernClient, error};
use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::{INVALID_PARAMS, Kind, METHOD_NOT_FOUND, Message};
use crate::mcp::meta::{CLIENT_CAPABILITIES, LOG_LEVEL, OF_REQUESTS, REVISION};
use crate::mcp::{MODERN_REVISION, code, method};

/// What a session has and the modern era has not.
const OF_SESSIONS: [&str; 5] = [
    method::INITIALIZE,
    method::PING,
    method::SET_LEVEL,
    method::RESOURCES_SUBSCRIBE,
    method::RESOURCES_UNSUBSCRIBE,
];
impl ModernClient {
    /// Serves a request for which there is a session.
    pub(super) fn serve(&mut self, request: Message, now: Instant) {
        let Kind::Request { id, method } = request.kind() else { return };
        match method.as_str() {
            method::DISCOVER => self.discovered(&id.clone()),
            method::LISTEN => self.listen(&request, now),
            method if pending_input::may_ask(method) && pending_input::is_retry(&request) => {
                self.retry(request, now)
            }
            _ => self.call(request, now),
        }
    }

    /// Sends a request on its way, unless the server waits for something that it may bring: then that comes first.
    fn call(&mut self, request: Message, now: Instant) {
        let Kind::Request { id, .. } = request.kind() else { return };
        let call = Call::new(id, &request);
        if let Some(call) = self.ask_first(call, now) {
            self.want_level(call.level);
            self.send_call(call, &request, now);
        }
    }

    /// Tells the server what the client tells.
    pub(super) fn send_notification(&mut self, notification: &Message) {
        match notification.method() {
            // Of a session, or of what was never asked.
            Some(method::INITIALIZED | method::PROGRESS | method::ROOTS_CHANGED) => {
                self.drop_message(notification, "the client's era has nothing like it")
            }
            Some(_) | None => {
                self.send(splice::take_out_of_meta(notification, &OF_REQUESTS));
            }
        }
    }

    /// Sends a request under an id of ours.
    pub(super) fn send_call(&mut self, mut call: Call, request: &Message, now: Instant) {
        let client = call.client.clone();
        let id = self.ids.next();
        let number = self.ids.last();
        let upstream = splice::take_out_of_meta(request, &OF_REQUESTS).with_id(&id);
        call.upstream = upstream.clone();
        self.asked.insert(number, Asked::Call(Box::new(call)));
        self.calls.insert(client, number);
        self.send(upstream);
        self.assign_waiting(number, now);
    }
}

/// The log level that a request wants.
pub(super) fn level(request: &Message) -> Option<Level> {
    let level = json::member(request.member("_meta")?, LOG_LEVEL)?;
    Level::of(&json::string(level)?)
}

/// What a request says its client can do.
pub(super) fn capabilities(request: &Message) -> Option<&str> {
    json::member(request.member("_meta")?, CLIENT_CAPABILITIES).filter(|it| it.starts_with('{'))
}

/// What a server of the modern era would say against a request, whatever it asks.
pub(super) fn objection(request: &Message) -> Option<Message> {
    let Kind::Request { id, method } = request.kind() else { return None };
    let meta = request.member("_meta").unwrap_or("{}");
    let invalid = |sentence: &str| Some(error(id, INVALID_PARAMS, sentence, "params", ""));
    let Some(revision) = json::member(meta, REVISION).filter(|it| it.starts_with('"')) else {
        return invalid(&format!("params._meta lacks {REVISION}"));
    };
    if json::string(revision).as_deref() != Some(MODERN_REVISION) {
        let data = format!(r#","supported":["{MODERN_REVISION}"],"requested":{revision}"#);
        let sentence = format!("the only revision that is spoken here is {MODERN_REVISION}");
        return Some(error(id, code::UNSUPPORTED_REVISION, &sentence, "revision", &data));
    }
    if capabilities(request).is_none() {
        return invalid(&format!("params._meta lacks {CLIENT_CAPABILITIES}"));
    }
    if json::member(meta, LOG_LEVEL).is_some() && level(request).is_none() {
        return invalid(&format!("{LOG_LEVEL} is none of the log levels"));
    }
    let method = method.as_str();
    if OF_SESSIONS.contains(&method) || method.starts_with(method::TASKS) {
        let sentence = format!("the revision {MODERN_REVISION} has no {method} here");
        return Some(error(id, METHOD_NOT_FOUND, &sentence, "method", ""));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::relay::error_code;
    use crate::mcp::message::from_own_text;

    fn code_for(method: &str, meta: &str) -> Option<i64> {
        let text = format!(r#"{{"id":1,"method":"{method}","params":{{"_meta":{meta}}}}}"#);
        error_code(&objection(&from_own_text(text))?)
    }

    #[test]
    fn request_that_is_not_modern_is_rejected() {
        let named = |more: &str| {
            format!(r#"{{"{REVISION}":"{MODERN_REVISION}","{CLIENT_CAPABILITIES}":{{}}{more}}}"#)
        };
        for (method, meta, code) in [
            ("tools/list", "{}".to_owned(), Some(-32602)),
            ("tools/list", "null".to_owned(), Some(-32602)),
            ("tools/list", format!(r#"{{"{REVISION}":5,"{CLIENT_CAPABILITIES}":{{}}}}"#), Some(-32602)),
            ("tools/list", format!(r#"{{"{REVISION}":"{MODERN_REVISION}"}}"#), Some(-32602)),
            (
                "tools/list",
                format!(r#"{{"{REVISION}":"{MODERN_REVISION}","{CLIENT_CAPABILITIES}":[]}}"#),
                Some(-32602),
            ),
            ("server/discover", format!(r#"{{"{REVISION}":"1999-01-01"}}"#), Some(-32022)),
            ("tools/list", named(&format!(r#","{LOG_LEVEL}":"loud""#)), Some(-32602)),
            ("tools/list", named(&format!(r#","{LOG_LEVEL}":"debug""#)), None),
            ("ping", named(""), Some(-32601)),
            ("initialize", named(""), Some(-32601)),
            ("logging/setLevel", named(""), Some(-32601)),
            ("resources/subscribe", named(""), Some(-32601)),
            ("resources/unsubscribe", named(""), Some(-32601)),
            ("tasks/get", named(""), Some(-32601)),
            ("server/discover", named(""), None),
            ("com.example/own", named(""), None),
        ] {
            assert_eq!(code_for(method, &meta), code, "{method} {meta}");
        }
    }
}
