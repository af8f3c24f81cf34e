//! Workload identity federation: the platform's token is exchanged for the server's, is sent to no other authorization server
//! than the one that it names, and leaves nothing on disk.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::support::authority::{Authority, Instead, Set, value};
use super::support::proxy::{Ended, Proxy, Stdin};
use super::support::server::{Reply, Request, Server};
use super::{Home, call};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Long after this test.
const LATER: &str = "4102444800";

/// A token of the platform, for an audience.
pub(super) fn token(audience: &str, expiry: &str, id: &str) -> String {
    let claims = format!(
        r#"{{"iss":"https://platform.example","sub":"job","aud":"{audience}","exp":{expiry},"jti":"{id}"}}"#
    );
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.marked-signature-{id}", part(r#"{"alg":"RS256"}"#), part(&claims))
}

fn base(authority: &Authority) -> String {
    format!("http://{}", authority.server.address)
}

/// The endpoint of GitHub Actions: a token for the audience in the query, each with an ID of its own.
fn github() -> Server {
    let count = AtomicUsize::new(0);
    github_answering(move |request, reply| {
        assert_eq!(request.header("authorization"), Some("Bearer marked-request"));
        let query = request.path.split_once('?').expect("a query").1;
        assert_eq!(value(query, "api-version").as_deref(), Some("2.0"));
        let audience = value(query, "audience").expect("an audience");
        let id = count.fetch_add(1, Ordering::SeqCst) + 1;
        reply.json(&format!(r#"{{"count":1,"value":"{}"}}"#, token(&audience, LATER, &id.to_string())));
    })
}

fn github_answering(answer: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Server {
    Server::start(answer)
}

fn start_at_github(home: &Home, authority: &Authority, github: &Server, more: &[&str]) -> Proxy {
    let url = format!("http://{}/token?api-version=2.0", github.address);
    let variables = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "marked-request"),
    ];
    let arguments = [&["--workload-identity", "github"], more].concat();
    home.start_at(&authority.server.url, &arguments, &variables)
}

/// Every file below the configuration folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path.display().to_string()] })
        .collect()
}

fn is_free_of_secrets(line: &str, ended: &Ended) {
    for text in [line, &ended.stderr] {
        assert!(!text.contains("marked"), "{text}");
    }
}

#[test]
fn exchanges_token_of_github_and_stores_nothing() {
    let (home, authority, github) = (Home::new(), Authority::start(Set::default()), github());
    authority.change(|set| set.challenge.push_str(", scope=\"read\""));
    let mut proxy = start_at_github(&home, &authority, &github, &["-vvv"]);
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"result\""), "{line}");
    let request = authority.last("/token");
    let assertion = token(&base(&authority), LATER, "1");
    for (name, expected) in [
        ("grant_type", Some(GRANT)),
        ("assertion", Some(assertion.as_str())),
        ("scope", Some("read")),
        ("resource", Some(authority.server.url.as_str())),
        ("client_id", None),
        ("client_assertion", None),
    ] {
        assert_eq!(value(&request.body, name).as_deref(), expected, "{name}");
    }
    assert_eq!(request.header("authorization"), None);
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-1"));
    is_free_of_secrets(&line, &proxy.finish());
    assert_eq!(files(home.path()), [""; 0]);
    let held = token(&base(&authority), LATER, "1");
    for (command, code, expected) in [
        ("tokens", 1, "with --workload-identity each process obtains its own token"),
        ("login", 0, "you are signed in"),
        ("logout", 1, "with --workload-identity each process obtains its own token"),
    ] {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
        program.args([command, &authority.server.url, "--workload-identity", "gitlab"]).env_clear();
        program.envs(home.environment(&[("MCP_ID_TOKEN", &held)]));
        let output = program.output().expect("it starts");
        let told = format!("{output:?}");
        assert!(told.contains(expected) && !told.contains("marked"), "{told}");
        assert_eq!(output.status.code(), Some(code), "{told}");
    }
    assert_eq!(files(home.path()), [""; 0]);
}

#[test]
fn workload_runs_no_token_store_command() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let held = token(&base(&authority), LATER, "1");
    let arguments = ["--workload-identity", "gitlab", "--token-store", "command:false"];
    let mut proxy = home.start_at(&authority.server.url, &arguments, &[("MCP_ID_TOKEN", &held)]);
    let line = proxy.ask(&call(1));
    let ended = proxy.finish();
    assert!(line.contains("\"result\"") && ended.stderr.is_empty(), "{line} {}", ended.stderr);
    assert_eq!(files(home.path()), [""; 0]);
}

#[test]
fn asks_platform_again_before_token_expires_and_when_it_is_refused() {
    let (home, github) = (Home::new(), github());
    // Half of its life is over at once.
    let authority = Authority::start(Set { expires_in: 1, ..Set::default() });
    let mut proxy = start_at_github(&home, &authority, &github, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    authority.change(|set| set.expires_in = 3600);
    let mut id = 2;
    while authority.count("/token") < 2 {
        assert!(proxy.ask(&call(id)).contains("\"result\""));
        id += 1;
    }
    authority.forget(false);
    for id in 1000..1020 {
        proxy.send(&call(id));
    }
    for _ in 0..20 {
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{line}");
    }
    // One exchange for all twenty, each with a token of its own.
    let exchanges = authority.server.requests().into_iter().filter(|request| request.path == "/token");
    let assertions: Vec<String> = exchanges.filter_map(|request| value(&request.body, "assertion")).collect();
    let expected: Vec<String> =
        ["1", "2", "3"].iter().map(|id| token(&base(&authority), LATER, id)).collect();
    assert_eq!(assertions, expected);
    proxy.finish();
}

#[test]
fn reads_token_of_every_other_platform() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let right = token(&base(&authority), LATER, "1");
    let file = home.path().join("token");
    std::fs::write(&file, format!("{right}\n")).expect("written");
    let (at_file, at_home) = (format!("file:{}", file.display()), "file:~/token".to_owned());
    let command = format!("command:cat '{}'", file.display());
    for source in [at_file.as_str(), &at_home, &command, "gitlab", "env:PLATFORM"] {
        let arguments = ["--workload-identity", source];
        let variables = [("MCP_ID_TOKEN", right.as_str()), ("PLATFORM", right.as_str())];
        let mut proxy = home.start_at(&authority.server.url, &arguments, &variables);
        let line = proxy.ask(&call(1));
        assert!(line.contains("\"result\""), "{source}: {line}");
        assert_eq!(value(&authority.last("/token").body, "assertion").as_deref(), Some(right.as_str()));
        is_free_of_secrets(&line, &proxy.finish());
    }
    // The file is read anew each time.
    let mut proxy = home.start(&authority, &["--workload-identity", &at_file]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    let another = token(&base(&authority), LATER, "2");
    std::fs::write(&file, &another).expect("written");
    authority.forget(false);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    assert_eq!(value(&authority.last("/token").body, "assertion"), Some(another));
    proxy.finish();
}

#[test]
fn platform_token_that_is_of_no_use_is_not_sent() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let base = base(&authority);
    let path = |name: &str| home.path().join(name).display().to_string();
    let write = |name: &str, text: &str| {
        std::fs::write(path(name), text).expect("written");
        format!("file:{}", path(name))
    };
    let missing = format!("file:{}", path("missing"));
    let folder = format!("file:{}", home.path().display());
    let huge = write("huge", &"marked".repeat(20_000));
    let empty = write("empty", " \n");
    let opaque = write("opaque", "marked-opaque");
    let expired = write("expired", &token(&base, "1000", "marked"));
    let foreign = write("foreign", &token("https://other.example", LATER, "marked"));
    for (source, expected, remedy) in [
        (missing.as_str(), "cannot be read: No such file", "check the path"),
        (&folder, "cannot be read: it is a directory", "check the path"),
        (&huge, "cannot be read: it is larger than 64 KiB", "check the path"),
        (&empty, "is empty", "see whether the platform"),
        (&opaque, "is no JSON Web Token", "three parts"),
        (&expired, "has expired", "clock"),
        (&foreign, "is for the audience https://other.example and is not sent to", &base),
        ("command:false", "the command of --workload-identity failed", "run it in a terminal"),
        ("command:true", "the command of --workload-identity printed nothing", "run it in a terminal"),
        ("command:yes marked", "printed more than 64 KiB", "run it in a terminal"),
        ("command:/no/such/program marked", "cannot be started", "run it in a terminal"),
        ("command:echo marked", "the token of the command of --workload-identity is no JSON", "three parts"),
    ] {
        let mut proxy = home.start(&authority, &["--workload-identity", source, "-vvv"]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains(remedy), "{source}: {line}");
        assert!(line.contains("\"cause\":\"sign_in\""), "{line}");
        is_free_of_secrets(&line, &proxy.finish());
    }
    assert_eq!(authority.count("/token"), 0);
}

#[test]
fn endpoint_of_github_that_answers_anything_else_is_reported() {
    let elsewhere = github_answering(|_, reply| reply.json(r#"{"value":"marked"}"#));
    let away = format!("http://{}/marked-path", elsewhere.address);
    let huge = format!(r#"{{"value":"{}"}}"#, "marked".repeat(100_000));
    let large = format!(r#"{{"value":"{}"}}"#, "x".repeat(70_000));
    let other = format!(r#"{{"value":"{}"}}"#, token("https://other.example", LATER, "marked"));
    for (status, body, expected) in [
        (200, "marked garbage", "answered without a token"),
        (200, r#"{"value":5}"#, "answered without a token"),
        (200, r#"{"value":""}"#, "answered without a token"),
        (200, r#"{"value":"marked"}"#, "the token of GitHub Actions is no JSON Web Token"),
        (200, &huge, "answered with more than 256 KiB"),
        (200, &large, "the token of GitHub Actions is no JSON Web Token"),
        (200, &other, "is for the audience https://other.example and is not sent to"),
        (302, "", "answered 302, a redirect to http://127.0.0.1, which is not followed, instead of a token"),
        (403, r#"{"message":"marked"}"#, "answered 403 instead of a token"),
        (500, "", "answered 500 instead of a token"),
    ] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let (body, away) = (body.to_owned(), away.clone());
        let github = github_answering(move |_, reply| reply.answer(status, &[("location", &away)], &body));
        let mut proxy = start_at_github(&home, &authority, &github, &["-vv"]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected), "{status}: {line}");
        is_free_of_secrets(&line, &proxy.finish());
        assert_eq!(authority.count("/token"), 0);
    }
    assert!(elsewhere.requests().is_empty(), "what proves the job was sent on");
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let github = github_answering(|_, reply| reply.close());
    let mut proxy = start_at_github(&home, &authority, &github, &[]);
    let line = proxy.ask(&call(1));
    assert!(line.contains(&github.address) && line.contains("\"cause\":\"sign_in\""), "{line}");
    proxy.finish();
}

#[test]
fn platform_token_is_not_sent_to_another_issuer() {
    let (one, other) = (Authority::start(Set::default()), Authority::start(Set::default()));
    let (base, foreign) = (base(&one), base(&other));
    one.knows("marked-access-1", "marked");
    // A server that leads to an authorization server of its own.
    one.change(|set| {
        set.resource = format!(r#""resource":"BASE/mcp","authorization_servers":["{foreign}"]"#)
    });
    let home = Home::new();
    let ask = |arguments: &[&str], audience: &str| {
        let held = token(audience, LATER, "1");
        let arguments = [&["--workload-identity", "env:PLATFORM"], arguments].concat();
        let mut proxy = home.start_at(&one.server.url, &arguments, &[("PLATFORM", &held)]);
        let line = proxy.ask(&call(1));
        is_free_of_secrets(&line, &proxy.finish());
        line
    };
    for (arguments, audience, expected) in [
        (vec![], base.as_str(), "is for the audience"),
        (vec!["--oauth-issuer", &base], &base, "--oauth-issuer names"),
        (vec!["--oauth-issuer", &base], &foreign, "--oauth-issuer names"),
        (vec!["--workload-audience", "api://x"], "api://x", "which only the server names"),
        (vec!["--workload-audience", "api://x", "--oauth-issuer", &base], "api://x", "--oauth-issuer names"),
        (
            vec!["--workload-audience", "api://x", "--oauth-issuer", &foreign],
            "api://y",
            "is for the audience api://y",
        ),
    ] {
        let line = ask(&arguments, audience);
        assert!(line.contains(expected), "{arguments:?}: {line}");
    }
    assert_eq!((one.count("/token"), other.count("/token")), (0, 0));
    // What the user names is asked.
    for arguments in [
        vec!["--workload-audience", "api://x", "--oauth-issuer", &foreign],
        vec!["--workload-audience", "api://x", "--token-endpoint", &format!("{foreign}/token")],
    ] {
        let line = ask(&arguments, "api://x");
        assert!(line.contains("\"result\"") || line.contains("does not accept the token"), "{line}");
    }
    assert_eq!((one.count("/token"), other.count("/token")), (0, 2));
}

#[test]
fn client_of_workload_proves_itself_at_named_issuer() {
    let (home, authority, github) = (Home::new(), Authority::start(Set::default()), github());
    let issuer = base(&authority);
    let client = r#"{"client_id":"ci","client_secret":"marked-secret"}"#;
    let arguments = ["--static-oauth-client-info", client, "--oauth-issuer", &issuer];
    let mut proxy = start_at_github(&home, &authority, &github, &arguments);
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"result\""), "{line}");
    let request = authority.last("/token");
    assert_eq!(value(&request.body, "grant_type").as_deref(), Some(GRANT));
    let basic = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode("ci:marked-secret"));
    assert_eq!(request.header("authorization"), Some(basic.as_str()));
    let ended = proxy.finish();
    is_free_of_secrets(&line, &ended);
    assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
    assert_eq!(files(home.path()), [""; 0]);
}

#[test]
fn platform_token_proves_client_of_client_credentials() {
    let (home, authority, github) = (Home::new(), Authority::start(Set::default()), github());
    let arguments = ["--client-credentials", "--static-oauth-client-info", r#"{"client_id":"ci"}"#, "-vvv"];
    let mut proxy = start_at_github(&home, &authority, &github, &arguments);
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"result\""), "{line}");
    let request = authority.last("/token");
    let assertion = token(&base(&authority), LATER, "1");
    for (name, expected) in [
        ("grant_type", Some("client_credentials")),
        ("client_id", Some("ci")),
        ("client_assertion_type", Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")),
        ("client_assertion", Some(assertion.as_str())),
        ("assertion", None),
    ] {
        assert_eq!(value(&request.body, name).as_deref(), expected, "{name}");
    }
    is_free_of_secrets(&line, &proxy.finish());
    assert_eq!(files(home.path()), [""; 0]);
}

/// As Keycloak 26 answers a JWT authorization grant that it does not accept.
const KEYCLOAK: [(u16, &str, &str, &str); 8] = [
    (400, "unsupported_grant_type", "Unsupported grant_type", "allowed for the client there"),
    (400, "invalid_request", "Missing parameter:assertion", "log looked at"),
    (
        400,
        "invalid_grant",
        "The provided assertion is not a valid JWT",
        "have the authorization server trust",
    ),
    (
        400,
        "invalid_grant",
        "Public client not allowed to use authorization grant",
        "have the authorization server trust",
    ),
    (
        400,
        "invalid_grant",
        "JWT Authorization Grant is not supported for the requested client",
        "have the authorization server trust",
    ),
    (400, "invalid_grant", "Missing claim: iss", "have the authorization server trust"),
    (400, "invalid_grant", "No Identity Provider for provided issuer", "have the authorization server trust"),
    (
        401,
        "invalid_client",
        "Invalid client or Invalid client credentials",
        "have the authorization server trust",
    ),
];

#[test]
fn client_hears_refusals_of_keycloak() {
    for (status, error, description, remedy) in KEYCLOAK {
        let (home, authority, github) = (Home::new(), Authority::start(Set::default()), github());
        let body = format!(r#"{{"error":"{error}","error_description":"{description}"}}"#).leak();
        authority.change(|set| set.token = Some((status, body)));
        let mut proxy = start_at_github(&home, &authority, &github, &[]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(&format!("gave no token: {error} ({description})")), "{line}");
        assert!(line.contains(remedy), "{line}");
        // It is not tried again at once, nor in another way.
        assert!(proxy.ask(&call(2)).contains("gave no token"));
        assert_eq!(authority.count("/token"), 1);
        proxy.finish();
    }
}

#[test]
fn refusal_that_repeats_platform_token_is_told_without_it() {
    let (home, authority, github) = (Home::new(), Authority::start(Set::default()), github());
    authority.change(|set| {
        set.instead = Instead::new(|request, reply| {
            let Some(assertion) = value(&request.body, "assertion") else { return false };
            let signature = assertion.rsplit('.').next().expect("a part").to_owned();
            let body =
                format!(r#"{{"error":"invalid_grant","error_description":"{assertion}, {signature}"}}"#);
            reply.answer(400, &[("content-type", "application/json")], &body);
            true
        });
    });
    let mut proxy = start_at_github(&home, &authority, &github, &["-vvv"]);
    let line = proxy.ask(&call(1));
    assert!(line.contains("gave no token: invalid_grant ([secret], [secret])"), "{line}");
    is_free_of_secrets(&line, &proxy.finish());
}

#[test]
fn options_that_name_no_platform_are_errors_with_remedy() {
    let workload = "--workload-identity";
    let machine = ["--client-credentials", "--static-oauth-client-info"];
    let secret = r#"{"client_id":"a","client_secret":"marked-secret"}"#;
    let url = [("ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.example/x")];
    let plain = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://github.example/x"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "marked"),
    ];
    for (arguments, variables, expected, remedy) in [
        (vec![workload, "github"], &[][..], "ACTIONS_ID_TOKEN_REQUEST_URL is not set", "id-token: write"),
        (vec![workload, "github"], &url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN is not set", "id-token: write"),
        (vec![workload, "github"], &plain, "ACTIONS_ID_TOKEN_REQUEST_URL is not an https URL", "leave"),
        (vec![workload, "gitlab"], &[], "MCP_ID_TOKEN is not set", "id_tokens"),
        (vec![workload, "env:NAME"], &[], "NAME is not set", "id_tokens"),
        (vec![workload, "env:marked.token"], &[], "--workload-identity is none of", "--help"),
        (vec![workload, "marked"], &[], "--workload-identity is none of", "--help"),
        (vec![workload, "file:"], &[], "--workload-identity is none of", "--help"),
        (vec![workload, "command: "], &[], "--workload-identity is none of", "--help"),
        (vec![workload, "file:x", "--workload-audience", " "], &[], "--workload-audience is empty", "--help"),
        (vec!["--workload-audience", "x"], &[], "--workload-identity", ""),
        (vec![workload, "file:x", "--device-code"], &[], "cannot be used with", ""),
        (vec![workload, "file:x", "--auth", "none"], &[], "cannot be used with --auth none", "leave"),
        (vec![workload, "file:x", "--allow-http"], &[], "a URL that is not encrypted", "https://"),
        (
            vec![workload, "file:x", machine[0], machine[1], secret],
            &[],
            "cannot be used with the client_secret or private_key",
            "leave the secret",
        ),
        (vec![workload, "file:x", machine[0]], &[], "requires --static-oauth-client-info", "add"),
        (vec![workload, "file:x", machine[1], secret], &[], "requires --oauth-issuer", "name"),
    ] {
        let home = Home::new();
        let is_plain = arguments.contains(&"--allow-http");
        let url = if is_plain { "http://mcp.example.test/mcp" } else { "https://mcp.example.test/mcp" };
        let arguments = [&[url], &arguments[..]].concat();
        let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &home.environment(variables));
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains(remedy), "{arguments:?}: {line}");
        let ended = proxy.finish();
        assert_eq!(ended.code, Some(2));
        is_free_of_secrets(&line, &ended);
    }
}
