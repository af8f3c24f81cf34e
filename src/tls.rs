//! Whom we trust and who we are, below HTTP: roots, client certificates, and what a failed handshake means.
//!
//! Loading the operating system's roots takes longer than everything else at start, so a thread begins it while the
//! name is looked up, and only for https. Deliberately not here: HTTP, and the words for a failure (`diagnosis`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tracing::warn;

/// Whom to trust beside the operating system's authorities, and what proves who we are.
#[derive(Debug, Default)]
pub struct Trust {
    /// Further authorities.
    pub authorities: Vec<CertificateDer<'static>>,
    /// A file with further authorities that is read when they are needed, and left out with a warning where it cannot
    /// be.
    pub late_authorities: Option<PathBuf>,
    /// Our certificate, where the server wants one.
    pub identity: Option<Identity>,
}

/// A client certificate with its chain, and its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// Why there are none, in words.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    match certificates.is_empty() {
        true => Err("it holds no certificate in PEM form".to_owned()),
        false => Ok(certificates),
    }
}

/// Reads a client certificate and its key, each from a PEM file.
///
/// # Errors
/// The path that is at fault, and why.
pub fn read_identity<'path>(chain: &'path Path, key: &'path Path) -> Result<Identity, (&'path Path, String)> {
    let certificates = read_certificates(chain).map_err(|reason| (chain, reason))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| (key, error.to_string()))?;
    let provider = rustls::crypto::ring::default_provider();
    let certified =
        rustls::sign::CertifiedKey::from_der(certificates.clone(), private.clone_key(), &provider);
    certified.map_err(|error| (key, format!("it does not go together with the certificate ({error})")))?;
    Ok(Identity { chain: certificates, key: private })
}

/// The TLS settings of the client.
pub(crate) fn config(roots: Arc<LateRoots>, identity: Option<Identity>) -> rustls::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&roots.provider))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .dangerous()
        .with_custom_certificate_verifier(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            builder.with_client_auth_cert(chain, key).expect("both were tried when they were read")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// The standard verifier, made when the first certificate has to be judged.
#[derive(Debug)]
pub(crate) struct LateRoots {
    provider: Arc<CryptoProvider>,
    authorities: Vec<CertificateDer<'static>>,
    late_authorities: Option<PathBuf>,
    algorithms: WebPkiSupportedAlgorithms,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, String>>,
}

impl LateRoots {
    /// Trusts these authorities beside the operating system's.
    pub(crate) fn new(
        authorities: Vec<CertificateDer<'static>>,
        late_authorities: Option<PathBuf>,
    ) -> LateRoots {
        let provider = rustls::crypto::ring::default_provider();
        LateRoots {
            algorithms: provider.signature_verification_algorithms,
            provider: Arc::new(provider),
            authorities,
            late_authorities,
            verifier: OnceLock::new(),
        }
    }

    /// Begins to load on a thread of its own.
    pub(crate) fn begin_loading(self: &Arc<Self>) {
        let roots = Arc::clone(self);
        std::thread::spawn(move || drop(roots.verifier()));
    }

    fn verifier(&self) -> Result<&Arc<WebPkiServerVerifier>, Error> {
        let made = self.verifier.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            // A slim container has none; then those that come along have to do.
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
            roots.add_parsable_certificates(self.authorities.iter().cloned());
            if let Some(path) = &self.late_authorities {
                match read_certificates(path) {
                    Ok(certificates) => drop(roots.add_parsable_certificates(certificates)),
                    Err(reason) => warn!(path = %path.display(), reason, "a file of authorities is left out"),
                }
            }
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

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody we trust vouches for the server.
    UnknownAuthority,
    /// The certificate is for other names.
    WrongHost,
    /// The certificate is no longer valid.
    Expired {
        /// Since when, in seconds since 1970, where it is known.
        since: Option<u64>,
    },
    /// The certificate is not valid yet, by this computer's clock.
    NotYetValid,
    /// Something else is wrong with the certificate.
    Certificate(String),
    /// The server wants a certificate of ours, or another one.
    ClientCertificate,
    /// No version of TLS in common.
    Version,
    /// The other side hung up, as one does that speaks no TLS.
    HungUp,
    /// Something else.
    Other(String),
}

/// Tells what an error of the TLS library means.
pub(crate) fn sort(error: &Error) -> Failure {
    match error {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => Failure::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Failure::WrongHost
            }
            CertificateError::Expired => Failure::Expired { since: None },
            CertificateError::ExpiredContext { not_after, .. } => {
                Failure::Expired { since: Some(not_after.as_secs()) }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Failure::NotYetValid
            }
            other => Failure::Certificate(other.to_string()),
        },
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::AccessDenied) => {
            Failure::ClientCertificate
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            Failure::Version
        }
        other => Failure::Other(other.to_string()),
    }
}
