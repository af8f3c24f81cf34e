//! What the head of an answer says: what follows it, how long it asks to wait. Pure.
//!
//! Deliberately not here: reading anything (`streamable`), and what a refusal means (`diagnosis`).

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{CONTENT_TYPE, HeaderMap};

use crate::mcp::header;

/// A number of seconds beyond this is a moment, not a span.
const SINCE_1970: u64 = 1_000_000_000;

/// The longest wait that is taken from a server: one year. Every clock can add it to the present.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What the head of an answer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseKind {
    /// One message, or a batch, in the body.
    Json,
    /// A stream of events.
    EventStream,
    /// Nothing.
    Nothing,
    /// A redirect that is not followed (`http::redirect`).
    Redirect,
    /// A status that is no success.
    Refusal,
    /// A success with a body whose type says nothing of what it is.
    Unknown,
}

/// Tells what follows a head, from its status and media type. `is_request` says whether an answer is due.
pub(super) fn classify(status: u16, media_type: Option<&str>, is_request: bool) -> ResponseKind {
    match (status, media_type) {
        (202 | 204 | 205, _) => ResponseKind::Nothing,
        (200..=299, Some(header::EVENT_STREAM)) => ResponseKind::EventStream,
        (200..=299, _) if !is_request => ResponseKind::Nothing,
        // A type that was left out is taken for what it must be.
        (200..=299, Some(header::JSON) | None) => ResponseKind::Json,
        (200..=299, Some(other)) if other.ends_with("+json") => ResponseKind::Json,
        (200..=299, Some(_)) => ResponseKind::Unknown,
        (301 | 302 | 307 | 308, _) => ResponseKind::Redirect,
        _ => ResponseKind::Refusal,
    }
}

/// The media type of a body, in lower case and without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let value = headers.get(CONTENT_TYPE)?;
    // Most often it is exactly one of these.
    let usual = [header::JSON, header::EVENT_STREAM].into_iter().find(|usual| value == usual);
    if let Some(usual) = usual {
        return Some(usual.into());
    }
    let value = value.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    let is_lowercase = !essence.bytes().any(|byte| byte.is_ascii_uppercase());
    let essence = if is_lowercase { essence.into() } else { essence.to_ascii_lowercase().into() };
    Some(essence).filter(|essence: &Cow<'_, str>| !essence.is_empty())
}

/// The character set that a body is said to be in, in lower case, unless that is UTF-8 or a part of it.
pub(super) fn charset(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE).filter(|value| value.as_bytes().contains(&b';'))?.to_str().ok()?;
    let parameters = value.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, charset) =
        parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    let charset = charset.trim().trim_matches('"').to_ascii_lowercase();
    (!matches!(charset.as_str(), "" | "utf-8" | "utf8" | "us-ascii")).then_some(charset)
}

/// How long the server asks to wait: Retry-After in seconds or as a date (RFC 9110, section 10.2.3), or what
/// X-RateLimit-Reset has, in seconds from now or since 1970. At most [`LONGEST_WAIT`], also for a moment beyond all clocks;
/// none where neither can be read.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let until = |then: SystemTime| then.duration_since(wall_clock()).unwrap_or_default();
    let asked = value("retry-after").and_then(|value| match seconds(value) {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => httpdate::parse_http_date(value).ok().map(until),
    });
    let asked = asked.or_else(|| {
        let reset = seconds(value("x-ratelimit-reset")?)?;
        Some(match reset > SINCE_1970 {
            true => UNIX_EPOCH.checked_add(Duration::from_secs(reset)).map_or(LONGEST_WAIT, until),
            false => Duration::from_secs(reset),
        })
    });
    asked.map(|wait| wait.min(LONGEST_WAIT))
}

/// A number of whole seconds, which are digits alone; the largest number where there are too many of them.
fn seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "a server's date means the wall clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_classified() {
        for (status, media_type, is_request, expected) in [
            (200, Some("application/json"), true, ResponseKind::Json),
            (200, Some("application/problem+json"), true, ResponseKind::Json),
            (200, None, true, ResponseKind::Json),
            (200, Some("text/event-stream"), true, ResponseKind::EventStream),
            (200, Some("text/event-stream"), false, ResponseKind::EventStream),
            (200, Some("text/html"), true, ResponseKind::Unknown),
            (200, Some("text/html"), false, ResponseKind::Nothing),
            (200, Some("application/json"), false, ResponseKind::Nothing),
            (202, Some("application/json"), true, ResponseKind::Nothing),
            (204, None, false, ResponseKind::Nothing),
            (307, None, true, ResponseKind::Redirect),
            (308, None, false, ResponseKind::Redirect),
            (301, None, true, ResponseKind::Redirect),
            (302, Some("text/html"), true, ResponseKind::Redirect),
            (303, None, true, ResponseKind::Refusal),
            (404, Some("application/json"), true, ResponseKind::Refusal),
            (503, None, false, ResponseKind::Refusal),
        ] {
            let found = classify(status, media_type, is_request);
            assert_eq!(found, expected, "{status} {media_type:?} {is_request}");
        }
    }

    #[test]
    fn a_server_asks_to_wait_in_every_form() {
        const YEAR: u64 = LONGEST_WAIT.as_secs();
        let now = wall_clock();
        let in_a_minute = now + Duration::from_secs(60);
        let date = httpdate::fmt_http_date(in_a_minute);
        let moment = in_a_minute.duration_since(UNIX_EPOCH).expect("later").as_secs().to_string();
        for (name, value, expected) in [
            ("retry-after", "7", Some(7)),
            ("retry-after", "0", Some(0)),
            ("retry-after", "soon", None),
            ("retry-after", "-1", None),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("retry-after", &date, Some(60)),
            ("x-ratelimit-reset", "12", Some(12)),
            ("x-ratelimit-reset", &moment, Some(60)),
            ("x-ratelimit-reset", "1000000001", Some(0)),
            ("x-other", "12", None),
            ("retry-after", "18446744073709551615", Some(YEAR)),
            ("retry-after", "18446744073709551616", Some(YEAR)),
            ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT", Some(YEAR)),
            ("x-ratelimit-reset", "18446744073709551615", Some(YEAR)),
            ("x-ratelimit-reset", "18446744073709551614", Some(YEAR)),
            ("x-ratelimit-reset", "9223372036854775808", Some(YEAR)),
            ("x-ratelimit-reset", "9223372036854775807", Some(YEAR)),
            ("x-ratelimit-reset", "99999999999999999999999", Some(YEAR)),
        ] {
            let mut headers = HeaderMap::new();
            headers
                .insert(http::HeaderName::try_from(name).expect("a name"), value.parse().expect("a value"));
            let found = retry_after(&headers).map(|wait| wait.as_secs());
            // The clock goes on, and dates have whole seconds.
            let about =
                |found: u64| expected.is_some_and(|expected| found <= expected && found + 2 >= expected);
            assert!(found.map_or(expected.is_none(), about), "{name}: {value}: {found:?}");
        }
    }

    #[test]
    fn retry_after_ignores_values_that_are_no_whole_number() {
        for name in ["retry-after", "x-ratelimit-reset"] {
            for value in [
                "",
                " ",
                "-1",
                "+1",
                "-9223372036854775808",
                "1.5",
                "1e300",
                "NaN",
                "inf",
                "0x7",
                "7 s",
                "\u{a0}",
            ] {
                let name = http::HeaderName::from_static(name);
                let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a value");
                let headers: HeaderMap = [(name.clone(), value.clone())].into_iter().collect();
                assert_eq!(retry_after(&headers), None, "{name}: {value:?}");
            }
        }
    }

    #[test]
    fn media_types_are_compared_without_case_and_parameters() {
        for (value, expected) in [
            ("Application/JSON; charset=utf-8", Some("application/json")),
            ("application/json", Some("application/json")),
            (" text/event-stream ;charset=utf-8", Some("text/event-stream")),
            ("text/HTML", Some("text/html")),
            (";", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().expect("a value"));
            assert_eq!(media_type(&headers).as_deref(), expected, "{value}");
        }
    }
}
