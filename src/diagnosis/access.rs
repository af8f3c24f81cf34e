//! Recognizes the refusals of Cloudflare Access and explains them.
//!
//! Access refuses in several forms: a redirect to its sign-in page whose `meta` says whether the token is valid, a 401 for
//! programs, a bare 403. If a form is not documented, every variant that was seen is accepted. Pure. Deliberately not here:
//! refusals by Cloudflare before and behind Access (`cloudflare`).

use url::Url;

use super::{RefusalFacts, place, title};
use crate::bridge::{ErrorKind, ErrorReport};
use crate::http::www_authenticate::challenges;
use crate::json;
use crate::jwt;
use crate::redact;

/// The path of the document by which Access names itself in a challenge.
const METADATA: &str = "/.well-known/cloudflare-access-protected-resource";
/// The path of the pages of Access.
const PAGES: &str = "/cdn-cgi/access/";

/// The service token that was sent, as it may be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its client id, which is no secret.
    pub id: &'a str,
    /// Enough of the secret to recognise it by, and its length.
    pub secret: &'a str,
    /// The fault of its form, as a verb.
    pub oddity: Option<&'a str>,
    /// The one header that carried both halves, where it was not the usual pair.
    pub header: Option<&'a str>,
}

/// The server that offers a sign-in in a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// Cloudflare Access, as the document at this address describes. The document says whether Managed OAuth is on.
    Access(Url),
    /// The server itself, by its own challenge.
    Server,
}

/// Returns the sign-in that a refusal offers, if it does.
///
/// A challenge by Access does not count if a service token or an Access token was sent, because a sign-in would hide that
/// the credential is refused. The server's own 401 behind Access counts.
pub fn sign_in(url: &Url, facts: &RefusalFacts<'_>) -> Option<SignIn> {
    match decision(url, facts) {
        Some(_) if facts.token.is_some() || facts.sends_access_token => None,
        Some(decision) => decision.document.map(SignIn::Access),
        None => (facts.status == 401).then_some(SignIn::Server),
    }
}

/// The contents of a refusal by Access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AccessDecision {
    /// The host that signs users in.
    team: Option<String>,
    /// The application's audience tag, by which it is found in the dashboard.
    application: Option<String>,
    /// Whether the service token is valid, where the redirect says so.
    token_is_valid: Option<bool>,
    /// Whether this is the challenge of Managed OAuth.
    is_oauth: bool,
    /// The document in which Access describes the sign-in.
    document: Option<Url>,
    /// The reason that Access states.
    error: Option<String>,
}

/// Explains a refusal by Access; none if it is not one.
pub(super) fn explain(url: &Url, facts: &RefusalFacts<'_>) -> Option<ErrorReport> {
    let decision = decision(url, facts)?;
    let status = facts.status;
    let place = place(url);
    // Enough of the tag to distinguish applications in the dashboard. A tag that repeats a secret is not shown.
    let tag = decision.application.as_ref().filter(|tag| !redact::repeats_secret(tag));
    let tag = tag.map(|tag| tag.chars().take(12).chain(['…']).collect::<String>());
    let application = match (&decision.team, &tag) {
        (Some(team), Some(application)) => format!(" (team {team}, application {application})"),
        (Some(team), None) => format!(" (team {team})"),
        (None, Some(application)) => format!(" (application {application})"),
        (None, None) => String::new(),
    };
    let error = decision.error.as_ref().map(|error| format!(", \"{error}\"")).unwrap_or_default();
    let status_and_error = format!("{status}{error}");
    let set = "set CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET in the environment or in the \"env\" of this server's entry";
    let (cause, sentence, advice) = match (facts.token, decision.token_is_valid) {
        (None, _) if facts.sends_access_token => (
            ErrorKind::AccessToken,
            format!("Cloudflare Access in front of {place}{application} rejected the Access token that was sent ({status_and_error})"),
            "get a new token: this one has expired, or is for another application".to_owned(),
        ),
        (None, _) => (
            ErrorKind::AccessCredentials,
            format!("{place} is protected by Cloudflare Access{application}, and this request carried no service token ({status_and_error})"),
            match decision.admits_users(status) {
                _ if decision.is_oauth && facts.login.is_some() => {
                    format!("sign in: {}; or {set}", facts.login.unwrap_or_default())
                }
                true => format!("{set}, or use your own account with --access-token-command 'cloudflared access token --app={}'", super::origin_and_path(url)),
                false => set.to_owned(),
            },
        ),
        (Some(token), Some(true)) => (
            ErrorKind::AccessPolicy,
            format!("the service token {} is valid, but no Service Auth policy of the application in front of {place}{application} includes it ({status_and_error})", token.id),
            "add a policy with the action Service Auth (not Allow) to that application, Include > Service Token".to_owned(),
        ),
        (Some(token), Some(false)) => refused_token(&place, &application, &status_and_error, &token),
        (Some(token), None) if decision.is_oauth => (
            ErrorKind::AccessHidden,
            format!("Cloudflare Access in front of {place}{application} answered with an OAuth challenge although the service token {} was sent, and does not say why ({status_and_error})", token.id),
            format!("{}; or add a Service Auth policy that includes the token to the application", not_accepted(&token)),
        ),
        (Some(token), None) if status == 401 => refused_token(&place, &application, &status_and_error, &token),
        (Some(token), None) => (
            ErrorKind::AccessForbidden,
            format!("Cloudflare Access in front of {place}{application} refused the service token {} and gives no reason ({status_and_error})", token.id),
            format!("add a policy with the action Service Auth (not Allow) that includes the token; or, if there is one, {}", not_accepted(&token)),
        ),
    };
    Some(ErrorReport::new(cause, sentence, advice).with_status(status))
}

fn refused_token(
    place: &str,
    application: &str,
    status: &str,
    token: &Token<'_>,
) -> (ErrorKind, String, String) {
    let sentence = format!(
        "Cloudflare Access in front of {place}{application} rejected the service token {} (secret {}) ({status})",
        token.id, token.secret
    );
    let advice = format!(
        "{}; Refresh extends an expired token and keeps its secret, Rotate makes a new secret",
        not_accepted(token)
    );
    (ErrorKind::AccessToken, sentence, advice)
}

fn not_accepted(token: &Token<'_>) -> String {
    let check = "check the token under Zero Trust > Access controls > Service credentials";
    let reasons = match token.oddity {
        Some(oddity) => format!("copy the secret again, because it {oddity}; or {check}"),
        None => {
            format!(
                "{check}: its form is right, but it may be mistyped, expired, rotated, disabled, deleted or of another account"
            )
        }
    };
    match token.header {
        Some(header) => {
            format!(
                "{reasons}; or have the application read tokens from the header {header}, in which the token was sent"
            )
        }
        None => reasons,
    }
}

impl AccessDecision {
    /// Returns whether a policy admits users: without one the answer is a 403.
    fn admits_users(&self, status: u16) -> bool {
        status != 403 || self.document.is_some()
    }
}

/// The decision of Access, if the answer is one.
#[inline(never)] // asked twice of a refusal
fn decision(url: &Url, facts: &RefusalFacts<'_>) -> Option<AccessDecision> {
    let mut decision = AccessDecision::default();
    let mut is_access = false;
    if let Some(target) = facts.location.filter(|target| is_sign_in(target)) {
        is_access = true;
        let query = |name: &str| target.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
        decision.team = Some(super::place(target));
        decision.application = query("kid").map(|value| value.into_owned()).filter(|kid| is_tag(kid));
        decision.token_is_valid = query("meta").and_then(|meta| token_status(&meta));
    }
    let own_document = |address: &str| {
        let document = url.join(address).ok()?;
        (document.origin() == url.origin() && document.path().starts_with(METADATA)).then_some(document)
    };
    for challenge in challenges(facts.headers) {
        let names_itself = challenge.is_scheme("Cloudflare-Access");
        let document = challenge.parameter("resource_metadata").and_then(own_document);
        is_access |= names_itself || document.is_some();
        decision.is_oauth |= document.is_some() && !names_itself;
        decision.document = decision.document.or(document);
    }
    let is_page = facts.media_type().is_some_and(|media_type| media_type.contains("html"));
    if matches!(facts.status, 401 | 403) || facts.status == 200 && is_page {
        for name in ["cf-access-aud", "cf-access-domain", "cf-access-error"] {
            is_access |= facts.header(name).is_some();
        }
    }
    if matches!(facts.status, 401 | 403) {
        let member = |name| json::member(facts.body, name).and_then(json::string);
        // The body of the challenge repeats what its header says.
        if let Some(document) = member("resource_metadata").and_then(|address| own_document(&address)) {
            is_access = true;
            decision.is_oauth |= facts.status == 401;
            decision.document = decision.document.or(Some(document));
        }
        // The form for programs has the ray in it, and the application's tag or its own name for the status.
        let tag = member("aud");
        if member("ray_id").is_some() && (tag.is_some() || json::member(facts.body, "status_code").is_some())
        {
            is_access = true;
            decision.application = decision.application.or(tag.filter(|tag| is_tag(tag)));
        }
    }
    let tag = facts.header("cf-access-aud").filter(|tag| is_tag(tag)).map(str::to_owned);
    decision.application = decision.application.or(tag);
    let is_harmless = |error: &&str| {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b" _-.".contains(&byte);
        (1..=60).contains(&error.len()) && error.bytes().all(is_word)
    };
    decision.error = facts.header("cf-access-error").filter(is_harmless).map(str::to_owned);
    is_access |= title(facts.body).is_some_and(|title| title.trim_end().ends_with("Cloudflare Access"));
    is_access.then_some(decision)
}

/// Returns whether an address belongs to the sign-in of Access.
fn is_sign_in(target: &Url) -> bool {
    target.host_str().is_some_and(|host| host.ends_with(".cloudflareaccess.com"))
        || target.path().starts_with(PAGES)
}

/// Returns whether the token is valid, by the unsigned middle part of the redirect's `meta`.
fn token_status(meta: &str) -> Option<bool> {
    let payload = jwt::payload(meta)?;
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

/// Returns whether a text is an audience tag, which is hexadecimal. Other foreign text is not repeated.
fn is_tag(text: &str) -> bool {
    (8..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use http::HeaderMap;

    use super::*;

    const TAG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const METADATA_HERE: &str =
        "https://mcp.example.com/.well-known/cloudflare-access-protected-resource/mcp";
    const TOKEN: Token<'_> =
        Token { id: "0a1b.access", secret: "cfast_…ee42 (54 characters)", oddity: None, header: None };

    fn meta(payload: &str) -> String {
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(payload))
    }

    fn sign_in_page(payload: &str) -> String {
        format!(
            "https://acme.cloudflareaccess.com/cdn-cgi/access/login/mcp.example.com?kid={TAG}&meta={}&redirect_url=%2Fmcp",
            meta(payload)
        )
    }

    /// A row: status, headers, body, whether a token was sent, the cause and a part of the sentence.
    type Row<'a> = (u16, Vec<(&'static str, String)>, &'a str, Option<Token<'a>>, Option<ErrorKind>, &'a str);

    #[test]
    fn explains_every_form_of_access_refusal() {
        let own =
            |scheme: &str| ("www-authenticate", format!(r#"{scheme} resource_metadata="{METADATA_HERE}""#));
        let aud = || ("cf-access-aud", TAG.to_owned());
        let page = "<html><head><title>Forbidden ・ Cloudflare Access</title></head></html>";
        let form = format!(
            r#"{{"message":"Forbidden. You don't have permission to view this.","status_code":403,"aud":"{TAG}","ray_id":"8f00"}}"#
        );
        let oauth = || own(r#"Bearer realm="OAuth", error="invalid_token","#);
        let challenge_body = format!(r#"{{"error":"invalid_token","resource_metadata":"{METADATA_HERE}"}}"#);
        let odd = Token { oddity: Some("has 12 characters"), ..TOKEN };
        let rows: Vec<Row<'_>> = vec![
            // No credentials.
            (302, vec![("location", sign_in_page("{}"))], "", None, Some(ErrorKind::AccessCredentials), "carried no service token"),
            (302, vec![("location", sign_in_page("{}")), own("Cloudflare-Access")], "", None, Some(ErrorKind::AccessCredentials), "(team acme.cloudflareaccess.com, application 0123"),
            (401, vec![oauth()], "{}", None, Some(ErrorKind::AccessCredentials), "carried no service token"),
            (403, vec![aud()], page, None, Some(ErrorKind::AccessCredentials), "carried no service token"),
            // Wrong, unknown, expired, disabled, deleted, swapped.
            (302, vec![("location", sign_in_page(r#"{"service_token_status":false}"#))], "", Some(TOKEN), Some(ErrorKind::AccessToken), "rejected the service token 0a1b.access (secret cfast_…ee42 (54 characters))"),
            (302, vec![("location", sign_in_page(r#"{"auth_status":"SERVICE_TOKEN_INVALID"}"#))], "", Some(TOKEN), Some(ErrorKind::AccessToken), "rejected the service token"),
            (401, vec![oauth()], "{}", Some(TOKEN), Some(ErrorKind::AccessHidden), "does not say why"),
            (403, vec![aud()], page, Some(TOKEN), Some(ErrorKind::AccessForbidden), "gives no reason"),
            (401, vec![aud()], "", Some(TOKEN), Some(ErrorKind::AccessToken), "rejected the service token"),
            (401, vec![("cf-access-domain", "mcp.example.com".to_owned())], "", Some(odd), Some(ErrorKind::AccessToken), "rejected the service token"),
            (401, vec![own("Cloudflare-Access")], "", Some(TOKEN), Some(ErrorKind::AccessToken), "rejected the service token"),
            // Valid, but no policy includes it.
            (302, vec![("location", sign_in_page(r#"{"service_token_status":true,"service_token_id":"x"}"#))], "", Some(TOKEN), Some(ErrorKind::AccessPolicy), "is valid, but no Service Auth policy"),
            (403, vec![], &form, Some(TOKEN), Some(ErrorKind::AccessForbidden), "(application 0123"),
            (403, vec![("cf-access-error", "no_policy".to_owned())], "", Some(TOKEN), Some(ErrorKind::AccessForbidden), "gives no reason (403, \"no_policy\")"),
            (403, vec![("cf-access-error", "<b>".to_owned())], "", Some(TOKEN), Some(ErrorKind::AccessForbidden), "gives no reason (403)"),
            (403, vec![], r#"{"message":"Forbidden.","status_code":403,"ray_id":"8f00"}"#, Some(TOKEN), Some(ErrorKind::AccessForbidden), "gives no reason"),
            // A page for every status, whatever its headers.
            (401, vec![], "<title>Error ・ Cloudflare Access</title>", Some(TOKEN), Some(ErrorKind::AccessToken), "rejected the service token"),
            (403, vec![], page, Some(TOKEN), Some(ErrorKind::AccessForbidden), "gives no reason"),
            // The challenge in the body alone, or written otherwise.
            (401, vec![], &challenge_body, Some(TOKEN), Some(ErrorKind::AccessHidden), "does not say why"),
            (401, vec![], &challenge_body, None, Some(ErrorKind::AccessCredentials), "carried no service token"),
            (302, vec![("www-authenticate", "cloudflare-access".to_owned())], "", Some(TOKEN), Some(ErrorKind::AccessForbidden), "gives no reason"),
            (401, vec![("www-authenticate", format!("Bearer resource_metadata={METADATA_HERE}, realm=\"OAuth\""))], "", Some(TOKEN), Some(ErrorKind::AccessHidden), "does not say why"),
            // A redirect that says nothing of the token.
            (302, vec![("location", "https://acme.cloudflareaccess.com/cdn-cgi/access/login/x?meta=garbage".to_owned())], "", Some(TOKEN), Some(ErrorKind::AccessForbidden), "gives no reason"),
            (307, vec![("location", "/cdn-cgi/access/login/x".to_owned())], "", None, Some(ErrorKind::AccessCredentials), "carried no service token"),
            // The sign-in page itself, where somebody followed the redirect.
            (200, vec![], "<title>Sign in ・ Cloudflare Access</title>", None, Some(ErrorKind::AccessCredentials), "carried no service token"),
            (200, vec![("content-type", "text/html".to_owned()), ("cf-access-domain", "x".to_owned())], "", Some(TOKEN), Some(ErrorKind::AccessForbidden), "gives no reason (200)"),
            (200, vec![("content-type", "text/html".to_owned())], "<title>Welcome</title>", Some(TOKEN), None, ""),
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
            let facts = RefusalFacts {
                status,
                headers: &map,
                location: location.as_ref(),
                body,
                token,
                sends_access_token: false,
                login: None,
            };
            let report = explain(&url, &facts);
            let case = format!("{status} {headers:?} {body} {token:?}: {report:?}");
            assert_eq!(report.as_ref().map(|report| report.cause), cause, "{case}");
            if let Some(report) = report {
                assert!(
                    report.sentence.contains(part) && report.sentence.contains("mcp.example.com"),
                    "{case}"
                );
                assert_eq!(report.status, Some(status), "{case}");
                assert!(report.advice.is_some_and(|advice| !advice.is_empty()), "{case}");
            }
        }
    }

    #[test]
    fn names_rejected_access_token() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let headers = HeaderMap::new();
        let target = Url::parse(&sign_in_page("{}")).expect("a URL");
        let facts = RefusalFacts {
            status: 302,
            headers: &headers,
            location: Some(&target),
            body: "",
            token: None,
            sends_access_token: true,
            login: None,
        };
        let report = explain(&url, &facts).expect("Access");
        assert_eq!(report.cause, ErrorKind::AccessToken);
        assert!(report.sentence.contains("rejected the Access token"), "{report}");
    }

    #[test]
    fn remedy_names_available_credentials() {
        let url = Url::parse("https://mcp.example.com/mcp?key=marked").expect("a URL");
        let advice = |status: u16, header: Option<(&'static str, String)>, token: Option<Token<'_>>| {
            let headers: HeaderMap = header
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
                .into_iter()
                .collect();
            let location =
                headers.get("location").map(|at| url.join(at.to_str().expect("ASCII")).expect("a URL"));
            let facts =
                RefusalFacts { location: location.as_ref(), token, ..RefusalFacts::of(status, &headers) };
            explain(&url, &facts).expect("Access").advice.expect("an advice")
        };
        let redirect = || Some(("location", sign_in_page("{}")));
        let forbidden = || Some(("cf-access-aud", TAG.to_owned()));
        let app = "--access-token-command 'cloudflared access token --app=https://mcp.example.com/mcp'";
        assert!(advice(302, redirect(), None).ends_with(app));
        assert!(!advice(403, forbidden(), None).contains("cloudflared"), "nobody could sign in there");
        assert!(advice(401, forbidden(), Some(TOKEN)).contains("its form is right"));
        let single = Token { header: Some("authorization"), ..TOKEN };
        assert!(
            advice(401, forbidden(), Some(single))
                .contains("have the application read tokens from the header authorization")
        );
    }

    #[test]
    fn access_offers_sign_in_only_without_credential() {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let document = Some(SignIn::Access(Url::parse(METADATA_HERE).expect("a URL")));
        let own = format!(r#"Cloudflare-Access resource_metadata="{METADATA_HERE}""#);
        let oauth = format!(r#"Bearer realm="OAuth", resource_metadata="{METADATA_HERE}""#);
        let server =
            "Bearer resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource\"";
        for (status, challenge, token, sends_access_token, expected) in [
            (302, own.as_str(), None, false, document.clone()),
            (401, &oauth, None, false, document),
            (302, &own, Some(TOKEN), false, None),
            (401, &oauth, Some(TOKEN), false, None),
            (401, &oauth, None, true, None),
            (403, "Cloudflare-Access", None, false, None),
            (401, server, None, false, Some(SignIn::Server)),
            (401, server, Some(TOKEN), false, Some(SignIn::Server)),
            (403, server, None, false, None),
        ] {
            let headers: HeaderMap =
                [(http::header::WWW_AUTHENTICATE, challenge.parse().expect("a value"))].into_iter().collect();
            let facts = RefusalFacts { token, sends_access_token, ..RefusalFacts::of(status, &headers) };
            assert_eq!(sign_in(&url, &facts), expected, "{status} {challenge} {token:?}");
        }
    }
}
