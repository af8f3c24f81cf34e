//! The MCP logic, as a state machine without IO: order, sessions, streams, and translation between the eras.
//!
//! Contract: one [`Bridge::handle`] or [`Bridge::handle_timeout`], then [`Bridge::poll_action`] until `None`, then wait
//! for the next event or [`Bridge::poll_timeout`]. The bridge judges an outcome; the transport only reports it.
//! It performs no IO, reads no clock and knows no credential, so that every order of events can be tried in a test.
//!
//! The bridge is a stack of layers with one contract (`layer::Layer`):
//!
//! ```text
//!    client        messages ↓    ↑ actions
//!               ┌───────────────────────────┐
//!               │ ToolFilter                │  absent without rules about tools
//!               │ Translation               │  passed by while client and server share an era
//!               │   Detection, EraTranslator│
//!               │ Relay                     │  order, sessions, sending again
//!               └───────────────────────────┘
//!    exchanges     actions ↓     ↑ events
//! ```
#![doc = include_str!("eras.md")]

mod backlog;
mod detection;
mod era_translator;
mod error_report;
mod event;
mod layer;
mod legacy_client;
mod modern_client;
mod own_ids;
mod relay;
mod revision;
mod splice;
mod tool_filter;
mod translation;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub use error_report::{ErrorKind, ErrorReport};
pub use event::{
    Action, Ask, Cursor, Event, ExchangeId, ExchangeOutcome, ExitReason, Facts, Mirror, Notice, Opening,
    Outgoing, Processing, Refusal, SessionHeader, SessionId, SessionNews, StopReason, Via, Written,
};
use layer::{Layer, Output};
use relay::Relay;
pub use relay::TransportOrder;
pub use revision::{Era, LEGACY_REVISION, MODERN_REVISION};
use tool_filter::ToolFilter;
pub use tool_filter::{Pattern, ToolRules};
use translation::Translation;

use crate::jsonrpc::{Id, Line, Message};

/// The configuration of a bridge.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The random seed. No two processes should have the same, so that they do not return to a server at the same moment.
    pub seed: u64,
    /// The secret of the tokens that a client returns with its responses. It must not be guessable.
    pub secret: u128,
    /// How often the server is pinged, if the client wants that.
    pub ping: Option<Duration>,
    /// The era of the server, if the user names it. Then it is not detected.
    pub era: Option<Era>,
    /// What was found out before.
    pub known: Known,
    /// Which of the two transports of the legacy era is tried, and in which order.
    pub transport: TransportOrder,
    /// Which tools the client gets to see and to call.
    pub tools: ToolRules,
    /// Whether the stream for what the server has to say by itself is left out.
    pub no_listening: bool,
}

/// The facts about a server that are stored for the next start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The only era it speaks, as far as that matters: none where the client's own did.
    pub era: Option<Era>,
    /// The names of clients that fall back to `initialize` by themselves when their probe is refused.
    pub falls_back: BTreeSet<String>,
}

/// The request, session and attempt of an exchange, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The era of its message: `legacy` or `modern`.
    pub era: &'static str,
    /// Which session its headers name, counted from the first; none without one.
    pub epoch: Option<u64>,
    /// How often its message has been sent, this time included.
    pub attempt: u32,
}

/// The state machine between the client and the exchanges with the server: the stack of layers.
#[derive(Debug)]
pub struct Bridge {
    /// Nearest to the client, where there are rules about tools.
    filter: Option<Box<ToolFilter>>,
    translation: Translation,
    relay: Relay,
    /// What has come out at the top.
    actions: VecDeque<Action>,
    /// Whether the client has closed its side, and the relay has not been told to leave.
    is_draining: bool,
    /// The last action, while the layers may have more to say.
    exit: Option<ExitReason>,
}

impl Bridge {
    /// A bridge that has seen nothing yet.
    pub fn new(config: Config) -> Bridge {
        Bridge {
            filter: ToolFilter::new(&config.tools),
            translation: Translation::new(&config),
            relay: Relay::new(config),
            actions: VecDeque::new(),
            is_draining: false,
            exit: None,
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Client(line) if self.takes(&line) => return self.handle_line(line, now),
            Event::ClientClosed => self.is_draining = true,
            _ => {}
        }
        self.relay.handle_server(event, now);
        self.drain(now);
    }

    /// Does what is due. Has no effect if nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.relay.handle_timeout(now);
        self.translation.handle_timeout(now);
        if let Some(filter) = &mut self.filter {
            filter.handle_timeout(now);
        }
        self.drain(now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next moment anything is due, and what it is (for the log).
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let filter = self.filter.as_ref().and_then(|filter| filter.poll_timeout());
        [self.relay.poll_timeout(), self.translation.poll_timeout(), filter].into_iter().flatten().min()
    }

    /// What the log tells of an exchange that has not ended, beside what it asks.
    pub fn circumstances(&self, exchange: ExchangeId) -> Option<Circumstances> {
        self.relay.circumstances(exchange)
    }

    /// What the client's messages that wait to be sent cost, in bytes of memory.
    pub fn waiting_cost(&self) -> usize {
        let filter = self.filter.as_ref().map_or(0, |filter| filter.waiting_cost());
        self.relay.waiting_cost() + self.translation.waiting_cost() + filter
    }

    /// The requests that have no answer yet, under the ids that the server knows.
    pub fn unanswered(&self) -> impl Iterator<Item = &Id> {
        self.relay.unanswered()
    }

    /// Returns whether a line of the client is the affair of a layer above the relay.
    fn takes(&self, line: &Line) -> bool {
        self.filter.is_some()
            || match line {
                Line::One(message) => self.translation.takes_client(message),
                Line::Batch(elements) => {
                    elements.iter().flatten().any(|message| self.translation.takes_client(message))
                }
                Line::Invalid(_) => false,
            }
    }

    /// Takes in a line of the client from the top, message by message.
    fn handle_line(&mut self, line: Line, now: Instant) {
        let elements = match line {
            Line::One(message) => vec![Ok(message)],
            Line::Batch(elements) => elements,
            Line::Invalid(fault) => vec![Err(fault)],
        };
        for element in elements {
            match (element, &mut self.filter) {
                (Ok(message), Some(filter)) => filter.handle_client(message, now),
                (Ok(message), None) => self.enter_translation(message, now),
                (Err(fault), _) => {
                    self.relay.handle_server(Event::Client(Line::Invalid(fault)), now);
                }
            }
            self.drain(now);
        }
    }

    /// Moves outputs between the layers until none is left: those of the highest layer first.
    fn drain(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.filter.as_mut().and_then(|filter| filter.poll_output()) {
                match output {
                    Output::ToServer(message) => self.enter_translation(message, now),
                    output => self.emit(output),
                }
            } else if let Some(output) = self.translation.poll_output() {
                match output {
                    Output::ToServer(message) => self.relay.handle_client(message, now),
                    Output::Refusal(message) => self.relay.send_refusal(message, now),
                    Output::EndSession => self.relay.end_session(),
                    output => self.leave_translation(output, now),
                }
            } else if let Some(output) = self.relay.poll_output() {
                match self.translation.takes_server(&output) {
                    true => self.translation.handle_server(output, now),
                    false => self.leave_translation(output, now),
                }
            } else if !self.close_if_idle(now) {
                break;
            }
        }
        self.actions.extend(self.exit.take().map(Action::Exit));
    }

    /// Hands a message of the client to the translation, or past it to the relay.
    fn enter_translation(&mut self, message: Message, now: Instant) {
        match self.translation.takes_client(&message) {
            true => self.translation.handle_client(message, now),
            false => self.relay.handle_client(message, now),
        }
    }

    /// Hands an output from below to the filter, or past it to the client.
    fn leave_translation(&mut self, output: Output, now: Instant) {
        match &mut self.filter {
            Some(filter) => filter.handle_server(output, now),
            None => self.emit(output),
        }
    }

    /// Turns an output of the highest layer into an action.
    fn emit(&mut self, output: Output) {
        match output {
            Output::ToClient { message, .. } => self.actions.push_back(Action::Deliver(message)),
            Output::Do(Action::Exit(reason)) => self.exit = Some(reason),
            Output::Do(action) => self.actions.push_back(action),
            // Said to the layers alone.
            Output::ToolsChanged
            | Output::Leaving
            | Output::EraMismatch(_)
            | Output::EraFound(_)
            | Output::Finished(_)
            | Output::ToServer(_)
            | Output::Refusal(_)
            | Output::EndSession => {}
        }
    }

    /// Tells the relay to leave once the client has closed its side and no layer has anything left to do. Returns whether it
    /// did.
    fn close_if_idle(&mut self, now: Instant) -> bool {
        let filter_is_idle = self.filter.as_ref().is_none_or(|filter| filter.is_idle());
        let closes = self.is_draining && filter_is_idle && self.translation.is_idle() && self.relay.is_idle();
        if closes {
            self.is_draining = false;
            self.relay.close(now);
        }
        closes
    }
}
