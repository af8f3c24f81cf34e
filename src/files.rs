//! Files that tell what happened: their owner's alone, and bounded in size.
//!
//! Deliberately not here: what is written into them (`log`, `record`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::platform;

/// Creates a file for its owner alone. What is there already is set aside.
///
/// # Errors
/// When it cannot be created, or when something that is no file is in its place.
pub fn anew(path: &Path) -> io::Result<File> {
    if is_there(path)? {
        set_aside(path)?;
    }
    platform::for_owner_alone(OpenOptions::new().write(true).create_new(true)).open(path)
}

/// Tells whether a file is there already. Anything else is in the way: a pipe would block, and stdout is the client's.
fn is_there(path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "what is there is no file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Renames a file to `PATH.1`, which takes the place of what had that name.
fn set_aside(path: &Path) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".1");
    std::fs::rename(path, aside)
}

/// A file that grows at its end and is set aside as `PATH.1` when it is full. Several processes may write it at once.
#[derive(Debug)]
pub struct Growing {
    path: PathBuf,
    file: File,
    limit: u64,
}

impl Growing {
    /// Opens or creates a file, for its owner alone, that holds about `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be written, or when something that is no file is in its place.
    pub fn open(path: &Path, limit: u64) -> io::Result<Growing> {
        is_there(path)?;
        Ok(Growing { path: path.to_owned(), file: appending(path)?, limit })
    }

    /// Writes at the end, at once and as a whole.
    ///
    /// # Errors
    /// When the system does not take it.
    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.file.metadata()?.len() >= self.limit {
            self.change()?;
        }
        self.file.write_all(text)
    }

    /// Goes on in an empty file: of the processes that find this one full, one sets it aside and the others follow.
    fn change(&mut self) -> io::Result<()> {
        self.file.lock()?;
        let is_still_full = std::fs::metadata(&self.path).is_ok_and(|found| found.len() >= self.limit);
        if is_still_full {
            set_aside(&self.path)?;
        }
        // The lock goes with the file that is full.
        self.file = appending(&self.path)?;
        Ok(())
    }
}

fn appending(path: &Path) -> io::Result<File> {
    platform::for_owner_alone(OpenOptions::new().append(true).create(true)).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_full_file_is_set_aside_once_by_whoever_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, aside) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut one = Growing::open(&path, 10).expect("a file");
        let mut two = Growing::open(&path, 10).expect("a file");
        one.write(b"one 1\n").expect("written");
        two.write(b"two 1\n").expect("written");
        // Now it is full, and both know.
        one.write(b"one 2\n").expect("written");
        two.write(b"two 2\n").expect("written");
        assert_eq!((text(&aside).as_str(), text(&path).as_str()), ("one 1\ntwo 1\n", "one 2\ntwo 2\n"));
        two.write(b"two 3\n").expect("written");
        assert_eq!((text(&aside).as_str(), text(&path).as_str()), ("one 2\ntwo 2\n", "two 3\n"));
        assert!(!platform::others_can_read(&path) && !platform::others_can_read(&aside));
    }

    #[test]
    fn what_was_there_is_kept_and_what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        std::fs::write(&path, "before").expect("written");
        anew(&path).expect("a file").write_all(b"after").expect("written");
        assert_eq!(text(&folder.path().join("record.1")), "before");
        assert_eq!(text(&path), "after");
        assert!(!platform::others_can_read(&path));
        assert!(anew(folder.path()).is_err());
        assert!(Growing::open(folder.path(), 10).is_err());
    }
}
