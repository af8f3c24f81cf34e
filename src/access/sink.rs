//! Where a secret goes: a file, a command, or stdout. Proven before a secret exists, written right behind.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::arguments::SinkOptions;
use super::env_file::{EnvFile, HOSTS, PAIR, Pair};
use super::failure::AccessFailure;
use super::output::AccessOutput;
use crate::auth::cf_access::{NEXT, withhold_from};
use crate::config::{Environment, home_expanded};
use crate::platform;
use crate::redact;

/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much of what the command writes to stderr is shown, in bytes.
const SHOWN: u64 = 4096;

/// A place for the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    /// A file of variables.
    EnvFile(PathBuf),
    /// A command that reads variables from its stdin.
    Command(String),
    /// Stdout.
    Show,
}

impl Sink {
    /// The one that the options name, if they name one.
    pub(super) fn of(options: &SinkOptions) -> Option<Sink> {
        match (&options.env_file, &options.secret_to, options.show_secret) {
            (Some(path), _, _) => Some(Sink::EnvFile(absolute(path))),
            (None, Some(command), _) => Some(Sink::Command(command.clone())),
            (None, None, true) => Some(Sink::Show),
            (None, None, false) => None,
        }
    }

    /// Its file.
    pub(super) fn env_file(&self) -> Option<&Path> {
        match self {
            Sink::EnvFile(path) => Some(path),
            Sink::Command(_) | Sink::Show => None,
        }
    }

    /// What it is, for users.
    pub(super) fn shown(&self) -> String {
        match self {
            Sink::EnvFile(path) => path.display().to_string(),
            Sink::Command(_) => "the command of --secret-to".to_owned(),
            Sink::Show => "stdout".to_owned(),
        }
    }

    /// Opens it, and proves that it takes a secret, as far as that can be known without one.
    pub(super) fn open(
        &self,
        environment: &Environment,
        owns_folder: bool,
    ) -> Result<OpenSink, AccessFailure> {
        match self {
            Sink::EnvFile(path) => {
                let refused = |error: std::io::Error| unusable(path, &error);
                if let Some(folder) = path.parent().filter(|_| owns_folder) {
                    platform::create_private_folder(folder).map_err(refused)?;
                }
                let file = EnvFile::read(path).map_err(refused)?;
                file.prove().map_err(refused)?;
                Ok(OpenSink { sink: self.clone(), file: Some(file), command: None })
            }
            Sink::Command(text) => {
                let advice = "pass a program and its arguments, such as --secret-to \"gh secret set -f -\"";
                let words = shell_words::split(text).map_err(|_| {
                    AccessFailure::usage(
                        "the command of --secret-to has a quotation mark that is not closed",
                        advice,
                    )
                })?;
                let Some(program) = words.first().filter(|program| !program.is_empty()) else {
                    return Err(AccessFailure::usage("the command of --secret-to is empty", advice));
                };
                match is_program(program, environment) {
                    true => Ok(OpenSink { sink: self.clone(), file: None, command: Some(words) }),
                    false => Err(AccessFailure::new(
                        "the command of --secret-to cannot be started: there is no such program on the PATH",
                        advice,
                    )),
                }
            }
            Sink::Show => Ok(OpenSink { sink: self.clone(), file: None, command: None }),
        }
    }
}

/// A path that stays the same from another directory.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let path = home_expanded(path);
    std::path::absolute(&path).unwrap_or(path)
}

/// A file cannot hold the secret.
pub(super) fn unusable(path: &Path, error: &std::io::Error) -> AccessFailure {
    AccessFailure::new(
        format!("{} cannot hold the service token: {error}", path.display()),
        "pass --env-file with a regular file of NAME=value lines in a folder that you may write to",
    )
}

fn is_program(program: &str, environment: &Environment) -> bool {
    let endings: &[&str] = if cfg!(windows) { &["", ".exe", ".cmd", ".bat"] } else { &[""] };
    let is_file = |path: &Path| {
        endings.iter().any(|ending| {
            let mut path = path.as_os_str().to_owned();
            path.push(ending);
            Path::new(&path).is_file()
        })
    };
    if Path::new(program).components().count() > 1 {
        return is_file(Path::new(program));
    }
    let folders = environment.get("PATH").unwrap_or_default();
    std::env::split_paths(folders).any(|folder| is_file(&folder.join(program)))
}

/// A sink that is proven.
#[derive(Debug)]
pub(super) struct OpenSink {
    sink: Sink,
    file: Option<EnvFile>,
    command: Option<Vec<String>>,
}

impl OpenSink {
    /// Writes a service token for a host, as the pair or as the one that takes over.
    pub(super) async fn write(
        &self,
        pair: &Pair,
        host: &str,
        is_next: bool,
        output: &AccessOutput<'_>,
    ) -> Result<(), AccessFailure> {
        let mut variables = pair.variables(if is_next { NEXT } else { PAIR });
        match (&self.file, &self.command) {
            (Some(file), _) => {
                variables.push((HOSTS, Some(file.hosts_with(host))));
                file.write(&variables)
                    .map_err(|error| unusable(self.sink.env_file().unwrap_or(Path::new("")), &error))
            }
            (None, Some(words)) => {
                variables.push((HOSTS, Some(host.to_owned())));
                let (words, text) = (words.clone(), lines(&variables));
                let done = tokio::task::spawn_blocking(move || run(&words, &text)).await;
                done.unwrap_or_else(|_| Err("was stopped".to_owned())).map_err(|reason| {
                    AccessFailure::new(
                        format!("the command of --secret-to {reason}"),
                        "run the command by hand: it must read NAME=value lines from its stdin and end with exit code 0",
                    )
                })
            }
            (None, None) => {
                variables.push((HOSTS, Some(host.to_owned())));
                output.secret(&lines(&variables));
                for (name, value) in variables {
                    output.set(name, value.unwrap_or_default());
                }
                Ok(())
            }
        }
    }

    /// Writes the list of hosts of a token that the file holds already.
    pub(super) fn write_hosts(&self, hosts: &str) -> Result<(), AccessFailure> {
        let Some(file) = &self.file else { return Ok(()) };
        let written = file.write(&[(HOSTS, Some(hosts.to_owned()))]);
        written.map_err(|error| unusable(self.sink.env_file().unwrap_or(Path::new("")), &error))
    }

    /// Takes a secret back that is valid no more. Returns where it cannot be taken back.
    pub(super) fn take_back(&self) -> Option<String> {
        match (&self.file, &self.sink) {
            (Some(file), _) => file.restore().err().map(|error| format!("{} ({error})", self.sink.shown())),
            (None, Sink::Command(_)) => Some("the command of --secret-to".to_owned()),
            (None, Sink::Show | Sink::EnvFile(_)) => None,
        }
    }
}

/// Variables as a file has them.
fn lines(variables: &[(&str, Option<String>)]) -> String {
    variables
        .iter()
        .map(|(name, value)| format!("{name}={}\n", value.as_deref().unwrap_or_default()))
        .collect()
}

/// Runs the command. Its stdout goes nowhere, because it may repeat the secret.
fn run(words: &[String], text: &str) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Err("is empty".to_owned()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    withhold_from(&mut command);
    let mut child = command.spawn().map_err(|error| format!("cannot be started ({})", error.kind()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read is judged by its exit code.
        let _ = stdin.write_all(text.as_bytes());
    }
    let stderr = child.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let (mut told, mut rest) = (Vec::new(), stderr);
            let _ = (&mut rest).take(SHOWN).read_to_end(&mut told);
            // Whatever is left is read, so that the command can end.
            let _ = std::io::copy(&mut rest, &mut std::io::sink());
            told
        })
    });
    let end = clock() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if clock() < end => std::thread::sleep(Duration::from_millis(10)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("did not end within {} seconds", PATIENCE.as_secs()));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let told = stderr.filter(std::thread::JoinHandle::is_finished).and_then(|reader| reader.join().ok());
    let told = redact::foreign(String::from_utf8_lossy(&told.unwrap_or_default()).trim());
    match told.is_empty() {
        true => Err(format!("failed ({status})")),
        false => Err(format!("failed ({status}): {told}")),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a command takes")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}
