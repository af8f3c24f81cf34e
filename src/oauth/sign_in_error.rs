//! Errors of a sign-in.
//!
//! One variant for each reaction of the caller. They hold no secret: foreign text is redacted before it becomes part of a
//! sentence.

use url::Url;

use crate::bridge::{ErrorKind, ErrorReport};
use crate::redact;

/// How much of a foreign text stands in a sentence, in characters.
const LENGTH: usize = 200;

/// What the user has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAction {
    /// Where to go.
    pub url: String,
    /// What to give there.
    pub code: Option<String>,
    /// The command by which a browser of another computer can be used, where none could be opened here.
    pub elsewhere: Option<String>,
}

impl UserAction {
    /// What to do about it.
    pub(super) fn advice(&self) -> String {
        let usual = "sign in there, then try again; the sign-in continues meanwhile";
        match &self.elsewhere {
            Some(command) => format!("{usual}. In a browser on another computer: {command}"),
            None => usual.to_owned(),
        }
    }
}

impl std::fmt::Display for UserAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} in a browser on any computer; the code is {code}", self.url),
            None => write!(f, "{} in a browser", self.url),
        }
    }
}

/// Why a sign-in has brought no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// Nothing describes how to sign in: the refusal means something else and stands as it is.
    #[error("the server offers no sign-in")]
    NotOffered,
    /// A person has to do something, and may still do it.
    #[error("{place} requires a sign-in: open {action}")]
    Waiting {
        /// The server.
        place: String,
        /// The page.
        action: UserAction,
        /// What to do.
        advice: String,
    },
    /// It goes on in another process, or has only just begun.
    #[error("signing in at {place} takes longer than a client waits; it continues{}", elsewhere(.holder))]
    Slow {
        /// The server.
        place: String,
        /// The lock that another process holds meanwhile, and which process.
        holder: Option<String>,
    },
    /// Cloudflare's edge or Cloudflare Access answered in the place of the server.
    #[error("{0}")]
    Intercepted(Box<ErrorReport>),
    /// It cannot be done, or was not.
    #[error("{sentence}")]
    Failed {
        /// What was wrong.
        sentence: String,
        /// What to do about it.
        advice: String,
        /// What other processes hear of it.
        kind: FailureKind,
    },
}

fn elsewhere(holder: &Option<String>) -> String {
    holder.as_ref().map(|holder| format!(": {holder}")).unwrap_or_default()
}

impl SignInError {
    /// Something that failed.
    pub(super) fn failed(sentence: impl Into<String>, advice: impl Into<String>) -> SignInError {
        SignInError::Failed { sentence: sentence.into(), advice: advice.into(), kind: FailureKind::Other }
    }

    /// The same failure, of a kind that other processes may hear of, unless it has one already.
    pub(super) fn of_kind(self, kind: FailureKind) -> SignInError {
        match self {
            SignInError::Failed { sentence, advice, kind: FailureKind::Other } => {
                SignInError::Failed { sentence, advice, kind }
            }
            other => other,
        }
    }

    /// The same failure with other advice.
    pub(super) fn advising(self, advice: impl Into<String>) -> SignInError {
        match self {
            SignInError::Failed { sentence, kind, .. } => {
                SignInError::Failed { sentence, advice: advice.into(), kind }
            }
            other => other,
        }
    }

    /// What other processes hear of it; none where it is no failure.
    pub(super) fn kind(&self) -> Option<FailureKind> {
        match self {
            SignInError::Failed { kind, .. } => Some(*kind),
            SignInError::Intercepted(_) => Some(FailureKind::Other),
            SignInError::NotOffered | SignInError::Waiting { .. } | SignInError::Slow { .. } => None,
        }
    }

    /// Returns whether it would be the same again: a rule stands in the way, and not a limit or a server in trouble.
    pub(super) fn is_lasting(&self) -> bool {
        let SignInError::Intercepted(report) = self else { return false };
        let is_rule =
            matches!(report.cause, ErrorKind::Firewall | ErrorKind::BrowserCheck | ErrorKind::Challenge);
        is_rule || report.cause.is_of_access()
    }

    /// The failure as a client is told of it.
    pub fn report(&self) -> ErrorReport {
        match self {
            SignInError::Intercepted(report) => (**report).clone(),
            SignInError::NotOffered
            | SignInError::Waiting { .. }
            | SignInError::Slow { .. }
            | SignInError::Failed { .. } => {
                ErrorReport::new(ErrorKind::SignIn, self.to_string(), self.advice())
            }
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &str {
        match self {
            SignInError::NotOffered => "give the server the --header that it wants",
            SignInError::Waiting { advice, .. } => advice,
            SignInError::Slow { holder: Some(_), .. } => {
                "try again in a moment; if that process does not end, end it"
            }
            SignInError::Slow { holder: None, .. } => "try again in a moment",
            SignInError::Intercepted(report) => report.advice.as_deref().unwrap_or_default(),
            SignInError::Failed { advice, .. } => advice,
        }
    }
}

/// A place as it stands in a sentence: without what may be secret.
pub(super) fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    redact::foreign(&format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path()))
}

/// What another program wrote, as it may be shown ([`redact::foreign`]), and short.
pub(super) fn foreign(text: &str) -> String {
    redact::foreign(text).chars().take(LENGTH).collect()
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureKind {
    /// The user, or the authorization server, said no on the page.
    Denied,
    /// The user did not sign in in time.
    TimedOut,
    /// The client could not be registered.
    Registration,
    /// The authorization server is not one that the options accept.
    Issuer,
    /// There was no token in the end.
    Token,
    /// A lock could not be had.
    Locked,
    /// The platform gave no token for this workload, or one that is of no use.
    Platform,
    /// Anything else.
    #[default]
    Other,
}

/// The kinds, as they are written down.
const WRITTEN: &[(&str, FailureKind)] = &[
    ("denied", FailureKind::Denied),
    ("timed_out", FailureKind::TimedOut),
    ("registration", FailureKind::Registration),
    ("token", FailureKind::Token),
    ("other", FailureKind::Other),
];

impl FailureKind {
    /// The word for it; none where other processes do not hear of it.
    pub(super) fn word(self) -> Option<&'static str> {
        WRITTEN.iter().find(|(_, kind)| *kind == self).map(|(word, _)| *word)
    }

    /// Returns whether it is reported although the server did not ask for a sign-in, because the user has to act.
    pub fn is_always_told(self) -> bool {
        matches!(self, FailureKind::Locked | FailureKind::Issuer | FailureKind::Platform)
    }

    /// The kind that a word stands for; a word of a later version is some other failure.
    pub(super) fn of_word(word: &str) -> FailureKind {
        WRITTEN.iter().find(|(written, _)| *written == word).map_or(FailureKind::Other, |(_, kind)| *kind)
    }

    /// The error of a process that waited for another one's sign-in at `place`; `login` is the command that begins another.
    pub(super) fn elsewhere(self, place: &str, login: &str) -> SignInError {
        let sentence = match self {
            FailureKind::Denied => format!("the authorization server of {place} did not sign you in"),
            FailureKind::TimedOut => format!("the sign-in at {place} was not completed in time"),
            FailureKind::Registration => {
                format!("the authorization server of {place} did not register this program")
            }
            FailureKind::Token => format!("the authorization server of {place} gave no token"),
            FailureKind::Issuer | FailureKind::Locked | FailureKind::Platform | FailureKind::Other => {
                format!("the sign-in at {place} failed")
            }
        };
        let advice = format!("try again, or run the sign-in command, which prints more: {login}");
        SignInError::failed(format!("{sentence}, as another process has found"), advice).of_kind(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for (word, kind) in WRITTEN {
            assert_eq!((kind.word(), FailureKind::of_word(word)), (Some(*word), *kind));
            let told = kind.elsewhere("mcp.example.com/mcp", "mcp-tether login URL");
            assert!(told.to_string().contains("mcp.example.com/mcp") && told.advice().contains("login URL"));
        }
        assert_eq!(FailureKind::of_word("marked words of a server"), FailureKind::Other);
    }
}
