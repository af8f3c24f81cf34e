//! Error responses of an authorization server's endpoints: RFC 6749, section 5.2, RFC 7591, section 3.2.2, and the forms of
//! vendors.

use crate::http::www_authenticate::DpopError;
use crate::json;
use crate::oauth::http::OAuthResponse;
use crate::oauth::object::Object;
use crate::oauth::sign_in_error::foreign;

/// Token types that are presented in another way than as `Bearer`: with a proof of a key (RFC 9449, RFC 7800), or signed.
const NOT_BEARER: [&str; 3] = ["dpop", "pop", "mac"];
/// How much of an answer without known members is read as words, in bytes.
const WORDS: usize = 1024;

/// An error response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::oauth) struct ErrorResponse {
    /// The HTTP status, which may be 200.
    pub(in crate::oauth) status: u16,
    /// The error's code; empty where there is none.
    pub(in crate::oauth) error: String,
    /// Its description.
    pub(in crate::oauth) error_description: Option<String>,
}

impl ErrorResponse {
    /// Reads a response. None for a success without an error, and for a refusal without a text.
    pub(in crate::oauth) fn read(answer: &OAuthResponse) -> Option<ErrorResponse> {
        let members = members(answer);
        let status = answer.status;
        if let Some(object) = members.as_deref().and_then(Object::parse) {
            let text = |name: &str| object.text(name).filter(|text| !text.is_empty());
            let nested = object.object("error");
            let nested =
                |name: &str| nested.and_then(|error| error.text(name)).filter(|text| !text.is_empty());
            let error = text("error").or_else(|| text("errorCode"));
            let error =
                error.or_else(|| nested("type")).or_else(|| nested("status")).or_else(|| nested("code"));
            let words = text("error_description").or_else(|| nested("message"));
            let words = words.or_else(|| text("errorSummary")).or_else(|| text("error_message"));
            let is_error = error.is_some() || nested("message").is_some() || object.flag("ok") == Some(false);
            if answer.is_ok() && !is_error {
                return None;
            }
            let words =
                words.or_else(|| text("message")).or_else(|| text("detail")).or_else(|| text("title"));
            if error.is_none() && words.is_none() && !answer.is_ok() {
                return None;
            }
            return Some(ErrorResponse {
                status,
                error: error.unwrap_or_default(),
                error_description: words,
            });
        }
        let words = answer.body.trim();
        let is_said = is_final(status) && !words.is_empty() && !words.starts_with(['<', '{', '[']);
        is_said.then(|| ErrorResponse {
            status,
            error: String::new(),
            error_description: Some(words.get(..WORDS).unwrap_or(words).to_owned()),
        })
    }

    /// The refusal in words, ready to show.
    pub(in crate::oauth) fn words(&self) -> String {
        let description = self.error_description.as_deref().map(foreign).filter(|text| !text.is_empty());
        match (self.error.as_str(), description) {
            ("", Some(description)) => description,
            ("", None) => "it does not say why".to_owned(),
            (error, Some(description)) => format!("{} ({description})", foreign(error)),
            (error, None) => foreign(error),
        }
    }

    /// Returns whether the authorization server does not know the client, or has expired its registration.
    pub(in crate::oauth) fn is_about_client(&self) -> bool {
        matches!(self.error.as_str(), "invalid_client" | "unauthorized_client")
    }

    /// Returns whether it is about the name of the server (RFC 8707).
    pub(in crate::oauth) fn is_about_resource(&self) -> bool {
        is_about_resource(&self.error, self.error_description.as_deref())
    }

    /// Returns whether it is about the proof of a key (RFC 9449, 5 and 8), which says nothing about the grant.
    pub(in crate::oauth) fn is_about_proof(&self) -> bool {
        DpopError::from_code(&self.error).is_some()
    }

    /// Returns whether it is about the redirect URI.
    pub(in crate::oauth) fn is_about_redirect(&self) -> bool {
        is_about_redirect(&self.error, self.error_description.as_deref())
    }

    /// Returns whether the refusal is final: the code or the token is not valid, and sending it again does not help.
    pub(in crate::oauth) fn is_final(&self) -> bool {
        (200..300).contains(&self.status) || is_final(self.status)
    }
}

/// Returns whether a status is a decision, and neither a failure of the server nor a request to retry later.
pub(in crate::oauth) fn is_final(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 425 | 429)
}

/// Returns whether an error of a page or an endpoint is about the name of the server.
pub(in crate::oauth) fn is_about_resource(error: &str, description: Option<&str>) -> bool {
    matches!(error, "invalid_target" | "invalid_resource")
        || description.is_some_and(|text| {
            let text = text.to_ascii_lowercase();
            let is_refused = matches!(error, "invalid_request" | "invalid_scope" | "access_denied");
            is_refused && text.contains("resource") && !text.contains("resource owner")
        })
}

/// Returns whether an error of a page or an endpoint is about the redirect URI.
pub(in crate::oauth) fn is_about_redirect(error: &str, description: Option<&str>) -> bool {
    let names = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.contains("redirect") || text.contains("127.0.0.1") || text.contains("callback url")
    };
    names(error) || description.is_some_and(names)
}

/// Returns whether tokens of a type are sent as `Bearer`: all but those that say otherwise. Vendors have words of their own.
pub(in crate::oauth) fn is_bearer(token_type: &str) -> bool {
    let token_type = token_type.trim();
    let is_word = token_type.bytes().all(|byte| byte.is_ascii_graphic());
    is_word && !NOT_BEARER.iter().any(|other| token_type.eq_ignore_ascii_case(other))
}

/// The members of an answer as a JSON object. Some answer with a form, although JSON is asked for.
pub(in crate::oauth) fn members(answer: &OAuthResponse) -> Option<String> {
    let text = answer.body.trim_start_matches('\u{feff}');
    if Object::parse(text).is_some() {
        return Some(text.to_owned());
    }
    let text = text.trim();
    if text.starts_with(['<', '{', '[', '"']) || text.contains(char::is_whitespace) {
        return None;
    }
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.into_owned(), json::quoted(&value)))
        .collect();
    let is_known = |name: &str| matches!(name, "access_token" | "error" | "ok" | "device_code");
    let is_form = pairs.iter().any(|(name, _)| is_known(name));
    is_form.then(|| json::object(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> OAuthResponse {
        OAuthResponse { status, headers: HeaderMap::new(), body: body.to_owned() }
    }

    #[test]
    fn refusal_is_read_in_every_form() {
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_grant"}"#, Some("invalid_grant")),
            (400, r#"{"error":"x","error_description":"y z"}"#, Some("x (y z)")),
            (
                200,
                r#"{"error":"bad_refresh_token","error_description":"no"}"#,
                Some("bad_refresh_token (no)"),
            ),
            (200, r#"{"ok":false,"error":"invalid_code"}"#, Some("invalid_code")),
            (200, r#"{"ok":false}"#, Some("it does not say why")),
            (
                200,
                "error=redirect_uri_mismatch&error_description=MUST+match",
                Some("redirect_uri_mismatch (MUST match)"),
            ),
            (401, r#"{"message":"Unauthorized"}"#, Some("Unauthorized")),
            (400, r#"{"detail":"no"}"#, Some("no")),
            (400, r#"{"errorCode":"invalid_client","errorSummary":"no"}"#, Some("invalid_client (no)")),
            (400, r#"{"error":{"code":"C","message":"m"}}"#, Some("C (m)")),
            (403, "Forbidden\n", Some("Forbidden")),
            (403, "<html>", None),
            (500, "trace", None),
            (403, "", None),
            (403, "{}", None),
            (200, "{}", None),
            (200, r#"{"access_token":"a","error":null}"#, None),
            (200, r#"{"ok":true}"#, None),
            (200, "fine", None),
            (200, "<a href=error=x>", None),
        ] {
            let read = ErrorResponse::read(&answer(status, body)).map(|refusal| refusal.words());
            assert_eq!(read.as_deref(), expected, "{status} {body}");
        }
    }

    #[test]
    fn only_decisions_of_the_endpoint_are_final() {
        for (status, expected) in [
            (200, true),
            (400, true),
            (401, true),
            (403, true),
            (404, true),
            (422, true),
            (408, false),
            (425, false),
            (429, false),
            (302, false),
            (500, false),
            (503, false),
            (530, false),
        ] {
            assert_eq!(ErrorResponse { status, ..ErrorResponse::default() }.is_final(), expected, "{status}");
        }
    }

    #[test]
    fn only_types_with_a_proof_are_no_bearer() {
        for (kind, expected) in [
            ("bearer", true),
            ("BEARER", true),
            ("user", true),
            ("", true),
            ("DPoP", false),
            ("mac", false),
            ("PoP", false),
            (" dpop ", false),
            ("mac\r\nX: 1", false),
        ] {
            assert_eq!(is_bearer(kind), expected, "{kind}");
        }
    }

    #[test]
    fn refusal_of_resource_is_recognised() {
        for (error, description, expected) in [
            ("invalid_target", None, true),
            ("invalid_target", Some("AADSTS9010010: The resource parameter …"), true),
            (
                "invalid_request",
                Some("AADSTS901002: The 'resource' request parameter is not supported."),
                true,
            ),
            ("invalid_grant", Some("the resource"), false),
            ("access_denied", Some("The resource owner denied the request"), false),
            ("invalid_request", Some("refresh_token is invalid"), false),
        ] {
            assert_eq!(is_about_resource(error, description), expected, "{error} {description:?}");
        }
    }
}
