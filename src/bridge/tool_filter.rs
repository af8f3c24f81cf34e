//! Which tools the client gets to see and to call (`--ignore-tool`, `--allow-tool`, `--read-only`).
//!
//! It is the layer nearest to the client, so that it works alike for all eras and transports. Lists lose the tools that are not
//! offered and keep everything else, pages included. A call of such a tool is answered here and never sent. Only the server's
//! list says whether a tool is read-only. A call of a tool that no list has named yet waits until the list was requested in our
//! own name: a guess could run what must not run, and a refusal would break clients that call tools they know from before. If
//! the list is not available, the call is refused. Deliberately not here: whether the server's annotations are true.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::error_report::ErrorKind;
use super::event::{Action, Notice};
use super::layer::{Layer, Output};
use super::own_ids::OwnIds;
use super::relay::{LONGEST_NAME, SOURCE, TOOLS_KNOWN, error_code, stopped};
use super::revision::{self, Era};
use super::splice;
use crate::json;
use crate::jsonrpc::{ErrorData, ErrorObject, INTERNAL_ERROR, INVALID_PARAMS, Id, Kind, Message};
use crate::mcp::{OwnId, message, method};

/// How many pages of tools are asked for in our own name, and how long that may take, before a call is refused.
const LOOKUP_PAGES: u32 = 100;
const LOOKUP_PATIENCE: Duration = Duration::from_secs(30);

/// The rules for tools: a tool must match an allowing pattern, if there is one, and no ignoring one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolRules {
    /// Patterns of which one has to fit, where there are any.
    pub allow: Vec<Pattern>,
    /// Patterns of which none may fit. They win.
    pub ignore: Vec<Pattern>,
    /// Whether a tool has to say of itself that it only reads.
    pub read_only: bool,
}

impl ToolRules {
    fn are_none(&self) -> bool {
        *self == ToolRules::default()
    }

    /// Why a tool of this name is not offered, whatever else it says of itself.
    fn refusal(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        if let Some(pattern) = self.ignore.iter().find(|pattern| pattern.fits(&name)) {
            return Some(format!("--ignore-tool {pattern} leaves it out"));
        }
        let is_allowed = self.allow.is_empty() || self.allow.iter().any(|pattern| pattern.fits(&name));
        (!is_allowed).then(|| "no --allow-tool fits it".to_owned())
    }
}

/// A pattern of a tool name: `*` matches any text, and letter case is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    written: String,
    /// What stands between the stars, in small letters.
    parts: Vec<String>,
}

impl Pattern {
    /// The pattern that was written; none where it is empty, or holds what no name does.
    pub fn new(written: &str) -> Option<Pattern> {
        let parts = written.to_lowercase().split('*').map(str::to_owned).collect();
        let is_usable = !written.is_empty() && !written.contains(char::is_control);
        is_usable.then(|| Pattern { written: written.to_owned(), parts })
    }

    /// Returns whether a name in small letters is one of those that are meant.
    fn fits(&self, name: &str) -> bool {
        let [first, others @ ..] = &*self.parts else { return false };
        let Some((last, middle)) = others.split_last() else { return name == first };
        let Some(mut rest) = name.strip_prefix(&**first) else { return false };
        for part in middle {
            let Some(at) = rest.find(&**part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(&**last)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)
    }
}

/// The layer nearest to the client.
#[derive(Debug)]
pub(super) struct ToolFilter {
    rules: ToolRules,
    /// The ids under which the client waits for a list.
    lists: HashMap<Id, WaitingCall>,
    /// Which tools of the lists so far say that they only read.
    reads: HashMap<String, bool>,
    /// Calls of tools that no list has named yet, in order.
    held: Backlog<Message>,
    lookup: Option<Lookup>,
    ids: OwnIds,
    /// Whether there was a session before.
    was_settled: bool,
    outputs: VecDeque<Output>,
}

/// An id under which the client waits for a list.
#[derive(Debug)]
struct WaitingCall {
    /// How many requests have it: no client should give one twice, but none gets to see more for that.
    requests: u32,
    /// Whether the tools have changed since it was asked for.
    is_outdated: bool,
}

/// A list that is asked for in our own name.
#[derive(Debug)]
struct Lookup {
    /// The request for the page that is under way.
    id: Id,
    /// What it says of the client, where the era wants that.
    meta: Option<String>,
    pages: u32,
    until: Instant,
    /// Whether the tools have changed since it began.
    is_outdated: bool,
}

/// What becomes of a call.
#[derive(Debug, PartialEq, Eq)]
enum ToolVerdict {
    Offered,
    Refused(String),
    Unknown,
}

impl ToolFilter {
    /// A filter by these rules; none where there are none.
    pub(super) fn new(rules: &ToolRules) -> Option<Box<ToolFilter>> {
        let filter = || {
            Box::new(ToolFilter {
                rules: rules.clone(),
                lists: HashMap::new(),
                reads: HashMap::new(),
                held: Backlog::default(),
                lookup: None,
                ids: OwnIds::new(OwnId::ToolFilter),
                was_settled: false,
                outputs: VecDeque::new(),
            })
        };
        (!rules.are_none()).then(filter)
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(Output::ToServer(message));
    }

    fn deliver(&mut self, message: Message) {
        self.outputs.push_back(Output::to_client(message));
    }

    /// Keeps track of a request that may ask for a list.
    fn track_list(&mut self, id: &Id, is_list: bool) {
        if is_list && !self.lists.contains_key(id) {
            self.lists.insert(id.detached(), WaitingCall { requests: 0, is_outdated: false });
        }
        if let Some(waiting) = self.lists.get_mut(id) {
            waiting.requests += 1;
        }
    }

    /// Takes in that the client cancels a request. Returns whether the server knows the request.
    fn cancelled(&mut self, id: &Id) -> bool {
        let was_held = self.held.remove(|call| is_request(call, id)).is_some();
        if !was_held {
            self.answered(id);
        }
        !was_held
    }

    fn call(&mut self, call: Message, now: Instant) {
        match self.verdict(&call) {
            ToolVerdict::Offered => self.send(call),
            ToolVerdict::Refused(because) => self.refuse(&call, &because),
            ToolVerdict::Unknown => {
                let meta = match revision::classify(&call) {
                    // Its progress is its own.
                    (Era::Modern, _) => {
                        call.member("_meta").map(|meta| splice::without(meta, &["progressToken"]))
                    }
                    (Era::Legacy, _) => None,
                };
                self.held.push(call);
                if self.lookup.is_none() {
                    self.ask(None, meta, LOOKUP_PAGES, now + LOOKUP_PATIENCE);
                }
            }
        }
    }

    fn verdict(&self, call: &Message) -> ToolVerdict {
        // Without one, the server may find what is none here.
        let Some(names) = names_in(call) else { return ToolVerdict::Refused(String::new()) };
        for name in &names {
            if let Some(because) = self.rules.refusal(name) {
                return ToolVerdict::Refused(because);
            }
            match self.reads.get(name) {
                _ if !self.rules.read_only => {}
                Some(true) => {}
                Some(false) => {
                    let because = "--read-only leaves out what is not annotated readOnlyHint".to_owned();
                    return ToolVerdict::Refused(because);
                }
                None => return ToolVerdict::Unknown,
            }
        }
        ToolVerdict::Offered
    }

    /// Takes in a message on its way to the client.
    fn handle_message(&mut self, message: Message) {
        match message.kind() {
            Kind::Response { id: Some(id), error } => {
                if self.lookup.as_ref().is_some_and(|lookup| lookup.id == *id) {
                    return self.handle_page(&message);
                }
                // One that was given up, and is answered all the same.
                if self.ids.number(id).is_some() {
                    return;
                }
                let error = *error;
                if let Some(is_outdated) = self.answered(id) {
                    if !is_outdated && !error {
                        self.learn(&message);
                    }
                    // Also where it says `error`: some readers take the list that stands beside it.
                    return self.filter_page(message);
                }
            }
            Kind::Notification { method } if method.as_str() == method::TOOLS_CHANGED => {
                self.forget();
            }
            Kind::Response { .. } | Kind::Request { .. } | Kind::Notification { .. } => {}
        }
        self.deliver(message);
    }

    /// Takes in that a request has its answer, or needs none any more. Returns whether the tools have changed since, if it may
    /// be a list.
    fn answered(&mut self, id: &Id) -> Option<bool> {
        let waiting = self.lists.get_mut(id)?;
        let is_outdated = waiting.is_outdated;
        waiting.requests -= 1;
        if waiting.requests == 0 {
            self.lists.remove(id);
        }
        Some(is_outdated)
    }

    /// What the server said of its tools may no longer be so.
    fn forget(&mut self) {
        self.reads.clear();
        self.lists.values_mut().for_each(|waiting| waiting.is_outdated = true);
        if let Some(lookup) = &mut self.lookup {
            lookup.is_outdated = true;
        }
    }

    /// A handshake is done. What was known before the first counts no less: it may have been waited for.
    fn settled(&mut self) {
        if std::mem::replace(&mut self.was_settled, true) {
            self.forget();
        }
    }

    /// Removes the tools that are not offered from a page.
    fn filter_page(&mut self, page: Message) {
        let mut filtered = page.clone();
        let (mut of, mut left_out) = (0, 0);
        // From the last to the first, so that the places of the others stay what they are.
        for array in lists_in(&page).into_iter().rev() {
            let before = left_out;
            let mut tools = json::elements(array);
            let kept = json::array(tools.by_ref().take(TOOLS_KNOWN).filter(|tool| {
                let is_offered = self.is_offered(tool);
                (of, left_out) = (of + 1, left_out + usize::from(!is_offered));
                is_offered
            }));
            // The rest is not looked at, and so not offered.
            left_out += usize::from(tools.next().is_some());
            if left_out > before {
                filtered = filtered.spliced(page.place_of(array), &kept);
            }
        }
        if left_out > 0 {
            self.outputs.push_back(Output::notice(Notice::Withheld { left_out, of }));
        }
        self.deliver(filtered);
    }

    fn is_offered(&self, tool: &str) -> bool {
        names([tool]).is_some_and(|names| names.iter().all(|name| self.rules.refusal(name).is_none()))
            && (!self.rules.read_only || only_reads(tool))
    }

    fn learn(&mut self, page: &Message) {
        if !self.rules.read_only {
            return;
        }
        let mut on_this_page = HashMap::new();
        for tool in lists_in(page).into_iter().flat_map(json::elements).take(TOOLS_KNOWN) {
            for name in names([tool]).unwrap_or_default() {
                // If two tools have one name, both must be read-only.
                // Without room for it, it is as if the server had not listed it.
                let is_known = self.reads.contains_key(&name) || on_this_page.contains_key(&name);
                let has_room = self.reads.len() + on_this_page.len() < TOOLS_KNOWN;
                if is_known || has_room && name.len() <= LONGEST_NAME {
                    let reads = on_this_page.entry(name).or_insert(true);
                    *reads &= only_reads(tool);
                }
            }
        }
        self.reads.extend(on_this_page);
    }

    /// Asks for a page of the list.
    fn ask(&mut self, cursor: Option<&str>, meta: Option<String>, pages: u32, until: Instant) {
        let id = self.ids.next();
        let members = [("_meta", meta.as_deref()), ("cursor", cursor)];
        let params = json::object(members.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let request = message::request(&id, method::TOOLS_LIST, &params);
        self.lookup = Some(Lookup { id, meta, pages: pages - 1, until, is_outdated: false });
        self.send(request);
    }

    /// A page of the list that was asked for in our own name.
    fn handle_page(&mut self, page: &Message) {
        let Some(lookup) = self.lookup.take() else { return };
        if let Kind::Response { error: true, .. } = page.kind() {
            return self.give_up(Some(page), "the server's list of tools is not available");
        }
        if !lookup.is_outdated {
            self.learn(page);
        }
        for call in self.held.take() {
            match self.verdict(&call) {
                ToolVerdict::Offered => self.send(call),
                ToolVerdict::Refused(because) => self.refuse(&call, &because),
                ToolVerdict::Unknown => self.held.push(call),
            }
        }
        if self.held.is_empty() {
            return;
        }
        let cursor = page.member("nextCursor").filter(|cursor| cursor.starts_with('"'));
        match (lookup.is_outdated, cursor) {
            _ if lookup.pages == 0 => self.give_up(None, "the server's list of tools does not end"),
            (true, _) => self.ask(None, lookup.meta, lookup.pages, lookup.until),
            (false, Some(cursor)) => self.ask(Some(cursor), lookup.meta, lookup.pages, lookup.until),
            (false, None) => self.give_up(None, "the server does not list it"),
        }
    }

    /// Refuses every call that waits. What kept us from the server is told as it is.
    fn give_up(&mut self, failure: Option<&Message>, because: &str) {
        let code = failure.and_then(error_code);
        let is_the_end = code == Some(ErrorKind::Stopped.code());
        let said = failure.and_then(|failure| json::string(failure.member("message")?));
        for call in self.held.take() {
            let Kind::Request { id, .. } = call.kind() else { continue };
            match (failure, code) {
                _ if is_the_end => self.deliver(stopped(id)),
                (Some(failure), Some(-31099..=-31000)) => {
                    self.deliver(failure.with_id(id));
                }
                _ => {
                    let said = said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
                    self.refuse(&call, &format!("--read-only asks for an annotation, and {because}{said}"));
                }
            }
        }
    }

    /// Answers a call that is not sent, in the words that mcp-remote has for it and why.
    fn refuse(&mut self, call: &Message, because: &str) {
        let Kind::Request { id, .. } = call.kind() else { return };
        let name = names_in(call).and_then(|mut names| names.pop());
        let (code, sentence) = match name {
            Some(name) => {
                let name: String = name.chars().take(200).collect();
                (INTERNAL_ERROR, format!("Tool {} is not available: {because}", json::quoted(&name)))
            }
            None => (INVALID_PARAMS, "the call names no tool".to_owned()),
        };
        let advice = "to use it, change the options in this server's entry and restart the client";
        let data = ErrorData {
            advice: (code == INTERNAL_ERROR).then(|| advice.to_owned()),
            ..ErrorData::of(SOURCE, "tool_filter")
        };
        let error = ErrorObject { code, message: format!("{SOURCE}: {sentence}"), data };
        self.dropped(call);
        self.deliver(Message::error(Some(id), &error));
    }

    fn dropped(&mut self, call: &Message) {
        let title = call.title().into_owned();
        self.outputs.push_back(Output::notice(Notice::Dropped { title, because: "its tool is not offered" }));
    }
}

impl Layer for ToolFilter {
    type FromServer = Output;

    fn handle_client(&mut self, message: Message, now: Instant) {
        let methods = methods_in(&message);
        let may_be = |method: &str| methods.iter().any(|own| own.eq_ignore_ascii_case(method));
        let may_be_a_call = may_be(method::TOOLS_CALL);
        match message.kind() {
            Kind::Request { id, .. } => {
                self.track_list(id, may_be(method::TOOLS_LIST));
                if may_be_a_call {
                    return self.call(message, now);
                }
            }
            // A call that wants no answer is one all the same; servers run it.
            Kind::Notification { .. } | Kind::Response { .. } if may_be_a_call => {
                if self.verdict(&message) != ToolVerdict::Offered {
                    return self.dropped(&message);
                }
            }
            Kind::Notification { method } if method.as_str() == method::CANCELLED => {
                let id = message.request_id_param();
                if id.is_some_and(|id| !self.cancelled(&id)) {
                    return;
                }
            }
            Kind::Notification { .. } | Kind::Response { .. } => {}
        }
        self.send(message);
    }

    fn handle_server(&mut self, output: Output, now: Instant) {
        match &output {
            Output::ToolsChanged => return self.forget(),
            // The server may be another than before.
            Output::Do(Action::Notice(Notice::Settled { .. })) => self.settled(),
            Output::Do(Action::Notice(Notice::SessionRenewed(_))) => self.forget(),
            Output::Do(Action::Exit(_)) => self.close(now),
            _ => {}
        }
        match output {
            Output::ToClient { message, .. } => self.handle_message(message),
            output => self.outputs.push_back(output),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.lookup.as_ref().map(|lookup| (lookup.until, "a tool was looked up for long enough"))
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(lookup) = self.lookup.take_if(|lookup| lookup.until <= now) {
            self.send(message::cancelled(&lookup.id, None));
            let patience = LOOKUP_PATIENCE.as_secs();
            self.give_up(None, &format!("the server did not list its tools within {patience} seconds"));
        }
    }

    fn close(&mut self, _: Instant) {
        self.lookup = None;
        for call in self.held.take() {
            if let Kind::Request { id, .. } = call.kind() {
                self.deliver(stopped(id));
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    fn waiting_cost(&self) -> usize {
        self.held.cost()
    }
}

/// The values of a member of an object that some reader may take for the one of this name: where it stands more than once
/// some take the first and some the last, and Go's decoder pays no heed to case.
fn readings<'text>(object: &'text str, name: &str) -> Vec<&'text str> {
    let members = json::members(object);
    members.filter(|(own, _)| is_read_as(own, name)).map(|(_, value)| value).collect()
}

/// Returns whether a key is read as `name`, in small letters, by a reader that pays no heed to case. U+017F is the only
/// letter outside ASCII that becomes one of those in the names here.
fn is_read_as(key: &str, name: &str) -> bool {
    let folded =
        key.chars().map(|letter| if letter == '\u{17f}' { 's' } else { letter.to_ascii_lowercase() });
    folded.eq(name.chars())
}

/// All that may be the method of a message.
fn methods_in(message: &Message) -> Vec<String> {
    readings(text_of(message), "method").into_iter().filter_map(json::string).collect()
}

/// All that may be the name of a tool in objects; none where there is no name, or one that is no string.
fn names<'text>(objects: impl IntoIterator<Item = &'text str>) -> Option<Vec<String>> {
    let names = objects.into_iter().flat_map(|object| readings(object, "name")).map(json::string);
    names.collect::<Option<Vec<String>>>().filter(|names| !names.is_empty())
}

/// The same in a call.
fn names_in(call: &Message) -> Option<Vec<String>> {
    names(readings(text_of(call), "params"))
}

/// All that may be the list of a page of tools.
fn lists_in(page: &Message) -> Vec<&str> {
    let results = readings(text_of(page), "result");
    results.into_iter().flat_map(|result| readings(result, "tools")).collect()
}

fn text_of(message: &Message) -> &str {
    std::str::from_utf8(message.text()).unwrap_or_default()
}

/// Returns whether a tool says that it only reads (2025-03-26 and later, server/tools, annotations).
fn only_reads(tool: &str) -> bool {
    let annotations = readings(tool, "annotations").into_iter();
    let hints: Vec<&str> = annotations.flat_map(|hints| readings(hints, "readonlyhint")).collect();
    !hints.is_empty() && hints.iter().all(|hint| *hint == "true")
}

fn is_request(message: &Message, id: &Id) -> bool {
    matches!(message.kind(), Kind::Request { id: own, .. } if own == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_as_in_mcp_remote() {
        for (pattern, fitting, others) in [
            ("delete*", &["delete", "deleteUser", "DELETE_all"][..], &["undelete", "delet"][..]),
            ("*account", &["account", "getAccount"], &["accounts"]),
            ("exactTool", &["exactTool", "exacttool"], &["exactTool2", "anexactTool"]),
            ("a*b*c", &["abc", "aXbYc", "abcbc"], &["acb", "ab", "abcd"]),
            ("ab*ba", &["abba", "abXba"], &["aba"]),
            ("*", &["", "anything"], &[]),
            ("**x**", &["x", "axb"], &["y"]),
            ("a.b", &["a.b"], &["aXb"]),
            ("[a]", &["[a]"], &["a"]),
            ("*é", &["É", "xé"], &["e"]),
        ] {
            let pattern = Pattern::new(pattern).expect("not empty");
            for name in fitting {
                assert!(pattern.fits(&name.to_lowercase()), "{pattern} {name}");
            }
            for name in others {
                assert!(!pattern.fits(&name.to_lowercase()), "{pattern} {name}");
            }
        }
        assert_eq!(Pattern::new(""), None);
    }

    #[test]
    fn ignore_pattern_wins_for_every_name_of_a_tool() {
        let pattern = |text| Pattern::new(text).expect("not empty");
        let rules = ToolRules {
            allow: vec![pattern("get*"), pattern("list")],
            ignore: vec![pattern("*secret*")],
            read_only: false,
        };
        for (name, offered) in [("getUser", true), ("LIST", true), ("getSecrets", false), ("put", false)] {
            assert_eq!(rules.refusal(name).is_none(), offered, "{name}");
        }
        let filter = ToolFilter::new(&rules).expect("there are rules");
        assert!(filter.is_offered(r#"{"name":"get"}"#));
        assert!(!filter.is_offered(r#"{"name":"get","name":"put"}"#));
        assert!(!filter.is_offered(r#"{"n\u0061me":"put","name":"get"}"#));
        assert!(!filter.is_offered(r#"{"title":"get"}"#));
        assert!(!filter.is_offered(r#"{"name":"put","name":"get"}"#));
        assert!(!filter.is_offered(r#"{"name":"get","NAME":"put"}"#));
        assert!(!filter.is_offered(r#"{"Name":"put","name":"get"}"#));
        assert!(!filter.is_offered(r#"{"name":"get","name":7}"#));
        assert!(ToolFilter::new(&ToolRules::default()).is_none());
    }

    /// What becomes of a message under `--ignore-tool put`.
    fn is_passed_on(text: &str) -> bool {
        let ignore = vec![Pattern::new("put").expect("not empty")];
        let mut filter =
            ToolFilter::new(&ToolRules { ignore, ..ToolRules::default() }).expect("there are rules");
        let message =
            Message::parse(text.to_owned().into()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        filter.handle_client(message, Instant::now());
        std::iter::from_fn(|| filter.poll_output()).any(|output| matches!(output, Output::ToServer(_)))
    }

    #[test]
    fn message_readable_as_hidden_call_is_not_forwarded() {
        let put = r#""params":{"name":"put"}"#;
        for head in [r#""id":1,"#, "", r#""id":1,"result":{},"#] {
            for text in [
                format!(r#"{head}"method":"tools/call","method":"ping",{put}"#),
                format!(r#"{head}"method":"ping","method":"tools/call",{put}"#),
                format!(r#"{head}{put},"method":"tools/call","method":"ping""#),
                format!(r#"{head}"method":"ping","Method":"tools/call",{put}"#),
                format!(r#"{head}"METHOD":"tools/call","method":"ping",{put}"#),
                format!(r#"{head}"meth\u006fd":"tools/call","method":"ping",{put}"#),
                format!(r#"{head}"method":"ping","M\u0065thod":"tools\/c\u0061ll",{put}"#),
                format!(r#"{head}"method":"tools/call","params":{{"name":"get"}},{put}"#),
                format!(r#"{head}"method":"tools/call",{put},"params":{{"name":"get"}}"#),
                format!(r#"{head}"method":"tools/call","params":{{"name":"get"}},"PARAMS":{{"name":"put"}}"#),
                format!(
                    r#"{head}"method":"tools/call","param\u017f":{{"name":"put"}},"params":{{"name":"get"}}"#
                ),
                format!(r#"{head}"method":"tools/call","params":{{"name":"get","name":"put"}}"#),
                format!(r#"{head}"method":"tools/call","params":{{"name":"put","name":"get"}}"#),
                format!(r#"{head}"method":"tools/call","params":{{"name":"get","Name":"put"}}"#),
                format!(r#"{head}"method":"tools/call","params":{{"NAME":"put","name":"get"}}"#),
                format!(r#"{head}"method":"tools/call","params":{{"n\u0061me":"put","name":"get"}}"#),
                format!(r#"{head}"method":"ping","METHOD":"tools/call","PARAMS":{{"NAME":"PUT"}}"#),
                format!(r#"{head}"method":"tools/call","params":{{"name":"get","name":["put"]}}"#),
                format!(r#"{head}"method":"tools/call","method":"ping""#),
            ] {
                assert!(!is_passed_on(&format!("{{{text}}}")), "{text}");
            }
            for text in [
                format!(r#"{head}"method":"ping",{put}"#),
                format!(
                    r#"{head}"method":"tools/call","params":{{"name":"get","arguments":{{"name":"put"}}}}"#
                ),
                format!(
                    r#"{head}"method":"ping","method":"tools/call","params":{{"name":"get","Name":"list"}}"#
                ),
            ] {
                assert!(is_passed_on(&format!("{{{text}}}")), "{text}");
            }
        }
    }

    #[test]
    fn page_loses_hidden_tools_in_each_of_its_lists() {
        let ignore = vec![Pattern::new("put").expect("not empty")];
        let mut filter =
            ToolFilter::new(&ToolRules { ignore, ..ToolRules::default() }).expect("there are rules");
        let mut filtered = |ask: &str, page: &str| {
            let parse = |text: &str| Message::parse(text.to_owned().into()).expect("a message");
            #[expect(clippy::disallowed_methods, reason = "any moment will do")]
            let now = Instant::now();
            filter.handle_client(parse(ask), now);
            filter.handle_server(Output::to_client(parse(page)), now);
            std::iter::from_fn(|| filter.poll_output())
                .find_map(|output| match output {
                    Output::ToClient { message, .. } => Some(text_of(&message).to_owned()),
                    _ => None,
                })
                .expect("a page")
        };
        let page = r#"{"id":1,"result":{"tools":[{"name":"put"},{"name":"get"}],"Tools":[{"name":"put"}]},"result":{"tools":[{"name":"a"},{"name":"put","name":"a"}]}}"#;
        let expected =
            r#"{"id":1,"result":{"tools":[{"name":"get"}],"Tools":[]},"result":{"tools":[{"name":"a"}]}}"#;
        for ask in [
            r#"{"id":1,"method":"tools/list"}"#,
            r#"{"id":1,"method":"tools/list","method":"ping"}"#,
            r#"{"id":1,"METHOD":"tools/list","method":"ping"}"#,
        ] {
            assert_eq!(filtered(ask, page), expected, "{ask}");
        }
        for error in [r#""error":null"#, r#""error":{"code":1,"message":"no"}"#] {
            for result in ["Result", "result", "re\\u0073ult"] {
                let page = format!(r#"{{"id":1,{error},"{result}":{{"tools":[{{"name":"put"}}]}}}}"#);
                let expected = format!(r#"{{"id":1,{error},"{result}":{{"tools":[]}}}}"#);
                assert_eq!(filtered(r#"{"id":1,"method":"tools/list"}"#, &page), expected);
            }
        }
        let odd = r#"{"id":1,"result":{"\ud800":1,"tools":[{"\udc00":2,"name":"put"}]}}"#;
        assert_eq!(
            filtered(r#"{"id":1,"method":"tools/list"}"#, odd),
            r#"{"id":1,"result":{"\ud800":1,"tools":[]}}"#
        );
    }

    #[test]
    fn tool_with_contradictory_hints_is_not_read_only() {
        for (tool, expected) in [
            (r#"{"annotations":{"readOnlyHint":true}}"#, true),
            (r#"{"annotations":{"readOnlyHint":true,"readOnlyHint":false}}"#, false),
            (r#"{"annotations":{"readOnlyHint":false,"readOnlyHint":true}}"#, false),
            (r#"{"annotations":{"readOnlyHint":true},"Annotations":{"readOnlyHint":false}}"#, false),
            (r#"{"annotations":{}}"#, false),
        ] {
            assert_eq!(only_reads(tool), expected, "{tool}");
        }
    }
}
