//! Responses during a sign-in that Cloudflare Access or Cloudflare's edge gave in the place of the server or the authorization
//! server. `diagnosis` recognizes and explains them; here the explanation gets the address that the sign-in asked for.

use url::Url;

use crate::bridge::ErrorReport;
use crate::diagnosis::{self, RefusalFacts, Token};
use crate::json;
use crate::oauth::http::{OAuthHttp, OAuthResponse};
use crate::oauth::sign_in_error::{SignInError, foreign, place};
use crate::redact;

/// The hosts of Access's own authorization servers.
const ACCESS_HOSTS: &str = ".cloudflareaccess.com";
/// Where documents are that describe a sign-in.
const WELL_KNOWN: &str = "/.well-known/";

impl OAuthHttp<'_> {
    /// The error for a response that Cloudflare's edge or Access gave; none if it is, or may be, the server's own.
    pub(in crate::oauth) fn intercepted(&self, url: &Url, answer: &OAuthResponse) -> Option<SignInError> {
        self.with_facts(url, answer, |facts| {
            if is_of_authorization_server(facts) {
                return None;
            }
            let report = diagnosis::intercepted(url, facts)?;
            let is_access_itself = url.host_str().is_some_and(|host| host.ends_with(ACCESS_HOSTS));
            (!is_access_itself || !report.cause.is_of_access()).then(|| explained(url, report))
        })
    }

    /// The same for the response to a message at the server itself: none, too, where a sign-in can resolve it.
    pub(in crate::oauth) fn refused_entry(&self, answer: &OAuthResponse) -> Option<SignInError> {
        let url = self.server;
        let invites = self.with_facts(url, answer, |facts| diagnosis::sign_in(url, facts).is_some());
        if invites { None } else { self.intercepted(url, answer) }
    }

    fn with_facts<T>(
        &self,
        url: &Url,
        answer: &OAuthResponse,
        look: impl FnOnce(&RefusalFacts<'_>) -> T,
    ) -> T {
        let location = answer.headers.get(http::header::LOCATION);
        let location = location.and_then(|value| url.join(value.to_str().ok()?).ok());
        let body = redact::foreign_lines(&answer.body);
        // They are sent to the server's own origin alone.
        let sent = (url.origin() == self.server.origin()).then_some(self.credentials);
        let token = sent.and_then(|sent| sent.service_token()).map(|token| Token {
            id: token.id(),
            secret: token.shown(),
            oddity: token.oddity(),
            header: token.header(),
        });
        look(&RefusalFacts {
            location: location.as_ref().filter(|_| (300..400).contains(&answer.status)),
            body: &body,
            token,
            sends_access_token: sent.is_some_and(|sent| sent.sends_access_token()),
            ..RefusalFacts::of(answer.status, &answer.headers)
        })
    }
}

/// Returns whether an answer is a success with JSON, or an error in the words of OAuth. Access's own challenge is written in
/// those as well, and names a document.
fn is_of_authorization_server(facts: &RefusalFacts<'_>) -> bool {
    if facts.headers.contains_key("cf-mitigated") {
        return false;
    }
    match facts.status {
        200..=299 => facts.body.trim_start().starts_with('{'),
        _ => {
            json::member(facts.body, "error").and_then(json::string).is_some()
                && json::member(facts.body, "resource_metadata").is_none()
        }
    }
}

/// The explanation with the address that the sign-in asked for.
fn explained(url: &Url, report: ErrorReport) -> SignInError {
    let sentence = format!("{}; the sign-in had asked for {}", report.sentence, place(url));
    let advice = report.advice.unwrap_or_default();
    let host = diagnosis::place(url);
    let advice = match report.cause.is_of_access() {
        true if url.path().starts_with(WELL_KNOWN) => format!(
            "except {host}{} from Access, best with all of {host}{WELL_KNOWN}: an application for that path with a Bypass policy; \
             or {advice}",
            url.path()
        ),
        true => format!(
            "except {host}{} from Access: an application for that path with a Bypass policy; or {advice}",
            url.path()
        ),
        false => advice,
    };
    let harmless = |reference: Option<String>| reference.filter(|text| !redact::repeats_secret(text));
    SignInError::Intercepted(Box::new(ErrorReport {
        sentence: redact::foreign(&sentence),
        advice: Some(redact::foreign(&advice)),
        // A page says no more than the sentence.
        body: None,
        ray: harmless(report.ray),
        correlation_id: harmless(report.correlation_id),
        request_id: harmless(report.request_id),
        cause: report.cause,
        status: report.status,
    }))
}

/// The error for a host that cannot be reached.
pub(in crate::oauth) fn unreachable(url: &Url, error: &crate::http::TransportError) -> SignInError {
    let report = diagnosis::transport(url, error);
    let sentence =
        format!("{}, where one signs in, cannot be reached: {}", place(url), foreign(&report.sentence));
    let advice = report.advice.as_deref().map(foreign).unwrap_or_default();
    SignInError::failed(sentence, format!("{advice}; then try again"))
}
