//! The entries in `examples/configs`, read and filled in as each client does it, and then started as far as the headers
//! that would go out.
//!
//! And what `mcp-tether config` prints for each client (`printed`), read and filled in the same way, and then started for good.
//!
//! What a client fills in and passes on stands in `rules`. Deliberately not here: the clients themselves
//! (`tests/clients`).

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod migrate;
mod printed;
mod rules;
mod secrets;
mod switch;

use http::HeaderMap;
use mcp_tether::config::{Config, Error, Problem};
use rules::{CLIENTS, Entry, ID, KEY, SECRET, all, folder, json, root, text_of};
use serde_json::Value;

/// The headers that go out.
fn sent(config: &Config) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    config.found.credentials.decorate(&http::Method::POST, &config.url, &mut headers);
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
fn every_entry_sends_its_headers_and_no_others() {
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
fn missing_variables_send_no_other_headers() {
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
fn remaining_placeholder_is_refused_by_name() {
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
fn vs_code_prompts_for_inputs_and_hides_secrets() {
    let file: Value = serde_json::from_str(&text_of(&folder().join("vscode.mcp.json"))).expect("JSON");
    let inputs = file["inputs"].as_array().expect("inputs");
    let mut used = Vec::new();
    for (name, value) in json(&file.to_string(), "servers").into_iter().flat_map(|entry| entry.environment) {
        if name == "CF_ACCESS_HOSTS" {
            assert_eq!(value, "mcp.example.com", "it is no secret, and known");
            continue;
        }
        let id = value.strip_prefix("${input:").and_then(|rest| rest.strip_suffix('}')).expect("an input");
        let input =
            inputs.iter().find(|input| input["id"] == id).unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!(input["password"] == true, id.contains("secret") || id.contains("key"), "{input}");
        used.push(id.to_owned());
    }
    assert_eq!(used.len(), inputs.len(), "each input is used once: {used:?}");
}

#[test]
fn every_example_is_tested_and_listed() {
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
fn entries_in_readme_are_valid() {
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
