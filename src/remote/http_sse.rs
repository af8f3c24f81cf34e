//! The HTTP+SSE transport (2024-11-05, basic/transports): one stream by GET, whose first event names the address to
//! which every message is POSTed. All that the server says comes on the stream.
//!
//! The exchange of `initialize` is that stream, and lasts as long as the session; every other message is an exchange of
//! its own, over when the server has taken it. Where a message goes and how long its stream lasts is all that is kept
//! here. Deliberately not here: which answer belongs to what, what the end of the stream means and whether another one
//! is opened (the bridge).

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::exchange_outcome::rewritten;
use super::head::{Answer, classify, media_type};
use super::parsing::{is_broken_answer, parse_line};
use super::reading::{ENDPOINT, Form, Reading};
use super::redirect::next_hop;
use super::refused::refuser;
use super::send_order::SendTurn;
use super::sse;
use super::sse_stream::{Stream, address_in, with_address};
use super::streamable::{
    Exchange, Inner, LINGER, REDIRECTS, REFUSAL_PATIENCE, Streamable, bounded, silent, tellable,
};
use super::waiting::Stage;
use super::{Events, Remote};
use crate::bridge::{
    Ask, ErrorKind, ErrorReport, Event, ExchangeId, ExchangeOutcome, Facts, Opening, Outgoing, SessionHeader,
    Via, Written,
};
use crate::diagnosis;
use crate::http::body::Body;
use crate::http::{notice_closed_connections, within};
use crate::jsonrpc::{Id, Kind, Line, Message};

/// A time that never comes: thirty years.
const UNBOUNDED: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
/// A part of the address that is shorter is no secret worth the name.
const SHORTEST_SECRET: usize = 6;

/// A remote server behind an HTTP+SSE URL.
#[derive(Clone, Debug)]
pub struct HttpSse {
    inner: Arc<Inner>,
    /// Where the messages of each stream go.
    addresses: Addresses,
    /// Who waits for an answer on which stream, where silence is bounded.
    waiting: Arc<Mutex<HashMap<ExchangeId, Waiting>>>,
    patience: Duration,
}

/// The requests that wait for a stream: without any, its silence means nothing.
#[derive(Debug)]
struct Waiting {
    requests: HashSet<Id>,
    /// When something last came, or the last of them was sent.
    since: Instant,
}

type Addresses = Arc<Mutex<HashMap<ExchangeId, Url>>>;

impl HttpSse {
    /// The same server as by streamable HTTP. A stream has `patience` to name its address.
    pub fn new(streamable: &Streamable, patience: Duration) -> HttpSse {
        HttpSse {
            inner: streamable.inner(),
            addresses: Addresses::default(),
            waiting: Arc::default(),
            patience,
        }
    }

    /// Notes what a message of the client means for the silence on its stream.
    fn asks(&self, stream: ExchangeId, ask: &Ask) {
        let Ask::Post(message) = ask else { return };
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&stream) {
            match message.kind() {
                Kind::Request { id, .. } => {
                    waiting.requests.insert(id.detached());
                    waiting.since = Instant::now();
                }
                Kind::Notification { method } if method.as_str() == "notifications/cancelled" => {
                    message.request_id_param().map(|id| waiting.requests.remove(&id));
                }
                Kind::Notification { .. } | Kind::Response { .. } => {}
            }
        }
    }

    /// The same for what comes on it.
    fn heard(&self, stream: ExchangeId, line: &Line) {
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&stream) {
            let mut heard = |message: &Message| {
                if let Kind::Response { id: Some(id), .. } = message.kind() {
                    waiting.requests.retain(|own| !own.is_same_value(id));
                }
            };
            match line {
                Line::One(message) => heard(message),
                Line::Batch(elements) => elements.iter().flatten().for_each(heard),
                Line::Invalid(_) => {}
            }
        }
    }

    /// The next event of a stream on which somebody may wait.
    async fn next(&self, id: ExchangeId, stream: &mut Stream) -> Result<Option<sse::Event>, ExchangeOutcome> {
        let Some(limit) = self.inner.patience().gap else { return stream.next().await };
        let mut left = limit;
        loop {
            if let Some(event) = within(Some(left), stream.next()).await {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.get_mut(&id).into_iter().for_each(|waiting| waiting.since = Instant::now());
                return event;
            }
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = waiting.get(&id).filter(|waiting| !waiting.requests.is_empty());
            left = waiting.map_or(limit, |waiting| limit.saturating_sub(waiting.since.elapsed()));
            if left.is_zero() {
                return Err(lost(silent(&stream.url, stream.status, Some(limit))));
            }
        }
    }

    fn address(&self, stream: ExchangeId) -> Option<Url> {
        self.lock().get(&stream).cloned()
    }
}

impl Remote for HttpSse {
    fn start(
        &self,
        exchange: ExchangeId,
        outgoing: Outgoing,
        events: Events,
    ) -> impl Future<Output = ()> + Send + 'static {
        let remote = self.clone();
        let turn = self.inner.order.turn();
        async move {
            let outcome = match outgoing.facts.via {
                Via::Stream(stream) => remote.post(exchange, stream, &outgoing, &events, turn).await,
                Via::NewStream | Via::Endpoint => {
                    let inner = &remote.inner;
                    inner.waiting.set(Stage::Stream);
                    let carried = remote.carry(exchange, &outgoing, &events, turn);
                    Box::pin(inner.waiting.watch(&inner.url, carried)).await
                }
            };
            events.send(Event::Ended(exchange, outcome)).await;
        }
    }
}

impl HttpSse {
    /// POSTs a message to the address that a stream has named.
    async fn post(
        &self,
        id: ExchangeId,
        stream: ExchangeId,
        outgoing: &Outgoing,
        events: &Events,
        turn: SendTurn,
    ) -> ExchangeOutcome {
        let Some(address) = self.address(stream) else {
            let report = ErrorReport::new(
                ErrorKind::Connection,
                "the stream on which the server answers is gone",
                "look into the server's log",
            );
            return ExchangeOutcome::Lost { written: Written::No, report };
        };
        let credentials = self.inner.keeper.current().await;
        self.asks(stream, &outgoing.ask);
        let mut exchange = Exchange::new(&self.inner, id, outgoing, events, credentials, Some(turn));
        deliver(&mut exchange, &address, Acknowledged::Told).await
    }

    /// Opens a stream, POSTs the message to the address that it names, and passes on what comes until the stream ends.
    async fn carry(
        &self,
        id: ExchangeId,
        outgoing: &Outgoing,
        events: &Events,
        turn: SendTurn,
    ) -> ExchangeOutcome {
        let listen = Outgoing { ask: Ask::Listen { after: None }, facts: Facts::default() };
        let credentials = self.inner.keeper.current().await;
        let mut get = Exchange::new(&self.inner, id, &listen, events, credentials, Some(turn));
        let mut connected = self.connect(&get).await;
        while let Err(outcome) = &mut connected {
            if !get.again(outcome).await {
                break;
            }
            connected = self.connect(&get).await;
        }
        let (mut stream, address) = match connected {
            Ok(connected) => connected,
            // The message itself was not sent, whatever became of the GET.
            Err(ExchangeOutcome::Lost { report, .. } | ExchangeOutcome::Cut(report)) => {
                return ExchangeOutcome::Lost { written: Written::No, report };
            }
            Err(outcome) => return outcome,
        };
        get.token_accepted().await;
        let _named = Named::new(self, id, address.clone());
        self.asks(id, &outgoing.ask);
        let opening = Opening {
            status: stream.status,
            session: SessionHeader::Absent,
            multiplexed: stream.multiplexed,
        };
        events.send(Event::Opened(id, opening)).await;
        let mut exchange = Exchange { outgoing, ..get };
        let credentials = exchange.credentials.clone();
        // What comes is looked at by another one, for this one is busy.
        let listener = Exchange::new(&self.inner, id, outgoing, events, credentials, None);
        let mut delivery = pin!(deliver(&mut exchange, &address, Acknowledged::Untold));
        let (mut delivered, mut answered) = (false, false);
        loop {
            tokio::select! {
                biased;
                outcome = &mut delivery, if !delivered => match outcome {
                    // A server that has answered has taken the message, whatever it says of that.
                    ExchangeOutcome::Accepted(_) => delivered = true,
                    _ if answered => delivered = true,
                    outcome => return outcome,
                },
                event = self.next(id, &mut stream) => match event {
                    Ok(Some(event)) if event.event == ENDPOINT => match address_in(&event, &stream.url) {
                        Ok(address) => drop(self.lock().insert(id, address)),
                        Err(report) => warn!(exchange = %id, %report, "the server named another address"),
                    },
                    Ok(Some(event)) => match self.pass_on(&listener, event, &mut stream).await {
                        Ok(is_answer) => answered |= is_answer,
                        Err(outcome) => return listener.scrubbed(outcome),
                    },
                    Ok(None) => return ExchangeOutcome::Complete,
                    Err(outcome) => return listener.scrubbed(outcome),
                },
            }
        }
    }

    /// Passes on what an event brought; tells whether that was the answer to the message of this exchange.
    async fn pass_on(
        &self,
        exchange: &Exchange<'_>,
        event: sse::Event,
        stream: &mut Stream,
    ) -> Result<bool, ExchangeOutcome> {
        if !event.is_message() {
            return Ok(false);
        }
        let data = Bytes::from(event.data);
        match parse_line(data.clone()).await {
            Line::Invalid(fault) => {
                stream.stray.tell(exchange, &fault);
                match is_broken_answer(&data, &fault) {
                    false => Ok(false),
                    // Whose it was nobody can tell, and whoever waits for it would wait for ever.
                    true => {
                        let problem = format!("an answer on its stream is no JSON-RPC message: {fault}");
                        Err(lost(diagnosis::unusable(&stream.url, stream.status, &problem)))
                    }
                }
            }
            line => {
                self.heard(exchange.id, &line);
                Ok(exchange.deliver(line).await)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ExchangeId, Url>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the stream, and waits until it has named the address.
    async fn connect(&self, exchange: &Exchange<'_>) -> Result<(Stream, Url), ExchangeOutcome> {
        let result = async {
            // Both together: whoever waits does not know which of the two it is for.
            let end = tokio::time::Instant::now().checked_add(self.patience);
            let end = end.unwrap_or_else(|| Instant::now() + UNBOUNDED);
            let opened = tokio::time::timeout_at(end, open(exchange)).await;
            let mut stream = opened.map_err(|_| {
                lost(ErrorReport::new(
                    ErrorKind::NoAnswer,
                    format!(
                        "{} did not begin the stream of HTTP+SSE within {} seconds",
                        diagnosis::place(&self.inner.url),
                        self.patience.as_secs()
                    ),
                    "see whether a proxy before the server holds event streams back; --connect-timeout allows for longer",
                ))
            })??;
            let named = tokio::time::timeout_at(end, self.first_event(&mut stream)).await;
            let address = named.map_err(|_| {
                let sentence = format!(
                    "{} began a stream, but did not name the address for messages within {} seconds (HTTP+SSE)",
                    diagnosis::place(&stream.url),
                    self.patience.as_secs()
                );
                let advice = "see whether a proxy before the server holds event streams back, and whether the URL is the \
                              server's SSE endpoint (often /sse); --connect-timeout allows for longer";
                lost(ErrorReport::new(ErrorKind::NoAnswer, sentence, advice).with_status(stream.status))
            })??;
            Ok((stream, address))
        };
        result.await.map_err(|outcome| exchange.scrubbed(outcome))
    }

    /// The address in the first event.
    async fn first_event(&self, stream: &mut Stream) -> Result<Url, ExchangeOutcome> {
        loop {
            let problem = match stream.next().await? {
                Some(event) if event.event == ENDPOINT => {
                    return address_in(&event, &stream.url).map_err(|report| lost(*report));
                }
                Some(event) if event.is_message() => "with a message before the address (HTTP+SSE)",
                // A sign of life.
                Some(_) => continue,
                None => {
                    let sentence = format!(
                        "{} answered {}, but ended the stream before it named the address for messages (HTTP+SSE)",
                        diagnosis::place(&stream.url),
                        stream.status
                    );
                    let advice =
                        "check that the URL is the server's SSE endpoint (often /sse), and look into its log";
                    return Err(lost(
                        ErrorReport::new(ErrorKind::NoAnswer, sentence, advice).with_status(stream.status),
                    ));
                }
            };
            return Err(lost(diagnosis::unusable(&stream.url, stream.status, problem)));
        }
    }
}

/// GETs the stream.
async fn open(exchange: &Exchange<'_>) -> Result<Stream, ExchangeOutcome> {
    let mut url = exchange.inner.url.clone();
    let mut last = 0;
    for _ in 0..=REDIRECTS {
        let response = exchange.send(&url).await?;
        let status = response.status().as_u16();
        last = status;
        let media_type = media_type(response.headers());
        let problem = match classify(status, media_type.as_deref(), true) {
            Answer::EventStream => {
                let multiplexed = response.version() == http::Version::HTTP_2;
                return Ok(Stream::new(Body::new(response), url, status, multiplexed));
            }
            Answer::Redirect => match next_hop(&url, status, response.headers()) {
                Some(target) => {
                    url = target;
                    continue;
                }
                None => return Err(exchange.refusal(&url, response).await),
            },
            Answer::Refusal => return Err(exchange.refusal(&url, response).await),
            kind @ (Answer::Json | Answer::Unknown) => {
                let multiplexed = response.version() == http::Version::HTTP_2;
                let headers = response.headers().clone();
                let mut reading = Reading::new(response, exchange.inner.patience().gap);
                match exchange.read_untyped(&url, &mut reading).await? {
                    Some(Form::Events) => {
                        let (body, beginning) = reading.into_body();
                        let mut stream = Stream::new(body, url, status, multiplexed);
                        stream.take(&beginning);
                        return Ok(stream);
                    }
                    None if kind == Answer::Unknown => {
                        return Err(exchange.other_body(&url, &headers, reading).await);
                    }
                    Some(_) | None => "with JSON instead of a stream",
                }
            }
            Answer::Nothing => "without a stream",
        };
        return Err(lost(diagnosis::unusable(&url, status, problem)));
    }
    Err(lost(diagnosis::redirect_loop(&url, last)))
}

/// A page that came instead.
async fn page(exchange: &Exchange<'_>, url: &Url, response: reqwest::Response) -> ExchangeOutcome {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (body, is_whole) = bounded(response, REFUSAL_PATIENCE).await;
    let text = exchange.scrub(&tellable(&body, is_whole));
    let report = diagnosis::page(url, &exchange.facts(status, &headers, None, &text));
    ExchangeOutcome::Lost { written: Written::Maybe, report }
}

/// Whether the bridge hears that the server has taken the message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acknowledged {
    Told,
    Untold,
}

/// POSTs a message until the server has taken it, with other credentials where these are refused.
async fn deliver(exchange: &mut Exchange<'_>, address: &Url, acknowledged: Acknowledged) -> ExchangeOutcome {
    let mut outcome = attempt(exchange, address, acknowledged).await;
    while exchange.again(&mut outcome).await {
        outcome = attempt(exchange, address, acknowledged).await;
    }
    outcome
}

async fn attempt(exchange: &Exchange<'_>, address: &Url, acknowledged: Acknowledged) -> ExchangeOutcome {
    let outcome = match post_once(exchange, address, acknowledged).await {
        Ok(outcome) | Err(outcome) => exchange.scrubbed(outcome),
    };
    let secrets: Vec<String> = address
        .query_pairs()
        .map(|(_, value)| value.into_owned())
        .filter(|value| value.len() >= SHORTEST_SECRET)
        .collect();
    rewritten(outcome, |text| {
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[session]"))
    })
}

/// POSTs a message. What stands in the body of a 2xx means nothing.
async fn post_once(
    exchange: &Exchange<'_>,
    address: &Url,
    acknowledged: Acknowledged,
) -> Result<ExchangeOutcome, ExchangeOutcome> {
    notice_closed_connections().await;
    let mut url = address.clone();
    let mut last = 0;
    for _ in 0..=REDIRECTS {
        let response = exchange.send(&url).await?;
        let status = response.status().as_u16();
        last = status;
        let media_type = media_type(response.headers());
        match classify(status, media_type.as_deref(), false) {
            Answer::Redirect => match next_hop(&url, status, response.headers()) {
                Some(target) => url = target,
                None => return Ok(exchange.refusal(&url, response).await),
            },
            Answer::Refusal => {
                let refusal = exchange.refusal(&url, response).await;
                return Ok(with_address(refusal, &url));
            }
            Answer::EventStream | Answer::Json | Answer::Nothing | Answer::Unknown => {
                let multiplexed = response.version() == http::Version::HTTP_2;
                if media_type.as_deref() == Some("text/html") {
                    // A page is all the same, unless it is the one to sign in at: then the message got nowhere.
                    let outcome = page(exchange, &url, response).await;
                    if refuser(&outcome).is_some() {
                        return Ok(outcome);
                    }
                } else if acknowledged == Acknowledged::Untold {
                    bounded(response, LINGER).await;
                } else {
                    let opening = Opening { status, session: SessionHeader::Absent, multiplexed };
                    exchange.events.send(Event::Opened(exchange.id, opening)).await;
                    bounded(response, LINGER).await;
                }
                exchange.token_accepted().await;
                return Ok(ExchangeOutcome::Accepted(status));
            }
        }
    }
    Ok(ExchangeOutcome::Lost { written: Written::Maybe, report: diagnosis::redirect_loop(&url, last) })
}

pub(super) fn lost(report: ErrorReport) -> ExchangeOutcome {
    ExchangeOutcome::Lost { written: Written::Maybe, report }
}

/// The address of a stream, as long as that lasts.
struct Named<'a> {
    remote: &'a HttpSse,
    stream: ExchangeId,
}

impl<'a> Named<'a> {
    fn new(remote: &'a HttpSse, stream: ExchangeId, address: Url) -> Named<'a> {
        remote.lock().insert(stream, address);
        if remote.inner.patience().gap.is_some() {
            let waiting = Waiting { requests: HashSet::new(), since: Instant::now() };
            remote.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, waiting);
        }
        Named { remote, stream }
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        self.remote.lock().remove(&self.stream);
        self.remote.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(gap: Option<Duration>) -> HttpSse {
        let url = Url::parse("https://mcp.example.com/sse").expect("a URL");
        let settings = crate::http::Settings {
            connect_timeout: None,
            patience: crate::http::Patience { head: None, gap },
            trust: crate::tls::Trust::default(),
            proxy: None,
            family: crate::http::Family::Any,
            cookies: false,
            inspect: false,
        };
        let http = crate::http::Http::new(&url, settings).expect("a client");
        let credentials = crate::auth::Credentials::new(&url, Vec::new());
        let provider = crate::auth::credential_provider::CredentialProvider::fixed(credentials);
        let keeper = crate::oauth::RequestCredentials::new(provider, None);
        HttpSse::new(&Streamable::new(url, http, keeper), Duration::ZERO)
    }

    #[test]
    fn an_address_lasts_as_long_as_its_stream() {
        let remote = remote(Some(Duration::ZERO));
        let url = Url::parse("https://mcp.example.com/m").expect("a URL");
        let named = Named::new(&remote, ExchangeId(1), url);
        assert!(remote.lock().contains_key(&ExchangeId(1)));
        assert_eq!(remote.waiting.lock().expect("no panic").len(), 1);
        drop(named);
        assert!(remote.lock().is_empty());
        assert!(remote.waiting.lock().expect("no panic").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_silence_in_which_somebody_waits_is_too_long() {
        const LIMIT: Duration = Duration::from_secs(10);
        let url = Url::parse("https://mcp.example.com/m").expect("a URL");
        let message = |text: &str| Message::parse(text.to_owned().into()).expect("a message");
        let call = Ask::Post(message(r#"{"id":1,"method":"tools/call"}"#));
        let remote = remote(Some(LIMIT));
        let _named = Named::new(&remote, ExchangeId(1), url.clone());
        // A body that never comes.
        let body = http_body_that_never_comes();
        let mut stream = Stream::new(Body::new(http::Response::new(body).into()), url, 200, false);
        let mut silent_for =
            async |time| tokio::time::timeout(time, remote.next(ExchangeId(1), &mut stream)).await.is_err();
        assert!(silent_for(LIMIT * 5 / 2).await, "nobody waits");
        remote.asks(ExchangeId(1), &call);
        assert!(silent_for(LIMIT - Duration::from_secs(1)).await, "it has only just been asked");
        remote.heard(ExchangeId(1), &Line::One(message(r#"{"id":1,"result":{}}"#)));
        assert!(silent_for(LIMIT * 2).await, "it was answered");
        remote.asks(ExchangeId(1), &call);
        let taken_back = r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#;
        remote.asks(ExchangeId(1), &Ask::Post(message(taken_back)));
        assert!(silent_for(LIMIT * 2).await, "it was taken back");
        remote.asks(ExchangeId(1), &call);
        assert!(!silent_for(LIMIT + Duration::from_secs(1)).await, "somebody waits");
    }

    fn http_body_that_never_comes() -> reqwest::Body {
        struct Never;
        impl http_body::Body for Never {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
                std::task::Poll::Pending
            }
        }
        reqwest::Body::wrap(Never)
    }
}
