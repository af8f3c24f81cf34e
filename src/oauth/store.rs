//! What is kept of sign-ins from one start to the next, for all processes of this person: one file for each server in
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
//! earlier version is taken over by an entry that is only a URL; its name said nothing of headers, so that nobody knows
//! whose it is beside that. Only regular files are read, and no more of them than they can hold. Deliberately not here: the locks themselves
//! (`lock`), and what is done under one (`super`).

pub mod identity;
pub mod lock;
pub mod mcp_remote_import;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tracing::warn;
use url::Url;

use crate::oauth::authorization_request::AuthorizationRequest;
use crate::oauth::client::OAuthClient;
use crate::oauth::device_authorization::DeviceAuthorization;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::object::{Object, Written};
use crate::oauth::sign_in_error::FailureKind;
use crate::oauth::sign_in_error::UserAction;
use crate::oauth::store::lock::{Lock, LockError};
use crate::redact;
use crate::{files, platform};

/// How often a lock that another process holds is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Tokens, and until when they hold.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// What goes along with requests.
    pub access_token: String,
    /// What says who signed in, where that came along.
    pub id_token: Option<String>,
    /// What it is exchanged with for another.
    pub refresh_token: Option<String>,
    /// When it was obtained, in seconds since 1970.
    pub obtained: u64,
    /// When it runs out, likewise, where that is known.
    pub expires: Option<u64>,
    /// What it allows, where that was said.
    pub scope: Option<String>,
    /// What was asked for.
    pub requested: Option<String>,
}

/// All that is kept of one server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoredSignIn {
    /// What the server is called at the authorization server.
    pub resource: Option<String>,
    /// Who signs people in.
    pub authorization: Option<AuthorizationServer>,
    /// Who we are there.
    pub client: Option<OAuthClient>,
    /// The tokens, of that issuer for that resource.
    pub tokens: Option<Tokens>,
    /// What we registered.
    pub registrations: Vec<OAuthClient>,
    /// The issuer at which the secret or key of a client of the options was first used.
    pub client_issuer: Option<String>,
    /// Whether the authorization server exchanges these tokens only where the server is not named.
    pub omits_resource: bool,
    /// When the exchange of these tokens was refused, in seconds since 1970. They are kept until a sign-in has brought others.
    pub refused_at: Option<u64>,
}

/// What a person was asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Prompt {
    /// To sign in on a page that leads back.
    Page(AuthorizationRequest),
    /// To give a code to a page.
    Device(DeviceAuthorization),
}

impl Prompt {
    /// Where a person is to go, and the code to give there.
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

/// A sign-in that another process may go on with.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingSignIn {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What a person was asked for.
    pub prompt: Prompt,
    /// Whom it went to.
    pub authorization: AuthorizationServer,
    /// What the server is called there.
    pub resource: String,
    /// Who we are there.
    pub client: OAuthClient,
}

/// The files of one server, or none where the system names no folder for configuration.
#[derive(Clone, Debug)]
pub struct Store {
    base: Option<PathBuf>,
    /// Where mcp-remote has its files of the same sign-in.
    mcp_remote_import: Option<PathBuf>,
}

impl Store {
    /// The files for a server in the configuration folder; `distinction` tells several sign-ins there apart.
    pub fn of(folder: Option<PathBuf>, server: &Url, distinction: &str) -> Store {
        let mut server = server.clone();
        server.set_fragment(None);
        let named = match distinction {
            "" => server.as_str().to_owned(),
            distinction => format!("{server}\n\n{distinction}"),
        };
        let hash = digest(&SHA256, named.as_bytes());
        let hash: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let host: String = server.host_str().unwrap_or_default().chars().take(80).collect();
        let name = format!("{}-{hash}", host.replace(['[', ']', ':'], "_"));
        let base = folder.map(|folder| folder.join("mcp-tether").join("oauth").join(name));
        Store { base, mcp_remote_import: None }
    }

    /// The same, with what mcp-remote has kept as long as there is nothing of ours.
    #[must_use]
    pub fn with_mcp_remote_import(self, mcp_remote_import: Option<PathBuf>) -> Store {
        Store { mcp_remote_import, ..self }
    }

    /// The file that holds the tokens now.
    pub(super) fn place(&self) -> Option<PathBuf> {
        let own = self.path("json")?;
        match &self.mcp_remote_import {
            Some(path) if !own.exists() => Some(mcp_remote_import::tokens_path(path)),
            _ => Some(own),
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

    /// What is kept in our own file, without a word where there is nothing.
    pub fn own(&self) -> Option<StoredSignIn> {
        let text = read_regular(&self.path("json")?).ok()??;
        let stored = Object::parse(&text).map(StoredSignIn::read)?;
        stored.register_secrets();
        Some(stored)
    }

    /// What is kept. What can never be read is as good as nothing, and is told.
    ///
    /// # Errors
    /// When the system refuses for now.
    pub fn read(&self) -> io::Result<StoredSignIn> {
        let Some(path) = self.path("json") else { return Ok(StoredSignIn::default()) };
        let text = match read_regular(&path) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(self.mcp_remote_import().unwrap_or_default()),
            Err(error) if is_for_good(&error) => {
                warn!("the sign-in kept in {} cannot be read: {error}", path.display());
                return Ok(StoredSignIn::default());
            }
            Err(error) => return Err(error),
        };
        if platform::others_can_read(&path) {
            warn!("{0} holds tokens, and others on this computer can read it: chmod 600 {0}", path.display());
        }
        let stored: StoredSignIn = Object::parse(&text).map(StoredSignIn::read).unwrap_or_else(|| {
            warn!("{} holds nothing that can be understood; you have to sign in again", path.display());
            StoredSignIn::default()
        });
        stored.register_secrets();
        Ok(stored)
    }

    /// Keeps something in place of what was kept.
    ///
    /// # Errors
    /// When the system refuses, in words for a user.
    pub fn write(&self, stored: &StoredSignIn) -> Result<(), String> {
        let Some(path) = self.path("json") else {
            return Err("this system has no folder for configuration".to_owned());
        };
        replace(&path, stored.write().as_bytes())
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    /// Forgets everything, but not where the client of the options may prove itself. Tells whether there was anything.
    /// Whoever calls has the lock.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn forget(&self) -> io::Result<bool> {
        let Some(path) = self.path("json") else { return Ok(false) };
        if let Ok(flow) = self.try_flow() {
            flow.note(None);
        }
        sweep(&path);
        let own = self.own();
        let client_issuer = own.as_ref().and_then(|stored| stored.client_issuer.clone());
        if client_issuer.is_some() || self.mcp_remote_import().is_some() {
            // What mcp-remote has kept would be used again: that nothing is held stands in our own file.
            let was_there = match own {
                Some(own) => own.tokens.is_some(),
                None => self.read()?.tokens.is_some(),
            };
            let nothing = StoredSignIn { client_issuer, ..StoredSignIn::default() };
            return replace(&path, nothing.write().as_bytes()).map(|()| was_there);
        }
        match std::fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
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
        lock.map(FlowLock)
    }

    /// The sign-in that was begun in another process, if there is one.
    pub fn pending(&self) -> Option<PendingSignIn> {
        PendingSignIn::read(&read_regular(&self.path("flow")?).ok()??)
    }
}

/// The lock of a sign-in under way, and what the file under it says.
#[derive(Debug)]
pub struct FlowLock(Lock);

impl FlowLock {
    /// The same lock, for a thread that reads or writes under it.
    pub fn shared(&self) -> FlowLock {
        FlowLock(self.0.shared())
    }

    /// What it says of a sign-in.
    pub fn pending(&self) -> Option<PendingSignIn> {
        PendingSignIn::read(&self.0.text()?)
    }

    /// What it says of one that failed.
    pub fn failed(&self) -> Option<FailedSignIn> {
        let text = self.0.text()?;
        let object = Object::parse(&text)?.object("in_vain")?;
        // A sentence, which earlier versions have written, may hold the words of a server.
        Some(FailedSignIn { at: object.count("at")?, kind: FailureKind::of_word(&object.text("kind")?) })
    }

    /// Says there that one was begun, or that none is. Whoever cannot read it begins another.
    pub fn note(&self, pending: Option<&PendingSignIn>) {
        self.0.write(&pending.map_or_else(|| signed(Written::default()).finish(), PendingSignIn::write));
    }

    /// Says there that one failed, if others are to hear of it.
    pub fn note_failed(&self, failed: &FailedSignIn) {
        let Some(word) = failed.kind.word() else { return self.note(None) };
        let written = Written::default().count("at", Some(failed.at)).text("kind", Some(word)).finish();
        self.0.write(&signed(Written::default().raw("in_vain", Some(written))).finish());
    }
}

/// The same object, with the process that writes it.
fn signed(object: Written) -> Written {
    object.count("pid", Some(std::process::id().into()))
}

/// A sign-in that failed, for those who waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedSignIn {
    /// When, in seconds since 1970.
    pub at: u64,
    /// In which way.
    pub kind: FailureKind,
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

/// Writes a file whole: under another name first, so that nobody ever reads half of it.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    platform::create_private_folder(folder)?;
    let own = path.with_extension(format!("json.{}", std::process::id()));
    sweep(path);
    let written = platform::for_owner_alone(OpenOptions::new().write(true).create_new(true))
        .open(&own)
        .and_then(|mut file| file.write_all(text).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&own, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&own);
    }
    written
}

/// Removes what processes that are gone have left beside a file, which may hold tokens. Whoever writes has the lock.
fn sweep(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let rest = found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.'));
        if rest.is_some_and(|rest| rest.bytes().all(|letter| letter.is_ascii_digit())) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Tokens {
    fn read(object: Object<'_>) -> Option<Tokens> {
        Some(Tokens {
            access_token: object.text("access_token")?,
            id_token: object.text("id_token"),
            refresh_token: object.text("refresh_token"),
            obtained: object.count("obtained").unwrap_or(0),
            expires: object.count("expires"),
            scope: object.text("scope"),
            requested: object.text("requested"),
        })
    }

    fn write(&self) -> String {
        Written::default()
            .text("access_token", Some(&self.access_token))
            .text("id_token", self.id_token.as_deref())
            .text("refresh_token", self.refresh_token.as_deref())
            .count("obtained", Some(self.obtained))
            .count("expires", self.expires)
            .text("scope", self.scope.as_deref())
            .text("requested", self.requested.as_deref())
            .finish()
    }

    /// Has them taken out of what is written down.
    pub fn register_secrets(&self) {
        redact::register_token(&self.access_token);
        [&self.refresh_token, &self.id_token]
            .into_iter()
            .flatten()
            .for_each(|token| redact::register_token(token));
    }
}

impl StoredSignIn {
    /// Tells whether it is mcp-remote's, which does not say where tokens are exchanged for others.
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

    fn read(object: Object<'_>) -> StoredSignIn {
        StoredSignIn {
            client_issuer: object.text("client_issuer"),
            omits_resource: object.flag("omits_resource") == Some(true),
            refused_at: object.count("refused_at"),
            resource: object.text("resource"),
            authorization: object.object("authorization").and_then(AuthorizationServer::read),
            client: object.object("client").and_then(OAuthClient::read),
            tokens: object.object("tokens").and_then(Tokens::read),
            registrations: object
                .objects("registrations")
                .into_iter()
                .filter_map(OAuthClient::read)
                .collect(),
        }
    }

    fn write(&self) -> String {
        let registrations: Vec<String> = self.registrations.iter().map(OAuthClient::write).collect();
        Written::default()
            .text("resource", self.resource.as_deref())
            .raw("authorization", self.authorization.as_ref().map(AuthorizationServer::write))
            .raw("client", self.client.as_ref().map(OAuthClient::write))
            .raw("tokens", self.tokens.as_ref().map(Tokens::write))
            .raw("registrations", Some(format!("[{}]", registrations.join(","))))
            .text("client_issuer", self.client_issuer.as_deref())
            .flag("omits_resource", self.omits_resource.then_some(true))
            .count("refused_at", self.refused_at)
            .finish()
    }
}

impl PendingSignIn {
    fn read(text: &str) -> Option<PendingSignIn> {
        let object = Object::parse(text)?;
        let page = || object.object("request").and_then(AuthorizationRequest::read).map(Prompt::Page);
        let pending = PendingSignIn {
            at: object.count("at")?,
            prompt: object
                .object("device")
                .and_then(DeviceAuthorization::read)
                .map(Prompt::Device)
                .or_else(page)?,
            authorization: object.object("authorization").and_then(AuthorizationServer::read)?,
            resource: object.text("resource")?,
            client: object.object("client").and_then(OAuthClient::read)?,
        };
        match &pending.prompt {
            Prompt::Page(request) => redact::register_token(&request.verifier),
            Prompt::Device(device) => redact::register_token(&device.device_code),
        }
        pending.client.register_secrets();
        Some(pending)
    }

    fn write(&self) -> String {
        let (name, prompt) = match &self.prompt {
            Prompt::Page(request) => ("request", request.write()),
            Prompt::Device(device) => ("device", device.write()),
        };
        let pending = Written::default()
            .count("at", Some(self.at))
            .raw(name, Some(prompt))
            .raw("authorization", Some(self.authorization.write()))
            .text("resource", Some(&self.resource))
            .raw("client", Some(self.client.write()));
        signed(pending).finish()
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
    fn what_is_kept_comes_back_and_is_its_owners_alone() {
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
    async fn lock_that_stays_held_is_an_error_and_not_passed_over() {
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
        flow.0.write(r#"{"in_vain":{"at":7,"sentence":"marked","advice":"marked"}}"#);
        assert_eq!(flow.failed(), None);
        flow.0.write(r#"{"in_vain":{"at":18446744073709551615,"kind":"marked"}}"#);
        assert_eq!(flow.failed(), Some(FailedSignIn { at: u64::MAX, kind: FailureKind::Other }));
    }
}
