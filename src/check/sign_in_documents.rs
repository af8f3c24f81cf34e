//! Requests the documents of a sign-in, to find out whether Cloudflare or Access blocks them. No user signs in, and no client
//! is registered.
//!
//! Deliberately not here: the explanation of such an answer (`diagnosis`).

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Credentials;
use crate::auth::access_proof::AccessProof;
use crate::bridge::ErrorReport;
use crate::http::Http;
use crate::oauth::{OAuth, SignInError, SignInSettings};

/// How long it may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// The parameters of the search for the documents.
pub(super) struct SignInDocuments {
    pub(super) settings: SignInSettings,
    pub(super) http: Arc<Http>,
    pub(super) credentials: Credentials,
    /// Whether the service token may be sent, where that takes a proof.
    pub(super) proof: Option<Arc<AccessProof>>,
}

impl SignInDocuments {
    /// Why the documents cannot be read: Cloudflare, or Access, answers in their place. None where that is not so.
    pub(super) async fn intercepted(self) -> Option<ErrorReport> {
        let token = self.credentials.service_token();
        let is_sent = token.zip(self.proof.as_ref()).is_none_or(|(token, proof)| proof.allows(token));
        let sent = if is_sent { self.credentials.clone() } else { self.credentials.without_service_token() };
        let sign_in = OAuth::new(SignInSettings { asks: false, ..self.settings }, self.http);
        let sent = Arc::new(sent);
        let found = tokio::time::timeout(STEP_TIMEOUT, Box::pin(sign_in.find(&sent))).await.ok()?;
        found
            .err()
            .filter(|trouble| matches!(trouble, SignInError::Intercepted(_)))
            .map(|trouble| trouble.report())
    }
}
