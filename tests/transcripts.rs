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
    Action, Bridge, Cause, Ending, Event, ExchangeId, Failure, Opening, Refusal, SessionHeader, SessionId,
    Why, Written,
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
    let mut bridge = Bridge::new(0);
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
        match happening.strip_prefix("wait ") {
            Some(milliseconds) => {
                now += Duration::from_millis(milliseconds.parse().map_err(|_| bad(number, line))?);
                bridge.handle_timeout(now);
            }
            None => bridge.handle(event(happening).ok_or_else(|| bad(number, line))?, now),
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
        "refused" => {
            let (status, body) = rest.split_once(' ').unwrap_or((rest, ""));
            let status = status.parse().ok()?;
            let why = why(Failure::Status, Some(status), &format!("the server answered {status}"));
            Ending::Refused(Refusal { status, answer: message(body), retry_after: None, why })
        }
        _ => return None,
    };
    Some(Event::Ended(exchange, ending))
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
    Why { cause, status, sentence: sentence.to_owned(), advice: None, body: None }
}
