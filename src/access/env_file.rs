//! The file that holds a service token: `NAME=value` lines, changed in place and written all at once.
//!
//! Other lines stay as they are; a file in which that cannot be promised is refused by name. The new text is written beside the
//! file under one fixed name, synced, and renamed, so that a run that was killed leaves nothing that the next one does not
//! remove. Deliberately not here: when it is written (`sink`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::auth::cf_access::NEXT;
use crate::config::dotenv;
use crate::files;
use crate::platform;
use crate::redact;
use crate::secret::Secret;

/// The variables of the service token.
pub(super) const PAIR: [&str; 2] = ["CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET"];
/// The variable that limits it to hosts.
pub(super) const HOSTS: &str = "CF_ACCESS_HOSTS";

/// A service token as it is saved.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) client_id: String,
    pub(super) secret: Secret,
}

impl Pair {
    /// A token whose secret is masked from now on.
    pub(super) fn new(client_id: &str, secret: &str) -> Pair {
        redact::register_secret(secret);
        Pair { client_id: client_id.to_owned(), secret: Secret::new(secret) }
    }

    /// The variables that hold it.
    pub(super) fn variables(&self, names: [&'static str; 2]) -> Vec<(&'static str, Option<String>)> {
        let [id, secret] = names;
        vec![(id, Some(self.client_id.clone())), (secret, Some(self.secret.reveal().to_owned()))]
    }
}

/// A file of variables as it was read.
#[derive(Debug)]
pub(super) struct EnvFile {
    /// Where it is, links followed.
    path: PathBuf,
    /// What it held; none where there is no file yet. It may hold secrets.
    text: Option<Secret>,
}

impl EnvFile {
    /// Reads the file, which need not exist yet.
    pub(super) fn read(path: &Path) -> io::Result<EnvFile> {
        // A link stays one: what it leads to is changed.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let text = match files::read_regular_text(&path, files::SETTINGS_LIMIT) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(text) = &text {
            let variables = parse(text)?;
            for (name, value) in &variables {
                if name.contains("SECRET") {
                    redact::register_secret(value);
                }
            }
        }
        Ok(EnvFile { path, text: text.map(Secret::new) })
    }

    /// A variable of it that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let variables = parse(self.text.as_ref()?.reveal()).ok()?;
        variables
            .into_iter()
            .rev()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value)
    }

    /// The service token in it.
    pub(super) fn pair(&self) -> Option<Pair> {
        self.pair_named(PAIR)
    }

    /// The service token that takes over, in it.
    pub(super) fn next_pair(&self) -> Option<Pair> {
        self.pair_named(NEXT)
    }

    fn pair_named(&self, [id, secret]: [&str; 2]) -> Option<Pair> {
        Some(Pair::new(&self.get(id)?, &self.get(secret)?))
    }

    /// The list of hosts with one more.
    pub(super) fn hosts_with(&self, host: &str) -> String {
        let hosts = self.get(HOSTS).unwrap_or_default();
        let is_there = hosts.split(',').any(|entry| entry.trim().eq_ignore_ascii_case(host));
        match (hosts.is_empty(), is_there) {
            (true, _) => host.to_owned(),
            (false, true) => hosts,
            (false, false) => format!("{hosts},{host}"),
        }
    }

    /// The list of hosts and the same with one more, where there is a list that lacks it.
    pub(super) fn missing_host(&self, host: &str) -> Option<(String, String)> {
        let (before, after) = (self.get(HOSTS)?, self.hosts_with(host));
        (before != after).then_some((before, after))
    }

    /// Proves that the file can be written: the same room is written, synced and given back.
    pub(super) fn prove(&self) -> io::Result<()> {
        let room = self.text.as_ref().map_or(0, |text| text.reveal().len()).saturating_add(1024);
        let names = PAIR.into_iter().chain(NEXT).chain([HOSTS]);
        self.changed(&names.map(|name| (name, Some("0.access".to_owned()))).collect::<Vec<_>>())?;
        let (file, beside) = create(&self.path)?;
        let written = fill(file, &vec![b'#'; room]);
        let removed = std::fs::remove_file(&beside);
        written.and(removed)
    }

    /// Sets variables, or removes those without a value, and writes the file. One that is empty then is removed.
    pub(super) fn write(&self, variables: &[(&str, Option<String>)]) -> io::Result<()> {
        let text = self.changed(variables)?;
        match text.trim().is_empty() {
            true => self.remove(),
            false => write(&self.path, text.as_bytes()),
        }
    }

    /// Makes the file what it was when it was read.
    pub(super) fn restore(&self) -> io::Result<()> {
        match &self.text {
            Some(text) => write(&self.path, text.reveal().as_bytes()),
            None => self.remove(),
        }
    }

    fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The text with these variables. Whatever else is in it is the same when it is read again, or it is refused.
    fn changed(&self, variables: &[(&str, Option<String>)]) -> io::Result<String> {
        let before = self.text.as_ref().map_or("", |text| text.reveal());
        let ours = |name: &str| variables.iter().find(|(ours, _)| *ours == name);
        let ending = if before.contains("\r\n") { "\r\n" } else { "\n" };
        let mut text = String::with_capacity(before.len().saturating_add(512));
        let mut written = Vec::new();
        for line in before.split_inclusive('\n') {
            let start = line.trim_start_matches('\u{feff}').trim_start();
            let (prefix, assignment) = match start.strip_prefix("export ") {
                Some(rest) => ("export ", rest.trim_start()),
                None => ("", start),
            };
            let name = assignment.split('=').next().unwrap_or_default().trim();
            match ours(name) {
                Some((name, Some(value))) if !written.contains(name) => {
                    text.push_str(&format!("{prefix}{name}={}{ending}", quoted(value)?));
                    written.push(name);
                }
                Some(_) => {}
                None => text.push_str(line),
            }
        }
        for (name, value) in variables {
            if let Some(value) = value.as_ref().filter(|_| !written.contains(name)) {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push_str(ending);
                }
                text.push_str(&format!("{name}={}{ending}", quoted(value)?));
            }
        }
        let others = |text: &str| -> io::Result<Vec<(String, String)>> {
            Ok(parse(text)?.into_iter().filter(|(name, _)| ours(name).is_none()).collect())
        };
        let read = parse(&text)?;
        let is_set = |(name, value): &(&str, Option<String>)| {
            let found = read.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value);
            found == value.as_ref()
        };
        match others(before)? == others(&text)? && variables.iter().all(is_set) {
            true => Ok(text),
            false => Err(io::Error::other(
                "a value in it has several lines that look like variables of the service token",
            )),
        }
    }
}

/// Writes a file for its owner alone, all of it or nothing, and waits until the disk has it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (file, beside) = create(path)?;
    let written = fill(file, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // It may hold a secret.
        let _ = std::fs::remove_file(&beside);
        return written;
    }
    // Not every system can sync a directory.
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Creates the file beside `path` that takes its place later. One that a killed run left is removed.
fn create(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it is no name of a file"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".mcp-tether");
    let beside = path.with_file_name(beside);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = platform::for_owner_alone(OpenOptions::new().write(true).create_new(true)).open(&beside)?;
    Ok((file, beside))
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

fn parse(text: &str) -> io::Result<Vec<(String, String)>> {
    dotenv::parse(text).map_err(|line| io::Error::other(format!("line {line} is not NAME=value")))
}

/// A value as it is written.
fn quoted(value: &str) -> io::Result<String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-+/=,:*@".contains(letter);
    match value.chars().all(is_plain) {
        true => Ok(value.to_owned()),
        false if value.contains(['\'', '\n', '\r']) => {
            Err(io::Error::other("a value of the service token cannot be written to a file of variables"))
        }
        false => Ok(format!("'{value}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: Option<&str>, variables: &[(&str, Option<&str>)]) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("env");
        if let Some(before) = before {
            std::fs::write(&path, before).expect("written");
        }
        let file = EnvFile::read(&path).map_err(|error| error.to_string())?;
        file.prove().map_err(|error| error.to_string())?;
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, value.map(str::to_owned))).collect();
        file.write(&variables).map_err(|error| error.to_string())?;
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(!platform::others_can_read(&path));
        let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
        assert!(left.len() <= 1, "{left:?}");
        file.restore().expect("restored");
        assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), before);
        Ok(found)
    }

    #[test]
    fn keeps_other_lines_as_they_are() {
        let (id, secret) =
            (("CF_ACCESS_CLIENT_ID", Some("1.access")), ("CF_ACCESS_CLIENT_SECRET", Some("s")));
        for (before, expected) in [
            (None, "CF_ACCESS_CLIENT_ID=1.access\nCF_ACCESS_CLIENT_SECRET=s\n"),
            (
                Some("# mine\nA='x\ny'"),
                "# mine\nA='x\ny'\nCF_ACCESS_CLIENT_ID=1.access\nCF_ACCESS_CLIENT_SECRET=s\n",
            ),
            (
                Some(
                    "export CF_ACCESS_CLIENT_SECRET=old # c\r\nB = 2 # b\r\nCF_ACCESS_CLIENT_SECRET=older\r\n",
                ),
                "export CF_ACCESS_CLIENT_SECRET=s\r\nB = 2 # b\r\nCF_ACCESS_CLIENT_ID=1.access\r\n",
            ),
        ] {
            assert_eq!(after(before, &[id, secret]).as_deref(), Ok(expected));
        }
        let gone = [("CF_ACCESS_CLIENT_ID", None), ("CF_ACCESS_CLIENT_SECRET", None)];
        assert_eq!(
            after(Some("CF_ACCESS_CLIENT_ID=1\nCF_ACCESS_CLIENT_SECRET=2\n"), &gone).as_deref(),
            Ok("")
        );
        assert_eq!(after(Some("A=1\nCF_ACCESS_CLIENT_ID=1\n"), &gone).as_deref(), Ok("A=1\n"));
    }

    #[test]
    fn refuses_file_whose_other_lines_cannot_be_kept() {
        let id = ("CF_ACCESS_CLIENT_ID", Some("1.access"));
        for before in ["A='x\nCF_ACCESS_CLIENT_ID=y'\n", "A='x\nCF_ACCESS_HOSTS=y'\n", "no variable\n"] {
            assert!(after(Some(before), &[id]).is_err(), "{before}");
        }
    }

    #[test]
    fn hosts_are_added_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("env");
        std::fs::write(&path, "CF_ACCESS_HOSTS=a.example.com\n").expect("written");
        let file = EnvFile::read(&path).expect("a file");
        assert_eq!(file.hosts_with("A.example.com"), "a.example.com");
        assert_eq!(file.hosts_with("b.example.com"), "a.example.com,b.example.com");
    }
}
