//! From what a user writes to the secrets in it: a header is as secret as each of its parts, for a server may name one of
//! them alone.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What headers say that every program may say.
const HARMLESS: [&str; 13] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "cf-access-client-id",
    "content-type",
    "dnt",
    "host",
    "origin",
    "pragma",
    "referer",
    "user-agent",
];

/// The parts of a header that may be secret, each with the name that it has, where it has one.
pub(super) fn of_header(name: &str, value: &str) -> Vec<(String, String)> {
    if HARMLESS.iter().any(|harmless| name.eq_ignore_ascii_case(harmless)) {
        return Vec::new();
    }
    let value = value.trim();
    let mut parts = vec![(name.to_owned(), value.to_owned())];
    if name.eq_ignore_ascii_case("cookie") {
        parts.extend(value.split(';').filter_map(parameter));
        return parts;
    }
    // `Bearer …`, `Token token="…", client="…"`, or anything else behind a word.
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    let rest = rest.trim();
    parts.push((name.to_owned(), rest.to_owned()));
    if scheme.eq_ignore_ascii_case("basic")
        && let Some(pair) = BASE64.decode(rest).ok().and_then(|pair| String::from_utf8(pair).ok())
    {
        parts.push(("credentials".to_owned(), pair.clone()));
        if let Some((user, password)) = pair.split_once(':') {
            parts.push(("password".to_owned(), password.to_owned()));
            // Services that take a key in the place of the user want no password.
            if password.is_empty() || super::is_random(user) {
                parts.push(("username".to_owned(), user.to_owned()));
            }
        }
    }
    parts.extend(in_quotes(rest));
    parts.extend(rest.split([',', ';', ' ']).filter_map(parameter));
    parts
}

/// `name=value`, with or without quotation marks.
fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim().trim_matches('"'));
    // Otherwise it is the padding of base64.
    let is_one = !name.is_empty() && !value.trim_matches('=').is_empty();
    is_one.then(|| (name.to_owned(), value.to_owned()))
}

/// What stands between quotation marks, each with the word before it: parameters, and members of JSON.
fn in_quotes(text: &str) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    let (mut last, mut pieces) = ("", text.split('"'));
    while let (Some(before), Some(quoted)) = (pieces.next(), pieces.next()) {
        let before = before.trim();
        let name = match before.strip_suffix('=') {
            Some(before) => before.rsplit([',', ' ', ';']).next().unwrap_or_default(),
            None => last,
        };
        // In JSON, what stands behind another beginning is the name of a member.
        if before.ends_with(['=', ':']) || !text.starts_with('{') {
            parts.push((name.to_owned(), quoted.to_owned()));
        }
        last = quoted;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_part_of_a_header() {
        for (name, value, expected) in [
            ("X-API-Key", "abc", &["abc"][..]),
            ("Authorization", "Bearer abc.def==", &["Bearer abc.def==", "abc.def=="]),
            ("Authorization", "Basic YWRtaW46c2VjcmV0", &["admin:secret", "secret"]),
            ("authorization", "basic YWRtaW46c2VjcmV0cw", &["admin:secrets", "secrets"]),
            ("Authorization", "Basic c2tfbGl2ZV83N1F6TG0zMXhQdjo=", &["sk_live_77QzLm31xPv"]),
            ("Cookie", "theme=dark; session=abc%2B=; x=\"y\"", &["dark", "abc%2B=", "y"]),
            ("Authorization", r#"Token token="a b,c", client="abc""#, &["a b,c", "abc"]),
            ("Authorization", "AWS4 Credential=k/r, Signature=f00", &["k/r", "f00"]),
            ("X-Json", r#"{"user": "u", "key":"k v"}"#, &["k v"]),
        ] {
            let parts: Vec<String> = of_header(name, value).into_iter().map(|(_, part)| part).collect();
            for part in expected {
                assert!(parts.iter().any(|found| found == part), "{part}: {parts:?}");
            }
        }
        assert!(of_header("Accept-Language", "de-DE").is_empty());
        assert_eq!(in_quotes(r#"{"user": "u", "key":["k v"]}"#), [("user".to_owned(), "u".to_owned())]);
    }
}
