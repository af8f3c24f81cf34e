//! Redirects: the one loop that follows them, and which ones each kind of request follows.
//!
//! A security boundary. Every policy stays within the origin, so all credentials are sent again, the name and password of the
//! URL among them. `diagnosis` explains a redirect that is not followed.

use std::borrow::Cow;

use http::header::{HeaderMap, LOCATION};
use url::Url;

/// Segments of a path that name a page to sign in at.
const SIGN_IN: [&str; 8] = ["auth", "authorize", "logon", "oauth", "oauth2", "saml", "saml2", "sso"];

/// Which redirects of a request are followed, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPolicy {
    /// For an MCP message, which travels on with method and body. 307 and 308 keep the method by definition (RFC 9110, 15.4.8 and
    /// 15.4.9). 301 and 302 are what servers and gateways send that want a slash at the end, or the path where they serve MCP; so
    /// those are followed where the path alone differs. None leads to Cloudflare's own paths or to a page to sign in at.
    Message,
    /// For a document that is fetched by GET: every status.
    Document,
}

impl RedirectPolicy {
    /// How many redirects are followed.
    fn limit(self) -> usize {
        match self {
            RedirectPolicy::Message => 5,
            RedirectPolicy::Document => 3,
        }
    }

    /// Where a request is sent again after a redirect from `from`; none where the redirect is not followed.
    fn next_hop(self, from: &Url, status: u16, headers: &HeaderMap) -> Option<Url> {
        if !(300..400).contains(&status) {
            return None;
        }
        let target = target(from, headers).filter(|target| target.origin() == from.origin())?;
        let is_followed = match (self, status) {
            (RedirectPolicy::Document, 300..=399) => true,
            (RedirectPolicy::Message, 307 | 308) => !is_cloudflares(&target),
            (RedirectPolicy::Message, 301 | 302) => {
                let is_other_path = target.path() != from.path() && target.query() == from.query();
                is_other_path && !is_cloudflares(&target) && !is_sign_in(&target)
            }
            _ => false,
        };
        is_followed.then_some(target)
    }
}

/// The head of a response, as far as redirects need it.
pub trait ResponseHead {
    /// The status code.
    fn status_code(&self) -> u16;
    /// The headers.
    fn header_map(&self) -> &HeaderMap;
}

impl ResponseHead for reqwest::Response {
    fn status_code(&self) -> u16 {
        self.status().as_u16()
    }

    fn header_map(&self) -> &HeaderMap {
        self.headers()
    }
}

/// Sends one request to an address.
pub trait SendRequest {
    /// What comes back.
    type Response: ResponseHead + Send;
    /// Why nothing came back.
    type Error;

    /// Sends the request to `url`.
    fn send_request(&self, url: &Url) -> impl Future<Output = Result<Self::Response, Self::Error>> + Send;
}

/// Where redirects led.
#[derive(Debug)]
pub enum Followed<'start, R> {
    /// To a response that is no redirect, or one that is not followed.
    Response {
        /// The address that sent it.
        url: Cow<'start, Url>,
        /// The response.
        response: R,
    },
    /// To more redirects than are followed.
    TooMany {
        /// Where the last one leads.
        url: Url,
        /// Its status.
        status: u16,
    },
}

/// Sends a request to `start`, and again wherever redirects lead that `policy` follows.
///
/// # Errors
/// The first error of `sender`.
pub async fn follow<'start, S: SendRequest>(
    sender: &S,
    start: &'start Url,
    policy: RedirectPolicy,
) -> Result<Followed<'start, S::Response>, S::Error> {
    let (mut url, mut status) = (Cow::Borrowed(start), 0);
    for _ in 0..=policy.limit() {
        let response = sender.send_request(&url).await?;
        status = response.status_code();
        match policy.next_hop(&url, status, response.header_map()) {
            Some(target) => url = Cow::Owned(target),
            None => return Ok(Followed::Response { url, response }),
        }
    }
    Ok(Followed::TooMany { url: url.into_owned(), status })
}

/// Where a redirect leads. A name and a password that the server writes into it are replaced by those of `from`, because
/// they would be sent as `Authorization`.
pub fn target(from: &Url, headers: &HeaderMap) -> Option<Url> {
    let mut target = from.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    let (name, password) = match target.origin() == from.origin() {
        true => (from.username(), from.password()),
        false => ("", None),
    };
    // Where there is no host, neither can be set, and neither is sent.
    let _ = (target.set_username(name), target.set_password(password));
    Some(target)
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
    use std::sync::LazyLock;

    use super::*;

    fn hop(from: &str, status: u16, location: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(http::header::LOCATION, location.parse().expect("a value"))]);
        RedirectPolicy::Message.next_hop(&from.parse().expect("a URL"), status, &headers).map(String::from)
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

    #[test]
    fn redirect_target_keeps_only_users_name_and_password() {
        for (from, location, expected) in [
            ("http://h.test/a", "http://eve:pw@h.test/b", "http://h.test/b"),
            ("http://h.test/a", "//eve@h.test/b", "http://h.test/b"),
            ("http://h.test/a", "http://eve:pw@other.test/b", "http://other.test/b"),
            ("http://me:mine@h.test/a", "http://eve:pw@h.test/b", "http://me:mine@h.test/b"),
            ("http://me:mine@h.test/a", "/b", "http://me:mine@h.test/b"),
            ("http://me:mine@h.test/a", "https://h.test/b", "https://h.test/b"),
            ("http://h.test/a", "mailto:eve@h.test", "mailto:eve@h.test"),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().expect("a value"))]);
            let found = target(&from.parse().expect("a URL"), &headers);
            assert_eq!(found.as_ref().map(Url::as_str), Some(expected), "{from} {location}");
        }
    }

    struct Response(u16, HeaderMap);

    impl ResponseHead for Response {
        fn status_code(&self) -> u16 {
            self.0
        }

        fn header_map(&self) -> &HeaderMap {
            &self.1
        }
    }

    /// Answers each request with a redirect to the next of `paths`, and with 200 behind the last.
    struct Server {
        paths: Vec<&'static str>,
        asked: std::sync::Mutex<Vec<String>>,
    }

    impl SendRequest for Server {
        type Response = Response;
        type Error = std::convert::Infallible;

        async fn send_request(&self, url: &Url) -> Result<Response, Self::Error> {
            let mut asked = self.asked.lock().expect("no panic");
            let next = self.paths.get(asked.len());
            asked.push(url.to_string());
            Ok(match next {
                Some(path) => {
                    let location = (LOCATION, path.parse().expect("a value"));
                    Response(308, HeaderMap::from_iter([location]))
                }
                None => Response(200, HeaderMap::new()),
            })
        }
    }

    fn followed(paths: Vec<&'static str>, policy: RedirectPolicy) -> (Followed<'static, Response>, usize) {
        use futures_util::FutureExt;

        static START: LazyLock<Url> = LazyLock::new(|| "https://h.test/mcp".parse().expect("a URL"));
        let server = Server { paths, asked: std::sync::Mutex::default() };
        let Ok(followed) = follow(&server, &START, policy).now_or_never().expect("nothing waits");
        let asked = server.asked.lock().expect("no panic").len();
        (followed, asked)
    }

    #[test]
    fn follows_redirects_up_to_limit_of_policy() {
        for (policy, limit) in [(RedirectPolicy::Message, 5), (RedirectPolicy::Document, 3)] {
            let (last, asked) = followed(vec!["/a"; limit], policy);
            assert!(
                matches!(last, Followed::Response { url, response: Response(200, _) } if url.path() == "/a")
            );
            assert_eq!(asked, limit + 1);
            let (last, asked) = followed(vec!["/a"; limit + 1], policy);
            assert!(matches!(last, Followed::TooMany { status: 308, .. }), "{policy:?}");
            assert_eq!(asked, limit + 1);
        }
    }

    #[test]
    fn asks_no_other_origin() {
        for policy in [RedirectPolicy::Message, RedirectPolicy::Document] {
            let (last, asked) = followed(vec!["/a", "https://other.test/mcp"], policy);
            assert!(
                matches!(last, Followed::Response { url, response: Response(308, _) } if url.path() == "/a")
            );
            assert_eq!(asked, 2);
        }
    }
}
