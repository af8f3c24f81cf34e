//! Coming from mcp-remote (0.15.1): whatever follows `npx -y mcp-remote` there follows `mcp-tether` here, and does what it
//! says. One row for each option, in every form that it can be written in; then what its manual shows, as it stands there.
//!
//! Not on Windows, where a test cannot say where configuration is kept.
#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod help;
mod manual;
mod options;
mod sign_in;

use support::authority::{Authority, Set};
use support::proxy::{Proxy, Stdin};

/// One way of writing an option with its value, before the URL or behind it.
pub(crate) struct Form {
    option: Vec<String>,
    is_before: bool,
    /// A folder of its own for what is kept.
    home: tempfile::TempDir,
}

impl Form {
    /// Every way there is.
    pub(crate) fn all(option: &str, value: Option<&str>) -> Vec<Form> {
        let mut options = vec![[Some(option), value].into_iter().flatten().map(str::to_owned).collect()];
        options.extend(value.map(|value| vec![format!("{option}={value}")]));
        let form = |option: &Vec<String>, is_before| Form {
            option: option.clone(),
            is_before,
            home: tempfile::tempdir().expect("a folder"),
        };
        options.iter().flat_map(|option| [form(option, false), form(option, true)]).collect()
    }

    /// Starts the binary so, with more behind it.
    pub(crate) fn start(&self, url: &str, more: &[&str], environment: &[(&str, &str)]) -> Proxy {
        let option: Vec<&str> = self.option.iter().map(String::as_str).collect();
        let arguments = match self.is_before {
            true => [&option, &[url][..], more].concat(),
            false => [&[url][..], more, &option].concat(),
        };
        self.run(&arguments, environment)
    }

    /// The same without the option.
    pub(crate) fn start_without(&self, url: &str, environment: &[(&str, &str)]) -> Proxy {
        self.run(&[url], environment)
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Proxy {
        let home = self.home();
        let environment = [&[("HOME", home), ("XDG_CONFIG_HOME", home)], environment].concat();
        Proxy::start_with(Stdin::Pipes, arguments, &environment)
    }

    /// Starts it so that it requires a sign-in, and returns the address of the page.
    pub(crate) fn page(&self, change: impl FnOnce(&mut Set), more: &[&str]) -> (Authority, Proxy, String) {
        let authority = Authority::start(Set::default());
        authority.change(change);
        let mut proxy = self.start(&authority.server.url, more, &[("SECRET", "marked-secret")]);
        proxy.send(CALL);
        let page = proxy.told_after("sign in at ", 1);
        (authority, proxy, page)
    }

    pub(crate) fn home(&self) -> &str {
        self.home.path().to_str().expect("UTF-8")
    }
}

pub(crate) const CALL: &str =
    r#"{"jsonrpc":"2.0","id":"call","method":"tools/call","params":{"name":"getAccount"}}"#;
pub(crate) const LIST: &str = r#"{"jsonrpc":"2.0","id":"list","method":"tools/list"}"#;
