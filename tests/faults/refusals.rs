//! The words of servers that refuse, as they are in the field.

use std::time::Duration;

use crate::connection::{Connection, JSON, Request};
use crate::dice::Dice;

/// What gateways say.
pub(crate) const PAGE: &str =
    "<!DOCTYPE html>\n<html><head><title>Something went wrong</title></head><body>…</body></html>";

/// How servers say that they do not know a session: status, code (0: no JSON) and words.
const UNKNOWN: [(u16, i64, &str); 7] = [
    (404, -32001, "Session not found"),
    (404, 0, "Invalid session ID"),
    (404, 0, ""),
    (400, -32000, "Bad Request: No valid session ID provided"),
    (400, -32000, "Bad Request: Server not initialized"),
    (400, -32001, "Session not found"),
    (400, -32600, "Session not found. Please re-initialize."),
];

/// Says that the session is not known.
pub(crate) async fn unknown_session(connection: &mut Connection, request: &Request, dice: &mut Dice) {
    // Some say so when others have a new session already.
    if dice.happens(200) {
        tokio::time::sleep(Duration::from_millis(10 + dice.roll(100))).await;
    }
    let (status, code, words) = UNKNOWN[dice.roll(UNKNOWN.len() as u64) as usize];
    if code == 0 {
        return connection.answer(status, "", words).await;
    }
    let id = request.id().unwrap_or("null");
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{words}"}}}}"#);
    connection.answer(status, JSON, &body).await;
}

/// The header line that asks to wait.
pub(crate) fn retry_after(wait: Option<u32>) -> String {
    wait.map(|wait| format!("retry-after: {wait}\r\n")).unwrap_or_default()
}
