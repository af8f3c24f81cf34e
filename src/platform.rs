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
