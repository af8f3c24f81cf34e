//! A request body by which is known whether a request can have reached the server.
//!
//! Apart because HTTP libraries tell a body when they want it, and nobody else. Deliberately not here: what follows from it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::send_order::SendTurn;

/// A request body that tells when the connection took it.
pub(super) struct Tracked {
    /// None where the request has no body. Such a one is never asked for, but dropped when the head is written.
    pub(super) text: Option<Bytes>,
    pub(super) written: Arc<AtomicBool>,
    pub(super) announce: Option<oneshot::Sender<()>>,
    /// Ends when the connection takes the body, or with the request.
    pub(super) turn: Option<SendTurn>,
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.written.store(true, Ordering::Relaxed);
        self.turn = None;
        if let Some(announce) = self.announce.take() {
            // Nobody listens any more once the answer came.
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
