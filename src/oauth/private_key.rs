//! A private key in place of a client secret (`private_key_jwt`; RFC 7523, section 3): what it signs proves who we are, and
//! the key itself never leaves this computer.
//!
//! Two algorithms, which every authorization server supports: ES256 and RS256.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::oauth::clock::seconds;
use crate::oauth::object::ObjectWriter;
use crate::oauth::pkce;
use crate::redact;

/// How long an assertion holds: long enough for clocks that differ a little.
const LIFE: Duration = Duration::from_secs(300);
/// What a PKCS #8 key on the curve P-256 begins with, behind its length: the version, and the names of curve and kind.
const P256: &[u8] =
    b"\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

/// A key that signs.
pub struct PrivateKey {
    signer: Signer,
    /// What the authorization server calls it.
    id: Option<String>,
}

enum Signer {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

/// Why a key is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no key in it.
    #[error("holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// It wants a password.
    #[error("is encrypted")]
    Encrypted,
    /// It is of another kind.
    #[error("is neither for ES256 (the curve P-256) nor for RS256 (RSA, 2048 to 4096 bits)")]
    Kind,
    /// It is not of the kind that was named.
    #[error("is not for the algorithm that token_endpoint_auth_signing_alg names")]
    Algorithm,
}

impl PrivateKey {
    /// Reads a key in PEM form, which may have `\n` for its line ends, for this algorithm or for whichever it is for.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn read(pem: &str, algorithm: Option<&str>, id: Option<String>) -> Result<PrivateKey, KeyError> {
        let pem = pem.replace("\\n", "\n");
        redact::register_key(&pem);
        let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(_) if pem.contains("Proc-Type: 4,ENCRYPTED") => return Err(KeyError::Encrypted),
            Ok(key) => key,
            Err(_) if pem.contains("ENCRYPTED") => return Err(KeyError::Encrypted),
            Err(_) => return Err(KeyError::NoKey),
        };
        let of_curve = |der: &[u8]| {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new())
                .map(Signer::Es256)
        };
        let signer = match &key {
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                of_curve(der).or_else(|_| RsaKeyPair::from_pkcs8(der).map(Signer::Rs256))
            }
            PrivateKeyDer::Sec1(der) => of_curve(&enveloped(der.secret_sec1_der())),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map(Signer::Rs256),
            _ => return Err(KeyError::Kind),
        };
        let key = PrivateKey { signer: signer.map_err(|_| KeyError::Kind)?, id };
        match algorithm.is_none_or(|algorithm| algorithm == key.algorithm()) {
            true => Ok(key),
            false => Err(KeyError::Algorithm),
        }
    }

    /// The algorithm's name (RFC 7518, section 3.1).
    fn algorithm(&self) -> &'static str {
        match self.signer {
            Signer::Es256(_) => "ES256",
            Signer::Rs256(_) => "RS256",
        }
    }

    fn public(&self) -> &[u8] {
        match &self.signer {
            Signer::Es256(key) => key.public_key().as_ref(),
            Signer::Rs256(key) => key.public_key().as_ref(),
        }
    }

    /// An assertion that we are this client, for this audience alone, good once. None where the key cannot sign.
    pub(super) fn assertion(&self, client: &str, audience: &str, now: SystemTime) -> Option<String> {
        let head = ObjectWriter::default()
            .text("alg", Some(self.algorithm()))
            .text("typ", Some("JWT"))
            .text("kid", self.id.as_deref());
        let claims = ObjectWriter::default()
            .text("iss", Some(client))
            .text("sub", Some(client))
            .text("aud", Some(audience))
            .text("jti", Some(&pkce::random()))
            .count("iat", Some(seconds(now)))
            .count("exp", Some(seconds(now + LIFE)));
        let [head, claims] = [head, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.finish()));
        let text = format!("{head}.{claims}");
        let random = SystemRandom::new();
        let signature = match &self.signer {
            Signer::Es256(key) => key.sign(&random, text.as_bytes()).ok()?.as_ref().to_vec(),
            Signer::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).ok()?;
                signature
            }
        };
        Some(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &PrivateKey) -> bool {
        self.public() == other.public() && self.id == other.id
    }
}

impl Eq for PrivateKey {}

/// A key in the form of SEC 1, which OpenSSL writes, in that of PKCS #8. Both are shorter than what needs a longer length.
fn enveloped(sec1: &[u8]) -> Vec<u8> {
    let wrapped = |tag: u8, content: &[u8]| {
        let mut der = vec![tag];
        match u8::try_from(content.len()) {
            Ok(length @ 0..128) => der.push(length),
            Ok(length) => der.extend([0x81, length]),
            Err(_) => return Vec::new(),
        }
        der.extend_from_slice(content);
        der
    };
    wrapped(0x30, &[P256, &wrapped(0x04, sec1)].concat())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let text = base64::prelude::BASE64_STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }

    fn of_curve(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        rcgen::KeyPair::generate_for(algorithm).expect("a key").serialize_der()
    }

    #[test]
    fn signs_with_key_in_any_form() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let curve = of_curve(&rcgen::PKCS_ECDSA_P256_SHA256);
        // The innermost part of the one form is the other.
        let key_start =
            curve.windows(P256.len()).position(|part| part == P256).expect("it is there") + P256.len();
        let pkcs8 = include_bytes!("../../tests/keys/rsa-2048.pkcs8.der");
        let pkcs1 = include_bytes!("../../tests/keys/rsa-2048.pkcs1.der");
        for (pem, algorithm) in [
            (pem("PRIVATE KEY", &curve), "ES256"),
            (pem("EC PRIVATE KEY", &curve[key_start + 2..]), "ES256"),
            (pem("EC PARAMETERS", &P256[14..]) + &pem("EC PRIVATE KEY", &curve[key_start + 2..]), "ES256"),
            (pem("PRIVATE KEY", pkcs8), "RS256"),
            (pem("RSA PRIVATE KEY", pkcs1), "RS256"),
            (pem("PRIVATE KEY", &curve).replace('\n', "\\n"), "ES256"),
        ] {
            let key = PrivateKey::read(&pem, Some(algorithm), Some("k1".to_owned())).expect("a key");
            assert!(PrivateKey::read(&pem, None, None).is_ok());
            assert_eq!(PrivateKey::read(&pem, Some("PS256"), None).err(), Some(KeyError::Algorithm));
            let assertion = key.assertion("me \"x\"", "https://as.example", now).expect("signed");
            let parts: Vec<&str> = assertion.split('.').collect();
            let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64");
            let text = |part: &str| String::from_utf8(decoded(part)).expect("UTF-8");
            assert_eq!(text(parts[0]), format!(r#"{{"alg":"{algorithm}","typ":"JWT","kid":"k1"}}"#));
            let claims = text(parts[1]);
            for part in [
                r#""iss":"me \"x\"","sub":"me \"x\"","aud":"https://as.example","jti":""#,
                r#""iat":1000,"exp":1300"#,
            ] {
                assert!(claims.contains(part), "{claims}");
            }
            let signed = format!("{}.{}", parts[0], parts[1]);
            let verified = match key.signer {
                Signer::Es256(_) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public())
                    .verify(signed.as_bytes(), &decoded(parts[2])),
                Signer::Rs256(_) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public())
                    .verify(signed.as_bytes(), &decoded(parts[2])),
            };
            assert!(verified.is_ok());
            assert_ne!(key.assertion("me", "a", now), key.assertion("me", "a", now), "each is good once");
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_says_why() {
        let other = pem("PRIVATE KEY", &of_curve(&rcgen::PKCS_ECDSA_P384_SHA384));
        for (pem, reason) in [
            ("", KeyError::NoKey),
            ("marked", KeyError::NoKey),
            ("-----BEGIN PRIVATE KEY-----\nmarked!\n-----END PRIVATE KEY-----", KeyError::NoKey),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", KeyError::Kind),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
                KeyError::Encrypted,
            ),
            (&other, KeyError::Kind),
        ] {
            assert_eq!(PrivateKey::read(pem, None, None).err(), Some(reason), "{pem}");
        }
    }
}
