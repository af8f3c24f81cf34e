//! The client: callers that share one proxy, each with one call under way, and the log of what they were told.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dice::Dice;
use crate::support::proxy::Proxy;
use crate::support::{INITIALIZE, INITIALIZED};

/// How many calls are under way at once.
const CALLERS: u64 = 32;
/// Nothing takes this long, whatever fails: a message is tried for six seconds, a session renewed for as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the conversation is begun before that is a defect.
const BEGINNINGS: u32 = 50;

/// A kind of protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A tool that does something.
    Add,
    /// A tool that says that it only reads.
    Read,
    Resource,
    Ping,
}

/// What the client was told in the end.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Result,
    Error { cause: String, status: Option<i64>, text: String },
}

/// What the client has asked for and was told.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// By tag.
    pub(crate) calls: HashMap<u64, (Call, Option<Told>)>,
    pub(crate) notifications: BTreeMap<String, u64>,
    /// What no client should have to read.
    pub(crate) offences: Vec<String>,
    /// What the process held after a fifth of the calls and at the end, in KiB, where that can be known.
    pub(crate) resident: Option<(u64, u64)>,
    pub(crate) took: Duration,
}

/// A client with its proxy.
pub(crate) struct Client {
    proxy: Proxy,
    era: Era,
    seed: u64,
    /// What was asked and is not answered: tag and moment, by id.
    open: HashMap<String, (u64, Instant)>,
    log: Log,
}

impl Client {
    /// Starts the proxy for the server at `url`, with further options.
    pub(crate) fn start(url: &str, options: &[&str], era: Era, seed: u64) -> Client {
        let proxy = Proxy::start(&[&[url], options].concat());
        Client { proxy, era, seed, open: HashMap::new(), log: Log::default() }
    }

    /// Has so many calls answered, and ends the proxy.
    pub(crate) fn run(mut self, calls: u64) -> Log {
        let start = now();
        self.begin();
        for tag in 0..calls.min(CALLERS) {
            self.call(tag);
        }
        let (mut next, mut answered, mut early) = (calls.min(CALLERS), 0, None);
        while !self.open.is_empty() {
            let line = self.line();
            if !self.hear(&line) {
                continue;
            }
            answered += 1;
            if answered == calls / 5 {
                early = self.resident();
            }
            if next < calls {
                self.call(next);
                next += 1;
            }
        }
        self.log.resident = early.zip(self.resident());
        self.log.took = now() - start;
        let ended = self.proxy.finish();
        if ended.code != Some(0) {
            self.log.offences.push(format!("the proxy ended with {:?}: {}", ended.code, ended.stderr));
        }
        // Only the server's notifications may still come.
        let is_notification = |line: &String| {
            let message: Option<Value> = serde_json::from_str(line).ok();
            message.is_some_and(|message| message["method"].is_string() && message.get("id").is_none())
        };
        let more = ended.lines.into_iter().filter(|line| !is_notification(line));
        self.log.offences.extend(more.map(|line| format!("after all answers: {line}")));
        self.log
    }

    /// Shakes hands and asks for the tools, as often as it takes.
    fn begin(&mut self) {
        match self.era {
            Era::Legacy => {
                let line = |id: &str| INITIALIZE.replace("\"id\":1", &format!("\"id\":{id}"));
                self.insist("initialize", line);
                self.proxy.send(INITIALIZED);
                self.insist("tools", |id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#));
            }
            Era::Modern => {
                for method in ["server/discover", "tools/list"] {
                    self.insist(method, |id| request(Era::Modern, id, method, "", ""));
                }
            }
        }
    }

    fn insist(&mut self, what: &str, line: impl Fn(&str) -> String) {
        for number in 0..BEGINNINGS {
            let id = format!("\"{what} {number}\"");
            self.proxy.send(&line(&id));
            let answer = loop {
                let answer = self.line();
                if id_of(&answer).as_deref() == Some(&id) {
                    break answer;
                }
            };
            if answer.contains("\"result\"") {
                return;
            }
        }
        panic!("seed {}: {what} never went well", self.seed);
    }

    fn call(&mut self, tag: u64) {
        let (call, method, params) = match Dice::of(&[self.seed, 3, tag]).roll(8) {
            0..=3 => (Call::Add, "tools/call", format!(r#""name":"add","arguments":{{"tag":{tag}}}"#)),
            4 | 5 => (Call::Read, "tools/call", format!(r#""name":"read","arguments":{{"tag":{tag}}}"#)),
            6 => (Call::Resource, "resources/read", r#""uri":"test://it""#.to_owned()),
            _ if self.era == Era::Modern => {
                (Call::Resource, "resources/read", r#""uri":"test://it""#.to_owned())
            }
            _ => (Call::Ping, "ping", String::new()),
        };
        let meta = match call {
            Call::Add | Call::Read => String::new(),
            Call::Resource | Call::Ping => format!("\"tag\":{tag}"),
        };
        // Of both kinds, and never the tag itself.
        let id = match tag % 2 {
            0 => (1_000_000 + tag).to_string(),
            _ => format!("\"call {tag}\""),
        };
        self.log.calls.insert(tag, (call, None));
        let line = request(self.era, &id, method, &params, &meta);
        self.open.insert(id, (tag, now()));
        self.proxy.send(&line);
    }

    /// Reads a line; tells whether it answers a call.
    fn hear(&mut self, line: &str) -> bool {
        let message: Value = match serde_json::from_str(line) {
            Ok(message @ Value::Object(_)) => message,
            Ok(_) | Err(_) => {
                self.log.offences.push(format!("no message: {line}"));
                return false;
            }
        };
        if let Some(method) = message["method"].as_str() {
            if message.get("id").is_some() {
                self.log.offences.push(format!("nobody asked this: {line}"));
            }
            *self.log.notifications.entry(method.to_owned()).or_default() += 1;
            return false;
        }
        let Some((tag, _)) = self.open.remove(&message["id"].to_string()) else {
            self.log.offences.push(format!("answered twice, or never asked: {line}"));
            return false;
        };
        let error = &message["error"];
        let told = match message.get("result") {
            Some(result) => {
                if result["structuredContent"]["sum"] != tag || error.is_object() {
                    self.log.offences.push(format!("call {tag} got another's answer: {line}"));
                }
                Told::Result
            }
            None => Told::Error {
                cause: error["data"]["cause"].as_str().unwrap_or("the server's own").to_owned(),
                status: error["data"]["status"].as_i64(),
                text: error["message"].as_str().unwrap_or_default().to_owned(),
            },
        };
        self.log.calls.get_mut(&tag).expect("it was asked").1 = Some(told);
        true
    }

    /// The next line. Where none comes, or one call is never answered, something hangs.
    fn line(&mut self) -> String {
        let oldest = self.open.values().map(|(_, since)| *since).min();
        let line = self.proxy.line_within(PATIENCE);
        match line {
            Some(line) if oldest.is_none_or(|since| now() - since < PATIENCE) => line,
            _ => {
                let open: Vec<&u64> = self.open.values().map(|(tag, _)| tag).collect();
                let calls: Vec<_> = open.iter().map(|tag| (tag, &self.log.calls[tag].0)).collect();
                panic!("seed {}: it hangs; unanswered: {calls:?}", self.seed);
            }
        }
    }

    /// What the process holds, in KiB.
    fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.proxy.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

fn request(era: Era, id: &str, method: &str, params: &str, meta: &str) -> String {
    let own = match era {
        Era::Legacy => "",
        Era::Modern => {
            r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#
        }
    };
    let join =
        |a: &str, b: &str| [a, b].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
    let params = join(params, &format!("\"_meta\":{{{}}}", join(own, meta)));
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#)
}

/// The id of a response, as JSON text.
fn id_of(line: &str) -> Option<String> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_response = message.get("method").is_none();
    is_response.then(|| message.get("id").map(Value::to_string))?
}

#[expect(clippy::disallowed_methods, reason = "the client waits in real time")]
fn now() -> Instant {
    Instant::now()
}
