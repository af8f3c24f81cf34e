//! What the program tells on stderr while it runs. stdout belongs to the client.
//!
//! Only our own events are shown, at every level: what the HTTP and TLS libraries would tell holds headers. A thread
//! writes them, started by the first: a host that does not read stderr must not bring the conversation to a halt. What
//! does not fit the queue is lost.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::Options;

/// Starts logging as the options ask. A second call in the same process changes nothing.
pub fn start(options: &Options) {
    let level = match (options.silent, options.verbose) {
        (true, _) => LevelFilter::OFF,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let format = fmt::layer().with_writer(|| Queue).with_ansi(false).with_target(false);
    let filter = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match options.verbose {
        0 => registry.with(format.without_time()).try_init(),
        _ => registry.with(format.with_timer(fmt::time::uptime())).try_init(),
    };
    drop(started);
}

/// How many lines may wait for whoever reads stderr.
const WAITING: usize = 1024;
/// How long the end of the process waits for the last of them.
const LAST_LINES: Duration = Duration::from_millis(50);

enum Entry {
    Line(Vec<u8>),
    /// Everything before this was written.
    End(SyncSender<()>),
}

static ENTRIES: OnceLock<SyncSender<Entry>> = OnceLock::new();

/// Lets what was logged last reach stderr, for a moment.
pub fn finish() {
    let Some(entries) = ENTRIES.get() else { return };
    let (done, written) = sync_channel(1);
    if entries.try_send(Entry::End(done)).is_ok() {
        // Whether it was in time: there is nobody left to tell.
        let _ = written.recv_timeout(LAST_LINES);
    }
}

/// Takes one line per write, as the formatter writes them.
struct Queue;

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A full queue loses the line; waiting would be worse.
        let _ = ENTRIES.get_or_init(start_writing).try_send(Entry::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start_writing() -> SyncSender<Entry> {
    let (sender, entries) = sync_channel(WAITING);
    std::thread::spawn(move || {
        for entry in entries {
            match entry {
                Entry::Line(line) => drop(io::stderr().write_all(&line)),
                Entry::End(done) => drop(done.try_send(())),
            }
        }
    });
    sender
}
