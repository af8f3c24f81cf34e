//! An event stream, whole and in pieces: the events are the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_tether::remote::sse::Parser;

/// What came out of a stream in pieces of this size.
fn events(stream: &[u8], size: usize) -> Vec<(String, Vec<u8>, Option<String>)> {
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    for chunk in stream.chunks(size.max(1)) {
        let read = parser.push(chunk, |event| events.push((event.event, event.data.to_vec(), event.id)));
        if read.is_err() {
            break;
        }
    }
    events
}

fuzz_target!(|data: &[u8]| {
    let [size, stream @ ..] = data else { return };
    assert_eq!(events(stream, stream.len()), events(stream, usize::from(*size)));
});
