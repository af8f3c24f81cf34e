//! A secret that a command prints: started without a shell, for a bounded time, and asked again when it must.
//!
//! What it writes to stderr goes to ours. Deliberately not here: when it is run (`auth::keeper`).

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much it may print, in bytes.
const LIMIT: u64 = 64 * 1024;

/// Runs a command and returns what it prints, without the white space around it.
///
/// # Errors
/// Why there is no value, in words that hold nothing of what was typed or printed.
pub(super) fn output(command: &str) -> Result<String, String> {
    let words =
        shell_words::split(command).map_err(|_| "has a quotation mark that is not closed".to_owned())?;
    let Some((program, arguments)) = words.split_first() else { return Err("is empty".to_owned()) };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = child.map_err(|error| format!("cannot be started ({})", error.kind()))?;
    let stdout = child.stdout.take().expect("it is piped");
    let (sender, printed) = channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = sender.send(stdout.take(LIMIT).read_to_string(&mut text).map(|_| text));
    });
    let Ok(printed) = printed.recv_timeout(PATIENCE) else {
        // Whether it was still there does not matter any more.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("did not end within {} seconds", PATIENCE.as_secs()));
    };
    let status = child.wait().map_err(|error| format!("cannot be waited for ({})", error.kind()))?;
    match (status.success(), printed) {
        (false, _) => Err(format!("failed ({status})")),
        (true, Err(_)) => Err("printed something that is no text".to_owned()),
        (true, Ok(text)) if text.trim().is_empty() => Err("printed nothing".to_owned()),
        (true, Ok(text)) => Ok(text.trim().to_owned()),
    }
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
            ("/no/such/program marked", Err("cannot be started (entity not found)")),
            ("echo 'open", Err("has a quotation mark that is not closed")),
            ("  ", Err("is empty")),
            ("printf '\\377'", Err("printed something that is no text")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(output(command), expected, "{command}");
        }
    }
}
