//! Random walks over the bridge: whatever happens in whatever order, every request gets exactly one answer, nothing
//! about a cancelled one reaches the client, messages start in the client's order, no call that may have run is sent
//! again, nothing is said in a session that was refused, no two handshakes are under way, and nothing is ever stuck.
//!
//! `WALK=1000000 cargo test --release --test walk` walks longer. A failing walk prints its seed and its transcript;
//! `WALK_SEED=n` walks that one alone.

#[path = "support/dice.rs"]
mod dice;
#[path = "support/walk.rs"]
mod walking;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dice::Dice;
use mcp_tether::bridge::{
    Action, Ask, Bridge, Config, Cursor, Era, ErrorKind, ErrorReport, Event, ExchangeId, ExchangeOutcome,
    Opening, Outgoing, Pattern, Processing, Refusal, SessionHeader, SessionId, StopReason, ToolRules,
    TransportOrder, Via, Written,
};
use mcp_tether::diagnosis;
use mcp_tether::jsonrpc::{Kind, Line, Message};
use walking::message;

const STEPS: u64 = 120;
/// The `_meta` of a modern request.
const MODERN: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;

#[test]
fn random_event_orders_break_no_invariant() {
    let seeds = walking::seeds(3_000);
    let mut seen = Seen::default();
    walking::each(seeds, |seed| {
        let mut walk = Walk::new(seed);
        walk.run(&mut seen).map_err(|broken| (broken, walk.transcript))
    });
    // A walk that never gets anywhere proves nothing.
    assert!(seen.answers > 1_000 && seen.errors > 1_000 && seen.cancelled > 100, "{seen:?}");
    assert!(seen.renewed > 100 && seen.resent > 100 && seen.resumed > 100 && seen.pings > 100, "{seen:?}");
    assert!(seen.carried > 1_000, "{seen:?}");
}

/// How much the walks have seen, all together.
#[derive(Debug, Default)]
struct Seen {
    answers: u64,
    errors: u64,
    cancelled: u64,
    renewed: u64,
    resent: u64,
    resumed: u64,
    pings: u64,
    /// Messages that went to the address a stream had named.
    carried: u64,
}

/// What the server's side knows of an exchange.
#[derive(Clone, Default)]
struct Exchange {
    /// The id of the request in it.
    request: Option<String>,
    /// The mark of the message in it, which tells notifications from each other.
    mark: Option<u64>,
    /// Its method.
    method: Option<String>,
    /// Whether this is a GET, and the event behind which it goes on.
    listening: bool,
    after: Option<String>,
    session: Option<String>,
    opened: bool,
    answered: bool,
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
    started: BTreeSet<u64>,
    /// How often each request of the client was sent.
    sent: BTreeMap<String, u32>,
    /// Calls that may have run and must not run twice.
    may_have_run: BTreeSet<String>,
    /// Sessions that the server has said it does not know.
    dead: BTreeSet<String>,
    /// Sessions in which the server has answered a request.
    known: BTreeSet<String>,
    /// The others may be new to a part of the server: what each message was refused there once, it may say once more.
    doubted: BTreeSet<(String, Option<String>, Option<u64>)>,
    sessions: u64,
    gone: bool,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
        let now = Instant::now();
        Walk {
            bridge: Bridge::new(Config {
                seed,
                ping: seed.is_multiple_of(3).then_some(Duration::from_secs(4)),
                transport: [
                    TransportOrder::HttpFirst,
                    TransportOrder::SseFirst,
                    TransportOrder::HttpOnly,
                    TransportOrder::SseOnly,
                ][(seed / 3 % 4) as usize],
                // To pass the filter changes nothing else.
                tools: ToolRules {
                    ignore: Pattern::new("nowhere*").filter(|_| seed % 5 == 1).into_iter().collect(),
                    ..ToolRules::default()
                },
                ..Config::default()
            }),
            dice: Dice::new(seed),
            now,
            transcript: Vec::new(),
            exchanges: BTreeMap::new(),
            asked: 0,
            open: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            written: 0,
            last_started: 0,
            server_requests: 0,
            started: BTreeSet::new(),
            sent: BTreeMap::new(),
            may_have_run: BTreeSet::new(),
            dead: BTreeSet::new(),
            known: BTreeSet::new(),
            doubted: BTreeSet::new(),
            sessions: 0,
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
            0 => Event::Stop(StopReason::Signal),
            1 => Event::Stop(StopReason::OutputClosed),
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
                let method =
                    ["initialize", "logging/setLevel", "tools/call", "tools/list", "resources/subscribe"]
                        [self.dice.roll(5) as usize];
                // The one says of itself that it only reads.
                let tool = ["t", "reader"][self.dice.roll(2) as usize];
                let params = format!(r#""params":{{"name":"{tool}","level":"debug","uri":"u{id}"}}"#);
                match self.dice.roll(3) {
                    // A modern request keeps no order: it waits for nobody, whoever waits before it.
                    0 => {
                        let method =
                            ["tools/call", "tools/list", "subscriptions/listen"][self.dice.roll(3) as usize];
                        format!(
                            r#"{{"id":{id},"method":"{method}","params":{{"name":"{tool}","_meta":{MODERN}}}}}"#
                        )
                    }
                    _ => format!(r#"{{"id":{id},"method":"{method}","mark":{mark},{params}}}"#),
                }
            }
        };
        self.happen(Event::Client(Line::parse(text.into())), seen)
    }

    fn server(&mut self, seen: &mut Seen) -> Result<(), String> {
        let exchanges: Vec<ExchangeId> = self.exchanges.keys().copied().collect();
        let Some(exchange) = self.dice.pick(&exchanges) else { return Ok(()) };
        let request = self.exchanges[&exchange].request.clone();
        let event = match self.dice.roll(13) {
            0..=2 => Event::Sent(exchange),
            3 | 4 => {
                let session = match self.dice.roll(8) {
                    0 => SessionHeader::Unusable,
                    1..=4 => {
                        self.sessions += 1;
                        // They print shortened, so that the number comes first.
                        let id = format!("{}-session", self.sessions);
                        SessionHeader::Id(SessionId::new(&id).expect("visible"))
                    }
                    _ => SessionHeader::Absent,
                };
                self.exchanges.get_mut(&exchange).expect("picked above").opened = true;
                Event::Opened(exchange, Opening { status: 200, session, multiplexed: self.dice.roll(9) == 0 })
            }
            5 => {
                let method = ["notifications/message", "notifications/subscriptions/acknowledged"]
                    [self.dice.roll(2) as usize];
                let params = r#"{"progressToken":1,"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a"]}}"#;
                Event::Server(exchange, message(format!(r#"{{"method":"{method}","params":{params}}}"#)))
            }
            6 => {
                let id = self.server_requests;
                self.server_requests += 1;
                Event::Server(exchange, message(format!(r#"{{"id":"s{id}","method":"ping"}}"#)))
            }
            7 if self.asked > 0 => {
                let id = self.dice.roll(self.asked) + 1;
                let known = self.exchanges.get_mut(&exchange).expect("picked above");
                known.answered |= known.request.as_ref() == Some(&id.to_string());
                Event::Server(exchange, message(format!(r#"{{"id":{id},"result":{{}}}}"#)))
            }
            8 | 9 if request.is_some() => {
                let id = request.unwrap_or_default();
                let bodies = [
                    r#""result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"tools":[{"name":"t"},{"name":"reader","annotations":{"readOnlyHint":true}}]}"#,
                    r#""result":{"tools":[],"nextCursor":"c"}"#,
                    r#""error":{}"#,
                    r#""error":{"code":-32020}"#,
                ];
                let body = bodies[self.dice.roll(4) as usize];
                let known = self.exchanges.get_mut(&exchange).expect("picked above");
                known.answered = true;
                let is_wanted = id.parse().is_ok_and(|id: u64| self.open.contains(&id));
                self.known.extend(known.session.clone().filter(|_| is_wanted));
                Event::Server(exchange, message(format!(r#"{{"id":{id},{body}}}"#)))
            }
            10 => {
                let last = (self.dice.roll(3) > 0).then(|| format!("e{}", self.dice.roll(100)));
                let retry = (self.dice.roll(4) == 0).then(|| Duration::from_millis(self.dice.roll(2_000)));
                Event::Cursor(exchange, Cursor { last, retry })
            }
            _ => {
                let known = self.exchanges.remove(&exchange).expect("picked above");
                // After the head of a 2xx there is no refusal.
                let outcome = match self.outcome() {
                    ExchangeOutcome::Refused(_) if known.opened => ExchangeOutcome::Complete,
                    outcome => outcome,
                };
                self.note(&known, &outcome);
                Event::Ended(exchange, outcome)
            }
        };
        if let Event::Server(exchange, _) | Event::Cursor(exchange, _) = &event
            && let Some(known) = self.exchanges.get_mut(exchange)
        {
            known.opened = true;
        }
        self.happen(event, seen)
    }

    /// Keeps account of what an ending means for what may be sent later.
    fn note(&mut self, known: &Exchange, outcome: &ExchangeOutcome) {
        let was_processed = match outcome {
            ExchangeOutcome::Lost { written: Written::No, .. } => false,
            ExchangeOutcome::Refused(refusal) => {
                refusal.processing != Processing::NotProcessed && refusal.status != 404
            }
            ExchangeOutcome::Complete
            | ExchangeOutcome::Accepted(_)
            | ExchangeOutcome::Cut(_)
            | ExchangeOutcome::Lost { .. } => true,
        };
        if was_processed
            && !known.answered
            && known.method.as_deref() == Some("tools/call")
            && let Some(request) = &known.request
        {
            self.may_have_run.insert(request.clone());
        }
        let tries = known.request.as_ref().and_then(|request| self.sent.get(request)).copied();
        // A message that is refused for ever says nothing of the session; neither does a stream, nor a response or
        // cancellation, which may have been too early for it.
        let is_early = matches!(known.method.as_deref(), None | Some("notifications/cancelled"));
        let is_blamed = !is_early && tries.is_none_or(|tries| tries < 4);
        if let (ExchangeOutcome::Refused(Refusal { status: 404, .. }), Some(session), true) =
            (outcome, &known.session, is_blamed)
        {
            let is_first = self.doubted.insert((session.clone(), known.request.clone(), known.mark));
            if self.known.contains(session) || !is_first {
                self.dead.insert(session.clone());
            }
        }
    }

    fn outcome(&mut self) -> ExchangeOutcome {
        let causes = [ErrorKind::Connection, ErrorKind::Connect, ErrorKind::Answer];
        let cause = causes[self.dice.roll(3) as usize];
        let report = ErrorReport::new(cause, "it failed", "");
        match self.dice.roll(8) {
            0 => ExchangeOutcome::Complete,
            1 => ExchangeOutcome::Accepted(202),
            2 => ExchangeOutcome::Cut(report),
            3 => ExchangeOutcome::Lost { written: Written::No, report },
            4 => ExchangeOutcome::Lost { written: Written::Maybe, report },
            _ => {
                let answer =
                    (self.dice.roll(2) == 0).then(|| message(r#"{"id":null,"error":{}}"#.to_owned()));
                let status = [404, 404, 502, 503, 429, 405][self.dice.roll(6) as usize];
                let retry_after = (self.dice.roll(3) == 0).then(|| Duration::from_secs(self.dice.roll(9)));
                let unprocessed = status == 429 || (status == 503 && retry_after.is_some());
                let report = ErrorReport { cause: ErrorKind::Status, ..report };
                let processing = diagnosis::processing(status, report.cause, unprocessed);
                ExchangeOutcome::Refused(Refusal { status, answer, retry_after, processing, report })
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
        self.transcript.push(walking::happened(&event));
        self.bridge.handle(event, self.now);
        self.act(seen)
    }

    fn act(&mut self, seen: &mut Seen) -> Result<(), String> {
        while let Some(action) = self.bridge.poll_action() {
            self.transcript.push(walking::done(&action));
            if self.gone {
                return Err("an action after the exit".to_owned());
            }
            match action {
                Action::Open(exchange, outgoing) => {
                    let started = self.started(&outgoing, seen)?;
                    self.exchanges.insert(exchange, started);
                }
                Action::Close(exchange) => {
                    self.exchanges.remove(&exchange).ok_or("closed what was not open")?;
                }
                Action::Deliver(message) => self.delivered(&message, seen)?,
                Action::Notice(_) | Action::Remember(_) => {}
                Action::Exit(_) => self.gone = true,
            }
        }
        // A stream that goes on behind an event may be one that brings an answer.
        let is_idle = |exchange: &Exchange| exchange.listening && exchange.after.is_none();
        let nothing_under_way = self.exchanges.values().all(is_idle);
        let waiting = self.bridge.waiting_cost();
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

    /// Checks what may be sent: in order where it is the first time, once where it may have run, and nothing in a
    /// session that is no more.
    fn started(&mut self, outgoing: &Outgoing, seen: &mut Seen) -> Result<Exchange, String> {
        let session = outgoing.facts.session.as_ref().map(|session| session.reveal().to_owned());
        if let Some(session) = session.as_ref().filter(|session| self.dead.contains(*session))
            && !matches!(outgoing.ask, Ask::EndSession)
        {
            return Err(format!("something is said in session {session}, which was refused"));
        }
        if let Via::Stream(stream) = outgoing.facts.via {
            seen.carried += 1;
            if !self.exchanges.contains_key(&stream) {
                return Err(format!("something is sent to the address of {stream}, which is over"));
            }
        }
        let message = match &outgoing.ask {
            Ask::Post(message) => message,
            Ask::Listen { after } => {
                seen.resumed += u64::from(after.is_some());
                return Ok(Exchange {
                    listening: true,
                    after: after.clone(),
                    session,
                    ..Exchange::default()
                });
            }
            Ask::EndSession => return Ok(Exchange { session, ..Exchange::default() }),
        };
        let is_handshake = |exchange: &Exchange| {
            let id = exchange.request.as_ref().and_then(|id| id.parse().ok());
            let is_wanted = !exchange.answered && !id.is_some_and(|id| self.cancelled.contains(&id));
            is_wanted && exchange.method.as_deref() == Some("initialize")
        };
        if message.method() == Some("initialize") && self.exchanges.values().any(is_handshake) {
            return Err("two handshakes at once".to_owned());
        }
        let text = std::str::from_utf8(message.text()).expect("UTF-8");
        let mark: Option<u64> =
            mcp_tether::json::member(text, "mark").map(|mark| mark.parse().expect("a number"));
        if let Some(mark) = mark {
            let is_first = self.started.insert(mark);
            if is_first && mark <= self.last_started {
                return Err(format!("message {mark} was started after message {}", self.last_started));
            }
            self.last_started = mark.max(self.last_started);
        }
        let method = message.method().map(str::to_owned);
        let Kind::Request { id, .. } = message.kind() else {
            return Ok(Exchange { mark, method, session, ..Exchange::default() });
        };
        let id = id.to_string();
        seen.pings += u64::from(method.as_deref() == Some("ping"));
        let times = self.sent.entry(id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            match method.as_deref() {
                Some("initialize") => seen.renewed += 1,
                _ => seen.resent += 1,
            }
        }
        let only_reads = text.contains("\"reader\"");
        if self.may_have_run.contains(&id) && !only_reads {
            return Err(format!("request {id} was sent again although it may have run"));
        }
        Ok(Exchange { request: Some(id), mark, method, session, ..Exchange::default() })
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

#[test]
fn resumed_streams_wait_for_slot() {
    #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
    let mut now = Instant::now();
    let mut bridge = Bridge::new(Config::default());
    for id in 0..1_000 {
        let call = format!(r#"{{"id":{id},"method":"tools/call"}}"#);
        bridge.handle(Event::Client(Line::parse(call.into())), now);
    }
    // Each stream breaks behind an event; those that are taken up again stay open.
    let (mut posted, mut most) = (Vec::new(), 0);
    let mut open = BTreeSet::new();
    loop {
        while let Some(action) = bridge.poll_action() {
            if let Action::Open(exchange, outgoing) = action {
                match outgoing.ask {
                    Ask::Post(_) => posted.push(exchange),
                    Ask::Listen { .. } | Ask::EndSession => drop(open.insert(exchange)),
                }
            }
        }
        most = most.max(posted.len() + open.len());
        if let Some(exchange) = posted.pop() {
            let opening = Opening { status: 200, session: SessionHeader::Absent, multiplexed: true };
            bridge.handle(Event::Opened(exchange, opening), now);
            bridge.handle(Event::Cursor(exchange, Cursor { last: Some("e".to_owned()), retry: None }), now);
            bridge.handle(Event::Ended(exchange, ExchangeOutcome::Complete), now);
        } else if let Some((until, _)) = bridge.poll_timeout() {
            now = until;
            bridge.handle_timeout(now);
        } else {
            break;
        }
    }
    assert_eq!((open.len(), most), (90, 128), "over HTTP/2 90, before that is known 128");
}

#[test]
fn errors_of_client_reach_server_however_many_wait() {
    const QUESTIONS: usize = 400;
    #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
    let now = Instant::now();
    let ignore = vec![Pattern::new("secret").expect("not empty")];
    // With rules about tools, and with a server that is known to be of the older era.
    for config in [
        Config { tools: ToolRules { ignore, ..ToolRules::default() }, ..Config::default() },
        Config { era: Some(Era::Legacy), ..Config::default() },
    ] {
        let mut bridge = Bridge::new(config);
        let client = |text: String| Event::Client(Line::One(message(text)));
        let opening = Opening { status: 200, session: SessionHeader::Absent, multiplexed: false };
        let initialize = r#"{"id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
        bridge.handle(client(initialize.to_owned()), now);
        bridge.handle(Event::Opened(ExchangeId(1), opening), now);
        let result = r#"{"id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}"#;
        bridge.handle(Event::Server(ExchangeId(1), message(result.to_owned())), now);
        bridge.handle(client(r#"{"id":2,"method":"ping"}"#.to_owned()), now);
        let asked_in = ExchangeId(2);
        for id in 0..QUESTIONS {
            let text = format!(r#"{{"id":"s{id}","method":"roots/list"}}"#);
            bridge.handle(Event::Server(asked_in, message(text)), now);
        }
        for id in 0..QUESTIONS {
            let text = format!(r#"{{"id":"s{id}","error":{{"code":-32601,"message":"no"}}}}"#);
            bridge.handle(client(text), now);
        }
        let mut answers = 0;
        while let Some(action) = bridge.poll_action() {
            let Action::Open(exchange, Outgoing { ask: Ask::Post(message), .. }) = action else { continue };
            if let Kind::Response { error: true, .. } = message.kind() {
                answers += 1;
                bridge.handle(Event::Ended(exchange, ExchangeOutcome::Accepted(202)), now);
            }
        }
        assert_eq!(answers, QUESTIONS);
    }
}
