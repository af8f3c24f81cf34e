//! TLS: whom the proxy trusts, who it is, and how a handshake that fails is explained.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use crate::network::Way;
use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;
use crate::support::{INITIALIZE, INITIALIZED};

#[path = "../../examples/edge/edge/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod edge;
use edge::{Answers, Config, Edge};

/// An authority made for one test.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        Authority { issuer }
    }

    /// A certificate for a name, changed as a test wants it.
    fn issue(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        (params.signed_by(&key, &self.issuer).expect("issued"), key)
    }
}

/// A server behind TLS, whose authority stands in a file.
pub(crate) struct Secure {
    pub(crate) url: String,
    pub(crate) address: String,
    folder: TempDir,
    _plain: Option<Server>,
}

impl Secure {
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// Starts a server with a certificate changed so, which wants one of the client if `mutual`.
pub(crate) fn secure(mutual: bool, change: impl FnOnce(&mut CertificateParams)) -> Secure {
    let plain = Server::legacy(|request, reply| reply.result(request, "{}"));
    let address = plain.address.clone();
    Secure { _plain: Some(plain), ..before(&address, "http/1.1", mutual, change) }
}

/// Puts TLS before a server that speaks `protocol`.
pub(crate) fn before(
    behind: &str,
    protocol: &str,
    mutual: bool,
    change: impl FnOnce(&mut CertificateParams),
) -> Secure {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost", change);
    let folder = tempfile::tempdir().expect("a folder");
    let (client, client_key) = authority.issue("client", |_| ());
    for (name, text) in [
        ("ca.pem", authority.issuer.pem()),
        ("client.pem", client.pem()),
        ("client.key", client_key.serialize_pem()),
        ("other.key", key.serialize_pem()),
        ("empty.pem", "nothing\n".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the usual versions");
    let builder = match mutual {
        false => builder.with_no_client_auth(),
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config =
        builder.with_single_cert(vec![certificate.der().clone()], key).expect("they go together");
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];

    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (acceptor, behind) = (TlsAcceptor::from(Arc::new(config)), behind.to_owned());
    std::thread::spawn(move || relay(listener, &acceptor, &behind));
    Secure {
        url: format!("https://localhost:{port}/mcp"),
        address: format!("127.0.0.1:{port}"),
        folder,
        _plain: None,
    }
}

/// Takes TLS off and passes on what is inside.
fn relay(listener: std::net::TcpListener, acceptor: &TlsAcceptor, behind: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a listener");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.to_owned());
            connections.spawn(async move {
                let Ok(mut secure) = acceptor.accept(stream).await else { return };
                let mut plain = tokio::net::TcpStream::connect(behind).await.expect("it listens");
                let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
            });
        }
    });
}

/// What one request is answered with.
fn asked(server: &Secure, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let arguments: Vec<&str> =
        ["--silent", server.url.as_str()].into_iter().chain(arguments.iter().copied()).collect();
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, environment);
    let line = proxy.ask(r#"{"id":1,"method":"ping"}"#);
    proxy.finish();
    line
}

#[test]
fn trusts_named_authority() {
    let server = secure(false, |_| ());
    let line = asked(&server, &[], &[]);
    assert!(
        line.contains("an authority that this computer does not know") && line.contains("--ca-cert"),
        "{line}"
    );
    assert!(line.contains("\"code\":-31003") && line.contains("\"cause\":\"tls\""), "{line}");
    let authority = server.file("ca.pem");
    let trusted: [Way<'_>; 3] = [
        (&["--ca-cert", &authority], &[]),
        (&[], &[("NODE_EXTRA_CA_CERTS", &authority)]),
        (&[], &[("SSL_CERT_FILE", &authority)]),
    ];
    for (arguments, environment) in trusted {
        let line = asked(&server, arguments, environment);
        assert!(line.contains("\"result\""), "{arguments:?} {environment:?}: {line}");
    }
}

#[test]
fn uses_bundled_roots_without_system_roots() {
    let server = secure(false, |_| ());
    let (authority, missing) = (server.file("ca.pem"), server.file("missing.pem"));
    let none = [("SSL_CERT_FILE", missing.as_str()), ("SSL_CERT_DIR", missing.as_str())];
    let line = asked(&server, &[], &none);
    assert!(line.contains("an authority that this computer does not know"), "{line}");
    assert!(asked(&server, &["--ca-cert", &authority], &none).contains("\"result\""));
}

#[test]
fn names_certificate_fault() {
    let day = Duration::from_secs(86_400);
    #[expect(clippy::disallowed_methods, reason = "validity is counted from the day of the test")]
    let now = SystemTime::now();
    for (name, change, expected) in [
        (
            "another host",
            Box::new(|params: &mut CertificateParams| {
                params.subject_alt_names =
                    vec![rcgen::SanType::DnsName("other.example".try_into().expect("a name"))];
            }) as Box<dyn FnOnce(&mut CertificateParams)>,
            "is for another host",
        ),
        (
            "expired",
            Box::new(|params: &mut CertificateParams| {
                params.not_before = rcgen::date_time_ymd(2020, 1, 1);
                params.not_after = rcgen::date_time_ymd(2021, 2, 3);
            }),
            "has expired on 2021-02-03",
        ),
        (
            "of tomorrow",
            Box::new(move |params: &mut CertificateParams| {
                params.not_before = (now + day).into();
                params.not_after = (now + 2 * day).into();
            }),
            "is not valid yet",
        ),
    ] {
        let server = secure(false, change);
        let line = asked(&server, &["--ca-cert", &server.file("ca.pem")], &[]);
        assert!(line.contains(expected) && line.contains("\"cause\":\"tls\""), "{name}: {line}");
    }
}

#[test]
fn names_server_without_common_revision() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://localhost:{}/mcp", listener.local_addr().expect("an address").port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            // A record of TLS 1.0: fatal alert 70, protocol_version (RFC 5246, section 7.2).
            let _ = stream.write_all(&[21, 3, 1, 0, 2, 2, 70]);
        }
    });
    let mut proxy = Proxy::start(&[&url]);
    let line = proxy.ask(r#"{"id":1,"method":"ping"}"#);
    assert!(line.contains("\"cause\":\"tls\""), "{line}");
    assert!(line.contains("supports neither TLS 1.2 nor TLS 1.3"), "{line}");
    proxy.finish();
}

#[test]
fn sends_client_certificate_on_request() {
    let server = secure(true, |_| ());
    let (authority, certificate, key) =
        (server.file("ca.pem"), server.file("client.pem"), server.file("client.key"));
    let line = asked(&server, &["--ca-cert", &authority], &[]);
    assert!(line.contains("requires a client certificate") && line.contains("--client-cert"), "{line}");
    let mutual = ["--ca-cert", authority.as_str(), "--client-cert", &certificate, "--client-key", &key];
    let line = asked(&server, &mutual, &[]);
    assert!(line.contains("\"result\""), "{line}");
}

#[test]
fn unusable_tls_files_are_named_at_start() {
    let server = secure(false, |_| ());
    let (empty, certificate, other) =
        (server.file("empty.pem"), server.file("client.pem"), server.file("other.key"));
    let missing = server.file("missing.pem");
    for (arguments, expected) in [
        (&["--ca-cert", empty.as_str()][..], "holds no certificate"),
        (&["--ca-cert", &missing], "missing.pem of --ca-cert cannot be used"),
        (
            &["--client-cert", &certificate, "--client-key", &other],
            "does not go together with the certificate",
        ),
        (&["--client-cert", &certificate], "--client-key is missing"),
    ] {
        let line = asked(&server, arguments, &[]);
        assert!(line.contains("\"code\":-31000") && line.contains(expected), "{arguments:?}: {line}");
    }
}

#[test]
fn http2_stream_limit_causes_no_deadlock() {
    let edge = Edge::start(Config { access: None, answers: Answers::Stream, port: 0 }).expect("a free port");
    let plain = edge.mcp_url().replace("http://", "").replace("/mcp", "");
    let server = before(&plain, "h2", false, |_| ());
    let mut proxy = Proxy::start(&["-vv", &server.url, "--ca-cert", &server.file("ca.pem")]);
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    proxy.send(INITIALIZED);
    // More calls without end than may be under way at once, then the cancellation of each.
    for id in 0..150 {
        proxy.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"slow","arguments":{{"ms":600000,"steps":1}}}}}}"#
        ));
    }
    for id in 0..150 {
        let params = format!(r#"{{"requestId":{id}}}"#);
        proxy.send(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#));
    }
    let large = "x".repeat(3_000_000);
    for id in 200..350 {
        let text = if id == 200 { large.as_str() } else { "small" };
        proxy.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
        ));
    }
    let mut answered: Vec<String> = (200..350)
        .map(|_| mcp_tether::json::member(&proxy.line(), "id").expect("an id").to_owned())
        .collect();
    answered.sort();
    assert_eq!(answered, (200..350).map(|id| id.to_string()).collect::<Vec<_>>());
    let ended = proxy.finish();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0));
    assert!(ended.stderr.contains("HTTP/2.0") && !ended.stderr.contains("HTTP/1.1"), "{}", ended.stderr);
}
