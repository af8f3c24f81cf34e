//! Faults of a configuration are found and named, and no value is quoted.

use http::HeaderMap;

use super::*;
use crate::auth::cf_access::PairRule;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn resolve(url: &str, headers: &[&str], variables: &[(&str, &str)]) -> Result<Config, Error> {
    let options = Options {
        positional: vec![url.to_owned()],
        headers: headers.iter().map(|header| (*header).to_owned()).collect(),
        ..Options::default()
    };
    Config::resolve(&options, &environment(variables))
}

/// The headers that go out, in order.
fn sent(config: &Config) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    config.found.credentials.decorate(&http::Method::POST, &config.url, &mut headers);
    let text = |value: &http::HeaderValue| value.to_str().expect("ASCII").to_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const URL: &str = "https://mcp.example.com/mcp";
const ID: &str = "0123456789abcdef0123456789abcdef.access";
const SECRET: &str = "cfast_marked0123456789";
const PAIR: [(&str, &str); 2] = [("CF_ACCESS_CLIENT_ID", ID), ("CF_ACCESS_CLIENT_SECRET", SECRET)];

#[test]
fn service_token_is_found_under_each_name() {
    for [id, secret] in [
        ["CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET"],
        ["CLOUDFLARE_ACCESS_CLIENT_ID", "CLOUDFLARE_ACCESS_CLIENT_SECRET"],
        ["TUNNEL_SERVICE_TOKEN_ID", "TUNNEL_SERVICE_TOKEN_SECRET"],
    ] {
        let config = resolve(URL, &[], &[(id, &format!(" {ID}\r\n")), (secret, &format!("{SECRET}\n"))])
            .expect("a pair");
        let expected = pairs(&[("cf-access-client-id", ID), ("cf-access-client-secret", SECRET)]);
        assert_eq!(sent(&config), expected, "{id}");
        assert_eq!(config.warnings, [""; 0]);
    }
}

#[test]
fn first_complete_service_token_counts_with_warning() {
    let other = [("TUNNEL_SERVICE_TOKEN_ID", "f.access"), ("TUNNEL_SERVICE_TOKEN_SECRET", "another")];
    let config = resolve(URL, &[], &[PAIR[0], PAIR[1], other[0], other[1]]).expect("a pair");
    assert_eq!(sent(&config)[0].1, ID);
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].contains("TUNNEL_SERVICE_TOKEN_ID"), "{:?}", config.warnings);

    let config = resolve(URL, &[], &[PAIR[0], other[0], other[1]]).expect("half a pair before a whole one");
    assert_eq!(sent(&config)[0].1, "f.access");
}

#[test]
fn written_out_it_is_not_sent_twice() {
    let headers =
        ["CF-Access-Client-Id: ${CF_ACCESS_CLIENT_ID}", "cf-access-client-secret:${CF_ACCESS_CLIENT_SECRET}"];
    let expected = pairs(&[("cf-access-client-id", ID), ("cf-access-client-secret", SECRET)]);
    assert_eq!(sent(&resolve(URL, &headers, &PAIR).expect("a pair")), expected);
    assert_eq!(sent(&resolve(URL, &headers[..1], &PAIR).expect("half written, half found")), expected);
}

#[test]
fn no_access_sends_no_service_token() {
    let hosts = |value| [PAIR[0], PAIR[1], ("CF_ACCESS_HOSTS", value)];
    for (hosts_value, expected) in [
        ("mcp.example.com", 2),
        ("other.org, *.example.com", 2),
        ("*.com", 2),
        ("example.com", 0),
        ("*.mcp.example.com", 0),
        ("*ample.com", 0),
        ("", 2),
        ("https://mcp.example.com/mcp", 2),
        ("mcp.example.com:443", 2),
        ("mcp.example.com:8443", 0),
    ] {
        let config = resolve(URL, &[], &hosts(hosts_value)).expect("ok");
        assert_eq!(sent(&config).len(), expected, "{hosts_value}");
    }
    let options = Options { positional: vec![URL.to_owned()], no_access: true, ..Options::default() };
    let config =
        Config::resolve(&options, &environment(&PAIR[..1])).expect("switched off, half a pair is no error");
    assert_eq!(sent(&config), []);
}

#[test]
fn service_token_has_rule_of_first_reason_that_counts() {
    let hosts = |value| vec![PAIR[0], PAIR[1], ("CF_ACCESS_HOSTS", value)];
    let bare = || PAIR.to_vec();
    let next = [("CF_ACCESS_CLIENT_ID_NEXT", "f.access"), ("CF_ACCESS_CLIENT_SECRET_NEXT", "another-secret")];
    let written = ["CF-Access-Client-Id: ${CF_ACCESS_CLIENT_ID}", "CF-Access-Client-Secret: a-written-one"];
    let local = "http://localhost:1/mcp";
    /// URL, `--access`, written headers, variables, and the rule.
    type Row<'a> = (&'a str, AccessMode, &'a [&'a str], Vec<(&'a str, &'a str)>, Option<PairRule>);
    let rows: [Row<'_>; 14] = [
        (URL, AccessMode::Auto, &[], bare(), Some(PairRule::Proof)),
        (URL, AccessMode::Auto, &[], hosts(" "), Some(PairRule::Proof)),
        (URL, AccessMode::Always, &[], bare(), Some(PairRule::Always)),
        (URL, AccessMode::Auto, &[], hosts("mcp.example.com"), Some(PairRule::Listed)),
        (URL, AccessMode::Always, &[], hosts("mcp.example.com"), Some(PairRule::Listed)),
        (URL, AccessMode::Auto, &[], hosts("other.org"), None),
        (URL, AccessMode::Always, &[], hosts("other.org"), None),
        (URL, AccessMode::Auto, &written, bare(), Some(PairRule::Written)),
        (URL, AccessMode::Auto, &written, hosts("other.org"), Some(PairRule::Written)),
        (URL, AccessMode::Auto, &written[..1], bare(), Some(PairRule::Written)),
        (local, AccessMode::Auto, &[], bare(), Some(PairRule::Loopback)),
        (local, AccessMode::Always, &[], bare(), Some(PairRule::Loopback)),
        (local, AccessMode::Auto, &[], hosts("localhost"), Some(PairRule::Listed)),
        (local, AccessMode::Auto, &[], hosts("other.org"), None),
    ];
    for (url, access, headers, variables, expected) in rows {
        let options = Options {
            positional: vec![url.to_owned()],
            access,
            headers: headers.iter().map(|header| (*header).to_owned()).collect(),
            ..Options::default()
        };
        let case = format!("{url} {access:?} {headers:?} {variables:?}");
        let all: Vec<(&str, &str)> = variables.iter().copied().chain(next).collect();
        let config = Config::resolve(&options, &environment(&all)).expect("it can work");
        let rule = |credentials: &Credentials| credentials.service_token().map(ServiceToken::rule);
        assert_eq!(rule(&config.found.credentials), expected, "{case}");
        // The one that takes over is of the environment, whatever the first one is.
        let of_environment = match expected {
            Some(PairRule::Written) if variables.len() > 2 => None,
            Some(PairRule::Written) => Some(PairRule::Proof),
            other => other,
        };
        assert_eq!(config.found.next.as_ref().and_then(rule), of_environment, "{case}");
        let is_unlisted = expected.is_none();
        assert_eq!(config.found.unlisted.as_deref(), is_unlisted.then_some("other.org"), "{case}");
        let is_warned = config.warnings.iter().any(|warning| warning.contains("--access always"));
        assert_eq!(
            is_warned,
            access == AccessMode::Always && variables.last() == Some(&("CF_ACCESS_HOSTS", "other.org")),
            "{case}"
        );
    }
}

#[test]
fn http_needs_loopback_or_allow_http() {
    for url in ["http://localhost:1/mcp", "http://127.0.0.1/mcp", "http://[::1]:8/mcp", "http://a.localhost/"]
    {
        assert_eq!(sent(&resolve(url, &[], &PAIR).expect("loopback")).len(), 2, "{url}");
    }
    for url in
        ["http://example.com/mcp", "http://10.0.0.1/mcp", "http://localhost.example.com/", "http://[::2]/"]
    {
        assert!(matches!(resolve(url, &[], &PAIR), Err(Error::InsecureUrl { .. })), "{url}");
    }
    let options = Options {
        positional: vec!["http://example.com/mcp".to_owned()],
        headers: vec!["X-API-Key: k1234567".to_owned()],
        allow_http: true,
        ..Options::default()
    };
    let config = Config::resolve(&options, &environment(&PAIR)).expect("asked for");
    assert_eq!(sent(&config), pairs(&[("x-api-key", "k1234567")]), "the environment's pair is not sent");
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn invalid_values_are_named_but_not_quoted() {
    let with_id = |value| [("CF_ACCESS_CLIENT_ID", value), PAIR[1]];
    let with_secret = |value| [PAIR[0], ("CF_ACCESS_CLIENT_SECRET", value)];
    let env = |value| [("MY_KEY", value), ("OTHER", "")];
    let header = "X-API-Key: ${MY_KEY}";
    for (headers, variables, expected) in [
        (&[][..], &PAIR[..1], "CF_ACCESS_CLIENT_ID is set, but CF_ACCESS_CLIENT_SECRET is not"),
        (&[], &PAIR[1..], "CF_ACCESS_CLIENT_SECRET is set, but CF_ACCESS_CLIENT_ID is not"),
        (&[], &with_secret("  "), "CF_ACCESS_CLIENT_ID is set, but CF_ACCESS_CLIENT_SECRET is not"),
        (
            &[],
            &with_secret("${user_config.s}"),
            "CF_ACCESS_CLIENT_ID is set, but CF_ACCESS_CLIENT_SECRET is not",
        ),
        (
            &["CF-Access-Client-Id: a.access"],
            &[],
            "the header CF-Access-Client-Id is set, but the header CF-Access-Client-Secret is not",
        ),
        (
            &[],
            &[("CF_ACCESS_CLIENT_ID", "cfast_marked"), ("CF_ACCESS_CLIENT_SECRET", ID)],
            "client id and client secret look swapped: CF_ACCESS_CLIENT_SECRET holds an id (it has \".access\" in it)",
        ),
        (&[], &with_secret("\"marked\""), "CF_ACCESS_CLIENT_SECRET begins with a quotation mark"),
        (
            &[],
            &with_secret("mar\nked"),
            "CF_ACCESS_CLIENT_SECRET holds a control character or line break at position 4",
        ),
        (
            &[],
            &with_secret("mark\u{200b}ed"),
            "CF_ACCESS_CLIENT_SECRET holds a character outside ASCII at position 5",
        ),
        (&[], &with_secret("marked x"), "CF_ACCESS_CLIENT_SECRET holds a space at position 7"),
        (
            &[],
            &with_secret("CF-Access-Client-Secret: marked"),
            "CF_ACCESS_CLIENT_SECRET begins with the name of a header",
        ),
        (&[], &with_secret("your-secret-here"), "CF_ACCESS_CLIENT_SECRET is a placeholder, not a value"),
        (&[], &with_id("<client-id>"), "CF_ACCESS_CLIENT_ID is a placeholder, not a value"),
        (
            &[],
            &with_id("${CF_ACCESS_CLIENT_ID}"),
            "CF_ACCESS_CLIENT_ID still holds the placeholder ${CF_ACCESS_CLIENT_ID}: the client did not expand it",
        ),
        (
            &[header],
            &[],
            "the header X-API-Key cannot be expanded: the environment variable MY_KEY is not set",
        ),
        (
            &["X-API-Key: ${OTHER}"],
            &env(""),
            "the header X-API-Key cannot be expanded: the environment variable OTHER is not set",
        ),
        (
            &["X-API-Key: ${user_config.key}"],
            &[],
            "the header X-API-Key still holds the placeholder ${user_config.key}: the client did not expand it",
        ),
        (
            &[header],
            &env("{env:MY_KEY}"),
            "the header X-API-Key cannot be expanded: the environment variable MY_KEY holds the placeholder {env:MY_KEY}, which the client did not expand",
        ),
        (
            &["Authorization: Bearer ${MY_KEY}"],
            &env("undefined"),
            "the header Authorization cannot be expanded: the environment variable MY_KEY holds the placeholder undefined, which the client did not expand",
        ),
        (
            &["Authorization: Bearer $MY_KEY"],
            &env("a"),
            "the header Authorization still holds the placeholder $MY_KEY: the client did not expand it",
        ),
        (
            &["X: {{MY_KEY}}"],
            &env("a"),
            "the header X still holds the placeholder {{MY_KEY}}: the client did not expand it",
        ),
        (
            &["Authorization: Bearer ${OTHER:-$(pass marked)}"],
            &env(""),
            "the header Authorization still holds the placeholder $(…): the client did not expand it",
        ),
        (
            &["CF-Access-Client-Id: {env:ID}", "CF-Access-Client-Secret: b"],
            &[],
            "the header CF-Access-Client-Id still holds the placeholder {env:ID}: the client did not expand it",
        ),
        (
            &[],
            &with_secret("Bearer $TOKEN"),
            "CF_ACCESS_CLIENT_SECRET still holds the placeholder $TOKEN: the client did not expand it",
        ),
        (
            &[],
            &with_secret("[REDACTED]"),
            "CF_ACCESS_CLIENT_SECRET still holds the placeholder [REDACTED]: the client did not expand it",
        ),
        (
            &["'Authorization: Bearer x"],
            &[],
            "the name of a --header holds characters that no header name may have",
        ),
        (
            &[header],
            &env("marked\r\nX-Evil: 1"),
            "the header X-API-Key holds a control character or line break at position 7",
        ),
        (&[header], &env("“marked”"), "the header X-API-Key holds a character outside ASCII at position 1"),
        (&[header], &env("'marked'"), "the header X-API-Key begins with a quotation mark"),
        (
            &["Authorization: Bearer your-token-here"],
            &[],
            "the header Authorization is a placeholder, not a value",
        ),
        (&["X-Custom:"], &[], "the header X-Custom is empty"),
        (&["X-Custom ${marked}"], &[], "a --header is not of the form \"Name: value\""),
        (&["X Custom: marked"], &[], "the name of a --header holds characters that no header name may have"),
        (
            &[],
            &[("CF_ACCESS_CLIENT_ID", "marked"), ("CF_ACCESS_CLIENT_SECRET", "marked")],
            "CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET hold the same value",
        ),
        (&["Authorization: Bearer ${MISSING:-}"], &[], "the header Authorization is empty"),
        (
            &[],
            &with_secret("$CF_ACCESS_CLIENT_SECRET"),
            "CF_ACCESS_CLIENT_SECRET still holds the placeholder $CF_ACCESS_CLIENT_SECRET: the client did not expand it",
        ),
        (
            &["X-API-Key: %MY_KEY%"],
            &[],
            "the header X-API-Key still holds the placeholder %MY_KEY%: the client did not expand it",
        ),
    ] {
        let error = resolve(URL, headers, variables).expect_err(expected);
        assert_eq!(error.to_string(), expected);
        assert!(!error.advice().is_empty() && !error.advice().contains("marked"), "{}", error.advice());
    }
}

#[test]
fn unusual_headers_are_sent_unchanged() {
    let config = resolve(
        URL,
        &[
            "If-None-Match: \"abc\"",
            "X-Mode: ${MODE:-a b}",
            "User-Agent: mine/1",
            "Authorization: Basic dTpw==",
        ],
        &[],
    )
    .expect("all fine");
    let expected = pairs(&[
        ("if-none-match", "\"abc\""),
        ("x-mode", "a b"),
        ("user-agent", "mine/1"),
        ("authorization", "Basic dTpw=="),
    ]);
    assert_eq!(sent(&config), expected);
}

#[test]
fn single_header_excludes_service_token_pair() {
    let single = "Authorization: {\"cf-access-client-id\": \"a.access\", \"cf-access-client-secret\": \"b\"}";
    assert_eq!(sent(&resolve(URL, &[single], &PAIR).expect("ok")).len(), 1);
}

#[test]
fn protocol_headers_are_dropped_with_warning() {
    let config = resolve(URL, &["Accept: */*", "Mcp-Session-Id: x", "X-A: b"], &[]).expect("ok");
    assert_eq!(sent(&config), pairs(&[("x-a", "b")]));
    assert_eq!(config.warnings.len(), 2);
}

#[test]
fn header_file_errors_name_the_line() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let options = Options {
        positional: vec![URL.to_owned()],
        headers: vec!["X-A: option".to_owned()],
        header_files: vec![file.path().to_owned()],
        ..Options::default()
    };
    std::fs::write(file.path(), "\u{feff}# comment\r\n\r\nX-A: file\r\nX-B:  ${KEY}  \r\n").expect("written");
    let config = Config::resolve(&options, &environment(&[("KEY", "k")])).expect("ok");
    assert_eq!(sent(&config), pairs(&[("x-a", "option"), ("x-b", "k")]));

    let error = Config::resolve(&options, &environment(&[])).expect_err("KEY is unset");
    let place = format!("the header X-B ({}, line 4)", file.path().display());
    assert!(error.to_string().starts_with(&place), "{error}");

    let options = Options { header_files: vec!["/nonexistent/headers".into()], ..options };
    let error = Config::resolve(&options, &environment(&[])).expect_err("no such file");
    assert!(error.to_string().starts_with("the header file /nonexistent/headers cannot be read"), "{error}");
}

#[test]
fn invalid_url_arguments_are_refused_unquoted() {
    for (positional, expected) in [
        (&[][..], "the URL of the server is missing"),
        (&["marked"], "the server's URL does not begin with https:// or http://"),
        (&["marked", URL], "2 arguments are neither options nor their values, but only the URL should be"),
        (&["https://${marked}/mcp"], "the URL holds a ${…}, which is expanded in headers only"),
        (&["https://u:marked@h/mcp"], "the URL holds a user name or password"),
        (&["https://"], "the URL of the server is malformed: empty host"),
    ] {
        let positional = positional.iter().map(|text| (*text).to_owned()).collect();
        let options = Options { positional, ..Options::default() };
        let error = Config::resolve(&options, &Environment::default()).expect_err(expected);
        assert_eq!(error.to_string(), expected);
        assert!(!error.advice().contains("marked"));
    }
}
