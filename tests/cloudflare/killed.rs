//! A setup that is killed behind each call is completed by the next one, without a duplicate.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cloudflare::{Fault, Spoiled};
use crate::scene::{Ran, Scene};

/// Starts a setup, and kills it when the API has got the call that never is answered.
fn kill_at(scene: &Scene, method: &'static str, path: &'static str, skip: u32) {
    kill(scene, &["setup", "URL", "--yes"], method, path, skip);
}

/// Starts a command, and kills it there.
fn kill(scene: &Scene, arguments: &[&str], method: &'static str, path: &'static str, skip: u32) {
    scene.api.change(|state| state.faults = vec![Fault { method, path, skip, times: 1, how: Spoiled::Hang }]);
    let mut command = scene.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let end = deadline();
    while scene.api.state().faults[0].times > 0 {
        assert!(before(end), "the call never came: {:?}", scene.api.writes());
        std::thread::yield_now();
    }
    child.kill().expect("it lived");
    child.wait().expect("it is reaped");
    scene.api.change(|state| state.faults.clear());
}

#[expect(clippy::disallowed_methods, reason = "how long a test waits")]
fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[expect(clippy::disallowed_methods, reason = "how long a test waits")]
fn before(end: Instant) -> bool {
    Instant::now() < end
}

#[track_caller]
fn is_complete(scene: &Scene, ran: &Ran) {
    ran.ended(0);
    let state = scene.api.state().clone();
    assert_eq!(
        (state.tokens.len(), state.policies.len(), state.applications.len()),
        (1, 1, 1),
        "{state:?}\n{ran:?}"
    );
    assert!(scene.is_opened_by(&scene.env_file()));
    let left: Vec<_> = scene
        .files()
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains(".mcp-tether"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn setup_killed_behind_each_create_is_completed() {
    for (path, skip) in [("/access/service_tokens", 0), ("/access/policies", 0), ("/access/apps", 1)] {
        let scene = Scene::new();
        kill_at(&scene, "POST", path, skip);
        let ran = scene.run(&["setup", "URL", "--yes"]);
        is_complete(&scene, &ran);
        let ran = scene.run(&["setup", "URL", "--yes"]);
        ran.ended(0).says(&["nothing to do"]);
    }
}

#[test]
fn setup_killed_twice_is_completed() {
    let scene = Scene::new();
    kill_at(&scene, "POST", "/access/service_tokens", 0);
    // The second run has the token, and is killed while it gets a new secret.
    kill_at(&scene, "POST", "/rotate", 0);
    let ran = scene.run(&["setup", "URL", "--yes"]);
    is_complete(&scene, &ran);
}

#[test]
fn setup_killed_while_it_rolls_back_is_completed() {
    let scene = Scene::new();
    scene.api.change(|state| {
        state.faults = vec![
            Fault { method: "DELETE", path: "*/service_tokens/", skip: 0, times: 1, how: Spoiled::Hang },
            Fault::always("POST", "/access/policies", Spoiled::Before(400, Some((12130, "no")))),
        ];
    });
    let mut command = scene.command(&["setup", "URL", "--yes"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let end = deadline();
    while scene.api.state().faults[0].times > 0 {
        assert!(before(end), "the call never came");
        std::thread::yield_now();
    }
    child.kill().expect("it lived");
    child.wait().expect("it is reaped");
    scene.api.change(|state| state.faults.clear());
    let ran = scene.run(&["setup", "URL", "--yes"]);
    is_complete(&scene, &ran);
}

#[test]
#[cfg(unix)]
fn interrupted_setup_rolls_back_and_ends_with_130() {
    use rustix::process::{Pid, Signal, kill_process};
    let scene = Scene::new();
    // It waits before the policy, and is interrupted meanwhile.
    scene.api.change(|state| state.faults = vec![Fault::once("POST", "/access/policies", Spoiled::Wait(60))]);
    let mut command = scene.command(&["setup", "URL", "--yes"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let end = deadline();
    while scene.api.state().faults[0].times > 0 {
        assert!(before(end), "the call never came");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("it lives");
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let state = scene.api.state().clone();
    assert!(state.tokens.is_empty() && state.policies.is_empty() && !scene.env_file().exists(), "{stderr}");
}

#[test]
fn adoption_that_was_killed_is_completed() {
    let scene = Scene::new();
    let id = "11111111-1111-1111-1111-111111111111";
    scene.api.change(|state| {
        state.applications.push(serde_json::json!({
            "id": id, "type": "self_hosted", "name": "theirs", "domain": "127.0.0.1", "policies": [],
        }));
    });
    kill(&scene, &["setup", "URL", "--yes", "--adopt"], "PUT", "*/access/apps/", 0);
    let ran = scene.run(&["setup", "URL", "--yes", "--adopt"]);
    is_complete(&scene, &ran);
    scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(0);
    assert_eq!(scene.api.state().applications[0]["policies"], serde_json::json!([]));
}

#[test]
fn rotation_that_was_killed_is_mended_by_the_next() {
    let scene = Scene::set_up();
    kill(&scene, &["rotate", "URL", "--yes"], "POST", "/rotate", 0);
    // The secret in the file is the old one, which is still valid.
    assert!(scene.is_opened_by(&scene.env_file()));
    scene.run(&["rotate", "URL", "--yes"]).ended(0);
    assert!(scene.is_opened_by(&scene.env_file()));
}
