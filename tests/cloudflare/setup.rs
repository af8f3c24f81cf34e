//! `access setup` where all goes well: what is sent, saved, printed and opened.

use serde_json::json;

use crate::scene::{FRESH, Scene};

#[test]
fn setup_protects_open_server_in_four_calls() {
    let scene = Scene::new();
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(0);
    assert_eq!(ran.marks(), "+++", "{ran:?}");
    assert_eq!(scene.api.writes(), FRESH);
    let path = scene.env_file();
    let (audience, team) =
        (scene.edge.audience().to_owned(), scene.edge.team_url().expect("a team").replace("http://", ""));
    ran.says(&[
        &audience,
        &team,
        &path.display().to_string(),
        "claude mcp add",
        "POLICY_AUD",
        "TEAM_DOMAIN",
        "checked",
    ]);
    let calls: Vec<_> = scene.api.calls().into_iter().filter(|call| call.method == "POST").collect();
    let state = scene.api.state().clone();
    let (token, policy) = (&state.tokens[0], &state.policies[0]);
    assert_eq!(calls[0].body, json!({}));
    assert_eq!(calls[1].body, json!({"name": "mcp-tether 127.0.0.1", "duration": "8760h"}));
    assert_eq!(calls[2].body["include"], json!([{"service_token": {"token_id": token.id}}]));
    assert_eq!(calls[2].body["decision"], "non_identity");
    assert_eq!(calls[3].body["policies"], json!([{"id": policy["id"], "precedence": 1}]));
    assert_eq!(calls[3].body["domain"], "127.0.0.1");
    for call in scene.api.calls() {
        assert!(!call.query.contains(&state.api_token));
        assert_eq!(call.authorization, Some(format!("Bearer {}", state.api_token)));
        assert_eq!(call.user_agent.as_deref(), Some(concat!("mcp-tether/", env!("CARGO_PKG_VERSION"))));
    }
    assert_eq!(Scene::variable(&path, "CF_ACCESS_CLIENT_ID").as_ref(), Some(&token.current.id));
    assert_eq!(Scene::variable(&path, "CF_ACCESS_CLIENT_SECRET").as_ref(), Some(&token.current.secret));
    assert_eq!(Scene::variable(&path, "CF_ACCESS_HOSTS").as_deref(), Some("127.0.0.1"));
    for (path, text) in scene.files() {
        let is_env = path.extension().is_some_and(|extension| extension == "env");
        assert_eq!(text.contains(&token.current.secret), is_env, "{}", path.display());
        assert!(!text.contains(&state.api_token), "{}", path.display());
        is_private(&path);
    }
    assert!(scene.is_opened_by(&path));
    assert!(!scene.is_opened_by(std::path::Path::new("/dev/null")));
}

#[cfg(unix)]
fn is_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{}", path.display());
}

#[cfg(not(unix))]
fn is_private(_: &std::path::Path) {}

#[test]
fn second_setup_plans_nothing() {
    let scene = Scene::set_up();
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(0).says(&["nothing to do", "POLICY_AUD"]);
    assert_eq!(ran.marks(), "===");
    assert!(scene.api.writes().is_empty(), "{:?}", scene.api.writes());
}
