//! `mcp-tether check URL`: one look at the whole way to the server, step by step, up to the first thing that is wrong.
//!
//! The steps are those of a first call: credentials, name, connection, TLS, Access, handshake, lists; and the session is
//! ended behind it. What fails is explained in the words that the proxy has for it. Deliberately not here: how findings
//! look (`finding`), and what the HTTP answers mean (`diagnosis`).

mod finding;
mod probes;

use std::io::Write;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub use finding::{Findings, Style};

use crate::auth::keeper::Keeper;
use crate::bridge::{
    Ask, Ending, Event, ExchangeId, Facts, Failure, LEGACY_REVISION, MODERN_REVISION, Mirror, Outgoing,
    SessionHeader, SessionId, Why,
};
use crate::config::Config;
use crate::http::Http;
use crate::json;
use crate::jsonrpc::{Kind, Message};
use crate::remote::streamable::Streamable;
use crate::remote::{Events, Remote};
use crate::report::Report;

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many pages of a list are counted.
const PAGES: usize = 50;
/// How often the way there and back is measured.
const ROUNDS: usize = 3;

/// Looks at everything on the way to the server. Tells whether all is well.
pub async fn run(config: Config, proxy_named: Option<url::Url>, findings: &mut Findings<impl Write>) -> bool {
    match steps(config, proxy_named, findings).await {
        Ok(()) => true,
        Err((step, why)) => {
            findings.failed(step, &why);
            false
        }
    }
}

/// What went wrong in which step.
type Failed = (&'static str, Why);

async fn steps(
    config: Config,
    proxy_named: Option<url::Url>,
    findings: &mut Findings<impl Write>,
) -> Result<(), Failed> {
    for warning in &config.warnings {
        findings.warned("configuration", warning);
    }
    match config.found.described.as_slice() {
        [] => findings.noted("credentials", "none: nothing in the environment, and no --header"),
        described => described.iter().for_each(|line| findings.well("credentials", line)),
    }
    if let Some(oddity) = config.found.credentials.service_token().and_then(|token| token.oddity()) {
        findings.warned("credentials", &format!("the secret of this token {oddity}"));
    }
    let url = config.url.clone();
    let timeout = config.connection.connect_timeout;
    match crate::http::proxy_of(&url, proxy_named.as_ref()) {
        Some(proxy) => {
            findings.well("proxy", &format!("through {proxy}, which resolves the name and connects"))
        }
        None => {
            let addresses = probes::resolve(&url, findings).await.map_err(|why| ("name", why))?;
            probes::connect(&url, &addresses, timeout, findings).await.map_err(|why| ("connection", why))?;
        }
    }
    let http = Http::new(&url, config.connection).map_err(|error| ("setup", Report::setup(error).why()))?;
    probes::edge(&url, &http, findings).await.map_err(|why| ("tls", why))?;
    let server = Server::new(Streamable::new(url, http, Keeper::new(config.found, None)));
    server.look(findings).await
}

/// The server, spoken to one exchange at a time.
struct Server {
    remote: Streamable,
}

/// What an exchange brought.
struct Brought {
    session: Option<SessionId>,
    answer: Option<Message>,
    took: Duration,
}

impl Server {
    fn new(remote: Streamable) -> Server {
        Server { remote }
    }

    async fn look(&self, findings: &mut Findings<impl Write>) -> Result<(), Failed> {
        findings.begin("handshake");
        let info = concat!(r#"{"name":"mcp-tether check","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
        let params =
            format!(r#"{{"protocolVersion":"{LEGACY_REVISION}","capabilities":{{}},"clientInfo":{info}}}"#);
        let initialize = request("initialize", &params);
        let failed = |why| ("handshake", why);
        let opened = match self.exchange(Ask::Post(initialize), Facts::default()).await {
            Ok(opened) => opened,
            // A server of the later era may know nothing of `initialize`.
            Err(why) => match self.discover(findings).await {
                Some(facts) => return self.count(&facts, None, findings).await,
                None => return Err(failed(why)),
            },
        };
        let answer = opened.answer.ok_or_else(|| failed(no_answer()))?;
        if let Some(error) = error_of(&answer) {
            return match self.discover(findings).await {
                Some(facts) => self.count(&facts, None, findings).await,
                None => Err(failed(error)),
            };
        }
        let revision = answer.member("protocolVersion").and_then(json::string);
        let facts = Facts { session: opened.session, revision: revision.clone(), mirror: None };
        let session = if facts.session.is_some() { "with a session" } else { "without sessions" };
        findings.well(
            "handshake",
            &format!(
                "{}, revision {}, {session} ({})",
                name_of(answer.member("serverInfo")),
                revision.as_deref().unwrap_or("not told"),
                shown(opened.took)
            ),
        );
        let initialized = notification("notifications/initialized");
        let told = self.exchange(Ask::Post(initialized), facts.clone()).await;
        let counted = match told {
            Ok(_) => self.count(&facts, answer.member("capabilities"), findings).await,
            Err(why) => Err(("handshake", why)),
        };
        // Also behind what failed: a check leaves nothing behind.
        if facts.session.is_some() {
            let ended = self.exchange(Ask::EndSession, facts).await;
            match ended {
                Ok(_) => findings.well("session", "ended"),
                Err(why) if why.status == Some(405) => {
                    findings.noted("session", "the server ends sessions by itself")
                }
                Err(why) => findings.warned("session", &format!("not ended: {why}")),
            }
        }
        counted
    }

    /// The opening of the later era; none where the server does not speak it.
    async fn discover(&self, findings: &mut Findings<impl Write>) -> Option<Facts> {
        let discovery = modern("server/discover", None);
        let facts = modern_facts("server/discover");
        let found = self.exchange(Ask::Post(discovery), facts.clone()).await.ok()?;
        let answer = found.answer?;
        if error_of(&answer).is_some() {
            return None;
        }
        let meta = answer.member("_meta");
        let info = meta.and_then(|meta| json::member(meta, "io.modelcontextprotocol/serverInfo"));
        let name = name_of(info.or_else(|| answer.member("serverInfo")));
        let text = format!("{name}, revision {MODERN_REVISION}, without sessions ({})", shown(found.took));
        findings.well("handshake", &text);
        Some(facts)
    }

    /// Counts what the server offers, and measures the way there and back.
    async fn count(
        &self,
        facts: &Facts,
        capabilities: Option<&str>,
        findings: &mut Findings<impl Write>,
    ) -> Result<(), Failed> {
        for (step, method) in
            [("tools", "tools/list"), ("prompts", "prompts/list"), ("resources", "resources/list")]
        {
            let offers = capabilities.is_none_or(|capabilities| json::member(capabilities, step).is_some());
            if !offers {
                findings.noted(step, "not offered");
                continue;
            }
            findings.begin(step);
            match self.length(step, method, facts).await {
                Ok(length) => findings.well(step, &length),
                // Without being told what there is, a refusal may only mean that there is none.
                Err(_) if capabilities.is_none() => findings.noted(step, "not offered"),
                Err(why) => return Err((step, why)),
            }
        }
        if facts.mirror.is_none() {
            findings.begin("round trip");
            let mut best: Option<Duration> = None;
            for _ in 0..ROUNDS {
                let ping = self.exchange(Ask::Post(request("ping", "{}")), facts.clone()).await;
                let took = ping.map_err(|why| ("round trip", why))?.took;
                best = Some(best.map_or(took, |best| best.min(took)));
            }
            findings.well("round trip", &format!("{} at best", shown(best.unwrap_or_default())));
        }
        Ok(())
    }

    /// How many entries a list has.
    async fn length(&self, what: &'static str, method: &str, facts: &Facts) -> Result<String, Why> {
        let (mut count, mut cursor) = (0, None);
        for _ in 0..PAGES {
            let (message, facts) = match &facts.mirror {
                Some(_) => (modern(method, cursor.as_deref()), modern_facts(method)),
                None => {
                    let params = cursor.map(|cursor: String| format!(r#"{{"cursor":{cursor}}}"#));
                    (request(method, params.as_deref().unwrap_or("{}")), facts.clone())
                }
            };
            let page = self.exchange(Ask::Post(message), facts).await?.answer.ok_or_else(no_answer)?;
            if let Some(why) = error_of(&page) {
                return Err(why);
            }
            count += page.member(what).map(json::elements).unwrap_or_default().len();
            cursor = page.member("nextCursor").filter(|cursor| cursor.starts_with('"')).map(str::to_owned);
            if cursor.is_none() {
                return Ok(count.to_string());
            }
        }
        Ok(format!("more than {count}"))
    }

    /// One exchange to its end.
    async fn exchange(&self, ask: Ask, facts: Facts) -> Result<Brought, Why> {
        let (sender, mut events) = Events::channel(16);
        let begun = clock();
        let mut exchange = JoinSet::new();
        exchange.spawn(self.remote.start(ExchangeId(1), Outgoing { ask, facts }, sender));
        let mut brought = Brought { session: None, answer: None, took: Duration::ZERO };
        let listen = async {
            while let Some(event) = events.recv().await {
                match event {
                    Event::Opened(_, opening) => {
                        if let SessionHeader::Id(id) = opening.session {
                            brought.session = Some(id);
                        }
                    }
                    Event::Server(_, message) if matches!(message.kind(), Kind::Response { .. }) => {
                        brought.answer = Some(message);
                        brought.took = clock().saturating_duration_since(begun);
                        // A stream may stay open behind it.
                        return Ok(brought);
                    }
                    Event::Ended(_, Ending::Complete | Ending::Accepted(_)) => {
                        brought.took = clock().saturating_duration_since(begun);
                        return Ok(brought);
                    }
                    Event::Ended(_, Ending::Refused(refusal)) => match refusal.answer {
                        Some(answer) => {
                            brought.answer = Some(answer);
                            return Ok(brought);
                        }
                        None => return Err(refusal.why),
                    },
                    Event::Ended(_, Ending::Cut(why) | Ending::Lost { why, .. }) => return Err(why),
                    _ => {}
                }
            }
            Err(no_answer())
        };
        match tokio::time::timeout(PATIENCE, listen).await {
            Ok(brought) => brought,
            Err(_) => {
                let sentence = format!("the server did not answer within {} seconds", PATIENCE.as_secs());
                Err(Why::new(Failure::NoAnswer, sentence, "look into the server's log"))
            }
        }
    }
}

fn request(method: &str, params: &str) -> Message {
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    Message::parse(text.into()).expect("made from JSON texts")
}

fn notification(method: &str) -> Message {
    Message::parse(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#).into()).expect("made here")
}

fn modern(method: &str, cursor: Option<&str>) -> Message {
    let cursor = cursor.map(|cursor| format!(r#","cursor":{cursor}"#)).unwrap_or_default();
    let meta = format!(
        r#"{{"io.modelcontextprotocol/protocolVersion":"{MODERN_REVISION}","io.modelcontextprotocol/clientCapabilities":{{}}}}"#
    );
    request(method, &format!(r#"{{"_meta":{meta}{cursor}}}"#))
}

fn modern_facts(method: &str) -> Facts {
    let mirror = Mirror { method: method.to_owned(), name: None, parameters: Vec::new() };
    Facts { session: None, revision: Some(MODERN_REVISION.to_owned()), mirror: Some(mirror) }
}

/// The server's own error.
fn error_of(answer: &Message) -> Option<Why> {
    let Kind::Response { error: true, .. } = answer.kind() else { return None };
    let said = answer.member("message").and_then(json::string).unwrap_or_default();
    let code = answer.member("code").unwrap_or("no code");
    let advice = "this is the server's own error: look into its log";
    Some(Why::new(Failure::Answer, format!("the server answered with an error: {said} ({code})"), advice))
}

fn no_answer() -> Why {
    Why::new(Failure::NoAnswer, "the server ended its answer without answering", "look into the server's log")
}

fn name_of(info: Option<&str>) -> String {
    let member = |name| info.and_then(|info| json::member(info, name)).and_then(json::string);
    let name = member("name").unwrap_or_else(|| "a server without a name".to_owned());
    match member("version") {
        Some(version) => format!("{name} {version}"),
        None => name,
    }
}

/// A time as people say it.
fn shown(time: Duration) -> String {
    match time.as_millis() {
        0..10 => format!("{:.1} ms", time.as_secs_f64() * 1_000.0),
        milliseconds => format!("{milliseconds} ms"),
    }
}

#[expect(clippy::disallowed_methods, reason = "times are what a check measures")]
fn clock() -> Instant {
    Instant::now()
}
