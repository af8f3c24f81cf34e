//! `migrate`: entries whose credentials are no options, and files that cannot be read.
//!
//! Deliberately not here: what every command that writes has to keep (`switch`).

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::server::Server;
use super::switch::{BINARY, Home, Told, URL, text_of};

/// Sends `initialize` to what an entry of a file starts, in the environment that the entry gives it.
fn start_entry(entry: &Value) {
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| item.as_str().expect("a text").to_owned()).collect()
    };
    let variables = entry["env"].as_object().into_iter().flatten();
    let mut child = Command::new(entry["command"].as_str().expect("a command"))
        .args(texts(&entry["args"]))
        .env_clear()
        .envs(variables.map(|(name, value)| (name, value.as_str().expect("a text"))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    writeln!(child.stdin.take().expect("piped"), "{hello}").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"result\""), "it does not answer");
}

#[test]
#[cfg(target_os = "linux")]
fn token_of_mcp_proxy_still_reaches_the_server() {
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    for place in ["keep", "env-file"] {
        let home = Home::new();
        let text = format!(
            "{{\n  \"mcpServers\": {{\n    \"p\": {{\n      \"command\": \"uvx\",\n      \"args\": [\"mcp-proxy\", \"--log-level\", \"ERROR\", \"{}\"],\n      \
             \"env\": {{ \"API_ACCESS_TOKEN\": \"marked-1\" }}\n    }}\n  }}\n}}\n",
            server.url
        );
        let path = home.write(".cursor/mcp.json", &text);
        let told = home.run(&["migrate", "--yes", "--secrets", place]).done();
        assert!(!told.out.contains("marked"), "{}", told.out);
        let written: Value = serde_json::from_str(&text_of(&path)).expect("JSON");
        let before = server.requests().len();
        start_entry(&written["mcpServers"]["p"]);
        let requests = server.requests();
        let request = requests.get(before).expect("a request");
        assert_eq!(request.header("authorization"), Some("Bearer marked-1"), "{place}: {written}");
        home.run(&["migrate", "--undo", "--yes"]).done();
        assert_eq!(text_of(&path), text);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn entries_of_one_name_get_files_of_their_own() {
    let entry = |secret: &str| serde_json::json!({ "command": "npx", "args": ["mcp-remote", URL, "--header", format!("X-API-Key: {secret}")] });
    let home = Home::new();
    let projects = serde_json::json!({
        "projects": { "/a": { "mcpServers": { "s": entry("marked-1") } }, "/b": { "mcpServers": { "s": entry("marked-2") } } },
        "mcpServers": { "s": entry("marked-3") },
    });
    let path = home.write(".claude.json", format!("{projects:#}\n"));
    home.run(&["migrate", "--yes", "--secrets", "env-file"]).done();
    let written: Value = serde_json::from_str(&text_of(&path)).expect("JSON");
    let entries = [
        &written["projects"]["/a"]["mcpServers"]["s"],
        &written["projects"]["/b"]["mcpServers"]["s"],
        &written["mcpServers"]["s"],
    ];
    for (number, entry) in (1..).zip(entries) {
        let arguments = entry["args"].as_array().expect("a list");
        let file = arguments.last().and_then(Value::as_str).expect("a path");
        let text = text_of(std::path::Path::new(file));
        assert!(text.contains(&format!("'marked-{number}'")), "{file}: {text}");
    }
    home.run(&["migrate", "--undo", "--yes"]).done();
    assert_eq!(text_of(&path), format!("{projects:#}\n"));
    assert!(home.names(".config/mcp-tether/env").is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn unreadable_files_are_named_and_are_no_success() {
    use std::os::unix::fs::symlink;
    let nothing = Home::new();
    let told = nothing.run(&["migrate", "--yes"]).done();
    assert!(told.out.contains("No configuration file of a client was found"), "{}", told.out);
    let home = Home::new();
    let files = [".cursor/mcp.json", ".gemini/settings.json", ".codex/config.toml", ".claude.json"];
    for file in files {
        let path = home.path(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        match file {
            ".cursor/mcp.json" => std::fs::create_dir(&path).expect("a folder"),
            ".gemini/settings.json" => symlink(&path, &path).expect("a link to itself"),
            ".codex/config.toml" => symlink("/dev/null", &path).expect("a link"),
            _ => std::fs::write(&path, [0xff, 0xfe]).expect("written"),
        }
    }
    for arguments in [&["migrate", "--yes"][..], &["migrate", "--undo", "--yes"]] {
        let told = home.run(arguments);
        assert_eq!(told.code, Some(1), "{}{}", told.out, told.error);
        for file in files {
            let mut lines = told.out.lines().skip_while(|line| !line.contains(file)).skip(1);
            assert!(lines.next().is_some_and(|line| line.starts_with("  try: ")), "{file}: {}", told.out);
        }
    }
    for folder in ["", "relative"] {
        for arguments in [&["migrate", "--yes"][..], &["migrate", "--undo", "--yes"], &["install", "--yes"]] {
            let told =
                Told::of(home.command(BINARY, arguments).env("HOME", folder).output().expect("it starts"));
            assert_eq!(told.code, Some(2), "{arguments:?}: {}", told.out);
            assert!(told.error.contains("set HOME to your home folder"), "{}", told.error);
        }
    }
}
