//! The two parsers that every byte passes, by themselves: the envelope and the events. `cargo bench` runs this.
//!
//! Texts of the shapes that count: one long string, many escapes, many small values. Deliberately not here: whole calls
//! (`examples/bench`) and what may be allocated for one (`tests/allocations.rs`).

use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;
use mcp_tether::jsonrpc::Line;
use mcp_tether::remote::sse::Parser;

/// The sizes of a message's text, in bytes.
const SIZES: [usize; 3] = [1_000, 100_000, 10_000_000];
/// How much of a stream comes at once.
const CHUNK: usize = 16 * 1024;

fn main() {
    divan::main();
}

/// A result whose text repeats this part.
fn message(part: &str, size: usize) -> Bytes {
    let text = part.repeat(size / part.len());
    format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#).into()
}

fn parse(bencher: Bencher<'_, '_>, message: &Bytes) {
    let bencher = bencher.counter(BytesCount::new(message.len()));
    bencher.bench(|| assert!(matches!(Line::parse(message.clone()), Line::One(_))));
}

#[divan::bench(args = SIZES)]
fn envelope_of_a_long_string(bencher: Bencher<'_, '_>, size: usize) {
    parse(bencher, &message("What a picture looks like in Base64.", size));
}

#[divan::bench(args = SIZES)]
fn envelope_of_many_escapes(bencher: Bencher<'_, '_>, size: usize) {
    parse(bencher, &message(r#"{\"a\": \"b\"}\n"#, size));
}

#[divan::bench(args = SIZES)]
fn envelope_of_many_values(bencher: Bencher<'_, '_>, size: usize) {
    let values = r#"{"id":1,"on":true},"#.repeat(size / 19);
    parse(bencher, &format!(r#"{{"jsonrpc":"2.0","id":7,"result":[{values}null]}}"#).into());
}

#[divan::bench(args = SIZES)]
fn envelope_of_nested_values(bencher: Bencher<'_, '_>, size: usize) {
    let row = r#"{"nr":17,"on":true,"name":"cache","tags":["a","bc"],"at":{"x":-3,"y":0.5},"next":null,"sub":[{"v":[[2]]}]},"#;
    let rows = row.repeat(size / row.len());
    parse(bencher, &format!(r#"{{"jsonrpc":"2.0","id":7,"result":[{rows}null]}}"#).into());
}

/// Reads a stream in chunks, as a connection brings them.
fn read(bencher: Bencher<'_, '_>, stream: &str, events: usize) {
    bencher.counter(BytesCount::new(stream.len())).bench(|| {
        let (mut parser, mut seen) = (Parser::default(), 0);
        for chunk in stream.as_bytes().chunks(CHUNK) {
            parser.push(chunk, |_| seen += 1).expect("within the limit");
        }
        assert_eq!(seen, events);
    });
}

#[divan::bench(args = SIZES)]
fn one_event(bencher: Bencher<'_, '_>, size: usize) {
    read(bencher, &format!("event: message\ndata: {}\n\n", "x".repeat(size)), 1);
}

#[divan::bench(args = SIZES)]
fn many_events(bencher: Bencher<'_, '_>, size: usize) {
    let event = format!("event: message\nid: 17\ndata: {}\n\n", "x".repeat(60));
    let events = size / event.len();
    read(bencher, &event.repeat(events), events);
}
