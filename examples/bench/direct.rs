//! The floor: a client that uses the same HTTP library with the same settings itself. Small calls it makes without stdin and stdout
//! between; large messages pass its pipes once, as they must with every stdio proxy, and it does nothing else with them.
//!
//! A process of its own, so that its processor time and memory can be told. It makes the same first three exchanges as
//! every other contender and says when; then it does what its stdin orders and tells the time each took. Deliberately
//! not here: making sense of an answer. It takes the bytes and looks whether there are enough.

use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp_tether::http::{Family, Http, HttpClient, Settings};
use mcp_tether::tls::Trust;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::task::JoinSet;
use url::Url;

use crate::messages::{Call, INITIALIZE, INITIALIZED, REVISION, SESSION};
use crate::now;

/// How much is read from stdin at once, and what a pipe is to hold, in bytes: as much as with mcp-tether.
const READ_SIZE: usize = 64 * 1024;
#[cfg(target_os = "linux")]
const PIPE_SIZE: usize = 1024 * 1024;

/// Connects to this URL and does what stdin orders, until it ends.
pub(crate) fn run(url: &str) -> ExitCode {
    match work(url) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "direct: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn work(url: &str) -> Result<(), String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let settings = Settings {
        connect_timeout: Some(Duration::from_secs(10)),
        patience: mcp_tether::http::Patience::default(),
        trust: Trust::default(),
        proxy: None,
        family: Family::Any,
        cookies: true,
        inspect: false,
    };
    let client = Http::new(&url, settings).map_err(|error| error.to_string())?.client();
    let direct = Direct { client, url };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        direct.post(INITIALIZE.to_owned(), 1).await?;
        tell(&[0])?;
        direct.post(INITIALIZED.to_owned(), 0).await?;
        direct.post(Call::new(0, 1).line(1), 1).await?;
        tell(&[0])
    })?;
    let mut orders = BufReader::with_capacity(READ_SIZE, std::io::stdin());
    grow_pipes();
    loop {
        let mut order = Vec::new();
        if orders.read_until(b'\n', &mut order).map_err(|error| error.to_string())? == 0 {
            return Ok(());
        }
        order.pop();
        if order.starts_with(b"{") {
            let answer = runtime.block_on(direct.exchange(order))?;
            let mut output = std::io::stdout();
            let written = output.write_all(&answer).and_then(|()| output.write_all(b"\n"));
            written.and_then(|()| output.flush()).map_err(|error| error.to_string())?;
            continue;
        }
        let order = String::from_utf8_lossy(&order).into_owned();
        let numbers: Vec<usize> = order.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [calls, at_once, said, wanted] = numbers[..] else { return Err(format!("what is {order}?")) };
        tell(&runtime.block_on(direct.calls(calls, at_once, &Call::new(said, wanted), wanted))?)?;
    }
}

/// Makes its pipes hold as much as those of mcp-tether, where the system lets it.
fn grow_pipes() {
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::pipe::fcntl_setpipe_size(std::io::stdin(), PIPE_SIZE);
        let _ = rustix::pipe::fcntl_setpipe_size(std::io::stdout(), PIPE_SIZE);
    }
}

/// The data of the only event of a stream, its lines joined by spaces.
fn data(stream: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(stream.len());
    for line in stream.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data: ")) {
        if !data.is_empty() {
            data.push(b' ');
        }
        data.extend_from_slice(line);
    }
    data
}

/// Tells times in nanoseconds.
fn tell(times: &[u128]) -> Result<(), String> {
    let times = serde_json::to_string(times).expect("numbers");
    writeln!(std::io::stdout(), "{times}").map_err(|error| error.to_string())
}

#[derive(Clone)]
struct Direct {
    client: HttpClient,
    url: Url,
}

impl Direct {
    async fn post(&self, body: String, at_least: usize) -> Result<(), String> {
        let bytes = self.response(body.into()).await?.bytes().await.map_err(|error| error.to_string())?;
        match bytes.len() >= at_least {
            true => Ok(()),
            false => Err(format!("{} bytes instead of {at_least}", bytes.len())),
        }
    }

    /// Sends a message and takes in the one that answers it.
    async fn exchange(&self, body: Vec<u8>) -> Result<Bytes, String> {
        let response = self.response(body.into()).await?;
        let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|it| it == "application/json");
        let bytes = response.bytes().await.map_err(|error| error.to_string())?;
        Ok(if is_json { bytes } else { data(&bytes).into() })
    }

    async fn response(&self, body: reqwest::Body) -> Result<reqwest::Response, String> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("mcp-session-id", HeaderValue::from_static(SESSION));
        headers.insert("mcp-protocol-version", HeaderValue::from_static(REVISION));
        let request = self.client.request(Method::POST, self.url.clone()).headers(headers).body(body);
        self.client.send(request).await.map_err(|error| error.to_string())
    }

    /// One after the other: how long each took. Several at once: how long all took.
    async fn calls(
        &self,
        calls: usize,
        at_once: usize,
        call: &Call,
        wanted: usize,
    ) -> Result<Vec<u128>, String> {
        if at_once == 1 {
            let mut times = Vec::with_capacity(calls);
            for id in 0..calls {
                let line = call.line(id);
                let start = now();
                self.post(line, wanted).await?;
                times.push(start.elapsed().as_nanos());
            }
            return Ok(times);
        }
        let start: Instant = now();
        let mut under_way = JoinSet::new();
        for first in 0..at_once {
            let lines: Vec<_> = (first..calls).step_by(at_once).map(|id| call.line(id)).collect();
            let direct = self.clone();
            under_way.spawn(async move {
                for line in lines {
                    direct.post(line, wanted).await?;
                }
                Ok::<(), String>(())
            });
        }
        while let Some(ended) = under_way.join_next().await {
            ended.map_err(|error| error.to_string())??;
        }
        Ok(vec![start.elapsed().as_nanos()])
    }
}
