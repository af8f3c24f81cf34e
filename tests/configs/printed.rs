//! What `mcp-tether config` prints for each client, filled in by that client's rules and started.
//!
//! Deliberately not here: the entries in `examples/configs` (`super`).

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::rules::{CLIENTS, Entry, ID, KEY, SECRET, all};
use super::support::server::Server;

/// The value of a header that is no secret, with all that shells, JSON, TOML and clients might make something else of.
const ODD: &str = "it's \"q\" $ %PATH% `x` C:\\Program Files\\x ! #;&|*";

/// The value of a literal token that the remarks say to put into a variable.
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
fn printed_entry_of_each_client_starts_and_sends_headers() {
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
            writeln!(input, "{hello}").expect("it reads");
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
fn config_prints_entry_to_stdout_and_remarks_to_stderr() {
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
    assert!(printed.contains("Usage: mcp-tether config <NAME> <URL> --client <CLIENT>"), "{printed}");
}
