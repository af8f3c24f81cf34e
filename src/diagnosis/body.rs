//! Explains bodies that cannot be read: compressed in another way, in another character set, cut short.
//!
//! Such a body says nothing of whether the URL is right, so nothing here blames the URL. Deliberately not here: reading it.

use url::Url;

use super::{place, unusable};
use crate::bridge::{ErrorKind, ErrorReport};

/// The description of a body by the head of the response.
#[derive(Clone, Debug, Default)]
pub struct BodyDescription {
    /// The HTTP status.
    pub status: u16,
    /// The content encoding, where it is one that is not decoded.
    pub encoding: Option<String>,
    /// The character set, where it is another than UTF-8.
    pub charset: Option<String>,
    /// The length in bytes.
    pub length: Option<usize>,
}

/// A body that is not what its content encoding says. `reason` is in the decoder's words.
pub fn undecodable(url: &Url, status: u16, encoding: &str, reason: &str) -> ErrorReport {
    let sentence = format!(
        "{} answered {status} with the content encoding \"{encoding}\", but its body could not be decoded: {reason}",
        place(url)
    );
    let advice =
        "have the server, or the proxy before it, send a Content-Encoding that fits the body, or none";
    ErrorReport::new(ErrorKind::Answer, sentence, advice).with_status(status)
}

/// A body that is no message, with the parser's words for why. It is named for what it is, if that shows.
pub fn unreadable(url: &Url, description: &BodyDescription, body: &[u8], fault: &str) -> ErrorReport {
    undecodable_body(url, description, body)
        .or_else(|| cut_short(url, description, body, fault))
        .unwrap_or_else(|| {
            unusable(url, description.status, &format!("its body is not a JSON-RPC message: {fault}"))
        })
}

/// A body whose bytes are no text in UTF-8. None if they are.
pub fn undecodable_body(url: &Url, description: &BodyDescription, body: &[u8]) -> Option<ErrorReport> {
    let status = description.status;
    let answered = format!("{} answered {status}, but", place(url));
    let report = |problem: String, advice: &str| {
        Some(ErrorReport::new(ErrorKind::Answer, format!("{answered} {problem}"), advice).with_status(status))
    };
    let wide = wide_charset(body);
    // A text may be cut off in the middle of a letter.
    let is_text = std::str::from_utf8(body).err().is_none_or(|error| error.error_len().is_none());
    if is_text && wide.is_none() {
        return None;
    }
    if let Some(encoding) = &description.encoding {
        let advice = "have the server, or the proxy before it, leave the encoding out: mcp-tether asks for gzip, and also \
                      decodes br, deflate and zstd";
        return report(format!("with the content encoding \"{encoding}\", which cannot be decoded"), advice);
    }
    if let Some(encoding) = compressed(body) {
        let advice = "have the server, or the proxy before it, name the encoding, or leave it out";
        return report(format!("its body is compressed ({encoding}) and has no Content-Encoding"), advice);
    }
    let advice = "have the server answer in UTF-8, the only character set of JSON";
    if let Some(charset) = wide {
        return report(format!("its body is in the character set {charset}, not in UTF-8"), advice);
    }
    let named = match &description.charset {
        Some(charset) => format!("; its Content-Type names the character set {charset}"),
        None => "; its character set is another".to_owned(),
    };
    let at = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len).saturating_add(1);
    report(format!("byte {at} of its body is not UTF-8{named}"), advice)
}

/// A body that ends in the middle of its JSON, where its length said that it would.
fn cut_short(url: &Url, description: &BodyDescription, body: &[u8], fault: &str) -> Option<ErrorReport> {
    let length = description.length.filter(|length| *length == body.len())?;
    let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(body);
    if !parsed.is_err_and(|error| error.is_eof()) {
        return None;
    }
    let sentence = format!(
        "{} answered {}, but its body is not a JSON-RPC message: {fault}, after the {length} bytes that its Content-Length announces",
        place(url),
        description.status
    );
    let advice = "look into the server's log; if its Content-Length is wrong, have it count bytes, not letters, after all \
                  changes to the body";
    Some(ErrorReport::new(ErrorKind::Answer, sentence, advice).with_status(description.status))
}

/// The compression of a body by its first bytes.
fn compressed(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Some("deflate"),
        _ => None,
    }
}

/// The character set of a body whose letters take more than a byte each.
fn wide_charset(body: &[u8]) -> Option<&'static str> {
    match body {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] | [_, 0, 0, 0, ..] | [0, 0, 0, _, ..] => {
            Some("UTF-32")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [_, 0, _, 0, ..] | [0, _, 0, _, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// A server of the older transport that answers a POST with its stream.
pub fn older_transport(url: &Url, status: u16) -> ErrorReport {
    let sentence = format!(
        "{} answered {status} with the stream of HTTP+SSE (2024-11-05), not with that of streamable HTTP",
        place(url)
    );
    let advice = "leave --transport http-only out, or pass --transport sse-first";
    ErrorReport::new(ErrorKind::Transport, sentence, advice).with_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(description: &BodyDescription, body: &[u8]) -> String {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let report = unreadable(&url, description, body, "it is odd");
        let advice = report.advice.expect("one");
        assert_eq!(
            advice.contains("is the server's MCP endpoint"),
            report.sentence.ends_with("it is odd"),
            "{advice}"
        );
        report.sentence
    }

    #[test]
    fn names_bodies_that_cannot_be_decoded() {
        let plain = BodyDescription { status: 200, ..BodyDescription::default() };
        let compress = BodyDescription { encoding: Some("compress".to_owned()), ..plain.clone() };
        let latin = BodyDescription { charset: Some("iso-8859-1".to_owned()), ..plain.clone() };
        let short = BodyDescription { length: Some(8), ..plain.clone() };
        for (description, body, expected) in [
            (&compress, &b"\x1f\x9d\x90"[..], "the content encoding \"compress\""),
            (&compress, b"{\"ok\":true}", "it is odd"),
            (&plain, b"\x1f\x8b\x08\0\0\0", "compressed (gzip)"),
            (&plain, b"\x28\xb5\x2f\xfd\0", "compressed (zstd)"),
            (&plain, b"\xff\xfe{\0\"\0", "UTF-16"),
            (&plain, b"{\0\"\0i\0", "UTF-16"),
            (&plain, b"\0\0\0{", "UTF-32"),
            (&plain, b"{\"a\":\"\xe4\"}", "byte 7 of its body is not UTF-8; its character set is another"),
            (&latin, b"{\"a\":\"\xe4\"}", "names the character set iso-8859-1"),
            (&short, b"{\"id\":7,", "it is odd, after the 8 bytes that its Content-Length announces"),
            (&short, b"{\"id\":7}", "it is odd"),
            (&plain, b"{\"id\":7,", "it is odd"),
        ] {
            let found = named(description, body);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
}
