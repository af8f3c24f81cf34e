//! The HTTP+SSE transport (2024-11-05, basic/transports): one stream by GET, whose first event names the address to
//! which every message is POSTed. All that the server says comes on the stream.
//!
//! The exchange of `initialize` is that stream, and lasts as long as the session; every other message is an exchange of
//! its own, over when the server has taken it. Where a message goes and how long its stream lasts is all that is kept
//! here. Deliberately not here: which answer belongs to what, what the end of the stream means and whether another one
//! is opened (the bridge).

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::ending::{cut, rewritten};
use super::head::{Answer, classify, media_type, target};
use super::parsing::{is_broken_answer, parse_line};
use super::refused::refuser;
use super::send_order::SendTurn;
use super::sse::{self, Parser};
use super::streamable::{
    Exchange, Inner, LINGER, REDIRECTS, REFUSAL_PATIENCE, Streamable, bounded, silent, tellable,
};
use super::{Events, Remote};
use crate::bridge::{
    Ask, Ending, Event, ExchangeId, Facts, Failure, Opening, Outgoing, SessionHeader, Via, Why, Written,
};
use crate::diagnosis;
use crate::http::body::Body;
use crate::http::{notice_closed_connections, within};
use crate::jsonrpc::{Id, Kind, Line, MESSAGE_LIMIT, Message};
use crate::redact;

/// How long the head of the stream may take: servers that were asleep need a while.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// The event that names the address.
const ENDPOINT: &str = "endpoint";
/// The longest address for messages, in bytes: servers take no longer one, and each request carries it.
const LONGEST_ADDRESS: usize = 8 * 1024;
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
    async fn next(&self, id: ExchangeId, stream: &mut Stream) -> Result<Option<sse::Event>, Ending> {
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
            let ending = match outgoing.facts.via {
                Via::Stream(stream) => remote.post(exchange, stream, &outgoing, &events, turn).await,
                Via::NewStream | Via::Endpoint => remote.carry(exchange, &outgoing, &events, turn).await,
            };
            events.send(Event::Ended(exchange, ending)).await;
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
    ) -> Ending {
        let Some(address) = self.address(stream) else {
            let why = Why::new(
                Failure::Connection,
                "the stream on which the server answers is gone",
                "look into the server's log",
            );
            return Ending::Lost { written: Written::No, why };
        };
        let credentials = self.inner.keeper.current().await;
        self.asks(stream, &outgoing.ask);
        let mut exchange = Exchange::new(&self.inner, id, outgoing, events, credentials, Some(turn));
        deliver(&mut exchange, &address, Acknowledged::Told).await
    }

    /// Opens a stream, POSTs the message to the address that it names, and passes on what comes until the stream ends.
    async fn carry(&self, id: ExchangeId, outgoing: &Outgoing, events: &Events, turn: SendTurn) -> Ending {
        let listen = Outgoing { ask: Ask::Listen { after: None }, facts: Facts::default() };
        let credentials = self.inner.keeper.current().await;
        let mut get = Exchange::new(&self.inner, id, &listen, events, credentials, Some(turn));
        let mut connected = self.connect(&get).await;
        while let Err(ending) = &mut connected {
            if !get.again(ending).await {
                break;
            }
            connected = self.connect(&get).await;
        }
        let (mut stream, address) = match connected {
            Ok(connected) => connected,
            // The message itself was not sent, whatever became of the GET.
            Err(Ending::Lost { why, .. } | Ending::Cut(why)) => {
                return Ending::Lost { written: Written::No, why };
            }
            Err(ending) => return ending,
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
                ending = &mut delivery, if !delivered => match ending {
                    // A server that has answered has taken the message, whatever it says of that.
                    Ending::Accepted(_) => delivered = true,
                    _ if answered => delivered = true,
                    ending => return ending,
                },
                event = self.next(id, &mut stream) => match event {
                    Ok(Some(event)) if event.event == ENDPOINT => match address_in(&event, &stream.url) {
                        Ok(address) => drop(self.lock().insert(id, address)),
                        Err(why) => warn!(exchange = %id, %why, "the server named another address"),
                    },
                    Ok(Some(event)) => match self.pass_on(&listener, event, &stream).await {
                        Ok(is_answer) => answered |= is_answer,
                        Err(ending) => return listener.scrubbed(ending),
                    },
                    Ok(None) => return Ending::Complete,
                    Err(ending) => return listener.scrubbed(ending),
                },
            }
        }
    }

    /// Passes on what an event brought; tells whether that was the answer to the message of this exchange.
    async fn pass_on(
        &self,
        exchange: &Exchange<'_>,
        event: sse::Event,
        stream: &Stream,
    ) -> Result<bool, Ending> {
        if !event.is_message() {
            return Ok(false);
        }
        let data = Bytes::from(event.data);
        match parse_line(data.clone()).await {
            Line::Invalid(fault) => {
                warn!(exchange = %exchange.id, %fault, "the server sent an event that is no message");
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
    async fn connect(&self, exchange: &Exchange<'_>) -> Result<(Stream, Url), Ending> {
        let result = async {
            let opened = tokio::time::timeout(HEAD_PATIENCE.max(self.patience), open(exchange)).await;
            let mut stream = opened.map_err(|_| {
                lost(Why::new(
                    Failure::NoAnswer,
                    format!(
                        "{} did not begin the stream of HTTP+SSE in time",
                        diagnosis::place(&self.inner.url)
                    ),
                    "look into the server's log",
                ))
            })??;
            let named = tokio::time::timeout(self.patience, self.first_event(&mut stream)).await;
            let address = named.map_err(|_| {
                let sentence = format!(
                    "{} began a stream, but did not name the address for messages within {} seconds (HTTP+SSE)",
                    diagnosis::place(&stream.url),
                    self.patience.as_secs()
                );
                let advice = "check that the URL is the server's SSE endpoint (often /sse); --connect-timeout allows for longer";
                lost(Why::new(Failure::NoAnswer, sentence, advice).with_status(stream.status))
            })??;
            Ok((stream, address))
        };
        result.await.map_err(|ending| exchange.scrubbed(ending))
    }

    /// The address in the first event.
    async fn first_event(&self, stream: &mut Stream) -> Result<Url, Ending> {
        loop {
            let problem = match stream.next().await? {
                Some(event) if event.event == ENDPOINT => {
                    return address_in(&event, &stream.url).map_err(|why| lost(*why));
                }
                Some(event) if event.is_message() => "with a message before the address (HTTP+SSE)",
                // A sign of life.
                Some(_) => continue,
                None => "ended the stream before it named the address for messages (HTTP+SSE)",
            };
            return Err(lost(diagnosis::unusable(&stream.url, stream.status, problem)));
        }
    }
}

/// A stream that has begun.
struct Stream {
    response: Body,
    /// Where it came from, behind the redirects.
    url: Url,
    status: u16,
    multiplexed: bool,
    parser: Parser,
    /// What was read but not asked for yet.
    events: VecDeque<sse::Event>,
    is_too_large: bool,
}

impl Stream {
    /// The next event; none at the end. Nothing is lost if this is dropped.
    async fn next(&mut self) -> Result<Option<sse::Event>, Ending> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.is_too_large {
                return Err(lost(diagnosis::too_large(&self.url, self.status, MESSAGE_LIMIT)));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => {
                    let events = &mut self.events;
                    self.is_too_large = self.parser.push(&chunk, |event| events.push_back(event)).is_err();
                }
                Ok(None) => return Ok(None),
                Err(error) => return Err(cut(&self.url, self.status, &error)),
            }
        }
    }
}

/// The address for messages, as an event names it: relative to where the stream came from, and of its origin.
fn address_in(event: &sse::Event, url: &Url) -> Result<Url, Box<Why>> {
    let place = diagnosis::place(url);
    let advice = "look at how the server makes the address in its `endpoint` event";
    let unusable =
        |problem: &str| Box::new(Why::new(Failure::Endpoint, format!("{place} named {problem}"), advice));
    let text = std::str::from_utf8(&event.data).map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Err(unusable("no address for messages"));
    }
    if text.len() > LONGEST_ADDRESS {
        return Err(unusable(&format!(
            "an address for messages that is longer than {} KiB",
            LONGEST_ADDRESS / 1024
        )));
    }
    let mut address = url.join(text).map_err(|_| unusable("an address for messages that is none"))?;
    if address.origin() != url.origin() {
        let (theirs, ours) = (address.origin().ascii_serialization(), url.origin().ascii_serialization());
        let sentence = format!(
            "the stream of {ours} wants messages sent to {theirs}, which is another origin: credentials are not sent there"
        );
        let advice = "have the server name a relative address, or the one it is reached by (behind a proxy: X-Forwarded-Proto and -Host)";
        return Err(Box::new(Why::new(Failure::Endpoint, sentence, advice)));
    }
    // Whoever has the session's id, which stands in there, can act in the session.
    address.query_pairs().for_each(|(_, value)| redact::register_session(&value));
    address.set_fragment(None);
    // Whoever we are is said by the credentials alone. Neither can fail where there is a host.
    let _ = (address.set_username(""), address.set_password(None));
    Ok(address)
}

/// GETs the stream.
async fn open(exchange: &Exchange<'_>) -> Result<Stream, Ending> {
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
                let (parser, events) = (Parser::default(), VecDeque::new());
                return Ok(Stream {
                    response: Body::new(response),
                    url,
                    status,
                    multiplexed,
                    parser,
                    events,
                    is_too_large: false,
                });
            }
            Answer::Redirect => match target(&url, response.headers()) {
                Some(target) if target.origin() == url.origin() => {
                    url = target;
                    continue;
                }
                Some(_) | None => return Err(exchange.refusal(&url, response).await),
            },
            Answer::Refusal => return Err(exchange.refusal(&url, response).await),
            Answer::Unknown => return Err(page(exchange, &url, response).await),
            Answer::Json => "with JSON instead of a stream",
            Answer::Nothing => "without a stream",
        };
        return Err(lost(diagnosis::unusable(&url, status, problem)));
    }
    Err(lost(diagnosis::redirect_loop(&url, last)))
}

/// A page that came instead.
async fn page(exchange: &Exchange<'_>, url: &Url, response: reqwest::Response) -> Ending {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (body, is_whole) = bounded(response, REFUSAL_PATIENCE).await;
    let text = exchange.scrub(&tellable(&body, is_whole));
    let why = diagnosis::page(url, &exchange.facts(status, &headers, None, &text));
    Ending::Lost { written: Written::Maybe, why }
}

/// Whether the bridge hears that the server has taken the message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acknowledged {
    Told,
    Untold,
}

/// POSTs a message until the server has taken it, with other credentials where these are refused.
async fn deliver(exchange: &mut Exchange<'_>, address: &Url, acknowledged: Acknowledged) -> Ending {
    let mut ending = attempt(exchange, address, acknowledged).await;
    while exchange.again(&mut ending).await {
        ending = attempt(exchange, address, acknowledged).await;
    }
    ending
}

async fn attempt(exchange: &Exchange<'_>, address: &Url, acknowledged: Acknowledged) -> Ending {
    let ending = match post_once(exchange, address, acknowledged).await {
        Ok(ending) | Err(ending) => exchange.scrubbed(ending),
    };
    let secrets: Vec<String> = address
        .query_pairs()
        .map(|(_, value)| value.into_owned())
        .filter(|value| value.len() >= SHORTEST_SECRET)
        .collect();
    rewritten(ending, |text| {
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[session]"))
    })
}

/// POSTs a message. What stands in the body of a 2xx means nothing.
async fn post_once(
    exchange: &Exchange<'_>,
    address: &Url,
    acknowledged: Acknowledged,
) -> Result<Ending, Ending> {
    notice_closed_connections().await;
    let mut url = address.clone();
    let mut last = 0;
    for _ in 0..=REDIRECTS {
        let response = exchange.send(&url).await?;
        let status = response.status().as_u16();
        last = status;
        let media_type = media_type(response.headers());
        match classify(status, media_type.as_deref(), false) {
            Answer::Redirect => match target(&url, response.headers()) {
                Some(target) if target.origin() == url.origin() => url = target,
                Some(_) | None => return Ok(exchange.refusal(&url, response).await),
            },
            Answer::Refusal => return Ok(exchange.refusal(&url, response).await),
            Answer::EventStream | Answer::Json | Answer::Nothing | Answer::Unknown => {
                let multiplexed = response.version() == http::Version::HTTP_2;
                if media_type.as_deref() == Some("text/html") {
                    // A page is all the same, unless it is the one to sign in at: then the message got nowhere.
                    let ending = page(exchange, &url, response).await;
                    if refuser(&ending).is_some() {
                        return Ok(ending);
                    }
                } else if acknowledged == Acknowledged::Untold {
                    bounded(response, LINGER).await;
                } else {
                    let opening = Opening { status, session: SessionHeader::Absent, multiplexed };
                    exchange.events.send(Event::Opened(exchange.id, opening)).await;
                    bounded(response, LINGER).await;
                }
                exchange.token_accepted().await;
                return Ok(Ending::Accepted(status));
            }
        }
    }
    Ok(Ending::Lost { written: Written::Maybe, why: diagnosis::redirect_loop(&url, last) })
}

fn lost(why: Why) -> Ending {
    Ending::Lost { written: Written::Maybe, why }
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

    fn address(data: &str) -> Result<String, String> {
        let event = sse::Event { event: ENDPOINT.to_owned(), data: data.into(), ..sse::Event::default() };
        let url = Url::parse("https://mcp.example.com/deep/sse?key=1").expect("a URL");
        address_in(&event, &url).map(String::from).map_err(|why| why.sentence)
    }

    #[test]
    fn an_address_is_relative_to_its_stream() {
        for (data, expected) in [
            ("/messages?s=1", "https://mcp.example.com/messages?s=1"),
            ("messages", "https://mcp.example.com/deep/messages"),
            ("?s=1", "https://mcp.example.com/deep/sse?s=1"),
            (" ./a/../b ", "https://mcp.example.com/deep/b"),
            ("//mcp.example.com/m", "https://mcp.example.com/m"),
            ("https://mcp.example.com:443/m#part", "https://mcp.example.com/m"),
            ("https://name:word@mcp.example.com/m", "https://mcp.example.com/m"),
            ("HTTPS://MCP.Example.COM/m", "https://mcp.example.com/m"),
        ] {
            assert_eq!(address(data).as_deref(), Ok(expected), "{data}");
        }
    }

    #[test]
    fn an_address_of_another_origin_is_none() {
        for data in [
            "http://mcp.example.com/m",
            "https://mcp.example.com:8443/m",
            "https://example.com/m",
            "https://mcp.example.com.evil.test/m",
            "https://mcp.example.com@evil.test/m",
            "//evil.test/m",
            "\\\\evil.test/m",
            "data:text/plain,x",
            "javascript:1",
        ] {
            let sentence = address(data).expect_err(data);
            assert!(sentence.contains("another origin"), "{data}: {sentence}");
        }
        for (data, expected) in [
            ("", "no address"),
            (" \t", "no address"),
            ("https://", "that is none"),
            ("http://[", "that is none"),
        ] {
            assert!(address(data).expect_err(data).contains(expected), "{data}");
        }
        let long = address(&format!("/m?session={}", "a1".repeat(LONGEST_ADDRESS / 2)));
        assert!(long.expect_err("too long").contains("longer than 8 KiB"));
        let kept = format!("/m?session={}", "b2".repeat(1000));
        assert!(address(&kept).is_ok());
        let text = format!("{} {}", "a1".repeat(LONGEST_ADDRESS / 2), "b2".repeat(1000));
        assert!(redact::redact(&text).ends_with("a1 [secret]"), "what is not used is not registered");
        let event = sse::Event { data: b"/m\xff".to_vec(), ..sse::Event::default() };
        let url = Url::parse("https://mcp.example.com/sse").expect("a URL");
        assert!(address_in(&event, &url).is_err(), "no UTF-8");
    }

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
        let keeper = crate::auth::keeper::Keeper::fixed(credentials);
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
        let mut stream = Stream {
            response: Body::new(http::Response::new(body).into()),
            url,
            status: 200,
            multiplexed: false,
            parser: Parser::default(),
            events: VecDeque::new(),
            is_too_large: false,
        };
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
