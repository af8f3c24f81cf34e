//! Every secret that this process has come by, to be taken out of what is written down about the conversation.
//!
//! Kept for the whole process, and only where something is written down in detail: otherwise nothing is learned, and
//! nothing costs. Beside credentials these are session ids and cookies, which the server hands out. Deliberately not
//! here: what is shown of a failure (`remote` scrubs that by what its exchange had).

use std::borrow::Cow;
use std::sync::{Mutex, OnceLock};

use super::{Credentials, Scheme, written_as};

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

/// Learns a secret.
pub fn learn(secret: &str) {
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

/// Learns what goes along with a request.
pub fn learn_credentials(credentials: &Credentials) {
    if is_remembering() {
        credentials.schemes.iter().flat_map(Scheme::secrets).for_each(learn);
    }
}

/// Takes every secret that is known out of a text.
pub fn scrub(text: &str) -> Cow<'_, str> {
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

/// The beginning of a text, without secrets, and without half of one where it is cut off. Tells whether it was.
pub fn excerpt(text: &str, limit: usize) -> (String, bool) {
    let read = &text[..boundary(text, limit.saturating_add(LONGEST))];
    let mut shown = scrub(read).into_owned();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_shows_in_no_form_and_not_by_half() {
        const SECRET: &str = "marked/SECRET\"of-this-test";
        remember();
        learn(SECRET);
        learn("short");
        let escaped = SECRET.replace('/', "\\/").replace('"', "\\\"");
        assert_eq!(scrub(&format!("a {SECRET} b {escaped} c short")), "a [secret] b [secret] c short");
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
