//! Which names are those of secrets: one list for all who ask.

/// What the names of headers with secrets hold.
const PARTS: [&str; 18] = [
    "assertion",
    "auth",
    "bearer",
    "cf-access-client",
    "cookie",
    "credential",
    "csrf",
    "dpop",
    "jwt",
    "key",
    "otp",
    "passphrase",
    "passw",
    "secret",
    "session",
    "signature",
    "token",
    "xsrf",
];

/// Returns whether a header of this name holds a secret, as far as names tell. A challenge (`WWW-Authenticate`) says how to
/// get one, and holds none.
pub fn is_sensitive_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part)) && !name.ends_with("-authenticate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_with_secrets_are_known_by_their_names() {
        for (name, expected) in [
            ("Authorization", true),
            ("x-api-key", true),
            ("x-auth", true),
            ("cf-access-jwt-assertion", true),
            ("CF-Access-Client-Secret", true),
            ("x-csrf", true),
            ("set-cookie", true),
            ("DPoP", true),
            ("www-authenticate", false),
            ("content-type", false),
            ("cf-ray", false),
            ("cf-access-aud", false),
            ("x-correlation-id", false),
        ] {
            assert_eq!(is_sensitive_header(name), expected, "{name}");
        }
    }
}
