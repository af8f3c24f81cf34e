//! What the random walks share: which of them are walked, and how they and their messages are told.
//!
//! Deliberately not here: what a walk does, and what may not happen on it.

use std::ops::Range;

use mcp_tether::bridge::{Action, Event};
use mcp_tether::jsonrpc::{Line, Message};

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

/// The seeds to walk with: the one that `WALK_SEED` names, else as many as `WALK` says, else `usual` many.
pub(crate) fn seeds(usual: u64) -> Range<u64> {
    match number("WALK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("WALK").map_or(usual, |walks| walks.max(1)) + 1,
    }
}

/// Walks once for each of these seeds; a walk returns what it has come upon that must not be, and its transcript.
pub(crate) fn each(seeds: Range<u64>, mut walk: impl FnMut(u64) -> Result<(), (String, Vec<String>)>) {
    for seed in seeds {
        if let Err((broken, transcript)) = walk(seed) {
            panic!("seed {seed}: {broken}\n{}", transcript.join("\n"));
        }
    }
}

/// An event as a line of the transcript, with the words of its messages.
pub(crate) fn happened(event: &Event) -> String {
    match event {
        Event::Client(Line::One(message)) | Event::Server(_, message) => {
            format!("> {event} {}", text(message))
        }
        Event::Client(Line::Batch(elements)) => {
            let elements = elements.iter().flatten().map(text);
            format!("> batch {}", elements.collect::<Vec<_>>().join(" , "))
        }
        _ => format!("> {event}"),
    }
}

/// What the bridge does, likewise.
pub(crate) fn done(action: &Action) -> String {
    match action {
        Action::Deliver(message) => format!("reply {}", text(message)),
        action => action.to_string(),
    }
}

/// A message of these words.
pub(crate) fn message(text: String) -> Message {
    Message::parse(text.into()).expect("a message")
}

/// The words of a message.
pub(crate) fn text(message: &Message) -> &str {
    std::str::from_utf8(message.text()).expect("UTF-8")
}
