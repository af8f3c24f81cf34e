//! Failures as plain data: their kinds, with stable words and codes, and the report of one failure.
//!
//! `diagnosis` writes the sentences; the bridge passes them on and decides by the kind alone.

use std::fmt;

/// The report of one failure, written by `diagnosis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReport {
    /// Which kind of failure, for programs.
    pub cause: ErrorKind,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// One sentence: lowercase, without a period, naming who is at fault.
    pub sentence: String,
    /// The remedy, which begins with a verb.
    pub advice: Option<String>,
    /// The beginning of the body that came instead of an answer, without secrets.
    pub body: Option<String>,
    /// The id of the request in Cloudflare's log (`cf-ray`).
    pub ray: Option<String>,
    /// The id of the request in the server's log (`x-correlation-id`).
    pub correlation_id: Option<String>,
    /// The same (`x-request-id`).
    pub request_id: Option<String>,
}

impl ErrorReport {
    /// A failure without an HTTP answer behind it.
    pub fn new(cause: ErrorKind, sentence: impl Into<String>, advice: impl Into<String>) -> ErrorReport {
        ErrorReport {
            cause,
            status: None,
            sentence: sentence.into(),
            advice: Some(advice.into()),
            body: None,
            ray: None,
            correlation_id: None,
            request_id: None,
        }
    }

    /// The same with the status that came.
    pub fn with_status(self, status: u16) -> ErrorReport {
        ErrorReport { status: Some(status), ..self }
    }
}

impl fmt::Display for ErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        for (name, value) in
            [("ray", &self.ray), ("correlation id", &self.correlation_id), ("request id", &self.request_id)]
        {
            if let Some(value) = value {
                write!(f, " ({name} {value})")?;
            }
        }
        Ok(())
    }
}

/// The kinds of failure. Each has a stable word, by which a transcript names it, and an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The program was started with something that cannot work.
    Configuration,
    /// The host name could not be resolved.
    Dns,
    /// No connection could be made.
    Connect,
    /// A proxy refused to connect.
    Proxy,
    /// A proxy cannot be reached.
    ProxyConnect,
    /// The TLS handshake failed.
    Tls,
    /// The connection broke.
    Connection,
    /// The server redirected the request.
    Redirect,
    /// The server, or something in front of it, refused.
    Status,
    /// Cloudflare Access requires a credential.
    AccessCredentials,
    /// Cloudflare Access does not accept the token.
    AccessToken,
    /// Cloudflare Access accepts the token, but no policy lets it through.
    AccessPolicy,
    /// Cloudflare Access refused without a reason.
    AccessForbidden,
    /// Cloudflare Access asks for a sign-in although a token was sent.
    AccessHidden,
    /// The server behind Cloudflare Access refused.
    OriginRefused,
    /// A firewall rule of Cloudflare's.
    Firewall,
    /// Cloudflare's check of the client's signature.
    BrowserCheck,
    /// Cloudflare's challenge, which only browsers pass.
    Challenge,
    /// A rate limit of Cloudflare's.
    RateLimit,
    /// A tunnel without a connector.
    Tunnel,
    /// Cloudflare does not find the server.
    OriginDns,
    /// Cloudflare does not reach the server, or gets nothing usable from it.
    Origin,
    /// The server took longer than Cloudflare waits.
    OriginTimeout,
    /// A Worker failed.
    Worker,
    /// Another code of Cloudflare's.
    Edge,
    /// Client and server speak different eras of the protocol.
    Era,
    /// The user has to sign in, or could not.
    SignIn,
    /// The server rejects the proof of the key that a token is bound to.
    DpopProof,
    /// The answer is not one that MCP allows here.
    Answer,
    /// There is no address for messages, or one that must not be used (HTTP+SSE).
    Endpoint,
    /// The server speaks the other transport.
    Transport,
    /// The exchange ended without the answer.
    NoAnswer,
    /// The server exceeded a time limit of the user.
    Timeout,
    /// A message exceeds the size limit.
    TooLarge,
    /// The program stops.
    Stopped,
    /// A defect of this program.
    Internal,
}

impl ErrorKind {
    /// Returns whether Cloudflare Access refused.
    pub fn is_of_access(self) -> bool {
        matches!(
            self,
            ErrorKind::AccessCredentials
                | ErrorKind::AccessToken
                | ErrorKind::AccessPolicy
                | ErrorKind::AccessForbidden
                | ErrorKind::AccessHidden
        )
    }

    /// Our code in a JSON-RPC error: -31000…-31099 lies outside JSON-RPC's reserved band, in which the specification
    /// (2026-07-28, basic, error codes) closes -32000…-32099 to new codes.
    pub fn code(self) -> i64 {
        match self {
            ErrorKind::Configuration => -31000,
            ErrorKind::Dns => -31001,
            ErrorKind::Connect => -31002,
            ErrorKind::Tls => -31003,
            ErrorKind::Connection => -31004,
            ErrorKind::Redirect => -31005,
            ErrorKind::Status
            | ErrorKind::OriginRefused
            | ErrorKind::Firewall
            | ErrorKind::BrowserCheck
            | ErrorKind::Challenge
            | ErrorKind::RateLimit
            | ErrorKind::Tunnel
            | ErrorKind::OriginDns
            | ErrorKind::Origin
            | ErrorKind::OriginTimeout
            | ErrorKind::Worker
            | ErrorKind::Edge => -31006,
            ErrorKind::AccessCredentials
            | ErrorKind::AccessToken
            | ErrorKind::AccessPolicy
            | ErrorKind::AccessForbidden
            | ErrorKind::AccessHidden => -31007,
            ErrorKind::Answer | ErrorKind::Endpoint | ErrorKind::Transport => -31008,
            ErrorKind::NoAnswer | ErrorKind::Timeout => -31009,
            ErrorKind::TooLarge => -31010,
            ErrorKind::Stopped => -31011,
            ErrorKind::Era => -31012,
            ErrorKind::Proxy | ErrorKind::ProxyConnect => -31013,
            ErrorKind::SignIn => -31014,
            ErrorKind::DpopProof => -31015,
            ErrorKind::Internal => -31099,
        }
    }

    /// The stable word for `data.cause`.
    pub fn word(self) -> &'static str {
        match self {
            ErrorKind::Configuration => "configuration",
            ErrorKind::Dns => "dns",
            ErrorKind::Connect => "connect",
            ErrorKind::Tls => "tls",
            ErrorKind::Connection => "connection",
            ErrorKind::Redirect => "redirect",
            ErrorKind::Status => "status",
            ErrorKind::AccessCredentials => "access_credentials",
            ErrorKind::AccessToken => "access_token",
            ErrorKind::AccessPolicy => "access_policy",
            ErrorKind::AccessForbidden => "access_forbidden",
            ErrorKind::AccessHidden => "access_hidden",
            ErrorKind::OriginRefused => "origin_refused",
            ErrorKind::Firewall => "firewall",
            ErrorKind::BrowserCheck => "browser_check",
            ErrorKind::Challenge => "challenge",
            ErrorKind::RateLimit => "rate_limit",
            ErrorKind::Tunnel => "tunnel",
            ErrorKind::OriginDns => "origin_dns",
            ErrorKind::Origin => "origin",
            ErrorKind::OriginTimeout => "origin_timeout",
            ErrorKind::Worker => "worker",
            ErrorKind::Edge => "edge",
            ErrorKind::Era => "era",
            ErrorKind::Proxy => "proxy",
            ErrorKind::ProxyConnect => "proxy_connect",
            ErrorKind::SignIn => "sign_in",
            ErrorKind::DpopProof => "dpop_proof",
            ErrorKind::Answer => "answer",
            ErrorKind::Endpoint => "endpoint",
            ErrorKind::Transport => "transport",
            ErrorKind::NoAnswer => "no_answer",
            ErrorKind::Timeout => "timeout",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Stopped => "stopped",
            ErrorKind::Internal => "internal",
        }
    }
}
