//! What a defect prints: the place, never the data that a panic message may quote.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Stdio};

/// Set in the child that is to panic.
const CHILD: &str = "PANIC_TEST_CHILD";

#[test]
fn panic_reports_only_its_location() {
    if std::env::var_os(CHILD).is_some() {
        // `start` installs the hook before anything else; the version needs no client.
        mcp_tether::start::start(["mcp-tether", "--version"].map(OsString::from));
        panic!("quoting the marked-secret");
    }
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "panic_reports_only_its_location", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it starts");
    assert!(!child.status.success());
    let told =
        format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(told.contains("a defect at tests"), "{told}");
    assert!(!told.contains("marked-secret"), "{told}");
}

#[test]
fn panics_on_the_loop_do_not_wait_for_stderr() {
    // More than a pipe holds.
    const PANICS: usize = 3_000;
    if let Some(option) = std::env::var_os(CHILD) {
        // Neither option can be a URL, so that nothing is started; the first decides what may be told.
        mcp_tether::start::start([OsString::from("mcp-tether"), option, "none".into()]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for _ in 0..PANICS {
                let mut task = tokio::task::JoinSet::new();
                task.spawn(async { panic!("quoting the marked-secret") });
                assert!(task.join_next().await.is_some_and(|ended| ended.is_err()));
            }
        });
        // Not through the harness, which would flush what nobody reads.
        std::fs::write(std::env::var_os("DONE").expect("a path"), "done").expect("written");
        std::process::exit(0);
    }
    for (option, is_told) in [("--silent", false), ("--debug", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let done = folder.path().join("done");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "panics_on_the_loop_do_not_wait_for_stderr", "--nocapture"])
            .env(CHILD, option)
            .env("DONE", &done)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let status = child.wait().expect("it was started");
        assert!(status.success() && done.exists(), "{option}: {status:?}");
        let mut told = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut told).expect("UTF-8");
        assert_eq!(told.contains("a defect at tests"), is_told, "{option}: {told}");
        assert!(!told.contains("marked-secret"), "{told}");
    }
}
