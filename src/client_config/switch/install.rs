//! `mcp-tether install`: copies the program to the user's folder for programs.
//!
//! Deliberately not here: other ways to install it (`channel`).

use std::io;
use std::path::{Path, PathBuf};

use super::{SwitchOutcome, SwitchSession};
use crate::channel::{self, Channel};
use crate::cli::UsageError;
use crate::client_config::{shown, usage};
use crate::config::Environment;
use crate::{files, platform};

/// The path of the installed program.
fn destination(environment: &Environment, system: &str) -> Option<PathBuf> {
    let set = |name| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match system {
        "windows" => {
            let local = set("LOCALAPPDATA")
                .or_else(|| set("USERPROFILE").map(|home| home.join("AppData").join("Local")))?;
            Some(local.join("Programs").join("mcp-tether").join("mcp-tether.exe"))
        }
        _ => {
            Some(set("HOME").filter(|home| home.is_absolute())?.join(".local").join("bin").join("mcp-tether"))
        }
    }
}

/// Runs `install`.
pub(super) fn run(is_agreed: bool, session: &mut SwitchSession<'_>) -> Result<SwitchOutcome, UsageError> {
    match install(is_agreed, session)? {
        Some(_) => Ok(SwitchOutcome::Done),
        None => Ok(SwitchOutcome::Left),
    }
}

/// Copies the program. Returns the path of the copy; none if the user says no.
pub(super) fn install(
    is_agreed: bool,
    session: &mut SwitchSession<'_>,
) -> Result<Option<PathBuf>, UsageError> {
    let unknown = || usage("the folder for programs is not known", "set HOME to your home folder");
    let to = destination(session.environment, session.system).ok_or_else(unknown)?;
    let from = channel::running()
        .ok_or_else(|| usage("the path of this program is unknown", "start it by its full path"))?;
    let cannot = |error: io::Error| {
        usage(
            format!("the program cannot be copied to {}: {error}", shown(&to)),
            "check the rights of that folder",
        )
    };
    match std::fs::symlink_metadata(&to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(error)),
        Ok(found) if found.is_symlink() => {
            return Err(usage(
                format!("{} is a symbolic link of another installer", shown(&to)),
                "use the program that it names, or remove the link first",
            ));
        }
        Ok(found) if !found.is_file() => {
            return Err(usage(
                format!("{} is not a file", shown(&to)),
                "move it away, and run the command again",
            ));
        }
        Ok(_) if is_same(&from, &to).map_err(cannot)? => {
            session.say(&format!("mcp-tether {} is at {} already.\n", env!("CARGO_PKG_VERSION"), shown(&to)));
            session.say(&about(&to, session.environment));
            return Ok(Some(to));
        }
        Ok(_) => {
            let question = format!("Replace the other mcp-tether at {}?", shown(&to));
            if !session.confirm(is_agreed, &question)? {
                session.say("Nothing was changed.\n");
                return Ok(None);
            }
        }
    }
    copy(&from, &to).map_err(cannot)?;
    session.say(&format!("mcp-tether {} is installed at {}.\n", env!("CARGO_PKG_VERSION"), shown(&to)));
    session.say(&about(&to, session.environment));
    Ok(Some(to))
}

/// Says whether the folder is on the PATH, and how to update.
fn about(program: &Path, environment: &Environment) -> String {
    let path = environment.get("PATH").unwrap_or_default();
    let folder = program.parent().unwrap_or(program);
    let is_there = std::env::split_paths(path).any(|known| known == folder);
    let sentence = match is_there {
        true => "is on PATH.",
        false => {
            "is not on PATH: write the full path into the configuration of a client, or add the folder to PATH."
        }
    };
    format!(
        "{} {sentence}\nUpdate: {}, or mcp-tether install with a newer copy.\n",
        shown(folder),
        Channel::Archive.update()
    )
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    if std::fs::canonicalize(one)? == std::fs::canonicalize(other)? {
        return Ok(true);
    }
    let sizes = [one, other].map(|path| std::fs::metadata(path).map(|found| found.len()));
    let [Ok(one_size), Ok(other_size)] = sizes else { return Ok(false) };
    Ok(one_size == other_size && std::fs::read(one)? == std::fs::read(other)?)
}

/// Copies a program as a whole or not at all.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = files::temporary(to, &std::fs::read(from)?)?;
    platform::make_executable(file.as_file())?;
    file.as_file().sync_all()?;
    // A program can be started only when it is no longer open for writing.
    Ok(file.into_temp_path().persist(to)?)
}
