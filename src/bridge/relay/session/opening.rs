//! The client's handshake, and the messages that everything else waits for.
//!
//! Deliberately not here: sending them.

use std::time::Instant;

use super::memory::SessionMemory;
use super::{
    Established, Gate, Handshake, Open, Previous, Renewing, Session, SessionOpening, Sessions, Step,
};
use crate::bridge::event::{ExchangeId, ExchangeOutcome, Facts, SessionId};
use crate::bridge::relay::ledger::Ticket;
use crate::bridge::relay::retry::Jitter;
use crate::jsonrpc::Message;

impl Sessions {
    /// The client's `initialize` is sent in this exchange, which carries the session where it goes on a stream of its own.
    pub(in crate::bridge::relay) fn open(&mut self, ticket: Ticket, exchange: ExchangeId) {
        let before = match std::mem::take(&mut self.current) {
            Session::Opening(opening) => opening.before,
            Session::Open(open) => Some(Previous { session: open.session, is_lost: false }),
            Session::Ended(session) => Some(Previous { session, is_lost: true }),
            Session::Renewing(renewing) => Some(Previous { session: renewing.before, is_lost: true }),
            Session::Restoring(restoring) => Some(Previous { session: restoring.session, is_lost: false }),
            Session::None { .. } => None,
        };
        let handshake = Some(Handshake::new(exchange, self.transport.via()));
        self.current = Session::Opening(SessionOpening { ticket, head: false, handshake, before });
    }

    /// The client's `initialize` is sent in another exchange.
    pub(in crate::bridge::relay) fn open_again(&mut self, exchange: ExchangeId) {
        let via = self.transport.via();
        if let Session::Opening(opening) = &mut self.current {
            opening.handshake = Some(Handshake::new(exchange, via));
        }
    }

    /// Everything else waits for the head of the answer to this message, until then.
    pub(in crate::bridge::relay) fn hold_for(&mut self, ticket: Ticket, title: String, deadline: Instant) {
        if let Session::None { gate } | Session::Open(Open { gate, .. }) = &mut self.current {
            *gate = Some(Gate { ticket, title, deadline });
        }
    }

    /// The head of the answer to a message came.
    pub(in crate::bridge::relay) fn head_came(&mut self, ticket: Ticket) {
        match &mut self.current {
            Session::Opening(opening) if opening.ticket == ticket => opening.head = true,
            Session::Opening(_) => {}
            Session::None { .. }
            | Session::Open(_)
            | Session::Ended(_)
            | Session::Renewing(_)
            | Session::Restoring(_) => self.stop_waiting_for(ticket),
        }
    }

    /// The head of the answer to the handshake in the client's place came.
    pub(in crate::bridge::relay) fn renewal_head_came(&mut self) {
        if let Session::Renewing(Renewing { step: Step::Opening { head, .. }, .. }) = &mut self.current {
            *head = true;
        }
    }

    /// Returns whether everything else waits for this message.
    pub(in crate::bridge::relay) fn is_waiting_for(&self, ticket: Ticket) -> bool {
        match &self.current {
            Session::Opening(opening) => opening.ticket == ticket,
            Session::None { gate } | Session::Open(Open { gate, .. }) => {
                gate.as_ref().is_some_and(|gate| gate.ticket == ticket)
            }
            Session::Ended(_) | Session::Renewing(_) | Session::Restoring(_) => false,
        }
    }

    /// Returns whether the client opens a session by this `initialize`.
    pub(in crate::bridge::relay) fn is_opened_by(&self, ticket: Ticket) -> bool {
        matches!(&self.current, Session::Opening(opening) if opening.ticket == ticket)
    }

    /// Nothing waits for this message any more. An `initialize` has opened no session then: one that was open before still
    /// is.
    pub(in crate::bridge::relay) fn stop_waiting_for(&mut self, ticket: Ticket) {
        if !self.is_waiting_for(ticket) {
            return;
        }
        match &mut self.current {
            Session::Opening(opening) => {
                self.current = match opening.before.take() {
                    None => Session::None { gate: None },
                    Some(Previous { session, is_lost: false }) => Session::Open(Open::new(session)),
                    Some(Previous { session, is_lost: true }) => Session::Ended(session),
                };
            }
            Session::None { gate } | Session::Open(Open { gate, .. }) => *gate = None,
            Session::Ended(_) | Session::Renewing(_) | Session::Restoring(_) => {}
        }
    }

    /// Until when a message is waited for that need not be answered.
    pub(in crate::bridge::relay) fn waits_until(&self) -> Option<Instant> {
        match &self.current {
            Session::None { gate } | Session::Open(Open { gate, .. }) => {
                gate.as_ref().map(|gate| gate.deadline)
            }
            Session::Opening(_) | Session::Ended(_) | Session::Renewing(_) | Session::Restoring(_) => None,
        }
    }

    /// Stops waiting where the time is up. Returns the title of the message that was waited for.
    pub(in crate::bridge::relay) fn stop_waiting(&mut self, now: Instant) -> Option<String> {
        match &mut self.current {
            Session::None { gate } | Session::Open(Open { gate, .. }) => {
                gate.take_if(|gate| gate.deadline <= now).map(|gate| gate.title)
            }
            Session::Opening(_) | Session::Ended(_) | Session::Renewing(_) | Session::Restoring(_) => None,
        }
    }

    /// Returns whether a handshake is under way in this exchange.
    pub(in crate::bridge::relay) fn is_opening(&self, exchange: ExchangeId) -> bool {
        self.handshake().is_some_and(|handshake| handshake.exchange == exchange)
    }

    /// The head of the answer to `initialize` named a session. One that a stream carries has no name.
    pub(in crate::bridge::relay) fn name(&mut self, id: SessionId) {
        if let Some(Some(handshake)) = self.handshake_mut()
            && !handshake.carries
        {
            handshake.id = Some(id);
        }
    }

    /// The exchange whose stream is to carry the session that is being opened.
    pub(in crate::bridge::relay) fn future_stream(&self) -> Option<ExchangeId> {
        self.handshake().filter(|handshake| handshake.carries).map(|handshake| handshake.exchange)
    }

    /// The handshake failed, or is to be sent again.
    pub(in crate::bridge::relay) fn abandon(&mut self) {
        if let Some(handshake) = self.handshake_mut() {
            *handshake = None;
        }
    }

    /// The client's handshake succeeded: a new epoch begins. Returns what a session that it replaces had in its headers, for
    /// the server gets a DELETE for it.
    pub(in crate::bridge::relay) fn establish(
        &mut self,
        answer: &Message,
        initialize: Option<Message>,
    ) -> Option<Facts> {
        let Session::Opening(opening) = &mut self.current else { return None };
        let session = Established::new(opening.handshake.take(), answer);
        let before = opening.before.take().filter(|before| !before.is_lost);
        self.current = Session::Open(Open::new(session));
        self.epoch += 1;
        if let Some(initialize) = initialize {
            self.memory.remember_start(initialize);
        }
        before.filter(|before| before.session.id.is_some()).map(|before| before.session.facts())
    }

    /// The session has ended, and none is wanted in its place. Late messages of it are still told from those of the next.
    pub(in crate::bridge::relay) fn forget(&mut self) {
        self.current = match std::mem::take(&mut self.current) {
            Session::Opening(opening) => Session::Opening(SessionOpening { before: None, ..opening }),
            Session::None { gate } | Session::Open(Open { gate, .. }) => Session::None { gate },
            Session::Ended(_) | Session::Renewing(_) | Session::Restoring(_) => Session::None { gate: None },
        };
        self.lost_unproven = 0;
        self.memory = SessionMemory::default();
    }
}

/// By which transport a session is opened.
impl Sessions {
    /// A handshake begins.
    pub(in crate::bridge::relay) fn begin_handshake(&mut self) {
        self.transport.begin();
    }

    /// The headers of `initialize`.
    pub(in crate::bridge::relay) fn facts_of_start(&self) -> Facts {
        self.transport.facts_of_start()
    }

    /// The server has accepted the handshake. Returns whether it has turned out to speak HTTP+SSE.
    pub(in crate::bridge::relay) fn settle_transport(&mut self) -> bool {
        self.transport.settle()
    }

    /// Decides after the end of `initialize` without an answer; see [`Fallback::judge`].
    ///
    /// [`Fallback::judge`]: crate::bridge::relay::fallback::Fallback::judge
    pub(in crate::bridge::relay) fn judge_handshake(
        &mut self,
        outcome: ExchangeOutcome,
        opened: bool,
        any_4xx: bool,
        at: (Instant, &mut Jitter),
    ) -> Result<ExchangeOutcome, String> {
        self.transport.judge(outcome, opened, any_4xx, at)
    }

    /// Returns whether a stream carries the sessions of this server, as far as is known.
    pub(in crate::bridge::relay) fn uses_streams(&self) -> bool {
        self.transport.uses_streams()
    }

    /// Returns whether HTTP+SSE alone is tried.
    pub(in crate::bridge::relay) fn is_sse_only(&self) -> bool {
        self.transport.is_sse_only()
    }
}
