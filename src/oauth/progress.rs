//! The progress of a sign-in, for the calls that wait for it.

use tokio::sync::watch;

use crate::oauth::sign_in_error::SignInError;
use crate::oauth::sign_in_error::UserAction;

/// How far a sign-in has come.
#[derive(Clone, Debug)]
pub(super) enum SignInProgress {
    Preparing,
    /// A person is to go to a page.
    Waiting(UserAction),
    /// Another process has the lock, as this says, and does not say what it waits for.
    Elsewhere(String),
    Done(Result<(), SignInError>),
}

/// Waits for the end of a sign-in.
pub(super) async fn done(mut flow: watch::Receiver<SignInProgress>) -> Result<(), SignInError> {
    loop {
        if let SignInProgress::Done(result) = &*flow.borrow_and_update() {
            return result.clone();
        }
        if flow.changed().await.is_err() {
            return Err(defect());
        }
    }
}

/// A task that is gone without a word.
pub(super) fn defect() -> SignInError {
    SignInError::failed("the sign-in ended in a defect of mcp-tether", "report it")
}
