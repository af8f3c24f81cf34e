//! What an exchange does when its credentials are rejected: it retries with other credentials (`auth::credential_provider`), or
//! with the withheld service token once that is proved to belong to the host (`auth::access_proof`), or waits for the user to
//! sign in (`oauth`), for as long as its client may wait.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use url::Url;

use super::initialize_progress::InitializeStage;
use super::streamable::HttpExchange;
use crate::auth::credential_provider::RejectedBy;
use crate::bridge::{Ask, ErrorKind, ErrorReport, ExchangeOutcome, Refusal};
use crate::diagnosis::{self, RefusalFacts, SignIn};
use crate::http::www_authenticate::dpop_error;
use crate::jsonrpc::{Kind, Message};
use crate::mcp::method;
use crate::oauth::challenge::{self, BearerChallenge};
use crate::oauth::{Grant, Interaction, OAuth, SignInChallenge, SignInError};

/// How often other credentials are tried for one message.
const OTHER_CREDENTIALS: usize = 2;
/// How often a withheld service token is proved for one message: the one in use, and the next.
const PROOFS: usize = 2;
/// How often the user is asked to sign in for one message.
const SIGN_INS: usize = 3;
/// How long a message waits for a sign-in: hosts wait for a minute and more.
const SIGN_IN_PATIENCE: Duration = Duration::from_secs(45);
/// How long an `initialize` waits for a sign-in: many clients wait for half a minute.
const OPENING_PATIENCE: Duration = Duration::from_secs(25);
/// How long the listening stream waits for a sign-in: no request depends on it, so longer than a sign-in may take.
const LISTENING_PATIENCE: Duration = Duration::from_secs(3600);

/// What becomes of a service token that was withheld from an exchange.
#[derive(Debug, Default)]
pub(super) struct ProofAttempts {
    /// Where the last refusal came from, if it is or may be one of Access.
    refused_at: Mutex<Option<Url>>,
    /// How often the host was asked for a proof.
    count: usize,
}

impl HttpExchange<'_> {
    /// Changes to credentials that may be accepted where those of the last attempt were not. Returns whether there are any;
    /// otherwise `outcome` stands, and explains why.
    pub(super) async fn retry_with_other_credentials(&mut self, outcome: &mut ExchangeOutcome) -> bool {
        if matches!(outcome, ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_)) {
            self.accepted();
            return false;
        }
        // Rare, and large.
        Box::pin(self.replace_credentials(outcome)).await
    }

    async fn replace_credentials(&mut self, outcome: &mut ExchangeOutcome) -> bool {
        if self.is_about_the_session(outcome) {
            return false;
        }
        if self.prove_token(outcome).await || self.change_credentials(outcome).await {
            return true;
        }
        self.explain_not_sent(outcome);
        false
    }

    /// Returns whether a refusal says that the session is lost: then the credentials are not to blame, and no
    /// others are tried before a new session was tried with them.
    fn is_about_the_session(&self, outcome: &ExchangeOutcome) -> bool {
        match (outcome, &self.outgoing.facts.session) {
            (ExchangeOutcome::Refused(refusal), Some(session)) => refusal.says_session_is_lost(session),
            _ => false,
        }
    }

    /// Proves that the service token that was withheld belongs to the host, if Access refused or may have refused, and returns
    /// whether it did. Before that nothing leads to a sign-in: the service token comes before the user.
    async fn prove_token(&mut self, outcome: &ExchangeOutcome) -> bool {
        let refused_at =
            self.proof_attempts.refused_at.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let refused_at = match outcome {
            ExchangeOutcome::Refused(_) => refused_at,
            // The sign-in page, where a redirect to it was followed on the way.
            ExchangeOutcome::Lost { report, .. } if report.cause.is_of_access() => {
                Some(self.context.url.clone())
            }
            ExchangeOutcome::Lost { .. }
            | ExchangeOutcome::Complete
            | ExchangeOutcome::Accepted(_)
            | ExchangeOutcome::Cut(_) => None,
        };
        let Some(mut refused_at) = refused_at.filter(|_| self.credentials.own.withheld.is_some()) else {
            return false;
        };
        if self.proof_attempts.count >= PROOFS || matches!(self.outgoing.ask, Ask::EndSession) {
            return false;
        }
        self.proof_attempts.count += 1;
        // An application is found by host and path.
        refused_at.set_query(None);
        let proved = self.context.request_credentials.prove(&self.credentials, &refused_at).await;
        let Ok(proved) = proved else { return false };
        self.credentials = proved;
        self.challenge.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        true
    }

    /// Notes a refusal from `url`: one by Access, or that may be, can end with a service token that was withheld; any other
    /// shows that Access let the request through.
    pub(super) async fn note_refusal(
        &self,
        url: &Url,
        facts: &RefusalFacts<'_>,
        report: &ErrorReport,
        is_answer: bool,
    ) {
        if is_answer || !diagnosis::may_be_access(report, facts) {
            self.token_accepted().await;
        } else if self.credentials.own.withheld.is_some() {
            *self.proof_attempts.refused_at.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(url.clone());
        }
    }

    /// Notes that Access let the request through. A proof is stored before the client gets the response.
    pub(super) async fn token_accepted(&self) {
        // Also where another exchange proved it, and broke before it had an answer.
        if self.context.request_credentials.provider().has_news_of_token() {
            Box::pin(self.context.request_credentials.provider().token_accepted(&self.credentials.own)).await;
        }
    }

    /// Says in a refusal that a service token that is set was not sent, why, and what to do if it is meant for the host.
    fn explain_not_sent(&self, outcome: &mut ExchangeOutcome) {
        let (ExchangeOutcome::Refused(Refusal { report, .. }) | ExchangeOutcome::Lost { report, .. }) =
            outcome
        else {
            return;
        };
        if !report.cause.is_of_access() && !matches!(report.status, Some(401 | 403)) {
            return;
        }
        let Some(reason) = self.context.request_credentials.provider().not_sent(&self.credentials.own) else {
            return;
        };
        let token = match &self.credentials.own.withheld {
            Some(token) => token.id(),
            None => "in the environment",
        };
        let advice = reason.advice(&self.context.url);
        let before = report.advice.take();
        report.advice = Some(match (report.cause, before) {
            (_, Some(before)) if self.reports_sign_in => format!("{before}; {advice}"),
            // It is set.
            (ErrorKind::AccessCredentials, _) | (_, None) => advice,
            (_, Some(before)) => format!("{advice}; {before}"),
        });
        if !self.reports_sign_in {
            report.sentence =
                format!("{}; the service token {token} was not sent: {reason}", report.sentence);
        }
    }

    /// Changes to other credentials, or has the user sign in. Returns whether there are other credentials now.
    async fn change_credentials(&mut self, outcome: &mut ExchangeOutcome) -> bool {
        let request_credentials = &self.context.request_credentials;
        if self.credential_changes < OTHER_CREDENTIALS
            && let Some(side) = rejected_by(outcome)
            && let Some(another) = request_credentials.another(&self.credentials, side).await
        {
            self.credential_changes += 1;
            self.credentials = another;
            return true;
        }
        let challenge = self.challenge.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        match (challenge, &*outcome) {
            (Some(challenge), ExchangeOutcome::Refused(refusal)) if self.sign_ins < SIGN_INS => {
                self.sign_ins += 1;
                let status = refusal.status;
                let is_in_doubt = self.outgoing.facts.session_in_doubt
                    && refusal.refuses_credentials()
                    && challenge.document.is_none();
                let asking = if is_in_doubt { Interaction::Nobody } else { Interaction::User };
                match self.sign_in(&challenge, status, asking).await {
                    Ok(is_signed_in) => is_signed_in,
                    Err(told) => {
                        (*outcome, self.reports_sign_in) = (told, true);
                        false
                    }
                }
            }
            _ => false,
        }
    }

    /// The server has taken the credentials.
    pub(super) fn accepted(&self) {
        if let Some(bearer) = &self.credentials.bearer {
            bearer.accepted();
        }
    }

    /// Has the user sign in. Returns whether there is a token now.
    ///
    /// # Errors
    /// The outcome that replaces the refusal.
    async fn sign_in(
        &mut self,
        challenge: &SignInChallenge,
        status: u16,
        asking: Interaction,
    ) -> Result<bool, ExchangeOutcome> {
        let Some(sign_in) = self.context.request_credentials.sign_in() else { return Ok(false) };
        let (own, bearer) = (&self.credentials.own.credentials, self.credentials.bearer.as_ref());
        let patience = self.patience(sign_in);
        self.note_stage(InitializeStage::SignIn);
        let is_challenged = *challenge != SignInChallenge::default();
        match sign_in.answer(challenge, own, bearer, asking, patience).await {
            Ok(()) => {
                self.credentials = self.context.request_credentials.current().await;
                Ok(true)
            }
            // The refusal may mean something else, and is reported as it is.
            Err(SignInError::NotOffered) => Ok(false),
            Err(_) if asking == Interaction::Nobody => Ok(false),
            Err(SignInError::Failed { kind, .. }) if !is_challenged && !kind.is_always_told() => Ok(false),
            Err(SignInError::Intercepted(_)) if !is_challenged => Ok(false),
            Err(trouble) => {
                let report = trouble.report();
                // The status of an intercepted response says more than that of the refusal.
                let report = ErrorReport { status: report.status.or(Some(status)), ..report };
                let processing = diagnosis::processing(status, report.cause, false);
                let refusal = Refusal { status, answer: None, retry_after: None, processing, report };
                Err(self.redacted(ExchangeOutcome::Refused(refusal)))
            }
        }
    }

    /// How long the exchange waits for a sign-in.
    fn patience(&self, sign_in: &OAuth) -> Duration {
        let usual = match &self.outgoing.ask {
            Ask::Listen { .. } => return LISTENING_PATIENCE,
            Ask::Post(message) if message.method() == Some(method::INITIALIZE) => OPENING_PATIENCE,
            Ask::Post(_) | Ask::EndSession => SIGN_IN_PATIENCE,
        };
        sign_in.settings().patience.unwrap_or(usual)
    }

    /// The challenge of a refusal that a sign-in can resolve.
    pub(super) fn sign_in_challenge(&self, url: &Url, facts: &RefusalFacts<'_>) -> Option<SignInChallenge> {
        let sign_in = self.context.request_credentials.sign_in()?;
        if matches!(self.outgoing.ask, Ask::EndSession) {
            return None;
        }
        let is_dpop_bound = self.credentials.bearer.as_ref().is_some_and(|bearer| bearer.is_dpop_bound());
        if is_dpop_bound && dpop_error(facts.headers).is_some() {
            return None;
        }
        let bearer_challenge = challenge::bearer(facts.headers);
        if facts.status == 403 && bearer_challenge.as_ref().is_some_and(BearerChallenge::wants_more) {
            return self
                .credentials
                .bearer
                .is_some()
                .then_some(SignInChallenge { bearer_challenge, document: None });
        }
        let asked_for = RefusalFacts { token: None, sends_access_token: false, ..*facts };
        let facts = if sign_in.settings().is_asked_for { &asked_for } else { facts };
        match diagnosis::sign_in(url, facts)? {
            SignIn::Access(document) => Some(SignInChallenge { bearer_challenge, document: Some(document) }),
            SignIn::Server if bearer_challenge.is_some() => {
                Some(SignInChallenge { bearer_challenge, document: None })
            }
            // As servers of 2025-03-26 refuse; and many that want a key.
            SignIn::Server => {
                let says_nothing = !facts.headers.contains_key(WWW_AUTHENTICATE);
                let settings = sign_in.settings();
                let is_named = settings.is_asked_for || settings.grant != Grant::Page;
                let is_alone = is_named || self.credentials.own.credentials.is_empty();
                (says_nothing && is_alone).then(SignInChallenge::default)
            }
        }
    }
}

/// Returns whether what came with a refusal is an answer of the protocol: others write `{"error":"invalid_token"}` as well
/// (RFC 6750, and many a gateway), which is none and would tell the client nothing.
pub(super) fn is_json_rpc_answer(message: &Message) -> bool {
    match message.kind() {
        Kind::Response { error: true, .. } => message.body().is_some_and(|error| error.starts_with('{')),
        Kind::Response { error: false, .. } => true,
        Kind::Request { .. } | Kind::Notification { .. } => false,
    }
}

/// Which side rejected the credentials, where others may help. It has not processed the message.
pub(super) fn rejected_by(outcome: &ExchangeOutcome) -> Option<RejectedBy> {
    match outcome {
        ExchangeOutcome::Refused(refusal) if refusal.report.cause.is_of_access() => Some(RejectedBy::Access),
        // The token is not to blame.
        ExchangeOutcome::Refused(refusal) if refusal.report.cause == ErrorKind::DpopProof => None,
        ExchangeOutcome::Refused(refusal) => (refusal.status == 401).then_some(RejectedBy::Server),
        // The sign-in page, where a redirect to it was followed on the way.
        ExchangeOutcome::Lost { report, .. } => report.cause.is_of_access().then_some(RejectedBy::Access),
        ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) | ExchangeOutcome::Cut(_) => None,
    }
}
