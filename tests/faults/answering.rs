//! What the server says to a request, and how it fails to.

use std::sync::Arc;
use std::time::Duration;

use crate::connection::{Connection, JSON, Request, STREAM, answer};
use crate::dice::Dice;
use crate::fault::Fault;
use crate::refusals;
use crate::server::{Outage, World};

/// The methods whose execution is counted.
const CALLS: [&str; 3] = ["tools/call", "resources/read", "ping"];
/// The tools: one does something, the other says that it does not.
const TOOLS: &str = r#"{"tools":[{"name":"add","inputSchema":{"type":"object"}},{"name":"read","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}"#;
const INITIALIZED: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"resources":{}},"serverInfo":{"name":"faults","version":"1"}}"#;
const DISCOVERED: &str = r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#;
const MODERN: &str = "2026-07-28";
/// What was written is to be read before a reset overtakes it.
const ARRIVAL: Duration = Duration::from_millis(1);

/// Answers what comes on a connection, until one side has had enough.
pub(crate) async fn converse(mut connection: Connection, number: u64, world: Arc<World>) {
    let mut dice = Dice::of(&[world.seed, 1, number]);
    loop {
        if connection.arrival().await.is_none() {
            return;
        }
        if dice.happens(4) {
            world.memory().count("ResetUnread");
            return connection.reset();
        }
        let Some(request) = connection.request().await else { return };
        connection = match request.verb.as_str() {
            "POST" => match post(connection, &request, &world, &mut dice).await {
                Some(connection) => connection,
                None => return,
            },
            "GET" => return get(connection, &request, &world, &mut dice).await,
            "DELETE" => {
                let session = request.header("mcp-session-id").unwrap_or_default();
                world.memory().end_session(session);
                connection.answer(200, "", "").await;
                connection
            }
            verb => {
                world.memory().log.offences.push(format!("{verb} is no verb of MCP"));
                return;
            }
        };
    }
}

/// Answers a message. None: the connection has ended.
async fn post(
    mut connection: Connection,
    request: &Request,
    world: &World,
    dice: &mut Dice,
) -> Option<Connection> {
    let is_modern = request.header("mcp-protocol-version") == Some(MODERN);
    look_at_headers(request, is_modern, world);
    if !is_modern && request.method() != "initialize" {
        let known = request.header("mcp-session-id").is_some_and(|session| world.memory().knows(session));
        if !known {
            refusals::unknown_session(&mut connection, request, dice).await;
            return Some(connection);
        }
    }
    let tag = request.tag().filter(|_| CALLS.contains(&request.method()));
    let attempt = tag.map(|tag| count_attempt(world, tag));
    // What happens to a call is the same whenever it comes.
    if let (Some(tag), Some(attempt)) = (tag, attempt) {
        *dice = Dice::of(&[world.seed, 2, tag, attempt]);
    }
    let fault = Fault::draw(dice, !is_modern && request.method() != "initialize");
    if let Some(fault) = fault {
        world.memory().meet(tag, fault);
    }
    // Some take their time.
    if dice.happens(200) {
        tokio::time::sleep(Duration::from_millis(1 + dice.roll(3))).await;
    }
    let Some(id) = request.id() else {
        return notification(connection, request, fault, world, dice).await;
    };
    if let Some(tag) = tag
        && fault.is_none_or(Fault::executes)
    {
        world.memory().execute(tag);
    }
    let (headers, result) = result(request, tag, fault, world);
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    let streams = request.method() != "initialize" && dice.happens(500);
    let Some(fault) = fault else {
        return match streams {
            true => {
                connection.write(STREAM).await;
                let event = format!("event: message\nid: whole:1\ndata: {body}\n\n");
                connection.write(&event).await;
                None
            }
            false => {
                connection.answer(200, &format!("{JSON}{headers}"), &body).await;
                Some(connection)
            }
        };
    };
    let stream = format!("{}-{}", tag.unwrap_or_default(), attempt.unwrap_or_default());
    let can_be_fetched = tag.is_some() && !is_modern;
    let whole = answer(200, &format!("{JSON}{headers}"), &body);
    match fault {
        Fault::Dribble => {
            connection.dribble(&whole).await;
            Some(connection)
        }
        Fault::CloseBehind => {
            connection.write(&whole).await;
            None
        }
        Fault::CutNamed | Fault::CutPrimed if can_be_fetched => {
            world.memory().keep(&stream, &body);
            // Sessions are lost so often here that most answers would be forgotten before anybody asks for them.
            let retry = if dice.happens(700) { "retry: 10\n" } else { "" };
            connection.write(&format!("{STREAM}id: {stream}:0\n{retry}data:\n\n")).await;
            if fault == Fault::CutNamed {
                let half = &body[..body.len() / 2];
                connection.write(&format!("id: {stream}:1\ndata: {half}")).await;
            }
            end(connection, dice).await
        }
        Fault::CutNamed | Fault::CutPrimed | Fault::CutUnnamed => {
            connection.write(&format!("{STREAM}data: {}", &body[..body.len() / 2])).await;
            end(connection, dice).await
        }
        other => fail(connection, other, &whole, world, dice).await,
    }
}

/// A fault without any part of a good answer.
async fn fail(
    mut connection: Connection,
    fault: Fault,
    whole: &str,
    world: &World,
    dice: &mut Dice,
) -> Option<Connection> {
    match fault {
        Fault::Refuse { .. } => {
            world.break_down(Outage::Refuse(Duration::from_millis(10 + dice.roll(140))));
            connection.reset();
            return None;
        }
        Fault::Restart { .. } => {
            world.break_down(Outage::Restart(Duration::from_millis(10 + dice.roll(140))));
            // The restart ends this connection with all others.
            return std::future::pending().await;
        }
        Fault::ResetRead { .. } => {
            connection.reset();
            return None;
        }
        Fault::ResetHead { .. } => {
            let end = whole.find("\r\n\r\n").expect("a head") + 4;
            let end = if dice.happens(500) { end } else { end / 2 };
            connection.write(&whole[..end]).await;
            tokio::time::sleep(ARRIVAL).await;
            connection.reset();
            return None;
        }
        Fault::Hang { .. } => {
            tokio::time::sleep(Duration::from_millis(50 + dice.roll(300))).await;
            return end(connection, dice).await;
        }
        Fault::Forget => {
            world.memory().forget();
            refusals::unknown_session(&mut connection, &Request::default(), dice).await;
        }
        Fault::TooMany { wait } => {
            connection.answer(429, &refusals::retry_after(wait), "slow down").await;
        }
        Fault::Busy { wait } => connection.answer(503, &refusals::retry_after(Some(wait)), "").await,
        Fault::Unavailable { .. } => connection.answer(503, "", "no healthy upstream").await,
        Fault::Gateway { .. } => {
            let status = [502, 504, 520, 524][dice.roll(4) as usize];
            connection.answer(status, "content-type: text/html\r\n", refusals::PAGE).await;
        }
        Fault::WebPage { .. } => {
            connection.answer(200, "content-type: text/html\r\n", refusals::PAGE).await;
        }
        Fault::CutNamed | Fault::CutPrimed | Fault::CutUnnamed | Fault::Dribble | Fault::CloseBehind => {
            unreachable!("these have a part of the answer")
        }
    }
    Some(connection)
}

/// Takes a message that has no answer.
async fn notification(
    mut connection: Connection,
    request: &Request,
    fault: Option<Fault>,
    world: &World,
    dice: &mut Dice,
) -> Option<Connection> {
    if request.method() != "notifications/initialized" {
        world.memory().log.offences.push(format!("unexpected: {}", request.body));
    }
    match fault {
        None | Some(Fault::Dribble | Fault::CutNamed | Fault::CutPrimed | Fault::CutUnnamed) => {
            connection.answer(202, "", "").await;
            Some(connection)
        }
        Some(Fault::CloseBehind) => {
            connection.answer(202, "", "").await;
            None
        }
        Some(fault) => fail(connection, fault, &answer(202, "", ""), world, dice).await,
    }
}

/// The stream for what the server has to say by itself, or the rest of one that broke.
async fn get(mut connection: Connection, request: &Request, world: &World, dice: &mut Dice) {
    if request.header("mcp-protocol-version") == Some(MODERN) {
        world.memory().log.offences.push("GET in the modern era".to_owned());
    }
    let known = request.header("mcp-session-id").is_some_and(|session| world.memory().knows(session));
    if !known {
        return refusals::unknown_session(&mut connection, &Request::default(), dice).await;
    }
    match request.header("last-event-id").filter(|event| !event.starts_with("own")) {
        Some(event) => fetch(connection, event, world, dice).await,
        None => listen(connection, world, dice).await,
    }
}

/// The rest of a stream that broke.
async fn fetch(mut connection: Connection, event: &str, world: &World, dice: &mut Dice) {
    world.memory().log.fetched += 1;
    let answer = world.memory().fetch(event);
    match (dice.roll(10), answer) {
        (_, None) => {
            world.memory().log.offences.push(format!("nothing is known of the event {event}"));
            connection.answer(404, "", "").await;
        }
        (0, Some(_)) => {
            world.memory().count("fetch: 502");
            connection.answer(502, "", "").await;
        }
        (1, Some(_)) => {
            world.memory().count("fetch: cut");
            connection.write(&format!("{STREAM}id: {event}\ndata:\n\n")).await;
            connection.reset();
        }
        (_, Some(answer)) => {
            connection.write(&format!("{STREAM}id: {event}1\ndata: {answer}\n\n")).await;
        }
    }
}

/// The stream for what the server has to say by itself.
async fn listen(mut connection: Connection, world: &World, dice: &mut Dice) {
    world.memory().log.listened += 1;
    match dice.roll(10) {
        0 => {
            world.memory().count("listening: closed at once");
            connection.write(STREAM).await;
        }
        1 => {
            world.memory().count("listening: 502");
            connection.answer(502, "", "").await;
        }
        2 => {
            world.memory().count("listening: 405");
            connection.answer(405, "", "").await;
        }
        3 => {
            world.memory().count("listening: no head");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        4 => {
            world.memory().count("listening: reset");
            connection.write(&format!("{STREAM}id: own:1\ndata:\n\n")).await;
            connection.reset();
        }
        _ => {
            connection.write(STREAM).await;
            connection
                .write("id: own:2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":1}}\n\n")
                .await;
            // Until the other side goes away.
            connection.arrival().await;
        }
    }
}

fn count_attempt(world: &World, tag: u64) -> u64 {
    let mut memory = world.memory();
    let came = memory.log.came.entry(tag).or_default();
    *came += 1;
    u64::from(*came)
}

/// What a request results in, and the header lines that go with it.
fn result(request: &Request, tag: Option<u64>, fault: Option<Fault>, world: &World) -> (String, String) {
    let result = match (request.method(), tag) {
        ("initialize", _) => {
            let session = match fault.is_none_or(Fault::executes) {
                true => world.memory().open_session(),
                false => String::new(),
            };
            if fault.is_some_and(|fault| fault.executes() && !fault.is_harmless()) {
                world.memory().log.opened_in_vain += 1;
            }
            return (format!("mcp-session-id: {session}\r\n"), INITIALIZED.to_owned());
        }
        ("server/discover", _) => DISCOVERED.to_owned(),
        ("tools/list", _) => TOOLS.to_owned(),
        (_, Some(tag)) => format!(r#"{{"content":[],"contents":[],"structuredContent":{{"sum":{tag}}}}}"#),
        (_, None) => {
            world.memory().log.offences.push(format!("unexpected: {}", request.body));
            "{}".to_owned()
        }
    };
    (String::new(), result)
}

fn look_at_headers(request: &Request, is_modern: bool, world: &World) {
    let names_session = request.header("mcp-session-id").is_some();
    let offence = match (is_modern, request.method()) {
        (true, _) if names_session => "a session in the modern era",
        (true, method) if request.header("mcp-method") != Some(method) => "no mirrored method",
        (false, "initialize") if names_session => "initialize in a session",
        (false, "initialize") => return,
        (false, _) if request.header("mcp-protocol-version") != Some("2025-11-25") => "no revision",
        _ => return,
    };
    world.memory().log.offences.push(format!("{offence}: {}", request.body));
}

/// The end of a connection, either way.
async fn end(connection: Connection, dice: &mut Dice) -> Option<Connection> {
    if dice.happens(500) {
        tokio::time::sleep(ARRIVAL).await;
        connection.reset();
    }
    None
}
