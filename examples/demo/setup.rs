//! `demo setup`: from an open server to a protected one that a client uses.
//!
//! The server stands behind the example edge without an application, and the API is its stand-in: what the command creates
//! closes the server and opens it for the token. Not here: the other demo (`main`).

use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::client::Client;
use crate::cloudflare::Cloudflare;
use crate::edge::{Access, Believes, Config, Edge, Mode};
use crate::page::Page;
use crate::{INITIALIZE, start_edge};

/// Runs it.
pub(crate) async fn run(page: Page, program: &[OsString]) -> Result<(), String> {
    let access = Access { mode: Mode::Legacy, policies: Vec::new() };
    let edge = Arc::new(start_edge(Config { access: Some(access), ..Config::default() })?);
    edge.change(|settings| settings.believes = Believes::Anybody);
    let api = Cloudflare::start(&edge).map_err(|error| format!("the stand-in for the API: {error}"))?;
    let folder = std::env::temp_dir().join(format!("mcp-tether-demo-{}", std::process::id()));
    let done = show(page, program, &edge, &api, &folder).await;
    // Nothing of it is of use afterwards.
    let _ = std::fs::remove_dir_all(&folder);
    done
}

async fn show(
    page: Page,
    program: &[OsString],
    edge: &Edge,
    api: &Cloudflare,
    folder: &std::path::Path,
) -> Result<(), String> {
    let url = edge.mcp_url();
    page.heading("1. A server that anyone can use");
    page.labelled("answer", &asked(program, &url, "serverInfo").await?);

    page.heading("2. One command protects it; the API is a stand-in on this machine");
    println!("  mcp-tether access setup {url}\n");
    let output = Command::new(&program[0])
        .args(&program[1..])
        .args(["access", "setup", &url, "--yes"])
        .env("MCP_TETHER_CLOUDFLARE_API", api.url())
        .env("CLOUDFLARE_API_TOKEN", api.token())
        .env("MCP_TETHER_CONFIG_DIR", folder)
        .output()
        .map_err(|error| format!("{:?} does not start: {error}", program[0]))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*folder.to_string_lossy(), "~/.config");
    let (told, noted) = (text(&output.stdout), text(&output.stderr));
    for line in told.lines() {
        println!("  {line}");
    }
    if !output.status.success() {
        return Err(format!("setup ended with {}: {noted}", output.status));
    }
    let secret = api.state().tokens[0].current.secret.clone();
    if told.contains(&secret) || noted.contains(&secret) {
        return Err("setup printed a secret".to_owned());
    }

    page.heading("3. What it sent to the API");
    for call in api.writes() {
        println!("  {call}");
    }

    page.heading("4. Without the token, the server is closed");
    page.labelled("error", &asked(program, &url, "carried no service token").await?);

    page.heading("5. With the file that setup wrote, a client uses it");
    let file = std::fs::read_dir(folder.join("mcp-tether/access")).map_err(|error| error.to_string())?;
    let is_env = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "env");
    let file = file.flatten().map(|entry| entry.path()).find(is_env).ok_or("setup wrote no file")?;
    let with_file = [program, &["--env-file".into(), file.into_os_string()]].concat();
    page.labelled("answer", &asked(&with_file, &url, "serverInfo").await?);
    Ok(())
}

/// Opens a session as a client. Returns what came of it, which has this part.
async fn asked(program: &[OsString], url: &str, expected: &str) -> Result<String, String> {
    let mut client = Client::start(program, url, None)?;
    let (answer, _) = client.ask("initialize", INITIALIZE, |_, _, _| {}).await?;
    client.leave("no secret was given").await?;
    let said = match answer.pointer("/error/message").and_then(Value::as_str) {
        Some(sentence) => sentence.to_owned(),
        None => answer["result"].to_string(),
    };
    match said.contains(expected) {
        true => Ok(said),
        false => Err(format!("expected {expected} in {answer}")),
    }
}
