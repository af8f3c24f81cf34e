//! What options and other credentials do to a sign-in.

use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use super::support::authority::{Authority, Set, value, visit};
use super::{Home, call, page};

#[test]
fn authorization_header_prevents_sign_in() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    for arguments in [
        &["--header", "Authorization: Bearer marked"][..],
        &["--header", "X-API-Key: marked-key"],
        &["--header", "Cf-Access-Token: marked-token"],
        &["--auth", "none"],
    ] {
        let mut proxy = home.start(&authority, arguments);
        let line = proxy.ask(&call(1));
        assert!(line.contains("\"status\":401") && !line.contains("sign_in"), "{arguments:?}: {line}");
        assert!(!proxy.finish().stderr.contains("sign in at"));
    }
    assert_eq!(authority.count("/register"), 0);
}

#[test]
fn requested_sign_in_replaces_authorization_header() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let other = Authority::start(Set::default());
    let elsewhere = format!("http://{}", other.server.address);
    authority.change(|set| {
        set.resource = format!(r#""resource":"BASE/mcp","authorization_servers":["{elsewhere}"]"#)
    });
    let arguments = [
        "--auth",
        "oauth",
        "--header",
        "Authorization: Bearer marked",
        "--header",
        "X-Tenant: marked-tenant",
    ];
    let pair = [
        ("CF_ACCESS_CLIENT_ID", "0123456789abcdef0123456789abcdef.access"),
        ("CF_ACCESS_CLIENT_SECRET", "marked-secret"),
    ];
    let mut proxy = home.start_at(&authority.server.url, &arguments, &pair);
    proxy.send(&call(1));
    // Nobody there gives tokens that are accepted here; what travels is what is looked at.
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("does not accept the token"));
    proxy.finish();
    let last = authority.last("/mcp");
    assert_eq!(last.header("authorization"), Some("Bearer marked-access-1"));
    let document = authority.last("/.well-known/oauth-protected-resource/mcp");
    for request in [&last, &document] {
        assert_eq!(request.header("cf-access-client-secret"), Some("marked-secret"));
        assert_eq!(request.header("x-tenant"), Some("marked-tenant"));
    }
    for request in other.server.requests().iter().filter(|request| !request.path.starts_with("/authorize")) {
        assert!(!format!("{:?}", request.headers).contains("marked"), "{request:?}");
    }
}

#[test]
fn static_client_is_sent_as_written() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let client = r#"{"client_id":"by-hand","client_secret":"${SECRET}"}"#;
    let arguments = [
        "--static-oauth-client-info",
        client,
        "--static-oauth-client-metadata",
        r#"{"scope":"mine"}"#,
        "--resource",
        "https://named.example/",
        "--authorize-param",
        "audience=x",
        "--callback-path",
        "/back",
        "--auth-success-url",
        "https://example.com/done",
    ];
    let mut proxy = home.start_at(&authority.server.url, &arguments, &[("SECRET", "marked-secret")]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    for (name, expected) in [
        ("client_id", "by-hand"),
        ("scope", "mine"),
        ("resource", "https://named.example/"),
        ("audience", "x"),
    ] {
        assert_eq!(value(&address, name).as_deref(), Some(expected), "{address}");
    }
    let back = value(&address, "redirect_uri").expect("a way back");
    assert!(back.starts_with("http://localhost:") && back.ends_with("/back"), "{back}");
    let code = format!("{back}?code=CODE&state={}", value(&address, "state").expect("a state"));
    // The page itself is asked for as well, so that the authority knows the challenge; where it leads is not gone to.
    let server = std::net::TcpStream::connect(&authority.server.address).expect("it listens");
    let target = address.split_once(&authority.server.address).expect("its address").1;
    use std::io::{Read, Write};
    write!(&server, "GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", authority.server.address).expect("it reads");
    let _ = (&server).read(&mut [0; 64]).expect("an answer");
    let mut stream = std::net::TcpStream::connect((
        "127.0.0.1",
        code.parse::<url::Url>().expect("a URL").port().expect("a port"),
    ))
    .expect("it listens");
    let target = code.split_once("/back").expect("a path").1;
    write!(stream, "GET /back{target} HTTP/1.1\r\n\r\n").expect("it reads");
    let mut shown = String::new();
    stream.read_to_string(&mut shown).expect("a page");
    assert!(
        shown.starts_with("HTTP/1.1 303") && shown.contains("location: https://example.com/done"),
        "{shown}"
    );
    assert!(proxy.line().contains("\"result\""));
    let token = authority.last("/token");
    assert!(token.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert!(!home.kept().contains("marked-secret"), "what the person wrote is not kept");
    proxy.finish();
    assert_eq!(authority.count("/register"), 0);
    // A refresh proves itself with it as well.
    authority.forget(false);
    let mut proxy = home.start_at(&authority.server.url, &arguments, &[("SECRET", "marked-secret")]);
    assert!(proxy.ask(&call(1)).contains("\"result\""));
    assert_eq!(authority.count("/token"), 2);
    proxy.finish();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a token's end is a moment of the wall clock")]
fn id_token_is_sent_and_its_expiry_counts() {
    let id_token =
        |exp: u64| format!("e30.{}.marked", BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp}}}"#)));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    // It ends before the access token does.
    let (first, second) = (id_token(now + 1), id_token(now + 3600));
    let (home, authority) =
        (Home::new(), Authority::start(Set { id_token: Some(first.clone()), ..Set::default() }));
    let mut proxy = home.start(&authority, &["--use-id-token", "-vvv"]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    assert_eq!(authority.last("/mcp").header("authorization"), Some(format!("Bearer {first}").as_str()));
    authority.change(|set| set.id_token = Some(second.clone()));
    let mut id = 2;
    while authority.count("/token") < 2 {
        assert!(proxy.ask(&call(id)).contains("\"result\""));
        id += 1;
    }
    assert!(proxy.ask(&call(id)).contains("\"result\""));
    assert_eq!(authority.last("/mcp").header("authorization"), Some(format!("Bearer {second}").as_str()));
    let told = proxy.finish().stderr;
    assert!(!told.contains("marked") && !told.contains("no ID token"), "{told}");
    assert_eq!(authority.count("/authorize"), 1);
}

#[test]
fn access_token_is_sent_without_id_token() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let mut proxy = home.start(&authority, &["--use-id-token"]);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    authority.forget(false);
    assert!(proxy.ask(&call(2)).contains("\"result\""));
    let told = proxy.finish().stderr;
    assert_eq!(told.matches("there is no ID token to send").count(), 1, "{told}");
    assert!(told.contains("add the scope openid"), "{told}");
}

#[test]
fn browser_starts_without_shell_and_service_token() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    authority.change(|set| {
        set.metadata = set.metadata.replace("BASE/authorize", "BASE/authorize?x=$(touch%20marked)&y='`;");
    });
    let (script, opened) = (home.path().join("browser"), home.path().join("opened"));
    let text = format!(
        "#!/bin/sh\nenv > {0}.env; printf '%s\\n' \"$#\" \"$1\" > {0}.new; mv {0}.new {0}\n",
        opened.display()
    );
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("ours");
    let browser = script.to_str().expect("UTF-8");
    let environment = [
        ("BROWSER", browser),
        ("PATH", "/usr/bin:/bin"),
        ("CF_ACCESS_CLIENT_ID", "marked.access"),
        ("CF_ACCESS_CLIENT_SECRET", "marked-secret"),
        ("CF_ACCESS_CLIENT_SECRET_NEXT", "marked-next"),
        ("CF_ACCESS_CLIENT_ID_NEXT", "marked-next.access"),
        ("OTHER", "kept"),
    ];
    let mut proxy = home.start_at(&authority.server.url, &["-v"], &environment);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    proxy.tells("a browser should have opened");
    while !opened.exists() {
        std::thread::yield_now();
    }
    assert_eq!(std::fs::read_to_string(&opened).expect("text"), format!("1\n{address}\n"));
    let inherited = std::fs::read_to_string(opened.with_extension("env")).expect("text");
    assert!(inherited.contains("OTHER=kept") && !inherited.contains("marked"), "{inherited}");
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn text_browser_takes_neither_stdin_nor_stdout_of_the_client() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    // A browser of that name is known to run in a terminal. This one takes what it gets, and stays.
    let (script, opened) = (home.path().join("lynx"), home.path().join("opened"));
    let text = format!(
        "#!/bin/sh\necho written by the browser\necho written by the browser >&2\n\
         {{ ps -o pgid= -p $$; cat; }} > {0}.new; mv {0}.new {0}\nexec sleep 600\n",
        opened.display()
    );
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("ours");
    let browser = format!("'{}' '--title=a b'", script.to_str().expect("UTF-8"));
    let environment = [("BROWSER", browser.as_str()), ("PATH", "/usr/bin:/bin")];
    let mut proxy = home.start_at(&authority.server.url, &["-v"], &environment);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    proxy.tells("a browser should have opened");
    while !opened.exists() {
        std::thread::yield_now();
    }
    // Nothing came from stdin, and the group is its own: a signal from a terminal that stops us does not reach it.
    let group = std::fs::read_to_string(&opened).expect("text");
    let group: u32 = group.trim().parse().expect("a number and nothing else");
    assert!(group != 0 && group != proxy.id());
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    let ended = proxy.finish();
    let killed = std::process::Command::new("kill").arg(group.to_string()).status();
    assert!(killed.expect("kill is there").success(), "the browser outlives us");
    assert!(!ended.stderr.contains("written by the browser"), "{}", ended.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn page_opens_in_windows_from_wsl() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let (script, opened) = (home.path().join("rundll32.exe"), home.path().join("opened"));
    let text = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {0}.new; /bin/mv {0}.new {0}\n", opened.display());
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("ours");
    let path = home.path().to_str().expect("UTF-8");
    let environment = [("WSL_DISTRO_NAME", "Ubuntu"), ("PATH", path)];
    let mut proxy = home.start_at(&authority.server.url, &["-v"], &environment);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    while !opened.exists() {
        std::thread::yield_now();
    }
    let arguments = std::fs::read_to_string(&opened).expect("text");
    assert_eq!(arguments, format!("url.dll,FileProtocolHandler\n{address}\n"));
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn values_that_cannot_be_are_errors_that_quote_nothing() {
    for arguments in [
        ["--static-oauth-client-info", "marked"],
        ["--static-oauth-client-info", "@/marked/nowhere"],
        ["--static-oauth-client-info", r#"{"client_id":"${MARKED_UNSET}"}"#],
        ["--static-oauth-client-metadata", "[]"],
        ["--client-metadata-url", "http://marked.example/x"],
        ["--auth-success-url", "http://marked.example/x"],
        ["--authorize-param", "state=marked"],
        ["--callback-path", "marked"],
        ["--host", "marked.example"],
        ["--resource", "marked"],
    ] {
        let home = Home::new();
        let mut proxy = home.start_at("https://mcp.example.test/mcp", &arguments, &[]);
        let line = proxy.ask(&call(1));
        assert!(
            line.contains(&format!("the value of {}", arguments[0])) && !line.contains("marked"),
            "{line}"
        );
        assert_eq!(proxy.finish().code, Some(2));
    }
}

#[test]
fn the_way_back_is_the_one_that_is_written() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let arguments = [&port, "--host", "localhost", "--callback-path", "/back"];
    let mut proxy = home.start(&authority, &arguments);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    assert_eq!(value(&address, "redirect_uri"), Some(format!("http://localhost:{port}/back")));
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
}

#[test]
fn resource_is_named_unless_disabled() {
    for (arguments, expected) in [
        (&["--resource", "urn:example:mcp"][..], Some("urn:example:mcp")),
        (&["--resource", ""], None),
        (&["--disable-resource-parameter"], None),
        (&["--disable-resource-parameter", "--resource", "urn:example:mcp"], None),
    ] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let mut proxy = home.start(&authority, arguments);
        proxy.send(&call(1));
        let address = page(&proxy, 1);
        assert_eq!(value(&address, "resource").as_deref(), expected, "{arguments:?}");
        visit(&address);
        assert!(proxy.line().contains("\"result\""));
        assert_eq!(value(&authority.last("/token").body, "resource").as_deref(), expected, "{arguments:?}");
        authority.forget(false);
        assert!(proxy.ask(&call(2)).contains("\"result\""));
        assert_eq!(value(&authority.last("/token").body, "resource").as_deref(), expected, "{arguments:?}");
        proxy.finish();
    }
}

#[test]
fn page_parameters_can_replace_scope_and_resource() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let arguments = ["audience=x=y", "scope=mine too", "resource=urn:x", "nonce=n"];
    let arguments: Vec<&str> = arguments.iter().flat_map(|pair| ["--authorize-param", pair]).collect();
    let mut proxy = home.start(&authority, &arguments);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    for (name, expected) in
        [("audience", "x=y"), ("scope", "mine too"), ("resource", "urn:x"), ("nonce", "n")]
    {
        assert_eq!(value(&address, name).as_deref(), Some(expected), "{address}");
        assert_eq!(address.matches(&format!("{name}=")).count(), 1, "{address}");
    }
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    // Who asks for something else is somebody else.
    let mut other = home.start(&authority, &["--authorize-param", "audience=another"]);
    other.send(&call(1));
    visit(&page(&other, 1));
    assert!(other.line().contains("\"result\""));
    other.finish();
}

#[test]
fn client_metadata_url_is_used_only_if_supported() {
    for (supported, expected) in [(true, "https://c.example/client.json"), (false, "a-client")] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        authority.change(|set| {
            set.metadata.push_str(&format!(r#","client_id_metadata_document_supported":{supported}"#))
        });
        let mut proxy = home.start(&authority, &["--client-metadata-url", "https://c.example/client.json"]);
        proxy.send(&call(1));
        let address = page(&proxy, 1);
        assert_eq!(value(&address, "client_id").as_deref(), Some(expected));
        visit(&address);
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
    }
}

#[test]
fn registration_members_of_user_replace_ours() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    let file = home.path().join("metadata");
    std::fs::write(&file, r#"{"client_name":"mine","scope":"a b","contacts":["x"]}"#).expect("written");
    let at_file = format!("@{}", file.display());
    let mut proxy = home.start(&authority, &["--static-oauth-client-metadata", &at_file]);
    proxy.send(&call(1));
    let address = page(&proxy, 1);
    assert_eq!(value(&address, "scope").as_deref(), Some("a b"));
    visit(&address);
    assert!(proxy.line().contains("\"result\""));
    proxy.finish();
    let registration = authority.last("/register").body;
    for part in [r#""client_name":"mine""#, r#""contacts":["x"]"#, r#""scope":"a b""#, "redirect_uris"] {
        assert!(registration.contains(part), "{registration}");
    }
    assert!(!registration.contains("mcp-tether"), "{registration}");

    // A client from a file, with a secret that has to be quoted.
    let file = home.path().join("client");
    std::fs::write(&file, r#"{"client_id":"by-hand","client_secret":"${SECRET}"}"#).expect("written");
    let at_file = format!("@{}", file.display());
    let home = Home::new();
    let environment = [("SECRET", r#"marked"\n"#)];
    let arguments = ["--static-oauth-client-info", &at_file];
    let mut proxy = home.start_at(&authority.server.url, &arguments, &environment);
    proxy.send(&call(1));
    visit(&page(&proxy, 1));
    assert!(proxy.line().contains("\"result\""));
    let basic = authority.last("/token").header("authorization").expect("a header").to_owned();
    let pair = BASE64_STANDARD.decode(basic.trim_start_matches("Basic ")).expect("base64");
    assert_eq!(String::from_utf8(pair).expect("UTF-8"), "by-hand:marked%22%5Cn");
    let told = proxy.finish().stderr;
    assert!(told.contains("others on this computer can read it") && !told.contains("marked"), "{told}");
}

#[test]
fn sign_ins_are_kept_where_variables_say() {
    for (variables, expected) in [
        (&["MCP_REMOTE_CONFIG_DIR"][..], "MCP_REMOTE_CONFIG_DIR"),
        (&["MCP_REMOTE_CONFIG_DIR", "MCP_TETHER_CONFIG_DIR"], "MCP_TETHER_CONFIG_DIR"),
    ] {
        let (home, authority) = (Home::new(), Authority::start(Set::default()));
        let folders: Vec<String> =
            variables.iter().map(|name| home.path().join(name).display().to_string()).collect();
        let environment: Vec<(&str, &str)> =
            variables.iter().copied().zip(folders.iter().map(String::as_str)).collect();
        let mut proxy = home.start_at(&authority.server.url, &[], &environment);
        proxy.send(&call(1));
        visit(&page(&proxy, 1));
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
        let kept = std::fs::read_dir(home.path().join(expected).join("mcp-tether/oauth")).expect("a folder");
        assert!(kept.count() > 0, "{expected}");
        assert!(!home.path().join("mcp-tether").exists());
    }
}

/// What Access answers where Managed OAuth is on, and the document that it names.
const ACCESS: &str = r#"Bearer realm="OAuth", error="invalid_token", resource_metadata="BASE/.well-known/cloudflare-access-protected-resource/mcp""#;

#[test]
fn access_signs_in_unless_service_token_is_sent() {
    let (home, authority) = (Home::new(), Authority::start(Set::default()));
    authority.change(|set| {
        set.challenge = ACCESS.to_owned();
        set.resource = r#""resource":"BASE/","protected":true,"authorization_servers":["BASE"],"authentication_methods":[{"name":"oauth"}]"#.to_owned();
        set.loopback_is_allowed = false;
    });
    let pair = [
        ("CF_ACCESS_CLIENT_ID", "0123456789abcdef0123456789abcdef.access"),
        ("CF_ACCESS_CLIENT_SECRET", "marked-secret"),
    ];
    let mut proxy = home.start_at(&authority.server.url, &[], &pair);
    let line = proxy.ask(&call(1));
    assert!(line.contains("\"cause\":\"access_hidden\""), "{line}");
    proxy.finish();
    assert_eq!(authority.server.requests().len(), 1);

    for (arguments, environment) in [(&[][..], &[][..]), (&["--auth", "oauth"], &pair)] {
        let home = Home::new();
        let mut proxy = home.start_at(&authority.server.url, arguments, environment);
        proxy.send(&call(1));
        let address = page(&proxy, 1);
        let resource = authority.server.url.trim_end_matches("mcp").to_owned();
        assert_eq!(value(&address, "resource"), Some(resource), "byte for byte as it is published");
        let back = value(&address, "redirect_uri").expect("a way back");
        assert!(back.starts_with("http://localhost:"), "the spelling that is allowed: {back}");
        visit(&address);
        assert!(proxy.line().contains("\"result\""));
        proxy.finish();
    }
}
