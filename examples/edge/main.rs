//! The edge as a program: a loopback stand-in for Cloudflare Access in front of an MCP server.
//!
//! For people without a Cloudflare account: it prints a URL and a service token to try `mcp-tether` with, and then
//! one line for each request, secrets masked. Everything it does is in `edge/`, which the demo and the tests include
//! as a module; here is only what a person types and sees.
//!
//! Deliberately not here: TLS, tunnels, sign-in of a person. Nothing leaves the loopback interface.
#![expect(clippy::print_stdout, reason = "this program's output is for a person at a terminal")]

mod edge;

use clap::Parser;
use edge::{Access, Answers, Config, Edge, Mode, Policy};

/// A loopback stand-in for Cloudflare Access in front of an MCP server. Runs until Ctrl-C.
#[derive(Parser)]
#[command(name = "edge")]
struct Options {
    /// The port to listen on; a free one when left out
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How service tokens are treated: `legacy`, or `strict` as in accounts with strict service token authentication
    #[arg(long, default_value = "legacy")]
    mode: Mode,
    /// The application's policies, any of `allow`, `service-auth`, `service-auth-other` (includes only other tokens)
    /// and `bypass`
    #[arg(long, value_delimiter = ',', default_value = "allow,service-auth")]
    policy: Vec<Policy>,
    /// The MCP server alone, without Access in front
    #[arg(long)]
    plain: bool,
    /// How the server answers: `stream` for event streams and sessions, `json` for plain JSON without sessions
    #[arg(long, default_value = "stream")]
    answers: Answers,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let access = Access { mode: options.mode, policies: options.policy };
    let edge = Edge::start(Config {
        access: (!options.plain).then_some(access),
        answers: options.answers,
        port: options.port,
    })?;
    introduce(&edge);
    tokio::select! {
        () = print_requests(&edge) => {}
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    let refused = edge.requests().iter().filter(|seen| seen.status >= 300).count();
    println!("\n{} requests, {refused} of them refused", edge.requests().len());
    Ok(())
}

fn introduce(edge: &Edge) {
    println!("MCP server  {}", edge.mcp_url());
    if let Some(team_url) = edge.team_url() {
        println!("Access team {team_url}\n");
        let token = edge.token();
        println!("export CF_ACCESS_CLIENT_ID={} CF_ACCESS_CLIENT_SECRET={}", token.id, token.secret);
    }
    println!("\nRequests, until Ctrl-C:");
}

async fn print_requests(edge: &Edge) {
    let mut seen = edge.watch();
    let mut printed = 0;
    while seen.changed().await.is_ok() {
        let seen = seen.borrow_and_update();
        for request in &seen[printed..] {
            println!("{request}");
        }
        printed = seen.len();
    }
}
