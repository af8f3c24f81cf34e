//! Commands that print secrets, without the secrets that they are written with.
//!
//! Apart from `secrets`, because the entry that is shown and the one that is printed need the same. A command is split as it is
//! when it runs: without a shell. Deliberately not here: which names and forms are secrets (`sensitive`).

use super::clients::Client;
use super::sensitive::{self, is_secret_name, refers};

/// Options whose value may be a login, `user:password`.
const LOGINS: [&str; 5] = ["-u", "-U", "--user", "--proxy-user", "--login"];

/// Short options whose value is a secret for some programs.
const SECRET_OPTIONS: [(&str, &str); 4] =
    [("redis-cli", "-a"), ("ldapsearch", "-w"), ("sqlcmd", "-P"), ("curl", "-b")];

/// Options with one dash that begin like `-p` with its value behind it.
const LONG: [&str; 18] = [
    "-param",
    "-params",
    "-passin",
    "-passout",
    "-path",
    "-pkcs8",
    "-plain",
    "-port",
    "-prefix",
    "-pretty",
    "-print",
    "-print0",
    "-profile",
    "-project",
    "-prompt",
    "-provider",
    "-pubin",
    "-pubout",
];

/// The greatest depth of scripts inside arguments. A deeper one counts as a secret as a whole.
const DEPTH: usize = 4;

/// A command with `text` in the place of each secret, quoted for a shell; none where it holds no secret.
pub(super) fn without_secrets(command: &str, text: &str, client: Client) -> Option<String> {
    hide(command, text, client, DEPTH)
}

fn hide(command: &str, text: &str, client: Client, depth: usize) -> Option<String> {
    // A command that cannot be split cannot run, and its content cannot be judged.
    let (Some(depth), Ok(words)) = (depth.checked_sub(1), shell_words::split(command)) else {
        return Some(text.to_owned());
    };
    let program = words.first().map_or("", String::as_str);
    let program = program.rsplit(['/', '\\']).next().unwrap_or(program);
    let befores = std::iter::once("").chain(words.iter().map(String::as_str));
    let hidden: Vec<Option<String>> = words
        .iter()
        .zip(befores)
        .map(|(word, before)| {
            let is_script = before.starts_with('-') && word.contains(char::is_whitespace);
            hide_word(program, before, word, text, client)
                .or_else(|| hide(word, text, client, depth).filter(|_| is_script).map(|_| text.to_owned()))
        })
        .collect();
    hidden.iter().any(Option::is_some).then(|| {
        shell_words::join(hidden.into_iter().zip(&words).map(|(hidden, word)| hidden.unwrap_or(word.clone())))
    })
}

/// The replacement of a word that holds a secret.
fn hide_word(program: &str, before: &str, word: &str, text: &str, client: Client) -> Option<String> {
    if let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.contains("://")) {
        let is_named = is_secret_name(name) || name == "-p";
        let is_hidden = !value.is_empty()
            && !refers(name, value, client)
            && (is_named || LOGINS.contains(&name) && is_login(value) || is_secret_text(value));
        if is_hidden {
            return Some(format!("{name}={text}"));
        }
    }
    let is_value = before.starts_with('-') && !before.contains('=');
    // Of short options in one word, only the last one has a value.
    let short = before.chars().last().filter(|_| !before.starts_with("--")).map(|last| format!("-{last}"));
    let is_option = |option: &str| before == option || short.as_deref() == Some(option);
    if is_value && !word.starts_with('-') {
        // `--secret-id NAME` says which one.
        let names_one = ["-id", "-name", "-arn"].iter().any(|end| before.ends_with(end));
        let is_known = SECRET_OPTIONS.iter().any(|(known, option)| *known == program && is_option(option));
        if (before == "-p" || is_known || is_secret_name(before) && !names_one)
            && !refers("secret", word, client)
        {
            return Some(text.to_owned());
        }
        if LOGINS.iter().any(|option| is_option(option)) && is_login(word) && !refers("", word, client) {
            return Some(text.to_owned());
        }
    }
    // A header without a space behind its colon.
    let header = match word.strip_prefix("-H").or_else(|| word.strip_prefix("--header=")) {
        Some(header) => Some(header),
        None if is_option("-H") || before == "--header" => Some(word),
        None => None,
    };
    if let Some((name, value)) = header.and_then(|header| header.split_once(':'))
        && is_secret_name(name.trim())
    {
        let is_shown = value.trim().is_empty() || refers(name.trim(), value.trim(), client);
        return (!is_shown).then(|| text.to_owned());
    }
    if word.starts_with('-') && !word.starts_with("--") {
        let (start, _) = word.split_once(':').unwrap_or_default();
        if start.contains(['u', 'U']) && is_login(word) && !refers("", word, client) {
            return Some(text.to_owned());
        }
        if word.starts_with("-p") && word.len() > 2 && !word.contains('=') && !LONG.contains(&word) {
            return Some(format!("-p{text}"));
        }
    }
    let is_shown = refers("", word, client) || !is_secret_text(word);
    (!is_shown).then(|| text.to_owned())
}

/// Returns whether a text is a user and a password.
fn is_login(text: &str) -> bool {
    !text.contains("://") && text.split_once(':').is_some_and(|(_, password)| !password.is_empty())
}

fn is_secret_text(word: &str) -> bool {
    // As openssl has it.
    word.strip_prefix("pass:").is_some_and(|password| !password.is_empty()) || sensitive::is_secret_text(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_lose_secrets_in_every_usual_place() {
        for command in [
            "curl -u admin:marked https://vault.example/x",
            "curl -uadmin:marked https://vault.example/x",
            "curl -sSfu admin:marked https://vault.example/x",
            "curl -sSfuadmin:marked https://vault.example/x",
            "curl --user admin:marked https://vault.example/x",
            "curl --user=admin:marked https://vault.example/x",
            "curl --proxy-user 'a:marked' https://vault.example/x",
            "curl -H 'Authorization: Bearer marked' https://vault.example/x",
            "curl -H \"Authorization: Bearer marked\" https://vault.example/x",
            "curl -H 'X-Api-Key:marked' https://vault.example/x",
            "curl '-HX-Api-Key:marked' https://vault.example/x",
            "curl '--header=X-Api-Key: marked' https://vault.example/x",
            "curl -H 'Authorization: Bearer marked-${STAGE}' https://vault.example/x",
            "curl -b a=marked https://vault.example/x",
            "curl -d 'a=b&client_secret=marked' https://vault.example/x",
            "curl -d '{\"password\": \"marked\"}' https://vault.example/x",
            "curl https://u:marked@vault.example/x",
            "curl --url=https://vault.example/x?key=marked",
            "vault login -p marked",
            "vault login -p=marked",
            "vault login -method=userpass username=a password=marked",
            "tool --password marked read",
            "tool --password='marked two' read",
            "tool --password 'one marked' read",
            "mysql -pmarked -e 'select 1'",
            "env TOKEN=marked tool",
            "openssl rsa -passin pass:marked -in x.pem",
            "sh -c 'curl -u admin:marked https://vault.example/x'",
            "bash -ec \"tool --password 'marked two'\"",
            "/usr/bin/redis-cli -a marked get x",
            "tool 'marked",
        ] {
            let shown = without_secrets(command, "TEXT", Client::Codex);
            let shown = shown.unwrap_or_else(|| panic!("{command}"));
            assert!(shown.contains("TEXT") && !shown.contains("marked"), "{command}: {shown}");
        }
    }

    #[test]
    fn commands_without_secrets_stay_as_they_are() {
        for command in [
            "op read op://vault/item/password",
            "vault kv get -field=password kv/mcp",
            "aws secretsmanager get-secret-value --secret-id mcp/token --query SecretString",
            "security find-generic-password -a me -s mcp -w",
            "cloudflared access token --app=https://h.example/",
            "pass show mcp/token",
            "curl -u ${LOGIN} https://vault.example/x",
            "curl -u me https://vault.example/x",
            "curl -H 'Authorization: Bearer ${TOKEN}' -H 'Accept: text/plain' https://vault.example/x",
            "tool --password-file=/run/x --password ${PW}",
            "sh -c 'cat /run/secrets/token | tr -d x'",
        ] {
            assert_eq!(without_secrets(command, "TEXT", Client::Codex), None, "{command}");
        }
    }
}
