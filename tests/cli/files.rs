//! Files in whose place there is something else.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;
use crate::support::{INITIALIZE, INITIALIZED};

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo is there").success());
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the time of another process is measured")]
fn within<T>(seconds: u64, act: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = act();
    assert!(begun.elapsed() < Duration::from_secs(seconds), "took {:?}", begun.elapsed());
    result
}

#[test]
fn path_that_is_no_file_is_refused() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let folder = tempfile::tempdir().expect("a folder");
    let (fifo, huge) = (folder.path().join("fifo"), folder.path().join("huge"));
    make_fifo(&fifo);
    std::fs::File::create(&huge).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    let (fifo, huge) = (fifo.to_str().expect("UTF-8"), huge.to_str().expect("UTF-8"));
    let directory = folder.path().to_str().expect("UTF-8");
    for option in
        ["--header-file", "--env-file", "--ca-cert", "--log-file", "--record", "--static-oauth-client-info"]
    {
        for (place, reason) in
            [(fifo, "pipe"), (directory, "a directory"), ("/dev/zero", "a device"), (huge, "larger than")]
        {
            let writes = ["--log-file", "--record"].contains(&option);
            if writes && place == huge {
                continue;
            }
            let at = if option == "--static-oauth-client-info" { "@" } else { "" };
            let mut proxy = Proxy::start(&[&server.url, option, &format!("{at}{place}")]);
            let line = within(6, || proxy.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#));
            assert!(line.contains("-31000") && line.contains(reason), "{option} {place}: {line}");
            assert!(line.contains(option) || line.contains(place), "{option} {place}: {line}");
            assert_eq!(proxy.finish().code, Some(2));
        }
    }
    for option in ["--client-cert", "--client-key"] {
        let mut proxy = Proxy::start(&[&server.url, "--client-cert", fifo, "--client-key", fifo]);
        let line = within(6, || proxy.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#));
        assert!(line.contains(option) && line.contains("pipe"), "{line}");
    }
    let system = [("SSL_CERT_FILE", "/dev/zero")];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&server.url], &system);
    let line = proxy.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert!(line.contains("SSL_CERT_FILE") && line.contains("a device"), "{line}");
    let output = Command::new(env!("CARGO_BIN_EXE_mcp-tether")).args(["config", "--from", fifo]).output();
    let output = within(6, || output.expect("it starts"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("pipe"), "{output:?}");
    assert!(server.requests().is_empty());
}

#[test]
fn pipe_that_is_written_is_read_like_a_file() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let folder = tempfile::tempdir().expect("a folder");
    let key = ["--header", "X-Key: ${KEY}"];
    let info = r#"{"client_id":"${KEY}"}"#;
    for (row, (option, written, more)) in [
        ("--header-file", "X-Key: piped\n", &[][..]),
        ("--env-file", "KEY=piped\n", &key[..]),
        ("--static-oauth-client-info", info, &key[..]),
        ("--static-oauth-client-metadata", r#"{"client_name":"c"}"#, &key[..]),
    ]
    .into_iter()
    .enumerate()
    {
        let fifo = folder.path().join(format!("fifo{row}"));
        make_fifo(&fifo);
        let at = if written.starts_with('{') { "@" } else { "" };
        let path = format!("{at}{}", fifo.to_str().expect("UTF-8"));
        let variables: &[(&str, &str)] = if option == "--env-file" { &[] } else { &[("KEY", "piped")] };
        let arguments = [&[server.url.as_str(), option, &path], more].concat();
        let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, variables);
        std::fs::write(&fifo, written).expect("it is read");
        let line = within(6, || proxy.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#));
        assert!(line.contains("\"result\""), "{option}: {line}");
        let requests = server.requests();
        let request = requests.last().expect("a request");
        assert_eq!((requests.len(), request.header("x-key")), (row + 1, Some("piped")), "{option}");
    }
}

#[test]
fn fifo_in_place_of_the_cache_is_no_cache() {
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let folder = tempfile::tempdir().expect("a folder");
    // The name that `cache` gives it: the URL with its length, hashed.
    let mut hashed = ring::digest::Context::new(&ring::digest::SHA256);
    hashed.update(&(server.url.len() as u64).to_le_bytes());
    hashed.update(server.url.as_bytes());
    let digest = hashed.finish();
    let hex: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let file = folder.path().join("mcp-tether").join(format!("{hex}.json"));
    std::fs::create_dir(folder.path().join("mcp-tether")).expect("a folder");
    make_fifo(&file);
    let cache = [("XDG_CACHE_HOME", folder.path().to_str().expect("UTF-8"))];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &[&server.url], &cache);
    within(6, || proxy.ask(INITIALIZE));
    proxy.send(INITIALIZED);
    assert!(proxy.ask(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#).contains("\"result\""));
    let ended = proxy.finish();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}
