//! `mcp-tether`: see the library's documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcp_tether::start::start(std::env::args_os())
}
