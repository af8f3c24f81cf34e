//! The body of an answer, decoded while it comes.
//!
//! Apart from the client because the HTTP library would hide what came over the wire, and a compressed body is bounded by
//! that: 60 KB of gzip can hold 64 MB. Deliberately not here: how much of a body its reader takes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::GzipDecoder;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use http_body::Body as _;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, ReadBuf};

use super::{TransportError, transport_error};

/// The encodings that are read, for `Accept-Encoding`.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip");
/// How many times as large as what came over the wire a decoded body may be.
pub const EXPANSION_LIMIT: u64 = 1_000;
/// How much of a decoded body is free of that limit, in bytes.
const FREE: u64 = 1024 * 1024;
/// How much is decoded at once, in bytes.
const DECODED_AT_ONCE: usize = 32 * 1024;

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Source);

#[derive(Debug)]
enum Source {
    Plain(reqwest::Response),
    Gzip(Box<Compressed>),
}

#[derive(Debug)]
struct Compressed {
    decoder: GzipDecoder<Wire>,
    decoded: u64,
    buffer: BytesMut,
}

/// Why a body cannot be read any further.
#[derive(Debug)]
pub enum BodyError {
    /// The connection broke.
    Transport(reqwest::Error),
    /// It is not what its `Content-Encoding` says; with the decoder's words.
    Encoding(String),
    /// It is larger than [`EXPANSION_LIMIT`] allows.
    Expanded,
}

impl BodyError {
    /// The same as an error of the transport.
    pub fn transport(&self) -> TransportError {
        match self {
            BodyError::Transport(error) => transport_error(error),
            BodyError::Encoding(reason) => TransportError::Connection(reason.clone()),
            BodyError::Expanded => TransportError::Connection(format!(
                "the compressed body is more than {EXPANSION_LIMIT} times as large as what was sent"
            )),
        }
    }
}

impl Body {
    /// The body of `response`.
    pub fn new(response: reqwest::Response) -> Body {
        if !is_gzip(response.headers()) {
            return Body(Source::Plain(response));
        }
        let wire = Wire { body: response.into(), chunk: Bytes::new(), received: 0, error: None };
        let mut decoder = GzipDecoder::new(wire);
        decoder.multiple_members(true);
        Body(Source::Gzip(Box::new(Compressed { decoder, decoded: 0, buffer: BytesMut::new() })))
    }

    /// The next part, decoded; none at the end. Nothing is lost if this is dropped and called again.
    ///
    /// # Errors
    /// See [`BodyError`]; nothing more is to be read then.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        match &mut self.0 {
            Source::Plain(response) => response.chunk().await.map_err(BodyError::Transport),
            Source::Gzip(compressed) => compressed.chunk().await,
        }
    }
}

/// Returns whether a body is compressed in the one way that is asked for.
pub fn is_gzip(headers: &HeaderMap) -> bool {
    let encoding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii());
    encoding.is_some_and(|name| name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip"))
}

impl Compressed {
    async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        // A few bytes of the wire can hold megabytes, in which nothing waits: others get their turn all the same.
        tokio::task::consume_budget().await;
        self.buffer.reserve(DECODED_AT_ONCE);
        let read = self.decoder.read_buf(&mut self.buffer).await;
        let wire = self.decoder.get_mut();
        match read {
            Ok(0) => Ok(None),
            Ok(read) => {
                self.decoded = self.decoded.saturating_add(read as u64);
                if self.decoded > FREE && self.decoded > wire.received.saturating_mul(EXPANSION_LIMIT) {
                    return Err(BodyError::Expanded);
                }
                Ok(Some(self.buffer.split().freeze()))
            }
            Err(error) => match wire.error.take() {
                Some(error) => Err(BodyError::Transport(error)),
                // Nothing at all is an empty body, in whichever encoding.
                None if wire.received == 0 => Ok(None),
                None => Err(BodyError::Encoding(error.to_string())),
            },
        }
    }
}

/// What comes over the wire, counted.
#[derive(Debug)]
struct Wire {
    body: reqwest::Body,
    chunk: Bytes,
    /// How many bytes have come.
    received: u64,
    /// Why no more do, where the connection broke.
    error: Option<reqwest::Error>,
}

impl AsyncBufRead for Wire {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let wire = self.get_mut();
        while wire.chunk.is_empty() {
            match ready!(Pin::new(&mut wire.body).poll_frame(context)) {
                // Trailers mean nothing here.
                Some(Ok(frame)) => wire.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    wire.error = Some(error);
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                None => break,
            }
            wire.received = wire.received.saturating_add(wire.chunk.len() as u64);
        }
        Poll::Ready(Ok(&wire.chunk))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().chunk.advance(amount);
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let chunk = ready!(self.as_mut().poll_fill_buf(context))?;
        let amount = chunk.len().min(buffer.remaining());
        buffer.put_slice(chunk.get(..amount).unwrap_or_default());
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn body(encoding: &str, bytes: Vec<u8>) -> Body {
        let response = http::Response::builder().header("content-encoding", encoding);
        Body::new(response.body(bytes).expect("a response").into())
    }

    async fn read(mut body: Body) -> Result<usize, BodyError> {
        let mut length = 0;
        while let Some(chunk) = body.chunk().await? {
            length += chunk.len();
        }
        Ok(length)
    }

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(text).expect("in memory");
        packed.finish().expect("in memory")
    }

    #[tokio::test]
    async fn compressed_bodies_are_decoded_and_others_pass() {
        let (one, two) = (packed(b"one"), packed(b"two"));
        for (encoding, bytes, expected) in [
            ("identity", one.clone(), one.len()),
            ("GZIP", one.clone(), 3),
            ("x-gzip", [one, two].concat(), 6),
            ("gzip", Vec::new(), 0),
        ] {
            assert_eq!(read(body(encoding, bytes)).await.ok(), Some(expected), "{encoding}");
        }
        for bytes in [b"oops".to_vec(), packed(b"cut")[..12].to_vec()] {
            let failed = read(body("gzip", bytes)).await;
            assert!(matches!(failed, Err(BodyError::Encoding(_))), "{failed:?}");
        }
    }

    #[tokio::test]
    async fn body_that_expands_too_far_ends_with_an_error() {
        // Zeros are packed by more than a thousand; the first mebibyte is free.
        assert_eq!(read(body("gzip", packed(&vec![0; 1024 * 1024]))).await.ok(), Some(1024 * 1024));
        let failed = read(body("gzip", packed(&vec![0; 64 * 1024 * 1024]))).await;
        assert!(matches!(failed, Err(BodyError::Expanded)), "{failed:?}");
    }
}
