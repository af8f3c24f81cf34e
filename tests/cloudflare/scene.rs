//! The scene of every test: an edge whose server is open, an API, a config directory, and the binary between them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::cloudflare::Cloudflare;
use crate::edge::{Access, Answers, Believes, Config, Edge, Mode};

/// What one run of the binary left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Fails unless it ended with this code.
    #[track_caller]
    pub(crate) fn ended(&self, code: i32) -> &Ran {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless one of its outputs has all of these in it.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) -> &Ran {
        for part in parts {
            assert!(
                self.stdout.contains(part) || self.stderr.contains(part),
                "{part:?} in {}\n{}",
                self.stdout,
                self.stderr
            );
        }
        self
    }

    /// The lines of its plan.
    pub(crate) fn plan(&self) -> Vec<&str> {
        let is_plan = |line: &&str| ["+ ", "= ", "~ ", "- ", "! "].iter().any(|mark| line.starts_with(mark));
        self.stdout.lines().filter(is_plan).collect()
    }

    /// The marks of its plan.
    pub(crate) fn marks(&self) -> String {
        self.plan().iter().filter_map(|line| line.chars().next()).collect()
    }

    /// Its only JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// The scene.
pub(crate) struct Scene {
    pub(crate) edge: Arc<Edge>,
    pub(crate) api: Cloudflare,
    pub(crate) folder: tempfile::TempDir,
}

impl Scene {
    /// An edge whose server is open, and an account without anything.
    pub(crate) fn new() -> Scene {
        let access = Access { mode: Mode::Legacy, policies: Vec::new() };
        let config = Config { access: Some(access), answers: Answers::Json, port: 0 };
        let edge = Arc::new(Edge::start(config).expect("a free port"));
        edge.change(|settings| settings.believes = Believes::Anybody);
        let api = Cloudflare::start(&edge).expect("a free port");
        Scene { edge, api, folder: tempfile::tempdir().expect("a folder") }
    }

    /// A scene in which setup has run.
    pub(crate) fn set_up() -> Scene {
        let scene = Scene::new();
        scene.run(&["setup", "URL", "--yes"]).ended(0);
        scene.api.change(|state| state.calls.clear());
        scene
    }

    /// The command with its environment; `URL` stands for that of the server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
        let url = self.edge.mcp_url();
        let arguments = arguments.iter().map(|argument| if *argument == "URL" { &url } else { *argument });
        command.arg("access").args(arguments).env_clear();
        for name in ["PATH", "SYSTEMROOT", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .env("MCP_TETHER_CLOUDFLARE_API", self.api.url())
            .env("CLOUDFLARE_API_TOKEN", self.api.token())
            .env("MCP_TETHER_CONFIG_DIR", self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs it. Whatever it prints holds no secret.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let ran = self.ran(&mut self.command(arguments));
        if !arguments.contains(&"--show-secret") {
            self.is_discreet(&ran);
        }
        ran
    }

    /// Runs it with a terminal on stdin, where this is typed.
    #[cfg(target_os = "linux")]
    pub(crate) fn run_typing(&self, arguments: &[&str], typed: &str) -> Ran {
        use std::io::Write;
        use std::os::unix::ffi::OsStrExt;

        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("a name");
        let name = std::ffi::OsStr::from_bytes(name.as_bytes());
        let terminal = std::fs::OpenOptions::new().read(true).write(true).open(name).expect("a terminal");
        let mut ours = std::fs::File::from(ours);
        ours.write_all(typed.as_bytes()).expect("it is open");
        let ran = self.ran(self.command(arguments).stdin(terminal));
        self.is_discreet(&ran);
        ran
    }

    pub(crate) fn ran(&self, command: &mut Command) -> Ran {
        let output = command.output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Fails where a secret is printed.
    #[track_caller]
    pub(crate) fn is_discreet(&self, ran: &Ran) {
        for secret in self.secrets() {
            assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret), "a secret: {ran:?}");
        }
    }

    /// Every secret there is at the moment.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let state = self.api.state();
        let tokens = state.tokens.iter().map(|token| token.current.secret.clone());
        tokens.chain([state.api_token.clone()]).collect()
    }

    /// The file that setup writes by default.
    pub(crate) fn env_file(&self) -> PathBuf {
        let port =
            self.edge.mcp_url().rsplit(':').next().expect("a port").trim_end_matches("/mcp").to_owned();
        self.folder.path().join("mcp-tether/access").join(format!("127.0.0.1_{port}.env"))
    }

    /// Every file below the config directory, with its text.
    pub(crate) fn files(&self) -> Vec<(PathBuf, String)> {
        let mut all = Vec::new();
        collect(self.folder.path(), &mut all);
        all
    }

    /// A variable of a file.
    pub(crate) fn variable(path: &Path, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.to_owned())
    }

    /// Opens a session through the proxy without a token. Returns whether that works.
    pub(crate) fn is_open(&self) -> bool {
        let empty = self.folder.path().join("empty.env");
        std::fs::write(&empty, "").expect("written");
        let is_open = self.is_opened_by(&empty);
        std::fs::remove_file(&empty).expect("removed");
        is_open
    }

    /// Opens a session through the proxy with this file. Returns whether that works.
    pub(crate) fn is_opened_by(&self, path: &Path) -> bool {
        let path = path.display().to_string();
        let url = self.edge.mcp_url();
        let arguments = ["--env-file", &path, "--auth", "none", &url];
        let mut proxy = crate::support::proxy::Proxy::start(&arguments);
        let answer = proxy.ask(crate::support::INITIALIZE);
        proxy.finish();
        answer.contains("\"result\"")
    }
}

fn collect(folder: &Path, all: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => collect(&path, all),
            path => {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                all.push((path, text));
            }
        }
    }
}

/// The calls of a fresh setup that may change something.
pub(crate) const FRESH: [&str; 4] =
    ["POST access/apps", "POST access/service_tokens", "POST access/policies", "POST access/apps"];
