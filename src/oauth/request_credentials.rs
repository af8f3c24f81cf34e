//! The credentials of a request: those of the entry, and the token of a sign-in beside them.
//!
//! Deliberately not here: where the entry's own credentials come from (`auth::credential_provider`).

use std::sync::Arc;

use url::Url;

use crate::auth::Credentials;
use crate::auth::access_proof::NotSent;
use crate::auth::credential_provider::{CredentialProvider, CredentialSnapshot, RejectedBy};
use crate::oauth::bearer::Bearer;
use crate::oauth::sign_in::OAuth;

/// Provides what is attached to each request.
#[derive(Debug)]
pub struct RequestCredentials {
    provider: CredentialProvider,
    sign_in: Option<OAuth>,
}

/// What was attached to one request.
#[derive(Clone, Debug)]
pub struct RequestSnapshot {
    /// The entry's own credentials.
    pub own: CredentialSnapshot,
    /// Those, with the token of the sign-in.
    pub credentials: Arc<Credentials>,
    /// That token.
    pub bearer: Option<Arc<Bearer>>,
}

impl RequestCredentials {
    /// Attaches what `provider` has, and the token of `sign_in`, if there is one.
    pub fn new(provider: CredentialProvider, sign_in: Option<OAuth>) -> RequestCredentials {
        RequestCredentials { provider, sign_in }
    }

    /// The entry's own credentials.
    pub fn provider(&self) -> &CredentialProvider {
        &self.provider
    }

    /// The sign-in, if the entry may use one.
    pub fn sign_in(&self) -> Option<&OAuth> {
        self.sign_in.as_ref()
    }

    /// Returns what to attach to the next request.
    pub async fn current(&self) -> RequestSnapshot {
        self.with_token(self.provider.current().await).await
    }

    /// Returns other credentials than those that were rejected, if there are any.
    pub async fn another(&self, rejected: &RequestSnapshot, by: RejectedBy) -> Option<RequestSnapshot> {
        let another = self.provider.another(&rejected.own, by).await?;
        Some(self.with_token(another).await)
    }

    /// Proves that the withheld service token may be sent to `url`, and returns the credentials with it.
    ///
    /// # Errors
    /// Why it must not be sent.
    pub async fn prove(&self, rejected: &RequestSnapshot, url: &Url) -> Result<RequestSnapshot, NotSent> {
        let proved = self.provider.prove(&rejected.own, url).await?;
        Ok(self.with_token(proved).await)
    }

    async fn with_token(&self, own: CredentialSnapshot) -> RequestSnapshot {
        let (credentials, bearer) = match &self.sign_in {
            // Large, and an entry without a sign-in needs no room for it.
            Some(sign_in) => Box::pin(sign_in.join(&own.credentials)).await,
            None => (Arc::clone(&own.credentials), None),
        };
        RequestSnapshot { own, credentials, bearer }
    }
}
