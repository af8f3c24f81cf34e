//! The entries in `examples/configs`, read and filled in as each client does it, and then started as far as the headers
//! that would go out.
//!
//! And what `mcp-tether config` prints for each client, read and filled in the same way, and then started for good.
//!
//! What a client fills in and passes on stands in one table, [`CLIENTS`]. Deliberately not here: the clients themselves
//! (`tests/clients`).

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http::HeaderMap;
use mcp_tether::cli::{self, Typed};
use mcp_tether::config::{Config, Environment, Error, Problem};
use serde_json::Value;
use support::server::Server;

const ID: &str = "0123456789abcdef0123456789abcdef.access";
const SECRET: &str = "cfast_0123456789abcdefghijklmnopqrstuvwxyzABCDdeadbeef";
const KEY: &str = "key-0123456789";

/// What the person has in the environment of the client, what they answer when it asks, and what they put in the place
/// of a placeholder.
const PERSON: [(&str, &str); 9] = [
    ("CF_ACCESS_CLIENT_ID", ID),
    ("CF_ACCESS_CLIENT_SECRET", SECRET),
    ("MY_API_KEY", KEY),
    ("cf-access-client-id", ID),
    ("cf-access-client-secret", SECRET),
    ("my-api-key", KEY),
    ("your-client-id.access", ID),
    ("your-client-secret", SECRET),
    ("your-api-key", KEY),
];

/// What is known of a name.
type Known<'a> = &'a dyn Fn(&str) -> Option<&'static str>;
type Fill = fn(&str, Known<'_>) -> String;

/// How one client treats its file.
struct Client {
    /// What `config --client` calls it.
    name: &'static str,
    file: &'static str,
    read: fn(&str) -> Vec<Entry>,
    fill_arguments: Fill,
    fill_environment: Fill,
    /// Which variables of its own environment it passes on; several, where that is not known.
    passes_on: &'static [fn(&Entry, &str) -> bool],
}

const EVERYTHING: fn(&Entry, &str) -> bool = |_, _| true;
const NOTHING: fn(&Entry, &str) -> bool = |_, _| false;
const NAMED: fn(&Entry, &str) -> bool = |entry, name| entry.named.iter().any(|named| named == name);
const HARMLESS: fn(&Entry, &str) -> bool = |_, name| !name.contains("SECRET") && !name.contains("KEY");

const CLIENTS: [Client; 9] = [
    Client {
        name: "claude-code",
        file: "claude-code.mcp.json",
        read: |text| json(text, "mcpServers"),
        fill_arguments: braces,
        fill_environment: braces,
        passes_on: &[EVERYTHING],
    },
    Client {
        name: "claude-code",
        file: "claude-code.sh",
        read: commands,
        fill_arguments: braces,
        fill_environment: braces,
        passes_on: &[EVERYTHING],
    },
    Client {
        name: "claude-desktop",
        file: "claude_desktop_config.json",
        read: |text| json(text, "mcpServers"),
        fill_arguments: nothing,
        fill_environment: by_hand,
        passes_on: &[NOTHING],
    },
    Client {
        name: "codex",
        file: "codex.config.toml",
        read: |text| entries(&toml::from_str(text).expect("TOML"), "mcp_servers"),
        fill_arguments: nothing,
        fill_environment: nothing,
        passes_on: &[NAMED],
    },
    Client {
        name: "gemini",
        file: "gemini.settings.json",
        read: |text| json(text, "mcpServers"),
        fill_arguments: dollar,
        fill_environment: |text, known| dollar(text, &|name| known(name).or(Some(""))),
        passes_on: &[NOTHING, HARMLESS],
    },
    Client {
        name: "cursor",
        file: "cursor.mcp.json",
        read: |text| json(text, "mcpServers"),
        fill_arguments: env_braces,
        fill_environment: env_braces,
        passes_on: &[NOTHING, EVERYTHING],
    },
    Client {
        name: "vscode",
        file: "vscode.mcp.json",
        read: |text| json(text, "servers"),
        fill_arguments: input_braces,
        fill_environment: input_braces,
        passes_on: &[NOTHING, EVERYTHING],
    },
    Client {
        name: "windsurf",
        file: "windsurf.mcp_config.json",
        read: |text| json(text, "mcpServers"),
        fill_arguments: env_braces,
        fill_environment: env_braces,
        passes_on: &[NOTHING, EVERYTHING],
    },
    Client {
        name: "zed",
        file: "zed.settings.json",
        read: |text| json(text, "context_servers"),
        fill_arguments: nothing,
        fill_environment: nothing,
        passes_on: &[EVERYTHING],
    },
];

/// The client's own rule is that there is none.
fn nothing(text: &str, _: Known<'_>) -> String {
    text.to_owned()
}

/// There is no rule, and the person has put the values in by hand.
fn by_hand(text: &str, known: Known<'_>) -> String {
    known(text).unwrap_or(text).to_owned()
}

/// `${VAR}` and `${VAR:-default}`.
fn braces(text: &str, known: Known<'_>) -> String {
    prefixed_braces(text, "", known)
}

/// `${env:VAR}`.
fn env_braces(text: &str, known: Known<'_>) -> String {
    prefixed_braces(text, "env:", known)
}

/// `${input:ID}`, and `${env:VAR}`.
fn input_braces(text: &str, known: Known<'_>) -> String {
    prefixed_braces(&env_braces(text, known), "input:", known)
}

/// `$VAR`, `${VAR}` and `${VAR:-default}`.
fn dollar(text: &str, known: Known<'_>) -> String {
    let (start, rest) = text.split_at(text.find('$').unwrap_or(text.len()));
    let parts = rest.split('$').skip(1).map(|part| {
        if part.starts_with('{') {
            return braces(&format!("${part}"), known);
        }
        let end = part.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let (name, behind) = part.split_at(end.unwrap_or(part.len()));
        known(name).map_or_else(|| format!("${part}"), |value| format!("{value}{behind}"))
    });
    format!("{start}{}", parts.collect::<String>())
}

/// What is not known, or has another prefix, stays as it is.
fn prefixed_braces(text: &str, prefix: &str, known: Known<'_>) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().expect("a first part").to_owned();
    for part in parts {
        let (inside, behind) = part.split_once('}').expect("a closing brace");
        let value = inside.strip_prefix(prefix).and_then(|inside| {
            let (name, default) = inside.split_once(":-").map_or((inside, None), |(n, d)| (n, Some(d)));
            known(name).or(default)
        });
        match value {
            Some(value) => filled.push_str(value),
            None => filled.push_str(&format!("${{{inside}}}")),
        }
        filled.push_str(behind);
    }
    filled
}

/// One server that a client starts.
struct Entry {
    name: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// The variables that it asks the client to pass on.
    named: Vec<String>,
}

fn json(text: &str, key: &str) -> Vec<Entry> {
    entries(&serde_json::from_str(text).expect("JSON"), key)
}

/// Every entry below `key` that starts mcp-tether.
fn entries(file: &Value, key: &str) -> Vec<Entry> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let list = |value: &Value| value.as_array().map(|list| list.iter().map(text).collect());
    let servers = file[key].as_object().expect("servers").iter();
    servers
        .filter(|(_, server)| server["command"] == "mcp-tether")
        .map(|(name, server)| Entry {
            name: name.clone(),
            arguments: list(&server["args"]).expect("arguments"),
            environment: server["env"].as_object().map_or_else(Vec::new, |variables| {
                variables.iter().map(|(name, value)| (name.clone(), text(value))).collect()
            }),
            named: list(&server["env_vars"]).unwrap_or_default(),
        })
        .collect()
}

/// Every `claude mcp add NAME [-s SCOPE] [-e NAME=VALUE]… -- mcp-tether …` of a shell script.
fn commands(script: &str) -> Vec<Entry> {
    let script = script.replace("\\\n", " ");
    let lines = script.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let mut words = shell_words(line).into_iter();
            let mut next = || words.next().expect("one more word");
            assert_eq!([next(), next(), next()], ["claude", "mcp", "add"], "{line}");
            let name = next();
            let mut environment = Vec::new();
            loop {
                match next().as_str() {
                    "--" => break,
                    "-s" => assert!(["local", "user", "project"].contains(&next().as_str()), "{line}"),
                    "-e" => {
                        let variable = next();
                        let (name, value) = variable.split_once('=').expect("NAME=VALUE");
                        environment.push((name.to_owned(), value.to_owned()));
                    }
                    other => panic!("{other:?} in {line}"),
                }
            }
            assert_eq!(next(), "mcp-tether", "{line}");
            Entry { name, arguments: words.collect(), environment, named: Vec::new() }
        })
        .collect()
}

/// Cuts a line at spaces, except between single quotes; the shell must find nothing else to do.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.last_mut().expect("a word").push_str(part);
            continue;
        }
        assert!(!part.contains(['$', '"', '`', '\\', '*']), "the shell would fill something in: {line}");
        for (index, piece) in part.split(' ').enumerate() {
            match index {
                0 => words.last_mut().expect("a word").push_str(piece),
                _ => words.push(piece.to_owned()),
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.replace("\r\n", "\n")
}

impl Client {
    fn entries(&self) -> Vec<Entry> {
        let entries = (self.read)(&text_of(&folder().join(self.file)));
        for kind in ["my-server", "my-api"] {
            let is_there = entries.iter().any(|entry| entry.name.starts_with(kind));
            assert!(is_there, "{} has no {kind} that starts mcp-tether", self.file);
        }
        entries
    }

    /// What mcp-tether makes of an entry, once for every environment that it may get.
    fn start(&self, entry: &Entry, known: Known<'_>) -> Vec<Result<Config, Error>> {
        let arguments = entry.arguments.iter().map(|argument| (self.fill_arguments)(argument, known));
        let arguments: Vec<OsString> =
            ["mcp-tether".to_owned()].into_iter().chain(arguments).map(OsString::from).collect();
        let options = match cli::parse(arguments) {
            Ok(Typed::Options(options)) => options,
            Ok(Typed::Print(text)) => panic!("{} {} prints {text}", self.file, entry.name),
            Ok(Typed::Entry(_)) => panic!("{} {} prints an entry", self.file, entry.name),
            Err(error) => panic!("{} {}: {error}", self.file, entry.name),
        };
        let start = |passes_on: &fn(&Entry, &str) -> bool| {
            let variables = ["CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET", "MY_API_KEY"].into_iter();
            let passed_on = variables
                .filter(|name| passes_on(entry, name))
                .filter_map(|name| Some((name.to_owned(), known(name)?.to_owned())));
            let own = entry.environment.iter();
            let own = own.map(|(name, value)| (name.clone(), (self.fill_environment)(value, known)));
            Config::resolve(&options, &passed_on.chain(own).collect::<Environment>())
        };
        self.passes_on.iter().map(start).collect()
    }
}

fn folder() -> PathBuf {
    root().join("examples/configs")
}

/// A person who has set everything up.
fn all(name: &str) -> Option<&'static str> {
    PERSON.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// The headers that go out.
fn sent(config: &Config) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    config.found.credentials.decorate(&config.url, &mut headers);
    let text = |value: &http::HeaderValue| value.to_str().expect("ASCII").to_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn expected(entry: &Entry) -> Vec<(String, String)> {
    let headers = match entry.name.as_str() {
        "my-api" => vec![("x-api-key", KEY)],
        _ => vec![("cf-access-client-id", ID), ("cf-access-client-secret", SECRET)],
    };
    headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_entry_sends_the_headers_it_is_there_for_and_no_other() {
    for client in CLIENTS {
        for entry in client.entries() {
            let case = format!("{} {}", client.file, entry.name);
            for config in client.start(&entry, &all) {
                let config = config.unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(config.url.as_str(), "https://mcp.example.com/mcp", "{case}");
                assert_eq!(sent(&config), expected(&entry), "{case}");
                assert_eq!(config.warnings, [""; 0], "{case}");
            }
        }
    }
}

#[test]
fn a_client_that_knows_no_variable_makes_nothing_else_go_out() {
    for client in CLIENTS {
        for entry in client.entries() {
            for config in client.start(&entry, &|_| None) {
                // Without a token the server says what it wants; a header that was asked for cannot be left out.
                let is_harmless =
                    config.as_ref().map_or(true, |config| entry.name != "my-api" && sent(config).is_empty());
                assert!(is_harmless, "{} {}: {config:?}", client.file, entry.name);
            }
        }
    }
}

#[test]
fn a_placeholder_that_was_left_in_is_refused_by_name() {
    let desktop = &CLIENTS[2];
    for (placeholder, name) in [
        ("your-client-id.access", "CF_ACCESS_CLIENT_ID"),
        ("your-client-secret", "CF_ACCESS_CLIENT_SECRET"),
        ("your-api-key", "the header X-API-Key"),
    ] {
        let mut entries = desktop.entries().into_iter();
        let entry = entries.find(|entry| entry.environment.iter().any(|(_, value)| value == placeholder));
        let entry = entry.unwrap_or_else(|| panic!("{placeholder} is not in {}", desktop.file));
        let all_but_it = |name: &str| all(name).filter(|_| name != placeholder);
        for config in desktop.start(&entry, &all_but_it) {
            match config {
                Err(Error::Value { what, problem: Problem::Placeholder }) => {
                    assert!(what.eq_ignore_ascii_case(name), "{what} instead of {name}");
                }
                other => panic!("{placeholder}: {other:?}"),
            }
        }
    }
}

#[test]
fn vs_code_asks_for_every_input_and_hides_the_secret_ones() {
    let file: Value = serde_json::from_str(&text_of(&folder().join("vscode.mcp.json"))).expect("JSON");
    let inputs = file["inputs"].as_array().expect("inputs");
    let mut used = Vec::new();
    for (_, value) in json(&file.to_string(), "servers").into_iter().flat_map(|entry| entry.environment) {
        let id = value.strip_prefix("${input:").and_then(|rest| rest.strip_suffix('}')).expect("an input");
        let input =
            inputs.iter().find(|input| input["id"] == id).unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!(input["password"] == true, id.contains("secret") || id.contains("key"), "{input}");
        used.push(id.to_owned());
    }
    assert_eq!(used.len(), inputs.len(), "each input is used once: {used:?}");
}

#[test]
fn every_file_is_read_here_and_named_in_the_table() {
    let table = text_of(&folder().join("README.md"));
    for file in std::fs::read_dir(folder()).expect("a folder") {
        let name = file.expect("an entry").file_name().into_string().expect("Unicode");
        if name == "README.md" {
            continue;
        }
        assert!(CLIENTS.iter().any(|client| client.file == name), "{name} is not read by tests/configs.rs");
        assert!(table.contains(&format!("| [`{name}`]({name}) |")), "{name} has no row in README.md");
    }
}

#[test]
fn the_entries_in_the_readme_can_be_pasted() {
    let readme = root().join("README.md");
    if !readme.exists() {
        return;
    }
    let text = text_of(&readme);
    // Every second part stands between fences, with its language in the first line.
    for block in text.split("```").skip(1).step_by(2).filter(|block| block.contains("mcp-tether")) {
        let (language, content) = block.split_once('\n').expect("a line with the language");
        match language.trim() {
            "json" => {
                drop(serde_json::from_str::<Value>(content).unwrap_or_else(|e| panic!("{e}: {content}")))
            }
            "toml" => drop(toml::from_str::<Value>(content).unwrap_or_else(|e| panic!("{e}: {content}"))),
            _ => {}
        }
    }
}

/// The value of a header that is no secret, with all that shells, JSON, TOML and clients might make something else of.
const ODD: &str = "it's \"q\" $ %PATH% `x` C:\\Program Files\\x ! #;&|*";

/// What a person has who has typed a literal token, and was told to put it into a variable.
const TYPED: &str = "typed-0123456789";

fn typed(name: &str) -> Option<&'static str> {
    match name {
        "MY_SERVER_TOKEN" | "my-server-token" | "your-my-server-token" => Some(TYPED),
        "your-cf-access-client-id" => Some(ID),
        "your-cf-access-client-secret" => Some(SECRET),
        "your-my-api-key" => Some(KEY),
        other => all(other),
    }
}

/// What the binary prints for this client, on stdout.
fn printed(client: &str, arguments: &[&str]) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_mcp-tether"));
    let output = Command::new(binary)
        .arg("config")
        .args(arguments)
        .args(["--client", client])
        .env_clear()
        .envs([("CF_ACCESS_CLIENT_ID", ID), ("CF_ACCESS_CLIENT_SECRET", SECRET), ("MY_API_KEY", KEY)])
        .env("PATH", binary.parent().expect("a folder"))
        .output()
        .expect("the binary starts");
    let told = String::from_utf8(output.stderr).expect("Unicode");
    let printed = String::from_utf8(output.stdout).expect("Unicode");
    assert!(output.status.success(), "{client}: {told}");
    for secret in [ID, SECRET, KEY, TYPED] {
        assert!(!told.contains(secret) && !printed.contains(secret), "{client}: a secret is printed");
    }
    printed
}

#[test]
fn what_config_prints_for_each_client_starts_and_sends_what_was_asked_for() {
    let server = Server::start(|request, reply| {
        reply.result(
            request,
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#,
        );
    });
    let odd = format!("X-Odd: {ODD}");
    let bearer = format!("Authorization: Bearer {TYPED}");
    let arguments = [
        "my-server",
        &server.url,
        "--header",
        "X-API-Key: ${MY_API_KEY}",
        "--header",
        &bearer,
        &format!("--header={odd}"),
        "--no-cache",
    ];
    let mut count = 0;
    // On Windows the line is one of PowerShell; its quoting has a test where it is made.
    for client in CLIENTS.into_iter().filter(|client| !cfg!(windows) || client.file != "claude-code.sh") {
        let text = printed(client.name, &arguments);
        // Claude Code has two: a line for a shell, and the JSON behind it.
        let text = match (client.file, text.split_once("\n\n")) {
            ("claude-code.sh", Some((line, _))) => line.to_owned(),
            ("claude-code.mcp.json", Some((_, json))) => json.to_owned(),
            _ => text,
        };
        let entries = if client.file == "claude-code.sh" { by_shell(&text) } else { (client.read)(&text) };
        let [entry] = entries.as_slice() else { panic!("{} entries for {}", entries.len(), client.name) };
        for passes_on in client.passes_on {
            let before = server.requests().len();
            let names = ["CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET", "MY_API_KEY", "MY_SERVER_TOKEN"]
                .into_iter();
            let inherited =
                names.filter(|name| passes_on(entry, name)).filter_map(|name| Some((name, typed(name)?)));
            let own = entry.environment.iter();
            let own = own.map(|(name, value)| (name, (client.fill_environment)(value, &typed)));
            let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
                .args(entry.arguments.iter().map(|argument| (client.fill_arguments)(argument, &typed)))
                .env_clear()
                // Windows resolves no name without it.
                .envs(std::env::var_os("SystemRoot").map(|root| ("SystemRoot", root)))
                .envs(inherited)
                .envs(own)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the binary starts");
            let mut input = child.stdin.take().expect("a pipe");
            let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
            writeln!(input, "{hello}").expect("somebody reads");
            drop(input);
            let output = child.wait_with_output().expect("an end");
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                told.contains("\"result\""),
                "{}: {told}{}",
                client.file,
                String::from_utf8_lossy(&output.stderr)
            );
            let requests = server.requests();
            let request = requests.get(before).expect("a request");
            for (name, value) in [
                ("cf-access-client-id", ID),
                ("cf-access-client-secret", SECRET),
                ("x-api-key", KEY),
                ("authorization", &format!("Bearer {TYPED}")),
                ("x-odd", ODD),
            ] {
                assert_eq!(request.header(name), Some(value), "{}: {name}", client.file);
            }
            count += 1;
        }
    }
    assert!(count >= CLIENTS.len(), "{count}");
}

/// What a shell hands to `claude mcp add`: the real one where there is one.
fn by_shell(line: &str) -> Vec<Entry> {
    let script = format!("claude() {{ printf '%s\\0' \"$@\"; }}; {line}");
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    let text = String::from_utf8(output.stdout).expect("Unicode");
    let mut words = text.split_terminator('\0').map(str::to_owned);
    let mut next = || words.next().expect("one more word");
    assert_eq!([next(), next()], ["mcp", "add"], "{line}");
    let name = next();
    let mut environment = Vec::new();
    loop {
        match next().as_str() {
            "--" => break,
            "-e" => {
                let variable = next();
                let (name, value) = variable.split_once('=').expect("NAME=VALUE");
                environment.push((name.to_owned(), value.to_owned()));
            }
            other => panic!("{other:?} in {line}"),
        }
    }
    assert_eq!(next(), "mcp-tether", "{line}");
    vec![Entry { name, arguments: words.collect(), environment, named: Vec::new() }]
}

#[test]
fn config_ends_as_scripts_expect_it_and_keeps_apart_what_is_pasted() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
        let output = command.arg("config").args(arguments).output().expect("the binary starts");
        let text = |bytes| String::from_utf8(bytes).expect("Unicode");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, printed, told) = run(&["s", "https://h.example/mcp", "--client", "codex"]);
    assert_eq!(code, Some(0));
    toml::from_str::<Value>(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert!(told.contains("~/.codex/config.toml") && told.contains("Windows:"), "{told}");

    let (code, printed, told) =
        run(&["s", "https://h.example/mcp", "--header", "Authorization: Bearer marked"]);
    assert_eq!((code, printed.as_str()), (Some(2), ""));
    assert!(told.starts_with("error: --client is missing") && !told.contains("marked"), "{told}");

    let (code, printed, told) = run(&[]);
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert!(printed.contains("Usage: mcp-tether config NAME URL --client CLIENT"), "{printed}");
}
