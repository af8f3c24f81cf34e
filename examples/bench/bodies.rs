//! Large messages: how long a result or a request takes, and the most memory that was ever resident for it.
//!
//! Each size and kind has processes of its own, because the peak is that of a whole life. Deliberately not here: small
//! ones (`calls`).

use crate::Bench;
use crate::board::Unit;
use crate::contender::Peer;

const GROUP: &str = "Large messages";
const MEGABYTE: usize = 1_000_000;
/// How many messages of each size and kind.
const ROUNDS: usize = 7;
/// Whoever took this long for some of them is not given more, in seconds.
const LONG_ENOUGH: f64 = 20.0;

/// Measures results and requests of several sizes.
pub(crate) fn measure(bench: &mut Bench) {
    for (kind, told) in [("json", "a result of {} MB, JSON"), ("sse", "a result of {} MB, one event")] {
        for megabytes in [1, 10, 50] {
            let told = told.replace("{}", &megabytes.to_string());
            one(bench, kind, &told, 0, megabytes * MEGABYTE);
        }
    }
    for megabytes in [10, 50] {
        one(bench, "json", &format!("a request of {megabytes} MB"), megabytes * MEGABYTE, 1);
    }
}

fn one(bench: &mut Bench, kind: &str, told: &str, said: usize, wanted: usize) {
    let mut took = bench.row(GROUP, told, Unit::Time);
    let mut peak = bench.row(GROUP, format!("{told}: peak memory"), Unit::Memory);
    let url = bench.server.url("http", kind);
    let mut peers: Vec<Option<Peer>> = bench.peers(&url);
    for _ in 0..ROUNDS {
        bench.each(told, |_, at| {
            let Some(peer) = &mut peers[at] else { return Ok(()) };
            if took.samples[at].iter().sum::<f64>() < LONG_ENOUGH {
                took.samples[at].extend(peer.calls(1, said, wanted)?);
            }
            Ok(())
        });
    }
    for (at, peer) in peers.iter().enumerate() {
        peak.samples[at].extend(peer.as_ref().and_then(Peer::usage).map(|usage| usage.peak));
    }
    bench.add([took, peak]);
}
