//! The life of a token: status, rotation under load, renewal, revocation.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::cloudflare::{Fault, Spoiled};
use crate::scene::Scene;
use crate::support::proxy::{Proxy, Stdin};
use crate::support::{INITIALIZE, INITIALIZED};

const DAY: i64 = 24 * 3600;

#[test]
fn status_is_well_after_setup() {
    let scene = Scene::set_up();
    scene.api.change(|state| {
        state.tokens[0].last_seen = Some(1_790_000_000);
        state.tokens[0].expires = Some(crate::cloudflare::now() + 100 * DAY + DAY / 2);
    });
    let ran = scene.run(&["status", "URL"]);
    ran.ended(0).says(&["100 days", "last used 2026-09-21", "opens the server"]);
    let ran = scene.run(&["status", "URL", "--json"]);
    let document = ran.ended(0).json();
    assert_eq!(
        (&document["ok"], &document["edge_ok"], &document["days_left"]),
        (&true.into(), &true.into(), &100.into())
    );
    assert!(scene.api.writes().is_empty());
}

/// What spoils a setup, and a part of what status says then.
type Case = (fn(&Scene), &'static str);

#[test]
fn status_names_every_problem_and_ends_with_one() {
    Scene::new().run(&["status", "URL"]).ended(1).says(&["nothing is set up", "access setup"]);
    let cases: [Case; 8] = [
        (
            |scene| {
                scene.api.change(|state| state.tokens[0].expires = Some(crate::cloudflare::now() + 29 * DAY))
            },
            "access renew",
        ),
        (
            |scene| scene.api.change(|state| state.tokens[0].expires = Some(crate::cloudflare::now() - DAY)),
            "expired",
        ),
        (|scene| scene.api.change(|state| state.tokens[0].enabled = false), "disabled"),
        (|scene| scene.api.change(|state| state.tokens.clear()), "service token"),
        (|scene| scene.api.change(|state| state.policies[0]["decision"] = "allow".into()), "action Allow"),
        (
            |scene| scene.api.change(|state| state.applications[0]["policies"] = json!([])),
            "no Service Auth policy",
        ),
        (|scene| scene.api.change(|state| state.applications.clear()), "everyone can reach"),
        (
            |scene| {
                let text = std::fs::read_to_string(scene.env_file()).expect("a file");
                let secret = Scene::variable(&scene.env_file(), "CF_ACCESS_CLIENT_SECRET").expect("a secret");
                std::fs::write(scene.env_file(), text.replace(&secret, &"x".repeat(54))).expect("written");
            },
            "edge:",
        ),
    ];
    for (spoil, expected) in cases {
        let scene = Scene::set_up();
        spoil(&scene);
        let ran = scene.run(&["status", "URL"]);
        ran.ended(1).says(&[expected]);
        assert!(ran.marks().contains('!'), "{ran:?}");
        assert!(scene.api.writes().is_empty());
    }
}

fn call(id: u32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"whoami","arguments":{{}}}}}}"#
    )
}

#[test]
fn rotation_under_load_loses_no_call() {
    let scene = Scene::set_up();
    let (path, url) = (scene.env_file().display().to_string(), scene.edge.mcp_url());
    let old = Scene::variable(&scene.env_file(), "CF_ACCESS_CLIENT_SECRET");
    let mut proxy = Proxy::start_with(Stdin::Pipes, &["--env-file", &path, "--auth", "none", &url], &[]);
    assert!(proxy.ask(INITIALIZE).contains("\"result\""));
    proxy.send(INITIALIZED);
    let is_over = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut id = 1;
            while !is_over.load(Ordering::Relaxed) {
                id += 1;
                let answer = proxy.ask(&call(id));
                assert!(answer.contains("\"result\""), "{answer}");
            }
            id
        });
        scene.run(&["rotate", "URL", "--yes"]).ended(0).says(&["stays valid until", "not visible"]);
        let rotated = Scene::variable(&scene.env_file(), "CF_ACCESS_CLIENT_SECRET");
        assert_ne!(rotated, old);
        scene.run(&["rotate", "URL", "--yes"]).ended(1).says(&["--finish"]);
        assert_eq!(scene.api.state().tokens[0].previous.as_ref().map(|(token, _)| token.secret.clone()), old);
        scene.run(&["rotate", "URL", "--finish", "--yes"]).ended(0);
        let calls = scene.edge.requests().len();
        // Some calls behind the end of the old secret.
        let mut seen = scene.edge.watch();
        let wait = async {
            while seen.borrow_and_update().len() < calls + 20 {
                seen.changed().await.expect("the edge runs")
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime
            .block_on(async { tokio::time::timeout(crate::support::PATIENCE, wait).await })
            .expect("calls");
        is_over.store(true, Ordering::Relaxed);
        load.join().expect("no call was lost")
    });
    assert!(asked > 20, "{asked}");
    assert_eq!(proxy.finish().code, Some(0));
    assert!(
        scene.api.state().tokens[0]
            .previous
            .as_ref()
            .is_none_or(|(_, until)| *until < crate::cloudflare::now())
    );
    // The old secret opens nothing any more, and the next rotation is free.
    scene.run(&["rotate", "URL", "--grace", "0", "--yes"]).ended(0).says(&["ends at once"]);
    assert_eq!(scene.api.state().tokens[0].previous, None);
    let writes = scene.api.writes();
    assert_eq!(
        writes,
        [
            "POST access/service_tokens/ID/rotate",
            "PUT access/service_tokens/ID",
            "POST access/service_tokens/ID/rotate",
        ]
    );
}

#[test]
fn next_pair_stands_beside_until_finish_promotes_it() {
    let scene = Scene::set_up();
    let path = scene.env_file();
    let old = Scene::variable(&path, "CF_ACCESS_CLIENT_SECRET");
    scene.run(&["rotate", "URL", "--next", "--yes"]).ended(0);
    let next = Scene::variable(&path, "CF_ACCESS_CLIENT_SECRET_NEXT");
    assert_eq!(Scene::variable(&path, "CF_ACCESS_CLIENT_SECRET"), old);
    assert_eq!(next.as_ref(), Some(&scene.api.state().tokens[0].current.secret));
    scene.run(&["rotate", "URL", "--finish", "--yes"]).ended(0);
    assert_eq!(Scene::variable(&path, "CF_ACCESS_CLIENT_SECRET"), next);
    assert_eq!(Scene::variable(&path, "CF_ACCESS_CLIENT_SECRET_NEXT"), None);
    scene.run(&["rotate", "URL", "--finish", "--yes"]).ended(0).says(&["no grace period"]);
    scene.run(&["status", "URL"]).ended(0);
}

#[test]
fn rotation_without_place_is_refused_before_it() {
    let scene = Scene::set_up();
    std::fs::remove_file(scene.env_file()).expect("removed");
    scene.run(&["rotate", "URL", "--yes"]).ended(1).says(&["--secret-to"]);
    assert!(scene.api.writes().is_empty());
    let path = scene.folder.path().join("other.env").display().to_string();
    scene.run(&["rotate", "URL", "--yes", "--env-file", &path]).ended(0);
    assert!(scene.is_opened_by(std::path::Path::new(&path)));
    scene.run(&["status", "URL"]).ended(0);
}

#[test]
fn rotation_with_unknown_outcome_is_told_and_not_repeated() {
    let scene = Scene::set_up();
    scene.api.change(|state| state.faults.push(Fault::once("POST", "/rotate", Spoiled::Cut)));
    scene.run(&["rotate", "URL", "--yes"]).ended(1).says(&["did not say whether", "Rotate again"]);
    assert_eq!(scene.api.writes(), ["POST access/service_tokens/ID/rotate"]);
    scene.run(&["status", "URL"]).ended(0);
    scene.run(&["rotate", "URL", "--yes"]).ended(0);
    scene.run(&["status", "URL"]).ended(0);
}

#[test]
fn renewal_is_one_write() {
    let scene = Scene::set_up();
    let before = scene.api.state().tokens[0].expires.expect("a time");
    scene.run(&["renew", "URL"]).ended(1).says(&["--yes"]);
    assert!(scene.api.writes().is_empty());
    let ran = scene.run(&["renew", "URL", "--yes", "--json"]);
    assert!(ran.ended(0).json()["expires_at"].is_string());
    assert_eq!(scene.api.writes(), ["POST access/service_tokens/ID/refresh"]);
    assert_eq!(scene.api.state().tokens[0].expires, Some(before + 365 * DAY));
    let secret = Scene::variable(&scene.env_file(), "CF_ACCESS_CLIENT_SECRET");
    assert_eq!(secret.as_ref(), Some(&scene.api.state().tokens[0].current.secret));
}

#[test]
fn token_without_expiry_is_not_renewed() {
    let scene = Scene::new();
    scene.run(&["setup", "URL", "--yes", "--duration", "forever"]).ended(0);
    scene.api.change(|state| state.calls.clear());
    scene.run(&["renew", "URL", "--yes"]).ended(0).says(&["never expires"]);
    scene.run(&["status", "URL"]).ended(0).says(&["never expires"]);
    assert!(scene.api.writes().is_empty());
}

#[test]
fn revocation_is_one_write_and_closes_the_server() {
    let scene = Scene::set_up();
    assert!(scene.is_opened_by(&scene.env_file()));
    scene.run(&["revoke", "URL", "--yes"]).ended(0);
    assert_eq!(scene.api.writes(), ["PUT access/service_tokens/ID"]);
    assert!(!scene.is_opened_by(&scene.env_file()));
    scene.run(&["revoke", "URL", "--yes"]).ended(0);
    assert_eq!(scene.api.writes().len(), 1);
    // Setup enables it again.
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(0);
    assert_eq!(ran.marks(), "~==");
    assert!(scene.is_opened_by(&scene.env_file()));
}

#[test]
fn deletion_leaves_the_server_closed() {
    let scene = Scene::set_up();
    scene.api.change(|state| {
        state.applications[0]["service_auth_401_redirect"] = true.into();
        let conflict = Spoiled::Before(409, Some((12132, "access.api.error.conflict")));
        state.faults.push(Fault::once("DELETE", "*/access/policies/", conflict));
    });
    let pair = std::fs::read_to_string(scene.env_file()).expect("a file");
    let ran = scene.run(&["revoke", "URL", "--delete", "--yes"]);
    ran.ended(0).says(&["stays closed"]);
    assert_eq!(ran.marks(), "~!--");
    let state = scene.api.state().clone();
    assert!(state.tokens.is_empty() && state.policies.is_empty());
    assert_eq!(state.applications[0]["policies"], json!([]));
    assert!(!scene.env_file().exists());
    let old = scene.folder.path().join("old.env");
    std::fs::write(&old, pair).expect("written");
    assert!(!scene.is_opened_by(&old) && !scene.is_open());
}

#[test]
fn unknown_outcome_of_renewal_and_revocation_is_looked_up() {
    for (arguments, fault) in [
        (&["renew", "URL", "--yes"], Fault::once("POST", "/refresh", Spoiled::Cut)),
        (&["revoke", "URL", "--yes"], Fault::once("PUT", "*/service_tokens/", Spoiled::After(502))),
    ] {
        let scene = Scene::set_up();
        scene.api.change(|state| state.faults.push(fault));
        scene.run(arguments).ended(0);
        assert_eq!(scene.api.writes().len(), 1);
        let scene = Scene::set_up();
        scene.api.change(|state| state.faults.push(Fault { how: Spoiled::Before(502, None), ..fault }));
        scene.run(arguments).ended(1).says(&["502"]);
        assert_eq!(scene.api.writes().len(), 1);
    }
}

#[test]
fn deletion_that_failed_is_completed_by_the_next() {
    for path in ["*/access/apps/", "*/access/policies/", "*/service_tokens/"] {
        let scene = Scene::set_up();
        let method = if path.contains("apps") { "PUT" } else { "DELETE" };
        let no = Spoiled::Before(403, Some((10000, "Authentication error")));
        scene.api.change(|state| state.faults.push(Fault::once(method, path, no)));
        scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(1).says(&["10000"]);
        scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(0);
        let state = scene.api.state().clone();
        assert!(state.tokens.is_empty() && state.policies.is_empty() && !scene.env_file().exists());
    }
}

#[test]
fn deletion_is_refused_while_a_twin_of_the_policy_exists() {
    let scene = Scene::set_up();
    scene.api.change(|state| {
        let mut twin = state.policies[0].clone();
        twin["id"] = "55555555-5555-5555-5555-555555555555".into();
        twin["name"] = "twin".into();
        state.policies.push(twin);
    });
    scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(1).says(&["twin"]);
    assert!(scene.api.writes().is_empty());
}

#[test]
fn deletion_is_refused_while_another_policy_names_the_token() {
    let scene = Scene::set_up();
    scene.api.change(|state| {
        let mut other = state.policies[0].clone();
        other["id"] = "55555555-5555-5555-5555-555555555555".into();
        other["name"] = "another".into();
        other["include"].as_array_mut().expect("rules").push(json!({ "everyone": {} }));
        state.policies.push(other);
    });
    scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(1).says(&["another"]);
    assert!(scene.api.writes().is_empty());
}

#[test]
fn deleting_the_application_wants_a_terminal() {
    let scene = Scene::set_up();
    scene
        .run(&["revoke", "URL", "--delete", "--delete-application", "--yes"])
        .ended(1)
        .says(&["terminal", "public"]);
    assert!(scene.api.writes().is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn application_is_deleted_when_its_host_is_typed() {
    let scene = Scene::set_up();
    let arguments = ["revoke", "URL", "--delete", "--delete-application", "--yes"];
    for typed in ["y\n", "\n", "127.0.0.2\n"] {
        scene.run_typing(&arguments, typed).ended(1).says(&["becomes public", "not typed"]);
        assert!(scene.api.writes().is_empty());
    }
    scene.run_typing(&arguments, "127.0.0.1\n").ended(0);
    let state = scene.api.state().clone();
    assert!(state.tokens.is_empty() && state.policies.is_empty() && state.applications.is_empty());
    assert_eq!(
        scene.api.writes(),
        ["DELETE access/apps/ID", "DELETE access/policies/ID", "DELETE access/service_tokens/ID"]
    );
    assert!(scene.is_open(), "the server is public");
}

#[test]
#[cfg(target_os = "linux")]
fn plan_is_applied_when_the_user_says_yes() {
    let scene = Scene::new();
    for typed in ["n\n", "\n", "maybe\n"] {
        scene.run_typing(&["setup", "URL"], typed).ended(1).says(&["Apply this plan?", "not applied"]);
        assert!(scene.api.writes().is_empty());
    }
    scene.run_typing(&["setup", "URL"], "y\n").ended(0);
    assert_eq!(scene.api.state().applications.len(), 1);
}
