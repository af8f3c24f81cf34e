//! How entries start mcp-remote: through npx and similar runners, a shell, node or directly; and what its options mean in mcp-tether.
//!
//! Deliberately not here: reading the file (`document`), and hiding secrets (`secrets`).

use super::args::{self, Arg};
use super::other_proxies;
use crate::cli;

/// The program that a command line starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LaunchCommand {
    /// mcp-remote, or another proxy.
    Replaceable {
        /// The words before the arguments.
        launcher: Vec<String>,
        /// The arguments.
        arguments: Vec<String>,
        /// The variables that the command line sets.
        variables: Vec<(String, String)>,
        /// One sentence for each loss or change.
        remarks: Vec<String>,
    },
    /// mcp-remote, in a form that is not replaced, with the reason.
    NotReplaceable(&'static str),
    /// Another program.
    Unrelated,
}

/// Programs that run packages.
const RUNNERS: [&str; 17] = [
    "npx", "bunx", "pnpx", "npm", "pnpm", "yarn", "bun", "node", "nodejs", "deno", "volta", "mise", "asdf",
    "fnm", "nvm", "corepack", "sudo",
];

/// Options with another meaning in mcp-tether.
const DIFFERENT: [(&str, &str); 5] = [
    ("--enable-proxy", "it is not needed: HTTPS_PROXY, HTTP_PROXY and NO_PROXY always count"),
    ("--auth-timeout", "it limits how long a request waits for you to sign in; the sign-in itself continues"),
    (
        "--protocol",
        "legacy or modern names the era of the server; without it mcp-tether finds out, and translates between the eras",
    ),
    ("--debug", "the log is mcp-tether/HOST_debug.log in the same folder, and holds no token"),
    ("--silent", "a log file is still written"),
];

/// Variables that mcp-remote or Node reads, and their effect in mcp-tether.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("NODE_TLS_REJECT_UNAUTHORIZED", "has no effect on mcp-tether: name the authority with --ca-cert"),
    ("NODE_OPTIONS", "has no effect on mcp-tether"),
    ("HTTPS_PROXY", "is used without --enable-proxy"),
    ("HTTP_PROXY", "is used without --enable-proxy"),
];

/// Recognizes the program that a command line starts.
pub(super) fn recognize(command: &str, arguments: &[String]) -> LaunchCommand {
    let unwrapped = match unwrap_shells(command_words(command, arguments)) {
        Ok(unwrapped) => unwrapped,
        Err(launch) => return launch,
    };
    let first = program(unwrapped.words.first().map_or("", String::as_str));
    if ["docker", "podman", "nerdctl", "wsl"].contains(&first.as_str()) {
        let is_proxy = |word: &String| {
            ["mcp-remote", "supergateway", "mcp-proxy"].iter().any(|name| word.contains(name))
        };
        return match unwrapped.words.iter().any(is_proxy) {
            true => LaunchCommand::NotReplaceable("the proxy runs in a container there: it is left alone"),
            false => LaunchCommand::Unrelated,
        };
    }
    match other_proxies::recognize(&unwrapped.words) {
        Some(launch) => launch,
        None => recognize_package(&first, unwrapped),
    }
}

/// The words of a command line. Some clients ask for a whole line as the command.
fn command_words(command: &str, arguments: &[String]) -> Vec<String> {
    if arguments.is_empty() && command.contains(' ') && command.contains("mcp-remote") {
        return match command.contains('\\') {
            true => windows_words(command),
            false => shell_words::split(command).unwrap_or_default(),
        };
    }
    std::iter::once(command.to_owned()).chain(arguments.iter().cloned()).collect()
}

/// A command line without the shells that start it.
#[derive(Default)]
struct Unwrapped {
    /// The words of the shells.
    launcher: Vec<String>,
    /// The variables that the command line sets.
    variables: Vec<(String, String)>,
    /// The words of the program.
    words: Vec<String>,
}

/// Removes `cmd /c`, `sh -c` and `env NAME=value` from the beginning of a command line.
///
/// # Errors
/// A command line that is decided without a look at the program.
fn unwrap_shells(words: Vec<String>) -> Result<Unwrapped, LaunchCommand> {
    let mut unwrapped = Unwrapped { words, ..Unwrapped::default() };
    // A shell may start a shell.
    for _ in 0..4 {
        let Unwrapped { launcher, variables, words } = &mut unwrapped;
        match program(words.first().map_or("", String::as_str)).as_str() {
            "cmd" => {
                let switches = words.iter().skip(1).take_while(|word| word.starts_with('/')).count() + 1;
                launcher.extend(words.drain(..switches.min(words.len())));
                if let [line] = words.as_slice() {
                    *words = windows_words(line);
                }
            }
            "sh" | "bash" | "zsh" | "dash" | "fish" => {
                let (option, script) = split_script(words)?;
                launcher.extend(words.drain(..=option));
                *words = script;
            }
            "env" => {
                let is_assignment = |word: &&String| word.contains('=') && !word.starts_with('-');
                launcher.push(words.remove(0));
                let count = words.iter().take_while(is_assignment).count();
                for assignment in words.drain(..count) {
                    let (name, value) = assignment.split_once('=').unwrap_or_default();
                    variables.push((name.to_owned(), value.to_owned()));
                }
            }
            _ => break,
        }
    }
    Ok(unwrapped)
}

/// The position of a shell's `-c`, and the words of the script behind it.
fn split_script(words: &[String]) -> Result<(usize, Vec<String>), LaunchCommand> {
    let option = words.iter().position(|word| word.starts_with('-') && word.ends_with('c'));
    let Some((option, script)) = option.and_then(|at| Some((at, words.get(at + 1)?))) else {
        return Err(LaunchCommand::Unrelated);
    };
    if !script.contains("mcp-remote") {
        return Err(LaunchCommand::Unrelated);
    }
    if script.contains("cloudflared access") {
        return Err(LaunchCommand::NotReplaceable(other_proxies::CLOUDFLARED));
    }
    let script = script.trim().trim_start_matches("exec ");
    if script.contains([';', '|', '<', '>', '`', '\n']) || script.contains("$(") || script.contains("&&") {
        return Err(LaunchCommand::NotReplaceable(
            "a shell script starts mcp-remote there: replace it yourself",
        ));
    }
    match shell_words::split(&with_braces(script)) {
        Ok(script) => Ok((option, script)),
        Err(_) => Err(LaunchCommand::NotReplaceable(
            "a shell script starts mcp-remote there, and its quotes are not balanced",
        )),
    }
}

/// Recognizes the package, started by the program `first` or directly.
fn recognize_package(first: &str, unwrapped: Unwrapped) -> LaunchCommand {
    let Unwrapped { mut launcher, variables, mut words } = unwrapped;
    let is_runner = RUNNERS.contains(&first);
    // A path behind the name of another package is an argument of that package.
    let runs_paths = !["npx", "bunx", "pnpx", "npm", "pnpm", "yarn"].contains(&first);
    // `--package NAME` names the package to install, and the program follows.
    let befores = std::iter::once("").chain(words.iter().map(String::as_str));
    let is_program = |(word, before): (&String, &str)| {
        is_package(word)
            && !["-p", "--package"].contains(&before)
            && (runs_paths || !word.contains(['/', '\\']))
    };
    let Some(at) = words.iter().zip(befores).position(is_program).filter(|at| *at == 0 || is_runner) else {
        return without_package(is_runner, &words);
    };
    let mut arguments = words.split_off(at + 1);
    if arguments.first().is_some_and(|word| word == "--") {
        arguments.remove(0);
    }
    let is_runtime = ["node", "nodejs", "deno", "bun"].contains(&first);
    let lost = words.iter().skip(1).map(String::as_str).filter(|word| word.starts_with("--"));
    // The value of one may be a secret.
    let lost: Vec<&str> = lost.map(|word| word.split('=').next().unwrap_or_default()).collect();
    let remarks = match is_runtime && !lost.is_empty() {
        true => vec![format!("the options of {first} are left out: {}", lost.join(" "))],
        false => Vec::new(),
    };
    launcher.append(&mut words);
    LaunchCommand::Replaceable { launcher, arguments, variables, remarks }
}

/// The same for words without the package as a program.
fn without_package(is_runner: bool, words: &[String]) -> LaunchCommand {
    let is_client = |word: &String| program(word).starts_with("mcp-remote-client");
    match is_runner && words.iter().any(is_client) {
        true => {
            LaunchCommand::NotReplaceable("mcp-remote-client only tests a server: run mcp-tether check URL")
        }
        false if is_within(words) => LaunchCommand::NotReplaceable(
            "another program starts mcp-remote there: replace npx, mcp-remote and the words between them by mcp-tether",
        ),
        false => LaunchCommand::Unrelated,
    }
}

/// The arguments as mcp-tether takes them. `remarks` gets each loss and each other meaning.
pub(super) fn translated(arguments: Vec<String>, remarks: &mut Vec<String>) -> Vec<Arg> {
    let arguments = cli::repaired(arguments.into_iter().map(Into::into).collect());
    let arguments = arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let words = args::read(arguments, |_| None);
    let (mut is_before, mut kept) = (0, Vec::new());
    for word in words {
        match &word {
            Arg::Positional(text) => {
                let is_address = text.contains("://") || text.contains("${") || text.starts_with('$');
                let is_kept = match is_before {
                    0 => is_address,
                    1 => text.parse::<u16>().is_ok_and(|port| port > 0),
                    _ => false,
                };
                is_before += usize::from(is_kept || is_before > 0);
                match is_kept {
                    true => kept.push(word),
                    false => remarks.push("an argument that is neither an option nor the URL is left out; mcp-remote ignores it".to_owned()),
                }
            }
            Arg::Option { name, .. } if cli::takes_value(name).is_none() => {
                // The value of a short option may be joined to it.
                let short = name.get(..2).filter(|_| !name.starts_with("--"));
                let name = short.unwrap_or(name);
                remarks.push(format!(
                    "{name} is left out: neither mcp-remote 0.15 nor mcp-tether has such an option"
                ));
            }
            // The empty name means that none is sent.
            Arg::Option { name, value: Some(value), .. } if name == "--resource" && value.is_empty() => {
                kept.push(Arg::Option {
                    name: "--disable-resource-parameter".to_owned(),
                    value: None,
                    is_joined: false,
                });
            }
            Arg::Option { name, value: Some(value), .. } if name == "--pin" && !is_fingerprint(value) => {
                remarks
                    .push("--pin is left out: its value is not the fingerprint of a certificate".to_owned());
            }
            Arg::Option { name, value: Some(value), .. } if name == "--protocol" && value == "auto" => {
                remarks.push("--protocol auto is left out: it is the default".to_owned());
            }
            Arg::Option { name, value: Some(value), .. } if name == "--header" && !is_header(value) => {
                remarks.push(
                    "a --header that is not \"Name: value\" is left out; mcp-remote ignores it".to_owned(),
                );
            }
            Arg::Option { name, .. } => {
                let different = DIFFERENT.iter().find(|(known, _)| known == name);
                different.into_iter().for_each(|(name, how)| remarks.push(format!("{name}: {how}")));
                kept.push(word);
            }
        }
    }
    kept
}

/// The remark about a variable of the entry, if it has another effect.
pub(super) fn about(variable: &str) -> Option<String> {
    let known = ENVIRONMENT.iter().find(|(name, _)| name.eq_ignore_ascii_case(variable));
    known.map(|(name, effect)| format!("{name} {effect}"))
}

/// Returns whether a text has the shape of a SHA-256 fingerprint.
pub(super) fn is_fingerprint(text: &str) -> bool {
    text.chars().filter(char::is_ascii_hexdigit).count() == 64
        && text.chars().all(|letter| letter.is_ascii_hexdigit() || letter == ':')
}

fn is_header(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, _)| name.trim().parse::<http::HeaderName>().is_ok())
}

/// The name of a program, without its folder and the extension of Windows.
pub(super) fn program(word: &str) -> String {
    let name = word.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    let ends = [".cmd", ".exe", ".ps1", ".bat"];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).to_owned()
}

/// Returns whether a word is the package or its program: `mcp-remote`, `mcp-remote@0.1.29`, a path to either.
fn is_package(word: &str) -> bool {
    if word.starts_with('-') || word.starts_with('@') {
        return false;
    }
    let word = word.strip_prefix("npm:").unwrap_or(word);
    let is_name = |part: &str| {
        let name = program(part);
        name == "mcp-remote" || name.strip_prefix("mcp-remote@").is_some_and(|version| !version.is_empty())
    };
    let parts: Vec<&str> = word.split(['/', '\\']).collect();
    match parts.as_slice() {
        [.., package, "dist", script] => {
            is_name(package) && ["proxy.js", "proxy.mjs", "index.js"].contains(script)
        }
        [.., last] => is_name(last),
        [] => false,
    }
}

/// Returns whether a runner runs the package somewhere in these words.
fn is_within(words: &[String]) -> bool {
    let mut parts = words.iter().flat_map(|word| word.split_whitespace());
    parts.any(|part| RUNNERS.contains(&program(part).as_str()))
        && parts.any(|part| is_package(part) && (!part.contains(['/', '\\']) || part.ends_with("js")))
}

/// Writes `$NAME` of a shell as `${NAME}`, except between single quotes.
fn with_braces(script: &str) -> String {
    let (mut text, mut is_single) = (String::new(), false);
    let mut letters = script.chars().peekable();
    while let Some(letter) = letters.next() {
        is_single ^= letter == '\'';
        text.push(letter);
        let is_name = |next: &char| next.is_ascii_alphanumeric() || *next == '_';
        if letter == '$' && !is_single && letters.peek().is_some_and(is_name) {
            text.push('{');
            while let Some(next) = letters.next_if(is_name) {
                text.push(next);
            }
            text.push('}');
        }
    }
    text
}

/// Splits a command line as Windows does: at spaces, except between double quotes.
fn windows_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, part) in line.split('"').enumerate() {
        let pieces: Vec<&str> = if index % 2 == 1 { vec![part] } else { part.split(' ').collect() };
        for (index, piece) in pieces.into_iter().enumerate() {
            match (index, words.last_mut()) {
                (0, Some(last)) => last.push_str(piece),
                _ => words.push(piece.to_owned()),
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://h/mcp";

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn recognizes_every_way_to_start_mcp_remote() {
        for line in [
            "npx mcp-remote URL --debug",
            "npx -y mcp-remote URL --debug",
            "npx --yes mcp-remote@latest URL --debug",
            "npx -y mcp-remote@0.1.29 URL --debug",
            "npx.cmd -y mcp-remote@0.1.x URL --debug",
            "/opt/homebrew/bin/npx -q mcp-remote@^0.1 URL --debug",
            "C:\\nodejs\\npx.cmd -y mcp-remote URL --debug",
            "npx --package mcp-remote mcp-remote URL --debug",
            "npx -y -p mcp-remote@0.1.18 mcp-remote URL --debug",
            "npx --package=mcp-remote@0.1.18 -- mcp-remote URL --debug",
            "npm exec -- mcp-remote URL --debug",
            "npm exec mcp-remote -- URL --debug",
            "npm x -y mcp-remote@latest -- URL --debug",
            "bunx mcp-remote URL --debug",
            "bun x mcp-remote URL --debug",
            "bunx --bun mcp-remote@latest URL --debug",
            "pnpm dlx mcp-remote URL --debug",
            "pnpx mcp-remote URL --debug",
            "yarn dlx mcp-remote URL --debug",
            "yarn dlx -q mcp-remote@0.1.9 URL --debug",
            "deno run -A npm:mcp-remote@0.1.9 URL --debug",
            "volta run npx -y mcp-remote URL --debug",
            "mise exec node@22 -- npx -y mcp-remote URL --debug",
            "node /usr/lib/node_modules/mcp-remote/dist/proxy.js URL --debug",
            "node --use-system-ca C:\\x\\node_modules\\mcp-remote\\dist\\proxy.js URL --debug",
            "node ./node_modules/.bin/mcp-remote URL --debug",
            "mcp-remote URL --debug",
            "/usr/local/bin/mcp-remote URL --debug",
            "C:\\Users\\me\\AppData\\Roaming\\npm\\mcp-remote.cmd URL --debug",
            "cmd /c npx -y mcp-remote URL --debug",
            "cmd.exe /C npx mcp-remote@latest URL --debug",
            "C:\\Windows\\System32\\cmd.exe /d /s /c npx.cmd -y mcp-remote URL --debug",
            "env A=b npx -y mcp-remote URL --debug",
            "sudo npx -y mcp-remote URL --debug",
        ] {
            let words = words(&line.replace("URL", URL));
            match recognize(&words[0], &words[1..]) {
                LaunchCommand::Replaceable { arguments, .. } => {
                    assert_eq!(arguments, [URL, "--debug"], "{line}")
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn recognizes_mcp_remote_behind_shells() {
        for (command, arguments) in [
            ("cmd", vec!["/c", "npx -y mcp-remote https://h/mcp --header \"Authorization: Bearer ${T}\""]),
            ("sh", vec!["-c", "npx -y mcp-remote https://h/mcp --header \"Authorization: Bearer $T\""]),
            ("npx -y mcp-remote https://h/mcp --header 'Authorization: Bearer ${T}'", vec![]),
            ("C:\\x\\npx.cmd mcp-remote https://h/mcp --header \"Authorization: Bearer ${T}\"", vec![]),
            (
                "/bin/bash",
                vec!["-lc", "exec npx -y mcp-remote https://h/mcp --header 'Authorization: Bearer ${T}'"],
            ),
        ] {
            let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
            match recognize(command, &arguments) {
                LaunchCommand::Replaceable { arguments, .. } => {
                    assert_eq!(arguments, [URL, "--header", "Authorization: Bearer ${T}"], "{command}");
                }
                other => panic!("{command}: {other:?}"),
            }
        }
        let script = ["-c".to_owned(), "A=marked npx -y mcp-remote https://h".to_owned()];
        assert!(matches!(recognize("sh", &script), LaunchCommand::NotReplaceable(_)));
        let script = ["-c".to_owned(), "source ~/.env && npx mcp-remote https://h".to_owned()];
        assert!(matches!(recognize("sh", &script), LaunchCommand::NotReplaceable(_)));
        let token = "npx mcp-remote https://h --header \"cf-access-token: $(cloudflared access token)\"";
        let launch = recognize("bash", &["-c".to_owned(), token.to_owned()]);
        assert_eq!(launch, LaunchCommand::NotReplaceable(other_proxies::CLOUDFLARED));
    }

    #[test]
    fn leaves_other_commands_alone() {
        for (line, is_told) in [
            ("npx -y @modelcontextprotocol/server-everything", false),
            ("npx -y @someone/mcp-remote URL", false),
            ("npx -y mcp-remote-control URL", false),
            ("npx -y @modelcontextprotocol/server-filesystem /home/me/mcp-remote", false),
            ("npx -y @modelcontextprotocol/server-filesystem /home/me/mcp-proxy", false),
            ("pnpm dlx server-filesystem /home/me/mcp-remote", false),
            ("npx.cmd -y server-filesystem C:\\src\\mcp-remote", false),
            ("docker run -i ghcr.io/x/mcp-proxy URL", true),
            ("uvx mcp-remote URL", false),
            ("mcp-tether URL", false),
            ("python mcp-remote URL", false),
            ("docker run -i node npx mcp-remote URL", true),
            ("docker run -i image", false),
            ("npx -p mcp-remote mcp-remote-client URL", true),
            ("op run -- npx -y mcp-remote URL", true),
            ("env -u A npx -y mcp-remote@0.1.9 URL", true),
            ("some-mcp --docs https://h/npx/mcp-remote", false),
            ("", false),
        ] {
            let words = words(line);
            match recognize(&words[0], &words[1..]) {
                LaunchCommand::Unrelated => assert!(!is_told, "{line}"),
                LaunchCommand::NotReplaceable(_) => assert!(is_told, "{line}"),
                other @ LaunchCommand::Replaceable { .. } => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn options_keep_order_and_lost_ones_are_named() {
        let line = "--header A:1 URL 3334 --header X: v --transport sse-first --use-id-token --client-credentials \
                    --token-endpoint https://t --protocol auto --auth-timeout 60 --enable-proxy --odd stray --resource";
        let mut arguments = words(&line.replace("URL", URL));
        arguments.push(String::new());
        let mut remarks = Vec::new();
        let mut kept = Vec::new();
        translated(arguments, &mut remarks).iter().for_each(|word| word.write(&mut kept));
        let expected = [
            "--header",
            "A:1",
            URL,
            "3334",
            "--header",
            "X: v",
            "--transport",
            "sse-first",
            "--use-id-token",
            "--client-credentials",
            "--token-endpoint",
            "https://t",
            "--auth-timeout",
            "60",
            "--enable-proxy",
            "--disable-resource-parameter",
        ];
        assert_eq!(kept, expected);
        for (remark, option) in remarks.iter().zip([
            "--protocol auto",
            "--auth-timeout:",
            "--enable-proxy: it is not needed",
            "--odd",
            "an argument",
        ]) {
            assert!(remark.starts_with(option), "{remark}");
        }
        assert_eq!(remarks.len(), 5, "{remarks:?}");
    }
}
