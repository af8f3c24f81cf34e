//! What the MCP project itself offers to test with, in Node and Python: the reference server driven by the official client,
//! directly and through the real binary, with the same transcript and the same requests on the server's side
//! (`tests/reference/`); the same with the clients and the server of the SDKs for 2026-07-28 (`tests/sdks/`);
//! clients of both generations against servers of either era and of both (`tests/eras/`);
//! the conformance suite's scenarios for clients (`tests/conformance/`); and an authorization server of other authors,
//! which binds tokens to a key, and trusts workloads and a company (`tests/oidc/`).
//!
//! They install packages, so they are ignored unless `--include-ignored` or `--ignored` asks for them. Then a test that cannot
//! run, without Node or Python or with packages that cannot be installed, is left out and says why; in CI (`CI=true`) it
//! fails instead.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// A script that runs everything itself and judges it.
struct Comparison {
    /// The test's name.
    name: &'static str,
    /// The folder below `tests/`.
    folder: &'static str,
    /// The script in it, for Node.
    script: &'static str,
    /// Whether the script wants a Python with the packages of the folder.
    wants_python: bool,
    /// What it prints at the end when all is well.
    expected: &'static str,
}

const COMPARISONS: [Comparison; 10] = [
    Comparison {
        name: "the_same_conversation_with_and_without_the_proxy",
        folder: "reference",
        script: "compare.mjs",
        wants_python: false,
        expected: "steps, identical",
    },
    Comparison {
        name: "the_typescript_sdk_sees_and_sends_the_same_with_and_without_the_proxy",
        folder: "sdks",
        script: "compare.mjs",
        wants_python: false,
        expected: "3 modes identical, 0 different",
    },
    Comparison {
        name: "the_python_sdk_sees_and_sends_the_same_with_and_without_the_proxy",
        folder: "sdks",
        script: "compare.mjs",
        wants_python: true,
        expected: "3 modes identical, 0 different",
    },
    Comparison {
        name: "clients_of_either_era_see_the_same_of_servers_of_either_era",
        folder: "eras",
        script: "run.mjs",
        wants_python: false,
        expected: "12 cells well, 0 not",
    },
    Comparison {
        name: "a_restart_of_the_reference_server_is_not_noticed",
        folder: "reference",
        script: "restart.mjs",
        wants_python: false,
        expected: "31 calls over 3 restarts, all answered",
    },
    Comparison {
        name: "restart_of_mcp_proxy_is_not_noticed",
        folder: "reference",
        script: "mcp-proxy.mjs",
        wants_python: false,
        expected: "9 calls over 2 restarts of mcp-proxy, all answered",
    },
    Comparison {
        name: "the_same_conversation_over_http_sse_with_and_without_the_proxy",
        folder: "reference",
        script: "sse.mjs",
        wants_python: false,
        expected: "over HTTP+SSE, identical; 11 calls over a restart",
    },
    Comparison {
        name: "the_conformance_suite_passes_for_clients_of_both_eras",
        folder: "conformance",
        script: "run.mjs",
        wants_python: false,
        expected: "64 scenarios passed, 0 failed",
    },
    Comparison {
        name: "bound_tokens_are_accepted_where_oidc_provider_gives_them",
        folder: "oidc",
        script: "run.mjs",
        wants_python: false,
        expected: "3 grants at oidc-provider, every proof accepted",
    },
    Comparison {
        name: "oidc_provider_trusts_workloads_and_a_company",
        folder: "oidc",
        script: "federation.mjs",
        wants_python: false,
        expected: "4 conversations without a secret, 1 refusal",
    },
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let is_ci = std::env::var_os("CI").is_some();
    let is_asked_for = arguments.include_ignored || arguments.ignored;
    let trials = COMPARISONS.into_iter().filter_map(|comparison| {
        let name = comparison.name;
        if !is_asked_for || arguments.list {
            return Some(Trial::test(name, || Ok(())).with_ignored_flag(true));
        }
        let prepared = prepare(&comparison);
        if let (Err(reason), false) = (&prepared, is_ci) {
            tell(name, reason);
            return None;
        }
        Some(Trial::test(name, move || run(&comparison, &prepared?)).with_ignored_flag(true))
    });
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn root(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder)
}

/// Installs what a comparison needs, unless it is there; gives the arguments that tell the script where.
fn prepare(comparison: &Comparison) -> Result<Vec<OsString>, String> {
    let folder = root(comparison.folder);
    prepare_node(&folder)?;
    match comparison.wants_python {
        false => Ok(Vec::new()),
        true => Ok(vec!["--python".into(), prepare_python(&folder)?.into()]),
    }
}

/// Installs the packages of the lock file.
fn prepare_node(folder: &Path) -> Result<(), String> {
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
    finish(Command::new(npm).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder))
}

/// Installs the packages of `requirements.txt` into an environment of their own; gives its interpreter.
fn prepare_python(folder: &Path) -> Result<PathBuf, String> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let interpreter = environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let requirements = std::fs::read(folder.join("requirements.txt")).map_err(|error| error.to_string())?;
    let installed = environment.join("installed.txt");
    if std::fs::read(&installed).is_ok_and(|installed| installed == requirements) {
        return Ok(interpreter);
    }
    let is_recent = "import sys; sys.exit(sys.version_info < (3, 10))";
    let python = ["python3", "python"]
        .into_iter()
        .find(|python| finish(Command::new(python).args(["-c", is_recent])).is_ok())
        .ok_or("there is no Python: install Python 3.10 or later")?;
    finish(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
    finish(Command::new(&interpreter).args(pip).current_dir(folder))?;
    std::fs::write(installed, requirements).map_err(|error| error.to_string())?;
    Ok(interpreter)
}

/// Runs a step of the preparation; the error says which failed and how.
fn finish(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?} cannot be started ({error})"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn run(comparison: &Comparison, arguments: &[OsString]) -> Result<(), Failed> {
    let output = Command::new("node")
        .arg(comparison.script)
        .arg("--command")
        .arg(env!("CARGO_BIN_EXE_mcp-tether"))
        .args(arguments)
        .current_dir(root(comparison.folder))
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    match output.status.success() && told.contains(comparison.expected) {
        true => Ok(()),
        false => Err(format!("{told}\n{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

#[expect(clippy::print_stderr, reason = "a test that does not run says why")]
fn tell(name: &str, reason: &str) {
    eprintln!("{name} does not run: {reason}");
}
