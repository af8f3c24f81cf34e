//! The clients that `--client` names: what they are called, and where their configuration files are.
//!
//! Deliberately not here: what their entries look like (`client_config`).

use std::ffi::OsStr;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, Command, ValueEnum};

/// A client whose entries can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// Claude Code, in a terminal.
    ClaudeCode,
    /// The desktop application.
    ClaudeDesktop,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    #[value(name = "vscode")]
    VsCode,
    /// Windsurf.
    Windsurf,
    /// Codex.
    Codex,
    /// Gemini, in a terminal.
    Gemini,
    /// Zed.
    Zed,
    /// opencode, in a terminal.
    #[value(name = "opencode")]
    OpenCode,
    /// LM Studio.
    LmStudio,
    /// Goose.
    Goose,
    /// Cline, in Visual Studio Code or a terminal.
    Cline,
    /// GitHub Copilot, in a terminal.
    #[value(name = "copilot-cli")]
    Copilot,
}

impl Client {
    /// All clients.
    pub const ALL: [Client; 13] = [
        Client::ClaudeCode,
        Client::ClaudeDesktop,
        Client::Cursor,
        Client::VsCode,
        Client::Windsurf,
        Client::Codex,
        Client::Gemini,
        Client::Zed,
        Client::OpenCode,
        Client::LmStudio,
        Client::Goose,
        Client::Cline,
        Client::Copilot,
    ];

    /// Its name in `--client`.
    pub fn name(self) -> &'static str {
        match self {
            Client::ClaudeCode => "claude-code",
            Client::ClaudeDesktop => "claude-desktop",
            Client::Cursor => "cursor",
            Client::VsCode => "vscode",
            Client::Windsurf => "windsurf",
            Client::Codex => "codex",
            Client::Gemini => "gemini",
            Client::Zed => "zed",
            Client::OpenCode => "opencode",
            Client::LmStudio => "lm-studio",
            Client::Goose => "goose",
            Client::Cline => "cline",
            Client::Copilot => "copilot-cli",
        }
    }

    /// Returns the client of a name, however it is written: `VS Code`, `claude_desktop`…
    pub(crate) fn named(name: &str) -> Option<Client> {
        let plain = |text: &str| -> String {
            text.chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|letter| letter.to_ascii_lowercase())
                .collect()
        };
        let name = plain(name);
        let name = match name.as_str() {
            "claude" => "claudecode",
            "code" | "visualstudiocode" => "vscode",
            "geminicli" => "gemini",
            "codexcli" => "codex",
            "copilot" | "githubcopilot" | "githubcopilotcli" => "copilotcli",
            other => other,
        };
        Client::ALL.into_iter().find(|client| plain(client.name()) == name)
    }

    /// Its product name.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Client::ClaudeCode => "Claude Code",
            Client::ClaudeDesktop => "Claude Desktop",
            Client::Cursor => "Cursor",
            Client::VsCode => "VS Code",
            Client::Windsurf => "Windsurf",
            Client::Codex => "Codex",
            Client::Gemini => "Gemini",
            Client::Zed => "Zed",
            Client::OpenCode => "opencode",
            Client::LmStudio => "LM Studio",
            Client::Goose => "Goose",
            Client::Cline => "Cline",
            Client::Copilot => "GitHub Copilot CLI",
        }
    }

    /// Where the entry belongs, a line each.
    pub(crate) fn places(self) -> &'static [&'static str] {
        match self {
            Client::ClaudeCode => &[
                "the command: a terminal in the project (-s user after NAME: for all projects)",
                "the JSON: .mcp.json at the root of the project, on Linux, macOS and Windows",
            ],
            Client::ClaudeDesktop => &[
                "macOS:   ~/Library/Application Support/Claude/claude_desktop_config.json",
                "Windows: %APPDATA%\\Claude\\claude_desktop_config.json",
                "Linux:   ~/.config/Claude/claude_desktop_config.json (not verified)",
                "(Settings, Developer, Edit Config opens it; restart the application afterwards)",
            ],
            Client::Cursor => &[
                "Linux, macOS: ~/.cursor/mcp.json",
                "Windows:      %USERPROFILE%\\.cursor\\mcp.json",
                "(or .cursor/mcp.json in the project)",
            ],
            Client::VsCode => &[
                "Linux:   ~/.config/Code/User/mcp.json",
                "macOS:   ~/Library/Application Support/Code/User/mcp.json",
                "Windows: %APPDATA%\\Code\\User\\mcp.json",
                "(or .vscode/mcp.json in the workspace)",
            ],
            Client::Windsurf => &[
                "Linux, macOS: ~/.codeium/windsurf/mcp_config.json",
                "Windows:      %USERPROFILE%\\.codeium\\windsurf\\mcp_config.json",
            ],
            Client::Codex => &[
                "Linux, macOS: ~/.codex/config.toml",
                "Windows:      %USERPROFILE%\\.codex\\config.toml",
                "($CODEX_HOME takes the place of the folder)",
            ],
            Client::Gemini => &[
                "Linux, macOS: ~/.gemini/settings.json",
                "Windows:      %USERPROFILE%\\.gemini\\settings.json",
                "(or .gemini/settings.json in the project)",
            ],
            Client::Zed => {
                &["Linux, macOS: ~/.config/zed/settings.json", "Windows:      %APPDATA%\\Zed\\settings.json"]
            }
            Client::OpenCode => &[
                "Linux, macOS: ~/.config/opencode/opencode.json",
                "Windows:      %USERPROFILE%\\.config\\opencode\\opencode.json",
                "(or opencode.json at the root of the project)",
            ],
            Client::LmStudio => &[
                "Linux, macOS: ~/.lmstudio/mcp.json",
                "Windows:      %USERPROFILE%\\.lmstudio\\mcp.json",
                "(Program, Install, Edit mcp.json opens it)",
            ],
            Client::Goose => &[
                "Linux, macOS: ~/.config/goose/config.yaml",
                "Windows:      %APPDATA%\\Block\\goose\\config\\config.yaml",
            ],
            Client::Cline => &[
                "VS Code (Linux, macOS, Windows): MCP Servers, Configure MCP Servers",
                "the command line: ~/.cline/data/settings/cline_mcp_settings.json",
            ],
            Client::Copilot => &[
                "Linux, macOS: ~/.copilot/mcp-config.json",
                "Windows:      %USERPROFILE%\\.copilot\\mcp-config.json",
            ],
        }
    }
}

/// Reads the name of a client in any spelling: `VS Code`, `claude_desktop`.
#[derive(Clone)]
pub(super) struct ClientParser;

impl TypedValueParser for ClientParser {
    type Value = Client;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Client, clap::Error> {
        match value.to_str().and_then(Client::named) {
            Some(client) => Ok(client),
            None => EnumValueParser::<Client>::new().parse_ref(command, arg, value),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Client::ALL.into_iter().map(|client| PossibleValue::new(client.name()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_client_by_any_spelling_of_its_name() {
        for client in Client::ALL {
            assert_eq!(Client::named(client.name()), Some(client));
            assert_eq!(Client::named(client.title()), Some(client));
        }
        assert_eq!(Client::named("claude_desktop"), Some(Client::ClaudeDesktop));
        assert_eq!(Client::named("emacs"), None);
    }
}
