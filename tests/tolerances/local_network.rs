//! Sign-ins in networks that the specification does not have: over http in the local one, and with a browser that cannot come
//! back. A proxy stands for the network, with names that the test does not have.

use std::process::Command;

use super::support::authority::{Authority, Set};
use super::support::proxy::{Proxy, Stdin};

/// A row: the server, the authorization server that it names, further arguments, and what is told: a page to sign in at, or why
/// there is none.
type Row = (&'static str, &'static str, &'static [&'static str], Result<(), &'static str>);

const OVER_HTTP: &[Row] = &[
    ("http://mcp.lan/mcp", "http://as.lan", &["--allow-http"], Ok(())),
    ("http://nas/mcp", "http://nas", &["--allow-http"], Ok(())),
    ("http://10.1.2.3/mcp", "http://192.168.7.7", &["--allow-http"], Ok(())),
    ("http://mcp.lan/mcp", "http://as.lan", &[], Err("not encrypted")),
    (
        "http://mcp.lan/mcp",
        "http://as.example.com",
        &["--allow-http"],
        Err("not known to be of the local network"),
    ),
    (
        "http://mcp.lan/mcp",
        "http://lan.example.com",
        &["--allow-http"],
        Err("not known to be of the local network"),
    ),
    ("http://mcp.lan/mcp", "http://8.8.8.8", &["--allow-http"], Err("is not https")),
    ("http://mcp.lan/mcp", "http://127.0.0.1:1", &["--allow-http"], Err("this computer's own network")),
    (
        "http://mcp.example.com/mcp",
        "http://mcp.example.com",
        &["--allow-http"],
        Err("not known to be of the local network"),
    ),
];

#[test]
fn sign_in_over_http_stays_in_the_local_network() {
    for (server, issuer, arguments, expected) in OVER_HTTP {
        let home = tempfile::tempdir().expect("a folder");
        let authority = Authority::start(Set::default());
        authority.change(|set| {
            set.resource = format!(r#""resource":"{server}","authorization_servers":["{issuer}"]"#);
            set.metadata = set.metadata.replace("BASE", issuer);
        });
        let (proxy_url, folder) =
            (format!("http://{}", authority.server.address), home.path().to_str().expect("UTF-8"));
        let environment = [("HOME", folder), ("XDG_CONFIG_HOME", folder), ("HTTP_PROXY", &proxy_url)];
        let arguments = [&["login", *server], *arguments].concat();
        match expected {
            Ok(()) => {
                let proxy = Proxy::start_with(Stdin::Pipes, &arguments, &environment);
                let page = proxy.told_after("sign in at ", 1);
                assert!(page.starts_with(&format!("{issuer}/authorize?")), "{arguments:?}: {page}");
                proxy.kill();
            }
            Err(part) => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
                command.args(&arguments).env_clear().envs(environment);
                let told = command.output().expect("it starts");
                let text = String::from_utf8_lossy(&told.stderr);
                assert!(!told.status.success() && text.contains(part), "{arguments:?} {issuer}: {text}");
                assert!(!text.contains("sign in at "), "{arguments:?}: {text}");
                assert!(authority.count("/register") == 0 && authority.count("/token") == 0);
            }
        }
    }
}
