//! The repository's own rules, stated as absences: what a file may use, how long it is, how it begins.

use std::path::{Path, PathBuf};

/// A source file, without its tests.
struct Source {
    /// The path below `src/`, with `/`.
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 20, "the sources were not found");
    files
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&root).expect("below src").display().to_string().replace('\\', "/");
            let text = std::fs::read_to_string(&file).expect("readable").replace("\r\n", "\n");
            let code = text.split("\n#[cfg(test)]\n").next().expect("a first part").to_owned();
            Source { path, text: code }
        })
        .filter(|source| !source.path.ends_with("tests.rs"))
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => collect(&path, files),
            false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            false => {}
        }
    }
}

impl Source {
    /// The modules of this crate that the file uses, by name.
    fn uses(&self) -> Vec<String> {
        let mut modules = Vec::new();
        for part in self.text.split("crate::").skip(1) {
            let names = match part.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default().to_owned(),
                None => part.to_owned(),
            };
            for name in names.split(',') {
                let word = |letter: char| letter.is_alphanumeric() || letter == '_';
                let name: String = name.trim().chars().take_while(|letter| word(*letter)).collect();
                if !name.is_empty() && !modules.contains(&name) {
                    modules.push(name);
                }
                if !part.starts_with('{') {
                    break;
                }
            }
        }
        modules
    }
}

/// Fails with every line of `path` that holds one of `words`, comments aside.
fn forbid(source: &Source, words: &[&str], because: &str) {
    for (number, line) in source.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for word in words {
            assert!(!code.contains(word), "src/{}:{}: `{word}`: {because}\n{line}", source.path, number + 1);
        }
    }
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let allowed = |module: &str| -> &[&str] {
        match module {
            "main" | "lib" => &["start"],
            "channel" | "cli" | "early" | "json" | "orphan" | "platform" | "secret" => &[],
            "redact" => &["mcp"],
            "tls" => &["files"],
            "cookies" => &["redact"],
            "http" => &["cookies", "tls"],
            "jsonrpc" | "jwt" => &["json"],
            "mcp" => &["json", "jsonrpc"],
            "refuse" => &["bridge", "jsonrpc"],
            "start" => &[
                "auth",
                "bridge",
                "cache",
                "channel",
                "check",
                "cli",
                "config",
                "early",
                "client_config",
                "files",
                "http",
                "log",
                "oauth",
                "orphan",
                "platform",
                "proxy",
                "record",
                "redact",
                "refuse",
                "remote",
                "startup_error",
                "stdio",
            ],
            "cache" => &["auth", "bridge", "files", "secret"],
            "check" => &[
                "auth",
                "bridge",
                "config",
                "diagnosis",
                "http",
                "json",
                "jsonrpc",
                "jwt",
                "mcp",
                "oauth",
                "redact",
                "remote",
                "startup_error",
                "secret",
                "tls",
            ],
            "client_config" => &["channel", "cli", "config", "files", "json", "platform", "redact", "secret"],
            "config" => &[
                "auth", "bridge", "cli", "files", "http", "json", "jwt", "mcp", "oauth", "platform",
                "redact", "secret", "tls",
            ],
            "auth" => &["diagnosis", "files", "http", "json", "mcp", "platform", "redact", "secret"],
            "oauth" => {
                &["auth", "bridge", "diagnosis", "files", "http", "json", "jwt", "mcp", "platform", "redact"]
            }
            "stdio" => &["jsonrpc", "platform"],
            "bridge" => &["json", "jsonrpc", "mcp"],
            "proxy" => &["bridge", "record", "remote", "stdio", "traffic", "config", "startup_error", "log"],
            "record" => &["bridge", "json", "jsonrpc", "redact"],
            "traffic" => &["bridge", "cookies", "jsonrpc", "log", "mcp", "redact"],
            "remote" => &[
                "bridge",
                "auth",
                "http",
                "json",
                "jsonrpc",
                "diagnosis",
                "mcp",
                "oauth",
                "redact",
                "traffic",
            ],
            "diagnosis" => &["bridge", "http", "json", "jwt", "redact", "tls"],
            "files" => &["platform"],
            "log" => &["cli", "files", "platform", "redact"],
            "startup_error" => &["bridge", "cli", "config"],
            other => panic!("src/{other} is new: say here what it may use"),
        }
    };
    for source in sources() {
        let module = source.path.trim_end_matches(".rs").split('/').next().expect("a first part");
        for used in source.uses() {
            let known = used == module || allowed(module).contains(&used.as_str());
            assert!(known, "src/{} uses crate::{used}, which does not lie below it", source.path);
        }
    }
}

/// The files of `oauth` from the lowest layer to the highest: each uses its own layer and those below it.
const OAUTH_LAYERS: &[&[&str]] = &[
    &["clock", "documents", "object", "pkce", "local_network"],
    &["metadata", "private_key", "sign_in_error", "browser"],
    &["authorization_request", "challenge", "client", "device_authorization", "progress"],
    &["paste"],
    &["store"],
    &["http"],
    &["settings"],
    &["discovery", "bearer"],
    &["state", "saving", "issuer"],
    &["flows"],
    &["sign_in", "commands", "shutdown", "request_credentials"],
];

#[test]
fn oauth_files_use_only_their_layer_and_those_below() {
    let layer = |name: &str| OAUTH_LAYERS.iter().position(|layer| layer.contains(&name));
    for source in sources() {
        let Some(path) = source.path.strip_prefix("oauth/").filter(|path| *path != "mod.rs") else {
            continue;
        };
        let name = path.trim_end_matches(".rs").split('/').next().expect("a first part");
        let own = layer(name).unwrap_or_else(|| panic!("src/oauth/{name} is new: say here in which layer"));
        forbid(&source, &["use super::", "super::super"], "oauth files name their modules in full");
        for part in source.text.split("crate::oauth::").skip(1) {
            let used: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let used_layer = layer(&used);
            assert!(
                used_layer.is_some_and(|used| used <= own),
                "src/oauth/{path} uses crate::oauth::{used}, which does not lie below it"
            );
        }
    }
}

/// The files of `oauth/flows`, each of which uses only those before it.
const FLOWS: &[&str] = &[
    "token",
    "callback",
    "registration",
    "user_flow",
    "authorization_code",
    "device_code",
    "client_credentials",
    "refresh",
    "user_sign_in",
];

#[test]
fn flows_use_only_flows_listed_before_them() {
    let order = |name: &str| FLOWS.iter().position(|flow| *flow == name);
    for source in sources() {
        let Some(path) = source.path.strip_prefix("oauth/flows/").filter(|path| *path != "mod.rs") else {
            continue;
        };
        let own =
            order(path.trim_end_matches(".rs")).unwrap_or_else(|| panic!("{path} is new: list it here"));
        if own + 1 < FLOWS.len() {
            forbid(&source, &["oauth::flows::{"], "flows name each other in full");
        }
        for used in FLOWS.iter().skip(own + 1) {
            forbid(&source, &[&format!("flows::{used}")], "flows use only those listed before them");
        }
    }
}

#[test]
fn the_bridge_performs_no_io_and_reads_no_clock() {
    for source in sources().iter().filter(|source| source.path.starts_with("bridge/")) {
        forbid(
            source,
            &[
                "tokio",
                "reqwest",
                "http::",
                "std::fs",
                "std::env",
                "std::net",
                "std::io",
                "std::thread",
                "::now(",
                "SystemTime",
                "HeaderMap",
            ],
            "the bridge performs no IO",
        );
    }
}

#[test]
fn only_two_files_write_to_stdout() {
    // The third reads that of a command, the fourth keeps it from one.
    let may = ["stdio.rs", "start.rs", "config/command.rs", "oauth/browser.rs"];
    for source in sources().iter().filter(|source| !may.contains(&source.path.as_str())) {
        forbid(source, &["stdout", "print!", "println!"], "stdout belongs to the client");
    }
}

#[test]
fn no_revision_is_compared_where_its_features_should_be_asked_for() {
    for source in sources().iter().filter(|source| source.path != "mcp/revision.rs") {
        for year in 2024..2030 {
            forbid(source, &[&format!("\"{year}-")], "revisions are compared in mcp/revision.rs alone");
        }
    }
}

/// Files that still write constants of the protocol themselves. A file leaves the list when it uses `mcp`; none comes in.
const WITH_PROTOCOL_CONSTANTS: [&str; 32] = [
    "auth/access_proof.rs",
    "auth/oauth/person.rs",
    "bridge/detection.rs",
    "bridge/filter.rs",
    "bridge/legacy_client/inputs.rs",
    "bridge/legacy_client/mod.rs",
    "bridge/legacy_client/opening.rs",
    "bridge/legacy_client/shapes.rs",
    "bridge/legacy_client/subscriptions.rs",
    "bridge/mod.rs",
    "bridge/modern_client/answers.rs",
    "bridge/modern_client/listens.rs",
    "bridge/modern_client/logs.rs",
    "bridge/modern_client/mod.rs",
    "bridge/modern_client/opening.rs",
    "bridge/modern_client/parked.rs",
    "bridge/modern_client/questions.rs",
    "bridge/modern_client/requests.rs",
    "bridge/relay/answers.rs",
    "bridge/relay/apart.rs",
    "bridge/relay/endings.rs",
    "bridge/relay/fallback.rs",
    "bridge/relay/ledger.rs",
    "bridge/relay/modern.rs",
    "bridge/relay/outgoing.rs",
    "bridge/relay/ping.rs",
    "bridge/relay/recovery.rs",
    "bridge/relay/renegotiation.rs",
    "bridge/relay/resending.rs",
    "bridge/relay/session.rs",
    "bridge/relay/session_loss.rs",
    "bridge/relay/tools.rs",
];

/// The constants of the protocol that a line of code writes itself.
fn protocol_constants(code: &str) -> Vec<&str> {
    const METHODS: [&str; 10] = [
        "notifications/",
        "tools/",
        "prompts/",
        "resources/",
        "tasks/",
        "roots/",
        "sampling/",
        "elicitation/",
        "subscriptions/",
        "completion/",
    ];
    const WHOLE: [&str; 5] = ["initialize", "ping", "server/discover", "logging/setLevel", "last-event-id"];
    // The texts of the line, and those within raw texts: every second part between quotes, whatever those mean.
    code.split('"')
        .map(|part| part.trim_end_matches('\\'))
        .filter(|text| {
            let is_word = |rest: &str| {
                !rest.contains(|letter: char| !letter.is_ascii_alphabetic() && letter != '/' && letter != '_')
            };
            let is_method = METHODS.iter().any(|start| text.strip_prefix(start).is_some_and(is_word));
            let is_header = text.starts_with("mcp-session-")
                || text.starts_with("mcp-protocol-")
                || text.starts_with("mcp-param-")
                || ["mcp-method", "mcp-name"].contains(text);
            let is_stream = text.contains("text/event-stream");
            let is_code =
                text.split(|letter: char| !letter.is_ascii_digit() && letter != '-').any(|number| {
                    matches!(number.strip_prefix("-32").map(str::as_bytes), Some([b'0' | b'6' | b'7', _, _]))
                });
            is_method
                || is_header
                || is_stream
                || is_code
                || WHOLE.contains(text)
                || text.contains("io.modelcontextprotocol")
        })
        .collect()
}

#[test]
fn protocol_constants_are_written_in_mcp_alone() {
    let mut with_constants = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.path.starts_with("mcp/") && source.path != "jsonrpc/error.rs")
    {
        for (number, line) in source.text.lines().enumerate() {
            let found = protocol_constants(line.split("//").next().unwrap_or_default());
            if let Some(constant) = found.first() {
                let path = source.path.as_str();
                let may = WITH_PROTOCOL_CONSTANTS.contains(&path);
                assert!(may, "src/{path}:{}: `{constant}` is a constant of src/mcp\n{line}", number + 1);
                with_constants.push(path.to_owned());
            }
        }
    }
    for path in WITH_PROTOCOL_CONSTANTS {
        assert!(
            with_constants.iter().any(|it| it == path),
            "src/{path} writes none any more: take it off the list"
        );
    }
}

#[test]
fn protocol_constants_are_recognized() {
    for code in [
        r##"Some("tools/call") =>"##,
        r##"r#"{"method":"notifications/cancelled"}"#"##,
        r##"const KEY: &str = "io.modelcontextprotocol/x";"##,
        r##"HeaderName::from_static("mcp-session-id")"##,
        "const CODE: i64 = -32022;",
        "Some(-32602 | 5)",
        r##""ping" => {}"##,
    ] {
        assert_eq!(protocol_constants(code).len(), 1, "{code}");
    }
    for code in [
        r##""the tools/call of a server""##,
        r##"name("tools")"##,
        "a - 32022",
        "-31000",
        r##""mcp-tether-1""##,
    ] {
        assert!(protocol_constants(code).is_empty(), "{code}");
    }
}

#[test]
fn platform_code_stays_in_its_place() {
    for source in
        sources().iter().filter(|source| !["stdio.rs", "platform.rs"].contains(&source.path.as_str()))
    {
        forbid(
            source,
            &["cfg(unix)", "cfg(windows)", "target_os", "std::os::"],
            "platform code stays in stdio.rs and platform.rs",
        );
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    for source in sources() {
        if source.path != "lib.rs" {
            assert!(source.text.starts_with("//! "), "src/{} does not begin with what it is", source.path);
        }
        let lines = source.text.lines().count();
        assert!(lines <= 550, "src/{} has {lines} lines before its tests: is it one idea?", source.path);
    }
}
