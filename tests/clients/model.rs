//! A model on this machine that wants one thing: that the tool `echo` is called. For clients that do nothing without a model.
//!
//! It speaks as much of the APIs of Anthropic, OpenAI and Google as a conversation of two turns takes: the first answer calls the tool
//! that the client offers, the second repeats what the tool said. It is the proxy of its clients as well, one that
//! lets nobody out and remembers who tried. Deliberately not here: the clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What the tool is to say.
pub(crate) const WORD: &str = "hello-from-the-tool";

/// A model that is there until it is dropped.
pub(crate) struct Model {
    pub(crate) address: SocketAddr,
    told: Told,
    _runtime: Runtime,
}

/// What came, a line each.
#[derive(Clone, Default)]
struct Told {
    asked: Arc<Mutex<Vec<String>>>,
    stopped: Arc<Mutex<Vec<String>>>,
}

impl Model {
    pub(crate) fn start() -> Model {
        let runtime = Runtime::new().expect("a runtime");
        let told = Told::default();
        let router = Router::new().fallback(answer).with_state(told.clone());
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(async move { axum::serve(listener, router).await });
        Model { address, told, _runtime: runtime }
    }

    /// What the model was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.told.asked.lock().expect("no panic").clone()
    }

    /// Who wanted to leave this machine, and where to.
    pub(crate) fn stopped(&self) -> Vec<String> {
        self.told.stopped.lock().expect("no panic").clone()
    }
}

async fn answer(State(told): State<Told>, method: Method, uri: Uri, body: Bytes) -> Response {
    // A request to a proxy names the host.
    if method == Method::CONNECT || uri.host().is_some() {
        told.stopped.lock().expect("no panic").push(format!("{method} {uri}"));
        return StatusCode::FORBIDDEN.into_response();
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    told.asked.lock().expect("no panic").push(format!("{method} {} of {} bytes", uri.path(), body.len()));
    match uri.path() {
        "/v1/messages" => anthropic(&request),
        "/v1/responses" => openai(&request),
        path if path.ends_with(":streamGenerateContent") => google(&request),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn events(events: &[(&str, Value)]) -> Response {
    let event = |(name, data): &(&str, Value)| {
        let mut data = data.clone();
        data["type"] = json!(name);
        format!("event: {name}\ndata: {data}\n\n")
    };
    let text: String = events.iter().map(event).collect();
    ([(header::CONTENT_TYPE, "text/event-stream")], text).into_response()
}

/// The name of the tool, as the client calls it.
fn tool<'a>(tools: impl IntoIterator<Item = &'a Value>) -> Option<&'a str> {
    tools.into_iter().filter_map(|tool| tool["name"].as_str()).find(|name| name.ends_with("echo"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What the model says in the end: whether the tool's word has come.
fn verdict(result: &Value) -> String {
    match result.to_string().contains(WORD) {
        true => format!("the tool said {WORD}"),
        false => "the tool was not there, or said something else".to_owned(),
    }
}

/// The Messages API, as a stream.
fn anthropic(request: &Value) -> Response {
    let last = list(&request["messages"]).last().cloned().unwrap_or_default();
    let has_result = last.to_string().contains("\"tool_result\"");
    let (start, delta, reason) = match tool(list(&request["tools"])).filter(|_| !has_result) {
        Some(name) => (
            json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": json!({ "text": WORD }).to_string() }),
            "tool_use",
        ),
        None => (
            json!({ "type": "text", "text": "" }),
            json!({ "type": "text_delta", "text": verdict(&if has_result { last } else { Value::Null }) }),
            "end_turn",
        ),
    };
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    events(&[
        ("message_start", json!({ "message": message })),
        ("content_block_start", json!({ "index": 0, "content_block": start })),
        ("content_block_delta", json!({ "index": 0, "delta": delta })),
        ("content_block_stop", json!({ "index": 0 })),
        (
            "message_delta",
            json!({ "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": { "output_tokens": 1 } }),
        ),
        ("message_stop", json!({})),
    ])
}

/// The Responses API, as a stream. Tools of servers stand in a namespace each.
fn openai(request: &Value) -> Response {
    let result = list(&request["input"]).iter().find(|item| item["type"] == "function_call_output");
    let tools = list(&request["tools"]);
    let spaces = tools.iter().map(|space| (space["name"].as_str(), tool(list(&space["tools"]))));
    let within = spaces.filter_map(|(space, name)| Some((space?, name?))).next();
    let item = match (result, within, tool(tools)) {
        (None, Some((space, name)), _) => json!({
            "type": "function_call", "id": "fc_1", "call_id": "c1", "namespace": space, "name": name,
            "arguments": json!({ "text": WORD }).to_string(),
        }),
        (None, None, Some(name)) => json!({
            "type": "function_call", "id": "fc_1", "call_id": "c1", "name": name,
            "arguments": json!({ "text": WORD }).to_string(),
        }),
        (result, _, _) => json!({
            "type": "message", "id": "m1", "role": "assistant",
            "content": [{ "type": "output_text", "text": verdict(result.unwrap_or(&Value::Null)) }],
        }),
    };
    let usage = json!({
        "input_tokens": 1, "input_tokens_details": null, "output_tokens": 1, "output_tokens_details": null,
        "total_tokens": 2,
    });
    events(&[
        ("response.created", json!({ "response": { "id": "r1" } })),
        ("response.output_item.done", json!({ "output_index": 0, "item": item })),
        ("response.completed", json!({ "response": { "id": "r1", "usage": usage } })),
    ])
}

/// generateContent, as a stream.
fn google(request: &Value) -> Response {
    let last = list(&request["contents"]).last().cloned().unwrap_or_default();
    let has_result = last.to_string().contains("\"functionResponse\"");
    let declared = list(&request["tools"]).iter().flat_map(|tools| list(&tools["functionDeclarations"]));
    let part = match tool(declared).filter(|_| !has_result) {
        Some(name) => json!({ "functionCall": { "name": name, "args": { "text": WORD } } }),
        None => json!({ "text": verdict(&if has_result { last } else { Value::Null }) }),
    };
    let answer = json!({
        "candidates": [{ "content": { "role": "model", "parts": [part] }, "finishReason": "STOP", "index": 0 }],
        "usageMetadata": { "promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2 },
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], format!("data: {answer}\n\n")).into_response()
}
