//! What goes over the wire, seen from a loopback server whose answers can be any bytes.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod access_hosts;
mod check;
mod conversations;
mod eras;
mod exchange;
mod http2;
mod http_sse;
mod large_numbers;
mod message_order;
mod modern;
mod network;
mod recovery;
mod redirects;
mod refusals;
mod responses;
mod rotation;
mod secrets;
mod send_order;
mod service_token;
mod session;
mod tls;
mod truncated_responses;
mod unexpected_responses;
