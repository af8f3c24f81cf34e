//! Real clients from npm, each started with the entry that `mcp-tether config` printed for it: they connect through the real binary to
//! the example edge, find its tools, and call one. What they want from a model they get from one on this machine (`model`).
//!
//! They are a gigabyte and a half, so this runs only when it is asked for:
//!
//! ```sh
//! cargo test --test clients -- --include-ignored
//! ```
//!
//! Where a client cannot be installed or does not run here, its test says so and counts as ignored. Nothing leaves this machine:
//! their ways to elsewhere are switched off, and lead to a proxy that refuses.

#[path = "../../examples/edge/edge/mod.rs"]
#[expect(dead_code, unused_imports, reason = "a part of it is used here")]
mod edge;
mod model;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use edge::{Config, Edge};
use libtest_mimic::{Arguments, Failed, Trial};
use model::{Model, WORD};
use serde_json::{Value, json};

/// No client takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a header holds that only a variable of the client's environment does.
const MARK: &str = "value-of-the-variable";

/// A client, and how it is tried.
struct Client {
    /// The test's name.
    name: &'static str,
    /// The program, below the folder of the packages.
    program: &'static str,
    /// Which Node it wants, if any.
    node: Option<u32>,
    try_it: fn(&Place) -> Result<(), Failed>,
}

const CLIENTS: [Client; 5] = [
    Client {
        name: "claude_code_2_1_329_connects_and_calls_a_tool",
        program: "claude-code-2-1-329/node_modules/@anthropic-ai/claude-code-PLATFORM/claude",
        node: None,
        try_it: claude_code,
    },
    Client {
        name: "claude_code_2_1_197_connects_and_calls_a_tool",
        program: "@anthropic-ai/claude-code-PLATFORM/claude",
        node: None,
        try_it: claude_code,
    },
    Client { name: "codex_connects_and_calls_a_tool", program: ".bin/codex", node: Some(18), try_it: codex },
    Client {
        name: "gemini_connects_and_calls_a_tool",
        program: ".bin/gemini",
        node: Some(20),
        try_it: gemini,
    },
    Client {
        name: "inspector_connects_and_calls_a_tool",
        program: ".bin/mcp-inspector",
        node: Some(22),
        try_it: inspector,
    },
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let is_asked_for = (arguments.ignored || arguments.include_ignored) && !arguments.list;
    let packages = if is_asked_for { install() } else { Err("it was not asked for".to_owned()) };
    if is_asked_for {
        // What is ignored from here on cannot be run.
        (arguments.ignored, arguments.include_ignored) = (false, false);
    }
    let trials = CLIENTS.map(|client| {
        let ready = packages.clone().and_then(|packages| client.ready(&packages));
        if let (Err(reason), true) = (&ready, is_asked_for) {
            tell(client.name, reason);
        }
        let is_ignored = ready.is_err();
        let trial = Trial::test(client.name, move || {
            let (program, node) = ready?;
            (client.try_it)(&Place::new(&program, node))
        });
        trial.with_ignored_flag(is_ignored)
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

#[expect(clippy::print_stderr, reason = "a test that does not run says why")]
fn tell(name: &str, reason: &str) {
    eprintln!("{name} does not run: {reason}");
}

/// Installs the packages of the lock file, away from the sources.
fn install() -> Result<PathBuf, String> {
    if cfg!(windows) {
        return Err("it has not been made to work on Windows".to_owned());
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let read = |path: PathBuf| std::fs::read(path).unwrap_or_default();
    let files = ["package.json", "package-lock.json", ".npmrc"];
    let is_there = files.iter().all(|file| read(source.join(file)) == read(folder.join(file)));
    if !is_there || !folder.join("node_modules/.package-lock.json").exists() {
        for file in files {
            std::fs::copy(source.join(file), folder.join(file)).map_err(|error| error.to_string())?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        let output =
            npm.output().map_err(|error| format!("npm cannot be started ({error}): install Node 20"))?;
        if !output.status.success() {
            // What is there is not whole.
            let _ = std::fs::remove_file(folder.join("package.json"));
            return Err(format!("npm ci failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
    }
    Ok(folder.join("node_modules"))
}

impl Client {
    /// The program, and the folder of the Node that it wants.
    fn ready(&self, packages: &Path) -> Result<(PathBuf, Option<PathBuf>), String> {
        let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        let program = packages.join(self.program.replace("PLATFORM", &format!("{system}-{processor}")));
        if !program.exists() {
            return Err(format!(
                "{} is not there: the package has no program for this platform",
                program.display()
            ));
        }
        let Some(wanted) = self.node else { return Ok((program, None)) };
        // One that came along, else the system's.
        let own = packages.join(format!("node-{system}-{processor}/bin"));
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(own).chain(std::env::split_paths(&folders));
        for folder in folders {
            let Ok(output) = Command::new(folder.join("node")).arg("--version").output() else { continue };
            let version = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
            if version
                .split('.')
                .next()
                .and_then(|major| major.parse().ok())
                .is_some_and(|major: u32| major >= wanted)
            {
                return Ok((program, Some(folder)));
            }
        }
        Err(format!("it wants Node {wanted}, which is not there"))
    }
}

/// Where a client is tried: a home of its own, the edge, the model.
struct Place {
    program: PathBuf,
    node: Option<PathBuf>,
    home: tempfile::TempDir,
    edge: Edge,
    model: Model,
}

impl Place {
    fn new(program: &Path, node: Option<PathBuf>) -> Place {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(home.path().join("project")).expect("a folder");
        let edge = Edge::start(Config::default()).expect("a free port");
        Place { program: program.to_owned(), node, home, edge, model: Model::start() }
    }

    fn home(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    fn write(&self, below: &str, text: &str) {
        let path = self.home(below);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// A command in the project, with the environment of a person who has set everything up and wants nothing sent elsewhere.
    fn command(&self, program: impl Into<OsString>) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_mcp-tether")).parent().expect("a folder").to_owned();
        let system = std::env::var_os("PATH").unwrap_or_default();
        let folders = [Some(self.home("bin")), Some(binary), self.node.clone()].into_iter().flatten();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&system))).expect("a PATH");
        let model = format!("http://{}", self.model.address);
        let mut command = Command::new(program.into());
        command
            .env_clear()
            .current_dir(self.home("project"))
            .stdin(Stdio::null())
            .env("PATH", path)
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home("project"))
            .env("TERM", "dumb")
            .env("CF_ACCESS_CLIENT_ID", &self.edge.token().id)
            .env("CF_ACCESS_CLIENT_SECRET", &self.edge.token().secret)
            .env("MARK_KEY", MARK);
        for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
            command.env(name, &model);
        }
        for name in ["NO_PROXY", "no_proxy"] {
            command.env(name, "127.0.0.1,localhost");
        }
        for (name, value) in [
            ("ANTHROPIC_API_KEY", "none"),
            ("OPENAI_API_KEY", "none"),
            ("GEMINI_API_KEY", "none"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
            // All tools are offered to the model at once.
            ("ENABLE_TOOL_SEARCH", "false"),
            ("MCP_INSPECTOR_SECRET_STORE", "memory"),
        ] {
            command.env(name, value);
        }
        command.env("ANTHROPIC_BASE_URL", &model).env("GOOGLE_GEMINI_BASE_URL", &model);
        command
    }

    /// The client with these arguments; what it says, on either output.
    fn run(&self, arguments: &[&str]) -> Result<String, Failed> {
        let mut command = self.command(&self.program);
        command.args(arguments);
        finish(command)
    }

    /// What `config` prints for this client.
    fn entry(&self, options: &[&str]) -> String {
        let mut command = self.command(env!("CARGO_BIN_EXE_mcp-tether"));
        command
            .args([
                "config",
                "my-server",
                &self.edge.mcp_url(),
                "--header",
                "X-Marked: ${MARK_KEY}",
                "--header",
                "X-Default: ${NOWHERE_SET:-default}",
            ])
            .args(options);
        let output = command.output().expect("the binary starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        let printed = String::from_utf8(output.stdout).expect("Unicode");
        for secret in [&self.edge.token().id, &self.edge.token().secret, MARK] {
            assert!(!printed.contains(secret) && !told.contains(secret), "a secret is printed");
        }
        printed
    }

    /// Looks at what reached the server: everything with what the entry is there for, and nothing left this machine.
    fn judge(&self) -> Result<(), Failed> {
        let requests = self.edge.requests();
        let header = |request: &edge::Seen, name: &str| {
            request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        if requests.is_empty() {
            return Err("nothing reached the server".into());
        }
        for request in &requests {
            let (secret, mark) = (header(request, "cf-access-client-secret"), header(request, "x-marked"));
            let is_default = header(request, "x-default").as_deref() == Some("default");
            if secret.as_ref() != Some(&self.edge.token().secret)
                || mark.as_deref() != Some(MARK)
                || !is_default
            {
                return Err(format!("a request without what the entry is there for: {request}").into());
            }
        }
        match self.model.stopped().as_slice() {
            [] => Ok(()),
            stopped => Err(format!("somebody wanted to leave this machine: {stopped:?}").into()),
        }
    }

    /// The client has called the tool, and told the model what it said.
    fn called(&self, told: &str) -> Result<(), Failed> {
        match told.contains(WORD) {
            true => Ok(()),
            false => {
                Err(format!("the tool was not called:\n{told}\nthe model was asked {:?}", self.model.asked())
                    .into())
            }
        }
    }
}

fn finish(mut command: Command) -> Result<String, Failed> {
    let runtime = tokio::runtime::Runtime::new()?;
    let shown = format!("{:?}", command.get_program());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let output = runtime.block_on(async { tokio::time::timeout(PATIENCE, command.output()).await });
    let output = output.map_err(|_| format!("{shown} has not ended within {PATIENCE:?}"))??;
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    match output.status.success() {
        true => Ok(told),
        false => Err(format!("{shown} ended with {}:\n{told}", output.status).into()),
    }
}

fn has(told: &str, part: &str) -> Result<(), Failed> {
    match told.contains(part) {
        true => Ok(()),
        false => Err(format!("{part:?} is missing in\n{told}").into()),
    }
}

/// The command as it was printed, given to a shell; then the entry for `.mcp.json`.
fn claude_code(place: &Place) -> Result<(), Failed> {
    let bin = place.home("bin");
    std::fs::create_dir_all(&bin)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(&place.program, bin.join("claude"))?;
    let printed = place.entry(&["--client", "claude-code"]);
    let mut shell = place.command("sh");
    shell.args(["-c", printed.lines().next().unwrap_or_default()]);
    has(&finish(shell)?, "Added stdio MCP server my-server")?;
    has(&place.run(&["mcp", "list"])?, "Connected")?;
    has(&place.run(&["mcp", "get", "my-server"])?, "CF_ACCESS_CLIENT_SECRET=${CF_ACCESS_CLIENT_SECRET}")?;
    let ask = ["-p", "Call the echo tool", "--allowedTools", "mcp__my-server__echo", "--model", "sonnet"];
    place.called(&place.run(&ask)?)?;

    place.run(&["mcp", "remove", "my-server"])?;
    place.write("project/entry.json", &place.entry(&["--client", "claude-code", "--json"]));
    place
        .called(&place.run(&[&ask[..], &["--strict-mcp-config", "--mcp-config", "entry.json"]].concat())?)?;
    place.judge()
}

fn codex(place: &Place) -> Result<(), Failed> {
    let settings = format!(
        "model = \"none\"\nmodel_provider = \"local\"\napproval_policy = \"never\"\ncheck_for_update_on_startup = false\n\
         [analytics]\nenabled = false\n[features]\napps = false\nplugins = false\nremote_plugin = false\n\
         [model_providers.local]\nname = \"local\"\nbase_url = \"http://{}/v1\"\nenv_key = \"OPENAI_API_KEY\"\n\
         wire_api = \"responses\"\nrequest_max_retries = 0\nstream_max_retries = 0\n\n",
        place.model.address
    );
    place.write(".codex/config.toml", &(settings + &place.entry(&["--client", "codex"])));
    let listed = place.run(&["mcp", "list"])?;
    has(&listed, "my-server")?;
    has(&listed, "enabled")?;
    place.called(&place.run(&["exec", "--skip-git-repo-check", "Call the echo tool"])?)?;
    place.judge()
}

fn gemini(place: &Place) -> Result<(), Failed> {
    let mut settings: Value =
        serde_json::from_str(&place.entry(&["--client", "gemini"])).map_err(|e| e.to_string())?;
    settings["security"] =
        json!({ "folderTrust": { "enabled": false }, "auth": { "selectedType": "gemini-api-key" } });
    settings["privacy"] = json!({ "usageStatisticsEnabled": false });
    settings["general"] = json!({ "enableAutoUpdate": false, "enableAutoUpdateNotification": false });
    place.write(".gemini/settings.json", &settings.to_string());
    has(&place.run(&["mcp", "list"])?, "Connected")?;
    let ask = ["-m", "gemini-2.5-flash", "-p", "Call the echo tool", "--approval-mode", "yolo"];
    place.called(&place.run(&ask)?)?;
    place.judge()
}

/// It has the form of Claude Desktop, and like it fills in nothing and passes nothing on.
fn inspector(place: &Place) -> Result<(), Failed> {
    let token = place.edge.token();
    let entry = place
        .entry(&["--client", "claude-desktop"])
        .replace("your-cf-access-client-id", &token.id)
        .replace("your-cf-access-client-secret", &token.secret)
        .replace("your-mark-key", MARK);
    place.write("project/entry.json", &entry);
    let ask = ["--cli", "--config", "entry.json", "--server", "my-server", "--method"];
    has(&place.run(&[&ask[..], &["tools/list"]].concat())?, "\"echo\"")?;
    let call = ["tools/call", "--tool-name", "echo", "--tool-arg"];
    for era in ["legacy", "auto", "modern"] {
        let argument = format!("text={WORD}");
        let told = place.run(&[&ask[..], &call, &[&argument, "--protocol-era", era]].concat())?;
        place.called(&told)?;
    }
    place.judge()
}
