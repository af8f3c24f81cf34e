//! What the transports have in common where an exchange ends badly.
//!
//! Deliberately not here: the words for a failure (`diagnosis`), and what it means (the bridge).

use url::Url;

use crate::bridge::{Ending, Refusal, Why, Written};
use crate::diagnosis;
use crate::http::TransportError;
use crate::http::body::BodyError;
use crate::redact;

/// The same ending, with every foreign word of it passed through `scrub`.
pub(super) fn rewritten(ending: Ending, scrub: impl Fn(&str) -> String) -> Ending {
    let scrub = |why: Why| Why {
        sentence: redact::printable(&scrub(&why.sentence)).into_owned(),
        advice: why.advice.as_deref().map(|advice| redact::printable(&scrub(advice)).into_owned()),
        body: why.body.as_deref().map(&scrub),
        ray: why.ray.as_deref().map(&scrub),
        correlation_id: why.correlation_id.as_deref().map(&scrub),
        request_id: why.request_id.as_deref().map(&scrub),
        ..why
    };
    match ending {
        Ending::Complete | Ending::Accepted(_) => ending,
        Ending::Cut(why) => Ending::Cut(scrub(why)),
        Ending::Lost { written, why } => Ending::Lost { written, why: scrub(why) },
        Ending::Refused(refusal) => Ending::Refused(Refusal { why: scrub(refusal.why), ..refusal }),
    }
}

/// A body that cannot be read any further.
pub(super) fn broken(url: &Url, status: u16, error: &BodyError) -> Why {
    match error {
        BodyError::Expanded => diagnosis::expanded(url, status),
        BodyError::Encoding(name, reason) => diagnosis::undecodable(url, status, name, reason),
        BodyError::Transport(_) => diagnosis::transport(url, &error.transport()),
    }
}

/// A stream that broke. One that expands too far would do so again, and is not taken up where it was.
pub(super) fn cut(url: &Url, status: u16, error: &BodyError) -> Ending {
    if matches!(error, BodyError::Expanded) {
        return Ending::Lost { written: Written::Maybe, why: diagnosis::expanded(url, status) };
    }
    if let BodyError::Encoding(name, reason) = error {
        let why = diagnosis::undecodable(url, status, name, reason);
        return Ending::Lost { written: Written::Maybe, why };
    }
    let error = TransportError::Connection(match error.transport() {
        TransportError::Connection(reason) | TransportError::Connect(reason) => reason,
        other => format!("{other:?}"),
    });
    Ending::Cut(diagnosis::transport(url, &error).with_status(status))
}
