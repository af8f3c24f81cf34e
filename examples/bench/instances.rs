//! Many at once: a client with twenty servers in its configuration starts twenty proxies.
//!
//! From the first start to the last hello, and the memory of all, shared pages counted once. Deliberately not here: one
//! alone (`startup`, `calls`).

use crate::Bench;
use crate::board::Unit;
use crate::program::Outcome;

const INSTANCES: usize = 20;
const ROUNDS: usize = 5;

/// Measures the start of many and what they hold.
pub(crate) fn measure(bench: &mut Bench) {
    let mut took = bench.row("Start and end", format!("{INSTANCES} instances, all initialized"), Unit::Time);
    let mut held = bench.row("Memory", format!("{INSTANCES} instances (PSS)"), Unit::Memory);
    let url = bench.server.url("http", "json");
    for _ in 0..ROUNDS {
        bench.each("many instances", |bench, at| {
            let start = crate::now();
            let starts = (0..INSTANCES).map(|_| bench.contenders[at].start(&url, &bench.surroundings));
            let mut peers = starts.collect::<Outcome<Vec<_>>>()?;
            for peer in &mut peers {
                peer.greet()?;
            }
            for peer in &mut peers {
                peer.greeted()?;
            }
            took.samples[at].push(start.elapsed().as_secs_f64());
            let usages: Option<Vec<_>> = peers.iter().map(|peer| peer.usage()).collect();
            held.samples[at]
                .extend(usages.map(|all| all.iter().map(|usage| usage.proportional).sum::<f64>()));
            Ok(())
        });
    }
    bench.add([took, held]);
}
