//! The handshake: `initialize` of the client is answered from `server/discover` of the server.

use std::collections::VecDeque;
use std::time::Instant;

use super::{LegacyClient, TranslationPhase};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::layer::{Layer, Output};
use crate::bridge::relay::{LastWord, error_code, error_object};
use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::meta::{SERVER_INFO, TASKS_EXTENSION};
use crate::mcp::{Era, Features, LEGACY_REVISION, MODERN_REVISION, code, message, method, revision};

/// What the client said of itself.
#[derive(Debug, Default)]
pub(super) struct ClientProfile {
    /// The revision that it speaks with us.
    pub(super) revision: String,
    /// The JSON text of what it can do, in the words of the other era.
    capabilities: String,
    /// The members of `_meta` that say so.
    pub(super) meta: String,
}

/// What the server said of itself.
#[derive(Debug, Default)]
pub(super) struct ServerProfile {
    capabilities: String,
}

impl ServerProfile {
    /// Returns whether it has a capability.
    pub(super) fn can(&self, capability: &str) -> bool {
        json::member(&self.capabilities, capability).is_some()
    }

    /// Returns whether it has a part of one.
    pub(super) fn says(&self, capability: &str, part: &str) -> bool {
        let capability = json::member(&self.capabilities, capability);
        capability.and_then(|capability| json::member(capability, part)) == Some("true")
    }
}

impl ClientProfile {
    pub(super) fn of(initialize: &Message) -> ClientProfile {
        let wanted = initialize.member("protocolVersion").and_then(json::string).unwrap_or_default();
        let revision = if revision::is_legacy(&wanted) { &wanted } else { LEGACY_REVISION };
        let capabilities = modern_capabilities(initialize.member("capabilities").unwrap_or("{}"));
        let info = initialize.member("clientInfo").filter(|info| info.starts_with('{'));
        let meta = message::modern_meta(&capabilities, info);
        ClientProfile { revision: revision.to_owned(), capabilities, meta }
    }

    /// Returns whether it can answer questions of a kind.
    pub(super) fn can(&self, capability: &str) -> bool {
        json::member(&self.capabilities, capability).is_some()
    }

    /// Returns whether it can put a form before the person. Where it names no mode it means forms, as it did before there
    /// were two.
    pub(super) fn fills_forms(&self) -> bool {
        let has = |elicitation, name| json::member(elicitation, name).is_some();
        json::member(&self.capabilities, "elicitation")
            .is_some_and(|elicitation| has(elicitation, "form") || !has(elicitation, "url"))
    }

    /// Returns whether a model that it asks may be given tools (2025-11-25, client/sampling).
    pub(super) fn samples_with_tools(&self) -> bool {
        let sampling = json::member(&self.capabilities, "sampling");
        sampling.is_some_and(|sampling| json::member(sampling, "tools").is_some())
    }

    /// Returns whether it can open a URL for the server (2025-11-25, client/elicitation).
    pub(super) fn opens_urls(&self) -> bool {
        let elicitation = json::member(&self.capabilities, "elicitation");
        self.features().has_elicitation_modes
            && elicitation.is_some_and(|elicitation| json::member(elicitation, "url").is_some())
    }

    /// The features of its revision.
    pub(super) fn features(&self) -> Features {
        revision::features(&self.revision)
    }
}

/// What a legacy client can do, in the words of the other era: roots are never told of by themselves, and tasks are
/// others.
fn modern_capabilities(capabilities: &str) -> String {
    json::object(json::members(capabilities).filter_map(|(name, text)| match name.as_str() {
        "tasks" => None,
        "roots" => Some((name, splice::without(text, &["listChanged"]))),
        "extensions" => Some((name, splice::without(text, &[TASKS_EXTENSION]))),
        _ => Some((name, text.to_owned())),
    }))
}

impl LegacyClient {
    /// The client opens, or starts over: the server is asked what it can do.
    pub(super) fn start(&mut self, initialize: Message, last_word: Option<LastWord>, assumed: bool) {
        let discover = self.ids.next();
        self.client = ClientProfile::of(&initialize);
        self.level = None;
        self.end_subscription();
        let before = std::mem::replace(
            &mut self.phase,
            TranslationPhase::Opening {
                initialize,
                last_word,
                assumed,
                discover: discover.clone(),
                asked_twice: false,
                held: VecDeque::new(),
                held_cost: 0,
                earlier: 0,
            },
        );
        // A client that cannot wait: the first handshake has no answer yet, and will get none of its own.
        if let TranslationPhase::Opening { initialize, discover, held: before, held_cost: cost, .. } = before
        {
            if let TranslationPhase::Opening { held, held_cost, earlier, .. } = &mut self.phase {
                (*earlier, *held_cost, *held) = (before.len(), cost, before);
            }
            self.send(message::cancelled(&discover, None));
            if let Kind::Request { id, .. } = initialize.kind() {
                let id = id.clone();
                self.refuse(&id, ErrorKind::Stopped.code(), "the client has started over", "stopped");
            }
        }
        self.discover(&discover);
    }

    /// A server that does not take the revision, but then names it among those that it does, gets it once more
    /// (2026-07-28, basic/versioning).
    fn asks_once_more(&mut self, answer: &Message) -> bool {
        let supported = answer.member("data").and_then(|data| json::member(data, "supported"));
        let revisions = supported.map(json::elements).unwrap_or_default();
        let offers = revisions.into_iter().any(|it| json::string(it).as_deref() == Some(MODERN_REVISION));
        let may_ask = matches!(self.phase, TranslationPhase::Opening { asked_twice: false, .. });
        if !may_ask || error_code(answer) != Some(code::UNSUPPORTED_REVISION) || !offers {
            return false;
        }
        let fresh = self.ids.next();
        if let TranslationPhase::Opening { discover, asked_twice, .. } = &mut self.phase {
            *asked_twice = true;
            *discover = fresh.clone();
        }
        self.discover(&fresh);
        true
    }

    fn discover(&mut self, id: &Id) {
        let meta = &self.client.meta;
        let params = format!(r#"{{"_meta":{{{meta}}}}}"#);
        self.send(message::request(id, method::DISCOVER, &params));
    }

    /// Returns whether this began without the server having shown that it is modern.
    pub(in crate::bridge) fn was_assumed(&self) -> bool {
        matches!(&self.phase, TranslationPhase::Opening { assumed: true, .. })
    }

    /// The server is not modern after all: what the client said goes to it as it is.
    pub(in crate::bridge) fn return_held(&mut self, shown_by: &Message) {
        let phase = std::mem::replace(&mut self.phase, TranslationPhase::Over);
        let TranslationPhase::Opening { initialize, mut held, earlier, discover, .. } = phase else { return };
        // An earlier request may have shown it, before the server has said what it can do.
        if !matches!(shown_by.kind(), Kind::Response { id: Some(id), .. } if *id == discover) {
            self.send(message::cancelled(&discover, None));
        }
        held.insert(earlier, initialize);
        self.stop_translating(held.into());
    }

    /// There is nothing to translate to any more: what the client has said since goes to the server as it is. What was under
    /// way from before it started over would come back untranslated, or never.
    pub(super) fn stop_translating(&mut self, held: Vec<Message>) {
        let mut left: Vec<Id> = self.requests.keys().cloned().collect();
        left.sort_by_key(ToString::to_string);
        for id in left {
            self.abandoned.extend(self.requests.get(&id).map(|request| request.upstream.clone()));
            self.cancelled(&id);
            let text = "the client has started over, and the server did not say again what it can do";
            self.refuse(&id, ErrorKind::Stopped.code(), text, ErrorKind::Stopped.word());
        }
        self.outputs.push_back(Output::Finished(held));
    }

    /// Takes in the server's answer to `server/discover`.
    pub(super) fn discovered(&mut self, answer: &Message, now: Instant) {
        if self.asks_once_more(answer) {
            return;
        }
        let phase = std::mem::replace(&mut self.phase, TranslationPhase::Open);
        let TranslationPhase::Opening { initialize, last_word, held, .. } = phase else { return };
        let Kind::Request { id, .. } = initialize.kind() else { return };
        if let Some(failure) = discovery_failure(answer, id) {
            self.phase = TranslationPhase::Over;
            // What was said to `initialize` itself explains more, unless the server speaks another revision of its era.
            let last_word = last_word.filter(|_| names_no_revision(answer));
            let LastWord { answer, notice } = last_word.unwrap_or(LastWord { answer: failure, notice: None });
            self.deliver(answer);
            self.outputs.extend(notice.map(Output::notice));
            return self.stop_translating(held.into());
        }
        let capabilities = legacy_capabilities(answer.member("capabilities").unwrap_or("{}"));
        let result = initialize_result(answer, &self.client.revision, &capabilities);
        self.server = ServerProfile { capabilities };
        self.outputs.push_back(Output::EraFound(Era::Modern));
        self.answer(id, &result);
        for message in held {
            self.handle_client(message, now);
        }
    }
}

/// The revisions that an answer to `server/discover` names.
fn revisions(answer: &Message) -> impl Iterator<Item = String> {
    json::elements(answer.member("supportedVersions").unwrap_or("[]")).filter_map(json::string)
}

/// Returns whether an answer to `server/discover` is an error or names no revision: then it could answer any request.
fn names_no_revision(answer: &Message) -> bool {
    error_code(answer).is_some() || revisions(answer).next().is_none()
}

/// Returns the answer to `initialize` if the server cannot be translated for.
fn discovery_failure(answer: &Message, initialize: &Id) -> Option<Message> {
    let report = if error_code(answer).is_some() {
        return Some(answer.with_id(initialize));
    } else if names_no_revision(answer) {
        ErrorReport::new(
            ErrorKind::Answer,
            "the server answered server/discover without naming a revision",
            "check that the URL is the server's MCP endpoint (often /mcp)",
        )
    } else if !revisions(answer).any(|revision| revision == MODERN_REVISION) {
        let named = revisions(answer).take(20).collect::<Vec<_>>().join(", ");
        ErrorReport::new(
            ErrorKind::Era,
            format!("the server speaks {named} of MCP, but mcp-tether only up to {MODERN_REVISION}"),
            "look for a newer mcp-tether",
        )
    } else {
        return None;
    };
    Some(Message::error(Some(initialize), &error_object(&report)))
}

/// The result of `initialize`, by what the server says of itself.
fn initialize_result(answer: &Message, revision: &str, capabilities: &str) -> String {
    let meta = answer.member("_meta").and_then(|meta| json::member(meta, SERVER_INFO));
    let info = meta.or_else(|| answer.member("serverInfo")).filter(|info| info.starts_with('{'));
    let info = info.unwrap_or(r#"{"name":"mcp-server","version":"0"}"#);
    let instructions = answer.member("instructions").filter(|text| text.starts_with('"'));
    let instructions = instructions.map(|text| format!(r#","instructions":{text}"#)).unwrap_or_default();
    format!(
        r#"{{"protocolVersion":"{revision}","capabilities":{capabilities},"serverInfo":{info}{instructions}}}"#
    )
}

/// What a modern server can do, in the words of the other era: its tasks are others.
fn legacy_capabilities(capabilities: &str) -> String {
    json::object(json::members(capabilities).filter_map(|(name, text)| match name.as_str() {
        "tasks" => None,
        "extensions" => Some((name, splice::without(text, &[TASKS_EXTENSION]))),
        _ => Some((name, text.to_owned())),
    }))
}
