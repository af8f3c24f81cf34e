//! Random numbers of a sign-in: its state, and the PKCE verifier that binds its code to this program (RFC 7636).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// 32 bytes of chance, as letters, digits, `-` and `_`.
#[expect(
    clippy::expect_used,
    reason = "without randomness of the system nobody can sign in, and no connection be encrypted"
)]
pub(super) fn random() -> String {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A verifier whose challenge begins with a letter or a digit: Access takes no other for one.
pub(super) fn verifier() -> String {
    loop {
        let verifier = random();
        if code_challenge(&verifier).starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return verifier;
        }
    }
}

/// The challenge of a verifier, by S256.
pub(super) fn code_challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenge_matches_rfc_7636() {
        // RFC 7636, appendix B.
        let known = code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(known, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let verifiers: Vec<String> = (0..200).map(|_| verifier()).collect();
        for verifier in &verifiers {
            assert_eq!(verifier.len(), 43);
            assert!(code_challenge(verifier).as_bytes()[0].is_ascii_alphanumeric());
        }
        assert_ne!(verifiers[0], verifiers[1]);
    }
}
