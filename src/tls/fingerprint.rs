//! SHA-256 fingerprints of certificates: computed, read from `--pin`, and shown as `openssl x509 -fingerprint` shows them.
//!
//! Deliberately not here: which fingerprints are accepted (`tls`).

use std::fmt;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls::pki_types::CertificateDer;

/// The SHA-256 digest of a whole certificate in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; SHA256_OUTPUT_LEN]);

impl Fingerprint {
    /// Computes the fingerprint of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Fingerprint {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        let computed = digest(&SHA256, certificate);
        bytes.iter_mut().zip(computed.as_ref()).for_each(|(byte, computed)| *byte = *computed);
        Fingerprint(bytes)
    }

    /// Reads 64 hexadecimal digits of any case, with colons or spaces between them or none. What tools print in front of
    /// the digits may stand there: `sha256:` or `sha256 Fingerprint=`.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let text = text.trim().to_ascii_lowercase();
        let digits = text.strip_prefix("sha256").or_else(|| text.strip_prefix("sha-256")).unwrap_or(&text);
        let digits = digits.trim_start();
        let digits = digits.strip_prefix("fingerprint").unwrap_or(digits);
        let digits = digits.strip_prefix([':', '=']).unwrap_or(digits);
        let digits = digits.chars().filter(|letter| !matches!(letter, ':' | ' '));
        let digits: Vec<u8> = digits
            .map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Some(high << 4 | low),
                _ => None,
            })
            .collect::<Option<_>>()?;
        bytes.try_into().ok().map(Fingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&digits.join(":"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_that_tools_print() {
        let bytes: Vec<u8> = (0..32).collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = Fingerprint(bytes.try_into().expect("32 bytes"));
        let shown = expected.to_string();
        for text in [
            hex.clone(),
            hex.to_uppercase(),
            shown.clone(),
            format!(" sha256:{hex} "),
            format!("sha256 Fingerprint={shown}"),
            format!("SHA-256 Fingerprint={shown}"),
            shown.replace(':', " "),
        ] {
            assert_eq!(Fingerprint::parse(&text), Some(expected), "{text}");
        }
    }

    #[test]
    fn rejects_what_is_no_sha256_fingerprint() {
        let hex = "0".repeat(64);
        for text in [
            "",
            "sha256:",
            &hex[1..],
            &format!("{hex}00"),
            &hex.replace('0', "g"),
            // A pin of a public key, as curl has it.
            "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            &"0".repeat(40),
        ] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
