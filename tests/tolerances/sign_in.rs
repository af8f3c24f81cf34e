//! Signing in: metadata as it is published, token endpoints as they answer, registrations as they are refused.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::authority::{Authority, Instead, Set, value, visit};
use super::support::proxy::{Proxy, Stdin};
use super::support::server::{Reply, Request};

/// What becomes of a sign-in.
enum Outcome {
    /// It succeeds.
    Works,
    /// It fails before a page opens, with these words in the client's error.
    Refused(&'static [&'static str]),
    /// The same once the user was on the page.
    RefusedBehindPage(&'static [&'static str]),
}

use Outcome::{Refused, RefusedBehindPage, Works};

const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";
const CLIENT: [&str; 2] = ["--static-oauth-client-info", r#"{"client_id":"a-client"}"#];

/// A folder for what one user keeps.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().expect("a folder"))
    }

    fn start(&self, authority: &Authority, arguments: &[&str]) -> Proxy {
        let home = self.0.path().to_str().expect("UTF-8");
        let arguments = [&[authority.server.url.as_str()], arguments].concat();
        Proxy::start_with(Stdin::Pipes, &arguments, &[("HOME", home), ("XDG_CONFIG_HOME", home)])
    }
}

fn call(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#)
}

/// The page that the user is sent to, the first time or a later one.
fn page(proxy: &Proxy, times: usize) -> String {
    proxy.told_after("sign in at ", times)
}

fn base(request: &Request) -> String {
    format!("http://{}", request.header("host").expect("a host"))
}

fn path(request: &Request) -> &str {
    request.path.split('?').next().unwrap_or_default()
}

/// The usual metadata with another value for a member, as JSON.
fn metadata(name: &str, json: &str) -> Set {
    let right = Set::default().metadata;
    let begin = right.find(&format!("\"{name}\":")).expect("a member");
    let end = right[begin..].find(",\"").map_or(right.len(), |at| begin + at);
    let written = if json.is_empty() { "\"x\":1".to_owned() } else { format!("\"{name}\":{json}") };
    Set { metadata: format!("{}{written}{}", &right[..begin], &right[end..]), ..Set::default() }
}

/// A server whose metadata names this authorization server.
fn naming(issuer: &str) -> Set {
    let resource = format!(r#""resource":"BASE/mcp","authorization_servers":["{issuer}"]"#);
    Set { resource, ..Set::default() }
}

/// A server that answers at one path with this, for every method.
fn answering(at: &'static str, status: u16, media_type: &'static str, body: &'static str) -> Set {
    let instead = Instead::new(move |request, reply| {
        let is_there = path(request) == at;
        if is_there {
            let body = body.replace("BASE", &base(request));
            reply.answer(status, &[("content-type", media_type)], &body);
        }
        is_there
    });
    Set { instead, ..Set::default() }
}

/// The same at the token endpoint, for a grant of one type.
fn granting(
    grant: &'static str,
    status: u16,
    media_type: &'static str,
    body: &'static str,
) -> Option<Instead> {
    Instead::new(move |request, reply| {
        let is_it = path(request) == "/token" && value(&request.body, "grant_type").as_deref() == Some(grant);
        if is_it {
            reply.answer(status, &[("content-type", media_type)], body);
        }
        is_it
    })
}

fn code(status: u16, media_type: &'static str, body: &'static str) -> Set {
    Set { instead: granting("authorization_code", status, media_type, body), ..Set::default() }
}

/// Signs in, and returns the client's error where that fails.
fn sign_in(
    behaviour: &str,
    home: &Home,
    authority: &Authority,
    arguments: &[&str],
    outcome: &Outcome,
) -> String {
    let mut proxy = home.start(authority, arguments);
    proxy.send(&call(1));
    if !matches!(outcome, Refused(_)) {
        visit(&page(&proxy, 1));
    }
    let line = proxy.line();
    let told = proxy.finish().stderr;
    match outcome {
        Works => assert!(line.contains("\"result\""), "{behaviour}: {line}\n{told}"),
        Refused(parts) | RefusedBehindPage(parts) => {
            for part in *parts {
                assert!(line.contains(part), "{behaviour}: {part}: {line}");
            }
            assert!(line.contains("\"error\""), "{behaviour}: {line}");
        }
    }
    if matches!(outcome, Refused(_)) {
        assert!(!told.contains("sign in at"), "{behaviour}: {told}");
        assert_eq!((authority.count("/authorize"), authority.count("/token")), (0, 0), "{behaviour}");
    }
    line
}

#[test]
fn each_tolerance_has_its_near_miss() {
    let other_scheme = |path: &'static str| Set {
        instead: Instead::new(move |request, reply| {
            let is_there = request.path == RESOURCE;
            if is_there {
                let base = base(request);
                let wrong = base.replace("http://", "https://");
                let body = format!(r#"{{"resource":"{wrong}{path}","authorization_servers":["{base}"]}}"#);
                reply.answer(200, &[("content-type", "application/json")], &body);
            }
            is_there
        }),
        ..Set::default()
    };
    let template = |issuer: &str| {
        let issuer = issuer.to_owned();
        Set {
            instead: Instead::new(move |request, reply| {
                let is_there = request.path == "/organizations/v2.0/.well-known/openid-configuration";
                if is_there {
                    let base = base(request);
                    let issuer = issuer.replace("BASE", &base);
                    let body = format!(
                        r#"{{"issuer":"{issuer}","authorization_endpoint":"{base}/authorize","token_endpoint":"{base}/token"}}"#
                    );
                    reply.answer(200, &[("content-type", "application/json")], &body);
                }
                is_there
            }),
            ..naming("BASE/organizations/v2.0")
        }
    };
    let back = |back: &str| Set { back: back.to_owned(), ..Set::default() };
    let hint =
        |hint: &str| Set { challenge: format!("Bearer resource_metadata=\"{hint}\""), ..Set::default() };
    let elsewhere = |status| Set {
        challenge: "Bearer resource_metadata=\"BASE/named\"".to_owned(),
        instead: Instead::new(move |request, reply| {
            let is_there = request.path == "/named" || request.path.starts_with(RESOURCE);
            if is_there {
                reply.status(if request.path == "/named" { status } else { 404 });
            }
            is_there
        }),
        ..Set::default()
    };
    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
    const JSON: &str = "application/json";
    let granted = |granted| Set { granted: Some(granted), ..Set::default() };
    let none: &[&str] = &[];
    #[rustfmt::skip]
    let rows: Vec<(&str, Set, &[&str], Outcome)> = vec![
        ("the server names the issuer with a slash more", naming("BASE/"), none, Works),
        ("with two", naming("BASE//"), none, Refused(&["names the issuer"])),
        ("the issuer names itself with a slash more", metadata("issuer", "\"BASE/\""), none, Works),
        ("an issuer on another host", metadata("issuer", "\"https://other.example\""), none, Refused(&["names the issuer https://other.example", "--oauth-metadata "])),
        ("an issuer that only begins alike", metadata("issuer", "\"BASE.other.example\""), none, Refused(&["names the issuer"])),
        ("the answer of the page names the issuer with a slash more", back("code=CODE&state=STATE&iss=BASE%2F"), none, Works),
        ("it names another host", back("code=CODE&state=STATE&iss=https%3A%2F%2Fother.example"), none, RefusedBehindPage(&["as its issuer"])),
        ("no code_challenge_methods_supported", metadata("code_challenge_methods_supported", ""), none, Works),
        ("a list without S256", metadata("code_challenge_methods_supported", "[\"plain\"]"), none, Refused(&["does not offer PKCE with S256"])),
        ("an empty list", metadata("code_challenge_methods_supported", "[]"), none, Refused(&["does not offer PKCE with S256"])),
        ("a template in place of the tenant", template("BASE/{tenantid}/v2.0"), &CLIENT, Works),
        ("a template on another host", template("https://other.example/{tenantid}/v2.0"), &CLIENT, Refused(&["names the issuer"])),
        ("a template of another path", template("BASE/{tenantid}/v1.0"), &CLIENT, Refused(&["names the issuer"])),
        ("a hint of another scheme", hint("ftp://127.0.0.1/x"), none, Works),
        ("a hint that is no address", hint("http://"), none, Works),
        ("a hint that leads nowhere", hint("BASE/nothing"), none, Works),
        ("a named document that is not there", elsewhere(404), none, Works),
        ("a named document that fails", elsewhere(503), none, Refused(&["answered 503 instead of its metadata", "try again later"])),
        ("metadata of the issuer that fails", answering("/.well-known/oauth-authorization-server", 502, JSON, ""), none, Refused(&["answered 502 instead of its metadata"])),
        ("the server names itself with the wrong scheme", other_scheme("/mcp"), none, Works),
        ("another path as well", other_scheme("/other"), none, Refused(&["is about another server"])),
        ("an authorization server without encryption", naming("http://as.example"), none, Refused(&["is not https: http://as.example", "say https://as.example", "--oauth-metadata https://as.example/.well-known/oauth-authorization-server"])),
        ("a vendor's token type", granted(r#"{"access_token":"ACCESS","token_type":"user"}"#), none, Works),
        ("no token type", granted(r#"{"access_token":"ACCESS"}"#), none, Works),
        ("bearer in capitals", granted(r#"{"access_token":"ACCESS","token_type":"BEARER"}"#), none, Works),
        ("a token that wants a proof", granted(r#"{"access_token":"ACCESS","token_type":"DPoP"}"#), none, RefusedBehindPage(&["a token of type DPoP"])),
        ("a token that signs", granted(r#"{"access_token":"ACCESS","token_type":"mac"}"#), none, RefusedBehindPage(&["a token of type mac"])),
        ("a token in a form", granted("access_token=ACCESS&token_type=Bearer&expires_in=3600&refresh_token=r&scope=read+write"), none, Works),
        ("a web page in its place", code(200, "text/html", "<html access_token=x>"), none, RefusedBehindPage(&["without a usable token"])),
        ("an error with 200", code(200, JSON, r#"{"error":"bad_verification_code","error_description":"The code passed is incorrect or expired."}"#), none, RefusedBehindPage(&["bad_verification_code", "The code passed is incorrect or expired."])),
        ("an error of Slack", code(200, JSON, r#"{"ok":false,"error":"invalid_code"}"#), none, RefusedBehindPage(&["invalid_code"])),
        ("an error in a form", code(200, FORM, "error=redirect_uri_mismatch&error_description=The+redirect_uri+MUST+match"), none, RefusedBehindPage(&["redirect_uri_mismatch (The redirect_uri MUST match)"])),
        ("a refusal without OAuth's words", code(403, JSON, r#"{"message":"no such client here"}"#), none, RefusedBehindPage(&["answered 403 instead of a token: no such client here"])),
        ("a resource that is not known", code(400, JSON, r#"{"error":"invalid_target","error_description":"the resource is not known here"}"#), none, RefusedBehindPage(&["invalid_target", "--disable-resource-parameter"])),
        ("the same on the page", back("error=invalid_target&error_description=AADSTS9010010:%20The%20resource%20parameter&state=STATE"), none, RefusedBehindPage(&["AADSTS9010010", "--disable-resource-parameter"])),
        ("a registration that is refused without OAuth's words", answering("/register", 403, "text/plain", "Forbidden"), none, Refused(&["answered 403 instead of a registration: Forbidden", "--static-oauth-client-info", "--static-oauth-client-metadata"])),
        ("one that fails", answering("/register", 503, "text/plain", "busy"), none, Refused(&["answered 503 instead of a registration", "try again later"])),
    ];
    for (behaviour, set, arguments, outcome) in rows {
        sign_in(behaviour, &Home::new(), &Authority::start(set), arguments, &outcome);
    }
}

/// An option at the end of the advice of an error, as it is typed.
fn advised(line: &str) -> [String; 2] {
    let advice = mcp_tether::json::member(line, "error")
        .and_then(|error| mcp_tether::json::member(error, "data"))
        .and_then(|data| mcp_tether::json::member(data, "advice"))
        .and_then(mcp_tether::json::string)
        .unwrap_or_else(|| panic!("no advice: {line}"));
    let at = advice.rfind("--").unwrap_or_else(|| panic!("no option: {advice}"));
    let words = shell_words::split(&advice[at..]).expect("words");
    words.try_into().unwrap_or_else(|words| panic!("no option with a value: {words:?}"))
}

/// A server without metadata of its own, that publishes an authorization server elsewhere whose page it has itself.
fn published_by_server(other: &Authority) -> Set {
    let at = format!("http://{}", other.server.address);
    let page = at.clone();
    Set {
        challenge: "Bearer error=\"invalid_token\"".to_owned(),
        metadata: format!(
            r#""issuer":"{at}","authorization_endpoint":"BASE/page","token_endpoint":"{at}/token","registration_endpoint":"{at}/register","code_challenge_methods_supported":["S256"]"#
        ),
        instead: Instead::new(move |request, reply| {
            match path(request) {
                "/page" => {
                    let query = request.path.split_once('?').map_or("", |(_, query)| query);
                    reply.answer(302, &[("location", &format!("{page}/authorize?{query}"))], "");
                }
                RESOURCE => reply.status(404),
                _ => return false,
            }
            true
        }),
        ..Set::default()
    }
}

/// One that publishes nothing itself, and has the tokens of the server.
fn unpublished() -> Authority {
    Authority::start(answering("/.well-known/oauth-authorization-server", 404, "text/plain", ""))
}

#[test]
fn advised_option_accepts_the_issuer_that_was_refused() {
    let other = unpublished();
    let by_server = Authority::start(published_by_server(&other));
    by_server.knows("marked-access-1", "marked");
    let by_origin = Authority::start(Set {
        instead: Instead::new(|request, reply| {
            let is_there = request.path == "/.well-known/oauth-authorization-server/tenant-7";
            if is_there {
                let body = format!("{{{}}}", Set::default().metadata.replace("BASE", &base(request)));
                reply.answer(200, &[("content-type", "application/json")], &body);
            }
            is_there
        }),
        ..naming("BASE/tenant-7")
    });
    // Metadata whose addresses are not of the issuer that it names is accepted as a document only.
    let by_nobody = Authority::start(metadata("issuer", "\"https://other.example\""));
    for (behaviour, authority, option) in [
        ("a page of the server's own", &by_server, "--oauth-issuer"),
        ("the origin alone", &by_origin, "--oauth-issuer"),
        ("addresses of another", &by_nobody, "--oauth-metadata"),
    ] {
        let line = sign_in(behaviour, &Home::new(), authority, &[], &Refused(&["issuer"]));
        let [name, value] = advised(&line);
        assert_eq!(name, option, "{behaviour}: {line}");
        for wrong in ["https://other.example.evil", "https://another.example"] {
            sign_in(behaviour, &Home::new(), authority, &["--oauth-issuer", wrong], &Refused(&["issuer"]));
        }
        sign_in(behaviour, &Home::new(), authority, &[&name, &value], &Works);
    }
}

#[test]
fn named_issuer_accepts_no_addresses_of_another() {
    // It claims to be an issuer that the user trusts, and would have its codes.
    let authority = Authority::start(metadata("issuer", "\"https://127.0.0.1:1\""));
    let option = ["--oauth-issuer", "https://127.0.0.1:1"];
    sign_in("claimed", &Home::new(), &authority, &option, &Refused(&["its addresses are elsewhere"]));
    assert_eq!(authority.count("/register"), 0);
}

#[test]
fn metadata_file_replaces_published_metadata() {
    let other = unpublished();
    let at = format!("http://{}", other.server.address);
    let server = Authority::start(naming("https://other.example"));
    server.knows("marked-access-1", "marked");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("metadata.json");
    let option = format!("@{}", file.display());
    let members = Set::default().metadata.replace("BASE", &at);
    for (text, outcome) in [
        (format!("{{{members}}}"), Works),
        (r#"{"issuer":"x"}"#.to_owned(), Refused(&["--oauth-metadata names a file without the metadata"])),
        (
            format!("{{{}}}", members.replace("\"token_endpoint\":\"http:", "\"token_endpoint\":\"ftp:")),
            Refused(&["the token_endpoint of", "is not https"]),
        ),
        (format!("{{{}}}", members.replace("S256", "plain")), Refused(&["does not offer PKCE with S256"])),
    ] {
        std::fs::write(&file, &text).expect("written");
        sign_in(&text, &Home::new(), &server, &["--oauth-metadata", &option], &outcome);
    }
    for wrong in ["http://as.example/x", "ftp://as.example/x", "x", "https://u:p@as.example/x"] {
        let outcome = Refused(&["--oauth-metadata is neither @FILE nor an https URL"]);
        sign_in(wrong, &Home::new(), &server, &["--oauth-metadata", wrong], &outcome);
    }
}

/// Signs in, and has the token refused; `refresh` answers its exchange.
fn expired(home: &Home, refresh: Option<Instead>) -> (Authority, Proxy) {
    let authority = Authority::start(Set::default());
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    authority.forget(false);
    authority.change(|set| set.instead = refresh);
    (authority, proxy)
}

fn refused(status: u16, body: &'static str) -> Option<Instead> {
    granting("refresh_token", status, "application/json", body)
}

#[test]
fn refused_refresh_opens_one_page() {
    for (status, body) in [
        (400, r#"{"error":"invalid_request","error_description":"refresh_token is invalid"}"#),
        (400, r#"{"error":"invalid_refresh_token"}"#),
        (400, r#"{"error":"invalid_client"}"#),
        (401, r#"{"message":"Unauthorized"}"#),
        (403, "Forbidden"),
        (404, ""),
        (422, "{}"),
        (200, r#"{"error":"bad_refresh_token","error_description":"…"}"#),
        (200, r#"{"ok":false}"#),
    ] {
        let home = Home::new();
        let (authority, mut proxy) = expired(&home, refused(status, body));
        proxy.send(&call(2));
        let address = page(&proxy, 2);
        let kept = kept(&home);
        assert!(
            kept.contains("marked-refresh-1"),
            "{status} {body}: it is kept until something better is there"
        );
        visit(&address);
        assert!(proxy.line().contains("\"result\""), "{status} {body}");
        assert!(proxy.ask(&call(3)).contains("\"result\""), "{status} {body}");
        proxy.finish();
        assert_eq!(authority.count("/authorize"), 2, "{status} {body}");
        let kept = self::kept(&home);
        assert!(!kept.contains("marked-refresh-1") && kept.contains("marked-refresh-2"), "{status} {body}");
    }
}

#[test]
fn failed_refresh_opens_no_page_and_is_repeated() {
    for (status, body) in [
        (408, ""),
        (425, ""),
        (429, r#"{"error":"slow_down"}"#),
        (500, r#"{"error":"invalid_grant"}"#),
        (503, "busy"),
        (530, "error code: 1033"),
        (403, "error code: 1020"),
        (302, ""),
        (200, "<html>"),
        (200, "{}"),
    ] {
        let home = Home::new();
        let (authority, mut proxy) = expired(&home, refused(status, body));
        let line = proxy.ask(&call(2));
        assert!(line.contains("\"error\""), "{status} {body}: {line}");
        authority.change(|set| set.instead = None);
        assert!(proxy.ask(&call(3)).contains("\"result\""), "{status} {body}");
        proxy.finish();
        assert_eq!(authority.count("/authorize"), 1, "{status} {body}");
    }
}

#[test]
fn client_unknown_once_opens_no_page() {
    let (home, count) = (Home::new(), Arc::new(AtomicUsize::new(0)));
    let once = Instead::new(move |request: &Request, reply: &mut Reply| {
        let is_first = path(request) == "/token" && count.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first {
            reply.answer(401, &[("content-type", "application/json")], r#"{"error":"invalid_client"}"#);
        }
        is_first
    });
    let (authority, mut proxy) = expired(&home, once);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    proxy.finish();
    assert_eq!((authority.count("/authorize"), authority.count("/token")), (1, 3));
}

#[test]
fn refused_refresh_is_retried_by_next_start() {
    let home = Home::new();
    let (authority, mut proxy) = expired(&home, refused(400, r#"{"error":"invalid_request"}"#));
    proxy.send(&call(2));
    page(&proxy, 2);
    proxy.kill();
    authority.change(|set| set.instead = None);
    // A while later: those who ask at once take the answer of the first.
    edit(&home, |text| {
        let begin = text.find("\"refused_at\":").expect("it is noted");
        let end = begin + text[begin..].find([',', '}']).expect("more");
        format!("{}\"refused_at\":1{}", &text[..begin], &text[end..])
    });
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(3)).contains("\"result\""));
    proxy.finish();
    assert_eq!(authority.count("/authorize"), 1);
}

#[test]
fn refresh_falls_back_to_no_resource() {
    let home = Home::new();
    let targeted = Instead::new(|request, reply| {
        let is_targeted = path(request) == "/token" && value(&request.body, "resource").is_some();
        if is_targeted {
            reply.answer(400, &[("content-type", "application/json")], r#"{"error":"invalid_target"}"#);
        }
        is_targeted
    });
    let (authority, mut proxy) = expired(&home, targeted);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    assert_eq!(authority.count("/token"), 3);
    // It is remembered, also by the next start.
    authority.forget(false);
    assert!(proxy.ask(&call(3)).contains("\"result\""));
    proxy.finish();
    authority.forget(false);
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(4)).contains("\"result\""));
    proxy.finish();
    assert_eq!((authority.count("/token"), authority.count("/authorize")), (5, 1));
}

#[test]
fn registration_falls_back_to_localhost() {
    for (status, body) in [
        (403, r#"{"message":"Forbidden"}"#),
        (403, "<html>"),
        (400, r#"{"error":"invalid_request","error_description":"Invalid redirect URI"}"#),
        (422, "{}"),
    ] {
        let instead = Instead::new(move |request, reply| {
            let query = request.path.split_once('?').map_or("", |(_, query)| query);
            let redirect = value(query, "redirect_uri").unwrap_or_default();
            let is_blocked = path(request) == "/register" && request.body.contains("127.0.0.1")
                || path(request) == "/authorize" && redirect.contains("127.0.0.1");
            if is_blocked {
                reply.answer(status, &[("content-type", "application/json")], body);
            }
            is_blocked
        });
        let authority = Authority::start(Set { instead, ..Set::default() });
        sign_in(body, &Home::new(), &authority, &[], &Works);
        assert_eq!(authority.count("/register"), 2);
        let authority = Authority::start(answering("/register", status, "application/json", body));
        let outcome = Refused(&["--host localhost"]);
        sign_in(body, &Home::new(), &authority, &["--host", "127.0.0.1"], &outcome);
        assert_eq!(authority.count("/register"), 1);
    }
}

#[test]
fn option_without_resource_fixes_refusal() {
    let authority = Authority::start(Set {
        instead: Instead::new(|request, reply| {
            let form = request.path.split_once('?').map_or(request.body.as_str(), |(_, query)| query);
            let is_refused = path(request) == "/token" && value(form, "resource").is_some();
            if is_refused {
                reply.answer(400, &[("content-type", "application/json")], r#"{"error":"invalid_target"}"#);
            }
            is_refused
        }),
        ..Set::default()
    });
    let outcome = RefusedBehindPage(&["invalid_target", "--disable-resource-parameter"]);
    sign_in("named", &Home::new(), &authority, &[], &outcome);
    sign_in("not named", &Home::new(), &authority, &["--disable-resource-parameter"], &Works);
}

#[test]
fn unusable_page_is_reported_with_command() {
    let authority = Authority::start(Set::default());
    let home = Home::new();
    let mut proxy = home.start(&authority, &["--auth-timeout", "1"]);
    let line = proxy.ask(&call(1));
    let told = proxy.finish().stderr;
    let command = format!("mcp-tether login {}", authority.server.url);
    for text in [line, told] {
        assert!(text.contains("sign in") && text.contains(&command), "{text}");
    }
}

/// The files of sign-ins.
fn files(home: &Home) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![home.0.path().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                files.push(path);
            }
        }
    }
    files
}

/// What stands in them.
fn kept(home: &Home) -> String {
    files(home).iter().map(|path| std::fs::read_to_string(path).expect("text")).collect()
}

/// Changes the one that there is.
fn edit(home: &Home, change: impl FnOnce(&str) -> String) {
    let [file] = &files(home)[..] else { panic!("not one file") };
    let text = change(&std::fs::read_to_string(file).expect("text"));
    std::fs::write(file, text).expect("written");
}
