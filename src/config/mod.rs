//! From what was typed and what the environment holds to a configuration that can work.
//!
//! Everything that can be wrong with a credential is found here, before anything is sent, and no error quotes a value.
//! The environment comes in as a value, so that tests need none of their own. Deliberately not here: how credentials
//! travel (`auth`), and the wording of advice about failures on the wire (`diagnosis`).

mod access;
mod error;
pub mod expand;
mod header;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

pub use error::{Error, Problem};

use crate::auth::{Credentials, Scheme, WrittenHeaders};
use crate::cli::Options;
use crate::http::{Family, Settings, is_loopback};
use crate::tls::{self, Trust};

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
    pub credentials: Credentials,
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

        let mut headers = Vec::new();
        for path in &options.header_files {
            headers.extend(header::read_file(&home_expanded(path), environment)?);
        }
        for argument in &options.headers {
            headers.push(header::parse(argument, header::Place::Option, environment)?);
        }
        header::leave_out_protocol_headers(&mut headers, &mut warnings);
        if !is_private && !headers.is_empty() {
            warnings
                .push("the URL is not encrypted (http): anybody on the way can read the headers".to_owned());
        }

        let mut remarks = Vec::new();
        let is_meant = access::is_meant_for(&url, environment);
        if !is_meant {
            remarks.push(format!("{} does not name this host: a service token is not sent", access::HOSTS));
        }
        let use_pair =
            !options.no_access && is_meant && !headers.iter().any(header::Header::is_single_header_token);
        let pair = access::find(&mut headers, use_pair.then_some(environment), is_private, &mut warnings)?;
        let mut written = WrittenHeaders::default();
        for header in &headers {
            let sendable = written.set(header.name.clone(), &header.value);
            sendable.map_err(|_| header.refused(Problem::Control(0)))?;
        }
        let mut schemes = Vec::new();
        if !written.is_empty() {
            schemes.push(Scheme::Written(written));
        }
        schemes.extend(pair.map(Scheme::CfAccess));
        Ok(Config {
            credentials: Credentials::new(&url, schemes),
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

/// No shell has expanded a `~/` that stands in a client's configuration.
fn home_expanded(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), dirs::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
