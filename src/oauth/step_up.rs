//! Step-up authorization (MCP 2025-11-25 and 2026-07-28, basic, authorization): which scopes to request where the server refuses
//! a token for want of scopes.
//!
//! The union of what was requested and granted before, of what the server asks for, and of what other calls wait for, so that
//! one page serves all of them and no permission is lost. Scopes that were requested already are not requested again. Deliberately
//! not here: which refusals ask for more (`remote::credential_retry`), and how often a call tries (there).

use crate::auth::Credentials;
use crate::oauth::authorization_request::union;
use crate::oauth::bearer::Bearer;
use crate::oauth::challenge::SignInChallenge;
use crate::oauth::discovery;
use crate::oauth::http::OAuthHttp;
use crate::oauth::sign_in_error::{SignInError, foreign, place};
use crate::oauth::state::SignInState;
use crate::oauth::store::Tokens;

/// How long a scope may become, in bytes: servers add to it.
const LIMIT: usize = 4096;

impl SignInState {
    /// All scopes that the server offers by its metadata, where its refusal names none that is missing (MCP 2025-11-25, basic,
    /// authorization, scope selection). None where the options say which scopes are requested.
    pub(super) async fn offered_scopes(
        &self,
        challenge: &SignInChallenge,
        credentials: &Credentials,
    ) -> Option<String> {
        if self.settings.scope.is_some() {
            return None;
        }
        let http = OAuthHttp { http: &self.http, server: &self.settings.url, credentials };
        Box::pin(discovery::scopes(&http, &self.settings.url, challenge)).await
    }

    /// The scopes to request where `challenged` ones are missing.
    ///
    /// # Errors
    /// When the server names none, or requesting them leads to nothing.
    pub(super) fn step_up(&self, bearer: &Bearer, challenged: Option<&str>) -> Result<String, SignInError> {
        let Some(challenged) = union(challenged, None) else { return Err(SignInError::NotOffered) };
        let place = place(&self.settings.url);
        let refused = |sentence: &str, advice: String| {
            let scope = foreign(&challenged);
            Err(SignInError::failed(format!("{place} requires the scope {scope}, {sentence}"), advice))
        };
        if let Some(written) = self.settings.scope.as_deref()
            && !covers(written, &challenged)
        {
            let advice = format!(
                "add it where the entry sets the scope (--static-oauth-client-metadata or --authorize-param), then sign in: {}",
                self.login
            );
            return refused("which is not among the scopes that the options name", advice);
        }
        let before = union(bearer.tokens.requested.as_deref(), bearer.tokens.scope.as_deref());
        if before.as_deref().is_some_and(|before| covers(before, &challenged)) {
            let advice = format!(
                "have the scope granted to you or to this client there, or sign in as another user: {}",
                self.login
            );
            return refused("which was requested and does not suffice", advice);
        }
        let mut held = self.held();
        let waiting = union(held.missing_scopes.as_deref(), Some(&challenged));
        let all = union(before.as_deref(), waiting.as_deref()).filter(|all| all.len() <= LIMIT);
        if all.is_some() {
            held.missing_scopes = waiting;
        }
        drop(held);
        all.map_or_else(
            || {
                refused(
                    "which is too long with those before it",
                    "have the server's log looked at".to_owned(),
                )
            },
            Ok,
        )
    }

    /// Notes that a token has come: what was requested for it is not missing any more.
    pub(super) fn scopes_requested(&self, tokens: &Tokens) {
        let requested = tokens.requested.as_deref().unwrap_or_default();
        let mut held = self.held();
        let missing = held.missing_scopes.take();
        let missing = missing.iter().flat_map(|missing| missing.split_whitespace());
        let left: Vec<&str> = missing.filter(|word| !covers(requested, word)).collect();
        held.missing_scopes = union(Some(&left.join(" ")), None);
    }
}

/// Returns whether a scope has every word of another.
fn covers(scope: &str, other: &str) -> bool {
    other.split_whitespace().all(|word| scope.split_whitespace().any(|held| held == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_covers_its_own_words_in_any_order() {
        for (scope, other, expected) in [
            ("a b", "b a", true),
            ("a b", "b", true),
            ("a b", "", true),
            ("a b", "a b c", false),
            ("ab", "a", false),
            ("", "a", false),
        ] {
            assert_eq!(covers(scope, other), expected, "{scope} {other}");
        }
    }
}
