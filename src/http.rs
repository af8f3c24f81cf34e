//! The one HTTP client: no redirects, roots loaded late, connections that notice a dead peer.
//!
//! Loading the operating system's roots takes longer than everything else at start, so a thread begins it while the
//! name is looked up, and only for https. Deliberately not here: what is asked, and with which headers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use url::{Host, Url};

/// How often a silent connection is asked whether the other side is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long an idle connection is kept: less than the other side keeps it, so that it is not reused while it is being
/// closed. Over http that is a bare server (Node: 5 s), over https something in front of it (load balancers: 60 s and
/// more, Cloudflare: 400 s), where a new handshake costs more.
fn pool_idle(url: &Url) -> Duration {
    Duration::from_secs(if url.scheme() == "https" { 50 } else { 4 })
}

/// Makes the client for requests to `url`.
///
/// # Errors
/// When the TLS library or the HTTP library cannot be set up.
pub fn client(url: &Url, connect_timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    let roots = Arc::new(LateRoots::new());
    if url.scheme() == "https" {
        let roots = Arc::clone(&roots);
        std::thread::spawn(move || drop(roots.verifier()));
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("mcp-tether/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(connect_timeout)
        .tcp_keepalive(KEEP_ALIVE)
        .pool_idle_timeout(pool_idle(url))
        .tls_backend_preconfigured(tls(roots));
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    builder.build()
}

fn tls(roots: Arc<LateRoots>) -> rustls::ClientConfig {
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&roots.provider))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .dangerous()
        .with_custom_certificate_verifier(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// The standard verifier, made when the first certificate has to be judged.
#[derive(Debug)]
struct LateRoots {
    provider: Arc<CryptoProvider>,
    algorithms: WebPkiSupportedAlgorithms,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, String>>,
}

impl LateRoots {
    fn new() -> LateRoots {
        let provider = rustls::crypto::ring::default_provider();
        LateRoots {
            algorithms: provider.signature_verification_algorithms,
            provider: Arc::new(provider),
            verifier: OnceLock::new(),
        }
    }

    fn verifier(&self) -> Result<&Arc<WebPkiServerVerifier>, Error> {
        let made = self.verifier.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| error.to_string())
        });
        made.as_ref().map_err(|reason| {
            Error::General(format!("the operating system has no usable root certificates ({reason})"))
        })
    }
}

impl ServerCertVerifier for LateRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Tells whether a URL leads to this machine, where nobody else listens.
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
    /// Nobody listens there.
    ConnectionRefused,
    /// No connection could be made in time.
    ConnectTimeout,
    /// No connection could be made for another reason.
    Connect(String),
    /// The server's certificate was not accepted.
    Certificate(String),
    /// The TLS handshake failed otherwise.
    Tls(String),
    /// A connection that was there broke.
    Connection(String),
}

/// Sorts an error of the HTTP library. Its text may hold the URL, so it is not used as a whole.
pub fn transport_error(error: &reqwest::Error) -> TransportError {
    let mut innermost: &(dyn std::error::Error + 'static) = error;
    while let Some(cause) = source(innermost) {
        if let Some(tls) = cause.downcast_ref::<Error>() {
            return match tls {
                Error::InvalidCertificate(reason) => TransportError::Certificate(certificate_error(reason)),
                other => TransportError::Tls(other.to_string()),
            };
        }
        if error.is_connect() && cause.to_string() == "dns error" {
            return TransportError::Dns;
        }
        let hung_up = |io: &std::io::Error| io.kind() == std::io::ErrorKind::UnexpectedEof;
        if error.is_connect() && cause.downcast_ref().is_some_and(hung_up) {
            // Without TLS there is nothing to hang up in before the connection is made.
            return TransportError::Tls("the other side hung up during the handshake".to_owned());
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

/// The cause of an error; an IO error carries its own inside instead of naming it as the source.
fn source<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    let inside = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
    match inside {
        Some(inside) => Some(inside),
        None => error.source(),
    }
}

fn certificate_error(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => {
            "it was issued by an authority that this computer does not know".to_owned()
        }
        other => other.to_string(),
    }
}
