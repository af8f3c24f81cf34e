//! The session with the server: one state, which alone answers whether a message may go out now.
//!
//! Sessions are counted in epochs, so that what an old one says late is not taken for the new one's. Deliberately not
//! here: sending anything, and which transport carries a session (`fallback`).
#![doc = include_str!("../sessions.md")]

mod memory;
mod opening;
mod renewal;

use std::collections::VecDeque;
use std::time::Instant;

use super::fallback::{Fallback, TransportOrder};
use super::ledger::Ticket;
use crate::bridge::event::{ExchangeId, Facts, SessionId, SessionNews, Via};
use crate::bridge::revision;
use crate::json;
use crate::jsonrpc::Message;
use memory::SessionMemory;

/// The state of the session with the server, over either transport.
#[derive(Debug)]
enum Session {
    /// There is none: it was never opened, or ended because it is not needed.
    None { gate: Option<Gate> },
    /// The client's `initialize` has no answer yet, and everything else waits for it.
    Opening(SessionOpening),
    /// Messages go out in it.
    Open(Open),
    /// It is lost. The next message that needs a session begins to renew it.
    Ended(Established),
    /// A new one is opened in the client's place, and everything else waits for it.
    Renewing(Renewing),
    /// A new one is open and gets the restoring messages, for which everything else waits.
    Restoring(Restoring),
}

impl Default for Session {
    fn default() -> Session {
        Session::None { gate: None }
    }
}

/// The client opens a session.
#[derive(Debug)]
struct SessionOpening {
    /// Its `initialize`.
    ticket: Ticket,
    /// Whether the head of the answer came: the server may ask something before it answers.
    head: bool,
    /// None while `initialize` waits to be sent again.
    handshake: Option<Handshake>,
    /// The session that is open, or was, until this one is.
    before: Option<Previous>,
}

#[derive(Debug)]
struct Previous {
    session: Established,
    is_lost: bool,
}

/// A session in which messages go out.
#[derive(Debug)]
struct Open {
    session: Established,
    gate: Option<Gate>,
    /// The JSON texts of the URIs that are still to be subscribed to after a renewal.
    unrestored: VecDeque<String>,
    /// How many subscriptions are being renewed.
    restoring: usize,
}

/// A message for the head of whose answer everything else waits, for a bounded time.
#[derive(Debug)]
struct Gate {
    ticket: Ticket,
    title: String,
    deadline: Instant,
}

/// A session that is being renewed.
#[derive(Debug)]
struct Renewing {
    before: Established,
    /// How often `initialize` was sent.
    attempts: u32,
    since: Instant,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// `initialize` is sent again at this time.
    BackingOff(Instant),
    /// It is under way; once its head came, the client's responses may pass.
    Opening { handshake: Option<Handshake>, head: bool },
}

/// A new session that gets the state of the one before.
#[derive(Debug)]
struct Restoring {
    session: Established,
    news: SessionNews,
    /// The exchange of the message that must arrive first.
    told: Option<ExchangeId>,
    /// When `notifications/initialized` is sent once more, and whether it was.
    retell: Option<Instant>,
    retold: bool,
    /// Whether the log level was sent.
    levelled: bool,
}

/// A handshake that succeeded.
#[derive(Clone, Debug)]
struct Established {
    id: Option<SessionId>,
    /// The revision the server chose, as it wrote it: also one that is unknown here goes into the header.
    revision: Option<String>,
    /// The capabilities of the server, as it wrote them.
    capabilities: Option<String>,
    /// The exchange whose stream carries it, over HTTP+SSE.
    stream: Option<ExchangeId>,
    /// Whether the server has taken a message of the client in it.
    proven: bool,
}

/// A handshake under way.
#[derive(Debug)]
struct Handshake {
    exchange: ExchangeId,
    id: Option<SessionId>,
    /// Whether the stream of the exchange will carry the session.
    carries: bool,
}

/// Whether a message of the legacy era may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bridge::relay) enum Admission {
    /// Now.
    Now,
    /// Not yet: another one has to be answered first.
    Later,
    /// Only in a new session, which is to be opened.
    AfterRenewal,
}

/// The session, those before it as far as they count, and what the client has told it.
#[derive(Debug)]
pub(in crate::bridge::relay) struct Sessions {
    current: Session,
    /// Counts the sessions. 0 before the first.
    epoch: u64,
    /// How many sessions in a row were lost before a message was taken in them.
    lost_unproven: u32,
    memory: SessionMemory,
    /// By which transport the next one is opened.
    transport: Fallback,
}

impl Sessions {
    /// There is no session yet.
    pub(in crate::bridge::relay) fn new(transport: TransportOrder) -> Sessions {
        Sessions {
            current: Session::default(),
            epoch: 0,
            lost_unproven: 0,
            memory: SessionMemory::default(),
            transport: Fallback::new(transport),
        }
    }
}

/// Whether a message may be sent, and with which headers.
impl Sessions {
    /// Returns whether a message of the legacy era may go out, which is an `initialize` or not.
    pub(in crate::bridge::relay) fn admission(&self, is_initialize: bool) -> Admission {
        match &self.current {
            Session::Opening(_) | Session::Renewing(_) | Session::Restoring(_) => Admission::Later,
            Session::None { gate: Some(_) } | Session::Open(Open { gate: Some(_), .. }) => Admission::Later,
            Session::Ended(_) if !is_initialize => Admission::AfterRenewal,
            Session::Ended(_) | Session::None { .. } | Session::Open(_) => Admission::Now,
        }
    }

    /// Returns whether everything of the legacy era has to wait.
    pub(in crate::bridge::relay) fn is_held(&self) -> bool {
        self.admission(true) == Admission::Later
    }

    /// Returns whether a handshake is under way in which the server may ask something.
    pub(in crate::bridge::relay) fn lets_responses_pass(&self) -> bool {
        match &self.current {
            Session::Opening(opening) => opening.head,
            Session::Renewing(Renewing { step: Step::Opening { head, .. }, .. }) => *head,
            Session::Renewing(_)
            | Session::None { .. }
            | Session::Open(_)
            | Session::Ended(_)
            | Session::Restoring(_) => false,
        }
    }

    /// The facts for the headers of a message that belongs to a handshake under way: its session, if the server has named
    /// one.
    pub(in crate::bridge::relay) fn facts_of_handshake(&self) -> Facts {
        match self.handshake() {
            Some(Handshake { carries: true, exchange, .. }) => {
                Facts { via: Via::Stream(*exchange), ..Facts::default() }
            }
            Some(Handshake { id: Some(id), .. }) => Facts { session: Some(id.clone()), ..Facts::default() },
            Some(Handshake { id: None, .. }) | None => self.facts(),
        }
    }

    /// The facts for the headers of every other message.
    pub(in crate::bridge::relay) fn facts(&self) -> Facts {
        self.usable().map(Established::facts).unwrap_or_default()
    }

    /// The epoch of the session that headers name; none where they name none, or one that is only being opened.
    pub(in crate::bridge::relay) fn epoch_of(&self, facts: &Facts) -> Option<u64> {
        let established = self.latest()?;
        let is_its_own = match (&facts.session, facts.via) {
            (Some(named), _) => established.id.as_ref() == Some(named),
            (None, Via::Stream(stream)) => established.stream == Some(stream),
            (None, Via::Endpoint | Via::NewStream) => false,
        };
        is_its_own.then_some(self.epoch)
    }

    /// The latest session, over or not.
    fn latest(&self) -> Option<&Established> {
        match &self.current {
            Session::None { .. } => None,
            Session::Opening(opening) => opening.before.as_ref().map(|before| &before.session),
            Session::Open(open) => Some(&open.session),
            Session::Ended(session) => Some(session),
            Session::Renewing(renewing) => Some(&renewing.before),
            Session::Restoring(restoring) => Some(&restoring.session),
        }
    }

    fn latest_mut(&mut self) -> Option<&mut Established> {
        match &mut self.current {
            Session::None { .. } => None,
            Session::Opening(opening) => opening.before.as_mut().map(|before| &mut before.session),
            Session::Open(open) => Some(&mut open.session),
            Session::Ended(session) => Some(session),
            Session::Renewing(renewing) => Some(&mut renewing.before),
            Session::Restoring(restoring) => Some(&mut restoring.session),
        }
    }

    /// The latest session, unless it is over.
    fn usable(&self) -> Option<&Established> {
        self.latest().filter(|_| !self.is_over(self.epoch))
    }

    fn handshake(&self) -> Option<&Handshake> {
        match &self.current {
            Session::Opening(opening) => opening.handshake.as_ref(),
            Session::Renewing(Renewing { step: Step::Opening { handshake, .. }, .. }) => handshake.as_ref(),
            Session::Renewing(_)
            | Session::None { .. }
            | Session::Open(_)
            | Session::Ended(_)
            | Session::Restoring(_) => None,
        }
    }

    fn handshake_mut(&mut self) -> Option<&mut Option<Handshake>> {
        match &mut self.current {
            Session::Opening(opening) => Some(&mut opening.handshake),
            Session::Renewing(Renewing { step: Step::Opening { handshake, .. }, .. }) => Some(handshake),
            Session::Renewing(_)
            | Session::None { .. }
            | Session::Open(_)
            | Session::Ended(_)
            | Session::Restoring(_) => None,
        }
    }
}

/// The state of the session.
impl Sessions {
    /// The id of the session of this epoch, if it is the latest, over or not.
    pub(in crate::bridge::relay) fn id_of(&self, epoch: u64) -> Option<&SessionId> {
        self.latest().filter(|_| epoch == self.epoch)?.id.as_ref()
    }

    /// A message was taken in the session of this epoch: the server knows it.
    pub(in crate::bridge::relay) fn prove(&mut self, epoch: u64) {
        if epoch == self.epoch
            && let Some(established) = self.latest_mut()
        {
            established.proven = true;
            self.lost_unproven = 0;
        }
    }

    /// Returns whether a message was taken in the session of this epoch, if it is the latest.
    pub(in crate::bridge::relay) fn is_proven(&self, epoch: u64) -> bool {
        epoch == self.epoch && self.latest().is_some_and(|established| established.proven)
    }

    /// How many sessions in a row were lost before a message was taken in them.
    pub(in crate::bridge::relay) fn lost_unproven(&self) -> u32 {
        self.lost_unproven
    }

    /// The exchange whose stream carries the session, over HTTP+SSE, as far as it is in order.
    pub(in crate::bridge::relay) fn stream(&self) -> Option<ExchangeId> {
        self.usable()?.stream
    }

    /// The number of the session.
    pub(in crate::bridge::relay) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns whether a handshake was done, even if the session is over.
    pub(in crate::bridge::relay) fn is_established(&self) -> bool {
        self.latest().is_some()
    }

    /// Returns whether the stream for the server's own messages may be open.
    pub(in crate::bridge::relay) fn can_listen(&self) -> bool {
        matches!(self.current, Session::Open(_) | Session::Opening(_)) && self.usable().is_some()
    }

    /// Returns whether nothing waits, and no session is lost.
    pub(in crate::bridge::relay) fn can_send_now(&self) -> bool {
        self.admission(false) == Admission::Now
    }

    /// The id of the session, once the handshake is done.
    pub(in crate::bridge::relay) fn id(&self) -> Option<SessionId> {
        self.latest()?.id.clone()
    }

    /// The revision of the session, once the handshake is done.
    pub(in crate::bridge::relay) fn revision(&self) -> Option<&str> {
        self.latest()?.revision.as_deref()
    }

    /// The capabilities of the server, as JSON text.
    pub(in crate::bridge::relay) fn capabilities(&self) -> Option<&str> {
        self.latest()?.capabilities.as_deref()
    }

    /// Returns whether nothing may be said in the session of this epoch any more.
    pub(in crate::bridge::relay) fn is_over(&self, epoch: u64) -> bool {
        epoch != self.epoch
            || match &self.current {
                Session::None { .. } | Session::Open(_) | Session::Restoring(_) => false,
                Session::Opening(opening) => opening.before.as_ref().is_some_and(|before| before.is_lost),
                Session::Ended(_) | Session::Renewing(_) => true,
            }
    }

    /// The client has said that it is ready.
    pub(in crate::bridge::relay) fn remember_ready(&mut self, initialized: Message) {
        self.memory.remember_ready(initialized);
    }

    /// The server has done what the client asked for.
    pub(in crate::bridge::relay) fn remember(&mut self, request: &Message) {
        self.memory.remember(request);
    }

    /// The state that the client has set in the session.
    pub(in crate::bridge::relay) fn memory(&self) -> &SessionMemory {
        &self.memory
    }
}

impl Open {
    fn new(session: Established) -> Open {
        Open { session, gate: None, unrestored: VecDeque::new(), restoring: 0 }
    }
}

impl Handshake {
    fn new(exchange: ExchangeId, via: Via) -> Handshake {
        Handshake { exchange, id: None, carries: via == Via::NewStream }
    }
}

impl Established {
    fn new(handshake: Option<Handshake>, answer: &Message) -> Established {
        let stream = handshake.as_ref().filter(|handshake| handshake.carries);
        Established {
            stream: stream.map(|handshake| handshake.exchange),
            id: handshake.and_then(|handshake| handshake.id),
            revision: answer.member("protocolVersion").and_then(json::string),
            capabilities: answer.member("capabilities").map(str::to_owned),
            proven: false,
        }
    }

    fn facts(&self) -> Facts {
        let revision = self.revision.clone();
        match self.stream {
            None => Facts { session: self.id.clone(), revision, ..Facts::default() },
            Some(stream) => {
                let revision = revision.filter(|revision| revision::is_named_in_headers(revision));
                Facts { revision, via: Via::Stream(stream), ..Facts::default() }
            }
        }
    }
}
