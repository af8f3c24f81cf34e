//! Commands that print secrets: what they get, and that nothing of them outlives the proxy.
#![cfg(unix)]

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::INITIALIZE;
use crate::support::proxy::{Ended, Proxy, Stdin};
use crate::support::server::Server;

/// Where commands are found.
const PATH: (&str, &str) = ("PATH", "/usr/local/bin:/usr/bin:/bin");
/// As long as a command that nothing ends: longer than a test may take.
const ENDLESS: &str = "exec sleep 60";

fn start(stdin: Stdin, url: &str, command: &str, environment: &[(&str, &str)]) -> Proxy {
    let header = format!("X-Key: {command}");
    let environment = [&[PATH], environment].concat();
    Proxy::start_with(stdin, &[url, "--header-from", &header], &environment)
}

/// Waits for the end of the proxy and of every process that holds its stderr, which commands inherit.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the time of another process is measured")]
fn ended_within(seconds: u64, proxy: Proxy) -> Ended {
    let begun = Instant::now();
    let ended = proxy.wait();
    assert!(begun.elapsed() < Duration::from_secs(seconds), "took {:?}: {ended:?}", begun.elapsed());
    ended
}

fn send_signal(signal: &str, proxy: &Proxy) {
    let kill = Command::new("kill").arg(format!("-{signal}")).arg(proxy.id().to_string()).status();
    assert!(kill.expect("kill is there").success());
}

#[test]
fn signal_during_first_command_ends_its_whole_tree() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    for stdin in Stdin::ALL {
        for command in [
            format!("sh -c 'echo begun >&2; {ENDLESS}'"),
            "sh -c 'sleep 60 & sleep 60 & echo begun >&2; wait'".to_owned(),
            // One that does not hear what it is asked.
            "sh -c 'trap : TERM; echo begun >&2; while :; do sleep 60; done'".to_owned(),
        ] {
            let mut proxy = start(*stdin, &server.url, &command, &[]);
            proxy.send(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
            proxy.tells("begun");
            send_signal("TERM", &proxy);
            let ended = ended_within(10, proxy);
            assert_eq!(ended.code, Some(0), "{stdin:?} {command}: {ended:?}");
        }
    }
    assert!(server.requests().is_empty());
}

#[test]
fn end_of_input_during_first_command_ends_both() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    for stdin in Stdin::ALL {
        for asked in [false, true] {
            let mut proxy = start(*stdin, &server.url, "sh -c 'sleep 60 & echo begun >&2; wait'", &[]);
            if asked {
                proxy.send(INITIALIZE);
            }
            proxy.tells("begun");
            proxy.close();
            let ended = ended_within(15, proxy);
            assert_eq!(
                (ended.code, ended.lines.len()),
                (Some(0), usize::from(asked)),
                "{stdin:?}: {ended:?}"
            );
            assert!(
                ended.lines.iter().all(|line| line.contains(r#""id":1,"error":{"code":-31011"#)),
                "{ended:?}"
            );
        }
    }
}

#[test]
fn signal_during_later_command_ends_its_whole_tree() {
    let server = Server::start(|_, reply| reply.status(401));
    let folder = tempfile::tempdir().expect("a folder");
    let flag = folder.path().join("flag").display().to_string();
    let command =
        r#"sh -c 'if [ -e "$FLAG" ]; then sleep 60 & echo again >&2; wait; fi; touch "$FLAG"; echo first'"#;
    let mut proxy = start(Stdin::Pipes, &server.url, command, &[("FLAG", &flag)]);
    proxy.send(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    proxy.tells("again");
    send_signal("TERM", &proxy);
    assert_eq!(ended_within(10, proxy).code, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn refused_commands_leave_no_process_thread_or_descriptor() {
    let server = Server::start(|_, reply| reply.status(401));
    let folder = tempfile::tempdir().expect("a folder");
    let runs = folder.path().join("runs").display().to_string();
    // Another value each time, so that it is asked again each time.
    let command = r#"sh -c 'sleep 60 & echo x >>"$RUNS"; wc -l <"$RUNS"'"#;
    let mut proxy = start(Stdin::Pipes, &server.url, command, &[("RUNS", &runs)]);
    for id in 0..12 {
        proxy.ask(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
    }
    assert!(std::fs::read_to_string(&runs).expect("it ran").lines().count() > 10);
    let count = |what| std::fs::read_dir(format!("/proc/{}/{what}", proxy.id())).expect("it runs").count();
    let (threads, descriptors) = (count("task"), count("fd"));
    assert!(threads < 10 && descriptors < 25, "{threads} threads, {descriptors} descriptors");
    proxy.close();
    ended_within(10, proxy);
}

#[test]
fn lines_written_during_first_command_are_answered() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    for stdin in Stdin::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is there").success());
        let path = fifo.display().to_string();
        let mut proxy =
            start(*stdin, &server.url, r#"sh -c 'echo begun >&2; cat "$FIFO"'"#, &[("FIFO", &path)]);
        proxy.send(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        proxy.write(br#"{"jsonrpc":"2.0","id":2,"#);
        proxy.tells("begun");
        std::fs::write(&fifo, "the-value\n").expect("it is read");
        proxy.write(b"\"method\":\"ping\"}\n");
        let mut lines = [proxy.line(), proxy.line()];
        lines.sort();
        for (line, id) in lines.iter().zip(1..) {
            assert!(line.contains(&format!("\"id\":{id},\"result\"")), "{stdin:?}: {line}");
        }
        proxy.finish();
        assert!(server.requests().iter().all(|request| request.header("x-key") == Some("the-value")));
    }
}

#[test]
fn command_inherits_everything_but_the_service_token() {
    let server = Server::start(|request, reply| reply.result(request, "{}"));
    let folder = tempfile::tempdir().expect("a folder");
    let seen = folder.path().join("seen").display().to_string();
    let mut environment = vec![("SEEN", seen.as_str()), ("OTHER", "kept")];
    for name in [
        "CF_ACCESS_CLIENT_ID",
        "CF_ACCESS_CLIENT_SECRET",
        "CF_ACCESS_CLIENT_ID_NEXT",
        "CF_ACCESS_CLIENT_SECRET_NEXT",
        "CLOUDFLARE_ACCESS_CLIENT_ID",
        "CLOUDFLARE_ACCESS_CLIENT_SECRET",
        "CLOUDFLARE_ACCESS_CLIENT_ID_NEXT",
        "CLOUDFLARE_ACCESS_CLIENT_SECRET_NEXT",
        "TUNNEL_SERVICE_TOKEN_ID",
        "TUNNEL_SERVICE_TOKEN_SECRET",
        "TUNNEL_SERVICE_TOKEN_ID_NEXT",
        "TUNNEL_SERVICE_TOKEN_SECRET_NEXT",
    ] {
        environment.push((name, if name.contains("_ID") { "marked.access" } else { "marked-secret" }));
    }
    let mut proxy = start(Stdin::Pipes, &server.url, r#"sh -c 'env >"$SEEN"; echo x'"#, &environment);
    proxy.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    proxy.finish();
    let seen = std::fs::read_to_string(&seen).expect("it ran");
    assert!(seen.contains("OTHER=kept") && !seen.contains("marked"), "{seen}");
}

/// A password manager asks on the terminal that the shell gave us, and gets what is typed there; then it is ours again.
#[cfg(target_os = "linux")]
#[test]
fn command_asks_on_the_controlling_terminal() {
    use std::io::{Read, Write};
    use std::os::unix::ffi::OsStrExt;
    use std::process::Stdio;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let server = Server::legacy(|request, reply| reply.result(request, r#"{"tools":[]}"#));
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
    let name = ptsname(&ours, Vec::new()).expect("a name");
    let terminal = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
        .expect("a terminal");
    let command =
        r#"X-Key: sh -c 'printf "%s" "pass""word: " >/dev/tty; read typed </dev/tty; echo "$typed"'"#;
    // Two of them: the second one finds the terminal as the first one did.
    let mut child = Command::new("setsid")
        .args(["--ctty", env!("CARGO_BIN_EXE_mcp-tether"), "check", &server.url])
        .args(["--header-from", command, "--header-from", &command.replace("X-Key", "X-Other")])
        .env_clear()
        .envs([PATH])
        .stdin(terminal.try_clone().expect("a descriptor"))
        .stdout(Stdio::piped())
        .stderr(terminal)
        .spawn()
        .expect("setsid is there");
    let mut ours = std::fs::File::from(ours);
    let mut shown = Vec::new();
    for typed in ["first\n", "second\n"] {
        let mut byte = [0];
        while !shown.ends_with(b"password: ") {
            assert_eq!(ours.read(&mut byte).expect("it is open"), 1, "{}", String::from_utf8_lossy(&shown));
            shown.push(byte[0]);
        }
        shown.clear();
        ours.write_all(typed.as_bytes()).expect("it is open");
    }
    let mut found = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut found).expect("UTF-8");
    assert_eq!(child.wait().expect("it was started").code(), Some(0), "{found}");
    let request = server.wait_for(|request| request.title() == "initialize");
    assert_eq!((request.header("x-key"), request.header("x-other")), (Some("first"), Some("second")));
}
