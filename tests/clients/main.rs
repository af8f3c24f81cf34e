//! Real clients from npm, each with an entry that `mcp-tether config` printed, that `mcp-tether add` wrote, or that `mcp-tether migrate`
//! put in the place of one with mcp-remote. They connect through the real binary to the example edge, find its tools, and call one.
//! A client that needs a model gets one on this machine (`model`).
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

/// The headers of an entry: one from a variable that is set, one from a variable that is not.
const HEADERS: [&str; 4] =
    ["--header", "X-Marked: ${MARK_KEY}", "--header", "X-Default: ${NOWHERE_SET:-default}"];

/// The variables of an entry.
const NAMES: [&str; 3] = ["CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET", "MARK_KEY"];

/// Where the entry of a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntrySource {
    /// `config` prints it, and the test pastes it.
    Config,
    /// `add` writes it into the client's own file.
    Add,
    /// `migrate` replaces an entry with mcp-remote in the client's own file.
    Migrate,
}

impl EntrySource {
    const ALL: [EntrySource; 3] = [EntrySource::Config, EntrySource::Add, EntrySource::Migrate];

    /// The end of a test's name.
    fn name(self) -> &'static str {
        match self {
            EntrySource::Config => "calls_tool_through_printed_entry",
            EntrySource::Add => "calls_tool_through_added_entry",
            EntrySource::Migrate => "calls_tool_through_migrated_entry",
        }
    }
}

/// A client, and how it is tried.
struct Client {
    /// The start of the names of its tests.
    name: &'static str,
    /// The program, below the folder of the packages.
    program: &'static str,
    /// Which Node it wants, if any.
    node: Option<u32>,
    try_it: fn(&Place, EntrySource) -> Result<(), Failed>,
}

const CLIENTS: [Client; 5] = [
    Client {
        name: "claude_code_2_1_329",
        program: "claude-code-2-1-329/node_modules/@anthropic-ai/claude-code-PLATFORM/claude",
        node: None,
        try_it: claude_code,
    },
    Client {
        name: "claude_code_2_1_197",
        program: "@anthropic-ai/claude-code-PLATFORM/claude",
        node: None,
        try_it: claude_code,
    },
    Client { name: "codex", program: ".bin/codex", node: Some(18), try_it: codex },
    Client { name: "gemini", program: ".bin/gemini", node: Some(20), try_it: gemini },
    Client { name: "inspector", program: ".bin/mcp-inspector", node: Some(22), try_it: inspector },
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let is_asked_for = (arguments.ignored || arguments.include_ignored) && !arguments.list;
    let packages = if is_asked_for { install() } else { Err("it was not asked for".to_owned()) };
    if is_asked_for {
        // What is ignored from here on cannot be run.
        (arguments.ignored, arguments.include_ignored) = (false, false);
    }
    let mut trials = Vec::new();
    for client in &CLIENTS {
        let ready = packages.clone().and_then(|packages| client.ready(&packages));
        if let (Err(reason), true) = (&ready, is_asked_for) {
            tell(client.name, reason);
        }
        for source in EntrySource::ALL {
            let (ready, try_it) = (ready.clone(), client.try_it);
            let is_ignored = ready.is_err();
            let trial = Trial::test(format!("{}_{}", client.name, source.name()), move || {
                let (program, node) = ready?;
                try_it(&Place::new(&program, node), source)
            });
            trials.push(trial.with_ignored_flag(is_ignored));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
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

    /// Runs mcp-tether. Returns what it prints for pasting, and what it says about that.
    fn tether(&self, arguments: &[&str]) -> Result<(String, String), Failed> {
        let mut command = self.command(env!("CARGO_BIN_EXE_mcp-tether"));
        let output = command.args(arguments).output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        for secret in [&self.edge.token().id, &self.edge.token().secret, MARK] {
            assert!(!printed.contains(secret) && !told.contains(secret), "a secret is printed");
        }
        match output.status.success() {
            true => Ok((printed, told)),
            false => {
                Err(format!("mcp-tether {arguments:?} ended with {}:\n{printed}{told}", output.status).into())
            }
        }
    }

    /// What `config` prints for this client.
    fn entry(&self, options: &[&str]) -> Result<String, Failed> {
        let begin = ["config", "my-server", &self.edge.mcp_url()];
        Ok(self.tether(&[&begin, &HEADERS[..], options].concat())?.0)
    }

    /// Has `add` write the entry into the file of a client.
    fn add(&self, client: &str, file: &str) -> Result<(), Failed> {
        let begin = ["add", "my-server", &self.edge.mcp_url()];
        self.tether(&[&begin, &HEADERS[..], &["--client", client, "--yes"]].concat())?;
        let text = std::fs::read_to_string(self.home(file))?;
        has(&text, env!("CARGO_BIN_EXE_mcp-tether"))
    }

    /// Has `migrate` replace the entry with mcp-remote in a file, and move its secrets if there are any.
    fn migrate(&self, file: &str) -> Result<(), Failed> {
        has(&std::fs::read_to_string(self.home(file))?, "mcp-remote")?;
        let (listed, _) = self.tether(&["migrate", "--yes", "--secrets", "env-file"])?;
        has(&listed, "Replaced: 1 of 1")?;
        let text = std::fs::read_to_string(self.home(file))?;
        for gone in ["mcp-remote", &self.edge.token().secret, MARK] {
            assert!(!text.contains(gone), "{gone:?} is still in {file}");
        }
        has(&text, env!("CARGO_BIN_EXE_mcp-tether"))
    }

    /// The arguments of an entry with mcp-remote, behind `npx`.
    fn mcp_remote(&self) -> Vec<String> {
        let mut arguments = vec!["-y".to_owned(), "mcp-remote@latest".to_owned(), self.edge.mcp_url()];
        for header in [
            "CF-Access-Client-Id:${CF_ACCESS_CLIENT_ID}",
            "CF-Access-Client-Secret:${CF_ACCESS_CLIENT_SECRET}",
            "X-Marked:${MARK_KEY}",
            "X-Default:default",
        ] {
            arguments.extend(["--header".to_owned(), header.to_owned()]);
        }
        arguments
    }

    /// The variables of an entry with mcp-remote whose client fills nothing in: the values themselves.
    fn values(&self) -> [(&'static str, String); 3] {
        let token = self.edge.token();
        [
            ("CF_ACCESS_CLIENT_ID", token.id.clone()),
            ("CF_ACCESS_CLIENT_SECRET", token.secret.clone()),
            ("MARK_KEY", MARK.to_owned()),
        ]
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

/// The command as it was printed, given to a shell; then the entry for `.mcp.json`. `add` writes for all projects. The entry with
/// mcp-remote is one of the project, and Claude Code itself wrote it.
fn claude_code(place: &Place, source: EntrySource) -> Result<(), Failed> {
    let bin = place.home("bin");
    std::fs::create_dir_all(&bin)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(&place.program, bin.join("claude"))?;
    match source {
        EntrySource::Config => {
            let mut shell = place.command("sh");
            let printed = place.entry(&["--client", "claude-code"])?;
            shell.args(["-c", printed.lines().next().unwrap_or_default()]);
            has(&finish(shell)?, "Added stdio MCP server my-server")?;
        }
        EntrySource::Add => {
            // It writes its file at the first start.
            place.run(&["mcp", "list"])?;
            place.add("claude-code", ".claude.json")?;
        }
        EntrySource::Migrate => {
            let variables = NAMES.map(|name| format!("{name}=${{{name}}}"));
            let mut command = place.command(&place.program);
            command.args(["mcp", "add", "my-server"]);
            for variable in &variables {
                command.args(["-e", variable]);
            }
            command.args(["--", "npx"]).args(place.mcp_remote());
            has(&finish(command)?, "Added stdio MCP server my-server")?;
            place.migrate(".claude.json")?;
        }
    }
    has(&place.run(&["mcp", "list"])?, "Connected")?;
    has(&place.run(&["mcp", "get", "my-server"])?, "CF_ACCESS_CLIENT_SECRET=${CF_ACCESS_CLIENT_SECRET}")?;
    let ask = ["-p", "Call the echo tool", "--allowedTools", "mcp__my-server__echo", "--model", "sonnet"];
    place.called(&place.run(&ask)?)?;
    if source == EntrySource::Config {
        place.run(&["mcp", "remove", "my-server"])?;
        place.write("project/entry.json", &place.entry(&["--client", "claude-code", "--json"])?);
        let file = ["--strict-mcp-config", "--mcp-config", "entry.json"];
        place.called(&place.run(&[&ask[..], &file].concat())?)?;
    }
    place.judge()
}

fn codex(place: &Place, source: EntrySource) -> Result<(), Failed> {
    let file = ".codex/config.toml";
    let settings = format!(
        "# The model of the test.\nmodel = \"none\"\nmodel_provider = \"local\"\napproval_policy = \"never\"\n\
         check_for_update_on_startup = false\n\
         [analytics]\nenabled = false\n[features]\napps = false\nplugins = false\nremote_plugin = false\n\
         [model_providers.local]\nname = \"local\"\nbase_url = \"http://{}/v1\"\nenv_key = \"OPENAI_API_KEY\"\n\
         wire_api = \"responses\"\nrequest_max_retries = 0\nstream_max_retries = 0\n\n",
        place.model.address
    );
    match source {
        EntrySource::Config => {
            place.write(file, &(settings + &place.entry(&["--client", "codex"])?));
        }
        EntrySource::Add => {
            place.write(file, &settings);
            place.add("codex", file)?;
        }
        EntrySource::Migrate => {
            let mut entry = format!(
                "[mcp_servers.my-server]\ncommand = 'npx' # slow\nargs = {}\n\n[mcp_servers.my-server.env]\n",
                json!(place.mcp_remote())
            );
            place
                .values()
                .iter()
                .for_each(|(name, value)| entry.push_str(&format!("{name} = \"{value}\"\n")));
            place.write(file, &(settings + &entry));
            place.migrate(file)?;
        }
    }
    let listed = place.run(&["mcp", "list"])?;
    has(&listed, "my-server")?;
    has(&listed, "enabled")?;
    place.called(&place.run(&["exec", "--skip-git-repo-check", "Call the echo tool"])?)?;
    place.judge()
}

/// It fills in references in `env` and in `args`, and passes on no variable that looks like a secret.
fn gemini(place: &Place, source: EntrySource) -> Result<(), Failed> {
    let file = ".gemini/settings.json";
    let mut settings: Value = match source {
        EntrySource::Config => serde_json::from_str(&place.entry(&["--client", "gemini"])?)?,
        EntrySource::Add => json!({}),
        EntrySource::Migrate => {
            let variables: serde_json::Map<String, Value> =
                NAMES.map(|name| (name.to_owned(), json!(format!("${name}")))).into_iter().collect();
            let entry = json!({ "command": "npx", "args": place.mcp_remote(), "env": variables });
            json!({ "mcpServers": { "my-server": entry } })
        }
    };
    settings["security"] =
        json!({ "folderTrust": { "enabled": false }, "auth": { "selectedType": "gemini-api-key" } });
    settings["privacy"] = json!({ "usageStatisticsEnabled": false });
    settings["general"] = json!({ "enableAutoUpdate": false, "enableAutoUpdateNotification": false });
    // Gemini accepts comments.
    place.write(file, &format!("// The settings of the test.\n{settings:#}\n"));
    match source {
        EntrySource::Config => {}
        EntrySource::Add => place.add("gemini", file)?,
        EntrySource::Migrate => place.migrate(file)?,
    }
    has(&place.run(&["mcp", "list"])?, "Connected")?;
    let ask = ["-m", "gemini-2.5-flash", "-p", "Call the echo tool", "--approval-mode", "yolo"];
    place.called(&place.run(&ask)?)?;
    place.judge()
}

/// It has the form of Claude Desktop, and like it fills in nothing and passes nothing on.
fn inspector(place: &Place, source: EntrySource) -> Result<(), Failed> {
    let file = ".config/Claude/claude_desktop_config.json";
    match source {
        EntrySource::Config => {
            let mut entry = place.entry(&["--client", "claude-desktop"])?;
            for (name, value) in place.values() {
                let placeholder = format!("your-{}", name.to_lowercase().replace('_', "-"));
                entry = entry.replace(&placeholder, &value);
            }
            place.write(file, &entry);
        }
        EntrySource::Add => {
            place.write(file, "{}\n");
            place.add("claude-desktop", file)?;
        }
        EntrySource::Migrate => {
            let variables: serde_json::Map<String, Value> =
                place.values().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            let entry = json!({ "command": "npx", "args": place.mcp_remote(), "env": variables });
            place.write(file, &format!("{:#}", json!({ "mcpServers": { "my-server": entry } })));
            place.migrate(file)?;
        }
    }
    let path = place.home(file).display().to_string();
    let ask = ["--cli", "--config", &path, "--server", "my-server", "--method"];
    has(&place.run(&[&ask[..], &["tools/list"]].concat())?, "\"echo\"")?;
    let call = ["tools/call", "--tool-name", "echo", "--tool-arg"];
    for era in ["legacy", "auto", "modern"] {
        let argument = format!("text={WORD}");
        let told = place.run(&[&ask[..], &call, &[&argument, "--protocol-era", era]].concat())?;
        place.called(&told)?;
    }
    place.judge()
}
