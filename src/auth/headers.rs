//! Headers that the user wrote. Every value is a secret, because the program cannot know which of them is one.

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};

use crate::redact;
use crate::secret::Secret;

/// Written headers, ready to be added to requests. The last one of a name counts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WrittenHeaders {
    headers: HeaderMap,
}

impl WrittenHeaders {
    /// Sets a header.
    ///
    /// # Errors
    /// When the value holds bytes that a header cannot carry.
    pub fn set(&mut self, name: HeaderName, value: &Secret) -> Result<(), InvalidHeaderValue> {
        let sendable = sensitive(value)?;
        redact::register_header(name.as_str(), value.reveal());
        self.headers.insert(name, sendable);
        Ok(())
    }

    /// Returns whether there is no header.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Returns whether there is a header of this name.
    pub(super) fn has(&self, name: &HeaderName) -> bool {
        self.headers.contains_key(name)
    }

    /// Returns whether one of them is a credential, judged by its name: `Authorization`, `X-API-Key`, `X-Auth-Token`…
    pub(super) fn prove(&self) -> bool {
        let proves = |name: &HeaderName| *name != COOKIE && redact::is_sensitive_header(name.as_str());
        self.headers.keys().any(proves)
    }

    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }
}

impl std::fmt::Debug for WrittenHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.headers.keys()).finish()
    }
}

/// A header value that no log prints and HTTP/2 does not index.
pub(super) fn sensitive(value: &Secret) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(value.reveal())?;
    value.set_sensitive(true);
    Ok(value)
}
