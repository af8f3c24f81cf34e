//! What a defect prints: the place, never the data that a panic message may quote.

use std::ffi::OsString;
use std::process::Command;

/// Set in the child that is to panic.
const CHILD: &str = "PANIC_TEST_CHILD";

#[test]
fn a_panic_tells_its_place_and_nothing_else() {
    if std::env::var_os(CHILD).is_some() {
        // `start` installs the hook before anything else; the version needs no client.
        mcp_tether::start::start(["mcp-tether", "--version"].map(OsString::from));
        panic!("quoting the marked-secret");
    }
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_panic_tells_its_place_and_nothing_else", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it starts");
    assert!(!child.status.success());
    let told =
        format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(told.contains("a defect at tests"), "{told}");
    assert!(!told.contains("marked-secret"), "{told}");
}
