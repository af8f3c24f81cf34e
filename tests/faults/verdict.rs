//! Whether the two logs agree: what the server executed, and what the client was told.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::callers::{self, Call, Era, Told};
use crate::fault::Fault;
use crate::memory;

/// How often a message is sent at most.
const ATTEMPTS: u32 = 4;
/// What a run may hold more at its end than after a fifth of its calls, in KiB.
const GROWTH: u64 = 8 * 1024;

/// What those are told who wait for a new session in vain.
const NO_SESSION: &str = "no new one could be opened";

/// Both logs of a run.
pub(crate) struct Verdict {
    pub(crate) era: Era,
    pub(crate) seed: u64,
    pub(crate) client: callers::Log,
    pub(crate) server: memory::Log,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    good: u64,
    all: u64,
}

impl Share {
    fn count(&mut self, good: bool) {
        self.good += u64::from(good);
        self.all += 1;
    }

    /// In a thousand; all, where there is nothing.
    fn in_a_thousand(self) -> u64 {
        (self.good * 1000).checked_div(self.all).unwrap_or(1000)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.in_a_thousand();
        write!(f, "{} of {} ({}.{} %)", self.good, self.all, share / 10, share % 10)
    }
}

/// The shares of calls that got a result.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    all: Share,
    /// Of those with effects, and of those without.
    with_effects: Share,
    without: Share,
    /// Of those with effects that were only asked to come back.
    asked_back: Share,
    /// Of those with effects whose answer was cut where it could be taken up again.
    cut: Share,
    /// Of those that have met nothing themselves. Outages of others reach them as well.
    spared: Share,
    /// Of all those that did not wait for a new session in vain.
    housed: Share,
}

impl Shares {
    /// Those of several runs together.
    pub(crate) fn with(mut self, more: &Shares) -> Shares {
        for (share, more) in [
            (&mut self.all, &more.all),
            (&mut self.with_effects, &more.with_effects),
            (&mut self.without, &more.without),
            (&mut self.asked_back, &more.asked_back),
            (&mut self.cut, &more.cut),
            (&mut self.spared, &more.spared),
            (&mut self.housed, &more.housed),
        ] {
            share.good += more.good;
            share.all += more.all;
        }
        self
    }

    /// Fewer results than the faults account for. About one in twenty calls meets a fault behind which nobody knows
    /// whether it was executed; one in a hundred one that is final; in the modern era one in fifty loses its answer
    /// behind the head. The rest of the room is for what an outage takes along.
    pub(crate) fn too_few(&self, era: Era) -> Vec<String> {
        let bound = |legacy, modern| match era {
            Era::Legacy => legacy,
            Era::Modern => modern,
        };
        let bounds = [
            ("of all calls", self.all, bound(900, 880)),
            ("of the calls with effects", self.with_effects, bound(850, 830)),
            ("of the calls without effects", self.without, bound(970, 920)),
            ("of the calls that were only asked to come back", self.asked_back, bound(900, 900)),
            // Many an answer is forgotten with its session before it is fetched.
            ("of the calls whose answer was cut", self.cut, bound(300, 0)),
            ("of the calls that met no fault of their own", self.spared, bound(940, 940)),
            ("of all calls, for want of a session", self.housed, bound(940, 1000)),
        ];
        let few = bounds.into_iter().filter(|(_, share, bound)| {
            // Two have bad luck wherever there are few.
            (share.good + 2) * 1000 < share.all * bound
        });
        few.map(|(what, share, bound)| format!("too few results {what}: {share}, not {bound} in 1000"))
            .collect()
    }
}

impl Verdict {
    /// Everything on which the logs do not agree, or that should not be there at all.
    pub(crate) fn defects(&self) -> Vec<String> {
        let server = &self.server;
        let mut defects: Vec<String> = self.client.offences.clone();
        defects.extend(self.server.offences.iter().map(|offence| format!("the server saw: {offence}")));
        for (tag, (call, told)) in &self.client.calls {
            let executed = self.executed(*tag);
            let met = self.server.met.get(tag);
            let mut say = |what: &str| {
                defects.push(format!(
                    "{call:?} {tag}, executed {executed} times, met {met:?}: {what}: {told:?}"
                ));
            };
            if *call == Call::Add && executed > 1 {
                say("done twice");
            }
            if self.server.came.get(tag).is_some_and(|came| *came > ATTEMPTS) {
                say("sent too often");
            }
            match told {
                None => say("unanswered"),
                Some(Told::Result) if executed == 0 => say("a result out of nothing"),
                Some(Told::Result) => {}
                Some(Told::Error { text, .. }) => {
                    if *call == Call::Add && executed > 0 && !text.contains("may have run") {
                        say("not told that it may have run");
                    }
                }
            }
        }
        let unknown = self.server.came.keys().filter(|tag| !self.client.calls.contains_key(tag));
        defects.extend(unknown.map(|tag| format!("nobody asked for {tag}")));
        let (opened, reasons) = (server.sessions_opened, 1 + server.sessions_lost + server.opened_in_vain);
        if opened > reasons {
            defects.push(format!("{opened} sessions were opened, {reasons} needed"));
        }
        if let Some((early, late)) = self.client.resident
            && late > early + GROWTH
        {
            defects.push(format!("memory grew from {early} KiB to {late} KiB"));
        }
        defects
    }

    fn executed(&self, tag: u64) -> u32 {
        self.server.executed.get(&tag).copied().unwrap_or_default()
    }

    /// How many calls got a result.
    pub(crate) fn shares(&self) -> Shares {
        let mut shares = Shares::default();
        for (tag, (call, told)) in &self.client.calls {
            let good = matches!(told, Some(Told::Result));
            let met = self.server.met.get(tag).map(Vec::as_slice).unwrap_or_default();
            let met: Vec<Fault> = met.iter().copied().filter(|fault| !fault.is_harmless()).collect();
            shares.all.count(good);
            // One refused handshake concerns all that wait for it.
            let in_vain = matches!(told, Some(Told::Error { text, .. }) if text.contains(NO_SESSION));
            shares.housed.count(!in_vain);
            if in_vain {
                continue;
            }
            match call {
                Call::Add => shares.with_effects.count(good),
                Call::Read | Call::Resource | Call::Ping => shares.without.count(good),
            }
            if met.is_empty() {
                shares.spared.count(good);
            } else if *call == Call::Add && met.iter().all(|fault| fault.asks_back()) {
                shares.asked_back.count(good);
            } else if *call == Call::Add && met.iter().all(|fault| fault.can_be_fetched()) {
                shares.cut.count(good);
            }
        }
        shares
    }

    /// The counts, for a person.
    pub(crate) fn report(&self) -> String {
        let shares = self.shares();
        let mut errors: BTreeMap<String, u64> = BTreeMap::new();
        for (_, told) in self.client.calls.values() {
            if let Some(Told::Error { cause, status, text }) = told {
                let status = status.map(|status| format!(" {status}")).unwrap_or_default();
                let told = if text.contains("may have run") { ", may have run" } else { "" };
                *errors.entry(format!("{cause}{status}{told}")).or_default() += 1;
            }
        }
        let adds = self.client.calls.iter().filter(|(_, (call, _))| *call == Call::Add);
        let executed: Vec<u32> = adds.map(|(tag, _)| self.executed(*tag)).collect();
        let resident = match self.client.resident {
            Some((early, late)) => format!("{early} KiB after a fifth of the calls, {late} KiB at the end"),
            None => "not measured".to_owned(),
        };
        let server = &self.server;
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn fmt::Display| {
            writeln!(text, "  {name:<24} {value}").expect("a string");
        };
        line("took", &format!("{:.1} s", self.client.took.as_secs_f64()));
        line("results", &shares.all);
        line("  with effects", &shares.with_effects);
        line("  without", &shares.without);
        line("  only asked to come back", &shares.asked_back);
        line("  cut behind an event", &shares.cut);
        line("  no fault of their own", &shares.spared);
        line("  not without a session", &shares.housed);
        line("errors", &list(&errors));
        line(
            "executed",
            &format!("{} calls, {} times", server.executed.len(), server.executed.values().sum::<u32>()),
        );
        line(
            "  with effects",
            &format!(
                "{} once, {} never, {} more than once",
                executed.iter().filter(|times| **times == 1).count(),
                executed.iter().filter(|times| **times == 0).count(),
                executed.iter().filter(|times| **times > 1).count()
            ),
        );
        line("faults", &list(&server.faults));
        line("restarts", &server.restarts);
        line(
            "sessions",
            &format!(
                "{} opened, {} times lost, {} ended",
                server.sessions_opened, server.sessions_lost, server.sessions_ended
            ),
        );
        line("streams", &format!("{} asked for, {} answers fetched", server.listened, server.fetched));
        line("notifications", &list(&self.client.notifications));
        line("memory", &resident);
        format!("{:?} era, seed {}, {} calls\n{text}", self.era, self.seed, self.client.calls.len())
    }
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    counts.join("; ")
}
