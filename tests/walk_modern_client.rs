//! Random walks between a modern client and a legacy server: whatever the server says in whatever order, every request of
//! the client gets exactly one answer under its own id, every result says of what type it is, the client is asked nothing
//! but by results that may ask, nothing comes by a subscription before its acknowledgement or after its end, the server sees
//! no key of the other era and no id twice, and nothing is ever stuck.
//!
//! `WALK=1000000 cargo test --release --test walk_modern_client` walks longer. A failing walk prints its seed and its
//! transcript; `WALK_SEED=n` walks that one alone.

#[path = "support/dice.rs"]
mod dice;
#[path = "support/walk.rs"]
mod walking;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dice::Dice;
use mcp_tether::bridge::{
    Action, Ask, Bridge, Config, Cursor, ErrorKind, ErrorReport, Event, ExchangeId, ExchangeOutcome, Opening,
    Outgoing, Pattern, Refusal, SessionHeader, SessionId, StopReason, ToolRules, Written,
};
use mcp_tether::diagnosis;
use mcp_tether::json;
use mcp_tether::jsonrpc::{Kind, Line, Message};
use walking::{message, text};

const STEPS: u64 = 150;
const METHODS: [&str; 9] = [
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/get",
    "resources/read",
    "completion/complete",
    "x/unknown",
    "subscriptions/listen",
    "ping",
];
const INITIALIZED: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"logging":{}},"serverInfo":{"name":"s","version":"1"}}"#;
const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";

#[test]
fn modern_client_guarantees_hold_with_any_server() {
    let seeds = walking::seeds(400);
    let alone = seeds.end - seeds.start == 1;
    let mut seen = Seen::default();
    walking::each(seeds, |seed| {
        let mut walk = Walk::new(seed);
        walk.run(&mut seen).map_err(|broken| (broken, walk.transcript))
    });
    // A walk that never gets anywhere proves nothing.
    let enough =
        [seen.results, seen.errors, seen.cancelled, seen.asked, seen.retried, seen.acknowledged, seen.told];
    assert!(alone || enough.iter().all(|count| *count > 100), "{seen:?}");
}

/// How much the walks have seen, all together.
#[derive(Debug, Default)]
struct Seen {
    results: u64,
    errors: u64,
    cancelled: u64,
    asked: u64,
    retried: u64,
    acknowledged: u64,
    told: u64,
}

/// What the server's side knows of an exchange.
#[derive(Clone, Default)]
struct Exchange {
    request: Option<String>,
    method: Option<String>,
    is_modern: bool,
    is_listening: bool,
    is_answered: bool,
    is_opened: bool,
}

/// What the client was asked.
#[derive(Clone)]
struct Asked {
    method: String,
    state: String,
    keys: Vec<String>,
}

struct Walk {
    bridge: Bridge,
    dice: Dice,
    now: Instant,
    transcript: Vec<String>,
    exchanges: BTreeMap<ExchangeId, Exchange>,
    /// The methods of the requests that have no answer.
    open: BTreeMap<u64, String>,
    cancelled: BTreeSet<u64>,
    last_id: u64,
    asked: Vec<Asked>,
    /// Subscriptions that were acknowledged and have not ended.
    listening: BTreeSet<u64>,
    /// The texts that went to the server under each id.
    sent: BTreeMap<String, String>,
    questions: u64,
    answered_questions: BTreeSet<String>,
    sessions: u64,
    gone: bool,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
        let now = Instant::now();
        Walk {
            // To pass the filter changes nothing else.
            bridge: Bridge::new(Config {
                seed,
                secret: u128::from(seed),
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
            open: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            last_id: 0,
            asked: Vec::new(),
            listening: BTreeSet::new(),
            sent: BTreeMap::new(),
            questions: 0,
            answered_questions: BTreeSet::new(),
            sessions: 0,
            gone: false,
        }
    }

    fn run(&mut self, seen: &mut Seen) -> Result<(), String> {
        for _ in 0..STEPS {
            match self.dice.roll(10) {
                0..=2 => self.client(seen)?,
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
        let capabilities = [
            r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#,
            "{}",
            r#"{"elicitation":{}}"#,
        ][self.dice.roll(4).saturating_sub(1) as usize];
        let level = ["", "", r#","io.modelcontextprotocol/logLevel":"info""#][self.dice.roll(3) as usize];
        let meta = format!(
            r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{capabilities}{level},"progressToken":1}}"#
        );
        let open: Vec<u64> = self.open.keys().copied().collect();
        let text = match self.dice.roll(12) {
            0 | 1 if !open.is_empty() => {
                let id = self.dice.pick(&open).unwrap_or_default();
                self.open.remove(&id);
                self.listening.remove(&id);
                self.cancelled.insert(id);
                seen.cancelled += 1;
                format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
            }
            2 => format!(r#"{{"method":"notifications/x","params":{{{meta}}}}}"#),
            3..=5 if !self.asked.is_empty() => {
                let at = self.dice.roll(self.asked.len() as u64) as usize;
                let asked = match self.dice.roll(5) {
                    0 => self.asked[at].clone(),
                    _ => self.asked.remove(at),
                };
                let mut replies = Vec::new();
                for key in &asked.keys {
                    let reply = [r#"{"action":"accept"}"#, r#"{"action":"decline"}"#, "null"]
                        [self.dice.roll(5).saturating_sub(2) as usize];
                    replies.push(format!(r#""{key}":{reply}"#));
                }
                seen.retried += 1;
                let Asked { method, state, .. } = asked;
                let replies = replies.join(",");
                let params = format!(
                    r#""name":"t","uri":"t","inputResponses":{{{replies}}},"requestState":"{state}",{meta}"#
                );
                self.request(&method, &params)
            }
            _ => {
                let method = METHODS[self.dice.roll(METHODS.len() as u64) as usize];
                let filter =
                    r#""notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:1","a:2"]}"#;
                self.request(method, &format!(r#""name":"t","uri":"t",{filter},{meta}"#))
            }
        };
        self.happen(Event::Client(Line::parse(text.into())), seen)
    }

    fn request(&mut self, method: &str, params: &str) -> String {
        // An id may come again once it is free.
        let free = |id: &u64| !self.open.contains_key(id) && !self.cancelled.contains(id);
        let again = self.dice.roll(self.last_id + 1);
        let id = match again > 0 && free(&again) && self.dice.roll(4) == 0 {
            true => again,
            false => {
                self.last_id += 1;
                self.last_id
            }
        };
        self.open.insert(id, method.to_owned());
        format!(r#"{{"id":{id},"method":"{method}","params":{{{params}}}}}"#)
    }

    fn server(&mut self, seen: &mut Seen) -> Result<(), String> {
        let exchanges: Vec<ExchangeId> = self.exchanges.keys().copied().collect();
        let Some(exchange) = self.dice.pick(&exchanges) else { return Ok(()) };
        let known = self.exchanges[&exchange].clone();
        let says = |text: String| Event::Server(exchange, message(text));
        let event = match self.dice.roll(16) {
            0 => Event::Sent(exchange),
            1 => {
                self.sessions += 1;
                let id = SessionId::new(&format!("{}-session", self.sessions)).expect("visible");
                let session =
                    if self.dice.roll(2) == 0 { SessionHeader::Id(id) } else { SessionHeader::Absent };
                Event::Opened(exchange, Opening { status: 200, session, multiplexed: false })
            }
            2..=13 if known.method.as_deref() == Some("initialize") && !known.is_answered => {
                self.exchanges.get_mut(&exchange).expect("picked above").is_answered = true;
                says(format!(r#"{{"id":{},{}}}"#, known.request.unwrap_or_default(), self.body(known.method)))
            }
            // The server of these walks is legacy, and says so to whoever comes otherwise.
            2..=12 if known.is_modern && !known.is_opened && !known.is_answered => {
                self.exchanges.remove(&exchange);
                Event::Ended(exchange, refusal([400, 404, 422][self.dice.roll(3) as usize]))
            }
            2..=4 if known.request.is_some() && !known.is_modern => {
                self.exchanges.get_mut(&exchange).expect("picked above").is_answered = true;
                says(format!(r#"{{"id":{},{}}}"#, known.request.unwrap_or_default(), self.body(known.method)))
            }
            5 | 6 if !known.is_modern => {
                let question = [
                    r#""method":"elicitation/create","params":{"message":"m"}"#,
                    r#""method":"elicitation/create","params":{"mode":"url","url":"u","elicitationId":"e"}"#,
                    r#""method":"roots/list""#,
                    r#""method":"sampling/createMessage","params":{}"#,
                    r#""method":"ping""#,
                    r#""method":"x/own""#,
                ][self.dice.roll(6) as usize];
                self.questions += 1;
                says(format!(r#"{{"id":"q{}",{question}}}"#, self.questions))
            }
            7..=9 if !known.is_modern => {
                let told = [
                    r#""method":"notifications/message","params":{"level":"error"}"#.to_owned(),
                    r#""method":"notifications/progress","params":{"progressToken":1,"progress":1}"#
                        .to_owned(),
                    r#""method":"notifications/tools/list_changed""#.to_owned(),
                    r#""method":"notifications/resources/updated","params":{"uri":"a:1"}"#.to_owned(),
                    r#""method":"notifications/x""#.to_owned(),
                    format!(
                        r#""method":"notifications/cancelled","params":{{"requestId":"q{}"}}"#,
                        self.dice.roll(self.questions + 1)
                    ),
                ];
                says(format!("{{{}}}", told[self.dice.roll(6) as usize]))
            }
            10 => {
                let last = (self.dice.roll(3) > 0).then(|| format!("e{}", self.dice.roll(100)));
                Event::Cursor(exchange, Cursor { last, retry: None })
            }
            _ => {
                self.exchanges.remove(&exchange);
                let outcome = match self.outcome() {
                    // After the head of a 2xx there is no refusal.
                    ExchangeOutcome::Refused(_) if known.is_opened => ExchangeOutcome::Complete,
                    outcome => outcome,
                };
                Event::Ended(exchange, outcome)
            }
        };
        if let Event::Server(exchange, _) | Event::Cursor(exchange, _) | Event::Opened(exchange, _) = &event
            && let Some(known) = self.exchanges.get_mut(exchange)
        {
            known.is_opened = true;
        }
        self.happen(event, seen)
    }

    fn body(&mut self, method: Option<String>) -> String {
        let is_handshake = method.as_deref() == Some("initialize");
        let bodies = [
            r#""result":{}"#,
            r#""result":{ "tools":[{"name":"t","execution":{"taskSupport":"optional"}}],"contents":[]}"#,
            r#""result":null"#,
            r#""result":{"resultType":5,"ttlMs":-1,"cacheScope":"x"}"#,
            r#""error":{"code":-32002,"message":"m"}"#,
            r#""error":{"code":-32042,"message":"m","data":{"elicitations":[{"url":"u"}]}}"#,
            r#""error":{"code":-32603,"message":"m"}"#,
        ];
        match self.dice.roll(8) {
            0..=6 if is_handshake => format!(r#""result":{INITIALIZED}"#),
            7 => r#""result":[]"#.to_owned(),
            at => bodies[at as usize].to_owned(),
        }
    }

    fn outcome(&mut self) -> ExchangeOutcome {
        let cause =
            [ErrorKind::Connection, ErrorKind::Connect, ErrorKind::Answer][self.dice.roll(3) as usize];
        let report = ErrorReport::new(cause, "it failed", "");
        match self.dice.roll(8) {
            0 | 1 => ExchangeOutcome::Complete,
            2 | 3 => ExchangeOutcome::Accepted(202),
            4 => ExchangeOutcome::Cut(report),
            5 => ExchangeOutcome::Lost { written: Written::No, report },
            6 => ExchangeOutcome::Lost { written: Written::Maybe, report },
            _ => refusal([400, 404, 405, 500, 401][self.dice.roll(5) as usize]),
        }
    }

    fn wait(&mut self, seen: &mut Seen) -> Result<(), String> {
        let most = [20, 3_000, 3_000, 1_000_000][self.dice.roll(4) as usize];
        self.now += Duration::from_millis(self.dice.roll(most));
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
                    let started = self.started(&outgoing)?;
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
        let nothing_under_way = self.exchanges.values().all(|exchange| exchange.is_listening);
        let unanswered = self.open.keys().filter(|id| !self.listening.contains(id)).count();
        let waits = self.bridge.waiting_cost() > 0 || unanswered > 0;
        if nothing_under_way && waits && self.bridge.poll_timeout().is_none() && !self.gone {
            return Err(format!("stuck: {:?} unanswered", self.open));
        }
        Ok(())
    }

    /// Checks what the server gets to see.
    fn started(&mut self, outgoing: &Outgoing) -> Result<Exchange, String> {
        let posted = match &outgoing.ask {
            Ask::Post(message) => message,
            Ask::Listen { after } => {
                return Ok(Exchange { is_listening: after.is_none(), ..Exchange::default() });
            }
            Ask::EndSession => return Ok(Exchange::default()),
        };
        let is_modern = outgoing.facts.mirror.is_some();
        if !is_modern && text(posted).contains("io.modelcontextprotocol/") {
            return Err(format!("a key of the other era goes to the server: {}", text(posted)));
        }
        let method = posted.method().map(str::to_owned);
        match posted.kind() {
            Kind::Request { id, .. } => {
                let id = id.to_string();
                let before = self.sent.insert(id.clone(), text(posted).to_owned());
                // What starts over begins to count anew.
                let is_start = method.as_deref() == Some("initialize");
                if is_start && id == "\"mcp-tether/m1\"" {
                    self.sent.retain(|id, _| !id.starts_with("\"mcp-tether/m"));
                } else if before.is_some_and(|before| before != text(posted)) && !is_modern {
                    return Err(format!("two requests go to the server under the id {id}"));
                }
                Ok(Exchange { request: Some(id), method, is_modern, ..Exchange::default() })
            }
            Kind::Response { id: Some(id), .. } => {
                let is_first = self.answered_questions.insert(id.to_string());
                let times =
                    |posted: &str| self.transcript.iter().filter(|line| line.contains(posted)).count();
                // One whose exchange never began is sent again.
                match is_first || times("not sent") > 0 || times("refused") > 0 {
                    true => Ok(Exchange { method, is_modern, ..Exchange::default() }),
                    false => Err(format!("a second answer to the question {id}")),
                }
            }
            Kind::Response { id: None, .. } => Err("an answer to nothing".to_owned()),
            Kind::Notification { .. } => Ok(Exchange { method, is_modern, ..Exchange::default() }),
        }
    }

    /// Checks what the client gets to see.
    fn delivered(&mut self, message: &Message, seen: &mut Seen) -> Result<(), String> {
        match message.kind() {
            Kind::Request { .. } => Err("the client is asked".to_owned()),
            Kind::Notification { method } => self.told(method.as_str(), message, seen),
            Kind::Response { id: None, .. } => Err("an answer to nothing".to_owned()),
            Kind::Response { id: Some(id), error } => {
                let id: u64 =
                    id.as_json().parse().map_err(|_| format!("an answer to {id}, which nobody asked"))?;
                self.listening.remove(&id);
                match (self.open.remove(&id), self.cancelled.contains(&id)) {
                    (Some(method), _) if *error => {
                        seen.errors += 1;
                        let code = message.member("code").unwrap_or_default();
                        match (code, method.as_str()) {
                            ("-32042" | "-32002", _) => Err(format!("{method} fails with {code}")),
                            (_, _) => Ok(()),
                        }
                    }
                    (Some(method), _) => self.result(method, message, seen),
                    (None, true) => Err(format!("an answer to {id}, which was cancelled")),
                    (None, false) => Err(format!("a second answer to {id}")),
                }
            }
        }
    }

    fn result(&mut self, method: String, message: &Message, seen: &mut Seen) -> Result<(), String> {
        seen.results += 1;
        match message.member("resultType") {
            Some(r#""complete""#) => {
                let is_kept =
                    method.ends_with("/list") || ["resources/read", "server/discover"].contains(&&*method);
                let ttl = message.member("ttlMs").and_then(|ttl| ttl.parse::<u64>().ok());
                match is_kept && (ttl.is_none() || message.member("cacheScope").is_none()) {
                    true => Err(format!("a result of {method} does not say how long it may be kept")),
                    false => Ok(()),
                }
            }
            Some(r#""input_required""#)
                if ["tools/call", "prompts/get", "resources/read"].contains(&&*method) =>
            {
                let requests = message.member("inputRequests").map(json::members).unwrap_or_default();
                let state = message.member("requestState").and_then(json::string).ok_or("no state")?;
                let keys: Vec<String> = requests.into_iter().map(|(key, _)| key).collect();
                if keys.is_empty() || text(message).contains("elicitationId") {
                    return Err("a question that is none".to_owned());
                }
                seen.asked += 1;
                self.asked.push(Asked { method, state, keys });
                Ok(())
            }
            other => Err(format!("a result of {method} of the type {other:?}")),
        }
    }

    fn told(&mut self, method: &str, message: &Message, seen: &mut Seen) -> Result<(), String> {
        seen.told += 1;
        let subscription = message.member("_meta").and_then(|meta| json::member(meta, SUBSCRIPTION_KEY));
        let subscription = subscription.and_then(|id| id.parse::<u64>().ok());
        match (method, subscription) {
            ("notifications/subscriptions/acknowledged", Some(id)) => {
                seen.acknowledged += 1;
                let is_open = self.open.get(&id).is_some_and(|method| method == "subscriptions/listen");
                match is_open && self.listening.insert(id) {
                    true => Ok(()),
                    false => Err(format!("an acknowledgement of {id}, which waits for none")),
                }
            }
            ("notifications/tools/list_changed" | "notifications/resources/updated", Some(id)) => {
                match self.listening.contains(&id) {
                    true => Ok(()),
                    false => Err(format!("news for {id}, which does not listen")),
                }
            }
            ("notifications/message" | "notifications/progress" | "notifications/x", None) => Ok(()),
            _ => Err(format!("the client is told {}", text(message))),
        }
    }
}

fn refusal(status: u16) -> ExchangeOutcome {
    let report = ErrorReport::new(ErrorKind::Status, "refused", "");
    let answer =
        (status == 400).then(|| message(r#"{"id":null,"error":{"code":-32000,"message":"no"}}"#.to_owned()));
    let processing = diagnosis::processing(status, report.cause, false);
    ExchangeOutcome::Refused(Refusal { status, answer, retry_after: None, processing, report })
}
