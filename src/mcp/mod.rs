//! The constants and own messages of the Model Context Protocol: revisions, method names, keys, codes and headers.
//!
//! A name of the protocol is written here and nowhere else, so that a new revision is a row of [`revision`] and the code
//! that its features need. The module that uses a name decides its meaning.

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
