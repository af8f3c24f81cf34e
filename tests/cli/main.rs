//! The real binary, as clients start it: pipes, sockets and threads, ends and signals, bad configuration, secrets.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;
#[path = "../support/transcript.rs"]
mod transcript;

mod bounds;
mod commands;
mod configuration;
mod descriptors;
mod ends;
mod files;
mod life;
mod lines;
mod logging;
mod recording;
mod timeouts;
