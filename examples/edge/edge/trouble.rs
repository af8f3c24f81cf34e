//! What Cloudflare answers by itself: in front of Access (firewall, limits) and in the place of an origin it cannot
//! reach.
//!
//! Each of its codes comes as JSON (RFC 9457), as a line of text or as a page. Deliberately not here: Access (`access`),
//! whose refusals look different, and trouble of the network, which needs no HTTP.

use std::str::FromStr;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, body};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::access::visible;
use super::answers;
use super::settings::{Form, Settings, Switches};

/// What is the matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// One of Cloudflare's codes: 1020 a firewall rule, 1015 a rate limit, 1033 a tunnel that is down, 522, ….
    Code(u16),
    /// A page on which a browser proves itself.
    Challenge,
    /// A page of the web server that Cloudflare is built upon, without a code: 400, 403, 413 or 414.
    Unstyled(u16),
    /// Always Use HTTPS.
    Https,
    /// The sign-in page itself, as whoever follows the redirect gets it.
    SignInPage,
    /// An MCP portal that has no server to show to this caller.
    EmptyPortal,
    /// A debug page of the origin's that repeats the request, credentials included, in every form it knows.
    Echo,
}

impl FromStr for Trouble {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "challenge" => Ok(Self::Challenge),
            "https" => Ok(Self::Https),
            "sign-in-page" => Ok(Self::SignInPage),
            "empty-portal" => Ok(Self::EmptyPortal),
            "echo" => Ok(Self::Echo),
            _ => match word.parse() {
                Ok(code @ (400 | 403 | 413 | 414)) => Ok(Self::Unstyled(code)),
                Ok(code @ (502 | 504 | 520..=526 | 1000..=1299)) => Ok(Self::Code(code)),
                _ => Err("a trouble is a code such as 1015, 1020, 1033 or 522, a page without one (400, 403, 413, \
                          414), `challenge`, `https`, `sign-in-page`, `empty-portal` or `echo`"
                    .to_owned()),
            },
        }
    }
}

impl Trouble {
    /// Whether Access has let the request through before this happens.
    fn is_behind_access(self) -> bool {
        match self {
            Self::Code(code) => matches!(code, 500..=599 | 1016 | 1033 | 1101 | 1102),
            Self::Challenge | Self::Unstyled(_) | Self::Https | Self::SignInPage => false,
            Self::EmptyPortal | Self::Echo => true,
        }
    }
}

/// The answer where there is trouble on this side of Access; the request goes on where there is none.
pub(super) async fn answer(
    switches: &Switches,
    behind_access: bool,
    request: Request,
) -> Result<Request, Response> {
    let (trouble, settings) = {
        let mut settings = switches.lock();
        let Some(trouble) = settings.trouble.filter(|trouble| trouble.is_behind_access() == behind_access)
        else {
            return Ok(request);
        };
        if request.method() == "POST"
            && let Some(left) = &mut settings.trouble_lasts
        {
            let Some(fewer) = left.checked_sub(1) else { return Ok(request) };
            *left = fewer;
        }
        (trouble, settings.clone())
    };
    Err(match trouble {
        Trouble::Code(code) => with_code(code, request.headers(), &settings),
        Trouble::Challenge => challenge(),
        Trouble::Unstyled(status) => unstyled(status),
        Trouble::Https => to_https(&request),
        Trouble::SignInPage => answers::sign_in_page(),
        Trouble::EmptyPortal => empty_portal(request).await,
        Trouble::Echo => echo(request.headers()),
    })
}

fn with_code(code: u16, asked: &HeaderMap, settings: &Settings) -> Response {
    let status = match code {
        500..=599 => code,
        1015 | 1027 => 429,
        1001 | 1014 => 409,
        1101 => 500,
        1102 => 503,
        1016 | 1018 | 1033 | 1038 | 1200 => 530,
        _ => 403,
    };
    let status = StatusCode::from_u16(status).expect("three digits");
    let ray = answers::ray();
    let mut response = match answers::form(settings.form, asked) {
        Form::Json => Json(json!({
            "type": format!("https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-{code}/"),
            "title": format!("Error {code}"), "status": status.as_u16(), "cloudflare_error": true,
            "error_code": code, "error_name": "made_up", "error_category": "edge", "ray_id": ray,
            "retryable": settings.retry_after.is_some(), "retry_after": settings.retry_after,
            "owner_action_required": settings.retry_after.is_none(), "zone": "example.com",
            "what_you_should_do": "Nothing: this is a stand-in.",
        }))
        .into_response(),
        Form::Text => format!("error code: {code}").into_response(),
        // Only the header tells it.
        Form::Bare | Form::Silent => ().into_response(),
        Form::ByAccept | Form::Html => Html(answers::page(
            &format!("example.com | {code}"),
            &format!("<div id=\"cf-error-details\"><h1><span>Error code</span><span class=\"code\">{code}</span></h1></div>"),
        ))
        .into_response(),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("cf-ray", visible(&ray));
    if answers::form(settings.form, asked) != Form::Text {
        headers.insert("cf-error-type", visible(&code.to_string()));
    }
    if let Some(seconds) = settings.retry_after {
        headers.insert(RETRY_AFTER, visible(&seconds.to_string()));
    }
    response
}

fn challenge() -> Response {
    let page =
        answers::page("Just a moment...", "<noscript>Enable JavaScript and cookies to continue</noscript>");
    (StatusCode::FORBIDDEN, [("cf-mitigated", "challenge")], Html(page)).into_response()
}

fn unstyled(status: u16) -> Response {
    let status = StatusCode::from_u16(status).expect("three digits");
    let title = match status {
        StatusCode::BAD_REQUEST => "400 Request Header Or Cookie Too Large".to_owned(),
        other => other.to_string(),
    };
    let page =
        answers::page(&title, &format!("<center><h1>{title}</h1></center><hr><center>cloudflare</center>"));
    (status, Html(page)).into_response()
}

fn to_https(request: &Request) -> Response {
    let target = format!("https://{}{}", answers::host(request.headers()), request.uri());
    (StatusCode::MOVED_PERMANENTLY, [(LOCATION, visible(&target))]).into_response()
}

async fn empty_portal(request: Request) -> Response {
    let body = body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let error = json!({
        "code": -32000, "message": "No allowed servers available, check your Zero Trust Policies",
    });
    match message.get("id") {
        Some(id) => Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response(),
        None => StatusCode::ACCEPTED.into_response(),
    }
}

fn echo(headers: &HeaderMap) -> Response {
    let mut page = String::from("The request that failed:\n");
    let is_usual = |name: &HeaderName| {
        ["accept", "content-", "host", "user-agent"].iter().any(|start| name.as_str().starts_with(start))
    };
    for (name, value) in headers.iter().filter(|(name, _)| !is_usual(name)) {
        let value = value.as_bytes();
        let line = format!("{name}: {}", String::from_utf8_lossy(value));
        let in_url: String = value.iter().map(|byte| format!("%{byte:02X}")).collect();
        let (encoded, whole) = (BASE64_STANDARD.encode(value), BASE64_STANDARD.encode(&line));
        page += &format!("{line}\n{in_url}\n{encoded}\n{whole}\n");
    }
    (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], page).into_response()
}
