//! What the Model Context Protocol fixes: revisions, method names, keys, codes, headers, and the messages of our own making.
//!
//! A name of the protocol is written here and nowhere else, so that a new revision is a row of [`revision`] and the code
//! that its features need. Nothing here decides anything: what a name means is the affair of the module that uses it.

pub mod code;
pub mod header;
pub mod message;
pub mod meta;
pub mod method;
mod own_id;
pub mod revision;

pub use own_id::OwnId;
pub use revision::{Era, Features, LEGACY_REVISION, MODERN_REVISION, Revision};

/// The name of this program: in the messages that it authors, in the ids that it makes, and as `data.source` of its errors.
pub const SOURCE: &str = "mcp-tether";
