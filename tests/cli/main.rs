//! The real binary, as clients start it: pipes, sockets and threads, ends and signals, bad configuration, secrets.

#[path = "../support/mod.rs"]
mod support;

mod configuration;
mod life;
mod lines;
