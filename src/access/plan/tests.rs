//! The plan as a table: what is wanted and read, and the lines that come of it.

use super::*;

fn look() -> Look {
    Look { openness: Openness::Open, team: None, aud: None, is_website: false }
}

fn token(id: &str, name: &str) -> TokenRecord {
    TokenRecord {
        id: id.to_owned(),
        name: name.to_owned(),
        client_id: format!("{id}.access"),
        is_enabled: true,
        ..TokenRecord::default()
    }
}

fn policy(id: &str, decision: &str, include: Vec<Value>, is_reusable: bool) -> Policy {
    Policy {
        id: id.to_owned(),
        name: id.to_owned(),
        decision: decision.to_owned(),
        include,
        is_reusable: Some(is_reusable),
        ..Policy::default()
    }
}

fn application(domain: &str, policies: Vec<Policy>) -> Application {
    let all = json!({ "id": "app", "name": "app", "domain": domain, "type": "self_hosted" });
    Application { policies, ..Application::of(&all).expect("an id") }
}

/// One case: changes what is wanted and what is found, and says what comes of it.
struct Case {
    name: &'static str,
    url: &'static str,
    wanted: fn(&mut Wanted<'_>),
    found: fn(&mut FoundObjects),
    state: fn(&mut State),
    /// The marks of the lines, or a part of the refusal.
    expected: Result<&'static str, &'static str>,
    /// A part of the last line.
    last: &'static str,
}

const CASE: Case = Case {
    name: "",
    url: "https://a.example.com/mcp",
    wanted: |_| {},
    found: |_| {},
    state: |_| {},
    expected: Ok("+++"),
    last: "application",
};

#[test]
fn plan_follows_from_what_is_wanted_and_read() {
    for case in [
        Case { name: "nothing is there", ..CASE },
        Case {
            name: "all is there",
            wanted: |wanted| wanted.client_id = Some("t.access".to_owned()),
            found: |found| {
                let ours = policy("p", "non_identity", vec![token_rule("t")], true);
                found.tokens.push(token("t", "n"));
                found.policies.push(ours.clone());
                found.applications.push(application("a.example.com", vec![ours]));
            },
            expected: Ok("==="),
            ..CASE
        },
        Case {
            name: "a token of the same name is not touched",
            found: |found| found.tokens.push(token("t", "n")),
            ..CASE
        },
        Case {
            name: "a token that is disabled is enabled",
            wanted: |wanted| wanted.client_id = Some("t.access".to_owned()),
            found: |found| found.tokens.push(TokenRecord { is_enabled: false, ..token("t", "n") }),
            expected: Ok("~++"),
            ..CASE
        },
        Case {
            name: "an application of the path decides about the URL",
            found: |found| found.applications.push(application("a.example.com/mcp", Vec::new())),
            expected: Err("more specific"),
            ..CASE
        },
        Case {
            name: "an application of another path decides about nothing here",
            found: |found| found.applications.push(application("a.example.com/other", Vec::new())),
            ..CASE
        },
        Case {
            name: "the file holds a token of another account",
            wanted: |wanted| wanted.client_id = Some("x.access".to_owned()),
            expected: Err("which this account does not have"),
            ..CASE
        },
        Case {
            name: "an interrupted run created a token",
            found: |found| found.tokens.extend([token("old", "n"), token("t", "n")]),
            state: |state| {
                let before = vec!["old".to_owned()];
                state.token = Some(super::super::state::TokenState {
                    name: "n".to_owned(),
                    before,
                    ..Default::default()
                });
            },
            expected: Ok("~++"),
            ..CASE
        },
        Case {
            name: "two tokens may be that of the interrupted run",
            found: |found| found.tokens.extend([token("s", "n"), token("t", "n")]),
            state: |state| {
                state.token =
                    Some(super::super::state::TokenState { name: "n".to_owned(), ..Default::default() });
            },
            expected: Err("an interrupted run created one of 2"),
            ..CASE
        },
        Case {
            name: "an application exists",
            found: |found| found.applications.push(application("a.example.com", Vec::new())),
            expected: Err("exists already"),
            ..CASE
        },
        Case {
            name: "an application is adopted",
            wanted: |wanted| wanted.adopts = true,
            found: |found| {
                let theirs = policy("theirs", "allow", Vec::new(), true);
                found.applications.push(application("A.Example.com/", vec![theirs]));
            },
            expected: Ok("++~"),
            last: "policies [\"theirs\"] -> [\"theirs\", \"n\"]",
            ..CASE
        },
        Case {
            name: "an application with policies of its own is adopted",
            wanted: |wanted| wanted.adopts = true,
            found: |found| {
                let theirs = policy("theirs", "allow", Vec::new(), false);
                found.applications.push(application("a.example.com", vec![theirs]));
            },
            expected: Ok("++~"),
            ..CASE
        },
        Case {
            name: "a Bypass policy",
            wanted: |wanted| wanted.adopts = true,
            found: |found| {
                let theirs = policy("theirs", "bypass", vec![json!({"everyone": {}})], true);
                found.applications.push(application("a.example.com", vec![theirs]));
            },
            expected: Ok("++~!"),
            last: "Bypass",
            ..CASE
        },
        Case {
            name: "a policy with any_valid_service_token",
            wanted: |wanted| wanted.adopts = true,
            found: |found| {
                let theirs =
                    policy("theirs", "non_identity", vec![json!({"any_valid_service_token": {}})], true);
                found.applications.push(application("a.example.com", vec![theirs]));
            },
            expected: Ok("++~!"),
            last: "any_valid_service_token",
            ..CASE
        },
        Case {
            name: "a website on the same host",
            found: |found| found.look.is_website = true,
            expected: Ok("+++!"),
            last: "website",
            ..CASE
        },
        Case {
            name: "a website beside the path",
            url: "https://a.example.com/only",
            found: |found| found.look.is_website = true,
            ..CASE
        },
        Case {
            name: "previews of a Worker",
            url: "https://w.s.workers.dev/mcp",
            expected: Ok("+++!"),
            last: "preview",
            ..CASE
        },
        Case {
            name: "a broader application",
            found: |found| found.applications.push(application("*.example.com", Vec::new())),
            expected: Ok("+++!"),
            last: "more specific",
            ..CASE
        },
        Case {
            name: "another team",
            found: |found| found.look.team = Some("other.cloudflareaccess.com".to_owned()),
            expected: Err("other.cloudflareaccess.com"),
            ..CASE
        },
        Case {
            name: "another name of the team, and an application of this account",
            wanted: |wanted| wanted.adopts = true,
            found: |found| {
                found.look.team = Some("renamed.cloudflareaccess.com".to_owned());
                found.look.aud = Some("a".to_owned());
                let application = application("a.example.com", Vec::new());
                found.applications.push(Application { aud: Some("a".to_owned()), ..application });
            },
            expected: Ok("++~"),
            ..CASE
        },
        Case {
            name: "the same team with a scheme",
            found: |found| found.look.team = Some("https://TEAM.cloudflareaccess.com/".to_owned()),
            ..CASE
        },
        Case {
            name: "users as well",
            wanted: |wanted| wanted.emails = EMAILS.get_or_init(|| vec!["ada@example.com".to_owned()]),
            expected: Ok("++++"),
            ..CASE
        },
        Case {
            name: "Managed OAuth without users",
            wanted: |wanted| wanted.is_managed_oauth = true,
            expected: Ok("+++!"),
            last: "--allow-email",
            ..CASE
        },
    ] {
        let target = Target::new(case.url, case.url.ends_with("only"), false).expect("a target");
        let mut state = State::default();
        (case.state)(&mut state);
        let mut wanted = Wanted {
            target: &target,
            name: "n".to_owned(),
            duration: "8760h".to_owned(),
            emails: &[],
            is_managed_oauth: false,
            worker: None,
            adopts: false,
            sink: "a file".to_owned(),
            names_file: false,
            client_id: None,
            hosts: None,
            state: &state,
        };
        (case.wanted)(&mut wanted);
        let mut found = FoundObjects {
            team: "team.cloudflareaccess.com".to_owned(),
            tokens: Vec::new(),
            policies: Vec::new(),
            applications: Vec::new(),
            look: look(),
        };
        (case.found)(&mut found);
        match (plan(&wanted, &found), case.expected) {
            (Ok(plan), Ok(marks)) => {
                let found: String = plan.lines.iter().map(|line| line.mark.letter()).collect();
                assert_eq!(found, marks, "{}: {:?}", case.name, plan.lines);
                let last = plan.lines.last().map(ToString::to_string).unwrap_or_default();
                assert!(last.contains(case.last), "{}: {last}", case.name);
                assert_eq!(plan.has_changes(), marks.contains(['+', '~', '-']), "{}", case.name);
            }
            (Err(failure), Err(part)) => assert!(failure.sentence.contains(part), "{}: {failure}", case.name),
            (found, expected) => panic!("{}: {found:?} instead of {expected:?}", case.name),
        }
    }
}

static EMAILS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
