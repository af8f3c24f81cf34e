//! Exchanges with the remote server over HTTP.
//!
//! [`Remote`] is a trait because the in-memory double of the tests is its second implementation, and a configuration
//! that cannot work its third. Deliberately not here: the judgment of an outcome (the bridge).
//!
#![doc = include_str!("README.md")]

mod credential_retry;
mod delivery;
mod exchange_outcome;
pub mod http_sse;
mod initialize_progress;
mod parsing;
mod request_body;
mod request_headers;
mod response_body;
mod response_head;
mod send_order;
mod session_error;
pub mod sse;
mod sse_stream;
pub mod streamable;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::bridge::{ErrorReport, Event, ExchangeId, ExchangeOutcome, Outgoing, Via, Written};
use crate::jsonrpc::{Fault, Id};
use crate::traffic::Witness;
use http_sse::HttpSse;
use streamable::Streamable;

/// Carries out exchanges.
pub trait Remote {
    /// Starts an exchange, whose events go to `events`; the last one is [`Event::Ended`]. Dropping the future ends the
    /// exchange at once.
    fn start(
        &self,
        exchange: ExchangeId,
        outgoing: Outgoing,
        events: EventSender,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// A server by either transport: each exchange says by which.
#[derive(Clone, Debug)]
pub struct HttpRemote {
    streamable: Streamable,
    http_sse: HttpSse,
}

impl HttpRemote {
    /// A server at this endpoint. A stream of the older transport has `patience` to name its address.
    pub fn new(streamable: Streamable, patience: Duration) -> HttpRemote {
        let http_sse = HttpSse::new(&streamable, patience);
        HttpRemote { streamable, http_sse }
    }
}

impl Remote for HttpRemote {
    fn start(
        &self,
        exchange: ExchangeId,
        outgoing: Outgoing,
        events: EventSender,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Boxed: as it is, it has several kilobytes, and on its way into a task it is moved a dozen times.
        match outgoing.facts.via {
            Via::Endpoint => Either::Left(Box::pin(self.streamable.start(exchange, outgoing, events))),
            Via::NewStream | Via::Stream(_) => {
                Either::Right(Box::pin(self.http_sse.start(exchange, outgoing, events)))
            }
        }
    }
}

/// Where the events of an exchange go. Sending waits while the driver does not receive, which holds back the server.
#[derive(Clone, Debug)]
pub struct EventSender {
    sender: mpsc::Sender<Event>,
    room: Arc<Semaphore>,
    witness: Option<Witness>,
}

/// Where the driver receives them.
#[derive(Debug)]
pub struct EventReceiver {
    receiver: mpsc::Receiver<Event>,
    room: Arc<Semaphore>,
}

/// Up to this size only the number of events that wait is bounded, in bytes.
const SMALL: usize = 16 * 1024;
/// How much may wait in larger events, in KiB. An event beyond this limit waits alone.
const ROOM: u32 = 8 * 1024;

impl EventReceiver {
    /// The next event; none once every sender is gone.
    pub async fn recv(&mut self) -> Option<Event> {
        let event = self.receiver.recv().await?;
        self.room.add_permits(weight(&event) as usize);
        Some(event)
    }

    /// The next event, if it has come already.
    pub fn try_recv(&mut self) -> Option<Event> {
        let event = self.receiver.try_recv().ok()?;
        self.room.add_permits(weight(&event) as usize);
        Some(event)
    }
}

/// What an event takes of the room, in KiB.
fn weight(event: &Event) -> u32 {
    match event {
        Event::Server(_, message) if message.text().len() > SMALL => {
            u32::try_from(message.text().len() / 1024).unwrap_or(ROOM).min(ROOM)
        }
        Event::ServerInvalid(_, fault) => {
            let size: usize = fault.requests.iter().map(Id::size).sum();
            u32::try_from(size / 1024).unwrap_or(ROOM).min(ROOM)
        }
        Event::Server(..)
        | Event::Client(_)
        | Event::ClientClosed
        | Event::Stop(_)
        | Event::Sent(_)
        | Event::Opened(..)
        | Event::Cursor(..)
        | Event::Ended(..) => 0,
    }
}

impl EventSender {
    /// A channel for `capacity` events.
    pub fn channel(capacity: usize) -> (EventSender, EventReceiver) {
        let (sender, receiver) = mpsc::channel(capacity);
        let room = Arc::new(Semaphore::new(ROOM as usize));
        let received = EventReceiver { receiver, room: Arc::clone(&room) };
        (EventSender { sender, room, witness: Witness::wanted() }, received)
    }

    /// The observer of the heads of requests and responses, where there is one.
    pub fn witness(&self) -> Option<&Witness> {
        self.witness.as_ref()
    }

    /// Has the requests of a batch answered that is refused as a whole. Over HTTP+SSE the session ends with it instead.
    async fn send_invalid(&self, exchange: ExchangeId, fault: &Fault) {
        if !fault.requests.is_empty() {
            self.send(Event::ServerInvalid(exchange, fault.clone())).await;
        }
    }

    /// Sends an event like [`EventSender::send`], by a smaller future: most often there is room, and an event that has to wait does so
    /// in a box.
    fn report(&self, event: Event) -> impl Future<Output = ()> {
        let waiting = self.try_send(event).map(|event| Box::pin(self.send(event)));
        async move {
            if let Some(waiting) = waiting {
                waiting.await;
            }
        }
    }

    /// Sends an event at once. When the driver is gone, the event is dropped. Returns the event if it has to wait.
    fn try_send(&self, event: Event) -> Option<Event> {
        let room = match weight(&event) {
            0 => None,
            weight => match self.room.try_acquire_many(weight) {
                Ok(room) => Some(room),
                Err(_) => return Some(event),
            },
        };
        match self.sender.try_send(event) {
            Ok(()) => room.into_iter().for_each(SemaphorePermit::forget),
            Err(TrySendError::Full(event)) => return Some(event),
            Err(TrySendError::Closed(_)) => {}
        }
        None
    }

    /// Sends an event. When the driver is gone, the event is dropped.
    pub async fn send(&self, event: Event) {
        let weight = weight(&event);
        let room = match weight {
            0 => None,
            // It is never closed.
            weight => self.room.acquire_many(weight).await.ok(),
        };
        // Most often there is room, and nothing to wait for.
        let is_sent = match self.sender.try_send(event) {
            Err(TrySendError::Full(event)) => self.sender.send(event).await.is_ok(),
            sent => sent.is_ok(),
        };
        if is_sent && let Some(room) = room {
            // Given back where the event is received.
            room.forget();
        }
    }
}

/// A remote that cannot be reached because the configuration cannot work: every exchange ends with the reason, so that
/// a client hears it whatever it asks.
#[derive(Clone, Debug)]
pub struct Unconfigured {
    /// What is wrong.
    pub report: ErrorReport,
}

impl Remote for Unconfigured {
    fn start(
        &self,
        exchange: ExchangeId,
        _: Outgoing,
        events: EventSender,
    ) -> impl Future<Output = ()> + Send + 'static {
        let outcome = ExchangeOutcome::Lost { written: Written::No, report: self.report.clone() };
        async move { events.send(Event::Ended(exchange, outcome)).await }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::jsonrpc::Message;

    fn event(size: usize) -> Event {
        let text = format!(r#"{{"method":"{}"}}"#, "x".repeat(size));
        Event::Server(ExchangeId(1), Message::parse(text.into()).expect("a message"))
    }

    #[tokio::test]
    async fn only_large_events_wait_for_room() {
        let (events, mut received) = EventSender::channel(64);
        for size in [5 << 20, 2 << 20, 1000] {
            events.send(event(size)).now_or_never().expect("there is room");
        }
        assert!(events.send(event(2 << 20)).now_or_never().is_none(), "it would be more than may wait");
        events.send(event(1000)).now_or_never().expect("small ones are only counted");
        for _ in 0..4 {
            received.recv().await.expect("an event");
        }
        // Larger than all the room there is.
        events.send(event(20 << 20)).now_or_never().expect("alone it may wait");
        assert!(events.send(event(SMALL)).now_or_never().is_none(), "nothing beside it");
        received.recv().await.expect("an event");
        events.send(event(SMALL)).now_or_never().expect("there is room again");
    }
}
