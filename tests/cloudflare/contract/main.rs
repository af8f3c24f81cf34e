//! The contract with Cloudflare's API: every call of `access` and every answer of the stand-in pass the official schema, and
//! the official SDK understands the stand-in.
//!
//! The schema is not a part of this repository: `MCP_TETHER_CLOUDFLARE_SCHEMA` names the file, an OpenAPI document of the
//! calls that are used. Without it, without Node, or where the packages cannot be installed, a test says so and counts as
//! ignored. Two calls are not in the schema: the probe for the permission, and applications for Workers, which have no domain.

#[path = "../../../examples/edge/cloudflare/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod cloudflare;
#[path = "../../../examples/edge/edge/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod edge;
#[path = "../scene.rs"]
#[expect(dead_code, reason = "a part of it is used here")]
mod scene;
#[path = "../../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use scene::Scene;
use serde_json::json;

/// The variable that names the schema.
const SCHEMA: &str = "MCP_TETHER_CLOUDFLARE_SCHEMA";
/// How long Prism takes to read the schema on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let packages = if arguments.list { Err("tests are listed only".to_owned()) } else { install() };
    let schema = packages.clone().and_then(|()| schema());
    let trials = vec![
        trial("official_sdk_understands_stand_in", packages.map(|()| PathBuf::new()), |_| sdk()),
        trial("calls_and_answers_pass_official_schema", schema, through_prism),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    name: &'static str,
    prepared: Result<PathBuf, String>,
    run: fn(&Path) -> Result<(), Failed>,
) -> Trial {
    if let Err(reason) = &prepared {
        tell(name, reason);
    }
    let is_ignored = prepared.is_err();
    Trial::test(name, move || run(&prepared?)).with_ignored_flag(is_ignored)
}

#[expect(clippy::print_stderr, reason = "a test that does not run says why")]
fn tell(name: &str, reason: &str) {
    eprintln!("{name} does not run: {reason}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cloudflare/contract")
}

fn schema() -> Result<PathBuf, String> {
    let path = std::env::var_os(SCHEMA).map(PathBuf::from);
    let path = path.ok_or_else(|| format!("{SCHEMA} does not name the official schema"))?;
    match path.is_file() {
        true => Ok(path),
        false => Err(format!("there is no file {}", path.display())),
    }
}

/// Installs the packages of the lock file, unless they are there.
fn install() -> Result<(), String> {
    let node = Command::new("node").arg("--version").output();
    let version =
        node.map_err(|error| format!("node cannot be started ({error}): install Node 20 or later"))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().trim_start_matches('v').to_owned();
    let major: u32 = version.split('.').next().and_then(|part| part.parse().ok()).unwrap_or(0);
    if major < 20 {
        return Err(format!("node is of version {version}: install Node 20 or later"));
    }
    if folder().join("node_modules/.package-lock.json").is_file() {
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut command = Command::new(npm);
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder());
    let output = command.output().map_err(|error| format!("npm cannot be started ({error})"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("npm ci failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn sdk() -> Result<(), Failed> {
    let scene = Scene::new();
    let account = scene.api.state().account.clone();
    let output = Command::new("node")
        .arg("sdk.mjs")
        .args([scene.api.url(), &scene.api.token(), &account, "127.0.0.1"])
        .current_dir(folder())
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() && told.contains("understands every answer") {
        true => Ok(()),
        false => Err(format!("{told}\n{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Prism between the binary and the stand-in.
struct Prism {
    child: Child,
    url: String,
}

impl Prism {
    fn start(schema: &Path, api: &str) -> Result<Prism, Failed> {
        // No other process takes a port that was just given back.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut child = Command::new("node")
            .arg("node_modules/@stainless-api/prism-cli/dist/index.js")
            .args(["proxy", "--errors", "--host", "127.0.0.1", "--port", &port.to_string()])
            .arg(schema)
            .arg(api)
            .current_dir(folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("it is piped")?;
        let (ready, is_ready) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.contains("listening") {
                    let _ = ready.send(());
                }
            }
        });
        let prism = Prism { child, url: format!("http://127.0.0.1:{port}") };
        is_ready.recv_timeout(PATIENCE).map_err(|_| "Prism does not listen")?;
        Ok(prism)
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every command through Prism, which refuses a call (422) and an answer (500) that are not as the schema says.
fn through_prism(schema: &Path) -> Result<(), Failed> {
    let scene = Scene::new();
    let prism = Prism::start(schema, scene.api.url())?;
    let run = |arguments: &[&str]| -> Result<(), Failed> {
        let ran = scene.ran(scene.command(arguments).env("MCP_TETHER_CLOUDFLARE_API", &prism.url));
        match ran.code {
            Some(0) => Ok(()),
            _ => Err(format!("{arguments:?}: {ran:?}").into()),
        }
    };
    run(&["setup", "URL", "--yes"])?;
    run(&["setup", "URL", "--yes"])?;
    run(&["status", "URL"])?;
    run(&["rotate", "URL", "--yes"])?;
    run(&["rotate", "URL", "--finish", "--yes"])?;
    run(&["rotate", "URL", "--grace", "0", "--yes"])?;
    run(&["renew", "URL", "--yes"])?;
    run(&["revoke", "URL", "--yes"])?;
    run(&["setup", "URL", "--yes"])?;
    run(&["revoke", "URL", "--delete", "--yes"])?;
    // Users as well.
    scene.api.change(|state| state.applications.clear());
    run(&["setup", "URL", "--yes", "--managed-oauth", "--allow-email", "ada@example.com"])?;
    run(&["revoke", "URL", "--delete", "--yes"])?;
    // An application that is there.
    run(&["setup", "URL", "--yes", "--adopt"])?;
    scene.api.change(|state| {
        let mut source = state.applications[0].clone();
        source["id"] = "44444444-4444-4444-4444-444444444444".into();
        source["domain"] = "127.0.0.1/source".into();
        source["policies"] = json!([]);
        source.as_object_mut().expect("an object").remove("oauth_configuration");
        state.applications.push(source);
    });
    let from = scene.edge.mcp_url().replace("/mcp", "/source");
    run(&["link", &from, "--to", "URL", "--adopt", "--yes"])?;
    run(&["revoke", "URL", "--delete", "--yes"])?;
    // An application with policies of its own.
    scene.api.change(|state| {
        state.applications.truncate(1);
        state.applications[0]["policies"] = json!([{
            "id": "55555555-5555-5555-5555-555555555555", "name": "own", "decision": "allow",
            "include": [{ "email": { "email": "ada@example.com" } }], "exclude": [], "require": [], "precedence": 1,
        }]);
    });
    run(&["setup", "URL", "--yes", "--adopt"])?;
    run(&["revoke", "URL", "--delete", "--yes"])?;
    // And what is not as the schema says does not pass.
    scene.api.change(|state| state.applications[0]["session_duration"] = 5.into());
    let arguments = ["setup", "URL", "--yes", "--adopt"];
    let ran = scene.ran(scene.command(&arguments).env("MCP_TETHER_CLOUDFLARE_API", &prism.url));
    if ran.code != Some(1) || !ran.stderr.contains("HTTP 500") {
        return Err(format!("an answer passed that is not as the schema says: {ran:?}").into());
    }
    let state = scene.api.state().clone();
    match state.tokens.is_empty() {
        true => Ok(()),
        false => Err(format!("tokens are left: {:?}", state.tokens).into()),
    }
}
