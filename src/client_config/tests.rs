//! The whole of it: arguments in, an entry out. And every fixture of a file with mcp-remote, and what becomes of it.

use super::*;

/// Nothing that holds this may be printed.
const MARK: &str = "marked";

fn installation(system: &'static str) -> Installation {
    Installation {
        system,
        found: Some("/opt/bin/mcp-tether".into()),
        running: Some("/opt/real/mcp-tether".into()),
    }
}

fn ask(
    arguments: &[&str],
    variables: &[(&str, &str)],
    installation: &Installation,
) -> Result<(String, String), UsageError> {
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let arguments = ["mcp-tether", "config"].iter().chain(arguments).map(OsString::from);
    let parts = match cli::parse(arguments)? {
        Invocation::Config(arguments) => run(*arguments, &environment, installation)?,
        Invocation::Print(text) | Invocation::Version(text) => vec![Part::Stdout(text)],
        Invocation::Options(_) | Invocation::Switch(_) => panic!("another subcommand"),
    };
    let (mut printed, mut told) = (String::new(), String::new());
    for part in parts {
        match part {
            Part::Stdout(text) => printed.push_str(&text),
            Part::Stderr(text) => told.push_str(&text),
        }
    }
    assert!(!printed.contains(MARK) && !told.contains(MARK), "{printed}\n{told}");
    Ok((printed, told))
}

fn refused(arguments: &[&str]) -> String {
    match ask(arguments, &[], &installation("linux")) {
        Err(error) => {
            let text = format!("{}; {}", error.sentence, error.advice);
            assert!(!text.contains(MARK), "{text}");
            text
        }
        Ok((printed, _)) => panic!("{arguments:?} printed {printed}"),
    }
}

#[test]
fn invalid_arguments_are_refused_with_remedy() {
    const URL: &str = "https://h.example/mcp";
    for (arguments, expected) in [
        (
            &["s", URL][..],
            "--client is missing: each client has its own form; add --client with one of claude-code, ",
        ),
        (&["s", URL, "--client", "marked"], "the value of --client is not valid; write one of claude-code, "),
        (&["s", URL, "--client"], "the option --client requires a value"),
        (&[URL, "--client", "zed"], "the name of the server is missing; write it before the URL"),
        (&["--client", "zed"], "the name of the server is missing"),
        (&["s", "--client", "zed"], "the URL of the server is missing"),
        (&["s", "http://h.example/", "--client", "zed"], "the URL is not encrypted"),
        (&["s", "https://u:marked@h/", "--client", "zed"], "the URL holds a user name or password"),
        (&["s", "ftp://h", "--client", "zed"], "does not begin with https://"),
        (&["s", URL, "3334", "more", "--client", "zed"], "3 arguments are neither options"),
        (
            &["a b", URL, "--client", "codex"],
            "Codex takes letters, digits and any of - _ : @ / . in the name of a server; choose another NAME",
        ),
        (
            &["s", URL, "--client", "zed", "--headr", "X: marked"],
            "there is no option --headr; did you mean --header?",
        ),
        (&["s", URL, "--client", "zed", "--header", "marked"], "a --header is not of the form"),
        (
            &["s", URL, "--client", "zed", "--connect-timeout", "marked"],
            "the value of --connect-timeout is not valid",
        ),
        (
            &["s", URL, "--client", "zed", "--env", "A=marked"],
            "the value of --env is not valid; write the name alone",
        ),
        (&["s", "check", URL, "--client", "zed"], "an entry cannot start check, login, logout or tokens"),
        (&["--from", "/nowhere/marked-not.json", "--header", "x"], "--from takes no name"),
    ] {
        let told = refused(arguments);
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
}

#[test]
fn help_lists_clients_with_their_files() {
    for arguments in [&[][..], &["--help"], &["s", "-h"]] {
        let (printed, _) = ask(arguments, &[], &installation("linux")).expect("help");
        for client in Client::ALL {
            assert!(printed.contains(&format!("  {} ", client.name())), "{printed}");
            for system in ["macOS", "Windows"] {
                assert!(client.places().iter().any(|place| place.contains(system)), "{client:?} {system}");
            }
        }
    }
}

#[test]
fn entry_names_program_as_client_finds_it() {
    let command = |client: &str, installation: &Installation| {
        let (printed, told) =
            ask(&["s", "https://h/mcp", "--client", client, "--json"], &[], installation).expect("an entry");
        let mut lines = printed.lines();
        let line = lines.find(|line| line.contains("command") || line.contains("cmd: ")).unwrap_or_default();
        let start = line.find([':', '=']).map_or(0, |at| at + 1);
        let command = line[start..].split('"').nth(1).unwrap_or_default().to_owned();
        (command, told.contains("not on your PATH"))
    };
    for client in Client::ALL.map(Client::name) {
        assert_eq!(command(client, &installation("linux")), ("mcp-tether".to_owned(), false), "{client}");
        let expected = if client == "claude-desktop" { "/opt/bin/mcp-tether" } else { "mcp-tether" };
        assert_eq!(command(client, &installation("macos")), (expected.to_owned(), false), "{client}");
        let lost = Installation { found: None, ..installation("linux") };
        assert_eq!(command(client, &lost), ("/opt/real/mcp-tether".to_owned(), true), "{client}");
    }
    let windows = Installation {
        found: None,
        running: Some("C:\\Program Files\\mcp-tether.exe".into()),
        system: "windows",
    };
    assert_eq!(command("cursor", &windows).0, "C:\\\\Program Files\\\\mcp-tether.exe");
}

#[test]
fn entry_passes_service_token_by_name() {
    let pair = [("CF_ACCESS_CLIENT_ID", "marked.access"), ("CF_ACCESS_CLIENT_SECRET", "marked")];
    for client in Client::ALL {
        let asked = ["s", "https://h/mcp", "--client", client.name()];
        let (printed, told) = ask(&asked, &pair, &installation("linux")).expect("an entry");
        assert_eq!(printed.contains("CF_ACCESS_CLIENT_SECRET"), client != Client::Zed, "{printed}");
        assert!(told.contains("CF_ACCESS_CLIENT_ID, CF_ACCESS_CLIENT_SECRET"), "{told}");
        let without = [&asked[..], &["--no-access"]].concat();
        assert!(!ask(&without, &pair, &installation("linux")).expect("an entry").0.contains("CF_ACCESS"));
        let elsewhere = [pair[0], pair[1], ("CF_ACCESS_HOSTS", "other.example")];
        assert!(!ask(&asked, &elsewhere, &installation("linux")).expect("an entry").0.contains("CF_ACCESS"));
        // Half a pair is none; what is missing can be asked for by name.
        assert!(!ask(&asked, &pair[..1], &installation("linux")).expect("an entry").0.contains("CF_ACCESS"));
        let named = [&asked[..], &["--env", "CF_ACCESS_CLIENT_ID", "-e", "CF_ACCESS_CLIENT_SECRET"]].concat();
        assert_eq!(ask(&named, &[], &installation("linux")).expect("an entry").0, printed);
    }
}

#[test]
fn entry_limits_service_token_to_its_host() {
    let pair = [("CF_ACCESS_CLIENT_ID", "marked.access"), ("CF_ACCESS_CLIENT_SECRET", "marked")];
    let listed = [pair[0], pair[1], ("CF_ACCESS_HOSTS", "h,*.h")];
    for client in Client::ALL {
        for (url, environment, expected) in [
            ("https://h/mcp", &pair[..], Some("h")),
            ("https://h/mcp", &listed, Some("h")),
            ("https://h:8443/mcp", &listed, Some("h:8443")),
            ("https://x.h/mcp", &listed, Some("x.h")),
            ("https://other/mcp", &listed, None),
            ("https://h/mcp", &[], None),
        ] {
            let asked = ["s", url, "--client", client.name()];
            let (printed, _) = ask(&asked, environment, &installation("linux")).expect("an entry");
            let written = match client {
                Client::Codex => expected.map(|hosts| format!("CF_ACCESS_HOSTS = \"{hosts}\"")),
                _ => expected.map(|hosts| format!("\"CF_ACCESS_HOSTS\": \"{hosts}\"")),
            };
            match written {
                Some(written) => assert!(printed.contains(&written), "{url}: {printed}"),
                None => assert!(!printed.contains("CF_ACCESS_HOSTS"), "{url}: {printed}"),
            }
        }
    }
}

/// A file with mcp-remote in it, as its client has it, and what the report has to say.
struct Fixture {
    file: &'static str,
    text: &'static str,
    /// The expected parts, in this order.
    expected: &'static [&'static str],
}

const FIXTURES: [Fixture; 13] = [
    Fixture {
        file: "windsurf/mcp_config.json",
        text: r#"{"mcpServers": {"leaks": {"command": "env", "args": ["API_KEY=marked", "npx", "--registry", "https://u:marked@r", "mcp-remote", "https://u:marked@h.example/mcp", "--header", "Authorization:", "Bearer", "marked", "--static-oauth-client-info={\"client_id\":\"a\",\"client_secret\":\"marked\"}", "--proxy", "http://u:marked@p:1"], "headers": {"X-Token": "marked"}}}}"#,
        expected: &[
            "\"API_KEY\": \"[masked]\"",
            "is replaced by",
            "\"https://h.example/mcp\"",
            "\"X-Token\": \"[masked]\"",
            "\"HTTPS_PROXY\": \"${env:HTTPS_PROXY}\"",
            "\"API_KEY\": \"${env:API_KEY}\"",
            "user name and password in the URL are left out",
        ],
    },
    Fixture {
        file: ".gemini/settings.json",
        text: r#"{"mcpServers": {"a\u001b\nb": {"command": "npx", "args": ["marked"], "env": {"TOKEN": "marked"}, "args": ["mcp-remote", "https://h.example/mcp?u=${U}&token=marked", "--static-oauth-client-info", "{\"client_id\":\"${ID}\",\"client_secret\":\"marked\"}", "--client-secret=marked", "--proxy", "http://u:marked@${P}"], "env": {"A_TOKEN": ["marked"], "B_TOKEN": {"x": "marked"}}, "headers": ["Authorization: Bearer marked", "X: y"]}, "b": {"command": "npx", "args": ["mcp-remote", "https://h.example/mcp", "--static-oauth-client-info", "{\"client_secret\":\"marked\""], "env": ["TOKEN=marked", ["X_TOKEN:marked"]]}}}"#,
        expected: &[
            "== a??b, line 1",
            "https://h.example/mcp?u=${U}&token=[masked]",
            "--client-secret=[masked]",
            "\"headers\": [\"[masked]\", \"X: y\"]",
            "is replaced by",
            "https://h.example/mcp?u=${U}&token=${A_B_TOKEN}",
            "\"A_TOKEN\": \"${A_TOKEN}\"",
            "the value of headers is not printed",
            "is replaced by",
            "${B_CLIENT_INFO}",
        ],
    },
    Fixture {
        file: "claude_desktop.json",
        text: r#"{"mcpServers": {"url": {"command": "npx", "args": ["mcp-remote", "https://h.example/mcp?page=1&token=marked"]}}}"#,
        expected: &[
            "https://h.example/mcp?[masked]",
            "is replaced by",
            "https://h.example/mcp?page=1&token=your-url-token",
            "put it in the place of your-url-token",
        ],
    },
    Fixture {
        file: ".mcp.json",
        text: r#"{"mcpServers": {
          "a": {"command": "npx", "args": ["--_authToken", "marked", "mcp-remote", "--header", "Authorization:", "Bearer", "marked", "https://h/mcp", 9696]},
          "b": {"command": "npx", "args": ["mcp-remote", "https://h:bad/mcp?token=marked"]},
          "c": {"command": "npx", "args": ["mcp-remote", "wss://u:marked@h/mcp"]},
          "d": {"command": "npx", "args": ["mcp-remote", "h/mcp?token=marked"]},
          "e": {"command": "npx", "args": ["mcp-remote", "https://h/mcp", "abc", "9999"]},
          "f": {"command": "op", "args": ["run", "--", "npx", "mcp-remote", "https://h/mcp?token=marked"]}
        }}"#,
        expected: &[
            "Authorization: Bearer ${A_TOKEN}\", \"https://h/mcp\", \"9696\"]",
            "https://h:bad/mcp?[masked]",
            "mcp-tether does not start with this",
            "\"args\": [\"[masked]\"]",
            "the URL of the server is missing",
            "\"args\": [\"https://h/mcp\"]",
            "== f, line 7: another program starts mcp-remote there",
        ],
    },
    Fixture {
        file: "claude_desktop_config.json",
        text: r#"{ "globalShortcut": "x", "mcpServers": {
          "other": { "command": "npx", "args": ["-y", "something"] },
          "work": { "command": "npx", "args": ["-y", "mcp-remote@0.1.29", "https://h.example/mcp", "--header", "Authorization:${AUTH}"],
                    "env": { "AUTH": "Bearer marked", "LANG": "C" } } } }"#,
        expected: &[
            "== work, line 3",
            "\"mcp-remote@0.1.29\"",
            "\"AUTH\": \"[masked]\"",
            "is replaced by",
            "\"command\": \"mcp-tether\"",
            "[\"https://h.example/mcp\", \"--header\", \"Authorization:${AUTH}\"]",
            "\"AUTH\": \"your-auth\"",
            "\"LANG\": \"C\"",
            "keep \"env\" as it is",
            "1 to replace",
        ],
    },
    Fixture {
        file: ".mcp.json",
        text: r#"{"mcpServers": {"api": {"type": "stdio", "command": "bunx", "args": ["mcp-remote", "https://h.example/mcp?key=marked", "--header", "X-API-Key: marked"]}}}"#,
        expected: &[
            "https://h.example/mcp?[masked]",
            "X-API-Key: [masked]",
            "is replaced by",
            "\"type\": \"stdio\"",
            "https://h.example/mcp?key=${API_KEY}",
            "X-API-Key: ${API_",
            "\"API_KEY\": \"${API_KEY}\"",
        ],
    },
    Fixture {
        file: ".claude.json",
        text: r#"{"projects": {"/home/me/x": {"mcpServers": {"deep": {"command": "pnpm", "args": ["dlx", "mcp-remote", "https://h.example/mcp", "9696"], "env": {"A": "${A:-b}"}}}}}}"#,
        expected: &[
            "== deep",
            "\"pnpm\"",
            "is replaced by",
            "[\"https://h.example/mcp\", \"9696\"]",
            "\"A\": \"${A:-b}\"",
        ],
    },
    Fixture {
        file: ".cursor/mcp.json",
        text: r#"{"mcpServers": {"cur": {"command": "cmd", "args": ["/c", "npx", "mcp-remote", "https://h.example/mcp", "--header", "Authorization:", "Bearer marked", "--static-oauth-client-info", "{\"client_id\":\"a\",\"client_secret\":\"marked\"}"], "disabled": false}}}"#,
        expected: &[
            "Authorization: [masked]",
            "is replaced by",
            "Authorization:${CUR_AUTHORIZATION_HEADER}",
            "\\\"client_secret\\\":\\\"${CUR_TOKEN}\\\"",
            "\"disabled\": false",
            "\"Bearer ${env:CUR_TOKEN}\"",
            "\"CUR_TOKEN\": \"${env:CUR_TOKEN}\"",
        ],
    },
    Fixture {
        file: ".vscode/mcp.json",
        text: "{\n  // servers\n  \"inputs\": [{\"id\": \"k\", \"type\": \"promptString\"},],\n  \"servers\": {\n    \"code\": {\n      \"type\": \"stdio\", \"command\": \"npx\",\n      \"args\": [\"mcp-remote\", \"https://h.example/mcp\", \"--header\", \"X-Key: ${input:k}\", \"--header\", \"X-Token: marked\",],\n      \"envFile\": \"${workspaceFolder}/.env\",\n    },\n  },\n}\n",
        expected: &[
            "== code, line 5",
            "is replaced by",
            "\"inputs\": [",
            "\"id\": \"code-token\"",
            "\"password\": true",
            "\"X-Key: ${input:k}\", \"--header\", \"X-Token: ${CODE_TOKEN}\"",
            "\"envFile\": \"${workspaceFolder}/.env\"",
            "\"CODE_TOKEN\": \"${input:code-token}\"",
            "VS Code asks for CODE_TOKEN",
        ],
    },
    Fixture {
        file: "mcp_config.json",
        text: r#"{"mcpServers": {"wind": {"command": "node", "args": ["/x/node_modules/mcp-remote/dist/proxy.js", "https://h.example/sse", "--transport", "sse-only", "--header", "X-Key:${env:K}", "--odd"], "env": {"NODE_OPTIONS": "--no-warnings"}}}}"#,
        expected: &[
            "is replaced by",
            "\"sse-only\"",
            "X-Key:${env:K}\"]",
            "--odd is left out",
            "NODE_OPTIONS has no effect",
        ],
    },
    Fixture {
        file: "config.toml",
        text: "model = \"x\"\n\n[mcp_servers.docs]\ncommand = \"npx\"\nargs = [\"-y\", \"mcp-remote\", \"https://h.example/mcp\", \"--header\", \"Authorization: Bearer ${TOKEN}\"]\nstartup_timeout_sec = 30\n\n[mcp_servers.docs.env]\nTOKEN = \"marked\"\nMODE = \"a\"\n",
        expected: &[
            "== docs, line 3",
            "TOKEN = \"[masked]\"",
            "is replaced by",
            "[mcp_servers.docs]\ncommand = \"mcp-tether\"",
            "startup_timeout_sec = 30",
            "env_vars = [\"TOKEN\"]",
            "[mcp_servers.docs.env]\nMODE = \"a\"",
        ],
    },
    Fixture {
        file: ".gemini/settings.json",
        text: r#"{"mcpServers": {"gem": {"command": "yarn", "args": ["dlx", "mcp-remote", "https://h.example/mcp", "--header", "X-Key: $K"], "env": {"K": "$K"}, "timeout": 5000}}}"#,
        expected: &["is replaced by", "X-Key: $K", "\"K\": \"$K\"", "\"timeout\": 5000"],
    },
    Fixture {
        file: "settings.json",
        text: "{\"theme\": \"x\", /* old form */ \"context_servers\": {\"z\": {\"command\": {\"path\": \"npx\", \"args\": [\"mcp-remote\", \"https://h.example/mcp\"], \"env\": {\"API_TOKEN\": \"marked\"}}, \"settings\": {}}, \"d\": {\"command\": \"docker\", \"args\": [\"run\", \"mcp-remote\"]}}}",
        expected: &[
            "== z",
            "is replaced by",
            "\"command\": \"mcp-tether\"",
            "\"settings\": {}",
            "\"API_TOKEN\": \"your-api-token\"",
            "== d, line 1: the proxy runs in a container there",
            "1 to replace",
        ],
    },
];

#[test]
fn every_fixture_is_replaced_without_secrets() {
    for fixture in FIXTURES {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(fixture.file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, fixture.text).expect("a file");
        let path = path.to_str().expect("Unicode");
        let (report, _) = ask(&["--from", path], &[], &installation("linux"))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut rest = report.as_str();
        for part in fixture.expected {
            let at = rest
                .find(part)
                .unwrap_or_else(|| panic!("{}: {part:?} is missing in\n{report}", fixture.file));
            rest = &rest[at + part.len()..];
        }
        assert_eq!(std::fs::read_to_string(path).expect("a file"), fixture.text, "nothing is written");
    }
}

#[test]
fn unreadable_file_is_refused_with_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("Unicode").to_owned()
    };
    for (path, expected) in [
        (
            file("a.json", "{\n  \"mcpServers\": {\n    \"a\" \"marked\"\n"),
            "a.json, line 3, column 9: it is not valid JSON",
        ),
        (file("a.toml", "[mcp_servers.a]\ncommand = \"marked\nargs = []\n"), "a.toml, line 2, column "),
        (folder.path().join("nowhere").to_str().expect("Unicode").to_owned(), "cannot be read: "),
        (
            file("notes.json", r#"{"mcpServers": {"a": {"command": "mcp-remote", "args": ["https://h"]}}}"#),
            "the client cannot be recognized by the name of the file; add --client with one of",
        ),
    ] {
        let told = refused(&["--from", &path]);
        assert!(told.contains(expected), "{told}");
    }
    let odd = folder.path().join("odd.json");
    std::fs::write(&odd, b"\xff\xfe{\0}\0").expect("a file");
    assert!(refused(&["--from", odd.to_str().expect("Unicode")]).contains("is not UTF-8 at byte 1; save"));
    let huge = std::fs::File::create(&odd).and_then(|file| file.set_len(migration::LIMIT + 1));
    huge.expect("a file with a hole");
    assert!(refused(&["--from", odd.to_str().expect("Unicode")]).contains("is larger than 64 MiB"));
    let none = file("mcp.json", r#"{"mcpServers": {"a": {"command": "x"}}}"#);
    let (report, _) = ask(&["--from", &none], &[], &installation("linux")).expect("a report");
    assert!(report.contains("none of its 1 servers"), "{report}");
    let empty = file("mcp.json", "{}");
    assert!(
        ask(&["--from", &empty], &[], &installation("linux")).expect("a report").0.contains("has no servers")
    );
}
