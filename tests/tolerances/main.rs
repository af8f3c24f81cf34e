//! Tolerances: what is accepted of servers, clients and networks although the specification does not allow it. Each row of a
//! table has the behaviour, the outcome and, beside it, the near miss that stays refused. The real binary runs in all of them.
//!
//! Not on Windows, where a test cannot say where configuration is kept.
#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod sessions;
