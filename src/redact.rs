//! Every secret that this process has come by, to be taken out of what is written down about the conversation.
//!
//! Kept for the whole process, and only where something is written down in detail: otherwise nothing is learned, and
//! nothing costs. Beside credentials these are session ids and cookies, which the server hands out. Deliberately not
//! here: what is shown of a failure (`remote` scrubs that by what its exchange had).

use std::borrow::Cow;
use std::sync::{Mutex, OnceLock};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};

/// How many forms of secrets are remembered; beyond that the oldest go. A server may set another cookie with each answer.
const REMEMBERED: usize = 4096;
/// A shorter value would blank out innocent words, and is no secret worth the name.
const SHORTEST: usize = 6;
/// How long a secret may be, in any of its forms, to be recognised where a text is cut off.
const LONGEST: usize = 64 * 1024;

/// Each form of each secret, in the order in which they came.
static KNOWN: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

/// Remembers from now on what is learned.
pub fn remember() {
    KNOWN.get_or_init(Mutex::default);
}

/// Tells whether anything is remembered.
pub fn is_remembering() -> bool {
    KNOWN.get().is_some()
}

/// Registers a secret.
pub fn register_secret(secret: &str) {
    let Some(known) = KNOWN.get() else { return };
    let mut known = known.lock().expect("nothing panics in between");
    if secret.len() < SHORTEST || known.iter().any(|form| form == secret) {
        return;
    }
    for form in written_as(secret) {
        if !known.contains(&form) {
            known.push(form);
        }
    }
    let excess = known.len().saturating_sub(REMEMBERED);
    known.drain(..excess);
}

/// Registers a value that a server issued: a session id, a cookie.
pub fn register_issued(value: &str) {
    register_secret(value);
}

/// Takes every secret that is known out of a text.
pub fn redact(text: &str) -> Cow<'_, str> {
    let Some(known) = KNOWN.get() else { return text.into() };
    let known = known.lock().expect("nothing panics in between");
    let mut found: Vec<&String> = known.iter().filter(|form| text.contains(form.as_str())).collect();
    if found.is_empty() {
        return text.into();
    }
    // One may be part of another.
    found.sort_by_key(|form| std::cmp::Reverse(form.len()));
    let mut text = text.to_owned();
    for form in found {
        text = text.replace(form.as_str(), "[secret]");
    }
    text.into()
}

/// A text that another program wrote, as it may be shown: without secrets, without control characters.
pub fn foreign(text: &str) -> String {
    redact(text).chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// The beginning of a text, without secrets, and without half of one where it is cut off. Tells whether it was.
pub fn excerpt(text: &str, limit: usize) -> (String, bool) {
    let read = &text[..boundary(text, limit.saturating_add(LONGEST))];
    let mut shown = redact(read).into_owned();
    let is_cut = read.len() < text.len();
    // What is at the end of the part that was looked at may be half a secret.
    let trusted = if is_cut { shown.len().saturating_sub(LONGEST) } else { shown.len() };
    let is_short = trusted.min(limit) < shown.len();
    shown.truncate(boundary(&shown, trusted.min(limit)));
    (shown, is_cut || is_short)
}

/// The last place up to `at` where a text may be cut.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The forms in which a text may hold a secret: as it is, escaped as in JSON (with or without the slash), HTML or a URL,
/// and in base64.
pub(crate) fn written_as(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).expect("a string always serializes");
    let json = json[1..json.len() - 1].to_owned();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let every_byte = |byte: fn(&u8) -> String| secret.as_bytes().iter().map(byte).collect::<String>();
    let mut forms = vec![
        secret.to_owned(),
        secret.replace('/', "\\/"),
        json.replace('/', "\\/"),
        json,
        html.replace('"', "&quot;").replace('\'', "&#39;"),
        html.replace('"', "&#34;").replace('\'', "&#39;"),
        html.replace('"', "&quot;").replace('\'', "&#x27;"),
        html,
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        every_byte(|byte| format!("%{byte:02X}")),
        every_byte(|byte| format!("%{byte:02x}")),
    ];
    // In the middle of something that is encoded, a secret begins at the first, second or third byte of a group. The
    // letters at its ends belong to what surrounds it as well and may stay.
    for before in 0..3 {
        let padded = [&[0; 2][..before], secret.as_bytes()].concat();
        let (begin, end) = ((before * 8).div_ceil(6), padded.len() / 3 * 4);
        forms.push(BASE64_STANDARD.encode(&padded)[begin..end].to_owned());
        forms.push(BASE64_URL_SAFE.encode(&padded)[begin..end].to_owned());
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_shows_in_no_form_and_not_by_half() {
        const SECRET: &str = "marked/SECRET\"of-this-test";
        remember();
        register_secret(SECRET);
        register_secret("short");
        let escaped = SECRET.replace('/', "\\/").replace('"', "\\\"");
        assert_eq!(redact(&format!("a {SECRET} b {escaped} c short")), "a [secret] b [secret] c short");
        for before in 0..60 {
            let text = format!("{}{SECRET}{}", "y".repeat(before), "z".repeat(100_000));
            for limit in [30, 40] {
                let (shown, is_cut) = excerpt(&text, limit);
                assert!(shown.len() <= limit && is_cut);
                assert!(!shown.contains("mark"), "{shown}");
            }
        }
        let text = format!("{}{SECRET}", "y".repeat(LONGEST));
        assert!(!excerpt(&text, 10).0.contains("mark"));
        assert_eq!(excerpt("all of it", 100), ("all of it".to_owned(), false));
    }
}
