//! When a sign-in binds its tokens to a key (RFC 9449), and what its token requests prove.
//!
//! A key is made for each sign-in and stored with its tokens. Deliberately not here: the key and its proofs (`auth::dpop`).

use std::sync::Arc;

use http::HeaderMap;
use tracing::{debug, info};
use url::Url;

use crate::auth::dpop::{DpopKey, DpopProver, DpopServer, PROOF};
use crate::http::www_authenticate::DpopError;
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::discovery::DiscoveredServer;
use crate::oauth::http::OAuthResponse;
use crate::oauth::http::error_response::ErrorResponse;
use crate::oauth::settings::DpopUse;
use crate::oauth::sign_in_error::SignInError;
use crate::oauth::state::SignInState;
use crate::oauth::store::{PendingSignIn, StoredSignIn, Tokens};

/// What both servers of a sign-in have said about proofs.
#[derive(Debug, Default)]
pub(super) struct DpopServers {
    authorization: Arc<DpopServer>,
    pub(super) resource: Arc<DpopServer>,
}

/// The key that a token request proves, so that the tokens are bound to it (RFC 9449, 5).
#[derive(Debug)]
pub(super) struct KeyBinding {
    prover: DpopProver,
    /// Whether a token that is not bound is refused.
    is_required: bool,
}

impl KeyBinding {
    /// Adds a new proof to a token request.
    pub(super) fn add_proof(&self, endpoint: &Url, headers: &mut HeaderMap) {
        if let Some(proof) = self.prover.proof(&http::Method::POST, endpoint, None) {
            headers.insert(PROOF, proof);
        }
    }

    /// Takes note of the answer of the token endpoint. Returns whether the request was refused for its proof alone, and another
    /// proof may be accepted.
    pub(super) fn note_answer(&self, answer: &OAuthResponse) -> bool {
        self.prover.note_nonce(&answer.headers);
        let refusal = ErrorResponse::read(answer).filter(|_| matches!(answer.status, 400 | 401));
        let error = refusal.and_then(|refusal| DpopError::from_code(&refusal.error));
        error.is_some_and(|error| self.prover.may_be_accepted_after(error, &answer.headers))
    }

    /// The same tokens with the key, to which a refresh token is bound also where the access token is not (RFC 9449, 5).
    ///
    /// # Errors
    /// When the access token is not bound, and the settings require that.
    pub(super) fn bind(&self, tokens: Tokens, place: &str) -> Result<Tokens, SignInError> {
        if !tokens.is_dpop_bound {
            if self.is_required {
                let sentence = format!("{place} gave a token that is not bound to a key (DPoP)");
                let advice = "have DPoP switched on there, or accept such a token: --dpop auto";
                return Err(SignInError::failed(sentence, advice));
            }
            debug!("{place} gave a token that is not bound to a key");
        }
        Ok(Tokens { dpop_key: Some(self.prover.key().clone()), ..tokens })
    }
}

impl SignInState {
    /// A new key for a sign-in that is to have one.
    pub(super) fn new_dpop_key(&self, found: &DiscoveredServer, stored: &StoredSignIn) -> Option<DpopKey> {
        let is_wanted = match self.settings.dpop {
            DpopUse::Never => false,
            DpopUse::Offered => found.offers_dpop && !stored.refuses_dpop && !self.settings.uses_id_token,
            DpopUse::Always => true,
        };
        is_wanted.then(DpopKey::generate).flatten()
    }

    /// What a token request with this key proves.
    pub(super) fn key_binding(&self, key: Option<&DpopKey>) -> Option<KeyBinding> {
        let prover = DpopProver::new(key?, &self.dpop.authorization);
        Some(KeyBinding { prover, is_required: self.settings.dpop == DpopUse::Always })
    }

    /// Returns whether a sign-in that was begun with or without a key may be resumed with these settings.
    pub(super) fn may_resume_binding(&self, stored: &StoredSignIn, pending: &PendingSignIn) -> bool {
        match (self.settings.dpop, &pending.dpop_key) {
            (DpopUse::Never, Some(_)) | (DpopUse::Always, None) => false,
            (DpopUse::Offered, Some(_)) => !stored.refuses_dpop,
            (DpopUse::Never | DpopUse::Offered, None) | (DpopUse::Always, Some(_)) => true,
        }
    }

    /// Returns whether the settings accept tokens that are bound, or not bound, as these.
    pub(super) fn accepts_binding(&self, tokens: &Tokens) -> bool {
        match self.settings.dpop {
            DpopUse::Never => !tokens.is_dpop_bound,
            DpopUse::Offered => true,
            DpopUse::Always => tokens.is_dpop_bound,
        }
    }

    /// Returns whether a server that refused a bound token with this challenge knows tokens that are not bound alone.
    pub(super) fn knows_bearer_only(&self, challenge: &SignInChallenge) -> bool {
        let schemes = challenge.bearer_challenge.as_ref().map(|challenge| challenge.schemes);
        self.settings.dpop == DpopUse::Offered
            && schemes.is_some_and(|schemes| schemes.bearer && !schemes.dpop)
    }

    /// Remembers that the server accepts no bound tokens, for the next sign-in and for other processes.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub(super) async fn note_bearer_only(&self) -> Result<(), SignInError> {
        info!("the server accepts no token that is bound to a key; the next sign-in is without (DPoP)");
        if !self.settings.stores_tokens() {
            self.held().refuses_dpop = true;
            return Ok(());
        }
        self.change(|stored| stored.refuses_dpop = true).await.map(drop)
    }
}
