//! The locks between processes: the operating system's, on a file each, which go with the process that holds them.
//!
//! A lock that cannot be had is never passed over: another process has it, or the file cannot be used, and both are errors
//! that name the file. Where there is no folder to lock anything in, nothing is kept either, and every process is alone.
//! Deliberately not here: what is done under a lock (`super`), and what the file of a sign-in under way holds (`store`).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use tracing::debug;

use crate::oauth::sign_in_error::FailureKind;
use crate::oauth::sign_in_error::SignInError;
use crate::platform;

/// How long the text under a lock may be, in bytes.
const LIMIT: u64 = 1024 * 1024;

/// A lock. It goes with its owner.
#[derive(Debug)]
pub struct Lock {
    file: Option<Arc<File>>,
}

/// Why a lock cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} has the lock {}", process(*.holder), .path.display())]
    Held {
        /// The locked file.
        path: PathBuf,
        /// The process id, where it is known.
        holder: Option<u32>,
    },
    /// The file cannot be opened or locked.
    #[error("the lock {} cannot be used: {reason}", .path.display())]
    KeyError {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

impl LockError {
    /// The error for a user, of what was to be done at `place`.
    pub(in crate::oauth) fn to_error(&self, what: &str) -> SignInError {
        let advice = match self {
            LockError::Held { .. } => "try again when it is done; if it does not end, end that process",
            LockError::KeyError { .. } => {
                "make that file writable for you, or name a folder on a local disk with MCP_TETHER_CONFIG_DIR"
            }
        };
        SignInError::failed(format!("{what}: {self}"), advice).of_kind(FailureKind::Locked)
    }
}

fn process(id: Option<u32>) -> String {
    id.map_or_else(|| "another process".to_owned(), |id| format!("another process ({id})"))
}

impl Lock {
    /// The lock of nothing, where no file can be kept.
    pub(in crate::oauth) fn alone() -> Lock {
        Lock { file: None }
    }

    /// Locks a file, which is created if need be. With `signs` the process id is written into an empty file, so that others can
    /// name the holder of the lock; a failure of that is ignored.
    ///
    /// # Errors
    /// When another process has it, or it cannot be used.
    pub(in crate::oauth) fn try_on(path: &Path, signs: bool) -> Result<Lock, LockError> {
        let unusable =
            |error: io::Error| LockError::KeyError { path: path.to_owned(), reason: error.to_string() };
        let Some(file) = open(path).map_err(unusable)? else {
            return Ok(Lock::alone());
        };
        let locked = loop {
            match file.try_lock() {
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
                locked => break locked,
            }
        };
        match locked {
            Ok(()) => {
                let lock = Lock { file: Some(Arc::new(file)) };
                if signs {
                    lock.write(&format!("{}\n", std::process::id()));
                }
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => {
                let holder = text(&file).and_then(|text| holder(&text));
                Err(LockError::Held { path: path.to_owned(), holder })
            }
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// The text of the file under the lock.
    pub(in crate::oauth) fn text(&self) -> Option<String> {
        text(self.file.as_deref()?)
    }

    /// Puts another text there. Where that fails the old one is gone all the same.
    pub(in crate::oauth) fn write(&self, text: &str) {
        let Some(mut file) = self.file.as_deref() else { return };
        if !is_regular(file) {
            return;
        }
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            debug!(%error, "nothing can be noted under the lock");
            // Half a text is of no use.
            let _ = file.set_len(0);
        }
    }

    /// The same lock, as long as it is held.
    pub(in crate::oauth) fn weak(&self) -> Weak<File> {
        self.file.as_ref().map(Arc::downgrade).unwrap_or_default()
    }

    /// The lock that [`Lock::weak`] was taken of; none where it is gone.
    pub(in crate::oauth) fn again(file: &Weak<File>) -> Option<Lock> {
        file.upgrade().map(|file| Lock { file: Some(file) })
    }

    /// The same lock, for a thread that reads or writes under it.
    pub(in crate::oauth) fn shared(&self) -> Lock {
        Lock { file: self.file.clone() }
    }
}

/// Who says in a locked file that it has the lock: a number alone, or the member `pid` of an object.
fn holder(text: &str) -> Option<u32> {
    let text = crate::json::member(text, "pid").unwrap_or(text);
    text.trim().parse().ok()
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|file| file.is_file())
}

/// The text of a file. On Windows no other process can read a locked file.
fn text(mut file: &File) -> Option<String> {
    let mut text = String::new();
    if !is_regular(file) {
        return None;
    }
    file.rewind().and_then(|()| file.take(LIMIT).read_to_string(&mut text)).ok()?;
    Some(text)
}

/// Opens a file to lock it, for reading alone where nothing else is allowed. None where it is not there and cannot be
/// created, and nothing is kept beside it that another process could use as well.
fn open(path: &Path) -> io::Result<Option<File>> {
    if let Some(folder) = path.parent() {
        // If this fails, so does what follows.
        let _ = platform::create_private_folder(folder);
    }
    let mut options = OpenOptions::new();
    platform::without_waiting(platform::for_owner_alone(
        options.read(true).write(true).create(true).truncate(false),
    ));
    let error = match options.open(path) {
        Ok(file) => return Ok(Some(file)),
        Err(error) => error,
    };
    let cannot_be_there = matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
    );
    match platform::without_waiting(OpenOptions::new().read(true)).open(path) {
        Ok(file) if !file.metadata().is_ok_and(|file| file.is_dir()) => Ok(Some(file)),
        Ok(_) => Err(error),
        Err(_)
            if cannot_be_there
                && std::fs::symlink_metadata(path).is_err()
                && std::fs::symlink_metadata(path.with_extension("json")).is_err() =>
        {
            debug!(%error, "{} cannot be created", path.display());
            Ok(None)
        }
        Err(_) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_the_lock_and_others_hear_who() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new").join("x.lock");
        let lock = Lock::try_on(&path, true).expect("free");
        let refused = Lock::try_on(&path, true).expect_err("held");
        let holder = (!cfg!(windows)).then(std::process::id);
        assert_eq!(refused, LockError::Held { path: path.clone(), holder });
        let told = refused.to_error("the token is not renewed").to_string();
        assert!(told.contains(&path.display().to_string()), "{told}");
        let shared = lock.shared();
        drop(lock);
        assert!(Lock::try_on(&path, true).is_err(), "a thread still writes under it");
        drop(shared);
        assert!(Lock::try_on(&path, true).is_ok());
        for (text, expected) in [
            ("17\n", Some(17)),
            ("", None),
            (r#"{"pid":5,"at":1}"#, Some(5)),
            (r#"{"at":1}"#, None),
            ("x", None),
        ] {
            assert_eq!(super::holder(text), expected, "{text}");
        }
    }

    #[test]
    fn unusable_lock_file_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.lock");
        std::fs::create_dir(&path).expect("created");
        let refused = Lock::try_on(&path, true).expect_err("a folder in its place");
        assert!(matches!(&refused, LockError::KeyError { path: named, .. } if *named == path), "{refused}");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        let nowhere = file.join("below").join("x.lock");
        assert!(Lock::try_on(&nowhere, true).is_ok_and(|lock| lock.file.is_none()));
    }
}
