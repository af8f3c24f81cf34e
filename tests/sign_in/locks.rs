//! A lock that another process has, a disk that takes nothing for a while, and what stands in the place of files.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::refresh::signed_in;
use super::support::authority::{Authority, Set, visit};
use super::support::proxy::Proxy;
use super::{Home, call, page};

/// The file of a sign-in with this extension.
fn file(home: &Home, extension: &str) -> PathBuf {
    let folder = std::fs::read_dir(home.path().join("mcp-tether/oauth")).expect("a folder").flatten();
    let is_json = |path: &PathBuf| path.extension().is_some_and(|found| found == "json");
    let json = { folder }.map(|entry| entry.path()).find(is_json).expect("a file of tokens");
    json.with_extension(extension)
}

/// Takes a lock as another process does, which names itself.
fn take(path: &Path) -> File {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).open(path).expect("it can be opened");
    file.lock().expect("it is free");
    file.write_all(b"4711\n").expect("it can be written");
    file
}

#[test]
fn token_is_not_refreshed_while_lock_is_held() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    signed_in(&home, &authority).finish();
    let path = file(&home, "lock");
    let lock = take(&path);
    authority.forget(false);
    let mut proxy = home.start(&authority, &["--auth-timeout", "1"]);
    let line = proxy.ask(&call(1));
    for part in ["another process (4711) has the lock", &path.display().to_string(), "end it"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(authority.count("/token"), 1, "nothing is exchanged without the lock");
    drop(lock);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    assert_eq!(authority.count("/token"), 2);
    let told = proxy.finish().stderr;
    assert!(!told.contains("sign in at"), "{told}");
}

#[test]
fn unusable_lock_is_named_in_error() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    signed_in(&home, &authority).finish();
    let path = file(&home, "lock");
    std::fs::remove_file(&path).expect("it is there");
    std::fs::create_dir(&path).expect("created");
    authority.forget(false);
    // Also where the server says nothing of signing in.
    authority.change(|set| set.challenge = String::new());
    let mut proxy = home.start(&authority, &[]);
    let line = proxy.ask(&call(1));
    assert!(line.contains(&path.display().to_string()) && line.contains("cannot be used"), "{line}");
    assert_eq!(authority.count("/token"), 1);
    std::fs::remove_dir(&path).expect("removed");
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    proxy.finish();
}

#[test]
fn sign_in_that_another_process_holds_is_waited_for() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    signed_in(&home, &authority).finish();
    let lock = take(&file(&home, "flow"));
    authority.forget(true);
    let mut proxy = home.start(&authority, &["--auth-timeout", "1"]);
    let line = proxy.ask(&call(1));
    assert!(line.contains("another process (4711) has the lock") && line.contains(".flow"), "{line}");
    drop(lock);
    proxy.send(&call(2));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

/// Keeps a process from writing what it stores, until this is dropped; locks can be taken. A limit of file size leaves room
/// for what a lock holds.
#[cfg(target_os = "linux")]
struct Obstacle(rustix::process::Pid, rustix::process::Rlimit);

#[cfg(target_os = "linux")]
impl Obstacle {
    fn new(_: &Home, proxy: &Proxy) -> Obstacle {
        use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
        let process = Pid::from_raw(proxy.id().cast_signed()).expect("it runs");
        let maximum = getrlimit(Resource::Fsize).maximum;
        let before = prlimit(Some(process), Resource::Fsize, Rlimit { current: Some(64), maximum });
        Obstacle(process, before.expect("it is ours"))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Obstacle {
    fn drop(&mut self) {
        let limit = rustix::process::Resource::Fsize;
        rustix::process::prlimit(Some(self.0), limit, self.1).expect("it runs");
    }
}

/// The same elsewhere: a folder in which nothing can be created. The superuser could.
#[cfg(not(target_os = "linux"))]
struct Obstacle(PathBuf);

#[cfg(not(target_os = "linux"))]
impl Obstacle {
    fn new(home: &Home, _: &Proxy) -> Obstacle {
        let folder = file(home, "json").parent().expect("a folder").to_owned();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
        std::fs::set_permissions(&folder, mode).expect("ours");
        Obstacle(folder)
    }
}

#[cfg(not(target_os = "linux"))]
impl Drop for Obstacle {
    fn drop(&mut self) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&self.0, mode).expect("ours");
    }
}

/// A process whose store takes nothing, with a token that it could not save; and the obstacle.
fn unsaved(home: &Home, authority: &Authority) -> (Proxy, Obstacle) {
    let mut proxy = signed_in(home, authority);
    let obstacle = Obstacle::new(home, &proxy);
    authority.forget(false);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    assert!(proxy.ask(&call(3)).contains("\"result\""));
    proxy.tells("cannot be written");
    assert!(home.kept().contains("marked-refresh-1"), "it could not be saved");
    (proxy, obstacle)
}

#[test]
fn unsaved_token_is_saved_with_next_use() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let (mut proxy, obstacle) = unsaved(&home, &authority);
    drop(obstacle);
    assert!(proxy.ask(&call(4)).contains("\"result\""));
    assert!(home.kept().contains("marked-refresh-2"), "{}", home.kept());
    let told = proxy.finish().stderr;
    assert_eq!(told.matches("cannot be written").count(), 1, "{told}");
    assert_eq!((authority.count("/token"), authority.count("/authorize")), (2, 1));
}

#[test]
fn unsaved_token_is_saved_at_exit() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let (proxy, obstacle) = unsaved(&home, &authority);
    drop(obstacle);
    proxy.finish();
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert!(!proxy.finish().stderr.contains("sign in at"));
    assert_eq!((authority.count("/token"), authority.count("/authorize")), (2, 1));
}

#[test]
fn unsaved_token_is_refreshed_by_no_other_process() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let (first, obstacle) = unsaved(&home, &authority);
    authority.forget(false);
    let mut second = home.start(&authority, &[]);
    second.send(&call(1));
    let refused = second.line();
    assert!(refused.contains("another process") && refused.contains(&first.id().to_string()), "{refused}");
    assert_eq!(authority.count("/token"), 2, "what is in the file was exchanged already");
    second.finish();
    drop(obstacle);
    first.finish();
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!((authority.count("/token"), authority.count("/authorize")), (3, 1));
}

#[test]
fn unsaved_token_overwrites_no_newer_one() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let (mut proxy, obstacle) = unsaved(&home, &authority);
    // Another process signs in anew meanwhile.
    let json = file(&home, "json");
    let text = std::fs::read_to_string(&json).expect("text").replace("marked-access-1", "marked-newer");
    std::fs::write(&json, &text).expect("written");
    drop(obstacle);
    assert!(proxy.ask(&call(4)).contains("\"result\""));
    proxy.finish();
    assert_eq!(std::fs::read_to_string(&json).expect("text"), text);
}

#[test]
fn what_stands_in_place_of_files_holds_nobody_up() {
    for extension in ["json", "lock", "flow"] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        signed_in(&home, &authority).finish();
        let path = file(&home, extension);
        let _ = std::fs::remove_file(&path);
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("there is a mkfifo");
        assert!(made.success());
        authority.forget(extension == "json");
        let mut proxy = home.start(&authority, &[]);
        proxy.send(&call(1));
        if extension == "json" {
            proxy.tells("but a regular file is needed");
            visit(&page(&proxy, 1));
        }
        assert!(proxy.line().contains("\"result\""), "{extension}");
        proxy.finish();
        // What is kept then is a file again.
        assert!(file(&home, "json").metadata().expect("it is there").is_file());
    }
}
