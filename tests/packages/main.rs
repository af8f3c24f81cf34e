//! The packages of a release, made by `.github/package/pack.py` from the program under test and installed from this machine: by npm 11 and
//! 12, pnpm, Bun, pip and uv; the launcher, the archives, the bundle for MCP clients, `install.sh`; what linters say of the workflows.
//!
//! The tools take half a gigabyte, so the tests run only on request:
//!
//! ```sh
//! cargo test --test packages -- --include-ignored
//! ```
//!
//! The programs of clean systems without Rust ask the example edge, which starts here.
//!
//! A test whose tool is missing says so and counts as ignored. If none can run, one line says why. `run.mjs` holds the tests and
//! their names.

#[path = "../../examples/edge/edge/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod edge;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use edge::{Config, Edge};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let is_asked_for = (arguments.ignored || arguments.include_ignored) && !arguments.list;
    let is_ci = std::env::var_os("CI").is_some();
    let tools = if is_asked_for { prepare() } else { Err("it was not asked for".to_owned()) };
    let named = match &tools {
        Ok(tools) => names(tools),
        Err(_) => names(Path::new("nowhere")),
    };
    if is_asked_for {
        // From here on, an ignored test is one that cannot run.
        (arguments.ignored, arguments.include_ignored) = (false, false);
    }
    let trials: Vec<Trial> = match (named, tools) {
        (Ok(named), Ok(tools)) => {
            named.into_iter().map(|(name, missing)| trial(name, &missing, &tools)).collect()
        }
        (Ok(named), Err(_)) if !is_asked_for => {
            named.into_iter().map(|(name, _)| Trial::test(name, || Ok(())).with_ignored_flag(true)).collect()
        }
        (Err(reason), _) | (_, Err(reason)) => {
            if is_asked_for {
                tell("packages", &reason);
            }
            let is_ignored = !(is_asked_for && is_ci && cfg!(target_os = "linux"));
            vec![Trial::test("packages", move || Err(reason.into())).with_ignored_flag(is_ignored)]
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: String, missing: &str, tools: &Path) -> Trial {
    if !missing.is_empty() {
        tell(&name, missing);
    }
    let tools = tools.to_owned();
    let test = name.clone();
    Trial::test(name, move || run(&tools, &test)).with_ignored_flag(!missing.is_empty())
}

#[expect(clippy::print_stderr, reason = "a test that does not run says why")]
fn tell(name: &str, reason: &str) {
    eprintln!("{name} does not run: {reason}");
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages")
}

/// The tests of `run.mjs`, each with what it needs and is not there.
fn names(tools: &Path) -> Result<Vec<(String, String)>, String> {
    let mut node = Command::new("node");
    node.arg(source().join("run.mjs")).arg("--list").arg("--tools").arg(tools);
    let lines = finish(&mut node)?;
    Ok(lines
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, missing)| (name.into(), missing.into()))
        .collect())
}

/// Installs the tools, away from the sources, and packs the program; gives the folder of both.
fn prepare() -> Result<PathBuf, String> {
    if cfg!(not(target_os = "linux")) {
        return Err(
            "it looks into /proc: the release workflow tries the packages on other systems".to_owned()
        );
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    prepare_node(&folder)?;
    prepare_python(&folder)?;
    // Without its symbols, which would be most of each package.
    let program = folder.join("program");
    std::fs::copy(env!("CARGO_BIN_EXE_mcp-tether"), &program).map_err(|error| error.to_string())?;
    if let Err(reason) = finish(Command::new("strip").arg(&program)) {
        tell("strip", &reason);
    }
    let mut node = Command::new("node");
    node.arg(source().join("run.mjs"))
        .arg("--pack")
        .arg("--program")
        .arg(&program)
        .arg("--tools")
        .arg(&folder);
    finish(&mut node)?;
    Ok(folder)
}

/// Returns whether `files` are the same in both folders.
fn is_current(files: &[&str], folder: &Path) -> bool {
    files.iter().all(|file| std::fs::read(source().join(file)).ok() == std::fs::read(folder.join(file)).ok())
}

fn copy(files: &[&str], folder: &Path) -> Result<(), String> {
    for file in files {
        std::fs::copy(source().join(file), folder.join(file)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Installs the packages of the lock file.
fn prepare_node(folder: &Path) -> Result<(), String> {
    const FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
    if is_current(&FILES, folder) && folder.join("node_modules/.package-lock.json").exists() {
        return Ok(());
    }
    copy(&FILES, folder)?;
    let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    finish(Command::new("npm").args(npm).current_dir(folder)).map(drop)
}

/// Installs the packages of `requirements.txt` into an environment of their own.
fn prepare_python(folder: &Path) -> Result<(), String> {
    const FILES: [&str; 1] = ["requirements.txt"];
    if is_current(&FILES, folder) {
        return Ok(());
    }
    let environment = folder.join("python");
    let is_recent = "import sys; sys.exit(sys.version_info < (3, 11))";
    finish(Command::new("python3").args(["-c", is_recent]))
        .map_err(|_| "install Python 3.11 or later".to_owned())?;
    finish(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    finish(Command::new(environment.join("bin/python")).args(pip).arg(source().join("requirements.txt")))?;
    copy(&FILES, folder)
}

/// Runs a step of the preparation; gives what it prints, or says which failed and how.
fn finish(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?} cannot be started ({error})"))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(told),
        false => Err(format!("{command:?} failed: {told}{}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn run(tools: &Path, name: &str) -> Result<(), Failed> {
    let edge = match name.starts_with("clean_root") {
        true => Some(Edge::start(Config::default())?),
        false => None,
    };
    let mut node = Command::new("node");
    node.arg(source().join("run.mjs")).arg("--tools").arg(tools).arg(name);
    if let Some(edge) = &edge {
        let token = edge.token();
        node.env("EDGE_URL", edge.mcp_url())
            .env("CF_ACCESS_CLIENT_ID", &token.id)
            .env("CF_ACCESS_CLIENT_SECRET", &token.secret);
    }
    let told = finish(&mut node)?;
    if !told.contains(&format!("{name}: ok")) {
        return Err(told.into());
    }
    edge.map_or(Ok(()), |edge| check_requests(&edge))
}

/// Checks that every request that reached the edge had the service token.
fn check_requests(edge: &Edge) -> Result<(), Failed> {
    let requests = edge.requests();
    let has_token = |request: &edge::Seen| {
        let secret = request.headers.iter().find(|(name, _)| name == "cf-access-client-secret");
        secret.is_some_and(|(_, value)| *value == edge.token().secret)
    };
    match requests.iter().find(|request| !has_token(request)) {
        Some(request) => Err(format!("a request without the service token: {request}").into()),
        None if requests.is_empty() => Err("nothing reached the edge".into()),
        None => Ok(()),
    }
}
