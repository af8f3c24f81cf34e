//! The session that a modern client does not know of: how it is opened in its place, and what `server/discover` says of it.
//!
//! `initialize` says of the client what its first request says. Until it is answered everything waits, for no longer than
//! the client's patience. Should it fail, each of those that wait is told: what the server said to it before, where it said
//! something, else why there is no session. Deliberately not here: a session that is lost later (the relay's affair).

use std::time::Instant;

use super::{Asked, Held, ModernClient, SOURCE, requests};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::layer::Output;
use crate::bridge::relay::{LastWord, error_object};
use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::message::{self, from_own_text};
use crate::mcp::meta::{CLIENT_INFO, SERVER_INFO, TASKS_EXTENSION};
use crate::mcp::{Era, LEGACY_REVISION, MODERN_REVISION, method, revision};

/// How far the session has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// No message has needed one.
    Closed,
    /// `initialize` has no answer yet.
    Opening(Need),
    /// It is open, with this answer.
    Open(Message),
    /// It could not be opened. The next request goes to the server as it is, and opens a session again if its answer shows a legacy server.
    Failed,
    /// It is not needed.
    Over,
}

/// Whether the session that is being opened is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The server is legacy.
    Certain,
    /// It may be.
    Perhaps,
    /// It is modern.
    None,
}

impl ModernClient {
    /// Whether the server's era is not known yet: then the client's messages still go to the server as they are.
    pub(in crate::bridge) fn is_hedge(&self) -> bool {
        matches!(self.stage, Stage::Opening(Need::Perhaps | Need::None) | Stage::Failed)
    }

    /// The server has turned out to be modern: a session that is being opened is not needed.
    pub(in crate::bridge) fn retire(&mut self) {
        match self.stage {
            Stage::Opening(Need::Perhaps) => self.stage = Stage::Opening(Need::None),
            Stage::Failed => self.finish_translating(),
            Stage::Closed | Stage::Opening(_) | Stage::Open(_) | Stage::Over => {}
        }
    }

    /// The client opens a session by itself, which replaces ours: from now on what the server says by itself goes to it
    /// untranslated.
    pub(in crate::bridge) fn client_opened_session(&mut self) {
        self.has_own_session = true;
        // Notifications that wait were meant for no session.
        self.held.drop_all(|held| !matches!(held.kind(), Kind::Request { .. }));
        self.level = None;
        self.unassigned.clear();
        self.end_subscriptions();
    }

    /// Returns whether the client is a modern one only: then what lacks the marks of its era lacks them by mistake.
    pub(in crate::bridge) fn is_modern_only(&self) -> bool {
        !self.has_own_session && !self.is_hedge()
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Opens the session, unless that was done.
    pub(super) fn open(&mut self, request: &Message, need: Need) {
        match self.stage {
            Stage::Closed | Stage::Failed => {
                self.stage = Stage::Opening(need);
                self.declared = session_capabilities(requests::capabilities(request).unwrap_or("{}"));
                let introduction = introduction(request, &self.declared);
                self.ask(Asked::Session, method::INITIALIZE, &introduction);
            }
            Stage::Opening(_) => self.stage = Stage::Opening(need),
            Stage::Open(_) | Stage::Over => {}
        }
    }

    /// What the server says to `initialize`.
    pub(super) fn session(&mut self, answer: Message, now: Instant) {
        let Stage::Opening(need) = self.stage else { return };
        let is_open = matches!(answer.kind(), Kind::Response { error: false, .. });
        let revision = answer.member("protocolVersion").and_then(json::string);
        match need {
            Need::None => {
                if is_open {
                    self.end_session();
                }
                self.finish_translating();
            }
            Need::Perhaps if !is_open => self.finish_translating(),
            Need::Certain if !is_open => self.give_up(&answer),
            Need::Certain | Need::Perhaps if !revision.as_deref().is_some_and(revision::is_legacy) => {
                let chosen =
                    revision.map_or_else(|| "no revision".to_owned(), |it| format!("the revision {it}"));
                let report = ErrorReport::new(
                    ErrorKind::Era,
                    format!(
                        "the server answered initialize with {chosen}, a revision that initialize cannot negotiate"
                    ),
                    "report this to the server's author",
                );
                self.end_session();
                self.give_up(&Message::error(None, &error_object(&report)));
            }
            Need::Certain | Need::Perhaps => self.begin_session(answer, now),
        }
    }

    fn begin_session(&mut self, answer: Message, now: Instant) {
        // A client that opens a session of its own sends this itself.
        if !self.has_own_session {
            self.send(message::notification(method::INITIALIZED, None));
        }
        self.stage = Stage::Open(answer);
        self.outputs.push_back(Output::EraFound(Era::Legacy));
        for Held { message, .. } in self.held.take() {
            match message.kind() {
                Kind::Request { .. } => self.serve(message, now),
                Kind::Notification { .. } | Kind::Response { .. } => self.send_notification(&message),
            }
        }
    }

    fn end_session(&mut self) {
        // One that the client opens replaces it, and ends it that way.
        if !self.has_own_session {
            self.outputs.push_back(Output::EndSession);
        }
    }

    /// Answers every request that waits for the session, which could not be opened: with the server's own answer to the request
    /// if there was one.
    fn give_up(&mut self, refusal: &Message) {
        for Held { message, answer } in self.held.take() {
            if let Kind::Request { id, .. } = message.kind() {
                let without_notice = || LastWord { answer: refusal.clone(), notice: None };
                let LastWord { answer, notice } = answer.unwrap_or_else(without_notice);
                self.deliver(answer.with_id(id));
                self.outputs.extend(notice.map(Output::notice));
            }
        }
        self.stage = Stage::Failed;
    }

    /// There is nothing to translate.
    fn finish_translating(&mut self) {
        self.stage = Stage::Over;
        self.outputs.push_back(Output::Finished(Vec::new()));
    }

    /// Returns whether the server has shown nothing of its era yet: the session is opened because of what was known before.
    pub(in crate::bridge) fn was_assumed(&self) -> bool {
        let is_opening = matches!(self.stage, Stage::Opening(Need::Certain));
        is_opening && self.held.entries().all(|held| held.answer.is_none())
    }

    /// The server is not legacy after all: what the client said goes to it as it is.
    pub(in crate::bridge) fn return_held(&mut self) {
        self.stage = Stage::Over;
        let held = self.held.take().into_iter().map(|held| held.message);
        // Notifications that wait were meant for a session that does not exist.
        let held = held.filter(|message| matches!(message.kind(), Kind::Request { .. })).collect();
        self.outputs.push_back(Output::Finished(held));
    }

    /// What the server can do.
    pub(super) fn capability(&self, name: &str) -> Option<&str> {
        let Stage::Open(answer) = &self.stage else { return None };
        json::member(answer.member("capabilities")?, name)
    }

    /// Answers `server/discover` by what the server said at the beginning of the session.
    pub(super) fn discovered(&mut self, id: &Id) {
        let Stage::Open(answer) = &self.stage else { return };
        let capabilities = answer.member("capabilities").filter(|it| it.starts_with('{')).unwrap_or("{}");
        let capabilities = without_tasks(capabilities);
        let instructions = answer.member("instructions").filter(|it| it.starts_with('"'));
        let instructions = instructions.map(|it| format!(r#","instructions":{it}"#)).unwrap_or_default();
        let server = answer.member("serverInfo").filter(|it| it.starts_with('{'));
        let server = server.map(|it| format!(r#","_meta":{{"{SERVER_INFO}":{it}}}"#)).unwrap_or_default();
        let discovery = from_own_text(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","supportedVersions":["{MODERN_REVISION}"],"capabilities":{capabilities}{instructions},"ttlMs":0,"cacheScope":"private"{server}}}}}"#
        ));
        self.deliver(discovery);
    }
}

/// The parameters of `initialize`, by what a request says of its client.
fn introduction(request: &Message, capabilities: &str) -> String {
    let meta = request.member("_meta").unwrap_or("{}");
    let is_named = |client: &&str| {
        ["name", "version"].iter().all(|name| json::member(client, name).and_then(json::string).is_some())
    };
    let client = json::member(meta, CLIENT_INFO).filter(is_named).map(str::to_owned);
    let client = client.unwrap_or_else(|| message::implementation(SOURCE, env!("CARGO_PKG_VERSION")));
    message::initialize_params(LEGACY_REVISION, capabilities, &client)
}

/// A modern client's capabilities as a session has them: it never tells of its roots by itself.
fn session_capabilities(capabilities: &str) -> String {
    let capabilities = without_tasks(capabilities);
    match json::member(&capabilities, "roots") {
        None => capabilities,
        Some(roots) => replaced(&capabilities, "roots", &splice::without(roots, &["listChanged"])),
    }
}

/// Capabilities without what looks alike in both eras and is not.
fn without_tasks(capabilities: &str) -> String {
    let capabilities = splice::without(capabilities, &["tasks"]);
    match json::member(&capabilities, "extensions") {
        None => capabilities,
        Some(extensions) => {
            replaced(&capabilities, "extensions", &splice::without(extensions, &[TASKS_EXTENSION]))
        }
    }
}

/// An object with another value for one of its members; the very same text where it is the same.
fn replaced(object: &str, name: &str, value: &str) -> String {
    match json::member(object, name) == Some(value) {
        true => object.to_owned(),
        false => json::object(json::members(object).map(|(own, text)| {
            let text = if own == name { value } else { text };
            (own, text)
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_capabilities_lack_members_of_the_modern_era() {
        for (before, after) in [
            (r#"{"elicitation": {"url":{}}}"#, r#"{"elicitation": {"url":{}}}"#),
            (r#"{"roots":{"listChanged":true},"tasks":{}}"#, r#"{"roots":{}}"#),
            (
                r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"com.example/x":{"a":1.0}}}"#,
                r#"{"extensions":{"com.example/x":{"a":1.0}}}"#,
            ),
        ] {
            assert_eq!(session_capabilities(before), after);
        }
    }

    #[test]
    fn client_without_name_or_version_gets_our_name() {
        let request = |client: &str| {
            from_own_text(format!(
                r#"{{"id":1,"method":"x","params":{{"_meta":{{"{CLIENT_INFO}":{client}}}}}}}"#
            ))
        };
        assert!(introduction(&request(r#"{"name":"c","version":"1"}"#), "{}").contains(r#""name":"c""#));
        assert!(introduction(&request(r#"{"name":"c"}"#), "{}").contains(r#""name":"mcp-tether""#));
    }
}
