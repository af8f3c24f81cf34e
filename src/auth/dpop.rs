//! DPoP (RFC 9449): an access token that is bound to a key, and the proof of that key beside it in each request.
//!
//! A bound token without the key is of no use to a thief. The key is made for one sign-in and never sent; a proof names one
//! method, one address and one moment, and is sent once. Deliberately not here: when a token is bound (`oauth`), and the
//! key of a client (`oauth::private_key`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::http::www_authenticate::{DpopError, dpop_error};
use crate::json;
use crate::redact;

/// The algorithm of every proof (RFC 7518, 3.1).
pub const ALGORITHM: &str = "ES256";
/// The header of a proof (RFC 9449, 4.1).
pub const PROOF: HeaderName = HeaderName::from_static("dpop");
/// The header with the nonce of a server (RFC 9449, 8.1).
const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// How long a nonce may be, in bytes.
const LONGEST_NONCE: usize = 1024;
/// How long a coordinate of a public key on the curve P-256 is, in bytes.
const COORDINATE: usize = 32;
/// How many random bytes identify a proof.
const ID: usize = 16;
/// From how far on two clocks differ, in seconds. `Date` counts whole seconds, and the answer took a moment.
const SKEW: i64 = 5;

/// The key of one sign-in, on the curve P-256.
#[derive(Clone)]
pub struct DpopKey(Arc<KeyParts>);

struct KeyParts {
    pair: EcdsaKeyPair,
    /// The key as it is stored: PKCS #8 in base64.
    stored: String,
    /// The header of each of its proofs, in base64.
    header: String,
    /// The hash of the public key (RFC 7638).
    thumbprint: String,
}

impl DpopKey {
    /// Makes a new key. None if the system has no randomness.
    pub fn generate() -> Option<DpopKey> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).ok()?;
        DpopKey::read(&BASE64_STANDARD.encode(pkcs8.as_ref()))
    }

    /// Reads a stored key, and registers it for redaction. None if it is no such key.
    pub fn read(stored: &str) -> Option<DpopKey> {
        redact::register_token(stored);
        let pkcs8 = BASE64_STANDARD.decode(stored).ok()?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random).ok()?;
        // An uncompressed point: one byte, then both coordinates (SEC 1, 2.3.3).
        let point = pair.public_key().as_ref().get(1..)?;
        let (x, y) = point.split_at_checked(COORDINATE)?;
        let [x, y] = [x, y].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        // Without spaces, and in this order: the thumbprint is a hash of this very text (RFC 7638, 3.3).
        let public = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"{ALGORITHM}","jwk":{public}}}"#);
        Some(DpopKey(Arc::new(KeyParts {
            pair,
            stored: stored.to_owned(),
            header: BASE64_URL_SAFE_NO_PAD.encode(header),
            thumbprint: hash(&public),
        })))
    }

    /// The hash of the public key by which a server recognizes it (`dpop_jkt`; RFC 9449, 10).
    pub fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }

    /// Has it taken out of what is written down.
    pub fn register_secret(&self) {
        redact::register_token(&self.0.stored);
    }

    /// Signs the claims of a proof.
    fn sign(&self, claims: &str) -> Option<HeaderValue> {
        let text = format!("{}.{}", self.0.header, BASE64_URL_SAFE_NO_PAD.encode(claims));
        let signature = self.0.pair.sign(&SystemRandom::new(), text.as_bytes()).ok()?;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref());
        let mut proof = HeaderValue::try_from(format!("{text}.{signature}")).ok()?;
        proof.set_sensitive(true);
        Some(proof)
    }
}

/// Without the key.
impl std::fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DpopKey").field(&self.0.thumbprint).finish()
    }
}

impl PartialEq for DpopKey {
    fn eq(&self, other: &DpopKey) -> bool {
        self.0.stored == other.0.stored
    }
}

impl Eq for DpopKey {}

impl Serialize for DpopKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.stored)
    }
}

impl<'de> Deserialize<'de> for DpopKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<DpopKey, D::Error> {
        let stored = String::deserialize(from)?;
        DpopKey::read(&stored).ok_or_else(|| serde::de::Error::custom("no key"))
    }
}

/// What one server has said about proofs. The authorization server and the resource server each have one, because a nonce is
/// valid only where it came from (RFC 9449, 8 and 9).
#[derive(Debug, Default)]
pub struct DpopServer(Mutex<ServerState>);

#[derive(Clone, Debug, Default)]
struct ServerState {
    /// Its latest nonce.
    nonce: Option<String>,
    /// By how much its clock is ahead of ours, in seconds, if it rejected a proof for that.
    ahead: i64,
}

impl DpopServer {
    fn lock(&self) -> MutexGuard<'_, ServerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the proofs for the requests to one server.
#[derive(Clone, Debug)]
pub struct DpopProver {
    key: DpopKey,
    server: Arc<DpopServer>,
}

impl DpopProver {
    /// Proves `key` to `server`.
    pub fn new(key: &DpopKey, server: &Arc<DpopServer>) -> DpopProver {
        DpopProver { key: key.clone(), server: Arc::clone(server) }
    }

    /// The key that is proved.
    pub fn key(&self) -> &DpopKey {
        &self.key
    }

    /// Makes a proof for one request (RFC 9449, 4.2), with the hash of the access token that goes along, if there is one.
    /// None if the key cannot sign.
    pub fn proof(&self, method: &Method, url: &Url, token_hash: Option<&str>) -> Option<HeaderValue> {
        let state = self.server.lock().clone();
        let mut id = [0; ID];
        SystemRandom::new().fill(&mut id).ok()?;
        let mut claims = format!(
            r#"{{"jti":"{}","htm":{},"htu":{},"iat":{}"#,
            BASE64_URL_SAFE_NO_PAD.encode(id),
            json::quoted(method.as_str()),
            json::quoted(&target(url)),
            seconds(wall_clock()).saturating_add(state.ahead),
        );
        for (name, value) in [("ath", token_hash), ("nonce", state.nonce.as_deref())] {
            if let Some(value) = value {
                claims.push_str(&format!(r#","{name}":{}"#, json::quoted(value)));
            }
        }
        claims.push('}');
        self.key.sign(&claims)
    }

    /// Keeps the nonce of a response for the next proofs. Any response may bring one (RFC 9449, 8.2).
    pub fn note_nonce(&self, headers: &HeaderMap) {
        if let Some(nonce) = nonce(headers) {
            self.server.lock().nonce = Some(nonce);
        }
    }

    /// Returns whether another proof may be accepted after `error`: there is a nonce now, or the clock of the server differs
    /// from ours, which the next proofs take into account.
    pub fn may_be_accepted_after(&self, error: DpopError, headers: &HeaderMap) -> bool {
        match error {
            DpopError::UseNonce => nonce(headers).is_some(),
            DpopError::InvalidProof => {
                let date =
                    headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
                let Some(date) = date else { return false };
                let mut state = self.server.lock();
                let ahead = seconds(date).saturating_sub(seconds(wall_clock()));
                let differs = ahead.saturating_sub(state.ahead).saturating_abs() > SKEW;
                if differs {
                    state.ahead = ahead;
                }
                differs
            }
        }
    }
}

/// The nonce of a response, if it consists of characters that a nonce may have (RFC 9449, 8.1).
fn nonce(headers: &HeaderMap) -> Option<String> {
    let nonce = headers.get(NONCE)?.to_str().ok()?;
    let is_allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let is_usable = (1..=LONGEST_NONCE).contains(&nonce.len()) && nonce.bytes().all(is_allowed);
    is_usable.then(|| nonce.to_owned())
}

/// The address that a proof names: without query, fragment and user (RFC 9449, 4.2).
fn target(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Without a host neither can be set, and neither is there.
    let _ = (url.set_username(""), url.set_password(None));
    url.into()
}

/// The SHA-256 hash of a text, in base64.
fn hash(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// A moment in seconds since 1970.
fn seconds(moment: SystemTime) -> i64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a proof is made at a moment of the wall clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// A bound access token, ready to be sent with proofs (RFC 9449, 7.1).
#[derive(Clone)]
pub struct DpopToken {
    authorization: HeaderValue,
    /// The hash of the token, which each proof names (`ath`).
    hash: String,
    prover: DpopProver,
}

impl DpopToken {
    /// An access token that is bound to the key of `prover`. None if a header cannot carry it.
    pub fn new(access_token: &str, prover: DpopProver) -> Option<DpopToken> {
        let mut authorization = HeaderValue::try_from(format!("DPoP {access_token}")).ok()?;
        authorization.set_sensitive(true);
        Some(DpopToken { authorization, hash: hash(access_token), prover })
    }

    /// Adds the token, and a new proof for this one request.
    pub(super) fn add_to(&self, method: &Method, url: &Url, headers: &mut HeaderMap) {
        headers.insert(AUTHORIZATION, self.authorization.clone());
        if let Some(proof) = self.prover.proof(method, url, Some(&self.hash)) {
            headers.insert(PROOF, proof);
        }
    }

    /// Takes note of a response to a request with the token. Returns whether it was refused for its proof alone, and another
    /// proof may be accepted.
    pub(super) fn note_response(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        self.prover.note_nonce(headers);
        let error = dpop_error(headers).filter(|_| status == StatusCode::UNAUTHORIZED);
        error.is_some_and(|error| self.prover.may_be_accepted_after(error, headers))
    }
}

impl PartialEq for DpopToken {
    fn eq(&self, other: &DpopToken) -> bool {
        self.authorization == other.authorization
    }
}

impl Eq for DpopToken {}

impl std::fmt::Debug for DpopToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DpopToken").field("prover", &self.prover).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use serde_json::Value;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn prover() -> DpopProver {
        DpopProver::new(&DpopKey::generate().expect("a key"), &Arc::default())
    }

    /// The claims of a proof, verified by a library with the key in its header.
    fn verified(proof: &HeaderValue) -> (Jwk, Value) {
        let text = proof.to_str().expect("ASCII");
        let header = jsonwebtoken::decode_header(text).expect("a header");
        assert_eq!((header.typ.as_deref(), header.alg), (Some("dpop+jwt"), Algorithm::ES256));
        let jwk = header.jwk.expect("a key");
        let mut rules = Validation::new(Algorithm::ES256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        let key = DecodingKey::from_jwk(&jwk).expect("a key");
        (jwk, jsonwebtoken::decode::<Value>(text, &key, &rules).expect("a valid signature").claims)
    }

    #[test]
    fn proof_names_method_target_token_and_moment() {
        let prover = prover();
        let url = url("https://me:mine@mcp.example.com:8443/a%20b/mcp?key=marked#part");
        let proof = prover.proof(&Method::POST, &url, Some("hash")).expect("a proof");
        assert!(proof.is_sensitive());
        let (_, claims) = verified(&proof);
        assert_eq!(claims["htu"], "https://mcp.example.com:8443/a%20b/mcp");
        assert_eq!((&claims["htm"], &claims["ath"]), (&"POST".into(), &"hash".into()));
        let age = seconds(wall_clock()) - claims["iat"].as_i64().expect("a number");
        assert!((0..60).contains(&age), "{age}");
        assert_eq!(claims.as_object().expect("claims").len(), 5, "{claims}");
        let another = prover.proof(&Method::POST, &url, Some("hash")).expect("a proof");
        assert_ne!(verified(&another).1["jti"], claims["jti"]);
    }

    #[test]
    fn hashes_match_those_of_rfc_9449() {
        // RFC 9449, 7.1 and 6.1: the token, its hash, and the key that the token is bound to.
        assert_eq!(
            hash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
            "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
        );
        let public = r#"{"crv":"P-256","kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}"#;
        assert_eq!(hash(public), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }

    #[test]
    fn key_is_read_as_it_was_stored_and_never_prints() {
        let key = DpopKey::generate().expect("a key");
        let text = serde_json::to_string(&key).expect("JSON");
        let read: DpopKey = serde_json::from_str(&text).expect("a key");
        assert!(read == key && read.thumbprint() == key.thumbprint());
        assert!(DpopKey::generate().expect("a key") != key);
        let stored = text.trim_matches('"');
        assert!(!format!("{key:?}").contains(stored));
        assert_eq!(redact::redact(&format!("<{stored}>")), "<[secret]>");
        let (jwk, _) = verified(&key.sign("{}").expect("a proof"));
        let public = serde_json::to_value(&jwk).expect("JSON");
        assert!(public.get("d").is_none() && public["kty"] == "EC", "{public}");
        for broken in ["\"\"", "\"AAAA\"", "\"!\"", "5"] {
            assert!(serde_json::from_str::<DpopKey>(broken).is_err(), "{broken}");
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn only_nonces_of_allowed_characters_are_sent() {
        let prover = prover();
        let long = "x".repeat(LONGEST_NONCE + 1);
        for (sent, expected) in [
            ("", None),
            ("n-1~!#", Some("n-1~!#")),
            ("with space", Some("n-1~!#")),
            ("with\"quote", Some("n-1~!#")),
            ("back\\slash", Some("n-1~!#")),
            (&long, Some("n-1~!#")),
            ("n-2", Some("n-2")),
        ] {
            prover.note_nonce(&headers(&[("dpop-nonce", sent)]));
            let (_, claims) =
                verified(&prover.proof(&Method::GET, &url("https://h/mcp"), None).expect("a proof"));
            assert_eq!(claims.get("nonce").and_then(Value::as_str), expected, "{sent}");
        }
    }

    #[test]
    fn another_proof_needs_a_nonce_or_another_clock() {
        let token = DpopToken::new("marked-token", prover()).expect("a token");
        let challenge = |error: &str| format!("DPoP error=\"{error}\"");
        let now = wall_clock();
        let date = |ahead: u64| httpdate::fmt_http_date(now + Duration::from_secs(ahead));
        let (nonce, proof, other) =
            (challenge("use_dpop_nonce"), challenge("invalid_dpop_proof"), challenge("invalid_token"));
        for (status, pairs, expected) in [
            (401, vec![("www-authenticate", &*nonce)], false),
            (401, vec![("www-authenticate", &nonce), ("dpop-nonce", "n")], true),
            (400, vec![("www-authenticate", &nonce), ("dpop-nonce", "n")], false),
            (401, vec![("www-authenticate", &other), ("dpop-nonce", "n")], false),
            (401, vec![("www-authenticate", &proof)], false),
            (401, vec![("www-authenticate", &proof), ("date", &date(0))], false),
            (401, vec![("www-authenticate", &proof), ("date", "yesterday")], false),
            (401, vec![("www-authenticate", &proof), ("date", &date(3600))], true),
            // The next proofs take it into account, so this was not the reason.
            (401, vec![("www-authenticate", &proof), ("date", &date(3600))], false),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(token.note_response(status, &headers(&pairs)), expected, "{status} {pairs:?}");
        }
        let mut sent = HeaderMap::new();
        token.add_to(&Method::GET, &url("https://h/mcp"), &mut sent);
        let ahead = verified(&sent[PROOF]).1["iat"].as_i64().expect("a number") - seconds(now);
        assert!((3595..3660).contains(&ahead), "{ahead}");
        assert!(!format!("{token:?} {sent:?}").contains("marked"));
    }
}
