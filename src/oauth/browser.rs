//! Opens a page in the user's browser, without a shell.
//!
//! `BROWSER` names programs, as is the custom; otherwise it is what the system has for that (`platform`).
//!
//! The crate `webbrowser` (1.2) does the same and is not used, because stdin and stdout are the client's here: it runs a text
//! browser in the foreground with both, and waits until that ends. It also hands on the whole environment, the service token
//! included, starts the browser in our process group, splits `BROWSER` at spaces inside quotes, and takes it from the process
//! alone. `tests/sign_in` holds each of these. Windows as seen from WSL is as in that crate.

use std::process::{Command, Stdio};

use url::Url;

use crate::auth::cf_access::withhold_from;
use crate::http::is_loopback;
use crate::oauth::local_network::may_be_plain;
use crate::platform::{self, Desktop};

/// What is known of how to open a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Browser {
    /// The programs of the variable `BROWSER`, with `:` between them; `%s` in one stands for the address.
    pub named: Option<String>,
    /// Which desktop shows what is opened.
    pub desktop: Desktop,
}

/// Opens a page of https, or of http on this machine or where `server` may lead to it, in the user's browser.
/// Returns whether a program for that was started.
pub(super) fn open(address: &str, server: &Url, browser: &Browser) -> bool {
    let is_plain_page = |url: &Url| url.scheme() == "http" && (is_loopback(url) || may_be_plain(url, server));
    let is_page = address.starts_with("https://") || Url::parse(address).is_ok_and(|url| is_plain_page(&url));
    // A program of Windows gets its arguments as one text, in which these have a meaning.
    let is_word =
        !address.contains(|letter: char| letter.is_whitespace() || letter.is_control() || letter == '"');
    is_page && is_word && candidates(address, browser).into_iter().any(|words| starts(&words))
}

/// The commands that may open it, each as its words.
fn candidates(address: &str, browser: &Browser) -> Vec<Vec<String>> {
    let with_address = |words: Vec<String>| {
        let has_place = words.iter().any(|word| word.contains("%s"));
        let filled = words.into_iter().map(|word| word.replace("%s", address));
        filled.chain((!has_place).then(|| address.to_owned())).collect()
    };
    let named = browser.named.as_deref().unwrap_or_default();
    let mut found: Vec<Vec<String>> = named
        .split(platform::BETWEEN_BROWSERS)
        .filter_map(|command| shell_words::split(command).ok())
        .filter(|words| !words.is_empty())
        .map(with_address)
        .collect();
    let usual = platform::browsers(browser.desktop).iter();
    found.extend(usual.map(|words| with_address(words.iter().map(|word| (*word).to_owned()).collect())));
    found
}

/// Starts a program and does not wait for it. It gets neither stdin nor stdout, which are the client's.
fn starts(words: &[String]) -> bool {
    let Some((program, arguments)) = words.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    withhold_from(&mut command);
    platform::apart(&mut command);
    let Ok(mut child) = command.spawn() else { return false };
    // Without a thread it stays a zombie until we end, which does no harm.
    let _ = std::thread::Builder::new().spawn(move || child.wait());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_pages_with_named_browser_only() {
        let browser = Browser { named: Some("one --new '%s x':two".to_owned()), desktop: Desktop::None };
        let found = candidates("https://h/?a=b&c='d'", &browser);
        assert_eq!(found[0], ["one", "--new", "https://h/?a=b&c='d' x"]);
        assert_eq!(found[1], ["two", "https://h/?a=b&c='d'"]);
        for address in [
            "file:///etc/passwd",
            "javascript:x",
            "https://h.example/\" x",
            "https://h.example/ x",
            "http://h.example/",
            "HTTPS",
            "ftp://h/",
            "-x",
        ] {
            let always = Browser { named: Some("true".to_owned()), desktop: Desktop::Unix };
            for server in ["https://h.example/mcp", "http://localhost/mcp"] {
                let server = Url::parse(server).expect("a URL");
                assert!(!open(address, &server, &always), "{address}");
            }
        }
    }
}
