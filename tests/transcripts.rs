//! Replays every `tests/transcripts/**/*.txt` against the bridge: one test per file.
//!
//! A line that begins with `> ` is something that happens; every other line is what the bridge does next, in full.
//! `UPDATE=1 cargo test --test transcripts` writes the bridge's side anew; read the diff before committing it.
//! `tests/README.md` lists the forms of the lines.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use mcp_tether::bridge::{
    Action, Bridge, Cause, Config, Cursor, Ending, Event, ExchangeId, Failure, Opening, Refusal,
    SessionHeader, SessionId, Why, Written,
};
use mcp_tether::jsonrpc::{Line, Message};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let update = std::env::var_os("UPDATE").is_some();
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no transcripts in {}", root.display());
    let trials = files.into_iter().map(|file| {
        let name = file.strip_prefix(&root).unwrap_or(&file).with_extension("").display().to_string();
        Trial::test(name, move || check(&file, update))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

fn check(file: &Path, update: bool) -> Result<(), Failed> {
    let written = std::fs::read_to_string(file)?;
    let replayed = replay(&written)?;
    if update {
        std::fs::write(file, &replayed)?;
    } else if written != replayed {
        let differing = written.lines().zip(replayed.lines()).position(|(one, two)| one != two);
        let line = differing.unwrap_or_else(|| written.lines().count().min(replayed.lines().count())) + 1;
        return Err(format!("differs from line {line} on; the bridge does this:\n\n{replayed}").into());
    }
    Ok(())
}

/// The transcript with the bridge's side as it is.
fn replay(transcript: &str) -> Result<String, String> {
    #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
    let mut now = Instant::now();
    let mut bridge = Bridge::new(Config::default());
    let mut replayed = String::new();
    for (number, line) in transcript.lines().enumerate() {
        let Some(happening) = line.strip_prefix("> ") else {
            if line.starts_with('#') || line.is_empty() {
                replayed.push_str(line);
                replayed.push('\n');
            }
            continue;
        };
        replayed.push_str(line);
        replayed.push('\n');
        let parse = |text: &str| text.parse().map_err(|_| bad(number, line));
        match happening.split_once(' ') {
            Some(("wait", milliseconds)) => {
                now += Duration::from_millis(parse(milliseconds)?);
                bridge.handle_timeout(now);
            }
            Some(("ping-every", seconds)) => {
                let ping = Some(Duration::from_secs(parse(seconds)?));
                bridge = Bridge::new(Config { ping, ..Config::default() });
            }
            _ => bridge.handle(event(happening).ok_or_else(|| bad(number, line))?, now),
        }
        while let Some(action) = bridge.poll_action() {
            replayed.push_str(&match action {
                Action::Deliver(message) => format!("reply {}", String::from_utf8_lossy(message.text())),
                other => other.to_string(),
            });
            replayed.push('\n');
        }
    }
    Ok(replayed)
}

fn bad(number: usize, line: &str) -> String {
    format!("line {} is no happening: {line}", number + 1)
}

fn event(text: &str) -> Option<Event> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "client" => return Some(Event::Client(Line::parse(rest.to_owned().into()))),
        "client-closed" => return Some(Event::ClientClosed),
        "stop" if rest == "signal" => return Some(Event::Stop(Cause::Signal)),
        "stop" if rest == "output" => return Some(Event::Stop(Cause::OutputClosed)),
        _ => {}
    }
    let (exchange, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let exchange = ExchangeId(exchange.strip_prefix('#')?.parse().ok()?);
    let message = |text: &str| Message::parse(text.to_owned().into()).ok();
    let ending = match word {
        "sent" => return Some(Event::Sent(exchange)),
        "opened" => return Some(Event::Opened(exchange, opening(rest)?)),
        "server" => return Some(Event::Server(exchange, message(rest)?)),
        "complete" => Ending::Complete,
        "accepted" => Ending::Accepted(202),
        "cut" => Ending::Cut(why(Failure::Connection, None, rest)),
        "unsent" => Ending::Lost { written: Written::No, why: why(Failure::Connect, None, rest) },
        "lost" => Ending::Lost { written: Written::Maybe, why: why(Failure::Answer, None, rest) },
        "cursor" => return Some(Event::Cursor(exchange, cursor(rest)?)),
        "refused" => Ending::Refused(refusal(rest)?),
        _ => return None,
    };
    Some(Event::Ended(exchange, ending))
}

/// `404`, then any of `unprocessed` and `wait=SECONDS`, then a JSON-RPC answer or any other text of the body.
fn refusal(text: &str) -> Option<Refusal> {
    let (status, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    let status = status.parse().ok()?;
    let (mut unprocessed, mut retry_after) = (false, None);
    loop {
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        match word.strip_prefix("wait=") {
            Some(seconds) => retry_after = Some(Duration::from_secs(seconds.parse().ok()?)),
            None if word == "unprocessed" => unprocessed = true,
            None => break,
        }
        rest = behind;
    }
    let answer = Message::parse(rest.to_owned().into()).ok();
    let mut why = why(Failure::Status, Some(status), &format!("the server answered {status}"));
    why.body = Some(rest.to_owned()).filter(|rest| !rest.is_empty() && answer.is_none());
    Some(Refusal { status, answer, retry_after, unprocessed, why })
}

/// Any of `last=ID` and `retry=MILLISECONDS`.
fn cursor(text: &str) -> Option<Cursor> {
    let mut cursor = Cursor::default();
    for word in text.split(' ') {
        match word.split_once('=')? {
            ("last", id) => cursor.last = Some(id.to_owned()),
            ("retry", retry) => cursor.retry = Some(Duration::from_millis(retry.parse().ok()?)),
            _ => return None,
        }
    }
    Some(cursor)
}

/// `200`, then any of `session=ID`, `session!` (an unusable one) and `h2`.
fn opening(text: &str) -> Option<Opening> {
    let mut words = text.split(' ');
    let status = words.next()?.parse().ok()?;
    let mut opening = Opening { status, session: SessionHeader::Absent, multiplexed: false };
    for word in words {
        match word.split_once('=') {
            Some(("session", id)) => opening.session = SessionHeader::Id(SessionId::new(id)?),
            None if word == "session!" => opening.session = SessionHeader::Unusable,
            None if word == "h2" => opening.multiplexed = true,
            _ => return None,
        }
    }
    Some(opening)
}

fn why(cause: Failure, status: Option<u16>, sentence: &str) -> Why {
    Why { advice: None, status, ..Why::new(cause, sentence, "") }
}
