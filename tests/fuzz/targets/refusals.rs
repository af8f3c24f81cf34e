//! A refusal by its status, its headers and its body: it is told what it means.
#![no_main]

use http::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use mcp_tether::diagnosis::{self, RefusalFacts};
use url::Url;

/// The headers that mean something.
const NAMES: [&str; 12] = [
    "www-authenticate",
    "location",
    "retry-after",
    "x-ratelimit-reset",
    "cf-ray",
    "cf-mitigated",
    "cf-error-type",
    "cf-access-domain",
    "cf-access-aud",
    "server",
    "content-type",
    "set-cookie",
];

fuzz_target!(|input: (u16, Vec<(u8, Vec<u8>)>, String)| {
    let (status, fields, body) = input;
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = NAMES[usize::from(name) % NAMES.len()];
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
    let location = headers.get("location").and_then(|to| url.join(to.to_str().ok()?).ok());
    let facts =
        RefusalFacts { body: &body, location: location.as_ref(), ..RefusalFacts::of(status, &headers) };
    drop(diagnosis::refused(&url, &facts));
    drop(diagnosis::page(&url, &facts));
    let _ = diagnosis::is_unprocessed(&facts, true);
});
