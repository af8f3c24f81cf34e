//! What the program tells on stderr while it runs. stdout belongs to the client.
//!
//! Only our own events are shown, at every level: what the HTTP and TLS libraries would tell holds headers.

use std::io;

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
    let format = fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false);
    let filter = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match options.verbose {
        0 => registry.with(format.without_time()).try_init(),
        _ => registry.with(format.with_timer(fmt::time::uptime())).try_init(),
    };
    drop(started);
}
