//! One end: lines in from the client, and the only writer of stdout. Also all code that differs by platform.
//!
//! Two ways to the same descriptors. Where stdin and stdout are sockets (what Node gives its children) or Linux pipes,
//! they are used directly from the event loop, without blocking and without changing the descriptor that others may
//! share: a socket takes "don't wait" per call, a pipe is opened a second time. Everything else (a terminal, a file, any
//! descriptor on Windows) is served by a thread per direction: the portable path, which `MCP_TETHER_STDIO=threads`
//! chooses on every platform, so that it can be tested. Deliberately not here: what the lines mean.
//!
#![doc = include_str!("stdio/README.md")]

mod lines;

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;

use crate::platform::Waiting;
pub use lines::LineReader;
use lines::READ_SIZE;

/// Messages up to this size are copied, so that a small one does not hold on to a large buffer; larger ones stay where
/// they are.
const COPIED_UP_TO: usize = 16 * 1024;
/// How many bytes of small messages are written at once.
const GATHERED_UP_TO: usize = 256 * 1024;

/// The standard input as a stream of bytes.
pub type Stdin = Box<dyn AsyncRead + Send + Unpin>;
/// The standard output as a sink of bytes.
pub type Stdout = Box<dyn AsyncWrite + Send + Unpin>;

/// Opens stdin and stdout. To be called within a runtime.
pub fn open(portable: bool) -> (Stdin, Stdout) {
    #[cfg(unix)]
    if !portable {
        let input = direct::Descriptor::input();
        let output = direct::Descriptor::output();
        return (
            input.map_or_else(|| Box::new(ThreadInput::start()) as Stdin, |input| Box::new(input)),
            output.map_or_else(|| Box::new(ThreadOutput::start()) as Stdout, |output| Box::new(output)),
        );
    }
    #[cfg(not(unix))]
    let _ = portable;
    (Box::new(ThreadInput::start()), Box::new(ThreadOutput::start()))
}

/// Returns whether stdin is a terminal, and not a client.
pub fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Returns whether stdout is a terminal, and not a program.
pub fn is_output_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The client's reading side: whole lines, in order.
pub struct Writer<W> {
    output: W,
    queue: VecDeque<Bytes>,
    /// Small messages behind the queue, to be written together.
    gathered: BytesMut,
    pending: usize,
    /// Whether something was handed to the output that it may not be through with.
    unflushed: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes lines to `output`.
    pub fn new(output: W) -> Writer<W> {
        let (queue, gathered) = (VecDeque::new(), BytesMut::new());
        Writer { output, queue, gathered, pending: 0, unflushed: false }
    }

    /// Takes in one message. Nothing is written yet.
    pub fn push(&mut self, message: &Bytes) {
        self.pending += message.len() + 1;
        self.unflushed = true;
        let is_small = message.len() <= COPIED_UP_TO;
        if !is_small || self.gathered.len() + message.len() > GATHERED_UP_TO {
            self.queue_gathered();
        }
        if is_small {
            self.gathered.extend_from_slice(message);
            self.gathered.extend_from_slice(b"\n");
        } else {
            self.queue.push_back(message.clone());
            self.queue.push_back(Bytes::from_static(b"\n"));
        }
    }

    fn queue_gathered(&mut self) {
        if !self.gathered.is_empty() {
            self.queue.push_back(self.gathered.split().freeze());
        }
    }

    /// How many bytes wait for the client to read.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Returns whether everything was written, as far as can be known.
    pub fn is_idle(&self) -> bool {
        self.pending == 0 && !self.unflushed
    }

    /// Writes what waits. May be dropped and called again without losing or repeating anything.
    ///
    /// # Errors
    /// When the client no longer reads.
    pub async fn flush(&mut self) -> io::Result<()> {
        loop {
            if self.queue.is_empty() {
                self.queue_gathered();
            }
            let Some(front) = self.queue.front_mut() else { break };
            let written = self.output.write(front).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.pending -= written;
            front.advance(written);
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        self.output.flush().await?;
        self.unflushed = false;
        Ok(())
    }
}

/// Resolves when the process is asked to end.
pub async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        // A signal that cannot be watched ends the process in its own way.
        let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
        std::future::poll_fn(|context| {
            match signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Stdin, read by a thread.
struct ThreadInput {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl ThreadInput {
    fn start() -> ThreadInput {
        let (sender, chunks) = mpsc::channel(4);
        // The thread is not joined: it may stand in a read that ends only with the process. Without one the input ends.
        let _ = std::thread::Builder::new().spawn(move || {
            let mut input = Waiting(io::stdin().lock());
            loop {
                let mut chunk = BytesMut::zeroed(READ_SIZE);
                match io::Read::read(&mut input, &mut chunk) {
                    Ok(0) => return,
                    Ok(read) => {
                        chunk.truncate(read);
                        if sender.blocking_send(chunk.freeze()).is_err() {
                            return;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        });
        ThreadInput { chunks, current: Bytes::new() }
    }
}

impl AsyncRead for ThreadInput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.current.is_empty() {
            let Some(chunk) = ready!(self.chunks.poll_recv(context)) else { return Poll::Ready(Ok(())) };
            self.current = chunk;
        }
        let size = self.current.len().min(buffer.remaining());
        buffer.put_slice(&self.current.split_to(size));
        Poll::Ready(Ok(()))
    }
}

/// Stdout, written by a thread, one chunk at a time.
struct ThreadOutput {
    chunks: Option<mpsc::Sender<Bytes>>,
    results: mpsc::Receiver<io::Result<()>>,
    under_way: bool,
}

/// How much is handed to the writing thread at once.
const WRITE_SIZE: usize = 256 * 1024;

impl ThreadOutput {
    fn start() -> ThreadOutput {
        let (chunks, mut receiver) = mpsc::channel::<Bytes>(1);
        let (sender, results) = mpsc::channel(1);
        let _ = std::thread::Builder::new().spawn(move || {
            while let Some(chunk) = receiver.blocking_recv() {
                let mut output = Waiting(io::stdout());
                let result =
                    io::Write::write_all(&mut output, &chunk).and_then(|()| io::Write::flush(&mut output));
                if sender.blocking_send(result).is_err() {
                    return;
                }
            }
        });
        ThreadOutput { chunks: Some(chunks), results, under_way: false }
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.under_way {
            let result = ready!(self.results.poll_recv(context));
            self.under_way = false;
            return Poll::Ready(result.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into())));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ThreadOutput {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_idle(context))?;
        let size = bytes.len().min(WRITE_SIZE);
        let chunk = Bytes::copy_from_slice(bytes.get(..size).unwrap_or_default());
        match self.chunks.as_ref().map(|chunks| chunks.try_send(chunk)) {
            Some(Ok(())) => {
                self.under_way = true;
                Poll::Ready(Ok(size))
            }
            Some(Err(_)) | None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_idle(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_idle(context))?;
        self.chunks = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(unix)]
mod direct {
    //! Descriptors that are used from the event loop.

    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use rustix::fs::FileType;
    use rustix::io::Errno;
    use tokio::io::unix::AsyncFd;
    use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

    /// What a pipe holds on every system that has a say in it; what is written or read at once beyond that is large.
    const PIPE_SIZE: usize = 64 * 1024;
    /// The size to which a pipe grows for large data, in bytes: fewer turns between us and the client. The largest that Linux gives
    /// to an unprivileged process; pipes grow only when needed, because all pipes of a user share a limit.
    #[cfg(target_os = "linux")]
    const LARGE_PIPE_SIZE: usize = 1024 * 1024;

    /// A descriptor that never blocks.
    pub(super) struct Descriptor {
        fd: AsyncFd<OwnedFd>,
        kind: DescriptorKind,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum DescriptorKind {
        Socket,
        /// A socket that gives one packet in each read.
        PacketSocket,
        Pipe,
        /// A pipe that was made to hold more, or that cannot be.
        LargePipe,
    }

    impl Descriptor {
        pub(super) fn input() -> Option<Descriptor> {
            Descriptor::new(
                io::stdin().as_fd(),
                "/proc/self/fd/0",
                rustix::fs::OFlags::RDONLY,
                Interest::READABLE,
            )
        }

        pub(super) fn output() -> Option<Descriptor> {
            Descriptor::new(
                io::stdout().as_fd(),
                "/proc/self/fd/1",
                rustix::fs::OFlags::WRONLY,
                Interest::WRITABLE,
            )
        }

        fn new(
            fd: BorrowedFd<'_>,
            path: &str,
            access: rustix::fs::OFlags,
            interest: Interest,
        ) -> Option<Descriptor> {
            let (fd, kind) = match FileType::from_raw_mode(rustix::fs::fstat(fd).ok()?.st_mode) {
                FileType::Socket => (fd.try_clone_to_owned().ok()?, socket_kind(fd)),
                // Opened again, because "non-blocking" belongs to the open file, which others may share. Where that
                // cannot be done (macOS, another user's pipe), a thread serves.
                FileType::Fifo if gives_packets(fd) => return None,
                FileType::Fifo => {
                    let flags = access | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
                    (rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?, DescriptorKind::Pipe)
                }
                _ => return None,
            };
            #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd keeps the promise asked for")]
            let fd = AsyncFd::with_interest(fd, interest).ok()?;
            Some(Descriptor { fd, kind })
        }

        /// Makes a pipe hold more once this many bytes go through it at once. Where that is not possible it stays.
        fn make_room(&mut self, size: usize) {
            if self.kind == DescriptorKind::Pipe && size >= PIPE_SIZE {
                self.kind = DescriptorKind::LargePipe;
                #[cfg(target_os = "linux")]
                let _ = rustix::pipe::fcntl_setpipe_size(self.fd.get_ref(), LARGE_PIPE_SIZE);
            }
        }

        fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
            match self.kind {
                DescriptorKind::Socket | DescriptorKind::PacketSocket => {
                    rustix::net::recv(self.fd.get_ref(), buffer, rustix::net::RecvFlags::DONTWAIT)
                        .map(|(read, _)| read)
                }
                DescriptorKind::Pipe | DescriptorKind::LargePipe => {
                    rustix::io::read(self.fd.get_ref(), buffer)
                }
            }
        }

        /// Returns whether a read shows that nothing is left, which saves the next one. The system reports what comes later, and the end
        /// of input stays reported (epoll(7), questions and answers, 9).
        fn is_emptied_by(&self, read: usize, room: usize) -> bool {
            let is_stream = self.kind != DescriptorKind::PacketSocket;
            is_stream && cfg!(any(target_os = "linux", target_os = "macos")) && 0 < read && read < room
        }

        fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
            // Rust ignores SIGPIPE, so that a client that is gone shows as an error.
            match self.kind {
                DescriptorKind::Socket | DescriptorKind::PacketSocket => {
                    rustix::net::send(self.fd.get_ref(), bytes, rustix::net::SendFlags::DONTWAIT)
                }
                DescriptorKind::Pipe | DescriptorKind::LargePipe => {
                    rustix::io::write(self.fd.get_ref(), bytes)
                }
            }
        }
    }

    /// Returns whether a pipe gives one packet in each read (pipe(2), `O_DIRECT`), so that a short one does not show that nothing is left.
    fn gives_packets(fd: BorrowedFd<'_>) -> bool {
        #[cfg(target_os = "linux")]
        {
            rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::DIRECT))
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = fd;
            false
        }
    }

    /// Returns which kind of socket this is.
    fn socket_kind(fd: BorrowedFd<'_>) -> DescriptorKind {
        match rustix::net::sockopt::socket_type(fd) {
            Ok(rustix::net::SocketType::STREAM) => DescriptorKind::Socket,
            Ok(_) | Err(_) => DescriptorKind::PacketSocket,
        }
    }

    impl AsyncRead for Descriptor {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            loop {
                // Asked only when something came: the loop looks here between any two events.
                let mut ready = ready!(self.fd.poll_read_ready(context))?;
                let room = buffer.remaining();
                match self.read(buffer.initialize_unfilled()) {
                    Ok(read) => {
                        if self.is_emptied_by(read, room) {
                            ready.clear_ready();
                        }
                        buffer.advance(read);
                        self.make_room(read);
                        return Poll::Ready(Ok(()));
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
        }
    }

    impl AsyncWrite for Descriptor {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.make_room(bytes.len());
            loop {
                match self.write(bytes) {
                    Ok(written) => return Poll::Ready(Ok(written)),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => ready!(self.fd.poll_write_ready(context))?.clear_ready(),
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[cfg(test)]
    // Elsewhere a pipe cannot be opened again.
    #[cfg(target_os = "linux")]
    mod tests {
        use futures_util::FutureExt;
        use rustix::fs::OFlags;
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        use rustix::pipe::pipe;
        use tokio::io::AsyncReadExt;

        use super::*;

        fn readable(fd: OwnedFd) -> Descriptor {
            use std::os::fd::AsRawFd;
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            Descriptor::new(fd.as_fd(), &path, OFlags::RDONLY, Interest::READABLE).expect("it can be opened")
        }

        fn stream_sockets() -> (OwnedFd, OwnedFd) {
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a pair")
        }

        /// How many bytes come.
        async fn read(input: &mut Descriptor) -> usize {
            AsyncReadExt::read(input, &mut [0; 64]).await.expect("it can be read")
        }

        #[tokio::test]
        async fn short_read_is_not_tried_again() {
            for (from, to) in [pipe().expect("a pipe"), stream_sockets()] {
                let mut input = readable(from);
                rustix::io::write(&to, b"one").expect("room");
                assert_eq!(read(&mut input).await, 3);
                rustix::io::write(&to, b"other").expect("room");
                // Only a system call would show these bytes before the event loop has heard of them.
                assert!(read(&mut input).now_or_never().is_none());
                assert_eq!(read(&mut input).await, 5);
            }
        }

        #[tokio::test]
        async fn end_of_input_is_seen_behind_short_read() {
            for (from, to) in [pipe().expect("a pipe"), stream_sockets()] {
                let mut input = readable(from);
                rustix::io::write(&to, b"last").expect("room");
                drop(to);
                assert_eq!(read(&mut input).await, 4);
                assert_eq!(read(&mut input).await, 0);
            }
        }

        #[tokio::test]
        async fn pipe_of_packets_is_served_by_a_thread() {
            let (from, _to) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::DIRECT).expect("a pipe");
            let opened = Descriptor::new(from.as_fd(), "/proc/self/fd/0", OFlags::RDONLY, Interest::READABLE);
            assert!(opened.is_none());
        }

        #[tokio::test]
        async fn each_packet_of_a_socket_is_read() {
            let flags = SocketFlags::CLOEXEC;
            let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
            let (from, to) = pair.expect("a pair");
            let mut input = readable(from);
            for packet in [b"one", b"two"] {
                rustix::io::write(&to, packet).expect("room");
            }
            for _ in 0..2 {
                assert_eq!(read(&mut input).await, 3);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn messages_are_written_as_whole_lines_of_any_size() {
        let (mut client, ours) = tokio::io::duplex(100);
        let mut writer = Writer::new(ours);
        let large = Bytes::from(vec![b'x'; COPIED_UP_TO + 1]);
        writer.push(&Bytes::from_static(b"one"));
        writer.push(&large);
        assert_eq!(writer.pending(), 4 + COPIED_UP_TO + 2);
        let read = async {
            let mut all = vec![0; 4 + COPIED_UP_TO + 2];
            client.read_exact(&mut all).await.expect("written");
            all
        };
        let (written, all) = tokio::join!(writer.flush(), read);
        written.expect("read");
        assert_eq!(all, [b"one\n", large.as_ref(), b"\n"].concat());
        assert_eq!(writer.pending(), 0);
    }
}
