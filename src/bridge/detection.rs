//! What is known of the server's era, and what follows from it.
//!
//! Mirror first: the client's own opening goes to the server as it is, so that a shared era costs nothing. Only a message of a
//! server of the other era is evidence (the relay's `EraMismatch`); then a translator takes over. If a server leaves the probe
//! of a modern client without an answer, it is asked by `initialize` as well, and the first answer counts.
//! Each method returns what is to be done. Deliberately not here: doing it (`translation`).

use std::time::{Duration, Instant};

use super::relay::{Evidence, TransportOrder};
use super::revision::Era;
use super::{Config, Known};
use crate::json;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::{meta, method};

/// How long the answer to a client's probe may take before the server is asked the legacy way too.
const HEDGE: Duration = Duration::from_secs(2);
/// Clients that fall back to `initialize` by themselves when their probe is refused, beside those that were seen doing so. In
/// the era that they share with the server nothing is lost in translation.
const FALL_BACK: [&str; 1] = ["claude-code"];

/// What is known of the server's era.
#[derive(Debug)]
pub(super) struct Detection {
    /// The era that the user named.
    named: Option<Era>,
    /// The era that was found out, or is known from before.
    known: Option<Era>,
    /// What is kept for the next start.
    memory: Known,
    /// The name of the client that sent a probe.
    prober: Option<String>,
    probe: Option<Probe>,
    /// Whether a probe was answered as a modern server does.
    probe_succeeded: bool,
    /// Whether the client has opened a session by itself: it must not be replaced by one of ours.
    client_is_legacy: bool,
}

/// A probe of the client that has no answer yet.
#[derive(Debug)]
struct Probe {
    id: Id,
    /// The request; none once the client has cancelled it.
    request: Option<Message>,
    /// When the server is asked the legacy way too.
    hedge_at: Option<Instant>,
}

/// What follows from a mismatch of eras that is not a translator's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EraDecision {
    /// Translate for the legacy client.
    TranslateLegacy,
    /// Translate for the modern client.
    TranslateModern,
    /// Deliver the server's answer.
    Deliver,
}

/// What follows from the era that was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Whether that is new.
    pub(super) is_new: bool,
    /// What to keep for the next start, if that has changed.
    pub(super) remember: Option<Known>,
    /// The client's probe that is answered by the other way's result, and its id.
    pub(super) probe: Option<(Id, Message)>,
}

impl Detection {
    /// What is known at the start.
    pub(super) fn new(config: &Config) -> Detection {
        let memory = config.known.clone();
        // The older transport carries nothing of the modern era.
        let named = config.era.or((config.transport == TransportOrder::SseOnly).then_some(Era::Legacy));
        let known = named.or(memory.era);
        Detection {
            named,
            known,
            memory,
            prober: None,
            probe: None,
            probe_succeeded: false,
            client_is_legacy: false,
        }
    }

    /// Returns whether a message of the client may change what is known, or depends on it.
    pub(super) fn concerns(&self, message: &Message) -> bool {
        match message.method() {
            Some(method::INITIALIZE | method::DISCOVER) => true,
            Some(method::CANCELLED) if self.is_probing() => true,
            Some(_) | None => self.known == Some(Era::Legacy),
        }
    }

    /// Returns whether a probe has no answer yet.
    pub(super) fn is_probing(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.request.is_some())
    }

    /// Returns when the server is asked the legacy way too.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let due = self.probe.as_ref()?.hedge_at?;
        Some((due, "the server is asked the legacy way too"))
    }

    /// Returns whether the server has answered a probe as a modern one does. It may know the other era as well.
    pub(super) fn has_proved_modern(&self) -> bool {
        self.probe_succeeded
    }

    /// Returns whether the era is not what the user named, but was found out or is known from before.
    pub(super) fn is_open(&self) -> bool {
        self.named.is_none()
    }

    /// Takes in that the client opens a session by itself.
    pub(super) fn session_started(&mut self) {
        self.client_is_legacy = true;
        if let Some(probe) = &mut self.probe {
            probe.hedge_at = None;
        }
    }

    /// Takes in that the client did not wait for the answer to its probe, or did not accept it. Returns what to keep: the next
    /// time its probe is not translated.
    pub(super) fn fell_back(&mut self) -> Option<Known> {
        let client = self.prober.take()?;
        self.memory.falls_back.insert(client).then(|| self.memory.clone())
    }

    /// Returns whether a session of the client is translated from the start.
    pub(super) fn translates_session(&self) -> bool {
        self.known == Some(Era::Modern)
    }

    /// Returns whether a request of a modern client is translated from the start.
    pub(super) fn translates_request(&self, request: &Message) -> bool {
        self.known == Some(Era::Legacy) && !self.client_is_legacy && !self.falls_back(request)
    }

    /// Takes in the name of the client that sends a probe.
    pub(super) fn prober_seen(&mut self, probe: &Message) {
        self.prober = client_name(probe);
    }

    /// Takes in a probe that goes to the server as it is. `may_hedge` says that no translator is there.
    pub(super) fn probe_sent(&mut self, probe: &Message, may_hedge: bool, now: Instant) {
        let Kind::Request { id, .. } = probe.kind() else { return };
        let hedges = may_hedge && self.known.is_none() && !self.client_is_legacy && !self.falls_back(probe);
        let hedge_at = hedges.then(|| now + HEDGE);
        self.probe = Some(Probe { id: id.clone(), request: Some(probe.clone()), hedge_at });
    }

    /// Takes in that the client cancels a request.
    pub(super) fn cancelled(&mut self, id: &Id) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.id == *id) {
            probe.request = None;
        }
    }

    /// Takes in a message that goes to the client: if it answers the probe, the server is modern.
    pub(super) fn answered(&mut self, message: &Message) {
        let Kind::Response { id: Some(id), error } = message.kind() else { return };
        if self.probe.take_if(|probe| probe.id == *id).is_some() && !error {
            self.probe_succeeded = true;
        }
    }

    /// Returns the probe that has waited long enough, once.
    pub(super) fn hedge_due(&mut self, now: Instant) -> Option<Message> {
        let probe = self.probe.as_mut()?;
        probe.hedge_at.take_if(|due| *due <= now)?;
        probe.request.clone()
    }

    /// Decides what follows from the server's answer to a request of the client.
    pub(super) fn decide(&mut self, request: &Message, evidence: Evidence, answer: &Message) -> EraDecision {
        match (evidence, self.named) {
            (Evidence::Modern | Evidence::Nothing, None | Some(Era::Modern)) => EraDecision::TranslateLegacy,
            (Evidence::Legacy, None | Some(Era::Legacy))
                if !self.falls_back(request) && !self.client_is_legacy =>
            {
                self.probe = None;
                EraDecision::TranslateModern
            }
            (Evidence::Modern | Evidence::Nothing | Evidence::Legacy, _) => {
                // Whatever kind of answer this is: it does not show a modern server.
                self.probe.take_if(|probe| is_answer_to(&probe.id, answer));
                EraDecision::Deliver
            }
        }
    }

    /// Takes in that what was known from before is wrong. Returns what to keep for the next start, if that has changed.
    pub(super) fn disproved(&mut self) -> Option<Known> {
        self.known = self.named;
        self.memory.era.take().map(|_| self.memory.clone())
    }

    /// Takes in the era that a translator has found.
    pub(super) fn found(&mut self, era: Era) -> Found {
        let is_new = self.known.replace(era) != Some(era);
        // A server that only was slow to answer the probe may know both: that is nothing to remember.
        let is_certain = self.probe.is_none();
        let is_news = is_certain && self.named.is_none() && self.memory.era != Some(era);
        let remember = is_news.then(|| {
            self.memory.era = Some(era);
            self.memory.clone()
        });
        let probe = self.probe.take_if(|_| era == Era::Legacy);
        Found { is_new, remember, probe: probe.and_then(|probe| Some((probe.id, probe.request?))) }
    }

    /// Returns whether the client of a modern request is known to fall back by itself.
    fn falls_back(&self, request: &Message) -> bool {
        client_name(request)
            .is_some_and(|name| FALL_BACK.contains(&&*name) || self.memory.falls_back.contains(&name))
    }
}

/// Returns whether a message is a probe.
pub(super) fn is_probe(message: &Message) -> bool {
    message.method() == Some(method::DISCOVER)
}

fn is_answer_to(request: &Id, answer: &Message) -> bool {
    matches!(answer.kind(), Kind::Response { id: Some(id), .. } if id == request)
}

/// The name that the client of a modern request has.
fn client_name(request: &Message) -> Option<String> {
    let client = request.member(meta::META).and_then(|own| json::member(own, meta::CLIENT_INFO))?;
    json::member(client, "name").and_then(json::string)
}
