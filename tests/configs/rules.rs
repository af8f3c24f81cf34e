//! What each client fills in of its entries, what it passes on, and where they stand in its file: one table, [`CLIENTS`].
//!
//! Deliberately not here: what comes of that.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mcp_tether::cli::{self, Invocation};
use mcp_tether::config::{Config, Environment, Error};
use serde_json::Value;

pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef.access";
pub(crate) const SECRET: &str = "cfast_0123456789abcdefghijklmnopqrstuvwxyzABCDdeadbeef";
pub(crate) const KEY: &str = "key-0123456789";

/// What the user has in the environment of the client, answers when it asks, and puts in the place
/// of a placeholder.
pub(crate) const PERSON: [(&str, &str); 9] = [
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
pub(crate) type Known<'a> = &'a dyn Fn(&str) -> Option<&'static str>;
pub(crate) type Fill = fn(&str, Known<'_>) -> String;

/// How one client treats its file.
pub(crate) struct Client {
    /// What `config --client` calls it.
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) read: fn(&str) -> Vec<Entry>,
    pub(crate) fill_arguments: Fill,
    pub(crate) fill_environment: Fill,
    /// Which variables of its own environment it passes on; several, where that is not known.
    pub(crate) passes_on: &'static [fn(&Entry, &str) -> bool],
}

pub(crate) const EVERYTHING: fn(&Entry, &str) -> bool = |_, _| true;
pub(crate) const NOTHING: fn(&Entry, &str) -> bool = |_, _| false;
pub(crate) const NAMED: fn(&Entry, &str) -> bool =
    |entry, name| entry.named.iter().any(|named| named == name);
pub(crate) const HARMLESS: fn(&Entry, &str) -> bool =
    |_, name| !name.contains("SECRET") && !name.contains("KEY");

pub(crate) const CLIENTS: [Client; 14] = [
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
    Client {
        name: "opencode",
        file: "opencode.json",
        read: opencode,
        fill_arguments: single_braces,
        fill_environment: single_braces,
        passes_on: &[EVERYTHING],
    },
    Client {
        name: "lm-studio",
        file: "lm-studio.mcp.json",
        read: |text| json(text, "mcpServers"),
        fill_arguments: nothing,
        fill_environment: by_hand,
        passes_on: &[NOTHING, EVERYTHING],
    },
    Client {
        name: "goose",
        file: "goose.config.yaml",
        read: goose,
        fill_arguments: nothing,
        fill_environment: nothing,
        passes_on: &[NAMED, EVERYTHING],
    },
    Client {
        name: "cline",
        file: "cline_mcp_settings.json",
        read: |text| json(text, "mcpServers"),
        fill_arguments: nothing,
        fill_environment: env_braces,
        passes_on: &[NOTHING, EVERYTHING],
    },
    Client {
        name: "copilot-cli",
        file: "copilot.mcp-config.json",
        read: |text| json(text, "mcpServers"),
        fill_arguments: nothing,
        fill_environment: braces,
        passes_on: &[NOTHING, HARMLESS],
    },
];

/// The client's own rule is that there is none.
pub(crate) fn nothing(text: &str, _: Known<'_>) -> String {
    text.to_owned()
}

/// There is no rule, and the user has inserted the values.
pub(crate) fn by_hand(text: &str, known: Known<'_>) -> String {
    known(text).unwrap_or(text).to_owned()
}

/// `${VAR}` and `${VAR:-default}`.
pub(crate) fn braces(text: &str, known: Known<'_>) -> String {
    prefixed_braces(text, "", known)
}

/// `${env:VAR}`.
pub(crate) fn env_braces(text: &str, known: Known<'_>) -> String {
    prefixed_braces(text, "env:", known)
}

/// `${input:ID}`, and `${env:VAR}`.
pub(crate) fn input_braces(text: &str, known: Known<'_>) -> String {
    prefixed_braces(&env_braces(text, known), "input:", known)
}

/// `$VAR`, `${VAR}` and `${VAR:-default}`.
pub(crate) fn dollar(text: &str, known: Known<'_>) -> String {
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

/// `{env:VAR}`, which is empty where there is none.
pub(crate) fn single_braces(text: &str, known: Known<'_>) -> String {
    let mut parts = text.split("{env:");
    let mut filled = parts.next().expect("a first part").to_owned();
    for part in parts {
        let (name, behind) = part.split_once('}').expect("a closing brace");
        filled.push_str(known(name).unwrap_or_default());
        filled.push_str(behind);
    }
    filled
}

/// The entries of opencode, with its own names for the parts of one.
pub(crate) fn opencode(text: &str) -> Vec<Entry> {
    let mut file: Value = serde_json::from_str(text).expect("JSON");
    for (name, server) in file["mcp"].as_object_mut().expect("servers") {
        let known = ["type", "command", "enabled", "environment"];
        let server = server.as_object_mut().expect("an entry");
        assert!(server.keys().all(|key| known.contains(&key.as_str())), "{name}: {server:?}");
        assert_eq!(server["type"], "local", "{name}");
        let mut words = server["command"].as_array().expect("words").clone();
        server.insert("command".to_owned(), words.remove(0));
        server.insert("args".to_owned(), words.into());
        let variables = server.remove("environment").unwrap_or_default();
        server.insert("env".to_owned(), variables);
    }
    entries(&file, "mcp")
}

/// The entries of Goose, whose YAML has a value of JSON in each line.
pub(crate) fn goose(text: &str) -> Vec<Entry> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("extensions:"));
    let mut servers = serde_json::Map::new();
    let mut current = String::new();
    for line in lines {
        match line.strip_prefix("    ") {
            None => {
                let name = line.strip_prefix("  ").and_then(|rest| rest.strip_suffix(':')).expect("a name");
                current = serde_json::from_str(name).expect("JSON");
                servers.insert(current.clone(), Value::Object(serde_json::Map::new()));
            }
            Some(member) => {
                let (key, value) = member.split_once(": ").expect("a member");
                let key = match key {
                    "cmd" => "command",
                    "envs" => "env",
                    "env_keys" => "env_vars",
                    other => other,
                };
                servers[&current][key] = serde_json::from_str(value).expect("JSON");
            }
        }
    }
    entries(&serde_json::json!({ "extensions": servers }), "extensions")
}

/// What is not known, or has another prefix, stays as it is.
pub(crate) fn prefixed_braces(text: &str, prefix: &str, known: Known<'_>) -> String {
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
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// The variables that it asks the client to pass on.
    pub(crate) named: Vec<String>,
}

pub(crate) fn json(text: &str, key: &str) -> Vec<Entry> {
    entries(&serde_json::from_str(text).expect("JSON"), key)
}

/// Every entry below `key` that starts mcp-tether.
pub(crate) fn entries(file: &Value, key: &str) -> Vec<Entry> {
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
pub(crate) fn commands(script: &str) -> Vec<Entry> {
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
pub(crate) fn shell_words(line: &str) -> Vec<String> {
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

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn text_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.replace("\r\n", "\n")
}

impl Client {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entries = (self.read)(&text_of(&folder().join(self.file)));
        for kind in ["my-server", "my-api"] {
            let is_there = entries.iter().any(|entry| entry.name.starts_with(kind));
            assert!(is_there, "{} has no {kind} that starts mcp-tether", self.file);
        }
        entries
    }

    /// What mcp-tether makes of an entry, once for every environment that it may get.
    pub(crate) fn start(&self, entry: &Entry, known: Known<'_>) -> Vec<Result<Config, Error>> {
        let arguments = entry.arguments.iter().map(|argument| (self.fill_arguments)(argument, known));
        let arguments: Vec<OsString> =
            ["mcp-tether".to_owned()].into_iter().chain(arguments).map(OsString::from).collect();
        let options = match cli::parse(arguments) {
            Ok(Invocation::Options(options)) => options,
            Ok(Invocation::Print(text) | Invocation::Version(text)) => {
                panic!("{} {} prints {text}", self.file, entry.name)
            }
            Ok(Invocation::Config(_)) => panic!("{} {} prints an entry", self.file, entry.name),
            Ok(Invocation::Switch(_)) => panic!("{} {} writes", self.file, entry.name),
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

pub(crate) fn folder() -> PathBuf {
    root().join("examples/configs")
}

/// A user who has set everything up.
pub(crate) fn all(name: &str) -> Option<&'static str> {
    PERSON.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}
