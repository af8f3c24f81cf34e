//! What went wrong, as plain data: the kinds of failure with their stable words and codes, and one failure in words.
//!
//! The words come from `diagnosis`; the bridge passes them on and decides by the kind alone. Deliberately not here: how
//! anything is found out.

use std::fmt;

/// A failure in words, made by `diagnosis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// Which kind of failure, for programs.
    pub cause: Failure,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// One sentence: lowercase, without a period, naming who is at fault.
    pub sentence: String,
    /// What to do about it, imperative.
    pub advice: Option<String>,
    /// The beginning of the body that came instead of an answer, without secrets.
    pub body: Option<String>,
    /// What Cloudflare's log has the request under (`cf-ray`).
    pub ray: Option<String>,
    /// What the server's log has it under (`x-correlation-id`).
    pub correlation_id: Option<String>,
    /// The same (`x-request-id`).
    pub request_id: Option<String>,
}

impl Why {
    /// A failure without an HTTP answer behind it.
    pub fn new(cause: Failure, sentence: impl Into<String>, advice: impl Into<String>) -> Why {
        Why {
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
    pub fn with_status(self, status: u16) -> Why {
        Why { status: Some(status), ..self }
    }
}

impl fmt::Display for Why {
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
pub enum Failure {
    /// The program was started with something that cannot work.
    Configuration,
    /// The host name could not be resolved.
    Dns,
    /// No connection could be made.
    Connect,
    /// A proxy on the way refused.
    Proxy,
    /// The TLS handshake failed.
    Tls,
    /// The connection broke.
    Connection,
    /// The server sent us elsewhere.
    Redirect,
    /// The server, or something in front of it, refused.
    Status,
    /// Cloudflare Access wants to know who is asking.
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
    /// A person has to sign in, or could not.
    SignIn,
    /// What came is not what MCP allows here.
    Answer,
    /// There is no address for messages, or one that must not be used (HTTP+SSE).
    Endpoint,
    /// The server speaks the other transport.
    Transport,
    /// The exchange ended without the answer.
    NoAnswer,
    /// The server took longer than the person lets it.
    Timeout,
    /// A message is larger than we carry.
    TooLarge,
    /// We are going.
    Stopped,
    /// A defect of this program.
    Internal,
}

impl Failure {
    /// Tells whether Cloudflare Access refused.
    pub fn is_of_access(self) -> bool {
        matches!(
            self,
            Failure::AccessCredentials
                | Failure::AccessToken
                | Failure::AccessPolicy
                | Failure::AccessForbidden
                | Failure::AccessHidden
        )
    }

    /// Our code in a JSON-RPC error: -31000…-31099 lies outside JSON-RPC's reserved band, in which the specification
    /// (2026-07-28, basic, error codes) closes -32000…-32099 to new codes.
    pub fn code(self) -> i64 {
        match self {
            Failure::Configuration => -31000,
            Failure::Dns => -31001,
            Failure::Connect => -31002,
            Failure::Tls => -31003,
            Failure::Connection => -31004,
            Failure::Redirect => -31005,
            Failure::Status
            | Failure::OriginRefused
            | Failure::Firewall
            | Failure::BrowserCheck
            | Failure::Challenge
            | Failure::RateLimit
            | Failure::Tunnel
            | Failure::OriginDns
            | Failure::Origin
            | Failure::OriginTimeout
            | Failure::Worker
            | Failure::Edge => -31006,
            Failure::AccessCredentials
            | Failure::AccessToken
            | Failure::AccessPolicy
            | Failure::AccessForbidden
            | Failure::AccessHidden => -31007,
            Failure::Answer | Failure::Endpoint | Failure::Transport => -31008,
            Failure::NoAnswer | Failure::Timeout => -31009,
            Failure::TooLarge => -31010,
            Failure::Stopped => -31011,
            Failure::Era => -31012,
            Failure::Proxy => -31013,
            Failure::SignIn => -31014,
            Failure::Internal => -31099,
        }
    }

    /// The stable word for `data.cause`.
    pub fn word(self) -> &'static str {
        match self {
            Failure::Configuration => "configuration",
            Failure::Dns => "dns",
            Failure::Connect => "connect",
            Failure::Tls => "tls",
            Failure::Connection => "connection",
            Failure::Redirect => "redirect",
            Failure::Status => "status",
            Failure::AccessCredentials => "access_credentials",
            Failure::AccessToken => "access_token",
            Failure::AccessPolicy => "access_policy",
            Failure::AccessForbidden => "access_forbidden",
            Failure::AccessHidden => "access_hidden",
            Failure::OriginRefused => "origin_refused",
            Failure::Firewall => "firewall",
            Failure::BrowserCheck => "browser_check",
            Failure::Challenge => "challenge",
            Failure::RateLimit => "rate_limit",
            Failure::Tunnel => "tunnel",
            Failure::OriginDns => "origin_dns",
            Failure::Origin => "origin",
            Failure::OriginTimeout => "origin_timeout",
            Failure::Worker => "worker",
            Failure::Edge => "edge",
            Failure::Era => "era",
            Failure::Proxy => "proxy",
            Failure::SignIn => "sign_in",
            Failure::Answer => "answer",
            Failure::Endpoint => "endpoint",
            Failure::Transport => "transport",
            Failure::NoAnswer => "no_answer",
            Failure::Timeout => "timeout",
            Failure::TooLarge => "too_large",
            Failure::Stopped => "stopped",
            Failure::Internal => "internal",
        }
    }
}
