//! The reference server of the MCP project, driven by its official client: directly and through the real binary, with
//! the same transcript and the same requests on the server's side. `tests/reference/` does the work, in Node.
//!
//! Without Node, or where the packages cannot be installed, the test says so and counts as ignored; in CI
//! (`CI=true`) it fails instead.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Listing must not install anything.
    let missing = if arguments.list { None } else { prepare().err() };
    if let Some(reason) = &missing {
        eprintln_reason(reason);
    }
    let is_ci = std::env::var_os("CI").is_some();
    let trial = Trial::test("the_same_conversation_with_and_without_the_proxy", {
        let missing = missing.clone();
        move || match missing {
            Some(reason) => Err(reason.into()),
            None => compare(),
        }
    });
    let trial = trial.with_ignored_flag(missing.is_some() && !is_ci);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference")
}

/// Installs the packages of the lock file, unless they are there.
fn prepare() -> Result<(), String> {
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
    let installed = folder().join("node_modules/.package-lock.json");
    let age = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    if age(&installed) >= age(&folder().join("package-lock.json")) && age(&installed).is_some() {
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let install = Command::new(npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder())
        .output()
        .map_err(|error| format!("npm cannot be started ({error})"))?;
    match install.status.success() {
        true => Ok(()),
        false => Err(format!("npm ci failed: {}", String::from_utf8_lossy(&install.stderr).trim())),
    }
}

fn compare() -> Result<(), Failed> {
    let output = Command::new("node")
        .arg("compare.mjs")
        .arg("--command")
        .arg(env!("CARGO_BIN_EXE_mcp-tether"))
        .current_dir(folder())
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    match output.status.success() && told.contains("steps, identical") {
        true => Ok(()),
        false => Err(format!("{told}\n{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

#[expect(clippy::print_stderr, reason = "a test that does not run says why")]
fn eprintln_reason(reason: &str) {
    eprintln!("the comparison with the reference server does not run: {reason}");
}
