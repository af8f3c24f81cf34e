//! Real counterparts: rmcp's client starts the real binary, which talks to rmcp's server, plain and behind the edge.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use edge::{Access, Answers, Config, Edge, Mode, Policy, ServiceToken};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ClientRequest,
    ElicitRequestParams, ElicitResult, ElicitationAction, GetPromptRequestParams, Implementation, JsonObject,
    ProgressNotificationParam, ProtocolVersion, ReadResourceRequestParams, ServerResult,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt};
use rmcp::service::{NotificationContext, PeerRequestOptions, RequestContext, RunningService, ServiceError};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, ErrorData, RoleClient, ServiceExt};
use serde_json::json;

#[path = "../../examples/edge/edge/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod edge;

/// Nothing here takes this long unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that answers questions and counts progress.
#[derive(Clone, Debug, Default)]
struct Client {
    progress: Arc<AtomicU32>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("counterpart", "1"))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "answer": "forty-two" })))
    }

    async fn on_progress(&self, _: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}

type Running = RunningService<RoleClient, Client>;

/// Starts the binary as a client does, with this environment and nothing else.
async fn connect(url: &str, environment: &[(&str, &str)]) -> Result<Running, String> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.args(["--no-cache", url]).env_clear().envs(environment.iter().copied());
    let transport = TokioChildProcess::new(command).expect("the binary starts");
    let connecting = tokio::time::timeout(PATIENCE, Client::default().serve(transport));
    connecting.await.expect("an answer in time").map_err(|error| error.to_string())
}

fn with_token(edge: &Edge) -> [(&str, &str); 2] {
    [("CF_ACCESS_CLIENT_ID", &edge.token().id), ("CF_ACCESS_CLIENT_SECRET", &edge.token().secret)]
}

fn call(name: &'static str, arguments: serde_json::Value) -> CallToolRequestParams {
    let serde_json::Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    CallToolRequestParams::new(name).with_arguments(JsonObject::from_iter(arguments))
}

fn text(result: &CallToolResult) -> String {
    result.content.iter().filter_map(|content| content.as_text()).map(|text| text.text.clone()).collect()
}

#[tokio::test]
async fn rmcp_client_and_server_work_through_proxy() {
    for answers in [Answers::Stream, Answers::Json] {
        let edge = Edge::start(Config { access: None, answers, port: 0 }).expect("a free port");
        let client = connect(&edge.mcp_url(), &[]).await.expect("connected");
        let names: Vec<_> =
            client.list_all_tools().await.expect("tools").into_iter().map(|tool| tool.name).collect();
        assert!(names.iter().any(|name| name == "echo"), "{names:?}");

        let awkward = "é\u{2028}\"\\\n\t\u{1F600}".repeat(1000);
        let echoed = client.call_tool(call("echo", json!({ "text": awkward }))).await.expect("an echo");
        assert_eq!(text(&echoed), awkward);
        let large = "x".repeat(1024 * 1024);
        let echoed = client.call_tool(call("echo", json!({ "text": large }))).await.expect("an echo");
        assert_eq!(text(&echoed), large);

        let greeting = client.get_prompt(
            GetPromptRequestParams::new("greet")
                .with_arguments(JsonObject::from_iter([("name".to_owned(), json!("you"))])),
        );
        assert!(format!("{:?}", greeting.await.expect("a prompt")).contains("Please greet you."));
        assert_eq!(client.list_all_resources().await.expect("resources").len(), 1);
        let unknown = client.call_tool(call("no-such-tool", json!({}))).await;
        assert!(matches!(unknown, Err(ServiceError::McpError(_))), "{unknown:?}");

        let twenty = (0..20).map(|number| client.call_tool(call("add", json!({ "a": number, "b": 1 }))));
        for (number, sum) in futures_util::future::join_all(twenty).await.into_iter().enumerate() {
            assert_eq!(text(&sum.expect("a sum")), (number + 1).to_string());
        }
        client.cancel().await.expect("the proxy ends");
    }
}

#[tokio::test]
async fn questions_progress_and_cancellation_pass_while_a_call_runs() {
    let edge = Edge::start(Config { access: None, answers: Answers::Stream, port: 0 }).expect("a free port");
    let client = connect(&edge.mcp_url(), &[]).await.expect("connected");

    let answer = client.call_tool(call("ask", json!({ "question": "how many?" }))).await.expect("an answer");
    assert_eq!(text(&answer), "forty-two");

    let slow =
        ClientRequest::CallToolRequest(CallToolRequest::new(call("slow", json!({ "ms": 30, "steps": 3 }))));
    let handle = client.send_cancellable_request(slow, PeerRequestOptions::no_options()).await.expect("sent");
    let Ok(ServerResult::CallToolResult(result)) = handle.await_response().await else { panic!("no result") };
    assert_eq!(text(&result), "done after 3 steps");
    // The result came behind the progress; rmcp hands notifications to tasks of their own.
    while client.service().progress.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }

    cancel_once_it_runs(&client).await;
    client.cancel().await.expect("the proxy ends");
    let ended = edge.requests().into_iter().filter(|seen| seen.method == "DELETE").count();
    assert_eq!(ended, 1, "the session is ended once");
}

#[tokio::test]
async fn modern_era_passes_unchanged_between_rmcp_peers() {
    for answers in [Answers::Stream, Answers::Json] {
        let access = Access { mode: Mode::Legacy, policies: vec![Policy::ServiceAuth] };
        let edge = Edge::start(Config { access: Some(access), answers, port: 0 }).expect("a free port");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
        command.arg("--no-cache").arg(edge.mcp_url()).env_clear().envs(with_token(&edge));
        let transport = TokioChildProcess::new(command).expect("the binary starts");
        let modern =
            ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
        let connecting = Client::default().serve_with_lifecycle(transport, modern);
        let client = tokio::time::timeout(PATIENCE, connecting).await.expect("in time").expect("connected");

        assert!(!client.list_all_tools().await.expect("tools").is_empty());
        let who = client.call_tool(call("whoami", json!({}))).await.expect("an answer");
        assert_eq!(text(&who), edge.token().id);
        let awkward = "é\u{2028}\"\\\n";
        let echoed = client.call_tool(call("echo", json!({ "text": awkward }))).await.expect("an echo");
        assert_eq!(text(&echoed), awkward);
        let answer =
            client.call_tool(call("ask", json!({ "question": "how many?" }))).await.expect("an answer");
        assert_eq!(text(&answer), "forty-two", "asked and answered in two rounds");
        let resource = client.read_resource(ReadResourceRequestParams::new("edge://cancelled")).await;
        assert!(format!("{:?}", resource.expect("a resource")).contains("text: \"0\""));

        if matches!(answers, Answers::Stream) {
            cancel_once_it_runs(&client).await;
        }
        client.cancel().await.expect("the proxy ends");

        for seen in edge.requests() {
            let header =
                |name: &str| seen.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
            assert_eq!(seen.method, "POST", "no GET and no DELETE in this era: {seen:?}");
            assert!(header("mcp-method") && header("mcp-protocol-version"), "{seen:?}");
            assert!(!header("mcp-session-id") && !header("last-event-id"), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn server_restart_loses_no_call() {
    for answers in [Answers::Stream, Answers::Json] {
        // Somebody else may take the port while nobody listens.
        while !restarted(answers).await {}
    }
}

/// The whole conversation. Tells whether the server got its port back.
async fn restarted(answers: Answers) -> bool {
    let edge = Edge::start(Config { access: None, answers, port: 0 }).expect("a free port");
    let url = edge.mcp_url();
    let port = url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port");
    let port = port.parse().expect("a number");
    let client = connect(&url, &[]).await.expect("connected");
    let add = |a: u32| client.call_tool(call("add", json!({ "a": a, "b": 1 })));
    assert_eq!(text(&add(1).await.expect("a sum")), "2");
    // The drop returns once every connection is closed.
    drop(edge);
    // Asked while nobody listens.
    let away = add(10);
    let back = async {
        // The first attempt has failed by then, or it has not begun: either way the call must come through.
        tokio::task::yield_now().await;
        Edge::start(Config { access: None, answers, port }).ok()
    };
    let (sum, edge) = tokio::join!(away, back);
    let Some(edge) = edge else { return false };
    assert_eq!(text(&sum.expect("a sum")), "11");
    let twenty = (0..20).map(add);
    for (number, sum) in futures_util::future::join_all(twenty).await.into_iter().enumerate() {
        assert_eq!(text(&sum.expect("a sum")), (number + 1).to_string());
    }
    let seen = edge.requests();
    let posts = seen.iter().filter(|seen| seen.method == "POST").count();
    // With JSON answers rmcp's server has no sessions, so that none is lost.
    let (renewal, parts) = match answers {
        Answers::Stream => (3, "the calls, the refusal of the first, and a handshake in two parts"),
        Answers::Json | Answers::Plain => (0, "the calls"),
    };
    assert_eq!(posts, 21 + renewal, "{parts}: {seen:?}");
    client.cancel().await.expect("the proxy ends");
    true
}

/// Starts a call without end, waits until it reports progress, and cancels it: the server sees the exchange end.
async fn cancel_once_it_runs(client: &Running) {
    let slow = call("slow", json!({ "ms": 600_000, "steps": 600_000 }));
    let endless = ClientRequest::CallToolRequest(CallToolRequest::new(slow));
    let handle =
        client.send_cancellable_request(endless, PeerRequestOptions::no_options()).await.expect("sent");
    let before = client.service().progress.load(Ordering::Relaxed);
    let runs_then_ends = async {
        while client.service().progress.load(Ordering::Relaxed) == before {
            tokio::task::yield_now().await;
        }
        handle.cancel(Some("changed my mind".to_owned())).await.expect("told");
        loop {
            let resource = client.read_resource(ReadResourceRequestParams::new("edge://cancelled")).await;
            if format!("{:?}", resource.expect("a count")).contains("text: \"1\"") {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, runs_then_ends).await.expect("the server heard of the cancellation");
}

#[tokio::test]
async fn a_service_token_opens_the_way_through_access() {
    for mode in [Mode::Legacy, Mode::Strict] {
        let access = Access { mode, policies: vec![Policy::Allow, Policy::ServiceAuth] };
        let edge = Edge::start(Config { access: Some(access), ..Config::default() }).expect("a free port");
        let client = connect(&edge.mcp_url(), &with_token(&edge)).await.expect("connected");
        let who = client.call_tool(call("whoami", json!({}))).await.expect("an answer");
        assert_eq!(text(&who), edge.token().id);
        let mut watched = edge.watch();
        let listens = watched.wait_for(|seen| seen.iter().any(|seen| seen.method == "GET"));
        drop(tokio::time::timeout(PATIENCE, listens).await.expect("it listens").expect("the edge runs"));
        client.cancel().await.expect("the proxy ends");

        let seen = edge.requests();
        assert_eq!(
            seen.first().map(|first| first.method.as_str()),
            Some("POST"),
            "no probe before the handshake"
        );
        for request in &seen {
            let count = |name: &str| {
                request.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name)).count()
            };
            assert_eq!(count("cf-access-client-id"), 1, "{request:?}");
            assert_eq!(count("cf-access-client-secret"), 1, "{request:?}");
        }
        let methods: Vec<&str> = seen.iter().map(|request| request.method.as_str()).collect();
        assert!(methods.contains(&"GET") && methods.contains(&"DELETE"), "{methods:?}");
    }
}

#[tokio::test]
async fn refusals_of_access_are_explained_without_opening_page() {
    let none = |_: &ServiceToken| None;
    let right = |token: &ServiceToken| Some(token.secret.clone());
    let wrong = |token: &ServiceToken| Some(token.secret.replacen("cfast_", "cfast_X", 1));
    type Secret = fn(&ServiceToken) -> Option<String>;
    let (none, right, wrong): (Secret, Secret, Secret) = (none, right, wrong);
    for (mode, policies, token, expected) in [
        (Mode::Legacy, vec![Policy::Allow], none, "carried no service token"),
        (Mode::Legacy, vec![Policy::ServiceAuth], none, "carried no service token"),
        (Mode::Legacy, vec![Policy::Allow, Policy::ServiceAuth], wrong, "rejected the service token"),
        (Mode::Legacy, vec![Policy::ServiceAuth], wrong, "gives no reason"),
        (Mode::Strict, vec![Policy::ServiceAuth], wrong, "rejected the service token"),
        (Mode::Legacy, vec![Policy::Allow], right, "is valid, but no Service Auth policy"),
        (Mode::Strict, vec![Policy::ServiceAuthOther], right, "gives no reason"),
    ] {
        let case = format!("{mode:?} {policies:?}");
        let access = Access { mode, policies };
        let edge = Edge::start(Config { access: Some(access), ..Config::default() }).expect("a free port");
        let secret = token(edge.token());
        let environment = secret.as_deref().map_or_else(Vec::new, |secret| {
            vec![("CF_ACCESS_CLIENT_ID", edge.token().id.as_str()), ("CF_ACCESS_CLIENT_SECRET", secret)]
        });
        let error = connect(&edge.mcp_url(), &environment).await.expect_err("refused");
        assert!(error.contains(expected), "{case}: {error}");
        assert!(secret.is_none_or(|secret| !error.contains(&secret)), "{case}: {error}");
        assert!(edge.team_requests().is_empty(), "{case}: {:?}", edge.team_requests());
    }
}

/// Runs `check` and returns its exit code and what it told.
async fn check(url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.arg("check").args(arguments).arg(url).env_clear().envs(environment.iter().copied());
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("in time").expect("it starts");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[tokio::test]
async fn check_passes_every_step_and_ends_its_session() {
    for answers in [Answers::Stream, Answers::Json] {
        let edge = Edge::start(Config { answers, ..Config::default() }).expect("a free port");
        let (code, told) = check(&edge.mcp_url(), &[], &with_token(&edge)).await;
        assert_eq!(code, Some(0), "{told}");
        for expected in [
            "credentials   ok      service token",
            "access        ok      application",
            "Managed OAuth is off",
            "token         ok      Cloudflare Access accepts the service token",
            "policy        ok      Service Auth",
            "handshake     ok      edge",
            "capabilities  ok      tools",
            "tools         ok      5",
            "prompts       ok      1",
            "resources     ok      1",
            "round trip    ok",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        assert!(!told.contains(&edge.token().secret) && !told.contains('\x1b'), "{told}");
        if matches!(answers, Answers::Stream) {
            assert!(told.contains("session       ok      ended"), "{told}");
            assert_eq!(edge.requests().last().map(|seen| seen.method.clone()).as_deref(), Some("DELETE"));
        }
    }
}

#[tokio::test]
async fn check_stops_at_first_failure_with_remedy() {
    let edge = Edge::start(Config::default()).expect("a free port");
    let url = edge.mcp_url();
    let wrong = format!("cfast_{}", "x".repeat(48));
    let id = edge.token().id.clone();
    let wrong_token = [("CF_ACCESS_CLIENT_ID", id.as_str()), ("CF_ACCESS_CLIENT_SECRET", wrong.as_str())];
    for (address, environment, code, step, cause) in [
        (url.as_str(), &wrong_token[..], 1, "token", "access_token"),
        (url.as_str(), &[][..], 1, "token", "access_credentials"),
        (url.as_str(), &wrong_token[..1], 2, "configuration", "configuration"),
        ("https://nowhere.invalid/mcp", &[][..], 1, "name", "dns"),
        ("https://127.0.0.1:1/mcp", &[][..], 1, "connection", "connect"),
        ("no-url", &[][..], 2, "configuration", "configuration"),
    ] {
        let (found, told) = check(address, &["--json"], environment).await;
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        let last = told["findings"].as_array().and_then(|findings| findings.last()).expect("a finding");
        assert_eq!(found, Some(code), "{told}");
        assert_eq!((last["step"].as_str(), last["cause"].as_str()), (Some(step), Some(cause)), "{told}");
        assert!(last["advice"].is_string() && told["ok"] == false, "{told}");
    }
    assert!(edge.team_requests().is_empty(), "the sign-in page is never called");
}
