//! A token in use: how it stands in a request, when it is due for exchange, and what a refusal of it means.
//!
//! Deliberately not here: where it comes from (`super`), and what is kept of it (`store`).

use std::sync::{Arc, Mutex, PoisonError};

use http::header::HeaderValue;

use crate::auth::Scheme;
use crate::auth::dpop::{DpopProver, DpopServer, DpopToken};
use crate::jwt;
use crate::oauth::clock::seconds;
use crate::oauth::clock::wall_clock;
use crate::oauth::settings::{Grant, SignInSettings};
use crate::oauth::store::Tokens;

/// How long before a token runs out it is exchanged for another, in seconds; half its life where that is shorter.
const MARGIN: u64 = 60;

/// A token in use.
#[derive(Debug)]
pub struct Bearer {
    pub(super) tokens: Tokens,
    /// How it is attached.
    pub(super) scheme: Scheme,
    /// When what is sent of it runs out, in seconds since 1970, where that is known.
    pub(super) expires: Option<u64>,
    /// Whether the token can be replaced without the user.
    pub(super) renews: bool,
    /// What it is while the server has not accepted it yet.
    origin: Mutex<TokenOrigin>,
}

/// How a token came that the server has not accepted yet: what a refusal means depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenOrigin {
    /// A person has just signed in for it: another would not be accepted either.
    SignedIn,
    /// From a refresh a moment ago. If it is rejected, another refresh does not help, but a sign-in may.
    Renewed,
    /// There is nothing new about it.
    Over,
}

impl Bearer {
    /// None where it cannot stand in a header, or is bound to a key that is not there. `server` has what the resource server said
    /// about proofs.
    pub(super) fn new(
        tokens: Tokens,
        settings: &SignInSettings,
        origin: TokenOrigin,
        server: &Arc<DpopServer>,
    ) -> Option<Bearer> {
        let id_token = tokens.id_token.as_deref().filter(|_| settings.uses_id_token);
        let expires = match id_token.and_then(jwt::expiry) {
            Some(end) => Some(seconds(end)),
            None => tokens.expires,
        };
        let sent = Some(id_token.unwrap_or(&tokens.access_token)).filter(|sent| !sent.is_empty())?;
        let scheme = if tokens.is_dpop_bound && id_token.is_none() {
            let prover = DpopProver::new(tokens.dpop_key.as_ref()?, server);
            Scheme::Dpop(DpopToken::new(sent, prover)?)
        } else {
            let mut header = HeaderValue::try_from(format!("Bearer {sent}")).ok()?;
            header.set_sensitive(true);
            Scheme::Bearer(header)
        };
        let renews = tokens.refresh_token.is_some()
            || !settings.grant.asks_user()
            || settings.grant == Grant::Enterprise;
        Some(Bearer { tokens, scheme, expires, renews, origin: Mutex::new(origin) })
    }

    /// Returns whether it is sent with proofs of a key.
    pub fn is_dpop_bound(&self) -> bool {
        matches!(self.scheme, Scheme::Dpop(_))
    }

    /// When it is to be exchanged for another, in seconds since 1970.
    pub(super) fn renewal(&self) -> Option<u64> {
        let expires = self.expires.filter(|_| self.renews)?;
        let life = expires.saturating_sub(self.tokens.obtained);
        Some(expires - MARGIN.min(life / 2).min(expires))
    }

    /// The server has accepted it.
    pub fn accepted(&self) {
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = TokenOrigin::Over;
    }

    /// How it came, if it is new and holds still.
    pub(super) fn origin(&self) -> TokenOrigin {
        let is_over = self.expires.is_some_and(|expires| expires <= seconds(wall_clock()));
        if is_over { TokenOrigin::Over } else { *self.origin.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}
