//! Shapes of JSON that older clients do not know, and what they become (2025-11-25 and earlier against 2026-07-28).
//!
//! A schema of a tool's output that is no object would make a client reject the whole list, so it is put into one, and the
//! output with it. Everything else keeps its text. Deliberately not here: input schemas, which stay as they are.

use std::borrow::Cow;
use std::collections::HashSet;

use super::LegacyClient;
use super::opening::ClientProfile;
use crate::bridge::relay::{LONGEST_NAME, TOOLS_KNOWN};
use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::{Id, Message};
use crate::mcp::method;

impl LegacyClient {
    /// An answer to a request, as the client can take it.
    pub(super) fn shape(&mut self, request: &Message, answer: Message) -> Message {
        match request.method() {
            Some(method::TOOLS_LIST) => tools(&answer, &mut self.wrapped).unwrap_or(answer),
            Some(method::TOOLS_CALL) => {
                let name = request.member("name").and_then(json::string);
                let is_wrapped = name.is_some_and(|name| self.wrapped.contains(&name));
                output(&answer, is_wrapped).unwrap_or(answer)
            }
            _ => answer,
        }
    }
}

/// A page of tools with every output schema an object; none where it is already.
fn tools(page: &Message, wrapped: &mut HashSet<String>) -> Option<Message> {
    if wrapped.is_empty() && memchr::memmem::find(page.text(), b"outputSchema").is_none() {
        return None;
    }
    let list = page.member("tools")?;
    let mut changes = false;
    let mut tools = json::elements(list);
    let shaped = tools.by_ref().take(TOOLS_KNOWN).map(|tool| {
        let name = json::member(tool, "name").and_then(json::string).unwrap_or_default();
        let schema = json::member(tool, "outputSchema").filter(|schema| !is_of_objects(schema));
        match schema {
            None => {
                wrapped.remove(&name);
                Cow::Borrowed(tool)
            }
            Some(schema) => {
                if wrapped.len() < TOOLS_KNOWN && name.len() <= LONGEST_NAME {
                    wrapped.insert(name);
                }
                changes = true;
                // The schema is a part of the tool's text.
                let around = (schema.as_ptr() as usize)
                    .checked_sub(tool.as_ptr() as usize)
                    .and_then(|start| Some((tool.get(..start)?, tool.get(start + schema.len()..)?)));
                around.map_or(Cow::Borrowed(tool), |(before, behind)| {
                    Cow::Owned(format!("{before}{}{behind}", wrap_schema(schema)))
                })
            }
        }
    });
    let shaped = json::array(shaped);
    // The rest is not looked at, and not offered.
    let changes = changes || tools.next().is_some();
    changes.then(|| splice::replace(page, list, &shaped))
}

fn is_of_objects(schema: &str) -> bool {
    json::member(schema, "type") == Some(r#""object""#)
}

/// A schema of an object with one member, `result`. Definitions move to where references from the root look for them.
fn wrap_schema(schema: &str) -> String {
    let definitions = ["$defs", "definitions"].into_iter().filter_map(|name| {
        let text = json::member(schema, name)?;
        Some((name, text))
    });
    let properties = format!(r#"{{"result":{schema}}}"#);
    let members = [("type", r#""object""#), ("properties", &properties), ("required", r#"["result"]"#)];
    json::object(members.into_iter().chain(definitions))
}

/// The result of a call whose output fits the schema that the client knows; none where it does already.
fn output(answer: &Message, is_wrapped: bool) -> Option<Message> {
    memchr::memmem::find(answer.text(), b"structuredContent")?;
    let content = answer.member("structuredContent")?;
    match (is_wrapped, content.starts_with('{')) {
        (true, _) => Some(splice::replace(answer, content, &format!(r#"{{"result":{content}}}"#))),
        (false, true) => None,
        // The client has no schema for it, and its protocol no place.
        (false, false) => {
            let text = json::quoted(content);
            let blocks = answer.member("content").filter(|blocks| json::elements(blocks).next().is_some());
            let without = splice::take_out(answer, &["structuredContent"]);
            match blocks {
                Some(_) => Some(without),
                None => {
                    let without = splice::take_out(&without, &["content"]);
                    splice::put_in(&without, &format!(r#""content":[{{"type":"text","text":{text}}}]"#))
                }
            }
        }
    }
}

/// The params of a question, as the client can take them.
pub(super) fn question(method: &str, params: &str, id: &Id, client: &ClientProfile) -> String {
    let mode = json::member(params, "mode").and_then(json::string);
    match (method, mode.as_deref()) {
        // Named so that the server can say when it is done, which the other era does not do.
        (method::ELICITATION_CREATE, Some("url")) if json::member(params, "elicitationId").is_none() => {
            let members = json::members(params);
            let id = ("elicitationId", id.as_json());
            json::object(members.chain([(id.0.to_owned(), id.1)]))
        }
        (method::ELICITATION_CREATE, Some("form")) if !client.features().has_elicitation_modes => {
            splice::without(params, &["mode"])
        }
        (method::SAMPLING_CREATE, _) if !client.features().has_sampling_content_lists => {
            single_contents(params)
        }
        _ => params.to_owned(),
    }
}

/// A conversation whose messages have one content each instead of a list with one.
fn single_contents(params: &str) -> String {
    let Some(messages) = json::member(params, "messages") else { return params.to_owned() };
    let single = |message: &str| {
        json::object(json::members(message).map(|(name, text)| {
            let mut elements =
                if name == "content" { json::elements(text) } else { json::Elements::default() };
            match (elements.next(), elements.next()) {
                (Some(only), None) => (name, only),
                _ => (name, text),
            }
        }))
    };
    let messages = json::array(json::elements(messages).map(single));
    json::object(json::members(params).map(|(name, text)| match name.as_str() {
        "messages" => (name, messages.as_str()),
        _ => (name, text),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::message::from_own_text;
    use crate::mcp::{LEGACY_REVISION, OwnId};

    fn made(text: &str) -> Message {
        from_own_text(text.to_owned())
    }

    fn text(message: &Message) -> String {
        String::from_utf8(message.text().to_vec()).expect("UTF-8")
    }

    #[test]
    fn output_schema_without_object_type_is_wrapped() {
        let mut wrapped = HashSet::new();
        let page = made(
            r##"{"id":1,"result":{"tools":[{"name":"a","outputSchema":{"type":"array","items":{"$ref":"#/$defs/d"},"$defs":{"d":{"type":"string"}}},"x":1.0},{"name":"b","outputSchema":{"type":"object"}},{"name":"c"}]}}"##,
        );
        let shaped = tools(&page, &mut wrapped).expect("changed");
        assert_eq!(
            text(&shaped),
            r##"{"id":1,"result":{"tools":[{"name":"a","outputSchema":{"type":"object","properties":{"result":{"type":"array","items":{"$ref":"#/$defs/d"},"$defs":{"d":{"type":"string"}}}},"required":["result"],"$defs":{"d":{"type":"string"}}},"x":1.0},{"name":"b","outputSchema":{"type":"object"}},{"name":"c"}]}}"##
        );
        assert_eq!(wrapped, HashSet::from(["a".to_owned()]));
        let later = made(r#"{"id":2,"result":{"tools":[{"name":"a"}]}}"#);
        assert!(tools(&later, &mut wrapped).is_none() && wrapped.is_empty());
    }

    #[test]
    fn output_fits_the_schema_that_the_client_knows() {
        let answer =
            made(r#"{"id":1,"result":{"content":[{"type":"text","text":"x"}],"structuredContent":[1.0]}}"#);
        assert_eq!(
            text(&output(&answer, true).expect("wrapped")),
            r#"{"id":1,"result":{"content":[{"type":"text","text":"x"}],"structuredContent":{"result":[1.0]}}}"#
        );
        assert_eq!(
            text(&output(&answer, false).expect("taken out")),
            r#"{"id":1,"result":{"content":[{"type":"text","text":"x"}]}}"#
        );
        let bare = made(r#"{"id":1,"result":{"structuredContent":[1.0],"content":[]}}"#);
        assert_eq!(
            text(&output(&bare, false).expect("as text")),
            r#"{"id":1,"result":{"content":[{"type":"text","text":"[1.0]"}]}}"#
        );
        assert!(output(&made(r#"{"id":1,"result":{"structuredContent":{"a":1}}}"#), false).is_none());
    }

    #[test]
    fn question_fits_older_clients() {
        let client = |revision: &str| {
            let params = format!(r#"{{"protocolVersion":"{revision}"}}"#);
            ClientProfile::of(&made(&format!(r#"{{"id":1,"method":"initialize","params":{params}}}"#)))
        };
        let id = OwnId::LegacyClient.id(1);
        let ask = |method, params, revision| question(method, params, &id, &client(revision));
        let form = r#"{"mode":"form","message":"m"}"#;
        assert_eq!(ask("elicitation/create", form, "2025-06-18"), r#"{"message":"m"}"#);
        assert_eq!(ask("elicitation/create", form, LEGACY_REVISION), form);
        assert_eq!(
            ask("elicitation/create", r#"{"mode":"url","url":"u"}"#, LEGACY_REVISION),
            r#"{"mode":"url","url":"u","elicitationId":"mcp-tether/l1"}"#
        );
        let sampling =
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"t"}]}],"maxTokens":1}"#;
        assert_eq!(ask("sampling/createMessage", sampling, LEGACY_REVISION), sampling);
        assert_eq!(
            ask("sampling/createMessage", sampling, "2025-06-18"),
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"t"}}],"maxTokens":1}"#
        );
    }
}
