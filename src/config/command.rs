//! A command that prints a secret or stores one: started without a shell, for a bounded time.
//!
//! It runs in a process group of its own, and whatever is left of that ends with it: when it has printed its value, when
//! its time is up, and when the proxy ends. It gets the environment without Access's service token. What it writes to
//! stderr goes to ours. Where the controlling terminal is ours alone, the command has it meanwhile, because password
//! managers ask for a password there. On Windows only the command itself is ended; what it started may stay.
//! Deliberately not here: when it is run (`auth::credential_provider`).

use std::io::{ErrorKind, IsTerminal, PipeReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::cf_access::withhold_from;
use crate::platform::{self, CommandOutput, Printed};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is waited for between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long what it printed may take behind its end: something that it started may still hold its stdout open.
const REST: Duration = Duration::from_millis(200);
/// How long it may take to end once it is asked to, before it is killed.
const GRACE: Duration = Duration::from_millis(300);
/// How long the end of the process waits for commands to be ended, and a command that was killed is waited for.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// How much it may print, in bytes.
const LIMIT: usize = 64 * 1024;
/// The same for a command that stores sign-ins: as much as is read of a file.
const STORE_LIMIT: usize = 1024 * 1024;
/// How long the input of a command may take to fit into the pipe before the command starts to read it.
const INPUT_WAIT: Duration = Duration::from_millis(100);

/// The commands of this process.
static COMMANDS: Commands =
    Commands { running: Mutex::new(RunningCommands { count: 0, is_over: false }), ended: Condvar::new() };

struct Commands {
    running: Mutex<RunningCommands>,
    ended: Condvar,
}

struct RunningCommands {
    count: usize,
    /// The process ends: none is started any more, and those that run are to be ended.
    is_over: bool,
}

/// Counts one command for as long as it runs.
struct RunningCommand;

impl RunningCommand {
    /// None when the process ends.
    fn new() -> Option<RunningCommand> {
        let mut running = COMMANDS.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_over {
            return None;
        }
        running.count += 1;
        Some(RunningCommand)
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        COMMANDS.running.lock().unwrap_or_else(PoisonError::into_inner).count -= 1;
        COMMANDS.ended.notify_all();
    }
}

fn is_over() -> bool {
    COMMANDS.running.lock().unwrap_or_else(PoisonError::into_inner).is_over
}

/// Ends every command that runs, and lets no other begin. Returns when they have ended, or after a second.
pub fn end_all() {
    let mut running = COMMANDS.running.lock().unwrap_or_else(PoisonError::into_inner);
    running.is_over = true;
    // Whether it was in time: nothing more can be done.
    drop(COMMANDS.ended.wait_timeout_while(running, LAST_WAIT, |running| running.count > 0));
}

/// Runs a command and returns what it prints, without the white space around it. `is_first` says that nothing reads stdin
/// yet: a terminal there can be lent to the command only then.
///
/// # Errors
/// Why there is no value, in words that hold nothing of what was typed or printed.
pub(super) fn output(command: &str, is_first: bool) -> Result<String, String> {
    output_within(command, PATIENCE, is_first)
}

/// The same for a subcommand, whose stdin nothing reads meanwhile.
///
/// # Errors
/// Why there is no value, in words that hold nothing of what was typed or printed.
pub fn output_of(command: &str) -> Result<String, String> {
    output(command, true)
}

fn output_within(command: &str, patience: Duration, is_first: bool) -> Result<String, String> {
    let run = CommandRun { arguments: &[], input: None, limit: LIMIT, patience, is_first };
    match run.of(command)? {
        text if text.trim().is_empty() => Err("printed nothing".to_owned()),
        text => Ok(text.trim().to_owned()),
    }
}

/// Runs a command with one more argument and a text on its stdin, and returns what it prints, which may be nothing.
/// `is_first` as for [`output_of`].
///
/// # Errors
/// Why it failed, in words that hold nothing of what was typed, written or printed.
pub(super) fn run_with_input(
    command: &str,
    argument: &str,
    input: String,
    is_first: bool,
) -> Result<String, String> {
    let run = CommandRun {
        arguments: &[argument],
        input: Some(input),
        limit: STORE_LIMIT,
        patience: PATIENCE,
        is_first,
    };
    run.of(command)
}

/// How a command is run.
struct CommandRun<'a> {
    /// What is added to its own arguments.
    arguments: &'a [&'a str],
    /// What it reads from stdin.
    input: Option<String>,
    /// How much it may print, in bytes.
    limit: usize,
    patience: Duration,
    is_first: bool,
}

impl CommandRun<'_> {
    /// Runs the command to its end and returns what it printed.
    fn of(self, command: &str) -> Result<String, String> {
        let (patience, limit) = (self.patience, self.limit);
        let words =
            shell_words::split(command).map_err(|_| "has a quotation mark that is not closed".to_owned())?;
        let Some((program, arguments)) = words.split_first() else { return Err("is empty".to_owned()) };
        let Some(counted) = RunningCommand::new() else { return Err("was stopped".to_owned()) };
        let stdin = match self.input {
            Some(text) => Stdio::from(filled_pipe(text).map_err(|error| cannot_start(error.kind()))?),
            None => Stdio::null(),
        };
        let mut command = Command::new(program);
        command.args(arguments).args(self.arguments);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::inherit());
        withhold_from(&mut command);
        platform::apart(&mut command);
        let mut child = command.spawn().map_err(|error| cannot_start(error.kind()))?;
        // Its end of the pipe, so that a command that does not read ends what is written to it.
        drop(command);
        let terminal = match self.is_first || !std::io::stdin().is_terminal() {
            true => platform::lend_terminal(&child),
            false => None,
        };
        let printed = child.stdout.take().map(CommandOutput::new);
        let outcome = watch(&mut child, printed, patience, limit);
        platform::end_group(&mut child);
        let status = reap(child, LAST_WAIT);
        drop((terminal, counted));
        let printed = match outcome {
            Outcome::Ended(printed) => printed,
            Outcome::TimeOut => return Err(format!("did not end within {} seconds", patience.as_secs())),
            Outcome::TooMuch => {
                return Err(format!("printed more than {} KiB, which is no secret", limit / 1024));
            }
            Outcome::Stopped => return Err("was stopped".to_owned()),
        };
        let Some(status) = status else {
            return Err(format!("did not end within {} seconds", patience.as_secs()));
        };
        let status: ExitStatus = status.map_err(|error| format!("was lost ({})", error.kind()))?;
        if !status.success() {
            return Err(format!("failed ({status})"));
        }
        String::from_utf8(printed).map_err(|_| "printed something that is no text".to_owned())
    }
}

fn cannot_start(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::NotFound => {
            "cannot be started: there is no such program on this program's PATH".to_owned()
        }
        kind => format!("cannot be started ({kind})"),
    }
}

/// A pipe that holds a text before the command starts, if the text fits: then a command reads all of it even if this process
/// is killed meanwhile. Of a longer text, a thread writes the rest.
fn filled_pipe(text: String) -> std::io::Result<PipeReader> {
    let (reader, mut writer) = std::io::pipe()?;
    let (is_written, written) = mpsc::channel();
    std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        // A command need not read what it does not use.
        let _ = writer.write_all(text.as_bytes());
        drop(writer);
        let _ = is_written.send(());
    })?;
    let _ = written.recv_timeout(INPUT_WAIT);
    Ok(reader)
}

/// The exit status of a command that has ended or was killed. None where it lives on: a program of another user cannot be
/// killed. A thread of its own waits for that one then.
fn reap(mut child: Child, patience: Duration) -> Option<std::io::Result<ExitStatus>> {
    let end = clock() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(Ok(status)),
            Err(error) => return Some(Err(error)),
            Ok(None) if clock() >= end => break,
            Ok(None) => std::thread::sleep(LOOK),
        }
    }
    // Without a thread it stays a zombie until this process ends.
    let waits = std::thread::Builder::new().name("reaper".to_owned());
    let _ = waits.spawn(move || child.wait());
    None
}

/// How the time of a command came to its end.
enum Outcome {
    /// It ended, and printed this.
    Ended(Vec<u8>),
    TimeOut,
    TooMuch,
    Stopped,
}

/// Reads what a command prints until it ends or has to. One that has not ended by itself was asked to.
fn watch(child: &mut Child, mut output: Option<CommandOutput>, patience: Duration, limit: usize) -> Outcome {
    let mut end = clock() + patience;
    let (mut printed, mut has_ended) = (Vec::new(), false);
    let interrupted = loop {
        if !has_ended {
            // If the system reports an error, there is nothing to wait for.
            has_ended = platform::has_ended(child).unwrap_or(true);
            if has_ended {
                end = end.min(clock() + REST);
            }
        }
        if has_ended && output.is_none() {
            return Outcome::Ended(printed);
        }
        if clock() >= end {
            match has_ended {
                true => return Outcome::Ended(printed),
                false => break Outcome::TimeOut,
            }
        }
        if is_over() {
            break Outcome::Stopped;
        }
        match output.as_mut().map(|output| output.next(LOOK)) {
            Some(Printed::Chunk(chunk)) => printed.extend(chunk),
            Some(Printed::Nothing) => {}
            Some(Printed::End) => output = None,
            // One that closed its stdout is still to say whether all went well.
            None => std::thread::sleep(LOOK),
        }
        if printed.len() > limit {
            break Outcome::TooMuch;
        }
    };
    // A command that prints more gets a broken pipe.
    drop(output);
    platform::ask_to_end(child);
    let end = clock() + GRACE;
    while clock() < end && !platform::has_ended(child).unwrap_or(true) {
        std::thread::sleep(LOOK);
    }
    interrupted
}

#[expect(clippy::disallowed_methods, reason = "how long a command takes")]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn command_output_is_value_or_error() {
        for (command, expected) in [
            ("echo '  a  b '", Ok("a  b")),
            ("printf 'x\\n'", Ok("x")),
            ("echo $HOME", Ok("$HOME")),
            ("true", Err("printed nothing")),
            ("false", Err("failed (exit status: 1)")),
            (
                "/no/such/program marked",
                Err("cannot be started: there is no such program on this program's PATH"),
            ),
            ("echo 'open", Err("has a quotation mark that is not closed")),
            ("  ", Err("is empty")),
            ("printf '\\377'", Err("printed something that is no text")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(output(command, true), expected, "{command}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn command_reads_its_input_and_may_print_nothing() {
        let long = "0123456789".repeat(30_000);
        for (command, action, input, expected) in [
            ("cat", "-", "a=b\n\n", Ok("a=b\n\n")),
            ("cat", "-", long.as_str(), Ok(long.as_str())),
            ("sh -c 'echo $0'", "get", "unread", Ok("get\n")),
            ("true", "store", long.as_str(), Ok("")),
            ("false", "erase", "", Err("failed (exit status: 1)")),
            ("head -c 1048577", "/dev/zero", "", Err("printed more than 1024 KiB, which is no secret")),
            ("", "get", "", Err("is empty")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert!(run_with_input(command, action, input.to_owned(), true) == expected, "{command}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn input_that_fits_is_in_the_pipe_before_the_command_starts() {
        use std::io::Read;
        let mut pipe = filled_pipe("secret={}\n\n".to_owned()).expect("a pipe");
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("it has an end");
        assert_eq!(text, "secret={}\n\n");
    }

    #[test]
    #[cfg(unix)]
    fn command_is_ended_after_its_time() {
        for (command, expected) in [
            ("sleep 600", Err("did not end within 1 seconds")),
            // One that closes its stdout and stays.
            ("sh -c 'echo x; exec >&-; exec sleep 600'", Err("did not end within 1 seconds")),
            // A command that leaves a process behind which holds its stdout open.
            ("sh -c 'sleep 5 & echo x'", Ok("x")),
            // One that prints without end.
            ("yes", Err("printed more than 64 KiB, which is no secret")),
            ("head -c 65537 /dev/zero", Err("printed more than 64 KiB, which is no secret")),
        ] {
            let begun = clock();
            let found = output_within(command, Duration::from_secs(1), true);
            assert!(begun.elapsed() < Duration::from_secs(10), "{command}");
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{command}");
        }
    }

    #[test]
    #[cfg(unix)]
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn command_in_another_process_group_ends_in_time() {
        let is_there = |program: &&(&str, &str, &str)| {
            let mut version = Command::new(program.0);
            version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        };
        let programs = [
            (
                "python3",
                "-c",
                "import os, time; os.setpgid(0, os.getpgid(os.getppid())); print(1, flush=True); time.sleep(600)",
            ),
            ("perl", "-e", "setpgrp(0, getpgrp(getppid)); $| = 1; print 1; sleep 600"),
        ];
        let Some((program, option, text)) = programs.iter().find(is_there) else {
            eprintln!("skipped: neither python3 nor perl is here to change its process group");
            return;
        };
        let begun = clock();
        let found = output_within(&format!("{program} {option} '{text}'"), Duration::from_secs(2), true);
        assert_eq!(found, Err("did not end within 2 seconds".to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    #[test]
    #[cfg(unix)]
    fn command_that_cannot_be_killed_is_waited_for_briefly() {
        let child = Command::new("sleep").arg("20").spawn().expect("it starts");
        let pid = rustix::process::Pid::from_child(&child);
        let begun = clock();
        assert!(reap(child, Duration::from_millis(50)).is_none());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        // The thread that waits for it now has not reaped it yet.
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives");
    }
}
