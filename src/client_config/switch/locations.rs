//! The configuration files of each client on this computer, and whether a missing one may be created.
//!
//! The help text names the same files (`cli::clients`). Deliberately not here: their content.

use std::path::{Path, PathBuf};

use crate::client_config::Client;
use crate::client_config::document::Format;
use crate::config::Environment;

/// The parts that `add` may create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    /// The file and its folder: the client reads the file even if it did not create the folder.
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
    /// `~/.config`, or `XDG_CONFIG_HOME`.
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
    let location = |path| Location { client, path, creation: creation(client) };
    paths(client, &folders, environment, system).into_iter().map(location).collect()
}

/// The parts that `add` may create for a client.
fn creation(client: Client) -> Creation {
    match client {
        Client::Codex | Client::Gemini | Client::OpenCode | Client::Copilot => Creation::WithFolder,
        Client::Goose => Creation::Never,
        Client::ClaudeCode
        | Client::ClaudeDesktop
        | Client::Cursor
        | Client::VsCode
        | Client::Windsurf
        | Client::Zed
        | Client::LmStudio
        | Client::Cline => Creation::InFolder,
    }
}

fn paths(client: Client, folders: &Folders, environment: &Environment, system: &str) -> Vec<PathBuf> {
    let Folders { home, settings, applications } = folders;
    let below =
        |folder: &Path, parts: &[&str]| parts.iter().fold(folder.to_owned(), |path, part| path.join(part));
    let named = |name| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = match client {
        Client::ClaudeCode => named("CLAUDE_CONFIG_DIR").unwrap_or_else(|| home.clone()).join(".claude.json"),
        Client::ClaudeDesktop => below(applications, &["Claude", "claude_desktop_config.json"]),
        Client::Cursor => below(home, &[".cursor", "mcp.json"]),
        Client::VsCode => below(applications, &["Code", "User", "mcp.json"]),
        Client::Windsurf => below(home, &[".codeium", "windsurf", "mcp_config.json"]),
        Client::Codex => named("CODEX_HOME").unwrap_or_else(|| home.join(".codex")).join("config.toml"),
        Client::Gemini => below(home, &[".gemini", "settings.json"]),
        Client::Zed => match system {
            "windows" => below(applications, &["Zed", "settings.json"]),
            "macos" => below(home, &[".config", "zed", "settings.json"]),
            _ => below(settings, &["zed", "settings.json"]),
        },
        Client::OpenCode => {
            return ["opencode.json", "opencode.jsonc"]
                .map(|name| below(settings, &["opencode", name]))
                .to_vec();
        }
        Client::LmStudio => below(home, &[".lmstudio", "mcp.json"]),
        Client::Goose => match system {
            "windows" => below(applications, &["Block", "goose", "config", "config.yaml"]),
            _ => below(settings, &["goose", "config.yaml"]),
        },
        Client::Cline => {
            let own = below(home, &[".cline", "data", "settings"]);
            let extension = ["Code", "User", "globalStorage", "saoudrizwan.claude-dev", "settings"];
            let extension = below(applications, &extension);
            return [own, extension].map(|folder| folder.join("cline_mcp_settings.json")).to_vec();
        }
        Client::Copilot => below(home, &[".copilot", "mcp-config.json"]),
    };
    vec![path]
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
