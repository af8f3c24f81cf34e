//! Several sign-ins: `tokens` lists those of a URL, and `logout --all` ends them.

use std::process::Command;

use super::Home;
use super::support::authority::{Authority, Set, value, visit};
use super::support::proxy::{Proxy, Stdin};
use super::token_store::Vault;

fn run(home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    let output = program.args(arguments).env_clear().envs(home.environment(&[])).output().expect("it starts");
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), told.concat())
}

fn log_in(home: &Home, authority: &Authority, options: &[&str]) {
    let arguments = [&["login", authority.server.url.as_str()], options].concat();
    let proxy = Proxy::start_with(Stdin::Pipes, &arguments, &home.environment(&[]));
    assert!(visit(&super::page(&proxy, 1)).contains("You are signed in"), "{options:?}");
    assert_eq!(proxy.wait_unread(), Some(0), "{options:?}");
}

/// The tokens that were revoked, in their order.
fn revoked(authority: &Authority) -> Vec<String> {
    let requests = authority.server.requests();
    let mut tokens: Vec<String> = requests
        .iter()
        .filter(|request| request.path == "/revoke")
        .filter_map(|request| value(&request.body, "token"))
        .collect();
    tokens.sort();
    tokens
}

#[test]
fn tokens_lists_all_profiles_of_url() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let other = Authority::start(Set::default());
    let url = authority.server.url.as_str();
    log_in(&home, &authority, &["--profile", "work"]);
    let (code, told) = run(&home, &["tokens", url]);
    assert!(code == Some(0) && told.contains("profile:  work"), "{told}");
    log_in(&home, &authority, &[]);
    log_in(&home, &authority, &["--profile", "home"]);
    log_in(&home, &other, &["--profile", "elsewhere"]);
    let (code, told) = run(&home, &["tokens", url]);
    assert_eq!((code, told.matches("issuer:").count()), (Some(0), 3), "{told}");
    let places = ["issuer:", "profile:  home", "profile:  work"].map(|part| told.find(part));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{told}");
    assert!(!told.contains("marked") && !told.contains("elsewhere"), "{told}");
    // With the name of one, that one alone.
    let (code, told) = run(&home, &["tokens", url, "--profile", "work"]);
    assert_eq!((code, told.matches("issuer:").count()), (Some(0), 1), "{told}");
    let (code, told) = run(&home, &["tokens", url, "--profile", "none"]);
    assert!(code == Some(1) && told.contains("--profile none"), "{told}");
}

#[test]
fn logout_all_ends_every_sign_in_of_url() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let other = Authority::start(Set::default());
    let url = authority.server.url.as_str();
    for options in [&[][..], &["--profile", "work"], &["--header", "X-Account: alice"]] {
        log_in(&home, &authority, options);
    }
    log_in(&home, &other, &[]);
    let (code, told) = run(&home, &["logout", "--all", url]);
    assert!(code == Some(0) && told.contains("you are signed out of 3 sign-ins"), "{told}");
    assert_eq!(revoked(&authority), ["marked-refresh-1", "marked-refresh-2", "marked-refresh-3"]);
    assert_eq!(run(&home, &["tokens", url]).0, Some(1));
    assert_eq!(run(&home, &["logout", "--all", url]).0, Some(1));
    assert_eq!(run(&home, &["tokens", &other.server.url]).0, Some(0), "that of another server stays");
}

#[test]
fn logout_all_without_url_ends_everything_after_yes() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let other = Authority::start(Set::default());
    assert_eq!(run(&home, &["logout", "--all", "--yes"]).0, Some(1));
    log_in(&home, &authority, &["--profile", "work"]);
    log_in(&home, &other, &[]);
    let kept = home.kept();
    let (code, told) = run(&home, &["logout", "--all"]);
    assert!(code == Some(2) && told.contains("add --yes"), "{told}");
    assert_eq!(home.kept(), kept, "the user was asked");
    for wrong in [&["logout", "--yes"][..], &["logout", "--all", "--profile", "work"], &["tokens", "--all"]] {
        assert_eq!(run(&home, wrong).0, Some(2), "{wrong:?}");
    }
    let (code, told) = run(&home, &["logout", "--all", "--yes"]);
    assert_eq!((code, told.matches("signed out: ").count()), (Some(0), 2), "{told}");
    assert!(told.contains(&format!("{}, profile work", authority.server.url)), "{told}");
    assert_eq!((home.kept().as_str(), revoked(&authority).len(), revoked(&other).len()), ("", 1, 1));
    assert_eq!(run(&home, &["logout", "--all", "--yes"]).0, Some(1));
}

#[test]
fn sign_in_of_other_token_store_is_reported_and_stays() {
    let (vault, authority) = (Vault::new(), Authority::start(Set::default()));
    let url = authority.server.url.as_str();
    vault.signed_in(&authority).finish();
    for arguments in [&["tokens", url][..], &["logout", "--all", url], &["logout", "--all", "--yes"]] {
        let (_, told) = run(&vault.home, arguments);
        assert!(told.contains("rests in another token store (command): add its --token-store"), "{told}");
    }
    assert!(vault.kept().contains("marked-refresh-1"));
    let output = vault.run(&["logout", "--all", "--yes"]);
    assert_eq!((output.status.code(), vault.kept().as_str()), (Some(0), ""), "{output:?}");
    assert_eq!(revoked(&authority), ["marked-refresh-1"]);
}

/// Runs a command on a terminal at which this is typed. Returns its exit code and what it printed.
#[cfg(target_os = "linux")]
fn run_on_terminal(home: &Home, arguments: &[&str], typed: &str) -> (Option<i32>, String) {
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Stdio;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
    let name = ptsname(&ours, Vec::new()).expect("a name");
    let mut options = std::fs::OpenOptions::new();
    let terminal = options.read(true).write(true).open(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let mut ours = std::fs::File::from(ours);
    // The terminal holds it until it is read.
    ours.write_all(typed.as_bytes()).expect("typed");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-tether"));
    command.args(arguments).env_clear().envs(home.environment(&[]));
    command.stdin(terminal.expect("a terminal")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().expect("it starts").wait_with_output().expect("it ends");
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), told.concat())
}

#[test]
#[cfg(target_os = "linux")]
fn logout_all_without_url_asks_at_terminal() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    log_in(&home, &authority, &["--profile", "work"]);
    let kept = home.kept();
    let (code, told) = run_on_terminal(&home, &["logout", "--all"], "n\n");
    assert!(code == Some(1) && told.contains("Sign out of 1 sign-in?"), "{told}");
    assert!(told.contains(&format!("{}, profile work", authority.server.url)), "{told}");
    assert_eq!((home.kept(), authority.count("/revoke")), (kept, 0));
    let (code, told) = run_on_terminal(&home, &["logout", "--all"], "y\n");
    assert!(code == Some(0) && told.contains("signed out: "), "{told}");
    assert_eq!((home.kept().as_str(), authority.count("/revoke")), ("", 1));
}
