//! The OAuth client at an authorization server, as it is stored and as a user writes it.
//!
//! `flows::registration` registers it, `flows::token` authenticates it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::oauth::documents;
use crate::oauth::object::Object;
use crate::oauth::private_key::PrivateKey;
use crate::redact;
use crate::secret::Secret;

/// Who we are at an authorization server.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuthClient {
    /// The issuer that knows us by this.
    #[serde(default, deserialize_with = "documents::lenient_or_default")]
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// What proves it, if anything.
    #[serde(
        default,
        deserialize_with = "documents::lenient_filled",
        skip_serializing_if = "Option::is_none"
    )]
    pub client_secret: Option<String>,
    /// When that runs out, in seconds since 1970; 0 for never.
    #[serde(default, deserialize_with = "documents::lenient_or_default")]
    pub client_secret_expires_at: u64,
    /// What proves it in place of that. It is not kept.
    #[serde(skip)]
    pub key: Option<Arc<PrivateKey>>,
    /// A token of the platform that proves it in place of both (RFC 7523, section 2.2). It is not kept.
    #[serde(skip)]
    pub assertion: Option<Secret>,
    /// How it is proven.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<String>,
    /// The redirect URIs.
    #[serde(default, deserialize_with = "documents::lenient_texts_or_empty")]
    pub redirect_uris: Vec<String>,
}

/// A private key as the user wrote it.
pub struct WrittenKey {
    /// In PEM form, or a file with `@` before it.
    pub text: String,
    /// The algorithm that it is for, where that is said.
    pub algorithm: Option<String>,
    /// What the authorization server calls it.
    pub id: Option<String>,
}

impl OAuthClient {
    /// Reads the JSON object of an option: returns the client without its key, and the key as it is written.
    pub fn written(text: &str) -> Option<(OAuthClient, Option<WrittenKey>)> {
        let object = Object::parse(text)?;
        let client = OAuthClient { issuer: String::new(), ..documents::read(text)? };
        client.register_secrets();
        let key = object.text("private_key").filter(|key| !key.is_empty()).map(|text| WrittenKey {
            text,
            algorithm: object.text("token_endpoint_auth_signing_alg"),
            id: object.text("kid"),
        });
        Some((client, key))
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
