//! Resolves options, files and environment to a valid configuration.
//!
//! Everything that can be wrong with a credential is found here, before anything is sent, and no error quotes a value.
//! The environment comes in as a value, so that tests need none of their own. Deliberately not here: how credentials
//! travel (`auth`), and the wording of advice about failures on the wire (`diagnosis`).
//!
#![doc = include_str!("README.md")]

mod access;
mod command;
pub mod dotenv;
mod error;
pub mod expand;
mod federation;
mod header;
mod placeholder;
mod sign_in;
mod token_store;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use url::Url;

pub use access::{
    HOSTS as ACCESS_HOSTS, is_pair_among as is_access_pair_among, variables as access_variables,
};
pub use command::{end_all as end_commands, output_of as command_output};
pub use error::{Error, Problem};

pub use crate::auth::access_proof::hosts_value as access_hosts_value;

use crate::auth::cf_access::{PairRule, ServiceToken, TOKEN};
use crate::auth::credential_provider::FoundCredentials;
use crate::auth::{Credentials, Scheme, WrittenHeaders};
use crate::bridge::{Era, Pattern, ToolRules};
use crate::cli::{AccessMode, Mode, Options, Protocol, TransportOption};
use crate::files;
use crate::http::{Family, Patience, Settings, is_loopback};
use crate::jwt::expiry;
use crate::oauth;
use crate::platform;
use crate::redact;
use crate::tls::{self, Fingerprint, Trust};

/// The variable that names further authorities for Node.
const NODE_AUTHORITIES: &str = "NODE_EXTRA_CA_CERTS";
/// The variable that replaces the file of the operating system's authorities.
const SYSTEM_AUTHORITIES: &str = "SSL_CERT_FILE";

/// The limit of a wait that needs one, if the user sets none.
pub const UNBOUNDED: Duration = Duration::from_secs(86_400);

/// How often the server is pinged, unless an option says how often.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// The environment variables of the process, as a value; and those of files, with where they stand.
#[derive(Clone, Default)]
pub struct Environment {
    own: BTreeMap<String, String>,
    filled_in: BTreeMap<String, (String, PathBuf)>,
}

impl Environment {
    /// The variables of this process. A value that is not Unicode shows up with replacement characters, which no
    /// header admits, so that it is reported where it is used.
    pub fn of_process() -> Environment {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect()
    }

    /// A variable's value. On Windows, names have no case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let own = find(&self.own, name).map(String::as_str);
        own.or_else(|| find(&self.filled_in, name).map(|(value, _)| value.as_str()))
    }

    /// The same environment with these variables set, or removed where they have no value.
    #[must_use]
    pub fn replaced(&self, variables: impl IntoIterator<Item = (String, Option<String>)>) -> Environment {
        let mut environment = self.clone();
        for (name, value) in variables {
            environment.own.retain(|key, _| match cfg!(windows) {
                true => !key.eq_ignore_ascii_case(&name),
                false => *key != name,
            });
            if let Some(value) = value {
                environment.own.insert(name, value);
            }
        }
        environment
    }

    /// The name of the variable that holds this value, where one does.
    pub fn holding(&self, value: &str) -> Option<&str> {
        self.own.iter().find(|(_, held)| *held == value).map(|(name, _)| name.as_str())
    }

    /// The name of a variable, with the file that holds it, if one does.
    fn place(&self, name: &str) -> String {
        match (find(&self.own, name), find(&self.filled_in, name)) {
            (None, Some((_, path))) => format!("{name} ({})", path.display()),
            _ => name.to_owned(),
        }
    }

    /// The same, with the variables of files where it has none itself. Of several files the last one counts.
    fn filled_up(&self, files: &[PathBuf], warnings: &mut Vec<String>) -> Result<Environment, Error> {
        let mut filled = self.clone();
        for path in files {
            let path = home_expanded(path);
            let unusable = |reason: String| Error::EnvFile { path: path.display().to_string(), reason };
            let text = files::read_text(&path, files::SETTINGS_LIMIT);
            let text = text.map_err(|error| unusable(error.to_string()))?;
            warn_of_readers(&path, warnings);
            let variables = dotenv::parse(&text);
            let variables = variables.map_err(|line| unusable(format!("line {line} is not NAME=value")))?;
            let placed = variables.into_iter().map(|(name, value)| (name, (value, path.clone())));
            filled.filled_in.extend(placed);
        }
        Ok(filled)
    }
}

fn find<'map, Value>(variables: &'map BTreeMap<String, Value>, name: &str) -> Option<&'map Value> {
    let exact = variables.get(name);
    match cfg!(windows) {
        true => exact.or_else(|| Some(variables.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1)),
        false => exact,
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Environment {
        // Collecting would sort first, by code that nothing else needs.
        let mut own = BTreeMap::new();
        own.extend(variables);
        Environment { own, filled_in: BTreeMap::new() }
    }
}

/// The configuration of the proxy.
#[derive(Debug)]
pub struct Config {
    /// The server's endpoint.
    pub url: Url,
    /// The credentials.
    pub found: FoundCredentials,
    /// The settings of the sign-in.
    pub sign_in: Option<oauth::SignInSettings>,
    /// The settings of connections.
    pub connection: Settings,
    /// The interval of pings.
    pub ping: Option<Duration>,
    /// Whether the stream for the server's own messages is left out.
    pub no_listen: bool,
    /// The era of the server, if an option names it.
    pub era: Option<Era>,
    /// The transports to try, in this order.
    pub transport: TransportOption,
    /// The rules for the tools that the client may see and call.
    pub tools: ToolRules,
    /// The folder in which `mcp-tether/` lies with what is kept for later starts, where the system names one.
    pub folder: Option<PathBuf>,
    /// Warnings, each a sentence for the log.
    pub warnings: Vec<String>,
    /// Effects that may surprise, each a sentence for the log.
    pub remarks: Vec<String>,
}

impl Config {
    /// Resolves the configuration: options override header files, and those the environment.
    ///
    /// # Errors
    /// The first fault; see [`Error`].
    pub fn resolve(options: &Options, environment: &Environment) -> Result<Config, Error> {
        let mut warnings = Vec::new();
        let url = server_url(options)?;
        register_secrets(options, environment, &url);
        let mut remarks = Vec::new();
        if let Some(key) = &options.client_key {
            warn_of_readers(&home_expanded(key), &mut warnings);
        }
        // Read once only: a pipe has nothing more to say the second time.
        let filled = environment.filled_up(&options.env_files, &mut warnings)?;
        let found = credentials(options, &filled, &url, true, &mut warnings, &mut remarks)?;
        let sign_in = sign_in::settings(options, &filled, &url, &found.credentials, &mut warnings)?;
        Ok(Config {
            folder: folder(&filled),
            found,
            sign_in,
            url,
            connection: Settings {
                connect_timeout: limit(options.connect_timeout),
                patience: Patience { head: limit(options.headers_timeout), gap: limit(options.body_timeout) },
                trust: trust(options, environment)?,
                proxy: options.proxy.as_deref().map(proxy).transpose()?,
                family: match (options.ipv4, options.ipv6) {
                    (true, _) => Family::V4,
                    (false, true) => Family::V6,
                    (false, false) => Family::Any,
                },
                cookies: !options.disable_cookies,
                inspect: matches!(options.mode, Mode::Check { .. }),
            },
            era: match options.protocol {
                Protocol::Legacy => Some(Era::Legacy),
                Protocol::Modern => Some(Era::Modern),
                Protocol::Auto => None,
            },
            no_listen: options.no_listen,
            ping: match (options.ping_interval, options.keep_alive) {
                // Whole seconds, as a recording has them.
                (Some(every), _) => Some(Duration::from_secs(every.as_secs_f64().ceil() as u64)),
                (None, true) => Some(PING_INTERVAL),
                (None, false) => None,
            },
            transport: options.transport,
            tools: ToolRules {
                allow: patterns("--allow-tool", &options.allow_tools)?,
                ignore: patterns("--ignore-tool", &options.ignore_tools)?,
                read_only: options.read_only,
            },
            warnings,
            remarks,
        })
    }
}

/// Registers the secrets in URLs, including those of proxies.
fn register_secrets(options: &Options, environment: &Environment, url: &Url) {
    redact::register_url(url);
    let variables = PROXIES.iter().flat_map(|name| {
        [environment.get(name), environment.get(&name.to_ascii_lowercase())].into_iter().flatten()
    });
    for proxy in variables.chain(options.proxy.as_deref()) {
        // Written without a scheme, one is assumed.
        let named = Url::parse(proxy).ok().filter(Url::has_host);
        let named = named.or_else(|| Url::parse(&format!("http://{proxy}")).ok());
        named.iter().for_each(redact::register_url);
    }
}

/// The variables that name proxies.
const PROXIES: [&str; 3] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];

/// The folder for configuration.
pub fn folder(environment: &Environment) -> Option<PathBuf> {
    let named =
        |name| environment.get(name).filter(|path| !path.is_empty()).map(Path::new).map(home_expanded);
    named("MCP_TETHER_CONFIG_DIR").or_else(|| named("MCP_REMOTE_CONFIG_DIR")).or_else(dirs::config_dir)
}

/// The URL among the options, if a server can be reached by it.
///
/// # Errors
/// See [`Error`].
pub fn server_url(options: &Options) -> Result<Url, Error> {
    let url = endpoint(&options.positional)?;
    match url.scheme() == "https" || is_loopback(&url) || options.allow_http {
        true => Ok(url),
        false => Err(Error::InsecureUrl { host: url.host_str().unwrap_or_default().to_owned() }),
    }
}

/// Returns whether credentials have a source that can change while the process lives.
pub fn can_change(options: &Options) -> bool {
    !options.header_files.is_empty()
        || !options.env_files.is_empty()
        || !options.headers_from.is_empty()
        || options.access_token_command.is_some()
}

/// Returns whether commands supply credentials, which takes time.
pub fn runs_commands(options: &Options) -> bool {
    !options.headers_from.is_empty() || options.access_token_command.is_some()
}

/// Reads the credentials again from their files and commands.
///
/// # Errors
/// See [`Error`].
pub fn credentials_again(options: &Options, environment: &Environment) -> Result<FoundCredentials, Error> {
    let url = endpoint(&options.positional)?;
    // The warnings were reported at the start.
    let filled = environment.filled_up(&options.env_files, &mut Vec::new())?;
    credentials(options, &filled, &url, false, &mut Vec::new(), &mut Vec::new())
}

/// The credentials. `environment` holds the variables of `--env-file` already.
fn credentials(
    options: &Options,
    environment: &Environment,
    url: &Url,
    is_first: bool,
    warnings: &mut Vec<String>,
    remarks: &mut Vec<String>,
) -> Result<FoundCredentials, Error> {
    let is_private = url.scheme() == "https" || is_loopback(url);
    let mut headers = written_headers(options, environment, is_first, warnings)?;
    header::leave_out_protocol_headers(&mut headers, warnings);
    if !is_private && !headers.is_empty() {
        warnings
            .push("the URL is not encrypted (http): others on the network can read the headers".to_owned());
    }
    let expires = headers
        .iter()
        .filter(|header| header.can_change(!options.env_files.is_empty()))
        .filter_map(|header| expiry(header.token()))
        .min();

    let mut described = Vec::new();
    let rule = token_rule(options, environment, url, warnings, remarks);
    let single = options.access_header.as_deref().map(access_header).transpose()?;
    let (pair, single) = match access::in_one_header(&mut headers, warnings, &mut described)? {
        Some((name, token)) => (Some(token), Some(name)),
        None => {
            let allowed = rule.filter(|_| !options.no_access).map(|rule| (environment, rule));
            (access::find(&mut headers, allowed, is_private, warnings, &mut described)?, single)
        }
    };
    if pair.is_none() && options.access_header.is_some() && is_private && rule.is_some() {
        return Err(Error::AccessHeaderAlone);
    }
    let next = match rule.filter(|_| is_private && !options.no_access) {
        Some(rule) => access::next(environment, rule, pair.is_some(), warnings, &mut described)?,
        None => None,
    };
    let is_left_out = pair.is_some() || options.no_access || !is_private;
    let unlisted = if is_left_out { None } else { access::unlisted(url, environment) };
    let taken = single.as_ref().filter(|_| pair.is_some());
    let written = sendable_headers(&headers, taken, &mut described)?;
    let with = |pair: Option<ServiceToken>| with_token(url, &written, pair, single.as_ref());
    let next = next.map(|next| with(Some(next)));
    Ok(FoundCredentials { next, credentials: with(pair), expires, described, unlisted })
}

/// The headers of files, options and commands, in the order in which the later one counts.
fn written_headers(
    options: &Options,
    environment: &Environment,
    is_first: bool,
    warnings: &mut Vec<String>,
) -> Result<Vec<header::Header>, Error> {
    let mut headers = Vec::new();
    for path in &options.header_files {
        let path = home_expanded(path);
        warn_of_readers(&path, warnings);
        headers.extend(header::read_file(&path, environment)?);
    }
    for argument in &options.headers {
        headers.push(header::parse(argument, header::HeaderSource::Option, environment)?);
    }
    for argument in &options.headers_from {
        headers.push(header::from_command(argument, is_first)?);
    }
    if let Some(command) = &options.access_token_command {
        let place = "--access-token-command".to_owned();
        headers.push(header::printed(TOKEN, "Cf-Access-Token", command, place, is_first)?);
    }
    Ok(headers)
}

/// The rule by which this host may get the service token of the environment; none where no rule admits it.
fn token_rule(
    options: &Options,
    environment: &Environment,
    url: &Url,
    warnings: &mut Vec<String>,
    remarks: &mut Vec<String>,
) -> Option<PairRule> {
    let is_always = options.access == AccessMode::Always;
    let rule = access::rule(url, environment, is_always);
    match rule {
        None if is_always => warnings.push(format!(
            "{0} does not name this host, so a service token is not sent: {0} overrides --access always",
            access::HOSTS
        )),
        None => {
            remarks.push(format!("{} does not name this host: a service token is not sent", access::HOSTS))
        }
        Some(_) => {}
    }
    rule
}

/// The written headers as they are sent. `taken` is the header of the service token, which may have no other value.
fn sendable_headers(
    headers: &[header::Header],
    taken: Option<&HeaderName>,
    described: &mut Vec<String>,
) -> Result<WrittenHeaders, Error> {
    let mut written = WrittenHeaders::default();
    for header in headers {
        if taken == Some(&header.name) {
            return Err(Error::AccessHeaderTaken { name: header.name.to_string() });
        }
        described.push(header.described());
        let sendable = written.set(header.name.clone(), &header.value);
        sendable.map_err(|_| header.refused(Problem::Control(0)))?;
    }
    Ok(written)
}

/// The written headers together with a service token, in the header `single` or in the two usual ones.
fn with_token(
    url: &Url,
    written: &WrittenHeaders,
    pair: Option<ServiceToken>,
    single: Option<&HeaderName>,
) -> Credentials {
    let mut schemes = Vec::new();
    if !written.is_empty() {
        schemes.push(Scheme::Written(written.clone()));
    }
    let pair = pair.map(|pair| match single {
        Some(name) => pair.in_one_header(name.clone()),
        None => pair,
    });
    schemes.extend(pair.map(Scheme::CfAccess));
    Credentials::new(url, schemes)
}

/// The one header that a service token is to travel in.
fn access_header(name: &str) -> Result<HeaderName, Error> {
    let name: HeaderName = name.parse().map_err(|_| Error::AccessHeader)?;
    match header::is_of_the_protocol(&name) {
        true => Err(Error::AccessHeader),
        false => Ok(name),
    }
}

/// A file with secrets in it is its owner's alone.
fn warn_of_readers(path: &Path, warnings: &mut Vec<String>) {
    if platform::others_can_read(path) {
        let path = path.display();
        warnings
            .push(format!("{path} holds secrets, and others on this computer can read it: chmod 600 {path}"));
    }
}

/// Finds the one URL among the arguments that are no options. None of them is quoted in an error unless it is a URL:
/// it may be the rest of a header that lost its quotes.
fn endpoint(positional: &[String]) -> Result<Url, Error> {
    let is_url = |text: &str| {
        ["https://", "http://"]
            .iter()
            .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = match positional {
        [] => return Err(Error::NoUrl),
        [text] if is_url(text) => text,
        // The port of the OAuth redirect URI, as mcp-remote has it.
        [text, port] if is_url(text) && port.parse::<u16>().is_ok_and(|port| port > 0) => text,
        [text, port] if is_url(text) && is_number(port) => return Err(Error::CallbackPort),
        [_] => return Err(Error::NotUrl),
        several => return Err(Error::TooManyArguments(several.len())),
    };
    if text.contains("${") {
        return Err(Error::UrlVariable);
    }
    if let Some(found) = placeholder::find(text, true) {
        return Err(Error::UrlPlaceholder(found.to_owned()));
    }
    let url = Url::parse(text).map_err(Error::MalformedUrl)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::UrlWithUser);
    }
    Ok(url)
}

/// Reads the certificates that were asked for. Those of Node's variable are read when they are needed.
fn trust(options: &Options, environment: &Environment) -> Result<Trust, Error> {
    let mut authorities = Vec::new();
    for path in &options.ca_certs {
        let path = home_expanded(path);
        let certificates = tls::read_certificates(&path);
        authorities.extend(certificates.map_err(|reason| Error::certificate("--ca-cert", &path, reason))?);
    }
    let node = environment.get(NODE_AUTHORITIES).filter(|path| !path.is_empty());
    // The library that loads the operating system's authorities reads this one itself, to its end.
    if let Some(path) = environment.get(SYSTEM_AUTHORITIES).filter(|path| !path.is_empty()).map(Path::new)
        && path.exists()
    {
        files::check_regular(path, tls::FILE_LIMIT)
            .map_err(|reason| Error::certificate(SYSTEM_AUTHORITIES, path, reason.to_string()))?;
    }
    let identity = match (&options.client_cert, &options.client_key) {
        (Some(chain), Some(key)) => {
            let (chain, key) = (home_expanded(chain), home_expanded(key));
            let identity = tls::read_identity(&chain, &key);
            Some(identity.map_err(|(path, reason)| {
                Error::certificate("--client-cert or --client-key", path, reason)
            })?)
        }
        _ => None,
    };
    let pins = options.pins.iter().map(|text| Fingerprint::parse(text).ok_or(Error::Pin));
    let pins = pins.collect::<Result<_, _>>()?;
    let late_authorities = node.map(PathBuf::from);
    Ok(Trust { authorities, late_authorities, identity, pins })
}

/// A limit of time; none where the user sets none.
fn limit(seconds: Duration) -> Option<Duration> {
    (!seconds.is_zero()).then_some(seconds)
}

/// Reads patterns of tools.
fn patterns(option: &'static str, written: &[String]) -> Result<Vec<Pattern>, Error> {
    let pattern = |text: &String| Pattern::new(text).ok_or(Error::Pattern { option });
    written.iter().map(pattern).collect()
}

/// Reads the URL of a proxy, which may hold credentials and is not quoted.
fn proxy(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|_| Error::Proxy)?;
    match url.scheme() {
        "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h" if url.has_host() => Ok(url),
        _ => Err(Error::Proxy),
    }
}

/// A path with its `~/` expanded: no shell has done that for a client's configuration.
pub fn home_expanded(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), dirs::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
