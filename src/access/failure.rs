//! Why a command of `access` did not do what it was asked for, in words and for programs.
//!
//! Deliberately not here: the table of the API's errors (`advice`).

use std::fmt;

use serde_json::{Value, json};

use super::api::ApiError;
use crate::redact;

/// How a command ends that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Refused or failed.
    Failed,
    /// The options cannot work.
    Usage,
    /// A signal stopped it.
    Stopped,
}

/// An error for the user: what failed, and what to do about it.
#[derive(Debug)]
pub(super) struct AccessFailure {
    pub(super) exit: Exit,
    pub(super) sentence: String,
    pub(super) advice: String,
    /// What the API answered, where it was the API.
    pub(super) api: Option<Box<ApiError>>,
}

impl AccessFailure {
    /// A refusal or a failure, with exit code 1.
    pub(super) fn new(sentence: impl Into<String>, advice: impl Into<String>) -> AccessFailure {
        AccessFailure { exit: Exit::Failed, sentence: sentence.into(), advice: advice.into(), api: None }
    }

    /// An option that cannot work, with exit code 2.
    pub(super) fn usage(sentence: impl Into<String>, advice: impl Into<String>) -> AccessFailure {
        AccessFailure { exit: Exit::Usage, ..AccessFailure::new(sentence, advice) }
    }

    /// A signal stopped the command.
    pub(super) fn stopped() -> AccessFailure {
        AccessFailure {
            exit: Exit::Stopped,
            ..AccessFailure::new("the command was stopped", "run it again to resume")
        }
    }

    /// The same with more said about it.
    pub(super) fn and(mut self, more: &str) -> AccessFailure {
        self.sentence.push_str(more);
        self
    }

    /// The failure for programs.
    pub(super) fn as_json(&self) -> Value {
        let mut value = json!({
            "message": redact::foreign(&self.sentence), "advice": redact::foreign(&self.advice),
        });
        if let (Some(api), Some(members)) = (&self.api, value.as_object_mut()) {
            members.extend(api.details());
        }
        value
    }
}

impl From<ApiError> for AccessFailure {
    fn from(error: ApiError) -> AccessFailure {
        if matches!(error, ApiError::Stopped) {
            return AccessFailure::stopped();
        }
        let (sentence, advice) = (error.to_string(), error.advice());
        AccessFailure { exit: Exit::Failed, sentence, advice, api: Some(Box::new(error)) }
    }
}

impl fmt::Display for AccessFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  try: {}", self.sentence, self.advice)
    }
}
