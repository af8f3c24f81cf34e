//! From arguments to those that an entry may hold: a secret becomes a reference to a variable, and what refers to one is kept.
//!
//! Deliberately not here: how a client passes a variable on (`clients`), and what its entry looks like (`entry`).

use url::Url;

use super::args::Arg;
use super::clients::Client;
use super::entry::placeholder;
use super::secret_commands;
use super::sensitive::{self, is_open_value, is_scheme, is_secret, looks_random, refers};
use crate::config::Environment;
use crate::config::expand;
use crate::json;
use crate::secret::Secret;

/// A variable that the server is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    /// The text in its place; without one it has the value that it has in the client's environment.
    pub(super) text: Option<String>,
    /// Whether nothing works without it.
    pub(super) is_needed: bool,
}

/// Arguments that may be written down, the variables that they need, and what there is to say about it.
#[derive(Debug, Default)]
pub(super) struct RewrittenArgs {
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<Variable>,
    /// Secrets that became variables.
    pub(super) hidden: Vec<(String, String)>,
    /// The values of those variables.
    pub(super) typed: Vec<(String, Secret)>,
    pub(super) remarks: Vec<String>,
}

/// The entry that the arguments are rewritten for.
pub(super) struct EntryContext<'a> {
    pub(super) client: Client,
    /// The server's name.
    pub(super) server: &'a str,
    /// The environment that `config` runs in.
    pub(super) environment: &'a Environment,
    /// The variables that the entry has already.
    pub(super) given: &'a [String],
}

/// Returns whether a text is one reference and nothing else.
pub(super) fn is_whole_reference(text: &str) -> bool {
    text.starts_with("${")
        && text.ends_with('}')
        && text.matches(['{', '}']).count() == 2
        && !text.contains(":-")
}

/// The name of a variable in capitals, from the names of other things.
pub(super) fn variable_name(parts: [&str; 2]) -> String {
    let words = parts.join("_");
    let mut name = String::new();
    for letter in words.chars() {
        match letter.is_ascii_alphanumeric() {
            true => name.push(letter.to_ascii_uppercase()),
            false if !name.ends_with('_') && !name.is_empty() => name.push('_'),
            false => {}
        }
    }
    match name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
        true => format!("MCP_{name}"),
        false => name,
    }
}

/// Goes through all words.
pub(super) fn rewrite_args(words: Vec<Arg>, context: &EntryContext<'_>) -> RewrittenArgs {
    let has_file = words.iter().any(|word| matches!(word, Arg::Option { name, .. } if name == "--env-file"));
    let mut named = context.given.to_vec();
    for word in &words {
        let (Arg::Positional(text) | Arg::Option { value: Some(text), .. }) = word else { continue };
        named.extend(expand::variables(text).into_iter().map(|(variable, _)| variable));
    }
    let mut rewriter =
        Rewriter { context, has_file, named, secrets: Vec::new(), rewritten: RewrittenArgs::default() };
    for word in words {
        let word = rewriter.word(word);
        word.into_iter().for_each(|word| word.write(&mut rewriter.rewritten.arguments));
    }
    rewriter.rewritten
}

struct Rewriter<'a> {
    context: &'a EntryContext<'a>,
    /// Whether a file may hold variables.
    has_file: bool,
    /// The variables that the entry has, or that its arguments name: they hold something else.
    named: Vec<String>,
    /// The secrets that have a variable, with its name.
    secrets: Vec<(String, String)>,
    rewritten: RewrittenArgs,
}

impl Rewriter<'_> {
    /// The replacement of a word; none if it is left out.
    fn word(&mut self, word: Arg) -> Option<Arg> {
        let (name, value, is_joined) = match word {
            Arg::Positional(text) => return Some(Arg::Positional(self.url("the URL", text))),
            Arg::Option { name, value: Some(value), is_joined } => (name, value, is_joined),
            flag @ Arg::Option { value: None, .. } => return Some(flag),
        };
        let value = match name.as_str() {
            "--header" => self.header(value),
            "--static-oauth-client-info" => self.client_info(&name, "", value),
            "--enterprise-client-info" => self.client_info(&name, "ENTERPRISE_", value),
            "--static-oauth-client-metadata" => self.client_metadata(value),
            "--authorize-param" => self.parameter(value),
            "--token-endpoint"
            | "--client-metadata-url"
            | "--resource"
            | "--auth-success-url"
            | "--oauth-issuer"
            | "--enterprise-idp"
                if value.contains("://") =>
            {
                self.url(&format!("the value of {name}"), value)
            }
            "--header-from" | "--access-token-command" | "--token-store" => self.command(&name, value),
            "--workload-identity" | "--enterprise-id-token" if value.starts_with("command:") => {
                self.command(&name, value)
            }
            "--proxy" if value.contains(['@', '?']) => {
                self.proxy(&value);
                return None;
            }
            "--header-file" | "--env-file" | "--ca-cert" | "--client-cert" | "--client-key"
            | "--log-file" | "--record" => {
                let is_whole = value.starts_with(['/', '~', '\\']) || value.get(1..2) == Some(":");
                if !is_whole {
                    self.rewritten.remarks.push(format!(
                        "the path of {name} is relative to the folder in which the client starts: write the full path"
                    ));
                }
                value
            }
            _ => value,
        };
        Some(Arg::Option { name, value: Some(value), is_joined })
    }

    fn header(&mut self, written: String) -> String {
        let Some((name, value)) = written.split_once(':') else { return written };
        let (name, value) = (name.trim(), value.trim());
        let client = self.context.client;
        let before: Vec<String> = self.rewritten.variables.iter().map(|known| known.name.clone()).collect();
        let filled = if refers(name, value, client) {
            for (variable, has_default) in expand::variables(value) {
                self.refer(&variable, !has_default);
            }
            let fills_others =
                [Client::Cursor, Client::Windsurf, Client::VsCode, Client::Cline].contains(&client);
            let expanded = expand::expand(value, |_| Some("x".to_owned()));
            if let (Err(expand::Error::NoName(_)), false) = (expanded, fills_others) {
                self.rewritten.remarks.push(format!(
                    "the header {name} holds a variable in a form that neither {} nor mcp-tether expands: write ${{NAME}}",
                    client.title()
                ));
            }
            written.clone()
        } else if is_secret(name, value) && !value.is_empty() {
            // The text before the secret stays.
            let (scheme, secret) = match value.split_once(' ') {
                Some((scheme, secret)) if is_scheme(scheme) => (format!("{scheme} "), secret.trim_start()),
                _ => (String::new(), value),
            };
            let called = match name.to_ascii_lowercase().as_str() {
                "cf-access-client-id" => "CF_ACCESS_CLIENT_ID".to_owned(),
                "cf-access-client-secret" => "CF_ACCESS_CLIENT_SECRET".to_owned(),
                _ if scheme.eq_ignore_ascii_case("bearer ") => variable_name([self.context.server, "TOKEN"]),
                header => variable_name([self.context.server, header.trim_start_matches("x-")]),
            };
            let variable = self.hide(&format!("the value of the header {name}"), &called, secret);
            format!("{name}: {scheme}${{{variable}}}")
        } else {
            written.clone()
        };
        match client.cuts_arguments() {
            true => self.without_spaces(&filled, &before),
            false => filled,
        }
    }

    /// A header without a space, for clients that cut arguments there: the whole value in a variable where it has one.
    /// `before` are the variables that something else needs.
    fn without_spaces(&mut self, header: &str, before: &[String]) -> String {
        let Some((name, value)) = header.split_once(':') else { return header.to_owned() };
        let (name, value) = (name.trim(), value.trim());
        let variables = expand::variables(value);
        let is_plain = !value.contains(' ') || variables.iter().any(|(_, has_default)| *has_default);
        if is_plain {
            return format!("{name}:{value}");
        }
        let mut text = value.to_owned();
        for (variable, _) in &variables {
            let given = self.context.given.contains(variable);
            let Some(reference) = self.context.client.reference(variable, true).filter(|_| !given) else {
                // The entry holds its value, and no text can be put before it.
                return format!("{name}:{value}");
            };
            text = text.replace(&format!("${{{variable}}}"), &reference);
            self.rewritten.variables.retain(|known| known.name != *variable || before.contains(variable));
        }
        let whole = variable_name([self.context.server, &format!("{name}_HEADER")]);
        self.rewritten.variables.push(Variable { name: whole.clone(), text: Some(text), is_needed: true });
        format!("{name}:${{{whole}}}")
    }

    /// The secrets of a client that is registered, in JSON: the proxy fills variables in there.
    fn client_info(&mut self, option: &str, prefix: &str, value: String) -> String {
        for (variable, has_default) in expand::variables(&value) {
            self.refer(&variable, !has_default);
        }
        if value.starts_with('@') || is_whole_reference(&value) {
            return value;
        }
        let called = variable_name([self.context.server, &format!("{prefix}CLIENT_INFO")]);
        let members = json::typed_members(&value);
        if members.is_empty() {
            // Its meaning is unknown; a variable may hold the whole.
            let variable =
                self.hide(&format!("the value of {option}, which is no JSON object,"), &called, &value);
            return format!("${{{variable}}}");
        }
        let mut is_changed = false;
        let replaced = sensitive::replace_secrets(&value, &mut |name, text| {
            is_changed = true;
            let secret = json::string(text).unwrap_or_else(|| text.to_owned());
            let called = variable_name([self.context.server, &format!("{prefix}{name}")]);
            let variable = self.hide(&format!("the {name} of {option}"), &called, &secret);
            json::quoted(&format!("${{{variable}}}"))
        });
        match replaced {
            Some(replaced) if is_changed => replaced,
            Some(_) => value,
            None => format!("${{{}}}", self.hide(&format!("the value of {option}"), &called, &value)),
        }
    }

    /// The secrets of what is registered of a client, in JSON: only a client that fills arguments in does so there.
    fn client_metadata(&mut self, value: String) -> String {
        const OPTION: &str = "--static-oauth-client-metadata";
        if value.starts_with('@') || is_whole_reference(&value) {
            return value;
        }
        let called = variable_name([self.context.server, "CLIENT_METADATA"]);
        if json::typed_members(&value).is_empty() {
            return self.fill(&format!("the value of {OPTION}, which is no JSON object,"), &called, &value);
        }
        let mut is_changed = false;
        let replaced = sensitive::replace_secrets(&value, &mut |name, text| {
            is_changed = true;
            let secret = json::string(text).unwrap_or_else(|| text.to_owned());
            let called = variable_name([self.context.server, name]);
            json::quoted(&self.fill(&format!("the {name} of {OPTION}"), &called, &secret))
        });
        match replaced {
            Some(replaced) if is_changed => replaced,
            Some(_) => value,
            None => self.fill(&format!("the value of {OPTION}"), &called, &value),
        }
    }

    /// A parameter of the page to sign in at.
    fn parameter(&mut self, written: String) -> String {
        let Some((name, value)) = written.split_once('=') else {
            let called = variable_name([self.context.server, "PARAMETER"]);
            return self.fill("the value of --authorize-param, which is not NAME=VALUE,", &called, &written);
        };
        if value.is_empty() || refers(name, value, self.context.client) || !is_secret(name, value) {
            return written;
        }
        let called = variable_name([self.context.server, name]);
        let filled = self.fill(&format!("the value of {name} in --authorize-param"), &called, value);
        format!("{name}={filled}")
    }

    /// The replacement of a secret that only the client can expand: its reference to a variable, or a placeholder for the
    /// user.
    fn fill(&mut self, what: &str, called: &str, secret: &str) -> String {
        let client = self.context.client;
        if client.fills_arguments() {
            let variable = self.hide(what, called, secret);
            return client.reference(&variable, true).unwrap_or_default();
        }
        let (title, text) = (client.title(), placeholder(called));
        self.rewritten.remarks.push(format!(
            "{what} may be a secret and is not printed, and {title} fills nothing in there: put it in the place of {text}, and keep \
             the file to yourself"
        ));
        text
    }

    /// A command, in which nothing is filled in: it is run without a shell.
    fn command(&mut self, option: &str, written: String) -> String {
        let text = placeholder(&variable_name([self.context.server, "SECRET"]));
        let (header, command) = match written.split_once(':') {
            Some((header, command)) if option == "--header-from" => (Some(header), command.trim_start()),
            Some((source, command)) if option != "--access-token-command" => (Some(source), command),
            _ => (None, written.as_str()),
        };
        let Some(hidden) = secret_commands::without_secrets(command, &text, self.context.client) else {
            return written;
        };
        self.rewritten.remarks.push(format!(
            "a part of {option} looks like a secret and is not printed: put it in the place of {text}, or let the command \
             read it from a safe place"
        ));
        match header {
            Some(header) if option == "--header-from" => format!("{header}: {hidden}"),
            Some(source) => format!("{source}:{hidden}"),
            None => hidden,
        }
    }

    /// A proxy with a password: the HTTP library knows a variable for it.
    fn proxy(&mut self, url: &str) {
        let variable = "HTTPS_PROXY";
        self.rewritten
            .hidden
            .push(("the URL of --proxy, which holds a password,".to_owned(), variable.to_owned()));
        self.rewritten.typed.push((variable.to_owned(), Secret::new(url)));
        self.secrets.push((url.to_owned(), variable.to_owned()));
        self.refer(variable, true);
    }

    /// An address, whose query may hold secrets: a reference where the client fills arguments in, because mcp-tether does not.
    fn url(&mut self, what: &str, text: String) -> String {
        let client = self.context.client;
        let url = text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(mut url) = url else {
            // It is refused when the entry is started, and its content is unknown.
            return match text.split_once('?') {
                _ if text.contains("://") && text.contains('@') => sensitive::MASKED.to_owned(),
                Some((start, _)) => format!("{start}?{}", sensitive::MASKED),
                None => sensitive::mask_urls(&text, client),
            };
        };
        // The fragment is not sent.
        let mut text = text.split('#').next().unwrap_or_default().to_owned();
        url.set_fragment(None);
        if !url.username().is_empty() || url.password().is_some() {
            self.rewritten.remarks.push(format!(
                "the user name and password in {what} are left out: send them as --header \"Authorization: Basic ${{VAR}}\""
            ));
            let (_, _) = (url.set_username(""), url.set_password(None));
            text = url.to_string();
        }
        if url.path().split('/').any(looks_random) {
            self.rewritten.remarks.push(format!(
                "a part of the path of {what} looks like a secret: it is part of the entry, because a path cannot hold a variable"
            ));
        }
        let Some((start, query)) = text.split_once('?') else { return text };
        let parts = query.split('&').map(|part| {
            let (name, value) = part.split_once('=').unwrap_or(("", part));
            if refers(name, value, client) || is_open_value(name, value) || value.is_empty() {
                return part.to_owned();
            }
            let called = variable_name([self.context.server, if name.is_empty() { "QUERY" } else { name }]);
            match part.contains('=') {
                true => {
                    format!("{name}={}", self.fill(&format!("the value of {name} in {what}"), &called, value))
                }
                false => self.fill(&format!("the query of {what}"), &called, value),
            }
        });
        format!("{start}?{}", parts.collect::<Vec<_>>().join("&"))
    }

    /// Has a variable take the place of a secret; gives its name.
    fn hide(&mut self, what: &str, called: &str, secret: &str) -> String {
        if let Some((_, known)) = self.secrets.iter().find(|(held, _)| held == secret).cloned() {
            self.refer(&known, true);
            return known;
        }
        // The shell has filled it in where it was typed.
        let held = self.context.environment.holding(secret).filter(|_| secret.len() >= 8);
        let is_taken = |name: &str| {
            self.secrets.iter().any(|(_, known)| known == name)
                || self.named.iter().any(|named| named == name)
        };
        let variable = match held {
            Some(name) => name.to_owned(),
            None => (1..)
                .map(|count| if count == 1 { called.to_owned() } else { format!("{called}_{count}") })
                .find(|name| !is_taken(name))
                .unwrap_or_default(),
        };
        if secret.contains("${") {
            self.rewritten.remarks.push(format!(
                "{what} has text beside a reference: set {variable} to the whole text, which is not expanded again"
            ));
        }
        self.rewritten.typed.push((variable.clone(), Secret::new(secret)));
        self.secrets.push((secret.to_owned(), variable.clone()));
        self.rewritten.hidden.push((what.to_owned(), variable.clone()));
        self.refer(&variable, true);
        variable
    }

    /// Has the entry pass a variable on.
    fn refer(&mut self, variable: &str, is_needed: bool) {
        let is_given = self.context.given.iter().any(|given| given == variable);
        let is_in_file = self.has_file && self.context.environment.get(variable).is_none();
        let is_hidden = self.secrets.iter().any(|(_, known)| known == variable);
        if is_given || is_in_file && !is_hidden {
            return;
        }
        match self.rewritten.variables.iter_mut().find(|known| known.name == variable) {
            Some(known) => known.is_needed |= is_needed,
            None => {
                let name = variable.to_owned();
                self.rewritten.variables.push(Variable { name, text: None, is_needed });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(client: Client, arguments: &[&str]) -> RewrittenArgs {
        let environment = [("SHELL_TOKEN".to_owned(), "marked-from-shell".to_owned())].into_iter().collect();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let context = EntryContext { client, server: "my-api", environment: &environment, given: &[] };
        rewrite_args(super::super::args::read(arguments, |_| None), &context)
    }

    fn names(rewritten: &RewrittenArgs) -> Vec<&str> {
        rewritten.variables.iter().map(|variable| variable.name.as_str()).collect()
    }

    #[test]
    fn secrets_become_references_and_references_stay() {
        for (written, expected, variables) in [
            ("Authorization: Bearer marked", "Authorization: Bearer ${MY_API_TOKEN}", &["MY_API_TOKEN"][..]),
            (
                "authorization:Basic marked==",
                "authorization: Basic ${MY_API_AUTHORIZATION}",
                &["MY_API_AUTHORIZATION"],
            ),
            (
                "Authorization: Bearer marked-from-shell",
                "Authorization: Bearer ${SHELL_TOKEN}",
                &["SHELL_TOKEN"],
            ),
            ("X-API-Key: marked", "X-API-Key: ${MY_API_API_KEY}", &["MY_API_API_KEY"]),
            (
                "CF-Access-Client-Secret: marked",
                "CF-Access-Client-Secret: ${CF_ACCESS_CLIENT_SECRET}",
                &["CF_ACCESS_CLIENT_SECRET"],
            ),
            ("X-Thing: markedmarkedmarked0123", "X-Thing: ${MY_API_THING}", &["MY_API_THING"]),
            ("X-API-Key: marked in words", "X-API-Key: ${MY_API_API_KEY}", &["MY_API_API_KEY"]),
            ("Cookie: a=marked; b=c", "Cookie: ${MY_API_COOKIE}", &["MY_API_COOKIE"]),
            ("X-Tenant: acme", "X-Tenant: acme", &[]),
            ("X-API-Key: ${KEY}", "X-API-Key: ${KEY}", &["KEY"]),
            ("X: ${KEY:-none}/${OTHER}", "X: ${KEY:-none}/${OTHER}", &["KEY", "OTHER"]),
        ] {
            let found = rewritten(Client::Codex, &["https://h/mcp", "--header", written]);
            assert_eq!(found.arguments, ["https://h/mcp", "--header", expected]);
            assert_eq!(names(&found), variables, "{written}");
            assert!(!format!("{found:?}").contains("marked"), "{found:?}");
        }
    }

    #[test]
    fn text_beside_reference_moves_into_variable_with_remark() {
        for (written, expected) in [
            ("Authorization: Bearer marked-${STAGE}", "Authorization: Bearer ${MY_API_TOKEN}"),
            ("X-Api-Key: marked${TENANT}", "X-Api-Key: ${MY_API_API_KEY}"),
        ] {
            let found = rewritten(Client::Codex, &["--header", written]);
            assert_eq!(found.arguments, ["--header", expected]);
            assert_eq!(found.remarks.len(), 1, "{found:?}");
            assert!(!format!("{found:?}").contains("marked"), "{found:?}");
        }
    }

    #[test]
    fn issuer_is_printed_without_user_and_query_value() {
        let found = rewritten(Client::Codex, &["--oauth-issuer", "https://u:marked@h.example/x?key=marked"]);
        assert_eq!(found.arguments, ["--oauth-issuer", "https://h.example/x?key=your-my-api-key"]);
    }

    #[test]
    fn one_secret_has_one_variable_and_two_have_two() {
        let header = |value| ["--header", value];
        let found = [
            header("Authorization: Bearer marked1"),
            header("X-Token: marked1"),
            header("A-Key: marked2"),
            header("a-key: marked3"),
        ]
        .concat();
        let found = rewritten(Client::ClaudeCode, &found);
        let values: Vec<&str> = found.arguments.iter().skip(1).step_by(2).map(String::as_str).collect();
        assert_eq!(
            values,
            [
                "Authorization: Bearer ${MY_API_TOKEN}",
                "X-Token: ${MY_API_TOKEN}",
                "A-Key: ${MY_API_A_KEY}",
                "a-key: ${MY_API_A_KEY_2}"
            ]
        );
    }

    #[test]
    fn no_argument_has_space_for_client_that_splits() {
        for (written, argument, text) in [
            ("X-API-Key: ${KEY}", "X-API-Key:${KEY}", None),
            (
                "Authorization: Bearer ${KEY}",
                "Authorization:${MY_API_AUTHORIZATION_HEADER}",
                Some("Bearer ${env:KEY}"),
            ),
            (
                "Authorization: Bearer marked",
                "Authorization:${MY_API_AUTHORIZATION_HEADER}",
                Some("Bearer ${env:MY_API_TOKEN}"),
            ),
            ("X-Words: a b", "X-Words:${MY_API_X_WORDS_HEADER}", Some("a b")),
        ] {
            let found = rewritten(Client::Cursor, &["--header", written]);
            assert_eq!(found.arguments[1], argument);
            assert_eq!(
                found.variables.last().and_then(|variable| variable.text.as_deref()),
                text,
                "{written}"
            );
        }
    }

    #[test]
    fn secrets_outside_headers_are_hidden() {
        let url = "https://h/mcp?api_key=marked&page=1";
        assert_eq!(
            rewritten(Client::ClaudeCode, &[url]).arguments,
            ["https://h/mcp?api_key=${MY_API_API_KEY}&page=1"]
        );
        assert_eq!(
            rewritten(Client::VsCode, &[url]).arguments,
            ["https://h/mcp?api_key=${input:my-api-api-key}&page=1"]
        );
        let literal = rewritten(Client::Codex, &[url]);
        assert_eq!(literal.arguments, ["https://h/mcp?api_key=your-my-api-api-key&page=1"]);
        assert_eq!(literal.remarks.len(), 1);
        let info = rewritten(
            Client::Zed,
            &["--static-oauth-client-info", r#"{"client_id":"x","client_secret":"marked"}"#],
        );
        assert_eq!(info.arguments[1], r#"{"client_id":"x","client_secret":"${MY_API_CLIENT_SECRET}"}"#);
        let found = rewritten(Client::ClaudeCode, &["https://h/mcp?a=1#marked"]);
        assert_eq!(found.arguments, ["https://h/mcp?a=1"]);
        let secret = "hvs.CAESIJabc1230marked";
        for (option, written, expected) in [
            (
                "--header-from",
                format!("X-K: vault read '{secret}' -x"),
                "X-K: vault read your-my-api-secret -x",
            ),
            (
                "--access-token-command",
                "cloudflared access token --app=https://h-0123456789abcdef/".to_owned(),
                "",
            ),
            (
                "--workload-identity",
                format!("command:vault read '{secret}' -x"),
                "command:vault read your-my-api-secret -x",
            ),
            ("--workload-identity", "file:/var/run/secrets/0123456789abcdef".to_owned(), ""),
            (
                "--token-store",
                format!("command:/bin/vault.sh '{secret}'"),
                "command:/bin/vault.sh your-my-api-secret",
            ),
            ("--token-store", "command:/bin/pass.sh".to_owned(), ""),
        ] {
            let found = rewritten(Client::Codex, &[option, &written]);
            assert_eq!(found.arguments[1], if expected.is_empty() { &written } else { expected });
            assert_eq!(found.remarks.len(), usize::from(!expected.is_empty()));
        }
        for (info, expected) in [
            (
                r#"{"client_id":"${ID}","client_secret":"marked"}"#,
                r#"{"client_id":"${ID}","client_secret":"${MY_API_CLIENT_SECRET}"}"#,
            ),
            (
                r#"{"client_id":"x","private_key":"marked","client_secret":null}"#,
                r#"{"client_id":"x","private_key":"${MY_API_PRIVATE_KEY}","client_secret":null}"#,
            ),
            (
                r#"{"client_id":"x","private_key":{"d":"marked"}}"#,
                r#"{"client_id":"x","private_key":"${MY_API_PRIVATE_KEY}"}"#,
            ),
            (
                r#"{"client_id":"x","private_key":"@key.pem"}"#,
                r#"{"client_id":"x","private_key":"@key.pem"}"#,
            ),
            (r#"{"client_id":"x","client_secret":"marked""#, "${MY_API_CLIENT_INFO}"),
            (r#"{"client_id":"${ID}","client_secret":"marked}"#, "${MY_API_CLIENT_INFO}"),
            ("${INFO}", "${INFO}"),
            ("@/etc/info.json", "@/etc/info.json"),
        ] {
            let found = rewritten(Client::Codex, &["--static-oauth-client-info", info]);
            assert_eq!(found.arguments[1], expected);
        }
        let found = rewritten(
            Client::Codex,
            &["--enterprise-client-info", r#"{"client_id":"x","client_secret":"marked"}"#],
        );
        assert_eq!(
            found.arguments[1],
            r#"{"client_id":"x","client_secret":"${MY_API_ENTERPRISE_CLIENT_SECRET}"}"#
        );
        let proxy = rewritten(Client::Codex, &["--proxy", "http://u:marked@p:1", "--ipv4"]);
        assert_eq!(
            (proxy.arguments.as_slice(), names(&proxy)),
            (["--ipv4".to_owned()].as_slice(), vec!["HTTPS_PROXY"])
        );
    }

    #[test]
    fn named_variable_gets_no_other_value() {
        let arguments = [
            "--header",
            "Authorization: Bearer marked",
            "--header",
            "X: ${MY_API_TOKEN}",
            "https://h/${MY_API_TOKEN_2}",
        ];
        let found = rewritten(Client::Codex, &arguments);
        assert_eq!(found.arguments[1], "Authorization: Bearer ${MY_API_TOKEN_3}");
        assert_eq!(variable_name(["ключ", ""]), "MCP_");
    }

    #[test]
    fn text_that_resembles_reference_is_hidden() {
        for (client, value, is_reference) in [
            (Client::Gemini, "Bearer pa$word", false),
            (Client::Gemini, "$KEY", true),
            (Client::Gemini, "Bearer $KEY_2", true),
            (Client::Codex, "$KEY", false),
            (Client::Cursor, "Bearer ${env:KEY}", true),
        ] {
            assert_eq!(refers("", value, client), is_reference, "{client:?} {value}");
        }
        let found = rewritten(Client::Codex, &["--header", "X-Key: ${env:KEY}"]);
        assert_eq!(found.remarks.len(), 1, "{found:?}");
        let found = rewritten(Client::Codex, &["https://user:marked@h.example/mcp"]);
        assert_eq!(
            (found.arguments.as_slice(), found.remarks.len()),
            (["https://h.example/mcp".to_owned()].as_slice(), 1)
        );
    }

    #[test]
    fn variables_of_a_file_are_not_passed_on() {
        let found =
            rewritten(Client::ClaudeCode, &["--env-file", "/x", "--header", "A: ${IN_FILE}${SHELL_TOKEN}"]);
        assert_eq!(names(&found), ["SHELL_TOKEN"]);
    }
}
