//! What can be changed while the edge runs: the switches of the dashboard, the origin's own, and the weather.
//!
//! Apart because both sides of Access read them, and because a test or a person turns one of them and then turns it
//! back. Deliberately not here: what a setting does (`access`, `trouble`, `origin`, `manager`).

use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};

use super::access::Access;
use super::token::ServiceToken;
use super::trouble::Trouble;

/// Everything that can be changed. The default is the state in which all is well.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The Access application.
    pub(crate) access: Access,
    /// Whether there is an Access application at all; without one everything reaches the server as it is.
    pub(crate) is_protected: bool,
    /// How many requests pass before the edge knows of the application.
    pub(crate) knows_after: u32,
    /// The service tokens that Access accepts. What is expired, disabled, deleted, or of another account is none.
    pub(crate) tokens: Vec<ServiceToken>,
    /// Managed OAuth: programs without a credential are told how to sign a person in.
    pub(crate) managed_oauth: bool,
    /// Whether programs at `http://127.0.0.1…` may introduce themselves there.
    pub(crate) loopback_clients: bool,
    /// Whether those at `http://localhost…` may.
    pub(crate) localhost_clients: bool,
    /// Whether the application is published as its origin, with a slash, instead of its address.
    pub(crate) is_published_as_origin: bool,
    /// How long a token that a person signed in for holds, in seconds.
    pub(crate) token_seconds: u64,
    /// Whether the server signs people in by itself, behind Access or not.
    pub(crate) signs_in: bool,
    /// Whether the server binds the tokens that it gives to a key of the client (RFC 9449).
    pub(crate) binds_tokens: bool,
    /// `service_auth_401_redirect`: 401 instead of 403 where there is no policy but Service Auth.
    pub(crate) service_auth_401: bool,
    /// `read_service_tokens_from_header`: the header that may hold both halves of a token.
    pub(crate) token_header: Option<String>,
    /// CORS: the one origin of web pages that may ask; requests that name another are refused.
    pub(crate) allowed_origin: Option<String>,
    /// How refusals look, by Access and by Cloudflare.
    pub(crate) form: Form,
    /// What Cloudflare answers in the place of Access or of the origin.
    pub(crate) trouble: Option<Trouble>,
    /// How many POSTs the trouble lasts; none for ever.
    pub(crate) trouble_lasts: Option<u32>,
    /// Seconds for the `Retry-After` of the trouble.
    pub(crate) retry_after: Option<u64>,
    /// Whom the origin believes.
    pub(crate) believes: Believes,
    /// How many requests the plain server answers before it wants a pause.
    pub(crate) limit: Option<Limit>,
}

impl Settings {
    /// All is well for this application and this token.
    pub(super) fn new(access: Access, token: &ServiceToken) -> Self {
        Self {
            access,
            is_protected: true,
            knows_after: 0,
            tokens: vec![token.clone()],
            managed_oauth: false,
            loopback_clients: true,
            localhost_clients: true,
            is_published_as_origin: false,
            token_seconds: 900,
            signs_in: false,
            binds_tokens: false,
            service_auth_401: false,
            token_header: None,
            allowed_origin: None,
            form: Form::ByAccept,
            trouble: None,
            trouble_lasts: None,
            retry_after: None,
            believes: Believes::Assertion,
            limit: None,
        }
    }
}

impl Settings {
    /// What the application at this address is called where one signs in.
    pub(super) fn resource(&self, application: &str) -> String {
        format!("{application}/{}", if self.is_published_as_origin { "" } else { "mcp" })
    }
}

/// The form of a refusal. Which one comes when is not documented for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON for who accepts that, a page for who does not.
    ByAccept,
    /// JSON.
    Json,
    /// A page.
    Html,
    /// A line of text.
    Text,
    /// No body, and of the headers those alone without which it would not be the answer it is.
    Bare,
    /// The status of a refusal by Access, and nothing else that tells whose it is.
    Silent,
}

impl FromStr for Form {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "accept" => Ok(Self::ByAccept),
            "json" => Ok(Self::Json),
            "html" => Ok(Self::Html),
            "text" => Ok(Self::Text),
            "bare" => Ok(Self::Bare),
            "silent" => Ok(Self::Silent),
            _ => Err("a form is `accept`, `json`, `html`, `text`, `bare` or `silent`".to_owned()),
        }
    }
}

/// Whom an origin lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Believes {
    /// Everybody.
    Anybody,
    /// Whoever has an assertion of Access for this application, service tokens as well as people.
    Assertion,
    /// The same, but it was given the AUD tag of another application.
    OtherApplication,
    /// People, whose assertion has an e-mail address in it.
    People,
}

impl FromStr for Believes {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "anybody" => Ok(Self::Anybody),
            "assertion" => Ok(Self::Assertion),
            "other-application" => Ok(Self::OtherApplication),
            "people" => Ok(Self::People),
            _ => Err("an origin believes `anybody`, `assertion`, `other-application` or `people`".to_owned()),
        }
    }
}

/// A limit of the plain server's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// How many requests are still answered.
    pub(crate) remaining: u32,
    /// How long the pause behind them is, in seconds.
    pub(crate) seconds: u64,
    /// When the pause is over, in seconds since 1970; none while there is no pause.
    pub(crate) until: Option<u64>,
}

impl Limit {
    /// So many requests, then a pause of so many seconds.
    pub(crate) fn new(remaining: u32, seconds: u64) -> Self {
        Self { remaining, seconds, until: None }
    }
}

/// The settings as everybody shares them.
#[derive(Clone, Debug)]
pub(super) struct Switches(Arc<Mutex<Settings>>);

impl Switches {
    /// Switches in these positions.
    pub(super) fn new(settings: Settings) -> Self {
        Self(Arc::new(Mutex::new(settings)))
    }

    /// The settings, to look at or to change; never held while anything waits.
    pub(super) fn lock(&self) -> MutexGuard<'_, Settings> {
        self.0.lock().expect("nothing panics in between")
    }

    /// The settings as they are now.
    pub(super) fn now(&self) -> Settings {
        self.lock().clone()
    }
}
