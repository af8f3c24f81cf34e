//! Revisions and eras, as the bridge asks for them: see `mcp::revision`.

pub use crate::mcp::revision::{Era, LEGACY_REVISION, MODERN_REVISION};
pub(super) use crate::mcp::revision::{classify, is_legacy, newest_legacy_in};

use crate::mcp::revision::features;

/// Returns whether messages of a session repeat its revision in a header wherever there are headers.
pub(super) fn is_named_in_headers(revision: &str) -> bool {
    features(revision).has_revision_header
}

/// Returns whether a client that asks for this revision takes any status 4xx for a server of the older transport.
pub(super) fn takes_any_4xx_for_older(revision: &str) -> bool {
    features(revision).takes_any_4xx_for_older_transport
}
