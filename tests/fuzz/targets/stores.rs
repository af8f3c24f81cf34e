//! The files that are read at start: the store of sign-ins, the cache, a variable file. Whatever stands in them, they are
//! read or as good as not there.
#![no_main]

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use mcp_tether::jwt;
use mcp_tether::oauth::store::Store;
use url::Url;

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a folder"));
}

fuzz_target!(|data: &[u8]| {
    FOLDER.with_borrow(|folder| {
        let url = Url::parse("https://mcp.example.com/mcp").expect("a URL");
        let store = Store::of(Some(folder.path().to_owned()), &url, "");
        for extension in ["json", "flow"] {
            let path = store.path(extension).expect("a path");
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, data).expect("a file");
        }
        drop(store.read());
        drop(store.own());
        drop(store.pending());
        if let Ok(flow) = store.try_flow() {
            let _ = flow.failed();
        }
    });
    if let Some(end) = std::str::from_utf8(data).ok().and_then(jwt::expiry) {
        let _ = end.duration_since(UNIX_EPOCH + Duration::from_secs(1));
    }
});
