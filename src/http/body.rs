//! The body of an answer, decoded while it comes.
//!
//! Apart from the client because the HTTP library would hide what came over the wire, and a compressed body is bounded by
//! that: 60 KB of gzip can hold 64 MB.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use http_body::Body as _;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, ReadBuf};

use super::{TransportError, transport_error};

/// The encodings that are asked for, for `Accept-Encoding`. Servers send others all the same.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip");
/// How many times as large as what came over the wire a decoded body may be.
pub const EXPANSION_LIMIT: u64 = 1_000;
/// How much of a decoded body is free of that limit, in bytes.
const UNLIMITED_SIZE: u64 = 1024 * 1024;
/// How much is decoded at once, in bytes.
const DECODED_AT_ONCE: usize = 32 * 1024;
/// The largest window of a zstd frame, as a power of two: 8 MiB (RFC 9659).
const ZSTD_WINDOW: u32 = 23;
/// The first seven bits of a brotli stream with a window of more than 16 MiB, which RFC 7932, 9.1 does not allow.
const LARGE_BROTLI_WINDOW: u8 = 0x11;
/// How much of a body decides how it is decoded, in bytes.
const DETECTION_LENGTH: usize = 2;

/// A content encoding that is decoded (RFC 9110, 8.4.1; RFC 7932; RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    /// Zlib by the specification, and bare deflate from some servers.
    Deflate,
    Brotli,
    Zstd,
}

/// What the headers say of a body's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ContentEncoding {
    /// It has none.
    Not,
    /// It is decoded.
    As(Encoding),
    /// It is not known, or there are several, one within the other. Such a body is read as it is.
    Otherwise(String),
}

impl ContentEncoding {
    fn of(headers: &HeaderMap) -> ContentEncoding {
        if !headers.contains_key(CONTENT_ENCODING) {
            return ContentEncoding::Not;
        }
        let values = headers.get_all(CONTENT_ENCODING).iter();
        let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let names = names.map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase());
        let names: Vec<String> = names.filter(|name| !name.is_empty() && name != "identity").collect();
        match names.as_slice() {
            [] => ContentEncoding::Not,
            [name] => match name.as_str() {
                "gzip" | "x-gzip" => ContentEncoding::As(Encoding::Gzip),
                "deflate" => ContentEncoding::As(Encoding::Deflate),
                "br" => ContentEncoding::As(Encoding::Brotli),
                "zstd" => ContentEncoding::As(Encoding::Zstd),
                _ => ContentEncoding::Otherwise(name.clone()),
            },
            names => ContentEncoding::Otherwise(names.join(", ")),
        }
    }
}

/// Returns whether a body comes in an encoding that is decoded, so that its length on the wire is not its own.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    matches!(ContentEncoding::of(headers), ContentEncoding::As(_))
}

/// The name of a body's content encoding, where it is one that is not decoded.
pub fn unknown_encoding(headers: &HeaderMap) -> Option<String> {
    match ContentEncoding::of(headers) {
        ContentEncoding::Not | ContentEncoding::As(_) => None,
        ContentEncoding::Otherwise(name) => Some(name),
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct Body(BodySource);

#[derive(Debug)]
enum BodySource {
    Plain(reqwest::Response),
    Encoded(Box<Compressed>),
}

#[derive(Debug)]
struct Compressed {
    encoding: Encoding,
    decoder: Decoder,
    decoded: u64,
    buffer: BytesMut,
}

/// What decodes a body.
#[derive(Debug)]
enum Decoder {
    /// Nothing yet: the first bytes decide.
    Undecided(CompressedStream),
    Gzip(GzipDecoder<CompressedStream>),
    Zlib(ZlibDecoder<CompressedStream>),
    Deflate(DeflateDecoder<CompressedStream>),
    Brotli(BrotliDecoder<CompressedStream>),
    Zstd(ZstdDecoder<CompressedStream>),
    /// Nothing any more.
    Ended,
}

impl Decoder {
    /// The decoder of a body that begins with what `wire` holds.
    fn new(encoding: Encoding, wire: CompressedStream) -> Result<Decoder, BodyError> {
        Ok(match (encoding, wire.chunk.as_ref()) {
            (Encoding::Gzip, _) => {
                let mut decoder = GzipDecoder::new(wire);
                decoder.multiple_members(true);
                Decoder::Gzip(decoder)
            }
            (Encoding::Deflate, [first, second, ..]) if begins_zlib(*first, *second) => {
                Decoder::Zlib(ZlibDecoder::new(wire))
            }
            (Encoding::Deflate, _) => Decoder::Deflate(DeflateDecoder::new(wire)),
            (Encoding::Brotli, [first, ..]) if first & 0x7f == LARGE_BROTLI_WINDOW => {
                return Err(BodyError::Encoding("br", "its window is larger than 16 MiB".to_owned()));
            }
            (Encoding::Brotli, _) => Decoder::Brotli(BrotliDecoder::new(wire)),
            (Encoding::Zstd, _) => {
                let limit = DParameter::window_log_max(ZSTD_WINDOW);
                let mut decoder = ZstdDecoder::with_params(wire, &[limit]);
                decoder.multiple_members(true);
                Decoder::Zstd(decoder)
            }
        })
    }

    fn wire(&mut self) -> Option<&mut CompressedStream> {
        match self {
            Decoder::Undecided(wire) => Some(wire),
            Decoder::Gzip(decoder) => Some(decoder.get_mut()),
            Decoder::Zlib(decoder) => Some(decoder.get_mut()),
            Decoder::Deflate(decoder) => Some(decoder.get_mut()),
            Decoder::Brotli(decoder) => Some(decoder.get_mut()),
            Decoder::Zstd(decoder) => Some(decoder.get_mut()),
            Decoder::Ended => None,
        }
    }

    async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Decoder::Gzip(decoder) => decoder.read_buf(buffer).await,
            Decoder::Zlib(decoder) => decoder.read_buf(buffer).await,
            Decoder::Deflate(decoder) => decoder.read_buf(buffer).await,
            Decoder::Brotli(decoder) => decoder.read_buf(buffer).await,
            Decoder::Zstd(decoder) => decoder.read_buf(buffer).await,
            Decoder::Undecided(_) | Decoder::Ended => Ok(0),
        }
    }
}

/// Returns whether these are the first bytes of zlib (RFC 1950, 2.2), not of bare deflate.
fn begins_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

/// Why a body cannot be read any further.
#[derive(Debug)]
pub enum BodyError {
    /// The connection broke.
    Transport(reqwest::Error),
    /// It is not what its `Content-Encoding` says; with the name of that, and the decoder's words.
    Encoding(&'static str, String),
    /// It is larger than [`EXPANSION_LIMIT`] allows.
    Expanded,
}

impl BodyError {
    /// The same as an error of the transport.
    pub fn transport(&self) -> TransportError {
        match self {
            BodyError::Transport(error) => transport_error(error),
            BodyError::Encoding(name, reason) => {
                TransportError::Connection(format!("the body cannot be decoded as {name}: {reason}"))
            }
            BodyError::Expanded => TransportError::Connection(format!(
                "the compressed body is more than {EXPANSION_LIMIT} times as large as what was sent"
            )),
        }
    }
}

impl Body {
    /// The body of `response`.
    pub fn new(response: reqwest::Response) -> Body {
        let ContentEncoding::As(encoding) = ContentEncoding::of(response.headers()) else {
            return Body(BodySource::Plain(response));
        };
        let wire = CompressedStream { body: response.into(), chunk: Bytes::new(), received: 0, error: None };
        let decoder = Decoder::Undecided(wire);
        Body(BodySource::Encoded(Box::new(Compressed {
            encoding,
            decoder,
            decoded: 0,
            buffer: BytesMut::new(),
        })))
    }

    /// The next part, decoded; none at the end. Nothing is lost if this is dropped and called again.
    ///
    /// # Errors
    /// See [`BodyError`]; nothing more is to be read then.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        match &mut self.0 {
            BodySource::Plain(response) => response.chunk().await.map_err(BodyError::Transport),
            BodySource::Encoded(compressed) => compressed.chunk().await,
        }
    }
}

impl Body {
    /// Returns whether everything has come that the head has announced, so that the end need not be waited for. A body that is
    /// over may still say no. Over HTTP/2 the end is a frame of its own, without which the stream would be reset.
    pub fn is_known_to_be_over(&self) -> bool {
        match &self.0 {
            // The library counts down what is to come.
            BodySource::Plain(response) => {
                response.version() <= http::Version::HTTP_11 && response.content_length() == Some(0)
            }
            BodySource::Encoded(_) => false,
        }
    }
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
            Encoding::Brotli => "br",
            Encoding::Zstd => "zstd",
        }
    }
}

impl Compressed {
    async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Decoder::Undecided(wire) = &mut self.decoder {
            let begun = std::future::poll_fn(|context| wire.poll_beginning(context)).await;
            begun.map_err(BodyError::Transport)?;
            if let Decoder::Undecided(wire) = std::mem::replace(&mut self.decoder, Decoder::Ended) {
                self.decoder = Decoder::new(self.encoding, wire)?;
            }
        }
        // A few bytes of the wire can hold megabytes, in which nothing waits: others get their turn all the same.
        tokio::task::consume_budget().await;
        self.buffer.reserve(DECODED_AT_ONCE);
        let read = self.decoder.read(&mut self.buffer).await;
        let Some(wire) = self.decoder.wire() else { return Ok(None) };
        match read {
            Ok(0) => Ok(None),
            Ok(read) => {
                self.decoded = self.decoded.saturating_add(read as u64);
                if self.decoded > UNLIMITED_SIZE
                    && self.decoded > wire.received.saturating_mul(EXPANSION_LIMIT)
                {
                    return Err(BodyError::Expanded);
                }
                Ok(Some(self.buffer.split().freeze()))
            }
            Err(error) => match wire.error.take() {
                Some(error) => Err(BodyError::Transport(error)),
                // Nothing at all is an empty body, in whichever encoding.
                None if wire.received == 0 => Ok(None),
                None => Err(BodyError::Encoding(self.encoding.name(), error.to_string())),
            },
        }
    }
}

/// What comes over the wire, counted.
#[derive(Debug)]
struct CompressedStream {
    body: reqwest::Body,
    chunk: Bytes,
    /// How many bytes have come.
    received: u64,
    /// The error, where the connection broke.
    error: Option<reqwest::Error>,
}

impl CompressedStream {
    /// The next bytes, which may be none; nothing at the end.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, reqwest::Error>> {
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            // Trailers mean nothing here.
            Some(Ok(frame)) => {
                let bytes = frame.into_data().unwrap_or_default();
                self.received = self.received.saturating_add(bytes.len() as u64);
                Ok(Some(bytes))
            }
            Some(Err(error)) => Err(error),
            None => Ok(None),
        })
    }

    /// Waits until what decides about the decoder is there, or the end is.
    fn poll_beginning(&mut self, context: &mut Context<'_>) -> Poll<Result<(), reqwest::Error>> {
        while self.chunk.len() < DETECTION_LENGTH {
            let Some(bytes) = ready!(self.poll_next(context))? else { break };
            self.chunk = match self.chunk.is_empty() {
                true => bytes,
                false => [self.chunk.as_ref(), bytes.as_ref()].concat().into(),
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for CompressedStream {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let wire = self.get_mut();
        while wire.chunk.is_empty() {
            match ready!(wire.poll_next(context)) {
                Ok(Some(bytes)) => wire.chunk = bytes,
                Ok(None) => break,
                Err(error) => {
                    wire.error = Some(error);
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
            }
        }
        Poll::Ready(Ok(&wire.chunk))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().chunk.advance(amount);
    }
}

impl AsyncRead for CompressedStream {
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

    use async_compression::Level;
    use async_compression::tokio::write::{BrotliEncoder, ZstdEncoder};
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use tokio::io::AsyncWriteExt;

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

    /// A text in every encoding that is decoded, by name.
    async fn packed_every_way(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(text).expect("in memory");
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
        deflate.write_all(text).expect("in memory");
        let mut brotli = BrotliEncoder::with_quality(Vec::new(), Level::Fastest);
        brotli.write_all(text).await.expect("in memory");
        brotli.shutdown().await.expect("in memory");
        let mut zstd = ZstdEncoder::new(Vec::new());
        zstd.write_all(text).await.expect("in memory");
        zstd.shutdown().await.expect("in memory");
        vec![
            ("gzip", packed(text)),
            ("X-GZIP", packed(text)),
            ("deflate", zlib.finish().expect("in memory")),
            ("deflate", deflate.finish().expect("in memory")),
            ("br", brotli.into_inner()),
            ("identity, zstd", zstd.into_inner()),
        ]
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
            assert!(matches!(failed, Err(BodyError::Encoding("gzip", _))), "{failed:?}");
        }
    }

    /// A body whose bytes come one by one, and whose reader is interrupted before each of them.
    fn dripping(encoding: &str, bytes: Vec<u8>) -> Body {
        struct Drip(std::vec::IntoIter<u8>, bool);
        impl http_body::Body for Drip {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
                self.1 = !self.1;
                if self.1 {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(self.0.next().map(|byte| Ok(http_body::Frame::data(vec![byte].into()))))
            }
        }
        let response = http::Response::builder().header("content-encoding", encoding);
        let drip = reqwest::Body::wrap(Drip(bytes.into_iter(), false));
        Body::new(response.body(drip).expect("a response").into())
    }

    #[tokio::test]
    async fn every_encoding_is_decoded_in_whatever_parts_it_comes() {
        let text = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.repeat(50);
        for (encoding, bytes) in packed_every_way(text.as_bytes()).await {
            assert_eq!(read(body(encoding, bytes.clone())).await.ok(), Some(text.len()), "{encoding}");
            assert_eq!(read(body(encoding, Vec::new())).await.ok(), Some(0), "{encoding}, empty");
            let mut dripping = dripping(encoding, bytes.clone());
            let mut found = Vec::new();
            loop {
                // Dropped and called again before it is done.
                let next = futures_util::FutureExt::now_or_never(dripping.chunk());
                match next {
                    Some(chunk) => match chunk.expect("whole") {
                        Some(chunk) => found.extend_from_slice(&chunk),
                        None => break,
                    },
                    None => tokio::task::yield_now().await,
                }
            }
            assert_eq!(found, text.as_bytes(), "{encoding}");
            let cut = bytes[..bytes.len() / 2].to_vec();
            let failed = read(body(encoding, cut)).await;
            assert!(matches!(failed, Err(BodyError::Encoding(..))), "{encoding}: {failed:?}");
        }
    }

    #[tokio::test]
    async fn part_that_was_flushed_comes_before_the_rest() {
        const TEXT: &[u8] = b"data: {}\n\n";
        let mut brotli = BrotliEncoder::new(Vec::new());
        brotli.write_all(TEXT).await.expect("in memory");
        brotli.flush().await.expect("in memory");
        let mut zstd = ZstdEncoder::new(Vec::new());
        zstd.write_all(TEXT).await.expect("in memory");
        zstd.flush().await.expect("in memory");
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(TEXT).expect("in memory");
        std::io::Write::flush(&mut zlib).expect("in memory");
        for (encoding, bytes) in
            [("br", brotli.get_ref()), ("zstd", zstd.get_ref()), ("deflate", zlib.get_ref())]
        {
            let first = futures_util::stream::iter([Ok::<_, io::Error>(bytes.clone())]);
            let chunks = futures_util::StreamExt::chain(first, futures_util::stream::pending());
            let chunks = futures_util::StreamExt::map(chunks, |part| {
                part.map(|part| http_body::Frame::data(Bytes::from(part)))
            });
            let response = http::Response::builder().header("content-encoding", encoding);
            let open = reqwest::Body::wrap(Open(Box::pin(chunks)));
            let mut body = Body::new(response.body(open).expect("a response").into());
            let mut found = Vec::new();
            while found.len() < TEXT.len() {
                let chunk = futures_util::FutureExt::now_or_never(body.chunk());
                let chunk = chunk.unwrap_or_else(|| panic!("{encoding} waits for more"));
                found.extend_from_slice(&chunk.expect("whole").expect("not the end"));
            }
            assert_eq!(found, TEXT, "{encoding}");
        }
    }

    type Frames =
        Pin<Box<dyn futures_util::Stream<Item = io::Result<http_body::Frame<Bytes>>> + Send + Sync>>;

    /// A body that stays open.
    struct Open(Frames);

    impl http_body::Body for Open {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            self.0.as_mut().poll_next(context)
        }
    }

    #[tokio::test]
    async fn rejects_bodies_that_expand_too_far() {
        for (encoding, bytes) in packed_every_way(&vec![0; 4 * 1024 * 1024]).await {
            let failed = read(body(encoding, bytes)).await;
            assert!(matches!(failed, Err(BodyError::Expanded)), "{encoding}: {failed:?}");
        }
    }

    #[tokio::test]
    async fn windows_beyond_the_bound_are_not_decoded() {
        // A frame's magic number, no flags, and the descriptor of a window of 2^(10 + n).
        for (log, expected) in [(23, true), (24, false)] {
            let descriptor = (log - 10) << 3;
            // A raw block of one byte, the last one.
            let bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 0x09, 0, 0, b'x'];
            let found = read(body("zstd", bytes)).await;
            assert_eq!(found.is_ok(), expected, "2^{log}: {found:?}");
        }
        let failed = read(body("br", vec![LARGE_BROTLI_WINDOW, 30, 0, 0])).await;
        assert!(matches!(failed, Err(BodyError::Encoding("br", _))), "{failed:?}");
    }

    #[test]
    fn recognizes_encodings_by_name_and_magic_number() {
        let encoded = |values: &[&str]| {
            let headers = values.iter().map(|value| (CONTENT_ENCODING, value.parse().expect("a value")));
            ContentEncoding::of(&headers.collect())
        };
        for values in [&[][..], &["identity"], &["", " , identity"]] {
            assert_eq!(encoded(values), ContentEncoding::Not, "{values:?}");
        }
        assert_eq!(encoded(&["identity", "BR"]), ContentEncoding::As(Encoding::Brotli));
        assert_eq!(encoded(&["compress"]), ContentEncoding::Otherwise("compress".to_owned()));
        assert_eq!(encoded(&["gzip, br"]), ContentEncoding::Otherwise("gzip, br".to_owned()));
        assert_eq!(encoded(&["gzip", "gzip"]), ContentEncoding::Otherwise("gzip, gzip".to_owned()));
    }

    #[tokio::test]
    async fn body_that_expands_too_far_ends_with_an_error() {
        // Zeros are packed by more than a thousand; the first mebibyte is free.
        assert_eq!(read(body("gzip", packed(&vec![0; 1024 * 1024]))).await.ok(), Some(1024 * 1024));
        let failed = read(body("gzip", packed(&vec![0; 64 * 1024 * 1024]))).await;
        assert!(matches!(failed, Err(BodyError::Expanded)), "{failed:?}");
    }
}
