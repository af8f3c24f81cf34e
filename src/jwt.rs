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
