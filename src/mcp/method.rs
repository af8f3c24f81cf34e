//! The names of requests and notifications, in the spelling of the specification.

/// Opens a session (up to 2025-11-25).
pub const INITIALIZE: &str = "initialize";
/// Ends the handshake that [`INITIALIZE`] began.
pub const INITIALIZED: &str = "notifications/initialized";
/// Asks for the server's revisions and capabilities (from 2026-07-28).
pub const DISCOVER: &str = "server/discover";
/// Opens a subscription (from 2026-07-28).
pub const LISTEN: &str = "subscriptions/listen";
/// The first message of a subscription.
pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// Asks the other side for an empty answer.
pub const PING: &str = "ping";
/// Takes a request back.
pub const CANCELLED: &str = "notifications/cancelled";
/// Says how far a request is.
pub const PROGRESS: &str = "notifications/progress";
/// A line of the server's log.
pub const LOG_MESSAGE: &str = "notifications/message";
/// Sets the lowest level of such lines for a session (up to 2025-11-25).
pub const SET_LEVEL: &str = "logging/setLevel";

/// Lists tools.
pub const TOOLS_LIST: &str = "tools/list";
/// Calls a tool.
pub const TOOLS_CALL: &str = "tools/call";
/// Says that the list of tools is another.
pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
/// Lists prompts.
pub const PROMPTS_LIST: &str = "prompts/list";
/// Fills in a prompt.
pub const PROMPTS_GET: &str = "prompts/get";
/// Says that the list of prompts is another.
pub const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
/// Lists resources.
pub const RESOURCES_LIST: &str = "resources/list";
/// Lists templates of resources.
pub const RESOURCE_TEMPLATES_LIST: &str = "resources/templates/list";
/// Reads a resource.
pub const RESOURCES_READ: &str = "resources/read";
/// Subscribes to a resource in a session (up to 2025-11-25).
pub const RESOURCES_SUBSCRIBE: &str = "resources/subscribe";
/// Ends such a subscription.
pub const RESOURCES_UNSUBSCRIBE: &str = "resources/unsubscribe";
/// Says that a resource is another.
pub const RESOURCES_UPDATED: &str = "notifications/resources/updated";
/// Says that the list of resources is another.
pub const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";
/// Completes an argument.
pub const COMPLETE: &str = "completion/complete";

/// The server asks the client for its roots.
pub const ROOTS_LIST: &str = "roots/list";
/// Says that the client's roots are others.
pub const ROOTS_CHANGED: &str = "notifications/roots/list_changed";
/// The server asks the client for a sample of a language model.
pub const SAMPLING_CREATE: &str = "sampling/createMessage";
/// The server asks the user something.
pub const ELICITATION_CREATE: &str = "elicitation/create";
/// Says that an elicitation by URL is done (2025-11-25).
pub const ELICITATION_COMPLETE: &str = "notifications/elicitation/complete";

/// How the methods of the tasks extension begin.
pub const TASKS: &str = "tasks/";
/// Asks for the state of a task.
pub const TASKS_GET: &str = "tasks/get";
/// Lists tasks (2025-11-25).
pub const TASKS_LIST: &str = "tasks/list";
/// Asks for the result of a task (2025-11-25).
pub const TASKS_RESULT: &str = "tasks/result";
/// Gives a task what it asked for (from 2026-07-28).
pub const TASKS_UPDATE: &str = "tasks/update";
/// Ends a task.
pub const TASKS_CANCEL: &str = "tasks/cancel";
/// Says that the state of a task is another (2025-11-25).
pub const TASKS_STATUS: &str = "notifications/tasks/status";

#[cfg(test)]
mod tests {
    use rmcp::model::{self, ConstString};

    use super::*;

    #[test]
    fn method_names_agree_with_rmcp() {
        for (ours, theirs) in [
            (INITIALIZE, model::InitializeResultMethod::VALUE),
            (INITIALIZED, model::InitializedNotificationMethod::VALUE),
            (DISCOVER, model::DiscoverRequestMethod::VALUE),
            (LISTEN, model::SubscriptionsListenRequestMethod::VALUE),
            (ACKNOWLEDGED, model::SubscriptionsAcknowledgedNotificationMethod::VALUE),
            (PING, model::PingRequestMethod::VALUE),
            (CANCELLED, model::CancelledNotificationMethod::VALUE),
            (PROGRESS, model::ProgressNotificationMethod::VALUE),
            (LOG_MESSAGE, model::LoggingMessageNotificationMethod::VALUE),
            (SET_LEVEL, model::SetLevelRequestMethod::VALUE),
            (TOOLS_LIST, model::ListToolsRequestMethod::VALUE),
            (TOOLS_CALL, model::CallToolRequestMethod::VALUE),
            (TOOLS_CHANGED, model::ToolListChangedNotificationMethod::VALUE),
            (PROMPTS_LIST, model::ListPromptsRequestMethod::VALUE),
            (PROMPTS_GET, model::GetPromptRequestMethod::VALUE),
            (PROMPTS_CHANGED, model::PromptListChangedNotificationMethod::VALUE),
            (RESOURCES_LIST, model::ListResourcesRequestMethod::VALUE),
            (RESOURCE_TEMPLATES_LIST, model::ListResourceTemplatesRequestMethod::VALUE),
            (RESOURCES_READ, model::ReadResourceRequestMethod::VALUE),
            (RESOURCES_SUBSCRIBE, model::SubscribeRequestMethod::VALUE),
            (RESOURCES_UNSUBSCRIBE, model::UnsubscribeRequestMethod::VALUE),
            (RESOURCES_UPDATED, model::ResourceUpdatedNotificationMethod::VALUE),
            (RESOURCES_CHANGED, model::ResourceListChangedNotificationMethod::VALUE),
            (COMPLETE, model::CompleteRequestMethod::VALUE),
            (ROOTS_LIST, model::ListRootsRequestMethod::VALUE),
            (ROOTS_CHANGED, model::RootsListChangedNotificationMethod::VALUE),
            (SAMPLING_CREATE, model::CreateMessageRequestMethod::VALUE),
            (ELICITATION_CREATE, model::ElicitationCreateRequestMethod::VALUE),
            (TASKS_GET, model::GetTaskMethod::VALUE),
            (TASKS_UPDATE, model::UpdateTaskMethod::VALUE),
            (TASKS_CANCEL, model::CancelTaskMethod::VALUE),
        ] {
            assert_eq!(ours, theirs);
        }
        for method in [TASKS_GET, TASKS_LIST, TASKS_RESULT, TASKS_UPDATE, TASKS_CANCEL] {
            assert!(method.starts_with(TASKS), "{method}");
        }
    }
}
