//! The options of the proxy. Every subcommand takes them, so that the arguments of an entry can follow any of its names.
//!
//! The first paragraph of each option is its line in `-h`, the completions and the man page; the rest is in `--help`.
//! Deliberately not here: what the options mean together (`config`).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueHint};

use super::Mode;
use super::values::{self, AccessMode, AuthMode, DpopMode, Protocol, TokenStorePlace, TransportOption};

/// The options as they were typed.
#[derive(Clone, Default, Args)]
pub struct Options {
    /// The remote server, and the port of the OAuth redirect URI.
    #[arg(
        value_name = "URL",
        num_args = 0..,
        value_hint = ValueHint::Url,
        help = "The remote server: https://mcp.example.com/mcp",
        long_help = "The remote server's streamable HTTP or HTTP+SSE endpoint, such as https://mcp.example.com/mcp. A port after \
                     it is the port of the OAuth redirect URI"
    )]
    pub positional: Vec<String>,

    /// What the program was asked to do with them.
    #[arg(skip)]
    pub mode: Mode,

    /// Header for every request, "Name: value"; ${VAR} is expanded. Repeatable
    ///
    /// Header for every request to the server, "Name: value". ${VAR} and ${VAR:-default} are expanded from the environment.
    /// Repeatable; wins over --header-file
    #[arg(
        long = "header",
        value_name = "HEADER",
        help_heading = "Credentials",
        allow_hyphen_values = true,
        value_hint = ValueHint::Other
    )]
    pub headers: Vec<String>,

    /// File with one "Name: value" a line. Repeatable
    ///
    /// File with one "Name: value" a line and # for comments. Variables are expanded as in --header. The file is read again
    /// when a value is refused. Repeatable
    #[arg(long = "header-file", value_name = "PATH", help_heading = "Credentials", value_hint = ValueHint::FilePath)]
    pub header_files: Vec<PathBuf>,

    /// File with one NAME=value a line, for variables that the environment does not set
    ///
    /// File with one NAME=value a line. Its variables count where the environment does not set them. The file is read again
    /// when a credential is refused. Repeatable; the last file wins
    #[arg(long = "env-file", value_name = "PATH", help_heading = "Credentials", value_hint = ValueHint::FilePath)]
    pub env_files: Vec<PathBuf>,

    /// Header whose value a command prints, "Name: COMMAND". Repeatable
    ///
    /// Header whose value a command prints, "Name: COMMAND". The command runs without a shell, for at most 20 seconds, and
    /// again when a token in its output expires or is refused. Repeatable; wins over --header
    #[arg(long = "header-from", value_name = "HEADER", help_heading = "Credentials", value_hint = ValueHint::Other)]
    pub headers_from: Vec<String>,

    /// Command that prints a Cloudflare Access token
    ///
    /// Command that prints a token for Cloudflare Access, sent as Cf-Access-Token, such as "cloudflared access token
    /// --app=URL". Runs again before the token expires and when it is refused
    #[arg(long, value_name = "COMMAND", help_heading = "Credentials", value_hint = ValueHint::CommandString)]
    pub access_token_command: Option<String>,

    /// Single header that carries the service token, such as Authorization
    ///
    /// Single header that carries the service token, in place of its own two, for applications that read service tokens from
    /// one header (Authorization)
    #[arg(long, value_name = "NAME", help_heading = "Credentials", value_hint = ValueHint::Other)]
    pub access_header: Option<String>,

    /// Rule for the Cloudflare Access service token of the environment
    ///
    /// Rule for the Cloudflare Access service token of CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET, if CF_ACCESS_HOSTS
    /// does not name its hosts. The variables of the same names with _NEXT take over when the token is refused
    #[arg(long, value_name = "WHEN", help_heading = "Credentials", value_enum, default_value_t)]
    pub access: AccessMode,

    /// Send no Cloudflare Access service token
    #[arg(long, help_heading = "Credentials")]
    pub no_access: bool,

    /// Sign-in with a browser (OAuth)
    #[arg(long, value_name = "HOW", help_heading = "Sign-in", value_enum, default_value_t)]
    pub auth: AuthMode,

    /// Longest wait of a request for the sign-in, in seconds
    ///
    /// Longest wait of a request for the sign-in, in seconds. After that its answer is the address of the page, and the
    /// sign-in continues [default: 45, for initialize 25]
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Sign-in",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub auth_timeout: Option<u64>,

    /// Sign in with a code, on any computer
    ///
    /// Sign in with a code, on any computer. The address and the code are written to stderr; no browser opens here
    #[arg(long, help_heading = "Sign-in", conflicts_with = "client_credentials")]
    pub device_code: bool,

    /// Sign in without a user, as the client of --static-oauth-client-info
    ///
    /// Sign in without a user: the client of --static-oauth-client-info authenticates with its client_secret or private_key
    #[arg(long, help_heading = "Sign-in")]
    pub client_credentials: bool,

    /// Sign in with the token that the platform gives to this job
    ///
    /// Sign in with the token that the platform gives to this job, without a secret: github (GitHub Actions), gitlab (the
    /// variable MCP_ID_TOKEN), env:NAME, file:PATH (Kubernetes), or command:COMMAND. With --client-credentials it takes the
    /// place of the client's secret
    #[arg(
        long,
        value_name = "SOURCE",
        help_heading = "Sign-in",
        conflicts_with = "device_code",
        value_hint = ValueHint::Other
    )]
    pub workload_identity: Option<String>,

    /// Audience of the platform's token [default: the authorization server's issuer]
    ///
    /// Audience of the platform's token, in place of the authorization server's issuer. Any other than that requires
    /// --oauth-issuer, --oauth-metadata or --token-endpoint
    #[arg(
        long,
        value_name = "AUDIENCE",
        help_heading = "Sign-in",
        requires = "workload_identity",
        value_hint = ValueHint::Other
    )]
    pub workload_audience: Option<String>,

    /// Identity provider of your company, which signs you in for all servers
    ///
    /// Identity provider of your company, by its issuer. You sign in there once, and it vouches for you at the authorization
    /// server of each server (enterprise-managed authorization)
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Sign-in",
        requires = "enterprise_client_info",
        conflicts_with_all = ["client_credentials", "workload_identity", "use_id_token"],
        value_hint = ValueHint::Url
    )]
    pub enterprise_idp: Option<String>,

    /// Client at --enterprise-idp: JSON, or @FILE
    ///
    /// Client at --enterprise-idp, as --static-oauth-client-info names the one at the server's authorization server: JSON, or
    /// @FILE, with client_id and, if it has one, client_secret or private_key. ${VAR} is filled in
    #[arg(
        long,
        value_name = "JSON",
        help_heading = "Sign-in",
        requires = "enterprise_idp",
        value_hint = ValueHint::Other
    )]
    pub enterprise_client_info: Option<String>,

    /// Where the ID token of --enterprise-idp comes from
    ///
    /// Where the ID token of --enterprise-idp comes from, if another program of your company obtains it, so that no page opens:
    /// env:NAME, file:PATH or command:COMMAND
    #[arg(
        long,
        value_name = "SOURCE",
        help_heading = "Sign-in",
        requires = "enterprise_idp",
        conflicts_with = "device_code",
        value_hint = ValueHint::Other
    )]
    pub enterprise_id_token: Option<String>,

    /// Token endpoint for --client-credentials or --workload-identity
    ///
    /// Token endpoint for --client-credentials or --workload-identity, in place of the one that the server's metadata names
    #[arg(long, value_name = "URL", help_heading = "Sign-in", value_hint = ValueHint::Url)]
    pub token_endpoint: Option<String>,

    /// The only authorization server to accept, by its issuer
    ///
    /// The only authorization server to accept, by its issuer. Any other is refused before a page opens or a token is
    /// requested. It is also accepted where the server names it differently, or where this client was first used with another
    /// one
    #[arg(long, value_name = "URL", help_heading = "Sign-in", value_hint = ValueHint::Url)]
    pub oauth_issuer: Option<String>,

    /// Metadata of the authorization server: a URL, or @FILE
    ///
    /// Metadata of the authorization server: a URL, or @FILE. For authorization servers that publish none, or wrong metadata
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Sign-in",
        conflicts_with = "token_endpoint",
        value_hint = ValueHint::Url
    )]
    pub oauth_metadata: Option<String>,

    /// Name of this sign-in, to keep several for one server
    ///
    /// Name of this sign-in, to keep several for one server: up to 64 letters, digits, dots, hyphens and underscores. Without
    /// it, headers that hold a secret distinguish sign-ins
    #[arg(long, value_name = "NAME", help_heading = "Sign-in", value_parser = values::profile, value_hint = ValueHint::Other)]
    pub profile: Option<String>,

    /// When to bind tokens to a key of this computer (DPoP)
    ///
    /// When to bind tokens to a key of this computer (DPoP, RFC 9449). A stolen token is then of no use without the key
    #[arg(long, value_name = "WHEN", help_heading = "Sign-in", value_enum, default_value_t)]
    pub dpop: DpopMode,

    /// Where to store tokens: file, keychain, or command:COMMAND
    ///
    /// Where to store tokens and client secrets: file, keychain (the operating system's), or command:COMMAND, a program that is
    /// started with get, store or erase
    #[arg(
        long,
        value_name = "WHERE",
        help_heading = "Sign-in",
        default_value = "file",
        value_parser = values::token_store,
        value_hint = ValueHint::Other
    )]
    pub token_store: TokenStorePlace,

    /// Send the ID token in place of the access token
    ///
    /// Send the ID token in place of the access token, if there is one (it takes the scope openid)
    #[arg(long, help_heading = "Sign-in")]
    pub use_id_token: bool,

    /// Registered client: JSON, or @FILE
    ///
    /// Registered client: JSON, or @FILE, with client_id and, if it has one, client_secret or private_key (PEM, or @FILE; with
    /// kid if the key has an id). ${VAR} is expanded
    #[arg(long, value_name = "JSON", help_heading = "Sign-in", value_hint = ValueHint::Other)]
    pub static_oauth_client_info: Option<String>,

    /// Client metadata for the registration: JSON, or @FILE
    ///
    /// Client metadata for the registration, in place of the defaults: JSON, or @FILE. Its scope is requested
    #[arg(long, value_name = "JSON", help_heading = "Sign-in", value_hint = ValueHint::Other)]
    pub static_oauth_client_metadata: Option<String>,

    /// URL of the client's metadata document, which becomes the client id
    ///
    /// URL of the client's metadata document, for authorization servers that take this URL as the client id
    #[arg(long, value_name = "URL", help_heading = "Sign-in", value_hint = ValueHint::Url)]
    pub client_metadata_url: Option<String>,

    /// Resource indicator of the server; "" for none
    ///
    /// Resource indicator of the server (RFC 8707), in place of the one that the server publishes; "" for none
    #[arg(long, value_name = "URL", help_heading = "Sign-in", value_hint = ValueHint::Url)]
    pub resource: Option<String>,

    /// Send no resource indicator
    #[arg(long, help_heading = "Sign-in")]
    pub disable_resource_parameter: bool,

    /// Parameter of the authorization request. Repeatable
    ///
    /// Parameter to add to the authorization request, NAME=VALUE; scope and resource replace the default. Repeatable
    #[arg(long = "authorize-param", value_name = "NAME=VALUE", help_heading = "Sign-in", value_hint = ValueHint::Other)]
    pub authorize_params: Vec<String>,

    /// Host of the OAuth redirect URI: localhost or 127.0.0.1
    ///
    /// Host of the OAuth redirect URI: localhost or 127.0.0.1 [default: the one that is allowed; localhost for a registered
    /// client]
    #[arg(long, value_name = "NAME", help_heading = "Sign-in", value_hint = ValueHint::Hostname)]
    pub host: Option<String>,

    /// Path of the OAuth redirect URI [default: /oauth/callback]
    #[arg(long, value_name = "PATH", help_heading = "Sign-in", value_hint = ValueHint::Other)]
    pub callback_path: Option<String>,

    /// Address to listen on for the redirect [default: 127.0.0.1 and ::1]
    ///
    /// Address to listen on for the OAuth redirect; in a container for example 0.0.0.0, with the port after the URL published.
    /// The redirect URI still names this computer [default: 127.0.0.1 and ::1]
    #[arg(long, value_name = "ADDRESS", help_heading = "Sign-in", value_hint = ValueHint::Other)]
    pub callback_bind: Option<IpAddr>,

    /// Page to show after the sign-in
    #[arg(long, value_name = "URL", help_heading = "Sign-in", value_hint = ValueHint::Url)]
    pub auth_success_url: Option<String>,

    /// Accept an http:// URL of another computer
    ///
    /// Accept an http:// URL of another computer. Headers then travel unencrypted; the service token of the environment is not
    /// sent
    #[arg(long, help_heading = "Connection")]
    pub allow_http: bool,

    /// File with further certificates to trust, in PEM form. Repeatable
    ///
    /// File with further certificates to trust, of authorities or of the server itself, in PEM form. The operating system's and
    /// those of NODE_EXTRA_CA_CERTS count as well. Repeatable
    #[arg(long = "ca-cert", value_name = "PATH", help_heading = "Connection", value_hint = ValueHint::FilePath)]
    pub ca_certs: Vec<PathBuf>,

    /// SHA-256 fingerprint of the only certificate to accept. Repeatable
    ///
    /// SHA-256 fingerprint of the only server certificate to accept, whoever issued it. Its names and dates are checked as
    /// usual. Repeatable, for a certificate that is about to be renewed
    #[arg(long = "pin", value_name = "SHA256", help_heading = "Connection", value_hint = ValueHint::Other)]
    pub pins: Vec<String>,

    /// Client certificate (mutual TLS), in PEM form
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Connection",
        requires = "client_key",
        value_hint = ValueHint::FilePath
    )]
    pub client_cert: Option<PathBuf>,

    /// Private key of --client-cert, in PEM form
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Connection",
        requires = "client_cert",
        value_hint = ValueHint::FilePath
    )]
    pub client_key: Option<PathBuf>,

    /// Proxy to use, in place of the environment's
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Connection",
        value_hint = ValueHint::Url,
        long_help = "Proxy to use, http://[user:password@]host:port or socks5h://…, in place of HTTPS_PROXY, HTTP_PROXY, \
                     ALL_PROXY and NO_PROXY. Addresses of this computer are never reached through a proxy"
    )]
    pub proxy: Option<String>,

    /// Accepted for compatibility with mcp-remote
    ///
    /// Accepted for compatibility with mcp-remote; environment proxies are always used
    #[arg(long, help_heading = "Connection")]
    pub enable_proxy: bool,

    /// Use IPv4 addresses only
    #[arg(long, help_heading = "Connection", conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// Use IPv6 addresses only
    #[arg(long, help_heading = "Connection")]
    pub ipv6: bool,

    /// Transports to try, and their order
    ///
    /// Transports to try for a client of up to 2025-11-25, and their order
    #[arg(long, value_name = "ORDER", help_heading = "Connection", value_enum, default_value_t)]
    pub transport: TransportOption,

    /// Time to connect, in seconds; 0 for no limit
    ///
    /// Time to connect, in seconds; 0 for the operating system's limit
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Connection",
        default_value = "10",
        value_parser = values::seconds,
        allow_negative_numbers = true
    )]
    pub connect_timeout: Duration,

    /// Time until a response begins, in seconds; 0 for no limit
    ///
    /// Time until the server begins a response, in seconds; 0 for no limit, because a tool may be slow and a dead connection
    /// is noticed without it
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Connection",
        default_value = "0",
        value_parser = values::seconds,
        allow_negative_numbers = true
    )]
    pub headers_timeout: Duration,

    /// Longest silence within a response, in seconds; 0 for no limit
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Connection",
        default_value = "0",
        value_parser = values::seconds,
        allow_negative_numbers = true
    )]
    pub body_timeout: Duration,

    /// Ping the server every 30 seconds
    ///
    /// Ping the server every 30 seconds. After three pings without an answer the session is renewed
    #[arg(long, help_heading = "Connection")]
    pub keep_alive: bool,

    /// Ping the server at this interval, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Connection",
        value_parser = values::interval,
        allow_negative_numbers = true
    )]
    pub ping_interval: Option<Duration>,

    /// Do not open the stream for server messages (GET)
    ///
    /// Do not open the stream for server messages (GET), for servers that answer nothing while it is open
    #[arg(long, help_heading = "Connection")]
    pub no_listen: bool,

    /// Era of MCP that the server speaks
    #[arg(long, value_name = "ERA", help_heading = "Connection", value_enum, default_value_t)]
    pub protocol: Protocol,

    /// Keep nothing about the server from one start to the next
    #[arg(long, help_heading = "Connection")]
    pub no_cache: bool,

    /// Ignore the server's cookies
    ///
    /// Ignore the server's cookies, which load balancers use for routing
    #[arg(long, help_heading = "Connection")]
    pub disable_cookies: bool,

    /// Hide the tools that match; * matches anything. Repeatable
    ///
    /// Hide the tools that match: the client neither sees nor calls them. * matches anything, letter case is ignored.
    /// Repeatable; wins over --allow-tool
    #[arg(long = "ignore-tool", value_name = "PATTERN", help_heading = "Tools", value_hint = ValueHint::Other)]
    pub ignore_tools: Vec<String>,

    /// Hide all tools except those that match. Repeatable
    #[arg(long = "allow-tool", value_name = "PATTERN", help_heading = "Tools", value_hint = ValueHint::Other)]
    pub allow_tools: Vec<String>,

    /// Hide all tools that are not annotated as read-only
    ///
    /// Hide all tools except those that the server annotates with readOnlyHint: true. The server is trusted to annotate them
    /// correctly
    #[arg(long, help_heading = "Tools")]
    pub read_only: bool,

    /// Log to stderr: -v, -vv, -vvv
    ///
    /// Log to stderr: -v a line per message and exchange, -vv with headers, -vvv with bodies. Secrets are masked
    #[arg(short, long, action = ArgAction::Count, help_heading = "Diagnostics")]
    pub verbose: u8,

    /// Log nothing to stderr
    ///
    /// Log nothing to stderr, except why the program cannot start. A log file is still written
    #[arg(long, conflicts_with = "verbose", help_heading = "Diagnostics")]
    pub silent: bool,

    /// File to log to, as much as -vv does
    ///
    /// File to log to, as much as -vv does, or -vvv if that is given, whatever is logged to stderr. Only its owner can read it.
    /// At 10 MiB it is renamed to PATH.1 and a new one is started. Several processes can share it
    #[arg(long, value_name = "PATH", help_heading = "Diagnostics", value_hint = ValueHint::FilePath)]
    pub log_file: Option<PathBuf>,

    /// Same as -vv, with a log file
    ///
    /// Same as -vv, with a log file: that of --log-file, or else HOST_debug.log in ~/.mcp-auth/mcp-tether
    /// (MCP_REMOTE_CONFIG_DIR replaces ~/.mcp-auth). With --silent only the file is written
    #[arg(long, help_heading = "Diagnostics")]
    pub debug: bool,

    /// File to record the conversation to, for bug reports
    ///
    /// File to record the conversation to, with all decisions, for bug reports; the tests can replay it. Secrets are masked,
    /// content is not. At most 64 MiB; an existing recording is renamed to PATH.1
    #[arg(long, value_name = "PATH", help_heading = "Diagnostics", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
}

impl std::fmt::Debug for Options {
    /// Shows no value, because it may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}
