//! What mcp-remote's manual shows, as it stands there behind its name; its server is the test's.

use super::options::{open, server};
use super::support::INITIALIZE;
use super::support::proxy::{Proxy, Stdin};

const URL: &str = "https://remote.mcp.server/sse";

const SHOWN: &[&[&str]] = &[
    &[URL],
    &[URL, "--header", "Authorization: Bearer ${AUTH_TOKEN}"],
    &[URL, "--header", "Authorization:${AUTH_HEADER}"],
    &[URL, "--header-file", "~/headers.txt"],
    &[URL, "--resource", "https://tenant1.atlassian.net/"],
    &[URL, "--authorize-param", "access_type=offline", "--authorize-param", "prompt=consent"],
    &[URL, "--disable-resource-parameter"],
    &[URL, "9696"],
    &[URL, "--host", "127.0.0.1"],
    &[URL, "--callback-path", "/custom/callback"],
    &[URL, "--auth-success-url", "https://app.example.com/cli-connected"],
    &[URL, "--allow-http"],
    &[URL, "--debug"],
    &[URL, "--silent"],
    &[URL, "--enable-proxy"],
    &[URL, "--ignore-tool", "delete*", "--ignore-tool", "remove*"],
    &[URL, "--auth-timeout", "60"],
    &[URL, "--connect-timeout", "30", "--body-timeout", "0"],
    &[URL, "--keep-alive", "--ping-interval", "60"],
    &[URL, "--ipv4"],
    &[URL, "--transport", "http-first"],
    &[URL, "--transport", "http-only"],
    &[URL, "--protocol", "auto"],
    &[URL, "--static-oauth-client-metadata", r#"{ "scope": "space separated scopes" }"#],
    &[URL, "--static-oauth-client-metadata", "@~/with space/metadata.json"],
    &[URL, "--static-oauth-client-metadata", r#"{ "token_endpoint_auth_method": "client_secret_post" }"#],
    &[URL, "--static-oauth-client-info", r#"{ "client_id": "xxx", "client_secret": "yyy" }"#],
    &[URL, "--static-oauth-client-info", "@~/with space/info.json"],
    &[URL, "--client-metadata-url", "https://client.example.com/.well-known/oauth-client-metadata"],
    &[URL, "3334", "--client-metadata-url", "https://client.example.com/.well-known/oauth-client-metadata"],
    &[URL, "--disable-cookies"],
    // Forms of the same that are in use and that its manual does not show.
    &["--header", "Authorization: Bearer ${AUTH_TOKEN}", URL],
    &[URL, "3334", "--debug", "--transport", "http-only", "--header", "X-A:1", "--header", "X-B:2"],
    &["--silent", "--allow-http", "--host", "localhost", URL, "3334", "--auth-timeout", "900"],
    &[URL, "--header", "Authorization:", "Bearer token"],
    &["--debug", "--header=X-A: 1", "--ignore-tool=delete*", "--ping-interval=0.5", URL],
];

#[test]
fn command_lines_of_manual_work() {
    for shown in SHOWN {
        let home = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write("headers.txt", "Authorization: Bearer my-token\nX-Custom-Header: custom-value\n");
        write("with space/metadata.json", r#"{"scope":"a"}"#);
        write("with space/info.json", r#"{"client_id":"a"}"#);
        let server = server();
        let arguments: Vec<&str> =
            shown.iter().map(|argument| if *argument == URL { &*server.url } else { argument }).collect();
        let home = home.path().to_str().expect("UTF-8");
        let environment = [
            ("HOME", home),
            ("XDG_CONFIG_HOME", home),
            ("AUTH_TOKEN", "from-environment"),
            ("AUTH_HEADER", "Bearer from-environment"),
        ];
        let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &environment);
        open(&mut proxy);
        let ended = proxy.finish();
        assert_eq!(ended.code, Some(0), "{shown:?}: {}", ended.stderr);
        let first = &server.requests()[0];
        if shown.iter().any(|argument| argument.contains("${AUTH")) {
            assert_eq!(first.header("authorization"), Some("Bearer from-environment"), "{shown:?}");
        }
        if shown.contains(&"--header-file") {
            assert_eq!(first.header("x-custom-header"), Some("custom-value"));
        }
    }
}

/// The stream of the older transport is what `sse-first` and `sse-only` begin with; a server that has none is told of.
#[test]
fn sse_transports_start_against_other_servers() {
    for order in ["sse-only", "sse-first"] {
        let server = server();
        let mut proxy = Proxy::start(&[&server.url, "--transport", order]);
        let line = proxy.ask(INITIALIZE);
        assert_eq!(line.contains("\"result\""), order == "sse-first", "{line}");
        assert_eq!(server.titles()[0], "GET");
        assert_eq!(proxy.finish().code, Some(0));
    }
}
