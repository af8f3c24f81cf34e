//! Sign-ins that begin elsewhere: the workload identity that a platform gives.
//!
//! Deliberately not here: the sign-in (`oauth`), and its other options (`sign_in`).

use std::sync::Arc;

use url::Url;

use super::sign_in::is_endpoint;
use super::{Environment, Error, command, home_expanded};
use crate::cli::Options;
use crate::oauth::{TokenSource, WorkloadIdentity};
use crate::redact;
use crate::secret::Secret;

/// The option.
const WORKLOAD: &str = "--workload-identity";
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
    let source = match written.split_once(':') {
        None if written == "github" => github(environment)?,
        None if written == "gitlab" => variable(environment, GITLAB)?,
        Some(("env", name)) if is_variable(name) => variable(environment, name)?,
        Some(("file", path)) if !path.is_empty() => TokenSource::File(home_expanded(path.as_ref())),
        Some(("command", command)) if !command.trim().is_empty() => {
            let command = command.to_owned();
            TokenSource::Command(Arc::new(move || command::output(&command, false)))
        }
        _ => {
            let problem = "is none of github, gitlab, env:NAME, file:PATH and command:COMMAND";
            return Err(Error::SignIn { option: WORKLOAD, problem });
        }
    };
    let audience = options.workload_audience.as_deref().map(str::trim);
    if audience.is_some_and(str::is_empty) {
        return Err(Error::SignIn { option: "--workload-audience", problem: "is empty" });
    }
    Ok(Some(Arc::new(WorkloadIdentity { source, audience: audience.map(str::to_owned) })))
}

/// Returns whether a text can be the name of a variable; a token cannot.
fn is_variable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn variable(environment: &Environment, name: &str) -> Result<TokenSource, Error> {
    let value = environment.get(name).map(str::trim).filter(|value| !value.is_empty());
    let Some(value) = value else {
        return Err(Error::Grant {
            sentence: format!("{name} is not set, which {WORKLOAD} reads the platform's token from"),
            advice: "set it; in GitLab, name it under id_tokens of the job, with the audience (aud)",
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
