//! The listener behind the redirect URI: a page on this machine, open before the browser starts.
//!
//! A request counts if it carries the state of the sign-in under way and names this machine as its host, so that a page
//! elsewhere whose name resolves to this machine (DNS rebinding) learns nothing. Every other request gets an error page and
//! changes nothing. The page is answered once the sign-in has ended, to show how.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;
use url::Url;

use crate::http::is_loopback;
use crate::oauth::authorization_request::{AuthorizationRequest, AuthorizationResponse, returned};
use crate::oauth::http::Boxed;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::settings::SignInSettings;
use crate::redact;

/// How long a request's head may be, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;
/// How long it may take to come, and the answer to go.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many are listened to at once; the next one takes the place of the one that has taken longest.
const AT_ONCE: usize = 32;
/// The pause after the system could accept no connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener, on both loopback addresses where the machine has both: a browser may take `localhost` for either. Or on the one
/// address that the user names, which need not be a loopback one: in a container, what is published arrives elsewhere.
#[derive(Debug)]
pub(in crate::oauth) struct Callback {
    first: TcpListener,
    second: Option<TcpListener>,
    path: String,
}

impl Callback {
    /// Listens where the settings say, on this port or on any.
    ///
    /// # Errors
    /// When the port is taken, or the address is not one of this computer.
    pub(in crate::oauth) async fn bind(settings: &SignInSettings, port: Option<u16>) -> io::Result<Callback> {
        let path = settings.callback_path.clone();
        let port = port.unwrap_or(0);
        if let Some(address) = settings.callback_bind {
            return Ok(Callback { first: TcpListener::bind((address, port)).await?, second: None, path });
        }
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let second = TcpListener::bind((Ipv6Addr::LOCALHOST, first.local_addr()?.port())).await.ok();
        Ok(Callback { first, second, path })
    }

    /// Warns where other computers can reach it. They need the state of the sign-in to do anything.
    fn warn_of_others(&self) {
        if let Ok(address) = self.first.local_addr()
            && !address.ip().is_loopback()
        {
            warn!(
                "the sign-in is waited for at {address}, which other computers may reach (--callback-bind); in a container, \
                 publish the port for this computer alone: 127.0.0.1:{0}:{0}",
                address.port()
            );
        }
    }

    /// The port that it listens on.
    pub(in crate::oauth) fn port(&self) -> u16 {
        self.first.local_addr().map_or(0, |address| address.port())
    }

    /// Waits for the answer to a request, for as long as it takes.
    pub(in crate::oauth) async fn answer(
        &self,
        request: &AuthorizationRequest,
        authorization: &AuthorizationServer,
    ) -> (AuthorizationResponse, CallbackPage) {
        self.warn_of_others();
        let (sender, mut targets) = mpsc::channel::<(TcpStream, String)>(1);
        let mut visits = JoinSet::new();
        let mut reading: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            tokio::select! {
                Some((stream, target)) = targets.recv() => {
                    let page = CallbackPage { stream };
                    let query = match target.split_once('?') {
                        Some((path, query)) if path == self.path => query,
                        _ if target == self.path => "",
                        _ => {
                            visits.spawn(Box::pin(page.nothing(404, "There is nothing here.")) as Boxed<'static, ()>);
                            continue;
                        }
                    };
                    match returned(request, authorization, query) {
                        Some(returned) => return (returned, page),
                        None => {
                            let text = "This is not the answer to the sign-in that is under way. Nothing has happened; \
                                        go on in the tab that was opened last.";
                            visits.spawn(Box::pin(page.nothing(400, text)));
                        }
                    }
                }
                visit = self.accept() => {
                    let Ok(mut stream) = visit else {
                        // Perhaps there are no descriptors left: that does not pass by asking at once.
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    };
                    reading.retain(|visit| !visit.is_finished());
                    if reading.len() >= AT_ONCE && let Some(oldest) = reading.pop_front() {
                        // A browser says what it wants at once.
                        oldest.abort();
                    }
                    let sender = sender.clone();
                    reading.push_back(visits.spawn(Box::pin(async move {
                        let head = tokio::time::timeout(PATIENCE, target(&mut stream)).await;
                        if let Ok(Some(target)) = head {
                            let _ = sender.send((stream, target)).await;
                        }
                    })));
                }
                Some(_) = visits.join_next(), if !visits.is_empty() => {}
            }
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let accepted: io::Result<(TcpStream, SocketAddr)> = match &self.second {
            Some(second) => tokio::select! {
                accepted = self.first.accept() => accepted,
                accepted = second.accept() => accepted,
            },
            None => self.first.accept().await,
        };
        accepted.map(|(stream, _)| stream)
    }
}

/// What a GET asks for, of this machine by one of its names. Nothing else is answered.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD_LIMIT || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let mut lines = std::str::from_utf8(&head).ok()?.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let mut hosts = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim());
    (method == "GET" && hosts.all(is_ours)).then(|| target.to_owned())
}

/// Returns whether a `Host` header names this machine, with a port or without.
fn is_ours(host: &str) -> bool {
    Url::parse(&format!("http://{host}/")).is_ok_and(|url| is_loopback(&url))
}

/// The browser's request, which is still to be answered.
#[derive(Debug)]
pub(in crate::oauth) struct CallbackPage {
    stream: TcpStream,
}

impl CallbackPage {
    /// Says that all is well, or leads to where that is said.
    pub(in crate::oauth) async fn succeed(self, place: &str, elsewhere: Option<&str>) {
        if let Some(elsewhere) = elsewhere {
            let head = format!("HTTP/1.1 303 See Other\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n");
            return self.write(&head, "").await;
        }
        let text =
            format!("You are signed in at {place}. You can close this tab and go back to your program.");
        self.announce_result(200, "Signed in", &text).await;
    }

    /// Says what went wrong.
    pub(in crate::oauth) async fn fail(self, sentence: &str, advice: &str) {
        self.announce_result(400, "Not signed in", &format!("{sentence}. What to do: {advice}.")).await;
    }

    async fn nothing(self, status: u16, text: &'static str) {
        self.announce_result(status, "Not this", text).await;
    }

    async fn announce_result(self, status: u16, title: &str, text: &str) {
        let escaped = |text: &str| {
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
        };
        let (title, text) = (escaped(title), escaped(&redact::foreign(text)));
        let body = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title} – mcp-tether</title>\
             <body style=\"font: 1.1em system-ui, sans-serif; max-width: 36em; margin: 4em auto\"><h1>{title}</h1><p>{text}</p>"
        );
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
             content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\n",
            body.len()
        );
        self.write(&head, &body).await;
    }

    /// Writes the response. A browser that is gone does not matter.
    async fn write(mut self, head: &str, body: &str) {
        let text = format!(
            "{head}cache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n{body}"
        );
        let _ = tokio::time::timeout(PATIENCE, async {
            let _ = self.stream.write_all(text.as_bytes()).await;
            let _ = self.stream.shutdown().await;
        })
        .await;
    }
}
