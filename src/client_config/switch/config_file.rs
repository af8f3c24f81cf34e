//! A client's configuration file between reading and writing: written as a whole, with a backup beside it, and only if it is
//! still what was read.
//!
//! Deliberately not here: what changes in it (`document`).

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::difference;
use super::locations::{Creation, Location};
use crate::cli::UsageError;
use crate::client_config::document::{Document, EditError, Format};
use crate::client_config::{Client, shown, usage};
use crate::{files, platform};

/// How large a file may be, in bytes.
const LIMIT: u64 = 64 * 1024 * 1024;

/// The part of a backup's name between the name of the file and the command.
const BACKUP: &str = ".before-mcp-tether-";

/// A file that was read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) client: Client,
    /// As it is named.
    pub(super) path: PathBuf,
    /// The file that a symbolic link leads to.
    target: PathBuf,
    pub(super) format: Format,
    /// The content; none if there is no file.
    bytes: Option<Vec<u8>>,
    pub(super) text: String,
    creation: Creation,
}

impl ConfigFile {
    /// Reads a file. None where there is none.
    ///
    /// # Errors
    /// [`UsageError`] for anything that cannot be read as text.
    pub(super) fn read(location: &Location) -> Result<Option<ConfigFile>, UsageError> {
        let path = &location.path;
        let target = match std::fs::canonicalize(path) {
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::NotFound && std::fs::symlink_metadata(path).is_err() => {
                return Ok(None);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(refused(
                    path,
                    "is a symbolic link to nothing",
                    "create the file that it names, or remove the link",
                ));
            }
            Err(error) => return Err(unreadable(path, &error.to_string())),
        };
        let bytes =
            files::read_regular(&target, LIMIT).map_err(|error| unreadable(path, &error.to_string()))?;
        let text = String::from_utf8(bytes.clone()).map_err(|_| {
            refused(path, "is not UTF-8", "save it as UTF-8: the client reads no other encoding")
        })?;
        Ok(Some(ConfigFile {
            client: location.client,
            path: path.clone(),
            target,
            format: location.format(),
            bytes: Some(bytes),
            text,
            creation: location.creation,
        }))
    }

    /// Reads a file, or begins one where its client allows it.
    ///
    /// # Errors
    /// [`UsageError`] as [`ConfigFile::read`], and for a file that may not be made.
    pub(super) fn read_or_begin(location: &Location) -> Result<ConfigFile, UsageError> {
        if let Some(file) = ConfigFile::read(location)? {
            return Ok(file);
        }
        let path = &location.path;
        let has_folder = path.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir());
        let title = location.client.title();
        match location.creation {
            Creation::InFolder if !has_folder => Err(refused(
                path,
                &format!(
                    "does not exist, and neither does its folder: {title} does not seem to be installed"
                ),
                &format!("start {title} once, or name another file with --file"),
            )),
            Creation::Named if !has_folder => Err(refused(
                path,
                "does not exist, and neither does its folder",
                "check the path of --file, or create the folder",
            )),
            Creation::Never => {
                Err(refused(path, "does not exist", "check its path, or create an empty file"))
            }
            Creation::WithFolder | Creation::InFolder | Creation::Named => Ok(ConfigFile {
                client: location.client,
                path: path.clone(),
                target: path.clone(),
                format: location.format(),
                bytes: None,
                text: String::new(),
                creation: location.creation,
            }),
        }
    }

    /// Parses the text. An empty file is one without entries.
    ///
    /// # Errors
    /// [`UsageError`] with the place of the fault.
    pub(super) fn document(&self) -> Result<Document, UsageError> {
        let is_empty = self.text.trim_start_matches('\u{feff}').trim().is_empty();
        let begun = match self.format {
            Format::Json if is_empty => {
                let bom = if self.text.starts_with('\u{feff}') { "\u{feff}" } else { "" };
                let line_end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
                format!("{bom}{{}}{line_end}")
            }
            Format::Json | Format::Toml => self.text.clone(),
        };
        Document::parse(&begun, self.format).map_err(|error| self.uneditable(&error))
    }

    /// The error for a change that cannot be made.
    pub(super) fn uneditable(&self, error: &EditError) -> UsageError {
        let kind = if self.format == Format::Toml { "TOML" } else { "JSON" };
        let advice = match error {
            EditError::Syntax(_) => format!("correct the {kind} there; the client cannot read it either"),
            EditError::NotKept => {
                "save it with one kind of line endings, or change it in an editor".to_owned()
            }
            EditError::Duplicate(_) => "remove one of the two in an editor".to_owned(),
            EditError::NoTable | EditError::NotTable(_) | EditError::Value => {
                "check that it is the configuration of this client".to_owned()
            }
        };
        usage(format!("the file {} cannot be changed: {error}", shown(&self.path)), advice)
    }

    /// The difference to a new text, without secrets.
    pub(super) fn difference(&self, text: &str) -> String {
        let name = shown(&self.path);
        let changes = difference::unified(&self.text, text, self.format, self.client);
        match self.bytes {
            Some(_) => format!("--- {name}\n+++ {name}\n{changes}"),
            None => format!("--- (new file)\n+++ {name}\n{changes}"),
        }
    }

    /// Returns an error if the file cannot be written, before the user is asked.
    pub(super) fn check_writable(&self) -> Result<(), UsageError> {
        if self.bytes.is_none() {
            return Ok(());
        }
        let found =
            std::fs::metadata(&self.target).map_err(|error| unreadable(&self.path, &error.to_string()))?;
        match found.permissions().readonly() {
            true => Err(refused(&self.path, "is read-only", "make it writable first")),
            false => Ok(()),
        }
    }

    fn unwritable(&self, error: &std::io::Error) -> UsageError {
        let advice = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                "make room on its disk, then run the same command again"
            }
            _ => "check the rights of the file and its folder",
        };
        refused(&self.path, &format!("cannot be written: {error}"), advice)
    }

    /// Writes a new text, if the file has not changed since it was read. Returns the path of the backup.
    ///
    /// # Errors
    /// [`UsageError`]; the file is unchanged then.
    pub(super) fn write(&self, text: &str, done: &str) -> Result<Option<PathBuf>, UsageError> {
        self.check_writable()?;
        let cannot = |error: std::io::Error| self.unwritable(&error);
        if let (None, Creation::WithFolder, Some(folder)) = (&self.bytes, self.creation, self.target.parent())
        {
            platform::create_private_folder(folder).map_err(cannot)?;
        }
        let backup = match &self.bytes {
            Some(bytes) => Some(self.back_up(bytes, done).map_err(cannot)?),
            None => None,
        };
        let written = self.write_over(text.as_bytes());
        if let (Err(_), Some(backup)) = (&written, &backup) {
            let _ = std::fs::remove_file(backup);
        }
        written.map(|()| backup)
    }

    /// Writes the backup beside the file. Only the owner can read one with secrets; otherwise it has the rights of the file.
    fn back_up(&self, bytes: &[u8], done: &str) -> std::io::Result<PathBuf> {
        let mut number = 1_u32;
        loop {
            let backup = beside(&self.target, &format!("{BACKUP}{done}{}", ending(number)));
            let mut options = OpenOptions::new();
            match platform::for_owner_alone(options.write(true).create_new(true)).open(&backup) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number = number.saturating_add(1),
                Err(error) => return Err(error),
                Ok(file) => {
                    let filled = self.fill_backup(file, &backup, bytes);
                    if filled.is_err() {
                        // Half a backup would be taken for a whole one.
                        let _ = std::fs::remove_file(&backup);
                    }
                    return filled.map(|()| backup);
                }
            }
        }
    }

    fn fill_backup(&self, mut file: File, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        file.write_all(bytes)?;
        if !difference::holds_secrets(&self.text, self.format, self.client) {
            let rights = std::fs::metadata(&self.target)?.permissions();
            std::fs::set_permissions(path, rights)?;
        }
        Ok(())
    }

    fn write_over(&self, bytes: &[u8]) -> Result<(), UsageError> {
        let cannot = |error: std::io::Error| self.unwritable(&error);
        let prepared = self.prepare(bytes).map_err(cannot)?;
        let changed = || {
            refused(
                &self.path,
                "was changed by another program in the meantime, and is left as it is now",
                "close the client and run the same command again",
            )
        };
        let Some(old) = &self.bytes else {
            // Only where there is still no file.
            return match prepared.persist_noclobber(&self.target) {
                Ok(_) => Ok(()),
                Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => Err(changed()),
                Err(failed) => Err(cannot(failed.error)),
            };
        };
        match std::fs::read(&self.target) {
            Ok(now) if now == *old => {
                prepared.persist(&self.target).map(drop).map_err(|failed| cannot(failed.error))
            }
            Ok(_) => Err(changed()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(changed()),
            Err(error) => Err(cannot(error)),
        }
    }

    /// Writes the new text beside the file, with the file's owner and rights.
    fn prepare(&self, bytes: &[u8]) -> std::io::Result<NamedTempFile> {
        let prepared = files::temporary(&self.target, bytes)?;
        if self.bytes.is_some() {
            let found = std::fs::metadata(&self.target)?;
            platform::give_owner_of(prepared.as_file(), &found).map_err(|error| {
                std::io::Error::new(error.kind(), format!("its owner and group cannot be kept ({error})"))
            })?;
            prepared.as_file().set_permissions(found.permissions())?;
        }
        prepared.as_file().sync_all()?;
        Ok(prepared)
    }

    /// The backups of a kind that lie beside the file, the newest first.
    pub(super) fn backups(&self, done: &str) -> Vec<PathBuf> {
        let path = |number: u32| beside(&self.target, &format!("{BACKUP}{done}{}", ending(number)));
        let mut found: Vec<PathBuf> = (1..).map(path).take_while(|path| path.is_file()).collect();
        found.reverse();
        found
    }
}

/// The first backup has no number.
fn ending(number: u32) -> String {
    if number == 1 { String::new() } else { format!("-{number}") }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn unreadable(path: &Path, reason: &str) -> UsageError {
    refused(path, &format!("cannot be read: {reason}"), "check its path, and that this user may read it")
}

fn refused(path: &Path, what: &str, advice: &str) -> UsageError {
    usage(format!("the file {} {what}", shown(path)), advice)
}
