//! Where the service token of the environment goes: to hosts that are proved to belong to its team, and nowhere else.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::access_hosts::{
    Certificates, HOST, ID, Internet, NEXT_ID, NEXT_SECRET, OTHER_TEAM, Refusal, Site, TEAM, claims, now,
    signed,
};
use crate::support::INITIALIZE;
use crate::support::proxy::Proxy;
use crate::support::server::{Reply, Request};

const ADVICE: &str = "set CF_ACCESS_HOSTS=mcp.example.test beside it, or pass --access always";

fn ping(proxy: &mut Proxy, id: u32) -> String {
    proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#))
}

/// What was asked of [`HOST`] and of the team until the proof, and with the first answer.
const PROVED: [&str; 4] = [
    "POST mcp.example.test",
    "HEAD mcp.example.test",
    "GET acme.cloudflareaccess.com",
    "POST mcp.example.test +token",
];

#[test]
fn protected_host_gets_token_after_proof_and_is_remembered() {
    for refusal in
        [Refusal::Redirect, Refusal::Challenge, Refusal::Forbidden, Refusal::Bare(401), Refusal::Bare(403)]
    {
        for cache in [&[][..], &["--no-cache"]] {
            let internet = Internet::with(Site::protected(refusal));
            let arguments = [cache, &["-v"]].concat();
            let mut proxy = internet.start(&arguments);
            let line = ping(&mut proxy, 1);
            assert!(line.contains("\"result\""), "{refusal:?}: {line}");
            assert!(ping(&mut proxy, 2).contains("\"result\""));
            let ended = proxy.finish();
            let mut expected = [&PROVED[..], &PROVED[3..]].concat();
            assert_eq!(internet.seen(), expected, "{refusal:?}");
            assert!(
                ended.stderr.contains(&format!("of the team {TEAM} protects {HOST}")),
                "{}",
                ended.stderr
            );
            assert!(!ended.stderr.contains("marked"), "{}", ended.stderr);

            let mut proxy = internet.start(&arguments);
            assert!(ping(&mut proxy, 1).contains("\"result\""));
            proxy.finish();
            expected.push(PROVED[3]);
            assert_eq!(internet.seen(), expected, "at once, in the second process");
        }
    }
}

#[test]
#[cfg(unix)]
fn remembered_hosts_are_their_owners_alone_without_secret() {
    use std::os::unix::fs::PermissionsExt;
    let internet = Internet::with(Site::protected(Refusal::Redirect));
    let mut proxy = internet.start(&[]);
    ping(&mut proxy, 1);
    proxy.finish();
    let file = internet.file();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().expect("a folder"))), (0o600, 0o700));
    let text = std::fs::read_to_string(&file).expect("text");
    assert!(text.contains(ID) && text.contains(TEAM) && text.contains("443"), "{text}");
    assert!(!text.contains("marked"), "{text}");
}

#[test]
fn lost_or_broken_file_costs_another_proof() {
    let internet = Internet::with(Site::protected(Refusal::Redirect));
    for text in [None, Some("{"), Some("[]"), Some("{\"hosts\":[{\"port\":-1}]}")] {
        match text {
            None => drop(std::fs::remove_file(internet.file())),
            Some(text) => std::fs::write(internet.file(), text).expect("written"),
        }
        let before = internet.seen().len();
        let mut proxy = internet.start(&[]);
        assert!(ping(&mut proxy, 1).contains("\"result\""));
        let ended = proxy.finish();
        assert_eq!(internet.seen()[before..], PROVED, "{text:?}");
        assert_eq!(ended.stderr.contains("counts for nothing"), text.is_some(), "{}", ended.stderr);
    }
}

#[test]
fn unproved_host_never_gets_token_and_error_says_so() {
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = claims();
        change(&mut claims);
        Some(signed(&claims))
    };
    let altered = {
        let token = signed(&claims());
        let (text, _) = token.rsplit_once('.').expect("three parts");
        let (_, other) =
            signed(&json!({})).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("parts");
        Some(format!("{text}.{other}"))
    };
    let unsigned = Some("eyJhbGciOiJub25lIn0.e30.".to_owned());
    let served = Certificates::Served;
    for (metadata, certificates, reason, names_team) in [
        (None, served, "does not prove that an application", false),
        (Some("nonsense".to_owned()), served, "proves nothing", false),
        (unsigned, served, "proves nothing: it is not signed with RS256", false),
        (altered, served, "its signature does not hold", true),
        (
            with(&|claims| claims["hostname"] = "other.example.test".into()),
            served,
            "about another host",
            true,
        ),
        (with(&|claims| claims["iat"] = (now() - 90_000).into()), served, "was not issued within", true),
        (with(&|claims| claims["iat"] = (now() + 3_600).into()), served, "was not issued within", true),
        (with(&|claims| claims["type"] = "app".into()), served, "is not about an application", false),
        (
            with(&|claims| claims["auth_domain"] = "other.example.test".into()),
            served,
            "does not name a team",
            false,
        ),
        (with(&|_| ()), Certificates::Redirected, "could not be fetched (302 was answered)", true),
        (with(&|_| ()), Certificates::Missing, "could not be fetched (404 was answered)", true),
    ] {
        for refusal in [Refusal::Redirect, Refusal::Forbidden, Refusal::Bare(401)] {
            let internet =
                Internet::with(Site { metadata: metadata.clone(), certificates, ..Site::protected(refusal) });
            let mut proxy = internet.start(&["--auth", "none"]);
            let line = ping(&mut proxy, 1);
            assert!(line.contains(reason) && line.contains(ADVICE), "{refusal:?} {reason}: {line}");
            assert!(line.contains(&format!("the service token {ID} was not sent")), "{line}");
            assert_eq!(line.contains(&format!("names the team {TEAM}")), names_team, "{line}");
            // A failed proof is not repeated for each request.
            for id in 2..5 {
                assert!(ping(&mut proxy, id).contains(reason));
            }
            proxy.finish();
            assert_eq!(internet.count("HEAD mcp.example.test"), 1, "{reason}");
            internet.got_no_token();
            assert!(!internet.file().exists(), "{reason}");
        }
    }
}

#[test]
fn host_of_another_team_never_gets_token() {
    let internet = Internet::with(Site::protected(Refusal::Redirect));
    let mut proxy = internet.start(&[]);
    assert!(ping(&mut proxy, 1).contains("\"result\""));
    proxy.finish();
    let mut claims = claims();
    claims["hostname"] = "other.example.test".into();
    claims["auth_domain"] = OTHER_TEAM.into();
    internet.add(
        "other.example.test",
        Site { metadata: Some(signed(&claims)), ..Site::protected(Refusal::Forbidden) },
    );
    let mut proxy = internet.start_at("https://other.example.test/mcp", &["--auth", "none"], &[]);
    let line = ping(&mut proxy, 1);
    proxy.finish();
    assert!(
        line.contains(&format!(
            "names the team {OTHER_TEAM}, but the service token belongs to the team {TEAM}"
        )),
        "{line}"
    );
    assert!(
        line.contains("CF_ACCESS_HOSTS=other.example.test") && line.contains("--access always"),
        "{line}"
    );
    let others = internet.seen().into_iter().filter(|seen| seen.contains("other.example.test"));
    assert_eq!(others.collect::<Vec<_>>(), ["POST other.example.test", "HEAD other.example.test"]);
    assert_eq!(internet.count(&format!("GET {OTHER_TEAM}")), 0);

    // The same team protects it after all.
    claims["auth_domain"] = TEAM.into();
    internet.add(
        "other.example.test",
        Site { metadata: Some(signed(&claims)), ..Site::protected(Refusal::Forbidden) },
    );
    let mut proxy = internet.start_at("https://other.example.test/mcp", &[], &[]);
    assert!(ping(&mut proxy, 1).contains("\"result\""));
    proxy.finish();
}

#[test]
fn server_that_answers_without_token_never_gets_it() {
    let internet = Internet::with(Site::protected(Refusal::Bypass));
    let mut proxy = internet.start(&["-v"]);
    for id in 1..4 {
        assert!(ping(&mut proxy, id).contains("\"result\""));
    }
    proxy.finish();
    assert_eq!(internet.seen(), ["POST mcp.example.test"; 3]);
}

#[test]
fn vendor_never_gets_token_in_any_request() {
    /// A server of its own with its own authorization server, which wants a token.
    fn vendor(request: &Request, reply: &mut Reply) {
        let base = "https://mcp.example.test";
        match request.path.as_str() {
            "/.well-known/oauth-protected-resource/mcp" => reply.json(
                &json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base] }).to_string(),
            ),
            "/.well-known/oauth-authorization-server" => reply.json(
                &json!({
                    "issuer": base, "token_endpoint": format!("{base}/token"),
                    "authorization_endpoint": format!("{base}/authorize"),
                    "registration_endpoint": format!("{base}/register"),
                    "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
                    "grant_types_supported": ["authorization_code", "client_credentials"],
                })
                .to_string(),
            ),
            "/token" => reply.json(r#"{"access_token":"granted-token","token_type":"Bearer","expires_in":900}"#),
            "/register" => reply.answer(400, &[], r#"{"error":"invalid_client_metadata"}"#),
            "/mcp" if request.header("authorization") == Some("Bearer granted-token") => {
                match request.member("id") {
                    Some(_) => reply.result(request, "{}"),
                    None => reply.status(405),
                }
            }
            _ => reply.answer(
                401,
                &[(
                    "www-authenticate",
                    "Bearer resource_metadata=\"https://mcp.example.test/.well-known/oauth-protected-resource/mcp\"",
                )],
                "",
            ),
        }
    }
    let client = r#"{"client_id":"a","client_secret":"its own secret"}"#;
    let machine = ["--client-credentials", "--static-oauth-client-info", client];
    for (arguments, answered) in
        [(&machine[..], true), (&["--auth", "oauth"][..], false), (&["--auth", "none"][..], false)]
    {
        let internet = Internet::of(Site { metadata: None, ..Site::protected(Refusal::Bypass) }, vendor);
        let mut proxy = internet.start_with(arguments, &[("BROWSER", "false")]);
        let line = ping(&mut proxy, 1);
        proxy.finish();
        assert_eq!(line.contains("\"result\""), answered, "{line}");
        assert!(answered || line.contains(ADVICE), "{line}");
        let paths: Vec<String> = internet.server.requests().into_iter().map(|request| request.path).collect();
        let asked = |path: &str| paths.iter().any(|other| other == path);
        assert_eq!(asked("/token"), answered, "{paths:?}");
        assert_eq!(asked("/register"), arguments == ["--auth", "oauth"], "{paths:?}");
        internet.got_no_token();
    }
    // Refused without a challenge, and with a redirect of its own.
    for (status, headers) in
        [(401, vec![]), (403, vec![]), (302, vec![("location", "https://other.example.test/")])]
    {
        let internet =
            Internet::of(Site { metadata: None, ..Site::protected(Refusal::Bypass) }, move |_, reply| {
                reply.answer(status, &headers, "")
            });
        let mut proxy = internet.start(&["--auth", "none"]);
        let line = ping(&mut proxy, 1);
        proxy.finish();
        assert_eq!(line.contains(ADVICE), status != 302, "{line}");
        assert_eq!(internet.count("HEAD mcp.example.test"), usize::from(status != 302));
        internet.got_no_token();
    }
}

#[test]
fn list_of_hosts_is_whole_list() {
    for (hosts, is_sent) in [
        ("mcp.example.test", true),
        ("*.example.test", true),
        ("other.test, MCP.example.test:443", true),
        ("mcp.example.test:8443", false),
        ("other.test, *.corp.test", false),
    ] {
        for more in [&[][..], &["--access", "always"]] {
            let internet = Internet::with(Site::protected(Refusal::Redirect));
            let arguments = [&["--auth", "none"], more].concat();
            let mut proxy = internet.start_with(&arguments, &[("CF_ACCESS_HOSTS", hosts)]);
            let line = ping(&mut proxy, 1);
            proxy.finish();
            if is_sent {
                assert!(line.contains("\"result\""), "{line}");
                assert_eq!(internet.seen(), ["POST mcp.example.test +token"], "{hosts}");
                continue;
            }
            let list = hosts.replace(", ", ",");
            assert!(
                line.contains(&format!("set CF_ACCESS_HOSTS={list},mcp.example.test, or unset it")),
                "{line}"
            );
            assert!(line.contains("CF_ACCESS_HOSTS does not name this host"), "{line}");
            assert!(line.contains("--access always"), "{line}");
            assert_eq!(internet.seen(), ["POST mcp.example.test"], "{hosts}");
        }
    }
}

#[test]
fn option_or_header_sends_token_at_once_or_never() {
    let written = [
        "--header",
        "CF-Access-Client-Id: ${CF_ACCESS_CLIENT_ID}",
        "--header",
        "CF-Access-Client-Secret: ${CF_ACCESS_CLIENT_SECRET}",
    ];
    for (arguments, is_sent) in [
        (&["--access", "always"][..], true),
        (&written, true),
        (&["--no-access"], false),
        (&["--access", "never"], false),
    ] {
        let internet = Internet::with(Site::protected(Refusal::Redirect));
        let mut proxy = internet.start(&[arguments, &["--auth", "none"]].concat());
        let line = ping(&mut proxy, 1);
        proxy.finish();
        assert_eq!(line.contains("\"result\""), is_sent, "{arguments:?}: {line}");
        let shown = if is_sent { "POST mcp.example.test +token" } else { "POST mcp.example.test" };
        assert_eq!(internet.seen(), [shown], "{arguments:?}");
    }
}

#[test]
fn call_refused_in_middle_runs_once_after_proof() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let internet = Internet::of(Site::protected(Refusal::Bypass), move |request, reply| {
        if request.title() == "tools/call" {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        match request.member("id") {
            Some(_) => reply.result(request, "{}"),
            None => reply.status(405),
        }
    });
    let mut proxy = internet.start(&[]);
    assert!(ping(&mut proxy, 1).contains("\"result\""));
    // Access is switched on.
    internet.change(|site| site.refusal = Refusal::Bare(403));
    let line = proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}"#);
    proxy.finish();
    assert!(line.contains("\"result\""), "{line}");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(internet.seen()[1..], PROVED);
}

#[test]
fn many_refused_at_once_are_proved_once() {
    let internet = Internet::with(Site::protected(Refusal::Redirect));
    let mut proxy = internet.start(&[]);
    let lines: String =
        (1..=8).map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n")).collect();
    proxy.write(lines.as_bytes());
    for _ in 1..=8 {
        assert!(proxy.line().contains("\"result\""));
    }
    proxy.finish();
    assert_eq!(internet.count("HEAD mcp.example.test"), 1);
    assert_eq!(internet.count("GET acme.cloudflareaccess.com"), 1);
    assert_eq!(internet.count("POST mcp.example.test +token"), 8);
}

#[test]
fn next_token_takes_over_after_its_own_proof() {
    let admitted = vec![[NEXT_ID, NEXT_SECRET]];
    let internet = Internet::with(Site { admitted, ..Site::protected(Refusal::Redirect) });
    let next = [("CF_ACCESS_CLIENT_ID_NEXT", NEXT_ID), ("CF_ACCESS_CLIENT_SECRET_NEXT", NEXT_SECRET)];
    let mut proxy = internet.start_with(&[], &next);
    let line = ping(&mut proxy, 1);
    proxy.finish();
    assert!(line.contains("\"result\""), "{line}");
    let sent: Vec<String> = internet
        .server
        .requests()
        .iter()
        .filter(|request| request.method == "POST")
        .map(|request| request.header("cf-access-client-id").unwrap_or("none").to_owned())
        .collect();
    assert_eq!(sent, ["none", ID, "none", NEXT_ID]);
    let known = std::fs::read_to_string(internet.file()).expect("text");
    assert!(known.contains(NEXT_ID) && !known.contains(ID), "{known}");
}

#[test]
fn single_header_form_waits_for_proof() {
    let internet =
        Internet::of(Site::protected(Refusal::Redirect), |request, reply| reply.result(request, "{}"));
    let mut proxy = internet.start(&["--access-header", "Authorization", "--auth", "none"]);
    ping(&mut proxy, 1);
    proxy.finish();
    assert_eq!(internet.seen(), PROVED);
}

#[test]
fn older_transport_obeys_same_rule() {
    let internet =
        Internet::of(Site::protected(Refusal::Redirect), |request, reply| match request.method.as_str() {
            "GET" => {
                reply.open_stream();
                reply.raw("event: endpoint\ndata: /messages?session=abcdef\n\n");
                reply.event(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
                reply.hang();
            }
            _ => reply.status(202),
        });
    let mut proxy = internet.start(&["--transport", "sse-only"]);
    let line = proxy.ask(INITIALIZE);
    internet.server.wait_for(|request| request.method == "POST");
    proxy.kill();
    assert!(line.contains("\"result\""), "{line}");
    let seen = internet.seen();
    let expected = [
        "GET mcp.example.test",
        "HEAD mcp.example.test",
        "GET acme.cloudflareaccess.com",
        "GET mcp.example.test +token",
        "POST mcp.example.test +token",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn redirect_within_host_is_refused_and_proved_there() {
    let internet = Internet::of(Site::protected(Refusal::Bypass), |request, reply| {
        let has_token = request.header("cf-access-client-id").is_some();
        match (request.path.as_str(), has_token) {
            ("/mcp", _) => reply.answer(307, &[("location", "/deeper/mcp?key=value")], ""),
            (_, true) => reply.result(request, "{}"),
            (_, false) => reply.answer(403, &[("cf-access-domain", HOST)], ""),
        }
    });
    let mut proxy = internet.start(&[]);
    let line = ping(&mut proxy, 1);
    proxy.finish();
    assert!(line.contains("\"result\""), "{line}");
    let requests = internet.server.requests();
    let asked = requests.iter().find(|request| request.method == "HEAD").expect("a question");
    assert_eq!(asked.path, "/deeper/mcp");
}

/// Runs a subcommand to its end: exit code, and what it told.
fn told(
    internet: &Internet,
    command: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
        .arg(command)
        .args(internet.arguments("https://mcp.example.test/mcp", arguments))
        .env_clear()
        .envs(internet.environment(environment))
        .envs(std::env::var_os("SystemRoot").map(|root| ("SystemRoot", root)))
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("UTF-8"))
}

#[test]
fn check_explains_token_that_hosts_keep_back() {
    let internet = Internet::with(Site::protected(Refusal::Redirect));
    let (_, text) = told(&internet, "check", &[], &[("CF_ACCESS_HOSTS", "other.test")]);
    let failed = text.lines().skip_while(|line| !line.contains("FAILED"));
    let failed: Vec<&str> = failed.take(2).collect();
    let [sentence, remedy] = failed[..] else { panic!("nothing failed: {text}") };
    assert!(sentence.contains("was not sent: CF_ACCESS_HOSTS does not name this host"), "{text}");
    assert!(remedy.contains("set CF_ACCESS_HOSTS=other.test,"), "{text}");
    assert!(!remedy.contains("CF_ACCESS_CLIENT_ID"), "{text}");
    assert!(text.contains("none for this host: the environment holds a service token"), "{text}");
}

#[test]
fn check_reports_rule_and_proof_like_proxy() {
    let internet = Internet::with(Site::protected(Refusal::Redirect));
    let rule = |text: &str| text.lines().find(|line| line.starts_with("rule ")).map(str::to_owned);
    for (arguments, environment, expected) in [
        (&[][..], &[][..], "proves that an Access application of its team acme.cloudflareaccess.com"),
        (&[], &[], "is remembered as protected by an Access application of its team"),
        (&["--access", "always"], &[], "the service token is sent: --access always"),
        (&[], &[("CF_ACCESS_HOSTS", HOST)], "the service token is sent: CF_ACCESS_HOSTS names this host"),
        (
            &[],
            &[("CF_ACCESS_HOSTS", "other.test")],
            "the service token is not sent: CF_ACCESS_HOSTS does not name",
        ),
    ] {
        let (_, text) = told(&internet, "check", arguments, environment);
        let found = rule(&text).unwrap_or_else(|| panic!("no rule: {text}"));
        assert!(found.contains(expected), "{found}");
        assert!(!text.contains("marked"), "{text}");
    }
    internet.change(|site| site.metadata = None);
    std::fs::remove_file(internet.file()).expect("it is there");
    let (_, text) = told(&internet, "check", &[], &[]);
    let found = rule(&text).unwrap_or_else(|| panic!("no rule: {text}"));
    assert!(found.contains("not sent") && found.contains(ADVICE), "{found}");
    internet.change(|site| site.refusal = Refusal::Bypass);
    let (_, text) = told(&internet, "check", &[], &[]);
    assert!(rule(&text).is_some_and(|line| line.contains("does not refuse requests without it")), "{text}");
}

#[test]
fn login_proves_host_before_it_sends_token() {
    let internet = Internet::of(Site::protected(Refusal::Redirect), |request, reply| {
        let base = "https://mcp.example.test";
        match request.path.as_str() {
            "/.well-known/oauth-protected-resource/mcp" => reply.json(
                &json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base] }).to_string(),
            ),
            "/.well-known/oauth-authorization-server" => {
                reply.json(&json!({ "issuer": base, "token_endpoint": format!("{base}/token") }).to_string())
            }
            "/token" => reply.json(r#"{"access_token":"granted-token","token_type":"Bearer"}"#),
            _ if request.header("authorization") == Some("Bearer granted-token") => {
                reply.json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
            }
            _ => reply.answer(401, &[("www-authenticate", "Bearer")], ""),
        }
    });
    let client = r#"{"client_id":"a","client_secret":"its own secret"}"#;
    let machine = ["--client-credentials", "--static-oauth-client-info", client];
    let (code, text) = told(&internet, "login", &machine, &[]);
    assert_eq!(code, Some(0), "{text}");
    let seen = internet.seen();
    assert_eq!(seen[..4], PROVED, "{seen:?}");
    assert!(seen[4..].iter().all(|seen| seen.ends_with(" +token")), "{seen:?}");
}

#[test]
fn token_that_access_refuses_binds_no_team() {
    for refusal in [Refusal::Redirect, Refusal::Challenge, Refusal::Forbidden, Refusal::Bare(401)] {
        let internet = Internet::with(Site { admitted: Vec::new(), ..Site::protected(refusal) });
        let mut proxy = internet.start(&[]);
        let line = ping(&mut proxy, 1);
        assert!(line.contains("\"error\"") && !line.contains("was not sent"), "{line}");
        proxy.finish();
        assert_eq!(internet.seen()[..4], PROVED, "{refusal:?}");
        assert!(!internet.file().exists(), "{refusal:?}");
    }
}

#[test]
fn answer_of_server_behind_access_remembers_host() {
    // Its own refusal shows that Access let the request through.
    let internet = Internet::of(Site::protected(Refusal::Redirect), |request, reply| {
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no such user"}}"#;
        match request.title() {
            "ping" => reply.answer(403, &[("content-type", "application/json")], error),
            _ => reply.status(404),
        }
    });
    let mut proxy = internet.start(&[]);
    let line = ping(&mut proxy, 1);
    assert!(line.contains("no such user"), "{line}");
    proxy.finish();
    assert!(internet.file().exists());
}

#[test]
#[cfg(unix)]
fn unwritable_proof_file_stops_nothing() {
    let internet = Internet::with(Site::protected(Refusal::Redirect));
    std::fs::create_dir_all(internet.file()).expect("a folder in its place");
    let mut proxy = internet.start(&[]);
    for id in 1..4 {
        assert!(ping(&mut proxy, id).contains("\"result\""));
    }
    let ended = proxy.finish();
    assert!(ended.stderr.contains("is not remembered"), "{}", ended.stderr);
    assert_eq!(internet.count("HEAD mcp.example.test"), 1);
}

#[test]
fn sign_in_of_unproved_host_begins_after_probe() {
    for metadata in [None, Some("nonsense".to_owned())] {
        let internet = Internet::with(Site { metadata, ..Site::protected(Refusal::Challenge) });
        let mut proxy = internet.start_with(&[], &[("BROWSER", "false")]);
        let line = ping(&mut proxy, 1);
        proxy.finish();
        assert!(line.contains("\"error\"") && line.contains(ADVICE), "{line}");
        let seen = internet.seen();
        let expected = ["POST mcp.example.test", "HEAD mcp.example.test", "GET mcp.example.test"];
        assert_eq!(seen[..3], expected, "{seen:?}");
        let document = internet.server.requests().into_iter().nth(2).expect("a document");
        assert!(
            document.path.starts_with("/.well-known/cloudflare-access-protected-resource"),
            "{}",
            document.path
        );
        internet.got_no_token();
    }
}
