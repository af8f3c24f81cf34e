//! The real binary, started as a client starts it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::PATIENCE;

/// What stdin and stdout are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// Pipes, as most programs give.
    Pipes,
    /// A pair of sockets, as Node gives.
    #[cfg(unix)]
    Sockets,
    /// Pipes, read and written by threads.
    Threads,
}

impl Stdin {
    /// Every way there is on this platform.
    pub(crate) const ALL: &[Stdin] = &[
        Stdin::Pipes,
        #[cfg(unix)]
        Stdin::Sockets,
        Stdin::Threads,
    ];
}

/// A running proxy.
pub(crate) struct Proxy {
    child: Child,
    input: Option<Box<dyn Write + Send>>,
    lines: Receiver<String>,
    /// Let the reading of stdout begin, where a test wants nobody to read at first.
    read_stdout: Option<Sender<()>>,
    /// Reads stderr; waits for a word before it begins, where a test wants nobody to read.
    stderr: Option<JoinHandle<String>>,
    /// What it read so far.
    told: Arc<(Mutex<Vec<u8>>, Condvar)>,
    read_stderr: Option<Sender<()>>,
    /// What one test's server was is nothing to the next one's, which may have its port.
    _cache: tempfile::TempDir,
}

/// What is read from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Both,
    StdoutAlone,
    StderrAlone,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// The lines that nobody had read before.
    pub(crate) lines: Vec<String>,
    pub(crate) stderr: String,
}

impl Proxy {
    /// Starts it with these arguments and an empty environment.
    pub(crate) fn start(arguments: &[&str]) -> Proxy {
        Proxy::start_with(Stdin::Pipes, arguments, &[])
    }

    /// Starts it.
    pub(crate) fn start_with(stdin: Stdin, arguments: &[&str], environment: &[(&str, &str)]) -> Proxy {
        Proxy::spawn(stdin, arguments, environment, Heard::Both)
    }

    /// Starts it with a stdout that nobody reads before [`Proxy::listen`].
    pub(crate) fn start_unread(stdin: Stdin, arguments: &[&str]) -> Proxy {
        Proxy::spawn(stdin, arguments, &[], Heard::StderrAlone)
    }

    /// Starts it with a stderr that nobody reads before the end.
    pub(crate) fn start_unheard(arguments: &[&str]) -> Proxy {
        Proxy::spawn(Stdin::Pipes, arguments, &[], Heard::StdoutAlone)
    }

    fn spawn(stdin: Stdin, arguments: &[&str], environment: &[(&str, &str)], heard: Heard) -> Proxy {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
        let cache = tempfile::tempdir().expect("a directory");
        command.args(arguments).env_clear().env("XDG_CACHE_HOME", cache.path());
        command.envs(environment.iter().copied()).stderr(Stdio::piped());
        // Windows resolves no name without it.
        if let Some(root) = std::env::var_os("SystemRoot") {
            command.env("SystemRoot", root);
        }
        if stdin == Stdin::Threads {
            command.env("MCP_TETHER_STDIO", "threads");
        }
        let (mut child, input, output): (Child, Box<dyn Write + Send>, Box<dyn Read + Send>) = match stdin {
            Stdin::Pipes | Stdin::Threads => {
                let mut child =
                    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
                let input = child.stdin.take().expect("piped");
                let output = child.stdout.take().expect("piped");
                (child, Box::new(input), Box::new(output))
            }
            #[cfg(unix)]
            Stdin::Sockets => {
                use std::os::fd::OwnedFd;
                use std::os::unix::net::UnixStream;
                let (input, theirs_in) = UnixStream::pair().expect("sockets");
                let (output, theirs_out) = UnixStream::pair().expect("sockets");
                command.stdin(Stdio::from(OwnedFd::from(theirs_in)));
                command.stdout(Stdio::from(OwnedFd::from(theirs_out)));
                let child = command.spawn().expect("it starts");
                // The command holds the child's ends as well; with them open nobody would ever see an end.
                drop(command);
                (child, Box::new(input), Box::new(output))
            }
        };
        let (sender, lines) = channel();
        let (read_stdout, wanted) = channel::<()>();
        if heard != Heard::StderrAlone {
            read_stdout.send(()).expect("listening");
        }
        std::thread::spawn(move || {
            let _ = wanted.recv();
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().expect("piped");
        let (read_stderr, wanted) = channel();
        if heard != Heard::StdoutAlone {
            read_stderr.send(()).expect("listening");
        }
        let told = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let heard = Arc::clone(&told);
        let stderr = std::thread::spawn(move || {
            let _ = wanted.recv();
            let mut chunk = [0; 8192];
            while let Ok(count @ 1..) = stderr.read(&mut chunk) {
                heard.0.lock().expect("no panic").extend_from_slice(&chunk[..count]);
                heard.1.notify_all();
            }
            String::from_utf8(heard.0.lock().expect("no panic").clone()).expect("UTF-8")
        });
        let (read_stdout, read_stderr) = (Some(read_stdout), Some(read_stderr));
        let (input, stderr) = (Some(input), Some(stderr));
        Proxy { child, input, lines, read_stdout, stderr, told, read_stderr, _cache: cache }
    }

    /// Begins to read its output.
    pub(crate) fn listen(&mut self) {
        self.read_stdout = None;
    }

    /// Writes bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("still open");
        input.write_all(bytes).expect("it reads");
        input.flush().expect("it reads");
    }

    /// Writes a line.
    pub(crate) fn send(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// The next line of its output.
    pub(crate) fn line(&mut self) -> String {
        self.line_within(PATIENCE).expect("a line in time")
    }

    /// The next line of its output, if there is one in time.
    pub(crate) fn line_within(&mut self, patience: Duration) -> Option<String> {
        self.lines.recv_timeout(patience).ok().map(message)
    }

    /// Writes a line and reads the next one.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.line()
    }

    /// Waits until stderr has this in it. What is told last may be lost at the end, on a machine that is busy.
    pub(crate) fn tells(&self, part: &str) {
        let (told, more) = &*self.told;
        let told = told.lock().expect("no panic");
        let lacks = |told: &mut Vec<u8>| !String::from_utf8_lossy(told).contains(part);
        let (told, waited) = more.wait_timeout_while(told, PATIENCE, lacks).expect("no panic");
        assert!(!waited.timed_out(), "stderr lacks {part:?}: {}", String::from_utf8_lossy(&told));
    }

    /// Waits until stderr has this in it so many times, and tells the word behind the last of them.
    pub(crate) fn told_after(&self, part: &str, times: usize) -> String {
        let (told, more) = &*self.told;
        let told = told.lock().expect("no panic");
        let word = |told: &[u8]| {
            let text = String::from_utf8_lossy(told).into_owned();
            let (at, _) = text.match_indices(part).nth(times - 1)?;
            let rest = &text[at + part.len()..];
            rest.find(char::is_whitespace).map(|end| rest[..end].to_owned())
        };
        let (told, _) =
            more.wait_timeout_while(told, PATIENCE, |told| word(told).is_none()).expect("no panic");
        word(&told).unwrap_or_else(|| panic!("stderr lacks {part:?}: {}", String::from_utf8_lossy(&told)))
    }

    /// The word behind the first place where stderr has this so far, if there is one.
    pub(crate) fn told_so_far(&self, part: &str) -> Option<String> {
        self.words_after(part).into_iter().next()
    }

    /// The word behind the last such place.
    pub(crate) fn told_last(&self, part: &str) -> Option<String> {
        self.words_after(part).pop()
    }

    fn words_after(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.told.0.lock().expect("no panic")).into_owned();
        let rests = text.match_indices(part).map(|(at, _)| &text[at + part.len()..]);
        rests.filter_map(|rest| rest.find(char::is_whitespace).map(|end| rest[..end].to_owned())).collect()
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.wait();
    }

    /// Its input, for a thread that may be held back.
    pub(crate) fn take_input(&mut self) -> Box<dyn Write + Send> {
        self.input.take().expect("still open")
    }

    /// Kills it while nobody reads what it wrote.
    pub(crate) fn kill_unread(mut self) {
        self.child.kill().expect("it runs");
        self.wait_unread();
    }

    /// Closes its input.
    pub(crate) fn close(&mut self) {
        self.input = None;
    }

    /// Stops reading its output.
    pub(crate) fn deaf(&mut self) {
        let (_, lines) = channel();
        self.lines = lines;
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it ever had, in MiB; none where the system does not tell.
    pub(crate) fn peak(&self) -> Option<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse::<usize>().ok().map(|kib| kib / 1024)
    }

    /// Closes its input, where it is still open, and waits for its end.
    pub(crate) fn finish(mut self) -> Ended {
        self.close();
        self.wait()
    }

    /// Waits for its end while nobody reads what it wrote, and tells its exit code.
    pub(crate) fn wait_unread(self) -> Option<i32> {
        exit_code(self.child)
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let code = exit_code(self.child);
        drop((self.read_stdout.take(), self.read_stderr.take()));
        let lines = self.lines.into_iter().map(message).collect();
        let stderr = self.stderr.take().expect("taken once").join().expect("UTF-8");
        drop(self.input);
        Ended { code, lines, stderr }
    }
}

fn exit_code(mut child: Child) -> Option<i32> {
    let (sender, ended) = channel();
    let id = child.id();
    std::thread::spawn(move || sender.send(child.wait().expect("it was started").code()));
    let Ok(code) = ended.recv_timeout(PATIENCE) else { panic!("process {id} does not end") };
    code
}

/// A line of stdout, which must be one JSON object and nothing else.
fn message(line: String) -> String {
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&line).is_ok();
    let shown = line.chars().take(300).collect::<String>();
    assert!(is_json && line.starts_with('{') && line.ends_with('}'), "no message on stdout: {shown}");
    line
}
