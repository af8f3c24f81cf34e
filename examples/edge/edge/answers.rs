//! How the answers of Access look: the redirect, the refusals, and the two documents anybody may ask for.
//!
//! Apart from `access` because looks change without the decision. Where Cloudflare documents a header or a body it is
//! used; the body of 401, and that `Accept` chooses between JSON and HTML, are guesses.
//!
//! Deliberately not here: any decision, and `cf-access-error`, whose values nobody has written down.

use axum::Json;
use axum::extract::Request;
use axum::http::header::{ACCEPT, HOST, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;
use url::form_urlencoded;

use super::access::{Application, visible};
use super::token;

const PROTECTED_RESOURCE: &str = "/.well-known/cloudflare-access-protected-resource";

/// Redirects to the team's sign-in page; `meta` tells whether a token came that Access knows.
pub(super) fn sign_in(application: &Application, request: &Request, token_known: bool) -> Response {
    let (host, path) = (host(request.headers()), request.uri().path());
    let hostname = hostname(host);
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
    let challenge =
        format!("Cloudflare-Access resource_metadata=\"http://{host}{PROTECTED_RESOURCE}{path}\"");
    let cookie = format!("CF_AppSession={}; Path=/; Secure; HttpOnly", token::hex(16));
    let headers = [
        (LOCATION, visible(&location)),
        (WWW_AUTHENTICATE, visible(&challenge)),
        (SET_COOKIE, visible(&cookie)),
    ];
    (StatusCode::FOUND, headers, Html(page("302 Found", "<h1>302 Found</h1>"))).into_response()
}

/// The hard 403 of an application that no person could sign in to.
pub(super) fn forbidden(application: &Application, headers: &HeaderMap) -> Response {
    let sentence =
        "Forbidden. You don't have permission to view this. Please contact your system administrator.";
    refusal(application, headers, StatusCode::FORBIDDEN, "Forbidden", sentence)
}

/// The 401 of the strict mode for a token that is not accepted.
pub(super) fn unauthorized(application: &Application, headers: &HeaderMap) -> Response {
    let sentence = "Unauthorized. The service token is not valid.";
    refusal(application, headers, StatusCode::UNAUTHORIZED, "Error", sentence)
}

fn refusal(
    application: &Application,
    headers: &HeaderMap,
    status: StatusCode,
    title: &str,
    sentence: &str,
) -> Response {
    let wants_json = headers
        .get_all(ACCEPT)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.contains("application/json")));
    let ray = ray();
    let marks = [
        ("cf-access-aud", visible(&application.audience)),
        ("cf-access-domain", visible(hostname(host(headers)))),
        ("cf-ray", visible(&ray)),
    ];
    if wants_json {
        let body = json!({
            "message": sentence, "status_code": status.as_u16(), "aud": application.audience, "ray_id": ray,
        });
        return (status, marks, Json(body)).into_response();
    }
    let title = format!("{title} ・ Cloudflare Access");
    (status, marks, Html(page(&title, &format!("<p>{sentence}</p><p>Ray ID: {ray}</p>")))).into_response()
}

/// Answers the document that names the team and the ways to authenticate, which needs no credential.
pub(super) fn protected_resource(application: &Application, request: &Request) -> Option<Response> {
    let path = request.uri().path().strip_prefix(PROTECTED_RESOURCE)?;
    let body = json!({
        "resource": format!("http://{}{path}", host(request.headers())),
        "protected": true,
        "team_domain": domain(application),
        "authentication_methods": [{ "name": "cloudflared" }],
    });
    Some(Json(body).into_response())
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

fn host(headers: &HeaderMap) -> &str {
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

fn ray() -> String {
    format!("{}-TST", token::hex(16))
}
