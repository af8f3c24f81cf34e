//! The contract of the layers between the client and the server, and what they put out.
//!
//! `ToolFilter → Translation → Relay`: messages of the client go down, outputs of the layer below come up. A layer sees only
//! its inputs; the stack (`super::Bridge`) moves each output to the neighbor that it is for. Nothing else connects the layers.

use std::time::Instant;

use super::event::{Action, Notice};
use super::relay::EraMismatch;
use super::revision::Era;
use crate::jsonrpc::{Id, Message};

/// A layer between the client and the server.
///
/// Contract: one call that takes something in, then [`Layer::poll_output`] until `None`.
pub(super) trait Layer {
    /// What comes from the server's side: outputs of the layer below, or events of exchanges.
    type FromServer;

    /// Takes in a message from the client's side.
    fn handle_client(&mut self, message: Message, now: Instant);

    /// Takes in what comes from the server's side.
    fn handle_server(&mut self, input: Self::FromServer, now: Instant);

    /// Returns the next output, in order.
    fn poll_output(&mut self) -> Option<Output>;

    /// Returns the next moment at which something is due, and what it is (for the log).
    fn poll_timeout(&self) -> Option<(Instant, &'static str)>;

    /// Does what is due. Has no effect if nothing is.
    fn handle_timeout(&mut self, now: Instant);

    /// Ends the layer's work: every request that waits in it is answered.
    fn close(&mut self, now: Instant);

    /// Returns whether it has nothing more to send once the server has answered.
    fn is_idle(&self) -> bool;

    /// Returns the size of the client's messages that wait in it, in bytes of memory.
    fn waiting_cost(&self) -> usize;
}

/// A message of the server for a translator.
#[derive(Debug)]
pub(super) struct ServerMessage {
    /// The message.
    pub(super) message: Message,
    /// See [`Output::ToClient`].
    pub(super) within: Option<Id>,
}

/// An output of a layer.
#[derive(Debug)]
pub(super) enum Output {
    /// A message for the server.
    ToServer(Message),
    /// An error that answers a request of the server in the client's place.
    Refusal(Message),
    /// The session that was opened in the client's place is not needed.
    EndSession,
    /// A message for the client. `within` is the client's request in whose exchange the server sent it, if it is not an answer.
    ToClient { message: Message, within: Option<Id> },
    /// The server does not understand the era of a request.
    EraMismatch(Box<EraMismatch>),
    /// The server speaks this era.
    EraFound(Era),
    /// The translator has no more to do. The messages go to the server as they are.
    Finished(Vec<Message>),
    /// The list of tools has changed, and the client has not asked to be told.
    ToolsChanged,
    /// The process ends: nothing more is sent to the server.
    Leaving,
    /// An action that concerns no other layer. Never [`Action::Deliver`].
    Do(Action),
}

impl Output {
    /// A message for the client that belongs to no exchange, or answers its request.
    pub(super) fn to_client(message: Message) -> Output {
        Output::ToClient { message, within: None }
    }

    /// A notice for the log.
    pub(super) fn notice(notice: Notice) -> Output {
        Output::Do(Action::Notice(notice))
    }
}
