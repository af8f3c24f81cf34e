//! Stored sign-ins, for all processes of this user: one file for each server in
//! `mcp-tether/oauth` of the configuration folder, its owner's alone (0600 in 0700), written whole under another name first.
//!
//! - `HOST-HASH.json`: the tokens, the issuer and the resource they are bound to, the authorization server's metadata (so
//!   that a start needs no discovery), and the registrations, each bound to its issuer.
//! - `HOST-HASH.lock`: locked while tokens are exchanged for others. It names the process that has it.
//! - `HOST-HASH.flow`: locked by the process in which a user signs in; holds the request, so that another one can resume it
//!   when that process is gone, or what kind of failure it came to, for those who waited. It holds nothing that a server
//!   wrote but the request.
//!
//! As long as the first is not there, what mcp-remote has kept takes its place ([`mcp_remote_import`]).
//!
//! The hash is of the URL, which may hold a key, and of what else makes it another identity (`identity`). A file of an
//! earlier version is taken over by an entry that is only a URL, because its name said nothing of headers. Only regular files
//! are read, up to a size limit.
//!
//! Where sign-ins rest elsewhere ([`token_store`]), the locks are still files, and the first file holds a stub.

mod flow_document;
mod flow_lock;
pub mod identity;
#[cfg(any(test, feature = "keychain"))]
mod keychain;
pub mod listing;
pub mod lock;
pub mod mcp_remote_import;
pub mod token_store;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tracing::warn;
use url::Url;

use crate::auth::dpop::DpopKey;
use crate::oauth::authorization_request::AuthorizationRequest;
use crate::oauth::client::OAuthClient;
use crate::oauth::device_authorization::DeviceAuthorization;
use crate::oauth::documents;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::sign_in_error::UserAction;
pub use crate::oauth::store::flow_lock::{FailedSignIn, FlowLock};
use crate::oauth::store::lock::{Lock, LockError};
use crate::oauth::store::token_store::{StoreKey, Stub, TokenStore};
use crate::redact;
use crate::{files, platform};

/// How often a lock that another process holds is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Tokens, and until when they hold.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// What goes along with requests.
    pub access_token: String,
    /// What says who signed in, where that came along.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// What it is exchanged with for another.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// When it was obtained, in seconds since 1970.
    #[serde(default, deserialize_with = "documents::lenient_or_default")]
    pub obtained: u64,
    /// When it runs out, likewise, where that is known.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What it allows, where that was said.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What was asked for.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub requested: Option<String>,
    /// The key of the sign-in, if it has one. The refresh token may be bound to it also where the access token is not.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub dpop_key: Option<DpopKey>,
    /// Whether the access token is bound to that key, and sent with proofs of it (RFC 9449, 7.1).
    #[serde(
        default,
        deserialize_with = "documents::lenient_or_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub is_dpop_bound: bool,
}

/// All that is kept of one server.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSignIn {
    /// What the server is called at the authorization server.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The authorization server.
    #[serde(
        default,
        deserialize_with = "documents::lenient_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub authorization: Option<AuthorizationServer>,
    /// Who we are there.
    #[serde(
        default,
        deserialize_with = "documents::lenient_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub client: Option<OAuthClient>,
    /// The tokens, of that issuer for that resource.
    #[serde(
        default,
        deserialize_with = "documents::lenient_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub tokens: Option<Tokens>,
    /// What we registered.
    #[serde(default, deserialize_with = "documents::lenient_objects")]
    pub registrations: Vec<OAuthClient>,
    /// The issuer at which the secret or key of a client of the options was first used.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub client_issuer: Option<String>,
    /// Whether the authorization server exchanges these tokens only where the server is not named.
    #[serde(
        default,
        deserialize_with = "documents::lenient_or_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub omits_resource: bool,
    /// Whether the server has refused a bound token, and knows others alone.
    #[serde(
        default,
        deserialize_with = "documents::lenient_or_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub refuses_dpop: bool,
    /// When the exchange of these tokens was refused, in seconds since 1970. They are kept until a sign-in has brought others.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<u64>,
}

/// What the user was asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Prompt {
    /// To sign in on a page that leads back.
    Page(AuthorizationRequest),
    /// To give a code to a page.
    Device(DeviceAuthorization),
}

impl Prompt {
    /// The page for the user, and the code to enter there.
    pub fn action(&self) -> UserAction {
        match self {
            Prompt::Page(request) => UserAction { url: request.url.clone(), code: None, elsewhere: None },
            Prompt::Device(device) => device.action(),
        }
    }

    /// What tokens are to allow.
    pub(super) fn scope(&self) -> Option<&str> {
        match self {
            Prompt::Page(request) => request.scope.as_deref(),
            Prompt::Device(device) => device.scope.as_deref(),
        }
    }
}

/// A sign-in that another process may resume.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingSignIn {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What the user was asked for.
    pub prompt: Prompt,
    /// Whom it went to.
    pub authorization: AuthorizationServer,
    /// What the server is called there.
    pub resource: String,
    /// Who we are there.
    pub client: OAuthClient,
    /// The key that its tokens are bound to, if it has one.
    pub dpop_key: Option<DpopKey>,
}

/// The files of one server, or none where the system names no folder for configuration.
#[derive(Clone, Debug)]
pub struct Store {
    base: Option<PathBuf>,
    /// Where mcp-remote has its files of the same sign-in.
    mcp_remote_import: Option<PathBuf>,
    /// Where the document rests.
    token_store: TokenStore,
    /// What it is called there.
    key: StoreKey,
    /// The name of the files of a sign-in there whose entry is only a URL.
    server: String,
}

/// What a document says of whose sign-in it is, beside it in the same object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct SignInLabel {
    /// The name of the files of a sign-in at this URL whose entry is only the URL.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// The profile.
    #[serde(default, deserialize_with = "documents::lenient", skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
}

/// A document or a stub, with its label.
#[derive(Serialize)]
struct Labeled<'a, T: Serialize> {
    #[serde(flatten)]
    document: &'a T,
    #[serde(flatten)]
    label: SignInLabel,
}

impl Store {
    /// The files for a server in the configuration folder; `distinction` tells several sign-ins there apart.
    pub fn of(folder: Option<PathBuf>, server: &Url, distinction: &str) -> Store {
        let name = base_name(server, distinction);
        let host = server.host_str().unwrap_or_default().to_owned();
        let base = folder.map(|folder| folder.join("mcp-tether").join("oauth").join(&name));
        Store {
            base,
            mcp_remote_import: None,
            token_store: TokenStore::File,
            key: StoreKey { key: name, host, profile: None },
            server: base_name(server, ""),
        }
    }

    /// The same, with what mcp-remote has kept as long as there is nothing of ours.
    #[must_use]
    pub fn with_mcp_remote_import(self, mcp_remote_import: Option<PathBuf>) -> Store {
        Store { mcp_remote_import, ..self }
    }

    /// The same, with the document in `token_store`, labeled with its profile.
    #[must_use]
    pub fn with_token_store(self, token_store: TokenStore, profile: Option<&str>) -> Store {
        let key = StoreKey { profile: profile.map(str::to_owned), ..self.key };
        Store { token_store, key, ..self }
    }

    /// Where the document rests.
    pub(super) fn token_store(&self) -> &TokenStore {
        &self.token_store
    }

    /// Names the place of the document for the user: a file, or a store with the key there.
    pub(super) fn place(&self) -> String {
        match (self.token_store.word(), &self.mcp_remote_import, self.path("json")) {
            (Some(word), ..) => format!("{} in the token store ({word})", self.key.key),
            (None, Some(import), Some(own)) if !own.exists() => {
                mcp_remote_import::tokens_path(import).display().to_string()
            }
            (None, _, own) => own.unwrap_or_default().display().to_string(),
        }
    }

    fn mcp_remote_import(&self) -> Option<StoredSignIn> {
        mcp_remote_import::read(self.mcp_remote_import.as_deref()?)
    }

    /// A file of the server.
    pub fn path(&self, extension: &str) -> Option<PathBuf> {
        let mut path = self.base.clone()?.into_os_string();
        path.push(".");
        path.push(extension);
        Some(path.into())
    }

    /// What is kept in our own file or store, without a word where there is nothing.
    pub fn own(&self) -> Option<StoredSignIn> {
        let stored = documents::read::<StoredSignIn>(&self.document().ok()??)?;
        stored.register_secrets();
        Some(stored)
    }

    /// The text of the document; none where there is none.
    fn document(&self) -> io::Result<Option<String>> {
        let Some(path) = self.path("json") else { return Ok(None) };
        let text = read_regular(&path);
        if self.token_store.is_file() {
            return text;
        }
        // Tokens in a file are newer than those elsewhere, which leave a stub: they move with the next write.
        match text.ok().flatten().filter(|text| Stub::read(text).is_none()) {
            Some(text) if holds_tokens(&text) => Ok(Some(text)),
            text => Ok(self.token_store.get(&self.key)?.or(text)),
        }
    }

    /// Returns whether the document is in a file although it is to rest elsewhere.
    pub(super) fn is_to_move(&self) -> bool {
        let text = self.path("json").filter(|_| !self.token_store.is_file());
        text.and_then(|path| read_regular(&path).ok()?).is_some_and(|text| holds_tokens(&text))
    }

    /// What changes with each write of a document outside of files; none for files, and where nothing was written.
    pub(super) fn revision(&self) -> Option<String> {
        let path = self.path("json").filter(|_| !self.token_store.is_file())?;
        Stub::read(&read_regular(&path).ok()??)?.revision
    }

    /// What is kept. What can never be read is as good as nothing, and is told.
    ///
    /// # Errors
    /// When the system or the token store refuses for now.
    pub fn read(&self) -> io::Result<StoredSignIn> {
        let Some(path) = self.path("json") else { return Ok(StoredSignIn::default()) };
        let text = match self.document() {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(self.mcp_remote_import().unwrap_or_default()),
            Err(error) if self.token_store.is_file() && is_for_good(&error) => {
                warn!("the sign-in kept in {} cannot be read: {error}", path.display());
                return Ok(StoredSignIn::default());
            }
            Err(error) => return Err(error),
        };
        if self.token_store.is_file() && platform::others_can_read(&path) {
            warn!("{0} holds tokens, and others on this computer can read it: chmod 600 {0}", path.display());
        }
        let stored: StoredSignIn = documents::read(&text).unwrap_or_else(|| {
            warn!("{} holds nothing that can be understood; you have to sign in again", self.place());
            StoredSignIn::default()
        });
        stored.register_secrets();
        Ok(stored)
    }

    /// Keeps something in place of what was kept. The caller holds the lock.
    ///
    /// # Errors
    /// When the system or the token store refuses, in words for a user.
    pub fn write(&self, stored: &StoredSignIn) -> Result<(), String> {
        let Some(path) = self.path("json") else {
            return Err("this system has no folder for configuration".to_owned());
        };
        let document = self.labeled(stored);
        let text = match Stub::new(&self.token_store) {
            None => document,
            Some(stub) => {
                let put = self.token_store.put(&self.key, &document);
                put.map_err(|error| format!("the sign-in cannot be stored: {error}"))?;
                self.labeled(&stub)
            }
        };
        replace(&path, text.as_bytes())
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    /// The text of a document or stub, with its label.
    fn labeled<T: Serialize>(&self, document: &T) -> String {
        let label = SignInLabel { server: Some(self.server.clone()), profile: self.key.profile.clone() };
        documents::write(&Labeled { document, label })
    }

    /// Removes everything but the issuer to which the client of the options is bound. Returns whether there was anything. The
    /// caller holds the lock.
    ///
    /// # Errors
    /// When the system or the token store refuses, in words for a user.
    pub fn forget(&self) -> Result<bool, String> {
        let Some(path) = self.path("json") else { return Ok(false) };
        if let Ok(flow) = self.try_flow() {
            flow.note(None);
        }
        files::sweep_temporary(&path);
        // What rests elsewhere is not ours to remove.
        if self.token_store.is_file() && read_regular(&path).is_ok_and(|text| text.is_some_and(is_stub)) {
            return Ok(false);
        }
        let own = self.own();
        let client_issuer = own.as_ref().and_then(|stored| stored.client_issuer.clone());
        if client_issuer.is_some() || self.mcp_remote_import().is_some() {
            // What mcp-remote has kept would be used again: that nothing is held stands in our own document.
            let was_there = match own {
                Some(own) => own.tokens.is_some(),
                None => self.mcp_remote_import().is_some_and(|stored| stored.tokens.is_some()),
            };
            return self
                .write(&StoredSignIn { client_issuer, ..StoredSignIn::default() })
                .map(|()| was_there);
        }
        let erased = match self.token_store.is_file() {
            true => Ok(()),
            false => self.token_store.erase(&self.key),
        };
        erased.map_err(|error| format!("the sign-in cannot be removed: {error}"))?;
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(own.is_some()),
            Err(error) => Err(format!("{} cannot be removed: {error}", path.display())),
        }
    }

    /// Waits for this long until no other process changes tokens.
    ///
    /// # Errors
    /// When another process changes them all the time, or the lock cannot be used.
    pub async fn lock(&self, patience: Duration) -> Result<Lock, LockError> {
        let path = self.path("lock").unwrap_or_default();
        let mut held = LockError::Held { path, holder: None };
        let locked = tokio::time::timeout(patience, async {
            loop {
                let store = self.clone();
                match off_loop(move || store.try_lock()).await {
                    Err(error @ LockError::Held { .. }) => held = error,
                    locked => return locked,
                }
                tokio::time::sleep(RETRY).await;
            }
        });
        locked.await.unwrap_or(Err(held))
    }

    /// The right to change tokens, unless another process has it.
    ///
    /// # Errors
    /// When it has, or the lock cannot be used.
    pub fn try_lock(&self) -> Result<Lock, LockError> {
        self.path("lock").map_or_else(|| Ok(Lock::alone()), |path| Lock::try_on(&path, true))
    }

    /// The right to have a user sign in, unless another process has it.
    ///
    /// # Errors
    /// When it has, or the lock cannot be used.
    pub fn try_flow(&self) -> Result<FlowLock, LockError> {
        let lock = self.path("flow").map_or_else(|| Ok(Lock::alone()), |path| Lock::try_on(&path, false));
        lock.map(FlowLock::new)
    }

    /// The sign-in that was begun in another process, if there is one.
    pub fn pending(&self) -> Option<PendingSignIn> {
        PendingSignIn::read(&read_regular(&self.path("flow")?).ok()??)
    }
}

/// The name of the files of a sign-in.
fn base_name(server: &Url, distinction: &str) -> String {
    let mut server = server.clone();
    server.set_fragment(None);
    let named = match distinction {
        "" => server.as_str().to_owned(),
        distinction => format!("{server}\n\n{distinction}"),
    };
    let hash = digest(&SHA256, named.as_bytes());
    let hash: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let host: String = server.host_str().unwrap_or_default().chars().take(80).collect();
    format!("{}-{hash}", host.replace(['[', ']', ':'], "_"))
}

fn is_stub(text: String) -> bool {
    Stub::read(&text).is_some()
}

/// Returns whether a text is a document with tokens.
fn holds_tokens(text: &str) -> bool {
    documents::read::<StoredSignIn>(text).is_some_and(|stored| stored.tokens.is_some())
}

/// Does what may wait for a disk, in a thread of its own.
pub(super) async fn off_loop<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The program ends.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The text of a regular file of a size that it can have; none where there is no file.
fn read_regular(path: &Path) -> io::Result<Option<String>> {
    match files::read_regular_text(path, files::SETTINGS_LIMIT) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether a file will be just as unreadable the next time.
fn is_for_good(error: &io::Error) -> bool {
    use io::ErrorKind::{
        FileTooLarge, InvalidData, InvalidInput, IsADirectory, NotADirectory, PermissionDenied,
    };
    // A socket cannot be opened at all.
    matches!(
        error.kind(),
        FileTooLarge | InvalidData | InvalidInput | IsADirectory | NotADirectory | PermissionDenied
    ) || error.raw_os_error() == Some(platform::NO_SUCH_DEVICE)
}

/// Writes a file whole: under another name first, so that no process reads half of it. The caller holds the lock, so
/// files that killed processes left beside it, which may hold tokens, are removed.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    platform::create_private_folder(path.parent().unwrap_or(Path::new("")))?;
    files::sweep_temporary(path);
    files::replace_durably(path, text)
}

impl Tokens {
    /// Has them taken out of what is written down.
    pub fn register_secrets(&self) {
        redact::register_token(&self.access_token);
        [&self.refresh_token, &self.id_token]
            .into_iter()
            .flatten()
            .for_each(|token| redact::register_token(token));
        self.dpop_key.iter().for_each(DpopKey::register_secret);
    }
}

impl StoredSignIn {
    /// Returns whether it is imported from mcp-remote, whose files do not name the token endpoint.
    pub(super) fn is_mcp_remote_import(&self) -> bool {
        self.authorization.as_ref().is_some_and(|authorization| authorization.token_endpoint.is_empty())
    }

    /// Has its secrets taken out of what is written down.
    fn register_secrets(&self) {
        self.tokens.iter().for_each(Tokens::register_secrets);
        self.client.iter().chain(&self.registrations).for_each(OAuthClient::register_secrets);
    }

    /// The access token, which tells one state of it from the next.
    pub(super) fn access_token(&self) -> Option<String> {
        self.tokens.as_ref().map(|tokens| tokens.access_token.clone())
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::sign_in_error::FailureKind;

    fn store(folder: &Path) -> Store {
        Store::of(
            Some(folder.to_owned()),
            &Url::parse("https://mcp.example.com/mcp?key=marked").expect("a URL"),
            "",
        )
    }

    fn read(store: &Store) -> StoredSignIn {
        store.read().expect("readable")
    }

    #[test]
    fn stored_sign_in_is_read_back_and_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        assert!(read(&store) == StoredSignIn::default());
        let tokens = Tokens { access_token: "marked-token".to_owned(), ..Tokens::default() };
        let stored =
            StoredSignIn { tokens: Some(tokens), resource: Some("r".to_owned()), ..StoredSignIn::default() };
        store.write(&stored).expect("written");
        store.write(&stored).expect("written");
        assert!(read(&store) == stored);
        let path = store.path("json").expect("a path");
        assert!(
            !platform::others_can_read(&path) && !platform::others_can_read(path.parent().expect("a parent"))
        );
        assert!(!path.display().to_string().contains("marked"));
        let files = std::fs::read_dir(path.parent().expect("a parent")).expect("a folder").count();
        assert_eq!(files, 1, "nothing is left behind");
        assert!(!format!("{:?}", read(&store).tokens).contains("marked"));
        std::fs::write(&path, "{").expect("written");
        assert!(read(&store) == StoredSignIn::default());
        assert!(store.forget().expect("removed") && !store.forget().expect("nothing"));
    }

    #[test]
    fn one_has_the_lock_until_it_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let lock = store.try_flow().expect("free");
        assert!(store.try_flow().is_err());
        assert!(lock.pending().is_none());
        let pending = PendingSignIn {
            at: 1,
            prompt: Prompt::Page(AuthorizationRequest {
                url: "u".to_owned(),
                state: "s".to_owned(),
                verifier: "v".to_owned(),
                redirect: "r".to_owned(),
                scope: None,
            }),
            authorization: AuthorizationServer::default(),
            resource: "x".to_owned(),
            client: OAuthClient::default(),
            dpop_key: DpopKey::generate(),
        };
        lock.note(Some(&pending));
        assert!(store.pending() == Some(pending.clone()));
        drop(lock);
        let lock = store.try_flow().expect("free again");
        assert!(lock.pending() == Some(pending));
        lock.note(None);
        assert!(lock.pending().is_none() && store.pending().is_none());
        let nowhere = Store::of(None, &Url::parse("https://h/").expect("a URL"), "");
        assert!(nowhere.write(&StoredSignIn::default()).is_err());
        assert!(nowhere.try_flow().is_ok() && nowhere.try_flow().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn lock_that_stays_held_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let lock = store.try_lock().expect("free");
        let patience = Duration::from_secs(40);
        let refused = store.lock(patience).await.expect_err("held");
        assert!(matches!(&refused, LockError::Held { .. }), "{refused}");
        assert!(refused.to_string().contains(".lock"), "{refused}");
        drop(lock);
        assert!(store.lock(patience).await.is_ok());
    }

    #[test]
    fn only_regular_files_of_their_size_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let path = store.path("json").expect("a path");
        std::fs::create_dir_all(&path).expect("a folder in its place");
        assert!(read(&store) == StoredSignIn::default() && store.own().is_none());
        std::fs::remove_dir(&path).expect("removed");
        std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).expect("written");
        assert!(read(&store) == StoredSignIn::default() && store.own().is_none());
        std::fs::write(&path, b"\xff").expect("written");
        assert!(read(&store) == StoredSignIn::default());
    }

    #[test]
    fn failed_sign_in_is_noted_without_a_servers_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let flow = store.try_flow().expect("free");
        let failed = FailedSignIn { at: 7, kind: FailureKind::Registration };
        flow.note_failed(&failed);
        assert_eq!(flow.failed(), Some(failed));
        // As an earlier version has written it.
        flow.lock().write(r#"{"in_vain":{"at":7,"sentence":"marked","advice":"marked"}}"#);
        assert_eq!(flow.failed(), None);
        flow.lock().write(r#"{"in_vain":{"at":18446744073709551615,"kind":"marked"}}"#);
        assert_eq!(flow.failed(), Some(FailedSignIn { at: u64::MAX, kind: FailureKind::Other }));
    }

    /// As the version before the `serde` types has written it, member by member.
    const BEFORE: &str = r#"{"resource":"https://h/mcp","authorization":{"issuer":"https://as","published_issuer":"https://as/","authorization_endpoint":"https://as/go","device_authorization_endpoint":"https://as/d","token_endpoint":"https://as/t","registration_endpoint":"https://as/r","revocation_endpoint":"https://as/v","scopes_supported":["a","b"],"code_challenge_methods_supported":["S256"],"token_endpoint_auth_methods_supported":["none"],"client_id_metadata_document_supported":false,"authorization_response_iss_parameter_supported":true},"client":{"issuer":"https://as","client_id":"c","client_secret":"s","client_secret_expires_at":9,"token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1:1/cb"]},"tokens":{"access_token":"a","id_token":"i","refresh_token":"r","obtained":1,"expires":2,"scope":"x","requested":"x y"},"registrations":[{"issuer":"https://as","client_id":"c","client_secret_expires_at":0,"redirect_uris":[]}],"client_issuer":"https://as","omits_resource":true,"refused_at":7}"#;

    #[test]
    fn document_of_previous_version_is_read_and_written_alike() {
        let stored: StoredSignIn = documents::read(BEFORE).expect("a document");
        assert_eq!(documents::write(&stored), BEFORE);
        let nothing = StoredSignIn::default();
        assert_eq!(documents::write(&nothing), r#"{"registrations":[]}"#);
    }

    #[test]
    fn unusable_members_of_stored_document_are_passed_over() {
        let text = r#"{"new":{"x":[1e999]},"resource":5,"resource":"last","tokens":{"access_token":"a","expires":"2","obtained":-1,"scope":null},"client":{"client_id":7},"registrations":[5,{"client_id":"c","redirect_uris":[1,"u"]},{"issuer":"x"}],"omits_resource":"true","refused_at":1.5}"#;
        let stored: StoredSignIn = documents::read(text).expect("a document");
        let tokens = Tokens { access_token: "a".to_owned(), ..Tokens::default() };
        let client = OAuthClient {
            client_id: "c".to_owned(),
            redirect_uris: vec!["u".to_owned()],
            ..OAuthClient::default()
        };
        let expected = StoredSignIn {
            resource: Some("last".to_owned()),
            tokens: Some(tokens),
            registrations: vec![client],
            ..StoredSignIn::default()
        };
        assert!(stored == expected);
        assert!(documents::read::<StoredSignIn>("[]").is_none());
    }

    #[test]
    fn reads_and_writes_pending_documents_of_previous_version() {
        let page = r#""request":{"url":"u","state":"s","verifier":"v","redirect":"r","scope":"x"}"#;
        let device = r#""device":{"device_code":"d","user_code":"AB","page":"p","interval":5000,"until":9}"#;
        for prompt in [page, device] {
            let text = format!(
                r#"{{"at":1,{prompt},"authorization":{{"issuer":"i","authorization_endpoint":"","token_endpoint":"t"}},"resource":"x","client":{{"issuer":"i","client_id":"c","client_secret_expires_at":0,"redirect_uris":[]}},"pid":{}}}"#,
                std::process::id()
            );
            let pending = PendingSignIn::read(&text).expect("a document");
            assert_eq!(pending.document().write(), text);
        }
    }

    #[test]
    fn debug_output_of_documents_shows_no_secret() {
        let mut stored: StoredSignIn =
            documents::read(&BEFORE.replace(r#""a","id"#, r#""marked","id"#)).expect("a document");
        let device = DeviceAuthorization {
            device_code: "marked".to_owned(),
            user_code: "AB".to_owned(),
            page: "p".to_owned(),
            interval: 1,
            until: 1,
            scope: None,
        };
        let request = AuthorizationRequest {
            url: "u?state=marked".to_owned(),
            state: "marked".to_owned(),
            verifier: "marked".to_owned(),
            redirect: "r".to_owned(),
            scope: None,
        };
        let shown = format!("{:?} {:?} {device:?} {request:?}", stored.tokens.take(), stored.client.take());
        assert!(shown.contains("Tokens") && !shown.contains("marked"), "{shown}");
    }
}
