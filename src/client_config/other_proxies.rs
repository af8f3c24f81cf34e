//! Other proxies between a client and a remote server: supergateway, mcp-proxy and `cloudflared access`.
//!
//! Deliberately not here: mcp-remote, and the shells and package runners around it (`launch_command`).

use super::launch_command::{LaunchCommand, program};

/// Programs that run packages of npm or Python.
const RUNNERS: [&str; 12] =
    ["npx", "bunx", "pnpx", "npm", "pnpm", "yarn", "bun", "uvx", "uv", "pipx", "cmd", "node"];

/// Recognizes the program that a command line starts, if it is one of these.
pub(super) fn recognize(words: &[String]) -> Option<LaunchCommand> {
    let first = program(words.first()?);
    if first == "cloudflared" && words.get(1).is_some_and(|word| word == "access") {
        return Some(LaunchCommand::NotReplaceable(
            "cloudflared access forwards the connection there: use mcp-tether URL --access-token-command \"cloudflared access token --app=URL\" instead",
        ));
    }
    let package = |word: &String| {
        let name = program(word);
        let name = name.split(['@', '=']).next().unwrap_or_default().to_owned();
        ["supergateway", "mcp-proxy"].contains(&name.as_str()).then_some(name)
    };
    let at = words.iter().position(|word| package(word).is_some())?;
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

/// Splits `--name=value` into two words.
fn split_options(words: Vec<String>) -> Vec<String> {
    let parts = words.into_iter().flat_map(|word| match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
        Some(_) | None => vec![word],
    });
    parts.collect()
}

fn left_out(option: &str, remarks: &mut Vec<String>) {
    let name = option.get(..2).filter(|_| !option.starts_with("--")).unwrap_or(option);
    remarks.push(format!("{name} is left out: mcp-tether has no such option"));
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
            option if option.starts_with('-') => {
                left_out(option, &mut remarks);
                value();
            }
            _ => {}
        }
    }
    (arguments, remarks)
}

fn of_mcp_proxy(words: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut arguments, mut remarks) = (Vec::new(), Vec::new());
    let mut rest = split_options(words).into_iter();
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
            "--client-id" | "--client-secret" | "--token-url" | "--verify-ssl" => {
                left_out(&word, &mut remarks);
                rest.next();
            }
            option if option.starts_with('-') => left_out(option, &mut remarks),
            _ if word.starts_with("https://") || word.starts_with("http://") => arguments.push(word),
            // A program to start: mcp-proxy as a server.
            _ => return (Vec::new(), remarks),
        }
    }
    (arguments, remarks)
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
            ("uvx mcp-proxy --transport=streamablehttp -H Authorization x https://h/mcp", "https://h/mcp"),
            (
                "mcp-proxy --headers X-Key y --transport sse https://h/sse",
                "--header X-Key: y --transport sse-first https://h/sse",
            ),
        ] {
            let Some(LaunchCommand::Replaceable { arguments, .. }) = recognize(&words(line)) else {
                panic!("{line}")
            };
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
}
