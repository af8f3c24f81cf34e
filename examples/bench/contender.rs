//! Who is measured: the floor, mcp-tether, and whoever is named with `--against`.
//!
//! All do the same: say hello, call a tool. The floor does so by itself when it is started, the others because they are
//! written to. Deliberately not here: how long that takes (`startup`, `calls`, `bodies`, `memory`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use crate::authority::Roots;
use crate::messages::{Call, INITIALIZE, INITIALIZED};
use crate::process::Usage;
use crate::program::{Outcome, Program};

/// Somebody who is measured.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The floor: this program, started again.
    Direct,
    /// mcp-tether at this path.
    Ours(PathBuf),
    /// Another proxy: a command with `{url}` in it.
    Other(Vec<String>),
}

impl FromStr for Contender {
    type Err = String;

    /// Reads `NAME=command {url}`.
    fn from_str(text: &str) -> Result<Contender, String> {
        let (name, command) = text.split_once('=').ok_or("write NAME=command {url}")?;
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        match words.len() > 1 && command.contains("{url}") {
            true => Ok(Contender { name: name.trim().to_owned(), kind: Kind::Other(words) }),
            false => Err("the command needs {url} where the server's address belongs".to_owned()),
        }
    }
}

/// What stands in the way of comparing programs of different makes: their environment.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) roots: Roots,
    /// Whether programs are given one file with one certificate, instead of all roots of the system.
    pub(crate) has_one_root: bool,
    /// A folder for whatever they write.
    pub(crate) folder: PathBuf,
}

impl Contender {
    /// The floor.
    pub(crate) fn direct() -> Contender {
        Contender { name: "direct".to_owned(), kind: Kind::Direct }
    }

    /// mcp-tether at this path.
    pub(crate) fn ours(path: &Path) -> Contender {
        Contender { name: "mcp-tether".to_owned(), kind: Kind::Ours(path.to_owned()) }
    }

    /// Tells whether this is the floor.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.kind, Kind::Direct)
    }

    /// The size of its one file, where it is one.
    pub(crate) fn file_size(&self) -> Option<f64> {
        match &self.kind {
            Kind::Ours(path) => Some(std::fs::metadata(path).ok()?.len() as f64),
            Kind::Direct | Kind::Other(_) => None,
        }
    }

    /// Starts it for a server.
    pub(crate) fn start(&self, url: &str, surroundings: &Surroundings) -> Outcome<Peer> {
        let mut command = match &self.kind {
            Kind::Direct => {
                let mut command = Command::new(crate::itself()?);
                command.args([crate::AS_DIRECT, url]);
                command
            }
            Kind::Ours(path) => {
                let mut command = Command::new(path);
                command.arg(url);
                command
            }
            Kind::Other(words) => {
                let mut command = Command::new(&words[0]);
                command.args(words[1..].iter().map(|word| word.replace("{url}", url)));
                command
            }
        };
        let kept = ["PATH", "HOME", "SystemRoot", "TMPDIR", "TEMP"];
        command.env_clear();
        command.envs(kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        let roots = &surroundings.roots;
        let file = if surroundings.has_one_root { &roots.authority } else { &roots.file };
        command.env("SSL_CERT_FILE", file);
        if let Some(folder) = roots.folder.as_ref().filter(|_| !surroundings.has_one_root) {
            command.env("SSL_CERT_DIR", folder);
        }
        if let Kind::Other(_) = self.kind {
            // Node has its own roots; this one is added. And mcp-remote writes files.
            command.env("NODE_EXTRA_CA_CERTS", &roots.authority);
            command.env("MCP_REMOTE_CONFIG_DIR", &surroundings.folder);
        }
        Ok(Peer { program: Program::start(command)?, is_direct: self.is_direct() })
    }
}

/// A contender that runs.
pub(crate) struct Peer {
    program: Program,
    is_direct: bool,
}

impl Peer {
    /// Asks `initialize`.
    pub(crate) fn greet(&mut self) -> Outcome<()> {
        match self.is_direct {
            true => Ok(()),
            false => self.program.write(INITIALIZE),
        }
    }

    /// Has that answered, and tells how long after the start it was, in seconds.
    pub(crate) fn greeted(&mut self) -> Outcome<f64> {
        if self.is_direct {
            self.program.times()?;
            return Ok(self.program.age().as_secs_f64());
        }
        self.program.answer(1)?;
        let age = self.program.age().as_secs_f64();
        self.program.write(INITIALIZED)?;
        Ok(age)
    }

    /// Has the first tool called, and tells how long after the start its result came, in seconds.
    pub(crate) fn first_result(&mut self) -> Outcome<f64> {
        match self.is_direct {
            true => drop(self.program.times()?),
            false => drop(self.program.calls(1, &Call::new(0, 1), 1)?),
        }
        Ok(self.program.age().as_secs_f64())
    }

    /// Starts one that has said hello and made a call.
    pub(crate) fn ready(contender: &Contender, url: &str, surroundings: &Surroundings) -> Outcome<Peer> {
        let mut peer = contender.start(url, surroundings)?;
        peer.greet()?;
        peer.greeted()?;
        peer.first_result()?;
        Ok(peer)
    }

    /// Makes calls one after the other; tells how long each took, in seconds.
    pub(crate) fn calls(&mut self, calls: usize, said: usize, wanted: usize) -> Outcome<Vec<f64>> {
        if self.is_direct {
            self.program.write(&format!("{calls} 1 {said} {wanted}"))?;
            return self.program.times();
        }
        self.program.calls(calls, &Call::new(said, wanted), wanted)
    }

    /// Makes a call that is given as its line, and compares the answer. The floor does the same: it sends the line and writes the
    /// answer. Tells how long it took, in seconds.
    pub(crate) fn exchange(&mut self, line: &str, expected: &str) -> Outcome<f64> {
        self.program.exchange(line, expected)
    }

    /// Makes small calls, several at once; tells how long all took, in seconds.
    pub(crate) fn load(&mut self, calls: usize, at_once: usize, size: usize) -> Outcome<f64> {
        if self.is_direct {
            self.program.write(&format!("{calls} {at_once} {size} {size}"))?;
            return self.program.times().map(|times| times.iter().sum());
        }
        self.program.load(calls, at_once, &Call::new(size, size), size)
    }

    /// What it uses, where that can be known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.program.usage()
    }

    /// Ends it by the end of its input; tells how long that took, in seconds.
    pub(crate) fn leave(self) -> Outcome<f64> {
        self.program.leave()
    }
}
