//! The order in which exchanges go out: each waits for its turn until the request of the one before it was handed to a
//! connection.
//!
//! Apart because tasks run in any order, and a pool hands out whichever connection is free, while servers act on messages
//! in the order of their arrival. A turn ends when the connection takes the request's body, and when the request is dropped:
//! its connection failed, or its exchange was closed. No turn waits for a response. Deliberately not here: which exchange
//! comes first (the bridge).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// How long an exchange may hold up those behind it, from the moment it was opened.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// Hands out turns in the order in which exchanges are opened.
#[derive(Debug, Default)]
pub(super) struct SendOrder(Arc<Mutex<TurnQueue>>);

/// The place of one exchange in the order. Dropping it lets the next one send.
#[derive(Debug)]
pub(super) struct SendTurn {
    queue: Arc<Mutex<TurnQueue>>,
    number: u64,
}

/// The turns from the first to the last that is not over.
#[derive(Debug, Default)]
struct TurnQueue {
    turns: VecDeque<QueuedTurn>,
    /// The number of the first.
    first: u64,
}

#[derive(Debug)]
struct QueuedTurn {
    /// How long it may hold up those behind it.
    until: Instant,
    is_over: bool,
    /// Wakes the exchange that waits for this turn.
    waker: Option<Waker>,
}

impl SendOrder {
    /// The next turn.
    pub(super) fn turn(&self) -> SendTurn {
        let turn = QueuedTurn { until: Instant::now() + LONGEST_TURN, is_over: false, waker: None };
        let mut queue = lock(&self.0);
        let number = queue.first + queue.turns.len() as u64;
        queue.turns.push_back(turn);
        SendTurn { queue: Arc::clone(&self.0), number }
    }
}

impl SendTurn {
    /// Waits until every exchange before this one has sent its request, failed to, or taken too long. May be dropped and
    /// called again.
    pub(super) async fn wait(&mut self) {
        loop {
            let before = lock(&self.queue).before(self.number);
            // Most often the request before was sent long ago, and no alarm need be set.
            let Some(until) = before.filter(|until| *until > Instant::now()) else { return };
            // An elapsed time is the end of waiting as well.
            let _ = timeout_at(until, poll_fn(|context| self.poll_change(until, context))).await;
        }
    }

    /// Waits until the turn is over that may hold this one up until then.
    fn poll_change(&self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        let mut queue = lock(&self.queue);
        if queue.before(self.number) != Some(until) {
            return Poll::Ready(());
        }
        if let Some(turn) = queue.turn(self.number) {
            turn.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for SendTurn {
    fn drop(&mut self) {
        // Woken without the lock.
        let next = lock(&self.queue).end(self.number);
        if let Some(next) = next {
            next.wake();
        }
    }
}

impl TurnQueue {
    fn turn(&mut self, number: u64) -> Option<&mut QueuedTurn> {
        self.turns.get_mut(self.place(number))
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }

    /// How long the last turn before this one may hold it up; none where all are over. Those before that one have no longer.
    fn before(&self, number: u64) -> Option<Instant> {
        let before = self.turns.range(..self.place(number).min(self.turns.len()));
        before.rev().find(|turn| !turn.is_over).map(|turn| turn.until)
    }

    /// Ends a turn. Returns what wakes the one behind it, which may have others before it.
    fn end(&mut self, number: u64) -> Option<Waker> {
        let place = self.place(number);
        self.turns.get_mut(place)?.is_over = true;
        let mut behind = self.turns.range_mut(place..).filter(|turn| !turn.is_over);
        let waker = behind.next().and_then(|turn| turn.waker.take());
        while self.turns.front().is_some_and(|turn| turn.is_over) {
            self.turns.pop_front();
            self.first += 1;
        }
        while self.turns.back().is_some_and(|turn| turn.is_over) {
            self.turns.pop_back();
        }
        waker
    }
}

fn lock(queue: &Mutex<TurnQueue>) -> MutexGuard<'_, TurnQueue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
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
