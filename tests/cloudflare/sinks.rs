//! Where secrets go, and where they never show.

use std::path::Path;

use crate::cloudflare::{Fault, Spoiled};
use crate::scene::Scene;

#[test]
fn env_file_keeps_its_other_lines() {
    let scene = Scene::new();
    let path = scene.folder.path().join("mine.env");
    std::fs::write(&path, "# mine\nOTHER='a\nb'\nexport CF_ACCESS_HOSTS=a.example.com\n").expect("written");
    let text = path.display().to_string();
    scene.run(&["setup", "URL", "--yes", "--env-file", &text]).ended(0).says(&[&text]);
    let written = std::fs::read_to_string(&path).expect("a file");
    let token = scene.api.state().tokens[0].current.clone();
    assert_eq!(
        written,
        format!(
            "# mine\nOTHER='a\nb'\nexport CF_ACCESS_HOSTS=a.example.com,127.0.0.1\nCF_ACCESS_CLIENT_ID={}\nCF_ACCESS_CLIENT_SECRET={}\n",
            token.id, token.secret
        )
    );
    scene.run(&["setup", "URL", "--yes"]).ended(0).says(&["nothing to do", &text]);
    scene.run(&["status", "URL"]).ended(0);
    scene.run(&["rotate", "URL", "--yes"]).ended(0);
    assert!(scene.is_opened_by(&path));
    scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(0);
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "# mine\nOTHER='a\nb'\n");
}

#[test]
fn unusable_files_are_refused_before_any_write() {
    let scene = Scene::new();
    let path = |name: &str| scene.folder.path().join(name).display().to_string();
    std::fs::write(path("text"), "this is no variable\n").expect("written");
    std::fs::write(path("lines"), "A='x\nCF_ACCESS_CLIENT_ID=y'\n").expect("written");
    std::fs::write(path("binary"), b"A=\xff\n").expect("written");
    std::fs::create_dir(path("folder")).expect("a folder");
    let mut all = vec![path("text"), path("lines"), path("binary"), path("folder"), path("none/file")];
    if cfg!(target_os = "linux") {
        all.extend(["/dev/full".to_owned(), "/dev/null".to_owned()]);
    }
    #[cfg(unix)]
    {
        let made = std::process::Command::new("mkfifo").arg(path("fifo")).status();
        assert!(made.expect("mkfifo").success());
        all.push(path("fifo"));
    }
    for path in all {
        scene.run(&["setup", "URL", "--yes", "--env-file", &path]).ended(1).says(&[&path]);
    }
    assert!(scene.api.writes().is_empty(), "{:?}", scene.api.writes());
}

#[test]
fn rollback_gives_the_file_back_as_it_was() {
    let scene = Scene::new();
    let path = scene.folder.path().join("mine.env");
    std::fs::write(&path, "OTHER=1\r\n").expect("written");
    scene.api.change(|state| {
        state.faults.push(Fault::always(
            "POST",
            "/access/policies",
            Spoiled::Before(400, Some((12130, "no"))),
        ));
    });
    scene.run(&["setup", "URL", "--yes", "--env-file", &path.display().to_string()]).ended(1);
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "OTHER=1\r\n");
    assert!(scene.api.state().tokens.is_empty());
}

#[test]
#[cfg(unix)]
fn command_gets_the_secret_on_stdin_alone() {
    let scene = Scene::new();
    let to = scene.folder.path().join("taken");
    let command = format!("tee '{}'", to.display());
    let ran = scene.run(&["setup", "URL", "--yes", "--secret-to", &command]);
    ran.ended(0);
    let token = scene.api.state().tokens[0].current.clone();
    let taken = std::fs::read_to_string(&to).expect("a file");
    assert_eq!(
        taken,
        format!(
            "CF_ACCESS_CLIENT_ID={}\nCF_ACCESS_CLIENT_SECRET={}\nCF_ACCESS_HOSTS=127.0.0.1\n",
            token.id, token.secret
        )
    );
    assert!(!scene.env_file().exists());
    let ran = scene.run(&["setup", "URL", "--yes"]);
    ran.ended(0).says(&["nothing to do"]);
    assert!(!ran.stdout.contains("env-file"), "it names a file that is not there: {}", ran.stdout);
    let other = scene.folder.path().join("other.env").display().to_string();
    scene.run(&["setup", "URL", "--yes", "--env-file", &other]).ended(1).says(&["was not saved in a file"]);
    scene.run(&["status", "URL"]).ended(0);
    scene.run(&["rotate", "URL", "--yes"]).ended(1).says(&["--secret-to"]);
    let ran = scene.run(&["rotate", "URL", "--yes", "--secret-to", &command]);
    ran.ended(0).says(&["give running proxies the new secret"]);
    assert!(scene.is_opened_by(&to) && !ran.stdout.contains("read the file again"));
}

#[test]
#[cfg(unix)]
fn failing_command_rolls_everything_back() {
    for command in ["sh -c 'cat >/dev/null; echo bad >&2; exit 7'", "sh -c 'cat >&2; exit 1'"] {
        let scene = Scene::new();
        let ran = scene.run(&["setup", "URL", "--yes", "--secret-to", command]);
        ran.ended(1).says(&["--secret-to", "exit status"]);
        assert!(scene.api.state().tokens.is_empty(), "{ran:?}");
        assert_eq!(
            scene.api.writes(),
            ["POST access/apps", "POST access/service_tokens", "DELETE access/service_tokens/ID"]
        );
    }
    let scene = Scene::new();
    scene.run(&["setup", "URL", "--yes", "--secret-to", "/no/such/program"]).ended(1).says(&["--secret-to"]);
    assert!(scene.api.writes().is_empty());
}

#[test]
fn secret_is_shown_where_that_is_asked_for() {
    let scene = Scene::new();
    let ran = scene.run(&["setup", "URL", "--yes", "--show-secret", "--json"]);
    let document = ran.ended(0).json();
    let token = scene.api.state().tokens[0].current.clone();
    assert_eq!(document["CF_ACCESS_CLIENT_SECRET"], token.secret.as_str());
    assert!(!ran.stderr.contains(&token.secret));
    let ran = scene.run(&["rotate", "URL", "--yes", "--show-secret"]);
    ran.ended(0);
    let token = scene.api.state().tokens[0].current.clone();
    assert!(ran.stdout.contains(&format!("CF_ACCESS_CLIENT_SECRET={}\n", token.secret)), "{ran:?}");
    for (path, text) in scene.files() {
        assert!(!text.contains(&token.secret), "{}", path.display());
    }
}

#[test]
fn documents_stand_alone_on_stdout() {
    let scene = Scene::new();
    for arguments in [
        &["setup", "URL", "--yes", "--json"][..],
        &["setup", "URL", "--yes", "--json"],
        &["status", "URL", "--json"],
        &["rotate", "URL", "--yes", "--json"],
        &["rotate", "URL", "--yes", "--json"],
        &["rotate", "URL", "--finish", "--yes", "--json"],
        &["renew", "URL", "--yes", "--json"],
        &["revoke", "URL", "--yes", "--json"],
        &["revoke", "URL", "--yes", "--delete", "--json"],
        &["status", "URL", "--json"],
        &["link", "URL", "--to", "URL", "--json"],
    ] {
        let ran = scene.run(arguments);
        let document = ran.json();
        assert_eq!(document["ok"], ran.code == Some(0), "{arguments:?} {ran:?}");
        assert_eq!(document["command"], arguments[0]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn no_secret_stands_in_the_arguments_of_a_process() {
    let scene = Scene::new();
    let seen = scene.folder.path().join("seen");
    // The command looks at every process while it has the secret.
    let script = scene.folder.path().join("look.sh");
    std::fs::write(
        &script,
        format!("cat >/dev/null; cat /proc/[0-9]*/cmdline > '{}' 2>/dev/null || true\n", seen.display()),
    )
    .expect("written");
    let command = format!("sh '{}'", script.display());
    scene.run(&["setup", "URL", "--yes", "--secret-to", &command]).ended(0);
    let seen = String::from_utf8_lossy(&std::fs::read(&seen).expect("a file")).into_owned();
    assert!(seen.contains("--secret-to"), "it did not look");
    for secret in scene.secrets() {
        assert!(!seen.contains(&secret));
    }
}

#[test]
fn one_token_serves_several_servers() {
    let scene = Scene::set_up();
    let path = scene.env_file();
    let text = path.display().to_string();
    // A path of the same host is a server of its own. The file was made for another host.
    let before = std::fs::read_to_string(&path).expect("a file");
    let before = before.replace("CF_ACCESS_HOSTS=127.0.0.1", "CF_ACCESS_HOSTS=a.example.com");
    std::fs::write(&path, &before).expect("written");
    let arguments = ["setup", "URL", "--only-path", "--yes", "--env-file", &text];
    let no = Spoiled::Before(400, Some((12130, "no")));
    scene.api.change(|state| state.faults.push(Fault { skip: 1, ..Fault::once("POST", "/access/apps", no) }));
    scene.run(&arguments).ended(1);
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), before);
    let ran = scene.run(&arguments);
    ran.ended(0).says(&["CF_ACCESS_HOSTS a.example.com -> a.example.com,127.0.0.1"]);
    assert_eq!(ran.marks().replace('!', ""), "=~=+", "{ran:?}");
    assert_eq!(Scene::variable(&path, "CF_ACCESS_HOSTS").as_deref(), Some("a.example.com,127.0.0.1"));
    let state = scene.api.state().clone();
    assert_eq!((state.tokens.len(), state.policies.len(), state.applications.len()), (1, 1, 2));
    assert_eq!(state.applications[1]["domain"], "127.0.0.1/mcp");
    assert!(Path::new(&text).exists());
    // A rotation by the one is known to the other, which has a path of its own.
    let whole = scene.edge.mcp_url().replace("/mcp", "/other");
    scene.run(&["rotate", &whole, "--yes"]).ended(0);
    scene.run(&["rotate", "URL", "--yes"]).ended(1).says(&["--finish"]);
    scene.run(&["rotate", "URL", "--finish", "--yes"]).ended(0);
    scene.run(&["rotate", &whole, "--finish", "--yes"]).ended(0).says(&["no grace period"]);
    scene.run(&["revoke", "URL", "--delete", "--yes"]).ended(1).says(&["used elsewhere"]);
    // Without --delete it is disabled for the other server as well, which the plan says.
    let ran = scene.run(&["revoke", "URL", "--yes"]);
    ran.ended(0)
        .says(&["~ service token", "! the token is refused everywhere; it is also used by the policy"]);
    let ran = scene.run(&["revoke", "URL", "--yes"]);
    assert!(!ran.marks().contains('!'), "it is disabled already: {ran:?}");
}

#[test]
fn setup_with_another_file_names_the_one_that_holds_the_secret() {
    let scene = Scene::set_up();
    let other = scene.folder.path().join("other.env").display().to_string();
    let ran = scene.run(&["setup", "URL", "--yes", "--env-file", &other]);
    let first = scene.env_file().display().to_string();
    ran.ended(1).says(&[&format!("was saved in {first}"), "access rotate"]);
    assert!(scene.api.writes().is_empty() && !Path::new(&other).exists());
    std::fs::remove_file(&first).expect("removed");
    scene.run(&["setup", "URL", "--yes"]).ended(1).says(&[&format!("is not in {first} any more")]);
}
