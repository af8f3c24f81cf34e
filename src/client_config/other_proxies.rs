//! Other proxies between a client and a remote server: supergateway, mcp-proxy and `cloudflared access`.
//!
//! Deliberately not here: mcp-remote, and the shells and package runners around it (`launch_command`).

use serde_json::json;

use super::launch_command::{LaunchCommand, program};
use super::value::Table;

/// What replaces a command that goes through `cloudflared access`.
pub(super) const CLOUDFLARED: &str = "cloudflared access forwards the connection there: use mcp-tether URL --access-token-command \"cloudflared access token --app=URL\" instead";

/// The variable whose value mcp-proxy sends as a bearer token.
const TOKEN: &str = "API_ACCESS_TOKEN";

/// Programs that run packages of npm or Python.
const RUNNERS: [&str; 12] =
    ["npx", "bunx", "pnpx", "npm", "pnpm", "yarn", "bun", "uvx", "uv", "pipx", "cmd", "node"];

/// Recognizes the program that a command line starts, if it is one of these.
pub(super) fn recognize(words: &[String]) -> Option<LaunchCommand> {
    let first = program(words.first()?);
    if first == "cloudflared" && words.get(1).is_some_and(|word| word == "access") {
        return Some(LaunchCommand::NotReplaceable(CLOUDFLARED));
    }
    let package = |word: &String| {
        let name = program(word);
        let name = name.split(['@', '=']).next().unwrap_or_default().to_owned();
        ["supergateway", "mcp-proxy"].contains(&name.as_str()).then_some(name)
    };
    // Behind npx and the like, a path is an argument of another package.
    let is_path = |word: &str| word.contains(['/', '\\']) && first != "node";
    let is_package = |(at, word): (usize, &String)| package(word).is_some() && (at == 0 || !is_path(word));
    let at = words.iter().enumerate().position(is_package)?;
    if at > 0 && !RUNNERS.contains(&first.as_str()) {
        return None;
    }
    let name = words.get(at).and_then(package)?;
    let launcher: Vec<String> = words.iter().take(at.saturating_add(1)).cloned().collect();
    let rest: Vec<String> = words.iter().skip(at.saturating_add(1)).cloned().collect();
    let (arguments, mut remarks) = match name.as_str() {
        "supergateway" => of_supergateway(rest),
        _ => of_mcp_proxy(rest),
    };
    if !arguments.iter().any(|argument| argument.contains("://")) {
        return Some(LaunchCommand::NotReplaceable("it serves a local server over HTTP: it is left alone"));
    }
    remarks.push(format!("the arguments of {name} are translated"));
    Some(LaunchCommand::Replaceable { launcher, arguments, variables: Vec::new(), remarks })
}

/// The arguments, with the header that mcp-proxy makes of a variable of its entry.
pub(super) fn with_token(
    launcher: &[String],
    environment: &Table,
    mut arguments: Vec<String>,
) -> Vec<String> {
    let is_proxy = launcher.last().is_some_and(|word| program(word).starts_with("mcp-proxy"));
    let has_header = arguments.iter().any(|word| word.to_ascii_lowercase().starts_with("authorization:"));
    if is_proxy && environment.get(TOKEN).is_some() && !has_header {
        arguments.extend(["--header".to_owned(), format!("Authorization: Bearer ${{{TOKEN}}}")]);
    }
    arguments
}

/// Splits `--name=value` into two words.
fn split_options(words: Vec<String>) -> Vec<String> {
    let parts = words.into_iter().flat_map(|word| match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
        Some(_) | None => vec![word],
    });
    parts.collect()
}

/// What a remark says about an option that mcp-tether does not have.
const LEFT_OUT: &str = "is left out: mcp-tether has no such option";

/// Returns whether a remark names an option whose effect is lost.
pub(super) fn is_loss(remark: &str) -> bool {
    remark.ends_with(LEFT_OUT)
}

fn left_out(option: &str, remarks: &mut Vec<String>) {
    let name = option.get(..2).filter(|_| !option.starts_with("--")).unwrap_or(option);
    remarks.push(format!("{name} {LEFT_OUT}"));
}

/// An option for the log changes nothing between client and server.
fn log_option(option: &str, remarks: &mut Vec<String>) {
    remarks.push(format!("{option} has no counterpart: --debug writes a log file"));
}

fn of_supergateway(words: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut arguments, mut remarks) = (Vec::new(), Vec::new());
    let mut rest = split_options(words).into_iter().peekable();
    while let Some(word) = rest.next() {
        let mut value = || rest.next_if(|next| !next.starts_with("--")).unwrap_or_default();
        match word.as_str() {
            "--streamableHttp" => arguments.push(value()),
            "--sse" => arguments.extend([value(), "--transport".to_owned(), "sse-only".to_owned()]),
            "--header" => arguments.extend(["--header".to_owned(), value()]),
            "--oauth2Bearer" => {
                arguments.extend(["--header".to_owned(), format!("Authorization: Bearer {}", value())]);
            }
            "--logLevel" => {
                log_option(&word, &mut remarks);
                value();
            }
            option if option.starts_with('-') => {
                let value = value();
                // That is what it does with these servers anyway.
                if (option, value.as_str()) != ("--outputTransport", "stdio") {
                    left_out(option, &mut remarks);
                }
            }
            _ => {}
        }
    }
    (arguments, remarks)
}

fn of_mcp_proxy(words: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut arguments, mut remarks) = (Vec::new(), Vec::new());
    let mut client = Vec::new();
    let mut rest = split_options(words).into_iter().peekable();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-H" | "--headers" => {
                let (name, value) = (rest.next().unwrap_or_default(), rest.next().unwrap_or_default());
                arguments.extend(["--header".to_owned(), format!("{name}: {value}")]);
            }
            "--transport" => {
                if rest.next().as_deref() == Some("sse") {
                    arguments.extend(["--transport".to_owned(), "sse-first".to_owned()]);
                }
            }
            "--client-id" | "--client-secret" | "--token-url" => {
                client.push((word, rest.next().unwrap_or_default()));
            }
            // A file with the authorities, or true or false.
            "--verify-ssl" => match rest.next_if(|next| !is_url(next) && !next.starts_with('-')) {
                Some(file) if file.contains(['/', '\\', '.']) => {
                    arguments.extend(["--ca-cert".to_owned(), file]);
                }
                Some(value) if value.eq_ignore_ascii_case("true") => {}
                Some(_) => left_out(&word, &mut remarks),
                None => {}
            },
            "--log-level" => {
                log_option(&word, &mut remarks);
                rest.next();
            }
            "--debug" | "--no-debug" => log_option(&word, &mut remarks),
            option if option.starts_with('-') => left_out(option, &mut remarks),
            _ if is_url(&word) => arguments.push(word),
            // A program that it would start: the other direction.
            _ => return (Vec::new(), remarks),
        }
    }
    arguments.extend(client_credentials(&client, &mut remarks));
    (arguments, remarks)
}

fn is_url(word: &str) -> bool {
    word.starts_with("https://") || word.starts_with("http://")
}

/// The client credentials grant of mcp-proxy, which wants all three options.
fn client_credentials(given: &[(String, String)], remarks: &mut Vec<String>) -> Vec<String> {
    let value = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let (Some(id), Some(secret), Some(url)) =
        (value("--client-id"), value("--client-secret"), value("--token-url"))
    else {
        given.iter().for_each(|(name, _)| left_out(name, remarks));
        return Vec::new();
    };
    let client = json!({ "client_id": id, "client_secret": secret }).to_string();
    ["--client-credentials", "--static-oauth-client-info", &client, "--token-endpoint", url]
        .map(str::to_owned)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_proxies_are_translated_or_left_alone() {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        for (line, expected) in [
            (
                "npx -y supergateway --streamableHttp https://h/mcp --oauth2Bearer t",
                "https://h/mcp --header Authorization: Bearer t",
            ),
            (
                "npx -y supergateway@3 --sse=https://h/sse --header X:y --logLevel none",
                "https://h/sse --transport sse-only --header X:y",
            ),
            (
                "npx -y supergateway --sse https://h/sse --outputTransport stdio",
                "https://h/sse --transport sse-only",
            ),
            ("uvx mcp-proxy --transport=streamablehttp -H Authorization x https://h/mcp", "https://h/mcp"),
            (
                "mcp-proxy --headers X-Key y --transport sse https://h/sse",
                "--header X-Key: y --transport sse-first https://h/sse",
            ),
            ("mcp-proxy --log-level DEBUG --debug https://h/mcp", "https://h/mcp"),
            ("mcp-proxy --verify-ssl /etc/ca.pem https://h/mcp", "--ca-cert /etc/ca.pem https://h/mcp"),
            ("mcp-proxy --verify-ssl https://h/mcp --no-verify-ssl", "https://h/mcp"),
            (
                "mcp-proxy https://h/mcp --client-id i --client-secret=s --token-url https://h/t",
                "https://h/mcp --client-credentials --static-oauth-client-info {\"client_id\":\"i\",\"client_secret\":\"s\"} --token-endpoint https://h/t",
            ),
            ("mcp-proxy https://h/mcp --client-id i", "https://h/mcp"),
        ] {
            let Some(LaunchCommand::Replaceable { arguments, remarks, .. }) = recognize(&words(line)) else {
                panic!("{line}")
            };
            let is_lossy = line.contains("verify-ssl https") || line.ends_with("--client-id i");
            assert_eq!(remarks.iter().any(|remark| is_loss(remark)), is_lossy, "{line}: {remarks:?}");
            assert!(arguments.join(" ").ends_with(expected), "{line}: {arguments:?}");
        }
        for line in [
            "npx -y supergateway --stdio x --port 8000",
            "mcp-proxy --port 8080 uvx server",
            "cloudflared access tcp --hostname h",
        ] {
            assert!(matches!(recognize(&words(line)), Some(LaunchCommand::NotReplaceable(_))), "{line}");
        }
        assert_eq!(recognize(&words("python mcp-proxy https://h")), None);
    }

    #[test]
    fn token_of_mcp_proxy_becomes_header_once() {
        let environment = Table::of([(TOKEN, crate::client_config::value::Value::Text("t".to_owned()))]);
        let empty = Table::default();
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        let header = ["https://h/mcp", "--header", "Authorization: Bearer ${API_ACCESS_TOKEN}"];
        let with = |launcher, environment| with_token(&words(launcher), environment, words("https://h/mcp"));
        assert_eq!(with("uvx mcp-proxy@1.2", &environment), header);
        assert_eq!(with("uvx mcp-proxy", &empty), ["https://h/mcp"]);
        assert_eq!(with("npx mcp-remote", &environment), ["https://h/mcp"]);
        let own = vec!["https://h/mcp".to_owned(), "--header".to_owned(), "Authorization: x".to_owned()];
        assert_eq!(with_token(&words("mcp-proxy"), &environment, own.clone()), own);
    }
}
