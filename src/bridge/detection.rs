//! Which era the server speaks, found out by what the client opens with.
//!
//! Mirror first: the client's own opening goes to the server as it is, so that a shared era costs nothing. Only what a
//! server of the other era says is evidence (`relay::era_mismatch`); then a translator takes over. A server that leaves the
//! probe of a modern client hanging is asked by `initialize` meanwhile, and whichever is answered first counts.
//! Deliberately not here: translating.

use std::time::{Duration, Instant};

use super::relay::{EraMismatch, Evidence};
use super::*;
use crate::json;

/// How long the answer to a client's probe may take before the server is asked the legacy way too.
const HEDGE: Duration = Duration::from_secs(2);
/// Clients that fall back to `initialize` by themselves when their probe is refused, beside those that were seen doing so. In
/// the era they share with the server nothing is lost in translation.
const FALL_BACK: [&str; 1] = ["claude-code"];
/// The key of a modern request's `_meta` under which the client names itself.
const CLIENT_KEY: &str = "io.modelcontextprotocol/clientInfo";

/// What is known of the server's era.
#[derive(Debug)]
pub(super) struct Detection {
    /// What the person said.
    said: Option<Era>,
    /// What was found out, or known from before.
    known: Option<Era>,
    /// What is kept for the next start.
    memory: Known,
    /// The name of the client that sent a probe.
    prober: Option<String>,
    /// The client's probe that has no answer yet, and when the server is asked the other way too.
    probe: Option<(Id, Option<Instant>)>,
    /// Whether a probe was answered as a modern server does.
    probe_succeeded: bool,
    /// Whether the client has opened a session by itself: it must not be replaced by one of ours.
    client_is_legacy: bool,
}

impl Detection {
    /// What is known at the start.
    pub(super) fn new(config: &Config) -> Detection {
        let memory = config.known.clone();
        // The older transport carries nothing of the modern era.
        let said = config.era.or((config.transport == Transport::SseOnly).then_some(Era::Legacy));
        let known = said.or(memory.era);
        Detection {
            said,
            known,
            memory,
            prober: None,
            probe: None,
            probe_succeeded: false,
            client_is_legacy: false,
        }
    }

    /// When there is something to do.
    pub(super) fn next(&self) -> Option<(Instant, &'static str)> {
        let (_, due) = self.probe.as_ref()?;
        due.map(|due| (due, "the server is asked the legacy way too"))
    }

    /// Tells whether the server has answered a probe as a modern one does. It may know the other era as well.
    pub(super) fn is_modern(&self) -> bool {
        self.probe_succeeded
    }

    /// Tells whether the client of a modern request is known to fall back by itself.
    fn falls_back(&self, request: &Message) -> bool {
        client_of(request)
            .is_some_and(|name| FALL_BACK.contains(&&*name) || self.memory.falls_back.contains(&name))
    }

    /// A message goes to the client: should it answer the probe, the server is modern.
    pub(super) fn answered(&mut self, message: &Message) {
        let Kind::Response { id: Some(id), error } = message.kind() else { return };
        if self.probe.as_ref().is_some_and(|(probe, _)| probe == id) {
            self.probe = None;
            if !error {
                self.probe_succeeded = true;
            }
        }
    }
}

impl Bridge {
    /// Tells whether a message of the client is more than the relay's affair.
    pub(super) fn is_watching(&self, message: &Message) -> bool {
        self.is_translating()
            || self.detection.known == Some(Era::Legacy)
            || matches!(message.method(), Some("initialize" | "server/discover"))
    }

    /// Brings a message of the client to whoever carries it.
    pub(super) fn client(&mut self, message: Message, now: Instant) {
        let (era, _) = revision::classify(&message);
        match (message.kind(), era) {
            (Kind::Response { .. }, _) => match &mut self.legacy {
                Some(legacy) => legacy.client(message, now),
                None => match &mut self.modern {
                    Some(modern) if modern.stands_alone() => modern.client(message, now),
                    Some(_) | None => self.forward(message, now),
                },
            },
            (Kind::Notification { method }, _) if method.as_str() == "notifications/cancelled" => {
                let id = message.request_id_param();
                let cancelled = id.as_ref();
                match (&mut self.legacy, &mut self.modern) {
                    (Some(legacy), _) if cancelled.is_some_and(|id| legacy.serves(id)) => {
                        legacy.client(message, now);
                    }
                    (_, Some(modern)) if cancelled.is_some_and(|id| modern.serves(id)) => {
                        modern.client(message, now);
                    }
                    (_, _) => self.forward(message, now),
                }
            }
            (Kind::Request { .. } | Kind::Notification { .. }, Era::Legacy) => {
                self.legacy_client(message, now)
            }
            (Kind::Request { .. } | Kind::Notification { .. }, Era::Modern) => {
                self.modern_client(message, now)
            }
        }
    }

    fn forward(&mut self, message: Message, now: Instant) {
        self.relay.say(message, now);
    }

    fn legacy_client(&mut self, message: Message, now: Instant) {
        let starts = message.method() == Some("initialize");
        if starts {
            self.detection.client_is_legacy = true;
            if let Some((_, due)) = &mut self.detection.probe {
                *due = None;
            }
            if let Some(modern) = &mut self.modern {
                modern.client_went_legacy();
                // It did not wait for the answer to its probe, or did not like it: the next time it is left alone.
                if let Some(client) = self.detection.prober.take()
                    && self.detection.memory.falls_back.insert(client)
                {
                    self.remember();
                }
            }
        }
        if let Some(modern) = &mut self.modern
            && modern.stands_alone()
        {
            return modern.client(message, now);
        }
        match &mut self.legacy {
            Some(legacy) => legacy.client(message, now),
            None if starts && self.detection.known == Some(Era::Modern) => {
                self.legacy = Some(Box::new(LegacyClient::begin(message, None, true, self.minted)));
            }
            None => self.forward(message, now),
        }
    }

    fn modern_client(&mut self, message: Message, now: Instant) {
        let is_probe = is_probe(&message);
        if is_probe {
            self.detection.prober = client_of(&message);
        }
        if matches!(message.kind(), Kind::Request { .. })
            && self.modern.is_none()
            && self.detection.known == Some(Era::Legacy)
            && !self.detection.client_is_legacy
            && !self.detection.falls_back(&message)
        {
            self.modern = Some(Box::new(ModernClient::begin(self.secret)));
        }
        match (&mut self.modern, message.kind()) {
            (Some(modern), _) if !modern.is_hedge() => modern.client(message, now),
            (_, Kind::Request { id, .. }) if is_probe => {
                let hedges = self.detection.known.is_none()
                    && self.modern.is_none()
                    && !self.detection.client_is_legacy
                    && !self.detection.falls_back(&message);
                self.detection.probe = Some((id.clone(), hedges.then(|| now + HEDGE)));
                self.forward(message, now);
            }
            (_, _) => self.forward(message, now),
        }
    }

    /// The server has shown that it does not speak the era of a request.
    pub(super) fn apart(&mut self, apart: EraMismatch, now: Instant) {
        let EraMismatch { request, evidence, last_word, waiting } = apart;
        if let Some(legacy) = &mut self.legacy
            && legacy.takes(&last_word.answer, None)
        {
            // The server is not what it was: it is asked as if nothing were known.
            if self.detection.said.is_none() && legacy.was_assumed() {
                legacy.give_back(&last_word.answer);
                return self.forget_era();
            }
            return legacy.server(last_word.answer, now);
        }
        // What a translator asked is its own affair, whatever the refusal shows.
        if let Some(modern) = &mut self.modern
            && modern.takes(&last_word.answer, None)
        {
            if self.detection.said.is_none() && modern.was_assumed() {
                modern.give_back();
                self.forget_era();
            } else {
                modern.server(last_word.answer, None, now);
            }
            return self.say_all(waiting, now);
        }
        match (evidence, self.detection.said) {
            (Evidence::Modern | Evidence::Nothing, None | Some(Era::Modern)) => {
                // A server that has shown its era has a better answer than this one.
                let last_word = Some(last_word).filter(|_| evidence == Evidence::Nothing);
                let mut legacy = LegacyClient::begin(request, last_word, false, self.minted);
                let is_of_session =
                    |message: &Message| self.modern.as_ref().is_some_and(|modern| modern.has_asked(message));
                // What the session was asked in a modern client's place has its answer from the server.
                let (of_session, of_client): (Vec<Message>, Vec<Message>) =
                    waiting.into_iter().partition(is_of_session);
                for message in of_client {
                    legacy.client(message, now);
                }
                self.legacy = Some(Box::new(legacy));
                self.say_all(of_session, now);
            }
            (Evidence::Legacy, None | Some(Era::Legacy))
                if !self.detection.falls_back(&request) && !self.detection.client_is_legacy =>
            {
                let modern = self.modern.get_or_insert_with(|| Box::new(ModernClient::begin(self.secret)));
                self.detection.probe = None;
                modern.refused(request, last_word, now);
            }
            (Evidence::Modern | Evidence::Nothing | Evidence::Legacy, _) => {
                // Whatever kind of answer this is: it does not show a modern server.
                self.detection.probe.take_if(|(probe, _)| is_answered_by(probe, &last_word.answer));
                self.actions.push_back(Action::Deliver(last_word.answer));
                self.actions.extend(last_word.notice.map(Action::Notice));
                self.say_all(waiting, now);
            }
        }
    }

    fn remember(&mut self) {
        self.actions.push_back(Action::Remember(self.detection.memory.clone()));
    }

    /// What was known of the server from before has turned out to be wrong.
    fn forget_era(&mut self) {
        self.detection.known = self.detection.said;
        if self.detection.memory.era.take().is_some() {
            self.remember();
        }
    }

    /// Asks a server the legacy way that leaves the probe hanging.
    pub(super) fn detect_later(&mut self, now: Instant) {
        let Some((id, due)) = &mut self.detection.probe else { return };
        if due.is_some_and(|due| due <= now) {
            *due = None;
            let probe = self.relay.request(id).filter(|request| is_probe(request));
            if let (None, Some(probe)) = (&self.modern, probe) {
                self.modern = Some(Box::new(ModernClient::hedge(probe, self.secret)));
            }
        }
    }

    /// A translator has found the server's era.
    pub(super) fn found(&mut self, era: Era, now: Instant) {
        if self.detection.known.replace(era) != Some(era) {
            self.actions.push_back(Action::Notice(Notice::Bridged { server: era }));
        }
        // A server that only was slow to answer the probe may know both: that is nothing to remember.
        let is_certain = self.detection.probe.is_none();
        if is_certain && self.detection.said.is_none() && self.detection.memory.era != Some(era) {
            self.detection.memory.era = Some(era);
            self.remember();
        }
        // A probe that was left hanging is answered by what the other way brought.
        if era == Era::Legacy
            && let Some((id, _)) = self.detection.probe.take()
            && let Some(probe) = self.relay.request(&id).filter(|request| is_probe(request)).cloned()
        {
            self.relay.say(cancellation(&id), now);
            if let Some(modern) = &mut self.modern {
                modern.client(probe, now);
            }
        }
    }
}

/// What takes a request back.
#[expect(clippy::expect_used, reason = "an id is JSON, and so is what stands around it")]
pub(super) fn cancellation(id: &Id) -> Message {
    let text =
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
    Message::parse(text.into()).expect("made from an id")
}

/// Tells whether a message is a probe: its id alone does not say so, for the client may use one again.
fn is_probe(message: &Message) -> bool {
    message.method() == Some("server/discover")
}

fn is_answered_by(request: &Id, answer: &Message) -> bool {
    matches!(answer.kind(), Kind::Response { id: Some(id), .. } if id == request)
}

/// The name that the client of a modern request has.
fn client_of(request: &Message) -> Option<String> {
    let client = request.member("_meta").and_then(|meta| json::member(meta, CLIENT_KEY))?;
    json::member(client, "name").and_then(json::string)
}
