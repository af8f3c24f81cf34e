//! Reads from the client while the configuration is resolved, because commands that print secrets take time.
//!
//! The input is kept for the driver. A signal, or the end of the input, interrupts the wait for a command. Deliberately not
//! here: the configuration itself (`start`), and how a command is stopped (`config`).

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, sleep_until};

/// The most that is read ahead, in bytes. Beyond that the client has to wait.
const BOUND: usize = 1024 * 1024;
/// The longest wait for the work after the client has sent a request and closed its side.
const PATIENCE: Duration = Duration::from_secs(3);

/// The end of the wait.
#[derive(Debug, PartialEq, Eq)]
pub enum EarlyOutcome<T> {
    /// The work is done.
    Done(T),
    /// A signal came first.
    Stopped,
    /// The client left first.
    Left,
}

/// Waits for `work`. Returns the outcome and the input that was read meanwhile.
pub async fn listen<T>(
    mut input: impl AsyncRead + Unpin,
    stop: impl Future<Output = ()>,
    work: impl Future<Output = T>,
) -> (EarlyOutcome<T>, BytesMut) {
    let (mut stop, mut work) = (pin!(stop), pin!(work));
    let mut heard = BytesMut::new();
    let mut end: Option<Instant> = None;
    loop {
        let patience = async {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = &mut work => return (EarlyOutcome::Done(done), heard),
            () = &mut stop => return (EarlyOutcome::Stopped, heard),
            () = patience => return (EarlyOutcome::Left, heard),
            read = input.read_buf(&mut heard), if end.is_none() && heard.len() < BOUND => {
                if !read.is_ok_and(|read| read > 0) {
                    let has_asked = !heard.trim_ascii().is_empty();
                    end = Some(Instant::now() + if has_asked { PATIENCE } else { Duration::ZERO });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::io::AsyncWriteExt;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn input_during_work_is_kept() {
        let (mut client, ours) = tokio::io::duplex(4);
        let write = async {
            client.write_all(b"one line\nand half").await.expect("read");
            pending::<()>().await;
        };
        let work = async {
            sleep(Duration::from_secs(19)).await;
            7
        };
        tokio::select! {
            () = write => {}
            (outcome, heard) = listen(ours, pending(), work) => {
                assert_eq!((outcome, &heard[..]), (EarlyOutcome::Done(7), &b"one line\nand half"[..]));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn signal_and_end_of_input_interrupt_work() {
        let (_client, ours) = tokio::io::duplex(4);
        assert_eq!(listen(ours, ready(()), pending::<()>()).await.0, EarlyOutcome::Stopped);
        for (asked, seconds) in [(&b""[..], 0), (b" \n", 0), (b"{}\n", 3)] {
            let begun = Instant::now();
            let (outcome, heard) = listen(asked, pending(), pending::<()>()).await;
            assert_eq!((outcome, &heard[..]), (EarlyOutcome::Left, asked));
            assert_eq!(begun.elapsed().as_secs(), seconds);
        }
    }
}
