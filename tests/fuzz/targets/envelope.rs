//! A line of either side as a message or a batch: whatever stands in it, it is read or refused.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mcp_tether::jsonrpc::{Line, Message};

fuzz_target!(|data: &[u8]| {
    drop(Line::parse(Bytes::copy_from_slice(data)));
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data)) else { return };
    let _ =
        (message.kind(), message.title(), message.body(), message.member("a"), message.request_id_param());
    if let Some(part) = message.member("params") {
        assert_eq!(&message.text()[message.place_of(part)], part.as_bytes());
    }
});
