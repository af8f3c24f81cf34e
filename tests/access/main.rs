//! The real binary before the example edge: every answer of Cloudflare Access and of Cloudflare around it, and every
//! misconfiguration that their documents name.
//!
//! Each case is a line in a table: what goes along, what is set up wrongly, and what has to be said about it.

#[path = "../../examples/edge/edge/mod.rs"]
mod edge;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod allowed_requests;
mod documented_responses;
mod misconfiguration;
mod rotation;
mod scenario;
mod secrets;
mod token_manager;
#[cfg(unix)]
mod user_sign_in;
