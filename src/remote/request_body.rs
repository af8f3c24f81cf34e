//! A request body that notes when the connection reads it: before that, the request cannot have reached the server.
//!
//! HTTP libraries report this to the body alone.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use super::EventSender;
use super::send_order::SendTurn;
use crate::bridge::{Event, ExchangeId};

/// The connection has not read the body.
const WAITING: u8 = 0;
/// The connection has read the body, and the exchange is to report it.
const UNREPORTED: u8 = 1;
/// The connection has read the body, and that was reported.
const REPORTED: u8 = 2;
/// The exchange has its response, or is over: nothing is to be reported any more.
const OVER: u8 = 3;

/// How far a request has come. The exchange has it; dropping it ends the reports.
#[derive(Debug, Default)]
pub(super) struct RequestProgress(Arc<SharedProgress>);

#[derive(Debug, Default)]
struct SharedProgress {
    state: AtomicU8,
    exchange: AtomicWaker,
}

impl SharedProgress {
    /// Changes one state into another. Returns whether it was that one.
    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl RequestProgress {
    /// Returns whether the connection has read the body.
    pub(super) fn is_written(&self) -> bool {
        matches!(self.0.state.load(Ordering::Acquire), UNREPORTED | REPORTED)
    }

    /// Waits until the connection has read the body, if the exchange is to report that.
    pub(super) async fn unreported(&self) {
        poll_fn(|context| {
            self.0.exchange.register(context.waker());
            if self.0.change(UNREPORTED, REPORTED) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for RequestProgress {
    fn drop(&mut self) {
        self.0.state.store(OVER, Ordering::Release);
    }
}

/// A request body that notes when the connection reads it.
pub(super) struct RequestBody {
    /// None where the request has no body. An empty body is never polled, but dropped when the head is written.
    text: Option<Bytes>,
    progress: Arc<SharedProgress>,
    /// Where it reports that itself, so that the exchange need not wake up for it.
    reports_to: Option<(EventSender, ExchangeId)>,
    /// Ends when the connection takes the body, or with the request.
    turn: Option<SendTurn>,
}

impl RequestBody {
    /// The body of the request with this progress.
    pub(super) fn new(
        text: Option<Bytes>,
        progress: &RequestProgress,
        reports_to: Option<(EventSender, ExchangeId)>,
        turn: Option<SendTurn>,
    ) -> RequestBody {
        RequestBody { text, progress: Arc::clone(&progress.0), reports_to, turn }
    }

    /// Notes that the connection has the request, and reports it.
    fn note_written(&mut self) {
        self.turn = None;
        if self.progress.state.load(Ordering::Acquire) != WAITING {
            return;
        }
        let is_reported = match self.reports_to.take() {
            Some((events, exchange)) => events.try_send(Event::Sent(exchange)).is_none(),
            None => false,
        };
        if is_reported {
            self.progress.change(WAITING, REPORTED);
        } else if self.progress.change(WAITING, UNREPORTED) {
            self.progress.exchange.wake();
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.note_written();
        Poll::Ready(self.text.take().map(|text| Ok(http_body::Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.text.as_ref().map_or(0, |text| text.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_util::FutureExt;
    use http_body::Body as _;

    use super::*;
    use crate::remote::EventReceiver;

    fn read(body: &mut RequestBody) {
        let frame = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(frame, Poll::Ready(Some(Ok(_)))));
    }

    fn received(events: &mut EventReceiver) -> Option<Event> {
        events.recv().now_or_never().flatten()
    }

    #[test]
    fn body_reports_itself_where_there_is_room() {
        let (events, mut receiver) = EventSender::channel(1);
        let progress = RequestProgress::default();
        let mut body = RequestBody::new(Some("x".into()), &progress, Some((events, ExchangeId(1))), None);
        assert!(!progress.is_written());
        read(&mut body);
        assert!(progress.is_written());
        assert!(matches!(received(&mut receiver), Some(Event::Sent(ExchangeId(1)))));
        assert!(progress.unreported().now_or_never().is_none(), "it was reported");
    }

    #[test]
    fn exchange_reports_body_where_there_is_no_room() {
        let (events, _receiver) = EventSender::channel(1);
        events.send(Event::ClientClosed).now_or_never().expect("there is room");
        for reports_to in [Some((events, ExchangeId(1))), None] {
            let progress = RequestProgress::default();
            let mut body = RequestBody::new(Some("x".into()), &progress, reports_to, None);
            assert!(progress.unreported().now_or_never().is_none());
            read(&mut body);
            assert!(progress.is_written());
            assert!(progress.unreported().now_or_never().is_some());
            assert!(progress.unreported().now_or_never().is_none(), "once");
        }
    }

    #[test]
    fn body_of_ended_exchange_reports_nothing() {
        let (events, mut receiver) = EventSender::channel(1);
        let progress = RequestProgress::default();
        let mut body = RequestBody::new(Some("x".into()), &progress, Some((events, ExchangeId(1))), None);
        drop(progress);
        read(&mut body);
        assert!(received(&mut receiver).is_none());
    }
}
