//! Certificates that are trusted for themselves, byte for byte: those that the user named, and those of `--pin`.
//!
//! `openssl req -x509` makes a certificate that is server and authority at once, which the standard verifier refuses
//! (RFC 5280 lets no authority stand at the end of a chain); OpenSSL, curl and Node accept it where it was named itself.
//! Its dates, its purpose and its names are checked all the same. Deliberately not here: which ones are trusted (`tls`).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::{Fingerprint, LateRoots, attribute};

/// Identifiers of extensions and purposes in DER (RFC 5280, 4.2.1.6 and 4.2.1.12).
const ALTERNATIVE_NAMES: [u8; 5] = [6, 3, 0x55, 0x1d, 0x11];
/// See [`ALTERNATIVE_NAMES`].
const EXTENDED_KEY_USAGE: [u8; 5] = [6, 3, 0x55, 0x1d, 0x25];
/// See [`ALTERNATIVE_NAMES`].
const SERVER_AUTH: [u8; 10] = [6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
/// See [`ALTERNATIVE_NAMES`].
const ANY_PURPOSE: [u8; 6] = [6, 4, 0x55, 0x1d, 0x25, 0];
/// Common name (X.520).
const COMMON_NAME: u8 = 3;

/// Checks all that a certificate says of itself: its dates, that it may serve, and that it is for this name. Who issued
/// it counts for nothing.
pub(super) fn verify_alone(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<ServerCertVerified, Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    // Without any authority, what is wrong with the certificate itself comes first.
    let judged =
        verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], now, algorithms.all);
    match judged {
        Ok(()) | Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
        // Nothing behind that was checked.
        Err(error) if is_authority(&error) && may_serve(certificate) => {}
        Err(error) if is_authority(&error) => {
            return Err(Error::InvalidCertificate(CertificateError::InvalidPurpose));
        }
        Err(error) => return Err(error),
    }
    match verify_server_name(&parsed, name) {
        Err(_) if is_common_name(certificate, name) => {}
        judged => judged?,
    }
    Ok(ServerCertVerified::assertion())
}

/// Returns whether a certificate was refused because it is an authority's.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else { return false };
    cause.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Returns whether a certificate has no purposes, or servers among them.
fn may_serve(certificate: &CertificateDer<'_>) -> bool {
    let has = |identifier: &[u8]| memchr::memmem::find(certificate, identifier).is_some();
    !has(&EXTENDED_KEY_USAGE) || has(&SERVER_AUTH) || has(&ANY_PURPOSE)
}

/// Returns whether a certificate names its host in the old way, by its common name alone.
fn is_common_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let Ok(read) = webpki::EndEntityCert::try_from(certificate) else { return false };
    let has_names = memchr::memmem::find(certificate, &ALTERNATIVE_NAMES).is_some();
    !has_names
        && attribute(read.subject(), COMMON_NAME)
            .is_some_and(|common| common.eq_ignore_ascii_case(&name.to_str()))
}

/// The certificate has no trusted issuer.
#[derive(Debug, thiserror::Error)]
#[error("an unknown authority")]
pub(super) struct Unknown {
    pub(super) fingerprint: Fingerprint,
    pub(super) is_self_signed: bool,
}

/// A server's certificate is not one of those of `--pin`.
#[derive(Debug, thiserror::Error)]
#[error("another certificate than --pin names")]
pub(super) struct NotPinned(pub(super) Fingerprint);

/// Adds the fingerprint to an error about an unknown issuer, in each form that the library has for it.
pub(super) fn with_fingerprint(error: Error, certificate: &CertificateDer<'_>) -> Error {
    let is_unknown = matches!(
        error,
        // The last two: signed by another authority of the same name as one that is trusted.
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer
                | CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        )
    );
    if !is_unknown && !is_authority(&error) {
        return error;
    }
    let read = webpki::EndEntityCert::try_from(certificate);
    let is_self_signed = read.is_ok_and(|read| read.subject() == read.issuer());
    other(Unknown { fingerprint: Fingerprint::of(certificate), is_self_signed })
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Accepts the certificates of `--pin` and no other; who issued them counts for nothing.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) roots: Arc<LateRoots>,
    pub(crate) pins: Vec<Fingerprint>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.roots.remember(end_entity, intermediates);
        let fingerprint = Fingerprint::of(end_entity);
        match self.pins.contains(&fingerprint) {
            true => verify_alone(end_entity, server_name, now, &self.roots.algorithms),
            false => Err(other(NotPinned(fingerprint))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.supported_verify_schemes()
    }
}
