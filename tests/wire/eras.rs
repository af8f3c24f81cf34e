//! Clients and servers of different eras, as far as it is the binary's affair: what is remembered from one start to the
//! next.

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::{Reply, Request, Server};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

/// A server of the modern era.
fn modern(request: &Request, reply: &mut Reply) {
    match request.title() {
        "server/discover" => {
            reply.result(
                request,
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}"#,
            );
        }
        "initialize" => {
            let data = r#"{"supported":["2026-07-28"],"requested":"2025-11-25"}"#;
            let error = format!(r#"{{"code":-32022,"message":"no","data":{data}}}"#);
            reply.answer(
                400,
                &[JSON],
                &format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, request.id()),
            );
        }
        _ => reply.status(202),
    }
}

/// One of the legacy era.
fn legacy(request: &Request, reply: &mut Reply) {
    match request.title() {
        "initialize" => reply.result(request, r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#),
        _ => reply.answer(
            400,
            &[JSON],
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request"}}"#,
        ),
    }
}

/// What a server was asked by one start.
fn asked(server: &Server, cache: &std::path::Path, arguments: &[&str]) -> Vec<String> {
    let before = server.titles().len();
    let cache = cache.to_str().expect("Unicode");
    let arguments = [arguments, &[server.url.as_str()]].concat();
    let environment = [("XDG_CACHE_HOME", cache), ("HOME", cache), ("LOCALAPPDATA", cache)];
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, &environment);
    let answer = proxy.ask(INITIALIZE);
    assert!(answer.contains(r#""protocolVersion":"2025-11-25""#), "{answer}");
    assert_eq!(proxy.finish().code, Some(0));
    server.titles()[before..].iter().map(ToString::to_string).collect()
}

#[test]
fn era_of_server_is_detected_once() {
    let cache = tempfile::tempdir().expect("a directory");
    let server = Server::start(modern);
    let found_out = ["initialize", "server/discover"];
    assert_eq!(asked(&server, cache.path(), &["--no-cache"]), found_out);
    assert_eq!(asked(&server, cache.path(), &[]), found_out);
    assert_eq!(asked(&server, cache.path(), &[]), ["server/discover"]);
    assert_eq!(asked(&server, cache.path(), &["--header", "X-API-Key: another"]), found_out);
    assert_eq!(asked(&server, cache.path(), &["--no-cache"]), found_out);
    assert_eq!(asked(&server, cache.path(), &["--no-cache", "--protocol", "modern"]), ["server/discover"]);
}

#[test]
fn cache_with_any_number_starts_as_without_one() {
    let cache = tempfile::tempdir().expect("a directory");
    let server = Server::start(modern);
    let found_out = asked(&server, cache.path(), &[]);
    let file = cache_file(cache.path());
    for since in [
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775808",
        "9223372036854775807",
        "-1",
        "1.5",
        "1e300",
        "null",
        "",
    ] {
        std::fs::write(&file, format!(r#"{{"era":"legacy","since":{since},"falls_back":[]}}"#))
            .expect("a file");
        assert_eq!(asked(&server, cache.path(), &[]), found_out, "{since}");
    }
}

/// The only file of the cache below a folder.
fn cache_file(below: &std::path::Path) -> std::path::PathBuf {
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|extension| extension == "json") => return path,
                _ => {}
            }
        }
    }
    panic!("no cache below {}", below.display());
}

#[test]
fn detects_changed_era_of_server() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let cache = tempfile::tempdir().expect("a directory");
    let is_modern = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&is_modern);
    let server = Server::start(move |request, reply| match now.load(Ordering::SeqCst) {
        true => modern(request, reply),
        false => legacy(request, reply),
    });
    assert_eq!(asked(&server, cache.path(), &[]), ["initialize", "server/discover"]);
    is_modern.store(false, Ordering::SeqCst);
    assert_eq!(asked(&server, cache.path(), &[]), ["server/discover", "initialize"]);
    assert_eq!(asked(&server, cache.path(), &[]), ["initialize"], "what was wrong is forgotten");
}

#[test]
fn unusable_cache_starts_normally() {
    let cache = tempfile::tempdir().expect("a directory");
    std::fs::write(cache.path().join("mcp-tether"), "not a folder").expect("a file");
    let server = Server::start(modern);
    for _ in 0..2 {
        assert_eq!(asked(&server, cache.path(), &[]), ["initialize", "server/discover"]);
    }
}
