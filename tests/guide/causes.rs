//! The table of causes in "When it does not work": generated from the program, so that it cannot say anything else.
//!
//! Most rows come from running what explains failures with the facts of one; configuration errors from the program itself. Where an
//! error arises in the middle of a conversation, its sentence is read from the source. `UPDATE=1` writes the table.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use mcp_tether::bridge::{ErrorKind, ErrorReport};
use mcp_tether::diagnosis::{self, RefusalFacts, Token};
use mcp_tether::http::{Proxy, TransportError};
use mcp_tether::tls::{Failure, Fingerprint};
use url::Url;

use crate::page::{BEGIN, END, Page, root};

/// The page with the table.
const PAGE: &str = "src/guide/when-it-does-not-work.md";

/// The tag of an application of Access.
const TAG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The sign-in page that Access redirects to. The middle of `meta` says that the service token is valid, or that it is not.
const VALID: &str = "eyJzZXJ2aWNlX3Rva2VuX3N0YXR1cyI6dHJ1ZX0";
const INVALID: &str = "eyJzZXJ2aWNlX3Rva2VuX3N0YXR1cyI6ZmFsc2V9";

/// A challenge that names the metadata of the server's own sign-in.
const SIGN_IN: (&str, &str) = (
    "www-authenticate",
    r#"Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp""#,
);
/// Challenges that reject the proof of a token's key.
const PROOF: (&str, &str) = ("www-authenticate", r#"DPoP error="invalid_dpop_proof""#);
const NONCE: (&str, &str) = ("www-authenticate", r#"DPoP error="use_dpop_nonce""#);
/// The sign-in of a server, through Cloudflare.
const SIGN_IN_BEHIND: [(&str, &str); 2] = [("cf-ray", "8f00aa11bb22cc33-FRA"), SIGN_IN];

/// The causes whose sentences arise in the middle of a conversation.
const IN_CONVERSATION: [&str; 5] = ["NoAnswer", "Endpoint", "Era", "Stopped", "Internal"];

/// What the source has in parts: the cause, and sentence and remedy with `…` for what is filled in.
const IN_PARTS: [(&str, &str, &str); 5] = [
    (
        "sign_in",
        "… requires a sign-in: open …",
        "sign in there, then try again; the sign-in continues meanwhile",
    ),
    ("sign_in", "signing in at … takes longer than a client waits; it continues", "try again in a moment"),
    (
        "sign_in",
        "… did not sign you in, as another process has found",
        "try again, or run the sign-in command, which prints more: …",
    ),
    ("sign_in", "the server offers no sign-in", "set the --header that the server requires"),
    (
        "tool_filter",
        "Tool … is not available: …",
        "to use it, change the options in this server's entry and restart the client",
    ),
];

/// One row of the table.
#[derive(PartialEq, Eq)]
struct Row {
    cause: String,
    sentence: String,
    remedy: String,
}

impl Row {
    fn of(report: &ErrorReport) -> Row {
        let remedy = report.advice.clone().expect("each cause has a remedy");
        Row { cause: report.cause.word().to_owned(), sentence: report.to_string(), remedy }
    }
}

fn address() -> Url {
    Url::parse("https://mcp.example.com/mcp").expect("a URL")
}

fn proxy() -> Proxy {
    Proxy { scheme: "http".to_owned(), host: "proxy.example.com".to_owned(), port: 3128 }
}

/// Failures below HTTP.
fn transport_rows() -> Vec<Row> {
    let fingerprint = || Fingerprint::parse(TAG).expect("a fingerprint");
    let unknown = |is_self_signed| Failure::UnknownAuthority { fingerprint: fingerprint(), is_self_signed };
    let errors = [
        TransportError::Dns,
        TransportError::ConnectionRefused,
        TransportError::ConnectTimeout,
        TransportError::Proxy { wants_credentials: true },
        TransportError::Proxy { wants_credentials: false },
        TransportError::Socks("connection refused".to_owned()),
        TransportError::ProxyConnect(proxy()),
        TransportError::ProxyDns(proxy()),
        TransportError::ProxyTimeout(proxy()),
        TransportError::Tls(unknown(false)),
        TransportError::Tls(unknown(true)),
        TransportError::Tls(Failure::NotPinned(fingerprint())),
        TransportError::Tls(Failure::WrongHost),
        TransportError::Tls(Failure::Expired { since: None }),
        TransportError::Tls(Failure::ClientCertificate),
        TransportError::Tls(Failure::HungUp),
        TransportError::Connection("connection reset by peer".to_owned()),
    ];
    let shown = fingerprint().to_string();
    let short = |text: String| text.replace(&shown, "01:23:…");
    let rows = errors.iter().map(|error| Row::of(&diagnosis::transport(&address(), error)));
    rows.map(|row| Row { sentence: short(row.sentence), remedy: short(row.remedy), ..row }).collect()
}

/// What an answer looks like: status, headers, body, and whether a service token was sent.
type Answer = (u16, &'static [(&'static str, &'static str)], String, bool);

fn answers() -> Vec<Answer> {
    let to_page = |_: &str| String::new();
    let none = || to_page("");
    let cloudflare: &[(&str, &str)] = &[("cf-ray", "8f00aa11bb22cc33-FRA")];
    let code = |code: u16| format!(r#"{{"cloudflare_error":true,"error_code":{code}}}"#);
    let aud: &[(&str, &str)] = &[("cf-access-aud", TAG)];
    let challenge: &[(&str, &str)] = &[(
        "www-authenticate",
        r#"Bearer resource_metadata="https://mcp.example.com/.well-known/cloudflare-access-protected-resource/mcp""#,
    )];
    let blocked = "<title>Attention Required! | Cloudflare</title><h1>Sorry, you have been blocked</h1>";
    vec![
        (403, aud, none(), false),
        (302, &[], INVALID.to_owned(), true),
        (302, &[], VALID.to_owned(), true),
        (403, aud, none(), true),
        (401, challenge, none(), true),
        (403, cloudflare, "no such user".to_owned(), true),
        (403, &[], code(1020), false),
        (403, cloudflare, blocked.to_owned(), false),
        (403, &[], code(1010), false),
        (403, &[("cf-mitigated", "challenge")], none(), false),
        (429, &[], code(1015), false),
        (530, &[], code(1033), false),
        (530, &[], code(1016), false),
        (522, &[], code(522), false),
        (526, &[], code(526), false),
        (502, &[], code(502), false),
        (524, &[], code(524), false),
        (500, &[], code(1101), false),
        (530, &[], code(1200), false),
        (301, &[("location", "https://other.example/mcp")], none(), false),
        (401, &[SIGN_IN], none(), false),
        (401, &SIGN_IN_BEHIND, none(), true),
        (401, &[], none(), false),
        (401, &[PROOF], none(), false),
        (401, &[NONCE], none(), false),
        (404, &[], none(), false),
        (500, &[], "boom".to_owned(), false),
    ]
}

/// Answers that refuse.
fn refusal_rows() -> Vec<Row> {
    let url = address();
    let token =
        Token { id: "0123….access", secret: "cfast_…ee42 (54 characters)", oddity: None, header: None };
    let explain = |(status, headers, body, has_token): Answer| {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect();
        let sign_in = [VALID, INVALID].contains(&body.as_str()).then(|| {
            format!("https://acme.cloudflareaccess.com/cdn-cgi/access/login/mcp.example.com?kid={TAG}&meta=e30.{body}.c2ln")
        });
        let other = headers.get("location").map(|value| value.to_str().expect("ASCII").to_owned());
        let location = sign_in.or(other).map(|text| Url::parse(&text).expect("a URL"));
        let facts = RefusalFacts {
            location: location.as_ref(),
            body: if [VALID, INVALID].contains(&body.as_str()) { "" } else { &body },
            token: has_token.then_some(token),
            ..RefusalFacts::of(status, &headers)
        };
        Row::of(&diagnosis::refused(&url, &facts))
    };
    answers().into_iter().map(explain).collect()
}

/// Answers of success that hold no message, and limits.
fn answer_rows() -> Vec<Row> {
    let url = address();
    let page: HeaderMap =
        [(http::header::CONTENT_TYPE, "text/html".parse().expect("a value"))].into_iter().collect();
    let reports = [
        diagnosis::page(&url, &RefusalFacts { body: "<html>", ..RefusalFacts::of(200, &page) }),
        diagnosis::older_transport(&url, 200),
        diagnosis::timed_out(&url, diagnosis::HEADERS_TIMEOUT, Duration::from_secs(30)),
        diagnosis::timed_out(&url, diagnosis::BODY_TIMEOUT, Duration::from_secs(30)),
        diagnosis::too_large(&url, 200, 256 * 1024 * 1024),
        diagnosis::expanded(&url, 200),
        diagnosis::redirect_loop(&url, 307),
        diagnosis::no_address(&url, "--ipv6"),
        diagnosis::unanswered(&url, Duration::from_secs(60)),
    ];
    reports.iter().map(Row::of).collect()
}

/// Arguments, and a variable of the environment.
type Start<'a> = (&'a [&'a str], Option<(&'a str, &'a str)>);

/// What the program answers when its configuration cannot work.
fn configuration_rows() -> Vec<Row> {
    const URL: &str = "https://mcp.example.com/mcp";
    let cases: [Start<'_>; 8] = [
        (&[], None),
        (&[URL, "99999"], None),
        (&["--transport", "sse", URL], None),
        (&["http://mcp.example.com/mcp"], None),
        (&[URL, "--header", "X-API-Key: ${MY_API_KEY}"], None),
        (&[URL, "--header", "Authorization: Bearer $TOKEN"], None),
        (&[URL], Some(("CF_ACCESS_CLIENT_ID", "0123456789abcdef0123456789abcdef.access"))),
        (&[URL, "--access-header", "Authorization"], None),
    ];
    cases.iter().map(|(arguments, variable)| answered(arguments, *variable, PING)).collect()
}

/// What the program answers when the client writes something else than messages.
fn unreadable_rows() -> Vec<Row> {
    let inputs = ["no JSON\n", "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}\n"];
    inputs.iter().map(|input| answered(&["https://mcp.example.com/mcp"], None, input)).collect()
}

const PING: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";

/// The error that the program answers one line with.
fn answered(arguments: &[&str], variable: Option<(&str, &str)>, line: &str) -> Row {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.args(arguments).env_clear().envs(variable).env("HOME", home.path());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = piped.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(line.as_bytes()).expect("written");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one answer");
    let error = &answer["error"];
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let sentence = text(&error["message"]);
    let sentence = sentence.strip_prefix("mcp-tether: ").expect("the name of the program");
    Row {
        cause: text(&error["data"]["cause"]),
        sentence: sentence.to_owned(),
        remedy: text(&error["data"]["advice"]),
    }
}

/// The source without its tests, with strings that are broken over lines joined.
fn sources() -> Vec<String> {
    let mut folders = vec![root().join("src")];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "rs") => paths.push(path),
                false => {}
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| joined(path)).collect()
}

fn joined(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a file");
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut parts = text.split("\\\n");
    let mut joined = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| joined.push_str(part.trim_start()));
    joined
}

/// The sentences that the source has for one cause.
fn source_rows(kind: &str) -> Vec<Row> {
    let sources = sources();
    let made = sources.iter().flat_map(|source| source.split("ErrorReport::new(").skip(1));
    let literals = made.filter_map(|call| {
        let arguments = call.trim_start().strip_prefix(&format!("ErrorKind::{kind},"))?;
        let [sentence, remedy] = literals(arguments);
        Some((sentence?, remedy?))
    });
    let row = |(sentence, remedy): (String, String)| Row {
        cause: kind_word(kind),
        sentence: with_gaps(&sentence),
        remedy: with_gaps(&remedy),
    };
    literals.map(row).collect()
}

/// The first string of each of the next two arguments of a call, if they begin with one, in `format!` or not.
fn literals(arguments: &str) -> [Option<String>; 2] {
    let mut found = [None, None];
    let (mut argument, mut depth, mut rest) = (0, 0, arguments);
    // What stands before the first string of an argument.
    let mut before = String::new();
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '"' => {
                let end = rest.find('"').unwrap_or(rest.len());
                let is_first = ["", "format!("].contains(&before.trim());
                if let Some(place) = found.get_mut(argument).filter(|place| place.is_none() && is_first) {
                    *place = Some(rest[..end].to_owned());
                }
                rest = rest.get(end + 1..).unwrap_or_default();
            }
            ')' if depth == 0 => break,
            ',' if depth == 0 => {
                argument += 1;
                before.clear();
                continue;
            }
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            _ => {}
        }
        before.push(letter);
    }
    found
}

/// A sentence of the source with `…` for what is filled in.
fn with_gaps(sentence: &str) -> String {
    let mut parts = sentence.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push('…');
        text.push_str(part.split_once('}').map_or(part, |(_, rest)| rest));
    }
    text
}

/// The stable word of a variant: its name in snake case, as the wire has it.
fn kind_word(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

/// The rows that the source has in parts: each part has to stand in it.
fn rows_in_parts() -> Vec<Row> {
    let sources = sources().concat();
    for (cause, sentence, remedy) in IN_PARTS {
        for part in sentence.split('…').chain(remedy.split('…')).map(str::trim).filter(|part| part.len() > 8)
        {
            let stands = sources.contains(part) || part.split(", ").all(|half| sources.contains(half));
            assert!(stands, "{cause}: the program no longer says {part:?}: correct IN_PARTS");
        }
    }
    let row = |(cause, sentence, remedy): (&str, &str, &str)| Row {
        cause: cause.to_owned(),
        sentence: sentence.to_owned(),
        remedy: remedy.to_owned(),
    };
    IN_PARTS.map(row).into_iter().collect()
}

fn rows() -> Vec<Row> {
    let mut rows = configuration_rows();
    rows.extend(transport_rows());
    rows.extend(refusal_rows());
    rows.extend(answer_rows());
    rows.extend(unreadable_rows());
    IN_CONVERSATION.iter().for_each(|kind| rows.extend(source_rows(kind)));
    rows.extend(rows_in_parts());
    let mut unique: Vec<Row> = Vec::new();
    for row in rows {
        if !unique.contains(&row) {
            unique.push(row);
        }
    }
    // All sentences of one cause stand together, in the order in which causes first appear.
    let mut order: Vec<String> = Vec::new();
    for row in &unique {
        if !order.contains(&row.cause) {
            order.push(row.cause.clone());
        }
    }
    unique.sort_by_key(|row| order.iter().position(|cause| *cause == row.cause));
    unique
}

/// Options, variables and addresses as code: rustdoc turns two hyphens into a dash otherwise.
fn cell(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_start_matches('(').trim_end_matches([',', ';', ':', ')', '.', '?']);
        let is_code =
            bare.starts_with("--") || ["://", "${", "_ACCESS_"].iter().any(|part| bare.contains(part));
        match is_code {
            true => word.replacen(bare, &format!("`{bare}`"), 1),
            false => word.to_owned(),
        }
    };
    let text = text.replace('|', "\\|").replace('<', "&lt;");
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn table() -> String {
    let mut text = String::from("| Cause | What the error says | What to do |\n|---|---|---|\n");
    let mut before = String::new();
    for Row { cause, sentence, remedy } in rows() {
        let shown = if cause == before { String::new() } else { format!("`{cause}`") };
        text.push_str(&format!("| {shown} | {} | {} |\n", cell(&sentence), cell(&remedy)));
        before = cause;
    }
    text
}

/// Every word of [`ErrorKind`]: what a reader of it accepts.
fn kinds() -> Vec<ErrorKind> {
    let refused = serde_json::from_str::<ErrorKind>("\"no such cause\"").expect_err("no cause");
    let listed = refused.to_string();
    let words: Vec<&str> =
        listed.split('`').skip(1).step_by(2).filter(|word| *word != "no such cause").collect();
    let kinds = words.iter().map(|word| serde_json::from_value((*word).into()).expect("a cause"));
    let kinds: Vec<ErrorKind> = kinds.collect();
    assert!(kinds.len() > 30, "{listed}");
    kinds
}

#[test]
fn table_of_causes_is_the_programs() {
    let page = Page::read(Path::new(PAGE));
    let (before, rest) = page.text.split_once(BEGIN).expect("the beginning of the table");
    let (kept, after) = rest.split_once(END).expect("the end of the table");
    let table = table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root().join(PAGE), format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
        return;
    }
    let changed = kept.lines().zip(table.lines()).find(|(kept, made)| kept != made);
    assert!(kept == table, "{PAGE}: UPDATE=1 cargo test --test guide: {changed:#?}");
}

#[test]
fn every_cause_has_a_row() {
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().map(|row| row.cause.as_str()).collect();
    for kind in kinds() {
        assert!(named.contains(kind.word()), "no row shows the cause {}", kind.word());
    }
    for row in &rows {
        assert!(!row.sentence.is_empty() && !row.remedy.is_empty(), "{}: {}", row.cause, row.sentence);
    }
}

/// The steps that `check` reports are those of the page's other table.
#[test]
fn every_step_of_check_has_a_row() {
    let page = Page::read(Path::new(PAGE));
    let rows = page.rows_of("Step");
    let described: BTreeSet<String> =
        rows.iter().filter_map(|row| row.first()).flat_map(|cell| crate::page::spans_of(cell)).collect();
    assert!(described.len() > 10, "{described:?}");
    let sources = sources().concat();
    for step in &described {
        assert!(sources.contains(&format!("\"{step}\"")), "check has no step {step:?}");
    }
    for begun in sources.split("findings.begin(\"").skip(1) {
        let step = begun.split('"').next().unwrap_or_default();
        assert!(described.contains(step), "the page does not describe the step {step:?}");
    }
}
