//! What can go wrong with a request, how often, and what that says of it.

use crate::dice::Dice;

/// What the server does to a request instead of answering it well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The listener is closed for a while and this connection reset: what comes next is refused.
    Refuse { executed: bool },
    /// The connection is reset after the request was read.
    ResetRead { executed: bool },
    /// It is reset in the middle of the head of the answer, or behind it.
    ResetHead { executed: bool },
    /// A stream that has named an event is cut in the middle of the next one; the answer can be fetched by GET.
    CutNamed,
    /// The same, before any byte of the answer.
    CutPrimed,
    /// A stream that has named no event is cut in the middle of one.
    CutUnnamed,
    /// Nothing comes for a while, then the end of the connection.
    Hang { executed: bool },
    /// The session is forgotten, this request not processed.
    Forget,
    /// 429, with or without the seconds to wait.
    TooMany { wait: Option<u32> },
    /// 502, 504, 520 or 524.
    Gateway { executed: bool },
    /// 503 without a word of when to come back.
    Unavailable { executed: bool },
    /// 503 with the seconds to wait: not processed.
    Busy { wait: u32 },
    /// 200, but a web page.
    WebPage { executed: bool },
    /// Everything is closed and forgotten; after a while the server is there again.
    Restart { executed: bool },
    /// The answer comes in small pieces. Nothing is wrong with it.
    Dribble,
    /// The connection is closed behind the answer, without announcement.
    CloseBehind,
}

impl Fault {
    /// The fault that a request meets, if any. `executes` says whether it is one whose execution is counted, `session`
    /// whether it is said in a session.
    pub(crate) fn draw(dice: &mut Dice, session: bool) -> Option<Fault> {
        let executed = dice.roll(2) == 0;
        let wait = [None, Some(0), Some(1), Some(30)][dice.roll(4) as usize];
        let busy = [0, 1, 0, 20][dice.roll(4) as usize];
        // Parts of ten thousand.
        let mix = [
            (15, Fault::Refuse { executed }),
            (60, Fault::ResetRead { executed }),
            (60, Fault::ResetHead { executed }),
            (100, Fault::CutNamed),
            (60, Fault::CutPrimed),
            (50, Fault::CutUnnamed),
            (60, Fault::Hang { executed }),
            (if session { 25 } else { 0 }, Fault::Forget),
            (100, Fault::TooMany { wait }),
            (80, Fault::Gateway { executed }),
            (50, Fault::Unavailable { executed }),
            (100, Fault::Busy { wait: busy }),
            (30, Fault::WebPage { executed }),
            (6, Fault::Restart { executed }),
            (150, Fault::Dribble),
            (100, Fault::CloseBehind),
        ];
        let mut number = dice.roll(10_000);
        for (weight, fault) in mix {
            if number < weight {
                return Some(fault);
            }
            number -= weight;
        }
        None
    }

    /// Its name in the counts.
    pub(crate) fn name(self) -> String {
        let text = format!("{self:?}");
        let name: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
        match text.contains("true") {
            true => format!("{name} (executed)"),
            false => name,
        }
    }

    /// Tells whether the request was executed before it failed.
    pub(crate) fn executes(self) -> bool {
        match self {
            Fault::Refuse { executed }
            | Fault::ResetRead { executed }
            | Fault::ResetHead { executed }
            | Fault::Hang { executed }
            | Fault::Gateway { executed }
            | Fault::Unavailable { executed }
            | Fault::WebPage { executed }
            | Fault::Restart { executed } => executed,
            Fault::CutNamed | Fault::CutPrimed | Fault::CutUnnamed | Fault::Dribble | Fault::CloseBehind => {
                true
            }
            Fault::Forget | Fault::TooMany { .. } | Fault::Busy { .. } => false,
        }
    }

    /// Tells whether nothing is wrong with the answer, as far as the other side can see.
    pub(crate) fn is_harmless(self) -> bool {
        matches!(self, Fault::Dribble | Fault::CloseBehind)
    }

    /// Tells whether it says that nothing was executed, and to come back at once or soon.
    pub(crate) fn asks_back(self) -> bool {
        match self {
            Fault::Forget => true,
            Fault::TooMany { wait } => wait.is_none_or(|wait| wait <= 1),
            Fault::Busy { wait } => wait <= 1,
            Fault::Refuse { .. }
            | Fault::ResetRead { .. }
            | Fault::ResetHead { .. }
            | Fault::CutNamed
            | Fault::CutPrimed
            | Fault::CutUnnamed
            | Fault::Hang { .. }
            | Fault::Gateway { .. }
            | Fault::Unavailable { .. }
            | Fault::WebPage { .. }
            | Fault::Restart { .. }
            | Fault::Dribble
            | Fault::CloseBehind => false,
        }
    }

    /// Tells whether the answer can be fetched by GET, in the era that has this, while the session lives.
    pub(crate) fn can_be_fetched(self) -> bool {
        matches!(self, Fault::CutNamed | Fault::CutPrimed)
    }
}
