//! What a legacy server may ask a client, and how that is put to a modern one.
//!
//! Three questions are the same in both eras, in another place. A page to be opened loses its id, because the client shows
//! that it is done by calling again (2026-07-28, client features). A client is asked only for what it has declared.
//! Deliberately not here: when and by way of which call (`pending_input`).

use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::Message;
use crate::mcp::method;

/// How many pages of one error are put to the client.
const PAGES: usize = 100;

/// A kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuestionKind {
    /// Which folders the server may look at.
    Roots,
    /// What a model says.
    Sampling,
    /// The same, with tools.
    SamplingWithTools,
    /// A form for the person.
    Form,
    /// A page for the person to open.
    Page,
}

/// What the client replies to a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QuestionReply<'text> {
    /// Nothing, or nothing usable.
    None,
    /// A result, and whether the person accepts, where that was the question.
    Given { text: &'text str, accepts: bool },
}

impl QuestionKind {
    /// What a request of the server asks, if it is a question for the client.
    pub(super) fn of(request: &Message) -> Option<QuestionKind> {
        match request.method()? {
            method::ROOTS_LIST => Some(QuestionKind::Roots),
            method::SAMPLING_CREATE => {
                let has_tools = ["tools", "toolChoice"].iter().any(|name| request.member(name).is_some());
                Some(if has_tools { QuestionKind::SamplingWithTools } else { QuestionKind::Sampling })
            }
            method::ELICITATION_CREATE => {
                let is_page = request.member("mode").and_then(json::string).as_deref() == Some("url");
                Some(if is_page { QuestionKind::Page } else { QuestionKind::Form })
            }
            _ => None,
        }
    }

    /// What its keys begin with.
    pub(super) fn word(self) -> &'static str {
        match self {
            QuestionKind::Roots => "roots",
            QuestionKind::Sampling | QuestionKind::SamplingWithTools => "sampling",
            QuestionKind::Form | QuestionKind::Page => "elicitation",
        }
    }

    /// Returns whether a client with these capabilities can answer it.
    pub(super) fn is_declared(self, capabilities: &str) -> bool {
        let capability = |name: &str| object_in(capabilities, name);
        let has = |object: Option<&str>, name: &str| object.is_some_and(|it| object_in(it, name).is_some());
        match self {
            QuestionKind::Roots => capability("roots").is_some(),
            QuestionKind::Sampling => capability("sampling").is_some(),
            QuestionKind::SamplingWithTools => has(capability("sampling"), "tools"),
            // None of the two means forms, as it did before there were two.
            QuestionKind::Form => {
                let elicitation = capability("elicitation");
                elicitation.is_some() && (has(elicitation, "form") || !has(elicitation, "url"))
            }
            QuestionKind::Page => has(capability("elicitation"), "url"),
        }
    }

    /// The question as a part of a result.
    pub(super) fn embedded(self, request: &Message) -> String {
        let params = request.body().filter(|params| params.starts_with('{')).unwrap_or("{}");
        let method = request.method().unwrap_or_default();
        format!(r#"{{"method":"{method}","params":{}}}"#, put_to_modern(params))
    }
}

/// A member that is an object.
fn object_in<'text>(object: &'text str, name: &str) -> Option<&'text str> {
    json::member(object, name).filter(|member| member.starts_with('{'))
}

impl QuestionReply<'_> {
    /// What stands under a question's key.
    pub(super) fn of(text: Option<&str>) -> QuestionReply<'_> {
        match text.filter(|text| text.starts_with('{')) {
            None => QuestionReply::None,
            Some(text) => {
                let action = json::member(text, "action").and_then(json::string);
                QuestionReply::Given { text, accepts: action.as_deref() == Some("accept") }
            }
        }
    }
}

/// The pages that an error wants to be opened, as parts of a result.
pub(super) fn pages(error: &Message) -> Vec<String> {
    let pages = error.member("data").and_then(|data| json::member(data, "elicitations"));
    let pages = pages.map(json::elements).unwrap_or_default().take(PAGES);
    let pages = pages.filter(|page| json::member(page, "url").and_then(json::string).is_some());
    pages
        .map(|page| {
            let page = put_to_modern(page);
            let page = match json::member(&page, "mode") {
                Some(_) => page,
                None => page.replacen('{', r#"{"mode":"url","#, 1),
            };
            format!(r#"{{"method":"{}","params":{page}}}"#, method::ELICITATION_CREATE)
        })
        .collect()
}

/// Parameters without what only means something in a session.
fn put_to_modern(params: &str) -> String {
    let params = splice::without(params, &["elicitationId", "task"]);
    let Some(meta) = json::member(&params, "_meta") else { return params };
    match splice::without(meta, &["progressToken"]) {
        left if left == meta => params,
        left if left == "{}" => splice::without(&params, &["_meta"]),
        left => json::object(json::members(&params).map(|(name, value)| match name.as_str() {
            "_meta" => (name, left.as_str()),
            _ => (name, value),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::message::from_own_text;

    #[test]
    fn question_needs_a_declared_capability() {
        for (kind, capabilities, is_declared) in [
            (QuestionKind::Roots, "{}", false),
            (QuestionKind::Roots, r#"{"roots":{}}"#, true),
            (QuestionKind::Sampling, r#"{"sampling":{}}"#, true),
            (QuestionKind::SamplingWithTools, r#"{"sampling":{}}"#, false),
            (QuestionKind::SamplingWithTools, r#"{"sampling":{"tools":{}}}"#, true),
            (QuestionKind::Form, r#"{"elicitation":{}}"#, true),
            (QuestionKind::Form, r#"{"elicitation":{"url":{}}}"#, false),
            (QuestionKind::Form, r#"{"elicitation":{"url":{},"form":{}}}"#, true),
            (QuestionKind::Page, r#"{"elicitation":{}}"#, false),
            (QuestionKind::Page, r#"{"elicitation":{"url":{}}}"#, true),
            (QuestionKind::Page, r#"{"elicitation":null}"#, false),
        ] {
            assert_eq!(kind.is_declared(capabilities), is_declared, "{kind:?} {capabilities}");
        }
    }

    #[test]
    fn question_loses_members_that_only_sessions_have() {
        for (before, after) in [
            ("{}", "{}"),
            (r#"{"message":"m", "x":1.0}"#, r#"{"message":"m", "x":1.0}"#),
            (r#"{"mode":"url","elicitationId":"e","url":"u"}"#, r#"{"mode":"url","url":"u"}"#),
            (r#"{"m":1,"_meta":{"progressToken":1}}"#, r#"{"m":1}"#),
            (r#"{"m":1,"_meta":{"progressToken":1,"k":2}}"#, r#"{"m":1,"_meta":{"k":2}}"#),
        ] {
            assert_eq!(put_to_modern(before), after);
        }
    }

    #[test]
    fn pages_are_made_of_elicitations_with_a_url() {
        let error = from_own_text(
            r#"{"id":1,"error":{"code":-32042,"data":{"elicitations":[{"url":"https://a"},{"mode":"url","elicitationId":"e","url":"b"},5,{}]}}}"#
                .to_owned(),
        );
        assert_eq!(
            pages(&error),
            [
                r#"{"method":"elicitation/create","params":{"mode":"url","url":"https://a"}}"#,
                r#"{"method":"elicitation/create","params":{"mode":"url","url":"b"}}"#,
            ]
        );
    }
}
