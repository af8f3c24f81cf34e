//! A line of either side as a message or a batch, whole and in parts: whatever stands in it, it is read or refused, and the scanner
//! accepts nothing that is not JSON.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mcp_tether::jsonrpc::{Line, Message, MessageBuffer};

/// What the scanner finds in a text that arrives in parts of this size.
fn scanned(text: &[u8], size: usize) -> Option<Line> {
    let mut buffer = MessageBuffer::default();
    for part in text.chunks(size.max(1)) {
        buffer.push(part);
        buffer.scan();
    }
    buffer.finish().1
}

/// The text as a value among many short ones, so that the scanner takes blocks of it.
fn among_short_values(text: &[u8]) -> Vec<u8> {
    let before = b"{\"result\":[0,0,0,0,";
    [before, text, ",0".repeat(40).as_bytes(), b"],\"id\":1}"].concat()
}

/// Returns whether a text is JSON in UTF-8.
fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(text).is_ok()
}

fuzz_target!(|data: &[u8]| {
    let Some((size, text)) = data.split_first() else { return };
    let line = Line::parse(Bytes::copy_from_slice(text));
    let (whole, parts) = (scanned(text, text.len()), scanned(text, usize::from(*size)));
    assert_eq!(format!("{whole:?}"), format!("{parts:?}"));
    if let Some(scanned) = whole {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).trim_ascii();
        assert!(is_json(text));
        assert_eq!(format!("{scanned:?}"), format!("{line:?}"));
    }
    let framed = among_short_values(text);
    // A name with an escape is left to `serde_json`.
    if !text.contains(&b'\\') {
        assert_eq!(scanned(&framed, framed.len()).is_some(), is_json(&framed));
    }
    if let Some(found) = scanned(&framed, framed.len()) {
        assert!(is_json(&framed));
        assert_eq!(format!("{found:?}"), format!("{:?}", Line::parse(framed.into())));
    }
    let Ok(message) = Message::parse(Bytes::copy_from_slice(text)) else { return };
    let _ =
        (message.kind(), message.title(), message.body(), message.member("a"), message.request_id_param());
    if let Some(part) = message.member("params") {
        assert_eq!(&message.text()[message.place_of(part)], part.as_bytes());
    }
});
