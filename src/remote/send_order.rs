//! The order in which exchanges go out: each waits for its turn until the request of the one before it was handed to a
//! connection.
//!
//! Apart because tasks run in any order, and a pool hands out whichever connection is free, while servers act on messages
//! in the order of their arrival. A turn ends when the connection takes the request's body, and when the request is dropped:
//! its connection failed, or its exchange was closed. No turn waits for a response. Deliberately not here: which exchange
//! comes first (the bridge).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// How long an exchange may hold up those behind it, from the moment it was opened.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// Hands out turns in the order in which exchanges are opened.
#[derive(Debug, Default)]
pub(super) struct SendOrder {
    last: Mutex<Option<Predecessor>>,
}

/// The place of one exchange in the order. Dropping it lets the next one send.
#[derive(Debug)]
pub(super) struct SendTurn {
    before: Option<Predecessor>,
    next: Option<oneshot::Sender<Option<Predecessor>>>,
}

/// The exchange that sends first. It resolves to the one before it if that is still to send.
#[derive(Debug)]
struct Predecessor {
    is_over: oneshot::Receiver<Option<Predecessor>>,
    until: Instant,
}

impl SendOrder {
    /// The next turn.
    pub(super) fn turn(&self) -> SendTurn {
        let (next, is_over) = oneshot::channel();
        let last = Predecessor { is_over, until: Instant::now() + LONGEST_TURN };
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(last);
        SendTurn { before, next: Some(next) }
    }
}

impl SendTurn {
    /// Waits until every exchange before this one has sent its request, failed to, or taken too long. May be dropped and
    /// called again.
    pub(super) async fn wait(&mut self) {
        while let Some(before) = &mut self.before {
            let result = timeout_at(before.until, &mut before.is_over).await;
            // A sender never goes without a word, and an elapsed time is the end of waiting.
            self.before = result.ok().and_then(Result::ok).flatten();
        }
    }
}

impl Drop for SendTurn {
    fn drop(&mut self) {
        if let Some(next) = self.next.take() {
            // One that is given up while it waits leaves its predecessor to the one behind it.
            let _ = next.send(self.before.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    fn order() -> (SendOrder, SendTurn, SendTurn) {
        let order = SendOrder::default();
        let (first, second) = (order.turn(), order.turn());
        (order, first, second)
    }

    async fn is_due(turn: &mut SendTurn) -> bool {
        tokio::time::timeout(Duration::ZERO, turn.wait()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn second_exchange_waits_for_first() {
        let (_order, mut first, mut second) = order();
        assert!(is_due(&mut first).await);
        assert!(!is_due(&mut second).await);
        drop(first);
        assert!(is_due(&mut second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_exchange_leaves_its_predecessor_to_the_next() {
        let (order, first, second) = order();
        let mut third = order.turn();
        drop(second);
        assert!(!is_due(&mut third).await, "the first has not sent yet");
        drop(first);
        assert!(is_due(&mut third).await);
    }

    #[tokio::test(start_paused = true)]
    async fn stuck_exchange_holds_up_others_for_one_second() {
        let (order, _first, mut second) = order();
        tokio::time::advance(LONGEST_TURN / 4).await;
        let begun = Instant::now();
        second.wait().await;
        let waited = Instant::now() - begun;
        assert!(waited <= LONGEST_TURN * 3 / 4 + Duration::from_millis(2), "{waited:?}");
        drop(second);
        assert!(is_due(&mut order.turn()).await, "later ones do not wait for it again");
    }

    #[tokio::test(start_paused = true)]
    async fn exchanges_behind_a_stuck_one_keep_their_order() {
        let order = SendOrder::default();
        let _stuck = order.turn();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for number in 0..8 {
            let (mut turn, sent) = (order.turn(), Arc::clone(&sent));
            tasks.spawn(async move {
                turn.wait().await;
                sent.lock().expect("no panic").push(number);
            });
        }
        while tasks.join_next().await.is_some() {}
        assert_eq!(*sent.lock().expect("no panic"), (0..8).collect::<Vec<_>>());
    }
}
