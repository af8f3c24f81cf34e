//! A client's configuration, as JSON and as TOML: its entries are replaced, or it is told what is wrong.
#![no_main]

use std::cell::RefCell;
use std::ffi::OsString;

use libfuzzer_sys::fuzz_target;
use mcp_tether::cli::{self, Invocation};
use mcp_tether::client_config::{self, Installation};
use mcp_tether::config::Environment;

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().expect("a file"));
}

fuzz_target!(|data: &[u8]| {
    let [client, text @ ..] = data else { return };
    let client = client_config::Client::ALL[usize::from(*client) % client_config::Client::ALL.len()];
    FILE.with_borrow(|file| {
        std::fs::write(file.path(), text).expect("a file");
        let arguments = ["mcp-tether", "config", "--client", client.name(), "--from"].map(OsString::from);
        let arguments = arguments.into_iter().chain([file.path().into()]);
        let Ok(Invocation::Config(arguments)) = cli::parse(arguments) else { panic!("not config") };
        let installation = Installation { system: "linux", found: None, running: None };
        drop(client_config::run(*arguments, &Environment::default(), &installation));
    });
});
