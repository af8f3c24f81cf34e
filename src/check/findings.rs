//! What a check found, as lines for a person or as JSON for a program.
//!
//! On a terminal in colours, with the step that is being waited for; anywhere else plain. Deliberately not here: the
//! steps.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::bridge::ErrorReport;
use crate::redact;

/// How much of a text is told, in characters.
const LONGEST_TEXT: usize = 1_000;

/// How findings are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Lines, and what is being waited for.
    Terminal {
        /// Whether the words are coloured.
        coloured: bool,
    },
    /// Lines.
    Plain,
    /// One JSON document at the end.
    Json,
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum FindingState {
    Ok,
    Note,
    Warning,
    Failed,
}

/// Something about a finding that programs want to have by itself.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Detail {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl From<String> for Detail {
    fn from(text: String) -> Detail {
        Detail::Text(text)
    }
}

impl From<i64> for Detail {
    fn from(number: i64) -> Detail {
        Detail::Number(number)
    }
}

impl From<bool> for Detail {
    fn from(flag: bool) -> Detail {
        Detail::Flag(flag)
    }
}

#[derive(Debug, Serialize)]
struct Finding {
    step: &'static str,
    state: FindingState,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ray: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<&'static str, Detail>,
}

/// The findings of one check, told as they come.
#[derive(Debug)]
pub struct Findings<W> {
    output: W,
    style: Style,
    all: Vec<Finding>,
}

impl<W: Write> Findings<W> {
    /// Findings that are written to `output`.
    pub fn new(output: W, style: Style) -> Findings<W> {
        Findings { output, style, all: Vec::new() }
    }

    /// A step begins for which one may have to wait.
    pub fn begin(&mut self, step: &'static str) {
        if matches!(self.style, Style::Terminal { .. }) {
            let _ = write!(self.output, "\r\x1b[K{step:<14}…");
            let _ = self.output.flush();
        }
    }

    /// Something is as it should be.
    pub(super) fn ok(&mut self, step: &'static str, text: &str) {
        self.add(step, FindingState::Ok, text);
    }

    /// Something is neither good nor bad.
    pub(super) fn note(&mut self, step: &'static str, text: &str) {
        self.add(step, FindingState::Note, text);
    }

    /// Something works, but should be looked at.
    pub(super) fn warn(&mut self, step: &'static str, text: &str) {
        self.add(step, FindingState::Warning, text);
    }

    /// Adds to the last finding what programs want to have by itself.
    pub(super) fn detail(&mut self, name: &'static str, detail: impl Into<Detail>) {
        if let Some(last) = self.all.last_mut() {
            let detail = match detail.into() {
                Detail::Text(text) => Detail::Text(printable(&text)),
                other @ (Detail::Number(_) | Detail::Flag(_)) => other,
            };
            last.details.insert(name, detail);
        }
    }

    /// A step failed.
    pub fn fail(&mut self, step: &'static str, report: &ErrorReport) {
        let finding = Finding {
            step,
            state: FindingState::Failed,
            text: printable(&report.to_string()),
            cause: Some(report.cause.word()),
            advice: report.advice.as_deref().map(printable),
            status: report.status,
            ray: report.ray.as_deref().map(printable),
            details: BTreeMap::new(),
        };
        self.push(finding);
    }

    fn add(&mut self, step: &'static str, state: FindingState, text: &str) {
        let text = printable(text);
        let details = BTreeMap::new();
        self.push(Finding { step, state, text, cause: None, advice: None, status: None, ray: None, details });
    }

    fn push(&mut self, finding: Finding) {
        let Finding { step, state, text, advice, .. } = &finding;
        let (word, colour) = match state {
            FindingState::Ok => ("ok", "32"),
            FindingState::Note => ("-", "2"),
            FindingState::Warning => ("warning", "33"),
            FindingState::Failed => ("FAILED", "31"),
        };
        // Whoever stopped reading does not want to know.
        let _ = match self.style {
            Style::Terminal { coloured: true } => {
                writeln!(self.output, "\r\x1b[K{step:<14}\x1b[{colour}m{word:<8}\x1b[0m{text}")
            }
            Style::Terminal { coloured: false } => {
                writeln!(self.output, "\r\x1b[K{step:<14}{word:<8}{text}")
            }
            Style::Plain => writeln!(self.output, "{step:<14}{word:<8}{text}"),
            Style::Json => Ok(()),
        };
        if let (Some(advice), Style::Terminal { .. } | Style::Plain) = (advice, self.style) {
            let _ = writeln!(self.output, "{:<14}{:<8}{advice}", "", "try");
        }
        self.all.push(finding);
    }

    /// Reports what has not been told yet, and `program`: which version this is and how it is updated.
    pub fn finish(mut self, url: &str, is_well: bool, program: &str) {
        if self.style != Style::Json {
            let _ = writeln!(self.output, "{:<14}{:<8}{program}", "program", "-");
            return;
        }
        #[derive(Serialize)]
        struct CheckDocument<'a> {
            url: &'a str,
            ok: bool,
            program: &'a str,
            findings: &'a [Finding],
        }
        let url = &printable(url);
        let document = CheckDocument { url, ok: is_well, program, findings: &self.all };
        // Strings and numbers always serialize.
        let text = serde_json::to_string_pretty(&document).unwrap_or_default();
        let _ = writeln!(self.output, "{text}");
    }
}

/// A text without secrets, and without letters that would do something to a terminal.
fn printable(text: &str) -> String {
    redact::foreign(text).chars().take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::WrittenHeaders;
    use crate::bridge::ErrorKind;
    use crate::secret::Secret;

    fn output_of(style: Style) -> String {
        let mut output = Vec::new();
        let mut findings = Findings::new(&mut output, style);
        findings.ok("credentials", "a token");
        findings.detail("expires", 7);
        findings.begin("handshake");
        findings.fail("handshake", &ErrorReport::new(ErrorKind::AccessPolicy, "refused", "add a policy"));
        findings.finish("https://mcp.example.com/mcp", false, "mcp-tether 1.0");
        String::from_utf8(output).expect("UTF-8")
    }

    #[test]
    fn findings_are_lines_for_people_and_json_for_programs() {
        assert_eq!(
            output_of(Style::Plain),
            "credentials   ok      a token\nhandshake     FAILED  refused\n              try     add a policy\nprogram       -       mcp-tether 1.0\n"
        );
        let terminal = output_of(Style::Terminal { coloured: true });
        assert!(terminal.contains("handshake     …") && terminal.contains("\x1b[31mFAILED"), "{terminal}");
        let terminal = output_of(Style::Terminal { coloured: false });
        assert!(terminal.contains("handshake     …") && !terminal.contains("\x1b[3"), "{terminal}");
        let json: serde_json::Value = serde_json::from_str(&output_of(Style::Json)).expect("JSON");
        assert_eq!(json["ok"], false);
        assert_eq!(json["program"], "mcp-tether 1.0");
        assert_eq!(json["findings"][1]["cause"], "access_policy");
        assert_eq!(json["findings"][1]["advice"], "add a policy");
        assert_eq!(json["findings"][0]["state"], "ok");
        assert_eq!(json["findings"][0]["details"]["expires"], 7);
    }

    #[test]
    fn what_a_server_says_does_nothing_to_a_terminal_and_holds_no_secret() {
        let mut written = WrittenHeaders::default();
        let value = Secret::new("Bearer marked-token");
        written.set("authorization".parse().expect("a name"), &value).expect("a value");
        let mut output = Vec::new();
        let mut findings = Findings::new(&mut output, Style::Plain);
        findings.ok("handshake", "a \x1b[31mred\r\nserver that got marked-token");
        let told = String::from_utf8(output).expect("UTF-8");
        assert_eq!(told, "handshake     ok      a  [31mred  server that got [secret]\n");
    }
}
