//! `mcp-tether access`: protects a server with Cloudflare Access through Cloudflare's API, and renews, rotates or revokes its
//! service token.
//!
//! Each command reads what exists, makes a plan, asks, and applies it. The parts: `api` talks to the API, `plan` is pure,
//! `apply` changes things and rolls back, `state` remembers without secrets, `sink` takes the secret, `edge` checks. Nothing
//! here is used by the proxy.

mod account;
mod advice;
mod api;
mod apply;
mod arguments;
mod command;
mod credential;
mod edge;
mod env_file;
mod failure;
mod link;
mod model;
mod output;
mod plan;
mod revoke;
mod rotate;
mod setup;
mod sink;
mod state;
mod status;
mod stop;
mod target;
mod time;

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, Command};
use command::Context;
use failure::AccessFailure;
pub use output::AccessConsole;
use output::AccessOutput;
use stop::Stop;

use crate::config::Environment;

/// Runs `access` with the arguments behind that word. `signal` resolves when the user stops the program. Returns the exit
/// code: 0 done or nothing to do, 1 refused or failed, 2 options, 130 stopped.
pub async fn run<S: Future<Output = ()>>(
    arguments: Vec<OsString>,
    environment: &Environment,
    console: &AccessConsole<'_>,
    signal: impl Fn() -> S,
) -> u8 {
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    let name = std::iter::once(OsString::from("mcp-tether access"));
    let mut parsed = match Arguments::try_parse_from(name.chain(arguments)) {
        Ok(parsed) => parsed,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp) => {
            (console.print)(&error.render().to_string());
            return 0;
        }
        Err(error) => {
            let output = AccessOutput::new(console, wants_json);
            return output.finish(Err(usage(&error)));
        }
    };
    let stop = Stop::default();
    let output = AccessOutput::new(console, parsed.command.common().json);
    let context = Context { environment, output: &output, stop: &stop };
    let work = dispatch(&mut parsed.command, &context);
    let result = stop.run(work, signal, console.tell).await.unwrap_or_else(|| Err(AccessFailure::stopped()));
    output.finish(result)
}

async fn dispatch(command: &mut Command, context: &Context<'_>) -> Result<bool, AccessFailure> {
    context.output.set("command", command.word());
    match command {
        Command::Setup(options) => setup::run(options, context).await,
        Command::Status(options) => status::run(options, context).await,
        Command::Rotate(options) => rotate::run(options, context).await,
        Command::Renew(options) => rotate::renew(options, context).await,
        Command::Revoke(options) => revoke::run(options, context).await,
        Command::Link(options) => link::run(options, context).await,
    }
}

impl Command {
    fn common(&self) -> &arguments::Common {
        match self {
            Command::Setup(options) => &options.common,
            Command::Status(options) => &options.common,
            Command::Rotate(options) => &options.common,
            Command::Renew(options) => &options.common,
            Command::Revoke(options) => &options.common,
            Command::Link(options) => &options.common,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Command::Setup(_) => "setup",
            Command::Status(_) => "status",
            Command::Rotate(_) => "rotate",
            Command::Renew(_) => "renew",
            Command::Revoke(_) => "revoke",
            Command::Link(_) => "link",
        }
    }
}

/// What clap says against the arguments, without what was typed: that may be a secret.
fn usage(error: &clap::Error) -> AccessFailure {
    let commands = "write setup, status, rotate, renew, revoke or link: see mcp-tether access --help";
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return AccessFailure::usage("the command is missing", commands);
        }
        ErrorKind::InvalidSubcommand => return AccessFailure::usage("there is no such command", commands),
        ErrorKind::MissingRequiredArgument => {
            return AccessFailure::usage(
                "an option that the command needs is missing",
                "pass --to with link, and --delete with --delete-application",
            );
        }
        _ => {}
    }
    let error = crate::cli::usage_error(error);
    let advice = match error.advice.strip_suffix("mcp-tether --help") {
        Some(before) => format!("{before}mcp-tether access --help"),
        None => error.advice,
    };
    AccessFailure::usage(error.sentence, advice)
}
