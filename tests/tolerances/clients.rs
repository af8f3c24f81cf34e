//! What clients and shells make of arguments and files: placeholders left unfilled, headers cut at their spaces, quotes
//! that were kept, and UTF-16.

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;

const PING: &str = r#"{"id":1,"method":"ping"}"#;

/// What a start with these arguments and variables is answered with, and the named header of the request where one went
/// out.
fn start(header: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (String, Option<String>) {
    let server = Server::legacy(|request, reply| reply.result(request, "{}"));
    let arguments: Vec<&str> =
        arguments.iter().map(|word| if *word == "URL" { &*server.url } else { word }).collect();
    let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, environment);
    let line = proxy.ask(PING);
    let ended = proxy.finish();
    let sent = server.requests().first().map(|request| request.header(header).unwrap_or_default().to_owned());
    (format!("{line}\n{}", ended.stderr), sent)
}

#[test]
fn typed_placeholder_is_refused_before_anything_is_sent() {
    for (header, found) in [
        ("Authorization: Bearer $TOKEN", "$TOKEN"),
        ("X: {env:TOKEN}", "{env:TOKEN}"),
        ("X: {{TOKEN}}", "{{TOKEN}}"),
        ("X: ${input:token}", "${input:token}"),
        ("X: ${env:TOKEN}", "${env:TOKEN}"),
        ("X: %TOKEN%", "%TOKEN%"),
        ("Authorization: Bearer undefined", "undefined"),
        ("Authorization: Bearer null", "null"),
        ("Authorization: [REDACTED]", "[REDACTED]"),
        ("X-API-Key: {TOKEN}", "{TOKEN}"),
    ] {
        let name = header.split(':').next().expect("a name");
        let (line, sent) = start("x", &["URL", "--header", header], &[("TOKEN", "filled")]);
        assert_eq!(sent, None, "{header}: {line}");
        assert!(line.contains(found) && line.contains(&format!("the header {name}")), "{header}: {line}");
    }
    let (line, sent) = start("x", &["URL?key={{KEY}}"], &[]);
    assert_eq!(sent, None, "{line}");
    let (line, sent) = start("x", &["https://mcp.example.test/mcp?key=$KEY"], &[]);
    assert!(sent.is_none() && line.contains("$KEY") && line.contains("the URL"), "{line}");
}

#[test]
fn supplied_placeholder_counts_only_as_whole_value() {
    let pair = |id, secret| [("CF_ACCESS_CLIENT_ID", id), ("CF_ACCESS_CLIENT_SECRET", secret)];
    for value in [
        "$TOKEN",
        "{env:TOKEN}",
        "{{TOKEN}}",
        "${TOKEN}",
        "${input:t}",
        "undefined",
        "null",
        "[REDACTED]",
        "Bearer $TOKEN",
    ] {
        let header = "Authorization: Bearer ${SECRET}";
        let (line, sent) = start("authorization", &["URL", "--header", header], &[("SECRET", value)]);
        assert!(sent.is_none() && line.contains("SECRET"), "{value}: {line}");
        for variables in [pair(value, "secret"), pair("0a.access", value)] {
            let (line, sent) = start("x", &["URL"], &variables);
            assert!(sent.is_none() && line.contains("the client did not expand it"), "{value}: {line}");
            assert!(line.contains("CF_ACCESS_CLIENT_"), "{value}: {line}");
        }
    }
    // A secret may have any of these letters in it.
    for value in
        ["pa$WORD", "a$TOKEN", "x{{TOKEN}}y", "a${b", "a${B}c", "$2b$10$abc", "100%TOKEN%", "undefined1"]
    {
        let header = "Authorization: Bearer ${SECRET}";
        let (line, sent) = start("authorization", &["URL", "--header", header], &[("SECRET", value)]);
        assert_eq!(sent.as_deref(), Some(&*format!("Bearer {value}")), "{line}");
        let (line, sent) = start("cf-access-client-secret", &["URL"], &pair("0a.access", value));
        assert_eq!(sent.as_deref(), Some(value), "{line}");
    }
    // Of the text as it was typed, what is in the middle of a word is none.
    let (line, sent) = start("x", &["URL", "--header", "X: pa$WORD"], &[]);
    assert_eq!(sent.as_deref(), Some("pa$WORD"), "{line}");
}

#[test]
fn cut_and_quoted_headers_are_put_together() {
    for (arguments, expected) in [
        (&["--header", "Authorization:", "Bearer", "abc", "URL"][..], "Bearer abc"),
        (&["URL", "--header", "Authorization:", "Bearer", "abc"], "Bearer abc"),
        (&["--header", "Authorization:Bearer", "abc", "URL", "--silent"], "Bearer abc"),
        (&["--header=Authorization:", "Custom", "a", "b", "c", "--silent", "URL"], "Custom a b c"),
        (&["--header", "'Authorization: Bearer x'", "URL"], "Bearer x"),
        (&["--header", "'Authorization:", "Bearer", "x'", "URL"], "Bearer x"),
        (&["'URL'", "--header", "\"Authorization: Bearer x\"", "URL"], "Bearer x"),
    ] {
        let arguments: Vec<&str> = arguments.iter().copied().filter(|word| *word != "'URL'").collect();
        let (line, sent) = start("authorization", &arguments, &[]);
        assert_eq!(sent.as_deref(), Some(expected), "{arguments:?}: {line}");
    }
    // What was not cut at its spaces is not put together, and a quote that is not closed is no part of a name.
    for arguments in [
        &["--header", "X: a", "b", "URL"][..],
        &["--header", "'Authorization: Bearer x", "URL"],
        &["--header", "X:", "--headr", "b", "URL"],
    ] {
        let (line, sent) = start("x", arguments, &[]);
        assert!(sent.is_none() && line.contains("\"error\""), "{arguments:?}: {line}");
    }
}

#[test]
fn utf16_files_with_byte_order_mark_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, mark: &[u8], text: &str| {
        let path = folder.path().join(name);
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        std::fs::write(&path, mark.iter().copied().chain(units).collect::<Vec<u8>>()).expect("written");
        path.to_str().expect("Unicode").to_owned()
    };
    let mark = &[0xFF, 0xFE];
    let headers = file("headers", mark, "Authorization: Bearer abc\r\n");
    let variables = file("variables", mark, "TOKEN=abc\r\n");
    let with_variable = ["--header", "Authorization: Bearer ${TOKEN}"];
    for arguments in [
        &["URL", "--header-file", &headers][..],
        &[&["URL", "--env-file", &variables], &with_variable[..]].concat(),
    ] {
        let (line, sent) = start("authorization", arguments, &[]);
        assert_eq!(sent.as_deref(), Some("Bearer abc"), "{arguments:?}: {line}");
    }
    let headers = file("headers", &[], "Authorization: Bearer abc\r\n");
    let variables = file("variables", &[], "TOKEN=abc\r\n");
    for arguments in [
        &["URL", "--header-file", &headers][..],
        &[&["URL", "--env-file", &variables], &with_variable[..]].concat(),
    ] {
        let (line, sent) = start("authorization", arguments, &[]);
        assert!(sent.is_none() && line.contains("UTF-16 without a byte order mark"), "{arguments:?}: {line}");
    }
}
