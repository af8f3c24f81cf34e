//! How the demo looks: 96 columns, colours where somebody is there to see them, secrets masked.
//!
//! Deliberately not here: what is said.

use std::io::IsTerminal;
use std::time::Duration;

const WIDTH: usize = 96;
/// Where a message or a labelled text begins.
const INDENT: usize = 14;

/// The page: stdout, with or without colours.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    coloured: bool,
}

impl Page {
    /// With colours on a terminal that understands them, unless `NO_COLOR` is set.
    pub(crate) fn of_stdout() -> Page {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_understood = std::io::stdout().is_terminal() && (!cfg!(windows) || is_set("WT_SESSION"));
        Page { coloured: is_understood && !is_set("NO_COLOR") }
    }

    pub(crate) fn heading(self, text: &str) {
        println!("\n{}\n", self.painted("1", text));
    }

    /// A message of the client, or one for it and when it came; cut where the page ends.
    pub(crate) fn message(self, arrow: &str, after: Option<Duration>, line: &str) {
        let line = line.replacen(r#""jsonrpc":"2.0","#, "", 1);
        let line = match line.char_indices().nth(WIDTH - INDENT) {
            Some(_) => line.chars().take(WIDTH - INDENT - 1).chain(['…']).collect(),
            None => line,
        };
        let after = format!("{:>9}", after.map(milliseconds).unwrap_or_default());
        println!("  {} {} {line}", self.painted("36", arrow), self.painted("2", &after));
    }

    /// A text of any length behind a label.
    pub(crate) fn labelled(self, label: &str, text: &str) {
        let mut column = INDENT;
        let colour = if label == "error" { "31" } else { "2" };
        print!("    {}", self.painted(colour, &format!("{label:<9}")));
        for word in text.split(' ') {
            column += 1 + word.chars().count();
            if column > WIDTH {
                print!("\n{:width$}", "", width = INDENT - 1);
                column = INDENT + word.chars().count();
            }
            print!(" {word}");
        }
        println!();
    }

    fn painted(self, colour: &str, text: &str) -> String {
        if self.coloured { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Leaves of a secret what tells two of them apart: the known prefix, the end and the length.
pub(crate) fn masked(secret: &str) -> String {
    let count = secret.chars().count();
    let prefix = if secret.starts_with("cfast_") { "cfast_" } else { "" };
    let end: String = secret.chars().skip(count.saturating_sub(4)).collect();
    format!("{prefix}…{end} ({count} chars)")
}

pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
