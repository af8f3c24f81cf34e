//! The repository's own rules, stated as absences: what a file may use, how long it is, how it begins.

use std::collections::BTreeMap;
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
fn modules_use_only_lower_modules() {
    let allowed = |module: &str| -> &[&str] {
        match module {
            "main" | "lib" => &["start"],
            "build" | "channel" | "cli" | "early" | "json" | "orphan" | "platform" | "secret" => &[],
            "redact" => &["mcp"],
            "tls" => &["files", "platform"],
            "cookies" => &["redact"],
            "http" => &["cookies", "tls"],
            "jsonrpc" => &["json", "platform"],
            "jwt" => &["json"],
            "mcp" => &["json", "jsonrpc"],
            "refuse" => &["bridge", "jsonrpc"],
            // Used by `start` alone, so that the proxy loads nothing of it.
            "access" => &[
                "auth",
                "check",
                "cli",
                "config",
                "diagnosis",
                "files",
                "http",
                "jwt",
                "mcp",
                "platform",
                "redact",
                "secret",
                "tls",
            ],
            "start" => &[
                "access",
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
            "oauth" => &[
                "auth",
                "bridge",
                "diagnosis",
                "files",
                "http",
                "json",
                "jwt",
                "mcp",
                "platform",
                "redact",
                "secret",
            ],
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
    &["workload_identity"],
    &["settings"],
    &["discovery", "bearer"],
    &["dpop", "state", "saving", "issuer", "step_up"],
    &["flows"],
    &["sign_in", "enterprise", "commands", "shutdown", "request_credentials"],
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
    "identity_assertion",
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
fn bridge_performs_no_io_and_reads_no_clock() {
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
    // The third reads that of a command, the others keep it from one. Cargo reads that of `build.rs`.
    let may = [
        "build.rs",
        "stdio.rs",
        "start.rs",
        "start/console.rs",
        "config/command.rs",
        "oauth/browser.rs",
        "access/sink.rs",
    ];
    for source in sources().iter().filter(|source| !may.contains(&source.path.as_str())) {
        forbid(source, &["stdout", "print!", "println!"], "stdout belongs to the client");
    }
}

#[test]
fn revisions_are_compared_in_one_file() {
    for source in sources().iter().filter(|source| source.path != "mcp/revision.rs") {
        for year in 2024..2030 {
            forbid(source, &[&format!("\"{year}-")], "revisions are compared in mcp/revision.rs alone");
        }
    }
}
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
    for source in sources()
        .iter()
        .filter(|source| !source.path.starts_with("mcp/") && source.path != "jsonrpc/error.rs")
    {
        for (number, line) in source.text.lines().enumerate() {
            let found = protocol_constants(line.split("//").next().unwrap_or_default());
            let place = format!("src/{}:{}", source.path, number + 1);
            assert!(found.is_empty(), "{place}: {found:?} are constants of src/mcp\n{line}");
        }
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
    let may = ["stdio.rs", "platform.rs", "platform/paged_memory.rs"];
    for source in sources().iter().filter(|source| !may.contains(&source.path.as_str())) {
        forbid(
            source,
            &["cfg(unix)", "cfg(windows)", "target_os", "std::os::"],
            "platform code stays in stdio.rs and platform",
        );
    }
}

#[test]
fn files_begin_with_purpose_and_stay_short() {
    for source in sources() {
        if source.path != "lib.rs" {
            assert!(source.text.starts_with("//! "), "src/{} does not begin with what it is", source.path);
        }
        let lines = source.text.lines().count();
        assert!(lines <= 550, "src/{} has {lines} lines before its tests: is it one idea?", source.path);
    }
}

/// The pages beside the modules, README.md of `src/` first.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut pages = Vec::new();
    collect_pages(&root, &mut pages);
    assert!(pages.len() > 10, "the pages were not found");
    pages
}

fn collect_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            // `tests/guide` looks at those.
            true if path.ends_with("src/guide") => {}
            true => collect_pages(&path, pages),
            false if path.extension().is_some_and(|extension| extension == "md") => pages.push(path),
            false => {}
        }
    }
}

#[test]
fn room_pages_are_short_with_valid_links() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("readable");
        let lines = text.lines().count();
        assert!(lines <= 150, "{} has {lines} lines", page.display());
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_web = link.starts_with("https://") || link.starts_with('#');
            let target = page.parent().expect("a folder").join(link.split('#').next().unwrap_or(link));
            assert!(is_web || target.exists(), "{} links to {link}, which is not there", page.display());
        }
    }
}

#[test]
fn paths_named_in_the_map_of_rooms_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("src/README.md")).expect("readable");
    let words = text.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = words
        .filter(|word| word.contains('/') && !word.contains(['<', '*', ' ', '{']))
        .filter(|word| word.ends_with(".rs") || word.ends_with('/') || word.starts_with("tests/"))
        .collect();
    assert!(paths.len() > 20, "the paths were not found");
    for path in paths {
        let is_there = [root.join(path), root.join("src").join(path)].iter().any(|path| path.exists());
        assert!(is_there, "src/README.md names {path}, which is not there");
    }
}

#[test]
fn types_share_no_name() {
    // Each module may have its own, and names it with the module.
    let of_modules = ["Config", "Error"];
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for line in source.text.lines() {
            let line = match line.strip_prefix("pub(") {
                Some(rest) => rest.split_once(") ").map_or(line, |(_, item)| item),
                None => line.strip_prefix("pub ").unwrap_or(line),
            };
            let item =
                ["struct ", "enum ", "trait ", "type ", "union "].iter().find_map(|it| line.strip_prefix(it));
            let Some(item) = item else { continue };
            let name: String = item.chars().take_while(|letter| letter.is_alphanumeric()).collect();
            types.entry(name).or_default().push(source.path.clone());
        }
    }
    assert!(types.len() > 200, "the types were not found");
    let shared: Vec<&String> = types
        .iter()
        .filter(|(name, files)| files.len() > 1 && !of_modules.contains(&name.as_str()))
        .map(|(name, _)| name)
        .collect();
    assert!(shared.is_empty(), "{shared:?} are names of several types: {types:?}");
}

/// Phrases that have a better one, and which.
const OLD_PHRASES: [(&str, &str); 6] = [
    ("tells whether", "Returns whether"),
    ("sign of life", "ping, health check"),
    ("whoever waits", "the caller, the user"),
    ("to be had", "available"),
    ("gone on with", "resumed"),
    ("to go on with", "to resume"),
];

#[test]
fn old_phrases_do_not_return() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    for file in files {
        let path = file.strip_prefix(&root).expect("below src").display().to_string().replace('\\', "/");
        let text = std::fs::read_to_string(&file).expect("readable").to_ascii_lowercase();
        for (number, line) in text.lines().enumerate() {
            if let Some((old, better)) = OLD_PHRASES.iter().find(|(old, _)| line.contains(old)) {
                panic!("src/{path}:{}: `{old}`: {better}\n{line}", number + 1);
            }
        }
    }
}

/// Functions that are longer than they may be still. One leaves the list when it is shorter; none comes in.
const LONG_FUNCTIONS: [&str; 13] = [
    "access/account.rs: put_policies",
    "access/api.rs: exchange",
    "access/link.rs: run",
    "access/plan.rs: plan",
    "access/revoke.rs: run",
    "access/rotate.rs: finish",
    "access/rotate.rs: run",
    "access/setup.rs: run",
    "access/status.rs: application_lines",
    "access/target.rs: account",
    "bridge/event.rs: fmt",
    "cli/clients.rs: places",
    "client_config/switch/add.rs: add",
];

/// The functions of a source, each with its number of lines.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let mut rest = line.trim_start();
        if let Some(visible) = rest.strip_prefix("pub") {
            let is_limited = visible.starts_with('(');
            rest = if is_limited { visible.split_once(')').map_or("", |(_, rest)| rest) } else { visible };
        }
        let Some((before, name)) = rest.split_once("fn ") else { continue };
        if !before
            .split_whitespace()
            .all(|word| ["const", "async", "unsafe", "extern", "\"C\""].contains(&word))
        {
            continue;
        }
        let name: String =
            name.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        let end = format!("{}}}", " ".repeat(indent));
        let is_last =
            |line: &str| line == end || line.ends_with(';') && line.len() - line.trim_start().len() == indent;
        let length = match line.ends_with('}') || line.ends_with(';') {
            true => 1,
            false => lines.iter().skip(first).position(|line| is_last(line)).map_or(0, |last| last + 1),
        };
        functions.push((name, length));
    }
    functions
}

#[test]
fn functions_stay_short() {
    let mut long = Vec::new();
    let mut count = 0;
    for source in sources() {
        let limit = if source.path.starts_with("bridge/") { 40 } else { 60 };
        for (name, length) in functions(&source.text) {
            count += 1;
            if length > limit {
                long.push((format!("{}: {name}", source.path), length));
            }
        }
    }
    assert!(count > 1000, "the functions were not found");
    for (name, length) in &long {
        assert!(
            LONG_FUNCTIONS.contains(&name.as_str()),
            "src/{name} has {length} lines: which steps does it have?"
        );
    }
    for name in LONG_FUNCTIONS {
        assert!(
            long.iter().any(|(it, _)| it == name),
            "src/{name} is short enough now: take it off the list"
        );
    }
}

#[test]
fn length_of_functions_is_counted() {
    let text = "pub(crate) async fn a(\n    x: u8,\n) -> u8 {\n    if x {\n    }\n}\nfn b() {}\ntrait T {\n    fn c(\n        &self,\n    );\n    const fn d() {\n    }\n}\n// a fn e()\n";
    let expected = [("a", 6), ("b", 1), ("c", 3), ("d", 2)].map(|(name, length)| (name.to_owned(), length));
    assert_eq!(functions(text), expected);
}
