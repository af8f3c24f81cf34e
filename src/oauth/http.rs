//! The HTTP client of a sign-in: bounded in time and size; redirects are followed within the origin, for documents only.
//!
//! Credentials are sent to the server's own origin, as with every other request there: an origin behind Access lets nothing
//! else through.

pub(super) mod error_response;
mod interception;

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use url::{Host, Url};

use crate::auth::Credentials;
use crate::http::body::Body;
use crate::http::redirect::{Followed, RedirectPolicy, ResponseHead, SendRequest, follow};
use crate::http::{Http, HttpClient, TransportError, is_loopback, notice_closed_connections};
use crate::oauth::http::interception::unreachable;
use crate::oauth::local_network;
use crate::oauth::local_network::{Locality, is_plain, locality};
use crate::oauth::metadata::is_inward;
use crate::oauth::sign_in_error::{SignInError, foreign, place};

/// A boxed future: code that runs rarely is not in the program twice.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The media type of forms.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
/// How long a response may take, with its body.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a body may be, in bytes.
const LIMIT: usize = 256 * 1024;

/// Sends the requests of one sign-in.
pub(super) struct OAuthHttp<'a> {
    pub(super) http: &'a Http,
    /// The server to sign in at.
    pub(super) server: &'a Url,
    /// The credentials for the server's own origin.
    pub(super) credentials: &'a Credentials,
}

/// A response, read to its end.
#[derive(Debug)]
pub(super) struct OAuthResponse {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl OAuthResponse {
    /// Returns whether the status is a success.
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The status in words, and the host of a redirect that is not followed; never its path or query.
    pub(super) fn status(&self) -> String {
        let target = self.headers.get(LOCATION).filter(|_| (300..400).contains(&self.status));
        let target = target.and_then(|value| Url::parse(value.to_str().ok()?).ok()).map(|target| {
            let host = target.host_str().map(|host| format!("//{host}")).unwrap_or_default();
            foreign(&format!(", a redirect to {}:{host}, which is not followed,", target.scheme()))
        });
        format!("{}{}", self.status, target.unwrap_or_default())
    }
}

/// Fetches a document; an answer of Cloudflare's edge or of Access in its place is an error.
struct DocumentRequest<'a>(&'a OAuthHttp<'a>);

impl SendRequest for DocumentRequest<'_> {
    type Response = OAuthResponse;
    type Error = SignInError;

    async fn send_request(&self, url: &Url) -> Result<OAuthResponse, SignInError> {
        let answer = self.0.send(url, None, HeaderMap::new()).await?;
        self.0.intercepted(url, &answer).map_or(Ok(answer), Err)
    }
}

impl ResponseHead for OAuthResponse {
    fn status_code(&self) -> u16 {
        self.status
    }

    fn header_map(&self) -> &HeaderMap {
        &self.headers
    }
}

impl OAuthHttp<'_> {
    /// Fetches a document. Follows redirects within its origin.
    pub(super) async fn document(&self, url: &Url) -> Result<OAuthResponse, SignInError> {
        match follow(&DocumentRequest(self), url, RedirectPolicy::Document).await? {
            Followed::Response { response, .. } => Ok(response),
            Followed::TooMany { .. } => Err(SignInError::failed(
                format!("{} redirects without end", place(url)),
                "have the authorization server looked at",
            )),
        }
    }

    /// POSTs a body with further headers. A response of Cloudflare's edge or of Access is an error.
    pub(super) async fn post(
        &self,
        url: &Url,
        media_type: &'static str,
        body: String,
        headers: HeaderMap,
    ) -> Result<OAuthResponse, SignInError> {
        let answer = self.post_any(url, media_type, body, headers).await?;
        self.intercepted(url, &answer).map_or(Ok(answer), Err)
    }

    /// POSTs a body, and returns every response.
    pub(super) async fn post_any(
        &self,
        url: &Url,
        media_type: &'static str,
        body: String,
        mut headers: HeaderMap,
    ) -> Result<OAuthResponse, SignInError> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.send(url, Some(body), headers).await
    }

    /// Sends a GET request with further headers. Follows no redirect.
    pub(super) async fn get(&self, url: &Url, headers: HeaderMap) -> Result<OAuthResponse, SignInError> {
        self.send(url, None, headers).await
    }

    fn send<'a>(
        &'a self,
        url: &'a Url,
        body: Option<String>,
        own: HeaderMap,
    ) -> Boxed<'a, Result<OAuthResponse, SignInError>> {
        Box::pin(self.sent(url, body, own))
    }

    async fn sent(
        &self,
        url: &Url,
        body: Option<String>,
        own: HeaderMap,
    ) -> Result<OAuthResponse, SignInError> {
        let url = &self.without_foreign_name(url);
        let mut headers = HeaderMap::new();
        let method = if body.is_some() { http::Method::POST } else { http::Method::GET };
        self.credentials.decorate(&method, url, &mut headers);
        if !own.contains_key(ACCEPT) {
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        headers.extend(own);
        // A form spends a code or a token, and is sent once.
        let mut may_repeat = headers.get(CONTENT_TYPE).is_none_or(|value| value != FORM);
        let answer = async {
            // Resolving a name can take long, too.
            let client = self.client(url).await?;
            let response = loop {
                notice_closed_connections().await;
                let mut request = client.request(method.clone(), url.clone()).headers(headers.clone());
                if let Some(body) = &body {
                    request = request.body(body.clone());
                }
                match client.send(request).await.map_err(|error| self.http.transport_error(url, &error)) {
                    Ok(response) => break response,
                    Err(TransportError::Connection(_)) if may_repeat => may_repeat = false,
                    Err(error) => return Err(unreachable(url, &error)),
                }
            };
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let (mut response, mut body) = (Body::new(response), Vec::new());
            loop {
                match response.chunk().await {
                    Ok(Some(chunk)) if body.len() + chunk.len() > LIMIT => {
                        let sentence = format!("{} answered with more than {} KiB", place(url), LIMIT / 1024);
                        return Err(SignInError::failed(sentence, "have the authorization server looked at"));
                    }
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    Ok(None) => break,
                    Err(error) => return Err(unreachable(url, &error.transport())),
                }
            }
            Ok(OAuthResponse { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
            let sentence = format!("{} did not answer within {} seconds", place(url), PATIENCE.as_secs());
            Err(SignInError::failed(
                sentence,
                "try again; if it stays like this, have the authorization server looked at",
            ))
        })
    }
}

impl OAuthHttp<'_> {
    /// Makes sure that an http URL leads into the local network now.
    async fn check_network(&self, url: &Url) -> Result<(), SignInError> {
        let is_local = match (locality(url), url.host()) {
            (locality, Some(Host::Domain(name))) if !self.http.is_proxied(url) => {
                let port = url.port_or_known_default().unwrap_or(80);
                let found = tokio::net::lookup_host((name, port)).await;
                let mut found = found.map_err(|_| unreachable(url, &TransportError::Dns))?;
                locality != Locality::Public && found.all(|address| local_network::is_local(address.ip()))
            }
            (locality, _) => locality == Locality::Local,
        };
        if is_local {
            return Ok(());
        }
        let sentence = format!(
            "{} is reached over http and is not known to be of the local network, where alone a sign-in may go unencrypted",
            place(url)
        );
        Err(SignInError::failed(
            sentence,
            "use https:// for it; or a name of the local network, such as one that ends in .lan",
        ))
    }

    /// A URL without the name and password that another server has written into it, because they would be sent as
    /// `Authorization`. Those of the server's own URL stay.
    fn without_foreign_name(&self, url: &Url) -> Url {
        let mut url = url.clone();
        let own = (self.server.username(), self.server.password());
        if url.origin() != self.server.origin() || (url.username(), url.password()) != own {
            // Where there is no host, neither can be set, and neither is sent.
            let _ = (url.set_username(""), url.set_password(None));
        }
        url
    }

    /// The client for a request. A name is resolved here, and only these addresses are connected to: a name of a public server
    /// could resolve to this computer's own network later.
    async fn client(&self, url: &Url) -> Result<HttpClient, SignInError> {
        if is_plain(url) {
            self.check_network(url).await?;
        }
        if url.origin() == self.server.origin() && self.http.is_for(url) {
            return Ok(self.http.client());
        }
        let name = match url.host() {
            Some(Host::Domain(name)) if !is_loopback(self.server) && !self.http.is_proxied(url) => Some(name),
            _ => None,
        };
        let addresses = match name {
            Some(name) => {
                let port = url.port_or_known_default().unwrap_or(443);
                let found = tokio::net::lookup_host((name, port)).await;
                let found: Vec<SocketAddr> =
                    found.map_err(|_| unreachable(url, &TransportError::Dns))?.collect();
                if found.iter().any(|address| is_inward(address.ip())) {
                    let sentence =
                        format!("{} leads from a public server into this computer's own network", place(url));
                    return Err(SignInError::failed(
                        sentence,
                        "do not sign in there; tell the server's administrator",
                    ));
                }
                Some(found)
            }
            None => None,
        };
        self.http.client_for(url, addresses.as_deref()).map_err(|error| {
            SignInError::failed(
                format!("no HTTP client can be made: {error}"),
                "report this, with the platform",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Family, Settings};
    use crate::tls::Trust;

    fn http(server: &Url) -> Http {
        let settings = Settings {
            connect_timeout: Some(PATIENCE),
            patience: crate::http::Patience::default(),
            trust: Trust::default(),
            proxy: None,
            family: Family::Any,
            cookies: true,
            inspect: false,
        };
        Http::new(server, settings).expect("a client")
    }

    #[test]
    fn names_and_passwords_of_others_are_not_sent() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let server = url("https://me:mine@mcp.example.com/mcp");
        let (http, credentials) = (http(&server), Credentials::new(&server, Vec::new()));
        let http = OAuthHttp { http: &http, server: &server, credentials: &credentials };
        for (named, expected) in [
            ("https://eve:pw@mcp.example.com/token", "https://mcp.example.com/token"),
            ("https://eve@as.example.com/token", "https://as.example.com/token"),
            ("https://me:mine@as.example.com/token", "https://as.example.com/token"),
            ("https://me:mine@mcp.example.com/token", "https://me:mine@mcp.example.com/token"),
        ] {
            assert_eq!(http.without_foreign_name(&url(named)).as_str(), expected);
        }
    }

    #[tokio::test]
    async fn refuses_public_name_that_resolves_to_this_machine() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let server = url("https://mcp.example.com/mcp");
        let (http, credentials) = (http(&server), Credentials::new(&server, Vec::new()));
        let http = OAuthHttp { http: &http, server: &server, credentials: &credentials };
        // The one name that is looked up without a network.
        let refused = http.document(&url("https://localhost:1/x")).await.expect_err("inward");
        assert!(refused.to_string().contains("into this computer's own network"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_never_comes_is_not_waited_for() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let server = Url::parse(&address).expect("a URL");
        let (http, credentials) = (http(&server), Credentials::new(&server, Vec::new()));
        let http = OAuthHttp { http: &http, server: &server, credentials: &credentials };
        let late = http.document(&server).await.expect_err("nobody answers");
        // On a clock that jumps, whichever patience is shorter ends it.
        let text = late.to_string();
        assert!(text.contains("did not answer within 15 seconds") || text.contains("in time"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_response_times_out_like_missing_one() {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a visitor");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{");
            // The rest never comes; until the other side is gone.
            let _ = stream.read(&mut [0]);
        });
        let server = Url::parse(&address).expect("a URL");
        let (http, credentials) = (http(&server), Credentials::new(&server, Vec::new()));
        let http = OAuthHttp { http: &http, server: &server, credentials: &credentials };
        let text = http.document(&server).await.expect_err("it does not end").to_string();
        assert!(text.contains("did not answer within 15 seconds") || text.contains("in time"), "{text}");
    }

    #[tokio::test]
    async fn retries_closed_connection_except_for_forms() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for (media_type, expected) in [(FORM, None), ("application/json", Some(200))] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let server = format!("http://{}/mcp", listener.local_addr().expect("an address"));
            let server = Url::parse(&server).expect("a URL");
            let (http, credentials) = (http(&server), Credentials::new(&server, Vec::new()));
            let http = OAuthHttp { http: &http, server: &server, credentials: &credentials };
            let answering = async {
                let mut came = 0;
                loop {
                    let (mut stream, _) = listener.accept().await.expect("a connection");
                    stream.read_buf(&mut Vec::with_capacity(4096)).await.expect("a request");
                    came += 1;
                    // The first one gets nothing.
                    if came == 2 {
                        stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n").await.expect("sent");
                    }
                }
            };
            let answer = tokio::select! {
                answer = http.post(&server, media_type, "x=y".to_owned(), HeaderMap::new()) => answer,
                () = answering => unreachable!("it answers for ever"),
            };
            assert_eq!(answer.ok().map(|answer| answer.status), expected, "{media_type}");
        }
    }
}
