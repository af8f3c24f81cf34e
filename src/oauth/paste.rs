//! The address that a browser ended at, pasted by the user: for a browser on another computer, which cannot come back to this
//! one.
//!
//! It is believed as what arrives at the listener is: with the state of the sign-in under way, from the issuer that was asked.
//! Deliberately not here: what is read from (`start`), and what an answer means (`request`).

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tracing::warn;

use crate::oauth::authorization_request::{AuthorizationRequest, AuthorizationResponse, returned};
use crate::oauth::metadata::AuthorizationServer;

/// How long a pasted address may be, in bytes.
const LENGTH: u64 = 64 * 1024;

/// The lines that the user pastes.
#[derive(Clone, Debug)]
pub struct Pasted {
    lines: Arc<Mutex<mpsc::Receiver<String>>>,
}

impl Pasted {
    /// Reads lines in a thread of their own, which ends with the process.
    pub fn read(source: impl Read + Send + 'static) -> Pasted {
        let (sender, lines) = mpsc::channel(1);
        let reading = move || {
            let mut source = BufReader::new(source);
            loop {
                let mut line = Vec::new();
                match source.by_ref().take(LENGTH).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                if sender.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        };
        // Where there can be no thread, there is no line either.
        let _ = std::thread::Builder::new().spawn(reading);
        Pasted { lines: Arc::new(Mutex::new(lines)) }
    }

    /// Waits for the address that answers a request, for as long as it takes. None where there are no more lines.
    pub(super) async fn answer(
        &self,
        request: &AuthorizationRequest,
        authorization: &AuthorizationServer,
    ) -> Option<AuthorizationResponse> {
        let mut lines = self.lines.lock().await;
        loop {
            let line = lines.recv().await?;
            if line.trim().is_empty() {
                continue;
            }
            if let Some(returned) = query(&line).and_then(|query| returned(request, authorization, query)) {
                return Some(returned);
            }
            warn!(
                "this is not the address that the sign-in under way ends at; it begins with {}, and has a code and a \
                 state: paste it whole",
                request.redirect
            );
        }
    }
}

/// The query of a pasted address; a query alone is one as well.
fn query(line: &str) -> Option<&str> {
    let is_around = |letter: char| letter.is_whitespace() || "\"'<>`".contains(letter);
    let address = line.trim_matches(is_around);
    let address = address.split_once('#').map_or(address, |(address, _)| address);
    match address.split_once('?') {
        Some((_, query)) => Some(query),
        None => address.contains("state=").then_some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_found_in_what_users_paste() {
        for (line, expected) in [
            ("http://localhost:1/oauth/callback?code=a&state=b\n", Some("code=a&state=b")),
            ("  'http://localhost:1/oauth/callback?code=a&state=b' \r\n", Some("code=a&state=b")),
            ("<http://localhost:1/oauth/callback?code=a&state=b#_=_>", Some("code=a&state=b")),
            ("localhost:1/oauth/callback?error=x&state=b", Some("error=x&state=b")),
            ("?code=a&state=b", Some("code=a&state=b")),
            ("code=a&state=b", Some("code=a&state=b")),
            ("a", None),
            ("http://localhost:1/oauth/callback", None),
        ] {
            assert_eq!(query(line), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn lines_beyond_the_bound_are_no_memory() {
        let request = AuthorizationRequest {
            url: String::new(),
            state: "s".to_owned(),
            verifier: String::new(),
            redirect: "http://localhost:1/x".to_owned(),
            scope: None,
        };
        let authorization = AuthorizationServer::default();
        let long = format!("{}\n?code=c&state=s\n", "x".repeat(200_000));
        let pasted = Pasted::read(std::io::Cursor::new(long));
        let found = pasted.answer(&request, &authorization).await;
        assert_eq!(found, Some(AuthorizationResponse::Code("c".to_owned())));
        let ended = Pasted::read(std::io::Cursor::new("?code=c&state=other\n"));
        assert_eq!(ended.answer(&request, &authorization).await, None);
    }
}
