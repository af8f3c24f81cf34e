//! The modern era on the wire (2026-07-28): what a message repeats in its headers, and what never happens there.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::PATIENCE;
use crate::support::proxy::Proxy;
use crate::support::server::{Reply, Request, Server};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"progressToken":1.0,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=b","baggage":"c=d","vendor.example/x":[1e400]}"#;

/// A request of a modern client, with these params besides `_meta`.
fn modern(id: &str, method: &str, params: &str) -> String {
    let comma = if params.is_empty() { "" } else { "," };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{comma}{META}}}}}"#)
}

/// A result of a modern server, whatever was asked.
const COMPLETE: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"]}"#;

fn tools(request: &Request, reply: &mut Reply, rest: &str) {
    let schema = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"count":{"type":"integer","x-mcp-header":"Count"},"urgent":{"type":"boolean","x-mcp-header":"Urgent"},"deep":{"type":"object","properties":{"er":{"type":"string","x-mcp-header":"Deeper"}}}}}"#;
    reply.result(
        request,
        &format!(r#"{{"resultType":"complete","tools":[{{"name":"t","inputSchema":{schema}}}]{rest}}}"#),
    );
}

#[test]
fn modern_messages_are_mirrored_in_headers() {
    let server = Server::start(|request, reply| match request.id() {
        "null" => reply.status(202),
        id => {
            let event = format!("id: 7\ndata: {{\"id\":{id},\"result\":{COMPLETE}}}\n\n");
            // A session, and a place in the stream: of both a modern server knows nothing.
            reply.answer(200, &[("content-type", "text/event-stream"), ("mcp-session-id", "echoed")], &event);
        }
    });
    let mut proxy = Proxy::start(&[&server.url]);
    let named: [(&str, &str, Option<&str>); 14] = [
        ("server/discover", "", None),
        ("tools/list", r#""name":"not a name""#, None),
        ("tools/call", r#""name":"get_weather","arguments":{}"#, Some("get_weather")),
        ("tools/call", r#""name":"two words""#, Some("two words")),
        ("tools/call", r#""name":"caf\u00e9""#, Some("=?base64?Y2Fmw6k=?=")),
        ("tools/call", r#""name":" \t""#, Some("=?base64?IAk=?=")),
        ("tools/call", r#""name":"a\r\nX-Evil: 1""#, Some("=?base64?YQ0KWC1FdmlsOiAx?=")),
        ("tools/call", r#""name":"=?base64?SGk=?=""#, Some("=?base64?PT9iYXNlNjQ/U0drPT89?=")),
        ("prompts/get", r#""name":"p""#, Some("p")),
        ("resources/read", r#""uri":"file:///é","name":"n""#, Some("=?base64?ZmlsZTovLy/DqQ==?=")),
        ("tasks/get", r#""taskId":"t-1""#, Some("t-1")),
        ("tasks/update", r#""taskId":"t-2""#, Some("t-2")),
        ("tasks/cancel", r#""taskId":"t-3""#, Some("t-3")),
        ("vendor.example/Method", r#""name":"n","uri":"u""#, None),
    ];
    for (method, params, name) in named {
        let message = modern("1", method, params);
        assert_eq!(
            proxy.ask(&message),
            r#"{"id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"]}}"#
        );
        let request = server.requests().pop().expect("a request");
        assert_eq!(request.body, message);
        assert_eq!(request.header("mcp-method"), Some(method));
        assert_eq!(request.header("mcp-name"), name, "{message}");
    }
    let notification = format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{{{META}}}}}"#);
    proxy.send(&notification);
    server.wait_for(|request| request.body == notification);
    let ended = proxy.finish();
    assert_eq!((ended.code, ended.lines.len(), ended.stderr.as_str()), (Some(0), 0, ""));
    for request in server.requests() {
        assert_eq!(request.method, "POST", "no stream and no end of a session");
        assert_eq!(request.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(request.header("mcp-session-id"), None);
        assert_eq!(request.header("last-event-id"), None);
    }
}

#[test]
fn sends_parameters_as_annotated() {
    let server = Server::start(|request, reply| match request.title() {
        "tools/list" => tools(request, reply, ""),
        _ => reply.result(request, COMPLETE),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    proxy.ask(&modern("1", "tools/list", ""));
    let called: [(&str, &[(&str, &str)]); 8] = [
        (r#"{"region":"us-west1","other":"x"}"#, &[("region", "us-west1")]),
        (
            r#"{"region":"","count":42.0,"urgent":false}"#,
            &[("count", "42"), ("region", ""), ("urgent", "false")],
        ),
        (r#"{"count":-7,"urgent":true}"#, &[("count", "-7"), ("urgent", "true")]),
        (r#"{"count":9007199254740991}"#, &[("count", "9007199254740991")]),
        (r#"{"region":"日本"}"#, &[("region", "=?base64?5pel5pys?=")]),
        (r#"{"deep":{"er":" lead"},"er":"x"}"#, &[("deeper", "=?base64?IGxlYWQ=?=")]),
        (r#"{"region":null,"deep":{}}"#, &[]),
        (r#"{}"#, &[]),
    ];
    for (arguments, expected) in called {
        proxy.ask(&modern("2", "tools/call", &format!(r#""name":"t","arguments":{arguments}"#)));
        let request = server.requests().pop().expect("a call");
        let mut headers: Vec<(String, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
            .filter_map(|(name, value)| Some((name.strip_prefix("mcp-param-")?.to_owned(), value)))
            .collect();
        headers.sort();
        let expected: Vec<(String, &str)> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        assert_eq!(headers, expected, "{arguments}");
    }
    proxy.finish();
}

const MISMATCH: &str =
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"Mcp-Param-Region is missing"}}"#;

#[test]
fn header_mismatch_lists_tools_and_retries_call() {
    let server =
        Server::start(|request, reply| match (request.title(), request.header("mcp-param-region")) {
            ("tools/list", _) if request.body.contains("\"cursor\":\"2\"") => tools(request, reply, ""),
            ("tools/list", _) => {
                reply.result(request, r#"{"resultType":"complete","tools":[],"nextCursor":"2"}"#)
            }
            (_, Some("eu")) => reply.result(request, COMPLETE),
            _ => reply.answer(400, &[("content-type", "application/json")], MISMATCH),
        });
    let mut proxy = Proxy::start(&[&server.url]);
    for id in ["\"a\"", "2"] {
        let line = proxy.ask(&modern(id, "tools/call", r#""name":"t","arguments":{"region":"eu"}"#));
        assert_eq!(line, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{COMPLETE}}}"#));
    }
    assert_eq!(proxy.finish().stderr, "");
    assert_eq!(server.titles(), ["tools/call", "tools/list", "tools/list", "tools/call", "tools/call"]);
    let asked = server.requests();
    assert!(asked[1].body.contains(META), "as the client would ask: {}", asked[1].body);
}

#[test]
fn endless_tool_list_is_abandoned() {
    let server = Server::start(|request, reply| match request.title() {
        "tools/list" => reply.result(request, r#"{"tools":[],"nextCursor":"more"}"#),
        "tools/call" => reply.answer(400, &[("content-type", "application/json")], MISMATCH),
        _ => reply.result(request, COMPLETE),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    let line = proxy.ask(&modern("1", "tools/call", r#""name":"t""#));
    assert!(line.contains(r#""id":1,"error":{"code":-32020"#), "{line}");
    assert!(proxy.finish().lines.is_empty());
    assert_eq!(server.requests().len(), 101, "the call, and a hundred pages");
}

#[test]
fn modern_call_with_broken_stream_is_one_error() {
    let server = Server::start(|_, reply| {
        reply.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        let event =
            "id: 7\nretry: 1\ndata: {\"method\":\"notifications/progress\",\"params\":{\"progress\":1}}\n\n";
        reply.raw(format!("{:x}\r\n{event}\r\n", event.len()));
        reply.close();
    });
    let mut proxy = Proxy::start(&["--silent", &server.url]);
    assert!(proxy.ask(&modern("1", "tools/call", r#""name":"t""#)).contains("progress"));
    let line = proxy.line();
    assert!(line.contains(r#""id":1,"error":{"code":-31004"#), "{line}");
    let ended = proxy.finish();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0), "{ended:?}");
    assert_eq!(server.titles(), ["tools/call"]);
}

#[test]
fn cancellation_closes_connection_unsent() {
    let (tell, told) = channel::<()>();
    let tell = Mutex::new(tell);
    let server = Server::start(move |request, reply| match request.title() {
        "tools/call" => {
            reply.open_stream();
            reply.event(r#"{"method":"notifications/progress","params":{"progress":1}}"#);
            reply.hang();
            tell.lock().expect("no panic").send(()).expect("it waits");
        }
        _ => reply.result(request, COMPLETE),
    });
    let mut proxy = Proxy::start(&[&server.url]);
    assert!(proxy.ask(&modern("1", "tools/call", r#""name":"t""#)).contains("progress"));
    proxy.send(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":1,{META}}}}}"#
    ));
    told.recv_timeout(PATIENCE).expect("the server sees the end of the stream");
    assert!(proxy.ask(&modern("2", "tools/list", "")).contains("\"id\":2,\"result\""));
    let ended = proxy.finish();
    assert_eq!((ended.lines.len(), ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert_eq!(server.titles(), ["tools/call", "tools/list"]);
}
