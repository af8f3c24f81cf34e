//! The end of a session, and the steps of its renewal.
//!
//! Deliberately not here: when a refusal means that a session is lost (`session_loss`), and sending anything (`recovery`).

use std::time::Instant;

use super::{
    Established, Handshake, Open, Previous, Renewing, Restoring, Session, SessionOpening, Sessions, Step,
};
use crate::bridge::event::{ExchangeId, SessionNews};
use crate::jsonrpc::Message;

/// How many of the client's subscriptions are renewed at once.
const RESTORED_AT_ONCE: usize = 8;

impl Sessions {
    /// The session is lost. Returns whether there was one to lose.
    pub(in crate::bridge::relay) fn lose(&mut self) -> bool {
        let is_proven = self.is_proven(self.epoch);
        let was_usable = match std::mem::take(&mut self.current) {
            Session::Opening(SessionOpening { ticket, head, handshake, before: Some(before) }) => {
                let was_usable = !before.is_lost;
                let before = Some(Previous { is_lost: true, ..before });
                self.current = Session::Opening(SessionOpening { ticket, head, handshake, before });
                was_usable
            }
            Session::Open(Open { session, .. }) | Session::Restoring(Restoring { session, .. }) => {
                self.current = Session::Ended(session);
                true
            }
            current => {
                self.current = current;
                false
            }
        };
        if was_usable && !is_proven {
            self.lost_unproven = self.lost_unproven.saturating_add(1);
        }
        was_usable
    }

    /// Returns whether the session is lost, and nothing is done about it yet.
    pub(in crate::bridge::relay) fn is_ended(&self) -> bool {
        matches!(self.current, Session::Ended(_))
    }

    /// `initialize` is sent in the client's place in this exchange, by the way that it is tried first.
    pub(in crate::bridge::relay) fn renew(&mut self, exchange: ExchangeId, now: Instant) {
        let via = self.transport.via();
        let (before, attempts, since) = match std::mem::take(&mut self.current) {
            Session::Ended(before) => (before, 1, now),
            Session::Renewing(Renewing { before, attempts, since, .. }) => (before, attempts + 1, since),
            current => {
                self.current = current;
                return;
            }
        };
        let step = Step::Opening { handshake: Some(Handshake::new(exchange, via)), head: false };
        self.current = Session::Renewing(Renewing { before, attempts, since, step });
    }

    /// `initialize` is sent in the client's place the other way, in this exchange.
    pub(in crate::bridge::relay) fn renew_other_way(&mut self, exchange: ExchangeId) {
        let via = self.transport.via();
        if let Session::Renewing(renewing) = &mut self.current {
            renewing.step = Step::Opening { handshake: Some(Handshake::new(exchange, via)), head: false };
        }
    }

    /// `initialize` is sent in the client's place again at this time.
    pub(in crate::bridge::relay) fn renew_at(&mut self, until: Instant) {
        if let Session::Renewing(renewing) = &mut self.current {
            renewing.step = Step::BackingOff(until);
        }
    }

    /// How often `initialize` was sent in the client's place, since when, and whether the last one has the head of its
    /// answer. None where no session is being opened in the client's place.
    pub(in crate::bridge::relay) fn renewal(&self) -> Option<(u32, Instant, bool)> {
        let Session::Renewing(renewing) = &self.current else { return None };
        let head = matches!(renewing.step, Step::Opening { head: true, .. });
        Some((renewing.attempts, renewing.since, head))
    }

    /// When the next step of a renewal is due.
    pub(in crate::bridge::relay) fn renewal_due(&self) -> Option<Instant> {
        match &self.current {
            Session::Renewing(Renewing { step: Step::BackingOff(until), .. }) => Some(*until),
            Session::Restoring(restoring) => restoring.retell,
            Session::Renewing(_)
            | Session::None { .. }
            | Session::Opening(_)
            | Session::Open(_)
            | Session::Ended(_) => None,
        }
    }

    /// Returns whether `initialize` is to be sent again now.
    pub(in crate::bridge::relay) fn is_renewal_due(&self, now: Instant) -> bool {
        matches!(self.current, Session::Renewing(Renewing { step: Step::BackingOff(until), .. }) if until <= now)
    }

    /// The handshake in the client's place succeeded: a new epoch begins, and the session gets the state of the one before.
    pub(in crate::bridge::relay) fn restore(&mut self, answer: &Message) {
        let Session::Renewing(Renewing { before, step, .. }) = &mut self.current else { return };
        let Step::Opening { handshake, .. } = step else { return };
        let session = Established::new(handshake.take(), answer);
        let is_same = session.revision == before.revision && session.capabilities == before.capabilities;
        let news = if is_same { SessionNews::Same } else { SessionNews::Changed };
        self.epoch += 1;
        self.current = Session::Restoring(Restoring {
            session,
            news,
            told: None,
            retell: None,
            retold: false,
            levelled: false,
        });
    }

    /// Everything else waits until the server has the message of this exchange.
    pub(in crate::bridge::relay) fn tell(&mut self, exchange: ExchangeId) {
        if let Session::Restoring(restoring) = &mut self.current {
            restoring.told = Some(exchange);
        }
    }

    /// Returns whether everything else waits for the message of this exchange.
    pub(in crate::bridge::relay) fn is_sending_first(&self, exchange: ExchangeId) -> bool {
        matches!(&self.current, Session::Restoring(restoring) if restoring.told == Some(exchange))
    }

    /// Returns whether the new session has got `notifications/initialized`, and not the log level yet.
    pub(in crate::bridge::relay) fn needs_log_level(&self) -> bool {
        matches!(self.current, Session::Restoring(Restoring { levelled: false, .. }))
    }

    /// The log level is being sent. Returns it, if there is one that was not sent yet.
    pub(in crate::bridge::relay) fn take_level(&mut self) -> Option<&str> {
        let Session::Restoring(restoring) = &mut self.current else { return None };
        let level = self.memory.level().filter(|_| !restoring.levelled);
        restoring.levelled |= level.is_some();
        level
    }

    /// The new session gets `notifications/initialized` once more, at this time. That happens
    /// once.
    pub(in crate::bridge::relay) fn resend_initialized_at(&mut self, at: Instant) {
        if let Session::Restoring(restoring) = &mut self.current {
            restoring.retold = true;
            restoring.retell = Some(at);
        }
    }

    /// Returns whether the new session got `notifications/initialized` once more.
    pub(in crate::bridge::relay) fn has_resent_initialized(&self) -> bool {
        matches!(self.current, Session::Restoring(Restoring { retold: true, .. }))
    }

    /// The next message that restores the state in the new session.
    pub(in crate::bridge::relay) fn take_initialized(&mut self, now: Instant) -> Option<Message> {
        let Session::Restoring(restoring) = &mut self.current else { return None };
        restoring.retell.take_if(|at| *at <= now)?;
        self.memory.ready().cloned()
    }

    /// The new session knows what everything else waited for. Returns how it differs from the one before.
    pub(in crate::bridge::relay) fn resume(&mut self) -> SessionNews {
        match std::mem::take(&mut self.current) {
            Session::Restoring(Restoring { session, news, .. }) => {
                let unrestored = self.memory.subscriptions().map(str::to_owned).collect();
                self.current = Session::Open(Open { unrestored, ..Open::new(session) });
                news
            }
            current => {
                self.current = current;
                SessionNews::Same
            }
        }
    }

    /// No new session could be opened, or it could not be told what it must know. The next message tries again.
    pub(in crate::bridge::relay) fn fail_renewal(&mut self) {
        match std::mem::take(&mut self.current) {
            Session::Renewing(Renewing { before: session, .. })
            | Session::Restoring(Restoring { session, .. }) => self.current = Session::Ended(session),
            current => self.current = current,
        }
    }

    /// The next subscription to renew, where few enough are being renewed.
    pub(in crate::bridge::relay) fn take_unrestored(&mut self) -> Option<String> {
        let Session::Open(open) = &mut self.current else { return None };
        if open.restoring >= RESTORED_AT_ONCE {
            return None;
        }
        let uri = open.unrestored.pop_front()?;
        open.restoring += 1;
        Some(uri)
    }

    /// One of the subscriptions was renewed, or cannot be.
    pub(in crate::bridge::relay) fn end_restoring(&mut self) {
        if let Session::Open(open) = &mut self.current {
            open.restoring = open.restoring.saturating_sub(1);
        }
    }
}
