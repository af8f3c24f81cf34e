//! Client input that also ends when the client has exited and another process still holds the pipe open.
//!
//! A client that is killed may leave a process behind that has inherited the other end of our stdin: then the end of input
//! never comes. So an input that has been silent for half a minute ends when the process that started us is no longer our
//! parent. Deliberately not here: the source of the input (`stdio`), and the meaning of its end (`bridge`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(10);
/// For how many looks in a row nothing was read when the input ends.
const SILENT_LOOKS: u32 = 3;

/// An input that ends with the process that started us.
pub struct WatchedInput<R, P> {
    input: R,
    /// Who our parent is.
    parent: P,
    at_start: Option<u32>,
    look: Pin<Box<Sleep>>,
    silent_looks: u32,
    /// Whether something was read since the last look. The timer is not set again for each read.
    was_heard: bool,
    has_ended: bool,
}

impl<R, P: Fn() -> Option<u32>> WatchedInput<R, P> {
    /// Watches whether `parent` still is who it was at our start. To be called within a runtime.
    pub fn new(input: R, at_start: Option<u32>, parent: P) -> WatchedInput<R, P> {
        WatchedInput {
            input,
            parent,
            at_start,
            look: Box::pin(sleep(LOOK)),
            silent_looks: 0,
            was_heard: false,
            has_ended: false,
        }
    }
}

impl<R: AsyncRead + Unpin, P: Fn() -> Option<u32> + Unpin> AsyncRead for WatchedInput<R, P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(read) = Pin::new(&mut self.input).poll_read(context, buffer) {
            self.was_heard = true;
            return Poll::Ready(read);
        }
        loop {
            ready!(self.look.as_mut().poll(context));
            // Between the last read and the first look that counts there may be less than the time from look to look.
            self.silent_looks = match std::mem::take(&mut self.was_heard) {
                true => 0,
                false => self.silent_looks.saturating_add(1),
            };
            if self.silent_looks >= SILENT_LOOKS && (self.parent)() != self.at_start {
                warn!("the process that started mcp-tether is gone, and its input is silent: it ends");
                self.has_ended = true;
                return Poll::Ready(Ok(()));
            }
            self.look.as_mut().reset(Instant::now() + LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silent_input_ends_once_the_parent_is_another() {
        let parent = Arc::new(AtomicU32::new(7));
        let (mut client, ours) = tokio::io::duplex(64);
        let seen = Arc::clone(&parent);
        let mut input = WatchedInput::new(ours, Some(7), move || Some(seen.load(Ordering::Relaxed)));
        let mut buffer = [0; 8];
        // The same parent: silence means nothing.
        let quiet = tokio::time::timeout(Duration::from_secs(3_600), input.read(&mut buffer)).await;
        assert!(quiet.is_err(), "{quiet:?}");
        // Another one, but something comes every now and then.
        parent.store(1, Ordering::Relaxed);
        client.write_all(b"a").await.expect("read");
        assert_eq!(input.read(&mut buffer).await.expect("a byte"), 1);
        for _ in 0..10 {
            let quiet = tokio::time::timeout(Duration::from_secs(29), input.read(&mut buffer)).await;
            assert!(quiet.is_err(), "{quiet:?}");
            client.write_all(b"a").await.expect("read");
            assert_eq!(input.read(&mut buffer).await.expect("a byte"), 1);
        }
        let begun = Instant::now();
        assert_eq!(input.read(&mut buffer).await.expect("an end"), 0);
        let took = begun.elapsed().as_secs();
        assert!((30..=40).contains(&took), "{took}");
        assert_eq!(input.read(&mut buffer).await.expect("an end"), 0);
    }
}
