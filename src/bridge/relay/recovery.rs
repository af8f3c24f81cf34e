//! Recovery of a session that the server no longer knows: one handshake in the client's place opens a new one, and every message
//! continues there.
//!
//! However many messages are refused at once, one `initialize` is sent, while every other message of the era waits at
//! the gate; then each waiting and each refused message goes out once with the new session (2025-11-25,
//! basic/transports, session management). What only the old session knew is put right first: log level, subscriptions,
//! the listening stream, questions of the server. Deliberately not here: what a refusal must look like
//! (`session_loss`).

use std::time::{Duration, Instant};

use super::ledger::{MessageState, RetryKind, Ticket};
use super::modern::error_code;
use super::retry::{self, Decision, Remark, Subject};
use super::session_doubt::lost_each_time;
use super::session_loss::{SessionLoss, session_loss};
use super::{DELIVERY_PATIENCE, GATE_PATIENCE, Purpose, Question, Relay, Settled};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Action, Ask, ExchangeId, ExchangeOutcome, Notice, Outgoing, Refusal};
use crate::bridge::revision::Era;
use crate::json;
use crate::jsonrpc::{Id, Kind, Message};
use crate::mcp::{OwnId, message, method};

/// How long the server may take over the handshake.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(30);

impl Relay {
    /// Returns whether a refusal means that the server no longer knows the session that the message named.
    pub(super) fn is_session_loss(&self, epoch: Option<u64>, refusal: &Refusal) -> bool {
        let loss = epoch.and_then(|epoch| session_loss(refusal, self.sessions.id_of(epoch)));
        matches!(loss, Some(SessionLoss::Said | SessionLoss::Presumed))
    }

    /// A message was refused because its session has ended: it waits for the next one. Returns whether it does.
    pub(super) fn move_to_next_session(
        &mut self,
        ticket: Ticket,
        epoch: Option<u64>,
        outcome: &ExchangeOutcome,
        now: Instant,
    ) -> bool {
        let ExchangeOutcome::Refused(refusal) = outcome else { return false };
        let Some(epoch) = epoch.filter(|_| !self.is_leaving()) else { return false };
        let Some(loss) = self.judge_loss(ticket, epoch, refusal, now) else { return false };
        let Some(entry) = self.ledger.get(ticket) else { return false };
        let settles = self.settles(ticket, epoch).then(|| self.sessions.lost_unproven());
        let subject = Subject::InSession { loss, sessions_lost: entry.attempts.sessions_lost, settles };
        match retry::decide(outcome, subject, now, &mut self.jitter) {
            Decision::Retry { at, .. } => self.retry_in_new_session(ticket, (at, epoch), refusal),
            Decision::Renew => self.wait_for_next_session(ticket, epoch, loss, now),
            Decision::Fail(remark) => {
                if remark == Remark::RenewedInVain {
                    self.renewal_did_not_help(ticket, now);
                }
                return false;
            }
            Decision::Deliver | Decision::Restart { .. } | Decision::OtherTransport => return false,
        }
        true
    }

    fn wait_for_next_session(&mut self, ticket: Ticket, epoch: u64, loss: SessionLoss, now: Instant) {
        self.note_given_up(epoch, loss);
        self.ledger.count_lost_session(ticket);
        let Some(entry) = self.ledger.get(ticket) else { return };
        let is_over_with_it = dies_with_its_session(&entry.message)
            || entry.message.method() == Some(method::INITIALIZED)
            || self.ledger.cancellation_of(ticket).is_some();
        match is_over_with_it {
            true => {
                self.settle(ticket);
            }
            false => self.ledger.wait_at_gate(ticket),
        }
        self.lose_session(epoch, now);
    }

    /// The session of this epoch has ended. A refusal that concerns an earlier one changes nothing.
    pub(super) fn lose_session(&mut self, epoch: u64, now: Instant) {
        if self.sessions.is_over(epoch) || !self.sessions.is_established() || self.is_leaving() {
            return;
        }
        self.act(Action::Notice(Notice::SessionLost));
        self.drop_session_stream(None, now);
        self.sessions.lose();
        self.stop_listening();
        self.forget_pings();
        self.forget_questions(epoch);
        let waiting = self.ledger.iter().filter(|(_, entry)| entry.era == Era::Legacy);
        let waiting: Vec<(Ticket, bool, bool)> = waiting
            .filter(|(_, entry)| !matches!(entry.state, MessageState::Sent { .. } | MessageState::Behind(_)))
            .map(|(ticket, entry)| {
                let for_slot = matches!(entry.state, MessageState::ForSlot { kind: RetryKind::Post });
                // The next session gets `notifications/initialized` as soon as it is open.
                let is_told = entry.attempts.made > 0 && entry.message.method() == Some(method::INITIALIZED);
                (ticket, for_slot, is_told || dies_with_its_session(&entry.message))
            })
            .collect();
        for (ticket, for_slot, dies) in waiting {
            match (dies, for_slot) {
                (true, _) => self.remove_stale(ticket),
                (false, true) => self.ledger.wait_at_gate(ticket),
                (false, false) => {}
            }
        }
        // A client that starts over opens the session itself.
        if self.sessions.is_ended() && !self.streams.sse_session.is_backing_off() {
            self.renew(now);
        }
    }

    fn remove_stale(&mut self, ticket: Ticket) {
        if let Settled::Wanted(entry) | Settled::Cancelled(entry) = self.settle(ticket) {
            self.dropped(&entry.message, "it belongs to a session that has ended");
        }
    }

    /// The questions of a session end with it: the client gets a cancellation, and later answers are dropped.
    fn forget_questions(&mut self, epoch: u64) {
        let is_over = |question: &Question| question.epoch <= epoch;
        self.withdraw(is_over, "the session it belongs to has ended");
        self.questions.forget_session(epoch);
    }

    /// Opens a new session in the client's place.
    pub(super) fn renew(&mut self, now: Instant) {
        let Some(initialize) = self.sessions.memory().start().cloned() else { return };
        self.streams.sse_session.connecting();
        self.sessions.begin_handshake();
        let exchange = self.post_renewal(initialize, now);
        self.sessions.renew(exchange, now);
    }

    /// Sends `initialize` in the client's place.
    pub(super) fn post_renewal(&mut self, initialize: Message, now: Instant) -> ExchangeId {
        let facts = self.sessions.facts_of_start();
        let exchange = self.open(Purpose::Renewal, Outgoing { ask: Ask::Post(initialize), facts });
        self.exchanges.set_deadline(exchange, now + RENEWAL_PATIENCE);
        exchange
    }

    /// Sends `initialize` again when its time has come.
    pub(super) fn renew_again(&mut self, now: Instant) {
        if self.sessions.is_renewal_due(now) {
            self.renew(now);
        }
        if let Some(ready) = self.sessions.take_initialized(now) {
            self.send_first(ready, now);
        }
    }

    /// Returns whether a response answers the handshake in the client's place, which has the client's id.
    pub(super) fn is_for_the_renewal(&self, id: Option<&Id>) -> bool {
        match self.sessions.memory().start().map(Message::kind) {
            Some(Kind::Request { id: own, .. }) => id.is_none_or(|id| id.is_same_value(own)),
            _ => false,
        }
    }

    /// Takes in the answer to the handshake in the client's place. The client does not see it.
    pub(super) fn renewed(&mut self, exchange: ExchangeId, answer: &Message, now: Instant) {
        self.exchanges.clear_deadline(exchange);
        self.exchanges.set_purpose(exchange, Purpose::Answered);
        if error_code(answer).is_some() {
            let said = answer.member("message").and_then(json::string).unwrap_or_default();
            let report = ErrorReport::new(
                ErrorKind::Answer,
                format!("the server refused a new session: {said}"),
                "restart the client, or look into the server's log",
            );
            return self.fail_renewal(&report);
        }
        self.sessions.restore(answer);
        self.streams.sse_session.begin(now);
        match self.sessions.memory().ready().cloned() {
            Some(initialized) => self.send_first(initialized, now),
            // The client has not sent `notifications/initialized` yet.
            None => self.finish_renewal(now),
        }
    }

    /// Sends a message that everything else waits for, until the head of its answer.
    fn send_first(&mut self, message: Message, now: Instant) {
        let outgoing = Outgoing { ask: Ask::Post(message), facts: self.sessions.facts() };
        let exchange = self.open(Purpose::Restoration, outgoing);
        self.sessions.tell(exchange);
        self.exchanges.set_deadline(exchange, now + GATE_PATIENCE);
    }

    /// The restoring message has arrived, or its wait is over.
    pub(super) fn first_message_sent(&mut self, exchange: ExchangeId, now: Instant) {
        if !self.sessions.is_sending_first(exchange) {
            return;
        }
        match self.sessions.take_level().map(|level| format!(r#"{{"level":{level}}}"#)) {
            Some(params) => {
                self.send_first(self.own_request(method::SET_LEVEL, &params), now);
            }
            None => self.finish_renewal(now),
        }
    }

    /// Messages may be sent again. Meanwhile subscriptions and the stream for server messages are restored.
    fn finish_renewal(&mut self, now: Instant) {
        let news = self.sessions.resume();
        let subscriptions: Vec<String> = self.sessions.memory().subscriptions().map(str::to_owned).collect();
        self.act(Action::Notice(Notice::SessionRenewed(news)));
        self.restore(now);
        if self.sessions.memory().ready().is_some() {
            self.listen(now);
        }
        // The client has not heard of changes meanwhile.
        for (capability, method) in [
            ("tools", method::TOOLS_CHANGED),
            ("prompts", method::PROMPTS_CHANGED),
            ("resources", method::RESOURCES_CHANGED),
        ] {
            let capability =
                self.sessions.capabilities().and_then(|capabilities| json::member(capabilities, capability));
            let tells = capability.and_then(|capability| json::member(capability, "listChanged"));
            if tells == Some("true") {
                self.notify_client(method, "{}");
            }
        }
        for uri in subscriptions {
            self.notify_client(method::RESOURCES_UPDATED, &format!(r#"{{"uri":{uri}}}"#));
        }
    }

    /// A request in our own name, under an id that no client has.
    pub(super) fn own_request(&self, method: &str, params: &str) -> Message {
        message::own_request(OwnId::Relay, self.exchanges.next_number(), method, params)
    }

    /// Renews the client's subscriptions, a few at once.
    fn restore(&mut self, now: Instant) {
        while let Some(uri) = self.sessions.take_unrestored() {
            let message = self.own_request(method::RESOURCES_SUBSCRIBE, &format!(r#"{{"uri":{uri}}}"#));
            let outgoing = Outgoing { ask: Ask::Post(message), facts: self.sessions.facts() };
            let exchange = self.open(Purpose::Restoration, outgoing);
            self.exchanges.set_deadline(exchange, now + DELIVERY_PATIENCE);
        }
    }

    /// A message that restores a new session was delivered, or failed.
    pub(super) fn ended_restoration(
        &mut self,
        exchange: ExchangeId,
        epoch: Option<u64>,
        outcome: &ExchangeOutcome,
        now: Instant,
    ) {
        let is_lost = match outcome {
            ExchangeOutcome::Refused(refusal) => self.is_session_loss(epoch, refusal),
            ExchangeOutcome::Complete
            | ExchangeOutcome::Accepted(_)
            | ExchangeOutcome::Cut(_)
            | ExchangeOutcome::Lost { .. } => false,
        };
        let is_sending_first = self.sessions.is_sending_first(exchange);
        match (is_sending_first, is_lost) {
            // A session that accepts no log level can still be used.
            (true, true) if self.sessions.needs_log_level() => {
                self.resend_first(outcome, now);
            }
            (true, _) => self.first_message_sent(exchange, now),
            // If the session is lost again, the client's own messages will show it. A subscription that is always
            // refused must not open new sessions without end.
            (_, _) if epoch.is_none_or(|epoch| !self.sessions.is_over(epoch)) => {
                self.sessions.end_restoring();
                self.restore(now);
            }
            (_, _) => {}
        }
    }

    /// A new session refused its first message: perhaps not every replica of the server knows it yet.
    fn resend_first(&mut self, outcome: &ExchangeOutcome, now: Instant) {
        let ExchangeOutcome::Refused(refusal) = outcome else { return };
        let subject = Subject::Ready {
            retold: self.sessions.has_resent_initialized(),
            lost_unproven: self.sessions.lost_unproven(),
        };
        if let Decision::Retry { at, .. } = retry::decide(outcome, subject, now, &mut self.jitter) {
            self.sessions.resend_initialized_at(at);
            let title = method::INITIALIZED.to_owned();
            return self.act(Action::Notice(Notice::Resending { title, report: refusal.report.clone() }));
        }
        self.fail_renewal(&lost_each_time(&refusal.report));
    }

    /// The handshake in the client's place ended without an answer.
    pub(super) fn ended_renewal(&mut self, outcome: ExchangeOutcome, now: Instant) {
        let Some(outcome) = self.fall_back_in_renewal(outcome, now) else { return };
        let Some((attempts, since, _)) = self.sessions.renewal() else { return };
        let subject = Subject::Renewal { attempts, since, is_wanted: !self.is_leaving() };
        let decision = retry::decide(&outcome, subject, now, &mut self.jitter);
        let sentence = "the server ended its answer without answering the request";
        let unanswered = || ErrorReport::new(ErrorKind::NoAnswer, sentence, "look into the server's log");
        let report = retry::report(&outcome).unwrap_or_else(unanswered);
        match decision {
            Decision::Retry { at, .. } => {
                self.sessions.renew_at(at);
                let title = "request initialize".to_owned();
                self.act(Action::Notice(Notice::Resending { title, report }));
            }
            Decision::Fail(remark) => self.fail_renewal(&remark.add_to(report)),
            Decision::Deliver | Decision::Restart { .. } | Decision::Renew | Decision::OtherTransport => {
                self.fail_renewal(&report)
            }
        }
    }

    /// There is no new session: every message that waits for it is answered with an error, and the next message tries again.
    pub(super) fn fail_renewal(&mut self, report: &ErrorReport) {
        self.abandon_handshake();
        self.sessions.fail_renewal();
        self.act(Action::Notice(Notice::SessionNotRenewed(report.clone())));
        let waiting = self.ledger.iter().filter(|(_, entry)| entry.era == Era::Legacy);
        let waiting: Vec<Ticket> = waiting
            .filter(|(_, entry)| matches!(entry.state, MessageState::AtGate))
            // A client that starts over does not need the session.
            .take_while(|(_, entry)| entry.message.method() != Some(method::INITIALIZE))
            .map(|(ticket, _)| ticket)
            .collect();
        for ticket in waiting {
            let sentence = match self.was_over_credentials() || report.cause == ErrorKind::SignIn {
                true => report.sentence.clone(),
                false => format!(
                    "the server no longer knows the session, and no new one could be opened: {}",
                    report.sentence
                ),
            };
            self.fail(ticket, ErrorReport { sentence, ..report.clone() });
        }
    }
}

/// Returns whether a message means nothing to another session than the one it was written for.
fn dies_with_its_session(message: &Message) -> bool {
    match message.kind() {
        Kind::Response { .. } => true,
        Kind::Notification { method } => {
            matches!(method.as_str(), method::CANCELLED | method::PROGRESS)
        }
        Kind::Request { .. } => false,
    }
}
