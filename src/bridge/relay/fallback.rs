//! Which of the two transports of the legacy era the server speaks: streamable HTTP, or HTTP+SSE of 2024-11-05.
//!
//! Found out with `initialize` alone, each time a session is opened: the transport that worked last goes first, and the
//! other one follows if the refusal says that the server does not know the first. Neither twice, so that a server that
//! was upgraded is found again and nothing goes round in circles. Credentials that are refused, a server that is not
//! well and a network that is away say nothing of transports (2025-11-25, basic/transports, backwards compatibility).
//! Deliberately not here: how a session on a stream lives (`sse_session`).

use std::time::Instant;

use super::ledger::Ticket;
use super::retry::{self, Decision, Jitter, Subject, Transport};
use super::{Purpose, Relay};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Action, ExchangeOutcome, Facts, Notice, Refusal, Via};
use crate::bridge::revision;
use crate::bridge::revision::Era;
use crate::json;
use crate::jsonrpc::Message;
use crate::mcp::method;

/// The transports to try, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportOrder {
    /// Streamable HTTP, then HTTP+SSE.
    #[default]
    HttpFirst,
    /// HTTP+SSE, then streamable HTTP.
    SseFirst,
    /// Streamable HTTP alone.
    HttpOnly,
    /// HTTP+SSE alone.
    SseOnly,
}

impl std::fmt::Display for TransportOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TransportOrder::HttpFirst => "http-first",
            TransportOrder::SseFirst => "sse-first",
            TransportOrder::HttpOnly => "http-only",
            TransportOrder::SseOnly => "sse-only",
        })
    }
}

/// The transport of the server, as far as it is known.
#[derive(Debug)]
pub(super) struct Fallback {
    order: TransportOrder,
    /// The one that worked last.
    settled: Option<Transport>,
    /// The one that the handshake under way is sent by.
    transport: Transport,
    /// How the first of the two refused this handshake.
    first: Option<ExchangeOutcome>,
}

impl Fallback {
    /// Nothing is known yet.
    pub(super) fn new(order: TransportOrder) -> Fallback {
        let mut fallback =
            Fallback { order, settled: None, transport: Transport::StreamableHttp, first: None };
        fallback.begin();
        fallback
    }

    /// A handshake begins.
    pub(super) fn begin(&mut self) {
        self.first = None;
        self.transport = self.settled.unwrap_or(match self.order {
            TransportOrder::HttpFirst | TransportOrder::HttpOnly => Transport::StreamableHttp,
            TransportOrder::SseFirst | TransportOrder::SseOnly => Transport::HttpSse,
        });
    }

    /// The server has accepted the handshake. Returns whether it has turned out to speak HTTP+SSE.
    pub(super) fn settle(&mut self) -> bool {
        self.first = None;
        let before = self.settled.replace(self.transport);
        self.transport == Transport::HttpSse && before != Some(Transport::HttpSse)
    }

    /// Returns whether HTTP+SSE alone is tried.
    pub(super) fn is_sse_only(&self) -> bool {
        self.order == TransportOrder::SseOnly
    }

    /// The way of `initialize`.
    pub(super) fn via(&self) -> Via {
        match self.transport {
            Transport::StreamableHttp => Via::Endpoint,
            Transport::HttpSse => Via::NewStream,
        }
    }

    /// The facts for the headers of `initialize`, which are the same for both transports.
    pub(super) fn facts_of_start(&self) -> Facts {
        Facts { via: self.via(), ..Facts::default() }
    }

    /// Returns whether sessions of this server are carried by a stream, as far as is known.
    pub(super) fn uses_streams(&self) -> bool {
        self.settled == Some(Transport::HttpSse) || self.order == TransportOrder::SseOnly
    }

    /// Judges the end of `initialize` without an answer. Returns the outcome to report, or the reason to try the other
    /// transport. `opened`: the server had accepted the handshake.
    pub(super) fn judge(
        &mut self,
        outcome: ExchangeOutcome,
        opened: bool,
        any_4xx: bool,
        (now, jitter): (Instant, &mut Jitter),
    ) -> Result<ExchangeOutcome, String> {
        let may_try_other = matches!(self.order, TransportOrder::HttpFirst | TransportOrder::SseFirst);
        if opened || !may_try_other {
            return Ok(outcome);
        }
        let subject = Subject::Handshake { transport: self.transport, any_4xx };
        let speaks_against = retry::decide(&outcome, subject, now, jitter) == Decision::OtherTransport;
        match (self.first.take(), self.transport) {
            (None, _) if speaks_against => {
                self.transport = match self.transport {
                    Transport::StreamableHttp => Transport::HttpSse,
                    Transport::HttpSse => Transport::StreamableHttp,
                };
                let reason = outcome.to_string();
                self.first = Some(outcome);
                Err(reason)
            }
            // The refusal of the POST says more than the failure of the GET.
            (Some(posted), Transport::HttpSse) if speaks_against => Ok(with_stream(posted, &outcome)),
            (_, _) => Ok(outcome),
        }
    }
}

/// The outcome to report if neither transport worked: the refusal of the POST, and of a stream that began or was awaited,
/// that it named no endpoint.
fn with_stream(posted: ExchangeOutcome, streamed: &ExchangeOutcome) -> ExchangeOutcome {
    match (posted, streamed) {
        (ExchangeOutcome::Refused(refusal), ExchangeOutcome::Lost { report, .. })
            if report.cause == ErrorKind::NoAnswer && refusal.answer.is_none() =>
        {
            let sentence = format!("{}; before that {}", report.sentence, refusal.report.sentence);
            let report = ErrorReport { cause: ErrorKind::Endpoint, sentence, ..report.clone() };
            ExchangeOutcome::Refused(Refusal { report, ..refusal })
        }
        (ExchangeOutcome::Lost { .. }, ExchangeOutcome::Lost { .. }) => streamed.clone(),
        (posted, _) => posted,
    }
}

impl Relay {
    /// The server has accepted the handshake by the transport that it was sent by.
    pub(super) fn settled_on_transport(&mut self) {
        if self.sessions.settle_transport() {
            self.act(Action::Notice(Notice::Older));
        }
    }

    /// The client's `initialize` ended without an answer: it may be sent the other way. None if it was.
    pub(super) fn fall_back(
        &mut self,
        ticket: Ticket,
        outcome: ExchangeOutcome,
        now: Instant,
    ) -> Option<ExchangeOutcome> {
        let is_wanted = !self.is_leaving() && self.ledger.cancellation_of(ticket).is_none();
        let entry = self.ledger.get(ticket).filter(|entry| {
            entry.era == Era::Legacy && entry.message.method() == Some(method::INITIALIZE) && is_wanted
        });
        let Some(entry) = entry else { return Some(outcome) };
        let any_4xx = takes_any_4xx(&entry.message);
        match self.sessions.judge_handshake(outcome, entry.attempts.opened, any_4xx, (now, &mut self.jitter))
        {
            Ok(outcome) => Some(outcome),
            Err(reason) => {
                self.act(Action::Notice(Notice::OtherTransport(reason)));
                let exchange = self.post(ticket, Purpose::Answer(ticket), now);
                self.sessions.open_again(exchange);
                None
            }
        }
    }

    /// The same for the handshake in the client's place.
    pub(super) fn fall_back_in_renewal(
        &mut self,
        outcome: ExchangeOutcome,
        now: Instant,
    ) -> Option<ExchangeOutcome> {
        let opened = self.sessions.renewal().is_some_and(|(_, _, head)| head);
        let Some(initialize) = self.sessions.memory().start().cloned().filter(|_| !self.is_leaving()) else {
            return Some(outcome);
        };
        match self.sessions.judge_handshake(
            outcome,
            opened,
            takes_any_4xx(&initialize),
            (now, &mut self.jitter),
        ) {
            Ok(outcome) => Some(outcome),
            Err(reason) => {
                self.act(Action::Notice(Notice::OtherTransport(reason)));
                let exchange = self.post_renewal(initialize, now);
                self.sessions.renew_other_way(exchange);
                None
            }
        }
    }

    /// Why a message cannot be sent at all, where messages only go to the address that a stream named.
    pub(super) fn no_way_for(&self, ticket: Ticket) -> Option<ErrorReport> {
        if !self.sessions.uses_streams() {
            return None;
        }
        let entry = self.ledger.get(ticket)?;
        match (entry.era, entry.message.method()) {
            (Era::Modern, _) if self.sessions.is_sse_only() => Some(ErrorReport::new(
                ErrorKind::Era,
                "HTTP+SSE carries the legacy era of MCP (initialize, up to 2025-11-25), but this is a message of the \
                 modern one",
                "leave --transport sse-only out",
            )),
            (Era::Modern, _) | (Era::Legacy, Some(method::INITIALIZE)) => None,
            (Era::Legacy, _) if self.sessions.facts_of_handshake().via == Via::Endpoint => {
                Some(ErrorReport::new(
                    ErrorKind::Endpoint,
                    "no session is open, and without one an HTTP+SSE server has no address for messages",
                    "send initialize first",
                ))
            }
            (Era::Legacy, _) => None,
        }
    }

    /// Answers a message that cannot be sent, or logs it.
    pub(super) fn reject(&mut self, ticket: Ticket, report: ErrorReport) {
        if self.ledger.get(ticket).is_some_and(|entry| entry.request_id().is_some()) {
            return self.fail(ticket, report);
        }
        let Some(entry) = self.remove(ticket) else { return };
        let title = entry.message.title().into_owned();
        self.act(Action::Notice(Notice::Undelivered { title, report }));
    }
}

fn takes_any_4xx(initialize: &Message) -> bool {
    let revision = initialize.member("protocolVersion").and_then(json::string);
    revision.is_some_and(|revision| revision::takes_any_4xx_for_older(&revision))
}
