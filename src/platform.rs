//! Code that depends on the operating system, except stdin and stdout (`stdio`).
//!
//! Deliberately not here: code that is the same on every system.

mod paged_memory;

use std::io;
use std::process::Child;
use std::time::Duration;

pub use paged_memory::PagedMemory;

/// Returns whether a file can be read by others than its owner, where the system has such a notion.
pub fn others_can_read(path: &std::path::Path) -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::Mode;
        let others = Mode::RGRP | Mode::ROTH;
        rustix::fs::stat(path).is_ok_and(|file| Mode::from_raw_mode(file.st_mode).intersects(others))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Has a file that does not exist yet created for its owner alone, where the system has such a notion; elsewhere the
/// folder decides.
pub fn for_owner_alone(options: &mut std::fs::OpenOptions) -> &mut std::fs::OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Gives a file the owner and group of another one, where the system has such a notion.
///
/// # Errors
/// When they differ and this user may not change them.
pub fn give_owner_of(file: &std::fs::File, other: &std::fs::Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let own = file.metadata()?;
        let changed = |own: u32, other: u32| (own != other).then_some(other);
        let (owner, group) = (changed(own.uid(), other.uid()), changed(own.gid(), other.gid()));
        if owner.is_some() || group.is_some() {
            fchown(file, owner, group)?;
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (file, other);
    }
    Ok(())
}

/// Marks a file as a program that everyone may start, where the system has such a notion.
///
/// # Errors
/// When the system refuses.
pub fn make_executable(file: &std::fs::File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    }
    #[cfg(not(unix))]
    {
        let _ = file;
    }
    Ok(())
}

/// Has a file opened without waiting for whoever has its other end, where it is a FIFO or a device and the system has such a
/// notion.
pub fn without_waiting(options: &mut std::fs::OpenOptions) -> &mut std::fs::OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed());
    }
    options
}

/// Creates a folder, and those above it, for their owner alone. It may be there already.
///
/// # Errors
/// When the system refuses.
pub fn create_private_folder(path: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Which desktop shows the windows of programs that this process starts. Windows and macOS always have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Desktop {
    /// None, or none that is known.
    #[default]
    None,
    /// That of X11 or Wayland.
    Unix,
    /// That of Windows, from within the Windows Subsystem for Linux.
    Wsl,
}

/// Finds out which desktop there is. `has_display` says whether the environment names one of X11 or Wayland,
/// `names_wsl` whether it names a distribution of WSL; a client may have left that variable out.
pub fn desktop(has_display: bool, names_wsl: bool) -> Desktop {
    let runs_windows_programs = |name| std::path::Path::new("/proc/sys/fs/binfmt_misc").join(name).exists();
    let is_wsl = || names_wsl || ["WSLInterop", "WSLInterop-late"].into_iter().any(runs_windows_programs);
    match has_display {
        _ if cfg!(target_os = "linux") && is_wsl() => Desktop::Wsl,
        true => Desktop::Unix,
        false => Desktop::None,
    }
}

/// What opens an address in the user's browser, each as a program and its first arguments.
pub fn browsers(desktop: Desktop) -> &'static [&'static [&'static str]] {
    match desktop {
        _ if cfg!(windows) => &[&["rundll32.exe", "url.dll,FileProtocolHandler"]],
        _ if cfg!(target_os = "macos") => &[&["/usr/bin/open"]],
        // The last is for those who keep the programs of Windows out of PATH.
        Desktop::Wsl => &[
            &["wslview"],
            &["rundll32.exe", "url.dll,FileProtocolHandler"],
            &["/mnt/c/Windows/System32/rundll32.exe", "url.dll,FileProtocolHandler"],
        ],
        Desktop::Unix => &[&["xdg-open"], &["gio", "open"], &["x-www-browser"], &["sensible-browser"]],
        Desktop::None => &[],
    }
}

/// How long one item of the keychain can be, in bytes.
#[cfg(feature = "keychain")]
pub const KEYCHAIN_ITEM: usize = if cfg!(windows) { 2400 } else { 1024 * 1024 };

/// What the system says of the end of a FIFO or a socket that nobody is at (`ENXIO`); no code of an error elsewhere.
pub const NO_SUCH_DEVICE: i32 = if cfg!(windows) { -1 } else { 6 };

/// What stands between programs in the variable `BROWSER`.
pub const BETWEEN_BROWSERS: char = if cfg!(windows) { ';' } else { ':' };

/// What something is that is no regular file, with its article.
pub fn kind_of(file: &std::fs::Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = file.file_type();
        if kind.is_fifo() {
            return "a pipe (FIFO)";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if file.is_dir() { "a directory" } else { "no regular file" }
}

/// Returns whether this is a pipe, which can be read with [`readable_within`].
pub fn is_pipe(file: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileTypeExt::is_fifo(&file.file_type())
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        false
    }
}

/// Waits until a descriptor can be read, or has come to its end. Returns whether it can.
#[cfg(unix)]
pub fn readable_within(descriptor: impl std::os::fd::AsFd, patience: Duration) -> bool {
    use rustix::event::PollFlags;
    is_ready_within(descriptor, PollFlags::IN, Some(patience))
}

/// See there; elsewhere there is nothing that would have to be waited for.
#[cfg(not(unix))]
pub fn readable_within<T>(_: T, _: Duration) -> bool {
    true
}

/// Polls one descriptor; without a limit for as long as it takes. An interruption counts as nothing that came.
#[cfg(unix)]
fn is_ready_within(
    descriptor: impl std::os::fd::AsFd,
    flags: rustix::event::PollFlags,
    patience: Option<Duration>,
) -> bool {
    use rustix::event::{PollFd, Timespec, poll};
    let limit = patience.map(|patience| Timespec {
        tv_sec: patience.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    });
    poll(&mut [PollFd::new(&descriptor, flags)], limit.as_ref()).is_ok_and(|ready| ready > 0)
}

/// A descriptor that another process may have made non-blocking, because it shares the open file: where a read or a write
/// would have to wait, this waits.
#[derive(Debug)]
pub struct Waiting<T>(pub T);

#[cfg(unix)]
impl<T: std::os::fd::AsFd> Waiting<T> {
    fn until_done<R>(
        &mut self,
        flags: rustix::event::PollFlags,
        mut act: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut has_waited = false;
        loop {
            match act(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // macOS polls no terminals: it says at once that it cannot.
                    if has_waited {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    has_waited = true;
                    is_ready_within(&self.0, flags, None);
                }
                other => return other,
            }
        }
    }
}

#[cfg(unix)]
impl<T: io::Read + std::os::fd::AsFd> io::Read for Waiting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.until_done(rustix::event::PollFlags::IN, |inner| inner.read(buffer))
    }
}

#[cfg(unix)]
impl<T: io::Write + std::os::fd::AsFd> io::Write for Waiting<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until_done(rustix::event::PollFlags::OUT, |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.until_done(rustix::event::PollFlags::OUT, io::Write::flush)
    }
}

#[cfg(not(unix))]
impl<T: io::Read> io::Read for Waiting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

#[cfg(not(unix))]
impl<T: io::Write> io::Write for Waiting<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Blocks SIGXFSZ in this thread and those that it starts, so that a write beyond a limit of file size is an error
/// (EFBIG) and not the end of the process. To be called before the first write. Programs that are started inherit the
/// mask; they get the error as well.
pub fn survive_file_limits() {
    #[cfg(unix)]
    {
        let mut signals = nix::sys::signal::SigSet::empty();
        signals.add(nix::sys::signal::Signal::SIGXFSZ);
        // It fails for invalid arguments only.
        let _ = signals.thread_block();
    }
}

/// Returns whether this process may open so many more descriptors: what opens them may panic where there are none.
pub fn has_descriptors(count: usize) -> bool {
    #[cfg(unix)]
    {
        let opened: Result<Vec<_>, _> =
            (0..count).map(|_| rustix::io::dup(rustix::stdio::stderr())).collect();
        !opened.is_err_and(|error| [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].contains(&error))
    }
    #[cfg(not(unix))]
    {
        let _ = count;
        true
    }
}

/// Returns whether stdin is a pipe or a socket, as a client gives.
pub fn is_input_stream() -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::{FileType, fstat};
        let kind = fstat(rustix::stdio::stdin()).map(|found| FileType::from_raw_mode(found.st_mode));
        kind.is_ok_and(|kind| [FileType::Fifo, FileType::Socket].contains(&kind))
    }
    #[cfg(not(unix))]
    {
        false
    }
}

/// The process that started this one, or the one that took its place; none where the system does not say.
pub fn parent() -> Option<u32> {
    #[cfg(unix)]
    {
        rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs())
    }
    #[cfg(not(unix))]
    {
        None
    }
}

/// What comes of reading for a while what a program prints.
#[derive(Debug, PartialEq, Eq)]
pub enum Printed {
    /// Something, at most 4 KiB.
    Chunk(Vec<u8>),
    /// Nothing in this time.
    Nothing,
    /// Its end.
    End,
}

/// What a program prints, read for as long as somebody has time. It is not read any more once this is dropped. On
/// Windows a thread reads, which ends when the pipe does: something that the program started may hold that open.
#[derive(Debug)]
pub struct CommandOutput {
    #[cfg(unix)]
    pipe: std::process::ChildStdout,
    #[cfg(not(unix))]
    chunks: std::sync::mpsc::Receiver<Vec<u8>>,
}

impl CommandOutput {
    /// Begins to read.
    #[cfg(unix)]
    pub fn new(pipe: std::process::ChildStdout) -> CommandOutput {
        CommandOutput { pipe }
    }

    /// Begins to read.
    #[cfg(not(unix))]
    pub fn new(mut pipe: std::process::ChildStdout) -> CommandOutput {
        let (sender, chunks) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = io::Read::read(&mut pipe, &mut chunk)
                && sender.send(chunk[..length].to_vec()).is_ok()
            {}
        });
        CommandOutput { chunks }
    }

    /// What comes within this time.
    #[cfg(unix)]
    pub fn next(&mut self, patience: Duration) -> Printed {
        if !readable_within(&self.pipe, patience) {
            return Printed::Nothing;
        }
        let mut chunk = vec![0; 4096];
        match io::Read::read(&mut self.pipe, &mut chunk) {
            Ok(length @ 1..) => {
                chunk.truncate(length);
                Printed::Chunk(chunk)
            }
            Err(error) if [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock].contains(&error.kind()) => {
                Printed::Nothing
            }
            Ok(_) | Err(_) => Printed::End,
        }
    }

    /// What comes within this time.
    #[cfg(not(unix))]
    pub fn next(&mut self, patience: Duration) -> Printed {
        use std::sync::mpsc::RecvTimeoutError;
        match self.chunks.recv_timeout(patience) {
            Ok(chunk) => Printed::Chunk(chunk),
            Err(RecvTimeoutError::Timeout) => Printed::Nothing,
            Err(RecvTimeoutError::Disconnected) => Printed::End,
        }
    }
}

/// Returns whether a program has ended. On Unix it is not reaped, so that its process group keeps its name.
///
/// # Errors
/// When the system does not say.
pub fn has_ended(child: &mut Child) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(Pid::from_child(child)), options)?.is_some())
    }
    #[cfg(not(unix))]
    {
        Ok(child.try_wait()?.is_some())
    }
}

/// Asks everything in the process group of a program that was started [`apart`] and is not reaped to end. Elsewhere than
/// on Unix nothing can be asked.
pub fn ask_to_end(child: &Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
        let pid = Pid::from_child(child);
        // The program may have moved into another group.
        let has_moved = getpgid(Some(pid)) != Ok(pid);
        // One that is stopped hears nothing before it goes on.
        for signal in [Signal::TERM, Signal::CONT] {
            // Whatever is no longer there, or became another user's, cannot be told.
            let _ = kill_process_group(pid, signal);
            let _ = has_moved.then(|| kill_process(pid, signal));
        }
    }
    #[cfg(not(unix))]
    let _ = child;
}

/// Kills everything in that process group, and the program itself, which may have moved into another one. Elsewhere than on
/// Unix the program alone; what it started stays. A program of another user (`sudo`) can outlive this.
pub fn end_group(child: &mut Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    }
    // It may have ended by itself.
    let _ = child.kill();
}

/// The controlling terminal while it is lent to a program. Dropping this takes it back.
#[derive(Debug)]
pub struct LentTerminal {
    #[cfg(unix)]
    terminal: std::fs::File,
    #[cfg(unix)]
    ours: rustix::process::Pid,
    #[cfg(unix)]
    theirs: rustix::process::Pid,
}

/// Makes the process group of a program that was started [`apart`] the foreground group of the controlling terminal, so
/// that it can ask the user something there. Only where that takes the terminal from nobody but us: where our own group is
/// in the foreground, and was made for us. A client that started us within its own group keeps its terminal.
pub fn lend_terminal(child: &Child) -> Option<LentTerminal> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process_group};
        use rustix::termios::{tcgetpgrp, tcsetpgrp};
        let (ours, theirs) = (getpgrp(), Pid::from_child(child));
        if ours != getpid() {
            return None;
        }
        let terminal =
            without_waiting(std::fs::OpenOptions::new().read(true).write(true)).open("/dev/tty").ok()?;
        if tcgetpgrp(&terminal).ok()? != ours {
            return None;
        }
        tcsetpgrp(&terminal, theirs).ok()?;
        // It may have been stopped because it asked before it could.
        let _ = kill_process_group(theirs, Signal::CONT);
        Some(LentTerminal { terminal, ours, theirs })
    }
    #[cfg(not(unix))]
    {
        let _ = child;
        None
    }
}

#[cfg(unix)]
impl Drop for LentTerminal {
    fn drop(&mut self) {
        use nix::sys::signal::{SigSet, SigmaskHow, Signal};
        use rustix::termios::{tcgetpgrp, tcsetpgrp};
        // A shell that took it back meanwhile keeps it.
        if tcgetpgrp(&self.terminal).ok() != Some(self.theirs) {
            return;
        }
        // From the background this is allowed to a thread that blocks SIGTTOU, and stops every other one.
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTTOU);
        let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let _ = tcsetpgrp(&self.terminal, self.ours);
        if let Ok(before) = before {
            let _ = before.thread_set_mask();
        }
        // Whatever shares our group and used the terminal meanwhile was stopped.
        let _ = rustix::process::kill_process_group(self.ours, rustix::process::Signal::CONT);
    }
}

/// Has a program run in a process group of its own, so that a signal from the terminal that stops us does not reach it.
pub fn apart(command: &mut std::process::Command) -> &mut std::process::Command {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    command
}

/// The file that holds all authorities of the operating system, or the one that the environment names; none where it names folders
/// alone, or authorities are not kept in files.
pub fn authorities_bundle() -> Option<std::path::PathBuf> {
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        let is_folder_named = std::env::var_os("SSL_CERT_DIR").is_some();
        let system = || openssl_probe::probe().cert_file.filter(|_| !is_folder_named);
        std::env::var_os("SSL_CERT_FILE").map(Into::into).or_else(system)
    }
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    None
}
