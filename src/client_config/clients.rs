//! The rules of each client: the table of its servers, the variables that it expands and passes on, and the names that it accepts.
//!
//! The rules were measured on the clients or come from their documentation; `examples/configs/README.md` names the uncertain
//! ones. Deliberately not here: the names and files of clients (`cli::clients`), and how an entry is printed (`entry`).

pub use crate::cli::Client;

/// How a client passes a variable of its own environment on to the server of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    /// The value in `env` is this text, which the client fills in.
    Reference(String),
    /// By its name, in a list.
    Named,
    /// The client passes its whole environment on, and cannot be told more.
    Inherited,
    /// Not at all: `env` has to hold the value.
    Literal,
}

impl Client {
    /// The name of the table with its servers.
    pub(super) fn key(self) -> &'static str {
        match self {
            Client::VsCode => "servers",
            Client::Codex => "mcp_servers",
            Client::Zed => "context_servers",
            Client::OpenCode => "mcp",
            Client::Goose => "extensions",
            Client::ClaudeCode
            | Client::ClaudeDesktop
            | Client::Cursor
            | Client::Windsurf
            | Client::Gemini
            | Client::LmStudio
            | Client::Cline
            | Client::Copilot => "mcpServers",
        }
    }

    /// How a variable gets from its environment to a server.
    pub(super) fn passing(self, variable: &str, is_secret: bool) -> Passing {
        match (self.reference(variable, is_secret), self) {
            (Some(reference), _) => Passing::Reference(reference),
            (None, Client::Codex | Client::Goose) => Passing::Named,
            (None, Client::Zed) => Passing::Inherited,
            (None, _) => Passing::Literal,
        }
    }

    /// The reference that this client replaces with a variable's value, in `env` and mostly in `args`. None if it replaces none.
    pub(super) fn reference(self, variable: &str, is_secret: bool) -> Option<String> {
        match self {
            Client::ClaudeCode => Some(format!("${{{variable}}}")),
            Client::Gemini => Some(format!("${{{variable}}}")),
            Client::Cursor | Client::Windsurf | Client::Cline => Some(format!("${{env:{variable}}}")),
            Client::Copilot => Some(format!("${{{variable}}}")),
            Client::OpenCode => Some(format!("{{env:{variable}}}")),
            Client::VsCode if is_secret => Some(format!("${{input:{}}}", input_id(variable))),
            Client::VsCode => Some(format!("${{env:{variable}}}")),
            Client::Codex | Client::Zed | Client::ClaudeDesktop | Client::LmStudio | Client::Goose => None,
        }
    }

    /// Returns whether it fills references in in `args` as well, as far as that is known.
    pub(super) fn fills_arguments(self) -> bool {
        !matches!(self, Client::Cline | Client::Copilot) && self.reference("X", true).is_some()
    }

    /// Returns whether it passes its whole environment on, beside what `env` says.
    pub(super) fn passes_everything(self) -> bool {
        match self {
            Client::ClaudeCode | Client::VsCode | Client::Zed | Client::OpenCode => true,
            // Gemini takes out what looks like a secret; of the others it is not known, or known not to be so.
            Client::ClaudeDesktop
            | Client::Cursor
            | Client::Windsurf
            | Client::Codex
            | Client::Gemini
            | Client::LmStudio
            | Client::Goose
            | Client::Cline
            | Client::Copilot => false,
        }
    }

    /// Returns whether arguments with a space reach a server in pieces, on Windows.
    pub(super) fn cuts_arguments(self) -> bool {
        self == Client::Cursor
    }

    /// Says why a name is none for this client, and what it takes. Nothing where it is one.
    pub(super) fn refuses_name(self, name: &str) -> Option<&'static str> {
        let only = |others: &str| {
            name.chars().all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
        };
        // Those that it has itself.
        let reserved = ["workspace", "claude-in-chrome", "computer-use"];
        match self {
            Client::ClaudeCode if !only("-_") => {
                Some("takes letters, digits, - and _ in the name of a server")
            }
            Client::ClaudeCode if reserved.contains(&name) => Some("keeps that name for a server of its own"),
            Client::Codex if !only("-_:@/.") => {
                Some("takes letters, digits and any of - _ : @ / . in the name of a server")
            }
            _ if name.chars().any(char::is_control) => Some("takes no control characters in a name"),
            _ if name.chars().count() > 64 => Some("takes no name of more than 64 characters"),
            _ => None,
        }
    }

    /// Says what a name that it takes has against it.
    pub(super) fn doubts_name(self, name: &str) -> Option<&'static str> {
        let is_doubtful = self == Client::Gemini && name.contains('_');
        is_doubtful.then_some(
            "Gemini tells server and tool apart at the first _: without one in NAME, rules for single tools work",
        )
    }

    /// The client of a file, by the path and the name of the table with the servers.
    pub(super) fn of_file(path: &str, key: &str) -> Option<Client> {
        let path = path.replace('\\', "/").to_ascii_lowercase();
        let file = path.rsplit('/').next().unwrap_or_default();
        match key {
            "mcp_servers" => Some(Client::Codex),
            "context_servers" => Some(Client::Zed),
            "servers" => Some(Client::VsCode),
            "mcp" => Some(Client::OpenCode),
            _ if file.starts_with("cline_mcp") => Some(Client::Cline),
            _ if path.contains(".lmstudio") || path.contains("lm-studio") => Some(Client::LmStudio),
            _ if file == "mcp-config.json" || path.contains(".copilot") => Some(Client::Copilot),
            _ if file.starts_with("claude_desktop") => Some(Client::ClaudeDesktop),
            _ if file == ".mcp.json" || file.starts_with(".claude") => Some(Client::ClaudeCode),
            _ if file.contains("claude-code") || path.contains("/.claude/") => Some(Client::ClaudeCode),
            _ if path.contains("gemini") => Some(Client::Gemini),
            _ if path.contains("windsurf") || file == "mcp_config.json" => Some(Client::Windsurf),
            _ if path.contains("cursor") || file == "mcp.json" => Some(Client::Cursor),
            _ => None,
        }
    }
}

/// The id of VS Code's question for a variable.
pub(super) fn input_id(variable: &str) -> String {
    variable.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_is_known_by_file_name_and_key() {
        for (path, key, client) in [
            ("/home/me/.cursor/mcp.json", "mcpServers", Some(Client::Cursor)),
            (
                "C:\\Users\\me\\AppData\\Roaming\\Claude\\claude_desktop_config.json",
                "mcpServers",
                Some(Client::ClaudeDesktop),
            ),
            (".mcp.json", "mcpServers", Some(Client::ClaudeCode)),
            ("/home/me/.claude.json", "mcpServers", Some(Client::ClaudeCode)),
            ("~/.gemini/settings.json", "mcpServers", Some(Client::Gemini)),
            ("~/.codeium/windsurf/mcp_config.json", "mcpServers", Some(Client::Windsurf)),
            (".vscode/mcp.json", "servers", Some(Client::VsCode)),
            ("config.toml", "mcp_servers", Some(Client::Codex)),
            ("settings.json", "context_servers", Some(Client::Zed)),
            ("~/.config/opencode/opencode.json", "mcp", Some(Client::OpenCode)),
            ("~/.lmstudio/mcp.json", "mcpServers", Some(Client::LmStudio)),
            ("~/.cline/data/settings/cline_mcp_settings.json", "mcpServers", Some(Client::Cline)),
            ("~/.copilot/mcp-config.json", "mcpServers", Some(Client::Copilot)),
            ("notes.json", "mcpServers", None),
        ] {
            assert_eq!(Client::of_file(path, key), client, "{path}");
        }
    }

    #[test]
    fn server_names_follow_rules_of_client() {
        for (client, name, is_taken) in [
            (Client::ClaudeCode, "my-server_1", true),
            (Client::ClaudeCode, "my server", false),
            (Client::ClaudeCode, "my.server", false),
            (Client::ClaudeCode, "workspace", false),
            (Client::Codex, "my server", false),
            (Client::Codex, "work/my.server@1", true),
            (Client::Codex, "ünï", false),
            (Client::Gemini, "my_server", true),
            (Client::ClaudeDesktop, "My server (work)", true),
            (Client::Zed, "a\nb", false),
        ] {
            assert_eq!(client.refuses_name(name).is_none(), is_taken, "{client:?} {name:?}");
        }
    }
}
