//! Sign-ins that mcp-remote has kept: the files are of the form that its 0.15.1 writes, byte for byte but for the values.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::authority::{Authority, Set, value, visit};
use super::{Home, call, page};

/// When a token runs out, in milliseconds.
pub(crate) const LATER: u64 = 4_102_444_800_000;
const BEFORE: u64 = 1_000_000;

/// Writes what mcp-remote would have kept under the name that these parts make, and tells its files.
pub(crate) fn keep(folder: &Path, parts: &[&str], issuer: &str, expires: u64) -> [(PathBuf, String); 2] {
    let folder = folder.join("mcp-remote-v1");
    std::fs::create_dir_all(&folder).expect("created");
    let hash = format!("{:x}", md5::compute(parts.join("|")));
    let tokens = format!(
        "{{\n  \"access_token\": \"marked-before\",\n  \"token_type\": \"Bearer\",\n  \"expires_in\": 3600,\n  \"scope\": \"openid\",\n  \
         \"refresh_token\": \"marked-refresh-before\",\n  \"issuer\": \"{issuer}\",\n  \"expires_at\": {expires},\n  \
         \"requested_scope\": \"openid email profile\"\n}}"
    );
    // One that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
    let port = free.port();
    let client = format!(
        "{{\n  \"redirect_uris\": [\n    \"http://localhost:{port}/oauth/callback\"\n  ],\n  \"token_endpoint_auth_method\": \"none\",\n  \
         \"grant_types\": [\n    \"authorization_code\",\n    \"refresh_token\"\n  ],\n  \"client_name\": \"MCP CLI Proxy\",\n  \
         \"software_version\": \"0.15.1\",\n  \"client_id\": \"its-client\",\n  \"issuer\": \"{issuer}\"\n}}"
    );
    [("tokens", tokens), ("client_info", client)].map(|(name, text)| {
        let path = folder.join(format!("{hash}_{name}.json"));
        std::fs::write(&path, &text).expect("written");
        (path, text)
    })
}

fn is_untouched(files: &[(PathBuf, String)]) {
    for (path, text) in files {
        assert_eq!(&std::fs::read_to_string(path).expect("it is there"), text, "{}", path.display());
        let folder = std::fs::read_dir(path.parent().expect("a folder")).expect("a folder");
        assert_eq!(folder.count(), files.len(), "nothing is written there");
    }
}

fn authority() -> (Authority, String) {
    let authority = Authority::start(Set::default());
    authority.knows("marked-before", "marked-refresh-before");
    let base = format!("http://{}", authority.server.address);
    (authority, base)
}

#[test]
fn mcp_remote_users_need_not_sign_in_again() {
    let (home, (authority, base)) = (Home::new(), authority());
    let url = authority.server.url.clone();
    let files = keep(&home.path().join(".mcp-auth"), &[&url], &base, LATER);
    let mut proxy = home.start(&authority, &["-vvv"]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    let paths: Vec<String> = authority.server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/mcp"], "no question is asked");
    is_untouched(&files);

    // When it is refused, another is had where the server says, which is where it came from.
    authority.forget(false);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    let refresh = authority.last("/token").body;
    for (name, expected) in [
        ("refresh_token", "marked-refresh-before"),
        ("client_id", "its-client"),
        ("resource", &url),
        ("scope", "openid"),
    ] {
        assert_eq!(value(&refresh, name).as_deref(), Some(expected));
    }
    let told = proxy.finish().stderr;
    assert!(
        told.contains("a sign-in that mcp-remote has kept is used") && !told.contains("marked"),
        "{told}"
    );
    is_untouched(&files);

    // From then on ours counts.
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!(authority.last("/mcp").header("authorization"), Some("Bearer marked-access-1"));
    proxy.finish();
    assert_eq!(authority.count("/authorize"), 0);
}

#[test]
fn entries_with_own_options_import_nothing() {
    let (home, (authority, base)) = (Home::new(), authority());
    keep(&home.path().join(".mcp-auth"), &[&authority.server.url], &base, LATER);
    for more in [&["--profile", "work"][..], &["--static-oauth-client-info", r#"{"client_id":"other"}"#]] {
        let mut proxy = home.start(&authority, &[more, &["--auth-timeout", "1"]].concat());
        let line = proxy.ask(&call(1));
        assert!(line.contains("requires a sign-in"), "{line}");
        proxy.finish();
    }
    assert_eq!(authority.count("/token"), 0);
}

#[test]
fn mcp_remote_files_are_found_by_its_arguments() {
    let (home, (authority, base)) = (Home::new(), authority());
    let url = authority.server.url.clone();
    let file = home.path().join("headers");
    std::fs::write(&file, "# mine\r\nX-B: from ${VALUE}\r\n\r\n").expect("written");
    let elsewhere = home.path().join("elsewhere");
    let parts = [
        &url,
        "https://r.example/mcp",
        r#"{"audience":"x","prompt":"login"}"#,
        r#"{"X-A":"a \"b\"","X-B":"from ${VALUE}"}"#,
    ];
    let files = keep(&elsewhere, &parts, &base, LATER);
    let elsewhere = elsewhere.display().to_string();
    let environment = [("MCP_REMOTE_CONFIG_DIR", elsewhere.as_str()), ("VALUE", "filled in")];
    let file = file.display().to_string();
    let arguments = [
        "--header",
        "X-A: a \"b\"",
        "--header-file",
        &file,
        "--authorize-param",
        "prompt=login",
        "--authorize-param",
        "audience=x",
        "--resource",
        "https://r.example/mcp",
        "--host",
        "localhost",
    ];
    let mut proxy = home.start_at(&url, &arguments, &environment);
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"result\""), "{line}");
    assert_eq!(authority.last("/mcp").header("x-b"), Some("from filled in"));
    proxy.finish();
    is_untouched(&files);
    // Another command would have had another sign-in.
    let mut proxy = home.start_at(&url, &["--auth-timeout", "1"], &environment);
    assert!(proxy.ask(&call(1)).contains("requires a sign-in"));
    proxy.finish();
}

#[test]
fn a_token_that_has_run_out_is_exchanged_first() {
    let (home, (authority, base)) = (Home::new(), authority());
    let files = keep(&home.path().join(".mcp-auth"), &[&authority.server.url], &base, BEFORE);
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!(
        (authority.count("/mcp"), authority.count("/token"), authority.count("/authorize")),
        (1, 1, 0)
    );
    proxy.finish();
    is_untouched(&files);
}

#[test]
fn tokens_of_another_authorization_server_are_given_to_nobody() {
    let (home, (authority, _)) = (Home::new(), authority());
    let files = keep(&home.path().join(".mcp-auth"), &[&authority.server.url], "http://127.0.0.1:1", BEFORE);
    authority.forget(true);
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    let token = authority.last("/token").body;
    assert_eq!(value(&token, "grant_type").as_deref(), Some("authorization_code"));
    assert_eq!(value(&token, "client_id").as_deref(), Some("a-client"));
    assert_eq!(authority.count("/token"), 1);
    is_untouched(&files);
}

#[test]
fn a_registration_of_mcp_remote_goes_on_being_used() {
    let (home, (authority, base)) = (Home::new(), authority());
    let [_, (_, client)] = keep(&home.path().join(".mcp-auth"), &[&authority.server.url], &base, LATER);
    authority.forget(true);
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    assert_eq!(value(&address, "client_id").as_deref(), Some("its-client"));
    assert!(client.contains(&value(&address, "redirect_uri").expect("a way back")), "{address}");
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn whoever_signs_out_is_signed_out() {
    let (home, (authority, base)) = (Home::new(), authority());
    let url = authority.server.url.clone();
    let files = keep(&home.path().join(".mcp-auth"), &[&url], &base, LATER);
    let run = |command: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
        let program = program.args([command, &url]).env_clear().envs(home.environment(&[]));
        let output = program.output().expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, shown) = run("tokens");
    assert!(code == Some(0) && shown.contains("_tokens.json") && !shown.contains("marked"), "{shown}");
    assert_eq!(run("logout").0, Some(0));
    assert_eq!(value(&authority.last("/revoke").body, "token").as_deref(), Some("marked-refresh-before"));
    assert_eq!((run("tokens").0, run("logout").0), (Some(1), Some(1)));
    is_untouched(&files);
    let mut proxy = home.start(&authority, &["--auth-timeout", "1"]);
    assert!(proxy.ask(&call(1)).contains("requires a sign-in"));
    assert_eq!(authority.last("/mcp").header("authorization"), None);
    proxy.finish();
}

#[test]
fn another_scope_than_before_is_signed_in_for_anew() {
    let (home, (authority, base)) = (Home::new(), authority());
    keep(&home.path().join(".mcp-auth"), &[&authority.server.url], &base, LATER);
    for (scope, expected) in [("email openid", true), ("openid files", false)] {
        let metadata = format!(r#"{{"scope":"{scope}"}}"#);
        let arguments = ["--static-oauth-client-metadata", &metadata, "--auth-timeout", "1"];
        let mut proxy = home.start(&authority, &arguments);
        let line = proxy.ask(&call(1));
        assert_eq!(line.contains("\"result\""), expected, "{line}");
        proxy.finish();
    }
}
