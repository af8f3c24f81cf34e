//! The real binary before the example edge: every answer of Cloudflare Access and of Cloudflare around it, and every
//! misconfiguration that their documents name.
//!
//! Each case is a line in a table: what goes along, what is set up wrongly, and what has to be said about it.

#[path = "../../examples/edge/edge/mod.rs"]
mod edge;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod before;
mod manager;
mod passing;
#[cfg(unix)]
mod people;
mod rotation;
mod rows;
mod scenario;
mod secrets;
