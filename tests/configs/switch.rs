//! `add`, `remove`, `migrate` and `install` on real files: what they write, what they keep, and what they refuse.
//!
//! Each test has a home folder of its own. Deliberately not here: the clients themselves (`tests/clients`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::support::server::Server;

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_mcp-tether");
pub(super) const URL: &str = "https://mcp.example.com/mcp";

/// A home folder.
pub(super) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub(super) fn new() -> Home {
        Home { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(super) fn write(&self, below: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("written");
        path
    }

    pub(super) fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        let home = self.folder.path();
        command.args(arguments).env_clear().current_dir(home).stdin(Stdio::null());
        command.env("HOME", home).env("USERPROFILE", home).env("PATH", "/usr/bin:/bin");
        command.env("APPDATA", self.path("AppData/Roaming")).env("LOCALAPPDATA", self.path("AppData/Local"));
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Told {
        Told::of(self.command(BINARY, arguments).output().expect("it starts"))
    }

    /// The program that an entry names: this one, or its copy in the home folder if this one lies in a temporary folder, as in a
    /// build below it.
    fn program(&self) -> String {
        let is_temporary = ["/tmp", "/var/tmp"].iter().any(|folder| Path::new(BINARY).starts_with(folder))
            || Path::new(BINARY).starts_with(std::env::temp_dir());
        match is_temporary {
            true => self.path(".local/bin/mcp-tether").to_str().expect("Unicode").to_owned(),
            false => BINARY.to_owned(),
        }
    }

    /// The names in a folder.
    pub(super) fn names(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(below)).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("Unicode"))
            .collect();
        names.sort();
        names
    }
}

/// What a command said.
pub(super) struct Told {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) error: String,
}

impl Told {
    pub(super) fn of(output: Output) -> Told {
        let text = |bytes| String::from_utf8(bytes).expect("Unicode");
        Told { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
    }

    #[track_caller]
    pub(super) fn done(self) -> Told {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.error);
        self
    }
}

pub(super) fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

/// The files of the clients on Linux, with the member that the servers stand in.
const FILES: [(&str, &str, &str); 12] = [
    ("claude-code", ".claude.json", "mcpServers"),
    ("claude-desktop", ".config/Claude/claude_desktop_config.json", "mcpServers"),
    ("cursor", ".cursor/mcp.json", "mcpServers"),
    ("vscode", ".config/Code/User/mcp.json", "servers"),
    ("windsurf", ".codeium/windsurf/mcp_config.json", "mcpServers"),
    ("codex", ".codex/config.toml", "mcp_servers"),
    ("gemini", ".gemini/settings.json", "mcpServers"),
    ("zed", ".config/zed/settings.json", "context_servers"),
    ("opencode", ".config/opencode/opencode.json", "mcp"),
    ("lm-studio", ".lmstudio/mcp.json", "mcpServers"),
    ("cline", ".cline/data/settings/cline_mcp_settings.json", "mcpServers"),
    ("copilot-cli", ".copilot/mcp-config.json", "mcpServers"),
];

/// Files of JSON in all their forms; KEY is the member that the servers stand in.
const JSON_FORMS: [&str; 9] = [
    "{\n  \"KEY\": {\n    \"a\": { \"command\": \"x\" }\n  }\n}\n",
    "// first\n{\n\t\"KEY\" : {\n\t\t\t\"a\":{\"command\" :\"x\",},   // why\n\n\t\t/* last */\n\t},\n    \"theme\": 1.50,\n}",
    "{\r\n    \"KEY\": {\r\n        \"a\": {\r\n            \"command\": \"x\" // c\r\n        }\r\n    }\r\n}\r\n",
    "\u{feff}{\n  \"other\": [1, 2],\n  \"KEY\": {\n    \"a\": {}\n  }\n}\n",
    "{\"KEY\":{\"a\":{\"command\":\"x\"}},\"z\":\"\\u00e9\"}",
    "{ \"KEY\": { \"a\": { \"command\": \"x\", \"args\": [] } } }\n",
    "{\n  \"z\": {\"KEY\": 1},\n  \"KEY\": {\n    \"a\": {\"command\": \"x\"}, \"b\": {\n}\n}\n}\n",
    "{\n  \"z\": 1\n}\n",
    "{}",
];

const TOML_FORMS: [&str; 5] = [
    "# mine\nmodel = \"x\"   # the model\n\n[mcp_servers.a]\ncommand = 'x' # c\n\n[other]\nx = [1,\n  2,]\n",
    "[mcp_servers.a]\r\ncommand = \"x\"\r\n",
    "\u{feff}model = 1_000\n[mcp_servers]\na = { command = \"x\" }\n",
    "model = \"x\"",
    "",
];

#[test]
#[cfg(target_os = "linux")]
fn add_keeps_everything_else_and_remove_undoes_it() {
    let run = |client: &str, file: &str, text: &str| {
        let home = Home::new();
        let path = home.write(file, text);
        let case = format!("{client} {text:?}");
        let add = home.run(&["add", "my-server", URL, "--client", client, "--yes", "--read-only"]).done();
        assert!(add.out.ends_with(&format!("Test it: mcp-tether check {URL} --read-only\n")), "{}", add.out);
        let added = text_of(&path);
        assert!(
            added.contains("my-server") && added.contains("--read-only") && added.contains(&home.program()),
            "{case}"
        );
        // A line ends with one more comma at most.
        for line in text.split_inclusive('\n').filter(|_| text.lines().count() > 1) {
            let line = line.trim_end();
            assert!(added.contains(line), "{case}: {line:?} is gone:\n{added}");
        }
        assert_eq!(added.contains('\r'), text.contains('\r'), "{case}");
        assert_eq!(added.matches("\r\n").count(), added.matches(['\r']).count(), "{case}");
        assert_eq!(added.starts_with('\u{feff}'), text.starts_with('\u{feff}'), "{case}");
        let again =
            home.run(&["add", "my-server", URL, "--client", client, "--yes", "--read-only", "--replace"]);
        assert!(again.done().out.contains("nothing was changed"), "{case}");
        home.run(&["remove", "my-server", "--client", client, "--yes"]).done();
        let removed = text_of(&path);
        let has_servers = text.contains("a\"") || text.contains("a]") || text.contains("a =");
        match has_servers {
            true => assert_eq!(removed, text, "{case}"),
            false => assert!(!removed.contains("my-server"), "{case}: {removed}"),
        }
        let kept = home.path(&format!("{file}.before-mcp-tether-add"));
        assert_eq!(text_of(&kept), text, "{case}");
    };
    for (client, file, key) in FILES {
        let forms: &[&str] = if client == "codex" { &TOML_FORMS } else { &JSON_FORMS };
        // Every form once, and every client.
        let count = if ["cursor", "codex"].contains(&client) { forms.len() } else { 1 };
        for text in forms.iter().take(count) {
            run(client, file, &text.replace("KEY", key));
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn missing_file_is_made_where_client_is_there() {
    for (client, file, key) in FILES {
        let home = Home::new();
        let told = home.run(&["add", "my-server", URL, "--client", client, "--yes"]);
        let is_made = ["claude-code", "codex", "gemini", "opencode", "copilot-cli"].contains(&client);
        assert_eq!(told.code, Some(if is_made { 0 } else { 2 }), "{client}: {}", told.error);
        if !is_made {
            assert!(told.error.contains("does not seem to be installed"), "{}", told.error);
            assert_eq!(home.names(""), [""; 0]);
            std::fs::create_dir_all(home.path(file).parent().expect("a folder")).expect("a folder");
            home.run(&["add", "my-server", URL, "--client", client, "--yes"]).done();
        }
        assert!(text_of(&home.path(file)).contains(key), "{client}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn unsafe_change_is_refused_and_file_stays() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let entry = "{\"mcpServers\":{\"my-server\":{\"command\":\"x\"}}}";
    for (text, arguments, part) in [
        ("{\"mcpServers\": {", &[][..], "line 1, column"),
        ("{\"mcpServers\": []}", &[], "its member mcpServers is not a table"),
        ("[]", &[], "it is not a JSON object"),
        ("{\"mcpServers\":{}, \"mcpServers\":{}}", &[], "its member mcpServers is there twice"),
        ("{\"mcpServers\":{\"my-server\":{},\"my-server\":{}}}", &["--replace"], "my-server is there twice"),
        (entry, &[], "has an entry my-server already"),
        ("\u{feff}\u{feff}{}", &[], "cannot be changed"),
    ] {
        let home = Home::new();
        let path = home.write(".cursor/mcp.json", text);
        let told = home.run(&[&["add", "my-server", URL, "--client", "cursor", "--yes"], arguments].concat());
        assert_eq!(told.code, Some(2), "{text}: {}", told.out);
        assert!(told.error.contains(part) && told.error.contains("try: "), "{text}: {}", told.error);
        assert_eq!(text_of(&path), text);
        assert_eq!(home.names(".cursor"), ["mcp.json"]);
    }
    let add = ["add", "my-server", URL, "--client", "cursor", "--yes"];
    let refused = |home: &Home, arguments: &[&str], part: &str| {
        let told = home.run(arguments);
        assert_eq!(told.code, Some(2), "{part}: {}", told.out);
        assert!(told.error.contains(part), "{}", told.error);
    };
    let home = Home::new();
    let path = home.write(".cursor/mcp.json", [b'{', 0xff, b'}']);
    refused(&home, &add, "is not UTF-8");
    std::fs::write(&path, "{}\n").expect("written");
    refused(&home, &add[..5], "there is no terminal to ask on");
    refused(&home, &["remove", "my-server", "--client", "cursor", "--yes"], "has no entry my-server");
    refused(&home, &["add", "my-server", URL, "--yes"], "--client is missing");
    let file = ["--file", "no-such-folder/mcp.json"];
    refused(&home, &[&add[..], &file].concat(), "does not exist, and neither does its folder\n");
    let goose = ["add", "my-server", URL, "--client", "goose", "--yes", "--header", "X-API-Key: marked-1"];
    refused(&home, &goose, "YAML");
    let told = home.run(&goose);
    assert!(told.out.contains("extensions:\n  \"my-server\":\n    name: \"my-server\"\n"), "{}", told.out);
    assert!(!told.out.contains("marked") && !told.error.contains("marked"), "{}", told.out);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).expect("rights");
    refused(&home, &add, "is read-only");
    assert_eq!(text_of(&path), "{}\n");
    std::fs::remove_file(&path).expect("removed");
    symlink("nowhere.json", &path).expect("a link");
    refused(&home, &add, "is a symbolic link to nothing");
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a folder");
    refused(&home, &add, "it is a directory");
    assert_eq!(home.names(".cursor"), ["mcp.json"]);

    // Line ends that the parser of TOML would change.
    let home = Home::new();
    let mixed = "a = 1\r\nb = 2\n";
    let path = home.write(".codex/config.toml", mixed);
    refused(&home, &["add", "my-server", URL, "--client", "codex", "--yes"], "its line endings are mixed");
    assert_eq!(text_of(&path), mixed);

    // Nor is an entry removed that starts something else.
    let home = Home::new();
    home.write(".cursor/mcp.json", entry);
    refused(&home, &["remove", "my-server", "--client", "cursor", "--yes"], "does not start mcp-tether");
}

#[test]
#[cfg(target_os = "linux")]
fn link_and_rights_stay_and_secrets_have_one_reader() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    for (text, backup_mode) in [
        ("{\n}\n", 0o640),
        ("{\n  \"mcpServers\": {\"a\": {\"env\": {\"API_KEY\": \"marked-1\"}}}\n}\n", 0o600),
    ] {
        let home = Home::new();
        let target = home.write("dotfiles/cursor.json", text);
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).expect("rights");
        std::fs::create_dir(home.path(".cursor")).expect("a folder");
        symlink(&target, home.path(".cursor/mcp.json")).expect("a link");
        let told = home.run(&[
            "add",
            "my-server",
            URL,
            "--client",
            "cursor",
            "--yes",
            "--header",
            "X-API-Key: marked-2",
        ]);
        let told = told.done();
        assert!(!told.out.contains("marked") && !told.error.contains("marked"), "{}{}", told.out, told.error);
        let check = told.out.lines().last().expect("a check command");
        assert!(check.contains("'X-API-Key:${MY_SERVER_API_KEY}' --env-file "), "{check}");
        assert!(home.path(".cursor/mcp.json").is_symlink());
        let written = text_of(&target);
        assert!(
            written.contains("X-API-Key:${MY_SERVER_API_KEY}") && !written.contains("marked-2"),
            "{written}"
        );
        assert_eq!(mode(&target), 0o640);
        assert_eq!(mode(&home.path("dotfiles/cursor.json.before-mcp-tether-add")), backup_mode);
        assert_eq!(home.names(".cursor"), ["mcp.json"]);
        let env_file = home.path(".config/mcp-tether/env/my-server.cursor.env");
        assert!(text_of(&env_file).contains("MY_SERVER_API_KEY='marked-2'"));
        assert_eq!(mode(&env_file), 0o600);
        let replaced = ["add", "my-server", URL, "--client", "cursor", "--yes", "--replace", "--header"];
        home.run(&[&replaced[..], &["X-API-Key: marked-3"]].concat()).done();
        assert!(!env_file.exists(), "a replaced secret is still there");
        let [env_file] = &home.names(".config/mcp-tether/env")[..] else { panic!("one file of secrets") };
        let env_file = home.path(".config/mcp-tether/env").join(env_file);
        assert!(text_of(&env_file).contains("MY_SERVER_API_KEY='marked-3'"));
        home.run(&["remove", "my-server", "--client", "cursor", "--yes"]).done();
        assert!(!env_file.exists());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_leaves_file_and_no_half_backup() {
    let home = Home::new();
    let text = "{\"mcpServers\":{\"a\":{\"command\":\"npx\",\"args\":[\"mcp-remote\",\"URL\"]}}}";
    let path = home.write(".cursor/mcp.json", text.replace("URL", URL));
    // Every file may hold no byte.
    let limited = format!("ulimit -f 0; exec '{BINARY}' add other {URL} --client cursor --yes");
    let told = Told::of(home.command("/bin/sh", &["-c", &limited]).output().expect("it starts"));
    assert_eq!(told.code, Some(2), "{}\n{}", told.out, told.error);
    assert!(told.error.contains("cannot be written") && told.error.contains("make room"), "{}", told.error);
    assert_eq!(text_of(&path), text.replace("URL", URL));
    assert_eq!(home.names(".cursor"), ["mcp.json"]);
}

#[test]
#[cfg(target_os = "linux")]
fn migrate_keeps_lines_of_arguments() {
    let home = Home::new();
    let path = home.write(
        ".cursor/mcp.json",
        format!(
            "{{\n  \"mcpServers\": {{\n    \"a\": {{\n      \"command\": \"npx\",\n      \"args\": [\n        \"-y\",\n        \"mcp-remote\",\n        \"{URL}\",\n        \"--transport\",\n        \"http-only\"\n      ]\n    }}\n  }}\n}}\n"
        ),
    );
    home.run(&["migrate", "--yes"]).done();
    let program = home.program();
    assert_eq!(
        text_of(&path),
        format!(
            "{{\n  \"mcpServers\": {{\n    \"a\": {{\n      \"command\": \"{program}\",\n      \"args\": [\n        \"{URL}\",\n        \"--transport\",\n        \"http-only\"\n      ]\n    }}\n  }}\n}}\n"
        )
    );
}

/// A terminal with a command on it. Gets what it prints, and types what it asks for.
#[cfg(target_os = "linux")]
fn on_terminal(mut command: Command, answer: impl Fn(&str) -> &'static str) -> Told {
    use std::io::{Read, Write};
    use std::os::unix::ffi::OsStrExt;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
    let name = ptsname(&ours, Vec::new()).expect("a name");
    let mut options = std::fs::OpenOptions::new();
    let terminal = options.read(true).write(true).open(std::ffi::OsStr::from_bytes(name.as_bytes()));
    command.stdin(terminal.expect("a terminal")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let (mut ours, mut output) = (std::fs::File::from(ours), child.stdout.take().expect("piped"));
    let (mut out, mut byte) = (Vec::new(), [0]);
    while output.read(&mut byte).expect("readable") == 1 {
        out.push(byte[0]);
        if out.ends_with(b"[y/N] ") {
            let text = String::from_utf8_lossy(&out).into_owned();
            ours.write_all(answer(text.lines().last().expect("a question")).as_bytes()).expect("typed");
        }
    }
    let told = Told::of(child.wait_with_output().expect("it ends"));
    Told { out: String::from_utf8(out).expect("Unicode"), ..told }
}

#[test]
#[cfg(target_os = "linux")]
fn asks_on_terminal_and_keeps_file_changed_meanwhile() {
    let home = Home::new();
    let path = home.write(".cursor/mcp.json", "{\n}\n");
    let add = || home.command(BINARY, &["add", "my-server", URL, "--client", "cursor"]);
    let told = on_terminal(add(), |_| "n\n");
    assert_eq!((told.code, text_of(&path).as_str()), (Some(1), "{\n}\n"), "{}", told.error);
    assert!(told.out.contains("+    \"my-server\": {"), "{}", told.out);
    let other = "{\n  \"written\": \"by another program\"\n}\n";
    let told = on_terminal(add(), |_| {
        std::fs::write(&path, other).expect("written");
        "y\n"
    });
    assert_eq!(told.code, Some(2), "{}", told.out);
    assert!(told.error.contains("was changed by another program"), "{}", told.error);
    assert_eq!((text_of(&path).as_str(), home.names(".cursor")), (other, vec!["mcp.json".to_owned()]));
    let told = on_terminal(add(), |_| "y\n");
    assert_eq!(told.code, Some(0), "{}", told.error);
    assert!(text_of(&path).contains("my-server") && text_of(&path).contains("by another program"));
}

/// Files of clients with other proxies: what is certain, what is not, and what is none.
#[cfg(target_os = "linux")]
fn home_with_other_proxies(url: &str) -> (Home, Vec<(PathBuf, String)>) {
    let home = Home::new();
    let files = [
        (
            ".cursor/mcp.json",
            "{\n  // work\n  \"mcpServers\": {\n    \"a\": { \"command\": \"npx\", /* pinned */ \"args\": [\"-y\", \"mcp-remote@0.1.29\", \"URL\", \"--header\", \"Authorization: Bearer marked-1\"], },\n    \"fs\": { \"command\": \"npx\", \"args\": [\"server-filesystem\"] },\n    \"odd\": {\n      \"command\": \"npx\",\n      \"args\": [\"mcp-remote\", \"URL\", \"--no-such-option\"]\n    }\n  },\n}\n",
        ),
        (
            ".codex/config.toml",
            "model = \"x\"\n\n[mcp_servers.b]\ncommand = 'npx' # old\nargs = [\"mcp-remote\", \"URL\"]\nstartup_timeout_sec = 20\n[mcp_servers.b.env]\nAPI_KEY = \"marked-2\"\n",
        ),
        (
            ".claude.json",
            "{\"projects\":{\"/p\":{\"mcpServers\":{\"c\":{\"type\":\"stdio\",\"command\":\"npx\",\"args\":[\"-y\",\"supergateway\",\"--streamableHttp\",\"URL\"],\"env\":{}}}}},\"numStartups\":7}",
        ),
        (
            ".config/Code/User/mcp.json",
            "{\r\n\t\"servers\": {\r\n\t\t\"d\": {\r\n\t\t\t\"command\": \"npx\",\r\n\t\t\t\"args\": [\"-y\", \"mcp-remote\", \"URL\", \"--header\", \"X-API-Key: marked-3\"]\r\n\t\t}\r\n\t}\r\n}\r\n",
        ),
        (
            ".config/opencode/opencode.json",
            "{\n  \"mcp\": {\n    \"e\": {\n      \"type\": \"local\",\n      \"command\": [\"uvx\", \"mcp-proxy\", \"--transport\", \"streamablehttp\", \"URL\"],\n      \"enabled\": true\n    }\n  }\n}\n",
        ),
        (
            ".gemini/settings.json",
            "{\n  \"mcpServers\": {\n    \"f\": { \"command\": \"cloudflared\", \"args\": [\"access\", \"tcp\", \"--hostname\", \"h\"] }\n  }\n}\n",
        ),
    ];
    let write = |(file, text): (&str, &str)| {
        let text = text.replace("URL", url);
        (home.write(file, &text), text)
    };
    let written = files.into_iter().map(write).collect();
    (home, written)
}

#[test]
#[cfg(target_os = "linux")]
fn migrate_replaces_certain_entries_and_undo_restores_every_byte() {
    for place in ["keep", "env-file", "input"] {
        let (home, files) = home_with_other_proxies(URL);
        let listed = home.run(&["migrate"]);
        assert_eq!(listed.code, Some(2));
        assert!(listed.error.contains("--yes"), "{}", listed.error);
        assert!(files.iter().all(|(path, text)| text_of(path) == *text), "listing writes nothing");

        let told = home.run(&["migrate", "--yes", "--secrets", place]);
        assert_eq!(told.code, Some(1), "one entry is not certain: {}", told.error);
        for text in [&listed.out, &listed.error, &told.out, &told.error] {
            assert!(!text.contains("marked"), "{text}");
        }
        assert!(
            told.out.contains("--no-such-option is left out") && told.out.contains("is not certain"),
            "{}",
            told.out
        );
        assert!(told.out.contains("== f in ") && told.out.contains("cloudflared access"), "{}", told.out);
        assert!(told.out.contains("Replaced: 5 of 6"), "{}", told.out);
        let texts: Vec<String> = files.iter().map(|(path, _)| text_of(path)).collect();
        let [cursor, codex, claude, vscode, opencode, gemini] = &texts[..] else { panic!("{texts:?}") };
        assert!(cursor.contains("// work") && cursor.contains("\"fs\": { \"command\": \"npx\""), "{cursor}");
        assert!(cursor.contains("--no-such-option") && cursor.contains(&home.program()), "{cursor}");
        assert!(
            codex.contains(&format!("command = \"{}\" # old\n", home.program()))
                && codex.contains("startup_timeout_sec = 20"),
            "{codex}"
        );
        assert!(
            claude.contains(&format!("\"command\":\"{}\"", home.program()))
                && claude.ends_with("\"numStartups\":7}"),
            "{claude}"
        );
        assert!(!claude.contains('\n'), "{claude}");
        assert_eq!(vscode.matches('\n').count(), vscode.matches("\r\n").count(), "{vscode}");
        assert!(opencode.contains(&home.program()) && opencode.contains("\"enabled\": true"), "{opencode}");
        assert_eq!(*gemini, files[5].1);
        let secrets = |text: &str| text.matches("marked").count();
        let env_folder = home.path(".config/mcp-tether/env");
        match place {
            "keep" => assert_eq!([cursor, codex, vscode].map(|text| secrets(text)), [1, 1, 1]),
            "env-file" => {
                assert_eq!([cursor, codex, vscode].map(|text| secrets(text)), [0, 0, 0]);
                assert!(text_of(&env_folder.join("a.cursor.env")).contains("A_TOKEN='marked-1'"));
                assert!(text_of(&env_folder.join("b.codex.env")).contains("API_KEY='marked-2'"));
                assert!(text_of(&env_folder.join("d.vscode.env")).contains("D_API_KEY='marked-3'"));
            }
            _ => {
                assert_eq!([cursor, codex, vscode].map(|text| secrets(text)), [1, 1, 0]);
                assert!(
                    vscode.contains("\"${input:d-api-key}\"") && vscode.contains("promptString"),
                    "{vscode}"
                );
            }
        }
        let again = home.run(&["migrate", "--yes"]);
        assert!(again.out.contains("Replaced: 0 of 1"), "{}", again.out);

        home.run(&["migrate", "--undo", "--yes"]).done();
        for (path, text) in &files {
            assert_eq!(text_of(path), *text, "{place}");
        }
        assert!(!env_folder.exists() || home.names(".config/mcp-tether/env").is_empty());
        assert!(!home.path(".cursor/mcp.json.before-mcp-tether-migrate").exists());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn undo_keeps_later_changes() {
    let (home, files) = home_with_other_proxies(URL);
    home.run(&["migrate", "--yes", "--from", ".codex/config.toml"]).done();
    let path = &files[1].0;
    let changed =
        text_of(path).replace("model = \"x\"", "model = \"y\"") + "\n[mcp_servers.later]\ncommand = \"z\"\n";
    std::fs::write(path, &changed).expect("written");
    home.run(&["migrate", "--undo", "--yes"]).done();
    let text = text_of(path);
    assert!(text.contains("model = \"y\"") && text.contains("[mcp_servers.later]"), "{text}");
    assert!(text.contains("mcp-remote") && !text.contains(&home.program()), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn migrate_asks_for_each_entry_and_for_its_secrets() {
    let (home, files) = home_with_other_proxies(URL);
    let command = home.command(BINARY, &["migrate", "--from", ".cursor/mcp.json"]);
    let told = on_terminal(command, |question| match question {
        question if question.starts_with("Replace odd?") => "y\n",
        question if question.contains("secrets stand in clear text") => "y\n",
        _ => "n\n",
    });
    assert_eq!(told.code, Some(1), "{}{}", told.out, told.error);
    let text = text_of(&files[0].0);
    assert!(text.contains("mcp-remote@0.1.29") && !text.contains("--no-such-option"), "{text}");
    assert!(!home.path(".config/mcp-tether/env").exists(), "nothing was moved for an entry that stays");
}

#[test]
#[cfg(target_os = "linux")]
fn migrate_tries_replacements_with_check() {
    let server = Server::legacy(|request, reply| reply.result(request, r#"{"tools":[]}"#));
    let home = Home::new();
    let entry = |url: &str| format!("{{\"command\":\"npx\",\"args\":[\"mcp-remote\",\"{url}\"]}}");
    // No server is at the first port.
    let text = format!(
        "{{\"mcpServers\":{{\"none\":{},\"there\":{}}}}}",
        entry("http://127.0.0.1:1/mcp"),
        entry(&server.url)
    );
    let path = home.write(".cursor/mcp.json", &text);
    let told = home.run(&["migrate", "--yes", "--check"]);
    assert_eq!(told.code, Some(1), "{}", told.error);
    assert!(
        told.out.contains("check: every step worked") && told.out.contains("check: a step failed"),
        "{}",
        told.out
    );
    let text = text_of(&path);
    assert!(text.contains("\"none\":{\"command\":\"npx\""), "{text}");
    assert!(text.contains(&format!("\"there\":{{\"command\":\"{}\"", home.program())), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn install_copies_program_and_add_uses_lasting_path() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let home = Home::new();
    // As npx has it.
    let folder = home.path(".npm/_npx/1a2b/node_modules/@mcp-tether/linux-x64/bin");
    std::fs::create_dir_all(&folder).expect("a folder");
    let program = folder.join("mcp-tether");
    std::fs::copy(BINARY, &program).expect("copied");
    let run = |arguments: &[&str]| Told::of(home.command(&program, arguments).output().expect("it starts"));
    let version = run(&["--version"]).done().out;
    let first = concat!("mcp-tether ", env!("CARGO_PKG_VERSION"), "\n");
    assert!(version.starts_with(first) && version.contains("started by npx"), "{version}");
    assert_eq!(version.lines().count(), 2);
    let told = run(&["config", "my-server", URL, "--client", "cursor"]).done();
    assert!(
        told.out.contains("\"command\": \"npx\"") && told.out.contains("[\"-y\", \"mcp-tether\", "),
        "{}",
        told.out
    );
    assert!(told.error.contains("npx, which prints and logs its arguments"), "{}", told.error);

    home.write(".cursor/mcp.json", "{}\n");
    let installed = home.path(".local/bin/mcp-tether");
    let told = run(&["add", "my-server", URL, "--client", "cursor", "--yes"]).done();
    assert!(told.out.contains("started by npx") && told.out.contains("is not on PATH"), "{}", told.out);
    assert_eq!(std::fs::metadata(&installed).expect("a program").permissions().mode() & 0o777, 0o755);
    let text = text_of(&home.path(".cursor/mcp.json"));
    assert!(text.contains(&format!("\"command\": \"{}\"", installed.display())), "{text}");
    assert!(run(&["install"]).done().out.contains("already"));
    std::fs::write(&installed, "another program").expect("written");
    let told = run(&["install"]);
    assert_eq!(told.code, Some(2));
    assert!(told.error.contains("--yes"), "{}", told.error);
    run(&["install", "--yes"]).done();
    assert!(Command::new(&installed).arg("--version").output().expect("it starts").status.success());
    std::fs::remove_file(&installed).expect("removed");
    symlink(BINARY, &installed).expect("a link");
    let told = run(&["install", "--yes"]);
    assert!(told.error.contains("symbolic link of another installer"), "{}", told.error);
}
