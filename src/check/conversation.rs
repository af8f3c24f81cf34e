//! The conversation of a check: one exchange at a time, and every session that a server opens is known from the head of
//! its answer on, so that it can be ended whatever happens.
//!
//! Deliberately not here: the steps before it (`probes`), and the order of a real conversation (the bridge).

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use url::Url;

use super::findings::Findings;
use super::messages::{Requests, client_info, error_of, modern_facts, name_of, no_answer};
use super::probes::Edge;
use super::{StepFailure, clock, format_duration, token_rule};
use crate::auth::Credentials;
use crate::auth::access_proof::AccessProof;
use crate::auth::cf_access::ServiceToken;
use crate::auth::credential_provider::{CredentialProvider, FoundCredentials};
use crate::bridge::{
    Ask, ErrorKind, ErrorReport, Event, ExchangeId, ExchangeOutcome, Facts, Outgoing, SessionHeader,
    SessionId,
};
use crate::diagnosis;
use crate::http::Http;
use crate::json;
use crate::jsonrpc::{Kind, Message};
use crate::mcp::{LEGACY_REVISION, MODERN_REVISION, message, meta, method};
use crate::oauth::{self, OAuth, RequestCredentials};
use crate::remote::streamable::Streamable;
use crate::remote::{EventSender, Remote};

/// The longest wait in a step.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest wait in an optional step.
const OPTIONAL_STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for the end of a session.
const SESSION_END_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest time of an exchange after its answer, so that its connection can be reused.
const LINGER: Duration = Duration::from_millis(100);
/// The number of pages of a list that are counted.
const PAGES: usize = 50;
/// The number of round trips that are measured.
const ROUNDS: u32 = 3;

/// The capabilities of a server, with the parts that clients use.
const CAPABILITIES: [(&str, &[&str]); 8] = [
    ("tools", &["listChanged"]),
    ("prompts", &["listChanged"]),
    ("resources", &["listChanged", "subscribe"]),
    ("logging", &[]),
    ("completions", &[]),
    ("tasks", &[]),
    ("extensions", &[]),
    ("experimental", &[]),
];

/// The server, spoken to one exchange at a time.
pub(super) struct Conversation {
    /// With the credentials in use, and with those that would take their place.
    remote: Streamable,
    next: Option<Streamable>,
    /// Whether the next ones are in use.
    switched: Cell<bool>,
    credentials: Credentials,
    /// The credentials that take over.
    next_credentials: Option<Credentials>,
    /// Whether a stored sign-in is used.
    uses_sign_in: bool,
    /// Which service tokens that need a proof may be sent, and whether the first one could before the first request.
    proof: Option<Arc<AccessProof>>,
    was_known: bool,
    url: Url,
    edge: Edge,
    /// Every session that the server named.
    sessions: RefCell<Vec<SessionId>>,
    revision: RefCell<Option<String>>,
    named: Notify,
    requests: Requests,
}

/// The result of an exchange.
struct Reply {
    session: Option<SessionId>,
    answer: Option<Message>,
    took: Duration,
}

impl Conversation {
    pub(super) fn new(
        url: &Url,
        http: &Arc<Http>,
        found: FoundCredentials,
        sign_in: Option<oauth::SignInSettings>,
        proof: Option<Arc<AccessProof>>,
        edge: Edge,
    ) -> Conversation {
        // A stored sign-in is used; the user is not asked to sign in.
        let unlisted = found.unlisted;
        let sign_in = sign_in.map(|settings| oauth::SignInSettings { asks: false, ..settings });
        let with = |credentials| {
            let sign_in = sign_in.clone().map(|settings| OAuth::new(settings, Arc::clone(http)));
            // A refusal names the service token that was not sent.
            let unlisted = unlisted.clone();
            let found =
                FoundCredentials { credentials, next: None, expires: None, described: Vec::new(), unlisted };
            let provider = CredentialProvider::new(found, None).with_proof(proof.clone());
            let request_credentials = RequestCredentials::new(provider, sign_in);
            Streamable::new(url.clone(), Arc::clone(http), request_credentials)
        };
        let token = found.credentials.service_token();
        let was_known = proof.as_ref().zip(token).is_some_and(|(proof, token)| proof.allows(token));
        Conversation {
            remote: with(found.credentials.clone()),
            next_credentials: found.next.clone(),
            next: found.next.map(&with),
            uses_sign_in: sign_in.is_some(),
            was_known,
            url: url.clone(),
            switched: Cell::new(false),
            credentials: found.credentials,
            proof,
            edge,
            sessions: RefCell::default(),
            revision: RefCell::default(),
            named: Notify::new(),
            requests: Requests::default(),
        }
    }

    /// Resolves once the server has named a session.
    pub(super) async fn is_named(&self) {
        while self.sessions.borrow().is_empty() {
            self.named.notified().await;
        }
    }

    /// Ends every session that the server opened.
    pub(super) async fn end_sessions(&self, findings: &mut Findings<impl Write>) {
        let sessions = self.sessions.take();
        for session in sessions {
            let facts = Facts {
                session: Some(session),
                revision: self.revision.borrow().clone(),
                ..Facts::default()
            };
            match self.exchange(Ask::EndSession, facts, SESSION_END_TIMEOUT).await {
                Ok(_) => findings.ok("session", "ended"),
                Err(report) if report.status == Some(405) => {
                    findings.note("session", "the server does not let clients end sessions")
                }
                Err(report) => findings.warn("session", &format!("not ended: {report}")),
            }
        }
    }

    /// Runs the steps: handshake, lists, round trips.
    pub(super) async fn run(&self, findings: &mut Findings<impl Write>) -> Result<(), StepFailure> {
        findings.begin("handshake");
        let opened = self.initialize().await;
        if let Some((proof, token)) = self.proof.as_ref().zip(self.credentials.service_token()) {
            token_rule::report_proof(token, proof, self.was_known, &self.url, findings);
        }
        let opened = match opened {
            Err(report) if report.cause.is_of_access() && self.next.is_some() => {
                findings.warn("token", &report.to_string());
                self.switched.set(true);
                self.initialize().await
            }
            opened => opened,
        };
        let refused = match opened {
            Ok(opened) => match opened.answer.as_ref().map(|answer| (answer, error_of(answer))) {
                None => no_answer(),
                Some((_, Some(error))) => error,
                Some((answer, None)) => {
                    self.report_access(findings);
                    return self.check_legacy(&opened, answer, findings).await;
                }
            },
            Err(report) => report,
        };
        // A server of the later era may know nothing of `initialize`.
        if refused.status.is_none_or(|status| matches!(status, 200 | 400 | 404..=406 | 415 | 422 | 501))
            && let Some(found) = self.discover(None, STEP_TIMEOUT).await
            && let Some(answer) = &found.answer
        {
            self.report_access(findings);
            return self.check_modern(&found, answer, findings).await;
        }
        Err(self.handshake_failure(refused, findings))
    }

    async fn initialize(&self) -> Result<Reply, ErrorReport> {
        let info = client_info();
        let params = message::initialize_params(LEGACY_REVISION, "{}", &info);
        self.exchange(
            Ask::Post(self.requests.legacy(method::INITIALIZE, &params)),
            Facts::default(),
            STEP_TIMEOUT,
        )
        .await
    }

    /// The step of a refused handshake. The steps before it are reported.
    fn handshake_failure(&self, report: ErrorReport, findings: &mut Findings<impl Write>) -> StepFailure {
        let step = match report.cause {
            ErrorKind::AccessPolicy => {
                findings.ok("token", "Cloudflare Access knows the service token");
                "policy"
            }
            cause if cause.is_of_access() => "token",
            _ => "handshake",
        };
        let is_servers_own = matches!(
            report.cause,
            ErrorKind::OriginRefused | ErrorKind::Status | ErrorKind::Answer | ErrorKind::Era
        );
        if is_servers_own && report.status.is_some() && self.edge.refuses_strangers == Some(true) {
            self.report_access(findings);
        }
        (step, report)
    }

    /// The service token that is sent.
    fn sent_token(&self) -> Option<&ServiceToken> {
        let is_sent = |token: &&ServiceToken| self.proof.as_ref().is_none_or(|proof| proof.allows(token));
        let credentials = match self.switched.get() {
            true => self.next_credentials.as_ref().unwrap_or(&self.credentials),
            false => &self.credentials,
        };
        credentials.service_token().filter(is_sent)
    }

    /// Reports how Access decided, once the server was reached.
    fn report_access(&self, findings: &mut Findings<impl Write>) {
        let token = self.sent_token();
        if !self.edge.is_protected {
            if token.is_some() {
                let text = "no application of Cloudflare Access protects this URL, so the service token went to the server itself; pass --no-access, or correct the host name";
                findings.note("token", text);
            }
            return;
        }
        if self.edge.refuses_strangers == Some(false) {
            let text = "Bypass: Access lets every request through to the server, without proof of identity";
            findings.note("policy", text);
            return;
        }
        match (token, self.credentials.sends_access_token()) {
            (Some(token), _) => {
                let which = if self.switched.get() { "the next service token" } else { "the service token" };
                findings.ok("token", &format!("Cloudflare Access accepts {which} {}", token.id()));
                findings.ok("policy", "Service Auth: a policy with this action includes the token");
            }
            (None, true) => {
                findings.ok("token", "Cloudflare Access accepts the Access token");
                findings.ok("policy", "a policy allows the owner of the token");
            }
            (None, false) if self.uses_sign_in => {
                findings.ok("token", "Cloudflare Access accepts the stored sign-in")
            }
            (None, false) => findings.ok("token", "Cloudflare Access lets these headers through"),
        }
    }

    async fn check_legacy(
        &self,
        opened: &Reply,
        answer: &Message,
        findings: &mut Findings<impl Write>,
    ) -> Result<(), StepFailure> {
        let revision = answer.member("protocolVersion").and_then(json::string);
        self.revision.replace(revision.clone());
        let facts = Facts { session: opened.session.clone(), revision: revision.clone(), ..Facts::default() };
        let session = if facts.session.is_some() { "with a session" } else { "without sessions" };
        let (name, revision) =
            (name_of(answer.member("serverInfo")), revision.unwrap_or_else(|| "not stated".to_owned()));
        let text = format!("{name}, revision {revision}, {session} ({})", format_duration(opened.took));
        findings.ok("handshake", &text);
        findings.detail("server", name);
        findings.detail("revision", revision);
        findings.detail("session", facts.session.is_some());
        let told = Ask::Post(message::notification(method::INITIALIZED, None));
        self.exchange(told, facts.clone(), STEP_TIMEOUT).await.map_err(|report| ("handshake", report))?;
        // In the session, where there is one: some servers open another for every message that names none.
        findings.begin("era");
        let is_modern = self.discover(facts.session.clone(), OPTIONAL_STEP_TIMEOUT).await.is_some();
        match is_modern {
            true => findings.ok("era", &format!("initialize, and {MODERN_REVISION} as well")),
            false => findings
                .note("era", &format!("initialize only: the server does not support {MODERN_REVISION}")),
        }
        findings.detail("modern", is_modern);
        self.check_next_token(&facts, findings).await;
        let capabilities = answer.member("capabilities");
        report_capabilities(capabilities, findings);
        self.count_lists(&facts, capabilities, findings).await
    }

    async fn check_modern(
        &self,
        found: &Reply,
        answer: &Message,
        findings: &mut Findings<impl Write>,
    ) -> Result<(), StepFailure> {
        let info = answer.member(meta::META);
        let info = info.and_then(|members| json::member(members, meta::SERVER_INFO));
        let name = name_of(info.or_else(|| answer.member("serverInfo")));
        let text =
            format!("{name}, revision {MODERN_REVISION}, without sessions ({})", format_duration(found.took));
        findings.ok("handshake", &text);
        findings.detail("server", name);
        findings.detail("revision", MODERN_REVISION.to_owned());
        findings.detail("session", false);
        findings.note("era", &format!("{MODERN_REVISION} only: the server does not support initialize"));
        findings.detail("modern", true);
        let facts = modern_facts(method::DISCOVER);
        self.check_next_token(&facts, findings).await;
        let capabilities = answer.member("capabilities");
        report_capabilities(capabilities, findings);
        self.count_lists(&facts, capabilities, findings).await
    }

    /// Sends `server/discover`; none if the server does not speak the modern era.
    async fn discover(&self, session: Option<SessionId>, timeout: Duration) -> Option<Reply> {
        let facts = Facts { session, ..modern_facts(method::DISCOVER) };
        let found = self
            .exchange(Ask::Post(self.requests.modern(method::DISCOVER, None)), facts, timeout)
            .await
            .ok()?;
        let answer = found.answer.as_ref()?;
        let mut revisions = answer.member("supportedVersions").map(json::elements).unwrap_or_default();
        let speaks_it = revisions.any(|revision| json::string(revision).as_deref() == Some(MODERN_REVISION));
        (error_of(answer).is_none() && speaks_it).then_some(found)
    }

    /// Checks whether the `_NEXT` token would be accepted.
    async fn check_next_token(&self, facts: &Facts, findings: &mut Findings<impl Write>) {
        let (Some(next), false) = (&self.next, self.switched.get()) else { return };
        findings.begin("next token");
        let ask = self.ping(facts);
        match self.exchange_with(next, ask, facts.clone(), OPTIONAL_STEP_TIMEOUT).await {
            Err(report) if report.cause.is_of_access() => {
                findings.warn("next token", &format!("cannot take over yet: {report}"));
            }
            Ok(_) | Err(_) if self.edge.refuses_strangers == Some(true) => {
                findings.ok(
                    "next token",
                    "Cloudflare Access accepts it as well; it takes over when the first is refused",
                );
            }
            Ok(_) | Err(_) => {
                findings.note("next token", "not tested: Access does not refuse requests without a token")
            }
        }
    }

    fn ping(&self, facts: &Facts) -> Ask {
        Ask::Post(match facts.mirror {
            Some(_) => self.requests.modern(method::DISCOVER, None),
            None => self.requests.legacy(method::PING, "{}"),
        })
    }

    /// Counts the lists of the server, and measures the round trip.
    async fn count_lists(
        &self,
        facts: &Facts,
        capabilities: Option<&str>,
        findings: &mut Findings<impl Write>,
    ) -> Result<(), StepFailure> {
        for (step, method) in [
            ("tools", method::TOOLS_LIST),
            ("prompts", method::PROMPTS_LIST),
            ("resources", method::RESOURCES_LIST),
        ] {
            let offers = capabilities.is_none_or(|capabilities| json::member(capabilities, step).is_some());
            if !offers {
                findings.note(step, "not offered");
                continue;
            }
            findings.begin(step);
            match self.length(step, method, facts).await {
                Ok((count, is_all)) => {
                    let more = if is_all { "" } else { "more than " };
                    findings.ok(step, &format!("{more}{count}"));
                    findings.detail("count", i64::try_from(count).unwrap_or(i64::MAX));
                }
                // Without being told what there is, a refusal may only mean that there is none.
                Err(_) if capabilities.is_none() => findings.note(step, "not offered"),
                Err(report) => return Err((step, report)),
            }
        }
        findings.begin("round trip");
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let answered = self.exchange(self.ping(facts), facts.clone(), STEP_TIMEOUT).await;
            times.push(answered.map_err(|report| ("round trip", report))?.took);
        }
        times.sort_unstable();
        let (best, worst) = (times.first().copied(), times.last().copied());
        let (best, worst) = (best.unwrap_or_default(), worst.unwrap_or_default());
        findings.ok(
            "round trip",
            &format!("{} at best, {} at worst of {ROUNDS}", format_duration(best), format_duration(worst)),
        );
        findings.detail("best_microseconds", i64::try_from(best.as_micros()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// How many entries a list has, and whether those are all.
    async fn length(
        &self,
        what: &'static str,
        method: &str,
        facts: &Facts,
    ) -> Result<(usize, bool), ErrorReport> {
        let (mut count, mut cursor, begun) = (0, None, clock());
        for _ in 0..PAGES {
            if clock().saturating_duration_since(begun) > STEP_TIMEOUT {
                break;
            }
            let (message, facts) = match &facts.mirror {
                Some(_) => (self.requests.modern(method, cursor.as_deref()), modern_facts(method)),
                None => {
                    let params = cursor.map(|cursor: String| format!(r#"{{"cursor":{cursor}}}"#));
                    let message = self.requests.legacy(method, params.as_deref().unwrap_or("{}"));
                    (message, facts.clone())
                }
            };
            let page = self.exchange(Ask::Post(message), facts, STEP_TIMEOUT).await?;
            let page = page.answer.ok_or_else(no_answer)?;
            if let Some(report) = error_of(&page) {
                return Err(report);
            }
            count += page.member(what).map(json::elements).unwrap_or_default().count();
            cursor = page.member("nextCursor").filter(|cursor| cursor.starts_with('"')).map(str::to_owned);
            if cursor.is_none() {
                return Ok((count, true));
            }
        }
        Ok((count, false))
    }

    async fn exchange(&self, ask: Ask, facts: Facts, timeout: Duration) -> Result<Reply, ErrorReport> {
        let remote = match (&self.next, self.switched.get()) {
            (Some(next), true) => next,
            _ => &self.remote,
        };
        self.exchange_with(remote, ask, facts, timeout).await
    }

    /// One exchange to its end.
    async fn exchange_with(
        &self,
        remote: &Streamable,
        ask: Ask,
        facts: Facts,
        timeout: Duration,
    ) -> Result<Reply, ErrorReport> {
        let (sender, mut events) = EventSender::channel(16);
        let begun = clock();
        let mut exchange = JoinSet::new();
        exchange.spawn(remote.start(ExchangeId(1), Outgoing { ask, facts }, sender));
        let mut reply = Reply { session: None, answer: None, took: Duration::ZERO };
        let listen = async {
            while let Some(event) = events.recv().await {
                let took = clock().saturating_duration_since(begun);
                match event {
                    Event::Opened(_, opening) => {
                        if let SessionHeader::Id(id) = opening.session {
                            reply.session = Some(id.clone());
                            self.note_session(id);
                        }
                    }
                    Event::Server(_, message) if matches!(message.kind(), Kind::Response { .. }) => {
                        reply.answer = Some(message);
                        reply.took = took;
                        return Ok(reply);
                    }
                    Event::Ended(_, ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_)) => {
                        reply.took = took;
                        return Ok(reply);
                    }
                    Event::Ended(_, ExchangeOutcome::Refused(refusal)) => match refusal.answer {
                        Some(answer) => {
                            reply.answer = Some(answer);
                            reply.took = took;
                            return Ok(reply);
                        }
                        None => return Err(refusal.report),
                    },
                    Event::Ended(_, ExchangeOutcome::Cut(report) | ExchangeOutcome::Lost { report, .. }) => {
                        return Err(report);
                    }
                    _ => {}
                }
            }
            Err(no_answer())
        };
        let reply = match tokio::time::timeout(timeout, listen).await {
            Ok(reply) => reply?,
            Err(_) => {
                return Err(diagnosis::unanswered(&self.url, timeout));
            }
        };
        // A stream may stay open behind its answer; what ends by itself leaves a connection that can be used again.
        let _ = tokio::time::timeout(LINGER, async { while events.recv().await.is_some() {} }).await;
        Ok(reply)
    }

    fn note_session(&self, session: SessionId) {
        let mut sessions = self.sessions.borrow_mut();
        if !sessions.contains(&session) {
            sessions.push(session);
            self.named.notify_one();
        }
    }
}

/// Reports the capabilities of the server.
fn report_capabilities(capabilities: Option<&str>, findings: &mut Findings<impl Write>) {
    let Some(capabilities) = capabilities else {
        return findings.note("capabilities", "the server states none");
    };
    let named = CAPABILITIES.iter().filter_map(|(name, parts)| {
        let value = json::member(capabilities, name)?;
        let parts: Vec<&str> =
            parts.iter().filter(|part| json::member(value, part) == Some("true")).copied().collect();
        Some(match parts.is_empty() {
            true => (*name).to_owned(),
            false => format!("{name} ({})", parts.join(", ")),
        })
    });
    let named: Vec<String> = named.collect();
    match named.is_empty() {
        true => findings.note("capabilities", "none"),
        false => findings.ok("capabilities", &named.join(", ")),
    }
}
