//! The edge as a program: a loopback stand-in for Cloudflare, Access included, in front of an MCP server.
//!
//! No Cloudflare account is needed. It prints a URL and a service token for `mcp-tether`, then one line for each request,
//! with secrets masked. Commands on stdin change its behavior:
//!
//! ```sh
//! cargo run --example edge                                   # Access in legacy mode: everything works
//! cargo run --example edge -- --mode strict --policy service-auth-other
//! cargo run --example edge -- --managed-oauth                # users sign in at Access, which hides why it refuses
//! cargo run --example edge -- --own-oauth                    # users sign in at the server, behind a service token
//! cargo run --example edge -- --own-oauth --dpop             # and binds their tokens to a key
//! cargo run --example edge -- --trouble 1033 --form text     # the tunnel is down
//! cargo run --example edge -- --api                          # an open server, and the API that protects it
//! cargo run --example edge -- --answers plain                # a server with a key and a rate limit of its own
//! ```
//!
//! Its behavior is in `edge/`, which the demo and the tests include as a module; this file holds the command line and the
//! output. Deliberately not here: TLS, and identity providers: every sign-in succeeds. Nothing leaves the loopback interface.
#![expect(clippy::print_stdout, reason = "this program's output is for a user at a terminal")]

#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod cloudflare;
mod edge;

use std::sync::Arc;

use clap::Parser;
use cloudflare::Cloudflare;
use edge::{
    Access, Answers, Believes, Config, Edge, Form, Limit, Mode, Policy, ServiceToken, Settings, Trouble,
};
use tokio::sync::mpsc;

/// The commands on stdin.
const COMMANDS: &str = "  good            accept the token again, and end the trouble\n  \
    rotate          issue a new secret; the old one stays valid\n  \
    end-grace       reject the old secret\n  \
    dead            reject every service token\n  \
    expire          let the access tokens of users expire\n  \
    end-grants      require users to sign in again\n  \
    sign-in EMAIL   print the output of `cloudflared access token`\n  \
    CODE            answer with 1015, 1020, 1033, 522, … or challenge, https, sign-in-page, empty-portal";

/// A loopback stand-in for Cloudflare Access in front of an MCP server. Runs until Ctrl-C.
#[derive(Parser)]
#[command(name = "edge")]
struct Options {
    /// Port to listen on; 0 for a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Handling of service tokens: `legacy`, or `strict` as in accounts with strict service token authentication
    #[arg(long, default_value = "legacy")]
    mode: Mode,
    /// Policies of the application, any of `allow`, `service-auth`, `service-auth-other` (includes only other tokens)
    /// and `bypass`
    #[arg(long, value_delimiter = ',', default_value = "allow,service-auth")]
    policy: Vec<Policy>,
    /// Turn Managed OAuth on: a request without a credential gets a challenge
    #[arg(long)]
    managed_oauth: bool,
    /// Let the server behind Access sign users in by itself (as with Access for SaaS)
    #[arg(long)]
    own_oauth: bool,
    /// Let the server bind its tokens to a key of the client (DPoP); with --own-oauth
    #[arg(long, requires = "own_oauth")]
    dpop: bool,
    /// Lifetime of a user's token, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    token_seconds: u64,
    /// Answer 401 instead of 403 if every policy is Service Auth (`service_auth_401_redirect`)
    #[arg(long)]
    service_auth_401: bool,
    /// Header that may hold both halves of a token (`read_service_tokens_from_header`)
    #[arg(long, value_name = "NAME")]
    token_header: Option<String>,
    /// Form of refusals: `accept` (as the request accepts), `json`, `html`, `text`, `bare` or `silent`
    #[arg(long, default_value = "accept")]
    form: Form,
    /// Answer of Cloudflare in place of the server: a code such as 1015, 1020, 1033 or 522, or `challenge`, `https`,
    /// `sign-in-page`, `empty-portal`
    #[arg(long)]
    trouble: Option<Trouble>,
    /// Seconds in the `Retry-After` of that answer
    #[arg(long, value_name = "SECONDS")]
    retry_after: Option<u64>,
    /// Identities that the server accepts: `assertion`, `people`, `other-application` (has the wrong AUD tag), `anybody`
    #[arg(long, default_value = "assertion")]
    believes: Believes,
    /// Start a stand-in for Cloudflare's API as well: the server is open until `mcp-tether access setup` protects it
    #[arg(long, conflicts_with_all = ["plain", "mode", "policy"])]
    api: bool,
    /// Start the MCP server alone, without Cloudflare in front
    #[arg(long, conflicts_with_all = ["trouble", "managed_oauth", "mode", "policy"])]
    plain: bool,
    /// Form of answers: `stream` for event streams and sessions, `json` for plain JSON without sessions, `plain` for a
    /// server like a token manager, with an X-API-Key and a rate limit of its own
    #[arg(long, default_value = "stream")]
    answers: Answers,
    /// Requests that the `plain` server answers before it asks for a pause of ten seconds
    #[arg(long, value_name = "REQUESTS")]
    limit: Option<u32>,
}

impl Options {
    fn apply(&self, settings: &mut Settings) {
        settings.managed_oauth = self.managed_oauth;
        settings.signs_in = self.own_oauth;
        settings.binds_tokens = self.dpop;
        settings.token_seconds = self.token_seconds;
        settings.service_auth_401 = self.service_auth_401;
        settings.token_header = self.token_header.clone();
        settings.form = self.form;
        settings.trouble = self.trouble;
        settings.retry_after = self.retry_after;
        settings.believes = self.believes;
        settings.limit = self.limit.map(|requests| Limit::new(requests, 10));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let access = Access { mode: options.mode, policies: options.policy.clone() };
    let edge = Arc::new(Edge::start(Config {
        access: (!options.plain).then_some(access),
        answers: options.answers,
        port: options.port,
    })?);
    let well = edge.settings();
    edge.change(|settings| options.apply(settings));
    let api = options.api.then(|| Cloudflare::start(&edge)).transpose()?;
    match &api {
        Some(api) => introduce_api(&edge, api),
        None => introduce(&edge, options.answers),
    }
    tokio::select! {
        () = print_requests(&edge) => {}
        () = obey(&edge, &well) => {}
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    let refused = edge.requests().iter().filter(|seen| seen.status >= 300).count();
    println!("\n{} requests, {refused} of them refused", edge.requests().len());
    Ok(())
}

fn introduce(edge: &Edge, answers: Answers) {
    println!("MCP server  {}", edge.mcp_url());
    if let Some(team_url) = edge.team_url() {
        println!("Access team {team_url}, application {}\n", edge.audience());
        export(edge.token());
    }
    if matches!(answers, Answers::Plain) {
        println!("--header 'X-API-Key: {}'", edge.key());
    }
    println!("\nCommands on stdin:\n{COMMANDS}\n\nRequests, until Ctrl-C:");
}

fn introduce_api(edge: &Edge, api: &Cloudflare) {
    edge.change(|settings| settings.believes = Believes::Anybody);
    println!("MCP server  {}, which anyone can use\n", edge.mcp_url());
    println!("export MCP_TETHER_CLOUDFLARE_API={} CLOUDFLARE_API_TOKEN={}", api.url(), api.token());
    println!("mcp-tether access setup {}\n\nRequests, until Ctrl-C:", edge.mcp_url());
}

fn export(token: &ServiceToken) {
    println!("export CF_ACCESS_CLIENT_ID={} CF_ACCESS_CLIENT_SECRET={}", token.id, token.secret);
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

/// Does what is typed, for as long as there is somebody to type.
async fn obey(edge: &Edge, well: &Settings) {
    let (typed, mut lines) = mpsc::unbounded_channel();
    // A thread of its own, which the end of the program does not wait for.
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.take_while(|line| typed.send(line.clone()).is_ok()).for_each(drop);
    });
    while let Some(line) = lines.recv().await {
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("", _) => {}
            ("good", _) => edge.change(|settings| *settings = well.clone()),
            ("rotate", _) => export(&edge.rotate()),
            ("end-grace", _) => edge.end_grace(),
            ("expire", _) => edge.expire_people(),
            ("end-grants", _) => edge.end_grants(),
            ("dead", _) => edge.change(|settings| settings.tokens.clear()),
            ("sign-in", email) if email.contains('@') => {
                println!(
                    "{}",
                    edge.sign_in(email, 3600).unwrap_or_else(|| "without Access, nobody".to_owned())
                );
            }
            (word, _) => match word.parse() {
                Ok(trouble) => edge.change(|settings| settings.trouble = Some(trouble)),
                Err(_) => println!("unknown; what there is:\n{COMMANDS}"),
            },
        }
    }
    std::future::pending().await
}
