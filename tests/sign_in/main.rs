//! Signing in: the real binary before an authorization server that can be hostile. The browser is the test itself, which
//! finds the page on stderr, as a person without a browser does.
//!
//! Not on Windows, where a test cannot say where configuration is kept.
#![cfg(unix)]

#[path = "../../examples/edge/edge/dpop.rs"]
mod proof;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each crate of tests uses a part of it")]
mod support;

mod authorization_code;
mod bound_federation;
mod callback;
mod client_credentials;
mod commands;
mod concurrent_processes;
mod device_code;
mod dpop;
mod enterprise;
mod hostile_servers;
mod identity;
mod interception;
mod issuer;
mod killed_processes;
mod local_network;
mod locks;
mod mcp_remote_import;
mod options;
mod oracles;
mod profiles;
mod refresh;
mod step_up;
mod token_store;
mod token_store_scripts;
mod transports;
mod without_redirect;
mod workload_identity;

use std::path::Path;

use support::authority::Authority;
use support::proxy::{Proxy, Stdin};

/// A folder for the configuration of one test, and how the binary is told of it.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Home {
        Home { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The environment that has it, with more.
    pub(crate) fn environment<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let home = self.path().to_str().expect("UTF-8");
        [&[("HOME", home), ("XDG_CONFIG_HOME", home)], more].concat()
    }

    /// Starts the proxy for this server.
    pub(crate) fn start(&self, authority: &Authority, arguments: &[&str]) -> Proxy {
        self.start_at(&authority.server.url, arguments, &[])
    }

    pub(crate) fn start_at(&self, url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Proxy {
        let arguments = [&[url], arguments].concat();
        Proxy::start_with(Stdin::Pipes, &arguments, &self.environment(environment))
    }

    /// The files of sign-ins, whole.
    pub(crate) fn kept(&self) -> String {
        let mut text = String::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "json") {
                    text.push_str(&std::fs::read_to_string(&path).expect("text"));
                }
            }
        }
        text
    }
}

/// A call, as a line.
pub(crate) fn call(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#)
}

/// Where the proxy says that a person is to go, the first time or a later one.
pub(crate) fn page(proxy: &Proxy, times: usize) -> String {
    proxy.told_after("sign in at ", times)
}
