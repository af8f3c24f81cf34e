//! An application that exists already: it gets one policy more, and nothing else of it changes.

use serde_json::{Value, json};

use crate::scene::Scene;

const ID: &str = "11111111-1111-1111-1111-111111111111";
const FIRST: &str = "22222222-2222-2222-2222-222222222222";
const SECOND: &str = "33333333-3333-3333-3333-333333333333";

/// Someone else's application, with an unknown member.
fn theirs(policies: Value) -> Value {
    json!({
        "id": ID, "aud": "a".repeat(64), "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z",
        "type": "self_hosted", "name": "theirs", "domain": "127.0.0.1", "session_duration": "12h",
        "cors_headers": { "allow_all_origins": true }, "x_future": { "deep": [1, null, "x"] }, "tags": ["one"],
        "http_only_cookie_attribute": false, "policies": policies,
    })
}

fn policy(id: &str, decision: &str) -> Value {
    json!({
        "id": id, "name": id, "decision": decision, "include": [{ "email": { "email": "ada@example.com" } }],
        "exclude": [], "require": [], "reusable": true, "app_count": 1,
    })
}

/// A scene with an application whose two policies are reusable.
fn with_reusable() -> Scene {
    let scene = Scene::new();
    scene.api.change(|state| {
        state.policies = vec![policy(FIRST, "allow"), policy(SECOND, "deny")];
        let links = json!([{ "id": FIRST, "precedence": 3 }, { "id": SECOND, "precedence": 7 }]);
        state.applications.push(theirs(links));
    });
    scene
}

/// The application without the member that changes with every update.
fn application(scene: &Scene) -> Value {
    let mut application = scene.api.state().applications[0].clone();
    application.as_object_mut().expect("an object").remove("updated_at");
    application
}

#[test]
fn adopted_application_gets_one_policy_more_in_one_put() {
    let scene = with_reusable();
    let before = application(&scene);
    let ran = scene.run(&["setup", "URL", "--yes", "--adopt"]);
    ran.ended(0).says(&["theirs"]);
    assert_eq!(ran.marks(), "++~");
    let puts: Vec<_> = scene.api.calls().into_iter().filter(|call| call.method == "PUT").collect();
    assert_eq!(puts.len(), 1);
    let ours = scene.api.state().policies[2]["id"].clone();
    let links = json!([
        { "id": FIRST, "precedence": 3 }, { "id": SECOND, "precedence": 7 }, { "id": ours, "precedence": 8 },
    ]);
    assert_eq!(puts[0].body["policies"], links);
    for member in [
        "type",
        "name",
        "domain",
        "session_duration",
        "cors_headers",
        "x_future",
        "tags",
        "http_only_cookie_attribute",
    ] {
        assert_eq!(puts[0].body[member], before[member], "{member}");
    }
    assert!(puts[0].body.get("id").is_none() && puts[0].body.get("aud").is_none());
    let mut after = application(&scene);
    assert_eq!(after["policies"], links);
    after["policies"] = before["policies"].clone();
    assert_eq!(after, before);
    scene.run(&["setup", "URL", "--yes"]).ended(0).says(&["nothing to do"]);
    // And back again.
    scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(0);
    assert_eq!(application(&scene), before);
    assert_eq!(scene.api.state().policies.len(), 2);
    assert!(scene.api.state().tokens.is_empty());
    assert!(!scene.env_file().exists());
}

#[test]
fn legacy_policies_are_only_added_to() {
    let scene = Scene::new();
    let mut own = policy(FIRST, "allow");
    own.as_object_mut().expect("an object").remove("reusable");
    own["precedence"] = 4.into();
    scene.api.change(|state| state.applications.push(theirs(json!([own]))));
    let before = application(&scene);
    scene.run(&["setup", "URL", "--yes", "--adopt"]).ended(0);
    let writes = scene.api.writes();
    assert_eq!(writes, ["POST access/apps", "POST access/service_tokens", "POST access/apps/ID/policies"]);
    let call =
        scene.api.calls().into_iter().find(|call| call.path.ends_with("/policies") && call.method == "POST");
    let call = call.expect("a call");
    assert!(call.body.get("precedence").is_none(), "{}", call.body);
    assert_eq!(call.body["decision"], "non_identity");
    assert!(scene.is_opened_by(&scene.env_file()));
    scene.run(&["setup", "URL", "--yes"]).ended(0).says(&["nothing to do"]);
    scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(0);
    assert_eq!(application(&scene), before);
}

#[test]
fn application_that_changes_otherwise_is_put_back() {
    let scene = with_reusable();
    let before = application(&scene);
    scene.api.change(|state| state.changes_member = Some("session_duration"));
    let ran = scene.run(&["setup", "URL", "--yes", "--adopt"]);
    ran.ended(1).says(&["session_duration", "put back"]);
    assert_eq!(application(&scene), before);
    let state = scene.api.state().clone();
    assert!(state.tokens.is_empty() && state.policies.len() == 2, "{state:?}");
    assert!(!scene.env_file().exists());
}

#[test]
fn adopting_with_unknown_outcome_is_looked_up() {
    use crate::cloudflare::{Fault, Spoiled};
    for how in [Spoiled::Cut, Spoiled::After(502)] {
        let scene = with_reusable();
        scene.api.change(|state| state.faults.push(Fault::once("PUT", "*/access/apps/", how)));
        scene.run(&["setup", "URL", "--yes", "--adopt"]).ended(0);
        assert_eq!(scene.api.state().applications[0]["policies"].as_array().map(Vec::len), Some(3));
    }
    let scene = with_reusable();
    let before = application(&scene);
    scene
        .api
        .change(|state| state.faults.push(Fault::once("PUT", "*/access/apps/", Spoiled::Before(502, None))));
    scene.run(&["setup", "URL", "--yes", "--adopt"]).ended(1);
    assert_eq!(application(&scene), before);
    assert!(scene.api.state().tokens.is_empty());
}

#[test]
fn link_adds_policy_for_tokens_of_other_application() {
    let scene = with_reusable();
    scene.api.change(|state| {
        let mut source = theirs(json!([]));
        source["id"] = "44444444-4444-4444-4444-444444444444".into();
        source["domain"] = "127.0.0.1/source".into();
        source["name"] = "source".into();
        state.applications.push(source);
    });
    let from = scene.edge.mcp_url().replace("/mcp", "/source");
    let to = scene.edge.mcp_url();
    scene.run(&["link", &from, "--to", &to, "--yes"]).ended(1).says(&["--adopt"]);
    scene.run(&["link", &from, "--to", &to, "--adopt"]).ended(1).says(&["--yes"]);
    assert!(scene.api.writes().is_empty());
    let before = application(&scene);
    let ran = scene.run(&["link", &from, "--to", &to, "--adopt", "--yes"]);
    ran.ended(0);
    assert_eq!(ran.marks(), "+~");
    let ours = scene.api.state().policies[2].clone();
    assert_eq!(
        ours["include"],
        json!([{ "linked_app_token": { "app_uid": "44444444-4444-4444-4444-444444444444" } }])
    );
    assert_eq!(ours["decision"], "non_identity");
    let mut after = application(&scene);
    assert_eq!(after["policies"][2], json!({ "id": ours["id"], "precedence": 8 }));
    after["policies"] = before["policies"].clone();
    assert_eq!(after, before);
    let ran = scene.run(&["link", &from, "--to", &to, "--adopt", "--yes"]);
    ran.ended(0).says(&["nothing to do"]);
    assert_eq!(scene.api.state().policies.len(), 3);
}
