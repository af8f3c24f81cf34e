//! What happens to the bridge and what it asks for: plain data, each with a one-line `Display`.
//!
//! Events and actions carry no credential, so that a recorded session can be attached to a bug report. Deliberately not
//! here: decisions (the bridge) and where the facts of a failure come from (`remote`, by way of `diagnosis`).

use std::fmt::{self, Write};
use std::time::Duration;

use super::Known;
use super::error_report::{ErrorKind, ErrorReport};
use super::revision::Era;
use crate::json;
use crate::jsonrpc::{Fault, Line, Message};

/// One HTTP request and its whole answer. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The value of `Mcp-Session-Id`: anyone who has it can act in the session, so that it prints shortened.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// The longest that is sent back, in bytes: servers take no longer header.
    const LONGEST: usize = 8 * 1024;

    /// Takes an id made of visible ASCII, which is all that the specification allows
    /// (2025-11-25, basic/transports, session management).
    pub fn new(value: &str) -> Option<SessionId> {
        let is_sendable = !value.is_empty() && value.len() <= SessionId::LONGEST;
        let visible = is_sendable && value.bytes().all(|byte| byte.is_ascii_graphic());
        visible.then(|| SessionId(value.to_owned()))
    }

    /// The id itself, for the header.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.0.len() < 16 { 1 } else { 4 };
        self.0.chars().take(shown).try_for_each(|letter| f.write_char(letter))?;
        f.write_char('…')
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An input of the bridge.
#[derive(Debug)]
pub enum Event {
    /// The client wrote a line.
    Client(Line),
    /// The client closed its side; it may still read ours.
    ClientClosed,
    /// The process is to end now.
    Stop(StopReason),
    /// The whole request was handed to the connection: the server may have it.
    Sent(ExchangeId),
    /// The head of a successful answer came.
    Opened(ExchangeId, Opening),
    /// The server said something in this exchange.
    Server(ExchangeId, Message),
    /// The server sent a batch in this exchange that is refused as a whole; the requests in it need answers
    /// ([`Fault::requests`]).
    ServerInvalid(ExchangeId, Fault),
    /// The stream of this exchange can be resumed from here.
    Cursor(ExchangeId, Cursor),
    /// The exchange is over. Always the last event of an exchange.
    Ended(ExchangeId, ExchangeOutcome),
}

/// How far a stream of events has come, and how to resume it (2025-11-25, basic/transports, resumability).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The id of the last event, for `Last-Event-ID`. An empty one takes back what was known; none changes nothing.
    pub last: Option<String>,
    /// How long to wait before; none changes nothing.
    pub retry: Option<Duration>,
}

/// The reason to end the process at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The user or the client sent a signal.
    Signal,
    /// The client no longer reads.
    OutputClosed,
}

/// The head of a 2xx answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The HTTP status.
    pub status: u16,
    /// The session that the server opened or continues.
    pub session: SessionHeader,
    /// Whether the connection carries many exchanges at once (HTTP/2).
    pub multiplexed: bool,
}

/// The session header of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionHeader {
    /// Nothing.
    Absent,
    /// Its id.
    Id(SessionId),
    /// An id that must not be used: it holds more than visible ASCII, or more than a header can.
    Unusable,
}

/// The outcome of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeOutcome {
    /// The answer was read to its end.
    Complete,
    /// The server took the message and answers nothing in this exchange; with the status, mostly 202.
    Accepted(u16),
    /// A stream broke before its end.
    Cut(ErrorReport),
    /// The server answered with a status that is no success.
    Refused(Refusal),
    /// No usable answer came.
    Lost {
        /// Whether the server may have the request.
        written: Written,
        /// What happened.
        report: ErrorReport,
    },
}

/// Whether a request reached the connection. It decides whether the request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Certainly not.
    No,
    /// Perhaps.
    Maybe,
}

/// Whether a message was processed, as far as it is known. It decides whether the message may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processing {
    /// It certainly was not: it may be sent again, whatever it is.
    NotProcessed,
    /// It may have been, or not.
    Unknown,
    /// It was not, and would not be at the next attempt either: something between us and the server has to be mended, after
    /// which the same may go well.
    Outage,
    /// The same message would end the same way.
    Final,
}

/// A status other than 2xx.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The JSON-RPC answer in the body, if there was one.
    pub answer: Option<Message>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// What the refusal proves about the message.
    pub processing: Processing,
    /// The same in words.
    pub report: ErrorReport,
}

impl Refusal {
    /// Returns whether the server itself does not accept the credentials (401), and not Cloudflare Access before it.
    pub fn refuses_credentials(&self) -> bool {
        self.status == 401 && matches!(self.report.cause, ErrorKind::Status | ErrorKind::OriginRefused)
    }

    /// Returns whether the words or codes say that the server does not know the session that the request named.
    pub fn says_session_is_lost(&self, session: &SessionId) -> bool {
        super::relay::says_session_is_lost(self, session)
    }
}

impl PartialEq for Refusal {
    fn eq(&self, other: &Self) -> bool {
        let text = |refusal: &Self| refusal.answer.as_ref().map(|answer| answer.text().clone());
        let facts = |refusal: &Self| (refusal.status, refusal.retry_after, refusal.processing);
        facts(self) == facts(other) && self.report == other.report && text(self) == text(other)
    }
}

impl Eq for Refusal {}

/// An output of the bridge.
#[derive(Debug)]
pub enum Action {
    /// Start an exchange.
    Open(ExchangeId, Outgoing),
    /// Drop an exchange; nothing of it is wanted any more.
    Close(ExchangeId),
    /// Write a message to the client.
    Deliver(Message),
    /// A notice for the log.
    Notice(Notice),
    /// Keep for the next start.
    Remember(Known),
    /// End the process. Always the last action.
    Exit(ExitReason),
}

/// The request of an exchange.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// What is asked.
    pub ask: Ask,
    /// What its headers say.
    pub facts: Facts,
}

/// The method and the content of an exchange: POST, GET or DELETE.
#[derive(Clone, Debug)]
pub enum Ask {
    /// POST one message.
    Post(Message),
    /// GET a stream: the one for what the server has to say by itself, or the rest of one that broke.
    Listen {
        /// The last event that came, for `Last-Event-ID`.
        after: Option<String>,
    },
    /// DELETE the session.
    EndSession,
}

/// The facts for the headers of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `Mcp-Session-Id`.
    pub session: Option<SessionId>,
    /// `MCP-Protocol-Version`: as the server wrote it (legacy), or as the message itself has it (modern).
    pub revision: Option<String>,
    /// What a modern message repeats in its headers.
    pub mirror: Option<Mirror>,
    /// Which way it goes.
    pub via: Via,
    /// Whether a refusal of the credentials may mean that the session is lost: then it is reported, and no user is asked
    /// to sign in before a new session was tried.
    pub session_in_doubt: bool,
}

/// The endpoint that a message goes to, and the stream that its answer comes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// The server's one endpoint, which answers in the same exchange (streamable HTTP).
    #[default]
    Endpoint,
    /// A stream of its own that names where to POST, and lasts beyond the answer: everything that the server says in
    /// the session comes on it (HTTP+SSE, 2024-11-05). The exchange is [`Event::Opened`] once the address is known.
    NewStream,
    /// The address that the stream of this exchange named. The POST is only acknowledged.
    Stream(ExchangeId),
}

/// The parts of a modern message that its headers repeat (2026-07-28, streamable HTTP, request headers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// `Mcp-Method`.
    pub method: String,
    /// `Mcp-Name`: of the tool, prompt, resource or task.
    pub name: Option<String>,
    /// `Mcp-Param-…`: what stands behind the dash, and the value.
    pub parameters: Vec<(String, String)>,
}

/// The reason for which the process ends. It decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// The client closed its side and everything was brought to an end.
    ClientClosed,
    /// See [`StopReason`].
    Stopped(StopReason),
}

/// A notice for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The handshake is done.
    Settled {
        /// The revision the server chose.
        revision: String,
        /// Whether it opened a session.
        session: Option<SessionId>,
    },
    /// The server speaks another era than the client; from now on there is a translator between them.
    Bridged {
        /// The server's.
        server: Era,
    },
    /// A request was answered with an error of ours.
    Failed {
        /// What it was.
        title: String,
        /// Why.
        report: ErrorReport,
    },
    /// A message that needs no answer did not get through.
    Undelivered {
        /// What it was.
        title: String,
        /// Why.
        report: ErrorReport,
    },
    /// The stream for what the server has to say by itself is not offered, or ended.
    NotListening(String),
    /// The client wrote something that is no message.
    Unreadable(String),
    /// The server sent something that belongs to nothing.
    Dropped {
        /// What it was.
        title: String,
        /// Why it is of no use.
        because: &'static str,
    },
    /// A tool is not offered to the client.
    LeftOut {
        /// Its name.
        tool: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The client is not shown tools that it is not to have.
    Withheld {
        /// How many.
        left_out: usize,
        /// Of how many on the page.
        of: usize,
    },
    /// A subscription broke off and is opened again.
    Relistening,
    /// A message is sent again.
    Resending {
        /// What it is.
        title: String,
        /// Why the last attempt failed.
        report: ErrorReport,
    },
    /// A stream broke and is resumed where it was.
    Resuming {
        /// What its request is.
        title: String,
    },
    /// The server speaks the older transport.
    Older,
    /// One transport is not what the server speaks, and the other is tried.
    OtherTransport(String),
    /// The stream that carries a session of the older transport has ended.
    StreamEnded(String),
    /// The server no longer knows the session, and a new one is opened.
    SessionLost,
    /// A new session took the place of the one that was lost.
    SessionRenewed(SessionNews),
    /// None could be opened; the next message tries again.
    SessionNotRenewed(ErrorReport),
    /// The server has not acknowledged a message in time. Others no longer wait for it.
    Overtaken(String),
}

/// The difference between a renewed session and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionNews {
    /// Not at all.
    Same,
    /// The server chose another revision, or has other capabilities: the client does not know.
    Changed,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Client(Line::One(message)) => write!(f, "client {}", message.title()),
            Event::Client(Line::Batch(elements)) => write!(f, "client batch of {}", elements.len()),
            Event::Client(Line::Invalid(fault)) => write!(f, "client invalid: {fault}"),
            Event::ClientClosed => f.write_str("client closed"),
            Event::Stop(cause) => write!(f, "stop {cause:?}"),
            Event::Sent(id) => write!(f, "sent {id}"),
            Event::Opened(id, opening) => write!(f, "opened {id} {}", opening.status),
            Event::Server(id, message) => write!(f, "server {id} {}", message.title()),
            Event::ServerInvalid(id, fault) => write!(f, "server invalid {id}: {fault}"),
            Event::Cursor(id, cursor) => {
                write!(f, "cursor {id}")?;
                if let Some(last) = &cursor.last {
                    write!(f, " last={last:?}")?;
                }
                match cursor.retry {
                    Some(retry) => write!(f, " retry={}", retry.as_millis()),
                    None => Ok(()),
                }
            }
            Event::Ended(id, outcome) => write!(f, "ended {id} {outcome}"),
        }
    }
}

impl fmt::Display for ExchangeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeOutcome::Complete => f.write_str("complete"),
            ExchangeOutcome::Accepted(status) => write!(f, "accepted with {status}"),
            ExchangeOutcome::Cut(report) => write!(f, "cut: {report}"),
            ExchangeOutcome::Refused(refusal) => write!(f, "refused: {}", refusal.report),
            ExchangeOutcome::Lost { written: Written::No, report } => write!(f, "not sent: {report}"),
            ExchangeOutcome::Lost { written: Written::Maybe, report } => write!(f, "lost: {report}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Open(id, outgoing) => write!(f, "open {id} {outgoing}"),
            Action::Close(id) => write!(f, "close {id}"),
            Action::Deliver(message) => write!(f, "reply {}", message.title()),
            Action::Notice(notice) => write!(f, "notice {notice}"),
            Action::Remember(Known { era, falls_back }) => {
                let era = match era {
                    Some(Era::Legacy) => "legacy",
                    Some(Era::Modern) => "modern",
                    None => "unknown",
                };
                write!(f, "remember {era} {}", json::quoted_all(falls_back))
            }
            Action::Exit(reason) => write!(f, "exit {reason:?}"),
        }
    }
}

impl fmt::Display for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ask {
            Ask::Post(message) => f.write_str(&message.title())?,
            Ask::Listen { after: None } => f.write_str("listen")?,
            Ask::Listen { after: Some(after) } => write!(f, "listen after={after:?}")?,
            Ask::EndSession => f.write_str("end session")?,
        }
        if let Some(session) = &self.facts.session {
            write!(f, " session={session}")?;
        }
        match self.facts.via {
            Via::Endpoint => {}
            Via::NewStream => f.write_str(" on a stream of its own")?,
            Via::Stream(stream) => write!(f, " stream={stream}")?,
        }
        if let Some(revision) = &self.facts.revision {
            write!(f, " revision={revision}")?;
        }
        if let Some(mirror) = &self.facts.mirror {
            if let Some(name) = &mirror.name {
                write!(f, " name={name:?}")?;
            }
            for (name, _) in &mirror.parameters {
                write!(f, " param={name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Settled { revision, session: Some(session) } => {
                write!(f, "server settled on {revision}, session {session}")
            }
            Notice::Settled { revision, session: None } => {
                write!(f, "server settled on {revision}, no session")
            }
            Notice::Bridged { server: Era::Modern } => {
                f.write_str("the server speaks the modern era of MCP only; translating for the client")
            }
            Notice::Bridged { server: Era::Legacy } => {
                f.write_str("the server speaks the legacy era of MCP only; translating for the client")
            }
            Notice::Failed { title, report } => write!(f, "{title} failed: {report}"),
            Notice::Undelivered { title, report } => write!(f, "{title} was not delivered: {report}"),
            Notice::NotListening(reason) => write!(f, "no stream for server messages: {reason}"),
            Notice::Unreadable(reason) => write!(f, "the client wrote something unreadable: {reason}"),
            Notice::Dropped { title, because } => write!(f, "dropped {title}: {because}"),
            Notice::LeftOut { tool, reason } => {
                write!(f, "the tool {tool:.200} is left out: {reason:.1000}")
            }
            Notice::Withheld { left_out, of } => write!(f, "{left_out} of {of} tools are not offered"),
            Notice::Resending { title, report } => write!(f, "{title} is sent again: {report}"),
            Notice::Resuming { title } => {
                write!(f, "the stream with the answer to {title} broke and is resumed")
            }
            Notice::Older => f.write_str("the server speaks HTTP+SSE (2024-11-05)"),
            Notice::OtherTransport(reason) => write!(f, "the other transport is tried: {reason}"),
            Notice::StreamEnded(reason) => write!(f, "the stream of the session ended: {reason}"),
            Notice::SessionLost => f.write_str("the server no longer knows the session; a new one is opened"),
            Notice::SessionRenewed(SessionNews::Same) => f.write_str("the session was renewed"),
            Notice::SessionRenewed(SessionNews::Changed) => f.write_str(
                "the session was renewed, but the server now has another revision or other capabilities",
            ),
            Notice::SessionNotRenewed(report) => write!(f, "the session could not be renewed: {report}"),
            Notice::Relistening => f.write_str("a subscription broke off and is opened again"),
            Notice::Overtaken(title) => {
                write!(f, "the server has not acknowledged {title} yet; other messages no longer wait for it")
            }
        }
    }
}
