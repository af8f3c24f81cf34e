//! Client and server that share no era: the evidence, and how the messages are returned.
//!
//! Evidence is only what a server of the other era says, never a refusal for want of credentials, a server in trouble or a
//! broken connection (2026-07-28, basic/versioning, backward compatibility). Deliberately not here: what to do about it.

use super::ledger::{MessageState, RetryKind, Ticket};
use super::modern::error_code;
use super::{Output, Relay, Settled};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Notice, Refusal};
use crate::bridge::revision;
use crate::bridge::revision::Era;
use crate::json;
use crate::jsonrpc::{Kind, Message};
use crate::mcp::{OwnId, code, meta, method};

/// The codes by which a server shows that it speaks the modern era (2026-07-28, basic, error codes).
pub(super) const MODERN_CODES: [i64; 3] =
    [code::HEADER_MISMATCH, code::MISSING_CAPABILITY, code::UNSUPPORTED_REVISION];
/// The codes by which a server of the legacy era refuses a message that it does not understand.
const LEGACY_CODES: [i64; 3] = [code::SERVER_ERROR, code::SESSION_NOT_FOUND, code::INVALID_REQUEST];

/// A request that its server cannot understand.
#[derive(Debug)]
pub(in crate::bridge) struct EraMismatch {
    pub(in crate::bridge) request: Message,
    pub(in crate::bridge) evidence: Evidence,
    /// The client's answer if no layer can translate.
    pub(in crate::bridge) last_word: LastWord,
    /// The messages that waited behind it, in the client's order.
    pub(in crate::bridge) waiting: Vec<Message>,
}

/// The answer to a request that cannot be translated.
#[derive(Debug)]
pub(in crate::bridge) struct LastWord {
    pub(in crate::bridge) answer: Message,
    /// The notice for the log then.
    pub(in crate::bridge) notice: Option<Notice>,
}

/// The evidence of a refusal about the server's era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bridge) enum Evidence {
    /// It knows the modern era, and not the other.
    Modern,
    /// It does not know the modern era.
    Legacy,
    /// It knows no `initialize` here; whether it knows something else is open.
    Nothing,
}

impl Relay {
    /// The evidence of an answer or a refusal that the server's era is not that of the request.
    pub(super) fn evidence(
        &self,
        ticket: Ticket,
        answer: Option<&Message>,
        refused: Option<&Refusal>,
    ) -> Option<Evidence> {
        let entry = self.ledger.get(ticket)?;
        let status = refused.map(|refusal| refusal.status);
        // A gateway before the server shows nothing of its era.
        let is_the_servers =
            answer.is_some() || refused.is_some_and(|refusal| refusal.report.cause == ErrorKind::Status);
        if !is_the_servers || status.is_some_and(|status| !may_be_evidence(status)) {
            return None;
        }
        match (entry.era, entry.message.method()?) {
            (Era::Legacy, method::INITIALIZE) => evidence_of_handshake(&entry.message, answer, refused),
            (Era::Modern, method::DISCOVER) => evidence_of_probe(answer),
            (Era::Modern, _) if !self.tools.is_server_modern() => evidence_of_request(answer, status),
            (Era::Legacy | Era::Modern, _) => None,
        }
    }

    /// Takes everything of the legacy era out of the ledger that was not sent, in the client's order.
    fn take_waiting(&mut self) -> Vec<Message> {
        let waiting = self.ledger.iter().filter(|(_, entry)| entry.era == Era::Legacy);
        let waiting = waiting.filter(|(_, entry)| match entry.state {
            MessageState::AtGate
            | MessageState::ForSlot { kind: RetryKind::Post }
            | MessageState::BackingOff { kind: RetryKind::Post, .. } => true,
            // The server is at work on what waits for the rest of its answer.
            MessageState::ForSlot { kind: RetryKind::Resume }
            | MessageState::BackingOff { kind: RetryKind::Resume, .. }
            | MessageState::Behind(_)
            | MessageState::Learning { .. }
            | MessageState::Sent { .. } => false,
        });
        let tickets: Vec<Ticket> = waiting.map(|(ticket, _)| ticket).collect();
        let mut messages = Vec::new();
        for ticket in tickets {
            if let Settled::Wanted(entry) = self.settle(ticket) {
                messages.push(entry.message);
            }
        }
        messages
    }

    /// Gives a request back that its server cannot understand, and with an `initialize` whatever waits behind it.
    pub(super) fn report_era_mismatch(
        &mut self,
        ticket: Ticket,
        evidence: Evidence,
        answer: Message,
        report: Option<ErrorReport>,
    ) {
        let Settled::Wanted(entry) = self.settle(ticket) else { return };
        // No message waits for another era behind a handshake of the layers above.
        let waiting =
            match entry.era == Era::Legacy && !entry.request_id().is_some_and(OwnId::is_of_upper_layer) {
                true => self.take_waiting(),
                false => Vec::new(),
            };
        let request = entry.message;
        let notice = report.map(|report| Notice::Failed { title: request.title().into_owned(), report });
        let answer = match request.kind() {
            Kind::Request { id, .. } => answer.with_id(id),
            Kind::Notification { .. } | Kind::Response { .. } => answer,
        };
        let last_word = LastWord { answer, notice };
        self.outputs.push_back(Output::EraMismatch(Box::new(EraMismatch {
            request,
            evidence,
            last_word,
            waiting,
        })));
    }
}

/// The evidence of the end of a client's `initialize`.
fn evidence_of_handshake(
    initialize: &Message,
    answer: Option<&Message>,
    refused: Option<&Refusal>,
) -> Option<Evidence> {
    let about_meta =
        || answer.is_some_and(|it| memchr::memmem::find(it.text(), meta::META.as_bytes()).is_some());
    match (answer.and_then(error_code), refused.map(|refusal| refusal.status)) {
        (Some(code::HEADER_MISMATCH | code::MISSING_CAPABILITY), _) => Some(Evidence::Modern),
        (Some(code::UNSUPPORTED_REVISION), _) if !offers_legacy(answer?) => Some(Evidence::Modern),
        (Some(code::INVALID_PARAMS), Some(400)) if about_meta() => Some(Evidence::Modern),
        // Every server of the other era knows it.
        (Some(code::METHOD_NOT_FOUND), _) => Some(Evidence::Nothing),
        (None, None) => chose_modern(initialize, answer?).then_some(Evidence::Modern),
        (None, Some(404 | 405)) if answer.is_none() => Some(Evidence::Nothing),
        // A web page comes from something that did not get as far as to look for messages.
        (None, Some(400)) if answer.is_none() => {
            let body = refused.and_then(|refusal| refusal.report.body.as_deref()).unwrap_or_default();
            (!body.trim_start().starts_with('<')).then_some(Evidence::Nothing)
        }
        (_, _) => None,
    }
}

/// The evidence of the end of a client's `server/discover`.
fn evidence_of_probe(answer: Option<&Message>) -> Option<Evidence> {
    let Some(answer) = answer else { return Some(Evidence::Legacy) };
    let is_modern = match error_code(answer) {
        Some(code::HEADER_MISMATCH | code::MISSING_CAPABILITY) => true,
        Some(code::UNSUPPORTED_REVISION) => offers_modern(answer.member("data")),
        Some(_) => false,
        None => discovers_modern(answer),
    };
    (!is_modern).then_some(Evidence::Legacy)
}

/// The evidence of the end of any other modern request, while the server's era is unknown.
fn evidence_of_request(answer: Option<&Message>, status: Option<u16>) -> Option<Evidence> {
    let is_legacy = match (answer, answer.and_then(error_code)) {
        // A server of the other era that does without sessions has answered as well as it can.
        (Some(answer), None) => answer.member("resultType").is_none(),
        (Some(refusal), Some(code::UNSUPPORTED_REVISION)) => !offers_modern(refusal.member("data")),
        (_, code) => {
            let is_legacy_status = matches!(status, Some(400 | 404 | 405 | 422));
            is_legacy_status && code.is_none_or(|code| LEGACY_CODES.contains(&code))
        }
    };
    is_legacy.then_some(Evidence::Legacy)
}

/// Returns whether a status can come of a message that the server does not understand. Wanting credentials, limits, and
/// servers in trouble are no evidence, nor is being sent elsewhere.
pub(super) fn may_be_evidence(status: u16) -> bool {
    (400..500).contains(&status)
        && !matches!(status, 401 | 402 | 403 | 407 | 408 | 421 | 425 | 426 | 429 | 451)
}

/// Returns whether a server chose a modern revision for a client that opened the legacy way, and cannot know what to do with
/// it.
fn chose_modern(initialize: &Message, answer: &Message) -> bool {
    let revision = |message: &Message| message.member("protocolVersion").and_then(json::string);
    revision(answer).as_deref() == Some(revision::MODERN_REVISION) && revision(initialize) != revision(answer)
}

/// Returns whether an unsupported-revision error offers one that is negotiated by `initialize`.
fn offers_legacy(refusal: &Message) -> bool {
    let supported = refusal.member("data").and_then(|data| json::member(data, "supported"));
    let revisions = supported.map(json::elements).unwrap_or_default();
    revisions.into_iter().filter_map(json::string).any(|revision| revision::is_legacy(&revision))
}

/// Returns whether the data of an unsupported-revision error offer one of the modern era.
fn offers_modern(data: Option<&str>) -> bool {
    let supported = data.and_then(|data| json::member(data, "supported"));
    let revisions = supported.map(json::elements).unwrap_or_default();
    revisions.into_iter().filter_map(json::string).any(|revision| !revision::is_legacy(&revision))
}

/// Returns whether an answer to `server/discover` has a modern revision to offer.
pub(super) fn discovers_modern(answer: &Message) -> bool {
    let supported = answer.member("supportedVersions").map(json::elements).unwrap_or_default();
    supported.into_iter().filter_map(json::string).any(|revision| !revision::is_legacy(&revision))
}
