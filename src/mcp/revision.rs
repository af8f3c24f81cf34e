//! Revisions and eras: a table of what each revision has.
//!
//! The one place where a revision is known by its date; everything else asks for a feature. A new revision is a row of the
//! table and the code that its features need.

use super::{meta, method};
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

/// One revision of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its date, by which messages name it.
    pub name: &'static str,
    /// How it begins.
    pub era: Era,
    /// What it has.
    pub features: Features,
}

/// What one revision has and another has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Messages repeat the revision in a header wherever there are headers (2025-06-18, basic/transports, protocol version
    /// header).
    pub has_revision_header: bool,
    /// A client takes any status 4xx for a server of the older transport, and not only some (2025-03-26, basic/transports,
    /// backwards compatibility).
    pub takes_any_4xx_for_older_transport: bool,
    /// An elicitation names its mode, and may be a URL (2025-11-25, client, elicitation).
    pub has_elicitation_modes: bool,
    /// The contents of a sampled message may be a list (2025-11-25, client, sampling).
    pub has_sampling_content_lists: bool,
}

/// The revision of the modern era.
pub const MODERN_REVISION: &str = "2026-07-28";
/// The latest revision that `initialize` negotiates.
pub const LEGACY_REVISION: &str = "2025-11-25";

/// The features of the latest revision, of which the older ones say what they lack.
const LATEST: Features = Features {
    has_revision_header: true,
    takes_any_4xx_for_older_transport: false,
    has_elicitation_modes: true,
    has_sampling_content_lists: true,
};
const OF_2025_06_18: Features =
    Features { has_elicitation_modes: false, has_sampling_content_lists: false, ..LATEST };
const OF_2024_11_05: Features = Features { has_revision_header: false, ..OF_2025_06_18 };

/// Every revision, the oldest first.
pub const REVISIONS: [Revision; 5] = [
    Revision { name: "2024-11-05", era: Era::Legacy, features: OF_2024_11_05 },
    Revision {
        name: "2025-03-26",
        era: Era::Legacy,
        features: Features { takes_any_4xx_for_older_transport: true, ..OF_2024_11_05 },
    },
    Revision { name: "2025-06-18", era: Era::Legacy, features: OF_2025_06_18 },
    Revision { name: LEGACY_REVISION, era: Era::Legacy, features: LATEST },
    Revision { name: MODERN_REVISION, era: Era::Modern, features: LATEST },
];

impl Revision {
    /// The revision with this name, where it is known.
    pub fn find(name: &str) -> Option<&'static Revision> {
        REVISIONS.iter().find(|revision| revision.name == name)
    }
}

/// The features of a revision; one that is not known has those of the latest.
pub fn features(name: &str) -> Features {
    Revision::find(name).map_or(LATEST, |revision| revision.features)
}

/// Returns whether a revision is one that `initialize` negotiates.
pub fn is_legacy(name: &str) -> bool {
    Revision::find(name).is_some_and(|revision| revision.era == Era::Legacy)
}

/// The newest revision of `initialize` that a text names, other than `own`.
pub fn newest_legacy_in(text: &str, own: &str) -> Option<&'static str> {
    let dates = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let named: Vec<&str> = dates.collect();
    let mut legacy = REVISIONS.iter().rev().filter(|revision| revision.era == Era::Legacy);
    let newest = legacy.find(|revision| revision.name != own && named.contains(&revision.name))?;
    Some(newest.name)
}

/// The era of a message, and the revision that it names where that is the modern way.
pub fn classify(message: &Message) -> (Era, Option<String>) {
    match revision_of(message) {
        Some(revision) => (Era::Modern, Some(revision)),
        None if matches!(message.method(), Some(method::DISCOVER | method::LISTEN)) => (Era::Modern, None),
        None => (Era::Legacy, None),
    }
}

/// The revision in `params._meta`.
fn revision_of(message: &Message) -> Option<String> {
    // Nearly every message of a legacy client ends here, without a look at its structure.
    memchr::memmem::find(message.text(), meta::PREFIX.as_bytes())?;
    json::string(json::member(message.member(meta::META)?, meta::REVISION)?)
}

#[cfg(test)]
mod tests {
    use rmcp::model::ProtocolVersion;

    use super::*;

    #[test]
    fn revisions_agree_with_rmcp() {
        let theirs: Vec<&str> = ProtocolVersion::KNOWN_VERSIONS.iter().map(ProtocolVersion::as_str).collect();
        assert_eq!(REVISIONS.map(|revision| revision.name).as_slice(), theirs);
        assert_eq!(MODERN_REVISION, ProtocolVersion::NO_INITIALIZE.as_str());
        assert_eq!(LEGACY_REVISION, ProtocolVersion::LATEST_WITH_INITIALIZE.as_str());
    }

    #[test]
    fn unknown_revision_has_features_of_latest() {
        assert_eq!(features("2099-01-01"), features(LEGACY_REVISION));
        assert!(!is_legacy("2099-01-01") && !is_legacy(MODERN_REVISION) && is_legacy("2024-11-05"));
        let has_header = REVISIONS.map(|revision| revision.features.has_revision_header);
        assert_eq!(has_header, [false, false, true, true, true]);
    }

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
    fn era_is_read_off_the_message() {
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
