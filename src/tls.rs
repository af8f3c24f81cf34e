//! TLS: trusted roots, pins, client certificates, and the classification of failed handshakes.
//!
//! Reading the operating system's roots takes longer than everything else at start, so a thread does it while the name is looked
//! up, and only for https. Of hundreds of roots a server needs one or two, and only these are kept. Deliberately not here: HTTP, and
//! the words for a failure (`diagnosis`).

mod certificates;
mod fingerprint;
mod named;

use std::iter::once;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use tracing::warn;

use self::certificates::Certificates;
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

/// The verifier. It reads authorities when a certificate has to be judged, and keeps those that a server needed.
#[derive(Debug)]
pub(crate) struct LateRoots {
    provider: Arc<CryptoProvider>,
    /// The user's authorities.
    authorities: Vec<CertificateDer<'static>>,
    late_authorities: Option<PathBuf>,
    /// The certificates of [`Self::late_authorities`].
    late: OnceLock<Vec<CertificateDer<'static>>>,
    system: SystemRoots,
    algorithms: WebPkiSupportedAlgorithms,
    ahead: Mutex<Ahead>,
    /// Certificates of the system by which a server was accepted.
    needed: Mutex<Vec<CertificateDer<'static>>>,
    /// The chain that a server showed last, if it is inspected.
    shown: Option<Mutex<Vec<CertificateDer<'static>>>>,
}

/// The system's bundle, read before a server shows its certificate. It is released when the first server is judged.
#[derive(Debug)]
enum Ahead {
    NotRead,
    Read(Certificates),
    Released,
}

/// Where the operating system has its authorities.
#[derive(Debug)]
struct SystemRoots {
    /// The file that has them all on most systems. Those have each authority in a file of its own as well, and reading these takes
    /// another 2 ms, so they are read when the bundle does not suffice.
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

/// What a server shows, and what it is asked for.
struct ServerChain<'a> {
    end_entity: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    name: &'a ServerName<'a>,
    now: UnixTime,
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
            late: OnceLock::new(),
            system: SystemRoots::new(),
            ahead: Mutex::new(Ahead::NotRead),
            needed: Mutex::default(),
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

    /// Reads the system's bundle on a thread of its own.
    pub(crate) fn read_ahead(self: &Arc<Self>) {
        let roots = Arc::clone(self);
        std::thread::spawn(move || {
            // A server that has to be judged meanwhile waits for the lock.
            let mut ahead = roots.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            if let Ahead::NotRead = *ahead {
                *ahead = Ahead::Read(roots.read_bundle());
            }
        });
    }

    fn read_bundle(&self) -> Certificates {
        self.system.bundle.as_deref().map(Certificates::read).unwrap_or_default()
    }

    /// The certificates of the system's bundle: those that were read ahead, if it is the first time.
    fn bundle(&self) -> Certificates {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *ahead, Ahead::Released) {
            Ahead::Read(certificates) => certificates,
            Ahead::NotRead | Ahead::Released => self.read_bundle(),
        }
    }

    /// The authorities that the user named.
    fn named(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        let late = self.late.get_or_init(|| {
            let Some(path) = &self.late_authorities else { return Vec::new() };
            read_certificates(path).unwrap_or_else(|reason| {
                warn!(path = %path.display(), reason, "a file of authorities is left out");
                Vec::new()
            })
        });
        self.authorities.iter().chain(late)
    }

    /// Judges a server by the user's authorities and these certificates of the system, and keeps those that it needed.
    fn judge(
        &self,
        server: &ServerChain<'_>,
        system: &[CertificateDer<'_>],
        built_in: &[TrustAnchor<'static>],
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        let mut is_named = false;
        for certificate in self.named().map(AsRef::as_ref).chain(system.iter().map(AsRef::as_ref)) {
            is_named |= certificate == server.end_entity.as_ref();
            // One that cannot be read is left out.
            let _ = roots.add(CertificateDer::from(certificate));
        }
        roots.extend(built_in.iter().cloned());
        let judged = server.verify(&roots, &self.algorithms);
        let judged = match judged {
            Err(_) if is_named => {
                named::verify_alone(server.end_entity, server.name, server.now, &self.algorithms)
            }
            judged => judged.map_err(|error| named::with_fingerprint(error, server.end_entity)),
        };
        if judged.is_ok() {
            let mut needed = self.needed.lock().unwrap_or_else(PoisonError::into_inner);
            for certificate in system {
                if !needed.contains(certificate) {
                    needed.push(certificate.clone().into_owned());
                }
            }
        }
        judged
    }

    /// Keeps the chain that a server shows, if it is inspected.
    fn remember(&self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) {
        let Some(shown) = &self.shown else { return };
        let chain = std::iter::once(end_entity).chain(intermediates);
        *shown.lock().unwrap_or_else(PoisonError::into_inner) =
            chain.map(|certificate| certificate.clone().into_owned()).collect();
    }
}

impl ServerChain<'_> {
    /// Judges by the issuer, the dates, the purpose and the name.
    fn verify(
        &self,
        roots: &RootCertStore,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(self.end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            roots,
            self.intermediates,
            self.now,
            algorithms.all,
        )?;
        verify_server_name(&parsed, self.name)?;
        Ok(ServerCertVerified::assertion())
    }

    /// Selects the certificates that can vouch for this server: those of its issuers, and its own.
    fn select<'a>(&self, certificates: impl Iterator<Item = &'a [u8]>) -> Vec<CertificateDer<'a>> {
        let chain = once(self.end_entity).chain(self.intermediates);
        let read: Vec<_> =
            chain.filter_map(|certificate| webpki::EndEntityCert::try_from(certificate).ok()).collect();
        let issuers: Vec<_> = read.iter().map(|read| memchr::memmem::Finder::new(read.issuer())).collect();
        let vouches = |certificate: &&[u8]| {
            *certificate == self.end_entity.as_ref()
                || issuers.iter().any(|issuer| issuer.find(certificate).is_some())
        };
        certificates.filter(vouches).map(CertificateDer::from).collect()
    }
}

impl ServerCertVerifier for LateRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.remember(end_entity, intermediates);
        let server = ServerChain { end_entity, intermediates, name: server_name, now };
        let needed = self.needed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Ok(verified) = self.judge(&server, &needed, &[]) {
            return Ok(verified);
        }
        let bundle = self.bundle();
        if let Ok(verified) = self.judge(&server, &server.select(bundle.iter()), &[]) {
            return Ok(verified);
        }
        drop(bundle);
        let all = (self.system.all)();
        // A slim container has none; then those that come along have to do.
        let built_in = if all.is_empty() { webpki_roots::TLS_SERVER_ROOTS } else { &[] };
        self.judge(&server, &server.select(all.iter().map(AsRef::as_ref)), built_in)
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

    use std::sync::atomic::{AtomicBool, Ordering};

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
    static WAS_ASKED: AtomicBool = AtomicBool::new(false);

    #[test]
    fn authorities_outside_the_bundle_are_read_when_needed() {
        let ((bundled, one), (other, two)) = (authority(), authority());
        IN_ITS_OWN_FILE.set(other).expect("one test alone uses it");
        let folder = tempfile::tempdir().expect("a folder");
        let bundle = folder.path().join("bundle.pem");
        let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &bundled);
        let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        std::fs::write(&bundle, text).expect("a file");
        let file = bundle.clone();
        let all = || {
            WAS_ASKED.store(true, Ordering::Relaxed);
            IN_ITS_OWN_FILE.get().cloned().into_iter().collect()
        };
        let system = SystemRoots { bundle: Some(bundle), all };
        let roots = LateRoots { system, ..LateRoots::new(Vec::new(), None) };
        let name = ServerName::try_from("mcp.example.com").expect("a name");
        let is_trusted = |server| roots.verify_server_cert(server, &[], &name, &[], UnixTime::now()).is_ok();
        assert!(is_trusted(&one) && !WAS_ASKED.load(Ordering::Relaxed), "the bundle suffices");
        std::fs::remove_file(file).expect("it is there");
        assert!(is_trusted(&one) && !WAS_ASKED.load(Ordering::Relaxed), "what a server needed is kept");
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
