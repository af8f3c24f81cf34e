//! The real binary between callers and a server that fails in every way there is: whatever fails, every call has one
//! answer, every result was executed, and nothing with effects is executed twice.
//!
//! Every call has a number, by which what the server executed is compared with what the client was told. `FAULTS=200000
//! cargo test --release --test faults -- --nocapture` runs longer and prints the counts; `FAULTS_SEED=n` runs with that
//! seed alone. What happens to a call is decided by seed and number, not by the order of arrival.

mod answering;
mod callers;
mod connection;
mod dice;
mod fault;
mod hostile;
mod memory;
mod refusals;
mod server;
mod verdict;

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;
#[path = "../support/transcript.rs"]
mod transcript;

use std::ops::Range;

use callers::{Client, Era};
use server::Server;
use verdict::{Shares, Verdict};

/// How many calls a run has in the short form.
const CALLS: u64 = 1_000;

#[test]
fn nothing_is_lost_or_done_twice_in_a_session() {
    run_all(Era::Legacy, 1..4, number("FAULTS"));
}

#[test]
fn nothing_is_lost_or_done_twice_without_a_session() {
    run_all(Era::Modern, 1..2, number("FAULTS").map(|calls| calls.div_ceil(10)));
}

#[test]
fn recordings_of_faults_replay_identically() {
    for era in [Era::Legacy, Era::Modern] {
        let folder = tempfile::tempdir().expect("a folder");
        let record = folder.path().join("record");
        let server = Server::start(1);
        let options = ["--record", record.to_str().expect("UTF-8"), "--ping-interval", "1"];
        Client::start(&server.url, &options, era, 1).run(number("FAULTS").unwrap_or(CALLS));
        server.stop();
        let recorded = std::fs::read_to_string(&record).expect("a recording");
        let replayed = transcript::replay(&recorded).unwrap_or_else(|error| panic!("{era:?}: {error}"));
        let differing = recorded.lines().zip(replayed.lines()).position(|(one, two)| one != two);
        if let Some(at) = differing {
            let before = recorded.lines().skip(at.saturating_sub(20)).take(21).collect::<Vec<_>>().join("\n");
            let instead = replayed.lines().nth(at).unwrap_or_default();
            panic!("{era:?}: line {} is {instead} in the replay of\n{before}", at + 1);
        }
        assert!(recorded == replayed, "{era:?}: one goes on where the other ends");
    }
}

/// Runs with several seeds at once in the short form; in the long form with one, which is one long life of a process.
fn run_all(era: Era, seeds: Range<u64>, calls: Option<u64>) {
    let seeds = match (number("FAULTS_SEED"), calls) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(_)) => 1..2,
        (None, None) => seeds,
    };
    let shares = std::thread::scope(|scope| {
        let runs: Vec<_> =
            seeds.map(|seed| scope.spawn(move || run(era, seed, calls.unwrap_or(CALLS)))).collect();
        let shares = runs.into_iter().map(|run| run.join().expect("a run without defects"));
        shares.fold(Shares::default(), |all, shares| all.with(&shares))
    });
    // Of all together: the rarest have a handful in one run, which says nothing.
    let few = shares.too_few(era);
    assert!(few.is_empty(), "{}", few.join("\n"));
}

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

#[expect(clippy::print_stdout, reason = "a long run is for its counts")]
fn run(era: Era, seed: u64, calls: u64) -> Shares {
    let server = Server::start(seed);
    let client = Client::start(&server.url, &[], era, seed).run(calls);
    let verdict = Verdict { era, seed, client, server: server.stop() };
    let report = verdict.report();
    println!("{report}");
    let mut defects = verdict.defects();
    let count = defects.len();
    defects.truncate(20);
    assert!(defects.is_empty(), "{report}{count} defects, with FAULTS_SEED={seed}:\n{}", defects.join("\n"));
    verdict.shares()
}
