//! Values of options that are more than text.
//!
//! An error says nothing about the value, which may be a secret; `usage` makes the sentence from the option's name.
//! Deliberately not here: the options (`options`).

use std::time::Duration;

use clap::ValueEnum;

/// The values of `--transport`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TransportOption {
    /// Streamable HTTP, then HTTP+SSE (2024-11-05)
    #[default]
    HttpFirst,
    /// HTTP+SSE, then streamable HTTP
    SseFirst,
    /// Streamable HTTP alone
    HttpOnly,
    /// HTTP+SSE alone
    SseOnly,
}

/// The values of `--access`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AccessMode {
    /// To this computer, and to a host that refuses a request without it and proves that an Access application of the token's
    /// team protects it
    #[default]
    Auto,
    /// With every request to the server
    Always,
    /// Same as --no-access
    Never,
}

/// The values of `--auth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// When the server asks for it, unless a header already authenticates the client
    #[default]
    Auto,
    /// When the server asks for it, in place of such a header and of a service token that Access refuses
    Oauth,
    /// Never
    None,
}

/// The values of `--dpop`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DpopMode {
    /// If both servers offer it
    #[default]
    Auto,
    /// With every sign-in; a token that is not bound is refused
    Always,
    /// Never
    Never,
}

/// The values of `--protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Detect it, and remember the result
    #[default]
    Auto,
    /// initialize and sessions (up to 2025-11-25)
    Legacy,
    /// Stateless requests (from 2026-07-28)
    Modern,
}

/// The values of `--token-store`.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum TokenStorePlace {
    /// A file each.
    #[default]
    File,
    /// The keychain of the operating system.
    Keychain,
    /// What this command keeps.
    Command(String),
}

/// Reads `file`, `keychain` or `command:COMMAND`.
pub(super) fn token_store(text: &str) -> Result<TokenStorePlace, String> {
    match (text, text.strip_prefix("command:")) {
        ("file", _) => Ok(TokenStorePlace::File),
        ("keychain", _) => Ok(TokenStorePlace::Keychain),
        (_, Some(command)) if !command.trim().is_empty() => {
            Ok(TokenStorePlace::Command(command.trim().to_owned()))
        }
        _ => Err(String::new()),
    }
}

/// The shells that have completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash
    Bash,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
    /// Zsh
    Zsh,
}

/// Reads a short plain name.
pub(super) fn profile(text: &str) -> Result<String, String> {
    let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    match begins_well && text.len() <= 64 && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(String::new()),
    }
}

/// Reads seconds, which may have a fraction: from 0 to 30 days.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=2_592_000.0).contains(seconds));
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(String::new)
}

/// Reads seconds that are more than 0.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|seconds| if seconds.is_zero() { Err(String::new()) } else { Ok(seconds) })
}

/// Reads the name of an environment variable.
pub(super) fn variable(text: &str) -> Result<String, String> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let begins_well = !text.starts_with(|first: char| first.is_ascii_digit());
    match !text.is_empty() && begins_well && text.chars().all(is_letter) {
        true => Ok(text.to_owned()),
        false => Err(String::new()),
    }
}
