//! Large messages: how long a result or a request takes, how much work it is, and the most memory that was ever resident for it.
//!
//! Each size and kind has processes of its own, because the peak is that of a whole life. Every answer is compared byte by byte, by
//! the same reader for every contender. Deliberately not here: small ones (`calls`), and what they hold (`payloads`).

use crate::Bench;
use crate::board::Unit;
use crate::contender::Peer;
use crate::messages::{Large, PAYLOADS};
use crate::payloads::Payload;

const GROUP: &str = "Large messages (direct: with one pass through the same pipes)";
const MEGABYTE: usize = 1_000_000;
/// The size whose work and peak are told, in megabytes.
const TYPICAL: usize = 10;
/// How many messages of each size and kind.
const ROUNDS: usize = 7;
/// Whoever took this long for some of them is not given more, in seconds.
const LONG_ENOUGH: f64 = 20.0;

/// How a large message travels.
#[derive(Clone, Copy)]
enum Way {
    Json,
    OneEvent,
    ManyLines,
    Request,
}

impl Way {
    fn told(self) -> &'static str {
        match self {
            Way::Json => "JSON",
            Way::OneEvent => "one event",
            Way::ManyLines => "event of many lines",
            Way::Request => "request",
        }
    }
}

/// Measures results and requests of several sizes.
pub(crate) fn measure(bench: &mut Bench) {
    for way in [Way::Json, Way::OneEvent, Way::ManyLines, Way::Request] {
        for payload in PAYLOADS {
            for megabytes in bench.options.sizes.clone() {
                one(bench, way, payload, megabytes);
            }
        }
    }
}

fn one(bench: &mut Bench, way: Way, payload: Payload, megabytes: usize) {
    let large = Large { payload, size: megabytes * MEGABYTE, has_lines: matches!(way, Way::ManyLines) };
    let told = format!("{} MB of {}, {}", megabytes, payload.name(), way.told());
    let (line, expected) = match way {
        Way::Request => (large.request(1), Large::small_answer(1)),
        _ => (large.call(1), large.answer(1)),
    };
    let line = line + "\n";
    let mut took = bench.row(GROUP, told.as_str(), Unit::Time);
    let mut work = bench.row(GROUP, format!("{told}: processor time of 1 MB"), Unit::Time);
    let mut peak = bench.row(GROUP, format!("{told}: peak memory"), Unit::Memory);
    took.is_drawn = megabytes == TYPICAL;
    (work.is_drawn, peak.is_drawn) = (false, false);
    let kind = if matches!(way, Way::Json | Way::Request) { "json" } else { "sse" };
    let url = bench.server.url("http", kind);
    let mut peers: Vec<Option<Peer>> = bench.peers(&url);
    for _ in 0..ROUNDS {
        bench.each(&told, |_, at| {
            let Some(peer) = &mut peers[at] else { return Ok(()) };
            if took.samples[at].iter().sum::<f64>() < LONG_ENOUGH {
                let before = peer.usage();
                took.samples[at].push(peer.exchange(&line, &expected)?);
                if let (Some(before), Some(after)) = (before, peer.usage()) {
                    work.samples[at].push((after.processor - before.processor) / megabytes as f64);
                }
            }
            Ok(())
        });
    }
    for (at, peer) in peers.iter().enumerate() {
        peak.samples[at].extend(peer.as_ref().and_then(Peer::usage).map(|usage| usage.peak));
    }
    bench.add([took]);
    // The payloads that are the most work show what the others need at most.
    if megabytes == TYPICAL && matches!(payload, Payload::Log | Payload::Structure) {
        bench.add([work, peak]);
    }
}
