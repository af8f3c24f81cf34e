//! An entry, in the form of each client.
//!
//! Deliberately not here: where the arguments come from, and what is said about them.

use super::clients::{Client, Passing, input_id};
use super::dialect;
use super::secrets::Variable;
use super::sensitive::is_secret_name;
use super::value::{Table, Value};

/// The command that starts a server, with arguments and variables.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) command: String,
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<Variable>,
}

/// The text that stands where a value has to be put by hand; mcp-tether refuses it by name.
pub(super) fn placeholder(variable: &str) -> String {
    format!("your-{}", variable.to_ascii_lowercase().replace('_', "-"))
}

impl Entry {
    /// The entry as a table, without its name.
    pub(super) fn table(&self, client: Client) -> Table {
        let kind = match client {
            Client::Copilot => Some(("type", "local")),
            // Claude Code runs an entry without it, but `claude mcp get` of 2.1.197 does not show its command.
            Client::VsCode | Client::ClaudeCode => Some(("type", "stdio")),
            Client::Zed => Some(("source", "custom")),
            Client::ClaudeDesktop
            | Client::Cursor
            | Client::Windsurf
            | Client::Codex
            | Client::Gemini
            | Client::OpenCode
            | Client::LmStudio
            | Client::Goose
            | Client::Cline => None,
        };
        let mut table = Table::of(kind.map(|(name, value)| (name, Value::Text(value.to_owned()))));
        self.fill(client, &mut table);
        if client == Client::Copilot {
            // It offers no tool that is not named.
            table.set("tools", Value::Array(vec![Value::Text("*".to_owned())]));
        }
        table
    }

    /// Puts command, arguments and variables into a table that may have other members.
    pub(super) fn fill(&self, client: Client, table: &mut Table) {
        table.set("command", Value::Text(self.command.clone()));
        table.set("args", Value::from_iter(&self.arguments));
        let mut environment = table.get("env").and_then(Value::table).cloned().unwrap_or_default();
        let mut named = table.get("env_vars").and_then(Value::texts).unwrap_or_default();
        for variable in &self.variables {
            match self.passing(client, variable) {
                Some(Passing::Reference(text)) => environment.set(&variable.name, Value::Text(text)),
                Some(Passing::Literal) => {
                    environment.set(&variable.name, Value::Text(placeholder(&variable.name)))
                }
                Some(Passing::Named) if named.contains(&variable.name) => {}
                Some(Passing::Named) => named.push(variable.name.clone()),
                Some(Passing::Inherited) | None => {}
            }
        }
        if !environment.members.is_empty() {
            table.set("env", Value::Table(environment));
        }
        if !named.is_empty() {
            table.set("env_vars", Value::from_iter(&named));
        }
    }

    /// How a variable comes along; none where it is left to the client's environment, because a reference to
    /// what is not there would be worse than nothing.
    fn passing(&self, client: Client, variable: &Variable) -> Option<Passing> {
        if let Some(text) = &variable.text {
            return Some(Passing::Reference(text.clone()));
        }
        match (client.passing(&variable.name, is_secret_name(&variable.name)), variable.is_needed) {
            (passing, true) => Some(passing),
            (Passing::Named, false) => Some(Passing::Named),
            // An unset variable is empty there, and an empty one counts as unset.
            (passing, false) if [Client::Cursor, Client::OpenCode].contains(&client) => Some(passing),
            (Passing::Reference(_) | Passing::Inherited | Passing::Literal, false) => None,
        }
    }

    /// The questions that the client asks for this entry. Only VS Code asks any.
    pub(super) fn inputs(&self, client: Client) -> Vec<Value> {
        if client != Client::VsCode {
            return Vec::new();
        }
        let asked = self.variables.iter().filter(|variable| {
            matches!(self.passing(Client::VsCode, variable), Some(Passing::Reference(text)) if text.contains("${input:"))
        });
        // Those in arguments come along as variables, too.
        let inputs = asked.map(|variable| {
            let text = |text: String| Value::Text(text);
            let mut input = Table::of([
                ("type", text("promptString".to_owned())),
                ("id", text(input_id(&variable.name))),
                ("description", text(format!("{} of {}", variable.name, self.name))),
            ]);
            if !variable.name.ends_with("_ID") {
                input.set("password", Value::Literal("true".to_owned()));
            }
            Value::Table(input)
        });
        inputs.collect()
    }

    /// The command for a terminal that has Claude Code write the entry.
    pub(super) fn command_line(&self, is_windows: bool) -> String {
        let quoted = |word: &str| quoted(word, is_windows);
        let mut line = format!("claude mcp add {}", quoted(&self.name));
        for variable in &self.variables {
            if let Some(Passing::Reference(text)) = self.passing(Client::ClaudeCode, variable) {
                line.push_str(&format!(" -e {}", quoted(&format!("{}={text}", variable.name))));
            }
        }
        // PowerShell keeps a bare one from scripts, such as npm's claude.ps1.
        let end = if is_windows { "'--'" } else { "--" };
        line.push_str(&format!(" {end} {}", quoted(&self.command)));
        for argument in &self.arguments {
            line.push(' ');
            line.push_str(&quoted(argument));
        }
        line
    }
}

/// A word of a command line, quoted for PowerShell or a POSIX shell.
pub(super) fn quoted(word: &str, is_windows: bool) -> String {
    if is_windows { powershell(word) } else { shell_words::quote(word).into_owned() }
}

/// A word quoted for PowerShell, which splits a word that begins with a dash at a point or colon.
fn powershell(word: &str) -> String {
    let others = if word.starts_with('-') { "-" } else { "-_./:=\\" };
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || others.contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("'");
    for letter in word.chars() {
        // PowerShell accepts each of these as a quotation mark.
        let is_quote = ['\'', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'].contains(&letter);
        quoted.extend(std::iter::repeat_n(letter, 1 + usize::from(is_quote)));
    }
    quoted + "'"
}

/// The text that is pasted: a whole file that holds nothing but this entry.
pub(super) fn render_document(client: Client, name: &str, table: &Table, inputs: Vec<Value>) -> String {
    if let Some(text) = dialect::render_document(client, name, table) {
        return text;
    }
    if client == Client::Codex {
        return table.to_toml(&[client.key(), name]);
    }
    let servers = Table::of([(name, Value::Table(table.clone()))]);
    let inputs =
        Some(inputs).filter(|inputs| !inputs.is_empty()).map(|inputs| ("inputs", Value::Array(inputs)));
    let whole = Table::of(inputs.into_iter().chain([(client.key(), Value::Table(servers))]));
    whole.to_json() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_read_every_word_unchanged() {
        let arguments = [
            "https://h/mcp?a=1&b=2",
            "--header",
            "X: it's \"${KEY}\" $HOME `x` %PATH% C:\\Program Files\\x",
            "*",
            "",
        ];
        let entry = Entry {
            name: "my-server".to_owned(),
            command: "/opt/my programs/mcp-tether".to_owned(),
            arguments: arguments.map(str::to_owned).to_vec(),
            variables: vec![Variable { name: "KEY".to_owned(), text: None, is_needed: true }],
        };
        let line = entry.command_line(false);
        let words = shell_words::split(&line).expect("balanced quotes");
        assert_eq!(words[..7], ["claude", "mcp", "add", "my-server", "-e", "KEY=${KEY}", "--"]);
        assert_eq!(words[7], entry.command);
        assert_eq!(words[8..], entry.arguments);

        let line = entry.command_line(true);
        assert!(line.contains(" -e 'KEY=${KEY}' '--' '/opt/my programs/mcp-tether' "), "{line}");
        assert!(
            line.contains("'X: it''s \"${KEY}\" $HOME `x` %PATH% C:\\Program Files\\x' '*' ''"),
            "{line}"
        );
        for (word, expected) in [
            ("it\u{2019}s; x", "'it\u{2019}\u{2019}s; x'"),
            ("--header", "--header"),
            ("--proxy=http://h:1", "'--proxy=http://h:1'"),
            ("https://h/mcp", "https://h/mcp"),
        ] {
            assert_eq!(powershell(word), expected);
        }
    }
}
