//! Our sign-in beside that of the official SDKs: before the same authorization server all take the same decisions, or a row
//! says which other one an SDK takes, and why ours differs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use rmcp::transport::auth::{AuthorizationManager, AuthorizationRequest, AuthorizationSession};

use super::{Home, call, page};
use crate::support::authority::{Authority, Set, value, visit};
use crate::support::server::Request;

const CLIENT_URL: &str = "https://app.example/client.json";

/// What a client decided: the last metadata it asked for, what it asked the user and the token endpoint for, the end.
type Decision = BTreeMap<&'static str, String>;

/// One behaviour of the authorization server and of the server before it.
struct Row {
    what: &'static str,
    set: Set,
    client_url: Option<&'static str>,
    ends: Ends,
    /// Where the Rust SDK decides otherwise: what, how, and why we do not.
    rust: &'static [(&'static str, &'static str, &'static str)],
    /// Where the TypeScript SDK does.
    typescript: &'static [(&'static str, &'static str, &'static str)],
}

/// How our own sign-in ends.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    /// With a token.
    Done,
    /// Before a page is opened.
    Refused,
    /// With what comes back from the page.
    RefusedAtCallback,
}

fn row(what: &'static str, change: impl FnOnce(&mut Set)) -> Row {
    // RFC 7591, 3.2.1: a registration is answered with everything that was registered.
    let registration = r#"{"client_id":"a-client","redirect_uris":["http://localhost:1/callback"]}"#;
    let mut set = Set { registration: Some((201, registration)), ..Set::default() };
    // RFC 8414, 2: it must be there.
    set.metadata.push_str(r#","response_types_supported":["code"]"#);
    change(&mut set);
    Row { what, set, client_url: None, ends: Ends::Done, rust: &[], typescript: &[] }
}

fn rows() -> Vec<Row> {
    let not_found = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    vec![
        row("challenge names the resource metadata", |_| {}),
        row("challenge names nothing", |set| set.challenge = "Bearer".to_owned()),
        Row {
            typescript: &[
                ("resource", "-", "RFC 8707 is MCP's rule with and without resource metadata"),
                ("resource of the token", "-", "as above"),
            ],
            ..row("server has no resource metadata", |set| {
                set.challenge = "Bearer".to_owned();
                set.raw = Some(("/.well-known/oauth-protected-resource*", not_found.to_vec()));
            })
        },
        row("challenge names a scope", |set| {
            set.challenge.push_str(r#", scope="a b""#);
            set.resource.push_str(r#","scopes_supported":["c"]"#);
        }),
        row("resource metadata names scopes", |set| {
            set.resource.push_str(r#","scopes_supported":["c","d"]"#)
        }),
        row("authorization server supports offline_access", |set| {
            set.challenge.push_str(r#", scope="a""#);
            set.metadata.push_str(r#","scopes_supported":["a","offline_access"]"#);
        }),
        row("resource is the whole origin", |set| {
            set.resource = r#""resource":"BASE","authorization_servers":["BASE"]"#.to_owned();
        }),
        Row {
            ends: Ends::Refused,
            rust: &[(
                "resource metadata",
                "/.well-known/oauth-protected-resource/mcp",
                "we ask for that of the origin too, before we give up",
            )],
            typescript: &[
                (
                    "resource metadata",
                    "/.well-known/oauth-protected-resource/mcp",
                    "we ask for that of the origin too, before we give up",
                ),
                (
                    "server metadata",
                    "/.well-known/oauth-authorization-server",
                    "we ask no server that such metadata names",
                ),
            ],
            ..row("resource is another origin", |set| {
                set.resource =
                    r#""resource":"https://other.example/mcp","authorization_servers":["BASE"]"#.to_owned();
            })
        },
        Row {
            ends: Ends::Refused,
            rust: &[(
                "server metadata",
                "/.well-known/oauth-authorization-server",
                "we look for that of OpenID Connect too, before we give up",
            )],
            typescript: &[(
                "server metadata",
                "/.well-known/oauth-authorization-server",
                "we look for that of OpenID Connect too, before we give up",
            )],
            ..row("metadata is of another issuer", |set| {
                set.metadata =
                    set.metadata.replace(r#""issuer":"BASE""#, r#""issuer":"https://other.example""#);
            })
        },
        Row {
            ends: Ends::Refused,
            typescript: &[(
                "registration",
                "/register",
                "we register no client where no sign-in is possible",
            )],
            ..row("authorization server supports no S256", |set| {
                set.metadata = set.metadata.replace("S256", "plain");
            })
        },
        Row {
            ends: Ends::Refused,
            ..row("authorization server registers no clients", |set| {
                set.metadata = set.metadata.replace("registration_endpoint", "other_endpoint");
            })
        },
        Row {
            client_url: Some(CLIENT_URL),
            ..row("authorization server takes a client metadata URL", |set| {
                set.metadata.push_str(r#","client_id_metadata_document_supported":true"#);
            })
        },
        row("callback names the issuer", |set| set.back.push_str("&iss=BASE")),
        Row {
            ends: Ends::RefusedAtCallback,
            ..row("callback names another issuer", |set| set.back.push_str("&iss=https://other.example"))
        },
    ]
}

/// Reads a decision off the requests that the server got.
fn decision(authority: &Authority, is_done: bool) -> Decision {
    let (requests, base) = (authority.server.requests(), authority.server.url.trim_end_matches("/mcp"));
    let last = |found: &dyn Fn(&str) -> bool| {
        requests.iter().rfind(|request| found(request.path.split('?').next().unwrap_or_default()))
    };
    let path =
        |request: Option<&Request>| request.map_or_else(|| "-".to_owned(), |request| request.path.clone());
    let from = |form: Option<&str>, name: &str| {
        let value = form.and_then(|form| value(form, name));
        value.map_or_else(|| "-".to_owned(), |value| value.replace(base, "BASE"))
    };
    let authorize = last(&|path| path == "/authorize").and_then(|request| request.path.split_once('?'));
    let authorize = authorize.map(|(_, query)| query);
    let token = last(&|path| path == "/token").map(|request| request.body.as_str());
    let is_server_metadata = |path: &str| {
        path.starts_with("/.well-known/oauth-authorization-server") || path.contains("openid-configuration")
    };
    BTreeMap::from([
        ("resource metadata", path(last(&|path| path.contains("oauth-protected-resource")))),
        ("server metadata", path(last(&is_server_metadata))),
        ("registration", path(last(&|path| path == "/register"))),
        ("client", from(authorize, "client_id")),
        ("scope", from(authorize, "scope")),
        ("resource", from(authorize, "resource")),
        ("PKCE", from(authorize, "code_challenge_method")),
        ("resource of the token", from(token, "resource")),
        ("end", if is_done { "token" } else { "refused" }.to_owned()),
    ])
}

fn ours(row: &Row) -> Decision {
    let (home, authority) = (Home::new(), Authority::start(row.set.clone()));
    let arguments: Vec<&str> =
        row.client_url.map(|url| ["--client-metadata-url", url]).into_iter().flatten().collect();
    let mut proxy = home.start(&authority, &arguments);
    proxy.send(&call(1));
    if row.ends != Ends::Refused {
        visit(&page(&proxy, 1));
    }
    let decision = decision(&authority, proxy.line().contains("\"result\""));
    proxy.finish();
    decision
}

/// The redirect that the page of `address` answers with.
fn way_back(address: &str) -> String {
    let url: url::Url = address.parse().expect("a URL");
    let host = (url.host_str().expect("a host"), url.port().expect("a port"));
    let mut stream = TcpStream::connect(host).expect("a connection");
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    write!(stream, "GET {target} HTTP/1.1\r\nhost: {}:{}\r\nconnection: close\r\n\r\n", host.0, host.1)
        .expect("it reads");
    let head = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let mut redirect = head.filter_map(|line| line.strip_prefix("location: ").map(str::to_owned));
    redirect.next().expect("a redirect")
}

async fn rust_signs_in(url: &str, challenge: &str, client_url: Option<&str>) -> Result<(), String> {
    let mut manager = AuthorizationManager::new(url).await.map_err(|error| error.to_string())?;
    let found = manager.resolve_metadata_from_challenge(Some(challenge)).await;
    manager.set_metadata(found.map_err(|error| error.to_string())?.metadata);
    let mut request = AuthorizationRequest::new("http://localhost:1/callback").with_initial_scope_selection();
    if let Some(url) = client_url {
        request = request.with_client_metadata_url(url);
    }
    let session =
        AuthorizationSession::new(manager, request).await.map_err(|(_, error)| error.to_string())?;
    let back = way_back(session.get_authorization_url());
    session.handle_callback_url(&back).await.map(drop).map_err(|error| error.to_string())
}

fn rust(row: &Row) -> (Decision, String) {
    let authority = Authority::start(row.set.clone());
    let challenge = challenge(&authority, row);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(rust_signs_in(&authority.server.url, &challenge, row.client_url));
    (decision(&authority, ended.is_ok()), format!("{ended:?}"))
}

fn typescript(row: &Row, packages: &Path) -> (Decision, String) {
    let authority = Authority::start(row.set.clone());
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sign_in/oracle.mjs"))
        .arg(packages)
        .args([&authority.server.url, &challenge(&authority, row)])
        .args(row.client_url)
        .output()
        .expect("node is there");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (decision(&authority, told.trim() == "done"), told)
}

fn challenge(authority: &Authority, row: &Row) -> String {
    row.set.challenge.replace("BASE", authority.server.url.trim_end_matches("/mcp"))
}

/// Compares two decisions. Each difference must have its row, and each row its difference.
fn compare(
    row: &Row,
    theirs: &Decision,
    told: &str,
    reasons: &[(&'static str, &'static str, &'static str)],
) -> Vec<String> {
    let ours = ours(row);
    let is_done = ours["end"] == "token";
    assert_eq!(is_done, row.ends == Ends::Done, "{}: {ours:?}", row.what);
    let differing = ours.iter().filter(|(name, ours)| theirs.get(*name) != Some(*ours));
    let found: Vec<(&str, &str)> = differing.map(|(name, _)| (*name, theirs[name].as_str())).collect();
    let expected: Vec<(&str, &str)> = reasons.iter().map(|(name, theirs, _)| (*name, *theirs)).collect();
    match found == expected {
        true => Vec::new(),
        false => vec![format!(
            "{}:\n  theirs {found:?}\n  expected {expected:?}\n  ours {ours:?}\n  {told}",
            row.what
        )],
    }
}

#[test]
fn decides_as_the_rust_sdk_does() {
    // Its HTTP client wants one; there may be one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed: Vec<String> = rows()
        .iter()
        .flat_map(|row| {
            let (theirs, told) = rust(row);
            compare(row, &theirs, &told, row.rust)
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
#[ignore = "installs the official TypeScript client from npm"]
#[expect(clippy::print_stderr, reason = "says why nothing was compared")]
fn decides_as_the_typescript_sdk_does() {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdks");
    if Command::new("node").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI has Node");
        eprintln!("ignored: there is no Node");
        return;
    }
    if !packages.join("node_modules/.package-lock.json").exists() {
        let npm = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&packages)
            .output()
            .expect("npm is there");
        assert!(npm.status.success(), "{}", String::from_utf8_lossy(&npm.stderr));
    }
    let failed: Vec<String> = rows()
        .iter()
        .flat_map(|row| {
            let (theirs, told) = typescript(row, &packages);
            compare(row, &theirs, &told, row.typescript)
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
