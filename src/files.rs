//! Reads files with limits of size and time, and writes files that only their owner can read.
//!
//! Whatever a path names, reading it ends within a second: a FIFO, a device or a directory in its place is an error that
//! says so. Deliberately not here: the content of files (`log`, `record`, `config`).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::platform;

/// How large a file of settings or a key may be, in bytes.
pub const SETTINGS_LIMIT: u64 = 1024 * 1024;
/// How many random letters and digits the name of a temporary file ends with.
const TEMPORARY: usize = 16;
/// How long a pipe in the place of a file may take to deliver everything.
const PIPE_PATIENCE: Duration = Duration::from_millis(900);

/// Reads a file that the user named, of at most `limit` bytes. A pipe is read as well, for up to a second: shells put one
/// in the place of a file for `<(…)`.
///
/// # Errors
/// When it cannot be read, is larger, or is something else than a file or pipe. The error says which, without the path.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let is_readable = |found: &std::fs::Metadata| found.is_file() || platform::is_pipe(found);
    let (file, found) = open_for_reading(path, is_readable)?;
    match platform::is_pipe(&found) {
        true => read_pipe(file, limit),
        false => read_whole(file, &found, limit),
    }
}

/// The same as text. UTF-16 with a byte order mark is read too: PowerShell's `>` writes it.
///
/// # Errors
/// See [`read`]; also when it is neither UTF-8 nor that.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    text(read(path, limit)?)
}

/// Reads a regular file, of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read, is larger, or is something else. The error says which, without the path.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, found) = open_for_reading(path, std::fs::Metadata::is_file)?;
    read_whole(file, &found, limit)
}

/// The same as text, as [`read_text`] reads it.
///
/// # Errors
/// See [`read_regular`]; also when it is no text.
pub fn read_regular_text(path: &Path, limit: u64) -> io::Result<String> {
    text(read_regular(path, limit)?)
}

/// Looks whether a path names a regular file of at most `limit` bytes.
///
/// # Errors
/// See [`read_regular`].
pub fn check_regular(path: &Path, limit: u64) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    match found.is_file() {
        true => check_size(&found, limit),
        false => Err(irregular(&found)),
    }
}

/// Opens a file that `is_readable`. A device is not even opened: that alone may have an effect.
fn open_for_reading(
    path: &Path,
    is_readable: impl Fn(&std::fs::Metadata) -> bool,
) -> io::Result<(File, std::fs::Metadata)> {
    let named = std::fs::metadata(path)?;
    if !is_readable(&named) {
        return Err(irregular(&named));
    }
    let file = platform::without_waiting(OpenOptions::new().read(true)).open(path)?;
    let opened = file.metadata()?;
    match is_readable(&opened) {
        true => Ok((file, opened)),
        false => Err(irregular(&opened)),
    }
}

fn read_whole(file: File, found: &std::fs::Metadata, limit: u64) -> io::Result<Vec<u8>> {
    check_size(found, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    // A file of /proc has no size, and any may grow.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(too_large(limit)),
        false => Ok(bytes),
    }
}

fn read_pipe(mut pipe: File, limit: u64) -> io::Result<Vec<u8>> {
    let end = clock() + PIPE_PATIENCE;
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        let left = end.saturating_duration_since(clock());
        if left.is_zero() {
            let advice = "write the text into a regular file";
            return Err(io::Error::other(format!(
                "it is a pipe whose end did not come within a second: {advice}"
            )));
        }
        if !platform::readable_within(&pipe, left) {
            continue;
        }
        match pipe.read(&mut chunk) {
            Ok(0) if bytes.is_empty() => {
                return Err(io::Error::other("it is a pipe with nothing in it (any more)"));
            }
            Ok(0) => return Ok(bytes),
            Ok(length) => bytes.extend(chunk.iter().take(length)),
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => {
            }
            Err(error) => return Err(error),
        }
        if bytes.len() as u64 > limit {
            return Err(too_large(limit));
        }
    }
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    let bytes = without_utf16(bytes)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Turns UTF-16 with a byte order mark, as Windows PowerShell writes it, into UTF-8 without one. Anything else stays as it
/// is.
///
/// # Errors
/// When it is malformed, or looks like UTF-16 that has no byte order mark.
pub fn without_utf16(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let invalid = |reason| io::Error::new(io::ErrorKind::InvalidData, reason);
    let (units, is_little) = match bytes.as_slice() {
        [0xFF, 0xFE, units @ ..] => (units, true),
        [0xFE, 0xFF, units @ ..] => (units, false),
        // The settings and keys that are read here begin with ASCII, and none has a NUL in it.
        [0, _, ..] | [_, 0, ..] => {
            return Err(invalid("it looks like UTF-16 without a byte order mark: save it as UTF-8"));
        }
        _ => return Ok(bytes),
    };
    let malformed = || invalid("it begins like UTF-16 and is not: save it as UTF-8");
    let unit = |pair| if is_little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) };
    let pairs = units.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).map(unit));
    let units: Vec<u16> = pairs.collect::<Result<_, _>>().map_err(|_| malformed())?;
    let text = String::from_utf16(&units).map_err(|_| malformed())?;
    match text.contains('\0') {
        true => Err(malformed()),
        false => Ok(text.into_bytes()),
    }
}

fn check_size(found: &std::fs::Metadata, limit: u64) -> io::Result<()> {
    if found.len() > limit { Err(too_large(limit)) } else { Ok(()) }
}

fn too_large(limit: u64) -> io::Error {
    let limit = if limit < 1024 * 1024 {
        format!("{} KiB", limit / 1024)
    } else {
        format!("{} MiB", limit / 1024 / 1024)
    };
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit}"))
}

fn irregular(found: &std::fs::Metadata) -> io::Error {
    let kind = platform::kind_of(found);
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, but a regular file is needed"))
}

#[expect(clippy::disallowed_methods, reason = "how long a pipe takes")]
fn clock() -> Instant {
    Instant::now()
}

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

/// Writes a file for its owner alone, all of it or nothing. It takes the place of whatever has that name, a symbolic link
/// too, a directory aside. Several processes may do so at once.
///
/// # Errors
/// When the system refuses.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = temporary(path, bytes)?;
    Ok(file.persist(path).map(drop)?)
}

/// The same for what must survive a power failure: it is on the disk before it takes the place.
///
/// # Errors
/// See [`replace`].
pub fn replace_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = temporary(path, bytes)?;
    file.as_file().sync_all()?;
    Ok(file.persist(path).map(drop)?)
}

/// Writes a file beside `path` under an unpredictable name, for its owner alone. Dropping it removes it. Its name is
/// `NAME.` and [`TEMPORARY`] letters and digits.
///
/// # Errors
/// When the system refuses.
pub(crate) fn temporary(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".");
    let mut file = tempfile::Builder::new().prefix(&prefix).rand_bytes(TEMPORARY).make_in(folder, |at| {
        platform::for_owner_alone(OpenOptions::new().write(true).create_new(true)).open(at)
    })?;
    // Not through the wrapper, whose errors name the temporary file: each of them would be a text of its own.
    file.as_file_mut().write_all(bytes)?;
    Ok(file)
}

/// Removes what processes that were killed while they replaced `path` have left beside it. The caller makes sure that no
/// other process replaces it now.
pub fn sweep_temporary(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let Some(rest) = found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.')) else {
            continue;
        };
        let is_random = rest.len() == TEMPORARY && rest.bytes().all(|letter| letter.is_ascii_alphanumeric());
        // Before, the process ID stood there.
        let is_process = !rest.is_empty() && rest.bytes().all(|letter| letter.is_ascii_digit());
        if is_random || is_process {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Returns whether a file is there already. Anything else is in the way, /dev/null and /dev/stderr as well: a pipe or a
/// device may block or lead to stdout, which is the client's.
fn is_there(path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(found) => Err(irregular(&found)),
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
    // Windows locks no file that was opened for appending alone.
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    let file = platform::without_waiting(platform::for_owner_alone(&mut options)).open(path)?;
    let opened = file.metadata()?;
    if opened.is_file() { Ok(file) } else { Err(irregular(&opened)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn reads_utf16_with_byte_order_mark_as_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("text");
        let encoded = |mark: &[u8], unit: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
            mark.iter().copied().chain(text.encode_utf16().flat_map(unit)).collect()
        };
        let text = "X: ä\r\n𝄞";
        for bytes in [
            encoded(&[0xFF, 0xFE], u16::to_le_bytes, text),
            encoded(&[0xFE, 0xFF], u16::to_be_bytes, text),
            text.as_bytes().to_vec(),
        ] {
            std::fs::write(&path, bytes).expect("written");
            assert_eq!(read_text(&path, SETTINGS_LIMIT).expect("text"), text);
            assert_eq!(read_regular_text(&path, SETTINGS_LIMIT).expect("text"), text);
        }
        for (bytes, expected) in [
            (encoded(&[], u16::to_le_bytes, text), "without a byte order mark"),
            (encoded(&[], u16::to_be_bytes, text), "without a byte order mark"),
            (vec![0xFF, 0xFE, b'X'], "begins like UTF-16"),
            (vec![0xFF, 0xFE, 0x00, 0xD8, b'X', 0], "begins like UTF-16"),
            // UTF-32
            (vec![0xFF, 0xFE, 0, 0, b'X', 0, 0, 0], "begins like UTF-16"),
            (vec![b'X', 0xFF, b'Y'], "not UTF-8"),
        ] {
            std::fs::write(&path, bytes).expect("written");
            let error = read_text(&path, SETTINGS_LIMIT).expect_err("no text").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn full_file_is_rotated_by_one_process() {
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
    fn keeps_backup_and_rejects_non_files() {
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

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_whole_file_for_owner_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file.json");
        std::fs::write(&path, "before, and longer").expect("written");
        for write in [replace, replace_durably] {
            write(&path, b"after").expect("written");
            assert_eq!(text(&path), "after");
            assert!(!platform::others_can_read(&path));
        }
        assert_eq!(names(folder.path()), ["file.json"]);
        // A directory is in the way.
        let directory = folder.path().join("directory");
        std::fs::create_dir(&directory).expect("created");
        for write in [replace, replace_durably] {
            assert!(write(&directory, b"after").is_err());
            let error = write(&folder.path().join("none/file"), b"after").expect_err("no folder");
            // The caller names the path; a random name would make each error a text of its own.
            assert!(error.raw_os_error().is_some() && error.kind() == io::ErrorKind::NotFound, "{error}");
        }
        assert_eq!(names(folder.path()), ["directory", "file.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn replaces_symbolic_link_and_keeps_its_target() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "target").expect("written");
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        replace(&link, b"file").expect("written");
        assert_eq!((text(&target).as_str(), text(&link).as_str()), ("target", "file"));
        assert!(!std::fs::symlink_metadata(&link).expect("it is there").is_symlink());
    }

    #[test]
    fn sweeps_temporary_files_of_killed_processes_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file.json");
        // What is left when a process is killed between writing and renaming.
        let left = [(); 2].map(|()| temporary(&path, b"token").expect("written").into_temp_path().keep());
        let [one, two] = left.map(|path| path.expect("kept"));
        assert!(one != two && !platform::others_can_read(&one));
        assert_eq!(one.parent(), path.parent());
        for other in
            ["file.json", "file.json.1234", "file.json.bak", "file.lock", "other.json.abcdefghijklmnop"]
        {
            std::fs::write(folder.path().join(other), "").expect("written");
        }
        sweep_temporary(&path);
        assert_eq!(
            names(folder.path()),
            ["file.json", "file.json.bak", "file.lock", "other.json.abcdefghijklmnop"]
        );
    }

    #[test]
    fn reads_up_to_limit_and_rejects_non_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "12345678").expect("written");
        assert_eq!(read(&path, 8).expect("it fits"), b"12345678");
        assert_eq!(read_regular_text(&path, 8).expect("it fits"), "12345678");
        assert_eq!(read(&path, 7).expect_err("it does not").kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, b"\xff").expect("written");
        assert_eq!(read_text(&path, 8).expect_err("no text").kind(), io::ErrorKind::InvalidData);
        let error = read(folder.path(), 8).expect_err("no file").to_string();
        assert_eq!(error, "it is a directory, but a regular file is needed");
        assert_eq!(read(&folder.path().join("none"), 8).expect_err("none").kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn follows_links_and_refuses_devices_and_silent_pipes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "text").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        assert_eq!(read_regular(&link, 8).expect("a file"), b"text");
        let device = Path::new("/dev/zero");
        for error in [read(device, 8), read_regular(device, 8)].map(|read| read.expect_err("a device")) {
            assert!(error.to_string().contains("a device"), "{error}");
        }
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
        let error = read(&fifo, 8).expect_err("nobody writes");
        assert!(error.to_string().contains("did not come within a second"), "{error}");
        assert!(read_regular(&fifo, 8).expect_err("no file").to_string().contains("a pipe (FIFO)"));
        assert!(Growing::open(&fifo, 8).is_err() && anew(&fifo).is_err());
        let write = std::thread::spawn({
            let fifo = fifo.clone();
            move || std::fs::write(fifo, "123456789").is_ok()
        });
        assert_eq!(read(&fifo, 8).expect_err("too much").kind(), io::ErrorKind::FileTooLarge);
        write.join().expect("written");
    }

    #[test]
    fn locks_a_log_file_that_it_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let growing = Growing::open(&folder.path().join("log"), 10).expect("a file");
        // Windows locks a file only if it may be read or overwritten.
        growing.file.lock().expect("locked");
        let mut text = String::new();
        (&growing.file).read_to_string(&mut text).expect("it may be read");
    }
}
