//! Sign-in by OAuth: the room's page follows.
//!
#![doc = include_str!("README.md")]

pub mod authorization_request;
mod bearer;
mod browser;
pub mod challenge;
pub mod client;
mod clock;
mod commands;
pub mod device_authorization;
mod discovery;
mod documents;
mod dpop;
mod enterprise;
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
mod step_up;
pub mod store;
mod workload_identity;

pub use self::bearer::Bearer;
pub use self::browser::Browser;
pub use self::challenge::SignInChallenge;
pub use self::commands::{HeldTokens, ListedSignIn};
pub use self::paste::Pasted;
pub use self::request_credentials::{RequestCredentials, RequestSnapshot};
pub use self::settings::{DpopUse, Grant, Interaction, MetadataSource, SignInSettings};
pub use self::shutdown::SignInShutdown;
pub use self::sign_in::OAuth;
pub use self::sign_in_error::{SignInError, UserAction};
pub use self::store::identity::SignInIdentity;
pub use self::workload_identity::{TokenCommand, TokenSource, WorkloadIdentity};
