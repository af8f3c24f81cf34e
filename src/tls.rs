//! TLS: trusted roots, pins, client certificates, and the classification of failed handshakes.
//!
//! Loading the operating system's roots takes longer than everything else at start, so a thread begins it while the
//! name is looked up, and only for https. Deliberately not here: HTTP, and the words for a failure (`diagnosis`).

mod fingerprint;
mod named;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use tracing::warn;

pub use fingerprint::Fingerprint;
pub(crate) use named::Pinned;

use crate::{files, platform};

/// How large a file of certificates may be, in bytes.
pub const FILE_LIMIT: u64 = 16 * 1024 * 1024;

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
    /// The pinned certificates of the server's host: if there are any, no other is accepted, whatever its issuer.
    pub pins: Vec<Fingerprint>,
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
    let text =
        files::read(path, FILE_LIMIT).and_then(files::without_utf16).map_err(|error| error.to_string())?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
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
    let text = files::read(key, files::SETTINGS_LIMIT).and_then(files::without_utf16);
    let text = text.map_err(|error| (key, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(|error| (key, error.to_string()))?;
    let provider = rustls::crypto::ring::default_provider();
    let certified =
        rustls::sign::CertifiedKey::from_der(certificates.clone(), private.clone_key(), &provider);
    certified.map_err(|error| (key, format!("it does not go together with the certificate ({error})")))?;
    Ok(Identity { chain: certificates, key: private })
}

/// How many TLS sessions are kept to be resumed. The library keeps eight for each host; its default of 256 takes 14 KB for each client.
const SESSIONS: usize = 32;

/// The TLS settings of the client.
#[expect(
    clippy::expect_used,
    reason = "ring supports the default versions; an identity was tried when it was read"
)]
pub(crate) fn config(
    roots: Arc<LateRoots>,
    pins: &[Fingerprint],
    identity: Option<Identity>,
) -> rustls::ClientConfig {
    let provider = Arc::clone(&roots.provider);
    let verifier: Arc<dyn ServerCertVerifier> = match pins {
        [] => roots,
        pins => Arc::new(Pinned { roots, pins: pins.to_vec() }),
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            builder.with_client_auth_cert(chain, key).expect("both were tried when they were read")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config
}

/// The standard verifier, made when the first certificate has to be judged.
#[derive(Debug)]
pub(crate) struct LateRoots {
    provider: Arc<CryptoProvider>,
    authorities: Vec<CertificateDer<'static>>,
    late_authorities: Option<PathBuf>,
    system: SystemRoots,
    algorithms: WebPkiSupportedAlgorithms,
    /// Trusts the system's bundle, where there is one.
    bundled: OnceLock<Option<Loaded>>,
    /// Trusts all that the system has.
    loaded: OnceLock<Result<Loaded, String>>,
    /// The chain that a server showed last, if it is inspected.
    shown: Option<Mutex<Vec<CertificateDer<'static>>>>,
}

/// Where the operating system has its authorities.
#[derive(Debug)]
struct SystemRoots {
    /// The file that has them all on most systems. Those have each authority in a file of its own as well, and reading these takes
    /// another 2 ms and 0.2 MB, so they are read when the bundle does not suffice. None where the environment names other places.
    bundle: Option<PathBuf>,
    /// Loads everything.
    all: fn() -> Vec<CertificateDer<'static>>,
}

impl SystemRoots {
    fn new() -> SystemRoots {
        SystemRoots {
            bundle: platform::authorities_bundle(),
            all: || rustls_native_certs::load_native_certs().certs,
        }
    }
}

/// What is trusted, loaded.
#[derive(Debug)]
struct Loaded {
    standard: Arc<WebPkiServerVerifier>,
    /// Every certificate that was loaded: a server may show one of them for its own.
    named: HashSet<Fingerprint>,
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
            system: SystemRoots::new(),
            bundled: OnceLock::new(),
            loaded: OnceLock::new(),
            shown: None,
        }
    }

    /// Remembers what servers show.
    pub(crate) fn remembering(self) -> LateRoots {
        LateRoots { shown: Some(Mutex::default()), ..self }
    }

    /// The chain that a server showed last, its own certificate first.
    pub(crate) fn shown(&self) -> Vec<CertificateDer<'static>> {
        let shown =
            self.shown.as_ref().map(|shown| shown.lock().unwrap_or_else(PoisonError::into_inner).clone());
        shown.unwrap_or_default()
    }

    /// Begins to load on a thread of its own.
    pub(crate) fn begin_loading(self: &Arc<Self>) {
        let roots = Arc::clone(self);
        std::thread::spawn(move || {
            if roots.bundled().is_none() {
                drop(roots.loaded());
            }
        });
    }

    fn bundled(&self) -> Option<&Loaded> {
        let loaded = self.bundled.get_or_init(|| {
            let bundle =
                rustls_native_certs::load_certs_from_paths(self.system.bundle.as_deref(), None).certs;
            if bundle.is_empty() { None } else { self.trust(bundle).ok() }
        });
        loaded.as_ref()
    }

    fn loaded(&self) -> Result<&Loaded, Error> {
        let loaded = self.loaded.get_or_init(|| self.trust((self.system.all)()));
        loaded.as_ref().map_err(|reason| {
            Error::General(format!("the operating system has no usable root certificates ({reason})"))
        })
    }

    /// Trusts these authorities of the operating system, and those that the user named.
    fn trust(&self, system: Vec<CertificateDer<'static>>) -> Result<Loaded, String> {
        let mut roots = RootCertStore::empty();
        let mut named = HashSet::new();
        let mut add = |certificates: Vec<CertificateDer<'static>>| {
            named.extend(certificates.iter().map(Fingerprint::of));
            roots.add_parsable_certificates(certificates);
            roots.is_empty()
        };
        // A slim container has none; then those that come along have to do.
        let has_none = add(system);
        add(self.authorities.clone());
        if let Some(path) = &self.late_authorities {
            match read_certificates(path) {
                Ok(certificates) => drop(add(certificates)),
                Err(reason) => warn!(path = %path.display(), reason, "a file of authorities is left out"),
            }
        }
        if has_none {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let standard =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| error.to_string())?;
        Ok(Loaded { standard, named })
    }

    /// Keeps the chain that a server shows, if it is inspected.
    fn remember(&self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) {
        let Some(shown) = &self.shown else { return };
        let chain = std::iter::once(end_entity).chain(intermediates);
        *shown.lock().unwrap_or_else(PoisonError::into_inner) =
            chain.map(|certificate| certificate.clone().into_owned()).collect();
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
        self.remember(end_entity, intermediates);
        let judge = |loaded: &Loaded| {
            let standard = &loaded.standard;
            match standard.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                Err(_) if loaded.named.contains(&Fingerprint::of(end_entity)) => {
                    named::verify_alone(end_entity, server_name, now, &self.algorithms)
                }
                judged => judged.map_err(|error| named::with_fingerprint(error, end_entity)),
            }
        };
        match self.bundled().map(judge) {
            Some(Ok(verified)) => Ok(verified),
            Some(Err(_)) | None => judge(self.loaded()?),
        }
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

/// What a certificate says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Until when it holds, in seconds since 1970, where it says so.
    pub expires: Option<u64>,
}

/// Reads what a certificate says of itself; nothing where it cannot be read.
pub fn describe(certificate: &CertificateDer<'_>) -> Described {
    let Ok(read) = webpki::EndEntityCert::try_from(certificate) else { return Described::default() };
    let subject = Some(name(read.subject())).filter(|name| !name.is_empty());
    let subject = subject.or_else(|| read.valid_dns_names().next().map(str::to_owned)).unwrap_or_default();
    Described { subject, issuer: name(read.issuer()), expires: expires(certificate) }
}

/// The library tells when a certificate ends only of one that has ended, so it is asked what it thinks at the end of
/// time. That comes before anything else about it.
fn expires(certificate: &CertificateDer<'_>) -> Option<u64> {
    let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let judged =
        verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], end_of_time, &[]);
    match judged {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(not_after.as_secs())
        }
        Ok(()) | Err(_) => None,
    }
}

/// Organisation and common name (X.520) of a distinguished name in DER, as far as there are any.
fn name(der: &[u8]) -> String {
    let parts = [10, 3].into_iter().filter_map(|number| attribute(der, number));
    parts.collect::<Vec<_>>().join(", ")
}

/// An attribute (X.520) of a distinguished name in DER, by its number.
fn attribute(der: &[u8], number: u8) -> Option<String> {
    let identifier = [6, 3, 0x55, 4, number];
    let at = memchr::memmem::find(der, &identifier)?.checked_add(identifier.len())?;
    // A text of some kind and its length, which is less than 128 by the standard's bound.
    let (length, text) = der.get(at..)?.get(1..)?.split_first()?;
    Some(String::from_utf8_lossy(text.get(..usize::from(*length))?).into_owned())
}

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No trusted authority has issued the certificate.
    UnknownAuthority {
        /// The fingerprint of the server's certificate.
        fingerprint: Fingerprint,
        /// Whether the certificate vouches for itself.
        is_self_signed: bool,
    },
    /// The certificate is none of those that were named one by one.
    NotPinned(Fingerprint),
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
            CertificateError::Other(OtherError(cause)) => {
                if let Some(&named::Unknown { fingerprint, is_self_signed }) = cause.downcast_ref() {
                    return Failure::UnknownAuthority { fingerprint, is_self_signed };
                }
                match cause.downcast_ref::<named::NotPinned>() {
                    Some(named::NotPinned(fingerprint)) => Failure::NotPinned(*fingerprint),
                    None => Failure::Certificate(in_words(cause)),
                }
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Failure::Certificate("it is not meant for servers".to_owned())
            }
            CertificateError::BadEncoding => Failure::Certificate("it is malformed".to_owned()),
            CertificateError::Revoked => Failure::Certificate("it was revoked".to_owned()),
            other => Failure::Certificate(in_words(other)),
        },
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::AccessDenied) => {
            Failure::ClientCertificate
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            Failure::Version
        }
        Error::AlertReceived(alert) => Failure::Other(format!("it refused ({})", in_words(alert))),
        Error::InvalidMessage(reason) => Failure::Other(format!("it sent no TLS ({})", in_words(reason))),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            Failure::Other("it sent a message of TLS out of order".to_owned())
        }
        Error::PeerMisbehaved(reason) => {
            Failure::Other(format!("it does not keep to the rules of TLS ({})", in_words(reason)))
        }
        Error::General(reason) => Failure::Other(reason.clone()),
        Error::NoCertificatesPresented => Failure::Other("it showed no certificate".to_owned()),
        Error::DecryptError => Failure::Other("a message of it could not be decrypted".to_owned()),
        other => Failure::Other(in_words(other)),
    }
}

/// The name of a variant of the library as words: it has no others for most of them.
fn in_words(variant: &impl std::fmt::Debug) -> String {
    let name = format!("{variant:?}");
    let letters = name.chars().take_while(char::is_ascii_alphanumeric);
    let mut words = String::new();
    for letter in letters {
        if letter.is_ascii_uppercase() && words.ends_with(|last: char| last.is_ascii_alphanumeric()) {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    match words.is_empty() {
        true => "the TLS library says no more".to_owned(),
        false => words,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    /// An authority, and the certificate of a server that it issued.
    fn authority() -> (CertificateDer<'static>, CertificateDer<'static>) {
        let key = || KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority");
        let server = CertificateParams::new(["mcp.example.com".to_owned()]).expect("a name");
        let server = server.signed_by(&key(), &issuer).expect("a certificate");
        (issuer.der().clone(), server.into())
    }

    static IN_ITS_OWN_FILE: OnceLock<CertificateDer<'static>> = OnceLock::new();

    #[test]
    fn authorities_outside_the_bundle_are_read_when_needed() {
        let ((bundled, one), (other, two)) = (authority(), authority());
        IN_ITS_OWN_FILE.set(other).expect("one test alone uses it");
        let folder = tempfile::tempdir().expect("a folder");
        let bundle = folder.path().join("bundle.pem");
        let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &bundled);
        let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        std::fs::write(&bundle, text).expect("a file");
        let all = || IN_ITS_OWN_FILE.get().cloned().into_iter().collect();
        let system = SystemRoots { bundle: Some(bundle), all };
        let roots = LateRoots { system, ..LateRoots::new(Vec::new(), None) };
        let name = ServerName::try_from("mcp.example.com").expect("a name");
        let is_trusted = |server| roots.verify_server_cert(server, &[], &name, &[], UnixTime::now()).is_ok();
        assert!(is_trusted(&one) && roots.loaded.get().is_none(), "the bundle suffices");
        assert!(is_trusted(&two), "the bundle does not suffice");
        assert!(!is_trusted(&authority().1), "no authority is known");
    }

    #[test]
    fn errors_hold_no_names_of_variants() {
        let other = |error: webpki::Error| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
        };
        for (error, expected) in [
            (
                other(webpki::Error::PathLenConstraintViolated),
                Failure::Certificate("path len constraint violated".to_owned()),
            ),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                Failure::Other("it refused (handshake failure)".to_owned()),
            ),
            (
                Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
                Failure::Other("it sent no TLS (invalid content type)".to_owned()),
            ),
            (
                Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure),
                Failure::Certificate("application verification failure".to_owned()),
            ),
        ] {
            assert_eq!(sort(&error), expected);
        }
    }
}
