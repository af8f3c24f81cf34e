//! The HTTP client: connections, proxies, health checks and classified errors. `redirect` follows redirects.

pub mod body;
mod proxies;
pub mod redirect;
pub mod www_authenticate;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use http::header::{ACCEPT_ENCODING, COOKIE, HeaderMap, SET_COOKIE};
use reqwest::redirect::Policy;
use tracing::debug;
use url::{Host, Url};

use proxies::Route;
pub use proxies::{Proxy, proxy_of};

use crate::cookies::Cookies;
use crate::tls::{self, Fingerprint, LateRoots, Trust};

/// The interval of health checks on a silent connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long the other side has to answer a health check.
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(10);
/// What two clocks may differ by although the computer was awake.
const SLEEP: Duration = Duration::from_secs(10);

/// How long an idle connection is kept: less than the other side keeps it, so that it is not reused while it is being
/// closed. Over http that is a bare server (Node: 5 s), over https something in front of it (load balancers: 60 s and
/// more, Cloudflare: 400 s), where a new handshake costs more.
fn pool_idle(url: &Url) -> Duration {
    Duration::from_secs(if url.scheme() == "https" { 50 } else { 4 })
}

/// How connections are made.
#[derive(Debug)]
pub struct Settings {
    /// How long making one may take, where that is bounded.
    pub connect_timeout: Option<Duration>,
    /// How long the server may take to answer.
    pub patience: Patience,
    /// The trusted certificates, and the client certificate.
    pub trust: Trust,
    /// The proxy for everything, in place of those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`,
    /// `NO_PROXY`) and of the operating system. Nothing on this machine is reached through one.
    pub proxy: Option<Url>,
    /// Which addresses are used.
    pub family: Family,
    /// Whether cookies of the server are kept and sent back, as long as the process lives.
    pub cookies: bool,
    /// Whether the certificates that the server shows are kept to be looked at.
    pub inspect: bool,
}

/// How long a response may take, where that is bounded. Only the user can tell a slow tool from one that hangs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// From the request to the head of its answer.
    pub head: Option<Duration>,
    /// From one part of an answer to the next.
    pub gap: Option<Duration>,
}

/// Waits for something, for a limited time where there is a limit; none when that is over.
pub async fn within<T>(limit: Option<Duration>, awaited: impl Future<Output = T>) -> Option<T> {
    match limit {
        None => Some(awaited.await),
        Some(limit) => tokio::time::timeout(limit, awaited).await.ok(),
    }
}

/// Which addresses of a host are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Whichever answers first, IPv6 with a head start (RFC 8305).
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// The client for requests to one server. After the computer slept it is another one, whose connections are new: those
/// from before are dead, and only the first call into them would show it.
#[derive(Debug)]
pub struct Http {
    recipe: ClientRecipe,
    /// How long the server may take to answer.
    pub patience: Patience,
    cookies: Option<Arc<Cookies>>,
    roots: Arc<LateRoots>,
    pins: Vec<Fingerprint>,
    current: Mutex<(reqwest::Client, Clocks)>,
    /// For other ports of the server's host, to which no certificate of ours is shown. Made when it is needed, like the next.
    beside: OnceLock<rustls::ClientConfig>,
    /// For other hosts, to which none is shown either.
    elsewhere: OnceLock<rustls::ClientConfig>,
}

impl Http {
    /// A client for requests to `url`.
    ///
    /// # Errors
    /// When the TLS library or the HTTP library cannot be set up.
    pub fn new(url: &Url, settings: Settings) -> Result<Http, reqwest::Error> {
        let Settings { connect_timeout, patience, trust, proxy, family, cookies, inspect } = settings;
        let Trust { authorities, late_authorities, identity, pins } = trust;
        let roots = LateRoots::new(authorities, late_authorities);
        let roots = Arc::new(if inspect { roots.remembering() } else { roots });
        if url.scheme() == "https" {
            roots.read_ahead();
        }
        let tls = tls::config(Arc::clone(&roots), &pins, identity);
        let cookies = cookies.then(Arc::<Cookies>::default);
        let recipe = ClientRecipe { url: url.clone(), connect_timeout, tls, proxy, family, inspect };
        let current = Mutex::new((recipe.builder()?.build()?, Clocks::now()));
        let (beside, elsewhere) = (OnceLock::new(), OnceLock::new());
        Ok(Http { recipe, patience, cookies, roots, pins, current, beside, elsewhere })
    }

    /// The certificates that the server showed last, its own first, where they are kept.
    pub fn certificates(&self) -> Vec<tls::Described> {
        self.roots.shown().iter().map(tls::describe).collect()
    }

    /// Returns whether cookies go along with a request to `url`.
    pub fn has_cookies_for(&self, url: &Url) -> bool {
        self.cookies.as_ref().is_some_and(|cookies| cookies.cookies(url).is_some())
    }

    /// Returns whether `url` is at the origin of the server that this client is for.
    pub fn is_for(&self, url: &Url) -> bool {
        self.recipe.url.origin() == url.origin()
    }

    /// A client for requests to another host than the server's, which gets no cookies and no certificate of ours. With
    /// `addresses`, its name stands for them and for nothing else.
    ///
    /// # Errors
    /// When the HTTP library cannot be set up.
    pub fn client_for(
        &self,
        url: &Url,
        addresses: Option<&[SocketAddr]>,
    ) -> Result<HttpClient, reqwest::Error> {
        let tls = |pins: &[Fingerprint]| tls::config(Arc::clone(&self.roots), pins, None);
        let tls = match url.host() == self.recipe.url.host() {
            true => self.beside.get_or_init(|| tls(&self.pins)),
            false => self.elsewhere.get_or_init(|| tls(&[])),
        };
        let recipe = ClientRecipe {
            url: url.clone(),
            tls: tls.clone(),
            proxy: self.recipe.proxy.clone(),
            ..self.recipe
        };
        let mut builder = recipe.builder()?;
        if let (Some(host), Some(addresses)) = (url.host_str(), addresses) {
            builder = builder.resolve_to_addrs(host, addresses);
        }
        Ok(HttpClient { library: builder.build()?, cookies: None })
    }

    /// Returns whether requests to `url` go through a proxy.
    pub fn is_proxied(&self, url: &Url) -> bool {
        proxy_of(url, self.recipe.proxy.as_ref()).is_some()
    }

    /// Sorts an error of a request to `url`. Unlike [`transport_error`], it names the proxy where one cannot be reached.
    pub fn transport_error(&self, url: &Url, error: &reqwest::Error) -> TransportError {
        let sorted = transport_error(error);
        match proxy_of(url, self.recipe.proxy.as_ref()) {
            Some(proxy) => sorted.through(proxy),
            None => sorted,
        }
    }

    /// The client for the next exchange.
    pub fn client(&self) -> HttpClient {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Clocks::now();
        if now.slept_since(&current.1) {
            debug!("this computer has slept; connections are made anew");
            if let Ok(another) = self.recipe.builder().and_then(reqwest::ClientBuilder::build) {
                current.0 = another;
            }
        }
        current.1 = now;
        HttpClient { library: current.0.clone(), cookies: self.cookies.clone() }
    }
}

/// A client of the HTTP library, and the cookies that go along with its requests. They are added here, where the URL is at hand: the
/// library's own layer parses it again in each request.
#[derive(Clone, Debug)]
pub struct HttpClient {
    library: reqwest::Client,
    cookies: Option<Arc<Cookies>>,
}

impl HttpClient {
    /// Begins a request, which [`HttpClient::send`] sends.
    pub fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        self.library.request(method, url)
    }

    /// Sends a request with the cookies for its URL, unless it has its own, and keeps those of the response.
    ///
    /// # Errors
    /// When the request cannot be built, or no response comes.
    pub fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> impl Future<Output = Result<reqwest::Response, reqwest::Error>> + use<> {
        self.execute(request.build())
    }

    /// The same with a request of which every part is there. It is not taken apart and put together again.
    ///
    /// # Errors
    /// When the request cannot be built, or no response comes.
    pub fn send_whole(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: reqwest::Body,
    ) -> impl Future<Output = Result<reqwest::Response, reqwest::Error>> + use<> {
        // A name and a password in the URL are for the builder to move into a header.
        let has_user = !url.username().is_empty() || url.password().is_some();
        self.execute(match has_user {
            true => self.request(method, url.clone()).headers(headers).body(body).build(),
            false => {
                let mut request = reqwest::Request::new(method, url.clone());
                *request.headers_mut() = headers;
                *request.body_mut() = Some(body);
                Ok(request)
            }
        })
    }

    fn execute(
        &self,
        request: Result<reqwest::Request, reqwest::Error>,
    ) -> impl Future<Output = Result<reqwest::Response, reqwest::Error>> + use<> {
        let cookies = self.cookies.clone();
        let sent = request.map(|mut request| {
            let cookies = cookies.as_ref().filter(|_| !request.headers().contains_key(COOKIE));
            if let Some(value) = cookies.and_then(|cookies| cookies.cookies(request.url())) {
                request.headers_mut().insert(COOKIE, value);
            }
            self.library.execute(request)
        });
        async move {
            let response = sent?.await?;
            if let Some(cookies) = cookies.filter(|_| response.headers().contains_key(SET_COOKIE)) {
                cookies.set_cookies(response.headers().get_all(SET_COOKIE).iter(), response.url());
            }
            Ok(response)
        }
    }
}

/// What clients are made of.
#[derive(Debug)]
struct ClientRecipe {
    url: Url,
    connect_timeout: Option<Duration>,
    tls: rustls::ClientConfig,
    proxy: Option<Url>,
    family: Family,
    inspect: bool,
}

impl ClientRecipe {
    fn builder(&self) -> Result<reqwest::ClientBuilder, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("mcp-tether/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, body::ACCEPTED)]))
            .redirect(Policy::none())
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE_PATIENCE)
            // Also in between, so that after a change of networks the next call does not go into a dead connection.
            .http2_keep_alive_while_idle(true)
            .pool_idle_timeout(pool_idle(&self.url))
            .tls_info(self.inspect)
            .tls_backend_preconfigured(self.tls.clone());
        if let Some(limit) = self.connect_timeout {
            builder = builder.connect_timeout(limit);
        }
        builder = match proxies::route(&self.url, self.proxy.as_ref(), &proxies::exceptions()) {
            Route::Direct => builder.no_proxy(),
            Route::System => builder,
            Route::Named(proxy) => builder.no_proxy().proxy(named_proxy(&proxy)?),
        };
        Ok(match self.family {
            Family::Any => builder,
            Family::V4 => builder.local_address(IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            Family::V6 => builder.local_address(IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        })
    }
}

/// The proxy of this URL for every request.
fn named_proxy(url: &Url) -> Result<reqwest::Proxy, reqwest::Error> {
    reqwest::Proxy::all(url.clone())
}

/// Two clocks, of which only one goes on while the computer sleeps (on Windows both do, and idle connections run out by
/// themselves).
#[derive(Clone, Copy, Debug)]
struct Clocks {
    wall: SystemTime,
    awake: Instant,
}

impl Clocks {
    #[expect(clippy::disallowed_methods, reason = "one clock alone does not show that the computer slept")]
    fn now() -> Clocks {
        Clocks { wall: SystemTime::now(), awake: Instant::now() }
    }

    /// Returns whether the computer slept in between, or its clock was set, which does no harm.
    fn slept_since(&self, before: &Clocks) -> bool {
        let awake = self.awake.saturating_duration_since(before.awake);
        self.wall.duration_since(before.wall).is_ok_and(|passed| passed > awake + SLEEP)
    }
}

/// Lets the event loop hear which idle connections were closed meanwhile, before a request takes one from the pool: that
/// may have become known together with the message that is to be sent, and a call that goes out on a closed connection has an
/// unknown outcome. Tasks that wait here go on in any order.
pub async fn notice_closed_connections() {
    tokio::task::yield_now().await;
}

/// Lets the connection have its turn: most often it has the end of the stream, and no alarm need be set for that.
pub async fn yield_to_connection() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Returns whether a URL leads to this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What went wrong below HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The host name could not be resolved.
    Dns,
    /// No program listens there.
    ConnectionRefused,
    /// No connection could be made in time.
    ConnectTimeout,
    /// No connection could be made for another reason.
    Connect(String),
    /// A SOCKS proxy cannot be reached, or refused to connect: the reason in the library's words.
    Socks(String),
    /// A proxy refused to connect.
    Proxy {
        /// Whether it asks for credentials.
        wants_credentials: bool,
    },
    /// The host name of the proxy could not be resolved.
    ProxyDns(Proxy),
    /// No connection to the proxy could be made.
    ProxyConnect(Proxy),
    /// No connection through the proxy could be made in time.
    ProxyTimeout(Proxy),
    /// The TLS handshake failed.
    Tls(tls::Failure),
    /// A connection that was there broke.
    Connection(String),
}

/// The words of the HTTP library for a SOCKS proxy that cannot be reached.
const SOCKS_UNREACHABLE: &str = "failed to create underlying connection";

impl TransportError {
    /// The same error of a request that goes through a proxy: a connection that was not made is one to the proxy.
    fn through(self, proxy: Proxy) -> TransportError {
        match self {
            TransportError::Dns if proxy.resolves_names() => TransportError::ProxyDns(proxy),
            TransportError::ConnectionRefused => TransportError::ProxyConnect(proxy),
            TransportError::ConnectTimeout => TransportError::ProxyTimeout(proxy),
            // The proxy was reached where the tunnel through it failed.
            TransportError::Connect(reason) if !reason.starts_with("tunnel error") => {
                TransportError::ProxyConnect(proxy)
            }
            TransportError::Socks(reason) if reason == SOCKS_UNREACHABLE => {
                TransportError::ProxyConnect(proxy)
            }
            other => other,
        }
    }
}

/// Sorts an error of the HTTP library. Its text may hold the URL, so it is not used as a whole.
pub fn transport_error(error: &reqwest::Error) -> TransportError {
    let mut innermost: &(dyn Error + 'static) = error;
    while let Some(cause) = source(innermost) {
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return TransportError::Tls(tls::sort(error));
        }
        if error.is_connect() && cause.to_string() == "dns error" {
            return TransportError::Dns;
        }
        // The proxy's errors have no type of their own.
        match cause.to_string().as_str() {
            "tunnel error: proxy authorization required" | "proxy authorization required"
                if error.is_connect() =>
            {
                return TransportError::Proxy { wants_credentials: true };
            }
            "tunnel error: unsuccessful" if error.is_connect() => {
                return TransportError::Proxy { wants_credentials: false };
            }
            _ => {}
        }
        // Neither have those of a SOCKS proxy, and they name no source either.
        let text = cause.to_string();
        if let Some(reason) = text.strip_prefix("SOCKS error: ") {
            return TransportError::Socks(reason.to_owned());
        }
        let hung_up = |io: &std::io::Error| io.kind() == std::io::ErrorKind::UnexpectedEof;
        if error.is_connect() && cause.downcast_ref().is_some_and(hung_up) {
            // Without TLS there is nothing to hang up in before the connection is made.
            return TransportError::Tls(tls::Failure::HungUp);
        }
        innermost = cause;
    }
    let refused = |io: &std::io::Error| io.kind() == std::io::ErrorKind::ConnectionRefused;
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => TransportError::ConnectTimeout,
        (true, false) if innermost.downcast_ref().is_some_and(refused) => TransportError::ConnectionRefused,
        (true, false) => TransportError::Connect(innermost.to_string()),
        (false, _) => TransportError::Connection(innermost.to_string()),
    }
}

/// Returns whether the server says that it has not processed a request over HTTP/2: it has refused the stream, or has
/// gone away and named a last stream before it (RFC 9113, sections 6.8 and 8.7). The HTTP library gives that error to those
/// streams alone.
pub fn is_unprocessed(error: &reqwest::Error) -> bool {
    let mut innermost: &(dyn Error + 'static) = error;
    while let Some(cause) = source(innermost) {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (is_refused || error.is_go_away());
        }
        innermost = cause;
    }
    false
}

/// The cause of an error; an IO error carries its own inside instead of naming it as the source.
fn source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inside = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
    match inside {
        Some(inside) => Some(inside),
        None => error.source(),
    }
}

#[cfg(test)]
// A listener whose queue is full answers nobody on Linux; elsewhere it refuses.
#[cfg(target_os = "linux")]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A port on which IPv6 swallows every connection and IPv4 answers.
    fn half_reachable() -> Option<(TcpListener, TcpStream, TcpListener)> {
        loop {
            let hole = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
            let address = hole.local_addr().expect("an address");
            let Ok(server) = TcpListener::bind((Ipv4Addr::LOCALHOST, address.port())) else { continue };
            rustix::net::listen(&hole, 0).expect("a shorter queue");
            let last = TcpStream::connect(address).expect("the one that fits");
            return Some((hole, last, server));
        }
    }

    #[test]
    fn only_a_computer_that_slept_shows_clocks_that_differ() {
        let before = Clocks::now();
        for (wall, awake, expected) in [(60, 60, false), (9, 0, false), (60, 0, true), (0, 60, false)] {
            let (wall, awake) = (Duration::from_secs(wall), Duration::from_secs(awake));
            let now = Clocks { wall: before.wall + wall, awake: before.awake + awake };
            assert_eq!(now.slept_since(&before), expected, "{wall:?} {awake:?}");
        }
        let set_back = Clocks { wall: before.wall - Duration::from_secs(3600), ..before };
        assert!(!set_back.slept_since(&before));
    }

    #[test]
    fn replaces_connections_after_sleep() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url: Url =
            format!("http://{}/", server.local_addr().expect("an address")).parse().expect("a URL");
        std::thread::spawn(move || {
            for (number, mut stream) in server.incoming().flatten().enumerate() {
                std::thread::spawn(move || {
                    while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
                        let _ = stream.write_all(answer.as_bytes());
                    }
                });
            }
        });
        let settings = Settings {
            connect_timeout: Some(KEEP_ALIVE),
            patience: Patience::default(),
            trust: Trust::default(),
            proxy: None,
            family: Family::Any,
            cookies: true,
            inspect: false,
        };
        let http = Http::new(&url, settings).expect("a client");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connection = || {
            let client = http.client();
            let request = client.request(Method::GET, url.clone());
            runtime.block_on(async {
                client.send(request).await.expect("an answer").text().await.expect("a body")
            })
        };
        assert_eq!((connection(), connection()), ("0".to_owned(), "0".to_owned()), "one is used again");
        http.current.lock().expect("no panic").1.wall -= Duration::from_secs(3600);
        assert_eq!((connection(), connection()), ("1".to_owned(), "1".to_owned()), "a new one is used again");
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "whoever reads the test's output is to know")]
    fn silent_ipv6_address_does_not_delay_start() {
        let Some((hole, _last, server)) = half_reachable() else {
            println!("skipped: this machine has no IPv6");
            return;
        };
        let port = server.local_addr().expect("an address").port();
        let other = hole.local_addr().expect("an address");
        let full = TcpStream::connect_timeout(&other, Duration::from_millis(100));
        assert!(full.is_err(), "nothing is swallowed, so that this would prove nothing");
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        });
        let url: Url = format!("http://two.test:{port}/").parse().expect("a URL");
        let patience = Duration::from_secs(20);
        let recipe = ClientRecipe {
            url: url.clone(),
            connect_timeout: Some(patience),
            tls: tls::config(Arc::new(LateRoots::new(Vec::new(), None)), &[], None),
            proxy: None,
            family: Family::Any,
            inspect: false,
        };
        let addresses =
            [SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        let builder = recipe.builder().expect("a client").no_proxy();
        let client = builder.resolve_to_addrs("two.test", &addresses).build().expect("a client");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let answer =
            runtime.block_on(async { tokio::time::timeout(patience / 4, client.get(url).send()).await });
        let status =
            answer.expect("long before the connection would be given up").expect("an answer").status();
        assert_eq!(status, 200);
    }
}
