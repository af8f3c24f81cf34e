//! A client's configuration, as JSON and as TOML: its entries are replaced, or it is told what is wrong.
#![no_main]

use std::cell::RefCell;
use std::ffi::OsString;

use libfuzzer_sys::fuzz_target;
use mcp_tether::config::Environment;
use mcp_tether::entry::{self, Here};

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().expect("a file"));
}

fuzz_target!(|data: &[u8]| {
    let [client, text @ ..] = data else { return };
    let client = entry::Client::ALL[usize::from(*client) % entry::Client::ALL.len()];
    FILE.with_borrow(|file| {
        std::fs::write(file.path(), text).expect("a file");
        let arguments =
            ["--from".into(), file.path().into(), "--client".into(), OsString::from(client.name())];
        let here = Here { system: "linux", found: None, running: None };
        drop(entry::answer(arguments.to_vec(), &Environment::default(), &here));
    });
});
