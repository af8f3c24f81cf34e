//! An error about the session that came with a success, in place of an answer and in no form of the protocol.
//!
//! Apart because it is found in bodies and in events. Deliberately not here: which words count (`bridge`), and what
//! follows.

use http::HeaderMap;
use url::Url;

use super::streamable::HttpExchange;
use crate::bridge::{Ask, ExchangeOutcome, Refusal};
use crate::diagnosis;
use crate::jsonrpc::Kind;

/// How long such an error is at most, in bytes.
const LONGEST: usize = 4 * 1024;

impl HttpExchange<'_> {
    /// The refusal in `data`, if it is a short text that says that the session is lost.
    pub(super) fn session_error(&self, url: &Url, status: u16, data: &[u8]) -> Option<ExchangeOutcome> {
        let session = self.outgoing.facts.session.as_ref()?;
        let Ask::Post(message) = &self.outgoing.ask else { return None };
        if !matches!(message.kind(), Kind::Request { .. }) || data.len() > LONGEST {
            return None;
        }
        let text = self.redact(&String::from_utf8_lossy(data));
        let headers = HeaderMap::new();
        let report = diagnosis::refused(url, &self.facts(status, &headers, None, &text));
        let processing = diagnosis::processing(status, report.cause, false);
        let refusal = Refusal { status, answer: None, retry_after: None, processing, report };
        refusal.says_session_is_lost(session).then_some(ExchangeOutcome::Refused(refusal))
    }
}
