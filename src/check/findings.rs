//! The findings of a check, as lines or as JSON.
//!
//! On a terminal in colours, with the step in progress; anywhere else plain. Deliberately not here: the steps.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::bridge::ErrorReport;
use crate::redact;

/// The longest text of a finding, in characters.
const LONGEST_TEXT: usize = 1_000;

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Lines, and the step in progress.
    Terminal {
        /// Whether the words are coloured.
        coloured: bool,
    },
    /// Lines.
    Plain,
    /// One JSON document at the end.
    Json,
}

/// The state of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum FindingState {
    Ok,
    Note,
    Warning,
    Failed,
}

/// A value of a finding, for programs.
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

/// The findings of one check, printed as they are added.
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

    /// Shows the step that begins, on a terminal.
    pub fn begin(&mut self, step: &'static str) {
        if matches!(self.style, Style::Terminal { .. }) {
            let _ = write!(self.output, "\r\x1b[K{step:<14}…");
            let _ = self.output.flush();
        }
    }

    /// Adds a step that worked.
    pub(super) fn ok(&mut self, step: &'static str, text: &str) {
        self.add(step, FindingState::Ok, text);
    }

    /// Adds a neutral finding.
    pub(super) fn note(&mut self, step: &'static str, text: &str) {
        self.add(step, FindingState::Note, text);
    }

    /// Adds a warning: it works, but should be mended.
    pub(super) fn warn(&mut self, step: &'static str, text: &str) {
        self.add(step, FindingState::Warning, text);
    }

    /// Adds a value for programs to the last finding.
    pub(super) fn detail(&mut self, name: &'static str, detail: impl Into<Detail>) {
        if let Some(last) = self.all.last_mut() {
            let detail = match detail.into() {
                Detail::Text(text) => Detail::Text(printable(&text)),
                other @ (Detail::Number(_) | Detail::Flag(_)) => other,
            };
            last.details.insert(name, detail);
        }
    }

    /// Adds a step that failed.
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
        // A reader that closed the pipe gets no more.
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

    /// Reports what has not been reported yet, and `program`: the version and how it is updated. `url` is none where none
    /// was given that can be read.
    pub fn finish(mut self, url: Option<&str>, is_well: bool, program: &str) {
        if self.style != Style::Json {
            let _ = writeln!(self.output, "{:<14}{:<8}{program}", "program", "-");
            return;
        }
        #[derive(Serialize)]
        struct CheckDocument<'a> {
            url: Option<&'a str>,
            ok: bool,
            program: &'a str,
            findings: &'a [Finding],
        }
        let url = url.map(printable);
        let document = CheckDocument { url: url.as_deref(), ok: is_well, program, findings: &self.all };
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
        findings.finish(Some("https://mcp.example.com/mcp"), false, "mcp-tether 1.0");
        String::from_utf8(output).expect("UTF-8")
    }

    #[test]
    fn prints_lines_or_json() {
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
    fn removes_secrets_and_control_characters_from_findings() {
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
