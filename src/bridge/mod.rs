//! The middle: everything MCP, as a state machine without IO.
//!
//! Contract: one [`Bridge::handle`] or [`Bridge::handle_timeout`], then [`Bridge::poll_action`] until `None`, then wait
//! for the next event or [`Bridge::poll_timeout`]. The bridge decides what an ending means; the transport only reports.
//! It performs no IO, reads no clock and knows no credential, so that every order of events can be tried in a test.
//!
//! Here is the same-era path of the legacy revisions (2024-11-05 … 2025-11-25): messages pass untouched, in order,
//! and every request gets exactly one answer. The order (who waits for whom) is the gate's, below.

mod event;
mod ledger;
mod session;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

pub use event::{
    Action, Ask, Cause, Ending, Event, ExchangeId, Facts, Failure, Notice, Opening, Outgoing, Reason,
    Refusal, SessionHeader, SessionId, Why, Written,
};
use ledger::{Ledger, Place, Ticket};
use session::Session;

use crate::jsonrpc::{self, ErrorData, ErrorObject, Fault, Id, Kind, Line, Message};

/// Request exchanges under way at once over HTTP/1.1, where each holds a connection.
const REQUESTS_AT_ONCE: usize = 128;
/// The same over HTTP/2; the connection's own limit is below this.
const REQUESTS_AT_ONCE_MULTIPLEXED: usize = 1024;
/// How long others wait until the server acknowledges `notifications/initialized` or `logging/setLevel`.
const GATE_PATIENCE: Duration = Duration::from_secs(5);
/// How long requests may still finish after the client closed its side.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of the session may take to tell, after the client closed its side.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);
/// The same after a signal: Claude Code kills 400 ms after SIGTERM.
const FAREWELL_PATIENCE_STOPPED: Duration = Duration::from_millis(50);

/// The state machine between the client and the exchanges with the server.
#[derive(Debug)]
pub struct Bridge {
    ledger: Ledger,
    session: Session,
    /// What each exchange that has not ended is for.
    exchanges: BTreeMap<ExchangeId, Purpose>,
    next_exchange: u64,
    gate: Option<Gate>,
    requests_at_once: usize,
    /// Requests of the server that wait for the client, each with the client's request in whose exchange it came.
    asked: HashMap<Id, Ticket>,
    phase: Phase,
    actions: VecDeque<Action>,
}

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To have a request answered.
    Answer(Ticket),
    /// To get a message through that has no answer.
    Delivery(Ticket),
    /// To cancel a request whose exchange is then closed.
    Cancellation(Ticket, ExchangeId),
    /// To hear what the server has to say by itself.
    Listening,
    /// To end the session.
    Farewell,
    /// Nothing any more: the request was answered.
    Answered,
    /// Nothing any more: the request was cancelled, and nothing about it goes to the client.
    Cancelled,
}

/// What everything behind it waits for.
#[derive(Debug)]
struct Gate {
    exchange: ExchangeId,
    title: String,
    until: Until,
}

#[derive(Debug, PartialEq, Eq)]
enum Until {
    /// The answer (of `initialize`: it says which revision the next header names). Once the head came, the client's
    /// responses may pass, for the server may ask something before it answers.
    Answer { head: bool },
    /// The head of the answer, for a bounded time.
    Head { deadline: Instant },
}

/// Where in its life the process is.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The client closed its side; what can still finish may.
    Draining {
        deadline: Instant,
    },
    /// The server is being told that the session ends.
    Leaving {
        deadline: Instant,
        farewell: ExchangeId,
        reason: Reason,
    },
    Gone,
}

impl Default for Bridge {
    fn default() -> Self {
        Bridge::new()
    }
}

impl Bridge {
    /// A bridge that has seen nothing yet.
    pub fn new() -> Bridge {
        Bridge {
            ledger: Ledger::default(),
            session: Session::default(),
            exchanges: BTreeMap::new(),
            next_exchange: 1,
            gate: None,
            requests_at_once: REQUESTS_AT_ONCE,
            asked: HashMap::new(),
            phase: Phase::Running,
            actions: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match (event, &self.phase) {
            (_, Phase::Gone) => {}
            (Event::Client(line), Phase::Running) => self.client(line, now),
            (Event::Client(_), Phase::Draining { .. } | Phase::Leaving { .. }) => {}
            (Event::ClientClosed, Phase::Running) => {
                self.phase = Phase::Draining { deadline: now + DRAIN_PATIENCE };
            }
            (Event::ClientClosed, Phase::Draining { .. } | Phase::Leaving { .. }) => {}
            (Event::Stop(cause), _) => self.stop(cause, now),
            (Event::Sent(exchange), _) => self.sent(exchange),
            (Event::Opened(exchange, opening), _) => self.opened(exchange, opening),
            (Event::Server(exchange, message), _) => self.server(exchange, message),
            (Event::Ended(exchange, ending), _) => self.ended(exchange, ending),
        }
        self.proceed(now);
    }

    /// Does what is due. Harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(Gate { title, until: Until::Head { deadline }, .. }) = &self.gate
            && *deadline <= now
        {
            self.actions.push_back(Action::Notice(Notice::Overtaken(title.clone())));
            self.gate = None;
        }
        match self.phase {
            Phase::Draining { deadline } if deadline <= now => {
                self.leave(Reason::ClientClosed, now + FAREWELL_PATIENCE);
            }
            Phase::Leaving { deadline, reason, .. } if deadline <= now => self.exit(reason),
            Phase::Running | Phase::Draining { .. } | Phase::Leaving { .. } | Phase::Gone => {}
        }
        self.proceed(now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next moment anything is due, and what it is (for the log).
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let gate = match &self.gate {
            Some(Gate { until: Until::Head { deadline }, .. }) => Some((*deadline, "others stop waiting")),
            Some(Gate { until: Until::Answer { .. }, .. }) | None => None,
        };
        let phase = match self.phase {
            Phase::Draining { deadline } => Some((deadline, "requests may no longer finish")),
            Phase::Leaving { deadline, .. } => Some((deadline, "the session ends untold")),
            Phase::Running | Phase::Gone => None,
        };
        [gate, phase].into_iter().flatten().min()
    }

    /// How many bytes of the client's messages wait to be sent.
    pub fn waiting_bytes(&self) -> usize {
        self.ledger.waiting_bytes()
    }

    /// The requests that have no answer yet, in order.
    pub fn unanswered(&self) -> impl Iterator<Item = &Id> {
        self.ledger.iter().filter_map(|(_, entry)| entry.request_id())
    }

    // ---- from the client ----

    fn client(&mut self, line: Line, now: Instant) {
        match line {
            Line::One(message) => self.enter(message, now),
            // Each message of a batch goes its own way and is answered by itself, in every revision: a receiver must
            // accept single answers, and a slow one then holds up no other.
            Line::Batch(elements) => {
                for element in elements {
                    match element {
                        Ok(message) => self.enter(message, now),
                        Err(fault) => self.unreadable(&fault),
                    }
                }
            }
            Line::Invalid(fault) => self.unreadable(&fault),
        }
    }

    fn enter(&mut self, message: Message, now: Instant) {
        if let Kind::Response { id: Some(id), .. } = message.kind() {
            self.asked.remove(id);
        }
        if let Some(request) = self.waiting_request_to_cancel(&message) {
            self.ledger.settle(request);
            return;
        }
        let overtakes = matches!(message.kind(), Kind::Response { .. })
            && self.gate.as_ref().is_some_and(|gate| gate.until == Until::Answer { head: true });
        let ticket = self.ledger.enter(message);
        if overtakes {
            self.release(ticket, now);
        }
    }

    /// The request that a cancellation means, if it was not sent yet: then the server need not know of either.
    fn waiting_request_to_cancel(&self, message: &Message) -> Option<Ticket> {
        let request = self.request_to_cancel(message)?;
        match self.ledger.get(request)?.place {
            Place::AtGate | Place::ForSlot => Some(request),
            Place::Behind(_) | Place::Sent { .. } => None,
        }
    }

    fn request_to_cancel(&self, message: &Message) -> Option<Ticket> {
        match is_cancellation(message) {
            true => self.ledger.request(&message.request_id_param()?),
            false => None,
        }
    }

    fn unreadable(&mut self, fault: &Fault) {
        self.actions.push_back(Action::Notice(Notice::Unreadable(fault.reason.clone())));
        let error = ErrorObject {
            code: fault.code,
            message: format!("mcp-tether: {}", fault.reason),
            data: ErrorData { source: SOURCE, cause: "unreadable", status: None, advice: None },
        };
        self.actions.push_back(Action::Deliver(Message::error(fault.id.as_ref(), &error)));
    }

    // ---- out to the server ----

    /// Lets go whatever may go, and leaves once nothing is left to wait for.
    fn proceed(&mut self, now: Instant) {
        while self.gate.is_none()
            && let Some(ticket) = self.ledger.first_at_gate()
        {
            self.release(ticket, now);
        }
        while self.ledger.requests_sent() < self.requests_at_once
            && let Some(ticket) = self.ledger.first_for_slot()
        {
            self.post(ticket, Purpose::Answer(ticket));
        }
        if matches!(self.phase, Phase::Draining { .. }) && self.nothing_can_finish() {
            self.leave(Reason::ClientClosed, now + FAREWELL_PATIENCE);
        }
    }

    /// Sends a message that no other has to precede any more.
    fn release(&mut self, ticket: Ticket, now: Instant) {
        let Some(entry) = self.ledger.get(ticket) else { return };
        if is_cancellation(&entry.message) {
            return self.release_cancellation(ticket);
        }
        let title = entry.message.title().into_owned();
        let is_request = entry.request_id().is_some();
        match (entry.message.method(), is_request) {
            (Some("initialize"), true) => {
                let exchange = self.post(ticket, Purpose::Answer(ticket));
                self.session.begin(exchange);
                self.gate = Some(Gate { exchange, title, until: Until::Answer { head: false } });
            }
            (Some("logging/setLevel"), true) => {
                let exchange = self.post(ticket, Purpose::Answer(ticket));
                let until = Until::Head { deadline: now + GATE_PATIENCE };
                self.gate = Some(Gate { exchange, title, until });
            }
            (Some("notifications/initialized"), false) => {
                let exchange = self.post(ticket, Purpose::Delivery(ticket));
                let until = Until::Head { deadline: now + GATE_PATIENCE };
                self.gate = Some(Gate { exchange, title, until });
            }
            (_, true) => self.ledger.put(ticket, Place::ForSlot),
            (_, false) => drop(self.post(ticket, Purpose::Delivery(ticket))),
        }
    }

    /// A cancellation goes out behind its request, and ends the interest in it.
    fn release_cancellation(&mut self, ticket: Ticket) {
        let request = self.ledger.get(ticket).and_then(|entry| self.request_to_cancel(&entry.message));
        let place = request.and_then(|request| Some((request, &self.ledger.get(request)?.place)));
        match place {
            Some((request, &Place::Sent { written: true, exchange })) => {
                self.ledger.settle(request);
                self.asked.retain(|_, asking| *asking != request);
                self.exchanges.insert(exchange, Purpose::Cancelled);
                self.post(ticket, Purpose::Cancellation(ticket, exchange));
            }
            Some((request, Place::Sent { written: false, .. } | Place::Behind(_))) => {
                self.ledger.put(ticket, Place::Behind(request));
            }
            Some((request, Place::AtGate | Place::ForSlot)) => {
                self.ledger.settle(request);
                self.ledger.settle(ticket);
            }
            None => {
                self.ledger.settle(ticket);
                let because = "the request it cancels is not under way";
                let title = "notifications/cancelled".to_owned();
                self.actions.push_back(Action::Notice(Notice::Dropped { title, because }));
            }
        }
    }

    fn post(&mut self, ticket: Ticket, purpose: Purpose) -> ExchangeId {
        let entry = self.ledger.get(ticket).expect("a message is posted from the ledger");
        let message = entry.message.clone();
        let facts = match message.method() {
            Some("initialize") => Facts::default(),
            _ => self.session.facts(),
        };
        let exchange = self.open(purpose, Outgoing { ask: Ask::Post(message), facts });
        self.ledger.put(ticket, Place::Sent { exchange, written: false });
        exchange
    }

    fn open(&mut self, purpose: Purpose, outgoing: Outgoing) -> ExchangeId {
        let exchange = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        self.exchanges.insert(exchange, purpose);
        self.actions.push_back(Action::Open(exchange, outgoing));
        exchange
    }

    fn close(&mut self, exchange: ExchangeId) {
        if self.exchanges.remove(&exchange).is_some() {
            self.actions.push_back(Action::Close(exchange));
        }
    }

    // ---- from the exchanges ----

    fn sent(&mut self, exchange: ExchangeId) {
        let Some(&Purpose::Answer(ticket)) = self.exchanges.get(&exchange) else { return };
        self.ledger.put(ticket, Place::Sent { exchange, written: true });
        if let Some(cancellation) = self.ledger.cancellation_of(ticket) {
            self.release_cancellation(cancellation);
        }
    }

    fn opened(&mut self, exchange: ExchangeId, opening: Opening) {
        // An answer proves that the request got there, should nobody have said so.
        self.sent(exchange);
        if opening.multiplexed {
            self.requests_at_once = REQUESTS_AT_ONCE_MULTIPLEXED;
        }
        if let Some(gate) = &mut self.gate
            && gate.exchange == exchange
        {
            match &mut gate.until {
                Until::Answer { head } => *head = true,
                Until::Head { .. } => self.gate = None,
            }
        }
        if !self.session.is_opening(exchange) {
            return;
        }
        match (opening.session, self.exchanges.get(&exchange)) {
            (SessionHeader::Absent, _) => {}
            (SessionHeader::Id(id), _) => self.session.name(id),
            (SessionHeader::Unusable, Some(&Purpose::Answer(ticket))) => {
                let why = Why {
                    cause: Failure::Answer,
                    status: Some(opening.status),
                    sentence: "the server sent a session id with characters outside visible ASCII".to_owned(),
                    advice: Some(
                        "report this to the server's author: MCP allows 0x21 to 0x7E only".to_owned(),
                    ),
                };
                self.fail(ticket, why);
                self.close(exchange);
                self.after_exchange(exchange);
            }
            (SessionHeader::Unusable, _) => {}
        }
    }

    fn server(&mut self, exchange: ExchangeId, message: Message) {
        let Some(&purpose) = self.exchanges.get(&exchange) else { return };
        match (message.kind(), purpose) {
            (_, Purpose::Cancelled) => self.dropped(&message, "its request was cancelled"),
            (_, Purpose::Farewell) => self.dropped(&message, "the session is over"),
            (Kind::Response { id, .. }, _) => {
                let id = id.clone();
                self.response(exchange, purpose, id.as_ref(), message);
            }
            (Kind::Request { id, .. }, Purpose::Answer(ticket)) => {
                self.asked.insert(id.clone(), ticket);
                self.actions.push_back(Action::Deliver(message));
            }
            (Kind::Request { .. } | Kind::Notification { .. }, _) => {
                self.actions.push_back(Action::Deliver(message));
            }
        }
    }

    /// Finds the request that a response answers: the one with its id, else the one whose exchange brought it, where
    /// the id was lost on the way (null, or decoded and encoded again).
    fn response(&mut self, exchange: ExchangeId, purpose: Purpose, id: Option<&Id>, message: Message) {
        let own = match purpose {
            Purpose::Answer(ticket) => {
                self.ledger.get(ticket).and_then(|entry| Some((ticket, entry.request_id()?)))
            }
            Purpose::Delivery(_)
            | Purpose::Cancellation(..)
            | Purpose::Listening
            | Purpose::Farewell
            | Purpose::Answered
            | Purpose::Cancelled => None,
        };
        if let Some((ticket, own_id)) = own
            && id == Some(own_id)
        {
            return self.answer(exchange, ticket, message);
        }
        if let Some(ticket) = id.and_then(|id| self.ledger.request(id))
            && let Some(&Place::Sent { exchange, .. }) = self.ledger.get(ticket).map(|entry| &entry.place)
        {
            return self.answer(exchange, ticket, message);
        }
        if let Some((ticket, own_id)) = own
            && id.is_none_or(|id| id.is_same_value(own_id))
        {
            let message = message.with_id(own_id);
            return self.answer(exchange, ticket, message);
        }
        self.dropped(&message, "no request with this id is unanswered");
    }

    /// Gives a request its one answer.
    fn answer(&mut self, exchange: ExchangeId, ticket: Ticket, message: Message) {
        self.exchanges.insert(exchange, Purpose::Answered);
        if self.session.is_opening(exchange) {
            self.handshake(&message);
        }
        self.settle(ticket);
        self.actions.push_back(Action::Deliver(message));
        if self.gate.as_ref().is_some_and(|gate| gate.exchange == exchange) {
            self.gate = None;
        }
    }

    fn handshake(&mut self, answer: &Message) {
        if matches!(answer.kind(), Kind::Response { error: true, .. }) {
            return self.session.abandon();
        }
        let revision = answer.member("protocolVersion").and_then(jsonrpc::string);
        let listening = self.session.listening();
        let replaced = self.session.establish(revision.clone());
        if let Some(listening) = listening {
            self.close(listening);
        }
        // A client that starts over leaves a session behind that nobody else will end.
        if let Some(facts) = replaced {
            self.open(Purpose::Farewell, Outgoing { ask: Ask::EndSession, facts });
        }
        let session = self.session.id();
        let revision = revision.unwrap_or_else(|| "no revision".to_owned());
        self.actions.push_back(Action::Notice(Notice::Settled { revision, session }));
    }

    fn ended(&mut self, exchange: ExchangeId, ending: Ending) {
        let Some(purpose) = self.exchanges.remove(&exchange) else { return };
        match purpose {
            Purpose::Answer(ticket) => self.ended_unanswered(ticket, ending),
            Purpose::Delivery(ticket) => self.ended_delivery(ticket, &ending),
            Purpose::Cancellation(ticket, cancelled) => {
                self.ended_delivery(ticket, &ending);
                self.close(cancelled);
            }
            Purpose::Listening => {
                let notice = match ending {
                    Ending::Refused(refusal) if refusal.status == 405 => "the server offers none".to_owned(),
                    Ending::Complete | Ending::Accepted => "the server closed it".to_owned(),
                    Ending::Cut(_) | Ending::Refused(_) | Ending::Lost { .. } => ending.to_string(),
                };
                self.actions.push_back(Action::Notice(Notice::NotListening(notice)));
            }
            Purpose::Farewell => {
                if let Phase::Leaving { farewell, reason, .. } = self.phase
                    && farewell == exchange
                {
                    self.exit(reason);
                }
            }
            Purpose::Answered | Purpose::Cancelled => {}
        }
        self.after_exchange(exchange);
    }

    fn ended_unanswered(&mut self, ticket: Ticket, ending: Ending) {
        let why = match ending {
            // The server's own error, whatever the status: it goes to the client as it is.
            Ending::Refused(Refusal { answer: Some(answer), .. }) => {
                let cancelled = self.ledger.cancellation_of(ticket).is_some();
                let Some(entry) = self.settle(ticket) else { return };
                let Some(id) = entry.request_id().filter(|_| !cancelled) else { return };
                let intact = matches!(answer.kind(), Kind::Response { id: Some(theirs), .. } if theirs == id);
                let answer = if intact { answer } else { answer.with_id(id) };
                return self.actions.push_back(Action::Deliver(answer));
            }
            Ending::Refused(Refusal { why, .. }) | Ending::Cut(why) | Ending::Lost { why, .. } => why,
            Ending::Complete => Why {
                cause: Failure::NoAnswer,
                status: None,
                sentence: "the server ended its answer without answering the request".to_owned(),
                advice: Some("look into the server's log; the request may have run".to_owned()),
            },
            Ending::Accepted => Why {
                cause: Failure::NoAnswer,
                status: Some(202),
                sentence: "the server accepted the request but sent no answer".to_owned(),
                advice: Some("check that the URL is the server's streamable HTTP endpoint".to_owned()),
            },
        };
        self.fail(ticket, why);
    }

    fn ended_delivery(&mut self, ticket: Ticket, ending: &Ending) {
        let Some(entry) = self.ledger.settle(ticket) else { return };
        let why = match ending {
            Ending::Complete | Ending::Accepted => {
                if entry.message.method() == Some("notifications/initialized") {
                    self.listen();
                }
                return;
            }
            Ending::Cut(why) | Ending::Lost { why, .. } => why.clone(),
            Ending::Refused(refusal) => refusal.why.clone(),
        };
        let title = entry.message.title().into_owned();
        self.actions.push_back(Action::Notice(Notice::Undelivered { title, why }));
    }

    /// Opens the stream for what the server has to say by itself; nothing waits for it.
    fn listen(&mut self) {
        if self.phase == Phase::Running && self.session.may_listen() {
            let facts = self.session.facts();
            let exchange = self.open(Purpose::Listening, Outgoing { ask: Ask::Listen, facts });
            self.session.listen(exchange);
        }
    }

    /// However an exchange came to its end: nothing waits for it any more.
    fn after_exchange(&mut self, exchange: ExchangeId) {
        if self.session.is_opening(exchange) {
            self.session.abandon();
        }
        if self.gate.as_ref().is_some_and(|gate| gate.exchange == exchange) {
            self.gate = None;
        }
    }

    // ---- endings ----

    fn settle(&mut self, ticket: Ticket) -> Option<ledger::Entry> {
        self.asked.retain(|_, asking| *asking != ticket);
        if let Some(cancellation) = self.ledger.cancellation_of(ticket) {
            self.ledger.settle(cancellation);
        }
        self.ledger.settle(ticket)
    }

    /// Answers a request with an error of ours.
    fn fail(&mut self, ticket: Ticket, why: Why) {
        // A cancellation that waits for the request takes the answer's place.
        let cancelled = self.ledger.cancellation_of(ticket).is_some();
        let Some(entry) = self.settle(ticket) else { return };
        let title = entry.message.title().into_owned();
        if let Some(id) = entry.request_id()
            && !cancelled
        {
            self.actions.push_back(Action::Deliver(Message::error(Some(id), &error_object(&why))));
        }
        self.actions.push_back(Action::Notice(Notice::Failed { title, why }));
    }

    fn dropped(&mut self, message: &Message, because: &'static str) {
        let title = message.title().into_owned();
        self.actions.push_back(Action::Notice(Notice::Dropped { title, because }));
    }

    fn nothing_can_finish(&self) -> bool {
        self.ledger.iter().all(|(ticket, entry)| {
            let waits_for_the_client = self.asked.values().any(|asking| *asking == ticket);
            entry.request_id().is_some() && waits_for_the_client
        })
    }

    fn stop(&mut self, cause: Cause, now: Instant) {
        let limit = now + FAREWELL_PATIENCE_STOPPED;
        match &mut self.phase {
            Phase::Running | Phase::Draining { .. } => self.leave(Reason::Stopped(cause), limit),
            Phase::Leaving { deadline, .. } => *deadline = limit.min(*deadline),
            Phase::Gone => {}
        }
    }

    /// Answers what is left, drops every exchange and tells the server, where there is a session.
    fn leave(&mut self, reason: Reason, deadline: Instant) {
        let left: Vec<Ticket> = self.ledger.iter().map(|(ticket, _)| ticket).collect();
        for ticket in left {
            let why = Why {
                cause: Failure::Stopped,
                status: None,
                sentence: "stopped before the server answered".to_owned(),
                advice: Some("the request may have run; look before repeating it".to_owned()),
            };
            self.fail(ticket, why);
        }
        let facts = self.session.facts();
        for exchange in self.exchanges.keys().copied().collect::<Vec<_>>() {
            if self.exchanges[&exchange] != Purpose::Farewell {
                self.close(exchange);
            }
        }
        self.gate = None;
        if facts.session.is_none() {
            return self.exit(reason);
        }
        let farewell = self.open(Purpose::Farewell, Outgoing { ask: Ask::EndSession, facts });
        self.phase = Phase::Leaving { deadline, farewell, reason };
    }

    fn exit(&mut self, reason: Reason) {
        self.phase = Phase::Gone;
        self.actions.push_back(Action::Exit(reason));
    }
}

/// Marks what this program says to the client in its own name.
const SOURCE: &str = "mcp-tether";

fn error_object(why: &Why) -> ErrorObject {
    ErrorObject {
        code: why.cause.code(),
        message: format!("{SOURCE}: {}", why.sentence),
        data: ErrorData {
            source: SOURCE,
            cause: why.cause.word(),
            status: why.status,
            advice: why.advice.clone(),
        },
    }
}

fn is_cancellation(message: &Message) -> bool {
    matches!(message.kind(), Kind::Notification { method } if method.as_str() == "notifications/cancelled")
}
