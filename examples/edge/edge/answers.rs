//! How the answers of Access look: the redirect, the refusals, and the two documents anybody may ask for.
//!
//! Apart from `access` because looks change without the decision. Where Cloudflare documents a header or a body it is
//! used; the body of 401, that `Accept` chooses between JSON and HTML, and the value of `cf-access-error` are guesses,
//! which is why the forms can be chosen (`settings::Form`).
//!
//! Deliberately not here: any decision.

use axum::Json;
use axum::extract::Request;
use axum::http::header::{ACCEPT, HOST, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;
use url::form_urlencoded;

use super::access::{Application, visible};
use super::settings::{Form, Settings};
use super::token;

const PROTECTED_RESOURCE: &str = "/.well-known/cloudflare-access-protected-resource";

/// Redirects to the team's sign-in page; `meta` tells whether a token came that Access knows.
pub(super) fn sign_in(
    application: &Application,
    settings: &Settings,
    request: &Request,
    token_known: bool,
) -> Response {
    let (host, path) = (host(request.headers()), request.uri().path());
    let hostname = hostname(host);
    if matches!(settings.form, Form::Bare | Form::Silent) {
        let location = format!("{}/cdn-cgi/access/login/{hostname}", application.team.url());
        return (StatusCode::FOUND, [(LOCATION, visible(&location))]).into_response();
    }
    let now = jsonwebtoken::get_current_timestamp();
    let mut meta = json!({
        "type": "meta", "aud": application.audience, "iss": application.team.url(), "iat": now, "exp": now + 300,
        "hostname": hostname, "redirect_url": path, "service_token_status": token_known, "auth_status": "NONE",
    });
    if token_known {
        // The token's own id in the dashboard, which the client never sees elsewhere.
        meta["service_token_id"] = token::hex(32).into();
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("kid", &application.audience)
        .append_pair("meta", &application.team.sign(&meta))
        .append_pair("redirect_url", path)
        .finish();
    let location = format!("{}/cdn-cgi/access/login/{hostname}?{query}", application.team.url());
    let challenge = format!("Cloudflare-Access resource_metadata=\"{}\"", document(request));
    let cookie = format!("CF_AppSession={}; Path=/; Secure; HttpOnly", token::hex(16));
    let headers = [
        (LOCATION, visible(&location)),
        (WWW_AUTHENTICATE, visible(&challenge)),
        (SET_COOKIE, visible(&cookie)),
    ];
    (StatusCode::FOUND, headers, Html(page("302 Found", "<h1>302 Found</h1>"))).into_response()
}

/// The challenge of Managed OAuth, which is the same whether there was no token or a wrong one.
pub(super) fn challenge(settings: &Settings, request: &Request) -> Response {
    let (document, sentence) = (document(request), "Missing or invalid access token");
    let challenge = format!(
        "Bearer realm=\"OAuth\", error=\"invalid_token\", error_description=\"{sentence}\", resource_metadata=\"{document}\""
    );
    let body = match settings.form {
        Form::Bare | Form::Silent => ().into_response(),
        Form::ByAccept | Form::Json | Form::Html | Form::Text => Json(json!({
            "error": "invalid_token", "error_description": sentence, "resource_metadata": document,
        }))
        .into_response(),
    };
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, visible(&challenge))], body).into_response()
}

/// The hard 403 of an application that no person could sign in to.
pub(super) fn forbidden(application: &Application, settings: &Settings, headers: &HeaderMap) -> Response {
    let sentence =
        "Forbidden. You don't have permission to view this. Please contact your system administrator.";
    refusal(application, settings, headers, StatusCode::FORBIDDEN, "Forbidden", sentence)
}

/// The 401 of the strict mode for a token that is not accepted.
pub(super) fn unauthorized(application: &Application, settings: &Settings, headers: &HeaderMap) -> Response {
    let sentence = "Unauthorized. The service token is not valid.";
    refusal(application, settings, headers, StatusCode::UNAUTHORIZED, "Error", sentence)
}

fn refusal(
    application: &Application,
    settings: &Settings,
    headers: &HeaderMap,
    status: StatusCode,
    title: &str,
    sentence: &str,
) -> Response {
    let ray = ray();
    let domain = visible(hostname(host(headers)));
    let marks = [
        ("cf-access-aud", visible(&application.audience)),
        ("cf-access-domain", domain.clone()),
        ("cf-ray", visible(&ray)),
    ];
    match form(settings.form, headers) {
        Form::Json => {
            let body = json!({
                "message": sentence, "status_code": status.as_u16(), "aud": application.audience, "ray_id": ray,
            });
            (status, marks, Json(body)).into_response()
        }
        Form::ByAccept | Form::Html => {
            let title = format!("{title} ・ Cloudflare Access");
            (status, marks, Html(page(&title, &format!("<p>{sentence}</p><p>Ray ID: {ray}</p>"))))
                .into_response()
        }
        Form::Text => {
            let marks = [("cf-access-error", visible("no_matching_policy")), ("cf-ray", visible(&ray))];
            (status, marks, sentence.to_owned()).into_response()
        }
        Form::Bare => (status, [("cf-access-domain", domain)]).into_response(),
        Form::Silent => status.into_response(),
    }
}

/// The form that is wanted, or that the one who asks accepts.
pub(super) fn form(wanted: Form, headers: &HeaderMap) -> Form {
    let accepts_json = headers
        .get_all(ACCEPT)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.contains("application/json")));
    match wanted {
        Form::ByAccept if accepts_json => Form::Json,
        Form::ByAccept => Form::Html,
        form => form,
    }
}

/// The sign-in page.
pub(super) fn sign_in_page() -> Response {
    let page = page("Sign in ・ Cloudflare Access", "<p>Get a login code emailed to you</p>");
    ([("cf-access-domain", "127.0.0.1")], Html(page)).into_response()
}

/// Answers the document that names the team and the ways to authenticate, which needs no credential.
pub(super) fn protected_resource(
    application: &Application,
    settings: &Settings,
    request: &Request,
) -> Option<Response> {
    let path = request.uri().path().strip_prefix(PROTECTED_RESOURCE)?;
    let mut body = json!({
        "resource": match settings.is_published_as_origin {
            true => format!("http://{}/", host(request.headers())),
            false => format!("http://{}{path}", host(request.headers())),
        },
        "protected": true,
        "team_domain": domain(application),
        "authentication_methods": [{ "name": "cloudflared" }],
    });
    if settings.managed_oauth {
        body["authorization_servers"] = json!([application.team.url()]);
        body["authentication_methods"] = json!([{ "name": "cloudflared" }, { "name": "oauth" }]);
    }
    Some(Json(body).into_response())
}

/// Where that document is for what a request asks for.
fn document(request: &Request) -> String {
    format!("http://{}{PROTECTED_RESOURCE}{}", host(request.headers()), request.uri().path())
}

/// The signed description of the application for those who ask with `cf-access-metadata-request`.
pub(super) fn metadata(application: &Application, request: &Request) -> Option<String> {
    request.headers().get("cf-access-metadata-request")?;
    let hostname = hostname(host(request.headers()));
    Some(application.team.sign(&json!({
        "type": "match", "hostname": hostname, "app_hostname": hostname, "auth_domain": domain(application),
        "aud": application.audience, "iat": jsonwebtoken::get_current_timestamp(),
    })))
}

fn domain(application: &Application) -> &str {
    application.team.url().trim_start_matches("http://")
}

/// The host that a request names.
pub(super) fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1")
}

fn hostname(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(hostname, _port)| hostname)
}

/// A small HTML page.
pub(super) fn page(title: &str, body: &str) -> String {
    format!("<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body>{body}</body></html>\n")
}

/// Adds what Cloudflare adds to every answer.
pub(super) fn stamp(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert("server", visible("cloudflare"));
    headers.entry("cf-ray").or_insert_with(|| visible(&ray()));
    response
}

/// A made-up ray.
pub(super) fn ray() -> String {
    format!("{}-TST", token::hex(16))
}
