//! Sending again: what an ending says about whether the server has processed a message, and what may be repeated.
//!
//! A message that was certainly not processed is sent again, whatever it is. One whose outcome is unknown only if it has
//! no side effects, or is a call of a tool that says so of itself: nothing is ever done twice. Four attempts and six
//! seconds in all. Deliberately not here: a session that was lost (`recovery`), streams that are taken up again
//! (`listening`).

use std::time::{Duration, Instant};

use super::ledger::{Attempts, Entry, Place, RetryKind, Ticket};
use super::{Relay, backoff};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Action, ExchangeOutcome, Notice, Refusal, Written};
use crate::bridge::revision::Era;
use crate::jsonrpc::Id;

/// How often a message is sent at most.
const ATTEMPTS: u32 = 4;
/// How long all attempts may take together.
const BUDGET: Duration = Duration::from_secs(6);
/// The same for the probe of a client that has little patience before it falls back to `initialize`.
const BUDGET_DISCOVER: Duration = Duration::from_millis(900);

/// What an ending says about the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The server has certainly not processed it; it may ask to wait.
    Unprocessed { wait: Option<Duration> },
    /// It may have, or not.
    Unknown,
    /// Another attempt would end the same way.
    Final,
}

fn verdict(outcome: &ExchangeOutcome) -> Verdict {
    match outcome {
        ExchangeOutcome::Lost { written, report } => match (report.cause, written) {
            (ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Connection, Written::No) => {
                Verdict::Unprocessed { wait: None }
            }
            (ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Connection, Written::Maybe) => Verdict::Unknown,
            _ => Verdict::Final,
        },
        ExchangeOutcome::Cut(_) | ExchangeOutcome::Complete => Verdict::Unknown,
        ExchangeOutcome::Refused(refusal) if refusal.unprocessed => {
            Verdict::Unprocessed { wait: refusal.retry_after }
        }
        ExchangeOutcome::Refused(refusal) if is_lasting(refusal) => Verdict::Final,
        ExchangeOutcome::Refused(refusal) if is_passing(refusal.status) => Verdict::Unknown,
        ExchangeOutcome::Refused(_) | ExchangeOutcome::Accepted(_) => Verdict::Final,
    }
}

/// Says for how long the server asks to wait, if it does.
pub(super) fn asking_to_wait(report: ErrorReport, wait: Duration) -> ErrorReport {
    match wait.is_zero() {
        true => report,
        false => ErrorReport {
            sentence: format!("{}; it asks to wait {} s", report.sentence, wait.as_secs().max(1)),
            ..report
        },
    }
}

/// Returns whether a refusal names something that somebody has to mend: a certificate, a name, a check for browsers.
/// None of these lets a message through to the server.
fn is_lasting(refusal: &Refusal) -> bool {
    matches!(refusal.status, 525 | 526)
        || matches!(refusal.report.cause, ErrorKind::Challenge | ErrorKind::OriginDns | ErrorKind::Firewall)
}

/// Returns whether a status comes from something in front of the server that may soon be well again.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 502..=504 | 520..=530)
}

impl Relay {
    /// Lets a message be sent once more, where that may be and helps. Returns whether it will be.
    pub(super) fn try_again(&mut self, ticket: Ticket, outcome: &ExchangeOutcome, now: Instant) -> bool {
        let may_repeat = match verdict(outcome) {
            Verdict::Final => false,
            Verdict::Unprocessed { .. } => true,
            Verdict::Unknown => self.is_repeatable(ticket),
        };
        // What the client has taken back is not sent again.
        if !may_repeat || self.ledger.cancellation_of(ticket).is_some() || self.is_leaving() {
            return false;
        }
        let seed = self.jitter();
        let Some(entry) = self.ledger.get(ticket) else { return false };
        let budget = match entry.message.method() {
            Some("server/discover") if !entry.request_id().is_some_and(Id::is_ours) => BUDGET_DISCOVER,
            _ => BUDGET,
        };
        // A stream that went well for a while has its own beginning.
        let since = match entry.attempts {
            Attempts { opened: true, made: ..=1, .. } => now,
            Attempts { since, .. } => since.unwrap_or(now),
        };
        let backoff = backoff::resending(entry.attempts.made.saturating_sub(1), seed);
        let deadline = since + budget;
        let until = match verdict(outcome) {
            Verdict::Unprocessed { wait: Some(wait) } => now.checked_add(wait.max(backoff)),
            // The last attempt uses up the time there is.
            Verdict::Unprocessed { wait: None } | Verdict::Unknown | Verdict::Final => {
                Some((now + backoff).min(deadline)).filter(|until| *until > now)
            }
        };
        let Some(until) = until.filter(|until| *until <= deadline) else { return false };
        if entry.attempts.made >= ATTEMPTS {
            return false;
        }
        let title = entry.message.title().into_owned();
        self.ledger.retry_at(ticket, until, since);
        if let Some(report) = report(outcome) {
            self.act(Action::Notice(Notice::Resending { title, report }));
        }
        true
    }

    /// The words for an ending after which a request is not sent again.
    pub(super) fn last_words(
        &self,
        ticket: Ticket,
        outcome: &ExchangeOutcome,
        report: ErrorReport,
    ) -> ErrorReport {
        let Some(entry) = self.ledger.get(ticket) else { return report };
        match verdict(outcome) {
            Verdict::Unprocessed { wait: Some(wait) } if !wait.is_zero() => asking_to_wait(report, wait),
            Verdict::Unknown | Verdict::Final
                if may_have_run(outcome) && has_effects(entry) && !self.is_repeatable(ticket) =>
            {
                ErrorReport {
                    sentence: format!("{}; it may have run and was not repeated", report.sentence),
                    ..report
                }
            }
            Verdict::Unprocessed { .. } | Verdict::Unknown if entry.attempts.made > 1 => ErrorReport {
                sentence: format!("{} ({} attempts)", report.sentence, entry.attempts.made),
                ..report
            },
            Verdict::Unprocessed { .. } | Verdict::Unknown | Verdict::Final => report,
        }
    }

    /// Returns whether a message may be sent again although the server may have processed it.
    pub(super) fn is_repeatable(&self, ticket: Ticket) -> bool {
        let Some(entry) = self.ledger.get(ticket) else { return false };
        // In the modern era a stream that broke is the client's to ask for anew (2026-07-28, changelog).
        let is_the_clients = entry.era == Era::Modern && entry.attempts.opened;
        !is_the_clients && (is_free_of_effects(entry) || self.tools.is_repeatable(&entry.message))
    }

    /// Opens or sends what has rested long enough.
    pub(super) fn wake(&mut self, now: Instant) {
        for ticket in self.ledger.rested(now) {
            let Some(entry) = self.ledger.get(ticket) else { continue };
            let Place::BackingOff { kind, .. } = entry.place else { continue };
            let holds_the_gate = self.sessions.is_waiting_for(ticket);
            match kind {
                RetryKind::Resume if self.may_post_request() => self.resume(ticket, now),
                RetryKind::Resume => self.ledger.wait_for_slot(ticket, kind),
                RetryKind::Post if entry.era == Era::Modern || holds_the_gate => self.release(ticket, now),
                // In its old place, which the order of tickets decides.
                RetryKind::Post => self.ledger.wait_at_gate(ticket),
            }
        }
    }

    /// A number that is different each time.
    pub(super) fn jitter(&mut self) -> u64 {
        self.rolled = self.rolled.wrapping_add(1);
        self.config.seed.wrapping_add(self.rolled)
    }
}

/// Returns whether a request only asks for something.
fn is_free_of_effects(entry: &Entry) -> bool {
    entry.request_id().is_some()
        && matches!(
            entry.message.method(),
            Some(
                "initialize"
                    | "server/discover"
                    | "ping"
                    | "tools/list"
                    | "prompts/list"
                    | "prompts/get"
                    | "resources/list"
                    | "resources/templates/list"
                    | "resources/read"
                    | "completion/complete"
                    | "tasks/list"
                    | "tasks/get"
            )
        )
}

/// Returns whether a request may change something that stays when its exchange is over.
fn has_effects(entry: &Entry) -> bool {
    !is_free_of_effects(entry) && !entry.is_subscription()
}

/// Returns whether the server may have done what a request asks for.
fn may_have_run(outcome: &ExchangeOutcome) -> bool {
    match outcome {
        ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) | ExchangeOutcome::Cut(_) => true,
        ExchangeOutcome::Lost { written: Written::No, .. } => false,
        ExchangeOutcome::Lost { written: Written::Maybe, report } => matches!(
            report.cause,
            ErrorKind::Dns
                | ErrorKind::Connect
                | ErrorKind::Connection
                | ErrorKind::Answer
                | ErrorKind::TooLarge
                | ErrorKind::Timeout
                | ErrorKind::Internal
        ),
        // Any other status says that nothing was done, or says what was.
        ExchangeOutcome::Refused(refusal) => {
            refusal.status == 500 || is_passing(refusal.status) && !is_lasting(refusal)
        }
    }
}

fn report(outcome: &ExchangeOutcome) -> Option<ErrorReport> {
    match outcome {
        ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) => None,
        ExchangeOutcome::Cut(report) | ExchangeOutcome::Lost { report, .. } => Some(report.clone()),
        ExchangeOutcome::Refused(refusal) => Some(refusal.report.clone()),
    }
}
