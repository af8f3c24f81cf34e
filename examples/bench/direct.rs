//! The floor: a client that uses the same HTTP library with the same settings itself, without stdin and stdout between.
//!
//! A process of its own, so that its processor time and memory can be told. It makes the same first three exchanges as
//! every other contender and says when; then it does what its stdin orders and tells the time each took. Deliberately
//! not here: making sense of an answer. It takes the bytes and looks whether there are enough.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mcp_tether::http::{Family, Http, HttpClient, Settings};
use mcp_tether::tls::Trust;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::task::JoinSet;
use url::Url;

use crate::messages::{Call, INITIALIZE, INITIALIZED, REVISION, SESSION};
use crate::now;

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
    for order in std::io::stdin().lock().lines() {
        let order = order.map_err(|error| error.to_string())?;
        let numbers: Vec<usize> = order.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [calls, at_once, said, wanted] = numbers[..] else { return Err(format!("what is {order}?")) };
        tell(&runtime.block_on(direct.calls(calls, at_once, &Call::new(said, wanted), wanted))?)?;
    }
    Ok(())
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
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("mcp-session-id", HeaderValue::from_static(SESSION));
        headers.insert("mcp-protocol-version", HeaderValue::from_static(REVISION));
        let request = self.client.request(Method::POST, self.url.clone()).headers(headers).body(body);
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        let bytes = response.bytes().await.map_err(|error| error.to_string())?;
        match bytes.len() >= at_least {
            true => Ok(()),
            false => Err(format!("{} bytes instead of {at_least}", bytes.len())),
        }
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
