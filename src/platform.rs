//! What systems differ in, beside stdin and stdout (`stdio`).
//!
//! Deliberately not here: anything that is the same everywhere.

/// Tells whether a file can be read by others than its owner, where the system has such a notion.
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

/// What opens an address in the person's browser, each as a program and its first arguments; `is_seen` tells whether
/// somebody sees it, where that is not certain.
pub fn browsers(is_seen: bool) -> &'static [&'static [&'static str]] {
    if cfg!(windows) {
        &[&["rundll32.exe", "url.dll,FileProtocolHandler"]]
    } else if cfg!(target_os = "macos") {
        &[&["/usr/bin/open"]]
    } else if is_seen {
        &[&["xdg-open"], &["gio", "open"], &["x-www-browser"], &["sensible-browser"]]
    } else {
        &[]
    }
}

/// What the system says of the end of a FIFO or a socket that nobody is at (`ENXIO`); no code of an error elsewhere.
pub const NO_SUCH_DEVICE: i32 = if cfg!(windows) { -1 } else { 6 };

/// What stands between programs in the variable `BROWSER`.
pub const BETWEEN_BROWSERS: char = if cfg!(windows) { ';' } else { ':' };

/// Has a program go on when a signal from the terminal stops us.
pub fn apart(command: &mut std::process::Command) -> &mut std::process::Command {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    command
}
