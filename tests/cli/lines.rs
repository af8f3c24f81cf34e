//! What comes in on stdin and what goes out on stdout.

use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::Server;
use crate::support::{INITIALIZE, INITIALIZED};

#[test]
fn conversation_piped_at_once_is_answered_in_full() {
    for stdin in Stdin::ALL {
        let server = Server::legacy(|request, reply| reply.result(request, r#"{"tools":[]}"#));
        let mut proxy = Proxy::start_with(*stdin, &[&server.url], &[]);
        proxy.send(INITIALIZE);
        proxy.send(INITIALIZED);
        proxy.send(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
        let ended = proxy.finish();
        assert_eq!(ended.code, Some(0), "{stdin:?}");
        assert_eq!(ended.lines.len(), 2, "{stdin:?}: {ended:?}");
        assert_eq!(ended.lines[1], r#"{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}"#);
        assert_eq!(ended.stderr, "", "a good conversation is silent");
        assert_eq!(server.titles(), ["initialize", "notifications/initialized", "tools/list", "DELETE"]);
    }
}

#[test]
fn every_input_line_is_answered() {
    for stdin in Stdin::ALL {
        let server = Server::start(|request, reply| reply.result(request, "{}"));
        let mut proxy = Proxy::start_with(*stdin, &[&server.url], &[]);
        for (written, expected) in [
            (&b"hello\n"[..], r#""id":null,"error":{"code":-32700"#),
            (b"{\"id\":1,\"method\":\n", r#""id":null,"error":{"code":-32700"#),
            (b"{\"id\":null,\"method\":\"a\"}\n", r#""id":null,"error":{"code":-32600"#),
            (b"[]\n", r#""id":null,"error":{"code":-32600"#),
            (b"7\n", r#""id":null,"error":{"code":-32600"#),
            (b"{\"id\":3,\"method\":\"\xff\"}\n", r#""code":-32700"#),
            (b"\xEF\xBB\xBF{\"id\":4,\"method\":\"a\"}\r\n", r#""id":4,"result""#),
            (
                b"\n \r\n\t\n{\"id\":12345678901234567890123,\"method\":\"a\"}\n",
                r#""id":12345678901234567890123,"result""#,
            ),
            (b"{\"id\":1.50,\"method\":\"a\"}\n", r#""id":1.50,"result""#),
            (b"{\"id\":\"x\\u0041\",\"method\":\"a\"}\n", r#""id":"x\u0041","result""#),
            (b"[{\"id\":5,\"method\":\"a\"}]\n", r#""id":5,"result""#),
        ] {
            proxy.write(written);
            let line = proxy.line();
            assert!(
                line.contains(expected),
                "{stdin:?}: {} was answered {line}",
                String::from_utf8_lossy(written)
            );
        }
        let ended = proxy.finish();
        assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{ended:?}");
    }
}

#[test]
fn batch_is_answered_message_by_message() {
    let server = Server::start(|request, reply| match request.id() {
        "null" => reply.status(202),
        _ => reply.result(request, "{}"),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.send(r#"[{"id":1,"method":"a"},{"method":"n"},5,{"id":2,"method":"b"}]"#);
    let mut lines = [proxy.line(), proxy.line(), proxy.line()];
    lines.sort();
    assert!(lines.iter().all(|line| line.starts_with('{')), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains(r#""id":1,"#))
            && lines.iter().any(|line| line.contains(r#""id":2,"#))
    );
    server.wait_for(|request| request.title() == "n");
    proxy.finish();
}

#[test]
fn large_messages_pass_byte_for_byte_in_both_directions() {
    for stdin in Stdin::ALL {
        let server = Server::start(|request, reply| {
            let text = request.member("params").expect("params").to_owned();
            reply.result(request, &text);
        });
        let mut proxy = Proxy::start_with(*stdin, &[&server.url], &[]);
        let text = "0123456789abcdef".repeat(20 * 1024 * 1024 / 16);
        let params = format!(r#"{{"big":12345678901234567890123,"t":"{text}","z":1e400,"a":1.0,"a":-0}}"#);
        let line = proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{params}}}"#));
        assert!(line == format!(r#"{{"jsonrpc":"2.0","id":1,"result":{params}}}"#), "{stdin:?}: altered");
        proxy.finish();
    }
}

#[test]
fn two_hundred_calls_at_once_are_all_answered() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let mut proxy = Proxy::start(&[&server.url]);
    let calls: String = (0..200).map(|id| format!("{{\"id\":{id},\"method\":\"a\"}}\n")).collect();
    proxy.write(calls.as_bytes());
    let mut ids: Vec<u32> = (0..200)
        .map(|_| {
            let line = proxy.line();
            let id = mcp_tether::json::member(&line, "id").expect("an id").to_owned();
            id.parse().expect("a number")
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    proxy.finish();
}

#[test]
fn late_reader_misses_nothing() {
    let server = Server::start(|request, reply| {
        reply.open_stream();
        for number in 0..20_000 {
            reply.event(&format!(r#"{{"method":"notifications/n","params":{{"number":{number}}}}}"#));
        }
        reply.event(&format!(r#"{{"id":{},"result":{{}}}}"#, request.id()));
    });
    for stdin in Stdin::ALL {
        let mut proxy = Proxy::start_with(*stdin, &[&server.url], &[]);
        proxy.send(r#"{"id":1,"method":"flood"}"#);
        for number in 0..20_000 {
            assert!(proxy.line().contains(&format!("\"number\":{number}}}")), "{stdin:?}: {number}");
        }
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
    }
}
