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

use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::credential_retry::rejected_by;
use super::exchange_outcome::{lost, map_texts};
use super::initialize_progress::InitializeStage;
use super::parsing::{is_broken_answer, parse_line};
use super::response_body::{BodyForm, ENDPOINT, ResponseBody};
use super::response_head::{ResponseKind, classify, media_type};
use super::send_order::SendTurn;
use super::sse;
use super::sse_stream::{SseStream, address_in, with_address};
use super::streamable::{
    HttpExchange, LINGER, REFUSAL_PATIENCE, RemoteContext, Streamable, is_initialize, printable_part,
    read_bounded, silence_report,
};
use super::{EventSender, Remote};
use crate::bridge::{
    Ask, ErrorKind, ErrorReport, Event, ExchangeId, ExchangeOutcome, Facts, Opening, Outgoing, SessionHeader,
    Via, Written,
};
use crate::diagnosis;
use crate::http::body::Body;
use crate::http::{notice_closed_connections, within};
use crate::jsonrpc::{Id, Kind, Line, Message};
use crate::mcp::method;

/// A time that never comes: thirty years.
const UNBOUNDED: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
/// A part of the address that is shorter is no secret worth the name.
const SHORTEST_SECRET: usize = 6;

/// A remote server behind an HTTP+SSE URL.
#[derive(Clone, Debug)]
pub struct HttpSse {
    context: Arc<RemoteContext>,
    /// Where the messages of each stream go.
    addresses: Addresses,
    /// The requests that wait for an answer on each stream, where silence is bounded.
    pending: Arc<Mutex<HashMap<ExchangeId, PendingRequests>>>,
    patience: Duration,
}

/// The requests that wait for a stream: without any, its silence means nothing.
#[derive(Debug)]
struct PendingRequests {
    requests: HashSet<Id>,
    /// When something last came, or the last of them was sent.
    since: Instant,
}

type Addresses = Arc<Mutex<HashMap<ExchangeId, Url>>>;

impl HttpSse {
    /// The same server as by streamable HTTP. A stream has `patience` to name its address.
    pub fn new(streamable: &Streamable, patience: Duration) -> HttpSse {
        HttpSse {
            context: streamable.context(),
            addresses: Addresses::default(),
            pending: Arc::default(),
            patience,
        }
    }

    /// Notes what a message of the client means for the silence on its stream.
    fn note_sent(&self, stream: ExchangeId, ask: &Ask) {
        let Ask::Post(message) = ask else { return };
        if let Some(pending) = self.pending.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&stream) {
            match message.kind() {
                Kind::Request { id, .. } => {
                    pending.requests.insert(id.detached());
                    pending.since = Instant::now();
                }
                Kind::Notification { method } if method.as_str() == method::CANCELLED => {
                    message.request_id_param().map(|id| pending.requests.remove(&id));
                }
                Kind::Notification { .. } | Kind::Response { .. } => {}
            }
        }
    }

    /// Notes what a message of the server means for the silence on its stream.
    fn note_received(&self, stream: ExchangeId, line: &Line) {
        if let Some(pending) = self.pending.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&stream) {
            let mut remove = |message: &Message| {
                if let Kind::Response { id: Some(id), .. } = message.kind() {
                    pending.requests.retain(|own| !own.is_same_value(id));
                }
            };
            match line {
                Line::One(message) => remove(message),
                Line::Batch(elements) => elements.iter().flatten().for_each(remove),
                Line::Invalid(_) => {}
            }
        }
    }

    /// The next event of a stream, where silence is bounded while requests wait.
    async fn next(
        &self,
        id: ExchangeId,
        stream: &mut SseStream,
    ) -> Result<Option<sse::SseEvent>, ExchangeOutcome> {
        let Some(limit) = self.context.patience().gap else { return stream.next().await };
        let mut left = limit;
        loop {
            if let Some(event) = within(Some(left), stream.next()).await {
                let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
                pending.get_mut(&id).into_iter().for_each(|pending| pending.since = Instant::now());
                return event;
            }
            let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let pending = pending.get(&id).filter(|pending| !pending.requests.is_empty());
            left = pending.map_or(limit, |pending| limit.saturating_sub(pending.since.elapsed()));
            if left.is_zero() {
                return Err(lost(silence_report(&stream.url, stream.status, Some(limit))));
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
        events: EventSender,
    ) -> impl Future<Output = ()> + Send + 'static {
        let remote = self.clone();
        let turn = self.context.order.turn();
        async move {
            let outcome = match outgoing.facts.via {
                Via::Stream(stream) => remote.post(exchange, stream, &outgoing, &events, turn).await,
                Via::NewStream | Via::Endpoint => {
                    let context = &remote.context;
                    context.progress.set(InitializeStage::Stream);
                    let session = remote.run_session(exchange, &outgoing, &events, turn);
                    Box::pin(context.progress.watch(&context.url, session)).await
                }
            };
            events.report(Event::Ended(exchange, outcome)).await;
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
        events: &EventSender,
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
        let credentials = self.context.request_credentials.current().await;
        self.note_sent(stream, &outgoing.ask);
        let mut exchange = HttpExchange::new(&self.context, id, outgoing, events, credentials, Some(turn));
        deliver(&mut exchange, &address, OpeningReport::Sent).await
    }

    /// Opens a stream, POSTs the message to the address that it names, and passes on what comes until the stream ends.
    async fn run_session(
        &self,
        id: ExchangeId,
        outgoing: &Outgoing,
        events: &EventSender,
        turn: SendTurn,
    ) -> ExchangeOutcome {
        let listen = Outgoing { ask: Ask::Listen { after: None }, facts: Facts::default() };
        let credentials = self.context.request_credentials.current().await;
        let mut get = HttpExchange::new(&self.context, id, &listen, events, credentials, Some(turn));
        let (mut stream, address) = match self.connect_with_credentials(&mut get).await {
            Ok(connected) => connected,
            Err(outcome) => return outcome,
        };
        get.token_accepted().await;
        let _named = AddressEntry::new(self, id, address.clone());
        self.note_sent(id, &outgoing.ask);
        let opening = Opening {
            status: stream.status,
            session: SessionHeader::Absent,
            multiplexed: stream.multiplexed,
        };
        events.send(Event::Opened(id, opening)).await;
        let mut exchange = HttpExchange { outgoing, is_initialize: is_initialize(outgoing), ..get };
        let credentials = exchange.credentials.clone();
        // A second exchange reads the stream, because the first is busy with the POST.
        let listener = HttpExchange::new(&self.context, id, outgoing, events, credentials, None);
        let mut delivery = pin!(deliver(&mut exchange, &address, OpeningReport::Omitted));
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
                        Err(report) => warn!(%report, "the server named another address"),
                    },
                    Ok(Some(event)) => match self.pass_on(&listener, event, &mut stream).await {
                        Ok(is_answer) => answered |= is_answer,
                        Err(outcome) => return listener.redacted(outcome),
                    },
                    Ok(None) => return ExchangeOutcome::Complete,
                    Err(outcome) => return listener.redacted(outcome),
                },
            }
        }
    }

    /// Passes on what an event brought; returns whether that was the answer to the message of this exchange.
    async fn pass_on(
        &self,
        exchange: &HttpExchange<'_>,
        event: sse::SseEvent,
        stream: &mut SseStream,
    ) -> Result<bool, ExchangeOutcome> {
        if !event.is_message() {
            return Ok(false);
        }
        match parse_line(event.data).await {
            (data, Line::Invalid(fault)) => {
                stream.non_messages.log(&fault);
                match is_broken_answer(&data, &fault) {
                    false => Ok(false),
                    // The request that it answers is unknown, and would wait for ever.
                    true => {
                        let problem = format!("an answer on its stream is not a JSON-RPC message: {fault}");
                        Err(lost(diagnosis::unusable(&stream.url, stream.status, &problem)))
                    }
                }
            }
            (_, line) => {
                self.note_received(exchange.id, &line);
                Ok(exchange.deliver(line).await)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ExchangeId, Url>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the stream, with other credentials where these are refused.
    async fn connect_with_credentials(
        &self,
        exchange: &mut HttpExchange<'_>,
    ) -> Result<(SseStream, Url), ExchangeOutcome> {
        let mut connected = self.connect(exchange).await;
        while let Err(outcome) = &mut connected {
            if !exchange.retry_with_other_credentials(outcome).await {
                break;
            }
            connected = self.connect(exchange).await;
        }
        connected.map_err(|outcome| match outcome {
            // The message itself was not sent, whatever became of the GET.
            ExchangeOutcome::Lost { report, .. } | ExchangeOutcome::Cut(report) => {
                ExchangeOutcome::Lost { written: Written::No, report }
            }
            outcome => outcome,
        })
    }

    /// Opens the stream, and waits until it has named the address.
    async fn connect(&self, exchange: &HttpExchange<'_>) -> Result<(SseStream, Url), ExchangeOutcome> {
        let result = async {
            // One limit for both steps, because the client sees a single wait.
            let end = tokio::time::Instant::now().checked_add(self.patience);
            let end = end.unwrap_or_else(|| Instant::now() + UNBOUNDED);
            let opened = tokio::time::timeout_at(end, open_stream(exchange)).await;
            let mut stream = opened.map_err(|_| {
                lost(ErrorReport::new(
                    ErrorKind::NoAnswer,
                    format!(
                        "{} did not begin the stream of HTTP+SSE within {} seconds",
                        diagnosis::place(&self.context.url),
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
        result.await.map_err(|outcome| exchange.redacted(outcome))
    }

    /// The address in the first event.
    async fn first_event(&self, stream: &mut SseStream) -> Result<Url, ExchangeOutcome> {
        loop {
            let problem = match stream.next().await? {
                Some(event) if event.event == ENDPOINT => {
                    return address_in(&event, &stream.url).map_err(|report| lost(*report));
                }
                Some(event) if event.is_message() => "with a message before the address (HTTP+SSE)",
                // A heartbeat.
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
async fn open_stream(exchange: &HttpExchange<'_>) -> Result<SseStream, ExchangeOutcome> {
    let (url, response) = exchange.request(&exchange.context.url).await?;
    let status = response.status().as_u16();
    let kind = classify(status, media_type(response.headers()).as_deref(), true);
    let multiplexed = response.version() == http::Version::HTTP_2;
    let problem = match kind {
        ResponseKind::EventStream => {
            return Ok(SseStream::new(Body::new(response), url.into_owned(), status, multiplexed));
        }
        ResponseKind::Redirect | ResponseKind::Refusal => return Err(exchange.refusal(&url, response).await),
        kind @ (ResponseKind::Json | ResponseKind::Unknown) => {
            let headers = response.headers().clone();
            let mut reading = ResponseBody::new(response, exchange.context.patience().gap);
            match exchange.read_untyped(&url, &mut reading).await? {
                Some(BodyForm::Events) => {
                    let (body, beginning) = reading.into_body();
                    let mut stream = SseStream::new(body, url.into_owned(), status, multiplexed);
                    stream.take(&beginning);
                    return Ok(stream);
                }
                None if kind == ResponseKind::Unknown => {
                    return Err(exchange.unknown_body(&url, &headers, reading).await);
                }
                Some(_) | None => "with JSON instead of a stream",
            }
        }
        ResponseKind::Nothing => "without a stream",
    };
    Err(lost(diagnosis::unusable(&url, status, problem)))
}

/// The outcome of a page that came instead.
async fn page_outcome(
    exchange: &HttpExchange<'_>,
    url: &Url,
    response: reqwest::Response,
) -> ExchangeOutcome {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (body, is_whole) = read_bounded(response, REFUSAL_PATIENCE).await;
    let text = exchange.redact(&printable_part(&body, is_whole));
    let report = diagnosis::page(url, &exchange.facts(status, &headers, None, &text));
    ExchangeOutcome::Lost { written: Written::Maybe, report }
}

/// Whether the bridge hears that the server has taken the message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OpeningReport {
    Sent,
    Omitted,
}

/// POSTs a message until the server has taken it, with other credentials where these are refused.
async fn deliver(
    exchange: &mut HttpExchange<'_>,
    address: &Url,
    opening_report: OpeningReport,
) -> ExchangeOutcome {
    let mut outcome = attempt(exchange, address, opening_report).await;
    while exchange.retry_with_other_credentials(&mut outcome).await {
        outcome = attempt(exchange, address, opening_report).await;
    }
    outcome
}

async fn attempt(
    exchange: &HttpExchange<'_>,
    address: &Url,
    opening_report: OpeningReport,
) -> ExchangeOutcome {
    let outcome = match post_once(exchange, address, opening_report).await {
        Ok(outcome) | Err(outcome) => exchange.redacted(outcome),
    };
    let secrets: Vec<String> = address
        .query_pairs()
        .map(|(_, value)| value.into_owned())
        .filter(|value| value.len() >= SHORTEST_SECRET)
        .collect();
    map_texts(outcome, |text| {
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[session]"))
    })
}

/// POSTs a message. What stands in the body of a 2xx means nothing.
async fn post_once(
    exchange: &HttpExchange<'_>,
    address: &Url,
    opening_report: OpeningReport,
) -> Result<ExchangeOutcome, ExchangeOutcome> {
    notice_closed_connections().await;
    let (url, response) = exchange.request(address).await?;
    let status = response.status().as_u16();
    let media_type = media_type(response.headers());
    let is_page = media_type.as_deref() == Some("text/html");
    match classify(status, media_type.as_deref(), false) {
        ResponseKind::Redirect => return Ok(exchange.refusal(&url, response).await),
        ResponseKind::Refusal => return Ok(with_address(exchange.refusal(&url, response).await, &url)),
        ResponseKind::EventStream | ResponseKind::Json | ResponseKind::Nothing | ResponseKind::Unknown => {}
    }
    let multiplexed = response.version() == http::Version::HTTP_2;
    if is_page {
        // A page is all the same, unless it is the one to sign in at: then the message got nowhere.
        let outcome = page_outcome(exchange, &url, response).await;
        if rejected_by(&outcome).is_some() {
            return Ok(outcome);
        }
    } else {
        if opening_report == OpeningReport::Sent {
            let opening = Opening { status, session: SessionHeader::Absent, multiplexed };
            exchange.events.report(Event::Opened(exchange.id, opening)).await;
        }
        read_bounded(response, LINGER).await;
    }
    exchange.token_accepted().await;
    Ok(ExchangeOutcome::Accepted(status))
}

/// The address of a stream, as long as that lasts.
struct AddressEntry<'a> {
    remote: &'a HttpSse,
    stream: ExchangeId,
}

impl<'a> AddressEntry<'a> {
    fn new(remote: &'a HttpSse, stream: ExchangeId, address: Url) -> AddressEntry<'a> {
        remote.lock().insert(stream, address);
        if remote.context.patience().gap.is_some() {
            let pending = PendingRequests { requests: HashSet::new(), since: Instant::now() };
            remote.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, pending);
        }
        AddressEntry { remote, stream }
    }
}

impl Drop for AddressEntry<'_> {
    fn drop(&mut self) {
        self.remote.lock().remove(&self.stream);
        self.remote.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

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
        let request_credentials = crate::oauth::RequestCredentials::new(provider, None);
        HttpSse::new(&Streamable::new(url, http, request_credentials), Duration::ZERO)
    }

    #[test]
    fn an_address_lasts_as_long_as_its_stream() {
        let remote = remote(Some(Duration::ZERO));
        let url = Url::parse("https://mcp.example.com/m").expect("a URL");
        let named = AddressEntry::new(&remote, ExchangeId(1), url);
        assert!(remote.lock().contains_key(&ExchangeId(1)));
        assert_eq!(remote.pending.lock().expect("no panic").len(), 1);
        drop(named);
        assert!(remote.lock().is_empty());
        assert!(remote.pending.lock().expect("no panic").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_times_out_only_for_pending_requests() {
        const LIMIT: Duration = Duration::from_secs(10);
        let url = Url::parse("https://mcp.example.com/m").expect("a URL");
        let message = |text: &str| Message::parse(text.to_owned().into()).expect("a message");
        let call = Ask::Post(message(r#"{"id":1,"method":"tools/call"}"#));
        let remote = remote(Some(LIMIT));
        let _named = AddressEntry::new(&remote, ExchangeId(1), url.clone());
        // A body that never comes.
        let body = http_body_that_never_comes();
        let mut stream = SseStream::new(Body::new(http::Response::new(body).into()), url, 200, false);
        let mut silent_for =
            async |time| tokio::time::timeout(time, remote.next(ExchangeId(1), &mut stream)).await.is_err();
        assert!(silent_for(LIMIT * 5 / 2).await, "nobody waits");
        remote.note_sent(ExchangeId(1), &call);
        assert!(silent_for(LIMIT - Duration::from_secs(1)).await, "it has only just been asked");
        remote.note_received(ExchangeId(1), &Line::One(message(r#"{"id":1,"result":{}}"#)));
        assert!(silent_for(LIMIT * 2).await, "it was answered");
        remote.note_sent(ExchangeId(1), &call);
        let taken_back = r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#;
        remote.note_sent(ExchangeId(1), &Ask::Post(message(taken_back)));
        assert!(silent_for(LIMIT * 2).await, "it was taken back");
        remote.note_sent(ExchangeId(1), &call);
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
