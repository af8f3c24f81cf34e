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
use http::header::HeaderMap;
use tokio::sync::oneshot;
use tokio::time::Instant;
use url::Url;

use super::exchange_outcome::rewritten;
use super::head::{Answer, classify, media_type, retry_after, target};
use super::headers::{SESSION_ID, headers};
use super::reading::{Form, Reading};
use super::redirect::next_hop;
use super::refused::{Proving, is_json_rpc_answer};
use super::send_order::{SendOrder, SendTurn};
use super::tracked::Tracked;
use super::waiting::{Stage, Waiting};
use super::{Events, Remote};
use crate::auth::keeper::{InUse, Keeper};
use crate::auth::oauth::{Invitation, OAuth};
use crate::bridge::{
    Ask, ErrorReport, Event, ExchangeId, ExchangeOutcome, Opening, Outgoing, Refusal, SessionHeader,
    SessionId, Written,
};
use crate::diagnosis::{self, Refused, Token};
use crate::http::body::{Body, unknown_encoding};
use crate::http::{Http, Patience, is_unprocessed, notice_closed_connections, transport_error, within};
use crate::json::flatten;
use crate::jsonrpc::{Kind, Line, Message};
use crate::redact;

/// How many redirects within the origin are followed.
pub(super) const REDIRECTS: usize = 5;
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
    /// Of the latest `initialize`, by whichever transport.
    pub(super) waiting: Waiting,
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
        let inner = Inner {
            url,
            http: http.into(),
            keeper,
            order: SendOrder::default(),
            waiting: Waiting::default(),
        };
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
            let outcome = match is_initialize(&outgoing) {
                false => exchange_whole(&inner, exchange, &outgoing, &events, turn).await,
                true => {
                    inner.waiting.set(Stage::Credentials);
                    let whole = exchange_whole(&inner, exchange, &outgoing, &events, turn);
                    Box::pin(inner.waiting.watch(&inner.url, whole)).await
                }
            };
            events.send(Event::Ended(exchange, outcome)).await;
        }
    }
}

/// Carries out an exchange, with other credentials where these are refused.
async fn exchange_whole(
    inner: &Inner,
    exchange: ExchangeId,
    outgoing: &Outgoing,
    events: &Events,
    turn: SendTurn,
) -> ExchangeOutcome {
    let credentials = inner.keeper.current().await;
    let mut exchange = Exchange::new(inner, exchange, outgoing, events, credentials, Some(turn));
    let mut outcome = exchange.attempt().await;
    while exchange.again(&mut outcome).await {
        outcome = exchange.attempt().await;
    }
    outcome
}

/// Returns whether a request POSTs `initialize`.
pub(super) fn is_initialize(outgoing: &Outgoing) -> bool {
    matches!(&outgoing.ask, Ask::Post(message) if message.method() == Some("initialize"))
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
    /// Whether what is told is why a sign-in came to nothing, in place of the server's refusal.
    pub(super) is_sign_in_told: bool,
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
            is_sign_in_told: false,
        }
    }
}

impl Exchange<'_> {
    /// Asks once, with the credentials there are.
    async fn attempt(&self) -> ExchangeOutcome {
        match self.run().await {
            Ok(outcome) | Err(outcome) => self.scrubbed(outcome),
        }
    }

    /// Asks, follows redirects within the origin, and reads the answer. Both sides of the result are the ending; the
    /// error side is for leaving early.
    async fn run(&self) -> Result<ExchangeOutcome, ExchangeOutcome> {
        notice_closed_connections().await;
        let mut url = self.inner.url.clone();
        let mut last = 0;
        for _ in 0..=REDIRECTS {
            let response = self.send(&url).await?;
            let status = response.status().as_u16();
            last = status;
            let media_type = media_type(response.headers());
            let patience = self.inner.patience().gap;
            match classify(status, media_type.as_deref(), self.awaits_answer()) {
                Answer::Redirect => match next_hop(&url, status, response.headers()) {
                    Some(target) => url = target,
                    None => return Ok(self.refusal(&url, response).await),
                },
                Answer::Refusal => return Ok(self.refusal(&url, response).await),
                Answer::Nothing => {
                    self.opened(&response).await;
                    bounded(response, LINGER).await;
                    return Ok(ExchangeOutcome::Accepted(status));
                }
                Answer::EventStream => {
                    let opening = opening(&response);
                    self.token_accepted().await;
                    // The older transport may answer `initialize` with its own stream, which names no session.
                    let may_be_older =
                        is_initialize(self.outgoing) && opening.session == SessionHeader::Absent;
                    let unopened = may_be_older.then_some(opening.clone());
                    if !may_be_older {
                        self.open(opening).await;
                    }
                    return self.read_stream(&url, Reading::new(response, patience), unopened).await;
                }
                Answer::Json if !self.listens() => {
                    self.opened(&response).await;
                    return self.read_json(&url, Reading::new(response, patience)).await;
                }
                Answer::Json | Answer::Unknown => {
                    let (opening, headers) = (opening(&response), response.headers().clone());
                    let mut reading = Reading::new(response, patience);
                    match self.read_untyped(&url, &mut reading).await? {
                        Some(Form::Events) => {
                            self.open(opening).await;
                            return self.read_events(&url, reading, None).await;
                        }
                        Some(Form::Json) if !self.listens() => {
                            self.open(opening).await;
                            return self.json(&url, reading).await;
                        }
                        // Servers that know no stream answer a GET with a page about themselves, too.
                        Some(_) => {
                            self.json(&url, reading).await?;
                            let report = diagnosis::unusable(&url, status, "with JSON instead of a stream");
                            return Ok(ExchangeOutcome::Lost { written: Written::Maybe, report });
                        }
                        None => return Ok(self.other_body(&url, &headers, reading).await),
                    }
                }
            }
        }
        Ok(ExchangeOutcome::Lost { written: Written::Maybe, report: diagnosis::redirect_loop(&url, last) })
    }

    /// What a body is told to be that is neither JSON nor a stream.
    pub(super) async fn other_body(
        &self,
        url: &Url,
        headers: &HeaderMap,
        reading: Reading,
    ) -> ExchangeOutcome {
        let described = reading.described.clone();
        let (body, beginning) = reading.into_body();
        let (body, is_whole) = bounded_body(body, beginning, REFUSAL_PATIENCE).await;
        let report = diagnosis::undecodable_body(url, &described, &body).unwrap_or_else(|| {
            let text = self.scrub(&tellable(&body, is_whole));
            diagnosis::page(url, &self.facts(described.status, headers, None, &text))
        });
        ExchangeOutcome::Lost { written: Written::Maybe, report }
    }

    /// Returns whether this exchange is a stream of its own, by GET.
    fn listens(&self) -> bool {
        matches!(self.outgoing.ask, Ask::Listen { .. })
    }

    /// Notes what an `initialize` waits for.
    pub(super) fn waits_for(&self, stage: Stage) {
        if is_initialize(self.outgoing) {
            self.inner.waiting.set(stage);
        }
    }

    /// Tells whether this exchange is to bring the answer to a request.
    pub(super) fn awaits_answer(&self) -> bool {
        match &self.outgoing.ask {
            Ask::Post(message) => matches!(message.kind(), Kind::Request { .. }),
            Ask::Listen { .. } => true,
            Ask::EndSession => false,
        }
    }

    /// Sends the request, the first one when its turn has come, and waits for the head of the answer.
    pub(super) async fn send(&self, url: &Url) -> Result<reqwest::Response, ExchangeOutcome> {
        self.waits_for(Stage::Connection);
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
                self.waits_for(Stage::Head);
                self.events.send(Event::Sent(self.id)).await;
                within(patience, answer).await
            }
        };
        let result = result.ok_or_else(|| {
            let report = diagnosis::timed_out(url, diagnosis::HEADERS_TIMEOUT, patience.unwrap_or_default());
            ExchangeOutcome::Lost { written: Written::Maybe, report }
        })?;
        self.waits_for(Stage::Answer);
        if let (Some(witness), Ok(response)) = (self.events.witness(), &result) {
            let status = response.status().as_u16();
            witness.answered(self.id, response.version(), status, url, response.headers());
        }
        result.map_err(|error| {
            let report = diagnosis::transport(url, &transport_error(&error));
            // A request without a body is written with its head, of which nobody tells.
            let is_written = written.load(Ordering::Relaxed) || !matches!(self.outgoing.ask, Ask::Post(_));
            let is_unprocessed = is_unprocessed(&error);
            let written = if is_written && !is_unprocessed { Written::Maybe } else { Written::No };
            ExchangeOutcome::Lost { written, report }
        })
    }

    async fn opened(&self, response: &reqwest::Response) {
        self.token_accepted().await;
        self.open(opening(response)).await;
    }

    /// Reports the head of an answer.
    pub(super) async fn open(&self, opening: Opening) {
        self.events.send(Event::Opened(self.id, opening)).await;
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
            if self.is_answered_by(&message) {
                answered = true;
                self.waits_for(Stage::Answered);
            }
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
    pub(super) fn scrubbed(&self, outcome: ExchangeOutcome) -> ExchangeOutcome {
        rewritten(outcome, |text| self.scrub(text))
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
    pub(super) async fn refusal(&self, url: &Url, response: reqwest::Response) -> ExchangeOutcome {
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
        let text = match unknown_encoding(&headers) {
            Some(encoding) if std::str::from_utf8(&body).is_err() => {
                self.scrub(&format!("(in the content encoding \"{encoding}\")"))
            }
            Some(_) | None => self.scrub(&tellable(&body, is_whole)),
        };
        let facts = self.facts(status.as_u16(), &headers, location.as_ref(), &text);
        let report = diagnosis::refused(url, &facts);
        self.note_refusal(url, &facts, &report, answer.is_some()).await;
        *self.invitation.lock().unwrap_or_else(PoisonError::into_inner) = self.invited(url, &facts);
        let retry_after = retry_after(&headers);
        let is_unprocessed = diagnosis::is_unprocessed(&facts, retry_after.is_some());
        let processing = diagnosis::processing(status.as_u16(), report.cause, is_unprocessed);
        ExchangeOutcome::Refused(Refusal { status: status.as_u16(), answer, retry_after, processing, report })
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

/// What the head of a 2xx answer says.
fn opening(response: &reqwest::Response) -> Opening {
    let register = |id: &SessionId| redact::register_issued(id.reveal());
    let session = match response.headers().get(SESSION_ID) {
        None => SessionHeader::Absent,
        Some(value) if value.is_empty() => SessionHeader::Absent,
        Some(value) => match value.to_str().ok().and_then(SessionId::new).inspect(register) {
            Some(id) => SessionHeader::Id(id),
            None => SessionHeader::Unusable,
        },
    };
    let multiplexed = response.version() == http::Version::HTTP_2;
    Opening { status: response.status().as_u16(), session, multiplexed }
}

/// Nothing came for too long.
pub(super) fn silent(url: &Url, status: u16, patience: Option<Duration>) -> ErrorReport {
    diagnosis::timed_out(url, diagnosis::BODY_TIMEOUT, patience.unwrap_or_default()).with_status(status)
}

/// The beginning of a body, as far as it comes in a given time, and whether that is all of it.
pub(super) async fn bounded(response: reqwest::Response, patience: Duration) -> (Bytes, bool) {
    bounded_body(Body::new(response), Bytes::new(), patience).await
}

/// The same of a body of which the beginning was read before.
async fn bounded_body(mut response: Body, beginning: Bytes, patience: Duration) -> (Bytes, bool) {
    let end = Instant::now() + patience;
    let mut body = BytesMut::from(beginning.get(..REFUSAL_LIMIT).unwrap_or(&beginning));
    loop {
        if body.len() >= REFUSAL_LIMIT {
            return (body.freeze(), false);
        }
        match tokio::time::timeout_at(end, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = REFUSAL_LIMIT.saturating_sub(body.len());
                body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
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
