//! The service token of Cloudflare Access: two headers on every request
//! (<https://developers.cloudflare.com/cloudflare-one/access-controls/service-credentials/service-tokens/>).
//!
//! Here is also what a mistyped token looks like, so that it is found before anything is sent. Deliberately not here:
//! what Access answers (`diagnosis`).

use http::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};

use super::headers::sensitive;
use crate::json;
use crate::redact;
use crate::secret::Secret;

/// The header that names the token.
pub const CLIENT_ID: HeaderName = HeaderName::from_static("cf-access-client-id");
/// The header that proves it.
pub const CLIENT_SECRET: HeaderName = HeaderName::from_static("cf-access-client-secret");

/// The header for the token of a user or of an application.
pub const TOKEN: HeaderName = HeaderName::from_static("cf-access-token");

/// The environment variables that hold the token: the usual ones, wrangler's, cloudflared's. The first complete pair counts.
pub const PAIRS: [[&str; 2]; 3] = [
    ["CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET"],
    ["CLOUDFLARE_ACCESS_CLIENT_ID", "CLOUDFLARE_ACCESS_CLIENT_SECRET"],
    ["TUNNEL_SERVICE_TOKEN_ID", "TUNNEL_SERVICE_TOKEN_SECRET"],
];

/// Those of the token that takes over when the first one is refused.
pub const NEXT: [&str; 2] = ["CF_ACCESS_CLIENT_ID_NEXT", "CF_ACCESS_CLIENT_SECRET_NEXT"];

/// Removes the token from the environment that a program is started with: every variable of [`PAIRS`], and each with `_NEXT`
/// behind it.
pub fn withhold_from(command: &mut std::process::Command) {
    for name in PAIRS.as_flattened() {
        command.env_remove(name).env_remove(format!("{name}_NEXT"));
    }
}

/// The rule by which a service token is sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairRule {
    /// It was written out for this server, with `--header` or in a header file.
    Written,
    /// `CF_ACCESS_HOSTS` names the host.
    Listed,
    /// The server is on this computer.
    Loopback,
    /// `--access always`.
    Always,
    /// It is sent once an Access application of its team is proved to protect the host, in this process or before.
    Proof,
}

impl PairRule {
    /// A word for programs.
    pub fn word(self) -> &'static str {
        match self {
            PairRule::Written => "written",
            PairRule::Listed => "listed",
            PairRule::Loopback => "loopback",
            PairRule::Always => "always",
            PairRule::Proof => "proof",
        }
    }
}

/// A service token, ready to be added to requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceToken {
    rule: PairRule,
    id: HeaderValue,
    secret: HeaderValue,
    shown: String,
    /// The one header that carries both, where the application reads tokens from one.
    single: Option<(HeaderName, HeaderValue)>,
}

impl ServiceToken {
    /// Takes the two halves of a token that was written out for a server; [`ServiceToken::by`] changes that.
    ///
    /// # Errors
    /// When one holds bytes that a header cannot carry.
    pub fn new(id: &Secret, secret: &Secret) -> Result<ServiceToken, InvalidHeaderValue> {
        let shown = shown(secret.reveal());
        redact::register_secret(secret.reveal());
        let rule = PairRule::Written;
        Ok(ServiceToken { rule, id: sensitive(id)?, secret: sensitive(secret)?, shown, single: None })
    }

    /// The same token, sent by another rule.
    #[must_use]
    pub fn by(self, rule: PairRule) -> ServiceToken {
        ServiceToken { rule, ..self }
    }

    /// The rule by which it is sent.
    pub fn rule(&self) -> PairRule {
        self.rule
    }

    /// The client id as it is sent; none where it does not look like one, for it may be a secret in the wrong place.
    pub fn client_id(&self) -> Option<&str> {
        self.id.to_str().ok().filter(|id| id.contains(".access"))
    }

    /// The same token in one header, as a JSON object (Access's `read_service_tokens_from_header`). Never together with
    /// the pair, which strict mode refuses.
    #[must_use]
    pub fn in_one_header(mut self, name: HeaderName) -> ServiceToken {
        let quote = json::quoted;
        let (id, secret) = (self.id.to_str().unwrap_or_default(), self.secret());
        let value = format!("{{\"{CLIENT_ID}\":{},\"{CLIENT_SECRET}\":{}}}", quote(id), quote(secret));
        if let Ok(value) = sensitive(&Secret::new(value)) {
            self.single = Some((name, value));
        }
        self
    }

    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        if let Some((name, value)) = &self.single {
            headers.insert(name.clone(), value.clone());
            return;
        }
        headers.insert(CLIENT_ID, self.id.clone());
        headers.insert(CLIENT_SECRET, self.secret.clone());
    }

    /// The client id, which names the token in Cloudflare's dashboard and is no secret. What does not look like one is
    /// not shown: it may be a secret in the wrong place.
    pub fn id(&self) -> &str {
        self.client_id().unwrap_or("(whose id is none)")
    }

    /// The one header that carries both halves, where it is not the pair.
    pub fn header(&self) -> Option<&str> {
        self.single.as_ref().map(|(name, _)| name.as_str())
    }

    /// Enough of the secret to recognise it by, and its length: `cfast_…ee42 (54 characters)`.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What is odd about the secret's form, in words.
    pub fn oddity(&self) -> Option<&str> {
        let secret = self.secret();
        let is_new = secret
            .strip_prefix("cfast_")
            .is_some_and(|rest| rest.len() == 48 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let is_old = secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
        (!is_new && !is_old).then_some(
            "does not have the form of one (cfast_ and 48 letters and digits, or 64 hexadecimal digits)",
        )
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.to_str().unwrap_or_default()
    }
}

fn shown(secret: &str) -> String {
    let length = secret.chars().count();
    let start = if secret.starts_with("cfast_") { "cfast_" } else { "" };
    // Of a short one the end would be too much of it.
    let end = if length >= 32 { secret.get(secret.len() - 4..).unwrap_or_default() } else { "" };
    format!("{start}…{end} ({length} characters)")
}

/// Returns whether the two halves of a token are swapped: ids end in `.access` (older ones in
/// `.access.<domain>`), secrets never hold it.
pub fn are_swapped(id: &str, secret: &str) -> bool {
    !id.contains(".access") && secret.contains(".access")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_token_without_its_secret() {
        let new = format!("cfast_{}ee42", "a".repeat(44));
        let old = "0123456789abcdef".repeat(4);
        for (secret, shown, is_odd) in [
            (new.as_str(), "cfast_…ee42 (54 characters)", false),
            (old.as_str(), "…cdef (64 characters)", false),
            ("cfast_short", "cfast_… (11 characters)", true),
            (&new[..50], "cfast_…aaaa (50 characters)", true),
        ] {
            let token =
                ServiceToken::new(&Secret::new("0123.access"), &Secret::new(secret)).expect("a token");
            assert_eq!((token.id(), token.shown(), token.oddity().is_some()), ("0123.access", shown, is_odd));
        }
        let token = ServiceToken::new(&Secret::new("cfast_secret"), &Secret::new("x")).expect("a token");
        assert_eq!(token.id(), "(whose id is none)");
    }

    #[test]
    fn swapped_halves_are_recognised() {
        assert!(are_swapped("cfast_abc", "0123.access"));
        assert!(are_swapped("0123abcd", "0123.access.example.com"));
        assert!(!are_swapped("0123.access", "cfast_abc"));
        assert!(!are_swapped("0123", "cfast_abc"));
    }
}
