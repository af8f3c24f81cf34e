//! Whether and how a person may sign in (OAuth), from options under the names that mcp-remote gave them.
//!
//! Deliberately not here: the sign-in (`auth::oauth`).

use std::time::Duration;

use url::Url;

use super::{Environment, Error, expand, home_expanded};
use crate::auth::Credentials;
use crate::auth::oauth::store::Client;
use crate::auth::oauth::{Browser, Settings};
use crate::cli::Options;
use crate::http::is_loopback;

/// What is written into the page's address by us alone.
const RESERVED: &[&str] = &[
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
    "scope",
    "nonce",
];

/// How to sign in at `url`; none where that is not wanted, or something else proves already who asks.
pub(super) fn settings(
    options: &Options,
    environment: &Environment,
    url: &Url,
    credentials: &Credentials,
) -> Result<Option<Settings>, Error> {
    let is_asked_for = options.auth == "oauth";
    let client =
        options.static_oauth_client_info.as_deref().map(|text| client(text, environment)).transpose()?;
    let registration = options.static_oauth_client_metadata.as_deref().map(registration).transpose()?;
    let client_metadata_url = options.client_metadata_url.as_deref().map(described).transpose()?;
    let success_url =
        options.auth_success_url.as_deref().map(|url| page(url, options.allow_http)).transpose()?;
    let parameters = options.authorize_params.iter().map(|text| parameter(text)).collect::<Result<_, _>>()?;
    let callback_path = options.callback_path.clone().unwrap_or_else(|| "/oauth/callback".to_owned());
    if !callback_path.starts_with('/') || callback_path.contains(['?', '#', ' ', '\\', '"', '<']) {
        return Err(Error::SignIn { option: "--callback-path", problem: "is not a path that begins with /" });
    }
    if let Some(host) = &options.host
        && !Url::parse(&format!("http://{host}:1/"))
            .is_ok_and(|url| is_loopback(&url) && url.host_str() == Some(host))
    {
        return Err(Error::SignIn { option: "--host", problem: "is not a name of this computer" });
    }
    let is_private = url.scheme() == "https" || is_loopback(url);
    if options.auth == "none" || !is_private || (!is_asked_for && credentials.prove_by_header()) {
        return Ok(None);
    }
    let is_set = |name| environment.get(name).is_some_and(|value| !value.is_empty());
    let scope = registration.as_deref().and_then(|text| crate::json::member(text, "scope"));
    let resource = options.resource.clone().filter(|resource| !resource.is_empty());
    Ok(Some(Settings {
        url: url.clone(),
        folder: dirs::config_dir(),
        browser: Browser {
            named: environment.get("BROWSER").filter(|named| !named.is_empty()).map(str::to_owned),
            is_seen: is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"),
        },
        is_asked_for,
        asks: true,
        patience: options.auth_timeout.map(Duration::from_secs),
        scope: scope.and_then(crate::json::string),
        names_resource: !options.disable_resource_parameter && options.resource.as_deref() != Some(""),
        resource,
        parameters,
        host: options.host.clone(),
        callback_path,
        port: options.positional.get(1).and_then(|port| port.parse().ok()),
        success_url,
        client,
        client_metadata_url,
        registration,
    }))
}

/// What stands in an option, or in the file that it names with `@`.
fn text(option: &'static str, text: &str) -> Result<String, Error> {
    match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(home_expanded(path.as_ref()))
            .map_err(|_| Error::SignIn { option, problem: "names a file that cannot be read" }),
        None => Ok(text.to_owned()),
    }
}

fn client(written: &str, environment: &Environment) -> Result<Client, Error> {
    let option = "--static-oauth-client-info";
    let expanded =
        expand::expand(&text(option, written)?, |name| environment.get(name).map(str::to_owned)).map_err(
            |_| Error::SignIn { option, problem: "names an environment variable that is not set" },
        )?;
    Client::written(&expanded).ok_or(Error::SignIn { option, problem: "is no JSON object with a client_id" })
}

fn registration(written: &str) -> Result<String, Error> {
    let option = "--static-oauth-client-metadata";
    let text = text(option, written)?;
    let is_object = serde_json::from_str::<&serde_json::value::RawValue>(&text)
        .is_ok_and(|value| value.get().starts_with('{'));
    is_object.then_some(text).ok_or(Error::SignIn { option, problem: "is no JSON object" })
}

fn described(written: &str) -> Result<Url, Error> {
    let url = Url::parse(written).ok().filter(|url| url.scheme() == "https" && url.path() != "/");
    let problem = "is not an https URL with a path";
    url.ok_or(Error::SignIn { option: "--client-metadata-url", problem })
}

fn page(written: &str, allow_http: bool) -> Result<Url, Error> {
    let url = Url::parse(written).ok().filter(|url| {
        (url.scheme() == "https" || url.scheme() == "http" && (allow_http || is_loopback(url)))
            && url.username().is_empty()
            && url.password().is_none()
    });
    let problem = "is not a URL of https, or of http on this computer (elsewhere with --allow-http)";
    url.ok_or(Error::SignIn { option: "--auth-success-url", problem })
}

fn parameter(written: &str) -> Result<(String, String), Error> {
    let problem = "is not NAME=VALUE with a name that is free";
    let pair = written.split_once('=').filter(|(name, _)| !name.is_empty() && !RESERVED.contains(name));
    let pair = pair.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or(Error::SignIn { option: "--authorize-param", problem })
}
