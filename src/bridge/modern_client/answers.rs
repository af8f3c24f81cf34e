//! Answers on their way to the modern client: under its own id, with what its era wants every result to say.
//!
//! A client of that era takes a result without `resultType` for none at all, so there is exactly one way by which a result
//! gets to it, and that is through here (2026-07-28, basic, results). The rest of the text stays as it came.
//! Deliberately not here: answers of our own making.

use crate::bridge::error_report::{ErrorKind, ErrorReport};
use crate::bridge::relay::{error_code, error_object};
use crate::bridge::splice;
use crate::json;
use crate::jsonrpc::{INTERNAL_ERROR, INVALID_PARAMS, Id, Kind, Message};
use crate::mcp::{code, method};

/// The results that say how long they may be kept.
const KEPT: [&str; 5] = [
    method::TOOLS_LIST,
    method::PROMPTS_LIST,
    method::RESOURCES_LIST,
    method::RESOURCE_TEMPLATES_LIST,
    method::RESOURCES_READ,
];

/// The answer to a request of this method as its client is to see it. What came of an answer of the client's is not to be
/// kept.
pub(super) fn finished(method: &str, id: &Id, answer: Message, was_asked: bool) -> Message {
    let answer = answer.with_id(id);
    match answer.kind() {
        Kind::Response { error: true, .. } => match (error_code(&answer), method) {
            (Some(code::RESOURCE_NOT_FOUND), method::RESOURCES_READ) => with_code(&answer, INVALID_PARAMS),
            // The modern era has neither code.
            (Some(code::URL_ELICITATION_REQUIRED | code::RESOURCE_NOT_FOUND), _) => {
                with_code(&answer, INTERNAL_ERROR)
            }
            (_, _) => answer,
        },
        Kind::Response { .. } | Kind::Request { .. } | Kind::Notification { .. } => {
            completed(method, &answer, was_asked).unwrap_or_else(|| no_object(id))
        }
    }
}

/// A result with what is missing; none where it is no object.
fn completed(method: &str, answer: &Message, was_asked: bool) -> Option<Message> {
    let answer = match method {
        method::TOOLS_LIST => without_task_support(answer),
        _ => answer.clone(),
    };
    let mut wrong = Vec::new();
    let mut missing = Vec::new();
    let mut want = |name: &'static str, default: &str, is_right: &dyn Fn(&str) -> bool| {
        match answer.member(name) {
            Some(value) if is_right(value) => return,
            Some(_) => wrong.push(name),
            None => {}
        }
        missing.push(format!(r#""{name}":{default}"#));
    };
    want("resultType", r#""complete""#, &|value| json::string(value).as_deref() == Some("complete"));
    if KEPT.contains(&method) {
        want("ttlMs", "0", &|value| match was_asked {
            true => value == "0",
            false => value.parse::<u64>().is_ok(),
        });
        want("cacheScope", r#""private""#, &|value| {
            matches!(json::string(value).as_deref(), Some("public" | "private"))
        });
    }
    if missing.is_empty() {
        return Some(answer);
    }
    let answer = match wrong.is_empty() {
        true => answer,
        false => splice::take_out(&answer, &wrong),
    };
    splice::put_in(&answer, &missing.join(","))
}

fn no_object(id: &Id) -> Message {
    let report = ErrorReport::new(
        ErrorKind::Answer,
        "the server's result is no object, as MCP wants every result to be",
        "report this to the server's author",
    );
    Message::error(Some(id), &error_object(&report))
}

/// An error under another code.
fn with_code(answer: &Message, code: i64) -> Message {
    match answer.member("code") {
        Some(was) => splice::replace(answer, was, &code.to_string()),
        None => answer.clone(),
    }
}

/// A list of tools that says nothing of a kind of tasks that the client does not know.
fn without_task_support(answer: &Message) -> Message {
    if memchr::memmem::find(answer.text(), b"taskSupport").is_none() {
        return answer.clone();
    }
    let Some(tools) = answer.member("tools").filter(|tools| tools.starts_with('[')) else {
        return answer.clone();
    };
    let left = json::elements(tools).map(|tool| {
        let Some(execution) = json::member(tool, "execution") else { return tool.to_owned() };
        match splice::without(execution, &["taskSupport"]) {
            left if left == execution => tool.to_owned(),
            left if left == "{}" => splice::without(tool, &["execution"]),
            left => {
                let member = |(name, value)| (if name == "execution" { left.as_str() } else { value }, name);
                json::object(json::members(tool).map(member).map(|(value, name)| (name, value)))
            }
        }
    });
    splice::replace(answer, tools, &json::array(left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::message::from_own_text;

    fn client_id() -> Id {
        let request = from_own_text(r#"{"id":"c","method":"m"}"#.to_owned());
        let Kind::Request { id, .. } = request.kind() else { panic!("no request") };
        id.clone()
    }

    fn finish(method: &str, answer: &str) -> String {
        let done = finished(method, &client_id(), from_own_text(answer.to_owned()), false);
        String::from_utf8(done.text().to_vec()).expect("UTF-8")
    }

    #[test]
    fn result_of_every_method_has_a_result_type() {
        let methods = [
            "server/discover",
            "tools/list",
            "tools/call",
            "prompts/list",
            "prompts/get",
            "resources/list",
            "resources/templates/list",
            "resources/read",
            "completion/complete",
            "subscriptions/listen",
            "com.example/unknown",
            "",
        ];
        let results = [
            "{}",
            "{ }",
            "\t{\r\n\t} ",
            r#"{"resultType":"complete"}"#,
            r#"{"resultType" : "\u0063omplete" ,"ttlMs":5,"cacheScope":"public"}"#,
            r#"{"resultType":null}"#,
            r#"{"resultType":"task","x":1e400}"#,
            r#"{"resultType":5,"resultType":[]}"#,
            r#"{"ttlMs":-1,"cacheScope":"everybody"}"#,
            r#"{"ttlMs":1.5,"cacheScope":null, "tools":[ ]}"#,
            r#"{"tools":null,"x":"taskSupport"}"#,
            r#"{"tools":[{"name":"t","execution":{"taskSupport":"required"}},5]}"#,
            r#"{"_meta":{"resultType":"complete"}}"#,
            r#"{"content":[{"type":"text","text":"\"resultType\":\"complete\""}]}"#,
            r#"{"a":{"resultType":"complete"} }"#,
            r#"{"":0}"#,
            "null",
        ];
        let wholes = [
            r#"{"jsonrpc":"2.0","id":"mcp-tether/m1","result":@}"#,
            r#"{"result":@,"id":"mcp-tether/m1","jsonrpc":"2.0"}"#,
            " {\"id\" : \"mcp-tether/m1\" ,\n \"result\" :\r\n @ }\n",
            r#"{"extra":{"result":{}},"id":"mcp-tether/m1","result":@,"more":[1,{}]}"#,
        ];
        for method in methods {
            for result in results {
                for whole in wholes {
                    let text = finish(method, &whole.replace('@', result));
                    let value: serde_json::Value = serde_json::from_str(&text.replace("1e400", "1"))
                        .unwrap_or_else(|error| panic!("{text}: {error}"));
                    assert_eq!(value["result"]["resultType"], "complete", "{method}: {text}");
                    assert_eq!(value["id"], "c", "{text}");
                    if KEPT.contains(&method) {
                        assert!(value["result"]["ttlMs"].is_u64(), "{method}: {text}");
                        let scope = value["result"]["cacheScope"].as_str().expect("a scope");
                        assert!(["public", "private"].contains(&scope), "{text}");
                    }
                    assert!(method != "tools/list" || !text.contains("\"taskSupport\":"), "{text}");
                }
            }
        }
    }

    #[test]
    fn result_that_is_not_an_object_becomes_an_error() {
        for result in ["[]", "5", "\"x\"", "true"] {
            let text = finish("tools/call", &format!(r#"{{"id":1,"result":{result}}}"#));
            assert!(text.contains(r#""code":-31008"#), "{text}");
        }
    }

    #[test]
    fn session_error_codes_are_translated_and_others_kept() {
        let coded = |method: &str, code: i64| {
            let text = finish(
                method,
                &format!(r#"{{"id":1,"error":{{"code": {code} ,"message":"m","data":1.0}}}}"#),
            );
            error_code(&from_own_text(text)).expect("an error")
        };
        assert_eq!(coded("resources/read", -32002), -32602);
        assert_eq!(coded("tools/call", -32002), -32603);
        assert_eq!(coded("tools/list", -32042), -32603);
        assert_eq!(coded("tools/call", -32000), -32000);
    }

    #[test]
    fn unchanged_parts_of_an_answer_keep_their_text() {
        assert_eq!(
            finish("tools/call", r#"{"id":1,"result":{"content":[1.0, 1e400],"a":"\u0041"}}"#),
            r#"{"id":"c","result":{"resultType":"complete","content":[1.0, 1e400],"a":"\u0041"}}"#
        );
        assert_eq!(
            finish(
                "tools/list",
                r#"{"id":1,"result":{"tools":[{"name":"a","execution":{"taskSupport":"optional","x":1.0}},{"name": "b","execution":{"taskSupport":"optional"}},{ "name":"c"}]}}"#
            ),
            r#"{"id":"c","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[{"name":"a","execution":{"x":1.0}},{"name":"b"},{ "name":"c"}]}}"#
        );
        assert_eq!(
            finish(
                "resources/read",
                r#"{"id":1,"result":{"resultType":"complete","ttlMs":9,"cacheScope":"public"}}"#
            ),
            r#"{"id":"c","result":{"resultType":"complete","ttlMs":9,"cacheScope":"public"}}"#
        );
    }
}
