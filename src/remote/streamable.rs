//! The streamable HTTP transport (2025-11-25, basic/transports): POST, GET and DELETE on one endpoint.
//!
//! An exchange reads its response, in whatever form it comes, and reports. Deliberately not here:
//! sessions, order and meaning (the bridge), and the words for a failure (`diagnosis`).

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::HeaderMap;
use tokio::time::Instant;
use url::Url;

use super::credential_retry::{ProofAttempts, is_json_rpc_answer};
use super::exchange_outcome::{lost, map_texts};
use super::initialize_progress::{InitializeProgress, InitializeStage};
use super::request_body::{RequestBody, RequestProgress};
use super::request_headers::{SESSION_ID, headers};
use super::response_body::{BodyForm, ResponseBody};
use super::response_head::{ResponseKind, classify, media_type, retry_after};
use super::send_order::{SendOrder, SendTurn};
use super::{EventSender, Remote};
use crate::bridge::{
    Ask, ErrorReport, Event, ExchangeId, ExchangeOutcome, Opening, Outgoing, Refusal, SessionHeader,
    SessionId, Written,
};
use crate::diagnosis::{self, RefusalFacts, Token};
use crate::http::body::{Body, unknown_encoding};
use crate::http::redirect::{self, Followed, RedirectPolicy, SendRequest};
use crate::http::{Http, Patience, is_unprocessed, notice_closed_connections, within};
use crate::json::replace_line_breaks;
use crate::jsonrpc::{Kind, Line, Message};
use crate::mcp::method;
use crate::oauth::{OAuth, RequestCredentials, RequestSnapshot, SignInChallenge};
use crate::redact;

/// How much of a refusal's body is read, in bytes.
const REFUSAL_LIMIT: usize = 64 * 1024;
/// How long a refusal's body may take; what has come by then has to do.
pub(super) const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);
/// How long a stream may linger after its answer, so that its connection can be used again.
pub(super) const LINGER: Duration = Duration::from_millis(50);

/// A remote server behind a streamable HTTP endpoint.
#[derive(Clone, Debug)]
pub struct Streamable {
    context: Arc<RemoteContext>,
}

#[derive(Debug)]
pub(super) struct RemoteContext {
    pub(super) url: Url,
    http: Arc<Http>,
    pub(super) request_credentials: RequestCredentials,
    /// Of all exchanges with the server, by whichever transport.
    pub(super) order: SendOrder,
    /// Of the latest `initialize`, by whichever transport.
    pub(super) progress: InitializeProgress,
}

impl RemoteContext {
    /// How long the server may take to answer.
    pub(super) fn patience(&self) -> Patience {
        self.http.patience
    }
}

impl Streamable {
    /// The server at `url`.
    pub fn new(url: Url, http: impl Into<Arc<Http>>, request_credentials: RequestCredentials) -> Streamable {
        let context = RemoteContext {
            url,
            http: http.into(),
            request_credentials,
            order: SendOrder::default(),
            progress: InitializeProgress::default(),
        };
        Streamable { context: Arc::new(context) }
    }

    /// What the other transport needs as well.
    pub(super) fn context(&self) -> Arc<RemoteContext> {
        Arc::clone(&self.context)
    }
}

impl Remote for Streamable {
    fn start(
        &self,
        exchange: ExchangeId,
        outgoing: Outgoing,
        events: EventSender,
    ) -> impl Future<Output = ()> + Send + 'static {
        let context = Arc::clone(&self.context);
        let turn = context.order.turn();
        async move {
            let outcome = match is_initialize(&outgoing) {
                false => exchange_whole(&context, exchange, &outgoing, &events, turn).await,
                true => {
                    context.progress.set(InitializeStage::Credentials);
                    let whole = exchange_whole(&context, exchange, &outgoing, &events, turn);
                    Box::pin(context.progress.watch(&context.url, whole)).await
                }
            };
            events.report(Event::Ended(exchange, outcome)).await;
        }
    }
}

/// Carries out an exchange, with other credentials where these are refused.
async fn exchange_whole(
    context: &RemoteContext,
    exchange: ExchangeId,
    outgoing: &Outgoing,
    events: &EventSender,
    turn: SendTurn,
) -> ExchangeOutcome {
    let credentials = context.request_credentials.current().await;
    let mut exchange = HttpExchange::new(context, exchange, outgoing, events, credentials, Some(turn));
    let mut outcome = exchange.attempt().await;
    while exchange.retry_with_other_credentials(&mut outcome).await {
        outcome = exchange.attempt().await;
    }
    outcome
}

/// Returns whether a request POSTs `initialize`.
pub(super) fn is_initialize(outgoing: &Outgoing) -> bool {
    matches!(&outgoing.ask, Ask::Post(message) if message.method() == Some(method::INITIALIZE))
}

/// One exchange under way.
pub(super) struct HttpExchange<'a> {
    pub(super) context: &'a RemoteContext,
    pub(super) id: ExchangeId,
    pub(super) outgoing: &'a Outgoing,
    pub(super) events: &'a EventSender,
    /// Whether it POSTs `initialize`.
    pub(super) is_initialize: bool,
    pub(super) credentials: RequestSnapshot,
    /// When its first request may go out; none once it has.
    pub(super) turn: Mutex<Option<SendTurn>>,
    /// What the last refusal says of signing in.
    pub(super) challenge: Mutex<Option<SignInChallenge>>,
    /// What became of a service token that was withheld.
    pub(super) proof_attempts: ProofAttempts,
    /// How often other credentials have been tried.
    pub(super) credential_changes: usize,
    /// How often the user was asked to sign in.
    pub(super) sign_ins: usize,
    /// Whether the outcome explains why a sign-in failed, in place of the server's refusal.
    pub(super) reports_sign_in: bool,
}

impl<'a> HttpExchange<'a> {
    /// An exchange that has sent nothing yet. `turn` says when it may.
    pub(super) fn new(
        context: &'a RemoteContext,
        id: ExchangeId,
        outgoing: &'a Outgoing,
        events: &'a EventSender,
        credentials: RequestSnapshot,
        turn: Option<SendTurn>,
    ) -> HttpExchange<'a> {
        HttpExchange {
            context,
            id,
            outgoing,
            events,
            is_initialize: is_initialize(outgoing),
            credentials,
            turn: Mutex::new(turn),
            challenge: Mutex::default(),
            proof_attempts: ProofAttempts::default(),
            credential_changes: 0,
            sign_ins: 0,
            reports_sign_in: false,
        }
    }
}

impl HttpExchange<'_> {
    /// Sends the request once, with the credentials there are.
    async fn attempt(&self) -> ExchangeOutcome {
        match self.run().await {
            Ok(outcome) | Err(outcome) => self.redacted(outcome),
        }
    }

    /// Sends the request, follows redirects, and reads the response. Both sides of the result are the outcome; the error side
    /// is for leaving early.
    async fn run(&self) -> Result<ExchangeOutcome, ExchangeOutcome> {
        notice_closed_connections().await;
        let (url, response) = self.request(&self.context.url).await?;
        let status = response.status().as_u16();
        let kind = classify(status, media_type(response.headers()).as_deref(), self.awaits_answer());
        let patience = self.context.patience().gap;
        match kind {
            // What is not the response to a call is boxed, so that the future of a call is small: it is moved several times.
            ResponseKind::Redirect | ResponseKind::Refusal => {
                Ok(Box::pin(self.refusal(&url, response)).await)
            }
            ResponseKind::Nothing => {
                self.report_opening_of(&response).await;
                Box::pin(read_bounded(response, LINGER)).await;
                Ok(ExchangeOutcome::Accepted(status))
            }
            ResponseKind::EventStream => {
                let opening = opening(&response);
                self.token_accepted().await;
                // The older transport may answer `initialize` with its own stream, which names no session.
                let may_be_older = self.is_initialize && opening.session == SessionHeader::Absent;
                let unopened = may_be_older.then_some(opening.clone());
                if !may_be_older {
                    self.report_opening(opening).await;
                }
                Box::pin(self.read_stream(&url, ResponseBody::new(response, patience), unopened)).await
            }
            ResponseKind::Json if !self.is_listening() => {
                self.report_opening_of(&response).await;
                self.read_json(&url, &mut ResponseBody::new(response, patience)).await
            }
            ResponseKind::Json | ResponseKind::Unknown => Box::pin(self.read_unknown(&url, response)).await,
        }
    }

    /// Reads a body whose media type does not say what it is, or says JSON where a stream is due.
    async fn read_unknown(
        &self,
        url: &Url,
        response: reqwest::Response,
    ) -> Result<ExchangeOutcome, ExchangeOutcome> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let opening = opening(&response);
        let mut reading = ResponseBody::new(response, self.context.patience().gap);
        match self.read_untyped(url, &mut reading).await? {
            Some(BodyForm::Events) => {
                self.report_opening(opening).await;
                self.read_events(url, &mut reading, None).await
            }
            Some(BodyForm::Json) if !self.is_listening() => {
                self.report_opening(opening).await;
                self.json(url, &mut reading).await
            }
            // Servers that know no stream answer a GET with a page about themselves, too.
            Some(_) => {
                self.json(url, &mut reading).await?;
                Ok(lost(diagnosis::unusable(url, status, "with JSON instead of a stream")))
            }
            None => Ok(self.unknown_body(url, &headers, reading).await),
        }
    }

    /// Sends the request to `start` and follows redirects. Returns the response and the address that sent it.
    pub(super) async fn request<'start>(
        &self,
        start: &'start Url,
    ) -> Result<(Cow<'start, Url>, reqwest::Response), ExchangeOutcome> {
        match redirect::follow(self, start, RedirectPolicy::Message).await? {
            Followed::Response { url, response } => Ok((url, response)),
            Followed::TooMany { url, status } => Err(lost(diagnosis::redirect_loop(&url, status))),
        }
    }

    /// The outcome of a body that is neither JSON nor a stream.
    pub(super) async fn unknown_body(
        &self,
        url: &Url,
        headers: &HeaderMap,
        reading: ResponseBody,
    ) -> ExchangeOutcome {
        let description = reading.description.clone();
        let (body, beginning) = reading.into_body();
        let (body, is_whole) = read_bounded_body(body, beginning, REFUSAL_PATIENCE).await;
        let report = diagnosis::undecodable_body(url, &description, &body).unwrap_or_else(|| {
            let text = self.redact(&printable_part(&body, is_whole));
            diagnosis::page(url, &self.facts(description.status, headers, None, &text))
        });
        ExchangeOutcome::Lost { written: Written::Maybe, report }
    }

    /// Returns whether this exchange is a stream of its own, by GET.
    fn is_listening(&self) -> bool {
        matches!(self.outgoing.ask, Ask::Listen { .. })
    }

    /// Notes what an `initialize` waits for.
    pub(super) fn note_stage(&self, stage: InitializeStage) {
        if self.is_initialize {
            self.context.progress.set(stage);
        }
    }

    /// Returns whether this exchange is to bring the answer to a request.
    pub(super) fn awaits_answer(&self) -> bool {
        match &self.outgoing.ask {
            Ask::Post(message) => matches!(message.kind(), Kind::Request { .. }),
            Ask::Listen { .. } => true,
            Ask::EndSession => false,
        }
    }

    /// Sends the request, the first one when its turn has come, and waits for the head of the answer.
    async fn send(&self, url: &Url) -> Result<reqwest::Response, ExchangeOutcome> {
        self.note_stage(InitializeStage::Connection);
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(turn) = &mut turn {
            turn.wait().await;
        }
        let mut headers = headers(&self.outgoing.ask, &self.outgoing.facts);
        let (method, text) = match &self.outgoing.ask {
            Ask::Post(message) => (Method::POST, Some(message.text().clone())),
            Ask::Listen { .. } => (Method::GET, None),
            Ask::EndSession => (Method::DELETE, None),
        };
        self.credentials.credentials.decorate(&method, url, &mut headers);
        if let Some(witness) = self.events.witness() {
            let has_cookies = self.context.http.has_cookies_for(url);
            witness.asked(&method, url, &headers, has_cookies);
        }
        let patience = self.context.patience().head;
        // Where nothing else begins with it, the connection itself reports that it has the request.
        let is_awaited = patience.is_some() || self.is_initialize;
        let reports_to = (!is_awaited).then(|| (self.events.clone(), self.id));
        let progress = RequestProgress::default();
        let body = RequestBody::new(text, &progress, reports_to, turn);
        let client = self.context.http.client();
        let mut answer = std::pin::pin!(client.send_whole(method, url, headers, reqwest::Body::wrap(body)));
        let result = tokio::select! {
            biased;
            // The connection does not report that a request without a body was sent.
            result = within(patience.filter(|_| !matches!(self.outgoing.ask, Ask::Post(_))), &mut answer) => result,
            () = progress.unreported() => {
                self.note_stage(InitializeStage::Head);
                self.events.report(Event::Sent(self.id)).await;
                within(patience, answer).await
            }
        };
        let result = result.ok_or_else(|| {
            let report = diagnosis::timed_out(url, diagnosis::HEADERS_TIMEOUT, patience.unwrap_or_default());
            lost(report)
        })?;
        self.note_stage(InitializeStage::Answer);
        if let (Some(witness), Ok(response)) = (self.events.witness(), &result) {
            let status = response.status().as_u16();
            witness.answered(self.id, response.version(), status, url, response.headers());
        }
        result.map_err(|error| {
            let report = diagnosis::transport(url, &self.context.http.transport_error(url, &error));
            // A request without a body is written with its head, which the connection does not report.
            let is_written = progress.is_written() || !matches!(self.outgoing.ask, Ask::Post(_));
            let is_unprocessed = is_unprocessed(&error);
            let written = if is_written && !is_unprocessed { Written::Maybe } else { Written::No };
            ExchangeOutcome::Lost { written, report }
        })
    }

    async fn report_opening_of(&self, response: &reqwest::Response) {
        self.token_accepted().await;
        self.report_opening(opening(response)).await;
    }

    /// Reports the head of an answer.
    pub(super) async fn report_opening(&self, opening: Opening) {
        self.events.report(Event::Opened(self.id, opening)).await;
    }

    /// Redacts the words about a failure: they may repeat what a server echoed in a body, an address or a media type.
    pub(super) fn redacted(&self, outcome: ExchangeOutcome) -> ExchangeOutcome {
        map_texts(outcome, |text| self.redact(text))
    }

    /// A foreign text as it may be shown, also without the session's id where that is too short to be looked for
    /// everywhere.
    pub(super) fn redact(&self, text: &str) -> String {
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
        let location = redirect::target(url, &headers);
        let (body, is_whole) = read_bounded(response, REFUSAL_PATIENCE).await;
        let answer = match Line::parse(without_line_breaks(&body)) {
            Line::One(message) if is_json_rpc_answer(&message) && !self.echoes_secret(&message) => {
                Some(message)
            }
            Line::One(_) | Line::Batch(_) | Line::Invalid(_) => None,
        };
        // Before an excerpt is cut out of it: half a secret would not be recognised.
        let text = match unknown_encoding(&headers) {
            Some(encoding) if std::str::from_utf8(&body).is_err() => {
                self.redact(&format!("(in the content encoding \"{encoding}\")"))
            }
            Some(_) | None => self.redact(&printable_part(&body, is_whole)),
        };
        let facts = self.facts(status.as_u16(), &headers, location.as_ref(), &text);
        let report = diagnosis::refused(url, &facts);
        self.note_refusal(url, &facts, &report, answer.is_some()).await;
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = self.sign_in_challenge(url, &facts);
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
    ) -> RefusalFacts<'f> {
        let token = self.credentials.credentials.service_token();
        let token = token.map(|token| Token {
            id: token.id(),
            secret: token.shown(),
            oddity: token.oddity(),
            header: token.header(),
        });
        let sends_access_token = self.credentials.credentials.sends_access_token();
        let login = self.context.request_credentials.sign_in().map(OAuth::login);
        RefusalFacts { status, headers, location, body, token, sends_access_token, login }
    }
}

impl SendRequest for HttpExchange<'_> {
    type Response = reqwest::Response;
    type Error = ExchangeOutcome;

    /// Sends the request, once more where its proof has to hold a nonce that the server has only now named.
    async fn send_request(&self, url: &Url) -> Result<reqwest::Response, ExchangeOutcome> {
        let credentials = &self.credentials.credentials;
        let response = self.send(url).await?;
        if !credentials.note_response(url, response.status(), response.headers()) {
            return Ok(response);
        }
        // The server has not processed the request. Its connection can be used again.
        Box::pin(read_bounded(response, LINGER)).await;
        let response = self.send(url).await?;
        credentials.note_response(url, response.status(), response.headers());
        Ok(response)
    }
}

/// What the head of a 2xx answer says.
fn opening(response: &reqwest::Response) -> Opening {
    let register = |id: &SessionId| redact::register_issued(id.reveal());
    let session = match response.headers().get(&SESSION_ID) {
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

/// The report for a body that was silent for too long.
pub(super) fn silence_report(url: &Url, status: u16, patience: Option<Duration>) -> ErrorReport {
    diagnosis::timed_out(url, diagnosis::BODY_TIMEOUT, patience.unwrap_or_default()).with_status(status)
}

/// The beginning of a body, as far as it comes in a given time, and whether that is all of it.
pub(super) async fn read_bounded(response: reqwest::Response, patience: Duration) -> (Bytes, bool) {
    read_bounded_body(Body::new(response), Bytes::new(), patience).await
}

/// The same of a body of which the beginning was read before.
async fn read_bounded_body(mut response: Body, beginning: Bytes, patience: Duration) -> (Bytes, bool) {
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

/// The part of a body that may be shown: without the last word of a body that broke off, which may be half a secret.
pub(super) fn printable_part(body: &[u8], is_whole: bool) -> Cow<'_, str> {
    let end = match is_whole {
        true => body.len(),
        false => body.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1),
    };
    String::from_utf8_lossy(body.get(..end).unwrap_or_default())
}

fn without_line_breaks(body: &Bytes) -> Bytes {
    let mut text = body.to_vec();
    replace_line_breaks(&mut text);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Credentials;
    use crate::auth::credential_provider::CredentialProvider;
    use crate::bridge::Facts;
    use crate::http::{Family, Settings};
    use crate::remote::HttpRemote;
    use crate::tls::Trust;

    #[test]
    fn future_of_a_call_is_small() {
        let url: Url = "http://127.0.0.1:1/mcp".parse().expect("a URL");
        let settings = Settings {
            connect_timeout: None,
            patience: Patience::default(),
            trust: Trust::default(),
            proxy: None,
            family: Family::Any,
            cookies: true,
            inspect: false,
        };
        let http = Http::new(&url, settings).expect("a client");
        let provider = CredentialProvider::fixed(Credentials::new(&url, Vec::new()));
        let streamable = Streamable::new(url, http, RequestCredentials::new(provider, None));
        let call = || {
            let message = Message::parse(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#.into());
            Outgoing { ask: Ask::Post(message.expect("a message")), facts: Facts::default() }
        };
        let (events, _received) = EventSender::channel(1);
        let size = size_of_val(&streamable.start(ExchangeId(1), call(), events.clone()));
        assert!(size <= 3000, "{size}: what is not the response to a call belongs in a box");
        let remote = HttpRemote::new(streamable, Duration::ZERO);
        let size = size_of_val(&remote.start(ExchangeId(2), call(), events));
        assert!(size <= 16, "{size}");
    }
}
