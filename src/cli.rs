//! What was typed: the options by clap, after the few forms clap does not know. No meaning.

mod help;
mod usage;
mod values;
mod words;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum};

pub use usage::{UsageError, usage_error};
pub use words::repaired;

const SEE_ALL: &str = "More options, all in detail, and examples: mcp-tether --help";

const EXAMPLES: &str = r#"Examples:
  Add a server behind Cloudflare Access to Claude Code:
    claude mcp add my-server -e CF_ACCESS_HOSTS=mcp.example.com -- mcp-tether https://mcp.example.com/mcp

  The same with an API key, in the "mcpServers" of claude_desktop_config.json:
    "my-server": {
      "command": "mcp-tether",
      "args": ["https://mcp.example.com/mcp", "--header", "X-API-Key: ${KEY}"],
      "env": { "KEY": "the key" }
    }

  In place of npx -y mcp-remote: the same arguments, with mcp-tether before them:
    mcp-tether https://mcp.example.com/sse 9696 --header "X-Key: ${KEY}" --ignore-tool "delete*"

  A server of which only what reads may be used:
    mcp-tether https://mcp.example.com/mcp --read-only

Options stand before the URL or behind it, as --name value or --name=value. Of one that is given
twice and is not repeatable, the last one counts.

Sign-ins are kept in mcp-tether/oauth of the configuration folder, or of MCP_TETHER_CONFIG_DIR or
MCP_REMOTE_CONFIG_DIR, and the hosts of a service token in mcp-tether/access-hosts.json there; sign-ins that
mcp-remote has kept are used as long as there is none.

Exit codes: 0 the conversation ended; 2 options or configuration cannot work.
With check: 0 all is well; 1 something on the way is wrong; 2 as above; 130 stopped.
With login, logout and tokens: 0 done; 1 it came to nothing, or nothing is held; 2 as above."#;

/// The values of `--transport`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Streamable HTTP, then HTTP+SSE.
    #[default]
    HttpFirst,
    /// HTTP+SSE, then streamable HTTP.
    SseFirst,
    /// Streamable HTTP alone.
    HttpOnly,
    /// HTTP+SSE alone.
    SseOnly,
}

/// The options as they were typed.
#[derive(Clone, Default, Parser)]
#[command(
    name = "mcp-tether",
    version,
    about = "A stdio MCP server that is a remote one: every message goes over streamable HTTP, with credentials",
    override_usage = "mcp-tether [OPTIONS] <URL>          what a client starts\n       mcp-tether check [OPTIONS] <URL>    looks at the whole way, and says what is wrong\n       mcp-tether login|logout|tokens [OPTIONS] <URL>    signs in, signs out, shows what is held\n       mcp-tether config NAME URL --client CLIENT [OPTIONS]    prints the entry for a client\n       mcp-tether access setup|status|rotate|renew|revoke|link URL    manages Cloudflare Access",
    after_help = SEE_ALL,
    after_long_help = EXAMPLES,
    max_term_width = 120,
    args_override_self = true,
    disable_help_subcommand = true
)]
pub struct Options {
    /// What is no option: the URL.
    #[arg(
        value_name = "URL",
        num_args = 0..,
        help = "The remote server's streamable HTTP endpoint, such as https://mcp.example.com/mcp; a port behind it is the one \
                that you come back to after signing in"
    )]
    pub positional: Vec<String>,

    /// Whether `check` stands before the URL.
    #[arg(skip)]
    pub checks: bool,

    /// What stands there of signing in.
    #[arg(skip)]
    pub by_hand: Option<ByHand>,

    /// A header for every request to the server, "Name: value"; ${VAR} and ${VAR:-default} are filled in from the
    /// environment. Repeatable; wins over --header-file
    #[arg(long = "header", value_name = "HEADER", help_heading = "Credentials", allow_hyphen_values = true)]
    pub headers: Vec<String>,

    /// A file with one "Name: value" a line, # for comments; expanded like --header, and read again when a value is
    /// refused. Repeatable
    #[arg(long = "header-file", value_name = "PATH", help_heading = "Credentials")]
    pub header_files: Vec<PathBuf>,

    /// A file with one NAME=value a line, whose variables count where the environment has none; read again when a
    /// credential is refused. Repeatable, the last one counts
    #[arg(long = "env-file", value_name = "PATH", help_heading = "Credentials")]
    pub env_files: Vec<PathBuf>,

    /// A header whose value a command prints, "Name: COMMAND"; run without a shell, for 20 seconds at most, and again
    /// before a token in it expires and when it is refused. Repeatable; wins over --header
    #[arg(long = "header-from", value_name = "HEADER", help_heading = "Credentials")]
    pub headers_from: Vec<String>,

    /// The Access token of a person.
    #[arg(
        long,
        value_name = "COMMAND",
        help_heading = "Credentials",
        help = "A command that prints a token for Cloudflare Access, sent as Cf-Access-Token: \"cloudflared access token \
                --app=URL\"; run again before it expires and when it is refused"
    )]
    pub access_token_command: Option<String>,

    /// Send the service token in this one header and not in its own two, for applications that read tokens from one
    /// (Authorization)
    #[arg(long, value_name = "NAME", help_heading = "Credentials")]
    pub access_header: Option<String>,

    /// When to send the Cloudflare Access service token found in the environment (CF_ACCESS_CLIENT_ID and
    /// CF_ACCESS_CLIENT_SECRET; those of the same names with _NEXT take over when it is refused) where CF_ACCESS_HOSTS, the
    /// list of its hosts, is not set: auto sends it to this computer, and to a host that refuses a request without it and
    /// proves that an Access application of the token's team protects it; always sends it to the server with every
    /// request; never is --no-access
    #[arg(long, value_name = "WHEN", help_heading = "Credentials", default_value = "auto", value_parser = ["auto", "always", "never"])]
    pub access: String,

    /// Do not send the Cloudflare Access service token found in the environment
    #[arg(long, help_heading = "Credentials")]
    pub no_access: bool,

    /// Whether to sign in with a browser (OAuth) where the server invites to: by default unless a header that proves who
    /// asks is written; oauth always, in place of such a header and of a service token that Access refuses; none never
    #[arg(long, value_name = "HOW", help_heading = "Sign-in", default_value = "auto", value_parser = ["auto", "oauth", "none"])]
    pub auth: String,

    /// How long a request waits for you to sign in, in seconds, before it is answered with the page's address; the
    /// sign-in goes on after that [default: 45, initialize 25]
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Sign-in",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub auth_timeout: Option<u64>,

    /// Sign in with a code, on any computer: address and code are written to stderr, and nothing is opened here
    #[arg(long, help_heading = "Sign-in", conflicts_with = "client_credentials")]
    pub device_code: bool,

    /// Nobody signs in: the client of --static-oauth-client-info itself does, with its client_secret or private_key
    #[arg(long, help_heading = "Sign-in")]
    pub client_credentials: bool,

    /// With --client-credentials: where tokens are had, in place of what the server says
    #[arg(long, value_name = "URL", help_heading = "Sign-in")]
    pub token_endpoint: Option<String>,

    /// The authorization server that is accepted, by the name it has for itself (its issuer); any other is refused before a
    /// page opens or a token is asked for. It is accepted also where the server leads to it by another name, or where a client
    /// of yours was first used with another one
    #[arg(long, value_name = "URL", help_heading = "Sign-in")]
    pub oauth_issuer: Option<String>,

    /// The metadata of the authorization server, by its address or as @FILE, in place of what the server leads to: for those
    /// that publish none, or a wrong one
    #[arg(long, value_name = "URL", help_heading = "Sign-in", conflicts_with = "token_endpoint")]
    pub oauth_metadata: Option<String>,

    /// A name for this sign-in, to have several for one server: up to 64 letters, digits, dots, hyphens and underscores. It
    /// takes the place of headers that hold a secret, by which sign-ins are told apart otherwise
    #[arg(long, value_name = "NAME", help_heading = "Sign-in", value_parser = values::profile)]
    pub profile: Option<String>,

    /// Send the ID token in place of the access token, where there is one (it takes the scope openid)
    #[arg(long, help_heading = "Sign-in")]
    pub use_id_token: bool,

    /// The client that is registered for you: JSON, or @FILE, with client_id and perhaps client_secret, or private_key (PEM,
    /// or @FILE; with kid where it has a name); ${VAR} is filled in
    #[arg(long, value_name = "JSON", help_heading = "Sign-in")]
    pub static_oauth_client_info: Option<String>,

    /// What is to stand in the registration of a client, in place of what is there by default: JSON, or @FILE. Its scope is
    /// asked for
    #[arg(long, value_name = "JSON", help_heading = "Sign-in")]
    pub static_oauth_client_metadata: Option<String>,

    /// Where a description of the client is, for authorization servers that take its address for a name
    #[arg(long, value_name = "URL", help_heading = "Sign-in")]
    pub client_metadata_url: Option<String>,

    /// What the server is called at the authorization server, in place of what it calls itself; "" for not at all
    #[arg(long, value_name = "URL", help_heading = "Sign-in")]
    pub resource: Option<String>,

    /// Do not name the server at the authorization server
    #[arg(long, help_heading = "Sign-in")]
    pub disable_resource_parameter: bool,

    /// Something more in the address of the page, NAME=VALUE, or in place of the scope or resource there. Repeatable
    #[arg(long = "authorize-param", value_name = "NAME=VALUE", help_heading = "Sign-in")]
    pub authorize_params: Vec<String>,

    /// How this computer is called in the address that you come back to: localhost or 127.0.0.1. By default whichever is
    /// allowed; localhost with a client that is registered for you
    #[arg(long, value_name = "NAME", help_heading = "Sign-in")]
    pub host: Option<String>,

    /// The path of that address [default: /oauth/callback]
    #[arg(long, value_name = "PATH", help_heading = "Sign-in")]
    pub callback_path: Option<String>,

    /// The address to listen at for that, in a container for example 0.0.0.0; the port behind the URL has to be published. What
    /// you come back to stays a name of this computer [default: 127.0.0.1 and ::1]
    #[arg(long, value_name = "ADDRESS", help_heading = "Sign-in")]
    pub callback_bind: Option<IpAddr>,

    /// With login, where no browser can come back to this computer: sign in with one elsewhere, then paste the address that it
    /// ended at, which need not load
    #[arg(long, help_heading = "Sign-in", conflicts_with_all = ["device_code", "client_credentials"])]
    pub paste: bool,

    /// Where to go on to when you have signed in
    #[arg(long, value_name = "URL", help_heading = "Sign-in")]
    pub auth_success_url: Option<String>,

    /// Accept an http:// URL that is not on this machine. Written headers then travel unencrypted; the service token
    /// from the environment is not sent
    #[arg(long, help_heading = "Connection")]
    pub allow_http: bool,

    /// A file with further certificates to trust, of authorities or of the server itself, in PEM form, beside the operating system's and those of
    /// NODE_EXTRA_CA_CERTS. Repeatable
    #[arg(long = "ca-cert", value_name = "PATH", help_heading = "Connection")]
    pub ca_certs: Vec<PathBuf>,

    /// The SHA-256 fingerprint of the one certificate that the server may show, whoever issued it; its names and dates are
    /// checked as ever. Repeatable, for a certificate that is about to be renewed
    #[arg(long = "pin", value_name = "SHA256", help_heading = "Connection")]
    pub pins: Vec<String>,

    /// Your certificate, where the server wants one (mutual TLS), in PEM form
    #[arg(long, value_name = "PATH", help_heading = "Connection", requires = "client_key")]
    pub client_cert: Option<PathBuf>,

    /// The private key of --client-cert, in PEM form
    #[arg(long, value_name = "PATH", help_heading = "Connection", requires = "client_cert")]
    pub client_key: Option<PathBuf>,

    /// The proxy to use.
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Connection",
        help = "The proxy to use, http://[user:password@]host:port or socks5h://…, in place of HTTPS_PROXY, HTTP_PROXY, \
                ALL_PROXY and NO_PROXY. This machine is never reached through one"
    )]
    pub proxy: Option<String>,

    /// Nothing: proxies of the environment are always used. For those who come from mcp-remote
    #[arg(long, help_heading = "Connection")]
    pub enable_proxy: bool,

    /// Use IPv4 addresses only
    #[arg(long, help_heading = "Connection", conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// Use IPv6 addresses only
    #[arg(long, help_heading = "Connection")]
    pub ipv6: bool,

    /// The transport.
    #[arg(
        long,
        value_name = "ORDER",
        help_heading = "Connection",
        value_enum,
        default_value_t = Transport::HttpFirst,
        hide_possible_values = true,
        help = "Which transports are tried for a client of up to 2025-11-25: http-first (streamable HTTP, then HTTP+SSE of \
                2024-11-05), sse-first, http-only or sse-only"
    )]
    pub transport: Transport,

    /// How long making a connection may take, in seconds; 0: as long as the system lets it
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Connection",
        default_value = "10",
        value_parser = values::seconds,
        allow_negative_numbers = true
    )]
    pub connect_timeout: Duration,

    /// How long the server may take to begin an answer, in seconds; 0: as long as it likes, for a tool may be slow, and a
    /// connection that is dead shows by itself
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Connection",
        default_value = "0",
        value_parser = values::seconds,
        allow_negative_numbers = true
    )]
    pub headers_timeout: Duration,

    /// How long the server may be silent in the middle of an answer, in seconds; 0: as long as it likes
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Connection",
        default_value = "0",
        value_parser = values::seconds,
        allow_negative_numbers = true
    )]
    pub body_timeout: Duration,

    /// Ask the server for a sign of life every 30 seconds, with pings of our own; three in a row without an answer renew
    /// the session
    #[arg(long, help_heading = "Connection")]
    pub keep_alive: bool,

    /// Like --keep-alive, every so many seconds
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Connection",
        value_parser = values::interval,
        allow_negative_numbers = true
    )]
    pub ping_interval: Option<Duration>,

    /// Do not open the stream on which a server says something by itself (GET), for servers that answer nothing while it is
    /// open
    #[arg(long, help_heading = "Connection")]
    pub no_listen: bool,

    /// The era of MCP that the server speaks: legacy (initialize, up to 2025-11-25) or modern (2026-07-28). By default it is
    /// found out, and remembered
    #[arg(long, value_name = "ERA", help_heading = "Connection", default_value = "auto", value_parser = ["auto", "legacy", "modern"])]
    pub protocol: String,

    /// Remember nothing about the server from one start to the next
    #[arg(long, help_heading = "Connection")]
    pub no_cache: bool,

    /// Forget the server's cookies, by which load balancers know whom to send where
    #[arg(long, help_heading = "Connection")]
    pub disable_cookies: bool,

    /// Leave out the tools whose name fits: the client neither sees nor calls them. * stands for anything, case counts for
    /// nothing. Repeatable; wins over --allow-tool
    #[arg(long = "ignore-tool", value_name = "PATTERN", help_heading = "Tools")]
    pub ignore_tools: Vec<String>,

    /// Leave out all tools but those whose name fits. Repeatable
    #[arg(long = "allow-tool", value_name = "PATTERN", help_heading = "Tools")]
    pub allow_tools: Vec<String>,

    /// Leave out all tools but those that the server annotates with readOnlyHint: true. It is the server's word, not a lock
    #[arg(long, help_heading = "Tools")]
    pub read_only: bool,

    /// With check: tell what was found as JSON
    #[arg(long, help_heading = "Diagnostics")]
    pub json: bool,

    /// Tell on stderr what passes: -v a line per message and exchange, -vv the headers too, -vvv the bodies too. Secrets are
    /// masked
    #[arg(short, long, action = ArgAction::Count, help_heading = "Diagnostics")]
    pub verbose: u8,

    /// Tell nothing on stderr, except why the program cannot start. A log file goes on
    #[arg(long, conflicts_with = "verbose", help_heading = "Diagnostics")]
    pub silent: bool,

    /// Write what -vv tells into a file, whatever stderr shows; with -vvv what that tells. Readable for its owner alone; at
    /// 10 MiB it becomes PATH.1 and a new one begins. Several processes may share it
    #[arg(long, value_name = "PATH", help_heading = "Diagnostics")]
    pub log_file: Option<PathBuf>,

    /// -vv, and the same in a log file: that of --log-file, else HOST_debug.log in ~/.mcp-auth/mcp-tether
    /// (MCP_REMOTE_CONFIG_DIR takes the place of ~/.mcp-auth). With --silent the file alone
    #[arg(long, help_heading = "Diagnostics")]
    pub debug: bool,

    /// Write the conversation into a file that shows what mcp-tether did and why, and can be replayed: for bug reports.
    /// Secrets are masked; what is said is not. Up to 64 MiB; what was there becomes PATH.1
    #[arg(long, value_name = "PATH", help_heading = "Diagnostics")]
    pub record: Option<PathBuf>,
}

impl std::fmt::Debug for Options {
    /// Says that they are options; what they hold may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

/// What a person does about a sign-in by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByHand {
    /// `login`: signs in.
    LogIn,
    /// `logout`: forgets it.
    LogOut,
    /// `tokens`: shows what is held.
    Tokens,
}

/// What the arguments ask for.
#[derive(Debug)]
pub enum Typed {
    /// To run with these options.
    Options(Box<Options>),
    /// To print this text, help or version, on stdout.
    Print(String),
    /// To print the entry of a client's configuration that these arguments describe: all that stand behind `config`.
    Entry(Vec<OsString>),
}

/// Reads the arguments, of which the first is the program's name.
///
/// # Errors
/// [`UsageError`] for an unknown option, a missing or an impossible value.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Typed, UsageError> {
    let mut arguments = words::repaired(arguments.into_iter().collect());
    if arguments.get(1).is_some_and(|word| word == "config") {
        return Ok(Typed::Entry(arguments.split_off(2)));
    }
    let parsed = command().try_get_matches_from(arguments);
    match parsed.and_then(|matches| Options::from_arg_matches(&matches)) {
        Ok(mut options) => {
            if let [word, shell] = &*options.positional
                && word == "completions"
            {
                return completions(shell);
            }
            options.no_access |= options.access == "never";
            options.by_hand = match options.positional.first().map(String::as_str) {
                Some("login") => Some(ByHand::LogIn),
                Some("logout") => Some(ByHand::LogOut),
                Some("tokens") => Some(ByHand::Tokens),
                Some(_) | None => None,
            };
            if options.by_hand.is_some() {
                options.positional.remove(0);
            }
            options.checks = options.positional.first().is_some_and(|word| word == "check");
            if options.checks {
                options.positional.remove(0);
                if options.record.is_some() {
                    return Err(UsageError {
                        sentence: "--record cannot be used with check".to_owned(),
                        advice: "leave one of them out".to_owned(),
                    });
                }
            }
            Ok(Typed::Options(Box::new(options)))
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Typed::Print(error.render().to_string()))
        }
        Err(error) => Err(usage_error(&error)),
    }
}

/// The options, for whoever makes something of them.
pub fn command() -> clap::Command {
    help::with_short_help(Options::command())
}

fn completions(shell: &str) -> Result<Typed, UsageError> {
    let text = help::completions(shell).map(|text| Typed::Print(text.to_owned()));
    text.ok_or_else(|| UsageError {
        sentence: "there are no completions for this shell".to_owned(),
        advice: "there are some for bash, fish, powershell and zsh".to_owned(),
    })
}

/// Tells whether an option takes a value, `--header` or `-v`. None where there is no such option.
pub fn takes_value(option: &str) -> Option<bool> {
    let command = Options::command();
    let found = command.get_arguments().find(|argument| match option.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => argument.get_short().is_some_and(|short| option == format!("-{short}")),
    });
    found.map(|argument| argument.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> (String, String) {
        match parse(["mcp-tether"].iter().chain(arguments).map(OsString::from)) {
            Err(error) => (error.sentence, error.advice),
            Ok(_) => panic!("{arguments:?} was understood"),
        }
    }

    #[test]
    fn an_unknown_option_suggests_the_nearest_one() {
        assert_eq!(
            refused(&["--headers", "X: y", "https://h"]),
            ("there is no option --headers".to_owned(), "did you mean --header?".to_owned())
        );
    }

    #[test]
    fn what_was_typed_is_not_repeated() {
        for (arguments, expected) in [
            (&["--headr=X: marked", "https://h"][..], "there is no option --headr"),
            (&["--header X-API-Key: marked", "https://h"], "there is no option --header"),
            (&["--X-API-Key: marked", "https://h"], "there is no option --X-API-Key"),
            (&["--silent=marked", "https://h"], "the option --silent takes no value, or not that many"),
            (
                &["--connect-timeout", "marked", "https://h"],
                "the value of --connect-timeout is not one that it takes",
            ),
            (
                &["--connect-timeout", "-1", "https://h"],
                "the value of --connect-timeout is not one that it takes",
            ),
            (&["https://h", "--header-file"], "the option --header-file wants a value"),
            (&["--client-cert", "marked", "https://h"], "--client-key is missing"),
            (&["-v", "--silent", "https://h"], "--verbose... cannot be used with --silent"),
        ] {
            let (sentence, advice) = refused(arguments);
            assert_eq!(sentence, expected, "{arguments:?}");
            assert!(!advice.contains("marked"));
        }
    }

    #[test]
    fn the_help_names_every_option_under_a_heading() {
        let arguments = ["mcp-tether", "--help"].map(OsString::from);
        let Ok(Typed::Print(help)) = parse(arguments) else { panic!("no help") };
        for part in
            ["Credentials:", "Connection:", "Diagnostics:", "--header-file", "claude mcp add", "Exit codes"]
        {
            assert!(help.contains(part), "{part} is missing in\n{help}");
        }
    }
}
