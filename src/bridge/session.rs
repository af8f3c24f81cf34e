//! The remembered handshake: which session is open, which one is being opened, and its listening stream.
//!
//! Apart from the bridge because recovery lives by it. Deliberately not here: sending anything.

use super::event::{ExchangeId, Facts, SessionId};

/// What is known of the session with the server.
#[derive(Debug, Default)]
pub(super) struct Session {
    established: Option<Established>,
    opening: Option<Opening>,
    /// The exchange that listens for what the server has to say by itself.
    listening: Option<ExchangeId>,
}

/// A handshake that succeeded.
#[derive(Clone, Debug)]
struct Established {
    id: Option<SessionId>,
    /// The revision the server chose, as it wrote it: also one that is unknown here goes into the header.
    revision: Option<String>,
}

/// A handshake under way.
#[derive(Debug)]
struct Opening {
    exchange: ExchangeId,
    id: Option<SessionId>,
}

impl Session {
    /// `initialize` was sent in this exchange.
    pub(super) fn begin(&mut self, exchange: ExchangeId) {
        self.opening = Some(Opening { exchange, id: None });
    }

    /// Tells whether a handshake is under way in this exchange.
    pub(super) fn is_opening(&self, exchange: ExchangeId) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.exchange == exchange)
    }

    /// The head of the answer to `initialize` named a session.
    pub(super) fn name(&mut self, id: SessionId) {
        if let Some(opening) = &mut self.opening {
            opening.id = Some(id);
        }
    }

    /// The handshake succeeded. Returns what a session that it replaces had in its headers, for its end is to be told.
    pub(super) fn establish(&mut self, revision: Option<String>) -> Option<Facts> {
        let id = self.opening.take().and_then(|opening| opening.id);
        let before = self.established.replace(Established { id, revision })?;
        self.listening = None;
        before.id.is_some().then(|| before.facts())
    }

    /// The handshake failed; a session that was open before still is.
    pub(super) fn abandon(&mut self) {
        self.opening = None;
    }

    /// What the headers of the next message say.
    pub(super) fn facts(&self) -> Facts {
        match (&self.opening, &self.established) {
            (Some(Opening { id: Some(id), .. }), _) => {
                Facts { session: Some(id.clone()), ..Facts::default() }
            }
            (_, Some(established)) => established.facts(),
            (_, None) => Facts::default(),
        }
    }

    /// The id of the session, once the handshake is done.
    pub(super) fn id(&self) -> Option<SessionId> {
        self.established.as_ref()?.id.clone()
    }

    /// Tells whether the listening stream is to be opened: after a handshake, once.
    pub(super) fn may_listen(&self) -> bool {
        self.established.is_some() && self.listening.is_none()
    }

    /// The stream was opened in this exchange.
    pub(super) fn listen(&mut self, exchange: ExchangeId) {
        self.listening = Some(exchange);
    }

    /// The listening exchange, also one that has ended.
    pub(super) fn listening(&self) -> Option<ExchangeId> {
        self.listening
    }
}

impl Established {
    fn facts(&self) -> Facts {
        Facts { session: self.id.clone(), revision: self.revision.clone(), mirror: None }
    }
}
