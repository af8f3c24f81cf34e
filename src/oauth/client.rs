//! Who we are at an authorization server, as it is kept and as a person writes it.
//!
//! Deliberately not here: how we come to be somebody (`registration`), and how it is proven (`token`).

use std::sync::Arc;

use crate::oauth::object::{Object, Written};
use crate::oauth::private_key::PrivateKey;
use crate::redact;

/// Who we are at an authorization server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OAuthClient {
    /// The issuer that knows us by this.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// What proves it, if anything.
    pub client_secret: Option<String>,
    /// When that runs out, in seconds since 1970; 0 for never.
    pub client_secret_expires_at: u64,
    /// What proves it in place of that. It is not kept.
    pub key: Option<Arc<PrivateKey>>,
    /// How it is proven.
    pub token_endpoint_auth_method: Option<String>,
    /// Where people may be sent back to.
    pub redirect_uris: Vec<String>,
}

/// A private key as a person wrote it.
pub struct WrittenKey {
    /// In PEM form, or a file with `@` before it.
    pub text: String,
    /// The algorithm that it is for, where that is said.
    pub algorithm: Option<String>,
    /// What the authorization server calls it.
    pub id: Option<String>,
}

impl OAuthClient {
    /// Reads one, be it kept or just registered.
    pub(super) fn read(object: Object<'_>) -> Option<OAuthClient> {
        Some(OAuthClient {
            issuer: object.text("issuer").unwrap_or_default(),
            client_id: object.text("client_id")?,
            client_secret: object.text("client_secret").filter(|secret| !secret.is_empty()),
            client_secret_expires_at: object.count("client_secret_expires_at").unwrap_or(0),
            key: None,
            token_endpoint_auth_method: object.text("token_endpoint_auth_method"),
            redirect_uris: object.texts("redirect_uris").unwrap_or_default(),
        })
    }

    /// Reads what a person wrote of one, a JSON object: the client without its key, and how that is written.
    pub fn written(text: &str) -> Option<(OAuthClient, Option<WrittenKey>)> {
        let object = Object::parse(text)?;
        let client = OAuthClient { issuer: String::new(), ..OAuthClient::read(object)? };
        client.register_secrets();
        let key = object.text("private_key").filter(|key| !key.is_empty()).map(|text| WrittenKey {
            text,
            algorithm: object.text("token_endpoint_auth_signing_alg"),
            id: object.text("kid"),
        });
        Some((client, key))
    }

    pub(super) fn write(&self) -> String {
        Written::default()
            .text("issuer", Some(&self.issuer))
            .text("client_id", Some(&self.client_id))
            .text("client_secret", self.client_secret.as_deref())
            .count("client_secret_expires_at", Some(self.client_secret_expires_at))
            .text("token_endpoint_auth_method", self.token_endpoint_auth_method.as_deref())
            .texts("redirect_uris", Some(&self.redirect_uris))
            .finish()
    }

    /// Has its secret taken out of what is written down.
    pub fn register_secrets(&self) {
        self.client_secret.as_deref().into_iter().for_each(redact::register_secret);
    }
}

impl std::fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}
