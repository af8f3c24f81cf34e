//! Small calls: what a proxy adds to one, and how many at once it carries with how much work.
//!
//! Contenders take turns in short blocks, so that a disturbance hits all of them. What is added is the difference of
//! the medians of neighbouring blocks. Deliberately not here: large messages (`bodies`).

use crate::Bench;
use crate::board::{Unit, median};
use crate::contender::Peer;
use crate::messages::SMALL;
use crate::process::OneCore;
use crate::server::Server;

const GROUP: &str = "Calls of 1 KB";
/// How many turns each has.
const BLOCKS: usize = 20;
/// How many calls are under way at once.
const AT_ONCE: usize = 64;
/// How many turns each has in the measure of many at once.
const LOAD_BLOCKS: usize = 5;

/// Measures calls one after the other: as the system divides the cores, and with everybody on one.
pub(crate) fn measure_latency(bench: &mut Bench) {
    for (kind, told) in [("json", "JSON"), ("sse", "SSE")] {
        let url = bench.server.url("http", kind);
        latency(bench, &url, told);
        let Some(_one_core) = OneCore::keep() else { continue };
        match Server::start() {
            Ok(server) => latency(bench, &server.url("http", kind), &format!("{told}, all on one core")),
            Err(problem) => bench.board.notes.push(problem),
        }
    }
}

fn latency(bench: &mut Bench, url: &str, told: &str) {
    let mut took = bench.row(GROUP, format!("one call, {told}"), Unit::Time);
    let mut added = bench.row(GROUP, format!("added to one call, {told}"), Unit::Time);
    let mut peers = bench.peers(url);
    let calls = bench.options.calls.div_ceil(BLOCKS);
    for _ in 0..BLOCKS {
        let mut floor = None;
        bench.each(&format!("one call, {told}"), |bench, at| {
            let Some(peer) = &mut peers[at] else { return Ok(()) };
            let Some(middle) = median(&peer.calls(calls, SMALL, SMALL)?) else { return Ok(()) };
            took.samples[at].push(middle);
            match (bench.contenders[at].is_direct(), floor) {
                (true, _) => floor = Some(middle),
                (false, Some(floor)) => added.samples[at].push(middle - floor),
                (false, None) => {}
            }
            Ok(())
        });
    }
    bench.add([took, added]);
}

/// Measures many calls at once, and the memory before and after.
pub(crate) fn measure_load(bench: &mut Bench) {
    let mut rate = bench.row(GROUP, format!("calls per second, {AT_ONCE} at once"), Unit::Rate);
    let mut work = bench.row(GROUP, "processor time of 1000 calls", Unit::Time);
    let mut idle = bench.row("Memory", "resident after the first call", Unit::Memory);
    let total = bench.options.load;
    let mut after =
        bench.row("Memory", format!("resident after {total} calls, {AT_ONCE} at once"), Unit::Memory);
    let mut threads = bench.row("Memory", "threads", Unit::Number);
    let url = bench.server.url("http", "json");
    let mut peers: Vec<Option<Peer>> = bench.peers(&url);
    for (at, peer) in peers.iter().enumerate() {
        let usage = peer.as_ref().and_then(Peer::usage);
        idle.samples[at].extend(usage.map(|usage| usage.resident));
    }
    let calls = total.div_ceil(LOAD_BLOCKS);
    for _ in 0..LOAD_BLOCKS {
        bench.each("many calls at once", |_, at| {
            let Some(peer) = &mut peers[at] else { return Ok(()) };
            let before = peer.usage();
            let took = peer.load(calls, AT_ONCE, SMALL)?;
            rate.samples[at].push(calls as f64 / took);
            if let (Some(before), Some(after)) = (before, peer.usage()) {
                let worked = after.processor - before.processor;
                work.samples[at].push(worked * 1000.0 / calls as f64);
            }
            Ok(())
        });
    }
    for (at, peer) in peers.iter().enumerate() {
        let usage = peer.as_ref().and_then(Peer::usage);
        after.samples[at].extend(usage.map(|usage| usage.resident));
        threads.samples[at].extend(usage.map(|usage| usage.threads));
    }
    bench.add([rate, work, idle, after, threads]);
}
