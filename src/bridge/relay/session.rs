//! The remembered handshake: which session is open, which one is being opened, and what a new one must be told.
//!
//! Sessions are counted in epochs, so that what an old one says late is not taken for the new one's. Apart from the
//! bridge because recovery lives by it. Deliberately not here: sending anything.

use std::collections::BTreeSet;

use crate::bridge::event::{ExchangeId, Facts, SessionId, Via};
use crate::bridge::revision;
use crate::json;
use crate::jsonrpc::Message;

/// What is known of the session with the server.
#[derive(Debug, Default)]
pub(super) struct Session {
    established: Option<Established>,
    opening: Option<Opening>,
    /// Counts the sessions. 0 before the first.
    epoch: u64,
    /// How many sessions in a row were lost before a message was taken in them.
    lost_unproven: u32,
    pub(super) recovery: Recovery,
    memory: Memory,
}

/// Whether the session is in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Recovery {
    /// As far as is known.
    #[default]
    NotNeeded,
    /// It is lost, and the next message begins to renew it.
    Due,
    /// `initialize` rests before the next attempt.
    BackingOff,
    /// `initialize` is under way; once its head came, the client's responses may pass.
    Opening { exchange: ExchangeId, head: bool },
    /// What has to be told before everything else is under way.
    Telling { exchange: ExchangeId },
}

/// A handshake that succeeded.
#[derive(Clone, Debug)]
struct Established {
    id: Option<SessionId>,
    /// The revision the server chose, as it wrote it: also one that is unknown here goes into the header.
    revision: Option<String>,
    /// What the server can do, as it wrote it.
    capabilities: Option<String>,
    /// The exchange whose stream carries it, over HTTP+SSE.
    carrier: Option<ExchangeId>,
    /// Whether the server has taken a message of the client in it.
    proven: bool,
}

/// A handshake under way.
#[derive(Debug)]
struct Opening {
    exchange: ExchangeId,
    id: Option<SessionId>,
    /// Whether the stream of the exchange will carry the session.
    carries: bool,
}

/// What the client has told the session, for the next one.
#[derive(Debug, Default)]
struct Memory {
    initialize: Option<Message>,
    initialized: Option<Message>,
    /// The JSON text of the log level.
    level: Option<String>,
    /// The JSON texts of the URIs of the resources the client wants to hear of.
    subscriptions: BTreeSet<String>,
}

impl Session {
    /// `initialize` was sent in this exchange, which carries the session where it goes on a stream of its own.
    pub(super) fn begin(&mut self, exchange: ExchangeId, via: Via) {
        self.opening = Some(Opening { exchange, id: None, carries: via == Via::NewStream });
    }

    /// Returns whether a handshake is under way in this exchange.
    pub(super) fn is_opening(&self, exchange: ExchangeId) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.exchange == exchange)
    }

    /// The head of the answer to `initialize` named a session. One that a stream carries has no name.
    pub(super) fn name(&mut self, id: SessionId) {
        if let Some(opening) = self.opening.as_mut().filter(|opening| !opening.carries) {
            opening.id = Some(id);
        }
    }

    /// The handshake succeeded: a new epoch begins. Returns what a session that it replaces had in its headers, for its
    /// end is to be told.
    pub(super) fn establish(&mut self, answer: &Message) -> Option<Facts> {
        let opening = self.opening.take();
        let carrier = opening.as_ref().filter(|opening| opening.carries).map(|opening| opening.exchange);
        let id = opening.and_then(|opening| opening.id);
        let revision = answer.member("protocolVersion").and_then(json::string);
        let capabilities = answer.member("capabilities").map(str::to_owned);
        self.epoch += 1;
        let before =
            self.established.replace(Established { id, revision, capabilities, carrier, proven: false })?;
        before.id.is_some().then(|| before.facts())
    }

    /// The session is no more, and nobody wants another in its place. What comes of it late is still known as its own.
    pub(super) fn forget(&mut self) {
        *self = Session { epoch: self.epoch, ..Session::default() };
    }

    /// The handshake failed; a session that was open before still is.
    pub(super) fn abandon(&mut self) {
        self.opening = None;
    }

    /// What the headers of a message say that has to do with a handshake under way: its session, where it has named
    /// one.
    pub(super) fn facts_of_handshake(&self) -> Facts {
        match &self.opening {
            Some(Opening { carries: true, exchange, .. }) => {
                Facts { via: Via::Stream(*exchange), ..Facts::default() }
            }
            Some(Opening { id: Some(id), .. }) => Facts { session: Some(id.clone()), ..Facts::default() },
            Some(Opening { id: None, .. }) | None => self.facts(),
        }
    }

    /// What the headers of every other message say.
    pub(super) fn facts(&self) -> Facts {
        match &self.established {
            Some(established) if !self.is_over(self.epoch) => established.facts(),
            Some(_) | None => Facts::default(),
        }
    }

    /// The epoch of the session that headers name; none where they name none, or one that is only being opened.
    pub(super) fn epoch_of(&self, facts: &Facts) -> Option<u64> {
        let established = self.established.as_ref()?;
        let is_its_own = match (&facts.session, facts.via) {
            (Some(named), _) => established.id.as_ref() == Some(named),
            (None, Via::Stream(stream)) => established.carrier == Some(stream),
            (None, Via::Endpoint | Via::NewStream) => false,
        };
        is_its_own.then_some(self.epoch)
    }

    /// The id of the session of this epoch, if it is the latest, over or not.
    pub(super) fn id_of(&self, epoch: u64) -> Option<&SessionId> {
        self.established.as_ref().filter(|_| epoch == self.epoch)?.id.as_ref()
    }

    /// A message was taken in the session of this epoch: the server knows it.
    pub(super) fn prove(&mut self, epoch: u64) {
        if epoch == self.epoch
            && let Some(established) = &mut self.established
        {
            established.proven = true;
            self.lost_unproven = 0;
        }
    }

    /// Returns whether a message was taken in the session of this epoch, if it is the latest.
    pub(super) fn is_proven(&self, epoch: u64) -> bool {
        epoch == self.epoch && self.established.as_ref().is_some_and(|established| established.proven)
    }

    /// Notes that the latest session is lost.
    pub(super) fn lose(&mut self) {
        self.recovery = Recovery::Due;
        if !self.is_proven(self.epoch) {
            self.lost_unproven = self.lost_unproven.saturating_add(1);
        }
    }

    /// How many sessions in a row were lost before a message was taken in them.
    pub(super) fn lost_unproven(&self) -> u32 {
        self.lost_unproven
    }

    /// The exchange whose stream is to carry the session that is being opened.
    pub(super) fn future_carrier(&self) -> Option<ExchangeId> {
        self.opening.as_ref().filter(|opening| opening.carries).map(|opening| opening.exchange)
    }

    /// The exchange whose stream carries the session, over HTTP+SSE, as far as it is in order.
    pub(super) fn carrier(&self) -> Option<ExchangeId> {
        self.established.as_ref().filter(|_| !self.is_over(self.epoch))?.carrier
    }

    /// The number of the session.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns whether the handshake is done.
    pub(super) fn is_established(&self) -> bool {
        self.established.is_some()
    }

    /// The id of the session, once the handshake is done.
    pub(super) fn id(&self) -> Option<SessionId> {
        self.established.as_ref()?.id.clone()
    }

    /// The revision of the session, once the handshake is done.
    pub(super) fn revision(&self) -> Option<&str> {
        self.established.as_ref()?.revision.as_deref()
    }

    /// What the server can do, as JSON text.
    pub(super) fn capabilities(&self) -> Option<&str> {
        self.established.as_ref()?.capabilities.as_deref()
    }

    /// Returns whether everything has to wait because the session is being renewed.
    pub(super) fn is_being_renewed(&self) -> bool {
        match self.recovery {
            Recovery::NotNeeded | Recovery::Due => false,
            Recovery::BackingOff | Recovery::Opening { .. } | Recovery::Telling { .. } => true,
        }
    }

    /// Returns whether nothing may be said in the session of this epoch any more.
    pub(super) fn is_over(&self, epoch: u64) -> bool {
        epoch != self.epoch
            || match self.recovery {
                Recovery::NotNeeded | Recovery::Telling { .. } => false,
                Recovery::Due | Recovery::BackingOff | Recovery::Opening { .. } => true,
            }
    }

    /// The client opens a session: what it said in the one before no longer counts.
    pub(super) fn remember_start(&mut self, initialize: Message) {
        self.memory = Memory { initialize: Some(initialize), ..Memory::default() };
    }

    /// The client has said that it is ready.
    pub(super) fn remember_ready(&mut self, initialized: Message) {
        self.memory.initialized = Some(initialized);
    }

    /// The server has done what the client asked for: what of it must be asked for again in a new session.
    pub(super) fn remember(&mut self, request: &Message) {
        match request.method() {
            Some("logging/setLevel") => self.memory.level = request.member("level").map(str::to_owned),
            Some("resources/subscribe") => {
                self.memory.subscriptions.extend(request.member("uri").map(str::to_owned));
            }
            Some("resources/unsubscribe") => {
                if let Some(uri) = request.member("uri") {
                    self.memory.subscriptions.remove(uri);
                }
            }
            _ => {}
        }
    }

    /// The message by which the client opened the session.
    pub(super) fn start(&self) -> Option<&Message> {
        self.memory.initialize.as_ref()
    }

    /// The message by which the client said that it is ready.
    pub(super) fn ready(&self) -> Option<&Message> {
        self.memory.initialized.as_ref()
    }

    /// The log level, as JSON text.
    pub(super) fn level(&self) -> Option<&str> {
        self.memory.level.as_deref()
    }

    /// The URIs of the resources the client wants to hear of, as JSON texts.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = &str> {
        self.memory.subscriptions.iter().map(String::as_str)
    }
}

impl Established {
    fn facts(&self) -> Facts {
        let revision = self.revision.clone();
        match self.carrier {
            None => Facts { session: self.id.clone(), revision, ..Facts::default() },
            Some(carrier) => {
                let revision = revision.filter(|revision| revision::is_named_in_headers(revision));
                Facts { revision, via: Via::Stream(carrier), ..Facts::default() }
            }
        }
    }
}
