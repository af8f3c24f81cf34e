//! A server that refuses the revision of `initialize` where it should name another in its answer (2025-11-25,
//! basic/lifecycle, version negotiation): it is asked once more, with the newest revision that it names.
//!
//! Apart because the refusal has no form of its own. Deliberately not here: servers that speak another era (`era_mismatch`).

use std::time::Instant;

use super::ledger::Ticket;
use super::modern::error_code;
use super::{Purpose, Relay, era_mismatch};
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{Action, ExchangeId, Notice, Refusal};
use crate::bridge::revision::Era;
use crate::bridge::{revision, splice};
use crate::json;
use crate::jsonrpc::Message;
use crate::mcp::method;

/// The members of an error's data under which servers list what they speak.
const LISTS: [&str; 3] = ["supported", "supportedVersions", "supportedProtocolVersions"];

impl Relay {
    /// Sends the client's `initialize` once more with the newest revision that a refusal names, if it is about the
    /// revision. Returns whether it did.
    pub(super) fn renegotiate(&mut self, ticket: Ticket, refused: Refused<'_>, now: Instant) -> bool {
        let is_wanted = !self.is_leaving() && self.ledger.cancellation_of(ticket).is_none();
        let Some(entry) = self.ledger.get(ticket).filter(|_| is_wanted) else { return false };
        if entry.era != Era::Legacy
            || entry.message.method() != Some(method::INITIALIZE)
            || entry.renegotiated
            || !refused.is_about_message()
        {
            return false;
        }
        let Some(asked) = entry.message.member("protocolVersion") else { return false };
        let own = json::string(asked).unwrap_or_default();
        let Some(named) = refused.newest_named(&own) else { return false };
        let message = splice::replace(&entry.message, asked, &json::quoted(named));
        let words = format!("the server does not accept the revision {own}");
        let report = ErrorReport::new(ErrorKind::Answer, words, "look into the server's log");
        let title = message.title().into_owned();
        self.ledger.renegotiate(ticket, message);
        if let Refused::Answered(exchange, _) = refused {
            self.close(exchange);
        }
        self.act(Action::Notice(Notice::Resending { title, report }));
        let exchange = self.post(ticket, Purpose::Answer(ticket), now);
        self.sessions.open_again(exchange);
        true
    }
}

/// How `initialize` was refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused<'a> {
    /// By a status.
    Status(&'a Refusal),
    /// By an error that came with a success, in this exchange.
    Answered(ExchangeId, &'a Message),
}

impl Refused<'_> {
    /// Returns whether a message can be refused so for what it says.
    fn is_about_message(&self) -> bool {
        match self {
            Refused::Status(refusal) => {
                era_mismatch::may_be_evidence(refusal.status) && refusal.report.cause == ErrorKind::Status
            }
            Refused::Answered(_, answer) => error_code(answer).is_some(),
        }
    }

    /// The newest revision that the refusal names as one that the server speaks.
    fn newest_named(&self, own: &str) -> Option<&'static str> {
        let (answer, body) = match self {
            Refused::Status(refusal) => (refusal.answer.as_ref(), refusal.report.body.as_deref()),
            Refused::Answered(_, answer) => (Some(*answer), None),
        };
        let data = answer.and_then(|answer| answer.member("data"));
        let list = data.and_then(|data| LISTS.iter().find_map(|name| json::member(data, name)));
        if let Some(list) = list {
            return revision::newest_legacy_in(list, own);
        }
        let message = answer.and_then(|answer| answer.member("message")).and_then(json::string);
        let text = message.or_else(|| body.map(str::to_owned))?;
        let lower = text.to_lowercase();
        // A web page comes from something that did not get as far as to look for messages.
        let is_about_revision = !lower.trim_start().starts_with('<')
            && ["protocol version", "protocolversion", "protocol-version", "protocol revision"]
                .iter()
                .any(|words| lower.contains(words));
        is_about_revision.then(|| revision::newest_legacy_in(&text, own)).flatten()
    }
}
