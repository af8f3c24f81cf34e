//! Proxies on the way, and which addresses are used.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;
use crate::tls::{Secure, secure};

/// What a proxy was asked for, each with the credentials that came along.
type Asked = Vec<(String, Option<String>)>;

/// A CONNECT proxy that leads to one address, whatever it is asked for.
pub(crate) struct Tunnel {
    pub(crate) address: String,
    asked: Arc<Mutex<Asked>>,
}

impl Tunnel {
    /// Answers with `status` unless the credentials are `wanted`, or there are none to want.
    pub(crate) fn start(target: &str, wanted: Option<&'static str>, status: u16) -> Tunnel {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, target) = (Arc::clone(&asked), target.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, target) = (Arc::clone(&seen), target.clone());
                std::thread::spawn(move || serve(stream, &target, wanted, status, &seen));
            }
        });
        Tunnel { address, asked }
    }

    fn asked(&self) -> Asked {
        self.asked.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: TcpStream, target: &str, wanted: Option<&str>, status: u16, seen: &Mutex<Asked>) {
    let mut input = BufReader::new(stream.try_clone().expect("a second handle"));
    let (mut line, mut credentials) = (String::new(), None);
    input.read_line(&mut line).expect("a request");
    let host = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        let mut header = String::new();
        input.read_line(&mut header).expect("a header");
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("proxy-authorization") {
            credentials = Some(value.trim().to_owned());
        }
    }
    seen.lock().expect("no panic").push((host, credentials.clone()));
    if status != 200 && (wanted.is_none() || credentials.as_deref() != wanted) {
        let _ = write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        return;
    }
    let _ = write!(stream, "HTTP/1.1 200 X\r\n\r\n");
    let mut server = TcpStream::connect(target).expect("it listens");
    let (mut from, mut to) = (server.try_clone().expect("a handle"), stream.try_clone().expect("a handle"));
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
    });
    let _ = std::io::copy(&mut input, &mut server);
}

/// A server under a name that nobody resolves, so that only a proxy leads to it.
pub(crate) fn elsewhere() -> Secure {
    secure(false, |params| {
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName("mcp.example.test".try_into().expect("a name"))];
    })
}

/// Arguments and environment.
pub(crate) type Way<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

pub(crate) const URL: &str = "https://mcp.example.test/mcp";

fn asked(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut proxy = Proxy::start_with(Stdin::Pipes, arguments, environment);
    let line = proxy.ask(r#"{"id":1,"method":"ping"}"#);
    let ended = proxy.finish();
    format!("{line}\n{}", ended.stderr)
}

#[test]
fn uses_proxy_of_option_and_environment() {
    let server = elsewhere();
    let authority = server.file("ca.pem");
    let tunnel = Tunnel::start(&server.address, None, 200);
    let proxy = format!("http://{}", tunnel.address);
    let ways: [Way<'_>; 3] = [
        (&["--proxy", &proxy], &[]),
        (&[], &[("HTTPS_PROXY", &proxy)]),
        (&[], &[("ALL_PROXY", &proxy), ("NO_PROXY", "other.test")]),
    ];
    for (arguments, environment) in ways {
        let arguments: Vec<&str> =
            [URL, "--ca-cert", &authority].into_iter().chain(arguments.iter().copied()).collect();
        let line = asked(&arguments, environment);
        assert!(line.contains("\"result\""), "{arguments:?} {environment:?}: {line}");
    }
    assert_eq!(tunnel.asked(), vec![("mcp.example.test:443".to_owned(), None); 3]);
    let line = asked(
        &[URL, "--ca-cert", &authority],
        &[("HTTPS_PROXY", &proxy), ("NO_PROXY", "*.example.test,example.test")],
    );
    assert!(line.contains("\"cause\":\"dns\""), "named in NO_PROXY: {line}");
}

#[test]
fn proxy_gets_credentials_and_its_refusals_are_named() {
    let server = elsewhere();
    let authority = server.file("ca.pem");
    // user:markedpassword
    let tunnel = Tunnel::start(&server.address, Some("Basic dXNlcjptYXJrZWRwYXNzd29yZA=="), 407);
    let ask = |proxy: &str| asked(&[URL, "--ca-cert", &authority, "-vvv", "--proxy", proxy], &[]);
    let line = ask(&format!("http://user:markedpassword@{}", tunnel.address));
    assert!(line.contains("\"result\"") && !line.contains("markedpassword"), "{line}");
    let line = ask(&format!("http://{}", tunnel.address));
    assert!(line.contains("\"cause\":\"proxy\"") && line.contains("requires credentials (407)"), "{line}");
    let line = ask(&format!("http://user:markedwrong@{}", tunnel.address));
    assert!(line.contains("requires credentials (407)") && !line.contains("markedwrong"), "{line}");

    let strict = Tunnel::start(&server.address, None, 403);
    let line = ask(&format!("http://{}", strict.address));
    assert!(
        line.contains("\"cause\":\"proxy\"") && line.contains("the proxy refused to connect to"),
        "{line}"
    );
    let line = ask("marked:nonsense");
    assert!(line.contains("--proxy is not the URL of a proxy") && !line.contains("nonsense"), "{line}");
}

#[test]
fn http_proxy_errors_are_named_as_the_proxys() {
    let proxy = Server::start(|request, reply| match request.header("proxy-authorization") {
        Some("Basic dTpw") => reply.result(request, "{}"),
        _ => reply.status(407),
    });
    let with = |credentials: &str| {
        let address = format!("http://{credentials}{}", proxy.address);
        asked(&["http://mcp.example.test/a?b", "--allow-http", "--proxy", &address], &[])
    };
    let line = with("");
    assert!(line.contains("\"status\":407") && line.contains("credentials into the proxy's URL"), "{line}");
    assert!(with("u:p@").contains("\"result\""));
    assert_eq!(proxy.requests().pop().expect("a request").path, "http://mcp.example.test/a?b");
}

#[test]
fn unreachable_proxy_has_the_sentence_of_check() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dead = free.local_addr().expect("an address").to_string();
    drop(free);
    let unreachable = format!("the proxy {dead} cannot be reached");
    let cases = [
        (URL, format!("http://user:markedpassword@{dead}"), unreachable.clone()),
        ("http://mcp.example.test/mcp", format!("http://{dead}"), unreachable),
        (URL, format!("socks5h://{dead}"), format!("the proxy socks5h://{dead} cannot be reached")),
        (
            URL,
            "http://proxy.invalid:3128".to_owned(),
            "the host name of the proxy proxy.invalid:3128 could not be resolved".to_owned(),
        ),
    ];
    let case = |(url, proxy, expected): &(&str, String, String)| {
        let arguments = [url, "--allow-http", "--proxy", proxy];
        let line = asked(&arguments, &[]);
        assert!(line.contains(&format!("mcp-tether: {expected} (4 attempts)\"")), "{url} {proxy}: {line}");
        assert!(line.contains("\"cause\":\"proxy_connect\"") && !line.contains("marked"), "{line}");
        let run = |command: &str| {
            let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
            program.arg(command).args(arguments).env_clear().output().expect("it starts")
        };
        let login = run("login");
        let login = String::from_utf8_lossy(&login.stderr);
        assert!(login.contains(expected.as_str()) || url.starts_with("http:"), "{url} {proxy}: {login}");
        let check = run("check");
        let check = String::from_utf8_lossy(&check.stdout);
        assert!(check.contains(&format!("FAILED  {expected}\n")), "{url} {proxy}: {check}");
    };
    // Each waits for the attempts of the proxy.
    std::thread::scope(|scope| {
        for it in &cases {
            scope.spawn(move || case(it));
        }
    });
}

#[test]
fn loopback_is_never_proxied() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let tunnel = Tunnel::start(&server.address, None, 200);
    let proxy = format!("http://{}", tunnel.address);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        assert!(asked(&[&server.url], &[(name, &proxy)]).contains("\"result\""), "{name}");
    }
    assert!(asked(&[&server.url, "--proxy", &proxy], &[]).contains("\"result\""));
    assert_eq!(tunnel.asked(), []);
}

#[test]
fn uses_only_requested_address_family() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let url = server.url.replace("127.0.0.1", "localhost");
    assert!(asked(&[&url, "--ipv4"], &[]).contains("\"result\""));
    assert!(asked(&[&url], &[]).contains("\"result\""), "whatever else localhost may be");
    let line = asked(&[&server.url, "--ipv6"], &[]);
    assert!(line.contains("\"cause\":\"connect\""), "{line}");
}

#[test]
fn url_is_sent_unchanged() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    for path in ["/", "/mcp/", "/mcp?codemode=search_and_execute&x=%20y", "/a//b/%7Ec;d=1"] {
        let url = format!("http://{}{path}", server.address);
        assert!(asked(&[&url], &[]).contains("\"result\""), "{path}");
        assert_eq!(server.requests().pop().expect("a request").path, path);
    }
}

#[test]
fn hosts_are_written_in_every_form() {
    let server = elsewhere();
    let tunnel = Tunnel::start(&server.address, None, 403);
    let proxy = format!("http://{}", tunnel.address);
    for (url, host) in [
        ("https://bücher.example.test/mcp", "xn--bcher-kva.example.test:443"),
        ("https://BÜCHER.example.test:8443/mcp", "xn--bcher-kva.example.test:8443"),
        ("https://[2001:db8::1]/mcp", "[2001:db8::1]:443"),
        ("https://[2001:db8::1]:444/mcp", "[2001:db8::1]:444"),
    ] {
        let line = asked(&[url, "--proxy", &proxy], &[]);
        assert!(line.contains("\"cause\":\"proxy\""), "{url}: {line}");
        assert_eq!(tunnel.asked().pop().expect("a request").0, host, "{url}");
    }
    let line = asked(&["https://bücher.example.test/mcp"], &[]);
    assert!(line.contains("\"cause\":\"dns\"") && line.contains("xn--bcher-kva.example.test"), "{line}");
}
