//! Every unfinished message, with its request and its state.
//!
//! One ledger holds waiting and sent messages, because recovery moves messages between the two, and a message in two
//! stores could be lost or sent twice. Nothing else stores a message. Deliberately not here: when a message may go (the
//! bridge) and what becomes of it (likewise).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use super::stream_position::StreamPosition;
use crate::bridge::event::{Cursor, ExchangeId};
use crate::bridge::revision::Era;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::method;

/// How many tickets an empty queue keeps room for.
const KEPT_ROOM: usize = 256;

/// The place of a message in the order in which the client wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// A message and its state.
#[derive(Debug)]
pub(super) struct LedgerEntry {
    pub(super) message: Message,
    pub(super) era: Era,
    pub(super) state: MessageState,
    /// Whether it was sent a second time with relearned headers.
    pub(super) relearned: bool,
    /// Whether it is an `initialize` that was sent a second time with a revision that the server named.
    pub(super) renegotiated: bool,
    /// The state of the stream, if this is a `subscriptions/listen`.
    pub(super) subscription: Subscription,
    /// How often it was tried, and since when.
    pub(super) attempts: Attempts,
    /// How far the stream of its answer has come.
    pub(super) stream: StreamPosition,
}

/// The attempts to get a message through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    /// How often it was sent.
    pub(super) made: u32,
    /// From when on the time is counted.
    pub(super) since: Option<Instant>,
    /// Whether the head of an answer has come, at the last attempt.
    pub(super) opened: bool,
    /// The session it was sent in, at the last attempt; see `session`.
    pub(super) epoch: Option<u64>,
    /// How many sessions that were lost have refused it.
    pub(super) sessions_lost: u32,
    /// The session in which it was sent once more after a pause, because no message was taken there yet.
    pub(super) settled: Option<u64>,
}

/// The life of a subscription, beyond its exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    /// Whether the client has seen the acknowledgement.
    pub(super) acknowledged: bool,
    /// The number of failed attempts in a row to open it again.
    pub(super) attempts: u32,
}

impl LedgerEntry {
    /// The id, if this is a request: something that must be answered.
    pub(super) fn request_id(&self) -> Option<&Id> {
        match self.message.kind() {
            Kind::Request { id, .. } => Some(id),
            Kind::Notification { .. } | Kind::Response { .. } => None,
        }
    }
}

impl LedgerEntry {
    /// Returns whether this is a modern subscription: a request whose answer is its end.
    pub(super) fn is_subscription(&self) -> bool {
        self.era == Era::Modern && self.message.method() == Some(method::LISTEN)
    }

    /// Returns whether this is one of the requests of which only so many go at once. A subscription lasts, and is none.
    fn holds_slot(&self) -> bool {
        self.request_id().is_some() && !self.is_subscription()
    }
}

/// The state of a message.
#[derive(Debug)]
pub(super) enum MessageState {
    /// Behind a message whose answer must come first.
    AtGate,
    /// A request that waits until fewer are under way.
    ForSlot { kind: RetryKind },
    /// A cancellation that waits until this request was sent.
    Behind(Ticket),
    /// A call whose tool is looked up; should that not help, the server's refusal is the answer.
    Learning {
        refusal: Message,
        /// How many pages of the list are left to ask for, and until when.
        pages: u32,
        until: Instant,
    },
    /// Waits until it is sent again.
    BackingOff { until: Instant, kind: RetryKind },
    /// In an exchange.
    Sent {
        exchange: ExchangeId,
        /// Whether the whole request was handed to the connection.
        written: bool,
    },
}

impl MessageState {
    /// The exchange that the message is in.
    pub(super) fn exchange(&self) -> Option<ExchangeId> {
        match self {
            MessageState::Sent { exchange, .. } => Some(*exchange),
            MessageState::AtGate
            | MessageState::ForSlot { .. }
            | MessageState::Behind(_)
            | MessageState::Learning { .. }
            | MessageState::BackingOff { .. } => None,
        }
    }
}

/// The step after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryKind {
    /// The message is sent again.
    Post,
    /// The stream of its answer is resumed.
    Resume,
}

/// The ledger.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Boxed, because the map moves its entries about.
    entries: BTreeMap<Ticket, Box<LedgerEntry>>,
    /// The request of each id. Of two with the same id, which no client should have, the later one.
    requests: HashMap<Id, Ticket>,
    next: u64,
    index: LedgerIndex,
    /// The cost of the responses among all messages.
    replies_cost: usize,
}

/// What waits, by its state.
#[derive(Debug, Default)]
struct LedgerIndex {
    at_gate: TicketQueue,
    for_slot: TicketQueue,
    /// Requests whose cancellation waits until they were sent.
    cancellations: BTreeMap<Ticket, Ticket>,
    resting: BTreeSet<(Instant, Ticket)>,
    requests_sent: usize,
    cost: usize,
}

/// Tickets in order. Most enter at the end and leave at the front, which takes no memory once there is room for them.
#[derive(Debug, Default)]
struct TicketQueue(VecDeque<Ticket>);

impl Ledger {
    /// Takes a message in, at the gate.
    pub(super) fn enter(&mut self, message: Message, era: Era) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.replies_cost += reply_cost(&message);
        let entry = LedgerEntry {
            message,
            era,
            state: MessageState::AtGate,
            relearned: false,
            renegotiated: false,
            subscription: Subscription::default(),
            attempts: Attempts::default(),
            stream: StreamPosition::default(),
        };
        if let Some(id) = entry.request_id() {
            self.requests.insert(id.clone(), ticket);
        }
        self.index.add(ticket, &entry);
        self.entries.insert(ticket, Box::new(entry));
        ticket
    }

    /// The message at a place, if it is still in the ledger.
    pub(super) fn get(&self, ticket: Ticket) -> Option<&LedgerEntry> {
        self.entries.get(&ticket).map(|entry| &**entry)
    }

    /// The messages whose wait is over, in order.
    pub(super) fn due_for_retry(&self, now: Instant) -> Vec<Ticket> {
        let due = self.index.resting.iter().take_while(|(until, _)| *until <= now);
        let mut due: Vec<Ticket> = due.map(|(_, ticket)| *ticket).collect();
        due.sort_unstable();
        due
    }

    /// When the first has rested long enough.
    pub(super) fn next_to_wake(&self) -> Option<Instant> {
        self.index.resting.first().map(|(until, _)| *until)
    }

    /// The first message at the gate.
    pub(super) fn first_at_gate(&self) -> Option<Ticket> {
        self.index.at_gate.first()
    }

    /// The first request that waits for a slot.
    pub(super) fn first_for_slot(&self) -> Option<Ticket> {
        self.index.for_slot.first()
    }

    /// A message waits until everything before it has an answer.
    pub(super) fn wait_at_gate(&mut self, ticket: Ticket) {
        self.put(ticket, MessageState::AtGate);
    }

    /// A request waits until fewer are under way; then it is sent, or the stream of its answer resumed.
    pub(super) fn wait_for_slot(&mut self, ticket: Ticket, kind: RetryKind) {
        self.put(ticket, MessageState::ForSlot { kind });
    }

    /// A cancellation waits until its request was sent.
    pub(super) fn wait_behind(&mut self, cancellation: Ticket, request: Ticket) {
        self.put(cancellation, MessageState::Behind(request));
    }

    /// A message is sent in an exchange, whose headers name the session of this epoch. Nothing is known of an answer yet.
    pub(super) fn send(&mut self, ticket: Ticket, exchange: ExchangeId, epoch: Option<u64>, now: Instant) {
        self.put(ticket, MessageState::Sent { exchange, written: false });
        self.change(ticket, |entry| {
            let Attempts { made, since, sessions_lost, settled, .. } = entry.attempts;
            let since = since.or(Some(now));
            entry.attempts = Attempts { made: made + 1, since, opened: false, epoch, sessions_lost, settled };
            entry.stream = StreamPosition::default();
        });
    }

    /// The server has, or may have, the whole message, whose answer comes in this exchange.
    pub(super) fn set_written(&mut self, ticket: Ticket, exchange: ExchangeId) {
        let is_written = |entry: &LedgerEntry| matches!(entry.state, MessageState::Sent { exchange: sent, written: true } if sent == exchange);
        if !self.get(ticket).is_some_and(is_written) {
            self.put(ticket, MessageState::Sent { exchange, written: true });
        }
    }

    /// The head of the answer came.
    pub(super) fn set_opened(&mut self, ticket: Ticket) {
        self.change(ticket, |entry| entry.attempts.opened = true);
    }

    /// A message is sent again at `until`. Its attempts count from `since`.
    pub(super) fn retry_at(&mut self, ticket: Ticket, until: Instant, since: Instant) {
        self.change(ticket, |entry| entry.attempts.since = Some(since));
        self.put(ticket, MessageState::BackingOff { until, kind: RetryKind::Post });
    }

    /// A message is sent again at `until`, in the session of this epoch, which has not taken a message yet.
    pub(super) fn retry_in_new_session_at(&mut self, ticket: Ticket, until: Instant, epoch: u64) {
        self.change(ticket, |entry| entry.attempts.settled = Some(epoch));
        self.put(ticket, MessageState::BackingOff { until, kind: RetryKind::Post });
    }

    /// A subscription is opened again at `until`.
    pub(super) fn resubscribe_at(&mut self, ticket: Ticket, until: Instant) {
        self.change(ticket, |entry| entry.subscription.attempts += 1);
        self.put(ticket, MessageState::BackingOff { until, kind: RetryKind::Post });
    }

    /// The stream of an answer is resumed at `until`.
    pub(super) fn resume_at(&mut self, ticket: Ticket, until: Instant) {
        self.change(ticket, |entry| entry.stream.count_attempt());
        self.put(ticket, MessageState::BackingOff { until, kind: RetryKind::Resume });
    }

    /// A lost session has refused a message.
    pub(super) fn count_lost_session(&mut self, ticket: Ticket) {
        self.change(ticket, |entry| entry.attempts.sessions_lost += 1);
    }

    /// An `initialize` names another revision from now on.
    pub(super) fn renegotiate(&mut self, ticket: Ticket, message: Message) {
        self.change(ticket, |entry| {
            entry.message = message;
            entry.renegotiated = true;
        });
    }

    /// An event of the stream of an answer said how to resume it.
    pub(super) fn advance_stream(&mut self, ticket: Ticket, cursor: Cursor) {
        self.change(ticket, |entry| {
            entry.stream.advance(cursor);
            // A server that says when to come back means it.
            if entry.stream.retry().is_some() {
                entry.stream.set_attempts(0);
            }
        });
    }

    /// Something came on the stream of an answer, which is therefore worth resuming again.
    pub(super) fn reset_stream_attempts(&mut self, ticket: Ticket) {
        self.change(ticket, |entry| entry.stream.set_attempts(0));
    }

    /// The stream of an answer can no longer be resumed.
    pub(super) fn forget_stream(&mut self, ticket: Ticket) {
        self.change(ticket, |entry| entry.stream = StreamPosition::default());
    }

    /// The server acknowledged a subscription. Returns whether it is the first time.
    pub(super) fn acknowledge_subscription(&mut self, ticket: Ticket) -> bool {
        let mut is_first = false;
        self.change(ticket, |entry| {
            is_first = !entry.subscription.acknowledged;
            entry.subscription = Subscription { acknowledged: true, attempts: 0 };
        });
        is_first
    }

    /// A call that the server refused for its headers waits until its tool is looked up.
    pub(super) fn wait_for_tool(&mut self, ticket: Ticket, refusal: Message, pages: u32, until: Instant) {
        self.put(ticket, MessageState::Learning { refusal, pages, until });
    }

    /// One more page of tools is asked for, for a call that waits for its tool. Returns until when that may take; none
    /// where the pages are used up, or the call waits no longer.
    pub(super) fn take_tool_page(&mut self, ticket: Ticket) -> Option<Instant> {
        let mut deadline = None;
        self.change(ticket, |entry| {
            if let MessageState::Learning { pages, until, .. } = &mut entry.state
                && let Some(left) = pages.checked_sub(1)
            {
                *pages = left;
                deadline = Some(*until);
            }
        });
        deadline
    }

    /// The tool of a call was looked up, which happens once.
    pub(super) fn set_relearned(&mut self, ticket: Ticket) {
        self.change(ticket, |entry| entry.relearned = true);
    }

    /// Changes something about a message that does not concern its place.
    fn change(&mut self, ticket: Ticket, change: impl FnOnce(&mut LedgerEntry)) {
        if let Some(entry) = self.entries.get_mut(&ticket) {
            change(entry);
        }
    }

    /// Moves a message to another state.
    fn put(&mut self, ticket: Ticket, state: MessageState) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        self.index.remove(ticket, entry);
        entry.state = state;
        self.index.add(ticket, entry);
    }

    /// Removes a message that was answered, delivered, or is no longer wanted.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Box<LedgerEntry>> {
        let entry = self.entries.remove(&ticket)?;
        self.index.remove(ticket, &entry);
        self.replies_cost -= reply_cost(&entry.message);
        if let Some(id) = entry.request_id()
            && self.requests.get(id) == Some(&ticket)
        {
            self.requests.remove(id);
        }
        Some(entry)
    }

    /// The request with this very id.
    pub(super) fn request(&self, id: &Id) -> Option<Ticket> {
        self.requests.get(id).copied()
    }

    /// The cancellation that waits for a request to be sent.
    pub(super) fn cancellation_of(&self, request: Ticket) -> Option<Ticket> {
        self.index.cancellations.get(&request).copied()
    }

    /// Everything in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Ticket, &LedgerEntry)> {
        self.entries.iter().map(|(ticket, entry)| (*ticket, &**entry))
    }

    /// How many requests are in exchanges.
    pub(super) fn requests_sent(&self) -> usize {
        self.index.requests_sent
    }

    /// The cost of the messages that wait to be sent, in bytes of memory.
    pub(super) fn waiting_cost(&self) -> usize {
        self.index.cost
    }

    /// The cost of the unfinished responses, in bytes of memory.
    pub(super) fn replies_cost(&self) -> usize {
        self.replies_cost
    }
}

impl LedgerIndex {
    /// Takes in a message, in the state that it has.
    fn add(&mut self, ticket: Ticket, entry: &LedgerEntry) {
        match &entry.state {
            MessageState::AtGate => self.at_gate.insert(ticket),
            MessageState::ForSlot { .. } => self.for_slot.insert(ticket),
            MessageState::Behind(request) => drop(self.cancellations.insert(*request, ticket)),
            MessageState::BackingOff { until, .. } => drop(self.resting.insert((*until, ticket))),
            MessageState::Learning { .. } => {}
            MessageState::Sent { .. } if entry.holds_slot() => self.requests_sent += 1,
            MessageState::Sent { .. } => {}
        }
        if !matches!(entry.state, MessageState::Sent { .. }) {
            self.cost += entry.message.cost();
        }
    }

    /// Takes out a message, in the state that it has.
    fn remove(&mut self, ticket: Ticket, entry: &LedgerEntry) {
        match &entry.state {
            MessageState::AtGate => self.at_gate.remove(ticket),
            MessageState::ForSlot { .. } => self.for_slot.remove(ticket),
            MessageState::Behind(request) => drop(self.cancellations.remove(request)),
            MessageState::BackingOff { until, .. } => drop(self.resting.remove(&(*until, ticket))),
            MessageState::Learning { .. } => {}
            MessageState::Sent { .. } if entry.holds_slot() => self.requests_sent -= 1,
            MessageState::Sent { .. } => {}
        }
        if !matches!(entry.state, MessageState::Sent { .. }) {
            self.cost -= entry.message.cost();
        }
    }
}

impl TicketQueue {
    fn first(&self) -> Option<Ticket> {
        self.0.front().copied()
    }

    fn insert(&mut self, ticket: Ticket) {
        match self.0.back() {
            Some(last) if *last >= ticket => {
                if let Err(at) = self.0.binary_search(&ticket) {
                    self.0.insert(at, ticket);
                }
            }
            Some(_) | None => self.0.push_back(ticket),
        }
    }

    fn remove(&mut self, ticket: Ticket) {
        if let Ok(at) = self.0.binary_search(&ticket) {
            self.0.remove(at);
        }
        if self.0.is_empty() {
            self.0.shrink_to(KEPT_ROOM);
        }
    }
}

/// The cost of a message, if it is a response.
fn reply_cost(message: &Message) -> usize {
    match message.kind() {
        Kind::Response { .. } => message.cost(),
        Kind::Request { .. } | Kind::Notification { .. } => 0,
    }
}
