//! What goes wrong at the API, and when.

/// How an answer is spoiled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spoiled {
    /// This status and error, without an effect.
    Before(u16, Option<(i64, &'static str)>),
    /// 429 with `Retry-After`, without an effect.
    Wait(u64),
    /// A redirect, without an effect.
    Redirect,
    /// The effect, then this status.
    After(u16),
    /// The effect, then a connection that breaks.
    Cut,
    /// The effect, and never an answer.
    Hang,
}

/// A fault of some calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The method.
    pub(crate) method: &'static str,
    /// How the path ends, or a part of it behind `*`.
    pub(crate) path: &'static str,
    /// How many calls of the kind go well before.
    pub(crate) skip: u32,
    /// How many are spoiled then.
    pub(crate) times: u32,
    /// How.
    pub(crate) how: Spoiled,
}

impl Fault {
    /// A fault of the first call of a kind.
    pub(crate) fn once(method: &'static str, path: &'static str, how: Spoiled) -> Fault {
        Fault { method, path, skip: 0, times: 1, how }
    }

    /// A fault of every call of a kind.
    pub(crate) fn always(method: &'static str, path: &'static str, how: Spoiled) -> Fault {
        Fault { times: u32::MAX, ..Fault::once(method, path, how) }
    }

    /// Counts a call. Returns how it is spoiled, if it is.
    pub(super) fn meets(&mut self, method: &str, path: &str) -> Option<Spoiled> {
        let fits = match self.path.strip_prefix('*') {
            Some(part) => path.contains(part),
            None => path.ends_with(self.path),
        };
        if !fits || self.method != method || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.how)
    }
}
