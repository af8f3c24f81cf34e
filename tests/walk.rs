//! Random walks over the bridge: whatever happens in whatever order, every request gets exactly one answer, nothing
//! about a cancelled one reaches the client, messages start in the client's order, and nothing is ever stuck.
//!
//! `WALK=1000000 cargo test --release --test walk` walks longer. A failing walk prints its seed and its transcript;
//! `WALK_SEED=n` walks that one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mcp_tether::bridge::{
    Action, Ask, Bridge, Cause, Ending, Event, ExchangeId, Failure, Opening, Refusal, SessionHeader,
    SessionId, Why, Written,
};
use mcp_tether::jsonrpc::{Kind, Line, Message};

const STEPS: u64 = 120;
/// The `_meta` of a modern request.
const MODERN: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;

#[test]
fn no_order_of_events_breaks_the_invariants() {
    let number = |name: &str| std::env::var_os(name).and_then(|value| value.to_str()?.parse::<u64>().ok());
    let seeds = match number("WALK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("WALK").map_or(3_000, |walks| walks.max(1)) + 1,
    };
    let mut seen = Seen::default();
    for seed in seeds {
        let mut walk = Walk::new(seed);
        if let Err(broken) = walk.run(&mut seen) {
            panic!("seed {seed}: {broken}\n{}", walk.transcript.join("\n"));
        }
    }
    // A walk that never gets anywhere proves nothing.
    assert!(seen.answers > 1_000 && seen.errors > 1_000 && seen.cancelled > 100, "{seen:?}");
}

/// How much the walks have seen, all together.
#[derive(Debug, Default)]
struct Seen {
    answers: u64,
    errors: u64,
    cancelled: u64,
}

/// A small generator of reproducible numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.roll(from.len() as u64) as usize].clone())
    }
}

/// What the server's side knows of an exchange.
struct Exchange {
    /// The id of the request in it.
    request: Option<String>,
    listening: bool,
}

struct Walk {
    bridge: Bridge,
    dice: Dice,
    now: Instant,
    transcript: Vec<String>,
    exchanges: BTreeMap<ExchangeId, Exchange>,
    asked: u64,
    open: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
    /// The order of messages that keep it: number of the last one that was started.
    written: u64,
    last_started: u64,
    server_requests: u64,
    gone: bool,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
        let now = Instant::now();
        Walk {
            bridge: Bridge::new(0),
            dice: Dice(seed),
            now,
            transcript: Vec::new(),
            exchanges: BTreeMap::new(),
            asked: 0,
            open: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            written: 0,
            last_started: 0,
            server_requests: 0,
            gone: false,
        }
    }

    fn run(&mut self, seen: &mut Seen) -> Result<(), String> {
        for _ in 0..STEPS {
            match self.dice.roll(10) {
                0..=3 => self.client(seen)?,
                9 => self.wait(seen)?,
                _ => self.server(seen)?,
            }
        }
        let end = match self.dice.roll(3) {
            0 => Event::Stop(Cause::Signal),
            1 => Event::Stop(Cause::OutputClosed),
            _ => Event::ClientClosed,
        };
        self.happen(end, seen)?;
        for _ in 0..STEPS * 10 {
            if self.gone {
                return match self.open.is_empty() {
                    true => Ok(()),
                    false => Err(format!("unanswered at the end: {:?}", self.open)),
                };
            }
            match self.dice.roll(3) {
                0 => self.wait(seen)?,
                _ => self.server(seen)?,
            }
        }
        Err("it never ended".to_owned())
    }

    fn client(&mut self, seen: &mut Seen) -> Result<(), String> {
        self.written += 1;
        let mark = self.written;
        let text = match self.dice.roll(12) {
            0 => format!(r#"{{"method":"notifications/initialized","mark":{mark}}}"#),
            1 => format!(r#"{{"method":"notifications/other","mark":{mark}}}"#),
            2 if self.server_requests > 0 => {
                let id = self.dice.roll(self.server_requests);
                format!(r#"{{"id":"s{id}","result":{{}}}}"#)
            }
            3 | 4 if self.asked > 0 => {
                let id = self.dice.roll(self.asked) + 1;
                if self.open.remove(&id) {
                    self.cancelled.insert(id);
                    seen.cancelled += 1;
                }
                format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
            }
            _ => {
                self.asked += 1;
                let id = self.asked;
                self.open.insert(id);
                let method = ["initialize", "logging/setLevel", "tools/call", "tools/call", "x"]
                    [self.dice.roll(5) as usize];
                match self.dice.roll(3) {
                    // A modern request keeps no order: it waits for nobody, whoever waits before it.
                    0 => {
                        let method =
                            ["tools/call", "tools/list", "subscriptions/listen"][self.dice.roll(3) as usize];
                        format!(
                            r#"{{"id":{id},"method":"{method}","params":{{"name":"t","_meta":{MODERN}}}}}"#
                        )
                    }
                    _ => format!(r#"{{"id":{id},"method":"{method}","mark":{mark}}}"#),
                }
            }
        };
        self.happen(Event::Client(Line::parse(text.into())), seen)
    }

    fn server(&mut self, seen: &mut Seen) -> Result<(), String> {
        let exchanges: Vec<ExchangeId> = self.exchanges.keys().copied().collect();
        let Some(exchange) = self.dice.pick(&exchanges) else { return Ok(()) };
        let request = self.exchanges[&exchange].request.clone();
        let event = match self.dice.roll(12) {
            0..=2 => Event::Sent(exchange),
            3 | 4 => {
                let session = match self.dice.roll(8) {
                    0 => SessionHeader::Unusable,
                    1..=4 => SessionHeader::Id(SessionId::new("session").expect("visible")),
                    _ => SessionHeader::Absent,
                };
                Event::Opened(exchange, Opening { status: 200, session, multiplexed: self.dice.roll(9) == 0 })
            }
            5 => {
                let method = ["notifications/message", "notifications/subscriptions/acknowledged"]
                    [self.dice.roll(2) as usize];
                let params = r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a"]}}"#;
                Event::Server(exchange, message(format!(r#"{{"method":"{method}","params":{params}}}"#)))
            }
            6 => {
                let id = self.server_requests;
                self.server_requests += 1;
                Event::Server(exchange, message(format!(r#"{{"id":"s{id}","method":"ping"}}"#)))
            }
            7 if self.asked > 0 => {
                let id = self.dice.roll(self.asked) + 1;
                Event::Server(exchange, message(format!(r#"{{"id":{id},"result":{{}}}}"#)))
            }
            8 | 9 if request.is_some() => {
                let id = request.unwrap_or_default();
                let bodies = [
                    r#""result":{"protocolVersion":"2025-11-25","tools":[{"name":"t"}]}"#,
                    r#""result":{"tools":[],"nextCursor":"c"}"#,
                    r#""error":{}"#,
                    r#""error":{"code":-32020}"#,
                ];
                let body = bodies[self.dice.roll(4) as usize];
                Event::Server(exchange, message(format!(r#"{{"id":{id},{body}}}"#)))
            }
            _ => {
                self.exchanges.remove(&exchange);
                Event::Ended(exchange, self.ending())
            }
        };
        self.happen(event, seen)
    }

    fn ending(&mut self) -> Ending {
        let why = Why {
            cause: Failure::Status,
            status: None,
            sentence: "it failed".to_owned(),
            advice: None,
            body: None,
        };
        match self.dice.roll(6) {
            0 => Ending::Complete,
            1 => Ending::Accepted(202),
            2 => Ending::Cut(why),
            3 => Ending::Lost { written: Written::No, why },
            4 => Ending::Lost { written: Written::Maybe, why },
            _ => {
                let answer =
                    (self.dice.roll(2) == 0).then(|| message(r#"{"id":null,"error":{}}"#.to_owned()));
                Ending::Refused(Refusal { status: 404, answer, retry_after: None, why })
            }
        }
    }

    fn wait(&mut self, seen: &mut Seen) -> Result<(), String> {
        self.now += Duration::from_millis(self.dice.roll(3_000));
        self.transcript.push("> wait".to_owned());
        self.bridge.handle_timeout(self.now);
        self.act(seen)
    }

    fn happen(&mut self, event: Event, seen: &mut Seen) -> Result<(), String> {
        self.transcript.push(format!("> {event}"));
        self.bridge.handle(event, self.now);
        self.act(seen)
    }

    fn act(&mut self, seen: &mut Seen) -> Result<(), String> {
        while let Some(action) = self.bridge.poll_action() {
            self.transcript.push(action.to_string());
            if self.gone {
                return Err("an action after the exit".to_owned());
            }
            match action {
                Action::Open(exchange, outgoing) => {
                    let request = match &outgoing.ask {
                        Ask::Post(message) => self.started(message)?,
                        Ask::Listen | Ask::EndSession => None,
                    };
                    let listening = matches!(outgoing.ask, Ask::Listen);
                    self.exchanges.insert(exchange, Exchange { request, listening });
                }
                Action::Close(exchange) => {
                    self.exchanges.remove(&exchange).ok_or("closed what was not open")?;
                }
                Action::Deliver(message) => self.delivered(&message, seen)?,
                Action::Notice(_) => {}
                Action::Exit(_) => self.gone = true,
            }
        }
        let nothing_under_way = self.exchanges.values().all(|exchange| exchange.listening);
        let waiting = self.bridge.waiting_bytes();
        let nothing_due = self.bridge.poll_timeout().is_none();
        if nothing_under_way
            && nothing_due
            && !self.gone
            && (waiting > 0 || self.bridge.unanswered().count() > 0)
        {
            return Err(format!("stuck: {waiting} bytes wait, {:?} unanswered", self.open));
        }
        Ok(())
    }

    /// Checks the order of what keeps it: everything but cancellations and responses.
    fn started(&mut self, message: &Message) -> Result<Option<String>, String> {
        if let Some(mark) =
            mcp_tether::json::member(std::str::from_utf8(message.text()).expect("UTF-8"), "mark")
        {
            let mark = mark.parse().expect("a number");
            if mark <= self.last_started {
                return Err(format!("message {mark} was started after message {}", self.last_started));
            }
            self.last_started = mark;
        }
        match message.kind() {
            Kind::Request { id, .. } => Ok(Some(id.to_string())),
            Kind::Notification { .. } | Kind::Response { .. } => Ok(None),
        }
    }

    fn delivered(&mut self, message: &Message, seen: &mut Seen) -> Result<(), String> {
        let Kind::Response { id: Some(id), error } = message.kind() else { return Ok(()) };
        let id: u64 = id.as_json().parse().map_err(|_| format!("an answer to {id}, which nobody asked"))?;
        match error {
            true => seen.errors += 1,
            false => seen.answers += 1,
        }
        match (self.open.remove(&id), self.cancelled.contains(&id)) {
            (true, _) => Ok(()),
            (false, true) => Err(format!("an answer to {id}, which was cancelled")),
            (false, false) => Err(format!("a second answer to {id}")),
        }
    }
}

fn message(text: String) -> Message {
    Message::parse(text.into()).expect("a message")
}
