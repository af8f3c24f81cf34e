//! What is tolerated beyond the specifications, a row each with its outcome, and beside it the near miss that stays
//! refused.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod clients;
mod networks;
