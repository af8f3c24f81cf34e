//! Every option of mcp-remote, and that it does what it says.

use super::support::proxy::Proxy;
use super::support::server::{Reply, Request, Server};
use super::support::{INITIALIZE, INITIALIZED};
use super::{CALL, Form, LIST, sign_in};

/// What mcp-remote 0.15.1 documents or reads.
const OPTIONS_OF_MCP_REMOTE: &[&str] = &[
    "--header",
    "--header-file",
    "--allow-http",
    "--debug",
    "--silent",
    "--transport",
    "--protocol",
    "--host",
    "--callback-path",
    "--auth-success-url",
    "--auth-timeout",
    "--resource",
    "--disable-resource-parameter",
    "--authorize-param",
    "--static-oauth-client-metadata",
    "--static-oauth-client-info",
    "--client-metadata-url",
    "--client-credentials",
    "--token-endpoint",
    "--device-code",
    "--use-id-token",
    "--disable-cookies",
    "--ignore-tool",
    "--enable-proxy",
    "--connect-timeout",
    "--headers-timeout",
    "--body-timeout",
    "--ipv4",
    "--keep-alive",
    "--ping-interval",
    "--help",
    "--version",
];

macro_rules! rows {
    ($($name:ident: $option:literal $($value:literal)? => $check:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let value: &[&str] = &[$($value)?];
                for form in Form::all($option, value.first().copied()) {
                    $check(&form);
                }
            }
        )*
        const ROWS: &[&str] = &[$($option),*];
    };
}

rows! {
    header: "--header" "X-A: v" => |form: &Form| header_arrives(form, "v");
    header_without_space: "--header" "X-A:v" => |form: &Form| header_arrives(form, "v");
    header_with_variable: "--header" "X-A: Bearer ${TOKEN}" => |form: &Form| header_arrives(form, "Bearer from-environment");
    header_file: "--header-file" "~/headers" => header_file_is_read;
    allow_http: "--allow-http" => plain_text_is_accepted;
    debug: "--debug" => log_is_kept;
    silent: "--silent" => nothing_is_told;
    http_first: "--transport" "http-first" => |form: &Form| transports(form, &["initialize", "GET"]);
    sse_first: "--transport" "sse-first" => |form: &Form| transports(form, &["GET", "initialize"]);
    http_only: "--transport" "http-only" => |form: &Form| transports(form, &["initialize"]);
    sse_only: "--transport" "sse-only" => |form: &Form| transports(form, &["GET"]);
    protocol_auto: "--protocol" "auto" => |form: &Form| modern_server(form, true);
    protocol_legacy: "--protocol" "legacy" => |form: &Form| modern_server(form, false);
    host: "--host" "127.0.0.1" => sign_in::host;
    callback_path: "--callback-path" "/custom/callback" => sign_in::callback_path;
    auth_success_url: "--auth-success-url" "http://127.0.0.1:1/cli-connected" => sign_in::success;
    auth_timeout: "--auth-timeout" "1" => sign_in::impatience;
    resource: "--resource" "https://tenant1.example.net/" => sign_in::resource;
    no_resource: "--resource" "" => sign_in::no_resource;
    disable_resource_parameter: "--disable-resource-parameter" => sign_in::no_resource;
    authorize_param: "--authorize-param" "access_type=offline" => sign_in::parameter;
    client_metadata: "--static-oauth-client-metadata" r#"{ "scope": "space separated" }"# => sign_in::scope;
    client_info: "--static-oauth-client-info" r#"{ "client_id": "by-hand", "client_secret": "${SECRET}" }"# => sign_in::client;
    client_metadata_url: "--client-metadata-url" "https://client.example.com/.well-known/oauth-client-metadata" => sign_in::described;
    client_credentials: "--client-credentials" => sign_in::machine;
    token_endpoint: "--token-endpoint" "http://127.0.0.1:1/oauth/token" => sign_in::token_endpoint;
    device_code: "--device-code" => sign_in::device;
    use_id_token: "--use-id-token" => sign_in::id_token;
    disable_cookies: "--disable-cookies" => cookies_stay_away;
    ignore_tool: "--ignore-tool" "delete*" => |form: &Form| left_out(form, &["deleteTask", "deleteUser"]);
    ignore_tool_by_end: "--ignore-tool" "*account" => |form: &Form| left_out(form, &["getAccount", "updateAccount"]);
    ignore_tool_by_name: "--ignore-tool" "exactTool" => |form: &Form| left_out(form, &["exactTool"]);
    enable_proxy: "--enable-proxy" => proxy_is_used;
    connect_timeout: "--connect-timeout" "30" => converses;
    headers_timeout: "--headers-timeout" "0.3" => |form: &Form| runs_out(form, "--headers-timeout", |_, reply| reply.hang());
    headers_timeout_off: "--headers-timeout" "0" => converses;
    body_timeout: "--body-timeout" "0.3" => |form: &Form| {
        runs_out(form, "--body-timeout", |_, reply| {
            reply.open_stream();
            reply.hang();
        });
    };
    body_timeout_off: "--body-timeout" "0" => converses;
    ipv4: "--ipv4" => is_reached_by_name;
    keep_alive: "--keep-alive" => converses;
    ping_interval: "--ping-interval" "1" => is_pinged;
    help: "--help" => |form: &Form| prints(form, "Examples:");
    version: "--version" => |form: &Form| prints(form, concat!("mcp-tether ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_option_is_tested_and_in_help() {
    let help = super::help::shown("--help");
    for option in OPTIONS_OF_MCP_REMOTE {
        assert!(ROWS.contains(option), "no row for {option}");
        let is_there = help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n"));
        assert!(is_there, "{option}");
    }
    for option in ROWS {
        assert!(OPTIONS_OF_MCP_REMOTE.contains(option), "{option} is none of mcp-remote's");
    }
}

/// A server with tools, which offers no stream.
pub(crate) fn server() -> Server {
    Server::legacy(answer)
}

fn answer(request: &Request, reply: &mut Reply) {
    match request.title() {
        "tools/list" => {
            let tools = TOOLS.map(|name| format!(r#"{{"name":"{name}","inputSchema":{{}}}}"#)).join(",");
            reply.result(request, &format!(r#"{{"tools":[{tools}]}}"#));
        }
        _ => reply.result(request, r#"{"content":[]}"#),
    }
}

const TOOLS: [&str; 6] =
    ["deleteTask", "deleteUser", "removeTask", "getAccount", "updateAccount", "exactTool"];

/// Opens the session.
pub(crate) fn open(proxy: &mut Proxy) {
    let line = proxy.ask(INITIALIZE);
    assert!(line.contains("\"result\""), "{line}");
    proxy.send(INITIALIZED);
}

fn converses(form: &Form) {
    let server = server();
    let mut proxy = form.start(&server.url, &[], &[]);
    open(&mut proxy);
    assert!(proxy.ask(CALL).contains("\"result\""));
    assert_eq!(proxy.finish().code, Some(0));
}

fn header_arrives(form: &Form, value: &str) {
    let server = server();
    let mut proxy = form.start(&server.url, &["--header", "X-B: also"], &[("TOKEN", "from-environment")]);
    open(&mut proxy);
    proxy.ask(CALL);
    proxy.finish();
    for request in server.requests() {
        assert_eq!(
            (request.header("x-a"), request.header("x-b")),
            (Some(value), Some("also")),
            "{request:?}"
        );
    }
}

fn header_file_is_read(form: &Form) {
    let text = "# credentials for the example server\r\nAuthorization: Bearer ${TOKEN}\n\nX-A: v\n";
    std::fs::write(form.home.path().join("headers"), text).expect("written");
    let server = server();
    let mut proxy = form.start(&server.url, &[], &[("TOKEN", "marked")]);
    open(&mut proxy);
    proxy.finish();
    for request in server.requests() {
        assert_eq!(request.header("x-a"), Some("v"));
        assert_eq!(request.header("authorization"), Some("Bearer marked"));
    }
}

/// A server that another machine would be, reached through a proxy that is itself the server.
fn through(form: &Form, more: &[&str]) -> (Server, Proxy) {
    let server = server();
    let proxy = format!("http://{}", server.address);
    let started = form.start("http://internal-service.example/sse", more, &[("HTTP_PROXY", &proxy)]);
    (server, started)
}

fn plain_text_is_accepted(form: &Form) {
    let (server, mut proxy) = through(form, &[]);
    open(&mut proxy);
    proxy.finish();
    assert_eq!(server.requests()[0].path, "http://internal-service.example/sse");
    let mut refused = form.start_without("http://internal-service.example/sse", &[]);
    assert!(refused.ask(INITIALIZE).contains("--allow-http"));
    assert_eq!(refused.finish().code, Some(2));
}

fn proxy_is_used(form: &Form) {
    let (server, mut proxy) = through(form, &["--allow-http"]);
    open(&mut proxy);
    proxy.finish();
    assert!(server.requests().iter().all(|request| request.path.starts_with("http://internal-service")));
}

/// The log is in the folder that mcp-remote has its own in, and where that can be said, it is there.
fn log_is_kept(form: &Form) {
    let server = server();
    let other = form.home.path().join("elsewhere");
    let name = format!("mcp-tether/{}_debug.log", server.address.replace(':', "_"));
    let places = [
        (vec![], form.home.path().join(".mcp-auth").join(&name)),
        (vec![("MCP_REMOTE_CONFIG_DIR", other.to_str().expect("UTF-8"))], other.join(&name)),
    ];
    for (environment, place) in places {
        let mut proxy = form.start(&server.url, &[], &environment);
        open(&mut proxy);
        assert!(proxy.finish().stderr.contains("initialize"));
        let log = std::fs::read_to_string(&place).unwrap_or_else(|error| panic!("{place:?}: {error}"));
        assert!(log.contains("initialize"), "{log}");
    }
}

fn nothing_is_told(form: &Form) {
    let server = Server::start(|_, reply| reply.status(500));
    let mut proxy = form.start(&server.url, &[], &[]);
    assert!(proxy.ask(INITIALIZE).contains("500"));
    assert_eq!(proxy.finish().stderr, "");
    let mut proxy = form.start_without(&server.url, &[]);
    proxy.ask(INITIALIZE);
    assert_ne!(proxy.finish().stderr, "");
}

/// A server that knows neither transport shows which are tried, in which order.
fn transports(form: &Form, expected: &[&str]) {
    let server = Server::start(|_, reply| reply.status(405));
    let mut proxy = form.start(&server.url, &[], &[]);
    assert!(proxy.ask(INITIALIZE).contains("\"error\""));
    proxy.finish();
    let mut titles = server.titles();
    // The era is looked for last, and is no transport.
    titles.retain(|title| title != "server/discover");
    assert_eq!(titles, expected);
}

fn modern_server(form: &Form, is_translated: bool) {
    let server = Server::start(|request, reply| {
        match request.title() {
        "server/discover" => reply.result(
            request,
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{},"ttlMs":0,"cacheScope":"private"}"#,
        ),
        _ => {
            let error = r#"{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2026-07-28"]}}"#;
            let body = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, request.id());
            reply.answer(400, &[("content-type", "application/json")], &body);
        }
    }
    });
    let mut proxy = form.start(&server.url, &[], &[]);
    let line = proxy.ask(INITIALIZE);
    assert_eq!(line.contains("\"protocolVersion\":\"2025-11-25\""), is_translated, "{line}");
    assert_eq!(line.contains("-32022"), !is_translated, "{line}");
    proxy.finish();
}

fn cookies_stay_away(form: &Form) {
    let server = Server::legacy(|request, reply| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, request.id());
        reply.answer(200, &[("content-type", "application/json"), ("set-cookie", "route=a; Path=/")], &body);
    });
    for (mut proxy, expected) in
        [(form.start(&server.url, &[], &[]), None), (form.start_without(&server.url, &[]), Some("route=a"))]
    {
        open(&mut proxy);
        proxy.ask(CALL);
        proxy.ask(LIST);
        proxy.finish();
        let list = server.requests().into_iter().rfind(|request| request.title() == "tools/list");
        assert_eq!(list.expect("asked").header("cookie"), expected);
    }
}

fn left_out(form: &Form, expected: &[&str]) {
    let server = server();
    let mut proxy = form.start(&server.url, &["--ignore-tool", "remove*"], &[]);
    open(&mut proxy);
    let list = proxy.ask(LIST);
    for name in TOOLS {
        let is_left_out = expected.contains(&name) || name == "removeTask";
        assert_eq!(!list.contains(&format!("\"{name}\"")), is_left_out, "{name}: {list}");
        let call =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#);
        let answer = proxy.ask(&call);
        let refusal = format!(r#"Tool \"{name}\" is not available"#);
        assert_eq!(answer.contains("-32603") && answer.contains(&refusal), is_left_out, "{answer}");
    }
    proxy.finish();
    let calls = server.requests().iter().filter(|request| request.title() == "tools/call").count();
    assert_eq!(calls, TOOLS.len() - expected.len() - 1);
}

fn runs_out(form: &Form, option: &str, how: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) {
    let server = Server::legacy(move |request, reply| match request.title() {
        "tools/call" => how(request, reply),
        _ => answer(request, reply),
    });
    let mut proxy = form.start(&server.url, &[], &[]);
    open(&mut proxy);
    let line = proxy.ask(CALL);
    assert!(line.contains(option) && line.contains(r#""id":"call""#), "{line}");
    assert!(proxy.ask(LIST).contains("\"result\""));
    proxy.finish();
}

fn is_reached_by_name(form: &Form) {
    let server = server();
    let mut proxy = form.start(&server.url.replace("127.0.0.1", "localhost"), &[], &[]);
    open(&mut proxy);
    proxy.finish();
    assert!(!server.requests().is_empty());
}

fn is_pinged(form: &Form) {
    let server = server();
    let mut proxy = form.start(&server.url, &[], &[]);
    open(&mut proxy);
    server.wait_for(|request| request.title() == "ping");
    assert!(proxy.ask(CALL).contains("\"result\""), "the answer to the ping is nobody else's");
    proxy.finish();
}

fn prints(form: &Form, text: &str) {
    let arguments = [&["https://mcp.example.com/mcp".to_owned()][..], &form.option].concat();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether")).args(arguments).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains(text));
}

#[test]
fn options_that_mcp_remote_ignores_are_errors() {
    // A typing error is passed over there, and the option with it.
    for (arguments, expected) in [
        (&["--headers", "X: v"][..], "did you mean --header?"),
        (&["--ignore-tools", "x"], "did you mean --ignore-tool?"),
        (&["--transport", "sse"], "write one of http-first, sse-first, http-only, sse-only"),
        (&["--protocol", "new"], "the value of --protocol is not valid"),
        (&["--protocol", "legcy"], "did you mean legacy?"),
        (&["--auth", ""], "write one of auto, oauth, none"),
        (&["--connect-timeout", "soon"], "write a number of seconds"),
        (&["--headers-timeout", "-1"], "write a number of seconds"),
        (&["--body-timeout", "NaN"], "write a number of seconds"),
        (&["--body-timeout", "inf"], "write a number of seconds"),
        (&["--body-timeout", ""], "--body-timeout"),
        (&["--ping-interval", "0"], "write a number of seconds"),
        (&["--ignore-tool", ""], "--ignore-tool is empty"),
        (&["--allow-tool", "a\nb"], "--allow-tool is empty or holds a line break"),
        (&["--ignore-tool"], "the option --ignore-tool requires a value"),
        (&["--header", "X-A"], "is not of the form"),
        (&["99999"], "not a number from 1 to 65535"),
        (&["0"], "not a number from 1 to 65535"),
        (&["abc"], "neither options nor their values"),
        (&["--json"], "--json is an option of mcp-tether check"),
        (&["--paste"], "run mcp-tether login --paste"),
    ] {
        let arguments = [&["https://mcp.example.test/mcp"], arguments].concat();
        let mut proxy = Proxy::start(&arguments);
        let line = proxy.ask(INITIALIZE);
        assert!(line.contains(expected), "{arguments:?}: {line}");
        assert_eq!(proxy.finish().code, Some(2), "{arguments:?}");
    }
}

#[test]
fn last_of_repeated_option_counts() {
    let server = server();
    let collected = ["-v", "--verbose", "-v", "--header", "X-A: 1", "--header", "X-B: 2"];
    let mut proxy = Proxy::start(&[&[&*server.url], &collected[..]].concat());
    open(&mut proxy);
    // What is counted or collected is so all the same; three times is with the bodies.
    proxy.tells("protocolVersion");
    proxy.finish();
    let request = &server.requests()[0];
    assert_eq!((request.header("x-a"), request.header("x-b")), (Some("1"), Some("2")));
    let twice =
        ["--silent", "--silent", "--ipv4", "--ipv4", "--connect-timeout", "1", "--connect-timeout", "2"];
    let mut proxy = Proxy::start(&[&[&*server.url], &twice[..]].concat());
    open(&mut proxy);
    assert_eq!(proxy.finish().code, Some(0));
}
