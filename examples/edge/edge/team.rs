//! The team's host, which is `https://<team>.cloudflareaccess.com` in the real world: certificates and sign-in page.
//!
//! Apart because it is another origin than the MCP server's: a proxy that follows a redirect ends up here, and every
//! request is noted so that tests can show that no credential ever did. Deliberately not here: how people are signed in
//! (`authorization`).

use std::net::SocketAddr;
use std::sync::OnceLock;

use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers;
use super::authorization::Authorization;
use super::seen::Log;
use super::token;

/// The team: its address, its key and who came by.
#[derive(Clone)]
pub(super) struct Team {
    url: String,
    log: Log,
}

impl Team {
    /// A team whose host listens on this address.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { url: format!("http://{address}"), log: Log::default() }
    }

    /// The address of the host, which is also the issuer of its tokens.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Everything that was asked of the host.
    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Signs a JSON Web Token with the team's key.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let key = Key::of_this_process();
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &key.private).expect("an RSA key signs any JSON object")
    }

    /// The person whom a token was signed for that has not expired yet.
    pub(super) fn person(&self, token: &str, audience: &str) -> Option<String> {
        let key = jsonwebtoken::jwk::Jwk::deserialize(&Key::of_this_process().public).ok()?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = 0;
        validation.set_audience(&[audience]);
        validation.set_issuer(&[&self.url]);
        let token =
            jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(&key).ok()?, &validation).ok()?;
        Some(token.claims["email"].as_str()?.to_owned())
    }

    /// What the host answers, which signs people in as `authorization` does.
    pub(super) fn router(&self, authorization: &Authorization) -> Router {
        let router = authorization
            .router()
            .route(
                "/cdn-cgi/access/certs",
                get(async || Json(json!({ "keys": [Key::of_this_process().public] }))),
            )
            .route("/cdn-cgi/access/login/{*application}", get(async || answers::sign_in_page()))
            .fallback(async || StatusCode::NOT_FOUND)
            .layer(map_response(async |response: Response| answers::stamp(response)));
        self.log.watching(router)
    }
}

/// The signing key of the stand-in, written down because making one takes seconds. It opens nothing.
const PRIVATE_KEY: &[u8] = include_bytes!("../../../tests/keys/rsa-2048.pkcs1.der");

/// The signing key under an id that is new in each process, as if the team had rotated it.
struct Key {
    id: String,
    private: EncodingKey,
    public: Value,
}

impl Key {
    fn of_this_process() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(Self::under_new_id)
    }

    fn under_new_id() -> Self {
        let id = token::hex(64);
        let pair = ring::rsa::KeyPair::from_der(PRIVATE_KEY).expect("openssl made the key");
        let components = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let encoded = |bytes: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (n, e) = (encoded(components.n), encoded(components.e));
        let public = json!({ "kid": id, "kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e });
        let private = EncodingKey::from_rsa_der(PRIVATE_KEY);
        Self { id, private, public }
    }
}
