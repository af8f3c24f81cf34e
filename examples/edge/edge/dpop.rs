//! Proofs of the key that a token is bound to (RFC 9449, 4.3), verified by a library.
//!
//! The tests of the sign-in verify proofs here as well. Deliberately not here: which token is bound to which key, and nonces.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

/// How old a proof may be, and how much ahead of time, in seconds.
const AGES: std::ops::RangeInclusive<i64> = -5..=60;

/// The request that a proof is for.
#[derive(Clone, Copy)]
pub(crate) struct Proved<'a> {
    pub(crate) method: &'a str,
    /// Without query and fragment.
    pub(crate) url: &'a str,
    /// The access token that goes along.
    pub(crate) token: Option<&'a str>,
    /// The moment, in seconds since 1970.
    pub(crate) now: i64,
}

/// What a valid proof says.
#[derive(Clone, Debug)]
pub(crate) struct ProofClaims {
    /// The hash of the key.
    pub(crate) thumbprint: String,
    /// Its id: a second proof with the same id is a copy.
    pub(crate) id: String,
    /// The nonce in it.
    pub(crate) nonce: Option<String>,
}

/// The hash of a text, in base64.
pub(crate) fn hash(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
}

/// The hash of a public key (RFC 7638).
fn thumbprint(key: &Jwk) -> Result<String, String> {
    match &key.algorithm {
        AlgorithmParameters::EllipticCurve(curve) => {
            Ok(hash(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, curve.x, curve.y)))
        }
        other => Err(format!("a key of another kind: {other:?}")),
    }
}

/// Returns whether the header of a proof holds a private key.
fn shows_private_key(proof: &str) -> bool {
    let header = proof.split('.').next().and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    let header = header.and_then(|header| serde_json::from_slice::<Value>(&header).ok());
    header.is_none_or(|header| header["jwk"].get("d").is_some())
}

/// Verifies a proof for a request.
pub(crate) fn verify(proof: &str, request: Proved<'_>) -> Result<ProofClaims, String> {
    let header = jsonwebtoken::decode_header(proof).map_err(|error| error.to_string())?;
    if header.typ.as_deref() != Some("dpop+jwt") || header.alg != Algorithm::ES256 {
        return Err(format!("a header of another kind: {header:?}"));
    }
    let Some(key) = header.jwk.filter(|_| !shows_private_key(proof)) else {
        return Err("there is no key in it, or a private one".to_owned());
    };
    let mut rules = Validation::new(Algorithm::ES256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let decoding = DecodingKey::from_jwk(&key).map_err(|error| error.to_string())?;
    let verified = jsonwebtoken::decode::<Value>(proof, &decoding, &rules);
    let claims = verified.map_err(|error| error.to_string())?.claims;
    let text = |name: &str| claims[name].as_str().map(str::to_owned);
    for (name, expected) in [
        ("htm", Some(request.method)),
        ("htu", Some(request.url)),
        ("ath", request.token.map(hash).as_deref()),
    ] {
        if text(name).as_deref() != expected {
            return Err(format!("{name} is {}, not {expected:?}", claims[name]));
        }
    }
    let age = request.now - claims["iat"].as_i64().ok_or("there is no iat")?;
    if !AGES.contains(&age) {
        return Err(format!("it is {age} seconds old"));
    }
    let id = text("jti").filter(|id| id.len() >= 16).ok_or("there is no jti")?;
    Ok(ProofClaims { thumbprint: thumbprint(&key)?, id, nonce: text("nonce") })
}
