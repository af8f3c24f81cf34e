//! What servers, networks and clients do that no specification allows, and what becomes of it: tables, a row for each
//! tolerance, and beside it the near miss that stays refused.
//!
//! Not on Windows, where a test cannot say where configuration is kept. Deliberately not here: what the specifications ask
//! for (`wire`, `sign_in`).
#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod answers;
mod clients;
mod local_network;
mod networks;
mod sessions;
mod sign_in;
mod streams;
