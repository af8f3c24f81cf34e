//! Whether and how to sign in (OAuth), from options under the names that mcp-remote gave them.
//!
//! Deliberately not here: the sign-in (`oauth`).

mod identity;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::federation::{self, IdentityProvider};
use super::{Environment, Error, expand, home_expanded, token_store, warn_of_readers};
use crate::auth::Credentials;
use crate::cli::{AuthMode, DpopMode, Options};
use crate::files;
use crate::http::is_loopback;
use crate::json;
use crate::oauth::client::OAuthClient;
use crate::oauth::metadata::{AuthorizationServer, is_issuer};
use crate::oauth::private_key::PrivateKey;
use crate::oauth::store::mcp_remote_import::{self, McpRemoteArguments};
use crate::oauth::store::token_store::TokenStore;
use crate::oauth::{
    Browser, DpopUse, Grant, MetadataSource, SignInIdentity, SignInSettings, WorkloadIdentity,
};
use crate::{platform, redact};

/// Parameters of the authorization request that options cannot set.
const RESERVED: &[&str] = &[
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
];
/// The options that name the client.
const CLIENT: &str = "--static-oauth-client-info";

/// Returns how to sign in at `url`; none if the user excludes it, or a header already authenticates the client.
pub(super) fn settings(
    options: &Options,
    environment: &Environment,
    url: &Url,
    credentials: &Credentials,
    warnings: &mut Vec<String>,
) -> Result<Option<SignInSettings>, Error> {
    let written = SignInOptions::read(options, environment, warnings)?;
    let is_private = url.scheme() == "https" || is_loopback(url);
    check_grant(&written.grant, options.auth, is_private)?;
    let is_asked_for = options.auth == AuthMode::Oauth;
    let is_named = is_asked_for || written.grant != Grant::Page;
    if options.auth == AuthMode::None || (!is_named && credentials.prove_by_header()) {
        return Ok(None);
    }
    let lines = header_lines(options);
    let may_import = matches!(written.grant, Grant::Page | Grant::Device) && is_private;
    let import = import_folder(options, environment, may_import);
    let resource = options.resource.as_deref().map(str::trim);
    let scope_of_page = written.parameters.iter().find(|(name, _)| name == "scope").map(|(_, scope)| scope);
    let settings = SignInSettings {
        url: url.clone(),
        identity: SignInIdentity::of(&identity::typed(options, url, &written, &lines)),
        // The platform gives another token at any time: nothing is kept.
        folder: super::folder(environment).filter(|_| written.workload.is_none()),
        token_store: match &written.workload {
            None => token_store::token_store(options)?,
            Some(_) => TokenStore::File,
        },
        enterprise: None,
        id_token: None,
        mcp_remote_import: import.map(|folder| mcp_remote_import::path(&folder, &arguments(options, &lines))),
        browser: browser(environment),
        is_asked_for,
        dpop: written.dpop,
        uses_id_token: options.use_id_token,
        asks: true,
        patience: options.auth_timeout.map(Duration::from_secs),
        scope: written.registered("scope").or_else(|| scope_of_page.cloned()),
        names_resource: !options.disable_resource_parameter && resource != Some(""),
        resource: resource.filter(|resource| !resource.is_empty()).map(str::to_owned),
        host: options.host.clone(),
        port: options.positional.get(1).and_then(|port| port.parse().ok()),
        callback_bind: options.callback_bind,
        pasted: None,
        workload: written.workload,
        issuer: written.issuer,
        metadata: written.metadata,
        grant: written.grant,
        parameters: written.parameters,
        callback_path: written.callback_path,
        success_url: written.success_url,
        client: written.client,
        client_metadata_url: written.client_metadata_url,
        registration: written.registration,
    };
    let enterprise = written.enterprise;
    let enterprise = enterprise.map(|provider| Box::new(provider.settings(&settings, options.device_code)));
    Ok(Some(SignInSettings { enterprise, ..settings }))
}

/// The browser of the environment.
fn browser(environment: &Environment) -> Browser {
    let is_set = |name| environment.get(name).is_some_and(|value| !value.is_empty());
    Browser {
        named: environment.get("BROWSER").filter(|named| !named.is_empty()).map(str::to_owned),
        desktop: platform::desktop(is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"), is_set("WSL_DISTRO_NAME")),
    }
}

/// The options about signing in, read and checked.
struct SignInOptions {
    client: Option<OAuthClient>,
    registration: Option<String>,
    client_metadata_url: Option<Url>,
    success_url: Option<Url>,
    parameters: Vec<(String, String)>,
    callback_path: String,
    grant: Grant,
    issuer: Option<String>,
    metadata: Option<MetadataSource>,
    workload: Option<Arc<WorkloadIdentity>>,
    enterprise: Option<IdentityProvider>,
    dpop: DpopUse,
}

impl SignInOptions {
    fn read(
        options: &Options,
        environment: &Environment,
        warnings: &mut Vec<String>,
    ) -> Result<SignInOptions, Error> {
        let client = options.static_oauth_client_info.as_deref();
        let client = client.map(|text| client_info(CLIENT, text, environment, warnings)).transpose()?;
        let registration = options.static_oauth_client_metadata.as_deref();
        let registration = registration.map(|text| registration_request(text, warnings)).transpose()?;
        let client_metadata_url = options.client_metadata_url.as_deref().map(described).transpose()?;
        let success_url = options.auth_success_url.as_deref();
        let success_url = success_url.map(|url| page(url, options.allow_http)).transpose()?;
        let parameters = options.authorize_params.iter().map(|text| parameter(text));
        let mut written = SignInOptions {
            client,
            registration,
            client_metadata_url,
            success_url,
            parameters: parameters.collect::<Result<_, _>>()?,
            callback_path: callback_path(options)?,
            grant: Grant::Page,
            issuer: None,
            metadata: None,
            workload: federation::workload(options, environment)?,
            enterprise: federation::enterprise(options, environment, warnings)?,
            dpop: dpop(options)?,
        };
        let method = written.registered("token_endpoint_auth_method");
        if let Some(client) = &mut written.client
            && client.token_endpoint_auth_method.is_none()
        {
            client.token_endpoint_auth_method = method;
        }
        check_host_and_resource(options)?;
        written.grant = grant(options, written.client.as_ref())?;
        let issuer = options.oauth_issuer.as_deref();
        written.issuer = issuer.map(|text| self::issuer(text, options.allow_http)).transpose()?;
        let metadata = options.oauth_metadata.as_deref();
        written.metadata = metadata.map(|text| self::metadata(text, warnings)).transpose()?;
        Ok(written)
    }

    /// A text of the registration request that the user wrote.
    fn registered(&self, name: &str) -> Option<String> {
        json::member(self.registration.as_deref()?, name).and_then(json::string)
    }
}

/// When tokens are bound to a key.
fn dpop(options: &Options) -> Result<DpopUse, Error> {
    match options.dpop {
        DpopMode::Always if options.use_id_token => {
            let sentence =
                "--dpop always cannot be used with --use-id-token, because no ID token is bound to a key";
            Err(Error::Grant { sentence: sentence.to_owned(), advice: "leave one of them out" })
        }
        DpopMode::Always => Ok(DpopUse::Always),
        DpopMode::Auto => Ok(DpopUse::Offered),
        DpopMode::Never => Ok(DpopUse::Never),
    }
}

/// The path of the OAuth redirect URI.
fn callback_path(options: &Options) -> Result<String, Error> {
    let path = options.callback_path.as_deref().unwrap_or("/oauth/callback");
    match path.starts_with('/') && !path.contains(['?', '#', ' ', '\\', '"', '<']) {
        true => Ok(path.to_owned()),
        false => {
            Err(Error::SignIn { option: "--callback-path", problem: "is not a path that begins with /" })
        }
    }
}

fn check_host_and_resource(options: &Options) -> Result<(), Error> {
    if let Some(host) = &options.host
        && !Url::parse(&format!("http://{host}:1/"))
            .is_ok_and(|url| is_loopback(&url) && url.host_str() == Some(host))
    {
        return Err(Error::SignIn { option: "--host", problem: "is not a name of this computer" });
    }
    let resource = options.resource.as_deref().map(str::trim);
    match resource.is_some_and(|resource| !resource.is_empty() && Url::parse(resource).is_err()) {
        true => Err(Error::SignIn { option: "--resource", problem: "is not a whole URI (https://…)" }),
        false => Ok(()),
    }
}

/// Refuses a grant that cannot be used with this URL or this mode.
fn check_grant(grant: &Grant, mode: AuthMode, is_private: bool) -> Result<(), Error> {
    if *grant == Grant::Page {
        return Ok(());
    }
    // Over http a user signs in, in the local network alone; a client that sends its own secret does not.
    let may_be_plain = grant.asks_user() && *grant != Grant::Enterprise;
    let (other, advice) = match (is_private || may_be_plain, mode) {
        (false, _) => ("a URL that is not encrypted (http)", "use https://"),
        (true, AuthMode::None) => ("--auth none", "leave one of them out"),
        (true, _) => return Ok(()),
    };
    Err(Error::Grant { sentence: format!("{} cannot be used with {other}", named(grant)), advice })
}

/// The folder in which mcp-remote may have stored the sign-in of this entry. `has_use` is false for a grant without a user
/// and for a URL without encryption.
fn import_folder(options: &Options, environment: &Environment, has_use: bool) -> Option<PathBuf> {
    // mcp-remote's key does not hold these options, so its sign-in belongs to an entry without them.
    let is_told_apart_here = options.profile.is_some()
        || options.static_oauth_client_info.is_some()
        || options.client_metadata_url.is_some()
        || !options.headers_from.is_empty();
    if is_told_apart_here || !has_use {
        return None;
    }
    let named = environment.get("MCP_REMOTE_CONFIG_DIR").filter(|path| !path.is_empty());
    named.map(|path| home_expanded(Path::new(path))).or_else(|| Some(dirs::home_dir()?.join(".mcp-auth")))
}

/// The headers of files, a line each, as they are typed.
fn header_lines(options: &Options) -> Vec<String> {
    // A pipe can be read once only, and the headers themselves come from there.
    let read = |path: &PathBuf| files::read_regular_text(&home_expanded(path), files::SETTINGS_LIMIT).ok();
    let files = options.header_files.iter().filter_map(read);
    let lines = files.flat_map(|text| {
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    });
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The arguments as mcp-remote would have read them.
fn arguments<'a>(options: &'a Options, lines: &'a [String]) -> McpRemoteArguments<'a> {
    let written = lines.iter().chain(&options.headers);
    McpRemoteArguments {
        url: options.positional.first().map(String::as_str).unwrap_or_default(),
        resource: options
            .resource
            .as_deref()
            .map(str::trim)
            .filter(|resource| !resource.is_empty() && !options.disable_resource_parameter),
        parameters: options
            .authorize_params
            .iter()
            .filter_map(|text| text.split_once('='))
            .map(|(name, value)| (name.trim(), value))
            .collect(),
        headers: written.filter_map(|text| mcp_remote_import::header(text)).collect(),
        client_metadata_url: options.client_metadata_url.as_deref().map(str::trim),
    }
}

/// The issuer that is accepted, as it is typed.
fn issuer(written: &str, allow_http: bool) -> Result<String, Error> {
    let written = written.trim();
    let problem = "is not an https URL (or http on this computer, elsewhere with --allow-http) without a user name, a ? and a #";
    match is_issuer(written, allow_http) {
        true => Ok(written.to_owned()),
        false => Err(Error::SignIn { option: "--oauth-issuer", problem }),
    }
}

/// The metadata of the authorization server, or where it is.
fn metadata(written: &str, warnings: &mut Vec<String>) -> Result<MetadataSource, Error> {
    let (option, written) = ("--oauth-metadata", written.trim());
    if written.starts_with('@') {
        let text = text(option, written, warnings)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let problem = "names a file without the metadata of an authorization server (JSON with issuer and token_endpoint)";
        let metadata = AuthorizationServer::published(text).ok_or(Error::SignIn { option, problem })?;
        return Ok(MetadataSource::Written(Box::new(metadata)));
    }
    let url = Url::parse(written).ok().filter(is_endpoint);
    let problem = "is neither @FILE nor an https URL (or http on this computer) without a user name and a #";
    url.map(MetadataSource::At).ok_or(Error::SignIn { option, problem })
}

/// The option that names a grant.
fn named(grant: &Grant) -> &'static str {
    match grant {
        Grant::Page => "--auth",
        Grant::Device => "--device-code",
        Grant::Client(_) => "--client-credentials",
        Grant::Workload(_) => "--workload-identity",
        Grant::Enterprise => "--enterprise-idp",
    }
}

/// How a token is come by, and whether there is what that takes.
fn grant(options: &Options, client: Option<&OAuthClient>) -> Result<Grant, Error> {
    let endpoint = token_endpoint(options)?;
    match (options.client_credentials, &options.workload_identity) {
        (true, _) => {}
        (false, Some(_)) => return workload_grant(options, client, endpoint),
        (false, None) if options.enterprise_idp.is_some() => return Ok(Grant::Enterprise),
        (false, None) if options.device_code => return Ok(Grant::Device),
        (false, None) => return Ok(Grant::Page),
    }
    let refused = |sentence: &str, advice| Err(Error::Grant { sentence: sentence.to_owned(), advice });
    match client {
        None => refused(
            "--client-credentials requires --static-oauth-client-info",
            "add --static-oauth-client-info '{\"client_id\": \"…\", \"client_secret\": \"${SECRET}\"}', or a private_key in place of the secret",
        ),
        Some(client) if options.workload_identity.is_some() => match proves_itself(client) {
            false => Ok(Grant::Client(endpoint)),
            true => refused(
                "--workload-identity cannot be used with the client_secret or private_key of --client-credentials",
                "leave the secret or key out of --static-oauth-client-info: the platform's token takes its place",
            ),
        },
        Some(client) if !proves_itself(client) => refused(
            "--client-credentials requires a client_secret or a private_key in --static-oauth-client-info",
            "add one of them: \"client_secret\": \"${SECRET}\", or \"private_key\": \"@key.pem\"",
        ),
        Some(client) => {
            match (client.token_endpoint_auth_method.as_deref(), &client.client_secret, &client.key) {
                (Some("none"), ..) => refused(
                    "--client-credentials cannot be used with the token_endpoint_auth_method none",
                    "leave token_endpoint_auth_method out, or write the one that the client is registered with",
                ),
                (Some("private_key_jwt"), _, None) => refused(
                    "the token_endpoint_auth_method of --static-oauth-client-info requires a private_key, which is missing",
                    "add it: \"private_key\": \"@key.pem\"",
                ),
                (Some("client_secret_basic" | "client_secret_post"), None, _) => refused(
                    "the token_endpoint_auth_method of --static-oauth-client-info requires a client_secret, which is missing",
                    "add it: \"client_secret\": \"${SECRET}\"",
                ),
                _ => Ok(Grant::Client(endpoint)),
            }
        }
    }
}

/// The grant of a workload. Nothing is stored that would bind a secret to the issuer where it was first used.
fn workload_grant(
    options: &Options,
    client: Option<&OAuthClient>,
    endpoint: Option<Url>,
) -> Result<Grant, Error> {
    let is_named = endpoint.is_some() || options.oauth_issuer.is_some() || options.oauth_metadata.is_some();
    match client.is_some_and(proves_itself) && !is_named {
        true => Err(Error::Grant {
            sentence: "--workload-identity with a client_secret or private_key requires --oauth-issuer"
                .to_owned(),
            advice: "name the authorization server that the secret may be sent to: --oauth-issuer URL",
        }),
        false => Ok(Grant::Workload(endpoint)),
    }
}

/// Returns whether a client of the options has what proves it.
fn proves_itself(client: &OAuthClient) -> bool {
    client.client_secret.is_some() || client.key.is_some()
}

/// The token endpoint that the user names, for a grant that asks no user.
fn token_endpoint(options: &Options) -> Result<Option<Url>, Error> {
    let Some(text) = &options.token_endpoint else { return Ok(None) };
    if !options.client_credentials && options.workload_identity.is_none() {
        return Err(Error::Grant {
            sentence: "--token-endpoint requires --client-credentials or --workload-identity".to_owned(),
            advice: "add one of them, or leave --token-endpoint out: the server publishes its token endpoint",
        });
    }
    let url = Url::parse(text.trim()).ok().filter(is_endpoint);
    let problem = "is not an https URL (or http on this computer) without a user name and a #";
    url.map(Some).ok_or(Error::SignIn { option: "--token-endpoint", problem })
}

/// Returns whether a URL of the options can receive what is secret.
pub(super) fn is_endpoint(url: &Url) -> bool {
    (url.scheme() == "https" || url.scheme() == "http" && is_loopback(url))
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

/// The value of an option, or of the file that it names with `@`.
fn text(option: &'static str, text: &str, warnings: &mut Vec<String>) -> Result<String, Error> {
    match text.strip_prefix('@') {
        Some(path) => {
            let path = home_expanded(path.as_ref());
            if option == CLIENT || option == federation::CLIENT {
                warn_of_readers(&path, warnings);
            }
            files::read_text(&path, files::SETTINGS_LIMIT).map_err(|reason| Error::Grant {
                sentence: format!("the value of {option} names a file that cannot be read: {reason}"),
                advice: "check the path behind the @, and that this user may read the file",
            })
        }
        None => Ok(text.to_owned()),
    }
}

/// The client of an option.
pub(super) fn client_info(
    option: &'static str,
    written: &str,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<OAuthClient, Error> {
    let text = text(option, written, warnings)?;
    // Variables are expanded in the strings of the object, unless one is the whole object.
    let is_object = text.trim_start().starts_with('{');
    let lookup = |name: &str| {
        let value = environment.get(name)?;
        let quoted = json::quoted(value);
        let inside = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"'));
        Some(inside.filter(|_| is_object).unwrap_or(value).to_owned())
    };
    let expanded = expand::expand(&text, lookup).map_err(|error| Error::Grant {
        sentence: format!("the value of {option} cannot be filled in: {error}"),
        advice: "set it in the environment or in the \"env\" of this server's entry",
    })?;
    let (client, key) = OAuthClient::written(&expanded)
        .ok_or(Error::SignIn { option, problem: "is not a JSON object with a client_id" })?;
    let Some(key) = key else { return Ok(client) };
    let pem = match key.text.strip_prefix('@') {
        Some(path) => {
            let path = home_expanded(path.as_ref());
            warn_of_readers(&path, warnings);
            files::read_text(&path, files::SETTINGS_LIMIT).map_err(|error| Error::Grant {
                sentence: format!(
                    "the file {} of the private_key of {option} cannot be read: {error}",
                    path.display()
                ),
                advice: "check the path, and that this user may read the file",
            })?
        }
        None => key.text,
    };
    let key = PrivateKey::read(&pem, key.algorithm.as_deref(), key.id).map_err(|reason| Error::Grant {
        sentence: format!("the private_key of {option} {reason}"),
        advice: "write the key in PEM form there, or @FILE: made, for example, by openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    })?;
    Ok(OAuthClient { key: Some(Arc::new(key)), ..client })
}

fn registration_request(written: &str, warnings: &mut Vec<String>) -> Result<String, Error> {
    let option = "--static-oauth-client-metadata";
    let text = text(option, written, warnings)?;
    let is_object = serde_json::from_str::<&serde_json::value::RawValue>(&text)
        .is_ok_and(|value| value.get().starts_with('{'));
    for (name, value) in json::members(&text) {
        let value = json::string(value)
            .filter(|_| redact::is_sensitive_header(&name) || name == "software_statement");
        value.iter().for_each(|value| redact::register_member(&name, value));
    }
    is_object.then_some(text).ok_or(Error::SignIn { option, problem: "is not a JSON object" })
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
    let problem = "is not an https URL (or http on this computer, elsewhere with --allow-http)";
    url.ok_or(Error::SignIn { option: "--auth-success-url", problem })
}

fn parameter(written: &str) -> Result<(String, String), Error> {
    let problem = "is not NAME=VALUE with a name that is free";
    let pair = written.split_once('=').filter(|(name, _)| !name.is_empty() && !RESERVED.contains(name));
    let pair = pair.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or(Error::SignIn { option: "--authorize-param", problem })
}
