//! How to sign in at a server: what `config` found out before anything happens.
//!
//! Deliberately not here: where it comes from (`config::sign_in`).

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::oauth::browser::Browser;
use crate::oauth::client::OAuthClient;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::paste::Pasted;
use crate::oauth::store::identity::SignInIdentity;
use crate::oauth::store::token_store::TokenStore;
use crate::oauth::workload_identity::{TokenSource, WorkloadIdentity};

/// Who may be asked for a token that is to be accepted where another was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interaction {
    /// The user, if there is no other way.
    User,
    /// Only the authorization server: the refusal may mean something else.
    Nobody,
}

/// How a token is come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A person signs in on a page that leads back to this computer (RFC 6749, section 4.1).
    Page,
    /// A person signs in on any computer, with a code (RFC 8628).
    Device,
    /// The client credentials grant (RFC 6749, section 4.4), at this token endpoint or at the discovered one.
    Client(Option<Url>),
    /// The JWT bearer grant (RFC 7523, section 2.1) with the token of the platform, at this token endpoint or at the discovered
    /// one.
    Workload(Option<Url>),
    /// An assertion of the company's identity provider, where the user signs in for all servers.
    Enterprise,
}

impl Grant {
    /// Returns whether the user takes part.
    pub fn asks_user(&self) -> bool {
        !matches!(self, Grant::Client(_) | Grant::Workload(_))
    }

    /// The token endpoint that the user names.
    pub(super) fn endpoint(&self) -> Option<&Url> {
        match self {
            Grant::Client(endpoint) | Grant::Workload(endpoint) => endpoint.as_ref(),
            Grant::Page | Grant::Device | Grant::Enterprise => None,
        }
    }
}

/// When tokens are bound to a key (RFC 9449).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpopUse {
    /// If both servers offer it.
    Offered,
    /// Always: a token that is not bound is refused.
    Always,
    /// Never.
    Never,
}

/// The metadata of an authorization server that the user names in place of what a server leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataSource {
    /// The document at this address.
    At(Url),
    /// The document itself, from a file.
    Written(Box<AuthorizationServer>),
    /// The document that this issuer publishes, at its well-known addresses.
    OfIssuer(String),
}

/// How to sign in at a server.
#[derive(Clone, Debug)]
pub struct SignInSettings {
    /// The server.
    pub url: Url,
    /// Whose sign-in it is.
    pub identity: SignInIdentity,
    /// The issuer that is accepted, where the user names one.
    pub issuer: Option<String>,
    /// The authorization server's metadata, where the user names it.
    pub metadata: Option<MetadataSource>,
    /// Where sign-ins are kept.
    pub folder: Option<PathBuf>,
    /// Where the tokens and client secrets of stored sign-ins rest.
    pub token_store: TokenStore,
    /// Where mcp-remote would have kept them: the path that its files have in common.
    pub mcp_remote_import: Option<PathBuf>,
    /// What opens a page.
    pub browser: Browser,
    /// Whether the user asked for it, so that it goes before other credentials.
    pub is_asked_for: bool,
    /// How a token is come by.
    pub grant: Grant,
    /// When tokens are bound to a key.
    pub dpop: DpopUse,
    /// Whether it is the ID token that goes along, in place of the access token.
    pub uses_id_token: bool,
    /// Whether the user is asked to sign in; else only stored tokens are used.
    pub asks: bool,
    /// How long a request waits for the user, if an option says so.
    pub patience: Option<Duration>,
    /// The scope that the user wrote.
    pub scope: Option<String>,
    /// What the server is called, in place of what it calls itself.
    pub resource: Option<String>,
    /// Whether the server is named at all.
    pub names_resource: bool,
    /// What else is to stand in the page's address.
    pub parameters: Vec<(String, String)>,
    /// How this computer is spelled in the way back.
    pub host: Option<String>,
    /// The path of the way back.
    pub callback_path: String,
    /// Its port.
    pub port: Option<u16>,
    /// The address that is listened at for it, in place of the loopback ones.
    pub callback_bind: Option<IpAddr>,
    /// What the user pastes, where a browser cannot come back.
    pub pasted: Option<Pasted>,
    /// Where the way back ends when all went well.
    pub success_url: Option<Url>,
    /// The client that was registered by hand.
    pub client: Option<OAuthClient>,
    /// What proves this workload, where the platform does: as the grant, or in place of the client's secret. Nothing is kept
    /// then.
    pub workload: Option<Arc<WorkloadIdentity>>,
    /// How the user signs in at the company's identity provider, where that vouches for the user at the server's authorization
    /// server.
    pub enterprise: Option<Box<SignInSettings>>,
    /// Where the ID token of the identity provider comes from, if the user does not sign in here.
    pub id_token: Option<TokenSource>,
    /// Where we are described.
    pub client_metadata_url: Option<Url>,
    /// What stands in a registration in place of what we write, a JSON object.
    pub registration: Option<String>,
}

impl SignInSettings {
    /// Returns whether tokens are stored, for other processes and the next start. Those of a workload are not: its platform
    /// gives another token at any time.
    pub fn stores_tokens(&self) -> bool {
        self.workload.is_none()
    }
}
