//! `access setup` where all goes well: what is sent, saved, printed and opened.

use serde_json::json;

use crate::scene::{FRESH, Scene};
use crate::support::server::Server;

#[test]
fn setup_protects_open_server_in_four_calls() {
    let scene = Scene::new();
    assert!(scene.is_open());
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
    assert!(!scene.is_open());
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

#[test]
fn lists_are_read_to_their_last_page() {
    let scene = Scene::set_up();
    scene.api.change(|state| {
        state.page_limit = 1;
        let mut other = state.tokens[0].clone();
        other.id = "66666666-6666-6666-6666-666666666666".to_owned();
        other.current.id = "other.access".to_owned();
        state.tokens.insert(0, other);
        let mut other = state.policies[0].clone();
        other["id"] = "77777777-7777-7777-7777-777777777777".into();
        state.policies.insert(0, other);
        let mut other = state.applications[0].clone();
        other["id"] = "88888888-8888-8888-8888-888888888888".into();
        other["domain"] = "other.example.com".into();
        state.applications.insert(0, other);
    });
    scene.run(&["setup", "URL", "--yes"]).ended(0).says(&["nothing to do"]);
}

#[test]
fn proxies_of_the_environment_are_not_used_on_this_computer() {
    let scene = Scene::new();
    let mut command = scene.command(&["setup", "URL", "--yes"]);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"] {
        command.env(name, "http://127.0.0.1:9");
    }
    scene.ran(&mut command).ended(0);
}

#[test]
fn path_alone_has_files_and_application_of_its_own() {
    let scene = Scene::new();
    let ran = scene.run(&["setup", "URL", "--only-path", "--yes", "--name", "mine", "--duration", "90d"]);
    ran.ended(0);
    let state = scene.api.state().clone();
    assert_eq!(
        (state.applications[0]["domain"].as_str(), state.applications[0]["name"].as_str()),
        (Some("127.0.0.1/mcp"), Some("mine"))
    );
    assert_eq!((&*state.tokens[0].name, &*state.tokens[0].duration), ("mine", "2160h"));
    assert_eq!(state.policies[0]["name"], "mine");
    for arguments in [
        &["setup", "URL", "--only-path", "--yes", "--name", "mine"][..],
        &["status", "URL"],
        &["rotate", "URL", "--yes"],
        &["rotate", "URL", "--finish", "--yes"],
        &["renew", "URL", "--yes"],
        &["revoke", "URL", "--delete", "--yes"],
    ] {
        scene.run(arguments).ended(0);
    }
    assert!(scene.api.state().tokens.is_empty());
}

#[test]
fn worker_is_protected_with_all_its_hostnames() {
    let scene = Scene::new();
    scene.run(&["setup", "URL", "--worker", "--yes"]).ended(1).says(&["no Worker named 127"]);
    assert!(scene.api.writes().is_empty());
    scene.run(&["setup", "URL", "--worker", "worker", "--yes"]).ended(0);
    let application = scene.api.state().applications[0].clone();
    let tag = scene.api.state().workers[0].1.clone();
    assert_eq!(application["destinations"], json!([{ "type": "worker", "worker_id": tag }]));
    assert!(application.get("domain").is_none());
    let ran = scene.run(&["setup", "--yes", "--worker=worker", "URL"]);
    ran.ended(0).says(&["nothing to do"]);
    scene.run(&["status", "URL"]).ended(0);
    scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(0);
    assert_eq!(scene.api.state().applications[0]["policies"], json!([]));
    scene.api.change(|state| state.applications.clear());
    // A bare option before the URL does not take it for a name.
    scene.run(&["setup", "--worker", "URL", "--yes"]).ended(1).says(&["no Worker named 127"]);
}

#[test]
fn users_get_a_policy_of_their_own() {
    let scene = Scene::new();
    let arguments = [
        "setup",
        "URL",
        "--yes",
        "--managed-oauth",
        "--allow-email",
        "ada@example.com",
        "--allow-email",
        "bob@example.com",
    ];
    let ran = scene.run(&arguments);
    ran.ended(0);
    assert_eq!(ran.marks(), "++++");
    let state = scene.api.state().clone();
    assert_eq!(state.policies[1]["decision"], "allow");
    let emails =
        json!([{ "email": { "email": "ada@example.com" } }, { "email": { "email": "bob@example.com" } }]);
    assert_eq!(state.policies[1]["include"], emails);
    assert_eq!(state.applications[0]["oauth_configuration"]["enabled"], true);
    assert_eq!(state.applications[0]["policies"].as_array().map(Vec::len), Some(2));
    scene.run(&arguments).ended(0).says(&["nothing to do"]);
    scene.run(&["status", "URL"]).ended(0);
}

#[test]
fn website_on_same_host_is_warned_about() {
    let scene = Scene::new();
    let ran = scene.run(&["setup", "URL", "--dry-run"]);
    assert!(!ran.ended(0).marks().contains('!'), "{ran:?}");
    // The server behind it shows a website at its root.
    let website = Server::start(|request, reply| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => reply.answer(200, &[("content-type", "text/html; charset=utf-8")], "<html>"),
        _ => reply.status(404),
    });
    let url = website.url.clone();
    let ran = scene.run(&["setup", &url, "--dry-run"]);
    ran.ended(0).says(&["! 127.0.0.1 also shows a website", "--only-path"]);
    let ran = scene.run(&["setup", &url, "--dry-run", "--only-path"]);
    assert!(!ran.ended(0).marks().contains('!'), "{ran:?}");
}
