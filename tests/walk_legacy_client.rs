//! Random walks between clients and servers of either era, or of both, or of one that changes: above all a legacy client
//! on a modern server. Whatever the server says in whatever order, every request of the client gets exactly one answer
//! under its own id, and nothing about one that it has cancelled; no message of the wrong era reaches either side; nothing
//! is ever stuck; what is remembered of a server that does not change is true; the end comes within its bounds.
//!
//! `WALK=1000000 cargo test --release --test walk_legacy_client` walks longer. A failing walk prints its seed and its
//! transcript; `WALK_SEED=n` walks that one alone.

#[path = "support/dice.rs"]
mod dice;
#[path = "support/walk.rs"]
mod walking;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dice::Dice;
use mcp_tether::bridge::{
    Action, Ask, Bridge, Config, Cursor, Era, ErrorKind, ErrorReport, Event, ExchangeId, ExchangeOutcome,
    Known, Opening, Outgoing, Pattern, Refusal, SessionHeader, SessionId, StopReason, ToolRules, Written,
};
use mcp_tether::diagnosis;
use mcp_tether::json;
use mcp_tether::jsonrpc::{Kind, Line, Message};
use walking::{message, text};

const STEPS: u64 = 150;
const LEGACY_METHODS: [&str; 13] = [
    "tools/list",
    "tools/call",
    "tools/call",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/subscribe",
    "resources/unsubscribe",
    "logging/setLevel",
    "ping",
    "completion/complete",
    "tasks/list",
    "x/unknown",
];
const MODERN_METHODS: [&str; 7] = [
    "server/discover",
    "server/discover",
    "tools/list",
    "tools/call",
    "resources/read",
    "x/unknown",
    "subscriptions/listen",
];
const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}"#;
const REVISION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";
const CAPABILITIES: &str =
    r#"{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"logging":{}}"#;
/// What a server can do that tells of resources only.
const FEW_CAPABILITIES: &str = r#"{"tools":{},"resources":{"subscribe":true}}"#;

#[test]
fn legacy_client_guarantees_hold_with_any_server() {
    let seeds = walking::seeds(600);
    let alone = seeds.end - seeds.start == 1;
    let mut seen = Seen::default();
    walking::each(seeds, |seed| {
        let mut walk = Walk::new(seed);
        walk.run(&mut seen).map_err(|broken| (broken, walk.transcript))
    });
    let Seen { results, errors, cancelled, asked, again, subscribed, bridged, looked_up } = seen;
    // A walk that never gets anywhere proves nothing.
    let enough = [results, errors, cancelled, asked, again, subscribed, bridged, looked_up];
    assert!(alone || enough.iter().all(|count| *count > 100), "{seen:?}");
}

/// How much the walks have seen, all together.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Lists that were asked for before a call.
    looked_up: u64,
    results: u64,
    errors: u64,
    cancelled: u64,
    /// Questions of a modern server to a legacy client.
    asked: u64,
    /// Requests that went out again with the replies.
    again: u64,
    /// Subscriptions of a legacy client at a modern server.
    subscribed: u64,
    /// Times that a translator was needed.
    bridged: u64,
}

fn one_of<T: Clone>(dice: &mut Dice, from: &[T]) -> T {
    dice.pick(from).expect("there are some")
}

/// Which eras one side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Speaks {
    legacy: bool,
    modern: bool,
}

const BOTH: Speaks = Speaks { legacy: true, modern: true };
const LEGACY: Speaks = Speaks { legacy: true, modern: false };
const MODERN: Speaks = Speaks { legacy: false, modern: true };

/// What the server's side knows of an exchange.
#[derive(Clone, Default)]
struct Exchange {
    request: Option<String>,
    method: String,
    token: Option<String>,
    is_modern: bool,
    /// It lasts. No request waits for its end.
    is_listening: bool,
    is_answered: bool,
    is_opened: bool,
}

struct Walk {
    bridge: Bridge,
    dice: Dice,
    now: Instant,
    transcript: Vec<String>,
    client: Speaks,
    server: Speaks,
    changes: bool,
    exchanges: BTreeMap<ExchangeId, Exchange>,
    /// The requests that have no answer: method, and whether it is of the modern era.
    open: BTreeMap<u64, (String, bool)>,
    cancelled: BTreeSet<u64>,
    last_id: u64,
    has_opened: bool,
    /// What the client is asked in the place of a modern server.
    asked: BTreeSet<String>,
    were_asked: BTreeSet<String>,
    /// What a legacy server has asked, and the client may answer.
    questions: BTreeSet<String>,
    last_question: u64,
    listening: BTreeSet<u64>,
    sessions: u64,
    /// Whether the tool `bad` is left out.
    filters: bool,
    gone: bool,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
        let now = Instant::now();
        let mut dice = Dice::new(seed);
        let client = one_of(&mut dice, &[LEGACY, LEGACY, LEGACY, MODERN, BOTH]);
        let server = one_of(&mut dice, &[MODERN, MODERN, MODERN, LEGACY, BOTH]);
        let changes = dice.roll(3) == 0;
        // What was true before may be so no more.
        let remembered = match server {
            MODERN if !changes => [None, Some(Era::Modern)],
            LEGACY if !changes => [None, Some(Era::Legacy)],
            _ => [Some(Era::Legacy), Some(Era::Modern)],
        };
        let era = if dice.roll(2) == 0 { None } else { one_of(&mut dice, &remembered) };
        let known = Known { era, ..Known::default() };
        let filters = dice.roll(3) == 0;
        let mut tools = ToolRules::default();
        if filters {
            tools.ignore.extend(Pattern::new("B*"));
            tools.read_only = dice.roll(2) == 0;
        }
        Walk {
            bridge: Bridge::new(Config { seed, secret: u128::from(seed), known, tools, ..Config::default() }),
            filters,
            dice,
            now,
            transcript: vec![format!("{client:?} on {server:?}, changes: {changes}, remembered: {era:?}")],
            client,
            server,
            changes,
            exchanges: BTreeMap::new(),
            open: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            last_id: 0,
            has_opened: false,
            asked: BTreeSet::new(),
            were_asked: BTreeSet::new(),
            questions: BTreeSet::new(),
            last_question: 0,
            listening: BTreeSet::new(),
            sessions: 0,
            gone: false,
        }
    }

    fn run(&mut self, seen: &mut Seen) -> Result<(), String> {
        for _ in 0..STEPS {
            if self.changes && self.dice.roll(30) == 0 {
                self.server = one_of(&mut self.dice, &[MODERN, LEGACY, BOTH]);
                self.transcript.push(format!("the server is {:?} now", self.server));
            }
            match self.dice.roll(10) {
                0..=2 => self.client(seen)?,
                9 => self.wait(3_000, seen)?,
                _ => self.server(seen)?,
            }
        }
        let (end, bounds) = match self.dice.roll(3) {
            0 => (Event::Stop(StopReason::Signal), [50, 0]),
            1 => (Event::Stop(StopReason::OutputClosed), [50, 0]),
            _ => (Event::ClientClosed, [5_000, 1_000]),
        };
        self.happen(end, seen)?;
        let answers = self.dice.roll(2) == 0;
        for _ in 0..if answers { STEPS } else { 0 } {
            if !self.gone {
                self.server(seen)?;
            }
        }
        for bound in bounds {
            self.now += Duration::from_millis(bound);
            self.time_passes(seen)?;
        }
        match (self.gone, self.open.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(format!("unanswered at the end: {:?}", self.open)),
            (false, _) => Err("it did not end within its bounds".to_owned()),
        }
    }

    fn client(&mut self, seen: &mut Seen) -> Result<(), String> {
        // What stands in the same batch may be answered before its cancellation is read.
        let open: Vec<u64> = self.open.keys().copied().collect();
        let mut texts = vec![self.line(&open, seen)];
        while self.dice.roll(12) == 0 {
            texts.push(self.line(&open, seen));
        }
        texts.sort_by_key(|text| !text.contains("notifications/cancelled"));
        let text = match texts.len() {
            1 => texts.remove(0),
            _ => format!("[{}]", texts.join(",")),
        };
        self.happen(Event::Client(Line::parse(text.into())), seen)
    }

    fn line(&mut self, open: &[u64], seen: &mut Seen) -> String {
        let is_modern = match self.client {
            BOTH => self.dice.roll(2) == 0,
            other => other.modern,
        };
        let open: Vec<u64> = open.iter().copied().filter(|id| self.open.contains_key(id)).collect();
        match self.dice.roll(14) {
            0 | 1 if !open.is_empty() => {
                let id = one_of(&mut self.dice, &open);
                // Nobody cancels its own handshake.
                if self.open[&id].0 == "initialize" {
                    return r#"{"method":"notifications/y"}"#.to_owned();
                }
                self.open.remove(&id);
                self.listening.remove(&id);
                self.cancelled.insert(id);
                seen.cancelled += 1;
                format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
            }
            2 if is_modern => format!(r#"{{"method":"notifications/x","params":{{"_meta":{{{META}}}}}}}"#),
            2 => [
                r#"{"method":"notifications/initialized"}"#,
                r#"{"method":"notifications/roots/list_changed"}"#,
                r#"{"method":"notifications/x","params":[1]}"#,
                r#"{"id":"nobody","result":{}}"#,
            ][self.dice.roll(4) as usize]
                .to_owned(),
            3..=6 if !is_modern && (!self.asked.is_empty() || !self.questions.is_empty()) => {
                let ids: Vec<String> = self.asked.iter().chain(&self.questions).cloned().collect();
                let id = one_of(&mut self.dice, &ids);
                self.asked.remove(&id);
                let reply = one_of(
                    &mut self.dice,
                    &[
                        r#""result":{"action":"accept"}"#,
                        r#""result":{"action":"accept"}"#,
                        r#""result":null"#,
                        r#""error":{"code":-1,"message":"no"}"#,
                    ],
                );
                format!(r#"{{"id":{id},{reply}}}"#)
            }
            7 if is_modern => self.request("server/discover", is_modern),
            _ if is_modern => {
                let method = one_of(&mut self.dice, &MODERN_METHODS);
                self.request(method, is_modern)
            }
            _ if !self.has_opened || self.dice.roll(25) == 0 => {
                self.has_opened = true;
                self.request("initialize", is_modern)
            }
            _ => {
                let method = one_of(&mut self.dice, &LEGACY_METHODS);
                self.request(method, is_modern)
            }
        }
    }

    fn request(&mut self, method: &str, is_modern: bool) -> String {
        // In the modern era an id may come again once it is free.
        let again = self.dice.roll(self.last_id + 1);
        let free = |id: &u64| *id > 0 && !self.open.contains_key(id) && !self.cancelled.contains(id);
        let id = match is_modern && !self.has_opened && free(&again) && self.dice.roll(3) == 0 {
            true => again,
            false => {
                self.last_id += 1;
                self.last_id
            }
        };
        self.open.insert(id, (method.to_owned(), is_modern));
        let resource = self.dice.roll(3);
        let name = one_of(&mut self.dice, &["t", "t", "bad"]);
        let own = format!(r#""name":"{name}","uri":"a:{resource}","level":"info""#);
        let filter = r#""notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}"#;
        let params = match (method, is_modern, self.dice.roll(12)) {
            ("initialize", ..) => {
                r#"{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{},"roots":{"listChanged":true}},"clientInfo":{"name":"c","version":"1"}}"#
                    .to_owned()
            }
            (_, true, _) => format!(r#"{{{own},{filter},"_meta":{{{META},"progressToken":{id}}}}}"#),
            (_, false, 0) => return format!(r#"{{"id":{id},"method":"{method}"}}"#),
            (_, false, 1) => "null".to_owned(),
            (_, false, 2) => "[1]".to_owned(),
            (_, false, 3) => format!(r#"{{{own},"_meta":5}}"#),
            (_, false, _) => format!(r#"{{{own},"_meta":{{"progressToken":{id}}}}}"#),
        };
        format!(r#"{{"id":{id},"method":"{method}","params":{params}}}"#)
    }

    fn server(&mut self, seen: &mut Seen) -> Result<(), String> {
        let exchanges: Vec<ExchangeId> = self.exchanges.keys().copied().collect();
        if exchanges.is_empty() {
            return Ok(());
        }
        let exchange = one_of(&mut self.dice, &exchanges);
        let known = self.exchanges[&exchange].clone();
        let understands = if known.is_modern { self.server.modern } else { self.server.legacy };
        let event = match self.dice.roll(14) {
            0 => Event::Sent(exchange),
            1 if !known.is_opened => self.opening(exchange, &known),
            2..=9 if !known.is_answered && !understands => self.does_not_understand(exchange, &known),
            2..=5 if !known.is_answered && known.request.is_some() => {
                let is_subscription = known.method == "subscriptions/listen";
                match is_subscription && self.dice.roll(4) > 0 {
                    true => Event::Server(exchange, self.about_subscription(&known)),
                    false => Event::Server(exchange, self.answer(exchange, &known)),
                }
            }
            6..=9 if understands => Event::Server(exchange, self.told(&known)),
            10 if !known.is_modern => {
                let last = (self.dice.roll(3) > 0).then(|| format!("e{}", self.dice.roll(100)));
                Event::Cursor(exchange, Cursor { last, retry: None })
            }
            // Most exchanges end well, and after their answer.
            _ if !known.is_answered && self.dice.roll(3) > 0 => return Ok(()),
            _ => Event::Ended(exchange, self.outcome(known.is_opened)),
        };
        let has_head = matches!(&event, Event::Server(..) | Event::Cursor(..));
        if has_head && !known.is_opened {
            let opening = self.opening(exchange, &known);
            self.happen(opening, seen)?;
        }
        match (&event, self.exchanges.get_mut(&exchange)) {
            // What was closed at the head says nothing more.
            (_, None) => return Ok(()),
            (Event::Ended(..), _) => drop(self.exchanges.remove(&exchange)),
            (_, Some(known)) => {
                known.is_opened |= has_head || matches!(&event, Event::Opened(..));
                let said = if let Event::Server(_, message) = &event { message.method() } else { None };
                known.is_listening |= said == Some("notifications/subscriptions/acknowledged");
            }
        }
        self.happen(event, seen)
    }

    /// The head of a 2xx.
    fn opening(&mut self, exchange: ExchangeId, known: &Exchange) -> Event {
        self.sessions += 1;
        let id = SessionId::new(&format!("{}-session", self.sessions)).expect("visible");
        let is_named = !known.is_modern && self.dice.roll(2) == 0;
        let session = if is_named { SessionHeader::Id(id) } else { SessionHeader::Absent };
        Event::Opened(exchange, Opening { status: 200, session, multiplexed: false })
    }

    /// What a server says to a message of the era that it does not speak.
    fn does_not_understand(&mut self, exchange: ExchangeId, known: &Exchange) -> Event {
        let id = known.request.clone().unwrap_or_else(|| "null".to_owned());
        let (status, body) = match (known.is_modern, known.method.as_str(), self.dice.roll(6)) {
            (true, "server/discover", 0) => (200, r#""result":{"supportedVersions":["2025-11-25"]}"#),
            (true, _, 1) => (200, r#""error":{"code":-32601,"message":"Method not found"}"#),
            (true, _, 2) => (404, ""),
            (true, _, 3) => (422, ""),
            (true, ..) => (400, r#""error":{"code":-32000,"message":"no session"}"#),
            (false, "initialize", 0) => (200, r#""result":{"protocolVersion":"2026-07-28"}"#),
            (false, "initialize", 1) => (404, ""),
            (false, "initialize", 2) => (404, r#""error":{"code":-32601,"message":"no"}"#),
            (false, "initialize", 3) => {
                (400, r#""error":{"code":-32602,"message":"params._meta is missing"}"#)
            }
            (false, "initialize", _) => {
                (400, r#""error":{"code":-32022,"message":"no","data":{"supported":["2026-07-28"]}}"#)
            }
            (false, ..) => (400, r#""error":{"code":-32020,"message":"no"}"#),
        };
        let answer = (!body.is_empty()).then(|| message(format!(r#"{{"id":{id},{body}}}"#)));
        match answer {
            Some(answer) if status == 200 && known.request.is_some() => {
                self.exchanges.get_mut(&exchange).expect("picked from them").is_answered = true;
                Event::Server(exchange, answer)
            }
            // After the head of a 2xx there is no refusal.
            _ if known.is_opened => Event::Ended(exchange, ExchangeOutcome::Complete),
            answer => Event::Ended(exchange, refusal(status, answer)),
        }
    }

    fn answer(&mut self, exchange: ExchangeId, known: &Exchange) -> Message {
        self.exchanges.get_mut(&exchange).expect("picked from them").is_answered = true;
        let capabilities = one_of(&mut self.dice, &[CAPABILITIES, FEW_CAPABILITIES]);
        let may_ask = ["tools/call", "prompts/get", "resources/read"].contains(&&*known.method);
        let body = match (known.method.as_str(), known.is_modern, self.dice.roll(10)) {
            (_, _, 0) => r#""error":{"code":-32603,"message":"m"}"#.to_owned(),
            (_, true, 1) => r#""error":{"code":-32022,"message":"m","data":{"supported":["2026-07-28"]}}"#.to_owned(),
            ("initialize", ..) => format!(
                r#""result":{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"serverInfo":{{"name":"s","version":"1"}}}}"#
            ),
            ("server/discover", ..) => format!(
                r#""result":{{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{capabilities},"ttlMs":0,"cacheScope":"private"}}"#
            ),
            (_, true, 2..=7) if may_ask => {
                let asks = one_of(&mut self.dice, &[
                    r#""inputRequests":{"a":{"method":"elicitation/create","params":{"message":"m"}}}"#,
                    r#""inputRequests":{"a":{"method":"elicitation/create","params":{"message":"m"}},"b":{"method":"roots/list"}},"requestState":"s""#,
                    r#""inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}"#,
                    r#""inputRequests":{"a":5},"requestState":"s""#,
                    r#""inputRequests":{}"#,
                    r#""requestState":"s""#,
                ]);
                format!(r#""result":{{"resultType":"input_required",{asks}}}"#)
            }
            ("tools/list", is_modern, _) => {
                let reads = one_of(&mut self.dice, &["true", "true", "false"]);
                let tools = one_of(&mut self.dice, &[
                    r#"{"name":"t","outputSchema":{"type":"array"},"annotations":{"readOnlyHint":READS}},{"name":"bad"}"#,
                    r#"{"name":"bad","annotations":{"readOnlyHint":true}}"#,
                    "",
                ]);
                let tools = tools.replace("READS", reads);
                let cursor = if self.dice.roll(3) == 0 { r#","nextCursor":"c""# } else { "" };
                let modern = r#""resultType":"complete","ttlMs":0,"cacheScope":"private","#;
                let modern = if is_modern { modern } else { "" };
                format!(r#""result":{{{modern}"tools":[{tools}]{cursor}}}"#)
            }
            (_, true, 9) => r#""result":{"resultType":"odd"}"#.to_owned(),
            (_, true, _) => {
                r#""result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","structuredContent":[1]}"#.to_owned()
            }
            (_, false, _) => r#""result":{}"#.to_owned(),
        };
        let id = known.request.clone().unwrap_or_default();
        message(format!(r#"{{"id":{id},{body}}}"#))
    }

    fn about_subscription(&mut self, known: &Exchange) -> Message {
        let id = known.request.clone().unwrap_or_default();
        let meta = format!(r#""_meta":{{"{SUBSCRIPTION_KEY}":{id}}}"#);
        let (method, more) = match self.dice.roll(4) {
            _ if !known.is_listening => {
                let honoured = one_of(
                    &mut self.dice,
                    &["{}", r#"{"toolsListChanged":true,"resourceSubscriptions":["a:1","a:2"]}"#],
                );
                ("subscriptions/acknowledged", format!(r#","notifications":{honoured}"#))
            }
            0 => ("tools/list_changed", String::new()),
            1 => ("cancelled", format!(r#","requestId":{id}"#)),
            _ => ("resources/updated", r#","uri":"a:1""#.to_owned()),
        };
        message(format!(r#"{{"method":"notifications/{method}","params":{{{meta}{more}}}}}"#))
    }

    /// What a server says besides answers.
    fn told(&mut self, known: &Exchange) -> Message {
        let progress = known.token.as_ref().map(|token| {
            format!(r#""method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}"#)
        });
        let text = match (self.dice.roll(6), progress) {
            (0 | 1, Some(progress)) => progress,
            (2 | 3, _) if !known.is_modern => {
                self.last_question += 1;
                let id = format!("\"q{}\"", self.last_question);
                self.questions.insert(id.clone());
                let question = one_of(
                    &mut self.dice,
                    &[
                        r#""method":"roots/list""#,
                        r#""method":"elicitation/create","params":{"message":"m"}"#,
                    ],
                );
                format!(r#""id":{id},{question}"#)
            }
            (4, _) if !known.is_modern => r#""method":"notifications/tools/list_changed""#.to_owned(),
            // A server of this era must not.
            (4, _) => r#""id":"forbidden","method":"roots/list""#.to_owned(),
            _ => r#""method":"notifications/message","params":{"level":"error"}"#.to_owned(),
        };
        message(format!("{{{text}}}"))
    }

    fn outcome(&mut self, is_opened: bool) -> ExchangeOutcome {
        let cause = one_of(&mut self.dice, &[ErrorKind::Connection, ErrorKind::Connect, ErrorKind::Answer]);
        let report = ErrorReport::new(cause, "it failed", "");
        match self.dice.roll(8) {
            0 | 1 => ExchangeOutcome::Complete,
            2 | 3 => ExchangeOutcome::Accepted(202),
            4 => ExchangeOutcome::Cut(report),
            5 if !is_opened => ExchangeOutcome::Lost { written: Written::No, report },
            6 if !is_opened => ExchangeOutcome::Lost { written: Written::Maybe, report },
            // None of these says anything about the era.
            _ if !is_opened => refusal(one_of(&mut self.dice, &[401, 403, 500, 502]), None),
            _ => ExchangeOutcome::Complete,
        }
    }

    fn wait(&mut self, most: u64, seen: &mut Seen) -> Result<(), String> {
        self.now += Duration::from_millis(self.dice.roll(most));
        self.time_passes(seen)
    }

    fn time_passes(&mut self, seen: &mut Seen) -> Result<(), String> {
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
                Action::Remember(known) => self.remembered(known.era, seen)?,
                Action::Notice(_) => {}
                Action::Exit(_) => self.gone = true,
            }
        }
        let nothing_under_way = self.exchanges.values().all(|exchange| exchange.is_listening);
        let unanswered = self.open.keys().filter(|id| !self.listening.contains(id)).count();
        let waits = self.bridge.waiting_cost() > 0 || unanswered > 0;
        let is_idle = nothing_under_way && self.bridge.poll_timeout().is_none() && self.asked.is_empty();
        match is_idle && waits && !self.gone {
            true => Err(format!("stuck: {:?} unanswered", self.open)),
            false => Ok(()),
        }
    }

    /// Of a server that stays what it is nothing is remembered but the truth.
    fn remembered(&self, era: Option<Era>, seen: &mut Seen) -> Result<(), String> {
        seen.bridged += 1;
        match (era, self.server) {
            (Some(Era::Legacy), MODERN) | (Some(Era::Modern), LEGACY) if !self.changes => {
                Err(format!("{era:?} is remembered of a server that is not"))
            }
            _ => Ok(()),
        }
    }

    /// Checks what the server gets to see.
    fn started(&mut self, outgoing: &Outgoing, seen: &mut Seen) -> Result<Exchange, String> {
        let posted = match &outgoing.ask {
            Ask::Post(message) => message,
            Ask::Listen { after } => {
                return Ok(Exchange { is_listening: after.is_none(), ..Exchange::default() });
            }
            Ask::EndSession => return Ok(Exchange::default()),
        };
        let is_modern = outgoing.facts.mirror.is_some();
        let names_revision = text(posted).contains(REVISION_KEY);
        let method = posted.method().unwrap_or_default().to_owned();
        if is_modern && (outgoing.facts.session.is_some() || !names_revision) {
            return Err(format!("no modern message: {}", text(posted)));
        }
        if !is_modern && names_revision {
            return Err(format!("a key of the other era: {}", text(posted)));
        }
        if self.filters && method == "tools/call" && text(posted).contains(r#""name":"bad""#) {
            return Err("a call of a tool that is left out".to_owned());
        }
        seen.looked_up += u64::from(text(posted).contains(r#""mcp-tether/f"#));
        let token = posted.member("_meta").and_then(|meta| json::member(meta, "progressToken"));
        let token = token.map(str::to_owned);
        let exchange = Exchange { method, token, is_modern, ..Exchange::default() };
        match posted.kind() {
            Kind::Request { id, .. } => {
                let is_ours = id.as_json().starts_with("\"mcp-tether/l");
                seen.again += u64::from(is_ours && text(posted).contains("inputResponses"));
                Ok(Exchange { request: Some(id.to_string()), ..exchange })
            }
            Kind::Response { id: Some(id), .. } => {
                let is_its_own = self.questions.contains(id.as_json()) || id.as_json() == "\"nobody\"";
                match is_its_own && !is_modern {
                    true => Ok(exchange),
                    false => Err(format!("the server gets an answer to {id}, which it did not ask")),
                }
            }
            Kind::Response { id: None, .. } => Err("an answer to nothing".to_owned()),
            Kind::Notification { .. } => Ok(exchange),
        }
    }

    /// Checks what the client gets to see.
    fn delivered(&mut self, message: &Message, seen: &mut Seen) -> Result<(), String> {
        match message.kind() {
            Kind::Request { id, method } => self.is_asked(id.as_json(), method.as_str(), seen),
            Kind::Notification { method } => self.is_told(method.as_str(), message),
            Kind::Response { id: None, .. } => Err("an answer to nothing".to_owned()),
            Kind::Response { id: Some(id), error } => {
                let id: u64 =
                    id.as_json().parse().map_err(|_| format!("an answer to {id}, which nobody asked"))?;
                self.listening.remove(&id);
                match (self.open.remove(&id), self.cancelled.contains(&id)) {
                    (Some(_), _) if *error => {
                        seen.errors += 1;
                        Ok(())
                    }
                    (Some((method, is_modern)), _) => {
                        seen.results += 1;
                        seen.subscribed += u64::from(method == "resources/subscribe");
                        if self.filters && text(message).contains(r#""bad""#) {
                            return Err("a tool that is left out is shown".to_owned());
                        }
                        is_result_of(&method, is_modern, message)
                    }
                    (None, true) => Err(format!("an answer to {id}, which was cancelled")),
                    (None, false) => Err(format!("a second answer to {id}")),
                }
            }
        }
    }

    fn is_asked(&mut self, id: &str, method: &str, seen: &mut Seen) -> Result<(), String> {
        if !self.client.legacy || id == "\"forbidden\"" {
            return Err(format!("the client is asked for {method}"));
        }
        if !id.starts_with("\"mcp-tether/") {
            return Ok(());
        }
        seen.asked += 1;
        self.asked.insert(id.to_owned());
        match ["elicitation/create", "roots/list"].contains(&method) && self.were_asked.insert(id.to_owned())
        {
            true => Ok(()),
            false => Err(format!("the client is asked for {method} as {id}")),
        }
    }

    fn is_told(&mut self, method: &str, message: &Message) -> Result<(), String> {
        let subscription = message.member("_meta").and_then(|meta| json::member(meta, SUBSCRIPTION_KEY));
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
        match (method, subscription) {
            ("notifications/subscriptions/acknowledged", id) => {
                let id = number(id).ok_or("an acknowledgement of what nobody asked")?;
                let is_open = self.open.get(&id).is_some_and(|(method, _)| method == "subscriptions/listen");
                match is_open && self.listening.insert(id) {
                    true => Ok(()),
                    false => Err(format!("an acknowledgement of {id}, which waits for none")),
                }
            }
            (_, Some(id)) => match number(Some(id)).is_some_and(|id| self.listening.contains(&id)) {
                true => Ok(()),
                false => Err(format!("news for {id}, which does not listen")),
            },
            ("notifications/cancelled", None) => {
                let id = message.request_id_param().map(|id| id.to_string()).unwrap_or_default();
                // The client may have answered meanwhile.
                match self.asked.remove(&id) || self.were_asked.contains(&id) || self.questions.contains(&id)
                {
                    true => Ok(()),
                    false => Err(format!("{id} is withdrawn, which is not asked")),
                }
            }
            ("notifications/progress", None) => {
                let token = number(message.member("progressToken")).unwrap_or_default();
                match self.cancelled.contains(&token) {
                    true => Err(format!("progress of {token}, which was cancelled")),
                    false => Ok(()),
                }
            }
            (method, None) if method.ends_with("changed") || method.ends_with("updated") => {
                match self.client.legacy {
                    true => Ok(()),
                    false => Err("news for a client that did not ask for them".to_owned()),
                }
            }
            (_, None) => Ok(()),
        }
    }
}

fn is_result_of(method: &str, is_modern: bool, message: &Message) -> Result<(), String> {
    let kind = message.member("resultType").and_then(json::string);
    let revision = message.member("protocolVersion").and_then(json::string);
    match (method, is_modern, kind.as_deref()) {
        // What a client that falls back gets of a server that offers it a session.
        ("server/discover", true, None) if message.member("supportedVersions").is_some() => Ok(()),
        (_, true, None) => Err(format!("a result of {method} without a type")),
        (_, false, Some("input_required")) => Err(format!("{method} wants more of a legacy client")),
        ("initialize", false, _) if revision.as_deref() != Some("2025-11-25") => {
            Err(format!("the revision {revision:?} is chosen"))
        }
        ("tools/call", false, Some(_))
            if message.member("structuredContent").is_some_and(|it| it == "[1]") =>
        {
            Err("an output that no legacy client takes".to_owned())
        }
        _ => Ok(()),
    }
}

fn refusal(status: u16, answer: Option<Message>) -> ExchangeOutcome {
    let report = ErrorReport::new(ErrorKind::Status, "refused", "");
    let processing = diagnosis::processing(status, report.cause, false);
    ExchangeOutcome::Refused(Refusal { status, answer, retry_after: None, processing, report })
}
