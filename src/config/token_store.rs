//! Where stored sign-ins rest (`--token-store`), and the command that keeps them.
//!
//! Deliberately not here: what a command reads and prints (`oauth::store::token_store`).

use super::{Error, command};
use crate::cli::{AuthCommand, Mode, Options, TokenStorePlace};
use crate::oauth::store::token_store::{StoreCommand, TokenStore};

/// The token store of the options.
///
/// # Errors
/// When this build has no such store.
pub(super) fn token_store(options: &Options) -> Result<TokenStore, Error> {
    // A command can have the terminal where nothing else reads from it.
    let is_first =
        matches!(options.mode, Mode::Auth(command) if command != AuthCommand::Login { paste: true });
    match &options.token_store {
        TokenStorePlace::File => Ok(TokenStore::File),
        #[cfg(feature = "keychain")]
        TokenStorePlace::Keychain => Ok(TokenStore::Keychain),
        #[cfg(not(feature = "keychain"))]
        TokenStorePlace::Keychain => Err(Error::Grant {
            sentence: "--token-store keychain cannot be used: this build has no keychain support".to_owned(),
            advice: "build with cargo install mcp-tether --features keychain, or use --token-store command: with secret-tool \
                     as the guide shows (secrets.md)",
        }),
        TokenStorePlace::Command(text) => {
            let text = text.clone();
            Ok(TokenStore::Command(StoreCommand::new(move |action, input| {
                command::run_with_input(&text, action.word(), input, is_first)
            })))
        }
    }
}
