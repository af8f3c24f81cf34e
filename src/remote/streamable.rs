//! The streamable HTTP transport (2025-11-25, basic/transports): POST, GET and DELETE on one endpoint.
//!
//! An exchange reads its answer, whatever it turns out to be, and reports. Deliberately not here:
//! sessions, order and meaning (the bridge), and the words for a failure (`diagnosis`).

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::ending::{broken, cut, rewritten};
use super::head::{Answer, classify, media_type, retry_after, target};
use super::headers::{SESSION_ID, headers};
use super::parsing::{is_broken_answer, parse_line};
use super::refused::{Proving, is_json_rpc_answer};
use super::send_order::{SendOrder, SendTurn};
use super::sse::{self, Parser};
use super::tracked::Tracked;
use super::{Events, Remote};
use crate::auth::keeper::{InUse, Keeper};
use crate::auth::oauth::{Invitation, OAuth};
use crate::bridge::{
    Ask, Cursor, Ending, Event, ExchangeId, Opening, Outgoing, Refusal, SessionHeader, SessionId, Why,
    Written,
};
use crate::diagnosis::{self, Refused, Token};
use crate::http::body::{Body, is_gzip};
use crate::http::{Http, Patience, notice_closed_connections, transport_error, turn_of_others, within};
use crate::json::flatten;
use crate::jsonrpc::{Kind, Line, MESSAGE_LIMIT, Message};
use crate::redact;

/// How many redirects within the origin are followed.
pub(super) const REDIRECTS: usize = 5;
/// How much room is made for a body before any of it came, in bytes.
const RESERVED: usize = 1024 * 1024;
/// How much of a refusal's body is read, in bytes.
const REFUSAL_LIMIT: usize = 64 * 1024;
/// How long a refusal's body may take; what has come by then has to do.
pub(super) const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);
/// How long a stream may linger after its answer, so that its connection can be used again.
pub(super) const LINGER: Duration = Duration::from_millis(50);

/// A remote server behind a streamable HTTP endpoint.
#[derive(Clone, Debug)]
pub struct Streamable {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) url: Url,
    http: Arc<Http>,
    pub(super) keeper: Keeper,
    /// Of all exchanges with the server, by whichever transport.
    pub(super) order: SendOrder,
}

impl Inner {
    /// How long the server may take to answer.
    pub(super) fn patience(&self) -> Patience {
        self.http.patience
    }
}

impl Streamable {
    /// The server at `url`.
    pub fn new(url: Url, http: impl Into<Arc<Http>>, keeper: Keeper) -> Streamable {
        let inner = Inner { url, http: http.into(), keeper, order: SendOrder::default() };
        Streamable { inner: Arc::new(inner) }
    }

    /// What the other transport needs as well.
    pub(super) fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.inner)
    }
}

impl Remote for Streamable {
    fn start(
        &self,
        exchange: ExchangeId,
        outgoing: Outgoing,
        events: Events,
    ) -> impl Future<Output = ()> + Send + 'static {
        let inner = Arc::clone(&self.inner);
        let turn = inner.order.turn();
        async move {
            let credentials = inner.keeper.current().await;
            let mut exchange = Exchange::new(&inner, exchange, &outgoing, &events, credentials, Some(turn));
            let mut ending = exchange.attempt().await;
            while exchange.again(&mut ending).await {
                ending = exchange.attempt().await;
            }
            events.send(Event::Ended(exchange.id, ending)).await;
        }
    }
}

/// One exchange under way.
pub(super) struct Exchange<'a> {
    pub(super) inner: &'a Inner,
    pub(super) id: ExchangeId,
    pub(super) outgoing: &'a Outgoing,
    pub(super) events: &'a Events,
    pub(super) credentials: InUse,
    /// When its first request may go out; none once it has.
    pub(super) turn: Mutex<Option<SendTurn>>,
    /// What the last refusal says of signing in.
    pub(super) invitation: Mutex<Option<Invitation>>,
    /// What became of a service token that was withheld.
    pub(super) proving: Proving,
    /// How often other credentials have been tried.
    pub(super) others: usize,
    /// How often a person was asked.
    pub(super) sign_ins: usize,
}

impl<'a> Exchange<'a> {
    /// One that has not asked yet. `turn` says when it may.
    pub(super) fn new(
        inner: &'a Inner,
        id: ExchangeId,
        outgoing: &'a Outgoing,
        events: &'a Events,
        credentials: InUse,
        turn: Option<SendTurn>,
    ) -> Exchange<'a> {
        Exchange {
            inner,
            id,
            outgoing,
            events,
            credentials,
            turn: Mutex::new(turn),
            invitation: Mutex::default(),
            proving: Proving::default(),
            others: 0,
            sign_ins: 0,
        }
    }
}

impl Exchange<'_> {
    /// Asks once, with the credentials there are.
    async fn attempt(&self) -> Ending {
        match self.run().await {
            Ok(ending) | Err(ending) => self.scrubbed(ending),
        }
    }

    /// Asks, follows redirects within the origin, and reads the answer. Both sides of the result are the ending; the
    /// error side is for leaving early.
    async fn run(&self) -> Result<Ending, Ending> {
        notice_closed_connections().await;
        let mut url = self.inner.url.clone();
        let mut last = 0;
        for _ in 0..=REDIRECTS {
            let response = self.send(&url).await?;
            let status = response.status().as_u16();
            last = status;
            let media_type = media_type(response.headers());
            match classify(status, media_type.as_deref(), self.awaits_answer()) {
                Answer::Redirect => match target(&url, response.headers()) {
                    Some(target) if target.origin() == url.origin() => url = target,
                    Some(_) | None => return Ok(self.refusal(&url, response).await),
                },
                Answer::Refusal => return Ok(self.refusal(&url, response).await),
                Answer::Nothing => {
                    self.opened(&response).await;
                    bounded(response, LINGER).await;
                    return Ok(Ending::Accepted(status));
                }
                Answer::EventStream => {
                    self.opened(&response).await;
                    return self.stream(&url, response).await;
                }
                // Servers that know no stream answer a GET with a page about themselves, too.
                Answer::Json if matches!(self.outgoing.ask, Ask::Listen { .. }) => {
                    self.json(&url, response).await?;
                    let why = diagnosis::unusable(&url, status, "with JSON instead of a stream");
                    return Ok(Ending::Lost { written: Written::Maybe, why });
                }
                Answer::Json => {
                    self.opened(&response).await;
                    return self.json(&url, response).await;
                }
                Answer::Unknown => {
                    let headers = response.headers().clone();
                    let (body, is_whole) = bounded(response, REFUSAL_PATIENCE).await;
                    let text = self.scrub(&tellable(&body, is_whole));
                    let why = diagnosis::page(&url, &self.facts(status, &headers, None, &text));
                    return Ok(Ending::Lost { written: Written::Maybe, why });
                }
            }
        }
        Ok(Ending::Lost { written: Written::Maybe, why: diagnosis::redirect_loop(&url, last) })
    }

    /// Tells whether this exchange is to bring the answer to a request.
    fn awaits_answer(&self) -> bool {
        match &self.outgoing.ask {
            Ask::Post(message) => matches!(message.kind(), Kind::Request { .. }),
            Ask::Listen { .. } => true,
            Ask::EndSession => false,
        }
    }

    /// Sends the request, the first one when its turn has come, and waits for the head of the answer.
    pub(super) async fn send(&self, url: &Url) -> Result<reqwest::Response, Ending> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(turn) = &mut turn {
            turn.wait().await;
        }
        let mut headers = headers(&self.outgoing.ask, &self.outgoing.facts);
        self.credentials.credentials.decorate(url, &mut headers);
        let (method, text) = match &self.outgoing.ask {
            Ask::Post(message) => (Method::POST, Some(message.text().clone())),
            Ask::Listen { .. } => (Method::GET, None),
            Ask::EndSession => (Method::DELETE, None),
        };
        if let Some(witness) = self.events.witness() {
            let has_cookies = self.inner.http.has_cookies_for(url);
            witness.asked(self.id, &method, url, &headers, has_cookies);
        }
        let written = Arc::new(AtomicBool::new(false));
        let (announce, announced) = oneshot::channel();
        let body = Tracked { text, written: Arc::clone(&written), announce: Some(announce), turn };
        let request = self.inner.http.client().request(method, url.clone()).headers(headers);
        let request = request.body(reqwest::Body::wrap(body));
        let mut answer = std::pin::pin!(request.send());
        let patience = self.inner.patience().head;
        let result = tokio::select! {
            biased;
            // That a request without a body was sent, nobody tells.
            result = within(patience.filter(|_| !matches!(self.outgoing.ask, Ask::Post(_))), &mut answer) => result,
            Ok(()) = announced => {
                self.events.send(Event::Sent(self.id)).await;
                within(patience, answer).await
            }
        };
        let result = result.ok_or_else(|| {
            let why = diagnosis::timed_out(url, diagnosis::HEADERS_TIMEOUT, patience.unwrap_or_default());
            Ending::Lost { written: Written::Maybe, why }
        })?;
        if let (Some(witness), Ok(response)) = (self.events.witness(), &result) {
            let status = response.status().as_u16();
            witness.answered(self.id, response.version(), status, url, response.headers());
        }
        result.map_err(|error| {
            let why = diagnosis::transport(url, &transport_error(&error));
            // A request without a body is written with its head, of which nobody tells.
            let is_written = written.load(Ordering::Relaxed) || !matches!(self.outgoing.ask, Ask::Post(_));
            let written = if is_written { Written::Maybe } else { Written::No };
            Ending::Lost { written, why }
        })
    }

    async fn opened(&self, response: &reqwest::Response) {
        self.token_accepted().await;
        let register = |id: &SessionId| redact::register_issued(id.reveal());
        let session = match response.headers().get(SESSION_ID) {
            None => SessionHeader::Absent,
            Some(value) if value.is_empty() => SessionHeader::Absent,
            Some(value) => match value.to_str().ok().and_then(SessionId::new).inspect(register) {
                Some(id) => SessionHeader::Id(id),
                None => SessionHeader::Unusable,
            },
        };
        let opening = Opening {
            status: response.status().as_u16(),
            session,
            multiplexed: response.version() == http::Version::HTTP_2,
        };
        self.events.send(Event::Opened(self.id, opening)).await;
    }

    /// Reads a body that is one message or a batch.
    async fn json(&self, url: &Url, response: reqwest::Response) -> Result<Ending, Ending> {
        let status = response.status().as_u16();
        let lost = |why| Ending::Lost { written: Written::Maybe, why };
        let announced = response.headers().get(CONTENT_LENGTH).filter(|_| !is_gzip(response.headers()));
        let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        let mut response = Body::new(response);
        // What the server announces is believed up to a point, and as a whole once that much has come.
        let announced: usize = announced.unwrap_or(0).min(MESSAGE_LIMIT);
        let mut body = BytesMut::with_capacity(announced.min(RESERVED));
        let patience = self.inner.patience().gap;
        loop {
            let Some(chunk) = within(patience, response.chunk()).await else {
                return Err(lost(silent(url, status, patience)));
            };
            match chunk {
                Ok(Some(chunk)) if body.len() + chunk.len() > MESSAGE_LIMIT => {
                    return Err(lost(diagnosis::too_large(url, status, MESSAGE_LIMIT)));
                }
                Ok(Some(chunk)) => {
                    let from = body.len();
                    if from + chunk.len() > body.capacity() {
                        body.reserve(announced.saturating_sub(from));
                    }
                    body.extend_from_slice(&chunk);
                    // Now, while it is at hand: a large body has left the caches when it is complete.
                    flatten(body.get_mut(from..).unwrap_or_default());
                }
                Ok(None) => break,
                Err(error) => return Err(lost(broken(url, status, &error))),
            }
        }
        if body.trim_ascii().is_empty() {
            return Err(lost(diagnosis::unusable(url, status, "the body is empty")));
        }
        let line = parse_line(body.freeze()).await;
        if let Line::Invalid(fault) = &line {
            self.events.send_invalid(self.id, fault).await;
            let problem = format!("its body is no JSON-RPC message: {fault}");
            return Err(lost(diagnosis::unusable(url, status, &problem)));
        }
        self.deliver(line).await;
        Ok(Ending::Complete)
    }

    /// Reads a stream of events to its end, or until shortly after the answer.
    async fn stream(&self, url: &Url, response: reqwest::Response) -> Result<Ending, Ending> {
        let status = response.status().as_u16();
        let mut response = Body::new(response);
        let mut parser = Parser::default();
        let mut linger: Option<Instant> = None;
        let patience = self.inner.patience().gap;
        loop {
            let chunk = match linger {
                None => match within(patience, response.chunk()).await {
                    Some(chunk) => chunk,
                    None => return Err(self.silent(silent(url, status, patience))),
                },
                Some(end) => match tokio::time::timeout_at(end, response.chunk()).await {
                    Ok(chunk) => chunk,
                    Err(_) => return Ok(Ending::Complete),
                },
            };
            let chunk = match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(Ending::Complete),
                Err(_) if linger.is_some() => return Ok(Ending::Complete),
                Err(error) => {
                    return Err(cut(url, status, &error));
                }
            };
            let mut events = Vec::new();
            let parsed = parser.push(&chunk, |event| events.push(event));
            for mut event in events {
                let cursor = self.cursor(&mut event);
                if !event.is_message() {
                    self.advance(cursor).await;
                    continue;
                }
                let data = Bytes::from(event.data);
                match parse_line(data.clone()).await {
                    Line::Invalid(fault) => {
                        warn!(exchange = %self.id, %fault, "the server sent an event that is no message");
                        self.events.send_invalid(self.id, &fault).await;
                        if self.awaits_answer() && is_broken_answer(&data, &fault) {
                            let problem = format!("its answer is no JSON-RPC message: {fault}");
                            let why = diagnosis::unusable(url, status, &problem);
                            return Err(Ending::Lost { written: Written::Maybe, why });
                        }
                    }
                    line => {
                        if self.deliver(line).await {
                            linger = Some(Instant::now() + LINGER);
                            turn_of_others().await;
                        }
                    }
                }
                // Only now: what has not been passed on must come again.
                self.advance(cursor).await;
            }
            if parsed.is_err() {
                return Err(Ending::Lost {
                    written: Written::Maybe,
                    why: diagnosis::too_large(url, status, MESSAGE_LIMIT),
                });
            }
        }
    }

    /// The end of a stream in which nothing came for too long: one that somebody waits for is not waited for any more, any
    /// other may be opened again.
    fn silent(&self, why: Why) -> Ending {
        match &self.outgoing.ask {
            Ask::Post(_) | Ask::EndSession | Ask::Listen { after: Some(_) } => {
                Ending::Lost { written: Written::Maybe, why }
            }
            Ask::Listen { after: None } => Ending::Cut(why),
        }
    }

    /// What an event says of its place in the stream. The modern era takes no stream up again.
    fn cursor(&self, event: &mut sse::Event) -> Option<Cursor> {
        let cursor = Cursor { last: event.id.take(), retry: event.retry };
        let says_something = cursor != Cursor::default();
        (says_something && self.outgoing.facts.mirror.is_none()).then_some(cursor)
    }

    async fn advance(&self, cursor: Option<Cursor>) {
        if let Some(cursor) = cursor {
            self.events.send(Event::Cursor(self.id, cursor)).await;
        }
    }

    /// Passes messages on; tells whether the answer to the request was among them.
    pub(super) async fn deliver(&self, line: Line) -> bool {
        let messages = match line {
            Line::One(message) => vec![message],
            Line::Batch(elements) => elements.into_iter().filter_map(Result::ok).collect(),
            Line::Invalid(_) => vec![],
        };
        let mut answered = false;
        for message in messages {
            answered |= self.is_answered_by(&message);
            self.events.send(Event::Server(self.id, message)).await;
        }
        answered
    }

    /// Tells whether a message is the answer to the request of this exchange, as far as the ids tell.
    pub(super) fn is_answered_by(&self, message: &Message) -> bool {
        let Ask::Post(asked) = &self.outgoing.ask else { return false };
        match (asked.kind(), message.kind()) {
            (Kind::Request { id, .. }, Kind::Response { id: answered, .. }) => {
                answered.as_ref().is_none_or(|answered| answered.is_same_value(id))
            }
            _ => false,
        }
    }

    /// Redacts the words about a failure: they may repeat what a server echoed in a body, an address or a media type.
    pub(super) fn scrubbed(&self, ending: Ending) -> Ending {
        rewritten(ending, |text| self.scrub(text))
    }

    /// A foreign text as it may be shown, also without the session's id where that is too short to be looked for
    /// everywhere.
    pub(super) fn scrub(&self, text: &str) -> String {
        let text = redact::foreign_lines(text);
        match &self.outgoing.facts.session {
            Some(session) => text.replace(session.reveal(), &session.to_string()),
            None => text,
        }
    }

    /// Reads what came with a status that is no success.
    pub(super) async fn refusal(&self, url: &Url, response: reqwest::Response) -> Ending {
        let status = response.status();
        let headers = response.headers().clone();
        let location = target(url, &headers);
        let (body, is_whole) = bounded(response, REFUSAL_PATIENCE).await;
        let answer = match Line::parse(flat(&body)) {
            Line::One(message) if is_json_rpc_answer(&message) && !self.echoes_secret(&message) => {
                Some(message)
            }
            Line::One(_) | Line::Batch(_) | Line::Invalid(_) => None,
        };
        // Before an excerpt is cut out of it: half a secret would not be recognised.
        let text = self.scrub(&tellable(&body, is_whole));
        let facts = self.facts(status.as_u16(), &headers, location.as_ref(), &text);
        let why = diagnosis::refused(url, &facts);
        self.note_refusal(url, &facts, &why, answer.is_some()).await;
        *self.invitation.lock().unwrap_or_else(PoisonError::into_inner) = self.invited(url, &facts);
        let retry_after = retry_after(&headers);
        let unprocessed = diagnosis::is_unprocessed(&facts, retry_after.is_some());
        Ending::Refused(Refusal { status: status.as_u16(), answer, retry_after, unprocessed, why })
    }

    /// Returns whether something that only looks like a JSON-RPC error repeats a secret. An error of the protocol reaches the client
    /// as it is; this does not, so that what is shown of it is redacted.
    fn echoes_secret(&self, message: &Message) -> bool {
        let text = std::str::from_utf8(message.text()).unwrap_or_default();
        crate::json::member(text, "jsonrpc").is_none() && matches!(redact::redact(text), Cow::Owned(_))
    }

    /// What there is to explain a refusal by.
    pub(super) fn facts<'f>(
        &'f self,
        status: u16,
        headers: &'f HeaderMap,
        location: Option<&'f Url>,
        body: &'f str,
    ) -> Refused<'f> {
        let token = self.credentials.credentials.service_token();
        let token = token.map(|token| Token {
            id: token.id(),
            secret: token.shown(),
            oddity: token.oddity(),
            header: token.header(),
        });
        let sends_access_token = self.credentials.credentials.sends_access_token();
        let login = self.inner.keeper.sign_in().map(OAuth::login);
        Refused { status, headers, location, body, token, sends_access_token, login }
    }
}

/// Nothing came for too long.
pub(super) fn silent(url: &Url, status: u16, patience: Option<Duration>) -> Why {
    diagnosis::timed_out(url, diagnosis::BODY_TIMEOUT, patience.unwrap_or_default()).with_status(status)
}

/// The beginning of a body, as far as it comes in a given time, and whether that is all of it.
pub(super) async fn bounded(response: reqwest::Response, patience: Duration) -> (Bytes, bool) {
    let mut response = Body::new(response);
    let end = Instant::now() + patience;
    let mut body = BytesMut::new();
    loop {
        match tokio::time::timeout_at(end, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = REFUSAL_LIMIT.saturating_sub(body.len());
                body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if body.len() == REFUSAL_LIMIT {
                    return (body.freeze(), false);
                }
            }
            Ok(Ok(None)) => return (body.freeze(), true),
            Ok(Err(_)) | Err(_) => return (body.freeze(), false),
        }
    }
}

/// What may be told of a body: of one that broke off not the last word, which may be half a secret.
pub(super) fn tellable(body: &[u8], is_whole: bool) -> Cow<'_, str> {
    let end = match is_whole {
        true => body.len(),
        false => body.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1),
    };
    String::from_utf8_lossy(body.get(..end).unwrap_or_default())
}

fn flat(body: &Bytes) -> Bytes {
    let mut text = body.to_vec();
    flatten(&mut text);
    text.into()
}
