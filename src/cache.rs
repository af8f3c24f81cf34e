//! The cache of a server's era, and of the clients that fall back by themselves, from one start to the next.
//!
//! One small file for each URL and credential in the user's cache directory, under a name that shows neither. Losing it
//! costs one round trip, so nothing here is ever an error. That a server is legacy is believed for a day, because it may be
//! brought up to date without anybody noticing here; that it is modern, until it shows otherwise. Deliberately not here:
//! what follows from it (`bridge::detection`).

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tracing::debug;
use url::Url;

use crate::auth::Credentials;
use crate::bridge::{Era, Known};
use crate::files;

/// How long a server is believed to be legacy.
const LEGACY_LASTS: Duration = Duration::from_secs(24 * 60 * 60);
/// The lifetime of a file that is not written again: each rotated token leaves one.
const FILES_LAST: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How large a file may be, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;
/// How long the end of the program waits for what is being written.
const PATIENCE: Duration = Duration::from_secs(1);
/// More clients than anybody has.
const CLIENTS: usize = 16;

/// The file of one server, or none.
#[derive(Clone, Debug)]
pub struct Cache {
    path: Option<PathBuf>,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct CacheEntry {
    era: Option<String>,
    /// When that was found out, in seconds since 1970.
    since: u64,
    /// Names of clients that fall back to `initialize` by themselves.
    #[serde(default)]
    falls_back: Vec<String>,
}

impl Cache {
    /// No cache.
    pub fn none() -> Cache {
        Cache { path: None }
    }

    /// The file for a server in `directory`, which need not be there.
    pub fn of(directory: Option<PathBuf>, url: &Url, credentials: &Credentials) -> Cache {
        let path = directory.map(|directory| directory.join("mcp-tether").join(name(url, credentials)));
        Cache { path }
    }

    /// The entry of earlier starts.
    pub fn recall(&self, now: SystemTime) -> Known {
        let text = self.path.as_ref().and_then(|path| files::read_regular(path, FILE_LIMIT).ok());
        let entry: Option<CacheEntry> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let Some(entry) = entry else { return Known::default() };
        let since = UNIX_EPOCH.checked_add(Duration::from_secs(entry.since));
        // A time that is still to come says that the clock was set, one beyond all clocks that the file was.
        let age = since.and_then(|since| now.duration_since(since).ok());
        let is_fresh = age.is_some_and(|age| age < LEGACY_LASTS);
        let era = match entry.era.as_deref() {
            Some("modern") => Some(Era::Modern),
            Some("legacy") if is_fresh => Some(Era::Legacy),
            _ => None,
        };
        Known { era, falls_back: entry.falls_back.into_iter().take(CLIENTS).collect() }
    }

    /// Keeps it for the next time.
    pub fn keep(&self, known: &Known, now: SystemTime) {
        let Some(path) = &self.path else { return };
        let era = known.era.map(|era| match era {
            Era::Legacy => "legacy".to_owned(),
            Era::Modern => "modern".to_owned(),
        });
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let falls_back = known.falls_back.iter().take(CLIENTS).cloned().collect();
        // Strings and numbers always serialize.
        let Ok(text) = serde_json::to_vec(&CacheEntry { era, since, falls_back }) else { return };
        let written =
            path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| files::replace(path, &text));
        if let Err(error) = written {
            debug!(%error, "the cache cannot be written");
        }
        self.clear_up(now);
    }

    /// Removes files that were not written for long.
    fn clear_up(&self, now: SystemTime) {
        let files = self.path.as_ref().and_then(|path| std::fs::read_dir(path.parent()?).ok());
        for file in files.into_iter().flatten().flatten() {
            let written = file.metadata().and_then(|file| file.modified());
            if written.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > FILES_LAST)) {
                // Another process may have been faster.
                let _ = std::fs::remove_file(file.path());
            }
        }
    }
}

/// Keeps what is worth remembering in threads of its own, so that a disk that is slow holds up no message.
#[derive(Clone)]
pub struct Writing {
    cache: Arc<Cache>,
    /// How many were to be kept so far.
    count: Arc<AtomicU64>,
    /// The number of the latest write. The writer holds the lock, so that no write overwrites a later one.
    written: Arc<Mutex<u64>>,
    threads: Arc<Mutex<JoinSet<()>>>,
}

impl Writing {
    /// Writing into this cache.
    pub fn into(cache: Cache) -> Writing {
        let (count, written, threads) = (Arc::default(), Arc::default(), Arc::default());
        Writing { cache: Arc::new(cache), count, written, threads }
    }

    /// Has it kept for the next time. Called within the event loop.
    pub fn keep(&self, known: &Known, now: SystemTime) {
        if self.cache.path.is_none() {
            return;
        }
        let (cache, written, known) = (Arc::clone(&self.cache), Arc::clone(&self.written), known.clone());
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let mut threads = lock(&self.threads);
        while threads.try_join_next().is_some() {}
        threads.spawn_blocking(move || {
            let mut written = lock(&written);
            if *written <= number {
                *written = number;
                cache.keep(&known, now);
            }
        });
    }

    /// Waits until everything is kept, for a second.
    pub async fn finish(self) {
        let mut threads = std::mem::take(&mut *lock(&self.threads));
        let _ = tokio::time::timeout(PATIENCE, async { while threads.join_next().await.is_some() {} }).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name that shows neither the URL, which may hold a key, nor who asks.
fn name(url: &Url, credentials: &Credentials) -> String {
    let mut headers = HeaderMap::new();
    credentials.decorate(&http::Method::POST, url, &mut headers);
    let mut parts: Vec<&[u8]> = vec![url.as_str().as_bytes()];
    for (name, value) in &headers {
        parts.extend([name.as_str().as_bytes(), value.as_bytes()]);
    }
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let hex: Vec<String> = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}.json", hex.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Scheme, WrittenHeaders};
    use crate::secret::Secret;

    const NOW: SystemTime = UNIX_EPOCH;

    fn later(seconds: u64) -> SystemTime {
        NOW + Duration::from_secs(1_000_000 + seconds)
    }

    fn cache(directory: &std::path::Path, key: &str) -> Cache {
        let url = Url::parse("https://mcp.example.com/mcp?key=marked").expect("a URL");
        let mut written = WrittenHeaders::default();
        written.set("x-api-key".parse().expect("a name"), &Secret::new(key)).expect("a value");
        let credentials = Credentials::new(&url, vec![Scheme::Written(written)]);
        Cache::of(Some(directory.to_owned()), &url, &credentials)
    }

    #[test]
    fn era_expires_after_its_lifetime() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = cache(directory.path(), "one");
        assert_eq!(cache.recall(later(0)), Known::default());
        let known = |era| Known { era: Some(era), falls_back: ["c".to_owned()].into() };
        cache.keep(&known(Era::Legacy), later(0));
        assert_eq!(cache.recall(later(86_399)), known(Era::Legacy));
        assert_eq!(cache.recall(later(86_400)).era, None);
        assert_eq!(cache.recall(NOW).era, None, "a clock that was set back");
        cache.keep(&known(Era::Modern), later(0));
        assert_eq!(cache.recall(later(86_400 * 365)), known(Era::Modern));
        cache.keep(&Known::default(), later(0));
        assert_eq!(cache.recall(later(0)), Known::default());
    }

    #[test]
    fn cache_file_is_per_credential_and_reveals_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let (one, two) = (cache(directory.path(), "marked-one"), cache(directory.path(), "marked-two"));
        one.keep(&Known { era: Some(Era::Modern), ..Known::default() }, later(0));
        assert_eq!(two.recall(later(0)), Known::default());
        for file in std::fs::read_dir(directory.path().join("mcp-tether")).expect("a directory") {
            let file = file.expect("an entry").path();
            let shown = format!("{}{}", file.display(), std::fs::read_to_string(&file).expect("text"));
            assert!(!shown.contains("marked"), "{shown}");
        }
    }

    #[test]
    fn removes_unused_cache_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, new) = (cache(directory.path(), "old"), cache(directory.path(), "new"));
        let known = Known { era: Some(Era::Modern), ..Known::default() };
        old.keep(&known, later(0));
        let path = |cache: &Cache| cache.path.clone().expect("a path");
        let written = std::fs::metadata(path(&old)).and_then(|file| file.modified()).expect("a file");
        let is_there = |cache: &Cache| path(cache).exists();
        new.keep(&known, written + FILES_LAST);
        assert!(is_there(&old) && is_there(&new));
        let aged = written + FILES_LAST + Duration::from_secs(3_600);
        std::fs::File::open(path(&new)).and_then(|file| file.set_modified(aged)).expect("a time");
        cache(directory.path(), "third").keep(&known, aged);
        assert!(!is_there(&old) && is_there(&new));
    }

    #[test]
    fn unusable_cache_is_ignored() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = cache(directory.path(), "one");
        let path = cache.path.clone().expect("a path");
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        for text in ["", "{", "[]", r#"{"era":5}"#, r#"{"era":"future","since":0}"#] {
            std::fs::write(&path, text).expect("a file");
            assert_eq!(cache.recall(later(0)), Known::default(), "{text}");
        }
        for since in [
            "18446744073709551615",
            "9223372036854775808",
            "9223372036854775807",
            "-1",
            "1.5",
            "1e300",
            "\"1\"",
        ] {
            std::fs::write(&path, format!(r#"{{"era":"legacy","since":{since}}}"#)).expect("a file");
            assert_eq!(cache.recall(later(0)), Known::default(), "{since}");
        }
        let nowhere = Cache::of(
            Some(path),
            &Url::parse("https://h/").expect("a URL"),
            &Credentials::new(&Url::parse("https://h/").expect("a URL"), vec![]),
        );
        nowhere.keep(&Known::default(), later(0));
        assert_eq!(nowhere.recall(later(0)), Known::default());
        Cache::none().keep(&Known::default(), later(0));
    }

    #[cfg(unix)]
    #[test]
    fn replaces_fifo_at_cache_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = cache(directory.path(), "one");
        let path = cache.path.clone().expect("a path");
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        assert_eq!(cache.recall(later(0)), Known::default());
        let known = Known { era: Some(Era::Modern), ..Known::default() };
        cache.keep(&known, later(0));
        assert_eq!(cache.recall(later(0)), known);
    }
}
