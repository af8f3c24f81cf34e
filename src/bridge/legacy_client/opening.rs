//! The handshake: `initialize` of the client is answered from `server/discover` of the server.

use super::*;

/// The keys of a modern request's `_meta` (2026-07-28, basic, reserved keys).
const REVISION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const INFO_KEY: &str = "io.modelcontextprotocol/clientInfo";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
const SERVER_KEY: &str = "io.modelcontextprotocol/serverInfo";
/// The extension whose results a client of the other era would not understand.
const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// What the client said of itself.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// The revision that it speaks with us.
    pub(super) revision: String,
    /// The JSON text of what it can do, in the words of the other era.
    capabilities: String,
    /// The members of `_meta` that say so.
    pub(super) meta: String,
}

/// What the server said of itself.
#[derive(Debug, Default)]
pub(super) struct Server {
    capabilities: String,
}

impl Server {
    /// Tells whether it has a capability.
    pub(super) fn can(&self, capability: &str) -> bool {
        json::member(&self.capabilities, capability).is_some()
    }

    /// Tells whether it has a part of one.
    pub(super) fn says(&self, capability: &str, part: &str) -> bool {
        let capability = json::member(&self.capabilities, capability);
        capability.and_then(|capability| json::member(capability, part)) == Some("true")
    }
}

impl Client {
    pub(super) fn of(initialize: &Message) -> Client {
        let wanted = initialize.member("protocolVersion").and_then(json::string).unwrap_or_default();
        let revision = if revision::is_legacy(&wanted) { &wanted } else { LEGACY_REVISION };
        let capabilities = modern_capabilities(initialize.member("capabilities").unwrap_or("{}"));
        let info = initialize.member("clientInfo").filter(|info| info.starts_with('{'));
        let info = info.map(|info| format!(r#","{INFO_KEY}":{info}"#)).unwrap_or_default();
        let meta =
            format!(r#""{REVISION_KEY}":"{MODERN_REVISION}","{CAPABILITIES_KEY}":{capabilities}{info}"#);
        Client { revision: revision.to_owned(), capabilities, meta }
    }

    /// Tells whether it can answer questions of a kind.
    pub(super) fn can(&self, capability: &str) -> bool {
        json::member(&self.capabilities, capability).is_some()
    }

    /// Tells whether it can open a URL for the server (2025-11-25, client/elicitation).
    pub(super) fn opens_urls(&self) -> bool {
        let elicitation = json::member(&self.capabilities, "elicitation");
        self.is_latest() && elicitation.is_some_and(|elicitation| json::member(elicitation, "url").is_some())
    }

    /// Tells whether it speaks the latest revision of its era.
    pub(super) fn is_latest(&self) -> bool {
        self.revision == LEGACY_REVISION
    }
}

/// What a legacy client can do, in the words of the other era: roots are never told of by themselves, and tasks are
/// others.
fn modern_capabilities(capabilities: &str) -> String {
    let mut kept = Vec::new();
    for (name, text) in json::members(capabilities) {
        match name.as_str() {
            "tasks" => {}
            "roots" => kept.push((name, splice::without(text, &["listChanged"]))),
            "extensions" => kept.push((name, splice::without(text, &[TASKS_EXTENSION]))),
            _ => kept.push((name, text.to_owned())),
        }
    }
    json::object(kept.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}

impl LegacyClient {
    /// The client opens, or starts over: the server is asked what it can do.
    pub(super) fn start(&mut self, initialize: Message, last_word: Option<LastWord>, assumed: bool) {
        let discover = self.mint();
        self.client = Client::of(&initialize);
        self.level = None;
        self.stop_listening();
        let (mut held, mut held_bytes) = (VecDeque::new(), 0);
        let before = std::mem::replace(&mut self.phase, Phase::Over);
        // A client that cannot wait: the first handshake has no answer yet, and will get none of its own.
        if let Phase::Opening { initialize, taken_back, discover, held: before, held_bytes: bytes, .. } =
            before
        {
            (held, held_bytes) = (before, bytes);
            self.to_server(detection::cancellation(&discover));
            if let (Kind::Request { id, .. }, false) = (initialize.kind(), taken_back) {
                self.refuse(id, Failure::Stopped.code(), "the client has started over", "stopped");
            }
        }
        let discover_id = discover.clone();
        self.phase = Phase::Opening {
            initialize,
            taken_back: false,
            last_word,
            assumed,
            discover: discover_id,
            asked_twice: false,
            held,
            held_bytes,
        };
        self.discover(&discover);
    }

    /// A server that does not take the revision, but then names it among those that it does, gets it once more
    /// (2026-07-28, basic/versioning).
    fn asks_once_more(&mut self, answer: &Message) -> bool {
        let fresh = self.mint();
        let Phase::Opening { discover, asked_twice, .. } = &mut self.phase else { return false };
        let supported = answer.member("data").and_then(|data| json::member(data, "supported"));
        let revisions = supported.map(json::elements).unwrap_or_default();
        let offers = revisions.into_iter().any(|it| json::string(it).as_deref() == Some(MODERN_REVISION));
        if *asked_twice || relay::error_code(answer) != Some(relay::UNSUPPORTED_REVISION) || !offers {
            return false;
        }
        *asked_twice = true;
        *discover = fresh.clone();
        self.discover(&fresh);
        true
    }

    fn discover(&mut self, id: &Id) {
        let meta = &self.client.meta;
        let params = format!(r#"{{"_meta":{{{meta}}}}}"#);
        self.to_server(made(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"server/discover","params":{params}}}"#
        )));
    }

    /// Tells whether this began without the server having shown that it is modern.
    pub(in crate::bridge) fn was_assumed(&self) -> bool {
        matches!(&self.phase, Phase::Opening { assumed: true, .. })
    }

    /// The server is not modern after all: what the client said goes to it as it is.
    pub(in crate::bridge) fn give_back(&mut self) {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        let Phase::Opening { initialize, taken_back, held, .. } = phase else { return };
        let initialize = Some(initialize).filter(|_| !taken_back);
        self.out.push_back(Crossing::Over(initialize.into_iter().chain(held).collect()));
    }

    /// The server has said what it can do, or not.
    pub(super) fn discovered(&mut self, answer: &Message, now: Instant) {
        if self.asks_once_more(answer) {
            return;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Open);
        let Phase::Opening { initialize, taken_back, last_word, held, .. } = phase else { return };
        let Kind::Request { id, .. } = initialize.kind() else { return };
        if relay::error_code(answer).is_some() {
            self.phase = Phase::Over;
            let without_notice = || LastWord { answer: answer.with_id(id), notice: None };
            let LastWord { answer, notice } = last_word.unwrap_or_else(without_notice);
            self.out.extend(Some(Crossing::ToClient(answer)).filter(|_| !taken_back));
            self.out.extend(notice.map(Crossing::Told));
            return self.out.push_back(Crossing::Over(held.into()));
        }
        let supported = answer.member("supportedVersions").unwrap_or("[]");
        let revisions: Vec<String> = json::elements(supported).into_iter().filter_map(json::string).collect();
        if !revisions.is_empty() && !revisions.iter().any(|revision| revision == MODERN_REVISION) {
            self.phase = Phase::Over;
            let why = Why::new(
                Failure::Era,
                format!(
                    "the server speaks {} of MCP, but mcp-tether only up to {MODERN_REVISION}",
                    revisions.join(", ")
                ),
                "look for a newer mcp-tether",
            );
            let answer = Message::error(Some(id), &relay::error_object(&why));
            self.out.extend(Some(Crossing::ToClient(answer)).filter(|_| !taken_back));
            return self.out.push_back(Crossing::Over(held.into()));
        }
        let capabilities = legacy_capabilities(answer.member("capabilities").unwrap_or("{}"));
        let meta = answer.member("_meta").and_then(|meta| json::member(meta, SERVER_KEY));
        let info = meta.or_else(|| answer.member("serverInfo")).filter(|info| info.starts_with('{'));
        let info = info.unwrap_or(r#"{"name":"mcp-server","version":"0"}"#);
        let instructions = answer.member("instructions").filter(|text| text.starts_with('"'));
        let instructions = instructions.map(|text| format!(r#","instructions":{text}"#)).unwrap_or_default();
        let revision = &self.client.revision;
        let result = format!(
            r#"{{"protocolVersion":"{revision}","capabilities":{capabilities},"serverInfo":{info}{instructions}}}"#
        );
        self.server = Server { capabilities };
        self.out.push_back(Crossing::Found(Era::Modern));
        if !taken_back {
            self.answer(id, &result);
        }
        for message in held {
            self.client(message, now);
        }
    }
}

/// What a modern server can do, in the words of the other era: its tasks are others.
fn legacy_capabilities(capabilities: &str) -> String {
    let mut kept = Vec::new();
    for (name, text) in json::members(capabilities) {
        match name.as_str() {
            "tasks" => {}
            "extensions" => kept.push((name, splice::without(text, &[TASKS_EXTENSION]))),
            _ => kept.push((name, text.to_owned())),
        }
    }
    json::object(kept.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}
