//! The arguments of `mcp-tether access`, as clap reads them.
//!
//! Deliberately not here: what they mean (`options`, and the file of each command).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "Examples:
  mcp-tether access setup https://mcp.example.com/mcp
  mcp-tether access setup https://mcp.example.com/mcp --secret-to \"gh secret set -f -\"
  mcp-tether access status https://mcp.example.com/mcp
  mcp-tether access rotate https://mcp.example.com/mcp --grace 24h

API token: --api-token-command, CLOUDFLARE_API_TOKEN or CF_API_TOKEN.
Account: --account, CLOUDFLARE_ACCOUNT_ID or the zone of the host.

Exit codes: 0 done or nothing to do; 1 refused or failed; 2 options; 130 stopped.";

/// `mcp-tether access …`.
#[derive(Parser)]
#[command(
    name = "mcp-tether access",
    about = "Protects a server with Cloudflare Access, and renews, rotates or revokes its service token",
    after_help = EXAMPLES,
    max_term_width = 120,
    disable_help_subcommand = true,
    args_override_self = true
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The subcommands.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Create the service token, the policy and the application, save the secret and check the connection
    Setup(Setup),
    /// Show expiry, last use and drift, and check the edge; exit code 1 if something needs attention
    Status(Status),
    /// Issue a new secret for the service token; the old one stays valid for the grace period
    Rotate(Rotate),
    /// Extend the service token by one year; the secret stays the same
    Renew(Renew),
    /// Disable the service token, or delete it
    Revoke(Revoke),
    /// Let the MCP server at URL call the server at URL2 with the Access token of its user (Linked App Token)
    Link(Link),
}

/// What every command takes.
#[derive(Args)]
pub(super) struct Common {
    /// URL of the MCP server
    #[arg(value_name = "URL")]
    pub(super) url: Option<String>,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub(super) json: bool,
    /// Cloudflare account id [default: CLOUDFLARE_ACCOUNT_ID, or the account of the zone]
    #[arg(long, value_name = "ID")]
    pub(super) account: Option<String>,
    /// Command that prints a Cloudflare API token; run without a shell
    #[arg(long, value_name = "COMMAND")]
    pub(super) api_token_command: Option<String>,
}

/// What every command that changes something takes.
#[derive(Args)]
pub(super) struct Change {
    /// Print the plan and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Apply the plan without asking
    #[arg(long)]
    pub(super) yes: bool,
}

/// Where the secret goes.
#[derive(Args)]
pub(super) struct SinkOptions {
    /// File that holds the service token, readable by its owner alone [default: in the config directory]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["secret_to", "show_secret"])]
    pub(super) env_file: Option<PathBuf>,
    /// Command that gets the service token on stdin, as NAME=value lines; run without a shell
    #[arg(long, value_name = "COMMAND", conflicts_with = "show_secret")]
    pub(super) secret_to: Option<String>,
    /// Print the service token on stdout instead of saving it
    #[arg(long)]
    pub(super) show_secret: bool,
}

/// `access setup`.
#[derive(Args)]
pub(super) struct Setup {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) change: Change,
    #[command(flatten)]
    pub(super) sink: SinkOptions,
    /// Name of the token, the policy and the application [default: mcp-tether HOST]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Lifetime of the service token: hours as in 8760h, days as in 90d, or forever
    #[arg(long, value_name = "DURATION", default_value = "8760h")]
    pub(super) duration: String,
    /// Protect the path of the URL, not the whole host
    #[arg(long)]
    pub(super) only_path: bool,
    /// Protect the Worker with all its hostnames and previews [default: first label of the host]
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", conflicts_with = "only_path")]
    pub(super) worker: Option<String>,
    /// Add the policy to an application that exists already
    #[arg(long)]
    pub(super) adopt: bool,
    /// Let users sign in with OAuth as well (Managed OAuth)
    #[arg(long, conflicts_with = "only_path")]
    pub(super) managed_oauth: bool,
    /// Email address of a user who may sign in. Repeatable
    #[arg(long = "allow-email", value_name = "EMAIL")]
    pub(super) allow_emails: Vec<String>,
}

/// `access status`.
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) common: Common,
    /// File that holds the service token [default: the file that setup wrote]
    #[arg(long, value_name = "PATH")]
    pub(super) env_file: Option<PathBuf>,
}

/// `access rotate`.
#[derive(Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) change: Change,
    #[command(flatten)]
    pub(super) sink: SinkOptions,
    /// How long the old secret stays valid: up to 30 days, as in 24h, 90m or 7d; 0 ends it at once
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub(super) grace: String,
    /// Save the new secret as the _NEXT pair, beside the old one
    #[arg(long, conflicts_with = "finish")]
    pub(super) next: bool,
    /// Promote the _NEXT pair, if there is one, and end the grace period
    #[arg(long, conflicts_with_all = ["secret_to", "show_secret"])]
    pub(super) finish: bool,
}

/// `access renew`.
#[derive(Args)]
pub(super) struct Renew {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) change: Change,
    /// File that holds the service token [default: the file that setup wrote]
    #[arg(long, value_name = "PATH")]
    pub(super) env_file: Option<PathBuf>,
}

/// `access revoke`.
#[derive(Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) change: Change,
    /// File that holds the service token [default: the file that setup wrote]
    #[arg(long, value_name = "PATH")]
    pub(super) env_file: Option<PathBuf>,
    /// Delete the policy and the service token, and restore an application that was adopted
    #[arg(long)]
    pub(super) delete: bool,
    /// Delete the application as well, which makes the server public; asks for the host on a terminal
    #[arg(long, requires = "delete")]
    pub(super) delete_application: bool,
}

/// `access link`.
#[derive(Args)]
pub(super) struct Link {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) change: Change,
    /// URL of the server that the MCP server calls
    #[arg(long, value_name = "URL2")]
    pub(super) to: String,
    /// Name of the policy [default: mcp-tether HOST to HOST2]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Add the policy to the application of URL2
    #[arg(long)]
    pub(super) adopt: bool,
}
