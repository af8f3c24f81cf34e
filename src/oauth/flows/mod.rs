//! The ways in which a token is obtained: one file a grant, and what grants share.
//!
//! Deliberately not here: when a sign-in is due, and who waits for it (`super`).

mod authorization_code;
mod callback;
pub(in crate::oauth) mod client_credentials;
pub(in crate::oauth) mod device_code;
pub(in crate::oauth) mod identity_assertion;
pub(in crate::oauth) mod refresh;
pub(in crate::oauth) mod registration;
pub(in crate::oauth) mod token;
mod user_flow;
pub(in crate::oauth) mod user_sign_in;
