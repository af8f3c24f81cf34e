//! The demo: a client, mcp-tether and a stand-in for Cloudflare Access, all on this machine, in a second or two.
//!
//! For people without a Cloudflare account. It shows the conversation, the headers that went out and the milliseconds,
//! then three failures as a client meets them; and it is a check: whatever is not as it should be ends it with exit
//! code 1. `cargo run --example` does not build the binary, so it starts itself again as the proxy; `--binary PATH`
//! takes a real one. With `setup` it shows how a server gets its protection (`setup`). Not here: the stand-in (`../edge`), the client's pipes (`client`), how it looks (`page`).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is for a person")]

mod client;
#[path = "../edge/cloudflare/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod cloudflare;
#[path = "../edge/edge/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod edge;
mod page;
mod setup;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use clap::Parser;
use client::{Client, PATIENCE};
use edge::{Access, Config, Edge, Mode, Policy};
use page::{Page, masked, milliseconds};
use serde_json::Value;

/// The first argument of the demo when it is started as the proxy.
const AS_PROXY: &str = "--as-mcp-tether";
const INITIALIZE: &str =
    r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"demo","version":"1"}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Shows mcp-tether with a stand-in for Cloudflare Access on this machine. Ends by itself.
#[derive(Parser)]
#[command(name = "demo")]
struct Options {
    /// What to show instead: `setup`, from an open server to a protected one
    #[arg(value_parser = ["setup"])]
    what: Option<String>,
    /// The mcp-tether to show, instead of the one inside this program
    #[arg(long, value_name = "PATH")]
    binary: Option<OsString>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == AS_PROXY).is_some() {
        return mcp_tether::start::start(std::iter::once("mcp-tether".into()).chain(arguments));
    }
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(deviation) => {
            eprintln!("\nthe demo did not go as it should: {deviation}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), String> {
    let itself = || std::env::current_exe().map_err(|error| format!("where is this program? {error}"));
    let program = match options.binary {
        Some(path) => vec![path],
        None => vec![itself()?.into(), AS_PROXY.into()],
    };
    let page = Page::of_stdout();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("no event loop: {error}"))?.block_on(async {
        if options.what.is_some() {
            return setup::run(page, &program).await;
        }
        let edge = start_edge(Config::default())?;
        conversation(page, &program, &edge).await?;
        wire(page, &edge)?;
        failures(page, &program, &edge).await
    })
}

fn start_edge(config: Config) -> Result<Edge, String> {
    let start = || -> std::io::Result<Edge> {
        let edge = Edge::start(config)?;
        // The team makes its key when first asked, which takes longer than anything that is measured here.
        let team = edge.team_url().unwrap_or_default().trim_start_matches("http://");
        let mut team = std::net::TcpStream::connect(team)?;
        team.set_read_timeout(Some(PATIENCE))?;
        team.write_all(b"GET /cdn-cgi/access/certs HTTP/1.0\r\nhost: demo\r\n\r\n")?;
        team.read_to_end(&mut Vec::new())?;
        Ok(edge)
    };
    start().map_err(|error| format!("the stand-in for Access: {error}"))
}

/// One conversation in which everything works.
async fn conversation(page: Page, program: &[OsString], edge: &Edge) -> Result<(), String> {
    let (url, token) = (edge.mcp_url(), edge.token());
    page.heading("The command; the server is a stand-in for Cloudflare Access on this machine");
    println!("  CF_ACCESS_CLIENT_ID={} \\", token.id);
    println!("  CF_ACCESS_CLIENT_SECRET={} \\", masked(&token.secret));
    println!("  mcp-tether {url}");

    page.heading("The conversation, as a client has it on stdin and stdout");
    let mut client = Client::start(program, &url, Some((&token.id, &token.secret)))?;
    let (mut times, mut progress) = (Vec::new(), 0);
    let slow = r#"{"name":"slow","arguments":{"ms":300,"steps":3},"_meta":{"progressToken":7}}"#;
    for (method, params, expected) in [
        ("initialize", INITIALIZE, r#""name":"edge""#),
        ("tools/list", "{}", r#""name":"whoami""#),
        ("tools/call", r#"{"name":"echo","arguments":{"text":"hello"}}"#, "hello"),
        ("tools/call", r#"{"name":"whoami","arguments":{}}"#, &token.id),
        ("tools/call", slow, "done after 3 steps"),
    ] {
        let told = |arrow: &str, after, line: &str| {
            page.message(arrow, after, line);
            progress += usize::from(line.contains("notifications/progress"));
        };
        let (answer, after) = client.ask(method, params, told).await?;
        if answer.get("result").is_none() || !answer.to_string().contains(expected) {
            return Err(format!("expected {expected} in {answer}"));
        }
        times.push(milliseconds(after));
        if method == "initialize" {
            page.message("→", None, INITIALIZED);
            client.send(INITIALIZED).await?;
        }
    }
    client.leave(&token.secret).await?;
    if progress != 3 {
        return Err(format!("{progress} notifications of progress instead of 3"));
    }
    let build = if cfg!(debug_assertions) { " (a debug build)" } else { "" };
    println!("\n  First answer {} after the start of the process, whoami in {}{build}", times[0], times[3]);
    Ok(())
}

/// What Access saw of it.
fn wire(page: Page, edge: &Edge) -> Result<(), String> {
    let (seen, token) = (edge.requests(), edge.token());
    page.heading("On the wire: the last call, as Access saw it");
    let call = seen.iter().rfind(|seen| seen.method == "POST").ok_or("no call was seen")?;
    println!("  {} {} → {}", call.method, call.path, call.status);
    for (name, value) in &call.headers {
        let is_secret = ["cf-access-client-secret", "mcp-session-id"].contains(&name.as_str());
        println!("    {name:<24} {}", if is_secret { masked(value) } else { value.clone() });
    }
    for request in &seen {
        let has_once = |name: &str, value: &String| {
            request.headers.iter().filter(|header| header.0 == name).map(|header| &header.1).eq([value])
        };
        let token_went_along =
            has_once("cf-access-client-id", &token.id) && has_once("cf-access-client-secret", &token.secret);
        if !token_went_along || (request.method == "POST" && !(200..300).contains(&request.status)) {
            return Err(format!("an unexpected request: {request}"));
        }
    }
    let all: Vec<_> = seen.iter().map(|request| format!("{} {}", request.method, request.status)).collect();
    println!("\n  All {} requests carried the token, each half once:\n  {}", seen.len(), all.join(", "));
    Ok(())
}

/// Three ways to get it wrong, each met by a client of its own.
async fn failures(page: Page, program: &[OsString], edge: &Edge) -> Result<(), String> {
    page.heading("When it does not work, the client reads why");
    let access = Access { mode: Mode::Legacy, policies: vec![Policy::ServiceAuthOther] };
    let excluding = start_edge(Config { access: Some(access), ..Config::default() })?;
    let (token, excluded) = (edge.token(), excluding.token());
    let wrong = format!("cfast_{}", "x".repeat(token.secret.len() - "cfast_".len()));
    let (wrong, excluded) = ((&*token.id, &*wrong), (&*excluded.id, &*excluded.secret));
    for (title, edge, pair, expected) in [
        ("1. no credentials", edge, None, "carried no service token"),
        ("2. a wrong secret", edge, Some(wrong), "rejected the service token"),
        (
            "3. a token that no policy of the application includes",
            &excluding,
            Some(excluded),
            "gives no reason",
        ),
    ] {
        let mut client = Client::start(program, &edge.mcp_url(), pair)?;
        let (answer, _) = client.ask("initialize", INITIALIZE, |_, _, _| {}).await?;
        let part = |pointer| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (sentence, advice) = (part("/error/message"), part("/error/data/advice"));
        if !sentence.contains(expected) || advice.is_empty() || part("/error/data/source") != "mcp-tether" {
            return Err(format!("{title}: an unexpected answer: {answer}"));
        }
        println!("  {title}");
        page.labelled("error", sentence);
        page.labelled("advice", &format!("{advice}\n"));
        client.leave(pair.map_or(&token.secret, |(_, secret)| secret)).await?;
        if let Some(seen) = edge.team_requests().iter().find(|seen| seen.path.contains("/login")) {
            return Err(format!("{title}: the sign-in page was called: {seen}"));
        }
    }
    Ok(())
}
