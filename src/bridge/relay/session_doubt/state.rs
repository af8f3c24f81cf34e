//! Refusals that may be about the session, and the sessions that were abandoned because of them.
//!
//! Deliberately not here: ending a session.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::bridge::event::Facts;
use crate::bridge::relay::session_loss::SessionLoss;

/// How long a failed renewal keeps other statuses from causing one.
const FAILED_RENEWAL_LASTS: Duration = Duration::from_secs(60);
/// How many methods are remembered. Clients use about twenty.
const METHODS: usize = 64;

/// The observed refusals that do not name the session.
#[derive(Debug, Default)]
pub(in crate::bridge::relay) struct Doubts {
    /// When a renewal that a status alone had caused failed to help.
    vain: Option<Instant>,
    /// The methods over whose requests that happened.
    refused: BTreeSet<String>,
    /// The methods of which the server has answered a request.
    answered: BTreeSet<String>,
    /// Sessions that were given up over a status alone: the server may still know them.
    given_up: Vec<GivenUp>,
    /// Those that it knows, or may. They are ended once nothing is under way in them.
    superfluous: Vec<GivenUp>,
    /// Whether the last session was given up because the credentials were refused.
    over_credentials: bool,
}

/// A session that was given up.
#[derive(Debug)]
struct GivenUp {
    epoch: u64,
    facts: Facts,
    loss: SessionLoss,
}

impl Doubts {
    /// Returns whether a refusal like this of a message with this method may be about the session.
    pub(super) fn may_mean_loss(&self, loss: SessionLoss, method: Option<&str>, now: Instant) -> bool {
        let is_recent = self.vain.is_some_and(|at| now.saturating_duration_since(at) < FAILED_RENEWAL_LASTS);
        match loss {
            SessionLoss::Said => true,
            SessionLoss::Unauthorized => !is_recent,
            SessionLoss::Presumed => {
                let is_known = |method| self.answered.contains(method) && !self.refused.contains(method);
                !is_recent || method.is_some_and(is_known)
            }
        }
    }

    /// Notes that the server has answered a request with this method.
    pub(in crate::bridge::relay) fn answered(&mut self, method: &str) {
        if self.answered.len() < METHODS && !self.answered.contains(method) {
            self.answered.insert(method.to_owned());
        }
    }

    /// A session is given up over such a refusal. `facts`: its headers, where it named itself in them.
    pub(super) fn give_up(&mut self, epoch: u64, facts: Facts, loss: SessionLoss) {
        self.over_credentials = loss == SessionLoss::Unauthorized;
        if loss != SessionLoss::Said && facts.session.is_some() {
            self.given_up.push(GivenUp { epoch, facts, loss });
        }
    }

    /// Returns whether the last session was given up because the credentials were refused.
    pub(super) fn is_over_credentials(&self) -> bool {
        self.over_credentials
    }

    /// A new session refuses a message with this method as the one before did: giving that one up did not help.
    pub(super) fn renewal_did_not_help(&mut self, method: Option<String>, now: Instant) {
        self.vain = Some(now);
        if self.refused.len() < METHODS {
            self.refused.extend(method);
        }
        self.superfluous.append(&mut self.given_up);
    }

    /// Takes the sessions that are not needed any more. Those whose epoch `is_used` stay.
    pub(super) fn take_superfluous(&mut self, is_used: impl Fn(u64) -> bool) -> Vec<Facts> {
        let (kept, ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.superfluous).into_iter().partition(|session| is_used(session.epoch));
        self.superfluous = kept;
        ended.into_iter().map(|session| session.facts).collect()
    }

    /// A message that was refused in another session has its answer in this one: the other one was lost, unless new
    /// credentials came with this one.
    pub(super) fn was_lost(&mut self) {
        let given_up = std::mem::take(&mut self.given_up).into_iter();
        self.superfluous.extend(given_up.filter(|session| session.loss == SessionLoss::Unauthorized));
    }
}
