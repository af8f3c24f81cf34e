//! The middle: everything MCP, as a state machine without IO.
//!
//! Contract: one [`Bridge::handle`] or [`Bridge::handle_timeout`], then [`Bridge::poll_action`] until `None`, then wait
//! for the next event or [`Bridge::poll_timeout`]. The bridge decides what an ending means; the transport only reports.
//! It performs no IO, reads no clock and knows no credential, so that every order of events can be tried in a test.
//!
//! Where client and server share an era, messages pass untouched through `relay`. Where they do not, a translator stands
//! between the client and the relay, which then speaks the server's era with its whole strength (order, recovery, sending
//! again): `legacy_client` or `modern_client`. Which it is, `detection` finds out from what the server says. Where the person has
//! rules about tools, `filter` stands between the client and all of that.

mod backlog;
mod detection;
mod error_report;
mod event;
mod filter;
mod legacy_client;
mod modern_client;
mod relay;
mod revision;
mod splice;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use backlog::Backlog;
use detection::Detection;
pub use error_report::{ErrorKind, ErrorReport};
pub use event::{
    Action, Ask, Cursor, Event, ExchangeId, ExchangeOutcome, ExitReason, Facts, Mirror, Notice, Opening,
    Outgoing, Processing, Refusal, SessionHeader, SessionId, SessionNews, StopReason, Via, Written,
};
use filter::{Filter, Sifted};
pub use filter::{Pattern, ToolRules};
use legacy_client::LegacyClient;
use modern_client::ModernClient;
pub use relay::Transport;
use relay::{Output, Relay};
pub use revision::{Era, LEGACY_REVISION, MODERN_REVISION};

use crate::jsonrpc::{Id, Kind, Line, Message};

/// What a bridge is told at its beginning.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// All the chance it gets: no two processes should have the same, so that they do not come back to a server all at
    /// once.
    pub seed: u64,
    /// What the tokens are made of that a client hands back with its replies: nobody should be able to guess them.
    pub secret: u128,
    /// How often the server is asked for a sign of life, where the client wants that.
    pub ping: Option<Duration>,
    /// The era of the server, where the person says so: then it is not found out.
    pub era: Option<Era>,
    /// What was found out before.
    pub known: Known,
    /// Which of the two transports of the legacy era is tried, and in which order.
    pub transport: Transport,
    /// Which tools the client gets to see and to call.
    pub tools: ToolRules,
    /// Whether the stream for what the server has to say by itself is left out.
    pub no_listening: bool,
}

/// What is worth remembering of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The only era it speaks, as far as that matters: none where the client's own did.
    pub era: Option<Era>,
    /// The names of clients that fall back to `initialize` by themselves when their probe is refused.
    pub falls_back: BTreeSet<String>,
}

/// What an exchange belongs to, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The era of its message: `legacy` or `modern`.
    pub era: &'static str,
    /// Which session its headers name, counted from the first; none without one.
    pub epoch: Option<u64>,
    /// How often its message has been sent, this time included.
    pub attempt: u32,
}

/// The state machine between the client and the exchanges with the server.
#[derive(Debug)]
pub struct Bridge {
    relay: Relay,
    detection: Detection,
    /// A legacy client's messages to a modern server.
    legacy: Option<Box<LegacyClient>>,
    /// How many ids the translators before it made: the client may yet answer what one of them asked.
    minted: u64,
    /// A modern client's messages to a legacy server.
    modern: Option<Box<ModernClient>>,
    /// See [`Config`].
    secret: u128,
    actions: VecDeque<Action>,
    /// What stands between the client and all of this, where there are rules about tools.
    filter: Option<Box<Filter>>,
    /// What has come through it.
    sifted: VecDeque<Action>,
}

/// What a translator wants done with a message.
#[derive(Debug)]
enum Crossing {
    /// It goes to the client.
    ToClient(Message),
    /// It goes to the server, in the client's place.
    ToServer(Message),
    /// It answers a request of the server with an error in the client's place.
    Refusal(Message),
    /// Somebody may want to read about it.
    Told(Notice),
    /// The server speaks this era.
    Found(Era),
    /// The session that was opened in the client's place is not needed.
    EndSession,
    /// The translator has no use any more; the client's messages go to the server as they are.
    Over(Vec<Message>),
}

impl Bridge {
    /// A bridge that has seen nothing yet.
    pub fn new(config: Config) -> Bridge {
        Bridge {
            detection: Detection::new(&config),
            legacy: None,
            minted: 0,
            modern: None,
            secret: config.secret,
            filter: Filter::new(&config.tools),
            sifted: VecDeque::new(),
            relay: Relay::new(config),
            actions: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Client(line) if self.filter.is_some() && !self.relay.is_leaving() => {
                let elements = match line {
                    Line::One(message) => vec![Ok(message)],
                    Line::Batch(elements) => elements,
                    Line::Invalid(fault) => vec![Err(fault)],
                };
                for element in elements {
                    match (element, &mut self.filter) {
                        (Ok(message), Some(filter)) => filter.client(message, now),
                        (Ok(message), None) => self.enter(message, now),
                        (Err(fault), _) => self.relay.handle(Event::Client(Line::Invalid(fault)), now),
                    }
                    self.let_through(now);
                }
            }
            Event::Client(Line::One(message)) if self.is_watching(&message) => self.client(message, now),
            Event::Client(Line::Batch(elements))
                if elements.iter().flatten().any(|message| self.is_watching(message)) =>
            {
                for element in elements {
                    let line = element.map_or_else(Line::Invalid, Line::One);
                    self.handle(Event::Client(line), now);
                }
            }
            event => self.relay.handle(event, now),
        }
        self.settle(now);
    }

    /// Does what is due. Harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.relay.handle_timeout(now);
        if let Some(legacy) = &mut self.legacy {
            legacy.handle_timeout(now);
        }
        if let Some(modern) = &mut self.modern {
            modern.handle_timeout(now);
        }
        if let Some(filter) = &mut self.filter {
            filter.handle_timeout(now);
        }
        self.let_through(now);
        self.detect_later(now);
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.filter.is_some() {
            return self.sifted.pop_front();
        }
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        match self.relay.poll()? {
            Output::Do(action) => Some(action),
            Output::Said { message, .. } => Some(Action::Deliver(message)),
            // `settle` leaves none.
            Output::Apart(apart) => Some(Action::Deliver(apart.last_word.answer)),
        }
    }

    /// The next moment anything is due, and what it is (for the log).
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let legacy = self.legacy.as_ref().and_then(|legacy| legacy.poll_timeout());
        let modern = self.modern.as_ref().and_then(|modern| modern.poll_timeout());
        let filter = self.filter.as_ref().and_then(|filter| filter.poll_timeout());
        let own = [self.relay.poll_timeout(), legacy, modern, filter, self.detection.next()];
        own.into_iter().flatten().min()
    }

    /// What the log tells of an exchange that has not ended, beside what it asks.
    pub fn circumstances(&self, exchange: ExchangeId) -> Option<Circumstances> {
        self.relay.circumstances(exchange)
    }

    /// What the client's messages that wait to be sent cost, in bytes of memory.
    pub fn waiting_cost(&self) -> usize {
        let legacy = self.legacy.as_ref().map_or(0, |legacy| legacy.waiting_cost());
        let modern = self.modern.as_ref().map_or(0, |modern| modern.waiting_cost());
        let filter = self.filter.as_ref().map_or(0, |filter| filter.waiting_cost());
        self.relay.waiting_cost() + legacy + modern + filter
    }

    /// The requests that have no answer yet, under the ids that the server knows.
    pub fn unanswered(&self) -> impl Iterator<Item = &Id> {
        self.relay.unanswered()
    }

    /// Tells whether a translator stands between the client and the relay.
    fn is_translating(&self) -> bool {
        self.legacy.is_some() || self.modern.is_some()
    }

    /// A message of the client that may go on to whoever carries it.
    fn enter(&mut self, message: Message, now: Instant) {
        match self.is_watching(&message) {
            true => self.client(message, now),
            false => self.relay.say(message, now),
        }
    }

    /// Carries everything until nothing is left to carry.
    fn settle(&mut self, now: Instant) {
        self.translate(now);
        while self.sift(now) {
            self.translate(now);
        }
    }

    /// Has what is to be done pass the filter, where there is one. Tells whether that made more to carry.
    fn sift(&mut self, now: Instant) -> bool {
        let Some(filter) = &mut self.filter else { return false };
        let Some(action) = self.actions.pop_front() else { return false };
        match action {
            Action::Deliver(message) => filter.server(message),
            Action::Exit(reason) => {
                // Nothing is to stay without an answer.
                let held = filter.close();
                let ids = held.iter().filter_map(|call| match call.kind() {
                    Kind::Request { id, .. } => Some(id),
                    Kind::Notification { .. } | Kind::Response { .. } => None,
                });
                self.sifted.extend(ids.map(|id| Action::Deliver(stopped(id))));
                self.sifted.push_back(Action::Exit(reason));
            }
            action => {
                // The server may be another than before.
                match &action {
                    Action::Notice(Notice::Settled { .. }) => filter.settled(),
                    Action::Notice(Notice::SessionRenewed(_)) => filter.forget(),
                    _ => {}
                }
                self.sifted.push_back(action);
            }
        }
        self.let_through(now);
        true
    }

    /// Brings what has come through the filter to where it goes.
    fn let_through(&mut self, now: Instant) {
        while let Some(sifted) = self.filter.as_mut().and_then(|filter| filter.poll()) {
            match sifted {
                Sifted::ToServer(message) if self.relay.is_leaving() => {
                    if let (Kind::Request { id, .. }, Some(filter)) = (message.kind(), &mut self.filter) {
                        filter.server(stopped(id));
                    }
                }
                Sifted::ToServer(message) => self.enter(message, now),
                sifted => self.sifted.extend(Option::<Action>::from(sifted)),
            }
        }
    }

    /// Carries what came out of the relay through the translators, and what they want to the relay, until nothing is left
    /// to carry. Where there is nobody to carry it to, what came out stays where it is.
    fn translate(&mut self, now: Instant) {
        while self.relay.take_parted() || self.is_translating() || self.filter.is_some() {
            self.carry(now);
            if let Some(output) = self.relay.poll() {
                self.came_out(output, now);
                continue;
            }
            let legacy = self.legacy.as_ref().is_some_and(|legacy| legacy.expects_more());
            let modern = self.modern.as_ref().is_some_and(|modern| modern.expects_more());
            let filter = self.filter.as_ref().is_some_and(|filter| filter.expects_more());
            if !self.relay.expect_more(legacy || modern || filter, now) {
                return;
            }
        }
        self.relay.expect_more(false, now);
    }

    /// Does what the translators want.
    fn carry(&mut self, now: Instant) {
        loop {
            if let Some(crossing) = self.legacy.as_mut().and_then(|legacy| legacy.poll()) {
                match crossing {
                    Crossing::Over(held) => {
                        self.minted = self.legacy.as_ref().map_or(self.minted, |legacy| legacy.minted());
                        // At the end of the process it still knows whom not to answer twice.
                        self.legacy = self.legacy.take().filter(|_| self.relay.is_leaving());
                        self.say_all(held, now);
                    }
                    crossing => self.cross(crossing, now),
                }
            } else if let Some(crossing) = self.modern.as_mut().and_then(|modern| modern.poll()) {
                match crossing {
                    Crossing::Over(held) => {
                        self.modern = None;
                        self.say_all(held, now);
                    }
                    crossing => self.cross(crossing, now),
                }
            } else {
                return;
            }
        }
    }

    fn cross(&mut self, crossing: Crossing, now: Instant) {
        match crossing {
            Crossing::ToClient(message) => self.actions.push_back(Action::Deliver(message)),
            Crossing::ToServer(message) => self.relay.say(message, now),
            Crossing::Refusal(message) => self.relay.say_refusal(message, now),
            Crossing::Told(notice) => self.actions.push_back(Action::Notice(notice)),
            Crossing::Found(era) => self.found(era, now),
            Crossing::EndSession => self.relay.end_session(),
            Crossing::Over(held) => self.say_all(held, now),
        }
    }

    /// Sends messages of the client as they are. At the end of the process they are answered instead.
    fn say_all(&mut self, messages: Vec<Message>, now: Instant) {
        for message in messages {
            match message.kind() {
                Kind::Request { id, .. } if self.relay.is_leaving() => {
                    self.actions.push_back(Action::Deliver(stopped(id)));
                }
                _ => self.relay.say(message, now),
            }
        }
    }

    fn came_out(&mut self, output: Output, now: Instant) {
        match output {
            Output::Apart(apart) => self.apart(*apart, now),
            Output::Do(Action::Deliver(message)) => self.server(message, None, now),
            Output::Said { message, within } => self.server(message, within.as_ref(), now),
            Output::Do(Action::Exit(reason)) => {
                // Nothing is to stay without an answer.
                if let Some(legacy) = &mut self.legacy {
                    legacy.close();
                }
                if let Some(modern) = &mut self.modern {
                    modern.close();
                }
                self.carry(now);
                self.actions.push_back(Action::Exit(reason));
            }
            Output::Do(action) => self.actions.push_back(action),
        }
    }

    /// Brings a message of the server to whoever it is for.
    fn server(&mut self, message: Message, within: Option<&Id>, now: Instant) {
        if let Some(filter) = &mut self.filter
            && message.method() == Some("notifications/tools/list_changed")
        {
            // A client that has not asked to hear of it does not get it.
            filter.forget();
        }
        let message = match &mut self.legacy {
            Some(legacy) if legacy.takes(&message, within) => return legacy.server(message, now),
            Some(_) | None => message,
        };
        match &mut self.modern {
            Some(modern) if modern.takes(&message, within) => {
                let asking = match message.kind() {
                    Kind::Request { id, .. } => self.relay.asking(id),
                    Kind::Notification { .. } | Kind::Response { .. } => None,
                };
                modern.server(message, within.cloned().or(asking), now);
            }
            Some(_) | None => {
                self.detection.answered(&message);
                if let Some(modern) = &mut self.modern
                    && self.detection.is_modern()
                {
                    modern.retire();
                }
                self.actions.push_back(Action::Deliver(message));
            }
        }
    }
}

/// The answer to a request that is not sent any more.
fn stopped(id: &Id) -> Message {
    let report =
        ErrorReport::new(ErrorKind::Stopped, "stopped before the request was sent", "start again to send it");
    Message::error(Some(id), &relay::error_object(&report))
}
