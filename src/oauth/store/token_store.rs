//! Where stored sign-ins rest (`--token-store`): in files, in the keychain of the operating system, or in what a command keeps.
//!
//! Outside of files, one sign-in is one text under one key. A command is started with `get`, `store` or `erase` as its last
//! argument and reads `name=value` lines up to an empty line from stdin, in the manner of git's credential helpers. In place of
//! the document, the file of the sign-in holds a stub then, which names the store and changes with each write, so that
//! other processes need not run the command to see that something is new. Deliberately not here: how a command is run
//! (`config::command`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::oauth::documents;
use crate::oauth::pkce;
#[cfg(feature = "keychain")]
use crate::oauth::store::keychain::{self, SystemKeychain};

/// How long another process may take to exchange tokens.
const LOCK_PATIENCE: Duration = Duration::from_secs(15);
/// The same where each of its steps runs a command.
const SLOW_LOCK_PATIENCE: Duration = Duration::from_secs(60);
/// How long the end of the program waits for tokens that are on their way.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// The same where a command stores them.
const SLOW_END_PATIENCE: Duration = Duration::from_secs(10);
/// How long a store outside of files is left alone after it has failed.
const SLOW_RETRY: Duration = Duration::from_secs(30);

/// Where stored sign-ins rest.
#[derive(Clone, Debug, Default)]
pub enum TokenStore {
    /// In a file each.
    #[default]
    File,
    /// In the keychain of the operating system.
    #[cfg(feature = "keychain")]
    Keychain,
    /// In what a command keeps.
    Command(StoreCommand),
}

/// What is asked of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreAction {
    /// To print what is stored.
    Get,
    /// To store something in place of what is stored.
    Store,
    /// To remove what is stored.
    Erase,
}

impl StoreAction {
    /// The last argument of the command.
    pub fn word(self) -> &'static str {
        match self {
            StoreAction::Get => "get",
            StoreAction::Store => "store",
            StoreAction::Erase => "erase",
        }
    }
}

/// Runs the command with this action and this text on its stdin, and returns what it prints, or why it failed.
type RunStoreCommand = dyn Fn(StoreAction, String) -> Result<String, String> + Send + Sync;

/// The command of `--token-store`.
#[derive(Clone)]
pub struct StoreCommand(Arc<RunStoreCommand>);

impl StoreCommand {
    /// A command that `run` runs.
    pub fn new(run: impl Fn(StoreAction, String) -> Result<String, String> + Send + Sync + 'static) -> Self {
        StoreCommand(Arc::new(run))
    }

    fn run(&self, action: StoreAction, key: &StoreKey, secret: Option<&str>) -> io::Result<String> {
        (self.0)(action, key.request(secret))
            .map_err(|reason| io::Error::other(format!("the command of --token-store {reason}")))
    }
}

impl std::fmt::Debug for StoreCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreCommand").finish_non_exhaustive()
    }
}

/// What a sign-in is called outside of files. No part is secret.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreKey {
    /// The key: letters, digits, dots, hyphens and underscores.
    pub(super) key: String,
    /// The host of the server.
    pub(super) host: String,
    /// The profile, if it has one.
    pub(super) profile: Option<String>,
}

impl StoreKey {
    /// The lines that a command reads. A document is one line of JSON.
    fn request(&self, secret: Option<&str>) -> String {
        let lines = [
            ("key", Some(self.key.as_str())),
            ("host", Some(self.host.as_str())),
            ("profile", self.profile.as_deref()),
            ("secret", secret),
        ];
        let lines = lines.into_iter().filter_map(|(name, value)| Some(format!("{name}={}\n", value?)));
        lines.chain(["\n".to_owned()]).collect()
    }
}

impl TokenStore {
    /// Returns whether sign-ins rest in files, which are read at once.
    pub(in crate::oauth) fn is_file(&self) -> bool {
        matches!(self, TokenStore::File)
    }

    /// What the user can do where it fails to read or remove a sign-in.
    pub(in crate::oauth) fn remedy(&self) -> &'static str {
        match self {
            TokenStore::File => "try again; if it stays like this, look at that file",
            #[cfg(feature = "keychain")]
            TokenStore::Keychain => "unlock the keychain, or start its service, then try again",
            TokenStore::Command(_) => "run that command by hand to see why, then try again",
        }
    }

    /// The word for it in a [`Stub`] and in what is printed; none for files.
    pub(super) fn word(&self) -> Option<&'static str> {
        match self {
            TokenStore::File => None,
            #[cfg(feature = "keychain")]
            TokenStore::Keychain => Some("keychain"),
            TokenStore::Command(_) => Some("command"),
        }
    }

    /// How long another process may take to exchange tokens.
    pub(in crate::oauth) fn lock_patience(&self) -> Duration {
        if self.is_file() { LOCK_PATIENCE } else { SLOW_LOCK_PATIENCE }
    }

    /// How long the end of the program waits for tokens that are on their way.
    pub(in crate::oauth) fn end_patience(&self) -> Duration {
        if self.is_file() { END_PATIENCE } else { SLOW_END_PATIENCE }
    }

    /// How long after a failure nothing is saved.
    pub(in crate::oauth) fn save_pause(&self) -> Duration {
        if self.is_file() { Duration::ZERO } else { SLOW_RETRY }
    }

    /// The document under a key; none where nothing is stored, and for files.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn get(&self, key: &StoreKey) -> io::Result<Option<String>> {
        match self {
            TokenStore::File => Ok(None),
            #[cfg(feature = "keychain")]
            TokenStore::Keychain => keychain::get(&SystemKeychain, &key.key),
            TokenStore::Command(command) => {
                let printed = command.run(StoreAction::Get, key, None)?;
                let secret = printed.lines().find_map(|line| line.strip_prefix("secret="));
                let secret = secret.map(str::trim).filter(|secret| !secret.is_empty());
                match (secret, printed.trim()) {
                    (Some(secret), _) => Ok(Some(secret.to_owned())),
                    (None, "") => Ok(None),
                    (None, _) => Err(io::Error::other(
                        "the command of --token-store printed no line that begins with secret=",
                    )),
                }
            }
        }
    }

    /// Stores a document under a key.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn put(&self, key: &StoreKey, document: &str) -> io::Result<()> {
        match self {
            TokenStore::File => Ok(()),
            #[cfg(feature = "keychain")]
            TokenStore::Keychain => keychain::put(&SystemKeychain, &key.key, document),
            TokenStore::Command(command) => command.run(StoreAction::Store, key, Some(document)).map(drop),
        }
    }

    /// Removes what is stored under a key.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn erase(&self, key: &StoreKey) -> io::Result<()> {
        match self {
            TokenStore::File => Ok(()),
            #[cfg(feature = "keychain")]
            TokenStore::Keychain => keychain::erase(&SystemKeychain, &key.key),
            TokenStore::Command(command) => command.run(StoreAction::Erase, key, None).map(drop),
        }
    }
}

/// What stands in the file of a sign-in that rests elsewhere.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Stub {
    /// Where it rests.
    #[serde(default, deserialize_with = "documents::lenient_filled")]
    pub(super) token_store: Option<String>,
    /// Another value after each write.
    #[serde(default, deserialize_with = "documents::lenient")]
    pub(super) revision: Option<String>,
}

impl Stub {
    /// A new one; none for files.
    pub(super) fn new(store: &TokenStore) -> Option<Stub> {
        let word = store.word()?;
        Some(Stub { token_store: Some(word.to_owned()), revision: Some(pkce::random()) })
    }

    /// Reads one; none where the text is a document itself.
    pub(super) fn read(text: &str) -> Option<Stub> {
        documents::read::<Stub>(text).filter(|stub| stub.token_store.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn command_reads_lines_and_prints_secret() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let printed = Arc::new(Mutex::new(Ok(String::new())));
        let prints = Arc::clone(&printed);
        let store = TokenStore::Command(StoreCommand::new(move |action, input| {
            log.lock().expect("no panic").push(format!("{} {input}", action.word()));
            prints.lock().expect("no panic").clone()
        }));
        let key = StoreKey { key: "h-1".to_owned(), host: "h".to_owned(), profile: Some("work".to_owned()) };
        store.put(&key, "{\"a\":1}").expect("stored");
        store.erase(&StoreKey { profile: None, ..key.clone() }).expect("erased");
        for (text, expected) in [
            ("", Ok(None)),
            ("\n", Ok(None)),
            ("secret=\n", Err("no line")),
            ("secret={}\n\n", Ok(Some("{}"))),
            ("key=h-1\r\nsecret={\"a\":\"=\"}\r\n", Ok(Some("{\"a\":\"=\"}"))),
            ("{}", Err("no line")),
        ] {
            *printed.lock().expect("no panic") = Ok(text.to_owned());
            let found = store.get(&key).map_err(|error| error.to_string());
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected, "{text}"),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                _ => panic!("{text}: {found:?}"),
            }
        }
        *printed.lock().expect("no panic") = Err("failed (exit status: 1)".to_owned());
        let failed = store.get(&key).expect_err("it failed").to_string();
        assert_eq!(failed, "the command of --token-store failed (exit status: 1)");
        let asked = asked.lock().expect("no panic");
        assert_eq!(asked[0], "store key=h-1\nhost=h\nprofile=work\nsecret={\"a\":1}\n\n");
        assert_eq!(asked[1], "erase key=h-1\nhost=h\n\n");
        assert_eq!(asked[2], "get key=h-1\nhost=h\nprofile=work\n\n");
    }

    #[test]
    fn stub_differs_from_document_and_changes_with_each_write() {
        let store = TokenStore::Command(StoreCommand::new(|_, _| Ok(String::new())));
        let text = |stub: Stub| documents::write(&stub);
        let stub = Stub::new(&store).expect("not a file");
        let revision = stub.revision.clone();
        let read = Stub::read(&text(stub)).expect("a stub");
        assert_eq!((read.token_store.as_deref(), read.revision), (Some("command"), revision.clone()));
        assert_ne!(Stub::new(&store).and_then(|stub| stub.revision), revision);
        assert!(Stub::read(r#"{"registrations":[]}"#).is_none() && Stub::new(&TokenStore::File).is_none());
    }
}
