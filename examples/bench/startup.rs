//! Start and end: how long a person waits for the first answer, and a host for the end.
//!
//! Every round starts each contender once. Deliberately not here: several at once (`memory`).

use crate::Bench;
use crate::board::Unit;

const GROUP: &str = "Start and end";

/// Measures starts over http and https, the end, and the size of the program.
pub(crate) fn measure(bench: &mut Bench) {
    let mut end = bench.row(GROUP, "end of the input to exit", Unit::Time);
    for (scheme, told) in [("http", "http"), ("https", "https"), ("https", "https, one root")] {
        let url = bench.server.url(scheme, "json");
        let mut hello = bench.row(GROUP, format!("start to initialize answered, {told}"), Unit::Time);
        let mut first = bench.row(GROUP, format!("start to the first tool result, {told}"), Unit::Time);
        let mut surroundings = bench.surroundings.clone();
        surroundings.has_one_root = told != scheme;
        for _ in 0..bench.options.rounds {
            bench.each(&format!("start over {told}"), |bench, at| {
                let mut peer = bench.contenders[at].start(&url, &surroundings)?;
                peer.greet()?;
                hello.samples[at].push(peer.greeted()?);
                first.samples[at].push(peer.first_result()?);
                end.samples[at].push(peer.leave()?);
                Ok(())
            });
        }
        bench.add([hello, first]);
    }
    let mut size = bench.row(GROUP, "size of the program", Unit::Memory);
    for (at, contender) in bench.contenders.iter().enumerate() {
        size.samples[at].extend(contender.file_size());
    }
    bench.add([end, size]);
}
