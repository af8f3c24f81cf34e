//! The API over TLS, with a company's authority in NODE_EXTRA_CA_CERTS.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::scene::Scene;

/// Puts TLS in front of an address. Returns the new address and the certificate.
fn secure(behind: String) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder =
        builder.with_safe_default_protocol_versions().expect("the usual versions").with_no_client_auth();
    let config = builder.with_single_cert(vec![made.cert.der().clone()], key).expect("they go together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            listener.set_nonblocking(true).expect("a listener");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                connections.spawn(async move {
                    let Ok(mut secure) = acceptor.accept(stream).await else { return };
                    let mut plain = tokio::net::TcpStream::connect(behind).await.expect("it listens");
                    let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
                });
            }
        });
    });
    (format!("https://localhost:{port}/client/v4"), made.cert.pem())
}

#[test]
fn authority_of_node_extra_ca_certs_is_trusted() {
    let scene = Scene::new();
    let behind = scene.api.url().replace("http://", "").replace("/client/v4", "");
    let (url, certificate) = secure(behind);
    let path = scene.folder.path().join("ca.pem");
    std::fs::write(&path, certificate).expect("written");
    let mut command = scene.command(&["setup", "URL", "--dry-run"]);
    command.env("MCP_TETHER_CLOUDFLARE_API", &url);
    scene.ran(&mut command).ended(1).says(&["could not be reached"]);
    assert!(scene.api.calls().is_empty());
    scene.ran(command.env("NODE_EXTRA_CA_CERTS", &path)).ended(0);
}
