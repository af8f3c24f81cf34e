//! People before the edge: Managed OAuth, where Access signs them in, and a server behind Access that does so itself
//! (Access for SaaS), with a service token going along to it and to nobody else.
//!
//! A token of that server that is bound to a key is of no use to a thief.
//!
//! Not on Windows, where a test cannot say where configuration is kept.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::edge::{Access, Answers, Config, Edge, Mode, Policy, Seen};
use crate::secrets;
use crate::support::authority::{value, visit, visit_as};
use crate::support::proxy::{Proxy, Stdin};
use crate::support::{INITIALIZE, INITIALIZED};

const DOCUMENT: &str = "/.well-known/cloudflare-access-protected-resource/mcp";
const REGISTRATION: &str = "/cdn-cgi/access/oauth/registration";
const TOKEN: &str = "/cdn-cgi/access/oauth/token";

fn start(mode: Mode, policies: &[Policy]) -> Edge {
    let access = Access { mode, policies: policies.to_vec() };
    Edge::start(Config { access: Some(access), answers: Answers::Json, port: 0 }).expect("a free port")
}

fn proxy(edge: &Edge, home: &tempfile::TempDir, arguments: &[&str], with_token: bool) -> Proxy {
    let (home, url) = (home.path().to_str().expect("UTF-8"), edge.mcp_url());
    let token = edge.token();
    let mut environment = vec![("HOME", home), ("XDG_CONFIG_HOME", home)];
    if with_token {
        environment.push(("CF_ACCESS_CLIENT_ID", token.id.as_str()));
        environment.push(("CF_ACCESS_CLIENT_SECRET", &token.secret));
    }
    let arguments: Vec<&str> = arguments.iter().copied().chain(["-vvv", url.as_str()]).collect();
    Proxy::start_with(Stdin::Pipes, &arguments, &environment)
}

fn whoami(id: u32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"whoami","arguments":{{}}}}}}"#
    )
}

fn page(proxy: &Proxy, times: usize) -> String {
    proxy.told_after("sign in at ", times)
}

/// What was asked at a path.
fn at(seen: &[Seen], path: &str) -> Vec<Seen> {
    let is_there = |seen: &&Seen| seen.path.split('?').next() == Some(path);
    seen.iter().filter(is_there).cloned().collect()
}

fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    seen.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
}

/// Everything that was said to somebody, but for bodies.
fn heard(seen: &[Seen]) -> String {
    seen.iter().map(|seen| format!("{} {:?}\n", seen.path, seen.headers)).collect()
}

/// The bearer tokens that the application has seen.
fn bearers(edge: &Edge) -> Vec<String> {
    let requests = edge.requests();
    let all = requests.iter().filter_map(|seen| header(seen, "authorization")?.strip_prefix("Bearer "));
    let mut all: Vec<String> = all.map(str::to_owned).collect();
    all.dedup();
    all
}

#[test]
fn managed_oauth_works_until_grant_ends() {
    // Published as its address or as its origin; one spelling of this computer is allowed, or the other.
    for (is_origin, spelling) in [(false, "localhost"), (true, "127.0.0.1")] {
        let (edge, home) = (start(Mode::Legacy, &[Policy::Allow]), tempfile::tempdir().expect("a folder"));
        edge.change(|settings| {
            settings.managed_oauth = true;
            settings.is_published_as_origin = is_origin;
            settings.localhost_clients = spelling == "localhost";
            settings.loopback_clients = spelling != "localhost";
        });
        let mut proxy = proxy(&edge, &home, &["--header", "X-Tenant: marked-tenant"], false);
        proxy.send(INITIALIZE);
        let address = page(&proxy, 1);
        let team = edge.team_url().expect("there is Access").to_owned();
        assert!(address.starts_with(&format!("{team}/cdn-cgi/access/oauth/authorization?")), "{address}");
        let query = address.split_once('?').expect("a query").1;
        let application = edge.mcp_url();
        let published = if is_origin { application.trim_end_matches("mcp") } else { &application };
        assert_eq!(value(query, "resource").as_deref(), Some(published), "byte for byte");
        let back = value(query, "redirect_uri").expect("a way back");
        assert!(back.starts_with(&format!("http://{spelling}:")), "{back}");
        assert!(visit(&address).contains("You are signed in"));
        assert!(proxy.line().contains("\"result\""));
        proxy.send(INITIALIZED);
        assert!(proxy.ask(&whoami(2)).contains("ada@example.com"));

        // Its own document, not that of RFC 9728; introduced once in the spelling that is allowed.
        assert_eq!(at(&edge.requests(), DOCUMENT).len(), 1);
        let tried = at(&edge.team_requests(), REGISTRATION);
        let statuses: Vec<u16> = tried.iter().map(|seen| seen.status).collect();
        assert_eq!(statuses, if spelling == "localhost" { vec![400, 201] } else { vec![201] });

        // A token that has run out is exchanged, and what it is exchanged with goes on.
        for id in 3..6 {
            edge.expire_people();
            assert!(proxy.ask(&whoami(id)).contains("ada@example.com"));
        }
        assert_eq!(at(&edge.team_requests(), TOKEN).len(), 4);

        // The grant itself comes to its end: that is told, and a person is asked, who is known already.
        edge.end_grants();
        proxy.send(&whoami(7));
        assert!(visit(&page(&proxy, 2)).contains("You are signed in"));
        assert!(proxy.line().contains("ada@example.com"));
        proxy.tells("has come to its end");
        proxy.tells("you may have lost access to this server");
        assert_eq!(at(&edge.team_requests(), REGISTRATION).len(), tried.len());

        let tokens = bearers(&edge);
        assert!(tokens.len() == 5 && tokens.iter().all(|token| token.starts_with("oauth:")), "{tokens:?}");
        let told = secrets::found(&proxy.finish().stderr, &tokens);
        assert!(told.is_empty(), "{told:?}");
        // The team's host is another origin.
        let heard = heard(&edge.team_requests());
        assert!(!heard.contains("marked") && secrets::found(&heard, &tokens).is_empty());
    }
}

#[test]
fn check_names_login_command_until_user_signs_in() {
    let (edge, home) = (start(Mode::Legacy, &[Policy::Allow]), tempfile::tempdir().expect("a folder"));
    edge.change(|settings| settings.managed_oauth = true);
    let check = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
            .args(["check", &edge.mcp_url()])
            .env_clear()
            .env("HOME", home.path())
            .env("XDG_CONFIG_HOME", home.path())
            .output()
            .expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, before) = check();
    assert_eq!(code, Some(1), "{before}");
    let remedy = format!("try     sign in: mcp-tether login {}; or set CF_ACCESS_CLIENT_ID", edge.mcp_url());
    assert!(before.contains(&remedy), "{before}");
    let login = proxy(&edge, &home, &["login"], false);
    assert!(visit(&page(&login, 1)).contains("You are signed in"));
    assert_eq!(login.wait_unread(), Some(0));
    let (code, after) = check();
    assert_eq!(code, Some(0), "{after}");
    assert!(
        after.contains("token         ok      Cloudflare Access accepts the stored sign-in\n"),
        "{after}"
    );
}

#[test]
fn access_token_is_refreshed_before_expiry() {
    let (edge, home) = (start(Mode::Strict, &[Policy::Allow]), tempfile::tempdir().expect("a folder"));
    // In place of fifteen minutes.
    edge.change(|settings| (settings.managed_oauth, settings.token_seconds) = (true, 4));
    let mut proxy = proxy(&edge, &home, &[], false);
    proxy.send(INITIALIZE);
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy.send(INITIALIZED);
    let before = edge.requests().len();
    let mut id = 2;
    while at(&edge.team_requests(), TOKEN).len() < 3 {
        assert!(proxy.ask(&whoami(id)).contains("ada@example.com"));
        id += 1;
    }
    assert!(edge.requests()[before..].iter().all(|seen| seen.status < 400 || seen.method == "GET"));
    proxy.finish();
}

#[test]
fn service_token_without_policy_is_withheld_beside_sign_in() {
    let (edge, home) = (start(Mode::Legacy, &[Policy::Allow]), tempfile::tempdir().expect("a folder"));
    edge.change(|settings| settings.managed_oauth = true);
    // Left to itself, it does not start: that would hide what is wrong with the token.
    let mut alone = proxy(&edge, &home, &[], true);
    let line = alone.ask(INITIALIZE);
    assert!(line.contains("\"cause\":\"access_hidden\""), "{line}");
    assert!(!alone.finish().stderr.contains("sign in at"));
    assert_eq!(at(&edge.team_requests(), REGISTRATION).len(), 0);
    // Asked for, it does.
    let mut proxy = proxy(&edge, &home, &["--auth", "oauth"], true);
    proxy.send(INITIALIZE);
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy.send(INITIALIZED);
    assert!(proxy.ask(&whoami(2)).contains("ada@example.com"));
    edge.expire_people();
    assert!(proxy.ask(&whoami(3)).contains("ada@example.com"));
    proxy.finish();
    let mut all = bearers(&edge);
    all.push(edge.token().secret.clone());
    let heard = heard(&edge.team_requests());
    assert!(at(&edge.team_requests(), TOKEN).len() == 2 && secrets::found(&heard, &all).is_empty());
}

#[test]
fn signs_in_behind_access_with_service_token() {
    for mode in [Mode::Legacy, Mode::Strict] {
        let edge = start(mode, &[Policy::Allow, Policy::ServiceAuth]);
        let home = tempfile::tempdir().expect("a folder");
        edge.change(|settings| settings.signs_in = true);
        // The person's browser has a session with Access.
        let session = edge.sign_in("ada@example.com", 3600).expect("there is Access");
        let person = |address: &str| visit_as(&format!("cf-access-token: {session}"), address);
        let mut proxy = proxy(&edge, &home, &[], true);
        proxy.send(INITIALIZE);
        let address = page(&proxy, 1);
        let server = edge.mcp_url();
        assert!(address.starts_with(&server.replace("/mcp", "/authorize?")), "{address}");
        assert_eq!(value(&address, "resource").as_deref(), Some(server.as_str()));
        assert!(person(&address).contains("You are signed in"));
        assert!(proxy.line().contains("\"result\""));
        proxy.send(INITIALIZED);
        // To the server it is the token that came through Access; its own it has looked at itself.
        assert!(proxy.ask(&whoami(2)).contains(&edge.token().id));
        edge.expire_people();
        assert!(proxy.ask(&whoami(3)).contains(&edge.token().id));
        edge.end_grants();
        proxy.send(&whoami(4));
        assert!(person(&page(&proxy, 2)).contains("You are signed in"));
        assert!(proxy.line().contains(&edge.token().id));
        let ended = proxy.finish();

        let requests = edge.requests();
        for path in [
            "/mcp",
            "/.well-known/oauth-protected-resource/mcp",
            "/.well-known/oauth-authorization-server",
            "/register",
            "/token",
        ] {
            let asked = at(&requests, path);
            assert!(!asked.is_empty(), "{path}");
            for seen in asked {
                let secret = header(&seen, "cf-access-client-secret");
                assert_eq!(secret, Some(edge.token().secret.as_str()), "{seen:?}");
            }
        }
        assert_eq!((at(&requests, "/register").len(), at(&requests, "/token").len()), (1, 4));
        assert!(
            requests.iter().all(|seen| header(seen, "cookie").is_none_or(|cookie| !cookie.contains("CF_")))
        );
        let mut all = bearers(&edge);
        assert!(all.len() == 3 && all.iter().all(|token| token.starts_with("saas:")), "{}", all.len());
        all.push(edge.token().secret.clone());
        assert!(secrets::found(&ended.stderr, &all).is_empty(), "{}", ended.stderr);
        assert!(secrets::found(&heard(&edge.team_requests()), &all).is_empty(), "nobody else hears of it");
    }
}

/// Sends a call with these headers; returns the head of the answer.
fn asked_by_thief(edge: &Edge, headers: &[(&str, &str)]) -> String {
    let address = edge.mcp_url().replace("http://", "").replace("/mcp", "");
    let mut stream = TcpStream::connect(&address).expect("it listens");
    let (body, accept) = (whoami(1), "application/json, text/event-stream");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\ncontent-type: application/json\r\n{headers}\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split("\r\n\r\n").next().expect("a head").to_ascii_lowercase()
}

#[test]
fn stolen_token_of_server_is_refused_without_its_key() {
    let edge = start(Mode::Legacy, &[Policy::Allow, Policy::ServiceAuth]);
    let home = tempfile::tempdir().expect("a folder");
    edge.change(|settings| (settings.signs_in, settings.binds_tokens) = (true, true));
    let session = edge.sign_in("ada@example.com", 3600).expect("there is Access");
    let mut proxy = proxy(&edge, &home, &[], true);
    proxy.send(INITIALIZE);
    let address = page(&proxy, 1);
    assert!(value(&address, "dpop_jkt").is_some(), "{address}");
    assert!(visit_as(&format!("cf-access-token: {session}"), &address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.send(INITIALIZED);
    assert!(proxy.ask(&whoami(2)).contains(&edge.token().id));
    edge.expire_people();
    assert!(proxy.ask(&whoami(3)).contains(&edge.token().id), "the refresh proves the key as well");
    proxy.finish();

    // Everything that went along with the last call, to the letter.
    let requests = at(&edge.requests(), "/mcp");
    let last = requests.iter().rfind(|seen| header(seen, "dpop").is_some()).expect("a proof");
    let of_last = |name| header(last, name).expect("a header");
    let (token, proof) = (of_last("authorization"), of_last("dpop"));
    assert!(token.starts_with("DPoP saas:"), "{token}");
    let service = edge.token();
    let through = [("cf-access-client-id", &*service.id), ("cf-access-client-secret", &*service.secret)];
    let as_bearer = token.replace("DPoP ", "Bearer ");
    for (what, stolen) in [
        ("the token alone", vec![("authorization", token)]),
        ("as a bearer token", vec![("authorization", as_bearer.as_str())]),
        ("with the proof that was used", vec![("authorization", token), ("dpop", proof)]),
    ] {
        let head = asked_by_thief(&edge, &[&through[..], &stolen].concat());
        assert!(
            head.starts_with("http/1.1 401") && head.contains("www-authenticate: dpop algs"),
            "{what}: {head}"
        );
    }
}
