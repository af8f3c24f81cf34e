//! What is kept of sign-ins from one start to the next, for all processes of this person: one file for each server in
//! `mcp-tether/oauth` of the configuration folder, its owner's alone (0600 in 0700), written whole under another name first.
//!
//! - `HOST-HASH.json`: the tokens, the issuer and the resource they are bound to, the authorization server's metadata (so
//!   that a start needs no discovery), and the registrations, each bound to its issuer.
//! - `HOST-HASH.lock`: locked while tokens are exchanged for others. It says nothing.
//! - `HOST-HASH.flow`: locked by the process in which a person signs in; holds the request, so that another one can go on
//!   with it when that process is gone, or why it came to nothing, for those who waited.
//!
//! As long as the first is not there, what mcp-remote has kept takes its place ([`inherited`]).
//!
//! Locks are the operating system's and go with the process. The hash is of the URL, which may hold a key, and of what else
//! the person wrote to tell sign-ins apart: a resource, parameters of the page, a client that signs in by itself. Deliberately
//! not here: what is done under a lock (`super`).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tracing::{debug, warn};
use url::Url;

use super::client::Client;
use super::device::Device;
use super::inherited;
use super::metadata::Authorization;
use super::object::{Object, Written};
use super::request::Request;
use super::trouble::Errand;
use crate::platform;
use crate::redact;

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
pub struct Kept {
    /// What the server is called at the authorization server.
    pub resource: Option<String>,
    /// Who signs people in.
    pub authorization: Option<Authorization>,
    /// Who we are there.
    pub client: Option<Client>,
    /// The tokens, of that issuer for that resource.
    pub tokens: Option<Tokens>,
    /// What we registered.
    pub registrations: Vec<Client>,
}

/// What a person was asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Asked {
    /// To sign in on a page that leads back.
    Page(Request),
    /// To give a code to a page.
    Device(Device),
}

impl Asked {
    /// Where a person is to go, and the code to give there.
    pub fn errand(&self) -> Errand {
        match self {
            Asked::Page(request) => Errand { url: request.url.clone(), code: None },
            Asked::Device(device) => device.errand(),
        }
    }

    /// What tokens are to allow.
    pub(super) fn scope(&self) -> Option<&str> {
        match self {
            Asked::Page(request) => request.scope.as_deref(),
            Asked::Device(device) => device.scope.as_deref(),
        }
    }
}

/// A sign-in that another process may go on with.
#[derive(Clone, PartialEq, Eq)]
pub struct Begun {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What a person was asked for.
    pub asked: Asked,
    /// Whom it went to.
    pub authorization: Authorization,
    /// What the server is called there.
    pub resource: String,
    /// Who we are there.
    pub client: Client,
}

/// The files of one server, or none where the system names no folder for configuration.
#[derive(Clone, Debug)]
pub struct Store {
    base: Option<PathBuf>,
    /// Where mcp-remote has its files of the same sign-in.
    inherited: Option<PathBuf>,
}

/// A lock. It goes with its owner.
#[derive(Debug)]
pub struct Lock {
    file: Option<File>,
}

impl Store {
    /// The files for a server in the configuration folder; `distinction` tells several sign-ins there apart.
    pub fn of(folder: Option<PathBuf>, server: &Url, distinction: &str) -> Store {
        let mut server = server.clone();
        server.set_fragment(None);
        let named = match distinction {
            "" => server.as_str().to_owned(),
            distinction => format!("{server}\n{distinction}"),
        };
        let hash = digest(&SHA256, named.as_bytes());
        let hash: String = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let host: String = server.host_str().unwrap_or_default().chars().take(80).collect();
        let name = format!("{}-{hash}", host.replace(['[', ']', ':'], "_"));
        let base = folder.map(|folder| folder.join("mcp-tether").join("oauth").join(name));
        Store { base, inherited: None }
    }

    /// The same, with what mcp-remote has kept as long as there is nothing of ours.
    #[must_use]
    pub fn inheriting(self, inherited: Option<PathBuf>) -> Store {
        Store { inherited, ..self }
    }

    /// The file that holds the tokens now.
    pub(super) fn place(&self) -> Option<PathBuf> {
        let own = self.path("json")?;
        match &self.inherited {
            Some(path) if !own.exists() => Some(inherited::tokens_path(path)),
            _ => Some(own),
        }
    }

    fn inherited(&self) -> Option<Kept> {
        inherited::read(self.inherited.as_deref()?)
    }

    /// A file of the server.
    pub fn path(&self, extension: &str) -> Option<PathBuf> {
        let mut path = self.base.clone()?.into_os_string();
        path.push(".");
        path.push(extension);
        Some(path.into())
    }

    /// The tokens that are kept, without a word where there are none.
    pub fn tokens(&self) -> Option<Tokens> {
        let text = std::fs::read_to_string(self.path("json")?).ok()?;
        let tokens = Object::parse(&text)?.object("tokens").and_then(Tokens::read)?;
        tokens.learn();
        Some(tokens)
    }

    /// What is kept. What cannot be read is as good as nothing, and is told.
    pub fn read(&self) -> Kept {
        let Some(path) = self.path("json") else { return Kept::default() };
        let nothing = || self.inherited().unwrap_or_default();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return nothing(),
            Err(error) => {
                warn!("the sign-in kept in {} cannot be read: {error}", path.display());
                return Kept::default();
            }
        };
        if platform::others_can_read(&path) {
            warn!("{0} holds tokens, and others on this computer can read it: chmod 600 {0}", path.display());
        }
        let kept: Kept = Object::parse(&text).map(Kept::read).unwrap_or_else(|| {
            warn!("{} holds nothing that can be understood; you have to sign in again", path.display());
            Kept::default()
        });
        kept.tokens.iter().for_each(Tokens::learn);
        kept.client.iter().chain(&kept.registrations).for_each(Client::learn);
        kept
    }

    /// Keeps something in place of what was kept, and tells whether that went well. Where it does not it is said: the
    /// next start will have to ask again.
    pub fn write(&self, kept: &Kept) -> bool {
        let Some(path) = self.path("json") else {
            warn!("this system has no folder for configuration: the sign-in ends with this program");
            return false;
        };
        let written = replace(&path, kept.write().as_bytes());
        if let Err(error) = &written {
            warn!(
                "{} cannot be written, so that the sign-in ends with this program: {error}",
                path.display()
            );
        }
        written.is_ok()
    }

    /// Forgets everything. Tells whether there was anything.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn forget(&self) -> io::Result<bool> {
        let Some(path) = self.path("json") else { return Ok(false) };
        if let Some(mut flow) = self.try_flow() {
            flow.note(None);
        }
        if let Some(_alone) = self.try_lock("lock") {
            sweep(&path);
        }
        if self.inherited().is_some() {
            // It would be used again: that nothing is held stands in our own file.
            let was_there = self.read().tokens.is_some();
            return replace(&path, Kept::default().write().as_bytes()).map(|()| was_there);
        }
        match std::fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until no other process changes tokens.
    pub async fn lock(&self) -> Lock {
        loop {
            if let Some(lock) = self.try_lock("lock") {
                return lock;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// The right to have a person sign in, unless another process has it.
    pub fn try_flow(&self) -> Option<Lock> {
        self.try_lock("flow")
    }

    /// The sign-in that was begun in another process, if there is one.
    pub fn begun(&self) -> Option<Begun> {
        Begun::read(&std::fs::read_to_string(self.path("flow")?).ok()?)
    }

    /// A lock on one of the files. Where files cannot be locked everybody is alone.
    fn try_lock(&self, extension: &str) -> Option<Lock> {
        let Some(path) = self.path(extension) else { return Some(Lock { file: None }) };
        let opened = path.parent().map_or(Ok(()), platform::create_private_folder).and_then(|()| {
            let mut options = OpenOptions::new();
            platform::for_owner_alone(options.read(true).write(true).create(true).truncate(false)).open(&path)
        });
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                debug!(%error, "{} cannot be opened", path.display());
                return Some(Lock { file: None });
            }
        };
        match file.try_lock() {
            Ok(()) => Some(Lock { file: Some(file) }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => {
                debug!(%error, "{} cannot be locked", path.display());
                Some(Lock { file: None })
            }
        }
    }
}

impl Lock {
    /// What the file under the lock says of a sign-in.
    pub fn begun(&mut self) -> Option<Begun> {
        Begun::read(&self.text()?)
    }

    /// What the file under the lock says of one that came to nothing.
    pub fn in_vain(&mut self) -> Option<InVain> {
        let text = self.text()?;
        let object = Object::parse(&text)?.object("in_vain")?;
        Some(InVain {
            at: object.count("at")?,
            sentence: object.text("sentence")?,
            advice: object.text("advice")?,
        })
    }

    fn text(&mut self) -> Option<String> {
        let file = self.file.as_mut()?;
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
        Some(text)
    }

    /// Says there that one was begun, or that none is. Whoever cannot read it begins another.
    pub fn note(&mut self, begun: Option<&Begun>) {
        self.write(&begun.map(Begun::write).unwrap_or_default());
    }

    /// Says there that one came to nothing.
    pub fn note_in_vain(&mut self, in_vain: &InVain) {
        let written = Written::default()
            .count("at", Some(in_vain.at))
            .text("sentence", Some(&in_vain.sentence))
            .text("advice", Some(&in_vain.advice))
            .finish();
        self.write(&Written::default().raw("in_vain", Some(written)).finish());
    }

    fn write(&mut self, text: &str) {
        let Some(file) = self.file.as_mut() else { return };
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            debug!(%error, "the sign-in under way cannot be noted");
        }
    }
}

/// A sign-in that came to nothing, for those who waited for it: when, in seconds since 1970, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InVain {
    /// When.
    pub at: u64,
    /// What was wrong.
    pub sentence: String,
    /// What to do about it.
    pub advice: String,
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
    pub fn learn(&self) {
        redact::register_token(&self.access_token);
        [&self.refresh_token, &self.id_token]
            .into_iter()
            .flatten()
            .for_each(|token| redact::register_token(token));
    }
}

impl Kept {
    /// Tells whether it is mcp-remote's, which does not say where tokens are exchanged for others.
    pub(super) fn is_inherited(&self) -> bool {
        self.authorization.as_ref().is_some_and(|authorization| authorization.token_endpoint.is_empty())
    }

    fn read(object: Object<'_>) -> Kept {
        Kept {
            resource: object.text("resource"),
            authorization: object.object("authorization").and_then(Authorization::read),
            client: object.object("client").and_then(Client::read),
            tokens: object.object("tokens").and_then(Tokens::read),
            registrations: object.objects("registrations").into_iter().filter_map(Client::read).collect(),
        }
    }

    fn write(&self) -> String {
        let registrations: Vec<String> = self.registrations.iter().map(Client::write).collect();
        Written::default()
            .text("resource", self.resource.as_deref())
            .raw("authorization", self.authorization.as_ref().map(Authorization::write))
            .raw("client", self.client.as_ref().map(Client::write))
            .raw("tokens", self.tokens.as_ref().map(Tokens::write))
            .raw("registrations", Some(format!("[{}]", registrations.join(","))))
            .finish()
    }
}

impl Begun {
    fn read(text: &str) -> Option<Begun> {
        let object = Object::parse(text)?;
        let page = || object.object("request").and_then(Request::read).map(Asked::Page);
        let begun = Begun {
            at: object.count("at")?,
            asked: object.object("device").and_then(Device::read).map(Asked::Device).or_else(page)?,
            authorization: object.object("authorization").and_then(Authorization::read)?,
            resource: object.text("resource")?,
            client: object.object("client").and_then(Client::read)?,
        };
        match &begun.asked {
            Asked::Page(request) => redact::register_token(&request.verifier),
            Asked::Device(device) => redact::register_token(&device.device_code),
        }
        begun.client.learn();
        Some(begun)
    }

    fn write(&self) -> String {
        let (name, asked) = match &self.asked {
            Asked::Page(request) => ("request", request.write()),
            Asked::Device(device) => ("device", device.write()),
        };
        Written::default()
            .count("at", Some(self.at))
            .raw(name, Some(asked))
            .raw("authorization", Some(self.authorization.write()))
            .text("resource", Some(&self.resource))
            .raw("client", Some(self.client.write()))
            .finish()
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

    #[test]
    fn what_is_kept_comes_back_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        assert!(store.read() == Kept::default());
        let tokens = Tokens { access_token: "marked-token".to_owned(), ..Tokens::default() };
        let kept = Kept { tokens: Some(tokens), resource: Some("r".to_owned()), ..Kept::default() };
        store.write(&kept);
        store.write(&kept);
        assert!(store.read() == kept);
        let path = store.path("json").expect("a path");
        assert!(
            !platform::others_can_read(&path) && !platform::others_can_read(path.parent().expect("a parent"))
        );
        assert!(!path.display().to_string().contains("marked"));
        let files = std::fs::read_dir(path.parent().expect("a parent")).expect("a folder").count();
        assert_eq!(files, 1, "nothing is left behind");
        assert!(!format!("{:?}", store.read().tokens).contains("marked"));
        std::fs::write(&path, "{").expect("written");
        assert!(store.read() == Kept::default());
        assert!(store.forget().expect("removed") && !store.forget().expect("nothing"));
    }

    #[test]
    fn one_has_the_lock_until_it_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let mut lock = store.try_flow().expect("free");
        assert!(store.try_flow().is_none());
        assert!(lock.begun().is_none());
        let begun = Begun {
            at: 1,
            asked: Asked::Page(Request {
                url: "u".to_owned(),
                state: "s".to_owned(),
                verifier: "v".to_owned(),
                redirect: "r".to_owned(),
                scope: None,
            }),
            authorization: Authorization::default(),
            resource: "x".to_owned(),
            client: Client::default(),
        };
        lock.note(Some(&begun));
        assert!(store.begun() == Some(begun.clone()));
        drop(lock);
        let mut lock = store.try_flow().expect("free again");
        assert!(lock.begun() == Some(begun));
        lock.note(None);
        assert!(lock.begun().is_none() && store.begun().is_none());
        let nowhere = Store::of(None, &Url::parse("https://h/").expect("a URL"), "");
        nowhere.write(&Kept::default());
        assert!(nowhere.try_flow().is_some() && nowhere.try_flow().is_some());
    }
}
