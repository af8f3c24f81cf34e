//! The translator that stands between the client and the relay: one of two directions, or none.
//!
//! Its states are those of the table in `eras.md`. Deliberately not here: when it is replaced (`translation`).

use std::time::Instant;

use super::layer::{Layer, Output, ServerMessage};
use super::legacy_client::LegacyClient;
use super::modern_client::ModernClient;
use super::own_ids::OwnIds;
use crate::jsonrpc::{Id, Message};

/// The translator.
#[derive(Debug, Default)]
pub(super) enum EraTranslator {
    /// Client and server share an era, as far as is known.
    #[default]
    None,
    /// A legacy client's messages to a modern server.
    LegacyClient(Box<LegacyClient>),
    /// A modern client's messages to a legacy server. While the server's era is open, it is only a hedged `initialize`.
    ModernClient(Box<ModernClient>),
    /// A client that spoke the modern era before has opened a session of its own, and the server is modern: the session is
    /// translated, and requests from before are finished.
    Switching {
        /// Translates the client's session.
        session: Box<LegacyClient>,
        /// Finishes the requests from before.
        before: Box<ModernClient>,
    },
}

impl EraTranslator {
    /// Returns whether there is none.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, EraTranslator::None)
    }

    /// Returns the direction for a legacy client.
    pub(super) fn legacy(&self) -> Option<&LegacyClient> {
        match self {
            EraTranslator::LegacyClient(session) | EraTranslator::Switching { session, .. } => Some(session),
            EraTranslator::ModernClient(_) | EraTranslator::None => None,
        }
    }

    /// Returns the direction for a legacy client, to be changed.
    pub(super) fn legacy_mut(&mut self) -> Option<&mut LegacyClient> {
        match self {
            EraTranslator::LegacyClient(session) | EraTranslator::Switching { session, .. } => Some(session),
            EraTranslator::ModernClient(_) | EraTranslator::None => None,
        }
    }

    /// Returns the direction for a modern client.
    pub(super) fn modern(&self) -> Option<&ModernClient> {
        match self {
            EraTranslator::ModernClient(modern) | EraTranslator::Switching { before: modern, .. } => {
                Some(modern)
            }
            EraTranslator::LegacyClient(_) | EraTranslator::None => None,
        }
    }

    /// Returns the direction for a modern client, to be changed.
    pub(super) fn modern_mut(&mut self) -> Option<&mut ModernClient> {
        match self {
            EraTranslator::ModernClient(modern) | EraTranslator::Switching { before: modern, .. } => {
                Some(modern)
            }
            EraTranslator::LegacyClient(_) | EraTranslator::None => None,
        }
    }

    /// Puts a translator for a legacy client in place of the one there was.
    pub(super) fn begin_legacy(&mut self, session: LegacyClient) {
        let session = Box::new(session);
        *self = match std::mem::take(self) {
            EraTranslator::None | EraTranslator::LegacyClient(_) => EraTranslator::LegacyClient(session),
            EraTranslator::ModernClient(before) | EraTranslator::Switching { before, .. } => {
                EraTranslator::Switching { session, before }
            }
        };
    }

    /// Removes the direction for a legacy client. Returns the ids for the next one.
    pub(super) fn end_legacy(&mut self) -> Option<OwnIds> {
        let (session, rest) = match std::mem::take(self) {
            EraTranslator::LegacyClient(session) => (Some(session), EraTranslator::None),
            EraTranslator::Switching { session, before } => {
                (Some(session), EraTranslator::ModernClient(before))
            }
            other => (None, other),
        };
        *self = rest;
        Some(session?.into_ids())
    }

    /// Puts a translator for a modern client in place, if there is no translator.
    pub(super) fn begin_modern(&mut self, modern: ModernClient) {
        if self.is_none() {
            *self = EraTranslator::ModernClient(Box::new(modern));
        }
    }

    /// Removes the direction for a modern client.
    pub(super) fn end_modern(&mut self) {
        *self = match std::mem::take(self) {
            EraTranslator::ModernClient(_) => EraTranslator::None,
            EraTranslator::Switching { session, .. } => EraTranslator::LegacyClient(session),
            other => other,
        };
    }

    /// Hands a message of the server to the direction that it is for. Gives the message back if it is for none.
    pub(super) fn handle_server(&mut self, input: ServerMessage, now: Instant) -> Option<ServerMessage> {
        let (message, within) = (&input.message, input.within.as_ref());
        if let Some(legacy) = self.legacy_mut().filter(|legacy| legacy.takes(message, within)) {
            legacy.handle_server(input, now);
        } else if let Some(modern) = self.modern_mut().filter(|modern| modern.takes(message, within)) {
            modern.handle_server(input, now);
        } else {
            return Some(input);
        }
        None
    }

    /// Returns the next output of each direction in turn, and the direction.
    pub(super) fn poll_output(&mut self) -> Option<(Direction, Output)> {
        if let Some(output) = self.legacy_mut().and_then(Layer::poll_output) {
            return Some((Direction::LegacyClient, output));
        }
        Some((Direction::ModernClient, self.modern_mut()?.poll_output()?))
    }

    /// Returns whether the direction for a legacy client works on this request of the client.
    pub(super) fn legacy_serves(&self, request: &Id) -> bool {
        self.legacy().is_some_and(|legacy| legacy.serves(request))
    }

    /// The same of the direction for a modern client.
    pub(super) fn modern_serves(&self, request: &Id) -> bool {
        self.modern().is_some_and(|modern| modern.serves(request))
    }

    /// Returns whether a message is a request of the session that was opened in a modern client's place.
    pub(super) fn is_of_own_session(&self, message: &Message) -> bool {
        self.modern().is_some_and(|modern| modern.has_asked(message))
    }

    /// Each direction there is.
    pub(super) fn each(&self) -> impl Iterator<Item = &dyn Layer<FromServer = ServerMessage>> {
        let legacy = self.legacy().map(|it| it as &dyn Layer<FromServer = ServerMessage>);
        let modern = self.modern().map(|it| it as &dyn Layer<FromServer = ServerMessage>);
        legacy.into_iter().chain(modern)
    }
}

/// A direction of translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// A legacy client on a modern server.
    LegacyClient,
    /// A modern client on a legacy server.
    ModernClient,
}
