//! What the transports have in common where an exchange ends badly.
//!
//! Deliberately not here: the words for a failure (`diagnosis`), and what it means (the bridge).

use url::Url;

use crate::bridge::{ErrorReport, ExchangeOutcome, Refusal, Written};
use crate::diagnosis;
use crate::http::TransportError;
use crate::http::body::BodyError;
use crate::redact;

/// A failure after the request may have been written.
pub(super) fn lost(report: ErrorReport) -> ExchangeOutcome {
    ExchangeOutcome::Lost { written: Written::Maybe, report }
}

/// The same outcome, with every foreign text of it passed through `change`.
pub(super) fn map_texts(outcome: ExchangeOutcome, change: impl Fn(&str) -> String) -> ExchangeOutcome {
    let changed = |report: ErrorReport| ErrorReport {
        sentence: redact::printable(&change(&report.sentence)).into_owned(),
        advice: report.advice.as_deref().map(|advice| redact::printable(&change(advice)).into_owned()),
        body: report.body.as_deref().map(&change),
        ray: report.ray.as_deref().map(&change),
        correlation_id: report.correlation_id.as_deref().map(&change),
        request_id: report.request_id.as_deref().map(&change),
        ..report
    };
    match outcome {
        ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) => outcome,
        ExchangeOutcome::Cut(report) => ExchangeOutcome::Cut(changed(report)),
        ExchangeOutcome::Lost { written, report } => {
            ExchangeOutcome::Lost { written, report: changed(report) }
        }
        ExchangeOutcome::Refused(refusal) => {
            ExchangeOutcome::Refused(Refusal { report: changed(refusal.report), ..refusal })
        }
    }
}

/// A body that cannot be read any further.
pub(super) fn broken(url: &Url, status: u16, error: &BodyError) -> ErrorReport {
    match error {
        BodyError::Expanded => diagnosis::expanded(url, status),
        BodyError::Encoding(name, reason) => diagnosis::undecodable(url, status, name, reason),
        BodyError::Transport(_) => diagnosis::transport(url, &error.transport()),
    }
}

/// A stream that broke. One that expands too far would do so again, and is not taken up where it was.
pub(super) fn cut(url: &Url, status: u16, error: &BodyError) -> ExchangeOutcome {
    if matches!(error, BodyError::Expanded) {
        return lost(diagnosis::expanded(url, status));
    }
    if let BodyError::Encoding(name, reason) = error {
        let report = diagnosis::undecodable(url, status, name, reason);
        return lost(report);
    }
    let error = TransportError::Connection(match error.transport() {
        TransportError::Connection(reason) | TransportError::Connect(reason) => reason,
        other => format!("{other:?}"),
    });
    ExchangeOutcome::Cut(diagnosis::transport(url, &error).with_status(status))
}
