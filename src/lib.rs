#![doc = include_str!("README.md")]
// A foreign byte must never stop the program. What cannot fail has a reasoned `expect` attribute beside its proof.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(not(test), deny(clippy::string_slice))]

// In reading order: what was typed, the message's path, and what surrounds it.
pub mod cli;
pub mod early;
pub mod refuse;
pub mod start;

pub mod config;

pub mod json;
pub mod jsonrpc;
pub mod orphan;
pub mod platform;
pub mod stdio;

pub mod bridge;
pub mod cache;
pub mod proxy;
pub mod remote;

pub mod auth;
mod cookies;
pub mod http;
pub mod jwt;
pub mod oauth;
pub mod tls;

pub mod check;
pub mod diagnosis;
pub mod entry;
pub mod files;
pub mod log;
pub mod record;
pub mod redact;
pub mod secret;
pub mod startup_error;
pub mod traffic;
