//! What kind of failure a sign-in came to, as other processes hear of it: a word of a closed list, never the sentence, which
//! may repeat what a server wrote.
//!
//! What depends on the options of one process, or passes with a lock, is not noted: another process finds out by itself.
//! Deliberately not here: the sentences for the user whose process failed (where they arise), and where the kind is noted
//! (`store`).

use crate::oauth::sign_in_error::SignInError;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureKind {
    /// The user, or the authorization server, said no on the page.
    Denied,
    /// Nobody signed in in time.
    TimedOut,
    /// The client could not be registered.
    Registration,
    /// The authorization server is not one that the options accept.
    Issuer,
    /// There was no token in the end.
    Token,
    /// A lock could not be had.
    Locked,
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

    /// Returns whether it is told where nobody has said that signing in would help: the user has to do something about it.
    pub fn is_always_told(self) -> bool {
        matches!(self, FailureKind::Locked | FailureKind::Issuer)
    }

    /// The kind that a word stands for; a word of a later version is some other failure.
    pub(super) fn of_word(word: &str) -> FailureKind {
        WRITTEN.iter().find(|(written, _)| *written == word).map_or(FailureKind::Other, |(_, kind)| *kind)
    }

    /// The error of a process that waited for another one's sign-in at `place`; `login` is the command that begins another.
    pub(super) fn elsewhere(self, place: &str, login: &str) -> SignInError {
        let sentence = match self {
            FailureKind::Denied => format!("the authorization server of {place} did not sign you in"),
            FailureKind::TimedOut => format!("nobody signed in at {place} in time"),
            FailureKind::Registration => {
                format!("the authorization server of {place} did not register this program")
            }
            FailureKind::Token => format!("the authorization server of {place} gave no token"),
            FailureKind::Issuer | FailureKind::Locked | FailureKind::Other => {
                format!("the sign-in at {place} failed")
            }
        };
        let advice = format!("try again, or sign in by hand, which says more: {login}");
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
