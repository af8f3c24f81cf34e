//! Signing in by OAuth (2026-07-28 and before, basic, authorization): whoever is refused waits here for a token, and
//! however many wait, in however many processes, one person signs in once and one process exchanges old tokens for new.
//!
//! The flow itself is linear code (`flow`) in a task that this owns, so that it goes on when those who wait give up.
//! Deliberately not here: which refusals invite to sign in (`remote`, with `diagnosis`).

pub mod authorization_request;
mod bearer;
mod browser;
pub mod challenge;
pub mod client;
mod clock;
mod commands;
pub mod device_authorization;
mod discovery;
mod flows;
mod http;
mod issuer;
mod local_network;
pub mod metadata;
mod object;
mod paste;
mod pkce;
pub mod private_key;
mod progress;
mod request_credentials;
mod saving;
mod settings;
mod shutdown;
mod sign_in;
mod sign_in_error;
mod state;
pub mod store;

pub use self::bearer::Bearer;
pub use self::browser::Browser;
pub use self::challenge::SignInChallenge;
pub use self::commands::HeldTokens;
pub use self::paste::Pasted;
pub use self::request_credentials::{RequestCredentials, RequestSnapshot};
pub use self::settings::{Grant, Interaction, MetadataSource, SignInSettings};
pub use self::shutdown::SignInShutdown;
pub use self::sign_in::OAuth;
pub use self::sign_in_error::{SignInError, UserAction};
pub use self::store::identity::SignInIdentity;
