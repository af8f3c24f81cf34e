//! The service token of Cloudflare Access: two headers on every request
//! (<https://developers.cloudflare.com/cloudflare-one/access-controls/service-credentials/service-tokens/>).
//!
//! Here is also what a mistyped token looks like, so that it is found before anything is sent. Deliberately not here:
//! what Access answers (`diagnosis`).

use http::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};

use super::headers::sensitive;
use crate::secret::Secret;

/// The header that names the token.
pub const CLIENT_ID: HeaderName = HeaderName::from_static("cf-access-client-id");
/// The header that proves it.
pub const CLIENT_SECRET: HeaderName = HeaderName::from_static("cf-access-client-secret");

/// A service token, ready to be added to requests.
#[derive(Clone, Debug)]
pub struct ServiceToken {
    id: HeaderValue,
    secret: HeaderValue,
}

impl ServiceToken {
    /// Takes the two halves of a token.
    ///
    /// # Errors
    /// When one holds bytes that a header cannot carry.
    pub fn new(id: &Secret, secret: &Secret) -> Result<ServiceToken, InvalidHeaderValue> {
        Ok(ServiceToken { id: sensitive(id)?, secret: sensitive(secret)? })
    }

    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        headers.insert(CLIENT_ID, self.id.clone());
        headers.insert(CLIENT_SECRET, self.secret.clone());
    }

    pub(super) fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.to_str().unwrap_or_default()
    }
}

/// Tells whether the two halves of a token stand in each other's place: ids end in `.access` (older ones in
/// `.access.<domain>`), secrets never hold it.
pub fn are_swapped(id: &str, secret: &str) -> bool {
    !id.contains(".access") && secret.contains(".access")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_halves_are_recognised() {
        assert!(are_swapped("cfast_abc", "0123.access"));
        assert!(are_swapped("0123abcd", "0123.access.example.com"));
        assert!(!are_swapped("0123.access", "cfast_abc"));
        assert!(!are_swapped("0123", "cfast_abc"));
    }
}
