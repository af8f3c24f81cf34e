//! What a process knows of its sign-in, and what all processes do: read and written under the lock, in threads of their own, so
//! that a disk that is slow holds up no message.
//!
//! What cannot be saved is not lost as long as the process lives: it is saved with the next use, or at the end, unless another
//! process has brought other tokens by then. Deliberately not here: files and locks (`store`, `lock`).

use std::time::Instant;

use tracing::{info, warn};

use crate::oauth::clock::monotonic_clock;
use crate::oauth::sign_in_error::SignInError;
use crate::oauth::sign_in_error::place;
use crate::oauth::state::SignInState;
use crate::oauth::store::lock::{Lock, LockError};
use crate::oauth::store::{StoredSignIn, off_loop};

/// What could not be saved. As long as it is not, other processes must not exchange what is in the file: the lock is held.
pub(super) struct Unsaved {
    stored: StoredSignIn,
    /// The access token in the file that it takes the place of.
    before: Option<String>,
    /// Why.
    pub(super) reason: String,
    lock: Option<Lock>,
    /// When it is tried again.
    retry: Instant,
}

/// What became of saving it once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// There is nothing left to save.
    Done,
    /// Another process has the lock.
    Later,
    /// It failed again.
    Failed,
}

impl SignInState {
    /// Waits until no other process changes tokens; `what` is not done otherwise.
    ///
    /// # Errors
    /// When that takes too long, or the lock cannot be used.
    pub(super) async fn lock(&self, what: &str) -> Result<Lock, SignInError> {
        self.locked().await.map_err(|error| error.to_error(what))
    }

    async fn locked(&self) -> Result<Lock, LockError> {
        if let Some(lock) = self.lock_of_unsaved() {
            return Ok(lock);
        }
        let store = self.store.clone();
        let locked = match off_loop(move || store.try_lock()).await {
            Err(held @ LockError::Held { .. }) => {
                self.held().waits_for = Some(held.to_string());
                let locked = self.store.lock(self.store.token_store().lock_patience()).await;
                self.held().waits_for = None;
                locked
            }
            locked => locked,
        };
        if let Ok(lock) = &locked {
            self.held().lock = lock.weak();
        }
        locked
    }

    /// The lock that is held for what could not be saved.
    fn lock_of_unsaved(&self) -> Option<Lock> {
        self.held().unsaved.as_ref()?.lock.as_ref().map(Lock::shared)
    }

    /// The stored sign-in, of this process or another.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) async fn stored(&self) -> Result<StoredSignIn, SignInError> {
        self.current().await.map(|(stored, _)| stored)
    }

    /// The same, with the access token that is in the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) async fn current(&self) -> Result<(StoredSignIn, Option<String>), SignInError> {
        let store = self.store.clone();
        let read = off_loop(move || store.read()).await;
        let mut held = self.held();
        let read = match (read, &held.unsaved) {
            (Ok(read), _) => read,
            (Err(_), Some(unsaved)) => return Ok((unsaved.stored.clone(), unsaved.before.clone())),
            (Err(error), None) => {
                let sentence = format!("the sign-in kept in {} cannot be read: {error}", self.store.place());
                let advice = self.store.token_store().remedy();
                return Err(SignInError::failed(sentence, advice));
            }
        };
        let before = read.access_token();
        match held.unsaved.take() {
            Some(unsaved) if unsaved.before == before => {
                let stored = unsaved.stored.clone();
                held.unsaved = Some(unsaved);
                Ok((stored, before))
            }
            // Another process has brought other tokens, or the user has signed out.
            Some(_) | None => Ok((read, before)),
        }
    }

    /// Replaces the stored sign-in, for all processes, or at least for this one. The caller holds the lock.
    pub(super) async fn keep(&self, stored: &StoredSignIn, before: Option<String>) {
        let (store, written) = (self.store.clone(), stored.clone());
        match off_loop(move || store.write(&written)).await {
            Ok(()) => {
                if self.held().unsaved.take().is_some() {
                    info!("the sign-in could not be saved before, and is saved now");
                }
            }
            Err(reason) => self.hold(stored.clone(), before, reason),
        }
    }

    /// Holds what cannot be saved. That is said once.
    fn hold(&self, stored: StoredSignIn, before: Option<String>, reason: String) {
        let was_said = {
            let mut held = self.held();
            let lock = Lock::again(&held.lock);
            let retry = monotonic_clock() + self.store.token_store().save_pause();
            held.unsaved.replace(Unsaved { stored, before, reason: reason.clone(), lock, retry })
        };
        if was_said.is_none_or(|unsaved| unsaved.reason != reason) {
            warn!(
                "{reason}; the sign-in is saved as soon as that is possible, and ends with this program where it is not"
            );
        }
    }

    /// Changes the stored sign-in, one process after the other.
    ///
    /// # Errors
    /// When another process has the lock, or the file cannot be read: nothing is changed.
    pub(super) async fn change(
        &self,
        change: impl FnOnce(&mut StoredSignIn),
    ) -> Result<StoredSignIn, SignInError> {
        let place = place(&self.settings.url);
        let _lock = self.lock(&format!("the sign-in at {place} is not changed")).await?;
        let (mut stored, before) = self.current().await?;
        change(&mut stored);
        self.keep(&stored, before).await;
        Ok(stored)
    }

    /// The same for what must not be lost: what cannot be saved now is saved later.
    pub(super) async fn record(&self, change: impl FnOnce(&mut StoredSignIn)) {
        let lock = self.locked().await;
        let (mut stored, before) = self.current().await.unwrap_or_default();
        change(&mut stored);
        match lock {
            Ok(_lock) => self.keep(&stored, before).await,
            Err(error) => self.hold(stored, before, error.to_string()),
        }
    }

    /// Returns whether there is something that could not be saved.
    pub(super) fn is_unsaved(&self) -> bool {
        self.held().unsaved.is_some()
    }

    /// Saves what could not be saved before, if that was not tried a moment ago and no other process has the lock.
    pub(super) async fn save_if_due(&self) {
        let is_due = |unsaved: &Unsaved| unsaved.retry <= monotonic_clock();
        if self.held().unsaved.as_ref().is_some_and(is_due) {
            self.save().await;
        }
    }

    /// Saves what could not be saved before, if no other process has the lock.
    pub(super) async fn save(&self) -> Saved {
        if !self.is_unsaved() {
            return Saved::Done;
        }
        let store = self.store.clone();
        let lock = match self.lock_of_unsaved() {
            Some(lock) => lock,
            None => match off_loop(move || store.try_lock()).await {
                Ok(lock) => lock,
                Err(LockError::Held { .. }) => return Saved::Later,
                Err(LockError::KeyError { .. }) => return Saved::Failed,
            },
        };
        self.held().lock = lock.weak();
        if let Ok((stored, before)) = self.current().await
            && self.is_unsaved()
        {
            self.keep(&stored, before).await;
        }
        if self.is_unsaved() { Saved::Failed } else { Saved::Done }
    }
}
