//! A client of a stdio server: starts it, writes lines, reads lines, ends it by closing its stdin.
//!
//! Every wait has a limit, and what the program printed is looked through for the secret it was given. Deliberately
//! not here: what the answers should be.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Nothing here takes this long unless something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What came of it, or a sentence about what did not.
type Outcome<T> = Result<T, String>;

/// A running program; it is killed when this is dropped early.
pub(crate) struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    /// Everything that came on stdout.
    heard: String,
    id: u32,
    /// When the program was started, until something was measured from there.
    started: Option<Instant>,
}

impl Client {
    /// Starts the program – a path and arguments – with this service token, and with nothing else that is set here.
    pub(crate) fn start(program: &[OsString], url: &str, token: Option<(&str, &str)>) -> Outcome<Client> {
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]).arg(url).env_clear();
        // Windows cannot open a socket without the second.
        command.envs(["PATH", "SystemRoot"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        if let Some((id, secret)) = token {
            command.env("CF_ACCESS_CLIENT_ID", id).env("CF_ACCESS_CLIENT_SECRET", secret);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let started = Some(now());
        let mut child =
            command.spawn().map_err(|error| format!("{:?} does not start: {error}", program[0]))?;
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Ok(Client { child, stdin, stdout, heard: String::new(), id: 0, started })
    }

    /// Writes a line.
    pub(crate) async fn send(&mut self, line: &str) -> Outcome<()> {
        let line = format!("{line}\n");
        in_time("the proxy's stdin", self.stdin.write_all(line.as_bytes())).await
    }

    /// Writes a request and reads up to its answer, telling every line and, of those that came, how long after the
    /// request that was; the first request counts from the start of the program.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        params: &str,
        mut told: impl FnMut(&str, Option<Duration>, &str),
    ) -> Outcome<(Value, Duration)> {
        self.id += 1;
        let id = self.id;
        let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        told("→", None, &request);
        let since = self.started.take().unwrap_or_else(now);
        self.send(&request).await?;
        loop {
            let line = in_time("the proxy's stdout", self.stdout.next_line()).await?;
            let after = since.elapsed();
            let line = line.ok_or_else(|| format!("the proxy left without an answer to {request}"))?;
            told("←", Some(after), &line);
            self.heard.push_str(&line);
            let message: Value = serde_json::from_str(&line)
                .map_err(|error| format!("a line that is no message ({error}): {line}"))?;
            if message.get("method").is_none() && message["id"] == id {
                return Ok((message, after));
            }
        }
    }

    /// Closes stdin and sees to it that the program ends well, says no more and has nowhere printed this secret.
    pub(crate) async fn leave(self, secret: &str) -> Outcome<()> {
        let Client { mut child, stdin, stdout, heard, .. } = self;
        drop(stdin);
        let (mut rest, mut stderr) = (String::new(), String::new());
        let end = async {
            stdout.into_inner().read_to_string(&mut rest).await?;
            child.stderr.take().expect("it is piped").read_to_string(&mut stderr).await?;
            child.wait().await
        };
        let status = in_time("the end of the proxy", end).await?;
        if [&heard, &rest, &stderr].iter().any(|text| text.contains(secret)) {
            return Err("the proxy printed a secret".to_owned());
        }
        match status.success() && rest.is_empty() {
            true => Ok(()),
            false => Err(format!("the proxy ended with {status}, saying {rest:?}, {stderr}")),
        }
    }
}

async fn in_time<T>(what: &str, wait: impl Future<Output = io::Result<T>>) -> Outcome<T> {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(done) => done.map_err(|error| format!("{what}: {error}")),
        Err(_) => Err(format!("{what}: nothing for {} seconds", PATIENCE.as_secs())),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long an answer takes is what the demo shows")]
fn now() -> Instant {
    Instant::now()
}
