//! `mcp-tether check`: what it finds on the way, where it stops, and that it leaves nothing behind.

use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, DnType};
use serde_json::Value;

use crate::network::{self, Tunnel};
use crate::support::PATIENCE;
use crate::support::server::{Reply, Request, Server};
use crate::tls::secure;

const ID: &str = "0123456789abcdef0123456789abcdef.access";
const NEXT_ID: &str = "fedcba9876543210fedcba9876543210.access";
const TAG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const INFO: &str = r#""serverInfo":{"name":"s","version":"1"}"#;

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.arg("check").args(arguments).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(root) = std::env::var_os("SystemRoot") {
        command.env("SystemRoot", root);
    }
    command
}

/// Waits for the end of a check, for no longer than anything may take.
fn output(child: Child) -> Output {
    let id = child.id();
    let (sender, ended) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(PATIENCE) else { panic!("process {id} does not end") };
    output.expect("it was started")
}

/// Runs a check to its end: exit code, and what it told as lines and as JSON.
fn checked(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let found = output(command(arguments, environment).spawn().expect("it starts"));
    let all = [found.stdout.as_slice(), &found.stderr].concat();
    let all = String::from_utf8(all).expect("UTF-8");
    assert!(!all.contains("marked"), "a secret: {all}");
    (found.status.code(), all)
}

fn told(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, Value) {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let (code, text) = checked(&arguments, environment);
    (code, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
}

/// The last finding of a step.
fn finding<'a>(told: &'a Value, step: &str) -> &'a Value {
    let all = told["findings"].as_array().expect("findings");
    let found = all.iter().rfind(|finding| finding["step"] == step);
    found.unwrap_or_else(|| panic!("no step {step}: {told}"))
}

fn text<'a>(told: &'a Value, step: &str) -> &'a str {
    finding(told, step)["text"].as_str().expect("a text")
}

fn steps(told: &Value) -> Vec<&str> {
    told["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|finding| finding["step"].as_str())
        .collect()
}

/// Answers `initialize` with these capabilities and a session.
fn initialized(request: &Request, reply: &mut Reply, capabilities: &str) {
    let result = format!(r#"{{"protocolVersion":"2025-11-25","capabilities":{capabilities},{INFO}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id());
    reply.answer(200, &[("content-type", "application/json"), ("mcp-session-id", "session-1")], &body);
}

/// A server of the earlier era that lists `pages` pages of two tools each.
fn paged(pages: usize) -> Server {
    Server::start(move |request, reply| match request.title() {
        "initialize" => initialized(request, reply, r#"{"tools":{"listChanged":true},"logging":{}}"#),
        "HEAD" => reply.status(405),
        "GET" => reply.status(404),
        "DELETE" => reply.status(204),
        "notifications/initialized" => reply.status(202),
        "ping" => reply.result(request, "{}"),
        "tools/list" => {
            let cursor =
                request.member("params").and_then(|params| mcp_tether::json::member(params, "cursor"));
            let page: usize = cursor.map_or(0, |cursor| cursor.trim_matches('"').parse().expect("ours"));
            let next = match page + 1 < pages {
                true => format!(r#","nextCursor":"{}""#, page + 1),
                false => String::new(),
            };
            reply.result(request, &format!(r#"{{"tools":[{{"name":"a"}},{{"name":"b"}}]{next}}}"#));
        }
        _ => reply.answer(
            400,
            &[("content-type", "application/json")],
            &format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32601,"message":"no"}}}}"#, request.id()),
        ),
    })
}

#[test]
fn counts_pages_up_to_limit_and_ends_session() {
    for (pages, expected) in [(1, "2"), (3, "6"), (1_000_000, "more than 100")] {
        let server = paged(pages);
        let (code, told) = told(&[&server.url], &[]);
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(text(&told, "tools"), expected);
        assert_eq!(text(&told, "prompts"), "not offered");
        assert_eq!(text(&told, "capabilities"), "tools (listChanged), logging");
        assert!(text(&told, "handshake").starts_with("s 1, revision 2025-11-25, with a session ("), "{told}");
        assert!(text(&told, "era").contains("does not support"), "{told}");
        assert!(text(&told, "round trip").ends_with("of 3"), "{told}");
        assert_eq!(text(&told, "session"), "ended");
        assert_eq!((&told["ok"], &told["url"]), (&Value::Bool(true), &Value::from(server.url.as_str())));
        let farewell = server.wait_for(|request| request.method == "DELETE");
        assert_eq!(farewell.header("mcp-session-id"), Some("session-1"));
        assert_eq!(farewell.header("mcp-protocol-version"), Some("2025-11-25"));
        let named = server.requests().into_iter().filter(|request| request.title() == "server/discover");
        assert!(
            named.into_iter().all(|request| request.header("mcp-session-id").is_some()),
            "no other session"
        );
    }
}

#[test]
fn checks_modern_server_in_its_own_era() {
    let server = Server::start(|request, reply| {
        let is_modern = request.header("mcp-protocol-version") == Some("2026-07-28")
            && request.header("mcp-method") == Some(request.title());
        match request.title() {
            "HEAD" | "GET" => reply.status(405),
            "server/discover" if is_modern => reply.result(request, r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"resources":{"subscribe":true}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"later","version":"2"}},"ttlMs":0,"cacheScope":"private"}"#),
            "tools/list" if is_modern => reply.result(request, r#"{"resultType":"complete","tools":[{"name":"a"}],"ttlMs":0,"cacheScope":"private"}"#),
            "resources/list" if is_modern => {
                let first = !request.body.contains("\"cursor\"");
                let next = if first { r#","nextCursor":"x""# } else { "" };
                reply.result(request, &format!(r#"{{"resultType":"complete","resources":[{{}},{{}}]{next},"ttlMs":0}}"#));
            }
            "initialize" => reply.answer(
                400,
                &[("content-type", "application/json")],
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"unsupported","data":{"supported":["2026-07-28"]}}}"#,
            ),
            other => panic!("{other}: {:?}", request.headers),
        }
    });
    let (code, told) = told(&[&server.url], &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(text(&told, "handshake").starts_with("later 2, revision 2026-07-28, without sessions"), "{told}");
    assert!(text(&told, "era").contains("2026-07-28 only"), "{told}");
    assert_eq!(text(&told, "capabilities"), "tools, resources (subscribe)");
    assert_eq!(
        (text(&told, "tools"), text(&told, "prompts"), text(&told, "resources")),
        ("1", "not offered", "4")
    );
    assert!(text(&told, "round trip").ends_with("of 3"), "{told}");
    assert!(!steps(&told).contains(&"session"), "{told}");
}

#[test]
fn recognizes_server_of_both_eras() {
    let server = Server::start(|request, reply| match request.title() {
        "initialize" => initialized(request, reply, "{}"),
        "server/discover" => {
            reply.result(request, r#"{"supportedVersions":["2026-07-28","2025-11-25"],"capabilities":{}}"#)
        }
        "notifications/initialized" => reply.status(202),
        "HEAD" | "GET" | "DELETE" => reply.status(405),
        _ => reply.result(request, "{}"),
    });
    let (code, told) = told(&[&server.url], &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(text(&told, "era"), "initialize, and 2026-07-28 as well");
    assert_eq!(text(&told, "session"), "the server does not let clients end sessions");
}

#[test]
fn failure_ends_session() {
    type Handler = fn(&Request, &mut Reply);
    let list: Handler = |request, reply| match request.title() {
        "initialize" => initialized(request, reply, r#"{"tools":{}}"#),
        _ => reply.answer(500, &[("content-type", "text/plain")], "broken"),
    };
    let notification: Handler = |request, reply| match request.title() {
        "initialize" => initialized(request, reply, "{}"),
        _ => reply.status(403),
    };
    let error: Handler = |request, reply| {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32603,"message":"no"}}}}"#, request.id());
        reply.answer(200, &[("content-type", "application/json"), ("mcp-session-id", "session-1")], &body);
    };
    let cut: Handler = |_, reply| {
        reply.close();
        reply.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nmcp-session-id: session-1\r\ncontent-length: 99\r\n\r\n: ");
    };
    for (name, handler, step) in [
        ("list", list, "tools"),
        ("notification", notification, "handshake"),
        ("error", error, "handshake"),
        ("cut", cut, "handshake"),
    ] {
        let server = Server::start(move |request, reply| match request.title() {
            "HEAD" | "GET" => reply.status(405),
            "DELETE" => reply.status(204),
            "notifications/initialized" if name == "list" => reply.status(202),
            "ping" | "server/discover" if name == "list" => reply.result(request, "{}"),
            _ => handler(request, reply),
        });
        let (code, told) = told(&[&server.url], &[]);
        assert_eq!((code, &told["ok"]), (Some(1), &Value::Bool(false)), "{name}: {told}");
        let last = told["findings"].as_array().and_then(|all| all.last()).expect("a finding");
        assert_eq!(
            (&last["step"], &last["state"]),
            (&Value::from(step), &Value::from("failed")),
            "{name}: {told}"
        );
        assert!(last["advice"].is_string(), "{name}: {told}");
        assert_eq!(text(&told, "session"), "ended", "{name}");
        assert_eq!(
            server.titles().last().map(String::as_str),
            Some("DELETE"),
            "{name}: {:?}",
            server.titles()
        );
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_session() {
    // What hangs when the signal comes; `head`: the server names the session only after that.
    for hangs in ["tools/list", "body", "head"] {
        let (killed, is_killed) = channel::<()>();
        let is_killed = std::sync::Mutex::new(is_killed);
        let server = Server::start(move |request, reply| match request.title() {
            "HEAD" | "GET" => reply.status(405),
            "DELETE" => reply.status(204),
            "notifications/initialized" => reply.status(202),
            "initialize" if hangs == "body" => {
                reply.raw(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nmcp-session-id: session-1\r\n\r\n",
                );
                reply.hang();
            }
            "initialize" => {
                if hangs == "head" {
                    let waited = is_killed.lock().expect("no panic").recv_timeout(PATIENCE);
                    waited.expect("the signal is sent");
                }
                initialized(request, reply, r#"{"tools":{}}"#);
            }
            "tools/list" => reply.hang(),
            _ => reply.result(request, "{}"),
        });
        let child = command(&[&server.url, "--json"], &[]).spawn().expect("it starts");
        let title = if hangs == "tools/list" { hangs } else { "initialize" };
        server.wait_for(|request| request.title() == title);
        let kill = Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
        assert!(kill.expect("kill is there").success());
        // Nobody may be listening.
        let _ = killed.send(());
        let found = output(child);
        let told: Value = serde_json::from_slice(&found.stdout).expect("JSON");
        assert_eq!(found.status.code(), Some(130), "{hangs}: {told}");
        let last = told["findings"].as_array().and_then(|all| all.last()).expect("a finding");
        assert_eq!(
            (&last["step"], &last["cause"]),
            (&Value::from("stopped"), &Value::from("stopped")),
            "{told}"
        );
        let farewell = server.wait_for(|request| request.method == "DELETE");
        assert_eq!(farewell.header("mcp-session-id"), Some("session-1"), "{hangs}");
    }
}

#[test]
fn certificate_that_expires_soon_is_a_warning() {
    #[expect(clippy::disallowed_methods, reason = "validity is counted from the day of the test")]
    let now = SystemTime::now();
    for (days, state) in [(61_u64, "ok"), (5, "warning")] {
        let server = secure(false, move |params: &mut CertificateParams| {
            params.not_after = (now + Duration::from_secs(days * 86_400 + 3_600)).into();
            params.distinguished_name.push(DnType::OrganizationName, "Example Ltd");
            params.distinguished_name.push(DnType::CommonName, "mcp.example.com");
        });
        let (code, told) = told(&[&server.url, "--ca-cert", &server.file("ca.pem")], &[]);
        assert_eq!(code, Some(0), "{told}");
        let tls = finding(&told, "tls");
        let expected = format!(
            "certificate of Example Ltd, mcp.example.com issued by rcgen self signed cert, chain of 1, valid for {days} more days, HTTP/1.1 ("
        );
        assert!(tls["text"].as_str().expect("a text").starts_with(&expected), "{tls}");
        assert_eq!((&tls["state"], &tls["details"]["days_left"]), (&Value::from(state), &Value::from(days)));
        assert_eq!(tls["details"]["chain"], "Example Ltd, mcp.example.com < rcgen self signed cert");
        assert_eq!(&steps(&told)[..4], ["credentials", "name", "connection", "tls"]);
    }
}

#[test]
fn failed_handshake_reports_shown_certificate() {
    let server = secure(false, |_| ());
    let (code, told) = told(&[&server.url], &[]);
    assert_eq!(code, Some(1));
    let [.., shown, failed] = &told["findings"].as_array().expect("findings")[..] else { panic!("{told}") };
    assert_eq!((&shown["step"], &shown["state"]), (&Value::from("tls"), &Value::from("note")));
    assert!(
        shown["text"].as_str().is_some_and(|text| text.contains("issued by rcgen self signed cert")),
        "{told}"
    );
    assert_eq!((&failed["step"], &failed["cause"]), (&Value::from("tls"), &Value::from("tls")));
    assert!(failed["advice"].as_str().is_some_and(|advice| advice.contains("--ca-cert")), "{told}");
}

#[test]
fn proxy_is_its_own_step() {
    let server = network::elsewhere();
    let authority = server.file("ca.pem");
    let tunnel = Tunnel::start(&server.address, None, 200);
    let proxy = format!("http://user:markedpassword@{}", tunnel.address);
    for (arguments, environment) in
        [(&["--proxy", proxy.as_str()][..], &[][..]), (&[], &[("HTTPS_PROXY", proxy.as_str())])]
    {
        let arguments = [&[network::URL, "--ca-cert", &authority], arguments].concat();
        let (code, told) = told(&arguments, environment);
        assert_eq!(code, Some(0), "{told}");
        assert!(text(&told, "proxy").starts_with(&format!("through {} (", tunnel.address)), "{told}");
        assert!(!steps(&told).contains(&"name") && text(&told, "tls").contains("chain of 1"), "{told}");
    }
    let strict = Tunnel::start(&server.address, Some("Basic nobody"), 407);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dead = free.local_addr().expect("an address").to_string();
    drop(free);
    for (address, step, cause, expected) in [
        (strict.address.as_str(), "tls", "proxy", "requires credentials (407)"),
        (&dead, "proxy", "proxy_connect", "cannot be reached"),
        (
            "proxy.invalid:3128",
            "proxy",
            "proxy_connect",
            "the host name of the proxy proxy.invalid:3128 could not be resolved",
        ),
    ] {
        let (code, told) = told(&[network::URL, "--proxy", &format!("http://{address}")], &[]);
        let failed = finding(&told, step);
        assert_eq!((code, &failed["cause"]), (Some(1), &Value::from(cause)), "{told}");
        assert!(failed["text"].as_str().is_some_and(|text| text.contains(expected)), "{told}");
    }
}

#[test]
fn check_numbers_requests_of_session() {
    let server = paged(3);
    assert_eq!(told(&[&server.url], &[]).0, Some(0));
    let posts = server.requests().into_iter().filter(|request| request.method == "POST");
    let messages = posts.map(|request| serde_json::from_str::<Value>(&request.body).expect("JSON"));
    let ids: Vec<String> = messages
        .filter(|message| !message["id"].is_null())
        .map(|message| message["id"].to_string())
        .collect();
    let unique: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert!(ids.len() > 5 && unique.len() == ids.len(), "{ids:?}");
}

#[test]
fn check_names_given_url_when_configuration_fails() {
    for (given, expected) in [
        ("https://user:marked@h.test/mcp?key=marked#marked", Value::from("https://h.test/mcp")),
        ("http://h.test/mcp", Value::from("http://h.test/mcp")),
        ("marked-no-url", Value::Null),
    ] {
        let (code, told) = told(&[given], &[]);
        assert_eq!((code, &told["url"]), (Some(2), &expected), "{told}");
    }
}

#[test]
fn address_family_that_options_exclude_is_not_used() {
    let server = paged(1);
    let (code, told) = told(&[&server.url, "--ipv6"], &[]);
    assert_eq!(code, Some(1));
    assert_eq!(text(&told, "name"), "the host name 127.0.0.1 has no address for --ipv6");
}

/// What stands before a server.
#[derive(Clone, Copy, Debug)]
struct Before {
    /// Whether Access names the application.
    named: bool,
    /// Whether Managed OAuth is on, where Access tells.
    oauth: Option<bool>,
    /// Whether everybody gets through.
    bypass: bool,
}

fn access(before: Before) -> Server {
    Server::start(move |request, reply| {
        let secret = request.header("cf-access-client-secret");
        let is_in = before.bypass
            || matches!(secret, Some("marked-one" | "marked-two"))
            || request.header("cf-access-token") == Some("marked-token");
        let payload =
            format!(r#"{{"type":"match","aud":"{TAG}","auth_domain":"acme.cloudflareaccess.com"}}"#);
        let metadata = format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(payload));
        let named = [("cf-access-metadata", metadata.as_str())];
        let asked = request.header("cf-access-metadata-request").is_some() && before.named;
        let named = if asked { &named[..] } else { &[] };
        if request.method == "GET" && request.path == "/.well-known/cloudflare-access-protected-resource/mcp"
        {
            let methods = match before.oauth {
                Some(true) => r#"[{"name":"cloudflared"},{"name":"oauth"}]"#,
                Some(false) => r#"[{"name":"cloudflared"}]"#,
                None => return reply.status(404),
            };
            return reply
                .json(&format!(r#"{{"resource":"x","protected":true,"authentication_methods":{methods}}}"#));
        }
        match request.title() {
            _ if !is_in => {
                let known = secret == Some("marked-other");
                let meta = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"service_token_status":{known}}}"#));
                let target = format!(
                    "https://acme.cloudflareaccess.com/cdn-cgi/access/login/x?kid={TAG}&meta=e30.{meta}.c2ln"
                );
                let refusal = [named, &[("location", target.as_str()), ("cf-ray", "8f00-TST")]].concat();
                reply.raw(format!(
                    "HTTP/1.1 302 Found\r\n{}content-length: 0\r\n\r\n",
                    refusal.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>()
                ));
            }
            "HEAD" | "GET" => reply.answer(405, named, ""),
            "initialize" => initialized(request, reply, "{}"),
            "notifications/initialized" => reply.status(202),
            "DELETE" => reply.status(204),
            _ => reply.result(request, "{}"),
        }
    })
}

const PLAIN: Before = Before { named: true, oauth: Some(false), bypass: false };

#[test]
fn recognizes_access_by_probes_and_refusal() {
    let pair = [("CF_ACCESS_CLIENT_ID", ID), ("CF_ACCESS_CLIENT_SECRET", "marked-one")];
    let application = "application 0123456789ab… of team acme.cloudflareaccess.com, ";
    for (before, expected) in [
        (PLAIN, format!("{application}Managed OAuth is off")),
        (Before { oauth: Some(true), ..PLAIN }, format!("{application}Managed OAuth is on")),
        (Before { oauth: None, ..PLAIN }, format!("{application}Managed OAuth is not stated")),
        (Before { named: false, ..PLAIN }, "an application, Managed OAuth is off".to_owned()),
        (
            Before { named: false, oauth: None, ..PLAIN },
            "an application, Managed OAuth is not stated".to_owned(),
        ),
    ] {
        let server = access(before);
        let (code, told) = told(&[&server.url], &pair);
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(text(&told, "access"), expected, "{before:?}");
        assert!(
            text(&told, "token").starts_with("Cloudflare Access accepts the service token 0123"),
            "{told}"
        );
        assert!(text(&told, "policy").starts_with("Service Auth: "), "{told}");
        let access = &finding(&told, "access")["details"];
        assert_eq!(access["managed_oauth"], before.oauth.map_or(Value::Null, Value::Bool));
        assert_eq!(access["application"], if before.named { Value::from(TAG) } else { Value::Null });
        let probes: Vec<Request> = server
            .requests()
            .into_iter()
            .filter(|request| matches!(request.method.as_str(), "HEAD" | "GET"))
            .collect();
        assert!(
            probes.iter().all(|probe| probe.header("cf-access-client-secret").is_none()),
            "free of credentials"
        );
    }
}

#[test]
fn reads_document_named_by_challenge() {
    let server = Server::start(|request, reply| {
        match (request.title(), request.path.as_str()) {
        ("HEAD", _) => reply.answer(
            401,
            &[("www-authenticate", r#"Bearer realm="OAuth", error="invalid_token", resource_metadata="/.well-known/cloudflare-access-protected-resource/elsewhere""#)],
            "",
        ),
        ("GET", "/.well-known/cloudflare-access-protected-resource/elsewhere") => {
            reply.json(r#"{"protected":true,"authentication_methods":[{"name":"oauth"}]}"#);
        }
        ("GET", path) => panic!("guessed {path}"),
        ("initialize", _) => initialized(request, reply, "{}"),
        ("DELETE" | "notifications/initialized", _) => reply.status(202),
        _ => reply.result(request, "{}"),
    }
    });
    let (code, told) = told(&[&server.url], &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(text(&told, "access"), "an application, Managed OAuth is on");
}

#[test]
fn distinguishes_invalid_token_from_missing_policy() {
    let id = ("CF_ACCESS_CLIENT_ID", ID);
    let secret = |secret| ("CF_ACCESS_CLIENT_SECRET", secret);
    for (environment, step, cause) in [
        (vec![], "token", "access_credentials"),
        (vec![id, secret("marked-wrong")], "token", "access_token"),
        (vec![id, secret("marked-other")], "policy", "access_policy"),
    ] {
        let server = access(PLAIN);
        let (code, told) = told(&[&server.url], &environment);
        let failed = finding(&told, step);
        assert_eq!((code, &failed["cause"]), (Some(1), &Value::from(cause)), "{told}");
        assert_eq!(
            (&failed["status"], &failed["ray"]),
            (&Value::from(302), &Value::from("8f00-TST")),
            "{told}"
        );
        assert!(failed["advice"].is_string() && !steps(&told).contains(&"handshake"), "{told}");
        let asked = server.titles().iter().filter(|title| *title != "HEAD" && *title != "GET").count();
        assert_eq!(asked, 1, "it stops there: {:?}", server.titles());
    }
    let server = access(Before { bypass: true, ..PLAIN });
    let (_, bypass) = told(&[&server.url], &[]);
    assert!(text(&bypass, "policy").starts_with("Bypass: "), "{bypass}");
    let server = paged(1);
    let (_, none) = told(&[&server.url], &[id, secret("marked-one")]);
    assert!(text(&none, "token").contains("the service token went to the server itself"), "{none}");
    let server = access(PLAIN);
    let (_, person) = told(&[&server.url, "--header", "Cf-Access-Token: ${T}"], &[("T", "marked-token")]);
    assert_eq!(text(&person, "token"), "Cloudflare Access accepts the Access token");
}

#[test]
fn refusal_behind_access_is_the_servers() {
    let server =
        Server::start(|request, reply| match (request.header("cf-access-client-secret"), request.title()) {
            (None, _) => reply.answer(403, &[("cf-access-aud", TAG)], ""),
            (Some(_), _) => {
                reply.answer(401, &[("content-type", "text/plain")], "no e-mail in the assertion")
            }
        });
    let pair = [("CF_ACCESS_CLIENT_ID", ID), ("CF_ACCESS_CLIENT_SECRET", "marked-one")];
    let (code, told) = told(&[&server.url], &pair);
    assert_eq!(code, Some(1));
    assert!(text(&told, "token").contains("accepts the service token"), "{told}");
    assert_eq!(finding(&told, "handshake")["cause"], "origin_refused");
}

#[test]
fn reports_which_of_two_tokens_works() {
    for (first, next, expected, code) in [
        ("marked-one", "marked-two", [("token", "ok"), ("next token", "ok")], 0),
        ("marked-one", "marked-dead", [("token", "ok"), ("next token", "warning")], 0),
        ("marked-dead", "marked-two", [("credentials", "warning"), ("token", "ok")], 0),
        ("marked-dead", "marked-gone", [("credentials", "warning"), ("token", "failed")], 1),
    ] {
        let server = access(PLAIN);
        let environment = [
            ("CF_ACCESS_CLIENT_ID", ID),
            ("CF_ACCESS_CLIENT_SECRET", first),
            ("CF_ACCESS_CLIENT_ID_NEXT", NEXT_ID),
            ("CF_ACCESS_CLIENT_SECRET_NEXT", next),
        ];
        let (found, told) = told(&[&server.url], &environment);
        assert_eq!(found, Some(code), "{told}");
        for (step, state) in expected {
            assert_eq!(finding(&told, step)["state"], state, "{first} {next} {step}: {told}");
        }
        let is_second = first == "marked-dead" && code == 0;
        let next = format!("Cloudflare Access accepts the next service token {NEXT_ID}");
        assert_eq!(text(&told, "token") == next, is_second, "{told}");
    }
}

#[test]
fn credentials_are_named_by_source_and_never_shown() {
    let server = paged(1);
    let folder = tempfile::tempdir().expect("a folder");
    let (variables, headers) = (folder.path().join("token.env"), folder.path().join("headers"));
    let secret = format!("cfast_{}", "marked00".repeat(6));
    std::fs::write(&variables, format!("CF_ACCESS_CLIENT_ID={ID}\nCF_ACCESS_CLIENT_SECRET={secret}\n"))
        .expect("written");
    std::fs::write(&headers, "# ours\nX-File: marked-file\n").expect("written");
    let (variables, headers) = (variables.display().to_string(), headers.display().to_string());
    let arguments =
        [&server.url, "--env-file", &variables, "--header-file", &headers, "--header", "X-Option: ${KEY}"];
    let (code, told) = checked(&arguments, &[("KEY", "marked-key")]);
    assert_eq!(code, Some(0), "{told}");
    for expected in [
        &format!(
            "service token {ID} (secret cfast_…ed00 (54 characters)) from CF_ACCESS_CLIENT_ID ({variables}) and CF_ACCESS_CLIENT_SECRET ({variables})"
        ),
        &format!("header X-File (11 characters) from {headers}, line 2"),
        "header X-Option (10 characters) from --header",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn repeated_secret_is_redacted() {
    let server = Server::start(|request, reply| match request.title() {
        "HEAD" | "GET" | "DELETE" => reply.status(405),
        "initialize" => {
            let key = request.header("x-api-key").unwrap_or_default();
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32000,"message":"\u001b[31mbad {key}"}}}}"#
            );
            reply.answer(400, &[("content-type", "application/json")], &body);
        }
        _ => reply.status(404),
    });
    let (code, told) = checked(&[&server.url, "--header", "X-API-Key: ${KEY}"], &[("KEY", "marked-key")]);
    assert_eq!(code, Some(1));
    assert!(told.contains("bad [secret]") && !told.contains('\x1b'), "{told}");
}

#[test]
fn usage_error_ends_check_at_once() {
    for arguments in
        [&["--no-such-option", "https://h"][..], &["--json", "--headr=X: marked", "https://h"], &[]]
    {
        let mut command = command(arguments, &[]);
        // Kept open: a client's proxy would stay and answer.
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
        let input = child.stdin.take();
        assert_eq!(output(child).status.code(), Some(2), "{arguments:?}");
        drop(input);
    }
}

#[test]
fn server_that_closes_connection_on_head_passes() {
    let server = Server::start(|request, reply| match request.title() {
        "HEAD" => reply.close(),
        "initialize" => initialized(request, reply, "{}"),
        "GET" | "DELETE" | "notifications/initialized" => reply.status(202),
        _ => reply.result(request, "{}"),
    });
    let (code, told) = told(&[&server.url], &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(text(&told, "access").contains("gave no answer"), "{told}");
}

#[test]
#[cfg(target_os = "linux")]
fn colors_and_progress_are_for_terminals() {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    for (environment, progress, colours) in [
        (&[][..], true, true),
        (&[("NO_COLOR", "1")], true, false),
        (&[("NO_COLOR", "")], true, true),
        (&[("TERM", "dumb")], false, false),
    ] {
        let server = paged(1);
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("ours");
        unlockpt(&master).expect("ours");
        let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("UTF-8");
        let slave = std::fs::OpenOptions::new().read(true).write(true).open(name).expect("its other side");
        let mut command = command(&[&server.url], environment);
        command.stdout(Stdio::from(OwnedFd::from(slave)));
        let mut child = command.spawn().expect("it starts");
        // The command holds the other side as well.
        drop(command);
        let (mut told, mut chunk) = (Vec::new(), [0; 1024]);
        let mut master = std::fs::File::from(master);
        // The end of a terminal is an error.
        while let Ok(length @ 1..) = master.read(&mut chunk) {
            told.extend_from_slice(&chunk[..length]);
        }
        assert!(child.wait().expect("it ends").success());
        let told = String::from_utf8(told).expect("UTF-8");
        assert_eq!(told.contains("…"), progress, "{environment:?}: {told}");
        assert_eq!(told.contains("\x1b[32m"), colours, "{environment:?}: {told}");
    }
}
