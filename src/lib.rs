#![doc = include_str!("README.md")]
// A foreign byte must never stop the program. What cannot fail has a reasoned `expect` attribute beside its proof.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(not(test), deny(clippy::string_slice))]

// In reading order: what was typed, the message's path, and what surrounds it.
pub mod cli;
pub mod early;
pub mod refuse;
pub mod start;

pub mod config;

pub mod json;
pub mod jsonrpc;
pub mod mcp;
pub mod orphan;
pub mod platform;
pub mod stdio;

pub mod bridge;
pub mod cache;
pub mod proxy;
pub mod remote;

pub mod access;
pub mod auth;
mod cookies;
pub mod http;
pub mod jwt;
pub mod oauth;
pub mod tls;

pub mod channel;
pub mod check;
pub mod client_config;
pub mod diagnosis;
pub mod files;
pub mod log;
pub mod record;
pub mod redact;
pub mod secret;
pub mod startup_error;
pub mod traffic;

pub mod guide {
    //! The guide, a page for each subject. The README links the same pages as files.
    //!
    //! Start with [`access`] or [`headers`], depending on what your server wants, and with [`when_it_does_not_work`] if it fails.

    // `links.txt` in front of a page gives the labels of its links their targets here. As files, the pages define them at their end, and
    // the first definition counts.
    macro_rules! pages {
        ($($name:ident: $file:literal;)*) => {
            $(
                #[doc = include_str!("guide/links.txt")]
                #[doc = ""]
                #[doc = include_str!($file)]
                pub mod $name {}
            )*
        };
    }

    pages! {
        access: "guide/access.md";
        access_setup: "guide/access-setup.md";
        headers: "guide/headers.md";
        sign_in: "guide/sign-in.md";
        authorization_servers: "guide/authorization-servers.md";
        secrets: "guide/secrets.md";
        tools: "guide/tools.md";
        networks: "guide/networks.md";
        when_it_does_not_work: "guide/when-it-does-not-work.md";
        healing: "guide/healing.md";
        eras: "guide/eras.md";
        mcp_remote: "guide/mcp-remote.md";
        clients: "guide/clients.md";
        ci: "guide/ci.md";
        logging: "guide/logging.md";
        servers: "guide/servers.md";
        security: "guide/security.md";
        speed: "guide/speed.md";
        switching: "guide/switching.md";
    }
}
