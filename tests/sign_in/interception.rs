//! What stands between the program and what it asks during a sign-in: Cloudflare's edge, and Cloudflare Access. Each has the
//! same words, in the run, in `login` and in `check`, as before an answer of the server itself.

use std::process::{Command, Output};

use super::support::authority::{Authority, Set, visit};
use super::support::proxy::{Proxy, Stdin};
use super::{Home, call, page};

const RAY: &str = "8f00aa11bb22cc33-FRA";

/// An answer of Cloudflare's edge.
fn edge(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nserver: cloudflare\r\ncf-ray: {RAY}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn challenge() -> Vec<u8> {
    edge(
        "403 Forbidden",
        "content-type: text/html\r\ncf-mitigated: challenge\r\n",
        "<title>Just a moment...</title>",
    )
}

fn code(status: &str, code: u16) -> Vec<u8> {
    edge(status, "content-type: text/plain\r\n", &format!("error code: {code}"))
}

fn block_page() -> Vec<u8> {
    let page = "<title>Attention Required! | Cloudflare</title><div id=\"cf-error-details\">Sorry, you have been blocked</div>";
    edge("403 Forbidden", "content-type: text/html\r\n", page)
}

/// What a redirect to Access's sign-in looks like.
fn sign_in_of_access() -> Vec<u8> {
    let target = "location: https://acme.cloudflareaccess.com/cdn-cgi/access/login/h?kid=0123456789abcdef&meta=e30.e30.x\r\n";
    edge("302 Found", target, "")
}

fn refusal_of_access() -> Vec<u8> {
    let page = "<html><head><title>Forbidden ・ Cloudflare Access</title></head></html>";
    edge("403 Forbidden", "content-type: text/html\r\ncf-access-aud: 0123456789abcdef\r\n", page)
}

/// Answers, with a part of the sentence and the cause that they have.
fn answers() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    vec![
        (challenge(), "cf-mitigated: challenge", "challenge"),
        (code("403 Forbidden", 1020), "(1020)", "firewall"),
        (code("429 Too Many Requests", 1015), "rate limit", "rate_limit"),
        (code("530 Origin DNS Error", 1033), "has no running connector", "tunnel"),
        (edge("530 <none>", "", ""), "(530)", "edge"),
        (block_page(), "managed rules", "firewall"),
    ]
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.args(arguments).env_clear().envs(home.environment(&[])).output().expect("it starts")
}

#[test]
fn registration_refused_by_cloudflare_names_its_cause_and_ray() {
    for (answer, part, cause) in answers() {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        authority.change(|set| set.raw = Some(("/register", answer)));
        let mut proxy = home.start(&authority, &[]);
        let line = proxy.ask(&call(1));
        for part in [part, RAY, "/register", &format!(r#""cause":"{cause}""#), "\"advice\":"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!proxy.finish().stderr.contains("sign in at"));
        let told = run(&home, &["login", &authority.server.url]);
        let text = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.code() == Some(1) && text.contains(part) && text.contains(RAY), "{text}");
        assert!(text.contains("try: "), "{text}");
    }
}

#[test]
fn code_exchange_refused_by_cloudflare_names_cause_and_ray() {
    for (answer, part, cause) in answers() {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        authority.change(|set| set.raw = Some(("/token", answer)));
        let mut proxy = home.start(&authority, &[]);
        proxy.send(&call(1));
        assert!(visit(&page(&proxy, 1)).contains(RAY));
        let line = proxy.line();
        for part in [part, RAY, "/token", &format!(r#""cause":"{cause}""#)] {
            assert!(line.contains(part), "{part}: {line}");
        }
        proxy.finish();
    }
}

#[test]
fn renewal_refused_by_cloudflare_opens_no_page() {
    for (answer, part, _) in answers() {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = super::refresh::signed_in(&home, &authority);
        authority.forget(false);
        authority.change(|set| set.raw = Some(("/token", answer)));
        let line = proxy.ask(&call(2));
        assert!(line.contains(part) && line.contains(RAY), "{line}");
        authority.change(|set| set.raw = None);
        assert_eq!(authority.count("/authorize"), 1);
        // What it is renewed with is still there.
        assert!(home.kept().contains("marked-refresh-1"), "{line}");
        proxy.finish();
    }
}

#[test]
fn metadata_behind_access_names_access_and_the_path() {
    for answer in [sign_in_of_access(), refusal_of_access()] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        authority.change(|set| set.raw = Some(("/.well-known/*", answer)));
        let path = "/.well-known/oauth-protected-resource/mcp";
        let url = authority.server.url.as_str();
        let mut proxy = home.start(&authority, &[]);
        let line = proxy.ask(&call(1));
        proxy.finish();
        let login = run(&home, &["login", url]);
        let check = run(&home, &["check", url]);
        assert_eq!((login.status.code(), check.status.code()), (Some(1), Some(1)));
        let (login, check) = (String::from_utf8_lossy(&login.stderr), String::from_utf8_lossy(&check.stdout));
        for told in [line.as_str(), &login, &check] {
            for part in ["Cloudflare Access", path, "Bypass", RAY] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
        assert_eq!(authority.count("/register"), 0);
    }
}

#[test]
fn metadata_behind_cloudflare_is_explained_alike_everywhere() {
    for (answer, part, _) in answers() {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        authority.change(|set| set.raw = Some(("/.well-known/*", answer)));
        let url = authority.server.url.as_str();
        let mut proxy = home.start(&authority, &[]);
        let line = proxy.ask(&call(1));
        proxy.finish();
        let (login, check) = (run(&home, &["login", url]), run(&home, &["check", url]));
        let (login, check) = (String::from_utf8_lossy(&login.stderr), String::from_utf8_lossy(&check.stdout));
        for told in [line.as_str(), &login, &check] {
            assert!(told.contains(part) && told.contains(RAY), "{part}: {told}");
        }
    }
}

#[test]
fn server_behind_cloudflare_ends_login_with_its_cause() {
    for (answer, part, _) in answers().into_iter().chain([(refusal_of_access(), "Cloudflare Access", "")]) {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        authority.change(|set| set.raw = Some(("/mcp", answer)));
        let login = run(&home, &["login", &authority.server.url]);
        let text = String::from_utf8_lossy(&login.stderr);
        assert!(login.status.code() == Some(1) && text.contains(part) && text.contains(RAY), "{text}");
        assert_eq!(authority.count("/.well-known/oauth-protected-resource/mcp"), 0);
    }
}

#[test]
fn errors_of_the_authorization_server_stay_its_own() {
    // It stands behind Cloudflare, as most do, and says no itself.
    let refused = edge(
        "403 Forbidden",
        "content-type: application/json\r\n",
        r#"{"error":"access_denied","error_code":1020,"error_description":"not for you"}"#,
    );
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    authority.change(|set| set.raw = Some(("/register", refused)));
    let login = run(&home, &["login", &authority.server.url]);
    let text = String::from_utf8_lossy(&login.stderr);
    assert!(text.contains("access_denied (not for you)") && !text.contains("firewall"), "{text}");
    let proxy = Proxy::start_with(Stdin::Pipes, &["login", &authority.server.url], &home.environment(&[]));
    assert_eq!(proxy.wait_unread(), Some(1));
}

#[test]
fn refresh_refused_by_authorization_server_leads_to_sign_in() {
    // Both look like an answer of Cloudflare's or of Access, and are in the words of OAuth.
    let code = r#"{"error":"invalid_grant","error_code":1020}"#;
    for (headers, body) in
        [("", code), ("cf-access-aud: 0123456789abcdef\r\n", r#"{"error":"invalid_grant"}"#)]
    {
        let headers = format!("content-type: application/json\r\n{headers}");
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = super::refresh::signed_in(&home, &authority);
        authority.forget(false);
        authority.change(|set| set.raw = Some(("/token", edge("403 Forbidden", &headers, body))));
        proxy.send(&call(2));
        let page = page(&proxy, 2);
        authority.change(|set| set.raw = None);
        visit(&page);
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{line}");
        proxy.finish();
    }
}
