//! Whether a text holds a secret, in any of the forms in which it may have come there.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};

/// How much of a secret shows that it is one: what is shown of it on purpose is shorter.
const PIECE: usize = 10;

/// Every form of every secret that stands in a text.
pub(crate) fn found(text: &str, secrets: &[String]) -> Vec<String> {
    secrets.iter().flat_map(|secret| forms(secret)).filter(|form| text.contains(form)).collect()
}

fn forms(secret: &str) -> Vec<String> {
    let letters: Vec<char> = secret.chars().collect();
    let mut forms: Vec<String> = letters.windows(PIECE).map(|piece| piece.iter().collect()).collect();
    let bytes = secret.as_bytes();
    forms.push(bytes.iter().map(|byte| format!("%{byte:02X}")).collect());
    forms.push(bytes.iter().map(|byte| format!("%{byte:02x}")).collect());
    forms.push(url::form_urlencoded::byte_serialize(bytes).collect());
    // In the middle of something, a secret is encoded in one of three ways; the letters at its ends depend on what
    // surrounds it.
    for before in 0..3 {
        let padded = [&[0; 3][..before], bytes].concat();
        let whole = padded.len() / 3 * 4;
        let begin = (before * 8).div_ceil(6);
        forms.push(BASE64_STANDARD.encode(&padded)[begin..whole].to_owned());
        forms.push(BASE64_URL_SAFE.encode(&padded)[begin..whole].to_owned());
    }
    forms
}

#[test]
fn finds_secret_in_every_form() {
    let secret = "cfast_marked/SECRET+0123456789".to_owned();
    let of = |text: &str| !found(text, std::slice::from_ref(&secret)).is_empty();
    let in_url: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut texts = vec![secret.clone(), format!("…{}…", &secret[12..24]), in_url];
    for around in ["", "x", "xy", "xyz"] {
        texts.push(BASE64_STANDARD.encode(format!("{around}{secret}{around}")));
        texts.push(BASE64_URL_SAFE.encode(format!("{around}{secret}{around}")));
    }
    for text in texts {
        assert!(of(&text), "{text}");
    }
    assert!(!of("cfast_…6789 (30 characters)"));
}
