//! What is remembered of a server between two runs: ids, names and times, never a secret.
//!
//! It is written before each call that creates something, so that a run that was killed can be resumed without a duplicate.
//! One file a server, in `mcp-tether/access` of the config directory, readable by its owner alone.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::env_file;
use super::failure::AccessFailure;
use super::target::Target;
use crate::config::{self, Environment};
use crate::files;
use crate::platform;

/// What is remembered of one server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// The URL, for users who read the file.
    pub(super) url: String,
    /// The account.
    pub(super) account: String,
    /// The service token that is being created, or was.
    pub(super) token: Option<TokenState>,
    /// The policy that includes it.
    pub(super) policy: Option<String>,
    /// The application.
    pub(super) application: Option<ApplicationState>,
    /// The file that holds the secret; none where it went elsewhere.
    pub(super) env_file: Option<PathBuf>,
    /// Until when the old secret is valid, in seconds since 1970.
    pub(super) grace_until: Option<i64>,
}

/// A service token that a run created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TokenState {
    /// The name it was created with.
    pub(super) name: String,
    /// Its id, once the API has answered.
    pub(super) id: Option<String>,
    /// The tokens of the same name that were there before.
    pub(super) before: Vec<String>,
    /// Whether its secret was saved.
    pub(super) is_saved: bool,
}

/// An application that a run created or adopted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ApplicationState {
    /// Its id.
    pub(super) id: String,
    /// Whether it was there before, and got one policy more.
    pub(super) is_adopted: bool,
}

/// The files of one server.
#[derive(Debug)]
pub(super) struct StateStore {
    folder: PathBuf,
    key: String,
    /// Held as long as a command runs.
    _lock: Option<File>,
}

impl StateStore {
    /// The store for a server; where `is_locked`, no other command changes it meanwhile.
    pub(super) fn open(
        target: &Target,
        environment: &Environment,
        is_locked: bool,
    ) -> Result<StateStore, AccessFailure> {
        let folder = config::folder(environment).ok_or_else(|| {
            AccessFailure::new("there is no config directory", "set MCP_TETHER_CONFIG_DIR to a folder")
        })?;
        let folder = folder.join("mcp-tether").join("access");
        let key = target.key();
        let lock = match is_locked {
            true => Some(lock(&folder, &key).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => AccessFailure::new(
                    "another mcp-tether access command is changing the same server",
                    "wait until it has ended",
                ),
                _ => unwritable(&folder, &error),
            })?),
            false => None,
        };
        Ok(StateStore { folder, key, _lock: lock })
    }

    /// Where the secret goes by default.
    pub(super) fn default_env_file(&self) -> PathBuf {
        self.folder.join(format!("{}.env", self.key))
    }

    /// Where a secret goes whose place fails at the last moment.
    pub(super) fn rescue_file(&self) -> PathBuf {
        self.folder.join(format!("{}.rescued.env", self.key))
    }

    /// The state file.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.key))
    }

    /// What is remembered; nothing where there is no file.
    pub(super) fn load(&self) -> Result<State, AccessFailure> {
        let path = self.path();
        let unreadable = |reason: String| {
            AccessFailure::new(
                format!("the state file {} cannot be read: {reason}", path.display()),
                "remove it: what exists at Cloudflare is found again by the service token in its file",
            )
        };
        match files::read_regular_text(&path, files::SETTINGS_LIMIT) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| unreadable(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// What is remembered of every server whose token this is, with the files. One token may serve several.
    fn sharing(&self, token: &str) -> Vec<(PathBuf, State)> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let paths = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"));
        let read = |path: PathBuf| {
            let text = files::read_regular_text(&path, files::SETTINGS_LIMIT).ok()?;
            let state: State = serde_json::from_str(&text).ok()?;
            let is_it = state.token.as_ref().is_some_and(|known| known.id.as_deref() == Some(token));
            is_it.then_some((path, state))
        };
        paths.filter_map(read).collect()
    }

    /// Until when the old secret of a token is valid, as far as is remembered of any server that uses it.
    pub(super) fn grace_until(&self, token: &str) -> Option<i64> {
        self.sharing(token).into_iter().filter_map(|(_, state)| state.grace_until).max()
    }

    /// Remembers that the old secret of a token is valid no more.
    pub(super) fn end_grace(&self, token: &str) -> Result<(), AccessFailure> {
        for (path, state) in self.sharing(token) {
            let text =
                serde_json::to_string_pretty(&State { grace_until: None, ..state }).unwrap_or_default();
            env_file::write(&path, text.as_bytes()).map_err(|error| unwritable(&self.folder, &error))?;
        }
        Ok(())
    }

    /// Remembers.
    pub(super) fn save(&self, state: &State) -> Result<(), AccessFailure> {
        let text = serde_json::to_string_pretty(state).unwrap_or_default();
        platform::create_private_folder(&self.folder)
            .and_then(|()| env_file::write(&self.path(), text.as_bytes()))
            .map_err(|error| unwritable(&self.folder, &error))
    }

    /// Forgets.
    pub(super) fn clear(&self) -> Result<(), AccessFailure> {
        match std::fs::remove_file(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(&self.folder, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn lock(folder: &Path, key: &str) -> io::Result<File> {
    platform::create_private_folder(folder)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = platform::for_owner_alone(&mut options).open(folder.join(format!("{key}.lock")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

fn unwritable(folder: &Path, error: &io::Error) -> AccessFailure {
    AccessFailure::new(
        format!("the state of this server cannot be written to {}: {error}", folder.display()),
        "make the folder writable, or set MCP_TETHER_CONFIG_DIR to another one",
    )
}
