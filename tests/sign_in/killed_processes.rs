//! Processes that end in the middle: killed, or left by their client, at every step of a sign-in and of an exchange. The
//! next one is neither stuck nor in need of anything that a person would have to clear up.

use super::refresh::signed_in;
use super::support::authority::{Authority, Set, visit};
use super::support::proxy::Proxy;
use super::{Home, call, page};

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    /// Its client closes stdin.
    Left,
}

impl End {
    fn come(self, proxy: Proxy, authority: &Authority) {
        match self {
            End::Killed => proxy.kill(),
            End::Left => {
                // What is held is not answered before the process is gone.
                let code = proxy.finish().code;
                assert!(code.is_some(), "it ended by itself");
            }
        }
        authority.change(|set| set.held = None);
    }
}

/// Every request of a sign-in, before it is handled and, where that makes a difference, before it is answered.
const STEPS: [&str; 8] = [
    "/mcp",
    "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/oauth-authorization-server",
    "/register",
    "the page",
    "/token",
    "/token, lost",
    "/token, done",
];

/// What a folder has in it that nobody wants: files that were half written.
fn left_over(home: &Home) -> Vec<String> {
    let folder = home.path().join("mcp-tether/oauth");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !["json", "lock", "flow"].iter().any(|end| name.ends_with(end))).collect()
}

/// Every way of ending at every one of these places, at once: most of them wait most of the time.
fn everywhere(steps: &[&'static str], case: impl Fn(End, &'static str) + Sync) {
    let case = &case;
    std::thread::scope(|scope| {
        for end in [End::Killed, End::Left] {
            for &step in steps {
                scope.spawn(move || case(end, step));
            }
        }
    });
}

#[test]
fn the_next_start_works_wherever_the_last_one_ended() {
    everywhere(&STEPS, |end, step| {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        authority.change(|set| set.held = Some(step));
        let mut proxy = home.start(&authority, &[]);
        proxy.send(&call(1));
        let path = step.split(',').next().expect("a path");
        let visitor = step.starts_with("/token").then(|| {
            let address = page(&proxy, 1);
            std::thread::spawn(move || visit(&address))
        });
        match step {
            "the page" => drop(page(&proxy, 1)),
            _ => drop(authority.server.wait_for(|request| request.path == path)),
        }
        let before = proxy.told_so_far("sign in at ");
        end.come(proxy, &authority);
        visitor.map(|visitor| visitor.join().expect("a page or none"));
        let mut proxy = home.start(&authority, &[]);
        proxy.send(&call(1));
        let address = page(&proxy, 1);
        // One that nobody has been to yet is still good, one that somebody has come back from is not.
        assert_eq!(before.as_ref() == Some(&address), step == "the page", "{end:?} at {step}");
        assert!(visit(&address).contains("You are signed in"), "{end:?} at {step}");
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{end:?} at {step}: {line}");
        proxy.finish();
        assert!(authority.count("/register") <= 2, "{end:?} at {step}");
        assert_eq!(left_over(&home), [""; 0], "{end:?} at {step}");
        // And whoever comes then needs nobody.
        let mut proxy = home.start(&authority, &[]);
        assert!(proxy.ask(&call(1)).contains("\"result\""));
        assert!(!proxy.finish().stderr.contains("sign in at"), "{end:?} at {step}");
    });
}

#[test]
fn refresh_token_survives_process_that_ends_early() {
    let steps = ["/mcp", "/.well-known/oauth-protected-resource/mcp", "/token, lost", "/token, done"];
    everywhere(&steps, |end, step| {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        signed_in(&home, &authority).finish();
        authority.forget(false);
        let mut proxy = home.start(&authority, &[]);
        let before = authority.server.requests().len();
        authority.change(|set| set.held = Some(step));
        proxy.send(&call(1));
        let path = step.split(',').next().expect("a path");
        while !authority.server.requests()[before..].iter().any(|request| request.path == path) {
            std::thread::yield_now();
        }
        end.come(proxy, &authority);
        let mut proxy = home.start(&authority, &[]);
        proxy.send(&call(1));
        if step == "/token, done" {
            // Given away and never received: what is left is a person.
            assert!(visit(&page(&proxy, 1)).contains("You are signed in"));
        }
        let line = proxy.line();
        assert!(line.contains("\"result\""), "{end:?} at {step}: {line}");
        proxy.finish();
        assert_eq!(authority.count("/register"), 1);
        let pages = if step == "/token, done" { 2 } else { 1 };
        assert_eq!(authority.count("/authorize"), pages, "{end:?} at {step}");
    });
}

#[test]
fn tokens_survive_killed_process() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    authority.change(|set| set.held = Some("/mcp"));
    assert!(visit(&address).contains("You are signed in"));
    while authority.count("/mcp") < 2 {
        std::thread::yield_now();
    }
    End::Killed.come(proxy, &authority);
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert!(!proxy.finish().stderr.contains("sign in at"));
    assert_eq!((authority.count("/register"), authority.count("/token")), (1, 1));
}

#[test]
fn denial_at_resumed_page_is_not_repeated() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    proxy.kill();
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    assert_eq!(page(&proxy, 1), address);
    authority.change(|set| set.back = "error=access_denied&state=STATE".to_owned());
    assert!(visit(&address).contains("access_denied"));
    assert!(proxy.line().contains("did not sign you in"));
    let told = proxy.finish().stderr;
    assert_eq!(told.matches("sign in at ").count(), 1, "{told}");
}

#[test]
fn partial_file_of_killed_process_is_removed() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    signed_in(&home, &authority).finish();
    let folder = home.path().join("mcp-tether/oauth");
    let kept = std::fs::read_dir(&folder).expect("a folder").flatten().map(|entry| entry.path());
    let kept = { kept }.find(|path| path.extension().is_some_and(|end| end == "json")).expect("kept");
    let half = kept.with_extension("json.4194305");
    std::fs::write(&half, "{\"tokens\":{\"access_token\":\"marked").expect("written");
    // And half of what was noted of a sign-in.
    std::fs::write(kept.with_extension("flow"), "{\"at\":1,\"request\":{").expect("written");
    let mut proxy = home.start(&authority, &[]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    authority.forget(true);
    proxy.send(&call(2));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!(left_over(&home), [""; 0]);
}

#[test]
fn sign_in_survives_short_lived_processes() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut address = None;
    for _ in 0..3 {
        let mut probe = home.start(&authority, &[]);
        probe.send(r#"{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}}}"#);
        let shown = page(&probe, 1);
        assert!(address.is_none_or(|before| before == shown), "one page, however many ask");
        address = Some(shown);
        probe.kill();
    }
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let shown = page(&proxy, 1);
    assert_eq!(address.as_ref(), Some(&shown));
    assert!(visit(&shown).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!((authority.count("/register"), authority.count("/token")), (1, 1));
}

#[test]
fn sign_in_with_other_options_is_not_resumed() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let before = page(&proxy, 1);
    proxy.kill();
    for options in [&["--callback-path", "/other"][..], &["--resource", "https://named.example/"]] {
        let mut proxy = home.start(&authority, options);
        proxy.send(&call(1));
        assert_ne!(page(&proxy, 1), before);
        proxy.kill();
    }
}

#[test]
fn next_process_resumes_page_of_killed_one() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &[]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    proxy.kill();
    let mut proxy = home.start(&authority, &["-v"]);
    proxy.send(&call(1));
    proxy.tells("is resumed");
    assert!(visit(&address).contains("You are signed in"));
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    assert_eq!((authority.count("/register"), authority.count("/token")), (1, 1));
}

#[test]
fn another_process_takes_over_while_it_waits() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut first = home.start(&authority, &[]);
    first.send(&call(1));
    let address = page(&first, 1);
    let mut second = home.start(&authority, &["--auth-timeout", "1", "-v"]);
    let line = second.ask(&call(1));
    assert!(line.contains(&address), "it knows the other's page: {line}");
    second.tells(&format!("another process waits for you to sign in: {address}"));
    second.send(&call(2));
    first.kill();
    second.tells("is resumed");
    assert!(visit(&address).contains("You are signed in"));
    loop {
        let line = second.line();
        if line.contains("\"result\"") {
            break;
        }
        assert!(line.contains(&address), "{line}");
        second.send(&call(3));
    }
    second.finish();
}
