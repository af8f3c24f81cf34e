//! Cookies, in memory, for the life of the process: load balancers use them to find the server of a session.
//!
//! Stored by RFC 6265 for the one origin of the server; a `Cookie` header that the user wrote replaces them. Cookies of
//! Cloudflare Access are never stored, because they would outlive the token that they were given for. Number and size are
//! bounded; beyond that the oldest are dropped.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use cookie_store::StoreAction;
use http::HeaderValue;
use url::Url;

use crate::redact;

/// The cookies of Cloudflare Access.
const OF_ACCESS: [&[u8]; 3] = [b"CF_Authorization", b"CF_AppSession", b"CF_Binding"];

/// The longest `Set-Cookie` value that is kept, in bytes (RFC 6265, section 6.1).
const LONGEST: usize = 4096;
/// How many cookies are kept (RFC 6265, section 6.1).
const AT_ONCE: usize = 50;
/// How long the `Cookie` header may become, in bytes: servers take no longer one.
const TOGETHER: usize = 16 * 1024;

/// The cookies of one process.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    store: cookie_store::CookieStore,
    /// Those in the store, the one that was set last at the end.
    order: VecDeque<CookieKey>,
}

/// The key of a cookie in the store.
#[derive(Debug)]
struct CookieKey {
    domain: String,
    path: String,
    name: String,
    /// What it takes in the header, in bytes.
    size: usize,
}

impl Kept {
    fn set(&mut self, header: &HeaderValue, url: &Url) {
        let text = std::str::from_utf8(header.as_bytes()).ok().filter(|text| text.len() <= LONGEST);
        let Some(text) = text else { return };
        let Ok(cookie) = cookie_store::Cookie::parse(text, url) else { return };
        let cookie = cookie.into_owned();
        let place = CookieKey {
            domain: String::from(&cookie.domain),
            path: String::from(&cookie.path),
            name: cookie.name().to_owned(),
            size: cookie.name().len() + cookie.value().len() + "=; ".len(),
        };
        let is_it = |other: &CookieKey| {
            (&other.domain, &other.path, &other.name) == (&place.domain, &place.path, &place.name)
        };
        let Ok(action) = self.store.insert(cookie, url) else { return };
        self.order.retain(|other| !is_it(other));
        match action {
            StoreAction::Inserted | StoreAction::UpdatedExisting => self.order.push_back(place),
            StoreAction::ExpiredExisting => drop(self.store.remove(&place.domain, &place.path, &place.name)),
        }
        while self.order.len() > AT_ONCE
            || self.order.iter().map(|place| place.size).sum::<usize>() > TOGETHER
        {
            let Some(oldest) = self.order.pop_front() else { return };
            self.store.remove(&oldest.domain, &oldest.path, &oldest.name);
        }
    }
}

impl Cookies {
    /// Keeps the cookies of these `Set-Cookie` values, which a response from `url` has.
    pub(crate) fn set_cookies<'a>(&self, headers: impl Iterator<Item = &'a HeaderValue>, url: &Url) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let registered = headers.inspect(|header| redact::register_issued(&cookie(header).1));
        registered.filter(|header| !is_of_access(header)).for_each(|header| kept.set(header, url));
    }

    /// The `Cookie` header of a request to `url`; none where there are no cookies for it.
    pub(crate) fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.order.is_empty() {
            return None;
        }
        let pairs = kept.store.get_request_values(url).map(|(name, value)| format!("{name}={value}"));
        let pairs: Vec<String> = pairs.collect();
        let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from(pairs.join("; "))).ok()?;
        value.set_sensitive(true);
        (!value.is_empty()).then_some(value)
    }
}

/// The name and the value of a cookie, with a replacement character for what is not UTF-8.
pub(crate) fn cookie(header: &HeaderValue) -> (String, String) {
    let text = String::from_utf8_lossy(header.as_bytes());
    let (name, value) = text.split(';').next().unwrap_or_default().split_once('=').unwrap_or(("", &text));
    (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())
}

fn is_of_access(header: &HeaderValue) -> bool {
    let name = header.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    OF_ACCESS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    fn set(cookies: &Cookies, url: &Url, text: &str) {
        let header = HeaderValue::from_str(text).expect("a value");
        cookies.set_cookies(std::iter::once(&header), url);
    }

    #[test]
    fn cookies_beyond_the_bounds_replace_the_oldest() {
        let here = url("https://mcp.example.com/mcp");
        for (size, kept) in [(1, AT_ONCE), (200, AT_ONCE), (3_000, 5), (LONGEST - 20, 4), (LONGEST, 0)] {
            let cookies = Cookies::default();
            for number in 0..300 {
                set(&cookies, &here, "lb=stays");
                set(&cookies, &here, &format!("c{number}={}; Path=/{}", "x".repeat(size), number % 2));
                let header = cookies.cookies(&here).expect("at least one");
                assert!(header.len() <= TOGETHER, "{size}: {}", header.len());
                assert!(header.to_str().is_ok_and(|header| header.contains("lb=stays")), "it was just set");
            }
            let all = ["https://mcp.example.com/0", "https://mcp.example.com/1"].map(url);
            let all = all.iter().filter_map(|url| cookies.cookies(url)).map(|header| header.len());
            assert!(all.sum::<usize>() <= TOGETHER + "lb=stays".len(), "{size}");
            let order = &cookies.kept.lock().expect("no panic").order;
            assert!(order.len() <= kept + 1, "{size}: {}", order.len());
            assert!(size == LONGEST || order.iter().any(|place| place.name == "c299"), "the newest is kept");
        }
    }

    #[test]
    fn cookie_that_is_taken_back_makes_room() {
        let (cookies, here) = (Cookies::default(), url("https://mcp.example.com/mcp"));
        for text in ["a=1", "b=2", "a=3", "b=; Max-Age=0"] {
            set(&cookies, &here, text);
        }
        assert_eq!(cookies.cookies(&here).expect("one"), "a=3");
        assert_eq!(cookies.kept.lock().expect("no panic").order.len(), 1);
    }

    #[test]
    fn a_cookie_is_taken_apart() {
        for (header, expected) in
            [("lb=\"value\"; Path=/; Secure", ("lb", "value")), ("a=b=c", ("a", "b=c")), ("odd", ("", "odd"))]
        {
            let (name, value) = cookie(&HeaderValue::from_str(header).expect("a value"));
            assert_eq!((name.as_str(), value.as_str()), expected);
        }
    }

    #[test]
    fn cookie_beyond_ascii_is_a_secret_as_well() {
        let (cookies, here) = (Cookies::default(), url("https://mcp.example.com/mcp"));
        set(&cookies, &here, "lb=\u{fc}ber-0123456789abcdef; Path=/");
        assert!(cookies.cookies(&here).is_some_and(|sent| sent.as_bytes().starts_with("lb=ü".as_bytes())));
        assert_eq!(redact::redact("it sent über-0123456789abcdef"), "it sent [secret]");
        let odd = HeaderValue::from_bytes(b"lb=\xff-abcdef0123456789; Path=/").expect("a value");
        cookies.set_cookies(std::iter::once(&odd), &here);
        assert_eq!(redact::redact("\u{fffd}-abcdef0123456789"), "[secret]");
    }

    #[test]
    fn stores_cookies_by_rfc_6265_except_those_of_access() {
        let cookies = Cookies::default();
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
        cookies.set_cookies(set.iter(), &here);
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
