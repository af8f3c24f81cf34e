//! The API token: from a command or the environment, and never one that can do more than it should.
//!
//! Nothing is sent with a global key, with wrangler's sign-in or with cloudflared's certificate.

use super::advice::Permission;
use super::failure::AccessFailure;
use crate::config::{self, Environment};
use crate::redact;
use crate::secret::Secret;

/// The variables that hold an API token.
const VARIABLES: [&str; 2] = ["CLOUDFLARE_API_TOKEN", "CF_API_TOKEN"];

/// The form that creates a fitting API token. The key for service tokens is not documented; without it the form lacks that
/// row.
const FORM: &str = "https://dash.cloudflare.com/profile/api-tokens?permissionGroupKeys=%5B%7B%22key%22%3A%22access%22%2C%22type%22%3A%22edit%22%7D%2C%7B%22key%22%3A%22access_service_token%22%2C%22type%22%3A%22edit%22%7D%2C%7B%22key%22%3A%22access_acct%22%2C%22type%22%3A%22read%22%7D%2C%7B%22key%22%3A%22zone%22%2C%22type%22%3A%22read%22%7D%5D&accountId=*&zoneId=all&name=mcp-tether";

/// Finds the API token.
pub(super) async fn api_token(
    command: Option<&str>,
    environment: &Environment,
) -> Result<Secret, AccessFailure> {
    let set = |name: &str| environment.get(name).map(str::trim).filter(|value| !value.is_empty());
    let (text, place) = match command {
        Some(command) => {
            let command = command.to_owned();
            let printed = tokio::task::spawn_blocking(move || config::command_output(&command)).await;
            let printed = printed.unwrap_or_else(|_| Err("was stopped".to_owned()));
            let printed = printed.map_err(|reason| {
                AccessFailure::new(
                    format!("the command of --api-token-command {reason}"),
                    "run the command by hand: it must print an API token and nothing else",
                )
            })?;
            (printed, "--api-token-command")
        }
        None => match VARIABLES.iter().find_map(|name| Some((set(name)?.to_owned(), *name))) {
            Some(found) => found,
            None => return Err(missing(environment)),
        },
    };
    redact::register_secret(&text);
    check(&text, place)?;
    Ok(Secret::new(text))
}

/// Refuses text that is not an API token.
fn check(text: &str, place: &str) -> Result<(), AccessFailure> {
    let is_legacy_key =
        text.len() == 37 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let instead = || format!("create an API token with these permissions:\n{}\n  {FORM}", permissions());
    if text.starts_with("cfk_") || is_legacy_key {
        return Err(AccessFailure::new(
            format!("{place} holds a global API key: it can change everything in every account of its user"),
            instead(),
        ));
    }
    if text.starts_with("cfoat_") {
        return Err(AccessFailure::new(
            format!("{place} holds wrangler's sign-in token (cfoat_): wrangler has no permission for Access"),
            instead(),
        ));
    }
    if text.contains("-----BEGIN") || text.contains("ARGO TUNNEL TOKEN") {
        return Err(AccessFailure::new(
            format!("{place} holds cloudflared's certificate: it is made for tunnels, not for Access"),
            instead(),
        ));
    }
    if text.starts_with("cfast_") {
        return Err(AccessFailure::new(
            format!("{place} holds the secret of a service token, which opens servers but not the API"),
            instead(),
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['"', '\'']) {
        return Err(AccessFailure::new(
            format!(
                "{place} is not an API token: it contains a space, a quotation mark or another character that no token has"
            ),
            format!("set {place} to the token alone, without quotes and without `Bearer`"),
        ));
    }
    Ok(())
}

/// There is no API token.
fn missing(environment: &Environment) -> AccessFailure {
    let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    let reason = match is_set("CLOUDFLARE_API_KEY") || is_set("CF_API_KEY") {
        true => {
            "no API token is set: CLOUDFLARE_API_KEY is a global API key, which is not used because it can change everything in \
             every account of its user"
        }
        false => "no API token is set",
    };
    AccessFailure::new(
        reason,
        format!(
            "create one with these permissions, then set CLOUDFLARE_API_TOKEN or pass --api-token-command:\n{}\n  {FORM}",
            permissions()
        ),
    )
}

/// The permissions, a line each.
fn permissions() -> String {
    Permission::NEEDED.map(|permission| format!("    {}", permission.name())).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_credentials_that_are_no_api_tokens() {
        for (text, expected) in [
            ("cfk_0123456789012345678901234567890123456789", "global API key"),
            ("0123456789abcdef0123456789abcdef01234", "global API key"),
            ("cfoat_0123456789", "wrangler"),
            ("-----BEGIN ARGO TUNNEL TOKEN-----", "cloudflared"),
            ("cfast_0123456789", "service token"),
            ("Bearer abc", "space"),
            ("\"abc\"", "quotation mark"),
        ] {
            let failure = check(text, "CLOUDFLARE_API_TOKEN").expect_err("refused");
            assert!(failure.sentence.contains(expected), "{}", failure.sentence);
            assert!(!failure.to_string().contains(text), "{failure}");
        }
        for text in ["cfut_0123456789", "cfat_0123456789", "0123456789ABCDEFGHIJ0123456789abcdefghij"] {
            assert!(check(text, "CLOUDFLARE_API_TOKEN").is_ok());
        }
    }
}
