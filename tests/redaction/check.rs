//! `check`, which shows what a server calls itself.

use std::process::{Command, Stdio};

use super::decoder::{ENCODINGS, assert_hides, encode};
use super::support::server::Server;
use super::{OBEYED, assert_does_nothing};

const KEY: &str = "mk+Header/Key=9876543210";
const PAIR_SECRET: &str = "cfast_PairSecret0123456789abcdefghijklmnopqrstuvwxyzABCDEF";
const QUERY: &str = "query-Key/0815+4711";
const SECRETS: [&str; 3] = [KEY, PAIR_SECRET, QUERY];

#[test]
fn check_shows_no_secret_of_a_servers_name() {
    for (number, encoding) in ENCODINGS.iter().enumerate() {
        let said = move || {
            let said: Vec<String> = SECRETS.iter().map(|secret| encode(secret, encoding)).collect();
            format!("{OBEYED}\r\nforged {}", said.join(" , "))
        };
        let server = Server::start(move |request, reply| match request.title() {
            "initialize" => {
                let name = serde_json::to_string(&said()).expect("JSON");
                let result = format!(
                    r#"{{"protocolVersion":{name},"capabilities":{{"tools":{{}}}},"serverInfo":{{"name":{name},"version":{name}}}}}"#
                );
                reply.result(request, &result);
            }
            "tools/list" => {
                let name = serde_json::to_string(&said()).expect("JSON");
                let id = request.id();
                let error = format!(r#"{{"code":-32000,"message":{name}}}"#);
                reply.json(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
            }
            "notifications/initialized" => reply.status(202),
            _ => reply.status(405),
        });
        let home = tempfile::tempdir().expect("a folder");
        let url = format!("{}?key={QUERY}", server.url);
        let form: &[&str] = if number % 2 == 0 { &["--json"] } else { &[] };
        let output = Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
            .args(["check", &url, "--header", &format!("X-API-Key: {KEY}")])
            .args(form)
            .env_clear()
            .envs([("CF_ACCESS_CLIENT_ID", "0123.access"), ("CF_ACCESS_CLIENT_SECRET", PAIR_SECRET)])
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let told = [output.stdout, output.stderr].map(|told| String::from_utf8(told).expect("UTF-8"));
        assert!(told[0].contains("forged"), "{told:?}");
        for told in told {
            assert_hides(&told, &SECRETS, encoding);
            assert_does_nothing(&told, encoding);
            assert!(!told.lines().any(|line| line.starts_with("forged")), "{told}");
        }
    }
}
