//! Enterprise-managed authorization: one sign-in at the company's identity provider serves every server, and what the identity
//! provider gives is checked before it is sent on.

use std::path::PathBuf;
use std::process::{Command, Output};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::concurrent_processes::one_page;
use super::support::authority::{Authority, Instead, Set, value, visit};
use super::support::proxy::{Proxy, Stdin};
use super::support::server::Request;
use super::{Home, call, page};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Long after this test.
const LATER: u64 = 4_102_444_800;
const AT_PROVIDER: &str = r#"{"client_id":"desk","client_secret":"marked-desk"}"#;
const AT_SERVER: &str = r#"{"client_id":"tether","client_secret":"marked-tether"}"#;

fn jwt(header: &str, claims: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.marked-signature", part(header), part(claims))
}

fn id_token(issuer: &str, client: &str, expiry: u64) -> String {
    jwt(r#"{"alg":"ES256"}"#, &format!(r#"{{"iss":"{issuer}","sub":"u","aud":"{client}","exp":{expiry}}}"#))
}

fn assertion(issuer: &str, audience: &str, more: &str) -> String {
    let claims = format!(r#"{{"iss":"{issuer}","sub":"u","aud":"{audience}"{more}}}"#);
    jwt(r#"{"alg":"ES256","typ":"oauth-id-jag+jwt"}"#, &claims)
}

fn base(authority: &Authority) -> String {
    format!("http://{}", authority.server.address)
}

/// An answer to a token exchange.
fn exchanged(token: &str) -> (u16, String) {
    let kind = "urn:ietf:params:oauth:token-type:id-jag";
    (
        200,
        format!(
            r#"{{"access_token":"{token}","issued_token_type":"{kind}","token_type":"N_A","expires_in":300}}"#
        ),
    )
}

/// An identity provider that exchanges each ID token for what this says.
fn provider(exchange: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static) -> Authority {
    let provider = Authority::start(Set::default());
    let issuer = base(&provider);
    provider.change(|set| {
        set.id_token = Some(id_token(&issuer, "desk", LATER));
        set.instead = Instead::new(move |request, reply| {
            let is_exchange = value(&request.body, "grant_type").as_deref() == Some(EXCHANGE);
            if is_exchange {
                let (status, body) = exchange(request);
                reply.answer(status, &[("content-type", "application/json")], &body);
            }
            is_exchange
        });
    });
    provider
}

/// One that does as it is asked.
pub(super) fn honest() -> Authority {
    provider(|request| {
        let issuer = format!("http://{}", request.header("host").expect("a host"));
        let audience = value(&request.body, "audience").expect("an audience");
        let resource = value(&request.body, "resource").expect("a resource");
        let more = format!(r#","client_id":"tether","resource":"{resource}","exp":{LATER}"#);
        exchanged(&assertion(&issuer, &audience, &more))
    })
}

fn arguments<'a>(issuer: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = [
        "--enterprise-idp",
        issuer,
        "--enterprise-client-info",
        AT_PROVIDER,
        "--static-oauth-client-info",
        AT_SERVER,
    ];
    [&usual[..], more].concat()
}

pub(super) fn start(home: &Home, server: &Authority, provider: &Authority, more: &[&str]) -> Proxy {
    home.start(server, &arguments(&base(provider), more))
}

/// Signs in by the first page that is shown.
fn signed_in(home: &Home, server: &Authority, provider: &Authority) -> Proxy {
    let mut proxy = start(home, server, provider, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(line.contains("\"result\""), "{line}");
    proxy
}

fn exchanges(provider: &Authority) -> Vec<Request> {
    let requests = provider.server.requests().into_iter();
    requests.filter(|request| value(&request.body, "grant_type").as_deref() == Some(EXCHANGE)).collect()
}

fn run(home: &Home, command: &str, server: &Authority, provider: &Authority) -> Output {
    let issuer = base(provider);
    let mut program = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    program.args([command, &server.server.url]).args(arguments(&issuer, &[])).env_clear();
    program.envs(home.environment(&[])).output().expect("it starts")
}

#[test]
fn one_sign_in_serves_all_servers() {
    let (home, provider) = (Home::new(), honest());
    let (one, other) = (Authority::start(Set::default()), Authority::start(Set::default()));
    one.change(|set| set.challenge.push_str(", scope=\"read\""));
    let mut proxy = start(&home, &one, &provider, &["-vvv"]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    let query = address.split_once('?').expect("a query").1;
    for (name, expected) in [("client_id", Some("desk")), ("scope", Some("openid")), ("resource", None)] {
        assert_eq!(value(query, name).as_deref(), expected, "{name}");
    }
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    let told = proxy.finish().stderr;
    assert!(!told.contains("marked"), "{told}");

    let basic = |pair: &str| format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair));
    let (issuer, audience) = (base(&provider), base(&one));
    let exchange = exchanges(&provider).pop().expect("an exchange");
    let subject = id_token(&issuer, "desk", LATER);
    for (name, expected) in [
        ("requested_token_type", Some("urn:ietf:params:oauth:token-type:id-jag")),
        ("audience", Some(audience.as_str())),
        ("resource", Some(one.server.url.as_str())),
        ("scope", Some("read")),
        ("subject_token", Some(subject.as_str())),
        ("subject_token_type", Some("urn:ietf:params:oauth:token-type:id_token")),
    ] {
        assert_eq!(value(&exchange.body, name).as_deref(), expected, "{name}");
    }
    assert_eq!(exchange.header("authorization"), Some(basic("desk:marked-desk").as_str()));
    let grant = one.last("/token");
    let more = format!(r#","client_id":"tether","resource":"{}","exp":{LATER}"#, one.server.url);
    let jag = assertion(&issuer, &audience, &more);
    for (name, expected) in [
        ("grant_type", Some("urn:ietf:params:oauth:grant-type:jwt-bearer")),
        ("assertion", Some(jag.as_str())),
        ("resource", Some(one.server.url.as_str())),
        ("scope", Some("read")),
    ] {
        assert_eq!(value(&grant.body, name).as_deref(), expected, "{name}");
    }
    assert_eq!(grant.header("authorization"), Some(basic("tether:marked-tether").as_str()));

    // Another server, in another process: no page, and another assertion.
    let mut proxy = start(&home, &other, &provider, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    let told = proxy.finish().stderr;
    assert!(!told.contains("sign in at"), "{told}");
    let audiences: Vec<Option<String>> =
        exchanges(&provider).iter().map(|request| value(&request.body, "audience")).collect();
    assert_eq!(audiences, [Some(audience), Some(base(&other))]);
    // The next start uses what is kept.
    let mut proxy = start(&home, &one, &provider, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    proxy.finish();
    assert_eq!((provider.count("/authorize"), exchanges(&provider).len(), one.count("/token")), (1, 2, 1));
    let kept = home.kept();
    for secret in ["marked-desk", "marked-tether", jag.as_str()] {
        assert!(!kept.contains(secret), "{kept}");
    }
}

#[test]
fn renews_token_without_user() {
    let (home, provider) = (Home::new(), honest());
    // Half of its life is over at once.
    let server = Authority::start(Set { expires_in: 1, ..Set::default() });
    let mut proxy = signed_in(&home, &server, &provider);
    server.change(|set| set.expires_in = 3600);
    let mut id = 2;
    while server.count("/token") < 2 || !home.kept().contains("marked-access-2") {
        assert!(proxy.ask(&call(id)).contains("\"result\""));
        id += 1;
    }
    // A token that the server does not accept any more is replaced as well.
    server.forget(false);
    for id in 1000..1010 {
        proxy.send(&call(id));
    }
    for _ in 0..10 {
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{line}");
    }
    assert_eq!((server.count("/token"), provider.count("/authorize")), (3, 1));
    proxy.finish();
}

/// The file of the identity provider's sign-in.
fn file_of(home: &Home, provider: &Authority) -> PathBuf {
    let folder = home.path().join("mcp-tether/oauth");
    let mut paths = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let holds = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "json")
            && std::fs::read_to_string(path)
                .expect("text")
                .contains(&format!("\"issuer\":\"{}\"", base(provider)))
    };
    paths.find(holds).expect("the sign-in")
}

#[test]
fn expired_id_token_is_refreshed_without_user() {
    let (home, provider) = (Home::new(), honest());
    let server = Authority::start(Set::default());
    signed_in(&home, &server, &provider).finish();
    let path = file_of(&home, &provider);
    let text = std::fs::read_to_string(&path).expect("text");
    let (held, expired) =
        (id_token(&base(&provider), "desk", LATER), id_token(&base(&provider), "desk", 1000));
    assert!(text.contains(&held));
    std::fs::write(&path, text.replace(&held, &expired)).expect("written");
    let renewed = id_token(&base(&provider), "desk", LATER + 1);
    provider.change(|set| set.id_token = Some(renewed.clone()));
    server.forget(false);
    let mut proxy = start(&home, &server, &provider, &[]);
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"result\""), "{line}");
    proxy.finish();
    let last = exchanges(&provider).pop().expect("an exchange");
    assert_eq!(value(&last.body, "subject_token"), Some(renewed));
    assert_eq!(provider.count("/authorize"), 1);
    assert!(
        provider
            .server
            .requests()
            .iter()
            .any(|request| { value(&request.body, "refresh_token").as_deref() == Some("marked-refresh-1") })
    );
}

#[test]
fn rejected_refresh_at_provider_leads_to_one_page() {
    let (home, provider) = (Home::new(), honest());
    let server = Authority::start(Set::default());
    signed_in(&home, &server, &provider).finish();
    let path = file_of(&home, &provider);
    let text = std::fs::read_to_string(&path).expect("text");
    let (held, expired) =
        (id_token(&base(&provider), "desk", LATER), id_token(&base(&provider), "desk", 1000));
    std::fs::write(&path, text.replace(&held, &expired)).expect("written");
    provider.change(|set| set.refresh = Some((400, r#"{"error":"invalid_grant"}"#)));
    server.forget(false);
    let mut proxies: Vec<Proxy> = (0..3).map(|_| start(&home, &server, &provider, &[])).collect();
    proxies.iter_mut().for_each(|proxy| proxy.send(&call(1)));
    visit(&one_page(&proxies));
    for mut proxy in proxies {
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{line}");
        proxy.finish();
    }
    assert_eq!(provider.count("/authorize"), 2);
}

/// A provider that does not accept these ID tokens.
fn refusing(refused: &'static [u64]) -> Authority {
    provider(move |request| {
        let issuer = format!("http://{}", request.header("host").expect("a host"));
        let subject = value(&request.body, "subject_token");
        let is_refused = |expiry: &u64| subject == Some(id_token(&issuer, "desk", *expiry));
        match refused.iter().any(is_refused) {
            true => (400, r#"{"error":"invalid_grant","error_description":"session ended"}"#.to_owned()),
            false => {
                let audience = value(&request.body, "audience").expect("an audience");
                exchanged(&assertion(&issuer, &audience, ""))
            }
        }
    })
}

#[test]
fn ended_sign_in_at_provider_leads_to_one_new_one() {
    const ENDED: u64 = LATER + 1;
    let (home, provider) = (Home::new(), refusing(&[ENDED]));
    let server = Authority::start(Set::default());
    signed_in(&home, &server, &provider).finish();
    // What is stored has ended by now.
    let path = file_of(&home, &provider);
    let text = std::fs::read_to_string(&path).expect("text");
    let (held, ended) =
        (id_token(&base(&provider), "desk", LATER), id_token(&base(&provider), "desk", ENDED));
    std::fs::write(&path, text.replace(&held, &ended)).expect("written");
    server.forget(false);
    let mut proxy = start(&home, &server, &provider, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(line.contains("\"result\""), "{line}");
    assert_eq!((provider.count("/authorize"), server.count("/token")), (2, 2));
    proxy.finish();
}

#[test]
fn new_sign_in_that_provider_refuses_is_not_repeated() {
    let (home, provider) = (Home::new(), refusing(&[LATER]));
    let server = Authority::start(Set::default());
    let mut proxy = start(&home, &server, &provider, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    for id in 2..4 {
        let line = proxy.line();
        assert!(line.contains("gave no token: invalid_grant (session ended)"), "{line}");
        proxy.send(&call(id));
    }
    assert_eq!((provider.count("/authorize"), server.count("/token")), (1, 0));
    proxy.finish();
}

#[test]
fn refusal_of_provider_is_told_without_another_page() {
    for (status, error, remedy) in [
        (400, "access_denied", "allow this client and this server for you"),
        (400, "invalid_target", "allow this client and this server for you"),
        (403, "invalid_scope", "allow this client and this server for you"),
        (401, "invalid_client", "--enterprise-client-info"),
        (400, "unauthorized_client", "--enterprise-client-info"),
    ] {
        let body = format!(r#"{{"error":"{error}","error_description":"no {AT_MARK}"}}"#);
        let provider = provider(move |_| (status, body.clone()));
        let (home, server) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = start(&home, &server, &provider, &[]);
        proxy.send(&call(1));
        visit(&page(&proxy, 1));
        let line = proxy.line();
        assert!(line.contains(&format!("gave no token: {error} (no [secret])")), "{line}");
        assert!(line.contains(remedy), "{line}");
        assert_eq!((provider.count("/authorize"), server.count("/token")), (1, 0));
        let told = proxy.finish().stderr;
        assert!(!told.contains("marked"), "{told}");
    }
}

#[test]
fn failed_sign_in_at_provider_is_logged_once() {
    let (home, server, provider) = (Home::new(), Authority::start(Set::default()), honest());
    provider.change(|set| set.back = "error=access_denied&state=STATE".to_owned());
    let mut proxy = start(&home, &server, &provider, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    let line = proxy.line();
    assert!(line.contains("access_denied"), "{line}");
    let told = proxy.finish().stderr;
    // The request that failed with it has a line of its own.
    let is_sign_in = |line: &&str| line.contains("access_denied") && !line.contains("request 1 ");
    assert_eq!(told.lines().filter(is_sign_in).count(), 1, "{told}");
}

/// A secret that a server repeats.
const AT_MARK: &str = "marked-desk";

#[test]
fn assertion_for_anything_else_is_not_sent_on() {
    type Forge = fn(&str, &str) -> String;
    let forged: [(Forge, &str); 8] = [
        (
            |issuer, _| assertion(issuer, "https://other.example", ""),
            "an assertion for https://other.example, not for",
        ),
        (|issuer, audience| assertion(issuer, &format!("{audience}/token"), ""), "an assertion for"),
        (
            |_, audience| assertion("https://evil.example", audience, ""),
            "of another issuer, https://evil.example",
        ),
        (
            |issuer, audience| assertion(issuer, audience, r#","client_id":"another""#),
            "for another client, another",
        ),
        (
            |issuer, audience| assertion(issuer, audience, r#","resource":"https://x.example/""#),
            "for https://x.example/, not for",
        ),
        (|issuer, audience| assertion(issuer, audience, r#","exp":1000"#), "an assertion that has expired"),
        (|issuer, _| id_token(issuer, "desk", LATER), "a token that is no oauth-id-jag+jwt"),
        (|_, _| "marked-opaque".to_owned(), "an assertion that is no JSON Web Token"),
    ];
    for (forge, expected) in forged {
        let provider = provider(move |request| {
            let issuer = format!("http://{}", request.header("host").expect("a host"));
            exchanged(&forge(&issuer, &value(&request.body, "audience").expect("an audience")))
        });
        let (home, server) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = start(&home, &server, &provider, &[]);
        proxy.send(&call(1));
        visit(&page(&proxy, 1));
        let line = proxy.line();
        assert!(line.contains(expected) && line.contains("mixed up"), "{line}");
        assert_eq!(server.count("/token"), 0);
        let told = proxy.finish().stderr;
        assert!(!told.contains("marked") && !line.contains("marked"), "{told}");
    }
}

#[test]
fn refusals_that_repeat_tokens_are_told_without_them() {
    // The identity provider repeats the ID token, the authorization server the assertion.
    let repeating = provider(|request| {
        let subject = value(&request.body, "subject_token").expect("a token");
        (400, format!(r#"{{"error":"access_denied","error_description":"{subject}"}}"#))
    });
    let strict = Authority::start(Set::default());
    strict.change(|set| {
        set.instead = Instead::new(|request, reply| {
            let Some(assertion) = value(&request.body, "assertion") else { return false };
            let body = format!(r#"{{"error":"invalid_grant","error_description":"{assertion}"}}"#);
            reply.answer(400, &[("content-type", "application/json")], &body);
            true
        });
    });
    let (usual, honest) = (Authority::start(Set::default()), honest());
    for (server, provider, expected, remedy) in [
        (&usual, &repeating, "access_denied ([secret])", "ask the identity provider's administrator"),
        (&strict, &honest, "invalid_grant ([secret])", "trust the identity provider"),
    ] {
        let home = Home::new();
        let mut proxy = start(&home, server, provider, &["-vvv"]);
        proxy.send(&call(1));
        visit(&page(&proxy, 1));
        let line = proxy.line();
        assert!(line.contains(expected) && line.contains(remedy), "{line}");
        let told = proxy.finish().stderr;
        assert!(!told.contains("marked") && !line.contains("marked"), "{told}");
    }
}

#[test]
fn assertion_and_client_secret_go_to_no_other_authorization_server() {
    let (home, provider) = (Home::new(), honest());
    let (server, other) = (Authority::start(Set::default()), Authority::start(Set::default()));
    signed_in(&home, &server, &provider).finish();
    let foreign = base(&other);
    server.change(|set| {
        set.resource = format!(r#""resource":"BASE/mcp","authorization_servers":["{foreign}"]"#)
    });
    server.forget(false);
    let mut proxy = start(&home, &server, &provider, &[]);
    let line = proxy.ask(&call(1));
    assert!(line.contains("another authorization server") && line.contains("--oauth-issuer"), "{line}");
    assert_eq!((exchanges(&provider).len(), other.count("/token"), provider.count("/authorize")), (1, 0, 1));
    proxy.finish();
    // The user may accept it.
    let issuer = base(&provider);
    let mut proxy = home.start(&server, &arguments(&issuer, &["--oauth-issuer", &foreign]));
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"result\"") || line.contains("does not accept the token"), "{line}");
    assert_eq!((exchanges(&provider).len(), other.count("/token")), (2, 1));
    proxy.finish();
}

#[test]
fn identity_provider_cannot_be_mixed_up() {
    let honest = honest();
    let issuer = base(&honest);
    for (change, expected) in [
        (
            Box::new(|set: &mut Set| set.id_token = Some(id_token("https://evil.example", "desk", LATER)))
                as Box<dyn Fn(&mut Set)>,
            "gave an ID token that is of another issuer, https://evil.example",
        ),
        (
            Box::new(|set: &mut Set| set.id_token = Some(id_token(&issuer, "another", LATER))),
            "gave an ID token that is for another client",
        ),
        (Box::new(|set: &mut Set| set.id_token = None), "gave no ID token that still holds"),
        (
            Box::new(|set: &mut Set| set.id_token = Some(id_token(&issuer, "desk", 1000))),
            "gave no ID token that still holds",
        ),
        (
            Box::new(|set: &mut Set| set.back = "code=CODE&state=STATE&iss=https://evil.example".to_owned()),
            "names https://evil.example as its issuer",
        ),
    ] {
        let usual = (Some(id_token(&issuer, "desk", LATER)), Set::default().back);
        honest.change(|set| {
            (set.id_token, set.back) = usual.clone();
            change(set);
        });
        let (home, server) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = start(&home, &server, &honest, &[]);
        proxy.send(&call(1));
        visit(&page(&proxy, 1));
        let line = proxy.line();
        assert!(line.contains(expected), "{line}");
        assert_eq!((exchanges(&honest).len(), server.count("/token")), (0, 0));
        proxy.finish();
    }
    // Metadata of another issuer, and none.
    for (metadata, expected) in [
        (
            r#""issuer":"https://evil.example","authorization_endpoint":"https://evil.example/a","token_endpoint":"https://evil.example/t""#,
            "names the issuer https://evil.example, not",
        ),
        (r#""x":1"#, "does not describe itself"),
    ] {
        honest.change(|set| set.metadata = metadata.to_owned());
        let (home, server) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = start(&home, &server, &honest, &[]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains("--enterprise-idp"), "{line}");
        proxy.finish();
    }
}

#[test]
fn processes_of_several_servers_sign_in_once() {
    let (home, provider) = (Home::new(), honest());
    let servers: Vec<Authority> = (0..2).map(|_| Authority::start(Set::default())).collect();
    let mut proxies: Vec<Proxy> =
        servers.iter().chain(&servers).map(|server| start(&home, server, &provider, &[])).collect();
    proxies.iter_mut().for_each(|proxy| proxy.send(&call(1)));
    visit(&one_page(&proxies));
    for mut proxy in proxies {
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{line}");
        proxy.finish();
    }
    assert_eq!(provider.count("/authorize"), 1);
}

#[test]
fn code_on_any_computer_signs_in_at_provider() {
    let (home, provider) = (Home::new(), honest());
    provider.change(|set| set.metadata.push_str(r#","device_authorization_endpoint":"BASE/device""#));
    let server = Authority::start(Set::default());
    let mut proxy = start(&home, &server, &provider, &["--device-code"]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!(value(&provider.last("/device").body, "scope").as_deref(), Some("openid"));
    proxy.finish();
}

#[test]
fn id_token_of_another_program_takes_the_place_of_the_page() {
    let provider = refusing(&[LATER + 1]);
    let issuer = base(&provider);
    let right = id_token(&issuer, "desk", LATER);
    let home = Home::new();
    let file = home.path().join("token");
    std::fs::write(&file, &right).expect("written");
    for source in [
        "env:GIVEN".to_owned(),
        format!("file:{}", file.display()),
        format!("command:cat '{}'", file.display()),
    ] {
        let (home, server) = (Home::new(), Authority::start(Set::default()));
        let arguments = arguments(&issuer, &["--enterprise-id-token", &source, "-vvv"]);
        let mut proxy = home.start_at(&server.server.url, &arguments, &[("GIVEN", &right)]);
        assert!(proxy.ask(&call(1)).contains("\"result\""));
        server.forget(false);
        assert!(proxy.ask(&call(2)).contains("\"result\""));
        let told = proxy.finish().stderr;
        assert!(!told.contains("marked"), "{told}");
        let last = exchanges(&provider).pop().expect("an exchange");
        assert_eq!(value(&last.body, "subject_token").as_deref(), Some(right.as_str()));
        let kept = home.kept();
        assert!(!kept.contains(&right) && kept.contains("marked-access-2"), "{kept}");
    }
    let before = exchanges(&provider).len();
    for (given, expected) in [
        (id_token("https://evil.example", "desk", LATER), "is of another issuer, https://evil.example"),
        (id_token(&issuer, "another", LATER), "is for another client"),
        (id_token(&issuer, "desk", 1000), "the token in GIVEN has expired"),
        ("marked".to_owned(), "the token in GIVEN is no JSON Web Token"),
        (id_token(&issuer, "desk", LATER + 1), "gave no token: invalid_grant (session ended)"),
    ] {
        let (home, server) = (Home::new(), Authority::start(Set::default()));
        let arguments = arguments(&issuer, &["--enterprise-id-token", "env:GIVEN"]);
        let mut proxy = home.start_at(&server.server.url, &arguments, &[("GIVEN", &given)]);
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && !line.contains("marked"), "{line}");
        assert_eq!(server.count("/token"), 0);
        proxy.finish();
    }
    assert_eq!((exchanges(&provider).len() - before, provider.count("/authorize")), (1, 0));
}

#[test]
fn tokens_shows_both_sign_ins_and_logout_ends_both() {
    let (home, provider) = (Home::new(), honest());
    let server = Authority::start(Set::default());
    signed_in(&home, &server, &provider).finish();
    let shown = run(&home, "tokens", &server, &provider);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let issuers: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("issuer:   ")).collect();
    assert_eq!(issuers, [base(&server), base(&provider)]);
    assert!(text.contains("identity provider\n") && !text.contains("marked"), "{text}");
    assert_eq!(text.matches("is renewed automatically").count(), 2, "{text}");
    // Signing in again takes no page while that sign-in holds.
    let again = run(&home, "login", &server, &provider);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(provider.count("/authorize"), 1);
    let gone = run(&home, "logout", &server, &provider);
    assert_eq!(gone.status.code(), Some(0), "{gone:?}");
    assert_eq!(value(&provider.last("/revoke").body, "token").as_deref(), Some("marked-refresh-1"));
    let kept = home.kept();
    assert!(!kept.contains("marked"), "{kept}");
    assert_eq!(run(&home, "tokens", &server, &provider).status.code(), Some(1));
}

#[test]
fn options_that_do_not_go_together_are_errors_with_remedy() {
    let (idp, info) = ("--enterprise-idp", "--enterprise-client-info");
    let (issuer, at_server) = ("https://idp.example", "--static-oauth-client-info");
    let both = [idp, issuer, info, AT_PROVIDER, at_server, AT_SERVER];
    let with = |more: &[&'static str]| [&both[..], more].concat();
    for (arguments, expected, remedy) in [
        (vec![idp, issuer], info, ""),
        (vec![info, AT_PROVIDER], idp, ""),
        (vec![idp, issuer, info, AT_PROVIDER], "requires a client at the server's", "--client-metadata-url"),
        (
            vec![idp, "http://idp.example", info, AT_PROVIDER, at_server, AT_SERVER],
            "--enterprise-idp is not",
            "--help",
        ),
        (
            vec![idp, "https://u:marked@idp.example", info, AT_PROVIDER, at_server, AT_SERVER],
            "--enterprise-idp is not",
            "--help",
        ),
        (
            vec![idp, issuer, info, "marked", at_server, AT_SERVER],
            "--enterprise-client-info is not a JSON object",
            "--help",
        ),
        (
            vec![
                idp,
                issuer,
                info,
                r#"{"client_id":"a","client_secret":"${NOT_SET}"}"#,
                at_server,
                AT_SERVER,
            ],
            "NOT_SET is not set",
            "set it",
        ),
        (with(&["--client-credentials"]), "cannot be used with", ""),
        (with(&["--workload-identity", "gitlab"]), "cannot be used with", ""),
        (with(&["--use-id-token"]), "cannot be used with", ""),
        (with(&["--enterprise-id-token", "github"]), "--enterprise-id-token is none of", "--help"),
        (with(&["--enterprise-id-token", "env:NAME"]), "NAME is not set", "set it"),
        (with(&["--auth", "none"]), "--enterprise-idp cannot be used with --auth none", "leave"),
        (
            with(&["--allow-http"]),
            "--enterprise-idp cannot be used with a URL that is not encrypted",
            "https://",
        ),
    ] {
        let home = Home::new();
        let is_plain = arguments.contains(&"--allow-http");
        let url = if is_plain { "http://mcp.example.test/mcp" } else { "https://mcp.example.test/mcp" };
        let arguments = [&[url], &arguments[..]].concat();
        let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &home.environment(&[]));
        let line = proxy.ask(&call(1));
        assert!(line.contains(expected) && line.contains(remedy), "{arguments:?}: {line}");
        let ended = proxy.finish();
        assert_eq!(ended.code, Some(2));
        assert!(!line.contains("marked") && !ended.stderr.contains("marked"), "{line}");
    }
}
