//! `--token-store command:`: what a command keeps in place of files, by twenty processes, by killed ones, and by a command that
//! fails.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

use super::support::authority::{Authority, Set, visit};
use super::support::proxy::Proxy;
use super::{Home, call, page};

/// Where the programs of the script are.
pub(crate) const PATH: &str = "/usr/bin:/bin";

/// Keeps each document in a file of a folder. `hold-get` and so on are pipes at which it waits, `fail` makes it fail.
const SCRIPT: &str = r#"
set -eu
exec 2>/dev/null
folder=$1 action=$2
while IFS= read -r line && [ -n "$line" ]; do
  case $line in
    key=*) key=${line#key=} ;;
    secret=*) secret=${line#secret=} ;;
  esac
done
echo "$action" >> "$folder/log"
hold() { if [ -p "$folder/hold-$1" ]; then : < "$folder/hold-$1"; fi; }
hold "$action"
[ ! -e "$folder/fail" ] || exit 3
case $action in
  get) if [ -e "$folder/$key.secret" ]; then printf 'secret='; cat "$folder/$key.secret"; echo; fi ;;
  store) printf '%s' "$secret" > "$folder/$key.new"; mv "$folder/$key.new" "$folder/$key.secret"; hold stored ;;
  erase) rm -f "$folder/$key.secret" ;;
esac
"#;

/// A command that keeps sign-ins, and the home of the processes that use it.
pub(crate) struct Vault {
    pub(crate) home: Home,
    folder: tempfile::TempDir,
}

impl Vault {
    pub(crate) fn new() -> Vault {
        let vault = Vault { home: Home::new(), folder: tempfile::tempdir().expect("a folder") };
        std::fs::write(vault.path("script"), SCRIPT).expect("written");
        vault
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn option(&self) -> String {
        format!(
            "--token-store=command:/bin/sh {} {}",
            self.path("script").display(),
            self.folder.path().display()
        )
    }

    fn start(&self, authority: &Authority) -> Proxy {
        self.start_as(authority, &[])
    }

    fn start_as(&self, authority: &Authority, arguments: &[&str]) -> Proxy {
        let option = self.option();
        self.home.start_at(&authority.server.url, &[arguments, &[&option]].concat(), &[("PATH", PATH)])
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let option = self.option();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
        command.args(arguments).arg(option).env_clear();
        command.envs(self.home.environment(&[("PATH", PATH)])).output().expect("it starts")
    }

    /// Signs in, and leaves the proxy running.
    pub(crate) fn signed_in(&self, authority: &Authority) -> Proxy {
        let mut proxy = self.start(authority);
        proxy.send(&call(1));
        assert!(visit(&page(&proxy, 1)).contains("You are signed in"));
        assert!(proxy.line().contains("\"result\""));
        proxy
    }

    /// What the command keeps, whole.
    pub(crate) fn kept(&self) -> String {
        let entries = std::fs::read_dir(self.folder.path()).expect("a folder").flatten();
        let is_secret = |path: &PathBuf| path.extension().is_some_and(|end| end == "secret");
        let files = entries.map(|entry| entry.path()).filter(is_secret);
        files.map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect()
    }

    /// Everything in the configuration folder.
    fn files(&self) -> String {
        let entries = std::fs::read_dir(self.home.path().join("mcp-tether/oauth")).into_iter().flatten();
        entries.flatten().map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default()).collect()
    }

    /// How often the command was started with an action.
    fn count(&self, action: &str) -> usize {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().filter(|line| *line == action).count()
    }

    /// Has the command wait at a step.
    fn hold(&self, step: &str) {
        let path = self.path(&format!("hold-{step}"));
        assert!(Command::new("mkfifo").arg(path).status().expect("there is a mkfifo").success());
    }

    /// Waits until the command waits at a step, and lets it continue, once.
    fn release(&self, step: &str) {
        let path = self.path(&format!("hold-{step}"));
        // Opening for writing waits for the reader.
        let mut pipe = std::fs::OpenOptions::new().write(true).open(&path).expect("a pipe");
        let _ = pipe.write_all(b"\n");
        std::fs::remove_file(path).expect("it is there");
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn command_keeps_tokens_in_place_of_files() {
    let (vault, authority) = (Vault::new(), Authority::start(Set::default()));
    vault.signed_in(&authority).finish();
    assert!(vault.kept().contains("marked-refresh-1"));
    let files = vault.files();
    assert!(files.contains(r#""token_store":"command""#) && !files.contains("marked"), "{files}");
    // The next process asks no user, and stores the tokens that it refreshes.
    authority.forget(false);
    let mut proxy = vault.start(&authority);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    assert!(!proxy.finish().stderr.contains("sign in at"));
    assert!(vault.kept().contains("marked-refresh-2") && !vault.files().contains("marked"));
    // A request that needs no other token runs no command.
    let (got, stored) = (vault.count("get"), vault.count("store"));
    let mut proxy = vault.start(&authority);
    for id in 3..6 {
        assert!(proxy.ask(&call(id)).contains("\"result\""));
    }
    proxy.finish();
    assert_eq!((vault.count("get"), vault.count("store")), (got + 1, stored));

    let url = authority.server.url.as_str();
    let shown = vault.run(&["tokens", url]);
    let text = told(&shown);
    assert!(shown.status.code() == Some(0) && text.contains("in the token store (command)"), "{text}");
    assert!(!text.contains("marked"), "{text}");
    let gone = vault.run(&["logout", url]);
    assert!(gone.status.code() == Some(0) && told(&gone).contains("signed out"), "{gone:?}");
    assert_eq!(authority.count("/revoke"), 1);
    assert_eq!((vault.kept().as_str(), vault.count("erase")), ("", 1));
    assert_eq!(vault.run(&["logout", url]).status.code(), Some(1));
}

#[test]
fn tokens_in_file_move_to_command() {
    let (vault, authority) = (Vault::new(), Authority::start(Set::default()));
    super::refresh::signed_in(&vault.home, &authority).finish();
    assert!(vault.files().contains("marked-refresh-1"));
    let mut proxy = vault.start(&authority);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert!(!proxy.finish().stderr.contains("sign in at"));
    assert!(vault.kept().contains("marked-refresh-1") && !vault.files().contains("marked"));
    assert_eq!((authority.count("/authorize"), authority.count("/token")), (1, 1));
}

#[test]
fn registered_secret_is_in_no_file_while_page_is_open() {
    let registration = r#"{"client_id":"a-client","client_secret":"marked-client-secret"}"#;
    let set = Set { registration: Some((201, registration)), ..Set::default() };
    let (vault, authority) = (Vault::new(), Authority::start(set));
    let mut proxy = vault.start(&authority);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    let files = vault.files();
    assert!(files.contains("verifier") && !files.contains("marked-client-secret"), "{files}");
    assert!(vault.kept().contains("marked-client-secret"));
    proxy.kill();
    // The process that resumes it has the secret.
    let mut proxy = vault.start(&authority);
    proxy.send(&call(1));
    assert_eq!(page(&proxy, 1), address);
    assert!(visit(&address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    use base64::Engine;
    let pair = base64::prelude::BASE64_STANDARD.encode("a-client:marked-client-secret");
    let expected = format!("Basic {pair}");
    assert_eq!(authority.last("/token").header("authorization"), Some(expected.as_str()));
    assert!(!vault.files().contains("marked"));
}

#[test]
fn twenty_processes_share_sign_in_and_refresh_of_command() {
    let (vault, authority) = (Vault::new(), Authority::start(Set::default()));
    let mut proxies: Vec<Proxy> = (0..20).map(|_| vault.start(&authority)).collect();
    for proxy in &mut proxies {
        proxy.send(&call(1));
    }
    let address = loop {
        if let Some(address) = proxies.iter().find_map(|proxy| proxy.told_so_far("sign in at ")) {
            break address;
        }
        std::thread::yield_now();
    };
    assert!(visit(&address).contains("You are signed in"));
    for proxy in &mut proxies {
        assert!(proxy.line().contains("\"result\""));
    }
    assert_eq!((authority.count("/register"), authority.count("/token")), (1, 1));
    authority.forget(false);
    for proxy in &mut proxies {
        proxy.send(&call(2));
    }
    for mut proxy in proxies {
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{line}");
        assert!(!proxy.finish().stderr.contains("marked"));
    }
    assert_eq!((authority.count("/authorize"), authority.count("/token")), (1, 2));
}

#[test]
fn waiting_process_runs_no_command_before_something_is_stored() {
    let (vault, authority) = (Vault::new(), Authority::start(Set::default()));
    let mut first = vault.start(&authority);
    first.send(&call(1));
    let address = page(&first, 1);
    let mut second = vault.start_as(&authority, &["--auth-timeout", "1"]);
    assert!(second.ask(&call(2)).contains("requires a sign-in"));
    let before = vault.count("get");
    // It looks for the other's tokens five times a second.
    assert!(second.ask(&call(3)).contains("requires a sign-in"));
    assert_eq!(vault.count("get"), before);
    assert!(visit(&address).contains("You are signed in"));
    assert!(first.line().contains("\"result\""));
    let mut id = 4;
    while !second.ask(&call(id)).contains("\"result\"") {
        id += 1;
    }
    assert!(!second.finish().stderr.contains("sign in at "));
    first.finish();
    assert_eq!(authority.count("/authorize"), 1);
}

#[test]
fn killed_process_loses_no_refreshed_token() {
    for step in ["get", "store", "stored"] {
        let (vault, authority) = (Vault::new(), Authority::start(Set::default()));
        let mut proxy = vault.signed_in(&authority);
        authority.forget(false);
        let before = vault.count("get");
        vault.hold(step);
        proxy.send(&call(2));
        let action = if step == "stored" { "store" } else { step };
        let known = if step == "get" { before } else { 2 };
        while vault.count(action) <= known {
            std::thread::yield_now();
        }
        proxy.kill();
        if step == "get" {
            vault.release(step);
        }
        // The command of the killed process ends while the next process asks for another token with the old one.
        let is_late = step == "store";
        if is_late {
            authority.change(|set| set.held = Some("/token"));
        }
        let requests = authority.count("/token");
        let mut proxy = vault.start(&authority);
        proxy.send(&call(3));
        if is_late {
            while authority.count("/token") == requests {
                std::thread::yield_now();
            }
        }
        if step != "get" {
            vault.release(step);
            while !vault.kept().contains("marked-refresh-2") {
                std::thread::yield_now();
            }
        }
        authority.change(|set| set.held = None);
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{step}: {line}");
        assert!(!proxy.finish().stderr.contains("sign in at"), "{step}");
        assert_eq!(authority.count("/authorize"), 1, "{step}");
    }
}

#[test]
fn killed_process_loses_no_token_of_sign_in() {
    for step in ["store", "stored"] {
        let (vault, authority) = (Vault::new(), Authority::start(Set::default()));
        let mut proxy = vault.start(&authority);
        proxy.send(&call(1));
        let address = page(&proxy, 1);
        let before = vault.count("store");
        vault.hold(step);
        let visitor = std::thread::spawn(move || visit(&address));
        while vault.count("store") == before {
            std::thread::yield_now();
        }
        proxy.kill();
        vault.release(step);
        while !vault.kept().contains("marked-refresh-1") {
            std::thread::yield_now();
        }
        visitor.join().expect("a page or none");
        let mut proxy = vault.start(&authority);
        assert!(proxy.ask(&call(2)).contains("\"result\""), "{step}");
        assert!(!proxy.finish().stderr.contains("sign in at"), "{step}");
        assert_eq!((authority.count("/authorize"), authority.count("/token")), (1, 1), "{step}");
    }
}

#[test]
fn failing_command_is_named_and_loses_nothing() {
    let (vault, authority) = (Vault::new(), Authority::start(Set::default()));
    let mut proxy = vault.signed_in(&authority);
    std::fs::write(vault.path("fail"), "").expect("written");
    // A process with a token uses it; a process without one opens no sign-in page.
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    let mut other = vault.start(&authority);
    let line = other.ask(&call(3));
    for part in ["the command of --token-store failed (exit status: 3)", "run that command by hand"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!other.finish().stderr.contains("sign in at"));
    // What cannot be read is not refreshed.
    authority.forget(false);
    let line = proxy.ask(&call(4));
    assert!(line.contains("the command of --token-store failed"), "{line}");
    assert_eq!(authority.count("/token"), 1);
    for command in ["tokens", "logout"] {
        let output = vault.run(&[command, &authority.server.url]);
        let text = told(&output);
        assert!(
            output.status.code() == Some(1) && text.contains("--token-store failed"),
            "{command}: {text}"
        );
    }
    std::fs::remove_file(vault.path("fail")).expect("it is there");
    assert!(proxy.ask(&call(5)).contains("\"result\""));
    proxy.finish();
    assert_eq!(authority.count("/authorize"), 1);
    assert!(vault.kept().contains("marked-refresh-2"));
}

#[test]
fn token_that_command_does_not_take_is_stored_at_the_end() {
    let (vault, authority) = (Vault::new(), Authority::start(Set::default()));
    let mut proxy = vault.signed_in(&authority);
    authority.forget(false);
    authority.change(|set| set.held = Some("/token"));
    proxy.send(&call(2));
    authority.server.wait_for(|request| request.body.contains("grant_type=refresh_token"));
    std::fs::write(vault.path("fail"), "").expect("written");
    authority.change(|set| set.held = None);
    assert!(proxy.line().contains("\"result\""));
    proxy.tells("the sign-in cannot be stored: the command of --token-store failed");
    // It is not tried again with each request.
    let stored = vault.count("store");
    assert!(proxy.ask(&call(3)).contains("\"result\""));
    assert_eq!(vault.count("store"), stored);
    std::fs::remove_file(vault.path("fail")).expect("it is there");
    proxy.finish();
    assert!(vault.kept().contains("marked-refresh-2"));
}

#[test]
fn token_store_without_store_is_refused() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    for value in ["", "command:", "command: ", "vault", "command"] {
        let proxy = home.start(&authority, &["--token-store", value]);
        proxy.tells("--token-store");
        let ended = proxy.finish();
        assert!(
            ended.stderr.contains("write file, keychain, or command:") || value.is_empty(),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(authority.server.requests().len(), 0);
}
