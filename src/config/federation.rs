//! Sign-ins that begin elsewhere: the workload identity that a platform gives, and the company's identity provider.
//!
//! Deliberately not here: the sign-in (`oauth`), and its other options (`sign_in`).

use std::sync::Arc;

use url::Url;

use super::sign_in::{client_info, is_endpoint};
use super::{Environment, Error, command, home_expanded};
use crate::cli::Options;
use crate::oauth::client::OAuthClient;
use crate::oauth::metadata::is_issuer;
use crate::oauth::{DpopUse, Grant, MetadataSource, SignInSettings, TokenSource, WorkloadIdentity};
use crate::redact;
use crate::secret::Secret;

/// The option that names where the platform's token comes from.
const WORKLOAD: &str = "--workload-identity";
/// The option that names the identity provider.
const PROVIDER: &str = "--enterprise-idp";
/// The option that names where its ID token comes from.
const ID_TOKEN: &str = "--enterprise-id-token";
/// The option that names the client there.
pub(super) const CLIENT: &str = "--enterprise-client-info";
/// Where a job of GitHub Actions gets its token, and what it proves itself by there.
const GITHUB: [&str; 2] = ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];
/// The variable in which a job of GitLab has its token, by the name that the guide gives it in `id_tokens`.
const GITLAB: &str = "MCP_ID_TOKEN";

/// The workload identity of this process, if an option names one.
pub(super) fn workload(
    options: &Options,
    environment: &Environment,
) -> Result<Option<Arc<WorkloadIdentity>>, Error> {
    let Some(written) = &options.workload_identity else { return Ok(None) };
    let source = match written.as_str() {
        "github" => Some(github(environment)?),
        "gitlab" => Some(variable(WORKLOAD, environment, GITLAB)?),
        written => source(WORKLOAD, written, environment)?,
    };
    let problem = "is none of github, gitlab, env:NAME, file:PATH and command:COMMAND";
    let source = source.ok_or(Error::SignIn { option: WORKLOAD, problem })?;
    let audience = options.workload_audience.as_deref().map(str::trim);
    if audience.is_some_and(str::is_empty) {
        return Err(Error::SignIn { option: "--workload-audience", problem: "is empty" });
    }
    Ok(Some(Arc::new(WorkloadIdentity { source, audience: audience.map(str::to_owned) })))
}

/// Where a token comes from, as an option names it: a variable, a file or a command.
fn source(
    option: &'static str,
    written: &str,
    environment: &Environment,
) -> Result<Option<TokenSource>, Error> {
    Ok(match written.split_once(':') {
        Some(("env", name)) if is_variable(name) => Some(variable(option, environment, name)?),
        Some(("file", path)) if !path.is_empty() => Some(TokenSource::File(home_expanded(path.as_ref()))),
        Some(("command", command)) if !command.trim().is_empty() => {
            let command = command.to_owned();
            Some(TokenSource::Command(option, Arc::new(move || command::output(&command, false))))
        }
        _ => None,
    })
}

/// Returns whether a text can be the name of a variable; a token cannot.
fn is_variable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn variable(option: &str, environment: &Environment, name: &str) -> Result<TokenSource, Error> {
    let value = environment.get(name).map(str::trim).filter(|value| !value.is_empty());
    let Some(value) = value else {
        return Err(Error::Grant {
            sentence: format!("{name} is not set, which {option} reads the token from"),
            advice: "set it in the environment; in GitLab, name it under id_tokens of the job, with the audience (aud)",
        });
    };
    redact::register_token(value);
    Ok(TokenSource::Variable(name.to_owned(), Secret::new(value)))
}

fn github(environment: &Environment) -> Result<TokenSource, Error> {
    let [url, bearer] = GITHUB.map(|name| environment.get(name).filter(|value| !value.is_empty()));
    let (Some(url), Some(bearer)) = (url, bearer) else {
        let [name, other] = GITHUB;
        let missing = if url.is_none() { name } else { other };
        return Err(Error::Grant {
            sentence: format!("{missing} is not set, so GitHub Actions gives this job no token"),
            advice: "give the job the permission id-token: write (permissions, in the workflow)",
        });
    };
    redact::register_secret(bearer);
    let Some(url) = Url::parse(url).ok().filter(is_endpoint) else {
        return Err(Error::Grant {
            sentence: "ACTIONS_ID_TOKEN_REQUEST_URL is not an https URL".to_owned(),
            advice: "leave that variable as GitHub Actions sets it",
        });
    };
    Ok(TokenSource::GitHub { url, bearer: Secret::new(bearer) })
}

/// The company's identity provider, and the client there.
pub(super) struct IdentityProvider {
    url: Url,
    /// As it is typed.
    pub(super) issuer: String,
    pub(super) client: OAuthClient,
    id_token: Option<TokenSource>,
}

/// The identity provider that the options name.
pub(super) fn enterprise(
    options: &Options,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<Option<IdentityProvider>, Error> {
    let (Some(issuer), Some(client)) = (&options.enterprise_idp, &options.enterprise_client_info) else {
        return Ok(None);
    };
    let issuer = issuer.trim().to_owned();
    let url = Url::parse(&issuer).ok().filter(|_| is_issuer(&issuer, false));
    let problem = "is not an https URL (or http on this computer) without a user name, a ? and a #";
    let url = url.ok_or(Error::SignIn { option: PROVIDER, problem })?;
    let client = client_info(CLIENT, client, environment, warnings)?;
    let id_token = match &options.enterprise_id_token {
        Some(written) => {
            let problem = "is none of env:NAME, file:PATH and command:COMMAND";
            let source = source(ID_TOKEN, written, environment)?;
            Some(source.ok_or(Error::SignIn { option: ID_TOKEN, problem })?)
        }
        None => None,
    };
    if options.static_oauth_client_info.is_none() && options.client_metadata_url.is_none() {
        return Err(Error::Grant {
            sentence: format!("{PROVIDER} requires a client at the server's authorization server"),
            advice: "name it with --static-oauth-client-info, or its metadata document with --client-metadata-url",
        });
    }
    Ok(Some(IdentityProvider { url, issuer, client, id_token }))
}

impl IdentityProvider {
    /// How to sign in there for a server with these settings.
    pub(super) fn settings(self, server: &SignInSettings, with_code: bool) -> SignInSettings {
        let parameters = server.parameters.iter();
        let parameters = parameters.filter(|(name, _)| !matches!(name.as_str(), "scope" | "resource"));
        SignInSettings {
            url: self.url,
            identity: server.identity.at_provider(&self.client.client_id),
            issuer: Some(self.issuer.clone()),
            metadata: Some(MetadataSource::OfIssuer(self.issuer)),
            grant: if with_code { Grant::Device } else { Grant::Page },
            mcp_remote_import: None,
            // It is what the identity provider vouches by.
            uses_id_token: true,
            scope: None,
            resource: None,
            names_resource: false,
            // Only its ID token is used, and no key is bound to that.
            dpop: DpopUse::Never,
            parameters: parameters.cloned().collect(),
            client: Some(self.client),
            id_token: self.id_token,
            client_metadata_url: None,
            registration: None,
            ..server.clone()
        }
    }
}
