//! `mcp-tether access` as the real binary, before a stand-in for Cloudflare's API that opens and closes the example edge.

#[path = "../../examples/edge/cloudflare/mod.rs"]
mod cloudflare;
#[path = "../../examples/edge/edge/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod edge;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod adopted;
mod faults;
mod killed;
mod life;
mod refusals;
mod scene;
mod setup;
mod sinks;
mod tls;
