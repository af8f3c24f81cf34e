//! One case from beginning to end: it is wrong at the start, is mended, goes wrong again in the middle, is mended.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::edge::{Access, Answers, Config, Edge, Form, Mode, Policy, Settings};
use crate::secrets;
use crate::support::proxy::{Proxy, Stdin};
use crate::support::{INITIALIZE, INITIALIZED};

/// A key that may be written by hand.
pub(crate) const KEY: &str = "tm_marked/+=&key0123456789";

/// What goes along with the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    /// Nothing.
    Nothing,
    /// The token, in the environment.
    Token,
    /// Its id with another secret of the right form.
    OtherSecret,
    /// A token that this account does not have.
    OtherAccount,
    /// The token in the header of this name.
    OneHeader(&'static str),
    /// The token of a person that has run out.
    ExpiredPerson,
}

/// A line of the table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// What is the matter.
    pub(crate) name: &'static str,
    /// What goes along.
    pub(crate) with: With,
    /// More arguments.
    pub(crate) arguments: &'static [&'static str],
    /// The forms in which the refusal may come.
    pub(crate) forms: &'static [Form],
    /// Sets it up wrongly.
    pub(crate) wrong: fn(&mut Settings),
    /// The status that comes.
    pub(crate) status: u16,
    /// The word for the cause.
    pub(crate) cause: &'static str,
    /// What the sentence has in it, beside the host; `{id}`, `{team}` and `{aud}` stand for those of the edge.
    pub(crate) sentence: &'static [&'static str],
    /// What the advice has in it.
    pub(crate) advice: &'static [&'static str],
    /// How often `initialize` reaches the edge, and how often a call of which nothing is known.
    pub(crate) sent: [Times; 2],
}

/// From so often to so often.
pub(crate) type Times = (usize, usize);

/// Sent once, whatever it is.
pub(crate) const ONCE: [Times; 2] = [(1, 1), (1, 1)];
/// Sent again where nothing can come of it, and within the budget.
pub(crate) const UNKNOWN: [Times; 2] = [(2, 4), (1, 1)];
/// The same, but nothing is wrong before the call: sending again takes seconds.
pub(crate) const LATER: [Times; 2] = [(0, 0), (1, 1)];
/// Sent again whatever it is, for it was certainly not processed; nothing is wrong before the call.
pub(crate) const UNPROCESSED: [Times; 2] = [(0, 0), (2, 4)];

/// Runs every form of every row, a few at a time, and fails with all that was not as it should be.
pub(crate) fn run(rows: &[Row]) {
    let cases: Vec<(Row, Form)> =
        rows.iter().flat_map(|row| row.forms.iter().map(|form| (*row, *form))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some((row, form)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let case = || Case::start(row, *form).run();
            if let Err(panic) = std::panic::catch_unwind(case) {
                let told = panic.downcast_ref::<String>().map_or("(a panic)", String::as_str);
                failed.push(format!("{} ({form:?}): {told}", row.name));
            }
        }
        failed
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        // Most of them wait most of the time.
        let workers: Vec<_> = (0..12).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("caught")).collect()
    });
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

struct Case<'a> {
    row: &'a Row,
    edge: Edge,
    /// The settings with which this client gets through, and those with which it does not.
    well: Settings,
    wrong: Settings,
    secrets: Vec<String>,
    id: String,
    proxy: Proxy,
    asked: u32,
}

impl<'a> Case<'a> {
    fn start(row: &'a Row, form: Form) -> Self {
        let access = Access { mode: Mode::Legacy, policies: vec![Policy::Allow, Policy::ServiceAuth] };
        let config = Config { access: Some(access), answers: Answers::Json, port: 0 };
        let edge = Edge::start(config).expect("a free port");
        let other = Edge::start(Config::default()).expect("a free port");
        let mut well = edge.settings();
        let mut wrong = well.clone();
        wrong.form = form;
        (row.wrong)(&mut wrong);
        let mut token = match row.with {
            With::OtherAccount => other.token().clone(),
            _ => edge.token().clone(),
        };
        if row.with == With::OtherSecret {
            token.secret = other.token().secret.clone();
        }
        let person = edge.sign_in("ada@example.com", -10).expect("there is Access");
        let person_header = format!("Cf-Access-Token: {person}");
        let pair = [("CF_ACCESS_CLIENT_ID", token.id.as_str()), ("CF_ACCESS_CLIENT_SECRET", &token.secret)];
        let url = edge.mcp_url();
        let mut arguments = vec!["-vvv", &url];
        arguments.extend(row.arguments);
        let environment = match row.with {
            With::Nothing => &[][..],
            With::ExpiredPerson => {
                arguments.extend(["--header", &person_header]);
                &[]
            }
            With::OneHeader(name) => {
                arguments.extend(["--access-header", name]);
                well.token_header = Some(name.to_owned());
                &pair
            }
            With::Token | With::OtherSecret | With::OtherAccount => &pair,
        };
        match row.with {
            With::Nothing | With::ExpiredPerson => well.access.policies = vec![Policy::Bypass],
            _ => well.tokens = vec![token.clone()],
        }
        if well.access.policies == [Policy::Bypass] {
            well.believes = crate::edge::Believes::Anybody;
        }
        let proxy = Proxy::start_with(Stdin::Pipes, &arguments, environment);
        // The rest of a signed token is the same in all of them.
        let signature = person.rsplit('.').next().expect("a part").to_owned();
        let secrets = vec![token.secret.clone(), KEY.to_owned(), signature];
        Self { row, edge, well, wrong, secrets, id: token.id, proxy, asked: 1 }
    }

    fn run(mut self) {
        let row = self.row;
        if row.sent[0] != (0, 0) {
            self.set(false);
            self.is_refused(INITIALIZE, row.sent[0]);
        }
        self.set(true);
        self.is_answered(INITIALIZE);
        self.proxy.send(INITIALIZED);
        let call = self.call();
        self.is_answered(&call);
        self.set(false);
        let call = self.call();
        self.is_refused(&call, row.sent[1]);
        self.set(true);
        let call = self.call();
        self.is_answered(&call);
        let posts = self.edge.requests();
        for seen in &posts {
            let cookie = seen.headers.iter().any(|(name, value)| name == "cookie" && value.contains("CF_"));
            assert!(!cookie, "Access's cookies are not kept: {seen}");
        }
        let signed_in: Vec<_> =
            self.edge.team_requests().into_iter().filter(|seen| seen.path.contains("/login")).collect();
        assert!(signed_in.is_empty(), "the sign-in page was called: {signed_in:?}");
        for part in self.sentence().iter().chain(&self.advice()).map(String::as_str).chain(["-TST"]) {
            self.proxy.tells(part);
        }
        let ended = self.proxy.finish();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.lines.is_empty(), "answered twice: {:?}", ended.lines);
        let told = secrets::found(&ended.stderr, &self.secrets);
        assert!(told.is_empty(), "{told:?} in {}", ended.stderr);
    }

    fn set(&self, well: bool) {
        let settings = if well { &self.well } else { &self.wrong };
        self.edge.change(|now| *now = settings.clone());
    }

    fn call(&mut self) -> String {
        self.asked += 1;
        format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"whoami","arguments":{{}}}}}}"#,
            self.asked
        )
    }

    /// Asks, and tells the answer and how many requests that took.
    fn ask(&mut self, line: &str) -> (Value, String, usize) {
        let posts = |edge: &Edge| edge.requests().iter().filter(|seen| seen.method == "POST").count();
        let before = posts(&self.edge);
        let answer = self.proxy.ask(line);
        let told = secrets::found(&answer, &self.secrets);
        assert!(told.is_empty(), "{told:?} in {answer}");
        let asked: Value = serde_json::from_str(line).expect("JSON");
        let value: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(value["id"], asked["id"], "the answer to another question: {answer}");
        (value, answer, posts(&self.edge) - before)
    }

    fn is_answered(&mut self, line: &str) {
        let (value, answer, _) = self.ask(line);
        assert!(value.get("result").is_some(), "it does not live on: {answer}");
    }

    fn is_refused(&mut self, line: &str, sent: Times) {
        let (value, answer, posts) = self.ask(line);
        let row = self.row;
        let (error, data) = (&value["error"], &value["error"]["data"]);
        assert_eq!(data["source"], "mcp-tether", "{answer}");
        assert_eq!(data["cause"], row.cause, "{answer}");
        assert_eq!(data["status"], row.status, "{answer}");
        assert!(data["ray"].as_str().is_some_and(|ray| ray.ends_with("-TST")), "{answer}");
        let sentence = error["message"].as_str().expect("a sentence");
        let advice = data["advice"].as_str().expect("an advice");
        let host = self.edge.mcp_url().replace("http://", "").replace("/mcp", "");
        assert!(sentence.contains(&host), "{host}: {answer}");
        for part in self.sentence() {
            assert!(sentence.contains(&part), "the sentence lacks {part:?}: {answer}");
        }
        for part in self.advice() {
            assert!(advice.contains(&part), "the advice lacks {part:?}: {answer}");
        }
        let expected: RangeInclusive<usize> = sent.0..=sent.1;
        assert!(expected.contains(&posts), "{posts} requests instead of {expected:?}: {answer}");
    }

    /// What the sentence has in it.
    fn sentence(&self) -> Vec<String> {
        let team = self.edge.team_url().expect("a team").replace("http://", "");
        let aud = &self.edge.audience()[..12];
        // An answer that is nothing but itself does not say whose it is.
        let bare = self.wrong.form == Form::Bare;
        let parts = self.row.sentence.iter().filter(|part| !bare || !part.contains("{aud}"));
        parts
            .map(|part| part.replace("{id}", &self.id).replace("{team}", &team).replace("{aud}", aud))
            .collect()
    }

    /// What the advice has in it.
    fn advice(&self) -> Vec<String> {
        self.row.advice.iter().map(|part| part.replace("{id}", &self.id)).collect()
    }
}
