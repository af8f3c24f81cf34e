//! The other end: exchanges with the remote server.
//!
//! [`Remote`] is a trait because the in-memory double of the tests is its second implementation, and a configuration
//! that cannot work its third. Deliberately not here: what an ending means (the bridge).

mod exchange_outcome;
mod head;
mod headers;
pub mod http_sse;
mod parsing;
mod reading;
mod refused;
mod send_order;
mod session_error;
pub mod sse;
mod sse_stream;
pub mod streamable;
mod tracked;
mod waiting;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use tokio::sync::{Semaphore, mpsc};

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
        events: Events,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// A server by either transport: each exchange says by which.
#[derive(Clone, Debug)]
pub struct Server {
    streamable: Streamable,
    http_sse: HttpSse,
}

impl Server {
    /// The server that is reached so; a stream of the older transport has `patience` to name its address.
    pub fn new(streamable: Streamable, patience: Duration) -> Server {
        let http_sse = HttpSse::new(&streamable, patience);
        Server { streamable, http_sse }
    }
}

impl Remote for Server {
    fn start(
        &self,
        exchange: ExchangeId,
        outgoing: Outgoing,
        events: Events,
    ) -> impl Future<Output = ()> + Send + 'static {
        // One of them for each exchange, and the rare one does not make room for itself in the frequent one.
        match outgoing.facts.via {
            Via::Endpoint => Either::Left(self.streamable.start(exchange, outgoing, events)),
            Via::NewStream | Via::Stream(_) => {
                Either::Right(Box::pin(self.http_sse.start(exchange, outgoing, events)))
            }
        }
    }
}

/// Where the events of an exchange go. Sending waits while the driver is not listening, which holds back the server.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::Sender<Event>,
    room: Arc<Semaphore>,
    witness: Option<Witness>,
}

/// Where they come out.
#[derive(Debug)]
pub struct Received {
    receiver: mpsc::Receiver<Event>,
    room: Arc<Semaphore>,
}

/// Up to this size only the number of events that wait is bounded, in bytes.
const SMALL: usize = 16 * 1024;
/// How much may wait in larger ones, in KiB. One that is larger still waits alone.
const ROOM: u32 = 8 * 1024;

impl Received {
    /// The next event; none once there is nobody to send any.
    pub async fn recv(&mut self) -> Option<Event> {
        let event = self.receiver.recv().await?;
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

impl Events {
    /// A channel for `capacity` events that nobody has looked at.
    pub fn channel(capacity: usize) -> (Events, Received) {
        let (sender, receiver) = mpsc::channel(capacity);
        let room = Arc::new(Semaphore::new(ROOM as usize));
        let received = Received { receiver, room: Arc::clone(&room) };
        (Events { sender, room, witness: Witness::wanted() }, received)
    }

    /// Who wants to see the heads of requests and answers.
    pub fn witness(&self) -> Option<&Witness> {
        self.witness.as_ref()
    }

    /// Has the requests of a batch answered that is refused as a whole. Over HTTP+SSE the session ends with it instead.
    async fn send_invalid(&self, exchange: ExchangeId, fault: &Fault) {
        if !fault.requests.is_empty() {
            self.send(Event::ServerInvalid(exchange, fault.clone())).await;
        }
    }

    /// Tells what happened. When the driver is gone nobody wants to know.
    pub async fn send(&self, event: Event) {
        let weight = weight(&event);
        let room = match weight {
            0 => None,
            // It is never closed.
            weight => self.room.acquire_many(weight).await.ok(),
        };
        if self.sender.send(event).await.is_ok()
            && let Some(room) = room
        {
            // Given back where the event comes out.
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
        events: Events,
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
    async fn large_events_wait_for_room_and_small_ones_do_not() {
        let (events, mut received) = Events::channel(64);
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
