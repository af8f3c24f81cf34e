//! Tells the linker to place the functions together that run in a start, while the program is idle, and in a call.
//!
//! Their names are in `startup.ld`. Of code, the kernel keeps at least 64 KB resident around each place that runs: 5 MB if such places are
//! scattered, 2 MB if they are together. Deliberately not here: how the file is written (`.github/package/startup.py`).

#![expect(clippy::disallowed_methods, reason = "Cargo tells build scripts by the environment what is built")]

use std::env::var;

/// Linkers that know no scripts for sections.
const WITHOUT_SCRIPTS: [&str; 3] = ["mold", "wild", "gold"];

fn main() {
    println!("cargo::rerun-if-changed=src/startup.ld");
    let is = |name, value| var(name).is_ok_and(|found| found == value);
    let linker =
        var("RUSTC_LINKER").unwrap_or_default() + &var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let takes_scripts = !WITHOUT_SCRIPTS.iter().any(|name| linker.contains(name));
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && takes_scripts {
        let folder = var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{folder}/src/startup.ld");
    }
}
