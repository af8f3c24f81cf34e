//! Which names and values are secrets, by one rule for every entry, and texts as they may be shown.
//!
//! Deliberately not here: the variable that takes a secret's place (`secrets`).

use super::clients::Client;
use crate::json;

/// The text that replaces a secret.
pub(super) const MASKED: &str = "[masked]";

/// How deep JSON may be nested before the whole of it counts as a secret.
const DEPTH: usize = 16;

/// Parts of names of secrets, at any position.
const PARTS: [&str; 19] = [
    "auth",
    "key",
    "token",
    "secret",
    "passw",
    "passphrase",
    "passcode",
    "credential",
    "cookie",
    "session",
    "signature",
    "jwt",
    "bearer",
    "assertion",
    "connectionstring",
    "connection_string",
    "software_statement",
    "cf-access-",
    "cf_access_client",
];

/// Words that make a name that of a secret, where they stand alone or between separators.
const WORDS: [&str; 19] = [
    "pass", "pwd", "pw", "pin", "pat", "otp", "totp", "dsn", "sas", "sig", "psk", "sid", "hmac", "creds",
    "cred", "private", "mnemonic", "seed", "salt",
];

/// Words that say how what follows them proves who asks.
const SCHEMES: [&str; 14] = [
    "bearer",
    "basic",
    "token",
    "apikey",
    "api-key",
    "key",
    "jwt",
    "digest",
    "oauth",
    "dpop",
    "bot",
    "ssws",
    "negotiate",
    "genie-key",
];

/// Those of them that are followed by a secret wherever they stand.
const PROOFS: [&str; 3] = ["bearer", "basic", "digest"];

/// Whole names of secrets, in queries above all.
const NAMES: [&str; 4] = ["code", "ticket", "k", "pwd"];

/// Kinds of services whose address usually holds a password.
const SERVICES: [&str; 16] = [
    "database",
    "db",
    "postgres",
    "postgresql",
    "pg",
    "mysql",
    "mariadb",
    "mongo",
    "mongodb",
    "redis",
    "amqp",
    "rabbitmq",
    "broker",
    "smtp",
    "clickhouse",
    "webhook",
];

/// Members of a client's metadata that are no secrets, whatever their names hold (RFC 7591, section 2, and its registry).
const METADATA_ENDS: [&str; 10] =
    ["_alg", "_enc", "_method", "_mode", "_uri", "_uris", "_expires_at", "_issued_at", "_types", "_dn"];

/// Members of a client's metadata that look like chance and are no secrets.
const METADATA_IDS: [&str; 6] =
    ["client_id", "kid", "software_id", "software_version", "client_name", "scope"];

/// Members of a JSON Web Key that are private (RFC 7518, section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Returns whether the name or the value is that of a secret.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    is_secret_name(name) || is_secret_text(value)
}

/// Returns whether something of this name is a secret: a variable, a header, an option, a parameter of a query.
pub(super) fn is_secret_name(name: &str) -> bool {
    // The working directory, of every shell.
    if ["PWD", "OLDPWD"].contains(&name) {
        return false;
    }
    let words = words(name);
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    let holds = |word: &str| words.iter().any(|known| known == word);
    let is_address = ["url", "uri", "dsn"].iter().any(|end| holds(end) || name.ends_with(end));
    if is_address && SERVICES.iter().any(|service| holds(service)) {
        return true;
    }
    // A path to one is none, and an address is judged by what it holds.
    let is_path = ["file", "path", "_dir", "host", "url", "uri"].iter().any(|end| name.ends_with(end));
    let ends_so =
        |end: &str| name.ends_with(end) && !["bypass", "compass"].iter().any(|other| name.ends_with(other));
    !is_path
        && (PARTS.iter().any(|part| name.contains(part))
            || WORDS.iter().any(|word| holds(word))
            || NAMES.contains(&name.as_str())
            || ["pass", "pwd", "dsn"].into_iter().any(ends_so))
}

/// The words of a name, in lower case: cut at what is no letter or digit, and before a capital behind a small letter.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || letter.is_uppercase() && is_small {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        is_small = letter.is_lowercase();
    }
    words
}

/// Returns whether a text is a secret or holds one, by its form alone.
pub(super) fn is_secret_text(text: &str) -> bool {
    let text = text.trim();
    if text.starts_with(['{', '[']) && !text.starts_with("[masked]") {
        return json_holds_secret(text);
    }
    // As in a header.
    let is_header = text.split_once(": ").is_some_and(|(name, value)| {
        !name.contains(char::is_whitespace) && !value.trim().is_empty() && is_secret_name(name)
    });
    let mut parts = text.split_whitespace();
    let is_proof = PROOFS.iter().any(|scheme| {
        parts.clone().next().is_some_and(|first| first.eq_ignore_ascii_case(scheme))
            && parts.clone().count() == 2
    });
    is_header
        || is_proof
        || parts.any(|part| url_holds_secret(part) || looks_random(part) || has_login(part))
        || has_secret_pair(text)
}

/// Returns whether a text looks like a generated token: letters and digits in random order.
pub(super) fn looks_random(text: &str) -> bool {
    text.split([' ', ',', ';', '"', '\'', '|']).any(|word| {
        // An option is judged by its value.
        let word = word
            .strip_prefix("--")
            .map_or(word, |option| option.split_once('=').map_or("", |(_, value)| value));
        let has = |class: fn(&char) -> bool| word.chars().any(|letter| class(&letter));
        let is_made_of = |others: &str| {
            word.chars().all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
        };
        // Base64 has slashes, and so have paths.
        let is_base64 = word.len() >= 32
            && !word.starts_with(['/', '.', '~'])
            && has(char::is_ascii_uppercase)
            && has(char::is_ascii_lowercase)
            && is_made_of("+/=");
        word.len() >= 20
            && has(char::is_ascii_digit)
            && has(char::is_ascii_alphabetic)
            && (is_made_of("-_.+=~") || is_base64)
    })
}

/// `user:password@host`, without a scheme before it.
fn has_login(word: &str) -> bool {
    let is_package = ["npm:", "jsr:"].iter().any(|registry| word.starts_with(registry));
    let Some((login, host)) = word.rsplit_once('@').filter(|_| !is_package && !word.contains("://")) else {
        return false;
    };
    let has_password = login.split_once(':').is_some_and(|(_, password)| !password.is_empty());
    has_password
        && host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[' || first == '$')
}

/// `name=value` with the name of a secret, among others or alone: a connection string, an option.
fn has_secret_pair(text: &str) -> bool {
    text.split([';', '&', ',', ' ', '\n', '\t']).any(|pair| {
        let Some((name, value)) = pair.split_once('=') else { return false };
        // The part before it is the address of a query.
        let name = name.rsplit(['?', '"', '\'']).next().unwrap_or(name);
        !value.trim().is_empty()
            && !value.starts_with(['$', '@'])
            && !name.contains("://")
            && is_secret_name(name.trim())
    })
}

/// Returns whether an address holds a user, or anything in its query, its path or behind a `#` that may be a secret.
fn url_holds_secret(word: &str) -> bool {
    let Some((_, rest)) = word.split_once("://") else { return false };
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let is_open = |part: &str| match part.split_once('=') {
        Some((name, value)) => is_open_value(name, value),
        None => part.is_empty(),
    };
    let query = query.split('#').next().unwrap_or_default();
    let has_fragment = rest.split_once('#').is_some_and(|(_, fragment)| !fragment.is_empty());
    has_user(rest) || has_fragment || !query.split('&').all(is_open) || path_looks_random(word)
}

/// Returns whether the part of an address behind its `://` begins with a user.
///
/// A password that was not encoded may hold a slash, a `#` or a `?`; so an `@` behind them counts, unless a host stands before
/// them that can be nothing else.
fn has_user(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_host = !authority.contains(':') && (authority.contains('.') || authority == "localhost");
    authority.contains('@') || rest.contains('@') && !is_host
}

/// Returns whether the value of a parameter of a query may stay: nothing, yes or no, a small number.
pub(super) fn is_open_value(name: &str, value: &str) -> bool {
    let is_small = value.len() <= 3 && value.bytes().all(|digit| digit.is_ascii_digit());
    !is_secret_name(name) && (is_small || ["true", "false"].contains(&value))
}

/// Returns whether JSON holds a secret, by the names of its members and the form of its strings. What is no JSON does.
fn json_holds_secret(text: &str) -> bool {
    if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
        return true;
    }
    let mut found = false;
    let changed = replace_secrets(text, &mut |_, _| {
        found = true;
        String::new()
    });
    found || changed.is_none()
}

/// JSON with the text that `replace` gives, from a member's name and its value as it is written, in the place of each secret.
/// None where it is nested too deep.
pub(super) fn replace_secrets(text: &str, replace: &mut dyn FnMut(&str, &str) -> String) -> Option<String> {
    replace_in("", text.trim(), false, DEPTH, replace)
}

fn replace_in(
    name: &str,
    text: &str,
    is_key: bool,
    depth: usize,
    replace: &mut dyn FnMut(&str, &str) -> String,
) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let first = text.as_bytes().first().copied();
    // A set of keys is judged by what is in each.
    if !(name == "keys" && first == Some(b'[')) && is_secret_member(name, text, is_key) {
        return Some(replace(name, text));
    }
    Some(match first {
        Some(b'{') => {
            let members = json::typed_members(text);
            let is_key = is_key || members.iter().any(|(name, _)| name == "kty");
            let members: Option<Vec<(String, String)>> = members
                .into_iter()
                .map(|(name, value)| {
                    let value = replace_in(&name, value, is_key, depth, replace)?;
                    Some((name, value))
                })
                .collect();
            json::object(members?.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        }
        Some(b'[') => {
            let items = json::elements(text);
            let name = if name == "keys" { "" } else { name };
            let items: Option<Vec<String>> =
                items.map(|item| replace_in(name, item, is_key, depth, replace)).collect();
            format!("[{}]", items?.join(","))
        }
        Some(_) | None => text.to_owned(),
    })
}

/// Returns whether a member of JSON is a secret; `is_key` where it belongs to a JSON Web Key.
fn is_secret_member(name: &str, text: &str, is_key: bool) -> bool {
    let string = json::string(text).filter(|_| text.starts_with('"'));
    if matches!(text, "null" | "true" | "false" | "\"\"")
        || string.as_deref().is_some_and(|text| is_reference(text, is_secret_name(name)))
    {
        return false;
    }
    if name == "private_key" && string.as_deref().is_some_and(|path| path.starts_with('@')) {
        return false;
    }
    if is_key && PRIVATE.contains(&name) {
        return true;
    }
    if METADATA_ENDS.iter().any(|end| name.ends_with(end)) || METADATA_IDS.contains(&name) {
        return string.is_some_and(|text| text.split_whitespace().any(url_holds_secret));
    }
    is_secret_name(name) || string.is_some_and(|text| is_secret_text(&text))
}

/// Returns whether a word says how what follows it proves who asks.
pub(super) fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Returns whether a text is references to variables and nothing beside them that may be a secret: `Bearer ${TOKEN}`.
/// `is_secret_place`: a default, or any other text there, would be the secret itself.
fn is_reference(text: &str, is_secret_place: bool) -> bool {
    let Some((first, rest)) = text.split_once("${") else { return false };
    if text.starts_with(['{', '[']) && json_holds_secret(text) {
        return false;
    }
    // A header in one text, or what proves who asks: a secret place wherever it stands.
    let (is_secret_place, first) = match first.split_once(": ") {
        Some((name, value)) if !name.contains(char::is_whitespace) && is_secret_name(name) => (true, value),
        _ => {
            let scheme = first.split_whitespace().next().unwrap_or_default();
            let is_proof = PROOFS.iter().any(|proof| scheme.eq_ignore_ascii_case(proof));
            (is_secret_place || is_proof && text.split_whitespace().count() == 2, first)
        }
    };
    let mut literals = vec![first];
    for part in rest.split("${") {
        let Some((inside, behind)) = part.split_once('}') else { return false };
        if let Some((name, default)) = inside.split_once(":-")
            && !is_open_default(default)
            && (is_secret_place || is_secret(name, default))
        {
            return false;
        }
        literals.push(behind);
    }
    let literal = literals.concat();
    let is_open = || match literal.split_once("://") {
        Some((_, rest)) => is_open_address(rest),
        None => literals.iter().all(|part| part.split_whitespace().all(is_open_literal)),
    };
    !looks_random(&literal) && !has_secret_pair(&literal) && (!is_secret_place || is_open())
}

/// Returns whether a word beside a reference in a secret place holds nothing secret itself: a scheme, the name of what is filled
/// in (`session=${ID}`), or no letter and no digit.
fn is_open_literal(word: &str) -> bool {
    let is_name = |word: &str| {
        word.bytes().all(|letter| letter.is_ascii_lowercase() || b"_-".contains(&letter))
            && is_secret_name(word)
    };
    is_scheme(word)
        || word.strip_suffix('=').map(|word| word.trim_start_matches([';', ','])).is_some_and(is_name)
        || !word.contains(char::is_alphanumeric)
}

/// The same for an address without what is filled in, behind its `://`: `user:@host/path?token=`.
fn is_open_address(rest: &str) -> bool {
    let (start, query) = rest.split_once('?').unwrap_or((rest, ""));
    let login = start.rsplit_once('@').map_or("", |(login, _)| login);
    let is_open_login =
        login.is_empty() || login.split_once(':').is_some_and(|(_, password)| password.is_empty());
    let is_open = |part: &str| {
        part.split_once('=')
            .map_or(part.is_empty(), |(name, value)| value.is_empty() || is_open_value(name, value))
    };
    is_open_login && !rest.contains(['#', ' ']) && query.split('&').all(is_open)
}

/// Returns whether a default says that there is none.
fn is_open_default(default: &str) -> bool {
    ["none", "null", "unset", "anonymous"].contains(&default) || is_open_value("", default)
}

/// Returns whether the client or the proxy fills something in here, and nothing else in it may be a secret. `name` is what it is
/// the value of. Gemini knows a bare `$NAME`, too, and opencode `{env:NAME}`; in the middle of a word that is rather part of a secret.
pub(super) fn refers(name: &str, value: &str, client: Client) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|letter| letter.is_ascii_uppercase() || letter == '_' || letter.is_ascii_digit())
    };
    let last = value.rsplit(' ').next().unwrap_or_default();
    is_reference(value, is_secret_name(name))
        || client == Client::Gemini && last.strip_prefix('$').is_some_and(is_name)
        || client == Client::OpenCode
            && last.strip_prefix("{env:").and_then(|rest| rest.strip_suffix('}')).is_some_and(is_name)
}

/// A value as it may be shown. `name` is what it is the value of.
pub(super) fn mask(name: &str, value: &str, client: Client) -> String {
    if is_secret_name(name) {
        return if refers(name, value, client) { value.to_owned() } else { MASKED.to_owned() };
    }
    let shown = mask_urls(value, client);
    let has_path = shown.split_whitespace().any(path_looks_random);
    match has_path || is_secret_text(&without_urls(&shown)) && !refers(name, &shown, client) {
        true => MASKED.to_owned(),
        false => shown,
    }
}

/// A text whose URLs have no user, no values in the query and no fragment.
pub(super) fn mask_urls(text: &str, client: Client) -> String {
    text.split_inclusive(char::is_whitespace)
        .map(|word| {
            let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
            let space = if rest.ends_with(char::is_whitespace) { " " } else { "" };
            let rest = rest.trim_end();
            let (user, rest) = match rest.rsplit_once('@').filter(|_| has_user(rest)) {
                Some((_, behind)) => (format!("{MASKED}@"), behind),
                None => (String::new(), rest),
            };
            let rest = rest.split('#').next().unwrap_or_default();
            match rest.split_once('?') {
                Some((start, query)) => {
                    format!("{scheme}://{user}{start}?{}{space}", mask_query(query, client))
                }
                None => format!("{scheme}://{user}{rest}{space}"),
            }
        })
        .collect()
}

/// Returns whether a part of an address's path looks like a secret.
fn path_looks_random(word: &str) -> bool {
    let rest = word.split_once("://").map_or("", |(_, rest)| rest);
    rest.split('?').next().unwrap_or_default().split(['/', '#']).skip(1).any(looks_random)
}

/// The text outside URLs.
fn without_urls(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !word.contains("://"));
    words.collect::<Vec<_>>().join(" ")
}

/// The query of an address as it may be shown: what is filled in, alone.
fn mask_query(query: &str, client: Client) -> String {
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, value)) if refers(name, value, client) => part.to_owned(),
        Some((name, _)) => format!("{name}={MASKED}"),
        None => MASKED.to_owned(),
    });
    match query.contains("${") || refers("", query, client) {
        true => parts.collect::<Vec<_>>().join("&"),
        false => MASKED.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_names_of_secrets() {
        for name in [
            "DB_PASS",
            "dbpass",
            "PGPASSWORD",
            "PGPASS",
            "MYSQL_PWD",
            "SMTP_PASS",
            "smtpPass",
            "pin",
            "userPin",
            "PIN_CODE",
            "login_token",
            "loginToken",
            "DATABASE_URL",
            "REDIS_URL",
            "MONGODB_URI",
            "SENTRY_DSN",
            "sentry_dsn",
            "db-dsn",
            "GITHUB_PAT",
            "API_KEY",
            "ApiKey",
            "x-api-key",
            "--client-secret",
            "client_secret",
            "private_key",
            "otp",
            "sig",
            "registration_access_token",
            "software_statement",
            "Authorization",
            "Cookie",
            "session_id",
            "code",
            "pwd",
            "AZURE_STORAGE_CONNECTION_STRING",
            "SLACK_WEBHOOK_URL",
            "KEY_PASSPHRASE",
            "CF_ACCESS_CLIENT_ID",
            "PSK",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "PATH",
            "PWD",
            "OLDPWD",
            "LANG",
            "HOME",
            "MODE",
            "TOKEN_FILE",
            "KEY_PATH",
            "AUTH_HOST",
            "TOKEN_URL",
            "page",
            "COUNTRY_CODE",
            "HTTPS_PROXY",
            "NO_PROXY_BYPASS",
            "compass",
            "spinner",
            "SHIPPING",
            "resource",
            "",
            "-",
            "tenant",
            "pattern",
            "passenger",
            "NODE_OPTIONS",
            "X-Tenant",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn recognizes_secret_values_by_form() {
        for value in [
            "postgres://u:marked@h/db",
            "postgres://u:ma/rk#e?d@h:5432/db",
            "mongodb+srv://u:marked@h/?retryWrites=true",
            "redis://:marked@h:6379/0",
            "http://marked@proxy:8080",
            "jdbc:postgresql://h/db?user=u&password=marked",
            "https://h/mcp?pin=1",
            "https://h/mcp?x=marked",
            "https://h/mcp?marked",
            "https://h/mcp#marked",
            "https://hooks.example/services/T0/abcdefghij0123456789ab",
            "see https://u:marked@h there",
            "user:marked@proxy.example:8080",
            "Server=h;User Id=u;Password=marked;",
            "host=h password=marked",
            "-Djavax.net.ssl.trustStorePassword=marked",
            "Authorization: Bearer marked",
            "Basic marked",
            r#"{"Authorization":"Bearer marked"}"#,
            r#"{"a":[{"apiKey":"marked"}]}"#,
            r#"{"a": "marked"#,
            "abcdefghij0123456789",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ] {
            assert!(is_secret_text(value), "{value}");
            assert!(!mask("X", value, Client::Codex).contains("marked"), "{value}");
        }
        for value in [
            "",
            "C",
            "en_US.UTF-8",
            "a b",
            "/usr/local/bin:/usr/bin",
            "https://h.example/mcp",
            "https://h:8443/mcp?page=1",
            "https://server.example/@user/mcp",
            "git@github.com:org/repo",
            "npm:mcp-remote@0.1.9",
            "op://vault/item/field",
            "--max-http-header-size=16384",
            r#"{"a":1,"b":["c"]}"#,
            "[]",
            "localhost,127.0.0.1",
            "C:\\Users\\me",
            "http://proxy.example:8080",
            "Basic",
            "Bearer of news today",
        ] {
            assert!(!is_secret_text(value), "{value}");
            assert_eq!(mask("X", value, Client::Codex).replace("?[masked]", "?page=1"), value);
        }
    }

    #[test]
    fn addresses_are_shown_without_users_and_queries() {
        for (text, expected) in [
            ("postgres://u:p@h/db?a=b#c", "postgres://[masked]@h/db?[masked]"),
            ("https://u:p/w@h/mcp", "https://[masked]@h/mcp"),
            ("https://u:p#w@h/mcp", "https://[masked]@h/mcp"),
            ("https://h.example/@u/mcp", "https://h.example/@u/mcp"),
            ("https://h/mcp?a=${A}&b=c", "https://h/mcp?a=${A}&b=[masked]"),
            ("https://h/mcp#secret", "https://h/mcp"),
            ("a http://u:p@h b", "a http://[masked]@h b"),
            ("http://a:b@h,http://c:d@g", "http://[masked]@g"),
        ] {
            assert_eq!(mask_urls(text, Client::Codex), expected, "{text}");
        }
    }

    #[test]
    fn references_beside_literal_secrets_are_none() {
        for (text, expected) in [
            ("${KEY}", true),
            ("Bearer ${KEY}", true),
            ("${A}/${B:-none}", true),
            ("${KEY:-}", true),
            ("${KEY:-marked}", false),
            ("${A:-abcdefghij0123456789}", false),
            ("${A}abcdefghij0123456789", false),
            ("${A", false),
            ("A", false),
            ("Bearer marked-${A}", false),
            ("Authorization: Bearer marked-${A}", false),
            ("Authorization: Bearer ${A}", true),
            ("password=marked${A}", false),
            ("Server=h;Password=${A};", true),
            (r#"{"password":"marked","x":"${A}"}"#, false),
            (r#"{"password":"${A}","x":"y"}"#, true),
            ("a marked ${A}", true),
        ] {
            assert_eq!(refers("X", text, Client::Codex), expected, "{text}");
        }
    }

    #[test]
    fn only_schemes_stand_beside_references_in_secret_places() {
        for (name, text, expected) in [
            ("Authorization", "Bearer ${A}", true),
            ("Authorization", "Basic ${A}:${B}", true),
            ("Authorization", "Token token=${A}", true),
            ("Authorization", "${SCHEME} ${A}", true),
            ("Authorization", "Bearer marked-${A}", false),
            ("Authorization", "Bearer ${A}-marked", false),
            ("Authorization", "Bearer marked ${A}", false),
            ("Authorization", "marked ${A}", false),
            ("X-Api-Key", "${A}", true),
            ("X-Api-Key", "${A}.${B}", true),
            ("X-Api-Key", "marked${A}", false),
            ("X-Api-Key", "marked5=${A}", false),
            ("X-Api-Key", "${A}marked", false),
            ("X-Api-Key", "${A} Bearer marked", false),
            ("Cookie", "session=${A}; token=${B}", true),
            ("Cookie", "session=marked; token=${B}", false),
            ("DATABASE_URL", "postgres://app:${A}@h/db?sslmode=${B}", true),
            ("DATABASE_URL", "postgres://app:marked${A}@h/db", false),
            ("DATABASE_URL", "postgres://h/db?x=marked&y=${B}", false),
            ("SENTRY_DSN", "https://marked@h/${A}", false),
        ] {
            assert_eq!(refers(name, text, Client::Codex), expected, "{name} {text}");
        }
    }

    #[test]
    fn json_loses_its_secrets_and_keeps_the_rest() {
        for (text, expected) in [
            (r#"{"client_id":"a","client_secret":"b"}"#, r#"{"client_id":"a","client_secret":!}"#),
            (
                r#"{"token_endpoint_auth_method":"none","jwks_uri":"https://h/x"}"#,
                r#"{"token_endpoint_auth_method":"none","jwks_uri":"https://h/x"}"#,
            ),
            (
                r#"{"software_statement":"x.y.z","registration_access_token":"t"}"#,
                r#"{"software_statement":!,"registration_access_token":!}"#,
            ),
            (
                r#"{"jwks":{"keys":[{"kty":"EC","x":"a","d":"b"}]}}"#,
                r#"{"jwks":{"keys":[{"kty":"EC","x":"a","d":!}]}}"#,
            ),
            (
                r#"{"redirect_uris":["https://u:p@h/","http://localhost/"]}"#,
                r#"{"redirect_uris":[!,"http://localhost/"]}"#,
            ),
            (
                r#"{"a":{"password":5},"client_secret_expires_at":0}"#,
                r#"{"a":{"password":!},"client_secret_expires_at":0}"#,
            ),
            (
                r#"{"client_secret":"${S}","private_key":"@k.pem","token":null}"#,
                r#"{"client_secret":"${S}","private_key":"@k.pem","token":null}"#,
            ),
            (r#"{"client_secret":"${S:-b}"}"#, r#"{"client_secret":!}"#),
        ] {
            assert_eq!(
                replace_secrets(text, &mut |_, _| "!".to_owned()).as_deref(),
                Some(expected),
                "{text}"
            );
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(replace_secrets(&deep, &mut |_, _| String::new()), None);
    }
}
