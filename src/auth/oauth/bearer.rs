//! A token in use: how it stands in a request, when it is due for exchange, and what a refusal of it means.
//!
//! Deliberately not here: where it comes from (`super`), and what is kept of it (`store`).

use std::sync::Mutex;

use http::header::HeaderValue;

use super::store::Tokens;
use super::{seconds, wall_clock};

/// How long before a token runs out it is exchanged for another, in seconds; half its life where that is shorter.
const MARGIN: u64 = 60;

/// A token in use.
#[derive(Debug)]
pub struct Bearer {
    pub(super) tokens: Tokens,
    pub(super) header: HeaderValue,
    /// What it is while the server has not accepted it yet.
    trial: Mutex<Trial>,
}

/// How a token came that the server has not accepted yet: what a refusal means depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// A person has just signed in for it: another would not be accepted either.
    SignedIn,
    /// It has just taken another's place: a third would not be accepted either, but a person may help.
    Renewed,
    /// There is nothing new about it.
    Over,
}

impl Bearer {
    /// None where it cannot stand in a header.
    pub(super) fn new(tokens: Tokens, trial: Trial) -> Option<Bearer> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", tokens.access_token)).ok()?;
        header.set_sensitive(true);
        Some(Bearer { tokens, header, trial: Mutex::new(trial) })
    }

    /// When it is to be exchanged for another, in seconds since 1970.
    pub(super) fn renewal(&self) -> Option<u64> {
        let expires = self.tokens.expires.filter(|_| self.tokens.refresh_token.is_some())?;
        let life = expires.saturating_sub(self.tokens.obtained);
        Some(expires - MARGIN.min(life / 2).min(expires))
    }

    /// The server has accepted it.
    pub fn accepted(&self) {
        *self.trial.lock().expect("nothing panics in between") = Trial::Over;
    }

    /// How it came, if it is new and holds still.
    pub(super) fn trial(&self) -> Trial {
        let is_over = self.tokens.expires.is_some_and(|expires| expires <= seconds(wall_clock()));
        if is_over { Trial::Over } else { *self.trial.lock().expect("nothing panics in between") }
    }
}
