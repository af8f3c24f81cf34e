//! Messages that are sent again: what may be repeated, and what is done when its time has come.
//!
//! A request is free of effects by its method, or a call of a tool that says so of itself. Deliberately not here: when a
//! message is sent again (`retry`).

use std::time::Instant;

use super::Relay;
use super::ledger::{LedgerEntry, MessageState, RetryKind, Ticket};
use super::retry::{self, Decision, MessageFacts, Subject};
use crate::bridge::event::{Action, ExchangeOutcome, Notice};
use crate::bridge::revision::Era;
use crate::mcp::{OwnId, method};

impl Relay {
    /// Decides what becomes of a message whose exchange ended so.
    pub(super) fn decide_message(
        &mut self,
        ticket: Ticket,
        outcome: &ExchangeOutcome,
        now: Instant,
    ) -> Option<Decision> {
        // A cancelled message is not sent again.
        let is_wanted = self.ledger.cancellation_of(ticket).is_none() && !self.is_leaving();
        let entry = self.ledger.get(ticket)?;
        let message = MessageFacts {
            attempts: &entry.attempts,
            is_repeatable: self.is_repeatable(entry),
            has_effects: !is_free_of_effects(entry) && !entry.is_subscription(),
            is_probe: entry.message.method() == Some(method::DISCOVER)
                && !entry.request_id().is_some_and(OwnId::is_of_upper_layer),
            is_wanted,
        };
        Some(retry::decide(outcome, Subject::Message(message), now, &mut self.jitter))
    }

    /// Has a message sent again at this time.
    pub(super) fn retry_at(
        &mut self,
        ticket: Ticket,
        at: Instant,
        since: Instant,
        outcome: &ExchangeOutcome,
    ) {
        let Some(entry) = self.ledger.get(ticket) else { return };
        let title = entry.message.title().into_owned();
        self.ledger.retry_at(ticket, at, since);
        if let Some(report) = retry::report(outcome) {
            self.act(Action::Notice(Notice::Resending { title, report }));
        }
    }

    /// Returns whether a message may be sent again although the server may have processed it.
    fn is_repeatable(&self, entry: &LedgerEntry) -> bool {
        // In the modern era a stream that broke is the client's to ask for anew (2026-07-28, changelog).
        let is_the_clients = entry.era == Era::Modern && entry.attempts.opened;
        !is_the_clients && (is_free_of_effects(entry) || self.tools.is_repeatable(&entry.message))
    }

    /// Opens or sends what has waited long enough.
    pub(super) fn wake(&mut self, now: Instant) {
        for ticket in self.ledger.due_for_retry(now) {
            let Some(entry) = self.ledger.get(ticket) else { continue };
            let MessageState::BackingOff { kind, .. } = entry.state else { continue };
            let is_waited_for = self.sessions.is_waiting_for(ticket);
            match kind {
                RetryKind::Resume if self.may_post_request() => self.resume(ticket, now),
                RetryKind::Resume => self.ledger.wait_for_slot(ticket, kind),
                RetryKind::Post if entry.era == Era::Modern || is_waited_for => self.release(ticket, now),
                // In its old place, which the order of tickets decides.
                RetryKind::Post => self.ledger.wait_at_gate(ticket),
            }
        }
    }
}

/// Returns whether a request only asks for something.
fn is_free_of_effects(entry: &LedgerEntry) -> bool {
    entry.request_id().is_some()
        && matches!(
            entry.message.method(),
            Some(
                method::INITIALIZE
                    | method::DISCOVER
                    | method::PING
                    | method::TOOLS_LIST
                    | method::PROMPTS_LIST
                    | method::PROMPTS_GET
                    | method::RESOURCES_LIST
                    | method::RESOURCE_TEMPLATES_LIST
                    | method::RESOURCES_READ
                    | method::COMPLETE
                    | method::TASKS_LIST
                    | method::TASKS_GET
            )
        )
}
