//! The other end: exchanges with the remote server.
//!
//! [`Remote`] is a trait because the in-memory double of the tests is its second implementation, and a configuration
//! that cannot work its third. Deliberately not here: what an ending means (the bridge).

mod ending;
mod head;
mod headers;
pub mod http_sse;
mod refused;
mod send_order;
pub mod sse;
pub mod streamable;
mod tracked;

use std::future::Future;
use std::time::Duration;

use futures_util::future::Either;
use tokio::sync::mpsc;

use crate::bridge::{Ending, Event, ExchangeId, Outgoing, Via, Why, Written};
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
    witness: Option<Witness>,
}

impl Events {
    /// A channel for `capacity` events that nobody has looked at.
    pub fn channel(capacity: usize) -> (Events, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Events { sender, witness: Witness::wanted() }, receiver)
    }

    /// Who wants to see the heads of requests and answers.
    pub fn witness(&self) -> Option<&Witness> {
        self.witness.as_ref()
    }

    /// Tells what happened. When the driver is gone nobody wants to know.
    pub async fn send(&self, event: Event) {
        let _ = self.sender.send(event).await;
    }
}

/// A remote that cannot be reached because the configuration cannot work: every exchange ends with the reason, so that
/// a client hears it whatever it asks.
#[derive(Clone, Debug)]
pub struct Unconfigured {
    /// What is wrong.
    pub why: Why,
}

impl Remote for Unconfigured {
    fn start(
        &self,
        exchange: ExchangeId,
        _: Outgoing,
        events: Events,
    ) -> impl Future<Output = ()> + Send + 'static {
        let ending = Ending::Lost { written: Written::No, why: self.why.clone() };
        async move { events.send(Event::Ended(exchange, ending)).await }
    }
}
