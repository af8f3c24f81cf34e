//! A contender that runs: its pipes, and its end.
//!
//! Read and written without an event loop of ours, which would add to what is measured. Whatever does not answer for
//! minutes is killed, so that every run ends. Deliberately not here: what is asked (`messages`) and measured.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::messages::Call;
use crate::now;
use crate::process::{Usage, usage};

/// What came of it, or a sentence about what did not.
pub(crate) type Outcome<T> = Result<T, String>;

/// How long one program may live.
const LIFE: Duration = Duration::from_secs(240);
/// How long it may take to end when its input has ended.
const LEAVING: Duration = Duration::from_secs(10);
/// How much is read at once.
const READ_SIZE: usize = 1024 * 1024;

/// How much of a line is looked at.
const HEAD: usize = 200;

/// A running program.
pub(crate) struct Program {
    child: Arc<Mutex<Child>>,
    id: u32,
    started: Instant,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    buffer: Box<[u8]>,
    /// The part of the buffer that was read and not looked at.
    unread: std::ops::Range<usize>,
    /// Dropped with this, it calls the watch off.
    _watch: Sender<()>,
}

impl Program {
    /// Starts a command, with pipes.
    pub(crate) fn start(mut command: Command) -> Outcome<Program> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Before the program starts: it must not be charged for this.
        let buffer = vec![0; READ_SIZE].into_boxed_slice();
        let started = now();
        let mut child = command.spawn().map_err(|error| format!("it does not start: {error}"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let (id, child) = (child.id(), Arc::new(Mutex::new(child)));
        let (watch, called_off) = channel();
        let watched = Arc::clone(&child);
        std::thread::spawn(move || {
            if called_off.recv_timeout(LIFE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                drop(watched.lock().expect("no panic").kill());
            }
        });
        Ok(Program { child, id, started, stdin, stdout, buffer, unread: 0..0, _watch: watch })
    }

    /// How long ago it was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// What it uses, where that can be known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        usage(self.id)
    }

    /// Writes a line.
    pub(crate) fn write(&mut self, line: &str) -> Outcome<()> {
        let line = format!("{line}\n");
        self.stdin().write_all(line.as_bytes()).map_err(|error| format!("it does not read: {error}"))
    }

    /// Makes calls one after the other and tells how long each took, in seconds.
    pub(crate) fn calls(&mut self, calls: usize, call: &Call, wanted: usize) -> Outcome<Vec<f64>> {
        let mut times = Vec::with_capacity(calls);
        for id in 1..=calls {
            let mut line = call.line(id);
            line.push('\n');
            let start = now();
            let written = self.stdin().write_all(line.as_bytes());
            written.map_err(|error| format!("it does not read: {error}"))?;
            self.answer(wanted)?;
            times.push(start.elapsed().as_secs_f64());
        }
        Ok(times)
    }

    /// Makes a call with a line that is ready, and compares its answer byte by byte. Tells how long it took, in seconds.
    pub(crate) fn exchange(&mut self, line: &str, expected: &str) -> Outcome<f64> {
        let start = now();
        let written = self.stdin().write_all(line.as_bytes());
        written.map_err(|error| format!("it does not read: {error}"))?;
        let mut expected = expected.as_bytes();
        loop {
            let part = self.part()?;
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            expected = expected.strip_prefix(text).ok_or("it answered something else")?;
            if text.len() < part.len() {
                break;
            }
        }
        match expected.is_empty() {
            true => Ok(start.elapsed().as_secs_f64()),
            false => Err("it answered less".to_owned()),
        }
    }

    /// Makes calls, several at once, and tells how long all took, in seconds.
    pub(crate) fn load(&mut self, calls: usize, at_once: usize, call: &Call, wanted: usize) -> Outcome<f64> {
        let mut lines: Vec<String> = (1..=calls).rev().map(|id| call.line(id) + "\n").collect();
        let start = now();
        for _ in 0..at_once {
            self.write_next(&mut lines)?;
        }
        for _ in 0..calls {
            self.answer(wanted)?;
            self.write_next(&mut lines)?;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn write_next(&mut self, lines: &mut Vec<String>) -> Outcome<()> {
        let Some(line) = lines.pop() else { return Ok(()) };
        self.stdin().write_all(line.as_bytes()).map_err(|error| format!("it does not read: {error}"))
    }

    /// Reads a line that is a result of at least `wanted` bytes.
    pub(crate) fn answer(&mut self, wanted: usize) -> Outcome<()> {
        let (mut length, mut head) = (0, Vec::with_capacity(HEAD));
        loop {
            let part = self.part()?;
            head.extend_from_slice(&part[..part.len().min(HEAD - head.len())]);
            length += part.len();
            if part.last() == Some(&b'\n') {
                break;
            }
        }
        // The server writes it first; whoever reads a message and writes it anew begins with it as well.
        match memchr::memmem::find(&head, b"\"result\"").is_some() && length > wanted {
            true => Ok(()),
            false => Err(format!("it answered {length} bytes that are not the result of {wanted}")),
        }
    }

    /// Reads a line that is a list of times in nanoseconds, and tells them in seconds.
    pub(crate) fn times(&mut self) -> Outcome<Vec<f64>> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.extend_from_slice(self.part()?);
        }
        let times: Vec<f64> = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
        Ok(times.into_iter().map(|time| time / 1e9).collect())
    }

    /// The next part of a line that came, with its end where it has come.
    fn part(&mut self) -> Outcome<&[u8]> {
        if self.unread.is_empty() {
            let read = self.stdout.read(&mut self.buffer);
            self.unread = 0..read.map_err(|error| format!("it does not write: {error}"))?;
            if self.unread.is_empty() {
                return Err("it left".to_owned());
            }
        }
        let unread = &self.buffer[self.unread.clone()];
        let length = memchr::memchr(b'\n', unread).map_or(unread.len(), |at| at + 1);
        self.unread.start += length;
        Ok(&unread[..length])
    }

    fn stdin(&mut self) -> &mut ChildStdin {
        self.stdin.as_mut().expect("it is open until the end")
    }

    /// Closes its stdin and tells how long it then took to end, in seconds.
    pub(crate) fn leave(mut self) -> Outcome<f64> {
        let start = now();
        drop(self.stdin.take());
        while self.stdout.read(&mut self.buffer).is_ok_and(|read| read > 0) {}
        let mut child = self.child.lock().expect("no panic");
        loop {
            match child.try_wait() {
                Ok(Some(_)) => return Ok(start.elapsed().as_secs_f64()),
                Ok(None) if start.elapsed() < LEAVING => std::thread::yield_now(),
                Ok(None) | Err(_) => return Err("it did not end with its input".to_owned()),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let mut child = self.child.lock().expect("no panic");
        drop(child.kill());
        drop(child.wait());
    }
}
