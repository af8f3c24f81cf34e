//! Where each client keeps its configuration on this computer, and whether a missing file may be made.
//!
//! The same files in the words of a help text: `cli::clients`. Deliberately not here: what stands in them.

use std::path::{Path, PathBuf};

use crate::client_config::Client;
use crate::client_config::document::Format;
use crate::config::Environment;

/// What may be made where nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    /// The file and its folder: the client reads them from there even if it never made them.
    WithFolder,
    /// The file alone: without the folder the client is not installed.
    InFolder,
    /// The file alone, which the user has named.
    Named,
    /// Nothing.
    Never,
}

/// A configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) client: Client,
    pub(super) path: PathBuf,
    pub(super) creation: Creation,
}

impl Location {
    /// The format that its client reads.
    pub(super) fn format(&self) -> Format {
        if self.client == Client::Codex { Format::Toml } else { Format::Json }
    }
}

/// The folders that the files are in.
struct Folders {
    home: PathBuf,
    /// `~/.config`, or what stands for it.
    settings: PathBuf,
    /// The folder of applications: `%APPDATA%`, `~/Library/Application Support` or the settings.
    applications: PathBuf,
}

impl Folders {
    fn of(environment: &Environment, system: &str) -> Option<Folders> {
        let set = |name| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = match system {
            "windows" => set("USERPROFILE"),
            _ => set("HOME").filter(|home| home.is_absolute()),
        }?;
        let settings =
            set("XDG_CONFIG_HOME").filter(|_| system == "linux").unwrap_or_else(|| home.join(".config"));
        let applications = match system {
            "windows" => set("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming")),
            "macos" => home.join("Library").join("Application Support"),
            _ => settings.clone(),
        };
        Some(Folders { home, settings, applications })
    }
}

/// The files of a client for this user, the one to write first. Empty where there is no home folder.
pub(super) fn of_client(client: Client, environment: &Environment, system: &str) -> Vec<Location> {
    let Some(folders) = Folders::of(environment, system) else { return Vec::new() };
    let Folders { home, settings, applications } = &folders;
    let below =
        |folder: &Path, parts: &[&str]| parts.iter().fold(folder.to_owned(), |path, part| path.join(part));
    let named = |name| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let (creation, paths) = match client {
        Client::ClaudeCode => {
            let folder = named("CLAUDE_CONFIG_DIR").unwrap_or_else(|| home.clone());
            (Creation::InFolder, vec![folder.join(".claude.json")])
        }
        Client::ClaudeDesktop => {
            (Creation::InFolder, vec![below(applications, &["Claude", "claude_desktop_config.json"])])
        }
        Client::Cursor => (Creation::InFolder, vec![below(home, &[".cursor", "mcp.json"])]),
        Client::VsCode => (Creation::InFolder, vec![below(applications, &["Code", "User", "mcp.json"])]),
        Client::Windsurf => {
            (Creation::InFolder, vec![below(home, &[".codeium", "windsurf", "mcp_config.json"])])
        }
        Client::Codex => {
            let folder = named("CODEX_HOME").unwrap_or_else(|| home.join(".codex"));
            (Creation::WithFolder, vec![folder.join("config.toml")])
        }
        Client::Gemini => (Creation::WithFolder, vec![below(home, &[".gemini", "settings.json"])]),
        Client::Zed => {
            let folder = match system {
                "windows" => applications.join("Zed"),
                "macos" => below(home, &[".config", "zed"]),
                _ => settings.join("zed"),
            };
            (Creation::InFolder, vec![folder.join("settings.json")])
        }
        Client::OpenCode => {
            let folder = settings.join("opencode");
            (Creation::WithFolder, vec![folder.join("opencode.json"), folder.join("opencode.jsonc")])
        }
        Client::LmStudio => (Creation::InFolder, vec![below(home, &[".lmstudio", "mcp.json"])]),
        Client::Goose => {
            let path = match system {
                "windows" => below(applications, &["Block", "goose", "config", "config.yaml"]),
                _ => below(settings, &["goose", "config.yaml"]),
            };
            (Creation::Never, vec![path])
        }
        Client::Cline => (
            Creation::InFolder,
            vec![
                below(home, &[".cline", "data", "settings", "cline_mcp_settings.json"]),
                below(
                    applications,
                    &[
                        "Code",
                        "User",
                        "globalStorage",
                        "saoudrizwan.claude-dev",
                        "settings",
                        "cline_mcp_settings.json",
                    ],
                ),
            ],
        ),
        Client::Copilot => (Creation::WithFolder, vec![below(home, &[".copilot", "mcp-config.json"])]),
    };
    paths.into_iter().map(|path| Location { client, path, creation }).collect()
}

/// The files of clients in the current folder, where it is a project.
pub(super) fn of_project() -> Vec<Location> {
    let files = [
        (Client::ClaudeCode, ".mcp.json"),
        (Client::Cursor, ".cursor/mcp.json"),
        (Client::VsCode, ".vscode/mcp.json"),
        (Client::Gemini, ".gemini/settings.json"),
        (Client::OpenCode, "opencode.json"),
    ];
    let location = |(client, path): (Client, &str)| Location {
        client,
        path: PathBuf::from(path),
        creation: Creation::Never,
    };
    files.map(location).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_that_the_help_names() {
        let variables =
            [("HOME", "/h"), ("USERPROFILE", r"C:\Users\me"), ("APPDATA", r"C:\Users\me\AppData\Roaming")];
        let environment: Environment =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let plain = |text: &str| text.replace('\\', "/");
        for client in Client::ALL.into_iter().filter(|client| *client != Client::ClaudeCode) {
            let help = plain(&client.places().join("\n"));
            for (system, home, applications) in [
                ("linux", "/h", ""),
                ("macos", "/h", ""),
                ("windows", r"C:\Users\me", r"C:\Users\me\AppData\Roaming"),
            ] {
                let location = of_client(client, &environment, system).remove(0);
                let path = plain(&location.path.display().to_string());
                let path = match path.strip_prefix(&plain(applications)).filter(|_| system == "windows") {
                    Some(rest) => format!("%APPDATA%{rest}"),
                    None if system == "windows" => path.replace(&plain(home), "%USERPROFILE%"),
                    None => path.replacen(home, "~", 1),
                };
                let forms = [path.clone(), path.replace("%USERPROFILE%", "~")];
                assert!(forms.iter().any(|path| help.contains(path)), "{client:?} {system}: {path}\n{help}");
            }
        }
        assert!(of_client(Client::Cursor, &Environment::default(), "linux").is_empty());
    }
}
