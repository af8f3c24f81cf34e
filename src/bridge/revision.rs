//! Revisions and eras: which kind of protocol a message of the client belongs to.
//!
//! The one place where a revision is known by its date; everything else asks here. Deliberately not here: what follows
//! from an era.

use crate::json;
use crate::jsonrpc::Message;

/// The two kinds of protocol (2026-07-28, basic/versioning).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// `initialize` first, then a session: 2024-11-05 to 2025-11-25.
    Legacy,
    /// Every request stands alone and names its revision: 2026-07-28.
    Modern,
}

/// The revisions that `initialize` negotiates, the oldest first.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// Tells whether a revision is one that `initialize` negotiates.
pub(super) fn is_legacy(revision: &str) -> bool {
    LEGACY.contains(&revision)
}

/// The newest revision of `initialize` that a text names, other than `own`.
pub(super) fn newest_legacy_in(text: &str, own: &str) -> Option<&'static str> {
    let mut dates = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let named: Vec<&str> = dates.by_ref().collect();
    LEGACY.into_iter().rev().find(|revision| *revision != own && named.contains(revision))
}

/// Tells whether messages of a session repeat its revision in a header wherever there are headers (2025-06-18,
/// basic/transports, protocol version header).
pub(super) fn is_named_in_headers(revision: &str) -> bool {
    !["2024-11-05", "2025-03-26"].contains(&revision)
}

/// Tells whether a client that asks for this revision takes any status 4xx for a server of the older transport, and not
/// only some (2025-03-26, basic/transports, backwards compatibility).
pub(super) fn takes_any_4xx_for_older(revision: &str) -> bool {
    revision == "2025-03-26"
}

/// The revision of the modern era.
pub const MODERN_REVISION: &str = "2026-07-28";
/// The latest revision that `initialize` negotiates.
pub const LEGACY_REVISION: &str = "2025-11-25";

/// The key of a modern request's `_meta` under which it names its revision.
const REVISION_KEY: &str = "io.modelcontextprotocol/protocolVersion";

/// The era of a message, and the revision it names where that is the modern way.
pub(super) fn classify(message: &Message) -> (Era, Option<String>) {
    match revision_of(message) {
        Some(revision) => (Era::Modern, Some(revision)),
        None if matches!(message.method(), Some("server/discover" | "subscriptions/listen")) => {
            (Era::Modern, None)
        }
        None => (Era::Legacy, None),
    }
}

/// The revision in `params._meta`.
fn revision_of(message: &Message) -> Option<String> {
    // Nearly every message of a legacy client ends here, without a look at its structure. The key may be written with
    // an escaped slash, so only its first part is looked for.
    memchr::memmem::find(message.text(), b"io.modelcontextprotocol")?;
    let meta = message.member("_meta")?;
    json::string(json::member(meta, REVISION_KEY)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_named_revision_is_found_in_any_text() {
        for (text, own, expected) in [
            ("supported versions: 2025-06-18, 2025-03-26, 2024-11-05", "2025-11-25", Some("2025-06-18")),
            (r#"["2024-11-05","2025-03-26"]"#, "2025-11-25", Some("2025-03-26")),
            ("2025-11-25 is not supported (try 2024-11-05).", "2025-11-25", Some("2024-11-05")),
            ("2025-11-25 is not supported", "2025-11-25", None),
            ("2026-07-28 only", "2025-11-25", None),
            ("x2025-06-18 and 2025-06-181", "2025-11-25", None),
            ("", "2025-11-25", None),
        ] {
            assert_eq!(newest_legacy_in(text, own), expected, "{text}");
        }
    }

    #[test]
    fn the_era_is_read_off_the_message() {
        for (text, era, revision) in [
            (
                r#"{"id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#,
                Era::Legacy,
                None,
            ),
            (r#"{"id":1,"method":"tools/call","params":{"_meta":{"progressToken":1}}}"#, Era::Legacy, None),
            (
                r#"{"id":1,"method":"tools/call","params":{"x":"io.modelcontextprotocol/protocolVersion"}}"#,
                Era::Legacy,
                None,
            ),
            (r#"{"id":1,"method":"server/discover"}"#, Era::Modern, None),
            (
                r#"{"id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol\/protocolVersion":"2026-07-28"}}}"#,
                Era::Modern,
                Some("2026-07-28"),
            ),
        ] {
            let message = Message::parse(text.into()).expect("a message");
            assert_eq!(classify(&message), (era, revision.map(str::to_owned)), "{text}");
        }
    }
}
