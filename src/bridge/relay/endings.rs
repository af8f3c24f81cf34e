//! How things end: an exchange, a request without an answer, the process.
//!
//! Every request gets its one answer here, if the server gave none and trying again is no use. Deliberately not here:
//! trying again (`resending`, `recovery`, `listening`).

use std::time::Instant;

use super::ledger::Ticket;
use super::renegotiation::Refused;
use super::revision::Era;
use super::*;

impl Relay {
    pub(super) fn ended(&mut self, exchange: ExchangeId, ending: Ending, now: Instant) {
        let Some(Exchange { purpose, epoch }) = self.exchanges.remove(&exchange) else { return };
        if !matches!(ending, Ending::Lost { .. }) {
            self.listening.answers_beside(exchange);
        }
        self.deadlines.remove(&exchange);
        if let (Some(ticket), Ending::Refused(refusal)) = (carried(purpose), &ending)
            && self.outlive_session(ticket, epoch, refusal, now)
        {
            if let Purpose::Cancellation(_, cancelled) = purpose {
                self.close(cancelled);
            }
            return;
        }
        let ending = match carried(purpose) {
            Some(ticket) => self.explained(ticket, epoch, ending),
            None => ending,
        };
        match purpose {
            Purpose::Answer(ticket)
                if self.answer_comes_on_carrier(ticket, (exchange, epoch), &ending, now) => {}
            Purpose::Answer(ticket) if self.rest(ticket, &ending, now) => {}
            Purpose::Answer(ticket) => {
                let ending = self.taken_too_late(ticket, ending);
                self.ended_unanswered(ticket, ending, now);
            }
            Purpose::Resumption(ticket) => self.ended_resumption(ticket, ending, now),
            Purpose::Learning(ticket) => self.give_up_learning(ticket),
            Purpose::Delivery(ticket) => self.ended_delivery(ticket, &ending, now),
            Purpose::Cancellation(ticket, cancelled) => {
                self.ended_delivery(ticket, &ending, now);
                self.close(cancelled);
            }
            Purpose::Listening => self.ended_listening(exchange, epoch, ending, now),
            Purpose::Renewal => self.ended_renewal(ending, now),
            Purpose::Restoration => self.ended_restoration(exchange, epoch, &ending, now),
            Purpose::Ping => self.ended_ping(exchange, epoch, &ending, now),
            Purpose::Farewell => {
                let is_last = !self.exchanges.values().any(|other| other.purpose == Purpose::Farewell);
                if let (Phase::Leaving { reason, .. }, true) = (&self.phase, is_last) {
                    self.exit(*reason);
                }
            }
            Purpose::Cancelled => {
                if let (Ending::Refused(refusal), Some(lost)) = (&ending, epoch)
                    && self.is_session_loss(epoch, refusal)
                {
                    self.lose_session(lost, now);
                }
            }
            Purpose::Answered => self.ended_carrier(exchange, ending, now),
            Purpose::Over => {}
        }
        self.after_exchange(exchange);
    }

    pub(super) fn ended_unanswered(&mut self, ticket: Ticket, ending: Ending, now: Instant) {
        if let Ending::Refused(refusal) = &ending
            && self.renegotiate(ticket, Refused::Status(refusal), now)
        {
            return;
        }
        if let Ending::Lost { why, .. } = &ending
            && why.cause == Failure::Transport
            && self.is_modern(ticket)
        {
            let answer = Message::error(None, &error_object(why));
            return self.part(ticket, Evidence::Legacy, answer, Some(why.clone()));
        }
        let shown = match &ending {
            Ending::Refused(refusal) => self.evidence(ticket, refusal.answer.as_ref(), Some(refusal)),
            Ending::Complete | Ending::Accepted(_) | Ending::Cut(_) | Ending::Lost { .. } => None,
        };
        let ending = match shown {
            Some(Evidence::Modern | Evidence::Legacy) => ending,
            Some(Evidence::Nothing) | None => match self.fall_back(ticket, ending, now) {
                Some(ending) => ending,
                None => return,
            },
        };
        if let Ending::Refused(refusal) = &ending
            && let Some(evidence) = self.evidence(ticket, refusal.answer.as_ref(), Some(refusal))
        {
            let (answer, why) = match &refusal.answer {
                Some(answer) => (answer.clone(), None),
                None => (Message::error(None, &error_object(&refusal.why)), Some(refusal.why.clone())),
            };
            return self.part(ticket, evidence, answer, why);
        }
        if self.resume_later(ticket, &ending, now) || self.try_again(ticket, &ending, now) {
            return;
        }
        let why = match &ending {
            // The server's own error, whatever the status: it goes to the client as it is.
            Ending::Refused(Refusal { answer: Some(answer), .. }) => {
                let is_modern = self.ledger.get(ticket).is_some_and(|entry| entry.era == Era::Modern);
                let answer = match is_modern {
                    true => self.modern_answer(ticket, answer.clone(), now),
                    false => Some(answer.clone()),
                };
                let Some(answer) = answer else { return };
                let Settled::Wanted(entry) = self.settle(ticket) else { return };
                let Some(id) = entry.request_id() else { return };
                return self.deliver_as(id, answer);
            }
            Ending::Refused(Refusal { why, .. }) | Ending::Cut(why) | Ending::Lost { why, .. } => why.clone(),
            Ending::Complete => Why::new(
                Failure::NoAnswer,
                "the server ended its answer without answering the request",
                "look into the server's log",
            ),
            Ending::Accepted(status) => Why::new(
                Failure::NoAnswer,
                "the server accepted the request but sent no answer",
                "check that the URL is the server's streamable HTTP endpoint",
            )
            .with_status(*status),
        };
        let why = self.last_words(ticket, &ending, why);
        self.fail(ticket, why);
    }

    /// Passes an answer on under the id that the client wrote.
    pub(super) fn deliver_as(&mut self, id: &Id, answer: Message) {
        let intact = matches!(answer.kind(), Kind::Response { id: Some(theirs), .. } if theirs == id);
        let answer = if intact { answer } else { answer.with_id(id) };
        self.act(Action::Deliver(answer));
    }

    fn ended_delivery(&mut self, ticket: Ticket, ending: &Ending, now: Instant) {
        if matches!(ending, Ending::Complete | Ending::Accepted(_)) {
            self.prove_session(ticket);
            self.initialized(ticket, now);
        } else if self.try_again(ticket, ending, now) {
            return;
        }
        let Some(entry) = self.strike(ticket) else { return };
        let why = match ending {
            Ending::Complete | Ending::Accepted(_) => return,
            Ending::Cut(why) | Ending::Lost { why, .. } => why.clone(),
            Ending::Refused(refusal) => refusal.why.clone(),
        };
        let title = entry.message.title().into_owned();
        self.act(Action::Notice(Notice::Undelivered { title, why }));
    }

    /// The server has taken a message. Once it knows that the client is ready, the stream for what it has to say by
    /// itself is opened; nothing waits for that.
    pub(super) fn initialized(&mut self, ticket: Ticket, now: Instant) {
        let method = self.ledger.get(ticket).and_then(|entry| entry.message.method());
        if method == Some("notifications/initialized") {
            self.listen(now);
        }
    }

    /// Gives up what the server has not acknowledged in time.
    pub(super) fn give_up_deliveries(&mut self, now: Instant) {
        let late =
            self.deadlines.iter().filter(|(_, deadline)| **deadline <= now).map(|(exchange, _)| *exchange);
        for exchange in late.collect::<Vec<_>>() {
            self.act(Action::Close(exchange));
            let why = Why::new(
                Failure::NoAnswer,
                "the server did not acknowledge it in time",
                "look into the server's log",
            );
            self.ended(exchange, Ending::Lost { written: Written::Maybe, why }, now);
        }
    }

    /// However an exchange came to its end: nothing waits for it any more.
    pub(super) fn after_exchange(&mut self, exchange: ExchangeId) {
        if self.session.is_opening(exchange) {
            self.session.abandon();
        }
        self.end_superfluous();
    }

    /// Strikes a message out. Nobody waits behind it any more.
    pub(super) fn strike(&mut self, ticket: Ticket) -> Option<ledger::Entry> {
        self.gate = self.gate.take().filter(|gate| gate.ticket != ticket);
        self.ledger.settle(ticket)
    }

    /// Strikes a message out, and the cancellation that waits for it: with nothing to cancel there is nothing to send.
    pub(super) fn settle(&mut self, ticket: Ticket) -> Settled {
        self.asked.retain(|question| question.asking != Some(ticket));
        let cancellation =
            self.ledger.cancellation_of(ticket).and_then(|cancellation| self.strike(cancellation));
        match (self.strike(ticket), cancellation) {
            (Some(entry), None) => Settled::Wanted(entry),
            (Some(entry), Some(_)) => Settled::Cancelled(entry),
            (None, _) => Settled::Unknown,
        }
    }

    /// Answers a request with an error of ours.
    pub(super) fn fail(&mut self, ticket: Ticket, why: Why) {
        let entry = match self.settle(ticket) {
            Settled::Wanted(entry) => {
                if let Some(id) = entry.request_id() {
                    self.act(Action::Deliver(Message::error(Some(id), &error_object(&why))));
                }
                entry
            }
            Settled::Cancelled(entry) => entry,
            Settled::Unknown => return,
        };
        let title = entry.message.title().into_owned();
        self.act(Action::Notice(Notice::Failed { title, why }));
    }

    pub(super) fn dropped(&mut self, message: &Message, because: &'static str) {
        let title = message.title().into_owned();
        self.act(Action::Notice(Notice::Dropped { title, because }));
    }

    pub(super) fn nothing_can_finish(&self) -> bool {
        self.ledger.iter().all(|(ticket, entry)| {
            let waits_for_the_client = self.asked.iter().any(|(_, question)| question.asking == Some(ticket));
            entry.request_id().is_some() && (waits_for_the_client || entry.is_subscription())
        })
    }

    pub(super) fn stop(&mut self, cause: Cause, now: Instant) {
        let limit = now + FAREWELL_PATIENCE_STOPPED;
        match &mut self.phase {
            Phase::Running | Phase::Draining { .. } => self.leave(Reason::Stopped(cause), limit),
            Phase::Leaving { deadline, .. } => *deadline = limit.min(*deadline),
            Phase::Gone => {}
        }
    }

    /// Answers what is left, drops every exchange and tells the server, where there is a session.
    pub(super) fn leave(&mut self, reason: Reason, deadline: Instant) {
        let left: Vec<Ticket> = self.ledger.iter().map(|(ticket, _)| ticket).collect();
        for ticket in left {
            if self.end_subscription(ticket) {
                continue;
            }
            let why = Why::new(
                Failure::Stopped,
                "stopped before the server answered",
                "the request may have run; look before repeating it",
            );
            self.fail(ticket, why);
        }
        let facts = self.session.facts_of_handshake();
        let others = self.exchanges.iter().filter(|(_, exchange)| exchange.purpose != Purpose::Farewell);
        for exchange in others.map(|(exchange, _)| *exchange).collect::<Vec<_>>() {
            self.close(exchange);
        }
        self.gate = None;
        self.end_all_superfluous();
        // A session that is lost is not among the facts, and needs no end.
        if facts.session.is_some() {
            self.open(Purpose::Farewell, Outgoing { ask: Ask::EndSession, facts });
        }
        if !self.exchanges.values().any(|exchange| exchange.purpose == Purpose::Farewell) {
            return self.exit(reason);
        }
        self.phase = Phase::Leaving { deadline, reason };
    }

    /// Tells whether nothing new is begun any more.
    pub(in crate::bridge) fn is_leaving(&self) -> bool {
        match self.phase {
            Phase::Running | Phase::Draining { .. } => false,
            Phase::Leaving { .. } | Phase::Gone => true,
        }
    }

    pub(super) fn exit(&mut self, reason: Reason) {
        self.phase = Phase::Gone;
        self.act(Action::Exit(reason));
    }
}

/// The message that an exchange was to bring to the server.
fn carried(purpose: Purpose) -> Option<Ticket> {
    match purpose {
        Purpose::Answer(ticket) | Purpose::Delivery(ticket) | Purpose::Cancellation(ticket, _) => {
            Some(ticket)
        }
        Purpose::Resumption(_)
        | Purpose::Listening
        | Purpose::Renewal
        | Purpose::Restoration
        | Purpose::Ping
        | Purpose::Learning(_)
        | Purpose::Farewell
        | Purpose::Answered
        | Purpose::Over
        | Purpose::Cancelled => None,
    }
}

pub(in crate::bridge) fn error_object(why: &Why) -> ErrorObject {
    ErrorObject {
        code: why.cause.code(),
        message: format!("{SOURCE}: {}", why.sentence),
        data: ErrorData {
            source: SOURCE,
            cause: why.cause.word(),
            status: why.status,
            advice: why.advice.clone(),
            body: why.body.clone(),
            ray: why.ray.clone(),
            correlation_id: why.correlation_id.clone(),
            request_id: why.request_id.clone(),
        },
    }
}
