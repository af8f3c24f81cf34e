//! Which redirects are followed: with method, body and credentials, and so within the origin alone.
//!
//! Apart from `head` because it is a security boundary. Deliberately not here: what is told of one that is not followed
//! (`diagnosis`).

use http::HeaderMap;
use url::Url;

use super::head::target;

/// Segments of a path that name a page to sign in at.
const SIGN_IN: [&str; 8] = ["auth", "authorize", "logon", "oauth", "oauth2", "saml", "saml2", "sso"];

/// Where a request is sent again after a redirect from `from`; none where the redirect is not followed.
///
/// 307 and 308 keep the method by definition (RFC 9110, 15.4.8 and 15.4.9), and are followed within the origin. 301 and 302 are
/// what servers and gateways send that want a slash at the end, or the path where they serve MCP; so those are followed where
/// the path alone differs. None leads to Cloudflare's own paths or to a page to sign in at.
pub(super) fn next_hop(from: &Url, status: u16, headers: &HeaderMap) -> Option<Url> {
    let target = target(from, headers).filter(|target| target.origin() == from.origin())?;
    if is_cloudflares(&target) {
        return None;
    }
    let is_followed = match status {
        307 | 308 => true,
        301 | 302 => {
            let is_elsewhere = target.path() != from.path();
            is_elsewhere && target.query() == from.query() && !is_sign_in(&target)
        }
        _ => false,
    };
    is_followed.then_some(target)
}

/// Returns whether a path is Cloudflare's own on every host behind it.
fn is_cloudflares(target: &Url) -> bool {
    let mut segments = target.path_segments().into_iter().flatten();
    segments.any(|segment| decoded(segment) == "cdn-cgi")
}

/// Returns whether an address is that of a page to sign in at.
fn is_sign_in(target: &Url) -> bool {
    target.path_segments().into_iter().flatten().any(|segment| {
        let segment = decoded(segment);
        let word: String = segment.chars().filter(|letter| !matches!(letter, '-' | '_')).collect();
        let word = word.split('.').next().unwrap_or_default();
        SIGN_IN.contains(&word) || word.starts_with("signin") || word.starts_with("login")
    })
}

/// A segment of a path in lower case, without percent-encoding.
fn decoded(segment: &str) -> String {
    let pairs = format!("x={}", segment.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, value)| value.into_owned());
    decoded.unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(from: &str, status: u16, location: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(http::header::LOCATION, location.parse().expect("a value"))]);
        next_hop(&from.parse().expect("a URL"), status, &headers).map(String::from)
    }

    #[test]
    fn follows_other_path_of_same_origin() {
        for (from, location, expected) in [
            ("https://h.test/mcp", "/mcp/", "https://h.test/mcp/"),
            ("https://h.test/mcp/", "https://h.test/mcp", "https://h.test/mcp"),
            ("https://h.test/mcp", "https://h.test:443/v1/mcp", "https://h.test/v1/mcp"),
            ("https://h.test/mcp?key=1", "/mcp/?key=1", "https://h.test/mcp/?key=1"),
            ("http://h.test:8080/author", "/authors/mcp", "http://h.test:8080/authors/mcp"),
        ] {
            for status in [301, 302, 307, 308] {
                assert_eq!(hop(from, status, location).as_deref(), Some(expected), "{status} {location}");
            }
            assert_eq!(hop(from, 303, location), None, "{location}");
        }
    }

    #[test]
    fn refuses_redirects_that_change_more_than_the_path() {
        for location in [
            "http://h.test/mcp/",
            "https://h.test:8443/mcp/",
            "https://other.test/mcp/",
            "//other.test/mcp/",
            "https://h.test.evil.test/mcp",
            "mailto:x@h.test",
            "/cdn-cgi/access/login/h.test",
            "/CDN-CGI/x",
            "/%63dn-cgi/x",
        ] {
            for status in [301, 302, 307, 308] {
                assert_eq!(hop("https://h.test/mcp", status, location), None, "{status} {location}");
            }
        }
        for location in [
            "/mcp",
            "/mcp/?next=1",
            "/login",
            "/Login.php",
            "/login_page",
            "/users/sign_in",
            "/sign-in",
            "/oauth2/start",
            "/auth/realms/x",
            "/sso",
            "/%6Cogin",
        ] {
            for status in [301, 302] {
                assert_eq!(hop("https://h.test/mcp", status, location), None, "{status} {location}");
            }
        }
    }
}
