//! Faults at each call of a setup: either all is there once, or nothing is.

use crate::cloudflare::{Fault, Spoiled};
use crate::scene::{FRESH, Ran, Scene};

/// Nothing of this run is left, at the API and here.
#[track_caller]
fn nothing_is_left(scene: &Scene, ran: &Ran) {
    let state = scene.api.state().clone();
    assert!(
        state.tokens.is_empty() && state.policies.is_empty() && state.applications.is_empty(),
        "{state:?}\n{ran:?}"
    );
    let left: Vec<_> = scene
        .files()
        .into_iter()
        .filter(|(path, _)| path.extension().is_none_or(|extension| extension != "lock"))
        .collect();
    assert!(left.is_empty(), "{left:?}\n{ran:?}");
}

/// Everything is there once, and opens the server.
#[track_caller]
fn all_is_there_once(scene: &Scene, ran: &Ran) {
    let state = scene.api.state().clone();
    assert_eq!(
        (state.tokens.len(), state.policies.len(), state.applications.len()),
        (1, 1, 1),
        "{state:?}\n{ran:?}"
    );
    let secret = Scene::variable(&scene.env_file(), "CF_ACCESS_CLIENT_SECRET");
    assert_eq!(secret.as_ref(), Some(&state.tokens[0].current.secret), "{ran:?}");
    assert!(scene.is_opened_by(&scene.env_file()), "{ran:?}");
}

/// The create at this place of a fresh setup, and the fault that meets it.
fn fault(call: usize, how: Spoiled, times: u32) -> Fault {
    let path = ["/access/service_tokens", "/access/policies", "/access/apps"][call];
    // The probe goes to the same path as the application.
    Fault { method: "POST", path, skip: u32::from(call == 2), times, how }
}

#[test]
fn definite_failure_of_each_create_removes_everything() {
    for call in 0..3 {
        for (status, error) in [
            (400, Some((12130, "access.api.error.invalid_request: no"))),
            (403, Some((10000, "Authentication error"))),
            (409, Some((11010, "access.api.error.application_already_exists"))),
            (404, Some((9999, "access.api.error.not_enabled"))),
        ] {
            let scene = Scene::new();
            scene
                .api
                .change(|state| state.faults.push(fault(call, Spoiled::Before(status, error), u32::MAX)));
            let ran = scene.run(&["setup", "URL", "--yes"]);
            let (code, message) = error.expect("one");
            ran.ended(1).says(&[&code.to_string(), message, "-TST"]);
            nothing_is_left(&scene, &ran);
            let created = scene.api.writes();
            assert_eq!(&created[..call + 2], &FRESH[..call + 2], "never repeated");
            assert!(created[call + 2..].iter().all(|write| write.starts_with("DELETE")), "{created:?}");
        }
    }
}

#[test]
fn unknown_outcome_of_each_create_is_looked_up() {
    for call in 0..3 {
        for how in [Spoiled::After(502), Spoiled::After(500), Spoiled::Cut] {
            let scene = Scene::new();
            scene.api.change(|state| state.faults.push(fault(call, how, 1)));
            let ran = scene.run(&["setup", "URL", "--yes"]);
            ran.ended(0);
            all_is_there_once(&scene, &ran);
        }
    }
}

#[test]
fn create_without_effect_is_listed_before_it_is_repeated() {
    for call in 0..3 {
        let scene = Scene::new();
        scene.api.change(|state| state.faults.push(fault(call, Spoiled::Before(503, None), 1)));
        let ran = scene.run(&["setup", "URL", "--yes"]);
        ran.ended(0);
        all_is_there_once(&scene, &ran);
        let path = ["access/service_tokens", "access/policies", "access/apps"][call];
        let lines: Vec<String> = scene.api.calls().iter().map(|call| call.line()).collect();
        let posts: Vec<usize> = (0..lines.len()).filter(|at| lines[*at] == format!("POST {path}")).collect();
        let (first, second) = (posts[posts.len() - 2], posts[posts.len() - 1]);
        assert!(lines[first..second].contains(&format!("GET {path}")), "{lines:?}");
        // Where it fails for good, nothing is left.
        let scene = Scene::new();
        scene.api.change(|state| state.faults.push(fault(call, Spoiled::Before(503, None), u32::MAX)));
        let ran = scene.run(&["setup", "URL", "--yes"]);
        ran.ended(1).says(&["503"]);
        let state = scene.api.state().clone();
        assert!(
            state.tokens.is_empty() && state.policies.is_empty() && state.applications.is_empty(),
            "{ran:?}"
        );
        scene.api.change(|state| state.faults.clear());
        let ran = scene.run(&["setup", "URL", "--yes"]);
        ran.ended(0);
        all_is_there_once(&scene, &ran);
    }
}

#[test]
fn silent_api_is_given_up_and_looked_up() {
    let scene = Scene::new();
    scene.api.change(|state| state.faults.push(fault(0, Spoiled::Hang, 1)));
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(0);
    all_is_there_once(&scene, &ran);
}

#[test]
fn older_token_of_same_name_is_never_touched() {
    let scene = Scene::set_up();
    let before = scene.api.state().tokens[0].clone();
    // The same server is set up from another computer, which knows nothing.
    std::fs::remove_dir_all(scene.folder.path().join("mcp-tether")).expect("removed");
    scene.api.change(|state| state.faults.push(fault(0, Spoiled::Cut, 1)));
    scene.run(&["setup", "URL", "--yes", "--adopt"]).ended(0);
    let state = scene.api.state().clone();
    assert_eq!(state.tokens.len(), 2);
    assert_eq!(state.tokens[0].current, before.current);
    let secret = Scene::variable(&scene.env_file(), "CF_ACCESS_CLIENT_SECRET");
    assert_eq!(secret.as_ref(), Some(&state.tokens[1].current.secret));
}

#[test]
fn reads_that_fail_once_are_repeated() {
    for path in ["/zones", "/organizations", "/service_tokens", "/policies", "/access/apps"] {
        for how in [Spoiled::Before(502, None), Spoiled::Cut] {
            let scene = Scene::new();
            scene.api.change(|state| state.faults.push(Fault::once("GET", path, how)));
            scene.run(&["setup", "URL", "--dry-run"]).ended(0);
        }
    }
    let scene = Scene::new();
    scene.api.change(|state| state.faults.push(Fault::always("GET", "/zones", Spoiled::Before(502, None))));
    scene.run(&["setup", "URL", "--dry-run"]).ended(1).says(&["502", "-TST"]);
    let zones = scene.api.calls().iter().filter(|call| call.path == "/zones").count();
    assert_eq!(zones, 2);
}

#[test]
fn rate_limits_are_waited_for_and_announced() {
    let scene = Scene::new();
    scene.api.change(|state| {
        state.faults.push(Fault::once("GET", "/policies", Spoiled::Wait(1)));
        state.faults.push(Fault::once("POST", "/service_tokens", Spoiled::Wait(1)));
    });
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(0).says(&["429", "waiting 1 seconds", "POST"]);
    all_is_there_once(&scene, &ran);
    // Longer than anyone waits.
    let scene = Scene::new();
    scene
        .api
        .change(|state| state.faults.push(Fault::once("POST", "/service_tokens", Spoiled::Wait(86_400))));
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(1).says(&["429"]);
    nothing_is_left(&scene, &ran);
}

#[test]
fn deletes_of_a_rollback_are_repeated_while_changes_spread() {
    let scene = Scene::new();
    scene.api.change(|state| {
        state.faults.push(fault(2, Spoiled::Before(400, Some((12130, "no"))), u32::MAX));
        state.faults.push(Fault {
            times: 2,
            ..Fault::once(
                "DELETE",
                "*/access/policies/",
                Spoiled::Before(409, Some((12132, "access.api.error.conflict"))),
            )
        });
        state.faults.push(Fault::once(
            "DELETE",
            "*/service_tokens/",
            Spoiled::Before(400, Some((12139, "access.api.error.service_token_in_use"))),
        ));
    });
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(1);
    nothing_is_left(&scene, &ran);
}

#[test]
fn rollback_names_what_the_next_setup_takes_up() {
    let scene = Scene::new();
    scene.api.change(|state| {
        state.faults.push(fault(2, Spoiled::Before(400, Some((12130, "no"))), u32::MAX));
        let no = Spoiled::Before(403, Some((10000, "Authentication error")));
        state.faults.push(Fault::always("DELETE", "*/access/policies/", no));
        state.faults.push(Fault::always("DELETE", "*/service_tokens/", no));
    });
    let ran = scene.run(&["setup", "URL", "--yes"]);
    let token = scene.api.state().tokens[0].clone();
    ran.ended(1).says(&["could not be removed", &token.id, "service token", "policy"]);
    assert!(!scene.env_file().exists(), "it would hold a secret of a token without use");
    scene.api.change(|state| state.faults.clear());
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(0);
    all_is_there_once(&scene, &ran);
}

#[test]
fn setup_waits_until_the_edge_knows_the_application() {
    let scene = Scene::new();
    scene.api.change(|state| state.knows_after = 5);
    scene.run(&["setup", "URL", "--yes"]).ended(0).says(&["checked"]);
}
