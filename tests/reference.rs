//! What the MCP project itself offers to test with, in Node: the reference server driven by the official client, directly and
//! through the real binary, with the same transcript and the same requests on the server's side (`tests/reference/`);
//! and the conformance suite's scenarios for clients (`tests/conformance/`).
//!
//! Without Node, or where the packages cannot be installed, a test says so and counts as ignored; in CI (`CI=true`) it
//! fails instead.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// What is run: a name, the folder below `tests/`, the script, and what it prints at the end when all is well.
const COMPARISONS: [(&str, &str, &str, &str); 3] = [
    ("the_same_conversation_with_and_without_the_proxy", "reference", "compare.mjs", "steps, identical"),
    (
        "a_restart_of_the_reference_server_is_not_noticed",
        "reference",
        "restart.mjs",
        "31 calls over 3 restarts, all answered",
    ),
    (
        "the_conformance_suite_passes_for_clients_of_both_eras",
        "conformance",
        "run.mjs",
        "13 scenarios passed, 0 failed",
    ),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let is_ci = std::env::var_os("CI").is_some();
    let trials = COMPARISONS.map(|(name, folder, script, expected)| {
        // Listing must not install anything.
        let missing = if arguments.list { None } else { prepare(&root(folder)).err() };
        if let Some(reason) = &missing {
            tell(name, reason);
        }
        let is_ignored = missing.is_some() && !is_ci;
        let trial = Trial::test(name, move || match missing {
            Some(reason) => Err(reason.into()),
            None => run(&root(folder), script, expected),
        });
        trial.with_ignored_flag(is_ignored)
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn root(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder)
}

/// Installs the packages of the lock file, unless they are there.
fn prepare(folder: &Path) -> Result<(), String> {
    let node = Command::new("node").arg("--version").output();
    let version =
        node.map_err(|error| format!("node cannot be started ({error}): install Node 20 or later"))?;
    let major = String::from_utf8_lossy(&version.stdout);
    let major: u32 = major
        .trim()
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|part| part.parse().ok())
        .unwrap_or(0);
    if major < 20 {
        return Err(format!("node is of version {major}: install Node 20 or later"));
    }
    let installed = folder.join("node_modules/.package-lock.json");
    let age = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    if age(&installed) >= age(&folder.join("package-lock.json")) && age(&installed).is_some() {
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let install = Command::new(npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder)
        .output()
        .map_err(|error| format!("npm cannot be started ({error})"))?;
    match install.status.success() {
        true => Ok(()),
        false => Err(format!("npm ci failed: {}", String::from_utf8_lossy(&install.stderr).trim())),
    }
}

fn run(folder: &Path, script: &str, expected: &str) -> Result<(), Failed> {
    let output = Command::new("node")
        .arg(script)
        .arg("--command")
        .arg(env!("CARGO_BIN_EXE_mcp-tether"))
        .current_dir(folder)
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    match output.status.success() && told.contains(expected) {
        true => Ok(()),
        false => Err(format!("{told}\n{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

#[expect(clippy::print_stderr, reason = "a test that does not run says why")]
fn tell(name: &str, reason: &str) {
    eprintln!("{name} does not run: {reason}");
}
