//! Verifies what Cloudflare Access says about the application before a host: the JSON Web Token in the header
//! `cf-access-metadata`, against the certificates of the team that it names.
//!
//! A server can write anything into that header, so nothing in it counts before the signature of the team holds: RS256 and
//! no other algorithm (RFC 7518, 3.3), a key that the team publishes at `https://TEAM/cdn-cgi/access/certs` (a JWK set, RFC
//! 7517), and the host that was asked. Pure. Deliberately not here: fetching either of them (`access_proof`).

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

use crate::json;

/// The domain under which each team has one name.
const DOMAIN: &str = ".cloudflareaccess.com";
/// How long ago a token may have been issued, in seconds.
const LIFETIME: u64 = 24 * 60 * 60;
/// How far the clocks of Cloudflare and of this computer may differ, in seconds.
const CLOCK_SKEW: u64 = 5 * 60;
/// The longest token that is looked at, in bytes; a header may be 16 KB.
const LONGEST: usize = 16 * 1024;
/// The key sizes that are accepted, in bits.
const KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// More keys than a team publishes.
const MOST_KEYS: usize = 64;
/// Seconds since 1970 of the last moment of the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// Why a token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not three parts of unpadded base64url with JSON objects in the first two, or too long.
    #[error("it is not a signed JSON Web Token")]
    Form,
    /// Another algorithm than RS256.
    #[error("it is not signed with RS256")]
    Algorithm,
    /// The header names no key, or names extensions that must be understood (RFC 7515, 4.1.11).
    #[error("it does not name its key")]
    KeyId,
    /// Another kind of token of the same team, such as that of a user.
    #[error("it is not about an application")]
    Kind,
    /// `auth_domain` is not one label under `cloudflareaccess.com`.
    #[error("it does not name a team of Cloudflare Access")]
    Team,
    /// The certificates are not a JWK set.
    #[error("the team's certificates cannot be read")]
    Certificates,
    /// The team does not publish the key.
    #[error("the team does not publish the key that it is signed with")]
    UnknownKey,
    /// The key is not an RSA key for RS256 signatures, of 2048 to 4096 bits.
    #[error("the team's key is not an RSA key of 2048 to 4096 bits for RS256")]
    Key,
    /// The signature does not hold.
    #[error("its signature does not hold")]
    Signature,
    /// It is about another host.
    #[error("it is about another host")]
    Host,
    /// It does not say when it was issued, or not within 24 hours.
    #[error("it was not issued within the last 24 hours, by this computer's clock")]
    Issued,
    /// It has expired.
    #[error("it has expired, by this computer's clock")]
    Expired,
}

/// The domain of a team: one label under `cloudflareaccess.com`, in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Team(String);

impl Team {
    /// Takes a domain that is one label under `cloudflareaccess.com`: lower case, without a trailing dot, port or user name.
    pub fn new(domain: &str) -> Option<Team> {
        let label = domain.strip_suffix(DOMAIN)?;
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_label = (1..=63).contains(&label.len())
            && label.bytes().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-');
        is_label.then(|| Team(domain.to_owned()))
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Team({})", self.0)
    }
}

/// A token that has the right form. Nothing in it is verified before [`Metadata::verify`].
#[derive(Debug)]
pub struct Metadata<'token> {
    /// The team that is said to have signed it.
    pub team: Team,
    hostname: String,
    issued: u64,
    expires: Option<u64>,
    key: String,
    signed: &'token str,
    signature: Vec<u8>,
}

impl<'token> Metadata<'token> {
    /// Reads a token, without believing it.
    ///
    /// # Errors
    /// When its form, its algorithm, or the team that it names cannot be right.
    pub fn parse(token: &'token str) -> Result<Metadata<'token>, MetadataError> {
        if token.len() > LONGEST {
            return Err(MetadataError::Form);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(MetadataError::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(MetadataError::Form)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| MetadataError::Form)?;
        let (header, claims) = (object(header)?, object(claims)?);
        if text(&header, "alg").as_deref() != Some("RS256") {
            return Err(MetadataError::Algorithm);
        }
        let key = text(&header, "kid").filter(|key| !key.is_empty()).ok_or(MetadataError::KeyId)?;
        if json::member(&header, "crit").is_some() {
            return Err(MetadataError::KeyId);
        }
        // Other tokens of the team are signed with the same keys.
        if json::member(&claims, "type").is_some_and(|kind| kind != "\"match\"") {
            return Err(MetadataError::Kind);
        }
        let team = text(&claims, "auth_domain").and_then(|domain| Team::new(&domain));
        let team = team.ok_or(MetadataError::Team)?;
        let hostname = text(&claims, "hostname").ok_or(MetadataError::Host)?;
        let issued = json::member(&claims, "iat").and_then(seconds).ok_or(MetadataError::Issued)?;
        let expires = match json::member(&claims, "exp") {
            Some(expires) => Some(seconds(expires).ok_or(MetadataError::Expired)?),
            None => None,
        };
        Ok(Metadata { team, hostname, issued, expires, key, signed, signature })
    }

    /// Verifies that the team has signed it, about `host`, within the 24 hours before `now` (seconds since 1970).
    /// `certificates` is the JWK set that the team publishes; other members than `keys` do not count.
    ///
    /// # Errors
    /// The first thing that is not as it must be.
    pub fn verify(&self, certificates: &str, host: &str, now: u64) -> Result<(), MetadataError> {
        self.verify_signature(certificates)?;
        if host.is_empty() || !self.hostname.eq_ignore_ascii_case(host) {
            return Err(MetadataError::Host);
        }
        let is_recent = now.saturating_sub(self.issued) <= LIFETIME;
        if !is_recent || self.issued.saturating_sub(now) > CLOCK_SKEW {
            return Err(MetadataError::Issued);
        }
        match self.expires {
            Some(expires) if expires.saturating_add(CLOCK_SKEW) < now => Err(MetadataError::Expired),
            Some(_) | None => Ok(()),
        }
    }

    fn verify_signature(&self, certificates: &str) -> Result<(), MetadataError> {
        let keys = json::member(certificates, "keys").filter(|keys| keys.starts_with('['));
        let keys = json::elements(keys.ok_or(MetadataError::Certificates)?);
        let named = keys.into_iter().take(MOST_KEYS).find(|key| text(key, "kid").as_ref() == Some(&self.key));
        let key = named.ok_or(MetadataError::UnknownKey)?;
        let is = |name: &str, expected: &str| text(key, name).as_deref() == Some(expected);
        let is_or_lacks =
            |name: &str, expected: &str| json::member(key, name).is_none() || is(name, expected);
        if !is("kty", "RSA") || !is_or_lacks("alg", "RS256") || !is_or_lacks("use", "sig") {
            return Err(MetadataError::Key);
        }
        let number = |name: &str| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text(key, name)?).ok()?;
            // ring accepts no leading zeros, which some libraries write.
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            Some(bytes.get(zeros..)?.to_vec())
        };
        let (n, e) = (number("n").ok_or(MetadataError::Key)?, number("e").ok_or(MetadataError::Key)?);
        if !KEY_BITS.contains(&bits(&n)) {
            return Err(MetadataError::Key);
        }
        RsaPublicKeyComponents { n: &n, e: &e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, self.signed.as_bytes(), &self.signature)
            .map_err(|_| MetadataError::Signature)
    }
}

/// The JSON object in a part of a token.
fn object(part: &str) -> Result<String, MetadataError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| MetadataError::Form)?;
    let text = String::from_utf8(bytes).map_err(|_| MetadataError::Form)?;
    let is_object = text.trim_start().starts_with('{')
        && serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
    is_object.then_some(text).ok_or(MetadataError::Form)
}

/// A member of a JSON object that is a string.
fn text(object: &str, name: &str) -> Option<String> {
    json::member(object, name).and_then(json::string)
}

/// A NumericDate (RFC 7519, 2), in whole seconds since 1970.
fn seconds(number: &str) -> Option<u64> {
    let seconds: f64 = number.parse().ok()?;
    // The range makes the conversion exact, fractions aside.
    (0.0..=LAST_SECOND).contains(&seconds).then_some(seconds as u64)
}

/// The length of a number without leading zeros, in bits.
fn bits(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(leading)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::rsa::KeyPair;
    use ring::signature::RSA_PKCS1_SHA256;

    use super::*;

    const HOST: &str = "mcp.example.test";
    const NOW: u64 = 1_790_000_000;
    const HEADER: &str = r#"{"alg":"RS256","kid":"k1","typ":"JWT"}"#;

    /// The modulus of a key of 1024 bits.
    const SHORT_MODULUS: &str = "93yU0ROV1uam65clASHPmJQOzj9-WW93-w9UC-xkElPIcAoAdkIrsCO0I-qSaU4zTQl23snk0J2Mu8P3\
        -lMmmavc7TfB8EhTfr3p0hKCRF2OKUqraW5jTz_x1yYUJsleNfuqObPqWEG7syOFqHKELgo_lvJPzvhoNxGLa7maUsE";

    /// A key of 2048 bits.
    fn key() -> KeyPair {
        KeyPair::from_der(include_bytes!("../../tests/keys/rsa-2048.pkcs1.der")).expect("a key")
    }

    fn encoded(bytes: impl AsRef<[u8]>) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A token with these texts in it, signed by the key of 2048 bits.
    fn signed(header: &str, claims: &str) -> String {
        let key = key();
        let text = format!("{}.{}", encoded(header), encoded(claims));
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).expect("signed");
        format!("{text}.{}", encoded(signature))
    }

    fn claims() -> String {
        claims_with(&[])
    }

    /// The claims of a valid token, some of them replaced (none: left out).
    fn claims_with(replaced: &[(&str, Option<&str>)]) -> String {
        let issued = NOW.to_string();
        let usual = [
            ("type", "\"match\""),
            ("hostname", "\"mcp.example.test\""),
            ("app_hostname", "\"*.example.test\""),
            ("auth_domain", "\"acme.cloudflareaccess.com\""),
            ("aud", "\"0123abcd\""),
            ("iat", &issued),
        ];
        let kept = usual.into_iter().filter(|(name, _)| replaced.iter().all(|(other, _)| other != name));
        let others = replaced.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        json::object(kept.chain(others))
    }

    /// Modulus and exponent of the key.
    fn public() -> [String; 2] {
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key().public());
        [encoded(public.n), encoded(public.e)]
    }

    fn jwk(members: &str) -> String {
        let [n, e] = public();
        format!(
            r#"{{"keys":[{{"kid":"k0","kty":"RSA","n":"AQAB","e":"AQAB"}},{{"n":"{n}","e":"{e}",{members}}}]}}"#
        )
    }

    fn certificates() -> String {
        jwk(r#""kid":"k1","kty":"RSA","alg":"RS256","use":"sig""#)
    }

    fn verify(token: &str, certificates: &str, host: &str, now: u64) -> Result<Team, MetadataError> {
        let metadata = Metadata::parse(token)?;
        metadata.verify(certificates, host, now)?;
        Ok(metadata.team)
    }

    #[test]
    fn accepts_valid_token_and_rejects_each_deviation() {
        let issued = |at: u64| at.to_string();
        let (old, older) = (issued(NOW - LIFETIME), issued(NOW - LIFETIME - 1));
        let (soon, sooner) = (issued(NOW + CLOCK_SKEW), issued(NOW + CLOCK_SKEW + 1));
        let (past, long_past) = (issued(NOW - CLOCK_SKEW), issued(NOW - CLOCK_SKEW - 1));
        /// What replaces the usual claims, and what is wrong then.
        type Row<'a> = (Vec<(&'a str, Option<&'a str>)>, Option<MetadataError>);
        let rows: Vec<Row<'_>> = vec![
            (vec![], None),
            (vec![("type", None)], None),
            (vec![("app_hostname", None), ("aud", None)], None),
            (vec![("hostname", Some("\"MCP.example.test\""))], None),
            (vec![("iat", Some(&old))], None),
            (vec![("iat", Some(&soon))], None),
            (vec![("iat", Some("1790000000.75"))], None),
            (vec![("exp", Some(&past))], None),
            (vec![("type", Some("\"app\""))], Some(MetadataError::Kind)),
            (vec![("type", Some("5"))], Some(MetadataError::Kind)),
            (vec![("hostname", None)], Some(MetadataError::Host)),
            (vec![("hostname", Some("\"\""))], Some(MetadataError::Host)),
            (vec![("hostname", Some("\"other.example.test\""))], Some(MetadataError::Host)),
            (vec![("hostname", Some("\"*.example.test\""))], Some(MetadataError::Host)),
            (vec![("hostname", Some("\"mcp.example.test.\""))], Some(MetadataError::Host)),
            (vec![("hostname", Some("[\"mcp.example.test\"]"))], Some(MetadataError::Host)),
            (vec![("iat", None)], Some(MetadataError::Issued)),
            (vec![("iat", Some(&older))], Some(MetadataError::Issued)),
            (vec![("iat", Some(&sooner))], Some(MetadataError::Issued)),
            (vec![("iat", Some("0"))], Some(MetadataError::Issued)),
            (vec![("iat", Some("-1"))], Some(MetadataError::Issued)),
            (vec![("iat", Some("18446744073709551615"))], Some(MetadataError::Issued)),
            (vec![("iat", Some("1e300"))], Some(MetadataError::Issued)),
            (vec![("iat", Some("\"1790000000\""))], Some(MetadataError::Issued)),
            (vec![("exp", Some(&long_past))], Some(MetadataError::Expired)),
            (vec![("exp", Some("1e300"))], Some(MetadataError::Expired)),
            (vec![("exp", Some("null"))], Some(MetadataError::Expired)),
            (vec![("auth_domain", None)], Some(MetadataError::Team)),
        ];
        for (replaced, problem) in rows {
            let token = signed(HEADER, &claims_with(&replaced));
            let verified = verify(&token, &certificates(), HOST, NOW);
            assert_eq!(verified.clone().err(), problem, "{replaced:?}");
            if let Ok(team) = verified {
                assert_eq!(team.domain(), "acme.cloudflareaccess.com");
            }
        }
        let token = signed(HEADER, &claims());
        assert_eq!(verify(&token, &certificates(), "", NOW), Err(MetadataError::Host));
        assert_eq!(verify(&token, &certificates(), HOST, u64::MAX), Err(MetadataError::Issued));
        assert_eq!(verify(&token, &certificates(), HOST, 0), Err(MetadataError::Issued));
    }

    #[test]
    fn team_is_one_lower_case_label() {
        let longest = format!("{}.cloudflareaccess.com", "a".repeat(63));
        for accepted in
            ["acme.cloudflareaccess.com", "a.cloudflareaccess.com", "a-1.cloudflareaccess.com", &longest]
        {
            assert!(Team::new(accepted).is_some(), "{accepted}");
        }
        let too_long = format!("a{longest}");
        for refused in [
            "cloudflareaccess.com",
            ".cloudflareaccess.com",
            "a.b.cloudflareaccess.com",
            "Acme.cloudflareaccess.com",
            "acme.CloudflareAccess.com",
            "acme.cloudflareaccess.com.",
            "acme.cloudflareaccess.com:8443",
            "user@acme.cloudflareaccess.com",
            "evil.test/acme.cloudflareaccess.com",
            "evil.test#.cloudflareaccess.com",
            "evil.test?.cloudflareaccess.com",
            "evil\\.cloudflareaccess.com",
            "https://acme.cloudflareaccess.com",
            "acme.cloudflareaccess.com.evil.test",
            "acmecloudflareaccess.com",
            "acme .cloudflareaccess.com",
            "-acme.cloudflareaccess.com",
            "acme-.cloudflareaccess.com",
            "bücher.cloudflareaccess.com",
            "",
            &too_long,
        ] {
            assert_eq!(Team::new(refused), None, "{refused}");
            let claims = claims_with(&[("auth_domain", Some(&json::quoted(refused)))]);
            let verified = verify(&signed(HEADER, &claims), &certificates(), HOST, NOW);
            assert_eq!(verified, Err(MetadataError::Team), "{refused}");
        }
    }

    #[test]
    fn accepts_rs256_by_named_key_and_nothing_else() {
        for (header, problem) in [
            (HEADER, None),
            (r#"{"kid":"k1","alg":"RS256"}"#, None),
            (r#"{"alg":"none","kid":"k1"}"#, Some(MetadataError::Algorithm)),
            (r#"{"alg":"HS256","kid":"k1"}"#, Some(MetadataError::Algorithm)),
            (r#"{"alg":"RS512","kid":"k1"}"#, Some(MetadataError::Algorithm)),
            (r#"{"alg":"PS256","kid":"k1"}"#, Some(MetadataError::Algorithm)),
            (r#"{"alg":"rs256","kid":"k1"}"#, Some(MetadataError::Algorithm)),
            (r#"{"alg":["RS256"],"kid":"k1"}"#, Some(MetadataError::Algorithm)),
            (r#"{"kid":"k1"}"#, Some(MetadataError::Algorithm)),
            (r#"{"alg":"RS256"}"#, Some(MetadataError::KeyId)),
            (r#"{"alg":"RS256","kid":""}"#, Some(MetadataError::KeyId)),
            (r#"{"alg":"RS256","kid":1}"#, Some(MetadataError::KeyId)),
            (r#"{"alg":"RS256","kid":"k1","crit":["b64"],"b64":false}"#, Some(MetadataError::KeyId)),
            (r#"{"alg":"RS256","kid":"K1"}"#, Some(MetadataError::UnknownKey)),
            (r#"{"alg":"RS256","kid":"k0"}"#, Some(MetadataError::Key)),
            ("[]", Some(MetadataError::Form)),
            ("{", Some(MetadataError::Form)),
            ("", Some(MetadataError::Form)),
        ] {
            let verified = verify(&signed(header, &claims()), &certificates(), HOST, NOW);
            assert_eq!(verified.err(), problem, "{header}");
        }
        // Of no algorithm, and by the public key as a shared secret.
        let unsigned = format!("{}.{}.", encoded(r#"{"alg":"none"}"#), encoded(claims()));
        assert_eq!(verify(&unsigned, &certificates(), HOST, NOW).err(), Some(MetadataError::Algorithm));
        let text = format!("{}.{}", encoded(r#"{"alg":"HS256","kid":"k1"}"#), encoded(claims()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, certificates().as_bytes());
        let shared = format!("{text}.{}", encoded(ring::hmac::sign(&key, text.as_bytes())));
        assert_eq!(verify(&shared, &certificates(), HOST, NOW).err(), Some(MetadataError::Algorithm));
    }

    #[test]
    fn rejects_keys_of_other_kinds_and_sizes() {
        let [n, e] = public();
        let small = SHORT_MODULUS;
        let huge = encoded([0xff; 513]);
        let padded = encoded([&[0, 0][..], &BASE64_URL_SAFE_NO_PAD.decode(&n).expect("bytes")].concat());
        let set = |n: &str, e: &str| format!(r#"{{"keys":[{{"kid":"k1","kty":"RSA","n":{n},"e":{e}}}]}}"#);
        let text = |text: &str| json::quoted(text);
        for (certificates, problem) in [
            (certificates(), None),
            (jwk(r#""kid":"k1","kty":"RSA""#), None),
            (set(&text(&padded), &text(&e)), None),
            (jwk(r#""kid":"k1","kty":"EC""#), Some(MetadataError::Key)),
            (jwk(r#""kid":"k1""#), Some(MetadataError::Key)),
            (jwk(r#""kid":"k1","kty":"RSA","alg":"RS512""#), Some(MetadataError::Key)),
            (jwk(r#""kid":"k1","kty":"RSA","use":"enc""#), Some(MetadataError::Key)),
            (jwk(r#""kid":"k2","kty":"RSA""#), Some(MetadataError::UnknownKey)),
            (set(&text(small), &text(&e)), Some(MetadataError::Key)),
            (set(&text(&huge), &text(&e)), Some(MetadataError::Key)),
            (set(&text(""), &text(&e)), Some(MetadataError::Key)),
            (set("5", &text(&e)), Some(MetadataError::Key)),
            (set(&text("!"), &text(&e)), Some(MetadataError::Key)),
            (set(&text(&format!("{n}=")), &text(&e)), Some(MetadataError::Key)),
            (set(&text(&n), &text("AQ")), Some(MetadataError::Signature)),
            (set(&text(&n), &text("")), Some(MetadataError::Signature)),
            (set(&text(&encoded([0xff; 256])), &text(&e)), Some(MetadataError::Signature)),
            (r#"{"keys":[]}"#.to_owned(), Some(MetadataError::UnknownKey)),
            (r#"{"keys":[1,null,"x",{}]}"#.to_owned(), Some(MetadataError::UnknownKey)),
            (r#"{"keys":{}}"#.to_owned(), Some(MetadataError::Certificates)),
            ("{}".to_owned(), Some(MetadataError::Certificates)),
            ("[]".to_owned(), Some(MetadataError::Certificates)),
            ("<html>".to_owned(), Some(MetadataError::Certificates)),
            (String::new(), Some(MetadataError::Certificates)),
        ] {
            let verified = verify(&signed(HEADER, &claims()), &certificates, HOST, NOW);
            assert_eq!(verified.err(), problem, "{certificates}");
        }
    }

    #[test]
    fn rejects_altered_and_malformed_tokens() {
        let token = signed(HEADER, &claims());
        let (signed_part, signature) = token.rsplit_once('.').expect("three parts");
        let other = claims_with(&[("hostname", Some("\"evil.test\""))]);
        let altered = format!("{}.{}.{signature}", encoded(HEADER), encoded(&other));
        assert_eq!(verify(&altered, &certificates(), "evil.test", NOW).err(), Some(MetadataError::Signature));
        let mut wrong = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("bytes");
        *wrong.last_mut().expect("bytes") ^= 1;
        let flipped = format!("{signed_part}.{}", encoded(&wrong));
        assert_eq!(verify(&flipped, &certificates(), HOST, NOW).err(), Some(MetadataError::Signature));
        let empty = format!("{signed_part}.");
        assert_eq!(verify(&empty, &certificates(), HOST, NOW).err(), Some(MetadataError::Signature));
        let long = format!("{}.{}.x", encoded(HEADER), "e".repeat(LONGEST));
        for malformed in [
            "",
            ".",
            "..",
            "...",
            signed_part,
            &format!("{token}."),
            &format!("{token}.x"),
            &format!("{token}="),
            &format!(" {token}"),
            &format!("{token}!"),
            &token.replace('.', " "),
            &long,
        ] {
            assert_eq!(
                verify(malformed, &certificates(), HOST, NOW).err(),
                Some(MetadataError::Form),
                "{malformed}"
            );
        }
    }
}
