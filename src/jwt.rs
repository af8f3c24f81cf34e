//! Reads JSON Web Tokens without checking their signature. Nothing is trusted because of them; an expired token is not sent.
//!
//! `oauth::private_key` signs them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::json;

/// The claims of a JSON Web Token, as their text. Who signed them is not verified.
pub fn payload(token: &str) -> Option<String> {
    let payload = token.split('.').nth(1)?.trim_end_matches('=');
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// The header of a JSON Web Token, as its text.
pub fn header(token: &str) -> Option<String> {
    let header = token.split('.').next()?.trim_end_matches('=');
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

/// A claim of a JSON Web Token that is one string or a list of them, such as `aud` (RFC 7519, section 4.1.3). Empty where it is
/// neither.
pub fn names(payload: &str, claim: &str) -> Vec<String> {
    let Some(value) = json::member(payload, claim) else { return Vec::new() };
    match value.starts_with('[') {
        true => json::elements(value).filter_map(json::string).collect(),
        false => json::string(value).into_iter().collect(),
    }
}

/// When a JSON Web Token runs out (RFC 7519, section 4.1.4); none where it does not say so.
pub fn expiry(token: &str) -> Option<SystemTime> {
    let payload = payload(token)?;
    // A number that may have a fraction.
    let seconds: f64 = json::member(&payload, "exp")?.parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_header_and_claims_with_one_name_or_several() {
        let token = format!("{}.e30.x", BASE64_URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT"}"#));
        assert_eq!(header(&token).as_deref(), Some(r#"{"typ":"JWT"}"#));
        assert_eq!(header("!.e30.x"), None);
        for (payload, expected) in [
            (r#"{"aud":"a"}"#, &["a"][..]),
            (r#"{"aud":["a","b"]}"#, &["a", "b"]),
            (r#"{"aud":["a",5]}"#, &["a"]),
            (r#"{"aud":5}"#, &[]),
            ("{}", &[]),
            ("aud", &[]),
        ] {
            assert_eq!(names(payload, "aud"), expected, "{payload}");
        }
    }

    #[test]
    fn reads_expiry_of_token() {
        let token = |claims: &str| format!("e30.{}.x", BASE64_URL_SAFE_NO_PAD.encode(claims));
        let at = |seconds| UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).expect("a time"));
        for (token, expected) in [
            (token(r#"{"exp":1000}"#), at(1000.0)),
            (token(r#"{"exp":1000.5,"iat":1}"#), at(1000.5)),
            (token(r#"{"exp":-1}"#), None),
            (token(r#"{"exp":"1000"}"#), None),
            (token(r#"{"exp":1e300}"#), None),
            (token(r#"{"exp":1e400}"#), None),
            (token(r#"{"exp":18446744073709551615}"#), None),
            (token(r#"{"exp":9223372036854775808}"#), None),
            (token(r#"{"exp":NaN}"#), None),
            (token(r#"{"exp":}"#), None),
            (token("{}"), None),
            (token("[]"), None),
            ("opaque".to_owned(), None),
            ("a.!.c".to_owned(), None),
        ] {
            assert_eq!(expiry(&token), expected, "{token}");
        }
    }
}
