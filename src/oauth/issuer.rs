//! Which authorization server a client of the options proves itself to: what it holds, a secret or a key, is sent to the one
//! that it was first used at, and to another only where an option names that.
//!
//! Clients that register themselves are bound to their issuer anyway (`registration`). Deliberately not here: what an
//! authorization server says of itself (`discovery`).

use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::settings::Grant;
use crate::oauth::settings::MetadataSource;
use crate::oauth::settings::SignInSettings;
use crate::oauth::sign_in_error::FailureKind;
use crate::oauth::sign_in_error::{SignInError, foreign, place};
use crate::oauth::state::SignInState;
use crate::oauth::store::{StoredSignIn, Tokens};

/// The issuer that is preferred where a server names several.
pub(super) fn preferred<'a>(settings: &'a SignInSettings, stored: &'a StoredSignIn) -> Option<&'a str> {
    let before = || stored.authorization.as_ref().map(|authorization| authorization.issuer.as_str());
    settings.issuer.as_deref().or_else(|| bound(settings, stored)).or_else(before)
}

/// Returns whether tokens of this authorization server are what the options ask for.
pub(super) fn is_wanted(settings: &SignInSettings, authorization: Option<&AuthorizationServer>) -> bool {
    let written = match &settings.metadata {
        Some(MetadataSource::Written(written)) => Some(written.issuer.as_str()),
        Some(MetadataSource::At(_) | MetadataSource::OfIssuer(_)) | None => None,
    };
    let mut wanted = settings.issuer.as_deref().into_iter().chain(written);
    wanted.all(|wanted| authorization.is_none_or(|authorization| authorization.is_named(wanted)))
}

/// Returns whether the options say which authorization server it is, whatever the server names.
pub(super) fn is_settled(settings: &SignInSettings, authorization: &AuthorizationServer) -> bool {
    settings.metadata.is_some()
        || settings.grant.endpoint().is_some()
        || settings.issuer.as_deref().is_some_and(|wanted| authorization.is_named(wanted))
}

/// Lets an authorization server be signed in at, or asked for a token.
///
/// # Errors
/// When an option names another one, or the client's secret was first used at another one.
pub(super) fn accept(
    settings: &SignInSettings,
    stored: &StoredSignIn,
    authorization: &AuthorizationServer,
) -> Result<(), SignInError> {
    // Its token endpoint is named by the user.
    if settings.grant.endpoint().is_some() {
        return Ok(());
    }
    let (issuer, at) = (&authorization.issuer, place(&settings.url));
    if let Some(wanted) = &settings.issuer {
        return match authorization.is_named(wanted) {
            true => Ok(()),
            false => Err(SignInError::failed(
                format!(
                    "{at} names the authorization server {}, and --oauth-issuer names {}",
                    foreign(issuer),
                    foreign(wanted)
                ),
                "check --oauth-issuer; if it is right, do not sign in there and tell the server's administrator",
            )
            .of_kind(FailureKind::Issuer)),
        };
    }
    match bound(settings, stored) {
        Some(before) if !authorization.is_named(before) => {
            let endpoint = match settings.grant {
                Grant::Client(_) | Grant::Workload(_) => ", or its token endpoint with --token-endpoint URL",
                Grant::Page | Grant::Device | Grant::Enterprise => "",
            };
            Err(SignInError::failed(
                format!(
                    "{at} names another authorization server now, {}; the client of --static-oauth-client-info was first \
                     used at {}, and what proves it goes nowhere else",
                    foreign(issuer),
                    foreign(before)
                ),
                format!(
                    "if that is right, accept it with --oauth-issuer {}{endpoint}; if not, tell the server's administrator",
                    shell_words::quote(&foreign(issuer))
                ),
            )
            .of_kind(FailureKind::Issuer))
        }
        Some(_) | None => Ok(()),
    }
}

/// The issuer that the secret or the key of the options is bound to, if they hold one and it was used.
fn bound<'a>(settings: &SignInSettings, stored: &'a StoredSignIn) -> Option<&'a str> {
    if !proves_itself(settings) {
        return None;
    }
    // Of a sign-in that mcp-remote has kept, the issuer is known alone.
    let before = || stored.tokens.is_some().then_some(stored.authorization.as_ref()?.issuer.as_str());
    stored.client_issuer.as_deref().or_else(before)
}

fn proves_itself(settings: &SignInSettings) -> bool {
    settings.client.as_ref().is_some_and(|client| client.client_secret.is_some() || client.key.is_some())
}

impl SignInState {
    /// The tokens that are kept, if they are of the issuer and for the scope that the user wants now.
    pub(super) fn wanted_tokens(&self, stored: &StoredSignIn) -> Option<Tokens> {
        let tokens = stored.tokens.clone().filter(|tokens| self.is_enough(tokens));
        let tokens = tokens.filter(|tokens| self.accepts_binding(tokens));
        tokens.filter(|_| is_wanted(&self.settings, stored.authorization.as_ref()))
    }

    /// Returns whether tokens were requested with all scopes that the user wants now, as far as that is known.
    fn is_enough(&self, tokens: &Tokens) -> bool {
        let (Some(wanted), Some(requested)) = (&self.settings.scope, &tokens.requested) else { return true };
        wanted.split_whitespace().all(|word| requested.split_whitespace().any(|other| other == word))
    }

    /// Binds the client of the options to the issuer at which it is about to prove itself.
    ///
    /// # Errors
    /// When it is bound to another issuer, or the stored sign-in cannot be read.
    pub(super) async fn bind(&self, authorization: &AuthorizationServer) -> Result<(), SignInError> {
        let settings = &self.settings;
        // With a workload identity nothing is stored, and the user names the issuer for a secret.
        if !proves_itself(settings) || settings.workload.is_some() {
            return Ok(());
        }
        let is_bound = |stored: &StoredSignIn| {
            stored.client_issuer.as_deref().is_some_and(|before| authorization.is_named(before))
        };
        if is_bound(&self.stored().await?) {
            return Ok(());
        }
        let mut accepted = Ok(());
        self.change(|stored| {
            accepted = accept(settings, stored, authorization);
            if accepted.is_ok() {
                stored.client_issuer = Some(authorization.issuer.clone());
            }
        })
        .await?;
        accepted
    }
}

#[cfg(test)]
mod tests {
    use crate::oauth::metadata::is_same_issuer;

    #[test]
    fn one_slash_at_the_end_makes_no_other_issuer() {
        for (one, other, expected) in [
            ("https://as.example", "https://as.example/", true),
            ("https://as.example/a", "https://as.example/a", true),
            ("https://as.example", "https://as.example//", false),
            ("https://as.example", "https://as.example.evil", false),
            ("https://as.example/a", "https://as.example/b", false),
        ] {
            assert_eq!(is_same_issuer(one, other), expected, "{one} {other}");
        }
    }
}
