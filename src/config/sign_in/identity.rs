//! What tells the sign-in of one entry from that of another, as the options say it.
//!
//! Deliberately not here: which of it counts, and the commands that are printed with it (`oauth::store::identity`).

use url::Url;

use super::SignInOptions;
use crate::cli::{AuthMode, DpopMode, Options, TokenStorePlace};
use crate::config::header;
use crate::http::is_loopback;
use crate::oauth::store::identity::IdentityOptions;

/// What is typed that makes two entries two identities. Headers that the protocol sets itself are not sent, and say nothing.
pub(super) fn typed(
    options: &Options,
    url: &Url,
    written: &SignInOptions,
    lines: &[String],
) -> IdentityOptions {
    let is_sent = |text: &&String| {
        let name = text.split_once(':').and_then(|(name, _)| name.trim().parse().ok());
        name.is_some_and(|name| !header::is_of_the_protocol(&name))
    };
    let trimmed = |text: &Option<String>| text.as_deref().map(str::trim).map(str::to_owned);
    IdentityOptions {
        url: options.positional.first().cloned().unwrap_or_default(),
        profile: options.profile.clone(),
        headers: options.headers.iter().filter(is_sent).cloned().collect(),
        header_files: options.header_files.iter().map(|path| path.display().to_string()).collect(),
        header_lines: lines.iter().filter(is_sent).cloned().collect(),
        headers_from: options.headers_from.clone(),
        resource: trimmed(&options.resource)
            .filter(|resource| !resource.is_empty() && !options.disable_resource_parameter),
        parameters: options
            .authorize_params
            .iter()
            .filter_map(|text| text.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        client: written.client.as_ref().map(|client| {
            (client.client_id.clone(), options.static_oauth_client_info.clone().unwrap_or_default())
        }),
        enterprise: written.enterprise.as_ref().map(|provider| {
            let text = options.enterprise_client_info.clone().unwrap_or_default();
            (provider.issuer.clone(), provider.client.client_id.clone(), text)
        }),
        client_metadata_url: trimmed(&options.client_metadata_url),
        client_credentials: options.client_credentials,
        workload: options.workload_identity.clone(),
        id_token: options.enterprise_id_token.clone(),
        token_endpoint: trimmed(&options.token_endpoint),
        token_store: match &options.token_store {
            TokenStorePlace::File => None,
            TokenStorePlace::Keychain => Some("keychain".to_owned()),
            TokenStorePlace::Command(command) => Some(format!("command:{command}")),
        },
        further: further_options(options, url),
    }
}

/// The options that a command needs besides those of the identity.
fn further_options(options: &Options, url: &Url) -> Vec<String> {
    let mut further = Vec::new();
    if options.auth == AuthMode::Oauth {
        further.extend(["--auth", "oauth"].map(str::to_owned));
    }
    match options.dpop {
        DpopMode::Auto => {}
        DpopMode::Always => further.extend(["--dpop", "always"].map(str::to_owned)),
        DpopMode::Never => further.extend(["--dpop", "never"].map(str::to_owned)),
    }
    further.extend(options.device_code.then(|| "--device-code".to_owned()));
    if let Some(issuer) = &options.oauth_issuer {
        further.extend(["--oauth-issuer".to_owned(), issuer.clone()]);
    }
    if url.scheme() == "http" && !is_loopback(url) {
        further.push("--allow-http".to_owned());
    }
    if let Some(metadata) = &options.oauth_metadata {
        further.extend(["--oauth-metadata".to_owned(), metadata.clone()]);
    }
    if let Some(audience) = &options.workload_audience {
        further.extend(["--workload-audience".to_owned(), audience.clone()]);
    }
    for path in &options.env_files {
        further.extend(["--env-file".to_owned(), path.display().to_string()]);
    }
    further
}
