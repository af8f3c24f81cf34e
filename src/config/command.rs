//! A secret that a command prints: started without a shell, for a bounded time, and asked again when it must.
//!
//! What it writes to stderr goes to ours. Deliberately not here: when it is run (`auth::keeper`).

use std::io::{ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is waited for between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long what it printed may take behind its end: something that it started may still hold its stdout open.
const REST: Duration = Duration::from_millis(200);
/// How much it may print, in bytes.
const LIMIT: u64 = 64 * 1024;

/// Runs a command and returns what it prints, without the white space around it.
///
/// # Errors
/// Why there is no value, in words that hold nothing of what was typed or printed.
pub(super) fn output(command: &str) -> Result<String, String> {
    output_within(command, PATIENCE)
}

fn output_within(command: &str, patience: Duration) -> Result<String, String> {
    let words =
        shell_words::split(command).map_err(|_| "has a quotation mark that is not closed".to_owned())?;
    let Some((program, arguments)) = words.split_first() else { return Err("is empty".to_owned()) };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = child.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            "cannot be started: there is no such program on this program's PATH".to_owned()
        }
        kind => format!("cannot be started ({kind})"),
    })?;
    let mut stdout = child.stdout.take().expect("it is piped").take(LIMIT);
    let (sender, printed) = channel();
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        // Until its end; nobody may be waiting for it any more.
        while let Ok(length @ 1..) = stdout.read(&mut chunk)
            && sender.send(chunk[..length].to_vec()).is_ok()
        {}
    });
    let Some((status, printed)) = ended(&mut child, &printed, patience) else {
        // Whether it was still there does not matter any more.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("did not end within {} seconds", patience.as_secs()));
    };
    if !status.success() {
        return Err(format!("failed ({status})"));
    }
    match String::from_utf8(printed) {
        Err(_) => Err("printed something that is no text".to_owned()),
        Ok(text) if text.trim().is_empty() => Err("printed nothing".to_owned()),
        Ok(text) => Ok(text.trim().to_owned()),
    }
}

/// How a command ended and what it printed; none where it did not end in time.
fn ended(child: &mut Child, chunks: &Receiver<Vec<u8>>, patience: Duration) -> Option<(ExitStatus, Vec<u8>)> {
    let mut end = clock() + patience;
    let (mut printed, mut is_whole, mut status) = (Vec::new(), false, None);
    loop {
        if status.is_none() {
            status = child.try_wait().ok()?;
            if status.is_some() {
                end = end.min(clock() + REST);
            }
        }
        match (status, clock() >= end) {
            (Some(status), over) if is_whole || over => return Some((status, printed)),
            (None, true) => return None,
            _ => {}
        }
        match chunks.recv_timeout(LOOK) {
            Ok(chunk) => printed.extend(chunk),
            Err(RecvTimeoutError::Timeout) => {}
            // One that closed its stdout is still to say whether all went well.
            Err(RecvTimeoutError::Disconnected) if is_whole => std::thread::sleep(LOOK),
            Err(RecvTimeoutError::Disconnected) => is_whole = true,
        }
    }
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
    fn what_a_command_prints_is_its_value_and_everything_else_a_reason() {
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
            assert_eq!(output(command), expected, "{command}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_command_has_so_much_time_and_no_more() {
        for (command, expected) in [
            ("sleep 600", Err("did not end within 1 seconds")),
            // One that closes its stdout and stays.
            ("sh -c 'echo x; exec >&-; exec sleep 600'", Err("did not end within 1 seconds")),
            // One that leaves somebody behind who holds its stdout open.
            ("sh -c 'sleep 5 & echo x'", Ok("x")),
            // One that prints without end.
            ("yes", Err("did not end within 1 seconds")),
        ] {
            let begun = clock();
            let found = output_within(command, Duration::from_secs(1));
            assert!(begun.elapsed() < Duration::from_secs(10), "{command}");
            match (command, &found) {
                // Nobody reads on; it ends by that or by us.
                ("yes", Err(_)) => {}
                _ => assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{command}"),
            }
        }
    }
}
