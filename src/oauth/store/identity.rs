//! Whose sign-in it is: everything that makes two entries for one URL two identities, the key of the files that follows from
//! it, and the command line that names the same identity again.
//!
//! Headers count as they are typed, with nothing filled in, as in mcp-remote's key; their names have no case, and their
//! order does not count. A profile stands in the key beside everything else, and takes the place of headers that hold a
//! secret, which no command line can show. Of what is typed, only the name of the profile is written down: the key is a hash
//! (`store`).
//! Deliberately not here: where the options come from (`config::sign_in`).

use std::collections::BTreeMap;

use url::Url;

use crate::json;
use crate::oauth::object::ObjectWriter;

/// The longest literal text of a header or parameter that is printed, in characters.
const PRINTED: usize = 24;
/// From how many characters on letters mixed with digits count as random.
const RANDOM: usize = 8;
/// Parts of names whose values are secret.
const SECRET_NAMES: &[&str] = &[
    "auth",
    "key",
    "token",
    "secret",
    "cookie",
    "pass",
    "pwd",
    "credential",
    "session",
    "signature",
    "jwt",
    "bearer",
    "cf-access-",
];
/// Words before a secret that are none.
const SCHEMES: &[&str] = &["bearer", "basic", "token", "apikey", "api-key", "key", "jwt", "digest"];

/// What is typed that makes two entries two identities.
#[derive(Clone, Debug, Default)]
pub struct IdentityOptions {
    /// The URL.
    pub url: String,
    /// The name that tells several sign-ins apart.
    pub profile: Option<String>,
    /// Each `--header`, whole.
    pub headers: Vec<String>,
    /// The paths of the header files.
    pub header_files: Vec<String>,
    /// What stands in them, a header a line.
    pub header_lines: Vec<String>,
    /// Each `--header-from`, whole.
    pub headers_from: Vec<String>,
    /// What the server is called.
    pub resource: Option<String>,
    /// What else is to stand in the page's address.
    pub parameters: Vec<(String, String)>,
    /// The id of the client that is registered by hand, and the option as it is typed.
    pub client: Option<(String, String)>,
    /// Where a description of the client is.
    pub client_metadata_url: Option<String>,
    /// Whether the client itself signs in, and its token endpoint.
    pub client_credentials: bool,
    /// Where the platform's token comes from, as it is typed. It says nothing of who it is.
    pub workload: Option<String>,
    /// The same of the identity provider's ID token.
    pub id_token: Option<String>,
    /// The company's identity provider, the id of the client there, and the option that names it as it is typed.
    pub enterprise: Option<(String, String, String)>,
    /// The token endpoint.
    pub token_endpoint: Option<String>,
    /// Where it is stored, unless in a file, which says nothing of who it is.
    pub token_store: Option<String>,
    /// Further options that a command needs, which say nothing of who it is.
    pub further: Vec<String>,
}

/// Whose sign-in it is.
#[derive(Clone, Debug, Default)]
pub struct SignInIdentity {
    profile: Option<String>,
    /// What the key holds beside the URL; empty for the URL alone.
    distinction: String,
    /// The words of the command line behind the subcommand. None is secret.
    words: Vec<String>,
    /// Whether a header is not among them, for it holds a secret.
    hides_header: bool,
    /// The options that are not among them for the same reason.
    hidden: Vec<&'static str>,
}

impl SignInIdentity {
    /// The identity that these options make.
    pub fn of(typed: &IdentityOptions) -> SignInIdentity {
        let mut hidden = Vec::new();
        let mut hides_header = false;
        let mut words = vec![match may_print_url(&typed.url) {
            true => typed.url.clone(),
            false => "URL".to_owned(),
        }];
        let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        if let Some(profile) = &typed.profile {
            option("--profile", profile);
        }
        typed.header_files.iter().for_each(|path| option("--header-file", path));
        for text in &typed.headers {
            match may_print_header(text) {
                true => option("--header", text),
                false => hides_header = true,
            }
        }
        hides_header |= !typed.headers_from.is_empty();
        if let Some(resource) = &typed.resource {
            match may_print_url(resource) {
                true => option("--resource", resource),
                false => hidden.push("--resource"),
            }
        }
        for (name, value) in &typed.parameters {
            match may_print(name, value) {
                true => option("--authorize-param", &format!("{name}={value}")),
                false => hidden.push("--authorize-param"),
            }
        }
        for (name, text, may_print) in values(typed) {
            match text {
                Some(text) if may_print(text) => option(name, text),
                Some(_) => hidden.push(name),
                None => {}
            }
        }
        words.extend(typed.client_credentials.then(|| "--client-credentials".to_owned()));
        words.extend(typed.further.iter().cloned());
        hidden.dedup();
        SignInIdentity {
            distinction: distinction_of(typed),
            profile: typed.profile.clone(),
            words,
            hides_header,
            hidden,
        }
    }

    /// The identity of the same user's sign-in at the company's identity provider, as this client there: one for all servers.
    #[must_use]
    pub fn at_provider(&self, client: &str) -> SignInIdentity {
        let distinction = ObjectWriter::default()
            .text("enterprise_client", Some(client))
            .text("profile", self.profile.as_deref());
        SignInIdentity { distinction: distinction.finish(), ..self.clone() }
    }

    /// The name that tells several sign-ins apart, where there is one.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// What the key holds beside the URL. It may hold secrets, and is hashed.
    pub(in crate::oauth) fn distinction(&self) -> &str {
        &self.distinction
    }

    /// The command line of `login`, `logout` or `tokens` for this identity, in the quotes of a shell, and what a user has to
    /// know about it. It holds no literal secret.
    pub fn command(&self, subcommand: &str) -> String {
        self.command_with(subcommand, None)
    }

    /// The same with one option more.
    pub fn command_with(&self, subcommand: &str, option: Option<&'static str>) -> String {
        let hides_header = self.hides_header && self.profile.is_none();
        let profile = hides_header.then_some(["--profile", "NAME"]).into_iter().flatten().chain(option);
        let words = ["mcp-tether", subcommand].into_iter().chain(self.words.iter().map(String::as_str));
        let mut line = shell_words::join(words.chain(profile));
        if hides_header {
            line.push_str(
                " (a header of this entry holds a secret, which is not shown here: write --profile NAME into the entry \
                 as well, and the name takes the header's place)",
            );
        }
        if !self.hidden.is_empty() {
            line.push_str(&format!(
                " (with the {} of the entry, which may hold a secret)",
                self.hidden.join(", ")
            ));
        }
        if self.words.first().is_some_and(|word| word == "URL") {
            line.push_str(" (URL is that of the entry, whose query may hold a secret)");
        }
        line
    }
}

/// Options with one value each, and what says that the value holds no secret.
type Values<'a> = [(&'static str, Option<&'a str>, fn(&str) -> bool); 8];

fn values(typed: &IdentityOptions) -> Values<'_> {
    // A command may hold a secret.
    let may_print_source = |source: &str| !source.starts_with("command:");
    let provider = typed.enterprise.as_ref();
    [
        (
            "--static-oauth-client-info",
            typed.client.as_ref().map(|(_, text)| text.as_str()),
            may_print_client,
        ),
        ("--client-metadata-url", typed.client_metadata_url.as_deref(), may_print_url),
        ("--token-endpoint", typed.token_endpoint.as_deref(), may_print_url),
        ("--token-store", typed.token_store.as_deref(), may_print_command),
        ("--workload-identity", typed.workload.as_deref(), may_print_source),
        ("--enterprise-idp", provider.map(|(issuer, ..)| issuer.as_str()), may_print_url),
        ("--enterprise-client-info", provider.map(|(.., text)| text.as_str()), may_print_client),
        ("--enterprise-id-token", typed.id_token.as_deref(), may_print_source),
    ]
}

/// The options by which sign-ins at one URL are told apart.
fn distinction_of(typed: &IdentityOptions) -> String {
    // With a profile, headers that hold a secret are not part of it.
    let counts = |header: &str| typed.profile.is_none() || may_print_header(header);
    let mut headers = BTreeMap::new();
    for line in typed.header_lines.iter().chain(&typed.headers).filter(|line| counts(line)) {
        headers.extend(header(line));
    }
    let mut commands = BTreeMap::new();
    if typed.profile.is_none() {
        commands.extend(typed.headers_from.iter().filter_map(|text| header(text)));
    }
    distinction(typed, &headers, &commands)
}

/// The key beside the URL: JSON, in which nothing can be taken for something else. Nothing where there is only a URL.
fn distinction(
    typed: &IdentityOptions,
    headers: &BTreeMap<String, String>,
    commands: &BTreeMap<String, String>,
) -> String {
    let object = |map: &BTreeMap<String, String>| {
        let members: Vec<(&str, String)> =
            map.iter().map(|(name, value)| (name.as_str(), json::quoted(value))).collect();
        let members = members.iter().map(|(name, value)| (*name, value.as_str()));
        (!map.is_empty()).then(|| json::object(members))
    };
    let mut parameters = typed.parameters.clone();
    parameters.sort_unstable();
    let parameters: Vec<String> = parameters.into_iter().flat_map(|(name, value)| [name, value]).collect();
    let text = ObjectWriter::default()
        .text("profile", typed.profile.as_deref())
        .raw("headers", object(headers))
        .raw("headers_from", object(commands))
        .text("resource", typed.resource.as_deref())
        .texts("parameters", Some(parameters.as_slice()).filter(|parameters| !parameters.is_empty()))
        .text("client", typed.client.as_ref().map(|(id, _)| id.as_str()))
        .text("client_metadata_url", typed.client_metadata_url.as_deref())
        .flag("client_credentials", typed.client_credentials.then_some(true))
        .text("enterprise_idp", typed.enterprise.as_ref().map(|(provider, ..)| provider.as_str()))
        .text("enterprise_client", typed.enterprise.as_ref().map(|(_, id, _)| id.as_str()))
        .text("token_endpoint", typed.token_endpoint.as_deref())
        .finish();
    if text == "{}" { String::new() } else { text }
}

/// The name of a header, in small letters, and its value as it is typed.
fn header(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn may_print_header(text: &str) -> bool {
    header(text).is_some_and(|(name, value)| may_print(&name, &value))
}

/// Returns whether a URL can hold no secret: no user, no query.
fn may_print_url(text: &str) -> bool {
    Url::parse(text)
        .is_ok_and(|url| url.username().is_empty() && url.password().is_none() && url.query().is_none())
}

/// Returns whether a value holds no literal secret: variables to fill in, and few plain words under a name that names none.
fn may_print(name: &str, value: &str) -> bool {
    let literal = literal(value);
    let words: Vec<&str> = literal
        .split_whitespace()
        .filter(|word| !SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)))
        .collect();
    if words.is_empty() {
        return true;
    }
    let name = name.to_ascii_lowercase();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./@, ".contains(letter);
    !SECRET_NAMES.iter().any(|part| name.contains(part))
        && literal.chars().count() <= PRINTED
        && literal.chars().all(is_plain)
        && !words.iter().any(|word| is_random(word))
}

/// Returns whether the value of `--token-store` holds no literal secret: paths and plain words.
fn may_print_command(text: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./: ".contains(letter);
    text.chars().all(is_plain) && !text.split([' ', '/', ':', '.']).any(is_random)
}

/// Returns whether a word mixes letters with digits as random ones do.
fn is_random(word: &str) -> bool {
    let has = |class: fn(&char) -> bool| word.chars().any(|letter| class(&letter));
    word.chars().count() >= RANDOM && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic)
}

/// What stands in a value beside `${VAR}`, the `default` of `${VAR:-default}` included.
fn literal(value: &str) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once("${") {
        text.push_str(before);
        let Some((variable, behind)) = behind.split_once('}') else { return value.to_owned() };
        text.push_str(variable.split_once(":-").map_or("", |(_, default)| default));
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// Returns whether `--static-oauth-client-info` holds no literal secret: a file, or members that are none or variables.
fn may_print_client(text: &str) -> bool {
    let is_secret = |name: &str| {
        !["client_id", "token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "kid"].contains(&name)
    };
    let is_filled_in = |value: &str| {
        json::string(value).is_some_and(|value| value.starts_with('@') || literal(&value).trim().is_empty())
    };
    let members = json::typed_members(text);
    text.starts_with('@')
        || literal(text).trim().is_empty()
        || !members.is_empty() && members.iter().all(|(name, value)| !is_secret(name) || is_filled_in(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mcp.example.com/mcp";

    fn typed(headers: &[&str]) -> IdentityOptions {
        let headers = headers.iter().map(|&header| header.to_owned()).collect();
        IdentityOptions { url: URL.to_owned(), headers, ..IdentityOptions::default() }
    }

    fn key(typed: &IdentityOptions) -> String {
        SignInIdentity::of(typed).distinction().to_owned()
    }

    #[test]
    fn everything_that_tells_two_entries_apart_changes_the_key() {
        let plain = IdentityOptions { url: URL.to_owned(), ..IdentityOptions::default() };
        assert_eq!(key(&plain), "");
        let text = |text: &str| Some(text.to_owned());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let all = [
            plain.clone(),
            typed(&["X-Account: alice"]),
            typed(&["X-Account: bob"]),
            typed(&["X-Account: ${ACCOUNT}"]),
            typed(&["X-Account: alice", "X-Other: alice"]),
            IdentityOptions { headers_from: vec!["X-Account: alice".to_owned()], ..plain.clone() },
            IdentityOptions { profile: text("alice"), ..plain.clone() },
            IdentityOptions { profile: text("alice"), ..typed(&["X-Account: alice"]) },
            IdentityOptions { resource: text("alice"), ..plain.clone() },
            IdentityOptions { parameters: vec![pair("a", "b")], ..plain.clone() },
            IdentityOptions { parameters: vec![pair("a", "b"), pair("c", "d")], ..plain.clone() },
            IdentityOptions { parameters: vec![pair("a", "b\nc\nd")], ..plain.clone() },
            IdentityOptions { client: Some(pair("alice", "{}")), ..plain.clone() },
            IdentityOptions { client: Some(pair("alice", "{}")), client_credentials: true, ..plain.clone() },
            IdentityOptions { client_metadata_url: text("alice"), ..plain.clone() },
            IdentityOptions { token_endpoint: text("alice"), ..plain.clone() },
        ];
        let keys: std::collections::BTreeSet<String> = all.iter().map(key).collect();
        assert_eq!(keys.len(), all.len(), "{keys:?}");
    }

    #[test]
    fn key_ignores_order_and_case_of_headers() {
        let one = typed(&["X-A: 1", "X-B:2"]);
        assert_eq!(key(&one), key(&typed(&["x-b: 2", "X-A:1 "])));
        assert_eq!(key(&one), key(&typed(&["X-A: other", "x-b: 2", "X-a: 1"])), "the last one counts");
        let in_file = IdentityOptions { header_lines: vec!["X-A: 1".to_owned()], ..typed(&["X-B: 2"]) };
        assert_eq!(key(&one), key(&in_file));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let with = |parameters| key(&IdentityOptions { parameters, ..typed(&[]) });
        assert_eq!(with(vec![pair("a", "b"), pair("c", "d")]), with(vec![pair("c", "d"), pair("a", "b")]));
    }

    #[test]
    fn command_repeats_what_forms_the_key_and_no_secret() {
        let line = |typed: &IdentityOptions| SignInIdentity::of(typed).command("login");
        for (headers, expected) in [
            (&[][..], "mcp-tether login https://mcp.example.com/mcp"),
            (
                &["X-Account: alice"],
                "mcp-tether login https://mcp.example.com/mcp --header 'X-Account: alice'",
            ),
            (
                &["Authorization: Bearer ${TOKEN}"],
                "mcp-tether login https://mcp.example.com/mcp --header 'Authorization: Bearer ${TOKEN}'",
            ),
        ] {
            assert_eq!(line(&typed(headers)), expected);
        }
        for secret in [
            "X-Api-Key: marked",
            "Authorization: Bearer marked",
            "X-Tenant: marked-5f3a9c2e",
            "X-Tenant: ${TENANT:-marked-5f3a9c2e}",
            "X-Tenant: ${marked-5f3a9c2e",
            "Cookie: a=marked",
        ] {
            let told = line(&typed(&[secret]));
            assert!(told.contains("--profile NAME") && !told.contains("marked"), "{secret}: {told}");
            let named = IdentityOptions { profile: Some("work".to_owned()), ..typed(&[secret]) };
            assert_eq!(line(&named), "mcp-tether login https://mcp.example.com/mcp --profile work");
            // The command that is printed names the same identity.
            let again = IdentityOptions { profile: Some("work".to_owned()), ..typed(&[]) };
            assert_eq!(key(&named), key(&again));
        }
        let all = IdentityOptions {
            url: "https://mcp.example.com/mcp?key=marked".to_owned(),
            resource: Some("https://r.example/?marked".to_owned()),
            parameters: vec![
                ("audience".to_owned(), "files".to_owned()),
                ("login_token".to_owned(), "marked".to_owned()),
            ],
            client: Some(("id".to_owned(), r#"{"client_id":"id","client_secret":"marked"}"#.to_owned())),
            ..typed(&[])
        };
        let told = line(&all);
        assert!(
            told.starts_with("mcp-tether login URL --authorize-param 'audience=files' (with the "),
            "{told}"
        );
        assert!(!told.contains("marked"), "{told}");
        for (client, is_shown) in [
            ("@client.json", true),
            ("${CLIENT}", true),
            (r#"{"client_id":"id","client_secret":"${SECRET}"}"#, true),
            (r#"{"client_id":"id","private_key":"@key.pem"}"#, true),
            (r#"{"client_id":"id","private_key":"x"}"#, false),
            ("nonsense", false),
        ] {
            let client = Some(("id".to_owned(), client.to_owned()));
            let told = line(&IdentityOptions { client, ..typed(&[]) });
            assert_eq!(!told.contains("(with the --static-oauth-client-info "), is_shown, "{told}");
        }
    }
}
