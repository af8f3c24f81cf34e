//! What Cloudflare Access means by its answers: whether it was Access at all, and which of the reasons it was.
//!
//! Access says the same in several ways: a redirect to its sign-in page whose `meta` tells whether the token is valid, a
//! 401 for programs, a 403 without a word. Where the form of an answer is not documented, every reading seen in the
//! field is accepted. Pure. Deliberately not here: what stands in front of Access and behind it (`cloudflare`).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use url::Url;

use super::{Refused, place, title};
use crate::bridge::{Failure, Why};
use crate::json;

/// The path of the document by which Access names itself in a challenge.
const METADATA: &str = "/.well-known/cloudflare-access-protected-resource";
/// Where Access has its own pages.
const PAGES: &str = "/cdn-cgi/access/";

/// The service token that went along, as it may be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its client id, which is no secret.
    pub id: &'a str,
    /// Enough of the secret to recognise it by, and its length.
    pub secret: &'a str,
    /// What is odd about its form, in words.
    pub oddity: Option<&'a str>,
}

/// What an answer of Access says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Decision {
    /// The host that signs people in.
    team: Option<String>,
    /// The application's audience tag, by which it is found in the dashboard.
    application: Option<String>,
    /// Whether the service token is valid, where the redirect says so.
    token_is_valid: Option<bool>,
    /// Whether this is the challenge of Managed OAuth.
    is_oauth: bool,
}

/// The explanation of a refusal by Access; none where it was somebody else's.
pub(super) fn explain(url: &Url, facts: &Refused<'_>) -> Option<Why> {
    let decision = decision(url, facts)?;
    let status = facts.status;
    let place = place(url);
    // Enough of the tag to tell applications apart in the dashboard.
    let tag = decision.application.as_ref().map(|tag| tag.chars().take(12).chain(['…']).collect::<String>());
    let application = match (&decision.team, &tag) {
        (Some(team), Some(application)) => format!(" (team {team}, application {application})"),
        (Some(team), None) => format!(" (team {team})"),
        (None, Some(application)) => format!(" (application {application})"),
        (None, None) => String::new(),
    };
    let (cause, sentence, advice) = match (facts.token, decision.token_is_valid) {
        (None, _) if facts.sends_access_token => (
            Failure::AccessToken,
            format!("Cloudflare Access before {place}{application} did not accept the Access token that was sent ({status})"),
            "it has expired, or is for another application: get a new one".to_owned(),
        ),
        (None, _) => (
            Failure::AccessCredentials,
            format!("{place} is protected by Cloudflare Access{application}, and this request carried no service token ({status})"),
            "set CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET in the environment of this program".to_owned(),
        ),
        (Some(token), Some(true)) => (
            Failure::AccessPolicy,
            format!("the service token {} is valid, but no Service Auth policy of the application before {place}{application} includes it ({status})", token.id),
            "add a policy with the action Service Auth (not Allow) to that application, Include > Service Token".to_owned(),
        ),
        (Some(token), Some(false)) => refused_token(&place, &application, status, &token),
        (Some(token), None) if decision.is_oauth => (
            Failure::AccessHidden,
            format!("Cloudflare Access before {place}{application} answered with an OAuth challenge although the service token {} was sent; it hides the reason ({status})", token.id),
            format!("{}; or no Service Auth policy of the application includes the token", not_accepted(&token)),
        ),
        (Some(token), None) if status == 401 => refused_token(&place, &application, status, &token),
        (Some(token), None) => (
            Failure::AccessForbidden,
            format!("Cloudflare Access before {place}{application} did not let the service token {} through and gives no reason ({status})", token.id),
            format!("either no policy with the action Service Auth (not Allow) includes the token, or {}", not_accepted(&token)),
        ),
    };
    Some(Why::new(cause, sentence, advice).with_status(status))
}

fn refused_token(
    place: &str,
    application: &str,
    status: u16,
    token: &Token<'_>,
) -> (Failure, String, String) {
    let sentence = format!(
        "Cloudflare Access before {place}{application} did not accept the service token {} (secret {}) ({status})",
        token.id, token.secret
    );
    let advice = format!(
        "{}; tokens last a year by default, Refresh keeps the secret, Rotate makes a new one",
        not_accepted(token)
    );
    (Failure::AccessToken, sentence, advice)
}

fn not_accepted(token: &Token<'_>) -> String {
    let where_to_look = "look under Zero Trust > Access controls > Service credentials";
    match token.oddity {
        Some(oddity) => format!("its secret {oddity}; {where_to_look}"),
        None => {
            format!("it is mistyped, expired, rotated, disabled or deleted: {where_to_look}")
        }
    }
}

/// What Access said, if it was Access.
fn decision(url: &Url, facts: &Refused<'_>) -> Option<Decision> {
    let mut decision = Decision::default();
    let mut is_access = false;
    if let Some(target) = facts.location.filter(|target| is_sign_in(target)) {
        is_access = true;
        let query = |name: &str| target.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
        decision.team = Some(super::place(target));
        decision.application = query("kid").map(|value| value.into_owned()).filter(|kid| is_tag(kid));
        decision.token_is_valid = query("meta").and_then(|meta| token_status(&meta));
    }
    for challenge in facts.header_values("www-authenticate") {
        let names_itself = challenge.starts_with("Cloudflare-Access");
        let points_to_itself =
            metadata_url(challenge).and_then(|metadata| url.join(metadata).ok()).is_some_and(|metadata| {
                metadata.origin() == url.origin() && metadata.path().starts_with(METADATA)
            });
        is_access |= names_itself || points_to_itself;
        decision.is_oauth |= points_to_itself && !names_itself;
    }
    if matches!(facts.status, 401 | 403) {
        for name in ["cf-access-aud", "cf-access-domain", "cf-access-error"] {
            is_access |= facts.header(name).is_some();
        }
        // The form for programs has the application's tag and the ray in it.
        let member = |name| json::member(facts.body, name).and_then(json::string);
        if let (Some(tag), Some(_)) = (member("aud"), member("ray_id")) {
            is_access = true;
            decision.application = decision.application.or(Some(tag).filter(|tag| is_tag(tag)));
        }
    }
    let tag = facts.header("cf-access-aud").filter(|tag| is_tag(tag)).map(str::to_owned);
    decision.application = decision.application.or(tag);
    is_access |= title(facts.body).is_some_and(|title| title.trim_end().ends_with("Cloudflare Access"));
    is_access.then_some(decision)
}

/// Tells whether an address belongs to the sign-in of Access.
fn is_sign_in(target: &Url) -> bool {
    target.host_str().is_some_and(|host| host.ends_with(".cloudflareaccess.com"))
        || target.path().starts_with(PAGES)
}

/// The address of the metadata that a challenge names.
fn metadata_url(challenge: &str) -> Option<&str> {
    let (_, rest) = challenge.split_once("resource_metadata=")?;
    let rest = rest.trim_start_matches('"');
    Some(rest.split(['"', ',', ' ']).next().unwrap_or(rest))
}

/// What the unsigned middle of the redirect's `meta` says of the token.
fn token_status(meta: &str) -> Option<bool> {
    let payload = meta.split('.').nth(1)?.trim_end_matches('=');
    let payload = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let member = |name| json::member(&payload, name);
    if member("auth_status").and_then(json::string).as_deref() == Some("SERVICE_TOKEN_INVALID") {
        return Some(false);
    }
    match member("service_token_status")? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Tags are hexadecimal; anything else is nothing to repeat.
fn is_tag(text: &str) -> bool {
    (8..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const TAG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const METADATA_HERE: &str =
        "https://mcp.example.com/.well-known/cloudflare-access-protected-resource/mcp";
    const TOKEN: Token<'_> =
        Token { id: "0a1b.access", secret: "cfast_…ee42 (54 characters)", oddity: None };

    fn meta(payload: &str) -> String {
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(payload))
    }

    fn sign_in(payload: &str) -> String {
        format!(
            "https://acme.cloudflareaccess.com/cdn-cgi/access/login/mcp.example.com?kid={TAG}&meta={}&redirect_url=%2Fmcp",
            meta(payload)
        )
    }

    /// A row: status, headers, body, whether a token was sent, the cause and a part of the sentence.
    type Row<'a> = (u16, Vec<(&'static str, String)>, &'a str, Option<Token<'a>>, Option<Failure>, &'a str);

    #[test]
    fn every_answer_of_access_is_told_from_every_other() {
        let own =
            |scheme: &str| ("www-authenticate", format!(r#"{scheme} resource_metadata="{METADATA_HERE}""#));
        let aud = || ("cf-access-aud", TAG.to_owned());
        let page = "<html><head><title>Forbidden ・ Cloudflare Access</title></head></html>";
        let form = format!(
            r#"{{"message":"Forbidden. You don't have permission to view this.","status_code":403,"aud":"{TAG}","ray_id":"8f00"}}"#
        );
        let oauth = || own(r#"Bearer realm="OAuth", error="invalid_token","#);
        let odd = Token { oddity: Some("has 12 characters"), ..TOKEN };
        let rows: Vec<Row<'_>> = vec![
            // No credentials.
            (302, vec![("location", sign_in("{}"))], "", None, Some(Failure::AccessCredentials), "carried no service token"),
            (302, vec![("location", sign_in("{}")), own("Cloudflare-Access")], "", None, Some(Failure::AccessCredentials), "(team acme.cloudflareaccess.com, application 0123"),
            (401, vec![oauth()], "{}", None, Some(Failure::AccessCredentials), "carried no service token"),
            (403, vec![aud()], page, None, Some(Failure::AccessCredentials), "carried no service token"),
            // Wrong, unknown, expired, disabled, deleted, swapped.
            (302, vec![("location", sign_in(r#"{"service_token_status":false}"#))], "", Some(TOKEN), Some(Failure::AccessToken), "did not accept the service token 0a1b.access (secret cfast_…ee42 (54 characters))"),
            (302, vec![("location", sign_in(r#"{"auth_status":"SERVICE_TOKEN_INVALID"}"#))], "", Some(TOKEN), Some(Failure::AccessToken), "did not accept"),
            (401, vec![oauth()], "{}", Some(TOKEN), Some(Failure::AccessHidden), "hides the reason"),
            (403, vec![aud()], page, Some(TOKEN), Some(Failure::AccessForbidden), "gives no reason"),
            (401, vec![aud()], "", Some(TOKEN), Some(Failure::AccessToken), "did not accept"),
            (401, vec![("cf-access-domain", "mcp.example.com".to_owned())], "", Some(odd), Some(Failure::AccessToken), "did not accept"),
            (401, vec![own("Cloudflare-Access")], "", Some(TOKEN), Some(Failure::AccessToken), "did not accept"),
            // Valid, but no policy includes it.
            (302, vec![("location", sign_in(r#"{"service_token_status":true,"service_token_id":"x"}"#))], "", Some(TOKEN), Some(Failure::AccessPolicy), "is valid, but no Service Auth policy"),
            (403, vec![], &form, Some(TOKEN), Some(Failure::AccessForbidden), "(application 0123"),
            (403, vec![("cf-access-error", "x".to_owned())], "", Some(TOKEN), Some(Failure::AccessForbidden), "gives no reason"),
            // A redirect that says nothing of the token.
            (302, vec![("location", "https://acme.cloudflareaccess.com/cdn-cgi/access/login/x?meta=garbage".to_owned())], "", Some(TOKEN), Some(Failure::AccessForbidden), "gives no reason"),
            (307, vec![("location", "/cdn-cgi/access/login/x".to_owned())], "", None, Some(Failure::AccessCredentials), "carried no service token"),
            // The sign-in page itself, where somebody followed the redirect.
            (200, vec![], "<title>Sign in ・ Cloudflare Access</title>", None, Some(Failure::AccessCredentials), "carried no service token"),
            // The server's own refusals.
            (401, vec![], "Unauthorized: missing Cf-Access-Jwt-Assertion", Some(TOKEN), None, ""),
            (403, vec![], "Invalid token", Some(TOKEN), None, ""),
            (401, vec![("www-authenticate", r#"Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource""#.to_owned())], "", Some(TOKEN), None, ""),
            (401, vec![("www-authenticate", r#"Bearer resource_metadata="https://other.example.com/.well-known/cloudflare-access-protected-resource""#.to_owned())], "", Some(TOKEN), None, ""),
            (302, vec![("location", "https://other.example.com/login".to_owned())], "", Some(TOKEN), None, ""),
            (404, vec![aud()], "", Some(TOKEN), None, ""),
        ];
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        for (status, headers, body, token, cause, part) in rows {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    (name.parse::<http::HeaderName>().expect("a name"), value.parse().expect("a value"))
                })
                .collect();
            let location =
                map.get("location").map(|target| url.join(target.to_str().expect("ASCII")).expect("a URL"));
            let facts = Refused {
                status,
                headers: &map,
                location: location.as_ref(),
                body,
                token,
                sends_access_token: false,
            };
            let why = explain(&url, &facts);
            let case = format!("{status} {headers:?} {body} {token:?}: {why:?}");
            assert_eq!(why.as_ref().map(|why| why.cause), cause, "{case}");
            if let Some(why) = why {
                assert!(why.sentence.contains(part) && why.sentence.contains("mcp.example.com"), "{case}");
                assert_eq!(why.status, Some(status), "{case}");
                assert!(why.advice.is_some_and(|advice| !advice.is_empty()), "{case}");
            }
        }
    }

    #[test]
    fn an_access_token_that_is_no_service_token_is_named_as_one() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let headers = HeaderMap::new();
        let target = Url::parse(&sign_in("{}")).expect("a URL");
        let facts = Refused {
            status: 302,
            headers: &headers,
            location: Some(&target),
            body: "",
            token: None,
            sends_access_token: true,
        };
        let why = explain(&url, &facts).expect("Access");
        assert_eq!(why.cause, Failure::AccessToken);
        assert!(why.sentence.contains("did not accept the Access token"), "{why}");
    }
}
