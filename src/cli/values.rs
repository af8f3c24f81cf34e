//! Values of options that are more than text: what they may be.
//!
//! An error says nothing of the value, which may be a secret; the sentence is made from the option's name. Deliberately not
//! here: the options (`cli`).

use std::time::Duration;

/// A short plain name.
pub(super) fn profile(text: &str) -> Result<String, String> {
    let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    match begins_well && text.len() <= 64 && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(String::new()),
    }
}

/// Seconds, which may have a fraction: not below nothing, and not beyond a month.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=2_592_000.0).contains(seconds));
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(String::new)
}

/// The same, and more than nothing.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|seconds| if seconds.is_zero() { Err(String::new()) } else { Ok(seconds) })
}
