//! Which proxy a request goes through, if any: that of `--proxy`, or those of the environment and the operating system
//! less the exceptions of `NO_PROXY`.
//!
//! The HTTP library reads the environment itself, but knows fewer forms of `NO_PROXY` than curl and Node, and resolves
//! names before it asks a `socks5://` proxy.

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

use super::is_loopback;

/// The way of requests to one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// No proxy.
    Direct,
    /// The one that the HTTP library finds in the environment or the operating system's settings.
    System,
    /// This one.
    Named(Url),
}

/// A proxy, as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The protocol that is spoken with it, such as `http` or `socks5h`.
    pub scheme: String,
    /// Its host; an IPv6 address stands in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Proxy {
    /// Returns whether names are resolved by the proxy, not by this computer.
    pub fn resolves_names(&self) -> bool {
        self.scheme != "socks4"
    }
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.scheme.starts_with("socks") {
            true => write!(f, "{}://{}:{}", self.scheme, self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The proxy that requests to `url` go through: the one that is named, or the system's.
pub fn proxy_of(url: &Url, named: Option<&Url>) -> Option<Proxy> {
    match route(url, named, &exceptions()) {
        Route::Direct => None,
        Route::Named(proxy) => {
            let scheme = proxy.scheme().to_owned();
            let port = proxy.port_or_known_default().unwrap_or(usual_port(&scheme));
            Some(Proxy { host: proxy.host_str()?.to_owned(), port, scheme })
        }
        Route::System => {
            let proxy = system(url)?;
            let scheme = proxy.uri().scheme_str().unwrap_or("http").to_owned();
            let port = proxy.uri().port_u16().unwrap_or(usual_port(&scheme));
            Some(Proxy { host: proxy.uri().host()?.to_owned(), port, scheme })
        }
    }
}

/// The way of requests to `url`, with `exceptions` in the form of `NO_PROXY`.
pub(super) fn route(url: &Url, named: Option<&Url>, exceptions: &str) -> Route {
    match named {
        _ if is_loopback(url) => Route::Direct,
        // A proxy of the options replaces those of the environment.
        Some(named) => Route::Named(resolving(named.clone())),
        None if is_excepted(url, exceptions) => Route::Direct,
        None => match system(url).as_ref().and_then(as_url) {
            Some(proxy) if proxy.scheme() == "socks5" => Route::Named(resolving(proxy)),
            Some(_) | None => Route::System,
        },
    }
}

/// A proxy of `socks5://` as one of `socks5h://`: names are resolved behind it, as Go's and Firefox's clients do, because
/// a name of another network stands for nothing here.
fn resolving(proxy: Url) -> Url {
    match proxy.as_str().strip_prefix("socks5://").map(|rest| Url::parse(&format!("socks5h://{rest}"))) {
        Some(Ok(resolving)) => resolving,
        Some(Err(_)) | None => proxy,
    }
}

fn usual_port(scheme: &str) -> u16 {
    match scheme {
        "https" => 443,
        scheme if scheme.starts_with("socks") => 1080,
        _ => 80,
    }
}

/// What the environment or the operating system's settings name for `url`.
fn system(url: &Url) -> Option<Intercept> {
    Matcher::from_system().intercept(&url.as_str().parse().ok()?)
}

fn as_url(proxy: &Intercept) -> Option<Url> {
    let mut url = Url::parse(&proxy.uri().to_string()).ok()?;
    if let Some((user, password)) = proxy.raw_auth() {
        url.set_username(user).ok()?;
        url.set_password(Some(password)).ok()?;
    }
    Some(url)
}

/// The hosts that need no proxy, as the environment names them.
#[expect(
    clippy::disallowed_methods,
    reason = "the HTTP library reads the variables of proxies in the same place"
)]
pub(super) fn exceptions() -> String {
    std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy")).unwrap_or_default()
}

/// Returns whether one of the exceptions fits, which are separated by commas or white space (curl, Node).
fn is_excepted(url: &Url, exceptions: &str) -> bool {
    let entries = exceptions.split(|letter: char| letter == ',' || letter.is_whitespace());
    entries.filter(|entry| !entry.is_empty()).any(|entry| fits(url, entry))
}

/// Returns whether an exception fits: `*`, a domain with everything below it, `.domain` (the same), `*.domain` (only what
/// is below it), an address, or a network such as `10.0.0.0/8`; each may have a port, for which alone it counts then.
fn fits(url: &Url, entry: &str) -> bool {
    let Some(host) = url.host_str().map(|host| host.trim_end_matches('.').to_ascii_lowercase()) else {
        return false;
    };
    let entry = entry.to_ascii_lowercase();
    let is_address = |text: &str| text.parse::<std::net::Ipv6Addr>().is_ok();
    let (name, port) = match entry.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) if !is_address(&entry) => (name, Some(port)),
        Some(_) | None => (entry.as_str(), None),
    };
    if port.is_some() && port != url.port_or_known_default() {
        return false;
    }
    if let Some(outcome) = name.strip_prefix('*') {
        return host.len() > outcome.len() && host.ends_with(outcome);
    }
    let name = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    // Names, addresses and networks are the library's to compare. Any proxy will do for that.
    let matcher = Matcher::builder().all("http://proxy.invalid").no(name).build();
    let target = format!("{}://{host}/", url.scheme());
    target.parse().is_ok_and(|target| !name.is_empty() && matcher.intercept(&target).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_read_as_curl_and_node_read_them() {
        for (url, exceptions, expected) in [
            ("http://x.corp.test/mcp", "*.corp.test", true),
            ("http://corp.test/mcp", "*.corp.test", false),
            ("http://xcorp.test/mcp", "*.corp.test", false),
            ("http://corp.test/mcp", ".corp.test", true),
            ("http://x.corp.test/mcp", "corp.test", true),
            ("http://xcorp.test/mcp", "corp.test", false),
            ("http://x.corp.test/mcp", "X.CORP.test.", true),
            ("http://x.corp.test/mcp", "x.corp.test:80", true),
            ("http://x.corp.test/mcp", "x.corp.test:8080", false),
            ("http://x.corp.test:8080/mcp", "corp.test:8080", true),
            ("https://x.corp.test/mcp", "*.corp.test:443", true),
            ("https://x.corp.test/mcp", "*.corp.test:80", false),
            ("http://x.corp.test/mcp", "localhost x.corp.test", true),
            ("http://x.corp.test/mcp", "localhost,\tother.test  .corp.test", true),
            ("http://x.corp.test/mcp", "*", true),
            ("http://x.corp.test/mcp", "a.test, *", true),
            ("http://x.corp.test/mcp", "*:80", true),
            ("http://x.corp.test/mcp", "*:81", false),
            ("http://x.corp.test/mcp", "", false),
            ("http://x.corp.test/mcp", " , ", false),
            ("http://x.corp.test/mcp", ":80", false),
            ("http://10.1.2.3/mcp", "a.test 10.0.0.0/8", true),
            ("http://11.1.2.3/mcp", "a.test 10.0.0.0/8", false),
            ("http://10.1.2.3/mcp", "10.1.2.3:80", true),
            ("http://10.1.2.3/mcp", "10.1.2.3:81", false),
            ("http://[2001:db8::1]/mcp", "2001:db8::1", true),
            ("http://[2001:db8::1]/mcp", "[2001:db8::1]:80", true),
            ("http://[2001:db8::1]/mcp", "[2001:db8::1]:81", false),
            ("http://[2001:db8::1]/mcp", "2001:db8::/32", true),
        ] {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(is_excepted(&url, exceptions), expected, "{url} {exceptions}");
        }
    }

    #[test]
    fn names_behind_a_socks5_proxy_are_resolved_by_it() {
        let url = Url::parse("http://x.corp.test/mcp").expect("a URL");
        for (named, expected) in [
            ("socks5://user:pass@proxy.test:1081", "socks5h://user:pass@proxy.test:1081"),
            ("socks5h://proxy.test", "socks5h://proxy.test"),
            ("socks4://proxy.test", "socks4://proxy.test"),
            ("http://proxy.test:3128/", "http://proxy.test:3128/"),
        ] {
            let named = Url::parse(named).expect("a URL");
            let expected = Url::parse(expected).expect("a URL");
            assert_eq!(route(&url, Some(&named), "x.corp.test"), Route::Named(expected));
        }
        let loopback = Url::parse("http://localhost/mcp").expect("a URL");
        assert_eq!(route(&loopback, Some(&url), ""), Route::Direct);
        assert_eq!(route(&url, None, "x.corp.test:80"), Route::Direct);
    }
}
