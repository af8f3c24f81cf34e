//! `config` before entries, files and arguments that hold secrets in every form: for no client any of them is printed.
//!
//! Deliberately not here: which names and forms are secrets (`client_config::sensitive`, in the crate).

use std::process::Command;

use serde_json::{Value, json};

use super::rules;

/// Every secret here holds it.
const MARK: &str = "marked";

/// The clients, each with the member of its file and a name that its file may have.
const CLIENTS: [(&str, &str, &str); 13] = [
    ("claude-code", "mcpServers", ".mcp.json"),
    ("claude-desktop", "mcpServers", "claude_desktop_config.json"),
    ("cursor", "mcpServers", "mcp.json"),
    ("vscode", "servers", "mcp.json"),
    ("windsurf", "mcpServers", "mcp_config.json"),
    ("codex", "mcp_servers", "config.toml"),
    ("gemini", "mcpServers", "settings.json"),
    ("zed", "context_servers", "settings.json"),
    ("opencode", "mcpServers", "opencode.json"),
    ("lm-studio", "mcpServers", "mcp.json"),
    ("goose", "mcpServers", "mcp.json"),
    ("cline", "mcpServers", "cline_mcp_settings.json"),
    ("copilot-cli", "mcpServers", "mcp-config.json"),
];

/// Variables with secrets, by their names or by their form.
const VARIABLES: [(&str, &str); 25] = [
    ("DATABASE_URL", "postgres://app:marked@db.example/app?sslmode=require"),
    ("DATABASE_URI", "marked-by-its-name"),
    ("DB_PASS", "marked"),
    ("dbPass", "marked"),
    ("PGPASSWORD", "marked"),
    ("MYSQL_PWD", "marked"),
    ("PIN", "marked"),
    ("login_token", "marked"),
    ("sentry_dsn", "https://marked@sentry.example/1"),
    ("HTTPS_PROXY", "http://user:marked@proxy.example:8080"),
    ("http_proxy", "user:marked@proxy.example:8080"),
    ("ALL_PROXY", "socks5://user:marked/with#all?kinds@proxy.example:1080"),
    ("UPSTREAM", "https://h.example/mcp?pin=marked"),
    ("OTHER", "https://h.example/mcp?marked"),
    ("HOOK", "https://hooks.example/services/T0/markedmarkedmarked0123"),
    ("SETTINGS", "{\"headers\":{\"Authorization\":\"Bearer marked\"}}"),
    ("JAVA_TOOL_OPTIONS", "-Djavax.net.ssl.trustStorePassword=marked"),
    ("CONNECTION", "Server=h;User Id=sa;Password=marked;"),
    ("HEADERS", "Authorization: Basic marked"),
    ("DEFAULTED_KEY", "${OTHER_KEY:-marked}"),
    ("PARTLY_KEY", "marked${TENANT}"),
    ("PARTLY", "Bearer marked-${TENANT}"),
    ("BESIDE", "{\"password\":\"marked\",\"x\":\"${TENANT}\"}"),
    ("GITHUB_PAT", "marked"),
    ("MONGO", "mongodb+srv://u:marked@cluster.example/?retryWrites=true"),
];

/// Arguments with secrets behind the address.
const ARGUMENTS: [&[&str]; 22] = [
    &["--authorize-param", "login_token=marked"],
    &["--authorize-param", "next=https://u:marked@h.example/?x=marked"],
    &["--static-oauth-client-metadata", r#"{"client_name":"c","client_secret":"marked"}"#],
    &[
        "--static-oauth-client-metadata",
        r#"{"software_statement":"marked","registration_access_token":"marked"}"#,
    ],
    &["--static-oauth-client-metadata", r#"{"jwks":{"keys":[{"kty":"EC","x":"a","d":"marked"}]}}"#],
    &["--static-oauth-client-info", r#"{"client_id":"a","client_secret":"marked"}"#],
    &[
        "--static-oauth-client-info",
        r#"{"client_id":"a","private_key":"marked","registration_access_token":"marked"}"#,
    ],
    &["--static-oauth-client-info={\"client_id\":\"a\",\"client_secret\":\"${S:-marked}\"}"],
    &["--proxy", "http://marked-user:marked@proxy.example:8080"],
    &["--header", "Authorization: Basic marked"],
    &["--header", "X-Database: postgres://u:marked@h/db"],
    &["--header", "X-API-Key: ${KEY:-marked}"],
    &["--resource", "https://h.example/?key=marked"],
    &["--header", "Authorization: Bearer marked-${ENVNAME}"],
    &["--header", "X-Api-Key: marked${TENANT}"],
    &["--oauth-issuer", "https://u:marked@h.example/x?key=marked"],
    &["--header-from", "X-Key: curl -u admin:marked https://vault.example/x"],
    &["--header-from", "X-Thing: curl -u admin:marked https://vault.example/x"],
    &["--access-token-command", "curl -H 'Authorization: Bearer marked' https://vault.example/x"],
    &["--access-token-command", "vault login -p marked"],
    &["--access-token-command", "tool --password 'two marked words'"],
    &["--access-token-command", "sh -c 'curl -uadmin:marked https://vault.example/x'"],
];

const URL: &str = "https://h.example/mcp?pin=marked&x=marked&page=1&marked";

/// What `config` prints and tells, and whether it went well.
fn config(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
        .arg("config")
        .args(arguments)
        .env_clear()
        .output()
        .expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("Unicode");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// A file of a client with one entry.
fn file(
    client: (&str, &str, &str),
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (tempfile::TempDir, String) {
    let (_, key, name) = client;
    let variables: serde_json::Map<String, Value> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let arguments = [&["-y", "mcp-remote@latest"], arguments].concat();
    let entry = json!({"command": "npx", "args": arguments, "env": variables});
    let whole = json!({key: {"srv": entry}});
    let text = match name.ends_with("toml") {
        true => toml::to_string(&whole).expect("TOML"),
        false => whole.to_string(),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("Unicode").to_owned();
    (folder, path)
}

#[test]
fn secrets_in_env_are_printed_for_no_client() {
    for client in CLIENTS {
        let (_folder, path) = file(client, &["https://h.example/mcp"], &VARIABLES);
        let (is_well, printed, told) = config(&["--from", &path, "--client", client.0]);
        assert!(is_well && printed.contains("is replaced by"), "{}: {printed}{told}", client.0);
        assert!(!printed.contains(MARK) && !told.contains(MARK), "{}: {printed}{told}", client.0);
        let (_, new) = printed.split_once("is replaced by").expect("two entries");
        for (name, _) in VARIABLES {
            assert!(new.contains(name), "{}: {name} is lost: {new}", client.0);
        }
    }
}

#[test]
fn entries_of_other_bridges_are_replaced_without_secrets() {
    for arguments in [
        &["-y", "supergateway", "--streamableHttp", URL, "--oauth2Bearer", "marked"][..],
        &["-y", "supergateway", "--sse", URL, "--header", "Authorization: Bearer marked", "--odd=marked"],
        &["mcp-proxy", "-H", "Authorization", "Bearer marked", "--client-secret", "marked", URL],
    ] {
        for client in CLIENTS {
            let entry = json!({"command": "npx", "args": arguments, "env": {"API_ACCESS_TOKEN": "marked"}});
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("mcp.json");
            std::fs::write(&path, json!({"mcpServers": {"srv": entry}}).to_string()).expect("a file");
            if client.0 == "codex" {
                continue;
            }
            let (is_well, printed, told) =
                config(&["--from", path.to_str().expect("Unicode"), "--client", client.0]);
            assert!(is_well && printed.contains("is replaced by"), "{}: {printed}{told}", client.0);
            assert!(!printed.contains(MARK) && !told.contains(MARK), "{}: {printed}{told}", client.0);
        }
    }
}

#[test]
fn opencode_entry_is_replaced_without_its_secrets() {
    let variables: serde_json::Map<String, Value> =
        VARIABLES.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let entry = json!({
        "type": "local",
        "command": ["npx", "-y", "mcp-remote", URL, "--header", "Authorization: Bearer marked", "--header", "X: {env:X}"],
        "environment": variables,
        "enabled": false,
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("opencode.json");
    std::fs::write(&path, json!({"mcp": {"srv": entry}}).to_string()).expect("a file");
    let (is_well, printed, told) = config(&["--from", path.to_str().expect("Unicode")]);
    assert!(is_well && !printed.contains(MARK) && !told.contains(MARK), "{printed}{told}");
    let (old, new) = printed.split_once("is replaced by").expect("two entries");
    assert!(old.contains("[\"npx\", \"-y\", \"mcp-remote\"") && old.contains("\"environment\""), "{old}");
    assert!(new.contains("\"command\": [\"") && new.contains("\"enabled\": false"), "{new}");
    assert!(new.contains("{env:SRV_PIN}") && new.contains("X: {env:X}"), "{new}");
    // Goose's file is YAML.
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, "extensions:\n  a:\n    cmd: marked\n").expect("a file");
    let (is_well, printed, told) = config(&["--from", path.to_str().expect("Unicode")]);
    assert!(!is_well && told.contains("is YAML") && !told.contains(MARK), "{printed}{told}");
}

#[test]
fn harmless_variables_stay_in_both_entries() {
    let variables =
        [("LANG", "C"), ("MODE", "a b"), ("PATH_TO", "/usr/bin"), ("SERVER", "https://h.example/v1")];
    for client in CLIENTS {
        let (_folder, path) = file(client, &["https://h.example/mcp", "3334"], &variables);
        let (_, printed, _) = config(&["--from", &path, "--client", client.0]);
        for (name, value) in variables {
            assert_eq!(
                printed.matches(&format!("\"{value}\"")).count(),
                2,
                "{}: {name}: {printed}",
                client.0
            );
        }
        assert_eq!(printed.matches("3334").count(), 2, "{}: {printed}", client.0);
    }
}

#[test]
fn secrets_in_arguments_are_printed_for_no_client() {
    for client in CLIENTS {
        for more in ARGUMENTS {
            let arguments = [&[URL], more].concat();
            let (_folder, path) = file(client, &arguments, &[]);
            let (is_well, printed, told) = config(&["--from", &path, "--client", client.0]);
            assert!(is_well && printed.contains("is replaced by"), "{} {more:?}: {printed}{told}", client.0);
            assert!(
                !printed.contains(MARK) && !told.contains(MARK),
                "{} {more:?}: {printed}{told}",
                client.0
            );

            let typed = [&["srv", URL, "--client", client.0], more].concat();
            let (is_well, printed, told) = config(&typed);
            assert!(is_well, "{} {more:?}: {told}", client.0);
            assert!(
                !printed.contains(MARK) && !told.contains(MARK),
                "{} {more:?}: {printed}{told}",
                client.0
            );
            let option = more.first().and_then(|option| option.split('=').next()).unwrap_or_default();
            let is_kept =
                printed.contains(option) || printed.contains("HTTPS_PROXY") || told.contains("HTTPS_PROXY");
            assert!(is_kept, "{} {more:?} is lost: {printed}", client.0);
            assert!(printed.contains("page=1"), "{}: {printed}", client.0);
        }
    }
}

#[test]
fn users_in_addresses_are_printed_for_no_client() {
    for client in CLIENTS {
        for address in [
            "https://marked@h.example/mcp",
            "https://a:marked@h.example/mcp",
            "https://a:mar/marked#x@h.example/mcp",
        ] {
            let (_folder, path) = file(client, &[address], &[]);
            let (_, printed, told) = config(&["--from", &path, "--client", client.0]);
            assert!(
                !printed.contains(MARK) && !told.contains(MARK),
                "{} {address}: {printed}{told}",
                client.0
            );
            let (is_well, printed, told) = config(&["srv", address, "--client", client.0]);
            assert!(
                !is_well && !printed.contains(MARK) && !told.contains(MARK),
                "{} {address}: {printed}{told}",
                client.0
            );
        }
    }
}

#[test]
fn secrets_in_odd_places_are_not_printed() {
    let arguments: [&[&str]; 7] = [
        &["https://h.example/mcp", "--pin", "123marked"],
        &["--pin", "marked", "https://h.example/mcp"],
        &["https://h.example/mcp", "-pmarked"],
        &["https://h.example/mcp", "--password=marked"],
        &["https://h.example/mcp#marked"],
        &["https://h.example:bad/mcp#marked"],
        &["https://h.example/mcp", "marked"],
    ];
    for client in CLIENTS {
        for arguments in arguments {
            let (_folder, path) = file(client, arguments, &[]);
            let (_, printed, told) = config(&["--from", &path, "--client", client.0]);
            assert!(
                !printed.contains(MARK) && !told.contains(MARK),
                "{} {arguments:?}: {printed}{told}",
                client.0
            );
        }
        let (_, key, _) = client;
        let entry = json!({
            "command": "env",
            "args": ["DB_PASS=marked", "P=https://u:marked@h", "node", "--token=marked", "--require", "x", "/x/node_modules/mcp-remote/dist/proxy.js", "https://h.example/mcp"],
            "url": "https://u:marked@h.example/mcp?a=marked",
            "headers": {"Authorization": "Bearer marked", "X": "https://h/?a=marked"},
            "list": ["https://u:marked@h", "password=marked"],
            "secrets": {"apiThing": "marked", "more": {"x": "marked", "list": ["marked", {"y": "marked"}]}},
            "auth": {"CLIENT": "marked", "PARTLY": "marked${X}"},
            "docker": {"env": {"TOKEN": "marked"}, "args": ["--password=marked"]},
        });
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("settings.json");
        std::fs::write(&path, json!({key: {"srv": entry}}).to_string()).expect("a file");
        if client.0 == "codex" {
            std::fs::write(&path, toml::to_string(&json!({key: {"srv": entry}})).expect("TOML"))
                .expect("a file");
        }
        let (is_well, printed, told) =
            config(&["--from", path.to_str().expect("Unicode"), "--client", client.0]);
        assert!(is_well && printed.contains("is replaced by"), "{}: {printed}{told}", client.0);
        assert!(!printed.contains(MARK) && !told.contains(MARK), "{}: {printed}{told}", client.0);
    }
}

#[test]
fn printed_arguments_filled_in_are_those_typed() {
    let known = |name: &str| match name.to_ascii_uppercase().replace('-', "_").as_str() {
        "MY_SERVER_PIN" => Some("marked-pin"),
        "MY_SERVER_LOGIN_TOKEN" => Some("marked-login"),
        "MY_SERVER_CLIENT_SECRET" => Some("marked-secret"),
        _ => None,
    };
    let typed = [
        "https://h.example/mcp?pin=marked-pin&page=1",
        "--authorize-param",
        "login_token=marked-login",
        "--authorize-param",
        "prompt=consent",
        "--static-oauth-client-metadata",
        r#"{"client_name":"c","client_secret":"marked-secret","scope":"a b"}"#,
        "--token-endpoint",
        "https://as.example/token?pin=marked-pin",
        "--client-credentials",
    ];
    for client in rules::CLIENTS.into_iter().filter(|client| client.file != "claude-code.sh") {
        let (is_well, printed, told) =
            config(&[&["my-server", "--json", "--client", client.name], &typed[..]].concat());
        assert!(
            is_well && !printed.contains(MARK) && !told.contains(MARK),
            "{}: {printed}{told}",
            client.name
        );
        let entries = (client.read)(&printed.replace(env!("CARGO_BIN_EXE_mcp-tether"), "mcp-tether"));
        let [entry] = entries.as_slice() else { panic!("{}: {printed}", client.name) };
        let filled = entry.arguments.iter().map(|argument| {
            let filled = (client.fill_arguments)(argument, &known);
            let by_hand = ["pin", "login-token", "client-secret"].into_iter();
            by_hand.fold(filled, |text, name| {
                let value = known(&format!("my-server-{name}")).expect("it is known");
                text.replace(&format!("your-my-server-{name}"), value)
            })
        });
        assert_eq!(filled.collect::<Vec<_>>(), typed, "{}", client.name);
        let variables = entry
            .environment
            .iter()
            .map(|(_, value)| value.as_str())
            .chain(entry.named.iter().map(String::as_str));
        assert!(variables.clone().count() <= 3, "{}: {:?}", client.name, variables.collect::<Vec<_>>());
    }
}
