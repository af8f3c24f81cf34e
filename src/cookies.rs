//! Cookies, in memory: load balancers tell by them which server a session lives on.
//!
//! Kept by RFC 6265 and for the one origin that is ever asked; a `Cookie` header that the person wrote takes their
//! place. Those of Cloudflare Access are never kept: they would go on proving who we are when the token no longer does.
//! Deliberately not here: cookies beyond the life of the process.

use http::HeaderValue;
use reqwest::cookie::{CookieStore, Jar};
use url::Url;

use crate::redact;

/// The cookies of Cloudflare Access.
const OF_ACCESS: [&[u8]; 3] = [b"CF_Authorization", b"CF_AppSession", b"CF_Binding"];

/// The cookies of one process.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    jar: Jar,
}

impl CookieStore for Cookies {
    fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        let mut registered = headers.inspect(|header| redact::register_issued(cookie(header).1));
        self.jar.set_cookies(&mut registered.by_ref().filter(|header| !is_of_access(header)), url);
    }

    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        let mut value = self.jar.cookies(url)?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The name and the value of a cookie.
pub(crate) fn cookie(header: &HeaderValue) -> (&str, &str) {
    let text = header.to_str().unwrap_or_default();
    let (name, value) = text.split(';').next().unwrap_or_default().split_once('=').unwrap_or(("", text));
    (name.trim(), value.trim().trim_matches('"'))
}

fn is_of_access(header: &HeaderValue) -> bool {
    let name = header.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    OF_ACCESS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_taken_apart() {
        for (header, expected) in
            [("lb=\"value\"; Path=/; Secure", ("lb", "value")), ("a=b=c", ("a", "b=c")), ("odd", ("", "odd"))]
        {
            assert_eq!(cookie(&HeaderValue::from_str(header).expect("a value")), expected);
        }
    }

    #[test]
    fn cookies_follow_the_rules_and_those_of_access_are_not_kept() {
        let cookies = Cookies::default();
        let url = |text: &str| text.parse::<Url>().expect("a URL");
        let here = url("https://mcp.example.com/a/mcp");
        let set: Vec<HeaderValue> = [
            "lb=one; Path=/; HttpOnly; Secure",
            "deep=2; Path=/a",
            "elsewhere=3; Path=/b",
            "gone=4; Max-Age=0",
            "foreign=5; Domain=example.org",
            "CF_Authorization=jwt; Path=/",
            " CF_AppSession =x",
            "CF_Binding=y",
            "nonsense",
        ]
        .map(HeaderValue::from_static)
        .into();
        cookies.set_cookies(&mut set.iter(), &here);
        let sent = |at: &str| {
            let value = cookies.cookies(&url(at)).map(|value| value.to_str().expect("ASCII").to_owned());
            let mut sent: Vec<String> = value
                .unwrap_or_default()
                .split("; ")
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .collect();
            sent.sort();
            sent
        };
        assert_eq!(sent("https://mcp.example.com/a/mcp"), ["deep=2", "lb=one"]);
        assert_eq!(sent("https://mcp.example.com/"), ["lb=one"]);
        assert_eq!(sent("http://mcp.example.com/"), [""; 0]);
        assert_eq!(sent("https://other.example.com/a"), [""; 0]);
        assert!(cookies.cookies(&here).is_some_and(|value| value.is_sensitive()));
    }
}
