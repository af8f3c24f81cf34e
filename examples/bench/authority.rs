//! The authority behind the https of the bench, made anew for every run, and the system's roots beside it.
//!
//! Contenders are to load about as many roots as on any system: `SSL_CERT_FILE` names a file with the system's bundle
//! and this authority, and `SSL_CERT_DIR` stays what it is. Where the system has few, self-made ones fill up.
//! Deliberately not here: who uses the files.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// How many roots there are to be at least.
const ROOTS: usize = 290;
/// Where systems keep their roots in one file, and in a folder.
const FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// An authority and the one certificate it gave.
pub(crate) struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    /// A new authority that vouches for this machine.
    pub(crate) fn new() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let own = root("bench").self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(root("bench"), key);
        let server_key = KeyPair::generate().expect("a key");
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let server = CertificateParams::new(names).expect("names").signed_by(&server_key, &issuer);
        Authority {
            pem: own.pem(),
            certificate: server.expect("a certificate").der().clone(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der())),
        }
    }

    /// The authority's certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The server's side of the handshake. HTTP/1.1 alone, as over http.
    pub(crate) fn server_config(self) -> rustls::ServerConfig {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate], self.key)
            .expect("they go together");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

fn root(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// The files that make a program trust the authority beside the system's roots.
#[derive(Clone)]
pub(crate) struct Roots {
    /// The authority alone.
    pub(crate) authority: PathBuf,
    /// The system's bundle and the authority.
    pub(crate) file: PathBuf,
    /// The system's folder.
    pub(crate) folder: Option<PathBuf>,
    /// What a program reads that loads both, in words.
    pub(crate) told: String,
}

impl Roots {
    /// Writes them into a folder.
    pub(crate) fn write(pem: &str, into: &Path) -> std::io::Result<Roots> {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.exists());
        let known = |paths: &[&str]| paths.iter().map(PathBuf::from).find(|path| path.exists());
        let bundle = named("SSL_CERT_FILE").or_else(|| known(&FILES));
        let folder = named("SSL_CERT_DIR").or_else(|| known(&FOLDERS));
        let mut text = bundle.map(std::fs::read_to_string).transpose()?.unwrap_or_default();
        let in_file = text.matches("-----BEGIN CERTIFICATE-----").count();
        let in_folder =
            folder.as_ref().map_or(Ok(0), |folder| std::fs::read_dir(folder).map(Iterator::count))?;
        let made = ROOTS.saturating_sub(in_file + in_folder);
        for number in 0..made {
            let key = KeyPair::generate().expect("a key");
            let filler = root(&format!("bench filler {number}")).self_signed(&key);
            text.push_str(&filler.expect("a certificate").pem());
        }
        text.push_str(pem);
        let (authority, file) = (into.join("authority.pem"), into.join("roots.pem"));
        std::fs::write(&authority, pem)?;
        std::fs::write(&file, text)?;
        let mut told = format!("{in_file} roots in the system's file, {in_folder} files in its folder");
        if made > 0 {
            told.push_str(&format!(", {made} self-made"));
        }
        Ok(Roots { authority, file, folder, told })
    }
}
