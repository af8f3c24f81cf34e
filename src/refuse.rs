//! Answers every request with one error, without an event loop, if the system allows no event loop.
//!
//! The bridge makes the answers; only stdin and stdout are used. Deliberately not here: the same with an event
//! loop, where a configuration cannot work (`remote::Unconfigured`).

use std::io::{self, BufRead, Read, Write};
use std::time::Instant;

use bytes::Bytes;

use crate::bridge::{self, Action, Bridge, ErrorReport, Event, ExchangeOutcome, Written};
use crate::jsonrpc::{Line, MESSAGE_LIMIT};

/// Answers every request on `input` until its end.
///
/// # Errors
/// When the client no longer reads, or `input` cannot be read.
pub fn answer_all(
    input: impl Read,
    mut output: impl Write,
    report: &ErrorReport,
    now: Instant,
) -> io::Result<()> {
    let mut input = io::BufReader::new(input);
    let mut bridge = Bridge::new(bridge::Config::default());
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(MESSAGE_LIMIT).unwrap_or(u64::MAX);
        if (&mut input).take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_ascii();
        if !line.is_empty() {
            bridge.handle(Event::Client(Line::parse(Bytes::copy_from_slice(line))), now);
            act(&mut bridge, &mut output, report, now)?;
        }
    }
}

fn act(bridge: &mut Bridge, output: &mut impl Write, report: &ErrorReport, now: Instant) -> io::Result<()> {
    while let Some(action) = bridge.poll_action() {
        match action {
            Action::Open(exchange, _) => {
                let outcome = ExchangeOutcome::Lost { written: Written::No, report: report.clone() };
                bridge.handle(Event::Ended(exchange, outcome), now);
            }
            Action::Deliver(message) => {
                output.write_all(message.text())?;
                output.write_all(b"\n")?;
                output.flush()?;
            }
            Action::Close(_) | Action::Notice(_) | Action::Remember(_) | Action::Exit(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::ErrorKind;

    #[test]
    fn every_request_gets_the_error() {
        let input = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}\n\n\
            {\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n\
            {\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"tools/list\"}\nx\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}";
        let mut output = Vec::new();
        let report = ErrorReport::new(ErrorKind::Configuration, "no loop", "raise it");
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        answer_all(&input[..], &mut output, &report, Instant::now()).expect("written");
        let output = String::from_utf8(output).expect("UTF-8");
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), 4, "{output}");
        for (line, id) in lines.iter().zip(["\"id\":1,", "\"id\":\"b\",", "\"id\":null,", "\"id\":3,"]) {
            assert!(line.contains(id), "{id}: {line}");
        }
        assert_eq!(output.matches("no loop").count(), 3, "{output}");
    }
}
