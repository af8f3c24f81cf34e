//! What an exchange does about a refusal that invites to sign in: it waits for a person, for as long as its client may wait
//! for it, and asks again.
//!
//! Deliberately not here: signing in (`auth::oauth`).

use std::pin::Pin;
use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use url::Url;

use super::streamable::Exchange;
use crate::auth::oauth::challenge::{self, Challenge};
use crate::auth::oauth::{Invitation, OAuth, Trouble};
use crate::bridge::{Ask, Ending, Failure, Refusal, Why};
use crate::diagnosis::{self, Refused, SignIn};

/// How often a person is asked to sign in for one message.
const SIGN_INS: usize = 3;
/// How long a message waits for that, in hosts that wait for a minute and more.
const SIGN_IN_PATIENCE: Duration = Duration::from_secs(45);
/// How long an `initialize` does, which many wait half a minute for.
const OPENING_PATIENCE: Duration = Duration::from_secs(25);
/// How long the stream that nobody waits for does: longer than a sign-in may take.
const LISTENING_PATIENCE: Duration = Duration::from_secs(3600);

impl Exchange<'_> {
    /// Has a person sign in where the refusal invites to, and asks again.
    pub(super) async fn signed_in(&mut self, mut ending: Ending) -> Ending {
        let Some(sign_in) = self.inner.keeper.sign_in() else { return ending };
        for _ in 0..SIGN_INS {
            let invitation = self.invitation.lock().expect("nothing panics in between").take();
            let (Some(invitation), Ending::Refused(refusal)) = (invitation, &ending) else { break };
            let (own, bearer) = (&self.credentials.own, self.credentials.bearer.as_ref());
            let patience = self.patience(sign_in);
            let is_invited = invitation != Invitation::default();
            match sign_in.answer(&invitation, own, bearer, patience).await {
                Ok(()) => {
                    self.credentials = self.inner.keeper.current().await;
                    // Behind a pointer, so that an exchange is not in the program twice.
                    let attempt: Pin<Box<dyn Future<Output = Ending> + Send + '_>> = Box::pin(self.attempt());
                    ending = attempt.await;
                }
                // The refusal may mean something else, and is told as it is.
                Err(Trouble::NotOffered) => break,
                Err(Trouble::Failed { .. }) if !is_invited => break,
                Err(trouble) => {
                    let mut advice = trouble.advice().to_owned();
                    if invitation.document.is_some() {
                        advice += "; a program without a person needs CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET";
                    }
                    let why = Why::new(Failure::SignIn, trouble.to_string(), advice);
                    let why = why.with_status(refusal.status);
                    let refusal =
                        Refusal { answer: None, retry_after: None, unprocessed: false, why, ..*refusal };
                    return self.scrubbed(Ending::Refused(refusal));
                }
            }
        }
        if let (Some(bearer), Ending::Complete | Ending::Accepted(_)) = (&self.credentials.bearer, &ending) {
            bearer.accepted();
        }
        ending
    }

    /// How long it waits for a person.
    fn patience(&self, sign_in: &OAuth) -> Duration {
        let usual = match &self.outgoing.ask {
            Ask::Listen { .. } => return LISTENING_PATIENCE,
            Ask::Post(message) if message.method() == Some("initialize") => OPENING_PATIENCE,
            Ask::Post(_) | Ask::EndSession => SIGN_IN_PATIENCE,
        };
        sign_in.settings().patience.unwrap_or(usual)
    }

    /// What a refusal says of signing in.
    pub(super) fn invited(&self, url: &Url, facts: &Refused<'_>) -> Option<Invitation> {
        let sign_in = self.inner.keeper.sign_in()?;
        if matches!(self.outgoing.ask, Ask::EndSession) {
            return None;
        }
        let challenge = challenge::bearer(facts.headers);
        if facts.status == 403 && challenge.as_ref().is_some_and(Challenge::wants_more) {
            return self.credentials.bearer.is_some().then_some(Invitation { challenge, document: None });
        }
        let asked_for = Refused { token: None, sends_access_token: false, ..*facts };
        let facts = if sign_in.settings().is_asked_for { &asked_for } else { facts };
        match diagnosis::sign_in(url, facts)? {
            SignIn::Access(document) => Some(Invitation { challenge, document: Some(document) }),
            SignIn::Server if challenge.is_some() => Some(Invitation { challenge, document: None }),
            // As servers of 2025-03-26 refuse; and many that want a key.
            SignIn::Server => {
                let says_nothing = !facts.headers.contains_key(WWW_AUTHENTICATE);
                let is_alone = sign_in.settings().is_asked_for || self.credentials.own.is_empty();
                (says_nothing && is_alone).then(Invitation::default)
            }
        }
    }
}
