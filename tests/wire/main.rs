//! What goes over the wire, seen from a loopback server whose answers can be any bytes.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod answers;
mod check;
mod conversations;
mod cuts;
mod eras;
mod exchange;
mod healing;
mod http2;
mod http_sse;
mod modern;
mod network;
mod numbers;
mod oddities;
mod order;
mod redirects;
mod refusals;
mod rotation;
mod secrets;
mod send_order;
mod service_token;
mod session;
mod team;
mod tls;
