//! What the server knows: sessions, answers that can be fetched, and the log of what it executed.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::fault::Fault;

/// What the server knows. A restart takes the first part of it; the log stays.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    sessions: HashSet<String>,
    /// Answers by the name of their stream.
    streams: HashMap<String, String>,
    pub(crate) log: Log,
}

/// What happened at the server.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// How often each call was executed, by tag.
    pub(crate) executed: HashMap<u64, u32>,
    /// What each call met, by tag.
    pub(crate) met: HashMap<u64, Vec<Fault>>,
    /// How often each call came, by tag.
    pub(crate) came: HashMap<u64, u32>,
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) sessions_opened: u64,
    pub(crate) sessions_ended: u64,
    /// Sessions of which the client may never have heard.
    pub(crate) opened_in_vain: u64,
    /// How often there were sessions to forget.
    pub(crate) sessions_lost: u64,
    pub(crate) restarts: u64,
    pub(crate) listened: u64,
    pub(crate) fetched: u64,
    /// What no client may do.
    pub(crate) offences: Vec<String>,
}

impl Memory {
    /// Opens a session and names it.
    pub(crate) fn open_session(&mut self) -> String {
        self.log.sessions_opened += 1;
        let session = format!("session-{}", self.log.sessions_opened);
        self.sessions.insert(session.clone());
        session
    }

    /// Tells whether a session is known.
    pub(crate) fn knows(&self, session: &str) -> bool {
        self.sessions.contains(session)
    }

    /// The client has ended a session.
    pub(crate) fn end_session(&mut self, session: &str) {
        self.sessions.remove(session);
        self.log.sessions_ended += 1;
    }

    /// Forgets every session, and what belongs to it.
    pub(crate) fn forget(&mut self) {
        self.log.sessions_lost += u64::from(!self.sessions.is_empty());
        self.sessions.clear();
        self.streams.clear();
    }

    /// Executes a call.
    pub(crate) fn execute(&mut self, tag: u64) {
        *self.log.executed.entry(tag).or_default() += 1;
    }

    /// Keeps an answer for a GET.
    pub(crate) fn keep(&mut self, stream: &str, answer: &str) {
        self.streams.insert(stream.to_owned(), answer.to_owned());
    }

    /// The answer behind an event.
    pub(crate) fn fetch(&mut self, event: &str) -> Option<String> {
        let stream = event.split(':').next()?;
        self.streams.get(stream).cloned()
    }

    /// Counts a fault, and notes that a call has met it.
    pub(crate) fn meet(&mut self, tag: Option<u64>, fault: Fault) {
        *self.log.faults.entry(fault.name()).or_default() += 1;
        if let Some(tag) = tag {
            self.log.met.entry(tag).or_default().push(fault);
        }
    }

    /// Counts a fault that is no request's.
    pub(crate) fn count(&mut self, name: &str) {
        *self.log.faults.entry(name.to_owned()).or_default() += 1;
    }
}
