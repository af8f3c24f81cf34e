//! The MCP server behind the edge: a few tools that between them use every direction of the protocol.
//!
//! Apart because it knows nothing of HTTP but who called. `slow` and `ask` are the ones that proxies get wrong: progress
//! and cancellation while a call runs, and a question to the client in the middle of one.
//!
//! Deliberately not here: sampling, roots, subscriptions, tasks; the reference server has those.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::request::Parts;
use rmcp::handler::server::tool::{Extension, InputResponses};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, ElicitRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationSchema, Implementation, InputRequest, InputRequests, InputRequiredResult,
    ListResourcesResult, PaginatedRequestParams, ProgressNotificationParam, PromptMessage, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource, ResourceContents, Role,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{
    ErrorData, RoleServer, ServerHandler, prompt, prompt_handler, prompt_router, tool, tool_handler,
    tool_router,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::origin::Caller;

/// Where to read how many calls of `slow` were cancelled.
const CANCELLED: &str = "edge://cancelled";
/// The name under which a question of `ask` travels where questions are part of the result.
const QUESTION: &str = "question";

/// The server; clones share their count of cancelled calls.
#[derive(Clone, Default)]
pub(super) struct Tools {
    cancelled: Arc<AtomicU64>,
}

#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// What to say again.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Add {
    /// The first number.
    a: f64,
    /// The second number.
    b: f64,
}

#[derive(Deserialize, JsonSchema)]
struct Slow {
    /// How long the call takes, in milliseconds.
    ms: u64,
    /// In how many steps; each is a progress notification, where the request has a progress token.
    steps: u32,
}

#[derive(Deserialize, JsonSchema)]
struct Ask {
    /// What to ask the person at the client.
    question: String,
}

/// What the person fills in.
#[derive(Deserialize, JsonSchema)]
struct Reply {
    /// The answer.
    answer: String,
}

#[derive(Deserialize, JsonSchema)]
struct Greet {
    /// Whom to greet.
    name: String,
}

#[tool_router]
impl Tools {
    #[tool(description = "Says the text again", annotations(read_only_hint = true))]
    async fn echo(&self, Parameters(Echo { text }): Parameters<Echo>) -> String {
        text
    }

    #[tool(description = "Adds two numbers", annotations(read_only_hint = true))]
    async fn add(&self, Parameters(Add { a, b }): Parameters<Add>) -> String {
        (a + b).to_string()
    }

    #[tool(description = "Says whom Access let through", annotations(read_only_hint = true))]
    async fn whoami(&self, Extension(parts): Extension<Parts>) -> String {
        parts
            .extensions
            .get::<Caller>()
            .map_or_else(|| "nobody in particular".to_owned(), |caller| caller.name().to_owned())
    }

    #[tool(
        description = "Takes its time and reports progress; can be cancelled",
        annotations(read_only_hint = true)
    )]
    async fn slow(
        &self,
        Parameters(Slow { ms, steps }): Parameters<Slow>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let guard = CountUnlessFinished { cancelled: Some(&self.cancelled) };
        let progress_token = context.meta.get_progress_token();
        for step in 1..=steps {
            tokio::select! {
                () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
                () = tokio::time::sleep(Duration::from_millis(ms) / steps) => {}
            }
            if let Some(token) = &progress_token {
                let progress = ProgressNotificationParam::new(token.clone(), step.into())
                    .with_total(steps.into())
                    .with_message(format!("step {step} of {steps}"));
                // Nobody listens any more: the cancellation will tell.
                let _ = context.peer.notify_progress(progress).await;
            }
        }
        guard.finished();
        Ok(format!("done after {steps} steps"))
    }

    #[tool(description = "Asks the person at the client a question and returns the answer")]
    async fn ask(
        &self,
        Parameters(Ask { question }): Parameters<Ask>,
        InputResponses(responses): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if context.client_capabilities().is_none_or(|capabilities| capabilities.elicitation.is_none()) {
            return Ok(failed("this client cannot be asked: it has not declared elicitation").into());
        }
        let form = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: question,
            requested_schema: ElicitationSchema::from_type::<Reply>().map_err(internal)?,
        };
        if context.protocol_version().is_none_or(|version| version < ProtocolVersion::V_2026_07_28) {
            return Ok(answered(context.peer.create_elicitation(form).await.map_err(internal)?).into());
        }
        let Some(reply) = responses.as_ref().and_then(|responses| responses.get(QUESTION)) else {
            let question = InputRequest::Elicitation(ElicitRequest::new(form));
            let questions = InputRequests::from([(QUESTION.to_owned(), question)]);
            return Ok(InputRequiredResult::from_input_requests(questions).into());
        };
        Ok(answered(serde_json::from_value(reply.clone()).map_err(internal)?).into())
    }
}

#[prompt_router]
impl Tools {
    #[prompt(description = "Asks for a greeting")]
    async fn greet(&self, Parameters(Greet { name }): Parameters<Greet>) -> Vec<PromptMessage> {
        vec![PromptMessage::new_text(Role::User, format!("Please greet {name}."))]
    }
}

#[tool_handler]
#[prompt_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_prompts().enable_resources().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("edge", env!("CARGO_PKG_VERSION")))
            .with_instructions("Tools to try a proxy with.")
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let cancelled = Resource::new(CANCELLED, "cancelled")
            .with_description("How many calls of slow were cancelled")
            .with_mime_type("text/plain");
        Ok(ListResourcesResult::with_all_items(vec![cancelled]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != CANCELLED {
            return Err(ErrorData::resource_not_found(format!("no resource {}", request.uri), None));
        }
        let count = self.cancelled.load(Ordering::Relaxed).to_string();
        let contents = ResourceContents::text(count, CANCELLED).with_mime_type("text/plain");
        Ok(ReadResourceResult::new(vec![contents]).into())
    }
}

fn answered(result: ElicitResult) -> CallToolResult {
    match result.action {
        ElicitationAction::Accept => {
            match serde_json::from_value::<Reply>(result.content.unwrap_or_default()) {
                Ok(reply) => CallToolResult::success(vec![ContentBlock::text(reply.answer)]),
                Err(error) => failed(&format!("the answer does not fit the form: {error}")),
            }
        }
        ElicitationAction::Decline => failed("the person declined to answer"),
        // `Cancel`; rmcp leaves room for more.
        _ => failed("the person closed the question"),
    }
}

fn failed(sentence: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(sentence)])
}

fn internal(error: impl ToString) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

/// Counts a call as cancelled however it ends early: told to, or dropped together with its request.
struct CountUnlessFinished<'a> {
    cancelled: Option<&'a AtomicU64>,
}

impl CountUnlessFinished<'_> {
    fn finished(mut self) {
        self.cancelled = None;
    }
}

impl Drop for CountUnlessFinished<'_> {
    fn drop(&mut self) {
        if let Some(cancelled) = self.cancelled {
            cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}
