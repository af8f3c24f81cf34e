//! A request body that notes when the connection reads it: before that, the request cannot have reached the server.
//!
//! HTTP libraries report this to the body alone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::send_order::SendTurn;

/// A request body that notes when the connection reads it.
pub(super) struct RequestBody {
    /// None where the request has no body. An empty body is never polled, but dropped when the head is written.
    pub(super) text: Option<Bytes>,
    pub(super) written: Arc<AtomicBool>,
    pub(super) announce: Option<oneshot::Sender<()>>,
    /// Ends when the connection takes the body, or with the request.
    pub(super) turn: Option<SendTurn>,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.written.store(true, Ordering::Relaxed);
        self.turn = None;
        if let Some(announce) = self.announce.take() {
            // The receiver is gone once the response came.
            let _ = announce.send(());
        }
        Poll::Ready(self.text.take().map(|text| Ok(http_body::Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.text.as_ref().map_or(0, |text| text.len() as u64))
    }
}
