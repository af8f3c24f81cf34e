//! The hosts at which a service token has been proved to belong, for all processes of this user: one small JSON file,
//! `mcp-tether/access-hosts.json` in the configuration folder, its owner's alone (0600 in 0700).
//!
//! It holds no secret: a client id names a service token and opens nothing. It is written whole under another name and
//! renamed, under a lock, so that two processes lose nothing of each other's. A file that cannot be read, or does not hold
//! what it should, counts as none. Deliberately not here: the proof (`access_proof`).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;
use url::Url;

use super::access_metadata::Team;
use crate::{files, platform};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 512 * 1024;
/// The most hosts that are kept; the oldest go first.
const MOST: usize = 500;
/// The longest host or client id, in bytes.
const LONGEST_NAME: usize = 256;
/// How often a lock that another process holds is tried again, and how many times.
const RETRY: Duration = Duration::from_millis(20);
const RETRIES: usize = 50;

/// One host that a service token may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedHost {
    scheme: String,
    host: String,
    port: u16,
    client_id: String,
    /// The team whose application protects the host.
    pub team: Team,
}

impl ProvedHost {
    /// The origin of `url`, proved for this client id; none where the URL has no host, or a name is too long.
    pub fn new(url: &Url, client_id: &str, team: &Team) -> Option<ProvedHost> {
        let entry = ProvedHost {
            scheme: url.scheme().to_owned(),
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
            client_id: client_id.to_owned(),
            team: team.clone(),
        };
        entry.is_bounded().then_some(entry)
    }

    /// The client id of the service token.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    fn is_bounded(&self) -> bool {
        let is_bounded = |text: &str| (1..=LONGEST_NAME).contains(&text.len());
        self.scheme == "https" && is_bounded(&self.host) && is_bounded(&self.client_id)
    }

    /// Returns whether this is the origin of `url` for this client id.
    fn is_of(&self, url: &Url, client_id: &str) -> bool {
        self.client_id == client_id
            && self.scheme == url.scheme()
            && Some(self.host.as_str()) == url.host_str()
            && Some(self.port) == url.port_or_known_default()
    }

    fn is_same_place(&self, other: &ProvedHost) -> bool {
        (&self.scheme, &self.host, self.port, &self.client_id)
            == (&other.scheme, &other.host, other.port, &other.client_id)
    }
}

/// An entry as the file has it.
#[derive(Serialize, Deserialize)]
struct HostRecord {
    scheme: String,
    host: String,
    port: u16,
    client_id: String,
    team: String,
}

/// What stands in the file.
#[derive(Default, Serialize, Deserialize)]
struct HostsDocument {
    hosts: Vec<HostRecord>,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProvedHosts(Vec<ProvedHost>);

impl ProvedHosts {
    /// The team whose application protects the origin of `url`, where that was proved for this client id.
    pub fn proved(&self, url: &Url, client_id: &str) -> Option<&Team> {
        self.0.iter().find(|entry| entry.is_of(url, client_id)).map(|entry| &entry.team)
    }

    /// The team that a client id belongs to: the one that was first seen for it.
    pub fn team(&self, client_id: &str) -> Option<&Team> {
        self.0.iter().find(|entry| entry.client_id == client_id).map(|entry| &entry.team)
    }

    /// Takes a host out again.
    pub(super) fn remove(&mut self, host: &ProvedHost) {
        self.0.retain(|known| known != host);
    }

    /// Adds what another reading of the file has.
    pub(super) fn merge(&mut self, other: ProvedHosts) {
        other.0.into_iter().for_each(|host| self.add(host));
    }

    /// Adds a host in place of what was known of it.
    pub(super) fn add(&mut self, host: ProvedHost) {
        self.0.retain(|known| !known.is_same_place(&host));
        self.0.push(host);
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.drain(..surplus);
    }

    /// What a text holds; none where it is not of the right form. Entries that cannot be are left out.
    fn parse(text: &[u8]) -> Option<ProvedHosts> {
        let document: HostsDocument = serde_json::from_slice(text).ok()?;
        let read = |line: HostRecord| {
            let HostRecord { scheme, host, port, client_id, team } = line;
            let entry = ProvedHost { scheme, host, port, client_id, team: Team::new(&team)? };
            entry.is_bounded().then_some(entry)
        };
        Some(ProvedHosts(document.hosts.into_iter().filter_map(read).take(MOST).collect()))
    }

    fn write(&self) -> io::Result<Vec<u8>> {
        let hosts = self.0.iter().map(|entry| HostRecord {
            scheme: entry.scheme.clone(),
            host: entry.host.clone(),
            port: entry.port,
            client_id: entry.client_id.clone(),
            team: entry.team.domain().to_owned(),
        });
        let mut text = serde_json::to_vec_pretty(&HostsDocument { hosts: hosts.collect() })?;
        text.push(b'\n');
        Ok(text)
    }
}

/// How a host was remembered.
#[derive(Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It stands in the file.
    Saved,
    /// Another process has seen the client id belong to this other team.
    OtherTeam(Team),
    /// It counts for this process alone, for this reason.
    NotSaved(String),
}

/// The file, or none where the system names no folder for configuration.
#[derive(Clone, Debug)]
pub struct HostsFile {
    path: Option<PathBuf>,
}

impl HostsFile {
    /// The file in a configuration folder, which need not be there.
    pub fn of(folder: Option<PathBuf>) -> HostsFile {
        HostsFile { path: folder.map(|folder| folder.join("mcp-tether").join("access-hosts.json")) }
    }

    /// What it holds. A file that cannot be used counts as none, and the log says so. Blocks.
    pub fn read(&self) -> ProvedHosts {
        let Some(path) = &self.path else { return ProvedHosts::default() };
        match read_regular(path) {
            Ok(None) => ProvedHosts::default(),
            Ok(Some(text)) => ProvedHosts::parse(&text).unwrap_or_else(|| {
                warn!("{} does not hold what it should and counts for nothing", path.display());
                ProvedHosts::default()
            }),
            Err(error) => {
                warn!("{} cannot be read and counts for nothing: {error}", path.display());
                ProvedHosts::default()
            }
        }
    }

    /// Adds a host, unless the client id belongs to another team by now. Blocks, for about a second at most.
    pub fn remember(&self, host: ProvedHost) -> Remembered {
        let Some(path) = &self.path else {
            return Remembered::NotSaved("this system has no folder for configuration".to_owned());
        };
        let written = lock(path).and_then(|_lock| {
            let mut known = self.read();
            if let Some(team) = known.team(&host.client_id).filter(|team| **team != host.team) {
                return Ok(Remembered::OtherTeam(team.clone()));
            }
            known.add(host);
            replace(path, &known.write()?)?;
            Ok(Remembered::Saved)
        });
        written.unwrap_or_else(|error| {
            Remembered::NotSaved(format!("{} cannot be written: {error}", path.display()))
        })
    }
}

/// The bytes of a regular file; none where there is no file.
fn read_regular(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // Opening a pipe would block.
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(io::Error::other("it is not a regular file")),
        Ok(found) if found.len() > LONGEST => Err(io::Error::other("it is too long")),
        Ok(_) => {
            let mut text = Vec::new();
            File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until no other process writes the file. The lock goes with what is returned.
fn lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        platform::create_private_folder(folder)?;
    }
    let path = path.with_extension("lock");
    if std::fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("its lock is not a regular file"));
    }
    let mut options = OpenOptions::new();
    // On Windows a lock needs a handle that can read.
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = platform::for_owner_alone(options).open(&path)?;
    for _ in 0..RETRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(RETRY),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other("another process holds its lock"))
}

/// Writes a file whole under another name, and renames it. What is there and not a regular file stays. The caller has the
/// lock.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("what is there is not a regular file"));
    }
    files::sweep_temporary(path);
    files::replace_durably(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a1b.access";

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn team(name: &str) -> Team {
        Team::new(&format!("{name}.cloudflareaccess.com")).expect("a team")
    }

    fn host(at: &str, id: &str, name: &str) -> ProvedHost {
        ProvedHost::new(&url(at), id, &team(name)).expect("an entry")
    }

    #[test]
    fn remembers_origin_client_id_and_team() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = HostsFile::of(Some(folder.path().to_owned()));
        assert_eq!(file.read(), ProvedHosts::default());
        assert_eq!(file.remember(host("https://mcp.example.test/mcp", ID, "acme")), Remembered::Saved);
        assert_eq!(file.remember(host("https://mcp.example.test:8443/", "2.access", "b")), Remembered::Saved);
        let known = file.read();
        for (at, id, expected) in [
            ("https://mcp.example.test/other?x", ID, Some(team("acme"))),
            ("https://mcp.example.test:443/", ID, Some(team("acme"))),
            ("https://mcp.example.test:8443/", ID, None),
            ("https://mcp.example.test:8443/", "2.access", Some(team("b"))),
            ("http://mcp.example.test:443/mcp", ID, None),
            ("https://other.example.test/mcp", ID, None),
            ("https://mcp.example.test/mcp", "2.access", None),
            ("https://mcp.example.test/mcp", "0A1B.access", None),
        ] {
            assert_eq!(known.proved(&url(at), id), expected.as_ref(), "{at} {id}");
        }
        assert_eq!((known.team(ID), known.team("3.access")), (Some(&team("acme")), None));
        let path = file.path.clone().expect("a path");
        assert!(!platform::others_can_read(&path), "its owner's alone");
        assert!(!platform::others_can_read(path.parent().expect("a folder")), "its owner's alone");
    }

    #[test]
    fn rejects_second_team_for_client_id() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = HostsFile::of(Some(folder.path().to_owned()));
        assert_eq!(file.remember(host("https://a.test/", ID, "acme")), Remembered::Saved);
        let other = file.remember(host("https://b.test/", ID, "evil"));
        assert_eq!(other, Remembered::OtherTeam(team("acme")));
        assert_eq!(file.read().proved(&url("https://b.test/"), ID), None);
    }

    #[test]
    fn broken_file_counts_as_none_and_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = HostsFile::of(Some(folder.path().to_owned()));
        let path = file.path.clone().expect("a path");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let entry = |team: &str, port: &str| {
            format!(
                r#"{{"hosts":[{{"scheme":"https","host":"a.test","port":{port},"client_id":"{ID}","team":"{team}"}}]}}"#
            )
        };
        let longest = " ".repeat(600 * 1024);
        for text in [
            "",
            "{",
            "[]",
            "\u{0}",
            r#"{"hosts":5}"#,
            &entry("acme.example.com", "443"),
            &entry("a.b.cloudflareaccess.com", "443"),
            &entry("acme.cloudflareaccess.com", "18446744073709551615"),
            &entry("acme.cloudflareaccess.com", "-1"),
            &longest,
        ] {
            std::fs::write(&path, text).expect("written");
            let shown: String = text.chars().take(100).collect();
            assert_eq!(file.read(), ProvedHosts::default(), "{shown}");
            assert_eq!(file.remember(host("https://c.test/", ID, "acme")), Remembered::Saved, "{shown}");
            assert_eq!(file.read().0.len(), 1, "{shown}");
        }
    }

    #[test]
    fn directory_in_place_of_file_is_kept_and_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = HostsFile::of(Some(folder.path().to_owned()));
        std::fs::create_dir_all(file.path.as_ref().expect("a path")).expect("a folder");
        assert_eq!(file.read(), ProvedHosts::default());
        let remembered = file.remember(host("https://c.test/", ID, "acme"));
        assert!(
            matches!(&remembered, Remembered::NotSaved(report) if report.contains("regular")),
            "{remembered:?}"
        );
        let nowhere = HostsFile::of(None).remember(host("https://c.test/", ID, "acme"));
        assert!(matches!(nowhere, Remembered::NotSaved(_)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pipe_in_place_of_file_blocks_nothing() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().expect("a folder");
        let file = HostsFile::of(Some(folder.path().to_owned()));
        let path = file.path.clone().expect("a path");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let owner = Mode::RUSR | Mode::WUSR;
        for name in [path.with_extension("lock"), path.clone()] {
            mknodat(CWD, &name, FileType::Fifo, owner, 0).expect("a pipe");
            assert_eq!(file.read(), ProvedHosts::default());
            let remembered = file.remember(host("https://c.test/", ID, "acme"));
            assert!(matches!(&remembered, Remembered::NotSaved(_)), "{remembered:?}");
            std::fs::remove_file(&name).expect("it is there");
        }
    }

    #[test]
    fn keeps_newest_hosts_within_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = HostsFile::of(Some(folder.path().to_owned()));
        let mut known = ProvedHosts::default();
        for number in 0..=MOST {
            known.add(host(&format!("https://{number}.test/"), ID, "acme"));
        }
        assert_eq!(known.0.len(), MOST);
        assert!(known.proved(&url("https://0.test/"), ID).is_none());
        let path = file.path.clone().expect("a path");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, known.write().expect("text")).expect("written");
        assert_eq!(file.read(), known, "the largest file is read back");
        let too_long = "x".repeat(LONGEST_NAME + 1);
        assert_eq!(ProvedHost::new(&url("https://a.test/"), &too_long, &team("acme")), None);
        assert_eq!(ProvedHost::new(&url("http://a.test/"), ID, &team("acme")), None);
    }

    #[test]
    fn concurrent_writers_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = HostsFile::of(Some(folder.path().to_owned()));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    let remembered = file.remember(host(&format!("https://{number}.test/"), ID, "acme"));
                    assert_eq!(remembered, Remembered::Saved);
                });
            }
        });
        assert_eq!(file.read().0.len(), 8);
    }
}
