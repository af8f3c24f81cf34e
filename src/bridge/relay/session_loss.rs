//! Recognizes refusals by which a server says that it no longer knows the session.
//!
//! Pure functions over a closed set of rules, separate from the recovery: a refusal that is taken for a lost
//! session has its call sent again, so a rule that is too generous has a call executed twice. What a server says of any
//! other session (of a chat, of a training) is its answer. Deliberately not here: the recovery (`recovery`), and what
//! becomes of a refusal that only may be about the session (`session_doubt`).

use crate::bridge::event::{Refusal, SessionId};
use crate::json;
use crate::jsonrpc::{Kind, Message};
use crate::mcp::{code, header};

/// Codes that servers use for a session that they do not know. Some take that of an unknown resource.
const SESSION_CODES: [i64; 3] = [code::SESSION_NOT_FOUND, code::RESOURCE_NOT_FOUND, code::SESSION_EXPIRED];
/// Codes that servers have for anything: then only the words tell.
const GENERAL_CODES: [i64; 3] = [code::INVALID_REQUEST, code::INVALID_PARAMS, code::INTERNAL_ERROR];

/// Prefixes before the message proper.
const PREFIXES: [&str; 10] = [
    "unauthorized:",
    "bad request:",
    "not found:",
    "forbidden:",
    "gone:",
    "unprocessable entity:",
    "unprocessable content:",
    "internal server error:",
    "invalid request:",
    "error:",
];

/// Names of the session as a subject…
const SUBJECTS: [&str; 9] = [
    "session",
    "the session",
    "this session",
    "your session",
    "mcp session",
    "session id",
    "session with id",
    "mcp session id",
    header::SESSION_ID,
];
/// …what is said of it…
const PREDICATES: [&str; 29] = [
    "not found",
    "was not found",
    "could not be found",
    "not found or expired",
    "expired",
    "has expired",
    "is expired",
    "expired or invalid",
    "unknown",
    "is unknown",
    "invalid",
    "is invalid",
    "invalid or expired",
    "is invalid or expired",
    "not valid",
    "is not valid",
    "no longer valid",
    "is no longer valid",
    "does not exist",
    "no longer exists",
    "terminated",
    "has been terminated",
    "not initialized",
    "is not initialized",
    "has not been initialized",
    "not found or has expired",
    "does not exist or has expired",
    "not recognized",
    "is not recognized",
];
/// …and the same the other way round, before one of the names.
const ATTRIBUTES: [&str; 9] = [
    "unknown",
    "invalid",
    "expired",
    "invalid or expired",
    "expired or invalid",
    "invalid or missing",
    "missing or invalid",
    "no valid",
    "no such",
];
/// Sentences of another form. The last two are those of the Rust SDK, and of the TypeScript SDK's server of HTTP+SSE.
const SENTENCES: [&str; 10] = [
    "no valid session id provided",
    "no valid session id found",
    "no valid session found",
    "no session found",
    "server not initialized",
    "server is not initialized",
    "server not yet initialized",
    "server has not been initialized",
    "unexpected message, expected an initialized session",
    "no transport found for sessionid",
];
/// Requests of a server that count alone or behind one of those.
const ADVICE: [&str; 11] = [
    "re-initialize",
    "please re-initialize",
    "reinitialize",
    "please reinitialize",
    "re-initialize the session",
    "please re-initialize the session",
    "please reinitialize the session",
    "re-initialization required",
    "re-initialize the connection",
    "please re-initialize the connection",
    "please reinitialize the connection",
];
/// Requests that count only behind one of those: alone they may be about anything.
const FOLLOWING_ADVICE: [&str; 6] = [
    "please start a new session",
    "please initialize a new session",
    "please initialize again",
    "please send a new initialize request",
    "please reconnect",
    "reconnect",
];
/// Names of the store in which several processes of a server share sessions.
const PLACES: [&str; 8] = [
    " on this api instance",
    " on this server instance",
    " on this instance",
    " on this server",
    " on this node",
    " on this replica",
    " on this worker",
    " on this process",
];

/// How a refusal of a message that named a session speaks against the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionLoss {
    /// The words or codes say that the server does not know it.
    Said,
    /// Only the status does, which may be about something else: 404, or 410 without a reason.
    Presumed,
    /// The credentials were refused, as some servers do for a session that they do not know.
    Unauthorized,
}

/// Returns how a refusal of a message that named `session` speaks against that session; none where it does not.
pub(super) fn session_loss(refusal: &Refusal, session: Option<&SessionId>) -> Option<SessionLoss> {
    match is_loss_in_refusal(refusal, session) {
        true => Some(SessionLoss::Said),
        false if refusal.refuses_credentials() => Some(SessionLoss::Unauthorized),
        false => match (refusal.status, &refusal.answer) {
            (404, answer) if answer.as_ref().is_none_or(is_of_gateway) => Some(SessionLoss::Presumed),
            (410, None) if is_without_reason(refusal) => Some(SessionLoss::Presumed),
            _ => None,
        },
    }
}

/// Returns whether a refusal of a message that named `session` says by words or codes that the server does not know the
/// session.
pub(super) fn is_loss_in_refusal(refusal: &Refusal, session: Option<&SessionId>) -> bool {
    let words = |text: &str| is_about_the_session(text, session);
    let Some(answer) = &refusal.answer else { return is_loss_in_plain_body(refusal, words) };
    let Kind::Response { id, error: true } = answer.kind() else { return false };
    let message = message_of(answer);
    let is_told_by_words = || message.as_deref().is_some_and(words);
    if is_of_gateway(answer) {
        return is_told_by_words();
    }
    let code = answer.member("code").and_then(|code| code.parse::<i64>().ok());
    match (code, refusal.status) {
        // An unknown method or an unreadable message says nothing of the session, whatever the words.
        (Some(code::METHOD_NOT_FOUND | code::PARSE_ERROR), _) => false,
        (Some(code), _) if GENERAL_CODES.contains(&code) => is_told_by_words(),
        (Some(code), 400 | 404 | 410 | 422) if id.is_none() || SESSION_CODES.contains(&code) => true,
        (_, _) => is_told_by_words(),
    }
}

/// Returns whether an answer that came with a success is an error about the session. A tool that ran has its own errors in
/// that place, so it takes both, a code that servers have for it and the words; or the bare words, which are no answer of
/// the protocol.
pub(super) fn is_loss_in_answer(answer: &Message, session: Option<&SessionId>) -> bool {
    let Kind::Response { error: true, .. } = answer.kind() else { return false };
    let code = answer.member("code").map(|code| code.parse::<i64>().ok());
    let is_of_the_field = match code {
        None => is_of_gateway(answer) || text_of_bare_error(answer).is_some(),
        Some(code) => code.is_some_and(|code| SESSION_CODES.contains(&code) || GENERAL_CODES.contains(&code)),
    };
    is_of_the_field && message_of(answer).is_some_and(|text| is_about_the_session(&text, session))
}

/// Returns whether an error only looks like one of the protocol: it has neither an id nor the protocol's name.
fn is_of_gateway(answer: &Message) -> bool {
    let text = std::str::from_utf8(answer.text()).unwrap_or_default();
    matches!(answer.kind(), Kind::Response { id: None, error: true })
        && json::member(text, "jsonrpc").is_none()
}

/// The text of an error: its message, or the error itself if it is a text.
pub(super) fn message_of(answer: &Message) -> Option<String> {
    text_of_bare_error(answer).or_else(|| answer.member("message").and_then(json::string))
}

/// The text of an error that is not an object, unlike JSON-RPC's.
fn text_of_bare_error(answer: &Message) -> Option<String> {
    answer.body().filter(|body| body.starts_with('"')).and_then(json::string)
}

/// The same for a body that is not a JSON-RPC message.
fn is_loss_in_plain_body(refusal: &Refusal, words: impl Fn(&str) -> bool) -> bool {
    let body = refusal.report.body.as_deref().unwrap_or_default();
    words(body) || is_wrapped(body, words)
}

/// Returns whether a body is an object as web frameworks make it of a message, whose texts all say so. Beside them stand
/// the status and its reason.
fn is_wrapped(body: &str, words: impl Fn(&str) -> bool) -> bool {
    let mut is_told = false;
    for (name, value) in json::members(body) {
        let text = json::string(value);
        match (name.as_str(), text) {
            ("error" | "message" | "detail" | "code" | "reason" | "error_description", Some(text)) => {
                // A code is the words in another spelling.
                let text = text.replace('_', " ");
                let is_reason = || PREFIXES.contains(&&*format!("{}:", text.to_lowercase()));
                match (words(&text), is_reason()) {
                    (true, _) => is_told = true,
                    (false, true) => {}
                    (false, false) => return false,
                }
            }
            ("jsonrpc" | "id", _) => {}
            ("status" | "statusCode" | "code", None) => {}
            ("success" | "ok", None) if value == "false" => {}
            _ => return false,
        }
    }
    is_told
}

/// Returns whether a body says no more than its status.
fn is_without_reason(refusal: &Refusal) -> bool {
    let body = refusal.report.body.as_deref().unwrap_or_default().trim();
    body.is_empty() || body.eq_ignore_ascii_case("gone")
}

/// Returns whether a whole message is one of the phrases by which servers say that they do not know the MCP session.
fn is_about_the_session(message: &str, session: Option<&SessionId>) -> bool {
    // A body was redacted: there the id stands as it is shown.
    let own = session.map(|id| [id.reveal().to_owned(), id.to_string()]).unwrap_or_default();
    let is_id = |word: &str| {
        let word = word.trim_matches(|mark| "'\"`()[]<>:;,.".contains(mark));
        !word.is_empty() && own.iter().any(|own| own == word)
    };
    // A code in the place of words: `session_not_found`.
    let is_code = !message.contains(char::is_whitespace) && !is_id(message);
    let message = if is_code { message.replace('_', " ") } else { message.to_owned() };
    let words =
        message.split_whitespace().filter(|word| word.contains(char::is_alphanumeric) && !is_id(word));
    let text = words.map(str::to_lowercase).collect::<Vec<_>>().join(" ");
    let mut rest = text.as_str();
    while let Some(behind) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = behind.trim_start();
    }
    let rest = without_end(rest);
    let before_advice = |advice: &&str| rest.strip_suffix(*advice).and_then(|rest| rest.strip_suffix(' '));
    let is_followed_by_advice = || {
        let advice = ADVICE.iter().chain(&FOLLOWING_ADVICE);
        advice.filter_map(before_advice).any(|before| is_phrase(without_end(before)))
    };
    is_phrase(rest) || ADVICE.contains(&rest) || is_followed_by_advice()
}

fn is_phrase(text: &str) -> bool {
    // The store counts only for a session that is named as one of MCP.
    let text = match text.starts_with("mcp") {
        true => PLACES.iter().find_map(|place| text.strip_suffix(place)).unwrap_or(text),
        false => text,
    };
    let is_a_subject =
        |words: &str| SUBJECTS.contains(&words) || words.strip_suffix(" header") == Some(header::SESSION_ID);
    let behind = |attribute: &&str| text.strip_prefix(*attribute).and_then(|rest| rest.strip_prefix(' '));
    let before = |predicate: &&str| text.strip_suffix(*predicate).and_then(|rest| rest.strip_suffix(' '));
    SENTENCES.contains(&text)
        || ATTRIBUTES.iter().filter_map(behind).any(is_a_subject)
        || PREDICATES.iter().filter_map(before).any(is_a_subject)
}

/// A sentence without the mark at its end.
fn without_end(text: &str) -> &str {
    text.trim_end_matches(|mark: char| mark.is_whitespace() || ".!:;,-–—".contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::{ErrorKind, ErrorReport, Processing};

    /// A refusal with a body, as the transport reports it.
    fn refusal(status: u16, body: &str) -> Refusal {
        let answer = Message::parse(body.to_owned().into()).ok();
        let report =
            ErrorReport { body: Some(body.to_owned()), ..ErrorReport::new(ErrorKind::Status, "refused", "") };
        Refusal { status, answer, retry_after: None, processing: Processing::Final, report }
    }

    fn is_loss(status: u16, body: &str) -> bool {
        let loss = session_loss(&refusal(status, body), SessionId::new("5f0c-1d").as_ref());
        loss.is_some_and(|loss| loss != SessionLoss::Unauthorized)
    }

    #[test]
    fn recognizes_phrases_about_mcp_session_and_no_others() {
        for (phrase, near_miss) in [
            ("Session not found", "Training session not found"),
            ("session_not_found", "training_session_not_found"),
            ("Session not found.", "Session not found in the calendar"),
            ("Session expired", "Your login session expired"),
            ("The session has expired", "The session has expired members"),
            ("Unknown session", "Unknown session type"),
            ("Session unknown", "Session 17 unknown"),
            ("Invalid session", "Invalid session name"),
            ("Invalid session ID", "Invalid session ID format: must be a UUID"),
            ("Invalid or missing session ID", "Invalid or missing session_name"),
            ("Mcp-Session-Id is invalid", "X-Session-Id is invalid"),
            ("Session has been terminated", "Session has been terminated early, the message was stored"),
            ("Session not found: 5f0c-1d", "Session not found: 77aa-2b"),
            ("Session '5f0c-1d' does not exist", "Session 'yoga' does not exist"),
            ("No valid session ID", "No valid session IDs were left"),
            ("Bad Request: No valid session ID provided", "Bad Room: No valid session ID provided"),
            ("Unauthorized: Session not found", "Unauthorized: chat session not found"),
            ("Error: Bad Request: Session expired!", "Error: Bad Session expired!"),
            ("Server not initialized", "Mail server not initialized"),
            ("Bad Request: Server not initialized", "Server not initialized, the job was queued"),
            ("Please re-initialize", "Please re-initialize the printer"),
            ("Session expired. Please re-initialize", "Booking expired. Please re-initialize"),
            ("Session not found; re-initialize the session", "Session found; re-initialize the session"),
            ("Session expired, please reconnect", "Please reconnect"),
            (
                "Session not found or expired. Please re-initialize the connection.",
                "Seat not found or expired. Please re-initialize the connection.",
            ),
            (
                "MCP session is unknown on this API instance; re-initialize",
                "Session is unknown on this API instance; re-initialize",
            ),
            ("Unexpected message, expected an initialized session", "Unexpected message, expected a session"),
        ] {
            let [phrase, near_miss] = [phrase, near_miss].map(json::quoted);
            let plain = |text: &str| json::string(text).expect("a string");
            for status in [400, 401, 403, 410, 422, 500, 503] {
                for code in [-32600, -32602, -32603, -32000, 17] {
                    for id in ["7", "\"server-error\""] {
                        let body = |message: &str| {
                            format!(
                                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#
                            )
                        };
                        assert!(is_loss(status, &body(&phrase)), "{status} {}", body(&phrase));
                        assert!(!is_loss(status, &body(&near_miss)), "{status} {}", body(&near_miss));
                    }
                }
                assert!(is_loss(status, &plain(&phrase)), "{status} {phrase}");
                assert!(!is_loss(status, &plain(&near_miss)), "{status} {near_miss}");
                for name in ["error", "message", "detail"] {
                    assert!(is_loss(status, &format!(r#"{{"{name}":{phrase}}}"#)), "{status} {phrase}");
                    assert!(
                        !is_loss(status, &format!(r#"{{"{name}":{near_miss}}}"#)),
                        "{status} {near_miss}"
                    );
                }
            }
        }
    }

    #[test]
    fn session_loss_reads_json_rpc_ids_and_codes_only() {
        let with = |head: &str, code: &str| format!(r#"{{{head}"error":{{"code":{code},"message":"no"}}}}"#);
        for (status, head, code, expected) in [
            (400, r#""jsonrpc":"2.0","id":null,"#, "-32000", true),
            (400, r#""jsonrpc":"2.0","#, "-32000", true),
            (410, r#""jsonrpc":"2.0","id":null,"#, "-32000", true),
            (422, r#""jsonrpc":"2.0","id":null,"#, "-32000", true),
            (400, r#""jsonrpc":"2.0","id":7,"#, "-32000", false),
            (400, r#""jsonrpc":"2.0","id":"","#, "-32000", false),
            // An error object of another protocol.
            (400, "", "7", false),
            (400, r#""id":null,"#, "-32000", false),
            (400, r#""jsonrpc":"2.0","id":null,"#, r#""E7""#, false),
            (400, r#""jsonrpc":"2.0","id":null,"#, "-32600", false),
            (400, r#""jsonrpc":"2.0","id":null,"#, "-32601", false),
            (400, r#""jsonrpc":"2.0","id":null,"#, "-32602", false),
            (400, r#""jsonrpc":"2.0","id":null,"#, "-32603", false),
            (400, r#""jsonrpc":"2.0","id":null,"#, "-32700", false),
            (400, r#""id":7,"#, "-32001", true),
            (400, r#""id":7,"#, "-32002", true),
            (422, r#""id":7,"#, "-32005", true),
            (400, r#""id":7,"#, "-32003", false),
            (400, r#""id":7,"#, "-32004", false),
            // Credentials, haste and trouble of the server.
            (401, r#""jsonrpc":"2.0","id":null,"#, "-32001", false),
            (403, r#""jsonrpc":"2.0","id":null,"#, "-32000", false),
            (406, r#""jsonrpc":"2.0","id":null,"#, "-32000", false),
            (429, r#""jsonrpc":"2.0","id":null,"#, "-32000", false),
            (500, r#""jsonrpc":"2.0","id":null,"#, "-32001", false),
            // The status of the specification.
            (404, r#""id":null,"#, "-32000", true),
            (404, r#""jsonrpc":"2.0","id":null,"#, "-32000", true),
            (404, r#""jsonrpc":"2.0","id":7,"#, "-32001", true),
            (404, r#""jsonrpc":"2.0","id":7,"#, "-32000", false),
            (404, r#""jsonrpc":"2.0","id":7,"#, "-32601", false),
            (404, r#""jsonrpc":"2.0","id":7,"#, "-32603", false),
        ] {
            assert_eq!(is_loss(status, &with(head, code)), expected, "{status} {}", with(head, code));
        }
        for body in ["", "Not Found", "<html>", r#"{"error":"nothing here"}"#] {
            assert!(is_loss(404, body), "{body}");
            assert!(!is_loss(400, body), "{body}");
        }
        assert!(!is_loss(404, r#"{"jsonrpc":"2.0","id":7,"result":{}}"#), "it is the answer");
    }

    #[test]
    fn session_errors_with_success_need_code_and_words() {
        let session = SessionId::new("5f0c-1d").expect("visible");
        let is_loss_in_refusal = |text: String| {
            is_loss_in_answer(&Message::parse(text.into()).expect("a message"), Some(&session))
        };
        for (code, counts) in [
            ("-32001", true),
            ("-32002", true),
            ("-32005", true),
            ("-32600", true),
            ("-32602", true),
            ("-32603", true),
            ("-32000", false),
            ("-32601", false),
            ("-32700", false),
            ("17", false),
            ("\"E17\"", false),
        ] {
            for id in ["7", "null"] {
                let with = |message: &str| {
                    format!(
                        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#
                    )
                };
                assert_eq!(is_loss_in_refusal(with("Session not found")), counts, "{code} {id}");
                for other in ["trading session closed", "Request timed out", "Resource not found", ""] {
                    assert!(!is_loss_in_refusal(with(other)), "{code} {other}");
                }
            }
        }
        for (bare, expected) in [
            (r#"{"error":{"message":"Session not found"}}"#, true),
            (r#"{"error":{"message":"trading session not found"}}"#, false),
            (r#"{"id":7,"error":{"message":"Session not found"}}"#, false),
            (r#"{"id":7,"error":"Session not found"}"#, true),
            (r#"{"id":7,"error":"trading session not found"}"#, false),
            (r#"{"id":7,"result":{"error":"Session not found"}}"#, false),
        ] {
            assert_eq!(is_loss_in_refusal(bare.to_owned()), expected, "{bare}");
        }
    }

    #[test]
    fn distinguishes_statuses_from_phrases() {
        for (status, body, expected) in [
            (401, "", Some(SessionLoss::Unauthorized)),
            (401, r#"{"error":"invalid_token"}"#, Some(SessionLoss::Unauthorized)),
            (401, "Unauthorized: Session not found", Some(SessionLoss::Said)),
            (403, "", None),
            (403, r#"{"error":"Session not found"}"#, Some(SessionLoss::Said)),
            (404, "", Some(SessionLoss::Presumed)),
            (404, r#"{"detail":"Not Found"}"#, Some(SessionLoss::Presumed)),
            (404, r#"{"detail":"Session not found"}"#, Some(SessionLoss::Said)),
            (
                400,
                r#"{"statusCode":400,"error":"Bad Request","message":"Session not found"}"#,
                Some(SessionLoss::Said),
            ),
            (
                503,
                r#"{"error":"session_not_found","message":"Session not found or expired"}"#,
                Some(SessionLoss::Said),
            ),
            (400, r#"{"success":false,"message":"Session not found","order":17}"#, None),
            (400, r#"{"statusCode":400,"error":"Bad Request","message":"the order was placed"}"#, None),
            (400, r#"{"statusCode":400,"error":"Bad Request"}"#, None),
            (200, r#"{"id":7,"error":"Session not found"}"#, Some(SessionLoss::Said)),
            (410, "", Some(SessionLoss::Presumed)),
            (410, "Gone", Some(SessionLoss::Presumed)),
            (410, "the document is gone", None),
            (422, r#"{"detail":"trading session closed"}"#, None),
            (503, "", None),
        ] {
            let found = session_loss(&refusal(status, body), None);
            assert_eq!(found, expected, "{status} {body}");
        }
    }

    #[test]
    fn ignores_phrases_beside_error_and_in_validation_details() {
        for body in [
            r#"{"error":"chat session 17 is archived; the message was stored"}"#,
            "the training session is full, you are on the waiting list now",
            r#"{"detail":[{"loc":["body","session_name"],"msg":"Session expired","type":"value_error"}]}"#,
            r#"{"error":"stored","detail":"Session expired"}"#,
            "stored\n\nSession not found",
            "not a session",
            "session",
        ] {
            for status in [400, 401, 410, 422, 500] {
                assert!(!is_loss(status, body), "{status} {body}");
            }
        }
    }
}
