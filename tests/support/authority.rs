//! A loopback authorization server that can be hostile, and the server that sends people to it: one listener for both.
//!
//! What it answers is changed while it runs, through [`Set`]. A person is whoever calls [`visit`].

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;
use super::dpop::{DpopMemory, DpopRules, Proof, Refused};
use super::server::{Reply, Request, Server};

/// What answers a request in place of everything else; it returns whether it has.
#[derive(Clone)]
pub(crate) struct Instead(Arc<Answering>);

/// Returns whether it has answered.
type Answering = dyn Fn(&Request, &mut Reply) -> bool + Send + Sync;

impl Instead {
    pub(crate) fn new(
        answer: impl Fn(&Request, &mut Reply) -> bool + Send + Sync + 'static,
    ) -> Option<Instead> {
        Some(Instead(Arc::new(answer)))
    }
}

impl std::fmt::Debug for Instead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Instead")
    }
}

/// What the authorization server does.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// The challenge of the server; `BASE` stands for the address.
    pub(crate) challenge: String,
    /// The members of the server's metadata.
    pub(crate) resource: String,
    /// Those of the authorization server's.
    pub(crate) metadata: String,
    /// What comes back with the person, `STATE` and `BASE` filled in.
    pub(crate) back: String,
    /// How long tokens hold, in seconds.
    pub(crate) expires_in: u64,
    /// What is answered to a refresh in place of tokens: a status and a body.
    pub(crate) refresh: Option<(u16, &'static str)>,
    /// What is answered to everything else that would bring tokens, and is no code.
    pub(crate) token: Option<(u16, &'static str)>,
    /// What is answered to a registration in place of a client.
    pub(crate) registration: Option<(u16, &'static str)>,
    /// Whether it takes people back to `127.0.0.1`; `localhost` it always does.
    pub(crate) loopback_is_allowed: bool,
    /// Whether the tokens it gives are accepted by the server.
    pub(crate) accepts: bool,
    /// The scope that the server wants a token to have for `tools/call`; `NAME` for the one that the tool is named after.
    pub(crate) wants: Option<&'static str>,
    /// A path whose requests wait before anything is done, until this is something else; with `, done` behind it they wait
    /// before they are answered, with `, lost` they are never handled.
    pub(crate) held: Option<&'static str>,
    /// What is answered at a path in place of anything else, byte for byte; with `*` at its end, at every path that begins so.
    pub(crate) raw: Option<(&'static str, Vec<u8>)>,
    /// What is answered to a code in place of tokens: members, with `ACCESS` and `REFRESH` filled in.
    pub(crate) granted: Option<&'static str>,
    /// The members of what is answered to whoever wants a code for another computer.
    pub(crate) device: String,
    /// What is answered to those who ask with it: these errors, one after the other, then tokens.
    pub(crate) pending: Vec<&'static str>,
    /// The ID token that comes with others; the server takes it in place of the access token.
    pub(crate) id_token: Option<String>,
    /// What both servers ask of proofs of a key; without it they know nothing of them.
    pub(crate) dpop: Option<DpopRules>,
    /// What answers in place of all of this.
    pub(crate) instead: Option<Instead>,
}

impl Default for Set {
    fn default() -> Set {
        Set {
            challenge: r#"Bearer resource_metadata="BASE/.well-known/oauth-protected-resource/mcp""#.to_owned(),
            resource: r#""resource":"BASE/mcp","authorization_servers":["BASE"]"#.to_owned(),
            metadata: r#""issuer":"BASE","authorization_endpoint":"BASE/authorize","token_endpoint":"BASE/token","registration_endpoint":"BASE/register","revocation_endpoint":"BASE/revoke","code_challenge_methods_supported":["S256"]"#.to_owned(),
            back: "code=CODE&state=STATE".to_owned(),
            expires_in: 3600,
            refresh: None,
            token: None,
            registration: None,
            loopback_is_allowed: true,
            accepts: true,
            wants: None,
            held: None,
            raw: None,
            granted: None,
            device: r#""device_code":"marked-device","user_code":"AB-CD","verification_uri":"BASE/activate","expires_in":600,"interval":0.1"#.to_owned(),
            pending: vec!["authorization_pending"],
            id_token: None,
            dpop: None,
            instead: None,
        }
    }
}

/// What it has given out.
#[derive(Default)]
struct Given {
    count: usize,
    /// Access tokens that hold, each with its scope, and what they are exchanged with.
    tokens: Vec<(String, String, String)>,
    /// The challenge and the scope of the sign-in under way.
    asked: Option<(String, String)>,
    /// How often somebody has asked with a device code.
    polls: usize,
    /// What is known of keys.
    dpop: DpopMemory,
}

/// Both servers.
pub(crate) struct Authority {
    pub(crate) server: Server,
    set: Arc<Switch>,
    given: Arc<Mutex<Given>>,
}

/// What it does, and the news that this has changed.
#[derive(Default)]
struct Switch(Mutex<Set>, Condvar);

impl Switch {
    fn now(&self) -> Set {
        self.0.lock().expect("no panic").clone()
    }

    /// Waits while requests here are held. False where they are lost.
    fn pass(&self, place: &str) -> bool {
        let set = self.0.lock().expect("no panic");
        let lost = format!("{place}, lost");
        let is_lost = set.held == Some(lost.as_str());
        let is_held = |set: &mut Set| set.held.is_some_and(|held| held == place || held == lost);
        drop(self.1.wait_timeout_while(set, PATIENCE, is_held).expect("no panic"));
        !is_lost
    }
}

/// Answers whoever has a token.
type Mcp = Box<dyn Fn(&Request, &mut Reply) + Send + Sync>;

impl Authority {
    /// Starts it; whoever has a token it gave is answered by a legacy server without a session.
    pub(crate) fn start(set: Set) -> Authority {
        Authority::before(set, |request, reply| match request.method.as_str() {
            "POST" => reply.result(request, "{}"),
            _ => reply.status(405),
        })
    }

    /// The same before another server, which answers everything that comes with a token.
    pub(crate) fn before(set: Set, mcp: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Authority {
        let (set, given) =
            (Arc::new(Switch(Mutex::new(set), Condvar::new())), Arc::<Mutex<Given>>::default());
        let (sets, gives) = (Arc::clone(&set), Arc::clone(&given));
        let mcp: Mcp = Box::new(mcp);
        let server = Server::start(move |request, reply| {
            if !sets.pass(path(request)) {
                return reply.close();
            }
            answer(request, reply, &sets, &gives, &mcp);
        });
        Authority { server, set, given }
    }

    /// Changes what it does.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Set)) {
        change(&mut self.set.0.lock().expect("no panic"));
        self.set.1.notify_all();
    }

    /// Has given these out before.
    pub(crate) fn knows(&self, access: &str, refresh: &str) {
        let mut given = self.given.lock().expect("no panic");
        given.tokens.push((access.to_owned(), String::new(), refresh.to_owned()));
    }

    /// Forgets every access token, and with `all` what they are exchanged with.
    pub(crate) fn forget(&self, all: bool) {
        let mut given = self.given.lock().expect("no panic");
        match all {
            true => given.tokens.clear(),
            false => given.tokens.iter_mut().for_each(|(access, ..)| access.clear()),
        }
    }

    /// Every valid proof that came, in order.
    pub(crate) fn proofs(&self) -> Vec<Proof> {
        self.given.lock().expect("no panic").dpop.proofs.clone()
    }

    /// What was wrong with other proofs.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.given.lock().expect("no panic").dpop.faults.clone()
    }

    /// How many requests there were to a path.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.server.requests().iter().filter(|request| request.path.split('?').next() == Some(path)).count()
    }

    /// The last request to a path.
    pub(crate) fn last(&self, path: &str) -> Request {
        let requests = self.server.requests();
        let last = requests.into_iter().rfind(|request| request.path.split('?').next() == Some(path));
        last.unwrap_or_else(|| panic!("nothing was asked at {path}"))
    }
}

/// A value of a form or of a query.
pub(crate) fn value(form: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(form.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn path(request: &Request) -> &str {
    request.path.split('?').next().unwrap_or_default()
}

fn answer(request: &Request, reply: &mut Reply, switch: &Switch, given: &Mutex<Given>, mcp: &Mcp) {
    let set = &switch.now();
    let base = format!("http://{}", request.header("host").expect("a host"));
    let json = [("content-type", "application/json")];
    // As a proxy it is told the whole address.
    let target = request.path.strip_prefix(base.as_str()).unwrap_or(&request.path);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let filled = |text: &str| text.replace("BASE", &base);
    if let Some((at, bytes)) = &set.raw
        && at.strip_suffix('*').map_or(*at == path, |start| path.starts_with(start))
    {
        reply.raw(bytes);
        return reply.close();
    }
    if let Some(Instead(instead)) = &set.instead
        && instead(request, reply)
    {
        return;
    }
    match (request.method.as_str(), path) {
        (
            "GET",
            "/.well-known/oauth-protected-resource/mcp"
            | "/.well-known/cloudflare-access-protected-resource/mcp",
        ) => {
            reply.answer(200, &json, &format!("{{{}}}", filled(&set.resource)));
        }
        ("GET", "/.well-known/oauth-authorization-server") => {
            reply.answer(200, &json, &format!("{{{}}}", filled(&set.metadata)));
        }
        ("POST", "/register") => match set.registration {
            Some((status, body)) => reply.answer(status, &json, body),
            None if !set.loopback_is_allowed && request.body.contains("//127.0.0.1") => {
                let refusal = r#"{"error":"invalid_client_metadata","error_description":"redirect_uri is not allowed by the account configuration"}"#;
                reply.answer(400, &json, refusal);
            }
            None => reply.answer(201, &json, r#"{"client_id":"a-client"}"#),
        },
        ("GET", "/authorize") => {
            let redirect = value(query, "redirect_uri").expect("a way back");
            let back = filled(&set.back).replace("STATE", &value(query, "state").expect("a state"));
            let mut given = given.lock().expect("no panic");
            given.dpop.code_key = value(query, "dpop_jkt");
            given.asked = Some((
                value(query, "code_challenge").expect("a challenge"),
                value(query, "scope").unwrap_or_default(),
            ));
            drop(given);
            reply.answer(302, &[("location", &format!("{redirect}?{back}"))], "");
        }
        ("POST", "/device") => {
            given.lock().expect("no panic").asked =
                Some((String::new(), value(&request.body, "scope").unwrap_or_default()));
            reply.answer(200, &json, &format!("{{{}}}", filled(&set.device)));
        }
        ("POST", "/token") => token(request, reply, switch, given),
        ("POST", "/revoke") => reply.status(200),
        (_, "/mcp" | "/messages") => {
            let mut held = given.lock().expect("no panic");
            let token = match presented(request, set, &mut held.dpop) {
                Ok(token) => token,
                Err(refused) => {
                    drop(held);
                    return refused.at_server(set.dpop.as_ref().map_or(0, |rules| rules.ahead), reply);
                }
            };
            let is_given = |access: &String| match &set.id_token {
                Some(id_token) => !access.is_empty() && token == Some(id_token),
                None => token == Some(access),
            };
            let found = held.tokens.iter().find(|(access, ..)| set.accepts && is_given(access));
            let tool = || {
                let call: serde_json::Value = serde_json::from_str(&request.body).unwrap_or_default();
                call["params"]["name"].as_str().unwrap_or_default().to_owned()
            };
            let wants = set.wants.map(|wants| if wants == "NAME" { tool() } else { wants.to_owned() });
            match (found, &wants) {
                (None, _) if set.challenge.is_empty() => reply.status(401),
                (None, _) => reply.answer(401, &[("www-authenticate", &filled(&set.challenge))], ""),
                (Some((_, scope, _)), Some(wants))
                    if request.title() == "tools/call" && !scope.split(' ').any(|word| word == wants) =>
                {
                    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{wants}\"");
                    reply.answer(403, &[("www-authenticate", &challenge)], "");
                }
                (Some(_), _) => {
                    drop(held);
                    mcp(request, reply);
                }
            }
        }
        _ => reply.status(404),
    }
}

/// The access token of a request, if it may be presented as it is. A bound one without a proof is none.
fn presented<'a>(
    request: &'a Request,
    set: &Set,
    memory: &mut DpopMemory,
) -> Result<Option<&'a str>, Refused> {
    let Some((scheme, token)) = request.header("authorization").and_then(|value| value.split_once(' '))
    else {
        return Ok(None);
    };
    match (scheme, &set.dpop) {
        ("DPoP", Some(rules)) if !rules.knows_bearer_only => {
            let key = memory.verify(request, Some(token), rules)?;
            let is_right = memory.is_bound_to(token, Some(&key));
            if is_right { Ok(Some(token)) } else { Err(Refused::wrong_key()) }
        }
        ("Bearer", _) => Ok(Some(token).filter(|token| memory.is_bound_to(token, None))),
        _ => Ok(None),
    }
}

fn token(request: &Request, reply: &mut Reply, switch: &Switch, given: &Mutex<Given>) {
    let set = &switch.now();
    let json = [("content-type", "application/json")];
    let form = |name: &str| value(&request.body, name);
    let mut given = given.lock().expect("no panic");
    let proven = match &set.dpop {
        Some(rules) if request.header("dpop").is_some() => match given.dpop.verify(request, None, rules) {
            Ok(key) => Some(key),
            Err(refused) => return refused.at_token_endpoint(rules.ahead, reply),
        },
        _ => None,
    };
    let old = form("refresh_token").or_else(|| form("code").and(given.dpop.code_key.clone()));
    let is_code = form("code").is_some();
    let is_bound = match &old {
        Some(key) if is_code => proven.as_ref() == Some(key),
        Some(refresh) => given.dpop.is_bound_to(refresh, proven.as_deref()),
        None => true,
    };
    if !is_bound {
        return reply.answer(400, &json, r#"{"error":"invalid_grant","error_description":"another key"}"#);
    }
    let scope = match form("grant_type").as_deref() {
        Some("authorization_code") => {
            let (challenge, scope) = given.asked.clone().expect("somebody signed in");
            let verifier = form("code_verifier").expect("a verifier");
            let hash = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
            use base64::Engine;
            let proven = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(hash);
            assert_eq!(proven, challenge, "the code is not bound to who asked for it");
            let code = form("code").expect("a code");
            assert!(set.back.contains(&format!("code={code}")), "a code of somebody else");
            scope
        }
        _ if set.token.is_some() => {
            let (status, body) = set.token.expect("it is there");
            return reply.answer(status, &json, body);
        }
        Some("refresh_token") => {
            if let Some((status, body)) = set.refresh {
                return reply.answer(status, &json, body);
            }
            let old = form("refresh_token").expect("a token");
            let Some(index) = given.tokens.iter().position(|(.., refresh)| *refresh == old) else {
                return reply.answer(400, &json, r#"{"error":"invalid_grant"}"#);
            };
            // Each is good once.
            given.tokens.remove(index).1
        }
        Some("client_credentials" | "urn:ietf:params:oauth:grant-type:jwt-bearer") => {
            form("scope").unwrap_or_default()
        }
        Some("urn:ietf:params:oauth:grant-type:device_code") => {
            assert_eq!(form("device_code").as_deref(), Some("marked-device"));
            given.polls += 1;
            match set.pending.get(given.polls - 1) {
                Some(error) => return reply.answer(400, &json, &format!(r#"{{"error":"{error}"}}"#)),
                None => given.asked.clone().expect("a code was given").1,
            }
        }
        other => panic!("a grant of type {other:?}"),
    };
    given.count += 1;
    let (access, refresh) =
        (format!("marked-access-{}", given.count), format!("marked-refresh-{}", given.count));
    let granted = set.granted.filter(|_| form("code").is_some());
    let granted = granted.map(|text| text.replace("ACCESS", &access).replace("REFRESH", &refresh));
    let is_bearer = set.dpop.as_ref().is_none_or(|rules| rules.gives_bearer);
    let token_type = match &proven {
        Some(key) => {
            // A refresh token is bound in either case (RFC 9449, 5).
            let bound: &[&str] = if is_bearer { &[&refresh] } else { &[&access, &refresh] };
            given.dpop.bind(bound, key);
            if is_bearer { "Bearer" } else { "DPoP" }
        }
        None => "Bearer",
    };
    let usual = format!(
        r#"{{"access_token":"{access}","token_type":"{token_type}","expires_in":{},"refresh_token":"{refresh}"{}}}"#,
        set.expires_in,
        set.id_token.as_deref().map(|token| format!(r#","id_token":"{token}""#)).unwrap_or_default()
    );
    given.tokens.push((access, scope, refresh));
    drop(given);
    switch.pass("/token, done");
    reply.answer(200, &json, &granted.unwrap_or(usual));
}

/// A person with a browser: goes to a page, and on to wherever it leads. Returns the last page.
pub(crate) fn visit(address: &str) -> String {
    visit_as("", address)
}

/// The same with a header line for the first page.
pub(crate) fn visit_as(header: &str, address: &str) -> String {
    let mut address = address.to_owned();
    let mut header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    for _ in 0..5 {
        let url: url::Url = address.parse().expect("a URL");
        let host = (url.host_str().expect("a host"), url.port().expect("a port"));
        let Ok(mut stream) = TcpStream::connect(host) else { return format!("nobody at {host:?}") };
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = format!("{}:{}", host.0, host.1);
        let header = std::mem::take(&mut header);
        write!(stream, "GET {target} HTTP/1.1\r\nhost: {host}\r\n{header}connection: close\r\n\r\n")
            .expect("it reads");
        let mut page = String::new();
        let mut chunk = [0; 4096];
        // The head is enough where it leads on: our own server keeps the connection.
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            page.push_str(&String::from_utf8_lossy(&chunk[..count]));
            if page.contains("\r\n\r\n") && page.contains("\r\nlocation: ") {
                break;
            }
        }
        match page.lines().find_map(|line| line.strip_prefix("location: ")) {
            Some(next) => address = next.to_owned(),
            None => return page,
        }
    }
    panic!("{address} leads on and on")
}
