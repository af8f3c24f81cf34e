//! Imports the stored sign-in of mcp-remote 0.15, so that its users need not sign in again. Its files are read and never
//! written: later tokens are stored in our own files.
//!
//! The files are found by the arguments that mcp-remote would have been started with (`config`). They name the issuer of the
//! tokens, but not its token endpoint: that is discovered at the server, and has to belong to the same issuer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files;
use crate::json;
use crate::oauth::client::OAuthClient;
use crate::oauth::documents;
use crate::oauth::metadata::{AuthorizationServer, is_same_issuer};
use crate::oauth::store::{StoredSignIn, Tokens};

/// The folder of its files, in the one that it has for configuration.
const FOLDER: &str = "mcp-remote-v1";

/// The arguments by which it tells sign-ins apart, as they were written.
#[derive(Clone, Debug, Default)]
pub struct McpRemoteArguments<'a> {
    /// The URL of the server.
    pub url: &'a str,
    /// What the server is called.
    pub resource: Option<&'a str>,
    /// What else is to stand in the page's address.
    pub parameters: BTreeMap<&'a str, &'a str>,
    /// The headers, with nothing filled in.
    pub headers: BTreeMap<String, String>,
    /// Where a description of the client is.
    pub client_metadata_url: Option<&'a str>,
}

/// The files' common path, in the folder that it has for configuration.
pub fn path(folder: &Path, arguments: &McpRemoteArguments<'_>) -> PathBuf {
    let object = |pairs: Vec<(&str, String)>| {
        (!pairs.is_empty()).then(|| json::object(pairs.iter().map(|(name, value)| (*name, value.as_str()))))
    };
    let parameters = arguments.parameters.iter().map(|(name, value)| (*name, json::quoted(value)));
    let headers = arguments.headers.iter().map(|(name, value)| (name.as_str(), json::quoted(value)));
    let parts = [
        Some(arguments.url.to_owned()),
        arguments.resource.map(str::to_owned),
        object(parameters.collect()),
        object(headers.collect()),
        arguments.client_metadata_url.map(str::to_owned),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    folder.join(FOLDER).join(format!("{:x}", md5::compute(parts.join("|"))))
}

/// A header as it reads one: the name and the value of `Name: value`.
pub fn header(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    let is_name = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_' || letter == b'-';
    let is_header = !name.is_empty() && name.bytes().all(is_name) && !value.contains(['\n', '\r']);
    is_header.then(|| (name.to_owned(), value.trim_start().to_owned()))
}

/// The file of tokens, as far as it is used.
#[derive(Deserialize)]
struct TokensDocument {
    #[serde(default, deserialize_with = "documents::lenient")]
    issuer: Option<String>,
    #[serde(default, deserialize_with = "documents::lenient_filled")]
    access_token: Option<String>,
    #[serde(default, deserialize_with = "documents::lenient")]
    id_token: Option<String>,
    #[serde(default, deserialize_with = "documents::lenient_filled")]
    refresh_token: Option<String>,
    /// In milliseconds since 1970.
    #[serde(default, deserialize_with = "documents::lenient_number")]
    expires_at: Option<f64>,
    #[serde(default, deserialize_with = "documents::lenient_filled")]
    scope: Option<String>,
    #[serde(default, deserialize_with = "documents::lenient_filled")]
    requested_scope: Option<String>,
}

/// The path of the file of tokens.
pub(in crate::oauth) fn tokens_path(path: &Path) -> PathBuf {
    beside(path, "_tokens.json")
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(end);
    path.into()
}

/// What is there: the tokens, if they say whose they are, and the client that they were given to.
pub(in crate::oauth) fn read(path: &Path) -> Option<StoredSignIn> {
    let text = files::read_regular_text(&tokens_path(path), files::SETTINGS_LIMIT).ok()?;
    let found: TokensDocument = documents::read(&text)?;
    let client = files::read_regular_text(&beside(path, "_client_info.json"), files::SETTINGS_LIMIT).ok();
    let client = client.as_deref().and_then(documents::read::<OAuthClient>);
    let client = client.filter(|client| !client.issuer.is_empty());
    // After an exchange the tokens do not say it any more; the client does.
    let issuer = found.issuer.or_else(|| Some(client.as_ref()?.issuer.clone()))?;
    let client = client.filter(|client| is_same_issuer(&client.issuer, &issuer));
    let tokens = Tokens {
        access_token: found.access_token?,
        id_token: found.id_token,
        refresh_token: found.refresh_token,
        obtained: 0,
        expires: found.expires_at.filter(|end| *end > 0.0).map(|end| (end / 1000.0) as u64),
        scope: found.scope,
        requested: found.requested_scope,
        dpop_key: None,
        is_dpop_bound: false,
    };
    tokens.register_secrets();
    client.iter().for_each(OAuthClient::register_secrets);
    Some(StoredSignIn {
        resource: None,
        authorization: Some(AuthorizationServer { issuer, ..AuthorizationServer::default() }),
        registrations: client.iter().filter(|client| !client.redirect_uris.is_empty()).cloned().collect(),
        client,
        tokens: Some(tokens),
        client_issuer: None,
        omits_resource: false,
        refuses_dpop: false,
        refused_at: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_names_that_mcp_remote_gives_them() {
        let name = |arguments: &McpRemoteArguments<'_>| {
            let path = path(Path::new("/base"), arguments);
            path.strip_prefix("/base/mcp-remote-v1").expect("its folder").display().to_string()
        };
        let url = "https://mcp.example.com/mcp?a=b";
        let headers = ["X-Tenant: a \"b\" é", "Authorization:Bearer ${TOKEN}", "no header", "X.Y: z"];
        let headers: BTreeMap<String, String> = headers.iter().filter_map(|text| header(text)).collect();
        assert_eq!(headers.len(), 2);
        // As its 0.15.1 computes them.
        for (arguments, expected) in [
            (McpRemoteArguments { url, ..McpRemoteArguments::default() }, "26d5dd921c20a44f12a5f605ac8cf7c1"),
            (
                McpRemoteArguments {
                    url,
                    resource: Some("https://r.example/"),
                    ..McpRemoteArguments::default()
                },
                "4306faae604ca29a1b933d8bdd13e524",
            ),
            (
                McpRemoteArguments {
                    url,
                    resource: Some("https://r.example/"),
                    parameters: [("prompt", "login"), ("audience", "x/y")].into_iter().collect(),
                    headers,
                    client_metadata_url: Some("https://c.example/client.json"),
                },
                "c9fd84b3e28627ea5e3636a310556567",
            ),
        ] {
            assert_eq!(name(&arguments), expected, "{arguments:?}");
        }
    }

    #[test]
    fn imports_only_documents_that_name_their_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        let write = |end: &str, text: &str| std::fs::write(beside(&path, end), text).expect("written");
        assert!(read(&path).is_none());
        for (tokens, client, expected) in [
            (r#"{"access_token":"a","issuer":"https://as/"}"#, "", Some(("https://as/", false))),
            (
                r#"{"access_token":"a","issuer":"https://as/"}"#,
                r#"{"client_id":"c","issuer":"https://as"}"#,
                Some(("https://as/", true)),
            ),
            (
                r#"{"access_token":"a","issuer":"https://as"}"#,
                r#"{"client_id":"c","issuer":"https://b"}"#,
                Some(("https://as", false)),
            ),
            (
                r#"{"access_token":"a"}"#,
                r#"{"client_id":"c","issuer":"https://as"}"#,
                Some(("https://as", true)),
            ),
            (r#"{"access_token":"a"}"#, r#"{"client_id":"c"}"#, None),
            (r#"{"access_token":"a"}"#, "", None),
            (r#"{"access_token":"","issuer":"https://as"}"#, "", None),
            (r#"{"issuer":"https://as"}"#, "", None),
            ("{", "", None),
        ] {
            write("_tokens.json", tokens);
            write("_client_info.json", client);
            let stored = read(&path);
            let issuer = |stored: &StoredSignIn| stored.authorization.clone().expect("it is there").issuer;
            let found = stored.as_ref().map(|stored| (issuer(stored), stored.client.is_some()));
            assert_eq!(found, expected.map(|(issuer, client)| (issuer.to_owned(), client)), "{tokens}");
        }
        write(
            "_tokens.json",
            r#"{"access_token":"a","issuer":"i","refresh_token":"r","expires_in":60,"expires_at":1234567,"requested_scope":"x y"}"#,
        );
        let tokens = read(&path).and_then(|stored| stored.tokens).expect("tokens");
        assert_eq!((tokens.expires, tokens.refresh_token.as_deref()), (Some(1234), Some("r")));
        assert_eq!((tokens.requested.as_deref(), tokens.scope), (Some("x y"), None));
    }
}
