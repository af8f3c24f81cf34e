//! Files with the secrets of one entry, which `--env-file` names: for their owner alone, in the folder of mcp-tether's settings.
//!
//! Deliberately not here: how such a file is read (`config::dotenv`).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::cli::UsageError;
use crate::client_config::{Client, shown, usage};
use crate::config::Environment;
use crate::secret::Secret;
use crate::{files, platform};

/// The folder of these files.
pub(super) fn folder(environment: &Environment, system: &str) -> Option<PathBuf> {
    let set = |name| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let settings = match system {
        "windows" => set("APPDATA"),
        "macos" => set("HOME").map(|home| home.join("Library").join("Application Support")),
        _ => set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config"))),
    };
    let settings = set("MCP_TETHER_CONFIG_DIR").or(settings)?;
    Some(settings.join("mcp-tether").join("env"))
}

/// A path in the folder that no file has yet, and that is none of those `taken` for files still to be written.
pub(super) fn free_path(folder: &Path, taken: &[PathBuf], name: &str, client: Client) -> PathBuf {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let plain: String =
        name.chars().take(64).map(|letter| if is_plain(letter) { letter } else { '-' }).collect();
    let path = |number: u32| match number {
        1 => folder.join(format!("{plain}.{}.env", client.name())),
        _ => folder.join(format!("{plain}.{}-{number}.env", client.name())),
    };
    (1..).map(path).find(|path| !path.exists() && !taken.contains(path)).unwrap_or_else(|| path(1))
}

/// Writes a new file.
///
/// # Errors
/// [`UsageError`] when the system refuses, or another process has made one of this name.
pub(super) fn write(path: &Path, variables: &[(String, Secret)]) -> Result<(), UsageError> {
    let lines = variables.iter().map(|(name, value)| format!("{name}={}\n", quoted(value.reveal())));
    let text =
        format!("# Written by mcp-tether for the entry that names this file.\n{}", lines.collect::<String>());
    let folder = path.parent().map_or(Ok(()), platform::create_private_folder);
    let written = folder.and_then(|()| {
        let file = files::temporary(path, text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file.persist_noclobber(path).map(drop)?)
    });
    written.map_err(|error| {
        let what = match error.kind() {
            ErrorKind::AlreadyExists => "exists already".to_owned(),
            _ => format!("cannot be written: {error}"),
        };
        usage(format!("the file {} {what}", shown(path)), "check the rights of its folder")
    })
}

/// A value, quoted for the reader of these files (`config::dotenv`).
fn quoted(value: &str) -> String {
    if !value.contains('\'') {
        return format!("'{value}'");
    }
    let mut text = String::from("\"");
    for letter in value.chars() {
        if ['"', '\\', '$'].contains(&letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text + "\""
}

/// The path of a file of this folder that arguments name, if they name one.
pub(super) fn named(arguments: &[String], folder: &Path) -> Option<PathBuf> {
    let mut words = arguments.iter();
    words.find(|word| *word == "--env-file")?;
    let path = PathBuf::from(words.next()?);
    path.starts_with(folder).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_back_as_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = free_path(&folder.path().join("env"), &[], "a b/..", Client::Cursor);
        assert_eq!(path, folder.path().join("env/a-b---.cursor.env"));
        let second =
            free_path(&folder.path().join("env"), std::slice::from_ref(&path), "a-b/..", Client::Cursor);
        assert_eq!(second, folder.path().join("env/a-b---.cursor-2.env"));
        let values = ["plain", "with $HOME and ${X}", "it's \"q\" \\n $x", "two\nlines", "# no comment", ""];
        let variables: Vec<(String, Secret)> =
            values.iter().enumerate().map(|(at, value)| (format!("V{at}"), Secret::new(*value))).collect();
        write(&path, &variables).expect("written");
        assert!(!platform::others_can_read(&path));
        let text = std::fs::read_to_string(&path).expect("a file");
        let read = crate::config::dotenv::parse(&text).expect("variables");
        assert_eq!(read.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), values);
        assert!(write(&path, &variables).is_err());
        assert_ne!(free_path(&folder.path().join("env"), &[], "a b/..", Client::Cursor), path);
    }
}
