//! What is refused, with which exit code, and before anything is sent or changed.

use serde_json::json;

use crate::cloudflare::{Fault, Spoiled};
use crate::scene::Scene;

/// Runs with another environment.
fn with(scene: &Scene, arguments: &[&str], environment: &[(&str, &str)]) -> crate::scene::Ran {
    let mut command = scene.command(arguments);
    for (name, value) in environment {
        match value.is_empty() {
            true => command.env_remove(name),
            false => command.env(name, value),
        };
    }
    scene.ran(&mut command)
}

#[test]
fn impossible_options_end_with_two_and_send_nothing() {
    let scene = Scene::new();
    for arguments in [
        &[][..],
        &["setup"],
        &["frobnicate", "URL"],
        &["setup", "URL", "--frobnicate"],
        &["setup", "http://mcp.example.com/mcp"],
        &["setup", "https://mcp.example.com:8443/mcp"],
        &["setup", "URL", "--duration", "long"],
        &["setup", "URL", "--duration", "0"],
        &["setup", "URL", "--name", ""],
        &["setup", "URL", "--allow-email", "nobody"],
        &["setup", "URL", "--only-path", "--managed-oauth"],
        &["setup", "URL", "--only-path", "--worker"],
        &["setup", "URL", "--env-file", "x", "--show-secret"],
        &["setup", "URL", "--env-file", "x", "--secret-to", "y"],
        &["setup", "URL", "--secret-to", "'open"],
        &["setup", "URL", "--account", "a/b"],
        &["rotate", "URL", "--grace", "31d"],
        &["rotate", "URL", "--grace", "soon"],
        &["rotate", "URL", "--finish", "--next"],
        &["revoke", "URL", "--delete-application"],
        &["link", "URL"],
    ] {
        let ran = scene.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("error: ") && ran.stderr.contains("  try: "), "{ran:?}");
    }
    assert!(scene.api.writes().is_empty());
    let ran = scene.run(&["setup", "URL", "--duration=marked-value", "--json"]);
    ran.ended(2);
    assert!(ran.json()["error"]["advice"].is_string());
    assert!(!ran.stdout.contains("marked") && !ran.stderr.contains("marked"), "{ran:?}");
    assert_eq!(scene.run(&["setup", "--help"]).code, Some(0));
    assert_eq!(scene.run(&["--help"]).code, Some(0));
}

#[test]
fn without_api_token_form_and_permissions_are_named() {
    let scene = Scene::new();
    let ran = with(&scene, &["setup", "URL", "--yes"], &[("CLOUDFLARE_API_TOKEN", "")]);
    ran.ended(1).says(&[
        "https://dash.cloudflare.com/profile/api-tokens?permissionGroupKeys=",
        "Access: Apps and Policies",
        "Access: Service Tokens",
        "Access: Organizations, Identity Providers, and Groups",
        "Zone Read",
        "--api-token-command",
    ]);
    for (value, reason) in [
        ("cfk_0123456789012345678901234567890123456789", "global API key"),
        ("0123456789abcdef0123456789abcdef01234", "global API key"),
        ("cfoat_0123456789", "wrangler"),
        ("two words", "space"),
    ] {
        let ran = with(&scene, &["setup", "URL", "--yes"], &[("CLOUDFLARE_API_TOKEN", value)]);
        ran.ended(1).says(&[reason]);
        assert!(!ran.stderr.contains(value), "{ran:?}");
    }
    let global = [
        ("CLOUDFLARE_API_TOKEN", ""),
        ("CLOUDFLARE_API_KEY", "0123456789abcdef0123456789abcdef01234"),
        ("CLOUDFLARE_EMAIL", "a@example.com"),
    ];
    with(&scene, &["setup", "URL", "--yes"], &global).ended(1).says(&["global API key"]);
    assert!(scene.api.calls().is_empty() && scene.files().is_empty(), "{:?}", scene.files());
}

#[test]
#[cfg(unix)]
fn api_token_comes_from_command_then_variables() {
    let scene = Scene::new();
    let token = scene.api.token();
    std::fs::write(scene.folder.path().join("token"), &token).expect("written");
    let command = format!("cat '{}'", scene.folder.path().join("token").display());
    let none = [("CLOUDFLARE_API_TOKEN", "cfut_wrong")];
    with(&scene, &["status", "URL", "--api-token-command", &command], &none)
        .ended(1)
        .says(&["nothing is set up"]);
    let other = [("CLOUDFLARE_API_TOKEN", ""), ("CF_API_TOKEN", token.as_str())];
    with(&scene, &["status", "URL"], &other).ended(1).says(&["nothing is set up"]);
    with(&scene, &["status", "URL"], &[("CLOUDFLARE_API_TOKEN", "cfut_wrong")]).ended(1).says(&[
        "1000",
        "Invalid API Token",
        "-TST",
    ]);
    let failing = ["status", "URL", "--api-token-command", "sh -c 'exit 3'"];
    with(&scene, &failing, &[]).ended(1).says(&["--api-token-command", "failed"]);
}

#[test]
fn api_address_must_be_on_this_computer() {
    let scene = Scene::new();
    for value in
        ["https://api.example.com", "http://user@127.0.0.1:9", "http://10.0.0.1", "ftp://127.0.0.1", "x"]
    {
        let ran = with(&scene, &["setup", "URL", "--yes"], &[("MCP_TETHER_CLOUDFLARE_API", value)]);
        ran.ended(1).says(&["MCP_TETHER_CLOUDFLARE_API"]);
    }
    with(&scene, &["setup", "URL"], &[("MCP_TETHER_CLOUDFLARE_API", "")]).ended(2).says(&["this computer"]);
    assert!(scene.api.calls().is_empty());
}

#[test]
fn missing_permissions_are_named_before_anything_is_created() {
    for (part, permission) in [
        ("/access/service_tokens", "Access: Service Tokens"),
        ("/access/organizations", "Access: Organizations, Identity Providers, and Groups"),
        ("/access/apps", "Access: Apps and Policies"),
    ] {
        let scene = Scene::new();
        scene.api.change(|state| state.forbidden.push(part));
        scene.run(&["setup", "URL", "--yes"]).ended(1).says(&[
            permission,
            "10000",
            "Authentication error",
            "-TST",
        ]);
        assert!(scene.api.writes().is_empty(), "{:?}", scene.api.writes());
    }
    let scene = Scene::new();
    let no = Spoiled::Before(403, Some((10000, "Authentication error")));
    scene.api.change(|state| state.faults.push(Fault::always("POST", "/access/apps", no)));
    let ran = scene.run(&["setup", "URL", "--yes", "--json"]);
    ran.ended(1).says(&["Access: Apps and Policies"]);
    assert_eq!(ran.json()["error"]["code"], 10000);
    assert!(ran.json()["error"]["cf_ray"].as_str().is_some_and(|ray| ray.ends_with("-TST")));
    assert_eq!(scene.api.writes(), ["POST access/apps"]);
    assert!(!scene.env_file().exists(), "{:?}", scene.files());
    // What is missing shows at the second call.
    let scene = Scene::new();
    scene.api.change(|state| state.faults.push(Fault::always("POST", "/service_tokens", no)));
    scene.run(&["setup", "URL", "--yes"]).ended(1).says(&["Access: Service Tokens"]);
    assert_eq!(scene.api.writes(), ["POST access/apps", "POST access/service_tokens"]);
}

#[test]
fn wrong_zone_account_and_team_are_refused() {
    let scene = Scene::new();
    scene.api.change(|state| state.zone_status = "pending");
    scene.run(&["setup", "URL", "--yes"]).ended(1).says(&["pending"]);
    scene.api.change(|state| (state.zone_status, state.zone) = ("active", "other.example".to_owned()));
    scene.run(&["setup", "URL", "--yes"]).ended(1).says(&["no zone", "127.0.0.1", "Zone Read"]);
    scene.api.change(|state| state.zone = "127.0.0.1".to_owned());
    scene
        .run(&["setup", "URL", "--yes", "--account", "0123456789abcdef"])
        .ended(1)
        .says(&["does not belong to the account"]);
    with(&scene, &["setup", "URL", "--yes"], &[("CLOUDFLARE_ACCOUNT_ID", "0123456789abcdef")])
        .ended(1)
        .says(&["does not belong to the account"]);
    // The edge is protected by a team, and the account has another.
    scene.edge.change(|settings| settings.is_protected = true);
    let team = scene.edge.team_url().expect("a team").replace("http://", "");
    scene.api.state().team = "other.cloudflareaccess.com".to_owned();
    scene.api.state().calls.clear();
    scene.run(&["setup", "URL", "--yes"]).ended(1);
    // The API's answers open the edge again, which has no application.
    scene.edge.change(|settings| settings.is_protected = true);
    scene.run(&["setup", "URL", "--yes"]).ended(1).says(&[&team, "other.cloudflareaccess.com", "team"]);
    assert!(scene.api.writes().is_empty());
}

#[test]
fn zone_that_moved_away_does_not_hide_the_active_one() {
    let scene = Scene::new();
    scene.api.change(|state| state.older_zone = Some(("b".repeat(32), "moved")));
    scene.run(&["setup", "URL", "--dry-run"]).ended(0);
    // The account that is named has the old one.
    let ran = scene.run(&["setup", "URL", "--dry-run", "--account", &"b".repeat(32)]);
    ran.ended(1).says(&["does not belong to the account"]);
}

#[test]
fn existing_application_needs_adopt() {
    let scene = Scene::new();
    scene.api.change(|state| {
        state.applications.push(json!({
            "id": "11111111-1111-1111-1111-111111111111", "type": "self_hosted", "name": "theirs", "domain": "127.0.0.1",
            "policies": [],
        }));
    });
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(1).says(&["--adopt", "theirs"]);
    assert!(scene.api.writes().is_empty());
}

#[test]
fn plan_needs_terminal_or_yes() {
    let scene = Scene::new();
    let ran = scene.run(&["setup", "URL"]);
    ran.ended(1).says(&["--yes", "terminal"]);
    assert_eq!(ran.marks(), "+++");
    let ran = scene.run(&["setup", "URL", "--dry-run"]);
    ran.ended(0);
    assert_eq!(ran.marks(), "+++");
    let ran = scene.run(&["setup", "URL", "--dry-run", "--json"]);
    ran.ended(0);
    let document = ran.json();
    assert_eq!(document["plan"].as_array().map(Vec::len), Some(3));
    assert_eq!(document["plan"][0]["mark"], "+");
    assert_eq!(document["applied"], false);
    assert!(scene.api.writes().is_empty());
    assert!(!scene.env_file().exists());
}

#[test]
fn redirects_of_the_api_are_not_followed() {
    let scene = Scene::new();
    scene.api.change(|state| state.faults.push(Fault::always("GET", "/zones", Spoiled::Redirect)));
    scene.run(&["setup", "URL", "--yes"]).ended(1).says(&["302", "never followed"]);
    // Whether a write was done is not known, so that it is looked up.
    let scene = Scene::set_up();
    scene.api.change(|state| state.faults.push(Fault::always("PUT", "*/service_tokens/", Spoiled::Redirect)));
    let ran = scene.run(&["revoke", "URL", "--yes"]);
    ran.ended(1).says(&["did not say whether PUT", "took effect", "302", "never followed"]);
}

#[test]
fn two_commands_for_one_server_exclude_each_other() {
    let scene = Scene::new();
    let folder = scene.folder.path().join("mcp-tether/access");
    std::fs::create_dir_all(&folder).expect("a folder");
    let lock = scene.env_file().with_extension("lock");
    let file = std::fs::File::create(lock).expect("a file");
    file.lock().expect("locked");
    scene.run(&["setup", "URL", "--yes"]).ended(1).says(&["another mcp-tether access command"]);
    drop(file);
    scene.run(&["setup", "URL", "--yes"]).ended(0);
}
