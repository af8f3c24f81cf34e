//! Derives from the outcome of an exchange whether its message was processed.
//!
//! The transport says what a refusal proves ([`Processing`]); what a broken connection proves depends on how much of the
//! request was written. Deliberately not here: what follows from it.

use std::time::Duration;

use super::Transport;
use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::event::{ExchangeOutcome, Processing, Refusal, Written};
use crate::bridge::relay::era_mismatch;
use crate::bridge::relay::modern::error_code;
use crate::mcp::code;

/// Returns what an outcome proves about the message.
pub(super) fn processing(outcome: &ExchangeOutcome) -> Processing {
    match outcome {
        ExchangeOutcome::Lost { written: Written::No, .. } if is_network_failure(outcome) => {
            Processing::NotProcessed
        }
        ExchangeOutcome::Lost { .. } if is_network_failure(outcome) => Processing::Unknown,
        ExchangeOutcome::Lost { .. } | ExchangeOutcome::Accepted(_) => Processing::Final,
        ExchangeOutcome::Cut(_) | ExchangeOutcome::Complete => Processing::Unknown,
        ExchangeOutcome::Refused(refusal) => refusal.processing,
    }
}

/// Returns whether the network failed, which may be well again at the next attempt.
pub(super) fn is_network_failure(outcome: &ExchangeOutcome) -> bool {
    match outcome {
        ExchangeOutcome::Cut(report) | ExchangeOutcome::Lost { report, .. } => {
            matches!(
                report.cause,
                ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Connection | ErrorKind::ProxyConnect
            )
        }
        ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) | ExchangeOutcome::Refused(_) => false,
    }
}

/// The refusal, where the outcome is one.
pub(super) fn refusal(outcome: &ExchangeOutcome) -> Option<&Refusal> {
    match outcome {
        ExchangeOutcome::Refused(refusal) => Some(refusal),
        ExchangeOutcome::Complete
        | ExchangeOutcome::Accepted(_)
        | ExchangeOutcome::Cut(_)
        | ExchangeOutcome::Lost { .. } => None,
    }
}

/// How long the server asks to wait.
pub(super) fn wait(outcome: &ExchangeOutcome) -> Option<Duration> {
    refusal(outcome)?.retry_after
}

/// The failure in words, where there is one.
pub(in crate::bridge::relay) fn report(outcome: &ExchangeOutcome) -> Option<ErrorReport> {
    match outcome {
        ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) => None,
        ExchangeOutcome::Cut(report) | ExchangeOutcome::Lost { report, .. } => Some(report.clone()),
        ExchangeOutcome::Refused(refusal) => Some(refusal.report.clone()),
    }
}

/// Returns whether the server may have done what a request asks for.
pub(super) fn may_have_run(outcome: &ExchangeOutcome) -> bool {
    match outcome {
        ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) | ExchangeOutcome::Cut(_) => true,
        ExchangeOutcome::Lost { written: Written::No, .. } => false,
        ExchangeOutcome::Lost { written: Written::Maybe, report } => {
            is_network_failure(outcome)
                || matches!(
                    report.cause,
                    ErrorKind::Answer | ErrorKind::TooLarge | ErrorKind::Timeout | ErrorKind::Internal
                )
        }
        // Any other status says that nothing was done, or says what was.
        ExchangeOutcome::Refused(refusal) => {
            refusal.status == 500 || refusal.processing == Processing::Unknown
        }
    }
}

/// Returns whether the end of `initialize` says that the server does not speak the transport by which it was sent.
/// `any_4xx`: the client's revision has any such status speak against streamable HTTP.
pub(super) fn speaks_against(transport: Transport, outcome: &ExchangeOutcome, any_4xx: bool) -> bool {
    match transport {
        Transport::StreamableHttp => is_no_streamable_endpoint(outcome, any_4xx),
        Transport::HttpSse => names_no_endpoint(outcome),
    }
}

/// Returns whether a refusal says that this is no endpoint of streamable HTTP.
fn is_no_streamable_endpoint(outcome: &ExchangeOutcome, any_4xx: bool) -> bool {
    if let ExchangeOutcome::Lost { report, .. } = outcome {
        return report.cause == ErrorKind::Transport;
    }
    let Some(refusal) = refusal(outcome) else { return false };
    // These are said by servers that have understood the request.
    let is_understood = match refusal.answer.as_ref().and_then(error_code) {
        Some(code::METHOD_NOT_FOUND) => refusal.status == 404,
        Some(code) => code == code::INVALID_PARAMS || era_mismatch::MODERN_CODES.contains(&code),
        None => false,
    };
    let is_about_transport = match refusal.status {
        400 | 404 | 405 => true,
        status => any_4xx && is_about_request(status),
    };
    is_about_transport && !is_understood && is_servers_own(refusal)
}

/// Returns whether there is no stream that names an address: another answer, or a stream that is something else.
fn names_no_endpoint(outcome: &ExchangeOutcome) -> bool {
    match outcome {
        ExchangeOutcome::Refused(refusal) => {
            (is_about_request(refusal.status) || refusal.status == 501) && is_servers_own(refusal)
        }
        ExchangeOutcome::Lost { report, .. } => {
            matches!(report.cause, ErrorKind::Answer | ErrorKind::NoAnswer)
        }
        ExchangeOutcome::Complete | ExchangeOutcome::Accepted(_) | ExchangeOutcome::Cut(_) => false,
    }
}

/// Returns whether a status says that the request cannot be served as it is: not who asks, how fast, or how often.
fn is_about_request(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 401 | 403 | 407 | 408 | 429)
}

/// Returns whether nothing in front of the server has refused in its place.
fn is_servers_own(refusal: &Refusal) -> bool {
    refusal.report.cause == ErrorKind::Status && refusal.processing != Processing::NotProcessed
}
