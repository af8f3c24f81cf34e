//! The edge as a program: a loopback stand-in for Cloudflare, Access included, in front of an MCP server.
//!
//! For people without a Cloudflare account. It prints a URL and a service token to try `mcp-tether` with, then one line
//! for each request, secrets masked; what is typed meanwhile changes it:
//!
//! ```sh
//! cargo run --example edge                                   # Access in legacy mode: everything works
//! cargo run --example edge -- --mode strict --policy service-auth-other
//! cargo run --example edge -- --managed-oauth                # people sign in at Access, which hides why it refuses
//! cargo run --example edge -- --own-oauth                    # they sign in at the server, a service token goes along
//! cargo run --example edge -- --own-oauth --dpop             # and their tokens are bound to a key
//! cargo run --example edge -- --trouble 1033 --form text     # the tunnel is down
//! cargo run --example edge -- --api                          # an open server, and the API to protect it by
//! cargo run --example edge -- --answers plain                # a server with a key and a rate limit of its own
//! ```
//!
//! Everything it does is in `edge/`, which the demo and the tests include as a module; here is only what a person types
//! and sees. Deliberately not here: TLS, and identity providers: whoever comes to sign in is let in. Nothing leaves the loopback interface.
#![expect(clippy::print_stdout, reason = "this program's output is for a person at a terminal")]

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

/// What can be typed while it runs.
const COMMANDS: &str = "  good            all is well again\n  \
    rotate          another secret for the token, both accepted\n  \
    end-grace       the old secret no longer is\n  \
    dead            no token is accepted\n  \
    expire          the tokens of people run out\n  \
    end-grants      people have to sign in again\n  \
    sign-in EMAIL   prints what `cloudflared access token` would\n  \
    CODE            1015, 1020, 1033, 522, …: trouble; also challenge, https, sign-in-page, empty-portal";

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
    /// Managed OAuth: what comes without a credential is told how to sign a person in
    #[arg(long)]
    managed_oauth: bool,
    /// The server signs people in by itself, behind Access (as with Access for SaaS)
    #[arg(long)]
    own_oauth: bool,
    /// The server binds its tokens to a key of the client (DPoP); with --own-oauth
    #[arg(long, requires = "own_oauth")]
    dpop: bool,
    /// How long people's tokens hold, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    token_seconds: u64,
    /// 401 instead of 403 where there is no policy but Service Auth (`service_auth_401_redirect`)
    #[arg(long)]
    service_auth_401: bool,
    /// The header that may hold both halves of a token (`read_service_tokens_from_header`)
    #[arg(long, value_name = "NAME")]
    token_header: Option<String>,
    /// The form of refusals: `accept` (as the request accepts), `json`, `html`, `text`, `bare` or `silent`
    #[arg(long, default_value = "accept")]
    form: Form,
    /// What Cloudflare answers itself: a code such as 1015, 1020, 1033 or 522, or `challenge`, `https`,
    /// `sign-in-page`, `empty-portal`
    #[arg(long)]
    trouble: Option<Trouble>,
    /// Seconds for the `Retry-After` of the trouble
    #[arg(long, value_name = "SECONDS")]
    retry_after: Option<u64>,
    /// Whom the server believes: `assertion`, `people`, `other-application` (has the wrong AUD tag), `anybody`
    #[arg(long, default_value = "assertion")]
    believes: Believes,
    /// Start a stand-in for Cloudflare's API as well: the server is open until `mcp-tether access setup` protects it
    #[arg(long, conflicts_with_all = ["plain", "mode", "policy"])]
    api: bool,
    /// The MCP server alone, without Cloudflare in front
    #[arg(long, conflicts_with_all = ["trouble", "managed_oauth", "mode", "policy"])]
    plain: bool,
    /// How the server answers: `stream` for event streams and sessions, `json` for plain JSON without sessions, `plain`
    /// for a server in the manner of a token manager, with an X-API-Key and a rate limit of its own
    #[arg(long, default_value = "stream")]
    answers: Answers,
    /// How many requests the `plain` server answers before it wants a pause of ten seconds
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
    println!("\nTyped here, it changes:\n{COMMANDS}\n\nRequests, until Ctrl-C:");
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
