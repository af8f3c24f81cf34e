//! Certificates that are trusted for themselves, SOCKS proxies, and the forms of `NO_PROXY`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;

const PING: &str = r#"{"id":1,"method":"ping"}"#;

/// A server that shows a certificate which it has signed itself.
struct SelfSigned {
    plain: Server,
    port: u16,
    /// The certificate in a file.
    file: String,
    /// Its SHA-256 fingerprint.
    fingerprint: String,
    _folder: TempDir,
}

/// As `openssl req -x509` makes it: server and authority at once.
fn authority_and_server(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

impl SelfSigned {
    fn start(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> SelfSigned {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("server.pem");
        std::fs::write(&file, certificate.pem()).expect("written");
        let fingerprint = mcp_tether::tls::Fingerprint::of(certificate.der()).to_string();

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).expect("a pair");
        let plain = Server::legacy(|request, reply| reply.result(request, "{}"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (acceptor, behind) = (TlsAcceptor::from(Arc::new(config)), plain.address.clone());
        std::thread::spawn(move || relay(listener, &acceptor, &behind));
        SelfSigned { plain, port, file: shown(file), fingerprint, _folder: folder }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/mcp", self.port)
    }

    /// What a request is answered, and that nothing reaches the server where that is an error.
    fn ask(&self, host: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let before = self.plain.requests().len();
        let line = ask(&self.url(host), arguments, environment);
        let is_answered = line.contains("\"result\"");
        assert_eq!(self.plain.requests().len() > before, is_answered, "{line}");
        line
    }
}

fn shown(path: PathBuf) -> String {
    path.to_str().expect("Unicode").to_owned()
}

/// Takes TLS off and passes on what is inside.
fn relay(listener: TcpListener, acceptor: &TlsAcceptor, behind: &str) {
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

fn ask(url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let arguments: Vec<&str> = [url].into_iter().chain(arguments.iter().copied()).collect();
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, environment);
    let line = proxy.ask(PING);
    let ended = proxy.finish();
    format!("{line}\n{}", ended.stderr)
}

#[test]
fn named_self_signed_certificate_is_accepted_for_its_names() {
    let (twin, other) = (
        SelfSigned::start(&["localhost", "127.0.0.1"], authority_and_server),
        SelfSigned::start(&["other.test"], authority_and_server),
    );
    for (what, names, change) in [
        ("authority and server", &["localhost", "127.0.0.1"][..], authority_and_server as fn(&mut _)),
        ("server alone", &["localhost", "127.0.0.1"], |_| ()),
        ("without a list of names", &[], authority_and_server),
        ("without a list of names, server alone", &[], |_| ()),
    ] {
        let server = SelfSigned::start(names, change);
        let file = server.file.as_str();
        for (arguments, environment) in [
            (&["--ca-cert", file][..], &[][..]),
            (&[], &[("NODE_EXTRA_CA_CERTS", file)]),
            (&[], &[("SSL_CERT_FILE", file)]),
            (&["--pin", &server.fingerprint], &[]),
            (&["--pin", &twin.fingerprint, "--pin", &server.fingerprint], &[]),
        ] {
            let line = server.ask("localhost", arguments, environment);
            assert!(line.contains("\"result\""), "{what} {arguments:?} {environment:?}: {line}");
        }
        // Named nowhere, or another one of the same name.
        for arguments in [&[][..], &["--ca-cert", twin.file.as_str()]] {
            let line = server.ask("localhost", arguments, &[]);
            assert!(line.contains("\"cause\":\"tls\"") && line.contains("does not know"), "{what}: {line}");
            assert!(line.contains("--ca-cert") && line.contains("--pin"), "{what}: {line}");
            assert!(line.contains(&server.fingerprint), "{what}: {line}");
        }
    }
    // For an address that stands in it, and for none that does not.
    let line = twin.ask("127.0.0.1", &["--ca-cert", &twin.file], &[]);
    assert!(line.contains("\"result\""), "{line}");
    for arguments in [["--ca-cert", other.file.as_str()], ["--pin", &other.fingerprint]] {
        let line = other.ask("localhost", &arguments, &[]);
        assert!(line.contains("is for another host"), "{arguments:?}: {line}");
    }
}

#[test]
fn named_certificate_out_of_date_or_purpose_is_refused() {
    for (change, expected) in [
        (
            (|params| {
                params.not_before = rcgen::date_time_ymd(2020, 1, 1);
                params.not_after = rcgen::date_time_ymd(2021, 2, 3);
            }) as fn(&mut CertificateParams),
            "has expired on 2021-02-03",
        ),
        (|params| params.not_before = rcgen::date_time_ymd(4000, 1, 1), "is not valid yet"),
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "it is not meant for servers",
        ),
    ] {
        for is_authority in [true, false] {
            let server = SelfSigned::start(&["localhost"], |params| {
                if is_authority {
                    authority_and_server(params);
                }
                change(params);
            });
            for arguments in [["--ca-cert", server.file.as_str()], ["--pin", &server.fingerprint]] {
                let line = server.ask("localhost", &arguments, &[]);
                assert!(line.contains(expected), "{arguments:?} {is_authority}: {line}");
            }
        }
    }
}

#[test]
fn pin_accepts_one_certificate_and_no_other() {
    let server = SelfSigned::start(&["localhost"], authority_and_server);
    let other = SelfSigned::start(&["localhost"], authority_and_server);
    let plain = server.fingerprint.replace(':', "").to_lowercase();
    for pin in [plain.as_str(), &server.fingerprint, &format!("sha256:{plain}")] {
        assert!(server.ask("localhost", &["--pin", pin], &[]).contains("\"result\""), "{pin}");
    }
    // Also where the other certificate is trusted.
    for arguments in [
        &["--pin", other.fingerprint.as_str()][..],
        &["--pin", &other.fingerprint, "--ca-cert", &server.file],
    ] {
        let line = server.ask("localhost", arguments, &[]);
        assert!(
            line.contains("is not the one that --pin names") && line.contains(&server.fingerprint),
            "{line}"
        );
    }
    for pin in ["marked", &plain[2..], "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        let line = server.ask("localhost", &["--pin", pin], &[]);
        assert!(line.contains("the value of --pin is not the SHA-256 fingerprint"), "{line}");
        assert!(!line.contains("marked"), "{line}");
    }
}

/// A SOCKS5 proxy (RFC 1928) that leads to one address, whatever it is asked for.
struct Socks {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Socks {
    /// Wants these credentials, `user:password`, where there are any.
    fn start(target: &str, wanted: Option<&'static str>) -> Socks {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, target) = (Arc::clone(&asked), target.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, target) = (Arc::clone(&seen), target.clone());
                std::thread::spawn(move || serve(stream, &target, wanted, &seen));
            }
        });
        Socks { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// Serves one connection; none where the other side goes away.
fn serve(mut stream: TcpStream, target: &str, wanted: Option<&str>, seen: &Mutex<Vec<String>>) -> Option<()> {
    let exactly = |stream: &mut TcpStream, length: usize| -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
    let methods = usize::from(exactly(&mut stream, 2)?[1]);
    let offered = exactly(&mut stream, methods)?;
    match wanted {
        None => stream.write_all(&[5, 0]).ok()?,
        Some(_) if !offered.contains(&2) => return stream.write_all(&[5, 0xFF]).ok(),
        Some(wanted) => {
            stream.write_all(&[5, 2]).ok()?;
            let length = usize::from(exactly(&mut stream, 2)?[1]);
            let user = text(exactly(&mut stream, length)?);
            let length = usize::from(exactly(&mut stream, 1)?[0]);
            let password = text(exactly(&mut stream, length)?);
            if format!("{user}:{password}") != wanted {
                return stream.write_all(&[1, 1]).ok();
            }
            stream.write_all(&[1, 0]).ok()?;
        }
    }
    let head = exactly(&mut stream, 4)?;
    assert_eq!(head[3], 3, "a name is to be resolved here");
    let length = usize::from(exactly(&mut stream, 1)?[0]);
    let host = text(exactly(&mut stream, length)?);
    let port = exactly(&mut stream, 2)?;
    seen.lock().expect("no panic").push(format!("{host}:{}", u16::from_be_bytes([port[0], port[1]])));
    let refused = host.starts_with("refused");
    stream.write_all(&[5, if refused { 5 } else { 0 }, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let mut server = TcpStream::connect(target).expect("it listens");
    let (mut from, mut to) = (server.try_clone().ok()?, stream.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
    });
    std::io::copy(&mut stream, &mut server).ok().map(drop)
}

#[test]
fn socks_proxies_resolve_names_and_refusals_are_theirs() {
    const URL: &str = "http://mcp.example.test/mcp";
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let open = Socks::start(&server.address, None);
    let locked = Socks::start(&server.address, Some("user:markedpass"));
    let ask = |url: &str, arguments: &[&str], environment: &[(&str, &str)]| {
        ask(url, &[&["--allow-http"], arguments].concat(), environment)
    };
    for scheme in ["socks5h", "socks5"] {
        let proxy = format!("{scheme}://{}", open.address);
        for (arguments, environment) in [
            (&[][..], &[("ALL_PROXY", proxy.as_str())][..]),
            (&[], &[("all_proxy", &proxy)]),
            (&[], &[("HTTP_PROXY", &proxy)]),
            (&["--proxy", &proxy], &[]),
        ] {
            let line = ask(URL, arguments, environment);
            assert!(line.contains("\"result\""), "{arguments:?} {environment:?}: {line}");
        }
        let with = format!("{scheme}://user:markedpass@{}", locked.address);
        for (arguments, environment) in
            [(&[][..], &[("ALL_PROXY", with.as_str())][..]), (&["--proxy", &with], &[])]
        {
            let line = ask(URL, arguments, environment);
            assert!(line.contains("\"result\"") && !line.contains("markedpass"), "{line}");
        }
    }
    assert_eq!(open.asked(), vec!["mcp.example.test:80".to_owned(); 8]);
    assert_eq!(locked.asked(), vec!["mcp.example.test:80".to_owned(); 4]);

    let count = server.requests().len();
    let wrong = format!("socks5h://user:markedwrong@{}", locked.address);
    let none = format!("socks5h://{}", locked.address);
    for proxy in [&wrong, &none] {
        let line = ask(URL, &["--proxy", proxy], &[]);
        assert!(line.contains("\"cause\":\"proxy\"") && line.contains("the SOCKS proxy"), "{line}");
        assert!(line.contains("credentials") && !line.contains("markedwrong"), "{line}");
    }
    let line = ask("http://refused.test/mcp", &["--proxy", &format!("socks5h://{}", open.address)], &[]);
    assert!(line.contains("\"cause\":\"proxy\"") && line.contains("connection refused"), "{line}");
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let line = ask(URL, &["--proxy", &format!("socks5h://{closed}")], &[]);
    assert!(line.contains(&format!("the proxy socks5h://{closed} cannot be reached")), "{line}");
    assert_eq!(server.requests().len(), count, "nothing went past the proxy");
}

#[test]
fn check_names_socks_proxy_that_is_used() {
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let proxy = Socks::start(&server.address, None);
    let found = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"))
        .args(["check", "http://mcp.example.test/mcp", "--allow-http"])
        .env_clear()
        .env("ALL_PROXY", format!("socks5://{}", proxy.address))
        .output()
        .expect("it starts");
    let told = String::from_utf8_lossy(&found.stdout);
    assert!(told.contains(&format!("through socks5h://{}", proxy.address)), "{told}");
    assert!(proxy.asked().contains(&"mcp.example.test:80".to_owned()), "{told}");
}

#[test]
fn no_proxy_follows_curl_and_node() {
    // At once, because a name that cannot be resolved is tried more than once.
    std::thread::scope(|scope| {
        for (name, exceptions, goes_through) in [
            ("NO_PROXY", "*.corp.invalid", false),
            ("no_proxy", "*.corp.invalid:80", false),
            ("NO_PROXY", "x.corp.invalid:80", false),
            ("NO_PROXY", "localhost x.corp.invalid", false),
            ("NO_PROXY", "*", false),
            ("NO_PROXY", "x.corp.invalid:8080", true),
            ("no_proxy", "*.other.invalid y.corp.invalid corp.invali", true),
            ("NO_PROXY", "", true),
        ] {
            scope.spawn(move || {
                let server = Server::start(|request, reply| reply.result(request, "{}"));
                let proxy = format!("http://{}", server.address);
                let variables = [("HTTP_PROXY", proxy.as_str()), (name, exceptions)];
                let line = ask("http://x.corp.invalid/mcp", &["--allow-http"], &variables);
                assert_eq!(!server.requests().is_empty(), goes_through, "{name}={exceptions}: {line}");
                assert_eq!(line.contains("\"cause\":\"dns\""), !goes_through, "{name}={exceptions}: {line}");
            });
        }
    });
}
