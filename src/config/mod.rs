//! From what was typed and what the environment holds to a configuration that can work.
//!
//! Everything that can be wrong with a credential is found here, before anything is sent, and no error quotes a value.
//! The environment comes in as a value, so that tests need none of their own. Deliberately not here: how credentials
//! travel (`auth`), and the wording of advice about failures on the wire (`diagnosis`).

mod access;
mod command;
mod error;
pub mod expand;
mod header;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderName;
use url::Url;

pub use error::{Error, Problem};

use crate::auth::cf_access::{ServiceToken, TOKEN};
use crate::auth::keeper::Found;
use crate::auth::{Credentials, Scheme, WrittenHeaders};
use crate::cli::Options;
use crate::http::{Family, Settings, is_loopback};
use crate::tls::{self, Trust};
use crate::{json, platform};

/// Where people who come from Node have their company's authority.
const NODE_AUTHORITIES: &str = "NODE_EXTRA_CA_CERTS";

/// How often the server is pinged, unless the person says how often.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// The environment variables of the process, as a value.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

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
        let exact = self.0.get(name);
        let found = match cfg!(windows) {
            true => exact.or_else(|| Some(self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1)),
            false => exact,
        };
        found.map(String::as_str)
    }
}

impl Environment {
    /// The same, with the variables of files where it has none itself. Of several files the last one counts.
    fn filled_up(&self, files: &[PathBuf], warnings: &mut Vec<String>) -> Result<Environment, Error> {
        let mut filled = Environment::default();
        for path in files {
            let path = home_expanded(path);
            let unusable = |reason: String| Error::EnvFile { path: path.display().to_string(), reason };
            let text = std::fs::read_to_string(&path).map_err(|error| unusable(error.to_string()))?;
            warn_of_readers(&path, warnings);
            for (index, variable) in dotenvy::from_read_iter(text.as_bytes()).enumerate() {
                // The library's error quotes the line, which may be a secret.
                let (name, value) =
                    variable.map_err(|_| unusable(format!("entry {} is not NAME=value", index + 1)))?;
                filled.0.insert(name, value);
            }
        }
        filled.0.extend(self.0.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(filled)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Environment {
        Environment(variables.into_iter().collect())
    }
}

/// What the proxy needs to know.
#[derive(Debug)]
pub struct Config {
    /// The server's endpoint.
    pub url: Url,
    /// What proves to it who is asking.
    pub found: Found,
    /// How connections to it are made.
    pub connection: Settings,
    /// How often the server is asked for a sign of life.
    pub ping: Option<Duration>,
    /// What works but is not as it should be, each a sentence for the log.
    pub warnings: Vec<String>,
    /// What is as asked for, but may surprise, each a sentence for the log.
    pub remarks: Vec<String>,
}

impl Config {
    /// Puts the configuration together: options over header files over the environment.
    ///
    /// # Errors
    /// The first thing that cannot work; see [`Error`].
    pub fn resolve(options: &Options, environment: &Environment) -> Result<Config, Error> {
        let mut warnings = Vec::new();
        let url = endpoint(&options.positional)?;
        let is_private = url.scheme() == "https" || is_loopback(&url);
        if !is_private && !options.allow_http {
            return Err(Error::InsecureUrl { host: url.host_str().unwrap_or_default().to_owned() });
        }

        let mut remarks = Vec::new();
        let found = credentials(options, environment, &url, &mut warnings, &mut remarks)?;
        Ok(Config {
            found,
            url,
            connection: Settings {
                connect_timeout: Duration::from_secs(options.connect_timeout),
                trust: trust(options, environment)?,
                proxy: options.proxy.as_deref().map(proxy).transpose()?,
                family: match (options.ipv4, options.ipv6) {
                    (true, _) => Family::V4,
                    (false, true) => Family::V6,
                    (false, false) => Family::Any,
                },
                cookies: !options.disable_cookies,
                inspect: options.checks,
            },
            ping: match (options.ping_interval, options.keep_alive) {
                (Some(seconds), _) => Some(Duration::from_secs(seconds)),
                (None, true) => Some(PING_INTERVAL),
                (None, false) => None,
            },
            warnings,
            remarks,
        })
    }
}

/// Tells whether credentials come from where they can change while the process lives.
pub fn can_change(options: &Options) -> bool {
    !options.header_files.is_empty()
        || !options.env_files.is_empty()
        || !options.headers_from.is_empty()
        || options.access_token_command.is_some()
}

/// Puts the credentials together anew, from files and commands as they are now.
///
/// # Errors
/// See [`Error`].
pub fn credentials_again(options: &Options, environment: &Environment) -> Result<Found, Error> {
    let url = endpoint(&options.positional)?;
    // What there is to say about them was said at the start.
    credentials(options, environment, &url, &mut Vec::new(), &mut Vec::new())
}

fn credentials(
    options: &Options,
    environment: &Environment,
    url: &Url,
    warnings: &mut Vec<String>,
    remarks: &mut Vec<String>,
) -> Result<Found, Error> {
    let environment = &environment.filled_up(&options.env_files, warnings)?;
    let is_private = url.scheme() == "https" || is_loopback(url);
    let (mut headers, mut described) = (Vec::new(), Vec::new());
    for path in &options.header_files {
        let path = home_expanded(path);
        warn_of_readers(&path, warnings);
        headers.extend(header::read_file(&path, environment)?);
    }
    for argument in &options.headers {
        headers.push(header::parse(argument, header::Place::Option, environment)?);
    }
    for argument in &options.headers_from {
        headers.push(header::from_command(argument)?);
    }
    let mut expires = None;
    if let Some(command) = &options.access_token_command {
        let place = "--access-token-command".to_owned();
        let header = header::printed(TOKEN, "Cf-Access-Token", command, place)?;
        expires = expiry(header.value.reveal());
        headers.push(header);
    }
    header::leave_out_protocol_headers(&mut headers, warnings);
    if !is_private && !headers.is_empty() {
        warnings.push("the URL is not encrypted (http): anybody on the way can read the headers".to_owned());
    }

    let is_meant = access::is_meant_for(url, environment);
    if !is_meant {
        remarks.push(format!("{} does not name this host: a service token is not sent", access::HOSTS));
    }
    let use_pair =
        !options.no_access && is_meant && !headers.iter().any(header::Header::is_single_header_token);
    let pair =
        access::find(&mut headers, use_pair.then_some(environment), is_private, warnings, &mut described)?;
    let next = match (&pair, use_pair && is_private) {
        (Some(_), true) => access::next(environment, warnings, &mut described)?,
        _ => None,
    };
    let single = options.access_header.as_ref().map(|name| name.parse().map_err(|_| Error::AccessHeader));
    let single: Option<HeaderName> = single.transpose()?;
    let mut written = WrittenHeaders::default();
    for header in &headers {
        described.push(header.described());
        let sendable = written.set(header.name.clone(), &header.value);
        sendable.map_err(|_| header.refused(Problem::Control(0)))?;
    }
    let with = |pair: Option<ServiceToken>| {
        let mut schemes = Vec::new();
        if !written.is_empty() {
            schemes.push(Scheme::Written(written.clone()));
        }
        let pair = pair.map(|pair| match &single {
            Some(name) => pair.in_one_header(name.clone()),
            None => pair,
        });
        schemes.extend(pair.map(Scheme::CfAccess));
        Credentials::new(url, schemes)
    };
    Ok(Found { next: next.map(|next| with(Some(next))), credentials: with(pair), expires, described })
}

/// When a JSON Web Token runs out (RFC 7519, section 4.1.4); none where it does not say so.
fn expiry(token: &str) -> Option<SystemTime> {
    let payload = token.split('.').nth(1)?.trim_end_matches('=');
    let payload = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let seconds = json::member(&payload, "exp")?.parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// A file with secrets in it is its owner's alone.
fn warn_of_readers(path: &Path, warnings: &mut Vec<String>) {
    if platform::others_can_read(path) {
        let path = path.display();
        warnings.push(format!("{path} holds secrets, and others on this computer can read it: chmod 600"));
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
    let text = match positional {
        [] => return Err(Error::NoUrl),
        [text] if is_url(text) => text,
        [_] => return Err(Error::NotUrl),
        several => return Err(Error::TooManyArguments(several.len())),
    };
    if text.contains("${") {
        return Err(Error::UrlVariable);
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
    Ok(Trust { authorities, late_authorities: node.map(PathBuf::from), identity })
}

/// Reads the URL of a proxy, which may hold credentials and is not quoted.
fn proxy(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|_| Error::Proxy)?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
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
